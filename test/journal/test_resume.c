// SPDX-License-Identifier: Apache-2.0
/** @file
 * esp_self_reflasher_resume(): which records it finishes, which it leaves alone, and that the power may fail meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_record.h"
#include "test/support/support_small.h"

#define SECTOR   SR_SECTOR_SIZE
#define SLOT_0   SMALL_SLOTS
#define SLOT_1   (SMALL_SLOTS + SMALL_SLOT_SIZE)
#define RECORD   0xE0000u
#define OTHER    0xF0000u
#define MANIFEST 1u /**< Sectors of its manifest. */
#define DATA     2u /**< Data sectors of the record: one of NVS, one of otadata; a third one with a table. */
#define STORAGE  0xA0000u

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    bool apply;
    esp_self_reflasher_bundle_config_t bundle;
    esp_err_t resumed, applied;
} job_t;

static job_t *job;
static nor_flash_t *flash;

static void app_main(void)
{
    job->applied = ESP_ERR_NOT_FINISHED;
    job->resumed = ESP_ERR_NOT_FINISHED;
    job->resumed = esp_self_reflasher_resume(&job->bundle);
    if (job->apply && job->resumed == ESP_OK) {
        job->applied = esp_self_reflasher_apply_bundle(&job->bundle, NULL);
    }
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

/* One start of the app. */
static sim_end_t start_once(void)
{
    const boot_result_t boot = small_boot(flash, false);
    const sim_config_t config = chip_config(boot.app_offset);
    assert_true(boot_succeeds(&boot));
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call_app_main, NULL);
    sim_chip_detach();
    return end;
}

/* From power-on until the app has nothing more to do. */
static sim_end_t start(void)
{
    const sim_config_t config = chip_config(UINT32_MAX);
    sim_report_t report;
    assert_true(sim_run(&config, app_main, 10, &report));
    return report.last_end;
}

static void expect_ignored(void)
{
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_once(), SIM_END_RETURNED);
    assert_int_equal(job->resumed, ESP_OK);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    free(before);
}

static int open_chip(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    *job = (job_t){.bundle = {.flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED}};
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    uint8_t *bytes = nor_flash_bytes(flash);
    small_app("1", bytes + SLOT_0);
    memset(bytes + RECORD, 0xFF, SMALL_FLASH_SIZE - RECORD);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    return 0;
}

/* Records. */

/* What the record puts to NVS, and to the table. */
static void new_nvs(uint8_t data[SECTOR])
{
    dummy_image_fill(data, SECTOR, 4711);
}

static void new_table(uint8_t data[SECTOR])
{
    sr_partition_table_entry_t entries[8];
    const unsigned count = small_table(&(small_layout_t){.slots = 2}, entries);
    entries[count] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, STORAGE, 0x10000, 0, "storage"};
    memset(data, 0xFF, SECTOR);
    assert_int_equal(image_write_partition_table(entries, count + 1, data), IMAGE_WRITE_OK);
}

static void new_otadata(uint8_t data[SECTOR])
{
    memset(data, 0xFF, SECTOR);
    sr_otadata_encode(1, SR_OTA_VALID, data);
}

/* What the running app would stage for a bundle of NVS, otadata, and perhaps a table: one sector of NVS, two blank
 * ones, the table, and otadata. */
static void put_record(uint32_t address, uint32_t app, bool with_table, bool sealed)
{
    static record_t record;
    uint8_t nvs[SECTOR], table[SECTOR], otadata[SECTOR];
    size_t size = 0;
    new_nvs(nvs);
    new_table(table);
    new_otadata(otadata);
    const bundle_region_t regions[] = {
        {.place = {SR_PARTITION_TABLE_OFFSET, SECTOR}, .data = table, .length = SECTOR},
        {.place = {SMALL_NVS, 3 * SECTOR}, .data = nvs, .length = SECTOR},
        {.place = {SMALL_OTADATA, SECTOR}, .data = otadata, .length = SECTOR},
    };
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = with_table ? regions : regions + 1,
                                .region_count = with_table ? 3 : 2};
    uint8_t *bundle = record_bundle(&spec, NULL, &size);
    record_start(&record, bundle, size, nor_flash_view(flash) + app);
    record_add(&record, SR_RECORD_DATA, SMALL_NVS, 1, nvs);
    record_add(&record, SR_RECORD_DATA, SMALL_NVS + SECTOR, 2, NULL);
    if (with_table) {
        record_add(&record, SR_RECORD_TABLE, SR_PARTITION_TABLE_OFFSET, 1, table);
    }
    record_add(&record, SR_RECORD_OTADATA, SMALL_OTADATA, 1, otadata);
    record_note_boot_path(&record, nor_flash_view(flash));
    record_put(&record, nor_flash_bytes(flash), address, sealed);
    free(bundle);
}

