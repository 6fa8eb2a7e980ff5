// SPDX-License-Identifier: Apache-2.0
/** @file
 * Secure Boot V1 of the ESP32 as its ROM verifies it: a digest at 0x0, keyed with an eFuse block.
 */
#pragma once

#include "sim/boot/boot_internal.h"

typedef enum boot_digest {
    BOOT_DIGEST_RIGHT,     /**< Or Secure Boot V1 is off. */
    BOOT_DIGEST_WRONG,     /**< The ROM takes another bootloader, or none. */
    BOOT_DIGEST_NOT_KNOWN, /**< There is no key to compute it with, and it is not what is known to be taken. */
} boot_digest_t;

/** What the ROM makes of the bootloader that was loaded. */
boot_digest_t boot_digest_v1_check(const boot_t *boot);
