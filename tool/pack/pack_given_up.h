// SPDX-License-Identifier: Apache-2.0
/** @file
 * What `pack --give-up` asks for.
 */
#pragma once

#include "format/sr_bundle.h"
#include "tool/pack/pack_result.h"

/**
 * Reads "ADDR+SIZE", "ADDR..END", or a label of the old system's table.
 * @return STATUS_OK, or STATUS_USAGE after complaining.
 */
int pack_given_up_read(const char *word, sr_bundle_given_up_t *given_up);

/**
 * Checks all that is given up together, and against what is packed.
 * @return STATUS_OK, or STATUS_USAGE after complaining.
 */
int pack_given_up_check(const sr_bundle_given_up_t *list, unsigned count, const pack_result_t *result);