/* The flash after a record was finished and discarded. */
static uint8_t *finished(const uint8_t *before, bool with_table)
{
    uint8_t *flash_then = malloc(SMALL_FLASH_SIZE);
    assert_non_null(flash_then);
    memcpy(flash_then, before, SMALL_FLASH_SIZE);
    new_nvs(flash_then + SMALL_NVS);
    memset(flash_then + SMALL_NVS + SECTOR, 0xFF, 2 * SECTOR);
    new_otadata(flash_then + SMALL_OTADATA);
    if (with_table) {
        new_table(flash_then + SR_PARTITION_TABLE_OFFSET);
    }
    memset(flash_then + RECORD, 0xFF, (SR_RECORD_OVERHEAD + MANIFEST + DATA + with_table) * SECTOR);
    return flash_then;
}

static void expect_finished(bool with_table)
{
    uint8_t *before = small_copy(flash);
    uint8_t *then = finished(before, with_table);
    assert_int_equal(start_once(), SIM_END_RESTART);
    small_assert_same(nor_flash_view(flash), then, 0, SMALL_FLASH_SIZE);
    small_assert_boots(flash, false, SLOT_0);
    free(before);
    free(then);
}

/* Which records count. */

static void nothing_to_do_costs_no_operation(void **state)
{
    (void)state;
    expect_ignored();
    /* It reads a small piece of each sector. */
    assert_true(nor_flash_stats(flash).bytes_read < SMALL_FLASH_SIZE / 16);
}

static void sealed_record_is_finished_once(void **state)
{
    (void)state;
    put_record(RECORD, SLOT_0, false, true);
    expect_finished(false);
    expect_ignored();
}

static void table_is_replaced_too(void **state)
{
    (void)state;
    put_record(RECORD, SLOT_0, true, true);
    expect_finished(true);
    expect_ignored();
}

static void app_that_has_moved_finishes_its_record(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(flash);
    put_record(RECORD, SLOT_0, false, true);
    memcpy(bytes + SLOT_1, bytes + SLOT_0, SMALL_APP_SIZE);
    small_app("2", bytes + SLOT_0);
    sr_otadata_encode(2, SR_OTA_VALID, bytes + SMALL_OTADATA);
    assert_int_equal(start_once(), SIM_END_RESTART);
    uint8_t nvs[SECTOR];
    new_nvs(nvs);
    assert_memory_equal(bytes + SMALL_NVS, nvs, SECTOR);
}

static void record_without_seal_is_ignored(void **state)
{
    (void)state;
    put_record(RECORD, SLOT_0, false, false);
    expect_ignored();
}

static void record_of_another_app_is_ignored(void **state)
{
    (void)state;
    small_app("2", nor_flash_bytes(flash) + SLOT_1);
    put_record(RECORD, SLOT_1, false, true);
    expect_ignored();
    /* It does not hide one that lies after it. */
    put_record(OTHER, SLOT_0, false, true);
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_once(), SIM_END_RESTART);
    small_assert_same(nor_flash_view(flash), before, RECORD, OTHER - RECORD);
    expect_ignored();
    free(before);
}

