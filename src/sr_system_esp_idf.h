// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the engine must know of the running system, asked of ESP-IDF once: flash, chip, boot path, running app.
 */
#pragma once

#include "sr_boot_path.h"
#include "sr_chip.h"
#include "sr_flash.h"
#include "sr_image.h"
#include "sr_reader.h"
#include "sr_region.h"
#include "sr_sha256.h"

#include "esp_err.h"
#include "esp_idf_version.h"
#include "esp_partition.h"

#include <stdbool.h>

typedef struct sr_system {
    sr_flash_t flash;
    const sr_chip_t *chip;
    sr_secure_boot_t secure_boot;
    sr_efuses_t efuses;
    sr_region_t running_partition; /**< Partition of the running app; empty if it lies in none. */
    sr_boot_path_t boot_path;
    uint32_t recovery; /**< Flash offset of the recovery bootloader, as burnt; UINT32_MAX: none. */
} sr_system_t;

/**
 * Looks at the running system. Reads flash, changes nothing.
 * @return ESP_OK; ESP_ERR_NOT_SUPPORTED on a chip that this component does not know; ESP_ERR_NO_MEM; or an error of
 *         esp_flash
 */
esp_err_t sr_system_look(sr_system_t *system);

/** A part of the flash as a reader of plaintext. */
typedef struct sr_flash_window {
    const sr_flash_t *flash;
    uint32_t address;
    esp_err_t err; /**< Of the last read that failed: parsers tell only that one did. */
} sr_flash_window_t;

/**
 * Makes a reader over [address, address + size) of the flash. What is read counts for sr_yield().
 * @param[out] window Storage that must outlive the reader.
 */
sr_reader_t sr_flash_reader(sr_flash_window_t *window, const sr_flash_t *flash, uint32_t address, uint32_t size);

/** The region that a partition occupies; empty for NULL. */
sr_region_t sr_partition_region(const esp_partition_t *partition);

/** Called with each partition of the table that the running app was started with. */
typedef void (*sr_system_visit_t)(void *context, const esp_partition_t *partition);

/** False for a partition that an app has registered on another flash chip: its addresses mean nothing here. */
bool sr_partition_is_on_main_chip(const esp_partition_t *partition);

/** From ESP-IDF 5.2 on the flash driver obeys the flag `readonly`. */
#define SR_READ_ONLY_COUNTS (ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(5, 2, 0))

/** True if the flash driver neither erases nor programs in this partition: from ESP-IDF 5.2 on, if it is flagged
 *  `readonly`. */
bool sr_partition_is_read_only(const esp_partition_t *partition);

/** Visits all partitions on the main flash chip. @return ESP_OK, or ESP_ERR_NO_MEM if the table can not be searched. */
esp_err_t sr_system_visit_partitions(sr_system_visit_t visit, void *context);

/** True for a partition whose content belongs to the app that runs: of type data, or of the app's own types. */
bool sr_partition_is_data(const esp_partition_t *partition);

/**
 * Finds a partition that a region touches and that is read-only.
 * @param[out] found NULL: there is none.
 * @return as sr_system_visit_partitions()
 */
esp_err_t sr_system_find_read_only(sr_region_t region, const esp_partition_t **found);

#define SR_SLOTS 16u

/** The OTA app partitions. */
typedef struct sr_slots {
    const esp_partition_t *list[SR_SLOTS]; /**< By number; NULL: there is none. */
    uint32_t count;
} sr_slots_t;

/** Looks for them. @return ESP_OK, also if there are none; or ESP_ERR_NO_MEM. */
esp_err_t sr_system_find_slots(sr_slots_t *slots);

/** Those that share a byte with a region: bit N for slot N. */
uint16_t sr_slots_in(const sr_slots_t *slots, sr_region_t region);

/**
 * Finds an OTA app partition to stage an image in, other than that of the running app, and not read-only.
 * @param taken Slots that must not be used, as sr_slots_in() tells them.
 * @param wanted Bytes: the first partition that holds them is taken, else the largest one that is free.
 * @return NULL if none is free.
 */
const esp_partition_t *sr_system_find_staging(const sr_system_t *system, const sr_slots_t *slots, uint16_t taken,
                                              uint32_t wanted);

/** Digest of the first sector of the running app, which holds its descriptor: tells one build from another, wherever it
 *  lies. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK, ESP_FAIL if it can not be hashed, or an error of
 * esp_flash */
esp_err_t sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t id[SR_SHA256_SIZE]);

/** True if the chip is known to run the app from here: not past 16 MiB, where it depends on the chip and on an option
 * of the bootloader, unless the app runs from there today. */
bool sr_system_can_run_at(const sr_system_t *system, sr_region_t place);

/** False if the supply gave way just now: the last reset was a brownout. */
bool sr_system_supply_is_steady(void);
