// SPDX-License-Identifier: Apache-2.0
/** @file
 * MD5, for the checksum in partition tables only: of the mask ROM under ESP-IDF, where the crypto library may be built
 * without it, and of PSA on Linux.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SR_MD5_SIZE 16u

#ifdef ESP_PLATFORM
#include "esp_rom_md5.h"
typedef md5_context_t sr_md5_state_t;
#else
#include "psa/crypto.h"
typedef psa_hash_operation_t sr_md5_state_t;
#endif

typedef struct sr_md5 {
    sr_md5_state_t state;
    int error; /**< First error of the library, reported by sr_md5_finish(). */
} sr_md5_t;

/** Starts a digest. Errors are kept and reported by sr_md5_finish(). */
void sr_md5_start(sr_md5_t *md5);

/** Adds @p length bytes. */
void sr_md5_update(sr_md5_t *md5, const void *data, size_t length);

/**
 * Ends the digest and frees what the library holds.
 * @param[out] digest 16 bytes; all zero on error.
 * @return 0, or the library's error code; then the digest must not be trusted.
 */
int sr_md5_finish(sr_md5_t *md5, uint8_t digest[SR_MD5_SIZE]);
