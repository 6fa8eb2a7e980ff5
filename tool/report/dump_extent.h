// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whether a dump holds all of the flash that it comes from, as far as its content tells.
 */
#pragma once

#include "tool/report/contents.h"

#include <cjson/cJSON.h>

typedef enum dump_complete { DUMP_COMPLETE, DUMP_NOT_COMPLETE, DUMP_NOT_KNOWN } dump_complete_t;

typedef struct dump_extent {
    dump_complete_t complete;
    char text[160]; /**< "complete: ...", in one line. */
} dump_extent_t;

/**
 * Compares the size of a dump with what bootloader header and partition table say.
 * @param contents Of a whole flash.
 */
void dump_extent_find(const contents_t *contents, dump_extent_t *extent);

/** The JSON of boot_report_json() with a member "dump": {"complete": true, false or null, "text": ...}. Owned by the
 * caller.
 */
cJSON *dump_boot_json(const contents_t *contents);

/** Prints it as a line of its own, indented as boot_report_print() does. */
void dump_extent_print(const dump_extent_t *extent);
