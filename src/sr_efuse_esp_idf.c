// SPDX-License-Identifier: Apache-2.0
#include "sr_efuse_esp_idf.h"

#include "esp_efuse.h"
#include "esp_efuse_table.h"
#include "esp_secure_boot.h"
#include "sdkconfig.h"
#include "soc/soc_caps.h"

/* Only headers for the ESP32 name these two, and only they do not name the others. */
#ifdef SOC_SECURE_BOOT_V1
sr_secure_boot_t sr_efuse_secure_boot(const sr_chip_t *chip)
{
    if (chip->image_chip_id != 0) {
        return esp_secure_boot_enabled() ? SR_SECURE_BOOT_V2 : SR_SECURE_BOOT_OFF;
    }
    if (esp_efuse_read_field_bit(ESP_EFUSE_ABS_DONE_1)) {
        return SR_SECURE_BOOT_V2;
    }
    return esp_efuse_read_field_bit(ESP_EFUSE_ABS_DONE_0) ? SR_SECURE_BOOT_V1 : SR_SECURE_BOOT_OFF;
}
#else
sr_secure_boot_t sr_efuse_secure_boot(const sr_chip_t *chip)
{
    (void)chip;
    return esp_secure_boot_enabled() ? SR_SECURE_BOOT_V2 : SR_SECURE_BOOT_OFF;
}
#endif

static uint32_t read_field(const esp_efuse_desc_t *field[])
{
    uint32_t value = 0;
    const int bits = esp_efuse_get_field_size(field);
    const bool read = bits > 0 && bits <= 32 && esp_efuse_read_field_blob(field, &value, (size_t)bits) == ESP_OK;
    return read ? value : 0;
}

/* A version is the number of bits that are burnt. All of the field counts, also where an app was built to use less. */
static uint8_t read_version(const esp_efuse_desc_t *field[])
{
    return (uint8_t)__builtin_popcount((unsigned)read_field(field));
}

static uint8_t bootloader_version(void)
{
#if !SOC_BOOTLOADER_ANTI_ROLLBACK_SUPPORTED
    return 0;
#else
    if (!esp_efuse_read_field_bit(ESP_EFUSE_BOOTLOADER_ANTI_ROLLBACK_EN)) {
        return 0;
    }
#if CONFIG_IDF_TARGET_ESP32C5
    return (uint8_t)(read_version(ESP_EFUSE_BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION_LO) +
                     read_version(ESP_EFUSE_BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION_HI));
#else
    return read_version(ESP_EFUSE_BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION);
#endif
#endif
}

/* The ESP32 has no room for these, and its bootloaders look at none of them. */
static void read_revisions(const sr_chip_t *chip, sr_efuses_t *efuses)
{
    efuses->block_revision = UINT16_MAX;
#if !CONFIG_IDF_TARGET_ESP32
    if (chip->image_chip_id != 0) {
        efuses->block_revision =
            (uint16_t)(read_field(ESP_EFUSE_BLK_VERSION_MAJOR) * 100u + read_field(ESP_EFUSE_BLK_VERSION_MINOR));
        efuses->ignores_max_revision = esp_efuse_read_field_bit(ESP_EFUSE_DISABLE_WAFER_VERSION_MAJOR);
        efuses->ignores_max_block = esp_efuse_read_field_bit(ESP_EFUSE_DISABLE_BLK_VERSION_MAJOR);
    }
#else
    (void)chip;
#endif
}

sr_efuses_t sr_efuse_read(const sr_chip_t *chip)
{
    sr_efuses_t efuses = {.secure_version = read_version(ESP_EFUSE_SECURE_VERSION),
                          .bootloader_version = bootloader_version()};
    read_revisions(chip, &efuses);
    return efuses;
}
