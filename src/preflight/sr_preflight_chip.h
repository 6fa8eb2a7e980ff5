// SPDX-License-Identifier: Apache-2.0
/** @file
 * Would this chip boot a flash as it will be? The same questions for a bundle that is to be applied, and for a record
 * that is to be finished.
 */
#pragma once

#include "format/sr_reader.h"
#include "preflight/sr_preflight.h"
#include "system/sr_system.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A flash as it will be. */
typedef struct sr_preflight_chip {
    const sr_system_t *system; /**< The system of today. */
    sr_reader_t flash;         /**< All of it, as plaintext. The reader must not use the workspace. */
    uint32_t table_offset;     /**< As in sr_preflight_t. */
    bool (*brings)(void *context, sr_region_t partition); /**< As in sr_preflight_t, like the two below. */
    void *brings_context;
    sr_preflight_start_t *start;
    uint8_t *workspace; /**< SR_SECTOR_SIZE bytes, aligned for any type: a caller may be short of memory. */
} sr_preflight_chip_t;

/**
 * Runs sr_preflight_check() for this chip. Today's bootloader is read from flash.
 * @param skip SR_PREFLIGHT_... that are switched off.
 * @param app_follows, app_alone As in sr_preflight_t.
 * @param[out] failed 0, or the bit of the check that failed.
 * @param[out] text Why.
 * @return ESP_OK, also if a check failed; or ESP_ERR_NO_MEM if the workspace is too small.
 */
esp_err_t sr_preflight_chip_check(const sr_preflight_chip_t *verdict, uint32_t skip, bool app_follows, bool app_alone,
                                  uint32_t *failed, char *text, size_t text_size);

/**
 * With Secure Boot on: do bootloader and app carry a signature that this chip may take, sr_preflight_signature_check()?
 * With version 1 a bootloader carries none: it has to come with its digest, sr_secure_boot_v1_check(). What MCUboot
 * boots, it verifies itself.
 * @param app_follows, app_alone As in sr_preflight_t.
 * @param[out] text Which of them does not, why, and the digests.
 * @return true if they do, or if Secure Boot is off.
 */
bool sr_preflight_chip_check_signatures(const sr_preflight_chip_t *verdict, bool app_follows, bool app_alone,
                                        char *text, size_t text_size);
