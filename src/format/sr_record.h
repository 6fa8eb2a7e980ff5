// SPDX-License-Identifier: Apache-2.0
/** @file
 * The bytes of a staged record, and what a list must be to count: docs/record-format.md.
 *
 * A record lies in free flash, where anybody may have put bytes. The seal of its list proves only that it was written
 * to the end. What may be written because of it is decided here, against a manifest whose signature was verified
 * before, and against the flash: no address, length, count or index of a list is used before sr_record_check() has
 * passed it.
 *
 * Allocates nothing, reads no flash. No product or sum can wrap: numbers are bounded by the size of the flash first.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_RECORD_VERSION     3u
#define SR_RECORD_MAX_ENTRIES 112u
#define SR_RECORD_OVERHEAD    2u                          /**< Sectors in front of manifest and data: mark and list. */
#define SR_RECORD_MARK_SIZE   20u                         /**< Bytes of the mark that say something. */
#define SR_RECORD_MAX_FILL    (SR_SECTORS_PER_BLOCK - 1u) /**< Sectors that fill up a block. */
/** Sectors with content that wait in RAM beside those of bootloader and table: otadata, and what shares the block. */
#define SR_RECORD_MAX_HELD 16u

/** When an entry is written. */
typedef enum sr_record_group {
    SR_RECORD_DATA = 0,       /**< Data partitions of the old system, one after another. */
    SR_RECORD_NEIGHBOURS = 1, /**< From here on as sr_boot_path_buffer_group_t. */
    SR_RECORD_BOOTLOADER = 2,
    SR_RECORD_TABLE = 3,
    SR_RECORD_OTADATA = 4,
    SR_RECORD_GROUPS,
} sr_record_group_t;

/** Sectors that are left to be written. */
typedef struct sr_record_entry {
    uint32_t address;
    uint32_t sectors; /**< Adjacent ones. 1 on the boot path. */
    sr_record_group_t group;
    bool blank;                            /**< Nothing but 0xFF. */
    uint32_t data_index;                   /**< For content: which data sector of the record holds its first one. */
    uint8_t digest[SR_BUNDLE_DIGEST_SIZE]; /**< For content that moves: over all of its sectors; else zero. */
} sr_record_entry_t;

/** What a list says about itself. */
typedef struct sr_record_header {
    uint32_t count;         /**< Entries; at most SR_RECORD_MAX_ENTRIES. */
    uint32_t sectors;       /**< After mark and list: manifest, data, and what fills up a block. */
    uint32_t manifest_size; /**< Bytes of manifest and signature block. */
    bool guarded;           /**< A recovery bootloader stands in while the commit writes the bootloader. */
    /** Digest of the first sector of the app that wrote the record. Only the same app may go on with it: the record
     * knows nothing of whatever else runs here by now. */
    uint8_t app_id[SR_BUNDLE_DIGEST_SIZE];
    /** Digest of the boot path's first part before the commit, sr_record_is_first_part(): tells a boot path that is
     *  still the old one from one that is half written. */
    uint8_t before[SR_BUNDLE_DIGEST_SIZE];
} sr_record_header_t;

/** Why a record does not count. */
typedef enum sr_record_status {
    SR_RECORD_OK = 0,
    SR_RECORD_IN_DATA,      /**< Part of it lies in a data partition of the running system. */
    SR_RECORD_NOT_SEALED,   /**< Not written to the end, or being erased. */
    SR_RECORD_NOT_HASHED,   /**< The crypto library fails: whether it is sealed is not known. */
    SR_RECORD_BAD_HEADER,   /**< Counts that do not fit together, or not this mark. */
    SR_RECORD_OTHER_APP,    /**< Written by another app. */
    SR_RECORD_BAD_MANIFEST, /**< Manifest or signature: the bundle's status says more. */
    SR_RECORD_NOT_ADMITTED, /**< The manifest is not for this chip, or too old. */
    SR_RECORD_BAD_ENTRY,    /**< An entry that no app would write: outside the flash, out of order, of no group, ... */
    SR_RECORD_NOT_WANTED,   /**< An entry that the manifest does not want there. */
    SR_RECORD_FORBIDDEN,    /**< An entry over the record itself, or that would change what runs. */
    SR_RECORD_BAD_RECOVERY, /**< Counts on a recovery bootloader, and this chip has none that can stand in. */
    SR_RECORD_BAD_DATA,     /**< A data sector does not have the digest that vouches for it. */
    SR_RECORD_INCOMPLETE,   /**< The flash would not hold all that the manifest says. */
    SR_RECORD_REFUSED,      /**< The chip would not boot the result. */
} sr_record_status_t;

