// SPDX-License-Identifier: Apache-2.0
/** @file
 * Advice: what `pack --keep-bootloader` would make of the window.
 */
#pragma once

#include "tool/run/trial.h"

#include <cjson/cJSON.h>

/** The plan of the same bundle without what lies in front of the partition table. */
typedef struct keep_bootloader {
    bool helps; /**< The device's bootloader boots the new system as well, and the window gets shorter. */
    uint32_t window_ms_typical, window_ms_maximum;
    uint32_t now_ms_typical, now_ms_maximum; /**< With the bundle's bootloader. */
} keep_bootloader_t;

/**
 * Asks the boot model whether the new system starts by the old bootloader, and the component for its plan.
 * @param plan Of the bundle as it is, which was not refused.
 * @param after The flash as large as that of the trial, with the bundle in it.
 */
void keep_bootloader_find(const trial_t *trial, const esp_self_reflasher_plan_t *plan, const uint8_t *after,
                          keep_bootloader_t *advice);

/** Prints a line, if it helps. */
void keep_bootloader_print(const keep_bootloader_t *advice);

/** {"window_ms_typical", "window_ms_maximum"} as in the plan, or null if it does not help. Owned by the caller. */
cJSON *keep_bootloader_json(const keep_bootloader_t *advice);
