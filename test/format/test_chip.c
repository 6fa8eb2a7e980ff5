// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_chip.h"

static void facts_of_each_chip(void **state)
{
    (void)state;
    static const sr_chip_t expected[] = {
        {"esp32", "ESP32", 0, 0x1000, 4, false, 80000, false, false, false, 0, false, 32, true, false},
        {"esp32s2", "ESP32-S2", 2, 0x1000, 7, false, 80000, false, false, true, 0, false, 64, false, false},
        {"esp32c3", "ESP32-C3", 5, 0x0, 4, false, 80000, false, true, true, 0, false, 32, false, false},
        {"esp32s3", "ESP32-S3", 9, 0x0, 7, true, 80000, false, true, true, 0, false, 64, false, false},
        {"esp32c2", "ESP32-C2", 12, 0x0, 4, false, 60000, false, false, true, 0, false, 32, true, true},
        {"esp32c6", "ESP32-C6", 13, 0x0, 4, false, 80000, true, false, true, 0, false, 64, false, false},
        {"esp32h2", "ESP32-H2", 16, 0x0, 4, false, 48000, false, false, true, 0, false, 64, false, false},
        {"esp32p4", "ESP32-P4", 18, 0x2000, 4, true, 80000, false, false, true, 300, false, 64, false, false},
        {"esp32c61", "ESP32-C61", 20, 0x0, 4, true, 80000, false, false, true, 100, true, 64, false, false},
        {"esp32c5", "ESP32-C5", 23, 0x2000, 4, true, 80000, false, false, true, 100, true, 64, false, false},
    };
    const unsigned count = sizeof(expected) / sizeof(expected[0]);
    for (unsigned i = 0; i < count; i++) {
        const sr_chip_t *chip = sr_chip_by_name(expected[i].name);
        assert_non_null(chip);
        assert_string_equal(chip->name, expected[i].name);
        assert_string_equal(chip->family, expected[i].family);
        assert_int_equal(chip->image_chip_id, expected[i].image_chip_id);
        assert_int_equal(chip->bootloader_offset, expected[i].bootloader_offset);
        assert_int_equal(chip->last_size_code, expected[i].last_size_code);
        assert_int_equal(chip->maps_past_16_mib, expected[i].maps_past_16_mib);
        assert_int_equal(chip->flash_clock_khz, expected[i].flash_clock_khz);
        assert_int_equal(chip->clock_code_0_is_full, expected[i].clock_code_0_is_full);
        assert_int_equal(chip->old_revision_is_minor, expected[i].old_revision_is_minor);
        assert_int_equal(chip->has_block_revision, expected[i].has_block_revision);
        assert_int_equal(chip->recovery_revision, expected[i].recovery_revision);
        assert_int_equal(chip->rom_checks_version, expected[i].rom_checks_version);
        assert_int_equal(chip->encryption_row, expected[i].encryption_row);
        assert_int_equal(chip->one_boot_key, expected[i].one_boot_key);
        assert_int_equal(chip->half_boot_key, expected[i].half_boot_key);
        assert_ptr_equal(sr_chip_by_name(expected[i].family), chip);
        assert_ptr_equal(sr_chip_by_id(expected[i].image_chip_id), chip);
        assert_non_null(sr_chip_at(i));
    }
    assert_null(sr_chip_at(count));
    assert_null(sr_chip_at(UINT32_MAX));
}

static void case_of_a_name_is_ignored(void **state)
{
    (void)state;
    assert_ptr_equal(sr_chip_by_name("Esp32C3"), sr_chip_by_id(5));
    assert_ptr_equal(sr_chip_by_name("esp32-c61"), sr_chip_by_id(20));
}

static void unknown_names_and_ids_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"",       "esp3",     "esp32c",    "esp32c33", "ESP8266",
                                        "esp32 ", "ESP32{C3", "esp32\rc3", "ESP32_C3"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_null(sr_chip_by_name(names[i]));
    }
    assert_null(sr_chip_by_id(1));
    assert_null(sr_chip_by_id(0xFFFF));
}

