// SPDX-License-Identifier: Apache-2.0
/** @file
 * The map of the flash: marks, free flash, block erases, and the numbers of a plan, which are worked out by hand here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bundle/sr_map.h"

#include "make/bundle_writer.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR SR_SECTOR_SIZE
#define COUNT  64u /**< Sectors of the flash: four blocks. */

/* Of the W25Q32JV, in microseconds, as nor_timing.c has them. */
#define PAGE_US   400u
#define ERASE_US  45000u
#define BLOCK_US  150000u
#define PAGE_MAX  3000u
#define ERASE_MAX 400000u
#define BLOCK_MAX 2000000u

static sr_map_flags_t flags[COUNT + 1]; /**< The last one lies past the map. */
static sr_map_flags_t past_the_map;
static sr_map_t map = {.flags = flags, .count = COUNT, .row = SR_PAGE_SIZE};

static void clear_map(void)
{
    memset(flags, 0, sizeof(flags));
    flags[COUNT] = past_the_map;
}

static int setup(void **state)
{
    (void)state;
    clear_map();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(flags[COUNT], past_the_map);
    return 0;
}

static void set(uint32_t first, uint32_t count, sr_map_flags_t value)
{
    for (uint32_t i = first; i < first + count; i++) {
        flags[i] = value;
    }
}

/* Marks. */

static void assert_marked(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(flags[i], i >= first && i < first + count ? SR_MAP_DATA : 0);
    }
    assert_int_equal(flags[COUNT], past_the_map);
    clear_map();
}

static void every_sector_that_a_region_touches_is_marked(void **state)
{
    (void)state;
    sr_map_mark(&map, (sr_region_t){2 * SECTOR, 3 * SECTOR}, SR_MAP_DATA);
    assert_marked(2, 3);
    sr_map_mark(&map, (sr_region_t){2 * SECTOR + 1, SECTOR}, SR_MAP_DATA);
    assert_marked(2, 2);
    sr_map_mark(&map, (sr_region_t){3 * SECTOR - 1, 2}, SR_MAP_DATA);
    assert_marked(2, 2);
    sr_map_mark(&map, (sr_region_t){2 * SECTOR, 1}, SR_MAP_DATA);
    assert_marked(2, 1);
    sr_map_mark(&map, (sr_region_t){2 * SECTOR + 5, 0}, SR_MAP_DATA);
    assert_marked(0, 0);
}

static void marks_end_with_the_flash(void **state)
{
    (void)state;
    sr_map_mark(&map, (sr_region_t){(COUNT - 1) * SECTOR, 4 * SECTOR}, SR_MAP_DATA);
    assert_marked(COUNT - 1, 1);
    sr_map_mark(&map, (sr_region_t){COUNT * SECTOR, SECTOR}, SR_MAP_DATA);
    assert_marked(0, 0);
    sr_map_mark(&map, (sr_region_t){0, UINT32_MAX}, SR_MAP_DATA);
    assert_marked(0, COUNT);
    sr_map_mark(&map, (sr_region_t){UINT32_MAX, UINT32_MAX}, SR_MAP_DATA);
    assert_marked(0, 0);
}

static void marks_add_up(void **state)
{
    (void)state;
    sr_map_mark(&map, (sr_region_t){0, SECTOR}, SR_MAP_DATA);
    sr_map_mark(&map, (sr_region_t){0, SECTOR}, SR_MAP_BLANK);
    assert_int_equal(sr_map_at(&map, SECTOR - 1), SR_MAP_DATA | SR_MAP_BLANK);
    assert_int_equal(sr_map_at(&map, SECTOR), 0);
}

static void body_is_what_must_be_written_and_nobody_needs(void **state)
{
    (void)state;
    assert_true(sr_map_is_body(SR_MAP_TARGET | SR_MAP_WRONG));
    assert_true(sr_map_is_body(SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_BLANK | SR_MAP_CONTENT));
    assert_false(sr_map_is_body(SR_MAP_TARGET));
    assert_false(sr_map_is_body(SR_MAP_WRONG | SR_MAP_BOOT_PATH));
    assert_false(sr_map_is_body(SR_MAP_WRONG | SR_MAP_RUNNING_APP));
    assert_false(sr_map_is_body(SR_MAP_WRONG | SR_MAP_DATA));
    /* What moves is written later, and not from the bundle. */
    assert_false(sr_map_is_body(SR_MAP_CONTENT | SR_MAP_WRONG));
    assert_true(sr_map_is_moved_body(SR_MAP_CONTENT | SR_MAP_WRONG));
    assert_false(sr_map_is_moved_body(SR_MAP_CONTENT));
    assert_false(sr_map_is_moved_body(SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_DATA));
    assert_false(sr_map_is_moved_body(SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_TARGET));
}

/* Free flash. */

