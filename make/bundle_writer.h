// SPDX-License-Identifier: Apache-2.0
/** @file
 * Writes bundles (docs/bundle-format.md) from a description of what the flash must hold.
 *
 * The same description gives the same bytes, as long as zlib is the same.
 */
#pragma once

#include "format/sr_bundle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What one region must hold. */
typedef struct bundle_region {
    sr_region_t place;   /**< Whole sectors. */
    const uint8_t *data; /**< Its first bytes; NULL: the region is erased. */
    size_t length;       /**< Bytes of data, at most place.size. What is left of the region is blank. */
    bool initial;        /**< The new system owns it once it is installed. */
} bundle_region_t;

typedef struct bundle_spec {
    uint16_t chip_id;
    uint16_t min_chip_revision;      /**< major * 100 + minor; 0: any. */
    uint32_t min_flash_size;         /**< Whole sectors; the regions lie inside it. */
    uint32_t partition_table_offset; /**< Of the result; SR_BUNDLE_NO_TABLE if it has none. */
    const bundle_region_t *regions;  /**< By ascending address, not overlapping. */
    unsigned region_count;
    const sr_bundle_move_t *moves; /**< By ascending destination. */
    unsigned move_count;           /**< At most SR_BUNDLE_MAX_MOVES. */
    const sr_bundle_given_up_t *given_up;
    unsigned given_up_count; /**< At most SR_BUNDLE_MAX_GIVEN_UP. */
    uint32_t sequence;       /**< Larger than that of the previous bundle; 0 if not used. */
} bundle_spec_t;

typedef enum bundle_write_status {
    BUNDLE_WRITE_OK = 0,
    BUNDLE_WRITE_BAD_ARGUMENT, /**< The format cannot hold what was asked for. */
    BUNDLE_WRITE_NO_MEMORY,
    BUNDLE_WRITE_CRYPTO_FAILED,
} bundle_write_status_t;

/**
 * Writes a bundle that is not signed: its signature block is there, and zero.
 * @param[out] bundle The file, to be freed by the caller; NULL on error.
 * @param[out] size Its bytes.
 */
bundle_write_status_t bundle_write(const bundle_spec_t *spec, uint8_t **bundle, size_t *size);

/** What is to be different in a bundle that is written again. */
typedef struct bundle_change {
    const sr_bundle_given_up_t *given_up; /**< More of the old system: by the rules of the format, together with what is
                                             given up already. */
    unsigned given_up_count;
    bool compare_all; /**< No region is initial any more. */
} bundle_change_t;

/**
 * Writes a bundle again with something changed. All else is as it was, but it is not signed.
 * @param bundle, size All of a file.
 * @param[out] out The file, to be freed by the caller; NULL on error.
 * @param[out] out_size Its bytes.
 * @return as bundle_write(); BUNDLE_WRITE_BAD_ARGUMENT also if @p bundle is none.
 */
bundle_write_status_t bundle_rewrite(const uint8_t *bundle, size_t size, const bundle_change_t *change, uint8_t **out,
                                     size_t *out_size);

const char *bundle_write_status_text(bundle_write_status_t status);
