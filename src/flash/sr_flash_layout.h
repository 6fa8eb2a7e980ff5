// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which regions of a flash are encrypted by a table that is not the one that the running app was started with.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** An encrypted partition. */
typedef struct sr_flash_layout_part {
    sr_region_t region;
    bool is_app;
} sr_flash_layout_part_t;

typedef struct sr_flash_layout {
    uint32_t front; /**< What lies below is encrypted, too: bootloader and table. */
    uint32_t count;
    sr_flash_layout_part_t parts[];
} sr_flash_layout_t;

/** Takes from a table what counts. @param front End of the sector that it lies in. @return NULL without memory; freed
 * with sr_flash_layout_free(). */
const sr_flash_layout_t *sr_flash_layout_of(const sr_partition_table_t *table, uint32_t front);
/** @param layout May be NULL. */
void sr_flash_layout_free(const sr_flash_layout_t *layout);

/* In the header, as code that runs from RAM asks, while there is no code in flash. */

/** The encrypted partition that has this address; NULL: none. */
static inline const sr_flash_layout_part_t *sr_flash_layout_part(const sr_flash_layout_t *layout, uint32_t address)
{
    for (uint32_t i = 0; i < layout->count; i++) {
        if (sr_region_overlaps(layout->parts[i].region, (sr_region_t){address, 1})) {
            return &layout->parts[i];
        }
    }
    return NULL;
}

/** True if the address is encrypted. */
static inline bool sr_flash_layout_encrypts(const sr_flash_layout_t *layout, uint32_t address)
{
    return address < layout->front || sr_flash_layout_part(layout, address) != NULL;
}
