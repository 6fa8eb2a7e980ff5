// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/flash_layout.h"

#include "sim/nor/flash_buffer.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/command.h"
#include "tool/base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_RUN                                                                                                       \
    16u /**< Blank sectors from which on a region of their own pays: its rows take less room than the digests. */

flash_layout_t *flash_layout_of(const flash_parts_t *parts)
{
    flash_layout_t *layout = calloc(1, sizeof(*layout));
    if (layout == NULL) {
        return NULL;
    }
    layout->bytes = flash_memory_new(FLASH_LIMIT);
    if (layout->bytes == NULL) {
        free(layout);
        return NULL;
    }
    memset(layout->bytes, 0xFF, FLASH_LIMIT);
    for (size_t i = 0; i < parts->count; i++) {
        const flash_part_t *part = &parts->list[i];
        memcpy(layout->bytes + part->address, part->file.bytes, part->file.size);
        flash_layout_set(layout, (sr_region_t){part->address, part->file.size}, SR_BUNDLE_CONTENT);
    }
    return layout;
}

void flash_layout_free(flash_layout_t *layout)
{
    if (layout != NULL) {
        free(layout->bytes);
        free(layout);
    }
}

void flash_layout_set(flash_layout_t *layout, sr_region_t region, sr_bundle_want_t want)
{
    const uint64_t end = (uint64_t)region.address + region.size;
    for (uint64_t i = region.address / SR_SECTOR_SIZE; i * SR_SECTOR_SIZE < end && i < FLASH_SECTORS; i++) {
        layout->wants[i] = want;
        if (want != SR_BUNDLE_CONTENT) {
            memset(layout->bytes + i * SR_SECTOR_SIZE, 0xFF, SR_SECTOR_SIZE);
        }
    }
}

void flash_layout_erase(flash_layout_t *layout, sr_region_t region)
{
    for (uint32_t i = 0; i < region.size; i += SR_SECTOR_SIZE) {
        if (flash_layout_want(layout, region.address + i) == SR_BUNDLE_KEEP) {
            flash_layout_set(layout, (sr_region_t){region.address + i, SR_SECTOR_SIZE}, SR_BUNDLE_BLANK);
        }
    }
}

sr_bundle_want_t flash_layout_want(const flash_layout_t *layout, uint32_t address)
{
    return address < FLASH_LIMIT ? layout->wants[address / SR_SECTOR_SIZE] : SR_BUNDLE_KEEP;
}

uint32_t flash_layout_end(const flash_layout_t *layout)
{
    uint32_t sectors = FLASH_SECTORS;
    while (sectors != 0 && layout->wants[sectors - 1] == SR_BUNDLE_KEEP) {
        sectors--;
    }
    return sectors * SR_SECTOR_SIZE;
}

const char *table_labels(const sr_partition_table_t *table, char out[TABLE_LABELS_SIZE])
{
    size_t used = 0;
    (void)snprintf(out, TABLE_LABELS_SIZE, "no table is packed");
    for (unsigned i = 0; i < table->count && used < TABLE_LABELS_SIZE; i++) {
        used += (size_t)snprintf(out + used, TABLE_LABELS_SIZE - used, "%s%s", i == 0 ? "it has " : ", ",
                                 table->entries[i].label);
    }
    return out;
}

static bool parse_range(const char *word, sr_region_t *region)
{
    uint32_t second = 0;
    const char *rest = NULL;
    if (!number_parse_prefix(word, &region->address, &rest)) {
        return false;
    }
    if (*rest == '+') {
        return number_parse(rest + 1, &region->size);
    }
    if (strncmp(rest, "..", 2) != 0 || !number_parse(rest + 2, &second) || second < region->address) {
        return false;
    }
    region->size = second - region->address;
    return true;
}

bool flash_region_is_range(const char *word)
{
    sr_region_t region;
    return parse_range(word, &region);
}

