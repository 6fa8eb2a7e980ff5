// SPDX-License-Identifier: Apache-2.0
// The commit window, measured on small rewrites whose window can be told by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make/dummy_image.h"
#include "sim/boot/boot_window.h"
#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLASH_SIZE     0x400000u
#define BOOTLOADER     0x1000u
#define TABLE          0x8000u
#define OTADATA        0xD000u
#define SLOT_0         0x10000u
#define SLOT_1         0x110000u
#define FREE_FLASH     0x300000u
#define OTADATA_LENGTH 32u

typedef struct fixture {
    nor_flash_t *flash;
    uint8_t *original; /**< Content before anything was done. */
    flash_record_t *record;
    boot_chip_t chip;
    const nor_timing_t *timing;
} fixture_t;

static void put_app(uint8_t *flash, uint32_t address, const char *version)
{
    size_t length = 0;
    dummy_image_app_t app = {
        .chip = sr_chip_by_name("esp32"),
        .spi_size = 2,
        .project_name = "window",
        .version = version,
        .code_size = 0x8000,
    };
    assert_int_equal(dummy_image_app(&app, flash + address, SLOT_1 - SLOT_0, &length), IMAGE_WRITE_OK);
}

/** ESP-IDF's bootloader and two apps, of which the first is selected. */
static void put_system(uint8_t *flash)
{
    static const sr_partition_table_entry_t table[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT_0, 0x100000, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT_1, 0x100000, 0, "ota_1"},
    };
    size_t length = 0;
    assert_int_equal(
        dummy_image_bootloader(sr_chip_by_name("esp32"), 2, flash + BOOTLOADER, TABLE - BOOTLOADER, &length),
        IMAGE_WRITE_OK);
    assert_int_equal(image_write_partition_table(table, 3, flash + TABLE), IMAGE_WRITE_OK);
    image_write_otadata(1, SR_OTA_VALID, flash + OTADATA);
    put_app(flash, SLOT_0, "1.0");
    put_app(flash, SLOT_1, "2.0");
}

static int set_up(void **state)
{
    fixture_t *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->timing = nor_timing_find(NULL);
    fixture->flash = nor_flash_new(FLASH_SIZE, fixture->timing);
    fixture->original = malloc(FLASH_SIZE);
    assert_non_null(fixture->flash);
    assert_non_null(fixture->original);
    fixture->chip.chip = sr_chip_by_name("esp32");
    put_system(nor_flash_bytes(fixture->flash));
    memcpy(fixture->original, nor_flash_view(fixture->flash), FLASH_SIZE);
    fixture->record = flash_record_new(fixture->flash);
    assert_non_null(fixture->record);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *fixture = *state;
    flash_record_delete(fixture->record);
    nor_flash_delete(fixture->flash);
    free(fixture->original);
    free(fixture);
    return 0;
}

static boot_window_t measure(const fixture_t *fixture)
{
    boot_window_t window;
    assert_true(boot_window_measure(fixture->record, &fixture->chip, NULL, &window, NULL));
    return window;
}

static void erase(const fixture_t *fixture, uint32_t address)
{
    assert_int_equal(nor_erase(fixture->flash, address, SR_SECTOR_SIZE), NOR_OK);
}

static void program(const fixture_t *fixture, uint32_t address, const uint8_t *bytes, size_t length)
{
    assert_int_equal(nor_program(fixture->flash, address, bytes, length), NOR_OK);
}

static void assert_window(const fixture_t *fixture, const boot_window_t *window, uint32_t erases, uint32_t pages)
{
    const nor_timing_t *timing = fixture->timing;
    assert_int_equal(window->operations, erases + pages);
    assert_int_equal(window->typical_us,
                     erases * timing->sector_erase_typical_us + pages * timing->page_program_typical_us);
    assert_int_equal(window->maximum_us,
                     erases * timing->sector_erase_maximum_us + pages * timing->page_program_maximum_us);
}

static void nothing_done_has_no_window(void **state)
{
    boot_window_t window = measure(*state);
    assert_window(*state, &window, 0, 0);
    assert_int_equal(window.sectors_programmed, 0);
}

static void free_flash_is_outside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, FREE_FLASH);
    program(fixture, FREE_FLASH + 0xF80, fixture->original + SLOT_0, 0x100);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
    assert_int_equal(window.sectors_programmed, 2); // the program crosses into the next sector
}

static void the_other_slot_is_outside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, SLOT_1);
    program(fixture, SLOT_1, fixture->original + SLOT_1, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
}

static void a_rewritten_bootloader_sector_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, FREE_FLASH);
    erase(fixture, BOOTLOADER);
    program(fixture, BOOTLOADER, fixture->original + BOOTLOADER, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_int_equal(window.first_operation, 1);
    assert_int_equal(window.sectors_programmed, 1);
    // the last pages count as well, since the sector holds nothing that is blank
    assert_window(fixture, &window, 1, SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

static void a_rewritten_table_is_inside_up_to_its_last_entry(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, TABLE);
    program(fixture, TABLE, fixture->original + TABLE, SR_PARTITION_TABLE_SIZE);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, 1);
}

