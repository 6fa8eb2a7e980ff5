// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_moves.h"

#include "preflight/sr_text.h"
#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/pack/moves.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORD_SIZE 64u

/** Reads what is in front of the '='. */
static int parse_source(const char *source, sr_bundle_move_t *move)
{
    static const sr_partition_table_t no_table; // names are looked up in the old system's table
    if (flash_region_is_range(source)) {
        return flash_region_parse(source, &no_table, &move->source);
    }
    if (source[0] == '\0' || strlen(source) > SR_BUNDLE_LABEL_SIZE) {
        return complain(STATUS_USAGE, "move from '%s': neither ADDR+SIZE nor ADDR..END, nor a partition's name",
                        source);
    }
    memcpy(move->label, source, strlen(source));
    return STATUS_OK;
}

/** Reads what is after the '='. */
static int parse_destination(const char *place, const sr_partition_table_t *table, sr_bundle_move_t *move)
{
    const sr_partition_table_entry_t *partition = sr_partition_table_find_label(table, place);
    if (partition != NULL && partition->type == SR_PARTITION_TYPE_APP) {
        return complain(STATUS_USAGE, "'%s' is an app partition: apps are packed, not moved", place);
    }
    return flash_region_parse(place, table, &move->destination);
}

static int parse_move(const char *word, const sr_partition_table_t *table, sr_bundle_move_t *move)
{
    *move = (sr_bundle_move_t){0};
    char source[WORD_SIZE];
    const char *equals = strchr(word, '=');
    const size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    if (length >= sizeof(source)) {
        return complain(STATUS_USAGE, "move '%s': LABEL, OLD=NEW or REGION=REGION expected", word);
    }
    (void)snprintf(source, sizeof(source), "%.*s", (int)length, word);
    if (equals == NULL && sr_partition_table_find_label(table, word) == NULL) {
        char names[TABLE_LABELS_SIZE];
        return complain(STATUS_USAGE, "move '%s': the table that is packed has no partition of that name (%s)", word,
                        table_labels(table, names));
    }
    const int status = parse_source(source, move);
    return status == STATUS_OK ? parse_destination(equals != NULL ? equals + 1 : word, table, move) : status;
}

/** Checks a region as a source, as far as possible without the old system. */
static int check_source(const char *word, const sr_bundle_move_t *move)
{
    char size[NUMBER_TEXT_SIZE];
    char room[NUMBER_TEXT_SIZE];
    if (move->label[0] == '\0' && move->source.address == move->destination.address) {
        return complain(STATUS_USAGE, "move '%s': both places start at 0x%06" PRIx32 ": use --keep", word,
                        move->source.address);
    }
    if (move->source.size > move->destination.size) {
        return complain(STATUS_NO,
                        "move '%s': %s do not fit the %s of its new place; only NVS that is named by its label can get "
                        "smaller",
                        word, number_size(move->source.size, size), number_size(move->destination.size, room));
    }
    return STATUS_OK;
}

/** Complains if the new system would find data where it looks for what it boots. */
static int check_against_table(sr_region_t place, const sr_partition_table_t *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *entry = &table->entries[i];
        const bool otadata = entry->type == SR_PARTITION_TYPE_DATA && entry->subtype == SR_PARTITION_DATA_OTA;
        if ((otadata || entry->type == SR_PARTITION_TYPE_APP) &&
            sr_region_overlaps(place, (sr_region_t){entry->address, entry->size})) {
            return complain(STATUS_NO,
                            "data moves to 0x%06" PRIx32 ", and the new system boots from '%s' at 0x%06" PRIx32,
                            place.address, entry->label, entry->address);
        }
    }
    return STATUS_OK;
}

static int check_destination(const char *word, sr_region_t place, const pack_result_t *result)
{
    const uint32_t bootloader = result->chip->bootloader_offset;
    const uint32_t table = result->table_offset;
    if (table != SR_BUNDLE_NO_TABLE &&
        sr_region_overlaps(place, (sr_region_t){bootloader, table + SR_SECTOR_SIZE - bootloader})) {
        return complain(STATUS_NO, "move '%s': bootloader and partition table are at 0x%06" PRIx32 " to 0x%06" PRIx32,
                        word, bootloader, table + SR_SECTOR_SIZE);
    }
    const int status = check_against_table(place, &result->table);
    return status == STATUS_OK && pack_result_boot_reads(result, place)
               ? complain(STATUS_NO, "move '%s': the new system boots from what is packed at 0x%06" PRIx32, word,
                          place.address)
               : status;
}

