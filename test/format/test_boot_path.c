// SPDX-License-Identifier: Apache-2.0
#include "format/sr_boot_path.h"

#include "make/dummy_image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/support_reader.h"

#define FLASH_SIZE (1u << 20)

static uint8_t flash[FLASH_SIZE];
static memory_t memory;

static sr_boot_path_t find(const char *chip, sr_region_t otadata, sr_region_t app)
{
    sr_boot_path_t path;
    const sr_reader_t reader = memory_reader(&memory, flash, FLASH_SIZE);
    sr_boot_path_find(&reader, sr_chip_by_name(chip), 0x8000, otadata, app, &path);
    return path;
}

static size_t put_bootloader(const char *name)
{
    size_t length = 0;
    const sr_chip_t *chip = sr_chip_by_name(name);
    memset(flash, 0xFF, FLASH_SIZE);
    assert_int_equal(
        dummy_image_bootloader(chip, 2, flash + chip->bootloader_offset, 0x8000 - chip->bootloader_offset, &length),
        IMAGE_WRITE_OK);
    return length;
}

static void a_bootloader_counts_at_its_true_length(void **state)
{
    (void)state;
    const size_t length = put_bootloader("esp32");
    const sr_boot_path_t path = find("esp32", (sr_region_t){0xE000, 0x2000}, (sr_region_t){0});
    assert_int_equal(path.bootloader.address, 0x1000);
    assert_int_equal(path.bootloader.size, sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE));
    assert_int_equal(path.table.address, 0x8000);
    assert_int_equal(path.table.size, 0x1000);
    assert_int_equal(path.otadata.address, 0xE000);
    assert_int_equal(path.running_app.size, 0);

    (void)put_bootloader("esp32c3");
    assert_int_equal(find("esp32c3", (sr_region_t){0}, (sr_region_t){0}).bootloader.address, 0);
}

static void what_cannot_be_read_is_taken_at_its_largest(void **state)
{
    (void)state;
    memset(flash, 0xFF, FLASH_SIZE);
    const sr_boot_path_t path = find("esp32", (sr_region_t){0}, (sr_region_t){0x10000, 0x20000});
    assert_int_equal(path.bootloader.size, 0x7000);
    assert_int_equal(path.running_app.size, 0x20000);
}

static void the_running_app_counts_at_its_true_length(void **state)
{
    (void)state;
    size_t length = 0;
    (void)put_bootloader("esp32");
    const dummy_image_app_t app = {
        .chip = sr_chip_by_name("esp32"), .spi_size = 2, .project_name = "app", .version = "1", .code_size = 0x3000};
    assert_int_equal(dummy_image_app(&app, flash + 0x20000, 0x80000, &length), IMAGE_WRITE_OK);
    const sr_boot_path_t path = find("esp32", (sr_region_t){0}, (sr_region_t){0x20000, 0x80000});
    assert_int_equal(path.running_app.address, 0x20000);
    assert_int_equal(path.running_app.size, sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE));
}

static void a_signature_block_belongs_to_the_bootloader(void **state)
{
    (void)state;
    const size_t length = put_bootloader("esp32s3");
    const uint32_t end = (uint32_t)sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE);
    memset(flash + end, 0, 0x1000);
    flash[end] = 0xE7;
    flash[end + 1] = 0x02;
    assert_int_equal(find("esp32s3", (sr_region_t){0}, (sr_region_t){0}).bootloader.size, end + 0x1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bootloader_counts_at_its_true_length),
        cmocka_unit_test(what_cannot_be_read_is_taken_at_its_largest),
        cmocka_unit_test(the_running_app_counts_at_its_true_length),
        cmocka_unit_test(a_signature_block_belongs_to_the_bootloader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
