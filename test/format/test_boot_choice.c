// SPDX-License-Identifier: Apache-2.0
// Which app ESP-IDF's bootloader tries, by the rules of bootloader_utility.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_boot_choice.h"
#include "format/sr_bytes.h"
#include "format/sr_otadata.h"
#include "test/support/support_reader.h"

#define FLASH_SIZE     0x80000u
#define TABLE_OFFSET   0x8000u
#define OTADATA_OFFSET 0xE000u
#define FACTORY        SR_PARTITION_APP_FACTORY
#define OTA(number)    (SR_PARTITION_APP_OTA_0 + (number))
#define TEST           SR_PARTITION_APP_TEST
#define MAX_APPS       20u

static uint8_t flash[FLASH_SIZE];
static memory_t memory;
static sr_partition_table_t table;

static sr_reader_t flash_reader(void)
{
    return memory_reader(&memory, flash, FLASH_SIZE);
}

static uint32_t address_of(size_t app)
{
    return 0x10000 + 0x4000 * (uint32_t)app;
}

/** A table of these apps, each at its own address, without otadata. */
static void put_apps(const unsigned *subtypes, size_t count)
{
    memset(&table, 0, sizeof(table));
    for (size_t i = 0; i < count; i++) {
        table.entries[table.count++] = (sr_partition_table_entry_t){
            .type = SR_PARTITION_TYPE_APP, .subtype = (uint8_t)subtypes[i], .address = address_of(i), .size = 0x4000};
    }
}

static sr_partition_table_entry_t *put_data(uint8_t subtype, uint32_t address, uint32_t size)
{
    sr_partition_table_entry_t *entry = &table.entries[table.count++];
    *entry = (sr_partition_table_entry_t){
        .type = SR_PARTITION_TYPE_DATA, .subtype = subtype, .address = address, .size = size};
    return entry;
}

static void put_otadata(unsigned sector, uint32_t sequence, uint32_t state)
{
    sr_otadata_encode(sequence, state, flash + OTADATA_OFFSET + sector * SR_SECTOR_SIZE);
}

static void erase_flash(void)
{
    memset(flash, 0xFF, sizeof(flash));
}

/** What one table and one selection make the bootloader try, as positions in the list of apps. */
typedef struct order {
    const char *what;
    unsigned apps[MAX_APPS];
    size_t count;
    int index;
    int tried[MAX_APPS]; /**< Ends with -1. */
} order_t;

static const order_t orders[] = {
    {"factory alone", {FACTORY}, 1, -1, {0, -1}},
    {"nothing", {0}, 0, -1, {-1}},
    {"test app alone", {TEST}, 1, -1, {0, -1}},
    {"factory goes before the slots", {OTA(0), FACTORY, OTA(1), TEST}, 4, -1, {1, 0, 2, 3, -1}},
    {"slot 0, then factory", {FACTORY, OTA(0), OTA(1), OTA(2), TEST}, 5, 0, {1, 0, 2, 3, 4, -1}},
    {"down to factory, then up", {FACTORY, OTA(0), OTA(1), OTA(2), TEST}, 5, 1, {2, 1, 0, 3, 4, -1}},
    {"last slot", {FACTORY, OTA(0), OTA(1), OTA(2), TEST}, 5, 2, {3, 2, 1, 0, 4, -1}},
    {"no slot of that number", {FACTORY, OTA(0), OTA(1), OTA(2), TEST}, 5, 3, {3, 2, 1, 0, 4, -1}},
    {"neither factory nor test app", {OTA(0), OTA(1)}, 2, 1, {1, 0, -1}},
    {"a number is left out", {FACTORY, OTA(0), OTA(2), TEST}, 4, 1, {1, 0, 3, -1}},
    {"the last of two alike", {FACTORY, OTA(0), FACTORY, OTA(0), TEST, TEST}, 6, 0, {3, 2, 5, -1}},
    {"number 15 alone is out of reach", {OTA(15), FACTORY, TEST}, 3, 0, {1, 2, -1}},
    {"sixteen slots",
     {OTA(0), OTA(1), OTA(2), OTA(3), OTA(4), OTA(5), OTA(6), OTA(7), OTA(8), OTA(9), OTA(10), OTA(11), OTA(12),
      OTA(13), OTA(14), OTA(15), TEST},
     17,
     14,
     {14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 15, 16, -1}},
    {"seventeen, of which two are alike",
     {OTA(0), OTA(1), OTA(2), OTA(3), OTA(4), OTA(5), OTA(6), OTA(7), OTA(8), OTA(9), OTA(10), OTA(11), OTA(12),
      OTA(13), OTA(14), OTA(15), OTA(3), TEST},
     18,
     16,
     {15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 16, 2, 1, 0, 17, -1}},
};

