// SPDX-License-Identifier: Apache-2.0
#include "make/dummy_image.h"

#include "format/sr_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RODATA_SIZE      0x20000u
#define RAM_CODE_SIZE    0x8000u
#define RAM_DATA_SIZE    0x3000u
#define LOADER_CODE_SIZE 0x4000u // so that it ends in front of the table on every chip
#define LOADER_DATA_SIZE 0x1BE0u
#define IDF_VERSION      "v5.5.1"
#define ENTRY_IN_CODE    0x10u // the entry point, past the start of the code

/** Where memory is on a chip, and which of it the two kinds of image use (soc/soc.h of ESP-IDF). */
typedef struct memory_map {
    const char *chip;
    bool xtensa;
    uint32_t rodata, code;             /**< Mapped flash. */
    uint32_t app_code, app_data;       /**< RAM. */
    uint32_t loader_code, loader_data; /**< RAM that the app does not use until the bootloader is done. */
} memory_map_t;

static const memory_map_t memory_maps[] = {
    {"esp32", true, 0x3F400020, 0x400D0020, 0x40080000, 0x3FFB0000, 0x40078000, 0x3FFF0030},
    {"esp32s2", true, 0x3F000020, 0x40080020, 0x40028000, 0x3FFC0000, 0x40050000, 0x3FFE8000},
    {"esp32s3", true, 0x3C000020, 0x42000020, 0x40378000, 0x3FC98000, 0x403CC700, 0x3FCE3810},
    {"esp32c2", false, 0x3C000020, 0x42000020, 0x40380000, 0x3FCB0000, 0x403B0000, 0x3FCD8000},
    {"esp32c3", false, 0x3C000020, 0x42000020, 0x40380000, 0x3FC90000, 0x403CC700, 0x3FCD5820},
    {"esp32c5", false, 0x42000020, 0x42800020, 0x40800000, 0x40810000, 0x40840000, 0x40848000},
    {"esp32c6", false, 0x42000020, 0x42800020, 0x40800000, 0x40810000, 0x40860000, 0x40868000},
    {"esp32c61", false, 0x42000020, 0x42800020, 0x40800000, 0x40810000, 0x40830000, 0x40838000},
    {"esp32h2", false, 0x42000020, 0x42800020, 0x40800000, 0x40810000, 0x40830000, 0x40838000},
    {"esp32p4", false, 0x40000020, 0x41000020, 0x4FF00000, 0x4FF10000, 0x4FF80000, 0x4FF88000},
};

