// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a sector must hold when the content of some places moves: from the bundle, or from elsewhere in the flash.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

/** Moves whose source is known: those that are left to do. */
typedef struct sr_moves {
    uint32_t count; /**< NVS that gets smaller takes one for each run of its pages: sr_nvs_max_moves(). */
    struct sr_move {
        sr_region_t source;      /**< Whole sectors, not more than the destination's; empty: nothing goes there. */
        sr_region_t destination; /**< After the content it is to be blank. */
        bool is_copied;          /**< Counts as moved even where it stays, as it goes with what does not. */
    } * list;                    /**< Owned by the caller; may be NULL if there are none. */
} sr_moves_t;

typedef enum sr_moves_wanted_kind {
    SR_MOVES_WANTED_AS_IT_IS, /**< Stays as it is: in no region, and nothing moves there. */
    SR_MOVES_WANTED_BLANK,
    SR_MOVES_WANTED_CONTENT, /**< From the bundle. */
    SR_MOVES_WANTED_MOVED,   /**< What another sector holds now, or, if it is copied, this one. */
} sr_moves_wanted_kind_t;

/** What one sector must hold. */
typedef struct sr_moves_wanted {
    sr_moves_wanted_kind_t kind;
    uint32_t digest_index; /**< For SR_MOVES_WANTED_CONTENT. */
    uint32_t source;       /**< For SR_MOVES_WANTED_MOVED: address of that sector. */
} sr_moves_wanted_t;

/** Tells what the sector at @p address must hold. */
sr_moves_wanted_t sr_moves_wanted(const sr_moves_t *moves, const sr_bundle_t *bundle, uint32_t address);
