// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_nvs.h"
#include "system/sr_given_up.h"
#include "system/sr_move_source.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

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

/* Finds what a row moves; whether all of it fits is known only for what is not NVS. */
static esp_err_t find_source(sr_migration_t *migration, const sr_bundle_move_t *row, sr_region_t *source, bool *is_nvs)
{
    const uint32_t flash_size = migration->system.flash.size;
    const sr_move_source_status_t status = sr_move_source_find(row, flash_size, source);
    *is_nvs = status == SR_MOVE_SOURCE_IS_NVS;
    switch (status) {
    case SR_MOVE_SOURCE_MISSING:
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                                   "the bundle moves partition '%s', and this system has none", row->label);
    case SR_MOVE_SOURCE_UNALIGNED:
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                                   "partition '%s' at 0x%" PRIx32 " is not aligned, and cannot move", row->label,
                                   source->address);
    case SR_MOVE_SOURCE_TOO_LARGE:
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                                   "'%s', %" PRIu32 " bytes at 0x%" PRIx32 ", does not fit its new place: %" PRIu32
                                   " bytes at 0x%" PRIx32 "; only NVS can get smaller: keep the size of this, or save "
                                   "what it holds and leave the move out",
                                   row->label, source->size, source->address, row->destination.size,
                                   row->destination.address);
    default:
        return ESP_OK;
    }
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

static esp_err_t refuse_pages(sr_migration_t *migration, const sr_bundle_move_t *row, const sr_nvs_pages_t *pages)
{
    const uint32_t room = row->destination.size / SR_SECTOR_SIZE;
    const char *reason = pages->used < SR_NVS_MIN_PAGES ? "NVS wants 3 at least" : "one has to stay free";
    return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                               "'%s' uses %" PRIu32 " pages of 4 KiB, its new place at 0x%" PRIx32 " has %" PRIu32
                               ", and %s: %" PRIu32 " missing; give it %" PRIu32 " bytes in the new table",
                               row->label, pages->used, row->destination.address, room, reason, pages->needed - room,
                               pages->needed * SR_SECTOR_SIZE);
}

/* Which page goes where is decided here, once, from what is there now: sr_migration_check_moved() sees to it that it is
 * still so when the record is sealed. */
static esp_err_t close_up(sr_migration_t *migration, const sr_bundle_move_t *row, sr_region_t source)
{
    sr_flash_reader_window_t window;
    sr_nvs_pages_t pages;
    const sr_flash_t *flash = &migration->system.flash;
    const sr_reader_t reader = sr_flash_reader(&window, flash, 0, flash->size);
    switch (sr_nvs_close_up(&reader, source, row->destination, &migration->scan.moves, &pages)) {
    case SR_NVS_FITS:
        ESP_LOGI(TAG, "%" PRIu32 " pages of NVS move from 0x%" PRIx32 " to %" PRIu32 " bytes at 0x%" PRIx32, pages.used,
                 source.address, row->destination.size, row->destination.address);
        return ESP_OK;
    case SR_NVS_TOO_MANY_PAGES:
        return refuse_pages(migration, row, &pages);
    case SR_NVS_BOUND_TO_ITS_PLACE:
        return sr_migration_refuse(
            migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
            "'%s' moves to a smaller place, where its page at 0x%" PRIx32
            " would lie at another offset, and that may be encrypted for this one: give it %" PRIu32
            " bytes in the new table, as it has today",
            row->label, pages.bound, source.size);
    default:
        return window.err;
    }
}

static esp_err_t add_move(sr_migration_t *migration, const sr_bundle_move_t *row)
{
    sr_moves_t *moves = &migration->scan.moves;
    sr_region_t source;
    bool is_nvs;
    esp_err_t err = find_source(migration, row, &source, &is_nvs);
    if (err == ESP_OK) {
        sr_map_mark(&migration->scan.map, source, SR_MAP_SOURCE);
        err = check_given_up(migration, source);
    }
    if (err != ESP_OK || is_nvs) {
        return err == ESP_OK ? close_up(migration, row, source) : err;
    }
    ESP_LOGI(TAG, "%" PRIu32 " bytes move from 0x%" PRIx32 " to 0x%" PRIx32, source.size, source.address,
             row->destination.address);
    moves->list[moves->count++] = (struct sr_move){.source = source, .destination = row->destination};
    return ESP_OK;
}

/* NVS that closes up is as it was at one moment, whatever the old system writes to it until the record is finished:
 * where old and new place overlap, what is right by now is put right then, too. */
static esp_err_t insist(sr_migration_t *migration, const sr_bundle_move_t *row)
{
    sr_region_t source;
    bool is_nvs;
    const esp_err_t err = find_source(migration, row, &source, &is_nvs);
    for (uint32_t at = 0; is_nvs && at < row->destination.size; at += SR_SECTOR_SIZE) {
        const sr_region_t sector = {row->destination.address + at, SR_SECTOR_SIZE};
        if (sr_region_overlaps(sector, source)) {
            sr_map_mark(&migration->scan.map, sector, SR_MAP_WRONG);
        }
    }
    return err;
}

/* Sources are needed to the end, like data of the running system. Their destinations are scanned only when all sources
 * are known. */
static esp_err_t add_moves(sr_migration_t *migration)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    esp_err_t err = ESP_OK;
    for (uint32_t i = 0; i < bundle->move_count && err == ESP_OK; i++) {
        const sr_bundle_move_t row = sr_bundle_move(bundle, i);
        err = add_move(migration, &row);
    }
    for (uint32_t i = 0; i < bundle->move_count && err == ESP_OK; i++) {
        const sr_bundle_move_t row = sr_bundle_move(bundle, i);
        err = sr_migration_rescan(migration, row.destination);
        err = err == ESP_OK ? insist(migration, &row) : err;
    }
    return err;
}

static bool is_on_boot_path(const sr_boot_path_t *path, sr_region_t place)
{
    return sr_region_overlaps(place, path->bootloader) || sr_region_overlaps(place, path->digest) ||
           sr_region_overlaps(place, path->table) || sr_region_overlaps(place, path->otadata) ||
           sr_region_overlaps(place, path->recovery);
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

/* What add_moves() needs at the most. */
static esp_err_t count_moves(sr_migration_t *migration, uint32_t *count)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    esp_err_t err = ESP_OK;
    *count = 0;
    for (uint32_t i = 0; i < bundle->move_count && err == ESP_OK; i++) {
        sr_region_t source;
        bool is_nvs;
        const sr_bundle_move_t row = sr_bundle_move(bundle, i);
        err = find_source(migration, &row, &source, &is_nvs);
        *count += is_nvs ? sr_nvs_max_moves(row.destination) : 1;
    }
    return err;
}

esp_err_t sr_migration_find_moves(sr_migration_t *migration)
{
    sr_moves_t *moves = &migration->scan.moves;
    uint32_t count;
    if (migration->input.manifest.bundle.move_count == 0 || migration->scan.installed || !boot_path_is_old(migration)) {
        return ESP_OK;
    }
    const esp_err_t err = count_moves(migration, &count);
    if (err != ESP_OK) {
        return err;
    }
    moves->list = heap_caps_calloc(count, sizeof(moves->list[0]), MALLOC_CAP_8BIT);
    return moves->list != NULL ? add_moves(migration) : ESP_ERR_NO_MEM;
}
