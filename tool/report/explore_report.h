// SPDX-License-Identifier: Apache-2.0
/** @file
 * What an exploration found, for people and as JSON.
 */
#pragma once

#include "sim/explore/explore.h"
#include "tool/report/power_loss_report.h"

#include <cjson/cJSON.h>

#define EXPLORE_VERDICT_SIZE 320
/**
 * The verdict of an exploration in one sentence: failures, and in how much of the time a cut is fatal.
 * @return @p out.
 */
const char *explore_verdict(const explore_result_t *result, char out[EXPLORE_VERDICT_SIZE]);

/** Prints figures, outcomes, the first failures, and at last the verdict. */
void explore_report_print(const explore_result_t *result);

/** The exploration as JSON, with all failures, times in milliseconds. Owned by the caller. */
cJSON *explore_report_json(const explore_result_t *result);

/** "the old system boots and finishes", ... */
const char *explore_outcome_text(explore_outcome_t outcome);

/** The cuts that led to a state, as --cut takes them. @return @p out. */
const char *explore_state_text(const explore_state_t *state, char out[POWER_LOSS_TEXT_SIZE]);
