// SPDX-License-Identifier: Apache-2.0
/** @file
 * Secure Boot V1 of the ESP32: the digest of the bootloader at 0x0, and whether the two go together.
 *
 * Format: ESP-IDF's documentation, "Secure Boot V1", "Secure Bootloader Digest Algorithm"; espsecure of esptool,
 * digest-secure-bootloader:
 *
 *     offset  bytes
 *     0       128    IV: random
 *     128     64     digest of IV and bootloader, keyed with an eFuse block
 *
 * Software reads neither key nor result, so that a digest can only be seen to be there, not to be right.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"

#include <stdint.h>

#define SR_SECURE_BOOT_V1_IV_SIZE     128u /**< Also the unit in which the hardware takes the bootloader. */
#define SR_SECURE_BOOT_V1_DIGEST_SIZE 192u /**< IV included. */

typedef enum sr_secure_boot_v1_status {
    SR_SECURE_BOOT_V1_OK = 0,      /**< Bootloader and digest stay as they are, or both are others. */
    SR_SECURE_BOOT_V1_NO_DIGEST,   /**< The bootloader is another one, and the digest is not. */
    SR_SECURE_BOOT_V1_ERASED,      /**< There would be no digest any more. */
    SR_SECURE_BOOT_V1_ALONE,       /**< The digest is another one, and the bootloader is not. */
    SR_SECURE_BOOT_V1_READ_FAILED, /**< A reader failed. */
} sr_secure_boot_v1_status_t;

/** How much of a bootloader the hardware takes: without its appended SHA-256, in whole units; what comes after the
 * image fills up the last one. */
uint32_t sr_secure_boot_v1_length(const sr_image_t *image);

/**
 * Compares bootloader and digest as they are with what they will be.
 * @param before, after The whole flash, as plaintext.
 */
sr_secure_boot_v1_status_t sr_secure_boot_v1_check(const sr_reader_t *before, const sr_reader_t *after,
                                                   const sr_chip_t *chip);

/** What is wrong, and the way out, to go on after "Secure Boot V1 is on: "; never NULL. */
const char *sr_secure_boot_v1_text(sr_secure_boot_v1_status_t status);
