// SPDX-License-Identifier: Apache-2.0
/** @file
 * The least that a flash chip has to do to get from one content to another: a lower bound.
 */
#pragma once

#include "measure.h"

/**
 * Each sector that differs is erased, if a bit of it must be set, and its pages that are not blank are programmed:
 * once. A 64 KiB erase is used where it is cheaper and hits nothing but such sectors and blank ones. Sectors that the
 * chip does not need to boot come first, the boot path last. What differs is known without reading.
 */
void lower_bound_measure(const scenario_t *scenario, const nor_timing_t *timing, measurement_t *result);
