// SPDX-License-Identifier: Apache-2.0
#include "tool/run/migration.h"

#include "esp_crt_bundle.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "format/sr_image.h"
#include "format/sr_partition_table.h"
#include "sim/boot/boot_plain.h"
#include "self_reflasher_cargo.h"
#include "tool/base/chip_options.h"
#include "tool/run/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HTTP_TIMEOUT_MS 20000
#define MAX_BOOTS       100u /**< Each step may have to move the app out of the way first. */

/** What the app, which runs in a process of its own, reports. */
typedef struct app_state {
    bool started;
    bool done; /**< Not set after a copy over the running app: then nobody is left to do so. */
    esp_err_t error;
    size_t step;     /**< The step that it is at. */
    off_t log_start; /**< Where in the log that step begins. */
    esp_self_reflasher_plan_t plan;
    esp_self_reflasher_plan_t relocation; /**< The plan of the start at which the app was relocated. */
    uint32_t retries;
} app_state_t;

// app_main() has no parameters, on the chip as here
static const migration_t *running;
static app_state_t *state; /**< In shared memory. */
static int log_file = -1;

esp_http_client_config_t migration_http(const char *url, const char *ca)
{
    return (esp_http_client_config_t){
        .url = url,
        .timeout_ms = HTTP_TIMEOUT_MS,
        .keep_alive_enable = true,
        .cert_pem = ca,
        .crt_bundle_attach = ca == NULL ? esp_crt_bundle_attach : NULL,
    };
}

static esp_err_t download_step(const migration_step_t *step, const char *ca, esp_self_reflasher_config_t *config,
                               esp_self_reflasher_handle_t *handle)
{
    esp_http_client_config_t http = migration_http(step->url, ca);
    config->http_config = &http;
    esp_err_t error =
        *handle == NULL ? esp_self_reflasher_init(config, handle) : esp_self_reflasher_upd_next_config(config, *handle);
    if (error == ESP_OK) {
        error = esp_self_reflasher_download_bin(*handle);
    }
    if (error == ESP_OK) {
        error = esp_self_reflasher_copy_to_region(*handle);
    }
    return error;
}

addr_region_t migration_source_now(const migration_t *migration, addr_region_t named)
{
    const sr_region_t app = migration->app_image;
    const esp_partition_t *partition = esp_ota_get_running_partition();
    if (partition == NULL || named.region_address < app.address ||
        (uint64_t)named.region_address + named.region_size > (uint64_t)app.address + app.size) {
        return named;
    }
    return (addr_region_t){partition->address + (named.region_address - app.address), named.region_size};
}

static uint32_t flag_of(const esp_self_reflasher_cargo_t *cargo, const char *name, uint32_t flag)
{
    const char *value = esp_self_reflasher_cargo_setting(cargo, name);
    return value != NULL && strcmp(value, "1") == 0 ? flag : 0;
}

void migration_confirm(const migration_t *migration, const esp_self_reflasher_bundle_config_t *config)
{
    esp_ota_img_states_t ota_state;
    esp_self_reflasher_plan_t plan;
    esp_self_reflasher_bundle_config_t asked = *config;
    if (!migration->carries) {
        return;
    }
    if (esp_ota_get_state_partition(esp_ota_get_running_partition(), &ota_state) == ESP_OK &&
        ota_state == ESP_OTA_IMG_PENDING_VERIFY) {
        asked.skip_checks |= ESP_SELF_REFLASHER_CHECK_ROLLBACK;
    }
    asked.event_cb = NULL;
    if (esp_self_reflasher_plan_bundle(&asked, &plan) == ESP_OK && plan.sectors_to_write > 0) {
        (void)esp_ota_mark_app_valid_cancel_rollback();
    }
}

static esp_err_t unpack_cargo(const char *ca, esp_self_reflasher_bundle_config_t *config)
{
    static esp_self_reflasher_cargo_t cargo; // its texts are used until the end
    static esp_http_client_config_t http;
    const esp_err_t err = esp_self_reflasher_find_cargo(&cargo);
    if (err != ESP_OK) {
        return err;
    }
    const char *url = esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_URL);
    if (cargo.bundle.region_size == 0 && url != NULL) {
        http = migration_http(url, ca);
        config->http_config = &http;
    }
    config->embedded = cargo.bundle;
    config->public_key = esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_PUBLIC_KEY);
    config->flags = flag_of(&cargo, ESP_SELF_REFLASHER_CARGO_ALLOW_TEMPORARY_TABLE,
                            ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE) |
                    flag_of(&cargo, ESP_SELF_REFLASHER_CARGO_ALLOW_IN_PLACE, ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    const char *least = esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_MIN_SEQUENCE);
    config->min_sequence = least != NULL ? (uint32_t)strtoul(least, NULL, 10) : 0;
    return ESP_OK;
}

