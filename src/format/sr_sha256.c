// SPDX-License-Identifier: Apache-2.0
#include "format/sr_sha256.h"

#include <string.h>

#ifdef SR_SHA256_WITH_MBEDTLS

static int library_start(sr_sha256_state_t *state)
{
    mbedtls_sha256_init(state);
    return mbedtls_sha256_starts(state, 0);
}

static int library_update(sr_sha256_state_t *state, const void *data, size_t length)
{
    return mbedtls_sha256_update(state, data, length);
}

static int library_finish(sr_sha256_state_t *state, uint8_t digest[SR_SHA256_SIZE])
{
    return mbedtls_sha256_finish(state, digest);
}

static void library_free(sr_sha256_state_t *state)
{
    mbedtls_sha256_free(state);
}

#else

static int library_start(sr_sha256_state_t *state)
{
    *state = psa_hash_operation_init();
    // Calls after the first cost nothing, and it is not certain that anybody else has made the first.
    psa_status_t status = psa_crypto_init();
    return status != PSA_SUCCESS ? status : psa_hash_setup(state, PSA_ALG_SHA_256);
}

static int library_update(sr_sha256_state_t *state, const void *data, size_t length)
{
    return psa_hash_update(state, data, length);
}

static int library_finish(sr_sha256_state_t *state, uint8_t digest[SR_SHA256_SIZE])
{
    size_t length = 0;
    return psa_hash_finish(state, digest, SR_SHA256_SIZE, &length);
}

static void library_free(sr_sha256_state_t *state)
{
    // Harmless on an operation that is finished or failed.
    (void)psa_hash_abort(state);
}

#endif

void sr_sha256_start(sr_sha256_t *sha)
{
    sha->error = library_start(&sha->state);
}

void sr_sha256_update(sr_sha256_t *sha, const void *data, size_t length)
{
    if (sha->error == 0 && length != 0) {
        sha->error = library_update(&sha->state, data, length);
    }
}

int sr_sha256_finish(sr_sha256_t *sha, uint8_t digest[SR_SHA256_SIZE])
{
    if (digest != NULL) {
        if (sha->error == 0) {
            sha->error = library_finish(&sha->state, digest);
        }
        if (sha->error != 0) {
            memset(digest, 0, SR_SHA256_SIZE);
        }
    }
    library_free(&sha->state);
    return sha->error;
}
