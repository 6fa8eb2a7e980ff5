// SPDX-License-Identifier: Apache-2.0
/** @file
 * The copy of an image inside the flash: what it leaves, in which order, with which erases, and what is told if
 * something fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flash/sr_copy.h"
#include "port/sr_in_place.h"
#include "port/sr_yield.h"
#include "test/support/support_flash_calls.h"
#include "test/support/support_small.h"

#define SECTOR  SR_SECTOR_SIZE
#define BLOCK   SR_BLOCK_SIZE
#define PLACE   0x40000u /**< A block where most of the copies go. */
#define FAR     0xC0000u /**< Where most of the images lie. */
#define OPS_MAX 1024u

/** What was done, shared with processes that do it. */
typedef struct history {
    nor_op_t ops[OPS_MAX];
    uint32_t count;
    uint32_t yields[OPS_MAX], yield_count;
    uint32_t done[OPS_MAX], done_count;
} history_t;

static nor_flash_t *flash;
static uint8_t *before;
static history_t *history;
static sr_copy_workspace_t workspace;
static sr_copy_t copy;
static esp_err_t enter_error;

esp_err_t __real_sr_in_place_enter(void);
esp_err_t __wrap_sr_in_place_enter(void);
esp_err_t __wrap_sr_in_place_enter(void)
{
    return enter_error != ESP_OK ? enter_error : __real_sr_in_place_enter();
}

static void remember(void *context, const nor_op_t *op, const nor_flash_t *nor)
{
    (void)context;
    (void)nor;
    history->ops[history->count % OPS_MAX] = *op;
    history->count++;
}

static void count_yield(uint32_t bytes)
{
    history->yields[history->yield_count++ % OPS_MAX] = bytes;
}

static void count_progress(void *context, uint32_t done, uint32_t total)
{
    assert_ptr_equal(context, history);
    assert_int_equal(total, copy.destination.size);
    history->done[history->done_count++ % OPS_MAX] = done;
}

static int open_chip(void **state)
{
    (void)state;
    if (history == NULL) {
        history = small_shared(sizeof(*history));
    }
    flash = small_flash_new(&(small_layout_t){.slots = 1, .sequences = {1, 0}});
    small_app("1", nor_flash_bytes(flash) + SMALL_SLOTS);
    before = small_copy(flash);
    small_attach(flash, SMALL_SLOTS);
    nor_flash_set_observer(flash, remember, NULL);
    enter_error = ESP_OK;
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(flash);
    free(before);
    return 0;
}

/* Content as at the beginning, and nothing counted yet. */
static void start_over(uint32_t source, uint32_t length, sr_region_t destination)
{
    memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
    nor_flash_set_faults(flash, (nor_faults_t){0});
    nor_flash_reset_stats(flash);
    *history = (history_t){0};
    copy = (sr_copy_t){.source = source, .length = length, .destination = destination, .workspace = &workspace};
    /* What lies behind the list of the boot path is no part of it: as if all of the flash were. */
    for (size_t i = offsetof(sr_copy_t, guarded) + sizeof(uint32_t); i < offsetof(sr_copy_t, progress); i++) {
        ((uint8_t *)&copy)[i] = 0xFF;
    }
    assert_int_equal(sr_flash_open(&copy.flash), ESP_OK);
    assert_null(copy.flash.feed);
}

/* The image, blank past its end, and nothing else. */
static void expect_copied(void)
{
    uint8_t *expected = malloc(SMALL_FLASH_SIZE);
    assert_non_null(expected);
    memcpy(expected, before, SMALL_FLASH_SIZE);
    memset(expected + copy.destination.address, 0xFF, copy.destination.size);
    memcpy(expected + copy.destination.address, before + copy.source, copy.length);
    small_assert_same(nor_flash_view(flash), expected, 0, SMALL_FLASH_SIZE);
    free(expected);
}

static void expect_untouched(void)
{
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
}

/** A copy over what is all wrong, and the erases that it takes. */
typedef struct copy_case {
    uint32_t source, length;
    sr_region_t destination;
    uint32_t blocks, sectors;
} copy_case_t;

