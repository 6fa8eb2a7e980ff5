// SPDX-License-Identifier: Apache-2.0
/** @file
 * Names for numbers in headers and tables, as esptool and gen_esp32part.py spell them.
 */
#pragma once

#include "tool/report/contents.h"

#define NAME_SIZE 16

/** "app", "data" or "0x40". */
const char *partition_type_name(const sr_partition_table_entry_t *entry, char out[NAME_SIZE]);
/** "ota_0", "nvs" or "0x99". */
const char *partition_subtype_name(const sr_partition_table_entry_t *entry, char out[NAME_SIZE]);
/** "NEW", "VALID", ... or "0x5". */
const char *ota_state_name(uint32_t state, char out[NAME_SIZE]);
/** "DIO" or "mode 9". */
const char *flash_mode_name(const sr_image_t *image, char out[NAME_SIZE]);
/** "40 MHz", by the rules of the chip, or "clock 7". */
const char *flash_clock_name(const sr_chip_t *chip, const sr_image_t *image, char out[NAME_SIZE]);
/** "4MB", as esptool's --flash-size. */
const char *flash_size_name(const sr_image_t *image, char out[NAME_SIZE]);
/** "good", "wrong", "none" or "not checked". */
const char *check_state_name(check_state_t state);
