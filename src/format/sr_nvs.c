// SPDX-License-Identifier: Apache-2.0
#include "format/sr_nvs.h"

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"

#define PIECE_SIZE 256u

#define AT_VERSION 8u

/** Versions count down; what they have in common is all that counts here. */
#define VERSION_1 0xFFu
#define VERSION_2 0xFEu

/** An entry that begins an item: its CRC is over all other bytes. */
#define AT_CRC  4u
#define AT_REST 8u

static int read(const sr_reader_t *flash, uint32_t address, uint8_t *out, size_t length)
{
    return flash->read(flash->context, address, out, length);
}

static int is_blank(const sr_reader_t *flash, uint32_t page, bool *blank)
{
    uint8_t piece[PIECE_SIZE];
    int error = 0;
    *blank = true;
    for (uint32_t at = 0; at < SR_SECTOR_SIZE && error == 0 && *blank; at += PIECE_SIZE) {
        error = read(flash, page + at, piece, PIECE_SIZE);
        for (uint32_t i = 0; i < PIECE_SIZE && error == 0 && *blank; i++) {
            *blank = piece[i] == 0xFF;
        }
    }
    return error;
}

static bool begins_an_item(const uint8_t entry[SR_NVS_ENTRY_SIZE])
{
    const uint32_t crc = sr_crc32(UINT32_MAX, entry, AT_CRC);
    return sr_crc32(crc, entry + AT_REST, SR_NVS_ENTRY_SIZE - AT_REST) == sr_bytes_get_le32(entry + AT_CRC);
}

/* Nothing in a page says that it is encrypted. But it is not if one of its entries can be read, and if it has none,
 * nothing depends on its place. */
static int is_bound(const sr_reader_t *flash, uint32_t page, bool *bound)
{
    uint8_t head[SR_NVS_AT_ENTRIES] = {0};
    uint8_t entry[SR_NVS_ENTRY_SIZE];
    bool written = false;
    bool plain = false;
    int error = read(flash, page, head, sizeof(head));
    for (uint32_t i = 0; i < SR_NVS_ENTRIES && error == 0 && !plain; i++) {
        if (sr_nvs_is_written(head, i)) {
            written = true;
            error = read(flash, page + SR_NVS_AT_ENTRIES + i * SR_NVS_ENTRY_SIZE, entry, sizeof(entry));
            plain = error == 0 && begins_an_item(entry);
        }
    }
    const bool known = head[AT_VERSION] == VERSION_1 || head[AT_VERSION] == VERSION_2;
    *bound = !known || (written && !plain);
    return error;
}

/* Appends a page to the run that it goes on with, or begins another. */
static void add_page(sr_moves_t *moves, uint32_t first, uint32_t page, uint32_t destination)
{
    struct sr_move *last = moves->count > first ? &moves->list[moves->count - 1] : NULL;
    if (last != NULL && last->source.address + last->source.size == page) {
        last->source.size += SR_SECTOR_SIZE;
        last->destination.size += SR_SECTOR_SIZE;
    } else {
        moves->list[moves->count++] = (struct sr_move){
            .source = {page, SR_SECTOR_SIZE}, .destination = {destination, SR_SECTOR_SIZE}, .is_copied = true};
    }
}

/** Where the next page goes. */
typedef struct closing {
    const sr_reader_t *flash;
    sr_region_t source, destination;
    uint32_t first; /**< Of the moves that are added. */
    bool is_bound;
} closing_t;

static int take_page(closing_t *closing, uint32_t offset, sr_moves_t *moves, sr_nvs_pages_t *pages)
{
    const uint32_t page = closing->source.address + offset;
    const uint32_t to = pages->used * SR_SECTOR_SIZE;
    bool blank;
    bool bound = false;
    int error = is_blank(closing->flash, page, &blank);
    if (error != 0 || blank) {
        return error;
    }
    pages->used++;
    if (to != offset && !closing->is_bound) {
        error = is_bound(closing->flash, page, &bound);
    }
    if (bound) {
        closing->is_bound = true;
        pages->bound = page;
    }
    if (to + SR_SECTOR_SIZE < closing->destination.size) { /* The last one is for what is blank. */
        add_page(moves, closing->first, page, closing->destination.address + to);
    }
    return error;
}

sr_nvs_status_t sr_nvs_close_up(const sr_reader_t *flash, sr_region_t source, sr_region_t destination,
                                sr_moves_t *moves, sr_nvs_pages_t *pages)
{
    closing_t closing = {.flash = flash, .source = source, .destination = destination, .first = moves->count};
    *pages = (sr_nvs_pages_t){0};
    for (uint32_t offset = 0; offset < source.size; offset += SR_SECTOR_SIZE) {
        if (take_page(&closing, offset, moves, pages) != 0) {
            return SR_NVS_READ_FAILED;
        }
    }
    pages->needed = pages->used + 1 > SR_NVS_MIN_PAGES ? pages->used + 1 : SR_NVS_MIN_PAGES;
    if (pages->needed > destination.size / SR_SECTOR_SIZE) {
        return SR_NVS_TOO_MANY_PAGES;
    }
    const uint32_t taken = pages->used * SR_SECTOR_SIZE;
    moves->list[moves->count++] =
        (struct sr_move){.destination = {destination.address + taken, destination.size - taken}};
    return closing.is_bound ? SR_NVS_BOUND_TO_ITS_PLACE : SR_NVS_FITS;
}
