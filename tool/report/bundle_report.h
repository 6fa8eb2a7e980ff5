// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is in a bundle, for people and as JSON.
 */
#pragma once

#include "tool/pack/bundle_file.h"

#include <cjson/cJSON.h>

/**
 * Prints what the manifest says, region by region, and what bootloader, table and apps are in it.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining: a chunk does not decode.
 */
int bundle_report_print(const bundle_file_t *bundle);

/** Where a move takes from: "nvs", or "0x3f0000+0x1000". @return Its label, or @p out. */
#define BUNDLE_SOURCE_TEXT_SIZE 24
const char *bundle_report_source(const sr_bundle_move_t *move, char out[BUNDLE_SOURCE_TEXT_SIZE]);

/** A move as JSON: label (null: a region), source_offset and source_size (null: a label), offset, size. */
cJSON *bundle_report_move_json(const sr_bundle_move_t *move);

/** What is in the bundle as JSON. @return NULL after complaining: a chunk does not decode. */
cJSON *bundle_report_json(const bundle_file_t *bundle);

/** Prints it. @return STATUS_OK, or STATUS_BAD_INPUT after complaining. */
int bundle_report_print_json(const bundle_file_t *bundle);
