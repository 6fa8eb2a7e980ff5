// SPDX-License-Identifier: Apache-2.0
/** @file
 * Checks of a flash as it will be. What passes them is also booted by the boot model, an independent implementation.
 */
#include "preflight/sr_preflight.h"

#include "format/sr_boot_choice.h"
#include "format/sr_bytes.h"
#include "make/dummy_image.h"
#include "sim/boot/boot_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/support_preflight.h"
#include "test/support/support_reader.h"

static void a_good_flash_passes_every_check(void **state)
{
    (void)state;
    expect_ok();
    for (uint32_t bit = 1; bit <= ALL_CHECKS; bit <<= 1) {
        result.skip = ALL_CHECKS & ~bit;
        expect_ok();
    }
    assert_in_range(sr_preflight_workspace_size(), 3000, 4400);
}

static void every_chip_passes(void **state)
{
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        set_up(state);
        memset(flash, 0xFF, TABLE);
        result.chip = sr_chip_at(i);
        size_t length;
        assert_int_equal(
            dummy_image_bootloader(result.chip, 2, flash + result.chip->bootloader_offset, 0x6000, &length),
            IMAGE_WRITE_OK);
        put_app(SLOT(0));
        expect_ok();
    }
}

static void bootloader_of_another_chip(void **state)
{
    (void)state;
    put_header(LOADER, CHIP_ID, 9);
    expect_only_refusal(SR_PREFLIGHT_BOOTLOADER, "Bootloader at 0x1000 is for chip id 0x0009, this esp32 has 0x0000");
}

static void bootloader_that_is_damaged(void **state)
{
    (void)state;
    flash[LOADER + 0x100] ^= 1;
    expect_only_refusal(SR_PREFLIGHT_BOOTLOADER, "Bootloader at 0x1000: image checksum differs");
    flash[LOADER + 0x104] ^= 1; // what the ROM would not notice
    expect_only_refusal(SR_PREFLIGHT_BOOTLOADER, "Bootloader at 0x1000: image SHA-256 differs");
}

static void bootloader_that_is_none(void **state)
{
    (void)state;
    memset(flash + LOADER, 0xFF, 0x7000);
    static const char *const words = "Bootloader at 0x1000: not an image: first byte is not 0xE9";
    expect_refusal(SR_PREFLIGHT_BOOTLOADER, words);
    // What needs its header cannot be checked either.
    result.skip = SR_PREFLIGHT_BOOTLOADER;
    expect_refusal(SR_PREFLIGHT_FLASH_SIZE, words);
    result.skip |= SR_PREFLIGHT_FLASH_SIZE;
    expect_refusal(SR_PREFLIGHT_FLASH_MODE, words);
    result.skip |= SR_PREFLIGHT_FLASH_MODE;
    expect_ok();
}

static void bootloader_that_reaches_the_table(void **state)
{
    (void)state;
    sr_image_t image;
    memory_t window;
    const sr_reader_t loader = memory_reader(&window, flash + LOADER, 0x7000);
    assert_int_equal(sr_image_parse(&loader, &image), SR_IMAGE_OK);
    const uint32_t end = LOADER + image.length;
    char words[120];
    (void)snprintf(words, sizeof(words),
                   "Bootloader at 0x1000 ends at 0x%x, past the start of the partition table at 0x6000", end);
    assert_true(end > 0x6000);
    result.table_offset = end;
    result.skip = ALL_CHECKS & ~SR_PREFLIGHT_BOOTLOADER;
    expect_ok();
    result.table_offset--;
    assert_int_equal(check(), SR_PREFLIGHT_BOOTLOADER);
    result.table_offset = 0x6000;
    expect_refusal(SR_PREFLIGHT_BOOTLOADER, words);
}

static void flash_size_below_the_end_of_the_table(void **state)
{
    (void)state;
    put_header(LOADER, SPEED_SIZE, 0x10);
    expect_only_refusal(SR_PREFLIGHT_FLASH_SIZE, "Bootloader takes the flash for 0x200000 bytes (size code 1 in its "
                                                 "header), partition 3 ends at 0x210000");
    const sr_partition_table_entry_t entries[] = {nvs, otadata, ota_0};
    put_table(entries, 3);
    expect_ok();
}

static void flash_size_above_that_of_the_chip(void **state)
{
    (void)state;
    put_header(LOADER, SPEED_SIZE, 0x30);
    expect_only_refusal(SR_PREFLIGHT_FLASH_SIZE,
                        "Bootloader's header (size code 3) says 0x800000 bytes of flash, the chip has 0x400000");
    result.flash_size = 0;
    expect_ok();
}

static void flash_size_that_not_every_bootloader_knows(void **state)
{
    (void)state;
    static const char *const words = "Bootloader takes the flash for 0x200000 bytes (size code 5 in its header), "
                                     "partition 3 ends at 0x210000";
    put_header(LOADER, SPEED_SIZE, 0x50);
    result.flash_size = 32u << 20;
    expect_only_refusal(SR_PREFLIGHT_FLASH_SIZE, words);
    // Wherever in the bootloader it names the size, also across two reads.
    sr_image_t image;
    memory_t window;
    const sr_reader_t loader = memory_reader(&window, flash + LOADER, 0x7000);
    assert_int_equal(sr_image_parse(&loader, &image), SR_IMAGE_OK);
    for (uint32_t at = 0x200; at < 0x200 + 128; at++) {
        uint8_t saved[5];
        memcpy(saved, flash + LOADER + at, sizeof(saved));
        memcpy(flash + LOADER + at, "32MB", sizeof(saved));
        result.skip = SR_PREFLIGHT_BOOTLOADER;
        expect_ok();
        flash[LOADER + at + 4] = '!';
        expect_refusal(SR_PREFLIGHT_FLASH_SIZE, words);
        memcpy(flash + LOADER + at, saved, sizeof(saved));
    }
    memcpy(flash + LOADER + image.length, "32MB", 5);
    expect_refusal(SR_PREFLIGHT_FLASH_SIZE, words);
    // Chips whose bootloaders know it, unless they name others.
    result.skip = ALL_CHECKS & ~SR_PREFLIGHT_FLASH_SIZE;
    uint8_t loader_copy[0x7000];
    memcpy(loader_copy, flash + LOADER, sizeof(loader_copy));
    static const char *const large[] = {"esp32s2", "esp32s3"};
    for (unsigned i = 0; i < 2; i++) {
        result.chip = sr_chip_by_name(large[i]);
        memcpy(flash + result.chip->bootloader_offset, loader_copy, 0x6000);
        expect_ok();
    }
    set_up(state);
    // Codes that nobody has given out.
    result.skip = 0;
    put_header(LOADER, SPEED_SIZE, 0xF0);
    expect_refusal(SR_PREFLIGHT_FLASH_SIZE,
                   "Bootloader takes the flash for 0x200000 bytes (size code 15 in its header), "
                   "partition 3 ends at 0x210000");
}

