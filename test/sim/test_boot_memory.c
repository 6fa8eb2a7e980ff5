// SPDX-License-Identifier: Apache-2.0
/** @file
 * Where the boot model lets a bootloader put a segment, at both ends of each range of each chip's memory.
 *
 * The numbers are written down here once more, from ESP-IDF v6.0.2: components/soc/TARGET/include/soc/soc.h, with
 * soc_caps.h; what older ones had is said beside them.
 */
#include "format/sr_bytes.h"
#include "format/sr_image.h"
#include "make/image_writer.h"
#include "sim/boot/boot_memory.h"
#include "sim/boot/boot_model.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FLASH_SIZE (1u << 20)
#define TABLE      0x10000u
#define APP_AREA   0x20000u
#define APP_SIZE   0x10000u
#define HEADERS    32u /* The image's and the first segment's. */
#define WORD       4u
#define HEADROOM   0x8000u /* STACK_LOAD_HEADROOM in esp_image_format.c of v3.3 to v6.0.2. */
#define STACK_SIZE 0x2000u /* SOC_ROM_STACK_SIZE. */

/** What a bootloader build does with a segment in a range. */
typedef enum kind {
    MAPS,            /**< All builds map it: should_map(). */
    MAPS_SINCE_V5_2, /**< Of those before, not all do. */
    LOADS,           /**< All builds load it: verify_load_addresses(). */
    LOADS_SINCE_V5_2,
    LOADS_SOMETIMES, /**< Not all builds of any version do. */
    STORES,          /**< No build of ESP-IDF's loads it that checks; who does not check can. */
} kind_t;

typedef struct range {
    const char *chip;
    kind_t kind;
    uint32_t low, high;
    const char *source;
} range_t;

