// SPDX-License-Identifier: Apache-2.0
#include "journal/sr_verification.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_digest.h"
#include "format/sr_nvs.h"
#include "format/sr_partition_table.h"
#include "journal/sr_install_mark.h"
#include "port/sr_yield.h"
#include "preflight/sr_admit.h"
#include "preflight/sr_preflight_chip.h"
#include "system/sr_given_up.h"
#include "system/sr_move_source.h"
#include "system/sr_partition.h"

#include "esp_heap_caps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_in(sr_region_t region, uint32_t address)
{
    return sr_region_overlaps(region, (sr_region_t){address, SR_SECTOR_SIZE});
}

static esp_err_t digest_of(sr_verification_t *verification, const sr_flash_t *flash, uint32_t address,
                           uint8_t digest[SR_SHA256_SIZE])
{
    sr_yield(SR_SECTOR_SIZE);
    const esp_err_t err = sr_flash_read(flash, address, verification->scratch, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    return sr_digest(verification->scratch, SR_SECTOR_SIZE, digest) ? ESP_OK : ESP_FAIL;
}

/* Where the chip decrypts what it reads, erased cells do not read as blank: the commit writes 0xFF there. */
static esp_err_t is_blank(sr_verification_t *verification, uint32_t address, bool *blank)
{
    const sr_writer_sector_t sector = {.address = address, .used = SR_SECTOR_SIZE, .data = verification->scratch};
    sr_writer_comparison_t comparison = {0};
    sr_yield(SR_SECTOR_SIZE);
    memset(sector.data, 0xFF, SR_SECTOR_SIZE);
    const esp_err_t err = sr_writer_compare(verification->writer, &sector, &comparison);
    *blank = comparison.right;
    return err;
}

/* Compares a sector of the flash with half a SHA-256; NULL: is it blank? */
static esp_err_t is_right(sr_verification_t *verification, uint32_t address, const uint8_t *wanted, bool *right)
{
    uint8_t digest[SR_SHA256_SIZE];
    if (wanted == NULL) {
        return is_blank(verification, address, right);
    }
    const esp_err_t err = digest_of(verification, &verification->target, address, digest);
    *right = err == ESP_OK && memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) == 0;
    return err;
}

/** A record, and whether a data partition has part of it. */
typedef struct place {
    const sr_bundle_t *bundle;
    sr_region_t region;
    bool is_data;
} place_t;

static void look_at_partition(void *context, const esp_partition_t *partition)
{
    place_t *place = context;
    place->is_data |= sr_partition_is_data(partition) &&
                      sr_region_overlaps(sr_partition_region(partition), place->region) &&
                      !sr_given_up_covers(place->bundle, place->region, sr_partition_region(partition));
}

/* Nothing is staged in a data partition of the running system, unless the manifest gives it up: somebody has stored
 * what looks like a record there. */
static esp_err_t check_place(sr_verification_t *verification, sr_record_status_t *status)
{
    place_t place = {.bundle = &verification->manifest.bundle, .region = sr_journal_place(verification->journal)};
    const esp_err_t err = sr_partition_visit(look_at_partition, &place);
    *status = place.is_data ? SR_RECORD_IN_DATA : SR_RECORD_OK;
    return err;
}

static esp_err_t check_seal(sr_verification_t *verification, sr_record_status_t *status)
{
    *status = verification->journal->header.sectors == 0 ? SR_RECORD_NOT_SEALED : SR_RECORD_OK;
    return ESP_OK;
}

static esp_err_t load_list(sr_verification_t *verification, sr_record_status_t *status)
{
    return sr_journal_load(verification->journal, status);
}

static esp_err_t check_app(sr_verification_t *verification, sr_record_status_t *status)
{
    const sr_record_header_t *header = &verification->journal->header;
    *status =
        memcmp(header->app_id, verification->app_id, sizeof(header->app_id)) == 0 ? SR_RECORD_OK : SR_RECORD_OTHER_APP;
    return ESP_OK;
}

