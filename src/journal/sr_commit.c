// SPDX-License-Identifier: Apache-2.0
#include "journal/sr_commit.h"

#include "port/sr_yield.h"

#include <string.h>

/* A blank sector that the chip decrypts is written like content: erased cells read as something else there. */
static uint32_t used_of(const sr_commit_t *commit, const sr_record_entry_t *entry, uint32_t address)
{
    return entry->blank && !sr_flash_encrypts(commit->flash, address) ? 0 : SR_SECTOR_SIZE;
}

static esp_err_t hold_entry(sr_commit_t *commit, const sr_record_entry_t *entry)
{
    const sr_boot_path_buffer_group_t group = (sr_boot_path_buffer_group_t)(entry->group - SR_RECORD_NEIGHBOURS);
    esp_err_t err = ESP_OK;
    memset(commit->scratch, 0xFF, SR_SECTOR_SIZE);
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK; i++) {
        const uint32_t address = entry->address + i * SR_SECTOR_SIZE;
        const sr_writer_sector_t sector = {
            .address = address, .used = used_of(commit, entry, address), .data = commit->scratch};
        if (!entry->blank) {
            err = commit->fetch(commit->fetch_context, entry, i, commit->scratch);
        }
        if (err == ESP_OK) {
            err = sr_boot_path_buffer_add(&commit->buffer, group, &sector);
        }
    }
    return err;
}

static uint32_t count_boot_path(const sr_journal_t *journal)
{
    uint32_t sectors = 0;
    for (uint32_t i = 0; i < journal->header.count; i++) {
        const sr_record_entry_t entry = sr_journal_entry(journal, i);
        sectors += entry.group != SR_RECORD_DATA ? entry.sectors : 0;
    }
    return sectors;
}

esp_err_t sr_commit_prepare(sr_commit_t *commit)
{
    esp_err_t err = sr_boot_path_buffer_open(&commit->buffer, count_boot_path(commit->journal));
    commit->buffer.owned = commit->claimed;
    commit->buffer.guarded = commit->journal->header.guarded;
    for (uint32_t i = 0; i < commit->journal->header.count && err == ESP_OK; i++) {
        const sr_record_entry_t entry = sr_journal_entry(commit->journal, i);
        if (entry.group != SR_RECORD_DATA) {
            err = hold_entry(commit, &entry);
        }
    }
    return err;
}

uint32_t sr_commit_boot_path_sectors(const sr_commit_t *commit)
{
    return commit->buffer.count;
}

static esp_err_t put_data(sr_commit_t *commit, sr_writer_t *writer, const sr_record_entry_t *entry)
{
    if (entry->blank && !sr_flash_encrypts(commit->flash, entry->address)) {
        return sr_writer_clear(writer, entry->address, entry->sectors, commit->scratch);
    }
    esp_err_t err = ESP_OK;
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK; i++) {
        const sr_writer_sector_t sector = {
            .address = entry->address + i * SR_SECTOR_SIZE, .used = SR_SECTOR_SIZE, .data = commit->scratch};
        writer->failed_address = sector.address;
        sr_yield(SR_YIELD_WRITE);
        memset(commit->scratch, 0xFF, SR_SECTOR_SIZE);
        err = entry->blank ? ESP_OK : commit->fetch(commit->fetch_context, entry, i, commit->scratch);
        if (err == ESP_OK) {
            err = sr_writer_put(writer, &sector);
        }
    }
    return err;
}

static esp_err_t put_all_data(sr_commit_t *commit)
{
    sr_writer_t writer = {
        .flash = commit->flash, .readback = commit->readback, .attempts = SR_WRITER_ATTEMPTS, .yield = sr_yield};
    esp_err_t err = ESP_OK;
    for (uint32_t i = 0; i < commit->journal->header.count && err == ESP_OK; i++) {
        const sr_record_entry_t entry = sr_journal_entry(commit->journal, i);
        if (entry.group == SR_RECORD_DATA) {
            err = put_data(commit, &writer, &entry);
        }
    }
    commit->failed_address = writer.failed_address;
    return err;
}

esp_err_t sr_commit_execute(sr_commit_t *commit)
{
    esp_err_t err = put_all_data(commit);
    if (err == ESP_OK) {
        sr_writer_t writer = {
            .flash = commit->flash, .readback = commit->readback, .attempts = SR_BOOT_PATH_BUFFER_ATTEMPTS};
        err = sr_boot_path_buffer_put(&commit->buffer, &writer);
        commit->failed_address = writer.failed_address;
    }
    return err;
}

void sr_commit_release(sr_commit_t *commit)
{
    sr_boot_path_buffer_close(&commit->buffer);
}
