// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "journal/sr_abandon.h"
#include "journal/sr_commit.h"
#include "port/sr_yield.h"
#include "relocate/sr_app_selection.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "sdkconfig.h"

#include <inttypes.h>
#include <string.h>

static const char *TAG = "self_reflasher";

/** Which sectors a pass writes. */
typedef bool (*wanted_t)(sr_map_flags_t flags);

/* Otadata is a data partition, too, but boot path: what selects the new app comes last. */
static bool is_data(sr_map_flags_t flags)
{
    return (flags & SR_MAP_WRONG) != 0 && (flags & SR_MAP_OLD_DATA) != 0 && (flags & SR_MAP_COMMITTED) == 0;
}

/* Offset in the bundle past the run of adjacent chunks that are needed, so that they travel in one request. */
static uint32_t fetch_end(const sr_migration_t *migration, uint32_t digest_index)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    uint32_t chunk = sr_bundle_chunk_of(bundle, digest_index);
    while (chunk + 1 < bundle->chunk_count &&
           sr_map_chunk_has(&migration->scan.map, bundle, chunk + 1, SR_MAP_WRONG, SR_MAP_NEEDED)) {
        chunk++;
    }
    const sr_bundle_chunk_t last = sr_bundle_chunk(bundle, chunk);
    return last.offset + last.length;
}

/* Blank as the reader of this sector sees it. */
static esp_err_t make_blank(const sr_migration_t *migration, sr_writer_sector_t *sector)
{
    bool is_read = false;
    const esp_err_t err = sr_migration_blank_is_read(migration, sector->address, &is_read);
    sector->used = is_read ? SR_SECTOR_SIZE : 0;
    memset(sector->data, 0xFF, SR_SECTOR_SIZE);
    return err;
}

static esp_err_t write_sector(sr_migration_t *migration, uint32_t address)
{
    const sr_moves_wanted_t wanted = sr_migration_wanted(migration, address);
    sr_writer_sector_t sector = {.address = address, .data = migration->buffers->scratch};
    esp_err_t err = ESP_OK;
    sr_yield(SR_YIELD_WRITE);
    switch (wanted.kind) {
    case SR_MOVES_WANTED_CONTENT:
        sector.used = SR_SECTOR_SIZE;
        err = sr_decoder_get(&migration->input.decoder, wanted.digest_index, fetch_end(migration, wanted.digest_index),
                             &sector.data);
        break;
    case SR_MOVES_WANTED_MOVED:
        sector.used = SR_SECTOR_SIZE;
        err = sr_flash_read(&migration->system.flash, wanted.source, sector.data, SR_SECTOR_SIZE);
        break;
    default:
        err = make_blank(migration, &sector);
        break;
    }
    return err == ESP_OK ? sr_writer_put(&migration->writer, &sector) : err;
}

static uint32_t count(const sr_migration_t *migration, wanted_t wanted)
{
    uint32_t sectors = 0;
    for (uint32_t i = 0; i < migration->scan.map.count; i++) {
        sectors += wanted(migration->scan.map.flags[i]);
    }
    return sectors;
}

static esp_err_t write_block(sr_migration_t *migration, uint32_t first, wanted_t wanted)
{
    sr_map_t *map = &migration->scan.map;
    esp_err_t err = ESP_OK;
    if (wanted == sr_map_is_body && sr_map_block_erase(map, first * SR_SECTOR_SIZE)) {
        sr_yield(SR_YIELD_BYTES); /* The erase of a block takes up to 2 s. */
        err = sr_writer_erase_block(&migration->writer, first * SR_SECTOR_SIZE);
    }
    for (uint32_t i = first; i < first + SR_SECTORS_PER_BLOCK && i < map->count && err == ESP_OK; i++) {
        if (wanted(map->flags[i])) {
            err = write_sector(migration, i * SR_SECTOR_SIZE);
            migration->run.progress.sectors_done++;
        }
    }
    return err;
}

