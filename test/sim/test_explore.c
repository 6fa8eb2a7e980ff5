// SPDX-License-Identifier: Apache-2.0
// Exploration of small migrations whose outcome can be told by hand: right ones, and wrong ones that must be found.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "esp_flash.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "sim/explore/explore_internal.h"
#include "sim/nor/flash_buffer.h"
#include "make/dummy_image.h"
#include "sim/explore/explore_internal.h"
#include "test/support/support_explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLASH_SIZE 0x100000u
#define BOOTLOADER 0x1000u
#define TABLE      0x8000u
#define NVS        0x9000u
#define OTADATA    0xD000u
#define SLOT_0     0x10000u
#define SLOT_1     0x50000u
#define SLOT_SIZE  0x40000u
#define FREE_FLASH 0xA0000u

static uint8_t blank_page[SR_PAGE_SIZE];

/** What the bodies below write: app_main() has no parameters. */
static struct {
    uint8_t old_flash[FLASH_SIZE];
    uint8_t wanted[FLASH_SIZE];
    sr_region_t app; /**< The new one, in whole sectors. */
} world;

/** As small an app as ESP-IDF's bootloader starts. */
static size_t put_app(uint8_t *flash, uint32_t address, const char *version)
{
    static uint8_t data[0x800];
    static uint8_t code[0xC00];
    size_t length = 0;
    assert_int_equal(image_write_app_desc("explore", version, "v5.5", data), IMAGE_WRITE_OK);
    dummy_image_fill(data + IMAGE_WRITE_APP_DESC_SIZE, sizeof(data) - IMAGE_WRITE_APP_DESC_SIZE, (uint32_t)version[0]);
    dummy_image_fill(code, sizeof(code), (uint32_t)version[0] + 1);
    const image_write_segment_t segments[] = {
        {.load_address = 0x3F400020, .data = data, .length = sizeof(data), .mapped = true},
        {.load_address = 0x40080000, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {.spi_mode = 2,
                                    .entry = 0x40080400,
                                    .max_chip_rev_full = 0xFFFF,
                                    .append_hash = true,
                                    .segments = segments,
                                    .segment_count = 2};
    assert_int_equal(image_write_esp(&spec, flash + address, SLOT_SIZE, &length), IMAGE_WRITE_OK);
    return length;
}

static void put_table(uint8_t *flash, const char *nvs_label)
{
    sr_partition_table_entry_t table[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x4000, 0, ""},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT_0, SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT_1, SLOT_SIZE, 0, "ota_1"},
    };
    strcpy(table[0].label, nvs_label);
    assert_int_equal(image_write_partition_table(table, 4, flash + TABLE), IMAGE_WRITE_OK);
}

/** ESP-IDF's bootloader, an app in the first slot, and a blank second slot. What is wanted is the same by now. */
static int set_up(void **state)
{
    (void)state;
    size_t length = 0;
    uint8_t *flash = world.old_flash;
    memset(blank_page, 0xFF, sizeof(blank_page));
    memset(flash, 0xFF, FLASH_SIZE);
    assert_int_equal(
        dummy_image_bootloader(sr_chip_by_name("esp32"), 0, flash + BOOTLOADER, TABLE - BOOTLOADER, &length),
        IMAGE_WRITE_OK);
    put_table(flash, "nvs");
    memset(flash + NVS, 0x5A, 0x100);
    image_write_otadata(1, SR_OTA_VALID, flash + OTADATA);
    put_app(flash, SLOT_0, "1.0");
    memcpy(world.wanted, flash, FLASH_SIZE);
    return 0;
}

/** Wants another app in the second slot, and otadata that selects it. */
static void want_app(void)
{
    const size_t length = put_app(world.wanted, SLOT_1, "2.0");
    world.app = (sr_region_t){SLOT_1, (uint32_t)sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE)};
    sr_otadata_encode(2, SR_OTA_VALID, world.wanted + OTADATA + SR_SECTOR_SIZE);
}

static int read_flash(void *context, uint32_t offset, void *buffer, size_t length)
{
    memcpy(buffer, (const uint8_t *)context + offset, length);
    return 0;
}

