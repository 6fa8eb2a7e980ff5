// SPDX-License-Identifier: Apache-2.0
#include "sr_migration_internal.h"

#include "sr_commit.h"
#include "sr_relocate_esp_idf.h"

#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <inttypes.h>
#include <string.h>

#define SECTORS_PER_BLOCK (SR_BLOCK_SIZE / SR_SECTOR_SIZE)

static const char *TAG = "self_reflasher";

/** Which sectors a pass writes. */
typedef bool (*wanted_t)(uint8_t flags);

static bool is_data(uint8_t flags)
{
    return (flags & SR_MAP_WRONG) != 0 && (flags & SR_MAP_DATA) != 0;
}

/* Offset in the bundle behind the run of adjacent chunks that are needed, so that they travel in one request. */
static uint32_t fetch_end(const sr_migration_t *migration, uint32_t digest_index)
{
    const sr_bundle_t *bundle = &migration->manifest.bundle;
    uint32_t chunk = sr_bundle_chunk_of(bundle, digest_index);
    while (chunk + 1 < bundle->chunk_count &&
           sr_map_chunk_has(&migration->map, bundle, chunk + 1, SR_MAP_WRONG, SR_MAP_NEEDED)) {
        chunk++;
    }
    const sr_bundle_chunk_t last = sr_bundle_chunk(bundle, chunk);
    return last.offset + last.length;
}

static esp_err_t write_sector(sr_migration_t *migration, uint32_t address)
{
    const sr_wanted_t wanted = sr_migration_wanted(migration, address);
    sr_sector_t sector = {.address = address, .data = migration->buffers->scratch};
    esp_err_t err = ESP_OK;
    switch (wanted.kind) {
    case SR_WANTED_CONTENT:
        sector.used = SR_SECTOR_SIZE;
        err = sr_decoder_get(&migration->decoder, wanted.digest_index, fetch_end(migration, wanted.digest_index),
                             &sector.data);
        break;
    case SR_WANTED_MOVED:
        sector.used = SR_SECTOR_SIZE;
        err = sr_flash_read(&migration->system.flash, wanted.source, sector.data, SR_SECTOR_SIZE);
        break;
    default:
        memset(sector.data, 0xFF, SR_SECTOR_SIZE);
        break;
    }
    return err == ESP_OK ? sr_writer_put(&migration->writer, &sector) : err;
}

static uint32_t count(const sr_migration_t *migration, wanted_t wanted)
{
    uint32_t sectors = 0;
    for (uint32_t i = 0; i < migration->map.count; i++) {
        sectors += wanted(migration->map.flags[i]);
    }
    return sectors;
}

static esp_err_t write_block(sr_migration_t *migration, uint32_t first, wanted_t wanted)
{
    sr_map_t *map = &migration->map;
    esp_err_t err = ESP_OK;
    if (wanted == sr_map_is_body && sr_map_block_erase(map, first * SR_SECTOR_SIZE)) {
        err = sr_writer_erase_block(&migration->writer, first * SR_SECTOR_SIZE);
    }
    for (uint32_t i = first; i < first + SECTORS_PER_BLOCK && i < map->count && err == ESP_OK; i++) {
        if (wanted(map->flags[i])) {
            err = write_sector(migration, i * SR_SECTOR_SIZE);
            migration->progress.sectors_done++;
        }
    }
    return err;
}

