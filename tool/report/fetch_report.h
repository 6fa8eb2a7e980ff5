// SPDX-License-Identifier: Apache-2.0
/** @file
 * What pack has fetched, with digests to compare with those of another day, for people and as JSON.
 */
#pragma once

#include "tool/pack/fetch_cache.h"

#include <cjson/cJSON.h>

/** Prints nothing if nothing was fetched. */
void fetch_report_print(const fetch_cache_t *cache);

/** A list, one object for each file: url, file, size, sha256, from_cache. */
cJSON *fetch_report_json(const fetch_cache_t *cache);
