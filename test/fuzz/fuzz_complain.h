// SPDX-License-Identifier: Apache-2.0
/** @file
 * What takes the place of the program's own complain(): counts, and prints nothing.
 */
#pragma once

#include "fuzz_input.h"
#include "tool/base/command.h"

#include <stdarg.h>
#include <stdio.h>

static unsigned complaints;

int complain(int status, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    CHECK(vsnprintf(text, sizeof(text), format, arguments) > 0);
    va_end(arguments);
    CHECK(status == STATUS_BAD_INPUT);
    complaints++;
    return status;
}
