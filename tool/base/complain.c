// SPDX-License-Identifier: Apache-2.0
#include "tool/base/command.h"

#include <stdarg.h>
#include <stdio.h>

int complain(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs(PROGRAM_NAME ": ", stderr);
    vfprintf(stderr, format, arguments); // NOLINT(clang-analyzer-valist.Uninitialized): va_start() is above
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}
