// SPDX-License-Identifier: Apache-2.0
#include "journal/sr_journal.h"

#include "format/sr_digest.h"

#include <string.h>

void sr_journal_start(sr_journal_t *journal, uint32_t manifest_size)
{
    memset(journal->list, 0xFF, SR_SECTOR_SIZE);
    journal->data_sectors = 0;
    journal->header.count = 0;
    journal->header.manifest_size = manifest_size;
    journal->header.sectors = sr_record_manifest_sectors(manifest_size);
}

esp_err_t sr_journal_add(sr_journal_t *journal, const sr_record_entry_t *entry)
{
    sr_record_entry_t row = *entry;
    if (journal->header.count == SR_RECORD_MAX_ENTRIES) {
        return ESP_ERR_INVALID_SIZE;
    }
    row.data_index = journal->data_sectors;
    sr_record_write_entry(journal->list, journal->header.count, &row);
    journal->data_sectors += entry->blank ? 0 : entry->sectors;
    journal->header.sectors += entry->blank ? 0 : entry->sectors;
    journal->header.count++;
    return ESP_OK;
}

bool sr_journal_extend(sr_journal_t *journal, sr_record_group_t group, uint32_t address, bool blank)
{
    if (journal->header.count == 0 || group > SR_RECORD_NEIGHBOURS) {
        return false;
    }
    sr_record_entry_t last = sr_journal_entry(journal, journal->header.count - 1);
    if (last.blank != blank || last.group != group || last.address + last.sectors * SR_SECTOR_SIZE != address) {
        return false;
    }
    last.sectors++;
    sr_record_write_entry(journal->list, journal->header.count - 1, &last);
    journal->data_sectors += !blank;
    journal->header.sectors += !blank;
    return true;
}

sr_record_entry_t sr_journal_entry(const sr_journal_t *journal, uint32_t index)
{
    return sr_record_read_entry(journal->list, index);
}

void sr_journal_set_digest(sr_journal_t *journal, uint32_t index, const uint8_t digest[SR_BUNDLE_DIGEST_SIZE])
{
    sr_record_entry_t entry = sr_journal_entry(journal, index);
    memcpy(entry.digest, digest, sizeof(entry.digest));
    sr_record_write_entry(journal->list, index, &entry);
}

sr_region_t sr_journal_place(const sr_journal_t *journal)
{
    return (sr_region_t){journal->address, sr_record_sectors(journal->header.sectors) * SR_SECTOR_SIZE};
}

uint32_t sr_journal_manifest_address(const sr_journal_t *journal)
{
    return journal->address + SR_RECORD_OVERHEAD * SR_SECTOR_SIZE;
}

uint32_t sr_journal_data_address(const sr_journal_t *journal, uint32_t data_index)
{
    const uint32_t manifest_sectors = sr_record_manifest_sectors(journal->header.manifest_size);
    return sr_journal_manifest_address(journal) + (manifest_sectors + data_index) * SR_SECTOR_SIZE;
}

static uint32_t list_address(const sr_journal_t *journal)
{
    return journal->address + SR_SECTOR_SIZE;
}

sr_flash_t sr_journal_flash(const sr_journal_t *journal)
{
    sr_flash_t flash = *journal->flash;
    flash.everywhere = true;
    return flash;
}

static esp_err_t read(const sr_journal_t *journal, uint32_t address, void *out, uint32_t length)
{
    const sr_flash_t flash = sr_journal_flash(journal);
    return sr_flash_read(&flash, address, out, length);
}

static esp_err_t put(const sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *data, uint32_t used)
{
    const sr_writer_sector_t sector = {.address = address, .used = used, .data = data};
    const sr_flash_t *targets = writer->flash;
    const sr_flash_t flash = sr_journal_flash(journal);
    writer->flash = &flash;
    const esp_err_t err = sr_writer_put(writer, &sector);
    writer->flash = targets;
    return err;
}

esp_err_t sr_journal_open(sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    journal->address = address;
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    sr_record_write_mark(scratch, journal->header.sectors);
    return put(journal, writer, address, scratch, SR_RECORD_MARK_SIZE);
}

esp_err_t sr_journal_put_manifest(const sr_journal_t *journal, sr_writer_t *writer, const uint8_t *manifest,
                                  uint8_t *scratch)
{
    const uint32_t size = journal->header.manifest_size;
    esp_err_t err = ESP_OK;
    for (uint32_t offset = 0; offset < size && err == ESP_OK; offset += SR_SECTOR_SIZE) {
        const uint32_t used = size - offset < SR_SECTOR_SIZE ? size - offset : SR_SECTOR_SIZE;
        memset(scratch, 0xFF, SR_SECTOR_SIZE);
        memcpy(scratch, manifest + offset, used);
        err = put(journal, writer, sr_journal_manifest_address(journal) + offset, scratch, used);
    }
    return err;
}

