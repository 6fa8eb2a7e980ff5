// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whether a bundle is meant for this device: what its header says, against the chip, its flash, and the app's least
 * sequence number.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "format/sr_bundle.h"
#include "system/sr_system.h"

#include <stddef.h>

/**
 * Needs no look at the content, and changes nothing. To be asked only after the signature was right.
 * @param min_sequence Least sequence number that the app takes; 0: any.
 * @param[out] text Set to the reason for people if it is refused, cut off after @p size bytes with the zero.
 * @return ESP_SELF_REFLASHER_REFUSED_NOT, or _CHIP, _FLASH_SIZE or _SEQUENCE.
 */
esp_self_reflasher_refusal_t sr_admit(const sr_bundle_t *bundle, const sr_system_t *system, uint32_t min_sequence,
                                      char *text, size_t size);