esp_err_t migration_bundle_now(const migration_t *migration, esp_self_reflasher_bundle_config_t *config)
{
    *config = *migration->bundle;
    if (migration->carries) {
        return unpack_cargo(migration->ca, config);
    }
    config->embedded = migration_source_now(migration, config->embedded);
    return ESP_OK;
}

esp_err_t migration_step(const migration_t *migration, const migration_step_t *step,
                         esp_self_reflasher_handle_t *handle)
{
    esp_self_reflasher_config_t config = {
        .src_region = migration_source_now(migration, step->source),
        .dest_region = step->destination,
        .src_bin_size = step->source.region_size,
        .sha256 = step->has_sha256 ? step->sha256 : NULL,
        .progress_cb = migration->show_progress ? progress_update : NULL,
        .flags = migration->flags,
    };
    return step->url != NULL ? download_step(step, migration->ca, &config, handle)
                             : esp_self_reflasher_directly_copy_to_region(&config);
}

static esp_err_t run_step(const migration_step_t *step, esp_self_reflasher_handle_t *handle)
{
    if (running->show_progress) {
        progress_step((unsigned)state->step + 1, (unsigned)running->step_count, step->name,
                      step->destination.region_address, (uint32_t)step->destination.region_size);
    }
    return migration_step(running, step, handle);
}

static void on_event(void *context, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    state->retries = data->retries;
    if (running->show_progress) {
        progress_event(context, event, data);
    }
}

static void apply_bundle(void)
{
    esp_self_reflasher_bundle_config_t config;
    state->error = migration_bundle_now(running, &config);
    if (state->error != ESP_OK) {
        return;
    }
    migration_confirm(running, &config);
    config.event_cb = on_event;
    if (state->plan.relocation != ESP_SELF_REFLASHER_RELOCATION_NONE) {
        state->relocation = state->plan;
    }
    state->error = ESP_ERR_NOT_FINISHED;
    state->error = esp_self_reflasher_apply_bundle(&config, &state->plan);
    state->done = state->error == ESP_OK;
}

/** From the step on at which the app was relocated and restarted, if it was. */
static void run_steps(void)
{
    esp_self_reflasher_handle_t handle = NULL;
    state->error = ESP_OK;
    for (; state->step < running->step_count; state->step++) {
        state->log_start = lseek(log_file, 0, SEEK_END);
        state->error = run_step(&running->steps[state->step], &handle);
        if (state->error != ESP_OK) {
            break;
        }
    }
    if (handle != NULL) {
        esp_self_reflasher_deinit(handle);
    }
    state->done = state->error == ESP_OK;
}

static bool changed_anything(void)
{
    return running->bundle == NULL || state->plan.sectors_to_write > 0;
}

/** The app. */
static void migrate(void)
{
    if (state->done) {
        return; // the app is part of the new system, too
    }
    if (!running->show_log) {
        dup2(log_file, STDERR_FILENO);
    }
    if (state->started && running->show_progress) {
        progress_restarted();
    }
    state->started = true;
    if (running->bundle != NULL) {
        apply_bundle();
    } else {
        run_steps();
    }
    if (state->done && changed_anything()) {
        esp_restart();
    }
}

/** The log of the app from an offset on, terminated; NULL without memory. */
static char *read_log(off_t start)
{
    off_t size = lseek(log_file, 0, SEEK_END) - start;
    char *log = size < 0 ? NULL : calloc((size_t)size + 1, 1);
    if (log != NULL && pread(log_file, log, (size_t)size, start) != size) {
        log[0] = '\0';
    }
    return log;
}

/** Takes the first error line of the step, without time stamp and tag: there the component tells the cause and its
 * numbers; the lines after it come from its callers. */
