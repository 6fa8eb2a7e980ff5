// SPDX-License-Identifier: Apache-2.0
/** @file
 * The bundle whose chunks fuzz_chunk replaces, for it and for the seeds it starts with.
 */
#pragma once

#include "make/bundle_writer.h"

#include <string.h>

#define FUZZ_CHUNK_SECTORS 22u

/** First byte of an input: what the rest is. */
typedef enum fuzz_chunk_mode {
    FUZZ_CHUNK_DATA = 'd',   /**< Bytes in place of the chunks of the bundle here. */
    FUZZ_CHUNK_BUNDLE = 'b', /**< A bundle of its own. */
} fuzz_chunk_mode_t;

/** Text with blank sectors in between, which is deflated, and after it a sector of noise, which is stored. */
static inline void fuzz_chunk_content(uint8_t content[FUZZ_CHUNK_SECTORS * SR_SECTOR_SIZE])
{
    static const char words[] = "the same words again and again ";
    memset(content, 0xFF, FUZZ_CHUNK_SECTORS * SR_SECTOR_SIZE);
    for (uint32_t i = 0; i < FUZZ_CHUNK_SECTORS; i++) {
        uint8_t *sector = content + i * SR_SECTOR_SIZE;
        for (uint32_t k = 0; i % 3 != 2 && k < SR_SECTOR_SIZE; k++) {
            sector[k] = (uint8_t)words[(k + i) % (sizeof(words) - 1)];
        }
    }
    uint32_t random = 1;
    for (uint32_t k = 0; k < SR_SECTOR_SIZE; k++) {
        random = random * 1664525u + 1013904223u;
        content[18 * SR_SECTOR_SIZE + k] = (uint8_t)(random >> 24);
    }
}

/** @param[out] bundle To be freed by the caller. */
static inline bundle_write_status_t fuzz_chunk_bundle(const uint8_t *content, uint8_t **bundle, size_t *size)
{
    const uint32_t whole = 18 * SR_SECTOR_SIZE;
    const bundle_region_t regions[] = {
        {.place = {0x10000, whole}, .data = content, .length = whole},
        {.place = {0x40000, SR_SECTOR_SIZE}, .data = content + whole, .length = SR_SECTOR_SIZE},
        {.place = {0x50000, 3 * SR_SECTOR_SIZE},
         .data = content + whole + SR_SECTOR_SIZE,
         .length = 3 * SR_SECTOR_SIZE},
    };
    const bundle_spec_t spec = {.min_flash_size = 0x100000,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = regions,
                                .region_count = 3};
    return bundle_write(&spec, bundle, size);
}
