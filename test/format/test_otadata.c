// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_otadata.h"
#include "format/sr_region.h"
#include "test/support/support_reader.h"

#define PARTITION_SIZE (2 * SR_SECTOR_SIZE)

static sr_otadata_entry_t entry(uint32_t sequence, uint32_t state)
{
    return (sr_otadata_entry_t){.sequence = sequence, .state = state, .crc = sr_otadata_crc(sequence)};
}

static int active(sr_otadata_entry_t first, sr_otadata_entry_t second)
{
    sr_otadata_t otadata = {.entries = {first, second}};
    return sr_otadata_active(&otadata);
}

static void crc_is_that_of_zlib_seeded_with_ones(void **state)
{
    (void)state;
    // zlib.crc32(sequence.to_bytes(4, "little"), 0xFFFFFFFF) in Python.
    static const struct {
        uint32_t sequence;
        uint32_t crc;
    } samples[] = {{0x00000000, 0xFFFFFFFF}, {0x00000001, 0x4743989A}, {0x00000002, 0x55F63774},
                   {0x00000003, 0xED4A5011}, {0x7FFFFFFF, 0xCCFC5C3C}, {0x80000000, 0x12477CDF},
                   {0x12345678, 0x71D6A731}, {0xFFFFFFFE, 0x99F8B879}, {0xFFFFFFFF, 0x2144DF1C}};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        assert_int_equal(sr_otadata_crc(samples[i].sequence), samples[i].crc);
    }
}

static void encoded_entry_has_the_bytes_of_esp_idf(void **state)
{
    (void)state;
    static const uint8_t expected[SR_OTADATA_ENTRY_SIZE] = {
        0x01, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02, 0x00, 0x00, 0x00, 0x9A, 0x98, 0x43, 0x47,
    };
    uint8_t encoded[SR_OTADATA_ENTRY_SIZE];
    sr_otadata_encode(1, SR_OTA_VALID, encoded);
    assert_memory_equal(encoded, expected, sizeof(expected));
}

static void both_sectors_are_read_back(void **state)
{
    (void)state;
    uint8_t bytes[PARTITION_SIZE];
    memset(bytes, 0xFF, sizeof(bytes));
    sr_otadata_encode(7, SR_OTA_NEW, bytes);
    sr_otadata_encode(0xFFFFFFFE, SR_OTA_UNDEFINED, bytes + SR_SECTOR_SIZE);
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
    sr_otadata_t otadata;
    assert_int_equal(sr_otadata_read(&reader, &otadata), 0);
    assert_int_equal(otadata.entries[0].sequence, 7);
    assert_int_equal(otadata.entries[0].state, SR_OTA_NEW);
    assert_int_equal(otadata.entries[0].crc, sr_otadata_crc(7));
    assert_int_equal(otadata.entries[1].sequence, 0xFFFFFFFE);
    assert_int_equal(otadata.entries[1].state, SR_OTA_UNDEFINED);
    assert_int_equal(sr_otadata_active(&otadata), 1);
}

static void read_error_is_handed_up(void **state)
{
    (void)state;
    static const uint8_t bytes[PARTITION_SIZE];
    for (unsigned fail = 1; fail <= 2; fail++) {
        memory_t memory;
        sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
        memory.fail_read = fail;
        sr_otadata_t otadata;
        assert_int_equal(sr_otadata_read(&reader, &otadata), MEMORY_READ_ERROR);
    }
}

static void small_partition_is_refused_unread(void **state)
{
    (void)state;
    static const uint8_t bytes[PARTITION_SIZE];
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes) - 1);
    sr_otadata_t otadata;
    assert_int_equal(sr_otadata_read(&reader, &otadata), -1);
    assert_int_equal(memory.reads, 0);
}