static void flash_mode_is_no_more_demanding_than_today(void **state)
{
    (void)state;
    for (uint8_t mode = 0; mode < 6; mode++) {
        for (uint8_t now = 0; now < 6; now++) {
            put_header(LOADER, MODE, mode);
            today.spi_mode = now;
            // Two modes each need four data lines, two, and one.
            assert_int_equal(check(), mode / 2 < now / 2 ? SR_PREFLIGHT_FLASH_MODE : 0);
        }
    }
    put_header(LOADER, MODE, 0);
    today.spi_mode = 2;
    expect_only_refusal(SR_PREFLIGHT_FLASH_MODE,
                        "Bootloader's flash mode 0 (QIO) may not work here: 2 (DIO) works today");
    put_header(LOADER, MODE, 9);
    expect_only_refusal(SR_PREFLIGHT_FLASH_MODE,
                        "Bootloader's flash mode 9 (unknown) may not work here: 2 (DIO) works today");
    today.spi_mode = 9;
    expect_ok();
    put_header(LOADER, MODE, 2);
    expect_only_refusal(SR_PREFLIGHT_FLASH_MODE,
                        "Bootloader's flash mode 2 (DIO) may not work here: 9 (unknown) works today");
    result.today = NULL;
    expect_ok();
}

static void flash_clock_is_no_faster_than_today(void **state)
{
    (void)state;
    static const uint8_t timid_to_bold[] = {2, 1, 0, 15};
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 4; k++) {
            put_header(LOADER, SPEED_SIZE, 0x20 | timid_to_bold[i]);
            today.spi_speed = timid_to_bold[k];
            assert_int_equal(check(), i > k ? SR_PREFLIGHT_FLASH_MODE : 0);
        }
    }
    put_header(LOADER, SPEED_SIZE, 0x2F);
    today.spi_speed = 0;
    expect_only_refusal(SR_PREFLIGHT_FLASH_MODE,
                        "Bootloader's flash clock 15 (80000 kHz, 0: unknown) may not work here: 0 "
                        "(40000 kHz) works today");
    put_header(LOADER, SPEED_SIZE, 0x27);
    expect_only_refusal(SR_PREFLIGHT_FLASH_MODE, "Bootloader's flash clock 7 (0 kHz, 0: unknown) may not work here: 0 "
                                                 "(40000 kHz) works today");
    today.spi_speed = 7;
    expect_ok();
    put_header(LOADER, SPEED_SIZE, 0x22);
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_MODE);
}

static void revision_is_in_the_range_of_both(void **state)
{
    (void)state;
    put_revision(LOADER, MIN_REVISION, 301);
    expect_only_refusal(SR_PREFLIGHT_REVISION, "Bootloader needs at least revision v3.1 of the chip, this one is v3.0");
    put_revision(LOADER, MIN_REVISION, 300);
    expect_ok();
    put_revision(LOADER, MAX_REVISION, 299);
    expect_only_refusal(SR_PREFLIGHT_REVISION, "Bootloader runs up to revision v2.99 of the chip, this one is v3.0");
    put_revision(LOADER, MAX_REVISION, 0);
    expect_ok();
    put_revision(SLOT(1), MIN_REVISION, 400); // the app that does not boot
    expect_ok();
    put_revision(SLOT(0), MAX_REVISION, 199);
    expect_only_refusal(SR_PREFLIGHT_REVISION, "App runs up to revision v1.99 of the chip, this one is v3.0");
    result.chip_revision = UINT16_MAX;
    expect_ok();
}

static void revision_in_the_old_field(void **state)
{
    (void)state;
    put_header(SLOT(0), OLD_REVISION, 3);
    expect_ok();
    result.chip_revision = 100;
    expect_only_refusal(SR_PREFLIGHT_REVISION, "App needs at least revision v3.0 of the chip, this one is v1.0");
    put_revision(SLOT(0), MIN_REVISION, 100);
    expect_ok();
    // Where the old field held the minor revision.
    set_up(state);
    size_t length;
    memset(flash, 0xFF, TABLE);
    result.chip = sr_chip_by_name("esp32c3");
    assert_int_equal(dummy_image_bootloader(result.chip, 2, flash, 0x7000, &length), IMAGE_WRITE_OK);
    put_app(SLOT(0));
    put_header(SLOT(0), OLD_REVISION, 4);
    result.chip_revision = 4;
    expect_ok();
    result.chip_revision = 3;
    expect_only_refusal(SR_PREFLIGHT_REVISION, "App needs at least revision v0.4 of the chip, this one is v0.3");
}

static void table_that_is_damaged(void **state)
{
    (void)state;
    flash[TABLE + 32 + 12] ^= 1; // a letter of otadata's label
    expect_refusal(SR_PREFLIGHT_TABLE, "Partition table at 0x8000, entry 5: partition table MD5 differs");
    result.skip = SR_PREFLIGHT_TABLE;
    expect_refusal(SR_PREFLIGHT_APP, "Partition table at 0x8000, entry 5: partition table MD5 differs");
    result.skip |= SR_PREFLIGHT_APP;
    expect_ok();
    result.skip = 0;
    flash[TABLE + 64] = 0;
    expect_refusal(SR_PREFLIGHT_TABLE,
                   "Partition table at 0x8000, entry 2: partition table entry has a bad magic number");
    memset(flash + TABLE, 0xFF, 0x1000);
    expect_refusal(SR_PREFLIGHT_TABLE, "Partition table at 0x8000: none of its 0 partitions is an app");
    result.table_offset = FLASH_SIZE - 0x800;
    expect_refusal(SR_PREFLIGHT_FLASH_SIZE, "Partition table at 0x3ff800, entry 0: partition table cannot be read");
}

