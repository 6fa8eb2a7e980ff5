// SPDX-License-Identifier: Apache-2.0
/** @file
 * One flash with a bootloader of ESP-IDF and apps that are made here, and what a boot of it is to end in. Include after
 * cmocka.h, in one file of a program.
 */
#pragma once

#include "format/sr_bytes.h"
#include "make/image_writer.h"
#include "sim/boot/boot_model.h"

#include <stdio.h>
#include <string.h>

#define FLASH_SIZE (4u << 20)
#define TABLE      0x8000u
#define OTADATA    0xE000u
#define SLOT_SIZE  0x10000u
#define SLOT(n)    (0x10000u + (n)*SLOT_SIZE)
#define DESC_MIN   176u /* Offsets in an app's descriptor. */
#define DESC_MAX   178u
#define DESC_PAGE  180u

static uint8_t flash[FLASH_SIZE];
static boot_chip_t chip;
static boot_result_t result;

static const sr_partition_table_entry_t otadata_partition = {
    SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "o"};

static inline sr_partition_table_entry_t app_partition(uint8_t subtype, uint32_t address)
{
    return (sr_partition_table_entry_t){SR_PARTITION_TYPE_APP, subtype, address, SLOT_SIZE, 0, "app"};
}

static inline void put_table(const sr_partition_table_entry_t *entries, unsigned count)
{
    assert_int_equal(image_write_partition_table(entries, count, flash + TABLE), IMAGE_WRITE_OK);
}

/** A table of one factory app. */
static inline void put_factory(uint32_t address, uint32_t size)
{
    sr_partition_table_entry_t factory = app_partition(SR_PARTITION_APP_FACTORY, address);
    factory.size = size;
    put_table(&factory, 1);
}

/** otadata, factory if there is one, and slots. */
static inline void put_slots(bool factory, unsigned count)
{
    sr_partition_table_entry_t entries[18] = {otadata_partition};
    unsigned all = 1;
    if (factory) {
        entries[all++] = app_partition(SR_PARTITION_APP_FACTORY, SLOT(20));
    }
    for (unsigned i = 0; i < count; i++) {
        entries[all++] = app_partition((uint8_t)(SR_PARTITION_APP_OTA_0 + i), SLOT(i));
    }
    put_table(entries, all);
}

/** Where bootloader and app go on a chip, and a bootloader's words. */
typedef struct memory {
    const char *chip;
    uint32_t loader_data, loader_code, app_data, app_code;
} memory_t;

static const memory_t esp32 = {"esp32", 0x3FFF0030, 0x40078000, 0x3FFB0000, 0x40080000};
static const memory_t esp32c3 = {"esp32c3", 0x3FCD5820, 0x403CC700, 0x3FC90000, 0x40380000};
static const memory_t esp32c6 = {"esp32c6", 0x40868000, 0x40860000, 0x40810000, 0x40800000};
static const memory_t *map;

/** A bootloader with this in its data, after its descriptor. */
static inline void put_loader_with(const uint8_t *data, uint32_t length, uint8_t spi_size)
{
    static const uint8_t code[256] = {0x36, 0x41, 0x00};
    const image_write_segment_t segments[] = {
        {.load_address = map->loader_data, .data = data, .length = length},
        {.load_address = map->loader_code, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {.chip_id = chip.chip->image_chip_id,
                                    .spi_size = spi_size,
                                    .entry = map->loader_code,
                                    .max_chip_rev_full = 0xFFFF,
                                    .segments = segments,
                                    .segment_count = 2};
    size_t written;
    assert_int_equal(image_write_esp(&spec, flash + chip.chip->bootloader_offset, 0x4000, &written), IMAGE_WRITE_OK);
}

static inline void put_loader(const char *version, const char *words, uint8_t spi_size)
{
    uint8_t data[256] = {0};
    if (version != NULL) {
        assert_int_equal(image_write_bootloader_desc(version, 0, data), IMAGE_WRITE_OK);
    }
    memcpy(data + 128, words, strlen(words));
    put_loader_with(data, sizeof(data), spi_size);
}

/** What differs between the apps of these tests; zero members mean what is usual. */
typedef struct app_spec {
    uint32_t data_address, data_length, entry;
    bool descriptor;
    uint16_t min_block, max_block;
    uint32_t secure_version;
    uint8_t page_size;
    uint16_t min_revision;
    bool hash;
} app_spec_t;

/** @return the image's length. */
static inline uint32_t put_app(uint32_t address, const app_spec_t *app)
{
    static const uint8_t code[256] = {0x36, 0x41, 0x00};
    uint8_t data[256] = {0};
    sr_bytes_put_le32(data, app->descriptor ? SR_APP_DESC_MAGIC : SR_APP_DESC_MAGIC + 1);
    sr_bytes_put_le32(data + 4, app->secure_version);
    sr_bytes_put_le32(data + DESC_MIN, app->min_block | (uint32_t)app->max_block << 16);
    data[DESC_PAGE] = app->page_size;
    const image_write_segment_t segments[] = {
        {.load_address = app->data_address != 0 ? app->data_address : map->app_data,
         .data = data,
         .length = app->data_length != 0 ? app->data_length : sizeof(data)},
        {.load_address = map->app_code, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {.chip_id = chip.chip->image_chip_id,
                                    .entry = app->entry != 0 ? app->entry : map->app_code,
                                    .min_chip_rev_full = app->min_revision,
                                    .max_chip_rev_full = 0xFFFF,
                                    .append_hash = app->hash,
                                    .segments = segments,
                                    .segment_count = 2};
    size_t length;
    assert_int_equal(image_write_esp(&spec, flash + address, SLOT_SIZE, &length), IMAGE_WRITE_OK);
    return (uint32_t)length;
}

static const app_spec_t good_app = {.hash = true};

static inline void on_chip(const memory_t *which)
{
    map = which;
    chip = (boot_chip_t){.chip = sr_chip_by_name(which->chip)};
    memset(flash, 0xFF, sizeof(flash));
    put_loader("v5.5", "", 2);
}

static inline int set_up(void **state)
{
    (void)state;
    on_chip(&esp32);
    return 0;
}

static inline void boot(void)
{
    boot_run(&chip, flash, sizeof(flash), NULL, NULL, &result);
}

static inline void expect_app(uint32_t address)
{
    boot();
    if (result.outcome != BOOT_BOOTS || result.app_offset != address) {
        fail_msg("expected the app at 0x%x: %s 0x%x (%s)", (unsigned)address, boot_outcome_name(result.outcome),
                 (unsigned)result.app_offset, result.reason);
    }
}

static inline void expect_failure(boot_outcome_t outcome, const char *reason)
{
    boot();
    if (result.outcome != outcome || strstr(result.reason, reason) == NULL) {
        fail_msg("expected \"%s\": %s (%s)", reason, boot_outcome_name(result.outcome), result.reason);
    }
}

static inline void expect_boots(bool boots, uint32_t address, const char *reason)
{
    if (boots) {
        expect_app(address);
    } else {
        expect_failure(BOOT_BOOTLOADER_REJECTS, reason);
    }
}
