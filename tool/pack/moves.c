// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/moves.h"

#include "format/sr_reader.h"

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
    if (source->size > move->destination.size) {
        return complain(STATUS_NO, "%s: %s do not fit the %s of its new place", move->label,
                        number_size(source->size, size), number_size(move->destination.size, room));
    }
    return STATUS_OK;
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
    }
    return status;
}

static void make_moves(const sr_bundle_t *bundle, const moves_t *moves, const image_file_t *before, image_file_t *after)
{
    for (uint32_t i = 0; i < bundle->move_count && moves->pending; i++) {
        const sr_region_t source = moves->sources[i];
        const sr_region_t destination = sr_bundle_move(bundle, i).destination;
        memset(after->bytes + destination.address, 0xFF, destination.size);
        memcpy(after->bytes + destination.address, before->bytes + source.address, source.size);
    }
}

int moves_apply(const bundle_file_t *bundle, const image_file_t *before, image_file_t *after, moves_t *moves)
{
    *moves = (moves_t){0};
    *after = (image_file_t){.path = before->path, .bytes = malloc(before->size), .size = before->size};
    if (after->bytes == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", before->path);
    }
    memcpy(after->bytes, before->bytes, before->size);
    int status = bundle_file_apply(bundle, after->bytes);
    if (status == STATUS_OK && bundle->bundle.move_count != 0) {
        status = find_moves(bundle, before, after, moves);
    }
    if (status == STATUS_OK) {
        make_moves(&bundle->bundle, moves, before, after);
    }
    return status;
}