static void free_flash_is_blank_or_will_be_and_nobody_needs_it(void **state)
{
    (void)state;
    static const struct {
        sr_map_flags_t flags;
        bool is_free;
    } cases[] = {
        {0, false}, /* Something is there. */
        {SR_MAP_BLANK, true},
        {SR_MAP_TARGET | SR_MAP_WRONG, true}, /* To be erased. */
        {SR_MAP_TARGET | SR_MAP_BLANK, true},
        {SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG, false},
        {SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_BLANK | SR_MAP_WRONG, false},
        {SR_MAP_BLANK | SR_MAP_SOURCE, false},
        {SR_MAP_BLANK | SR_MAP_MARK, false},
        {SR_MAP_BLANK | SR_MAP_DATA, false}, /* An empty sector of a file system is not free. */
        {SR_MAP_BLANK | SR_MAP_BOOT_PATH, false},
        {SR_MAP_BLANK | SR_MAP_RUNNING_APP, false},
        {SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_DATA, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set(0, COUNT, 0);
        flags[17] = cases[i].flags;
        assert_int_equal(sr_map_find_free(&map, NULL, 1), cases[i].is_free ? 17 * SECTOR : UINT32_MAX);
    }
}

static void first_run_that_is_long_enough_is_found(void **state)
{
    (void)state;
    set(3, 2, SR_MAP_BLANK);
    set(10, 4, SR_MAP_BLANK);
    set(COUNT - 6, 6, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_free(&map, NULL, 1), 3 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 2), 3 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 3), 10 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 4), 10 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 5), (COUNT - 6) * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 6), (COUNT - 6) * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 7), UINT32_MAX);
    set(0, COUNT, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_free(&map, NULL, COUNT), 0);
    assert_int_equal(sr_map_find_free(&map, NULL, COUNT + 1), UINT32_MAX);
}

/* Partitions end in front of sectors 12 and 20. */
static uint32_t partition_end(void *context, uint32_t address)
{
    (void)context;
    return address < 12 * SECTOR ? 12 * SECTOR : address < 20 * SECTOR ? 20 * SECTOR : COUNT * SECTOR;
}

static void record_goes_no_further_than_its_mark_counts(void **state)
{
    (void)state;
    const sr_map_reach_t reach = {.end = partition_end};
    set(0, COUNT, 0);
    set(10, 12, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_free(&map, &reach, 2), 10 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, &reach, 3), 12 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, &reach, 8), 12 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, &reach, 9), UINT32_MAX);
    assert_int_equal(sr_map_find_free(&map, NULL, 12), 10 * SECTOR);
    assert_int_equal(sr_map_longest_free(&map, &reach).address, 12 * SECTOR);
    assert_int_equal(sr_map_longest_free(&map, &reach).size, 8 * SECTOR);
    /* What the bundle erases anyway is never left in the way. */
    set(20, 2, SR_MAP_TARGET | SR_MAP_WRONG);
    assert_int_equal(sr_map_find_free(&map, &reach, 10), 12 * SECTOR);
    set(22, 1, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_free(&map, &reach, 11), UINT32_MAX);
}

static uint32_t own_address(void *context, uint32_t address)
{
    (void)context;
    return address;
}

/* Outside of partitions it claims no more than its own sector, and what the bundle erases. */
static void record_whose_mark_counts_nowhere_has_one_sector(void **state)
{
    (void)state;
    const sr_map_reach_t reach = {.end = own_address};
    set(10, 12, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_free(&map, &reach, 1), 10 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, &reach, 2), UINT32_MAX);
    assert_int_equal(sr_map_longest_free(&map, &reach).size, SECTOR);
    set(13, 2, SR_MAP_TARGET | SR_MAP_WRONG);
    assert_int_equal(sr_map_find_free(&map, &reach, 3), 12 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, &reach, 4), UINT32_MAX);
    assert_int_equal(sr_map_longest_free(&map, &reach).address, 12 * SECTOR);
    assert_int_equal(sr_map_longest_free(&map, &reach).size, 3 * SECTOR);
}

static uint32_t find_record(uint32_t data, uint32_t *taken)
{
    *taken = data;
    return sr_map_find_record(&map, NULL, 2, true, taken) / SECTOR;
}

static void record_fills_a_block_where_erasing_it_is_quicker_then(void **state)
{
    (void)state;
    uint32_t taken;
    set(3, COUNT - 3, SR_MAP_BLANK);
    assert_int_equal(find_record(3, &taken), 3); /* Three erases are quicker than one of a block. */
    assert_int_equal(taken, 3);
    assert_int_equal(find_record(4, &taken), 14);
    assert_int_equal(taken, 16);
    assert_int_equal(find_record(16, &taken), 14);
    assert_int_equal(taken, 16);
    assert_int_equal(find_record(17, &taken), 14); /* One erase more is quicker than a second block. */
    assert_int_equal(taken, 17);
    assert_int_equal(find_record(21, &taken), 14);
    assert_int_equal(taken, 32);
    flags[31] = 0; /* The block is not free. */
    assert_int_equal(find_record(4, &taken), 30 + 16);
    flags[COUNT - 1] = 0;
    assert_int_equal(find_record(4, &taken), 3);
    assert_int_equal(taken, 4);
    flags[COUNT - 1] = SR_MAP_BLANK | SR_MAP_NEW_DATA; /* Not worth it there. */
    assert_int_equal(find_record(4, &taken), 3);
    assert_int_equal(taken, 4);
    set(0, COUNT, 0);
    assert_int_equal(find_record(0, &taken), UINT32_MAX / SECTOR);
}

