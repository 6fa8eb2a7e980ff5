// SPDX-License-Identifier: Apache-2.0
/** @file
 * Sectors of the boot path that wait in RAM: what is kept of them, and how they are written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flash/sr_boot_path_buffer.h"
#include "test/support/support_flash_calls.h"
#include "test/support/support_small.h"

#include "esp_heap_caps.h"

#define SECTOR  SR_SECTOR_SIZE
#define PLACE   0x40000u
#define LIST    40u
#define OPS_MAX 1024u

static nor_flash_t *nor;
static uint8_t *before;
static sr_flash_t flash;
static sr_writer_t writer;
static uint8_t readback[SR_WRITER_READBACK_SIZE];

/* What is written: the sectors of a block and of the next one; with one more in front of the list and behind it. */
static sr_writer_sector_t list[1 + LIST + 1];
static uint8_t content[LIST][SECTOR];
static sr_boot_path_buffer_t buffer;

static nor_op_t ops[OPS_MAX];
static uint32_t op_count;

static void remember(void *context, const nor_op_t *op, const nor_flash_t *unused)
{
    (void)context;
    (void)unused;
    ops[op_count++ % OPS_MAX] = *op;
}

static int open_chip(void **state)
{
    (void)state;
    nor = small_flash_new(&(small_layout_t){.slots = 1, .sequences = {1, 0}});
    small_app("1", nor_flash_bytes(nor) + SMALL_SLOTS);
    before = small_copy(nor);
    small_attach(nor, SMALL_SLOTS);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(nor).bad_programs, 0);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(nor);
    free(before);
    return 0;
}

/* The list. */

static sr_writer_sector_t sector_of(uint32_t index, uint32_t used)
{
    dummy_image_fill(content[index], SECTOR, index + 1);
    memset(content[index] + used, 0xFF, SECTOR - used);
    return (sr_writer_sector_t){.address = PLACE + index * SECTOR, .used = used, .data = content[index]};
}

static esp_err_t add(sr_boot_path_buffer_group_t group, uint32_t index, uint32_t used)
{
    const sr_writer_sector_t sector = sector_of(index, used);
    const esp_err_t err = sr_boot_path_buffer_add(&buffer, group, &sector);
    memset(sector.data, 0, SECTOR); /* A copy was made. */
    return err;
}

static void expect_held(uint32_t number, uint32_t index, uint32_t used)
{
    const uint8_t *data = buffer.sectors[number].data;
    const sr_writer_sector_t sector = sector_of(index, used);
    assert_int_equal(buffer.sectors[number].address, sector.address);
    assert_int_equal(buffer.sectors[number].used, used);
    assert_memory_equal(data, sector.data, SECTOR);
}

static void sectors_are_kept_up_to_the_capacity(void **state)
{
    (void)state;
    static const uint32_t used[] = {SECTOR, 0, 1, 0, 17};
    static const sr_boot_path_buffer_group_t groups[] = {SR_BOOT_PATH_BUFFER_NEIGHBOURS, SR_BOOT_PATH_BUFFER_BOOTLOADER,
                                                         SR_BOOT_PATH_BUFFER_BOOTLOADER, SR_BOOT_PATH_BUFFER_OTADATA,
                                                         SR_BOOT_PATH_BUFFER_OTADATA};
    static const uint32_t ends[] = {1, 3, 3, 5};
    for (uint32_t capacity = 0; capacity <= 5; capacity++) {
        assert_int_equal(sr_boot_path_buffer_open(&buffer, capacity), ESP_OK);
        for (uint32_t i = 0; i < 5; i++) {
            assert_int_equal(add(groups[i], i, used[i]), i < capacity ? ESP_OK : ESP_ERR_INVALID_SIZE);
        }
        assert_int_equal(buffer.count, capacity);
        for (uint32_t i = 0; i < capacity; i++) {
            expect_held(i, i, used[i]);
        }
        for (unsigned group = 0; group < SR_BOOT_PATH_BUFFER_GROUPS; group++) {
            assert_int_equal(buffer.group_end[group], ends[group] < capacity ? ends[group] : capacity);
        }
        /* Blank ones share their memory, and nothing else does. */
        if (capacity == 5) {
            assert_ptr_equal(buffer.sectors[1].data, buffer.sectors[3].data);
            assert_int_equal(sim_counters()->heap_now, 5 * sizeof(buffer.sectors[0]) + 4 * SECTOR);
        }
        sr_boot_path_buffer_close(&buffer);
        assert_int_equal(sim_counters()->heap_now, 0);
        assert_int_equal(buffer.count, 0);
        assert_null(buffer.sectors);
    }
}