/* Limits the rows to those for each sector of this flash: a manifest for another device could ask for all memory. */
static uint32_t largest_manifest(const sr_verification_t *verification)
{
    const uint32_t rows = SR_BUNDLE_MAX_REGIONS + 2u * (verification->system->flash.size / SR_SECTOR_SIZE);
    return SR_BUNDLE_HEADER_SIZE + rows * SR_BUNDLE_ROW_SIZE + SR_BUNDLE_MAX_MOVES * SR_BUNDLE_MOVE_SIZE +
           SR_BUNDLE_MAX_GIVEN_UP * SR_BUNDLE_GIVEN_UP_SIZE + SR_BUNDLE_SIGNATURE_SIZE;
}

static esp_err_t load_manifest(sr_verification_t *verification, sr_record_status_t *status)
{
    if (verification->journal->header.manifest_size > largest_manifest(verification)) {
        (void)snprintf(verification->reason, sizeof(verification->reason), "more than this flash has sectors for");
        *status = SR_RECORD_BAD_MANIFEST;
        return ESP_OK;
    }
    sr_yield(SR_YIELD_BYTES); /* A signature takes as long to verify, and there may be many such records. */
    const esp_self_reflasher_bundle_config_t *config = verification->config;
    const bool unsigned_ok = (config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED) != 0;
    const sr_region_t place = {sr_journal_manifest_address(verification->journal),
                               verification->journal->header.manifest_size};
    const sr_flash_t record = sr_journal_flash(verification->journal);
    esp_err_t err = sr_manifest_load_record(&verification->manifest, &record, place, config->public_key, unsigned_ok);
    if (err == ESP_ERR_SELF_REFLASHER_REFUSED) {
        (void)snprintf(verification->reason, sizeof(verification->reason), "%s",
                       sr_bundle_status_text(verification->manifest.status));
        *status = SR_RECORD_BAD_MANIFEST;
        err = ESP_OK;
    }
    return err;
}

static esp_err_t check_device(sr_verification_t *verification, sr_record_status_t *status)
{
    const esp_self_reflasher_refusal_t refusal =
        sr_admit(&verification->manifest.bundle, verification->system, verification->config->min_sequence,
                 verification->reason, sizeof(verification->reason));
    *status = refusal == ESP_SELF_REFLASHER_REFUSED_NOT ? SR_RECORD_OK : SR_RECORD_NOT_ADMITTED;
    return ESP_OK;
}

static esp_err_t locate(sr_verification_t *verification, sr_install_mark_t *mark)
{
    mark->address = 0;
    const esp_err_t err = sr_install_mark_find_own(verification->system, mark, verification->scratch);
    mark->address = err == ESP_OK ? mark->address : UINT32_MAX;
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}

/* Where an installation is not done yet, its mark says so. */
static esp_err_t find_mark(sr_verification_t *verification, sr_record_status_t *status)
{
    uint8_t digest[SR_SHA256_SIZE];
    (void)status;
    if (!sr_digest(verification->manifest.bytes, verification->manifest.bundle.manifest_size, digest)) {
        return ESP_FAIL;
    }
    memcpy(verification->mark.id, digest, sizeof(verification->mark.id));
    sr_install_mark_t void_mark = {.address = 0};
    esp_err_t err = locate(verification, &verification->mark);
    if (err == ESP_OK) {
        err = locate(verification, &void_mark);
    }
    verification->void_mark = void_mark.address;
    return err;
}

static esp_err_t check_list(sr_verification_t *verification, sr_record_status_t *status)
{
    const sr_system_t *system = verification->system;
    const sr_record_limits_t limits = {.flash_size = system->flash.size,
                                       .record = sr_journal_place(verification->journal),
                                       .bootloader = system->chip->bootloader_offset,
                                       .table = system->boot_path.table.address,
                                       .recovery = system->boot_path.recovery,
                                       .can_be_guarded = system->recovery != UINT32_MAX && !system->flash.encryption};
    *status = sr_record_check(verification->journal->list, &verification->journal->header,
                              &verification->manifest.bundle, &limits);
    return ESP_OK;
}

