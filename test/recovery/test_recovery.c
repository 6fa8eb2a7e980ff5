// SPDX-License-Identifier: Apache-2.0
/** @file
 * Chips whose ROM supports a recovery bootloader: while the bootloader is written, the chip boots after a power loss at
 * any moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "esp_system.h"
#include "sim/explore/explore.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_c5.h"
#include "test/support/support_small.h"

#include "flash/sr_flash_reader.h"
#include "journal/sr_journal.h"
#include "recovery/sr_recovery.h"
#include "relocate/sr_relocation_methods.h"
#include "system/sr_slots.h"

#define SECTOR     SR_SECTOR_SIZE
#define FLASH_SIZE 0x100000u
#define LOADER     0x2000u
#define TABLE      SR_PARTITION_TABLE_OFFSET
#define ROOM       (TABLE - LOADER)
#define NVS        0x9000u
#define OTADATA    0xD000u
#define SLOT_0     0x20000u
#define SLOT_1     0x30000u
#define SLOT_SIZE  0x10000u
#define SOURCE     0xA0000u /**< A bundle or an image. */
#define SOURCE_END 0xB0000u
#define RECOVERY   0xD0000u
#define FREE       0xE0000u

/** What the app does: app_main() has no parameters. */
static struct {
    esp_self_reflasher_bundle_config_t bundle;
    esp_self_reflasher_config_t image;
    bool skip_copy;  /**< A fault that must be noticed. */
    unsigned losses; /**< For every operation; 0: one cut for a sample of them. */
} job;

static nor_flash_t *flash;
static uint32_t flash_size;
static uint8_t size_code; /**< In the header of bootloaders that are made: 0 for FLASH_SIZE. */
static boot_chip_t chip;
static sr_region_t targets[8];
static unsigned target_count;

esp_err_t __real_sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                                  uint8_t *scratch);
esp_err_t __wrap_sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                                  uint8_t *scratch);

esp_err_t __wrap_sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                                  uint8_t *scratch)
{
    return job.skip_copy ? ESP_OK : __real_sr_recovery_copy(system, recovery, writer, scratch);
}

/* The flash. */

/** A bootloader. What differs between two of one length lies in their last sector, if @p tail says so. */
static void put_loader(uint8_t *out, unsigned sectors, uint32_t seed, bool tail)
{
    static uint8_t code[ROOM];
    const uint32_t size = c5_loader_code_size(sectors);
    dummy_image_fill(code, sizeof(code), 1);
    dummy_image_fill(code + (tail ? size - 0x800 : 0), tail ? 0x800 : size, seed);
    (void)c5_put_loader(out, ROOM, sectors, C5_CHIP_ID, size_code, code);
}

/** @param extra One more partition, or NULL. */
static void put_table(uint8_t *out, const char *nvs_label, const sr_partition_table_entry_t *extra)
{
    sr_partition_table_entry_t table[5] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x4000, 0, ""},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT_0, SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT_1, SLOT_SIZE, 0, "ota_1"},
    };
    strcpy(table[0].label, nvs_label);
    if (extra != NULL) {
        table[4] = *extra;
    }
    memset(out, 0xFF, SECTOR);
    assert_int_equal(image_write_partition_table(table, extra != NULL ? 5 : 4, out), IMAGE_WRITE_OK);
}

static void read_recovery(uint8_t *out)
{
    memcpy(out, nor_flash_view(flash) + RECOVERY, ROOM);
}

static bool recovery_is(const uint8_t *loader)
{
    return memcmp(nor_flash_view(flash) + RECOVERY, loader, ROOM) == 0;
}

/** What the migrations below bring: a longer bootloader, another table, another app in the other slot. */
static struct {
    uint8_t old_loader[ROOM], loader[ROOM], third_loader[ROOM], table[SECTOR], app[SECTOR];
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
} content;

static int open_chip(void **state)
{
    (void)state;
    memset(&job, 0, sizeof(job));
    chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c5"), .revision = 100, .recovery = RECOVERY};
    flash_size = FLASH_SIZE;
    size_code = 0;
    flash = nor_flash_new(FLASH_SIZE, nor_timing_find(NULL));
    assert_non_null(flash);
    uint8_t *bytes = nor_flash_bytes(flash);
    put_loader(content.old_loader, 3, 10, false);
    put_loader(content.loader, 4, 20, false);
    put_loader(content.third_loader, 3, 30, false);
    put_table(content.table, "other", NULL);
    c5_put_app(content.app, "2");
    image_write_otadata(2, SR_OTA_VALID, content.otadata);
    /* Noise where nothing is, so that little is free. */
    dummy_image_fill(bytes, FLASH_SIZE, 99);
    memset(bytes + FREE, 0xFF, FLASH_SIZE - FREE);
    memset(bytes + RECOVERY, 0xFF, ROOM);
    memcpy(bytes + LOADER, content.old_loader, ROOM);
    put_table(bytes + TABLE, "nvs", NULL);
    image_write_otadata(1, SR_OTA_VALID, bytes + OTADATA);
    c5_put_app(bytes + SLOT_0, "1");
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    return 0;
}

/* The migrations. */

static void bundle_main(void)
{
    esp_self_reflasher_plan_t plan;
    if (esp_self_reflasher_resume(&job.bundle) == ESP_OK &&
        esp_self_reflasher_apply_bundle(&job.bundle, &plan) == ESP_OK && plan.sectors_to_write > 0) {
        esp_restart();
    }
}

