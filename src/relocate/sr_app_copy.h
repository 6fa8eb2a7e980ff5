// SPDX-License-Identifier: Apache-2.0
/** @file
 * A copy of the running app at another place of the flash.
 */
#pragma once

#include "flash/sr_copy.h"
#include "system/sr_system.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Copies the running app at its true length and compares the copy. Nothing selects it yet. Logs the sector that failed.
 * @param program_only What lies there is programmed as it is where that is possible, so that what a power loss has left
 * of a blank sector can be told from what somebody keeps there.
 * @param workspace In internal RAM; its content is lost.
 * @return ESP_OK; ESP_ERR_NO_MEM; ESP_ERR_SELF_REFLASHER_VERIFY; or an error of esp_flash.
 */
esp_err_t sr_app_copy(const sr_system_t *system, uint32_t address, bool program_only, sr_copy_workspace_t *workspace);

/**
 * Tells whether the copy is there, byte for byte.
 * @param workspace Its content is lost.
 * @return ESP_OK or an error of esp_flash.
 */
esp_err_t sr_app_copy_is_there(const sr_system_t *system, uint32_t address, sr_copy_workspace_t *workspace,
                               bool *there);
