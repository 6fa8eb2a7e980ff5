// SPDX-License-Identifier: Apache-2.0
/** @file
 * How the running app is relocated where no OTA slot is free: which relocation is used, what is refused, and that the
 * power may fail at any moment outside of the announced windows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "sim/explore/explore.h"
#include "self_reflasher.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_cipher.h"
#include "test/support/support_small.h"

#include "esp_flash.h"
#include "esp_system.h"

#include "flash/sr_writer.h"
#include "journal/sr_journal.h"

#define SECTOR      SR_SECTOR_SIZE
#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define BUNDLE      SMALL_FREE
#define ROOM        0xE0000u /**< The only blank flash: 64 KiB. */
#define MAX_REGIONS 8u

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    bool copies;
    esp_self_reflasher_config_t copy;
    esp_self_reflasher_bundle_config_t bundle;
    esp_self_reflasher_plan_t plan;
    esp_err_t err;
    bool refuses_commit;
    uint32_t fails_at;             /**< Number of the allocation that gives no memory; 0: none. */
    uint32_t finds, find_fails_at; /**< Number of the search in the partition table, which allocates, too, that gives no
                                      memory; 0: none. */
    bool unreadable;               /**< The bundle, but for the first pieces of its sectors. */
    bool secure_boot, flash_encryption;
    bool like_others; /**< Its exploration: another one writes nearly the same in the same order. */
    uint32_t decays;  /**< Address of a byte that loses a bit once all is staged; 0: none. */
} job_t;

static job_t *job;
static nor_flash_t *flash;
static bundle_region_t regions[MAX_REGIONS];
static uint32_t region_count;
static uint8_t new_app[SMALL_APP_SIZE];
static uint8_t new_table[SECTOR];
static uint8_t new_otadata[IMAGE_WRITE_OTADATA_SIZE];

const esp_partition_t *__real_esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                       const char *label);
const esp_partition_t *__wrap_esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                       const char *label);
esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);

static bool search_fails(void)
{
    return ++job->finds == job->find_fails_at;
}

const esp_partition_t *__wrap_esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                       const char *label)
{
    return search_fails() ? NULL : __real_esp_partition_find_first(type, subtype, label);
}

esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    return search_fails() ? NULL : __real_esp_partition_find(type, subtype, label);
}

esp_err_t __real_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    const bool in_bundle = address >= BUNDLE && address < ROOM && address % SECTOR >= SR_WRITER_READBACK_SIZE;
    return job->unreadable && in_bundle ? ESP_ERR_TIMEOUT : __real_esp_flash_read(chip, buffer, address, length);
}

static bool may_commit(void *unused)
{
    (void)unused;
    return !job->refuses_commit;
}

static void decay(void *unused, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)unused;
    if (event == ESP_SELF_REFLASHER_EVENT_STAGE && data->sectors_done == data->sectors_total) {
        nor_flash_bytes(flash)[job->decays] ^= 1;
    }
}

static esp_err_t copy(bool *changed)
{
    const addr_region_t place = job->copy.dest_region;
    const uint8_t *now = nor_flash_view(sim_chip()->flash) + place.region_address;
    uint8_t *before = malloc(place.region_size);
    memcpy(before, now, place.region_size);
    const esp_err_t err = esp_self_reflasher_directly_copy_to_region(&job->copy);
    *changed = memcmp(before, now, place.region_size) != 0;
    free(before);
    return err;
}

static esp_err_t apply(esp_self_reflasher_plan_t *plan, bool *changed)
{
    esp_err_t err = esp_self_reflasher_resume(&job->bundle);
    if (err != ESP_OK && err != ESP_ERR_NO_MEM) {
        abort();
    }
    *changed = false;
    if (err != ESP_OK) {
        return err;
    }
    err = esp_self_reflasher_apply_bundle(&job->bundle, plan);
    *changed = plan->sectors_to_write > 0;
    return err;
}

static void app_main(void)
{
    bool changed;
    job->err = ESP_ERR_NOT_FINISHED;
    sim_heap_fail_at(job->fails_at);
    job->err = job->copies ? copy(&changed) : apply(&job->plan, &changed);
    if (job->err == ESP_OK && changed) {
        esp_restart();
    }
}

/* In explorations several processes run at once and share nothing: a failure shows as an app that crashes. */
static void app_in_exploration(void)
{
    bool changed;
    esp_self_reflasher_plan_t plan;
    if ((job->copies ? copy(&changed) : apply(&plan, &changed)) != ESP_OK) {
        abort();
    }
    if (changed) {
        esp_restart();
    }
}

static void call_app_main(void *unused)
{
    (void)unused;
    app_main();
}

static sim_config_t chip_config(void)
{
    return (sim_config_t){.chip = {.chip = sr_chip_by_name("esp32"),
                                   .burnt.secure_boot_v2 = job->secure_boot,
                                   .cipher = job->flash_encryption ? support_cipher() : NULL},
                          .flash = flash,
                          .running_app = UINT32_MAX,
                          .quiet = true};
}

/* One start of the app at this address. */
static sim_end_t start_at(uint32_t running_app)
{
    sim_config_t config = chip_config();
    config.running_app = running_app;
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call_app_main, NULL);
    sim_chip_detach();
    return end;
}

static sim_report_t run(bool after_brownout)
{
    sim_config_t config = chip_config();
    sim_report_t report;
    config.after_brownout = after_brownout;
    assert_true(sim_run(&config, app_main, 10, &report));
    return report;
}

static void open_chip(const small_layout_t *layout, uint32_t running_app)
{
    flash = small_flash_new(layout);
    uint8_t *bytes = nor_flash_bytes(flash);
    small_app("1", bytes + running_app);
    small_app("2", new_app);
    memcpy(new_table, bytes + SR_PARTITION_TABLE_OFFSET, SECTOR);
    memset(bytes + ROOM, 0xFF, 0x10000);
    memset(job, 0, sizeof(*job));
    region_count = 0;
}

