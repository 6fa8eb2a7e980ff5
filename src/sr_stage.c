// SPDX-License-Identifier: Apache-2.0
#include "sr_stage.h"

#include "sr_digest.h"

#include <string.h>

void sr_stage_start(sr_stage_t *stage, uint32_t manifest_size)
{
    memset(stage->list, 0xFF, SR_SECTOR_SIZE);
    stage->data_sectors = 0;
    stage->header.count = 0;
    stage->header.manifest_size = manifest_size;
    stage->header.sectors = sr_stage_manifest_sectors(manifest_size);
}

esp_err_t sr_stage_add(sr_stage_t *stage, const sr_stage_entry_t *entry)
{
    sr_stage_entry_t row = *entry;
    if (stage->header.count == SR_STAGE_MAX_ENTRIES) {
        return ESP_ERR_INVALID_SIZE;
    }
    row.data_index = stage->data_sectors;
    sr_stage_write_entry(stage->list, stage->header.count, &row);
    stage->data_sectors += entry->blank ? 0 : entry->sectors;
    stage->header.sectors += entry->blank ? 0 : entry->sectors;
    stage->header.count++;
    return ESP_OK;
}

bool sr_stage_extend(sr_stage_t *stage, sr_stage_group_t group, uint32_t address, bool blank)
{
    if (stage->header.count == 0 || group > SR_STAGE_NEIGHBOURS) {
        return false;
    }
    sr_stage_entry_t last = sr_stage_entry(stage, stage->header.count - 1);
    if (last.blank != blank || last.group != group || last.address + last.sectors * SR_SECTOR_SIZE != address) {
        return false;
    }
    last.sectors++;
    sr_stage_write_entry(stage->list, stage->header.count - 1, &last);
    stage->data_sectors += !blank;
    stage->header.sectors += !blank;
    return true;
}

sr_stage_entry_t sr_stage_entry(const sr_stage_t *stage, uint32_t index)
{
    return sr_stage_read_entry(stage->list, index);
}

void sr_stage_set_digest(sr_stage_t *stage, uint32_t index, const uint8_t digest[SR_BUNDLE_DIGEST_SIZE])
{
    sr_stage_entry_t entry = sr_stage_entry(stage, index);
    memcpy(entry.digest, digest, sizeof(entry.digest));
    sr_stage_write_entry(stage->list, index, &entry);
}

sr_region_t sr_stage_place(const sr_stage_t *stage)
{
    return (sr_region_t){stage->address, sr_stage_record_sectors(stage->header.sectors) * SR_SECTOR_SIZE};
}

uint32_t sr_stage_manifest_address(const sr_stage_t *stage)
{
    return stage->address + SR_STAGE_OVERHEAD * SR_SECTOR_SIZE;
}

uint32_t sr_stage_data_address(const sr_stage_t *stage, uint32_t data_index)
{
    const uint32_t manifest_sectors = sr_stage_manifest_sectors(stage->header.manifest_size);
    return sr_stage_manifest_address(stage) + (manifest_sectors + data_index) * SR_SECTOR_SIZE;
}

static uint32_t list_address(const sr_stage_t *stage)
{
    return stage->address + SR_SECTOR_SIZE;
}

static esp_err_t put(sr_writer_t *writer, uint32_t address, uint8_t *data, uint32_t used)
{
    const sr_sector_t sector = {.address = address, .used = used, .data = data};
    return sr_writer_put(writer, &sector);
}

esp_err_t sr_stage_open(sr_stage_t *stage, sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    stage->address = address;
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    sr_stage_write_mark(scratch, stage->header.sectors);
    return put(writer, address, scratch, SR_STAGE_MARK_SIZE);
}

esp_err_t sr_stage_put_manifest(const sr_stage_t *stage, sr_writer_t *writer, const uint8_t *manifest, uint8_t *scratch)
{
    const uint32_t size = stage->header.manifest_size;
    esp_err_t err = ESP_OK;
    for (uint32_t offset = 0; offset < size && err == ESP_OK; offset += SR_SECTOR_SIZE) {
        const uint32_t used = size - offset < SR_SECTOR_SIZE ? size - offset : SR_SECTOR_SIZE;
        memset(scratch, 0xFF, SR_SECTOR_SIZE);
        memcpy(scratch, manifest + offset, used);
        err = put(writer, sr_stage_manifest_address(stage) + offset, scratch, used);
    }
    return err;
}

