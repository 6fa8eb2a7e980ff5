// SPDX-License-Identifier: Apache-2.0
/** @file
 * Images that are published compressed with gzip.
 */
#pragma once

#include "tool/base/image_file.h"

#include <stdbool.h>

/** True if the file begins as gzip does. */
bool gzip_file_is(const image_file_t *file);

/**
 * Puts what a gzip file holds in its place, if that begins as an app or a merged image does; anything else is left as
 * it is, as data that is meant to be compressed.
 * @param[in,out] file Its bytes are freed if others take their place.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining: damaged, cut short, more than the 32 MiB of the largest
 * flash.
 */
int gzip_file_unpack(image_file_t *file);
