// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a rehearsed migration did and cost, for people and as JSON.
 */
#pragma once

#include "tool/report/contents.h"
#include "tool/report/first_encryption_report.h"
#include "tool/report/given_up.h"
#include "tool/run/keep_bootloader.h"
#include "tool/run/migration.h"
#include "tool/run/room.h"

#include <cjson/cJSON.h>

typedef struct simulate_report {
    const migration_t *migration;
    const migration_result_t *result;
    const contents_t *before, *after;
    room_t *room;                     /**< Ways out, if it was refused for want of room; or NULL. */
    given_up_t given_up;              /**< By the bundle. */
    keep_bootloader_t keep;           /**< If it came through. */
    first_encryption_report_t *first; /**< Of the bootloader that it brought; or NULL. */
} simulate_report_t;

/** How a rehearsal ended. */
typedef enum simulate_end {
    SIMULATE_GOOD,
    SIMULATE_FAILED,        /**< With an error. */
    SIMULATE_NO_BOOT,       /**< The flash that it left does not boot. */
    SIMULATE_OLD_APP,       /**< An app was brought, and another one starts. */
    SIMULATE_NOT_ENCRYPTED, /**< The new bootloader is to encrypt the flash, and fails, or then starts no such app. */
} simulate_end_t;

simulate_end_t simulate_report_end(const simulate_report_t *report);

#define SIMULATE_OLD_APP_WAY_OUT                                                                                       \
    "otadata, or a factory app, selects another one: bring otadata along, or put the app where otadata looks for it"

/** What can be done about a refusal. @return NULL if nothing is known, or needed; else @p out or a constant. */
const char *simulate_report_way_out(const simulate_report_t *report, char out[ROOM_TEXT_SIZE]);

/** Prints flash maps, figures and what boots. */
void simulate_report_print(const simulate_report_t *report);

/** The rehearsal as JSON: times in milliseconds, typical ones unless the name says maximum. Owned by the caller. */
cJSON *simulate_report_json(const simulate_report_t *report);