static void record_stays_clear_of_the_ends_of_slots_that_are_not_known(void **state)
{
    (void)state;
    uint32_t data = 4;
    set(8, COUNT - 8, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_record(&map, NULL, 2, false, &data), 16 * SECTOR);
    assert_int_equal(data, 4);
    data = 10;
    assert_int_equal(sr_map_find_record(&map, NULL, 2, false, &data), 16 * SECTOR);
    data = 11; /* Does not fit in front of one. */
    assert_int_equal(sr_map_find_record(&map, NULL, 2, false, &data), 8 * SECTOR);
    assert_int_equal(data, 11);
    data = 2;
    assert_int_equal(sr_map_find_record(&map, NULL, 2, false, &data), 8 * SECTOR);
}

/* Block erases. */

static void block_is_erased_at_once_if_that_is_quicker_and_loses_nothing(void **state)
{
    (void)state;
    const sr_map_flags_t body = SR_MAP_TARGET | SR_MAP_WRONG;
    set(16, 16, SR_MAP_TARGET | SR_MAP_BLANK);
    set(16, 3, body);
    assert_false(sr_map_block_erase(&map, SR_BLOCK_SIZE)); /* 3 x 45 ms are less than 150 ms. */
    set(16, 4, body);
    assert_true(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    set(16, 16, body);
    assert_true(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    /* Blank ones that will be written cost no erase. */
    set(16, 16, body | SR_MAP_BLANK);
    set(16, 3, body);
    assert_false(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    set(16, 16, body);
    flags[31] = 0; /* Belongs to somebody else. */
    assert_false(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    flags[31] = SR_MAP_TARGET; /* Right already. */
    assert_false(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    flags[31] = body | SR_MAP_DATA; /* Its turn comes later. */
    assert_false(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    flags[31] = SR_MAP_TARGET | SR_MAP_BLANK | SR_MAP_DATA;
    assert_false(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    flags[31] = SR_MAP_BLANK; /* What the bundle does not mention is not touched. */
    assert_false(sr_map_block_erase(&map, SR_BLOCK_SIZE));
    flags[31] = SR_MAP_TARGET | SR_MAP_BLANK;
    assert_true(sr_map_block_erase(&map, SR_BLOCK_SIZE));
}

static void block_must_be_whole(void **state)
{
    (void)state;
    const sr_map_t short_map = {.flags = flags, .count = 31};
    set(0, COUNT, SR_MAP_TARGET | SR_MAP_WRONG);
    assert_true(sr_map_block_erase(&short_map, 0));
    assert_false(sr_map_block_erase(&short_map, SR_BLOCK_SIZE));
    assert_true(sr_map_block_erase(&map, COUNT * SECTOR - SR_BLOCK_SIZE)); /* Up to the end of the flash. */
}

/* The block of the boot path. */

#define BOOT (SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_CONTENT | SR_MAP_BOOT_PATH)

/* A boot path of four sectors in the second block, and free flash in the third. */
static void set_boot_path(void)
{
    set(0, COUNT, 0);
    set(16, 16, SR_MAP_TARGET | SR_MAP_BLANK);
    set(17, 4, BOOT);
    set(32, 16, SR_MAP_BLANK);
}

static bool claims_with(sr_map_flags_t other, uint16_t owned)
{
    sr_map_flags_t before[COUNT];
    set_boot_path();
    flags[31] = other;
    memcpy(before, flags, sizeof(before));
    sr_map_claim_block(&map, NULL, 6, owned);
    const sr_region_t claimed = sr_map_claimed(&map);
    if (claimed.size == 0) {
        assert_memory_equal(flags, before, sizeof(before));
        return false;
    }
    assert_int_equal(claimed.address, SR_BLOCK_SIZE);
    assert_int_equal(claimed.size, SR_BLOCK_SIZE);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(flags[i], before[i] | (i >= 16 && i < 32 ? SR_MAP_CLAIMED : 0));
    }
    return true;
}

static void boot_path_begins_to_change_in_the_block_of_its_first_wrong_sector(void **state)
{
    (void)state;
    static const sr_map_flags_t committed[] = {SR_MAP_BOOT_PATH, SR_MAP_CLAIMED, SR_MAP_RECOVERY};
    for (uint32_t i = 0; i < COUNT; i++) {
        clear_map();
        set(0, i, SR_MAP_WRONG); /* No boot path. */
        assert_int_equal(sr_map_boot_block(&map), UINT32_MAX);
        set(0, i, SR_MAP_BOOT_PATH); /* Right already. */
        assert_int_equal(sr_map_boot_block(&map), UINT32_MAX);
        flags[i] = committed[i % 3] | SR_MAP_WRONG;
        assert_int_equal(sr_map_boot_block(&map), i / 16 * SR_BLOCK_SIZE);
    }
}

/* The first and the last one, too, whatever lies beside them. */
static void any_block_is_claimed(void **state)
{
    (void)state;
    for (uint32_t first = 0; first < COUNT; first += 16) {
        clear_map();
        set((first + 32) % COUNT, 8, SR_MAP_BLANK);
        set(first, 16, SR_MAP_TARGET | SR_MAP_BLANK);
        set(first + 12, 4, BOOT);
        set(first, 5, SR_MAP_TARGET | SR_MAP_WRONG); /* What is only erased does not wait in RAM. */
        sr_map_claim_block(&map, NULL, 8, 0);
        const sr_region_t claimed = sr_map_claimed(&map);
        assert_int_equal(claimed.address, first * SECTOR);
        assert_int_equal(claimed.size, SR_BLOCK_SIZE);
    }
}

/* Nothing is put into a sector that the driver refuses to write, and no block erase covers it. */
static void closed_sectors(void **state)
{
    (void)state;
    static const sr_map_flags_t reasons[] = {SR_MAP_CLOSED_NOW, SR_MAP_CLOSED_THEN};
    for (unsigned i = 0; i < 2; i++) {
        const bool now = reasons[i] == SR_MAP_CLOSED_NOW;
        assert_int_equal(claims_with(reasons[i] | SR_MAP_TARGET | SR_MAP_BLANK, 0), !now);
        assert_int_equal(claims_with(reasons[i] | SR_MAP_TARGET | SR_MAP_WRONG, 0), !now);
        set(0, COUNT, 0);
        set(16, 16, SR_MAP_TARGET | SR_MAP_WRONG);
        sr_map_mark(&map, (sr_region_t){31 * SECTOR, 1}, reasons[i]);
        assert_int_equal(sr_map_block_erase(&map, SR_BLOCK_SIZE), !now);
        assert_int_equal(sr_map_find_free(&map, NULL, 15), 16 * SECTOR);
        assert_int_equal(sr_map_find_free(&map, NULL, 16), UINT32_MAX);
        assert_int_equal(sr_map_longest_free(&map, NULL).size, 15 * SECTOR);
    }
}

static void flags_are_set_cleared_and_put_back(void **state)
{
    (void)state;
    sr_map_mark(&map, (sr_region_t){(COUNT - 1) * SECTOR, 0x80000000u},
                SR_MAP_CLOSED_NOW); /* As far as the flash goes. */
    assert_int_equal(flags[COUNT - 1], SR_MAP_CLOSED_NOW);
    sr_map_mark(&map, (sr_region_t){(COUNT - 2) * SECTOR, 2 * SECTOR}, SR_MAP_DATA | SR_MAP_BLANK);
    sr_map_clear(&map, (sr_region_t){(COUNT - 1) * SECTOR, 1}, SR_MAP_BLANK | SR_MAP_TARGET);
    assert_int_equal(flags[COUNT - 2], SR_MAP_DATA | SR_MAP_BLANK);
    assert_int_equal(flags[COUNT - 1], SR_MAP_DATA | SR_MAP_CLOSED_NOW);
    sr_map_put(&map, 5 * SECTOR, SR_MAP_MARK);
    assert_int_equal(sr_map_at(&map, 5 * SECTOR), SR_MAP_MARK);
    assert_int_equal(flags[4], 0);
    assert_int_equal(flags[6], 0);
}

/* What becomes blank before anything is written counts as blank. */
static void released_sectors_are_as_good_as_blank(void **state)
{
    (void)state;
    set(3, 4, SR_MAP_RELEASED);
    assert_int_equal(sr_map_find_free(&map, NULL, 4), 3 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 5), UINT32_MAX);
    assert_true(sr_map_is_blank(SR_MAP_RELEASED));
    assert_true(sr_map_is_blank(SR_MAP_BLANK));
    assert_false(sr_map_is_blank(SR_MAP_TARGET));
}

static void block_of_the_boot_path_is_claimed_if_nothing_else_lies_in_it(void **state)
{
    (void)state;
    static const struct {
        sr_map_flags_t other;
        bool claimed;
    } cases[] = {
        {SR_MAP_TARGET | SR_MAP_BLANK, true},
        {SR_MAP_TARGET | SR_MAP_WRONG, true},
        {SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_DATA, true}, /* To be blank, and staying so. */
        {BOOT, true},
        {SR_MAP_BLANK, true}, /* Nobody's. */
        {0, false},
        {SR_MAP_BLANK | SR_MAP_SOURCE, false},
        {SR_MAP_BLANK | SR_MAP_MARK, false},
        {SR_MAP_BLANK | SR_MAP_DATA, false}, /* The running system may write to it at any moment. */
        {SR_MAP_BLANK | SR_MAP_RUNNING_APP, false},
        {SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_RUNNING_APP, false},
        {SR_MAP_TARGET | SR_MAP_CONTENT, false},
        {SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG, true}, /* Written with it. */
        {SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_RUNNING_APP, false},
        {SR_MAP_CONTENT | SR_MAP_BLANK | SR_MAP_WRONG, false}, /* Something moves there. */
        {SR_MAP_BOOT_PATH, false},                             /* Boot path that stays. */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(claims_with(cases[i].other, 0), cases[i].claimed);
        /* Blank in a partition of either system: nobody would put right what is left of it. Not so what the bundle
         * wants. */
        const bool stays = cases[i].other == SR_MAP_BLANK;
        assert_int_equal(claims_with(cases[i].other, 0x8000), cases[i].claimed && !stays);
        assert_int_equal(claims_with(cases[i].other, 0x7FFF), cases[i].claimed);
    }
}

static void block_is_not_claimed_if_it_does_not_pay_or_the_record_has_no_place(void **state)
{
    (void)state;
    set_boot_path();
    sr_map_claim_block(&map, NULL, 17, 0); /* One more than there is free flash outside of the block. */
    assert_int_equal(sr_map_claimed(&map).size, 0);
    assert_int_equal(flags[16], SR_MAP_TARGET | SR_MAP_BLANK);
    set_boot_path();
    flags[20] = SR_MAP_TARGET | SR_MAP_BLANK; /* Three erases are quicker than that of the block. */
    sr_map_claim_block(&map, NULL, 5, 0);
    assert_int_equal(sr_map_claimed(&map).size, 0);
    set(21, 5, SR_MAP_TARGET | SR_MAP_WRONG); /* Nor does it help that others need one: they can have it before. */
    sr_map_claim_block(&map, NULL, 5, 0);
    assert_int_equal(sr_map_claimed(&map).size, 0);
    set_boot_path();
    set(21, 3, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_CONTENT); /* Too much would wait in RAM. */
    sr_map_claim_block(&map, NULL, 5, 0);
    assert_int_equal(sr_map_claimed(&map).size, 0);
    set_boot_path();
    set(21, 2, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_CONTENT); /* It has to be staged, too. */
    sr_map_claim_block(&map, NULL, 15, 0);
    assert_int_equal(sr_map_claimed(&map).size, 0);
    sr_map_claim_block(&map, NULL, 14, 0);
    assert_int_equal(sr_map_claimed(&map).address, SR_BLOCK_SIZE);
    set(0, COUNT, SR_MAP_BLANK);
    sr_map_claim_block(&map, NULL, 2, 0); /* There is no boot path to be written. */
    assert_int_equal(sr_map_claimed(&map).size, 0);
    const uint32_t all = map.count;
    set_boot_path();
    map.count = 31; /* The flash ends inside the block. */
    sr_map_claim_block(&map, NULL, 0, 0);
    map.count = all;
    assert_int_equal(sr_map_claimed(&map).size, 0);
}

/* Against a bundle: sectors 0 to 2 are content, blank, content; 16 to 31 are erased; 40 is content. */

static uint8_t *bundle_bytes;
static sr_bundle_t bundle;

static int with_bundle(void **state)
{
    static uint8_t data[3 * SECTOR];
    size_t size = 0;
    memset(data, 0xFF, sizeof(data));
    for (uint32_t i = 0; i < SECTOR; i++) {
        data[i] = (uint8_t)(i * i >> 3);
        data[2 * SECTOR + i] = (uint8_t)(i * 7 >> 2);
    }
    const bundle_region_t regions[] = {
        {.place = {0, 3 * SECTOR}, .data = data, .length = sizeof(data)},
        {.place = {16 * SECTOR, 16 * SECTOR}},
        {.place = {40 * SECTOR, SECTOR}, .data = data, .length = SECTOR},
    };
    const bundle_spec_t spec = {.min_flash_size = COUNT * SECTOR,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = regions,
                                .region_count = 3};
    assert_int_equal(bundle_write(&spec, &bundle_bytes, &size), BUNDLE_WRITE_OK);
    assert_int_equal(sr_bundle_parse(bundle_bytes, (uint32_t)size, &bundle), SR_BUNDLE_OK);
    assert_int_equal(bundle.chunk_count, 2);
    return setup(state);
}

static int without_bundle(void **state)
{
    (void)state;
    free(bundle_bytes);
    return 0;
}

static void chunk_has_what_one_of_its_sectors_with_content_has(void **state)
{
    (void)state;
    assert_false(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG, 0));
    flags[1] = SR_MAP_WRONG; /* Blank: no byte of the chunk is for it. */
    assert_false(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG, 0));
    flags[2] = SR_MAP_WRONG;
    assert_true(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG, 0));
    assert_false(sr_map_chunk_has(&map, &bundle, 1, SR_MAP_WRONG, 0));
    assert_false(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG | SR_MAP_DATA, 0));
    flags[2] |= SR_MAP_DATA;
    assert_true(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG | SR_MAP_DATA, 0));
    assert_false(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG, SR_MAP_NEEDED));
    flags[0] = SR_MAP_WRONG;
    assert_true(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG, SR_MAP_NEEDED));
}

