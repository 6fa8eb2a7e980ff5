// SPDX-License-Identifier: Apache-2.0
/** @file
 * One block of a UF2 file, as https://github.com/microsoft/uf2 describes it: 512 bytes, of which up to 476 are data.
 */
#pragma once

#include "format/sr_chip.h"

#include <stdbool.h>
#include <stdint.h>

#define UF2_BLOCK_SIZE 512u

typedef struct uf2_block {
    uint32_t target; /**< Offset in flash. */
    uint32_t length; /**< Bytes of data. */
    uint32_t index;  /**< Of @ref count blocks, from 0 on. */
    uint32_t count;
    uint32_t family; /**< Which chip; UF2_NO_FAMILY: not told. */
    const uint8_t *data;
    bool not_flash; /**< Is not meant for the chip's flash: a comment, or a file for a drive. */
} uf2_block_t;

#define UF2_NO_FAMILY 0u

/** True if bytes start as a UF2 file does, damaged or not. */
bool uf2_block_starts(const uint8_t *bytes, uint32_t size);

/** Reads one block. @param size Bytes that are there. @return false: cut short, or no block of UF2. */
bool uf2_block_read(const uint8_t *bytes, uint32_t size, uf2_block_t *block);

/** @return The chip of a family, or NULL: it is none of an ESP32. */
const sr_chip_t *uf2_block_chip(uint32_t family);
