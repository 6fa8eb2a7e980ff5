// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whole migrations on a flash that fails at random places: programs that do not stick, erases that time out, sectors
 * that recover after some failures and those that stay bad. Whatever fails: nothing wrong is reported as right, an
 * error comes with a log line that names the address, what is not a target stays as it was, and until the boot path is
 * touched the old system boots, byte for byte.
 *
 * And on a chip on which each single call that reads or allocates fails once: that is what the call of the app then
 * gives, however deep it was, and nothing is written in its place.
 */
#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "self_reflasher_bundle.h"
#include "sim/nor/flash_buffer.h"
#include "test/support/support_explore.h"
#include "test/support/support_small.h"

#include "format/sr_digest.h"

#include <ctype.h>

#define SECTOR      SR_SECTOR_SIZE
#define SLOT_0      SMALL_SLOTS
#define SLOT_1      (SMALL_SLOTS + SMALL_SLOT_SIZE)
#define SOURCE      SMALL_FREE
#define RECORD      0xE0000u /**< The only blank flash, where the last step is staged. */
#define RECORD_SIZE 0x20000u
#define IMAGE_SIZE  0x4321u
#define BOOTLOADER  ((sr_region_t){SMALL_BOOTLOADER, SR_PARTITION_TABLE_OFFSET - SMALL_BOOTLOADER})
#define LOADER_CODE ((sr_region_t){SMALL_BOOTLOADER, 6 * SECTOR}) /**< Whole sectors of that app with code. */
#define TABLE       ((sr_region_t){SR_PARTITION_TABLE_OFFSET, SECTOR})
#define OTADATA     ((sr_region_t){SMALL_OTADATA, 2 * SECTOR})
#define NVS         ((sr_region_t){SMALL_NVS, SMALL_NVS_SIZE})
#define MAX_TARGETS 5u
#define SEEDS       240u
#define PER_MILLION 40000u
#define MAX_BOOTS   6u
#define NEVER       UINT32_MAX
#define EACH_READ   30u /**< Up to this one each read fails once, then each of READ_STEP. */
#define READ_STEP   293u

/** Calls of ESP-IDF that can fail, of one kind. */
typedef enum calls { CALLS_NONE, CALLS_READ, CALLS_FIND, CALLS_ALLOCATE } calls_t;

static const char *const call_names[] = {
    [CALLS_READ] = "esp_flash_read()", [CALLS_FIND] = "esp_partition_find()", [CALLS_ALLOCATE] = "heap_caps_malloc()"};

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    bool use_bundle, download;
    esp_http_client_config_t http;
    esp_self_reflasher_config_t copy;
    esp_self_reflasher_bundle_config_t bundle;
    esp_err_t err;
    uint32_t commit_at; /**< Number of the first operation on the boot path or, with a bundle, on NVS. */
    bool boot_path_touched;
    bool old_boots;  /**< Up to that operation, before it. */
    calls_t failing; /**< Of these the one with number `failing_at` fails, counted from 1. */
    uint32_t made;   /**< Calls of that kind, over all starts. */
    uint32_t failing_at;
    bool for_good; /**< And all that follow. */
} job_t;

typedef struct scenario {
    const char *name;
    uint32_t running_app;
    void (*prepare)(void);
    sr_region_t targets[MAX_TARGETS]; /**< Up to the first empty one. */
    enum {
        AS_SELECTED,
        AS_FALLBACK, /**< There is no app in the slot that otadata selects. */
        INTERRUPTED, /**< The power was lost as the commit began. */
    } start;
} scenario_t;

static job_t *job;
static nor_flash_t *flash;
static uint8_t *old;       /**< The content at the start. */
static uint8_t *at_commit; /**< What it was as the commit began; shared like the job. */
static api_server_t server;

esp_err_t __real_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
const esp_partition_t *__real_esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                       const char *label);
const esp_partition_t *__wrap_esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                       const char *label);
void *__real_heap_caps_malloc(size_t size, uint32_t caps);
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps);
void *__real_heap_caps_calloc(size_t n, size_t size, uint32_t caps);
void *__wrap_heap_caps_calloc(size_t n, size_t size, uint32_t caps);

