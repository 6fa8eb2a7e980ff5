// SPDX-License-Identifier: Apache-2.0
/** @file
 * SHA-256 of whatever crypto library the platform has: mbedTLS 3 under ESP-IDF 5, PSA under ESP-IDF 6 and on Linux.
 *
 * Always finish what was started: a hardware engine may be reserved in between.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SR_SHA256_SIZE 32u

#ifdef ESP_PLATFORM
#include "esp_idf_version.h"
#if ESP_IDF_VERSION < ESP_IDF_VERSION_VAL(6, 0, 0)
#define SR_SHA256_WITH_MBEDTLS 1
#endif
#endif

#ifdef SR_SHA256_WITH_MBEDTLS
#include "mbedtls/sha256.h"
typedef mbedtls_sha256_context sr_sha256_state_t;
#else
#include "psa/crypto.h"
typedef psa_hash_operation_t sr_sha256_state_t;
#endif

typedef struct sr_sha256 {
    sr_sha256_state_t state;
    int error; /**< First error of the library, reported by sr_sha256_finish(). */
} sr_sha256_t;

/** Starts a digest. Errors are kept and reported by sr_sha256_finish(). */
void sr_sha256_start(sr_sha256_t *sha);

/** Adds @p length bytes. */
void sr_sha256_update(sr_sha256_t *sha, const void *data, size_t length);

/**
 * Ends the digest and frees what the library holds.
 * @param[out] digest 32 bytes; all zero on error. May be NULL to abandon the digest.
 * @return 0, or the library's error code; then the digest must not be trusted.
 */
int sr_sha256_finish(sr_sha256_t *sha, uint8_t digest[SR_SHA256_SIZE]);