/* As in a plan: where flash is encrypted, the table stays at its place. */
static esp_err_t check_encryption(sr_verification_t *verification, sr_record_status_t *status)
{
    const uint32_t table = verification->manifest.bundle.partition_table_offset;
    if (verification->system->flash.encryption && table != verification->system->boot_path.table.address) {
        (void)snprintf(verification->reason, sizeof(verification->reason), "flash encryption is on");
        *status = SR_RECORD_REFUSED;
    }
    return ESP_OK;
}

/* The digest that the manifest has for a data sector; NULL for one that moves. */
static const uint8_t *signed_digest(const sr_verification_t *verification, uint32_t address)
{
    uint32_t index = 0;
    const sr_bundle_t *bundle = &verification->manifest.bundle;
    return sr_bundle_want(bundle, address, &index) == SR_BUNDLE_CONTENT ? sr_bundle_digest(bundle, index) : NULL;
}

/* Digests each data sector of an entry and compares it with the manifest, or, where the manifest moves something to,
 * all of them together with the list. */
static esp_err_t confirm_entry(sr_verification_t *verification, const sr_record_entry_t *entry, bool *confirmed)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    esp_err_t err = ESP_OK;
    const bool moves = sr_record_moves_to(&verification->manifest.bundle, entry->address);
    const sr_flash_t record = sr_journal_flash(verification->journal);
    *confirmed = true;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK && *confirmed; i++) {
        const uint32_t data_index = entry->data_index + i;
        err = digest_of(verification, &record, sr_journal_data_address(verification->journal, data_index), digest);
        sr_sha256_update(&sha, verification->scratch, SR_SECTOR_SIZE);
        memcpy(verification->journal->digests + data_index * SR_BUNDLE_DIGEST_SIZE, digest, SR_BUNDLE_DIGEST_SIZE);
        const uint8_t *wanted = signed_digest(verification, entry->address + i * SR_SECTOR_SIZE);
        *confirmed = moves || (wanted != NULL && memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) == 0);
    }
    const bool hashed = sr_sha256_finish(&sha, digest) == 0;
    *confirmed = *confirmed && (!moves || memcmp(digest, entry->digest, SR_BUNDLE_DIGEST_SIZE) == 0);
    return err == ESP_OK && !hashed ? ESP_FAIL : err;
}

/* What fills up a block was blank when the record was written. If it is blank no more, it belongs to something else. */
static esp_err_t fill_is_blank(sr_verification_t *verification, uint32_t data_sectors, bool *blank)
{
    const sr_record_header_t *header = &verification->journal->header;
    const uint32_t used = sr_record_manifest_sectors(header->manifest_size) + data_sectors;
    esp_err_t err = ESP_OK;
    *blank = true;
    for (uint32_t i = 0; i < header->sectors - used && err == ESP_OK && *blank; i++) {
        err = sr_writer_is_blank(verification->writer, sr_journal_data_address(verification->journal, data_sectors + i),
                                 blank);
    }
    return err;
}

static esp_err_t confirm_data(sr_verification_t *verification, sr_record_status_t *status)
{
    sr_journal_t *journal = verification->journal;
    esp_err_t err = ESP_OK;
    bool confirmed = true;
    journal->data_sectors = 0;
    for (uint32_t i = 0; i < journal->header.count; i++) {
        const sr_record_entry_t entry = sr_journal_entry(journal, i);
        journal->data_sectors += entry.blank ? 0 : entry.sectors;
    }
    /* One more, because a size of 0 is none. No overflow: there are fewer than the flash has. */
    journal->digests = heap_caps_malloc((journal->data_sectors + 1u) * SR_BUNDLE_DIGEST_SIZE, MALLOC_CAP_8BIT);
    if (journal->digests == NULL) {
        return ESP_ERR_NO_MEM;
    }
    for (uint32_t i = 0; i < journal->header.count && err == ESP_OK && confirmed; i++) {
        const sr_record_entry_t entry = sr_journal_entry(journal, i);
        if (!entry.blank) {
            err = confirm_entry(verification, &entry, &confirmed);
        }
    }
    if (err == ESP_OK && confirmed) {
        err = fill_is_blank(verification, journal->data_sectors, &confirmed);
    }
    *status = confirmed ? SR_RECORD_OK : SR_RECORD_BAD_DATA;
    return err;
}

