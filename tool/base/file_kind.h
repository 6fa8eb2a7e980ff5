// SPDX-License-Identifier: Apache-2.0
/** @file
 * Files that are no flash images, and are taken for such.
 */
#pragma once

#include "tool/base/image_file.h"

#include <stdbool.h>

/**
 * Tells what a file is that is mistaken for an image, and what makes one of it.
 * @return "is an ELF file: ...", to follow the file's name; NULL if it is nothing of that kind.
 */
const char *file_kind_mistaken(const image_file_t *file);

/** True if that is so, and it is no bundle either: then there is no bundle to judge. */
bool file_kind_mistaken_for_bundle(const image_file_t *file);

/** Warns if a file that goes to flash is one of these: it may be meant, as data, but hardly is. */
void file_kind_warn(const image_file_t *file);