/* Writes all sectors of one kind, in ascending order, as the chunks come. */
static esp_err_t write_all(sr_migration_t *migration, wanted_t wanted)
{
    esp_err_t err = ESP_OK;
    migration->run.progress.sectors_done = 0;
    migration->run.progress.sectors_total = count(migration, wanted);
    for (uint32_t i = 0; i < migration->scan.map.count && err == ESP_OK; i += SR_SECTORS_PER_BLOCK) {
        const uint32_t before = migration->run.progress.sectors_done;
        err = write_block(migration, i, wanted);
        if (migration->run.progress.sectors_done != before) {
            sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_PREPARE);
        }
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "sector 0x%" PRIx32 ": %s", migration->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static esp_err_t fetch_from_stage(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data)
{
    const sr_migration_t *migration = context;
    sr_yield(SR_SECTOR_SIZE);
    return sr_journal_read(&migration->run.journal, entry, index, data);
}

/* All but the commit's own sectors must be right now, whatever was done to them before. */
static esp_err_t verify_rest(sr_migration_t *migration)
{
    for (uint32_t i = 0; i < migration->scan.map.count; i++) {
        bool right;
        sr_record_group_t group;
        const uint32_t address = i * SR_SECTOR_SIZE;
        if ((migration->scan.map.flags[i] & SR_MAP_TARGET) == 0 || sr_migration_group_of(migration, address, &group) ||
            sr_region_overlaps(migration->choice.overwrite, (sr_region_t){address, SR_SECTOR_SIZE})) {
            continue;
        }
        const esp_err_t err = sr_migration_sector_is_right(migration, address, &right);
        if (err != ESP_OK || !right) {
            ESP_LOGE(TAG, "sector 0x%" PRIx32 " does not hold what was written", address);
            return err != ESP_OK ? err : ESP_ERR_SELF_REFLASHER_VERIFY;
        }
        sr_map_clear(&migration->scan.map, (sr_region_t){address, SR_SECTOR_SIZE}, SR_MAP_WRONG);
    }
    return ESP_OK;
}

static esp_err_t commit(sr_migration_t *migration)
{
    const bool staged = migration->run.journal.address != SR_NO_ADDRESS;
    sr_commit_t work = {.journal = &migration->run.journal,
                        .flash = &migration->target,
                        .fetch = staged ? fetch_from_stage : sr_migration_fetch,
                        .fetch_context = migration,
                        .scratch = migration->buffers->scratch,
                        .readback = migration->buffers->readback,
                        .claimed = sr_map_claimed(&migration->scan.map)};
    esp_err_t err = sr_commit_prepare(&work);
    if (err == ESP_ERR_NO_MEM) { /* What is not kept is fetched once more: better than giving up. */
        sr_commit_release(&work);
        sr_decoder_drop(&migration->input.decoder);
        err = sr_commit_prepare(&work);
    }
    if (err == ESP_OK) {
        migration->run.progress.sectors_done = 0;
        migration->run.progress.sectors_total = sr_commit_boot_path_sectors(&work);
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
        err = sr_commit_execute(&work);
        if (err == ESP_OK) {
            err = sr_migration_void_mark(migration);
        }
        migration->run.progress.sectors_done = err == ESP_OK ? migration->run.progress.sectors_total : 0;
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
    }
    sr_commit_release(&work);
    if (err != ESP_OK && staged) {
        const sr_abandon_t abandon = {.journal = &migration->run.journal,
                                      .writer = &migration->writer,
                                      .scratch = migration->buffers->scratch,
                                      .moves = &migration->scan.moves,
                                      .moves_are_known = true,
                                      .cause = err,
                                      .failed_address = work.failed_address};
        bool stuck;
        return sr_abandon(&abandon, &stuck);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "commit, sector 0x%" PRIx32 ": %s", work.failed_address, esp_self_reflasher_err_to_name(err));
    }
    return err;
}

/* What the source gives is no longer needed once the record is sealed, and the commit needs the memory. */
static void release_source(sr_migration_t *migration)
{
    sr_decoder_close(&migration->input.decoder);
    sr_manifest_free(&migration->input.manifest);
    sr_source_close(&migration->input.source);
}

/* An app that runs because the bootloader found none in the slots it tried first: a new one there would be started
 * before its bootloader and its table are in place. */
static esp_err_t keep_being_started(sr_migration_t *migration)
{
    if (!migration->choice.must_stay) {
        return ESP_OK;
    }
    const esp_err_t err = sr_app_selection_keep(&migration->system, NULL);
    return err == ESP_OK ? sr_migration_rescan(migration, migration->system.boot_path.otadata) : err;
}