int pack_moves_add(pack_moves_t *moves, const char *word, const pack_result_t *result)
{
    sr_bundle_move_t move;
    if (moves->count == SR_BUNDLE_MAX_MOVES) {
        return complain(STATUS_USAGE, "move '%s': a bundle carries %u moves, and no more", word, SR_BUNDLE_MAX_MOVES);
    }
    int status = parse_move(word, &result->table, &move);
    if (status == STATUS_OK) {
        status = check_source(word, &move);
    }
    if (status == STATUS_OK) {
        status = check_destination(word, move.destination, result);
    }
    if (status != STATUS_OK) {
        return status;
    }
    unsigned at = moves->count++;
    for (; at > 0 && moves->list[at - 1].destination.address > move.destination.address; at--) {
        moves->list[at] = moves->list[at - 1];
    }
    moves->list[at] = move;
    return STATUS_OK;
}

static int check_pair(const sr_bundle_move_t *first, const sr_bundle_move_t *second)
{
    if (sr_region_overlaps(first->destination, second->destination)) {
        return complain(
            STATUS_USAGE, "two moves to one place: 0x%06" PRIx32 "+0x%" PRIx32 ", 0x%06" PRIx32 "+0x%" PRIx32,
            first->destination.address, first->destination.size, second->destination.address, second->destination.size);
    }
    if (first->label[0] != '\0' && strcmp(first->label, second->label) == 0) {
        return complain(STATUS_USAGE, "two moves of '%s'", first->label);
    }
    if (sr_region_overlaps(first->source, second->source)) {
        return complain(STATUS_USAGE,
                        "two moves of one place: 0x%06" PRIx32 "+0x%" PRIx32 ", 0x%06" PRIx32 "+0x%" PRIx32,
                        first->source.address, first->source.size, second->source.address, second->source.size);
    }
    return STATUS_OK;
}

