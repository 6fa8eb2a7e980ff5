// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is in a file, for people and as JSON.
 */
#pragma once

#include "tool/report/contents.h"

#include <cjson/cJSON.h>

/** Prints everything that was found, the flash map included. */
void contents_report_print(const contents_t *contents, const char *path);

/** What was found, as JSON. Owned by the caller. */
cJSON *contents_report_json(const contents_t *contents, const char *path);
