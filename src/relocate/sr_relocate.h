// SPDX-License-Identifier: Apache-2.0
/** @file
 * Moving the running app out of the way: a copy in another OTA slot, selected for the next boot.
 *
 * A power cut at any moment leaves the app bootable where it is now: the copy is selected only once it is complete,
 * with an otadata entry in the sector that does not count yet.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "format/sr_region.h"
#include "system/sr_system.h"

#include "esp_err.h"
#include "esp_partition.h"

#include <stdbool.h>

/** Says whether a region may be overwritten by the copy. */
typedef bool (*sr_relocate_allowed_t)(void *context, sr_region_t room);

/**
 * Finds an OTA slot that takes the running app.
 * @param allowed Asked about the part of the slot that the app would fill.
 * @param[out] slot NULL if there is none, or the running system selects its app by other means than otadata.
 * @return ESP_OK or ESP_ERR_NO_MEM
 */
esp_err_t sr_relocate_find(const sr_system_t *system, sr_relocate_allowed_t allowed, void *context,
                           const esp_partition_t **slot);

/**
 * Copies the running app at its true length, compares it, and selects it for the next boot. The caller restarts the
 * chip. Until the copy is complete the app is selected where it is.
 * @return ESP_OK; ESP_ERR_NO_MEM; ESP_ERR_INVALID_STATE if that was done before and the bootloader started the app
 * where it is all the same: it would do so for ever; likewise if no otadata selects the running app;
 * ESP_ERR_SELF_REFLASHER_VERIFY; or an error of esp_flash.
 */
esp_err_t sr_relocate(const sr_system_t *system, const esp_partition_t *slot);

/**
 * Copies the running app at its true length and compares the copy. Nothing selects it yet.
 * @return ESP_OK; ESP_ERR_NO_MEM; ESP_ERR_SELF_REFLASHER_VERIFY; or an error of esp_flash.
 */
esp_err_t sr_relocate_copy(const sr_system_t *system, uint32_t address);

/** Whether the bootloader will start the app that runs once more. */
typedef enum sr_relocate_start {
    SR_RELOCATE_STARTS,        /**< It tries this one first, or which one it tries cannot be told. */
    SR_RELOCATE_CAN_START,     /**< It tries another one first, which sr_relocate_stay() changes. */
    SR_RELOCATE_CAN_NOT_START, /**< It tries another one first, and otadata cannot select this one. */
} sr_relocate_start_t;

/**
 * Looks which app the bootloader will try first. Changes nothing.
 * @param table Memory to work with: a caller may be short of it.
 * @param[out] start Set if the result is ESP_OK.
 * @return ESP_OK; ESP_ERR_NO_MEM; or an error of esp_flash.
 */
esp_err_t sr_relocate_read_start(const sr_system_t *system, sr_partition_table_t *table, sr_relocate_start_t *start);

/**
 * Makes otadata select the running app, if the bootloader would try another one before it at one of the next starts.
 * @return ESP_OK; ESP_ERR_NO_MEM; ESP_ERR_INVALID_STATE if no otadata selects the running app;
 * ESP_ERR_SELF_REFLASHER_VERIFY; or an error of esp_flash.
 */
esp_err_t sr_relocate_stay(const sr_system_t *system);
