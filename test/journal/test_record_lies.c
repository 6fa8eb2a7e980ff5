// SPDX-License-Identifier: Apache-2.0
/** @file
 * Records of which each number is another one in turn: none of them is believed. What else is not, test_record_trust
 * says; this takes longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/support/support_trust.h"

/* Each byte of each entry, with a new seal: none of them can be anything else. */
static void every_byte_of_an_entry_counts(void **state)
{
    (void)state;
    make_bundle(&moving_target, own_private);
    make_record(&moving_target);
    for (uint32_t i = 0; i < record.header.count * 32; i++) {
        for (unsigned bit = i % 3; bit < 8; bit += 3) {
            uint8_t *byte = record.list + SR_PAGE_SIZE + i;
            *byte = (uint8_t)(*byte ^ 1u << bit);
            expect_ignored(RECORD, "with a bit of an entry changed");
            *byte = (uint8_t)(*byte ^ 1u << bit);
        }
    }
    put(RECORD);
    memcpy(wanted + MOVED, nor_flash_view(flash) + SMALL_NVS, SMALL_NVS_SIZE);
    expect_finished();
}

/* Numbers that wrap a sum or a product of 32 bits, and those next to them. */
static void no_number_is_too_large(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {0,          1,          112,        113,        255,        0x100,
                                       0x1000,     0xFF000,    0x100000,   0x000FFFFF, 0x15555555, 0x15555556,
                                       0x2AAAAAAB, 0x40000000, 0x55555556, 0x7FFFFFFF, 0x80000000, 0xAAAAAAAB,
                                       0xFFFFEFFF, 0xFFFFF000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF};
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    const uint32_t entry_count = record.header.count;
    for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
        for (uint32_t i = 0; i < entry_count; i++) {
            for (unsigned field = 0; field < 4; field++) {
                make_record(&system_target);
                sr_record_entry_t entry = sr_record_read_entry(record.list, i);
                uint32_t *const fields[] = {&entry.address, &entry.sectors, &entry.data_index, NULL};
                if (field < 3 && (*fields[field] == numbers[n] || (field == 2 && entry.blank))) {
                    continue;
                }
                if (field < 3) {
                    *fields[field] = numbers[n];
                } else {
                    entry.group = (sr_record_group_t)(5u + (numbers[n] & 0x7Fu));
                }
                sr_record_write_entry(record.list, i, &entry);
                expect_ignored(RECORD, "with a number that is none");
            }
        }
        for (unsigned field = 0; field < 3; field++) {
            make_record(&system_target);
            uint32_t *const fields[] = {&record.header.count, &record.header.sectors, &record.header.manifest_size};
            const uint32_t right = *fields[field];
            put(RECORD);
            if (numbers[n] == right) {
                continue;
            }
            *fields[field] = numbers[n];
            assert_true(sr_record_write_header(record.list, &record.header));
            *fields[field] = right;
            memcpy(nor_flash_bytes(flash) + RECORD + SECTOR, record.list, SECTOR);
            if (field == 1) {
                sr_record_write_mark(nor_flash_bytes(flash) + RECORD, numbers[n]);
            }
            memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
            assert_int_equal(run(resume), SIM_END_RETURNED);
            assert_int_equal(job->err, ESP_OK);
            assert_int_equal(nor_flash_stats(flash).operations, 0);
            memset(nor_flash_bytes(flash) + RECORD, 0xFF, 0x10000);
        }
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_byte_of_an_entry_counts),
        TEST(no_number_is_too_large),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