/** Wants a bootloader of this many sectors: the old one with other code. */
static void want_bootloader(uint32_t sectors)
{
    const uint8_t *old = world.old_flash + BOOTLOADER;
    const sr_reader_t reader = {
        .context = world.old_flash + BOOTLOADER, .read = read_flash, .size = TABLE - BOOTLOADER};
    sr_image_t image;
    size_t length = 0;
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    assert_int_equal(image.segment_count, 2);
    const sr_image_segment_t *data = &image.segments[0];
    const sr_image_segment_t *code = &image.segments[1];
    static uint8_t new_code[TABLE - BOOTLOADER];
    dummy_image_fill(new_code, sizeof(new_code), 77);
    memcpy(new_code, old + code->data_offset, 0x800); // where it is entered
    const image_write_segment_t segments[] = {
        {.load_address = data->load_address, .data = old + data->data_offset, .length = data->length},
        {.load_address = code->load_address,
         .data = new_code,
         .length = sectors * SR_SECTOR_SIZE - code->data_offset - 0x100},
    };
    const image_write_esp_t spec = {.spi_mode = 2,
                                    .entry = image.entry,
                                    .max_chip_rev_full = 0xFFFF,
                                    .append_hash = true,
                                    .segments = segments,
                                    .segment_count = 2};
    memset(world.wanted + BOOTLOADER, 0xFF, TABLE - BOOTLOADER);
    assert_int_equal(image_write_esp(&spec, world.wanted + BOOTLOADER, TABLE - BOOTLOADER, &length), IMAGE_WRITE_OK);
    assert_int_equal(sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE), sectors * SR_SECTOR_SIZE);
}

static void must(esp_err_t err)
{
    if (err != ESP_OK) {
        abort();
    }
}

/** Makes sectors hold what is wanted. @return true if they did not */
static bool put(uint32_t address, uint32_t size)
{
    bool changed = false;
    for (uint32_t at = address; at < address + size; at += SR_SECTOR_SIZE) {
        if (memcmp(nor_flash_view(sim_chip()->flash) + at, world.wanted + at, SR_SECTOR_SIZE) == 0) {
            continue;
        }
        must(esp_flash_erase_region(NULL, at, SR_SECTOR_SIZE));
        for (uint32_t page = at; page < at + SR_SECTOR_SIZE; page += SR_PAGE_SIZE) {
            if (memcmp(world.wanted + page, blank_page, SR_PAGE_SIZE) != 0) {
                must(esp_flash_write(NULL, world.wanted + page, page, SR_PAGE_SIZE));
            }
        }
        changed = true;
    }
    return changed;
}

static void restart_if(bool changed)
{
    if (changed) {
        esp_restart();
    }
}

static explore_config_t config_for(void (*app_main)(void), const sr_region_t *targets, unsigned count)
{
    return (explore_config_t){
        .chip = {.chip = sr_chip_by_name("esp32")},
        .flash = world.old_flash,
        .size = FLASH_SIZE,
        .running_app = UINT32_MAX,
        .timing = nor_timing_find(NULL),
        .app_main = app_main,
        .targets = targets,
        .target_count = count,
        .torn_states = NOR_TORN_KINDS,
        .losses = 1,
        .workers = 2,
    };
}

static const sr_region_t everything = {0, FREE_FLASH};

static void explore(void (*app_main)(void), explore_result_t *result)
{
    const explore_config_t config = config_for(app_main, &everything, 1);
    assert_int_equal(explore_and_tell(&config, result), EXPLORE_OK);
    uint32_t sum = 0;
    for (unsigned i = 0; i < EXPLORE_OUTCOMES; i++) {
        sum += result->outcomes[i];
    }
    assert_int_equal(sum, result->state_count);
}

static void assert_no_failure(const explore_result_t *result)
{
    for (uint32_t i = 0; i < result->state_count; i++) {
        if (result->states[i].failed) {
            print_message("cut %u, seed %u: %s\n", result->states[i].loss.operation, result->states[i].loss.seed,
                          result->states[i].reason);
        }
    }
    assert_int_equal(result->failures, 0);
    assert_memory_equal(result->flash, world.wanted, FREE_FLASH);
}

static uint32_t count_failed(const explore_result_t *result, explore_outcome_t outcome)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < result->state_count; i++) {
        count += result->states[i].failed && result->states[i].outcome == outcome;
    }
    return count;
}

static void app_then_otadata(void)
{
    bool changed = put(world.app.address, world.app.size);
    changed = put(OTADATA + SR_SECTOR_SIZE, SR_SECTOR_SIZE) || changed;
    restart_if(changed);
}