static void apps_are_tried_down_to_factory_then_up_then_the_test_app(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        const order_t *order = &orders[i];
        const sr_boot_choice_t choice = {.index = order->index};
        put_apps(order->apps, order->count);
        unsigned skipped = 0;
        for (; order->tried[skipped] >= 0; skipped++) {
            const sr_partition_table_entry_t *app = sr_boot_choice_tried(&table, &choice, skipped);
            if (app != &table.entries[order->tried[skipped]]) {
                fail_msg("%s: number %u is %td", order->what, skipped, app != NULL ? app - table.entries : -1);
            }
        }
        for (unsigned more = 0; more < 3; more++) {
            assert_null(sr_boot_choice_tried(&table, &choice, skipped + more));
        }
    }
}

static void empty_partitions_are_no_apps(void **state)
{
    (void)state;
    static const unsigned apps[] = {FACTORY, OTA(0), OTA(1), TEST};
    const sr_boot_choice_t choice = {.index = 1};
    put_apps(apps, 4);
    table.entries[2].size = 0;
    table.entries[1].size = 1;
    assert_ptr_equal(sr_boot_choice_tried(&table, &choice, 0), &table.entries[1]);
    table.entries[0].size = 0;
    assert_ptr_equal(sr_boot_choice_tried(&table, &choice, 1), &table.entries[3]);
    table.entries[3].size = 0;
    assert_null(sr_boot_choice_tried(&table, &choice, 1));
}

static void otadata_is_the_last_of_its_kind_and_not_at_0(void **state)
{
    (void)state;
    put_apps(NULL, 0);
    assert_null(sr_boot_choice_otadata(&table));
    sr_partition_table_entry_t *entry = put_data(SR_PARTITION_DATA_OTA, 1, 0x2000);
    (void)put_data(SR_PARTITION_DATA_NVS, 0x9000, 0x2000);
    assert_ptr_equal(sr_boot_choice_otadata(&table), entry);
    entry = put_data(SR_PARTITION_DATA_OTA, OTADATA_OFFSET, 0x2000);
    assert_ptr_equal(sr_boot_choice_otadata(&table), entry);
    entry->address = 0;
    assert_null(sr_boot_choice_otadata(&table));
}

static sr_boot_choice_status_t make(sr_boot_choice_t *choice)
{
    const sr_reader_t reader = flash_reader();
    memset(choice, 0x55, sizeof(*choice));
    return sr_boot_choice_make(&reader, &table, choice);
}

static void without_otadata_factory_is_chosen(void **state)
{
    (void)state;
    static const unsigned apps[] = {OTA(0), FACTORY, OTA(1)};
    sr_boot_choice_t choice;
    put_apps(apps, 3);
    assert_int_equal(make(&choice), SR_BOOT_CHOICE_OK);
    assert_ptr_equal(choice.app, &table.entries[1]);
    assert_null(choice.otadata);
    assert_int_equal(choice.index, -1);
    assert_int_equal(choice.sequence, UINT32_MAX);
    put_apps(NULL, 0);
    assert_int_equal(make(&choice), SR_BOOT_CHOICE_NO_APP);
    assert_null(choice.app);
}

