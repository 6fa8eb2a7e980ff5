// SPDX-License-Identifier: Apache-2.0
#include "tool/base/command.h"
#include "tool/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int complain(int status, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    // names of files and partitions may be any bytes
    fputs(PROGRAM_NAME ": ", stderr);
    fputs(length >= 0 ? utf8_tame(text) : format, stderr);
    fputc('\n', stderr);
    free(length >= 0 ? text : NULL);
    return status;
}
