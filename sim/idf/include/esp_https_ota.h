// SPDX-License-Identifier: Apache-2.0
/** @file An update of the app in the next OTA slot, over HTTP or HTTPS. */
#pragma once

#include "esp_app_desc.h"
#include "esp_err.h"
#include "esp_image_format.h"
#include "esp_event_base.h"
#include "esp_http_client.h"
#include "esp_partition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_HTTPS_OTA_BASE        0x9000
#define ESP_ERR_HTTPS_OTA_IN_PROGRESS (ESP_ERR_HTTPS_OTA_BASE + 1)

typedef void *esp_https_ota_handle_t;
typedef esp_err_t (*http_client_init_cb_t)(esp_http_client_handle_t);

typedef enum {
    ESP_HTTPS_OTA_START,
    ESP_HTTPS_OTA_CONNECTED,
    ESP_HTTPS_OTA_GET_IMG_DESC,
    ESP_HTTPS_OTA_VERIFY_CHIP_ID,
    ESP_HTTPS_OTA_VERIFY_CHIP_REVISION,
    ESP_HTTPS_OTA_DECRYPT_CB,
    ESP_HTTPS_OTA_WRITE_FLASH,
    ESP_HTTPS_OTA_UPDATE_BOOT_PARTITION,
    ESP_HTTPS_OTA_FINISH,
    ESP_HTTPS_OTA_ABORT,
} esp_https_ota_event_t;

/** The simulated chip posts START, CONNECTED, FINISH and ABORT, without data. */
ESP_EVENT_DECLARE_BASE(ESP_HTTPS_OTA_EVENT);

typedef struct {
    const esp_http_client_config_t *http_config;
    http_client_init_cb_t http_client_init_cb; /**< May be NULL. */
    bool bulk_flash_erase;                     /**< Erase the slot before the download, and not as it is written. */
    bool partial_http_download;                /**< Accepted; one request is made nevertheless. */
    int max_http_request_size;                 /**< Accepted. */
    uint32_t buffer_caps;                      /**< Accepted. */
} esp_https_ota_config_t;

/** Downloads, checks and selects an app for the next start. @return as begin(), perform() and finish() */
esp_err_t esp_https_ota(const esp_https_ota_config_t *ota_config);

/** Connects. @return ESP_OK; ESP_ERR_INVALID_ARG, also for plain HTTP unless CONFIG_ESP_HTTPS_OTA_ALLOW_HTTP, which is
 *  set here; ESP_ERR_NO_MEM; ESP_FAIL, also for a status that is not 200; or an error of esp_http_client */
esp_err_t esp_https_ota_begin(const esp_https_ota_config_t *ota_config, esp_https_ota_handle_t *handle);
/** One piece of the body. @return ESP_ERR_HTTPS_OTA_IN_PROGRESS until all has come, then ESP_OK; ESP_FAIL if the body
 *  breaks off; ESP_ERR_INVALID_VERSION for an image that is for another chip; or as esp_ota_write() */
esp_err_t esp_https_ota_perform(esp_https_ota_handle_t https_ota_handle);
bool esp_https_ota_is_complete_data_received(esp_https_ota_handle_t https_ota_handle);
/** Checks the image, selects it, frees the handle on every path. @return as esp_ota_end(), esp_ota_set_boot_partition()
 */
esp_err_t esp_https_ota_finish(esp_https_ota_handle_t https_ota_handle);
/** Frees the handle. */
esp_err_t esp_https_ota_abort(esp_https_ota_handle_t https_ota_handle);
/** Reads the first bytes. @return ESP_OK; ESP_FAIL if no descriptor is there; ESP_ERR_INVALID_ARG */
esp_err_t esp_https_ota_get_img_desc(esp_https_ota_handle_t https_ota_handle, esp_app_desc_t *new_app_info);
int esp_https_ota_get_image_len_read(esp_https_ota_handle_t https_ota_handle);
int esp_https_ota_get_status_code(esp_https_ota_handle_t https_ota_handle);
int esp_https_ota_get_image_size(esp_https_ota_handle_t https_ota_handle);

#ifdef __cplusplus
}
#endif
