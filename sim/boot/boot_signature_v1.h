// SPDX-License-Identifier: Apache-2.0
/** @file
 * Secure Boot V1 as a bootloader verifies an app: ECDSA P-256, with a public key that is linked into the bootloader.
 */
#pragma once

#include "sim/boot/boot_internal.h"

/**
 * What is wrong with the signature after an app. A bootloader without a public key was not built for Secure Boot V1,
 * and verifies none.
 * @param length Of the image, with an appended digest.
 * @return Goes on after "it "; NULL: nothing.
 */
const char *boot_signature_v1_fault(const boot_t *boot, uint32_t address, uint32_t length);