static const copy_case_t copy_cases[] = {
    /* Whole blocks are erased at once, whatever the image leaves blank of them. */
    {FAR + 7, BLOCK, {PLACE, BLOCK}, 1, 0},
    {FAR, 0, {PLACE, BLOCK}, 1, 0},
    {FAR, 1, {PLACE, BLOCK}, 1, 0},
    {FAR, SECTOR - 1, {PLACE, BLOCK}, 1, 0},
    {FAR, SECTOR, {PLACE, BLOCK}, 1, 0},
    {FAR, SECTOR + 1, {PLACE, BLOCK}, 1, 0},
    {FAR, BLOCK - 1, {PLACE, BLOCK}, 1, 0},
    {FAR, 2 * BLOCK, {PLACE, 2 * BLOCK}, 2, 0},
    {FAR, 0, {PLACE, 0}, 0, 0},
    /* Blocks of which a part lies outside are not, in both directions. */
    {FAR, BLOCK - SECTOR, {PLACE, BLOCK - SECTOR}, 0, 15},
    {FAR, BLOCK - SECTOR, {PLACE + SECTOR, BLOCK - SECTOR}, 0, 15},
    {FAR, BLOCK + 2 * SECTOR, {PLACE - SECTOR, BLOCK + 2 * SECTOR}, 1, 2},
    {PLACE, BLOCK + 2 * SECTOR, {FAR - SECTOR, BLOCK + 2 * SECTOR}, 1, 2},
    {PLACE, BLOCK - SECTOR, {FAR, BLOCK - SECTOR}, 0, 15},
    {PLACE, BLOCK, {FAR + BLOCK, BLOCK}, 1, 0},
    {PLACE, SECTOR, {FAR, SECTOR}, 0, 1},
    /* Nor those in which the image lies, if it is nearer than a block. */
    {PLACE + SECTOR, 2 * BLOCK, {PLACE, 2 * BLOCK}, 0, 32},
    {PLACE + SECTOR, 8 * SECTOR, {PLACE, 2 * BLOCK}, 1, 16},
    {PLACE + BLOCK - SECTOR, 2 * BLOCK, {PLACE, 2 * BLOCK}, 0, 32},
    {PLACE + BLOCK - 1, 2 * BLOCK, {PLACE, 2 * BLOCK}, 0, 32},
    {PLACE + BLOCK, 2 * BLOCK, {PLACE, 2 * BLOCK}, 2, 0},
    {PLACE, 2 * BLOCK, {PLACE + SECTOR, 2 * BLOCK}, 0, 32},
    {PLACE, 2 * BLOCK, {PLACE + BLOCK, 2 * BLOCK}, 2, 0},
    {PLACE, 2 * BLOCK, {PLACE + BLOCK + SECTOR, 2 * BLOCK}, 1, 16},
    {PLACE + 0x123, 2 * BLOCK, {PLACE + BLOCK, 2 * BLOCK}, 0, 32},
    {PLACE + 0x8123, 0x17EDE, {PLACE + BLOCK, 2 * BLOCK}, 0, 32},
    {PLACE + 0x8123, 0x17EDD, {PLACE + BLOCK, 2 * BLOCK}, 1, 16},
    /* What is there already stays, and what follows it becomes blank. */
    {PLACE, 8 * SECTOR, {PLACE, BLOCK}, 0, 8},
    {PLACE, BLOCK, {PLACE, BLOCK}, 0, 0},
};

static void image_is_copied_and_all_else_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(copy_cases) / sizeof(copy_cases[0]); i++) {
        const copy_case_t *test = &copy_cases[i];
        start_over(test->source, test->length, test->destination);
        assert_int_equal(sr_copy_prepare(&copy), ESP_OK);
        assert_int_equal(sr_copy_boot_path_sectors(&copy), 0);
        assert_int_equal(sr_copy_execute(&copy), ESP_OK);
        sr_copy_release(&copy);
        expect_copied();
        assert_int_equal(nor_flash_stats(flash).block_erases, test->blocks);
        assert_int_equal(nor_flash_stats(flash).sector_erases, test->sectors);
    }
}

/** A block and the sectors around it: dirty, blank, or right already. */
typedef struct block_case {
    const char *sectors;
    uint32_t image; /**< Sectors from the beginning of the block on that it has. */
    bool program_only;
    uint32_t blocks, erases;
} block_case_t;

