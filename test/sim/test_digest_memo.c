// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the memory of digests keeps, for how long, and that it takes no more than that.
 */
#include "format/sr_digest.h"
#include "sim/boot/digest_memo.h"
#include "sim/nor/flash_buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KEPT 16u

static unsigned digests; /* That were computed. */
static bool digest_fails, no_memory;
static struct {
    uint8_t *buffer;
    uint32_t size;
} alive[64];

bool __real_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
uint8_t *__real_flash_buffer_new(uint32_t size);
uint8_t *__wrap_flash_buffer_new(uint32_t size);
void __real_flash_buffer_delete(uint8_t *buffer, uint32_t size);
void __wrap_flash_buffer_delete(uint8_t *buffer, uint32_t size);

bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    digests++;
    return !digest_fails && __real_sr_digest(bytes, length, digest);
}

uint8_t *__wrap_flash_buffer_new(uint32_t size)
{
    uint8_t *buffer = no_memory ? NULL : __real_flash_buffer_new(size);
    for (unsigned i = 0; buffer != NULL && i < 64; i++) {
        if (alive[i].buffer == NULL) {
            alive[i].buffer = buffer;
            alive[i].size = size;
            return buffer;
        }
    }
    return buffer;
}

void __wrap_flash_buffer_delete(uint8_t *buffer, uint32_t size)
{
    for (unsigned i = 0; buffer != NULL && i < 64; i++) {
        if (alive[i].buffer == buffer) {
            assert_int_equal(alive[i].size, size);
            alive[i].buffer = NULL;
        }
    }
    __real_flash_buffer_delete(buffer, size);
}

static unsigned buffers(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 64; i++) {
        count += alive[i].buffer != NULL;
    }
    return count;
}

/** Asks for a range with this content. @return how many digests that took; the answer was right. */
static unsigned ask(unsigned content, size_t length)
{
    uint8_t bytes[300], expected[SR_SHA256_SIZE], digest[SR_SHA256_SIZE] = {0};
    memset(bytes, (int)content, sizeof(bytes));
    bytes[0] = (uint8_t)(content >> 8);
    assert_true(__real_sr_digest(bytes, length, expected));
    digests = 0;
    assert_true(digest_memo(bytes, length, digest));
    assert_memory_equal(digest, expected, sizeof(digest));
    return digests;
}

static void what_was_asked_is_known(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 64, 300};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        assert_int_equal(ask(0x101, lengths[i]), 1);
        assert_int_equal(ask(0x101, lengths[i]), 0);
        assert_int_equal(ask(0x201, lengths[i]), 1); /* The first byte. */
        assert_int_equal(ask(0x101, lengths[i]), 0);
    }
    assert_int_equal(ask(0x102, 300), 1); /* Other ones. */
    assert_int_equal(ask(0x102, 299), 1);
    /* Of nothing, nothing is kept. */
    assert_int_equal(ask(0x101, 0), 1);
    assert_int_equal(ask(0x101, 0), 1);
}

static void the_last_sixteen_are_kept(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        const unsigned first = 0x300 + 0x100 * round;
        for (unsigned i = 0; i < KEPT; i++) {
            assert_int_equal(ask(first + i, 100 + round % 2 * 50), 1);
            assert_true(buffers() <= KEPT);
        }
        assert_int_equal(buffers(), KEPT);
        assert_int_equal(ask(first, 100 + round % 2 * 50), 0); /* So that the second is the oldest. */
        assert_int_equal(ask(first + KEPT, 200), 1);
        for (unsigned i = 0; i <= KEPT; i++) {
            if (i != 1) {
                assert_int_equal(ask(first + i, i == KEPT ? 200 : 100 + round % 2 * 50), 0);
            }
        }
        assert_int_equal(ask(first + 1, 100 + round % 2 * 50), 1);
        assert_int_equal(buffers(), KEPT);
    }
}

static void nothing_takes_no_place(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEPT; i++) {
        if (i == KEPT - 1) {
            assert_int_equal(ask(0, 0), 1);
        }
        assert_int_equal(ask(0x700 + i, 128), 1);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        assert_int_equal(ask(0x700 + i, 128), 0);
    }
}

static void a_digest_that_failed_is_not_kept(void **state)
{
    (void)state;
    uint8_t bytes[40], digest[SR_SHA256_SIZE];
    memset(bytes, 8, sizeof(bytes));
    digest_fails = true;
    assert_false(digest_memo(bytes, sizeof(bytes), digest));
    assert_false(digest_memo(bytes, sizeof(bytes), digest));
    assert_false(digest_memo(bytes, 0, digest));
    digest_fails = false;
    bytes[0] = 0;
    assert_int_equal(ask(8, sizeof(bytes)), 1);
}

static void without_memory_it_computes(void **state)
{
    (void)state;
    no_memory = true;
    assert_int_equal(ask(0x901, 77), 1);
    assert_int_equal(ask(0x901, 77), 1);
    no_memory = false;
    assert_int_equal(ask(0x901, 77), 1);
    assert_int_equal(ask(0x901, 77), 0);
}

/** A child begins without any, and leaves its parent's alone. */
static void another_process_knows_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEPT; i++) {
        assert_int_equal(ask(0xA00 + i, 90 + i), 1);
    }
    const pid_t child = fork();
    if (child == 0) {
        const bool asked = ask(0xA00, 90) == 1 && ask(0xA00, 90) == 0;
        _exit(asked && buffers() == 1 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    for (unsigned i = 0; i < KEPT; i++) {
        assert_int_equal(ask(0xA00 + i, 90 + i), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_asked_is_known),    cmocka_unit_test(the_last_sixteen_are_kept),
        cmocka_unit_test(nothing_takes_no_place),     cmocka_unit_test(a_digest_that_failed_is_not_kept),
        cmocka_unit_test(without_memory_it_computes), cmocka_unit_test(another_process_knows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
