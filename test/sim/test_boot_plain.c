// SPDX-License-Identifier: Apache-2.0
/** @file
 * A flash that the chip encrypts, as its system sees it: what is shown of it by its own layout and by another one, and
 * what the cells hold after something was written. Compared block by block with what this test says of each.
 */
#include "make/image_writer.h"
#include "sim/boot/boot_plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECTOR 0x1000u
#define SIZE   0x20000u
#define TABLE  0x8000u
#define SLOT   0x10000u /* With an image of three sectors, of which the second is blank. */
#define IMAGE  0x3000u
#define EMPTY  0x1A000u /* A slot without one. */
#define BLOCK  16u

static const sr_partition_table_entry_t entries[] = {
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SLOT, 0x4000, 0, "app"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, 0x14000, 0x2000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0x16000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_DATA, 0x99, 0x18000, 0x2000, SR_PARTITION_FLAG_ENCRYPTED, "data"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_TEST, EMPTY, 0x2000, 0, "test"},
};
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

/* One sector more than the flash has, which nobody may touch. */
static uint8_t plain[SIZE + SECTOR], flash[SIZE + SECTOR], view[SIZE + SECTOR], expected[SIZE + SECTOR];
static flash_cipher_t *cipher;
static boot_chip_t chip;
static boot_plain_layout_t layout;

/** What the chip encrypts by the layout of this test. */
static bool encrypts(uint32_t address)
{
    return address < TABLE + SECTOR || (address >= SLOT && address < 0x14000) ||
           (address >= 0x16000 && address < EMPTY + 0x2000);
}

static bool is_blank(const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        if (bytes[i] != 0xFF) {
            return false;
        }
    }
    return true;
}

static void put_image(uint8_t *out)
{
    static uint8_t data[IMAGE - 24 - 8 - 16];
    for (uint32_t i = 0; i < sizeof(data); i++) {
        const uint32_t at = i + 24 + 8;
        data[i] = at >= SECTOR && at < 2 * SECTOR ? 0xFF : (uint8_t)(i * 3 + 1);
    }
    const image_write_segment_t segment = {.load_address = 0x40380000, .data = data, .length = sizeof(data)};
    const image_write_esp_t spec = {.chip_id = 5, .entry = 0x40380000, .segments = &segment, .segment_count = 1};
    size_t length;
    assert_int_equal(image_write_esp(&spec, out, 0x4000, &length), IMAGE_WRITE_OK);
    assert_int_equal(length, IMAGE);
}

/** Plaintext with blank blocks here and there, and the cells: what is blank was never written, but in the table's
 * sector. */
static int set_up(void **state)
{
    (void)state;
    uint8_t key[32] = {1, 2, 3};
    cipher = flash_cipher_new(FLASH_CIPHER_XTS_128, key, sizeof(key), 0);
    chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c3"), .cipher = cipher};
    for (uint32_t i = 0; i < sizeof(plain); i++) {
        plain[i] = i / BLOCK % 7 == 3 ? 0xFF : (uint8_t)(i * 31 + i / 256);
    }
    memset(plain + TABLE, 0xFF, SECTOR);
    assert_int_equal(image_write_partition_table(entries, ENTRIES, plain + TABLE), IMAGE_WRITE_OK);
    memset(plain + SLOT, 0xFF, 0x4000);
    memset(plain + EMPTY, 0xFF, 0x2000);
    put_image(plain + SLOT);
    memcpy(flash, plain, sizeof(flash));
    for (uint32_t at = 0; at < SIZE; at += BLOCK) {
        if (encrypts(at) && (at / SECTOR == TABLE / SECTOR || !is_blank(flash + at, BLOCK))) {
            flash_cipher_encrypt(cipher, at, flash + at, BLOCK);
        }
    }
    layout = (boot_plain_layout_t){.table = {.count = ENTRIES}, .table_offset = TABLE};
    memcpy(layout.table.entries, entries, sizeof(entries));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    flash_cipher_delete(cipher);
    return 0;
}

static void assert_same(const uint8_t *actual, const char *what)
{
    const bool same = memcmp(actual, expected, sizeof(expected)) == 0; /* Which is quicker than the loop. */
    for (uint32_t i = 0; !same; i++) {
        if (actual[i] != expected[i]) {
            fail_msg("%s: at 0x%x is 0x%02x, expected 0x%02x", what, (unsigned)i, actual[i], expected[i]);
        }
    }
}

