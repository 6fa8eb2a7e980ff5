// SPDX-License-Identifier: Apache-2.0
// Any bytes as the mark and the list of a staged record, beside any bytes as its manifest. What a list that passes may
// write is checked once more here, by other code.
#include "fuzz_input.h"
#include "format/sr_bytes.h"
#include "format/sr_digest.h"
#include "format/sr_record.h"

#define FLASH_SIZE 0x400000u
#define RECORD     0x3C0000u
#define SEAL       (SR_SECTOR_SIZE - SR_PAGE_SIZE)

static void fuzz_mark(const uint8_t *data, size_t size)
{
    uint8_t mark[SR_RECORD_MARK_SIZE] = {0};
    uint32_t sectors = 0;
    memcpy(mark, data, size < sizeof(mark) ? size : sizeof(mark));
    for (uint64_t address = 0; address <= FLASH_SIZE; address += FLASH_SIZE / 4) {
        if (sr_record_read_mark(mark, (uint32_t)address, FLASH_SIZE, &sectors)) {
            CHECK(address + (uint64_t)sr_record_sectors(sectors) * SR_SECTOR_SIZE <= FLASH_SIZE);
        }
    }
}

static bool is_in_move(const sr_bundle_t *bundle, uint64_t address)
{
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        const sr_region_t place = sr_bundle_move(bundle, i).destination;
        if (address >= place.address && address - place.address < place.size) {
            return true;
        }
    }
    return false;
}

/** A list that passed writes each sector once, inside the flash, outside of itself, and what the manifest says. */
static void check_list(const uint8_t *list, const sr_record_header_t *header, const sr_bundle_t *bundle)
{
    static uint8_t seen[FLASH_SIZE / SR_SECTOR_SIZE];
    uint64_t data = 0;
    memset(seen, 0, sizeof(seen));
    CHECK(header->count <= SR_RECORD_MAX_ENTRIES);
    for (uint32_t i = 0; i < header->count; i++) {
        const sr_record_entry_t entry = sr_record_read_entry(list, i);
        CHECK((unsigned)entry.group < SR_RECORD_GROUPS && entry.address % SR_SECTOR_SIZE == 0);
        CHECK(entry.address + (uint64_t)entry.sectors * SR_SECTOR_SIZE <= FLASH_SIZE);
        CHECK(entry.blank || entry.data_index == data);
        data += entry.blank ? 0 : entry.sectors;
        for (uint32_t k = 0; k < entry.sectors; k++) {
            const uint32_t address = entry.address + k * SR_SECTOR_SIZE;
            CHECK(seen[address / SR_SECTOR_SIZE]++ == 0);
            CHECK(address < RECORD || address >= RECORD + sr_record_sectors(header->sectors) * SR_SECTOR_SIZE);
            const sr_bundle_want_t want = sr_bundle_want(bundle, address, NULL);
            CHECK(is_in_move(bundle, address) || want == (entry.blank ? SR_BUNDLE_BLANK : SR_BUNDLE_CONTENT));
            CHECK(sr_record_entry_at(list, header->count, address) == i);
        }
    }
    CHECK(sr_record_manifest_sectors(header->manifest_size) + data <= header->sectors);
}

static void fuzz_list(uint8_t *list, const sr_bundle_t *bundle, uint8_t flags)
{
    sr_record_header_t header;
    const uint32_t sectors = sr_bytes_get_le32(list + 4);
    const sr_record_limits_t limits = {.flash_size = FLASH_SIZE,
                                       .record = {RECORD, FLASH_SIZE - RECORD},
                                       .bootloader = 0x1000,
                                       .table = 0x8000,
                                       .can_be_guarded = (flags & 1) != 0};
    if (sr_record_sectors(sectors % (FLASH_SIZE / SR_SECTOR_SIZE)) > (FLASH_SIZE - RECORD) / SR_SECTOR_SIZE) {
        return; // No mark of this record could say that.
    }
    CHECK(sr_digest(list, SEAL, list + SEAL));
    if (sr_record_read_header(list, sectors, &header) == SR_RECORD_OK &&
        sr_record_check(list, &header, bundle, &limits) == SR_RECORD_OK) {
        check_list(list, &header, bundle);
    }
}

// A byte of flags, two of length, so much of a manifest, and the list, as far as it goes.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t list[SR_SECTOR_SIZE];
    fuzz_mark(data, size);
    if (size < 3) {
        return 0;
    }
    const size_t told = sr_bytes_get_le16(data + 1);
    const size_t length = told < size - 3 ? told : size - 3;
    const uint8_t *rest = data + 3 + length;
    const size_t left = size - 3 - length;
    sr_bundle_t bundle;
    memset(list, 0xFF, sizeof(list));
    memcpy(list, rest, left < sizeof(list) ? left : sizeof(list));
    if (sr_bundle_parse(data + 3, (uint32_t)length, &bundle) == SR_BUNDLE_OK) {
        fuzz_list(list, &bundle, data[0]);
    }
    return 0;
}
