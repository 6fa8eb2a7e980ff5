// SPDX-License-Identifier: Apache-2.0
/** @file
 * The running app is relocated: where to, what the bootloader makes of it, and that the power may fail at any moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "self_reflasher.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#include "esp_ota_ops.h"

#define SECTOR SR_SECTOR_SIZE
#define SOURCE SMALL_FREE
#define LENGTH (2 * SECTOR + 77) /**< Of the image that goes over the running app. */

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    esp_self_reflasher_config_t copy;
    bool use_bundle;
    esp_self_reflasher_bundle_config_t bundle;
    esp_err_t err;
    unsigned calls;
    bool was_valid; /**< The running app's state, at the last call. */
} job_t;

static job_t *job;
static nor_flash_t *flash;

static void app_main(void)
{
    esp_ota_img_states_t state = ESP_OTA_IMG_UNDEFINED;
    job->calls++;
    job->was_valid =
        esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK && state == ESP_OTA_IMG_VALID;
    job->err = ESP_ERR_NOT_FINISHED;
    job->err = job->use_bundle ? esp_self_reflasher_apply_bundle(&job->bundle, NULL)
                               : esp_self_reflasher_directly_copy_to_region(&job->copy);
}

static void call_app_main(void *unused)
{
    (void)unused;
    app_main();
}

static sim_config_t chip_config(uint32_t running_app)
{
    return (sim_config_t){
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = running_app, .quiet = true};
}

/* One start of the app at this address. */
static sim_end_t start_once(uint32_t running_app)
{
    const sim_config_t config = chip_config(running_app);
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call_app_main, NULL);
    sim_chip_detach();
    return end;
}

/* From power-on until the app has nothing more to do. */
static sim_report_t start(bool rollback)
{
    sim_config_t config = chip_config(UINT32_MAX);
    sim_report_t report;
    config.chip.rollback = rollback;
    assert_true(sim_run(&config, app_main, 10, &report));
    return report;
}

static esp_self_reflasher_config_t copy_over(uint32_t address)
{
    return (esp_self_reflasher_config_t){
        .src_region = {SOURCE, LENGTH}, .src_bin_size = LENGTH, .dest_region = {address, SMALL_SLOT_SIZE}};
}

static void open_chip(const small_layout_t *layout, uint32_t running_app)
{
    flash = small_flash_new(layout);
    small_app("1", nor_flash_bytes(flash) + running_app);
    job->copy = copy_over(running_app);
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
    *job = (job_t){0};
    return 0;
}

/* Slots, sequences, states. */

typedef struct move_case {
    const char *name;
    small_layout_t layout;
    uint32_t from;
    unsigned to_slot;
    unsigned entry;    /**< The otadata sector that is written. */
    uint32_t sequence; /**< What it says. */
} move_case_t;

#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)

static const move_case_t move_cases[] = {
    {"2 slots, from 0", {.slots = 2, .sequences = {1, 0}}, SLOT(0), 1, 1, 2},
    {"2 slots, from 1", {.slots = 2, .sequences = {2, 0}}, SLOT(1), 0, 1, 3},
    {"2 slots, entry 1 is active", {.slots = 2, .sequences = {2, 3}}, SLOT(0), 1, 0, 4},
    {"2 slots, entry 0 is active", {.slots = 2, .sequences = {5, 4}}, SLOT(0), 1, 1, 6},
    {"2 slots, otadata erased", {.slots = 2}, SLOT(0), 1, 0, 2},
    {"2 slots, entry 0 aborted",
     {.slots = 2, .sequences = {2, 1}, .states = {SR_OTA_ABORTED, SR_OTA_VALID}},
     SLOT(0),
     1,
     0,
     2},
    {"3 slots, from 0", {.slots = 3, .sequences = {1, 0}}, SLOT(0), 1, 1, 2},
    {"3 slots, from 1", {.slots = 3, .sequences = {5, 0}}, SLOT(1), 0, 1, 7},
    {"3 slots, from 2", {.slots = 3, .sequences = {0, 3}}, SLOT(2), 0, 0, 4},
    {"4 slots, from 3", {.slots = 4, .sequences = {3, 4}}, SLOT(3), 0, 0, 5},
    {"4 slots, from 2", {.slots = 4, .sequences = {7, 6}}, SLOT(2), 0, 1, 9},
    {"factory and 2 slots", {.slots = 2, .factory = true}, SMALL_FACTORY, 0, 0, 1},
    {"factory and 1 slot", {.slots = 1, .factory = true}, SMALL_FACTORY, 0, 0, 1},
};