static void close_chip(void)
{
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    flash = NULL;
}

static int new_job(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    return 0;
}

/* In ascending order. */
static void want(uint32_t address, uint32_t size, const uint8_t *data, size_t length)
{
    regions[region_count++] = (bundle_region_t){.place = {address, size}, .data = data, .length = length};
}

static void want_table(void)
{
    want(SR_PARTITION_TABLE_OFFSET, SECTOR, new_table, SECTOR);
}

static void want_otadata(uint32_t slot)
{
    image_write_otadata(slot + 1, SR_OTA_VALID, new_otadata);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata));
}

static void want_app(uint32_t address)
{
    want(address, SMALL_SLOT_SIZE, new_app, SMALL_APP_SIZE);
}

static void want_blank(uint32_t address)
{
    want(address, SMALL_SLOT_SIZE, NULL, 0);
}

static void pack_at(uint32_t table_offset, uint32_t flags)
{
    const bundle_spec_t spec = {
        .partition_table_offset = table_offset, .regions = regions, .region_count = region_count};
    job->bundle =
        (esp_self_reflasher_bundle_config_t){.embedded = small_put_bundle(flash, (sr_region_t){BUNDLE, 0x10000}, spec),
                                             .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED | flags};
}

static void pack(uint32_t flags)
{
    pack_at(SR_PARTITION_TABLE_OFFSET, flags);
}

static void assert_text(const char *text)
{
    if (strstr(job->plan.refusal_text, text) == NULL) {
        fail_msg("'%s' is not in: %s", text, job->plan.refusal_text);
    }
}

/* Nothing is touched; the text names the app, and says more. */
static void expect_refusal(uint32_t running_app, const char *text)
{
    char app[32];
    assert_int_equal(start_at(running_app), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP);
    assert_int_equal(job->plan.relocation, ESP_SELF_REFLASHER_RELOCATION_NONE);
    assert_int_equal(job->plan.relocation_ms_maximum, 0);
    assert_true(job->plan.must_relocate);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    snprintf(app, sizeof(app), "running app at 0x%x", running_app);
    assert_text(app);
    assert_text("12288 bytes");
    assert_text(text);
    close_chip();
}

/* The target's regions as they must be, and all else as it was except what is listed, which the last byte tells. */
static void assert_target(const uint8_t *before, uint32_t left)
{
    const uint8_t *now = nor_flash_view(flash);
    uint8_t *expected = malloc(SMALL_FLASH_SIZE);
    assert_non_null(expected);
    memcpy(expected, before, SMALL_FLASH_SIZE);
    for (uint32_t i = 0; i < region_count; i++) {
        memset(expected + regions[i].place.address, 0xFF, regions[i].place.size);
        if (regions[i].data != NULL) {
            memcpy(expected + regions[i].place.address, regions[i].data, regions[i].length);
        }
    }
    if (left != UINT32_MAX) {
        small_app("1", expected + left);
    }
    small_assert_same(now, expected, 0, SMALL_FLASH_SIZE);
    free(expected);
}

/* Every cut, torn in all ways, with further cuts while it goes on. */
static void explore(explore_result_t *result)
{
    sr_region_t targets[MAX_REGIONS];
    const addr_region_t place = job->copy.dest_region;
    for (uint32_t i = 0; i < region_count; i++) {
        targets[i] = regions[i].place;
    }
    if (job->copies) {
        targets[0] = (sr_region_t){place.region_address, (uint32_t)place.region_size};
    }
    small_explore((explore_config_t){.flash = nor_flash_view(flash),
                                     .app_main = app_in_exploration,
                                     .targets = targets,
                                     .target_count = job->copies ? 1 : region_count,
                                     .losses = 3,
                                     .sample = job->like_others ? SMALL_SAMPLE_OF_ALIKE : SMALL_SAMPLE(0)},
                  result);
    assert_true(result->nested_count > 0);
}

/* All of it without a window. */
static void explore_without_window(void)
{
    explore_result_t result;
    explore(&result);
    assert_int_equal(result.outcomes[EXPLORE_DOES_NOT_BOOT], 0);
    assert_int_equal(result.window_maximum_us, 0);
    explore_result_free(&result);
}

/* The announced window is not shorter than the real one. */
static void explore_with_window(const esp_self_reflasher_plan_t *plan)
{
    explore_result_t result;
    explore(&result);
    assert_true(result.outcomes[EXPLORE_DOES_NOT_BOOT] > 0);
    assert_true(result.window_typical_us > 0);
    assert_true(result.window_typical_us <= (plan->relocation_ms_typical + plan->window_ms_typical) * 1000u);
    assert_true(result.window_maximum_us <= (plan->relocation_ms_maximum + plan->window_ms_maximum) * 1000u);
    explore_result_free(&result);
}

static esp_self_reflasher_plan_t plan_at(uint32_t running_app)
{
    sim_config_t config = chip_config();
    esp_self_reflasher_plan_t plan;
    config.running_app = running_app;
    assert_true(sim_chip_attach(&config));
    assert_int_equal(esp_self_reflasher_plan_bundle(&job->bundle, &plan), ESP_OK);
    sim_chip_detach();
    return plan;
}

/* A smaller footprint. */

static const small_layout_t factory_and_slot = {.slots = 1, .factory = true};

static void open_blank_factory(void)
{
    open_chip(&factory_and_slot, SMALL_FACTORY);
    want_otadata(0);
    want_blank(SMALL_FACTORY);
    want_app(SLOT(0));
}

