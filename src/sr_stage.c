// SPDX-License-Identifier: Apache-2.0
#include "sr_stage.h"

#include "sr_bytes.h"
#include "sr_digest.h"

#include <string.h>

#define ENTRY_SIZE  32u
#define FIRST_ENTRY SR_PAGE_SIZE
#define AT_DIGEST   16u /**< In an entry. */
#define AT_COUNT    0u  /**< In the list's first page. */
#define AT_SECTORS  4u
#define AT_GUARDED  8u /**< 0 if so, else erased. */
#define AT_APP_ID   16u
#define AT_SEAL     (SR_SECTOR_SIZE - SR_PAGE_SIZE)

/** A mark: 8 bytes of magic, version, data sectors, and those once more with all bits flipped. */
#define MARK_SIZE    20u
#define MARK_VERSION 8u
#define MARK_SECTORS 12u
#define MARK_FLIPPED 16u

static const uint8_t magic[8] = {'S', 'R', 'S', 'T', 'A', 'G', 'E', 0x1A};

void sr_stage_start(sr_stage_t *stage)
{
    memset(stage->list, 0xFF, SR_SECTOR_SIZE);
    stage->count = 0;
    stage->data_sectors = 0;
}

esp_err_t sr_stage_add(sr_stage_t *stage, const sr_stage_entry_t *entry)
{
    if (stage->count == SR_STAGE_MAX_ENTRIES) {
        return ESP_ERR_INVALID_SIZE;
    }
    uint8_t *row = stage->list + FIRST_ENTRY + stage->count * ENTRY_SIZE;
    sr_put_le32(row, entry->address);
    sr_put_le32(row + 4, entry->sectors);
    row[8] = (uint8_t)entry->group;
    row[9] = entry->blank;
    sr_put_le32(row + 12, entry->blank ? UINT32_MAX : stage->data_sectors);
    memcpy(row + AT_DIGEST, entry->digest, SR_BUNDLE_DIGEST_SIZE);
    stage->data_sectors += entry->blank ? 0 : entry->sectors;
    stage->count++;
    return ESP_OK;
}

bool sr_stage_extend(sr_stage_t *stage, sr_stage_group_t group, uint32_t address, bool blank)
{
    if (stage->count == 0 || group > SR_STAGE_NEIGHBOURS) {
        return false;
    }
    const sr_stage_entry_t last = sr_stage_entry(stage, stage->count - 1);
    if (last.blank != blank || last.group != group || last.address + last.sectors * SR_SECTOR_SIZE != address) {
        return false;
    }
    sr_put_le32(stage->list + FIRST_ENTRY + (stage->count - 1) * ENTRY_SIZE + 4, last.sectors + 1);
    stage->data_sectors += !blank;
    return true;
}

sr_stage_entry_t sr_stage_entry(const sr_stage_t *stage, uint32_t index)
{
    const uint8_t *row = stage->list + FIRST_ENTRY + index * ENTRY_SIZE;
    sr_stage_entry_t entry = {.address = sr_get_le32(row),
                              .sectors = sr_get_le32(row + 4),
                              .group = (sr_stage_group_t)row[8],
                              .blank = row[9] != 0,
                              .data_index = sr_get_le32(row + 12)};
    memcpy(entry.digest, row + AT_DIGEST, SR_BUNDLE_DIGEST_SIZE);
    return entry;
}

void sr_stage_set_digest(sr_stage_t *stage, uint32_t index, const uint8_t digest[SR_BUNDLE_DIGEST_SIZE])
{
    memcpy(stage->list + FIRST_ENTRY + index * ENTRY_SIZE + AT_DIGEST, digest, SR_BUNDLE_DIGEST_SIZE);
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
    memcpy(scratch, magic, sizeof(magic));
    sr_put_le32(scratch + MARK_VERSION, SR_STAGE_VERSION);
    sr_put_le32(scratch + MARK_SECTORS, stage->data_sectors);
    sr_put_le32(scratch + MARK_FLIPPED, ~stage->data_sectors);
    return put(writer, address, scratch, MARK_SIZE);
}

static uint32_t list_address(const sr_stage_t *stage)
{
    return stage->address + SR_SECTOR_SIZE;
}

static uint32_t data_address(const sr_stage_t *stage, uint32_t data_index)
{
    return stage->address + (SR_STAGE_OVERHEAD + data_index) * SR_SECTOR_SIZE;
}

esp_err_t sr_stage_put(const sr_stage_t *stage, sr_writer_t *writer, uint32_t data_index, uint8_t *data)
{
    return put(writer, data_address(stage, data_index), data, SR_SECTOR_SIZE);
}

esp_err_t sr_stage_seal(sr_stage_t *stage, sr_writer_t *writer)
{
    sr_put_le32(stage->list + AT_COUNT, stage->count);
    sr_put_le32(stage->list + AT_SECTORS, stage->data_sectors);
    sr_put_le32(stage->list + AT_GUARDED, stage->guarded ? 0 : UINT32_MAX);
    memcpy(stage->list + AT_APP_ID, stage->app_id, sizeof(stage->app_id));
    if (!sr_digest(stage->list, AT_SEAL, stage->list + AT_SEAL)) {
        return ESP_FAIL;
    }
    return put(writer, list_address(stage), stage->list, SR_SECTOR_SIZE);
}

