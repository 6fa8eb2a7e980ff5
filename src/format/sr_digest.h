// SPDX-License-Identifier: Apache-2.0
/** @file
 * SHA-256 of bytes that are all in memory.
 */
#pragma once

#include "format/sr_sha256.h"

#include <stdbool.h>

/** Hashes @p length bytes in one go. @return false if the crypto library failed. */
static inline bool sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, bytes, length);
    return sr_sha256_finish(&sha, digest) == 0;
}