static void blank_sectors_under_the_app_are_left(void **state)
{
    (void)state;
    open_blank_factory();
    pack(0);
    uint8_t *before = small_copy(flash);
    const esp_self_reflasher_plan_t plan = plan_at(SMALL_FACTORY);
    assert_int_equal(plan.sectors_left, 3);
    assert_int_equal(plan.sectors_total, plan.sectors_right + plan.sectors_to_write + 3);
    assert_int_equal(plan.relocation, ESP_SELF_REFLASHER_RELOCATION_NONE);
    assert_false(plan.must_relocate);

    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RESTART);
    assert_int_equal(job->err, ESP_OK);
    assert_target(before, SMALL_FACTORY);
    small_assert_boots(flash, false, SLOT(0));
    /* The same app finds nothing to do; another one finishes. */
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_int_equal(job->plan.sectors_left, 3);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_int_equal(start_at(SLOT(0)), SIM_END_RESTART);
    assert_int_equal(job->plan.sectors_left, 0);
    assert_target(before, UINT32_MAX);
    free(before);
    close_chip();
}

static void leaving_them_may_be_cut(void **state)
{
    (void)state;
    open_blank_factory();
    pack(0);
    explore_without_window();
    close_chip();
}

static void with_a_free_slot_nothing_is_left(void **state)
{
    (void)state;
    open_chip(&(small_layout_t){.slots = 2, .factory = true}, SMALL_FACTORY);
    want_otadata(0);
    want_blank(SMALL_FACTORY);
    want_app(SLOT(0));
    pack(0);
    uint8_t *before = small_copy(flash);
    assert_int_equal(plan_at(SMALL_FACTORY).relocation, ESP_SELF_REFLASHER_RELOCATION_SLOT);
    (void)run(false);
    assert_int_equal(job->err, ESP_OK);
    assert_int_equal(job->plan.sectors_left, 0);
    small_app("1", before + SLOT(1));
    assert_target(before, UINT32_MAX);
    free(before);
    close_chip();
}

/* Where the new system reads them, blank sectors count like any others. */
static void blank_sectors_that_matter_are_in_the_way(void **state)
{
    (void)state;
    static const sr_partition_table_entry_t storage[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, SMALL_OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_DATA, 0x82, SMALL_FACTORY, SMALL_SLOT_SIZE, 0, "storage"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT(0), SMALL_SLOT_SIZE, 0, "ota_0"},
    };
    uint8_t late[4 * SECTOR + 1];
    /* A file system of the new system. */
    open_chip(&factory_and_slot, SMALL_FACTORY);
    memset(new_table, 0xFF, sizeof(new_table));
    assert_int_equal(image_write_partition_table(storage, 3, new_table), IMAGE_WRITE_OK);
    want_table();
    want_otadata(0);
    want_blank(SMALL_FACTORY);
    want_app(SLOT(0));
    pack(0);
    expect_refusal(SMALL_FACTORY, "in an OTA slot: 12288 bytes missing before new ota_0;");

    /* A gap in an app. */
    open_chip(&factory_and_slot, SMALL_FACTORY);
    memset(late, 0xFF, sizeof(late));
    late[4 * SECTOR] = 0;
    want_otadata(0);
    want(SMALL_FACTORY, SMALL_SLOT_SIZE, late, sizeof(late));
    want_app(SLOT(0));
    pack(0);
    expect_refusal(SMALL_FACTORY, "in an OTA slot: 12288 bytes missing before new ota_0;");

    /* Without a table nobody knows which sectors matter. */
    open_blank_factory();
    pack_at(SR_BUNDLE_NO_TABLE, 0);
    expect_refusal(SMALL_FACTORY, "in an OTA slot: ");
}

static const small_layout_t two_slots = {.slots = 2, .sequences = {1, 0}};

static void open_blank_slot(void)
{
    open_chip(&two_slots, SLOT(0));
    want_otadata(0);
    want_app(SLOT(0));
    want_blank(SLOT(1));
}

static void app_moves_to_a_slot_that_shall_be_blank(void **state)
{
    (void)state;
    open_blank_slot();
    pack(0);
    uint8_t *before = small_copy(flash);
    const esp_self_reflasher_plan_t plan = plan_at(SLOT(0));
    assert_int_equal(plan.relocation, ESP_SELF_REFLASHER_RELOCATION_SLOT);
    assert_int_equal(plan.relocate_to, SLOT(1));
    assert_int_equal(plan.sectors_left, 3);
    assert_int_equal(start_at(SLOT(0)), SIM_END_RESTART);
    small_assert_boots(flash, false, SLOT(1));
    (void)run(false);
    assert_int_equal(job->err, ESP_OK);
    assert_int_equal(job->plan.sectors_left, 3);
    assert_target(before, SLOT(1));
    small_assert_boots(flash, false, SLOT(0));
    free(before);
    close_chip();
}

static void that_move_may_be_cut(void **state)
{
    (void)state;
    open_blank_slot();
    pack(0);
    explore_without_window();
    close_chip();
}

static void slot_that_is_left_alone_is_preferred(void **state)
{
    (void)state;
    open_chip(&(small_layout_t){.slots = 3, .sequences = {1, 0}}, SLOT(0));
    want_otadata(0);
    want_app(SLOT(0));
    want_blank(SLOT(1));
    pack(0);
    const esp_self_reflasher_plan_t plan = plan_at(SLOT(0));
    assert_int_equal(plan.relocate_to, SLOT(2));
    assert_int_equal(plan.sectors_left, 0);
    close_chip();
}

static void slot_that_something_needs_is_no_room(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    /* A data partition overlaps it, as a bad table may have. */
    open_chip(&two_slots, SLOT(0));
    unsigned count = small_table(&two_slots, entries);
    entries[count] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, SLOT(1) + SECTOR, SECTOR, 0, "storage"};
    small_put_table(nor_flash_bytes(flash), entries, count + 1);
    want_otadata(0);
    want_app(SLOT(0));
    want_blank(SLOT(1));
    pack(0);
    expect_refusal(SLOT(0), "in an OTA slot: 8192 bytes missing before storage;");

    /* The bundle in it. */
    open_chip(&two_slots, SLOT(0));
    want_otadata(0);
    want_app(SLOT(0));
    pack(0);
    memcpy(nor_flash_bytes(flash) + SLOT(1), nor_flash_view(flash) + BUNDLE, SMALL_SLOT_SIZE);
    job->bundle.embedded.region_address = SLOT(1);
    expect_refusal(SLOT(0), "in an OTA slot: 12288 bytes missing before ota_1;");
}

