// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/moves.h"

#include "format/sr_nvs.h"
#include "format/sr_reader.h"

#include "sim/nor/flash_buffer.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/content_kind.h"
#include "tool/base/number.h"
#include "tool/pack/flash_layout.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int moves_read_table(const image_file_t *file, sr_partition_table_t *table)
{
    const uint32_t places[] = {0, chip_find_table(file->bytes, file->size)};
    size_t i = 0;
    while (!content_kind_has_table(file->bytes, file->size, places[i])) {
        if (++i == sizeof(places) / sizeof(places[0])) {
            return complain(STATUS_BAD_INPUT, "%s: no partition table at 0x%x", file->path, SR_PARTITION_TABLE_OFFSET);
        }
    }
    uint8_t raw[SR_PARTITION_TABLE_SIZE];
    const uint32_t rest = file->size - places[i];
    memset(raw, 0xFF, sizeof(raw)); // a table may be stored without the blank bytes after it
    memcpy(raw, file->bytes + places[i], rest < sizeof(raw) ? rest : sizeof(raw));
    const sr_reader_t reader = sr_reader_memory(raw, sizeof(raw));
    const sr_partition_table_status_t status = sr_partition_table_parse(&reader, 0, table);
    return status == SR_PARTITION_TABLE_OK ? STATUS_OK
                                           : complain(STATUS_BAD_INPUT, "%s: partition table at 0x%" PRIx32 ": %s",
                                                      file->path, places[i], sr_partition_table_status_text(status));
}

int moves_find_source(const sr_bundle_move_t *move, const sr_partition_table_t *table, const char *path,
                      sr_region_t *source)
{
    char size[NUMBER_TEXT_SIZE];
    char room[NUMBER_TEXT_SIZE];
    *source = move->source;
    if (move->label[0] == '\0') {
        return STATUS_OK; // the bundle's own rules suffice
    }
    const sr_partition_table_entry_t *partition = sr_partition_table_find_label(table, move->label);
    if (partition == NULL) {
        char names[TABLE_LABELS_SIZE];
        return complain(STATUS_NO, "%s: no partition '%s', which moves to 0x%06" PRIx32 " (%s)", path, move->label,
                        move->destination.address, table_labels(table, names));
    }
    if (!sr_region_is_aligned(partition->address, SR_SECTOR_SIZE)) {
        return complain(STATUS_NO, "%s: partition '%s' at 0x%" PRIx32 " is not aligned, and cannot move", path,
                        move->label, partition->address);
    }
    *source = (sr_region_t){partition->address, (uint32_t)sr_region_align_up(partition->size, SR_SECTOR_SIZE)};
    const bool is_nvs = partition->type == SR_PARTITION_TYPE_DATA && partition->subtype == SR_PARTITION_DATA_NVS;
    if (moves_closes_up(move, *source) && !is_nvs) {
        return complain(
            STATUS_NO,
            "%s: %s do not fit the %s of its new place; only NVS can get smaller: keep the size of this, or "
            "save what it holds and leave the move out",
            move->label, number_size(source->size, size), number_size(move->destination.size, room));
    }
    return STATUS_OK;
}

bool moves_closes_up(const sr_bundle_move_t *move, sr_region_t source)
{
    return source.size > move->destination.size;
}

static int complain_of_pages(const sr_bundle_move_t *move, const sr_nvs_pages_t *pages)
{
    char size[NUMBER_TEXT_SIZE];
    const uint32_t room = move->destination.size / SR_SECTOR_SIZE;
    const char *reason = pages->used < SR_NVS_MIN_PAGES ? "NVS wants 3 at least" : "one has to stay free";
    return complain(STATUS_NO,
                    "%s: uses %" PRIu32 " pages of 4 KiB, its new place at 0x%06" PRIx32 " has %" PRIu32
                    ", and %s: %" PRIu32 " missing; give it %s in the new table",
                    move->label, pages->used, move->destination.address, room, reason, pages->needed - room,
                    number_size(pages->needed * SR_SECTOR_SIZE, size));
}

static int complain_of_place(const sr_bundle_move_t *move, sr_region_t source, uint32_t page)
{
    char size[NUMBER_TEXT_SIZE];
    return complain(
        STATUS_NO,
        "%s: moves to a smaller place, where its page at 0x%06" PRIx32
        " would lie at another offset, and that may be encrypted for this one: give it %s in the new table, "
        "as it has today",
        move->label, page, number_size(source.size, size));
}

/** Copies the pages. */
static void copy_runs(const image_file_t *before, const sr_moves_t *runs, uint8_t *after)
{
    for (uint32_t i = 0; i < runs->count; i++) {
        const struct sr_move *run = &runs->list[i];
        memset(after + run->destination.address, 0xFF, run->destination.size);
        memcpy(after + run->destination.address, before->bytes + run->source.address, run->source.size);
    }
}

