// SPDX-License-Identifier: Apache-2.0
/** @file
 * What `pack --give-up` asks for.
 */
#pragma once

#include "format/sr_bundle.h"
#include "tool/base/image_file.h"
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

/**
 * Checks what is given up against the old system, and tells where it lies there.
 * @param old Its dump or partition table; NULL: not known, which is told.
 * @return STATUS_OK; or after complaining STATUS_USAGE if it has no such partition, STATUS_NO if the chip would refuse
 * it, or STATUS_BAD_INPUT.
 */
int pack_given_up_check_old(const sr_bundle_given_up_t *list, unsigned count, const image_file_t *old);

/** Warns of labels that a dump has no partition for: the chip ignores them. Not once the bundle's system is there. */
void pack_given_up_warn(const sr_bundle_t *bundle, const image_file_t *flash, uint32_t partition_table);
