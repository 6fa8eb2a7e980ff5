// SPDX-License-Identifier: Apache-2.0
/** @file
 * A record of operations: what a replay of it tells of each, in whichever process it happened, and what becomes of a
 * record where the system has no memory for it.
 */
#include "sim/nor/flash_record.h"

#include "format/sr_region.h"
#include "sim/nor/flash_buffer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE   0x100000u
#define SECTOR SR_SECTOR_SIZE
#define BLOCK  SR_BLOCK_SIZE

/* The call that fails, of those of the C library that a record needs. */
static enum { NOTHING, MEMORY, COPY, LOG, WRITE, LENGTH, MAPPING } failing;
static unsigned unmapped, freed;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return failing == MEMORY ? NULL : __real_calloc(count, size);
}

void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    const bool fails = failing == COPY || (failing == MAPPING && fd >= 0);
    return fails ? MAP_FAILED : __real_mmap(address, length, protection, flags, fd, offset);
}

int __real_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length)
{
    unmapped++;
    return __real_munmap(address, length);
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    freed += memory != NULL;
    __real_free(memory);
}

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags)
{
    return failing == LOG ? -1 : __real_memfd_create(name, flags);
}

ssize_t __real_writev(int fd, const struct iovec *parts, int count);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count)
{
    return failing == WRITE ? 1 : __real_writev(fd, parts, count);
}

off_t __real_lseek(int fd, off_t offset, int whence);
off_t __wrap_lseek(int fd, off_t offset, int whence);
off_t __wrap_lseek(int fd, off_t offset, int whence)
{
    return failing == LENGTH ? -1 : __real_lseek(fd, offset, whence);
}

typedef struct fixture {
    nor_flash_t *flash;
    flash_record_t *record;
    flash_replay_t replay;
} fixture_t;

static int set_up(void **state)
{
    static fixture_t fixture;
    fixture = (fixture_t){.flash = nor_flash_new(SIZE, nor_timing_find(NULL))};
    uint8_t *bytes = nor_flash_bytes(fixture.flash);
    for (uint32_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / SECTOR);
    }
    fixture.record = flash_record_new(fixture.flash);
    *state = &fixture;
    return fixture.record == NULL;
}

static int tear_down(void **state)
{
    fixture_t *fixture = *state;
    failing = NOTHING;
    flash_replay_close(&fixture->replay);
    flash_record_delete(fixture->record);
    nor_flash_delete(fixture->flash);
    return 0;
}

static flash_step_t next(fixture_t *fixture)
{
    flash_step_t step;
    assert_true(flash_replay_next(&fixture->replay, &step));
    return step;
}

static void assert_end(fixture_t *fixture)
{
    flash_step_t step;
    assert_false(flash_replay_next(&fixture->replay, &step));
}

/* All steps lead from what the record keeps of the beginning to the flash as it is. */
static void assert_leads_here(fixture_t *fixture)
{
    flash_replay_t replay;
    flash_step_t step;
    uint8_t *copy = malloc(SIZE);
    memcpy(copy, flash_record_before(fixture->record), SIZE);
    assert_true(flash_replay_open(fixture->record, &replay));
    while (flash_replay_next(&replay, &step)) {
        flash_step_apply(&step, copy);
        assert_memory_equal(copy + step.op.address, step.after, step.op.length);
    }
    flash_replay_close(&replay);
    assert_memory_equal(copy, nor_flash_view(fixture->flash), SIZE);
    free(copy);
}

static void without_operations_there_is_nothing_to_replay(void **state)
{
    fixture_t *fixture = *state;
    assert_int_equal(flash_record_size(fixture->record), SIZE);
    assert_memory_equal(flash_record_before(fixture->record), nor_flash_view(fixture->flash), SIZE);
    assert_true(flash_replay_open(fixture->record, &fixture->replay));
    assert_end(fixture);
    failing = LENGTH;
    assert_false(flash_replay_open(fixture->record, &fixture->replay));
    flash_record_delete(NULL);
}

