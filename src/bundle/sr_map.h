// SPDX-License-Identifier: Apache-2.0
/** @file
 * One byte for each sector of the flash: what it is to the running system, and what a bundle wants of it.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_MAP_TARGET      0x01u /**< In a region of the bundle. */
#define SR_MAP_WRONG       0x02u /**< Does not hold what the bundle wants. */
#define SR_MAP_BLANK       0x04u /**< Erased. */
#define SR_MAP_BOOT_PATH   0x08u /**< Bootloader, partition table or otadata of the running system. */
#define SR_MAP_RUNNING_APP 0x10u /**< The running app, at its true length. */
#define SR_MAP_DATA        0x20u /**< In a data partition of the running system: NVS, PHY, file systems, its own types. */
#define SR_MAP_CONTENT     0x40u /**< Not to be blank. Without SR_MAP_TARGET: the content moves here from elsewhere. */
#define SR_MAP_NEW_DATA    0x80u /**< In a data partition of the bundle's system, or a blank gap in an app of it. */

/** What the running system needs until the end. */
#define SR_MAP_NEEDED (SR_MAP_BOOT_PATH | SR_MAP_RUNNING_APP | SR_MAP_DATA)

/** Why nothing may be put into a sector. */
#define SR_MAP_CLOSED_NOW 0x1u /**< The running system's table flags it `readonly`: its flash driver refuses. */
#define SR_MAP_CLOSED_THEN                                                                                             \
    0x2u /**< It could not be cleaned up: the bundle's table flags it so; or the chip decrypts it,                     \
              and what is erased there does not read as blank. */

/** Bytes of sr_map_t's `closed` for so many sectors. */
#define SR_MAP_CLOSED_SIZE(sectors) ((sectors) / 4u + 1u)

typedef struct sr_map {
    uint8_t *flags;       /**< One byte a sector, owned by the caller. */
    uint8_t *closed;      /**< Two bits a sector, owned by the caller: SR_MAP_CLOSED_...; NULL: no sector is. */
    uint32_t count;       /**< Sectors of the flash. */
    uint32_t claimed_end; /**< End of the block that sr_map_claim_block() claimed; 0: none. */
    sr_region_t guarded;  /**< Part of the boot path in which a cut does no harm, as a recovery bootloader stands in;
                             empty: none. */
} sr_map_t;

/** Numbers of a map against a bundle. */
typedef struct sr_map_summary {
    uint32_t total;                  /**< Sectors that the bundle describes, those that move included. */
    uint32_t wrong;                  /**< Of those: to be written. */
    uint32_t boot_path;              /**< Of those: on the boot path, running app excepted. */
    uint32_t running;                /**< Of those: under the running app. */
    uint32_t moved;                  /**< Of those: with content from elsewhere in the flash. */
    uint32_t staged;                 /**< Sectors with content that the commit writes: what staging has to hold. */
    uint32_t bytes;                  /**< Of the chunks that carry at least one wrong sector. */
    uint32_t typical_ms, maximum_ms; /**< Erasing and programming all of them. */
    uint32_t window_typical_ms, window_maximum_ms; /**< Those of the boot path that are not guarded. */
} sr_map_summary_t;

/** Sets a flag for all sectors that a region touches, as far as the flash goes. */
void sr_map_mark(sr_map_t *map, sr_region_t region, uint8_t flag);

/** Closes all sectors that a region touches, as far as the flash goes. */
void sr_map_close(sr_map_t *map, sr_region_t region, uint8_t why);

/** SR_MAP_CLOSED_... of the sector at this address, which must be inside the flash; 0: it is open. */
static inline unsigned sr_map_closed(const sr_map_t *map, uint32_t address)
{
    const uint32_t index = address / SR_SECTOR_SIZE;
    return map->closed != NULL ? (unsigned)map->closed[index / 4u] >> index % 4u * 2u & 3u : 0;
}

/** Flags of the sector at this address, which must be inside the flash. */
static inline uint8_t sr_map_at(const sr_map_t *map, uint32_t address)
{
    return map->flags[address / SR_SECTOR_SIZE];
}

