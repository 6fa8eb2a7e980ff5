// SPDX-License-Identifier: Apache-2.0
/** @file
 * Replaces an ESP-IDF system by MCUboot and an app for it, over the air.
 *
 * First the app, to MCUboot's secondary slot: until then nothing of the running system was touched. Then the
 * bootloader. At the next start MCUboot swaps the app into its primary slot and runs it.
 */
#include "self_reflasher.h"

#include "esp_check.h"
#include "esp_event.h"
#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"
#include "sdkconfig.h"

#define COPY_ATTEMPTS 5

static const char *TAG = "boot_swap";

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

/* An app that came by OTA may be on probation: then the next reset would return to the slot that is used for staging.
 */
static void end_probation(void)
{
    esp_ota_img_states_t state;
    if (esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK &&
        state == ESP_OTA_IMG_PENDING_VERIFY) {
        ESP_ERROR_CHECK(esp_ota_mark_app_valid_cancel_rollback());
    }
}

/* A destination that is half written is worse than one that was written twice. */
static esp_err_t copy(esp_self_reflasher_handle_t handle)
{
    esp_err_t err = ESP_FAIL;
    for (int attempt = 0; attempt < COPY_ATTEMPTS && err != ESP_OK; attempt++) {
        err = esp_self_reflasher_copy_to_region(handle);
    }
    return err;
}

static esp_err_t reflash(esp_self_reflasher_handle_t handle)
{
    const esp_http_client_config_t http = {.url = CONFIG_EXAMPLE_BOOTLOADER_URL, .keep_alive_enable = true};
    const esp_self_reflasher_config_t bootloader = {
        .http_config = &http,
        .dest_region = {CONFIG_EXAMPLE_BOOTLOADER_ADDRESS, CONFIG_EXAMPLE_BOOTLOADER_SIZE},
    };
    ESP_RETURN_ON_ERROR(esp_self_reflasher_download_bin(handle), TAG, "the app was not downloaded");
    ESP_RETURN_ON_ERROR(copy(handle), TAG, "the app was not copied");
    ESP_RETURN_ON_ERROR(esp_self_reflasher_upd_next_config(&bootloader, handle), TAG, "the bootloader was refused");
    ESP_RETURN_ON_ERROR(esp_self_reflasher_download_bin(handle), TAG, "the bootloader was not downloaded");
    return copy(handle);
}

void app_main(void)
{
    const esp_http_client_config_t http = {.url = CONFIG_EXAMPLE_APP_URL, .keep_alive_enable = true};
    const esp_self_reflasher_config_t app = {
        .http_config = &http,
        .dest_region = {CONFIG_EXAMPLE_APP_ADDRESS, CONFIG_EXAMPLE_APP_SIZE},
    };
    esp_self_reflasher_handle_t handle = NULL;

    go_online();
    end_probation();
    esp_err_t err = esp_self_reflasher_init(&app, &handle);
    if (err == ESP_OK) {
        err = reflash(handle);
        esp_self_reflasher_deinit(handle);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "the old system stays: %s", esp_self_reflasher_err_to_name(err));
        return;
    }
    ESP_LOGI(TAG, "restarting into the new system");
    esp_restart();
}
