// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_copy.h"

#include "port/sr_in_place.h"
#include "port/sr_yield.h"

#include "sdkconfig.h"

#include <string.h>

static void yield(const sr_copy_t *copy, uint32_t bytes)
{
    if (copy->yield != NULL && !copy->in_place) {
        copy->yield(bytes);
    }
}

static bool is_boot_path(const sr_copy_t *copy, sr_region_t region)
{
    for (unsigned i = 0; i < SR_BOOT_PATH_BUFFER_GROUPS; i++) {
        if (sr_region_overlaps(copy->last[i], region)) {
            return true;
        }
    }
    return false;
}

/* Fetches what a sector of the destination must hold: image bytes as far as there are any, then blank. */
static esp_err_t load_sector(const sr_copy_t *copy, uint32_t address, uint8_t *data, sr_writer_sector_t *sector)
{
    const uint32_t offset = address - copy->destination.address;
    const uint32_t left = offset < copy->length ? copy->length - offset : 0;
    const uint32_t used = left < SR_SECTOR_SIZE ? left : SR_SECTOR_SIZE;

    *sector = (sr_writer_sector_t){.address = address, .used = used, .data = data};
    memset(data + used, 0xFF, SR_SECTOR_SIZE - used);
    esp_err_t err;
    do {
        err = used > 0 ? sr_flash_read(&copy->flash, copy->source + offset, data, used) : ESP_OK;
        /* In place the copy cannot start again: an overlapping source has partly moved by now. */
    } while (err != ESP_OK && copy->in_place);
    return err;
}

static sr_writer_t make_writer(const sr_copy_t *copy, uint32_t attempts)
{
    return (sr_writer_t){.flash = &copy->flash, .readback = copy->workspace->readback, .attempts = attempts};
}

/* What is half overwritten does not start any more: there is nothing to go back to. */
static uint32_t attempts_of(const sr_copy_t *copy, uint32_t attempts)
{
    return copy->in_place ? UINT32_MAX : attempts;
}

/* The part of one region of the boot path that the destination covers. */
static sr_region_t covered(const sr_copy_t *copy, sr_region_t region)
{
    const uint64_t region_end = (uint64_t)region.address + region.size;
    const uint64_t end = (uint64_t)copy->destination.address + copy->destination.size;
    if (!sr_region_overlaps(region, copy->destination)) {
        return (sr_region_t){0};
    }
    const uint32_t start = region.address > copy->destination.address ? region.address : copy->destination.address;
    return (sr_region_t){start, (uint32_t)((region_end < end ? region_end : end) - start)};
}

static uint32_t count_covered(const sr_copy_t *copy)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < SR_BOOT_PATH_BUFFER_GROUPS; i++) {
        count += covered(copy, copy->last[i]).size / SR_SECTOR_SIZE;
    }
    return count;
}

/* The bootloader's first sector is written with any of the others, because its magic byte is cleared meanwhile. */
static bool is_always_held(const sr_copy_t *copy, sr_boot_path_buffer_group_t group, uint32_t address)
{
    return copy->guarded && group == SR_BOOT_PATH_BUFFER_BOOTLOADER && address == copy->last[group].address;
}

/* Keeps one sector of the boot path in RAM, if it must change. */
static esp_err_t hold_sector(sr_copy_t *copy, sr_boot_path_buffer_group_t group, uint32_t address)
{
    sr_writer_t writer = make_writer(copy, 1);
    sr_writer_sector_t sector;
    sr_writer_comparison_t comparison = {0};
    esp_err_t err = load_sector(copy, address, copy->workspace->data, &sector);
    if (err == ESP_OK) {
        err = sr_writer_compare(&writer, &sector, &comparison);
    }
    const bool held = !comparison.right || is_always_held(copy, group, address);
    return err == ESP_OK && held ? sr_boot_path_buffer_add(&copy->buffer, group, &sector) : err;
}

static esp_err_t hold_region(sr_copy_t *copy, sr_boot_path_buffer_group_t group)
{
    const sr_region_t region = covered(copy, copy->last[group]);
    for (uint32_t offset = 0; offset < region.size; offset += SR_SECTOR_SIZE) {
        const esp_err_t err = hold_sector(copy, group, region.address + offset);
        if (err != ESP_OK) {
            return err;
        }
    }
    return ESP_OK;
}