static void table_without_md5_passes(void **state)
{
    (void)state;
    memset(flash + TABLE + 5 * 32, 0xFF, 32);
    expect_ok();
}

static void table_without_app(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {nvs, otadata};
    put_table(entries, 2);
    expect_refusal(SR_PREFLIGHT_TABLE, "Partition table at 0x8000: none of its 2 partitions is an app");
    result.skip = SR_PREFLIGHT_TABLE;
    expect_refusal(SR_PREFLIGHT_APP, "Partition table at 0x8000: the bootloader boots none of its 2 partitions");
}

static void partitions_outside_the_flash(void **state)
{
    (void)state;
    put_header(LOADER, SPEED_SIZE, 0x30);
    sr_partition_table_entry_t last = files;
    last.size += 0x1000;
    put_table_with(last);
    result.skip = SR_PREFLIGHT_FLASH_SIZE;
    expect_refusal(SR_PREFLIGHT_TABLE,
                   "Partition 4 at 0x210000, 0x1f1000 bytes, extends past the end of flash of 0x400000 bytes");
    result.flash_size = 0;
    expect_ok();
    last.size = 0xFFFFF000;
    put_table_with(last);
    result.skip = 0;
    result.flash_size = FLASH_SIZE;
    put_header(LOADER, SPEED_SIZE, 0x20);
    expect_refusal(SR_PREFLIGHT_TABLE,
                   "Partition table at 0x8000, entry 4: partition extends past the end of flash size");
}

static void partitions_that_are_not_aligned(void **state)
{
    (void)state;
    sr_partition_table_entry_t last = files;
    last.address += 0x800;
    last.size = 0x1000;
    put_table_with(last);
    expect_only_refusal(SR_PREFLIGHT_TABLE, "Partition 4 starts at 0x210800, which is no multiple of 0x1000");
    last.address = 0x211000;
    put_table_with(last);
    expect_ok();
    last.type = SR_PARTITION_TYPE_APP;
    last.subtype = SR_PARTITION_APP_TEST;
    put_table_with(last);
    expect_only_refusal(SR_PREFLIGHT_TABLE, "Partition 4 starts at 0x211000, which is no multiple of 0x10000");
}

static void partitions_over_something_else(void **state)
{
    (void)state;
    sr_partition_table_entry_t last = files;
    last.size = 0x1000;
    last.address = 0x7000;
    put_table_with(last);
    char words[150];
    sr_image_t image;
    memory_t window;
    const sr_reader_t loader = memory_reader(&window, flash + LOADER, 0x7000);
    assert_int_equal(sr_image_parse(&loader, &image), SR_IMAGE_OK);
    const uint32_t end = (uint32_t)sr_region_align_up(LOADER + image.length, SR_SECTOR_SIZE);
    assert_in_range(end, 0x2000, 0x7000);
    expect_ok();
    last.address = end - 0x1000;
    put_table_with(last);
    (void)snprintf(words, sizeof(words),
                   "Partition 4 at 0x%x, 0x1000 bytes, overlaps the bootloader at 0x0, 0x%x bytes", end - 0x1000, end);
    expect_only_refusal(SR_PREFLIGHT_TABLE, words);
    last.address = 0; // belongs to the ROM
    put_table_with(last);
    assert_int_equal(check(), SR_PREFLIGHT_TABLE);
    last.address = TABLE;
    put_table_with(last);
    expect_only_refusal(SR_PREFLIGHT_TABLE,
                        "Partition 4 at 0x8000, 0x1000 bytes, overlaps the partition table at 0x8000, "
                        "0x1000 bytes");
    last.address = SLOT(2) - 0x1000;
    put_table_with(last);
    expect_only_refusal(SR_PREFLIGHT_TABLE, "Partition 4 at 0x20f000, 0x1000 bytes, overlaps another one at 0x110000, "
                                            "0x100000 bytes");
}

static void tables_that_name_bootloader_and_table(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_BOOTLOADER, 0, 0x1000, 0x7000, 0, "bootloader"},
        {SR_PARTITION_TYPE_TABLE, 0, 0x8000, 0x1000, 0, "table"},
        nvs,
        otadata,
        ota_0,
    };
    put_table(entries, 5);
    expect_ok();
}

static void app_that_is_damaged(void **state)
{
    (void)state;
    flash[SLOT(0) + 0x1000] ^= 1;
    expect_only_refusal(SR_PREFLIGHT_APP, "App that will boot, at 0x10000 in 0x100000 bytes: image checksum differs");
    image_write_otadata(2, SR_OTA_VALID, flash + OTADATA);
    expect_ok();
    memset(flash + SLOT(1), 0xFF, 0x1000); /* The bootloader goes on to the next one. */
    expect_only_refusal(SR_PREFLIGHT_APP, "App that will boot, at 0x10000 in 0x100000 bytes: image checksum differs");
    memset(flash + SLOT(0), 0xFF, 0x1000);
    expect_only_refusal(SR_PREFLIGHT_APP,
                        "App that will boot, at 0x110000 in 0x100000 bytes: not an image: first byte is not 0xE9");
}

/** The app at this address passes, and starts in the boot model. */
static void expect_start(uint32_t address)
{
    sr_preflight_start_t start;
    result.start = &start;
    assert_int_equal(check(), 0);
    result.start = NULL;
    assert_int_equal(start.app, address);
    static uint8_t copy[FLASH_SIZE];
    memcpy(copy, flash, sizeof(copy));
    const boot_chip_t chip = {.chip = result.chip, .revision = result.chip_revision, .partition_table = TABLE};
    boot_result_t boot;
    boot_run(&chip, copy, sizeof(copy), NULL, NULL, &boot);
    assert_true(boot_succeeds(&boot));
    assert_int_equal(boot.app_offset, address);
}

