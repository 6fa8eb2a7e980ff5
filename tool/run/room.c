// SPDX-License-Identifier: Apache-2.0
#include "tool/run/room.h"

#include "sim/boot/boot_plain.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/chip_options.h"
#include "tool/pack/flash_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_COREDUMP 0x03u
#define DATA_FAT      0x81u
#define DATA_LITTLEFS 0x83u

/** All that could be given up. */
typedef struct parts {
    room_part_t list[SR_PARTITION_MAX_ENTRIES * 2 + 1]; /**< Partitions, and gaps between them. */
    unsigned count;
} parts_t;

/** A search: what is tried, and what with. */
typedef struct search {
    const trial_t *trial;
    const sr_partition_table_t *table; /**< Of the old system. */
    parts_t parts;
} search_t;

bool room_is_short(const esp_self_reflasher_plan_t *plan)
{
    switch (plan->refusal) {
    case ESP_SELF_REFLASHER_REFUSED_RUNNING_APP: // or it is another app that would start, and no room helps
        return plan->must_relocate && plan->relocation == ESP_SELF_REFLASHER_RELOCATION_NONE && plan->sectors_left == 0;
    case ESP_SELF_REFLASHER_REFUSED_NO_ROOM:
    case ESP_SELF_REFLASHER_REFUSED_MOVE:
        return plan->bytes_missing > 0;
    default:
        return false;
    }
}

static bool is_blank(const image_file_t *flash, sr_region_t place)
{
    for (uint32_t at = 0; at < place.size; at += SR_SECTOR_SIZE) {
        if (!nor_is_erased(flash->bytes + place.address + at, SR_SECTOR_SIZE)) {
            return false;
        }
    }
    return true;
}

/** True if the bundle gives it up already, or moves it. */
static bool is_spoken_for(const search_t *search, const room_part_t *part)
{
    const sr_bundle_t *bundle = search->trial->bundle;
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        const sr_bundle_given_up_t row = sr_bundle_given_up(bundle, i);
        if (sr_region_overlaps(row.place, part->place) ||
            (row.label[0] != '\0' && strcmp(row.label, part->row.label) == 0)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        const sr_bundle_move_t move = sr_bundle_move(bundle, i);
        const sr_partition_table_entry_t *source = sr_partition_table_find_label(search->table, move.label);
        if (sr_region_overlaps(move.source, part->place) ||
            (move.label[0] != '\0' && source != NULL &&
             sr_region_overlaps((sr_region_t){source->address, source->size}, part->place))) {
            return true;
        }
    }
    return false;
}

/** By ascending loss, and among equals by size: what comes first is given up rather than what comes later. */
static void add_part(search_t *search, room_part_t part)
{
    parts_t *parts = &search->parts;
    if (is_spoken_for(search, &part)) {
        return;
    }
    unsigned at = parts->count++;
    for (; at > 0 && (parts->list[at - 1].loss > part.loss ||
                      (parts->list[at - 1].loss == part.loss && parts->list[at - 1].place.size > part.place.size));
         at--) {
        parts->list[at] = parts->list[at - 1];
    }
    parts->list[at] = part;
}

static room_loss_t loss_of(const sr_partition_table_entry_t *entry)
{
    if (entry->type == SR_PARTITION_TYPE_APP) {
        return ROOM_APP;
    }
    if (entry->type != SR_PARTITION_TYPE_DATA) {
        return ROOM_DATA;
    }
    if (entry->subtype == SR_PARTITION_DATA_NVS || entry->subtype == SR_PARTITION_DATA_NVS_KEYS) {
        return ROOM_SETTINGS;
    }
    if (entry->subtype == DATA_COREDUMP) {
        return ROOM_COREDUMP;
    }
    return entry->subtype >= DATA_FAT && entry->subtype <= DATA_LITTLEFS ? ROOM_FILES : ROOM_DATA;
}

/** True for a label that reads on a command line as what it is. */
static bool is_plain(const char *label)
{
    return label[0] != '\0' && label[0] != '-' && !flash_region_is_range(label) &&
           label[strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] == '\0';
}

static bool is_on_boot_path(const search_t *search, const sr_partition_table_entry_t *entry)
{
    const boot_chip_t *chip = &search->trial->migration->chip;
    const sr_region_t front = {0, chip->partition_table + SR_SECTOR_SIZE};
    const sr_region_t recovery = {chip->recovery, chip->recovery != 0 ? SR_SECTOR_SIZE : 0};
    const sr_region_t place = {entry->address, entry->size};
    return sr_partition_table_is_boot_path(entry) || sr_region_overlaps(front, place) ||
           sr_region_overlaps(recovery, place);
}

