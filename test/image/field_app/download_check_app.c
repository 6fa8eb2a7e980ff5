// SPDX-License-Identifier: Apache-2.0
/** @file
 * A short app of the field: ESP_ERROR_CHECK() around everything except esp_self_reflasher_init(), whose return value is
 * ignored. It gets sdkconfig.h and esp_attr.h through self_reflasher.h.
 */
#include "self_reflasher.h"

#if !defined(CONFIG_IDF_TARGET) || !defined(IRAM_ATTR)
#error "self_reflasher.h brings no sdkconfig.h or no esp_attr.h"
#endif

#include "esp_event.h"
#include "esp_log.h"
#include "esp_system.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"

static const char *TAG = "field_check";
static RTC_NOINIT_ATTR int unused_but_placed;

static esp_err_t IRAM_ATTR download_and_copy(esp_self_reflasher_handle_t handle)
{
    ESP_ERROR_CHECK(esp_self_reflasher_download_bin(handle));
    ESP_ERROR_CHECK(esp_self_reflasher_copy_to_region(handle));
    return ESP_OK;
}

void app_main(void)
{
    (void)unused_but_placed;
    esp_err_t ret = nvs_flash_init();
    if (ret == ESP_ERR_NVS_NO_FREE_PAGES) {
        nvs_flash_erase();
        ret = nvs_flash_init();
    }
    ESP_ERROR_CHECK(ret);
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    ESP_ERROR_CHECK(example_connect());

    esp_self_reflasher_handle_t handle = NULL;
    esp_http_client_config_t http = {.url = CONFIG_EXAMPLE_UPGRADE_URL, .keep_alive_enable = true};
    esp_self_reflasher_config_t config = {
        .http_config = &http,
        .dest_region = {.region_address = CONFIG_EXAMPLE_DEST_ADDRESS, .region_size = CONFIG_EXAMPLE_DEST_MAX_SIZE},
    };
    esp_self_reflasher_init(&config, &handle);
    download_and_copy(handle);

    esp_http_client_config_t next_http = {.url = CONFIG_EXAMPLE_BOOT_UPGRADE_URL, .keep_alive_enable = true};
    esp_self_reflasher_config_t next = {
        .http_config = &next_http,
        .dest_region = {.region_address = CONFIG_EXAMPLE_BOOT_DEST_ADDRESS,
                        .region_size = CONFIG_EXAMPLE_BOOT_DEST_MAX_SIZE},
    };
    ESP_ERROR_CHECK(esp_self_reflasher_upd_next_config(&next, handle));
    download_and_copy(handle);
    ESP_LOGI(TAG, "done");
    esp_restart();
}