static const memory_map_t *memory_map_of(const sr_chip_t *chip)
{
    for (size_t i = 0; chip != NULL && i < sizeof(memory_maps) / sizeof(memory_maps[0]); i++) {
        if (strcmp(memory_maps[i].chip, chip->name) == 0) {
            return &memory_maps[i];
        }
    }
    return NULL;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

void dummy_image_fill(uint8_t *out, size_t length, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1u;
    if (state == 0) {
        state = 1; // the only state that xorshift never leaves
    }
    for (size_t start = 0; start < length; start += SR_PAGE_SIZE) {
        size_t page = length - start < SR_PAGE_SIZE ? length - start : SR_PAGE_SIZE;
        uint32_t kind = next_random(&state) % 16;
        if (kind < 2) {
            memset(out + start, kind == 0 ? 0xFF : 0x00, page);
            continue;
        }
        for (size_t i = 0; i < page; i++) {
            out[start + i] = (uint8_t)(next_random(&state) >> 24);
        }
    }
}

/**
 * Puts the only instructions of a dummy image at its entry point, for boot models that check it: an endless loop.
 * Xtensa (`entry a1, 32` and `j .`) on the chips that have it, RISC-V (`j .`) on the others.
 */
static void put_entry(const memory_map_t *map, uint8_t *code)
{
    static const uint8_t xtensa[] = {0x36, 0x41, 0x00, 0x06, 0xFF, 0xFF};
    static const uint8_t risc_v[] = {0x6F, 0x00, 0x00, 0x00};
    if (map->xtensa) {
        memcpy(code + ENTRY_IN_CODE, xtensa, sizeof(xtensa));
    } else {
        memcpy(code + ENTRY_IN_CODE, risc_v, sizeof(risc_v));
    }
}

/** Says at the start of a buffer of at least 96 bytes what it is, for whoever reads the bytes. */
static void put_notice(uint8_t *out, const char *what)
{
    (void)snprintf((char *)out, 96, "%s: stand-in made for the simulated chip, an endless loop", what);
}

/** An image of two RAM segments, as bootloaders are. */
static image_write_status_t write_loader(const sr_chip_t *chip, uint8_t spi_size, const uint8_t *data, uint32_t seed,
                                         uint8_t *out, size_t capacity, size_t *length)
{
    const memory_map_t *map = memory_map_of(chip);
    uint8_t *code = malloc(LOADER_CODE_SIZE);
    if (map == NULL || code == NULL) {
        free(code);
        return map == NULL ? IMAGE_WRITE_BAD_ARGUMENT : IMAGE_WRITE_NO_MEMORY;
    }
    dummy_image_fill(code, LOADER_CODE_SIZE, seed);
    put_entry(map, code);
    const image_write_segment_t segments[] = {
        {.load_address = map->loader_data, .data = data, .length = LOADER_DATA_SIZE},
        {.load_address = map->loader_code, .data = code, .length = LOADER_CODE_SIZE},
    };
    const image_write_esp_t spec = {
        .chip_id = chip->image_chip_id,
        .spi_mode = 2, // DIO: works on every board
        .spi_size = spi_size,
        .entry = map->loader_code + ENTRY_IN_CODE,
        .max_chip_rev_full = 0xFFFF,
        .append_hash = true,
        .segments = segments,
        .segment_count = sizeof(segments) / sizeof(segments[0]),
    };
    image_write_status_t status = image_write_esp(&spec, out, capacity, length);
    free(code);
    return status;
}

image_write_status_t dummy_image_bootloader(const sr_chip_t *chip, uint8_t spi_size, uint8_t *out, size_t capacity,
                                            size_t *length)
{
    *length = 0;
    uint8_t *data = malloc(LOADER_DATA_SIZE);
    if (data == NULL) {
        return IMAGE_WRITE_NO_MEMORY;
    }
    dummy_image_fill(data, LOADER_DATA_SIZE, 1);
    image_write_status_t status = image_write_bootloader_desc(IDF_VERSION, 1, data);
    put_notice(data + IMAGE_WRITE_BOOTLOADER_DESC_SIZE, "ESP-IDF second-stage bootloader");
    if (status == IMAGE_WRITE_OK) {
        status = write_loader(chip, spi_size, data, 2, out, capacity, length);
    }
    free(data);
    return status;
}

/** One `struct flash_area` of MCUboot, as it lies in the memory of a 32 bit chip. */
static void put_flash_area(uint8_t *out, uint8_t id, uint32_t offset, uint32_t size)
{
    sr_bytes_put_le32(out, id);
    sr_bytes_put_le32(out + 4, offset);
    sr_bytes_put_le32(out + 8, size);
}

image_write_status_t dummy_image_mcuboot(uint8_t *out, size_t capacity, size_t *length)
{
    *length = 0;
    uint8_t *data = malloc(LOADER_DATA_SIZE);
    if (data == NULL) {
        return IMAGE_WRITE_NO_MEMORY;
    }
    dummy_image_fill(data, LOADER_DATA_SIZE, 3);
    put_notice(data, "MCUboot");
    memcpy(data + 0x2B0, sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE);
    put_flash_area(data + 0xAD0, 3, DUMMY_IMAGE_SCRATCH, 0x40000);
    put_flash_area(data + 0xADC, 2, DUMMY_IMAGE_SECONDARY, DUMMY_IMAGE_SLOT_SIZE);
    put_flash_area(data + 0xAE8, 1, DUMMY_IMAGE_PRIMARY, DUMMY_IMAGE_SLOT_SIZE);
    put_flash_area(data + 0xAF4, 0, 0x1000, 0xF000);
    image_write_status_t status = write_loader(sr_chip_by_name("esp32"), 2, data, 4, out, capacity, length);
    free(data);
    return status;
}

uint32_t dummy_image_embedded_offset(void)
{
    return SR_IMAGE_HEADER_SIZE + 8 + RODATA_SIZE;
}

static image_write_status_t write_app(const dummy_image_app_t *app, const memory_map_t *map, uint8_t *rodata,
                                      uint32_t rodata_size, uint8_t *rest, uint8_t *out, size_t capacity,
                                      size_t *length)
{
    dummy_image_fill(rodata, RODATA_SIZE, 5);
    image_write_status_t status = image_write_app_desc(app->project_name, app->version, IDF_VERSION, rodata);
    if (status != IMAGE_WRITE_OK) {
        return status;
    }
    put_notice(rodata + IMAGE_WRITE_APP_DESC_SIZE, "app");
    if (app->embedded_size != 0) {
        memcpy(rodata + RODATA_SIZE, app->embedded, app->embedded_size);
    }
    dummy_image_fill(rest, RAM_DATA_SIZE + RAM_CODE_SIZE + app->code_size, 6);
    put_entry(map, rest + RAM_DATA_SIZE + app->code_size);
    // The order in which ESP-IDF's linker script and esptool put them.
    const image_write_segment_t segments[] = {
        {.load_address = map->rodata, .data = rodata, .length = rodata_size, .mapped = true},
        {.load_address = map->app_data, .data = rest, .length = RAM_DATA_SIZE},
        {.load_address = map->code, .data = rest + RAM_DATA_SIZE, .length = app->code_size, .mapped = true},
        {.load_address = map->app_code, .data = rest + RAM_DATA_SIZE + app->code_size, .length = RAM_CODE_SIZE},
    };
    const image_write_esp_t spec = {
        .chip_id = app->chip->image_chip_id,
        .spi_mode = 2,
        .spi_size = app->spi_size,
        .entry = map->app_code + ENTRY_IN_CODE,
        .max_chip_rev_full = 0xFFFF,
        .append_hash = true,
        .segments = segments,
        .segment_count = sizeof(segments) / sizeof(segments[0]),
    };
    return image_write_esp(&spec, out, capacity, length);
}

image_write_status_t dummy_image_app(const dummy_image_app_t *app, uint8_t *out, size_t capacity, size_t *length)
{
    *length = 0;
    const memory_map_t *map = memory_map_of(app->chip);
    if (map == NULL || app->code_size > capacity || app->embedded_size > capacity) {
        return map == NULL ? IMAGE_WRITE_BAD_ARGUMENT : IMAGE_WRITE_NO_ROOM;
    }
    uint32_t rodata_size = (uint32_t)sr_region_align_up(RODATA_SIZE + app->embedded_size, 4);
    uint8_t *rodata = calloc(1, rodata_size);
    uint8_t *rest = malloc(RAM_DATA_SIZE + RAM_CODE_SIZE + app->code_size);
    image_write_status_t status = IMAGE_WRITE_NO_MEMORY;
    if (rodata != NULL && rest != NULL) {
        status = write_app(app, map, rodata, rodata_size, rest, out, capacity, length);
    }
    free(rodata);
    free(rest);
    return status;
}

image_write_status_t dummy_image_mcuboot_app(image_write_trailer_t trailer, uint8_t *out, size_t capacity)
{
    enum { IRAM = 0x6C00, DRAM = 0x0400, DROM = 0x8000, IROM = 0x14940 };
    const uint32_t first = IMAGE_WRITE_MCUBOOT_HEADER_SIZE + IMAGE_WRITE_LOAD_HEADER_SIZE;
    const image_write_load_header_t header = {
        .entry = 0x40080000u + ENTRY_IN_CODE,
        .drom_address = 0x3F400000u + first,
        .drom_offset = first,
        .drom_size = DROM,
        .iram_address = 0x40080000u,
        .iram_offset = first + DROM,
        .iram_size = IRAM,
        .dram_address = 0x3FFB1EE0u,
        .dram_offset = first + DROM + IRAM,
        .dram_size = DRAM,
        .irom_address = 0x400D0000u,
        .irom_offset = IMAGE_WRITE_MMU_PAGE_SIZE,
        .irom_size = IROM,
    };
    const uint32_t size = header.irom_offset + IROM - IMAGE_WRITE_MCUBOOT_HEADER_SIZE;
    uint8_t *payload = malloc(size);
    if (payload == NULL) {
        return IMAGE_WRITE_NO_MEMORY;
    }
    dummy_image_fill(payload, size, 7);
    image_write_load_header(&header, payload);
    put_notice(payload + IMAGE_WRITE_LOAD_HEADER_SIZE, "MCUboot app");
    put_entry(memory_map_of(sr_chip_by_name("esp32")), payload + header.iram_offset - IMAGE_WRITE_MCUBOOT_HEADER_SIZE);
    const uint32_t used = header.dram_offset + DRAM;
    memset(payload + used - IMAGE_WRITE_MCUBOOT_HEADER_SIZE, 0xFF, header.irom_offset - used);
    const image_write_mcuboot_t spec = {
        .version_major = 1,
        .payload = payload,
        .payload_size = size,
        .slot_size = DUMMY_IMAGE_SLOT_SIZE,
        .trailer = trailer,
    };
    image_write_status_t status = image_write_mcuboot(&spec, out, capacity);
    free(payload);
    return status;
}
