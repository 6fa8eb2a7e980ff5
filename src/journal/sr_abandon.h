// SPDX-License-Identifier: Apache-2.0
/** @file
 * Giving up a commit that cannot be finished, as long as nothing is lost by that: then the next plan starts afresh.
 */
#pragma once

#include "flash/sr_writer.h"
#include "format/sr_moves.h"
#include "journal/sr_journal.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** A commit from a record that has failed. */
typedef struct sr_abandon {
    const sr_journal_t *journal;
    sr_writer_t *writer;
    uint8_t *scratch;        /**< SR_SECTOR_SIZE bytes. */
    const sr_moves_t *moves; /**< Moves of the record's manifest. */
    bool moves_are_known;    /**< False: not all of their sources are known. */
    esp_err_t cause;
    uint32_t failed_address; /**< The sector that could not be written. */
} sr_abandon_t;

/**
 * Discards the record if the old boot path is whole and what moves is still at its source; else keeps it, to be tried
 * again at the next start. Logs which of the two, and why. A record is not discarded for want of memory, which may be
 * there next time.
 * @param[out] stuck The commit is given up, but what is left of its record cannot be made unusable.
 * @return the cause
 */
esp_err_t sr_abandon(const sr_abandon_t *abandon, bool *stuck);
