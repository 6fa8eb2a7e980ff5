// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bytes.h"
#include "format/sr_partition_table.h"
#include "test/support/support_counted_hash.h"
#include "test/support/support_failing_hash.h"
#include "test/support/support_reader.h"

#define FLASH_SIZE 0x400000u

static uint8_t raw[SR_PARTITION_TABLE_SIZE];
static uint32_t raw_length;
static sr_partition_table_t table;

static void raw_start(void)
{
    memset(raw, 0xFF, sizeof(raw));
    raw_length = 0;
}

static void raw_entry(uint8_t type, uint8_t subtype, uint32_t address, uint32_t size, const char *label)
{
    uint8_t *entry = raw + raw_length;
    memset(entry, 0, SR_PARTITION_ENTRY_SIZE);
    entry[0] = 0xAA;
    entry[1] = 0x50;
    entry[2] = type;
    entry[3] = subtype;
    sr_bytes_put_le32(entry + 4, address);
    sr_bytes_put_le32(entry + 8, size);
    memcpy(entry + 12, label, strlen(label));
    raw_length += SR_PARTITION_ENTRY_SIZE;
}

static void raw_md5(void)
{
    uint8_t *entry = raw + raw_length;
    memset(entry, 0xFF, SR_PARTITION_ENTRY_SIZE);
    entry[0] = entry[1] = 0xEB;
    library_digest(PSA_ALG_MD5, raw, raw_length, entry + 16);
    raw_length += SR_PARTITION_ENTRY_SIZE;
}

/** nvs, otadata, two slots and a file system; the MD5 entry is left to the caller. */
static void raw_usual(void)
{
    raw_start();
    raw_entry(1, 0x02, 0x9000, 0x5000, "nvs");
    raw_entry(1, 0x00, 0xE000, 0x2000, "otadata");
    raw_entry(0, 0x10, 0x10000, 0x180000, "app0");
    raw_entry(0, 0x11, 0x190000, 0x180000, "app1");
    raw_entry(1, 0x82, 0x310000, 0xF0000, "spiffs");
}

static sr_partition_table_status_t parse(uint32_t flash_size)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, raw, sizeof(raw));
    const sr_partition_table_status_t status = sr_partition_table_parse(&reader, flash_size, &table);
    assert_int_equal(hashes_open, 0); /* Each once, whatever was found. */
    assert_true(status != SR_PARTITION_TABLE_OK || table.bad_entry == 0);
    return status;
}

static void table_of_gen_esp32part_is_read(void **state)
{
    (void)state;
    // Digest by ESP-IDF's gen_esp32part.py for the same lines.
    static const uint8_t md5[16] = {0x2D, 0x06, 0x00, 0x1F, 0x21, 0x40, 0xBB, 0x86,
                                    0xEA, 0x42, 0xF3, 0x9E, 0x4D, 0xFF, 0x79, 0x65};
    raw_usual();
    raw_md5();
    assert_memory_equal(raw + 5 * 32 + 16, md5, sizeof(md5));
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, 5);
    assert_true(table.has_md5);
    assert_int_equal(table.entries[2].type, SR_PARTITION_TYPE_APP);
    assert_int_equal(table.entries[2].subtype, SR_PARTITION_APP_OTA_0);
    assert_int_equal(table.entries[2].address, 0x10000);
    assert_int_equal(table.entries[2].size, 0x180000);
    assert_int_equal(table.entries[2].flags, 0);
    assert_string_equal(table.entries[2].label, "app0");
    assert_int_equal(table.entries[4].subtype, 0x82);
}

static void flags_and_full_labels_are_read(void **state)
{
    (void)state;
    raw_start();
    raw_entry(1, 4, 0x9000, 0x1000, "sixteen letters!");
    sr_bytes_put_le32(raw + 28, 0x80000001);
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_string_equal(table.entries[0].label, "sixteen letters!");
    assert_int_equal(table.entries[0].flags, 0x80000001);
    assert_ptr_equal(sr_partition_table_find_label(&table, "sixteen letters!"), &table.entries[0]);
}

static void table_without_md5_is_accepted(void **state)
{
    (void)state;
    raw_usual();
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, 5);
    assert_false(table.has_md5);
}

