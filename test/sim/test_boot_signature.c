// SPDX-License-Identifier: Apache-2.0
/** @file
 * Secure Boot in the boot model, without a system around it: what ROM and bootloader say of one image with its blocks,
 * whose key is then revoked, and what version 1 of the ESP32 makes of digest and signature.
 */
#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "make/image_writer.h"
#include "make/signature_block.h"
#include "psa/crypto.h"
#include "sim/boot/boot_digest_v1.h"
#include "sim/boot/boot_signature.h"
#include "sim/boot/boot_signature_v1.h"

#include <mbedtls/aes.h>
#include <mbedtls/ecp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FLASH_SIZE  0x10000u
#define PLACE       0x3000u
#define LENGTH      5000u
#define PADDED      0x2000u
#define BLOCK_SIZE  1216u
#define KEYS        4u
#define DIGEST_SIZE 32u

/* n of a key with the exponent 65537, and what espsecure (sign-data --version 2, RSA-3072) makes of the image of this
 * test with it; the lowest byte first. */
static const uint8_t rsa_modulus[] = {
    0x31, 0x0d, 0x64, 0x77, 0x50, 0x21, 0xfb, 0x42, 0x30, 0x80, 0x03, 0xb9, 0x12, 0x42, 0xbf, 0x16, 0x9e, 0xed, 0x55,
    0x0a, 0x23, 0x96, 0x16, 0x61, 0x62, 0xc6, 0x6a, 0x12, 0x34, 0x98, 0x5f, 0xe9, 0x4a, 0x74, 0x92, 0xc5, 0x3b, 0x0e,
    0x0a, 0x24, 0x8b, 0xad, 0x6c, 0xad, 0x22, 0x3d, 0x02, 0x07, 0xe3, 0x3f, 0x3c, 0xd7, 0xa3, 0x0b, 0xaa, 0x99, 0xbe,
    0xcc, 0xab, 0xa0, 0xaf, 0xeb, 0x42, 0x09, 0xda, 0xc1, 0x54, 0xf8, 0x04, 0x84, 0xb0, 0x3c, 0x54, 0x08, 0x07, 0x5f,
    0x3f, 0x3c, 0xd3, 0x1e, 0x63, 0x1b, 0x3e, 0x5b, 0xdd, 0x18, 0x3d, 0x29, 0x35, 0x5a, 0x20, 0x8e, 0xba, 0xfb, 0xd4,
    0x56, 0xb6, 0x22, 0xdc, 0xd3, 0x92, 0x36, 0x26, 0xac, 0x97, 0x94, 0xad, 0x7c, 0x58, 0xfd, 0x18, 0x2b, 0x73, 0xb2,
    0x6e, 0xa3, 0xca, 0x22, 0x6a, 0x1d, 0x69, 0x59, 0xd5, 0x4b, 0x34, 0x86, 0x7a, 0x18, 0xac, 0x0d, 0xc7, 0xf2, 0x76,
    0x21, 0xb7, 0x5e, 0x27, 0x07, 0xe9, 0xbd, 0x76, 0x7a, 0xf5, 0x4f, 0x99, 0xb2, 0xb9, 0x39, 0x72, 0x0a, 0xbc, 0xd6,
    0x45, 0x94, 0x04, 0x57, 0x82, 0x00, 0xb6, 0x31, 0x0b, 0xc4, 0x6f, 0xc7, 0x74, 0xa1, 0xb5, 0x1f, 0x1e, 0x8e, 0xac,
    0x20, 0x89, 0x31, 0xb6, 0x95, 0x4f, 0x52, 0x77, 0x3c, 0x9a, 0x70, 0x86, 0x49, 0x20, 0xc9, 0x26, 0x9a, 0xfa, 0xe0,
    0xd4, 0x98, 0x57, 0xab, 0x9f, 0xf1, 0x41, 0xa7, 0xfc, 0x5e, 0x46, 0xb4, 0xcb, 0x82, 0xb0, 0x35, 0x3d, 0xe4, 0x91,
    0x84, 0x1e, 0x7a, 0xd7, 0x2f, 0xb3, 0x4a, 0xd2, 0x4d, 0x18, 0x9a, 0xda, 0xab, 0xb5, 0x21, 0x00, 0xa6, 0x37, 0x1c,
    0x50, 0x73, 0x61, 0xca, 0xd5, 0xd4, 0xb2, 0xf4, 0x61, 0x15, 0x40, 0xab, 0x47, 0x78, 0xae, 0xfb, 0x3e, 0x15, 0xdb,
    0x8b, 0x45, 0x55, 0x96, 0x88, 0x3e, 0x9b, 0x63, 0x85, 0x64, 0x4e, 0x68, 0xbe, 0xec, 0x47, 0x04, 0x6f, 0xdc, 0xe0,
    0x11, 0xc6, 0x38, 0x79, 0x91, 0x91, 0x72, 0x55, 0xea, 0x68, 0x85, 0x5b, 0xa2, 0x43, 0x99, 0xf6, 0xe4, 0x61, 0xe0,
    0x28, 0x1c, 0xe2, 0x1b, 0x74, 0xc6, 0xd4, 0x43, 0x54, 0xeb, 0x58, 0xa4, 0xbe, 0xac, 0x91, 0x6c, 0x76, 0x1a, 0x69,
    0x71, 0xc7, 0x08, 0x0d, 0xd2, 0x13, 0xe0, 0xe0, 0x46, 0x23, 0xad, 0xee, 0xc4, 0x42, 0xe9, 0xfc, 0x6a, 0xc9, 0x56,
    0x4b, 0xb1, 0x06, 0x46, 0x8e, 0x72, 0x98, 0x9d, 0x13, 0x66, 0x84, 0x72, 0x3d, 0xc5, 0xa4, 0x22, 0x20, 0x3d, 0x1f,
    0x8e, 0x42, 0x9d, 0xa3, 0xa3, 0x41, 0x6c, 0x0c, 0xd0, 0x49, 0xe5, 0x63, 0x3b, 0x93, 0xcc, 0x90, 0x7b, 0xf9, 0xe0,
    0xec, 0xbd, 0xc5, 0xff, 0xf5, 0x3b, 0x1f, 0x3c, 0xc2, 0x00, 0xa5, 0x23, 0x6b, 0x93, 0x32, 0x60, 0xbb, 0x19, 0x24,
    0x4a, 0xfd, 0x7b, 0xda,
};
static const uint8_t rsa_signature[] = {
    0x09, 0x2d, 0x55, 0xa0, 0x3e, 0xd0, 0x38, 0x55, 0x05, 0x97, 0xec, 0x89, 0xe0, 0xb7, 0xaa, 0x7c, 0xbf, 0x67, 0x4a,
    0x38, 0x3e, 0xcd, 0xc9, 0xdc, 0x48, 0x88, 0x94, 0x4c, 0x66, 0xc9, 0x03, 0x04, 0xaf, 0xdb, 0x5a, 0x9b, 0x72, 0xc0,
    0xda, 0xd5, 0xe0, 0x8b, 0xef, 0x5f, 0x70, 0x17, 0xa6, 0x68, 0x7e, 0xea, 0xee, 0xd1, 0x1d, 0xf1, 0xf7, 0x5f, 0x3e,
    0x68, 0xaf, 0xf8, 0x8b, 0xd9, 0x99, 0x7b, 0x30, 0x17, 0x48, 0x8d, 0xc6, 0xf5, 0x7f, 0xf7, 0xba, 0x0f, 0xaf, 0xac,
    0x5c, 0x16, 0x03, 0xda, 0x2f, 0x84, 0xf0, 0x5a, 0xac, 0x64, 0x46, 0x59, 0x62, 0x10, 0x51, 0xd1, 0x4d, 0x42, 0x4d,
    0xf3, 0xde, 0xd5, 0x2c, 0x5b, 0x21, 0x43, 0x7d, 0x3f, 0xfb, 0x7e, 0x22, 0x5d, 0xbb, 0x14, 0x79, 0xc3, 0x70, 0x0a,
    0xc0, 0x85, 0xe4, 0xa3, 0xd5, 0x1e, 0xf1, 0xfb, 0x87, 0x10, 0xe3, 0xf5, 0x1a, 0xb9, 0x96, 0xd3, 0x04, 0x58, 0x85,
    0x0e, 0xa0, 0x7b, 0x62, 0xfb, 0x63, 0xc5, 0x67, 0x55, 0x12, 0xfc, 0xc1, 0x5c, 0x15, 0xe0, 0x95, 0x0a, 0xe5, 0x7c,
    0x7f, 0x21, 0x40, 0x8a, 0xbb, 0x28, 0xb3, 0x2e, 0x08, 0xa9, 0x03, 0x5f, 0x53, 0x54, 0x9e, 0x38, 0x7e, 0x4e, 0xae,
    0xa9, 0x8e, 0xb2, 0x38, 0x5d, 0xd0, 0x31, 0x7a, 0x1a, 0x36, 0xbc, 0xc0, 0x61, 0x7e, 0xfd, 0x3e, 0x72, 0x1b, 0x47,
    0xd9, 0xad, 0x2d, 0xcb, 0x80, 0xd1, 0xb8, 0x31, 0x98, 0x49, 0xa1, 0x85, 0x59, 0xea, 0xc0, 0xc7, 0x08, 0xf7, 0x27,
    0xe3, 0xd9, 0x8b, 0xf9, 0x4c, 0x07, 0xb4, 0x96, 0x06, 0x8d, 0xba, 0x36, 0xc8, 0xd6, 0x57, 0x92, 0x2a, 0xa0, 0xc3,
    0xc3, 0xbd, 0x8c, 0x6f, 0x21, 0xe1, 0x93, 0xb7, 0x08, 0x3f, 0xd0, 0x4f, 0x57, 0xd3, 0x5e, 0x37, 0xd6, 0x7a, 0xfa,
    0xee, 0x22, 0xbd, 0x0c, 0xbb, 0xc0, 0x4c, 0x73, 0x79, 0xe8, 0x59, 0x2b, 0x03, 0x0c, 0xa9, 0xf7, 0x76, 0x32, 0xdf,
    0xff, 0xe8, 0xb7, 0xcc, 0x7a, 0xf4, 0x48, 0xc5, 0xe2, 0xa0, 0x8e, 0x02, 0x08, 0x22, 0x28, 0x5b, 0x75, 0x59, 0x2c,
    0xbc, 0xf1, 0x48, 0xdb, 0xbb, 0xa6, 0xd5, 0x00, 0x7b, 0xfe, 0xa5, 0xdc, 0x83, 0x9b, 0xa8, 0x09, 0x96, 0xa2, 0xe8,
    0x3b, 0x22, 0x4c, 0x4b, 0xfe, 0xc4, 0xcd, 0x66, 0x33, 0x5a, 0x58, 0xcb, 0x59, 0xec, 0x06, 0xca, 0xc6, 0xf7, 0x3d,
    0xf7, 0x97, 0x17, 0x26, 0x12, 0xab, 0x1b, 0x28, 0x3c, 0x8b, 0x40, 0x71, 0xba, 0xe3, 0x42, 0x76, 0x63, 0x98, 0x40,
    0xea, 0xdc, 0xc2, 0x95, 0x1c, 0xf1, 0x9b, 0x6c, 0xd4, 0x58, 0xcb, 0x8b, 0xcc, 0x61, 0x53, 0x42, 0x44, 0x2c, 0xec,
    0x33, 0x01, 0x62, 0x3a, 0xd3, 0xa6, 0x3a, 0x19, 0x90, 0xcb, 0xa4, 0x6b, 0x7e, 0x28, 0x0b, 0x60, 0x85, 0xd3, 0xbf,
    0xb7, 0x08, 0xf8, 0x84,
};

