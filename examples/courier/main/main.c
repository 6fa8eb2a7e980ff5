// SPDX-License-Identifier: Apache-2.0
/** @file
 * Replaces the whole system by the bundle that `self-reflasher courier` has put into this app, or by one whose URL it
 * has put there. Uploaded as an update of the old system, this one file brings the new one.
 *
 * What cannot be done is told on the serial line, and then the old app is started again if it is whole: nobody reaches
 * a device by this app, and the old one has an update page.
 */
#include "self_reflasher_cargo.h"

#include "esp_app_desc.h"
#include "esp_log.h"
#include "esp_ota_ops.h"
#include "esp_partition.h"
#include "esp_system.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#if CONFIG_COURIER_BY_URL
#include "esp_crt_bundle.h"
#include "online.h"
#endif

#include <inttypes.h>
#include <string.h>

#define ATTEMPTS  3
#define PAUSE_MS  10000u /**< Between two attempts, and for a reader before the old app starts. */
#define LONG_MS   60000u /**< For the supply to recover after a brownout, and where no other app is whole. */
#define MAX_SLOTS 16

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

/* The image of this app lies twice in flash once it was moved. */
static bool is_this_app(const esp_partition_t *partition)
{
    esp_app_desc_t other;
    const esp_app_desc_t *own = esp_app_get_description();
    return esp_ota_get_partition_description(partition, &other) == ESP_OK &&
           memcmp(other.app_elf_sha256, own->app_elf_sha256, sizeof(own->app_elf_sha256)) == 0;
}

/* Returns if there is no such app, or if it is not whole: esp_ota_set_boot_partition() reads all of it. */
static void start(esp_partition_subtype_t subtype)
{
    const esp_partition_t *partition = esp_partition_find_first(ESP_PARTITION_TYPE_APP, subtype, NULL);
    if (partition == NULL || partition == esp_ota_get_running_partition() || is_this_app(partition)) {
        return;
    }
    if (esp_ota_set_boot_partition(partition) == ESP_OK) {
        ESP_LOGW(TAG, "starting the app in '%s' at 0x%" PRIx32 " again", partition->label, partition->address);
        esp_restart();
    }
}

/* An update goes to the slot after that of the app that takes it, so the old app is in the one before. Returns if no
 * other app is whole. */
static void start_old_app(void)
{
    const esp_partition_t *running = esp_ota_get_running_partition();
    const int own = running != NULL ? (int)running->subtype - ESP_PARTITION_SUBTYPE_APP_OTA_MIN : 0;
    pause_ms(PAUSE_MS);
    for (int i = 1; i <= MAX_SLOTS; i++) {
        const int number = (own - i + 2 * MAX_SLOTS) % MAX_SLOTS;
        start((esp_partition_subtype_t)(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + number));
    }
    start(ESP_PARTITION_SUBTYPE_APP_FACTORY);
}

/* At this start nothing was written. */
static void give_up(void)
{
    if (!confirmed) {
        start_old_app();
    }
    ESP_LOGE(TAG, "%s: trying again in a minute",
             confirmed ? "another app may be the new one, without its system" : "no other app is whole");
    pause_ms(LONG_MS);
    esp_restart();
}

/* Written by esp_ota_mark_app_valid_cancel_rollback() with any bootloader, and by a relocation. */
static bool is_in_state(esp_ota_img_states_t expected)
{
    esp_ota_img_states_t state;
    return esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK && state == expected;
}

static bool is_on(const char *setting)
{
    const char *value = esp_self_reflasher_cargo_setting(&cargo, setting);
    return value != NULL && strcmp(value, "1") == 0;
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
}

/* Refused while nothing was written. This app is confirmed only once the bundle is known to be good for this device:
 * else a bootloader with rollback would bring the old one back at the next reset, too. */