static void erased_table_is_empty(void **state)
{
    (void)state;
    raw_start();
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, 0);
    raw_usual();
    raw_md5();
    memset(raw, 0xFF, SR_PARTITION_ENTRY_SIZE);
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, 0);
}

static void end_marker_includes_type_and_subtype(void **state)
{
    (void)state;
    for (unsigned byte = 2; byte <= 3; byte++) {
        raw_usual();
        raw[raw_length + byte] = 0xFE;
        assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_BAD_MAGIC);
        assert_int_equal(table.bad_entry, 5);
    }
}

static void bad_magic_tells_the_entry(void **state)
{
    (void)state;
    for (uint8_t entry = 0; entry < 5; entry++) {
        for (unsigned byte = 0; byte < 2; byte++) {
            raw_usual();
            raw[entry * SR_PARTITION_ENTRY_SIZE + byte] ^= 1;
            assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_BAD_MAGIC);
            assert_int_equal(table.bad_entry, entry);
            assert_int_equal(table.count, entry);
        }
    }
}

static void md5_covers_every_byte_of_the_entries(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    const uint32_t md5_entry = 5 * SR_PARTITION_ENTRY_SIZE;
    for (uint32_t i = 0; i < raw_length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            raw[i] ^= (uint8_t)(1u << bit);
            // Between magic and digest the MD5 entry has filler that nobody reads.
            bool is_filler = i >= md5_entry + 2 && i < md5_entry + 16;
            assert_int_equal(parse(FLASH_SIZE) == SR_PARTITION_TABLE_OK, is_filler);
            raw[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    raw[md5_entry + 16] ^= 1;
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_BAD_MD5);
    assert_int_equal(table.bad_entry, 5);
}

static void only_one_md5_is_allowed(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    raw_md5();
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_BAD_MD5);
    assert_int_equal(table.bad_entry, 6);
}

static void last_entry_after_the_md5_is_not_seen(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    raw_entry(1, 0x06, 0x3F0000, 0x1000, "late");
    raw_entry(1, 0x06, 0x3F1000, 0x1000, "latest");
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, 6);
    assert_non_null(sr_partition_table_find_label(&table, "late"));
    assert_null(sr_partition_table_find_label(&table, "latest"));
}

static void failing_crypto_is_no_valid_md5(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    hash_fails = true;
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_BAD_MD5);
    hash_fails = false;
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
}

static void one_entry_past_the_end_spoils_the_table(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(parse(FLASH_SIZE - 1), SR_PARTITION_TABLE_PAST_END);
    assert_int_equal(table.bad_entry, 4);
    assert_int_equal(parse(0x200000), SR_PARTITION_TABLE_PAST_END);
    assert_int_equal(table.bad_entry, 3);
    assert_int_equal(parse(0), SR_PARTITION_TABLE_OK);
}

static void entry_that_wraps_is_past_the_end(void **state)
{
    (void)state;
    static const uint32_t flash_sizes[] = {0, FLASH_SIZE, UINT32_MAX};
    for (size_t i = 0; i < sizeof(flash_sizes) / sizeof(flash_sizes[0]); i++) {
        raw_start();
        raw_entry(0, 0x10, 0x10000, 0xFFFFFFFF, "wraps");
        assert_int_equal(parse(flash_sizes[i]), SR_PARTITION_TABLE_PAST_END);
        raw_start();
        raw_entry(0, 0x10, 0xFFFFF000, 0x2000, "wraps");
        assert_int_equal(parse(flash_sizes[i]), SR_PARTITION_TABLE_PAST_END);
    }
}

static void overlapping_unaligned_and_unknown_entries_pass(void **state)
{
    (void)state;
    raw_start();
    raw_entry(0, 0x10, 0x10000, 0x180000, "app0");
    raw_entry(0, 0x11, 0x100000, 0x180000, "app1");
    raw_entry(0xFE, 0x77, 0x12345, 0x1, "odd");
    raw_entry(1, 0x06, 0, 0, "empty");
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, 4);
}

