// SPDX-License-Identifier: Apache-2.0
/** @file
 * The steps of a migration: which there are and in which order, and that each of them, when it fails, ends the
 * migration with its error, nothing written after it, and nothing left allocated.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#include "bundle/sr_migration_internal.h"
#include "flash/sr_flash_size.h"
#include "journal/sr_commit.h"
#include "journal/sr_install_mark.h"
#include "journal/sr_resume.h"
#include "relocate/sr_app_selection.h"

#include "esp_event.h"
#include "esp_log.h"
#include "esp_system.h"

#define SECTOR      SR_SECTOR_SIZE
#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define OLD_APP     SLOT(0)
#define NEW_APP     SLOT(1)
#define FILES       SLOT(2) /**< A file system in the new system's table. */
#define SETTINGS    SLOT(3) /**< Data of the old system, where it has any. */
#define MOVED       SLOT(4) /**< Where that goes. */
#define BUNDLE      SMALL_FREE
#define ROOM        0xE0000u /**< Blank, as far as a scenario says. */
#define MAX_TRACE   6000u

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    esp_self_reflasher_bundle_config_t bundle;
    esp_self_reflasher_plan_t plan;
    esp_err_t err;
    char trace[MAX_TRACE]; /**< Names of steps, each with a blank; one that comes several times in a row stands once. */
    const char *last;      /**< Step in the trace. */
    char calls[MAX_TRACE]; /**< Of what steps are made of: STEP/CALL of each, with a blank. */
    char failing[64];      /**< Name of the step that fails, or STEP/CALL. */
    uint32_t countdown;    /**< To its call that fails; 0: none does. */
    esp_err_t error;
    bool failed;
    bool running; /**< Inside of sr_migration_run() or sr_migration_relocate(). */
    bool puts_off;
    uint32_t written_after_failure;
    uint32_t heap_left, heap_at_restart;
    uint32_t errors_logged, warnings_logged;
    esp_self_reflasher_event_t event; /**< The last one. */
    esp_self_reflasher_event_data_t data;
    uint32_t events, posted, events_wrong;
    bool was_large; /**< The driver's limit was raised, and not taken back. */
} job_t;

static job_t *job;
static nor_flash_t *flash;
static bundle_region_t regions[8];
static uint32_t region_count;
static uint8_t new_app[SMALL_APP_SIZE];
static uint8_t new_table[SECTOR];
static uint8_t new_otadata[IMAGE_WRITE_OTADATA_SIZE];
static uint8_t new_nvs[2 * SECTOR];
static uint8_t new_files[3 * SECTOR];

/* Steps. */

static void note(const char *name)
{
    if (job->last == NULL || strcmp(job->last, name) != 0) {
        assert_true(strlen(job->trace) + strlen(name) + 2 < MAX_TRACE);
        strcat(job->trace, name);
        strcat(job->trace, " ");
        job->last = name;
    }
}

static bool is_failing(const char *name)
{
    const bool is_it = job->countdown > 0 && strcmp(job->failing, name) == 0 && --job->countdown == 0;
    job->failed = job->failed || is_it;
    return is_it;
}

static bool fails(const char *name)
{
    note(name);
    return is_failing(name);
}

/* A call that steps have in common, or take any number of times. */
static bool call_fails(const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "%s/%s ", job->last, name);
    if (strstr(job->calls, key) == NULL) {
        assert_true(strlen(job->calls) + strlen(key) + 1 < MAX_TRACE);
        strcat(job->calls, key);
    }
    key[strlen(key) - 1] = '\0';
    return is_failing(key);
}

/* What gives up a commit erases its record. */
static void note_write(void)
{
    job->written_after_failure += job->failed && strcmp(job->last, "journal_discard") != 0;
}

