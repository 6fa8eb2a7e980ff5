// SPDX-License-Identifier: Apache-2.0
/** @file
 * The signature of Secure Boot that comes with an ESP image: which kind, by which keys, and whether it is of that
 * image. Whether it is good only who verifies it can tell.
 */
#pragma once

#include "format/sr_image.h"
#include "format/sr_reader.h"

#include <cjson/cJSON.h>

/** Prints a line for each block; nothing without any. @param reader Window that starts with the image, which was
 * parsed. */
void signature_report_print(const sr_reader_t *reader, const sr_image_t *image);

/** The same as a list. */
cJSON *signature_report_json(const sr_reader_t *reader, const sr_image_t *image);