static void a_new_app_alone_has_no_window(void **state)
{
    (void)state;
    explore_result_t result;
    want_app();
    explore(app_then_otadata, &result);
    assert_no_failure(&result);
    assert_int_equal(result.outcomes[EXPLORE_DOES_NOT_BOOT], 0);
    assert_true(result.outcomes[EXPLORE_OLD_FINISHES] > 0);
    assert_true(result.outcomes[EXPLORE_NEW_COMPLETE] > 0);
    assert_int_equal(result.window_maximum_us, 0);
    assert_int_equal(result.lower_bound_maximum_us, 0);
    // before each operation, inside it, and after the last one
    assert_int_equal(result.state_count, result.operation_count * (1 + NOR_TORN_KINDS) + 1);
    explore_result_free(&result);
}

static void table_alone(void)
{
    restart_if(put(TABLE, SR_SECTOR_SIZE));
}

static void a_new_table_alone_has_the_shortest_window(void **state)
{
    (void)state;
    const nor_timing_t *timing = nor_timing_find(NULL);
    explore_result_t result;
    put_table(world.wanted, "other");
    explore(table_alone, &result);
    assert_no_failure(&result);
    assert_true(result.outcomes[EXPLORE_DOES_NOT_BOOT] > 0);
    assert_int_equal(result.operation_count, 2);
    assert_int_equal(result.lower_bound_typical_us, timing->sector_erase_typical_us + timing->page_program_typical_us);
    assert_int_equal(result.lower_bound_maximum_us, timing->sector_erase_maximum_us + timing->page_program_maximum_us);
    assert_int_equal(result.window_typical_us, result.lower_bound_typical_us);
    assert_int_equal(result.window_maximum_us, result.lower_bound_maximum_us);
    explore_result_free(&result);
}

/** Where the entry with the MD5 starts. */
static uint32_t md5_entry(void)
{
    uint32_t at = TABLE;
    while (world.wanted[at] != 0xEB) {
        at += SR_PARTITION_ENTRY_SIZE;
    }
    return at;
}

static void table_with_its_md5_last(void)
{
    const uint8_t *now = nor_flash_view(sim_chip()->flash);
    const uint32_t md5 = md5_entry();
    if (memcmp(now + TABLE, world.wanted + TABLE, SR_SECTOR_SIZE) != 0) {
        must(esp_flash_erase_region(NULL, TABLE, SR_SECTOR_SIZE));
        must(esp_flash_write(NULL, world.wanted + TABLE, TABLE, md5 - TABLE));
        must(esp_flash_write(NULL, world.wanted + md5, md5, SR_PARTITION_ENTRY_SIZE));
        esp_restart();
    }
}

/** Bootloaders start the app then, and the app's ESP-IDF finds no partition. */
static void a_table_without_its_md5_counts_as_one_that_does_not_boot(void **state)
{
    (void)state;
    explore_result_t result;
    put_table(world.wanted, "other");
    explore(table_with_its_md5_last, &result);
    assert_no_failure(&result);
    bool found = false;
    for (uint32_t i = 0; i < result.state_count; i++) {
        const explore_state_t *loss = &result.states[i];
        if (loss->loss.operation == 2 && loss->loss.when == NOR_POWER_LOSS_BEFORE) {
            assert_int_equal(loss->outcome, EXPLORE_DOES_NOT_BOOT);
            assert_non_null(strstr(loss->reason, "MD5"));
            found = true;
        }
    }
    assert_true(found);
    explore_result_free(&result);
}

static void bootloader_alone(void)
{
    restart_if(put(BOOTLOADER, TABLE - BOOTLOADER));
}

static void a_new_bootloader_alone_boots_outside_its_window(void **state)
{
    (void)state;
    explore_result_t result;
    want_bootloader(2);
    explore(bootloader_alone, &result);
    assert_no_failure(&result);
    assert_true(result.outcomes[EXPLORE_DOES_NOT_BOOT] > 0);
    assert_true(result.operations[0].in_window);
    explore_result_free(&result);
}