/* A step of its own. */
#define STEP(name, parameters, arguments)                                                                              \
    esp_err_t __real_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters                                                                                 \
    {                                                                                                                  \
        return fails(&#name[3]) ? job->error : __real_##name arguments;                                                \
    }

/* One that the checks try out beforehand. */
#define STEP_OF_RUN(name, parameters, arguments)                                                                       \
    esp_err_t __real_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters                                                                                 \
    {                                                                                                                  \
        return job->running && fails(&#name[3]) ? job->error : __real_##name arguments;                                \
    }

/* What steps are made of. */
#define CALL(name, parameters, arguments)                                                                              \
    esp_err_t __real_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters                                                                                 \
    {                                                                                                                  \
        return job->running && call_fails(&#name[3]) ? job->error : __real_##name arguments;                           \
    }

#define WRITES(name, parameters, arguments)                                                                            \
    esp_err_t __real_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters                                                                                 \
    {                                                                                                                  \
        note_write();                                                                                                  \
        return job->running && call_fails(&#name[3]) ? job->error : __real_##name arguments;                           \
    }

/* A step that has others in it. */
#define RUNS(name)                                                                                                     \
    esp_err_t __real_##name(sr_migration_t *migration);                                                                \
    esp_err_t __wrap_##name(sr_migration_t *migration);                                                                \
    esp_err_t __wrap_##name(sr_migration_t *migration)                                                                 \
    {                                                                                                                  \
        job->running = true;                                                                                           \
        const esp_err_t err = fails(&#name[13]) ? job->error : __real_##name(migration);                               \
        job->running = false;                                                                                          \
        return err;                                                                                                    \
    }

#define MIGRATION_STEP(name)                                                                                           \
    esp_err_t __real_sr_migration_##name(sr_migration_t *migration);                                                   \
    esp_err_t __wrap_sr_migration_##name(sr_migration_t *migration);                                                   \
    esp_err_t __wrap_sr_migration_##name(sr_migration_t *migration)                                                    \
    {                                                                                                                  \
        return fails(#name) ? job->error : __real_sr_migration_##name(migration);                                      \
    }

esp_err_t __real_sr_resume(const esp_self_reflasher_bundle_config_t *config, bool *stuck);
esp_err_t __wrap_sr_resume(const esp_self_reflasher_bundle_config_t *config, bool *stuck);
esp_err_t __wrap_sr_resume(const esp_self_reflasher_bundle_config_t *config, bool *stuck)
{
    *stuck = false;
    return fails("resume") ? job->error : __real_sr_resume(config, stuck);
}

STEP(sr_source_open, (sr_source_t * source), (source))
STEP(sr_manifest_load, (sr_manifest_t * manifest, sr_source_t *source, const char *public_key, bool allow_unsigned),
     (manifest, source, public_key, allow_unsigned))
RUNS(sr_migration_relocate)
RUNS(sr_migration_run)
MIGRATION_STEP(scan)
MIGRATION_STEP(check)
MIGRATION_STEP(discard_records)
MIGRATION_STEP(put_mark)
MIGRATION_STEP(check_app)
MIGRATION_STEP(stage_data)
MIGRATION_STEP(check_moved)
MIGRATION_STEP(void_mark)
MIGRATION_STEP(clear_mark)
MIGRATION_STEP(in_place_stage)
STEP(sr_app_selection_keep, (const sr_system_t *system, sr_copy_workspace_t *workspace), (system, workspace))
STEP_OF_RUN(sr_migration_rescan, (sr_migration_t * migration, sr_region_t region), (migration, region))
STEP_OF_RUN(sr_migration_list_entries, (sr_migration_t * migration, bool *data_is_staged), (migration, data_is_staged))
STEP_OF_RUN(sr_migration_list_groups, (sr_migration_t * migration, sr_record_group_t first), (migration, first))
STEP(sr_migration_in_place_execute,
     (sr_migration_t * migration, const sr_boot_path_buffer_t *buffer, sr_copy_workspace_t *workspace),
     (migration, buffer, workspace))
STEP(sr_recovery_copy,
     (const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer, uint8_t *scratch),
     (system, recovery, writer, scratch))
STEP(sr_commit_prepare, (sr_commit_t * commit), (commit))
STEP(sr_commit_execute, (sr_commit_t * commit), (commit))
STEP(sr_journal_seal, (sr_journal_t * journal, sr_writer_t *writer), (journal, writer))
STEP(sr_journal_discard, (const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch),
     (journal, writer, scratch))
CALL(sr_migration_blank_is_read, (const sr_migration_t *migration, uint32_t address, bool *is_read),
     (migration, address, is_read))
CALL(sr_migration_sector_is_right, (sr_migration_t * migration, uint32_t address, bool *right),
     (migration, address, right))
CALL(sr_decoder_get, (sr_decoder_t * decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data),
     (decoder, digest_index, fetch_end, data))
CALL(sr_journal_open, (sr_journal_t * journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch),
     (journal, writer, address, scratch))
CALL(sr_journal_put, (const sr_journal_t *journal, sr_writer_t *writer, uint32_t data_index, uint8_t *data),
     (journal, writer, data_index, data))
CALL(sr_journal_read, (const sr_journal_t *journal, const sr_record_entry_t *entry, uint32_t index, uint8_t *data),
     (journal, entry, index, data))
CALL(sr_install_mark_put, (sr_writer_t * writer, const sr_install_mark_t *mark, uint8_t *scratch),
     (writer, mark, scratch))
CALL(sr_install_mark_void, (sr_writer_t * writer, uint32_t address, uint8_t *scratch), (writer, address, scratch))
CALL(sr_install_mark_clear, (sr_writer_t * writer, uint32_t address, uint8_t *scratch), (writer, address, scratch))
WRITES(sr_writer_put, (sr_writer_t * writer, const sr_writer_sector_t *sector), (writer, sector))
WRITES(sr_writer_erase_block, (sr_writer_t * writer, uint32_t address), (writer, address))

/* Marks are looked for before anything is written, too. */
#define MARK(name, parameters, arguments)                                                                              \
    esp_err_t __real_sr_install_mark_##name parameters;                                                                \
    esp_err_t __wrap_sr_install_mark_##name parameters;                                                                \
    esp_err_t __wrap_sr_install_mark_##name parameters                                                                 \
    {                                                                                                                  \
        return call_fails("mark_" #name) ? job->error : __real_sr_install_mark_##name arguments;                       \
    }

MARK(find, (const sr_flash_t *chip, uint32_t from, uint8_t *scratch, sr_install_mark_t *mark),
     (chip, from, scratch, mark))
MARK(fits, (const sr_flash_t *chip, const sr_install_mark_t *mark, uint8_t *scratch, bool *fits),
     (chip, mark, scratch, fits))
MARK(counts, (uint32_t address, bool *counts), (address, counts))

/* What moves is read from its source. */
esp_err_t __real_sr_flash_read(const sr_flash_t *chip, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *chip, uint32_t address, void *out, uint32_t length);

esp_err_t __wrap_sr_flash_read(const sr_flash_t *chip, uint32_t address, void *out, uint32_t length)
{
    const bool is_source = address >= SETTINGS && address < SETTINGS + SMALL_SLOT_SIZE;
    return job->running && is_source && call_fails("flash_read") ? job->error
                                                                 : __real_sr_flash_read(chip, address, out, length);
}

void __real_sr_decoder_drop(sr_decoder_t *decoder);
void __wrap_sr_decoder_drop(sr_decoder_t *decoder);

void __wrap_sr_decoder_drop(sr_decoder_t *decoder)
{
    note("decoder_drop");
    __real_sr_decoder_drop(decoder);
}

void __real_sr_flash_size_restore(void);
void __wrap_sr_flash_size_restore(void);

void __wrap_sr_flash_size_restore(void)
{
    note("flash_size_restore");
    __real_sr_flash_size_restore();
}

void __real_esp_restart(void) __attribute__((noreturn));
void __wrap_esp_restart(void) __attribute__((noreturn));

void __wrap_esp_restart(void)
{
    job->heap_at_restart = sim_counters()->heap_now;
    note("restart");
    __real_esp_restart();
}

void __wrap_esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
{
    (void)tag;
    (void)format;
    job->errors_logged += level == ESP_LOG_ERROR;
    job->warnings_logged += level == ESP_LOG_WARN;
}

/* Events. */

esp_err_t __real_esp_event_post(esp_event_base_t base, int32_t id, const void *data, size_t size, TickType_t ticks);
esp_err_t __wrap_esp_event_post(esp_event_base_t base, int32_t id, const void *data, size_t size, TickType_t ticks);

/* Nobody waits for a queue that is full. */
esp_err_t __wrap_esp_event_post(esp_event_base_t base, int32_t id, const void *data, size_t size, TickType_t ticks)
{
    job->posted++;
    job->events_wrong += base != ESP_SELF_REFLASHER_EVENT || id != (int32_t)job->event || size != sizeof(job->data) ||
                         memcmp(data, &job->data, size) != 0 || ticks != 0;
    return __real_esp_event_post(base, id, data, size, ticks);
}

static const char *const event_names[] = {"CHECK", "PREPARE", "STAGE", "COMMIT", "RETRY", "DONE", "FAILED"};

/* Numbers go up to the total, and start again with other sectors. */
static void on_event(void *user_ctx, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    const bool prepares = event == ESP_SELF_REFLASHER_EVENT_PREPARE;
    const bool goes_on =
        job->event == ESP_SELF_REFLASHER_EVENT_PREPARE && prepares && job->data.sectors_done < job->data.sectors_total;
    const bool was_left =
        job->event == ESP_SELF_REFLASHER_EVENT_PREPARE && !goes_on && job->data.sectors_done != job->data.sectors_total;
    const bool wrong =
        user_ctx != job || data->sectors_done > data->sectors_total || (prepares && data->sectors_done == 0) ||
        (goes_on && (data->sectors_total != job->data.sectors_total || data->sectors_done <= job->data.sectors_done)) ||
        (was_left && event != ESP_SELF_REFLASHER_EVENT_FAILED) || data->bytes_downloaded != 0 || data->retries != 0 ||
        (data->error != ESP_OK) != (event == ESP_SELF_REFLASHER_EVENT_FAILED);
    job->events_wrong += wrong;
    job->events++;
    job->event = event;
    job->data = *data;
    if (event == ESP_SELF_REFLASHER_EVENT_COMMIT) {
        note(data->sectors_done < data->sectors_total ? "COMMIT-BEGINS" : "COMMIT");
    } else {
        note(event_names[event]);
    }
}

static bool may_commit(void *user_ctx)
{
    assert_ptr_equal(user_ctx, job);
    note("may_commit");
    return !job->puts_off;
}

/* The chip. */

static void app_main(void *unused)
{
    (void)unused;
    job->err = ESP_ERR_NOT_FINISHED;
    job->err = esp_self_reflasher_apply_bundle(&job->bundle, &job->plan);
    job->heap_left = sim_counters()->heap_now;
}

static sim_end_t start(void)
{
    small_attach(flash, OLD_APP);
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(app_main, NULL);
    sim_chip_detach();
    return end;
}

/* In ascending order. */
static void want(uint32_t address, uint32_t size, const uint8_t *data, size_t length, bool initial)
{
    regions[region_count++] =
        (bundle_region_t){.place = {address, size}, .data = data, .length = length, .initial = initial};
}

static void pack(const sr_bundle_move_t *move)
{
    const bundle_spec_t spec = {.partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = region_count,
                                .moves = move,
                                .move_count = move != NULL ? 1 : 0};
    job->bundle = (esp_self_reflasher_bundle_config_t){
        .embedded = small_put_bundle(flash, (sr_region_t){BUNDLE, ROOM - BUNDLE}, spec),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
        .event_cb = on_event,
        .may_commit = may_commit,
        .user_ctx = job};
}

static void make_table(unsigned slots, uint32_t data)
{
    sr_partition_table_entry_t entries[8];
    unsigned count = small_table(&(small_layout_t){.slots = slots}, entries);
    entries[count++] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, data, SMALL_SLOT_SIZE, 0, "files"};
    memset(new_table, 0xFF, sizeof(new_table));
    assert_int_equal(image_write_partition_table(entries, count, new_table), IMAGE_WRITE_OK);
}

/* The old app in ota_0, and @p blank sectors of blank flash. */
static void open_chip(const small_layout_t *layout, uint32_t blank)
{
    memset(job, 0, sizeof(*job));
    flash = small_flash_new(layout);
    uint8_t *bytes = nor_flash_bytes(flash);
    small_app("1", bytes + OLD_APP);
    small_app("2", new_app);
    make_table(2, FILES);
    image_write_otadata(2, SR_OTA_UNDEFINED, new_otadata);
    dummy_image_fill(new_nvs, sizeof(new_nvs), 5);
    dummy_image_fill(new_files, sizeof(new_files), 6);
    memset(bytes + ROOM, 0xFF, blank * SECTOR);
    region_count = 0;
}

static const small_layout_t two_slots = {.slots = 2, .sequences = {1, 0}};

/* Everything that a system has, data of the running one included. */
static void want_system(uint32_t slot_size)
{
    want(SR_PARTITION_TABLE_OFFSET, SECTOR, new_table, SECTOR, false);
    want(SMALL_NVS, SMALL_NVS_SIZE, new_nvs, sizeof(new_nvs), true);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), true);
    want(NEW_APP, slot_size, new_app, SMALL_APP_SIZE, false);
    want(FILES, sizeof(new_files), new_files, sizeof(new_files), true);
}

/* A whole slot: its block is erased at once. */
static void with_a_record(void)
{
    open_chip(&two_slots, 16);
    want_system(SMALL_SLOT_SIZE);
    pack(NULL);
}

static void from_ram(void)
{
    open_chip(&two_slots, 1);
    want_system(SMALL_APP_SIZE);
    pack(NULL);
}

static void in_place(void)
{
    sr_partition_table_entry_t entries[8];
    open_chip(&two_slots, 6);
    small_put_table(nor_flash_bytes(flash), entries, small_table(&(small_layout_t){.slots = 1}, entries));
    image_write_otadata(1, SR_OTA_UNDEFINED, new_otadata);
    want(SMALL_NVS, SMALL_NVS_SIZE, new_nvs, sizeof(new_nvs), true);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), true);
    want(OLD_APP, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE, false);
    pack(NULL);
    job->bundle.flags |= ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE;
}

/* To flash that nobody needs. */
static void with_data_that_moves(void)
{
    const sr_bundle_move_t move = {.source = {SETTINGS, SMALL_SLOT_SIZE}, .destination = {MOVED, SMALL_SLOT_SIZE}};
    open_chip(&two_slots, 16);
    make_table(2, SETTINGS);
    memcpy(nor_flash_bytes(flash) + SR_PARTITION_TABLE_OFFSET, new_table, SECTOR);
    make_table(2, MOVED);
    want(SR_PARTITION_TABLE_OFFSET, SECTOR, new_table, SECTOR, false);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), false);
    want(NEW_APP, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE, false);
    pack(&move);
}