/* A gap in the flash is none in the manifest: the next digest is that of content elsewhere. */
static void chunk_ends_with_its_last_sector(void **state)
{
    (void)state;
    static uint8_t data[SECTOR];
    const bundle_region_t regions[] = {{.place = {2 * SECTOR, SECTOR}, .data = data, .length = SECTOR},
                                       {.place = {4 * SECTOR, SECTOR}, .data = data, .length = SECTOR}};
    const bundle_spec_t spec = {.min_flash_size = COUNT * SECTOR,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = regions,
                                .region_count = 2};
    size_t size = 0;
    free(bundle_bytes);
    assert_int_equal(bundle_write(&spec, &bundle_bytes, &size), BUNDLE_WRITE_OK);
    assert_int_equal(sr_bundle_parse(bundle_bytes, (uint32_t)size, &bundle), SR_BUNDLE_OK);
    assert_int_equal(bundle.chunk_count, 2);
    set(3, 1, SR_MAP_WRONG);
    assert_false(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG, 0));
    set(4, 1, SR_MAP_WRONG);
    assert_false(sr_map_chunk_has(&map, &bundle, 0, SR_MAP_WRONG, 0));
    assert_true(sr_map_chunk_has(&map, &bundle, 1, SR_MAP_WRONG, 0));
}

