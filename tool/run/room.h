// SPDX-License-Identifier: Apache-2.0
/** @file
 * Ways out of a refusal for want of room: what of the old system could be given up, and which option of the app would
 * do. Each was tried, from its plan to the boot of the new system.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "tool/run/trial.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/** What is lost with a part of the old system, from the least on. */
typedef enum room_loss {
    ROOM_NOTHING, /**< It is blank. */
    ROOM_COREDUMP,
    ROOM_NOBODYS,  /**< Something in flash of no partition. */
    ROOM_APP,      /**< Another app than the one that runs. */
    ROOM_FILES,    /**< A file system. */
    ROOM_DATA,     /**< Data of another kind: nobody can tell whether the running app can do without it. */
    ROOM_SETTINGS, /**< NVS. */
    ROOM_LOSSES
} room_loss_t;

/** What could be given up. */
typedef struct room_part {
    sr_bundle_given_up_t row;
    sr_region_t place;
    room_loss_t loss;
} room_part_t;

/** A way out. */
typedef struct room_way {
    uint32_t flags; /**< ESP_SELF_REFLASHER_BUNDLE_ALLOW_... that are allowed as well. */
    room_part_t parts[SR_BUNDLE_MAX_GIVEN_UP];
    unsigned count;
    bool compare_all;     /**< No region of the bundle is initial any more. */
    boot_window_t window; /**< As measured. */
} room_way_t;

#define ROOM_MAX_WAYS 2u

typedef struct room {
    room_way_t ways[ROOM_MAX_WAYS]; /**< What loses least comes first. */
    unsigned count;                 /**< 0: there is none. */
    bool has_bundle;                /**< Its bytes were at hand, so that packing it anew could be tried. */
    sr_region_t initial;            /**< From its first initial region to the end of the last; empty: none. */
    room_way_t most;                /**< If there is none: all that could be given up and allowed. */
    uint32_t missing;               /**< Bytes that are missing even then; 0: something else stands against it. */
    char why[256];                  /**< What the component says then. */
} room_t;

/** True if a plan is refused for want of room. */
bool room_is_short(const esp_self_reflasher_plan_t *plan);

/** Looks for ways out of a refusal for want of room. @return NULL without memory; room_free() is due. */
room_t *room_find(const trial_t *trial);
void room_free(room_t *room);

#define ROOM_TEXT_SIZE 1024u
/** One way, or that there is none, as a sentence without its period. @param index Below `count`; 0 if that is 0.
 *  @return @p out. */
const char *room_text(const room_t *room, unsigned index, char out[ROOM_TEXT_SIZE]);

/** Prints the ways out, or that there is none. */
void room_print(const room_t *room);

/** True if that way needs another bundle. */
bool room_way_packs(const room_way_t *way);

/** As JSON, owned by the caller. @param room NULL: null. */
cJSON *room_json(const room_t *room);