/* Otadata selects the slot that the new app goes to, in which there was none. */
static void as_a_fallback(void)
{
    open_chip(&(small_layout_t){.slots = 2, .sequences = {2, 0}}, 16);
    want(SR_PARTITION_TABLE_OFFSET, SECTOR, new_table, SECTOR, false);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), false);
    want(NEW_APP, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE, false);
    pack(NULL);
}

/* Its neighbours in otadata and table are right. */
static void in_place_alone(void)
{
    in_place();
    region_count = 0;
    want(OLD_APP, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE, false);
    pack(NULL);
    job->bundle.flags |= ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE;
}

/* What the running system does not need: there is nothing to commit. */
static void of_files(void)
{
    open_chip(&two_slots, 16);
    want(FILES, sizeof(new_files), new_files, sizeof(new_files), false);
    pack(NULL);
}

/* One entry of the record. */
static void of_a_table(void)
{
    open_chip(&two_slots, 16);
    want(SR_PARTITION_TABLE_OFFSET, SECTOR, new_table, SECTOR, false);
    pack(NULL);
}

static void in_the_way(void)
{
    open_chip(&two_slots, 16);
    image_write_otadata(1, SR_OTA_UNDEFINED, new_otadata);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), false);
    want(OLD_APP, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE, false);
    pack(NULL);
}

