// SPDX-License-Identifier: Apache-2.0
/** @file
 * A crypto library that fails on demand, for programs linked with --wrap=psa_hash_update. Include after cmocka.h.
 */
#pragma once

#include "psa/crypto.h"

#include <stdbool.h>

psa_status_t __real_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);
psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);

static bool hash_fails;

psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length)
{
    return hash_fails ? PSA_ERROR_HARDWARE_FAILURE : __real_psa_hash_update(operation, input, length);
}