static int check_pairs(const pack_moves_t *moves)
{
    for (unsigned i = 0; i < moves->count; i++) {
        for (unsigned k = 0; k < i; k++) {
            const int status = check_pair(&moves->list[k], &moves->list[i]);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

static bool is_packed(const pack_result_t *result, uint32_t address)
{
    return flash_layout_want(result->layout, address) != SR_BUNDLE_KEEP;
}

/** True if these sectors of the old flash differ from what is packed. */
static bool changes(const pack_result_t *result, const image_file_t *old, sr_region_t region)
{
    for (uint32_t at = region.address; at < region.address + region.size; at += SR_SECTOR_SIZE) {
        const bool there = sr_region_fits((sr_region_t){at, SR_SECTOR_SIZE}, old->size);
        if (is_packed(result, at) &&
            (!there || memcmp(old->bytes + at, result->layout->bytes + at, SR_SECTOR_SIZE) != 0)) {
            return true;
        }
    }
    return false;
}

/** Data moves only as long as the bundle's bootloader or table is not there yet. */
static int check_pending(const pack_result_t *result, const image_file_t *old)
{
    const image_file_t packed = {.bytes = result->layout->bytes, .size = FLASH_LIMIT};
    sr_boot_path_t path;
    moves_find_boot_path(&packed, result->chip, result->table_offset, &path);
    return changes(result, old, path.bootloader) || changes(result, old, path.table)
               ? STATUS_OK
               : complain(STATUS_NO, "%s: bootloader and partition table are those that are packed: nothing would move",
                          old->path);
}

/** How many pages of NVS that closes up are in use; or, if only a table is at hand, how many may be. */
static int tell_pages(const sr_bundle_move_t *move, sr_region_t source, const image_file_t *old)
{
    uint32_t used = 0;
    const uint32_t all = source.size / SR_SECTOR_SIZE;
    const uint32_t room = move->destination.size / SR_SECTOR_SIZE;
    if (!sr_region_fits(source, old->size)) {
        return complain(STATUS_OK,
                        "warning: %s: its new place is smaller; only the chip can check that at most %" PRIu32
                        " of its %" PRIu32 " pages are in use",
                        move->label, room > 0 ? room - 1 : 0, all);
    }
    const int status = moves_count_pages(old, move, source, &used);
    return status == STATUS_OK
               ? complain(STATUS_OK, "%s: %" PRIu32 " of its %" PRIu32 " pages are in use", move->label, used, all)
               : status;
}

static int tell(const sr_bundle_move_t *move, sr_region_t source, const image_file_t *old)
{
    const sr_region_t destination = move->destination;
    const char *label = move->label[0] != '\0' ? move->label : "region";
    char size[NUMBER_TEXT_SIZE];
    char room[NUMBER_TEXT_SIZE];
    if (source.address == destination.address && source.size == destination.size) {
        complain(STATUS_OK, "%s: %s at 0x%06" PRIx32 " stay where they are", label, number_size(source.size, size),
                 source.address);
    } else {
        complain(STATUS_OK, "%s: %s at 0x%06" PRIx32 " move to %s at 0x%06" PRIx32, label,
                 number_size(source.size, size), source.address, number_size(destination.size, room),
                 destination.address);
    }
    return moves_closes_up(move, source) ? tell_pages(move, source, old) : STATUS_OK;
}

static int check_old_place(const sr_bundle_move_t *move, const sr_partition_table_t *table, const image_file_t *old)
{
    const sr_partition_table_entry_t *partition = sr_partition_table_find_label(table, move->label);
    if (partition != NULL && partition->type == SR_PARTITION_TYPE_APP) {
        return complain(STATUS_USAGE, "%s: '%s' is an app partition: apps are packed, not moved", old->path,
                        move->label);
    }
    sr_region_t source;
    const int status = moves_find_source(move, table, old->path, &source);
    return status == STATUS_OK ? tell(move, source, old) : status;
}

static int check_old(const pack_moves_t *moves, const pack_result_t *result, const image_file_t *old)
{
    sr_partition_table_t table;
    const bool kept = result->table_offset != SR_BUNDLE_NO_TABLE && !is_packed(result, result->table_offset);
    int status = moves_read_table(old, &table);
    for (unsigned i = 0; i < moves->count && status == STATUS_OK; i++) {
        status = check_old_place(&moves->list[i], &table, old);
        if (status == STATUS_OK && kept) {
            status = check_against_table(moves->list[i].destination, &table);
        }
    }
    return status == STATUS_OK ? check_pending(result, old) : status;
}

static void warn_of_unknown(const pack_moves_t *moves)
{
    char list[SR_BUNDLE_MAX_MOVES * (SR_BUNDLE_LABEL_SIZE + 2) + 1];
    sr_text_t names = {.buffer = list, .size = sizeof(list)};
    for (unsigned i = 0; i < moves->count; i++) {
        if (moves->list[i].label[0] != '\0') {
            sr_text_add(&names, "%s%s", names.used == 0 ? "" : ", ", moves->list[i].label);
        }
    }
    if (names.used != 0) {
        complain(STATUS_OK, "warning: without --old-layout only the chip can check that these are there and fit: %s",
                 list);
    }
}

int pack_moves_check(const pack_moves_t *moves, const pack_result_t *result, const image_file_t *old)
{
    if (!is_packed(result, result->chip->bootloader_offset) && !is_packed(result, result->table_offset)) {
        return complain(STATUS_USAGE, "data moves with a new bootloader or partition table, and neither is packed");
    }
    const int status = check_pairs(moves);
    if (status != STATUS_OK) {
        return status;
    }
    if (old == NULL) {
        warn_of_unknown(moves);
        return STATUS_OK;
    }
    return check_old(moves, result, old);
}

uint32_t pack_moves_end(const pack_moves_t *moves)
{
    uint32_t end = 0;
    for (unsigned i = 0; i < moves->count; i++) {
        const sr_region_t source = moves->list[i].source;
        const sr_region_t destination = moves->list[i].destination;
        end = source.address + source.size > end ? source.address + source.size : end;
        end = destination.address + destination.size > end ? destination.address + destination.size : end;
    }
    return end;
}
