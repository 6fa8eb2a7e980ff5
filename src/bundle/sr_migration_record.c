// SPDX-License-Identifier: Apache-2.0
/* The record of a commit, in three parts: the list of what it has to write, the data that is put into free flash beside
 * it, and what earlier records have left. */
#include "bundle/sr_migration_internal.h"

#include "self_reflasher_err.h"
#include "flash/sr_flash_reader.h"
#include "format/sr_digest.h"
#include "format/sr_image.h"
#include "port/sr_yield.h"
#include "system/sr_given_up.h"
#include "system/sr_partition.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>
#include <string.h>

static const char *TAG = "self_reflasher";

esp_err_t sr_migration_tell_record(const sr_migration_t *migration, esp_err_t err)
{
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "staging, sector 0x%" PRIx32 ": %s", migration->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

/* The list. */

static bool in_region(sr_region_t region, uint32_t address)
{
    return sr_region_overlaps(region, (sr_region_t){address, SR_SECTOR_SIZE});
}

/* Part of the commit that a wrong sector of the boot path belongs to. What moves to the place of the old otadata is
 * written with the bootloader: as soon as the new table is there, another app may run, and that would not finish
 * anything. Content that only shares the block, such as the end of a bootloader that is longer than the old one, is
 * written with the bootloader, too. */
static sr_record_group_t boot_group_of(const sr_migration_t *migration, uint32_t address)
{
    const sr_boot_path_t *path = &migration->system.boot_path;
    const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
    if (in_region(path->table, address)) {
        return SR_RECORD_TABLE;
    }
    if (in_region(path->otadata, address) && !sr_map_is_moved(flags)) {
        return SR_RECORD_OTADATA;
    }
    const bool with_bootloader = in_region(path->bootloader, address) || (flags & SR_MAP_CONTENT) != 0;
    return with_bootloader ? SR_RECORD_BOOTLOADER : SR_RECORD_NEIGHBOURS;
}

bool sr_migration_group_of(const sr_migration_t *migration, uint32_t address, sr_record_group_t *group)
{
    const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
    const bool wrong = (flags & SR_MAP_WRONG) != 0;
    if ((flags & SR_MAP_COMMITTED) != 0) {
        /* Of those that are right in a claimed block, the commit holds what the bundle wants: to be blank. What else is
         * blank there is nobody's, and so no record vouches for it. */
        *group = wrong ? boot_group_of(migration, address) : SR_RECORD_NEIGHBOURS;
        return wrong || ((flags & SR_MAP_CLAIMED) != 0 && (flags & SR_MAP_TARGET) != 0);
    }
    *group = SR_RECORD_DATA;
    return wrong && (flags & SR_MAP_OLD_DATA) != 0;
}

static esp_err_t list_sector(sr_migration_t *migration, uint32_t address, sr_record_group_t group)
{
    const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
    const bool blank = (flags & SR_MAP_CONTENT) == 0;
    const sr_record_entry_t entry = {.address = address, .sectors = 1, .group = group, .blank = blank};
    /* An entry is of one kind, so that what moves can be compared with its source. */
    const bool like_the_last =
        address > 0 &&
        sr_map_is_moved(flags) == sr_map_is_moved(sr_map_at(&migration->scan.map, address - SR_SECTOR_SIZE));
    return like_the_last && sr_journal_extend(&migration->run.journal, group, address, blank)
               ? ESP_OK
               : sr_journal_add(&migration->run.journal, &entry);
}

esp_err_t sr_migration_list_groups(sr_migration_t *migration, sr_record_group_t first)
{
    sr_journal_start(&migration->run.journal, sr_migration_manifest_size(migration));
    for (unsigned group = first; group <= SR_RECORD_OTADATA; group++) {
        for (uint32_t i = 0; i < migration->scan.map.count; i++) {
            sr_record_group_t mine;
            if (!sr_migration_group_of(migration, i * SR_SECTOR_SIZE, &mine) || mine != group) {
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

uint32_t sr_migration_manifest_size(const sr_migration_t *migration)
{
    return migration->input.manifest.bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
}

/* The place of a record. */

/** What lies around the mark of a record, and in the sectors that it claims. */
typedef struct cover {
    const sr_flash_t *flash;
    sr_region_t record; /**< Only gets smaller. */
    bool has_app;
} cover_t;

/* A mark proves nothing: whoever can write 20 bytes somewhere could claim all that follows. So it counts only to the
 * end of its own partition, or up to the next one if it lies in none: its writer could have written there as well. */
static void stay_in_partition(void *context, const esp_partition_t *partition)
{
    cover_t *cover = context;
    const sr_region_t place = sr_partition_region(partition);
    const uint64_t end = (uint64_t)place.address + place.size;
    const uint32_t mark = cover->record.address;
    const uint64_t limit = mark < place.address ? place.address : mark < end ? end : UINT64_MAX;
    const uint64_t claimed_end = (uint64_t)mark + cover->record.size;
    if (place.size > 0 && limit < claimed_end) {
        cover->record.size = (uint32_t)(limit - mark) & ~(SR_SECTOR_SIZE - 1u);
    }
}

/* What is given up needs no mark. Where the table cannot be searched for want of memory it is as if there were no
 * partitions: then it may be that what a power loss leaves stays in the way, and a call is refused for it. */
static uint32_t reach_end(void *context, uint32_t address)
{
    const sr_migration_t *migration = context;
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    cover_t cover = {.record = {address, migration->system.flash.size - address}};
    if (sr_partition_visit(stay_in_partition, &cover) != ESP_OK) {
        return migration->system.flash.size;
    }
    uint32_t end = address + cover.record.size;
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        const sr_region_t place = sr_given_up_place(bundle, i);
        if (end >= place.address && end - place.address < place.size) {
            end = place.address + place.size;
            i = UINT32_MAX; /* Another one may begin there. */
        }
    }
    return end;
}

sr_map_reach_t sr_migration_reach(const sr_migration_t *migration)
{
    return (sr_map_reach_t){.end = reach_end, .context = (void *)(uintptr_t)migration};
}

uint32_t sr_migration_find_place(const sr_migration_t *migration, uint32_t *sectors)
{
    const bool slots_are_known = migration->input.manifest.bundle.partition_table_offset != SR_BUNDLE_NO_TABLE;
    const sr_map_reach_t reach = sr_migration_reach(migration);
    return sr_map_find_record(&migration->scan.map, &reach, SR_RECORD_OVERHEAD, slots_are_known, sectors);
}

esp_err_t sr_migration_list_entries(sr_migration_t *migration, bool *data_is_staged)
{
    uint32_t sectors;
    *data_is_staged = sr_migration_list_groups(migration, SR_RECORD_DATA) == ESP_OK;
    sectors = migration->run.journal.header.sectors;
    *data_is_staged = *data_is_staged && sr_migration_find_place(migration, &sectors) != SR_NO_ADDRESS;
    return *data_is_staged ? ESP_OK : sr_migration_list_groups(migration, SR_RECORD_NEIGHBOURS);
}

/* The data. */

esp_err_t sr_migration_fetch(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data)
{
    sr_migration_t *migration = context;
    uint8_t *sector = NULL;
    sr_yield(SR_YIELD_WRITE); /* Mostly it is put into free flash then. */
    const sr_moves_wanted_t wanted = sr_migration_wanted(migration, entry->address + index * SR_SECTOR_SIZE);
    if (wanted.kind == SR_MOVES_WANTED_MOVED) {
        return sr_flash_read(&migration->system.flash, wanted.source, data, SR_SECTOR_SIZE);
    }
    const esp_err_t err = sr_decoder_get(&migration->input.decoder, wanted.digest_index, 0, &sector);
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
    memcpy(migration->run.journal.digests + data_index * SR_BUNDLE_DIGEST_SIZE, digest, SR_BUNDLE_DIGEST_SIZE);
    return sr_migration_tell_record(migration,
                                    sr_journal_put(&migration->run.journal, &migration->writer, data_index, scratch));
}

/* Puts the sectors of one entry into free flash. Where the manifest has no digest for them, the list has one. */
static esp_err_t stage_entry(sr_migration_t *migration, uint32_t index)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    const sr_record_entry_t entry = sr_journal_entry(&migration->run.journal, index);
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry.sectors && err == ESP_OK; i++) {
        err = sr_migration_fetch(migration, &entry, i, migration->buffers->scratch);
        if (err == ESP_OK) {
            sr_sha256_update(&sha, migration->buffers->scratch, SR_SECTOR_SIZE);
            err = stage_sector(migration, entry.data_index + i);
        }
        migration->run.progress.sectors_done++;
    }
    const bool hashed = sr_sha256_finish(&sha, digest) == 0;
    if (sr_map_is_moved(sr_map_at(&migration->scan.map, entry.address))) {
        sr_journal_set_digest(&migration->run.journal, index, digest);
    }
    return err == ESP_OK && !hashed ? ESP_FAIL : err;
}

/* What resume() has to know of the running system, to tell whether it has changed since. */
static esp_err_t describe_system(sr_migration_t *migration)
{
    sr_journal_t *journal = &migration->run.journal;
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
    sr_journal_t *journal = &migration->run.journal;
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
            err = sr_journal_clear_fill(journal, &migration->writer, scratch);
        }
        if (err == ESP_OK) {
            err = sr_journal_put_manifest(journal, &migration->writer, migration->input.manifest.bytes, scratch);
        }
        err = sr_migration_tell_record(migration, err);
    }
    migration->run.progress.sectors_done = 0;
    migration->run.progress.sectors_total = journal->data_sectors;
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

static bool is_taken(const sr_moves_t *moves, uint32_t address)
{
    for (uint32_t i = 0; i < moves->count; i++) {
        if (in_region(moves->list[i].source, address)) {
            return true;
        }
    }
    return false;
}

/* Pages of NVS that were left out, as they were blank. */
static esp_err_t left_out_is_blank(sr_migration_t *migration, uint32_t *where, bool *blank)
{
    esp_err_t err = ESP_OK;
    for (uint32_t i = 0; i < migration->scan.map.count && err == ESP_OK && *blank; i++) {
        const uint32_t address = i * SR_SECTOR_SIZE;
        if ((migration->scan.map.flags[i] & SR_MAP_SOURCE) != 0 && !is_taken(&migration->scan.moves, address)) {
            *where = address;
            err = sr_writer_is_blank(&migration->writer, address, blank);
        }
    }
    return err;
}

static esp_err_t moved_is_the_same(sr_migration_t *migration, uint32_t *where, bool *same)
{
    esp_err_t err = ESP_OK;
    *same = true;
    for (uint32_t i = 0; i < migration->run.journal.header.count && err == ESP_OK && *same; i++) {
        const sr_record_entry_t entry = sr_journal_entry(&migration->run.journal, i);
        *where = entry.address;
        if (sr_map_is_moved(sr_map_at(&migration->scan.map, entry.address))) {
            err = compare_entry(migration, &entry, same);
        }
    }
    for (uint32_t i = 0; i < migration->scan.map.count && err == ESP_OK && *same; i++) {
        *where = i * SR_SECTOR_SIZE;
        if (sr_map_is_moved_body(migration->scan.map.flags[i])) {
            err = sr_migration_sector_is_right(migration, *where, same);
        }
    }
    return err == ESP_OK && *same ? left_out_is_blank(migration, where, same) : err;
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
                 "what moves was written to while it was copied (0x%" PRIx32 "): stop writing there, and call again",
                 where);
        return ESP_ERR_INVALID_STATE;
    }
    return err;
}