static const block_case_t block_cases[] = {
    {"dddbbbbbbbbbbbbb", 16, false, 0, 3},  {"ddddbbbbbbbbbbbb", 16, false, 1, 0},
    {"bbbbbbbbbbbbbddd", 16, false, 0, 3},  {"bbbbbbbbbbbbdddd", 16, false, 1, 0},
    {"dddddddddddddddd", 16, false, 1, 0},  {"rddddddddddddddd", 16, false, 0, 15},
    {"dddddddddddddddr", 16, false, 0, 15}, {"ddddddddddddbbbb", 12, false, 1, 0},
    {"dddddddddddddddd", 0, false, 1, 0},   {"dddddddddddddddd", 16, true, 0, 16},
    {"bbbbbbbbbbbbbbbb", 16, false, 0, 0},  {"rrrrrrrrrrrrrrrr", 16, false, 0, 0},
};

/* From four erases on that of the block is quicker, unless something in it is right. The sectors before and after it
 * are dirty. */
static void block_is_erased_at_once_where_that_is_quicker(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(block_cases) / sizeof(block_cases[0]); i++) {
        const block_case_t *test = &block_cases[i];
        start_over(FAR, (1 + test->image) * SECTOR, (sr_region_t){PLACE - SECTOR, BLOCK + 2 * SECTOR});
        for (uint32_t sector = 0; sector < SR_SECTORS_PER_BLOCK; sector++) {
            uint8_t *place = nor_flash_bytes(flash) + PLACE + sector * SECTOR;
            if (test->sectors[sector] == 'b') {
                memset(place, 0xFF, SECTOR);
            } else if (test->sectors[sector] == 'r') {
                memcpy(place, before + FAR + (1 + sector) * SECTOR, SECTOR);
            }
        }
        copy.program_only = test->program_only;
        assert_int_equal(sr_copy_execute(&copy), ESP_OK);
        expect_copied();
        assert_int_equal(nor_flash_stats(flash).block_erases, test->blocks);
        assert_int_equal(nor_flash_stats(flash).sector_erases, test->erases + 2);
    }
}

/* It needs no erase if no bit must be set. */
static void what_only_has_to_be_programmed_is_not_erased_if_that_is_wanted(void **state)
{
    (void)state;
    before[FAR + 5] = before[FAR + SECTOR] = 0x0F;
    for (unsigned program_only = 0; program_only < 2; program_only++) {
        start_over(FAR, 2 * SECTOR, (sr_region_t){PLACE, 2 * SECTOR});
        memcpy(nor_flash_bytes(flash) + PLACE, before + FAR, 2 * SECTOR);
        nor_flash_bytes(flash)[PLACE + 5] = 0xFF;
        nor_flash_bytes(flash)[PLACE + SECTOR] = 0xFF;
        copy.program_only = program_only != 0;
        assert_int_equal(sr_copy_execute(&copy), ESP_OK);
        expect_copied();
        assert_int_equal(nor_flash_stats(flash).sector_erases, program_only != 0 ? 0 : 2);
    }
}

/* To judge one takes two reads for each sector of noise. */
static void block_that_cannot_be_judged_is_left_to_its_sectors(void **state)
{
    (void)state;
    for (uint32_t read = 0; read <= 2 * SR_SECTORS_PER_BLOCK; read++) {
        start_over(FAR, BLOCK, (sr_region_t){PLACE, BLOCK});
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(sr_copy_execute(&copy), ESP_OK);
        assert_true(flash_calls_end() > read);
        expect_copied();
        assert_int_equal(nor_flash_stats(flash).block_erases, read == 2 * SR_SECTORS_PER_BLOCK ? 1 : 0);
    }
}

/* The table of the boot path waits for what comes before it. */
static void use_table(uint32_t address)
{
    copy.last[SR_BOOT_PATH_BUFFER_TABLE] = (sr_region_t){address, SECTOR};
    assert_int_equal(sr_copy_prepare(&copy), ESP_OK);
    assert_int_equal(sr_copy_boot_path_sectors(&copy), 1);
}

static void expect_failure(uint32_t address)
{
    assert_int_equal(sr_copy_execute(&copy), ESP_ERR_TIMEOUT);
    sr_copy_release(&copy);
    assert_int_equal(copy.failed_address, address);
}

