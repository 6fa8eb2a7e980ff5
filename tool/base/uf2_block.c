// SPDX-License-Identifier: Apache-2.0
// Families: those of esptool, which are in the list of the UF2 project as well.
#include "tool/base/uf2_block.h"

#include "format/sr_bytes.h"

#include <stddef.h>

#define MAGIC          0x0A324655u
#define MAGIC_2        0x9E5D5157u
#define MAGIC_END      0x0AB16F30u
#define FLAG_NOT_FLASH 0x0001u
#define FLAG_CONTAINER 0x1000u
#define FLAG_FAMILY    0x2000u
#define DATA_OFFSET    32u
#define DATA_CAPACITY  476u

static const struct {
    uint32_t family;
    const char *chip;
} families[] = {
    {0x1C5F21B0, "esp32"},   {0xBFDD4EEE, "esp32s2"}, {0xC47E5767, "esp32s3"}, {0x2B88D29C, "esp32c2"},
    {0xD42BA06C, "esp32c3"}, {0xF71C0343, "esp32c5"}, {0x540DDF62, "esp32c6"}, {0x77D850C4, "esp32c61"},
    {0x332726F6, "esp32h2"}, {0x3D308E94, "esp32p4"},
};

const sr_chip_t *uf2_block_chip(uint32_t family)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (families[i].family == family) {
            return sr_chip_by_name(families[i].chip);
        }
    }
    return NULL;
}

bool uf2_block_starts(const uint8_t *bytes, uint32_t size)
{
    return size >= 4 && sr_bytes_get_le32(bytes) == MAGIC;
}

bool uf2_block_read(const uint8_t *bytes, uint32_t size, uf2_block_t *block)
{
    if (size < UF2_BLOCK_SIZE || !uf2_block_starts(bytes, size) || sr_bytes_get_le32(bytes + 4) != MAGIC_2 ||
        sr_bytes_get_le32(bytes + UF2_BLOCK_SIZE - 4) != MAGIC_END) {
        return false;
    }
    const uint32_t flags = sr_bytes_get_le32(bytes + 8);
    *block = (uf2_block_t){
        .target = sr_bytes_get_le32(bytes + 12),
        .length = sr_bytes_get_le32(bytes + 16),
        .index = sr_bytes_get_le32(bytes + 20),
        .count = sr_bytes_get_le32(bytes + 24),
        .family = (flags & FLAG_FAMILY) != 0 ? sr_bytes_get_le32(bytes + 28) : UF2_NO_FAMILY,
        .data = bytes + DATA_OFFSET,
        .not_flash = (flags & (FLAG_NOT_FLASH | FLAG_CONTAINER)) != 0,
    };
    return block->length <= DATA_CAPACITY && block->index < block->count;
}
