// SPDX-License-Identifier: Apache-2.0
/** @file
 * A migration in progress: a verified manifest, a map of the flash, and the steps that make the one match the other.
 *
 * Order of the steps, and what a power loss costs in each of them:
 *   open, scan, check    reads only
 *   relocate               if the running app is in the way: a copy elsewhere, a restart, and from the start again
 *   prepare                sectors that the running system does not need
 *   stage                  what is left, and what moves, into free flash; sealed, it is finished without network
 *   commit                 data partitions, then the boot path from RAM; then the record is discarded
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "bundle/sr_decoder.h"
#include "bundle/sr_map.h"
#include "flash/sr_writer.h"
#include "format/sr_moves.h"
#include "journal/sr_install_mark.h"
#include "journal/sr_journal.h"
#include "net/sr_manifest.h"
#include "net/sr_source.h"
#include "recovery/sr_recovery.h"
#include "relocate/sr_relocation.h"
#include "system/sr_system.h"

/* A migration has four parts, each with its own writers, which scripts/check-layout knows; all others only read them.
 */

/** Where the bundle comes from, and what of it is at hand. */
typedef struct sr_migration_input {
    sr_source_t source;
    sr_manifest_t manifest;
    sr_decoder_t decoder;
    uint32_t keep_room;       /**< Bytes of encoded chunks that may still be kept. */
    uint32_t kept_for_checks; /**< Encoded bytes of a chunk that is kept in the buffer of the commit's list, too, until
                                 the checks are over; then they are fetched again. */
    esp_err_t target_err;     /**< First error that a reader of the flash as it will be has met. */
} sr_migration_input_t;

/** What was found in the flash. */
typedef struct sr_migration_scan {
    sr_map_t map;
    sr_moves_t moves;       /**< Those that are left to do. */
    bool installed;         /**< Own regions are right, and what the new system owns is not looked at. */
    bool has_initial;       /**< There are regions that the new system owns afterwards. */
    bool new_data_is_known; /**< The table that will be in flash was read, and the map has its data. */
    uint32_t settled;       /**< Sectors of the target that the map does not have, and that count as right. */
    uint32_t mark_found;    /**< Where an earlier attempt has left a mark for the same manifest; UINT32_MAX: nowhere. */
} sr_migration_scan_t;

/** What was decided before anything is written. */
typedef struct sr_migration_choice {
    sr_relocation_t relocation; /**< How the running app gets out of the way; its method is NULL if it need not. */
    sr_recovery_t recovery;     /**< What stands in while the bootloader is written. */
    uint32_t left_out;          /**< Sectors of the target that stay as they are. */
    sr_region_t overwrite;      /**< What is overwritten in place of the running app; empty: nothing. */
    uint32_t overwrite_content; /**< Bytes of it up to the end of the last sector that is not to be blank. */
    uint32_t overwrite_from;    /**< Free flash where these bytes wait, as a record that is never sealed. */
    bool writes_app_partition;  /**< Before the commit, an app partition other than the running app's is written. */
    bool must_stay;             /**< Otadata must select the running app before another app partition is written. */
    sr_install_mark_t mark;     /**< The mark that this installation is not done; address UINT32_MAX: none is needed. */
} sr_migration_choice_t;

/** What is under way. */
typedef struct sr_migration_run {
    esp_self_reflasher_event_data_t progress;
    sr_journal_t journal; /**< Entries of the commit; its address is UINT32_MAX if there is no free flash for it. */
} sr_migration_run_t;

typedef struct sr_migration {
    const esp_self_reflasher_bundle_config_t *config;
    esp_self_reflasher_plan_t *plan; /**< The result, for the caller. */
    sr_system_t system;              /**< That runs today. */
    sr_migration_input_t input;
    sr_migration_scan_t scan;
    sr_migration_choice_t choice;
    sr_migration_run_t run;
    sr_flash_t target;  /**< The flash as the new system encrypts it; system.flash is as today's system does. Its layout
                             is that of the new table, owned, if that says something else than today's may; else NULL. */
    sr_writer_t writer; /**< Of the target. */
    struct sr_migration_buffers *buffers;
} sr_migration_t;

/** Fetches and verifies the manifest, and compares the flash with it. Changes nothing. sr_migration_close() is due in
 *  all cases.
 *  @param config, plan Copies that no callback can change.
 *  @return as esp_self_reflasher_plan_bundle(). */
esp_err_t sr_migration_open(sr_migration_t *migration, const esp_self_reflasher_bundle_config_t *config,
                            esp_self_reflasher_plan_t *plan);

/** Checks that the chip would boot the result, and fills the plan. Changes nothing.
 *  @return ESP_OK, ESP_ERR_SELF_REFLASHER_REFUSED, or an error of source or flash. */
esp_err_t sr_migration_check(sr_migration_t *migration);

/** Erases what an earlier migration, perhaps of another bundle, has staged and not finished: what is left to do is
 * known without it. Comes before anything else is written. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_migration_discard_records(sr_migration_t *migration);

/** Applies the bundle, up to the commit and the clean-up after it. @return as esp_self_reflasher_apply_bundle(). */
esp_err_t sr_migration_run(sr_migration_t *migration);

/** Frees everything. */
void sr_migration_close(sr_migration_t *migration);

/** Tells event loop and callback. */
void sr_migration_tell(sr_migration_t *migration, esp_self_reflasher_event_t event);

/** Notes a refusal in the plan and logs it. @return ESP_ERR_SELF_REFLASHER_REFUSED. */
esp_err_t sr_migration_refuse(sr_migration_t *migration, esp_self_reflasher_refusal_t refusal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
