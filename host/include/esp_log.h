// SPDX-License-Identifier: Apache-2.0
/** @file ESP-IDF's log macros. Lines go to stderr, with the modelled flash time as time stamp. */
#pragma once

#include "sdkconfig.h"

#include <inttypes.h>
#include <stdint.h>

typedef enum {
    ESP_LOG_NONE,
    ESP_LOG_ERROR,
    ESP_LOG_WARN,
    ESP_LOG_INFO,
    ESP_LOG_DEBUG,
    ESP_LOG_VERBOSE,
} esp_log_level_t;

/** Modelled time in milliseconds. */
uint32_t esp_log_timestamp(void);
/** Prints one formatted line unless the chip was attached quietly. */
void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define ESP_LOG_LEVEL_LOCAL(level, letter, tag, format, ...)                                                           \
    do {                                                                                                               \
        if ((int)(level) <= CONFIG_LOG_MAXIMUM_LEVEL) {                                                                \
            esp_log_write(level, tag, letter " (%" PRIu32 ") %s: " format "\n", esp_log_timestamp(), tag,              \
                          ##__VA_ARGS__);                                                                              \
        }                                                                                                              \
    } while (0)

#define ESP_LOGE(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_ERROR, "E", tag, format, ##__VA_ARGS__)
#define ESP_LOGW(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_WARN, "W", tag, format, ##__VA_ARGS__)
#define ESP_LOGI(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_INFO, "I", tag, format, ##__VA_ARGS__)
#define ESP_LOGD(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_DEBUG, "D", tag, format, ##__VA_ARGS__)
#define ESP_LOGV(tag, format, ...) ESP_LOG_LEVEL_LOCAL(ESP_LOG_VERBOSE, "V", tag, format, ##__VA_ARGS__)
