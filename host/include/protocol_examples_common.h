// SPDX-License-Identifier: Apache-2.0
/** @file The connection helper of ESP-IDF's examples: the host is connected already. */
#pragma once

#include "esp_err.h"

/** ESP_ERR_INVALID_STATE unless esp_netif_init() and esp_event_loop_create_default() were called before. */
esp_err_t example_connect(void);
esp_err_t example_disconnect(void);
