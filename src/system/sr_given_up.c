// SPDX-License-Identifier: Apache-2.0
#include "system/sr_given_up.h"

#include "system/sr_partition.h"

#include "esp_partition.h"

sr_region_t sr_given_up_place(const sr_bundle_t *bundle, uint32_t index)
{
    const sr_bundle_given_up_t row = sr_bundle_given_up(bundle, index);
    if (row.label[0] == '\0') {
        return row.place;
    }
    const esp_partition_t *partition =
        esp_partition_find_first(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, row.label);
    /* A sector that the partition shares with another one is not given up. */
    const bool usable = partition != NULL && sr_partition_is_on_main_chip(partition) &&
                        sr_region_is_aligned(partition->address, SR_SECTOR_SIZE);
    return usable ? (sr_region_t){partition->address, partition->size - partition->size % SR_SECTOR_SIZE}
                  : (sr_region_t){0};
}

static bool holds(const sr_bundle_t *bundle, sr_region_t sector)
{
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        if (sr_region_overlaps(sr_given_up_place(bundle, i), sector)) {
            return true;
        }
    }
    return false;
}

bool sr_given_up_covers(const sr_bundle_t *bundle, sr_region_t region, sr_region_t part)
{
    for (uint32_t offset = 0; offset < region.size; offset += SR_SECTOR_SIZE) {
        const sr_region_t sector = {region.address + offset, SR_SECTOR_SIZE};
        if (sr_region_overlaps(part, sector) && !holds(bundle, sector)) {
            return false;
        }
    }
    return true;
}