/** Of a bootloader that is shorter than the old one, only its own sectors have to be in the window. */
static void the_shortest_window_has_only_sectors_of_both_bootloaders(void **state)
{
    (void)state;
    const nor_timing_t *timing = nor_timing_find(NULL);
    explore_result_t result;
    want_bootloader(2);
    explore(bootloader_alone, &result);
    uint32_t sectors = 0;
    uint32_t pages = 0;
    for (uint32_t at = BOOTLOADER; at < BOOTLOADER + 2 * SR_SECTOR_SIZE; at += SR_PAGE_SIZE) {
        const uint32_t sector = at & ~(SR_SECTOR_SIZE - 1u);
        const bool differs = memcmp(world.wanted + sector, world.old_flash + sector, SR_SECTOR_SIZE) != 0;
        sectors += differs && at == sector;
        pages += differs && memcmp(world.wanted + at, blank_page, SR_PAGE_SIZE) != 0;
    }
    assert_true(sectors > 0);
    assert_int_equal(result.lower_bound_typical_us,
                     sectors * timing->sector_erase_typical_us + pages * timing->page_program_typical_us);
    assert_true(result.window_typical_us >= result.lower_bound_typical_us);
    explore_result_free(&result);
}

static void all_in_order(void)
{
    bool changed = put(world.app.address, world.app.size);
    changed = put(BOOTLOADER, TABLE - BOOTLOADER) || changed;
    changed = put(TABLE, SR_SECTOR_SIZE) || changed;
    changed = put(OTADATA + SR_SECTOR_SIZE, SR_SECTOR_SIZE) || changed;
    restart_if(changed);
}

static void want_all(void)
{
    want_app();
    want_bootloader(3);
    put_table(world.wanted, "other");
}

static void a_whole_system_in_order_converges(void **state)
{
    (void)state;
    explore_result_t result;
    want_all();
    explore(all_in_order, &result);
    assert_no_failure(&result);
    for (uint32_t i = 0; i < result.operation_count; i++) {
        const uint32_t address = result.operations[i].op.address;
        assert_int_equal(result.operations[i].in_commit, address < SLOT_0);
    }
    explore_result_free(&result);
}

/** The bootloader's first sector goes first, as if to make room, and comes back with the others. */
static void bootloader_erased_early(void)
{
    const uint8_t *now = nor_flash_view(sim_chip()->flash);
    if (memcmp(now + BOOTLOADER, world.old_flash + BOOTLOADER, SR_SECTOR_SIZE) == 0) {
        must(esp_flash_erase_region(NULL, BOOTLOADER, SR_SECTOR_SIZE));
    }
    all_in_order();
}

static void an_early_erase_of_the_bootloader_is_found(void **state)
{
    (void)state;
    explore_result_t result;
    want_all();
    explore(bootloader_erased_early, &result);
    assert_true(result.failures > 0);
    assert_true(count_failed(&result, EXPLORE_DOES_NOT_BOOT) > 0);
    for (uint32_t i = 0; i < result.state_count; i++) {
        const explore_state_t *loss = &result.states[i];
        if (loss->loss.operation == 0 && loss->loss.when == NOR_POWER_LOSS_BEFORE) {
            assert_false(loss->failed);
        }
        if (loss->loss.operation == 1 && loss->loss.when == NOR_POWER_LOSS_BEFORE) {
            assert_true(loss->failed);
            assert_int_equal(loss->outcome, EXPLORE_DOES_NOT_BOOT);
            assert_true(strlen(loss->reason) > 0);
        }
    }
    assert_true(result.window_typical_us > result.lower_bound_typical_us);
    explore_result_free(&result);
}

/** The new table knows no slot where the old app is. */
static void table_first(void)
{
    bool changed = put(TABLE, SR_SECTOR_SIZE);
    changed = put(world.app.address, world.app.size) || changed;
    restart_if(changed);
}

static void a_boot_path_that_is_written_first_is_found(void **state)
{
    (void)state;
    explore_result_t result;
    static const sr_partition_table_entry_t table[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x4000, 0, "nvs"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SLOT_1, SLOT_SIZE, 0, "factory"},
    };
    want_app();
    memset(world.wanted + OTADATA + SR_SECTOR_SIZE, 0xFF, SR_SECTOR_SIZE);
    assert_int_equal(image_write_partition_table(table, 2, world.wanted + TABLE), IMAGE_WRITE_OK);
    explore(table_first, &result);
    assert_true(count_failed(&result, EXPLORE_DOES_NOT_BOOT) > 0);
    explore_result_free(&result);
}

/** Selects the new app before all of its data is there. */
static void data_last(void)
{
    bool changed = put(world.app.address, world.app.size);
    changed = put(OTADATA + SR_SECTOR_SIZE, SR_SECTOR_SIZE) || changed;
    changed = put(NVS, SR_SECTOR_SIZE) || changed;
    restart_if(changed);
}

