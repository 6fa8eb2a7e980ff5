// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_memory.h"

#include <stddef.h>

/*
 * SOC_*_LOW and SOC_*_HIGH in soc/soc.h of each target, with SOC_*_SUPPORTED in soc_caps.h, as esp_ptr_in_*() of
 * esp_memory_utils.h and should_map() and verify_load_addresses() of bootloader_support use them: ESP-IDF v6.0.2, each
 * row compared with v3.3 to v5.5.1 as far as the chip was supported. test_boot_memory.c has the numbers once more. What
 * has changed:
 * - esp32: SOC_IRAM_HIGH was 0x400A0000 up to v5.0. A bootloader built for one core takes the other core's cache for
 *   IRAM, too (SOC_CACHE_APP_LOW). The ROM, and bootloaders before v4.1, which check nothing, store to all of SRAM 1.
 * - esp32s3: SOC_DROM_HIGH was 0x3D000000 up to v5.1.2.
 * - esp32c6, esp32h2: SOC_IROM_HIGH and SOC_DROM_HIGH are 256 pages from SOC_IROM_LOW, of the bootloader's own build.
 * - esp32p4: segments in PSRAM are mapped since v5.3, with SOC_MMU_PER_EXT_MEM_TARGET. SOC_ROM_STACK_START_REV2 is for
 *   builds for v3.0 and later. The scratchpad was SOC_TCM_LOW before.
 * The stack's start is where it is today; that of esp32c5 and esp32c61 was up to 0x400 higher before v5.5.
 */
static const boot_memory_t memories[] = {
    {.chip_id = 0x00, // esp32
     .drom = {0x3F400000, 0x3F800000},
     .irom = {0x400D0000, 0x40400000},
     .dram = {0x3FFAE000, 0x40000000},
     .iram = {0x40080000, 0x400AA000},
     .iram_narrow = {0x40080000, 0x400A0000},
     .iram_wide = {0x40078000, 0x400AA000},
     .iram_store = {0x40078000, 0x400C0000},
     .rtc_fast = {0x400C0000, 0x400C2000},
     .rtc_fast_data = {0x3FF80000, 0x3FF82000},
     .rtc_slow = {0x50000000, 0x50002000},
     .shared = {0x3FFE0000, 0x40000000},
     .shared_iram = 0x400A0000,
     .shared_reversed = true,
     .rom_stack = 0x3FFE3F20,
     .windowed = true},
    {.chip_id = 0x02, // esp32s2
     .drom = {0x3F000000, 0x3FF80000},
     .irom = {0x40080000, 0x40800000},
     .dram = {0x3FFB0000, 0x40000000},
     .iram = {0x40020000, 0x40070000},
     .rtc_fast = {0x40070000, 0x40072000},
     .rtc_fast_data = {0x3FF9E000, 0x3FFA0000},
     .rtc_slow = {0x50000000, 0x50002000},
     .shared = {0x3FFB0000, 0x40000000},
     .shared_iram = 0x40020000,
     .rom_stack = 0x3FFFE70C,
     .windowed = true},
    {.chip_id = 0x05, // esp32c3
     .drom = {0x3C000000, 0x3C800000},
     .irom = {0x42000000, 0x42800000},
     .dram = {0x3FC80000, 0x3FCE0000},
     .iram = {0x4037C000, 0x403E0000},
     .rtc_fast = {0x50000000, 0x50002000},
     .rtc_fast_data = {0x50000000, 0x50002000},
     .shared = {0x3FC80000, 0x3FCE0000},
     .shared_iram = 0x40380000,
     .rom_stack = 0x3FCDE710},
    {.chip_id = 0x09, // esp32s3
     .drom = {0x3C000000, 0x3E000000},
     .drom_narrow = {0x3C000000, 0x3D000000},
     .irom = {0x42000000, 0x44000000},
     .dram = {0x3FC88000, 0x3FD00000},
     .iram = {0x40370000, 0x403E0000},
     .rtc_fast = {0x600FE000, 0x60100000},
     .rtc_fast_data = {0x600FE000, 0x60100000},
     .rtc_slow = {0x50000000, 0x50002000},
     .shared = {0x3FC88000, 0x3FCF0000},
     .shared_iram = 0x40378000,
     .rom_stack = 0x3FCEB710,
     .windowed = true},
    {.chip_id = 0x0C, // esp32c2, without RTC memory
     .drom = {0x3C000000, 0x3C400000},
     .irom = {0x42000000, 0x42400000},
     .dram = {0x3FCA0000, 0x3FCE0000},
     .iram = {0x4037C000, 0x403C0000},
     .shared = {0x3FCA0000, 0x3FCE0000},
     .shared_iram = 0x40380000,
     .rom_stack = 0x3FCDEB70,
     .page_variable = true},
    {.chip_id = 0x0D, // esp32c6
     .drom = {0x42000000, 0x43000000},
     .irom = {0x42000000, 0x43000000},
     .mapped_pages = 256,
     .dram = {0x40800000, 0x40880000},
     .iram = {0x40800000, 0x40880000},
     .rtc_fast = {0x50000000, 0x50004000},
     .rtc_fast_data = {0x50000000, 0x50004000},
     .rom_stack = 0x4087E610,
     .page_variable = true},
    {.chip_id = 0x10, // esp32h2
     .drom = {0x42000000, 0x43000000},
     .irom = {0x42000000, 0x43000000},
     .mapped_pages = 256,
     .dram = {0x40800000, 0x40850000},
     .iram = {0x40800000, 0x40850000},
     .rtc_fast = {0x50000000, 0x50001000},
     .rtc_fast_data = {0x50000000, 0x50001000},
     .rom_stack = 0x4084F380,
     .page_variable = true},
    {.chip_id = 0x12, // esp32p4
     .drom = {0x40000000, 0x44000000},
     .irom = {0x40000000, 0x44000000},
     .psram = {0x48000000, 0x4C000000},
     .dram = {0x4FF00000, 0x4FFC0000},
     .iram = {0x4FF00000, 0x4FFC0000},
     .rtc_fast = {0x50108000, 0x50110000},
     .rtc_fast_data = {0x50108000, 0x50110000},
     .scratchpad = {0x30100000, 0x30102000},
     .rom_stack = 0x4FF3CFC0,
     .rom_stack_v3 = 0x4FFBCFC0},
    {.chip_id = 0x14, // esp32c61, without RTC memory
     .drom = {0x42000000, 0x44000000},
     .irom = {0x42000000, 0x44000000},
     .dram = {0x40800000, 0x40850000},
     .iram = {0x40800000, 0x40850000},
     .rom_stack = 0x4084E670,
     .page_variable = true},
    {.chip_id = 0x17, // esp32c5
     .drom = {0x42000000, 0x44000000},
     .irom = {0x42000000, 0x44000000},
     .dram = {0x40800000, 0x40860000},
     .iram = {0x40800000, 0x40860000},
     .rtc_fast = {0x50000000, 0x50004000},
     .rtc_fast_data = {0x50000000, 0x50004000},
     .rom_stack = 0x4085E5A0},
};