static void otadata_selects_a_slot_by_its_sequence(void **state)
{
    (void)state;
    static const struct {
        uint32_t sequences[2];
        uint32_t states[2];
        sr_boot_choice_status_t status;
        int index;
        uint32_t sequence;
    } cases[] = {
        {{1, UINT32_MAX}, {SR_OTA_VALID, 0}, SR_BOOT_CHOICE_OK, 0, 1},
        {{1, 2}, {SR_OTA_VALID, SR_OTA_VALID}, SR_BOOT_CHOICE_OK, 1, 2},
        {{4, 3}, {SR_OTA_VALID, SR_OTA_UNDEFINED}, SR_BOOT_CHOICE_OK, 0, 4},
        {{4, 5}, {SR_OTA_NEW, SR_OTA_NEW}, SR_BOOT_CHOICE_OK, 1, 5},
        {{4, 5}, {SR_OTA_VALID, SR_OTA_ABORTED}, SR_BOOT_CHOICE_OK, 0, 4},
        {{4, 5}, {SR_OTA_PENDING_VERIFY, SR_OTA_VALID}, SR_BOOT_CHOICE_OK, 1, 5},
        {{4, 5}, {SR_OTA_VALID, SR_OTA_PENDING_VERIFY}, SR_BOOT_CHOICE_UNCONFIRMED, 1, 5},
        {{4, 5}, {SR_OTA_INVALID, SR_OTA_ABORTED}, SR_BOOT_CHOICE_OK, -1, UINT32_MAX},
        {{UINT32_MAX, UINT32_MAX}, {SR_OTA_PENDING_VERIFY, 0}, SR_BOOT_CHOICE_OK, -1, UINT32_MAX},
        {{0, UINT32_MAX}, {SR_OTA_VALID, 0}, SR_BOOT_CHOICE_OK, 0, 0}, // 0 - 1 wraps to a multiple of 3
    };
    static const unsigned apps[] = {FACTORY, OTA(0), OTA(1), OTA(2)};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_boot_choice_t choice;
        erase_flash();
        put_apps(apps, 4);
        const sr_partition_table_entry_t *otadata = put_data(SR_PARTITION_DATA_OTA, OTADATA_OFFSET, 0x2000);
        put_otadata(0, cases[i].sequences[0], cases[i].states[0]);
        put_otadata(1, cases[i].sequences[1], cases[i].states[1]);
        assert_int_equal(make(&choice), cases[i].status);
        assert_int_equal(choice.index, cases[i].index);
        assert_int_equal(choice.sequence, cases[i].sequence);
        assert_ptr_equal(choice.app, &table.entries[1 + cases[i].index]);
        assert_ptr_equal(choice.otadata, otadata);
    }
}

static void otadata_without_any_slot_selects_factory(void **state)
{
    (void)state;
    static const unsigned apps[] = {TEST, FACTORY};
    sr_boot_choice_t choice;
    erase_flash();
    put_otadata(0, 1, SR_OTA_PENDING_VERIFY);
    put_apps(apps, 2);
    (void)put_data(SR_PARTITION_DATA_OTA, OTADATA_OFFSET, 0x2000);
    assert_int_equal(make(&choice), SR_BOOT_CHOICE_OK);
    assert_int_equal(choice.index, -1);
    assert_int_equal(choice.sequence, UINT32_MAX);
    assert_ptr_equal(choice.app, &table.entries[1]);
}

static void otadata_selects_a_slot_even_if_it_is_the_only_one(void **state)
{
    (void)state;
    static const unsigned apps[] = {FACTORY, OTA(0)};
    sr_boot_choice_t choice;
    erase_flash();
    put_otadata(0, 7, SR_OTA_VALID);
    put_apps(apps, 2);
    (void)put_data(SR_PARTITION_DATA_OTA, OTADATA_OFFSET, 0x2000);
    assert_int_equal(make(&choice), SR_BOOT_CHOICE_OK);
    assert_int_equal(choice.index, 0);
    assert_ptr_equal(choice.app, &table.entries[1]);
}

static void otadata_has_two_sectors_that_can_be_read(void **state)
{
    (void)state;
    static const unsigned apps[] = {FACTORY, OTA(0)};
    sr_boot_choice_t choice;
    erase_flash();
    put_apps(apps, 2);
    sr_partition_table_entry_t *otadata = put_data(SR_PARTITION_DATA_OTA, OTADATA_OFFSET, 0x1FFF);
    assert_int_equal(make(&choice), SR_BOOT_CHOICE_SMALL_OTADATA);
    assert_null(choice.app);
    otadata->size = 0x2000;
    assert_int_equal(make(&choice), SR_BOOT_CHOICE_OK);
    assert_int_equal(memory.reads, 2);
    for (unsigned fail = 1; fail <= 2; fail++) {
        const sr_reader_t reader = flash_reader();
        memory.fail_read = fail;
        assert_int_equal(sr_boot_choice_make(&reader, &table, &choice), SR_BOOT_CHOICE_READ_FAILED);
        assert_null(choice.app);
    }
    otadata->address = FLASH_SIZE - 0x1000; // one of its sectors lies past the end
    assert_int_equal(make(&choice), SR_BOOT_CHOICE_READ_FAILED);
}

