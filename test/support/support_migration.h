// SPDX-License-Identifier: Apache-2.0
/** @file
 * A migration on a small chip that is opened in this process, so that a test can call its steps one by one, and let
 * others fail. Include after cmocka.h.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#include "bundle/sr_migration_internal.h"

#define STEPS_BUNDLE SMALL_FREE
#define STEPS_ROOM   0xE0000u /**< Blank up to the end of the flash. */

/** What is opened. */
typedef struct steps {
    nor_flash_t *flash;
    esp_self_reflasher_bundle_config_t config;
    esp_self_reflasher_plan_t plan;
    sr_migration_t migration;
} steps_t;

/** Two slots, of which the first one runs, and room for a record. */
static inline void steps_flash(steps_t *steps)
{
    *steps = (steps_t){.flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}})};
    small_app("1", nor_flash_bytes(steps->flash) + small_slot(0));
    memset(nor_flash_bytes(steps->flash) + STEPS_ROOM, 0xFF, SMALL_FLASH_SIZE - STEPS_ROOM);
}

static inline void steps_attach(steps_t *steps)
{
    small_attach(steps->flash, small_slot(0));
    nor_flash_reset_stats(steps->flash);
}

/** Opens a bundle on that flash, which must not be refused. */
static inline void steps_open(steps_t *steps, bundle_spec_t spec)
{
    steps->config = (esp_self_reflasher_bundle_config_t){
        .embedded = small_put_bundle(steps->flash, (sr_region_t){STEPS_BUNDLE, STEPS_ROOM - STEPS_BUNDLE}, spec),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    steps_attach(steps);
    assert_int_equal(sr_migration_open(&steps->migration, &steps->config, &steps->plan), ESP_OK);
}

/** Nothing was written. */
static inline void steps_close(steps_t *steps)
{
    sr_migration_close(&steps->migration);
    assert_int_equal(sim_counters()->heap_now, 0);
    assert_int_equal(nor_flash_stats(steps->flash).operations, 0);
    sim_chip_detach();
    nor_flash_delete(steps->flash);
}
