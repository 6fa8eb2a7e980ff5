// SPDX-License-Identifier: Apache-2.0
/** @file
 * Marks of installations on the running system's flash.
 */
#pragma once

#include "sr_system_esp_idf.h"
#include "sr_unfinished.h"

/** True if a mark at this address counts: not in a data partition, where anyone who can store a file could make one.
 *  @return ESP_OK, or ESP_ERR_NO_MEM if the table can not be searched. */
esp_err_t sr_unfinished_counts(uint32_t address, bool *counts);

/**
 * Voids and erases all marks that count, once a record has finished what they tell of.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK, ESP_ERR_NO_MEM, an error of the flash, or as sr_writer_put().
 */
esp_err_t sr_unfinished_settle(const sr_system_t *system, sr_writer_t *writer, uint8_t *scratch);
