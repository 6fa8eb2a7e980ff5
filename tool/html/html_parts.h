// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the files of the HTML report share. Private to them.
 */
#pragma once

#include "tool/html/html_report.h"

#include <stdio.h>

/** Drawings stretch to the width of the page: this many units wide. */
#define HTML_CHART_WIDTH 1200u

/** html_report.css. */
extern const char html_style[];

/**
 * Writes untrusted text: markup, control characters, malformed UTF-8 and marks that turn the
 * direction of writing have no effect. Fit for element content and quoted attributes.
 */
void html_text(FILE *out, const char *text);

/** "1.940 s", "306 ms" or "0.4 ms". */
void html_time(FILE *out, uint64_t microseconds);

/** CSS class of a region: neighbouring apps differ. */
const char *html_region_class(const contents_t *contents, const map_region_t *region);

/** Flash maps before and after, and the regions of both. */
void html_map(FILE *out, const html_report_t *report);

/** All operations by time and address, and those around the window once more. */
void html_timeline(FILE *out, const html_report_t *report);

/** The outcome of each power loss. */
void html_outcomes(FILE *out, const explore_result_t *explored);

/** All figures, each as `<data id="NAME" value="NUMBER">` with its name in JSON and its exact value. */
void html_figures(FILE *out, const cJSON *figures);
