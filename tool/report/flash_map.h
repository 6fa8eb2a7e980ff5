// SPDX-License-Identifier: Apache-2.0
/** @file
 * Drawings of the flash for the terminal: which parts are used, and by what. Also what other drawings share with them.
 */
#pragma once

#include "tool/report/contents.h"

/** Draws the whole as a grid, and each labelled region with its address, size, share of used pages and a bar. */
void flash_map_print(const contents_t *contents);

/** Draws two grids of the same flash beside each other, then the regions of the second. */
void flash_map_print_change(const contents_t *before, const contents_t *after);

/** Counts pages of a region that hold anything, and pages in all. */
void flash_map_count_pages(const contents_t *contents, sr_region_t region, uint32_t *used, uint32_t *total);

/** The region that a cell is drawn as, or NULL. */
const map_region_t *flash_map_region_in(const contents_t *contents, sr_region_t cell);

/** True for every second app: neighbours differ in colour, so that two slots do not look like one. */
bool flash_map_is_other_app(const contents_t *contents, const map_region_t *region);