static void only_invalid_aborted_erased_and_bad_crc_are_passed_over(void **state)
{
    (void)state;
    static const struct {
        uint32_t state;
        bool valid;
    } states[] = {
        {SR_OTA_NEW, true},
        {SR_OTA_PENDING_VERIFY, true},
        {SR_OTA_VALID, true},
        {SR_OTA_INVALID, false},
        {SR_OTA_ABORTED, false},
        {SR_OTA_UNDEFINED, true},
        {5, true},
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        sr_otadata_entry_t sample = entry(1, states[i].state);
        assert_int_equal(sr_otadata_entry_valid(&sample), states[i].valid);
    }
    sr_otadata_entry_t erased = entry(0xFFFFFFFF, SR_OTA_UNDEFINED);
    assert_false(sr_otadata_entry_valid(&erased));
    sr_otadata_entry_t zero = entry(0, SR_OTA_UNDEFINED);
    assert_true(sr_otadata_entry_valid(&zero));
    for (unsigned bit = 0; bit < 32; bit++) {
        sr_otadata_entry_t broken = entry(1, SR_OTA_UNDEFINED);
        broken.crc ^= UINT32_C(1) << bit;
        assert_false(sr_otadata_entry_valid(&broken));
        broken = entry(1, SR_OTA_UNDEFINED);
        broken.sequence ^= UINT32_C(1) << bit;
        assert_false(sr_otadata_entry_valid(&broken));
    }
}

static void new_and_pending_apps_are_on_probation(void **state)
{
    (void)state;
    const uint32_t states[] = {
        SR_OTA_NEW, SR_OTA_PENDING_VERIFY, SR_OTA_VALID, SR_OTA_INVALID, SR_OTA_ABORTED, SR_OTA_UNDEFINED, 5};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        const sr_otadata_entry_t sample = entry(1, states[i]);
        assert_int_equal(sr_otadata_on_probation(&sample), i < 2);
    }
}

static void highest_valid_sequence_is_active(void **state)
{
    (void)state;
    sr_otadata_entry_t erased = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    assert_int_equal(active(erased, erased), -1);
    assert_int_equal(active(entry(1, SR_OTA_UNDEFINED), erased), 0);
    assert_int_equal(active(erased, entry(1, SR_OTA_UNDEFINED)), 1);
    assert_int_equal(active(entry(2, SR_OTA_UNDEFINED), entry(3, SR_OTA_UNDEFINED)), 1);
    assert_int_equal(active(entry(4, SR_OTA_UNDEFINED), entry(3, SR_OTA_UNDEFINED)), 0);
    assert_int_equal(active(entry(3, SR_OTA_UNDEFINED), entry(3, SR_OTA_UNDEFINED)), 0);
    assert_int_equal(active(entry(0x80000000, SR_OTA_UNDEFINED), entry(0x7FFFFFFF, SR_OTA_UNDEFINED)), 0);
    assert_int_equal(active(entry(3, SR_OTA_UNDEFINED), entry(4, SR_OTA_ABORTED)), 0);
    assert_int_equal(active(entry(4, SR_OTA_INVALID), entry(3, SR_OTA_UNDEFINED)), 1);
    assert_int_equal(active(entry(4, SR_OTA_INVALID), entry(3, SR_OTA_ABORTED)), -1);
}

static void published_otadata_selects_the_first_slot(void **state)
{
    (void)state;
    static const char *const names[] = {"wled/binaries/esp32_bootloader_v4.bin", "esphome/esp32.bin"};
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        uint8_t *bytes = load_fixture(names[i], &size);
        memory_t memory;
        // WLED's file ends one byte before the end of the second sector.
        uint8_t partition[PARTITION_SIZE] = {0};
        memcpy(partition, bytes + 0xE000, PARTITION_SIZE - 1);
        free(bytes);
        sr_reader_t reader = memory_reader(&memory, partition, sizeof(partition));
        sr_otadata_t otadata;
        assert_int_equal(sr_otadata_read(&reader, &otadata), 0);
        assert_int_equal(otadata.entries[0].sequence, 1);
        assert_int_equal(otadata.entries[0].crc, 0x4743989A);
        assert_int_equal(sr_otadata_active(&otadata), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_that_of_zlib_seeded_with_ones),
        cmocka_unit_test(encoded_entry_has_the_bytes_of_esp_idf),
        cmocka_unit_test(both_sectors_are_read_back),
        cmocka_unit_test(read_error_is_handed_up),
        cmocka_unit_test(small_partition_is_refused_unread),
        cmocka_unit_test(only_invalid_aborted_erased_and_bad_crc_are_passed_over),
        cmocka_unit_test(new_and_pending_apps_are_on_probation),
        cmocka_unit_test(highest_valid_sequence_is_active),
        cmocka_unit_test(published_otadata_selects_the_first_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