static const range_t ranges[] = {
    {"esp32", MAPS, 0x3F400000, 0x3F800000, "SOC_DROM"},
    {"esp32", MAPS, 0x400D0000, 0x40400000, "SOC_IROM"},
    {"esp32", LOADS, 0x3FFAE000, 0x40000000, "SOC_DRAM"},
    {"esp32", LOADS, 0x40080000, 0x400A0000, "SOC_IRAM up to v5.0"},
    {"esp32", LOADS_SINCE_V5_2, 0x40080000, 0x400AA000, "SOC_IRAM since v5.1"},
    {"esp32", LOADS_SOMETIMES, 0x40078000, 0x400AA000, "SOC_CACHE_APP_LOW to SOC_IRAM_HIGH: built for one core"},
    {"esp32", STORES, 0x40078000, 0x400C0000, "SOC_CACHE_APP_LOW to SOC_DIRAM_IRAM_HIGH"},
    {"esp32", LOADS, 0x400C0000, 0x400C2000, "SOC_RTC_IRAM"},
    {"esp32", LOADS, 0x3FF80000, 0x3FF82000, "SOC_RTC_DRAM"},
    {"esp32", LOADS, 0x50000000, 0x50002000, "SOC_RTC_DATA"},

    {"esp32s2", MAPS, 0x3F000000, 0x3FF80000, "SOC_DROM"},
    {"esp32s2", MAPS, 0x40080000, 0x40800000, "SOC_IROM"},
    {"esp32s2", LOADS, 0x3FFB0000, 0x40000000, "SOC_DRAM"},
    {"esp32s2", LOADS, 0x40020000, 0x40070000, "SOC_IRAM"},
    {"esp32s2", LOADS, 0x40070000, 0x40072000, "SOC_RTC_IRAM"},
    {"esp32s2", LOADS, 0x3FF9E000, 0x3FFA0000, "SOC_RTC_DRAM"},
    {"esp32s2", LOADS, 0x50000000, 0x50002000, "SOC_RTC_DATA"},

    {"esp32c3", MAPS, 0x3C000000, 0x3C800000, "SOC_DROM"},
    {"esp32c3", MAPS, 0x42000000, 0x42800000, "SOC_IROM"},
    {"esp32c3", LOADS, 0x3FC80000, 0x3FCE0000, "SOC_DRAM"},
    {"esp32c3", LOADS, 0x4037C000, 0x403E0000, "SOC_IRAM"},
    {"esp32c3", LOADS, 0x50000000, 0x50002000, "SOC_RTC_IRAM, SOC_RTC_DRAM"},

    {"esp32s3", MAPS, 0x3C000000, 0x3D000000, "SOC_DROM up to v5.1.2"},
    {"esp32s3", MAPS_SINCE_V5_2, 0x3C000000, 0x3E000000, "SOC_DROM since v5.1.3"},
    {"esp32s3", MAPS, 0x42000000, 0x44000000, "SOC_IROM"},
    {"esp32s3", LOADS, 0x3FC88000, 0x3FD00000, "SOC_DRAM"},
    {"esp32s3", LOADS, 0x40370000, 0x403E0000, "SOC_IRAM"},
    {"esp32s3", LOADS, 0x600FE000, 0x60100000, "SOC_RTC_IRAM, SOC_RTC_DRAM"},
    {"esp32s3", LOADS, 0x50000000, 0x50002000, "SOC_RTC_DATA"},

    {"esp32c2", MAPS, 0x3C000000, 0x3C400000, "SOC_DROM"},
    {"esp32c2", MAPS, 0x42000000, 0x42400000, "SOC_IROM"},
    {"esp32c2", LOADS, 0x3FCA0000, 0x3FCE0000, "SOC_DRAM"},
    {"esp32c2", LOADS, 0x4037C000, 0x403C0000, "SOC_IRAM"},

    {"esp32c6", MAPS, 0x42000000, 0x43000000, "SOC_IROM with pages of 64 KiB"},
    {"esp32c6", LOADS, 0x40800000, 0x40880000, "SOC_DRAM, SOC_IRAM"},
    {"esp32c6", LOADS, 0x50000000, 0x50004000, "SOC_RTC_IRAM, SOC_RTC_DRAM"},

    {"esp32h2", MAPS, 0x42000000, 0x43000000, "SOC_IROM with pages of 64 KiB"},
    {"esp32h2", LOADS, 0x40800000, 0x40850000, "SOC_DRAM, SOC_IRAM"},
    {"esp32h2", LOADS, 0x50000000, 0x50001000, "SOC_RTC_IRAM, SOC_RTC_DRAM"},

    {"esp32p4", MAPS, 0x40000000, 0x44000000, "SOC_IROM"},
    {"esp32p4", MAPS, 0x48000000, 0x4C000000, "SOC_EXTRAM with SOC_MMU_PER_EXT_MEM_TARGET"},
    {"esp32p4", LOADS, 0x4FF00000, 0x4FFC0000, "SOC_DRAM, SOC_IRAM"},
    {"esp32p4", LOADS, 0x50108000, 0x50110000, "SOC_RTC_IRAM, SOC_RTC_DRAM"},
    {"esp32p4", LOADS, 0x30100000, 0x30102000, "SOC_SPM, before v5.5.5 and v6.0.1 SOC_TCM"},

    {"esp32c61", MAPS, 0x42000000, 0x44000000, "SOC_IROM"},
    {"esp32c61", LOADS, 0x40800000, 0x40850000, "SOC_DRAM, SOC_IRAM"},

    {"esp32c5", MAPS, 0x42000000, 0x44000000, "SOC_IROM"},
    {"esp32c5", LOADS, 0x40800000, 0x40860000, "SOC_DRAM, SOC_IRAM"},
    {"esp32c5", LOADS, 0x50000000, 0x50004000, "SOC_RTC_IRAM, SOC_RTC_DRAM"},
};
#define RANGES (sizeof(ranges) / sizeof(ranges[0]))

