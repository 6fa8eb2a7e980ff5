// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_efuse.h"

#ifdef __cplusplus
extern "C" {
#endif

/** 12 bits: first sector of the recovery bootloader; 0 and 0xFFF: there is none. Where its bits are differs from chip
 * to chip; these are those of the ESP32-C61. */
extern const esp_efuse_desc_t *ESP_EFUSE_RECOVERY_BOOTLOADER_FLASH_SECTOR[];

#ifdef __cplusplus
}
#endif
