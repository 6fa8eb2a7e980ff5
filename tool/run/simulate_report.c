// SPDX-License-Identifier: Apache-2.0
#include "tool/run/simulate_report.h"

#include "tool/base/number.h"
#include "tool/report/boot_report.h"
#include "tool/report/data_loss.h"
#include "tool/report/dump_extent.h"
#include "tool/report/flash_map.h"
#include "self_reflasher_err.h"
#include "tool/base/terminal.h"
#include "tool/base/way_out.h"

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

simulate_end_t simulate_report_end(const simulate_report_t *report)
{
    const migration_t *migration = report->migration;
    const uint32_t planned = report->result->plan.app_address;
    const boot_result_t *boot = &report->after->boot;
    if (report->result->error != ESP_OK) {
        return SIMULATE_FAILED;
    }
    if (!boot_succeeds(boot)) {
        return SIMULATE_NO_BOOT;
    }
    const uint8_t *flash = nor_flash_view(migration->flash);
    const bool misses =
        migration->bundle != NULL
            ? planned != UINT32_MAX && planned != boot->app_offset
            : migration_misses_new_app(migration, flash, nor_flash_size(migration->flash), boot->app_offset);
    return misses                                          ? SIMULATE_OLD_APP
           : report->first != NULL && !report->first->good ? SIMULATE_NOT_ENCRYPTED
                                                           : SIMULATE_GOOD;
}

const char *simulate_report_way_out(const simulate_report_t *report, char out[ROOM_TEXT_SIZE])
{
    const migration_result_t *result = report->result;
    if (report->room != NULL) {
        return room_text(report->room, 0, out);
    }
    if (simulate_report_end(report) == SIMULATE_OLD_APP) {
        return SIMULATE_OLD_APP_WAY_OUT;
    }
    return result->error == ESP_ERR_SELF_REFLASHER_REFUSED ? way_out_of_refusal(result->plan.refusal)
                                                           : way_out_of_error(result->error);
}

static void print_result(const simulate_report_t *report)
{
    const migration_result_t *result = report->result;
    terminal_key("result");
    if (simulate_report_end(report) == SIMULATE_OLD_APP) {
        terminal_print(STYLE_BAD, "written, but the new app does not start");
        putchar('\n');
        terminal_key("way out");
        terminal_wrap(SIMULATE_OLD_APP_WAY_OUT, 15, 15);
        return;
    }
    if (result->error == ESP_OK) {
        terminal_print(STYLE_GOOD, "done");
        putchar('\n');
        return;
    }
    terminal_print(STYLE_BAD, esp_self_reflasher_err_to_name(result->error));
    if (report->migration->bundle == NULL) {
        printf(" in step %zu", result->failed_step + 1);
    }
    putchar('\n');
    if (result->message[0] != '\0') {
        terminal_key("");
        terminal_wrap(result->message, 15, 15);
    }
    char text[ROOM_TEXT_SIZE];
    const char *way_out = simulate_report_way_out(report, text);
    if (report->room != NULL) {
        room_print(report->room);
    } else if (way_out != NULL) {
        terminal_key("way out");
        terminal_wrap(way_out, 15, 15);
    }
}

/** How the app is relocated; NULL if it is not. */
static const char *relocation_name(esp_self_reflasher_relocation_t relocation)
{
    static const char *const names[] = {
        [ESP_SELF_REFLASHER_RELOCATION_SLOT] = "slot",
        [ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE] = "temporary_table",
        [ESP_SELF_REFLASHER_RELOCATION_IN_PLACE] = "in_place",
    };
    return names[relocation];
}