static bool fails(calls_t calls)
{
    return job->failing == calls && (++job->made == job->failing_at || (job->for_good && job->made > job->failing_at));
}

esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    return fails(CALLS_READ) ? ESP_ERR_TIMEOUT : __real_esp_flash_read(chip, buffer, address, length);
}

esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    return fails(CALLS_FIND) ? NULL : __real_esp_partition_find(type, subtype, label);
}

const esp_partition_t *__wrap_esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                       const char *label)
{
    return fails(CALLS_FIND) ? NULL : __real_esp_partition_find_first(type, subtype, label);
}

void *__wrap_heap_caps_malloc(size_t size, uint32_t caps)
{
    return fails(CALLS_ALLOCATE) ? NULL : __real_heap_caps_malloc(size, caps);
}

void *__wrap_heap_caps_calloc(size_t n, size_t size, uint32_t caps)
{
    return fails(CALLS_ALLOCATE) ? NULL : __real_heap_caps_calloc(n, size, caps);
}

static esp_err_t migrate(void)
{
    if (job->use_bundle) {
        return esp_self_reflasher_apply_bundle(&job->bundle, NULL);
    }
    return job->download ? api_run_download(&job->copy) : esp_self_reflasher_directly_copy_to_region(&job->copy);
}

static void app_main(void)
{
    job->err = ESP_ERR_NOT_FINISHED;
    job->err = job->use_bundle ? esp_self_reflasher_resume(&job->bundle) : ESP_OK;
    if (job->err == ESP_OK) {
        job->err = migrate();
    }
}

/* Scenarios. */

static void copy_image(sr_region_t to)
{
    job->copy = (esp_self_reflasher_config_t){
        .src_region = {SOURCE, IMAGE_SIZE}, .src_bin_size = IMAGE_SIZE, .dest_region = {to.address, to.size}};
}

static void image_to_a_free_slot(void)
{
    copy_image((sr_region_t){SLOT_1, SMALL_SLOT_SIZE});
}

/** Through the third slot. */
static void image_from_a_server(void)
{
    static char url[128];
    const api_image_t image = {.bytes = nor_flash_bytes(flash) + SOURCE, .length = IMAGE_SIZE};
    api_server_put(&server, "image.bin", image);
    snprintf(url, sizeof(url), "%s", api_server_url(&server, "/image.bin"));
    job->download = true;
    job->http = (esp_http_client_config_t){.url = url, .timeout_ms = 10000};
    job->copy = (esp_self_reflasher_config_t){.http_config = &job->http, .dest_region = {SLOT_1, SMALL_SLOT_SIZE}};
}

static void image_over_the_running_app(void)
{
    copy_image((sr_region_t){SLOT_0, SMALL_SLOT_SIZE});
}

/** The old one with other code in two of its sectors, of the same checksum. */
static uint32_t new_bootloader(uint8_t out[SR_PARTITION_TABLE_OFFSET - SMALL_BOOTLOADER])
{
    size_t length = 0;
    memset(out, 0xFF, BOOTLOADER.size);
    assert_int_equal(dummy_image_bootloader(sr_chip_by_name("esp32"), 0, out, BOOTLOADER.size, &length),
                     IMAGE_WRITE_OK);
    out[0x1800] ^= 0x10;
    out[0x2800] ^= 0x10;
    assert_int_equal(sr_region_align_up((uint32_t)length, SECTOR), LOADER_CODE.size);
    assert_true(sr_digest(out, length - SR_SHA256_SIZE, out + length - SR_SHA256_SIZE));
    return (uint32_t)length;
}

static void image_of_a_bootloader(void)
{
    uint8_t loader[SR_PARTITION_TABLE_OFFSET - SMALL_BOOTLOADER];
    const uint32_t length = new_bootloader(loader);
    memcpy(nor_flash_bytes(flash) + SOURCE, loader, length);
    job->copy = (esp_self_reflasher_config_t){
        .src_region = {SOURCE, length}, .src_bin_size = length, .dest_region = {BOOTLOADER.address, BOOTLOADER.size}};
}