static void block_erase_is_tried_again_and_its_error_told(void **state)
{
    (void)state;
    for (uint32_t failures = 0; failures <= SR_WRITER_ATTEMPTS; failures++) {
        start_over(FAR, BLOCK, (sr_region_t){PLACE, BLOCK + 2 * SECTOR});
        use_table(PLACE + BLOCK);
        flash_calls_fail(FLASH_ERASES, (sr_region_t){PLACE, BLOCK}, 0, failures);
        if (failures < SR_WRITER_ATTEMPTS) {
            assert_int_equal(sr_copy_execute(&copy), ESP_OK);
            sr_copy_release(&copy);
            assert_int_equal(flash_calls_end(), failures + 1);
            expect_copied();
        } else {
            expect_failure(PLACE);
            assert_int_equal(flash_calls_end(), failures);
            expect_untouched();
        }
    }
}

/* In either direction nothing after it is written, least of all the boot path. */
static void sector_that_fails_ends_the_copy(void **state)
{
    (void)state;
    const sr_region_t destination = {PLACE, 8 * SECTOR};
    for (unsigned i = 0; i < 4; i++) {
        const bool down = i % 2 != 0;
        const uint32_t bad = PLACE + 3 * SECTOR;
        start_over(down ? PLACE - 8 * SECTOR : FAR, 8 * SECTOR, destination);
        use_table(PLACE + 4 * SECTOR);
        if (i < 2) {
            flash_calls_fail(FLASH_ERASES, (sr_region_t){bad, SECTOR}, 0, FLASH_FOR_EVER);
        } else {
            flash_calls_fail(FLASH_READS, (sr_region_t){copy.source + 3 * SECTOR, SECTOR}, 0, FLASH_FOR_EVER);
        }
        expect_failure(bad);
        assert_int_equal(flash_calls_end(), SR_WRITER_ATTEMPTS);
        for (uint32_t sector = 0; sector < 8; sector++) {
            const bool copied = sector != 3 && sector != 4 && (down ? sector > 3 : sector < 3);
            assert_int_equal(nor_flash_wear(flash, PLACE / SECTOR + sector), copied ? 1 : 0);
        }
    }
}

static void source_is_read_as_often_as_a_sector_is_tried(void **state)
{
    (void)state;
    for (uint32_t failures = 1; failures < SR_WRITER_ATTEMPTS; failures++) {
        start_over(FAR, 3 * SECTOR, (sr_region_t){PLACE, 3 * SECTOR});
        flash_calls_fail(FLASH_READS, (sr_region_t){FAR, 3 * SECTOR}, 1, failures);
        assert_int_equal(sr_copy_execute(&copy), ESP_OK);
        assert_int_equal(flash_calls_end(), 3 + failures);
        expect_copied();
    }
}

static void boot_path_that_fails_is_told(void **state)
{
    (void)state;
    start_over(FAR, 3 * SECTOR, (sr_region_t){PLACE, 3 * SECTOR});
    use_table(PLACE + SECTOR);
    flash_calls_fail(FLASH_ERASES, (sr_region_t){PLACE + SECTOR, SECTOR}, 0, FLASH_FOR_EVER);
    expect_failure(PLACE + SECTOR);
    assert_int_equal(flash_calls_end(), SR_BOOT_PATH_BUFFER_ATTEMPTS + 1); /* Once as one of a group. */
}

/* Sectors in the order in which they are first written. */
static void expect_order(const uint32_t *sectors, uint32_t count)
{
    bool seen[SMALL_FLASH_SIZE / SECTOR] = {false};
    uint32_t found = 0;
    for (uint32_t i = 0; i < history->count; i++) {
        const uint32_t sector = history->ops[i].address / SECTOR;
        if (!seen[sector]) {
            assert_true(found < count);
            assert_int_equal(sector, sectors[found++]);
            seen[sector] = true;
        }
    }
    assert_int_equal(found, count);
}

static void expect_list(const uint32_t *is, uint32_t is_count, const uint32_t *should, uint32_t count)
{
    assert_int_equal(is_count, count);
    assert_memory_equal(is, should, count * sizeof(should[0]));
}

#define YIELD_BLOCK  SR_YIELD_BYTES
#define YIELD_SECTOR SR_YIELD_WRITE