static void close_chip(void)
{
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    flash = NULL;
}

static void assert_holds_all(void)
{
    for (uint32_t i = 0; i < region_count; i++) {
        const uint8_t *is = nor_flash_view(flash) + regions[i].place.address;
        assert_memory_equal(is, regions[i].data, regions[i].length);
        for (size_t k = regions[i].length; k < regions[i].place.size; k++) {
            assert_int_equal(is[k], 0xFF);
        }
    }
}

static void assert_steps(const char *expected)
{
    if (strcmp(job->trace, expected) != 0) {
        fail_msg("steps are\n%s\nshould be\n%s", job->trace, expected);
    }
    assert_int_equal(job->events_wrong, 0);
    assert_int_equal(job->events, job->posted);
    assert_int_equal(job->errors_logged, 0);
}

/* The app goes on as if nothing had been: it may call again. */
static void assert_failed(sim_end_t end, esp_err_t expected, const char *step)
{
    if (end != SIM_END_RETURNED || job->err != expected || job->heap_left != 0 || job->events_wrong != 0 ||
        job->written_after_failure != 0 || (strstr(step, "/writer_") != NULL && job->errors_logged == 0) ||
        strstr(job->trace, " flash_size_restore ") == NULL ||
        (job->running && job->event != ESP_SELF_REFLASHER_EVENT_FAILED)) {
        fail_msg("%s fails: ends with %d and %s, %u bytes of heap, %u wrong events, %u writes after it\n%s", step, end,
                 esp_self_reflasher_err_to_name(job->err), job->heap_left, job->events_wrong,
                 job->written_after_failure, job->trace);
    }
}

