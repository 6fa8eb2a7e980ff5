// SPDX-License-Identifier: Apache-2.0
#include "format/sr_record.h"

#include "format/sr_bytes.h"
#include "format/sr_digest.h"

#include <string.h>

#define ENTRY_SIZE  32u
#define FIRST_ENTRY SR_PAGE_SIZE

/** Fields of an entry. */
#define ENTRY_ADDRESS  0u
#define ENTRY_SECTORS  4u
#define ENTRY_GROUP    8u
#define ENTRY_BLANK    9u
#define ENTRY_RESERVED 10u
#define ENTRY_DATA     12u
#define ENTRY_DIGEST   16u

/** Fields of the list's first page. */
#define AT_COUNT    0u
#define AT_SECTORS  4u
#define AT_GUARDED  8u /**< 0 if a recovery bootloader stands in, else erased. */
#define AT_MANIFEST 12u
#define AT_APP_ID   16u
#define AT_BEFORE   32u
#define AT_SEAL     (SR_SECTOR_SIZE - SR_PAGE_SIZE)

/** A mark: 8 bytes of magic, version, sectors, and those once more with all bits flipped. */
#define MARK_VERSION 8u
#define MARK_SECTORS 12u
#define MARK_FLIPPED 16u

static const uint8_t magic[8] = {'S', 'R', 'S', 'T', 'A', 'G', 'E', 0x1A};

const char *sr_record_status_text(sr_record_status_t status)
{
    static const char *const texts[] = {
        [SR_RECORD_OK] = "is valid",
        [SR_RECORD_IN_DATA] = "lies in a data partition, where nothing is staged",
        [SR_RECORD_NOT_SEALED] = "was not written to its end",
        [SR_RECORD_NOT_HASHED] = "cannot be hashed",
        [SR_RECORD_BAD_HEADER] = "contradicts itself",
        [SR_RECORD_OTHER_APP] = "was not written by this app",
        [SR_RECORD_BAD_MANIFEST] = "has no manifest that can be trusted",
        [SR_RECORD_NOT_ADMITTED] = "has a manifest that is not for this device",
        [SR_RECORD_BAD_ENTRY] = "has an entry that no app would write",
        [SR_RECORD_NOT_WANTED] = "has an entry that its manifest does not want",
        [SR_RECORD_FORBIDDEN] = "has an entry over itself, or over what runs here",
        [SR_RECORD_BAD_RECOVERY] = "counts on a recovery bootloader that this chip does not have",
        [SR_RECORD_BAD_DATA] = "has content that its manifest does not vouch for",
        [SR_RECORD_INCOMPLETE] = "has not all that its manifest says",
        [SR_RECORD_REFUSED] = "would leave a chip that does not boot",
    };
    return (unsigned)status < sizeof(texts) / sizeof(texts[0]) ? texts[status] : "has an unknown status";
}

void sr_record_write_mark(uint8_t mark[SR_RECORD_MARK_SIZE], uint32_t sectors)
{
    memcpy(mark, magic, sizeof(magic));
    sr_bytes_put_le32(mark + MARK_VERSION, SR_RECORD_VERSION);
    sr_bytes_put_le32(mark + MARK_SECTORS, sectors);
    sr_bytes_put_le32(mark + MARK_FLIPPED, ~sectors);
}

bool sr_record_read_mark(const uint8_t mark[SR_RECORD_MARK_SIZE], uint32_t address, uint32_t flash_size,
                         uint32_t *sectors)
{
    const uint32_t told = sr_bytes_get_le32(mark + MARK_SECTORS);
    *sectors = sr_bytes_get_le32(mark + MARK_FLIPPED) == ~told ? told : 0;
    return memcmp(mark, magic, sizeof(magic)) == 0 && sr_bytes_get_le32(mark + MARK_VERSION) == SR_RECORD_VERSION &&
           *sectors < flash_size / SR_SECTOR_SIZE && address <= flash_size &&
           sr_record_sectors(*sectors) <= (flash_size - address) / SR_SECTOR_SIZE;
}

