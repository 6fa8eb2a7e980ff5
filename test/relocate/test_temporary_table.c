// SPDX-License-Identifier: Apache-2.0
/** @file
 * Where a temporary table may lead to, asked of the method alone, and what is told if the flash cannot be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relocate/sr_relocation_methods.h"
#include "test/support/support_small.h"

#include "esp_flash.h"

#define PLACE 0x40000u /**< The only room. */

static nor_flash_t *flash;
static uint32_t reads, failing_read; /**< Number of the read that fails, from 1; 0: none. */

esp_err_t __real_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    return ++reads == failing_read ? ESP_ERR_TIMEOUT : __real_esp_flash_read(chip, buffer, address, length);
}

/* A factory app, and another app partition with something in it. */
static void open_chip(uint8_t subtype, uint8_t type, sr_system_t *system)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, SMALL_NVS, SMALL_NVS_SIZE, 0, "nvs"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SMALL_FACTORY, SMALL_SLOT_SIZE, 0, "factory"},
        {type, subtype, PLACE, SMALL_SLOT_SIZE, 0, "other"},
    };
    flash = small_flash_new(&(small_layout_t){.factory = true, .no_otadata = true});
    small_put_table(nor_flash_bytes(flash), entries, 3);
    small_app("1", nor_flash_bytes(flash) + SMALL_FACTORY);
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = SMALL_FACTORY, .quiet = true};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_system_read(system), ESP_OK);
}

static void close_chip(void)
{
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(flash);
}

/* Nobody wants it, but it holds something. */
static unsigned classify(void *context, uint32_t address)
{
    (void)context;
    return address >= PLACE && address < PLACE + SMALL_SLOT_SIZE ? sr_relocation_temporary_table.room : 0;
}

static esp_err_t propose(const sr_system_t *system, sr_relocation_t *place)
{
    const sr_relocation_request_t request = {.system = system, .classify = classify};
    const sr_relocation_method_t *method = &sr_relocation_temporary_table;
    *place = (sr_relocation_t){.method = method, .address = UINT32_MAX};
    reads = 0;
    return method->propose(method, &request, place);
}

/* An update writes over those as well; another app is not given up for it. */
static void slots_are_open_and_other_partitions_are_not(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, subtype;
        bool open;
    } cases[] = {{SR_PARTITION_TYPE_APP, 0x10, true},   {SR_PARTITION_TYPE_APP, 0x11, true},
                 {SR_PARTITION_TYPE_APP, 0x1F, true},   {SR_PARTITION_TYPE_APP, 0x20, false},
                 {SR_PARTITION_TYPE_DATA, 0x82, false}, {SR_PARTITION_TYPE_DATA, 0x10, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_system_t system;
        sr_relocation_t place;
        open_chip(cases[i].subtype, cases[i].type, &system);
        assert_int_equal(propose(&system, &place), ESP_OK);
        assert_int_equal(place.missing, cases[i].open ? 0 : SMALL_APP_SIZE);
        close_chip();
    }
}

/* Each read in turn: a place that nobody could look at is none, and why is told. */
static void what_cannot_be_read_is_told(void **state)
{
    (void)state;
    sr_system_t system;
    sr_relocation_t place;
    open_chip(0x11, SR_PARTITION_TYPE_APP, &system);
    assert_int_equal(propose(&system, &place), ESP_OK);
    assert_int_equal(place.address, PLACE);
    assert_false(place.rejected);
    const uint32_t made = reads;
    assert_true(made > 10);
    for (uint32_t number = 1; number <= made; number++) {
        failing_read = number;
        const esp_err_t err = propose(&system, &place);
        failing_read = 0;
        assert_int_equal(err, ESP_ERR_TIMEOUT);
        assert_int_equal(place.address, UINT32_MAX);
    }
    close_chip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_open_and_other_partitions_are_not),
        cmocka_unit_test(what_cannot_be_read_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