static void summary_of_a_flash_that_is_right_is_all_zero_but_the_total(void **state)
{
    (void)state;
    sr_map_summary_t expected = {.total = 20};
    sr_map_summary_t summary;
    set(0, 3, SR_MAP_TARGET);
    set(16, 16, SR_MAP_TARGET);
    set(40, 1, SR_MAP_TARGET);
    sr_map_summarize(&map, &bundle, &summary);
    assert_memory_equal(&summary, &expected, sizeof(expected));
}

static uint32_t ms(uint32_t us)
{
    return (us + 999) / 1000;
}

static void summary_counts_sectors_bytes_and_times(void **state)
{
    (void)state;
    sr_map_summary_t summary;
    const sr_map_flags_t wrong = SR_MAP_TARGET | SR_MAP_WRONG;
    flags[0] = wrong | SR_MAP_CONTENT | SR_MAP_BOOT_PATH;                /* Erase and 16 pages. */
    flags[1] = wrong;                                                    /* Erase. */
    flags[2] = wrong | SR_MAP_CONTENT | SR_MAP_BLANK | SR_MAP_BOOT_PATH; /* 16 pages. */
    set(16, 16, wrong);                                                  /* One block erase. */
    flags[40] = wrong | SR_MAP_CONTENT | SR_MAP_RUNNING_APP;             /* Erase and 16 pages. */
    sr_map_summarize(&map, &bundle, &summary);
    assert_int_equal(summary.total, 20);
    assert_int_equal(summary.wrong, 20);
    assert_int_equal(summary.boot_path, 2);
    assert_int_equal(summary.running, 1);
    assert_int_equal(summary.bytes, sr_bundle_chunk(&bundle, 0).length + sr_bundle_chunk(&bundle, 1).length);
    assert_int_equal(summary.typical_ms, ms(3 * ERASE_US + BLOCK_US + 3 * 16 * PAGE_US));
    assert_int_equal(summary.maximum_ms, ms(3 * ERASE_MAX + BLOCK_MAX + 3 * 16 * PAGE_MAX));
    assert_int_equal(summary.window_typical_ms, ms(ERASE_US + 2 * 16 * PAGE_US));
    assert_int_equal(summary.window_maximum_ms, ms(ERASE_MAX + 2 * 16 * PAGE_MAX));
    /* What is written while a recovery bootloader stands in is harmless. */
    const uint32_t typical_ms = summary.typical_ms;
    map.guarded = (sr_region_t){0, SR_SECTOR_SIZE};
    sr_map_summarize(&map, &bundle, &summary);
    assert_int_equal(summary.window_typical_ms, ms(16 * PAGE_US));
    assert_int_equal(summary.window_maximum_ms, ms(16 * PAGE_MAX));
    assert_int_equal(summary.typical_ms, typical_ms);
    assert_int_equal(summary.boot_path, 2);
    map.guarded = (sr_region_t){0};
    /* Fewer of the block: sector by sector. */
    set(16, 16, SR_MAP_TARGET | SR_MAP_BLANK);
    set(16, 3, wrong);
    flags[40] = SR_MAP_TARGET | SR_MAP_CONTENT;
    sr_map_summarize(&map, &bundle, &summary);
    assert_int_equal(summary.wrong, 6);
    assert_int_equal(summary.bytes, sr_bundle_chunk(&bundle, 0).length);
    assert_int_equal(summary.typical_ms, ms(5 * ERASE_US + 2 * 16 * PAGE_US));
}

