// SPDX-License-Identifier: Apache-2.0
// SPIFFS: SPIFFS_MAGIC in spiffs_nucleus.h, and spiffsgen.py of ESP-IDF. littlefs: its SPEC.md. FAT: the boot sector.
#include "tool/base/content_kind_finders.h"

#include "format/sr_bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_SIZE 4096u

#define SPIFFS_MAGIC 0x0529u /**< The lower half, which is what object ids of 16 bits leave of it. */
#define SPIFFS_IDS   4u      /**< The magic takes the last but one of the ids in a block's first page. */

#define LITTLEFS_NAME        8u
#define LITTLEFS_VERSION     20u
#define LITTLEFS_BLOCK_SIZE  24u
#define LITTLEFS_BLOCK_COUNT 28u
#define LITTLEFS_END         32u

#define FAT_SECTOR_SIZE  11u
#define FAT_CLUSTER_SIZE 13u
#define FAT_COPIES       16u
#define FAT_SECTORS      19u
#define FAT_MANY_SECTORS 32u
#define FAT_TYPE         54u /**< "FAT12", "FAT16"; */
#define FAT_TYPE_32      82u /**< "FAT32". */
#define FAT_SIGNATURE    510u
#define FAT_END          512u

static bool is_power_of_two(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most && (value & (value - 1)) == 0;
}

/** Adds by how much the file is shorter than what the file system says. */
static void settle(content_t *content, content_kind_t kind, uint64_t needs, uint32_t size)
{
    const size_t used = strlen(content->facts);
    content->kind = kind;
    content->needs = needs <= UINT32_MAX ? (uint32_t)needs : UINT32_MAX;
    if (needs > size) {
        (void)snprintf(content->facts + used, sizeof(content->facts) - used,
                       "; cut short: the file has %" PRIu32 " of %" PRIu64 " bytes", size, needs);
    }
}

static uint32_t spiffs_magic(const content_kind_input_t *input, uint32_t block, uint32_t page)
{
    return sr_bytes_get_le16(input->bytes + (size_t)block * BLOCK_SIZE + page - SPIFFS_IDS);
}

/** Each block's magic tells how many blocks are left: two of them that agree are no accident. */
static bool find_spiffs(const content_kind_input_t *input, content_t *content)
{
    for (uint32_t page = 256; page <= 1024 && input->size >= 2 * BLOCK_SIZE; page *= 2) {
        const uint32_t blocks = spiffs_magic(input, 0, page) ^ SPIFFS_MAGIC ^ page;
        const uint32_t second = spiffs_magic(input, 1, page) ^ SPIFFS_MAGIC ^ page;
        if (blocks >= 2 && blocks <= 8192 && second == blocks - 1) {
            (void)snprintf(content->facts, sizeof(content->facts),
                           "%" PRIu32 " blocks of 4096 bytes, pages of %" PRIu32, blocks, page);
            settle(content, CONTENT_KIND_SPIFFS, (uint64_t)blocks * BLOCK_SIZE, input->size);
            return true;
        }
    }
    return false;
}

/** The superblock is in the first two blocks, of which one may be out of date or torn. */
static bool find_littlefs(const content_kind_input_t *input, content_t *content)
{
    for (uint32_t at = 0; at <= BLOCK_SIZE; at += BLOCK_SIZE) {
        const uint8_t *block = input->bytes + at;
        if (input->size < at + LITTLEFS_END || memcmp(block + LITTLEFS_NAME, "littlefs", 8) != 0) {
            continue;
        }
        const uint32_t version = sr_bytes_get_le32(block + LITTLEFS_VERSION);
        const uint32_t block_size = sr_bytes_get_le32(block + LITTLEFS_BLOCK_SIZE);
        const uint32_t count = sr_bytes_get_le32(block + LITTLEFS_BLOCK_COUNT);
        if (version >> 16 == 2 && is_power_of_two(block_size, 128, 0x10000) && count >= 2) {
            (void)snprintf(content->facts, sizeof(content->facts),
                           "version %" PRIu32 ".%" PRIu32 ", %" PRIu32 " blocks of %" PRIu32 " bytes", version >> 16,
                           version & 0xFFFFu, count, block_size);
            settle(content, CONTENT_KIND_LITTLEFS, (uint64_t)block_size * count, input->size);
            return true;
        }
    }
    return false;
}

static bool is_fat(const uint8_t *sector)
{
    const bool jump = (sector[0] == 0xEB && sector[2] == 0x90) || sector[0] == 0xE9;
    return jump && sr_bytes_get_le16(sector + FAT_SIGNATURE) == 0xAA55 &&
           is_power_of_two(sr_bytes_get_le16(sector + FAT_SECTOR_SIZE), 512, 4096) &&
           is_power_of_two(sector[FAT_CLUSTER_SIZE], 1, 128) && sector[FAT_COPIES] >= 1 && sector[FAT_COPIES] <= 2 &&
           (memcmp(sector + FAT_TYPE, "FAT", 3) == 0 || memcmp(sector + FAT_TYPE_32, "FAT", 3) == 0);
}

/**
 * At the start, or a sector later, where wear levelling starts with the one that it leaves free. As it wears on, the
 * boot sector wanders: such a partition is not recognized.
 */
static bool find_fat(const content_kind_input_t *input, content_t *content)
{
    for (uint32_t at = 0; at <= BLOCK_SIZE; at += BLOCK_SIZE) {
        const uint8_t *sector = input->bytes + at;
        if (input->size < at + FAT_END || !is_fat(sector)) {
            continue;
        }
        const uint32_t few = sr_bytes_get_le16(sector + FAT_SECTORS);
        const uint64_t count = few != 0 ? few : sr_bytes_get_le32(sector + FAT_MANY_SECTORS);
        const uint32_t sector_size = sr_bytes_get_le16(sector + FAT_SECTOR_SIZE);
        (void)snprintf(content->facts, sizeof(content->facts), "%" PRIu64 " sectors of %" PRIu32 " bytes%s", count,
                       sector_size, at != 0 ? ", with wear levelling" : "");
        settle(content, CONTENT_KIND_FAT, count * sector_size + at, input->size);
        return true;
    }
    return false;
}

bool content_kind_file_system(const content_kind_input_t *input, content_t *content)
{
    return find_littlefs(input, content) || find_fat(input, content) || find_spiffs(input, content);
}
