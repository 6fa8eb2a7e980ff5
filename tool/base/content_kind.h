// SPDX-License-Identifier: Apache-2.0
/** @file
 * What bytes are, by themselves: an app, a partition table, a file system, an ELF file, ...
 *
 * Signatures only: whether an image is intact, or a table valid, is for those who read them. No input is refused here.
 */
#pragma once

#include "format/sr_chip.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum content_kind {
    CONTENT_KIND_UNKNOWN,
    CONTENT_KIND_BLANK, /**< Erased flash: nothing but 0xFF. */
    CONTENT_KIND_APP,
    CONTENT_KIND_BOOTLOADER,   /**< One ESP image that is no app, perhaps padded. */
    CONTENT_KIND_MERGED,       /**< A bootloader and more, or a table where a flash has it. */
    CONTENT_KIND_FLASH,        /**< The same, of a size that a flash has; or such a size and nothing known. */
    CONTENT_KIND_MCUBOOT_SLOT, /**< One MCUboot image. */
    CONTENT_KIND_TABLE,        /**< A partition table alone, perhaps invalid. */
    CONTENT_KIND_OTADATA,
    CONTENT_KIND_NVS,
    CONTENT_KIND_SPIFFS,
    CONTENT_KIND_LITTLEFS,
    CONTENT_KIND_FAT,
    CONTENT_KIND_ELF,
    CONTENT_KIND_UF2,
    CONTENT_KIND_GZIP,
    CONTENT_KIND_ESP8266, /**< An image for that chip, which has another ROM. */
} content_kind_t;

#define CONTENT_KIND_FACTS_SIZE 200

typedef struct content {
    content_kind_t kind;
    const sr_chip_t *chip; /**< Told by an image's header or a UF2 family; NULL: not told. */
    uint32_t base;         /**< Where in flash it was made to start: of BOOTLOADER and MERGED; else 0. */
    uint32_t needs;        /**< Bytes that it says it has, of the file systems and UF2; 0: it does not say. */
    char facts[CONTENT_KIND_FACTS_SIZE]; /**< More about data and containers, printable ASCII in one line, or "". */
} content_t;

/**
 * Finds out what bytes are. Pure: the same bytes, the same answer.
 * @param size Of the bytes, from 0 on.
 * @param chip The chip they are for, if known otherwise; NULL: told by the bytes.
 * @param table Offset of the partition table in a flash.
 */
void content_kind_find(const uint8_t *bytes, uint32_t size, const sr_chip_t *chip, uint32_t table, content_t *content);

/** True if a partition table begins at an offset: its first entry has the magic. The rest may be damaged. */
bool content_kind_has_table(const uint8_t *bytes, uint32_t size, uint32_t offset);

/** "app", "nvs", ... as in JSON; and in words. */
const char *content_kind_name(content_kind_t kind);
const char *content_kind_text(content_kind_t kind);

/** Of a kind that is mistaken for an image: "is an ELF file: ...", how to make an image of it. NULL: it is none. */
const char *content_kind_mistaken(content_kind_t kind);
