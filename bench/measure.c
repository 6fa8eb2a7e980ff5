// SPDX-License-Identifier: Apache-2.0
#include "measure.h"

#include "app.h"
#include "tool/base/command.h"
#include "lower_bound.h"
#include "sim/chip/sim_chip.h"
#include "tool/run/local_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_BOOTS 8u
#define SECTORS   (SCENARIO_FLASH_SIZE / SR_SECTOR_SIZE)
#define BUNDLE    SCENARIO_MAX_PARTS /* Index of the file among those that are served. */
#define LOG_SIZE  65536u

/* app_main() has no parameters, on the chip as here. */
static struct {
    app_job_t job;
    esp_err_t (*app)(const app_job_t *job);
    esp_err_t *error; /* In memory that all boots share. */
    int log;
} running;

static void app_main(void)
{
    dup2(running.log, STDERR_FILENO);
    *running.error = ESP_ERR_NOT_FINISHED;
    *running.error = running.app(&running.job);
}

const char *method_name(method_t method)
{
    static const char *const names[METHOD_COUNT] = {"floor", "classic", "images", "bundle"};
    return names[method];
}

void measure_flash(const nor_flash_t *flash, const nor_timing_t *timing, measurement_t *result)
{
    const nor_stats_t stats = nor_flash_stats(flash);
    result->sector_erases = stats.sector_erases;
    result->block_erases = stats.block_erases;
    result->page_programs = stats.page_programs;
    result->flash_typical_us = (uint64_t)stats.sector_erases * timing->sector_erase_typical_us +
                               (uint64_t)stats.block_erases * timing->block_erase_typical_us +
                               (uint64_t)stats.page_programs * timing->page_program_typical_us;
    result->flash_maximum_us = (uint64_t)stats.sector_erases * timing->sector_erase_maximum_us +
                               (uint64_t)stats.block_erases * timing->block_erase_maximum_us +
                               (uint64_t)stats.page_programs * timing->page_program_maximum_us;
    result->read_us = stats.bytes_read * timing->read_us_per_kib / 1024;
    for (uint32_t i = 0; i < SECTORS; i++) {
        const uint32_t wear = nor_flash_wear(flash, i);
        result->wear_total += wear;
        result->wear_maximum = wear > result->wear_maximum ? wear : result->wear_maximum;
    }
}

nor_flash_t *measure_new_flash(const uint8_t *content, const nor_timing_t *timing)
{
    nor_flash_t *flash = nor_flash_new(SCENARIO_FLASH_SIZE, timing);
    if (flash == NULL) {
        complain(STATUS_BAD_INPUT, "bench: no memory for a flash");
    } else {
        memcpy(nor_flash_bytes(flash), content, SCENARIO_FLASH_SIZE);
    }
    return flash;
}

