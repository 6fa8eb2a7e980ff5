// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_map.h"

#include "flash/sr_writer.h"

#include <string.h>

#define NEVER_FREE (SR_MAP_CONTENT | SR_MAP_NEEDED | SR_MAP_CLOSED)

/** Times in microseconds: W25Q32JV, revision G, table 9.6 "AC Electrical Characteristics". */
#define PAGE_TYPICAL   400u
#define PAGE_MAXIMUM   3000u
#define SECTOR_TYPICAL 45000u
#define SECTOR_MAXIMUM 400000u
#define BLOCK_TYPICAL  150000u
#define BLOCK_MAXIMUM  2000000u

static void change(sr_map_t *map, sr_region_t region, sr_map_flags_t keep, sr_map_flags_t set)
{
    const uint64_t end = ((uint64_t)region.address + region.size + SR_SECTOR_SIZE - 1u) / SR_SECTOR_SIZE;
    for (uint64_t i = region.address / SR_SECTOR_SIZE; region.size > 0 && i < end && i < map->count; i++) {
        map->flags[i] = (sr_map_flags_t)((map->flags[i] & keep) | set);
    }
}

void sr_map_mark(sr_map_t *map, sr_region_t region, sr_map_flags_t flags)
{
    change(map, region, UINT16_MAX, flags);
}

void sr_map_clear(sr_map_t *map, sr_region_t region, sr_map_flags_t flags)
{
    change(map, region, (sr_map_flags_t)~flags, 0);
}

void sr_map_put(sr_map_t *map, uint32_t address, sr_map_flags_t flags)
{
    map->flags[address / SR_SECTOR_SIZE] = flags;
}

bool sr_map_block_erase(const sr_map_t *map, uint32_t block)
{
    const uint32_t first = block / SR_SECTOR_SIZE;
    uint32_t dirty = 0;
    if (first + SR_SECTORS_PER_BLOCK > map->count) {
        return false;
    }
    for (uint32_t i = first; i < first + SR_SECTORS_PER_BLOCK; i++) {
        const sr_map_flags_t flags = map->flags[i];
        const bool loses_nothing = sr_map_is_blank(flags) || (flags & SR_MAP_WRONG) != 0;
        if (!loses_nothing || (flags & SR_MAP_TARGET) == 0 || (flags & SR_MAP_NEEDED) != 0 ||
            (flags & SR_MAP_CLOSED_NOW) != 0) {
            return false;
        }
        dirty += !sr_map_is_blank(flags);
    }
    return dirty >= SR_WRITER_WORTH_A_BLOCK;
}

bool sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, sr_map_flags_t want,
                      sr_map_flags_t without)
{
    const sr_bundle_chunk_t row = sr_bundle_chunk(bundle, chunk);
    const uint32_t start = sr_bundle_address(bundle, row.first_digest);
    for (uint32_t i = 0; i < row.sector_count; i++) {
        const sr_map_flags_t flags = sr_map_at(map, start + i * SR_SECTOR_SIZE);
        const bool blank = sr_bundle_is_blank(sr_bundle_digest(bundle, row.first_digest + i));
        if (!blank && (flags & want) == want && (flags & without) == 0) {
            return true;
        }
    }
    return false;
}

/** Sectors that the commit writes only because they share the block: each waits in RAM. */
#define MAX_EXTRA 2u

/** What lies in the block of the boot path. */
typedef struct boot_block {
    uint32_t dirty; /**< Boot path that needs an erase. */
    uint32_t extra; /**< Content of the bundle that is not boot path. */
    bool loses_nothing;
} boot_block_t;

static void look_at_neighbour(sr_map_flags_t flags, bool owned, boot_block_t *found)
{
    const bool to_be_blank = (flags & SR_MAP_TARGET) != 0 && (flags & (SR_MAP_CONTENT | SR_MAP_RUNNING_APP)) == 0;
    const bool stays_blank = !owned && sr_map_is_blank(flags) &&
                             (flags & (SR_MAP_CONTENT | SR_MAP_OLD_DATA | SR_MAP_MARK | SR_MAP_RUNNING_APP)) == 0;
    const bool is_written = (flags & SR_MAP_TARGET) != 0 && (flags & SR_MAP_WRONG) != 0 &&
                            (flags & SR_MAP_CONTENT) != 0 && (flags & SR_MAP_RUNNING_APP) == 0;
    found->extra += is_written;
    found->loses_nothing = found->loses_nothing && (to_be_blank || stays_blank || is_written);
}