/** Where the bootloaders of this test have what, and the numbers that go with it. */
typedef struct layout {
    const char *chip;
    uint32_t stack;               /**< SOC_ROM_STACK_START. */
    uint32_t start, loader, data; /**< Of the bootloader: code to start with, code that loads apps, data. */
    uint32_t iram_offset;         /**< SOC_DIRAM_IRAM_LOW - SOC_DIRAM_DRAM_LOW; 0: one bus, or reversed. */
    uint32_t app_code;            /**< Where the app has its code. */
    uint16_t min_revision;        /**< That the bootloader asks for. */
} layout_t;

static const layout_t layouts[] = {
    {"esp32", 0x3FFE3F20, 0x40080400, 0x40079000, 0x3FFF0020, 0, 0x40090000, 0},
    {"esp32s2", 0x3FFFE70C, 0x40030000, 0x40038000, 0x3FFD0020, 0x70000, 0x40028000, 0},
    {"esp32c3", 0x3FCDE710, 0x40390000, 0x40398000, 0x3FCA0020, 0x700000, 0x40388000, 0},
    {"esp32s3", 0x3FCEB710, 0x40388000, 0x40390000, 0x3FCA8020, 0x6F0000, 0x40380000, 0},
    {"esp32c2", 0x3FCDEB70, 0x40390000, 0x40398000, 0x3FCC0020, 0x6E0000, 0x40388000, 0},
    {"esp32c6", 0x4087E610, 0x40810000, 0x40818000, 0x40820020, 0, 0x40808000, 0},
    {"esp32h2", 0x4084F380, 0x40810000, 0x40818000, 0x40820020, 0, 0x40808000, 0},
    {"esp32p4", 0x4FF3CFC0, 0x4FF10000, 0x4FF18000, 0x4FF20020, 0, 0x4FF08000, 0},
    {"esp32p4", 0x4FFBCFC0, 0x4FF10000, 0x4FF18000, 0x4FF20020, 0, 0x4FF08000, 300}, /* SOC_ROM_STACK_START_REV2 */
    {"esp32c61", 0x4084E670, 0x40810000, 0x40818000, 0x40820020, 0, 0x40808000, 0},
    {"esp32c5", 0x4085E5A0, 0x40810000, 0x40818000, 0x40820020, 0, 0x40808000, 0},
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/** The generations that the model tells apart, by what it tells them by. */
typedef enum build { DESCRIBED, FULL_REVISION, OLD_REVISION, UNCHECKED, BUILDS } build_t;

static const char *const build_names[] = {"v5.2 or later", "v4.4.3 or later", "v4.1 or later", "before v4.1"};
static const char *const build_marks[] = {"", "chip rev >= v%", "on lower chip revision, load_end > load_addr",
                                          "sp < &_bss_start"};

typedef enum verdict { NO, YES, NOT_KNOWN } verdict_t;

static const char *const verdict_names[] = {"does not boot", "boots", "not known"};

static uint8_t flash[FLASH_SIZE];
static const layout_t *layout;
static build_t build;
static unsigned faults, boots;

static boot_chip_t chip(void)
{
    return (boot_chip_t){.chip = sr_chip_by_name(layout->chip), .partition_table = TABLE};
}

static bool exists(void)
{
    /* The other chips came with ESP-IDF v5, and the ESP32-S2, C3 and S3 with v4.2 or later. */
    const uint16_t id = chip().chip->image_chip_id;
    return build == DESCRIBED || build == FULL_REVISION || (build == OLD_REVISION ? id <= 0x09 : id == 0);
}

/** The bootloader; `extra`, unless 0, is where it has a further segment of one word. */
static void put_bootloader(uint32_t extra)
{
    static const uint8_t code[256] = {0x36, 0x41, 0x00};
    uint8_t data[256] = {0};
    if (build == DESCRIBED) {
        assert_int_equal(image_write_bootloader_desc("v5.5", 0, data), IMAGE_WRITE_OK);
    } else {
        memcpy(data, build_marks[build], strlen(build_marks[build]));
    }
    const image_write_segment_t segments[] = {
        {.load_address = layout->data, .data = data, .length = sizeof(data)},
        {.load_address = layout->loader, .data = code, .length = sizeof(code)},
        {.load_address = layout->start, .data = code, .length = sizeof(code)},
        {.load_address = extra, .data = code, .length = WORD},
    };
    const image_write_esp_t spec = {
        .chip_id = chip().chip->image_chip_id,
        .entry = layout->start,
        .min_chip_rev_full = layout->min_revision,
        .max_chip_rev_full = 0xFFFF,
        .segments = segments,
        .segment_count = extra != 0 ? 4 : 3,
    };
    size_t length;
    memset(flash, 0xFF, TABLE);
    assert_int_equal(image_write_esp(&spec, flash + chip().chip->bootloader_offset, 0x4000, &length), IMAGE_WRITE_OK);
}

/**
 * An app with a segment of `length` bytes at `address`, placed so that the segment could be mapped.
 * @param page_size Log2 of the MMU's page size in its descriptor; 0: it has none.
 */
static void put_app(uint32_t address, uint32_t length, uint8_t page_size)
{
    static const uint8_t code[256] = {0x36, 0x41, 0x00};
    uint8_t data[256] = {0};
    if (page_size != 0) {
        sr_bytes_put_le32(data, SR_APP_DESC_MAGIC);
        data[180] = page_size;
    }
    const image_write_segment_t segments[] = {
        {.load_address = address, .data = data, .length = length},
        {.load_address = layout->app_code, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {
        .chip_id = chip().chip->image_chip_id,
        .entry = layout->app_code,
        .max_chip_rev_full = 0xFFFF,
        .segments = segments,
        .segment_count = 2,
    };
    const uint32_t place = APP_AREA + ((address - HEADERS) & (APP_SIZE - 1));
    const sr_partition_table_entry_t entry = {
        SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, place, APP_SIZE, 0, "app"};
    size_t written;
    assert_int_equal(image_write_partition_table(&entry, 1, flash + TABLE), IMAGE_WRITE_OK);
    memset(flash + place, 0xFF, 1024);
    assert_int_equal(image_write_esp(&spec, flash + place, APP_SIZE, &written), IMAGE_WRITE_OK);
}

static verdict_t boot(boot_result_t *result)
{
    const boot_chip_t what = chip();
    boots++;
    boot_run(&what, flash, sizeof(flash), NULL, NULL, result);
    return boot_succeeds(result) ? YES : result->outcome == BOOT_NOT_KNOWN ? NOT_KNOWN : NO;
}

static void expect(verdict_t expected, uint32_t address, uint32_t length, const char *what)
{
    boot_result_t result;
    const verdict_t actual = boot(&result);
    if (actual != expected) {
        print_error("%s, bootloader of %s, %s, 0x%" PRIx32 " + %" PRIu32 ": %s expected, model: %s (%s)\n",
                    layout->chip, build_names[build], what, address, length, verdict_names[expected],
                    verdict_names[actual], result.reason);
        faults++;
    }
}

static bool of_chip(const range_t *range)
{
    return strcmp(range->chip, layout->chip) == 0;
}

static bool holds(const range_t *range, uint32_t address, uint32_t length)
{
    return address >= range->low && address < range->high && length <= range->high - address;
}

/** What the table says of a build that checks. */
static verdict_t of_table(uint32_t address, uint32_t length)
{
    verdict_t verdict = NO;
    for (size_t i = 0; i < RANGES; i++) {
        const range_t *range = &ranges[i];
        const bool maps = range->kind == MAPS || range->kind == MAPS_SINCE_V5_2; /* Only the start is looked at. */
        if (!of_chip(range) || !holds(range, address, maps ? 1 : length) || range->kind == STORES) {
            continue;
        }
        bool sure =
            range->kind == MAPS || range->kind == LOADS || (range->kind != LOADS_SOMETIMES && build == DESCRIBED);
        /* Before v4.3.2 the address after the last byte had to be in the range, too. */
        sure = sure && (maps || build != OLD_REVISION || address + length != range->high);
        verdict = sure ? YES : verdict == YES ? YES : NOT_KNOWN;
    }
    return verdict;
}

/** What it says of a build before v4.1, or of the ROM: who does not check can store to all that is there. */
static bool can_store(uint32_t address, uint32_t length)
{
    bool stores = false;
    for (size_t i = 0; i < RANGES; i++) {
        const bool maps = ranges[i].kind == MAPS || ranges[i].kind == MAPS_SINCE_V5_2;
        stores |= of_chip(&ranges[i]) && !maps && holds(&ranges[i], address, length);
    }
    return stores;
}

static verdict_t of_unchecked(uint32_t address, uint32_t length)
{
    if (of_table(address, 1) == YES && !can_store(address, 1)) {
        return YES; /* Mapped. */
    }
    const bool too_high = address + length <= 0x40000000 && address + length > layout->stack - HEADROOM;
    return can_store(address, length) && !too_high ? YES : NO;
}

static void try_segment(uint32_t address, uint32_t length, const char *what)
{
    put_app(address, length, 0);
    expect(build == UNCHECKED ? of_unchecked(address, length) : of_table(address, length), address, length, what);
}

static void every_end_of_every_range(void **state)
{
    (void)state;
    for (size_t l = 0; l < LAYOUTS * BUILDS; l++) {
        layout = &layouts[l / BUILDS];
        build = (build_t)(l % BUILDS);
        if (!exists()) {
            continue;
        }
        put_bootloader(0);
        for (size_t i = 0; i < RANGES; i++) {
            if (of_chip(&ranges[i])) {
                try_segment(ranges[i].low, WORD, ranges[i].source);
                try_segment(ranges[i].low - WORD, WORD, ranges[i].source);
                try_segment(ranges[i].low - WORD, 2 * WORD, ranges[i].source);
                try_segment(ranges[i].high - WORD, WORD, ranges[i].source);
                try_segment(ranges[i].high - WORD, 2 * WORD, ranges[i].source);
                try_segment(ranges[i].high, WORD, ranges[i].source);
            }
        }
    }
    print_message("%u boots\n", boots);
    assert_int_equal(faults, 0);
}

/** The ROM loads a bootloader's segment wherever there is RAM but its own. */
static void the_rom_at_every_end(void **state)
{
    (void)state;
    build = DESCRIBED;
    for (size_t l = 0; l < LAYOUTS; l++) {
        layout = &layouts[l];
        put_app(layout->app_code + 0x1000, WORD, 0);
        for (size_t i = 0; i < 4 * RANGES; i++) {
            const range_t *range = &ranges[i / 4];
            const uint32_t addresses[] = {range->low, range->low - WORD, range->high - WORD, range->high};
            const uint32_t address = addresses[i % 4];
            if (of_chip(range)) {
                put_bootloader(address);
                expect(can_store(address, WORD) ? YES : NO, address, WORD, range->source);
            }
        }
        const uint32_t stack[] = {layout->stack - WORD, layout->stack - STACK_SIZE};
        for (size_t i = 0; i < 2; i++) {
            put_bootloader(stack[i]);
            expect(NO, stack[i], WORD, "the ROM's stack");
            if (layout->iram_offset != 0 && stack[i] + layout->iram_offset != 0) {
                put_bootloader(stack[i] + layout->iram_offset);
                expect(NO, stack[i] + layout->iram_offset, WORD, "the ROM's stack, on the instruction bus");
            }
        }
    }
    assert_int_equal(faults, 0);
}

/** Both ends of memory that the bootloader needs, on the data bus, and on the instruction bus if that shows it, too. */
static void try_ends(uint32_t low, uint32_t high, const verdict_t expected[3], const char *what)
{
    const uint32_t points[] = {low - WORD, low, high - WORD, high};
    for (size_t i = 0; i < 2 * sizeof(points) / sizeof(points[0]); i++) {
        const uint32_t address = points[i / 2] + (i % 2 != 0 ? layout->iram_offset : 0);
        put_app(address, WORD, 0);
        expect(expected[(i / 2 + 1) / 2], address, WORD, what);
    }
}

static void what_the_bootloader_needs(void **state)
{
    (void)state;
    for (size_t l = 0; l < LAYOUTS * BUILDS; l++) {
        layout = &layouts[l / BUILDS];
        build = (build_t)(l % BUILDS);
        if (!exists() || build == UNCHECKED) {
            continue;
        }
        const bool one_bus = layout->iram_offset == 0 && chip().chip->image_chip_id != 0;
        put_bootloader(0);
        /* What lies below, what is needed, and what follows. The stack pointer is a part of the stack's size below its
         * start, and variables that are zero at first are below the data of the image: neither is known exactly. */
        static const verdict_t room[] = {YES, NOT_KNOWN, NO}, needed[] = {NOT_KNOWN, NO, YES};
        try_ends(layout->stack - HEADROOM - STACK_SIZE, layout->stack - HEADROOM, room, "room for the stack");
        try_ends(layout->stack - HEADROOM, layout->stack, needed, "the bootloader's stack");
        try_ends(layout->data - 0x20, layout->data, room, "the bootloader's variables");
        try_ends(layout->data, layout->data + 256, needed, "the bootloader's data");
        if (chip().chip->image_chip_id != 0) { /* Code that loads; with one bus no build looks for it. */
            const uint32_t loader = layout->loader - layout->iram_offset;
            const verdict_t code[] = {YES, one_bus ? NOT_KNOWN : NO, YES};
            try_ends(loader, loader + 256, code, "the bootloader's loader");
        }
        put_app(layout->start, 256, 0);
        expect(YES, layout->start, 256, "code that only starts the bootloader");
    }
    assert_int_equal(faults, 0);
}

/** Its loader is where the other core has its cache: in no range of a build for two cores, and refused by the others.
 */
static void loader_of_the_esp32(void **state)
{
    (void)state;
    layout = &layouts[0];
    for (build = DESCRIBED; build < BUILDS; build++) {
        put_bootloader(0);
        const uint32_t addresses[] = {0x40079000, 0x400790FC, 0x40079100};
        for (size_t i = 0; i < 3; i++) {
            put_app(addresses[i], WORD, 0);
            expect(i < 2 ? NO : build == UNCHECKED ? YES : NOT_KNOWN, addresses[i], WORD, "SOC_CACHE_APP");
        }
        /* SRAM 1 on the instruction bus, its words from the last to the first: 0x400A9FFC is 0x3FFF6000. */
        put_app(0x400A9FFC, WORD, 0);
        expect(build == DESCRIBED || build == UNCHECKED ? YES : NOT_KNOWN, 0x400A9FFC, WORD, "SOC_IRAM_HIGH");
        /* 0x3FFF0020 is the bootloader's data, 0x3FFE3F1C the first of its stack. No one who checks lets an app there.
         */
        const uint32_t own[] = {0x400AFFDC, 0x400BC0E0};
        for (size_t i = 0; i < 2; i++) {
            put_app(own[i], WORD, 0);
            expect(build == UNCHECKED ? NOT_KNOWN : NO, own[i], WORD, "SOC_DIRAM_IRAM");
        }
    }
    assert_int_equal(faults, 0);
}

/** How much the MMU maps depends on its page size, which is the bootloader's option and the app's. */
static void smaller_pages_map_less(void **state)
{
    (void)state;
    build = DESCRIBED;
    for (size_t l = 0; l < LAYOUTS; l++) {
        layout = &layouts[l];
        if (strcmp(layout->chip, "esp32c6") != 0 && strcmp(layout->chip, "esp32h2") != 0) {
            continue;
        }
        put_bootloader(0);
        for (uint8_t log2_size = 13; log2_size <= 16; log2_size++) {
            const uint32_t end = 0x42000000 + (256u << log2_size);
            const uint32_t addresses[] = {end - 256, end, 0x43000000 - 256, 0x43000000};
            for (size_t i = 0; i < 4; i++) {
                put_app(addresses[i], 256, log2_size);
                expect(addresses[i] < end          ? YES
                       : addresses[i] < 0x43000000 ? NOT_KNOWN
                                                   : NO,
                       addresses[i], 256, "SOC_IROM");
            }
        }
    }
    assert_int_equal(faults, 0);
}

/** What the model's functions say of single bytes, in the words of this test. */
static verdict_t of_bytes(const boot_memory_t *memory, uint32_t address, uint32_t length)
{
    const boot_build_t asked = {
        .since_v5_2 = build == DESCRIBED, .ends_inside = build == OLD_REVISION, .page_size = 0x10000};
    const boot_place_t place = boot_memory_place(memory, &asked, address, length);
    return place == BOOT_PLACE_NONE ? NO : place == BOOT_PLACE_NOT_KNOWN ? NOT_KNOWN : YES;
}

static void try_bytes(const boot_memory_t *memory, const range_t *range, uint32_t address, uint32_t length)
{
    const verdict_t expected = of_table(address, length);
    const verdict_t actual = of_bytes(memory, address, length);
    const bool stores = boot_memory_stores(memory, address, length);
    if (actual != expected || stores != can_store(address, length)) {
        print_error("%s, bootloader of %s, %s, 0x%" PRIx32 " + %" PRIu32 ": %s expected, model: %s, %s\n", layout->chip,
                    build_names[build], range->source, address, length, verdict_names[expected], verdict_names[actual],
                    stores ? "stores" : "does not store");
        faults++;
    }
}

/** Segments have whole words, but boundaries are bytes. */
static void every_range_ends_at_its_byte(void **state)
{
    (void)state;
    for (size_t l = 0; l < LAYOUTS * UNCHECKED; l++) {
        layout = &layouts[l / UNCHECKED];
        build = (build_t)(l % UNCHECKED);
        const boot_memory_t *memory = boot_memory_of(chip().chip->image_chip_id);
        assert_non_null(memory);
        for (size_t i = 0; i < RANGES; i++) {
            const range_t *range = &ranges[i];
            if (of_chip(range)) {
                const uint32_t size = range->high - range->low;
                try_bytes(memory, range, range->low - 1, 1);
                try_bytes(memory, range, range->low, 1);
                try_bytes(memory, range, range->low - 1, 2);
                try_bytes(memory, range, range->high - 2, 1);
                try_bytes(memory, range, range->high - 1, 1);
                try_bytes(memory, range, range->high - 1, 2);
                try_bytes(memory, range, range->high, 1);
                try_bytes(memory, range, range->low, size);
                try_bytes(memory, range, range->low, size + 1);
            }
        }
    }
    assert_int_equal(faults, 0);
    assert_null(boot_memory_of(0xFFFF));
}

static void assert_same(boot_range_t a, boot_range_t b)
{
    assert_int_equal(a.low, b.low);
    assert_int_equal(a.high, b.high);
}

/** Where one bus shows it all, both names of a range mean the same addresses; RTC memory has one size on both. */
static void one_bus_has_one_range(void **state)
{
    (void)state;
    for (size_t l = 0; l < LAYOUTS; l++) {
        layout = &layouts[l];
        const boot_memory_t *memory = boot_memory_of(chip().chip->image_chip_id);
        if (layout->iram_offset == 0 && chip().chip->image_chip_id != 0) {
            assert_same(memory->drom, memory->irom);
            assert_same(memory->dram, memory->iram);
        }
        if (memory->rtc_fast.low == memory->rtc_fast_data.low) {
            assert_same(memory->rtc_fast, memory->rtc_fast_data);
        }
        assert_int_equal(memory->rtc_fast.high - memory->rtc_fast.low,
                         memory->rtc_fast_data.high - memory->rtc_fast_data.low);
        assert_int_equal(layout->min_revision >= 300 ? memory->rom_stack_v3 : memory->rom_stack, layout->stack);
    }
}

/** SOC_DIRAM_DRAM_LOW, SOC_DIRAM_DRAM_HIGH and SOC_DIRAM_IRAM_LOW: memory that has two addresses. */
static const struct {
    const char *chip;
    uint32_t low, high, iram;
    bool reversed; /**< Its words, on the ESP32. */
} twice[] = {
    {"esp32", 0x3FFE0000, 0x40000000, 0x400A0000, true},    {"esp32s2", 0x3FFB0000, 0x40000000, 0x40020000, false},
    {"esp32c3", 0x3FC80000, 0x3FCE0000, 0x40380000, false}, {"esp32s3", 0x3FC88000, 0x3FCF0000, 0x40378000, false},
    {"esp32c2", 0x3FCA0000, 0x3FCE0000, 0x40380000, false},
};

static bool overlap(size_t t, uint32_t iram, uint32_t iram_size, uint32_t dram)
{
    const boot_memory_t *memory = boot_memory_of(sr_chip_by_name(twice[t].chip)->image_chip_id);
    const sr_region_t a = {iram, iram_size};
    const sr_region_t b = {dram, 1};
    assert_int_equal(boot_memory_overlaps(memory, a, b), boot_memory_overlaps(memory, b, a));
    return boot_memory_overlaps(memory, a, b);
}

/** The byte at this offset of what is shared, on the data bus. */
static uint32_t on_data_bus(size_t t, uint32_t offset)
{
    return twice[t].reversed ? twice[t].high - 1 - offset : twice[t].low + offset;
}

static void shared_memory_overlaps_itself_at_its_other_address(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof(twice) / sizeof(twice[0]); t++) {
        const uint32_t size = twice[t].high - twice[t].low, iram = twice[t].iram;
        const uint32_t offsets[] = {0, 1, size / 2, size - 2, size - 1};
        for (size_t i = 0; i < 5; i++) {
            const uint32_t offset = offsets[i];
            assert_true(overlap(t, iram + offset, 1, on_data_bus(t, offset)));
            assert_false(overlap(t, iram + offset, 1, on_data_bus(t, offset) + 1));
            assert_false(overlap(t, iram + offset, 1, on_data_bus(t, offset) - 1));
        }
        /* What only begins or ends there, and what comes before or after. */
        assert_true(overlap(t, iram - 4, 8, on_data_bus(t, 0)));
        assert_true(overlap(t, iram - 4, 8, on_data_bus(t, 3)));
        assert_false(overlap(t, iram - 4, 8, on_data_bus(t, 4)));
        assert_true(overlap(t, iram + size - 4, 8, on_data_bus(t, size - 4)));
        assert_true(overlap(t, iram + size - 4, 8, on_data_bus(t, size - 1)));
        assert_false(overlap(t, iram + size - 4, 8, on_data_bus(t, size - 5)));
        assert_false(overlap(t, iram - 1, 1, on_data_bus(t, 0)));
        assert_false(overlap(t, iram - 1, 1, on_data_bus(t, UINT32_MAX)));
        assert_false(overlap(t, iram + size, 1, on_data_bus(t, size - 1)));
        assert_false(overlap(t, iram + size, 1, on_data_bus(t, size)));
    }
}

static int reset(void **state)
{
    (void)state;
    memset(flash, 0xFF, sizeof(flash));
    faults = 0;
    boots = 0;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_end_of_every_range, reset),
        cmocka_unit_test_setup(the_rom_at_every_end, reset),
        cmocka_unit_test_setup(what_the_bootloader_needs, reset),
        cmocka_unit_test_setup(loader_of_the_esp32, reset),
        cmocka_unit_test_setup(smaller_pages_map_less, reset),
        cmocka_unit_test_setup(every_range_ends_at_its_byte, reset),
        cmocka_unit_test(one_bus_has_one_range),
        cmocka_unit_test(shared_memory_overlaps_itself_at_its_other_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
