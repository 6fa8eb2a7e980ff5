// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"
#include "system/sr_given_up.h"
#include "system/sr_partition.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_partition.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

static bool is_wrong(const sr_migration_t *migration, sr_region_t region)
{
    for (uint32_t offset = 0; offset < region.size; offset += SR_SECTOR_SIZE) {
        if ((sr_map_at(&migration->scan.map, region.address + offset) & SR_MAP_WRONG) != 0) {
            return true;
        }
    }
    return false;
}

/* Otadata does not count: it changes in the life of a system. */
static bool boot_path_is_old(const sr_migration_t *migration)
{
    const sr_boot_path_t *path = &migration->system.boot_path;
    return is_wrong(migration, path->bootloader) || is_wrong(migration, path->table);
}

static sr_region_t whole_sectors(const esp_partition_t *partition)
{
    return (sr_region_t){partition->address, (uint32_t)sr_region_align_up(partition->size, SR_SECTOR_SIZE)};
}

static esp_err_t find_source(sr_migration_t *migration, const sr_bundle_move_t *row, sr_region_t *source)
{
    *source = row->source;
    if (row->label[0] == '\0') {
        return ESP_OK;
    }
    const esp_partition_t *partition =
        esp_partition_find_first(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, row->label);
    if (partition == NULL || !sr_partition_is_on_main_chip(partition)) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                                   "the bundle moves partition '%s', and this system has none", row->label);
    }
    if (!sr_region_is_aligned(partition->address, SR_SECTOR_SIZE)) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                                   "partition '%s' at 0x%" PRIx32 " is not aligned, and cannot move", row->label,
                                   partition->address);
    }
    *source = whole_sectors(partition);
    return ESP_OK;
}

static esp_err_t find_move(sr_migration_t *migration, uint32_t index)
{
    const sr_bundle_move_t row = sr_bundle_move(&migration->input.manifest.bundle, index);
    struct sr_move *move = &migration->scan.moves.list[index];
    move->destination = row.destination;
    const esp_err_t err = find_source(migration, &row, &move->source);
    if (err != ESP_OK) {
        return err;
    }
    if (!sr_region_fits(move->source, migration->system.flash.size) || move->source.size > move->destination.size) {
        return sr_migration_refuse(
            migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
            "'%s', %" PRIu32 " bytes at 0x%" PRIx32 ", does not fit its new place: %" PRIu32 " bytes at 0x%" PRIx32,
            row.label, move->source.size, move->source.address, move->destination.size, move->destination.address);
    }
    ESP_LOGI(TAG, "%" PRIu32 " bytes move from 0x%" PRIx32 " to 0x%" PRIx32, move->source.size, move->source.address,
             move->destination.address);
    return ESP_OK;
}

/* What a label means is only known here, so that the bundle's own rules do not suffice. */
static esp_err_t check_given_up(sr_migration_t *migration, sr_region_t source)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        if (sr_region_overlaps(sr_given_up_place(bundle, i), source)) {
            return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                                       "the bundle gives up what it moves from 0x%" PRIx32, source.address);
        }
    }
    return ESP_OK;
}

/* Sources are needed to the end, like data of the running system. Their destinations are scanned only when all sources
 * are known. */
static esp_err_t scan_moves(sr_migration_t *migration)
{
    esp_err_t err = ESP_OK;
    for (uint32_t i = 0; i < migration->scan.moves.count; i++) {
        sr_map_mark(&migration->scan.map, migration->scan.moves.list[i].source, SR_MAP_SOURCE);
        err = err == ESP_OK ? check_given_up(migration, migration->scan.moves.list[i].source) : err;
    }
    for (uint32_t i = 0; i < migration->scan.moves.count && err == ESP_OK; i++) {
        err = sr_migration_rescan(migration, migration->scan.moves.list[i].destination);
    }
    return err;
}

static bool is_on_boot_path(const sr_boot_path_t *path, sr_region_t place)
{
    return sr_region_overlaps(place, path->bootloader) || sr_region_overlaps(place, path->table) ||
           sr_region_overlaps(place, path->otadata) || sr_region_overlaps(place, path->recovery);
}

/* Where the bundle puts nothing, these sectors count as erased: who writes there erases first. The running app may lie
 * there, once it has moved, and stays needed. */
static void release(sr_migration_t *migration, sr_region_t place)
{
    sr_map_t *map = &migration->scan.map;
    sr_map_clear(map, place, SR_MAP_DATA);
    for (uint32_t offset = 0; offset < place.size; offset += SR_SECTOR_SIZE) {
        const sr_region_t sector = {place.address + offset, SR_SECTOR_SIZE};
        if (!sr_region_fits(sector, migration->system.flash.size)) {
            return; /* A table may promise more flash than there is. */
        }
        const sr_map_flags_t flags = sr_map_at(map, sector.address);
        if ((flags & (SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_NEEDED)) == 0) {
            sr_map_mark(map, sector, SR_MAP_RELEASED);
        }
        migration->plan->sectors_given_up++;
    }
}

/* Only as long as the old system is there: afterwards a label may be that of the new system's data. */
esp_err_t sr_migration_give_up(sr_migration_t *migration)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    for (uint32_t i = 0; i < bundle->given_up_count && boot_path_is_old(migration); i++) {
        const sr_region_t place = sr_given_up_place(bundle, i);
        if (is_on_boot_path(&migration->system.boot_path, place)) {
            return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_NO_ROOM,
                                       "the bundle gives up 0x%" PRIx32 ", which the chip boots from", place.address);
        }
        release(migration, place);
        ESP_LOGW(TAG, "given up, and free to be overwritten: %" PRIu32 " bytes at 0x%" PRIx32, place.size,
                 place.address);
    }
    return ESP_OK;
}

esp_err_t sr_migration_find_moves(sr_migration_t *migration)
{
    const uint32_t count = migration->input.manifest.bundle.move_count;
    if (count == 0 || migration->scan.installed || !boot_path_is_old(migration)) {
        return ESP_OK;
    }
    if (migration->system.flash.encryption) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                   "flash encryption is on: data cannot be moved");
    }
    migration->scan.moves.list = heap_caps_calloc(count, sizeof(migration->scan.moves.list[0]), MALLOC_CAP_8BIT);
    if (migration->scan.moves.list == NULL) {
        return ESP_ERR_NO_MEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        const esp_err_t err = find_move(migration, i);
        if (err != ESP_OK) {
            return err;
        }
    }
    migration->scan.moves.count = count;
    return scan_moves(migration);
}
