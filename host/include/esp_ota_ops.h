// SPDX-License-Identifier: Apache-2.0
/** @file ESP-IDF's choice of OTA slots, on the simulated chip's otadata partition. */
#pragma once

#include "esp_app_desc.h"
#include "esp_err.h"
#include "esp_flash_partitions.h"
#include "esp_partition.h"

#include <stdint.h>

#define ESP_ERR_OTA_BASE                   0x1500
#define ESP_ERR_OTA_PARTITION_CONFLICT     (ESP_ERR_OTA_BASE + 0x01)
#define ESP_ERR_OTA_SELECT_INFO_INVALID    (ESP_ERR_OTA_BASE + 0x02)
#define ESP_ERR_OTA_VALIDATE_FAILED        (ESP_ERR_OTA_BASE + 0x03)
#define ESP_ERR_OTA_SMALL_SEC_VER          (ESP_ERR_OTA_BASE + 0x04)
#define ESP_ERR_OTA_ROLLBACK_FAILED        (ESP_ERR_OTA_BASE + 0x05)
#define ESP_ERR_OTA_ROLLBACK_INVALID_STATE (ESP_ERR_OTA_BASE + 0x06)

/** The partition that the running app lies in; NULL if no partition of the table covers it. */
const esp_partition_t *esp_ota_get_running_partition(void);
/** The partition that otadata selects for the next boot. */
const esp_partition_t *esp_ota_get_boot_partition(void);
/** Checks the image in @p partition, then makes otadata select it. */
esp_err_t esp_ota_set_boot_partition(const esp_partition_t *partition);
/** The OTA slot behind @p start_from (NULL: the running partition), round robin. */
const esp_partition_t *esp_ota_get_next_update_partition(const esp_partition_t *start_from);
/** State of the newest valid entry for this slot. */
esp_err_t esp_ota_get_state_partition(const esp_partition_t *partition, esp_ota_img_states_t *ota_state);
esp_err_t esp_ota_mark_app_valid_cancel_rollback(void);
/** OTA slots in the table: ota_0, ota_1, ... without a gap. */
uint8_t esp_ota_get_app_partition_count(void);
