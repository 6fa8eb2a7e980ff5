// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a bundle moves, in the running system.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_region.h"

#include <stdint.h>

/** Whether something can move, and how. */
typedef enum sr_move_source_status {
    SR_MOVE_SOURCE_FITS,      /**< From its first byte to its last. */
    SR_MOVE_SOURCE_IS_NVS,    /**< Larger than its destination, but NVS: its pages may fit, sr_nvs_close_up(). */
    SR_MOVE_SOURCE_TOO_LARGE, /**< For its destination, or for the flash. */
    SR_MOVE_SOURCE_MISSING,
    SR_MOVE_SOURCE_UNALIGNED,
} sr_move_source_status_t;

/**
 * Finds what a move takes; a label by the table that the running app was started with.
 * @param flash_size Of the running system.
 * @param[out] source Whole sectors; empty if it is missing.
 */
sr_move_source_status_t sr_move_source_find(const sr_bundle_move_t *move, uint32_t flash_size, sr_region_t *source);
