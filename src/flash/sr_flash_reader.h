// SPDX-License-Identifier: Apache-2.0
/** @file
 * Flash as a reader, for parsers.
 */
#pragma once

#include "flash/sr_flash.h"
#include "format/sr_reader.h"

#include "esp_err.h"

#include <stdint.h>

/** A part of the flash as a reader of plaintext. */
typedef struct sr_flash_reader_window {
    const sr_flash_t *flash;
    uint32_t address;
    esp_err_t err; /**< Of the last read that failed: parsers only tell that one failed. */
} sr_flash_reader_window_t;

/**
 * Makes a reader over [address, address + size) of the flash. What is read counts for sr_yield().
 * @param[out] window Storage that must outlive the reader.
 */
sr_reader_t sr_flash_reader(sr_flash_reader_window_t *window, const sr_flash_t *flash, uint32_t address, uint32_t size);