/* What espsecure (digest-secure-bootloader) makes of the bootloader of this test, without a digest and with one: with a
 * key of 32 bytes, and one of 24. */
static const uint8_t digests_v1[2][64] = {
    {
        0x9c, 0x99, 0x1c, 0xc5, 0xf5, 0xd3, 0xbd, 0xaf, 0x78, 0x65, 0xb2, 0x75, 0x7b, 0x5f, 0x67, 0xfb,
        0xbe, 0xd2, 0x18, 0x67, 0x76, 0x22, 0x30, 0x11, 0x64, 0x01, 0xbb, 0x5c, 0x83, 0xce, 0xca, 0xda,
        0x31, 0x14, 0x30, 0xb1, 0x10, 0x73, 0x25, 0x0b, 0xc3, 0x75, 0xf8, 0xd7, 0x15, 0x0e, 0xbc, 0xa0,
        0x36, 0x6e, 0xb6, 0xbb, 0x2d, 0xf2, 0x47, 0x13, 0xa7, 0xd6, 0x1b, 0xd3, 0x78, 0xdf, 0x14, 0x61,
    },
    {
        0xaf, 0x80, 0x9d, 0x9f, 0xdb, 0x49, 0xa1, 0x27, 0xc2, 0xb1, 0x8b, 0xc8, 0x41, 0xb5, 0x0b, 0xdb,
        0x33, 0x57, 0xec, 0x9f, 0x9f, 0xa8, 0xd7, 0x44, 0x2e, 0x27, 0x5f, 0x98, 0xb7, 0xf5, 0x17, 0x88,
        0x0e, 0x1b, 0xd6, 0xe1, 0x19, 0xe5, 0x47, 0xc4, 0xa8, 0xcc, 0xd4, 0x61, 0xd6, 0x7a, 0x3d, 0x20,
        0xf2, 0x30, 0xee, 0x9d, 0x61, 0x04, 0x17, 0x0d, 0xff, 0x4c, 0x9f, 0xe8, 0xff, 0x88, 0x44, 0x9b,
    },
};

