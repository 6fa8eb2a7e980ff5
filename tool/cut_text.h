// SPDX-License-Identifier: Apache-2.0
/** @file
 * Power cuts as people write them, and what one leaves.
 */
#pragma once

#include "contents.h"
#include "explore.h"

#include <cjson/cJSON.h>

#include <stdbool.h>

/**
 * Reads cuts, separated by commas: "N" before operation N, "N:SEED" inside it, "N:after" behind it.
 * @return false if @p text is no such list, or has more than EXPLORE_MAX_CUTS.
 */
bool cut_text_parse(const char *text, explore_cut_t cuts[EXPLORE_MAX_CUTS], unsigned *count);

#define CUT_TEXT_SIZE (EXPLORE_MAX_CUTS * 24)
/** The same the other way round: what --cut takes. @return @p out. */
const char *cut_text(const explore_cut_t *cuts, unsigned count, char out[CUT_TEXT_SIZE]);

/** A migration that ended with a power cut. */
typedef struct cut_report {
    const explore_cut_t *cuts;
    unsigned cut_count;
    unsigned made; /**< Cuts that happened. */
    const contents_t *before, *after;
} cut_report_t;

/** Prints flash maps and what boots. */
void cut_report_print(const cut_report_t *report);

/** The same as JSON. Owned by the caller. */
cJSON *cut_report_json(const cut_report_t *report);