static void obstacle_goes_by_its_label_or_else_by_its_address(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"storage", "before storage;"}, {"s", "before s;"}, {"", "before 0x31000;"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_partition_table_entry_t entries[8];
        open_chip(&two_slots, SLOT(0));
        const unsigned count = small_table(&two_slots, entries);
        entries[count] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, SLOT(1) + SECTOR, SECTOR, 0, ""};
        (void)snprintf(entries[count].label, sizeof(entries[count].label), "%s", cases[i][0]);
        small_put_table(nor_flash_bytes(flash), entries, count + 1);
        want_otadata(0);
        want_app(SLOT(0));
        want_blank(SLOT(1));
        pack(0);
        expect_refusal(SLOT(0), cases[i][1]);
    }
}

/* A temporary table. */

static const small_layout_t lone_factory = {.factory = true, .no_otadata = true};

static void open_lone_factory(void)
{
    open_chip(&lone_factory, SMALL_FACTORY);
    want_table();
    want_app(SMALL_FACTORY);
}

static void app_moves_by_a_temporary_table(void **state)
{
    (void)state;
    uint8_t moved[SECTOR];
    sr_partition_table_entry_t entries[8];
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    uint8_t *before = small_copy(flash);
    const esp_self_reflasher_plan_t plan = plan_at(SMALL_FACTORY);
    assert_int_equal(plan.relocation, ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE);
    assert_int_equal(plan.relocate_to, ROOM);
    assert_int_equal(plan.sectors_left, 0);
    assert_in_range(plan.relocation_ms_typical, 90,
                    120); /* Written twice: to the temporary table and back. The table is right already. */
    assert_in_range(plan.relocation_ms_maximum, 800, 1000);

    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RESTART);
    const unsigned count = small_table(&lone_factory, entries);
    entries[count - 1].address = ROOM;
    entries[count - 1].size = SMALL_APP_SIZE;
    memset(moved, 0xFF, sizeof(moved));
    assert_int_equal(image_write_partition_table(entries, count, moved), IMAGE_WRITE_OK);
    assert_memory_equal(nor_flash_view(flash) + SR_PARTITION_TABLE_OFFSET, moved, SECTOR);
    small_assert_boots(flash, false, ROOM);

    (void)run(false);
    assert_int_equal(job->err, ESP_OK);
    assert_int_equal(job->plan.relocation, ESP_SELF_REFLASHER_RELOCATION_NONE);
    assert_target(before, ROOM);
    small_assert_boots(flash, false, SMALL_FACTORY);
    free(before);
    close_chip();
}

static void temporary_table_may_be_cut(void **state)
{
    (void)state;
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    const esp_self_reflasher_plan_t plan = plan_at(SMALL_FACTORY);
    explore_with_window(&plan);
    close_chip();
}

static void temporary_table_with_otadata_may_be_cut(void **state)
{
    (void)state;
    open_chip(&(small_layout_t){.slots = 1, .sequences = {1, 0}}, SLOT(0));
    new_table[SECTOR - 1] = 0; /* Past its end. */
    want_table();
    want_otadata(0);
    want_app(SLOT(0));
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    const esp_self_reflasher_plan_t plan = plan_at(SLOT(0));
    assert_in_range(plan.relocation_ms_typical, 45, 60); /* Writing the table back is in the window in any case. */
    explore_with_window(&plan);
    close_chip();
}

/* The partition of another app, which is no OTA slot, with nothing in it: a copy that was cut short goes on there. */
static void blank_place_of_another_app_is_room(void **state)
{
    (void)state;
    const small_layout_t layout = {.slots = 1, .sequences = {1, 0}};
    sr_partition_table_entry_t entries[8];
    open_chip(&layout, SLOT(0));
    const unsigned count = small_table(&layout, entries);
    entries[count] = (sr_partition_table_entry_t){
        SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, ROOM, SMALL_SLOT_SIZE, 0, "factory"};
    small_put_table(nor_flash_bytes(flash), entries, count + 1);
    new_table[SECTOR - 1] = 0; /* Past its end. */
    want_table();
    want_otadata(0);
    want_app(SLOT(0));
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    const esp_self_reflasher_plan_t plan = plan_at(SLOT(0));
    assert_int_equal(plan.relocate_to, ROOM);
    job->like_others = true;
    explore_with_window(&plan);
    memset(nor_flash_bytes(flash) + ROOM + 2 * SECTOR, 0, SECTOR);
    expect_refusal(SLOT(0), "in an OTA slot: none that could be selected");
}

/* Slot 1 has 128 KiB, of which the target wants the first half: the rest takes the app, whatever it holds. */
static void slot_under_the_new_place_is_cut_short(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    open_chip(&two_slots, SLOT(0));
    unsigned count = small_table(&two_slots, entries);
    entries[count - 1].size = 2 * SMALL_SLOT_SIZE;
    small_put_table(nor_flash_bytes(flash), entries, count);
    memset(nor_flash_bytes(flash) + ROOM, 0, 0x10000);
    want_table();
    want_otadata(0);
    want_app(SLOT(0));
    want_app(SLOT(1));
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    assert_int_equal(plan_at(SLOT(0)).relocate_to, SLOT(2));
    assert_int_equal(start_at(SLOT(0)), SIM_END_RESTART);
    small_assert_boots(flash, false, SLOT(2));
    entries[count - 1].size = SMALL_SLOT_SIZE;
    entries[count - 2].address = SLOT(2);
    entries[count - 2].size = SMALL_APP_SIZE;
    uint8_t moved[SECTOR];
    memset(moved, 0xFF, sizeof(moved));
    assert_int_equal(image_write_partition_table(entries, count, moved), IMAGE_WRITE_OK);
    assert_memory_equal(nor_flash_view(flash) + SR_PARTITION_TABLE_OFFSET, moved, SECTOR);
    (void)run(false);
    assert_int_equal(job->err, ESP_OK);
    small_assert_boots(flash, false, SLOT(0));
    close_chip();
}

