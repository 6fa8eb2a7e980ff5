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
    ESP_RST_INT_WDT,
    ESP_RST_TASK_WDT,
    ESP_RST_WDT,
    ESP_RST_DEEPSLEEP,
    ESP_RST_BROWNOUT,
} esp_reset_reason_t;

/** Ends this boot. */
void esp_restart(void) __attribute__((__noreturn__));
/** ESP_RST_POWERON in the first boot of a run, or ESP_RST_BROWNOUT as configured; ESP_RST_SW in the others. */
esp_reset_reason_t esp_reset_reason(void);
uint32_t esp_get_free_heap_size(void);
uint32_t esp_get_minimum_free_heap_size(void);
