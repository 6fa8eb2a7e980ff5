// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whether a bundle is meant for this device: what its header says, against the chip, its flash, and the lowest sequence
 * number that the app accepts.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "format/sr_bundle.h"
#include "system/sr_system.h"

#include <stddef.h>

/**
 * Reads nothing but the header, and changes nothing. To be asked only after the signature was right.
 * @param min_sequence Lowest sequence number that the app accepts; 0: any.
 * @param[out] text Set to the reason, for a log, if it is refused; cut off after @p size bytes, the terminating zero
 * included.
 * @return ESP_SELF_REFLASHER_REFUSED_NOT, or _CHIP, _FLASH_SIZE or _SEQUENCE.
 */
esp_self_reflasher_refusal_t sr_admit(const sr_bundle_t *bundle, const sr_system_t *system, uint32_t min_sequence,
                                      char *text, size_t size);
