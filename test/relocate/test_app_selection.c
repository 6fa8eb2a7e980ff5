// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which app the bootloader starts next, and what is told if that cannot be read: a chip that does not know whether its
 * app will be started again must not go on as if it would be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relocate/sr_app_selection.h"
#include "test/support/support_small.h"

#include "esp_flash.h"
#include "esp_ota_ops.h"

#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define NEVER       UINT32_MAX

static nor_flash_t *flash;
static uint8_t *before;
static sr_copy_workspace_t workspace;

/** Calls of one kind, of which one fails. */
typedef struct calls {
    uint32_t made, failing_at;
} calls_t;

static calls_t reads = {.failing_at = NEVER}, searches = {.failing_at = NEVER};

static bool fails(calls_t *calls)
{
    return ++calls->made == calls->failing_at;
}

esp_err_t __real_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    return fails(&reads) ? ESP_ERR_TIMEOUT : __real_esp_flash_read(chip, buffer, address, length);
}

esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);

esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    return fails(&searches) ? NULL : __real_esp_partition_find(type, subtype, label);
}

static void attach(uint32_t running_app, sr_system_t *system)
{
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = running_app, .quiet = true};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_system_read(system), ESP_OK);
    nor_flash_reset_stats(flash);
}

/* The app in the first slot runs, and otadata selects the second one, in which there is none. */
static int open_chip(void **state)
{
    (void)state;
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {2, 1}});
    small_app("1", nor_flash_bytes(flash) + SLOT(0));
    before = small_copy(flash);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    free(before);
    return 0;
}

static esp_err_t read_selection(const sr_system_t *system)
{
    sr_app_selection_t selection = SR_APP_SELECTION_STARTS;
    const esp_err_t err = sr_app_selection_read(system, (sr_partition_table_t *)workspace.data, &selection);
    assert_true(err != ESP_OK || selection == SR_APP_SELECTION_CAN_START);
    return err;
}

static esp_err_t expect_selected(esp_err_t err)
{
    if (err == ESP_OK) {
        assert_true(nor_flash_stats(flash).operations > 0);
        small_assert_boots(flash, false, SLOT(0));
    } else {
        small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    }
    return err;
}

static esp_err_t keep(const sr_system_t *system)
{
    return expect_selected(sr_app_selection_keep(system, &workspace));
}

static const esp_partition_t *first_slot(void)
{
    return esp_ota_get_running_partition();
}

static esp_err_t ask_for_slot(const sr_system_t *system)
{
    bool selected = true;
    const esp_err_t err = sr_app_selection_is(system, first_slot(), &selected);
    assert_false(selected);
    return err;
}

static esp_err_t set_slot(const sr_system_t *system)
{
    return expect_selected(sr_app_selection_set(system, first_slot(), &workspace));
}

/* One after the other: of an entry that is read back another attempt may be made. @return how many are told */
static uint32_t each_fails(esp_err_t (*call)(const sr_system_t *), calls_t *calls, esp_err_t expected)
{
    bool failed = true;
    uint32_t number = 0, told = 0;
    while (failed) {
        sr_system_t system;
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        attach(SLOT(0), &system);
        *calls = (calls_t){.failing_at = ++number};
        const esp_err_t err = call(&system);
        failed = calls->made >= number;
        *calls = (calls_t){.failing_at = NEVER};
        told += err == expected;
        assert_true(err == ESP_OK || (failed && err == expected));
        sim_chip_detach();
    }
    return told;
}

static void what_cannot_be_read_is_no_answer(void **state)
{
    (void)state;
    esp_err_t (*const each[])(const sr_system_t *) = {read_selection, keep, ask_for_slot, set_slot};
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        assert_true(each_fails(each[i], &reads, ESP_ERR_TIMEOUT) > 0);
        assert_true(each_fails(each[i], &searches, ESP_ERR_NO_MEM) > 0);
    }
}

/* One of the sectors takes nothing any more: with a factory app both have to be erased, with a slot one is written. */
static void sector_of_otadata_that_fails_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * 2; i++) {
        sr_system_t system;
        const bool factory = i / 2 != 0;
        const uint32_t dead = SMALL_OTADATA + i % 2 * SR_SECTOR_SIZE;
        if (factory) {
            close_chip(NULL);
            flash = small_flash_new(&(small_layout_t){.slots = 2, .factory = true, .sequences = {2, 1}});
            small_app("1", nor_flash_bytes(flash) + SMALL_FACTORY);
            before = small_copy(flash);
        }
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        attach(factory ? SMALL_FACTORY : SLOT(0), &system);
        nor_flash_set_faults(
            flash, (nor_faults_t){
                       .program_per_million = 1000000, .erase_per_million = 1000000, .single = true, .address = dead});
        const esp_err_t err = sr_app_selection_keep(&system, &workspace);
        const bool needed = nor_flash_failures(flash, dead / SR_SECTOR_SIZE) > 0;
        nor_flash_set_faults(flash, (nor_faults_t){0});
        assert_true(needed || !factory);
        assert_int_equal(err != ESP_OK, needed);
        if (!needed) {
            small_assert_boots(flash, false, SLOT(0));
        }
        sim_chip_detach();
    }
}

static void without_memory_nothing_is_selected(void **state)
{
    (void)state;
    sr_system_t system;
    attach(SLOT(0), &system);
    sim_heap_fail_at(1);
    assert_int_equal(sr_app_selection_keep(&system, NULL), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_int_equal(sr_app_selection_keep(&system, NULL), ESP_OK);
    small_assert_boots(flash, false, SLOT(0));
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
}

/* It takes both of its sectors: with one of them, a power loss would leave no entry. */
static void otadata_of_less_than_two_sectors_selects_nothing(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        sr_app_selection_t expected;
    } cases[] = {{0, SR_APP_SELECTION_CANNOT_START},
                 {SR_SECTOR_SIZE, SR_APP_SELECTION_CANNOT_START},
                 {2 * SR_SECTOR_SIZE - 1, SR_APP_SELECTION_CANNOT_START},
                 {2 * SR_SECTOR_SIZE, SR_APP_SELECTION_CAN_START},
                 {3 * SR_SECTOR_SIZE, SR_APP_SELECTION_CAN_START}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_system_t system;
        sr_app_selection_t selection = SR_APP_SELECTION_STARTS;
        attach(SLOT(0), &system);
        system.boot_path.otadata.size = cases[i].size;
        assert_int_equal(sr_app_selection_read(&system, (sr_partition_table_t *)workspace.data, &selection), ESP_OK);
        assert_int_equal(selection, cases[i].expected);
        if (selection == SR_APP_SELECTION_CANNOT_START) {
            assert_int_equal(sr_app_selection_keep(&system, &workspace), ESP_ERR_INVALID_STATE);
            assert_int_equal(nor_flash_stats(flash).operations, 0);
        }
        sim_chip_detach();
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_read_is_no_answer),
        TEST(sector_of_otadata_that_fails_is_told),
        TEST(without_memory_nothing_is_selected),
        TEST(otadata_of_less_than_two_sectors_selects_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