/* EMS-ESP as published: a factory app, and otadata that selects a slot which is empty. */
static void empty_slots_are_passed_over(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {
        nvs, otadata, ota_0, ota_1, {SR_PARTITION_TYPE_APP, 0, SLOT(2), SLOT_SIZE, 0, "factory"}};
    put_table(entries, 5);
    put_app(SLOT(2));
    for (uint32_t sequence = 1; sequence <= 2; sequence++) {
        put_app(SLOT(0));
        put_app(SLOT(1));
        image_write_otadata(sequence, SR_OTA_VALID, flash + OTADATA);
        expect_start(SLOT(sequence - 1));
        flash[SLOT(sequence - 1)] = 0; /* Not an image either. */
        expect_start(sequence == 2 ? SLOT(0) : SLOT(2));
        flash[SLOT(0)] = 0xFF;
        expect_start(SLOT(2));
    }
    put_app(SLOT(0));
    flash[SLOT(1)] = 0xFF;
    flash[SLOT(2)] = 0xFF; /* Slots above the one that is selected come last. */
    image_write_otadata(2, SR_OTA_VALID, flash + OTADATA);
    expect_start(SLOT(0));
    image_write_otadata(1, SR_OTA_VALID, flash + OTADATA);
    flash[SLOT(0)] = 0xFF;
    put_app(SLOT(1));
    expect_start(SLOT(1));
}

static uint32_t brought[2]; // what the two below say is new

static bool brings(void *context, sr_region_t partition)
{
    return context == brought && (partition.address == brought[0] || partition.address == brought[1]) &&
           partition.size == SLOT_SIZE;
}

static void an_app_that_is_brought_starts(void **state)
{
    (void)state;
    sr_preflight_start_t start;
    result.brings = brings;
    result.brings_context = brought;
    result.start = &start;
    put_app(SLOT(1));
    for (uint32_t sequence = 1; sequence <= 2; sequence++) {
        image_write_otadata(sequence, SR_OTA_VALID, flash + OTADATA);
        for (unsigned which = 0; which < 4; which++) {
            brought[0] = which & 1 ? SLOT(0) : 1;
            brought[1] = which & 2 ? SLOT(1) : 1;
            const bool is_new = (which & sequence) != 0;
            assert_int_equal(check(), which == 0 || is_new ? 0 : SR_PREFLIGHT_APP);
            assert_int_equal(start.app, SLOT(sequence - 1));
            assert_int_equal(start.otadata, OTADATA);
            assert_int_equal(start.is_new, is_new);
        }
    }
    brought[1] = 1;
    expect_only_refusal(SR_PREFLIGHT_APP,
                        "the new app at 0x10000 would not start: otadata or a factory app selects the one at "
                        "0x110000, which stays; bring otadata that selects the new one");
    flash[SLOT(0) + 0x1000] ^= 1;
    flash[SLOT(1) + 0x1000] ^= 1;
    assert_int_equal(check(), SR_PREFLIGHT_APP);
    assert_int_equal(start.app, UINT32_MAX);
}

static void app_of_another_chip(void **state)
{
    (void)state;
    put_header(SLOT(0), CHIP_ID, 5);
    expect_only_refusal(SR_PREFLIGHT_APP, "App at 0x10000 is for chip id 0x0005, this esp32 has 0x0000");
}

static void app_that_does_not_fit(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {
        nvs, otadata, {SR_PARTITION_TYPE_APP, 0x10, SLOT(0), 0x10000, 0, "small"}};
    put_table(entries, 3);
    expect_only_refusal(SR_PREFLIGHT_APP,
                        "App that will boot, at 0x10000 in 0x10000 bytes: image is longer than its room");
    // A partition longer than bootloaders accept, in a flash that has the room.
    const sr_partition_table_entry_t large[] = {
        nvs, otadata, {SR_PARTITION_TYPE_APP, 0x10, SLOT(0), 0x1001000, 0, "large"}};
    put_table(large, 3);
    result.flash_size = 0;
    result.skip = SR_PREFLIGHT_FLASH_SIZE;
    expect_refusal(SR_PREFLIGHT_APP,
                   "Partition of the app at 0x10000 has 0x1001000 bytes: bootloaders refuse more than "
                   "16 MB");
}

/** Expects that the app at this address is the one that is checked. */
static void expect_choice(uint32_t address)
{
    expect_ok();
    flash[address + 0x1000] ^= 1;
    assert_int_equal(check(), SR_PREFLIGHT_APP);
    flash[address + 0x1000] ^= 1;
}

static void app_that_otadata_selects(void **state)
{
    (void)state;
    expect_choice(SLOT(0));
    for (uint32_t sequence = 2; sequence < 6; sequence++) {
        sr_otadata_encode(sequence, SR_OTA_NEW, flash + OTADATA + SR_SECTOR_SIZE);
        expect_choice(SLOT((sequence - 1) % 2));
    }
    sr_otadata_encode(8, SR_OTA_ABORTED, flash + OTADATA + SR_SECTOR_SIZE);
    expect_choice(SLOT(0));
    // Without otadata: slot 0, or factory if there is one. The same with erased otadata, as in a new system.
    memset(flash + OTADATA, 0xFF, 0x2000);
    expect_choice(SLOT(0));
    const sr_partition_table_entry_t factory = {
        SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SLOT(2), SLOT_SIZE, 0, "factory"};
    put_table_with(factory);
    put_app(SLOT(2));
    expect_choice(SLOT(2));
    image_write_otadata(2, SR_OTA_UNDEFINED, flash + OTADATA);
    expect_choice(SLOT(1));
    const sr_partition_table_entry_t entries[] = {nvs, ota_0, ota_1, factory};
    put_table(entries, 4);
    expect_choice(SLOT(2));
    const sr_partition_table_entry_t test = {
        SR_PARTITION_TYPE_APP, SR_PARTITION_APP_TEST, SLOT(2), SLOT_SIZE, 0, "test"};
    const sr_partition_table_entry_t only_test[] = {nvs, test};
    put_table(only_test, 2);
    expect_choice(SLOT(2));
}

