// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a migration did, as one HTML page that needs nothing else: no network, no script, no font.
 */
#pragma once

#include "sim/explore/explore.h"
#include "tool/report/contents.h"
#include "tool/report/given_up.h"

#include <cjson/cJSON.h>

/** How a run ended. */
typedef enum html_end {
    HTML_DONE,      /**< It was done, and something was written. */
    HTML_UNCHANGED, /**< It was done, and nothing had to be written. */
    HTML_REFUSED,   /**< It was refused before anything was written. */
    HTML_STOPPED,   /**< An error that is no refusal, before anything was written: of the network, for example. */
    HTML_FAILED,    /**< An error after something was written. */
    HTML_NO_BOOT,   /**< It was done, and what it left does not boot. */
    HTML_OLD_APP,   /**< It was done, and the app that starts is not the one that was brought. */
    HTML_EXPLORED,  /**< Done, and tried with power losses; `explored` says with what result. */
} html_end_t;

typedef struct html_report {
    const char *path;       /**< Name of the flash file, for people. */
    const char *flash_chip; /**< The flash chip whose times are modelled. */
    const char *command;    /**< The command that made the page. */
    const char *bundle;     /**< Name of the bundle; NULL: single images. */
    const char *key;        /**< The key that a bundle must be signed with, for people; NULL: single images. */
    const contents_t *before, *after;
    const given_up_t *given_up;            /**< What the bundle gives up of `before`. */
    const sim_report_t *run;               /**< Of the uncut run. */
    const nor_stats_t *stats;              /**< Of the uncut run. */
    uint64_t window_us, window_maximum_us; /**< The commit window, as measured. */
    const explore_operation_t *operations; /**< Of the uncut run. */
    uint32_t operation_count;
    const explore_result_t *explored; /**< NULL: no power losses were tried. */
    const cJSON *figures;             /**< What --json prints. */
    bool good;                        /**< The exit status is 0. */
    html_end_t end;
    const char *verdict; /**< The verdict in one sentence. */
    const char *way_out; /**< What can be done about a refusal; NULL if nothing is known, or needed. */
} html_report_t;

/**
 * Checks before the work whether a page can be written: what output_file_check() does, and that SOURCE_DATE_EPOCH, if
 * it is set, is a time.
 * @param path NULL: no page is asked for, which is fine. @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int html_report_check(const char *path);

/**
 * Writes the page. Its date is that of SOURCE_DATE_EPOCH, in seconds since 1970, where the environment has it: then the
 * same run gives the same page.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int html_report_write(const char *path, const html_report_t *report);
