// SPDX-License-Identifier: Apache-2.0
#include "simulate_report.h"

#include "boot_report.h"
#include "flash_map.h"
#include "number.h"
#include "self_reflasher_err.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>

static double milliseconds(uint64_t microseconds)
{
    return (double)microseconds / 1000.0;
}

static void print_time(const char *key, uint64_t typical_us, uint64_t maximum_us)
{
    terminal_key(key);
    printf("%.3f s, at most %.3f s\n", (double)typical_us / 1e6, (double)maximum_us / 1e6);
}

static void print_result(const simulate_report_t *report)
{
    const migration_result_t *result = report->result;
    terminal_key("result");
    if (result->error == ESP_OK) {
        terminal_print(STYLE_GOOD, "done");
        putchar('\n');
        return;
    }
    terminal_print(STYLE_BAD, esp_self_reflasher_err_to_name(result->error));
    printf(" in step %zu\n", result->failed_step + 1);
    if (result->message[0] != '\0') {
        terminal_key("");
        terminal_wrap(result->message, 15, 15);
    }
}

static void print_costs(const simulate_report_t *report)
{
    const migration_result_t *result = report->result;
    const nor_stats_t *stats = &result->stats;
    const sim_counters_t *counters = &result->report.counters;
    char a[NUMBER_TEXT_SIZE];
    char b[NUMBER_TEXT_SIZE];
    terminal_key("erases");
    printf("%s of 4 KiB, %s of 64 KiB\n", number_grouped(stats->sector_erases, a),
           number_grouped(stats->block_erases, b));
    terminal_key("programs");
    printf("%s pages in %s sectors\n", number_grouped(stats->page_programs, a),
           number_grouped(result->window.sectors_programmed, b));
    print_time("flash time", stats->typical_us, stats->maximum_us);
    print_time("window", result->window.typical_us, result->window.maximum_us);
    terminal_key("downloaded");
    printf("%s bytes in %" PRIu32 " requests\n", number_grouped(counters->bytes_downloaded, a),
           counters->http_requests);
    terminal_key("peak heap");
    printf("%s bytes\n", number_grouped(counters->heap_peak, a));
}

void simulate_report_print(const simulate_report_t *report)
{
    terminal_heading("Flash map");
    flash_map_print_change(report->before, report->after);
    terminal_heading("Migration");
    print_result(report);
    print_costs(report);
    putchar('\n');
    boot_report_print(&report->after->boot, report->after->boot_app_name);
}

static void add_times(cJSON *json, const char *name, const char *name_maximum, uint64_t typical_us, uint64_t maximum_us)
{
    cJSON_AddNumberToObject(json, name, milliseconds(typical_us));
    cJSON_AddNumberToObject(json, name_maximum, milliseconds(maximum_us));
}

static void add_counts(cJSON *json, const migration_result_t *result)
{
    const nor_stats_t *stats = &result->stats;
    const sim_counters_t *counters = &result->report.counters;
    cJSON_AddNumberToObject(json, "erases", stats->sector_erases + stats->block_erases);
    cJSON_AddNumberToObject(json, "sector_erases", stats->sector_erases);
    cJSON_AddNumberToObject(json, "block_erases", stats->block_erases);
    cJSON_AddNumberToObject(json, "programs", stats->page_programs);
    cJSON_AddNumberToObject(json, "sectors_written", result->window.sectors_programmed);
    cJSON_AddNumberToObject(json, "bytes_programmed", (double)stats->bytes_programmed);
    cJSON_AddNumberToObject(json, "bytes_downloaded", (double)counters->bytes_downloaded);
    cJSON_AddNumberToObject(json, "http_requests", counters->http_requests);
    cJSON_AddNumberToObject(json, "peak_heap", counters->heap_peak);
    cJSON_AddNumberToObject(json, "window_operations", result->window.operations);
}

cJSON *simulate_report_json(const simulate_report_t *report)
{
    const migration_result_t *result = report->result;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "result", esp_self_reflasher_err_to_name(result->error));
    if (result->error == ESP_OK) {
        cJSON_AddNullToObject(json, "failed_step");
    } else {
        cJSON_AddNumberToObject(json, "failed_step", (double)result->failed_step + 1);
    }
    cJSON_AddStringToObject(json, "message", result->message);
    add_times(json, "flash_ms", "flash_ms_maximum", result->stats.typical_us, result->stats.maximum_us);
    add_times(json, "window_ms", "window_ms_maximum", result->window.typical_us, result->window.maximum_us);
    add_counts(json, result);
    cJSON_AddItemToObject(
        json, "boot_before",
        boot_report_json(&report->before->chip, &report->before->boot, report->before->boot_app_name));
    cJSON_AddItemToObject(json, "boot",
                          boot_report_json(&report->after->chip, &report->after->boot, report->after->boot_app_name));
    return json;
}