static boot_block_t look_at_block(const sr_map_t *map, uint32_t first, uint16_t owned)
{
    boot_block_t found = {.loses_nothing = first + SR_SECTORS_PER_BLOCK <= map->count};
    for (uint32_t i = first; i < first + SR_SECTORS_PER_BLOCK && found.loses_nothing; i++) {
        const sr_map_flags_t flags = map->flags[i];
        if ((flags & SR_MAP_CLOSED_NOW) != 0) {
            found.loses_nothing = false;
        } else if ((flags & SR_MAP_COMMITTED) != 0 && (flags & SR_MAP_WRONG) != 0) {
            found.dirty += !sr_map_is_blank(flags);
        } else {
            look_at_neighbour(flags, (owned >> (i - first) & 1) != 0, &found);
        }
    }
    return found;
}

uint32_t sr_map_boot_block(const sr_map_t *map)
{
    for (uint32_t i = 0; i < map->count; i++) {
        if ((map->flags[i] & SR_MAP_COMMITTED) != 0 && (map->flags[i] & SR_MAP_WRONG) != 0) {
            return (i - i % SR_SECTORS_PER_BLOCK) * SR_SECTOR_SIZE;
        }
    }
    return UINT32_MAX;
}

void sr_map_claim_block(sr_map_t *map, const sr_map_reach_t *reach, uint32_t record_sectors, uint16_t owned)
{
    const uint32_t block = sr_map_boot_block(map);
    if (block == UINT32_MAX) {
        return;
    }
    const uint32_t first = block / SR_SECTOR_SIZE;
    const boot_block_t found = look_at_block(map, first, owned);
    if (!found.loses_nothing || found.extra > MAX_EXTRA || found.dirty < SR_WRITER_WORTH_A_BLOCK) {
        return;
    }
    const sr_region_t place = {block, SR_BLOCK_SIZE};
    sr_map_mark(map, place, SR_MAP_CLAIMED);
    if (sr_map_find_free(map, reach, record_sectors + found.extra) == UINT32_MAX) {
        sr_map_clear(map, place, SR_MAP_CLAIMED);
    }
}

sr_region_t sr_map_claimed(const sr_map_t *map)
{
    for (uint32_t i = 0; i < map->count; i++) {
        if ((map->flags[i] & SR_MAP_CLAIMED) != 0) {
            return (sr_region_t){i * SR_SECTOR_SIZE, SR_BLOCK_SIZE};
        }
    }
    return (sr_region_t){0};
}

/* Data sheets have no time for less than a page. So a row counts as one, and with encryption the times are upper
 * bounds, the more so as some of the data is not encrypted. */
static uint32_t programs_per_sector(const sr_map_t *map)
{
    return SR_SECTOR_SIZE / map->row;
}

/* Erase and program times of one sector, block erases left aside. */
static void add_sector(const sr_map_t *map, uint32_t index, bool erased_with_block, uint64_t *typical,
                       uint64_t *maximum)
{
    if (!sr_map_is_blank(map->flags[index]) && !erased_with_block) {
        *typical += SECTOR_TYPICAL;
        *maximum += SECTOR_MAXIMUM;
    }
    if ((map->flags[index] & SR_MAP_CONTENT) != 0) {
        *typical += programs_per_sector(map) * PAGE_TYPICAL;
        *maximum += programs_per_sector(map) * PAGE_MAXIMUM;
    }
}

/* The sum of microseconds in milliseconds, rounded up. */
static uint32_t to_ms(uint64_t microseconds)
{
    return (uint32_t)((microseconds + 999u) / 1000u);
}

static void summarize_times(const sr_map_t *map, sr_map_summary_t *summary)
{
    uint64_t typical = 0, maximum = 0, window_typical = 0, window_maximum = 0;
    bool block_erase = false;
    for (uint32_t i = 0; i < map->count; i++) {
        const bool claimed = (map->flags[i] & SR_MAP_CLAIMED) != 0;
        if (i % SR_SECTORS_PER_BLOCK == 0) {
            block_erase = claimed || sr_map_block_erase(map, i * SR_SECTOR_SIZE);
            typical += block_erase ? BLOCK_TYPICAL : 0;
            maximum += block_erase ? BLOCK_MAXIMUM : 0;
            window_typical += claimed ? BLOCK_TYPICAL : 0;
            window_maximum += claimed ? BLOCK_MAXIMUM : 0;
        }
        if ((map->flags[i] & SR_MAP_WRONG) == 0) {
            continue;
        }
        add_sector(map, i, block_erase, &typical, &maximum);
        const sr_region_t sector = {i * SR_SECTOR_SIZE, SR_SECTOR_SIZE};
        if ((map->flags[i] & SR_MAP_COMMITTED) != 0 && !sr_region_overlaps(map->guarded, sector)) {
            add_sector(map, i, claimed, &window_typical, &window_maximum);
        }
    }
    summary->typical_ms = to_ms(typical);
    summary->maximum_ms = to_ms(maximum);
    summary->window_typical_ms = to_ms(window_typical);
    summary->window_maximum_ms = to_ms(window_maximum);
}

