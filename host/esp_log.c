// SPDX-License-Identifier: Apache-2.0
#include "sim_state.h"

#include "esp_log.h"

#include <stdarg.h>
#include <stdio.h>

uint32_t esp_log_timestamp(void)
{
    return sim_state.attached ? (uint32_t)(nor_flash_stats(sim_state.config.flash).typical_us / 1000u) : 0;
}

void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
{
    sim_flash_code(__func__);
    (void)tag;
    if (sim_state.config.quiet || (int)level > CONFIG_LOG_DEFAULT_LEVEL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}