static void a_system_sees_plaintext(void **state)
{
    (void)state;
    memset(view, 0xA5, sizeof(view));
    memcpy(expected, plain, SIZE);
    memset(expected + SIZE, 0xA5, SECTOR);
    boot_plain_view(&chip, flash, SIZE, view);
    assert_same(view, "view");
    /* A chip that does not encrypt sees what is there. */
    chip.cipher = NULL;
    memcpy(expected, flash, SIZE);
    boot_plain_view(&chip, flash, SIZE, view);
    assert_same(view, "not encrypted");
}

/** Encrypts the table of this test once more, after it was edited. */
static void seal_table(void)
{
    memcpy(flash + TABLE, plain + TABLE, SECTOR);
    flash_cipher_encrypt(cipher, TABLE, flash + TABLE, SECTOR);
    memset(flash + SIZE, 0xA5, SECTOR);
    memcpy(expected, flash, sizeof(expected));
    memcpy(expected, plain, TABLE + SECTOR);
    memcpy(view + SIZE, flash + SIZE, SECTOR);
}

/** Of a table that is damaged, what comes before the damage; without one, the boot path up to its place. */
static void of_a_damaged_table_what_can_be_read(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        plain[TABLE + (i == 0 ? 32 * 3 : 0)] = 0;
        seal_table();
        if (i == 0) {
            memcpy(expected + SLOT, plain + SLOT, 0x4000);
            memcpy(expected + 0x16000, plain + 0x16000, 0x2000);
        }
        boot_plain_view(&chip, flash, SIZE, view);
        assert_same(view, "damaged table");
    }
    /* A flash that ends before it. */
    memset(view, 0xA5, sizeof(view));
    memset(expected + TABLE, 0xA5, sizeof(expected) - TABLE);
    boot_plain_view(&chip, flash, TABLE, view);
    assert_same(view, "no room for a table");
}

/** The bootloader takes the entry of the MD5 for one of those that it counts, and never sees the last one after it. */
static void an_entry_after_the_md5_is_none(void **state)
{
    (void)state;
    uint8_t other[SR_PARTITION_TABLE_SIZE];
    assert_int_equal(image_write_partition_table(entries, 3, plain + TABLE), IMAGE_WRITE_OK);
    assert_int_equal(image_write_partition_table(entries + 3, 1, other), IMAGE_WRITE_OK);
    memcpy(plain + TABLE + 32 * 4, other, 32);
    seal_table();
    memcpy(expected + SLOT, plain + SLOT, 0x4000);
    memcpy(expected + 0x16000, plain + 0x16000, 0x2000);
    boot_plain_view(&chip, flash, SIZE, view);
    assert_same(view, "after the MD5");
}

/** What a system with the layout of this test reads of a sector that was written by another one. */
static void expect_shown(uint32_t at)
{
    memcpy(expected + at, flash + at, SECTOR);
    const bool in_slot = (at >= SLOT && at < 0x14000) || (at >= EMPTY && at < EMPTY + 0x2000);
    for (uint32_t block = at; encrypts(at) && block < at + SECTOR; block += BLOCK) {
        if (!in_slot || !is_blank(flash + block, BLOCK)) { /* Erased cells are noise where somebody reads them. */
            flash_cipher_decrypt(cipher, block, expected + block, BLOCK);
        }
    }
}

static void another_layout_shows_a_region_in_its_way(void **state)
{
    (void)state;
    static const sr_region_t regions[] = {{0, SIZE},         {0x7000, 0x3000},         {SLOT, 0x4000},
                                          {0x13000, 0x4000}, {EMPTY + 0x1000, 0x2000}, {SIZE - SECTOR, 2 * SECTOR},
                                          {0x15000, 0}};
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        /* Before, all of it is shown as the noise that it is, but for the images that are looked for in it. */
        memcpy(view, flash, sizeof(view));
        memset(view, 0x77, SLOT);
        memset(view + SIZE, 0x77, SECTOR);
        memcpy(view + SLOT, plain + SLOT, SECTOR);
        memcpy(expected, view, sizeof(expected));
        for (uint32_t at = regions[i].address; at < regions[i].address + regions[i].size && at < SIZE; at += SECTOR) {
            expect_shown(at);
        }
        boot_plain_show(&chip, &layout, flash, SIZE, regions[i], view);
        assert_same(view, "shown");
    }
    chip.cipher = NULL;
    boot_plain_show(&chip, &layout, flash, SIZE, (sr_region_t){0, SIZE}, view);
    assert_same(view, "shown without encryption");
}

