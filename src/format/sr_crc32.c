// SPDX-License-Identifier: Apache-2.0
#include "format/sr_crc32.h"

#define POLYNOMIAL 0xEDB88320u /**< Of IEEE 802.3, lowest bit first. */

uint32_t sr_crc32(uint32_t so_far, const uint8_t *bytes, size_t length)
{
    uint32_t crc = ~so_far;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1u) != 0 ? POLYNOMIAL : 0u);
        }
    }
    return ~crc;
}
