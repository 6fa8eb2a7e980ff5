// SPDX-License-Identifier: Apache-2.0
/** @file
 * The OTA slots of the running system, and which of them is free to stage an image in.
 */
#pragma once

#include "system/sr_partition.h"
#include "system/sr_system.h"

#define SR_SLOTS_MAX 16u

/** The OTA app partitions. */
typedef struct sr_slots {
    const esp_partition_t *list[SR_SLOTS_MAX]; /**< By number; NULL: there is none. */
    uint32_t count;
} sr_slots_t;

/** Finds the OTA slots. @return ESP_OK, also if there are none; or ESP_ERR_NO_MEM. */
esp_err_t sr_slots_find(sr_slots_t *slots);

/** Slots that share a byte with a region: bit N for slot N. */
uint16_t sr_slots_in(const sr_slots_t *slots, sr_region_t region);

/**
 * Finds an OTA app partition to stage an image in, other than that of the running app, and not read-only.
 * @param taken Slots that must not be used, as a result of sr_slots_in().
 * @param wanted Bytes: the first partition that holds them is taken, else the largest one that is free.
 * @return NULL if none is free.
 */
const esp_partition_t *sr_slots_find_staging(const sr_system_t *system, const sr_slots_t *slots, uint16_t taken,
                                             uint32_t wanted);
