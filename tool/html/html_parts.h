// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the files of the HTML report share. Private to them.
 */
#pragma once

#include "tool/html/html_report.h"

#include <stdio.h>
#include <time.h>

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

/** Takes the date of the page from SOURCE_DATE_EPOCH, or from the clock. @return false if that is no time. */
bool html_date_find(time_t *date);

/** When the page was made, "2026-11-27 03:52 UTC". html_date_find() has been called with success. */
void html_date(FILE *out);

/** What boots, by name, or that nothing does. */
void html_system(FILE *out, const contents_t *contents);

/** The most important figures. */
void html_cards(FILE *out, const html_report_t *report);

/** Lines at round times, for a drawing that shows [from_us, to_us] and is @p height units high. */
void html_grid(FILE *out, uint64_t from_us, uint64_t to_us, uint32_t height);

/** The texts for these lines, in the grid cell below a drawing. */
void html_ticks(FILE *out, uint64_t from_us, uint64_t to_us);

/** Where a value is between two others, in units of a drawing; outside of them at the nearer end. */
uint32_t html_scale(uint64_t value, uint64_t from, uint64_t to, uint32_t units);

/** Time at which an operation ends. */
uint64_t html_end_us(const nor_op_t *op);

/** Of one start of the app, the operations of its window, or of its commit; and what lies in between. */
typedef struct html_part {
    uint32_t first, last;    /**< Numbers of operations. */
    uint64_t from_us, to_us; /**< Modelled time at which they begin and end. */
} html_part_t;

/**
 * Finds what is worth to be enlarged: there may be a window for each start of the app, hours apart. The one that takes
 * longest is found, of several the last.
 * @param commit Looks for the commit with the longest window, not for the window. @return false if there is none.
 */
bool html_find_part(const explore_operation_t *operations, uint32_t count, bool commit, html_part_t *part);

/** A text of the legend with its swatch. @param class Of the marks. */
void html_legend(FILE *out, const char *class, const char *text);

/** Legend of the regions in @p contents, or in @p other, which may be NULL. */
void html_region_legend(FILE *out, const contents_t *contents, const contents_t *other);

/** CSS class of a region: neighbouring apps differ. */
const char *html_region_class(const contents_t *contents, const map_region_t *region);

/** Flash maps before and after, and the regions of both. */
void html_map(FILE *out, const html_report_t *report);

/** All operations by time and address, and those around the window once more. */
void html_timeline(FILE *out, const html_report_t *report);

/** The outcome of each power loss, at its time, and the share of the time in which one is fatal. */
void html_outcomes(FILE *out, const explore_result_t *explored);

/** All figures, each as `<data id="NAME" value="NUMBER">` with its name in JSON and its exact value. */
void html_figures(FILE *out, const cJSON *figures);
