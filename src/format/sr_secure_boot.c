// SPDX-License-Identifier: Apache-2.0
#include "format/sr_secure_boot.h"

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "format/sr_digest.h"
#include "format/sr_region.h"

#include <string.h>

#define MAGIC         0xE7u
#define VERSION_RSA   2u
#define VERSION_ECDSA 3u
#define SHA_384       1u /**< In the byte after an ECDSA version. */
#define IMAGE_DIGEST  4u /**< Offsets in a block. */
#define CRC           1196u
#define RSA_KEY_SIZE  776u
#define CURVE_P192    1u
#define CURVE_P256    2u
#define CURVE_P384    3u
#define POINT_SIZE    64u /**< Of P-192, too: the rest is zero. */
#define POINT_384     96u
#define PIECE         128u

/** Where a scheme has its key in the block. */
typedef struct key_place {
    uint32_t offset, size;
} key_place_t;

uint64_t sr_secure_boot_offset(const sr_image_t *image)
{
    return sr_region_align_up(image->length, SR_SECTOR_SIZE);
}

static bool read_at(const sr_reader_t *reader, uint32_t offset, void *out, uint32_t length)
{
    return sr_region_fits((sr_region_t){offset, length}, reader->size) &&
           reader->read(reader->context, offset, out, length) == 0;
}

static bool crc_of(const sr_reader_t *reader, uint32_t offset, uint32_t *crc)
{
    uint8_t piece[PIECE];
    *crc = 0;
    for (uint32_t done = 0; done < CRC; done += PIECE) {
        const uint32_t step = CRC - done < PIECE ? CRC - done : PIECE;
        if (!read_at(reader, offset + done, piece, step)) {
            return false;
        }
        *crc = sr_crc32(*crc, piece, step);
    }
    return true;
}

/* The curve comes right before the point, and belongs to the key. */
static bool read_curve(const uint8_t *start, sr_secure_boot_block_t *block, key_place_t *key)
{
    const bool wide = start[2] == SHA_384;
    block->image_digest_size = wide ? SR_SECURE_BOOT_MAX_DIGEST : SR_SHA256_SIZE;
    *key = (key_place_t){IMAGE_DIGEST + block->image_digest_size, 1u + (wide ? POINT_384 : POINT_SIZE)};
    const uint8_t curve = start[key->offset];
    block->scheme = curve == CURVE_P192   ? SR_SECURE_BOOT_ECDSA_P192
                    : curve == CURVE_P256 ? SR_SECURE_BOOT_ECDSA_P256
                                          : SR_SECURE_BOOT_ECDSA_P384;
    return start[2] <= SHA_384 && (wide ? curve == CURVE_P384 : curve == CURVE_P192 || curve == CURVE_P256);
}

/** @param start The beginning of the block, up to the curve of P-384. */
static bool read_scheme(const uint8_t *start, sr_secure_boot_block_t *block, key_place_t *key)
{
    bool known = start[1] == VERSION_RSA;
    block->scheme = SR_SECURE_BOOT_RSA_3072;
    block->image_digest_size = SR_SHA256_SIZE;
    *key = (key_place_t){IMAGE_DIGEST + SR_SHA256_SIZE, RSA_KEY_SIZE};
    if (start[1] == VERSION_ECDSA) {
        known = read_curve(start, block, key);
    }
    memcpy(block->image_digest, start + IMAGE_DIGEST, block->image_digest_size);
    return known;
}

sr_secure_boot_status_t sr_secure_boot_read(const sr_reader_t *reader, const sr_image_t *image, uint32_t number,
                                            sr_secure_boot_block_t *block)
{
    const uint64_t place = sr_secure_boot_offset(image) + (uint64_t)number * SR_SECURE_BOOT_BLOCK_SIZE;
    uint8_t start[IMAGE_DIGEST + SR_SECURE_BOOT_MAX_DIGEST + 1u];
    uint8_t stored[4];
    uint32_t crc = 0;
    key_place_t key;
    *block = (sr_secure_boot_block_t){0};
    if (place + SR_SECURE_BOOT_BLOCK_SIZE > reader->size) {
        return SR_SECURE_BOOT_NO_BLOCK;
    }
    const uint32_t offset = (uint32_t)place;
    if (!read_at(reader, offset, start, sizeof(start))) {
        return SR_SECURE_BOOT_READ_FAILED;
    }
    if (start[0] != MAGIC) {
        return SR_SECURE_BOOT_NO_BLOCK;
    }
    if (!crc_of(reader, offset, &crc) || !read_at(reader, offset + CRC, stored, sizeof(stored))) {
        return SR_SECURE_BOOT_READ_FAILED;
    }
    if (!read_scheme(start, block, &key) || sr_bytes_get_le32(stored) != crc) {
        return SR_SECURE_BOOT_TORN_BLOCK;
    }
    switch (sr_digest_range(reader, offset + key.offset, key.size, block->key_digest)) {
    case SR_DIGEST_OK:
        return SR_SECURE_BOOT_OK;
    case SR_DIGEST_CRYPTO_FAILED:
        return SR_SECURE_BOOT_CRYPTO_FAILED;
    default:
        return SR_SECURE_BOOT_READ_FAILED;
    }
}

