// SPDX-License-Identifier: Apache-2.0
/** @file
 * Writes signature blocks of Secure Boot V2, as espsecure does; also with keys and signatures that are none, for
 * whatever looks at digests alone.
 */
#pragma once

#include "format/sr_secure_boot.h"
#include "make/image_writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct signature_block {
    sr_secure_boot_scheme_t scheme;
    uint8_t key;      /**< Number of a key that is none: other bytes for each. */
    uint32_t private; /**< From signature_block_new_key(); 0: the one that is none. */
    bool torn;        /**< Its last page is missing, with the CRC. */
    bool other_image; /**< Its digest is that of another image. */
    bool forged;      /**< Intact, and the signature is wrong. */
} signature_block_t;

/** Makes a key, which lasts as long as the program. @return 0 if the crypto library failed. */
uint32_t signature_block_new_key(sr_secure_boot_scheme_t scheme);

/**
 * Pads an image to whole sectors, and appends a sector with blocks.
 * @param[in,out] length Bytes of the image, then with the sector.
 * @param count Up to SR_SECURE_BOOT_MAX_BLOCKS.
 */
image_write_status_t signature_block_append(uint8_t *image, size_t *length, size_t capacity,
                                            const signature_block_t *blocks, unsigned count);

/** The digest of a block's key, as eFuses hold it. @return false if the crypto library failed. */
bool signature_block_key(const signature_block_t *block, uint8_t digest[SR_SHA256_SIZE]);
