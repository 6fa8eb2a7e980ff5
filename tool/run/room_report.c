// SPDX-License-Identifier: Apache-2.0
#include "tool/run/room.h"

#include "preflight/sr_text.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <inttypes.h>
#include <stdio.h>

#define TABLE    ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE
#define IN_PLACE ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE

#define TABLE_OPTION    "--allow-temporary-table"
#define IN_PLACE_OPTION "--allow-in-place"

#define PART_TEXT_SIZE 32u

static const char *range_text(sr_region_t place, char out[PART_TEXT_SIZE])
{
    snprintf(out, PART_TEXT_SIZE, "0x%" PRIx32 "+0x%" PRIx32, place.address, place.size);
    return out;
}

/** As pack takes it. */
static const char *part_text(const room_part_t *part, char out[PART_TEXT_SIZE])
{
    if (part->row.label[0] == '\0') {
        return range_text(part->place, out);
    }
    snprintf(out, PART_TEXT_SIZE, "%s", part->row.label);
    return out;
}

static const char *loss_name(room_loss_t loss)
{
    static const char *const names[ROOM_LOSSES] = {
        [ROOM_NOTHING] = "nothing", [ROOM_COREDUMP] = "coredump", [ROOM_NOBODYS] = "unknown",   [ROOM_APP] = "app",
        [ROOM_FILES] = "files",     [ROOM_DATA] = "data",         [ROOM_SETTINGS] = "settings",
    };
    return names[loss];
}

static const char *loss_text(room_loss_t loss)
{
    static const char *const texts[ROOM_LOSSES] = {
        [ROOM_COREDUMP] = "the core dump in",
        [ROOM_NOBODYS] = "what lies in no partition at",
        [ROOM_APP] = "the app in",
        [ROOM_FILES] = "the files in",
        [ROOM_DATA] = "the data in",
        [ROOM_SETTINGS] = "the settings in",
    };
    return texts[loss];
}

static uint64_t bytes_freed(const room_way_t *way)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < way->count; i++) {
        bytes += way->parts[i].place.size;
    }
    return bytes;
}

static void add_losses(sr_text_t *words, const room_way_t *way)
{
    char part[PART_TEXT_SIZE];
    const char *before = "; lost: ";
    bool must_do_without = false;
    for (unsigned i = 0; i < way->count; i++) {
        const room_loss_t loss = way->parts[i].loss;
        if (loss != ROOM_NOTHING) {
            sr_text_add(words, "%s%s %s", before, loss_text(loss), part_text(&way->parts[i], part));
            before = ", ";
        }
        must_do_without |= loss >= ROOM_DATA;
    }
    if (way->count > 0 && before[0] == ';') {
        sr_text_add(words, "; lost: nothing, as far as this flash tells");
    }
    sr_text_add(words, "%s", must_do_without ? "; the running app must do without, also after a restart" : "");
}

static void add_options(sr_text_t *words, uint32_t flags)
{
    sr_text_add(words, "%s%s%s", (flags & TABLE) != 0 ? TABLE_OPTION : "",
                (flags & TABLE) != 0 && (flags & IN_PLACE) != 0 ? " and " : "",
                (flags & IN_PLACE) != 0 ? IN_PLACE_OPTION : "");
}

static void add_pack(sr_text_t *words, const room_way_t *way, sr_region_t initial)
{
    char part[PART_TEXT_SIZE];
    sr_text_add(words, "pack");
    if (way->compare_all) {
        sr_text_add(words, " --always %s", range_text(initial, part));
    }
    for (unsigned i = 0; i < way->count; i++) {
        sr_text_add(words, " --give-up %s", part_text(&way->parts[i], part));
    }
    sr_text_add(words, "%s", way->flags != 0 ? ", then " : "");
}

static void add_way(sr_text_t *words, const room_way_t *way, sr_region_t initial)
{
    char size[NUMBER_TEXT_SIZE];
    if (room_way_packs(way)) {
        add_pack(words, way, initial);
    }
    add_options(words, way->flags);
    sr_text_add(words, ": ");
    if (way->count > 0) {
        sr_text_add(words, "frees %s, ", number_size(bytes_freed(way), size));
    }
    sr_text_add(words, "enough, with a window of %.3f s", (double)way->window.typical_us / 1e6);
    add_losses(words, way);
    if (way->compare_all) {
        sr_text_add(words, "; what --always names is written with each run of the bundle, not only once");
    }
}

