// SPDX-License-Identifier: Apache-2.0
/** @file
 * Flash contents that are published as UF2: what `idf.py uf2` and `esptool merge-bin --format uf2` make, or
 * CircuitPython.
 */
#pragma once

#include "tool/base/image_file.h"

#include <stddef.h>
#include <stdint.h>

/** Bytes without a gap. */
typedef struct uf2_run {
    uint32_t address; /**< Where in flash, as the file says: CircuitPython's count from the app's partition on. */
    uint32_t size;
    uint8_t *bytes; /**< Owned by who asked for it. */
} uf2_run_t;

/**
 * Takes a UF2 file apart. All of it must be there, for one chip, and no byte twice; what is not meant for flash is left
 * out.
 * @param[out] runs By address; owned by the caller, each run's bytes too. NULL unless STATUS_OK.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int uf2_file_split(const image_file_t *file, uf2_run_t **runs, size_t *count);