/* The copy at its true length, the old one intact, one otadata sector, and nothing else. */
static void assert_moved(const move_case_t *move, const uint8_t *before)
{
    const uint8_t *now = nor_flash_view(flash);
    uint8_t *expected = malloc(SMALL_FLASH_SIZE);
    assert_non_null(expected);
    memcpy(expected, before, SMALL_FLASH_SIZE);
    memcpy(expected + small_slot(move->to_slot), before + move->from, SMALL_APP_SIZE);
    uint8_t *entry = expected + SMALL_OTADATA + move->entry * SECTOR;
    memset(entry, 0xFF, SECTOR);
    sr_otadata_encode(move->sequence, SR_OTA_VALID, entry);
    small_assert_same(now, expected, 0, SMALL_FLASH_SIZE);
    free(expected);
}

static void app_moves_to_a_free_slot_and_its_next_start_finishes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(move_cases) / sizeof(move_cases[0]); i++) {
        const move_case_t *move = &move_cases[i];
        open_chip(&move->layout, move->from);
        print_message("    %s\n", move->name);
        small_assert_boots(flash, false, move->from);
        uint8_t *before = small_copy(flash);
        assert_int_equal(start_once(move->from), SIM_END_RESTART);
        assert_moved(move, before);
        small_assert_boots(flash, false, small_slot(move->to_slot));

        const sim_report_t report = start(false);
        assert_int_equal(report.boots, 1);
        assert_int_equal(report.last_end, SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_OK);
        assert_memory_equal(nor_flash_view(flash) + move->from, before + SOURCE, LENGTH);
        small_assert_boots(flash, false, small_slot(move->to_slot));
        free(before);
        close_chip();
    }
}

