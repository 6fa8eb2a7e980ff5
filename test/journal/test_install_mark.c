// SPDX-License-Identifier: Apache-2.0
/** @file
 * The mark of an installation that is not done: which bytes are one, where one counts, and how it goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "journal/sr_install_mark.h"

#include "test/support/support_failing_search.h"
#include "test/support/support_small.h"

#define SECTOR SR_SECTOR_SIZE
#define SIZE   24u      /**< Bytes of a mark that say something. */
#define FREE   0xD0000u /**< Of no partition, from here on. */
#define LAST   (SMALL_FLASH_SIZE - SECTOR)

/** A chip, and the system that runs on it. */
typedef struct fixture {
    nor_flash_t *nor;
    sr_system_t system;
    sr_writer_t writer;
    uint8_t scratch[SECTOR];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
} fixture_t;

static fixture_t fixture;

static const uint8_t own[SR_BUNDLE_DIGEST_SIZE] = {0x81, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xF0};
static const uint8_t other[SR_BUNDLE_DIGEST_SIZE] = {0x81, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xF1};
static const uint8_t nobody[SR_BUNDLE_DIGEST_SIZE] = {0};

/* What fails. */

static uint32_t unreadable = UINT32_MAX;
static uint32_t unreadable_length;       /**< Reads of so many bytes. */
static uint32_t dead = UINT32_MAX;       /**< A sector that cannot be erased. */
static uint32_t stuck_bits = UINT32_MAX; /**< One that cannot be programmed. */
static uint32_t erases;

esp_err_t __real_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    const esp_err_t err = __real_sr_flash_read(flash, address, out, length);
    return address == unreadable && length == unreadable_length ? ESP_ERR_INVALID_RESPONSE : err;
}

esp_err_t __real_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length)
{
    erases++;
    return address == dead ? ESP_ERR_TIMEOUT : __real_sr_flash_erase(flash, address, length);
}

esp_err_t __real_sr_flash_write(const sr_flash_t *flash, uint32_t address, const void *data, uint32_t length);
esp_err_t __wrap_sr_flash_write(const sr_flash_t *flash, uint32_t address, const void *data, uint32_t length);
esp_err_t __wrap_sr_flash_write(const sr_flash_t *flash, uint32_t address, const void *data, uint32_t length)
{
    return address / SECTOR * SECTOR == stuck_bits ? ESP_ERR_NOT_ALLOWED
                                                   : __real_sr_flash_write(flash, address, data, length);
}

static int setup(void **state)
{
    (void)state;
    fixture = (fixture_t){.nor = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}})};
    small_attach(fixture.nor, SMALL_SLOTS);
    assert_int_equal(sr_system_read(&fixture.system), ESP_OK);
    fixture.writer = (sr_writer_t){.flash = &fixture.system.flash, .readback = fixture.readback, .attempts = 1};
    memset(nor_flash_bytes(fixture.nor) + FREE, 0xFF, SMALL_FLASH_SIZE - FREE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(fixture.nor).bad_programs, 0);
    sim_chip_detach();
    nor_flash_delete(fixture.nor);
    return 0;
}

static uint8_t *at(uint32_t address)
{
    return nor_flash_bytes(fixture.nor) + address;
}

/* As docs/bundle-format.md has it. */
static void write_mark(uint32_t address, const uint8_t *id)
{
    memset(at(address), 0xFF, SECTOR);
    memcpy(at(address), "SRTODO\r\n", 8);
    memcpy(at(address) + 8, id, SR_BUNDLE_DIGEST_SIZE);
}

static uint32_t found_from(uint32_t address)
{
    sr_install_mark_t mark = {.address = 4711};
    const esp_err_t err = sr_install_mark_find(&fixture.system.flash, address, fixture.scratch, &mark);
    assert_true(err == ESP_OK || err == ESP_ERR_NOT_FOUND);
    return err == ESP_OK ? mark.address : UINT32_MAX;
}

