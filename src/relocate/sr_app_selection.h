// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which app the bootloader starts next, and making it the running one or its copy: by otadata.
 *
 * A power loss at any moment leaves an app selected that is whole: a new entry goes to the sector that does not count.
 */
#pragma once

#include "flash/sr_copy.h"
#include "format/sr_partition_table.h"
#include "system/sr_slots.h"
#include "system/sr_system.h"

#include "esp_err.h"
#include "esp_partition.h"

#include <stdbool.h>

/** Whether the bootloader will start the app that runs once more. */
typedef enum sr_app_selection {
    SR_APP_SELECTION_STARTS,       /**< It tries this one first, or which one it tries cannot be told. */
    SR_APP_SELECTION_CAN_START,    /**< It tries another one first, which sr_app_selection_keep() changes. */
    SR_APP_SELECTION_CANNOT_START, /**< It tries another one first, and otadata cannot select this one. */
} sr_app_selection_t;

/**
 * Reads which app the bootloader will try first. Changes nothing.
 * @param table Memory to work with: a caller may be short of it.
 * @param[out] selection Set if the result is ESP_OK.
 * @return ESP_OK; ESP_ERR_NO_MEM; or an error of esp_flash.
 */
esp_err_t sr_app_selection_read(const sr_system_t *system, sr_partition_table_t *table, sr_app_selection_t *selection);

/**
 * Makes otadata select the running app, if the bootloader would try another one before it at one of the next starts.
 * @param workspace Its content is lost; NULL: it is allocated.
 * @return ESP_OK; ESP_ERR_NO_MEM; ESP_ERR_INVALID_STATE if no otadata selects the running app;
 * ESP_ERR_SELF_REFLASHER_VERIFY; or an error of esp_flash.
 */
esp_err_t sr_app_selection_keep(const sr_system_t *system, sr_copy_workspace_t *workspace);

/** True if otadata can select each of these slots: bootloader and ESP-IDF count them in different ways where the
 * numbers of a table have a gap, and there no sequence number selects the same slot for both. */
bool sr_app_selection_is_possible(const sr_slots_t *slots);

/**
 * Tells whether otadata selects a slot.
 * @return ESP_OK; ESP_ERR_NO_MEM; or an error of esp_flash.
 */
esp_err_t sr_app_selection_is(const sr_system_t *system, const esp_partition_t *slot, bool *selected);

/**
 * Makes otadata select a slot.
 * @param workspace Its content is lost.
 * @return ESP_OK; ESP_ERR_NO_MEM; ESP_ERR_SELF_REFLASHER_VERIFY; or an error of esp_flash.
 */
esp_err_t sr_app_selection_set(const sr_system_t *system, const esp_partition_t *slot, sr_copy_workspace_t *workspace);