/* Earlier records. */

static bool nobody_needs(const sr_migration_t *migration, sr_region_t region)
{
    for (uint32_t offset = 0; offset < region.size; offset += SR_SECTOR_SIZE) {
        const sr_region_t sector = {region.address + offset, SR_SECTOR_SIZE};
        const sr_map_flags_t flags = sr_map_at(&migration->scan.map, sector.address);
        const bool right = (flags & (SR_MAP_TARGET | SR_MAP_CONTENT)) != 0 && (flags & SR_MAP_WRONG) == 0;
        const bool replaced =
            migration->choice.recovery.needs_copy && sr_region_overlaps(migration->choice.recovery.place, sector);
        const bool closed = (flags & SR_MAP_CLOSED_NOW) != 0;
        if (closed || (right && !sr_map_is_blank(flags)) || ((flags & SR_MAP_NEEDED) != 0 && !replaced)) {
            return false;
        }
    }
    return true;
}

static void look_at_app(void *context, const esp_partition_t *partition)
{
    cover_t *cover = context;
    sr_flash_reader_window_t window;
    sr_image_t image;
    sr_image_app_desc_t desc;
    if (partition->type != ESP_PARTITION_TYPE_APP ||
        !sr_region_overlaps(cover->record, sr_partition_region(partition))) {
        return;
    }
    const sr_reader_t reader = sr_flash_reader(&window, cover->flash, partition->address, partition->size);
    cover->has_app |= sr_image_parse(&reader, &image) == SR_IMAGE_OK &&
                      sr_region_overlaps(cover->record, (sr_region_t){partition->address, image.length}) &&
                      sr_image_app_desc(&reader, &image, &desc) &&
                      sr_image_verify(&reader, &image, NULL) == SR_IMAGE_OK;
}

