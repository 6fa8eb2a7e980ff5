// SPDX-License-Identifier: Apache-2.0
/** @file ESP-IDF's choice of OTA slots, on the simulated chip's otadata partition. */
#pragma once

#include "esp_app_desc.h"
#include "esp_err.h"
#include "esp_flash_partitions.h"
#include "esp_partition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_OTA_BASE                   0x1500
#define ESP_ERR_OTA_PARTITION_CONFLICT     (ESP_ERR_OTA_BASE + 0x01)
#define ESP_ERR_OTA_SELECT_INFO_INVALID    (ESP_ERR_OTA_BASE + 0x02)
#define ESP_ERR_OTA_VALIDATE_FAILED        (ESP_ERR_OTA_BASE + 0x03)
#define ESP_ERR_OTA_SMALL_SEC_VER          (ESP_ERR_OTA_BASE + 0x04)
#define ESP_ERR_OTA_ROLLBACK_FAILED        (ESP_ERR_OTA_BASE + 0x05)
#define ESP_ERR_OTA_ROLLBACK_INVALID_STATE (ESP_ERR_OTA_BASE + 0x06)

#define OTA_SIZE_UNKNOWN           0xffffffff
#define OTA_WITH_SEQUENTIAL_WRITES 0xfffffffe

typedef uint32_t esp_ota_handle_t;

/** Erases the partition, up to @p image_size or, with OTA_WITH_SEQUENTIAL_WRITES, as it is written.
 *  @return ESP_OK; ESP_ERR_INVALID_ARG, also for a partition that is no OTA slot; ESP_ERR_OTA_PARTITION_CONFLICT for
 * that of the running app; ESP_ERR_OTA_ROLLBACK_INVALID_STATE while that has not been confirmed; ESP_ERR_NO_MEM if as
 * many as 4 are open; ESP_ERR_INVALID_SIZE; or an error of esp_partition */
esp_err_t esp_ota_begin(const esp_partition_t *partition, size_t image_size, esp_ota_handle_t *out_handle);
/** @return ESP_OK; ESP_ERR_INVALID_ARG; ESP_ERR_OTA_VALIDATE_FAILED if the first byte is no image's;
 * ESP_ERR_INVALID_SIZE; or an error of esp_partition */
esp_err_t esp_ota_write(esp_ota_handle_t handle, const void *data, size_t size);
/** Checks the image. @return ESP_OK; ESP_ERR_NOT_FOUND; ESP_ERR_INVALID_ARG if nothing was written;
 *  ESP_ERR_OTA_VALIDATE_FAILED */
esp_err_t esp_ota_end(esp_ota_handle_t handle);
/** @return ESP_OK or ESP_ERR_NOT_FOUND */
esp_err_t esp_ota_abort(esp_ota_handle_t handle);
/** esp_app_get_description() under the name that it had before ESP-IDF 5. */
const esp_app_desc_t *esp_ota_get_app_description(void);
/** @return ESP_OK; ESP_ERR_INVALID_ARG; ESP_ERR_NOT_SUPPORTED if it is no app partition; ESP_ERR_NOT_FOUND if no
 *  descriptor is there */
esp_err_t esp_ota_get_partition_description(const esp_partition_t *partition, esp_app_desc_t *app_desc);
/** The OTA slot of an entry whose app was refused, the newer one if there are two; NULL: none. */
const esp_partition_t *esp_ota_get_last_invalid_partition(void);
/** True if another slot of otadata has an app that is not invalid. */
bool esp_ota_check_rollback_is_possible(void);
/** Restarts into the previous app. @return ESP_ERR_OTA_ROLLBACK_FAILED if there is none, or as esp_partition. */
esp_err_t esp_ota_mark_app_invalid_rollback_and_reboot(void);

/** The partition that the running app lies in; NULL if no partition of the table covers it. */
const esp_partition_t *esp_ota_get_running_partition(void);
/** The partition that otadata selects for the next boot. */
const esp_partition_t *esp_ota_get_boot_partition(void);
/** Checks the image in @p partition, then makes otadata select it. */
esp_err_t esp_ota_set_boot_partition(const esp_partition_t *partition);
/** The OTA slot after @p start_from (NULL: the running partition), round robin. */
const esp_partition_t *esp_ota_get_next_update_partition(const esp_partition_t *start_from);
/** State of the newest valid entry for this slot. */
esp_err_t esp_ota_get_state_partition(const esp_partition_t *partition, esp_ota_img_states_t *ota_state);
esp_err_t esp_ota_mark_app_valid_cancel_rollback(void);
/** OTA slots in the table: ota_0, ota_1, ... without a gap. */
uint8_t esp_ota_get_app_partition_count(void);

#ifdef __cplusplus
}
#endif
