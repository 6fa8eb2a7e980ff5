// SPDX-License-Identifier: Apache-2.0
/** @file
 * The fields that the component reads. Where their bits are differs from chip to chip; these are those of the
 * ESP32-C61.
 */
#pragma once

#include "esp_efuse.h"

#ifdef __cplusplus
extern "C" {
#endif

/** 12 bits: first sector of the recovery bootloader; 0 and 0xFFF: there is none. */
extern const esp_efuse_desc_t *ESP_EFUSE_RECOVERY_BOOTLOADER_FLASH_SECTOR[];

/** Revision of the eFuse block: 2 and 3 bits. */
extern const esp_efuse_desc_t *ESP_EFUSE_BLK_VERSION_MAJOR[];
extern const esp_efuse_desc_t *ESP_EFUSE_BLK_VERSION_MINOR[];

/** One bit each: no image's maximum counts. */
extern const esp_efuse_desc_t *ESP_EFUSE_DISABLE_WAFER_VERSION_MAJOR[];
extern const esp_efuse_desc_t *ESP_EFUSE_DISABLE_BLK_VERSION_MAJOR[];

/** Anti-rollback of apps: as many bits are burnt as the version says. */
extern const esp_efuse_desc_t *ESP_EFUSE_SECURE_VERSION[];

/** Anti-rollback of bootloaders, and whether the ROM checks it. */
extern const esp_efuse_desc_t *ESP_EFUSE_BOOTLOADER_ANTI_ROLLBACK_EN[];
extern const esp_efuse_desc_t *ESP_EFUSE_BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION[];

/** Of the ESP32 alone: Secure Boot V1 and V2 are on. */
extern const esp_efuse_desc_t *ESP_EFUSE_ABS_DONE_0[];
extern const esp_efuse_desc_t *ESP_EFUSE_ABS_DONE_1[];

#ifdef __cplusplus
}
#endif