static void what_is_left_to_the_new_system_is_found(void **state)
{
    (void)state;
    explore_result_t result;
    want_app();
    memset(world.wanted + NVS, 0xA5, 0x100);
    explore(data_last, &result);
    // the new app runs the same code and could finish it, but nothing says that it will
    assert_true(count_failed(&result, EXPLORE_NEW_LEFT_TO_NEW) > 0);
    assert_int_equal(count_failed(&result, EXPLORE_NEW_LEFT_TO_NEW), result.failures);
    explore_result_free(&result);
}

/** Knows from a mark whether it was here before, and then does nothing. */
static void script_without_resume(void)
{
    static const uint8_t mark[] = "begun";
    if (memcmp(nor_flash_view(sim_chip()->flash) + FREE_FLASH, mark, sizeof(mark)) == 0) {
        return;
    }
    must(esp_flash_write(NULL, mark, FREE_FLASH, sizeof(mark)));
    all_in_order();
}

static void a_script_that_does_not_go_on_is_found(void **state)
{
    (void)state;
    explore_result_t result;
    want_app();
    explore(script_without_resume, &result);
    assert_true(count_failed(&result, EXPLORE_OLD_STUCK) > 0);
    explore_result_free(&result);
}

/** Right at the first attempt, careless at the second, after an interruption. */
static void careless_when_resumed(void)
{
    const uint8_t *first = nor_flash_view(sim_chip()->flash) + world.app.address;
    if (memcmp(first, blank_page, SR_PAGE_SIZE) != 0) {
        bootloader_erased_early();
    } else {
        all_in_order();
    }
}

static void what_only_a_second_cut_shows_is_found(void **state)
{
    (void)state;
    explore_result_t result;
    want_all();
    explore_config_t config = config_for(careless_when_resumed, &everything, 1);
    config.losses = 1;
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_OK);
    assert_int_equal(result.failures, 0);
    assert_int_equal(result.nested_count, 0);
    explore_result_free(&result);

    config.losses = 3;
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_OK);
    assert_true(result.failures > 0);
    assert_true(result.nested_count > 0);
    // the cuts that it names lead there
    const explore_state_t *found = result.states;
    while (!found->failed) {
        found++;
    }
    assert_in_range(found->nested_count, 1, 2);
    explore_power_loss_t losses[EXPLORE_MAX_POWER_LOSSES] = {found->loss};
    memcpy(losses + 1, found->nested, sizeof(losses[0]) * found->nested_count);
    nor_flash_t *flash = nor_flash_new(FLASH_SIZE, nor_timing_find(NULL));
    memcpy(nor_flash_bytes(flash), world.old_flash, FLASH_SIZE);
    unsigned made = 0;
    assert_true(explore_power_loss_run(&config.chip, flash, UINT32_MAX, careless_when_resumed, losses,
                                       found->nested_count + 1u, &made));
    boot_result_t boot;
    boot_run(&config.chip, nor_flash_bytes(flash), FLASH_SIZE, NULL, NULL, &boot);
    assert_false(boot_succeeds(&boot));
    nor_flash_delete(flash);
    explore_result_free(&result);
}

/** Moves to the second slot, and replaces the first one from there. */
static void moves_out_of_the_way(void)
{
    const uint8_t *now = nor_flash_view(sim_chip()->flash);
    if (sim_chip()->running_app == SLOT_0) {
        uint8_t saved[2 * SR_SECTOR_SIZE];
        memcpy(saved, world.wanted + OTADATA, sizeof(saved));
        memcpy(world.wanted + SLOT_1, now + SLOT_0, world.app.size);
        put(SLOT_1, world.app.size);
        memcpy(world.wanted + OTADATA, now + OTADATA, sizeof(saved));
        sr_otadata_encode(2, SR_OTA_VALID, world.wanted + OTADATA + SR_SECTOR_SIZE);
        put(OTADATA + SR_SECTOR_SIZE, SR_SECTOR_SIZE);
        esp_restart();
    }
    bool changed = put(SLOT_0, world.app.size);
    restart_if(put(OTADATA, SR_SECTOR_SIZE) || changed);
}

static void want_app_where_the_old_one_is(void)
{
    const size_t length = put_app(world.wanted, SLOT_0, "2.0");
    world.app = (sr_region_t){SLOT_0, (uint32_t)sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE)};
    sr_otadata_encode(3, SR_OTA_VALID, world.wanted + OTADATA);
}

