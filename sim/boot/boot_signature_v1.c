// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_signature_v1.h"

#include "format/sr_bytes.h"
#include "psa/crypto.h"

#include <mbedtls/ecp.h>
#include <string.h>

#define KEY_SIZE       64u // x and y, the highest byte first
#define SIGNATURE_SIZE 64u // r and s
#define BLOCK_SIZE     68u // a version, and the signature
#define MOST_KEYS      4u
#define MOST_LOADERS   8u // an exploration has two, and torn ones in between

/** What is a point of the curve in the bootloader: of other bytes one in 2^256 is. */
typedef struct keys {
    uint8_t loader[SR_SHA256_SIZE]; /**< Which bootloader was searched. */
    unsigned count;
    uint8_t list[MOST_KEYS][1 + KEY_SIZE]; /**< As points that are not compressed. */
} keys_t;

static bool is_point(mbedtls_ecp_group *group, const uint8_t point[1 + KEY_SIZE])
{
    mbedtls_ecp_point read;
    mbedtls_ecp_point_init(&read);
    const bool is = mbedtls_ecp_point_read_binary(group, &read, point, 1 + KEY_SIZE) == 0 &&
                    mbedtls_ecp_check_pubkey(group, &read) == 0;
    mbedtls_ecp_point_free(&read);
    return is;
}

/** The key lies somewhere among the constants. */
static void search(const boot_t *boot, keys_t *keys)
{
    const boot_loader_t *loader = &boot->loader;
    uint32_t room = loader->length;
    const uint8_t *image = boot_view(boot, loader->offset, &room);
    mbedtls_ecp_group group;
    mbedtls_ecp_group_init(&group);
    const bool loaded = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) == 0;
    for (uint32_t i = sizeof(loader->header); loaded && i + KEY_SIZE <= room && keys->count < MOST_KEYS; i++) {
        uint8_t *point = keys->list[keys->count];
        point[0] = 4;
        memcpy(point + 1, image + i, KEY_SIZE);
        keys->count += is_point(&group, point);
    }
    mbedtls_ecp_group_free(&group);
}

/** Each bootloader is searched once, which takes a while; what forked processes know by then they need not search. */
static const keys_t *find_keys(const boot_t *boot)
{
    static keys_t known[MOST_LOADERS];
    static unsigned searched;
    const uint8_t *loader = boot->result->bootloader.sha256;
    for (unsigned i = 0; i < MOST_LOADERS && i < searched; i++) {
        if (memcmp(known[i].loader, loader, sizeof(known[i].loader)) == 0) {
            return &known[i];
        }
    }
    keys_t *keys = &known[searched++ % MOST_LOADERS];
    *keys = (keys_t){0};
    memcpy(keys->loader, loader, sizeof(keys->loader));
    search(boot, keys);
    return keys;
}

static bool verifies(const uint8_t point[1 + KEY_SIZE], const uint8_t digest[SR_SHA256_SIZE],
                     const uint8_t signature[SIGNATURE_SIZE])
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_key_id_t key = 0;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    const bool good =
        psa_crypto_init() == PSA_SUCCESS && psa_import_key(&attributes, point, 1 + KEY_SIZE, &key) == PSA_SUCCESS &&
        psa_verify_hash(key, PSA_ALG_ECDSA(PSA_ALG_SHA_256), digest, SR_SHA256_SIZE, signature, SIGNATURE_SIZE) ==
            PSA_SUCCESS;
    (void)psa_destroy_key(key);
    return good;
}

const char *boot_signature_v1_fault(const boot_t *boot, uint32_t address, uint32_t length)
{
    uint8_t block[BLOCK_SIZE];
    uint8_t digest[SR_SHA256_SIZE];
    const keys_t *keys = find_keys(boot);
    if (keys->count == 0) {
        return NULL;
    }
    boot_read(boot, address + length, block, sizeof(block));
    if (sr_bytes_get_le32(block) != 0) {
        return "carries no signature of Secure Boot V1";
    }
    bool good = false;
    const bool hashed = boot_digest(boot, address, length, digest);
    for (unsigned i = 0; i < keys->count && hashed && !good; i++) {
        good = verifies(keys->list[i], digest, block + sizeof(uint32_t));
    }
    return good ? NULL : "carries a signature that is not by the key in the bootloader";
}
