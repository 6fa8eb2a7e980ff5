// SPDX-License-Identifier: Apache-2.0
/** @file
 * One byte for each sector of the flash: what it is to the running system, and what a bundle wants there.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

/** Flags of a sector, SR_MAP_...: each is one thing, and has one writer, named with it. */
typedef uint16_t sr_map_flags_t;

/* What the bundle wants and the flash holds: by the scan. */
#define SR_MAP_TARGET  0x0001u /**< In a region of the bundle. */
#define SR_MAP_CONTENT 0x0002u /**< Not to be blank. Without SR_MAP_TARGET: the content moves here from elsewhere. */
#define SR_MAP_WRONG   0x0004u /**< Does not hold what the bundle wants. */
#define SR_MAP_BLANK   0x0008u /**< Erased. */
/* What the running system needs until the end: by the scan, and for sources by the search for moves. */
#define SR_MAP_BOOT_PATH   0x0010u /**< Its bootloader, partition table or otadata. */
#define SR_MAP_RUNNING_APP 0x0020u /**< The running app, at its true length. */
#define SR_MAP_DATA        0x0040u /**< In one of its data partitions: NVS, PHY, file systems, its own types. */
#define SR_MAP_SOURCE      0x0080u /**< Content that moves comes from here, or a page of NVS that is left out. */
#define SR_MAP_CLOSED_NOW  0x0100u /**< Its table flags the partition `readonly`: its flash driver refuses. */
/* What the migration needs for itself: by the plan. */
#define SR_MAP_CLAIMED  0x0200u /**< In the block that the commit erases at once, sr_map_claim_block(). */
#define SR_MAP_RECOVERY 0x0400u /**< Of a recovery bootloader that stands in. */
#define SR_MAP_MARK     0x0800u /**< The mark that the installation is not done. */
#define SR_MAP_RELEASED 0x1000u /**< Of an old record or a torn mark: as good as blank before anything is written. */
/* What the new system has here: by the plan. */
#define SR_MAP_NEW_DATA 0x2000u /**< One of its data partitions. */
#define SR_MAP_NEW_GAP  0x4000u /**< A blank gap in one of its apps. */
#define SR_MAP_CLOSED_THEN                                                                                             \
    0x8000u /**< Its table flags the partition `readonly`; or the chip decrypts the sector, and                        \
                 what is erased does not read as blank: nothing could be cleaned up here. */

/** What the commit writes from RAM, if it is wrong. */
#define SR_MAP_COMMITTED (SR_MAP_BOOT_PATH | SR_MAP_CLAIMED | SR_MAP_RECOVERY)
/** What the running system needs as data. */
#define SR_MAP_OLD_DATA (SR_MAP_DATA | SR_MAP_SOURCE)
/** What nothing may overwrite before the commit. */
#define SR_MAP_NEEDED (SR_MAP_COMMITTED | SR_MAP_RUNNING_APP | SR_MAP_OLD_DATA | SR_MAP_MARK)
/** Where the new system would miss what is put here. */
#define SR_MAP_NEW_USE (SR_MAP_NEW_DATA | SR_MAP_NEW_GAP)
/** Where nothing may be put. */
#define SR_MAP_CLOSED (SR_MAP_CLOSED_NOW | SR_MAP_CLOSED_THEN)
/** What a scan finds out. */
#define SR_MAP_SCANNED (SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_BLANK)

typedef struct sr_map {
    sr_map_flags_t *flags; /**< One for each sector, memory owned by the caller; written by the functions below only. */
    uint32_t count;        /**< Sectors of the flash. */
    uint32_t row; /**< Bytes that one program writes, from 1 to SR_SECTOR_SIZE: a page, or where the chip encrypts
                     what its hardware takes at once. */
    sr_region_t guarded; /**< Part of the boot path in which a power loss does no harm, as a recovery bootloader stands
                            in; empty: none. */
} sr_map_t;

/** What comparing a map with a bundle gives, in numbers. */
typedef struct sr_map_summary {
    uint32_t total;                  /**< Sectors that the bundle describes, those that move included. */
    uint32_t wrong;                  /**< Sectors of the target that must be written. */
    uint32_t boot_path;              /**< Wrong sectors on the boot path, other than the running app. */
    uint32_t running;                /**< Wrong sectors under the running app. */
    uint32_t moved;                  /**< Wrong sectors with content from elsewhere in the flash. */
    uint32_t staged;                 /**< Sectors with content that the commit writes: what staging has to hold. */
    uint32_t bytes;                  /**< Encoded bytes of the chunks that carry at least one wrong sector. */
    uint32_t typical_ms, maximum_ms; /**< Time to erase and program all wrong sectors. */
    uint32_t window_typical_ms, window_maximum_ms; /**< Time to write the boot path, but for `guarded`. */
} sr_map_summary_t;

/** Sets flags for all sectors that a region touches, as far as the flash goes. */
void sr_map_mark(sr_map_t *map, sr_region_t region, sr_map_flags_t flags);

/** Clears flags for all sectors that a region touches, as far as the flash goes. */
void sr_map_clear(sr_map_t *map, sr_region_t region, sr_map_flags_t flags);

/** Flags of the sector at this address, which must be inside the flash. */
static inline sr_map_flags_t sr_map_at(const sr_map_t *map, uint32_t address)
{
    return map->flags[address / SR_SECTOR_SIZE];
}

/** Sets all flags of the sector at this address, which must be inside the flash: to put back what sr_map_at() was. */
void sr_map_put(sr_map_t *map, uint32_t address, sr_map_flags_t flags);

