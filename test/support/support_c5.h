// SPDX-License-Identifier: Apache-2.0
/** @file
 * Images for an ESP32-C5, whose ROM knows a recovery bootloader. Include after cmocka.h.
 */
#pragma once

#include "format/sr_region.h"
#include "make/dummy_image.h"
#include "make/image_writer.h"

#include <string.h>

#define C5_CHIP_ID 23u

/** An app of one sector. */
static inline void c5_put_app(uint8_t out[SR_SECTOR_SIZE], const char *version)
{
    static uint8_t data[0x800];
    static uint8_t code[0x400];
    size_t length = 0;
    assert_int_equal(image_write_app_desc("recovery", version, "v5.5.1", data), IMAGE_WRITE_OK);
    dummy_image_fill(code, sizeof(code), (uint32_t)version[0]);
    const image_write_segment_t segments[] = {
        {.load_address = 0x42000020, .data = data, .length = sizeof(data), .mapped = true},
        {.load_address = 0x40800000, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {.chip_id = C5_CHIP_ID,
                                    .spi_mode = 2,
                                    .entry = 0x40800000,
                                    .max_chip_rev_full = 0xFFFF,
                                    .append_hash = true,
                                    .segments = segments,
                                    .segment_count = 2};
    memset(out, 0xFF, SR_SECTOR_SIZE);
    assert_int_equal(image_write_esp(&spec, out, SR_SECTOR_SIZE, &length), IMAGE_WRITE_OK);
}

/** What code a bootloader needs to be so many sectors long. */
static inline uint32_t c5_loader_code_size(unsigned sectors)
{
    return sectors * SR_SECTOR_SIZE - 0x600;
}

/**
 * A bootloader.
 * @param room Of @p out, which is blank after the image.
 * @param spi_size Code of the flash's size in its header.
 * @param code c5_loader_code_size() bytes.
 * @return length of the image, in bytes
 */
static inline uint32_t c5_put_loader(uint8_t *out, size_t room, unsigned sectors, uint16_t chip_id, uint8_t spi_size,
                                     const uint8_t *code)
{
    static uint8_t data[0x400];
    size_t length = 0;
    assert_int_equal(image_write_bootloader_desc("v5.5.1", 1, data), IMAGE_WRITE_OK);
    const image_write_segment_t segments[] = {
        {.load_address = 0x40848000, .data = data, .length = sizeof(data)},
        {.load_address = 0x40840000, .data = code, .length = c5_loader_code_size(sectors)},
    };
    const image_write_esp_t spec = {.chip_id = chip_id,
                                    .spi_mode = 2,
                                    .spi_size = spi_size,
                                    .entry = 0x40840000,
                                    .max_chip_rev_full = 0xFFFF,
                                    .append_hash = true,
                                    .segments = segments,
                                    .segment_count = 2};
    memset(out, 0xFF, room);
    assert_int_equal(image_write_esp(&spec, out, room, &length), IMAGE_WRITE_OK);
    assert_int_equal(sr_region_align_up((uint32_t)length, SR_SECTOR_SIZE), sectors * SR_SECTOR_SIZE);
    return (uint32_t)length;
}
