// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the eFuses of this chip demand of images. Reads eFuses, and never burns one.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_secure_boot.h"

#include "sdkconfig.h"
#include "soc/soc_caps.h"

#include <stdbool.h>
#include <stdint.h>

/* Builds for the first revisions of the ESP32-P4 have no name for the eFuse field, and these chips do not have it. */
#if SOC_RECOVERY_BOOTLOADER_SUPPORTED && !CONFIG_ESP32P4_SELECTS_REV_LESS_V3
#define SR_EFUSE_KNOWS_RECOVERY 1 /**< The chip's ROM may support a recovery bootloader. */
#else
#define SR_EFUSE_KNOWS_RECOVERY 0
#endif

/** Which Secure Boot is on, by the eFuses: what the running app was built for does not count. */
sr_image_secure_boot_t sr_efuse_secure_boot(const sr_chip_t *chip);

/** The key digests of Secure Boot V2 that are burnt. */
sr_secure_boot_keys_t sr_efuse_keys(const sr_chip_t *chip);

/** What the eFuses demand of images. */
sr_chip_efuses_t sr_efuse_read(const sr_chip_t *chip);

/** Flash offset of the recovery bootloader that is burnt; UINT32_MAX if none is, or if chip or ESP-IDF do not support
 * one. */
uint32_t sr_efuse_recovery_offset(void);

/** True if the ROM started this boot from the recovery bootloader. @param offset From sr_efuse_recovery_offset(). */
bool sr_efuse_recovery_started(uint32_t offset);
