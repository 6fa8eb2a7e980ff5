// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is read of eFuses: what is burnt, and that what is not burnt, or not to be read, counts as nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "port/sr_efuse.h"
#include "esp_efuse.h"
#include "sdkconfig.h"
#include "test/support/support_small.h"

static nor_flash_t *flash;
static boot_chip_t chip;

static bool unreadable; /**< Reads give what is burnt, and an error. */

esp_err_t __real_esp_efuse_read_block(esp_efuse_block_t blk, void *dst_key, size_t offset_in_bits, size_t size_bits);
esp_err_t __wrap_esp_efuse_read_block(esp_efuse_block_t blk, void *dst_key, size_t offset_in_bits, size_t size_bits);

esp_err_t __wrap_esp_efuse_read_block(esp_efuse_block_t blk, void *dst_key, size_t offset_in_bits, size_t size_bits)
{
    const esp_err_t err = __real_esp_efuse_read_block(blk, dst_key, offset_in_bits, size_bits);
    return unreadable ? ESP_FAIL : err;
}

esp_err_t __real_esp_efuse_read_field_blob(const esp_efuse_desc_t *field[], void *dst, size_t dst_size_bits);
esp_err_t __wrap_esp_efuse_read_field_blob(const esp_efuse_desc_t *field[], void *dst, size_t dst_size_bits);

esp_err_t __wrap_esp_efuse_read_field_blob(const esp_efuse_desc_t *field[], void *dst, size_t dst_size_bits)
{
    const esp_err_t err = __real_esp_efuse_read_field_blob(field, dst, dst_size_bits);
    return unreadable ? ESP_FAIL : err;
}

static int field_size; /**< Of all fields, in bits; 0: as the chip has them. */

int __real_esp_efuse_get_field_size(const esp_efuse_desc_t *field[]);
int __wrap_esp_efuse_get_field_size(const esp_efuse_desc_t *field[]);

int __wrap_esp_efuse_get_field_size(const esp_efuse_desc_t *field[])
{
    return field_size != 0 ? field_size : __real_esp_efuse_get_field_size(field);
}

static int open_chip(void **state)
{
    (void)state;
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    small_app("1", nor_flash_bytes(flash) + SMALL_SLOTS);
    chip = (boot_chip_t){.chip = sr_chip_by_name("esp32")};
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    nor_flash_delete(flash);
    return 0;
}

/* What the flash holds is that of an ESP32 in any case: the eFuses alone are asked here. */
static void attach(void)
{
    const sim_config_t config = {.chip = chip, .flash = flash, .running_app = SMALL_SLOTS, .quiet = true};
    assert_true(sim_chip_attach(&config));
}

static sr_secure_boot_keys_t read_keys(void)
{
    attach();
    const sr_secure_boot_keys_t keys = sr_efuse_keys(chip.chip);
    sim_chip_detach();
    return keys;
}

/* Each block for itself: a chip may have any of them, in any place. */
static void block_that_holds_nothing_is_not_burnt(void **state)
{
    (void)state;
    static const struct {
        bool readable;
        uint8_t at, is; /* One byte that is not zero. */
        bool burnt;
    } cases[] = {{true, 0, 0, false},    {true, 0, 1, true},  {true, 0, 0x80, true}, {true, 15, 1, true},
                 {true, 31, 0x80, true}, {true, 31, 1, true}, {false, 0, 1, false},  {false, 31, 0xFF, false}};
    for (unsigned number = 0; number < EFUSE_DIGEST_COUNT; number++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c3")};
            efuse_key_t *key = &chip.burnt.keys[number + i % 4];
            *key = (efuse_key_t){.purpose = (efuse_purpose_t)(EFUSE_PURPOSE_DIGEST_0 + number),
                                 .readable = cases[i].readable,
                                 .length = EFUSE_KEY_SIZE};
            key->bytes[cases[i].at] = cases[i].is;
            const sr_secure_boot_keys_t keys = read_keys();
            assert_int_equal(keys.count, EFUSE_DIGEST_COUNT);
            for (unsigned k = 0; k < EFUSE_DIGEST_COUNT; k++) {
                assert_int_equal(keys.list[k].burnt, k == number && cases[i].burnt);
                assert_false(keys.list[k].revoked);
            }
            if (cases[i].burnt) {
                assert_memory_equal(keys.list[number].digest, key->bytes, EFUSE_KEY_SIZE);
            }
        }
    }
}

