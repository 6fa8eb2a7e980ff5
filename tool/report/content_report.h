// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a file is that has no images to look into: data, or another kind of file.
 */
#pragma once

#include "tool/base/content_kind.h"
#include "tool/base/image_file.h"

#include <cjson/cJSON.h>

/** Prints what it is, and how to get an image if it was mistaken for one. */
void content_report_print(const content_t *content, const image_file_t *file);

/** The same as JSON: {"file", "kind", "size", "chip", "facts", "way_out"}. Owned by the caller. */
cJSON *content_report_json(const content_t *content, const image_file_t *file);
