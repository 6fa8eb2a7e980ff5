// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_attr.h"
#include "esp_err.h"
#include "esp_idf_version.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    ESP_RST_UNKNOWN,
    ESP_RST_POWERON,
    ESP_RST_EXT,
    ESP_RST_SW,
    ESP_RST_PANIC,
} esp_reset_reason_t;

/** Ends this boot. */
void esp_restart(void) __attribute__((__noreturn__));
/** ESP_RST_POWERON in the first boot of a run, ESP_RST_SW in the others. */
esp_reset_reason_t esp_reset_reason(void);
uint32_t esp_get_free_heap_size(void);
uint32_t esp_get_minimum_free_heap_size(void);
