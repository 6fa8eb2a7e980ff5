// SPDX-License-Identifier: Apache-2.0
#include "system/sr_system.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_digest.h"
#include "format/sr_partition_table.h"
#include "port/sr_efuse.h"
#include "port/sr_yield.h"
#include "system/sr_partition.h"

#include "esp_chip_info.h"
#include "esp_flash.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "sdkconfig.h"

static void take_otadata(void *context, const esp_partition_t *partition)
{
    sr_region_t *otadata = context;
    if (otadata->size == 0 && partition->type == ESP_PARTITION_TYPE_DATA &&
        partition->subtype == ESP_PARTITION_SUBTYPE_DATA_OTA) {
        *otadata = sr_partition_region(partition);
    }
}

/* The chip model is the image chip id, except for the first one: esp_chip_model_t counts ESP32 as 1, esp_chip_id_t as
 * 0.
 */
static const sr_chip_t *running_chip(void)
{
    esp_chip_info_t info;
    esp_chip_info(&info);
    return sr_chip_by_id(info.model == CHIP_ESP32 ? 0 : (uint16_t)info.model);
}

esp_err_t sr_system_read(sr_system_t *system)
{
    *system = (sr_system_t){.chip = running_chip()};
    if (system->chip == NULL) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    system->secure_boot = sr_efuse_secure_boot(system->chip);
    system->efuses = sr_efuse_read(system->chip);
    if (system->secure_boot == SR_IMAGE_SECURE_BOOT_V2) {
        system->keys = sr_efuse_keys(system->chip);
    }
    sr_region_t otadata = {0};
    esp_err_t err = sr_flash_open(&system->flash);
    if (err == ESP_OK) {
        err = sr_partition_visit(take_otadata, &otadata);
    }
    if (err != ESP_OK) {
        return err;
    }
    system->running_partition = sr_partition_region(esp_ota_get_running_partition());

    sr_flash_reader_window_t window;
    const sr_reader_t flash = sr_flash_reader(&window, &system->flash, 0, system->flash.size);
    sr_boot_path_find(&flash, system->chip, CONFIG_PARTITION_TABLE_OFFSET, otadata, system->running_partition,
                      &system->boot_path);
    if (system->secure_boot == SR_IMAGE_SECURE_BOOT_V1) {
        system->boot_path.digest = (sr_region_t){0, SR_SECTOR_SIZE};
    }
    system->recovery = sr_efuse_recovery_offset();
    if (sr_efuse_recovery_started(system->recovery)) {
        const sr_region_t place = {system->recovery, CONFIG_PARTITION_TABLE_OFFSET - system->chip->bootloader_offset};
        system->boot_path.recovery = sr_boot_path_image(&flash, place);
    }
    return ESP_OK;
}

esp_err_t sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t id[SR_SHA256_SIZE])
{
    const esp_err_t err = sr_flash_read(&system->flash, system->running_partition.address, scratch, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    return sr_digest(scratch, SR_SECTOR_SIZE, id) ? ESP_OK : ESP_FAIL;
}

bool sr_system_supply_is_steady(void)
{
    return esp_reset_reason() != ESP_RST_BROWNOUT;
}

static bool ends_past_16_mib(sr_region_t region)
{
    return (uint64_t)region.address + region.size > SR_FLASH_24_BIT;
}

bool sr_system_can_run_at(const sr_system_t *system, sr_region_t place)
{
    return !ends_past_16_mib(place) ||
           (system->chip->maps_past_16_mib && ends_past_16_mib(system->boot_path.running_app));
}
