// SPDX-License-Identifier: Apache-2.0
/** @file
 * A flash that passes every check before a commit, and what is expected of one that was changed. Include after
 * cmocka.h.
 */
#pragma once

#include "preflight/sr_preflight.h"

#include "make/dummy_image.h"
#include "make/image_writer.h"
#include "test/support/support_reader.h"

#include <stdlib.h>
#include <string.h>

#define FLASH_SIZE   (4u << 20)
#define LOADER       0x1000u
#define TABLE        0x8000u
#define OTADATA      0xE000u
#define SLOT(n)      (0x10000u + (n)*0x100000u)
#define SLOT_SIZE    0x100000u
#define ALL_CHECKS   0xBFu
#define MODE         2u // offsets in the image header
#define SPEED_SIZE   3u
#define CHIP_ID      12u
#define OLD_REVISION 14u
#define MIN_REVISION 15u
#define MAX_REVISION 17u

static uint8_t flash[FLASH_SIZE];
static memory_t memory;
static sr_reader_t reader;
static sr_image_t today;
static sr_preflight_t result;
static char text[200];

static const sr_partition_table_entry_t nvs = {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, 0x9000, 0x5000, 0, "nvs"};
static const sr_partition_table_entry_t otadata = {
    SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"};
static const sr_partition_table_entry_t ota_0 = {SR_PARTITION_TYPE_APP, 0x10, SLOT(0), SLOT_SIZE, 0, "ota_0"};
static const sr_partition_table_entry_t ota_1 = {SR_PARTITION_TYPE_APP, 0x11, SLOT(1), SLOT_SIZE, 0, "ota_1"};
static const sr_partition_table_entry_t files = {SR_PARTITION_TYPE_DATA, 0x82, 0x210000, 0x1F0000, 0, "files"};

static inline void put_table(const sr_partition_table_entry_t *entries, unsigned count)
{
    assert_int_equal(image_write_partition_table(entries, count, flash + TABLE), IMAGE_WRITE_OK);
}

/** The usual table with its last entry replaced. */
static inline void put_table_with(sr_partition_table_entry_t last)
{
    const sr_partition_table_entry_t entries[] = {nvs, otadata, ota_0, ota_1, last};
    put_table(entries, 5);
}

static inline void put_app(uint32_t address)
{
    const dummy_image_app_t app = {
        .chip = result.chip, .spi_size = 2, .project_name = "app", .version = "1", .code_size = 0x1000};
    size_t length;
    assert_int_equal(dummy_image_app(&app, flash + address, SLOT_SIZE, &length), IMAGE_WRITE_OK);
}

/** What tools do after a change to a header: makes the digest right again. */
static inline void renew_digest(uint32_t address)
{
    sr_image_t image;
    memory_t window;
    const sr_reader_t whole = memory_reader(&window, flash + address, FLASH_SIZE - address);
    assert_int_equal(sr_image_parse(&whole, &image), SR_IMAGE_OK);
    assert_true(image.hash_appended);
    const uint32_t hashed = image.length - SR_SHA256_SIZE;
    library_digest(PSA_ALG_SHA_256, flash + address, hashed, flash + address + hashed);
}

static inline void put_header(uint32_t address, uint32_t offset, uint8_t value)
{
    flash[address + offset] = value;
    renew_digest(address);
}

static inline void put_revision(uint32_t address, uint32_t offset, uint16_t revision)
{
    flash[address + offset] = (uint8_t)revision;
    put_header(address, offset + 1, (uint8_t)(revision >> 8));
}

/** A flash that passes: bootloader, table, otadata that selects slot 0, an app in both slots. */
static inline int set_up(void **state)
{
    (void)state;
    size_t length;
    memset(flash, 0xFF, sizeof(flash));
    reader = memory_reader(&memory, flash, FLASH_SIZE);
    result = (sr_preflight_t){
        .flash = &reader,
        .flash_size = FLASH_SIZE,
        .chip = sr_chip_by_name("esp32"),
        .chip_revision = 300,
        .table_offset = TABLE,
        .today = &today,
    };
    assert_int_equal(dummy_image_bootloader(result.chip, 2, flash + LOADER, 0x7000, &length), IMAGE_WRITE_OK);
    memory_t window;
    const sr_reader_t loader = memory_reader(&window, flash + LOADER, 0x7000);
    assert_int_equal(sr_image_parse(&loader, &today), SR_IMAGE_OK);
    put_table_with(files);
    image_write_otadata(1, SR_OTA_VALID, flash + OTADATA);
    put_app(SLOT(0));
    put_app(SLOT(1));
    return 0;
}

static inline uint32_t check(void)
{
    void *workspace = malloc(sr_preflight_workspace_size());
    assert_non_null(workspace);
    memset(text, 'x', sizeof(text));
    const uint32_t failed = sr_preflight_check(&result, workspace, text, sizeof(text));
    free(workspace);
    assert_non_null(memchr(text, '\0', sizeof(text)));
    assert_true(failed == 0 ? text[0] == '\0' : strlen(text) > 20 && strlen(text) < sizeof(text) - 1);
    return failed;
}

static inline void expect_ok(void)
{
    const uint32_t failed = check();
    if (failed != 0) {
        fail_msg("0x%x: %s", failed, text);
    }
}

static inline void expect_refusal(uint32_t bit, const char *words)
{
    assert_int_equal(check(), bit);
    if (strcmp(text, words) != 0) {
        fail_msg("expected: %s\nbut was:  %s", words, text);
    }
}

/** Expects this refusal, and none once the check is switched off by its bit. */
static inline void expect_only_refusal(uint32_t bit, const char *words)
{
    expect_refusal(bit, words);
    result.skip = bit;
    expect_ok();
    result.skip = ALL_CHECKS & ~bit;
    expect_refusal(bit, words);
    result.skip = 0;
}
