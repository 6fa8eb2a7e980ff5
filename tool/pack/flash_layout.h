// SPDX-License-Identifier: Apache-2.0
/** @file
 * A flash as a bundle will describe it: what each sector must hold.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_partition_table.h"
#include "make/bundle_writer.h"
#include "tool/pack/flash_parts.h"

#define FLASH_SECTORS (FLASH_LIMIT / SR_SECTOR_SIZE)

typedef struct flash_layout {
    uint8_t *bytes;                        /**< FLASH_LIMIT of them; 0xFF unless the sector's want is CONTENT. */
    sr_bundle_want_t wants[FLASH_SECTORS]; /**< Where a file lies: CONTENT, even if it is blank. */
    bool initial[FLASH_SECTORS];           /**< Owned by the new system once it is installed. */
} flash_layout_t;

/** Puts arranged parts into an otherwise kept flash. @return NULL without memory. */
flash_layout_t *flash_layout_of(const flash_parts_t *parts);
void flash_layout_free(flash_layout_t *layout);

/** Sets what the sectors of a region must hold. */
void flash_layout_set(flash_layout_t *layout, sr_region_t region, sr_bundle_want_t want);

/** Erases those sectors of a region that would be kept, since no file lies there. */
void flash_layout_erase(flash_layout_t *layout, sr_region_t region);

/** What a sector must hold; KEEP for addresses that no layout reaches. */
sr_bundle_want_t flash_layout_want(const flash_layout_t *layout, uint32_t address);

/** End of the last sector that is not kept; 0: all are. */
uint32_t flash_layout_end(const flash_layout_t *layout);

/**
 * Reads "ADDR+SIZE", "ADDR..END" or the name of a partition.
 * @return STATUS_OK, or STATUS_USAGE after complaining: bad words, not whole sectors, not in a flash, no such
 * partition.
 */
int flash_region_parse(const char *word, const sr_partition_table_t *table, sr_region_t *region);

#define TABLE_LABELS_SIZE 320
/** "it has nvs, otadata, ...", as much as there is room for, or that there is no table: for messages. @return @p out.
 */
const char *table_labels(const sr_partition_table_t *table, char out[TABLE_LABELS_SIZE]);

/** True for "ADDR+SIZE" and "ADDR..END", whatever the numbers. */
bool flash_region_is_range(const char *word);

/**
 * Finds the regions for the writer. Long blank runs inside files become regions of their own, since an erased region
 * needs no digests.
 * @param[out] regions Point into @p layout.
 * @return How many there are; 0 if the layout has more of them than a bundle can hold, or none.
 */
unsigned flash_layout_regions(const flash_layout_t *layout, bundle_region_t regions[SR_BUNDLE_MAX_REGIONS]);
