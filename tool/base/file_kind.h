// SPDX-License-Identifier: Apache-2.0
/** @file
 * Files that are not flash images but are mistaken for them.
 */
#pragma once

#include "tool/base/content_kind.h"
#include "tool/base/image_file.h"

#include <stdbool.h>

/**
 * Tells what kind of file was mistaken for an image, and how to make an image of it.
 * @return "is an ELF file: ...", to follow the file's name; NULL if it is not such a file.
 */
const char *file_kind_mistaken(const image_file_t *file);

/** The same, if it is known already what content_kind_find() finds in it. */
const char *file_kind_mistaken_given(const image_file_t *file, content_kind_t content);

/** True if it is such a file, and not a bundle: then there is no bundle to check. */
bool file_kind_mistaken_for_bundle(const image_file_t *file);

/** Warns if a file that goes to flash is one of these: it may be intended, as data, but that is unlikely. */
void file_kind_warn(const image_file_t *file);
