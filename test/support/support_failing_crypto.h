// SPDX-License-Identifier: Apache-2.0
/** @file
 * A crypto library of which one call fails: the program that includes this wraps the functions that it asks of it, and
 * counts them here. Include after cmocka.h.
 */
#pragma once

#include "psa/crypto.h"

#include <stdbool.h>

static unsigned crypto_calls;    /**< So far. */
static unsigned crypto_fails_at; /**< Number of the call that fails, from 1; 0: none. */

static inline bool crypto_call_fails(void)
{
    return ++crypto_calls == crypto_fails_at;
}

/* Digests are made by these whatever makes the signatures. */

psa_status_t __real_psa_crypto_init(void);
psa_status_t __wrap_psa_crypto_init(void);
psa_status_t __wrap_psa_crypto_init(void)
{
    return crypto_call_fails() ? PSA_ERROR_HARDWARE_FAILURE : __real_psa_crypto_init();
}

psa_status_t __real_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);
psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);
psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length)
{
    return crypto_call_fails() ? PSA_ERROR_HARDWARE_FAILURE : __real_psa_hash_update(operation, input, length);
}