static void what_shall_be_blank_is_room(void **state)
{
    (void)state;
    open_chip(&lone_factory, SMALL_FACTORY);
    memset(nor_flash_bytes(flash) + ROOM, 0, 0x10000);
    want_table();
    want_app(SMALL_FACTORY);
    want_blank(SLOT(3));
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    uint8_t *before = small_copy(flash);
    const esp_self_reflasher_plan_t plan = plan_at(SMALL_FACTORY);
    assert_int_equal(plan.relocate_to, SLOT(3));
    assert_int_equal(plan.sectors_left, 3);
    (void)run(false);
    assert_int_equal(job->err, ESP_OK);
    assert_target(before, SLOT(3));
    memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
    job->like_others = true;
    explore_with_window(&plan);
    free(before);
    close_chip();
}

static void temporary_table_needs_room_and_leave(void **state)
{
    (void)state;
    open_lone_factory();
    pack(0);
    expect_refusal(SMALL_FACTORY, "with a temporary table: 0 bytes missing, not allowed");
    assert_int_equal(job->plan.bytes_missing, 0);

    /* What belongs to nobody is kept if it holds anything. */
    open_lone_factory();
    memset(nor_flash_bytes(flash) + ROOM + SECTOR, 0, 0x10000 - SECTOR);
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    expect_refusal(SMALL_FACTORY, "with a temporary table: 8192 bytes missing before 0xe1000;");

    open_chip(&lone_factory, SMALL_FACTORY);
    want_app(SMALL_FACTORY);
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    expect_refusal(SMALL_FACTORY, "not without a new table");

    /* Data of the new system goes there. */
    sr_partition_table_entry_t entries[8];
    open_lone_factory();
    const unsigned count = small_table(&lone_factory, entries);
    entries[count] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, ROOM, 0x10000, 0, "storage"};
    memset(new_table, 0xFF, sizeof(new_table));
    assert_int_equal(image_write_partition_table(entries, count + 1, new_table), IMAGE_WRITE_OK);
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    expect_refusal(SMALL_FACTORY, "12288 bytes missing;");

    /* The bundle lies there. */
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    memcpy(nor_flash_bytes(flash) + ROOM + SECTOR, nor_flash_view(flash) + BUNDLE, 0x10000 - SECTOR);
    job->bundle.embedded.region_address = ROOM + SECTOR;
    expect_refusal(SMALL_FACTORY, "8192 bytes missing before 0xe1000;");
}

/* With Secure Boot a bootloader may verify a signature over the table; with encryption the table says what is
 * encrypted. */
static void table_of_a_secured_chip_stays(void **state)
{
    (void)state;
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    job->secure_boot = true;
    expect_refusal(SMALL_FACTORY, "with a temporary table: 0 bytes missing, not with flash encryption or Secure Boot");

    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    support_encrypt(nor_flash_bytes(flash), 0, SMALL_NVS);
    support_encrypt(nor_flash_bytes(flash), SMALL_FACTORY, SMALL_SLOT_SIZE);
    job->flash_encryption = true;
    expect_refusal(SMALL_FACTORY, "with a temporary table: 0 bytes missing, not with flash encryption or Secure Boot");
}

/* Its header says how much flash there is: a table with more would not be accepted. */
static void room_that_the_bootloader_does_not_know_is_none(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    nor_flash_t *large = nor_flash_new(2 * SMALL_FLASH_SIZE, nor_timing_find(NULL));
    open_lone_factory();
    memset(nor_flash_bytes(flash) + ROOM, 0, 0x10000);
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    memcpy(nor_flash_bytes(large), nor_flash_view(flash), SMALL_FLASH_SIZE);
    nor_flash_delete(flash);
    flash = large;
    (void)small_table(&lone_factory, entries);
    expect_refusal(SMALL_FACTORY, "12288 bytes missing;");
}

static void app_that_does_not_come_first_stays(void **state)
{
    (void)state;
    /* Otadata selects slot 0, which is broken: so the bootloader has come to the factory app. */
    open_chip(&(small_layout_t){.factory = true, .slots = 1, .sequences = {1, 0}}, SMALL_FACTORY);
    want_table();
    want_app(SMALL_FACTORY);
    want_app(SLOT(0));
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    small_assert_boots(flash, false, SMALL_FACTORY);
    expect_refusal(SMALL_FACTORY, "with a temporary table: 0 bytes missing, not with this bootloader");

    /* Otadata selects slot 0, which holds an intact app by now: that one would be started. */
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(1));
    small_app("3", nor_flash_bytes(flash) + SLOT(0));
    want_table();
    want_app(SLOT(0));
    want_app(SLOT(1));
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    small_assert_boots(flash, false, SLOT(0));
    expect_refusal(SLOT(1), "with a temporary table: 0 bytes missing, not with this bootloader");
}

/* It does not go on either where nothing can select the app: a new app would start at the wrong time. */
static void app_that_nothing_can_select_does_not_write_another(void **state)
{
    (void)state;
    open_chip(&(small_layout_t){.factory = true, .slots = 2, .no_otadata = true}, SLOT(0));
    want_app(SLOT(1));
    pack(0);
    job->bundle.skip_checks = ESP_SELF_REFLASHER_CHECK_APP;
    assert_int_equal(start_at(SLOT(0)), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP);
    assert_text("otadata cannot select it");
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    close_chip();
}