static void an_app_may_move_out_of_the_way(void **state)
{
    (void)state;
    explore_result_t result;
    want_app_where_the_old_one_is();
    const sr_region_t target = {SLOT_0, world.app.size};
    const explore_config_t config = config_for(moves_out_of_the_way, &target, 1);
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_OK);
    assert_int_equal(result.failures, 0);
    assert_int_equal(result.outcomes[EXPLORE_DOES_NOT_BOOT], 0);
    assert_int_equal(result.window_maximum_us, 0);
    assert_int_equal(result.run.boots, 2);
    explore_result_free(&result);
}

/** What happens from there on is known. */
static void a_run_stops_at_a_start_of_the_uncut_run(void **state)
{
    (void)state;
    explore_trace_t trace;
    explore_starts_t starts;
    sim_report_t report;
    want_app_where_the_old_one_is();
    const explore_config_t config = config_for(moves_out_of_the_way, NULL, 0);
    nor_flash_t *flash = nor_flash_new(FLASH_SIZE, config.timing);
    memcpy(nor_flash_bytes(flash), world.old_flash, FLASH_SIZE);
    assert_true(explore_trace_run(&config, flash, UINT32_MAX, &trace));
    assert_true(explore_find_starts(&trace, &config.chip, &starts));
    assert_int_equal(starts.count, 1);

    memcpy(nor_flash_bytes(flash), world.old_flash, FLASH_SIZE);
    memset(nor_flash_bytes(flash) + SLOT_1, 0, SR_PAGE_SIZE);
    assert_true(explore_run_on(&config, flash, &starts, &report));
    assert_true(report.stopped);
    assert_int_equal(report.boots, 1);
    assert_memory_equal(nor_flash_view(flash), starts.flashes[0], FLASH_SIZE);

    // one bit that differs, and nothing is known
    memcpy(nor_flash_bytes(flash), world.old_flash, FLASH_SIZE);
    nor_flash_bytes(flash)[FLASH_SIZE - 1] = 0xFE;
    assert_true(explore_run_on(&config, flash, &starts, &report));
    assert_false(report.stopped);
    assert_int_equal(report.boots, 2);
    explore_starts_free(&starts, FLASH_SIZE);
    explore_trace_free(&trace);
    nor_flash_delete(flash);
}

static uint32_t leftover;

/** After an interruption it leaves something in a blank sector. */
static void leaves_something_when_resumed(void)
{
    static const uint8_t rest[] = "rest";
    if (memcmp(nor_flash_view(sim_chip()->flash) + world.app.address, blank_page, SR_PAGE_SIZE) != 0) {
        must(esp_flash_write(NULL, rest, leftover, sizeof(rest)));
    }
    app_then_otadata();
}

static void what_is_left_in_blank_data_is_found(void **state)
{
    (void)state;
    explore_result_t result;
    want_app();
    const sr_region_t targets[] = {world.app, {OTADATA, 2 * SR_SECTOR_SIZE}};
    const explore_config_t config = config_for(leaves_something_when_resumed, targets, 2);
    static const struct {
        uint32_t address;
        bool allowed;
    } places[] = {{0, false}, {TABLE - SR_SECTOR_SIZE, false}, {NVS + 0x3000, false}, {FREE_FLASH, true}};
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        leftover = places[i].address;
        assert_int_equal(explore_and_tell(&config, &result), EXPLORE_OK);
        assert_int_equal(result.failures > 0, !places[i].allowed);
        assert_int_equal(count_failed(&result, EXPLORE_OLD_STUCK) > 0, !places[i].allowed);
        explore_result_free(&result);
    }
}

/** Two bits of one column of the ROM's checksum: it starts the bootloader nevertheless. */
static void bits_in_the_bootloader(void)
{
    uint8_t page[SR_PAGE_SIZE];
    const uint32_t at = BOOTLOADER + 0x400;
    memcpy(page, world.old_flash + at, sizeof(page));
    uint32_t found = 0;
    for (uint32_t i = 0; i < sizeof(page) && found < 2; i++) {
        if ((page[i] & 1) != 0) {
            page[i] &= 0xFE;
            found++;
        }
    }
    if (nor_flash_view(sim_chip()->flash)[world.app.address] == 0xFF) {
        must(esp_flash_write(NULL, page, at, sizeof(page)));
    }
    all_in_order();
}

