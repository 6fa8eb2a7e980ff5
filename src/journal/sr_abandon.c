// SPDX-License-Identifier: Apache-2.0
#include "journal/sr_abandon.h"

#include "format/sr_sha256.h"

#include "esp_log.h"

#include <inttypes.h>
#include <string.h>

static const char *TAG = "self_reflasher";

static bool boot_path_is_whole(const sr_abandon_t *abandon)
{
    uint8_t digest[SR_BUNDLE_DIGEST_SIZE];
    return sr_journal_digest_first_part(abandon->journal, abandon->scratch, digest) == ESP_OK &&
           memcmp(digest, abandon->journal->header.before, sizeof(digest)) == 0;
}

/* The move to this sector's place; NULL if there is none. */
static const struct sr_move *move_to(const sr_moves_t *moves, uint32_t address)
{
    for (uint32_t i = 0; i < moves->count; i++) {
        const struct sr_move *move = &moves->list[i];
        if (address >= move->destination.address && address - move->destination.address < move->destination.size) {
            return move;
        }
    }
    return NULL;
}

/* True if the source of what an entry has staged still holds it. A page of NVS that seems to have been in its new place
 * already has come there with this record. */
static bool entry_has_source(const sr_abandon_t *abandon, const sr_record_entry_t *entry)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    bool known = true;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry->sectors && known; i++) {
        const uint32_t address = entry->address + i * SR_SECTOR_SIZE;
        const struct sr_move *move = move_to(abandon->moves, address);
        const uint32_t offset = move != NULL ? address - move->destination.address : 0;
        known = move != NULL && offset < move->source.size &&
                sr_flash_read(abandon->journal->flash, move->source.address + offset, abandon->scratch,
                              SR_SECTOR_SIZE) == ESP_OK;
        sr_sha256_update(&sha, abandon->scratch, SR_SECTOR_SIZE);
    }
    return sr_sha256_finish(&sha, digest) == 0 && known && memcmp(digest, entry->digest, SR_BUNDLE_DIGEST_SIZE) == 0;
}

/* True if what went straight to this place is still at its source, too. Where nothing goes, after the pages of NVS,
 * there is nothing: else the source has lost a page since. */
static bool sector_has_source(const sr_abandon_t *abandon, const struct sr_move *move, uint32_t offset)
{
    const sr_writer_sector_t sector = {
        .address = move->destination.address + offset, .used = SR_SECTOR_SIZE, .data = abandon->scratch};
    sr_writer_comparison_t comparison = {0};
    bool blank = false;
    if (move->source.size == 0) {
        return sr_writer_is_blank(abandon->writer, sector.address, &blank) == ESP_OK && blank;
    }
    return sr_flash_read(abandon->journal->flash, move->source.address + offset, sector.data, SR_SECTOR_SIZE) ==
               ESP_OK &&
           sr_writer_compare(abandon->writer, &sector, &comparison) == ESP_OK && comparison.right;
}

static bool place_has_source(const sr_abandon_t *abandon, const struct sr_move *move)
{
    const sr_journal_t *journal = abandon->journal;
    const uint32_t size = move->source.size != 0 ? move->source.size : move->destination.size;
    bool same = true;
    for (uint32_t offset = 0; offset < size && same; offset += SR_SECTOR_SIZE) {
        const uint32_t address = move->destination.address + offset;
        same = sr_record_entry_at(journal->list, journal->header.count, address) < SR_RECORD_MAX_ENTRIES ||
               sector_has_source(abandon, move, offset);
    }
    return same;
}

static bool nothing_is_lost(const sr_abandon_t *abandon)
{
    const sr_journal_t *journal = abandon->journal;
    bool whole = abandon->moves_are_known;
    for (uint32_t i = 0; i < journal->header.count && whole; i++) {
        const sr_record_entry_t entry = sr_journal_entry(journal, i);
        if (!entry.blank && move_to(abandon->moves, entry.address) != NULL) {
            whole = entry_has_source(abandon, &entry);
        }
    }
    for (uint32_t i = 0; i < abandon->moves->count && whole; i++) {
        const struct sr_move *move = &abandon->moves->list[i];
        whole = move->source.address == move->destination.address || place_has_source(abandon, move);
    }
    return whole;
}

/* Why the record has to stay; NULL if it need not. */
static const char *reason_to_keep(const sr_abandon_t *abandon)
{
    if (abandon->cause == ESP_ERR_NO_MEM) {
        return "memory may be there next time";
    }
    if (!boot_path_is_whole(abandon)) {
        return "the boot path is half written";
    }
    return nothing_is_lost(abandon) ? NULL : "it has the only copy of data that moves";
}

esp_err_t sr_abandon(const sr_abandon_t *abandon, bool *stuck)
{
    *stuck = false;
    const char *cause = esp_self_reflasher_err_to_name(abandon->cause);
    const char *reason = reason_to_keep(abandon);
    if (reason != NULL) {
        ESP_LOGE(TAG, "last step failed at sector 0x%" PRIx32 ": %s; it is kept and tried again: %s",
                 abandon->failed_address, cause, reason);
        return abandon->cause;
    }
    ESP_LOGE(TAG, "last step failed at sector 0x%" PRIx32 ": %s; it is given up: the old system is whole",
             abandon->failed_address, cause);
    const esp_err_t err = sr_journal_discard(abandon->journal, abandon->writer, abandon->scratch);
    *stuck = err != ESP_OK;
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "its record at 0x%" PRIx32 " cannot be erased: sector 0x%" PRIx32 ": %s",
                 abandon->journal->address, abandon->writer->failed_address, esp_self_reflasher_err_to_name(err));
    }
    return abandon->cause;
}