static void print_relocation(const esp_self_reflasher_plan_t *plan)
{
    switch (plan->relocation) {
    case ESP_SELF_REFLASHER_RELOCATION_NONE:
        return;
    case ESP_SELF_REFLASHER_RELOCATION_SLOT:
        terminal_key("app moves");
        printf("to the OTA slot at 0x%06" PRIx32 "\n", plan->relocate_to);
        return;
    case ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE:
        terminal_key("app moves");
        printf("to 0x%06" PRIx32 " by a temporary table: window %.3f s more, at most %.3f s\n", plan->relocate_to,
               plan->relocation_ms_typical / 1e3, plan->relocation_ms_maximum / 1e3);
        return;
    case ESP_SELF_REFLASHER_RELOCATION_IN_PLACE:
        terminal_key("app");
        printf("is overwritten in place: window %.3f s more, at most %.3f s\n", plan->relocation_ms_typical / 1e3,
               plan->relocation_ms_maximum / 1e3);
        return;
    }
}

static void print_plan(const esp_self_reflasher_plan_t *plan)
{
    char text[NUMBER_TEXT_SIZE];
    terminal_key("sectors");
    printf("%s, %" PRIu32 " of them right; %" PRIu32 " to write, %" PRIu32 " on the boot path\n",
           number_grouped(plan->sectors_total, text), plan->sectors_right, plan->sectors_to_write,
           plan->sectors_boot_path);
    if (plan->sectors_left > 0) {
        terminal_key("left");
        char sectors[NUMBER_COUNT_SIZE];
        printf("%s under the app, to be blank\n", number_count(plan->sectors_left, "sector", sectors));
    }
    if (plan->installed) {
        terminal_key("installed");
        puts("yes: what the new system owns is not compared");
    }
    if (plan->sequence != 0) {
        terminal_key("sequence");
        printf("%" PRIu32 "\n", plan->sequence);
    }
    terminal_key("planned");
    printf("%s bytes, flash %.3f s, at most %.3f s\n", number_grouped(plan->bytes_to_download, text),
           plan->flash_ms_typical / 1e3, plan->flash_ms_maximum / 1e3);
    if (plan->sectors_given_up > 0) {
        char sectors[NUMBER_COUNT_SIZE];
        terminal_key("given up");
        printf("%s of the old system\n", number_count(plan->sectors_given_up, "sector", sectors));
    }
    if (plan->sectors_moved > 0) {
        terminal_key("moved");
        printf("%" PRIu32 " of these sectors from elsewhere in the flash\n", plan->sectors_moved);
    }
    terminal_key("staging");
    if (plan->staging_address == UINT32_MAX) {
        puts("RAM");
    } else {
        printf("flash at 0x%06" PRIx32 "\n", plan->staging_address);
    }
    if (plan->recovery_address != UINT32_MAX) {
        terminal_key("recovery");
        printf("bootloader at 0x%06" PRIx32 " stands in\n", plan->recovery_address);
    }
}

/** The plan knows which sectors go last, but not which of them may be torn without a failed boot. */
static void print_window_planned(const simulate_report_t *report)
{
    const esp_self_reflasher_plan_t *plan = &report->result->plan;
    if (report->migration->bundle == NULL || report->result->error != ESP_OK || plan->window_ms_maximum == 0) {
        return;
    }
    char text[160];
    snprintf(text, sizeof(text),
             "measured: where a power loss is fatal. The plan's %.3f s, at most %.3f s, is the whole last step",
             plan->window_ms_typical / 1e3, plan->window_ms_maximum / 1e3);
    terminal_key("");
    terminal_wrap(text, 15, 15);
}

/** The plan counts each chunk once. */
static void print_more_downloaded(const simulate_report_t *report)
{
    const uint64_t planned = report->result->plan.bytes_to_download;
    const uint64_t downloaded = report->result->report.counters.bytes_downloaded;
    if (report->migration->bundle == NULL || downloaded <= planned) {
        return;
    }
    char more[NUMBER_TEXT_SIZE];
    char text[160];
    snprintf(text, sizeof(text),
             "%s more than planned: what is fetched once more after a restart, for the checks, or for the "
             "last step",
             number_grouped(downloaded - planned, more));
    terminal_key("");
    terminal_wrap(text, 15, 15);
}

static void find_losses(const simulate_report_t *report, data_losses_t *losses)
{
    const data_loss_side_t before = {report->before->bytes, report->before->size, &report->before->table};
    const data_loss_side_t after = {report->after->bytes, report->after->size, &report->after->table};
    losses->count = 0;
    if (report->result->error == ESP_OK) {
        data_losses_find(&before, &after, &report->given_up, losses);
    }
}