static void a_corrupt_bootloader_that_starts_is_found(void **state)
{
    (void)state;
    explore_result_t result;
    want_app();
    explore(bits_in_the_bootloader, &result);
    assert_true(count_failed(&result, EXPLORE_DOES_NOT_BOOT) > 0);
    explore_result_free(&result);
}

static void replayed_states_are_those_of_real_cuts(void **state)
{
    (void)state;
    explore_trace_t trace;
    explore_cursor_t cursor;
    want_all();
    const explore_config_t config = config_for(all_in_order, &everything, 1);
    nor_flash_t *flash = nor_flash_new(FLASH_SIZE, config.timing);
    uint8_t *made_up = malloc(FLASH_SIZE);
    memcpy(nor_flash_bytes(flash), world.old_flash, FLASH_SIZE);
    assert_true(explore_trace_run(&config, flash, UINT32_MAX, &trace));
    assert_true(explore_cursor_open(&cursor, &trace, &config.chip));
    nor_flash_t *cut_flash = nor_flash_new(FLASH_SIZE, config.timing);
    for (uint32_t i = 0; i < trace.count; i += 3) {
        const explore_power_loss_t losses[] = {
            {i, NOR_POWER_LOSS_BEFORE, 0}, {i, NOR_POWER_LOSS_INSIDE, i}, {i, NOR_POWER_LOSS_AFTER, 0}};
        for (unsigned k = 0; k < 3; k++) {
            unsigned made = 0;
            memcpy(nor_flash_bytes(cut_flash), world.old_flash, FLASH_SIZE);
            assert_true(
                explore_power_loss_run(&config.chip, cut_flash, UINT32_MAX, all_in_order, &losses[k], 1, &made));
            explore_cursor_make(&cursor, &losses[k], made_up);
            assert_memory_equal(nor_flash_view(cut_flash), made_up, FLASH_SIZE);
        }
    }
    explore_cursor_close(&cursor);
    explore_trace_free(&trace);
    nor_flash_delete(flash);
    nor_flash_delete(cut_flash);
    free(made_up);
}

static void a_sample_has_all_of_the_commit(void **state)
{
    (void)state;
    explore_result_t all;
    explore_result_t some;
    want_all();
    explore_config_t config = config_for(all_in_order, &everything, 1);
    assert_int_equal(explore_and_tell(&config, &all), EXPLORE_OK);
    config.sample = 5;
    assert_int_equal(explore_and_tell(&config, &some), EXPLORE_OK);
    assert_true(some.state_count < all.state_count);
    assert_int_equal(some.outcomes[EXPLORE_DOES_NOT_BOOT], all.outcomes[EXPLORE_DOES_NOT_BOOT]);
    assert_true(some.outcomes[EXPLORE_OLD_FINISHES] < all.outcomes[EXPLORE_OLD_FINISHES]);
    assert_int_equal(some.window_typical_us, all.window_typical_us);
    explore_result_free(&all);
    explore_result_free(&some);
}

static void nothing_to_do(void)
{
}

static void crash(void)
{
    must(esp_flash_erase_region(NULL, FREE_FLASH, SR_SECTOR_SIZE));
    abort();
}

static void restart_for_ever(void)
{
    esp_restart();
}

static void a_run_that_does_not_end_is_no_proof(void **state)
{
    (void)state;
    explore_result_t result;
    explore(nothing_to_do, &result);
    assert_int_equal(result.operation_count, 0);
    assert_int_equal(result.failures, 0);
    explore_result_free(&result);

    explore_config_t config = config_for(crash, &everything, 1);
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_UNFINISHED);
    explore_result_free(&result);
    config.app_main = restart_for_ever;
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_UNFINISHED);
    explore_result_free(&result);
    memset(world.old_flash + BOOTLOADER, 0xFF, SR_SECTOR_SIZE);
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_NO_START);
    explore_result_free(&result);
}

/** An app that was just uploaded runs on probation: it may not be there at the next start. */
static void put_app_on_probation(void)
{
    put_app(world.old_flash, SLOT_1, "1.5");
    memcpy(world.wanted + SLOT_1, world.old_flash + SLOT_1, SLOT_SIZE);
    sr_otadata_encode(2, SR_OTA_NEW, world.old_flash + OTADATA + SR_SECTOR_SIZE);
    sr_otadata_encode(2, SR_OTA_VALID, world.wanted + OTADATA + SR_SECTOR_SIZE);
    memset(world.wanted + NVS, 0xA5, 0x100);
}