static void put_bundle_that_moves(const bundle_region_t *regions, unsigned count, const sr_bundle_move_t *moves,
                                  unsigned move_count)
{
    const bundle_spec_t spec = {.chip_id = 23,
                                .min_flash_size = FLASH_SIZE,
                                .partition_table_offset = TABLE,
                                .regions = regions,
                                .region_count = count,
                                .moves = moves,
                                .move_count = move_count};
    uint8_t *bundle = NULL;
    size_t size = 0;
    assert_int_equal(bundle_write(&spec, &bundle, &size), BUNDLE_WRITE_OK);
    assert_true(size <= SOURCE_END - SOURCE);
    memcpy(nor_flash_bytes(flash) + SOURCE, bundle, size);
    free(bundle);
    job.bundle = (esp_self_reflasher_bundle_config_t){.embedded = {SOURCE, size},
                                                      .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    target_count = count + move_count;
    for (unsigned i = 0; i < target_count; i++) {
        targets[i] = i < count ? regions[i].place : moves[i - count].destination;
    }
}

static void put_bundle(const bundle_region_t *regions, unsigned count)
{
    put_bundle_that_moves(regions, count, NULL, 0);
}

static void put_loader_bundle(void)
{
    const bundle_region_t regions[] = {{.place = {LOADER, ROOM}, .data = content.loader, .length = ROOM}};
    put_bundle(regions, 1);
}

static void put_system_bundle(void)
{
    const bundle_region_t regions[] = {
        {.place = {LOADER, ROOM}, .data = content.loader, .length = ROOM},
        {.place = {TABLE, SECTOR}, .data = content.table, .length = SECTOR},
        {.place = {OTADATA, sizeof(content.otadata)}, .data = content.otadata, .length = sizeof(content.otadata)},
        {.place = {SLOT_1, SECTOR}, .data = content.app, .length = SECTOR},
    };
    put_bundle(regions, 4);
}

/** With something for the recovery place, too. */
static void put_bundle_with(const uint8_t *recovery)
{
    const bundle_region_t regions[] = {
        {.place = {LOADER, ROOM}, .data = content.loader, .length = ROOM},
        {.place = {RECOVERY, ROOM}, .data = recovery, .length = ROOM},
    };
    put_bundle(regions, 2);
}

static bool is_done(void)
{
    const addr_region_t to = job.image.dest_region;
    return memcmp(nor_flash_view(sim_chip()->flash) + to.region_address,
                  nor_flash_view(sim_chip()->flash) + job.image.src_region.region_address, to.region_size) == 0;
}

static void image_main(void)
{
    if (!is_done() && esp_self_reflasher_directly_copy_to_region(&job.image) == ESP_OK) {
        esp_restart();
    }
}

/** An image of whole sectors, from [address, address + size) of what is wanted. */
static void put_image(const uint8_t *wanted, uint32_t address, uint32_t size)
{
    memcpy(nor_flash_bytes(flash) + SOURCE, wanted, size);
    job.image = (esp_self_reflasher_config_t){
        .src_region = {SOURCE, size}, .dest_region = {address, size}, .src_bin_size = size};
    targets[0] = (sr_region_t){address, size};
    target_count = 1;
}

/* Runs. */

static void explore(void (*app_main)(void), explore_result_t *result)
{
    const explore_config_t config = {
        .chip = chip,
        .flash = nor_flash_view(flash),
        .size = flash_size,
        .timing = nor_timing_find(NULL),
        .app_main = app_main,
        .running_app = UINT32_MAX,
        .targets = targets,
        .target_count = target_count,
        .torn_states = SMALL_TORN,
        .losses = job.losses > 0 ? job.losses : 1,
        .sample = SMALL_SAMPLE(job.losses > 0 ? 0 : 40),
        .workers = 2,
    };
    assert_int_equal(explore_and_tell(&config, result), EXPLORE_OK);
    for (uint32_t i = 0; i < result->state_count && !job.skip_copy; i++) {
        const explore_state_t *failed = &result->states[i];
        if (failed->failed) {
            print_message("cut %u, %d, seed %u, %u nested: %s\n", failed->loss.operation, (int)failed->loss.when,
                          failed->loss.seed, failed->nested_count, failed->reason);
        }
    }
}

static bool in_window(const explore_result_t *result, sr_region_t region)
{
    for (uint32_t i = 0; i < result->operation_count; i++) {
        const nor_op_t *op = &result->operations[i].op;
        if (result->operations[i].in_window && sr_region_overlaps(region, (sr_region_t){op->address, op->length})) {
            return true;
        }
    }
    return false;
}

static const sr_region_t loader_place = {LOADER, ROOM};

/** No state fails, and none in which the bootloader is being written fails to boot. */
static void expect_no_window(void (*app_main)(void))
{
    explore_result_t result;
    explore(app_main, &result);
    assert_int_equal(result.failures, 0);
    assert_int_equal(result.outcomes[EXPLORE_DOES_NOT_BOOT], 0);
    assert_int_equal(result.window_maximum_us, 0);
    assert_int_equal(result.lower_bound_maximum_us, 0);
    assert_true(result.outcomes[EXPLORE_OLD_FINISHES] > 0);
    assert_memory_equal(result.flash + LOADER, content.loader, ROOM);
    explore_result_free(&result);
}

/** As on a chip without recovery bootloader. */
static void expect_window(void (*app_main)(void))
{
    explore_result_t result;
    explore(app_main, &result);
    assert_int_equal(result.failures, 0);
    assert_true(result.outcomes[EXPLORE_DOES_NOT_BOOT] > 0);
    assert_true(in_window(&result, loader_place));
    assert_true(result.lower_bound_typical_us > 0 && result.window_typical_us >= result.lower_bound_typical_us);
    assert_memory_equal(result.flash + LOADER, content.loader, ROOM);
    explore_result_free(&result);
}

static void plan(esp_err_t expected, esp_self_reflasher_plan_t *out)
{
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true};
    nor_flash_reset_stats(flash);
    assert_true(sim_chip_attach(&config));
    assert_int_equal(esp_self_reflasher_plan_bundle(&job.bundle, out), expected);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

static sim_report_t run(void (*app_main)(void))
{
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = UINT32_MAX, .quiet = true};
    sim_report_t report;
    nor_flash_power_on(flash);
    nor_flash_reset_stats(flash);
    assert_true(sim_run(&config, app_main, 10, &report));
    return report;
}

