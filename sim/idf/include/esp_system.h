// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_attr.h"
#include "esp_err.h"
#include "esp_idf_version.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

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

typedef void (*shutdown_handler_t)(void);

/** Calls the shutdown handlers, the one that was registered last first, and ends this boot. */
void esp_restart(void) __attribute__((__noreturn__));
/** Up to 5. @return ESP_ERR_INVALID_STATE if it is registered already; ESP_ERR_NO_MEM if there is no more room */
esp_err_t esp_register_shutdown_handler(shutdown_handler_t handler);
/** @return ESP_ERR_INVALID_STATE if it is not registered */
esp_err_t esp_unregister_shutdown_handler(shutdown_handler_t handler);
/** Says why, and ends this boot with a panic. */
void esp_system_abort(const char *details) __attribute__((__noreturn__));
/** ESP_RST_POWERON in the first boot of a run, or ESP_RST_BROWNOUT as configured; ESP_RST_SW in the others. */
esp_reset_reason_t esp_reset_reason(void);
uint32_t esp_get_free_heap_size(void);
uint32_t esp_get_free_internal_heap_size(void);
uint32_t esp_get_minimum_free_heap_size(void);

#ifdef __cplusplus
}
#endif