sr_secure_boot_status_t sr_secure_boot_compare(const sr_reader_t *reader, const sr_image_t *image,
                                               const sr_secure_boot_block_t *block)
{
    uint8_t digest[SR_SHA256_SIZE];
    if (block->image_digest_size != SR_SHA256_SIZE) {
        return SR_SECURE_BOOT_OK;
    }
    switch (sr_digest_range(reader, 0, (uint32_t)sr_secure_boot_offset(image), digest)) {
    case SR_DIGEST_OK:
        return memcmp(digest, block->image_digest, sizeof(digest)) == 0 ? SR_SECURE_BOOT_OK
                                                                        : SR_SECURE_BOOT_OTHER_IMAGE;
    case SR_DIGEST_CRYPTO_FAILED:
        return SR_SECURE_BOOT_CRYPTO_FAILED;
    default:
        return SR_SECURE_BOOT_READ_FAILED;
    }
}

sr_secure_boot_keys_t sr_secure_boot_no_keys(const sr_chip_t *chip)
{
    return (sr_secure_boot_keys_t){.count = chip->one_boot_key ? 1 : SR_SECURE_BOOT_MAX_BLOCKS,
                                   .digest_size = chip->half_boot_key ? SR_SHA256_SIZE / 2 : SR_SHA256_SIZE};
}

sr_secure_boot_status_t sr_secure_boot_find_key(const sr_secure_boot_keys_t *keys, const uint8_t digest[SR_SHA256_SIZE])
{
    sr_secure_boot_status_t status = SR_SECURE_BOOT_OTHER_KEY;
    for (uint8_t i = 0; i < keys->count && status != SR_SECURE_BOOT_OK; i++) {
        const sr_secure_boot_key_t *key = &keys->list[i];
        if (key->burnt && memcmp(key->digest, digest, keys->digest_size) == 0) {
            status = key->revoked ? SR_SECURE_BOOT_REVOKED_KEY : SR_SECURE_BOOT_OK;
        }
    }
    return status;
}

static sr_secure_boot_status_t check_block(const sr_reader_t *reader, const sr_image_t *image,
                                           const sr_secure_boot_keys_t *keys, bool whole, uint8_t number,
                                           sr_secure_boot_block_t *block)
{
    sr_secure_boot_status_t status = sr_secure_boot_read(reader, image, number, block);
    if (status == SR_SECURE_BOOT_OK) {
        status = sr_secure_boot_find_key(keys, block->key_digest);
    }
    return status == SR_SECURE_BOOT_OK && whole ? sr_secure_boot_compare(reader, image, block) : status;
}

/* The statuses are in the order of how close they are to a good block; a reader that failed says most. */
sr_secure_boot_status_t sr_secure_boot_check(const sr_reader_t *reader, const sr_image_t *image,
                                             const sr_secure_boot_keys_t *keys, bool whole,
                                             sr_secure_boot_result_t *result)
{
    *result = (sr_secure_boot_result_t){.status = SR_SECURE_BOOT_NO_BLOCK};
    for (uint8_t i = 0; i < keys->count && i < SR_SECURE_BOOT_MAX_BLOCKS; i++) {
        sr_secure_boot_block_t block;
        const sr_secure_boot_status_t status = check_block(reader, image, keys, whole, i, &block);
        if (status == SR_SECURE_BOOT_OK || status > result->status) {
            *result = (sr_secure_boot_result_t){.status = status, .block = i};
            memcpy(result->key_digest, block.key_digest, sizeof(result->key_digest));
        }
        if (status == SR_SECURE_BOOT_OK) {
            break;
        }
    }
    return result->status;
}

const char *sr_secure_boot_scheme_name(sr_secure_boot_scheme_t scheme)
{
    static const char *const names[] = {"RSA-3072", "ECDSA P-192", "ECDSA P-256", "ECDSA P-384"};
    return (unsigned)scheme < sizeof(names) / sizeof(names[0]) ? names[scheme] : "unknown scheme";
}

const char *sr_secure_boot_status_text(sr_secure_boot_status_t status)
{
    switch (status) {
    case SR_SECURE_BOOT_OK:
        return "is signed with a key of this chip";
    case SR_SECURE_BOOT_NO_BLOCK:
        return "carries no signature block";
    case SR_SECURE_BOOT_TORN_BLOCK:
        return "carries a signature block that is damaged";
    case SR_SECURE_BOOT_OTHER_KEY:
        return "is signed with a key that is not in the eFuses";
    case SR_SECURE_BOOT_REVOKED_KEY:
        return "is signed with a key that is revoked";
    case SR_SECURE_BOOT_OTHER_IMAGE:
        return "carries the signature block of another image";
    case SR_SECURE_BOOT_READ_FAILED:
        return "cannot be read";
    case SR_SECURE_BOOT_CRYPTO_FAILED:
        return "cannot be hashed: the crypto library failed";
    }
    return "is in an unknown state";
}
