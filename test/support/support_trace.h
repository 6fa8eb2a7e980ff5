// SPDX-License-Identifier: Apache-2.0
/** @file
 * Calls that a test notes in their order, for programs whose callees are made up with --wrap. Include after cmocka.h.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/** What was noted since the last time, in one line. */
static char traced[16384];

static inline void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void note(const char *format, ...)
{
    const size_t length = strlen(traced);
    va_list arguments;
    va_start(arguments, format);
    const int more = vsnprintf(traced + length, sizeof(traced) - length, format, arguments);
    va_end(arguments);
    assert_true(more >= 0 && (size_t)more < sizeof(traced) - length);
}

static inline void clear_trace(void)
{
    traced[0] = '\0';
}

static inline void expect_trace(const char *expected)
{
    assert_string_equal(traced, expected);
    clear_trace();
}

/** The head of a function that stands in for another one, which is still there as __real_NAME. */
#define WRAP(result, name, ...)                                                                                        \
    result __real_##name(__VA_ARGS__);                                                                                 \
    result __wrap_##name(__VA_ARGS__);                                                                                 \
    result __wrap_##name(__VA_ARGS__)