static void unchanged_app_does_it_in_two_starts(void **state)
{
    (void)state;
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    const sim_report_t report = start(false);
    assert_int_equal(report.boots, 2);
    assert_int_equal(job->calls, 2);
    assert_int_equal(report.counters.restarts, 1);
    assert_int_equal(report.last_end, SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    close_chip();
}

/* A second start of the app where it was means that the bootloader chooses by other means than otadata. */
static void bootloader_that_does_not_follow_is_told_and_not_tried_for_ever(void **state)
{
    (void)state;
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    assert_int_equal(start_once(SLOT(0)), SIM_END_RESTART);
    assert_int_equal(start_once(SLOT(0)), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_INVALID_STATE);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    close_chip();
}

/* Which slot. */

static void expect_move_to(uint32_t slot)
{
    assert_int_equal(start_once(SLOT(0)), SIM_END_RESTART);
    small_assert_boots(flash, false, slot);
    assert_memory_equal(nor_flash_view(flash) + slot, nor_flash_view(flash) + SLOT(0), SMALL_APP_SIZE);
    close_chip();
}

static void open_four_slots(void)
{
    open_chip(&(small_layout_t){.slots = 4, .sequences = {1, 0}}, SLOT(0));
}

static void slot_in_the_destination_is_not_taken(void **state)
{
    (void)state;
    open_four_slots();
    job->copy.dest_region.region_size = SMALL_SLOT_SIZE + SECTOR; /* The first sector of slot 1. */
    expect_move_to(SLOT(2));
    open_four_slots();
    job->copy.dest_region.region_size = 3 * SMALL_SLOT_SIZE;
    expect_move_to(SLOT(3));
}

static void slot_with_the_source_is_not_taken(void **state)
{
    (void)state;
    open_four_slots();
    job->copy.src_region.region_address = SLOT(1) + SMALL_APP_SIZE - 1;
    expect_move_to(SLOT(2));
    /* Past what the app needs of it, the source does no harm. */
    open_four_slots();
    job->copy.src_region.region_address = SLOT(1) + SMALL_APP_SIZE;
    expect_move_to(SLOT(1));
}

static void slot_that_is_too_small_is_not_taken(void **state)
{
    (void)state;
    for (uint32_t sectors = 2; sectors <= 3; sectors++) {
        sr_partition_table_entry_t entries[8];
        const small_layout_t layout = {.slots = 3, .sequences = {1, 0}};
        open_chip(&layout, SLOT(0));
        const unsigned count = small_table(&layout, entries);
        entries[count - 2].size = sectors * SECTOR;
        small_put_table(nor_flash_bytes(flash), entries, count);
        expect_move_to(sectors * SECTOR < SMALL_APP_SIZE ? SLOT(2) : SLOT(1));
    }
}

/* No slot takes the app: the copy runs in place, and the rest of the flash stays as it is. */
static void expect_in_place(uint32_t running_app)
{
    uint8_t *before = small_copy(flash);
    const esp_self_reflasher_config_t *copy = &job->copy;
    uint8_t *expected = small_copy(flash);
    memset(expected + copy->dest_region.region_address, 0xFF, copy->dest_region.region_size);
    memcpy(expected + copy->dest_region.region_address, before + copy->src_region.region_address, LENGTH);
    assert_int_equal(start_once(running_app), SIM_END_RESTART);
    assert_int_equal(job->err, ESP_ERR_NOT_FINISHED);
    small_assert_same(nor_flash_view(flash), expected, 0, SMALL_FLASH_SIZE);
    free(before);
    free(expected);
    close_chip();
}

static void without_a_free_slot_the_copy_runs_in_place(void **state)
{
    (void)state;
    open_chip(&(small_layout_t){.slots = 1, .sequences = {1, 0}}, SLOT(0));
    expect_in_place(SLOT(0));
    open_chip(&(small_layout_t){.slots = 0, .factory = true, .no_otadata = true}, SMALL_FACTORY);
    expect_in_place(SMALL_FACTORY);
    /* There are slots, but nothing that selects one. */
    open_chip(&(small_layout_t){.slots = 2, .factory = true, .no_otadata = true}, SMALL_FACTORY);
    expect_in_place(SMALL_FACTORY);
    /* One slot is in the destination, the other one holds the image. */
    open_chip(&(small_layout_t){.slots = 3, .sequences = {1, 0}}, SLOT(0));
    job->copy.dest_region.region_size = 2 * SMALL_SLOT_SIZE;
    job->copy.src_region.region_address = SLOT(2);
    expect_in_place(SLOT(0));
}

/* Of slots 0, 1 and 3 the bootloader counts three, and ESP-IDF two: which sequence number selects which? */
static void gap_in_the_slot_numbers_means_no_slot(void **state)
{
    (void)state;
    for (unsigned slots = 2; slots <= 3; slots++) {
        sr_partition_table_entry_t entries[8];
        const small_layout_t layout = {.slots = slots, .sequences = {1, 0}};
        open_chip(&layout, SLOT(0));
        const unsigned count = small_table(&layout, entries);
        entries[count - 1].subtype++;
        small_put_table(nor_flash_bytes(flash), entries, count);
        expect_in_place(SLOT(0));
    }
}

/* Rollback. */

static void bootloader_with_rollback_keeps_the_moved_app(void **state)
{
    (void)state;
    static const uint32_t states[] = {SR_OTA_VALID, SR_OTA_UNDEFINED, SR_OTA_PENDING_VERIFY};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}, .states = {states[i]}}, SLOT(0));
        assert_int_equal(start_once(SLOT(0)), SIM_END_RESTART);
        for (unsigned power_on = 0; power_on < 3; power_on++) {
            const sim_report_t report = start(true);
            assert_int_equal(report.boots, 1);
            assert_int_equal(job->err, ESP_OK);
            assert_true(job->was_valid);
            small_assert_boots(flash, true, SLOT(1));
        }
        close_chip();
    }
}

/* Bundles. */

