// SPDX-License-Identifier: Apache-2.0
/** @file The ROM's CRCs of reflected polynomials. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** CRC-32 (0x04C11DB7) that goes on from @p crc; 0 to begin, and as result what zlib's crc32() gives. */
uint32_t esp_rom_crc32_le(uint32_t crc, uint8_t const *buf, uint32_t len);
/** CRC-16 (0x1021). */
uint16_t esp_rom_crc16_le(uint16_t crc, uint8_t const *buf, uint32_t len);
/** CRC-8 (0x07). */
uint8_t esp_rom_crc8_le(uint8_t crc, uint8_t const *buf, uint32_t len);

#ifdef __cplusplus
}
#endif
