// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where some bits of a field are. */
typedef struct {
    uint32_t efuse_block : 8;
    uint32_t bit_start : 8;
    uint32_t bit_count : 16;
} esp_efuse_desc_t;

/** Blocks of keys. Other blocks cannot be read as such here. */
typedef enum {
    EFUSE_BLK_KEY0 = 4,
    EFUSE_BLK_KEY_MAX = 10,
} esp_efuse_block_t;

/** What a key is for. On the ESP32 and the ESP32-C2, whose blocks have fixed purposes, these have other names. */
typedef enum {
    ESP_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST0 = 9,
    ESP_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST1 = 10,
    ESP_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST2 = 11,
} esp_efuse_purpose_t;

/** Finds the key with a purpose. @param[out] block May be NULL. */
bool esp_efuse_find_purpose(esp_efuse_purpose_t purpose, esp_efuse_block_t *block);

/** Reads bits of a key, whole bytes here; zeros where it is not readable. @return ESP_OK or ESP_ERR_INVALID_ARG */
esp_err_t esp_efuse_read_block(esp_efuse_block_t blk, void *dst_key, size_t offset_in_bits, size_t size_bits);

/** True if this digest of Secure Boot V2 is revoked. */
bool esp_efuse_get_digest_revoke(unsigned num_digest);

/** Reads a field, lowest bit first: at most @p dst_size_bits bits, the last byte filled up with zeros. Of the simulated
 *  chip there are the fields that esp_efuse_table.h names. @return ESP_OK or ESP_ERR_INVALID_ARG */
esp_err_t esp_efuse_read_field_blob(const esp_efuse_desc_t *field[], void *dst, size_t dst_size_bits);

/** A field of one bit. */
bool esp_efuse_read_field_bit(const esp_efuse_desc_t *field[]);

/** Bits of a field. */
int esp_efuse_get_field_size(const esp_efuse_desc_t *field[]);

#ifdef __cplusplus
}
#endif
