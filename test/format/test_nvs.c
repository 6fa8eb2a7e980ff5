// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_crc32.h"
#include "format/sr_nvs.h"
#include "test/support/support_nvs.h"
#include "test/support/support_reader.h"

#define SECTOR SR_SECTOR_SIZE
#define PAGES  6u /**< Of the old partition. */
#define SOURCE SECTOR
#define PLACE  0x10000u
#define GUARD  0xA5u

static uint8_t flash[0x20000];
static uint8_t moved[0x20000];
static struct sr_move list[PAGES + 2];
static sr_moves_t moves;
static sr_nvs_pages_t pages;
static memory_t memory;

static uint8_t *page_at(unsigned index)
{
    return flash + SOURCE + index * SECTOR;
}

/* Bit N: page N is in use. */
static void fill(unsigned pattern)
{
    memset(flash, 0x55, sizeof(flash));
    memset(page_at(0), 0xFF, PAGES * SECTOR);
    for (unsigned i = 0; i < PAGES; i++) {
        if ((pattern >> i & 1) != 0) {
            nvs_page_in_use(page_at(i), 10 + i);
        }
    }
}

static sr_nvs_status_t close_up(uint32_t room)
{
    const sr_reader_t reader = memory_reader(&memory, flash, sizeof(flash));
    memset(list, GUARD, sizeof(list));
    moves = (sr_moves_t){.list = list, .count = 1}; /* One is there already. */
    return sr_nvs_close_up(&reader, (sr_region_t){SOURCE, PAGES * SECTOR}, (sr_region_t){PLACE, room * SECTOR}, &moves,
                           &pages);
}

/* No more moves than were promised, and nothing changed in what is not ours. */
static void assert_list(uint32_t room)
{
    uint8_t untouched[sizeof(list[0])];
    memset(untouched, GUARD, sizeof(untouched));
    assert_true(moves.count - 1 <= sr_nvs_max_moves((sr_region_t){PLACE, room * SECTOR}));
    assert_memory_equal(&list[0], untouched, sizeof(untouched));
    assert_memory_equal(&list[1 + room], untouched, sizeof(untouched));
}

/* Makes the moves, which have to describe all of the new place, from its beginning on. */
static void move_all(uint32_t room)
{
    uint32_t end = PLACE;
    memset(moved, 0x55, sizeof(moved));
    for (uint32_t i = 1; i < moves.count; i++) {
        const struct sr_move *move = &moves.list[i];
        assert_int_equal(move->destination.address, end);
        assert_true(move->destination.size > 0);
        assert_true(move->source.size == move->destination.size || (i + 1 == moves.count && move->source.size == 0));
        memset(moved + end, 0xFF, move->destination.size);
        memcpy(moved + end, flash + move->source.address, move->source.size);
        end += move->destination.size;
    }
    assert_int_equal(end, PLACE + room * SECTOR);
}

static void assert_pages(unsigned pattern, uint32_t room)
{
    uint8_t *at = moved + PLACE;
    for (unsigned i = 0; i < PAGES; i++) {
        if ((pattern >> i & 1) != 0) {
            assert_memory_equal(at, page_at(i), SECTOR);
            at += SECTOR;
        }
    }
    for (; at < moved + PLACE + room * SECTOR; at++) {
        assert_int_equal(*at, 0xFF);
    }
}

static void pages_in_use_keep_their_order_wherever_they_are(void **state)
{
    (void)state;
    for (uint32_t room = 1; room < PAGES; room++) {
        for (unsigned pattern = 0; pattern < 1u << PAGES; pattern++) {
            const uint32_t used = (uint32_t)__builtin_popcount(pattern);
            const uint32_t needed = used < 2 ? 3 : used + 1;
            fill(pattern);
            const sr_nvs_status_t status = close_up(room);
            assert_int_equal(status, needed > room ? SR_NVS_TOO_MANY_PAGES : SR_NVS_FITS);
            assert_int_equal(pages.used, used);
            assert_int_equal(pages.needed, needed);
            assert_list(room);
            if (status == SR_NVS_FITS) { /* Pages side by side move as one; and there is one for what is blank. */
                assert_int_equal(moves.count, 1 + __builtin_popcount(pattern & ~(pattern << 1)) + 1);
                move_all(room);
                assert_pages(pattern, room);
            }
        }
    }
}

/* A page that is written or erased when the power goes may have any byte in it, and NVS may still know what it was. */
static void one_byte_makes_a_page_one_in_use(void **state)
{
    (void)state;
    for (uint32_t at = 0; at < SECTOR; at++) {
        fill(0);
        page_at(4)[at] = 0x7F;
        (void)close_up(4);
        assert_int_equal(pages.used, 1);
    }
}

/* Whatever NVS makes of it. */
static void every_state_of_a_page_is_one_in_use(void **state)
{
    (void)state;
    const uint32_t states[] = {NVS_ACTIVE, NVS_FULL, NVS_FREEING, NVS_CORRUPT, 0, 0x12345678};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        fill(0x0F);
        sr_bytes_put_le32(page_at(3), states[i]);
        page_at(3)[28] ^= (uint8_t)(i & 1); /* The CRC of the header. */
        assert_int_equal(close_up(4), SR_NVS_TOO_MANY_PAGES);
        assert_int_equal(pages.used, 4);
        assert_int_equal(pages.needed, 5);
        assert_int_equal(close_up(5), SR_NVS_FITS);
    }
}

static void encrypt(unsigned page)
{
    for (unsigned i = 0; i < 8; i++) {
        nvs_encrypt(page_at(page), i, page * SECTOR);
    }
}

