// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_writer.h"

#include "port/sr_yield.h"

#include <string.h>

#ifndef ESP_ERR_NOT_ALLOWED
#define ESP_ERR_NOT_ALLOWED 0x10D /* ESP-IDF 5.1.0 has no name for it. */
#endif

/* These loops do not end early: without a branch for each byte a compiler does many bytes at once. */
static bool all_blank(const uint8_t *data, uint32_t length)
{
    uint8_t common = 0xFF;
    for (uint32_t i = 0; i < length; i++) {
        common &= data[i];
    }
    return common == 0xFF;
}

/* A library's memcmp() may lie in flash, in the app that is being overwritten: ESP-IDF 5.5 has an option that puts it
 * there. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, uint32_t length)
{
    uint8_t differing = 0;
    for (uint32_t i = 0; i < length; i++) {
        differing |= a[i] ^ b[i];
    }
    return differing == 0;
}

static bool only_clears(const uint8_t *now, const uint8_t *wanted, uint32_t length)
{
    uint8_t set = 0;
    for (uint32_t i = 0; i < length; i++) {
        set |= wanted[i] & (uint8_t)~now[i];
    }
    return set == 0;
}

/* Where flash is encrypted, an erased cell does not read as 0xFF: image bytes compare as plaintext, up to the next
 * encryption unit, and only what lies past them must be erased. */
static uint32_t programmed_length(const sr_writer_t *writer, const sr_writer_sector_t *sector)
{
    if (!sr_flash_encrypts(writer->flash, sector->address)) {
        return SR_SECTOR_SIZE;
    }
    return (uint32_t)sr_region_align_up(sector->used, SR_FLASH_ENCRYPTION_UNIT);
}

/* Compares the plaintext of one piece with the part of the sector that comes from an image. */
static esp_err_t piece_is_right(sr_writer_t *writer, const sr_writer_sector_t *sector, uint32_t offset,
                                uint32_t programmed, bool *right)
{
    const uint32_t length =
        programmed - offset < SR_WRITER_READBACK_SIZE ? programmed - offset : SR_WRITER_READBACK_SIZE;
    const esp_err_t err = sr_flash_read(writer->flash, sector->address + offset, writer->readback, length);
    *right = err == ESP_OK && same_bytes(writer->readback, sector->data + offset, length);
    return err;
}

esp_err_t sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector, sr_writer_comparison_t *comparison)
{
    const bool encrypted = sr_flash_encrypts(writer->flash, sector->address);
    const uint32_t programmed = programmed_length(writer, sector);
    *comparison = (sr_writer_comparison_t){.right = true, .blank = true, .fits = !encrypted};

    for (uint32_t offset = 0; offset < SR_SECTOR_SIZE && (comparison->right || comparison->blank || comparison->fits);
         offset += SR_WRITER_READBACK_SIZE) {
        const uint32_t address = sector->address + offset;
        esp_err_t err = sr_flash_read_raw(writer->flash, address, writer->readback, SR_WRITER_READBACK_SIZE);
        if (err != ESP_OK) {
            writer->failed_address = sector->address;
            return err;
        }
        comparison->blank = comparison->blank && all_blank(writer->readback, SR_WRITER_READBACK_SIZE);
        comparison->fits =
            comparison->fits && only_clears(writer->readback, sector->data + offset, SR_WRITER_READBACK_SIZE);
        if (!encrypted) {
            comparison->right =
                comparison->right && same_bytes(writer->readback, sector->data + offset, SR_WRITER_READBACK_SIZE);
            continue;
        }
        const uint32_t image_here = programmed > offset ? programmed - offset : 0;
        if (image_here < SR_WRITER_READBACK_SIZE) {
            comparison->right =
                comparison->right && all_blank(writer->readback + image_here, SR_WRITER_READBACK_SIZE - image_here);
        }
        if (image_here > 0 && comparison->right) {
            err = piece_is_right(writer, sector, offset, programmed, &comparison->right);
            if (err != ESP_OK) {
                writer->failed_address = sector->address;
                return err;
            }
        }
    }
    return ESP_OK;
}

esp_err_t sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank)
{
    *blank = true;
    for (uint32_t offset = 0; offset < SR_SECTOR_SIZE && *blank; offset += SR_WRITER_READBACK_SIZE) {
        const esp_err_t err =
            sr_flash_read_raw(writer->flash, address + offset, writer->readback, SR_WRITER_READBACK_SIZE);
        if (err != ESP_OK) {
            writer->failed_address = address;
            return err;
        }
        *blank = all_blank(writer->readback, SR_WRITER_READBACK_SIZE);
    }
    return ESP_OK;
}

