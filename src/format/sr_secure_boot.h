// SPDX-License-Identifier: Apache-2.0
/** @file
 * Signature blocks of Secure Boot V2, and whether one is by a key of the chip.
 *
 * Format: ESP-IDF's documentation, "Secure Boot V2", "Signature Block Format"; espsecure of esptool. An image is padded
 * to a multiple of 4 KiB; in the next sector lie up to three blocks of 1216 bytes, little-endian:
 *
 *     offset  RSA-3072                      ECDSA P-192, P-256           ECDSA P-384
 *     0       0xE7, 2, two bytes            0xE7, 3, 0, a byte           0xE7, 3, 1, a byte
 *     4       SHA-256 of image and padding  SHA-256                      SHA-384
 *     36      n, e, R^2 mod n, -1/n         curve 1 or 2, x, y (64)      52: curve 3, x, y (96)
 *     812     signature (384)               101: r, s (64)               149: r, s (96)
 *     1196    CRC-32 of all that
 *
 * What eFuses hold is the SHA-256 of the public key as the block has it. Signatures are not verified here: the mask ROM
 * and the bootloader do that.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "format/sr_sha256.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_SECURE_BOOT_BLOCK_SIZE 1216u
#define SR_SECURE_BOOT_MAX_BLOCKS 3u  /**< In one sector; and keys in the eFuses. */
#define SR_SECURE_BOOT_MAX_DIGEST 48u /**< Bytes of SHA-384. */

typedef enum sr_secure_boot_scheme {
    SR_SECURE_BOOT_RSA_3072,
    SR_SECURE_BOOT_ECDSA_P192,
    SR_SECURE_BOOT_ECDSA_P256,
    SR_SECURE_BOOT_ECDSA_P384,
} sr_secure_boot_scheme_t;

typedef enum sr_secure_boot_status {
    SR_SECURE_BOOT_OK = 0,
    SR_SECURE_BOOT_NO_BLOCK,      /**< No block starts here. */
    SR_SECURE_BOOT_TORN_BLOCK,    /**< One starts here, and its CRC, its version or its curve is wrong. */
    SR_SECURE_BOOT_OTHER_KEY,     /**< It is intact, and its key is in no eFuse. */
    SR_SECURE_BOOT_REVOKED_KEY,   /**< Its key is one that was revoked. */
    SR_SECURE_BOOT_OTHER_IMAGE,   /**< Its key is good, and the digest in it is that of another image. */
    SR_SECURE_BOOT_READ_FAILED,   /**< The reader failed. */
    SR_SECURE_BOOT_CRYPTO_FAILED, /**< The crypto library failed. */
} sr_secure_boot_status_t;

/** A block that is intact. */
typedef struct sr_secure_boot_block {
    sr_secure_boot_scheme_t scheme;
    uint8_t image_digest_size; /**< 32, or 48 for P-384. */
    uint8_t image_digest[SR_SECURE_BOOT_MAX_DIGEST];
    uint8_t key_digest[SR_SHA256_SIZE]; /**< As `espsecure digest-sbv2-public-key` makes it. */
} sr_secure_boot_block_t;

/** A key digest in the eFuses. */
typedef struct sr_secure_boot_key {
    bool burnt;
    bool revoked;
    uint8_t digest[SR_SHA256_SIZE];
} sr_secure_boot_key_t;

/** All of a chip. */
typedef struct sr_secure_boot_keys {
    uint8_t count;       /**< Keys that this chip can have, and blocks that it looks at: 1 (ESP32, ESP32-C2) or 3. */
    uint8_t digest_size; /**< Bytes of a digest that it has and compares: 32, or 16 (ESP32-C2). */
    sr_secure_boot_key_t list[SR_SECURE_BOOT_MAX_BLOCKS];
} sr_secure_boot_keys_t;

/** Whether an image is one of the chip's, and by which key. */
typedef struct sr_secure_boot_result {
    sr_secure_boot_status_t status;     /**< Of the block that is good; else of the one that comes closest to it. */
    uint8_t block;                      /**< Its number, from 0. */
    uint8_t key_digest[SR_SHA256_SIZE]; /**< Its key's; zero unless the block is intact. */
} sr_secure_boot_result_t;

/** Offset of the first block from the start of the image: the next multiple of 4 KiB. No overflow: past 4 GiB no reader
 * has anything. */
uint64_t sr_secure_boot_offset(const sr_image_t *image);

/**
 * Reads one block.
 * @param reader Window that starts with the image.
 * @param number From 0, below SR_SECURE_BOOT_MAX_BLOCKS.
 * @param[out] block Filled if it is intact.
 * @return SR_SECURE_BOOT_OK, NO_BLOCK, TORN_BLOCK, READ_FAILED or CRYPTO_FAILED.
 */
sr_secure_boot_status_t sr_secure_boot_read(const sr_reader_t *reader, const sr_image_t *image, uint32_t number,
                                            sr_secure_boot_block_t *block);

/**
 * Compares the SHA-256 in a block with that of image and padding; of a block for P-384, which has SHA-384, nothing is
 * compared. Reads all of the image.
 * @return SR_SECURE_BOOT_OK, OTHER_IMAGE, READ_FAILED or CRYPTO_FAILED.
 */
sr_secure_boot_status_t sr_secure_boot_compare(const sr_reader_t *reader, const sr_image_t *image,
                                               const sr_secure_boot_block_t *block);

/**
 * Looks for a block that the chip takes: intact, of this image, and its key is burnt and not revoked.
 * @param whole The image can be read as a whole; if not, its digest is not compared.
 * @return result->status.
 */
sr_secure_boot_status_t sr_secure_boot_check(const sr_reader_t *reader, const sr_image_t *image,
                                             const sr_secure_boot_keys_t *keys, bool whole,
                                             sr_secure_boot_result_t *result);

/** What a chip can have, of which nothing is burnt yet. */
sr_secure_boot_keys_t sr_secure_boot_no_keys(const sr_chip_t *chip);

/** Tells whether a key is among those of a chip. @return SR_SECURE_BOOT_OK, OTHER_KEY or REVOKED_KEY. */
sr_secure_boot_status_t sr_secure_boot_find_key(const sr_secure_boot_keys_t *keys,
                                                const uint8_t digest[SR_SHA256_SIZE]);

/** "RSA-3072", "ECDSA P-256", ...; never NULL. */
const char *sr_secure_boot_scheme_name(sr_secure_boot_scheme_t scheme);

/** What the status means, to go on after "it "; never NULL. */
const char *sr_secure_boot_status_text(sr_secure_boot_status_t status);
