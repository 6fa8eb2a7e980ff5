// SPDX-License-Identifier: Apache-2.0
/** @file
 * Power losses as people write them, and what one leaves.
 */
#pragma once

#include "sim/explore/explore.h"
#include "tool/report/contents.h"

#include <cjson/cJSON.h>

#include <stdbool.h>

/**
 * Reads cuts, separated by commas: "N" before operation N, "N:SEED" inside it, "N:after" after it.
 * @return false if @p text is no such list, or has more than EXPLORE_MAX_POWER_LOSSES.
 */
bool power_loss_parse_parse(const char *text, explore_power_loss_t losses[EXPLORE_MAX_POWER_LOSSES], unsigned *count);

#define POWER_LOSS_TEXT_SIZE (EXPLORE_MAX_POWER_LOSSES * 24)
/** Writes cuts as --cut takes them. @return @p out. */
const char *power_loss_report(const explore_power_loss_t *losses, unsigned count, char out[POWER_LOSS_TEXT_SIZE]);

/** A migration that ended with a power loss. */
typedef struct power_loss_report {
    const explore_power_loss_t *losses;
    unsigned cut_count;
    unsigned made; /**< Cuts that happened. */
    const contents_t *before, *after;
} power_loss_report_t;

/** Prints flash maps and what boots. */
void power_loss_report_print(const power_loss_report_t *report);

/** The flash and what boots as JSON. Owned by the caller. */
cJSON *power_loss_report_json(const power_loss_report_t *report);
