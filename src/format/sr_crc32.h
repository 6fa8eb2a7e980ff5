// SPDX-License-Identifier: Apache-2.0
/** @file
 * CRC-32 as the chips' ROM has it: what guards otadata and the pages of NVS.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/** Goes on from @p so_far, as zlib's crc32() does. ESP-IDF begins with UINT32_MAX where zlib begins with 0. */
uint32_t sr_crc32(uint32_t so_far, const uint8_t *bytes, size_t length);
