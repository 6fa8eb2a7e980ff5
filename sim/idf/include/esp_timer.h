// SPDX-License-Identifier: Apache-2.0
/** @file
 * Timers, on the clock of the host, as for the network, plus all the time that tasks waited. Callbacks come while a
 * task waits, for the network or otherwise, which is when a chip with one core would run them at the latest. They must
 * not block.
 */
#pragma once

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct esp_timer *esp_timer_handle_t;
typedef void (*esp_timer_cb_t)(void *arg);

typedef enum {
    ESP_TIMER_TASK,
    ESP_TIMER_MAX,
} esp_timer_dispatch_t;

typedef struct {
    esp_timer_cb_t callback;
    void *arg;
    esp_timer_dispatch_t dispatch_method;
    const char *name;
    bool skip_unhandled_events; /**< Accepted; events that come too late are always skipped. */
} esp_timer_create_args_t;

/** @return ESP_OK, ESP_ERR_INVALID_ARG without a callback, ESP_ERR_NO_MEM. */
esp_err_t esp_timer_create(const esp_timer_create_args_t *create_args, esp_timer_handle_t *out_handle);
/** @return ESP_OK, or ESP_ERR_INVALID_STATE if it is running. */
esp_err_t esp_timer_start_once(esp_timer_handle_t timer, uint64_t timeout_us);
/** @return as esp_timer_start_once(); ESP_ERR_INVALID_ARG if the period is 0. */
esp_err_t esp_timer_start_periodic(esp_timer_handle_t timer, uint64_t period);
bool esp_timer_is_active(esp_timer_handle_t timer);
/** @return ESP_OK, or ESP_ERR_INVALID_STATE if it is not running. */
esp_err_t esp_timer_stop(esp_timer_handle_t timer);
/** @return ESP_OK, or ESP_ERR_INVALID_STATE if it is running. */
esp_err_t esp_timer_delete(esp_timer_handle_t timer);
/** Microseconds; only differences are meaningful. */
int64_t esp_timer_get_time(void);

#ifdef __cplusplus
}
#endif
