// SPDX-License-Identifier: Apache-2.0
/** @file
 * Trials: what the component says to a bundle that is put, or allowed, in another way. Each is made on a fresh copy of
 * the flash, so that what is rehearsed stays as it is.
 */
#pragma once

#include "format/sr_bundle.h"
#include "tool/pack/bundle_file.h"
#include "tool/base/image_file.h"
#include "tool/run/migration.h"

/** What is tried again and again. */
typedef struct trial {
    const migration_t *migration; /**< As it is asked for, with a bundle that the app does not carry. */
    const image_file_t *flash;    /**< Content at the start. */
    const nor_timing_t *timing;
    const sr_bundle_t *bundle; /**< Manifest, and the rest of the file behind it; NULL: not at hand. */
    uint32_t running_app;      /**< Where the app lies that runs the migration. */
} trial_t;

/** What is different this time. */
typedef struct trial_way {
    uint32_t flags;         /**< ESP_SELF_REFLASHER_BUNDLE_... that are allowed as well. */
    bundle_change_t bundle; /**< What it is packed with; only if the trial has the bundle. */
} trial_way_t;

/**
 * Asks the component for its plan. A bundle that is packed anew is not signed, and taken all the same.
 * @param[out] plan Defined if the result is true.
 * @return false if it could not be asked.
 */
bool trial_plan(const trial_t *trial, const trial_way_t *way, esp_self_reflasher_plan_t *plan, esp_err_t *error);

/**
 * Runs the migration.
 * @param[out] window What a power loss must not meet, in its typical and its longest time. Set if it comes through.
 * @return true if it comes through, and the app that was planned boots.
 */
bool trial_run(const trial_t *trial, const trial_way_t *way, boot_window_t *window);