static const uint8_t *digest_in_stage(const sr_verification_t *verification, const sr_record_entry_t *entry,
                                      uint32_t index)
{
    return entry->blank ? NULL : verification->journal->digests + (entry->data_index + index) * SR_BUNDLE_DIGEST_SIZE;
}

/* Compares all sectors of an entry with the flash, or only those of a region. */
static esp_err_t entry_is_done(sr_verification_t *verification, const sr_record_entry_t *entry, sr_region_t where,
                               bool *done)
{
    esp_err_t err = ESP_OK;
    *done = true;
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK && *done; i++) {
        const uint32_t address = entry->address + i * SR_SECTOR_SIZE;
        if (is_in(where, address)) {
            err = is_right(verification, address, digest_in_stage(verification, entry, i), done);
        }
    }
    return err;
}

/* Groups ascend. */
static esp_err_t list_is_done_up_to(sr_verification_t *verification, sr_record_group_t last, sr_region_t where,
                                    bool *done)
{
    esp_err_t err = ESP_OK;
    *done = true;
    for (uint32_t i = 0; i < verification->journal->header.count && err == ESP_OK && *done; i++) {
        const sr_record_entry_t entry = sr_journal_entry(verification->journal, i);
        if (entry.group > last) {
            break;
        }
        err = entry_is_done(verification, &entry, where, done);
    }
    return err;
}

static esp_err_t list_is_done(sr_verification_t *verification, sr_region_t where, bool *done)
{
    return list_is_done_up_to(verification, SR_RECORD_OTADATA, where, done);
}

/* Is it time for what starts the chip? The rest comes before, in any order. What selects the app is written last,
 * unless something moves there; see sr_migration_group_of(). A bootloader that did not start the chip may be half
 * written. */
static bool is_in_turn(const sr_verification_t *verification, const sr_record_entry_t *entry, uint32_t address)
{
    const sr_boot_path_t *path = &verification->system->boot_path;
    const bool moves = sr_record_moves_to(&verification->manifest.bundle, address);
    if (is_in(path->otadata, address)) {
        return entry->group == SR_RECORD_OTADATA || (entry->group == SR_RECORD_BOOTLOADER && moves);
    }
    if ((path->recovery.size == 0 && is_in(path->bootloader, address)) || is_in(path->digest, address)) {
        return entry->group == SR_RECORD_BOOTLOADER;
    }
    /* What a longer bootloader has there, the old one does not miss. */
    return entry->group != SR_RECORD_OTADATA || address < verification->system->chip->bootloader_offset ||
           address >= path->table.address;
}

/* Nothing that would be written over the app that runs, or out of turn, except to what decides on the app, if all else
 * is there. */
static esp_err_t entry_is_spared(sr_verification_t *verification, const sr_record_entry_t *entry, bool only_otadata,
                                 bool *spared)
{
    const sr_boot_path_t *path = &verification->system->boot_path;
    esp_err_t err = ESP_OK;
    *spared = true;
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK && *spared; i++) {
        const uint32_t address = entry->address + i * SR_SECTOR_SIZE;
        const bool may = is_in_turn(verification, entry, address) || (only_otadata && is_in(path->otadata, address));
        if (!may || is_in(path->running_app, address)) {
            err = is_right(verification, address, digest_in_stage(verification, entry, i), spared);
        }
    }
    return err;
}

static esp_err_t list_spares(sr_verification_t *verification, bool only_otadata, bool *spared)
{
    esp_err_t err = ESP_OK;
    *spared = true;
    for (uint32_t i = 0; i < verification->journal->header.count && err == ESP_OK && *spared; i++) {
        const sr_record_entry_t entry = sr_journal_entry(verification->journal, i);
        err = entry_is_spared(verification, &entry, only_otadata, spared);
    }
    return err;
}

