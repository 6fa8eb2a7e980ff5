// SPDX-License-Identifier: Apache-2.0
#include "make/signature_block.h"

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "format/sr_digest.h"
#include "format/sr_region.h"
#include "make/der_pair.h"
#include "make/dummy_image.h"

#include "mbedtls/bignum.h"
#include "psa/crypto.h"

#include <string.h>

#define MAGIC         0xE7u
#define IMAGE_DIGEST  4u
#define RSA_SIGNATURE 812u
#define CRC           1196u
#define RSA_BYTES     384u
#define RSA_KEY       776u
#define EXPONENT      384u // offsets in the key
#define R_SQUARED     388u
#define N_INVERSE     772u
#define MAX_PUBLIC    512u

static bool is_rsa(const signature_block_t *block)
{
    return block->scheme == SR_SECURE_BOOT_RSA_3072;
}

static bool is_wide(const signature_block_t *block)
{
    return block->scheme == SR_SECURE_BOOT_ECDSA_P384;
}

static size_t curve_bytes(const signature_block_t *block)
{
    return block->scheme == SR_SECURE_BOOT_ECDSA_P192 ? 24 : is_wide(block) ? 48 : 32;
}

static uint32_t digest_size(const signature_block_t *block)
{
    return is_wide(block) ? SR_SECURE_BOOT_MAX_DIGEST : SR_SHA256_SIZE;
}

static uint32_t key_size(const signature_block_t *block)
{
    return is_rsa(block) ? RSA_KEY : is_wide(block) ? 97u : 65u;
}

static psa_algorithm_t algorithm_of(sr_secure_boot_scheme_t scheme)
{
    return scheme == SR_SECURE_BOOT_RSA_3072     ? PSA_ALG_RSA_PSS(PSA_ALG_SHA_256)
           : scheme == SR_SECURE_BOOT_ECDSA_P384 ? PSA_ALG_ECDSA(PSA_ALG_SHA_384)
                                                 : PSA_ALG_ECDSA(PSA_ALG_SHA_256);
}

uint32_t signature_block_new_key(sr_secure_boot_scheme_t scheme)
{
    const signature_block_t block = {.scheme = scheme};
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_key_id_t key = 0;
    psa_set_key_type(&attributes,
                     is_rsa(&block) ? PSA_KEY_TYPE_RSA_KEY_PAIR : PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, is_rsa(&block) ? 8u * RSA_BYTES : 8u * curve_bytes(&block));
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_SIGN_HASH);
    psa_set_key_algorithm(&attributes, algorithm_of(scheme));
    const bool made = psa_crypto_init() == PSA_SUCCESS && psa_generate_key(&attributes, &key) == PSA_SUCCESS;
    return made ? (uint32_t)key : 0;
}

/** Blocks have numbers with the lowest byte first. */
static void reverse(const uint8_t *in, size_t length, uint8_t *out)
{
    for (size_t i = 0; i < length; i++) {
        out[i] = in[length - 1 - i];
    }
}

/** What the chip's hardware wants beside n: R^2 mod n, with R = 2^3072. */
static bool write_r_squared(const mbedtls_mpi *n, uint8_t *out)
{
    uint8_t bytes[RSA_BYTES];
    mbedtls_mpi r;
    mbedtls_mpi_init(&r);
    const bool good = mbedtls_mpi_lset(&r, 1) == 0 && mbedtls_mpi_shift_l(&r, 2 * 8 * RSA_BYTES) == 0 &&
                      mbedtls_mpi_mod_mpi(&r, &r, n) == 0 && mbedtls_mpi_write_binary(&r, bytes, RSA_BYTES) == 0;
    mbedtls_mpi_free(&r);
    reverse(bytes, RSA_BYTES, out);
    return good;
}

/** And -1/n modulo 2^32, by Newton's iteration. */
static uint32_t minus_inverse(uint32_t n)
{
    uint32_t inverse = n;
    for (unsigned i = 0; i < 5; i++) {
        inverse *= 2u - n * inverse;
    }
    return 0u - inverse;
}

static bool write_rsa(const uint8_t *der, size_t length, uint8_t *out)
{
    uint8_t bytes[RSA_BYTES];
    uint8_t exponent[4];
    mbedtls_mpi n;
    mbedtls_mpi e;
    mbedtls_mpi_init(&n);
    mbedtls_mpi_init(&e);
    const bool read = der_pair_read(der, length, &n, &e) && mbedtls_mpi_write_binary(&n, bytes, sizeof(bytes)) == 0 &&
                      mbedtls_mpi_write_binary(&e, exponent, sizeof(exponent)) == 0 &&
                      write_r_squared(&n, out + R_SQUARED);
    mbedtls_mpi_free(&e);
    mbedtls_mpi_free(&n);
    if (read) {
        reverse(bytes, RSA_BYTES, out);
        reverse(exponent, sizeof(exponent), out + EXPONENT);
        sr_bytes_put_le32(out + N_INVERSE, minus_inverse(sr_bytes_get_le32(out)));
    }
    return read;
}

