// SPDX-License-Identifier: Apache-2.0
/** @file The default event loop, without a task of its own. */
#pragma once

#include "esp_err.h"
#include "esp_event_base.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/semphr.h"
#include "freertos/task.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** ESP_ERR_INVALID_STATE if called twice in one boot. */
esp_err_t esp_event_loop_create_default(void);
/** ESP_ERR_INVALID_STATE without a loop. */
esp_err_t esp_event_loop_delete_default(void);

/** Up to 16 handlers. @return ESP_OK; ESP_ERR_INVALID_ARG without a handler, or for a single event of any base;
 *  ESP_ERR_INVALID_STATE without a loop; ESP_ERR_NO_MEM if there is no more room. */
esp_err_t esp_event_handler_register(esp_event_base_t event_base, int32_t event_id, esp_event_handler_t event_handler,
                                     void *event_handler_arg);
/** @return as esp_event_handler_register() */
esp_err_t esp_event_handler_instance_register(esp_event_base_t event_base, int32_t event_id,
                                              esp_event_handler_t event_handler, void *event_handler_arg,
                                              esp_event_handler_instance_t *instance);
/** @return ESP_OK, also if there is no such handler; ESP_ERR_INVALID_STATE without a loop */
esp_err_t esp_event_handler_unregister(esp_event_base_t event_base, int32_t event_id,
                                       esp_event_handler_t event_handler);
esp_err_t esp_event_handler_instance_unregister(esp_event_base_t event_base, int32_t event_id,
                                                esp_event_handler_instance_t instance);

/** Calls the handlers at once, from the task that posts: on the chip the loop's own task calls them a moment later.
 * They get a copy of what @p event_data points to. */
esp_err_t esp_event_post(esp_event_base_t event_base, int32_t event_id, const void *event_data, size_t event_data_size,
                         TickType_t ticks_to_wait);

#ifdef __cplusplus
}
#endif