static void put_bundle(const bundle_region_t *regions, unsigned count)
{
    const bundle_spec_t spec = {
        .partition_table_offset = SR_PARTITION_TABLE_OFFSET, .regions = regions, .region_count = count};
    job->use_bundle = true;
    job->bundle = (esp_self_reflasher_bundle_config_t){
        .embedded = small_put_bundle(flash, (sr_region_t){SOURCE, RECORD - SOURCE}, spec),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
}

static void new_table(uint8_t data[SECTOR])
{
    sr_partition_table_entry_t entries[8];
    const unsigned count = small_table(&(small_layout_t){.slots = 3}, entries);
    entries[count] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, 0xA0000, 0x10000, 0, "storage"};
    memset(data, 0xFF, SECTOR);
    assert_int_equal(image_write_partition_table(entries, count + 1, data), IMAGE_WRITE_OK);
}

/** All of a new system, its app in the first slot. */
static void bundle_of_a_system(void)
{
    uint8_t loader[SR_PARTITION_TABLE_OFFSET - SMALL_BOOTLOADER];
    uint8_t app[SMALL_APP_SIZE];
    uint8_t table[SECTOR];
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    small_app("2", app);
    new_table(table);
    image_write_otadata(1, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = BOOTLOADER, .data = loader, .length = new_bootloader(loader)},
        {.place = TABLE, .data = table, .length = sizeof(table)},
        {.place = NVS},
        {.place = OTADATA, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT_0, SMALL_SLOT_SIZE}, .data = app, .length = sizeof(app)},
    };
    put_bundle(regions, sizeof(regions) / sizeof(regions[0]));
}

#define SYSTEM                                                                                                         \
    {                                                                                                                  \
        BOOTLOADER, TABLE, NVS, OTADATA,                                                                               \
        {                                                                                                              \
            SLOT_0, SMALL_SLOT_SIZE                                                                                    \
        }                                                                                                              \
    }

static const scenario_t scenarios[] = {
    {"image to a free slot", SLOT_0, image_to_a_free_slot, {{SLOT_1, SMALL_SLOT_SIZE}}, AS_SELECTED},
    {"image from a server", SLOT_0, image_from_a_server, {{SLOT_1, SMALL_SLOT_SIZE}}, AS_SELECTED},
    {"image of a bootloader", SLOT_0, image_of_a_bootloader, {BOOTLOADER}, AS_SELECTED},
    {"image over the running app, which moves",
     SLOT_0,
     image_over_the_running_app,
     {{SLOT_0, SMALL_SLOT_SIZE}},
     AS_SELECTED},
    {"bundle, the app is not in the way", SLOT_1, bundle_of_a_system, SYSTEM, AS_SELECTED},
    {"bundle, the app moves", SLOT_0, bundle_of_a_system, SYSTEM, AS_SELECTED},
    {"resume, then the bundle", SLOT_1, bundle_of_a_system, SYSTEM, INTERRUPTED},
    {"bundle, the app is not the one that otadata selects", SLOT_1, bundle_of_a_system, SYSTEM, AS_FALLBACK},
};

static const uint8_t *old_app(void)
{
    static uint8_t app[SMALL_APP_SIZE];
    if (app[0] == 0) {
        small_app("1", app);
    }
    return app;
}

static bool boots_old_app(const uint8_t *content)
{
    static uint8_t *aside;
    const boot_chip_t chip = {.chip = sr_chip_by_name("esp32")};
    boot_result_t boot;
    aside = aside != NULL ? aside : flash_buffer_new(SMALL_FLASH_SIZE);
    assert_non_null(aside);
    boot_run_aside(&chip, content, aside, SMALL_FLASH_SIZE, NULL, NULL, &boot);
    return boot.outcome == BOOT_BOOTS && memcmp(content + boot.app_offset, old_app(), SMALL_APP_SIZE) == 0;
}