/* Writes all sectors of one kind, in ascending order, as the chunks come. */
static esp_err_t write_all(sr_migration_t *migration, wanted_t wanted)
{
    esp_err_t err = ESP_OK;
    migration->progress.sectors_done = 0;
    migration->progress.sectors_total = count(migration, wanted);
    for (uint32_t i = 0; i < migration->map.count && err == ESP_OK; i += SECTORS_PER_BLOCK) {
        const uint32_t before = migration->progress.sectors_done;
        err = write_block(migration, i, wanted);
        if (migration->progress.sectors_done != before) {
            sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_PREPARE);
            vTaskDelay(1); /* The idle task feeds the task watchdog. */
        }
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "sector 0x%" PRIx32 ": %s", migration->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static bool in_region(sr_region_t region, uint32_t address)
{
    return sr_region_overlaps(region, (sr_region_t){address, SR_SECTOR_SIZE});
}

/* Part of the commit that a wrong sector of the boot path belongs to. What moves to the place of the old otadata is
 * written with the bootloader: as soon as the new table is there, another app may run, which finishes nothing. So is
 * content that only shares the block, as the end of a bootloader that is longer than the old one. */
static sr_stage_group_t boot_group_of(const sr_migration_t *migration, uint32_t address)
{
    const sr_boot_path_t *path = &migration->system.boot_path;
    const uint8_t flags = sr_map_at(&migration->map, address);
    if (in_region(path->table, address)) {
        return SR_STAGE_TABLE;
    }
    if (in_region(path->otadata, address) && !sr_map_is_moved(flags)) {
        return SR_STAGE_OTADATA;
    }
    const bool with_bootloader = in_region(path->bootloader, address) || (flags & SR_MAP_CONTENT) != 0;
    return with_bootloader ? SR_STAGE_BOOTLOADER : SR_STAGE_NEIGHBOURS;
}

/* Part of the commit that a sector belongs to; false for one that is none of its business. */
static bool group_of(const sr_migration_t *migration, uint32_t address, sr_stage_group_t *group)
{
    const uint8_t flags = sr_map_at(&migration->map, address);
    const bool wrong = (flags & SR_MAP_WRONG) != 0;
    if ((flags & SR_MAP_BOOT_PATH) != 0) {
        *group = wrong ? boot_group_of(migration, address) : SR_STAGE_NEIGHBOURS;
        return wrong || sr_map_is_claimed(&migration->map, address);
    }
    *group = SR_STAGE_DATA;
    return wrong && (flags & SR_MAP_DATA) != 0;
}

static esp_err_t list_sector(sr_migration_t *migration, uint32_t address, sr_stage_group_t group)
{
    const uint8_t flags = sr_map_at(&migration->map, address);
    const bool blank = (flags & SR_MAP_CONTENT) == 0;
    const sr_stage_entry_t entry = {.address = address, .sectors = 1, .group = group, .blank = blank};
    /* An entry is of one kind, so that what moves can be compared with its source. */
    const bool like_the_last =
        address > 0 && sr_map_is_moved(flags) == sr_map_is_moved(sr_map_at(&migration->map, address - SR_SECTOR_SIZE));
    return like_the_last && sr_stage_extend(&migration->stage, group, address, blank)
               ? ESP_OK
               : sr_stage_add(&migration->stage, &entry);
}

static esp_err_t list_groups(sr_migration_t *migration, sr_stage_group_t first)
{
    sr_stage_start(&migration->stage);
    for (unsigned group = first; group <= SR_STAGE_OTADATA; group++) {
        for (uint32_t i = 0; i < migration->map.count; i++) {
            sr_stage_group_t mine;
            if (!group_of(migration, i * SR_SECTOR_SIZE, &mine) || mine != group) {
                continue;
            }
            const esp_err_t err = list_sector(migration, i * SR_SECTOR_SIZE, mine);
            if (err != ESP_OK) {
                return err;
            }
        }
    }
    return ESP_OK;
}

uint32_t sr_migration_find_place(const sr_migration_t *migration, uint32_t *data_sectors)
{
    const bool slots_are_known = migration->manifest.bundle.partition_table_offset != SR_BUNDLE_NO_TABLE;
    return sr_map_find_record(&migration->map, SR_STAGE_OVERHEAD, slots_are_known, data_sectors);
}

esp_err_t sr_migration_list_entries(sr_migration_t *migration, bool *data_is_staged)
{
    uint32_t sectors;
    *data_is_staged = list_groups(migration, SR_STAGE_DATA) == ESP_OK;
    sectors = migration->stage.data_sectors;
    *data_is_staged = *data_is_staged && sr_migration_find_place(migration, &sectors) != SR_NO_ADDRESS;
    return *data_is_staged ? ESP_OK : list_groups(migration, SR_STAGE_NEIGHBOURS);
}

/* Gets one sector of an entry from where it has been so far. */
static esp_err_t fetch_from_source(void *context, const sr_stage_entry_t *entry, uint32_t index, uint8_t *data)
{
    sr_migration_t *migration = context;
    uint8_t *sector = NULL;
    const sr_wanted_t wanted = sr_migration_wanted(migration, entry->address + index * SR_SECTOR_SIZE);
    if (wanted.kind == SR_WANTED_MOVED) {
        return sr_flash_read(&migration->system.flash, wanted.source, data, SR_SECTOR_SIZE);
    }
    const esp_err_t err = sr_decoder_get(&migration->decoder, wanted.digest_index, 0, &sector);
    if (err == ESP_OK) {
        memcpy(data, sector, SR_SECTOR_SIZE);
    }
    return err;
}

static esp_err_t fetch_from_stage(void *context, const sr_stage_entry_t *entry, uint32_t index, uint8_t *data)
{
    const sr_migration_t *migration = context;
    return sr_stage_read(&migration->stage, entry, index, data);
}

/* Puts the sectors of one entry into free flash, and hashes them on the way. */
static esp_err_t stage_entry(sr_migration_t *migration, uint32_t index)
{
    sr_stage_t *stage = &migration->stage;
    uint8_t *scratch = migration->buffers->scratch;
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    const sr_stage_entry_t entry = sr_stage_entry(stage, index);
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry.sectors && err == ESP_OK; i++) {
        err = fetch_from_source(migration, &entry, i, scratch);
        if (err == ESP_OK) {
            sr_sha256_update(&sha, scratch, SR_SECTOR_SIZE);
            err = sr_stage_put(stage, &migration->writer, entry.data_index + i, scratch);
            err = sr_migration_tell_record(migration, err);
        }
        migration->progress.sectors_done++;
    }
    const bool hashed = sr_sha256_finish(&sha, digest) == 0;
    sr_stage_set_digest(stage, index, digest);
    return err == ESP_OK && !hashed ? ESP_FAIL : err;
}