/* Bundles. */

static void new_bootloader_has_no_window(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t told;
    job.losses = 3;
    put_loader_bundle();
    plan(ESP_OK, &told);
    assert_int_equal(told.recovery_address, RECOVERY);
    assert_int_equal(told.sectors_boot_path, 3);
    assert_int_equal(told.window_ms_typical, 0);
    assert_int_equal(told.window_ms_maximum, 0);
    assert_true(told.staging_address >= FREE && told.staging_address < FLASH_SIZE);
    expect_no_window(bundle_main);
}

static void without_the_efuse_everything_is_as_before(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t told;
    uint8_t before[ROOM];
    put_loader_bundle();
    for (unsigned i = 0; i < 3; i++) {
        chip = i < 2 ? (boot_chip_t){.chip = chip.chip, .revision = 100} : chip;
        chip.recovery = i == 1 ? BOOT_RECOVERY_OFF * SECTOR : 0;
        plan(ESP_OK, &told);
        assert_int_equal(told.recovery_address, UINT32_MAX);
        assert_true(told.window_ms_typical > 0);
    }
    read_recovery(before);
    expect_window(bundle_main);
    run(bundle_main);
    assert_true(recovery_is(before));
}

static void of_a_whole_system_only_table_and_otadata_are_in_the_window(void **state)
{
    (void)state;
    const nor_timing_t *timing = nor_timing_find(NULL);
    explore_result_t result;
    esp_self_reflasher_plan_t told;
    put_system_bundle();
    plan(ESP_OK, &told);
    assert_int_equal(told.recovery_address, RECOVERY);
    job.losses = 1;
    const uint32_t sector_ms = (timing->sector_erase_typical_us + 16 * timing->page_program_typical_us) / 1000 + 1;
    assert_in_range(told.window_ms_typical, 1, 2 * sector_ms);
    explore(bundle_main, &result);
    assert_int_equal(result.failures, 0);
    assert_true(result.outcomes[EXPLORE_DOES_NOT_BOOT] > 0);
    assert_false(in_window(&result, loader_place));
    assert_false(in_window(&result, (sr_region_t){RECOVERY, ROOM}));
    assert_true(in_window(&result, (sr_region_t){TABLE, SECTOR}));
    assert_int_equal(result.window_typical_us, result.lower_bound_typical_us);
    assert_memory_equal(result.flash + TABLE, content.table, SECTOR);
    explore_result_free(&result);
}

/** One move over itself, which goes by the record, and one to free flash. */
static void data_that_moves_is_not_lost_either(void **state)
{
    (void)state;
    static const sr_bundle_move_t moves[] = {
        {.source = {NVS, 2 * SECTOR}, .destination = {NVS + SECTOR, 2 * SECTOR}},
        {.label = "nvs", .destination = {FREE, 5 * SECTOR}},
    };
    const bundle_region_t regions[] = {
        {.place = {LOADER, ROOM}, .data = content.loader, .length = ROOM},
        {.place = {TABLE, SECTOR}, .data = content.table, .length = SECTOR},
    };
    static uint8_t nvs[4 * SECTOR];
    explore_result_t result;
    esp_self_reflasher_plan_t told;
    memcpy(nvs, nor_flash_view(flash) + NVS, sizeof(nvs));
    put_bundle_that_moves(regions, 2, moves, 2);
    plan(ESP_OK, &told);
    assert_int_equal(told.recovery_address, RECOVERY);
    assert_int_equal(told.sectors_moved, 6);
    explore(bundle_main, &result);
    assert_int_equal(result.failures, 0);
    assert_false(in_window(&result, loader_place));
    assert_memory_equal(result.flash + NVS, nvs, SECTOR);
    assert_memory_equal(result.flash + NVS + SECTOR, nvs, 2 * SECTOR);
    assert_memory_equal(result.flash + FREE, nvs, sizeof(nvs));
    explore_result_free(&result);
}

static void change_past_the_first_sector_has_no_window(void **state)
{
    (void)state;
    put_loader(content.loader, 3, 77, true);
    uint8_t *bytes = nor_flash_bytes(flash);
    put_loader(content.old_loader, 3, 78, true);
    memcpy(bytes + LOADER, content.old_loader, ROOM);
    assert_memory_equal(content.loader, content.old_loader, 2 * SECTOR);
    put_loader_bundle();
    expect_no_window(bundle_main);
}

static void shorter_bootloader_has_no_window(void **state)
{
    (void)state;
    put_loader(content.loader, 2, 20, false);
    put_loader_bundle();
    expect_no_window(bundle_main);
}

/** Nothing is staged, so that after a power loss the bundle is applied again by an app that the recovery bootloader
 * started. */