static void otadata_is_switched_without_a_window(void **state)
{
    const fixture_t *fixture = *state;
    uint8_t entry[OTADATA_LENGTH];
    sr_otadata_encode(2, SR_OTA_VALID, entry);
    erase(fixture, OTADATA + SR_SECTOR_SIZE);
    program(fixture, OTADATA + SR_SECTOR_SIZE, entry, sizeof(entry));
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
    assert_true(window.states_booted > 2); // the boot model was run
}

/** The mask ROM's checksum is an XOR: the same bit cleared in two bytes of a column goes unnoticed. */
static void a_corrupt_bootloader_that_starts_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    uint32_t data = BOOTLOADER + SR_IMAGE_HEADER_SIZE + 8 + 0x80; // first segment, after its descriptor
    uint32_t found = 0;
    uint32_t at[2] = {0};
    for (uint32_t i = data; i < BOOTLOADER + SR_SECTOR_SIZE / 2 && found < 2; i++) {
        if (fixture->original[i] & 1) {
            at[found++] = i;
        }
    }
    assert_int_equal(found, 2);
    uint8_t torn[SR_PAGE_SIZE];
    uint32_t length = at[1] - at[0] + 1;
    assert_true(length <= sizeof(torn));
    memcpy(torn, fixture->original + at[0], length);
    torn[0] &= 0xFE;
    torn[length - 1] &= 0xFE;
    program(fixture, at[0], torn, length);
    uint8_t *copy = malloc(FLASH_SIZE);
    boot_result_t result;
    memcpy(copy, nor_flash_view(fixture->flash), FLASH_SIZE);
    boot_run(&fixture->chip, copy, FLASH_SIZE, NULL, NULL, &result);
    free(copy);
    assert_true(boot_succeeds(&result));

    uint32_t pages = nor_flash_stats(fixture->flash).page_programs;
    erase(fixture, FREE_FLASH); // in the window too: the chip must not lose power now
    erase(fixture, BOOTLOADER);
    program(fixture, BOOTLOADER, fixture->original + BOOTLOADER, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_int_equal(window.first_operation, 0);
    assert_window(fixture, &window, 2, pages + SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

static void a_system_that_does_not_boot_at_the_end_stays_inside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, FREE_FLASH);
    erase(fixture, BOOTLOADER);
    erase(fixture, FREE_FLASH);
    boot_window_t window = measure(fixture);
    assert_int_equal(window.first_operation, 1);
    assert_window(fixture, &window, 2, 0);
}

static void the_new_app_counts_as_intended(void **state)
{
    const fixture_t *fixture = *state;
    uint8_t entry[OTADATA_LENGTH];
    sr_otadata_encode(2, SR_OTA_VALID, entry);
    program(fixture, OTADATA + SR_SECTOR_SIZE, entry, sizeof(entry));
    erase(fixture, SLOT_0); // the old app: it does not run any more
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
}

static void the_running_app_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    // without the other app, which the bootloader would fall back to
    memset(nor_flash_bytes(fixture->flash) + SLOT_1, 0xFF, SR_SECTOR_SIZE);
    flash_record_delete(fixture->record);
    ((fixture_t *)*state)->record = flash_record_new(fixture->flash);
    erase(fixture, SLOT_0);
    program(fixture, SLOT_0, fixture->original + SLOT_0, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

static void operations_of_other_processes_are_recorded(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, BOOTLOADER);
    pid_t child = fork();
    if (child == 0) {
        // what a bootloader writes is no operation, but later boots see it
        uint8_t *booted = flash_memory_new(nor_flash_size(fixture->flash));
        memcpy(booted, nor_flash_view(fixture->flash), nor_flash_size(fixture->flash));
        sr_otadata_encode(2, SR_OTA_VALID, booted + OTADATA + SR_SECTOR_SIZE);
        nor_flash_load(fixture->flash, booted);
        free(booted);
        _exit((int)nor_program(fixture->flash, BOOTLOADER, fixture->original + BOOTLOADER, SR_SECTOR_SIZE));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    erase(fixture, SLOT_0); // not in the window: by now the other app boots
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

#define WINDOW_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WINDOW_TEST(nothing_done_has_no_window),
        WINDOW_TEST(free_flash_is_outside),
        WINDOW_TEST(the_other_slot_is_outside),
        WINDOW_TEST(a_rewritten_bootloader_sector_is_inside),
        WINDOW_TEST(a_rewritten_table_is_inside_up_to_its_last_entry),
        WINDOW_TEST(otadata_is_switched_without_a_window),
        WINDOW_TEST(a_corrupt_bootloader_that_starts_is_inside),
        WINDOW_TEST(a_system_that_does_not_boot_at_the_end_stays_inside),
        WINDOW_TEST(the_new_app_counts_as_intended),
        WINDOW_TEST(the_running_app_is_inside),
        WINDOW_TEST(operations_of_other_processes_are_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