/* The same start as often as it is needed. */
typedef struct beginning {
    uint8_t *content;
    job_t job;
} beginning_t;

/* Each step fails, or each call of a step. Those that cannot fail are passed by. */
static void each_fails(const beginning_t *beginning, char *names)
{
    static const char in_ram[] = "migration_in_place_execute/"; /* There is nothing to return to. */
    static const char record[] = "journal_discard/";            /* It is voided in one of two ways. */
    char *rest = names;
    for (const char *name; (name = strtok_r(rest, " ", &rest)) != NULL;) {
        if (strncmp(name, in_ram, strlen(in_ram)) == 0 || strncmp(name, record, strlen(record)) == 0) {
            continue;
        }
        memcpy(nor_flash_bytes(flash), beginning->content, SMALL_FLASH_SIZE);
        *job = beginning->job;
        (void)strncpy(job->failing, name, sizeof(job->failing) - 1);
        job->countdown = 1;
        job->error = ESP_ERR_TIMEOUT;
        const sim_end_t end = start();
        if (job->failed) {
            assert_failed(end, ESP_ERR_TIMEOUT, name);
        }
    }
}

/* A migration from its beginning to its end, or to the restart. */
static void expect(void (*open)(void), sim_end_t end, const char *steps)
{
    open();
    const sim_end_t is = start();
    if (is != end || (end == SIM_END_RETURNED && job->err != ESP_OK)) {
        fail_msg("%s: %s", esp_self_reflasher_err_to_name(job->err), job->plan.refusal_text);
    }
    if (end == SIM_END_RETURNED) {
        assert_int_equal(job->heap_left, 0);
        assert_holds_all();
    }
    assert_steps(steps);
    close_chip();
}