/* Half of a mark may tell any number. There is nothing behind it then: it is written first and erased last. */
static bool is_mark(const sr_stage_t *stage, uint32_t address, const uint8_t *mark, uint32_t *data_sectors)
{
    const uint32_t told = sr_get_le32(mark + MARK_SECTORS);
    *data_sectors = sr_get_le32(mark + MARK_FLIPPED) == ~told ? told : 0;
    return memcmp(mark, magic, sizeof(magic)) == 0 && sr_get_le32(mark + MARK_VERSION) == SR_STAGE_VERSION &&
           *data_sectors < stage->flash->size / SR_SECTOR_SIZE &&
           sr_region_fits((sr_region_t){address, (SR_STAGE_OVERHEAD + *data_sectors) * SR_SECTOR_SIZE},
                          stage->flash->size);
}

esp_err_t sr_stage_find(sr_stage_t *stage)
{
    for (uint32_t address = stage->address; address < stage->flash->size; address += SR_SECTOR_SIZE) {
        uint8_t mark[MARK_SIZE];
        uint32_t data_sectors;
        const esp_err_t err = sr_flash_read(stage->flash, address, mark, sizeof(mark));
        if (err != ESP_OK) {
            return err;
        }
        if (is_mark(stage, address, mark, &data_sectors)) {
            stage->address = address;
            stage->data_sectors = data_sectors;
            return ESP_OK;
        }
    }
    return ESP_ERR_NOT_FOUND;
}

static bool list_is_sealed(const sr_stage_t *stage)
{
    uint8_t seal[SR_SHA256_SIZE];
    return sr_digest(stage->list, AT_SEAL, seal) && memcmp(seal, stage->list + AT_SEAL, sizeof(seal)) == 0 &&
           sr_get_le32(stage->list + AT_COUNT) <= SR_STAGE_MAX_ENTRIES &&
           sr_get_le32(stage->list + AT_SECTORS) == stage->data_sectors;
}

/* Hashes what the record holds for an entry. */
static esp_err_t confirm(const sr_stage_t *stage, const sr_stage_entry_t *entry, uint8_t *scratch)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    esp_err_t err = ESP_OK;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK; i++) {
        err = sr_flash_read(stage->flash, data_address(stage, entry->data_index + i), scratch, SR_SECTOR_SIZE);
        sr_sha256_update(&sha, scratch, SR_SECTOR_SIZE);
    }
    const bool hashed = sr_sha256_finish(&sha, digest) == 0;
    if (err != ESP_OK) {
        return err;
    }
    if (!hashed) {
        return ESP_FAIL;
    }
    return memcmp(digest, entry->digest, SR_BUNDLE_DIGEST_SIZE) == 0 ? ESP_OK : ESP_ERR_NOT_FINISHED;
}

/* The seal vouches for the list, but not for a version of this code that has made it of nonsense. */
static bool is_inside(const sr_stage_t *stage, const sr_stage_entry_t *entry)
{
    return entry->sectors <= stage->data_sectors && entry->data_index <= stage->data_sectors - entry->sectors;
}

esp_err_t sr_stage_load(sr_stage_t *stage, uint8_t *scratch)
{
    esp_err_t err = sr_flash_read(stage->flash, list_address(stage), stage->list, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    if (!list_is_sealed(stage)) {
        return ESP_ERR_NOT_FINISHED;
    }
    stage->count = sr_get_le32(stage->list + AT_COUNT);
    stage->guarded = sr_get_le32(stage->list + AT_GUARDED) == 0;
    memcpy(stage->app_id, stage->list + AT_APP_ID, sizeof(stage->app_id));
    for (uint32_t i = 0; i < stage->count && err == ESP_OK; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(stage, i);
        if (!entry.blank) {
            err = is_inside(stage, &entry) ? confirm(stage, &entry, scratch) : ESP_ERR_NOT_FINISHED;
        }
    }
    return err;
}

esp_err_t sr_stage_read(const sr_stage_t *stage, const sr_stage_entry_t *entry, uint32_t index, uint8_t *data)
{
    if (entry->sectors == 1) {
        return confirm(stage, entry, data);
    }
    return sr_flash_read(stage->flash, data_address(stage, entry->data_index + index), data, SR_SECTOR_SIZE);
}

static esp_err_t erase(sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    return put(writer, address, scratch, 0);
}

esp_err_t sr_stage_discard(const sr_stage_t *stage, sr_writer_t *writer, uint8_t *scratch)
{
    esp_err_t err = erase(writer, list_address(stage), scratch);
    if (err == ESP_OK) {
        err = sr_writer_clear(writer, data_address(stage, 0), stage->data_sectors, scratch);
    }
    return err == ESP_OK ? erase(writer, stage->address, scratch) : err;
}
