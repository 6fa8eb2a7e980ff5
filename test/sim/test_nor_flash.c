// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/nor_flash.h"

#include "format/sr_sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define SIZE   0x200000u
#define SECTOR 0x1000u
#define BLOCK  0x10000u

static int set_up(void **state)
{
    *state = nor_flash_new(SIZE, nor_timing_find(NULL));
    return *state == NULL;
}

static int tear_down(void **state)
{
    nor_flash_delete(*state);
    return 0;
}

/* Not the generator of the model, so that the two cannot agree by accident. */
static void fill(uint8_t *out, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++) {
        out[i] = (uint8_t)rand_r(&seed);
    }
}

static void is_blank(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(bytes[i], 0xFF);
    }
}

static void starts_blank_and_checks_its_size(void **state)
{
    is_blank(nor_flash_view(*state), SIZE);
    assert_int_equal(nor_flash_size(*state), SIZE);
    assert_null(nor_flash_new(0x300000, nor_timing_find(NULL)));
    assert_null(nor_flash_new(0x80000, nor_timing_find(NULL)));
    assert_null(nor_flash_new(0x4000000, nor_timing_find(NULL)));
    assert_null(nor_flash_new(SIZE, NULL));
}

static void timings_are_of_named_chips(void **state)
{
    (void)state;
    const nor_timing_t *timing = nor_timing_find("W25Q32JV");
    assert_ptr_equal(timing, nor_timing_find(NULL));
    assert_null(nor_timing_find("none"));
    assert_int_equal(timing->page_program_typical_us, 400);
    assert_int_equal(timing->sector_erase_maximum_us, 400000);
    for (unsigned i = 0; (timing = nor_timing_at(i)) != NULL; i++) {
        assert_ptr_equal(timing, nor_timing_find(timing->name));
        assert_non_null(strstr(timing->source, timing->name));
        assert_true(timing->page_program_typical_us < timing->page_program_maximum_us);
        assert_true(timing->sector_erase_typical_us < timing->sector_erase_maximum_us);
        assert_true(timing->block_erase_typical_us < timing->block_erase_maximum_us);
    }
}

static void programmed_data_reads_back_whatever_the_range(void **state)
{
    nor_flash_t *flash = *state;
    uint8_t data[3000];
    uint8_t back[sizeof(data)];
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned random = seed;
        const uint32_t address = (uint32_t)rand_r(&random) % (SIZE - sizeof(data));
        const size_t length = (size_t)rand_r(&random) % sizeof(data);
        fill(data, length, seed);
        assert_int_equal(nor_erase(flash, address & ~(SECTOR - 1), 2 * SECTOR), NOR_OK);
        assert_int_equal(nor_program(flash, address, data, length), NOR_OK);
        assert_int_equal(nor_read(flash, address, back, length), NOR_OK);
        assert_memory_equal(back, data, length);
        is_blank(nor_flash_view(flash) + (address & ~(SECTOR - 1)), address % SECTOR);
    }
}

static void program_clears_bits_only(void **state)
{
    nor_flash_t *flash = *state;
    const uint8_t first = 0xF0, second = 0x30, third = 0x31;
    assert_int_equal(nor_program(flash, 5, &first, 1), NOR_OK);
    assert_int_equal(nor_program(flash, 5, &second, 1), NOR_OK);
    assert_int_equal(nor_program(flash, 5, &third, 1), NOR_PROGRAM_SETS_BITS);
    assert_int_equal(nor_flash_view(flash)[5], 0x30);
    assert_int_equal(nor_flash_stats(flash).bad_programs, 1);
    assert_int_equal(nor_flash_stats(flash).page_programs, 2);

    /* One wrong bit far along keeps everything before it from being programmed. */
    uint8_t data[1024];
    memset(data, 0, sizeof(data));
    const uint8_t zero = 0;
    assert_int_equal(nor_program(flash, 8192 + 1023, &zero, 1), NOR_OK);
    data[1023] = 1;
    assert_int_equal(nor_program(flash, 8192, data, sizeof(data)), NOR_PROGRAM_SETS_BITS);
    is_blank(nor_flash_view(flash) + 8192, 1023);
}

