// SPDX-License-Identifier: Apache-2.0
/** @file
 * How often the idle task runs while something is read or hashed: not less often than every 64 KiB, and for one tick.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "port/sr_yield.h"

static unsigned yields;

void __wrap_vTaskDelay(TickType_t ticks);

void __wrap_vTaskDelay(TickType_t ticks)
{
    assert_int_equal(ticks, 1);
    yields++;
}

/** Nothing is counted but @p bytes. */
static void begin(uint32_t bytes)
{
    sr_yield(SR_YIELD_BYTES);
    sr_yield(SR_YIELD_BYTES);
    sr_yield(bytes); /* Behind a yield that it has caused itself. */
    yields = 0;
}

static void what_adds_up_to_the_limit_is_no_reason_but_a_byte_more_is(void **state)
{
    (void)state;
    begin(1);
    sr_yield(SR_YIELD_BYTES - 1);
    assert_int_equal(yields, 0);
    sr_yield(1);
    assert_int_equal(yields, 1);
    /* Which has counted itself, and nothing else. */
    sr_yield(SR_YIELD_BYTES - 1);
    assert_int_equal(yields, 1);
    sr_yield(1);
    assert_int_equal(yields, 2);
    begin(1);
    sr_yield(SR_YIELD_BYTES);
    assert_int_equal(yields, 1);
    sr_yield(0);
    assert_int_equal(yields, 1);
}

static void small_pieces_add_up(void **state)
{
    (void)state;
    begin(1024);
    for (unsigned i = 1; i < 10 * SR_YIELD_BYTES / 1024; i++) {
        sr_yield(1024);
    }
    assert_int_equal(yields, 9);
}

/* More at once counts as the limit: there is no more than one yield to make up for it. */
static void more_than_the_limit_at_once_is_one_yield(void **state)
{
    (void)state;
    begin(1);
    sr_yield(10 * SR_YIELD_BYTES);
    assert_int_equal(yields, 1);
    sr_yield(0);
    assert_int_equal(yields, 1);
    sr_yield(1);
    assert_int_equal(yields, 2);
    sr_yield(SR_YIELD_BYTES - 1);
    assert_int_equal(yields, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_adds_up_to_the_limit_is_no_reason_but_a_byte_more_is),
        cmocka_unit_test(small_pieces_add_up),
        cmocka_unit_test(more_than_the_limit_at_once_is_one_yield),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
