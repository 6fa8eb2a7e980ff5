// SPDX-License-Identifier: Apache-2.0
/** @file
 * Ranges of flash that an app has mapped. Where the chip encrypts its flash, a mapping shows plaintext, whatever lies
 * there: also where nothing was encrypted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** Maps a range, which lies in the flash: what is written there is seen at once. @return false without memory. */
bool sim_mapping_new(uint32_t address, uint32_t size, const void **out, uint32_t *handle);
void sim_mapping_delete(uint32_t handle);
/** Tells that flash was changed. */
void sim_mapping_update(uint32_t address, uint32_t length);
/** Ends all of them, as a reset does. */
void sim_mapping_delete_all(void);