uint32_t sr_record_sectors(uint32_t sectors)
{
    return sectors > 0 ? SR_RECORD_OVERHEAD + sectors : 1;
}

uint32_t sr_record_manifest_sectors(uint32_t manifest_size)
{
    return (manifest_size + SR_SECTOR_SIZE - 1u) / SR_SECTOR_SIZE;
}

bool sr_record_write_header(uint8_t list[SR_SECTOR_SIZE], const sr_record_header_t *header)
{
    sr_bytes_put_le32(list + AT_COUNT, header->count);
    sr_bytes_put_le32(list + AT_SECTORS, header->sectors);
    sr_bytes_put_le32(list + AT_GUARDED, header->guarded ? 0 : UINT32_MAX);
    sr_bytes_put_le32(list + AT_MANIFEST, header->manifest_size);
    memcpy(list + AT_APP_ID, header->app_id, sizeof(header->app_id));
    memcpy(list + AT_BEFORE, header->before, sizeof(header->before));
    return sr_digest(list, AT_SEAL, list + AT_SEAL);
}

sr_record_status_t sr_record_read_header(const uint8_t list[SR_SECTOR_SIZE], uint32_t sectors,
                                         sr_record_header_t *header)
{
    uint8_t seal[SR_SHA256_SIZE];
    if (!sr_digest(list, AT_SEAL, seal)) {
        return SR_RECORD_NOT_HASHED;
    }
    if (memcmp(seal, list + AT_SEAL, sizeof(seal)) != 0) {
        return SR_RECORD_NOT_SEALED;
    }
    *header = (sr_record_header_t){.count = sr_bytes_get_le32(list + AT_COUNT),
                                   .sectors = sr_bytes_get_le32(list + AT_SECTORS),
                                   .manifest_size = sr_bytes_get_le32(list + AT_MANIFEST),
                                   .guarded = sr_bytes_get_le32(list + AT_GUARDED) == 0};
    memcpy(header->app_id, list + AT_APP_ID, sizeof(header->app_id));
    memcpy(header->before, list + AT_BEFORE, sizeof(header->before));
    const bool fits = header->count <= SR_RECORD_MAX_ENTRIES && header->sectors == sectors &&
                      header->manifest_size > SR_BUNDLE_HEADER_SIZE + SR_BUNDLE_SIGNATURE_SIZE &&
                      header->manifest_size <= SR_BUNDLE_MAX_MANIFEST + SR_BUNDLE_SIGNATURE_SIZE &&
                      sr_record_manifest_sectors(header->manifest_size) <= sectors;
    return fits ? SR_RECORD_OK : SR_RECORD_BAD_HEADER;
}

void sr_record_write_entry(uint8_t list[SR_SECTOR_SIZE], uint32_t index, const sr_record_entry_t *entry)
{
    uint8_t *row = list + FIRST_ENTRY + index * ENTRY_SIZE;
    sr_bytes_put_le32(row + ENTRY_ADDRESS, entry->address);
    sr_bytes_put_le32(row + ENTRY_SECTORS, entry->sectors);
    row[ENTRY_GROUP] = (uint8_t)entry->group;
    row[ENTRY_BLANK] = entry->blank;
    memset(row + ENTRY_RESERVED, 0, ENTRY_DATA - ENTRY_RESERVED);
    sr_bytes_put_le32(row + ENTRY_DATA, entry->blank ? UINT32_MAX : entry->data_index);
    memcpy(row + ENTRY_DIGEST, entry->digest, SR_BUNDLE_DIGEST_SIZE);
}

sr_record_entry_t sr_record_read_entry(const uint8_t list[SR_SECTOR_SIZE], uint32_t index)
{
    const uint8_t *row = list + FIRST_ENTRY + index * ENTRY_SIZE;
    sr_record_entry_t entry = {.address = sr_bytes_get_le32(row + ENTRY_ADDRESS),
                               .sectors = sr_bytes_get_le32(row + ENTRY_SECTORS),
                               .group = (sr_record_group_t)row[ENTRY_GROUP],
                               .blank = row[ENTRY_BLANK] != 0,
                               .data_index = sr_bytes_get_le32(row + ENTRY_DATA)};
    memcpy(entry.digest, row + ENTRY_DIGEST, SR_BUNDLE_DIGEST_SIZE);
    return entry;
}

