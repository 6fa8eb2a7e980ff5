// SPDX-License-Identifier: Apache-2.0
/* Finds what a bundle wants written and the flash driver refuses to write. */
#include "bundle/sr_migration_internal.h"
#include "system/sr_partition.h"

#include <inttypes.h>

/** A search for what must be written and cannot be. */
typedef struct closed {
    const sr_map_t *map;
    bool with_otadata; /**< All of otadata must be writable. */
    const esp_partition_t *partition;
    uint32_t address;
} closed_t;

static void look_for_closed(void *context, const esp_partition_t *partition)
{
    closed_t *closed = context;
    const sr_region_t region = sr_partition_region(partition);
    const bool is_otadata =
        partition->type == ESP_PARTITION_TYPE_DATA && partition->subtype == ESP_PARTITION_SUBTYPE_DATA_OTA;
    if (!sr_partition_is_read_only(partition)) {
        return;
    }
    for (uint64_t at = region.address; at < (uint64_t)region.address + region.size; at += SR_SECTOR_SIZE) {
        const bool inside = at < (uint64_t)closed->map->count * SR_SECTOR_SIZE;
        if (inside && closed->partition == NULL &&
            ((sr_map_at(closed->map, (uint32_t)at) & SR_MAP_WRONG) != 0 || (is_otadata && closed->with_otadata))) {
            closed->partition = partition;
            closed->address = (uint32_t)at;
        }
    }
}

static bool has_otadata_to_write(const sr_migration_t *migration, sr_region_t region, uint32_t *address)
{
    const uint64_t end = (uint64_t)region.address + region.size;
    for (uint64_t at = region.address; at < end && at < migration->system.flash.size; at += SR_SECTOR_SIZE) {
        sr_record_group_t group;
        *address = (uint32_t)at;
        if (sr_migration_group_of(migration, *address, &group) && group == SR_RECORD_OTADATA) {
            return true;
        }
    }
    return false;
}

/* A run after a power loss goes by the table that is in flash by then. */
static esp_err_t check_new_otadata(sr_migration_t *migration)
{
    const uint32_t now = migration->system.boot_path.table.address;
    const bool other_table = (sr_map_at(&migration->scan.map, now) & SR_MAP_WRONG) != 0;
    const sr_partition_table_t *table =
        SR_PARTITION_READ_ONLY_COUNTS && other_table ? sr_migration_new_table(migration) : NULL;
    for (uint8_t i = 0; table != NULL && i < table->count; i++) {
        const sr_region_t region = {table->entries[i].address, table->entries[i].size};
        uint32_t address;
        if ((table->entries[i].flags & SR_PARTITION_FLAG_READ_ONLY) != 0 &&
            has_otadata_to_write(migration, region, &address)) {
            return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_READ_ONLY,
                                       "otadata at 0x%" PRIx32 " is flagged readonly in the bundle's own table: with "
                                       "that table in place it could not be written any more after a power loss",
                                       address);
        }
    }
    return ESP_OK;
}

/* From ESP-IDF 5.2 on the flash driver writes to no partition that is flagged read-only. Nobody could finish what the
 * commit had to leave undone for that. */
esp_err_t sr_migration_check_read_only(sr_migration_t *migration)
{
    closed_t closed = {.map = &migration->scan.map, .with_otadata = migration->choice.must_stay};
    const esp_err_t err = sr_partition_visit(look_for_closed, &closed);
    if (err != ESP_OK) {
        return err;
    }
    if (closed.partition != NULL) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_READ_ONLY,
                                   "partition '%s' at 0x%" PRIx32 " is flagged readonly, and 0x%" PRIx32
                                   " in it must be written: the flash driver refuses that until a table without the "
                                   "flag is in place, which a bundle of its own can bring",
                                   closed.partition->label, closed.partition->address, closed.address);
    }
    return check_new_otadata(migration);
}