static void without_free_flash_there_is_no_window_either(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t told;
    dummy_image_fill(nor_flash_bytes(flash) + FREE, FLASH_SIZE - FREE, 5);
    for (uint32_t at = 0; at < FLASH_SIZE; at += SECTOR) { /* There is not even a blank sector in the noise. */
        nor_flash_bytes(flash)[at + SECTOR - 1] &= at >= RECOVERY && at < RECOVERY + ROOM ? 0xFF : 0xFE;
    }
    memcpy(nor_flash_bytes(flash) + LOADER, content.old_loader, ROOM);
    put_table(nor_flash_bytes(flash) + TABLE, "nvs", NULL);
    image_write_otadata(1, SR_OTA_VALID, nor_flash_bytes(flash) + OTADATA);
    c5_put_app(nor_flash_bytes(flash) + SLOT_0, "1");
    put_loader_bundle();
    plan(ESP_OK, &told);
    assert_int_equal(told.staging_address, UINT32_MAX);
    expect_no_window(bundle_main);
}

/** However the ROM treats a torn bootloader: there is none with a magic byte. */
static void no_cut_leaves_a_torn_bootloader_with_its_magic_byte(void **state)
{
    enum { WAYS = 8 };
    (void)state;
    put_loader_bundle();
    uint8_t *before = small_copy(flash);
    run(bundle_main);
    const uint32_t operations = nor_flash_stats(flash).operations;
    unsigned without = 0;
    for (uint32_t operation = 0; operation < operations; operation++) {
        /* A sample: one way of each operation. */
        const unsigned first = explore_samples() ? operation % WAYS : 0;
        for (unsigned way = first; way < WAYS; way += explore_samples() ? WAYS : 1u) {
            memcpy(nor_flash_bytes(flash), before, FLASH_SIZE);
            nor_flash_power_on(flash);
            nor_flash_reset_stats(flash);
            nor_flash_set_power_loss(flash, (nor_power_loss_t){true, operation, NOR_POWER_LOSS_INSIDE, way});
            const sim_config_t config = {.chip = chip, .flash = flash, .running_app = UINT32_MAX, .quiet = true};
            sim_report_t report;
            assert_true(sim_run(&config, bundle_main, 10, &report));
            assert_int_equal(report.last_end, SIM_END_POWER_LOSS);
            const uint8_t *loader = nor_flash_view(flash) + LOADER;
            const bool whole =
                memcmp(loader, content.old_loader, 3 * SECTOR) == 0 || memcmp(loader, content.loader, 4 * SECTOR) == 0;
            assert_true(whole || loader[0] != SR_IMAGE_MAGIC);
            assert_true(whole || recovery_is(content.old_loader));
            without += !whole;
        }
    }
    assert_true(without > (explore_samples() ? 100 / WAYS : 100));
    free(before);
}

static void skipped_copy_is_noticed(void **state)
{
    (void)state;
    explore_result_t result;
    job.skip_copy = true;
    put_loader_bundle();
    explore(bundle_main, &result);
    assert_true(result.failures > (SMALL_TORN == 1 ? 0 : 40));
    assert_true(result.window_typical_us > 0);
    explore_result_free(&result);
}

static void copy_that_is_there_is_left_alone(void **state)
{
    (void)state;
    const uint8_t *const copies[] = {content.old_loader, content.loader};
    put_loader_bundle();
    uint8_t *before = small_copy(flash);
    run(bundle_main);
    const uint32_t all = nor_flash_stats(flash).sector_erases + nor_flash_stats(flash).page_programs;
    assert_true(recovery_is(content.old_loader));
    for (unsigned i = 0; i < 2; i++) {
        memcpy(nor_flash_bytes(flash), before, FLASH_SIZE);
        memcpy(nor_flash_bytes(flash) + RECOVERY, copies[i], ROOM);
        run(bundle_main);
        assert_true(recovery_is(copies[i]));
        assert_true(nor_flash_stats(flash).sector_erases + nor_flash_stats(flash).page_programs < all - 20);
        for (uint32_t at = RECOVERY; at < RECOVERY + ROOM; at += SECTOR) {
            assert_int_equal(nor_flash_wear(flash, at / SECTOR), 0);
        }
        assert_memory_equal(nor_flash_view(flash) + LOADER, content.loader, ROOM);
    }
    memcpy(nor_flash_bytes(flash), before, FLASH_SIZE);
    memcpy(nor_flash_bytes(flash) + RECOVERY, content.loader, ROOM);
    free(before);
    expect_no_window(bundle_main);
}

static void other_bootloader_in_the_place_is_replaced(void **state)
{
    (void)state;
    memcpy(nor_flash_bytes(flash) + RECOVERY, content.third_loader, ROOM);
    put_loader_bundle();
    run(bundle_main);
    assert_true(recovery_is(content.old_loader));
    assert_memory_equal(nor_flash_view(flash) + LOADER, content.loader, ROOM);
}