static bool is_possible(esp_self_reflasher_bundle_config_t config)
{
    static esp_self_reflasher_plan_t plan;
    const bool on_probation = is_in_state(ESP_OTA_IMG_PENDING_VERIFY);
    config.skip_checks = on_probation ? ESP_SELF_REFLASHER_CHECK_ROLLBACK : 0;
    const esp_err_t err = esp_self_reflasher_plan_bundle(&config, &plan);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "%s: %s", err == ESP_ERR_SELF_REFLASHER_REFUSED ? "refused" : "not done",
                 plan.refusal_text[0] != '\0' ? plan.refusal_text : esp_self_reflasher_err_to_name(err));
        return false;
    }
    ESP_LOGI(TAG, "%" PRIu32 " of %" PRIu32 " sectors to write; a power loss is fatal for %" PRIu32 " ms at most",
             plan.sectors_to_write, plan.sectors_total, plan.window_ms_maximum + plan.relocation_ms_maximum);
    if (plan.sectors_to_write == 0) {
        ESP_LOGE(TAG, "the flash holds what the bundle says already, and all the same this app was started");
        confirmed = false; /* Whatever app is whole has its system. */
        return false;
    }
    ESP_ERROR_CHECK_WITHOUT_ABORT(esp_ota_mark_app_valid_cancel_rollback());
    return true;
}

/* Returns if it could not be done in several attempts. */
static void replace_system(const esp_self_reflasher_bundle_config_t *config)
{
    static esp_self_reflasher_plan_t plan;
    for (int i = 0; i < ATTEMPTS; i++) {
        const esp_err_t err = esp_self_reflasher_apply_bundle(config, &plan);
        if (err == ESP_OK) {
            ESP_LOGI(TAG, "done: restarting into the new system");
            esp_restart();
        }
        ESP_LOGE(TAG, "not done: %s %s", esp_self_reflasher_err_to_name(err), plan.refusal_text);
        if (err == ESP_ERR_SELF_REFLASHER_NOT_NOW || writing) {
            pause_ms(LONG_MS); /* What is put off after a brownout is not put off after this restart. */
            esp_restart();
        }
        pause_ms(PAUSE_MS);
    }
}

#if CONFIG_COURIER_BY_URL
static const char *url(void)
{
    return esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_URL);
}

static bool go_online(esp_self_reflasher_bundle_config_t *config)
{
    static esp_http_client_config_t http;
    const char *ssid = esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_WIFI_SSID);
    const char *password = esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_WIFI_PASSWORD);
    http =
        (esp_http_client_config_t){.url = url(), .crt_bundle_attach = esp_crt_bundle_attach, .keep_alive_enable = true};
    config->http_config = &http;
    return ssid != NULL && online_start(ssid, password);
}
#else
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

void app_main(void)
{
    confirmed = is_in_state(ESP_OTA_IMG_VALID);
    const esp_err_t err = esp_self_reflasher_find_cargo(&cargo);
    const bool inside = cargo.bundle.region_size > 0;
    if (err != ESP_OK || (!inside && url() == NULL)) {
        ESP_LOGE(TAG, "this app carries no bundle that can be used (%s): self-reflasher courier puts one in",
                 esp_self_reflasher_err_to_name(err));
        give_up();
    }
    esp_self_reflasher_bundle_config_t config = {
        .embedded = cargo.bundle,
        .public_key = esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_PUBLIC_KEY),
        .flags =
            (is_on(ESP_SELF_REFLASHER_CARGO_ALLOW_TEMPORARY_TABLE) ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE
                                                                   : 0) |
            (is_on(ESP_SELF_REFLASHER_CARGO_ALLOW_IN_PLACE) ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE : 0),
        .event_cb = on_event,
    };

    /* First of all, and without network: the last step may have been interrupted. Does not return if it finishes that.
     */
    const esp_err_t resumed = esp_self_reflasher_resume(&config);
    if (resumed == ESP_ERR_SELF_REFLASHER_NOT_NOW) {
        ESP_LOGW(TAG, "the last step is put off for a minute: the supply has failed just now");
        pause_ms(LONG_MS);
        esp_restart();
    }
    if ((inside || go_online(&config)) && is_possible(config)) {
        replace_system(&config);
    }
    give_up();
}
