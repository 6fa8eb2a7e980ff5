// SPDX-License-Identifier: Apache-2.0
/** @file
 * The key file of Secure Boot V1, as `espsecure digest-secure-bootloader` takes it.
 */
#pragma once

#include "sim/boot/boot_model.h"

/**
 * Reads the key that is burnt into a chip.
 * @param efuses_path Where its eFuses are from, for messages; NULL: from nowhere.
 * @param[in,out] chip From then on its key is known.
 * @return STATUS_OK; or after complaining STATUS_USAGE if the chip has no such key, STATUS_BAD_INPUT if the file has
 * none, or another one.
 */
int boot_key_load(const char *path, const char *efuses_path, boot_chip_t *chip);