/* The first error line of the app's log, without time stamp and tag. */
static void find_cause(char *text, size_t capacity)
{
    static char log[LOG_SIZE];
    const ssize_t length = pread(running.log, log, sizeof(log) - 1, 0);
    log[length > 0 ? length : 0] = '\0';
    char *rest = NULL;
    for (char *line = strtok_r(log, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        const char *message = strstr(line, ": ");
        if (strncmp(line, "E (", 3) == 0 || strncmp(line, "Panic: ", 7) == 0) {
            (void)snprintf(text, capacity, "%s", message == NULL ? line : message + 2);
            return;
        }
    }
    (void)snprintf(text, capacity, "%s", esp_err_to_name(*running.error));
}

/* True if the parts are where they must be, whole. */
static bool holds_target(const scenario_t *scenario, const nor_flash_t *flash)
{
    uint8_t *target = malloc(SCENARIO_FLASH_SIZE);
    bool same = target != NULL;
    if (same) {
        memcpy(target, nor_flash_view(flash), SCENARIO_FLASH_SIZE);
        scenario_apply(scenario, target);
        same = memcmp(target, nor_flash_view(flash), SCENARIO_FLASH_SIZE) == 0;
    }
    free(target);
    return same;
}

static void assess(const scenario_t *scenario, const nor_flash_t *flash, const sim_report_t *report,
                   measurement_t *result)
{
    result->network_bytes = report->counters.bytes_downloaded;
    result->heap_peak = report->counters.heap_peak;
    result->restarts = report->counters.restarts;
    if (report->last_end == SIM_END_PANIC || (*running.error != ESP_OK && report->last_end != SIM_END_RESTART)) {
        find_cause(result->why_not, sizeof(result->why_not));
    } else if (!holds_target(scenario, flash)) {
        (void)snprintf(result->why_not, sizeof(result->why_not), "ended with another content than it had to");
    } else if (!boot_succeeds(&report->after)) {
        (void)snprintf(result->why_not, sizeof(result->why_not), "does not boot: %.120s", report->after.reason);
    } else {
        result->done = true;
    }
}

static void run_app(const scenario_t *scenario, nor_flash_t *flash, const nor_timing_t *timing, measurement_t *result)
{
    const sim_config_t config = {.chip = scenario->chip, .flash = flash, .running_app = UINT32_MAX};
    flash_record_t *record = flash_record_new(flash);
    sim_report_t report;
    boot_window_t window;
    if (record == NULL || !sim_run(&config, app_main, MAX_BOOTS, &report)) {
        (void)snprintf(result->why_not, sizeof(result->why_not), "the chip could not be started");
    } else {
        measure_flash(flash, timing, result);
        assess(scenario, flash, &report, result);
        if (result->done && boot_window_measure(record, &scenario->chip, NULL, &window, NULL)) {
            result->window_typical_us = window.typical_us;
            result->window_maximum_us = window.maximum_us;
        }
    }
    flash_record_delete(record);
}

static local_server_t *serve(const scenario_t *scenario)
{
    image_file_t files[BUNDLE + 1] = {0};
    for (unsigned i = 0; i < scenario->part_count; i++) {
        files[i] = (image_file_t){.bytes = (uint8_t *)scenario->parts[i].data, .size = scenario->parts[i].length};
    }
    files[BUNDLE] = (image_file_t){.bytes = scenario->bundle, .size = scenario->bundle_size};
    // the server is a process of its own, with its own copy of the list
    local_server_t *server = local_server_start(files, BUNDLE + 1);
    for (unsigned i = 0; server != NULL && i < scenario->part_count; i++) {
        local_server_url(server, i, running.job.part_urls[i]);
    }
    if (server != NULL) {
        local_server_url(server, BUNDLE, running.job.bundle_url);
    }
    return server;
}

static void measure_app(const scenario_t *scenario, method_t method, const nor_timing_t *timing, measurement_t *result)
{
    static esp_err_t (*const apps[METHOD_COUNT])(const app_job_t *job) = {NULL, app_classic, app_images, app_bundle};
    const bool other_flash = method == METHOD_BUNDLE && scenario->flash_with_bundle != NULL;
    running.app = apps[method];
    running.job.scenario = scenario;
    running.log = memfd_create("app-log", MFD_CLOEXEC);
    running.error = mmap(NULL, sizeof(*running.error), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    nor_flash_t *flash = measure_new_flash(other_flash ? scenario->flash_with_bundle : scenario->flash, timing);
    local_server_t *server = serve(scenario);
    if (running.log >= 0 && running.error != MAP_FAILED && flash != NULL && server != NULL) {
        run_app(scenario, flash, timing, result);
    } else {
        (void)snprintf(result->why_not, sizeof(result->why_not), "out of memory");
    }
    local_server_stop(server);
    nor_flash_delete(flash);
    if (running.error != MAP_FAILED) {
        munmap(running.error, sizeof(*running.error));
    }
    close(running.log);
}

void measure(const scenario_t *scenario, method_t method, const nor_timing_t *timing, measurement_t *result)
{
    *result = (measurement_t){0};
    if (method == METHOD_LOWER_BOUND) {
        lower_bound_measure(scenario, timing, result);
    } else {
        measure_app(scenario, method, timing, result);
    }
}
