// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is in a bundle, for people and as JSON.
 */
#pragma once

#include "bundle_file.h"

/**
 * Prints what the manifest says, region by region, and what bootloader, table and apps are in it.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining: a chunk does not decode.
 */
int bundle_report_print(const bundle_file_t *bundle);

/** The same as JSON. */
int bundle_report_print_json(const bundle_file_t *bundle);