static uint8_t flash[FLASH_SIZE];
static boot_t chip;
static boot_result_t result;
static efuse_set_t burnt;
static uint8_t taken[SR_SHA256_SIZE];
static char why[BOOT_SIGNATURE_WHY_SIZE];

/* Objects of the library that are in use. */
static int points, groups;

void __real_mbedtls_ecp_point_init(mbedtls_ecp_point *point);
void __wrap_mbedtls_ecp_point_init(mbedtls_ecp_point *point);
void __real_mbedtls_ecp_point_free(mbedtls_ecp_point *point);
void __wrap_mbedtls_ecp_point_free(mbedtls_ecp_point *point);
void __real_mbedtls_ecp_group_init(mbedtls_ecp_group *group);
void __wrap_mbedtls_ecp_group_init(mbedtls_ecp_group *group);
void __real_mbedtls_ecp_group_free(mbedtls_ecp_group *group);
void __wrap_mbedtls_ecp_group_free(mbedtls_ecp_group *group);

void __wrap_mbedtls_ecp_point_init(mbedtls_ecp_point *point)
{
    points++;
    __real_mbedtls_ecp_point_init(point);
}

void __wrap_mbedtls_ecp_point_free(mbedtls_ecp_point *point)
{
    points--;
    __real_mbedtls_ecp_point_free(point);
}

void __wrap_mbedtls_ecp_group_init(mbedtls_ecp_group *group)
{
    groups++;
    __real_mbedtls_ecp_group_init(group);
}

void __wrap_mbedtls_ecp_group_free(mbedtls_ecp_group *group)
{
    groups--;
    __real_mbedtls_ecp_group_free(group);
}

static int aes_contexts;

void __real_mbedtls_aes_init(mbedtls_aes_context *context);
void __wrap_mbedtls_aes_init(mbedtls_aes_context *context);
void __real_mbedtls_aes_free(mbedtls_aes_context *context);
void __wrap_mbedtls_aes_free(mbedtls_aes_context *context);

void __wrap_mbedtls_aes_init(mbedtls_aes_context *context)
{
    aes_contexts++;
    __real_mbedtls_aes_init(context);
}

void __wrap_mbedtls_aes_free(mbedtls_aes_context *context)
{
    aes_contexts--;
    __real_mbedtls_aes_free(context);
}

/* The public key that the library was given last. */
static uint8_t imported[500];
static size_t imported_size;