/* Puts the data of all entries into free flash. The record counts for nothing before it is sealed. */
static esp_err_t stage_data(sr_migration_t *migration, uint32_t wanted_sectors)
{
    sr_stage_t *stage = &migration->stage;
    uint8_t *scratch = migration->buffers->scratch;
    uint8_t app_id[SR_SHA256_SIZE];
    esp_err_t err = sr_system_app_id(&migration->system, scratch, app_id);
    if (err != ESP_OK) {
        return err;
    }
    memcpy(stage->app_id, app_id, sizeof(stage->app_id));
    err = sr_stage_open(stage, &migration->writer, migration->plan->staging_address, scratch);
    err = sr_migration_tell_record(migration, err);
    migration->progress.sectors_done = 0;
    migration->progress.sectors_total = wanted_sectors;
    for (uint32_t i = 0; i < stage->count && err == ESP_OK; i++) {
        err = sr_stage_entry(stage, i).blank ? ESP_OK : stage_entry(migration, i);
    }
    sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_STAGE);
    return err;
}

/* Hashes once more what an entry was staged from. */
static esp_err_t compare_entry(sr_migration_t *migration, const sr_stage_entry_t *entry, bool *same)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK; i++) {
        err = fetch_from_source(migration, entry, i, migration->buffers->scratch);
        sr_sha256_update(&sha, migration->buffers->scratch, SR_SECTOR_SIZE);
    }
    *same = sr_sha256_finish(&sha, digest) == 0 && memcmp(digest, entry->digest, SR_BUNDLE_DIGEST_SIZE) == 0;
    return err;
}

static esp_err_t moved_is_the_same(sr_migration_t *migration, uint32_t *where, bool *same)
{
    esp_err_t err = ESP_OK;
    *same = true;
    for (uint32_t i = 0; i < migration->stage.count && err == ESP_OK && *same; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(&migration->stage, i);
        *where = entry.address;
        if (sr_map_is_moved(sr_map_at(&migration->map, entry.address))) {
            err = compare_entry(migration, &entry, same);
        }
    }
    for (uint32_t i = 0; i < migration->map.count && err == ESP_OK && *same; i++) {
        *where = i * SR_SECTOR_SIZE;
        if (sr_map_is_moved_body(migration->map.flags[i])) {
            err = sr_migration_sector_is_right(migration, *where, same);
        }
    }
    return err;
}