/* Everything that the running system does not need, straight to its destination. */
static esp_err_t prepare(sr_migration_t *migration, bool *data_is_staged)
{
    esp_err_t err = sr_migration_discard_records(migration);
    if (err == ESP_OK) {
        err = sr_migration_put_mark(migration);
    }
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

/* What is left goes into free flash as one record, if there is any free flash. From here on the source is not needed.
 * Data for which there is no room goes straight to its place, but not before the rest is in free flash or in RAM. What
 * moves to free flash goes straight to its place, too: its source is whole until the record is sealed. */
static esp_err_t stage(sr_migration_t *migration, bool data_is_staged)
{
    sr_record_header_t *header = &migration->run.journal.header;
    migration->plan->staging_address =
        header->count > 0 ? sr_migration_find_place(migration, &header->sectors) : SR_NO_ADDRESS;
    const bool staged = migration->plan->staging_address != SR_NO_ADDRESS;
    if (migration->scan.moves.count > 0 && !staged) {
        ESP_LOGE(TAG, "data is to be moved, and the free flash for it cannot be used");
        return ESP_ERR_INVALID_STATE;
    }
    esp_err_t err = write_all(migration, sr_map_is_moved_body);
    if (err == ESP_OK && staged) {
        err = sr_migration_stage_data(migration);
    }
    if (err == ESP_OK && !data_is_staged) {
        err = write_all(migration, is_data);
    }
    if (err == ESP_OK) {
        err = sr_migration_check_moved(migration);
    }
    if (err == ESP_OK && staged) {
        err = sr_migration_tell_record(migration, sr_journal_seal(&migration->run.journal, &migration->writer));
    }
    if (staged) {
        release_source(migration);
    }
    return err;
}

/* Asked before staging: a record that is complete would be finished by the next start without asking again. */
static esp_err_t ask(const sr_migration_t *migration)
{
    const bool may = (migration->run.journal.header.count == 0 && migration->choice.overwrite.size == 0) ||
                     sr_migration_may_commit(migration);
    if (!may) {
        ESP_LOGW(TAG, "commit of %" PRIu32 " boot path sectors is put off", migration->plan->sectors_boot_path);
    }
    return may ? ESP_OK : ESP_ERR_SELF_REFLASHER_NOT_NOW;
}

#if CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
/* Nothing is left for the next start here: all of the rest happens in one go, and half-way through the app is gone. So
 * data goes to its place only when the rest is in free flash or in RAM. */
static esp_err_t overwrite_with(sr_migration_t *migration, sr_copy_workspace_t *workspace)
{
    sr_commit_t work = {.journal = &migration->run.journal,
                        .flash = &migration->target,
                        .fetch = sr_migration_fetch,
                        .fetch_context = migration,
                        .scratch = migration->buffers->scratch,
                        .readback = migration->buffers->readback};
    esp_err_t err = sr_migration_in_place_stage(migration);
    if (err == ESP_OK) {
        err = sr_migration_list_groups(migration, SR_RECORD_NEIGHBOURS);
    }
    if (err == ESP_OK) {
        err = sr_commit_prepare(&work);
    }
    if (err == ESP_OK) {
        err = write_all(migration, is_data);
    }
    if (err == ESP_OK) {
        migration->run.progress.sectors_done = 0;
        migration->run.progress.sectors_total =
            sr_commit_boot_path_sectors(&work) + migration->choice.overwrite.size / SR_SECTOR_SIZE;
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
        release_source(migration);
        err = sr_migration_in_place_execute(migration, &work.buffer, workspace);
    }
    sr_commit_release(&work);
    return err;
}

/* Memory may run out now, but not between data and the rest. */
static esp_err_t overwrite(sr_migration_t *migration)
{
    sr_copy_workspace_t *workspace = heap_caps_malloc(sizeof(*workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    const esp_err_t err = workspace != NULL ? overwrite_with(migration, workspace) : ESP_ERR_NO_MEM;
    heap_caps_free(workspace);
    return err;
}
#else
static esp_err_t overwrite(sr_migration_t *migration)
{
    return sr_migration_in_place_stage(migration);
}
#endif

esp_err_t sr_migration_run(sr_migration_t *migration)
{
    bool data_is_staged;
    esp_err_t err = prepare(migration, &data_is_staged);
    if (err == ESP_OK) {
        err = ask(migration);
    }
    if (err == ESP_OK && migration->choice.overwrite.size > 0) {
        return overwrite(migration);
    }
    if (err == ESP_OK) {
        err = sr_recovery_copy(&migration->system, &migration->choice.recovery, &migration->writer,
                               migration->buffers->scratch);
    }
    if (err == ESP_OK) {
        err = stage(migration, data_is_staged);
    }
    if (err == ESP_OK) {
        err = commit(migration);
    }
    if (err == ESP_OK && migration->run.journal.address != SR_NO_ADDRESS) {
        err = sr_journal_discard(&migration->run.journal, &migration->writer, migration->buffers->scratch);
        err = sr_migration_tell_record(migration, err);
    }
    return err == ESP_OK ? sr_migration_clear_mark(migration) : err;
}