static void finished_migration_is_not_begun_again(void **state)
{
    (void)state;
    put_loader_bundle();
    run(bundle_main);
    run(bundle_main);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

/** Only what lies around it is written: nothing has to stand in. */
static void bootloader_that_stays_needs_none_to_stand_in(void **state)
{
    (void)state;
    const uint32_t end = LOADER + 3 * SECTOR; /* Of the image. */
    static const uint32_t places[] = {LOADER + 3 * SECTOR, LOADER + 4 * SECTOR, TABLE - SECTOR, TABLE};
    const bundle_region_t regions[] = {
        {.place = {LOADER, ROOM}, .data = content.old_loader, .length = ROOM},
        {.place = {TABLE, SECTOR}, .data = content.table, .length = SECTOR},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        esp_self_reflasher_plan_t told;
        uint8_t *bytes = nor_flash_bytes(flash);
        memset(bytes + end, 0xFF, TABLE - end);
        memcpy(bytes + TABLE, content.table, SECTOR);
        if (places[i] == TABLE) {
            put_table(bytes + TABLE, "nvs", NULL);
        } else {
            bytes[places[i]] = 0;
        }
        put_bundle(regions, 2);
        plan(ESP_OK, &told);
        assert_int_equal(told.sectors_to_write, 1);
        assert_int_equal(told.recovery_address, UINT32_MAX);
    }
}

/** The bootloader is written nevertheless, and nothing in the recovery place. */
static void expect_not_used(void (*app_main)(void))
{
    esp_self_reflasher_plan_t told;
    uint8_t *before = small_copy(flash);
    if (app_main == bundle_main) {
        plan(ESP_OK, &told);
        assert_int_equal(told.recovery_address, UINT32_MAX);
        assert_true(told.window_ms_typical > 0);
    }
    run(app_main);
    small_assert_same(nor_flash_view(flash), before, RECOVERY, ROOM);
    small_assert_same(nor_flash_view(flash), before, FLASH_SIZE - 2 * SECTOR, 2 * SECTOR);
    assert_memory_equal(nor_flash_view(flash) + LOADER, content.loader, ROOM);
    memcpy(nor_flash_bytes(flash), before, FLASH_SIZE);
    free(before);
}

static void place_that_cannot_be_used_is_left_alone(void (*app_main)(void))
{
    static const sr_partition_table_entry_t taken[] = {
        {SR_PARTITION_TYPE_DATA, 0x82, RECOVERY, 0x10000, 0, "storage"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 2, RECOVERY, 0x10000, 0, "ota_2"},
        {0x40, 0, RECOVERY, SECTOR, 0, "own"},
        {SR_PARTITION_TYPE_DATA, 0x82, RECOVERY + 2 * SECTOR, 0x10000, 0, "too small"},
    };
    static const uint32_t elsewhere[] = {FLASH_SIZE, 0xFFE000, LOADER, LOADER + SECTOR, TABLE, FLASH_SIZE - 2 * SECTOR};
    for (unsigned i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        put_table(nor_flash_bytes(flash) + TABLE, "nvs", &taken[i]);
        expect_not_used(app_main);
    }
    expect_window(app_main);
    put_table(nor_flash_bytes(flash) + TABLE, "nvs", NULL);
    for (unsigned i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        chip.recovery = elsewhere[i];
        expect_not_used(app_main);
    }
    expect_window(app_main);
}

static void bundle_leaves_a_place_alone_that_it_cannot_use(void **state)
{
    (void)state;
    put_loader_bundle();
    place_that_cannot_be_used_is_left_alone(bundle_main);
}

static void partition_for_the_recovery_bootloader_is_no_obstacle(void **state)
{
    (void)state;
    const sr_partition_table_entry_t own = {SR_PARTITION_TYPE_BOOTLOADER, 2, RECOVERY, ROOM, 0, "recovery"};
    esp_self_reflasher_plan_t told;
    put_table(nor_flash_bytes(flash) + TABLE, "nvs", &own);
    put_loader_bundle();
    plan(ESP_OK, &told);
    assert_int_equal(told.recovery_address, RECOVERY);
    run(bundle_main);
    assert_true(recovery_is(content.old_loader));
}

static void bundle_may_bring_the_new_bootloader_for_the_place_too(void **state)
{
    (void)state;
    put_bundle_with(content.loader);
    expect_no_window(bundle_main);
    run(bundle_main);
    assert_true(recovery_is(content.loader));
}

static void put_system_bundle_with(const uint8_t *recovery)
{
    const bundle_region_t regions[] = {
        {.place = {LOADER, ROOM}, .data = content.loader, .length = ROOM},
        {.place = {TABLE, SECTOR}, .data = content.table, .length = SECTOR},
        {.place = {OTADATA, sizeof(content.otadata)}, .data = content.otadata, .length = sizeof(content.otadata)},
        {.place = {SLOT_1, SECTOR}, .data = content.app, .length = SECTOR},
        {.place = {RECOVERY, ROOM}, .data = recovery, .length = ROOM},
    };
    put_bundle(regions, 5);
}

/** The old system has twice the flash size that the new bootloader believes in. */
static void put_larger_old_system(void)
{
    const sr_partition_table_entry_t storage = {SR_PARTITION_TYPE_DATA, 0x82, FLASH_SIZE, FLASH_SIZE, 0, "storage"};
    nor_flash_t *larger = nor_flash_new(2 * FLASH_SIZE, nor_timing_find(NULL));
    assert_non_null(larger);
    size_code = 1;
    put_loader(content.old_loader, 3, 10, false);
    uint8_t *bytes = nor_flash_bytes(larger);
    memcpy(bytes, nor_flash_view(flash), FLASH_SIZE);
    memcpy(bytes + LOADER, content.old_loader, ROOM);
    put_table(bytes + TABLE, "nvs", &storage);
    nor_flash_delete(flash);
    flash = larger;
    flash_size = 2 * FLASH_SIZE;
}

/** A new bootloader that does not start the old system is no fallback before the new system is there. */
static void new_bootloader_that_does_not_boot_the_old_table_does_not_stand_in(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t told;
    explore_result_t result;
    put_larger_old_system();
    put_system_bundle_with(content.loader);
    plan(ESP_OK, &told);
    assert_int_equal(told.recovery_address, UINT32_MAX);
    explore(bundle_main, &result);
    assert_int_equal(result.failures, 0);
    assert_true(result.window_maximum_us <= told.window_ms_maximum * 1000u);
    assert_memory_equal(result.flash + LOADER, content.loader, ROOM);
    assert_memory_equal(result.flash + RECOVERY, content.loader, ROOM);
    explore_result_free(&result);
}

static void bundle_may_bring_the_old_bootloader_for_the_place(void **state)
{
    (void)state;
    put_bundle_with(content.old_loader);
    run(bundle_main);
    assert_true(recovery_is(content.old_loader));
    esp_self_reflasher_plan_t told;
    close_chip(NULL);
    open_chip(NULL);
    put_bundle_with(content.old_loader);
    plan(ESP_OK, &told);
    assert_int_equal(told.recovery_address, RECOVERY);
    assert_int_equal(told.window_ms_maximum, 0);
}

static void bundle_that_wants_other_content_there_gets_it(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t told;
    put_bundle_with(content.third_loader);
    plan(ESP_OK, &told);
    assert_int_equal(told.recovery_address, UINT32_MAX);
    assert_true(told.window_ms_typical > 0);
    run(bundle_main);
    assert_true(recovery_is(content.third_loader));
    assert_memory_equal(nor_flash_view(flash) + LOADER, content.loader, ROOM);
}

static void apply_main(void)
{
    (void)esp_self_reflasher_apply_bundle(&job.bundle, NULL);
}

typedef enum record { NO_RECORD, MARKED, SEALED } record_t;

static record_t record_in_the_place(void)
{
    static uint8_t list[SECTOR];
    sr_record_status_t status = SR_RECORD_NOT_SEALED;
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true};
    assert_true(sim_chip_attach(&config));
    const sr_flash_t whole = {.size = FLASH_SIZE};
    sr_journal_t journal = {.flash = &whole, .list = list, .address = RECOVERY};
    const bool marked = sr_journal_find(&journal) == ESP_OK && journal.address < RECOVERY + ROOM;
    const bool sealed = marked && sr_journal_load(&journal, &status) == ESP_OK && status == SR_RECORD_OK;
    sim_chip_detach();
    return sealed ? SEALED : marked ? MARKED : NO_RECORD;
}