/* All of the groups before otadata's, but for what lies in the otadata of the running system. */
static esp_err_t only_otadata_is_left(sr_verification_t *verification, bool *left)
{
    const sr_region_t otadata = verification->system->boot_path.otadata;
    const uint32_t end = otadata.address + otadata.size;
    esp_err_t err = list_is_done_up_to(verification, SR_RECORD_TABLE, (sr_region_t){0, otadata.address}, left);
    if (err == ESP_OK && *left) {
        err = list_is_done_up_to(verification, SR_RECORD_TABLE,
                                 (sr_region_t){end, verification->system->flash.size - end}, left);
    }
    return err;
}

/* No record writes over the app that runs, nor changes the order in which what starts the chip is written. What is
 * there already does not count: after a power loss the new system may be what runs, and its parts came in their order.
 * Of that, the new bootloader may have changed the new otadata by now. */
static esp_err_t spares_what_runs(sr_verification_t *verification, sr_record_status_t *status)
{
    bool only_otadata = false;
    bool spared = true;
    esp_err_t err = list_spares(verification, false, &spared);
    if (err == ESP_OK && !spared) {
        err = only_otadata_is_left(verification, &only_otadata);
    }
    if (err == ESP_OK && only_otadata) {
        err = list_spares(verification, true, &spared);
    }
    *status = spared ? SR_RECORD_OK : SR_RECORD_FORBIDDEN;
    return err;
}

/** A search for what would have to be written and cannot be. */
typedef struct closed {
    sr_verification_t *verification;
    const esp_partition_t *partition;
    esp_err_t err;
} closed_t;

static void look_for_closed(void *context, const esp_partition_t *partition)
{
    closed_t *closed = context;
    bool done = true;
    if (closed->partition == NULL && closed->err == ESP_OK && sr_partition_is_read_only(partition)) {
        closed->err = list_is_done(closed->verification, sr_partition_region(partition), &done);
        closed->partition = done ? NULL : partition;
    }
}

/* As in a plan: the flash driver would refuse, at each start again. */
static esp_err_t check_read_only(sr_verification_t *verification, sr_record_status_t *status)
{
    closed_t closed = {.verification = verification, .err = ESP_OK};
    const esp_err_t err = sr_partition_visit(look_for_closed, &closed);
    if (closed.partition != NULL) {
        (void)snprintf(verification->reason, sizeof(verification->reason), "partition '%s' is flagged readonly",
                       closed.partition->label);
        *status = SR_RECORD_REFUSED;
    }
    return err != ESP_OK ? err : closed.err;
}

/* Moves are over when bootloader and table are those of the bundle. */
static esp_err_t moves_are_over(sr_verification_t *verification, bool *over)
{
    const sr_bundle_t *bundle = &verification->manifest.bundle;
    const uint32_t table = verification->system->boot_path.table.address;
    esp_err_t err = ESP_OK;
    *over = true;
    for (uint32_t at = verification->system->chip->bootloader_offset; at <= table && err == ESP_OK && *over;
         at += SR_SECTOR_SIZE) {
        if (sr_bundle_want(bundle, at, NULL) != SR_BUNDLE_KEEP) {
            err = is_right(verification, at, signed_digest(verification, at), over);
        }
    }
    return err;
}

/* What has moved is the new system's by now, and is not put back. */
static void drop_moved(sr_verification_t *verification)
{
    sr_journal_t *journal = verification->journal;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < journal->header.count; i++) {
        const sr_record_entry_t entry = sr_journal_entry(journal, i);
        if (!sr_record_moves_to(&verification->manifest.bundle, entry.address)) {
            sr_record_write_entry(journal->list, kept++, &entry);
        }
    }
    journal->header.count = kept;
}

