// SPDX-License-Identifier: Apache-2.0
/** @file
 * SHA-256 of bytes that are all there: in memory, or read through a reader.
 */
#pragma once

#include "format/sr_reader.h"
#include "format/sr_sha256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sr_digest_status {
    SR_DIGEST_OK = 0,
    SR_DIGEST_READ_FAILED,   /**< The range is not inside the reader, or its read() failed. */
    SR_DIGEST_CRYPTO_FAILED, /**< The crypto library failed. */
} sr_digest_status_t;

/** Hashes @p length bytes in one go. @return false if the crypto library failed. */
bool sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);

/** Hashes [offset, offset + length) of a reader, in pieces of 128 bytes on the stack. */
sr_digest_status_t sr_digest_range(const sr_reader_t *reader, uint32_t offset, uint32_t length,
                                   uint8_t digest[SR_SHA256_SIZE]);
