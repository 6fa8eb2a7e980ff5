// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_plain.h"

#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "sim/crypt/plain_memo.h"
#include "sim/nor/nor_flash.h"

#include <string.h>

const uint8_t *boot_plain(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint32_t address,
                          uint32_t length)
{
    return chip->cipher != NULL ? plain_memo(chip->cipher, flash, size, address, length) : flash + address;
}

/** @return the table's status; PAST_END also if there is no room for it. */
static sr_partition_table_status_t read_table(const boot_chip_t *chip, const uint8_t *flash, uint32_t size,
                                              uint32_t *offset, sr_partition_table_t *table)
{
    *offset = boot_table_offset(chip, flash, size);
    if (!sr_region_fits((sr_region_t){*offset, SR_SECTOR_SIZE}, size)) {
        *table = (sr_partition_table_t){0};
        return SR_PARTITION_TABLE_PAST_END;
    }
    const sr_reader_t reader = sr_reader_memory(boot_plain(chip, flash, size, *offset, SR_SECTOR_SIZE), SR_SECTOR_SIZE);
    return sr_partition_table_parse(&reader, size, table);
}

bool boot_plain_table(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint32_t *offset,
                      sr_partition_table_t *table)
{
    return read_table(chip, flash, size, offset, table) == SR_PARTITION_TABLE_OK;
}

uint32_t boot_plain_unit(const boot_chip_t *chip)
{
    return chip->cipher == NULL ? SR_PAGE_SIZE : chip->chip->encryption_row;
}

static void decrypt_region(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint64_t start, uint64_t end,
                           uint8_t *out)
{
    for (uint64_t at = start; at < end && at < size; at += FLASH_CIPHER_BLOCK) {
        if (!nor_is_erased(flash + at, FLASH_CIPHER_BLOCK)) {
            memcpy(out + at, boot_plain(chip, flash, size, (uint32_t)at, FLASH_CIPHER_BLOCK), FLASH_CIPHER_BLOCK);
        }
    }
}

void boot_plain_view(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint8_t *out)
{
    sr_partition_table_t table;
    uint32_t offset = 0;
    memcpy(out, flash, size);
    if (chip->cipher == NULL) {
        return;
    }
    (void)read_table(chip, flash, size, &offset, &table); // of a damaged table, what can be read
    decrypt_region(chip, flash, size, 0, (uint64_t)offset + SR_SECTOR_SIZE, out);
    for (unsigned i = 0; i < table.count; i++) {
        const sr_partition_table_entry_t *entry = &table.entries[i];
        if (sr_partition_table_encrypts(entry)) {
            const uint64_t end = (uint64_t)entry->address + entry->size;
            decrypt_region(chip, flash, size, entry->address / FLASH_CIPHER_BLOCK * FLASH_CIPHER_BLOCK, end, out);
        }
    }
}

/** Where the chip encrypts, and what is left erased of that. */
typedef struct kind {
    bool encrypted;
    uint64_t image_end; /**< In a slot: blank sectors from here on are erased. UINT64_MAX elsewhere. */
} kind_t;

/** @param view In which images are looked for. */
static kind_t kind_of(const boot_plain_layout_t *layout, const uint8_t *view, uint32_t size, uint32_t address)
{
    for (unsigned i = 0; i < layout->table.count; i++) {
        const sr_partition_table_entry_t *entry = &layout->table.entries[i];
        if (!sr_region_overlaps((sr_region_t){entry->address, entry->size}, (sr_region_t){address, 1}) ||
            !sr_partition_table_encrypts(entry)) {
            continue;
        }
        sr_image_t image;
        const sr_reader_t reader = sr_reader_memory(view + entry->address, size - entry->address);
        const bool is_slot = entry->type == SR_PARTITION_TYPE_APP;
        const bool found = is_slot && sr_image_parse(&reader, &image) == SR_IMAGE_OK;
        return (kind_t){true, is_slot ? entry->address + (found ? (uint64_t)image.length : 0) : UINT64_MAX};
    }
    return (kind_t){address < layout->table_offset + SR_SECTOR_SIZE, UINT64_MAX};
}

void boot_plain_show(const boot_chip_t *chip, const boot_plain_layout_t *layout, const uint8_t *flash, uint32_t size,
                     sr_region_t region, uint8_t *view)
{
    for (uint32_t at = region.address; chip->cipher != NULL && at < region.address + region.size && at < size;
         at += SR_SECTOR_SIZE) {
        const kind_t kind = kind_of(layout, view, size, at);
        memcpy(view + at, flash + at, SR_SECTOR_SIZE);
        if (kind.encrypted && kind.image_end == UINT64_MAX) {
            memcpy(view + at, boot_plain(chip, flash, size, at, SR_SECTOR_SIZE), SR_SECTOR_SIZE);
        } else if (kind.encrypted) {
            decrypt_region(chip, flash, size, at, (uint64_t)at + SR_SECTOR_SIZE, view);
        }
    }
}

static void write_sector(const boot_chip_t *chip, kind_t kind, uint32_t address, const uint8_t *after, uint8_t *cells)
{
    memcpy(cells, after, SR_SECTOR_SIZE);
    if (kind.encrypted && (!nor_is_erased(after, SR_SECTOR_SIZE) || address < kind.image_end)) {
        flash_cipher_encrypt(chip->cipher, address, cells, SR_SECTOR_SIZE);
    }
}

void boot_plain_write(const boot_chip_t *chip, const boot_plain_layout_t *layout, const uint8_t *before,
                      const uint8_t *after, uint32_t size, uint8_t *cells)
{
    for (uint32_t at = 0; at < size; at += SR_SECTOR_SIZE) {
        if (memcmp(before + at, after + at, SR_SECTOR_SIZE) != 0) {
            const kind_t kind = chip->cipher != NULL ? kind_of(layout, after, size, at) : (kind_t){0};
            write_sector(chip, kind, at, after + at, cells + at);
        }
    }
}
