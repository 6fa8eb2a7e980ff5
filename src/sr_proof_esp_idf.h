// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whether a staged record may be believed: it proves itself with the key that the app trusts, or it is left alone.
 *
 * Reads only. What it takes is in docs/record-format.md; in short: a manifest that apply would take from a server, a
 * list that writes nothing but what that manifest says, and a flash that afterwards is what it says, and boots.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "sr_manifest_esp_idf.h"
#include "sr_moves.h"
#include "sr_stage.h"
#include "sr_system_esp_idf.h"
#include "sr_writer.h"

#include "esp_err.h"

#include <stdbool.h>

/** A record that is to prove itself, and what it is measured by. */
typedef struct sr_proof {
    const esp_self_reflasher_bundle_config_t *config;
    const sr_system_t *system;
    sr_stage_t *stage;              /**< From sr_stage_find(). */
    sr_writer_t *writer;            /**< To compare with. */
    uint8_t *scratch;               /**< SR_SECTOR_SIZE bytes, aligned for any type. */
    uint8_t app_id[SR_SHA256_SIZE]; /**< Of the running app. */

    sr_manifest_t manifest; /**< While it is checked. */
    sr_moves_t moves;       /**< Set for a record that is believed: those that are not over yet. */
    bool moves_are_known;   /**< False: the running system does not have all that moves. */
    esp_err_t read_err;     /**< First error that a reader of the flash as it will be has met. */
    char reason[128];       /**< More about the status; may be empty. */
} sr_proof_t;

/**
 * Checks the record at stage->address. If it is believed, stage has its list, without what is over already, and
 * stage->digests, which were allocated and which the caller frees.
 * @param[out] status SR_STAGE_OK, or why it is not believed.
 * @return ESP_OK, also if it is not believed; ESP_ERR_NO_MEM; ESP_FAIL if something can not be hashed; or an error of
 *         esp_flash. sr_proof_release() is due in all cases.
 */
esp_err_t sr_proof_check(sr_proof_t *proof, sr_stage_status_t *status);

/** Frees the manifest; the rest stays valid. */
void sr_proof_release(sr_proof_t *proof);

/** Tells whether all that a believed record would write is there already. @return ESP_OK, ESP_FAIL if it can not be
 *  hashed, or an error of esp_flash. */
esp_err_t sr_proof_is_done(sr_proof_t *proof, bool *done);
