// SPDX-License-Identifier: Apache-2.0
#include "image/sr_staging.h"

#include "self_reflasher_err.h"
#include "image/sr_transfer.h"
#include "journal/sr_journal.h"
#include "port/sr_yield.h"
#include "preflight/sr_image_check.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>
#include <string.h>

static const char *TAG = "self_reflasher";

struct sr_staging_buffers {
    uint8_t sector[SR_SECTOR_SIZE];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
};

esp_err_t sr_staging_open(sr_staging_t *staging)
{
    staging->buffers = heap_caps_malloc(sizeof(*staging->buffers), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (staging->buffers == NULL) {
        return ESP_ERR_NO_MEM;
    }
    staging->received = 0;
    staging->written = 0;
    staging->announced = -1;
    staging->writer = (sr_writer_t){
        .flash = &staging->system->flash, .readback = staging->buffers->readback, .attempts = SR_WRITER_ATTEMPTS};
    return ESP_OK;
}

void sr_staging_close(sr_staging_t *staging)
{
    heap_caps_free(staging->buffers);
    staging->buffers = NULL;
}

static esp_err_t check_length(const sr_staging_t *staging, uint64_t length)
{
    if (length > staging->destination.size) {
        ESP_LOGE(TAG, "refused: image of %" PRIu64 " bytes or more, destination holds %" PRIu32, length,
                 staging->destination.size);
        return ESP_ERR_SELF_REFLASHER_TOO_LARGE;
    }
    if (length > staging->room.size) {
        ESP_LOGE(TAG, "refused: image of %" PRIu64 " bytes or more, staging holds %" PRIu32, length,
                 staging->room.size);
        return ESP_ERR_SELF_REFLASHER_STAGING_SMALL;
    }
    return ESP_OK;
}

static esp_err_t sink_begin(void *context, int64_t length)
{
    sr_staging_t *staging = context;
    staging->announced = length;
    return length > 0 ? check_length(staging, (uint64_t)length) : ESP_OK;
}

/* Sectors of a block that the rest of the image will fill, as far as its length is known. */
static uint32_t sectors_to_come(const sr_staging_t *staging, uint32_t offset)
{
    const uint64_t rest = staging->announced >= 0 ? (uint64_t)staging->announced - offset : SR_BLOCK_SIZE;
    return rest < SR_BLOCK_SIZE ? (uint32_t)((rest + SR_SECTOR_SIZE - 1u) / SR_SECTOR_SIZE) : SR_SECTORS_PER_BLOCK;
}

/* One erase of a whole block costs as much as 3.3 sector erases. What will arrive is not known yet, so this is a guess:
 * if the block's first sector is wrong, so are the others. Not if it is blank, as sr_staging_give_up() leaves the first
 * one of an image whose others are right. Staging holds nothing else that could be lost. */
static esp_err_t erase_ahead(sr_staging_t *staging, const sr_writer_sector_t *sector)
{
    const sr_region_t block = {sector->address, SR_BLOCK_SIZE};
    sr_writer_comparison_t comparison = {0};
    if (!sr_region_is_aligned(block.address, SR_BLOCK_SIZE) || !sr_region_contains(staging->room, block)) {
        return ESP_OK;
    }
    esp_err_t err = sr_writer_compare(&staging->writer, sector, &comparison);
    if (err != ESP_OK || comparison.right || comparison.blank) {
        return err;
    }
    uint32_t dirty = 0;
    const uint32_t count = sectors_to_come(staging, sector->address - staging->room.address);
    err = sr_writer_count_dirty(&staging->writer, block.address, count, &dirty);
    return err == ESP_OK && dirty >= SR_WRITER_WORTH_A_BLOCK ? sr_writer_erase_block(&staging->writer, block.address)
                                                             : err;
}

static esp_err_t put(sr_staging_t *staging, const sr_writer_sector_t *sector)
{
    sr_yield(SR_YIELD_WRITE);
    staging->written = sector->address + SR_SECTOR_SIZE - staging->room.address;
    esp_err_t err = erase_ahead(staging, sector);
    if (err == ESP_OK) {
        err = sr_writer_put(&staging->writer, sector);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "staging, sector 0x%" PRIx32 ": %s", staging->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static bool checks_image(const sr_staging_t *staging)
{
    return (staging->config->flags & ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK) == 0;
}

/* Writes the buffer to flash: it holds the sector that ends at `received`. */
static esp_err_t flush(sr_staging_t *staging)
{
    const uint32_t offset = (staging->received - 1u) & ~(SR_SECTOR_SIZE - 1u);
    const uint32_t used = staging->received - offset;
    const sr_writer_sector_t sector = {
        .address = staging->room.address + offset, .used = used, .data = staging->buffers->sector};
    memset(sector.data + used, 0xFF, SR_SECTOR_SIZE - used);

    esp_err_t err = ESP_OK;
    if (offset == 0 && checks_image(staging)) {
        sr_image_check_detail_t detail;
        const sr_chip_t *chip = staging->system->chip;
        err = sr_transfer_refusal(sr_image_check_start(sector.data, used, staging->destination, chip, &detail), &detail,
                                  staging->system);
    }
    if (err == ESP_OK) {
        err = put(staging, &sector);
    }
    if (err == ESP_OK) {
        sr_transfer_progress(staging->config, ESP_SELF_REFLASHER_PHASE_DOWNLOAD, staging->received,
                             staging->announced > 0 ? (size_t)staging->announced : 0);
    }
    return err;
}

static esp_err_t sink_data(void *context, const uint8_t *bytes, size_t length)
{
    sr_staging_t *staging = context;
    esp_err_t err = check_length(staging, (uint64_t)staging->received + length);
    while (err == ESP_OK && length > 0) {
        const uint32_t at = staging->received % SR_SECTOR_SIZE;
        const uint32_t room = SR_SECTOR_SIZE - at;
        const uint32_t step = length < room ? (uint32_t)length : room;
        memcpy(staging->buffers->sector + at, bytes, step);
        staging->received += step;
        bytes += step;
        length -= step;
        if (step == room) {
            err = flush(staging);
        }
    }
    return err;
}

sr_download_sink_t sr_staging_sink(sr_staging_t *staging)
{
    return (sr_download_sink_t){.context = staging, .begin = sink_begin, .data = sink_data};
}

esp_err_t sr_staging_finish(sr_staging_t *staging)
{
    const esp_err_t err = staging->received % SR_SECTOR_SIZE != 0 ? flush(staging) : ESP_OK;
    if (err == ESP_OK) {
        sr_transfer_progress(staging->config, ESP_SELF_REFLASHER_PHASE_DOWNLOAD, staging->received, staging->received);
    }
    return err;
}

bool sr_staging_is_refusal(esp_err_t err)
{
    switch (err) {
    case ESP_ERR_SELF_REFLASHER_TOO_LARGE:
    case ESP_ERR_SELF_REFLASHER_STAGING_SMALL:
    case ESP_ERR_SELF_REFLASHER_SHA256:
    case ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER:
    case ESP_ERR_SELF_REFLASHER_WRONG_CHIP:
    case ESP_ERR_SELF_REFLASHER_CHECKSUM:
    case ESP_ERR_SELF_REFLASHER_DIGEST:
    case ESP_ERR_SELF_REFLASHER_FLASH_SIZE:
    case ESP_ERR_SELF_REFLASHER_REVISION:
    case ESP_ERR_SELF_REFLASHER_NOT_SIGNED:
        return true;
    default:
        return false;
    }
}

static void erase_sector(sr_staging_t *staging, uint32_t address)
{
    sr_yield(SR_YIELD_WRITE);
    const esp_err_t err = sr_writer_clear(&staging->writer, address, 1, staging->buffers->sector);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "staging, sector 0x%" PRIx32 " cannot be erased: %s", address,
                 esp_self_reflasher_err_to_name(err));
    }
}

/* From the first sector on, because that is the one that a bootloader would look at. What cannot be erased as a whole
 * is erased as far as it can. */
static void erase(sr_staging_t *staging, uint32_t address, uint32_t end)
{
    while (address < end) {
        const uint32_t block_end = (address & ~(SR_BLOCK_SIZE - 1u)) + SR_BLOCK_SIZE;
        const uint32_t stop = block_end < end ? block_end : end;
        sr_yield(SR_YIELD_BYTES);
        const esp_err_t err =
            sr_writer_clear(&staging->writer, address, (stop - address) / SR_SECTOR_SIZE, staging->buffers->sector);
        for (; err != ESP_OK && address < stop; address += SR_SECTOR_SIZE) {
            erase_sector(staging, address);
        }
        address = stop;
    }
}

static void erase_marks(sr_staging_t *staging, uint32_t end)
{
    sr_journal_t record = {.flash = &staging->system->flash, .address = staging->room.address};
    esp_err_t err;
    while ((err = sr_journal_find(&record)) == ESP_OK && record.address < end) {
        erase_sector(staging, record.address);
        record.address += SR_SECTOR_SIZE;
    }
    if (err != ESP_OK && err != ESP_ERR_NOT_FOUND) {
        ESP_LOGE(TAG, "staging cannot be searched for records: %s", esp_self_reflasher_err_to_name(err));
    }
}

void sr_staging_give_up(sr_staging_t *staging, esp_err_t why)
{
    const uint32_t start = staging->room.address;
    const uint32_t end = start + staging->written;
    if (sr_staging_is_refusal(why)) {
        erase(staging, start, end);
    } else if (staging->written > 0) {
        erase_sector(staging, start);
        erase_marks(staging, end);
    }
}
