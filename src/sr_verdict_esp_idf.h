// SPDX-License-Identifier: Apache-2.0
/** @file
 * Would this chip boot a flash as it will be? The same questions for a bundle that is to be applied, and for a record
 * that is to be finished.
 */
#pragma once

#include "sr_reader.h"
#include "sr_system_esp_idf.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A flash as it will be. */
typedef struct sr_verdict {
    const sr_system_t *system; /**< That runs today. */
    sr_reader_t flash;         /**< All of it, as plaintext. */
    uint32_t table_offset;     /**< As in sr_result_t. */
} sr_verdict_t;

/**
 * Runs sr_result_check() for this chip. What bootloader works today is read from flash.
 * @param skip SR_RESULT_... that are switched off.
 * @param app_follows As in sr_result_t.
 * @param[out] failed 0, or the bit of the check that failed.
 * @param[out] text Why.
 * @return ESP_OK, also if a check failed; ESP_ERR_NO_MEM; or an error of esp_flash.
 */
esp_err_t sr_verdict_check(const sr_verdict_t *verdict, uint32_t skip, bool app_follows, uint32_t *failed, char *text,
                           size_t text_size);

/**
 * With Secure Boot on, an image without signature block does not boot. What MCUboot boots, it verifies itself.
 * @param[out] passed True if bootloader and app have one each, or if Secure Boot is off.
 * @return ESP_OK or ESP_ERR_NO_MEM.
 */
esp_err_t sr_verdict_is_signed(const sr_verdict_t *verdict, bool *passed);
