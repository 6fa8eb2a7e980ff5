// SPDX-License-Identifier: Apache-2.0
/** @file
 * The mark of an installation that is not done: one sector of free flash that says for which manifest.
 *
 * As long as it is there, a bundle whose own regions are right is not taken for installed. It is written before the
 * last of these sectors is, and voided by one program operation after the last sector of all. Voided, it belongs to no
 * manifest, whatever a power cut makes of it afterwards.
 *
 * Format, byte by byte: docs/bundle-format.md.
 */
#pragma once

#include "sr_bundle.h"
#include "sr_writer.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** A mark in flash. */
typedef struct sr_unfinished {
    uint32_t address;
    uint8_t id[SR_BUNDLE_DIGEST_SIZE]; /**< First half of the manifest's SHA-256; zero: void. */
} sr_unfinished_t;

/**
 * Finds the first mark at or above an address, void or not.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK, ESP_ERR_NOT_FOUND, or an error of the flash.
 */
esp_err_t sr_unfinished_find(const sr_flash_t *flash, uint32_t from, uint8_t *scratch, sr_unfinished_t *mark);

/**
 * Tells whether a sector takes a mark without being erased: it is blank, or holds part of this one that a cut has left.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK or an error of the flash.
 */
esp_err_t sr_unfinished_fits(const sr_flash_t *flash, const sr_unfinished_t *mark, uint8_t *scratch, bool *fits);

/** Writes a mark. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_unfinished_put(sr_writer_t *writer, const sr_unfinished_t *mark, uint8_t *scratch);

/** Voids a mark. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_unfinished_void(sr_writer_t *writer, uint32_t address, uint8_t *scratch);

/** Voids a mark, if it is not void yet, and erases it. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as
 * sr_writer_put(). */
esp_err_t sr_unfinished_clear(sr_writer_t *writer, uint32_t address, uint8_t *scratch);
