// SPDX-License-Identifier: Apache-2.0
/** @file ESP-IDF's flash API on the simulated chip's NOR flash. NULL as chip: the main flash. */
#pragma once

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct esp_flash_t esp_flash_t;

struct esp_flash_t {
    uint32_t size; /**< Bytes, as the bootloader's header says. */
};

extern esp_flash_t *esp_flash_default_chip;

/** Size that the bootloader's header says: nothing past it can be reached. */
esp_err_t esp_flash_get_size(esp_flash_t *chip, uint32_t *out_size);
/** Size that the chip itself tells. */
esp_err_t esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *flash_size);
esp_err_t esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t len);
esp_err_t esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t esp_flash_write(esp_flash_t *chip, const void *buffer, uint32_t address, uint32_t length);
/** Address and length are multiples of 16. */
esp_err_t esp_flash_write_encrypted(esp_flash_t *chip, uint32_t address, const void *buffer, uint32_t length);
/** Decrypts whatever is there; without flash encryption, reads it as it is. */
esp_err_t esp_flash_read_encrypted(esp_flash_t *chip, uint32_t address, void *out_buffer, uint32_t length);

#ifdef __cplusplus
}
#endif