static void more_slots_than_there_are_numbers(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[20] = {
        otadata, ota_0, ota_1, {SR_PARTITION_TYPE_APP, 0x20, SLOT(2), SLOT_SIZE, 0, "test"}};
    for (unsigned i = 4; i < 20; i++) {
        entries[i] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_APP, 0x1F, 0x310000, 0, 0, "empty"};
    }
    put_table(entries, 20);
    put_app(SLOT(2));
    for (uint32_t sequence = 2; sequence <= 18; sequence++) {
        image_write_otadata(sequence, SR_OTA_VALID, flash + OTADATA);
        expect_choice(SLOT(1));
    }
}

static void otadata_at_address_0_is_none(void **state)
{
    (void)state;
    sr_partition_table_entry_t none = otadata;
    none.address = 0;
    none.size = 0;
    const sr_partition_table_entry_t entries[] = {none, ota_0, ota_1};
    put_table(entries, 3);
    expect_choice(SLOT(0));
    none.address = OTADATA;
    const sr_partition_table_entry_t empty[] = {none, ota_0, ota_1};
    put_table(empty, 3);
    assert_int_equal(check(), SR_PREFLIGHT_APP);
}

static void app_that_follows_is_checked_by_its_header(void **state)
{
    (void)state;
    memset(flash + SLOT(0) + SR_IMAGE_HEADER_SIZE, 0xFF, 0x2000);
    assert_int_equal(check(), SR_PREFLIGHT_APP);
    result.app_follows = true;
    expect_ok();
    flash[SLOT(0) + CHIP_ID] = 9;
    assert_int_equal(check(), SR_PREFLIGHT_APP);
    flash[SLOT(0) + CHIP_ID] = 0;
    flash[SLOT(0) + MIN_REVISION] = 301 & 0xFF;
    flash[SLOT(0) + MIN_REVISION + 1] = 301 >> 8;
    assert_int_equal(check(), SR_PREFLIGHT_REVISION);
    flash[SLOT(0)] = 0xFF;
    flash[SLOT(1)] = 0xFF;
    assert_int_equal(check(), SR_PREFLIGHT_APP);
    const sr_partition_table_entry_t entries[] = {nvs, otadata, {SR_PARTITION_TYPE_APP, 0x10, SLOT(1), 16, 0, "tiny"}};
    put_table(entries, 3);
    assert_int_equal(check(), SR_PREFLIGHT_APP);
}

static void app_that_cannot_be_told(void **state)
{
    (void)state;
    image_write_otadata(7, SR_OTA_PENDING_VERIFY, flash + OTADATA);
    expect_only_refusal(SR_PREFLIGHT_APP,
                        "otadata at 0xe000 selects, with sequence 7, an app that has not been confirmed: "
                        "after a restart it is not booted again");
    image_write_otadata(7, SR_OTA_VALID, flash + OTADATA);
    expect_ok();
    sr_partition_table_entry_t small = otadata;
    small.size = 0x1000;
    const sr_partition_table_entry_t entries[] = {nvs, small, ota_0};
    put_table(entries, 3);
    expect_only_refusal(SR_PREFLIGHT_APP, "otadata at 0xe000 has 0x1000 bytes: less than two sectors");
}

static void result_without_table(void **state)
{
    (void)state;
    memset(flash + TABLE, 0, FLASH_SIZE - TABLE);
    result.table_offset = UINT32_MAX;
    expect_ok();
    put_header(LOADER, SPEED_SIZE, 0x30);
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_SIZE);
}

static void no_read_may_fail(void **state)
{
    (void)state;
    expect_ok();
    const unsigned reads = memory.reads;
    assert_in_range(reads, 100, 100000);
    for (unsigned number = 1; number <= reads; number += number < 60 ? 1 : 37) {
        memory.reads = 0;
        memory.fail_read = number;
        assert_int_not_equal(check(), 0);
    }
}

static uint32_t broken_byte; // of the flash, for broken_read()

static int broken_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    const bool hit = broken_byte >= offset && broken_byte - offset < length;
    return hit ? MEMORY_READ_ERROR : memory_read(context, offset, buffer, length);
}

static void a_read_that_fails_fails_the_check_that_needs_it(void **state)
{
    (void)state;
    static const struct {
        uint32_t byte, check;
    } parts[] = {
        {LOADER + 0x2000, SR_PREFLIGHT_APP},  {LOADER + 0x2000, SR_PREFLIGHT_BOOTLOADER},
        {LOADER, SR_PREFLIGHT_FLASH_SIZE},    {LOADER + 0x2000, SR_PREFLIGHT_FLASH_SIZE},
        {TABLE, SR_PREFLIGHT_FLASH_SIZE},     {LOADER, SR_PREFLIGHT_FLASH_MODE},
        {LOADER, SR_PREFLIGHT_REVISION},      {TABLE, SR_PREFLIGHT_REVISION},
        {OTADATA, SR_PREFLIGHT_REVISION},     {SLOT(0), SR_PREFLIGHT_REVISION},
        {TABLE, SR_PREFLIGHT_TABLE},          {TABLE, SR_PREFLIGHT_APP},
        {OTADATA, SR_PREFLIGHT_APP},          {SLOT(0), SR_PREFLIGHT_APP},
        {SLOT(0) + 0x8000, SR_PREFLIGHT_APP},
    };
    put_header(LOADER, SPEED_SIZE, 0x50); // a size for which the bootloader's body is searched
    result.flash_size = 0;
    reader.read = broken_read;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        broken_byte = parts[i].byte;
        result.skip = ALL_CHECKS & ~parts[i].check;
        assert_int_equal(check(), parts[i].check);
        assert_non_null(strstr(text, "read"));
    }
}