static void each_of_its_steps_fails(void **state)
{
    void (*open)(void) = *(void (**)(void)) * state;
    open();
    const beginning_t beginning = {.content = small_copy(flash), .job = *job};
    (void)start();
    char *const steps = strdup(job->trace);
    char *const calls = strdup(job->calls);
    each_fails(&beginning, steps);
    each_fails(&beginning, calls);
    close_chip();
    free(steps);
    free(calls);
    free(beginning.content);
}

static int new_job(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    return 0;
}

static void migration_with_a_record(void **state)
{
    (void)state;
    expect(with_a_record, SIM_END_RETURNED,
           "resume flash_size_restore source_open manifest_load scan CHECK check run discard_records "
           "put_mark PREPARE migration_list_entries check_app may_commit recovery_copy stage_data "
           "STAGE check_moved journal_seal commit_prepare COMMIT-BEGINS commit_execute void_mark "
           "COMMIT journal_discard clear_mark DONE flash_size_restore ");
}

static void migration_from_ram(void **state)
{
    (void)state;
    expect(from_ram, SIM_END_RETURNED,
           "resume flash_size_restore source_open manifest_load scan CHECK check run discard_records "
           "put_mark PREPARE migration_list_entries check_app may_commit recovery_copy PREPARE "
           "check_moved commit_prepare COMMIT-BEGINS commit_execute void_mark COMMIT clear_mark DONE "
           "flash_size_restore ");
}

static void migration_in_place(void **state)
{
    (void)state;
    expect(in_place, SIM_END_RESTART,
           "resume flash_size_restore source_open manifest_load scan CHECK check relocate run "
           "discard_records put_mark migration_list_entries check_app may_commit in_place_stage "
           "STAGE migration_list_groups commit_prepare PREPARE COMMIT-BEGINS "
           "migration_in_place_execute ");
}

static void migration_with_data_that_moves(void **state)
{
    (void)state;
    expect(with_data_that_moves, SIM_END_RETURNED,
           "resume flash_size_restore source_open manifest_load scan CHECK check run discard_records "
           "put_mark PREPARE migration_list_entries "
           "check_app may_commit recovery_copy PREPARE stage_data STAGE check_moved journal_seal "
           "commit_prepare COMMIT-BEGINS commit_execute void_mark COMMIT journal_discard clear_mark "
           "DONE flash_size_restore ");
}

