// SPDX-License-Identifier: Apache-2.0
#include "esp_efuse.h"

#include "esp_efuse_table.h"
#include "sim_state.h"

#include <string.h>

static const esp_efuse_desc_t recovery_sector = {.efuse_block = 0, .bit_start = 134, .bit_count = 12};

const esp_efuse_desc_t *ESP_EFUSE_RECOVERY_BOOTLOADER_FLASH_SECTOR[] = {&recovery_sector, NULL};

esp_err_t esp_efuse_read_field_blob(const esp_efuse_desc_t *field[], void *dst, size_t dst_size_bits)
{
    sim_flash_code(__func__);
    if (field != ESP_EFUSE_RECOVERY_BOOTLOADER_FLASH_SECTOR || dst == NULL || dst_size_bits == 0) {
        return ESP_ERR_INVALID_ARG;
    }
    const boot_chip_t *chip = &sim_state.config.chip;
    const size_t bits = dst_size_bits < recovery_sector.bit_count ? dst_size_bits : recovery_sector.bit_count;
    const uint32_t sector = boot_rom_knows_recovery(chip) ? chip->recovery / SR_SECTOR_SIZE : 0;
    uint8_t *bytes = dst;
    memset(dst, 0, (dst_size_bits + 7) / 8);
    for (size_t i = 0; i < bits; i++) {
        bytes[i / 8] |= (uint8_t)((sector >> i & 1u) << i % 8);
    }
    return ESP_OK;
}
