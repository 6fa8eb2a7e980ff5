// SPDX-License-Identifier: Apache-2.0
#include "esp_efuse.h"

#include "esp_efuse_table.h"
#include "sim/chip/sim_state.h"

#include <string.h>

#define FIELD(name, field, start, count)                                                                               \
    static const esp_efuse_desc_t name = {.efuse_block = 0, .bit_start = start, .bit_count = count};                   \
    const esp_efuse_desc_t *ESP_EFUSE_##field[] = {&name, NULL}

FIELD(recovery_sector, RECOVERY_BOOTLOADER_FLASH_SECTOR, 134, 12);
FIELD(block_major, BLK_VERSION_MAJOR, 4, 2);
FIELD(block_minor, BLK_VERSION_MINOR, 0, 3);
FIELD(any_max_revision, DISABLE_WAFER_VERSION_MAJOR, 24, 1);
FIELD(any_max_block, DISABLE_BLK_VERSION_MAJOR, 25, 1);
FIELD(secure_version, SECURE_VERSION, 160, 16);
FIELD(bootloader_version_on, BOOTLOADER_ANTI_ROLLBACK_EN, 132, 1);
FIELD(bootloader_version, BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION, 128, 4);
FIELD(secure_boot_v1, ABS_DONE_0, 196, 1);
FIELD(secure_boot_v2, ABS_DONE_1, 197, 1);

static uint32_t value_of(const esp_efuse_desc_t *field)
{
    const sim_config_t *config = &sim_state.config;
    const boot_chip_t *chip = &config->chip;
    const sr_chip_efuses_t *efuses = &chip->efuses;
    if (field == &recovery_sector) {
        return boot_rom_knows_recovery(chip) ? chip->recovery / SR_SECTOR_SIZE : 0;
    }
    if (field == &secure_version) {
        return (1u << efuses->secure_version) - 1u;
    }
    if (field == &bootloader_version_on) {
        return boot_rom_knows_version(chip) && efuses->bootloader_version != 0;
    }
    if (field == &bootloader_version) {
        return (1u << efuses->bootloader_version) - 1u;
    }
    if (field == &secure_boot_v1) {
        return chip->burnt.secure_boot_v1;
    }
    if (field == &secure_boot_v2) {
        return chip->burnt.secure_boot_v2;
    }
    return field == &block_major        ? efuses->block_revision / 100u
           : field == &block_minor      ? efuses->block_revision % 100u
           : field == &any_max_revision ? efuses->ignores_max_revision
                                        : efuses->ignores_max_block;
}

esp_err_t esp_efuse_read_field_blob(const esp_efuse_desc_t *field[], void *dst, size_t dst_size_bits)
{
    sim_flash_code(__func__);
    if (field == NULL || dst == NULL || dst_size_bits == 0) {
        return ESP_ERR_INVALID_ARG;
    }
    const size_t bits = dst_size_bits < field[0]->bit_count ? dst_size_bits : field[0]->bit_count;
    const uint32_t value = value_of(field[0]);
    uint8_t *bytes = dst;
    memset(dst, 0, (dst_size_bits + 7) / 8);
    for (size_t i = 0; i < bits; i++) {
        bytes[i / 8] |= (uint8_t)((value >> i & 1u) << i % 8);
    }
    return ESP_OK;
}

bool esp_efuse_read_field_bit(const esp_efuse_desc_t *field[])
{
    uint8_t bit = 0;
    return esp_efuse_read_field_blob(field, &bit, 1) == ESP_OK && bit != 0;
}

int esp_efuse_get_field_size(const esp_efuse_desc_t *field[])
{
    return field[0]->bit_count;
}

bool esp_efuse_find_purpose(esp_efuse_purpose_t purpose, esp_efuse_block_t *block)
{
    sim_flash_code(__func__);
    const efuse_set_t *burnt = &sim_state.config.chip.burnt;
    const efuse_purpose_t wanted =
        (efuse_purpose_t)(EFUSE_PURPOSE_DIGEST_0 + (purpose - ESP_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST0));
    const efuse_key_t *key = efuse_set_key(burnt, wanted);
    if (key != NULL && block != NULL) {
        *block = (esp_efuse_block_t)(EFUSE_BLK_KEY0 + (key - burnt->keys));
    }
    return key != NULL;
}

esp_err_t esp_efuse_read_block(esp_efuse_block_t blk, void *dst_key, size_t offset_in_bits, size_t size_bits)
{
    sim_flash_code(__func__);
    const size_t first = offset_in_bits / 8;
    const size_t count = size_bits / 8;
    if (offset_in_bits % 8 != 0 || size_bits % 8 != 0) {
        return ESP_ERR_NOT_SUPPORTED; /* By this simulator. */
    }
    if (dst_key == NULL || blk < EFUSE_BLK_KEY0 || blk >= EFUSE_BLK_KEY_MAX || count == 0 || first > EFUSE_KEY_SIZE ||
        count > EFUSE_KEY_SIZE - first) {
        return ESP_ERR_INVALID_ARG;
    }
    const efuse_key_t *key = &sim_state.config.chip.burnt.keys[blk - EFUSE_BLK_KEY0];
    memset(dst_key, 0, count);
    if (key->readable) {
        memcpy(dst_key, key->bytes + first, count);
    }
    return ESP_OK;
}

bool esp_efuse_get_digest_revoke(unsigned num_digest)
{
    sim_flash_code(__func__);
    return num_digest < EFUSE_DIGEST_COUNT && sim_state.config.chip.burnt.revoked[num_digest];
}
