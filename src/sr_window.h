// SPDX-License-Identifier: Apache-2.0
/** @file
 * Readers made of other readers: a part of one, and one laid over another.
 */
#pragma once

#include "sr_reader.h"
#include "sr_region.h"

/** A part of another reader, for parsers that expect their subject at offset 0. */
typedef struct sr_window {
    const sr_reader_t *base; /**< Must outlive the window. */
    uint32_t offset;
} sr_window_t;

/**
 * Makes a reader over [offset, offset + size) of @p base, cut at its end.
 * @param[out] window Storage that must outlive the reader.
 */
sr_reader_t sr_window_reader(sr_window_t *window, const sr_reader_t *base, uint32_t offset, uint32_t size);

/** What a flash will hold once an image has been copied to a region of it, blank behind the image. */
typedef struct sr_overlay {
    const sr_reader_t *flash; /**< Must outlive the overlay. */
    const sr_reader_t *image; /**< Likewise. */
    sr_region_t destination;
} sr_overlay_t;

/**
 * Makes a reader over the whole flash as it will be.
 * @param overlay All fields set; must outlive the reader.
 */
sr_reader_t sr_overlay_reader(sr_overlay_t *overlay);