/* A new app for the slot in which the old one runs; otadata selects it. The bundle lies in free flash. */
static void put_bundle(uint32_t running_app, uint8_t new_app[SMALL_APP_SIZE])
{
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    uint8_t *bytes = NULL;
    size_t size = 0;
    small_app("2", new_app);
    image_write_otadata((running_app - SMALL_SLOTS) / SMALL_SLOT_SIZE + 1, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {running_app, SMALL_SLOT_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = 2};
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    assert_true(size <= 0x10000);
    memcpy(nor_flash_bytes(flash) + SMALL_FREE, bytes, size);
    free(bytes);
    job->use_bundle = true;
    job->bundle = (esp_self_reflasher_bundle_config_t){.embedded = {SMALL_FREE, size},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    /* Free flash for the staged record. */
    memset(nor_flash_bytes(flash) + 0xE0000, 0xFF, 0x10000);
}

static void assert_bundle_is_in_place(const uint8_t new_app[SMALL_APP_SIZE])
{
    const uint8_t *now = nor_flash_view(flash);
    assert_memory_equal(now + SLOT(0), new_app, SMALL_APP_SIZE);
    for (uint32_t i = SLOT(0) + SMALL_APP_SIZE; i < SLOT(1); i++) {
        assert_int_equal(now[i], 0xFF);
    }
    small_assert_boots(flash, false, SLOT(0));
}

static void bundle_for_the_running_slot_is_applied_after_a_move(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    put_bundle(SLOT(0), new_app);
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_once(SLOT(0)), SIM_END_RESTART);
    assert_moved(&(move_case_t){"", {0}, SLOT(0), 1, 1, 2}, before);

    const sim_report_t report = start(false);
    assert_int_equal(report.boots, 1);
    assert_int_equal(report.last_end, SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_bundle_is_in_place(new_app);
    free(before);
    close_chip();
}

static void bundle_that_wants_the_only_other_slot_is_refused(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 1, .sequences = {1, 0}}, SLOT(0));
    put_bundle(SLOT(0), new_app);
    assert_int_equal(start_once(SLOT(0)), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    close_chip();
}

/* Power losses. */

static uint32_t count_operations(void)
{
    nor_flash_reset_stats(flash);
    (void)start(false);
    return nor_flash_stats(flash).operations;
}

/* The app boots, from its old place or from the new one, byte for byte. */
static void assert_app_boots(const uint8_t app[SMALL_APP_SIZE], nor_power_loss_t loss)
{
    const boot_result_t result = small_boot(flash, false);
    if (!boot_succeeds(&result) || memcmp(nor_flash_view(flash) + result.app_offset, app, SMALL_APP_SIZE) != 0) {
        fail_msg("cut %u:%u: %s", loss.operation, loss.seed, result.reason);
    }
}

/* Cuts the power in every operation, in every @p step-th way of tearing it; afterwards the flash must become what it
 * becomes without a cut. */
static void cut_everywhere(const uint8_t *before, uint32_t last, unsigned step)
{
    step = small_cut_step(step);
    uint8_t app[SMALL_APP_SIZE];
    small_app("1", app);
    memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
    (void)start(false);
    uint8_t *final = small_copy(flash);
    for (uint32_t operation = 0; operation < last; operation++) {
        for (unsigned way = operation % step; way < SMALL_CUTS; way += step) {
            const nor_power_loss_t loss = small_cut(operation, way);
            memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
            nor_flash_reset_stats(flash);
            nor_flash_set_power_loss(flash, loss);
            assert_int_equal(start(false).last_end, SIM_END_POWER_LOSS);
            nor_flash_power_on(flash);
            assert_app_boots(app, loss);

            const sim_report_t report = start(false);
            assert_int_equal(report.last_end, SIM_END_RETURNED);
            assert_int_equal(job->err, ESP_OK);
            small_assert_same(nor_flash_view(flash), final, 0, SMALL_FLASH_SIZE);
        }
    }
    free(final);
}

static void power_may_go_in_every_operation(void **state)
{
    (void)state;
    static const small_layout_t layouts[] = {
        {.slots = 2, .sequences = {1, 0}},
        {.slots = 2, .sequences = {2, 3}},
        {.slots = 2},
    };
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        open_chip(&layouts[i], SLOT(0));
        uint8_t *before = small_copy(flash);
        const uint32_t operations = count_operations();
        assert_true(operations > 40);
        cut_everywhere(before, operations, i == 0 ? 1 : 3); /* All but otadata is the same in all layouts. */
        free(before);
        close_chip();
    }
}

#define TEST(test) cmocka_unit_test_setup(test, new_job)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(app_moves_to_a_free_slot_and_its_next_start_finishes),
        TEST(unchanged_app_does_it_in_two_starts),
        TEST(bootloader_that_does_not_follow_is_told_and_not_tried_for_ever),
        TEST(slot_in_the_destination_is_not_taken),
        TEST(slot_with_the_source_is_not_taken),
        TEST(slot_that_is_too_small_is_not_taken),
        TEST(without_a_free_slot_the_copy_runs_in_place),
        TEST(gap_in_the_slot_numbers_means_no_slot),
        TEST(bootloader_with_rollback_keeps_the_moved_app),
        TEST(bundle_for_the_running_slot_is_applied_after_a_move),
        TEST(bundle_that_wants_the_only_other_slot_is_refused),
        TEST(power_may_go_in_every_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