/* Every bit of a mark, list, seal or data sector that counts. */
static void damaged_record_is_ignored(void **state)
{
    (void)state;
    static const uint32_t places[] = {
        0,                       /* Mark: magic, */
        8,                       /* version, */
        12,                      /* sectors. */
        SECTOR + 0,              /* List: entries, */
        SECTOR + 4,              /* sectors, */
        SECTOR + 12,             /* bytes of manifest, */
        SECTOR + 16,             /* app, */
        SECTOR + 31,             /* the end of that, */
        SECTOR + 256,            /* first entry, */
        SECTOR + 256 + 3 * 32,   /* after the last one. */
        2 * SECTOR - 256,        /* Seal, */
        2 * SECTOR - 225,        /* the end of that. */
        2 * SECTOR,              /* Manifest: magic, */
        2 * SECTOR + 24,         /* chip, */
        2 * SECTOR + 64,         /* a region, */
        2 * SECTOR + 64 + 48,    /* a digest. */
        3 * SECTOR,              /* Data, */
        3 * SECTOR + 0x7FF,      /* in the middle, */
        (3 + DATA) * SECTOR - 1, /* and the last byte. */
    };
    put_record(RECORD, SLOT_0, false, true);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (unsigned bit = 0; bit < 8; bit += 7) {
            nor_flash_bytes(flash)[RECORD + places[i]] ^= (uint8_t)(1u << bit);
            expect_ignored();
            nor_flash_bytes(flash)[RECORD + places[i]] ^= (uint8_t)(1u << bit);
        }
    }
    expect_finished(false);
}

static void record_that_would_not_fit_into_the_flash_is_ignored(void **state)
{
    (void)state;
    put_record(RECORD, SLOT_0, false, true);
    uint8_t *bytes = nor_flash_bytes(flash);
    memcpy(bytes + SMALL_FLASH_SIZE - SECTOR, bytes + RECORD, SECTOR);
    memset(bytes + RECORD, 0xFF, (SR_RECORD_OVERHEAD + MANIFEST + DATA) * SECTOR);
    expect_ignored();
}

/* Whoever can store a file could write the bootloader with one that looks like a record. */
static void record_in_a_data_partition_is_ignored(void **state)
{
    (void)state;
    put_record(SMALL_NVS, SLOT_0, false, true);
    expect_ignored();
}

static bool is_sealed(void)
{
    return record_is_sealed(nor_flash_view(flash), SMALL_FLASH_SIZE, RECORD);
}

/* Failures. */

static void without_memory_nothing_is_changed(void **state)
{
    (void)state;
    put_record(RECORD, SLOT_0, false, true);
    uint8_t *before = small_copy(flash);
    uint32_t failures = 0;
    sim_end_t end = SIM_END_RETURNED;
    for (uint32_t number = 1; end == SIM_END_RETURNED; number++) {
        const sim_config_t config = chip_config(SLOT_0);
        assert_true(sim_chip_attach(&config));
        sim_heap_fail_at(number);
        end = sim_call(call_app_main, NULL);
        sim_heap_fail_at(0);
        sim_chip_detach();
        if (end == SIM_END_RETURNED) {
            assert_int_equal(job->resumed, ESP_ERR_NO_MEM);
            small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
            failures++;
        }
    }
    assert_int_equal(end, SIM_END_RESTART);
    assert_true(failures >= 3);
    free(before);
}

static void record_stays_if_flash_fails_half_way(void **state)
{
    (void)state;
    put_record(RECORD, SLOT_0, true, true);
    /* The table is there, otadata is not: half of the boot path. */
    new_table(nor_flash_bytes(flash) + SR_PARTITION_TABLE_OFFSET);
    nor_flash_set_faults(flash, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = SMALL_NVS});
    assert_int_equal(start_once(), SIM_END_RETURNED);
    assert_int_equal(job->resumed, ESP_ERR_SELF_REFLASHER_VERIFY);
    small_assert_boots(flash, false, SLOT_0);
    assert_true(is_sealed());
    nor_flash_set_faults(flash, (nor_faults_t){0});
    expect_finished(true);
}

/* Power losses. */

static bool holds_table(const uint8_t *table)
{
    return memcmp(nor_flash_view(flash) + SR_PARTITION_TABLE_OFFSET, table, SECTOR) == 0;
}