/** True for a sector that is erased when its turn comes. */
static inline bool sr_map_is_blank(sr_map_flags_t flags)
{
    return (flags & (SR_MAP_BLANK | SR_MAP_RELEASED)) != 0;
}

/** True for a sector whose content comes from elsewhere in the flash. */
static inline bool sr_map_is_moved(sr_map_flags_t flags)
{
    return (flags & (SR_MAP_CONTENT | SR_MAP_TARGET)) == SR_MAP_CONTENT;
}

/** True for a sector that must be written from the bundle and that the running system does not need. */
static inline bool sr_map_is_body(sr_map_flags_t flags)
{
    return (flags & SR_MAP_WRONG) != 0 && (flags & SR_MAP_NEEDED) == 0 && !sr_map_is_moved(flags);
}

/** True for a sector that must get content from elsewhere in the flash and that the running system does not need. */
static inline bool sr_map_is_moved_body(sr_map_flags_t flags)
{
    return (flags & SR_MAP_WRONG) != 0 && (flags & SR_MAP_NEEDED) == 0 && sr_map_is_moved(flags);
}

/**
 * True if one erase of the whole 64 KiB block is quicker than the erases of its sectors and loses nothing: each sector
 * of it belongs to the bundle, is open and needed by nobody, and is either blank or about to be written. Blank sectors
 * of others do not count as nothing to lose: an erase that is cut short leaves them torn, and nobody would put them
 * right.
 */
bool sr_map_block_erase(const sr_map_t *map, uint32_t block);

/** Address of the 64 KiB block in which the boot path begins to change; UINT32_MAX if it does not. */
uint32_t sr_map_boot_block(const sr_map_t *map);

/**
 * How far the mark of a record counts: it claims flash of its own partition only. What a power loss leaves of a record
 * past that is nobody's, and would be in the way for good. So a record goes on past it only in sectors that the bundle
 * describes.
 */
typedef struct sr_map_reach {
    uint32_t (*end)(void *context, uint32_t address); /**< End of what a mark at an address can claim. */
    void *context;
} sr_map_reach_t;

/**
 * Claims the block of sr_map_boot_block() for the commit, if one erase of the whole block is quicker than those of the
 * boot path in it, and none of its sectors has to keep what it holds: each is boot path that must be written, or is to
 * be blank, or is blank and nobody's, or gets content from the bundle, which at most two may. All of them are boot path
 * from then on: nothing else may lie there. What an erase that is cut short leaves of those that are to be blank is put
 * right with the rest; of those that are nobody's it may leave anything.
 * @param record_sectors Free flash that the record needs. Without it nothing is claimed, because nobody would do that.
 * @param owned Bit N: sector N of the block lies in a partition of the running or of the new system.
 */
void sr_map_claim_block(sr_map_t *map, const sr_map_reach_t *reach, uint32_t record_sectors, uint16_t owned);

/** The claimed block; empty if there is none. */
sr_region_t sr_map_claimed(const sr_map_t *map);

/** True if a chunk carries a sector whose flags hold all of @p want and none of @p without. */
bool sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, sr_map_flags_t want,
                      sr_map_flags_t without);

/** Counts and estimates; times from the W25Q32JV's datasheet, with a program for each row. */
void sr_map_summarize(const sr_map_t *map, const sr_bundle_t *bundle, sr_map_summary_t *summary);

/** Times of so many sector erases and of so many sectors that are programmed, in milliseconds, rounded up. */
void sr_map_times(const sr_map_t *map, uint32_t erases, uint32_t programs, uint32_t *typical_ms, uint32_t *maximum_ms);

/**
 * Finds flash that is free once the body is written: a run of open sectors that nobody needs, and that are erased now
 * or will be because the bundle wants them blank. Data partitions of the new system only if there is no other: there a
 * record is not taken for one any more once the new table is in place, and what a cut leaves of it is in the way.
 * @param reach NULL: a mark counts everywhere.
 * @return Address of the first run of @p sectors sectors, or UINT32_MAX.
 */
uint32_t sr_map_find_free(const sr_map_t *map, const sr_map_reach_t *reach, uint32_t sectors);

/**
 * Finds a sector for the mark of an installation that is not done: erased, needed by nobody, where no record would
 * rather lie, and in no data partition of the new system, where it would not be believed any more. The highest one.
 * Only if there is no other: one that is erased with others at once, that may be the end of a slot, or that the bundle
 * wants blank and is not.
 * @param below Where to end.
 * @return Its address, or UINT32_MAX.
 */
uint32_t sr_map_find_mark(const sr_map_t *map, uint32_t below);

/** The longest run that sr_map_find_free() would find, the first of several; empty if there is none. */
sr_region_t sr_map_longest_free(const sr_map_t *map, const sr_map_reach_t *reach);

/**
 * Finds a place for a staged record, as sr_map_find_free() does. Its data starts with a block, and fills it up, if that
 * is free as well and erasing the record is quicker then. If it is not known where the new system has its slots, it
 * stays clear of where their ends may be, as long as there is room: while the record is there, that system may boot
 * already.
 * @param overhead Sectors of the record in front of its data.
 * @param slots_are_known The new system has a partition table of ESP-IDF's.
 * @param[in,out] data_sectors Those that it needs, and those that it takes.
 */
uint32_t sr_map_find_record(const sr_map_t *map, const sr_map_reach_t *reach, uint32_t overhead, bool slots_are_known,
                            uint32_t *data_sectors);
