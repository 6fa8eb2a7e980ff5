// SPDX-License-Identifier: Apache-2.0
#include "tool/run/upload.h"

#include "format/sr_boot_choice.h"
#include "format/sr_otadata.h"
#include "format/sr_region.h"
#include "sim/boot/boot_plain.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/number.h"

#include <inttypes.h>
#include <string.h>

#define MOST_SLOTS 16u

static const sr_partition_table_entry_t *find_number(const sr_partition_table_t *table, unsigned number)
{
    return sr_partition_table_find(table, SR_PARTITION_TYPE_APP, (uint8_t)(SR_PARTITION_APP_OTA_0 + number));
}

/** An app counts slots up to the first number that is not there; the bootloader counts all: what
 * sr_partition_table_ota_slots() tells. */
static uint32_t count_slots(const sr_partition_table_t *table)
{
    uint32_t count = 0;
    while (count < MOST_SLOTS && find_number(table, count) != NULL) {
        count++;
    }
    return count;
}

static const sr_partition_table_entry_t *find_next(const sr_partition_table_t *table, uint32_t slots, uint32_t running)
{
    for (unsigned i = 0; i < slots; i++) {
        if (find_number(table, i)->address == running) {
            return find_number(table, (i + 1) % slots);
        }
    }
    return slots > 0 ? find_number(table, 0) : NULL;
}

int upload_find_slot(const image_file_t *flash, uint32_t partition_table, uint32_t running, upload_slot_t *slot)
{
    sr_partition_table_t table;
    chip_read_table(flash->bytes, flash->size, partition_table, &table);
    const uint32_t slots = count_slots(&table);
    const sr_partition_table_entry_t *entry = find_next(&table, slots, running);
    const sr_partition_table_entry_t *otadata = sr_boot_choice_otadata(&table);
    if (entry == NULL || entry->address == running || otadata == NULL) {
        return complain(STATUS_BAD_INPUT,
                        "%s: the app at 0x%" PRIx32 " has no other slot that an upload could go to; inspect shows the "
                        "partitions",
                        flash->path, running);
    }
    if (!sr_region_fits((sr_region_t){entry->address, entry->size}, flash->size) ||
        otadata->size < 2 * SR_SECTOR_SIZE ||
        !sr_region_fits((sr_region_t){otadata->address, otadata->size}, flash->size)) {
        return complain(STATUS_BAD_INPUT, "%s: slot %s or otadata extends past the end, or otadata is too small",
                        flash->path, entry->label);
    }
    *slot = (upload_slot_t){.entry = *entry, .otadata = otadata->address, .slots = slots};
    return STATUS_OK;
}

/** The lowest number that is above the one in force and selects the slot; UINT32_MAX or more: there is none. */
static uint64_t next_sequence(const upload_slot_t *slot, uint32_t in_force)
{
    const uint64_t first = slot->entry.subtype - SR_PARTITION_APP_OTA_0 + 1u;
    return in_force < first ? first : first + ((in_force - first) / slot->slots + 1) * slot->slots;
}

/** Writes into erased cells, encrypted if the chip does that: whole blocks of the cipher, which 0xFF fills. */
static void program(const boot_chip_t *chip, uint8_t *flash, uint32_t address, const uint8_t *bytes, uint32_t length)
{
    memcpy(flash + address, bytes, length);
    if (chip->cipher != NULL) {
        const size_t whole = (size_t)sr_region_align_up(length, FLASH_CIPHER_BLOCK);
        flash_cipher_encrypt(chip->cipher, address, flash + address, whole);
    }
}

/** Goes into the sector that is not in force. */
static void select_slot(const upload_slot_t *slot, const boot_chip_t *chip, uint8_t *flash, uint32_t size)
{
    sr_otadata_t otadata;
    uint8_t entry[SR_OTADATA_ENTRY_SIZE];
    const uint8_t *seen = boot_plain(chip, flash, size, slot->otadata, 2 * SR_SECTOR_SIZE);
    const sr_reader_t reader = sr_reader_memory(seen, 2 * SR_SECTOR_SIZE);
    const int active = sr_otadata_read(&reader, &otadata) == 0 ? sr_otadata_active(&otadata) : -1;
    const uint64_t next = next_sequence(slot, active < 0 ? 0 : otadata.entries[active].sequence);
    const bool counted_out = next >= UINT32_MAX; // no device gets there: it would have worn out long before
    const uint32_t sector = slot->otadata + (active == 0 && !counted_out ? SR_SECTOR_SIZE : 0);
    memset(flash + sector, 0xFF, counted_out ? 2 * SR_SECTOR_SIZE : SR_SECTOR_SIZE);
    sr_otadata_encode(counted_out ? (uint32_t)next_sequence(slot, 0) : (uint32_t)next,
                      chip->rollback ? SR_OTA_NEW : UINT32_MAX, entry);
    program(chip, flash, sector, entry, sizeof(entry));
}

int upload_store(const image_file_t *upload, const upload_slot_t *slot, const boot_chip_t *chip, image_file_t *flash)
{
    char size[NUMBER_TEXT_SIZE];
    char room[NUMBER_TEXT_SIZE];
    if (upload->size > slot->entry.size) {
        return complain(STATUS_NO, "%s: %s bytes, and slot %s at 0x%" PRIx32 " of %s has %s", upload->path,
                        number_grouped(upload->size, size), slot->entry.label, slot->entry.address, flash->path,
                        number_grouped(slot->entry.size, room));
    }
    const uint64_t sectors = sr_region_align_up(upload->size, SR_SECTOR_SIZE);
    memset(flash->bytes + slot->entry.address, 0xFF, sectors < slot->entry.size ? (size_t)sectors : slot->entry.size);
    program(chip, flash->bytes, slot->entry.address, upload->bytes, upload->size);
    select_slot(slot, chip, flash->bytes, flash->size);
    return STATUS_OK;
}
