// SPDX-License-Identifier: Apache-2.0
/** @file
 * Data that moves, computed on the host as on a chip: docs/bundle-format.md, "Moves".
 */
#pragma once

#include "format/sr_boot_path.h"
#include "format/sr_partition_table.h"
#include "tool/pack/bundle_file.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Reads the partition table of an old system.
 * @param file Its whole flash, in which chip_find_table() finds the table, or the table alone.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining: there is none, or it is damaged.
 */
int moves_read_table(const image_file_t *file, sr_partition_table_t *table);

/**
 * Finds what a move takes, and checks that it fits its destination.
 * @param table Of the old system.
 * @param path Where the table is from, for complaints.
 * @param[out] source Whole sectors.
 * @return STATUS_OK, also for NVS that is larger than the destination; or STATUS_NO after complaining: no such
 *         partition, larger than the destination, not aligned.
 */
int moves_find_source(const sr_bundle_move_t *move, const sr_partition_table_t *table, const char *path,
                      sr_region_t *source);

/** True for NVS that is larger than its destination, where its pages have to close up. */
bool moves_closes_up(const sr_bundle_move_t *move, sr_region_t source);

/**
 * Finds out whether the pages of NVS fit its smaller destination.
 * @param flash The whole flash of the old system.
 * @param[out] used Pages that are in use.
 * @return STATUS_OK; STATUS_NO after complaining: they do not; STATUS_BAD_INPUT if memory runs out.
 */
int moves_count_pages(const image_file_t *flash, const sr_bundle_move_t *move, sr_region_t source, uint32_t *used);

/**
 * Finds bootloader, at its true length, and table of a flash.
 * @param table_offset SR_BUNDLE_NO_TABLE: it has no table.
 * @param[out] path Its other regions are empty.
 */
void moves_find_boot_path(const image_file_t *flash, const sr_chip_t *chip, uint32_t table_offset,
                          sr_boot_path_t *path);

/** The state of a bundle's moves in a flash. */
typedef struct moves {
    bool pending; /**< The flash lacks some of the bundle's bootloader or table; otherwise they have been made. */
    sr_region_t sources[SR_BUNDLE_MAX_MOVES]; /**< Of pending moves. */
    uint32_t pages[SR_BUNDLE_MAX_MOVES];      /**< In use, where moves_closes_up(). */
} moves_t;

/**
 * Makes the flash that a chip would make of another one: what the bundle says, and what moves.
 * @param before min_flash_size bytes at least.
 * @param[out] after As large as @p before, and always to be freed with image_file_free().
 * @return STATUS_OK; STATUS_NO after complaining about a move; STATUS_BAD_INPUT after complaining about the table or
 * the bundle.
 */
int moves_apply(const bundle_file_t *bundle, const image_file_t *before, image_file_t *after, moves_t *moves);