static sr_move_source_status_t find_source(const sr_verification_t *verification, uint32_t index, sr_region_t *source)
{
    const sr_bundle_move_t row = sr_bundle_move(&verification->manifest.bundle, index);
    return sr_move_source_find(&row, verification->system->flash.size, source);
}

/* Without memory a partition seems to be missing, and may be there when it is asked for again: that is not known. */
static esp_err_t allocate_moves(sr_verification_t *verification)
{
    const sr_bundle_t *bundle = &verification->manifest.bundle;
    uint32_t count = 0;
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        sr_region_t source;
        const sr_move_source_status_t status = find_source(verification, i, &source);
        const bool is_nvs = status == SR_MOVE_SOURCE_IS_NVS;
        count += is_nvs ? sr_nvs_max_moves(sr_bundle_move(bundle, i).destination) : 1;
        verification->moves_are_known = verification->moves_are_known && (is_nvs || status == SR_MOVE_SOURCE_FITS);
    }
    verification->moves.list = heap_caps_calloc(count, sizeof(struct sr_move), MALLOC_CAP_8BIT);
    return verification->moves.list != NULL ? ESP_OK : ESP_ERR_NO_MEM;
}

/* @return false if what moves cannot be told any more. */
static bool add_move(sr_verification_t *verification, uint32_t index)
{
    sr_region_t source;
    sr_flash_reader_window_t window;
    sr_nvs_pages_t pages;
    sr_moves_t *moves = &verification->moves;
    const sr_region_t destination = sr_bundle_move(&verification->manifest.bundle, index).destination;
    const sr_flash_t *flash = &verification->system->flash;
    const sr_reader_t reader = sr_flash_reader(&window, flash, 0, flash->size);
    switch (find_source(verification, index, &source)) {
    case SR_MOVE_SOURCE_FITS:
        moves->list[moves->count++] = (struct sr_move){.source = source, .destination = destination};
        return true;
    case SR_MOVE_SOURCE_IS_NVS:
        return sr_nvs_close_up(&reader, source, destination, moves, &pages) == SR_NVS_FITS;
    default:
        return false;
    }
}

/* Finds the sources of what moves, if the running system still tells them. What has been done of the record by now may
 * have taken pages from them; then other ones seem to go elsewhere, which sr_abandon() sees. */
static esp_err_t find_sources(sr_verification_t *verification)
{
    const uint32_t count = verification->manifest.bundle.move_count;
    const esp_err_t err = count > 0 ? allocate_moves(verification) : ESP_OK;
    for (uint32_t i = 0; i < count && err == ESP_OK && verification->moves_are_known; i++) {
        verification->moves_are_known = add_move(verification, i);
    }
    return err;
}

static esp_err_t check_moves(sr_verification_t *verification, sr_record_status_t *status)
{
    bool over = true;
    (void)status;
    verification->moves_are_known = true;
    const esp_err_t err = moves_are_over(verification, &over);
    verification->moves_are_over = over || verification->manifest.bundle.move_count == 0;
    if (over) {
        drop_moved(verification);
    }
    return err == ESP_OK && !over ? find_sources(verification) : err;
}

/* What is erased when the record is finished: it, and the marks of its installation. */
static bool will_be_gone(const sr_verification_t *verification, uint32_t address)
{
    return address == verification->mark.address || address == verification->void_mark ||
           is_in(sr_journal_place(verification->journal), address);
}

/* What the list does not have must be right by itself, or a record could leave half of a system. Blank sectors may wait
 * under the app that runs, and under what will be gone; content there would be gone, too. */
static esp_err_t check_sector(sr_verification_t *verification, uint32_t address, bool *right)
{
    const sr_journal_t *journal = verification->journal;
    const uint8_t *digest = signed_digest(verification, address);
    const bool gone = will_be_gone(verification, address);
    *right = true;
    if (sr_record_entry_at(journal->list, journal->header.count, address) < SR_RECORD_MAX_ENTRIES ||
        (digest == NULL && (gone || is_in(verification->system->boot_path.running_app, address)))) {
        return ESP_OK;
    }
    if (gone) {
        *right = false;
        return ESP_OK;
    }
    const esp_err_t err = is_right(verification, address, digest, right);
    /* Where nobody reads it, what was to be blank was erased; whether the app has such a gap, its own digest tells. */
    return err == ESP_OK && !*right && digest == NULL ? sr_writer_is_blank(verification->writer, address, right) : err;
}

