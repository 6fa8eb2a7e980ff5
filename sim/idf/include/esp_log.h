// SPDX-License-Identifier: Apache-2.0
/** @file ESP-IDF's log macros. Lines go to stderr, with the modelled flash time as time stamp. */
#pragma once

#include "sdkconfig.h"

#include <inttypes.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

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

#define SIM_LOG(level, letter, tag, format, ...)                                                                       \
    do {                                                                                                               \
        if ((int)(level) <= CONFIG_LOG_MAXIMUM_LEVEL) {                                                                \
            esp_log_write(level, tag, letter " (%" PRIu32 ") %s: " format "\n", esp_log_timestamp(), tag,              \
                          ##__VA_ARGS__);                                                                              \
        }                                                                                                              \
    } while (0)

/** One level for all tags, as "*" sets it; that of another tag is not kept. */
void esp_log_level_set(const char *tag, esp_log_level_t level);
esp_log_level_t esp_log_level_get(const char *tag);
/** Hex and text, 16 bytes a line. */
void esp_log_buffer_hexdump_internal(const char *tag, const void *buffer, uint16_t buff_len, esp_log_level_t level);

#define ESP_LOG_LEVEL(level, tag, format, ...)                                                                         \
    do {                                                                                                               \
        switch ((int)(level)) {                                                                                        \
        case ESP_LOG_ERROR:                                                                                            \
            ESP_LOGE(tag, format, ##__VA_ARGS__);                                                                      \
            break;                                                                                                     \
        case ESP_LOG_WARN:                                                                                             \
            ESP_LOGW(tag, format, ##__VA_ARGS__);                                                                      \
            break;                                                                                                     \
        case ESP_LOG_INFO:                                                                                             \
            ESP_LOGI(tag, format, ##__VA_ARGS__);                                                                      \
            break;                                                                                                     \
        default:                                                                                                       \
            ESP_LOGD(tag, format, ##__VA_ARGS__);                                                                      \
            break;                                                                                                     \
        }                                                                                                              \
    } while (0)
#define ESP_LOG_LEVEL_LOCAL(level, tag, format, ...) ESP_LOG_LEVEL(level, tag, format, ##__VA_ARGS__)
#define ESP_LOG_BUFFER_HEX_LEVEL(tag, buffer, buff_len, level)                                                         \
    esp_log_buffer_hexdump_internal((tag), (buffer), (buff_len), (level))
#define ESP_LOG_BUFFER_HEX(tag, buffer, buff_len)            ESP_LOG_BUFFER_HEX_LEVEL(tag, buffer, buff_len, ESP_LOG_INFO)
#define ESP_LOG_BUFFER_HEXDUMP(tag, buffer, buff_len, level) ESP_LOG_BUFFER_HEX_LEVEL(tag, buffer, buff_len, level)

#define ESP_EARLY_LOGE(tag, format, ...) ESP_LOGE(tag, format, ##__VA_ARGS__)
#define ESP_EARLY_LOGW(tag, format, ...) ESP_LOGW(tag, format, ##__VA_ARGS__)
#define ESP_EARLY_LOGI(tag, format, ...) ESP_LOGI(tag, format, ##__VA_ARGS__)
#define ESP_EARLY_LOGD(tag, format, ...) ESP_LOGD(tag, format, ##__VA_ARGS__)
#define ESP_DRAM_LOGE(tag, format, ...)  ESP_LOGE(tag, format, ##__VA_ARGS__)
#define ESP_DRAM_LOGW(tag, format, ...)  ESP_LOGW(tag, format, ##__VA_ARGS__)
#define ESP_DRAM_LOGI(tag, format, ...)  ESP_LOGI(tag, format, ##__VA_ARGS__)

#define ESP_LOGE(tag, format, ...) SIM_LOG(ESP_LOG_ERROR, "E", tag, format, ##__VA_ARGS__)
#define ESP_LOGW(tag, format, ...) SIM_LOG(ESP_LOG_WARN, "W", tag, format, ##__VA_ARGS__)
#define ESP_LOGI(tag, format, ...) SIM_LOG(ESP_LOG_INFO, "I", tag, format, ##__VA_ARGS__)
#define ESP_LOGD(tag, format, ...) SIM_LOG(ESP_LOG_DEBUG, "D", tag, format, ##__VA_ARGS__)
#define ESP_LOGV(tag, format, ...) SIM_LOG(ESP_LOG_VERBOSE, "V", tag, format, ##__VA_ARGS__)

#ifdef __cplusplus
}
#endif