static int close_up(const image_file_t *before, const sr_bundle_move_t *move, sr_region_t source, uint8_t *after,
                    uint32_t *used)
{
    sr_nvs_pages_t pages;
    sr_moves_t runs = {.list = calloc(sr_nvs_max_moves(move->destination), sizeof(struct sr_move))};
    if (runs.list == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", before->path);
    }
    const sr_reader_t reader = sr_reader_memory(before->bytes, before->size);
    int status = STATUS_OK;
    switch (sr_nvs_close_up(&reader, source, move->destination, &runs, &pages)) {
    case SR_NVS_TOO_MANY_PAGES:
        status = complain_of_pages(move, &pages);
        break;
    case SR_NVS_BOUND_TO_ITS_PLACE:
        status = complain_of_place(move, source, pages.bound);
        break;
    default:
        break; // memory can be read
    }
    *used = pages.used;
    if (status == STATUS_OK && after != NULL) {
        copy_runs(before, &runs, after);
    }
    free(runs.list);
    return status;
}

int moves_count_pages(const image_file_t *flash, const sr_bundle_move_t *move, sr_region_t source, uint32_t *used)
{
    return close_up(flash, move, source, NULL, used);
}

/** As much of a region as there is: a bundle may have its table anywhere, and then nothing limits the bootloader. */
static sr_region_t clip(sr_region_t region, uint32_t size)
{
    const uint32_t room = region.address < size ? size - region.address : 0;
    return (sr_region_t){region.address, region.size < room ? region.size : room};
}

void moves_find_boot_path(const image_file_t *flash, const sr_chip_t *chip, uint32_t table_offset, sr_boot_path_t *path)
{
    const bool table = table_offset != SR_BUNDLE_NO_TABLE;
    const sr_reader_t reader = sr_reader_memory(flash->bytes, flash->size);
    const sr_region_t none = {0};
    // without a table there is nothing that a bootloader must end before
    sr_boot_path_find(&reader, chip, table ? table_offset : flash->size, none, none, path);
    path->bootloader = clip(path->bootloader, flash->size);
    path->table = table ? clip(path->table, flash->size) : none;
}

/** True if the migration changes one of these sectors. Only those in the bundle's regions can differ. */
static bool differ(const image_file_t *before, const image_file_t *after, sr_region_t region)
{
    return memcmp(before->bytes + region.address, after->bytes + region.address, region.size) != 0;
}

static int find_moves(const bundle_file_t *bundle, const image_file_t *before, const image_file_t *after,
                      moves_t *moves)
{
    const sr_bundle_t *manifest = &bundle->bundle;
    const sr_chip_t *chip = sr_chip_by_id(manifest->chip_id);
    if (chip == NULL) {
        return complain(STATUS_NO, "%s: has moves, and is for an unknown chip", bundle->file.path);
    }
    sr_boot_path_t path;
    moves_find_boot_path(after, chip, manifest->partition_table_offset, &path);
    moves->pending = differ(before, after, path.bootloader) || differ(before, after, path.table);
    if (!moves->pending) {
        return STATUS_OK;
    }
    sr_partition_table_t table;
    int status = moves_read_table(before, &table);
    for (uint32_t i = 0; i < manifest->move_count && status == STATUS_OK; i++) {
        const sr_bundle_move_t move = sr_bundle_move(manifest, i);
        status = moves_find_source(&move, &table, before->path, &moves->sources[i]);
        if (status == STATUS_OK && !sr_region_fits(moves->sources[i], before->size)) {
            status = complain(STATUS_NO, "%s: ends before what moves to 0x%06" PRIx32, before->path,
                              move.destination.address);
        }
        if (status == STATUS_OK && moves_closes_up(&move, moves->sources[i])) {
            status = moves_count_pages(before, &move, moves->sources[i], &moves->pages[i]);
        }
    }
    return status;
}

static int make_moves(const sr_bundle_t *bundle, moves_t *moves, const image_file_t *before, image_file_t *after)
{
    int status = STATUS_OK;
    for (uint32_t i = 0; i < bundle->move_count && moves->pending && status == STATUS_OK; i++) {
        const sr_bundle_move_t move = sr_bundle_move(bundle, i);
        const sr_region_t source = moves->sources[i];
        if (moves_closes_up(&move, source)) {
            status = close_up(before, &move, source, after->bytes, &moves->pages[i]);
        } else {
            memset(after->bytes + move.destination.address, 0xFF, move.destination.size);
            memcpy(after->bytes + move.destination.address, before->bytes + source.address, source.size);
        }
    }
    return status;
}

int moves_apply(const bundle_file_t *bundle, const image_file_t *before, image_file_t *after, moves_t *moves)
{
    *moves = (moves_t){0};
    *after = (image_file_t){.path = before->path, .bytes = flash_memory_new(before->size), .size = before->size};
    if (after->bytes == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", before->path);
    }
    memcpy(after->bytes, before->bytes, before->size);
    int status = bundle_file_apply(bundle, after->bytes);
    if (status == STATUS_OK && bundle->bundle.move_count != 0) {
        status = find_moves(bundle, before, after, moves);
    }
    if (status == STATUS_OK) {
        status = make_moves(&bundle->bundle, moves, before, after);
    }
    return status;
}