static void ranges_are_checked(void **state)
{
    nor_flash_t *flash = *state;
    uint8_t data[16] = {0};
    assert_int_equal(nor_read(flash, SIZE - 8, data, 9), NOR_OUT_OF_BOUNDS);
    assert_int_equal(nor_read(flash, UINT32_MAX, data, 2), NOR_OUT_OF_BOUNDS);
    assert_int_equal(nor_read(flash, SIZE - 8, data, 8), NOR_OK);
    assert_int_equal(nor_read(flash, SIZE, data, 0), NOR_OK);
    assert_int_equal(nor_program(flash, SIZE - 8, data, 9), NOR_OUT_OF_BOUNDS);
    assert_int_equal(nor_erase(flash, SIZE - SECTOR, 2 * SECTOR), NOR_OUT_OF_BOUNDS);
    assert_int_equal(nor_erase(flash, 0, (size_t)UINT32_MAX + 1), NOR_OUT_OF_BOUNDS);
    assert_int_equal(nor_erase(flash, 256, SECTOR), NOR_UNALIGNED);
    assert_int_equal(nor_erase(flash, SECTOR, 256), NOR_UNALIGNED);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

typedef struct op_log {
    nor_op_t ops[64];
    unsigned count;
} op_log_t;

static void log_op(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    op_log_t *log = context;
    assert_non_null(flash);
    assert_true(log->count < 64);
    log->ops[log->count++] = *op;
}

static void erase_uses_blocks_where_aligned(void **state)
{
    nor_flash_t *flash = *state;
    op_log_t log = {.count = 0};
    nor_flash_set_observer(flash, log_op, &log);
    assert_int_equal(nor_erase(flash, BLOCK - SECTOR, SECTOR + 2 * BLOCK + 2 * SECTOR), NOR_OK);
    static const struct {
        nor_op_kind_t kind;
        uint32_t address;
    } expected[] = {{NOR_OP_ERASE_SECTOR, BLOCK - SECTOR},
                    {NOR_OP_ERASE_BLOCK, BLOCK},
                    {NOR_OP_ERASE_BLOCK, 2 * BLOCK},
                    {NOR_OP_ERASE_SECTOR, 3 * BLOCK},
                    {NOR_OP_ERASE_SECTOR, 3 * BLOCK + SECTOR}};
    assert_int_equal(log.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(log.ops[i].kind, expected[i].kind);
        assert_int_equal(log.ops[i].address, expected[i].address);
        assert_int_equal(log.ops[i].number, i);
        assert_false(log.ops[i].changed);
    }
    assert_int_equal(nor_flash_wear(flash, BLOCK / SECTOR - 2), 0);
    assert_int_equal(nor_flash_wear(flash, BLOCK / SECTOR - 1), 1);
    assert_int_equal(nor_flash_wear(flash, 2 * BLOCK / SECTOR + 7), 1);
    assert_int_equal(nor_flash_wear(flash, SIZE / SECTOR), 0);
}

static void operations_are_counted_and_timed(void **state)
{
    nor_flash_t *flash = *state;
    const nor_timing_t *timing = nor_timing_find(NULL);
    op_log_t log = {.count = 0};
    uint8_t data[600];
    memset(data, 0xA5, sizeof(data));
    nor_flash_set_observer(flash, log_op, &log);

    /* From 200 on, 600 bytes touch four pages: 56 + 256 + 256 + 32. */
    assert_int_equal(nor_program(flash, 200, data, sizeof(data)), NOR_OK);
    assert_int_equal(nor_erase(flash, 0, SECTOR), NOR_OK);
    assert_int_equal(nor_erase(flash, BLOCK, BLOCK), NOR_OK);
    const nor_stats_t stats = nor_flash_stats(flash);
    assert_int_equal(stats.page_programs, 4);
    assert_int_equal(stats.sector_erases, 1);
    assert_int_equal(stats.block_erases, 1);
    assert_int_equal(stats.operations, 6);
    assert_int_equal(stats.bytes_programmed, 600);
    const uint64_t typical = 4 * timing->page_program_typical_us + timing->sector_erase_typical_us;
    assert_int_equal(stats.typical_us, typical + timing->block_erase_typical_us);
    assert_int_equal(stats.maximum_us, 4 * timing->page_program_maximum_us + timing->sector_erase_maximum_us +
                                           timing->block_erase_maximum_us);
    assert_int_equal(log.ops[0].length, 56);
    assert_int_equal(log.ops[3].length, 32);
    assert_true(log.ops[0].changed);
    assert_true(log.ops[4].changed);
    assert_false(log.ops[5].changed);
    assert_int_equal(log.ops[5].start_us, typical);

    /* Many small reads take as long as a large one. */
    for (unsigned i = 0; i < 1024; i++) {
        assert_int_equal(nor_read(flash, 0, data, 16), NOR_OK);
    }
    const uint64_t read_us = nor_flash_stats(flash).typical_us - stats.typical_us;
    assert_in_range(read_us, 16 * timing->read_us_per_kib - 2, 16 * timing->read_us_per_kib);
    assert_int_equal(nor_flash_stats(flash).bytes_read, 16384);

    nor_flash_reset_stats(flash);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_int_equal(nor_flash_stats(flash).typical_us, 0);
    assert_int_equal(nor_flash_wear(flash, 0), 0);
}

/* Old content in the first block, then an operation that changes it and is cut. */
typedef struct cut_case {
    bool erase;
    uint32_t address;
    uint32_t length;
} cut_case_t;

static void run_cut(nor_flash_t *flash, const cut_case_t *c, nor_power_loss_t loss, uint8_t *before, uint8_t *after)
{
    nor_flash_power_on(flash);
    uint8_t *bytes = nor_flash_bytes(flash);
    fill(bytes, 2 * BLOCK, 77);
    uint8_t data[256];
    fill(data, sizeof(data), 99);
    for (uint32_t i = 0; !c->erase && i < c->length; i++) {
        bytes[c->address + i] |= data[i];
    }
    memcpy(before, bytes, 2 * BLOCK);
    memcpy(after, bytes, 2 * BLOCK);
    if (c->erase) {
        memset(after + c->address, 0xFF, c->length);
    } else {
        memcpy(after + c->address, data, c->length);
    }
    nor_flash_reset_stats(flash);
    nor_flash_set_power_loss(flash, loss);
    assert_int_equal(c->erase ? nor_erase(flash, c->address, c->length)
                              : nor_program(flash, c->address, data, c->length),
                     NOR_POWER_LOST);
    assert_true(nor_flash_power_is_lost(flash));
}

static bool is_between(uint8_t now, uint8_t before, uint8_t after)
{
    return ((now ^ before) & ~(before ^ after)) == 0;
}

/* The bits that a cut may leave: old or new ones; inside the unit of an erase also zeroes. */
static void are_possible(const cut_case_t *c, const uint8_t *now, const uint8_t *before, const uint8_t *after)
{
    for (uint32_t at = 0; at < 2 * BLOCK; at++) {
        const bool erased = c->erase && at >= c->address && at < c->address + c->length;
        assert_true(erased || is_between(now[at], before[at], after[at]));
    }
}

static void a_cut_inside_leaves_old_and_new_bits(void **state)
{
    nor_flash_t *flash = *state;
    static const cut_case_t cases[] = {{true, SECTOR, SECTOR}, {true, 0, BLOCK}, {false, 0x1234, 100}, {false, 0, 256}};
    uint8_t *before = malloc(2 * BLOCK), *after = malloc(2 * BLOCK), *first = malloc(2 * BLOCK);
    for (unsigned i = 0; i < 4; i++) {
        unsigned partial = 0, differing = 0;
        for (uint32_t seed = 0; seed < 100; seed++) {
            const nor_power_loss_t loss = {.armed = true, .when = NOR_POWER_LOSS_INSIDE, .seed = seed};
            run_cut(flash, &cases[i], loss, before, after);
            const uint8_t *now = nor_flash_view(flash);
            are_possible(&cases[i], now, before, after);
            partial += memcmp(now, before, 2 * BLOCK) != 0 && memcmp(now, after, 2 * BLOCK) != 0;
            differing += seed > 0 && memcmp(now, first, 2 * BLOCK) != 0;
            memcpy(first, now, 2 * BLOCK);

            run_cut(flash, &cases[i], loss, before, after);
            assert_memory_equal(nor_flash_view(flash), first, 2 * BLOCK);
        }
        /* Nearly every seed must give a state of its own. */
        assert_in_range(partial, 90, 100);
        assert_in_range(differing, 90, 99);
    }
    free(before);
    free(after);
    free(first);
}

/* Bytes with bits that an erase has set, and with bits that it has cleared in between. */
typedef struct moved {
    uint32_t set, cleared;
} moved_t;

static moved_t cut_erase(nor_flash_t *flash, uint32_t seed)
{
    static uint8_t before[BLOCK];
    moved_t moved = {0};
    nor_flash_power_on(flash);
    nor_flash_reset_stats(flash);
    memset(before, 0x5A, sizeof(before));
    memcpy(nor_flash_bytes(flash), before, BLOCK);
    nor_flash_set_power_loss(flash, (nor_power_loss_t){.armed = true, .when = NOR_POWER_LOSS_INSIDE, .seed = seed});
    assert_int_equal(nor_erase(flash, 0, BLOCK), NOR_POWER_LOST);
    const uint8_t *now = nor_flash_view(flash);
    for (uint32_t i = 0; i < BLOCK; i++) {
        moved.set += (now[i] & ~before[i]) != 0;
        moved.cleared += (before[i] & ~now[i]) != 0;
    }
    return moved;
}

static void an_erase_is_cut_in_three_phases(void **state)
{
    nor_flash_t *flash = *state;
    for (unsigned few = 0; few < 2; few++) {
        const uint32_t seeds = few ? NOR_TORN_KINDS : NOR_TORN_STATES;
        unsigned zeroing = 0, erasing = 0, direct = 0;
        for (uint32_t seed = 0; seed < seeds; seed++) {
            const moved_t moved = cut_erase(flash, seed);
            zeroing += moved.cleared > 0 && moved.set == 0;
            erasing += moved.cleared > 0 && moved.set > 0;
            direct += moved.cleared == 0 && moved.set > 0;
        }
        assert_int_equal(zeroing + erasing + direct, seeds);
        assert_in_range(zeroing, few ? 1 : NOR_TORN_KINDS, NOR_TORN_KINDS);
        assert_in_range(erasing, few ? 1 : NOR_TORN_KINDS, NOR_TORN_KINDS);
        assert_in_range(direct, few ? 1 : NOR_TORN_KINDS, NOR_TORN_KINDS);
    }
}

/* The chip erases a whole unit in the order of its addresses, or all of it at once, but not each sector for itself. */
static void a_torn_prefix_ends_once_in_a_block(void **state)
{
    nor_flash_t *flash = *state;
    (void)cut_erase(flash, 0);
    const uint8_t *now = nor_flash_view(flash);
    unsigned ends = 0;
    for (uint32_t at = 1; at < BLOCK; at++) {
        ends += now[at] != now[at - 1];
    }
    assert_int_equal(ends, 1);
}

static bool has_zeroes(const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        if (bytes[i] != 0xFF) {
            return true;
        }
    }
    return false;
}

