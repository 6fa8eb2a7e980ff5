// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sdkconfig.h"

#include <stdint.h>

/** State of an OTA slot, as stored in otadata. */
typedef enum {
    ESP_OTA_IMG_NEW = 0x0U,
    ESP_OTA_IMG_PENDING_VERIFY = 0x1U,
    ESP_OTA_IMG_VALID = 0x2U,
    ESP_OTA_IMG_INVALID = 0x3U,
    ESP_OTA_IMG_ABORTED = 0x4U,
    ESP_OTA_IMG_UNDEFINED = 0xFFFFFFFFU,
} esp_ota_img_states_t;

#define ESP_PARTITION_TABLE_MAX_LEN 0xC00
#define ESP_BOOTLOADER_OFFSET       CONFIG_BOOTLOADER_OFFSET_IN_FLASH
#define ESP_PARTITION_TABLE_OFFSET  CONFIG_PARTITION_TABLE_OFFSET

/** One entry of otadata. */
typedef struct {
    uint32_t ota_seq;
    uint8_t seq_label[20];
    uint32_t ota_state;
    uint32_t crc; /**< Of ota_seq. */
} esp_ota_select_entry_t;

/** A place in flash. */
typedef struct {
    uint32_t offset;
    uint32_t size;
} esp_partition_pos_t;
