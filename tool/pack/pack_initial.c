// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_initial.h"

#include "sim/nor/nor_flash.h"
#include "tool/base/command.h"

#include <string.h>

/** Magic of an image that MCUboot boots. */
static const uint8_t slot_magic[4] = {0x3d, 0xb8, 0xf3, 0x96};

static void set_region(flash_layout_t *layout, sr_region_t region, bool initial)
{
    const uint64_t end = ((uint64_t)region.address + region.size + SR_SECTOR_SIZE - 1) / SR_SECTOR_SIZE;
    for (uint64_t i = region.address / SR_SECTOR_SIZE; i < end && i < FLASH_SECTORS; i++) {
        layout->initial[i] = initial && layout->wants[i] != SR_BUNDLE_KEEP;
    }
}

static bool is_content(const flash_layout_t *layout, uint32_t sector)
{
    return layout->wants[sector] == SR_BUNDLE_CONTENT &&
           !nor_is_erased(layout->bytes + sector * SR_SECTOR_SIZE, SR_SECTOR_SIZE);
}

static bool compares_content(const flash_layout_t *layout)
{
    for (uint32_t i = 0; i < FLASH_SECTORS; i++) {
        if (!layout->initial[i] && is_content(layout, i)) {
            return true;
        }
    }
    return false;
}

/** MCUboot swaps what lies in slots, and has no table that says where they end. */
static void find_slots(flash_layout_t *layout)
{
    uint32_t first = 0;
    while (first < FLASH_SECTORS &&
           (layout->wants[first] != SR_BUNDLE_CONTENT ||
            memcmp(layout->bytes + first * SR_SECTOR_SIZE, slot_magic, sizeof(slot_magic)) != 0)) {
        first++;
    }
    set_region(layout, (sr_region_t){first * SR_SECTOR_SIZE, FLASH_LIMIT - first * SR_SECTOR_SIZE}, true);
}

static void find_partitions(const pack_result_t *result, flash_layout_t *layout)
{
    uint32_t app = 0;
    const bool boots = pack_result_app(result, &app);
    for (unsigned i = 0; i < result->table.count; i++) {
        const sr_partition_table_entry_t *entry = &result->table.entries[i];
        const bool is_app = entry->type == SR_PARTITION_TYPE_APP;
        const bool is_boot_path = entry->type == SR_PARTITION_TYPE_BOOTLOADER || entry->type == SR_PARTITION_TYPE_TABLE;
        if (!is_boot_path && (!is_app || (boots && entry->address != app))) {
            set_region(layout, (sr_region_t){entry->address, entry->size}, true);
        }
    }
}

void pack_initial_find(const pack_result_t *result, flash_layout_t *layout)
{
    if (result->table_offset != SR_BUNDLE_NO_TABLE) {
        find_partitions(result, layout);
    } else if (pack_result_is_mcuboot(layout, result->chip, SR_PARTITION_TABLE_OFFSET)) {
        find_slots(layout);
    }
    if (!compares_content(layout)) {
        memset(layout->initial, 0, sizeof(layout->initial));
    }
}

static bool is_boot_path(const pack_result_t *result, sr_region_t region)
{
    const sr_region_t table = {result->table_offset, SR_SECTOR_SIZE};
    const sr_region_t bootloader = {result->chip->bootloader_offset, SR_SECTOR_SIZE};
    return sr_region_overlaps(region, bootloader) ||
           (result->table_offset != SR_BUNDLE_NO_TABLE && sr_region_overlaps(region, table));
}

int pack_initial_set(const pack_result_t *result, flash_layout_t *layout, const char *word, bool initial)
{
    sr_region_t region;
    const int status = flash_region_parse(word, &result->table, &region);
    if (status != STATUS_OK) {
        return status;
    }
    if (initial && is_boot_path(result, region)) {
        return complain(STATUS_USAGE, "--initial %s: bootloader and partition table are always compared", word);
    }
    bool packed = false;
    for (uint32_t i = 0; i < region.size; i += SR_SECTOR_SIZE) {
        packed |= flash_layout_want(layout, region.address + i) != SR_BUNDLE_KEEP;
    }
    if (!packed) {
        return complain(STATUS_USAGE, "--%s %s: nothing is packed there", initial ? "initial" : "always", word);
    }
    set_region(layout, region, initial);
    return STATUS_OK;
}

int pack_initial_check(const flash_layout_t *layout)
{
    bool any = false;
    for (uint32_t i = 0; i < FLASH_SECTORS; i++) {
        any |= layout->initial[i];
    }
    return !any || compares_content(layout)
               ? STATUS_OK
               : complain(STATUS_USAGE, "--initial: nothing is left that tells whether the bundle is installed");
}