static void clock_of_the_flash(void **state)
{
    (void)state;
    // For the numbers 0, 1, 2 and 15, in kHz: the tables of esptool.
    static const struct {
        const char *chip;
        uint32_t khz[4];
    } expected[] = {
        {"esp32", {40000, 26666, 20000, 80000}},    {"esp32s2", {40000, 26666, 20000, 80000}},
        {"esp32c3", {40000, 26666, 20000, 80000}},  {"esp32s3", {40000, 26666, 20000, 80000}},
        {"esp32c2", {30000, 20000, 15000, 60000}},  {"esp32c6", {80000, 26666, 20000, 0}},
        {"esp32h2", {24000, 16000, 12000, 48000}},  {"esp32p4", {40000, 26666, 20000, 80000}},
        {"esp32c61", {40000, 26666, 20000, 80000}}, {"esp32c5", {40000, 26666, 20000, 80000}},
    };
    static const uint8_t numbers[] = {0, 1, 2, 15};
    for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const sr_chip_t *chip = sr_chip_by_name(expected[i].chip);
        assert_non_null(chip);
        for (unsigned k = 0; k < 4; k++) {
            assert_int_equal(sr_chip_flash_khz(chip, numbers[k]), expected[i].khz[k]);
        }
        for (uint8_t number = 3; number < 15; number++) {
            assert_int_equal(sr_chip_flash_khz(chip, number), 0);
        }
    }
}

static void names_of_sizes(void **state)
{
    (void)state;
    static const char *const names[] = {"1MB", "2MB", "4MB", "8MB", "16MB", "32MB", "64MB", "128MB"};
    for (uint8_t code = 0; code < 8; code++) {
        assert_string_equal(sr_chip_size_name(code), names[code]);
    }
    for (unsigned code = 8; code < 16; code++) {
        assert_null(sr_chip_size_name((uint8_t)code));
    }
}

/* All know up to 16 MiB; past it, that is what a bootloader's messages tell, and the chip only where there are none. */
static void size_of_the_flash_by_code_and_messages(void **state)
{
    (void)state;
    static const struct {
        const char *chip;
        uint8_t last_silent; /**< Largest code that a bootloader without messages knows. */
    } cases[] = {{"esp32", 4}, {"esp32s2", 7}, {"esp32s3", 7}, {"esp32c3", 4}, {"esp32p4", 4}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sr_chip_t *chip = sr_chip_by_name(cases[i].chip);
        for (uint8_t code = 0; code < 16; code++) {
            const uint32_t size = code < 8 ? 1u << (20 + code) : 0x200000;
            assert_int_equal(sr_chip_flash_size(chip, code, SR_CHIP_SIZE_NAMED), size);
            assert_int_equal(sr_chip_flash_size(chip, code, SR_CHIP_SIZE_NOT_NAMED), code <= 4 ? size : 0x200000);
            assert_int_equal(sr_chip_flash_size(chip, code, SR_CHIP_SIZE_NO_WORD),
                             code <= cases[i].last_silent ? size : 0x200000);
        }
    }
}

static void apps_past_16_mib_are_out_of_reach_of_some(void **state)
{
    (void)state;
    const sr_chip_t *esp32 = sr_chip_by_name("esp32");
    const sr_chip_t *esp32s3 = sr_chip_by_name("esp32s3");
    for (uint32_t length = 0xFFFF; length <= 0x10001; length++) {
        assert_int_equal(sr_chip_out_of_reach(esp32, 0xFF0000, length), length > 0x10000);
        assert_false(sr_chip_out_of_reach(esp32s3, 0xFF0000, length));
    }
    assert_true(sr_chip_out_of_reach(esp32, 0xFFFFF000, 0x1000)); // the sum wraps around
    assert_true(sr_chip_out_of_reach(esp32, 0x1000, UINT32_MAX));
}

/* The old field counts minor revisions on ESP32-C3 and S3, major ones elsewhere; the new one counts where it is set. */
static void minimum_revision_by_both_fields(void **state)
{
    (void)state;
    assert_int_equal(sr_chip_minimum_revision(sr_chip_by_name("esp32"), 3, 0), 300);
    assert_int_equal(sr_chip_minimum_revision(sr_chip_by_name("esp32c3"), 3, 0), 3);
    assert_int_equal(sr_chip_minimum_revision(sr_chip_by_name("esp32s3"), 2, 0), 2);
    assert_int_equal(sr_chip_minimum_revision(sr_chip_by_name("esp32c3"), 3, 4), 4);
    assert_int_equal(sr_chip_minimum_revision(sr_chip_by_name("esp32"), 1, 301), 301);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_of_each_chip),
        cmocka_unit_test(case_of_a_name_is_ignored),
        cmocka_unit_test(unknown_names_and_ids_are_refused),
        cmocka_unit_test(clock_of_the_flash),
        cmocka_unit_test(names_of_sizes),
        cmocka_unit_test(size_of_the_flash_by_code_and_messages),
        cmocka_unit_test(apps_past_16_mib_are_out_of_reach_of_some),
        cmocka_unit_test(minimum_revision_by_both_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