static void full_table_needs_its_end_marker(void **state)
{
    (void)state;
    raw_start();
    for (unsigned i = 0; i < SR_PARTITION_MAX_ENTRIES; i++) {
        raw_entry(1, 0x06, 0x1000 * i, 0x1000, "p");
    }
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, SR_PARTITION_MAX_ENTRIES);
    raw_entry(1, 0x06, 0x1000, 0x1000, "p");
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_TOO_MANY);
    assert_int_equal(table.bad_entry, SR_PARTITION_MAX_ENTRIES);
    raw_length -= SR_PARTITION_ENTRY_SIZE;
    raw_md5();
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_TOO_MANY);
}

static void every_failing_read_is_reported(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    for (unsigned fail = 1; fail <= 7; fail++) {
        memory_t memory;
        sr_reader_t reader = memory_reader(&memory, raw, sizeof(raw));
        memory.fail_read = fail;
        assert_int_equal(sr_partition_table_parse(&reader, FLASH_SIZE, &table), SR_PARTITION_TABLE_READ_FAILED);
        assert_int_equal(table.bad_entry, fail - 1);
    }
}

static void small_window_is_refused_unread(void **state)
{
    (void)state;
    raw_usual();
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, raw, sizeof(raw) - 1);
    assert_int_equal(sr_partition_table_parse(&reader, FLASH_SIZE, &table), SR_PARTITION_TABLE_READ_FAILED);
    assert_int_equal(memory.reads, 0);
    assert_int_equal(table.count, 0);
}

static void half_programmed_table_ends_where_the_writer_stopped(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    static uint8_t whole[sizeof(raw)];
    memcpy(whole, raw, sizeof(raw));
    for (uint32_t loss = 0; loss <= raw_length; loss += 16) {
        memcpy(raw, whole, loss);
        memset(raw + loss, 0xFF, sizeof(raw) - loss);
        // Only the cut between the magic of the MD5 entry and its digest is noticed.
        sr_partition_table_status_t expected = loss == 5 * 32 + 16 ? SR_PARTITION_TABLE_BAD_MD5 : SR_PARTITION_TABLE_OK;
        if (loss % 32 == 0 || loss == 5 * 32 + 16) {
            assert_int_equal(parse(FLASH_SIZE), expected);
            assert_int_equal(table.count, loss / 32 < 5 ? loss / 32 : 5);
        }
    }
}

static void find_returns_the_first_match(void **state)
{
    (void)state;
    raw_usual();
    raw_entry(1, 0x02, 0x3F0000, 0x1000, "nvs");
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_ptr_equal(sr_partition_table_find(&table, SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS), &table.entries[0]);
    assert_ptr_equal(sr_partition_table_find(&table, SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1),
                     &table.entries[3]);
    assert_null(sr_partition_table_find(&table, SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY));
    assert_ptr_equal(sr_partition_table_find_label(&table, "nvs"), &table.entries[0]);
    assert_null(sr_partition_table_find_label(&table, "app"));
}

static void slots_are_counted_as_the_bootloader_does(void **state)
{
    (void)state;
    raw_usual();
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(sr_partition_table_ota_slots(&table), 2);
    raw_entry(0, 0x00, 0x3F0000, 0x1000, "factory");
    raw_entry(0, 0x20, 0x3F0000, 0x1000, "test");
    raw_entry(1, 0x10, 0x3F0000, 0x1000, "no app");
    raw_entry(0, 0x1F, 0x3F0000, 0x1000, "ota_15");
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(sr_partition_table_ota_slots(&table), 3);
    raw_start();
    raw_entry(0, 0x10, 0x10000, 0x10000, "first");
    raw_md5();
    raw_entry(0, 0x11, 0x20000, 0x10000, "not seen");
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_int_equal(sr_partition_table_ota_slots(&table), 1);
}

/* For each type: nothing else of it, whatever other types mean by the same number. */
static void what_is_encrypted_besides_what_has_the_flag(void **state)
{
    (void)state;
    for (unsigned type = 0; type <= 0x41; type++) {
        for (unsigned subtype = 0; subtype <= 0xFF; subtype++) {
            sr_partition_table_entry_t entry = {.type = (uint8_t)type, .subtype = (uint8_t)subtype};
            const bool data = type == 1 && (subtype == 0x00 || subtype == 0x04 || subtype == 0x90);
            assert_int_equal(sr_partition_table_encrypts(&entry), type == 0 || type == 2 || type == 3 || data);
            entry.flags = SR_PARTITION_FLAG_READ_ONLY;
            assert_int_equal(sr_partition_table_encrypts(&entry), type == 0 || type == 2 || type == 3 || data);
            entry.flags |= SR_PARTITION_FLAG_ENCRYPTED;
            assert_true(sr_partition_table_encrypts(&entry));
        }
    }
}

