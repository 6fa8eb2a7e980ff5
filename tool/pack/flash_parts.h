// SPDX-License-Identifier: Apache-2.0
/** @file
 * The files that go into a flash, and where.
 */
#pragma once

#include "tool/base/image_file.h"

#include <stddef.h>
#include <stdint.h>

typedef struct flash_part {
    uint32_t address;
    image_file_t file;
    char *name; /**< Path of the file; owned. */
} flash_part_t;

typedef struct flash_parts {
    flash_part_t *list;
    size_t count;
} flash_parts_t;

/**
 * Loads a file as the next part; what is compressed with gzip and holds an image is unpacked. A UF2 file becomes one
 * part for each run of bytes without a gap, of which the first goes to @p address.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int flash_parts_add(flash_parts_t *parts, uint32_t address, const char *path);

/** The same where the file itself says where it goes: from 0 on, or, UF2, at its own addresses. */
int flash_parts_add_merged(flash_parts_t *parts, const char *path);

/**
 * Sorts by address, and checks that no two parts overlap, that none extends past @p limit, and that each one starts on
 * a sector, or in a sector that starts with another part's bytes.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int flash_parts_arrange(flash_parts_t *parts, uint32_t limit);

/** Name of the part that holds this address, or "the inputs". */
const char *flash_parts_name_at(const flash_parts_t *parts, uint32_t address);

void flash_parts_free(flash_parts_t *parts);
