// SPDX-License-Identifier: Apache-2.0
/** @file
 * The mark of an installation that is not done yet: one sector of free flash that says which manifest is being
 * installed.
 *
 * As long as it is there, a bundle whose own regions are right is not taken for installed. It is written before the
 * last of these regions' sectors, and voided by one program operation after everything else was written. A void mark
 * belongs to no manifest, whatever a power loss makes of it afterwards.
 *
 * Format, byte by byte: docs/bundle-format.md.
 */
#pragma once

#include "flash/sr_writer.h"
#include "format/sr_bundle.h"
#include "system/sr_system.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** A mark in flash. */
typedef struct sr_install_mark {
    uint32_t address;
    uint8_t id[SR_BUNDLE_DIGEST_SIZE]; /**< First half of the manifest's SHA-256; zero: void. */
} sr_install_mark_t;

/**
 * Finds the first mark at or above an address, void or not.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK, ESP_ERR_NOT_FOUND, or an error of the flash.
 */
esp_err_t sr_install_mark_find(const sr_flash_t *flash, uint32_t from, uint8_t *scratch, sr_install_mark_t *mark);

/**
 * Tells whether a sector takes a mark without being erased: it is blank, or holds part of this mark that a power loss
 * has left.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK or an error of the flash.
 */
esp_err_t sr_install_mark_fits(const sr_flash_t *flash, const sr_install_mark_t *mark, uint8_t *scratch, bool *fits);

/** Writes a mark. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_install_mark_put(sr_writer_t *writer, const sr_install_mark_t *mark, uint8_t *scratch);

/** Voids a mark. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_install_mark_void(sr_writer_t *writer, uint32_t address, uint8_t *scratch);

/** Voids a mark, if it is not void yet, and erases it. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as
 * sr_writer_put(). */
esp_err_t sr_install_mark_clear(sr_writer_t *writer, uint32_t address, uint8_t *scratch);

/** True if a mark at this address counts: not in a data partition, where anyone who can store a file could make one.
 *  @return ESP_OK, or ESP_ERR_NO_MEM if the table cannot be searched. */
esp_err_t sr_install_mark_counts(uint32_t address, bool *counts);

/**
 * Finds the first mark of one manifest at or above an address that counts.
 * @param[in,out] mark Its id, and where to start. On success: where it is.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK, ESP_ERR_NOT_FOUND, ESP_ERR_NO_MEM, or an error of the flash.
 */
esp_err_t sr_install_mark_find_own(const sr_system_t *system, sr_install_mark_t *mark, uint8_t *scratch);

/**
 * Voids and erases all marks of one manifest that count, once a record has finished what they tell of.
 * @param id Of the manifest, SR_BUNDLE_DIGEST_SIZE bytes.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK, ESP_ERR_NO_MEM, an error of the flash, or as sr_writer_put().
 */
esp_err_t sr_install_mark_remove(const sr_system_t *system, sr_writer_t *writer, const uint8_t *id, uint8_t *scratch);
