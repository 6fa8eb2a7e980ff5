// SPDX-License-Identifier: Apache-2.0
/** @file
 * The one way in which parsers see bytes: a window of `size` bytes and a function that reads from it.
 *
 * Parsers are pure: they own no buffer larger than a few hundred bytes of stack, allocate nothing and know neither
 * files nor flash. On the chip a reader stands for a region of flash, on the host also for a file in memory.
 */
#pragma once

#include "format/sr_region.h"

#include <stddef.h>
#include <stdint.h>

typedef struct sr_reader {
    void *context; /**< Handed to read(), owned by whoever made the reader. */
    /**
     * Reads exactly @p length bytes at @p offset. Callers ask only for ranges inside `size`.
     * @return 0 on success; any other value is the cause and is handed up unchanged.
     */
    int (*read)(void *context, uint32_t offset, void *buffer, size_t length);
    uint32_t size; /**< Bytes in the window. */
} sr_reader_t;

/** Makes a reader over memory, which must outlive it. */
sr_reader_t sr_reader_memory(const uint8_t *bytes, uint32_t size);

/** A part of another reader, for parsers that expect their subject at offset 0. */
typedef struct sr_reader_window {
    const sr_reader_t *base; /**< Must outlive the window. */
    uint32_t offset;
} sr_reader_window_t;

/**
 * Makes a reader over [offset, offset + size) of @p base, cut at its end.
 * @param[out] window Storage that must outlive the reader.
 */
sr_reader_t sr_reader_window(sr_reader_window_t *window, const sr_reader_t *base, uint32_t offset, uint32_t size);

/** What a flash will hold once an image has been copied to a region of it; blank past the image. */
typedef struct sr_reader_overlay {
    const sr_reader_t *flash; /**< Must outlive the overlay. */
    const sr_reader_t *image; /**< Must outlive the overlay. */
    sr_region_t destination;
} sr_reader_overlay_t;

/**
 * Makes a reader over the whole flash as it will be.
 * @param overlay All fields set; must outlive the reader.
 */
sr_reader_t sr_reader_overlay(sr_reader_overlay_t *overlay);
