// SPDX-License-Identifier: Apache-2.0
/** @file
 * Pages of ESP-IDF's NVS, as far as moving them to a smaller partition takes.
 *
 * A page is one sector. NVS orders its pages by the sequence numbers in them, wherever they lie in the partition, and
 * keeps one blank, without which it does not start. Where NVS is encrypted, an entry is so for its offset in the
 * partition; the header of a page and the states of its entries are not.
 */
#pragma once

#include "format/sr_moves.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_NVS_MIN_PAGES 3u /**< What ESP-IDF wants a partition to have that is written to. */

/** A page: its header, two bits for each entry's state, and the entries. nvs_page.hpp in ESP-IDF's nvs_flash. */
#define SR_NVS_AT_STATES  32u
#define SR_NVS_AT_ENTRIES 64u
#define SR_NVS_ENTRIES    126u
#define SR_NVS_ENTRY_SIZE 32u

/** True if an entry is in use. @param page The header and the states at least. @param entry Below SR_NVS_ENTRIES. */
static inline bool sr_nvs_is_written(const uint8_t *page, uint32_t entry)
{
    return ((uint32_t)page[SR_NVS_AT_STATES + entry / 4] >> (entry % 4 * 2) & 3u) == 2;
}

/** Whether the pages of a partition fit a smaller one. */
typedef enum sr_nvs_status {
    SR_NVS_FITS,
    SR_NVS_TOO_MANY_PAGES,
    SR_NVS_BOUND_TO_ITS_PLACE, /**< A page would lie at another offset, and may hold what is encrypted for its own. */
    SR_NVS_READ_FAILED,
} sr_nvs_status_t;

/** What was found. */
typedef struct sr_nvs_pages {
    uint32_t used;   /**< Pages that are not blank. What NVS holds for corrupt counts, too. */
    uint32_t needed; /**< Pages that the smaller partition must have for them. */
    uint32_t bound;  /**< For SR_NVS_BOUND_TO_ITS_PLACE: address of that page. */
} sr_nvs_pages_t;

/** Moves that sr_nvs_close_up() adds at the most. */
static inline uint32_t sr_nvs_max_moves(sr_region_t destination)
{
    return destination.size / SR_SECTOR_SIZE;
}

/**
 * Lets the pages of a partition close up in a smaller one, in their order.
 * @param flash The whole flash.
 * @param source, destination Whole sectors inside of it.
 * @param[in,out] moves Gets a move for each run of pages that are not blank, and a last one, of an empty source, for
 *        what is blank after them. Pages that stay are copied, too: pages of two moments make no NVS. Its list has room
 *        for sr_nvs_max_moves() more.
 * @param[out] pages Valid unless reading failed.
 * @return SR_NVS_FITS; else what is in @p moves is of no use.
 */
sr_nvs_status_t sr_nvs_close_up(const sr_reader_t *flash, sr_region_t source, sr_region_t destination,
                                sr_moves_t *moves, sr_nvs_pages_t *pages);
