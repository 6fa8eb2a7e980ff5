// SPDX-License-Identifier: Apache-2.0
/** @file
 * The ESP application image format, used by second-stage bootloaders and applications alike.
 *
 * Format: `esp_image_header_t` and `esp_image_segment_header_t` in ESP-IDF's esp_app_format.h; esptool's documentation,
 * "Firmware Image Format". 24 byte header, segments (8 byte header and data), zero padding, one checksum byte as the
 * last of a multiple of 16 bytes, and, if the header says so, a SHA-256 over all of that.
 */
#pragma once

#include "format/sr_reader.h"
#include "format/sr_sha256.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_IMAGE_MAGIC        0xE9u
#define SR_IMAGE_MAX_SEGMENTS 16u
#define SR_IMAGE_HEADER_SIZE  24u
#define SR_APP_DESC_MAGIC     0xABCD5432u /**< esp_app_desc_t, first in the first segment of an app. */

typedef enum sr_image_status {
    SR_IMAGE_OK = 0,
    SR_IMAGE_READ_FAILED,   /**< The reader failed. */
    SR_IMAGE_BAD_MAGIC,     /**< The first byte is not 0xE9. */
    SR_IMAGE_BAD_SEGMENTS,  /**< No segment, more than 16 of them, or a segment whose length is nonsense. */
    SR_IMAGE_TRUNCATED,     /**< A segment, the checksum or the digest lies past the end of the window. */
    SR_IMAGE_BAD_CHECKSUM,  /**< The XOR over all segment data differs from the stored byte. */
    SR_IMAGE_BAD_DIGEST,    /**< The appended SHA-256 does not match. */
    SR_IMAGE_CRYPTO_FAILED, /**< The crypto library reported an error. */
} sr_image_status_t;

typedef struct sr_image_segment {
    uint32_t load_address;
    uint32_t length;      /**< Bytes of data. */
    uint32_t data_offset; /**< Of the data, from the start of the image. */
} sr_image_segment_t;

typedef struct sr_image {
    uint8_t segment_count; /**< Filled entries of `segments`: after a failure those read so far, never more than 16. */
    uint8_t spi_mode;      /**< 0 QIO, 1 QOUT, 2 DIO, 3 DOUT, 4 fast read, 5 slow read. */
    uint8_t spi_speed;     /**< Low nibble of byte 3; its meaning depends on the chip. */
    uint8_t spi_size;      /**< High nibble of byte 3: flash is 1 MiB << spi_size. */
    uint32_t entry;
    uint16_t chip_id;
    uint8_t min_chip_rev;       /**< Old field: major revision only. */
    uint16_t min_chip_rev_full; /**< major * 100 + minor. */
    uint16_t max_chip_rev_full;
    bool hash_appended;
    sr_image_segment_t segments[SR_IMAGE_MAX_SEGMENTS];
    uint32_t checksum_offset; /**< Of the checksum byte, from the start of the image. */
    uint32_t length;          /**< Whole image: header to checksum, plus 32 bytes of digest if appended. */
} sr_image_t;

/** Descriptor strings of an app (esp_app_desc_t), zero-terminated. */
typedef struct sr_image_app_desc {
    char version[33];
    char project_name[33];
    char time[17];
    char date[17];
    char idf_ver[33];
    uint8_t elf_sha256[SR_SHA256_SIZE];
} sr_image_app_desc_t;

/** Which Secure Boot a chip has on. */
typedef enum sr_image_secure_boot {
    SR_IMAGE_SECURE_BOOT_OFF = 0,
    SR_IMAGE_SECURE_BOOT_V2, /**< Bootloader and app carry a block with magic 0xE7. */
    SR_IMAGE_SECURE_BOOT_V1, /**< ESP32 only. An app carries 68 bytes; a bootloader nothing: the ROM compares a keyed
                            digest that lies at 0x0. */
} sr_image_secure_boot_t;

/** What an image demands of the eFuses, from the descriptor that is the first thing in its first segment. */
typedef struct sr_image_demands {
    bool has_descriptor;           /**< Present in an app. */
    uint32_t secure_version;       /**< Of an app; 0 without descriptor. */
    uint16_t min_block, max_block; /**< Revisions of the eFuse block, major * 100 + minor, as bootloaders read them:
                                        whether there is a descriptor or not. 0 and 0xFFFF: any. */
    uint8_t bootloader_version;    /**< Secure version of a bootloader; 0 without descriptor. */
} sr_image_demands_t;

#define SR_IMAGE_DEMANDS_END 212u /**< Bytes from the start of the image that sr_image_read_demands() reads. */

/**
 * Reads header and segment table; touches no segment data.
 *
 * @param reader Window that starts with the image; its size is the room the image may take.
 * @param[out] image Filled as far as parsing came (magic and header fields are valid unless READ_FAILED/BAD_MAGIC).
 * @return SR_IMAGE_OK, READ_FAILED, BAD_MAGIC, BAD_SEGMENTS or TRUNCATED.
 */
sr_image_status_t sr_image_parse(const sr_reader_t *reader, sr_image_t *image);

/**
 * Checks checksum and, if appended, digest of a parsed image. Reads the image once.
 *
 * @param[out] digest If not NULL: SHA-256 over the whole image but the appended digest, computed in any case.
 * @return SR_IMAGE_OK, READ_FAILED, BAD_CHECKSUM, BAD_DIGEST or CRYPTO_FAILED; TRUNCATED if the window has shrunk.
 */
sr_image_status_t sr_image_verify(const sr_reader_t *reader, const sr_image_t *image, uint8_t digest[SR_SHA256_SIZE]);

/**
 * Reads the app descriptor.
 * @return true if there is one; false also for reader errors and bootloaders.
 */
bool sr_image_app_desc(const sr_reader_t *reader, const sr_image_t *image, sr_image_app_desc_t *desc);

/** Reads what an image demands of the eFuses. @return false if the window is too small, or the reader failed. */
bool sr_image_read_demands(const sr_reader_t *reader, sr_image_demands_t *demands);

/** True if a signature block for this Secure Boot (version 1: 68 bytes right after the image; version 2: magic 0xE7 at
 * the next 4 KiB boundary; off: one of either kind) follows the image inside the window. Its signature is not verified
 * here: the ROM and the bootloader hold the key. */
bool sr_image_has_signature_block(const sr_reader_t *reader, const sr_image_t *image,
                                  sr_image_secure_boot_t secure_boot);

/** What the status means, in words for a log line; never NULL. */
const char *sr_image_status_text(sr_image_status_t status);
