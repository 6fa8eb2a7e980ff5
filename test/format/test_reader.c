// SPDX-License-Identifier: Apache-2.0
#include "format/sr_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int read_bytes(void *context, uint32_t offset, void *buffer, size_t length)
{
    memcpy(buffer, (const uint8_t *)context + offset, length);
    return 0;
}

static int read_fails(void *context, uint32_t offset, void *buffer, size_t length)
{
    (void)context, (void)offset, (void)buffer, (void)length;
    return -7;
}

static void a_window_is_cut_at_the_end_of_its_base(void **state)
{
    (void)state;
    uint8_t bytes[] = "0123456789";
    const sr_reader_t base = {.context = bytes, .read = read_bytes, .size = 10};
    sr_reader_window_t window;
    char out[4] = "";

    sr_reader_t part = sr_reader_window(&window, &base, 3, 4);
    assert_int_equal(part.size, 4);
    assert_int_equal(part.read(part.context, 1, out, 3), 0);
    assert_string_equal(out, "456");

    assert_int_equal(sr_reader_window(&window, &base, 8, UINT32_MAX).size, 2);
    assert_int_equal(sr_reader_window(&window, &base, UINT32_MAX, UINT32_MAX).size, 0);
}

static void an_overlay_shows_flash_image_and_blank_in_any_split(void **state)
{
    (void)state;
    uint8_t flash_bytes[64];
    uint8_t image_bytes[10];
    uint8_t expected[64];
    memset(flash_bytes, 'f', sizeof(flash_bytes));
    memset(image_bytes, 'i', sizeof(image_bytes));
    memset(expected, 'f', sizeof(expected));
    memset(expected + 20, 'i', 10);
    memset(expected + 30, 0xFF, 6);
    const sr_reader_t flash = {.context = flash_bytes, .read = read_bytes, .size = 64};
    const sr_reader_t image = {.context = image_bytes, .read = read_bytes, .size = 10};
    sr_reader_overlay_t overlay = {.flash = &flash, .image = &image, .destination = {20, 16}};
    const sr_reader_t result = sr_reader_overlay(&overlay);

    assert_int_equal(result.size, 64);
    for (uint32_t start = 0; start < 64; start++) {
        for (uint32_t length = 0; length <= 64 - start; length++) {
            uint8_t out[64];
            assert_int_equal(result.read(result.context, start, out, length), 0);
            assert_memory_equal(out, expected + start, length);
        }
    }
}

static void bytes_in_memory_are_read(void **state)
{
    (void)state;
    const sr_reader_t reader = sr_reader_memory((const uint8_t *)"0123456789", 10);
    char out[5] = "";
    assert_int_equal(reader.size, 10);
    assert_int_equal(reader.read(reader.context, 6, out, 4), 0);
    assert_string_equal(out, "6789");
}

/* Where the image fills its destination nothing is blank, and one that is larger goes on over what follows. */
static void an_overlay_may_have_no_blank_part(void **state)
{
    (void)state;
    uint8_t flash_bytes[32];
    uint8_t image_bytes[10];
    uint8_t out[32];
    memset(flash_bytes, 'f', sizeof(flash_bytes));
    memset(image_bytes, 'i', sizeof(image_bytes));
    const sr_reader_t flash = {.context = flash_bytes, .read = read_bytes, .size = 32};
    const sr_reader_t image = {.context = image_bytes, .read = read_bytes, .size = 10};
    for (uint32_t size = 9; size <= 11; size++) {
        sr_reader_overlay_t overlay = {.flash = &flash, .image = &image, .destination = {0, size}};
        const sr_reader_t result = sr_reader_overlay(&overlay);
        uint8_t expected[32];
        memset(expected, 'f', sizeof(expected));
        memset(expected, 0xFF, size);
        memset(expected, 'i', 10);
        assert_int_equal(result.read(result.context, 0, out, 32), 0);
        assert_memory_equal(out, expected, 32);
    }
}

static void an_error_below_comes_up_unchanged(void **state)
{
    (void)state;
    uint8_t bytes[16] = {0};
    const sr_reader_t good = {.context = bytes, .read = read_bytes, .size = 16};
    const sr_reader_t bad = {.read = read_fails, .size = 8};
    sr_reader_overlay_t overlay = {.flash = &good, .image = &bad, .destination = {4, 8}};
    const sr_reader_t result = sr_reader_overlay(&overlay);
    uint8_t out[16];

    assert_int_equal(result.read(result.context, 0, out, 4), 0);
    assert_int_equal(result.read(result.context, 0, out, 5), -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_is_cut_at_the_end_of_its_base),
        cmocka_unit_test(an_overlay_shows_flash_image_and_blank_in_any_split),
        cmocka_unit_test(bytes_in_memory_are_read),
        cmocka_unit_test(an_overlay_may_have_no_blank_part),
        cmocka_unit_test(an_error_below_comes_up_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
