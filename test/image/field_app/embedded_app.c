// SPDX-License-Identifier: Apache-2.0
/** @file
 * An app of the field that carries the image inside.
 */
#include <stdio.h>

#include "esp_log.h"
#include "esp_partition.h"
#include "esp_system.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "spi_flash_mmap.h"

#include "self_reflasher.h"

static const char *TAG = "field_embedded";

extern const uint8_t bin_start[] asm("_binary_app_upd_merged_bin_start");
extern const uint8_t bin_end[] asm("_binary_app_upd_merged_bin_end");

void app_main(void)
{
    const uint32_t bin_size = (uint32_t)(bin_end - bin_start);

    addr_region_t src_region = {
        .region_address = (uint32_t)spi_flash_cache2phys(bin_start),
        .region_size = bin_size,
    };
    addr_region_t dest_region = {
        .region_address = CONFIG_EXAMPLE_EMBEDDED_DEST_ADDRESS,
        .region_size = CONFIG_EXAMPLE_EMBEDDED_DEST_MAX_SIZE,
    };
    esp_self_reflasher_config_t self_reflasher_config = {
        .src_region = src_region,
        .dest_region = dest_region,
        .src_bin_size = bin_size,
    };
    ESP_LOGI(TAG, "image at 0x%x of %u bytes", (unsigned)src_region.region_address, (unsigned)bin_size);
    vTaskDelay(pdMS_TO_TICKS(1000));

    esp_err_t err = esp_self_reflasher_directly_copy_to_region(&self_reflasher_config);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "esp_self_reflasher_directly_copy_to_region failed (%s)", esp_err_to_name(err));
        return;
    }
    ESP_LOGI(TAG, "Prepare to restart system!");
    esp_restart();
}
