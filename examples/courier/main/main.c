// SPDX-License-Identifier: Apache-2.0
/** @file
 * Replaces the whole system by the bundle that `self-reflasher courier` has put into this app, or by one whose URL it
 * has put there. Uploaded as an update of the old system, this one file brings the new one.
 *
 * What cannot be done is told on the serial line and, with Wi-Fi, on a page of the device's own, which takes another
 * app or goes back to the old one. Where nobody looks at it, the old app is started again if it is whole.
 */
#include "self_reflasher_cargo.h"

#include "slots.h"

#include "esp_log.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#if CONFIG_COURIER_WIFI
#include "esp_crt_bundle.h"
#include "online.h"
#include "page.h"
#include "status.h"
#endif

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 3
#define PAUSE_MS 10000u /**< Between two attempts, and for a reader before the old app starts. */
#define LONG_MS  60000u /**< For the supply to recover after a brownout, and where no other app is whole. */

static const char *TAG = "courier";

static esp_self_reflasher_cargo_t cargo;

/* An earlier start has found the bundle good and confirmed this app, and may have written since: what is whole in
 * another slot may be the new app, without its system. From here on only forward. */
static bool confirmed;
static bool writing; /**< The same for what this start has written. */

static void pause_ms(uint32_t time)
{
    vTaskDelay(pdMS_TO_TICKS(time));
}

static const char *setting(const char *name)
{
    return esp_self_reflasher_cargo_setting(&cargo, name);
}

static bool is(const char *name, const char *value)
{
    return setting(name) != NULL && strcmp(setting(name), value) == 0;
}

#if CONFIG_COURIER_WIFI
#define PAGE_MS    300000u /* For somebody to come to the page. */
#define SECONDS_MS 3000u   /* For a page that asks each second. */

static bool on_page; /* It is served. */
static bool opened;  /* An access point of its own. */

static void start_page(void)
{
    (void)online_start(setting(ESP_SELF_REFLASHER_CARGO_WIFI_SSID), setting(ESP_SELF_REFLASHER_CARGO_WIFI_PASSWORD));
    on_page = status_init() && page_start();
}

static void tell_stage(status_stage_t stage)
{
    if (on_page) {
        status_set_stage(stage);
    }
}

static void tell_works(void)
{
    tell_stage(STATUS_WORKS);
}

static void tell_plan(const esp_self_reflasher_plan_t *plan)
{
    if (on_page) {
        status_set_plan(plan);
    }
}

/* Who looks at the page reads the warning before it counts: while the boot path is written nothing is answered. */
static void tell_event(esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    if (!on_page) {
        return;
    }
    status_set_event(event, data);
    if (event == ESP_SELF_REFLASHER_EVENT_COMMIT && data->sectors_done == 0 && status_is_watched()) {
        pause_ms(SECONDS_MS);
    }
}

static void tell_end(void)
{
    tell_stage(STATUS_ENDS);
    if (on_page && status_is_watched()) {
        pause_ms(SECONDS_MS);
    }
}

/* Waits for it once. */
static bool is_connected(void)
{
    static bool waited;
    static bool connected;
    connected = waited ? connected : online_wait();
    waited = true;
    return connected;
}

/* The page can be reached: somebody may come. An access point of its own is what is left if nothing else is. */
static bool is_reachable(void)
{
    if (on_page && !opened && !is_connected()) {
        opened = online_open_access_point(setting(ESP_SELF_REFLASHER_CARGO_AP_PASSWORD));
    }
    return on_page && (opened || is_connected());
}

/* Returns when the old app, or this one, is to be started. */
static void stay(const char *reason, const esp_partition_t *old_app)
{
    if (!is_reachable()) {
        pause_ms(old_app != NULL ? PAUSE_MS : LONG_MS);
        return;
    }
    status_set_reason(reason);
    const status_wish_t wish = status_offer(STATUS_STAYS, old_app, old_app != NULL || opened ? PAGE_MS : LONG_MS);
    if (wish != STATUS_NOTHING) {
        pause_ms(SECONDS_MS); /* For the answer. */
    }
    if (wish == STATUS_RESTART) {
        esp_restart();
    }
}