static uint32_t own_from(uint32_t address, const uint8_t *id)
{
    sr_install_mark_t mark = {.address = address};
    memcpy(mark.id, id, sizeof(mark.id));
    const esp_err_t err = sr_install_mark_find_own(&fixture.system, &mark, fixture.scratch);
    assert_true(err == ESP_OK || err == ESP_ERR_NOT_FOUND);
    assert_memory_equal(mark.id, id, sizeof(mark.id));
    return err == ESP_OK ? mark.address : UINT32_MAX;
}

static void mark_is_found_from_an_address_on(void **state)
{
    (void)state;
    static const uint32_t marks[] = {FREE, FREE + SECTOR, LAST};
    assert_int_equal(found_from(0), UINT32_MAX);
    for (size_t i = 0; i < 3; i++) {
        write_mark(marks[i], own);
    }
    assert_int_equal(found_from(0), FREE);
    assert_int_equal(found_from(FREE), FREE);
    assert_int_equal(found_from(FREE + SECTOR), FREE + SECTOR);
    assert_int_equal(found_from(FREE + 2 * SECTOR), LAST);
    assert_int_equal(found_from(LAST), LAST);
    assert_int_equal(found_from(SMALL_FLASH_SIZE), UINT32_MAX);
    sr_install_mark_t mark = {.address = 0};
    assert_int_equal(sr_install_mark_find(&fixture.system.flash, LAST, fixture.scratch, &mark), ESP_OK);
    assert_memory_equal(mark.id, own, sizeof(own));
    write_mark(0, own);
    assert_int_equal(found_from(0), 0);
}

/* Each byte of the magic, and each of what follows the id; not those of the id. */
static void sector_with_anything_else_in_it_is_none(void **state)
{
    (void)state;
    write_mark(FREE, own);
    for (uint32_t i = 0; i < SECTOR; i += i < 2 * SIZE || i >= SECTOR - 2 ? 1 : 61) {
        const bool is_id = i >= 8 && i < SIZE;
        at(FREE)[i] ^= 0x20;
        assert_int_equal(found_from(FREE), is_id ? FREE : UINT32_MAX);
        at(FREE)[i] ^= 0x20;
    }
    at(FREE)[SECTOR - 1] ^= 0x20;
    assert_int_equal(found_from(FREE), UINT32_MAX);
}

static void search_that_cannot_read_tells_it(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {SIZE, SECTOR};
    sr_install_mark_t mark = {.address = 0};
    write_mark(FREE + SECTOR, own);
    write_mark(LAST, own);
    for (unsigned i = 0; i < 2; i++) {
        unreadable = FREE + SECTOR;
        unreadable_length = lengths[i];
        const esp_err_t found = sr_install_mark_find(&fixture.system.flash, FREE, fixture.scratch, &mark);
        mark = (sr_install_mark_t){.address = FREE};
        memcpy(mark.id, own, sizeof(own));
        const esp_err_t found_own = sr_install_mark_find_own(&fixture.system, &mark, fixture.scratch);
        const esp_err_t removed = sr_install_mark_remove(&fixture.system, &fixture.writer, own, fixture.scratch);
        unreadable = UINT32_MAX;
        assert_int_equal(found, ESP_ERR_INVALID_RESPONSE);
        assert_int_equal(found_own, ESP_ERR_INVALID_RESPONSE);
        assert_int_equal(removed, ESP_ERR_INVALID_RESPONSE);
    }
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
}

/* Does a sector take the mark without an erase? */
static bool fits(void)
{
    bool result = false;
    sr_install_mark_t mark = {.address = FREE};
    memcpy(mark.id, own, sizeof(own));
    assert_int_equal(sr_install_mark_fits(&fixture.system.flash, &mark, fixture.scratch, &result), ESP_OK);
    return result;
}

