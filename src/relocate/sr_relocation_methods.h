// SPDX-License-Identifier: Apache-2.0
/** @file
 * The methods, for the list of sr_relocation.c, and for tests of one alone.
 */
#pragma once

#include "relocate/sr_relocation.h"

extern const sr_relocation_method_t sr_relocation_slot; /**< A slot where the target wants nothing. */
extern const sr_relocation_method_t sr_relocation_stay; /**< The app stays, what is to be blank does, too. */
extern const sr_relocation_method_t sr_relocation_slot_over_blanks; /**< A slot where at most blanks are wanted. */
extern const sr_relocation_method_t sr_relocation_temporary_table;  /**< Free flash, by a table that says so. */
extern const sr_relocation_method_t sr_relocation_in_place;         /**< Overwritten where it is, from RAM. */