esp_err_t sr_stage_put(const sr_stage_t *stage, sr_writer_t *writer, uint32_t data_index, uint8_t *data)
{
    return put(writer, sr_stage_data_address(stage, data_index), data, SR_SECTOR_SIZE);
}

esp_err_t sr_stage_seal(sr_stage_t *stage, sr_writer_t *writer)
{
    if (!sr_stage_write_header(stage->list, &stage->header)) {
        return ESP_FAIL;
    }
    return put(writer, list_address(stage), stage->list, SR_SECTOR_SIZE);
}

esp_err_t sr_stage_find(sr_stage_t *stage)
{
    for (uint32_t address = stage->address; address < stage->flash->size; address += SR_SECTOR_SIZE) {
        uint8_t mark[SR_STAGE_MARK_SIZE];
        uint32_t sectors;
        const esp_err_t err = sr_flash_read(stage->flash, address, mark, sizeof(mark));
        if (err != ESP_OK) {
            return err;
        }
        if (sr_stage_read_mark(mark, address, stage->flash->size, &sectors)) {
            stage->address = address;
            stage->header = (sr_stage_header_t){.sectors = sectors};
            return ESP_OK;
        }
    }
    return ESP_ERR_NOT_FOUND;
}

esp_err_t sr_stage_load(sr_stage_t *stage, sr_stage_status_t *status)
{
    sr_stage_header_t header;
    const esp_err_t err = sr_flash_read(stage->flash, list_address(stage), stage->list, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    *status = sr_stage_read_header(stage->list, stage->header.sectors, &header);
    if (*status == SR_STAGE_OK) {
        stage->header = header;
    }
    return ESP_OK;
}

esp_err_t sr_stage_read(const sr_stage_t *stage, const sr_stage_entry_t *entry, uint32_t index, uint8_t *data)
{
    uint8_t digest[SR_SHA256_SIZE];
    const uint32_t data_index = entry->data_index + index;
    const uint8_t *wanted = stage->digests + data_index * SR_BUNDLE_DIGEST_SIZE;
    const esp_err_t err = sr_flash_read(stage->flash, sr_stage_data_address(stage, data_index), data, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    if (!sr_digest(data, SR_SECTOR_SIZE, digest)) {
        return ESP_FAIL;
    }
    return memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) == 0 ? ESP_OK : ESP_ERR_NOT_FINISHED;
}

esp_err_t sr_stage_digest_first_part(const sr_stage_t *stage, uint8_t *scratch, uint8_t digest[SR_BUNDLE_DIGEST_SIZE])
{
    uint8_t whole[SR_SHA256_SIZE];
    sr_sha256_t sha;
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < stage->header.count && err == ESP_OK; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(stage, i);
        if (sr_stage_is_first_part(stage->list, stage->header.count, &entry)) {
            err = sr_flash_read(stage->flash, entry.address, scratch, SR_SECTOR_SIZE); /* Entries of one sector. */
            sr_sha256_update(&sha, scratch, SR_SECTOR_SIZE);
        }
    }
    const bool hashed = sr_sha256_finish(&sha, whole) == 0;
    memcpy(digest, whole, SR_BUNDLE_DIGEST_SIZE);
    return err == ESP_OK && !hashed ? ESP_FAIL : err;
}

static esp_err_t erase(sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    return put(writer, address, scratch, 0);
}

esp_err_t sr_stage_discard(const sr_stage_t *stage, sr_writer_t *writer, uint8_t *scratch)
{
    if (stage->header.sectors == 0) {
        return erase(writer, stage->address, scratch);
    }
    const esp_err_t err = erase(writer, list_address(stage), scratch);
    if (err != ESP_OK) {
        const bool gone =
            erase(writer, stage->address, scratch) == ESP_OK ||
            (stage->header.manifest_size > 0 && erase(writer, sr_stage_manifest_address(stage), scratch) == ESP_OK);
        return gone ? ESP_OK : err;
    }
    const esp_err_t rest = sr_writer_clear(writer, sr_stage_manifest_address(stage), stage->header.sectors, scratch);
    return rest == ESP_OK ? erase(writer, stage->address, scratch) : rest;
}
