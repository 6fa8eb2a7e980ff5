// SPDX-License-Identifier: Apache-2.0
/** @file
 * A file in memory, and windows over memory for the parsers.
 */
#pragma once

#include "format/sr_reader.h"

#include <stdbool.h>
#include <stdint.h>

/** Largest flash that a bundle can describe. */
#define FLASH_LIMIT (32u << 20)

typedef struct image_file {
    const char *path; /**< As given. */
    uint8_t *bytes;   /**< Owned; freed by image_file_free(). */
    uint32_t size;
} image_file_t;

/**
 * Reads a whole file. From then on no output can overwrite it: output_file.h.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining (missing, empty, larger than any flash).
 */
int image_file_load(const char *path, image_file_t *file);

/** Reads a whole file with image_file_load(), and complains unless the file can be a whole flash: a power of two, 1 MiB
 * to 32 MiB. */
int image_file_load_flash(const char *path, image_file_t *file);

void image_file_free(image_file_t *file);