static void every_status_has_words_of_its_own(void **state)
{
    (void)state;
    for (int a = SR_PARTITION_TABLE_OK; a <= SR_PARTITION_TABLE_TOO_MANY + 1; a++) {
        assert_non_null(sr_partition_table_status_text((sr_partition_table_status_t)a));
        for (int b = SR_PARTITION_TABLE_OK; b < a; b++) {
            assert_string_not_equal(sr_partition_table_status_text((sr_partition_table_status_t)a),
                                    sr_partition_table_status_text((sr_partition_table_status_t)b));
        }
    }
}

static void published_tables_are_valid(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        uint8_t count;
        uint32_t app1;
    } known[] = {{"wled/binaries/esp32_bootloader_v4.bin", 5, 0x190000}, {"esphome/esp32.bin", 6, 0x1D0000}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t size;
        uint8_t *bytes = load_fixture(known[i].file, &size);
        memory_t memory;
        sr_reader_t reader = memory_reader(&memory, bytes + 0x8000, SR_PARTITION_TABLE_SIZE);
        assert_int_equal(sr_partition_table_parse(&reader, FLASH_SIZE, &table), SR_PARTITION_TABLE_OK);
        free(bytes);
        assert_int_equal(table.count, known[i].count);
        assert_true(table.has_md5);
        assert_int_equal(sr_partition_table_ota_slots(&table), 2);
        const sr_partition_table_entry_t *app1 = sr_partition_table_find_label(&table, "app1");
        assert_non_null(app1);
        assert_int_equal(app1->address, known[i].app1);
        assert_int_equal(app1->subtype, SR_PARTITION_APP_OTA_0 + 1);
    }
}

/* Moving an app's entry. */

static uint32_t spiffs_size; // afterwards

static void assert_moved_to(uint32_t from, sr_region_t to, uint32_t app0, uint32_t size0, uint32_t app1, uint32_t size1)
{
    uint8_t moved[sizeof(raw)];
    raw_usual();
    raw_md5();
    memcpy(moved, raw, sizeof(raw));
    assert_true(sr_partition_table_move_app(moved, from, to));
    raw_start();
    raw_entry(1, 0x02, 0x9000, 0x5000, "nvs");
    raw_entry(1, 0x00, 0xE000, 0x2000, "otadata");
    raw_entry(0, 0x10, app0, size0, "app0");
    raw_entry(0, 0x11, app1, size1, "app1");
    raw_entry(1, 0x82, 0x310000, spiffs_size, "spiffs");
    raw_md5();
    assert_memory_equal(moved, raw, sizeof(raw));
}

static void app_entry_moves_and_all_else_stays(void **state)
{
    (void)state;
    spiffs_size = 0xF0000;
    assert_moved_to(0x10000, (sr_region_t){0x400000, 0x3000}, 0x400000, 0x3000, 0x190000, 0x180000);
    assert_moved_to(0x190000, (sr_region_t){0x400000, 0x3000}, 0x10000, 0x180000, 0x400000, 0x3000);
}

static void partition_under_the_new_place_is_cut_short(void **state)
{
    (void)state;
    spiffs_size = 0xF0000;
    assert_moved_to(0x10000, (sr_region_t){0x1A0000, 0x90000}, 0x1A0000, 0x90000, 0x190000, 0x10000);
    assert_moved_to(0x10000, (sr_region_t){0x180000, 0x20000}, 0x180000, 0x20000, 0x190000, 0);
    assert_moved_to(0x190000, (sr_region_t){0x10000, 0x20000}, 0x10000, 0, 0x10000, 0x20000);
    /* One that touches it stays; data that is given up goes the same way, so that nobody formats the app. */
    spiffs_size = 0;
    assert_moved_to(0x10000, (sr_region_t){0x310000, 0x10000}, 0x310000, 0x10000, 0x190000, 0x180000);
    spiffs_size = 0xB0000;
    assert_moved_to(0x10000, (sr_region_t){0x3C0000, 0x3000}, 0x3C0000, 0x3000, 0x190000, 0x180000);
}