static void confirm_then_write(void)
{
    must(esp_ota_mark_app_valid_cancel_rollback());
    restart_if(put(NVS, SR_SECTOR_SIZE));
}

static void write_then_confirm(void)
{
    const bool changed = put(NVS, SR_SECTOR_SIZE);
    must(esp_ota_mark_app_valid_cancel_rollback());
    restart_if(changed);
}

static void the_app_before_may_come_back_to_what_it_knows(void **state)
{
    (void)state;
    explore_result_t result;
    put_app_on_probation();
    explore_config_t config = config_for(confirm_then_write, &everything, 1);
    config.chip.rollback = true;
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_OK);
    assert_no_failure(&result);
    assert_true(result.outcomes[EXPLORE_WENT_BACK] > 0);
    assert_int_equal(result.outcomes[EXPLORE_DOES_NOT_BOOT], 0);
    assert_int_equal(result.window_maximum_us, 0);
    explore_result_free(&result);
    config.app_main = write_then_confirm;
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_OK);
    assert_true(count_failed(&result, EXPLORE_WENT_BACK) > 0);
    assert_int_equal(count_failed(&result, EXPLORE_WENT_BACK), result.failures);
    explore_result_free(&result);
}

#define EXPLORE_TEST(name) cmocka_unit_test_setup(name, set_up)

/* What a process frees that it inherited, its parent goes on using; what it inherited as free is no longer its own. */
static void a_buffer_is_given_out_again_only_by_its_process(void **state)
{
    (void)state;
    uint8_t *freed = flash_buffer_new(SR_SECTOR_SIZE);
    uint8_t *used = flash_buffer_new(SR_SECTOR_SIZE);
    assert_non_null(freed);
    assert_non_null(used);
    flash_buffer_delete(freed, SR_SECTOR_SIZE);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        uint8_t *others = flash_buffer_new(SR_SECTOR_SIZE);
        flash_buffer_delete(used, SR_SECTOR_SIZE);
        uint8_t *own = flash_buffer_new(SR_SECTOR_SIZE);
        memset(others, 1, SR_SECTOR_SIZE);
        memset(own, 2, SR_SECTOR_SIZE);
        flash_buffer_delete(own, SR_SECTOR_SIZE);
        _exit(flash_buffer_new(SR_SECTOR_SIZE) == own ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (uint32_t i = 0; i < SR_SECTOR_SIZE; i++) {
        assert_int_equal(freed[i] | used[i], 0);
    }
    assert_ptr_equal(flash_buffer_new(SR_SECTOR_SIZE), freed);
    flash_buffer_delete(freed, SR_SECTOR_SIZE);
    flash_buffer_delete(used, SR_SECTOR_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_is_given_out_again_only_by_its_process),
        EXPLORE_TEST(a_new_app_alone_has_no_window),
        EXPLORE_TEST(the_app_before_may_come_back_to_what_it_knows),
        EXPLORE_TEST(a_new_table_alone_has_the_shortest_window),
        EXPLORE_TEST(a_table_without_its_md5_counts_as_one_that_does_not_boot),
        EXPLORE_TEST(a_new_bootloader_alone_boots_outside_its_window),
        EXPLORE_TEST(the_shortest_window_has_only_sectors_of_both_bootloaders),
        EXPLORE_TEST(a_whole_system_in_order_converges),
        EXPLORE_TEST(an_early_erase_of_the_bootloader_is_found),
        EXPLORE_TEST(a_boot_path_that_is_written_first_is_found),
        EXPLORE_TEST(what_is_left_to_the_new_system_is_found),
        EXPLORE_TEST(a_script_that_does_not_go_on_is_found),
        EXPLORE_TEST(what_only_a_second_cut_shows_is_found),
        EXPLORE_TEST(an_app_may_move_out_of_the_way),
        EXPLORE_TEST(a_run_stops_at_a_start_of_the_uncut_run),
        EXPLORE_TEST(what_is_left_in_blank_data_is_found),
        EXPLORE_TEST(a_corrupt_bootloader_that_starts_is_found),
        EXPLORE_TEST(replayed_states_are_those_of_real_cuts),
        EXPLORE_TEST(a_sample_has_all_of_the_commit),
        EXPLORE_TEST(a_run_that_does_not_end_is_no_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
