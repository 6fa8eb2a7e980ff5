// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_app_format.h"
#include "esp_err.h"
#include "esp_flash_partitions.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_IMAGE_BASE       0x2000
#define ESP_ERR_IMAGE_FLASH_FAIL (ESP_ERR_IMAGE_BASE + 1)
#define ESP_ERR_IMAGE_INVALID    (ESP_ERR_IMAGE_BASE + 2)

/** What is known of an image. */
typedef struct {
    uint32_t start_addr;
    uint32_t image_len;
} esp_image_metadata_t;

typedef enum {
    ESP_IMAGE_VERIFY,
    ESP_IMAGE_VERIFY_SILENT,
} esp_image_load_mode_t;

/** Reads all of an image: chip, checksum, digest. @return ESP_OK; ESP_ERR_INVALID_ARG; ESP_ERR_IMAGE_INVALID */
esp_err_t esp_image_verify(esp_image_load_mode_t mode, const esp_partition_pos_t *part, esp_image_metadata_t *data);

#ifdef __cplusplus
}
#endif