static void what_was_blank_does_not_stay_so_in_a_torn_erase(void **state)
{
    nor_flash_t *flash = *state;
    unsigned torn = 0;
    for (uint32_t seed = 0; seed < NOR_TORN_STATES; seed++) {
        uint8_t *bytes = nor_flash_bytes(flash);
        nor_flash_power_on(flash);
        nor_flash_reset_stats(flash);
        memset(bytes, 0xFF, BLOCK + SECTOR);
        memset(bytes, 0x5A, SECTOR); /* The one sector because of which the block is erased. */
        nor_flash_set_power_loss(flash, (nor_power_loss_t){.armed = true, .when = NOR_POWER_LOSS_INSIDE, .seed = seed});
        assert_int_equal(nor_erase(flash, 0, BLOCK), NOR_POWER_LOST);
        is_blank(bytes + BLOCK, SECTOR);
        torn += has_zeroes(bytes + SECTOR, BLOCK - SECTOR);
    }
    /* Not where a chip does it piece by piece. */
    assert_int_equal(torn, NOR_TORN_STATES - NOR_TORN_KINDS);
}

/* What explore computes from a record is what the chip does. */
static void a_torn_state_can_be_computed(void **state)
{
    nor_flash_t *flash = *state;
    static const cut_case_t cases[] = {{true, SECTOR, SECTOR}, {true, 0, BLOCK}, {false, 0, 256}};
    uint8_t *before = malloc(2 * BLOCK), *after = malloc(2 * BLOCK);
    for (unsigned i = 0; i < 3; i++) {
        const cut_case_t *c = &cases[i];
        nor_op_t op = {.kind = NOR_OP_PROGRAM, .address = c->address, .length = c->length};
        if (c->erase) {
            op.kind = c->length == BLOCK ? NOR_OP_ERASE_BLOCK : NOR_OP_ERASE_SECTOR;
        }
        for (uint32_t seed = 0; seed < 2 * NOR_TORN_STATES; seed++) {
            run_cut(flash, c, (nor_power_loss_t){.armed = true, .when = NOR_POWER_LOSS_INSIDE, .seed = seed}, before,
                    after);
            nor_tear(&op, seed, before + c->address, after + c->address);
            assert_memory_equal(nor_flash_view(flash), before, 2 * BLOCK);
        }
    }
    free(before);
    free(after);
}