psa_status_t __real_psa_import_key(const psa_key_attributes_t *attributes, const uint8_t *bytes, size_t size,
                                   psa_key_id_t *key);
psa_status_t __wrap_psa_import_key(const psa_key_attributes_t *attributes, const uint8_t *bytes, size_t size,
                                   psa_key_id_t *key);

psa_status_t __wrap_psa_import_key(const psa_key_attributes_t *attributes, const uint8_t *bytes, size_t size,
                                   psa_key_id_t *key)
{
    assert_true(size <= sizeof(imported));
    memcpy(imported, bytes, size);
    imported_size = size;
    return __real_psa_import_key(attributes, bytes, size, key);
}

static int set_up(void **state)
{
    (void)state;
    memset(flash, 0xFF, sizeof(flash));
    memset(taken, 0, sizeof(taken));
    burnt = (efuse_set_t){.secure_boot_v2 = true};
    result = (boot_result_t){0};
    chip = (boot_t){.chip = sr_chip_by_name("esp32c6"),
                    .burnt = &burnt,
                    .taken = taken,
                    .flash = flash,
                    .writable = flash,
                    .size = FLASH_SIZE,
                    .result = &result};
    return 0;
}

/** As espsecure has signed it, too. */
static void put_image(void)
{
    memset(flash + PLACE, 0xFF, PADDED + 0x1000);
    for (uint32_t i = 0; i < LENGTH; i++) {
        flash[PLACE + i] = (uint8_t)(i * 7 + i / 251);
    }
}

static uint32_t private_keys[KEYS];
static sr_secure_boot_scheme_t scheme;

static void make_keys(sr_secure_boot_scheme_t wanted)
{
    scheme = wanted;
    for (unsigned i = 0; i < KEYS; i++) {
        private_keys[i] = signature_block_new_key(scheme);
        assert_int_not_equal(private_keys[i], 0);
    }
}

static void digest_of(unsigned number, uint8_t digest[SR_SHA256_SIZE])
{
    const signature_block_t block = {.scheme = scheme, .private = private_keys[number]};
    assert_true(signature_block_key(&block, digest));
}

/** Burns keys 0 to 2, of which key 2 is revoked. */
static void burn(void)
{
    for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
        burnt.keys[4 - i] = (efuse_key_t){
            .purpose = (efuse_purpose_t)(EFUSE_PURPOSE_DIGEST_0 + i), .readable = true, .length = EFUSE_KEY_SIZE};
        digest_of(i, burnt.keys[4 - i].bytes);
        burnt.revoked[i] = i == 2;
    }
}

#define BY(number)                                                                                                     \
    {                                                                                                                  \
        .key = number                                                                                                  \
    }

static void sign(const signature_block_t *wanted, unsigned count)
{
    signature_block_t blocks[3];
    size_t length = LENGTH;
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = wanted[i];
        blocks[i].scheme = scheme;
        blocks[i].private = private_keys[wanted[i].key];
    }
    put_image();
    if (count > 0) {
        assert_int_equal(signature_block_append(flash + PLACE, &length, PADDED + 0x1000, blocks, count),
                         IMAGE_WRITE_OK);
        assert_int_equal(length, PADDED + 0x1000);
    }
}

static bool good(boot_verifier_t verifier)
{
    memset(why, 0, sizeof(why));
    return boot_signature_good(&chip, verifier, PLACE, LENGTH, why);
}

/** Of one image: its blocks, what is said of it, with the digest of which key, and whose keys the ROM revokes. */
typedef struct row {
    unsigned count;
    signature_block_t blocks[3];
    const char *why; /**< NULL: it is good. */
    int key;         /**< -1: no digest is told. */
    uint8_t revoked;
} row_t;

#define STRANGER "is signed with a key that is not in the eFuses"
#define REVOKED  "is signed with a key that is revoked"
#define OTHER    "carries the signature block of another image"
#define TORN     "carries a signature block that is damaged"
#define WRONG    "carries a signature that is wrong"
#define LOST     "carries a signature that is wrong, and its key is now revoked"

static const row_t rows[] = {
    {1, {BY(0)}, NULL, -1, 0},
    {1, {BY(1)}, NULL, -1, 0},
    {3, {BY(3), BY(2), BY(1)}, NULL, -1, 0},
    {0, {BY(0)}, "carries no signature block", -1, 0},
    {1, {BY(3)}, STRANGER, 3, 0},
    {1, {BY(2)}, REVOKED, 2, 0},
    {1, {{.key = 0, .torn = true}}, TORN, -1, 0},
    {1, {{.key = 1, .other_image = true}}, OTHER, 1, 0},
    {1, {{.key = 0, .forged = true}}, LOST, 0, 1},
    {1, {{.key = 1, .forged = true}}, LOST, 1, 2},
    {2, {{.key = 0, .torn = true}, BY(0)}, NULL, -1, 0},
    /* What comes closest is told, of two that are as close the first; a wrong signature is closest. */
    {2, {BY(3), BY(2)}, REVOKED, 2, 0},
    {2, {BY(2), BY(3)}, REVOKED, 2, 0},
    {2, {{.key = 0, .other_image = true}, BY(2)}, OTHER, 0, 0},
    {2, {{.key = 0, .other_image = true}, {.key = 1, .other_image = true}}, OTHER, 0, 0},
    {2, {{.key = 0, .torn = true}, BY(3)}, STRANGER, 3, 0},
    {2, {BY(3), {.key = 0, .torn = true}}, STRANGER, 3, 0},
    {3, {{.key = 0, .forged = true}, {.key = 1, .other_image = true}, BY(3)}, LOST, 0, 1},
    {2, {{.key = 0, .other_image = true}, {.key = 1, .forged = true}}, LOST, 1, 2},
    {2, {{.key = 0, .forged = true}, {.key = 1, .forged = true}}, LOST, 1, 3},
    /* What is revoked by the first block is revoked for the second. */
    {2, {{.key = 0, .forged = true}, BY(0)}, LOST, 0, 1},
    {2, {{.key = 0, .forged = true}, BY(1)}, NULL, -1, 1},
};
#define ROWS     (sizeof(rows) / sizeof(rows[0]))
#define WITH_ONE 10u /* Rows in which the order of blocks does not matter: all that differs between curves. */