/* The other half of the block is for Flash Encryption, and none of its bits makes a digest. */
static void half_a_block_is_half_a_digest(void **state)
{
    (void)state;
    chip.chip = sr_chip_by_name("esp32c2");
    efuse_key_t *key = &chip.burnt.keys[0];
    *key = (efuse_key_t){.purpose = EFUSE_PURPOSE_DIGEST_0, .readable = true, .length = EFUSE_KEY_SIZE / 2};
    chip.burnt.keys[1] = (efuse_key_t){.purpose = EFUSE_PURPOSE_DIGEST_1,
                                       .readable = true,
                                       .length = EFUSE_KEY_SIZE / 2,
                                       .bytes = {1}}; /* None of its. */
    for (unsigned i = 0; i <= EFUSE_KEY_SIZE; i++) {
        memset(key->bytes, 0, sizeof(key->bytes));
        if (i < EFUSE_KEY_SIZE) {
            key->bytes[i] = 0x10;
        }
        const sr_secure_boot_keys_t keys = read_keys();
        assert_int_equal(keys.digest_size, EFUSE_KEY_SIZE / 2);
        assert_int_equal(keys.list[0].burnt, i < EFUSE_KEY_SIZE / 2);
        assert_false(keys.list[1].burnt);
    }
}

static void key_that_is_revoked_says_so(void **state)
{
    (void)state;
    chip.chip = sr_chip_by_name("esp32s3");
    for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
        chip.burnt.keys[i] = (efuse_key_t){.purpose = (efuse_purpose_t)(EFUSE_PURPOSE_DIGEST_0 + i),
                                           .readable = true,
                                           .length = EFUSE_KEY_SIZE,
                                           .bytes = {1}};
    }
    for (unsigned set = 0; set < 1u << EFUSE_DIGEST_COUNT; set++) {
        for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
            chip.burnt.revoked[i] = (set >> i & 1u) != 0;
        }
        const sr_secure_boot_keys_t keys = read_keys();
        for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
            assert_true(keys.list[i].burnt);
            assert_int_equal(keys.list[i].revoked, set >> i & 1u);
        }
    }
}

/* On an ESP32 with both, the second version counts. */
static void each_version_of_secure_boot_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *chip;
        bool v1, v2;
        sr_image_secure_boot_t expected;
    } cases[] = {
        {"esp32", false, false, SR_IMAGE_SECURE_BOOT_OFF},   {"esp32", true, false, SR_IMAGE_SECURE_BOOT_V1},
        {"esp32", false, true, SR_IMAGE_SECURE_BOOT_V2},     {"esp32", true, true, SR_IMAGE_SECURE_BOOT_V2},
        {"esp32c3", false, false, SR_IMAGE_SECURE_BOOT_OFF}, {"esp32c3", false, true, SR_IMAGE_SECURE_BOOT_V2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        chip = (boot_chip_t){.chip = sr_chip_by_name(cases[i].chip),
                             .burnt = {.secure_boot_v1 = cases[i].v1, .secure_boot_v2 = cases[i].v2}};
        attach();
        assert_int_equal(sr_efuse_secure_boot(chip.chip), cases[i].expected);
        sim_chip_detach();
    }
}

/* All bits of the field burnt switch it off for good. */
static void place_of_a_recovery_bootloader_is_a_sector_but_the_first_and_the_last(void **state)
{
    (void)state;
    static const struct {
        uint32_t sector;
        bool is_one;
    } cases[] = {{0, false}, {1, true}, {2, true}, {0x800, true}, {0xFFE, true}, {0xFFF, false}};
    chip.chip = sr_chip_by_name("esp32c61");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        chip.recovery = cases[i].sector * SR_SECTOR_SIZE;
        attach();
        assert_true(boot_rom_knows_recovery(&chip));
        assert_int_equal(sr_efuse_recovery_offset(), cases[i].is_one ? chip.recovery : UINT32_MAX);
        sim_chip_detach();
    }
}

/* A version is the number of bits that are burnt; the ESP32 has no block revision. */
static void versions_and_revisions_are_those_of_the_chip(void **state)
{
    (void)state;
    for (unsigned version = 0; version <= 16; version++) {
        chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c3"),
                             .efuses = {.secure_version = (uint8_t)version,
                                        .block_revision = (uint16_t)(version % 4 * 100 + version % 8),
                                        .ignores_max_revision = version % 2 != 0,
                                        .ignores_max_block = version % 3 != 0}};
        attach();
        const sr_chip_efuses_t efuses = sr_efuse_read(chip.chip);
        assert_int_equal(efuses.secure_version, version);
        assert_int_equal(efuses.block_revision, chip.efuses.block_revision);
        assert_int_equal(efuses.ignores_max_revision, chip.efuses.ignores_max_revision);
        assert_int_equal(efuses.ignores_max_block, chip.efuses.ignores_max_block);
        assert_int_equal(sr_efuse_read(sr_chip_by_name("esp32")).block_revision, UINT16_MAX);
        sim_chip_detach();
    }
}