static void run_with_cut(void (*app_main)(void), uint32_t operation)
{
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true};
    sim_report_t report;
    nor_flash_power_on(flash);
    nor_flash_reset_stats(flash);
    nor_flash_set_power_loss(flash, (nor_power_loss_t){true, operation, NOR_POWER_LOSS_BEFORE, 0});
    assert_true(sim_run(&config, app_main, 1, &report));
    nor_flash_power_on(flash);
}

/** A bundle without bootloader leaves the place alone, so that a record may have been staged there. What is left of one
 * that was not finished must not be found again when half of another bundle is in place. */
static void record_in_the_place_is_discarded_first(void **state)
{
    (void)state;
    uint32_t operation = 0;
    uint8_t *bytes = nor_flash_bytes(flash);
    dummy_image_fill(bytes + FREE, FLASH_SIZE - FREE, 5);
    for (uint32_t at = FREE; at < FLASH_SIZE; at += SECTOR) {
        bytes[at] = 0;
    }
    bytes[TABLE - 2 * SECTOR] = 0; /* In the room past the bootloader. */
    const bundle_region_t table = {.place = {TABLE, SECTOR}, .data = content.table, .length = SECTOR};
    put_bundle(&table, 1);
    for (; record_in_the_place() != SEALED; operation++) {
        assert_true(operation < 100);
        memset(bytes + RECOVERY, 0xFF, ROOM);
        run_with_cut(apply_main, operation);
    }
    memset(bytes + RECOVERY, 0xFF, ROOM);
    run_with_cut(apply_main, operation - 2);
    assert_int_equal(record_in_the_place(), MARKED);
    put_system_bundle();
    uint8_t *before = small_copy(flash);
    for (operation = 0; operation < 12; operation++) {
        memcpy(bytes, before, FLASH_SIZE);
        run_with_cut(apply_main, operation);
        memcpy(bytes + RECOVERY, before + RECOVERY, record_in_the_place() == MARKED ? ROOM : 0);
        const bool changed = memcmp(bytes, before, FLASH_SIZE) != 0;
        assert_int_equal(record_in_the_place() == MARKED, !changed);
    }
    assert_int_equal(record_in_the_place(), NO_RECORD);
    free(before);
}

/* A chip that was started by the recovery bootloader. */

static void start_from_recovery(void)
{
    memcpy(nor_flash_bytes(flash) + RECOVERY, content.old_loader, ROOM);
    memset(nor_flash_bytes(flash) + LOADER, 0, SECTOR);
}

static esp_err_t *told_error;

static void tell_image_error(void *unused)
{
    (void)unused;
    *told_error = esp_self_reflasher_directly_copy_to_region(&job.image);
}

static void bootloader_that_started_the_chip_is_not_overwritten(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t told;
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true, .recovered = true};
    start_from_recovery();
    put_bundle_with(content.third_loader);
    assert_true(sim_chip_attach(&config));
    assert_int_equal(esp_self_reflasher_plan_bundle(&job.bundle, &told), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(told.refusal, ESP_SELF_REFLASHER_REFUSED_BOOTLOADER);
    assert_non_null(strstr(told.refusal_text, "0xd0000"));
    put_image(content.third_loader, RECOVERY, ROOM);
    told_error = small_shared(sizeof(*told_error));
    assert_int_equal(sim_call(tell_image_error, NULL), SIM_END_RETURNED);
    assert_int_equal(*told_error, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER);
    sim_chip_detach();
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_true(recovery_is(content.old_loader));
}

static unsigned all_unwanted(void *unused, uint32_t address)
{
    (void)unused;
    (void)address;
    return sr_relocation_slot.room;
}

