// SPDX-License-Identifier: Apache-2.0
/** @file
 * Half-open address ranges [address, address + size) in a 32 bit flash address space, without overflow.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SR_SECTOR_SIZE 0x1000u  /**< Smallest unit that can be erased. */
#define SR_BLOCK_SIZE  0x10000u /**< Largest unit that is erased at once. */
#define SR_PAGE_SIZE   0x100u   /**< Largest unit that is programmed at once. */

#define SR_SECTORS_PER_BLOCK (SR_BLOCK_SIZE / SR_SECTOR_SIZE)

typedef struct sr_region {
    uint32_t address; /**< First byte. */
    uint32_t size;    /**< Bytes; 0 is an empty region, which overlaps nothing. */
} sr_region_t;

/** True if the region lies inside a flash of @p limit bytes. Never overflows. */
static inline bool sr_region_fits(sr_region_t region, uint32_t limit)
{
    return region.address <= limit && region.size <= limit - region.address;
}

/** True if the two regions share a byte: touching ends do not overlap, empty regions overlap nothing. */
static inline bool sr_region_overlaps(sr_region_t a, sr_region_t b)
{
    uint64_t a_end = (uint64_t)a.address + a.size;
    uint64_t b_end = (uint64_t)b.address + b.size;
    return a.size != 0 && b.size != 0 && a.address < b_end && b.address < a_end;
}

/** True if @p inner lies wholly inside @p outer. */
static inline bool sr_region_contains(sr_region_t outer, sr_region_t inner)
{
    return inner.address >= outer.address &&
           (uint64_t)inner.address + inner.size <= (uint64_t)outer.address + outer.size;
}

/** @p value rounded up to a multiple of @p unit, a power of two; the 64 bit result cannot overflow. */
static inline uint64_t sr_region_align_up(uint32_t value, uint32_t unit)
{
    return ((uint64_t)value + unit - 1u) & ~(uint64_t)(unit - 1u);
}

/** True if @p value is a multiple of @p unit, a power of two. */
static inline bool sr_region_is_aligned(uint32_t value, uint32_t unit)
{
    return (value & (unit - 1u)) == 0;
}
