// SPDX-License-Identifier: Apache-2.0
/** @file
 * eFuses in a file, as `espefuse summary --format json` of esptool 4 and 5 prints them.
 */
#pragma once

#include "sim/boot/boot_model.h"

/**
 * Reads a summary. What esptool prints in front of it does no harm.
 * @param[in,out] chip The chip that it is of; if that is known already, it must be the same one. Revision, what the
 * eFuses demand of images, the recovery bootloader and what is burnt for security become those of the summary.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int efuse_file_load(const char *path, boot_chip_t *chip);
