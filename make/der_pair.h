// SPDX-License-Identifier: Apache-2.0
/** @file
 * Two numbers in DER, as RSA has its public keys and ECDSA its signatures (RFC 8017, A.1.1; RFC 3279, 2.2.3).
 */
#pragma once

#include "mbedtls/bignum.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Decodes SEQUENCE { INTEGER first, INTEGER second } with nothing after it, of at most 512 bytes.
 * @param[out] first, second Initialised and freed by the caller.
 */
bool der_pair_read(const uint8_t *der, size_t length, mbedtls_mpi *first, mbedtls_mpi *second);
