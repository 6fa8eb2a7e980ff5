// SPDX-License-Identifier: Apache-2.0
/** @file Start-up of ESP-IDF's key-value store. */
#pragma once

#include "nvs.h"

#ifdef __cplusplus
extern "C" {
#endif

/** ESP_ERR_NOT_FOUND without an "nvs" partition, ESP_ERR_NVS_NO_FREE_PAGES if it has no blank page. */
esp_err_t nvs_flash_init(void);
/** Starts the store in another partition, with the same errors. */
esp_err_t nvs_flash_init_partition(const char *partition_label);
/** Handles are closed. @return ESP_ERR_NVS_NOT_INITIALIZED */
esp_err_t nvs_flash_deinit(void);
esp_err_t nvs_flash_deinit_partition(const char *partition_label);
/** Erases the "nvs" partition, which then has to be started again. */
esp_err_t nvs_flash_erase(void);
/** ESP_ERR_NOT_FOUND without such a partition. */
esp_err_t nvs_flash_erase_partition(const char *part_name);

#ifdef __cplusplus
}
#endif
