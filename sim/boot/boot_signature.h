// SPDX-License-Identifier: Apache-2.0
/** @file
 * Secure Boot V2 as ROM and bootloader verify it: key digests in the eFuses, and the signature itself.
 */
#pragma once

#include "sim/boot/boot_internal.h"

#define BOOT_SIGNATURE_WHY_SIZE 84u

/** Who verifies. */
typedef enum boot_verifier {
    BOOT_BY_ROM,    /**< A bootloader. */
    BOOT_BY_LOADER, /**< An app. */
} boot_verifier_t;

/**
 * Tells whether the chip takes an image: Secure Boot is off, or one of the blocks that come after it is intact, of this
 * image, by a key that is burnt and not revoked, and its signature is right. Where not one digest is told, it is not
 * known which keys are burnt, and all images are taken. With version 1, of which the ROM does not know signatures,
 * boot_signature_v1_fault() is asked.
 *
 * Aggressive revocation: ESP-IDF, docs/en/security/secure-boot-v2.rst. The ROM revokes a key as soon as a signature by
 * it is wrong; not for a block that is damaged, nor for one of another image.
 * @param length Of the image, with an appended digest.
 * @param[out] why If not: what is wrong with the block that comes closest, and the beginning of its key's digest.
 */
bool boot_signature_good(const boot_t *boot, boot_verifier_t verifier, uint32_t address, uint32_t length,
                         char why[BOOT_SIGNATURE_WHY_SIZE]);
