// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_text.h"

#include <stdarg.h>
#include <stdio.h>

void sr_text_add(sr_text_t *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text->buffer + text->used, text->size - text->used, format, arguments);
    va_end(arguments);
    const size_t left = text->size - text->used - 1;
    text->used += length < 0 ? 0 : (size_t)length < left ? (size_t)length : left;
}