/* No overflow: sr_record_check() has seen that the entry lies inside the flash. */
static sr_region_t place_of(const sr_record_entry_t *entry)
{
    return (sr_region_t){entry->address, entry->sectors * SR_SECTOR_SIZE};
}

/* True if a writer could have made this entry. */
static bool is_well_formed(const uint8_t *list, uint32_t index, const sr_record_entry_t *entry, uint32_t flash_size)
{
    const uint8_t *row = list + FIRST_ENTRY + index * ENTRY_SIZE;
    const bool one_by_one = entry->group > SR_RECORD_NEIGHBOURS;
    return (unsigned)entry->group < SR_RECORD_GROUPS && row[ENTRY_BLANK] <= 1 &&
           sr_bytes_are_zero(row + ENTRY_RESERVED, ENTRY_DATA - ENTRY_RESERVED) &&
           sr_region_is_aligned(entry->address, SR_SECTOR_SIZE) && entry->address < flash_size && entry->sectors > 0 &&
           entry->sectors <= (flash_size - entry->address) / SR_SECTOR_SIZE && (entry->sectors == 1 || !one_by_one);
}

/* Groups in their order, sectors of a group by ascending address, none twice. The entries before it are well-formed. */
static bool is_in_order(const uint8_t *list, uint32_t index, const sr_record_entry_t *entry)
{
    for (uint32_t i = 0; i < index; i++) {
        const sr_record_entry_t earlier = sr_record_read_entry(list, i);
        if (earlier.group > entry->group || (earlier.group == entry->group && earlier.address > entry->address) ||
            sr_region_overlaps(place_of(&earlier), place_of(entry))) {
            return false;
        }
    }
    return true;
}

bool sr_record_moves_to(const sr_bundle_t *bundle, uint32_t address)
{
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        if (sr_region_overlaps(sr_bundle_move(bundle, i).destination, (sr_region_t){address, SR_SECTOR_SIZE})) {
            return true;
        }
    }
    return false;
}

/* True if every sector of the entry is what the manifest wants there, or lies where the manifest moves something to,
 * and its content is all of one kind. */
static bool is_wanted(const sr_record_entry_t *entry, const sr_bundle_t *bundle)
{
    const sr_bundle_want_t kind = entry->blank ? SR_BUNDLE_BLANK : SR_BUNDLE_CONTENT;
    const bool moves = sr_record_moves_to(bundle, entry->address);
    for (uint32_t i = 0; i < entry->sectors; i++) {
        const uint32_t address = entry->address + i * SR_SECTOR_SIZE;
        const bool moves_here = sr_record_moves_to(bundle, address);
        if (!moves_here && sr_bundle_want(bundle, address, NULL) != kind) {
            return false;
        }
        if (!entry->blank && moves_here != moves) {
            return false;
        }
    }
    return (moves && !entry->blank) || sr_bytes_are_zero(entry->digest, sizeof(entry->digest));
}

/* The table comes after the bootloader, and both after the data: no app of ours writes a list in another order. */
static bool is_in_its_group(const sr_record_entry_t *entry, const sr_record_limits_t *limits)
{
    const sr_region_t first = {limits->bootloader, SR_SECTOR_SIZE};
    const bool is_table = sr_region_overlaps(place_of(entry), (sr_region_t){limits->table, SR_SECTOR_SIZE});
    if (is_table != (entry->group == SR_RECORD_TABLE)) {
        return false;
    }
    return !sr_region_overlaps(place_of(entry), first) || entry->group == SR_RECORD_BOOTLOADER;
}

static bool is_forbidden(const sr_record_entry_t *entry, const sr_record_limits_t *limits)
{
    const sr_region_t place = place_of(entry);
    return sr_region_overlaps(place, limits->record) || sr_region_overlaps(place, limits->recovery);
}