/* As long as none of its pages changes its offset, it may be encrypted. */
static void what_is_encrypted_stays_at_its_offset(void **state)
{
    (void)state;
    fill(0x07);
    for (unsigned i = 0; i < 3; i++) {
        encrypt(i);
    }
    assert_int_equal(close_up(4), SR_NVS_FITS);
    move_all(4);
    assert_pages(0x07, 4);
    fill(0x0B);
    encrypt(0);
    encrypt(3);
    assert_int_equal(close_up(4), SR_NVS_BOUND_TO_ITS_PLACE);
    assert_int_equal(pages.bound, SOURCE + 3 * SECTOR);
    assert_list(4);
    fill(0x1E);
    encrypt(2);
    encrypt(4);
    assert_int_equal(close_up(5), SR_NVS_BOUND_TO_ITS_PLACE);
    assert_int_equal(pages.bound, SOURCE + 2 * SECTOR); /* The first one. */
    assert_int_equal(close_up(4), SR_NVS_TOO_MANY_PAGES);
}

/* One entry that can be read will do, anywhere; one that was erased does not count, nor does what follows an item. */
static void one_entry_in_plain_text_frees_a_page_of_its_place(void **state)
{
    (void)state;
    for (unsigned plain = 0; plain < NVS_ENTRIES; plain++) {
        fill(0);
        nvs_page(page_at(1), NVS_FULL, 1);
        for (unsigned i = 0; i < NVS_ENTRIES; i++) {
            nvs_item(page_at(1), i, (uint8_t)i);
            nvs_encrypt(page_at(1), i, SECTOR);
        }
        assert_int_equal(close_up(3), SR_NVS_BOUND_TO_ITS_PLACE);
        nvs_item(page_at(1), plain, 1);
        assert_int_equal(close_up(3), SR_NVS_FITS);
        nvs_mark(page_at(1), plain, 0);
        assert_int_equal(close_up(3), SR_NVS_BOUND_TO_ITS_PLACE);
        nvs_mark(page_at(1), plain, 3);
        assert_int_equal(close_up(3), SR_NVS_BOUND_TO_ITS_PLACE);
    }
}

static void each_byte_of_an_entry_counts(void **state)
{
    (void)state;
    for (unsigned at = 0; at < 32; at++) {
        fill(0);
        nvs_page(page_at(2), NVS_ACTIVE, 1);
        nvs_item(page_at(2), 0, 1);
        assert_int_equal(close_up(3), SR_NVS_FITS);
        nvs_entry(page_at(2), 0)[at] ^= 1;
        assert_int_equal(close_up(3), SR_NVS_BOUND_TO_ITS_PLACE);
    }
}

static void page_without_entries_is_free_of_its_place(void **state)
{
    (void)state;
    fill(0);
    nvs_page(page_at(5), NVS_ACTIVE, 1);
    assert_int_equal(close_up(3), SR_NVS_FITS);
    nvs_mark(page_at(5), NVS_ENTRIES, 2); /* There are states for two more, which do not exist. */
    assert_int_equal(close_up(3), SR_NVS_FITS);
    for (unsigned i = 0; i < NVS_ENTRIES; i++) {
        nvs_item(page_at(5), i, 1);
        nvs_encrypt(page_at(5), i, 5 * SECTOR);
        nvs_mark(page_at(5), i, 0);
    }
    assert_int_equal(close_up(3), SR_NVS_FITS);
    move_all(3);
    assert_pages(1u << 5, 3);
}

/* What other versions bind to a place nobody knows. */
static void only_known_versions_change_their_place(void **state)
{
    (void)state;
    for (unsigned version = 0; version <= UINT8_MAX; version++) {
        fill(0x04);
        page_at(2)[8] = (uint8_t)version;
        assert_int_equal(close_up(3), version >= 0xFE ? SR_NVS_FITS : SR_NVS_BOUND_TO_ITS_PLACE);
    }
    fill(0x01);
    page_at(0)[8] = 0;
    assert_int_equal(close_up(3), SR_NVS_FITS);
}

static void each_read_may_fail(void **state)
{
    (void)state;
    fill(0x26);
    assert_int_equal(close_up(4), SR_NVS_FITS);
    const unsigned reads = memory.reads;
    for (unsigned number = 1; number <= reads; number++) {
        const sr_reader_t reader = memory_reader(&memory, flash, sizeof(flash));
        memory.fail_read = number;
        moves = (sr_moves_t){.list = list};
        assert_int_equal(sr_nvs_close_up(&reader, (sr_region_t){SOURCE, PAGES * SECTOR},
                                         (sr_region_t){PLACE, 4 * SECTOR}, &moves, &pages),
                         SR_NVS_READ_FAILED);
    }
}

/* zlib.crc32() in Python. */
static void crc_is_that_of_zlib(void **state)
{
    (void)state;
    const uint8_t *digits = (const uint8_t *)"123456789";
    assert_int_equal(sr_crc32(0, digits, 9), 0xCBF43926);
    assert_int_equal(sr_crc32(sr_crc32(0, digits, 4), digits + 4, 5), 0xCBF43926);
    assert_int_equal(sr_crc32(UINT32_MAX, digits, 9), 0xD202D277);
    assert_int_equal(sr_crc32(77, digits, 0), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_in_use_keep_their_order_wherever_they_are),
        cmocka_unit_test(one_byte_makes_a_page_one_in_use),
        cmocka_unit_test(every_state_of_a_page_is_one_in_use),
        cmocka_unit_test(what_is_encrypted_stays_at_its_offset),
        cmocka_unit_test(one_entry_in_plain_text_frees_a_page_of_its_place),
        cmocka_unit_test(each_byte_of_an_entry_counts),
        cmocka_unit_test(page_without_entries_is_free_of_its_place),
        cmocka_unit_test(only_known_versions_change_their_place),
        cmocka_unit_test(each_read_may_fail),
        cmocka_unit_test(crc_is_that_of_zlib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