static void half_of_a_mark_takes_the_rest_and_nothing_else_does(void **state)
{
    (void)state;
    uint8_t whole[SECTOR];
    assert_true(fits());
    write_mark(FREE, own);
    memcpy(whole, at(FREE), SECTOR);
    assert_true(fits());
    for (uint32_t i = 0; i < SECTOR; i += i < 2 * SIZE ? 1 : 101) {
        for (unsigned bit = 0; bit < 8; bit++) {
            const uint8_t mask = (uint8_t)(1u << bit);
            const bool is_set = (whole[i] & mask) != 0;
            at(FREE)[i] ^= mask;
            assert_int_equal(fits(), !is_set);
            at(FREE)[i] ^= mask;
        }
    }
    at(FREE)[SECTOR - 1] = 0x7F;
    assert_false(fits());
    write_mark(FREE, other);
    assert_false(!fits()); /* One bit more than the own one, that can be cleared. */
    write_mark(FREE, nobody);
    assert_false(fits());
}

static void place_that_cannot_be_read_does_not_take_it(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {SIZE, SECTOR};
    for (unsigned i = 0; i < 2; i++) {
        bool result = true;
        const sr_install_mark_t mark = {.address = FREE};
        unreadable = FREE;
        unreadable_length = lengths[i];
        const esp_err_t err = sr_install_mark_fits(&fixture.system.flash, &mark, fixture.scratch, &result);
        unreadable = UINT32_MAX;
        assert_int_equal(err, ESP_ERR_INVALID_RESPONSE);
        assert_false(result);
    }
}

static void mark_is_written_voided_and_cleared(void **state)
{
    (void)state;
    sr_install_mark_t mark = {.address = FREE};
    uint8_t *before = small_copy(fixture.nor);
    memcpy(mark.id, own, sizeof(own));
    memset(fixture.scratch, 0, SECTOR);
    erases = 0;
    assert_int_equal(sr_install_mark_put(&fixture.writer, &mark, fixture.scratch), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 1);
    write_mark(LAST, own);
    assert_memory_equal(at(FREE), at(LAST), SECTOR);
    assert_int_equal(sr_install_mark_void(&fixture.writer, FREE, fixture.scratch), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 2);
    assert_int_equal(erases, 0);
    write_mark(LAST, nobody);
    assert_memory_equal(at(FREE), at(LAST), SECTOR);
    assert_int_equal(sr_install_mark_clear(&fixture.writer, FREE, fixture.scratch), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 3);
    assert_int_equal(erases, 1);
    small_assert_same(nor_flash_view(fixture.nor), before, 0, LAST);
    free(before);
}

static void write_that_fails_is_told_with_its_address(void **state)
{
    (void)state;
    const sr_install_mark_t mark = {.address = FREE};
    stuck_bits = FREE;
    const esp_err_t put = sr_install_mark_put(&fixture.writer, &mark, fixture.scratch);
    assert_int_equal(fixture.writer.failed_address, FREE);
    write_mark(FREE, own);
    fixture.writer.failed_address = 0;
    dead = FREE;
    erases = 0;
    const esp_err_t voided = sr_install_mark_clear(&fixture.writer, FREE, fixture.scratch);
    assert_int_equal(fixture.writer.failed_address, FREE);
    stuck_bits = UINT32_MAX;
    const esp_err_t cleared = sr_install_mark_clear(&fixture.writer, FREE, fixture.scratch);
    dead = UINT32_MAX;
    assert_int_equal(put, ESP_ERR_NOT_ALLOWED);
    assert_int_equal(voided, ESP_ERR_NOT_ALLOWED);
    assert_int_equal(cleared, ESP_ERR_TIMEOUT);
    assert_memory_equal(at(FREE) + 8, nobody, sizeof(nobody));
}

/* Anyone who can store a file could make one. */
static void mark_in_a_data_partition_does_not_count(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        bool counts;
    } cases[] = {{SMALL_NVS - SECTOR, true},
                 {SMALL_NVS, false},
                 {SMALL_NVS + SMALL_NVS_SIZE - SECTOR, false},
                 {SMALL_OTADATA + SECTOR, false},
                 {SMALL_OTADATA + 2 * SECTOR, true},
                 {SMALL_SLOTS + SMALL_SLOT_SIZE - SECTOR, true},
                 {FREE, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool counts = !cases[i].counts;
        assert_int_equal(sr_install_mark_counts(cases[i].address, &counts), ESP_OK);
        assert_int_equal(counts, cases[i].counts);
        uint8_t kept[SECTOR];
        memcpy(kept, at(cases[i].address), SECTOR);
        write_mark(cases[i].address, own);
        assert_int_equal(own_from(cases[i].address, own), cases[i].counts ? cases[i].address : UINT32_MAX);
        memcpy(at(cases[i].address), kept, SECTOR);
    }
}

