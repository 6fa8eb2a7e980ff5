// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_err.h"
#include "esp_event_base.h"
#include "freertos/FreeRTOS.h"

#include <stddef.h>

/** ESP_ERR_INVALID_STATE if called twice in one boot. */
esp_err_t esp_event_loop_create_default(void);

/** Up to 8 handlers. @return ESP_OK; ESP_ERR_INVALID_STATE without a loop; ESP_ERR_NO_MEM if there is no more room. */
esp_err_t esp_event_handler_register(esp_event_base_t event_base, int32_t event_id, esp_event_handler_t event_handler,
                                     void *event_handler_arg);

/** Calls the handlers at once, from the task that posts: on the chip the loop's own task does it a moment later. */
esp_err_t esp_event_post(esp_event_base_t event_base, int32_t event_id, const void *event_data, size_t event_data_size,
                         TickType_t ticks_to_wait);