/* True if the chip boots. It may fail to boot only while its table is neither the old nor the new one. */
static bool boots(const uint8_t *before, const uint8_t *then, nor_power_loss_t loss)
{
    const boot_result_t result = small_boot(flash, false);
    const bool in_window =
        !holds_table(before + SR_PARTITION_TABLE_OFFSET) && !holds_table(then + SR_PARTITION_TABLE_OFFSET);
    if (!boot_succeeds(&result) && !in_window) {
        fail_msg("cut %u:%u: %s", loss.operation, loss.seed, result.reason);
    }
    return boot_succeeds(&result);
}

/* Starts with a cut, and then without; @return false if the cut fell into the window. */
static bool run_with_cut(const uint8_t *before, const uint8_t *then, nor_power_loss_t loss)
{
    memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
    nor_flash_reset_stats(flash);
    nor_flash_set_power_loss(flash, loss);
    assert_int_equal(start(), SIM_END_POWER_LOSS);
    nor_flash_power_on(flash);
    if (!boots(before, then, loss)) {
        return false;
    }
    /* A run ends when another app boots, which then goes on. */
    if (start() != SIM_END_RETURNED) {
        assert_int_equal(start(), SIM_END_RETURNED);
    }
    assert_int_equal(job->resumed, ESP_OK);
    return true;
}

/* A cut while the record is discarded leaves some of it, which counts for nothing; the rest must be as without a cut.
 */
static void cut_resume_everywhere(bool with_table)
{
    put_record(RECORD, SLOT_0, with_table, true);
    uint8_t *before = small_copy(flash);
    uint8_t *then = finished(before, with_table);
    nor_flash_reset_stats(flash);
    assert_int_equal(start(), SIM_END_RETURNED);
    small_assert_same(nor_flash_view(flash), then, 0, SMALL_FLASH_SIZE);
    const uint32_t operations = nor_flash_stats(flash).operations;
    uint32_t in_window = 0;
    assert_true(operations > 20);
    const unsigned step = small_cut_step(1);
    for (uint32_t operation = 0; operation < operations; operation++) {
        for (unsigned way = operation % step; way < SMALL_CUTS; way += step) {
            if (run_with_cut(before, then, small_cut(operation, way))) {
                small_assert_same(nor_flash_view(flash), then, 0, RECORD);
            } else {
                in_window++;
            }
        }
    }
    assert_true(with_table ? in_window > 0 : in_window == 0);
    free(before);
    free(then);
}

static void power_may_go_while_it_is_finished(void **state)
{
    (void)state;
    cut_resume_everywhere(false);
}

static void power_may_go_outside_of_the_window_of_the_table(void **state)
{
    (void)state;
    cut_resume_everywhere(true);
}

/* With apply_bundle(). */

#define BUNDLE 0xC0000u

/* Another app for the running app's slot, otadata that selects it, an empty NVS and another table. */
static void put_bundle(void)
{
    uint8_t new_app[SMALL_APP_SIZE], table[SECTOR], otadata[IMAGE_WRITE_OTADATA_SIZE];
    uint8_t *bytes = NULL;
    size_t size = 0;
    small_app("2", new_app);
    new_table(table);
    image_write_otadata(1, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SR_PARTITION_TABLE_OFFSET, SECTOR}, .data = table, .length = SECTOR},
        {.place = {SMALL_NVS, SMALL_NVS_SIZE}},
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT_0, SMALL_SLOT_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = 4};
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    assert_true(size <= RECORD - BUNDLE);
    memcpy(nor_flash_bytes(flash) + BUNDLE, bytes, size);
    free(bytes);
    job->apply = true;
    job->bundle = (esp_self_reflasher_bundle_config_t){.embedded = {BUNDLE, size},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
}

/* The app moves, prepares, stages, commits. Whichever app boots after a cut goes on, and the end is always the same,
 * but for the slot that the app moved to. */
