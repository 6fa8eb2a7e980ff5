// SPDX-License-Identifier: Apache-2.0
/** @file
 * The partitions that the running app was started with, as ESP-IDF has them.
 */
#pragma once

#include "format/sr_region.h"

#include "esp_err.h"
#include "esp_idf_version.h"
#include "esp_partition.h"

#include <stdbool.h>

/** The region that a partition occupies; empty for NULL. */
sr_region_t sr_partition_region(const esp_partition_t *partition);

/** Called with each partition of the table that the running app was started with. */
typedef void (*sr_partition_visit_t)(void *context, const esp_partition_t *partition);

/** False for a partition that an app has registered on another flash chip: its addresses mean nothing here. */
bool sr_partition_is_on_main_chip(const esp_partition_t *partition);

/** From ESP-IDF 5.2 on the flash driver obeys the flag `readonly`. */
#define SR_PARTITION_READ_ONLY_COUNTS (ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(5, 2, 0))

/** True if the flash driver neither erases nor programs in this partition: from ESP-IDF 5.2 on, if it is flagged
 *  `readonly`. */
bool sr_partition_is_read_only(const esp_partition_t *partition);

/** Visits all partitions on the main flash chip. @return ESP_OK, or ESP_ERR_NO_MEM if the table cannot be searched. */
esp_err_t sr_partition_visit(sr_partition_visit_t visit, void *context);

/** True for a partition whose content belongs to the app that runs: of type data, or of the app's own types. */
bool sr_partition_is_data(const esp_partition_t *partition);

/**
 * Finds a partition that a region touches and that is read-only.
 * @param[out] found NULL: there is none.
 * @return ESP_OK, or ESP_ERR_NO_MEM if the table cannot be searched.
 */
esp_err_t sr_partition_find_read_only(sr_region_t region, const esp_partition_t **found);