esp_err_t sr_writer_count_dirty(sr_writer_t *writer, uint32_t address, uint32_t sectors, uint32_t *dirty)
{
    *dirty = 0;
    for (uint32_t i = 0; i < sectors; i++) {
        bool blank;
        const esp_err_t err = sr_writer_is_blank(writer, address + i * SR_SECTOR_SIZE, &blank);
        if (err != ESP_OK) {
            return err;
        }
        *dirty += !blank;
    }
    return ESP_OK;
}

esp_err_t sr_writer_erase_block(sr_writer_t *writer, uint32_t address)
{
    esp_err_t err = ESP_FAIL;
    for (uint32_t attempt = 0; attempt < writer->attempts && err != ESP_OK; attempt++) {
        err = sr_flash_erase(writer->flash, address, SR_BLOCK_SIZE);
    }
    writer->failed_address = address;
    return err;
}

/* Programs from the highest page down, in runs of pages that are not blank. An encrypted page is never skipped: its
 * 0xFF bytes are data too, since erased cells decrypt to something else. */
static esp_err_t program(sr_writer_t *writer, const sr_writer_sector_t *sector)
{
    const bool encrypted = sr_flash_encrypts(writer->flash, sector->address);
    const uint32_t length = programmed_length(writer, sector);
    uint32_t end = (uint32_t)sr_region_align_up(length, SR_PAGE_SIZE);

    while (end > 0) {
        const uint32_t start = end - SR_PAGE_SIZE;
        if (encrypted || !all_blank(sector->data + start, SR_PAGE_SIZE)) {
            const uint32_t stop = end < length ? end : length;
            const esp_err_t err =
                sr_flash_write(writer->flash, sector->address + start, sector->data + start, stop - start);
            if (err != ESP_OK) {
                return err;
            }
        }
        end = start;
    }
    return ESP_OK;
}

/* One attempt, which may find that there is nothing to do. */
static esp_err_t put_once(sr_writer_t *writer, const sr_writer_sector_t *sector, bool *done)
{
    sr_writer_comparison_t comparison;
    esp_err_t err = sr_writer_compare(writer, sector, &comparison);
    *done = err == ESP_OK && comparison.right;
    if (err != ESP_OK || comparison.right) {
        return err;
    }
    if (!comparison.blank && !(writer->program_only && comparison.fits)) {
        err = sr_flash_erase(writer->flash, sector->address, SR_SECTOR_SIZE);
    }
    if (err == ESP_OK) {
        err = program(writer, sector);
    }
    return err;
}

esp_err_t sr_writer_put(sr_writer_t *writer, const sr_writer_sector_t *sector)
{
    esp_err_t err = ESP_OK;
    bool done = false;
    for (uint32_t attempt = 0; attempt < writer->attempts && !done; attempt++) {
        err = put_once(writer, sector, &done);
    }
    /* Only a comparison can tell whether the last attempt succeeded. */
    if (!done && err == ESP_OK) {
        sr_writer_comparison_t comparison;
        err = sr_writer_compare(writer, sector, &comparison);
        if (err == ESP_OK && !comparison.right) {
            err = ESP_ERR_SELF_REFLASHER_VERIFY;
        }
    }
    writer->failed_address = sector->address;
    return err;
}

/* True if a whole block lies ahead and enough of it is not blank. */
static esp_err_t worth_a_block(sr_writer_t *writer, uint32_t address, uint32_t sectors, bool *worth)
{
    uint32_t dirty = 0;
    *worth = false;
    if (!sr_region_is_aligned(address, SR_BLOCK_SIZE) || sectors < SR_SECTORS_PER_BLOCK) {
        return ESP_OK;
    }
    const esp_err_t err = sr_writer_count_dirty(writer, address, SR_SECTORS_PER_BLOCK, &dirty);
    *worth = err == ESP_OK && dirty >= SR_WRITER_WORTH_A_BLOCK;
    return err;
}

esp_err_t sr_writer_clear(sr_writer_t *writer, uint32_t address, uint32_t sectors, uint8_t *scratch)
{
    esp_err_t err = ESP_OK;
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    for (uint32_t i = 0; i < sectors && err == ESP_OK; i++) {
        const sr_writer_sector_t sector = {.address = address + i * SR_SECTOR_SIZE, .used = 0, .data = scratch};
        bool worth = false;
        err = worth_a_block(writer, sector.address, sectors - i, &worth);
        if (writer->yield != NULL) { /* The erase of a block takes up to 2 s. */
            writer->yield(worth ? SR_YIELD_BYTES : SR_YIELD_WRITE);
        }
        if (err == ESP_OK && worth) {
            err = sr_writer_erase_block(writer, sector.address);
        }
        if (err == ESP_OK) {
            err = sr_writer_put(writer, &sector);
        }
    }
    return err;
}

