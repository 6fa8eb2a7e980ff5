// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_signature.h"

#include "format/sr_bytes.h"
#include "format/sr_region.h"
#include "format/sr_secure_boot.h"
#include "psa/crypto.h"
#include "sim/boot/boot_signature_v1.h"

#include <stdio.h>
#include <string.h>

#define RSA_BYTES     384u
#define RSA_KEY       36u // offsets in a block
#define RSA_EXPONENT  420u
#define RSA_SIGNATURE 812u
#define IMAGE_DIGEST  4u
#define KEY_SIZE      400u // room for a public key as the library takes it
#define COORDINATES   (2u * 48u)
#define PIECE         4096u

/** An image in the flash. */
typedef struct image {
    const boot_t *boot;
    uint32_t address;
} image_t;

/** A signature, as the library takes it. */
typedef struct signature {
    psa_key_type_t type;
    psa_algorithm_t algorithm;
    uint8_t key[KEY_SIZE];
    size_t key_size;
    uint8_t bytes[RSA_BYTES];
    size_t size;
} signature_t;

static int read_image(void *context, uint32_t offset, void *out, size_t length)
{
    const image_t *image = context;
    boot_read(image->boot, image->address + offset, out, (uint32_t)length);
    return 0;
}

bool boot_burnt_keys(const sr_chip_t *chip, const efuse_set_t *burnt, sr_secure_boot_keys_t *keys)
{
    bool any = false;
    *keys = sr_secure_boot_no_keys(chip);
    for (unsigned i = 0; i < keys->count; i++) {
        const efuse_key_t *key = efuse_set_key(burnt, (efuse_purpose_t)(EFUSE_PURPOSE_DIGEST_0 + i));
        if (key != NULL) {
            any = true;
            keys->list[i].burnt = key->readable;
            keys->list[i].revoked = burnt->revoked[i];
            memcpy(keys->list[i].digest, key->bytes, sizeof(keys->list[i].digest));
        }
    }
    return any;
}

void boot_revoke(efuse_set_t *burnt, uint8_t revoked)
{
    for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
        burnt->revoked[i] = burnt->revoked[i] || ((unsigned)revoked >> i & 1u) != 0;
    }
}

/** Blocks have numbers with the lowest byte first. */
static void reverse(const uint8_t *in, size_t length, uint8_t *out)
{
    for (size_t i = 0; i < length; i++) {
        out[i] = in[length - 1 - i];
    }
}

/** DER: SEQUENCE { INTEGER n, INTEGER e }. */
static void read_rsa(const uint8_t *block, signature_t *out)
{
    static const uint8_t start[] = {0x30, 0x82, 0, 0, 0x02, 0x82, 0x01, 0x81, 0x00};
    const uint32_t exponent = sr_bytes_get_le32(block + RSA_EXPONENT);
    uint8_t *der = out->key;
    size_t size = sizeof(start);
    memcpy(der, start, size);
    reverse(block + RSA_KEY, RSA_BYTES, der + size);
    size += RSA_BYTES;
    uint8_t length = 1;
    while (length < 5 && (uint64_t)exponent >> (8u * length - 1u) != 0) {
        length++;
    }
    der[size++] = 0x02;
    der[size++] = length;
    for (uint8_t i = length; i > 0; i--) {
        der[size++] = (uint8_t)((uint64_t)exponent >> (8u * (i - 1u)));
    }
    der[2] = (uint8_t)((size - 4) >> 8);
    der[3] = (uint8_t)(size - 4);
    out->key_size = size;
    out->type = PSA_KEY_TYPE_RSA_PUBLIC_KEY;
    out->algorithm = PSA_ALG_RSA_PSS(PSA_ALG_SHA_256);
    reverse(block + RSA_SIGNATURE, RSA_BYTES, out->bytes);
    out->size = RSA_BYTES;
}

/** A point that is not compressed, and r with s. */
static void read_ecdsa(const uint8_t *block, sr_secure_boot_scheme_t scheme, signature_t *out)
{
    const bool wide = scheme == SR_SECURE_BOOT_ECDSA_P384;
    const size_t half = scheme == SR_SECURE_BOOT_ECDSA_P192 ? 24 : wide ? 48 : 32;
    const uint8_t *point = block + IMAGE_DIGEST + (wide ? SR_SECURE_BOOT_MAX_DIGEST : SR_SHA256_SIZE) + 1;
    const uint8_t *rs = point + (wide ? COORDINATES : 64u);
    out->type = PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1);
    out->algorithm = PSA_ALG_ECDSA(wide ? PSA_ALG_SHA_384 : PSA_ALG_SHA_256);
    out->key[0] = 4;
    out->key_size = 1 + 2 * half;
    out->size = 2 * half;
    for (size_t i = 0; i < 2; i++) {
        reverse(point + i * half, half, out->key + 1 + i * half);
        reverse(rs + i * half, half, out->bytes + i * half);
    }
}

static bool verifies(const uint8_t *bytes, const sr_secure_boot_block_t *block)
{
    signature_t signature;
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_key_id_t key = 0;
    if (block->scheme == SR_SECURE_BOOT_RSA_3072) {
        read_rsa(bytes, &signature);
    } else {
        read_ecdsa(bytes, block->scheme, &signature);
    }
    psa_set_key_type(&attributes, signature.type);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, signature.algorithm);
    const bool good = psa_crypto_init() == PSA_SUCCESS &&
                      psa_import_key(&attributes, signature.key, signature.key_size, &key) == PSA_SUCCESS &&
                      psa_verify_hash(key, signature.algorithm, block->image_digest, block->image_digest_size,
                                      signature.bytes, signature.size) == PSA_SUCCESS;
    (void)psa_destroy_key(key);
    return good;
}

