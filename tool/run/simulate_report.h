// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a rehearsed migration did and cost, for people and as JSON.
 */
#pragma once

#include "tool/report/contents.h"
#include "tool/run/migration.h"

#include <cjson/cJSON.h>

typedef struct simulate_report {
    const migration_t *migration;
    const migration_result_t *result;
    const contents_t *before, *after;
} simulate_report_t;

/** What can be done about a refusal. @return NULL if nothing is known, or needed. */
const char *simulate_report_way_out(const simulate_report_t *report);

/** Prints flash maps, figures and what boots. */
void simulate_report_print(const simulate_report_t *report);

/** The rehearsal as JSON: times in milliseconds, typical ones unless the name says maximum. Owned by the caller. */
cJSON *simulate_report_json(const simulate_report_t *report);