static esp_err_t check_region(sr_verification_t *verification, const sr_bundle_region_t *region,
                              sr_record_status_t *status)
{
    for (uint32_t offset = 0; offset < region->place.size; offset += SR_SECTOR_SIZE) {
        bool right = true;
        const uint32_t address = region->place.address + offset;
        const esp_err_t err = check_sector(verification, address, &right);
        if (err != ESP_OK) {
            return err;
        }
        /* What was written already may have changed with the app that ran since, but not what decides on who boots. */
        if (!right && region->initial && !is_in(verification->system->boot_path.otadata, address)) {
            verification->initial_is_right = false;
        } else if (!right) {
            (void)snprintf(verification->reason, sizeof(verification->reason), "sector 0x%" PRIx32, address);
            *status = SR_RECORD_INCOMPLETE;
            return ESP_OK;
        }
    }
    return ESP_OK;
}

static esp_err_t check_rest(sr_verification_t *verification, sr_record_status_t *status)
{
    esp_err_t err = ESP_OK;
    verification->initial_is_right = true;
    for (uint32_t i = 0; i < verification->manifest.bundle.region_count && err == ESP_OK && *status == SR_RECORD_OK;
         i++) {
        const sr_bundle_region_t region = sr_bundle_region(&verification->manifest.bundle, i);
        err = check_region(verification, &region, status);
    }
    return err;
}

/* Without its mark, an installation is done: then the new system has its own data. Or the mark is lost, or there was
 * none: then the record has to have everything, as nothing else would bring the rest. */
static esp_err_t check_mark(sr_verification_t *verification, sr_record_status_t *status)
{
    const sr_bundle_t *bundle = &verification->manifest.bundle;
    esp_err_t err = ESP_OK;
    verification->is_over = false;
    if (verification->mark.address != UINT32_MAX || !sr_bundle_has_initial(bundle)) {
        return ESP_OK;
    }
    bool over = verification->moves_are_over;
    for (uint32_t i = 0; i < bundle->region_count && err == ESP_OK && over; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        err = region.initial ? ESP_OK : list_is_done(verification, region.place, &over);
    }
    verification->is_over = over;
    if (err == ESP_OK && !over && !verification->initial_is_right) {
        (void)snprintf(verification->reason, sizeof(verification->reason), "and no mark that would bring it");
        *status = SR_RECORD_INCOMPLETE;
    }
    return err;
}

/* One piece inside one sector of the flash as it will be. */
static esp_err_t read_piece(sr_verification_t *verification, uint32_t address, uint8_t *out, uint32_t length)
{
    const sr_journal_t *journal = verification->journal;
    const uint32_t sector = address & ~(SR_SECTOR_SIZE - 1u);
    const uint32_t index = sr_record_entry_at(journal->list, journal->header.count, sector);
    const sr_record_entry_t entry =
        index < SR_RECORD_MAX_ENTRIES ? sr_journal_entry(journal, index) : (sr_record_entry_t){.blank = true};
    if (!entry.blank) {
        const uint32_t data_index = entry.data_index + (sector - entry.address) / SR_SECTOR_SIZE;
        const sr_flash_t record = sr_journal_flash(journal);
        return sr_flash_read(&record, sr_journal_data_address(journal, data_index) + (address - sector), out, length);
    }
    if (entry.sectors > 0 || sr_bundle_want(&verification->manifest.bundle, sector, NULL) == SR_BUNDLE_BLANK) {
        memset(out, 0xFF, length);
        return ESP_OK;
    }
    return sr_flash_read(&verification->target, address, out, length);
}