/* What moves belongs to the running app, whose tasks may have written to it meanwhile: half of one state and half of
 * another is worth nothing. From the seal on, the copy is what counts. */
static esp_err_t check_moved(sr_migration_t *migration)
{
    bool same = true;
    uint32_t where = 0;
    const esp_err_t err = moved_is_the_same(migration, &where, &same);
    if (err == ESP_OK && !same) {
        ESP_LOGE(TAG, "what moves to 0x%" PRIx32 " was written to while it was copied: stop that, and call again",
                 where);
        return ESP_ERR_INVALID_STATE;
    }
    return err;
}

/* All but the commit's own sectors must be right now, whatever was done to them before. */
static esp_err_t verify_rest(sr_migration_t *migration)
{
    for (uint32_t i = 0; i < migration->map.count; i++) {
        bool right;
        sr_stage_group_t group;
        const uint32_t address = i * SR_SECTOR_SIZE;
        if ((migration->map.flags[i] & SR_MAP_TARGET) == 0 || group_of(migration, address, &group) ||
            in_region(migration->overwrite, address)) {
            continue;
        }
        const esp_err_t err = sr_migration_sector_is_right(migration, address, &right);
        if (err != ESP_OK || !right) {
            ESP_LOGE(TAG, "sector 0x%" PRIx32 " does not hold what was written", address);
            return err != ESP_OK ? err : ESP_ERR_SELF_REFLASHER_VERIFY;
        }
        migration->map.flags[i] &= (uint8_t)~SR_MAP_WRONG;
    }
    return ESP_OK;
}

static esp_err_t commit(sr_migration_t *migration)
{
    const bool staged = migration->stage.address != SR_NO_ADDRESS;
    sr_commit_t work = {.stage = &migration->stage,
                        .fetch = staged ? fetch_from_stage : fetch_from_source,
                        .fetch_context = migration,
                        .scratch = migration->buffers->scratch,
                        .readback = migration->buffers->readback};
    esp_err_t err = sr_commit_prepare(&work);
    if (err == ESP_OK) {
        migration->progress.sectors_done = 0;
        migration->progress.sectors_total = sr_commit_boot_path_sectors(&work);
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
        err = sr_commit_execute(&work);
        migration->progress.sectors_done = err == ESP_OK ? migration->progress.sectors_total : 0;
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "commit, sector 0x%" PRIx32 ": %s", work.failed_address, esp_self_reflasher_err_to_name(err));
    }
    sr_commit_release(&work);
    return err;
}

/* What the source gives is no longer needed once the record is sealed, and the commit needs the memory. */
static void release_source(sr_migration_t *migration)
{
    sr_decoder_close(&migration->decoder);
    sr_manifest_free(&migration->manifest);
    sr_source_close(&migration->source);
}

static void find_new_app(void *context, const esp_partition_t *partition)
{
    sr_migration_t *migration = context;
    const sr_region_t region = sr_partition_region(partition);
    for (uint32_t offset = 0; partition->type == ESP_PARTITION_TYPE_APP && offset < region.size &&
                              sr_region_fits(region, migration->system.flash.size);
         offset += SR_SECTOR_SIZE) {
        migration->writes_app_partition |= sr_map_is_body(sr_map_at(&migration->map, region.address + offset));
    }
}

/* An app that runs because the bootloader found none in the slots it tried first: a new one there would be started
 * before its bootloader and its table are in place. */
static esp_err_t keep_being_started(sr_migration_t *migration)
{
    bool changed = false;
    esp_err_t err = sr_system_visit_partitions(find_new_app, migration);
    if (err == ESP_OK && migration->writes_app_partition) {
        err = sr_relocate_stay(&migration->system, &changed);
    }
    return err == ESP_OK && changed ? sr_migration_survey_again(migration, migration->system.boot_path.otadata) : err;
}