/* Where the ROM checks it: four bits. */
static void version_of_a_bootloader_is_that_of_the_chip(void **state)
{
    (void)state;
    for (unsigned version = 0; version <= 4; version++) {
        chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c61"),
                             .efuses = {.bootloader_version = (uint8_t)version, .secure_version = 7}};
        attach();
        assert_true(boot_rom_knows_version(&chip));
        assert_int_equal(sr_efuse_read(chip.chip).bootloader_version, version);
        assert_int_equal(sr_efuse_read(chip.chip).secure_version, 7);
        sim_chip_detach();
    }
}

/* Where the bootloader's usual place is burnt as that of the recovery bootloader, it tells nothing that the ROM started
 * it. */
static void recovery_bootloader_that_started_the_chip(void **state)
{
    (void)state;
    chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c61"), .recovery = 0x90000};
    for (unsigned recovered = 0; recovered < 2; recovered++) {
        const sim_config_t config = {
            .chip = chip, .flash = flash, .running_app = SMALL_SLOTS, .quiet = true, .recovered = recovered != 0};
        assert_true(sim_chip_attach(&config));
        assert_int_equal(sr_efuse_recovery_started(chip.recovery), recovered);
        assert_false(sr_efuse_recovery_started(chip.recovery + SR_SECTOR_SIZE));
        assert_false(sr_efuse_recovery_started(UINT32_MAX));
        assert_false(sr_efuse_recovery_started(CONFIG_BOOTLOADER_OFFSET_IN_FLASH));
        sim_chip_detach();
    }
}

/* What cannot be read counts as not burnt, whatever was in memory. */
static void what_cannot_be_read_counts_as_not_burnt(void **state)
{
    (void)state;
    chip = (boot_chip_t){
        .chip = sr_chip_by_name("esp32c61"),
        .recovery = 0x90000,
        .efuses = {.secure_version = 3, .bootloader_version = 2, .block_revision = 102},
        .burnt.keys[0] = {.purpose = EFUSE_PURPOSE_DIGEST_0, .readable = true, .length = EFUSE_KEY_SIZE, .bytes = {1}}};
    attach();
    unreadable = true;
    const sr_chip_efuses_t efuses = sr_efuse_read(chip.chip);
    const sr_secure_boot_keys_t keys = sr_efuse_keys(chip.chip);
    const uint32_t recovery = sr_efuse_recovery_offset();
    unreadable = false;
    sim_chip_detach();
    assert_int_equal(efuses.secure_version, 0);
    assert_int_equal(efuses.bootloader_version, 0);
    assert_int_equal(efuses.block_revision, 0);
    assert_false(keys.list[0].burnt);
    assert_int_equal(recovery, UINT32_MAX);
}

/* From one bit, as half of a version of the ESP32-C5 is, to those of a number. */
static void field_of_any_size_is_read_that_fits_a_number(void **state)
{
    (void)state;
    static const struct {
        int bits;
        uint8_t version;
    } cases[] = {{1, 1}, {2, 2}, {3, 3}, {4, 3}, {31, 3}, {32, 3}, {33, 0}, {64, 0}};
    chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c3"), .efuses = {.secure_version = 3}};
    attach();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        field_size = cases[i].bits;
        assert_int_equal(sr_efuse_read(chip.chip).secure_version, cases[i].version);
    }
    field_size = 0;
    sim_chip_detach();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(block_that_holds_nothing_is_not_burnt),
        TEST(half_a_block_is_half_a_digest),
        TEST(key_that_is_revoked_says_so),
        TEST(each_version_of_secure_boot_is_told),
        TEST(place_of_a_recovery_bootloader_is_a_sector_but_the_first_and_the_last),
        TEST(versions_and_revisions_are_those_of_the_chip),
        TEST(version_of_a_bootloader_is_that_of_the_chip),
        TEST(recovery_bootloader_that_started_the_chip),
        TEST(what_cannot_be_read_counts_as_not_burnt),
        TEST(field_of_any_size_is_read_that_fits_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