void sr_map_summarize(const sr_map_t *map, const sr_bundle_t *bundle, sr_map_summary_t *summary)
{
    *summary = (sr_map_summary_t){0};
    for (uint32_t i = 0; i < map->count; i++) {
        const sr_map_flags_t flags = map->flags[i];
        summary->total += (flags & (SR_MAP_TARGET | SR_MAP_CONTENT)) != 0;
        if ((flags & SR_MAP_WRONG) != 0) {
            summary->wrong++;
            summary->boot_path += (flags & SR_MAP_COMMITTED) != 0;
            summary->running += (flags & SR_MAP_RUNNING_APP) != 0;
            summary->moved += sr_map_is_moved(flags);
            summary->staged += (flags & (SR_MAP_COMMITTED | SR_MAP_OLD_DATA)) != 0 && (flags & SR_MAP_CONTENT) != 0;
        }
    }
    for (uint32_t i = 0; i < bundle->chunk_count; i++) {
        summary->bytes += sr_map_chunk_has(map, bundle, i, SR_MAP_WRONG, 0) ? sr_bundle_chunk(bundle, i).length : 0;
    }
    summarize_times(map, summary);
}

/** Where a run of free sectors may lie. */
typedef enum rule { ANYWHERE, DATA_STARTS_A_BLOCK, CLEAR_OF_TRAILERS } rule_t;

/** MCUboot keeps its state at the end of a slot, in slightly more than 12 KiB, and slots end with a block. */
#define TRAILER_SECTORS 4u

void sr_map_times(const sr_map_t *map, uint32_t erases, uint32_t programs, uint32_t *typical_ms, uint32_t *maximum_ms)
{
    const uint64_t rows = (uint64_t)programs * programs_per_sector(map);
    *typical_ms = to_ms((uint64_t)erases * SECTOR_TYPICAL + rows * PAGE_TYPICAL);
    *maximum_ms = to_ms((uint64_t)erases * SECTOR_MAXIMUM + rows * PAGE_MAXIMUM);
}

static bool may_lie(rule_t rule, uint32_t first, uint32_t sectors, uint32_t overhead)
{
    switch (rule) {
    case DATA_STARTS_A_BLOCK:
        return (first + overhead) % SR_SECTORS_PER_BLOCK == 0;
    case CLEAR_OF_TRAILERS:
        return first % SR_SECTORS_PER_BLOCK + sectors <= SR_SECTORS_PER_BLOCK - TRAILER_SECTORS;
    default:
        return true;
    }
}

static bool is_free(const sr_map_t *map, uint32_t index, sr_map_flags_t without)
{
    const sr_map_flags_t flags = map->flags[index];
    return (flags & (SR_MAP_BLANK | SR_MAP_RELEASED | SR_MAP_TARGET)) != 0 && (flags & without) == 0;
}

/** Free sectors one after the other, which a mark in the first one can claim. */
typedef struct run {
    uint32_t first, length;
    uint32_t limit; /**< Up to here the mark counts. */
} run_t;

static void begin(run_t *run, const sr_map_t *map, const sr_map_reach_t *reach, uint32_t index)
{
    const uint32_t end =
        reach != NULL ? reach->end(reach->context, index * SR_SECTOR_SIZE) / SR_SECTOR_SIZE : map->count;
    run->first = index;
    run->limit = end > index ? end : index + 1;
}

/* Adds a sector, if it is free; one that the mark does not reach begins another run, unless the bundle erases it
 * anyway. */
static uint32_t extend(run_t *run, const sr_map_t *map, const sr_map_reach_t *reach, uint32_t index,
                       sr_map_flags_t without)
{
    if (!is_free(map, index, without)) {
        run->length = 0;
        return 0;
    }
    if (run->length == 0) {
        begin(run, map, reach, index);
    }
    while (index >= run->limit && (map->flags[index] & SR_MAP_TARGET) == 0) {
        begin(run, map, reach, run->limit);
    }
    run->length = index + 1 - run->first;
    return run->length;
}

