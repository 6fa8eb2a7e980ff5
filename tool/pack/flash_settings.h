// SPDX-License-Identifier: Apache-2.0
/** @file
 * Flash size, mode and clock in a bootloader's header, spelled and changed as esptool does.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"

#include <stdbool.h>
#include <stdint.h>

/** What the header must say, as esptool's options spell it ("4MB", "dio", "40m"); empty: unchanged. */
typedef struct flash_settings {
    char size[8], mode[8], freq[8];
} flash_settings_t;

/** Takes one setting over, "keep" and "detect" as empty. @return false if the value is longer than any known one. */
bool flash_setting_set(char setting[8], const char *value);

#define FLASH_SETTINGS_TEXT_SIZE 128
/** What is wrong with the settings for this chip, and which ones it supports; or NULL. @param[out] out Room for the
 * text. */
const char *flash_settings_problem(const flash_settings_t *settings, const sr_chip_t *chip,
                                   char out[FLASH_SETTINGS_TEXT_SIZE]);

/** Bytes of a flash of this size, which flash_settings_problem() has found right; 0 for an empty one. */
uint32_t flash_settings_bytes(const flash_settings_t *settings);

/**
 * Changes a bootloader's header, and its digest if it has one.
 * @param image The bootloader and @p room bytes from its start on.
 * @return NULL, or why it cannot be done.
 */
const char *flash_settings_apply(const flash_settings_t *settings, const sr_chip_t *chip, uint8_t *image,
                                 uint32_t room);