/** Goes on from empty partitions in flash that ends here. */
static bool skip_empty(uint32_t size, unsigned fail_read, sr_boot_choice_t *choice)
{
    const sr_reader_t reader = memory_reader(&memory, flash, size);
    memory.fail_read = fail_read;
    *choice = (sr_boot_choice_t){.index = 1, .app = sr_boot_choice_tried(&table, &(sr_boot_choice_t){.index = 1}, 0)};
    return sr_boot_choice_skip_empty(&reader, &table, choice);
}

static void the_first_partition_with_an_image_is_booted(void **state)
{
    (void)state;
    static const unsigned apps[] = {FACTORY, OTA(0), OTA(1), TEST};
    static const unsigned order[] = {2, 1, 0, 3};
    sr_boot_choice_t choice;
    erase_flash();
    put_apps(apps, 4);
    for (unsigned i = 4; i-- > 0;) { // from the last one that is tried to the first
        flash[address_of(order[i])] = 0xE9;
        assert_true(skip_empty(FLASH_SIZE, 0, &choice));
        assert_ptr_equal(choice.app, &table.entries[order[i]]);
        assert_int_equal(memory.reads, i + 1);
        for (unsigned fail = 1; fail <= i + 1; fail++) {
            assert_false(skip_empty(FLASH_SIZE, fail, &choice));
        }
    }
}

static void without_any_image_the_choice_stays(void **state)
{
    (void)state;
    static const unsigned apps[] = {FACTORY, OTA(0), OTA(1), TEST};
    sr_boot_choice_t choice;
    erase_flash();
    put_apps(apps, 4);
    assert_true(skip_empty(FLASH_SIZE, 0, &choice));
    assert_ptr_equal(choice.app, &table.entries[2]);
    put_apps(NULL, 0);
    assert_true(skip_empty(FLASH_SIZE, 0, &choice));
    assert_null(choice.app);
}

static void no_image_starts_past_the_end_of_the_flash(void **state)
{
    (void)state;
    static const unsigned apps[] = {FACTORY, OTA(0), OTA(1)};
    sr_boot_choice_t choice;
    erase_flash();
    put_apps(apps, 3);
    flash[address_of(0)] = 0xE9;
    flash[address_of(2)] = 0xE9;
    for (uint32_t size = address_of(2) - 1; size <= address_of(2) + 1; size++) {
        assert_true(skip_empty(size, 0, &choice));
        assert_ptr_equal(choice.app, &table.entries[size > address_of(2) ? 2 : 0]);
    }
}

/** Writes the table to the flash. */
static void store_table(uint32_t offset)
{
    memset(flash + offset, 0xFF, SR_PARTITION_TABLE_SIZE);
    for (unsigned i = 0; i < table.count; i++) {
        uint8_t *bytes = flash + offset + SR_PARTITION_ENTRY_SIZE * i;
        memset(bytes, 0, SR_PARTITION_ENTRY_SIZE);
        bytes[0] = 0xAA;
        bytes[1] = 0x50;
        bytes[2] = table.entries[i].type;
        bytes[3] = table.entries[i].subtype;
        sr_bytes_put_le32(bytes + 4, table.entries[i].address);
        sr_bytes_put_le32(bytes + 8, table.entries[i].size);
    }
}

/** Flash with factory, three slots and otadata, by a table that lies at its place. */
static void store_usual(uint32_t offset)
{
    static const unsigned apps[] = {FACTORY, OTA(0), OTA(1), OTA(2)};
    erase_flash();
    put_apps(apps, 4);
    (void)put_data(SR_PARTITION_DATA_OTA, OTADATA_OFFSET, 0x2000);
    store_table(offset);
    memset(&table, 0x55, sizeof(table));
}

static bool make_at(uint32_t offset, unsigned fail_read, sr_boot_choice_t *choice)
{
    const sr_reader_t reader = flash_reader();
    memory.fail_read = fail_read;
    return sr_boot_choice_make_at(&reader, offset, &table, choice);
}

static void the_choice_is_made_by_the_table_in_flash(void **state)
{
    (void)state;
    sr_boot_choice_t choice;
    for (uint32_t offset = TABLE_OFFSET; offset <= TABLE_OFFSET + 0x1000; offset += 0x1000) {
        store_usual(offset);
        put_otadata(0, 2, SR_OTA_VALID);
        assert_true(make_at(offset, 0, &choice));
        assert_ptr_equal(choice.app, &table.entries[2]);
        const unsigned reads = memory.reads;
        for (unsigned fail = 1; fail <= reads; fail++) {
            assert_false(make_at(offset, fail, &choice));
        }
        put_otadata(0, 2, SR_OTA_PENDING_VERIFY);
        assert_false(make_at(offset, 0, &choice));
        put_otadata(0, 2, SR_OTA_VALID);
        flash[offset] ^= 1;
        assert_false(make_at(offset, 0, &choice));
    }
}