static void without_memory_nothing_is_kept(void **state)
{
    (void)state;
    static const uint32_t used[] = {0, SECTOR, 0, 5};
    for (uint32_t capacity = 1; capacity <= 2; capacity++) {
        sim_heap_fail_at(1);
        assert_int_equal(sr_boot_path_buffer_open(&buffer, capacity), ESP_ERR_NO_MEM);
        sr_boot_path_buffer_close(&buffer);
    }
    for (uint32_t failing = 0; failing < 4; failing++) {
        const bool needs_memory = failing != 2; /* It shares that of the first one. */
        assert_int_equal(sr_boot_path_buffer_open(&buffer, 4), ESP_OK);
        for (uint32_t i = 0; i < failing; i++) {
            assert_int_equal(add(SR_BOOT_PATH_BUFFER_TABLE, i, used[i]), ESP_OK);
        }
        sim_heap_fail_at(1);
        assert_int_equal(add(SR_BOOT_PATH_BUFFER_TABLE, failing, used[failing]),
                         needs_memory ? ESP_ERR_NO_MEM : ESP_OK);
        sim_heap_fail_at(0);
        assert_int_equal(buffer.count, failing + !needs_memory);
        assert_int_equal(buffer.group_end[SR_BOOT_PATH_BUFFER_TABLE], buffer.count);
        sr_boot_path_buffer_close(&buffer);
        assert_int_equal(sim_counters()->heap_now, 0);
    }
}

static void only_what_was_added_is_freed(void **state)
{
    (void)state;
    uint8_t *mine = heap_caps_malloc(1, MALLOC_CAP_8BIT);
    assert_int_equal(sr_boot_path_buffer_open(&buffer, 2), ESP_OK);
    assert_int_equal(add(SR_BOOT_PATH_BUFFER_TABLE, 0, 1), ESP_OK);
    buffer.sectors[1].data = mine;
    sr_boot_path_buffer_close(&buffer);
    assert_int_equal(sim_counters()->heap_now, 1);
    heap_caps_free(mine);
}

/* Writing. */

/* Content as at the beginning; nothing is held, and everything is owned. */
static void start_over(void)
{
    static uint8_t blank[SECTOR];
    memset(blank, 0xFF, SECTOR);
    memcpy(nor_flash_bytes(nor), before, SMALL_FLASH_SIZE);
    nor_flash_reset_stats(nor);
    nor_flash_set_observer(nor, remember, NULL);
    op_count = 0;
    assert_int_equal(sr_flash_open(&flash), ESP_OK);
    writer = (sr_writer_t){.flash = &flash, .readback = readback, .attempts = 3};
    buffer = (sr_boot_path_buffer_t){
        .sectors = &list[1], .capacity = LIST, .owned = {PLACE, 2 * SR_BLOCK_SIZE}, .blank = blank};
    memset(list, 0, sizeof(list));
    list[0].address = PLACE; /* As if the first one of the list were not the first one. */
}

static void hold(sr_boot_path_buffer_group_t group, uint32_t index)
{
    list[1 + buffer.count++] = sector_of(index, SECTOR);
    for (unsigned i = group; i < SR_BOOT_PATH_BUFFER_GROUPS; i++) {
        buffer.group_end[i] = buffer.count;
    }
}

static uint8_t *place_of(uint32_t index)
{
    return nor_flash_bytes(nor) + PLACE + index * SECTOR;
}

/* What is held is there, and everything else as it was after it had been set up. */
static void expect_written(const uint8_t *set_up)
{
    uint8_t *expected = malloc(SMALL_FLASH_SIZE);
    assert_non_null(expected);
    memcpy(expected, set_up, SMALL_FLASH_SIZE);
    for (uint32_t i = 0; i < buffer.count; i++) {
        memcpy(expected + buffer.sectors[i].address, buffer.sectors[i].data, SECTOR);
    }
    small_assert_same(nor_flash_view(nor), expected, 0, SMALL_FLASH_SIZE);
    free(expected);
}

static void expect_put(uint32_t blocks, uint32_t sectors)
{
    uint8_t *set_up = small_copy(nor);
    assert_int_equal(sr_boot_path_buffer_put(&buffer, &writer), ESP_OK);
    expect_written(set_up);
    free(set_up);
    assert_int_equal(nor_flash_stats(nor).block_erases, blocks);
    assert_int_equal(nor_flash_stats(nor).sector_erases, sectors);
}

/** The sectors of a block: h held, in place of something; n held, in place of nothing; b blank; x with data of somebody
 *  else. Around it there is data of somebody else. */
typedef struct erase_case {
    const char *sectors;
    uint32_t owned_from, owned_to; /**< Sectors. */
    bool guarded;
    uint32_t blocks, erases;
} erase_case_t;