/* False: not wanted, or nobody can say so. */
static bool is_wanted(void)
{
    if (confirmed || !is(ESP_SELF_REFLASHER_CARGO_WHEN, "button")) {
        return true;
    }
    if (!is_reachable()) {
        return false;
    }
    const esp_partition_t *old_app = slots_find_old_app();
    const status_wish_t wish = status_offer(STATUS_ASKS, old_app, UINT32_MAX);
    if (wish == STATUS_BEGIN) {
        return true;
    }
    pause_ms(SECONDS_MS); /* For the answer. */
    if (wish == STATUS_GO_BACK && old_app != NULL) {
        slots_start(old_app);
    }
    esp_restart();
}

static const char *url(void)
{
    return setting(ESP_SELF_REFLASHER_CARGO_URL);
}

static bool go_online(esp_self_reflasher_bundle_config_t *config)
{
    static esp_http_client_config_t http;
    http =
        (esp_http_client_config_t){.url = url(), .crt_bundle_attach = esp_crt_bundle_attach, .keep_alive_enable = true};
    config->http_config = &http;
    return is_connected();
}
#else
static void start_page(void)
{
}

static void tell_works(void)
{
}

static void tell_plan(const esp_self_reflasher_plan_t *plan)
{
    (void)plan;
}

static void tell_event(esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)event;
    (void)data;
}

static void tell_end(void)
{
}

static void stay(const char *reason, const esp_partition_t *old_app)
{
    (void)reason;
    pause_ms(old_app != NULL ? PAUSE_MS : LONG_MS);
}

static bool is_wanted(void)
{
    return true;
}

static const char *url(void)
{
    return NULL;
}

static bool go_online(esp_self_reflasher_bundle_config_t *config)
{
    (void)config;
    return false;
}
#endif

/* Ends in a restart. At this start nothing was written, or the old app is not offered any more. */
static void give_up(const char *reason)
{
    const esp_partition_t *old_app = confirmed ? NULL : slots_find_old_app();
    ESP_LOGE(TAG, "%s", reason);
    if (old_app == NULL) {
        ESP_LOGE(TAG, "%s: trying again later",
                 confirmed ? "another app may be the new one, without its system" : "no other app is whole");
    }
    stay(reason, old_app);
    old_app = confirmed ? NULL : slots_find_old_app(); /* An upload that broke off may have overwritten it. */
    if (old_app != NULL) {
        slots_start(old_app);
    }
    esp_restart();
}

static void on_event(void *user_ctx, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    static const char *const phases[] = {
        [ESP_SELF_REFLASHER_EVENT_PREPARE] = "writing what the old system does not need",
        [ESP_SELF_REFLASHER_EVENT_STAGE] = "staging the last step",
        [ESP_SELF_REFLASHER_EVENT_COMMIT] = "the last step: DO NOT CUT THE POWER NOW",
    };
    (void)user_ctx;
    writing |= event == ESP_SELF_REFLASHER_EVENT_COMMIT || event == ESP_SELF_REFLASHER_EVENT_STAGE ||
               (event == ESP_SELF_REFLASHER_EVENT_PREPARE && data->sectors_done > 0);
    if (event < sizeof(phases) / sizeof(phases[0]) && phases[event] != NULL && data->sectors_total > 0) {
        ESP_LOGI(TAG, "%s: %" PRIu32 " %%", phases[event], 100 * data->sectors_done / data->sectors_total);
    }
    tell_event(event, data);
}

/* A sentence for log and page. */
static const char *put_reason(const char *what, esp_err_t err, const esp_self_reflasher_plan_t *plan)
{
    static char reason[320];
    snprintf(reason, sizeof(reason), "%s: %s", what,
             plan->refusal_text[0] != '\0' ? plan->refusal_text : esp_self_reflasher_err_to_name(err));
    return reason;
}

