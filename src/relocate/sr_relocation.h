// SPDX-License-Identifier: Apache-2.0
/** @file
 * How the running app gets out of the method, where other content must go to the flash that it runs from.
 *
 * There are several methods, each in a file of its own, and one list that has them in the order in which they are
 * tried. Both APIs walk it: they say what the flash is to them, and get the first method that is possible, or what
 * stands against each. A new method is a new file, and a line in sr_relocation.c.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "system/sr_system.h"

#include "esp_err.h"
#include "esp_partition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a sector is to the caller, as a place for the copy of the app. None of them: it is not to be touched. */
#define SR_RELOCATION_ROOM_UNWANTED     0x1u /**< The target wants nothing here: nothing is written twice. */
#define SR_RELOCATION_ROOM_OVERWRITABLE 0x2u /**< What the copy overwrites may stay overwritten. */
#define SR_RELOCATION_ROOM_LASTING      0x4u /**< The copy may stay here under the new system, which has no data here. */
#define SR_RELOCATION_ROOM_FREE         0x8u /**< Whatever it holds, nobody wants it. */

#define SR_RELOCATION_OWNER_SIZE 24u /**< A partition's label, and "new " in front of it. */

/** Tells what a sector is to the caller: SR_RELOCATION_ROOM_... @param address Of the sector, inside the flash. */
typedef unsigned (*sr_relocation_classify_t)(void *context, uint32_t address);

typedef struct sr_relocation_method sr_relocation_method_t;

/** Who has to move, and what the caller knows of the flash. */
typedef struct sr_relocation_request {
    const sr_system_t *system;
    void *context; /**< Of the caller, for the functions below. */
    sr_relocation_classify_t classify;
    bool blanks_only;            /**< All that should go over the app is to be blank, and may as well stay as it is. */
    bool brings_table;           /**< The target replaces the partition table in the end. */
    bool allows_temporary_table; /**< The app allows it by a flag. */
    bool allows_in_place;        /**< The app allows it by a flag, or the API always does. */
    uint32_t in_place_needs;     /**< Bytes of free flash in one piece that it takes to overwrite the app in place. */
    sr_region_t longest_free;    /**< The longest piece that there is for that. */
    /** Names the owner of what lies in a sector and is in the way: "spiffs". May be NULL: then the running system's
     *  partition is named. @return @p name; "" for nobody. */
    const char *(*owner)(void *context, uint32_t address, char name[SR_RELOCATION_OWNER_SIZE]);
    /** Says what else stands against a method that would lead to @p address, as the end of a sentence; NULL if nothing
     *  does. May be NULL. */
    const char *(*object)(void *context, const sr_relocation_method_t *method, uint32_t address);
    /** Asked before the boot path is changed. */
    bool (*may_commit)(void *context);
    /** Told before (false) and after (true) the boot path is changed. May be NULL. */
    void (*on_commit)(void *context, bool written);
    /** Writes the target with the app where it is: what it leaves alone stays, or it is overwritten by code in RAM. */
    esp_err_t (*write)(void *context);
} sr_relocation_request_t;

/** A method, and where it leads. */
typedef struct sr_relocation {
    const sr_relocation_method_t *method; /**< NULL: none is open. */
    uint32_t address;                     /**< Where the copy of the app goes; UINT32_MAX: nowhere, or there is none. */
    uint32_t missing;                     /**< Bytes of room that are missing; UINT32_MAX: not looked for. */
    union {
        const esp_partition_t *slot; /**< For methods that lead to a slot, if nothing is missing. */
        sr_region_t room;            /**< If something is: what there is where least is missing. */
    };
    uint32_t needs; /**< Bytes of room in one piece that it takes; 0: those of the app. */
    bool rejected;  /**< There is room, but the bootloader would not start the app from there. */
} sr_relocation_t;

/** One method. */
struct sr_relocation_method {
    const char *name;                     /**< In a refusal: "with a temporary table"; NULL: it has no words there. */
    esp_self_reflasher_relocation_t kind; /**< As the plan tells it. */
    unsigned room;                        /**< What each sector must be that the copy goes to: SR_RELOCATION_ROOM_... */
    bool restarts;                        /**< The app starts again from the copy, and goes on there. */
    /** Looks for room, and fills the proposal. Changes no flash. @return ESP_OK, also without room; ESP_ERR_NO_MEM; or
     *  an error of esp_flash. */
    esp_err_t (*propose)(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                         sr_relocation_t *proposal);
    /** What stands against it beside the room, as the end of a sentence: ", not allowed". @return NULL if nothing does.
     */
    const char *(*why_not)(const sr_relocation_request_t *request, const sr_relocation_t *proposal);
    /** Carries it out. @return ESP_OK: the caller restarts the chip, if `restarts` says so; or an error. */
    esp_err_t (*execute)(const sr_relocation_request_t *request, const sr_relocation_t *proposal);
};

/**
 * Finds the first method that is possible. Changes no flash.
 * @param[out] relocation Its method is NULL if there is none.
 * @param[out] text In that case set to what stands against each method, for people; cut off after @p size bytes with
 * the zero. And `relocation->missing` is what is missing for the method that needs least; 0: something else stands
 * against it.
 * @return ESP_OK, also if no method is possible; ESP_ERR_NO_MEM; or an error of esp_flash.
 */
esp_err_t sr_relocation_find(const sr_relocation_request_t *request, sr_relocation_t *relocation, char *text,
                             size_t size);

/** Names the running system's partition that a sector lies in. @return @p name; "" for none. */
const char *sr_relocation_running_owner(uint32_t address, char name[SR_RELOCATION_OWNER_SIZE]);

/**
 * Carries out what was found. A power loss at any moment leaves the app bootable where it is now, or in its copy; what
 * is different for a method, its file says.
 * @return ESP_OK: the caller restarts the chip, if the method says so; ESP_ERR_NO_MEM; ESP_ERR_INVALID_STATE if it was
 * gone before in vain, or the bootloader would not start the app; ESP_ERR_SELF_REFLASHER_NOT_NOW if may_commit() said
 * no; ESP_ERR_SELF_REFLASHER_VERIFY; an error of esp_flash; or what write() returns.
 */
esp_err_t sr_relocation_execute(const sr_relocation_request_t *request, const sr_relocation_t *relocation);