static void summary_counts_what_moves(void **state)
{
    (void)state;
    sr_map_summary_t summary;
    set(0, 2, SR_MAP_TARGET);
    flags[8] = SR_MAP_CONTENT | SR_MAP_WRONG;               /* Erase and 16 pages. */
    flags[9] = SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_DATA; /* The same, after it was staged. */
    flags[10] = SR_MAP_CONTENT;                             /* There already. */
    flags[11] = SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_DATA; /* Erase: nothing of it has to be staged. */
    flags[12] = SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_SOURCE;
    sr_map_summarize(&map, &bundle, &summary);
    assert_int_equal(summary.total, 7);
    assert_int_equal(summary.wrong, 4);
    assert_int_equal(summary.moved, 3);
    assert_int_equal(summary.staged, 2);
    assert_int_equal(summary.bytes, 0);
    assert_int_equal(summary.typical_ms, ms(4 * ERASE_US + 3 * 16 * PAGE_US));
}

static void summary_has_one_erase_for_a_claimed_block(void **state)
{
    (void)state;
    sr_map_summary_t summary;
    set_boot_path();
    flags[25] = SR_MAP_TARGET | SR_MAP_WRONG;
    sr_map_claim_block(&map, NULL, 6, 0);
    sr_map_summarize(&map, &bundle, &summary);
    assert_int_equal(summary.boot_path, 5);
    assert_int_equal(summary.window_typical_ms, ms(BLOCK_US + 4 * 16 * PAGE_US));
    assert_int_equal(summary.window_maximum_ms, ms(BLOCK_MAX + 4 * 16 * PAGE_MAX));
    assert_int_equal(summary.typical_ms, summary.window_typical_ms);
}