static bool has_sha384(const boot_t *boot, uint32_t address, uint32_t length, const uint8_t *digest)
{
    static uint8_t piece[PIECE];
    psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;
    bool fine = psa_crypto_init() == PSA_SUCCESS && psa_hash_setup(&hash, PSA_ALG_SHA_384) == PSA_SUCCESS;
    for (uint32_t done = 0; done < length && fine; done += PIECE) {
        boot_read(boot, address + done, piece, PIECE);
        fine = psa_hash_update(&hash, piece, PIECE) == PSA_SUCCESS;
    }
    return fine && psa_hash_verify(&hash, digest, SR_SECURE_BOOT_MAX_DIGEST) == PSA_SUCCESS;
}

static bool is_of_image(const boot_t *boot, uint32_t address, uint32_t length, const sr_secure_boot_block_t *block)
{
    uint8_t digest[SR_SHA256_SIZE];
    if (block->image_digest_size != SR_SHA256_SIZE) {
        return has_sha384(boot, address, length, block->image_digest);
    }
    return boot_digest(boot, address, length, digest) && memcmp(digest, block->image_digest, sizeof(digest)) == 0;
}

/** The key that verified a block, by its number; of a chip that can have one it is 0. */
static void revoke(const boot_t *boot, sr_secure_boot_keys_t *keys, const sr_secure_boot_block_t *block)
{
    for (unsigned i = 0; i < keys->count; i++) {
        const bool failed =
            keys->list[i].burnt && memcmp(keys->list[i].digest, block->key_digest, keys->digest_size) == 0;
        keys->list[i].revoked = keys->list[i].revoked || failed;
        boot->result->revoked |= (uint8_t)(failed ? 1u << i : 0);
    }
}

/** What becomes of one block; NULL: it is good. */
static const char *fault_of(const boot_t *boot, uint32_t address, uint32_t length, uint32_t place,
                            const sr_secure_boot_block_t *block, sr_secure_boot_status_t *status)
{
    uint8_t bytes[SR_SECURE_BOOT_BLOCK_SIZE];
    if (*status == SR_SECURE_BOOT_OK && !is_of_image(boot, address, length, block)) {
        *status = SR_SECURE_BOOT_OTHER_IMAGE;
    }
    if (*status != SR_SECURE_BOOT_OK) {
        return sr_secure_boot_status_text(*status);
    }
    boot_read(boot, place, bytes, sizeof(bytes));
    return verifies(bytes, block) ? NULL : "carries a signature that is wrong";
}

static void tell(const char *fault, const sr_secure_boot_block_t *block, bool intact, char why[BOOT_SIGNATURE_WHY_SIZE])
{
    (void)snprintf(why, BOOT_SIGNATURE_WHY_SIZE, "%s", fault);
    if (intact) {
        const uint8_t *digest = block->key_digest;
        const size_t used = strlen(why);
        (void)snprintf(why + used, BOOT_SIGNATURE_WHY_SIZE - used, ": %02x%02x%02x%02x%02x%02x%02x%02x", digest[0],
                       digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]);
    }
}

/** Of this chip, after what this boot has revoked by now. @return false if it is not known which keys are burnt. */
static bool keys_of(const boot_t *boot, sr_secure_boot_keys_t *keys)
{
    efuse_set_t burnt = *boot->burnt;
    boot_revoke(&burnt, boot->result->revoked);
    return boot_burnt_keys(boot->chip, &burnt, keys);
}

static bool verify_v1(const boot_t *boot, uint32_t address, uint32_t length, char why[BOOT_SIGNATURE_WHY_SIZE])
{
    const char *fault = boot_signature_v1_fault(boot, address, length);
    tell(fault != NULL ? fault : "", NULL, false, why);
    return fault == NULL;
}

bool boot_signature_good(const boot_t *boot, boot_verifier_t verifier, uint32_t address, uint32_t length,
                         char why[BOOT_SIGNATURE_WHY_SIZE])
{
    sr_secure_boot_keys_t keys;
    if (boot->burnt->secure_boot_v1 && !boot->burnt->secure_boot_v2) {
        return verifier == BOOT_BY_ROM || verify_v1(boot, address, length, why);
    }
    if (!boot->burnt->secure_boot_v2 || !keys_of(boot, &keys)) {
        return true;
    }
    image_t image = {boot, address};
    const sr_reader_t reader = {.context = &image, .read = read_image, .size = UINT32_MAX};
    const sr_image_t parsed = {.length = length};
    const uint32_t padded = (uint32_t)sr_secure_boot_offset(&parsed);
    sr_secure_boot_status_t closest = SR_SECURE_BOOT_NO_BLOCK;
    tell(sr_secure_boot_status_text(closest), NULL, false, why);
    for (uint32_t i = 0; i < keys.count; i++) {
        sr_secure_boot_block_t block;
        sr_secure_boot_status_t status = sr_secure_boot_read(&reader, &parsed, i, &block);
        const bool intact = status == SR_SECURE_BOOT_OK;
        status = intact ? sr_secure_boot_find_key(&keys, block.key_digest) : status;
        const char *fault =
            fault_of(boot, address, padded, address + padded + i * SR_SECURE_BOOT_BLOCK_SIZE, &block, &status);
        if (fault == NULL) {
            return true;
        }
        if (status == SR_SECURE_BOOT_OK && verifier == BOOT_BY_ROM && boot->burnt->aggressive_revoke) {
            fault = "carries a signature that is wrong, and its key is now revoked";
            revoke(boot, &keys, &block);
        }
        if (status == SR_SECURE_BOOT_OK || status > closest) {
            closest = status == SR_SECURE_BOOT_OK ? SR_SECURE_BOOT_OTHER_IMAGE : status;
            tell(fault, &block, intact, why);
        }
    }
    return false;
}