static void each_operation_is_told_with_what_it_left(void **state)
{
    fixture_t *fixture = *state;
    uint8_t data[300];
    memset(data, 0, sizeof(data));
    assert_int_equal(nor_erase(fixture->flash, SECTOR, SECTOR), NOR_OK);
    assert_int_equal(nor_program(fixture->flash, SECTOR + 200, data, sizeof(data)), NOR_OK);
    assert_int_equal(nor_erase(fixture->flash, BLOCK, BLOCK), NOR_OK);
    memset(data, 0xFF, sizeof(data)); /* a program, although it leaves what an erase leaves */
    assert_int_equal(nor_program(fixture->flash, BLOCK, data, 16), NOR_OK);
    assert_true(flash_replay_open(fixture->record, &fixture->replay));
    static const struct {
        nor_op_kind_t kind;
        uint32_t address, length;
        uint8_t byte;
    } expected[] = {{NOR_OP_ERASE_SECTOR, SECTOR, SECTOR, 0xFF},
                    {NOR_OP_PROGRAM, SECTOR + 200, 56, 0},
                    {NOR_OP_PROGRAM, SECTOR + 256, 244, 0},
                    {NOR_OP_ERASE_BLOCK, BLOCK, BLOCK, 0xFF},
                    {NOR_OP_PROGRAM, BLOCK, 16, 0xFF}};
    for (uint32_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const flash_step_t step = next(fixture);
        assert_int_equal(step.op.kind, expected[i].kind);
        assert_int_equal(step.op.address, expected[i].address);
        assert_int_equal(step.op.length, expected[i].length);
        assert_int_equal(step.op.number, i);
        for (uint32_t k = 0; k < step.op.length; k++) {
            assert_int_equal(step.after[k], expected[i].byte);
        }
        assert_false(step.first_of_boot);
        assert_int_equal(step.changed, 0);
    }
    assert_end(fixture);
    assert_leads_here(fixture);
}

static void an_erase_that_was_torn_is_told_as_it_is(void **state)
{
    fixture_t *fixture = *state;
    for (uint32_t seed = 0; seed < NOR_TORN_STATES; seed++) {
        nor_flash_set_power_loss(
            fixture->flash,
            (nor_power_loss_t){.armed = true, .operation = seed, .when = NOR_POWER_LOSS_INSIDE, .seed = seed});
        assert_int_equal(nor_erase(fixture->flash, seed * SECTOR, SECTOR), NOR_POWER_LOST);
        nor_flash_power_on(fixture->flash);
    }
    assert_leads_here(fixture);
}

/* What was recorded later is for a later replay. */
static void a_replay_ends_where_the_record_was_when_it_began(void **state)
{
    fixture_t *fixture = *state;
    assert_int_equal(nor_erase(fixture->flash, 0, SECTOR), NOR_OK);
    assert_true(flash_replay_open(fixture->record, &fixture->replay));
    assert_int_equal(nor_erase(fixture->flash, SECTOR, SECTOR), NOR_OK);
    assert_int_equal(next(fixture).op.address, 0);
    assert_end(fixture);
    assert_leads_here(fixture);
    const unsigned before = unmapped;
    flash_replay_close(&fixture->replay);
    assert_int_equal(unmapped, before + 1);
    flash_replay_close(&fixture->replay); /* closed already */
    assert_int_equal(unmapped, before + 1);
}