static void migration_of_an_app_that_otadata_does_not_select(void **state)
{
    (void)state;
    expect(as_a_fallback, SIM_END_RETURNED,
           "resume flash_size_restore source_open manifest_load scan CHECK check run discard_records "
           "put_mark app_selection_keep migration_rescan PREPARE migration_list_entries check_app "
           "may_commit recovery_copy stage_data STAGE check_moved journal_seal commit_prepare "
           "COMMIT-BEGINS commit_execute void_mark COMMIT journal_discard clear_mark DONE "
           "flash_size_restore ");
}

static void app_in_the_way_moves_first(void **state)
{
    (void)state;
    expect(in_the_way, SIM_END_RESTART,
           "resume flash_size_restore source_open manifest_load scan CHECK check decoder_drop "
           "relocate discard_records app_selection_keep restart ");
    in_the_way();
    assert_int_equal(start(), SIM_END_RESTART);
    assert_int_equal(job->heap_at_restart, 0);
    close_chip();
}

static void migration_in_place_of_the_app_alone(void **state)
{
    (void)state;
    expect(in_place_alone, SIM_END_RESTART,
           "resume flash_size_restore source_open manifest_load scan CHECK check relocate run "
           "discard_records put_mark migration_list_entries check_app may_commit in_place_stage "
           "STAGE migration_list_groups commit_prepare COMMIT-BEGINS migration_in_place_execute ");
}

static void migration_without_a_commit(void **state)
{
    (void)state;
    expect(of_files, SIM_END_RETURNED,
           "resume flash_size_restore source_open manifest_load scan CHECK check run discard_records "
           "put_mark PREPARE migration_list_entries check_app recovery_copy check_moved "
           "commit_prepare COMMIT commit_execute void_mark COMMIT clear_mark DONE flash_size_restore ");
}

static void migration_of_one_sector(void **state)
{
    (void)state;
    expect(of_a_table, SIM_END_RETURNED,
           "resume flash_size_restore source_open manifest_load scan CHECK check run discard_records "
           "put_mark migration_list_entries check_app may_commit recovery_copy stage_data STAGE "
           "check_moved journal_seal commit_prepare COMMIT-BEGINS commit_execute void_mark COMMIT "
           "journal_discard clear_mark DONE flash_size_restore ");
}

/* Before anything is staged: a record that is complete would be finished by the next start. */
static void commit_is_put_off_if_the_app_says_so(void **state)
{
    (void)state;
    static void (*const open[])(void) = {with_a_record, from_ram, in_place, in_place_alone, of_a_table};
    for (unsigned i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        static const char end[] = " may_commit FAILED flash_size_restore ";
        open[i]();
        job->puts_off = true;
        assert_int_equal(start(), SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_NOT_NOW);
        assert_string_equal(job->trace + strlen(job->trace) - strlen(end), end);
        assert_int_equal(job->warnings_logged, 1);
        assert_int_equal(job->heap_left, 0);
        small_assert_boots(flash, false, OLD_APP);
        close_chip();
    }
}

#define TEST(test) cmocka_unit_test_setup(test, new_job)
#define EACH_FAILS(migration)                                                                                          \
    {                                                                                                                  \
        .name = "each_step_of_a_migration_" #migration "_fails", .test_func = each_of_its_steps_fails,                 \
        .initial_state = (void *)&(void (*[])(void))                                                                   \
        {                                                                                                              \
            migration                                                                                                  \
        }                                                                                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(migration_with_a_record),
        TEST(migration_from_ram),
        TEST(migration_in_place),
        TEST(migration_with_data_that_moves),
        TEST(migration_of_an_app_that_otadata_does_not_select),
        TEST(app_in_the_way_moves_first),
        TEST(migration_in_place_of_the_app_alone),
        TEST(migration_without_a_commit),
        TEST(migration_of_one_sector),
        TEST(commit_is_put_off_if_the_app_says_so),
        EACH_FAILS(with_a_record),
        EACH_FAILS(from_ram),
        EACH_FAILS(in_place),
        EACH_FAILS(with_data_that_moves),
        EACH_FAILS(as_a_fallback),
        EACH_FAILS(in_the_way),
        EACH_FAILS(of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