/* Erases those sectors that hold something wrong. Errors are left to the programming pass, which compares again; but
 * where the driver does not allow the first erase, all of them are as they were, and are left so. */
static esp_err_t erase_group(sr_writer_t *writer, const sr_writer_sector_t *sectors, uint32_t count)
{
    bool begun = false;
    for (uint32_t i = 0; i < count; i++) {
        sr_writer_comparison_t comparison;
        if (sr_writer_compare(writer, &sectors[i], &comparison) == ESP_OK && !comparison.right && !comparison.blank) {
            const esp_err_t err = sr_flash_erase(writer->flash, sectors[i].address, SR_SECTOR_SIZE);
            if (err == ESP_ERR_NOT_ALLOWED && !begun) {
                writer->failed_address = sectors[i].address;
                return err;
            }
            begun = true;
        }
    }
    return ESP_OK;
}

esp_err_t sr_writer_put_group(sr_writer_t *writer, const sr_writer_sector_t *sectors, uint32_t count)
{
    esp_err_t err = erase_group(writer, sectors, count);
    for (uint32_t i = count; i > 0 && err == ESP_OK; i--) {
        err = sr_writer_put(writer, &sectors[i - 1]);
    }
    return err;
}

static esp_err_t all_right(sr_writer_t *writer, const sr_writer_sector_t *sectors, uint32_t count, bool *right)
{
    *right = true;
    for (uint32_t i = 0; i < count && *right; i++) {
        sr_writer_comparison_t comparison;
        const esp_err_t err = sr_writer_compare(writer, &sectors[i], &comparison);
        if (err != ESP_OK) {
            return err;
        }
        *right = comparison.right;
    }
    return ESP_OK;
}

/* First the magic byte alone, so that a torn state either has it or not. Then the rest of its page, so that no torn
 * erase brings a header back. An erased magic byte is none. */
static esp_err_t clear_header(sr_writer_t *writer, uint32_t address)
{
    uint8_t *page = writer->readback;
    esp_err_t err = sr_flash_read(writer->flash, address, page, 1);
    if (err != ESP_OK || page[0] == 0xFF) {
        return err;
    }
    memset(page, 0, SR_PAGE_SIZE);
    err = sr_flash_write(writer->flash, address, page, 1);
    if (err == ESP_OK) {
        err = sr_flash_read(writer->flash, address, page, 1);
    }
    if (err != ESP_OK || page[0] != 0) {
        return err != ESP_OK ? err : ESP_ERR_SELF_REFLASHER_VERIFY;
    }
    return sr_flash_write(writer->flash, address + 1, page, SR_PAGE_SIZE - 1);
}

static esp_err_t put_without_magic(sr_writer_t *writer, const sr_writer_sector_t *sectors, uint32_t count)
{
    const uint8_t magic = sectors[0].data[0];
    sectors[0].data[0] = 0xFF;
    const esp_err_t err = sr_writer_put_group(writer, sectors, count);
    sectors[0].data[0] = magic;
    return err;
}

static esp_err_t put_magic(sr_writer_t *writer, const sr_writer_sector_t *first)
{
    sr_writer_comparison_t comparison = {0};
    esp_err_t err = sr_flash_write(writer->flash, first->address, first->data, 1);
    if (err == ESP_OK) {
        err = sr_writer_compare(writer, first, &comparison);
    }
    return err == ESP_OK && !comparison.right ? ESP_ERR_SELF_REFLASHER_VERIFY : err;
}

esp_err_t sr_writer_put_guarded(sr_writer_t *writer, const sr_writer_sector_t *sectors, uint32_t count)
{
    bool right = false;
    esp_err_t err = all_right(writer, sectors, count, &right);
    if (err != ESP_OK || right) {
        return err;
    }
    err = ESP_FAIL;
    for (uint32_t attempt = 0; attempt < writer->attempts && err != ESP_OK; attempt++) {
        err = clear_header(writer, sectors[0].address);
    }
    writer->failed_address = sectors[0].address;
    if (err != ESP_OK) {
        return err;
    }
    for (uint32_t attempt = 0; attempt < writer->attempts; attempt++) {
        err = put_without_magic(writer, sectors, count);
        if (err != ESP_OK) {
            return err; /* After the last attempt. */
        }
        err = put_magic(writer, &sectors[0]);
        if (err == ESP_OK) {
            return ESP_OK;
        }
        writer->failed_address = sectors[0].address;
    }
    return err;
}
