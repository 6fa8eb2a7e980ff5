// SPDX-License-Identifier: Apache-2.0
#include "make/bundle_signer.h"

#include "make/der_pair.h"

#include "mbedtls/bignum.h"
#include "mbedtls/ecp.h"
#include "mbedtls/pk.h"
#include "mbedtls/version.h"
#include "psa/crypto.h"

#include <string.h>

#define HALF_SIZE  32u
#define RS_SIZE    (2u * HALF_SIZE)
#define KIND_ECDSA 1u

static int random_bytes(void *context, unsigned char *out, size_t length)
{
    (void)context;
    return psa_generate_random(out, length);
}

/** Checks that all of the bundle is there, and finds the digest of its manifest and its signature block. */
static sr_bundle_status_t open_bundle(const uint8_t *bundle, size_t size, uint8_t digest[SR_SHA256_SIZE],
                                      uint32_t *block_offset)
{
    const uint32_t length = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    sr_bundle_t parsed;
    const sr_bundle_status_t status = sr_bundle_parse(bundle, length, &parsed);
    if (status != SR_BUNDLE_OK) {
        return status;
    }
    if (parsed.bundle_size > length) {
        return SR_BUNDLE_TRUNCATED;
    }
    *block_offset = parsed.manifest_size;
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, bundle, parsed.manifest_size);
    return sr_sha256_finish(&sha, digest) == 0 ? SR_BUNDLE_OK : SR_BUNDLE_CRYPTO_FAILED;
}

sr_bundle_status_t bundle_digest(const uint8_t *bundle, size_t size, uint8_t digest[SR_SHA256_SIZE])
{
    uint32_t block_offset = 0;
    return open_bundle(bundle, size, digest, &block_offset);
}

static bool decode_der(const uint8_t *der, size_t length, uint8_t rs[RS_SIZE])
{
    mbedtls_mpi r;
    mbedtls_mpi s;
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    const bool decoded = der_pair_read(der, length, &r, &s) && mbedtls_mpi_write_binary(&r, rs, HALF_SIZE) == 0 &&
                         mbedtls_mpi_write_binary(&s, rs + HALF_SIZE, HALF_SIZE) == 0;
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    return decoded;
}

static sr_bundle_status_t verify_rs(const uint8_t *digest, const sr_signature_public_key_t *key, const uint8_t *rs)
{
    sr_signature_t signature = {.is_signed = true};
    memcpy(signature.key_id, key->id, sizeof(signature.key_id));
    memcpy(signature.rs, rs, sizeof(signature.rs));
    return sr_signature_verify(digest, &signature, key);
}

sr_bundle_status_t bundle_set_signature(uint8_t *bundle, size_t size, const sr_signature_public_key_t *key,
                                        const uint8_t *signature, size_t length)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint32_t block_offset = 0;
    sr_bundle_status_t status = open_bundle(bundle, size, digest, &block_offset);
    if (status != SR_BUNDLE_OK) {
        return status;
    }
    // DER of 64 bytes is possible, if rare: the interpretation that verifies counts.
    uint8_t rs[RS_SIZE];
    status = SR_BUNDLE_BAD_SIGNATURE;
    if (length == RS_SIZE) {
        memcpy(rs, signature, RS_SIZE);
        status = verify_rs(digest, key, rs);
    }
    if (status == SR_BUNDLE_BAD_SIGNATURE && decode_der(signature, length, rs)) {
        status = verify_rs(digest, key, rs);
    }
    if (status == SR_BUNDLE_OK) {
        uint8_t *block = bundle + block_offset;
        memset(block, 0, SR_BUNDLE_SIGNATURE_SIZE);
        block[0] = KIND_ECDSA;
        memcpy(block + 8, key->id, SR_SIGNATURE_KEY_ID_SIZE);
        memcpy(block + 16, rs, RS_SIZE);
    }
    return status;
}

static sr_bundle_status_t parse_private(mbedtls_pk_context *pk, const char *pem)
{
    const unsigned char *bytes = (const unsigned char *)pem;
    const size_t length = strlen(pem) + 1; // The library counts the terminating zero.
#if MBEDTLS_VERSION_MAJOR >= 3
    const int error = mbedtls_pk_parse_key(pk, bytes, length, NULL, 0, random_bytes, NULL);
#else
    const int error = mbedtls_pk_parse_key(pk, bytes, length, NULL, 0);
#endif
    return error == 0 ? SR_BUNDLE_OK : SR_BUNDLE_BAD_KEY;
}

