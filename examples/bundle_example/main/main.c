// SPDX-License-Identifier: Apache-2.0
/** @file
 * Makes the whole flash hold what a signed bundle says: bootloader, partition table, apps and data.
 *
 * Called at every start, the component does what is left to do. If this app lies where other content must go, it is
 * moved to its other slot and started again. After the last step another system starts, and this app is gone.
 */
#include "self_reflasher_bundle.h"

#include "esp_crt_bundle.h"
#include "esp_event.h"
#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"
#include "sdkconfig.h"

#include <inttypes.h>

static const char *TAG = "bundle";

extern const char public_key[] asm("_binary_bundle_public_key_start");

static void go_online(void)
{
    esp_err_t err = nvs_flash_init();
    if (err == ESP_ERR_NVS_NO_FREE_PAGES || err == ESP_ERR_NVS_NEW_VERSION_FOUND) {
        ESP_ERROR_CHECK(nvs_flash_erase());
        err = nvs_flash_init();
    }
    ESP_ERROR_CHECK(err);
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    ESP_ERROR_CHECK(example_connect());
}

/* It runs and is online: that is all that this app has to prove, and an app on probation is refused. */
static void end_probation(void)
{
    esp_ota_img_states_t state;
    if (esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK &&
        state == ESP_OTA_IMG_PENDING_VERIFY) {
        ESP_ERROR_CHECK(esp_ota_mark_app_valid_cancel_rollback());
    }
}

static void on_event(void *user_ctx, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)user_ctx;
    ESP_LOGI(TAG, "event %d: %" PRIu32 " of %" PRIu32 " sectors, %" PRIu32 " bytes downloaded", (int)event,
             data->sectors_done, data->sectors_total, data->bytes_downloaded);
}

void app_main(void)
{
    const esp_http_client_config_t http = {
        .url = CONFIG_EXAMPLE_BUNDLE_URL,
        .crt_bundle_attach = esp_crt_bundle_attach,
        .keep_alive_enable = true,
    };
    const esp_self_reflasher_bundle_config_t config = {
        .http_config = &http,
        .public_key = public_key,
        .event_cb = on_event,
        .min_sequence = CONFIG_EXAMPLE_MIN_SEQUENCE,
    };

    /* First of all, and without network: the last step may have been interrupted. */
    ESP_ERROR_CHECK_WITHOUT_ABORT(esp_self_reflasher_resume(&config));

    go_online();
    end_probation();

    esp_self_reflasher_plan_t plan;
    const esp_err_t err = esp_self_reflasher_apply_bundle(&config, &plan);
    if (err == ESP_ERR_SELF_REFLASHER_REFUSED) {
        ESP_LOGE(TAG, "refused: %s", plan.refusal_text);
    } else if (err != ESP_OK) {
        ESP_LOGE(TAG, "not done: %s; the next start goes on", esp_self_reflasher_err_to_name(err));
    } else if (plan.sectors_to_write > 0) {
        ESP_LOGI(TAG, "restarting into the new system");
        esp_restart();
    } else {
        ESP_LOGI(TAG, "the flash holds what the bundle says");
    }
}
