// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which sectors of what is packed the new system owns once it is installed (docs/bundle-format.md, "Installed").
 */
#pragma once

#include "tool/pack/flash_layout.h"
#include "tool/pack/pack_result.h"

/**
 * Marks in the layout what the new system will own: what lies in data partitions and in app partitions other than the
 * one that boots, or, with MCUboot, what lies from the first image slot on. Nothing, if no content would be left that
 * is always compared.
 */
void pack_initial_find(const pack_result_t *result, flash_layout_t *layout);

/**
 * Applies what the user says of one region.
 * @param word As flash_region_parse() reads it.
 * @return STATUS_OK; STATUS_USAGE after complaining: no such region, nothing of it is packed, or bootloader or table
 * would be written only once.
 */
int pack_initial_set(const pack_result_t *result, flash_layout_t *layout, const char *word, bool initial);

/** @return STATUS_OK; STATUS_USAGE after complaining: nothing with content is left to be compared. */
int pack_initial_check(const flash_layout_t *layout);
