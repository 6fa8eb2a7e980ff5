// SPDX-License-Identifier: Apache-2.0
/** @file Start-up of ESP-IDF's key-value store, as far as an app that reflashes itself needs it. */
#pragma once

#include "esp_err.h"

#define ESP_ERR_NVS_BASE              0x1100
#define ESP_ERR_NVS_NO_FREE_PAGES     (ESP_ERR_NVS_BASE + 0x0d)
#define ESP_ERR_NVS_NEW_VERSION_FOUND (ESP_ERR_NVS_BASE + 0x10)

/** ESP_ERR_NOT_FOUND without an "nvs" partition, ESP_ERR_NVS_NO_FREE_PAGES if it has no blank page. */
esp_err_t nvs_flash_init(void);
/** Erases the "nvs" partition. */
esp_err_t nvs_flash_erase(void);