static bool always_tries(size_t app, unsigned fail_read)
{
    const sr_reader_t reader = flash_reader();
    memory.fail_read = fail_read;
    return sr_boot_choice_always_tries(&reader, TABLE_OFFSET, address_of(app), &table);
}

static void an_app_is_always_tried_if_with_and_without_rollback(void **state)
{
    (void)state;
    static const struct {
        uint32_t sequences[2];
        uint32_t states[2];
        int app; /**< Position, or -1: none of them always. */
    } cases[] = {
        {{UINT32_MAX, UINT32_MAX}, {0, 0}, 0},
        {{1, UINT32_MAX}, {SR_OTA_VALID, 0}, 1},
        {{1, 2}, {SR_OTA_VALID, SR_OTA_UNDEFINED}, 2},
        {{1, 2}, {SR_OTA_VALID, SR_OTA_NEW}, -1},
        {{1, 2}, {SR_OTA_VALID, SR_OTA_PENDING_VERIFY}, -1},
        {{2, 1}, {SR_OTA_NEW, SR_OTA_VALID}, -1},
        {{2, 1}, {SR_OTA_VALID, SR_OTA_NEW}, 2},
        {{4, 1}, {SR_OTA_NEW, SR_OTA_VALID}, 1}, // both select slot 0
        {{4, 7}, {SR_OTA_NEW, SR_OTA_PENDING_VERIFY}, -1},
        {{4, 1}, {SR_OTA_INVALID, SR_OTA_ABORTED}, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        store_usual(TABLE_OFFSET);
        put_otadata(0, cases[i].sequences[0], cases[i].states[0]);
        put_otadata(1, cases[i].sequences[1], cases[i].states[1]);
        for (int app = 0; app < 4; app++) {
            assert_int_equal(always_tries((size_t)app, 0), app == cases[i].app);
        }
    }
}

static void without_otadata_factory_is_always_tried(void **state)
{
    (void)state;
    static const unsigned apps[] = {OTA(0), FACTORY};
    erase_flash();
    put_apps(apps, 2);
    store_table(TABLE_OFFSET);
    assert_true(always_tries(1, 0));
    assert_false(always_tries(0, 0));
    put_apps(NULL, 0);
    (void)put_data(SR_PARTITION_DATA_NVS, 0x9000, 0x5000);
    store_table(TABLE_OFFSET);
    assert_false(always_tries(1, 0)); // no app at all
}

static void what_cannot_be_told_counts_as_always_tried(void **state)
{
    (void)state;
    store_usual(TABLE_OFFSET);
    assert_false(always_tries(1, 0));
    const unsigned reads = memory.reads;
    for (unsigned fail = 1; fail <= reads; fail++) {
        assert_true(always_tries(1, fail));
    }
    flash[TABLE_OFFSET] ^= 1;
    assert_true(always_tries(1, 0));
    flash[TABLE_OFFSET] ^= 1;
    sr_bytes_put_le32(flash + TABLE_OFFSET + 4 * SR_PARTITION_ENTRY_SIZE + 8, 0x1000); // of otadata, too small
    assert_true(always_tries(1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apps_are_tried_down_to_factory_then_up_then_the_test_app),
        cmocka_unit_test(empty_partitions_are_no_apps),
        cmocka_unit_test(otadata_is_the_last_of_its_kind_and_not_at_0),
        cmocka_unit_test(without_otadata_factory_is_chosen),
        cmocka_unit_test(otadata_selects_a_slot_by_its_sequence),
        cmocka_unit_test(otadata_without_any_slot_selects_factory),
        cmocka_unit_test(otadata_selects_a_slot_even_if_it_is_the_only_one),
        cmocka_unit_test(otadata_has_two_sectors_that_can_be_read),
        cmocka_unit_test(the_first_partition_with_an_image_is_booted),
        cmocka_unit_test(without_any_image_the_choice_stays),
        cmocka_unit_test(no_image_starts_past_the_end_of_the_flash),
        cmocka_unit_test(the_choice_is_made_by_the_table_in_flash),
        cmocka_unit_test(an_app_is_always_tried_if_with_and_without_rollback),
        cmocka_unit_test(without_otadata_factory_is_always_tried),
        cmocka_unit_test(what_cannot_be_told_counts_as_always_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
