// SPDX-License-Identifier: Apache-2.0
/** @file
 * What `pack --move` asks for, checked against the new table and, if it is known, the old system.
 */
#pragma once

#include "format/sr_bundle.h"
#include "tool/base/image_file.h"
#include "tool/pack/pack_result.h"

typedef struct pack_moves {
    sr_bundle_move_t list[SR_BUNDLE_MAX_MOVES]; /**< By destination. */
    unsigned count;
} pack_moves_t;

/**
 * Adds one move: "LABEL", "OLD=NEW", where OLD is a label or a region, and NEW a label of the table that is packed or a
 * region. To be called before the place is taken out of the layout.
 * @return STATUS_OK; STATUS_USAGE or STATUS_NO after complaining: no such place, or none that data may move to.
 */
int pack_moves_add(pack_moves_t *moves, const char *word, const pack_result_t *result);

/**
 * Checks all moves together, and against the old system, and tells on stderr what moves from where.
 * @param old Dump of the old flash, or its partition table; NULL: not known.
 * @return STATUS_OK; STATUS_NO, STATUS_USAGE or STATUS_BAD_INPUT after complaining.
 */
int pack_moves_check(const pack_moves_t *moves, const pack_result_t *result, const image_file_t *old);

/** End of the last source or destination of a move. */
uint32_t pack_moves_end(const pack_moves_t *moves);
