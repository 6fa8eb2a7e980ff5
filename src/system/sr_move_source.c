// SPDX-License-Identifier: Apache-2.0
#include "system/sr_move_source.h"

#include "system/sr_partition.h"

#include "esp_partition.h"

#include <stdbool.h>

sr_move_source_status_t sr_move_source_find(const sr_bundle_move_t *move, uint32_t flash_size, sr_region_t *source)
{
    bool is_nvs = false;
    *source = move->source;
    if (move->label[0] != '\0') {
        const esp_partition_t *partition =
            esp_partition_find_first(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, move->label);
        *source = sr_partition_region(partition);
        if (partition == NULL || !sr_partition_is_on_main_chip(partition)) {
            return SR_MOVE_SOURCE_MISSING;
        }
        if (!sr_region_is_aligned(partition->address, SR_SECTOR_SIZE)) {
            return SR_MOVE_SOURCE_UNALIGNED;
        }
        source->size = (uint32_t)sr_region_align_up(partition->size, SR_SECTOR_SIZE);
        is_nvs = partition->type == ESP_PARTITION_TYPE_DATA && partition->subtype == ESP_PARTITION_SUBTYPE_DATA_NVS;
    }
    if (!sr_region_fits(*source, flash_size)) {
        return SR_MOVE_SOURCE_TOO_LARGE;
    }
    if (source->size > move->destination.size) {
        return is_nvs ? SR_MOVE_SOURCE_IS_NVS : SR_MOVE_SOURCE_TOO_LARGE;
    }
    return SR_MOVE_SOURCE_FITS;
}
