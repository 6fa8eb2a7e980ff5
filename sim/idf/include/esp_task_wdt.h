// SPDX-License-Identifier: Apache-2.0
/** @file
 * The task watchdog, for the main task alone. Time is that of the flash: if it was not fed for 5 s, the chip panics.
 */
#pragma once

#include "esp_err.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t timeout_ms;
    uint32_t idle_core_mask; /**< Ignored: idle tasks are not watched here. */
    bool trigger_panic;
} esp_task_wdt_config_t;

/** ESP-IDF starts the watchdog before app_main(). @return ESP_ERR_INVALID_STATE, which says so. */
esp_err_t esp_task_wdt_init(const esp_task_wdt_config_t *config);
esp_err_t esp_task_wdt_reconfigure(const esp_task_wdt_config_t *config);
/** @return ESP_ERR_INVALID_STATE while a task is subscribed. */
esp_err_t esp_task_wdt_deinit(void);
/** Only with NULL. */
esp_err_t esp_task_wdt_add(TaskHandle_t task_handle);
esp_err_t esp_task_wdt_delete(TaskHandle_t task_handle);
esp_err_t esp_task_wdt_reset(void);
esp_err_t esp_task_wdt_status(TaskHandle_t task_handle);

#ifdef __cplusplus
}
#endif