static void only_an_app_moves(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    assert_false(sr_partition_table_move_app(raw, 0x310000, (sr_region_t){0x3C0000, 0x3000}));
    assert_false(sr_partition_table_move_app(raw, 0x20000, (sr_region_t){0x3C0000, 0x3000}));
    raw_start();
    assert_false(sr_partition_table_move_app(raw, UINT32_MAX, (sr_region_t){0x3C0000, 0x3000}));
}

static void table_without_md5_stays_without(void **state)
{
    (void)state;
    raw_usual();
    assert_true(sr_partition_table_move_app(raw, 0x10000, (sr_region_t){0x3C0000, 0x3000}));
    assert_int_equal(parse(FLASH_SIZE), SR_PARTITION_TABLE_OK);
    assert_false(table.has_md5);
    assert_int_equal(table.count, 5);
    assert_int_equal(table.entries[2].address, 0x3C0000);
}

/* In the last place that the table has room for, too. */
static void md5_is_renewed_wherever_it_stands(void **state)
{
    (void)state;
    for (unsigned entries = 1; entries <= SR_PARTITION_MAX_ENTRIES; entries++) {
        uint8_t moved[sizeof(raw)];
        for (uint32_t app = 0x10000; app <= 0x20000; app += 0x10000) {
            raw_start();
            for (unsigned i = 1; i < entries; i++) {
                raw_entry(1, 0x06, 0x100000 + 0x1000 * i, 0x1000, "p");
            }
            raw_entry(0, 0x10, app, 0x10000, "app");
            raw_md5();
            if (app == 0x10000) {
                memcpy(moved, raw, sizeof(raw));
                assert_true(sr_partition_table_move_app(moved, app, (sr_region_t){0x20000, 0x10000}));
            }
        }
        assert_memory_equal(moved, raw, sizeof(raw));
    }
}

static void table_that_cannot_be_hashed_does_not_move(void **state)
{
    (void)state;
    raw_usual();
    raw_md5();
    hash_fails = true;
    assert_false(sr_partition_table_move_app(raw, 0x10000, (sr_region_t){0x3C0000, 0x3000}));
    hash_fails = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_of_gen_esp32part_is_read),
        cmocka_unit_test(flags_and_full_labels_are_read),
        cmocka_unit_test(table_without_md5_is_accepted),
        cmocka_unit_test(erased_table_is_empty),
        cmocka_unit_test(end_marker_includes_type_and_subtype),
        cmocka_unit_test(bad_magic_tells_the_entry),
        cmocka_unit_test(md5_covers_every_byte_of_the_entries),
        cmocka_unit_test(only_one_md5_is_allowed),
        cmocka_unit_test(last_entry_after_the_md5_is_not_seen),
        cmocka_unit_test(failing_crypto_is_no_valid_md5),
        cmocka_unit_test(one_entry_past_the_end_spoils_the_table),
        cmocka_unit_test(entry_that_wraps_is_past_the_end),
        cmocka_unit_test(overlapping_unaligned_and_unknown_entries_pass),
        cmocka_unit_test(full_table_needs_its_end_marker),
        cmocka_unit_test(every_failing_read_is_reported),
        cmocka_unit_test(small_window_is_refused_unread),
        cmocka_unit_test(half_programmed_table_ends_where_the_writer_stopped),
        cmocka_unit_test(find_returns_the_first_match),
        cmocka_unit_test(slots_are_counted_as_the_bootloader_does),
        cmocka_unit_test(what_is_encrypted_besides_what_has_the_flag),
        cmocka_unit_test(every_status_has_words_of_its_own),
        cmocka_unit_test(published_tables_are_valid),
        cmocka_unit_test(app_entry_moves_and_all_else_stays),
        cmocka_unit_test(partition_under_the_new_place_is_cut_short),
        cmocka_unit_test(only_an_app_moves),
        cmocka_unit_test(table_without_md5_stays_without),
        cmocka_unit_test(md5_is_renewed_wherever_it_stands),
        cmocka_unit_test(table_that_cannot_be_hashed_does_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
