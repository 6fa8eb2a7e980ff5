// SPDX-License-Identifier: Apache-2.0
/** @file
 * The app that runs a migration, as in the field: it remembers nothing but what is in flash, and begins by finishing
 * what an earlier start of it left.
 */
#pragma once

#include "format/sr_region.h"
#include "tool/run/migration.h"

/** Chooses the migration that field_app_main() runs from now on. It must outlive all runs. */
void field_app_set(const migration_t *migration);

/**
 * Finishes what was interrupted, runs the migration, restarts the chip if that changed something, else returns.
 * After an error it crashes, like an app with ESP_ERROR_CHECK().
 * The component's log is not shown unless the migration says so.
 */
void field_app_main(void);