esp_err_t sr_journal_put(const sr_journal_t *journal, sr_writer_t *writer, uint32_t data_index, uint8_t *data)
{
    return put(journal, writer, sr_journal_data_address(journal, data_index), data, SR_SECTOR_SIZE);
}

esp_err_t sr_journal_clear_fill(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch)
{
    const uint32_t used = sr_record_manifest_sectors(journal->header.manifest_size) + journal->data_sectors;
    esp_err_t err = ESP_OK;
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    for (uint32_t i = 0; used + i < journal->header.sectors && err == ESP_OK; i++) {
        err = put(journal, writer, sr_journal_data_address(journal, journal->data_sectors + i), scratch, 0);
    }
    return err;
}

esp_err_t sr_journal_seal(sr_journal_t *journal, sr_writer_t *writer)
{
    if (!sr_record_write_header(journal->list, &journal->header)) {
        return ESP_FAIL;
    }
    return put(journal, writer, list_address(journal), journal->list, SR_SECTOR_SIZE);
}

esp_err_t sr_journal_find(sr_journal_t *journal)
{
    for (uint32_t address = journal->address; address < journal->flash->size; address += SR_SECTOR_SIZE) {
        uint8_t mark[SR_RECORD_MARK_SIZE];
        uint32_t sectors;
        const esp_err_t err = read(journal, address, mark, sizeof(mark));
        if (err != ESP_OK) {
            return err;
        }
        if (sr_record_read_mark(mark, address, journal->flash->size, &sectors)) {
            journal->address = address;
            journal->header = (sr_record_header_t){.sectors = sectors};
            return ESP_OK;
        }
    }
    return ESP_ERR_NOT_FOUND;
}

esp_err_t sr_journal_load(sr_journal_t *journal, sr_record_status_t *status)
{
    sr_record_header_t header;
    const esp_err_t err = read(journal, list_address(journal), journal->list, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    *status = sr_record_read_header(journal->list, journal->header.sectors, &header);
    if (*status == SR_RECORD_OK) {
        journal->header = header;
    }
    return *status == SR_RECORD_NOT_HASHED ? ESP_FAIL : ESP_OK; /* It may be a valuable one. */
}

esp_err_t sr_journal_read(const sr_journal_t *journal, const sr_record_entry_t *entry, uint32_t index, uint8_t *data)
{
    uint8_t digest[SR_SHA256_SIZE];
    const uint32_t data_index = entry->data_index + index;
    const uint8_t *wanted = journal->digests + data_index * SR_BUNDLE_DIGEST_SIZE;
    const esp_err_t err = read(journal, sr_journal_data_address(journal, data_index), data, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    if (!sr_digest(data, SR_SECTOR_SIZE, digest)) {
        return ESP_FAIL;
    }
    return memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) == 0 ? ESP_OK : ESP_ERR_NOT_FINISHED;
}

esp_err_t sr_journal_digest_first_part(const sr_journal_t *journal, uint8_t *scratch,
                                       uint8_t digest[SR_BUNDLE_DIGEST_SIZE])
{
    uint8_t whole[SR_SHA256_SIZE];
    sr_sha256_t sha;
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < journal->header.count && err == ESP_OK; i++) {
        const sr_record_entry_t entry = sr_journal_entry(journal, i);
        if (sr_record_is_first_part(journal->list, journal->header.count, &entry)) {
            err = sr_flash_read(journal->flash, entry.address, scratch, SR_SECTOR_SIZE); /* Entries of one sector. */
            sr_sha256_update(&sha, scratch, SR_SECTOR_SIZE);
        }
    }
    const bool hashed = sr_sha256_finish(&sha, whole) == 0;
    memcpy(digest, whole, SR_BUNDLE_DIGEST_SIZE);
    return err == ESP_OK && !hashed ? ESP_FAIL : err;
}

static esp_err_t erase(const sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    return put(journal, writer, address, scratch, 0);
}

esp_err_t sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch)
{
    if (journal->header.sectors == 0) {
        return erase(journal, writer, journal->address, scratch);
    }
    const esp_err_t err = erase(journal, writer, list_address(journal), scratch);
    if (err != ESP_OK) {
        const bool gone = erase(journal, writer, journal->address, scratch) == ESP_OK ||
                          (journal->header.manifest_size > 0 &&
                           erase(journal, writer, sr_journal_manifest_address(journal), scratch) == ESP_OK);
        return gone ? ESP_OK : err;
    }
    const esp_err_t rest =
        sr_writer_clear(writer, sr_journal_manifest_address(journal), journal->header.sectors, scratch);
    return rest == ESP_OK ? erase(journal, writer, journal->address, scratch) : rest;
}
