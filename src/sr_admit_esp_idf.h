// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whether a manifest is for this device at all, whatever it says of the flash.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "sr_bundle.h"
#include "sr_system_esp_idf.h"

/**
 * Looks at chip, revision and flash size.
 * @param[out] text Why it is refused.
 * @return ESP_SELF_REFLASHER_REFUSED_NOT, or the reason.
 */
esp_self_reflasher_refusal_t sr_admit(const sr_bundle_t *bundle, const sr_system_t *system,
                                      const esp_self_reflasher_bundle_config_t *config, char *text, size_t text_size);
