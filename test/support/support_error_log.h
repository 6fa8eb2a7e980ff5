// SPDX-License-Identifier: Apache-2.0
/** @file
 * The last line that tells an error, for programs linked with --wrap=esp_log_write.
 */
#pragma once

#include "esp_log.h"

#include <stdarg.h>
#include <stdio.h>

static char error_line[256];

void __wrap_esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
{
    va_list arguments;
    (void)tag;
    va_start(arguments, format);
    if (level == ESP_LOG_ERROR) {
        (void)vsnprintf(error_line, sizeof(error_line), format, arguments);
    }
    va_end(arguments);
}
