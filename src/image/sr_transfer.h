// SPDX-License-Identifier: Apache-2.0
/** @file
 * What both modes have in common: an image that lies in flash is checked, then copied to its destination.
 */
#pragma once

#include "self_reflasher.h"
#include "format/sr_region.h"
#include "preflight/sr_image_check.h"
#include "system/sr_system.h"

#include <stdbool.h>

typedef struct sr_transfer {
    const sr_system_t *system;
    const esp_self_reflasher_config_t *config; /**< sha256, flags and progress callback. */
    uint32_t source;                           /**< Flash address of the image. */
    uint32_t length;                           /**< Bytes of it. */
    sr_region_t destination;
    bool over_app; /**< The copy changes the running app: it runs from RAM. */
} sr_transfer_t;

/** Logs a refusal with its numbers and translates it. @return ESP_OK for SR_IMAGE_CHECK_OK. */
esp_err_t sr_transfer_refusal(sr_image_check_status_t status, const sr_image_check_detail_t *detail,
                              const sr_system_t *system);

/**
 * Checks the image where it lies: its SHA-256 if the config has one, and what the boot path will be. Changes nothing.
 * @return ESP_OK; one of ESP_ERR_SELF_REFLASHER_SHA256, _NOT_BOOTLOADER, _WRONG_CHIP, _CHECKSUM, _DIGEST, _NOT_SIGNED;
 *         the error of the flash if it cannot be read; ESP_FAIL if it cannot be hashed
 */
esp_err_t sr_transfer_check(const sr_transfer_t *transfer);

/** True if a room is clear of the image and of where it goes. @param context sr_transfer_t */
bool sr_transfer_leaves_alone(void *context, sr_region_t room);

/**
 * Tells whether the copy would change the running app.
 * @return ESP_OK, ESP_ERR_NO_MEM or an error of esp_flash
 */
esp_err_t sr_transfer_changes_app(const sr_transfer_t *transfer, bool *changes);

/**
 * Copies the image, after a copy of the bootloader to the recovery place if that can stand in for it. If that changes
 * the running app, it runs from RAM and does not return.
 * @return ESP_OK; ESP_ERR_NO_MEM or ESP_ERR_NOT_SUPPORTED before anything is changed;
 *         ESP_ERR_SELF_REFLASHER_VERIFY or an error of esp_flash
 */
esp_err_t sr_transfer_copy(const sr_transfer_t *transfer);

/** Calls the config's progress callback, if there is one. */
void sr_transfer_progress(const esp_self_reflasher_config_t *config, esp_self_reflasher_phase_t phase, size_t done,
                          size_t total);