static void assert_told(size_t i, const char *text, int key)
{
    char expected[BOOT_SIGNATURE_WHY_SIZE + 32];
    (void)snprintf(expected, sizeof(expected), "%s", text);
    if (key >= 0) {
        uint8_t digest[SR_SHA256_SIZE];
        digest_of((unsigned)key, digest);
        (void)snprintf(expected + strlen(expected), 32, ": %02x%02x%02x%02x%02x%02x%02x%02x", digest[0], digest[1],
                       digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]);
    }
    expected[BOOT_SIGNATURE_WHY_SIZE - 1] = '\0'; /* No more fits. */
    if (strcmp(why, expected) != 0) {
        fail_msg("row %u: \"%s\", expected \"%s\"", (unsigned)i, why, expected);
    }
}

static void walk(sr_secure_boot_scheme_t wanted, size_t count)
{
    make_keys(wanted);
    burn();
    for (size_t i = 0; i < count; i++) {
        const row_t *row = &rows[i];
        sign(row->blocks, row->count);
        /* The ROM revokes only where the eFuses say so, a bootloader never does. */
        for (unsigned k = 0; k < 3; k++) {
            const bool revokes = k == 0;
            burnt.aggressive_revoke = k != 1;
            result.revoked = 0;
            const bool taken_as_good = good(k == 2 ? BOOT_BY_LOADER : BOOT_BY_ROM);
            const bool twice = !revokes && row->count == 2 && row->blocks[0].forged && row->blocks[1].key == 0;
            if (taken_as_good != (row->why == NULL || twice)) {
                fail_msg("row %u, %u: %s", (unsigned)i, k, why);
            }
            assert_int_equal(result.revoked, revokes ? row->revoked : 0);
            if (row->why != NULL && !twice) {
                assert_told(i, !revokes && strcmp(row->why, LOST) == 0 ? WRONG : row->why, row->key);
            }
        }
    }
}

static void ecdsa_p192(void **state)
{
    (void)state;
    walk(SR_SECURE_BOOT_ECDSA_P192, WITH_ONE);
}

static void ecdsa_p256(void **state)
{
    (void)state;
    walk(SR_SECURE_BOOT_ECDSA_P256, ROWS);
}

static void ecdsa_p384(void **state)
{
    (void)state;
    walk(SR_SECURE_BOOT_ECDSA_P384, WITH_ONE);
    /* Each byte of image and padding is under the digest. */
    static const uint32_t places[] = {0, 0xFFF, 0x1000, LENGTH, PADDED - 1};
    const signature_block_t first = BY(0);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        sign(&first, 1);
        assert_true(good(BOOT_BY_LOADER));
        flash[PLACE + places[i]] ^= 1;
        assert_false(good(BOOT_BY_LOADER));
        assert_told(i, OTHER, 0);
    }
}

static void put_rsa(void)
{
    uint8_t *block = flash + PLACE + PADDED;
    sr_sha256_t sha;
    put_image();
    memset(block, 0, BLOCK_SIZE);
    memcpy(block, "\xE7\x02", 2);
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, flash + PLACE, PADDED);
    assert_int_equal(sr_sha256_finish(&sha, block + 4), 0);
    memcpy(block + 36, rsa_modulus, sizeof(rsa_modulus));
    sr_bytes_put_le32(block + 420, 65537);
    memcpy(block + 812, rsa_signature, sizeof(rsa_signature));
}

/** Burns the key of the block in flash, and makes its checksum right. */
static void seal_rsa(unsigned number)
{
    uint8_t *block = flash + PLACE + PADDED;
    sr_sha256_t sha;
    burnt.keys[0] = (efuse_key_t){
        .purpose = (efuse_purpose_t)(EFUSE_PURPOSE_DIGEST_0 + number), .readable = true, .length = EFUSE_KEY_SIZE};
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, block + 36, 776);
    assert_int_equal(sr_sha256_finish(&sha, burnt.keys[0].bytes), 0);
    sr_bytes_put_le32(block + 1196, sr_crc32(0, block, 1196));
}

static void rsa_as_espsecure_signs(void **state)
{
    (void)state;
    static const uint32_t places[] = {36, 419, 420, 812, 1195};
    put_rsa();
    seal_rsa(0);
    assert_true(good(BOOT_BY_ROM));
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        put_rsa();
        flash[PLACE + PADDED + places[i]] ^= 2;
        seal_rsa(0);
        assert_false(good(BOOT_BY_ROM));
        assert_memory_equal(why, WRONG, strlen(WRONG));
    }
}