static void text_of_any_size(void **state)
{
    (void)state;
    put_header(LOADER, CHIP_ID, 9);
    void *workspace = malloc(sr_preflight_workspace_size());
    assert_non_null(workspace);
    for (size_t size = 0; size < 80; size++) {
        char *small = malloc(size + 1);
        assert_non_null(small);
        small[size] = 'x';
        assert_int_equal(sr_preflight_check(&result, workspace, small, size), SR_PREFLIGHT_BOOTLOADER);
        assert_int_equal(small[size], 'x');
        assert_true(size == 0 || strlen(small) < size);
        free(small);
    }
    assert_int_equal(sr_preflight_check(&result, workspace, NULL, 0), SR_PREFLIGHT_BOOTLOADER);
    free(workspace);
}

/** The whole of a published image, put to a flash address. */
static void put_fixture(const char *name, uint32_t address)
{
    size_t size = 0;
    uint8_t *bytes = load_fixture(name, &size);
    assert_in_range(size, 1, FLASH_SIZE - address);
    memcpy(flash + address, bytes, size);
    free(bytes);
}

static void blank_flash_without_past(void)
{
    memset(flash, 0xFF, sizeof(flash));
    result.today = NULL;
}

static void expect_boot(uint32_t address)
{
    static uint8_t copy[FLASH_SIZE];
    memcpy(copy, flash, sizeof(copy));
    const boot_chip_t chip = {.chip = result.chip, .revision = 300};
    boot_result_t boot;
    boot_run(&chip, copy, sizeof(copy), NULL, NULL, &boot);
    assert_true(boot_succeeds(&boot));
    assert_int_equal(boot.app_offset, address);
}

static void esphome_as_published(void **state)
{
    (void)state;
    blank_flash_without_past();
    put_fixture("esphome/esp32.bin", 0);
    expect_ok();
    expect_boot(0x10000);
    // Over WLED, which uses as many data lines; but not over one that uses a single one.
    result.today = &today;
    today = (sr_image_t){.spi_mode = 3};
    expect_ok();
    today.spi_mode = 4;
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_MODE);
    today.spi_mode = 2;
    // The OTA app of ESPHome in the slot that is not selected does not matter, the first one does.
    flash[0x10000 + 0x20000] ^= 4;
    assert_int_equal(check(), SR_PREFLIGHT_APP);
}

static void wled_as_published(void **state)
{
    (void)state;
    blank_flash_without_past();
    put_fixture("wled/binaries/esp32_bootloader_v4.bin", 0);
    assert_int_equal(check(), SR_PREFLIGHT_APP); // the app is a part of its own
    put_fixture("wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin", 0x10000);
    expect_ok();
    expect_boot(0x10000);
    result.flash_size = 2u << 20;
    expect_refusal(SR_PREFLIGHT_FLASH_SIZE,
                   "Bootloader's header (size code 2) says 0x400000 bytes of flash, the chip has 0x200000");
}

static void idf_bootloader_that_says_2_mb(void **state)
{
    (void)state;
    blank_flash_without_past();
    put_fixture("wled/binaries/esp32_bootloader_v4.bin", 0);
    put_fixture("wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin", 0x10000);
    memset(flash + LOADER, 0xFF, 0x7000);
    put_fixture("idf/bootloader_esp32_v5_2.bin", LOADER);
    expect_refusal(SR_PREFLIGHT_FLASH_SIZE,
                   "Bootloader takes the flash for 0x200000 bytes (size code 1 in its header), "
                   "partition 3 ends at 0x310000");
    put_header(LOADER, SPEED_SIZE, 0x20);
    expect_ok();
    expect_boot(0x10000);
    result.chip_revision = 400;
    expect_refusal(SR_PREFLIGHT_REVISION, "Bootloader runs up to revision v3.99 of the chip, this one is v4.0");
}

static void mcuboot_has_no_table(void **state)
{
    (void)state;
    blank_flash_without_past();
    put_fixture("mcuboot-nuttx/app_upd.merged.bin", LOADER);
    result.table_offset = UINT32_MAX;
    expect_ok();
    result.chip_revision = 100;
    expect_refusal(SR_PREFLIGHT_REVISION, "Bootloader needs at least revision v3.0 of the chip, this one is v1.0");
    result.chip_revision = 300;
    result.table_offset = TABLE;
    assert_int_equal(check(), SR_PREFLIGHT_TABLE);
    // It boots no app by a table, however good that is.
    uint8_t loader[0x7000];
    memcpy(loader, flash + LOADER, sizeof(loader));
    put_fixture("wled/binaries/esp32_bootloader_v4.bin", 0);
    put_fixture("wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin", 0x10000);
    memcpy(flash + LOADER, loader, sizeof(loader));
    expect_only_refusal(SR_PREFLIGHT_APP,
                        "Bootloader at 0x1000 is MCUboot, which boots no app of the partition table at "
                        "0x8000");
}

/* Random flashes. Small ones, so that there can be many. */
#define SMALL_FLASH   0x100000u
#define SMALL_SLOTS   8u
#define SMALL_SLOT(n) (0x20000u + (n)*0x10000u)

static uint32_t seed;

static uint32_t chance(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % limit;
}

