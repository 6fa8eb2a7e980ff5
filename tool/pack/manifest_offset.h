// SPDX-License-Identifier: Apache-2.0
/** @file
 * Offsets in a manifest of ESP Web Tools, and those that were published with a decimal point for the thousands.
 */
#pragma once

#include <cjson/cJSON.h>

#include <stdint.h>

typedef enum manifest_offset {
    MANIFEST_OFFSET_GOOD,
    MANIFEST_OFFSET_THOUSANDS, /**< Such as 32.768: a sector's offset if the point separates thousands. */
    MANIFEST_OFFSET_BAD,       /**< Anything else, or none. */
} manifest_offset_t;

/** Reads an offset. @param[out] offset What it says, or what was probably meant; nothing that counts if it is bad. */
manifest_offset_t manifest_offset_read(const cJSON *item, uint32_t *offset);

#define MANIFEST_OFFSET_TEXT_SIZE 48

/** As it stands in the manifest, in short; "missing" if there is none. @return @p out. */
const char *manifest_offset_text(const cJSON *item, char out[MANIFEST_OFFSET_TEXT_SIZE]);