/** A public key in DER: SEQUENCE { INTEGER n, INTEGER e }, with no zero in front but one for the sign. */
static void expect_der(uint32_t exponent)
{
    uint8_t der[sizeof(imported)] = {0x30, 0x82, 0x01, 0, 0x02, 0x82, 0x01, 0x81, 0x00};
    size_t size = 9;
    for (size_t i = 0; i < sizeof(rsa_modulus); i++) {
        der[size++] = rsa_modulus[sizeof(rsa_modulus) - 1 - i];
    }
    const uint8_t bytes[] = {0, (uint8_t)(exponent >> 24), (uint8_t)(exponent >> 16), (uint8_t)(exponent >> 8),
                             (uint8_t)exponent};
    size_t first = 0;
    while (first < 4 && bytes[first] == 0 && bytes[first + 1] < 0x80) {
        first++;
    }
    der[size++] = 0x02;
    der[size++] = (uint8_t)(5 - first);
    memcpy(der + size, bytes + first, 5 - first);
    size += 5 - first;
    der[3] = (uint8_t)(size - 4);
    assert_int_equal(imported_size, size);
    assert_memory_equal(imported, der, size);
}

static void exponents_of_any_length(void **state)
{
    (void)state;
    static const uint32_t exponents[] = {1,          3,          127,        128,      129,      255,
                                         256,        0x7FFF,     0x8000,     0x7FFFFF, 0x800000, 0x1000001,
                                         0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 65537};
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        put_rsa();
        sr_bytes_put_le32(flash + PLACE + PADDED + 420, exponents[i]);
        seal_rsa(0);
        assert_int_equal(good(BOOT_BY_ROM), exponents[i] == 65537);
        expect_der(exponents[i]);
    }
}

/** An ESP32 has one key and looks at one block; what is burnt as a second one is none of its. */
static void chips_with_one_key(void **state)
{
    (void)state;
    chip.chip = sr_chip_by_name("esp32");
    put_rsa();
    seal_rsa(0);
    assert_true(good(BOOT_BY_ROM));
    memmove(flash + PLACE + PADDED + BLOCK_SIZE, flash + PLACE + PADDED, BLOCK_SIZE);
    flash[PLACE + PADDED] = 0xFF;
    assert_false(good(BOOT_BY_ROM));
    assert_string_equal(why, "carries no signature block");
    burnt.keys[0].purpose = EFUSE_PURPOSE_DIGEST_1;
    assert_true(good(BOOT_BY_ROM)); /* It is not known which key is burnt. */
}

static void where_nothing_is_asked(void **state)
{
    (void)state;
    put_image();
    assert_true(good(BOOT_BY_ROM)); /* No digest is told. */
    make_keys(SR_SECURE_BOOT_ECDSA_P256);
    burn();
    assert_false(good(BOOT_BY_ROM));
    burnt.secure_boot_v1 = true; /* With both it is version 2. */
    assert_false(good(BOOT_BY_ROM));
    burnt.secure_boot_v1 = burnt.secure_boot_v2 = false;
    assert_true(good(BOOT_BY_ROM));
    assert_true(good(BOOT_BY_LOADER));
    /* A digest that is protected from being read is known to be there, and no key is it. */
    burnt.secure_boot_v2 = true;
    const signature_block_t first = BY(0);
    sign(&first, 1);
    burnt.keys[4].readable = false;
    assert_false(good(BOOT_BY_ROM));
    assert_told(0, STRANGER, 0);
}

static void what_a_boot_revokes_is_burnt(void **state)
{
    (void)state;
    for (unsigned before = 0; before < 8; before++) {
        for (uint8_t revoked = 0; revoked < 8; revoked++) {
            efuse_set_t set, expected;
            memset(&set, 0xA5, sizeof(set)); /* All else stays, and there is nothing behind the last one. */
            for (unsigned i = 0; i < 3; i++) {
                set.revoked[i] = (before >> i & 1) != 0;
            }
            memcpy(&expected, &set, sizeof(set));
            for (unsigned i = 0; i < 3; i++) {
                expected.revoked[i] = ((before | revoked) >> i & 1) != 0;
            }
            boot_revoke(&set, revoked);
            assert_memory_equal(&set, &expected, sizeof(set));
        }
    }
}

/** In one boot, by the primary bootloader for the recovery bootloader. */
static void what_this_boot_has_revoked_is_revoked(void **state)
{
    (void)state;
    make_keys(SR_SECURE_BOOT_ECDSA_P256);
    burn();
    for (unsigned i = 0; i < 2; i++) {
        const signature_block_t block = BY((uint8_t)i);
        sign(&block, 1);
        result.revoked = 0;
        assert_true(good(BOOT_BY_ROM));
        result.revoked = (uint8_t)(1u << i);
        assert_false(good(BOOT_BY_ROM));
        assert_told(i, REVOKED, (int)i);
        result.revoked = (uint8_t)(2u >> i);
        assert_true(good(BOOT_BY_ROM));
    }
}

/* Version 1: signatures. */

#define LOADER      0x1000u
#define LOADER_SIZE 0x400u
#define POINT       64u

static psa_key_id_t pairs[5];

/** A public key as it lies among the constants of a bootloader. */
static void put_point(unsigned number, uint32_t offset)
{
    uint8_t point[1 + POINT];
    size_t length;
    assert_int_equal(psa_export_public_key(pairs[number], point, sizeof(point), &length), PSA_SUCCESS);
    memcpy(flash + LOADER + offset, point + 1, POINT);
}

