// SPDX-License-Identifier: Apache-2.0
// Needs of the crypto library what ESP-IDF has on by default: CONFIG_MBEDTLS_ECP_DP_SECP256R1_ENABLED and
// CONFIG_MBEDTLS_ECDSA_C. Without them this file does not compile (ESP-IDF 5), or refuses every key (ESP-IDF 6).
#include "format/sr_signature.h"

#include "format/sr_bytes.h"

#include <string.h>

#ifdef SR_SHA256_WITH_MBEDTLS
#define SR_SIGNATURE_WITH_MBEDTLS 1
#endif

#ifdef SR_SIGNATURE_WITH_MBEDTLS
#include "mbedtls/ecdsa.h"
#include "mbedtls/ecp.h"
#else
#include "psa/crypto.h"
#endif

#define COORDINATE_SIZE 32u
#define DER_PREFIX_SIZE 26u
#define DER_SIZE        (DER_PREFIX_SIZE + SR_SIGNATURE_POINT_SIZE)
#define BASE64_GROUPS   ((DER_SIZE + 2u) / 3u)
#define BASE64_SYMBOLS  (4u * BASE64_GROUPS)
#define BASE64_PADDING  (3u * BASE64_GROUPS - DER_SIZE)

// Fields of the signature block.
#define BLOCK_KIND     0u
#define BLOCK_RESERVED 2u
#define BLOCK_KEY_ID   8u
#define BLOCK_RS       16u
#define KIND_UNSIGNED  0u
#define KIND_ECDSA     1u

static const char pem_begin[] = "-----BEGIN PUBLIC KEY-----";
static const char pem_end[] = "-----END PUBLIC KEY-----";

/** SubjectPublicKeyInfo up to the point: id-ecPublicKey, prime256v1, bit string. */
static const uint8_t der_prefix[DER_PREFIX_SIZE] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

#ifdef SR_SIGNATURE_WITH_MBEDTLS

static int load_point(mbedtls_ecp_group *group, mbedtls_ecp_point *point, const uint8_t *bytes)
{
    int error = mbedtls_ecp_group_load(group, MBEDTLS_ECP_DP_SECP256R1);
    if (error == 0) {
        error = mbedtls_ecp_point_read_binary(group, point, bytes, SR_SIGNATURE_POINT_SIZE);
    }
    return error != 0 ? error : mbedtls_ecp_check_pubkey(group, point);
}

static sr_bundle_status_t library_check_point(const uint8_t *bytes)
{
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    const int error = load_point(&group, &point, bytes);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
    if (error == MBEDTLS_ERR_ECP_INVALID_KEY || error == MBEDTLS_ERR_ECP_BAD_INPUT_DATA) {
        return SR_BUNDLE_BAD_KEY;
    }
    return error == 0 ? SR_BUNDLE_OK : SR_BUNDLE_CRYPTO_FAILED;
}

static sr_bundle_status_t library_verify(const uint8_t *digest, const uint8_t *rs, const uint8_t *bytes)
{
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi r;
    mbedtls_mpi s;
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    int error = load_point(&group, &point, bytes);
    if (error == 0) {
        error = mbedtls_mpi_read_binary(&r, rs, COORDINATE_SIZE);
    }
    if (error == 0) {
        error = mbedtls_mpi_read_binary(&s, rs + COORDINATE_SIZE, COORDINATE_SIZE);
    }
    if (error == 0) {
        error = mbedtls_ecdsa_verify(&group, digest, SR_SHA256_SIZE, &point, &r, &s);
    }
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
    if (error == MBEDTLS_ERR_ECP_VERIFY_FAILED) {
        return SR_BUNDLE_BAD_SIGNATURE;
    }
    return error == 0 ? SR_BUNDLE_OK : SR_BUNDLE_CRYPTO_FAILED;
}

#else

static psa_status_t import_point(const uint8_t *bytes, psa_key_id_t *key)
{
    // Calls after the first cost nothing, and it is not certain that anybody else has made the first.
    const psa_status_t status = psa_crypto_init();
    if (status != PSA_SUCCESS) {
        return status;
    }
    psa_key_attributes_t attributes = psa_key_attributes_init();
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, 256);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    return psa_import_key(&attributes, bytes, SR_SIGNATURE_POINT_SIZE, key);
}

static sr_bundle_status_t library_check_point(const uint8_t *bytes)
{
    psa_key_id_t key = 0;
    const psa_status_t status = import_point(bytes, &key);
    (void)psa_destroy_key(key);
    if (status == PSA_ERROR_INVALID_ARGUMENT) {
        return SR_BUNDLE_BAD_KEY;
    }
    return status == PSA_SUCCESS ? SR_BUNDLE_OK : SR_BUNDLE_CRYPTO_FAILED;
}