static void a_cut_before_or_after_is_clean(void **state)
{
    nor_flash_t *flash = *state;
    const cut_case_t erase = {true, 0, BLOCK};
    uint8_t *before = malloc(2 * BLOCK), *after = malloc(2 * BLOCK);
    run_cut(flash, &erase, (nor_power_loss_t){.armed = true, .when = NOR_POWER_LOSS_BEFORE}, before, after);
    assert_memory_equal(nor_flash_view(flash), before, 2 * BLOCK);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    run_cut(flash, &erase, (nor_power_loss_t){.armed = true, .when = NOR_POWER_LOSS_AFTER}, before, after);
    assert_memory_equal(nor_flash_view(flash), after, 2 * BLOCK);
    assert_int_equal(nor_flash_stats(flash).operations, 1);
    free(before);
    free(after);
}

static void a_cut_hits_the_operation_it_names_and_the_rest_fails(void **state)
{
    nor_flash_t *flash = *state;
    uint8_t data[4 * 256];
    memset(data, 0, sizeof(data));
    nor_flash_set_power_loss(flash, (nor_power_loss_t){.armed = true, .operation = 2, .when = NOR_POWER_LOSS_BEFORE});
    assert_int_equal(nor_program(flash, 0, data, sizeof(data)), NOR_POWER_LOST);
    assert_int_equal(nor_flash_view(flash)[511], 0);
    is_blank(nor_flash_view(flash) + 512, 512);
    assert_int_equal(nor_program(flash, SECTOR, data, 1), NOR_POWER_LOST);
    assert_int_equal(nor_erase(flash, 0, SECTOR), NOR_POWER_LOST);
    assert_int_equal(nor_read(flash, 0, data, 1), NOR_POWER_LOST);
    nor_flash_power_on(flash);
    assert_int_equal(nor_program(flash, 0, data, sizeof(data)), NOR_OK);
    assert_int_equal(nor_flash_stats(flash).operations, 6);
}

/* Number of sectors of the flash in which programming or erasing fails. */
static unsigned count_bad_sectors(nor_flash_t *flash, bool erase)
{
    unsigned bad = 0;
    for (uint32_t address = 0; address < SIZE; address += SECTOR) {
        const uint8_t data[4] = {0x12, 0x34, 0x56, 0x78};
        memset(nor_flash_bytes(flash) + address, erase ? 0x00 : 0xFF, SECTOR);
        if (erase) {
            bad += nor_erase(flash, address, SECTOR) == NOR_TIMEOUT;
        } else {
            assert_int_equal(nor_program(flash, address, data, sizeof(data)), NOR_OK);
            bad += memcmp(nor_flash_view(flash) + address, data, sizeof(data)) != 0;
        }
    }
    return bad;
}

static void faults_hit_their_share_of_sectors_at_fixed_places(void **state)
{
    nor_flash_t *flash = *state;
    for (unsigned erase = 0; erase < 2; erase++) {
        const nor_faults_t faults = {
            .seed = 3, .program_per_million = erase ? 0 : 100000, .erase_per_million = erase ? 100000 : 0};
        nor_flash_set_faults(flash, faults);
        const unsigned bad = count_bad_sectors(flash, erase);
        assert_in_range(bad, 25, 80); /* 512 sectors, a tenth of them. */
        assert_int_equal(count_bad_sectors(flash, erase), bad);
        assert_int_equal(count_bad_sectors(flash, !erase), 0);
    }
    nor_flash_set_faults(flash, (nor_faults_t){0});
    assert_int_equal(count_bad_sectors(flash, false), 0);
    assert_int_equal(count_bad_sectors(flash, true), 0);
}

