// SPDX-License-Identifier: Apache-2.0
/** @file
 * Runs one method on one scenario and collects the numbers.
 */
#pragma once

#include "sim/boot/boot_window.h"
#include "esp_err.h"
#include "sim/nor/nor_flash.h"
#include "scenario.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum method { METHOD_LOWER_BOUND, METHOD_CLASSIC, METHOD_IMAGES, METHOD_BUNDLE, METHOD_COUNT } method_t;

/** "floor", "classic", "images", "bundle". */
const char *method_name(method_t method);

typedef struct measurement {
    bool done;
    char why_not[160];                           /**< Empty if the method succeeded. */
    uint64_t flash_typical_us, flash_maximum_us; /**< Erases and programs. */
    uint64_t read_us;
    uint32_t sector_erases, block_erases, page_programs;
    uint32_t wear_maximum; /**< Erase cycles of the sector that has seen the most. */
    uint32_t wear_total;   /**< Erase cycles of all sectors. */
    uint64_t network_bytes;
    uint32_t heap_peak;
    uint32_t restarts;
    uint64_t window_typical_us, window_maximum_us;
} measurement_t;

/** Copies the counters and the wear of a flash. */
void measure_flash(const nor_flash_t *flash, const nor_timing_t *timing, measurement_t *result);

/** A flash with this content, with counters at zero; NULL after complaining. */
nor_flash_t *measure_new_flash(const uint8_t *content, const nor_timing_t *timing);

/** Runs the method. Errors are in @p result. */
void measure(const scenario_t *scenario, method_t method, const nor_timing_t *timing, measurement_t *result);