static void sign_v1(unsigned number, uint32_t version)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint8_t *block = flash + PLACE + LENGTH;
    sr_sha256_t sha;
    size_t length;
    put_image();
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, flash + PLACE, LENGTH);
    assert_int_equal(sr_sha256_finish(&sha, digest), 0);
    sr_bytes_put_le32(block, version);
    assert_int_equal(
        psa_sign_hash(pairs[number], PSA_ALG_ECDSA(PSA_ALG_SHA_256), digest, sizeof(digest), block + 4, 64, &length),
        PSA_SUCCESS);
}

/** A bootloader that was not searched before, without keys. */
static void put_loader(void)
{
    static uint8_t loaders;
    memset(flash + LOADER, 0, LOADER_SIZE + POINT);
    chip.loader = (boot_loader_t){.offset = LOADER, .length = LOADER_SIZE};
    result.bootloader.sha256[0] = ++loaders;
}

static void expect_v1(unsigned number, const char *reason)
{
    sign_v1(number, 0);
    const char *fault = boot_signature_v1_fault(&chip, PLACE, LENGTH);
    if ((fault == NULL) != (reason == NULL) || (fault != NULL && strcmp(fault, reason) != 0)) {
        fail_msg("key %u: %s", number, fault != NULL ? fault : "good");
    }
    assert_int_equal(points, 0);
    assert_int_equal(groups, 0);
}

#define NOT_BY_KEY "carries a signature that is not by the key in the bootloader"

static int set_up_v1(void **state)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, 256);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_SIGN_HASH);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    bool made = psa_crypto_init() == PSA_SUCCESS;
    for (unsigned i = 0; i < 5 && made && pairs[i] == 0; i++) {
        made = psa_generate_key(&attributes, &pairs[i]) == PSA_SUCCESS;
    }
    set_up(state);
    burnt = (efuse_set_t){.secure_boot_v1 = true};
    points = groups = 0;
    return made ? 0 : -1;
}

/** Anywhere after the header, up to the last byte; four of them. */
static void keys_are_found_in_the_bootloader(void **state)
{
    (void)state;
    put_loader();
    expect_v1(0, NULL); /* It has none, and verifies nothing. */
    static const uint32_t places[] = {sizeof(chip.loader.header), 123, LOADER_SIZE - POINT};
    for (size_t i = 0; i < 3; i++) {
        put_loader();
        put_point(0, places[i]);
        expect_v1(0, NULL);
        expect_v1(1, NOT_BY_KEY);
    }
    put_loader();
    put_point(0, LOADER_SIZE - POINT + 1); /* The last byte is none of it. */
    expect_v1(1, NULL);
    put_loader();
    for (unsigned i = 0; i < 5; i++) {
        put_point(i, 100 + 70 * i);
    }
    for (unsigned i = 0; i < 5; i++) {
        expect_v1(i, i < 4 ? NULL : NOT_BY_KEY);
    }
}

static void a_bootloader_is_searched_once(void **state)
{
    (void)state;
    put_loader();
    put_point(0, 300);
    expect_v1(0, NULL);
    memset(flash + LOADER, 0, LOADER_SIZE); /* The same one, they say. */
    expect_v1(1, NOT_BY_KEY);
    const uint8_t first = result.bootloader.sha256[0];
    put_loader();
    put_point(1, 301);
    expect_v1(1, NULL);
    expect_v1(0, NOT_BY_KEY);
    result.bootloader.sha256[0] = first; /* Before the other one it was searched, too. */
    expect_v1(0, NULL);
    expect_v1(1, NOT_BY_KEY);
}

static void of_many_bootloaders_the_last_are_remembered(void **state)
{
    (void)state;
    put_loader();
    put_point(0, 300);
    expect_v1(0, NULL);
    const uint8_t first = result.bootloader.sha256[0];
    for (unsigned i = 0; i < 8; i++) {
        put_loader();
        put_point(1, 300);
        expect_v1(1, NULL);
    }
    result.bootloader.sha256[0] = first;
    expect_v1(1, NULL); /* It is searched again. */
    expect_v1(0, NOT_BY_KEY);
}

static void signatures_of_version_1(void **state)
{
    (void)state;
    put_loader();
    put_point(2, 200);
    for (uint32_t version = 0; version < 3; version++) {
        sign_v1(2, version);
        const char *fault = boot_signature_v1_fault(&chip, PLACE, LENGTH);
        assert_int_equal(fault == NULL, version == 0);
        if (fault != NULL) {
            assert_string_equal(fault, "carries no signature of Secure Boot V1");
        }
    }
    static const uint32_t places[] = {0, LENGTH - 1, LENGTH + 4, LENGTH + 67};
    for (size_t i = 0; i < 4; i++) {
        sign_v1(2, 0);
        assert_true(good(BOOT_BY_LOADER));
        assert_string_equal(why, "");
        flash[PLACE + places[i]] ^= 1;
        assert_false(good(BOOT_BY_LOADER));
        assert_string_equal(why, NOT_BY_KEY);
        assert_true(good(BOOT_BY_ROM)); /* It knows digests only. */
    }
}

/* Version 1: the digest. */

/** The bootloader that espsecure has digested, with an IV, and a key in the eFuses. Without its digest it ends in the
 * third unit of 128 bytes: with it, it is longer, and the other one would end in the second unit less that much. */
