// SPDX-License-Identifier: Apache-2.0
/** @file
 * What an exploration found, for people and as JSON.
 */
#pragma once

#include "explore.h"

#include <cjson/cJSON.h>

/** Prints figures, outcomes and the first failures. */
void explore_report_print(const explore_result_t *result);

/** The same as JSON, with all failures, times in milliseconds. Owned by the caller. */
cJSON *explore_report_json(const explore_result_t *result);
