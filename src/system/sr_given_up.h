// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a bundle gives up of the running system's flash.
 */
#pragma once

#include "format/sr_bundle.h"

#include <stdbool.h>

/**
 * The place that row number @p index of a bundle gives up, by the running system's table.
 * @param index Below given_up_count.
 * @return Empty if the table has no partition of that label: there is nothing to give up then.
 */
sr_region_t sr_given_up_place(const sr_bundle_t *bundle, uint32_t index);

/** True if a bundle gives up all sectors that @p region and @p part have in common. */
bool sr_given_up_covers(const sr_bundle_t *bundle, sr_region_t region, sr_region_t part);
