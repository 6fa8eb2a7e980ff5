// SPDX-License-Identifier: Apache-2.0
/** @file
 * Drawings of the flash for the terminal: which parts are used, and by what.
 */
#pragma once

#include "contents.h"

/** Draws the whole as a grid, and each labelled region with its address, size, share of used pages and a bar. */
void flash_map_print(const contents_t *contents);

/** Draws two grids of the same flash beside each other, then the regions of the second. */
void flash_map_print_change(const contents_t *before, const contents_t *after);