/** One line for a log. */
const char *sr_record_status_text(sr_record_status_t status);

/** Writes the mark: here is a record, and so many sectors follow after mark and list. With 0 it is a mark alone, which
 *  takes one sector and is no record: a list always comes with a manifest. */
void sr_record_write_mark(uint8_t mark[SR_RECORD_MARK_SIZE], uint32_t sectors);

/**
 * Reads a mark. A torn one may tell any number; nothing follows it then, because the mark is written first and erased
 * last.
 * @param address Where it was read.
 * @param[out] sectors Of the record after mark and list; 0 if the mark is torn.
 * @return false if it is none, or if the record would not fit into the flash.
 */
bool sr_record_read_mark(const uint8_t mark[SR_RECORD_MARK_SIZE], uint32_t address, uint32_t flash_size,
                         uint32_t *sectors);

/** Sectors of a whole record. @param sectors As the mark has them; 0: it is a mark alone, and no record. */
uint32_t sr_record_sectors(uint32_t sectors);

/** Sectors that a manifest with its signature takes. @param manifest_size At most UINT32_MAX - SR_SECTOR_SIZE. */
uint32_t sr_record_manifest_sectors(uint32_t manifest_size);

/** Writes header and seal of a list whose entries are there. @return false if it cannot be hashed. */
bool sr_record_write_header(uint8_t list[SR_SECTOR_SIZE], const sr_record_header_t *header);

/**
 * Reads header and seal of a list.
 * @param sectors As the mark has it.
 * @return SR_RECORD_OK, SR_RECORD_NOT_SEALED, SR_RECORD_NOT_HASHED or SR_RECORD_BAD_HEADER.
 */
sr_record_status_t sr_record_read_header(const uint8_t list[SR_SECTOR_SIZE], uint32_t sectors,
                                         sr_record_header_t *header);

/** Writes entry number @p index, below SR_RECORD_MAX_ENTRIES. */
void sr_record_write_entry(uint8_t list[SR_SECTOR_SIZE], uint32_t index, const sr_record_entry_t *entry);

/** Reads entry number @p index, below SR_RECORD_MAX_ENTRIES. Its fields may hold any value. */
sr_record_entry_t sr_record_read_entry(const uint8_t list[SR_SECTOR_SIZE], uint32_t index);

/** What a list is checked against. */
typedef struct sr_record_limits {
    uint32_t flash_size;
    sr_region_t record;   /**< The record itself, mark included. */
    uint32_t bootloader;  /**< Where the ROM looks for it. */
    uint32_t table;       /**< Of the running system's partition table. */
    sr_region_t recovery; /**< The recovery bootloader, if it started the chip; else empty. */
    bool can_be_guarded;  /**< A recovery bootloader is burnt, and bytes can be programmed one by one. */
} sr_record_limits_t;

/**
 * Checks a list whose header was read against a verified manifest and against the flash. Contents are left to the
 * caller: data sectors, and what the flash holds where the list has no entry.
 * @return SR_RECORD_OK, SR_RECORD_BAD_ENTRY, SR_RECORD_BAD_HEADER, SR_RECORD_NOT_WANTED, SR_RECORD_FORBIDDEN or
 * SR_RECORD_BAD_RECOVERY.
 */
sr_record_status_t sr_record_check(const uint8_t list[SR_SECTOR_SIZE], const sr_record_header_t *header,
                                   const sr_bundle_t *bundle, const sr_record_limits_t *limits);

/** True if a sector lies in the destination of a move. */
bool sr_record_moves_to(const sr_bundle_t *bundle, uint32_t address);

/** Number of the entry of a list that has this sector, or SR_RECORD_MAX_ENTRIES if none has. @param count Entries. */
uint32_t sr_record_entry_at(const uint8_t list[SR_SECTOR_SIZE], uint32_t count, uint32_t address);

/** True if an entry belongs to the part of the boot path that the commit changes first: bootloader and table, or, if it
 *  changes neither, otadata. As long as that part is as it was, the old boot path is whole. */
bool sr_record_is_first_part(const uint8_t list[SR_SECTOR_SIZE], uint32_t count, const sr_record_entry_t *entry);