static void a_single_bad_sector_heals(void **state)
{
    nor_flash_t *flash = *state;
    const uint8_t data[2] = {0, 0};
    const nor_faults_t faults = {.program_per_million = 1, .heal_after = 2, .single = true, .address = SECTOR + 5};
    nor_flash_set_faults(flash, faults);
    assert_int_equal(nor_program(flash, 0, data, 2), NOR_OK);
    assert_memory_equal(nor_flash_view(flash), data, 2);
    for (unsigned attempt = 0; attempt < 3; attempt++) {
        assert_int_equal(nor_program(flash, SECTOR + 100, data, 2), NOR_OK);
        assert_int_equal(memcmp(nor_flash_view(flash) + SECTOR + 100, data, 2) == 0, attempt == 2);
    }
    assert_int_equal(nor_flash_failures(flash, 0), 0);
    assert_int_equal(nor_flash_failures(flash, 1), 2);
    assert_int_equal(nor_flash_failures(flash, SIZE / SECTOR), 0);
}

static void a_bad_sector_fails_the_erase_of_its_block_too(void **state)
{
    nor_flash_t *flash = *state;
    const nor_faults_t faults = {.erase_per_million = 1, .single = true, .address = BLOCK + 3 * SECTOR};
    nor_flash_set_faults(flash, faults);
    memset(nor_flash_bytes(flash), 0, SIZE);
    assert_int_equal(nor_erase(flash, 0, BLOCK), NOR_OK);
    assert_int_equal(nor_erase(flash, BLOCK, BLOCK), NOR_TIMEOUT);
    assert_int_equal(nor_erase(flash, BLOCK + 2 * SECTOR, SECTOR), NOR_OK);
    assert_int_equal(nor_erase(flash, BLOCK + 3 * SECTOR, SECTOR), NOR_TIMEOUT);
    assert_int_equal(nor_flash_failures(flash, BLOCK / SECTOR), 1);
    assert_int_equal(nor_flash_failures(flash, BLOCK / SECTOR + 3), 1);
}