/** Where someone has burnt the offset of a slot, nothing goes to this slot. */
static void slot_with_the_bootloader_that_started_the_chip_is_not_free(void **state)
{
    (void)state;
    sr_system_t system;
    sr_slots_t slots;
    chip.recovery = SLOT_1;
    const esp_http_client_config_t http = {.url = "http://127.0.0.1:9/"};
    for (unsigned started = 0; started < 2; started++) {
        const sim_config_t config = {
            .chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true, .recovered = started != 0};
        memcpy(nor_flash_bytes(flash) + SLOT_1, content.old_loader, ROOM);
        assert_true(sim_chip_attach(&config));
        assert_int_equal(sr_system_read(&system), ESP_OK);
        assert_int_equal(system.boot_path.recovery.size, started * 3 * SECTOR);
        assert_int_equal(sr_slots_find(&slots), ESP_OK);
        assert_int_equal(sr_slots_find_staging(&system, &slots, 0, SECTOR) == NULL, started);
        const sr_relocation_request_t request = {.system = &system, .classify = all_unwanted};
        sr_relocation_t proposal = {.address = UINT32_MAX};
        assert_int_equal(sr_relocation_slot.propose(&sr_relocation_slot, &request, &proposal), ESP_OK);
        assert_int_equal(proposal.slot == NULL, started);
        const esp_self_reflasher_config_t image = {
            .http_config = &http,
            .dest_region = {FREE, SECTOR},
            .target_partition = esp_partition_find_first(ESP_PARTITION_TYPE_APP, ESP_PARTITION_SUBTYPE_APP_OTA_1, NULL),
        };
        esp_self_reflasher_handle_t handle = NULL;
        const esp_err_t err = esp_self_reflasher_init(&image, &handle);
        assert_int_equal(err, started ? ESP_ERR_SELF_REFLASHER_OVERLAP : ESP_OK);
        if (err == ESP_OK) {
            esp_self_reflasher_deinit(handle);
        }
        sim_chip_detach();
    }
}

static void chip_that_was_started_by_it_is_restored(void **state)
{
    (void)state;
    start_from_recovery();
    put_loader_bundle();
    const sim_report_t report = run(bundle_main);
    assert_true(report.before.recovered);
    assert_false(report.after.recovered);
    assert_memory_equal(nor_flash_view(flash) + LOADER, content.loader, ROOM);
    assert_true(recovery_is(content.old_loader));
}

/* Images. */

static void new_bootloader_by_image_has_no_window(void **state)
{
    (void)state;
    job.losses = 2;
    put_image(content.loader, LOADER, ROOM);
    expect_no_window(image_main);
}

static void change_past_the_first_sector_by_image_has_no_window(void **state)
{
    (void)state;
    put_loader(content.loader, 3, 77, true);
    put_loader(content.old_loader, 3, 78, true);
    memcpy(nor_flash_bytes(flash) + LOADER, content.old_loader, ROOM);
    put_image(content.loader, LOADER, ROOM);
    expect_no_window(image_main);
}

static void image_leaves_a_place_alone_that_it_cannot_use(void **state)
{
    (void)state;
    put_image(content.loader, LOADER, ROOM);
    place_that_cannot_be_used_is_left_alone(image_main);
}

static void image_in_the_recovery_place_is_no_copy(void **state)
{
    (void)state;
    put_image(content.loader, LOADER, ROOM);
    memcpy(nor_flash_bytes(flash) + RECOVERY + SECTOR, content.loader, ROOM);
    job.image.src_region.region_address = RECOVERY + SECTOR;
    run(image_main);
    assert_memory_equal(nor_flash_view(flash) + LOADER, content.loader, ROOM);
    assert_memory_equal(nor_flash_view(flash) + RECOVERY + SECTOR, content.loader, ROOM);
}

static void of_a_merged_image_only_the_table_is_in_the_window(void **state)
{
    (void)state;
    static uint8_t merged[ROOM + SECTOR];
    explore_result_t result;
    memcpy(merged, content.loader, ROOM);
    memcpy(merged + ROOM, content.table, SECTOR);
    put_image(merged, LOADER, sizeof(merged));
    explore(image_main, &result);
    assert_int_equal(result.failures, 0);
    assert_false(in_window(&result, loader_place));
    assert_true(in_window(&result, (sr_region_t){TABLE, SECTOR}));
    assert_int_equal(result.window_typical_us, result.lower_bound_typical_us);
    explore_result_free(&result);
}

/** The source lies in the only other slot. */
static void image_over_the_running_app_has_its_copy_too(void **state)
{
    (void)state;
    const uint32_t size = SLOT_0 + SECTOR - LOADER;
    uint8_t *bytes = nor_flash_bytes(flash);
    uint8_t *wanted = bytes + SLOT_1;
    memmove(wanted, bytes + LOADER, size);
    memcpy(wanted, content.loader, ROOM);
    memcpy(wanted + SLOT_0 - LOADER, content.app, SECTOR);
    put_image(wanted, LOADER, size);
    job.image.src_region.region_address = SLOT_1;
    const sim_report_t report = run(image_main);
    assert_true(report.other_app);
    assert_memory_equal(bytes + LOADER, bytes + SLOT_1, size);
    assert_true(recovery_is(content.old_loader));
}

static void same_image_again_costs_nothing(void **state)
{
    (void)state;
    put_image(content.loader, LOADER, ROOM);
    run(image_main);
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true};
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    told_error = small_shared(sizeof(*told_error));
    assert_int_equal(sim_call(tell_image_error, NULL), SIM_END_RETURNED);
    assert_int_equal(*told_error, ESP_OK);
    sim_chip_detach();
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

