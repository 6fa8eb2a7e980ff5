// SPDX-License-Identifier: Apache-2.0
/** @file
 * Shared between the files of the migration, and nobody else.
 */
#pragma once

#include "sr_migration_esp_idf.h"

#define SR_NO_ADDRESS UINT32_MAX

struct sr_migration_buffers {
    uint8_t list[SR_SECTOR_SIZE];    /**< Entries of the commit. */
    uint8_t scratch[SR_SECTOR_SIZE]; /**< Sector in work. */
    uint8_t readback[SR_WRITER_READBACK_SIZE];
};

/** Compares the flash with the manifest and marks what the running system needs.
 *  @return ESP_OK or an error of the flash. */
esp_err_t sr_migration_survey(sr_migration_t *migration);

/** Does that once more for whole sectors that were written since.  @return as sr_migration_survey(). */
esp_err_t sr_migration_survey_again(sr_migration_t *migration, sr_region_t region);

/** Compares one sector with what the bundle wants there. @return ESP_OK or an error of the flash. */
esp_err_t sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right);

/** The flash as it will be, as a reader for checks. */
sr_reader_t sr_migration_result(sr_migration_t *migration);

/** True if the target wants nothing in a room, and the bundle does not lie there. @param context sr_migration_t */
bool sr_migration_leaves_alone(void *context, sr_region_t room);

/** Looks for a recovery bootloader that stands in while the bootloader is written, and tells map, plan and stage.
 * Changes no flash. @return ESP_OK, also without one; or ESP_ERR_SELF_REFLASHER_REFUSED */
esp_err_t sr_migration_find_recovery(sr_migration_t *migration);

/** Reads the whole app that will boot, if the first check saw only its header. @return as sr_migration_check(). */
esp_err_t sr_migration_check_app(sr_migration_t *migration);