/** Keeps the flash as it was before its boot path and NVS were touched. Runs in the app's process. */
static void keep_for_the_old_app(void)
{
    static const sr_region_t touched[] = {BOOTLOADER, TABLE, NVS};
    flash_buffer_copy(at_commit, nor_flash_view(flash), SMALL_FLASH_SIZE);
    for (size_t i = 0; i < sizeof(touched) / sizeof(touched[0]); i++) {
        memcpy(at_commit + touched[i].address, old + touched[i].address, touched[i].size);
    }
}

static bool touches(const nor_op_t *op, sr_region_t region)
{
    return sr_region_overlaps((sr_region_t){op->address, op->length}, region);
}

/** Runs in the app's process. */
static void watch(void *context, const nor_op_t *op, const nor_flash_t *unused)
{
    (void)unused;
    job_t *seen = context;
    const bool boot_path = touches(op, LOADER_CODE) || touches(op, TABLE);
    seen->boot_path_touched = seen->boot_path_touched || boot_path;
    if (seen->commit_at == NEVER && (boot_path || touches(op, NVS))) {
        seen->commit_at = op->number;
        keep_for_the_old_app();
    }
}

/** A run ends when another app boots, which then goes on. */
static sim_end_t start(void)
{
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = UINT32_MAX};
    sim_report_t report;
    job->boot_path_touched = false;
    job->commit_at = NEVER;
    nor_flash_reset_stats(flash);
    assert_true(sim_run(&config, app_main, MAX_BOOTS, &report));
    if (report.other_app) {
        assert_true(sim_run(&config, app_main, MAX_BOOTS, &report));
    }
    job->old_boots = job->commit_at == NEVER || boots_old_app(at_commit);
    return report.last_end;
}

/** The flash at the start of a scenario, and after a run without faults. */
typedef struct world {
    const scenario_t *scenario;
    uint8_t *before, *then;
    uint32_t completed, failed, failed_later; /**< How runs with a fault ended. */
} world_t;

static void load(const uint8_t *content)
{
    memcpy(nor_flash_bytes(flash), content, SMALL_FLASH_SIZE);
}

/** Cuts the power as the commit begins, with everything staged. */
static void interrupt(world_t *world)
{
    load(world->before);
    nor_flash_set_power_loss(
        flash, (nor_power_loss_t){.armed = true, .operation = job->commit_at, .when = NOR_POWER_LOSS_BEFORE});
    assert_int_equal(start(), SIM_END_POWER_LOSS);
    nor_flash_power_on(flash);
    memcpy(world->before, nor_flash_view(flash), SMALL_FLASH_SIZE);
}