/* A mark that was left over also claims what has been written there since: a slot may hold an app by now, which no
 * record worth anything contains. */
static esp_err_t may_erase(const sr_migration_t *migration, sr_region_t *region, bool *may)
{
    cover_t cover = {.flash = &migration->system.flash, .record = *region};
    esp_err_t err = sr_partition_visit(stay_in_partition, &cover);
    *may = err == ESP_OK && nobody_needs(migration, cover.record);
    if (*may) {
        err = sr_partition_visit(look_at_app, &cover);
    }
    *may = *may && !cover.has_app;
    *region = cover.record;
    return err;
}

/* Goes on to the next record that may be erased, from old->address on. */
static esp_err_t find(const sr_migration_t *migration, sr_journal_t *old)
{
    esp_err_t err;
    bool may = false;
    while ((err = sr_journal_find(old)) == ESP_OK) {
        sr_region_t place = sr_journal_place(old);
        err = may_erase(migration, &place, &may);
        if (err != ESP_OK || may) {
            const uint32_t sectors = place.size / SR_SECTOR_SIZE;
            old->header.sectors = sectors > SR_RECORD_OVERHEAD ? sectors - SR_RECORD_OVERHEAD : 0;
            break;
        }
        old->address += SR_SECTOR_SIZE;
    }
    return err;
}

