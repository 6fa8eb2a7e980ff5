// SPDX-License-Identifier: Apache-2.0
/** @file
 * The parts of content_kind_find(). Each looks for its kinds alone, and fills in what it has found.
 *
 * Each returns false, and has changed nothing, if the bytes are something else.
 */
#pragma once

#include "tool/base/content_kind.h"

#include <stdbool.h>
#include <stddef.h>

/** The bytes, and what is known besides. */
typedef struct content_kind_input {
    const uint8_t *bytes;
    uint32_t size;
    const sr_chip_t *chip; /**< NULL: not known. */
    uint32_t table;        /**< Offset of the partition table in a flash. */
} content_kind_input_t;

/** NVS: what ESP-IDF's nvs_flash writes, both versions. */
bool content_kind_nvs(const content_kind_input_t *input, content_t *content);

/** SPIFFS, littlefs (version 2) and FAT, as the components for ESP-IDF make them. */
bool content_kind_file_system(const content_kind_input_t *input, content_t *content);

/** otadata, one valid entry at least, or the shape of it. */
bool content_kind_otadata(const content_kind_input_t *input, content_t *content);

/** ELF, UF2 and gzip. */
bool content_kind_container(const content_kind_input_t *input, content_t *content);

/** Images for ESP32s and for the ESP8266, MCUboot images, tables, and what is merged of them. */
bool content_kind_image(const content_kind_input_t *input, content_t *content);

/** True if a range lies in the bytes and is nothing but 0xFF. */
bool content_kind_is_blank(const content_kind_input_t *input, uint32_t offset, uint32_t length);

/** Copies text from a file, at most @p length bytes up to a zero: what is not printable ASCII becomes '?'. */
void content_kind_text_of(const uint8_t *bytes, size_t length, char *out, size_t capacity);