static int target_read(void *context, uint32_t address, void *buffer, size_t length)
{
    sr_verification_t *verification = context;
    uint8_t *out = buffer;
    while (length > 0) {
        const uint32_t room = SR_SECTOR_SIZE - address % SR_SECTOR_SIZE;
        const uint32_t step = length < room ? (uint32_t)length : room;
        sr_yield(step);
        const esp_err_t err = read_piece(verification, address, out, step);
        if (err != ESP_OK) {
            verification->read_err = verification->read_err == ESP_OK ? err : verification->read_err;
            return err;
        }
        out += step;
        address += step;
        length -= step;
    }
    return 0;
}

/* A table that comes with the record says what the new system encrypts. Its digest was right. */
static esp_err_t find_layout(sr_verification_t *verification, sr_record_status_t *status)
{
    const sr_journal_t *journal = verification->journal;
    const uint32_t table_offset = verification->manifest.bundle.partition_table_offset;
    sr_partition_table_t *table = (sr_partition_table_t *)verification->scratch;
    if (!verification->system->flash.encryption ||
        sr_record_entry_at(journal->list, journal->header.count, table_offset) == SR_RECORD_MAX_ENTRIES) {
        return ESP_OK;
    }
    sr_reader_window_t window;
    const sr_reader_t flash = {.context = verification, .read = target_read, .size = verification->system->flash.size};
    const sr_reader_t reader = sr_reader_window(&window, &flash, table_offset, SR_PARTITION_TABLE_SIZE);
    if (sr_partition_table_parse(&reader, 0, table) != SR_PARTITION_TABLE_OK) {
        *status = SR_RECORD_REFUSED;
        return verification->read_err;
    }
    verification->target.layout = sr_flash_layout_of(table, table_offset + SR_SECTOR_SIZE);
    return verification->target.layout != NULL ? ESP_OK : ESP_ERR_NO_MEM;
}

/* A record with a good signature may still be another board's. */
static esp_err_t check_result(sr_verification_t *verification, sr_record_status_t *status)
{
    uint32_t failed = 0;
    const sr_preflight_chip_t verdict = {
        .system = verification->system,
        .flash = {.context = verification, .read = target_read, .size = verification->system->flash.size},
        .table_offset = verification->manifest.bundle.partition_table_offset,
        .workspace = verification->scratch};
    const esp_err_t err = sr_preflight_chip_check(&verdict, verification->config->skip_checks, false, false, &failed,
                                                  verification->reason, sizeof(verification->reason));
    const bool passed =
        err == ESP_OK && failed == 0 &&
        sr_preflight_chip_check_signatures(&verdict, false, false, verification->reason, sizeof(verification->reason));
    *status = err == ESP_OK && !passed ? SR_RECORD_REFUSED : SR_RECORD_OK;
    return err == ESP_OK ? verification->read_err : err; /* A read error is no fault of the record. */
}

esp_err_t sr_verification_check(sr_verification_t *verification, sr_record_status_t *status)
{
    /* From what costs little to what costs much; nothing of a step is believed before those above it have passed. */
    static const struct {
        esp_err_t (*prove)(sr_verification_t *verification, sr_record_status_t *status);
    } steps[] = {
        {check_seal},      {load_list},   {check_app},        {load_manifest}, {check_place},  {check_device},
        {find_mark},       {check_list},  {check_encryption}, {confirm_data},  {find_layout},  {spares_what_runs},
        {check_read_only}, {check_moves}, {check_rest},       {check_mark},    {check_result},
    };
    esp_err_t err = ESP_OK;
    *status = SR_RECORD_OK;
    verification->reason[0] = '\0';
    verification->read_err = ESP_OK;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && err == ESP_OK && *status == SR_RECORD_OK; i++) {
        err = steps[i].prove(verification, status);
    }
    return err;
}

void sr_verification_release(sr_verification_t *verification)
{
    sr_manifest_free(&verification->manifest);
}

esp_err_t sr_verification_is_done(sr_verification_t *verification, bool *done)
{
    return list_is_done(verification, (sr_region_t){0, verification->system->flash.size}, done);
}
