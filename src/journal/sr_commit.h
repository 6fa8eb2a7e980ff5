// SPDX-License-Identifier: Apache-2.0
/** @file
 * The commit: what the running system needed until now is replaced, from a list of entries and a function that gets
 * their content.
 */
#pragma once

#include "flash/sr_boot_path_buffer.h"
#include "flash/sr_writer.h"
#include "journal/sr_journal.h"

#include "esp_err.h"

#include <stdint.h>

/**
 * Gets one sector of an entry that is not blank.
 * @param index Of the sector in the entry.
 * @param data SR_SECTOR_SIZE bytes to fill.
 * @return ESP_OK only if they are confirmed by a digest.
 */
typedef esp_err_t (*sr_commit_fetch_t)(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data);

typedef struct sr_commit {
    const sr_journal_t *journal; /**< List of entries, in RAM. */
    const sr_flash_t *flash;     /**< As the new system encrypts it. */
    sr_commit_fetch_t fetch;
    void *fetch_context;
    uint8_t *scratch;  /**< SR_SECTOR_SIZE bytes of internal RAM. */
    uint8_t *readback; /**< SR_WRITER_READBACK_SIZE bytes of internal RAM. */
    /** Block that may be erased at once if its sectors are listed or blank, from sr_map_claimed(); empty: only blocks
     *  whose sectors are all listed. */
    sr_region_t claimed;

    sr_boot_path_buffer_t buffer; /**< Set by sr_commit_prepare(). */
    uint32_t failed_address;      /**< Set by sr_commit_execute(). */
} sr_commit_t;

/**
 * Fetches all entries of the boot path into RAM. Changes no flash.
 * @return ESP_OK; ESP_ERR_NO_MEM; or an error of fetch. sr_commit_release() is due in all cases.
 */
esp_err_t sr_commit_prepare(sr_commit_t *commit);

/** Sectors that wait in RAM, the boot path and what shares its block. Valid after sr_commit_prepare(). */
uint32_t sr_commit_boot_path_sectors(const sr_commit_t *commit);

/**
 * Writes the data entries, one after another, then the boot path in one go.
 * @return ESP_OK; an error of fetch, while only data was touched; or as sr_writer_put()
 */
esp_err_t sr_commit_execute(sr_commit_t *commit);

/** Frees what sr_commit_prepare() allocated. */
void sr_commit_release(sr_commit_t *commit);