const boot_memory_t *boot_memory_of(uint16_t chip_id)
{
    for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++) {
        if (memories[i].chip_id == chip_id) {
            return &memories[i];
        }
    }
    return NULL;
}

/** What all builds like this one, or else some of them, have in place of a range. */
static boot_range_t all_builds(const boot_build_t *build, boot_range_t range, boot_range_t narrow)
{
    return narrow.high != 0 && !build->since_v5_2 ? narrow : range;
}

/** The bootloader looks at the first address alone. */
static boot_place_t mapping(const boot_memory_t *memory, const boot_build_t *build, uint32_t address)
{
    boot_range_t drom = all_builds(build, memory->drom, memory->drom_narrow);
    boot_range_t irom = memory->irom;
    if (memory->mapped_pages != 0) {
        drom.high = drom.low + memory->mapped_pages * build->page_size;
        irom.high = irom.low + memory->mapped_pages * build->page_size;
    }
    if (boot_range_has(drom, address) || boot_range_has(irom, address) || boot_range_has(memory->psram, address)) {
        return BOOT_PLACE_MAPPED;
    }
    const bool some = boot_range_has(memory->drom, address) || boot_range_has(memory->irom, address);
    return some ? BOOT_PLACE_NOT_KNOWN : BOOT_PLACE_NONE;
}

/** A range that all builds have. */
static boot_place_t loading(const boot_build_t *build, boot_range_t range, uint32_t address, uint32_t length)
{
    if (!boot_range_holds(range, address, length)) {
        return BOOT_PLACE_NONE;
    }
    return build->ends_inside && address + length == range.high ? BOOT_PLACE_NOT_KNOWN : BOOT_PLACE_RAM;
}

boot_place_t boot_memory_iram(const boot_memory_t *memory, const boot_build_t *build, uint32_t address, uint32_t length)
{
    const boot_place_t place = loading(build, all_builds(build, memory->iram, memory->iram_narrow), address, length);
    const bool some =
        boot_range_holds(memory->iram, address, length) || boot_range_holds(memory->iram_wide, address, length);
    return place == BOOT_PLACE_NONE && some ? BOOT_PLACE_NOT_KNOWN : place;
}

boot_place_t boot_memory_place(const boot_memory_t *memory, const boot_build_t *build, uint32_t address,
                               uint32_t length)
{
    const boot_range_t ranges[] = {memory->dram, memory->rtc_fast, memory->rtc_fast_data, memory->rtc_slow,
                                   memory->scratchpad};
    boot_place_t place = mapping(memory, build, address);
    for (size_t i = 0; place == BOOT_PLACE_NONE && i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        place = loading(build, ranges[i], address, length);
    }
    return place == BOOT_PLACE_NONE ? boot_memory_iram(memory, build, address, length) : place;
}

bool boot_memory_stores(const boot_memory_t *memory, uint32_t address, uint32_t length)
{
    const boot_range_t ranges[] = {memory->dram,          memory->iram,     memory->iram_store, memory->rtc_fast,
                                   memory->rtc_fast_data, memory->rtc_slow, memory->scratchpad};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (boot_range_holds(ranges[i], address, length)) {
            return true;
        }
    }
    return false;
}

/** What of the region is shared memory, at its addresses in dram if the region has those in iram. */
static sr_region_t in_dram(const boot_memory_t *memory, sr_region_t region)
{
    const uint32_t size = memory->shared.high - memory->shared.low;
    const uint64_t end = (uint64_t)region.address + region.size;
    const uint64_t limit = (uint64_t)memory->shared_iram + size;
    if (size == 0 || end <= memory->shared_iram || region.address >= limit) {
        return region;
    }
    const uint32_t first = region.address > memory->shared_iram ? region.address - memory->shared_iram : 0;
    const uint32_t last = (uint32_t)((end < limit ? end : limit) - memory->shared_iram);
    return (sr_region_t){memory->shared_reversed ? memory->shared.high - last : memory->shared.low + first,
                         last - first};
}

bool boot_memory_overlaps(const boot_memory_t *memory, sr_region_t a, sr_region_t b)
{
    return sr_region_overlaps(a, b) || sr_region_overlaps(in_dram(memory, a), in_dram(memory, b));
}
