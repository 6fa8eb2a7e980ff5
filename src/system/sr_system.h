// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the engine must know of the running system, asked of ESP-IDF once: flash, chip, boot path, running app.
 */
#pragma once

#include "flash/sr_flash.h"
#include "format/sr_boot_path.h"
#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "format/sr_secure_boot.h"
#include "format/sr_sha256.h"

#include "esp_err.h"
#include "esp_idf_version.h"
#include "esp_partition.h"

#include <stdbool.h>

typedef struct sr_system {
    sr_flash_t flash;
    const sr_chip_t *chip;
    sr_image_secure_boot_t secure_boot;
    sr_secure_boot_keys_t keys; /**< With Secure Boot V2; none is burnt: not known. */
    sr_chip_efuses_t efuses;
    sr_region_t running_partition; /**< Partition of the running app; empty if it lies in none. */
    sr_boot_path_t boot_path;
    uint32_t recovery; /**< Flash offset of the recovery bootloader, as burnt; UINT32_MAX: none. */
} sr_system_t;

/**
 * Looks at the running system. Reads flash, changes nothing.
 * @return ESP_OK; ESP_ERR_NOT_SUPPORTED on a chip that this component does not know; ESP_ERR_NO_MEM; or an error of
 *         esp_flash
 */
esp_err_t sr_system_read(sr_system_t *system);

/** Digest of the first sector of the running app, which holds its descriptor: tells one build from another, wherever it
 *  lies. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK, ESP_FAIL if it cannot be hashed, or an error of
 * esp_flash */
esp_err_t sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t id[SR_SHA256_SIZE]);

/** True if the chip is known to run the app from here: not past 16 MiB, where it depends on the chip and on an option
 * of the bootloader, unless the app runs from there today. */
bool sr_system_can_run_at(const sr_system_t *system, sr_region_t place);

/** False if the last reset was a brownout. */
bool sr_system_supply_is_steady(void);