/** Adds a partition, unless the chip boots from it, or a bundle has no words for it. */
static void add_partition(search_t *search, const sr_partition_table_entry_t *entry)
{
    const trial_t *trial = search->trial;
    room_part_t part = {.place = {entry->address, entry->size - entry->size % SR_SECTOR_SIZE}, .loss = loss_of(entry)};
    if (is_on_boot_path(search, entry) || part.place.size == 0 || entry->address == trial->running_app ||
        !sr_region_is_aligned(entry->address, SR_SECTOR_SIZE) || !sr_region_fits(part.place, trial->flash->size)) {
        return;
    }
    if (is_plain(entry->label) && sr_partition_table_find_label(search->table, entry->label) == entry) {
        memcpy(part.row.label, entry->label, sizeof(part.row.label));
    } else if (sr_region_fits(part.place, trial->bundle->min_flash_size)) {
        part.row.place = part.place;
    } else {
        return;
    }
    part.loss = is_blank(trial->flash, part.place) ? ROOM_NOTHING : part.loss;
    add_part(search, part);
}

static bool is_in_partition(const sr_partition_table_t *table, uint32_t address)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (sr_region_overlaps((sr_region_t){table->entries[i].address, table->entries[i].size},
                               (sr_region_t){address, SR_SECTOR_SIZE})) {
            return true;
        }
    }
    return false;
}

/** Adds flash that no partition claims. What is blank there is free anyway, but what begins in a partition does not go
 * on into it, unless it is given up. */
static void add_gaps(search_t *search)
{
    const trial_t *trial = search->trial;
    const uint32_t limit =
        trial->bundle->min_flash_size < trial->flash->size ? trial->bundle->min_flash_size : trial->flash->size;
    sr_region_t gap = {0, 0};
    for (uint32_t at = trial->migration->chip.partition_table + SR_SECTOR_SIZE; at <= limit; at += SR_SECTOR_SIZE) {
        if (at < limit && !is_in_partition(search->table, at)) {
            gap = (sr_region_t){gap.size == 0 ? at : gap.address, gap.size + SR_SECTOR_SIZE};
            continue;
        }
        if (gap.size > 0) {
            const room_loss_t loss = is_blank(trial->flash, gap) ? ROOM_NOTHING : ROOM_NOBODYS;
            add_part(search, (room_part_t){.row.place = gap, .place = gap, .loss = loss});
        }
        gap.size = 0;
    }
}

static void find_parts(search_t *search)
{
    if (search->trial->bundle == NULL) {
        return;
    }
    const unsigned room = SR_BUNDLE_MAX_GIVEN_UP - search->trial->bundle->given_up_count;
    for (unsigned i = 0; i < search->table->count; i++) {
        add_partition(search, &search->table->entries[i]);
    }
    add_gaps(search);
    search->parts.count = search->parts.count < room ? search->parts.count : room;
}

/** The rows of what a way gives up. */
static trial_way_t rows_of(const room_way_t *way, sr_bundle_given_up_t rows[SR_BUNDLE_MAX_GIVEN_UP])
{
    for (unsigned i = 0; i < way->count; i++) {
        rows[i] = way->parts[i].row;
    }
    return (trial_way_t){
        .flags = way->flags,
        .bundle = {.given_up = rows, .given_up_count = way->count, .compare_all = way->compare_all},
    };
}

static bool is_planned(const search_t *search, const room_way_t *way)
{
    sr_bundle_given_up_t rows[SR_BUNDLE_MAX_GIVEN_UP];
    const trial_way_t tried = rows_of(way, rows);
    esp_self_reflasher_plan_t plan;
    esp_err_t error;
    return trial_plan(search->trial, &tried, &plan, &error) && error == ESP_OK;
}

static bool comes_through(const search_t *search, room_way_t *way)
{
    sr_bundle_given_up_t rows[SR_BUNDLE_MAX_GIVEN_UP];
    const trial_way_t tried = rows_of(way, rows);
    return trial_run(search->trial, &tried, &way->window);
}

/** Leaves out what is not needed, from what would be lost last on. */
static void reduce(const search_t *search, room_way_t *way)
{
    for (unsigned i = way->count; i > 0; i--) {
        room_way_t less = *way;
        less.count--;
        memmove(&less.parts[i - 1], &less.parts[i], (less.count - (i - 1)) * sizeof(less.parts[0]));
        if (is_planned(search, &less)) {
            *way = less;
        }
    }
}

/** Gives up all that loses at most this much. @return false if that is no more than with less loss. */
static bool fill(const search_t *search, room_loss_t most, room_way_t *way)
{
    bool more = most == ROOM_NOTHING;
    for (way->count = 0; way->count < search->parts.count && search->parts.list[way->count].loss <= most;
         way->count++) {
        way->parts[way->count] = search->parts.list[way->count];
        more |= search->parts.list[way->count].loss == most;
    }
    return more;
}

