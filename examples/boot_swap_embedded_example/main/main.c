// SPDX-License-Identifier: Apache-2.0
/** @file
 * Replaces an ESP-IDF system by one that this app carries inside, over the app itself.
 */
#include "self_reflasher.h"

#include "esp_log.h"
#include "esp_system.h"
#include "sdkconfig.h"
#include "spi_flash_mmap.h"

static const char *TAG = "boot_swap";

extern const uint8_t image_start[] asm("_binary_app_upd_merged_bin_start");
extern const uint8_t image_end[] asm("_binary_app_upd_merged_bin_end");

void app_main(void)
{
    const size_t size = (size_t)(image_end - image_start);
    const size_t address = spi_flash_cache2phys(image_start);
    if (address == SPI_FLASH_CACHE2PHYS_FAIL) {
        ESP_LOGE(TAG, "the image is not mapped from flash");
        return;
    }
    const esp_self_reflasher_config_t config = {
        .src_region = {(uint32_t)address, size},
        .dest_region = {CONFIG_EXAMPLE_IMAGE_ADDRESS, CONFIG_EXAMPLE_IMAGE_SIZE},
        .src_bin_size = size,
    };
    ESP_LOGI(TAG, "image of %u bytes at 0x%x goes to 0x%x", (unsigned)size, (unsigned)address,
             (unsigned)config.dest_region.region_address);

    /* Does not return if it has to write over this app. */
    const esp_err_t err = esp_self_reflasher_directly_copy_to_region(&config);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "%s", esp_self_reflasher_err_to_name(err));
        return;
    }
    ESP_LOGI(TAG, "restarting into the new system");
    esp_restart();
}
