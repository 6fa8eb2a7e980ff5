// SPDX-License-Identifier: Apache-2.0
/** @file The part of ESP-TLS that event handlers of esp_http_client call when a connection has ended. */
#pragma once

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_ESP_TLS_BASE 0x8000

typedef struct esp_tls_last_error *esp_tls_error_handle_t;

/** The simulated client keeps no such errors: ESP_ERR_INVALID_STATE, as on the chip where the handle is NULL. */
esp_err_t esp_tls_get_and_clear_last_error(esp_tls_error_handle_t h, int *esp_tls_code, int *esp_tls_flags);

#ifdef __cplusplus
}
#endif