static void table_is_written_only_when_the_caller_lets_it(void **state)
{
    (void)state;
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    job->bundle.may_commit = may_commit;
    job->refuses_commit = true;
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    assert_memory_equal(nor_flash_view(flash) + SR_PARTITION_TABLE_OFFSET, new_table, SECTOR);
    job->bundle.may_commit = NULL;
    sim_report_t report = run(true);
    assert_int_equal(report.last_end, SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    assert_memory_equal(nor_flash_view(flash) + SR_PARTITION_TABLE_OFFSET, new_table, SECTOR);
    /* By now the copy is there. */
    (void)start_at(SMALL_FACTORY);
    assert_int_equal(nor_flash_stats(flash).operations, 2);
    small_assert_boots(flash, false, ROOM);
    close_chip();
}

/* In place. */

static void open_in_place(void)
{
    open_chip(&lone_factory, SMALL_FACTORY);
    want(SMALL_FACTORY, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE);
}

static void app_is_overwritten_in_place(void **state)
{
    (void)state;
    open_in_place();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE | ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    uint8_t *before = small_copy(flash);
    const esp_self_reflasher_plan_t plan = plan_at(SMALL_FACTORY);
    assert_int_equal(plan.relocation, ESP_SELF_REFLASHER_RELOCATION_IN_PLACE);
    assert_int_equal(plan.relocate_to, UINT32_MAX);
    assert_int_equal(plan.staging_address, ROOM);
    assert_true(plan.relocation_ms_typical > 0);
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RESTART);
    assert_int_equal(job->err, ESP_ERR_NOT_FINISHED);
    assert_target(before, UINT32_MAX);
    small_assert_boots(flash, false, SMALL_FACTORY);
    free(before);
    close_chip();
}

static void in_place_comes_after_the_temporary_table(void **state)
{
    (void)state;
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE | ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    assert_int_equal(plan_at(SMALL_FACTORY).relocation, ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE);
    close_chip();
}

/* Boot path and data change with it; of the app's sectors one is right, and one shall be blank. */
static void open_whole_system(void)
{
    static uint8_t nvs[SMALL_NVS_SIZE];
    static uint8_t app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 1, .sequences = {2, 1}}, SLOT(0));
    dummy_image_fill(nvs, sizeof(nvs), 3);
    new_table[SECTOR - 1] = 0;
    want_table();
    want(SMALL_NVS, SMALL_NVS_SIZE, nvs, sizeof(nvs));
    want_otadata(0);
    memcpy(app, new_app, sizeof(app));
    want(SLOT(0), SMALL_SLOT_SIZE, app, sizeof(app));
    memcpy(nor_flash_bytes(flash) + SLOT(0) + SMALL_APP_SIZE, nor_flash_bytes(flash) + ROOM, SECTOR);
}

static void whole_system_is_overwritten_in_place(void **state)
{
    (void)state;
    open_whole_system();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_at(SLOT(0)), SIM_END_RESTART);
    assert_target(before, UINT32_MAX);
    free(before);
    close_chip();
}

static void overwriting_may_be_cut_outside_its_window(void **state)
{
    (void)state;
    open_in_place();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    esp_self_reflasher_plan_t plan = plan_at(SMALL_FACTORY);
    explore_with_window(&plan);
    close_chip();
    open_whole_system();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    plan = plan_at(SLOT(0));
    explore_with_window(&plan);
    close_chip();
}

/* What is staged is all that is left of the app, once that is being overwritten: so it is read once more before. */
static void what_decays_before_the_app_is_overwritten_is_noticed(void **state)
{
    (void)state;
    for (uint32_t sector = 0; sector < SMALL_APP_SIZE / SECTOR; sector++) {
        open_in_place();
        pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
        uint8_t *before = small_copy(flash);
        job->decays = ROOM + (SR_RECORD_OVERHEAD + sector) * SECTOR + 100;
        job->bundle.event_cb = decay;
        assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_VERIFY);
        small_assert_same(nor_flash_view(flash), before, 0, ROOM);
        small_assert_boots(flash, false, SMALL_FACTORY);
        free(before);
        close_chip();
    }
}

/* Data goes to its place only when the rest is in RAM: without memory for that, it is as it was. */
static void data_waits_until_the_boot_path_is_in_ram(void **state)
{
    (void)state;
    open_whole_system();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    uint8_t *before = small_copy(flash);
    sim_end_t end = SIM_END_RETURNED;
    uint32_t number = 1;
    for (; end == SIM_END_RETURNED; number++) {
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        job->fails_at = number;
        end = start_at(SLOT(0));
        if (end == SIM_END_RETURNED && nor_flash_stats(flash).operations > 0) {
            assert_int_equal(job->err, ESP_ERR_NO_MEM);
            assert_memory_equal(nor_flash_view(flash) + SMALL_NVS, before + SMALL_NVS, SMALL_NVS_SIZE);
        }
    }
    assert_int_equal(end, SIM_END_RESTART);
    assert_true(number > 10);
    free(before);
    close_chip();
}

/* The staged content begins where the target wants nothing and ends where it wants blank flash. */
static void what_waits_may_lie_in_both(void **state)
{
    (void)state;
    open_chip(&lone_factory, SMALL_FACTORY);
    memset(nor_flash_bytes(flash) + ROOM, 0, 0x10000);
    memset(nor_flash_bytes(flash) + SMALL_FACTORY + 5 * SECTOR, 0xFF, 3 * SECTOR);
    want(SMALL_FACTORY, 5 * SECTOR, new_app, SMALL_APP_SIZE);
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    const esp_self_reflasher_plan_t plan = plan_at(SMALL_FACTORY);
    assert_int_equal(plan.staging_address, SMALL_FACTORY + SMALL_APP_SIZE);
    explore_with_window(&plan);
    close_chip();
}