static void open_world(world_t *world, const scenario_t *scenario)
{
    *world = (world_t){.scenario = scenario};
    *job = (job_t){0};
    const uint32_t sequence = scenario->running_app == SLOT_0 || scenario->start == AS_FALLBACK ? 1 : 2;
    flash = small_flash_new(&(small_layout_t){.slots = 3, .sequences = {sequence, 0}});
    small_app("1", nor_flash_bytes(flash) + scenario->running_app);
    memset(nor_flash_bytes(flash) + RECORD, 0xFF, RECORD_SIZE);
    scenario->prepare();
    nor_flash_set_observer(flash, watch, job);
    world->before = old = small_copy(flash);
    assert_int_equal(start(), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    world->then = small_copy(flash);
    if (scenario->start == INTERRUPTED) {
        interrupt(world);
    }
}

static void close_world(world_t *world)
{
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    free(world->before);
    free(world->then);
}

/* Faults. */

static bool any_failure(void)
{
    for (uint32_t i = 0; i < SMALL_FLASH_SIZE / SECTOR; i++) {
        if (nor_flash_failures(flash, i) > 0) {
            return true;
        }
    }
    return false;
}

/** True if the line names an address in a sector or block that failed. */
static bool names_a_failure(const char *line, size_t length)
{
    for (size_t i = 0; i + 2 < length; i++) {
        if (line[i] == '0' && line[i + 1] == 'x' && isxdigit((unsigned char)line[i + 2])) {
            const unsigned long address = strtoul(line + i, NULL, 16);
            if (address < SMALL_FLASH_SIZE && nor_flash_failures(flash, (uint32_t)address / SECTOR) > 0) {
                return true;
            }
        }
    }
    return false;
}

static bool log_names_a_failure(const char *log)
{
    for (const char *line = log; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        if (line[0] == 'E' && names_a_failure(line, length)) {
            return true;
        }
        line += length + (line[length] == '\n');
    }
    return false;
}

static void assert_right(const world_t *world)
{
    for (unsigned i = 0; i < MAX_TARGETS && world->scenario->targets[i].size > 0; i++) {
        const sr_region_t *target = &world->scenario->targets[i];
        small_assert_same(nor_flash_view(flash), world->then, target->address, target->size);
    }
}

/** Targets, the slots that the app may move to or stage in, otadata that selects them, and free flash. */
static bool may_change(const world_t *world, uint32_t address)
{
    const sr_region_t sector = {address, SECTOR};
    const sr_region_t free_flash = {RECORD, RECORD_SIZE};
    const sr_region_t other_slots = {SLOT_1, 2 * SMALL_SLOT_SIZE};
    bool may = sr_region_overlaps(sector, free_flash) || sr_region_overlaps(sector, OTADATA) ||
               (world->scenario->running_app == SLOT_0 && sr_region_overlaps(sector, other_slots));
    for (unsigned i = 0; i < MAX_TARGETS && world->scenario->targets[i].size > 0; i++) {
        may = may || sr_region_overlaps(sector, world->scenario->targets[i]);
    }
    return may;
}

static void assert_nothing_else_changed(const world_t *world)
{
    for (uint32_t at = 0; at < SMALL_FLASH_SIZE; at += SECTOR) {
        if (!may_change(world, at)) {
            small_assert_same(nor_flash_view(flash), world->before, at, SECTOR);
        }
    }
}

static void assert_old_system_boots(const world_t *world)
{
    small_assert_same(nor_flash_view(flash), world->before, LOADER_CODE.address, LOADER_CODE.size);
    small_assert_same(nor_flash_view(flash), world->before, TABLE.address, TABLE.size);
    assert_true(boots_old_app(nor_flash_view(flash)));
}

static void assess(world_t *world, sim_end_t end, const char *log)
{
    assert_int_equal(end, SIM_END_RETURNED);
    assert_true(job->old_boots);
    assert_nothing_else_changed(world);
    if (job->err == ESP_OK) {
        assert_right(world);
        world->completed += any_failure();
        return;
    }
    if (!log_names_a_failure(log)) {
        fail_msg("error 0x%x without a line that names the address:\n%s", (unsigned)job->err, log);
    }
    if (job->boot_path_touched) {
        world->failed_later++;
    } else {
        world->failed++;
        assert_old_system_boots(world);
    }
}

static nor_faults_t faults_of(uint32_t seed)
{
    static const uint32_t heal_after[] = {0, 1, 2, 8};
    return (nor_faults_t){.seed = seed,
                          .program_per_million = seed % 3 != 1 ? PER_MILLION : 0,
                          .erase_per_million = seed % 3 != 0 ? PER_MILLION : 0,
                          .heal_after = heal_after[seed / 3 % 4]};
}

/** What was made good again is not lost. */
static void go_on_with_good_flash(const world_t *world)
{
    nor_flash_set_faults(flash, (nor_faults_t){0});
    api_log_start();
    assert_int_equal(start(), SIM_END_RETURNED);
    free(api_log_stop());
    assert_int_equal(job->err, ESP_OK);
    assert_right(world);
    assert_nothing_else_changed(world);
}

static void run_with_faults(world_t *world, uint32_t seed)
{
    const nor_faults_t faults = faults_of(seed);
    load(world->before);
    nor_flash_set_faults(flash, faults);
    api_log_start();
    const sim_end_t end = start();
    char *log = api_log_stop();
    assess(world, end, log);
    free(log);
    if (job->err != ESP_OK && !job->boot_path_touched) {
        go_on_with_good_flash(world);
    }
}

static void in_each_world(void (*look_at)(world_t *world))
{
    job = small_shared(sizeof(*job));
    at_commit = small_shared(SMALL_FLASH_SIZE);
    api_server_start(&server);
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        world_t world;
        open_world(&world, &scenarios[i]);
        look_at(&world);
        close_world(&world);
    }
    api_server_stop(&server);
}