/* Each of its parts is all of a group: what is blank comes before the bootloader, then table and otadata. */
static void boot_path_goes_last_in_its_order(void **state)
{
    (void)state;
    for (unsigned down = 0; down < 2; down++) {
        static const uint32_t order[2][10] = {{0x42, 0x45, 0x48, 0x4A, 0x44, 0x40, 0x41, 0x49, 0x46, 0x47},
                                              {0x4A, 0x48, 0x45, 0x42, 0x44, 0x40, 0x41, 0x49, 0x46, 0x47}};
        static const uint32_t yields[] = {YIELD_BLOCK,  YIELD_SECTOR, YIELD_SECTOR,
                                          YIELD_SECTOR, YIELD_SECTOR, YIELD_BLOCK};
        static const uint32_t done[] = {11 * SECTOR};
        start_over(down != 0 ? PLACE - BLOCK : FAR, 11 * SECTOR, (sr_region_t){PLACE, 11 * SECTOR});
        /* One sector of that is right already. */
        memcpy(nor_flash_bytes(flash) + PLACE + 3 * SECTOR, before + copy.source + 3 * SECTOR, SECTOR);
        copy.last[SR_BOOT_PATH_BUFFER_NEIGHBOURS] = (sr_region_t){PLACE + 4 * SECTOR, SECTOR};
        copy.last[SR_BOOT_PATH_BUFFER_BOOTLOADER] = (sr_region_t){PLACE, 2 * SECTOR};
        copy.last[SR_BOOT_PATH_BUFFER_TABLE] = (sr_region_t){PLACE + 9 * SECTOR, SECTOR};
        copy.last[SR_BOOT_PATH_BUFFER_OTADATA] = (sr_region_t){PLACE + 6 * SECTOR, 2 * SECTOR};
        copy.yield = count_yield;
        copy.progress = count_progress;
        copy.progress_context = history;
        assert_int_equal(sr_copy_prepare(&copy), ESP_OK);
        assert_int_equal(sr_copy_boot_path_sectors(&copy), 6);
        assert_int_equal(sr_copy_execute(&copy), ESP_OK);
        sr_copy_release(&copy);
        expect_copied();
        expect_order(order[down], 10);
        /* The sector that is right counts as well, as it might have to be written. */
        assert_int_equal(history->yield_count, 7);
        assert_memory_equal(history->yields, yields, 5 * sizeof(yields[0]));
        assert_int_equal(history->yields[6], YIELD_BLOCK);
        expect_list(history->done, history->done_count, done, 1);
    }
}

/* Also of a copy that begins and ends inside of blocks, in either direction. */
static void each_piece_yields_and_tells_progress(void **state)
{
    (void)state;
    for (unsigned down = 0; down < 2; down++) {
        uint32_t yields[24];
        uint32_t count = 0;
        const uint32_t pieces[2][3] = {{2, 16, 1}, {1, 16, 2}};
        uint32_t done[3];
        for (uint32_t i = 0, sum = 0; i < 3; i++) {
            yields[count++] = YIELD_BLOCK;
            for (uint32_t sector = 0; sector < pieces[down][i]; sector++) {
                yields[count++] = YIELD_SECTOR;
            }
            sum += pieces[down][i] * SECTOR;
            done[i] = sum;
        }
        yields[count++] = YIELD_BLOCK;
        start_over(down != 0 ? 0x10000 : FAR, BLOCK + 3 * SECTOR,
                   (sr_region_t){PLACE - 2 * SECTOR, BLOCK + 3 * SECTOR});
        copy.yield = count_yield;
        copy.progress = count_progress;
        copy.progress_context = history;
        assert_int_equal(sr_copy_execute(&copy), ESP_OK);
        expect_copied();
        expect_list(history->yields, history->yield_count, yields, count);
        expect_list(history->done, history->done_count, done, 3);
    }
}

/* What of the boot path is held. */

/** One region of the boot path, and what is held of it when a block is copied. */
typedef struct hold_case {
    sr_region_t region;
    uint32_t first, count; /**< Sectors. */
} hold_case_t;