static sr_bundle_status_t library_verify(const uint8_t *digest, const uint8_t *rs, const uint8_t *bytes)
{
    psa_key_id_t key = 0;
    psa_status_t status = import_point(bytes, &key);
    if (status == PSA_SUCCESS) {
        status = psa_verify_hash(key, PSA_ALG_ECDSA(PSA_ALG_SHA_256), digest, SR_SHA256_SIZE, rs, 2 * COORDINATE_SIZE);
    }
    (void)psa_destroy_key(key);
    if (status == PSA_ERROR_INVALID_SIGNATURE) {
        return SR_BUNDLE_BAD_SIGNATURE;
    }
    return status == PSA_SUCCESS ? SR_BUNDLE_OK : SR_BUNDLE_CRYPTO_FAILED;
}

#endif

/** Value of a base64 symbol, or -1. */
static int base64_value(char symbol)
{
    static const char symbols[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = symbol != '\0' ? strchr(symbols, symbol) : NULL;
    return found != NULL ? (int)(found - symbols) : -1;
}

static bool is_space(char symbol)
{
    return symbol == ' ' || symbol == '\t' || symbol == '\r' || symbol == '\n';
}

/** Decodes what stands between the markers: such a key has one length and one padding only. */
static bool decode_pem(const char *pem, uint8_t der[3 * BASE64_GROUPS])
{
    const char *text = strstr(pem, pem_begin);
    if (text == NULL) {
        return false;
    }
    uint32_t group = 0;
    uint32_t symbols = 0;
    for (text += strlen(pem_begin); *text != '-'; text++) {
        if (is_space(*text)) {
            continue;
        }
        const bool padding = symbols >= BASE64_SYMBOLS - BASE64_PADDING;
        const int value = padding ? (*text == '=' ? 0 : -1) : base64_value(*text);
        if (value < 0 || symbols == BASE64_SYMBOLS) {
            return false;
        }
        group = group << 6 | (uint32_t)value;
        symbols++;
        if (symbols % 4 == 0) {
            uint8_t *out = der + symbols / 4 * 3 - 3;
            out[0] = (uint8_t)(group >> 16);
            out[1] = (uint8_t)(group >> 8);
            out[2] = (uint8_t)group;
        }
    }
    return symbols == BASE64_SYMBOLS && strncmp(text, pem_end, strlen(pem_end)) == 0;
}

sr_bundle_status_t sr_signature_public_key_read(const char *pem, sr_signature_public_key_t *key)
{
    uint8_t der[3 * BASE64_GROUPS];
    // The bits past the key's end, which the padding leaves unused, must be zero.
    if (!decode_pem(pem, der) || memcmp(der, der_prefix, DER_PREFIX_SIZE) != 0 || der[DER_PREFIX_SIZE] != 0x04 ||
        der[DER_SIZE] != 0 || der[DER_SIZE + 1] != 0) {
        return SR_BUNDLE_BAD_KEY;
    }
    memcpy(key->point, der + DER_PREFIX_SIZE, SR_SIGNATURE_POINT_SIZE);

    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, key->point, SR_SIGNATURE_POINT_SIZE);
    if (sr_sha256_finish(&sha, digest) != 0) {
        return SR_BUNDLE_CRYPTO_FAILED;
    }
    memcpy(key->id, digest, SR_SIGNATURE_KEY_ID_SIZE);
    return library_check_point(key->point);
}

sr_bundle_status_t sr_signature_parse(const uint8_t block[SR_BUNDLE_SIGNATURE_SIZE], sr_signature_t *signature)
{
    memset(signature, 0, sizeof(*signature));
    const uint16_t kind = sr_bytes_get_le16(block + BLOCK_KIND);
    if (kind == KIND_UNSIGNED) {
        const bool clean = sr_bytes_are_zero(block, SR_BUNDLE_SIGNATURE_SIZE);
        return clean ? SR_BUNDLE_OK : SR_BUNDLE_BAD_SIGNATURE;
    }
    if (kind != KIND_ECDSA || !sr_bytes_are_zero(block + BLOCK_RESERVED, BLOCK_KEY_ID - BLOCK_RESERVED)) {
        return SR_BUNDLE_BAD_SIGNATURE;
    }
    signature->is_signed = true;
    memcpy(signature->key_id, block + BLOCK_KEY_ID, SR_SIGNATURE_KEY_ID_SIZE);
    memcpy(signature->rs, block + BLOCK_RS, sizeof(signature->rs));
    return SR_BUNDLE_OK;
}

sr_bundle_status_t sr_signature_verify(const uint8_t digest[SR_SHA256_SIZE], const sr_signature_t *signature,
                                       const sr_signature_public_key_t *key)
{
    if (!signature->is_signed) {
        return SR_BUNDLE_NOT_SIGNED;
    }
    if (memcmp(signature->key_id, key->id, SR_SIGNATURE_KEY_ID_SIZE) != 0) {
        return SR_BUNDLE_OTHER_KEY;
    }
    return library_verify(digest, signature->rs, key->point);
}