static const erase_case_t erase_cases[] = {
    {"hhhhbbbbbbbbbbbb", 0, 16, false, 1, 0},  {"hhhbbbbbbbbbbbbb", 0, 16, false, 0, 3},
    {"hhhnbbbbbbbbbbbb", 0, 16, false, 0, 3},  {"hhhhnbbbbbbbbbbb", 0, 16, false, 1, 0},
    {"bhhhhbbbbbbbbbbb", 0, 16, false, 1, 0},  {"bbbbbbbbbbbbhhhh", 0, 16, false, 1, 0},
    {"hhhhhhhhhhhhhhhh", 0, 0, false, 1, 0},   {"hhhhxbbbbbbbbbbb", 0, 16, false, 0, 4},
    {"hhhhbbbbbbbbbbbx", 0, 16, false, 0, 4},  {"xhhhhbbbbbbbbbbb", 0, 16, false, 0, 4},
    {"hhhhbbbbbbbbbbbb", 0, 15, false, 0, 4},  {"bhhhhbbbbbbbbbbb", 1, 16, false, 0, 4},
    {"hhhhbbbbbbbbbbbb", 4, 16, false, 1, 0},  {"hhhhbbbbbbbbbbbb", 0, 0, false, 0, 4},
    {"nnnnbbbbbbbbbbbb", 0, 16, false, 0, 0},  {"hhhhxxxxxxxxxxxx", 0, 16, false, 0, 4},
    {"hhhhhxbbbbbbbbbb", 16, 17, false, 0, 5}, {"hhhhbbbbbbbbbbbb", 0, 16, true, 0, 4},
};

static void set_up_case(const erase_case_t *test)
{
    start_over();
    buffer.owned = (sr_region_t){PLACE + test->owned_from * SECTOR, (test->owned_to - test->owned_from) * SECTOR};
    buffer.guarded = test->guarded;
    for (uint32_t i = 0; i < SR_SECTORS_PER_BLOCK; i++) {
        const char what = test->sectors[i];
        if (what == 'h' || what == 'n') {
            hold(SR_BOOT_PATH_BUFFER_BOOTLOADER, i);
        }
        if (what == 'b' || what == 'n') {
            memset(place_of(i), 0xFF, SECTOR);
        } else if (what == 'x') {
            list[1 + LIST].address = PLACE + i * SECTOR;
        }
    }
    list[1 + buffer.count].address = list[1 + LIST].address; /* It is not in the list any more. */
}

/* From four erases on, if all that would be lost is held, or blank and written again after a power loss. */
static void block_is_erased_at_once_if_nothing_else_lies_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(erase_cases) / sizeof(erase_cases[0]); i++) {
        set_up_case(&erase_cases[i]);
        expect_put(erase_cases[i].blocks, erase_cases[i].erases);
    }
}

static void block_past_the_end_of_the_flash_is_not_erased(void **state)
{
    (void)state;
    for (uint32_t missing = 0; missing < 2; missing++) {
        set_up_case(&erase_cases[0]);
        flash.size = PLACE + SR_BLOCK_SIZE - missing;
        expect_put(1 - missing, 4 * missing);
    }
}

/* Each read in turn: what is there cannot be told, and five sectors would be worth it without the one. */
static void block_that_cannot_be_read_is_not_erased(void **state)
{
    (void)state;
    static const erase_case_t test = {"hhhhhbbbbbbbbbbb", 0, 16, false, 0, 0};
    const uint32_t reads = 5 + 11 * SECTOR / SR_WRITER_READBACK_SIZE;
    for (uint32_t read = 0; read <= reads; read++) {
        set_up_case(&test);
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(sr_boot_path_buffer_put(&buffer, &writer), ESP_OK);
        assert_true(flash_calls_end() > read);
        assert_int_equal(nor_flash_stats(nor).block_erases, read == reads ? 1 : 0);
        assert_memory_equal(place_of(0), content[0], 5 * SECTOR);
    }
}

/* Four of each, in two blocks. */
static void hold_two_blocks(void)
{
    start_over();
    for (uint32_t i = 0; i < 32; i++) {
        if (i % 16 < 4) {
            hold(SR_BOOT_PATH_BUFFER_BOOTLOADER, i);
        } else {
            memset(place_of(i), 0xFF, SECTOR);
        }
    }
}

/* It takes seconds, and each sector is erased by itself then. */
static void block_erase_that_fails_is_not_tried_again(void **state)
{
    (void)state;
    hold_two_blocks();
    expect_put(2, 0);
    for (uint32_t block = 0; block < 2; block++) {
        hold_two_blocks();
        flash_calls_fail(FLASH_ERASES, (sr_region_t){PLACE + block * SR_BLOCK_SIZE, 1}, 0, 1);
        expect_put(1, 4);
        (void)flash_calls_end();
    }
    /* Neither if the others of the block lie below, in another group. */
    start_over();
    memset(place_of(0), 0xFF, SR_BLOCK_SIZE);
    memset(place_of(1), 0, 4 * SECTOR);
    hold(SR_BOOT_PATH_BUFFER_NEIGHBOURS, 4);
    for (uint32_t i = 1; i < 4; i++) {
        hold(SR_BOOT_PATH_BUFFER_BOOTLOADER, i);
    }
    flash_calls_fail(FLASH_ERASES, (sr_region_t){PLACE, 1}, 0, 1);
    expect_put(0, 4);
    assert_int_equal(flash_calls_end(), 1);
}

