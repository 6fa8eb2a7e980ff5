// SPDX-License-Identifier: Apache-2.0
/** @file
 * MCUboot's image format: header, payload, TLV area; and the trailer at the end of a slot.
 *
 * Format: MCUboot's docs/design.md ("Image format", "Image trailer").
 */
#pragma once

#include "format/sr_reader.h"
#include "format/sr_sha256.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_MCUBOOT_IMAGE_MAGIC        0x96F3B83Du
#define SR_MCUBOOT_TRAILER_MAGIC_SIZE 16u

typedef enum sr_mcuboot_status {
    SR_MCUBOOT_OK = 0,
    SR_MCUBOOT_READ_FAILED,
    SR_MCUBOOT_BAD_MAGIC, /**< No MCUboot header: wrong magic, or a header size below that of its fields. */
    SR_MCUBOOT_TRUNCATED, /**< Header, payload or TLV area lies past the end of the window. */
    SR_MCUBOOT_BAD_TLV,   /**< TLV area malformed, or no SHA-256 in it. */
    SR_MCUBOOT_BAD_DIGEST,
    SR_MCUBOOT_CRYPTO_FAILED,
} sr_mcuboot_status_t;

typedef struct sr_mcuboot_image {
    uint32_t load_address;
    uint16_t header_size;
    uint16_t protected_tlv_size;
    uint32_t payload_size;
    uint32_t flags;
    uint8_t version_major, version_minor;
    uint16_t version_revision;
    uint32_t version_build;
    uint32_t length;    /**< Header, payload and all TLVs: what of the slot is image. */
    bool has_signature; /**< A signature TLV is there; which key, only the bootloader knows. */
} sr_mcuboot_image_t;

/** The 16 bytes that end a slot whose image asks to be swapped in. */
extern const uint8_t sr_mcuboot_trailer_magic[SR_MCUBOOT_TRAILER_MAGIC_SIZE];

/** Reads header and TLV area; the window is the slot. */
sr_mcuboot_status_t sr_mcuboot_parse(const sr_reader_t *reader, sr_mcuboot_image_t *image);

/** Checks the SHA-256 TLV over header, payload and protected TLVs. */
sr_mcuboot_status_t sr_mcuboot_verify(const sr_reader_t *reader, const sr_mcuboot_image_t *image);

const char *sr_mcuboot_status_text(sr_mcuboot_status_t status);
