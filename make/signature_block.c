// SPDX-License-Identifier: Apache-2.0
#include "make/signature_block.h"

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "format/sr_digest.h"
#include "format/sr_region.h"
#include "make/dummy_image.h"

#include <string.h>

#define MAGIC        0xE7u
#define IMAGE_DIGEST 4u
#define CRC          1196u
#define RSA_KEY      776u

static bool is_wide(const signature_block_t *block)
{
    return block->scheme == SR_SECURE_BOOT_ECDSA_P384;
}

static uint32_t key_offset(const signature_block_t *block)
{
    return IMAGE_DIGEST + (is_wide(block) ? SR_SECURE_BOOT_MAX_DIGEST : SR_SHA256_SIZE);
}

static uint32_t key_size(const signature_block_t *block)
{
    return block->scheme == SR_SECURE_BOOT_RSA_3072 ? RSA_KEY : is_wide(block) ? 97u : 65u;
}

/* A curve's number comes first in its key. */
static void write_key(const signature_block_t *block, uint8_t *key)
{
    dummy_image_fill(key, key_size(block), 1000u + block->key);
    key[0] = block->scheme == SR_SECURE_BOOT_ECDSA_P192   ? 1
             : block->scheme == SR_SECURE_BOOT_ECDSA_P256 ? 2
             : is_wide(block)                             ? 3
                                                          : (uint8_t)(block->key | 1u);
    key[1] = block->key;
}

static void write_block(const signature_block_t *block, const uint8_t digest[SR_SHA256_SIZE], uint8_t *out)
{
    const bool rsa = block->scheme == SR_SECURE_BOOT_RSA_3072;
    memset(out, 0, SR_SECURE_BOOT_BLOCK_SIZE);
    out[0] = MAGIC;
    out[1] = rsa ? 2 : 3;
    out[2] = is_wide(block) ? 1 : 0;
    memcpy(out + IMAGE_DIGEST, digest, SR_SHA256_SIZE);
    out[IMAGE_DIGEST] ^= block->other_image ? 1 : 0;
    write_key(block, out + key_offset(block));
    const uint32_t end = key_offset(block) + key_size(block);
    dummy_image_fill(out + end, rsa ? CRC - end : key_size(block) - 1u, 2000u + block->key);
    sr_bytes_put_le32(out + CRC, sr_crc32(0, out, CRC));
    if (block->torn) {
        memset(out + 1024, 0xFF, SR_SECURE_BOOT_BLOCK_SIZE - 1024);
    }
}

image_write_status_t signature_block_append(uint8_t *image, size_t *length, size_t capacity,
                                            const signature_block_t *blocks, unsigned count)
{
    uint8_t digest[SR_SHA256_SIZE];
    const size_t start = (*length + SR_SECTOR_SIZE - 1) / SR_SECTOR_SIZE * SR_SECTOR_SIZE;
    if (count > SR_SECURE_BOOT_MAX_BLOCKS) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    if (start + SR_SECTOR_SIZE > capacity) {
        return IMAGE_WRITE_NO_ROOM;
    }
    memset(image + *length, 0xFF, start + SR_SECTOR_SIZE - *length);
    if (!sr_digest(image, start, digest)) {
        return IMAGE_WRITE_CRYPTO_FAILED;
    }
    for (unsigned i = 0; i < count; i++) {
        write_block(&blocks[i], digest, image + start + i * SR_SECURE_BOOT_BLOCK_SIZE);
    }
    *length = start + SR_SECTOR_SIZE;
    return IMAGE_WRITE_OK;
}

bool signature_block_key(const signature_block_t *block, uint8_t digest[SR_SHA256_SIZE])
{
    uint8_t key[RSA_KEY];
    write_key(block, key);
    return sr_digest(key, key_size(block), digest);
}
