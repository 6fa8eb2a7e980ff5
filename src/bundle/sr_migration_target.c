// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "port/sr_yield.h"

#include <string.h>

#define HEAP_GOAL     (48u * 1024u) /**< What a migration takes at the most on 4 MiB of flash. */
#define HEAP_SLACK    272u          /**< Left for a timer, and for ESP-IDF's search of the table. */
#define APP_BEGINNING 3072u         /**< Encoded bytes that most likely hold the first sector of an app. */

static uint32_t heap_left(const sr_migration_t *migration)
{
    const uint32_t used = (uint32_t)(sizeof(*migration) + sizeof(*migration->plan) + sizeof(*migration->buffers)) +
                          HEAP_SLACK + migration->scan.map.count * (uint32_t)sizeof(sr_map_flags_t) +
                          SR_DECODER_MAX_HEAP + migration->input.manifest.bundle.manifest_size +
                          SR_BUNDLE_SIGNATURE_SIZE;
    return used < HEAP_GOAL ? HEAP_GOAL - used : 0;
}

/* Bootloader, table and otadata, of the running system and of the new one. */
static bool is_read_more_than_once(const sr_migration_t *migration, uint32_t index)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, index);
    const sr_region_t place = {sr_bundle_address(bundle, chunk.first_digest), chunk.sector_count * SR_SECTOR_SIZE};
    const sr_region_t front = {0, migration->system.boot_path.table.address + SR_SECTOR_SIZE};
    const sr_region_t table = {bundle->partition_table_offset,
                               bundle->partition_table_offset != SR_BUNDLE_NO_TABLE ? SR_SECTOR_SIZE : 0};
    return sr_map_chunk_has(&migration->scan.map, bundle, index, SR_MAP_WRONG | SR_MAP_BOOT_PATH, 0) ||
           sr_map_chunk_has(&migration->scan.map, bundle, index, SR_MAP_WRONG | SR_MAP_CLAIMED, 0) ||
           (sr_map_chunk_has(&migration->scan.map, bundle, index, SR_MAP_WRONG, 0) &&
            (sr_region_overlaps(place, front) || sr_region_overlaps(place, table)));
}

/* Offset past the run of chunks that may be kept, so that they travel in one request. */
static uint32_t keep_until(const sr_migration_t *migration, uint32_t index, uint32_t room)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    const uint32_t start = sr_bundle_chunk(bundle, index).offset;
    uint32_t end = start;
    for (; index < bundle->chunk_count && is_read_more_than_once(migration, index); index++) {
        const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, index);
        if (chunk.offset != end || chunk.offset + chunk.length - start > room) {
            break;
        }
        end += chunk.length;
    }
    return end;
}

/* The list of the commit is empty until the checks are over, unless something moves: where memory is short its buffer
 * takes the first sector of a kept chunk, which then is kept only until the checks are over. */
esp_err_t sr_migration_keep(sr_migration_t *migration)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    esp_err_t err = ESP_OK;
    migration->input.keep_room = heap_left(migration);
    for (uint32_t i = 0; i < bundle->chunk_count && migration->config->http_config != NULL && err == ESP_OK; i++) {
        const uint32_t length = sr_bundle_chunk(bundle, i).length;
        const bool borrow = migration->input.kept_for_checks == 0 && length > migration->input.keep_room &&
                            migration->scan.moves.count == 0;
        const uint32_t room = migration->input.keep_room + (borrow ? SR_SECTOR_SIZE : 0);
        if (length <= room && is_read_more_than_once(migration, i)) {
            uint32_t kept;
            err = sr_decoder_keep(&migration->input.decoder, i, length, keep_until(migration, i, room),
                                  borrow ? migration->buffers->list : NULL, &kept);
            migration->input.keep_room = room - kept;
            migration->input.kept_for_checks += borrow ? kept : 0;
        }
    }
    return err;
}

void sr_migration_end_keeping(sr_migration_t *migration)
{
    if (migration->input.kept_for_checks > 0) {
        sr_decoder_give_back(&migration->input.decoder);
    }
}

/* Only the header of an app is read for now. */
static esp_err_t get_sector(sr_migration_t *migration, uint32_t digest_index, uint8_t **data)
{
    uint32_t kept = 0;
    esp_err_t err = ESP_OK;
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    const uint32_t index = sr_bundle_chunk_of(bundle, digest_index);
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, index);
    const uint32_t length = chunk.length < SR_SECTOR_SIZE ? chunk.length : SR_SECTOR_SIZE;
    if (migration->config->http_config != NULL && migration->input.keep_room >= APP_BEGINNING) {
        err = sr_decoder_keep(&migration->input.decoder, index, APP_BEGINNING, 0, NULL, &kept);
        migration->input.keep_room -= kept;
    }
    return err == ESP_OK ? sr_decoder_get(&migration->input.decoder, digest_index, chunk.offset + length, data) : err;
}

/* One piece inside one sector of the flash as it will be. */
static esp_err_t read_piece(sr_migration_t *migration, uint32_t address, uint8_t *out, uint32_t length)
{
    const uint32_t offset = address % SR_SECTOR_SIZE;
    const uint32_t sector = address - offset;
    uint8_t *data = NULL;
    if ((sr_map_at(&migration->scan.map, sector) & SR_MAP_WRONG) == 0) {
        return sr_flash_read(&migration->target, address, out, length);
    }
    const sr_moves_wanted_t wanted = sr_migration_wanted(migration, sector);
    if (wanted.kind == SR_MOVES_WANTED_MOVED) {
        return sr_flash_read(&migration->system.flash, wanted.source + offset, out, length);
    }
    if (wanted.kind == SR_MOVES_WANTED_BLANK) {
        memset(out, 0xFF, length);
        return ESP_OK;
    }
    const esp_err_t err = get_sector(migration, wanted.digest_index, &data);
    if (err == ESP_OK) {
        memcpy(out, data + offset, length);
    }
    return err;
}

static int target_read(void *context, uint32_t address, void *buffer, size_t length)
{
    sr_migration_t *migration = context;
    uint8_t *out = buffer;
    while (length > 0) {
        const uint32_t room = SR_SECTOR_SIZE - address % SR_SECTOR_SIZE;
        const uint32_t step = length < room ? (uint32_t)length : room;
        sr_yield(step);
        const esp_err_t err = read_piece(migration, address, out, step);
        if (err != ESP_OK) {
            migration->input.target_err = migration->input.target_err == ESP_OK ? err : migration->input.target_err;
            return err;
        }
        out += step;
        address += step;
        length -= step;
    }
    return 0;
}

sr_reader_t sr_migration_target(sr_migration_t *migration)
{
    return (sr_reader_t){.context = migration, .read = target_read, .size = migration->system.flash.size};
}
