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
