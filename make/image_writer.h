// SPDX-License-Identifier: Apache-2.0
/** @file
 * Writes the formats that the parsers of src/ read: ESP images, partition tables, otadata, MCUboot slots, merged
 * images.
 *
 * For tests and demonstrations: small, strict about its arguments, and byte for byte what esptool, ESP-IDF's
 * gen_esp32part.py and imgtool would write. Buffers belong to the caller.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_mcuboot.h"
#include "format/sr_otadata.h"
#include "format/sr_partition_table.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_WRITE_APP_DESC_SIZE        256u
#define IMAGE_WRITE_BOOTLOADER_DESC_SIZE 80u
#define IMAGE_WRITE_OTADATA_SIZE         (2u * SR_SECTOR_SIZE)
#define IMAGE_WRITE_MMU_PAGE_SIZE        0x10000u

typedef enum image_write_status {
    IMAGE_WRITE_OK = 0,
    IMAGE_WRITE_NO_ROOM,       /**< The result does not fit into the buffer or the slot. */
    IMAGE_WRITE_BAD_ARGUMENT,  /**< The format cannot hold what was asked for. */
    IMAGE_WRITE_NO_MEMORY,     /**< Dummy images only: no heap for segment data. */
    IMAGE_WRITE_CRYPTO_FAILED, /**< SHA-256 or MD5 failed in the crypto library. */
} image_write_status_t;

const char *image_write_status_text(image_write_status_t status);

/** One segment of an ESP image. */
typedef struct image_write_segment {
    uint32_t load_address;
    const uint8_t *data;
    uint32_t length; /**< A multiple of 4. */
    bool mapped;     /**< Executed or read in place through the MMU: its data starts at a file offset that is equal to
                          load_address modulo 64 KiB; a padding segment is put in front of it where needed. */
} image_write_segment_t;

/** An ESP image: bootloader or app. */
typedef struct image_write_esp {
    uint16_t chip_id;
    uint8_t spi_mode;  /**< As in sr_image_t. */
    uint8_t spi_speed; /**< As in sr_image_t. */
    uint8_t spi_size;  /**< As in sr_image_t. */
    uint32_t entry;
    uint16_t min_chip_rev_full;
    uint16_t max_chip_rev_full;
    bool append_hash;
    const image_write_segment_t *segments;
    unsigned segment_count;
} image_write_esp_t;

/** @param[out] length Bytes written; 0 on error. */
image_write_status_t image_write_esp(const image_write_esp_t *spec, uint8_t *out, size_t capacity, size_t *length);

/** Descriptor that starts the first segment of an app. Strings longer than their fields are refused. */
image_write_status_t image_write_app_desc(const char *project_name, const char *version, const char *idf_version,
                                          uint8_t out[IMAGE_WRITE_APP_DESC_SIZE]);

/** Descriptor that starts the first segment of an ESP-IDF bootloader (since v5.2). */
image_write_status_t image_write_bootloader_desc(const char *idf_version, uint32_t version,
                                                 uint8_t out[IMAGE_WRITE_BOOTLOADER_DESC_SIZE]);

/** Table with MD5 entry, blank (0xFF) after it. */
image_write_status_t image_write_partition_table(const sr_partition_table_entry_t *entries, unsigned count,
                                                 uint8_t out[SR_PARTITION_TABLE_SIZE]);

/** Both sectors of otadata: one entry in the first of them, the second is blank. */
void image_write_otadata(uint32_t sequence, uint32_t state, uint8_t out[IMAGE_WRITE_OTADATA_SIZE]);

/** What the trailer of a slot asks of MCUboot. */
typedef enum image_write_trailer {
    IMAGE_WRITE_TRAILER_NONE,      /**< No trailer: nothing is asked. */
    IMAGE_WRITE_TRAILER_TEST,      /**< Swap in, and back again at the next boot unless confirmed. */
    IMAGE_WRITE_TRAILER_CONFIRMED, /**< Swap in for good. */
} image_write_trailer_t;

/** What Espressif's port of MCUboot finds first in the payload. Flash offsets count from the start of the slot. */
typedef struct image_write_load_header {
    uint32_t entry;
    uint32_t iram_address, iram_offset, iram_size;
    uint32_t dram_address, dram_offset, dram_size;
    uint32_t irom_address, irom_offset, irom_size;
    uint32_t drom_address, drom_offset, drom_size;
} image_write_load_header_t;

#define IMAGE_WRITE_LOAD_HEADER_SIZE    96u
#define IMAGE_WRITE_MCUBOOT_HEADER_SIZE 32u

void image_write_load_header(const image_write_load_header_t *header, uint8_t out[IMAGE_WRITE_LOAD_HEADER_SIZE]);

/** An MCUboot image without signature. */
typedef struct image_write_mcuboot {
    uint8_t version_major, version_minor;
    uint16_t version_revision;
    uint32_t version_build;
    const uint8_t *payload; /**< Starts with the load header. */
    uint32_t payload_size;
    uint32_t slot_size; /**< The result is exactly this long: image, blank, trailer. */
    image_write_trailer_t trailer;
} image_write_mcuboot_t;

image_write_status_t image_write_mcuboot(const image_write_mcuboot_t *spec, uint8_t *out, size_t capacity);

/** One part of a merged image. */
typedef struct image_write_part {
    uint32_t address; /**< Flash address. */
    const uint8_t *data;
    size_t length;
} image_write_part_t;

/**
 * Puts parts into one image for the flash address @p base, 0xFF between them; it ends where the last part ends.
 * Parts that start before @p base or overlap are refused.
 */
image_write_status_t image_write_merged(const image_write_part_t *parts, unsigned count, uint32_t base, uint8_t *out,
                                        size_t capacity, size_t *length);