static void put_v1(bool hash)
{
    uint8_t data[332];
    const uint32_t key_length = hash ? 24 : 32;
    memset(flash, 0xFF, sizeof(flash));
    for (unsigned i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 11 + 3);
    }
    const image_write_segment_t segment = {.load_address = 0x40080000, .data = data, .length = hash ? 332 : 236};
    const image_write_esp_t spec = {
        .spi_mode = 2, .entry = 0x40080000, .append_hash = hash, .segments = &segment, .segment_count = 1};
    size_t length;
    assert_int_equal(image_write_esp(&spec, flash + LOADER, 0x1000, &length), IMAGE_WRITE_OK);
    chip.chip = sr_chip_by_name("esp32");
    chip.loader = (boot_loader_t){.offset = LOADER, .length = (uint32_t)length};
    memcpy(chip.loader.header, flash + LOADER, sizeof(chip.loader.header));
    for (unsigned i = 0; i < 128; i++) {
        flash[i] = (uint8_t)(i * 37 + 5);
    }
    memcpy(flash + 128, digests_v1[hash], 64);
    efuse_key_t *key = &burnt.keys[2];
    *key = (efuse_key_t){.purpose = EFUSE_PURPOSE_SECURE_BOOT_V1, .readable = true, .length = (uint8_t)key_length};
    for (unsigned i = 0; i < key_length; i++) {
        key->bytes[key_length - 1 - i] = (uint8_t)(i + (hash ? 90 : 7));
    }
}

static void digests_as_espsecure_makes_them(void **state)
{
    (void)state;
    for (unsigned hash = 0; hash < 2; hash++) {
        put_v1(hash != 0);
        assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_RIGHT);
        assert_int_equal(aes_contexts, 0);
        /* IV, digest, the first and the last byte that the hardware takes; what follows is not part of that. */
        static const uint32_t places[] = {0, 15, 127, 128, 131, 191, LOADER, LOADER + 383};
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            flash[places[i]] ^= 1;
            assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_WRONG);
            flash[places[i]] ^= 1;
        }
        flash[LOADER + 384] ^= 1;
        assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_RIGHT);
        burnt.keys[2].bytes[0] ^= 1;
        assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_WRONG);
    }
}

/** Software cannot read the key. What is taken is that of a device that runs. */
static void without_the_key(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        put_v1(true);
        boot_chip_t device = {.chip = chip.chip, .burnt = burnt};
        boot_believe(&device, flash, FLASH_SIZE);
        memcpy(taken, device.taken, sizeof(taken));
        burnt.keys[2].readable = i == 0;
        if (i == 0) { /* Nor is there one. */
            burnt.keys[2].purpose = EFUSE_PURPOSE_NONE;
        }
        assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_RIGHT);
        static const uint32_t places[] = {0, 191, LOADER + 100, LOADER + 383};
        for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
            flash[places[k]] ^= 1;
            assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_NOT_KNOWN);
            flash[places[k]] ^= 1;
        }
        memset(taken, 0, sizeof(taken));
        assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_NOT_KNOWN);
        memset(flash, 0xFF, 192);
        assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_WRONG);
        flash[191] = 0;
        assert_int_equal(boot_digest_v1_check(&chip), BOOT_DIGEST_NOT_KNOWN);
    }
}

static void where_no_digest_is_asked(void **state)
{
    (void)state;
    put_v1(false);
    flash[0] ^= 1;
    for (unsigned i = 0; i < 4; i++) {
        burnt.secure_boot_v1 = (i & 1) != 0;
        burnt.secure_boot_v2 = (i & 2) != 0;
        assert_int_equal(boot_digest_v1_check(&chip), i == 1 ? BOOT_DIGEST_WRONG : BOOT_DIGEST_RIGHT);
    }
}

/** Nothing is believed without Secure Boot V1, nor of a flash without a bootloader. */
static void what_is_believed(void **state)
{
    (void)state;
    static const uint8_t nothing[SR_SHA256_SIZE] = {0};
    put_v1(true);
    for (unsigned i = 0; i < 4; i++) {
        boot_chip_t device = {.chip = chip.chip, .burnt = burnt};
        device.burnt.secure_boot_v1 = i != 1;
        flash[LOADER] = i == 2 ? 0 : 0xE9;
        boot_believe(&device, flash, i == 3 ? LOADER : LOADER + 0x200);
        assert_int_equal(memcmp(device.taken, nothing, sizeof(nothing)) != 0, i == 0);
    }
}

int main(void)
{
#define CASE(function)    cmocka_unit_test_setup(function, set_up)
#define CASE_V1(function) cmocka_unit_test_setup(function, set_up_v1)
    const struct CMUnitTest tests[] = {
        CASE(ecdsa_p192),
        CASE(ecdsa_p256),
        CASE(ecdsa_p384),
        CASE(rsa_as_espsecure_signs),
        CASE(exponents_of_any_length),
        CASE(chips_with_one_key),
        CASE(where_nothing_is_asked),
        CASE(what_a_boot_revokes_is_burnt),
        CASE(what_this_boot_has_revoked_is_revoked),
        CASE_V1(keys_are_found_in_the_bootloader),
        CASE_V1(a_bootloader_is_searched_once),
        CASE_V1(of_many_bootloaders_the_last_are_remembered),
        CASE_V1(signatures_of_version_1),
        CASE_V1(digests_as_espsecure_makes_them),
        CASE_V1(without_the_key),
        CASE_V1(where_no_digest_is_asked),
        CASE_V1(what_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