static void find_message(char *log, char *message, size_t capacity)
{
    char *rest = NULL;
    for (char *line = strtok_r(log, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        bool panic = strncmp(line, "Panic: ", 7) == 0;
        if (panic || strncmp(line, "E (", 3) == 0) {
            const char *text = strstr(line, ": ");
            snprintf(message, capacity, "%s", panic || text == NULL ? line : text + 2);
            return;
        }
    }
}

/** A copy over the running app ends in a reset: nothing is left that could report the result, or run the next step. */
static bool ends_in_place(const migration_result_t *result)
{
    bool same_app = boot_succeeds(&result->report.after) && !result->report.other_app;
    bool last = running->bundle != NULL ? state->plan.relocation == ESP_SELF_REFLASHER_RELOCATION_IN_PLACE
                                        : state->step + 1 == running->step_count;
    return last && !same_app;
}

/** The plan of the last start, with what an earlier one said about the relocation. */
static esp_self_reflasher_plan_t whole_plan(void)
{
    esp_self_reflasher_plan_t plan = state->plan;
    const esp_self_reflasher_plan_t *moved = &state->relocation;
    if (plan.relocation == ESP_SELF_REFLASHER_RELOCATION_NONE && moved->relocation != plan.relocation) {
        plan.relocation = moved->relocation;
        plan.relocate_to = moved->relocate_to;
        plan.relocation_ms_typical = moved->relocation_ms_typical;
        plan.relocation_ms_maximum = moved->relocation_ms_maximum;
        plan.bytes_to_download = moved->bytes_to_download;
        plan.sectors_given_up = moved->sectors_given_up;
    }
    return plan;
}

static void assess(migration_result_t *result)
{
    result->error = state->error;
    result->failed_step = state->step;
    result->plan = whole_plan();
    result->retries = state->retries;
    sim_end_t end = result->report.last_end;
    if (running->bundle != NULL && result->error == ESP_ERR_NOT_FINISHED && end == SIM_END_RESTART &&
        ends_in_place(result)) {
        result->error = ESP_OK;
    } else if (result->error == ESP_OK && end == SIM_END_PANIC) {
        result->error = ESP_FAIL;
    } else if (result->error == ESP_OK && running->bundle == NULL && !state->done && !ends_in_place(result)) {
        result->error = ESP_ERR_NOT_FINISHED;
    }
    char *log = read_log(state->log_start);
    if (log != NULL && end == SIM_END_PANIC) {
        fputs(log, stderr);
    }
    if (log != NULL && result->error != ESP_OK) {
        find_message(log, result->message, sizeof(result->message));
    }
    free(log);
}

/** True if one of the images covers this address. */
static bool is_brought(const migration_t *migration, uint32_t address)
{
    for (size_t i = 0; i < migration->step_count; i++) {
        const addr_region_t place = migration->steps[i].destination;
        if (address >= place.region_address && address - place.region_address < place.region_size) {
            return true;
        }
    }
    return false;
}

bool migration_misses_new_app(const migration_t *migration, const uint8_t *flash, uint32_t size, uint32_t app)
{
    sr_partition_table_t table;
    const uint32_t offset = boot_table_offset(&migration->chip, flash, size);
    flash = boot_plain(&migration->chip, flash, size, 0, size);
    chip_read_table(flash, size, offset, &table);
    for (unsigned i = 0; i < table.count && !is_brought(migration, app); i++) {
        const sr_partition_table_entry_t *entry = &table.entries[i];
        if (entry->type == SR_PARTITION_TYPE_APP && entry->address < size && flash[entry->address] == SR_IMAGE_MAGIC &&
            is_brought(migration, entry->address)) {
            return true;
        }
    }
    return false;
}

static bool run_recorded(const migration_t *migration, migration_result_t *result)
{
    flash_record_t *record = flash_record_new(migration->flash);
    if (record == NULL) {
        return false;
    }
    sim_config_t config = {
        .chip = migration->chip,
        .flash = migration->flash,
        .running_app = migration->running_app,
    };
    bool ran = sim_run(&config, migrate, MAX_BOOTS, &result->report);
    result->stats = nor_flash_stats(migration->flash);
    if (ran) {
        assess(result);
        if (!explore_operations(record, &result->operations, &result->operation_count) ||
            !explore_mark_window(record, &migration->chip, &result->report.app, result->operations,
                                 result->operation_count, &result->window)) {
            result->error = ESP_ERR_NO_MEM;
        }
    }
    flash_record_delete(record);
    return ran;
}

void migration_result_free(migration_result_t *result)
{
    free(result->operations);
    *result = (migration_result_t){0};
}

bool migration_run(const migration_t *migration, migration_result_t *result)
{
    *result = (migration_result_t){0};
    running = migration;
    void *shared = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    log_file = memfd_create("app-log", MFD_CLOEXEC);
    bool ran = false;
    if (shared != MAP_FAILED && log_file >= 0) {
        state = shared;
        state->plan.relocate_to = state->plan.staging_address = state->plan.recovery_address = UINT32_MAX;
        state->plan.app_address = UINT32_MAX;
        ran = run_recorded(migration, result);
    }
    if (shared != MAP_FAILED) {
        munmap(shared, sizeof(*state));
    }
    if (log_file >= 0) {
        close(log_file);
    }
    return ran;
}
