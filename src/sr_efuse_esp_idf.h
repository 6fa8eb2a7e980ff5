// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the eFuses of this chip say about the images that it takes. Reads them, and never burns one.
 */
#pragma once

#include "sr_chip.h"
#include "sr_image.h"

/** Which Secure Boot is on, by the eFuses: what the running app was built for does not count. */
sr_secure_boot_t sr_efuse_secure_boot(const sr_chip_t *chip);

/** What the eFuses demand of images. */
sr_efuses_t sr_efuse_read(const sr_chip_t *chip);
