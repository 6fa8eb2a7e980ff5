// SPDX-License-Identifier: Apache-2.0
/** @file
 * Taking over the chip, so that code in RAM can overwrite the app that it belongs to.
 *
 * Needs CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP, which puts the code that runs from then on into RAM (linker.lf)
 * and rules out the build options that put the flash driver anywhere else.
 *
 * The esp_flash driver is told to work without an OS, as for a core dump after a crash. From then on it
 * reads, programs and erases with the cache off during each operation, and never blocks, allocates or yields.
 */
#pragma once

#include "esp_err.h"

/**
 * @brief Stop everything else on the chip: the other core, the scheduler, all interrupts, the watchdogs.
 *
 * This is the last call that may run code from flash. After ESP_OK the caller
 * - runs from RAM with its constants in RAM, and so does all that it calls: that is esp_flash_read(),
 *   esp_flash_write() and esp_flash_erase_region(), memcpy(), memcmp() and memset(), functions of the ROM; not
 *   esp_flash_read_encrypted(), logging, heap, partition or FreeRTOS functions
 * - hands the flash driver buffers in internal RAM only
 * - never returns to code in flash, but ends with sr_in_place_restart()
 *
 * Call it from a task whose stack is in internal RAM, as for any flash operation.
 *
 * @return
 *  - ESP_OK: there is no way back
 *  - ESP_ERR_NOT_SUPPORTED: the option above is off; nothing was changed
 *  - ESP_ERR_INVALID_STATE: the scheduler does not run; nothing was changed
 */
esp_err_t sr_in_place_enter(void);

/** @brief Reset the chip with a function of the ROM: needs nothing of the app that was overwritten. */
void sr_in_place_restart(void) __attribute__((noreturn));