static void children_share_content_and_counters(void **state)
{
    nor_flash_t *flash = *state;
    const pid_t child = fork();
    if (child == 0) {
        const uint8_t data = 0x42;
        _exit(nor_program(flash, 10, &data, 1) == NOR_OK ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(nor_flash_view(flash)[10], 0x42);
    assert_int_equal(nor_flash_stats(flash).page_programs, 1);
}

static void sizes_from_1_to_32_mib(void **state)
{
    (void)state;
    for (uint32_t size = 1u << 20; size <= 32u << 20; size *= 2) {
        nor_flash_t *flash = nor_flash_new(size, nor_timing_find(NULL));
        assert_non_null(flash);
        assert_int_equal(nor_flash_size(flash), size);
        is_blank(nor_flash_view(flash) + size - SECTOR, SECTOR);
        nor_flash_delete(flash);
    }
    nor_flash_delete(NULL);
}

static void memory_is_given_back(void **state)
{
    (void)state;
    unsigned char resident;
    nor_flash_t *flash = nor_flash_new(SIZE, nor_timing_find(NULL));
    assert_int_equal(mincore(flash, 1, &resident), 0);
    nor_flash_delete(flash);
    assert_int_equal(mincore(flash, 1, &resident), -1);
    assert_int_equal(errno, ENOMEM);
}

/* In the largest flash there are as many counters as sectors: past them something else lies. */
static void no_sector_past_the_end_has_counters(void **state)
{
    (void)state;
    const uint32_t size = 32u << 20;
    nor_flash_t *flash = nor_flash_new(size, nor_timing_find(NULL));
    nor_flash_set_faults(flash, (nor_faults_t){.erase_per_million = 1, .single = true});
    assert_int_equal(nor_erase(flash, 0, SECTOR), NOR_TIMEOUT);
    assert_int_equal(nor_erase(flash, size - SECTOR, SECTOR), NOR_OK);
    assert_int_equal(nor_flash_failures(flash, 0), 1);
    assert_int_equal(nor_flash_wear(flash, size / SECTOR - 1), 1);
    assert_int_equal(nor_flash_wear(flash, size / SECTOR), 0);
    assert_int_equal(nor_flash_failures(flash, size / SECTOR), 0);
    nor_flash_set_faults(flash, (nor_faults_t){0});
    assert_int_equal(nor_flash_failures(flash, 0), 0);
    nor_flash_delete(flash);
}

static void what_is_blank_is_so_in_each_byte(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 17; length++) {
        uint8_t bytes[19];
        memset(bytes, 0, sizeof(bytes));
        assert_false(nor_is_erased(bytes, length));
        memset(bytes, 0xFF, length);
        assert_true(nor_is_erased(bytes, length));
        for (size_t i = 0; i < length; i++) {
            bytes[i] = 0xFE;
            assert_false(nor_is_erased(bytes, length));
            bytes[i] = 0xFF;
        }
    }
    uint8_t same[16];
    memset(same, 0xFE, sizeof(same));
    assert_false(nor_is_erased(same, sizeof(same)));
}

static void loading_notes_the_sectors_that_differ(void **state)
{
    nor_flash_t *flash = *state;
    uint8_t *content = mmap(NULL, SIZE + SECTOR, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(mprotect(content + SIZE, SECTOR, PROT_NONE), 0); /* Nothing behind it is read. */
    memset(content, 0xFF, SIZE);
    nor_flash_load(flash, content);
    for (uint32_t sector = 0; sector < SIZE / SECTOR; sector++) {
        assert_false(nor_flash_is_loaded(flash, sector));
    }
    content[0] = 0;
    content[4 * SECTOR - 1] = 0;
    content[SIZE - 1] = 0;
    nor_flash_load(flash, content);
    assert_memory_equal(nor_flash_view(flash), content, SIZE);
    for (uint32_t sector = 0; sector < SIZE / SECTOR; sector++) {
        assert_int_equal(nor_flash_is_loaded(flash, sector), sector == 0 || sector == 3 || sector == SIZE / SECTOR - 1);
    }
    nor_flash_forget_loaded(flash);
    for (uint32_t sector = 0; sector < SIZE / SECTOR; sector++) {
        assert_false(nor_flash_is_loaded(flash, sector));
    }
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    munmap(content, SIZE + SECTOR);
}

static void reads_take_time_and_programs_no_wear(void **state)
{
    nor_flash_t *flash = *state;
    const nor_timing_t *timing = nor_timing_find(NULL);
    op_log_t log = {.count = 0};
    uint8_t data[1024] = {0};
    nor_flash_set_observer(flash, log_op, &log);
    assert_int_equal(nor_read(flash, 0, data, sizeof(data)), NOR_OK);
    assert_int_equal(nor_read(flash, 0, data, 100), NOR_OK);
    const uint64_t read_us = timing->read_us_per_kib + timing->read_us_per_kib * 100 / 1024;
    assert_int_equal(nor_flash_stats(flash).typical_us, read_us);
    assert_int_equal(nor_flash_stats(flash).maximum_us, read_us);
    memset(data, 0, sizeof(data));
    assert_int_equal(nor_program(flash, 0, data, 256), NOR_OK);
    assert_int_equal(log.ops[0].start_us, read_us);
    assert_int_equal(nor_flash_wear(flash, 0), 0);
    assert_int_equal(nor_program(flash, SIZE, data, 0), NOR_OK);
    assert_int_equal(nor_erase(flash, SIZE, 0), NOR_OK);
    assert_int_equal(log.count, 1);
    uint8_t *all = malloc(SIZE);
    nor_flash_reset_stats(flash);
    assert_int_equal(nor_read(flash, 0, all, SIZE), NOR_OK);
    assert_int_equal(nor_flash_stats(flash).typical_us, SIZE / 1024 * timing->read_us_per_kib);
    assert_int_equal(nor_flash_stats(flash).maximum_us, SIZE / 1024 * timing->read_us_per_kib);
    free(all);
    /* A nanosecond less than 47 us, if the clock was at zero. */
    nor_flash_reset_stats(flash);
    for (unsigned i = 0; i <= 371; i++) {
        assert_int_equal(nor_read(flash, 0, data, i == 0 ? 2 : 1), NOR_OK);
    }
    assert_int_equal(nor_flash_stats(flash).typical_us, 46);
}

static void an_observer_hears_of_what_was_done(void **state)
{
    nor_flash_t *flash = *state;
    op_log_t log = {.count = 0};
    uint8_t data[512] = {0};
    nor_flash_set_observer(flash, log_op, &log);
    for (nor_power_loss_when_t when = NOR_POWER_LOSS_BEFORE; when <= NOR_POWER_LOSS_AFTER; when++) {
        const unsigned heard = log.count;
        nor_flash_set_power_loss(flash, (nor_power_loss_t){.armed = true, .operation = heard, .when = when});
        assert_int_equal(nor_program(flash, 0, data, sizeof(data)), NOR_POWER_LOST);
        assert_int_equal(log.count - heard, when == NOR_POWER_LOSS_BEFORE ? 0 : 1);
        nor_flash_power_on(flash);
    }
    assert_int_equal(nor_program(flash, 0, data, 1), NOR_OK); /* disarmed */
    nor_flash_set_observer(flash, NULL, NULL);
    assert_int_equal(nor_program(flash, 0, data, 1), NOR_OK);
    assert_int_equal(log.count, 3);
}

/* The same on each machine, which rand_r() need not be. */
static void fill_portably(uint8_t *out, size_t length)
{
    uint32_t value = 12345;
    for (size_t i = 0; i < length; i++) {
        value = value * 1664525u + 1013904223u;
        out[i] = (uint8_t)(value >> 24);
    }
}

static void assert_digest(const sr_sha256_t *sha, const char *expected)
{
    sr_sha256_t copy = *sha;
    uint8_t digest[SR_SHA256_SIZE];
    char text[2 * SR_SHA256_SIZE + 1];
    assert_int_equal(sr_sha256_finish(&copy, digest), 0);
    for (unsigned i = 0; i < SR_SHA256_SIZE; i++) {
        (void)snprintf(text + (size_t)2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(text, expected);
}

/* A seed that a report or a bug names must give the same state later: digests of what they have always given. */
static void a_seed_gives_the_same_torn_state_as_ever(void **state)
{
    (void)state;
    static const struct {
        nor_op_t op;
        const char *digest;
    } cases[] = {
        {{.kind = NOR_OP_ERASE_SECTOR, .length = SECTOR},
         "010e3f602cbaf3f36c268ee5a827a199b145c81150acbe0cf2deb3a8e4315f6b"},
        {{.kind = NOR_OP_ERASE_SECTOR, .length = SECTOR, .number = 7},
         "f20a38a3b6d1ccac2727c069f061b65e8c0983f4ac106d8396d9dc00222de054"},
        {{.kind = NOR_OP_ERASE_BLOCK, .length = BLOCK, .number = 7},
         "02f2bad53405aa4331d46e5612d73e0328000c07447a12859e792ccae6e478b1"},
        {{.kind = NOR_OP_PROGRAM, .length = 256}, "c58e6391734c063f0cb9efc03eed0b7073d7232cdf267569b50ce5b9ff28a6d8"},
        {{.kind = NOR_OP_PROGRAM, .length = 7, .number = 1},
         "8433de8a30e1be8b381910de753f9a3d0c8ad92c65e030fcdf805fc9c2509e26"},
    };
    uint8_t *after = malloc(BLOCK), *bytes = malloc(BLOCK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const nor_op_t *op = &cases[i].op;
        sr_sha256_t sha;
        sr_sha256_start(&sha);
        for (uint32_t seed = 0; seed < 3 * NOR_TORN_STATES; seed++) {
            fill_portably(bytes, BLOCK);
            memset(after, op->kind == NOR_OP_PROGRAM ? 0x00 : 0xFF, BLOCK);
            nor_tear(op, seed, bytes, after);
            sr_sha256_update(&sha, bytes, op->length);
        }
        assert_digest(&sha, cases[i].digest);
    }
    free(after);
    free(bytes);
}

typedef enum fault_kind { FAULT_PROGRAM, FAULT_SECTOR, FAULT_BLOCK } fault_kind_t;

static bool fails_at(nor_flash_t *flash, fault_kind_t kind, uint32_t share, uint32_t address)
{
    const uint8_t zeroes[2] = {0};
    nor_faults_t faults = {.seed = 3};
    *(kind == FAULT_PROGRAM ? &faults.program_per_million : &faults.erase_per_million) = share;
    nor_flash_set_faults(flash, faults);
    memset(nor_flash_bytes(flash) + address, 0xFF, 2);
    if (kind == FAULT_PROGRAM) {
        assert_int_equal(nor_program(flash, address, zeroes, 2), NOR_OK);
        return memcmp(nor_flash_view(flash) + address, zeroes, 2) != 0;
    }
    return nor_erase(flash, address, kind == FAULT_BLOCK ? BLOCK : SECTOR) == NOR_TIMEOUT;
}

/* The smallest share with which this sector is among the bad ones: fixed for each seed, sector and kind of fault. */
static uint32_t share_of(nor_flash_t *flash, fault_kind_t kind, uint32_t address)
{
    uint32_t below = 0, failing = 1000000;
    assert_true(fails_at(flash, kind, failing, address)); /* all of them */
    assert_false(fails_at(flash, kind, 0, address));
    while (failing - below > 1) {
        const uint32_t middle = below + (failing - below) / 2;
        *(fails_at(flash, kind, middle, address) ? &failing : &below) = middle;
    }
    return failing;
}

static void a_seed_makes_the_same_sectors_fail_as_ever(void **state)
{
    nor_flash_t *flash = *state;
    static const uint32_t expected[][3] = {
        {305596, 321682, 663498},
        {224709, 965532, 46419},
        {777375, 374555, 183183},
    };
    for (fault_kind_t kind = FAULT_PROGRAM; kind <= FAULT_BLOCK; kind++) {
        for (uint32_t i = 0; i < 3; i++) {
            const uint32_t address = i * 3 * BLOCK + (kind == FAULT_BLOCK ? 0 : i * SECTOR);
            assert_int_equal(share_of(flash, kind, address), expected[kind][i]);
        }
    }
}

/* What a failure leaves, too. */
static void a_failure_leaves_the_same_as_ever(void **state)
{
    nor_flash_t *flash = *state;
    uint8_t *bytes = nor_flash_bytes(flash);
    static const uint8_t zeroes[256];
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    const nor_faults_t faults = {.seed = 5, .program_per_million = 1000000, .erase_per_million = 1000000};
    nor_flash_set_faults(flash, faults);
    for (uint32_t i = 0; i < 24; i++) {
        const uint32_t address = i * SECTOR + i, length = 1 + i * 10;
        fill_portably(bytes + i * SECTOR, SECTOR);
        bytes[address + length - 1] |= 1; /* the last one that is to change */
        const uint8_t last = bytes[address + length - 1];
        assert_int_equal(nor_program(flash, address, zeroes, length), NOR_OK);
        assert_int_equal(bytes[address + length - 1], last);
        sr_sha256_update(&sha, bytes + i * SECTOR, SECTOR);
        assert_int_equal(nor_erase(flash, i * SECTOR, SECTOR), NOR_TIMEOUT);
        sr_sha256_update(&sha, bytes + i * SECTOR, SECTOR);
    }
    fill_portably(bytes, BLOCK);
    assert_int_equal(nor_erase(flash, 0, BLOCK), NOR_TIMEOUT);
    sr_sha256_update(&sha, bytes, BLOCK);
    assert_digest(&sha, "6f1c3c33802cbf9942237b34bb07a39afa8387c70423e77daa2ea178fe8b6d1a");
}

static void an_erase_that_fails_takes_longest(void **state)
{
    nor_flash_t *flash = *state;
    const nor_timing_t *timing = nor_timing_find(NULL);
    op_log_t log = {.count = 0};
    nor_flash_set_observer(flash, log_op, &log);
    nor_flash_set_faults(flash, (nor_faults_t){.erase_per_million = 1000000});
    memset(nor_flash_bytes(flash), 0, 2 * BLOCK);
    assert_int_equal(nor_erase(flash, SECTOR, SECTOR), NOR_TIMEOUT);
    assert_int_equal(nor_erase(flash, BLOCK, BLOCK), NOR_TIMEOUT);
    assert_int_equal(log.ops[0].typical_us, timing->sector_erase_maximum_us);
    assert_int_equal(log.ops[1].typical_us, timing->block_erase_maximum_us);
    nor_flash_set_power_loss(flash, (nor_power_loss_t){.armed = true, .operation = 2, .when = NOR_POWER_LOSS_AFTER});
    assert_int_equal(nor_erase(flash, SECTOR, SECTOR), NOR_POWER_LOST);
}

static void a_single_bad_sector_is_the_only_one(void **state)
{
    nor_flash_t *flash = *state;
    static const struct {
        uint32_t bad;
        bool program, sector, block; /* At 0x101 and of sector 0; of sector 1; of block 1. */
    } cases[] = {
        {0, true, false, false},           {SECTOR - 1, true, false, false},
        {SECTOR, false, true, false},      {2 * SECTOR - 1, false, true, false},
        {2 * SECTOR, false, false, false}, {BLOCK - 1, false, false, false},
        {BLOCK, false, false, true},       {2 * BLOCK - 1, false, false, true},
        {2 * BLOCK, false, false, false},
    };
    const uint8_t zeroes[16] = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(nor_flash_bytes(flash), 0xFF, 2 * BLOCK);
        nor_flash_set_faults(
            flash,
            (nor_faults_t){.program_per_million = 1, .erase_per_million = 1, .single = true, .address = cases[i].bad});
        assert_int_equal(nor_program(flash, 0x101, zeroes, sizeof(zeroes)), NOR_OK);
        assert_int_equal(memcmp(nor_flash_view(flash) + 0x101, zeroes, sizeof(zeroes)) != 0, cases[i].program);
        assert_int_equal(nor_erase(flash, SECTOR, SECTOR), cases[i].sector ? NOR_TIMEOUT : NOR_OK);
        assert_int_equal(nor_erase(flash, BLOCK, BLOCK), cases[i].block ? NOR_TIMEOUT : NOR_OK);
    }
}

static void each_status_has_a_text(void **state)
{
    (void)state;
    static const char *const words[] = {"ok", "past the end", "not aligned", "a 0 into a 1", "timed out", "power loss"};
    for (nor_status_t status = NOR_OK; status <= NOR_POWER_LOST; status++) {
        assert_non_null(strstr(nor_status_text(status), words[status]));
    }
    assert_string_equal(nor_status_text((nor_status_t)(NOR_POWER_LOST + 1)), "unknown status");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(starts_blank_and_checks_its_size),
        TEST(timings_are_of_named_chips),
        TEST(programmed_data_reads_back_whatever_the_range),
        TEST(program_clears_bits_only),
        TEST(ranges_are_checked),
        TEST(erase_uses_blocks_where_aligned),
        TEST(operations_are_counted_and_timed),
        TEST(a_cut_inside_leaves_old_and_new_bits),
        TEST(an_erase_is_cut_in_three_phases),
        TEST(a_torn_prefix_ends_once_in_a_block),
        TEST(what_was_blank_does_not_stay_so_in_a_torn_erase),
        TEST(a_torn_state_can_be_computed),
        TEST(a_cut_before_or_after_is_clean),
        TEST(a_cut_hits_the_operation_it_names_and_the_rest_fails),
        TEST(faults_hit_their_share_of_sectors_at_fixed_places),
        TEST(a_single_bad_sector_heals),
        TEST(a_bad_sector_fails_the_erase_of_its_block_too),
        TEST(children_share_content_and_counters),
        TEST(sizes_from_1_to_32_mib),
        TEST(memory_is_given_back),
        TEST(no_sector_past_the_end_has_counters),
        TEST(what_is_blank_is_so_in_each_byte),
        TEST(loading_notes_the_sectors_that_differ),
        TEST(reads_take_time_and_programs_no_wear),
        TEST(an_observer_hears_of_what_was_done),
        TEST(a_seed_gives_the_same_torn_state_as_ever),
        TEST(a_seed_makes_the_same_sectors_fail_as_ever),
        TEST(a_failure_leaves_the_same_as_ever),
        TEST(an_erase_that_fails_takes_longest),
        TEST(a_single_bad_sector_is_the_only_one),
        TEST(each_status_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
