// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "format/sr_digest.h"
#include "port/sr_yield.h"
#include "system/sr_partition.h"

#include <string.h>

static void mark_partition(void *context, const esp_partition_t *partition)
{
    if (sr_partition_is_data(partition)) {
        sr_map_mark(context, sr_partition_region(partition), SR_MAP_DATA);
    }
    if (sr_partition_is_read_only(partition)) {
        sr_map_mark(context, sr_partition_region(partition), SR_MAP_CLOSED_NOW);
    }
}

static esp_err_t mark_running_system(sr_migration_t *migration)
{
    const sr_boot_path_t *path = &migration->system.boot_path;
    sr_map_mark(&migration->scan.map, path->bootloader, SR_MAP_BOOT_PATH);
    sr_map_mark(&migration->scan.map, path->digest, SR_MAP_BOOT_PATH);
    sr_map_mark(&migration->scan.map, path->table, SR_MAP_BOOT_PATH);
    sr_map_mark(&migration->scan.map, path->otadata, SR_MAP_BOOT_PATH);
    sr_map_mark(&migration->scan.map, path->recovery, SR_MAP_BOOT_PATH);
    sr_map_mark(&migration->scan.map, path->running_app, SR_MAP_RUNNING_APP);
    return sr_partition_visit(mark_partition, &migration->scan.map);
}

sr_moves_wanted_t sr_migration_wanted(const sr_migration_t *migration, uint32_t address)
{
    if (migration->scan.installed && sr_bundle_is_initial(&migration->input.manifest.bundle, address)) {
        return (sr_moves_wanted_t){.kind = SR_MOVES_WANTED_AS_IT_IS};
    }
    return sr_moves_wanted(&migration->scan.moves, &migration->input.manifest.bundle, address);
}

static esp_err_t has_digest(sr_migration_t *migration, uint32_t address, uint32_t digest_index, bool *right)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint8_t *sector = migration->buffers->scratch;
    const esp_err_t err = sr_flash_read(&migration->target, address, sector, SR_SECTOR_SIZE);
    *right =
        err == ESP_OK && sr_digest(sector, SR_SECTOR_SIZE, digest) &&
        memcmp(digest, sr_bundle_digest(&migration->input.manifest.bundle, digest_index), SR_BUNDLE_DIGEST_SIZE) == 0;
    return err;
}

static esp_err_t holds_the_same(sr_migration_t *migration, uint32_t address, uint32_t source, bool *right)
{
    const sr_writer_sector_t sector = {.address = address, .used = SR_SECTOR_SIZE, .data = migration->buffers->scratch};
    sr_writer_comparison_t comparison = {0};
    esp_err_t err = sr_flash_read(&migration->system.flash, source, sector.data, SR_SECTOR_SIZE);
    if (err == ESP_OK) {
        err = sr_writer_compare(&migration->writer, &sector, &comparison);
    }
    *right = comparison.right;
    return err;
}

esp_err_t sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right)
{
    sr_yield(2u * SR_SECTOR_SIZE); /* What moves is read at its source and at its destination. */
    const sr_moves_wanted_t wanted = sr_migration_wanted(migration, address);
    switch (wanted.kind) {
    case SR_MOVES_WANTED_BLANK:
        return sr_migration_is_blank(migration, address, right);
    case SR_MOVES_WANTED_CONTENT:
        return has_digest(migration, address, wanted.digest_index, right);
    case SR_MOVES_WANTED_MOVED:
        return holds_the_same(migration, address, wanted.source, right);
    default:
        *right = true;
        return ESP_OK;
    }
}

static esp_err_t scan_sector(sr_migration_t *migration, uint32_t index)
{
    const uint32_t address = index * SR_SECTOR_SIZE;
    bool blank;
    bool right;
    sr_yield(SR_SECTOR_SIZE);
    esp_err_t err = sr_writer_is_blank(&migration->writer, address, &blank);
    if (err == ESP_OK) {
        err = sr_migration_sector_is_right(migration, address, &right);
    }
    if (err != ESP_OK) {
        return err;
    }
    const sr_moves_wanted_kind_t kind = sr_migration_wanted(migration, address).kind;
    const bool target = kind == SR_MOVES_WANTED_BLANK || kind == SR_MOVES_WANTED_CONTENT;
    const bool content = kind == SR_MOVES_WANTED_CONTENT || kind == SR_MOVES_WANTED_MOVED;
    const sr_region_t sector = {address, SR_SECTOR_SIZE};
    sr_map_clear(&migration->scan.map, sector, SR_MAP_SCANNED | SR_MAP_RELEASED);
    sr_map_mark(&migration->scan.map, sector,
                (sr_map_flags_t)((blank ? SR_MAP_BLANK : 0u) | (target ? SR_MAP_TARGET : 0u) |
                                 (content ? SR_MAP_CONTENT : 0u) | (right ? 0u : SR_MAP_WRONG)));
    return ESP_OK;
}

esp_err_t sr_migration_scan(sr_migration_t *migration)
{
    sr_map_t *map = &migration->scan.map;
    migration->run.progress.sectors_total = map->count;
    for (uint32_t i = 0; i < map->count; i++) {
        const esp_err_t err = scan_sector(migration, i);
        if (err != ESP_OK) {
            return err;
        }
        if (i % SR_SECTORS_PER_BLOCK == 0) {
            migration->run.progress.sectors_done = i;
            sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_CHECK);
        }
    }
    esp_err_t err = mark_running_system(migration);
    if (err == ESP_OK) {
        err = sr_migration_give_up(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_find_installed(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_find_moves(migration);
    }
    return err == ESP_OK ? sr_migration_mark_records(migration) : err;
}

esp_err_t sr_migration_rescan(sr_migration_t *migration, sr_region_t region)
{
    esp_err_t err = ESP_OK;
    for (uint32_t i = region.address / SR_SECTOR_SIZE;
         i < (region.address + region.size) / SR_SECTOR_SIZE && err == ESP_OK; i++) {
        err = scan_sector(migration, i);
    }
    return err;
}