/** Tries one way with what it allows, and all that loses at most this much given up. */
static bool try_loss(const search_t *search, room_loss_t most, room_way_t *way)
{
    if (!fill(search, most, way) || !is_planned(search, way)) {
        return false;
    }
    reduce(search, way);
    return comes_through(search, way);
}

static room_loss_t loss_of_way(const room_way_t *way)
{
    room_loss_t loss = ROOM_NOTHING;
    for (unsigned i = 0; i < way->count; i++) {
        loss = way->parts[i].loss > loss ? way->parts[i].loss : loss;
    }
    return loss;
}

/** Finds the way that loses least. @param flags What is allowed as well, one after the other. */
static bool find_way(const search_t *search, bool compare_all, const uint32_t *flags, unsigned flag_count,
                     unsigned limit, room_way_t *way)
{
    for (unsigned loss = ROOM_NOTHING; loss < limit; loss++) {
        for (unsigned i = 0; i < flag_count; i++) {
            *way = (room_way_t){.flags = flags[i], .compare_all = compare_all};
            if (try_loss(search, (room_loss_t)loss, way)) {
                return true;
            }
        }
    }
    return false;
}

static void note_most(const search_t *search, uint32_t flags, room_t *room)
{
    sr_bundle_given_up_t rows[SR_BUNDLE_MAX_GIVEN_UP];
    esp_self_reflasher_plan_t plan;
    esp_err_t error;
    room->most = (room_way_t){.flags = flags, .compare_all = room->initial.size > 0};
    (void)fill(search, ROOM_SETTINGS, &room->most);
    const trial_way_t tried = rows_of(&room->most, rows);
    if (trial_plan(search->trial, &tried, &plan, &error)) {
        room->missing = plan.bytes_missing;
        (void)snprintf(room->why, sizeof(room->why), "%s", plan.refusal_text);
    }
}

/** To overwrite the app in place makes most of the run a window: only where that loses less. */
static void find_ways(const search_t *search, bool compare_all, room_t *room)
{
    const uint32_t given = search->trial->migration->bundle->flags;
    const uint32_t table = ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE & ~given;
    const uint32_t in_place = ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE & ~given;
    const uint32_t safe[] = {0, table};
    room_way_t first;
    room_way_t second;
    const bool found = find_way(search, compare_all, safe, table != 0 ? 2 : 1, ROOM_LOSSES, &first);
    const unsigned limit = !found ? ROOM_LOSSES : first.count == 0 ? 0 : (unsigned)loss_of_way(&first);
    if (in_place != 0 && find_way(search, compare_all, &in_place, 1, limit, &second)) {
        room->ways[room->count++] = second;
    }
    if (found) {
        room->ways[room->count++] = first;
    }
    if (room->count == 0) {
        note_most(search, table | in_place, room);
    }
}

/** Initial regions take a sector of free flash for a note: without them there is one more. But then a device that runs
 * the bundle once more loses what its new system has there. So only if there is no other way. */
static void find_all_ways(const search_t *search, room_t *room)
{
    find_ways(search, false, room);
    if (room->count == 0 && room->initial.size > 0) {
        find_ways(search, true, room);
    }
}

/** One range for all of them: to pack, it changes nothing for what lies between, which is compared anyway. */
static sr_region_t initial_regions(const sr_bundle_t *bundle)
{
    sr_region_t all = {0, 0};
    for (uint32_t i = 0; bundle != NULL && i < bundle->region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        if (region.initial) {
            all.address = all.size == 0 ? region.place.address : all.address;
            all.size = region.place.address + region.place.size - all.address;
        }
    }
    return all;
}

bool room_way_packs(const room_way_t *way)
{
    return way->count > 0 || way->compare_all;
}

room_t *room_find(const trial_t *trial)
{
    const image_file_t *flash = trial->flash;
    room_t *room = calloc(1, sizeof(*room));
    search_t *search = calloc(1, sizeof(*search));
    sr_partition_table_t *table = calloc(1, sizeof(*table));
    if (room != NULL && search != NULL && table != NULL) {
        const boot_chip_t *chip = &trial->migration->chip;
        chip_read_table(boot_plain(chip, flash->bytes, flash->size, 0, flash->size), flash->size, chip->partition_table,
                        table);
        search->trial = trial;
        search->table = table;
        room->has_bundle = trial->bundle != NULL;
        room->initial = initial_regions(trial->bundle);
        find_parts(search);
        find_all_ways(search, room);
    } else {
        free(room);
        room = NULL;
    }
    free(table);
    free(search);
    return room;
}

void room_free(room_t *room)
{
    free(room);
}