/* A start of the chip, as a process: its bootloader changes two sectors, then its app erases and programs. */
static void start_in_child(const fixture_t *fixture, uint32_t changed, uint32_t erased)
{
    const pid_t child = fork();
    if (child == 0) {
        uint8_t *booted = malloc(SIZE);
        const uint8_t zero = 0;
        memcpy(booted, nor_flash_view(fixture->flash), SIZE);
        booted[changed] ^= 0xFF;
        booted[SIZE - 1] ^= 0xFF;
        nor_flash_load(fixture->flash, booted);
        free(booted);
        _exit(nor_erase(fixture->flash, erased, SECTOR) != NOR_OK ||
              nor_program(fixture->flash, erased, &zero, 1) != NOR_OK);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void assert_boot(fixture_t *fixture, uint32_t changed, uint32_t erased)
{
    const flash_step_t first = next(fixture);
    uint32_t sectors[2];
    assert_int_equal(first.op.address, erased);
    assert_true(first.first_of_boot);
    assert_int_equal(first.changed, 2);
    memcpy(&sectors[0], first.changes, sizeof(uint32_t));
    memcpy(&sectors[1], first.changes + sizeof(uint32_t) + SECTOR, sizeof(uint32_t));
    assert_int_equal(sectors[0], changed / SECTOR);
    assert_int_equal(sectors[1], SIZE / SECTOR - 1);
    const flash_step_t second = next(fixture);
    assert_false(second.first_of_boot);
    assert_int_equal(second.changed, 0);
}

static void what_a_bootloader_changed_comes_with_the_first_operation(void **state)
{
    fixture_t *fixture = *state;
    start_in_child(fixture, 0, 4 * SECTOR);
    start_in_child(fixture, 3 * SECTOR, 5 * SECTOR);
    assert_true(flash_replay_open(fixture->record, &fixture->replay));
    assert_boot(fixture, 0, 4 * SECTOR);
    assert_boot(fixture, 3 * SECTOR, 5 * SECTOR);
    assert_end(fixture);
    assert_leads_here(fixture);
}

/* It is the record's beginning then. */
static void what_was_loaded_before_is_no_change(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *content = malloc(SIZE);
    flash_record_delete(fixture->record);
    memset(content, 0x55, SIZE);
    nor_flash_load(fixture->flash, content);
    fixture->record = flash_record_new(fixture->flash);
    assert_memory_equal(flash_record_before(fixture->record), content, SIZE);
    start_in_child(fixture, 0, 4 * SECTOR);
    assert_true(flash_replay_open(fixture->record, &fixture->replay));
    assert_boot(fixture, 0, 4 * SECTOR);
    free(content);
}

static void a_deleted_record_hears_nothing(void **state)
{
    fixture_t *fixture = *state;
    flash_record_delete(fixture->record);
    fixture->record = NULL;
    assert_int_equal(nor_erase(fixture->flash, 0, SECTOR), NOR_OK);
    assert_int_equal(nor_flash_stats(fixture->flash).operations, 1);
}

/* Neither a file, of which a process has few, be it the first one, nor its copy of the flash, nor its memory. */
static void a_deleted_record_leaves_nothing(void **state)
{
    fixture_t *fixture = *state;
    const int input = dup(STDIN_FILENO);
    close(STDIN_FILENO);
    flash_record_t *other = flash_record_new(fixture->flash);
    assert_non_null(other);
    assert_int_not_equal(fcntl(STDIN_FILENO, F_GETFD), -1); /* its log */
    const uint8_t *copy = flash_record_before(other);
    freed = 0;
    flash_record_delete(other);
    assert_int_equal(freed, 1);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    uint8_t *given_again = flash_buffer_new(SIZE);
    assert_ptr_equal(given_again, copy);
    flash_buffer_delete(given_again, SIZE);
    assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
    close(input);
}

/* What another boot finds is told with its own first operation; one that changed a single sector, too. */
static void what_the_same_process_loads_waits_for_the_next_boot(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *content = malloc(SIZE);
    memcpy(content, nor_flash_view(fixture->flash), SIZE);
    content[7 * SECTOR] ^= 0xFF;
    assert_int_equal(nor_erase(fixture->flash, 0, SECTOR), NOR_OK);
    memset(content, 0xFF, SECTOR);
    nor_flash_load(fixture->flash, content);
    assert_int_equal(nor_erase(fixture->flash, SECTOR, SECTOR), NOR_OK);
    assert_int_equal(nor_erase(fixture->flash, 2 * SECTOR, SECTOR), NOR_OK);
    const pid_t child = fork();
    if (child == 0) {
        _exit(nor_erase(fixture->flash, 3 * SECTOR, SECTOR) != NOR_OK);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(flash_replay_open(fixture->record, &fixture->replay));
    for (uint32_t i = 0; i < 4; i++) {
        const flash_step_t step = next(fixture);
        assert_int_equal(step.op.address, i * SECTOR);
        assert_int_equal(step.first_of_boot, i == 3);
        assert_int_equal(step.changed, i == 3 ? 1 : 0);
    }
    assert_end(fixture);
    assert_leads_here(fixture);
    free(content);
}

/* In the largest flash something else lies behind what is noted of its sectors. */
static void the_largest_flash_has_no_sector_more(void **state)
{
    (void)state;
    const uint32_t size = 32u << 20;
    nor_flash_t *flash = nor_flash_new(size, nor_timing_find(NULL));
    assert_int_equal(nor_erase(flash, 0, SECTOR), NOR_OK); /* counted as wear */
    fixture_t large = {.flash = flash, .record = flash_record_new(flash)};
    const pid_t child = fork();
    if (child == 0) {
        uint8_t *booted = malloc(size);
        memset(booted, 0xFF, size);
        booted[size - 1] = 0;
        nor_flash_load(flash, booted);
        free(booted);
        _exit(nor_erase(flash, SECTOR, SECTOR) != NOR_OK || nor_erase(flash, 0, SECTOR) != NOR_OK);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(flash_replay_open(large.record, &large.replay));
    assert_int_equal(next(&large).changed, 1);
    assert_int_equal(next(&large).op.address, 0);
    assert_end(&large);
    flash_replay_close(&large.replay);
    flash_record_delete(large.record);
    nor_flash_delete(flash);
}

/* Most of a migration is erases: nothing is written down of what they leave. */
static void an_erase_takes_little_of_a_record(void **state)
{
    fixture_t *fixture = *state;
    assert_int_equal(nor_erase(fixture->flash, 0, BLOCK), NOR_OK);
    assert_int_equal(nor_erase(fixture->flash, BLOCK, SECTOR), NOR_OK);
    assert_true(flash_replay_open(fixture->record, &fixture->replay));
    assert_true(fixture->replay.end - fixture->replay.log < 1024);
}

static void without_memory_there_is_no_record(void **state)
{
    fixture_t *fixture = *state;
    nor_flash_t *other = nor_flash_new(2 * SIZE, nor_timing_find(NULL)); /* no freed copy is that large */
    for (failing = MEMORY; failing <= LOG; failing++) {
        freed = 0;
        assert_null(flash_record_new(other));
        assert_int_equal(freed, failing == MEMORY ? 0 : 1);
        assert_int_equal(nor_erase(other, 0, SECTOR), NOR_OK); /* nobody observes it */
    }
    failing = NOTHING;
    nor_flash_delete(other);
    assert_int_equal(nor_erase(fixture->flash, 0, SECTOR), NOR_OK);
    failing = MAPPING;
    assert_false(flash_replay_open(fixture->record, &fixture->replay));
}

/* One with holes would describe another run. */
static void a_record_that_cannot_be_written_ends_the_process(void **state)
{
    const fixture_t *fixture = *state;
    const pid_t child = fork();
    if (child == 0) {
        failing = WRITE;
        (void)nor_erase(fixture->flash, 0, SECTOR);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_operations_there_is_nothing_to_replay),
        TEST(each_operation_is_told_with_what_it_left),
        TEST(an_erase_that_was_torn_is_told_as_it_is),
        TEST(a_replay_ends_where_the_record_was_when_it_began),
        TEST(what_a_bootloader_changed_comes_with_the_first_operation),
        TEST(what_was_loaded_before_is_no_change),
        TEST(a_deleted_record_hears_nothing),
        TEST(a_deleted_record_leaves_nothing),
        TEST(what_the_same_process_loads_waits_for_the_next_boot),
        TEST(the_largest_flash_has_no_sector_more),
        TEST(an_erase_takes_little_of_a_record),
        TEST(without_memory_there_is_no_record),
        TEST(a_record_that_cannot_be_written_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