/** All that was tried together, in vain. */
static void add_most(sr_text_t *words, const room_way_t *most, sr_region_t initial)
{
    char part[PART_TEXT_SIZE];
    const char *before = "with ";
    for (unsigned i = 0; i < most->count; i++) {
        sr_text_add(words, "%s%s", before, part_text(&most->parts[i], part));
        before = ", ";
    }
    if (most->count > 0) {
        sr_text_add(words, " given up, ");
    }
    if (most->compare_all) {
        sr_text_add(words, "with --always %s, ", range_text(initial, part));
    }
    if (most->flags != 0) {
        sr_text_add(words, "%s", most->count > 0 || most->compare_all ? "and with " : "with ");
        add_options(words, most->flags);
        sr_text_add(words, ", ");
    }
}

/** That there is none. */
static void add_none(sr_text_t *words, const room_t *room)
{
    char number[NUMBER_TEXT_SIZE];
    if (!room->has_bundle) {
        sr_text_add(words, "none by options of the app alone; --bundle FILE finds out what packing it anew could do");
        return;
    }
    sr_text_add(words, "nothing that could be given up makes room: ");
    add_most(words, &room->most, room->initial);
    if (room->missing > 0) {
        sr_text_add(words, "%s bytes are missing still", number_grouped(room->missing, number));
    } else {
        sr_text_add(words, "it is refused still: %s", room->why);
    }
}

const char *room_text(const room_t *room, unsigned index, char out[ROOM_TEXT_SIZE])
{
    sr_text_t words = {.buffer = out, .size = ROOM_TEXT_SIZE};
    out[0] = '\0';
    if (room->count > 0) {
        add_way(&words, &room->ways[index], room->initial);
    } else {
        add_none(&words, room);
    }
    return out;
}

void room_print(const room_t *room)
{
    char text[ROOM_TEXT_SIZE];
    for (unsigned i = 0; i == 0 || i < room->count; i++) {
        terminal_key(i == 0 ? "way out" : "or");
        terminal_wrap(room_text(room, i, text), 15, 15);
    }
}

static cJSON *part_json(const room_part_t *part)
{
    char text[PART_TEXT_SIZE];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "region", part_text(part, text));
    cJSON_AddNumberToObject(json, "offset", part->place.address);
    cJSON_AddNumberToObject(json, "size", part->place.size);
    cJSON_AddStringToObject(json, "lost", loss_name(part->loss));
    return json;
}

static cJSON *way_json(const room_way_t *way, sr_region_t initial)
{
    char text[PART_TEXT_SIZE];
    cJSON *json = cJSON_CreateObject();
    cJSON *options = cJSON_AddArrayToObject(json, "options");
    if ((way->flags & TABLE) != 0) {
        cJSON_AddItemToArray(options, cJSON_CreateString(TABLE_OPTION));
    }
    if ((way->flags & IN_PLACE) != 0) {
        cJSON_AddItemToArray(options, cJSON_CreateString(IN_PLACE_OPTION));
    }
    cJSON_AddItemToObject(json, "always",
                          way->compare_all ? cJSON_CreateString(range_text(initial, text)) : cJSON_CreateNull());
    cJSON *list = cJSON_AddArrayToObject(json, "give_up");
    for (unsigned i = 0; i < way->count; i++) {
        cJSON_AddItemToArray(list, part_json(&way->parts[i]));
    }
    cJSON_AddNumberToObject(json, "bytes_freed", (double)bytes_freed(way));
    return json;
}

cJSON *room_json(const room_t *room)
{
    if (room == NULL) {
        return cJSON_CreateNull();
    }
    cJSON *json = cJSON_CreateObject();
    cJSON *ways = cJSON_AddArrayToObject(json, "ways");
    for (unsigned i = 0; i < room->count; i++) {
        cJSON *way = way_json(&room->ways[i], room->initial);
        cJSON_AddNumberToObject(way, "window_ms", (double)room->ways[i].window.typical_us / 1e3);
        cJSON_AddNumberToObject(way, "window_ms_maximum", (double)room->ways[i].window.maximum_us / 1e3);
        cJSON_AddItemToArray(ways, way);
    }
    cJSON_AddBoolToObject(json, "give_up_tried", room->has_bundle);
    cJSON_AddItemToObject(json, "most", room->count == 0 ? way_json(&room->most, room->initial) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "refusal_text_still",
                          room->count == 0 ? cJSON_CreateString(room->why) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "bytes_missing_still",
                          room->count == 0 ? cJSON_CreateNumber(room->missing) : cJSON_CreateNull());
    return json;
}