esp_err_t sr_copy_prepare(sr_copy_t *copy)
{
    esp_err_t err = sr_boot_path_buffer_open(&copy->buffer, count_covered(copy));
    copy->buffer.owned = copy->destination;
    copy->buffer.guarded = copy->guarded;
    for (unsigned i = 0; i < SR_BOOT_PATH_BUFFER_GROUPS && err == ESP_OK; i++) {
        err = hold_region(copy, (sr_boot_path_buffer_group_t)i);
    }
    return err;
}

esp_err_t sr_copy_changes(const sr_copy_t *copy, sr_region_t region, bool *changes)
{
    const sr_region_t part = covered(copy, region);
    sr_writer_t writer = make_writer(copy, 1);
    *changes = false;
    for (uint32_t offset = 0; offset < part.size && !*changes; offset += SR_SECTOR_SIZE) {
        sr_writer_sector_t sector;
        sr_writer_comparison_t comparison = {0};
        yield(copy, 2u * SR_SECTOR_SIZE);
        esp_err_t err = load_sector(copy, part.address + offset, copy->workspace->data, &sector);
        if (err == ESP_OK) {
            err = sr_writer_compare(&writer, &sector, &comparison);
        }
        if (err != ESP_OK) {
            return err;
        }
        *changes = !comparison.right;
    }
    return ESP_OK;
}

uint32_t sr_copy_boot_path_sectors(const sr_copy_t *copy)
{
    return copy->buffer.count;
}

void sr_copy_release(sr_copy_t *copy)
{
    sr_boot_path_buffer_close(&copy->buffer);
}

static esp_err_t put_sector(sr_copy_t *copy, sr_writer_t *writer, uint32_t address)
{
    sr_writer_sector_t sector;
    esp_err_t err = ESP_FAIL;
    /* Half-way through an overlapping copy it cannot start again: what has moved is no longer at its source. */
    for (uint32_t attempt = 0; attempt < writer->attempts && err != ESP_OK; attempt++) {
        err = load_sector(copy, address, copy->workspace->data, &sector);
    }
    writer->failed_address = address;
    return err == ESP_OK ? sr_writer_put(writer, &sector) : err;
}

/* Going away from the source means going up if the destination lies below it, and down if it lies above: then a
 * sector is overwritten only after its bytes have moved. */
static bool goes_down(const sr_copy_t *copy)
{
    return copy->destination.address > copy->source;
}

/* A block erase destroys up to 64 KiB ahead of what has been copied. */
static bool source_survives_block(const sr_copy_t *copy, sr_region_t block)
{
    const uint32_t a = copy->source;
    const uint32_t b = copy->destination.address;
    const uint32_t distance = a > b ? a - b : b - a;
    return distance >= SR_BLOCK_SIZE || !sr_region_overlaps(block, (sr_region_t){copy->source, copy->length});
}

/* Decides whether one erase of the whole block is cheaper, and loses nothing that is right already. If that cannot be
 * read, it is left to the sectors, one by one. */
static bool worth_block_erase(sr_copy_t *copy, sr_writer_t *writer, uint32_t block)
{
    uint32_t dirty = 0;
    for (uint32_t i = 0; i < SR_SECTORS_PER_BLOCK; i++) {
        sr_writer_sector_t sector;
        sr_writer_comparison_t comparison = {0};
        if (load_sector(copy, block + i * SR_SECTOR_SIZE, copy->workspace->data, &sector) != ESP_OK ||
            sr_writer_compare(writer, &sector, &comparison) != ESP_OK || (comparison.right && !comparison.blank)) {
            return false;
        }
        dirty += !comparison.blank;
    }
    return dirty >= SR_WRITER_WORTH_A_BLOCK;
}

static esp_err_t erase_block_if_worth(sr_copy_t *copy, sr_writer_t *writer, uint32_t address)
{
    const sr_region_t block = {address, SR_BLOCK_SIZE};
    if (copy->program_only || !sr_region_contains(copy->destination, block) || is_boot_path(copy, block) ||
        !source_survives_block(copy, block) || !worth_block_erase(copy, writer, address)) {
        return ESP_OK;
    }
    return sr_writer_erase_block(writer, address);
}