#define TEST(test)        cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_BUNDLE(test) cmocka_unit_test_setup_teardown(test, with_bundle, without_bundle)

static void longest_run_is_one_that_is_found(void **state)
{
    (void)state;
    assert_int_equal(sr_map_longest_free(&map, NULL).address, 0);
    assert_int_equal(sr_map_longest_free(&map, NULL).size, 0);
    set(0, COUNT, SR_MAP_BLANK);
    assert_int_equal(sr_map_longest_free(&map, NULL).address, 0);
    assert_int_equal(sr_map_longest_free(&map, NULL).size, COUNT * SECTOR);
    clear_map();
    set(3, 4, SR_MAP_BLANK);
    set(10, 6, SR_MAP_TARGET | SR_MAP_NEW_DATA);
    set(20, 20, SR_MAP_TARGET | SR_MAP_CONTENT);
    set(60, 4, SR_MAP_BLANK | SR_MAP_DATA);
    set(40, 6, SR_MAP_TARGET | SR_MAP_NEW_DATA); /* The first of them counts. */
    const sr_region_t longest = sr_map_longest_free(&map, NULL);
    assert_int_equal(longest.address, 10 * SECTOR);
    assert_int_equal(longest.size, 6 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 6), 10 * SECTOR);
    assert_int_equal(sr_map_find_free(&map, NULL, 7), UINT32_MAX);
}

static void times_are_sums_in_milliseconds(void **state)
{
    (void)state;
    uint32_t typical = 1;
    uint32_t maximum = 1;
    sr_map_times(&map, 0, 0, &typical, &maximum);
    assert_int_equal(typical + maximum, 0);
    sr_map_times(&map, 3, 2, &typical, &maximum);
    assert_int_equal(typical, (3 * ERASE_US + 32 * PAGE_US + 999) / 1000);
    assert_int_equal(maximum, (3 * ERASE_MAX + 32 * PAGE_MAX + 999) / 1000);
}

static void a_chip_that_encrypts_programs_each_row(void **state)
{
    (void)state;
    const sr_map_t encrypted = {.flags = flags, .count = COUNT, .row = 32};
    sr_map_summary_t summary;
    uint32_t typical, maximum;
    sr_map_times(&encrypted, 3, 2, &typical, &maximum);
    assert_int_equal(typical, ms(3 * ERASE_US + 2 * 128 * PAGE_US));
    assert_int_equal(maximum, ms(3 * ERASE_MAX + 2 * 128 * PAGE_MAX));
    flags[0] = SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_CONTENT | SR_MAP_BOOT_PATH;
    sr_map_summarize(&encrypted, &bundle, &summary);
    assert_int_equal(summary.window_typical_ms, ms(ERASE_US + 128 * PAGE_US));
    assert_int_equal(summary.window_maximum_ms, ms(ERASE_MAX + 128 * PAGE_MAX));
    assert_int_equal(summary.typical_ms, summary.window_typical_ms);
}

