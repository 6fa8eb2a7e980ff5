// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a migration did, as one HTML page that needs nothing else: no network, no script, no font.
 */
#pragma once

#include "sim/explore/explore.h"
#include "tool/report/contents.h"

#include <cjson/cJSON.h>

typedef struct html_report {
    const char *path;       /**< Name of the flash file, for people. */
    const char *flash_chip; /**< The flash chip whose times are modelled. */
    const contents_t *before, *after;
    const explore_operation_t *operations; /**< Of the uncut run. */
    uint32_t operation_count;
    const explore_result_t *explored; /**< NULL: no cuts were tried. */
    const cJSON *figures;             /**< What --json prints. */
    bool good;                        /**< The exit status is 0. */
    const char *verdict;              /**< The verdict in one sentence. */
} html_report_t;

/** Writes the page. @return STATUS_OK, or STATUS_BAD_INPUT after complaining. */
int html_report_write(const char *path, const html_report_t *report);
