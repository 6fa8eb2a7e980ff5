// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_plain.h"

#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "sim/crypt/plain_memo.h"

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
    /* SOC_FLASH_ENCRYPTED_XTS_AES_BLOCK_MAX of ESP-IDF: 32 for ESP32, ESP32-C3 and ESP32-C2, 64 for the others. */
    const uint16_t id = chip->chip->image_chip_id;
    return chip->cipher == NULL ? SR_PAGE_SIZE : id == 0x0000 || id == 0x0005 || id == 0x000C ? 32 : 64;
}

bool boot_plain_encrypts(const sr_partition_table_entry_t *entry)
{
    const bool flagged = (entry->flags & SR_PARTITION_FLAG_ENCRYPTED) != 0;
    if (entry->type == SR_PARTITION_TYPE_DATA) {
        return flagged || entry->subtype == SR_PARTITION_DATA_OTA || entry->subtype == SR_PARTITION_DATA_NVS_KEYS;
    }
    return flagged || entry->type == SR_PARTITION_TYPE_APP || entry->type == SR_PARTITION_TYPE_BOOTLOADER ||
           entry->type == SR_PARTITION_TYPE_TABLE;
}

static bool is_erased(const uint8_t *block)
{
    return block[0] == 0xFF && memcmp(block, block + 1, FLASH_CIPHER_BLOCK - 1) == 0;
}

static void decrypt_region(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint64_t start, uint64_t end,
                           uint8_t *out)
{
    for (uint64_t at = start; at < end && at < size; at += FLASH_CIPHER_BLOCK) {
        if (!is_erased(flash + at)) {
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
        if (boot_plain_encrypts(entry)) {
            const uint64_t end = (uint64_t)entry->address + entry->size;
            decrypt_region(chip, flash, size, entry->address / FLASH_CIPHER_BLOCK * FLASH_CIPHER_BLOCK, end, out);
        }
    }
}
