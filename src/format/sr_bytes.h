// SPDX-License-Identifier: Apache-2.0
/** @file
 * Little-endian numbers in byte buffers, whatever the alignment and the byte order of the machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t sr_bytes_get_le16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t sr_bytes_get_le32(const uint8_t *bytes)
{
    return sr_bytes_get_le16(bytes) | (uint32_t)sr_bytes_get_le16(bytes + 2) << 16;
}

static inline void sr_bytes_put_le32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

/** True if all @p length bytes are zero, as reserved ones must be. */
static inline bool sr_bytes_are_zero(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}
