// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#define SECTORS (SCENARIO_FLASH_SIZE / SR_SECTOR_SIZE)

static double milliseconds(uint64_t us)
{
    return (double)us / 1000.0;
}

static double mean_wear(const measurement_t *result)
{
    const uint32_t sectors = SECTORS;
    return (double)result->wear_total / (double)sectors;
}

/* "1.05", or "-" where there is nothing to compare with. */
static void print_ratio(uint64_t value, uint64_t lower_bound)
{
    if (lower_bound == 0) {
        printf(" %6s", value == 0 ? "=" : "-");
    } else {
        printf(" %6.2f", (double)value / (double)lower_bound);
    }
}

static void print_row(method_t method, const measurement_t *result, const measurement_t *lower_bound)
{
    printf("  %-8s", method_name(method));
    if (!result->done) {
        printf(" not possible: %s\n", result->why_not);
        return;
    }
    printf(" %8.2f %8.2f", milliseconds(result->flash_typical_us) / 1000,
           milliseconds(result->flash_maximum_us) / 1000);
    print_ratio(result->flash_typical_us, lower_bound->flash_typical_us);
    printf(" %6.2f", milliseconds(result->read_us) / 1000);
    printf(" %5" PRIu32 " %7.3f", result->wear_maximum, mean_wear(result));
    printf(" %8.1f", (double)result->network_bytes / 1024);
    printf(" %8.1f %8.1f", milliseconds(result->window_typical_us), milliseconds(result->window_maximum_us));
    print_ratio(result->window_typical_us, lower_bound->window_typical_us);
    if (method == METHOD_LOWER_BOUND) {
        printf(" %8s\n", "-");
    } else {
        printf(" %8.1f\n", (double)result->heap_peak / 1024);
    }
}

void report_print(const scenario_t *scenario, const measurement_t results[METHOD_COUNT])
{
    printf("%s (%s; %s)\n", scenario->title, scenario->name, scenario->firmware);
    printf("  %-8s %17s %6s %6s %13s %8s %17s %6s %8s\n", "", "flash s", "/floor", "read s", "erases/sector", "network",
           "window ms", "/floor", "heap KiB");
    printf("  %-8s %8s %8s %6s %6s %5s %7s %8s %8s %8s %6s %8s\n", "", "typical", "maximum", "", "", "max", "mean",
           "KiB", "typical", "maximum", "", "peak");
    for (method_t method = METHOD_LOWER_BOUND; method < METHOD_COUNT; method++) {
        print_row(method, &results[method], &results[METHOD_LOWER_BOUND]);
    }
    printf("\n");
}

static void add_number(cJSON *object, const char *name, double value)
{
    cJSON_AddNumberToObject(object, name, value);
}

static void add_times(cJSON *object, const char *name, uint64_t typical_us, uint64_t maximum_us)
{
    cJSON *times = cJSON_AddObjectToObject(object, name);
    add_number(times, "typical", milliseconds(typical_us));
    add_number(times, "maximum", milliseconds(maximum_us));
}

static cJSON *method_json(const measurement_t *result)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddBoolToObject(object, "done", result->done);
    if (!result->done) {
        cJSON_AddStringToObject(object, "why_not", result->why_not);
        return object;
    }
    add_times(object, "flash_ms", result->flash_typical_us, result->flash_maximum_us);
    add_number(object, "read_ms", milliseconds(result->read_us));
    add_number(object, "sector_erases", result->sector_erases);
    add_number(object, "block_erases", result->block_erases);
    add_number(object, "page_programs", result->page_programs);
    add_number(object, "wear_maximum", result->wear_maximum);
    add_number(object, "wear_mean", mean_wear(result));
    add_number(object, "network_bytes", (double)result->network_bytes);
    add_times(object, "window_ms", result->window_typical_us, result->window_maximum_us);
    add_number(object, "heap_peak", result->heap_peak);
    add_number(object, "restarts", result->restarts);
    return object;
}

cJSON *report_json(const scenario_t *scenario, const measurement_t results[METHOD_COUNT])
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", scenario->name);
    cJSON_AddStringToObject(object, "title", scenario->title);
    cJSON_AddStringToObject(object, "firmware", scenario->firmware);
    cJSON *methods = cJSON_AddObjectToObject(object, "methods");
    for (method_t method = METHOD_LOWER_BOUND; method < METHOD_COUNT; method++) {
        cJSON_AddItemToObject(methods, method_name(method), method_json(&results[method]));
    }
    return object;
}