/* Looks, while nothing was written. @return NULL if it can be done, or why not */
static const char *object(esp_self_reflasher_bundle_config_t config)
{
    static esp_self_reflasher_plan_t plan;
    const bool on_probation = slots_is_in_state(ESP_OTA_IMG_PENDING_VERIFY);
    config.skip_checks = on_probation ? ESP_SELF_REFLASHER_CHECK_ROLLBACK : 0;
    const esp_err_t err = esp_self_reflasher_plan_bundle(&config, &plan);
    if (err != ESP_OK) {
        return put_reason(err == ESP_ERR_SELF_REFLASHER_REFUSED ? "refused" : "not done", err, &plan);
    }
    ESP_LOGI(TAG, "%" PRIu32 " of %" PRIu32 " sectors to write; a power loss is fatal for %" PRIu32 " ms at most",
             plan.sectors_to_write, plan.sectors_total, plan.window_ms_maximum + plan.relocation_ms_maximum);
    if (plan.sectors_to_write == 0) {
        confirmed = false; /* Whatever app is whole has its system. */
        return "the flash holds what the bundle says already, and all the same this app was started";
    }
    tell_plan(&plan);
    return NULL;
}

/* Confirmed only once the bundle is known to be good for this device: else a bootloader with rollback would bring the
 * old app back at the next reset, too. @return why it could not be done in several attempts */
static const char *replace_system(const esp_self_reflasher_bundle_config_t *config)
{
    static esp_self_reflasher_plan_t plan;
    const char *reason = "";
    ESP_ERROR_CHECK_WITHOUT_ABORT(esp_ota_mark_app_valid_cancel_rollback());
    tell_works();
    for (int i = 0; i < ATTEMPTS; i++) {
        const esp_err_t err = esp_self_reflasher_apply_bundle(config, &plan);
        if (err == ESP_OK) {
            ESP_LOGI(TAG, "done: restarting into the new system");
            tell_end();
            esp_restart();
        }
        reason = put_reason("not done", err, &plan);
        if (err == ESP_ERR_SELF_REFLASHER_NOT_NOW || writing) {
            confirmed = true; /* What is put off after a brownout is not put off after the next restart. */
            return reason;
        }
        ESP_LOGE(TAG, "%s", reason);
        pause_ms(PAUSE_MS);
    }
    return reason;
}

/* Returns why not, or restarts. */
static const char *work(esp_self_reflasher_bundle_config_t *config)
{
    const bool inside = config->embedded.region_size > 0;
    if (!inside && !go_online(config)) {
        return "the bundle is to be fetched, and there is no connection to the network";
    }
    const char *objection = object(*config);
    if (objection != NULL) {
        return objection;
    }
    return is_wanted() ? replace_system(config) : "nobody can tell it to begin: its page is in no network";
}

static uint32_t number(const char *name)
{
    return setting(name) != NULL ? (uint32_t)strtoul(setting(name), NULL, 10) : 0;
}

void app_main(void)
{
    confirmed = slots_is_in_state(ESP_OTA_IMG_VALID);
    const esp_err_t err = esp_self_reflasher_find_cargo(&cargo);
    if (err != ESP_OK || (cargo.bundle.region_size == 0 && url() == NULL)) {
        start_page();
        give_up("this app carries no bundle that can be used: self-reflasher courier puts one in");
    }
    esp_self_reflasher_bundle_config_t config = {
        .embedded = cargo.bundle,
        .public_key = setting(ESP_SELF_REFLASHER_CARGO_PUBLIC_KEY),
        .flags =
            (is(ESP_SELF_REFLASHER_CARGO_ALLOW_TEMPORARY_TABLE, "1") ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE
                                                                     : 0) |
            (is(ESP_SELF_REFLASHER_CARGO_ALLOW_IN_PLACE, "1") ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE : 0),
        .event_cb = on_event,
        .min_sequence = number(ESP_SELF_REFLASHER_CARGO_MIN_SEQUENCE),
    };

    /* First of all, and without network: the last step may have been interrupted. Does not return if it finishes that.
     */
    if (esp_self_reflasher_resume(&config) == ESP_ERR_SELF_REFLASHER_NOT_NOW) {
        ESP_LOGW(TAG, "the last step is put off for a minute: the supply has failed just now");
        pause_ms(LONG_MS);
        esp_restart();
    }
    start_page();
    give_up(work(&config));
}
