// SPDX-License-Identifier: Apache-2.0
/** @file
 * What `pack` takes: files with their offsets, one by one or as other tools list them. One function for each kind.
 *
 * Each returns STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
#pragma once

#include "format/sr_chip.h"
#include "tool/base/image_file.h"
#include "tool/pack/fetch_cache.h"
#include "tool/pack/flash_parts.h"
#include "tool/pack/flash_settings.h"

#include <stdbool.h>

/** What was read so far. */
typedef struct inputs {
    flash_parts_t parts;
    const sr_chip_t *chip;     /**< As given by the user or an input; NULL: not yet. */
    flash_settings_t settings; /**< As given by an input. */
    uint32_t partition_table;  /**< Offset, as given by an input; 0: not given. */
    bool bootloader_is_extra;  /**< Taken from a build folder whose list of files leaves it out. */
    bool fix_offsets;          /**< Take 32.768 in a manifest as 32768. */
    fetch_cache_t cache;       /**< For what a manifest names by URL. */
    image_file_t old;          /**< The system that is replaced, a dump or its partition table; no bytes: not known. */
} inputs_t;

/** One file. */
int input_file(inputs_t *inputs, uint32_t address, const char *path);

/** "FILE" or "FILE@OFFSET": a merged image. */
int input_merged(inputs_t *inputs, const char *argument);

/** ESP-IDF's build folder: flasher_args.json. With Secure Boot it leaves out the bootloader, which the build makes all
 * the same: if it lies where ESP-IDF puts it, it is taken. */
int input_build_dir(inputs_t *inputs, const char *folder);

/**
 * A manifest of ESP Web Tools, which may be on a server, as may be the files that it lists. All its offsets are checked
 * before the first file is fetched. Besides STATUS_BAD_INPUT: STATUS_USAGE if it is for several chips, and none was
 * given.
 * @param path File or URL.
 */
int input_manifest(inputs_t *inputs, const char *path);
