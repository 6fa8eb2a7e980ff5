// SPDX-License-Identifier: Apache-2.0
/** @file
 * A flash of 32 MiB: the running app goes past 16 MiB only if it is known to run there.
 */
#include "make/dummy_image.h"
#include "make/image_writer.h"
#include "relocate/sr_relocation_methods.h"
#include "sim/chip/sim_chip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FLASH_SIZE (32u << 20)
#define OTADATA    0xE000u
#define LOW        0x10000u
#define HIGH       0x1010000u
#define SLOT_SIZE  0x100000u

static nor_flash_t *flash;
static sr_system_t today;

static int setup(void **state)
{
    (void)state;
    flash = nor_flash_new(FLASH_SIZE, nor_timing_find(NULL));
    assert_non_null(flash);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_chip_detach();
    nor_flash_delete(flash);
    return 0;
}

/** An app runs at @p app; a second slot lies at @p other. */
static void open_chip(const char *name, uint32_t app, uint32_t other)
{
    const sr_chip_t *chip = sr_chip_by_name(name);
    const dummy_image_app_t spec = {
        .chip = chip, .spi_size = 5, .project_name = "app", .version = "1", .code_size = 0x1000};
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, 0x10, app, SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, 0x11, other, SLOT_SIZE, 0, "ota_1"},
        {SR_PARTITION_TYPE_DATA, 0x82, 0x200000, 0xE00000, 0, "files"},
    };
    uint8_t *bytes = nor_flash_bytes(flash);
    size_t length;
    memset(bytes, 0xFF, FLASH_SIZE);
    assert_int_equal(dummy_image_bootloader(chip, 5, bytes + chip->bootloader_offset, 0x6000, &length), IMAGE_WRITE_OK);
    assert_int_equal(image_write_partition_table(entries, 4, bytes + SR_PARTITION_TABLE_OFFSET), IMAGE_WRITE_OK);
    image_write_otadata(1, SR_OTA_VALID, bytes + OTADATA);
    assert_int_equal(dummy_image_app(&spec, bytes + app, SLOT_SIZE, &length), IMAGE_WRITE_OK);
    const sim_config_t config = {.chip = {.chip = chip}, .flash = flash, .running_app = app, .quiet = true};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_system_read(&today), ESP_OK);
    assert_int_equal(today.flash.size, FLASH_SIZE);
}

static unsigned allow(void *context, uint32_t address)
{
    (void)context;
    (void)address;
    return sr_relocation_slot.room;
}

static void the_other_slot(void **state)
{
    (void)state;
    static const struct {
        const char *chip;
        uint32_t app, other;
        bool taken;
    } cases[] = {
        {"esp32", LOW, 0x110000, true},
        {"esp32", LOW, HIGH, false},
        {"esp32s3", LOW, 0x110000, true},
        {"esp32s3", LOW, HIGH, false},             /* It depends on its bootloader, and nobody knows. */
        {"esp32s3", HIGH, HIGH + SLOT_SIZE, true}, /* Its bootloader can. */
        {"esp32s3", HIGH, LOW, true},
        {"esp32", LOW, 0xFF0000, false}, /* Ends past it. */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_relocation_t proposal = {.address = UINT32_MAX};
        const sr_relocation_request_t request = {.system = &today, .classify = allow};
        open_chip(cases[i].chip, cases[i].app, cases[i].other);
        assert_int_equal(sr_relocation_slot.propose(&sr_relocation_slot, &request, &proposal), ESP_OK);
        assert_int_equal(proposal.slot != NULL ? proposal.slot->address : 0, cases[i].taken ? cases[i].other : 0);
    }
}

static unsigned not_below(void *context, uint32_t address)
{
    const uint32_t *from = context;
    return address < *from ? 0 : sr_relocation_temporary_table.room;
}

/* All of the first 16 MiB is taken, so the first room lies past it. */
static void free_flash(void **state)
{
    (void)state;
    uint32_t from = 0x1000000;
    const sr_relocation_method_t *way = &sr_relocation_temporary_table;
    const sr_relocation_request_t request = {.system = &today, .classify = not_below, .context = &from};
    open_chip("esp32s3", LOW, 0x110000);
    sr_relocation_t place = {.address = UINT32_MAX};
    assert_int_equal(way->propose(way, &request, &place), ESP_OK);
    assert_int_equal(place.address, UINT32_MAX);
    assert_int_equal(place.missing, today.boot_path.running_app.size);
    open_chip("esp32s3", HIGH, 0x110000);
    assert_int_equal(way->propose(way, &request, &place), ESP_OK);
    assert_true(place.address >= from && place.address != UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_other_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(free_flash, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