/* Of the app's sectors only the first one and the last one change, and the last one is to be blank. */
static void what_stays_in_front_of_a_blank_end_is_not_erased(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open_chip(&lone_factory, SMALL_FACTORY);
        const uint8_t *now = nor_flash_view(flash) + SMALL_FACTORY;
        memcpy(new_app + SECTOR, now + SECTOR, SECTOR);
        want(SMALL_FACTORY, i == 0 ? 2 * SECTOR : SECTOR, new_app, i == 0 ? 2 * SECTOR : SECTOR);
        want(SMALL_FACTORY + 2 * SECTOR, SECTOR, NULL, 0);
        pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
        job->bundle.skip_checks = ESP_SELF_REFLASHER_CHECK_APP;
        uint8_t *before = small_copy(flash);
        assert_int_equal(plan_at(SMALL_FACTORY).relocation, ESP_SELF_REFLASHER_RELOCATION_IN_PLACE);
        assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RESTART);
        assert_target(before, UINT32_MAX);
        free(before);
        close_chip();
    }
}

static void overwriting_needs_room_and_leave(void **state)
{
    (void)state;
    open_in_place();
    pack(0);
    expect_refusal(SMALL_FACTORY, "in place: 0 bytes missing, not allowed");
    /* Three sectors and two for the record. */
    open_in_place();
    memset(nor_flash_bytes(flash) + ROOM + 4 * SECTOR, 0, 0x10000 - 4 * SECTOR);
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    expect_refusal(SMALL_FACTORY, "in place: 4096 bytes missing of 20480 before 0xe4000");
    open_in_place();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    job->bundle.may_commit = may_commit;
    job->refuses_commit = true;
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    small_assert_boots(flash, false, SMALL_FACTORY);
    close_chip();
}

/* What a power loss leaves of it past the end of its partition would be nobody's, and in the way for good. */
static void what_is_staged_stays_where_its_mark_counts(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    open_in_place();
    const unsigned count = small_table(&lone_factory, entries);
    entries[count] =
        (sr_partition_table_entry_t){SR_PARTITION_TYPE_APP, SR_PARTITION_APP_TEST, ROOM, 2 * SECTOR, 0, "test"};
    small_put_table(nor_flash_bytes(flash), entries, count + 1);
    memset(nor_flash_bytes(flash) + ROOM + 6 * SECTOR, 0, 0x10000 - 6 * SECTOR);
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    expect_refusal(SMALL_FACTORY, "in place: 4096 bytes missing of 20480 before 0xe6000");
}

/* Single images. */

/* From the table to the end of the app in the factory partition, with another app; it lies in flash. */
static void open_image(uint32_t flags)
{
    open_chip(&lone_factory, SMALL_FACTORY);
    uint8_t *bytes = nor_flash_bytes(flash);
    const uint32_t length = SMALL_FACTORY - SR_PARTITION_TABLE_OFFSET + SMALL_APP_SIZE;
    memcpy(bytes + BUNDLE, bytes + SR_PARTITION_TABLE_OFFSET, length);
    memcpy(bytes + BUNDLE + SMALL_FACTORY - SR_PARTITION_TABLE_OFFSET, new_app, SMALL_APP_SIZE);
    job->copies = true;
    job->copy = (esp_self_reflasher_config_t){.src_region = {BUNDLE, length},
                                              .src_bin_size = length,
                                              .dest_region = {SR_PARTITION_TABLE_OFFSET, length},
                                              .flags = flags};
}

static void app_moves_for_an_image_by_a_temporary_table(void **state)
{
    (void)state;
    open_image(ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE);
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RESTART);
    small_assert_boots(flash, false, ROOM);
    (void)run(false);
    assert_int_equal(job->err, ESP_OK);
    small_app("1", before + ROOM);
    memcpy(before + SR_PARTITION_TABLE_OFFSET, before + BUNDLE, job->copy.src_bin_size);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    small_assert_boots(flash, false, SMALL_FACTORY);
    free(before);
    close_chip();
}

static void that_may_be_cut_outside_its_window(void **state)
{
    (void)state;
    explore_result_t result;
    open_image(ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE);
    explore(&result);
    assert_true(result.window_typical_us < 120000); /* The table's sector, twice. */
    explore_result_free(&result);
    close_chip();
}

static void after_a_brownout_the_image_waits(void **state)
{
    (void)state;
    open_image(ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE);
    (void)run(true);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    small_assert_boots(flash, false, SMALL_FACTORY);
    close_chip();
}

/* Without permission, or if the image does not bring a table, the app is overwritten in place. */
static void otherwise_an_image_goes_over_the_app(void **state)
{
    (void)state;
    open_image(0);
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RESTART);
    assert_int_equal(job->err, ESP_ERR_NOT_FINISHED);
    small_assert_boots(flash, false, SMALL_FACTORY);
    close_chip();
    open_image(ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE);
    job->copy.src_region.region_address += SECTOR;
    job->copy.dest_region.region_address += SECTOR;
    job->copy.src_bin_size -= SECTOR;
    job->copy.dest_region.region_size -= SECTOR;
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RESTART);
    small_assert_boots(flash, false, SMALL_FACTORY);
    close_chip();
}

/* Wherever memory runs out, the app that runs goes on to boot, and finishes at the next start. */
static void expect_memory_may_run_out(void)
{
    uint8_t *before = small_copy(flash);
    uint8_t *after = NULL;
    bool failed = true;
    for (uint32_t number = 0; failed; number++) {
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        job->fails_at = number;
        const sim_end_t end = start_at(SMALL_FACTORY);
        failed = end == SIM_END_RETURNED || number == 0;
        if (end == SIM_END_RETURNED) {
            assert_int_equal(job->err, ESP_ERR_NO_MEM);
            small_assert_boots(flash, false, SMALL_FACTORY);
        }
        job->fails_at = 0;
        (void)run(false);
        if (after == NULL) {
            after = small_copy(flash);
        }
        small_assert_same(nor_flash_view(flash), after, 0, SMALL_FLASH_SIZE);
    }
    free(before);
    free(after);
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    expect_memory_may_run_out();
    close_chip();
    open_in_place();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    expect_memory_may_run_out();
    close_chip();
    open_image(ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE);
    expect_memory_may_run_out();
    close_chip();
}

