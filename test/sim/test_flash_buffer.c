// SPDX-License-Identifier: Apache-2.0
/** @file
 * Copies of a flash: given out again, but never to two processes at once, and written only where they differ.
 */
#include "sim/nor/flash_buffer.h"

#include "format/sr_region.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE      0x8000u
#define KEPT      8u /* Freed ones that are kept. */
#define HUGE_PAGE ((size_t)2 << 20)

static bool no_memory;
static size_t advised, aligned;
static int advice;

void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return no_memory ? MAP_FAILED : __real_mmap(address, length, protection, flags, fd, offset);
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    aligned = size;
    return no_memory ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_madvise(void *address, size_t length, int how);
int __wrap_madvise(void *address, size_t length, int how)
{
    assert_non_null(address);
    advised = length;
    advice = how;
    return 0;
}

/* Forgets those that were freed: eight of another size take their places. */
static int set_up(void **state)
{
    (void)state;
    static uint32_t size = 0x1000;
    size += 0x10;
    for (unsigned i = 0; i < KEPT; i++) {
        flash_buffer_delete(flash_buffer_new(size + i * 0x1000), size + i * 0x1000);
    }
    return 0;
}

static bool is_mapped(const uint8_t *bytes)
{
    unsigned char resident;
    return mincore((void *)(uintptr_t)bytes, 1, &resident) == 0 || errno != ENOMEM;
}

static void all_of_a_buffer_can_be_written(void **state)
{
    (void)state;
    for (uint32_t size = SIZE; size < SIZE + 9; size++) {
        uint8_t *one = flash_buffer_new(size), *two = flash_buffer_new(size);
        memset(one, 0x55, size);
        memset(two, 0xAA, size);
        assert_int_equal(one[size - 1], 0x55);
        assert_int_equal(two[0], 0xAA);
        flash_buffer_delete(one, size);
        flash_buffer_delete(two, size);
        /* What is kept of the owner was not overwritten: they are given out again, the first one first. */
        assert_ptr_equal(flash_buffer_new(size), one);
        assert_ptr_equal(flash_buffer_new(size), two);
    }
    flash_buffer_delete(NULL, SIZE);
}

static void what_was_freed_is_given_out_once_for_its_size(void **state)
{
    (void)state;
    uint8_t *buffers[KEPT];
    for (unsigned i = 0; i < KEPT; i++) {
        buffers[i] = flash_buffer_new(SIZE);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        flash_buffer_delete(buffers[i], SIZE);
    }
    uint8_t *larger = flash_buffer_new(SIZE + 0x1000);
    for (unsigned i = 0; i < KEPT; i++) {
        assert_ptr_not_equal(larger, buffers[i]);
        assert_true(is_mapped(buffers[i])); /* all of them are kept */
    }
    for (unsigned i = 0; i < KEPT; i++) {
        uint8_t *again = flash_buffer_new(SIZE);
        bool known = false;
        for (unsigned k = 0; k < KEPT; k++) {
            known = known || again == buffers[k];
            buffers[k] = again == buffers[k] ? NULL : buffers[k]; /* once */
        }
        assert_true(known);
    }
    uint8_t *fresh = flash_buffer_new(SIZE);
    memset(fresh, 1, SIZE);
}

static void of_many_that_were_freed_the_oldest_is_given_back(void **state)
{
    (void)state;
    uint8_t *buffers[KEPT + 1];
    for (unsigned i = 0; i <= KEPT; i++) {
        buffers[i] = flash_buffer_new(SIZE);
    }
    for (unsigned i = 0; i <= KEPT; i++) {
        flash_buffer_delete(buffers[i], SIZE);
    }
    assert_false(is_mapped(buffers[0]));
    for (unsigned i = 1; i <= KEPT; i++) {
        assert_true(is_mapped(buffers[i]));
    }
}

/* It is the same memory in both, and the other process may still use it. */
static void what_another_process_got_is_not_given_out(void **state)
{
    (void)state;
    uint8_t *buffer = flash_buffer_new(SIZE);
    flash_buffer_delete(buffer, SIZE);
    const pid_t child = fork();
    if (child == 0) {
        uint8_t *other = flash_buffer_new(SIZE);
        other[0] = 1;
        flash_buffer_delete(other, SIZE);
        _exit(other == buffer || flash_buffer_new(SIZE) != other);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ptr_equal(flash_buffer_new(SIZE), buffer);
}

static void a_buffer_is_shared_with_forked_processes(void **state)
{
    (void)state;
    uint8_t *buffer = flash_buffer_new(SIZE);
    buffer[SIZE - 1] = 0;
    const pid_t child = fork();
    if (child == 0) {
        buffer[SIZE - 1] = 0x42;
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(buffer[SIZE - 1], 0x42);
    flash_buffer_delete(buffer, SIZE);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    no_memory = true;
    assert_null(flash_buffer_new(SIZE));
    assert_null(flash_memory_new(HUGE_PAGE));
    no_memory = false;
}

/* Each sector that differs is copied whole, and no other one is touched: here a write to it is a fault. */
static void only_what_differs_is_copied(void **state)
{
    (void)state;
    uint8_t *to = mmap(NULL, SIZE + SR_SECTOR_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t from[SIZE + SR_SECTOR_SIZE] = {0};
    assert_int_equal(mprotect(to + SIZE, SR_SECTOR_SIZE, PROT_NONE), 0);
    from[SR_SECTOR_SIZE] = 1;
    from[3 * SR_SECTOR_SIZE - 1] = 2;
    from[SIZE - 1] = 3;
    for (uint32_t sector = 0; sector < SIZE / SR_SECTOR_SIZE; sector++) {
        if (sector != 1 && sector != 2 && sector != SIZE / SR_SECTOR_SIZE - 1) {
            assert_int_equal(mprotect(to + sector * SR_SECTOR_SIZE, SR_SECTOR_SIZE, PROT_READ), 0);
        }
    }
    flash_buffer_copy(to, from, SIZE);
    assert_memory_equal(to, from, SIZE);
    munmap(to, SIZE + SR_SECTOR_SIZE);
}

/* From half of a huge page on; less is ordinary memory. */
static void large_memory_is_of_huge_pages(void **state)
{
    (void)state;
    for (size_t size = HUGE_PAGE / 2 - 1; size <= 2 * HUGE_PAGE + 1;
         size += size == 2 * HUGE_PAGE - 1 ? 1 : HUGE_PAGE / 2) {
        for (size_t more = 0; more < 3; more++) {
            const size_t all = size + more;
            const bool large = all >= HUGE_PAGE / 2;
            advised = 0;
            uint8_t *memory = flash_memory_new(all);
            memory[0] = memory[all - 1] = 1;
            assert_int_equal(advised, large ? all : 0);
            assert_true(!large || advice == MADV_HUGEPAGE);
            assert_true(!large || (uintptr_t)memory % HUGE_PAGE == 0);
            assert_true(!large || (aligned >= all && aligned - all < HUGE_PAGE)); /* whole ones, and no more */
            free(memory);
        }
    }
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_of_a_buffer_can_be_written),
        TEST(what_was_freed_is_given_out_once_for_its_size),
        TEST(of_many_that_were_freed_the_oldest_is_given_back),
        TEST(what_another_process_got_is_not_given_out),
        TEST(a_buffer_is_shared_with_forked_processes),
        TEST(without_memory_there_is_none),
        TEST(only_what_differs_is_copied),
        TEST(large_memory_is_of_huge_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