/** Signs with the EC key: deterministic, because the library is built so by default. */
static int sign_digest(mbedtls_pk_context *pk, const uint8_t *digest, uint8_t *der, size_t *length)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_sign(pk, MBEDTLS_MD_SHA256, digest, SR_SHA256_SIZE, der, MBEDTLS_PK_SIGNATURE_MAX_SIZE, length,
                           random_bytes, NULL);
#else
    return mbedtls_pk_sign(pk, MBEDTLS_MD_SHA256, digest, SR_SHA256_SIZE, der, length, random_bytes, NULL);
#endif
}

/** Reading the public half as devices do also checks the curve. */
static sr_bundle_status_t read_public_half(mbedtls_pk_context *pk, char public_pem[BUNDLE_PEM_SIZE],
                                           sr_signature_public_key_t *key)
{
    return mbedtls_pk_write_pubkey_pem(pk, (unsigned char *)public_pem, BUNDLE_PEM_SIZE) == 0
               ? sr_signature_public_key_read(public_pem, key)
               : SR_BUNDLE_BAD_KEY;
}

static sr_bundle_status_t sign_with(mbedtls_pk_context *pk, uint8_t *bundle, size_t size)
{
    char public_pem[BUNDLE_PEM_SIZE];
    sr_signature_public_key_t key;
    sr_bundle_status_t status = read_public_half(pk, public_pem, &key);
    if (status != SR_BUNDLE_OK) {
        return status;
    }
    uint8_t digest[SR_SHA256_SIZE];
    status = bundle_digest(bundle, size, digest);
    if (status != SR_BUNDLE_OK) {
        return status;
    }
    uint8_t der[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t length = 0;
    if (sign_digest(pk, digest, der, &length) != 0) {
        return SR_BUNDLE_CRYPTO_FAILED;
    }
    return bundle_set_signature(bundle, size, &key, der, length);
}

sr_bundle_status_t bundle_sign(uint8_t *bundle, size_t size, const char *private_pem)
{
    if (psa_crypto_init() != PSA_SUCCESS) {
        return SR_BUNDLE_CRYPTO_FAILED;
    }
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    sr_bundle_status_t status = parse_private(&pk, private_pem);
    if (status == SR_BUNDLE_OK) {
        status = sign_with(&pk, bundle, size);
    }
    mbedtls_pk_free(&pk);
    return status;
}

sr_bundle_status_t bundle_public_half(const char *private_pem, char public_pem[BUNDLE_PEM_SIZE])
{
    if (psa_crypto_init() != PSA_SUCCESS) {
        return SR_BUNDLE_CRYPTO_FAILED;
    }
    mbedtls_pk_context pk;
    sr_signature_public_key_t key;
    mbedtls_pk_init(&pk);
    sr_bundle_status_t status = parse_private(&pk, private_pem);
    if (status == SR_BUNDLE_OK) {
        status = read_public_half(&pk, public_pem, &key);
    }
    mbedtls_pk_free(&pk);
    return status;
}

sr_bundle_status_t bundle_keygen(char private_pem[BUNDLE_PEM_SIZE], char public_pem[BUNDLE_PEM_SIZE])
{
    if (psa_crypto_init() != PSA_SUCCESS) {
        return SR_BUNDLE_CRYPTO_FAILED;
    }
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    const bool made = mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
                      mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(pk), random_bytes, NULL) == 0 &&
                      mbedtls_pk_write_key_pem(&pk, (unsigned char *)private_pem, BUNDLE_PEM_SIZE) == 0 &&
                      mbedtls_pk_write_pubkey_pem(&pk, (unsigned char *)public_pem, BUNDLE_PEM_SIZE) == 0;
    mbedtls_pk_free(&pk);
    return made ? SR_BUNDLE_OK : SR_BUNDLE_CRYPTO_FAILED;
}

sr_bundle_status_t bundle_verify(const uint8_t *bundle, size_t size, const sr_signature_public_key_t *key)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint32_t block_offset = 0;
    sr_signature_t signature;
    sr_bundle_status_t status = open_bundle(bundle, size, digest, &block_offset);
    if (status == SR_BUNDLE_OK) {
        status = sr_signature_parse(bundle + block_offset, &signature);
    }
    if (status == SR_BUNDLE_OK && key != NULL) {
        status = sr_signature_verify(digest, &signature, key);
    }
    return status;
}
