// SPDX-License-Identifier: Apache-2.0
/** @file
 * Counts operations of the crypto library, for programs linked with --wrap=psa_hash_setup,--wrap=psa_hash_abort: one
 * that is not ended keeps memory, or the only engine of a chip. Include after cmocka.h.
 */
#pragma once

#include "psa/crypto.h"

psa_status_t __real_psa_hash_setup(psa_hash_operation_t *operation, psa_algorithm_t algorithm);
psa_status_t __wrap_psa_hash_setup(psa_hash_operation_t *operation, psa_algorithm_t algorithm);
psa_status_t __real_psa_hash_abort(psa_hash_operation_t *operation);
psa_status_t __wrap_psa_hash_abort(psa_hash_operation_t *operation);

/** Begun and not ended. */
static int hashes_open;

psa_status_t __wrap_psa_hash_setup(psa_hash_operation_t *operation, psa_algorithm_t algorithm)
{
    hashes_open++;
    return __real_psa_hash_setup(operation, algorithm);
}

psa_status_t __wrap_psa_hash_abort(psa_hash_operation_t *operation)
{
    hashes_open--;
    return __real_psa_hash_abort(operation);
}
