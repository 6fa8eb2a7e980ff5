// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is measured: a flash as it is before a migration, and what it must hold after it.
 *
 * Published firmware where it is available, dummy images otherwise. All slots hold something, as on a device that was
 * updated before: a blank destination would spare every method its erases.
 */
#pragma once

#include "format/sr_region.h"
#include "sim/boot/boot_model.h"
#include "tool/base/image_file.h"

#include <stdbool.h>
#include <stdint.h>

#define SCENARIO_FLASH_SIZE 0x400000u
#define SCENARIO_MAX_PARTS  2u

/** One image and its place. */
typedef struct scenario_part {
    sr_region_t place;
    const uint8_t *data; /**< Belongs to the scenario. What is left of the place is blank. */
    uint32_t length;
    sr_region_t staging;  /**< Where it can be staged; empty: a free OTA slot. */
    bool ordinary_update; /**< The classic way needs no staging here: the place is the slot of an OTA update. */
} scenario_part_t;

typedef struct scenario {
    const char *name;
    const char *title;
    const char *firmware; /**< Where the images come from. */
    boot_chip_t chip;
    uint8_t *flash;             /**< Before. */
    uint8_t *flash_with_bundle; /**< Embedded: the same with the bundle in the app's place for the image. */
    uint8_t
        *flash_relocated; /**< As before, with the running app out of the way; NULL if it is out of the way already. */
    bool embedded;        /**< No network: the image is in flash. */
    sr_region_t source;   /**< Embedded: where. */
    sr_region_t bundle_source;                 /**< Embedded: where in flash_with_bundle. */
    bool has_table;                            /**< There is a partition table in the end. */
    scenario_part_t parts[SCENARIO_MAX_PARTS]; /**< In the order of a careful script: boot path last. */
    unsigned part_count;
    uint8_t *bundle; /**< All parts as one. */
    uint32_t bundle_size;
    image_file_t files[SCENARIO_MAX_PARTS]; /**< What the parts are made of. */
} scenario_t;

/** Names of all scenarios, one after another: NULL past the last. */
const char *scenario_name(unsigned index);

/**
 * Makes a scenario.
 * @param fixtures Folder with published firmware; NULL: dummy images.
 * @return false after complaining on stderr; in any case scenario_free() is due.
 */
bool scenario_make(const char *name, const char *fixtures, scenario_t *scenario);
void scenario_free(scenario_t *scenario);

/** Puts into @p flash what it must hold in the end. */
void scenario_apply(const scenario_t *scenario, uint8_t *flash);