static void own_mark_is_found_behind_others(void **state)
{
    (void)state;
    write_mark(SMALL_NVS, own); /* Does not count. */
    write_mark(FREE, other);
    write_mark(FREE + SECTOR, nobody);
    assert_int_equal(own_from(0, own), UINT32_MAX);
    write_mark(FREE + 2 * SECTOR, own);
    write_mark(LAST, own);
    assert_int_equal(own_from(0, own), FREE + 2 * SECTOR);
    assert_int_equal(own_from(FREE + 2 * SECTOR, own), FREE + 2 * SECTOR);
    assert_int_equal(own_from(FREE + 3 * SECTOR, own), LAST);
    assert_int_equal(own_from(0, other), FREE);
    assert_int_equal(own_from(0, nobody), FREE + SECTOR);
}

static void without_memory_no_mark_counts_and_none_is_removed(void **state)
{
    (void)state;
    bool counts = false;
    sr_install_mark_t mark = {.address = 0};
    memcpy(mark.id, own, sizeof(own));
    write_mark(FREE, own);
    failing_search = ALL_SEARCHES;
    const esp_err_t counted = sr_install_mark_counts(FREE, &counts);
    const esp_err_t found = sr_install_mark_find_own(&fixture.system, &mark, fixture.scratch);
    const esp_err_t removed = sr_install_mark_remove(&fixture.system, &fixture.writer, own, fixture.scratch);
    failing_search = 0;
    assert_int_equal(counted, ESP_ERR_NO_MEM);
    assert_int_equal(found, ESP_ERR_NO_MEM);
    assert_int_equal(removed, ESP_ERR_NO_MEM);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
}

static void all_marks_of_one_manifest_are_removed(void **state)
{
    (void)state;
    static const uint32_t marks[] = {FREE + SECTOR, FREE + 2 * SECTOR, FREE + 4 * SECTOR, LAST};
    uint8_t *before;
    write_mark(FREE, other);
    write_mark(SMALL_NVS, own); /* Does not count. */
    write_mark(FREE + 3 * SECTOR, nobody);
    before = small_copy(fixture.nor);
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        write_mark(marks[i], own);
    }
    dead = marks[1];
    const esp_err_t failed = sr_install_mark_remove(&fixture.system, &fixture.writer, own, fixture.scratch);
    dead = UINT32_MAX;
    assert_int_equal(failed, ESP_ERR_TIMEOUT);
    assert_int_equal(own_from(0, own), marks[2]); /* The one before it is void. */
    write_mark(marks[1], own);
    assert_int_equal(sr_install_mark_remove(&fixture.system, &fixture.writer, own, fixture.scratch), ESP_OK);
    small_assert_same(nor_flash_view(fixture.nor), before, 0, SMALL_FLASH_SIZE);
    const uint32_t operations = nor_flash_stats(fixture.nor).operations;
    assert_int_equal(sr_install_mark_remove(&fixture.system, &fixture.writer, own, fixture.scratch), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, operations);
    free(before);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mark_is_found_from_an_address_on),
        TEST(sector_with_anything_else_in_it_is_none),
        TEST(search_that_cannot_read_tells_it),
        TEST(half_of_a_mark_takes_the_rest_and_nothing_else_does),
        TEST(place_that_cannot_be_read_does_not_take_it),
        TEST(mark_is_written_voided_and_cleared),
        TEST(write_that_fails_is_told_with_its_address),
        TEST(mark_in_a_data_partition_does_not_count),
        TEST(own_mark_is_found_behind_others),
        TEST(without_memory_no_mark_counts_and_none_is_removed),
        TEST(all_marks_of_one_manifest_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