/* If a recovery bootloader stands in, the commit starts with the magic byte: it must be in the first sector in RAM. */
static bool may_be_guarded(const uint8_t *list, uint32_t count, const sr_record_limits_t *limits)
{
    for (uint32_t i = 0; i < count; i++) {
        const sr_record_entry_t entry = sr_record_read_entry(list, i);
        if (entry.group == SR_RECORD_BOOTLOADER) {
            return limits->can_be_guarded && entry.address == limits->bootloader && !entry.blank;
        }
    }
    return true;
}

/** Sectors that wait in RAM. */
typedef struct held {
    uint32_t neighbours; /**< Blank ones of the block that the boot path begins in. */
    uint32_t elsewhere;  /**< With content, and part of neither bootloader nor table. */
} held_t;

/* Bounded by what a system has there, so that no list can ask for all the memory there is. */
static bool count_held(held_t *held, const sr_record_entry_t *entry, const sr_record_limits_t *limits)
{
    const bool elsewhere = entry->address < limits->bootloader || entry->address > limits->table;
    held->neighbours += entry->group == SR_RECORD_NEIGHBOURS ? entry->sectors : 0;
    held->elsewhere += entry->group > SR_RECORD_NEIGHBOURS && !entry->blank && elsewhere;
    return held->neighbours < SR_SECTORS_PER_BLOCK && held->elsewhere <= SR_RECORD_MAX_HELD &&
           (entry->group != SR_RECORD_NEIGHBOURS || entry->blank);
}

sr_record_status_t sr_record_check(const uint8_t list[SR_SECTOR_SIZE], const sr_record_header_t *header,
                                   const sr_bundle_t *bundle, const sr_record_limits_t *limits)
{
    const uint32_t manifest_sectors = sr_record_manifest_sectors(header->manifest_size);
    uint32_t data_sectors = 0; /* The sum of entries that do not overlap is at most what the flash has. */
    held_t held = {0};
    for (uint32_t i = 0; i < header->count; i++) {
        const sr_record_entry_t entry = sr_record_read_entry(list, i);
        if (!is_well_formed(list, i, &entry, limits->flash_size) || !is_in_order(list, i, &entry) ||
            entry.data_index != (entry.blank ? UINT32_MAX : data_sectors)) {
            return SR_RECORD_BAD_ENTRY;
        }
        if (!is_wanted(&entry, bundle)) {
            return SR_RECORD_NOT_WANTED;
        }
        if (!is_in_its_group(&entry, limits)) {
            return SR_RECORD_BAD_ENTRY;
        }
        if (is_forbidden(&entry, limits)) {
            return SR_RECORD_FORBIDDEN;
        }
        data_sectors += entry.blank ? 0 : entry.sectors;
        if (!count_held(&held, &entry, limits)) {
            return SR_RECORD_BAD_ENTRY;
        }
    }
    if (data_sectors > header->sectors - manifest_sectors ||
        header->sectors - manifest_sectors - data_sectors > SR_RECORD_MAX_FILL) {
        return SR_RECORD_BAD_HEADER;
    }
    return !header->guarded || may_be_guarded(list, header->count, limits) ? SR_RECORD_OK : SR_RECORD_BAD_RECOVERY;
}

uint32_t sr_record_entry_at(const uint8_t list[SR_SECTOR_SIZE], uint32_t count, uint32_t address)
{
    for (uint32_t i = 0; i < count; i++) {
        const sr_record_entry_t entry = sr_record_read_entry(list, i);
        if (address >= entry.address && (address - entry.address) / SR_SECTOR_SIZE < entry.sectors) {
            return i;
        }
    }
    return SR_RECORD_MAX_ENTRIES;
}

bool sr_record_is_first_part(const uint8_t list[SR_SECTOR_SIZE], uint32_t count, const sr_record_entry_t *entry)
{
    bool has_image = false;
    for (uint32_t i = 0; i < count; i++) {
        const sr_record_group_t group = sr_record_read_entry(list, i).group;
        has_image |= group == SR_RECORD_BOOTLOADER || group == SR_RECORD_TABLE;
    }
    return has_image ? entry->group == SR_RECORD_BOOTLOADER || entry->group == SR_RECORD_TABLE
                     : entry->group == SR_RECORD_OTADATA;
}