/** True for a sector whose content comes from elsewhere in the flash. */
static inline bool sr_map_is_moved(uint8_t flags)
{
    return (flags & (SR_MAP_CONTENT | SR_MAP_TARGET)) == SR_MAP_CONTENT;
}

/** True for a sector that must be written from the bundle and that the running system does not need. */
static inline bool sr_map_is_body(uint8_t flags)
{
    return (flags & SR_MAP_WRONG) != 0 && (flags & SR_MAP_NEEDED) == 0 && !sr_map_is_moved(flags);
}

/** True for a sector that must get content from elsewhere in the flash and that the running system does not need. */
static inline bool sr_map_is_moved_body(uint8_t flags)
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
 * Claims the block of sr_map_boot_block() for the commit, if one erase of the whole block is quicker than those of the
 * boot path in it, and none of its sectors has to keep what it holds: each is boot path that must be written, or is to
 * be blank, or is blank and nobody's, or gets content from the bundle, which two may. All of them are boot path from
 * then on: nothing else may lie there. What an erase that is cut short leaves of those that are to be blank is put
 * right with the rest; of those that are nobody's it may leave anything.
 * @param record_sectors Free flash that the record needs. Without it nothing is claimed, because nobody would do that.
 * @param owned Bit N: sector N of the block lies in a partition of the running or of the new system.
 */
void sr_map_claim_block(sr_map_t *map, uint32_t record_sectors, uint16_t owned);

/** The claimed block; empty if there is none. */
sr_region_t sr_map_claimed(const sr_map_t *map);

/** True for a sector in the claimed block. */
static inline bool sr_map_is_claimed(const sr_map_t *map, uint32_t address)
{
    return map->claimed_end != 0 && address < map->claimed_end && address + SR_BLOCK_SIZE >= map->claimed_end;
}

/** True if a chunk carries a sector whose flags hold all of @p want and none of @p without. */
bool sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, uint8_t want, uint8_t without);

/** Counts and estimates; times from the W25Q32JV's datasheet, with 16 pages a sector. */
void sr_map_summarize(const sr_map_t *map, const sr_bundle_t *bundle, sr_map_summary_t *summary);

/** Times of so many sector erases and of so many sectors that are programmed, in milliseconds, rounded up. */
void sr_map_times(uint32_t erases, uint32_t programs, uint32_t *typical_ms, uint32_t *maximum_ms);

/**
 * Finds flash that is free once the body is written: a run of open sectors that nobody needs, and that are erased now
 * or will be because the bundle wants them blank. Data partitions of the new system only if there is no other: there a
 * record is not taken for one any more once the new table is in place, and what a cut leaves of it is in the way.
 * @return Address of the first run of @p sectors sectors, or UINT32_MAX.
 */
uint32_t sr_map_find_free(const sr_map_t *map, uint32_t sectors);

/**
 * Finds a sector for the mark of an installation that is not done: erased, needed by nobody, where no record would
 * rather lie, and in no data partition of the new system, where it would not be believed any more. The highest one.
 * Only if there is no other: one that is erased with others at once, that may be the end of a slot, or that the bundle
 * wants blank and is not.
 * @param below Where to end.
 * @return Its address, or UINT32_MAX.
 */
uint32_t sr_map_find_mark(const sr_map_t *map, uint32_t below);

/** Sectors of the longest run that sr_map_find_free() would find. */
uint32_t sr_map_longest_free(const sr_map_t *map);

/**
 * Finds a place for a staged record, as sr_map_find_free() does. Its data starts with a block, and fills it up, if that
 * is free as well and erasing the record is quicker then. If it is not known where the new system has its slots, it
 * stays clear of where their ends may be, as long as there is room: while the record is there, that system may boot
 * already.
 * @param overhead Sectors of the record in front of its data.
 * @param slots_are_known The new system has a partition table of ESP-IDF's.
 * @param[in,out] data_sectors Those that it needs, and those that it takes.
 */
uint32_t sr_map_find_record(const sr_map_t *map, uint32_t overhead, bool slots_are_known, uint32_t *data_sectors);