esp_err_t sr_migration_mark_records(sr_migration_t *migration)
{
    sr_journal_t old = {.flash = &migration->system.flash};
    esp_err_t err;
    while ((err = find(migration, &old)) == ESP_OK) {
        sr_map_mark(&migration->scan.map, sr_journal_place(&old), SR_MAP_RELEASED);
        old.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}

/* One that cannot be erased, because its flash has failed or must not be written, is no reason to stop: at worst it
 * writes what a signed manifest says, and only if all else is as that manifest says, too. But its place is not free. */
static esp_err_t discard(sr_migration_t *migration, const sr_journal_t *old)
{
    const esp_err_t err = sr_journal_discard(old, &migration->writer, migration->buffers->scratch);
    if (err == ESP_OK) {
        return ESP_OK;
    }
    (void)sr_migration_tell_record(migration, err);
    ESP_LOGW(TAG, "an old record at 0x%" PRIx32 " cannot be erased, and stays", old->address);
    return sr_migration_rescan(migration, sr_journal_place(old));
}

esp_err_t sr_migration_discard_records(sr_migration_t *migration)
{
    sr_journal_t old = {.flash = &migration->system.flash};
    esp_err_t err;
    while ((err = find(migration, &old)) == ESP_OK) {
        err = discard(migration, &old);
        if (err != ESP_OK) {
            break;
        }
        old.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}
