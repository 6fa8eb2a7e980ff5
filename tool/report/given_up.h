// SPDX-License-Identifier: Apache-2.0
/** @file
 * What of an old system's flash a bundle gives up: `pack --give-up`.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_partition_table.h"

#include <stdbool.h>

typedef struct given_up {
    sr_region_t regions[SR_BUNDLE_MAX_GIVEN_UP];
    unsigned count;
} given_up_t;

/** Looks the labels up in the old system's table, as the chip does; one that is not there gives nothing up. */
void given_up_find(const sr_bundle_t *bundle, const sr_partition_table_t *table, given_up_t *given_up);

/** True if a part of a region is given up. */
bool given_up_touches(const given_up_t *given_up, sr_region_t region);