static void report(const sr_copy_t *copy, uint32_t done)
{
    if (copy->progress != NULL && !copy->in_place) {
        copy->progress(copy->progress_context, done, copy->destination.size);
    }
}

/* The piece of the destination that lies in one 64 KiB block, sector by sector. */
static esp_err_t put_piece(sr_copy_t *copy, sr_writer_t *writer, uint32_t start, uint32_t end)
{
    const uint32_t count = (end - start) / SR_SECTOR_SIZE;
    yield(copy, SR_YIELD_BYTES); /* The erase of a block takes up to 2 s. */
    esp_err_t err = erase_block_if_worth(copy, writer, start & ~(SR_BLOCK_SIZE - 1u));
    for (uint32_t i = 0; i < count && err == ESP_OK; i++) {
        const uint32_t index = goes_down(copy) ? count - 1 - i : i;
        const uint32_t address = start + index * SR_SECTOR_SIZE;
        if (!is_boot_path(copy, (sr_region_t){address, SR_SECTOR_SIZE})) {
            yield(copy, SR_YIELD_WRITE);
            err = put_sector(copy, writer, address);
        }
    }
    return err;
}

static uint32_t lower(uint32_t a, uint64_t b)
{
    return a < b ? a : (uint32_t)b;
}

/* All that is not boot path, in pieces that end at the boundaries of 64 KiB blocks. */
static esp_err_t put_body(sr_copy_t *copy, sr_writer_t *writer)
{
    const uint32_t begin = copy->destination.address;
    const uint32_t end = begin + copy->destination.size;
    uint32_t done = 0;
    while (done < copy->destination.size) {
        uint32_t start;
        uint32_t stop;
        if (goes_down(copy)) {
            stop = end - done;
            const uint32_t block = (stop - 1u) & ~(SR_BLOCK_SIZE - 1u);
            start = block > begin ? block : begin;
        } else {
            start = begin + done;
            stop = lower(end, ((uint64_t)start & ~(uint64_t)(SR_BLOCK_SIZE - 1u)) + SR_BLOCK_SIZE);
        }
        const esp_err_t err = put_piece(copy, writer, start, stop);
        if (err != ESP_OK) {
            return err;
        }
        done += stop - start;
        report(copy, done);
    }
    return ESP_OK;
}

esp_err_t sr_copy_execute(sr_copy_t *copy)
{
    sr_writer_t body = make_writer(copy, attempts_of(copy, SR_WRITER_ATTEMPTS));
    body.program_only = copy->program_only;
    sr_writer_t boot_path = make_writer(copy, attempts_of(copy, SR_BOOT_PATH_BUFFER_ATTEMPTS));

    esp_err_t err = put_body(copy, &body);
    copy->failed_address = body.failed_address;
    if (err == ESP_OK) {
        yield(copy, SR_YIELD_BYTES);
        err = sr_boot_path_buffer_put(&copy->buffer, &boot_path);
        copy->failed_address = boot_path.failed_address;
    }
    return err;
}

#if CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
/* The first sector, which holds the mark, goes last. By now the chip boots: no reason to try for ever. */
static void clear_leftover(sr_copy_t *copy)
{
    sr_writer_t writer = make_writer(copy, SR_WRITER_ATTEMPTS);
    if (copy->leftover.size > 0) {
        const uint32_t sectors = copy->leftover.size / SR_SECTOR_SIZE;
        (void)sr_writer_clear(&writer, copy->leftover.address + SR_SECTOR_SIZE, sectors - 1, copy->workspace->data);
        (void)sr_writer_clear(&writer, copy->leftover.address, 1, copy->workspace->data);
    }
}

esp_err_t sr_copy_execute_in_place(sr_copy_t *copy)
{
    const esp_err_t err = sr_in_place_enter();
    if (err != ESP_OK) {
        return err;
    }
    copy->in_place = true;
    copy->flash.feed = NULL;
    (void)sr_copy_execute(copy); /* Each of its steps is tried until it succeeds: there is nothing to return to. */
    clear_leftover(copy);
    sr_in_place_restart();
}
#else
esp_err_t sr_copy_execute_in_place(sr_copy_t *copy)
{
    (void)copy;
    return sr_in_place_enter(); /* Says that it is not supported. */
}
#endif