static const hold_case_t hold_cases[] = {
    {{PLACE, SECTOR}, PLACE, 1},
    {{PLACE + 2 * SECTOR, 3 * SECTOR}, PLACE + 2 * SECTOR, 3},
    {{PLACE - 2 * SECTOR, 4 * SECTOR}, PLACE, 2},
    {{PLACE - SECTOR, SECTOR}, 0, 0},
    {{PLACE + BLOCK - SECTOR, 3 * SECTOR}, PLACE + BLOCK - SECTOR, 1},
    {{PLACE + BLOCK - 2 * SECTOR, 2 * SECTOR}, PLACE + BLOCK - 2 * SECTOR, 2},
    {{PLACE + BLOCK, SECTOR}, 0, 0},
    {{PLACE - BLOCK, 3 * BLOCK}, PLACE, 16},
    {{PLACE, 0}, 0, 0},
};

static void what_the_copy_has_of_the_boot_path_is_held(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(hold_cases) / sizeof(hold_cases[0]); i++) {
        const hold_case_t *test = &hold_cases[i];
        for (unsigned group = 0; group < SR_BOOT_PATH_BUFFER_GROUPS; group++) {
            start_over(FAR, BLOCK, (sr_region_t){PLACE, BLOCK});
            copy.last[group] = test->region;
            assert_int_equal(sr_copy_prepare(&copy), ESP_OK);
            assert_int_equal(copy.buffer.capacity, test->count);
            assert_int_equal(sr_copy_boot_path_sectors(&copy), test->count);
            assert_int_equal(copy.buffer.group_end[group], test->count);
            assert_true(group == 0 || copy.buffer.group_end[group - 1] == 0);
            for (uint32_t sector = 0; sector < test->count; sector++) {
                const sr_writer_sector_t *held = &copy.buffer.sectors[sector];
                assert_int_equal(held->address, test->first + sector * SECTOR);
                assert_memory_equal(held->data, before + FAR + held->address - PLACE, SECTOR);
            }
            assert_int_equal(copy.buffer.owned.address, PLACE);
            assert_int_equal(copy.buffer.owned.size, BLOCK);
            sr_copy_release(&copy);
            assert_int_equal(sr_copy_boot_path_sectors(&copy), 0);
            assert_int_equal(sim_counters()->heap_now, 0);
        }
    }
}

/* Its magic byte is cleared while any of the others is written. */
static void first_sector_of_a_guarded_bootloader_is_held_even_if_it_is_right(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * SR_BOOT_PATH_BUFFER_GROUPS; i++) {
        const bool guarded = i % 2 != 0;
        const unsigned group = i / 2;
        start_over(PLACE, BLOCK, (sr_region_t){PLACE, BLOCK}); /* All of it is right. */
        copy.last[group] = (sr_region_t){PLACE + SECTOR, 3 * SECTOR};
        copy.guarded = guarded;
        assert_int_equal(sr_copy_prepare(&copy), ESP_OK);
        assert_int_equal(copy.buffer.guarded, guarded);
        const bool held = guarded && group == SR_BOOT_PATH_BUFFER_BOOTLOADER;
        assert_int_equal(sr_copy_boot_path_sectors(&copy), held ? 1 : 0);
        assert_true(!held || copy.buffer.sectors[0].address == PLACE + SECTOR);
        sr_copy_release(&copy);
    }
}

static void use_boot_path(void)
{
    start_over(FAR, 2 * SECTOR, (sr_region_t){PLACE, BLOCK});
    copy.last[SR_BOOT_PATH_BUFFER_NEIGHBOURS] = (sr_region_t){PLACE + 4 * SECTOR, 2 * SECTOR};
    copy.last[SR_BOOT_PATH_BUFFER_BOOTLOADER] = (sr_region_t){PLACE, 2 * SECTOR};
    copy.last[SR_BOOT_PATH_BUFFER_OTADATA] = (sr_region_t){PLACE + 8 * SECTOR, SECTOR};
}

/* List, two sectors of the bootloader, and one that all blank ones share. */
static void boot_path_that_cannot_be_held_is_told(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= 5; number++) {
        use_boot_path();
        sim_heap_fail_at(number);
        assert_int_equal(sr_copy_prepare(&copy), number <= 4 ? ESP_ERR_NO_MEM : ESP_OK);
        sim_heap_fail_at(0);
        sr_copy_release(&copy);
        assert_int_equal(sim_counters()->heap_now, 0);
    }
    use_boot_path();
    flash_calls_count(FLASH_READS, (sr_region_t){0});
    assert_int_equal(sr_copy_prepare(&copy), ESP_OK);
    sr_copy_release(&copy);
    const uint32_t reads = flash_calls_end();
    assert_int_equal(reads, 2 + 5);
    for (uint32_t read = 0; read < reads; read++) {
        use_boot_path();
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(sr_copy_prepare(&copy), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), read + 1); /* There it ends. */
        sr_copy_release(&copy);
        assert_int_equal(sim_counters()->heap_now, 0);
        expect_untouched();
    }
}

