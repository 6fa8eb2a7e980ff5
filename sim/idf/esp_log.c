// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static esp_log_level_t shown = (esp_log_level_t)CONFIG_LOG_DEFAULT_LEVEL;

void esp_log_level_set(const char *tag, esp_log_level_t level)
{
    sim_flash_code(__func__);
    if (strcmp(tag, "*") == 0) {
        shown = level;
    }
}

esp_log_level_t esp_log_level_get(const char *tag)
{
    sim_flash_code(__func__);
    (void)tag;
    return shown;
}

void esp_log_buffer_hexdump_internal(const char *tag, const void *buffer, uint16_t buff_len, esp_log_level_t level)
{
    const uint8_t *bytes = buffer;
    for (uint16_t start = 0; start < buff_len; start = (uint16_t)(start + 16)) {
        char hex[16 * 3 + 1] = "";
        char text[16 + 1] = "";
        for (uint16_t i = 0; i < 16 && start + i < buff_len; i++) {
            snprintf(hex + i * 3, 4, "%02x ", bytes[start + i]);
            text[i] = isprint(bytes[start + i]) ? (char)bytes[start + i] : '.';
        }
        esp_log_write(level, tag, "I (%" PRIu32 ") %s: %-48s |%s|\n", esp_log_timestamp(), tag, hex, text);
    }
}

uint32_t esp_log_timestamp(void)
{
    return sim_state.attached ? (uint32_t)(nor_flash_stats(sim_state.config.flash).typical_us / 1000u) : 0;
}

void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
{
    sim_flash_code(__func__);
    (void)tag;
    if (sim_state.config.quiet || level > shown) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}