/** What is written to a sector: plaintext as it comes, or encrypted; of a slot what follows the image is erased. */
static void expect_written(const uint8_t *after, uint32_t at, bool as_plaintext)
{
    const bool behind = (at >= SLOT + IMAGE && at < 0x14000) || (at >= EMPTY && at < EMPTY + 0x2000);
    memcpy(expected + at, after + at, SECTOR);
    if (!as_plaintext && encrypts(at) && (!behind || !is_blank(after + at, SECTOR))) {
        flash_cipher_encrypt(cipher, at, expected + at, SECTOR);
    }
}

static void only_what_has_changed_is_written(void **state)
{
    (void)state;
    static uint8_t before[SIZE + SECTOR], cells[SIZE + SECTOR];
    /* Each second sector has changed; then all of them, to what there is now or to nothing; and past the end. */
    for (unsigned i = 0; i < 6; i++) {
        chip.cipher = i == 5 ? NULL : cipher;
        memcpy(view, plain, sizeof(view));
        if (i == 4) {
            memset(view + 0x14000, 0xFF, 0x6000);
        }
        for (uint32_t at = 0; at < sizeof(before); at += SECTOR) {
            const bool changed = i == 0 || i >= 3 || at / SECTOR % 2 == i - 1 || at == SIZE;
            memcpy(before + at, view + at, SECTOR);
            before[at + (i % 2 == 0 ? 0 : SECTOR - 1)] ^= (uint8_t)(changed ? i % 2 == 0 ? 0x80 : 1 : 0);
        }
        memset(cells, 0x33, sizeof(cells));
        memset(expected, 0x33, sizeof(expected));
        for (uint32_t at = 0; at < SIZE; at += SECTOR) {
            if (memcmp(before + at, view + at, SECTOR) != 0) {
                expect_written(view, at, i == 5);
            }
        }
        boot_plain_write(&chip, &layout, before, view, SIZE, cells);
        assert_same(cells, "written");
    }
}

/** A sector is what its first byte belongs to. */
static void a_partition_inside_a_sector(void **state)
{
    (void)state;
    static uint8_t cells[SIZE + SECTOR];
    layout.table.count = 1;
    layout.table.entries[0] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA,      0x99,  0x1C001, 0x1FFF,
                                                           SR_PARTITION_FLAG_ENCRYPTED, "data"};
    layout.table.entries[1].address = 0x1C000; /* No partition, says their count. */
    layout.table.entries[1].flags = SR_PARTITION_FLAG_ENCRYPTED;
    for (uint32_t at = 0x1C000; at < 0x1E000; at += SECTOR) {
        memcpy(view, plain, sizeof(view));
        view[at] ^= 1;
        memset(cells, 0x33, sizeof(cells));
        memcpy(expected, cells, sizeof(expected));
        memcpy(expected + at, plain + at, SECTOR);
        if (at == 0x1D000) {
            flash_cipher_encrypt(cipher, at, expected + at, SECTOR);
        }
        boot_plain_write(&chip, &layout, view, plain, SIZE, cells);
        assert_same(cells, "inside a sector");
    }
}

static void where_the_table_is(void **state)
{
    (void)state;
    sr_partition_table_t table;
    uint32_t offset = 0;
    assert_true(boot_plain_table(&chip, flash, SIZE, &offset, &table));
    assert_int_equal(offset, TABLE);
    assert_int_equal(table.count, ENTRIES);
    assert_false(boot_plain_table(&chip, flash, TABLE + SECTOR - 1, &offset, &table));
    assert_int_equal(table.count, 0);
    chip.cipher = NULL;
    assert_false(boot_plain_table(&chip, flash, SIZE, &offset, &table));
    assert_true(boot_plain_table(&chip, plain, SIZE, &offset, &table));
    assert_ptr_equal(boot_plain(&chip, flash, SIZE, 0x123, 4), flash + 0x123);
}

/** ESP-IDF's driver: a page, or what it encrypts at once. */
static void how_much_is_programmed_at_once(void **state)
{
    (void)state;
    assert_int_equal(boot_plain_unit(&chip), chip.chip->encryption_row);
    assert_in_range(boot_plain_unit(&chip), 16, 64);
    chip.cipher = NULL;
    assert_int_equal(boot_plain_unit(&chip), 256);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_system_sees_plaintext),
        CASE(of_a_damaged_table_what_can_be_read),
        CASE(an_entry_after_the_md5_is_none),
        CASE(another_layout_shows_a_region_in_its_way),
        CASE(only_what_has_changed_is_written),
        CASE(a_partition_inside_a_sector),
        CASE(where_the_table_is),
        CASE(how_much_is_programmed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