static uint32_t find_run(const sr_map_t *map, const sr_map_reach_t *reach, uint32_t sectors, rule_t rule,
                         uint32_t overhead, sr_map_flags_t without)
{
    run_t run = {0};
    for (uint32_t i = 0; i < map->count; i++) {
        if (extend(&run, map, reach, i, without) >= sectors && may_lie(rule, i + 1 - sectors, sectors, overhead)) {
            return (i + 1 - sectors) * SR_SECTOR_SIZE;
        }
    }
    return UINT32_MAX;
}

uint32_t sr_map_find_free(const sr_map_t *map, const sr_map_reach_t *reach, uint32_t sectors)
{
    const uint32_t best = find_run(map, reach, sectors, ANYWHERE, 0, NEVER_FREE | SR_MAP_NEW_USE);
    return best != UINT32_MAX ? best : find_run(map, reach, sectors, ANYWHERE, 0, NEVER_FREE);
}

/** What may be wrong with a place for a mark, from the best on. */
typedef enum compromise { NO_COMPROMISE, END_OF_BLOCK, WITH_BOOT_PATH, NOT_BLANK_YET, COMPROMISES } compromise_t;

static bool has_boot_path(const sr_map_t *map, uint32_t block)
{
    for (uint32_t i = block; i < block + SR_SECTORS_PER_BLOCK && i < map->count; i++) {
        if ((map->flags[i] & SR_MAP_COMMITTED) != 0) {
            return true;
        }
    }
    return false;
}

static bool takes_mark(const sr_map_t *map, uint32_t index, compromise_t compromise)
{
    const sr_map_flags_t flags = map->flags[index];
    const uint32_t in_block = index % SR_SECTORS_PER_BLOCK;
    return is_free(map, index, NEVER_FREE | SR_MAP_NEW_USE) &&
           (compromise >= NOT_BLANK_YET || sr_map_is_blank(flags)) &&
           (compromise >= WITH_BOOT_PATH || !has_boot_path(map, index - in_block)) &&
           (compromise >= END_OF_BLOCK || in_block < SR_SECTORS_PER_BLOCK - TRAILER_SECTORS);
}

uint32_t sr_map_find_mark(const sr_map_t *map, uint32_t below)
{
    const uint32_t end = below / SR_SECTOR_SIZE < map->count ? below / SR_SECTOR_SIZE : map->count;
    for (unsigned compromise = NO_COMPROMISE; compromise < COMPROMISES; compromise++) {
        for (uint32_t i = end; i > 0; i--) {
            if (takes_mark(map, i - 1, (compromise_t)compromise)) {
                return (i - 1) * SR_SECTOR_SIZE;
            }
        }
    }
    return UINT32_MAX;
}

sr_region_t sr_map_longest_free(const sr_map_t *map, const sr_map_reach_t *reach)
{
    run_t run = {0};
    sr_region_t longest = {0, 0};
    for (uint32_t i = 0; i < map->count; i++) {
        if (extend(&run, map, reach, i, NEVER_FREE) * SR_SECTOR_SIZE > longest.size) {
            longest = (sr_region_t){run.first * SR_SECTOR_SIZE, run.length * SR_SECTOR_SIZE};
        }
    }
    return longest;
}

/* Data sectors of a record that fills its last block, if one erase of the block is quicker than erasing just the
 * sectors that it needs. */
static uint32_t filled_up(uint32_t data_sectors)
{
    const uint32_t rest = data_sectors % SR_SECTORS_PER_BLOCK;
    return rest >= SR_WRITER_WORTH_A_BLOCK ? data_sectors - rest + SR_SECTORS_PER_BLOCK : data_sectors;
}

uint32_t sr_map_find_record(const sr_map_t *map, const sr_map_reach_t *reach, uint32_t overhead, bool slots_are_known,
                            uint32_t *data_sectors)
{
    const sr_map_flags_t without = NEVER_FREE | SR_MAP_NEW_USE;
    uint32_t sectors = *data_sectors;
    uint32_t place = UINT32_MAX;
    if (!slots_are_known) {
        place = find_run(map, reach, overhead + sectors, CLEAR_OF_TRAILERS, overhead, without);
    } else if (filled_up(sectors) >= SR_SECTORS_PER_BLOCK) {
        sectors = filled_up(sectors);
        place = find_run(map, reach, overhead + sectors, DATA_STARTS_A_BLOCK, overhead, without);
    }
    if (place != UINT32_MAX) {
        *data_sectors = sectors;
        return place;
    }
    return sr_map_find_free(map, reach, overhead + *data_sectors);
}