static void block_is_erased_at_once_after_sectors_of_the_next_one(void **state)
{
    (void)state;
    start_over();
    memset(place_of(4), 0xFF, 12 * SECTOR);
    hold(SR_BOOT_PATH_BUFFER_NEIGHBOURS, 16);
    for (uint32_t i = 0; i < 4; i++) {
        hold(SR_BOOT_PATH_BUFFER_BOOTLOADER, i);
    }
    expect_put(1, 1);
}

/* Two sectors for each group, downwards from one to the next. */
static void hold_groups(bool guarded)
{
    start_over();
    for (unsigned group = 0; group < SR_BOOT_PATH_BUFFER_GROUPS; group++) {
        for (uint32_t i = 0; i < 2; i++) {
            hold((sr_boot_path_buffer_group_t)group, 12 - 3 * group + i);
        }
    }
    buffer.guarded = guarded;
    list[1 + 2 * SR_BOOT_PATH_BUFFER_BOOTLOADER].data[0] = 0xE9;
    nor_flash_bytes(nor)[list[1 + 2 * SR_BOOT_PATH_BUFFER_BOOTLOADER].address] = 0xE9;
}

/* Each is whole before the next one is touched, and the bootloader loses its magic byte alone if it is guarded. */
static void groups_are_written_in_their_order(void **state)
{
    (void)state;
    for (unsigned guarded = 0; guarded < 2; guarded++) {
        uint32_t op = 0;
        hold_groups(guarded != 0);
        expect_put(0, 2 * SR_BOOT_PATH_BUFFER_GROUPS);
        for (unsigned group = 0; group < SR_BOOT_PATH_BUFFER_GROUPS; group++) {
            const sr_region_t place = {list[1 + 2 * group].address, 2 * SECTOR};
            const bool magic = guarded != 0 && group == SR_BOOT_PATH_BUFFER_BOOTLOADER;
            assert_int_equal(ops[op].kind, magic ? NOR_OP_PROGRAM : NOR_OP_ERASE_SECTOR);
            assert_true(!magic || ops[op].length == 1);
            uint32_t count = 0;
            while (op < op_count && sr_region_overlaps(place, (sr_region_t){ops[op].address, 1})) {
                op++;
                count++;
            }
            assert_true(count > 2);
            assert_true(ops[op - 1].address / SECTOR == place.address / SECTOR); /* The first one comes back last. */
        }
        assert_int_equal(op, op_count);
    }
}

static void group_that_fails_ends_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * SR_BOOT_PATH_BUFFER_GROUPS; i++) {
        const unsigned group = i / 2;
        hold_groups(i % 2 != 0);
        const uint32_t dead = list[1 + 2 * group + 1].address;
        flash_calls_fail(FLASH_ERASES, (sr_region_t){dead, SECTOR}, 0, FLASH_FOR_EVER);
        assert_int_equal(sr_boot_path_buffer_put(&buffer, &writer), ESP_ERR_TIMEOUT);
        (void)flash_calls_end();
        assert_int_equal(writer.failed_address, dead);
        for (unsigned other = 0; other < SR_BOOT_PATH_BUFFER_GROUPS; other++) {
            const sr_writer_sector_t *sector = &list[1 + 2 * other];
            const uint32_t wear = nor_flash_wear(nor, sector->address / SECTOR);
            assert_int_equal(wear, other <= group ? 1 : 0);
        }
    }
}

static void nothing_held_writes_nothing(void **state)
{
    (void)state;
    for (unsigned guarded = 0; guarded < 2; guarded++) {
        start_over();
        memset(place_of(0), 0, SR_BLOCK_SIZE);
        list[1].address = PLACE;
        buffer.guarded = guarded != 0;
        expect_put(0, 0);
        assert_int_equal(nor_flash_stats(nor).operations, 0);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sectors_are_kept_up_to_the_capacity),
        TEST(without_memory_nothing_is_kept),
        TEST(only_what_was_added_is_freed),
        TEST(block_is_erased_at_once_if_nothing_else_lies_there),
        TEST(block_past_the_end_of_the_flash_is_not_erased),
        TEST(block_that_cannot_be_read_is_not_erased),
        TEST(block_erase_that_fails_is_not_tried_again),
        TEST(block_is_erased_at_once_after_sectors_of_the_next_one),
        TEST(groups_are_written_in_their_order),
        TEST(group_that_fails_ends_it),
        TEST(nothing_held_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
