// SPDX-License-Identifier: Apache-2.0
#include "port/sr_efuse.h"

#include "format/sr_region.h"

#include "esp_efuse.h"
#include "esp_efuse_table.h"
#include "esp_rom_sys.h"
#include "esp_secure_boot.h"
#include "sdkconfig.h"
#include "soc/soc_caps.h"

#include <string.h>

/* Only headers for the ESP32 name these two, and only those lack the others. */
#ifdef SOC_SECURE_BOOT_V1
sr_image_secure_boot_t sr_efuse_secure_boot(const sr_chip_t *chip)
{
    if (chip->image_chip_id != 0) {
        return esp_secure_boot_enabled() ? SR_IMAGE_SECURE_BOOT_V2 : SR_IMAGE_SECURE_BOOT_OFF;
    }
    if (esp_efuse_read_field_bit(ESP_EFUSE_ABS_DONE_1)) {
        return SR_IMAGE_SECURE_BOOT_V2;
    }
    return esp_efuse_read_field_bit(ESP_EFUSE_ABS_DONE_0) ? SR_IMAGE_SECURE_BOOT_V1 : SR_IMAGE_SECURE_BOOT_OFF;
}
#else
sr_image_secure_boot_t sr_efuse_secure_boot(const sr_chip_t *chip)
{
    (void)chip;
    return esp_secure_boot_enabled() ? SR_IMAGE_SECURE_BOOT_V2 : SR_IMAGE_SECURE_BOOT_OFF;
}
#endif

/* A block that is not burnt is zero, and so is one that software cannot read. */
static void read_key(sr_secure_boot_key_t *key, esp_efuse_block_t block, size_t first_bit, size_t bits)
{
    static const uint8_t nothing[SR_SHA256_SIZE];
    key->burnt = esp_efuse_read_block(block, key->digest, first_bit, bits) == ESP_OK &&
                 memcmp(key->digest, nothing, sizeof(nothing)) != 0;
}

/* ESP-IDF's esp_secure_boot_read_key_digests() does the same, but leaves out what is revoked, and is not there in
 * builds for an ESP32 of any revision. */
sr_secure_boot_keys_t sr_efuse_keys(const sr_chip_t *chip)
{
    sr_secure_boot_keys_t keys = sr_secure_boot_no_keys(chip);
#if SOC_SUPPORT_SECURE_BOOT_REVOKE_KEY
    static const esp_efuse_purpose_t purposes[SR_SECURE_BOOT_MAX_BLOCKS] = {ESP_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST0,
                                                                            ESP_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST1,
                                                                            ESP_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST2};
    for (unsigned i = 0; i < keys.count; i++) {
        esp_efuse_block_t block;
        if (esp_efuse_find_purpose(purposes[i], &block)) {
            read_key(&keys.list[i], block, 0, 8u * keys.digest_size);
            keys.list[i].revoked = esp_efuse_get_digest_revoke(i);
        }
    }
#elif CONFIG_IDF_TARGET_ESP32C2
    read_key(&keys.list[0], EFUSE_BLK_KEY0, 128, 128); /* The other half is for flash encryption. */
#else
    read_key(&keys.list[0], EFUSE_BLK2, 0, 256);
#endif
    return keys;
}

static uint32_t read_field(const esp_efuse_desc_t *field[])
{
    uint32_t value = 0;
    const int bits = esp_efuse_get_field_size(field);
    const bool read = bits > 0 && bits <= 32 && esp_efuse_read_field_blob(field, &value, (size_t)bits) == ESP_OK;
    return read ? value : 0;
}

/* A version is the number of bits that are burnt. The whole field counts, even if the app uses less of it. */
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

/* The ESP32 has no such fields, and its bootloaders check none of them. */
static void read_revisions(const sr_chip_t *chip, sr_chip_efuses_t *efuses)
{
    efuses->block_revision = UINT16_MAX;
#if !CONFIG_IDF_TARGET_ESP32
    if (chip->has_block_revision) {
        efuses->block_revision =
            (uint16_t)(read_field(ESP_EFUSE_BLK_VERSION_MAJOR) * 100u + read_field(ESP_EFUSE_BLK_VERSION_MINOR));
        efuses->ignores_max_revision = esp_efuse_read_field_bit(ESP_EFUSE_DISABLE_WAFER_VERSION_MAJOR);
        efuses->ignores_max_block = esp_efuse_read_field_bit(ESP_EFUSE_DISABLE_BLK_VERSION_MAJOR);
    }
#else
    (void)chip;
#endif
}

sr_chip_efuses_t sr_efuse_read(const sr_chip_t *chip)
{
    sr_chip_efuses_t efuses = {.secure_version = read_version(ESP_EFUSE_SECURE_VERSION),
                               .bootloader_version = bootloader_version()};
    read_revisions(chip, &efuses);
    return efuses;
}

#if SR_EFUSE_KNOWS_RECOVERY
#define SECTOR_BITS 12u /**< Of the eFuse field; all of them set switch it off for good. */

uint32_t sr_efuse_recovery_offset(void)
{
    uint32_t sector = 0;
    const esp_err_t err = esp_efuse_read_field_blob(ESP_EFUSE_RECOVERY_BOOTLOADER_FLASH_SECTOR, &sector, SECTOR_BITS);
    const bool burnt = err == ESP_OK && sector != 0 && sector != (1u << SECTOR_BITS) - 1u;
    return burnt ? sector * SR_SECTOR_SIZE : UINT32_MAX;
}

bool sr_efuse_recovery_started(uint32_t offset)
{
    return offset != CONFIG_BOOTLOADER_OFFSET_IN_FLASH && esp_rom_get_bootloader_offset() == offset;
}
#else
uint32_t sr_efuse_recovery_offset(void)
{
    return UINT32_MAX;
}

bool sr_efuse_recovery_started(uint32_t offset)
{
    (void)offset;
    return false;
}
#endif