/* Everything that the running system does not need, straight to its destination. */
static esp_err_t prepare(sr_migration_t *migration, bool *data_is_staged)
{
    esp_err_t err = sr_migration_discard_records(migration);
    if (err == ESP_OK) {
        err = keep_being_started(migration);
    }
    if (err == ESP_OK) {
        err = write_all(migration, sr_map_is_body);
    }
    if (err == ESP_OK) {
        err = sr_migration_list_entries(migration, data_is_staged);
    }
    if (err == ESP_OK) {
        err = verify_rest(migration);
    }
    return err == ESP_OK ? sr_migration_check_app(migration) : err;
}

/* What is left goes into free flash as one object, if there is any. From here on the source is not needed. Data for
 * which there is no room goes straight to its place, but not before the rest is at hand. What moves to free flash goes
 * straight to its place, too: its source is whole until the record is sealed. */
static esp_err_t stage(sr_migration_t *migration, bool data_is_staged)
{
    const uint32_t wanted_sectors = migration->stage.data_sectors;
    migration->plan->staging_address =
        migration->stage.count > 0 ? sr_migration_find_place(migration, &migration->stage.data_sectors) : SR_NO_ADDRESS;
    const bool staged = migration->plan->staging_address != SR_NO_ADDRESS;
    esp_err_t err = write_all(migration, sr_map_is_moved_body);
    if (err == ESP_OK && staged) {
        err = stage_data(migration, wanted_sectors);
    }
    if (err == ESP_OK && !data_is_staged) {
        err = write_all(migration, is_data);
    }
    if (err == ESP_OK) {
        err = check_moved(migration);
    }
    if (err == ESP_OK && staged) {
        err = sr_migration_tell_record(migration, sr_stage_seal(&migration->stage, &migration->writer));
    }
    if (staged) {
        release_source(migration);
    }
    return err;
}

/* Asked before staging: a record that is complete would be finished by the next start without asking again. */
static esp_err_t ask(const sr_migration_t *migration)
{
    const bool may =
        (migration->stage.count == 0 && migration->overwrite.size == 0) || sr_migration_may_commit(migration);
    if (!may) {
        ESP_LOGW(TAG, "commit of %" PRIu32 " boot path sectors is put off", migration->plan->sectors_boot_path);
    }
    return may ? ESP_OK : ESP_ERR_SELF_REFLASHER_NOT_NOW;
}

/* Nothing is left for the next start here: all of the rest happens in one go, with the app gone half-way. So data goes
 * to its place only when the rest is at hand. */
static esp_err_t overwrite(sr_migration_t *migration)
{
    sr_commit_t work = {.stage = &migration->stage,
                        .fetch = fetch_from_source,
                        .fetch_context = migration,
                        .scratch = migration->buffers->scratch,
                        .readback = migration->buffers->readback};
    esp_err_t err = sr_overwrite_stage(migration);
    if (err == ESP_OK) {
        err = list_groups(migration, SR_STAGE_NEIGHBOURS);
    }
    if (err == ESP_OK) {
        err = sr_commit_prepare(&work);
    }
    if (err == ESP_OK) {
        err = write_all(migration, is_data);
    }
    if (err == ESP_OK) {
        migration->progress.sectors_done = 0;
        migration->progress.sectors_total =
            sr_commit_boot_path_sectors(&work) + migration->overwrite.size / SR_SECTOR_SIZE;
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
        release_source(migration);
        err = sr_overwrite_execute(migration, &work.hold);
    }
    sr_commit_release(&work);
    return err;
}

esp_err_t sr_migration_run(sr_migration_t *migration)
{
    bool data_is_staged;
    esp_err_t err = prepare(migration, &data_is_staged);
    if (err == ESP_OK) {
        err = ask(migration);
    }
    if (err == ESP_OK && migration->overwrite.size > 0) {
        return overwrite(migration);
    }
    if (err == ESP_OK) {
        err =
            sr_recovery_copy(&migration->system, &migration->recovery, &migration->writer, migration->buffers->scratch);
    }
    if (err == ESP_OK) {
        err = stage(migration, data_is_staged);
    }
    if (err == ESP_OK) {
        err = commit(migration);
    }
    if (err == ESP_OK && migration->stage.address != SR_NO_ADDRESS) {
        err = sr_stage_discard(&migration->stage, &migration->writer, migration->buffers->scratch);
        err = sr_migration_tell_record(migration, err);
    }
    return err;
}
