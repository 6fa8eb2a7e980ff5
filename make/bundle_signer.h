// SPDX-License-Identifier: Apache-2.0
/** @file
 * Keys and signatures of bundles: ECDSA on P-256, with keys in PEM as OpenSSL writes them.
 */
#pragma once

#include "format/sr_signature.h"

#include <stddef.h>
#include <stdint.h>

#define BUNDLE_PEM_SIZE 512u /**< Enough for either key, with its terminating zero. */

/**
 * Makes a new key pair.
 * @param[out] private_pem SEC1 ("BEGIN EC PRIVATE KEY"), as `openssl ecparam -genkey` makes it. Not encrypted.
 * @param[out] public_pem SubjectPublicKeyInfo ("BEGIN PUBLIC KEY"), as `openssl ec -pubout` makes it.
 * @return OK or CRYPTO_FAILED.
 */
sr_bundle_status_t bundle_keygen(char private_pem[BUNDLE_PEM_SIZE], char public_pem[BUNDLE_PEM_SIZE]);

/**
 * The public half of a private key.
 * @param private_pem SEC1 or PKCS#8, not encrypted.
 * @param[out] public_pem As bundle_keygen() writes it.
 * @return OK, CRYPTO_FAILED, or BAD_KEY if this is no private key on P-256.
 */
sr_bundle_status_t bundle_public_half(const char *private_pem, char public_pem[BUNDLE_PEM_SIZE]);

/**
 * The digest to sign: SHA-256 of the manifest.
 * @param size Of @p bundle: all of the file.
 * @return OK, CRYPTO_FAILED, or the status of sr_bundle_parse() if this is not a bundle.
 */
sr_bundle_status_t bundle_digest(const uint8_t *bundle, size_t size, uint8_t digest[SR_SHA256_SIZE]);

/**
 * Signs a bundle in place, and replaces any signature it had. Deterministic (RFC 6979).
 * @param private_pem SEC1 or PKCS#8, not encrypted.
 * @return OK, BAD_KEY, CRYPTO_FAILED, or why this is no bundle.
 */
sr_bundle_status_t bundle_sign(uint8_t *bundle, size_t size, const char *private_pem);

/**
 * Puts a signature over bundle_digest(), which was made elsewhere, for example in an HSM, into a bundle. The bundle is
 * not changed if the signature is not that of this key.
 * @param signature DER (SEQUENCE of r and s), or r and s of 32 bytes each, big-endian.
 * @return OK, BAD_SIGNATURE, CRYPTO_FAILED, or why this is no bundle.
 */
sr_bundle_status_t bundle_set_signature(uint8_t *bundle, size_t size, const sr_signature_public_key_t *key,
                                        const uint8_t *signature, size_t length);

/**
 * Checks all of a bundle but the chunks' data: manifest, length of the file, signature.
 * @param key NULL: the signature is not verified, and need not be there.
 */
sr_bundle_status_t bundle_verify(const uint8_t *bundle, size_t size, const sr_signature_public_key_t *key);