static void power_may_go_anywhere_in_a_migration(void **state)
{
    (void)state;
    put_bundle();
    uint8_t *before = small_copy(flash);
    nor_flash_reset_stats(flash);
    assert_int_equal(start(), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    const uint32_t operations = nor_flash_stats(flash).operations;
    uint8_t *then = small_copy(flash);
    small_assert_boots(flash, false, SLOT_0);
    assert_memory_not_equal(then + SLOT_0, before + SLOT_0, SECTOR);
    uint32_t in_window = 0;
    assert_true(operations > 80);
    const unsigned step = small_cut_step(2);
    for (uint32_t operation = 0; operation < operations; operation++) {
        for (unsigned way = operation % step; way < SMALL_CUTS; way += step) {
            if (!run_with_cut(before, then, small_cut(operation, way))) {
                in_window++;
                continue;
            }
            assert_int_equal(job->applied, ESP_OK);
            small_assert_same(nor_flash_view(flash), then, 0, SLOT_1);
        }
    }
    assert_true(in_window > 0 && in_window < operations / 4);
    free(before);
    free(then);
}

static void apply_only(void *unused)
{
    (void)unused;
    job->applied = esp_self_reflasher_apply_bundle(&job->bundle, NULL);
}

static void apply_finishes_what_this_app_has_staged(void **state)
{
    (void)state;
    put_record(RECORD, SLOT_0, true, true);
    uint8_t *before = small_copy(flash);
    uint8_t *then = finished(before, true);
    const sim_config_t config = chip_config(SLOT_0);
    job->bundle = (esp_self_reflasher_bundle_config_t){.embedded = {BUNDLE, SECTOR},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sim_call(apply_only, NULL), SIM_END_RESTART);
    sim_chip_detach();
    small_assert_same(nor_flash_view(flash), then, 0, SMALL_FLASH_SIZE);
    free(before);
    free(then);
}

/* What another app has staged must not be found by that app later, when half of a bundle that it does not know of is in
 * place. Also where the bundle wants the record's sectors blank. */
static void old_record_is_discarded_before_anything_else_is_written(void **state)
{
    (void)state;
    uint8_t storage[SECTOR];
    uint8_t *bytes = NULL;
    size_t size = 0;
    dummy_image_fill(storage, SECTOR, 5);
    const bundle_region_t regions[] = {
        {.place = {STORAGE, SECTOR}, .data = storage, .length = SECTOR},
        {.place = {RECORD, 0x10000}},
    };
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = 2};
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    memcpy(nor_flash_bytes(flash) + BUNDLE, bytes, size);
    free(bytes);
    put_record(RECORD, SLOT_1, false, true);
    uint8_t *before = small_copy(flash);
    const esp_self_reflasher_bundle_config_t bundle = {.embedded = {BUNDLE, size},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    job->bundle = bundle;
    uint32_t sealed = 0;
    for (uint32_t operation = 0; operation < 20; operation++) {
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        const sim_config_t config = chip_config(SLOT_0);
        assert_true(sim_chip_attach(&config));
        nor_flash_reset_stats(flash);
        nor_flash_set_power_loss(flash, small_cut(operation, 0));
        assert_int_equal(sim_call(apply_only, NULL), SIM_END_POWER_LOSS);
        sim_chip_detach();
        nor_flash_power_on(flash);
        if (is_sealed()) {
            small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
            sealed++;
        }
    }
    assert_true(sealed > 0 && sealed < 10);
    free(before);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_to_do_costs_no_operation),
        TEST(sealed_record_is_finished_once),
        TEST(table_is_replaced_too),
        TEST(app_that_has_moved_finishes_its_record),
        TEST(record_without_seal_is_ignored),
        TEST(record_of_another_app_is_ignored),
        TEST(damaged_record_is_ignored),
        TEST(record_that_would_not_fit_into_the_flash_is_ignored),
        TEST(record_in_a_data_partition_is_ignored),
        TEST(without_memory_nothing_is_changed),
        TEST(record_stays_if_flash_fails_half_way),
        TEST(power_may_go_while_it_is_finished),
        TEST(power_may_go_outside_of_the_window_of_the_table),
        TEST(power_may_go_anywhere_in_a_migration),
        TEST(apply_finishes_what_this_app_has_staged),
        TEST(old_record_is_discarded_before_anything_else_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
