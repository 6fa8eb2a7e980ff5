// SPDX-License-Identifier: Apache-2.0
/** @file
 * The memory of each chip, and where a bootloader loads or maps a segment of an app.
 *
 * A range is known as the headers of ESP-IDF tell it. Where builds of the bootloader differ, and no file tells which
 * one this is, the answer is "not known".
 */
#pragma once

#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

/** Half-open range of addresses in the memory of the chip; empty if high is 0. */
typedef struct boot_range {
    uint32_t low, high;
} boot_range_t;

/** Memory of one chip. */
typedef struct boot_memory {
    uint16_t chip_id;
    boot_range_t drom, irom; /**< Mapped flash. Equal where instructions and data share a bus. */
    boot_range_t psram;      /**< Mapped PSRAM, on a chip whose bootloader maps segments there, too. */
    boot_range_t dram, iram; /**< What an app may be loaded to. Equal, too, where instructions and data share a bus. */
    boot_range_t rtc_fast, rtc_fast_data; /**< The same memory, on the instruction bus and on the data bus. */
    boot_range_t rtc_slow;
    boot_range_t scratchpad;  /**< Tightly coupled memory. */
    boot_range_t drom_narrow; /**< Instead of drom, for some builds before ESP-IDF v5.2. Else empty. */
    boot_range_t iram_narrow; /**< Instead of iram, for some builds before v5.2. Else empty. */
    boot_range_t iram_wide;   /**< Instead of iram, for some builds of any version. Else empty. */
    boot_range_t iram_store;  /**< Instruction RAM that can be stored to, if that is more than iram. Else empty. */
    boot_range_t shared;      /**< The part of dram that iram shows, too, at another address. Else empty. */
    uint32_t shared_iram;     /**< That address. */
    bool shared_reversed;     /**< It shows the words of that part from the last to the first. */
    uint32_t mapped_pages;    /**< Instead of drom and irom, they end after so many pages; 0: as they say. */
    uint32_t rom_stack;       /**< Where the stack of ROM and bootloader starts, growing down. */
    uint32_t rom_stack_v3;    /**< The same on revision v3.0 and later, if it differs; else 0. */
    bool windowed;            /**< Xtensa with register windows: every function starts with the instruction ENTRY. */
    bool page_variable;       /**< The MMU's page size may differ from 64 KiB; the app's descriptor tells it. */
} boot_memory_t;

/** What is known of a build of ESP-IDF's bootloader. */
typedef struct boot_build {
    bool since_v5_2;    /**< It has the descriptor that bootloaders have since v5.2. */
    bool ends_inside;   /**< May be from before v4.3.2: then a segment that ends with its memory is refused. */
    uint32_t page_size; /**< Of the MMU, in bytes, that the app was linked for. */
} boot_build_t;

/** What the bootloader does with a segment, as far as its addresses go. */
typedef enum boot_place {
    BOOT_PLACE_NONE,      /**< Refuses it. */
    BOOT_PLACE_MAPPED,    /**< Maps it. */
    BOOT_PLACE_RAM,       /**< Loads it. */
    BOOT_PLACE_NOT_KNOWN, /**< Some builds do one, some another. */
} boot_place_t;

static inline bool boot_range_has(boot_range_t range, uint32_t address)
{
    return address >= range.low && address < range.high;
}

/** True if all of [address, address + length) is in the range; length is not 0. */
static inline bool boot_range_holds(boot_range_t range, uint32_t address, uint32_t length)
{
    return boot_range_has(range, address) && length <= range.high - address;
}

/** The memory of the chip with this image chip id, or NULL. */
const boot_memory_t *boot_memory_of(uint16_t chip_id);

/** Where the bootloader puts [address, address + length) of an app; length is not 0. */
boot_place_t boot_memory_place(const boot_memory_t *memory, const boot_build_t *build, uint32_t address,
                               uint32_t length);

/** Whether all bytes [address, address + length) are in one of the instruction RAM's ranges: RAM, NONE or NOT_KNOWN. */
boot_place_t boot_memory_iram(const boot_memory_t *memory, const boot_build_t *build, uint32_t address,
                              uint32_t length);

/** True if the chip can store to all of [address, address + length). */
bool boot_memory_stores(const boot_memory_t *memory, uint32_t address, uint32_t length);

/** True if the ranges have bytes in common, be it at different addresses. */
bool boot_memory_overlaps(const boot_memory_t *memory, sr_region_t a, sr_region_t b);
