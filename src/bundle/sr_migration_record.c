// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "format/sr_digest.h"
#include "port/sr_yield.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>
#include <string.h>

static const char *TAG = "self_reflasher";

esp_err_t sr_migration_fetch(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data)
{
    sr_migration_t *migration = context;
    uint8_t *sector = NULL;
    sr_yield(3u * SR_SECTOR_SIZE); /* Putting it into free flash reads, too: what is there, and what was written. */
    const sr_moves_wanted_t wanted = sr_migration_wanted(migration, entry->address + index * SR_SECTOR_SIZE);
    if (wanted.kind == SR_MOVES_WANTED_MOVED) {
        return sr_flash_read(&migration->system.flash, wanted.source, data, SR_SECTOR_SIZE);
    }
    const esp_err_t err = sr_decoder_get(&migration->decoder, wanted.digest_index, 0, &sector);
    if (err == ESP_OK) {
        memcpy(data, sector, SR_SECTOR_SIZE);
    }
    return err;
}

/* Puts one sector into free flash, and notes its digest, without which the commit does not take it from there. */
static esp_err_t stage_sector(sr_migration_t *migration, uint32_t data_index)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint8_t *scratch = migration->buffers->scratch;
    if (!sr_digest(scratch, SR_SECTOR_SIZE, digest)) {
        return ESP_FAIL;
    }
    memcpy(migration->journal.digests + data_index * SR_BUNDLE_DIGEST_SIZE, digest, SR_BUNDLE_DIGEST_SIZE);
    return sr_migration_tell_record(migration,
                                    sr_journal_put(&migration->journal, &migration->writer, data_index, scratch));
}

/* Puts the sectors of one entry into free flash. Where the manifest has no digest for them, the list has one. */
static esp_err_t stage_entry(sr_migration_t *migration, uint32_t index)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    const sr_record_entry_t entry = sr_journal_entry(&migration->journal, index);
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry.sectors && err == ESP_OK; i++) {
        err = sr_migration_fetch(migration, &entry, i, migration->buffers->scratch);
        if (err == ESP_OK) {
            sr_sha256_update(&sha, migration->buffers->scratch, SR_SECTOR_SIZE);
            err = stage_sector(migration, entry.data_index + i);
        }
        migration->progress.sectors_done++;
    }
    const bool hashed = sr_sha256_finish(&sha, digest) == 0;
    if (sr_map_is_moved(sr_map_at(&migration->map, entry.address))) {
        sr_journal_set_digest(&migration->journal, index, digest);
    }
    return err == ESP_OK && !hashed ? ESP_FAIL : err;
}

/* What resume() has to know of the running system, to tell whether it has changed since. */
static esp_err_t describe_system(sr_migration_t *migration)
{
    sr_journal_t *journal = &migration->journal;
    uint8_t *scratch = migration->buffers->scratch;
    uint8_t app_id[SR_SHA256_SIZE];
    const esp_err_t err = sr_system_app_id(&migration->system, scratch, app_id);
    if (err != ESP_OK) {
        return err;
    }
    memcpy(journal->header.app_id, app_id, sizeof(journal->header.app_id));
    return sr_journal_digest_first_part(journal, scratch, journal->header.before);
}

esp_err_t sr_migration_stage_data(sr_migration_t *migration)
{
    sr_journal_t *journal = &migration->journal;
    uint8_t *scratch = migration->buffers->scratch;
    if (journal->data_sectors > 0) {
        journal->digests = heap_caps_malloc(journal->data_sectors * SR_BUNDLE_DIGEST_SIZE, MALLOC_CAP_8BIT);
    }
    if (journal->data_sectors > 0 && journal->digests == NULL) {
        return ESP_ERR_NO_MEM;
    }
    esp_err_t err = describe_system(migration);
    if (err == ESP_OK) {
        err = sr_journal_open(journal, &migration->writer, migration->plan->staging_address, scratch);
        if (err == ESP_OK) {
            err = sr_journal_put_manifest(journal, &migration->writer, migration->manifest.bytes, scratch);
        }
        err = sr_migration_tell_record(migration, err);
    }
    migration->progress.sectors_done = 0;
    migration->progress.sectors_total = journal->data_sectors;
    for (uint32_t i = 0; i < journal->header.count && err == ESP_OK; i++) {
        err = sr_journal_entry(journal, i).blank ? ESP_OK : stage_entry(migration, i);
    }
    sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_STAGE);
    return err;
}

/* Hashes the source of an entry once more. */
static esp_err_t compare_entry(sr_migration_t *migration, const sr_record_entry_t *entry, bool *same)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK; i++) {
        err = sr_migration_fetch(migration, entry, i, migration->buffers->scratch);
        sr_sha256_update(&sha, migration->buffers->scratch, SR_SECTOR_SIZE);
    }
    *same = sr_sha256_finish(&sha, digest) == 0 && memcmp(digest, entry->digest, SR_BUNDLE_DIGEST_SIZE) == 0;
    return err;
}

static esp_err_t moved_is_the_same(sr_migration_t *migration, uint32_t *where, bool *same)
{
    esp_err_t err = ESP_OK;
    *same = true;
    for (uint32_t i = 0; i < migration->journal.header.count && err == ESP_OK && *same; i++) {
        const sr_record_entry_t entry = sr_journal_entry(&migration->journal, i);
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

/* What moves belongs to the running app, whose tasks may have written to it meanwhile: a copy that is half of one state
 * and half of another is worthless. From the seal on, the copy is what counts. */
esp_err_t sr_migration_check_moved(sr_migration_t *migration)
{
    bool same = true;
    uint32_t where = 0;
    const esp_err_t err = moved_is_the_same(migration, &where, &same);
    if (err == ESP_OK && !same) {
        ESP_LOGE(TAG,
                 "what moves to 0x%" PRIx32 " was written to while it was copied: stop writing there, and call again",
                 where);
        return ESP_ERR_INVALID_STATE;
    }
    return err;
}