static void place_for_a_mark_is_the_highest_that_costs_nobody_anything(void **state)
{
    (void)state;
    assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), UINT32_MAX);
    set(0, COUNT, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), 59 * SECTOR); /* Not in the last 16 KiB of a slot. */
    assert_int_equal(sr_map_find_mark(&map, 59 * SECTOR), 58 * SECTOR);
    assert_int_equal(sr_map_find_mark(&map, 48 * SECTOR), 43 * SECTOR);
    assert_int_equal(sr_map_find_mark(&map, COUNT * SECTOR), 59 * SECTOR);
    set(0, COUNT, SR_MAP_BLANK);
    set(32, 1, SR_MAP_BOOT_PATH); /* In the next block. */
    assert_int_equal(sr_map_find_mark(&map, 32 * SECTOR), 27 * SECTOR);
    const sr_map_t short_map = {.flags = flags, .count = 58};
    set(0, COUNT, SR_MAP_BLANK);
    set(58, 1, SR_MAP_BOOT_PATH); /* Past the end of the flash. */
    assert_int_equal(sr_map_find_mark(&short_map, UINT32_MAX), 57 * SECTOR);
    static const sr_map_flags_t taken[] = {SR_MAP_BOOT_PATH, SR_MAP_CLAIMED, SR_MAP_RECOVERY,   SR_MAP_RUNNING_APP,
                                           SR_MAP_DATA,      SR_MAP_SOURCE,  SR_MAP_MARK,       SR_MAP_CONTENT,
                                           SR_MAP_NEW_DATA,  SR_MAP_NEW_GAP, SR_MAP_CLOSED_NOW, SR_MAP_CLOSED_THEN};
    for (unsigned i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        set(0, COUNT, taken[i] | SR_MAP_BLANK | SR_MAP_TARGET);
        assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), UINT32_MAX);
    }
}

static void place_for_a_mark_is_found_where_there_is_any(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        clear_map();
        set(i, 1, SR_MAP_BLANK);
        assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), i * SECTOR);
        assert_int_equal(sr_map_find_mark(&map, i * SECTOR), UINT32_MAX);
    }
    clear_map();
    set(5, 1, SR_MAP_TARGET | SR_MAP_WRONG); /* To be blank. */
    assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), 5 * SECTOR);
    assert_int_equal(sr_map_find_mark(&map, 5 * SECTOR), UINT32_MAX);
    set(1, 1, SR_MAP_BLANK);
    set(2, 1, SR_MAP_BOOT_PATH | SR_MAP_WRONG);
    assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), SECTOR); /* Erased with the boot path, but blank. */
    set(31, 1, SR_MAP_BLANK);
    assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), 31 * SECTOR);
    set(17, 1, SR_MAP_BLANK | SR_MAP_TARGET);
    assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), 17 * SECTOR);
    clear_map();
    set(15, 1, SR_MAP_BLANK); /* The end of a slot rather than the block of the boot path. */
    set(20, 1, SR_MAP_BLANK);
    set(17, 1, SR_MAP_BOOT_PATH | SR_MAP_WRONG);
    assert_int_equal(sr_map_find_mark(&map, UINT32_MAX), 15 * SECTOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_sector_that_a_region_touches_is_marked),
        TEST(longest_run_is_one_that_is_found),
        TEST(times_are_sums_in_milliseconds),
        TEST(marks_end_with_the_flash),
        TEST(marks_add_up),
        TEST(body_is_what_must_be_written_and_nobody_needs),
        TEST(free_flash_is_blank_or_will_be_and_nobody_needs_it),
        TEST(first_run_that_is_long_enough_is_found),
        TEST(record_goes_no_further_than_its_mark_counts),
        TEST(place_for_a_mark_is_the_highest_that_costs_nobody_anything),
        TEST(place_for_a_mark_is_found_where_there_is_any),
        TEST(record_fills_a_block_where_erasing_it_is_quicker_then),
        TEST(record_stays_clear_of_the_ends_of_slots_that_are_not_known),
        TEST(block_is_erased_at_once_if_that_is_quicker_and_loses_nothing),
        TEST(block_must_be_whole),
        TEST(record_whose_mark_counts_nowhere_has_one_sector),
        TEST(boot_path_begins_to_change_in_the_block_of_its_first_wrong_sector),
        TEST(any_block_is_claimed),
        TEST(closed_sectors),
        TEST(flags_are_set_cleared_and_put_back),
        TEST(released_sectors_are_as_good_as_blank),
        TEST(block_of_the_boot_path_is_claimed_if_nothing_else_lies_in_it),
        TEST(block_is_not_claimed_if_it_does_not_pay_or_the_record_has_no_place),
        WITH_BUNDLE(chunk_has_what_one_of_its_sectors_with_content_has),
        WITH_BUNDLE(chunk_ends_with_its_last_sector),
        WITH_BUNDLE(summary_of_a_flash_that_is_right_is_all_zero_but_the_total),
        WITH_BUNDLE(summary_counts_sectors_bytes_and_times),
        WITH_BUNDLE(a_chip_that_encrypts_programs_each_row),
        WITH_BUNDLE(summary_counts_what_moves),
        WITH_BUNDLE(summary_has_one_erase_for_a_claimed_block),
    };
    /* What lies in memory past the map is no sector, whatever it looks like. */
    static const sr_map_flags_t past[] = {0, SR_MAP_BLANK,
                                          SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_COMMITTED};
    int failed = 0;
    for (unsigned i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        past_the_map = past[i];
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