static bool write_public(const signature_block_t *block, uint8_t *out)
{
    uint8_t public[MAX_PUBLIC];
    size_t length = 0;
    if (psa_export_public_key(block->private, public, sizeof(public), &length) != PSA_SUCCESS) {
        return false;
    }
    if (is_rsa(block)) {
        return write_rsa(public, length, out);
    }
    const size_t half = curve_bytes(block);
    reverse(public + 1, half, out + 1);
    reverse(public + 1 + half, half, out + 1 + half);
    return length == 1 + 2 * half;
}

/* A curve's number comes first in its key. */
static bool write_key(const signature_block_t *block, uint8_t *key)
{
    memset(key, 0, key_size(block));
    if (block->private == 0) {
        dummy_image_fill(key, key_size(block), 1000u + block->key);
        key[1] = block->key;
    } else if (!write_public(block, key)) {
        return false;
    }
    if (!is_rsa(block)) {
        key[0] = block->scheme == SR_SECURE_BOOT_ECDSA_P192 ? 1 : is_wide(block) ? 3 : 2;
    }
    return true;
}

static bool write_signature(const signature_block_t *block, const uint8_t *digest, uint8_t *out)
{
    const size_t half = is_rsa(block) ? RSA_BYTES : curve_bytes(block);
    uint8_t bytes[RSA_BYTES];
    size_t length = 0;
    if (block->private == 0) {
        dummy_image_fill(out, half, 2000u + block->key);
        return true;
    }
    if (psa_sign_hash(block->private, algorithm_of(block->scheme), digest, digest_size(block), bytes, sizeof(bytes),
                      &length) != PSA_SUCCESS) {
        return false;
    }
    bytes[length - 1] ^= block->forged ? 1 : 0;
    for (size_t at = 0; at < length; at += half) {
        reverse(bytes + at, half, out + at);
    }
    return true;
}

static bool write_digest(const signature_block_t *block, const uint8_t *image, size_t length, uint8_t *out)
{
    size_t written = 0;
    const psa_algorithm_t algorithm = is_wide(block) ? PSA_ALG_SHA_384 : PSA_ALG_SHA_256;
    const bool hashed = psa_crypto_init() == PSA_SUCCESS &&
                        psa_hash_compute(algorithm, image, length, out, digest_size(block), &written) == PSA_SUCCESS;
    out[0] ^= block->other_image ? 1 : 0;
    return hashed;
}

static bool write_block(const signature_block_t *block, const uint8_t *image, size_t length, uint8_t *out)
{
    const uint32_t key = IMAGE_DIGEST + digest_size(block);
    memset(out, 0, SR_SECURE_BOOT_BLOCK_SIZE);
    out[0] = MAGIC;
    out[1] = is_rsa(block) ? 2 : 3;
    out[2] = is_wide(block) ? 1 : 0;
    if (!write_digest(block, image, length, out + IMAGE_DIGEST) || !write_key(block, out + key) ||
        !write_signature(block, out + IMAGE_DIGEST, out + (is_rsa(block) ? RSA_SIGNATURE : key + key_size(block)))) {
        return false;
    }
    sr_bytes_put_le32(out + CRC, sr_crc32(0, out, CRC));
    if (block->torn) {
        memset(out + 1024, 0xFF, SR_SECURE_BOOT_BLOCK_SIZE - 1024);
    }
    return true;
}

image_write_status_t signature_block_append(uint8_t *image, size_t *length, size_t capacity,
                                            const signature_block_t *blocks, unsigned count)
{
    const size_t start = (*length + SR_SECTOR_SIZE - 1) / SR_SECTOR_SIZE * SR_SECTOR_SIZE;
    if (count > SR_SECURE_BOOT_MAX_BLOCKS) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    if (start + SR_SECTOR_SIZE > capacity) {
        return IMAGE_WRITE_NO_ROOM;
    }
    memset(image + *length, 0xFF, start + SR_SECTOR_SIZE - *length);
    for (unsigned i = 0; i < count; i++) {
        if (!write_block(&blocks[i], image, start, image + start + i * SR_SECURE_BOOT_BLOCK_SIZE)) {
            return IMAGE_WRITE_CRYPTO_FAILED;
        }
    }
    *length = start + SR_SECTOR_SIZE;
    return IMAGE_WRITE_OK;
}

bool signature_block_key(const signature_block_t *block, uint8_t digest[SR_SHA256_SIZE])
{
    uint8_t key[RSA_KEY];
    return write_key(block, key) && sr_digest(key, key_size(block), digest);
}
