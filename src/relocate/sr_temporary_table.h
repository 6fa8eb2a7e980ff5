// SPDX-License-Identifier: Apache-2.0
/** @file
 * A way for the running app where no OTA slot takes it: a copy in free flash, and a partition table in which its entry
 * lies there, until the one that is wanted replaces it.
 *
 * Only the app's own entry changes its place, so that otadata goes on selecting it, and an app without otadata moves,
 * too. Rewriting the table's sector is a window: a power cut in it leaves a chip that does not boot.
 */
#pragma once

#include "format/sr_region.h"
#include "system/sr_system.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** What a sector is to the caller, as a place for the copy. */
typedef enum sr_temporary_table_room {
    SR_TEMPORARY_TABLE_ROOM_TAKEN, /**< Not to be touched. */
    SR_TEMPORARY_TABLE_ROOM_OPEN,  /**< As far as the caller knows; a part of an OTA slot or of no partition may be taken. */
    SR_TEMPORARY_TABLE_ROOM_FREE,  /**< Whatever it holds, nobody wants it. */
} sr_temporary_table_room_t;

typedef sr_temporary_table_room_t (*sr_temporary_table_classifier_t)(void *context, uint32_t address);

/** Where the running app could go. */
typedef struct sr_temporary_table_place {
    uint32_t address; /**< UINT32_MAX: nowhere. */
    uint32_t largest; /**< Bytes of the largest room for it; at most its length. */
    bool rejected;    /**< There is room, but the bootloader would not start the app from there. */
} sr_temporary_table_place_t;

/**
 * Looks for a place of the running app's length: starts at a multiple of 64 KiB, is needed by nobody, and a table that
 * names it would be accepted by the bootloader, which would start the app from there. What belongs to no partition is
 * taken if it is blank, or holds what a copy that was cut short left there. Changes no flash.
 * @param[out] place Rejected is any with flash encryption, where the table says what is encrypted, and with Secure
 * Boot, where a bootloader may verify a signature over the table; and if a recovery bootloader started the chip.
 * @return ESP_OK; ESP_ERR_NO_MEM; or an error of esp_flash
 */
esp_err_t sr_temporary_table_find(const sr_system_t *system, sr_temporary_table_classifier_t classifier, void *context,
                                  sr_temporary_table_place_t *place);

/**
 * Writes the table that names the running app at @p address, where a copy of it lies. The caller restarts the chip.
 * @return ESP_OK; ESP_ERR_NO_MEM; ESP_ERR_INVALID_STATE if the bootloader would not start it; or an error of esp_flash:
 *         nothing was changed then, unless it is ESP_ERR_SELF_REFLASHER_VERIFY or the error of a sector that could not
 *         be made right in about a minute
 */
esp_err_t sr_temporary_table_write(const sr_system_t *system, uint32_t address);
