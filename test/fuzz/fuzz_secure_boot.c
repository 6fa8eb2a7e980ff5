// SPDX-License-Identifier: Apache-2.0
// Any bytes as a signed image, and before them whose keys the chip has.
#include "fuzz_input.h"
#include "format/sr_secure_boot.h"

/** The first byte says how much of the eFuses is burnt and revoked; key 0 is that of the first block. */
static void make_keys(uint8_t bits, const sr_secure_boot_block_t *first, sr_secure_boot_keys_t *keys)
{
    *keys = (sr_secure_boot_keys_t){.count = (bits & 1) != 0 ? 1 : SR_SECURE_BOOT_MAX_BLOCKS,
                                    .digest_size = (bits & 2) != 0 ? SR_SHA256_SIZE / 2 : SR_SHA256_SIZE};
    for (unsigned i = 0; i < SR_SECURE_BOOT_MAX_BLOCKS; i++) {
        keys->list[i].burnt = (bits >> (2 + i) & 1) != 0;
        keys->list[i].revoked = (bits >> (5 + i) & 1) != 0;
    }
    memcpy(keys->list[0].digest, first->key_digest, SR_SHA256_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    fuzz_input_t input = {data + 1, size - 1};
    const sr_reader_t reader = fuzz_reader(&input);
    sr_image_t image;
    if (sr_image_parse(&reader, &image) != SR_IMAGE_OK) {
        return 0;
    }
    sr_secure_boot_block_t block;
    for (uint32_t i = SR_SECURE_BOOT_MAX_BLOCKS; i-- > 0;) {
        if (sr_secure_boot_read(&reader, &image, i, &block) == SR_SECURE_BOOT_OK) {
            CHECK(sr_secure_boot_offset(&image) + (i + 1) * SR_SECURE_BOOT_BLOCK_SIZE <= reader.size);
            CHECK(block.image_digest_size <= sizeof(block.image_digest));
        }
    }
    sr_secure_boot_keys_t keys;
    sr_secure_boot_result_t result;
    make_keys(data[0], &block, &keys);
    CHECK(sr_secure_boot_check(&reader, &image, &keys, true, &result) == result.status);
    CHECK(result.block < SR_SECURE_BOOT_MAX_BLOCKS);
    if (result.status == SR_SECURE_BOOT_OK) {
        CHECK(sr_secure_boot_find_key(&keys, result.key_digest) == SR_SECURE_BOOT_OK);
        CHECK(result.block < keys.count);
    }
    return 0;
}
