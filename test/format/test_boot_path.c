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

/* A table may let a partition end inside a sector; what is programmed and erased are whole ones. */
static void partitions_count_in_whole_sectors(void **state)
{
    (void)state;
    memset(flash, 0xFF, FLASH_SIZE);
    static const uint32_t sizes[] = {0, 1, 2, 0xFFF, 0x1000, 0x1001, 0x1FFF, 0x2000, 0x2001};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const uint32_t size = sizes[i];
        const uint32_t whole = (size + 0xFFF) / 0x1000 * 0x1000;
        const sr_boot_path_t path = find("esp32", (sr_region_t){0xE000, size}, (sr_region_t){0x10000, size});
        assert_int_equal(path.otadata.size, whole);
        assert_int_equal(path.running_app.address, 0x10000);
        assert_int_equal(path.running_app.size, whole);
    }
}

/** The image that @p bytes of its partition show, and its length. */
static sr_region_t image_of(uint32_t code_size, bool is_signed, uint32_t room, size_t *length)
{
    const sr_reader_t reader = memory_reader(&memory, flash, FLASH_SIZE);
    const dummy_image_app_t app = {
        .chip = sr_chip_by_name("esp32"), .spi_size = 2, .project_name = "app", .version = "1", .code_size = code_size};
    memset(flash + 0x20000, 0xFF, 0x10000);
    assert_int_equal(dummy_image_app(&app, flash + 0x20000, 0x80000, length), IMAGE_WRITE_OK);
    const uint32_t end = 0x20000 + (uint32_t)sr_region_align_up((uint32_t)*length, SR_SECTOR_SIZE);
    memcpy(flash + end, is_signed ? "\xE7\x02" : "\xFF\xFF", 2);
    return sr_boot_path_image(&reader, (sr_region_t){0x20000, room});
}

static void an_image_ends_with_its_last_sector_and_signature_or_with_its_room(void **state)
{
    (void)state;
    size_t length = 0;
    (void)image_of(0x3000, false, 0x80000, &length);
    const uint32_t sectors = (uint32_t)sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE);
    const uint32_t rest = sectors - (uint32_t)length;
    for (uint32_t step = 0; step <= 0x40; step += 4) { // code up to the end of the sector, and past it
        const uint32_t code = 0x3000 + (rest & ~3u) - 0x20 + step;
        const sr_region_t image = image_of(code, false, 0x80000, &length);
        assert_int_equal(image.address, 0x20000);
        assert_int_equal(image.size, (length + 0xFFF) / 0x1000 * 0x1000);
        assert_int_equal(image_of(code, true, 0x80000, &length).size, image.size + 0x1000);
        assert_int_equal(image_of(code, true, image.size + 0x1000, &length).size, image.size + 0x1000);
        assert_int_equal(image_of(code, true, image.size + 0xFFF, &length).size, image.size + 0x1000);
        assert_int_equal(image_of(code, true, image.size, &length).size, image.size);
        assert_int_equal(image_of(code, false, (uint32_t)length, &length).size, image.size);
    }
}

static void nothing_else_is_on_the_path(void **state)
{
    (void)state;
    (void)put_bootloader("esp32");
    sr_boot_path_t path;
    memset(&path, 0x55, sizeof(path));
    const sr_reader_t reader = memory_reader(&memory, flash, FLASH_SIZE);
    sr_boot_path_find(&reader, sr_chip_by_name("esp32"), 0x9000, (sr_region_t){0}, (sr_region_t){0}, &path);
    assert_int_equal(path.table.address, 0x9000);
    assert_int_equal(path.table.size, 0x1000);
    const sr_region_t none[] = {path.otadata, path.digest, path.recovery, path.running_app};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(none[i].address, 0);
        assert_int_equal(none[i].size, 0);
    }
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
        cmocka_unit_test(partitions_count_in_whole_sectors),
        cmocka_unit_test(an_image_ends_with_its_last_sector_and_signature_or_with_its_room),
        cmocka_unit_test(nothing_else_is_on_the_path),
        cmocka_unit_test(a_signature_block_belongs_to_the_bootloader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
