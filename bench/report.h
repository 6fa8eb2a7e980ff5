// SPDX-License-Identifier: Apache-2.0
/** @file
 * The numbers for people and for programs.
 */
#pragma once

#include "measure.h"

#include <cjson/cJSON.h>

/** Prints the table of one scenario. */
void report_print(const scenario_t *scenario, const measurement_t results[METHOD_COUNT]);
/** The table as a JSON object, for cJSON_Delete(); NULL without memory. */
cJSON *report_json(const scenario_t *scenario, const measurement_t results[METHOD_COUNT]);
