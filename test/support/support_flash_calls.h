// SPDX-License-Identifier: Apache-2.0
/** @file
 * A flash driver whose calls are counted, and some of which fail, for programs linked with --wrap=esp_flash_read,
 * esp_flash_write, esp_flash_erase_region, esp_flash_read_encrypted and esp_flash_write_encrypted. Include after
 * cmocka.h.
 */
#pragma once

#include "format/sr_region.h"

#include "esp_flash.h"

#include <stdbool.h>

#define FLASH_READS  1u
#define FLASH_WRITES 2u
#define FLASH_ERASES 4u
#define FLASH_ALL    (FLASH_READS | FLASH_WRITES | FLASH_ERASES)

#define FLASH_FOR_EVER UINT32_MAX

/** Which calls are counted, and fail. */
typedef struct flash_calls {
    unsigned kinds;        /**< FLASH_...; 0: none. */
    sr_region_t place;     /**< Those that begin in here; empty: anywhere. */
    uint32_t from, number; /**< The first one that fails, from 0, and how many do. */
    esp_err_t err;
    uint32_t made; /**< Calls that were counted. */
} flash_calls_t;

static flash_calls_t flash_calls;

/** From now on, so many calls fail, after so many that do not. */
static inline void flash_calls_fail(unsigned kinds, sr_region_t place, uint32_t from, uint32_t number)
{
    flash_calls =
        (flash_calls_t){.kinds = kinds, .place = place, .from = from, .number = number, .err = ESP_ERR_TIMEOUT};
}

/** From now on, these are counted. */
static inline void flash_calls_count(unsigned kinds, sr_region_t place)
{
    flash_calls_fail(kinds, place, 0, 0);
}

/** @return how many were counted */
static inline uint32_t flash_calls_end(void)
{
    const uint32_t made = flash_calls.made;
    flash_calls = (flash_calls_t){0};
    return made;
}

static inline bool flash_call_fails(unsigned kind, uint32_t address)
{
    const bool here = flash_calls.place.size == 0 || sr_region_overlaps(flash_calls.place, (sr_region_t){address, 1});
    if ((flash_calls.kinds & kind) == 0 || !here) {
        return false;
    }
    const uint32_t number = flash_calls.made++;
    return number >= flash_calls.from && number - flash_calls.from < flash_calls.number;
}

esp_err_t __real_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    return flash_call_fails(FLASH_READS, address) ? flash_calls.err
                                                  : __real_esp_flash_read(chip, buffer, address, length);
}

esp_err_t __real_esp_flash_read_encrypted(esp_flash_t *chip, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_esp_flash_read_encrypted(esp_flash_t *chip, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_esp_flash_read_encrypted(esp_flash_t *chip, uint32_t address, void *out, uint32_t length)
{
    return flash_call_fails(FLASH_READS, address) ? flash_calls.err
                                                  : __real_esp_flash_read_encrypted(chip, address, out, length);
}

esp_err_t __real_esp_flash_write(esp_flash_t *chip, const void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_write(esp_flash_t *chip, const void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_write(esp_flash_t *chip, const void *buffer, uint32_t address, uint32_t length)
{
    return flash_call_fails(FLASH_WRITES, address) ? flash_calls.err
                                                   : __real_esp_flash_write(chip, buffer, address, length);
}

esp_err_t __real_esp_flash_write_encrypted(esp_flash_t *chip, uint32_t address, const void *data, uint32_t length);
esp_err_t __wrap_esp_flash_write_encrypted(esp_flash_t *chip, uint32_t address, const void *data, uint32_t length);
esp_err_t __wrap_esp_flash_write_encrypted(esp_flash_t *chip, uint32_t address, const void *data, uint32_t length)
{
    return flash_call_fails(FLASH_WRITES, address) ? flash_calls.err
                                                   : __real_esp_flash_write_encrypted(chip, address, data, length);
}

esp_err_t __real_esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t length);
esp_err_t __wrap_esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t length);
esp_err_t __wrap_esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t length)
{
    return flash_call_fails(FLASH_ERASES, start) ? flash_calls.err : __real_esp_flash_erase_region(chip, start, length);
}