static void skipped_copy_of_an_image_is_noticed(void **state)
{
    (void)state;
    explore_result_t result;
    job.skip_copy = true;
    put_image(content.loader, LOADER, ROOM);
    explore(image_main, &result);
    assert_true(result.failures > (SMALL_TORN == 1 ? 0 : 40));
    explore_result_free(&result);
}

/* Other reasons not to use it. */

static bool allow(void *context, sr_region_t room)
{
    (void)room;
    return *(bool *)context;
}

/* The flash driver refuses to write a copy to a read-only partition. A copy that is there already will do. */
static void a_read_only_place(void **state)
{
    (void)state;
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true};
    for (unsigned readonly = 0; readonly < 2; readonly++) {
        sr_system_t system;
        sr_flash_reader_window_t window;
        bool allowed = true;
        const sr_partition_table_entry_t own = {SR_PARTITION_TYPE_BOOTLOADER,
                                                2,
                                                RECOVERY,
                                                ROOM,
                                                readonly != 0 ? SR_PARTITION_FLAG_READ_ONLY : 0,
                                                "recovery"};
        put_table(nor_flash_bytes(flash) + SR_PARTITION_TABLE_OFFSET, "nvs", &own);
        assert_true(sim_chip_attach(&config));
        assert_int_equal(sr_system_read(&system), ESP_OK);
        const sr_reader_t after = sr_flash_reader(&window, &system.flash, 0, FLASH_SIZE);
        assert_int_equal(sr_recovery_find(&system, &after, allow, &allowed).place.size, readonly != 0 ? 0 : 3 * SECTOR);
        memcpy(nor_flash_bytes(flash) + RECOVERY, nor_flash_view(flash) + LOADER, 3 * SECTOR);
        assert_int_equal(sr_recovery_find(&system, &after, allow, &allowed).place.size, 3 * SECTOR);
        assert_false(sr_recovery_find(&system, &after, allow, &allowed).needs_copy);
        memset(nor_flash_bytes(flash) + RECOVERY, 0xFF, 3 * SECTOR);
        sim_chip_detach();
    }
}

static void no_recovery_for_encrypted_flash_and_broken_bootloaders(void **state)
{
    (void)state;
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SLOT_0, .quiet = true};
    sr_system_t system;
    sr_flash_reader_window_t window;
    bool allowed = true;
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_system_read(&system), ESP_OK);
    assert_int_equal(system.recovery, RECOVERY);
    assert_int_equal(system.boot_path.recovery.size, 0);
    const sr_reader_t after = sr_flash_reader(&window, &system.flash, 0, FLASH_SIZE);
    const sr_recovery_t found = sr_recovery_find(&system, &after, allow, &allowed);
    assert_int_equal(found.place.address, RECOVERY);
    assert_int_equal(found.place.size, 3 * SECTOR);
    assert_true(found.needs_copy);
    allowed = false;
    assert_int_equal(sr_recovery_find(&system, &after, allow, &allowed).place.size, 0);
    allowed = true;
    system.flash.encryption = true;
    assert_int_equal(sr_recovery_find(&system, &after, allow, &allowed).place.size, 0);
    system.flash.encryption = false;
    nor_flash_bytes(flash)[LOADER + 0x1800] ^= 1; /* Its checksum does not match. */
    assert_int_equal(sr_recovery_find(&system, &after, allow, &allowed).place.size, 0);
    sim_chip_detach();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(new_bootloader_has_no_window),
        TEST(without_the_efuse_everything_is_as_before),
        TEST(of_a_whole_system_only_table_and_otadata_are_in_the_window),
        TEST(data_that_moves_is_not_lost_either),
        TEST(change_past_the_first_sector_has_no_window),
        TEST(shorter_bootloader_has_no_window),
        TEST(without_free_flash_there_is_no_window_either),
        TEST(no_cut_leaves_a_torn_bootloader_with_its_magic_byte),
        TEST(skipped_copy_is_noticed),
        TEST(copy_that_is_there_is_left_alone),
        TEST(other_bootloader_in_the_place_is_replaced),
        TEST(finished_migration_is_not_begun_again),
        TEST(bootloader_that_stays_needs_none_to_stand_in),
        TEST(bundle_leaves_a_place_alone_that_it_cannot_use),
        TEST(partition_for_the_recovery_bootloader_is_no_obstacle),
        TEST(bundle_may_bring_the_new_bootloader_for_the_place_too),
        TEST(new_bootloader_that_does_not_boot_the_old_table_does_not_stand_in),
        TEST(bundle_may_bring_the_old_bootloader_for_the_place),
        TEST(bundle_that_wants_other_content_there_gets_it),
        TEST(record_in_the_place_is_discarded_first),
        TEST(bootloader_that_started_the_chip_is_not_overwritten),
        TEST(slot_with_the_bootloader_that_started_the_chip_is_not_free),
        TEST(chip_that_was_started_by_it_is_restored),
        TEST(new_bootloader_by_image_has_no_window),
        TEST(change_past_the_first_sector_by_image_has_no_window),
        TEST(image_leaves_a_place_alone_that_it_cannot_use),
        TEST(image_in_the_recovery_place_is_no_copy),
        TEST(of_a_merged_image_only_the_table_is_in_the_window),
        TEST(image_over_the_running_app_has_its_copy_too),
        TEST(same_image_again_costs_nothing),
        TEST(skipped_copy_of_an_image_is_noticed),
        TEST(a_read_only_place),
        TEST(no_recovery_for_encrypted_flash_and_broken_bootloaders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