static void look_at_faults(world_t *world)
{
    for (uint32_t seed = 0; seed < (explore_samples() ? SEEDS / 4 : SEEDS); seed++) {
        run_with_faults(world, seed);
    }
    print_message("    %s: %u completed in spite of failures, %u failed before the commit, %u in it\n",
                  world->scenario->name, world->completed, world->failed, world->failed_later);
    assert_true(world->completed > 0);
    assert_true(world->failed > 0 || world->failed_later > 0);
}

static void nothing_wrong_is_ever_reported_as_right(void **state)
{
    (void)state;
    in_each_world(look_at_faults);
}

/* Calls that fail once. */

/** The error that a call of this kind gives. */
static esp_err_t error_of(calls_t calls)
{
    return calls == CALLS_READ ? ESP_ERR_TIMEOUT : ESP_ERR_NO_MEM;
}

/** What fails is either not needed, or made good by another attempt, or told as it is. */
static void run_with_a_failing_call(world_t *world, calls_t calls, uint32_t number, bool for_good)
{
    load(world->before);
    job->for_good = for_good;
    job->failing = calls;
    job->failing_at = number;
    job->made = 0;
    api_log_start();
    const sim_end_t end = start();
    char *log = api_log_stop();
    job->failing = CALLS_NONE;
    assert_int_equal(end, SIM_END_RETURNED);
    if (job->err != ESP_OK && job->err != error_of(calls)) {
        fail_msg("call %u of %s gives %s:\n%s", (unsigned)number, call_names[calls],
                 esp_self_reflasher_err_to_name(job->err), log);
    }
    free(log);
    assert_true(job->old_boots);
    assert_nothing_else_changed(world);
    if (job->err == ESP_OK) {
        assert_right(world);
        return;
    }
    world->failed++;
    if (!job->boot_path_touched) {
        assert_old_system_boots(world);
        go_on_with_good_flash(world);
    }
}

/** A bundle reads thousands of times, most of it in the same few loops: later on, some of them are enough. Of a sample
 * each allocation fails, and a third of what else there is. */
static uint32_t next_call(calls_t calls, uint32_t number, bool for_good)
{
    const bool each = !explore_samples() || (calls == CALLS_ALLOCATE && !for_good);
    const uint32_t step = explore_samples() ? 5 * READ_STEP : READ_STEP;
    return number + (calls == CALLS_READ && number >= EACH_READ ? step : each ? 1u : 3u);
}

static void each_call_fails(world_t *world, calls_t calls, bool for_good)
{
    job->failing = calls;
    job->failing_at = NEVER;
    job->made = 0;
    load(world->before);
    assert_int_equal(start(), SIM_END_RETURNED);
    const uint32_t made = job->made;
    for (uint32_t number = 1; number <= made; number = next_call(calls, number, for_good)) {
        run_with_a_failing_call(world, calls, number, for_good);
    }
}

static void look_at_calls(world_t *world)
{
    for (calls_t calls = CALLS_READ; calls <= CALLS_ALLOCATE; calls++) {
        each_call_fails(world, calls, false);
        if (calls != CALLS_READ) {
            each_call_fails(world, calls, true);
        }
    }
    assert_true(world->failed > 0);
}

static void what_a_call_fails_with_is_told(void **state)
{
    (void)state;
    in_each_world(look_at_calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_wrong_is_ever_reported_as_right),
        cmocka_unit_test(what_a_call_fails_with_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