/* What would change. */

/* In a block that is right but for one sector. */
static void region_changes_if_one_of_its_sectors_does(void **state)
{
    (void)state;
    const sr_region_t region = {PLACE - SECTOR, 5 * SECTOR}; /* Of which the copy has four. */
    for (uint32_t i = 0; i < 2 * 6; i++) {
        const uint32_t wrong = i / 2; /* Its first byte, or the last one; of the last sector none. */
        bool changes = wrong >= 4;
        start_over(FAR, BLOCK, (sr_region_t){PLACE, BLOCK});
        memcpy(nor_flash_bytes(flash) + PLACE, before + FAR, BLOCK);
        nor_flash_bytes(flash)[PLACE + wrong * SECTOR + (i % 2 != 0 ? SECTOR - 1 : 0)] ^= wrong < 5 ? 1 : 0;
        copy.yield = count_yield;
        assert_int_equal(sr_copy_changes(&copy, region, &changes), ESP_OK);
        assert_int_equal(changes, wrong < 4);
        assert_int_equal(history->yield_count, wrong < 4 ? wrong + 1 : 4);
        for (uint32_t at = 0; at < history->yield_count; at++) {
            assert_int_equal(history->yields[at], 2 * SECTOR);
        }
    }
    bool changes = true;
    assert_int_equal(sr_copy_changes(&copy, (sr_region_t){PLACE - BLOCK, BLOCK}, &changes), ESP_OK);
    assert_false(changes);
    start_over(FAR, BLOCK, (sr_region_t){PLACE, BLOCK});
    for (uint32_t read = 0; read < 2; read++) {
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(sr_copy_changes(&copy, region, &changes), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), read + 1);
    }
    expect_untouched();
}

/* In place. */

static void yield_fails(uint32_t bytes)
{
    (void)bytes;
    abort();
}

static void progress_fails(void *context, uint32_t done, uint32_t total)
{
    (void)context;
    (void)done;
    (void)total;
    abort();
}

static void feed_fails(void)
{
    abort();
}

static void execute_in_place(void *unused)
{
    (void)unused;
    (void)sr_copy_execute_in_place(&copy);
    abort();
}

/* Over the running app, from the block behind it on, which the image overlaps. */
static void start_in_place(void)
{
    start_over(SMALL_SLOTS + 3 * SECTOR, BLOCK + 100, (sr_region_t){SMALL_SLOTS, 20 * SECTOR});
    copy.last[SR_BOOT_PATH_BUFFER_OTADATA] = (sr_region_t){SMALL_SLOTS + SECTOR, 2 * SECTOR};
    assert_int_equal(sr_copy_prepare(&copy), ESP_OK);
    copy.yield = yield_fails;
    copy.progress = progress_fails;
}

/* Neither what is read nor what is written may make it give up: there is no app any more. */
static void copy_in_place_is_tried_until_it_succeeds(void **state)
{
    (void)state;
    const sr_region_t source = {SMALL_SLOTS + 3 * SECTOR, 4 * BLOCK};
    for (unsigned way = 0; way < 4; way++) {
        start_in_place();
        const uint32_t often = 3 * SR_WRITER_ATTEMPTS;
        if (way == 0) {
            flash_calls_fail(FLASH_READS, source, 30, often);
        } else if (way == 1) {
            flash_calls_fail(FLASH_ERASES, (sr_region_t){SMALL_SLOTS + 4 * SECTOR, SECTOR}, 0, often);
        } else if (way == 2) {
            flash_calls_fail(FLASH_WRITES, (sr_region_t){SMALL_SLOTS + 4 * SECTOR, SECTOR}, 5, often);
        }
        assert_int_equal(sim_call(execute_in_place, NULL), SIM_END_RESTART);
        (void)flash_calls_end();
        sr_copy_release(&copy);
        expect_copied();
        assert_int_equal(history->ops[history->count - 1].address / SECTOR, SMALL_SLOTS / SECTOR + 1);
    }
}

