// SPDX-License-Identifier: Apache-2.0
/** @file
 * The task watchdog, for the main task alone. Time is that of the flash: if it was not fed for 5 s, the chip panics.
 */
#pragma once

#include "esp_err.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

/** Only with NULL. */
esp_err_t esp_task_wdt_add(TaskHandle_t task_handle);
esp_err_t esp_task_wdt_reset(void);
esp_err_t esp_task_wdt_status(TaskHandle_t task_handle);
