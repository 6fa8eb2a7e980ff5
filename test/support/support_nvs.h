// SPDX-License-Identifier: Apache-2.0
/** @file
 * Pages of NVS, as ESP-IDF writes them.
 */
#pragma once

#include "esp_rom_crc.h"

#include "format/sr_bytes.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NVS_ACTIVE  0xFFFFFFFEu
#define NVS_FULL    0xFFFFFFFCu
#define NVS_FREEING 0xFFFFFFF8u
#define NVS_CORRUPT 0xFFFFFFF0u
#define NVS_ENTRIES 126u

/** Begins a page that has no entries yet. */
static inline void nvs_page(uint8_t page[SR_SECTOR_SIZE], uint32_t state, uint32_t sequence)
{
    memset(page, 0xFF, SR_SECTOR_SIZE);
    sr_bytes_put_le32(page, state);
    sr_bytes_put_le32(page + 4, sequence);
    page[8] = 0xFE;
    sr_bytes_put_le32(page + 28, esp_rom_crc32_le(UINT32_MAX, page + 4, 24));
}

static inline uint8_t *nvs_entry(uint8_t page[SR_SECTOR_SIZE], unsigned index)
{
    return page + 64 + 32 * index;
}

/** Sets the state of an entry: 2: written, 0: erased. */
static inline void nvs_mark(uint8_t page[SR_SECTOR_SIZE], unsigned index, unsigned state)
{
    uint8_t *states = page + 32 + index / 4;
    *states = (uint8_t)((*states & ~(3u << (index % 4 * 2))) | state << (index % 4 * 2));
}

/** Writes an item of one byte. */
static inline void nvs_item(uint8_t page[SR_SECTOR_SIZE], unsigned index, uint8_t value)
{
    uint8_t *entry = nvs_entry(page, index);
    const uint8_t head[4] = {1, 0x01, 1, 0xFF};
    memset(entry, 0, 24);
    memcpy(entry, head, sizeof(head));
    (void)snprintf((char *)entry + 8, 16, "key%u", index);
    memset(entry + 24, 0xFF, 8);
    entry[24] = value;
    sr_bytes_put_le32(entry + 4, esp_rom_crc32_le(esp_rom_crc32_le(UINT32_MAX, entry, 4), entry + 8, 24));
    nvs_mark(page, index, 2);
}

/** A page with some items, unlike those of other sequence numbers. */
static inline void nvs_page_in_use(uint8_t page[SR_SECTOR_SIZE], uint32_t sequence)
{
    nvs_page(page, NVS_FULL, sequence);
    for (unsigned i = 0; i < 8; i++) {
        nvs_item(page, i, (uint8_t)(sequence + i));
    }
}

/** Makes an entry look as if it was encrypted. */
static inline void nvs_encrypt(uint8_t page[SR_SECTOR_SIZE], unsigned index, uint32_t offset)
{
    uint8_t *entry = nvs_entry(page, index);
    for (unsigned i = 0; i < 32; i++) {
        entry[i] ^= (uint8_t)(0x5A + offset / 32 + index + 37 * i);
    }
}
