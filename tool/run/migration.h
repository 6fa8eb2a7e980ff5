// SPDX-License-Identifier: Apache-2.0
/** @file
 * A migration on the simulated chip: the steps, run by the component inside an app, and the result.
 */
#pragma once

#include "sim/explore/explore.h"
#include "self_reflasher.h"
#include "self_reflasher_bundle.h"
#include "format/sr_sha256.h"
#include "sim/chip/sim_chip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One image and its destination. */
typedef struct migration_step {
    addr_region_t destination;
    const char *name;     /**< Of the source, for people. */
    const char *url;      /**< Download mode; NULL: embedded mode. */
    addr_region_t source; /**< Embedded mode. */
    bool has_sha256;
    uint8_t sha256[SR_SHA256_SIZE];
} migration_step_t;

typedef struct migration {
    nor_flash_t *flash;
    boot_chip_t chip;
    uint32_t running_app;  /**< UINT32_MAX: the one that boots. */
    sr_region_t app_image; /**< That app's image at its true length; empty if it is none of ESP-IDF's. */
    const migration_step_t *steps;
    size_t step_count;
    const esp_self_reflasher_bundle_config_t *bundle; /**< Apply this instead of the steps, unless it is NULL. */
    /** The app has a cargo: what it says replaces source, key and flags of `bundle`, whose `embedded` only tells where
     * the bundle is at the start; empty: it is fetched. */
    bool carries;
    const char *ca;     /**< PEM to trust for https. */
    uint32_t flags;     /**< ESP_SELF_REFLASHER_FLAG_... */
    bool show_progress; /**< On stdout. */
    bool show_log;      /**< The app's log on stderr as it comes. */
} migration_t;

typedef struct migration_result {
    esp_err_t error;                /**< Of the component; ESP_FAIL if the app crashed. */
    size_t failed_step;             /**< Index; valid if there is an error, and steps are run. */
    char message[280];              /**< The log line that tells the cause, or "". */
    esp_self_reflasher_plan_t plan; /**< Of a bundle. */
    uint32_t retries;               /**< Of a bundle: connections made again. */
    sim_report_t report;
    nor_stats_t stats;
    boot_window_t window;
    explore_operation_t *operations; /**< Which of them are in the commit is not set. */
    uint32_t operation_count;
} migration_result_t;

/** HTTP settings of all downloads. */
esp_http_client_config_t migration_http(const char *url, const char *ca);

/**
 * Where a source in flash lies at this start of the app. What is linked into the app moves with it, and an app asks
 * spi_flash_cache2phys() for it; what lies elsewhere stays.
 * @param named Where it lay before the first start.
 */
addr_region_t migration_source_now(const migration_t *migration, addr_region_t named);

/**
 * The bundle's configuration for this start of the app.
 * @return ESP_OK, or the error of the app's cargo: esp_self_reflasher_find_cargo().
 */
esp_err_t migration_bundle_now(const migration_t *migration, esp_self_reflasher_bundle_config_t *config);

/**
 * An app that carries its bundle confirms itself in otadata if the bundle can be applied and is not there yet, as the
 * courier does, also where nothing has put it on probation. Before it is applied, and after what a power loss has left
 * was resumed.
 */
void migration_confirm(const migration_t *migration, const esp_self_reflasher_bundle_config_t *config);

/** Runs one step, inside the app. @param handle Of the steps before; NULL in front of the first one that downloads. */
esp_err_t migration_step(const migration_t *migration, const migration_step_t *step,
                         esp_self_reflasher_handle_t *handle);

/**
 * True if the images bring an app, in a partition of the table that is there in the end, and another one starts.
 * @param flash, size What the migration left.
 * @param app Address of the app that starts then.
 */
bool migration_misses_new_app(const migration_t *migration, const uint8_t *flash, uint32_t size, uint32_t app);

/**
 * Runs all steps, or applies the bundle, and restarts the chip, as an app in the field does; after the first error it
 * stops.
 * @param[out] result migration_result_free() is due in any case.
 * @return false if the app could not be started at all: then `result->report.after` tells why nothing boots.
 */
bool migration_run(const migration_t *migration, migration_result_t *result);
void migration_result_free(migration_result_t *result);
