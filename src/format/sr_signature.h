// SPDX-License-Identifier: Apache-2.0
/** @file
 * The signature over a bundle's manifest: ECDSA on P-256 with SHA-256.
 *
 * Verified by the crypto library of the platform: mbedTLS 3 under ESP-IDF 5, PSA under ESP-IDF 6 and on Linux.
 */
#pragma once

#include "format/sr_bundle.h"

#define SR_SIGNATURE_POINT_SIZE  65u /**< Uncompressed public key: 04, X, Y. */
#define SR_SIGNATURE_KEY_ID_SIZE 8u

/** A public key, read once. */
typedef struct sr_signature_public_key {
    uint8_t point[SR_SIGNATURE_POINT_SIZE];
    uint8_t id[SR_SIGNATURE_KEY_ID_SIZE];
} sr_signature_public_key_t;

/** The signature block after a manifest, decoded. */
typedef struct sr_signature {
    bool is_signed;
    uint8_t key_id[SR_SIGNATURE_KEY_ID_SIZE];
    uint8_t rs[64]; /**< r and s, big-endian. */
} sr_signature_t;

/**
 * Reads a public key in PEM ("BEGIN PUBLIC KEY", SubjectPublicKeyInfo as OpenSSL and espsecure write it).
 * Own decoder of that one form: its DER prefix is constant for P-256, and ESP-IDF 6 no longer offers a PEM parser that
 * works without heap.
 * @param pem Zero-terminated.
 * @return OK, BAD_KEY or CRYPTO_FAILED.
 */
sr_bundle_status_t sr_signature_public_key_read(const char *pem, sr_signature_public_key_t *key);

/** Decodes a signature block. @return OK or BAD_SIGNATURE. */
sr_bundle_status_t sr_signature_parse(const uint8_t block[SR_BUNDLE_SIGNATURE_SIZE], sr_signature_t *signature);

/**
 * Verifies the signature over a manifest's digest.
 * @param digest SHA-256 of the manifest.
 * @param signature Of a signed bundle.
 * @return OK, NOT_SIGNED, OTHER_KEY, BAD_SIGNATURE or CRYPTO_FAILED.
 */
sr_bundle_status_t sr_signature_verify(const uint8_t digest[SR_SHA256_SIZE], const sr_signature_t *signature,
                                       const sr_signature_public_key_t *key);