static void put_small_app(uint32_t address, uint16_t minimum, uint16_t chip_id)
{
    static const uint8_t code[256] = {0x36, 0x41, 0x00}, data[64] = {1, 2, 3};
    static const image_write_segment_t segments[] = {
        {.load_address = 0x3FFB0000, .data = data, .length = sizeof(data)},
        {.load_address = 0x40080000, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {
        .chip_id = chip_id,
        .entry = 0x40080000,
        .min_chip_rev_full = minimum,
        .max_chip_rev_full = 399,
        .append_hash = true,
        .segments = segments,
        .segment_count = 2,
    };
    size_t length;
    assert_int_equal(image_write_esp(&spec, flash + address, 0x10000, &length), IMAGE_WRITE_OK);
}

static sr_partition_table_entry_t any_partition(void)
{
    static const uint8_t subtypes[] = {
        SR_PARTITION_APP_FACTORY, SR_PARTITION_APP_TEST, 0x10, 0x10, 0x11, 0x11, 0x12, 0x13, 0x14, 0x1F, 0x30};
    sr_partition_table_entry_t partition = {
        .type = chance(8) == 0 ? SR_PARTITION_TYPE_DATA : SR_PARTITION_TYPE_APP,
        .subtype = subtypes[chance(sizeof(subtypes))],
        .address = SMALL_SLOT(chance(SMALL_SLOTS)),
        .size = chance(8) == 0 ? chance(3) * 0x1000 : 0x10000,
    };
    if (chance(30) == 0) {
        partition.address = chance(0x21) * 0x8000;
    }
    return partition;
}

/** A table of up to 6 partitions, often with overlaps, gaps between slots, and slots that there are twice. */
static void put_any_table(void)
{
    sr_partition_table_entry_t entries[8];
    unsigned count = 0;
    if (chance(5) != 0) {
        entries[count++] = (sr_partition_table_entry_t){
            SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, chance(20) == 0 ? 0x1000 : 0x2000, 0, "o"};
    }
    const unsigned apps = chance(5);
    for (unsigned i = 0; i < apps; i++) {
        entries[count++] = any_partition();
    }
    put_table(entries, count);
}

static void put_any_otadata(void)
{
    static const uint32_t states[] = {SR_OTA_NEW,     SR_OTA_PENDING_VERIFY, SR_OTA_VALID,     SR_OTA_INVALID,
                                      SR_OTA_ABORTED, SR_OTA_UNDEFINED,      SR_OTA_UNDEFINED, SR_OTA_VALID};
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *entry = flash + OTADATA + i * SR_SECTOR_SIZE;
        memset(entry, 0xFF, SR_SECTOR_SIZE);
        if (chance(3) != 0) {
            sr_otadata_encode(chance(20) == 0 ? UINT32_MAX : chance(9), states[chance(8)], entry);
            entry[28] ^= chance(8) == 0;
        }
    }
}

static void put_any_apps(void)
{
    for (uint32_t i = 0; i < SMALL_SLOTS; i++) {
        memset(flash + SMALL_SLOT(i), 0xFF, 0x1000);
        if (chance(8) != 0) {
            put_small_app(SMALL_SLOT(i), chance(8) == 0 ? 301 : 0, chance(10) == 0 ? 9 : 0);
            flash[SMALL_SLOT(i) + 100] ^= chance(10) == 0;
        }
    }
}

/** Boots a copy; the bootloader with or without rollback. */
static boot_result_t boot_small(bool rollback)
{
    static uint8_t copy[SMALL_FLASH];
    memcpy(copy, flash, sizeof(copy));
    const boot_chip_t chip = {
        .chip = result.chip, .revision = result.chip_revision, .partition_table = TABLE, .rollback = rollback};
    boot_result_t boot;
    boot_run(&chip, copy, sizeof(copy), NULL, NULL, &boot);
    return boot;
}

/** @return false if it is not known. */
static bool choose(uint32_t *address)
{
    sr_partition_table_t *table = malloc(sizeof(*table));
    assert_non_null(table);
    memory_t window;
    const sr_reader_t bytes = memory_reader(&window, flash + TABLE, SR_PARTITION_TABLE_SIZE);
    sr_boot_choice_t choice;
    const bool chosen = sr_partition_table_parse(&bytes, 0, table) == SR_PARTITION_TABLE_OK &&
                        sr_boot_choice_make(&reader, table, &choice) == SR_BOOT_CHOICE_OK &&
                        sr_boot_choice_skip_empty(&reader, table, &choice);
    *address = chosen ? choice.app->address : 0;
    free(table);
    return chosen;
}

static void expect_what_passes_to_boot(void)
{
    for (unsigned rollback = 0; rollback < 2; rollback++) {
        const boot_result_t boot = boot_small(rollback != 0);
        uint32_t chosen;
        if (!choose(&chosen) || !boot_succeeds(&boot) || boot.app_offset != chosen) {
            fail_msg("passed, but: 0x%x, %s", boot.app_offset, boot.reason);
        }
    }
}

/** An app that is refused is one that does not boot, although another one may. */
static void expect_refused_app_not_to_boot(void)
{
    const boot_result_t boot = boot_small(false);
    uint32_t chosen;
    assert_false(choose(&chosen) && boot_succeeds(&boot) && boot.app_offset == chosen);
}

static void set_up_small(void **state)
{
    set_up(state);
    put_header(LOADER, SPEED_SIZE, 0x00);
    reader = memory_reader(&memory, flash, SMALL_FLASH);
    result.flash_size = SMALL_FLASH;
}

static void what_passes_boots(void **state)
{
    set_up_small(state);
    seed = 20240229;
    unsigned passed = 0, refused_and_dead = 0;
    for (unsigned i = 0; i < 2500; i++) {
        put_any_table();
        put_any_otadata();
        put_any_apps();
        result.skip = 0;
        const uint32_t failed = check();
        passed += failed == 0;
        if (failed == 0) {
            expect_what_passes_to_boot();
        } else {
            if (failed == SR_PREFLIGHT_APP) {
                expect_refused_app_not_to_boot();
            }
            const boot_result_t boot = boot_small(false);
            refused_and_dead += !boot_succeeds(&boot);
        }
        // A table that passes by mistake changes nothing in how the app is chosen.
        result.skip = ALL_CHECKS & ~(SR_PREFLIGHT_APP | SR_PREFLIGHT_REVISION | SR_PREFLIGHT_FLASH_SIZE);
        if (failed == SR_PREFLIGHT_TABLE && check() == 0) {
            expect_what_passes_to_boot();
        }
    }
    print_message("%u of 2500 pass, %u are refused and do not boot\n", passed, refused_and_dead);
    assert_in_range(passed, 250, 2250);
    assert_in_range(refused_and_dead, 100, 2250);
}

/** Hostile bytes where they matter. */
static uint32_t any_place(void)
{
    switch (chance(6)) {
    case 0:
        return LOADER + chance(24);
    case 1:
        return LOADER + chance(0x6000);
    case 2:
        return TABLE + chance(6 * 32);
    case 3:
        return OTADATA + chance(2) * SR_SECTOR_SIZE + chance(32);
    case 4:
        return SMALL_SLOT(chance(2)) + chance(24);
    default:
        return SMALL_SLOT(chance(2)) + chance(500);
    }
}

/** Numbers at which a check could break. */
static void damage(uint32_t address)
{
    static const uint32_t numbers[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0xFFFFF000, 0x1000000};
    if (chance(3) == 0) {
        sr_bytes_put_le32(flash + address, numbers[chance(8)]);
    } else {
        flash[address] = (uint8_t)chance(256);
    }
}

static void hostile_flash_is_refused_or_boots(void **state)
{
    set_up_small(state);
    static const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, 0x10, SMALL_SLOT(0), 0x10000, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, 0x11, SMALL_SLOT(1), 0x10000, 0, "ota_1"},
        {SR_PARTITION_TYPE_DATA, 0x82, 0x40000, 0x10000, 0, "files"},
    };
    put_table(entries, 4);
    memset(flash + TABLE + 4 * 32, 0xFF, 32); // without MD5, so that more than one check has work to do
    put_small_app(SMALL_SLOT(0), 0, 0);
    put_small_app(SMALL_SLOT(1), 0, 0);
    static uint8_t good[SMALL_FLASH];
    memcpy(good, flash, sizeof(good));
    expect_ok();
    seed = 19700101;
    unsigned failures[SR_PREFLIGHT_APP + 1] = {0};
    for (unsigned i = 0; i < 3000; i++) {
        memcpy(flash, good, sizeof(good));
        for (unsigned k = chance(4); k < 4; k++) {
            damage(any_place());
        }
        // Without a digest nobody but the processor notices a changed load address.
        flash[SMALL_SLOT(0) + 23] = 1;
        flash[SMALL_SLOT(1) + 23] = 1;
        flash[LOADER + 23] = 1;
        result.skip = 0;
        const uint32_t failed = check();
        failures[failed]++;
        if (failed == 0) {
            expect_what_passes_to_boot();
        }
        // Whatever is skipped, and whatever the surroundings: there is an answer.
        result.skip = chance(ALL_CHECKS + 1);
        result.table_offset = chance(4) == 0 ? chance(SMALL_FLASH + 0x1000) : TABLE;
        const uint32_t other = check();
        assert_int_equal(other & (result.skip | ~ALL_CHECKS), 0);
        result.table_offset = TABLE;
    }
    for (uint32_t bit = 1; bit <= SR_PREFLIGHT_APP; bit <<= 1) {
        print_message("check 0x%02x: %u\n", bit, failures[bit]);
    }
    // A damaged header breaks the digest: the checks on its fields come after that of the bootloader.
    assert_true(failures[0] > 50 && failures[SR_PREFLIGHT_BOOTLOADER] > 50);
    assert_true(failures[SR_PREFLIGHT_TABLE] > 50 && failures[SR_PREFLIGHT_APP] > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_flash_passes_every_check, set_up),
        cmocka_unit_test_setup(every_chip_passes, set_up),
        cmocka_unit_test_setup(bootloader_of_another_chip, set_up),
        cmocka_unit_test_setup(bootloader_that_is_damaged, set_up),
        cmocka_unit_test_setup(bootloader_that_is_none, set_up),
        cmocka_unit_test_setup(bootloader_that_reaches_the_table, set_up),
        cmocka_unit_test_setup(flash_size_below_the_end_of_the_table, set_up),
        cmocka_unit_test_setup(flash_size_above_that_of_the_chip, set_up),
        cmocka_unit_test_setup(flash_size_that_not_every_bootloader_knows, set_up),
        cmocka_unit_test_setup(flash_mode_is_no_more_demanding_than_today, set_up),
        cmocka_unit_test_setup(flash_clock_is_no_faster_than_today, set_up),
        cmocka_unit_test_setup(revision_is_in_the_range_of_both, set_up),
        cmocka_unit_test_setup(revision_in_the_old_field, set_up),
        cmocka_unit_test_setup(table_that_is_damaged, set_up),
        cmocka_unit_test_setup(table_without_md5_passes, set_up),
        cmocka_unit_test_setup(table_without_app, set_up),
        cmocka_unit_test_setup(partitions_outside_the_flash, set_up),
        cmocka_unit_test_setup(partitions_that_are_not_aligned, set_up),
        cmocka_unit_test_setup(partitions_over_something_else, set_up),
        cmocka_unit_test_setup(tables_that_name_bootloader_and_table, set_up),
        cmocka_unit_test_setup(app_that_is_damaged, set_up),
        cmocka_unit_test_setup(empty_slots_are_passed_over, set_up),
        cmocka_unit_test_setup(an_app_that_is_brought_starts, set_up),
        cmocka_unit_test_setup(app_of_another_chip, set_up),
        cmocka_unit_test_setup(app_that_does_not_fit, set_up),
        cmocka_unit_test_setup(app_that_otadata_selects, set_up),
        cmocka_unit_test_setup(more_slots_than_there_are_numbers, set_up),
        cmocka_unit_test_setup(otadata_at_address_0_is_none, set_up),
        cmocka_unit_test_setup(app_that_follows_is_checked_by_its_header, set_up),
        cmocka_unit_test_setup(app_that_cannot_be_told, set_up),
        cmocka_unit_test_setup(result_without_table, set_up),
        cmocka_unit_test_setup(no_read_may_fail, set_up),
        cmocka_unit_test_setup(a_read_that_fails_fails_the_check_that_needs_it, set_up),
        cmocka_unit_test_setup(text_of_any_size, set_up),
        cmocka_unit_test_setup(esphome_as_published, set_up),
        cmocka_unit_test_setup(wled_as_published, set_up),
        cmocka_unit_test_setup(idf_bootloader_that_says_2_mb, set_up),
        cmocka_unit_test_setup(mcuboot_has_no_table, set_up),
        cmocka_unit_test_setup(what_passes_boots, set_up),
        cmocka_unit_test_setup(hostile_flash_is_refused_or_boots, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
