// SPDX-License-Identifier: Apache-2.0
#include "make/der_pair.h"

#include "mbedtls/asn1.h"

#include <string.h>

bool der_pair_read(const uint8_t *der, size_t length, mbedtls_mpi *first, mbedtls_mpi *second)
{
    // The library takes a pointer to bytes that are not const, and does not change them.
    unsigned char copy[512];
    if (length > sizeof(copy)) {
        return false;
    }
    memcpy(copy, der, length);
    unsigned char *next = copy;
    const unsigned char *end = copy + length;
    size_t inside = 0;
    return mbedtls_asn1_get_tag(&next, end, &inside, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) == 0 &&
           next + inside == end && mbedtls_asn1_get_mpi(&next, end, first) == 0 &&
           mbedtls_asn1_get_mpi(&next, end, second) == 0 && next == end;
}
