// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whether a staged record may be believed: a manifest signed with the key that the app trusts proves it, or it is left
 * alone.
 *
 * Reads only. docs/record-format.md says what a record needs; in short: a manifest that
 * esp_self_reflasher_apply_bundle() would take from a server, a list that writes nothing but what that manifest says,
 * and a flash that afterwards holds what it says, and boots.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "flash/sr_writer.h"
#include "format/sr_moves.h"
#include "journal/sr_install_mark.h"
#include "journal/sr_journal.h"
#include "net/sr_manifest.h"
#include "system/sr_system.h"

#include "esp_err.h"

#include <stdbool.h>

/** A record that is checked, and what it is checked against. */
typedef struct sr_verification {
    const esp_self_reflasher_bundle_config_t *config;
    const sr_system_t *system;
    sr_flash_t target;     /**< The flash as the new system encrypts it, once that is known; before as today's does. Its
                                layout is that of a table in the record; the caller frees it. */
    sr_journal_t *journal; /**< From sr_journal_find(). */
    sr_writer_t *writer;   /**< Of the target, to compare with. */
    uint8_t *scratch;      /**< SR_SECTOR_SIZE bytes, aligned for any type. */
    uint8_t app_id[SR_SHA256_SIZE]; /**< Of the running app. */

    sr_manifest_t manifest; /**< While it is checked. */
    sr_install_mark_t mark; /**< Id of the manifest, and where its mark lies; UINT32_MAX: it has none that counts. */
    uint32_t void_mark;     /**< Where one lies that was its, perhaps; UINT32_MAX: nowhere. */
    bool initial_is_right;  /**< What the new system will own is in the list, or there already. */
    bool is_over;         /**< For a record that is believed: all of it was written before, and it is only left over. */
    sr_moves_t moves;     /**< Set for a record that is believed: those that are not over yet. Its list was allocated,
                               also for one that is not believed, and the caller frees it. */
    bool moves_are_over;  /**< Nothing moves, or what did is the new system's. */
    bool moves_are_known; /**< False: the running system does not have all that moves. */
    esp_err_t read_err;   /**< First error that a reader of the flash as it will be has met. */
    char reason[256];     /**< More about the status; may be empty. */
} sr_verification_t;

/**
 * Checks the record at journal->address. If it is believed, journal has its list, without the moves that are done
 * already, and journal->digests, which were allocated and which the caller frees, as the list of `moves`.
 * @param[out] status SR_RECORD_OK, or why it is not believed.
 * @return ESP_OK, also if it is not believed; ESP_ERR_NO_MEM; ESP_FAIL if something cannot be hashed; or an error of
 *         esp_flash. sr_verification_release() is due in all cases.
 */
esp_err_t sr_verification_check(sr_verification_t *verification, sr_record_status_t *status);

/** Frees the manifest; the rest stays valid. */
void sr_verification_release(sr_verification_t *verification);

/** Tells whether all that a believed record would write is there already. @return ESP_OK, ESP_FAIL if it cannot be
 *  hashed, or an error of esp_flash. */
esp_err_t sr_verification_is_done(sr_verification_t *verification, bool *done);
