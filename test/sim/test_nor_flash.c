// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/nor_flash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
