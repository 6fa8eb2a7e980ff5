// SPDX-License-Identifier: Apache-2.0
/** @file Switches the flash driver between "with OS" and "alone on the chip, code in RAM". */
#pragma once

#include "esp_err.h"
#include "esp_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

/** From here on only esp_flash_...() and esp_rom_...() may be called: everything else lives in flash. */
esp_err_t esp_flash_app_disable_os_functions(esp_flash_t *chip);
esp_err_t esp_flash_app_enable_os_functions(esp_flash_t *chip);

#ifdef __cplusplus
}
#endif