static void print_losses(const simulate_report_t *report)
{
    data_losses_t losses;
    find_losses(report, &losses);
    data_losses_print(&losses);
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
    char pages[NUMBER_COUNT_SIZE];
    char sectors[NUMBER_COUNT_SIZE];
    printf("%s in %s\n", number_count(stats->page_programs, "page", pages),
           number_count(result->window.sectors_programmed, "sector", sectors));
    print_time("flash time", stats->typical_us, stats->maximum_us);
    print_time("window", result->window.typical_us, result->window.maximum_us);
    print_window_planned(report);
    keep_bootloader_print(&report->keep);
    terminal_key("downloaded");
    char requests[NUMBER_COUNT_SIZE];
    printf("%s bytes in %s\n", number_grouped(counters->bytes_downloaded, a),
           number_count(counters->http_requests, "request", requests));
    print_more_downloaded(report);
    terminal_key("peak heap");
    printf("%s bytes\n", number_grouped(counters->heap_peak, a));
}

void simulate_report_print(const simulate_report_t *report)
{
    terminal_heading("Flash map");
    flash_map_print_change(report->before, report->after);
    terminal_heading("Migration");
    print_result(report);
    if (report->result->plan.sectors_total > 0) { // else it did not come to a plan
        print_relocation(&report->result->plan);
        print_plan(&report->result->plan);
    }
    print_losses(report);
    print_costs(report);
    putchar('\n');
    boot_report_print(&report->after->boot, report->after->boot_app_name);
    if (report->first != NULL) {
        first_encryption_report_print(report->first);
    }
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

/** "signature" or the like; NULL if a bundle is not refused. */
static const char *refusal_name(esp_self_reflasher_refusal_t refusal)
{
    static const char *const names[] = {
        [ESP_SELF_REFLASHER_REFUSED_FORMAT] = "format",
        [ESP_SELF_REFLASHER_REFUSED_SIGNATURE] = "signature",
        [ESP_SELF_REFLASHER_REFUSED_CHIP] = "chip",
        [ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE] = "flash_size",
        [ESP_SELF_REFLASHER_REFUSED_BOOTLOADER] = "bootloader",
        [ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE] = "bootloader_size",
        [ESP_SELF_REFLASHER_REFUSED_FLASH_MODE] = "flash_mode",
        [ESP_SELF_REFLASHER_REFUSED_REVISION] = "revision",
        [ESP_SELF_REFLASHER_REFUSED_TABLE] = "table",
        [ESP_SELF_REFLASHER_REFUSED_APP] = "app",
        [ESP_SELF_REFLASHER_REFUSED_ROLLBACK] = "rollback",
        [ESP_SELF_REFLASHER_REFUSED_RUNNING_APP] = "running_app",
        [ESP_SELF_REFLASHER_REFUSED_SECURITY] = "security",
        [ESP_SELF_REFLASHER_REFUSED_SOURCE] = "source",
        [ESP_SELF_REFLASHER_REFUSED_MOVE] = "move",
        [ESP_SELF_REFLASHER_REFUSED_READ_ONLY] = "read_only",
        [ESP_SELF_REFLASHER_REFUSED_SEQUENCE] = "sequence",
        [ESP_SELF_REFLASHER_REFUSED_NO_ROOM] = "no_room",
    };
    return (size_t)refusal < sizeof(names) / sizeof(names[0]) ? names[refusal] : NULL;
}

static void add_text(cJSON *json, const char *name, const char *text)
{
    cJSON_AddItemToObject(json, name, text != NULL ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void add_address(cJSON *json, const char *name, uint32_t address)
{
    cJSON_AddItemToObject(json, name, address != UINT32_MAX ? cJSON_CreateNumber(address) : cJSON_CreateNull());
}

static cJSON *plan_json(const esp_self_reflasher_plan_t *plan)
{
    cJSON *json = cJSON_CreateObject();
    add_text(json, "refusal", refusal_name(plan->refusal));
    cJSON_AddStringToObject(json, "refusal_text", plan->refusal_text);
    cJSON_AddNumberToObject(json, "sectors_total", plan->sectors_total);
    cJSON_AddNumberToObject(json, "sectors_right", plan->sectors_right);
    cJSON_AddNumberToObject(json, "sectors_to_write", plan->sectors_to_write);
    cJSON_AddNumberToObject(json, "sectors_boot_path", plan->sectors_boot_path);
    cJSON_AddNumberToObject(json, "sectors_moved", plan->sectors_moved);
    cJSON_AddNumberToObject(json, "sectors_given_up", plan->sectors_given_up);
    cJSON_AddNumberToObject(json, "bytes_missing", plan->bytes_missing);
    cJSON_AddNumberToObject(json, "bytes_to_download", plan->bytes_to_download);
    cJSON_AddNumberToObject(json, "flash_ms_typical", plan->flash_ms_typical);
    cJSON_AddNumberToObject(json, "flash_ms_maximum", plan->flash_ms_maximum);
    cJSON_AddNumberToObject(json, "window_ms_typical", plan->window_ms_typical);
    cJSON_AddNumberToObject(json, "window_ms_maximum", plan->window_ms_maximum);
    cJSON_AddBoolToObject(json, "must_relocate", plan->must_relocate);
    add_address(json, "relocate_to", plan->relocate_to);
    add_address(json, "staging_address", plan->staging_address);
    add_address(json, "recovery_address", plan->recovery_address);
    add_text(json, "relocation", relocation_name(plan->relocation));
    cJSON_AddNumberToObject(json, "relocation_ms_typical", plan->relocation_ms_typical);
    cJSON_AddNumberToObject(json, "relocation_ms_maximum", plan->relocation_ms_maximum);
    cJSON_AddNumberToObject(json, "sectors_left", plan->sectors_left);
    cJSON_AddNumberToObject(json, "sequence", plan->sequence);
    cJSON_AddBoolToObject(json, "installed", plan->installed);
    add_address(json, "app_address", plan->app_address);
    return json;
}

/** How it ended. */
static void add_result(cJSON *json, const simulate_report_t *report)
{
    const migration_t *migration = report->migration;
    const migration_result_t *result = report->result;
    cJSON_AddStringToObject(json, "result", esp_self_reflasher_err_to_name(result->error));
    if (migration->bundle != NULL) {
        cJSON_AddItemToObject(json, "plan", plan_json(&result->plan));
        cJSON_AddNumberToObject(json, "retries", result->retries);
    } else if (result->error == ESP_OK) {
        cJSON_AddNullToObject(json, "failed_step");
    } else {
        cJSON_AddNumberToObject(json, "failed_step", (double)result->failed_step + 1);
    }
    cJSON_AddStringToObject(json, "message", result->message);
    cJSON_AddBoolToObject(json, "new_app_missed", simulate_report_end(report) == SIMULATE_OLD_APP);
    char text[ROOM_TEXT_SIZE];
    add_text(json, "way_out", simulate_report_way_out(report, text));
    cJSON_AddItemToObject(json, "room", room_json(report->room));
}

cJSON *simulate_report_json(const simulate_report_t *report)
{
    const migration_result_t *result = report->result;
    cJSON *json = cJSON_CreateObject();
    add_result(json, report);
    add_times(json, "flash_ms", "flash_ms_maximum", result->stats.typical_us, result->stats.maximum_us);
    add_times(json, "window_ms", "window_ms_maximum", result->window.typical_us, result->window.maximum_us);
    add_counts(json, result);
    data_losses_t losses;
    find_losses(report, &losses);
    cJSON_AddItemToObject(json, "data_lost", data_losses_json(&losses));
    cJSON_AddItemToObject(json, "keep_bootloader", keep_bootloader_json(&report->keep));
    cJSON_AddItemToObject(json, "boot_before", dump_boot_json(report->before));
    cJSON_AddItemToObject(json, "boot", dump_boot_json(report->after));
    cJSON_AddItemToObject(json, "first_encryption", first_encryption_report_json(report->first));
    return json;
}