int flash_region_parse(const char *word, const sr_partition_table_t *table, sr_region_t *region)
{
    const sr_partition_table_entry_t *partition = sr_partition_table_find_label(table, word);
    if (partition != NULL) {
        *region = (sr_region_t){partition->address, partition->size};
    } else if (!parse_range(word, region)) {
        char names[TABLE_LABELS_SIZE];
        return complain(STATUS_USAGE,
                        "region '%s' is neither ADDR+SIZE nor ADDR..END, nor a partition of the table that is packed "
                        "(%s)",
                        word, table_labels(table, names));
    }
    if (!sr_region_is_aligned(region->address | region->size, SR_SECTOR_SIZE) || region->size == 0) {
        return complain(STATUS_USAGE, "region '%s' is not made of whole sectors (0x1000 bytes)", word);
    }
    if (!sr_region_fits(*region, FLASH_LIMIT)) {
        return complain(STATUS_USAGE, "region '%s' extends past the largest flash (32 MiB)", word);
    }
    return STATUS_OK;
}

static bool is_blank(const flash_layout_t *layout, uint32_t sector)
{
    return nor_is_erased(layout->bytes + sector * SR_SECTOR_SIZE, SR_SECTOR_SIZE);
}

typedef struct finder {
    const flash_layout_t *layout;
    bool blank[FLASH_SECTORS];
    uint32_t long_run; /**< Blank sectors from which on a run is a region of its own. */
    bundle_region_t *regions;
    unsigned count; /**< Number of all regions; the first SR_BUNDLE_MAX_REGIONS are in `regions`. */
} finder_t;

static void add_region(finder_t *finder, uint32_t first, uint32_t end, bool erased)
{
    if (first == end) {
        return;
    }
    if (finder->count < SR_BUNDLE_MAX_REGIONS) {
        const uint32_t address = first * SR_SECTOR_SIZE;
        const uint32_t size = (end - first) * SR_SECTOR_SIZE;
        finder->regions[finder->count] = (bundle_region_t){
            .place = {address, size},
            .data = erased ? NULL : finder->layout->bytes + address,
            .length = erased ? 0 : size,
            .initial = finder->layout->initial[first],
        };
    }
    finder->count++;
}

static uint32_t blank_run_end(const finder_t *finder, uint32_t first, uint32_t end)
{
    while (first < end && finder->blank[first]) {
        first++;
    }
    return first;
}

/** Splits adjacent sectors that are not kept, and all owned by the new system or none, into written and erased ones. */
static void split_run(finder_t *finder, uint32_t first, uint32_t end)
{
    uint32_t written = first; // start of what is not in a region yet
    for (uint32_t i = first; i < end;) {
        const uint32_t blank_end = blank_run_end(finder, i, end);
        const bool all = i == first && blank_end == end;
        if (all || blank_end - i >= finder->long_run) {
            add_region(finder, written, i, false);
            add_region(finder, i, blank_end, true);
            written = blank_end;
        }
        i = blank_end == i ? i + 1 : blank_end;
    }
    add_region(finder, written, end, false);
}

static void find_regions(finder_t *finder)
{
    const sr_bundle_want_t *wants = finder->layout->wants;
    const bool *initial = finder->layout->initial;
    finder->count = 0;
    for (uint32_t i = 0; i < FLASH_SECTORS;) {
        uint32_t end = i;
        while (end < FLASH_SECTORS && wants[end] != SR_BUNDLE_KEEP && initial[end] == initial[i]) {
            end++;
        }
        split_run(finder, i, end);
        i = end == i ? i + 1 : end;
    }
}

unsigned flash_layout_regions(const flash_layout_t *layout, bundle_region_t regions[SR_BUNDLE_MAX_REGIONS])
{
    finder_t *finder = calloc(1, sizeof(*finder));
    if (finder == NULL) {
        return 0;
    }
    finder->layout = layout;
    finder->regions = regions;
    for (uint32_t i = 0; i < FLASH_SECTORS; i++) {
        finder->blank[i] = is_blank(layout, i);
    }
    finder->long_run = LONG_RUN;
    find_regions(finder);
    while (finder->count > SR_BUNDLE_MAX_REGIONS && finder->long_run < FLASH_SECTORS) {
        finder->long_run *= 2;
        find_regions(finder);
    }
    const unsigned count = finder->count <= SR_BUNDLE_MAX_REGIONS ? finder->count : 0;
    free(finder);
    return count;
}