/* A read error is no fault of the bundle. */
static void error_while_the_result_is_checked_is_handed_up(void **state)
{
    (void)state;
    open_lone_factory();
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE);
    job->unreadable = true;
    assert_int_equal(start_at(SMALL_FACTORY), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_TIMEOUT);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_NOT);
    assert_string_equal(job->plan.refusal_text, "");
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    job->unreadable = false;
    close_chip();
}

/* Its mark was left at the end of a slot when the power went. It also claims part of the next slot, which may hold an
 * app since then, and a forged mark could claim the same. */
static void old_record_does_not_reach_into_the_next_slot(void **state)
{
    (void)state;
    static const uint8_t mark[] = {'S', 'R', 'S', 'T', 'A',  'G',  'E',  0x1A, SR_RECORD_VERSION, 0, 0, 0,
                                   16,  0,   0,   0,   0xEF, 0xFF, 0xFF, 0xFF};
    for (unsigned i = 0; i < 2; i++) {
        open_chip(&two_slots, SLOT(0));
        uint8_t *bytes = nor_flash_bytes(flash);
        small_app("3", bytes + SLOT(1));
        bytes[SLOT(1) + SECTOR] ^= i == 0 ? 0 : 1; /* Intact or not. */
        memset(bytes + SLOT(1) - 2 * SECTOR, 0xFF, 2 * SECTOR);
        memcpy(bytes + SLOT(1) - 2 * SECTOR, mark, sizeof(mark));
        new_table[SECTOR - 1] = 0;
        want_table();
        pack(0);
        uint8_t *before = small_copy(flash);
        assert_int_equal(start_at(SLOT(0)), SIM_END_RESTART);
        assert_int_equal(job->err, ESP_OK);
        const bool is_there = memcmp(nor_flash_view(flash) + SLOT(1), before + SLOT(1), SMALL_APP_SIZE) == 0;
        assert_true(is_there);
        assert_int_equal(nor_flash_view(flash)[SLOT(1) - 2 * SECTOR], 0xFF);
        free(before);
        close_chip();
    }
}

/* A search for a slot that fails for want of memory does not mean that there is none: overwriting the app would be
 * worse. */
static void expect_search_may_fail(void)
{
    uint8_t *before = small_copy(flash);
    uint32_t finds = UINT32_MAX;
    for (uint32_t number = 0; number <= finds; number++) {
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        job->finds = 0;
        job->find_fails_at = number;
        const sim_end_t end = start_at(SLOT(0));
        finds = number == 0 ? job->finds : finds;
        if (end == SIM_END_RETURNED) {
            assert_int_equal(job->err, ESP_ERR_NO_MEM);
        } else {
            assert_int_equal(end, SIM_END_RESTART);
            small_assert_boots(flash, false, SLOT(1));
        }
        small_assert_same(nor_flash_view(flash), before, SLOT(0), SMALL_SLOT_SIZE);
    }
    assert_true(finds > 2);
    job->find_fails_at = 0;
    free(before);
    close_chip();
}

static void slot_is_not_overlooked_for_want_of_memory(void **state)
{
    (void)state;
    open_chip(&two_slots, SLOT(0));
    want_otadata(0);
    want_app(SLOT(0));
    pack(ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE);
    expect_search_may_fail();
    open_chip(&two_slots, SLOT(0));
    memcpy(nor_flash_bytes(flash) + BUNDLE, new_app, sizeof(new_app));
    job->copies = true;
    job->copy = (esp_self_reflasher_config_t){.src_region = {BUNDLE, sizeof(new_app)},
                                              .src_bin_size = sizeof(new_app),
                                              .dest_region = {SLOT(0), SMALL_SLOT_SIZE}};
    expect_search_may_fail();
}

#define TEST(test) cmocka_unit_test_setup(test, new_job)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blank_sectors_under_the_app_are_left),
        TEST(leaving_them_may_be_cut),
        TEST(with_a_free_slot_nothing_is_left),
        TEST(blank_sectors_that_matter_are_in_the_way),
        TEST(app_moves_to_a_slot_that_shall_be_blank),
        TEST(that_move_may_be_cut),
        TEST(slot_that_is_left_alone_is_preferred),
        TEST(slot_that_something_needs_is_no_room),
        TEST(obstacle_goes_by_its_label_or_else_by_its_address),
        TEST(app_moves_by_a_temporary_table),
        TEST(temporary_table_may_be_cut),
        TEST(temporary_table_with_otadata_may_be_cut),
        TEST(blank_place_of_another_app_is_room),
        TEST(slot_under_the_new_place_is_cut_short),
        TEST(what_shall_be_blank_is_room),
        TEST(temporary_table_needs_room_and_leave),
        TEST(table_of_a_secured_chip_stays),
        TEST(room_that_the_bootloader_does_not_know_is_none),
        TEST(app_that_does_not_come_first_stays),
        TEST(app_that_nothing_can_select_does_not_write_another),
        TEST(table_is_written_only_when_the_caller_lets_it),
        TEST(app_is_overwritten_in_place),
        TEST(in_place_comes_after_the_temporary_table),
        TEST(whole_system_is_overwritten_in_place),
        TEST(overwriting_may_be_cut_outside_its_window),
        TEST(what_decays_before_the_app_is_overwritten_is_noticed),
        TEST(data_waits_until_the_boot_path_is_in_ram),
        TEST(what_waits_may_lie_in_both),
        TEST(what_stays_in_front_of_a_blank_end_is_not_erased),
        TEST(overwriting_needs_room_and_leave),
        TEST(what_is_staged_stays_where_its_mark_counts),
        TEST(app_moves_for_an_image_by_a_temporary_table),
        TEST(that_may_be_cut_outside_its_window),
        TEST(after_a_brownout_the_image_waits),
        TEST(otherwise_an_image_goes_over_the_app),
        TEST(memory_may_run_out_anywhere),
        TEST(old_record_does_not_reach_into_the_next_slot),
        TEST(error_while_the_result_is_checked_is_handed_up),
        TEST(slot_is_not_overlooked_for_want_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