/** What is to be blank after a copy in place. */
static void leftover_is_made_blank_its_first_sector_last(void **state)
{
    (void)state;
    for (uint32_t sectors = 0; sectors <= 4; sectors++) {
        start_in_place();
        const sr_region_t leftover = {PLACE + BLOCK + SECTOR, sectors * SECTOR};
        copy.leftover = leftover;
        assert_int_equal(sim_call(execute_in_place, NULL), SIM_END_RESTART);
        sr_copy_release(&copy);
        const uint32_t last = history->count - sectors;
        for (uint32_t i = 0; i < sectors; i++) {
            const uint32_t sector = i + 1 < sectors ? i + 1 : 0;
            assert_int_equal(history->ops[last + i].kind, NOR_OP_ERASE_SECTOR);
            assert_int_equal(history->ops[last + i].address, leftover.address + sector * SECTOR);
        }
        assert_int_equal(history->ops[last - 1].address / SECTOR, SMALL_SLOTS / SECTOR + 1);
        memset(nor_flash_bytes(flash) + leftover.address, 0xFF, leftover.size);
        memcpy(nor_flash_bytes(flash) + leftover.address, before + leftover.address, leftover.size);
        expect_copied();
    }
}

/* The chip boots by then. */
static void leftover_that_fails_is_given_up(void **state)
{
    (void)state;
    for (uint32_t dead = 0; dead < 3; dead++) {
        start_in_place();
        copy.leftover = (sr_region_t){PLACE + BLOCK, 3 * SECTOR};
        const uint32_t address = copy.leftover.address + dead * SECTOR;
        nor_flash_set_faults(flash, (nor_faults_t){.erase_per_million = 1000000, .single = true, .address = address});
        assert_int_equal(sim_call(execute_in_place, NULL), SIM_END_RESTART);
        sr_copy_release(&copy);
        assert_int_equal(nor_flash_failures(flash, address / SECTOR), SR_WRITER_ATTEMPTS);
        memcpy(nor_flash_bytes(flash) + copy.leftover.address, before + copy.leftover.address, copy.leftover.size);
        expect_copied();
    }
}

/* Nothing feeds the watchdog while there is no app: it is off by then. */
static void call_with_feed(void *unused)
{
    copy.flash.feed = feed_fails;
    execute_in_place(unused);
}

static void watchdog_is_not_fed_in_place(void **state)
{
    (void)state;
    start_in_place();
    assert_int_equal(sim_call(call_with_feed, NULL), SIM_END_RESTART);
    sr_copy_release(&copy);
    expect_copied();
}

static void copy_that_cannot_start_in_place_changes_nothing(void **state)
{
    (void)state;
    start_in_place();
    enter_error = ESP_ERR_INVALID_STATE;
    assert_int_equal(sr_copy_execute_in_place(&copy), ESP_ERR_INVALID_STATE);
    sr_copy_release(&copy);
    assert_false(copy.in_place);
    expect_untouched();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(image_is_copied_and_all_else_stays),
        TEST(block_is_erased_at_once_where_that_is_quicker),
        TEST(what_only_has_to_be_programmed_is_not_erased_if_that_is_wanted),
        TEST(block_that_cannot_be_judged_is_left_to_its_sectors),
        TEST(block_erase_is_tried_again_and_its_error_told),
        TEST(sector_that_fails_ends_the_copy),
        TEST(source_is_read_as_often_as_a_sector_is_tried),
        TEST(boot_path_that_fails_is_told),
        TEST(boot_path_goes_last_in_its_order),
        TEST(each_piece_yields_and_tells_progress),
        TEST(what_the_copy_has_of_the_boot_path_is_held),
        TEST(first_sector_of_a_guarded_bootloader_is_held_even_if_it_is_right),
        TEST(boot_path_that_cannot_be_held_is_told),
        TEST(region_changes_if_one_of_its_sectors_does),
        TEST(copy_in_place_is_tried_until_it_succeeds),
        TEST(leftover_is_made_blank_its_first_sector_last),
        TEST(leftover_that_fails_is_given_up),
        TEST(watchdog_is_not_fed_in_place),
        TEST(copy_that_cannot_start_in_place_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
