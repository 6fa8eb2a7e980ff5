// SPDX-License-Identifier: Apache-2.0
/** @file
 * The boot model beyond the cases of the oracle, on images made here. Each case says why the real chip would do so.
 */
#include "format/sr_bytes.h"
#include "make/dummy_image.h"
#include "make/image_writer.h"
#include "sim/boot/boot_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FLASH_SIZE (4u << 20)
#define TABLE      0x8000u
#define OTADATA    0xE000u
#define SLOT_SIZE  0x10000u
#define SLOT(n)    (0x10000u + (n)*SLOT_SIZE)

static uint8_t flash[FLASH_SIZE];
static boot_chip_t chip;
static boot_result_t result;

static const sr_partition_table_entry_t otadata_partition = {
    SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "o"};

static sr_partition_table_entry_t app_partition(uint8_t subtype, uint32_t address)
{
    return (sr_partition_table_entry_t){SR_PARTITION_TYPE_APP, subtype, address, SLOT_SIZE, 0, "app"};
}

static void put_table(const sr_partition_table_entry_t *entries, unsigned count)
{
    assert_int_equal(image_write_partition_table(entries, count, flash + TABLE), IMAGE_WRITE_OK);
}

/** otadata and `count` slots ota_0, ota_1, ... one after the other. */
static void put_slots(unsigned count)
{
    sr_partition_table_entry_t entries[17] = {otadata_partition};
    for (unsigned i = 0; i < count; i++) {
        entries[i + 1] = app_partition((uint8_t)(SR_PARTITION_APP_OTA_0 + i), SLOT(i));
    }
    put_table(entries, count + 1);
}

static void put_otadata(unsigned entry, uint32_t sequence, uint32_t state)
{
    sr_otadata_encode(sequence, state, flash + OTADATA + entry * SR_SECTOR_SIZE);
}

static uint32_t otadata_state(unsigned entry)
{
    return sr_bytes_get_le32(flash + OTADATA + entry * SR_SECTOR_SIZE + 24);
}

/** What differs between the apps of these tests. */
typedef struct app_spec {
    uint32_t load_address; // of a segment of 64 bytes, besides the code
    uint32_t entry;
    uint16_t min_revision, max_revision;
    bool no_hash;
} app_spec_t;

static const app_spec_t good_app = {.load_address = 0x3FFB0000, .entry = 0x40080000, .max_revision = 0xFFFF};

/** An app for the ESP32 with two small segments in RAM. */
static void put_app(uint32_t address, const app_spec_t *app)
{
    static const uint8_t code[256] = {0x36, 0x41, 0x00}, data[64] = {1, 2, 3};
    const image_write_segment_t segments[] = {
        {.load_address = app->load_address, .data = data, .length = sizeof(data)},
        {.load_address = 0x40080000, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {
        .entry = app->entry,
        .min_chip_rev_full = app->min_revision,
        .max_chip_rev_full = app->max_revision,
        .append_hash = !app->no_hash,
        .segments = segments,
        .segment_count = 2,
    };
    size_t length;
    assert_int_equal(image_write_esp(&spec, flash + address, SLOT_SIZE, &length), IMAGE_WRITE_OK);
}

/** A bootloader of ESP-IDF v3.3 or before, as far as the model can tell: an assertion on the stack, none on ranges. */
static void put_old_bootloader(void)
{
    uint8_t code[256] = {0x36, 0x41, 0x00}, data[64] = "sp < &_bss_start";
    const image_write_segment_t segments[] = {
        {.load_address = 0x3FFF0018, .data = data, .length = sizeof(data)},
        {.load_address = 0x40080400, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {.spi_size = 2, .entry = 0x40080400, .segments = segments, .segment_count = 2};
    size_t length;
    assert_int_equal(image_write_esp(&spec, flash + 0x1000, 0x7000, &length), IMAGE_WRITE_OK);
}

/** A blank ESP32 with a bootloader of ESP-IDF v5. */
static int set_up(void **state)
{
    (void)state;
    size_t length;
    memset(flash, 0xFF, sizeof(flash));
    chip = (boot_chip_t){.chip = sr_chip_by_name("esp32")};
    return dummy_image_bootloader(chip.chip, 2, flash + 0x1000, 0x7000, &length) == IMAGE_WRITE_OK ? 0 : -1;
}

static void boot(void)
{
    boot_run(&chip, flash, sizeof(flash), NULL, NULL, &result);
}

static void expect_app(uint32_t address)
{
    boot();
    if (result.outcome != BOOT_BOOTS || result.app_offset != address) {
        fail_msg("expected the app at 0x%x: %s 0x%x (%s)", (unsigned)address, boot_outcome_name(result.outcome),
                 (unsigned)result.app_offset, result.reason);
    }
}

static void expect_failure(boot_outcome_t outcome, const char *reason)
{
    boot();
    if (result.outcome != outcome || strstr(result.reason, reason) == NULL) {
        fail_msg("expected \"%s\": %s (%s)", reason, boot_outcome_name(result.outcome), result.reason);
    }
}

// Offsets of the bootloader, chip ids and memory maps differ; the format and the way to the app do not.
static void every_chip_boots(void **state)
{
    (void)state;
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        size_t length;
        chip = (boot_chip_t){.chip = sr_chip_at(i)};
        memset(flash, 0xFF, sizeof(flash));
        uint32_t room = TABLE - chip.chip->bootloader_offset;
        assert_int_equal(dummy_image_bootloader(chip.chip, 2, flash + chip.chip->bootloader_offset, room, &length),
                         IMAGE_WRITE_OK);
        const sr_partition_table_entry_t factory = {
            SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, 0x10000, 0x100000, 0, "f"};
        put_table(&factory, 1);
        const dummy_image_app_t app = {.chip = chip.chip, .project_name = "p", .version = "1", .code_size = 0x1000};
        assert_int_equal(dummy_image_app(&app, flash + 0x10000, 0x100000, &length), IMAGE_WRITE_OK);
        expect_app(0x10000);
        assert_int_equal(result.app.length, length);
        assert_int_equal(result.bootloader.address, chip.chip->bootloader_offset);
        // One page further, the mapped segments are not where the MMU can map them: it maps whole pages.
        memmove(flash + 0x18000, flash + 0x10000, length);
        sr_bytes_put_le32(flash + TABLE + 4, 0x18000);
        memset(flash + TABLE + 32, 0xFF, 32);
        expect_failure(BOOT_BOOTLOADER_REJECTS, "mapped segment");
    }
}

// The ROM trusts the header. Storing outside RAM is an exception, and it cannot handle that.
static void rom_hangs_on_segments_that_are_no_ram(void **state)
{
    (void)state;
    static const uint32_t addresses[] = {0x00000000, 0x3F400020, 0x400D0020, 0x3FFB0002, 0x3FFE3F00, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        sr_bytes_put_le32(flash + 0x1000 + 24, addresses[i]);
        expect_failure(BOOT_ROM_REJECTS, "is not RAM");
    }
}

// What the ROM does without a primary bootloader, on chips that have a recovery bootloader.
static void recovery_bootloader_stands_in(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint16_t revision;
        bool knows;
    } chips[] = {{"esp32c5", 0, true},    {"esp32c5", 100, true}, {"esp32c5", 1, false},   {"esp32c61", 100, true},
                 {"esp32p4", 300, true},  {"esp32p4", 0, true},   {"esp32p4", 103, false}, {"esp32", 301, false},
                 {"esp32c6", 200, false}, {"esp32c61", 0, true}};
    for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
        size_t length;
        chip =
            (boot_chip_t){.chip = sr_chip_by_name(chips[i].name), .revision = chips[i].revision, .recovery = 0x3F0000};
        const uint32_t place = chip.chip->bootloader_offset;
        memset(flash, 0xFF, sizeof(flash));
        assert_int_equal(dummy_image_bootloader(chip.chip, 2, flash + place, TABLE - place, &length), IMAGE_WRITE_OK);
        const sr_partition_table_entry_t factory = {
            SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, 0x10000, 0x100000, 0, "f"};
        put_table(&factory, 1);
        const dummy_image_app_t app = {.chip = chip.chip, .project_name = "p", .version = "1", .code_size = 0x1000};
        size_t app_length;
        assert_int_equal(dummy_image_app(&app, flash + 0x10000, 0x100000, &app_length), IMAGE_WRITE_OK);
        memcpy(flash + 0x3F0000, flash + place, length);
        assert_int_equal(boot_rom_knows_recovery(&chip), chips[i].knows);
        expect_app(0x10000);
        assert_false(result.recovered);
        assert_int_equal(result.bootloader.address, place);

        flash[place] = 0xFF;
        if (!chips[i].knows) {
            expect_failure(BOOT_ROM_REJECTS, "invalid bootloader header");
            continue;
        }
        expect_app(0x10000);
        assert_true(result.recovered);
        assert_int_equal(result.bootloader.address, 0x3F0000);
        flash[place] = SR_IMAGE_MAGIC;
        flash[place + 0x100] ^= 1; // its checksum
        expect_app(0x10000);
        assert_true(result.recovered);
        flash[0x3F0000] = 0;
        expect_failure(BOOT_ROM_REJECTS, "no recovery bootloader at 0x3f0000, and bootloader checksum");
        assert_false(result.recovered);
        flash[0x3F0000] = SR_IMAGE_MAGIC;
        sr_bytes_put_le32(flash + place + 24,
                          0); // if the ROM stores outside RAM it stops, and tries nothing else
        expect_failure(BOOT_ROM_REJECTS, "is not RAM");
        flash[place] = 0;
        chip.recovery = 0;
        expect_failure(BOOT_ROM_REJECTS, "invalid bootloader header");
    }
}

// The header is not under the checksum, so a wrong entry point gets past the ROM; but there is no function there.
static void a_wrong_entry_point_starts_nothing(void **state)
{
    (void)state;
    uint32_t entry = sr_bytes_get_le32(flash + 0x1004);
    sr_bytes_put_le32(flash + 0x1004, entry + 4);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "entry point");
    sr_bytes_put_le32(flash + 0x1004, 0x40000000);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "entry point");
}

// Load addresses are not under the checksum either: the code starts, and its data is elsewhere. Here the digest tells
// that the header is not the original one, and the code where the data should be.
static void misplaced_data_starts_nothing(void **state)
{
    (void)state;
    put_slots(1);
    put_app(SLOT(0), &good_app);
    uint32_t data = sr_bytes_get_le32(flash + 0x1000 + 24);
    uint32_t code = 0x1000 + 24 + 8 + sr_bytes_get_le32(flash + 0x1000 + 28) + 8;
    for (uint32_t i = 0; i < 64; i++) {
        uint8_t *word = flash + code + 0x100 + 4 * i;
        uint8_t *balance = flash + code + 0x300 + 4 * i;
        for (uint32_t k = 0; k < 4; k++) {
            uint8_t byte = (uint8_t)((data + 16) >> (8 * k));
            balance[k] ^= word[k] ^ byte; // for the checksum
            word[k] = byte;
        }
    }
    expect_app(SLOT(0));
    flash[0x1000 + 24 + 2] ^= 4; // 0x3FFFxxxx becomes 0x3FFBxxxx
    expect_failure(BOOT_BOOTLOADER_REJECTS, "does not expect its data");
}

// The ROM of the first ESP32s does not check the field chip id; ESP-IDF's bootloader checks its own header.
static void first_esp32_leaves_the_chip_id_to_the_bootloader(void **state)
{
    (void)state;
    flash[0x1000 + 12] = 5;
    chip.revision = 100;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "another chip");
    chip.revision = 300;
    expect_failure(BOOT_ROM_REJECTS, "chip id");
}

// With rollback, an app gets one run to confirm itself: NEW, PENDING_VERIFY, ABORTED.
static void rollback_gives_a_new_app_one_run(void **state)
{
    (void)state;
    put_slots(2);
    put_app(SLOT(0), &good_app);
    put_app(SLOT(1), &good_app);
    put_otadata(0, 1, SR_OTA_VALID);
    put_otadata(1, 2, SR_OTA_NEW);
    chip.rollback = true;
    expect_app(SLOT(1));
    assert_true(result.flash_changed);
    assert_int_equal(otadata_state(1), SR_OTA_PENDING_VERIFY);
    expect_app(SLOT(0));
    assert_int_equal(otadata_state(1), SR_OTA_ABORTED);
    expect_app(SLOT(0));
    assert_false(result.flash_changed);
}

// Without the option NEW and PENDING_VERIFY have no effect.
static void no_rollback_no_change(void **state)
{
    (void)state;
    put_slots(2);
    put_app(SLOT(0), &good_app);
    put_app(SLOT(1), &good_app);
    put_otadata(0, 1, SR_OTA_VALID);
    put_otadata(1, 2, SR_OTA_PENDING_VERIFY);
    expect_app(SLOT(1));
    assert_false(result.flash_changed);
}

// (sequence - 1) modulo the number of slots; from a bad slot downwards, then upwards.
static void sixteen_slots(void **state)
{
    (void)state;
    put_slots(16);
    put_app(SLOT(3), &good_app);
    put_otadata(0, 20, SR_OTA_VALID);
    expect_app(SLOT(3));
    put_app(SLOT(9), &good_app);
    put_otadata(0, 14, SR_OTA_VALID);
    expect_app(SLOT(9));
    put_otadata(0, 3, SR_OTA_VALID);
    expect_app(SLOT(3));
}

// The bootloader counts app entries but indexes by subtype: with a gap, the last slot is never reached.
static void a_gap_between_slots_hides_the_last(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_OTA_0, SLOT(0)),
                                                  app_partition(SR_PARTITION_APP_OTA_0 + 2, SLOT(2))};
    put_table(entries, 3);
    put_app(SLOT(2), &good_app);
    put_otadata(0, 2, SR_OTA_VALID);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "no bootable app");
    put_app(SLOT(0), &good_app);
    expect_app(SLOT(0));
}

// Below slot 0 comes factory; with neither, the slots above; the test app is the last resort.
static void fallback_order(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_FACTORY, SLOT(0)),
                                                  app_partition(SR_PARTITION_APP_OTA_0, SLOT(1)),
                                                  app_partition(SR_PARTITION_APP_OTA_0 + 1, SLOT(2)),
                                                  app_partition(SR_PARTITION_APP_TEST, SLOT(3))};
    put_table(entries, 5);
    put_otadata(0, 1, SR_OTA_VALID);
    put_app(SLOT(3), &good_app);
    expect_app(SLOT(3));
    put_app(SLOT(2), &good_app);
    expect_app(SLOT(2));
    put_app(SLOT(0), &good_app);
    expect_app(SLOT(0));
    put_app(SLOT(1), &good_app);
    expect_app(SLOT(1));
    // Erased otadata with a factory app: factory, and nothing is written.
    memset(flash + OTADATA, 0xFF, 0x2000);
    expect_app(SLOT(0));
    assert_false(result.flash_changed);
}

// A table passes with what its checks do not see: an end that wraps, entries after the MD5 (the last is dropped).
static void tables_that_pass_by_mistake(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[] = {app_partition(SR_PARTITION_APP_OTA_0, SLOT(0)),
                                            app_partition(SR_PARTITION_APP_FACTORY, SLOT(1))};
    entries[0].size = 0u - SLOT(0);
    put_table(entries, 2);
    put_app(SLOT(0), &good_app);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "larger than 16 MB");
    put_app(SLOT(1), &good_app);
    expect_app(SLOT(1));
    put_table(&entries[1], 1);
    memcpy(flash + TABLE + 64, flash + TABLE, 32);
    sr_bytes_put_le32(flash + TABLE + 64 + 4, SLOT(0));
    expect_app(SLOT(1));
}

static void tables_that_do_not_pass(void **state)
{
    (void)state;
    put_slots(2);
    put_app(SLOT(0), &good_app);
    memcpy(flash + TABLE + 4 * 32, flash + TABLE + 3 * 32, 32);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "MD5 in entry 4"); // only one is allowed
    for (unsigned i = 0; i < 96; i++) {
        memcpy(flash + TABLE + i * 32, flash + TABLE, 32);
    }
    expect_failure(BOOT_BOOTLOADER_REJECTS, "no end marker");
    // A size code that the bootloader's list does not have means 2 MB to it.
    const sr_partition_table_entry_t high = app_partition(SR_PARTITION_APP_FACTORY, 0x200000);
    put_table(&high, 1);
    put_app(0x200000, &good_app);
    expect_app(0x200000);
    flash[0x1003] = 0x50;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "past the 2 MB");
}

// Less than two sectors of otadata is an error at which the bootloader can only reset the chip.
static void otadata_too_small(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_FACTORY, SLOT(0))};
    entries[0].size = SR_SECTOR_SIZE;
    put_table(entries, 2);
    put_app(SLOT(0), &good_app);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "smaller than two sectors");
}

// Since v4.1 the bootloader checks where it loads to; before, it crashes there, and never gets to the other slot.
static void segments_that_cannot_be_loaded(void **state)
{
    (void)state;
    static const uint32_t addresses[] = {0x60000000, 0x3F800000, 0x3FFE0000, 0x3FFDC000};
    put_slots(2);
    put_app(SLOT(1), &good_app);
    put_otadata(0, 1, SR_OTA_VALID);
    app_spec_t app = good_app;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        app.load_address = addresses[i];
        put_app(SLOT(0), &app);
        expect_app(SLOT(1));
    }
    put_old_bootloader();
    expect_app(SLOT(1)); // what may hit its stack, an old one refuses too
    app.load_address = addresses[0];
    put_app(SLOT(0), &app);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "crashes");
}

// An app may not overwrite the bootloader's variables while it is loaded.
static void segment_over_the_bootloader(void **state)
{
    (void)state;
    put_slots(1);
    app_spec_t app = good_app;
    app.load_address = 0x3FFF0030;
    put_app(SLOT(0), &app);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "overlaps the bootloader");
}

// Nothing checks an app's entry point; the bootloader jumps there and does not return.
static void app_entry_point_is_not_checked(void **state)
{
    (void)state;
    put_slots(2);
    app_spec_t app = good_app;
    app.entry = 0x400A0000;
    put_app(SLOT(0), &app);
    put_app(SLOT(1), &good_app);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "entry point");
}

// New bootloaders compare major * 100 + minor with both limits, old ones the major with the minimum alone.
static void revisions(void **state)
{
    (void)state;
    put_slots(2);
    put_app(SLOT(1), &good_app);
    put_otadata(0, 1, SR_OTA_VALID);
    app_spec_t app = good_app;
    app.max_revision = 199;
    put_app(SLOT(0), &app);
    expect_app(SLOT(1));
    chip.revision = 101;
    expect_app(SLOT(0));
    app.min_revision = 102;
    put_app(SLOT(0), &app);
    expect_app(SLOT(1));
    put_old_bootloader();
    expect_app(SLOT(0));
    chip.revision = 3;
    expect_app(SLOT(1));
}

// The appended digest is an option of the image: without it, one byte of XOR is all there is.
static void digest_is_optional(void **state)
{
    (void)state;
    put_slots(1);
    app_spec_t app = good_app;
    app.no_hash = true;
    put_app(SLOT(0), &app);
    flash[SLOT(0) + 40] ^= 1;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "checksum");
    flash[SLOT(0) + 41] ^= 1;
    expect_app(SLOT(0));
}

static void set_up_mcuboot(uint32_t secondary, image_write_trailer_t trailer)
{
    size_t length;
    memset(flash, 0xFF, sizeof(flash));
    assert_int_equal(dummy_image_mcuboot(flash + 0x1000, 0xF000, &length), IMAGE_WRITE_OK);
    assert_int_equal(
        dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_NONE, flash + DUMMY_IMAGE_PRIMARY, DUMMY_IMAGE_SLOT_SIZE),
        IMAGE_WRITE_OK);
    assert_int_equal(dummy_image_mcuboot_app(trailer, flash + secondary, DUMMY_IMAGE_SLOT_SIZE), IMAGE_WRITE_OK);
    // Another version than in the primary slot: the digest is over the header, so it is made again.
    uint8_t *image = flash + secondary;
    uint32_t hashed = sr_bytes_get_le16(image + 8) + sr_bytes_get_le32(image + 12);
    image[20] = 2;
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, image, hashed);
    assert_int_equal(sr_sha256_finish(&sha, image + hashed + 8), 0);
}

static void expect_mcuboot(boot_outcome_t outcome, uint8_t version)
{
    boot();
    if (result.outcome != outcome || flash[result.app_offset + 20] != version) {
        fail_msg("expected %s version %u: %s (%s)", boot_outcome_name(outcome), version,
                 boot_outcome_name(result.outcome), result.reason);
    }
}

// A test swap is taken back at the next boot unless the app set image_ok; then it stays.
static void mcuboot_reverts_unless_confirmed(void **state)
{
    (void)state;
    set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_TEST);
    expect_mcuboot(BOOT_SWAPS_THEN_BOOTS, 2);
    expect_mcuboot(BOOT_SWAPS_THEN_BOOTS, 1);
    expect_mcuboot(BOOT_BOOTS, 1);
    set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_TEST);
    expect_mcuboot(BOOT_SWAPS_THEN_BOOTS, 2);
    flash[DUMMY_IMAGE_PRIMARY + DUMMY_IMAGE_SLOT_SIZE - 24] = 1;
    expect_mcuboot(BOOT_BOOTS, 2);
    assert_false(result.flash_changed);
}

// An image header without TLVs after the image: MCUboot cannot tell how much to swap, and asserts.
static void mcuboot_stops_at_a_primary_without_end(void **state)
{
    (void)state;
    set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_CONFIRMED);
    memset(flash + DUMMY_IMAGE_PRIMARY + 0x1000, 0xFF, DUMMY_IMAGE_SLOT_SIZE - 0x1000);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "no TLV area");
    assert_false(result.flash_changed);
}

// The slots are where the bootloader's own table of flash areas has them.
static void mcuboot_with_another_layout(void **state)
{
    (void)state;
    set_up_mcuboot(0x300000, IMAGE_WRITE_TRAILER_CONFIRMED);
    expect_mcuboot(BOOT_BOOTS, 1);
    const uint8_t secondary[8] = {2, 0, 0, 0, 0, 0, 0x11, 0};
    for (uint32_t i = 0x1000; i < 0x8000; i += 4) {
        if (memcmp(flash + i, secondary, sizeof(secondary)) == 0) {
            flash[i + 6] = 0x30;
            flash[i + 1008] ^= 0x11 ^ 0x30; // keeps the checksum right, in filler
        }
    }
    expect_mcuboot(BOOT_SWAPS_THEN_BOOTS, 2);
}

// The app is verified, but the port's loader finds no header to load it by, and there is nothing to fall back to.
static void mcuboot_app_without_load_header(void **state)
{
    (void)state;
    set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_NONE);
    uint8_t *image = flash + DUMMY_IMAGE_PRIMARY;
    uint32_t hashed = sr_bytes_get_le16(image + 8) + sr_bytes_get_le32(image + 12);
    image[sr_bytes_get_le16(image + 8)] ^= 1;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "not valid");
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, image, hashed);
    assert_int_equal(sr_sha256_finish(&sha, image + hashed + 8), 0);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "no load header");
}

static jmp_buf power_cut;
static unsigned reads_left;

static void cut_power(void *context, uint32_t address, uint32_t length)
{
    (void)context;
    assert_in_range(address, 0, FLASH_SIZE - 1);
    assert_in_range(length, 1, FLASH_SIZE - address);
    if (reads_left != 0 && --reads_left == 0) {
        longjmp(power_cut, 1);
    }
}

/** Boots, and cuts the power before the read with this number. @return True if that read was reached. */
static bool boot_until_read(unsigned number)
{
    reads_left = number;
    if (setjmp(power_cut) != 0) {
        return true;
    }
    boot_run(&chip, flash, sizeof(flash), cut_power, NULL, &result);
    return false;
}

// MCUboot's status bytes exist so that a swap survives a power loss at any moment. It is cut before any of its reads.
static void mcuboot_finishes_an_interrupted_swap(void **state)
{
    (void)state;
    static uint8_t before[FLASH_SIZE], expected[FLASH_SIZE];
    const size_t slots = DUMMY_IMAGE_SECONDARY + 0x20000;
    set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_CONFIRMED);
    memcpy(before, flash, sizeof(flash));
    expect_mcuboot(BOOT_SWAPS_THEN_BOOTS, 2);
    memcpy(expected, flash, sizeof(flash));
    unsigned losses = 0;
    for (unsigned number = 1;; number += 7) {
        memcpy(flash, before, sizeof(flash));
        if (!boot_until_read(number)) {
            break;
        }
        boot();
        assert_true(boot_succeeds(&result));
        assert_int_equal(flash[DUMMY_IMAGE_PRIMARY + 20], 2);
        assert_memory_equal(flash + DUMMY_IMAGE_PRIMARY, expected + DUMMY_IMAGE_PRIMARY, slots - DUMMY_IMAGE_PRIMARY);
        losses++;
    }
    assert_in_range(losses, 50, 100000);
}

// The trailer takes two sectors here, and MCUboot 1.10 subtracts its length from the last group of sectors although
// that ends one sector earlier: the end of an image that reaches into the first of them is not copied, and does not
// verify.
static void mcuboot_loses_the_end_of_an_image_that_reaches_the_trailer(void **state)
{
    (void)state;
    static uint8_t payload[0xFE100];
    set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_CONFIRMED);
    memcpy(payload, flash + DUMMY_IMAGE_SECONDARY + 32, sizeof(payload));
    image_write_mcuboot_t spec = {.payload = payload,
                                  .payload_size = 0xFDF00,
                                  .version_major = 2,
                                  .slot_size = DUMMY_IMAGE_SLOT_SIZE,
                                  .trailer = IMAGE_WRITE_TRAILER_CONFIRMED};
    assert_int_equal(image_write_mcuboot(&spec, flash + DUMMY_IMAGE_SECONDARY, DUMMY_IMAGE_SLOT_SIZE), IMAGE_WRITE_OK);
    expect_mcuboot(BOOT_SWAPS_THEN_BOOTS, 2);
    spec.payload_size = sizeof(payload);
    assert_int_equal(image_write_mcuboot(&spec, flash + DUMMY_IMAGE_SECONDARY, DUMMY_IMAGE_SLOT_SIZE), IMAGE_WRITE_OK);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "not valid");
    assert_true(result.flash_changed);
    // An image that cannot be one is erased before anything is swapped.
    set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_CONFIRMED);
    memset(flash + DUMMY_IMAGE_SECONDARY + 12, 0xFF, 4);
    expect_mcuboot(BOOT_BOOTS, 1);
    assert_int_equal(flash[DUMMY_IMAGE_SECONDARY], 0xFF);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/** Overwrites a few bytes in what a boot reads first: bootloader, table, otadata, start of the slots. */
static void damage(uint32_t *seed)
{
    static const uint32_t places[] = {0x1000,  0x1018,   0x8000,   0xE000,   0xF000,
                                      0x10000, 0x110000, 0x10FFC0, 0x20FFC0, 0x24FFC0};
    for (unsigned i = 1 + next_random(seed) % 3; i != 0; i--) {
        uint32_t at = places[next_random(seed) % (sizeof(places) / sizeof(places[0]))] + next_random(seed) % 0x60;
        flash[at] = next_random(seed) % 4 == 0 ? 0xFF : (uint8_t)next_random(seed);
    }
}

static void damaged_flash_never_breaks_the_model(void **state)
{
    (void)state;
    static uint8_t intact[FLASH_SIZE];
    uint32_t seed = 1;
    for (unsigned round = 0; round < 300; round++) {
        if (round == 0) {
            put_slots(2);
            put_app(SLOT(0), &good_app);
            put_app(SLOT(1), &good_app);
            put_otadata(0, 1, SR_OTA_NEW);
            chip.rollback = true;
            memcpy(intact, flash, sizeof(flash));
        } else if (round == 150) {
            set_up_mcuboot(DUMMY_IMAGE_SECONDARY, IMAGE_WRITE_TRAILER_TEST);
            memcpy(intact, flash, sizeof(flash));
        }
        memcpy(flash, intact, sizeof(flash));
        damage(&seed);
        uint32_t size = round % 3 == 0 ? FLASH_SIZE / 4 : FLASH_SIZE;
        boot_run(&chip, flash, size, NULL, NULL, &result);
        assert_in_range(result.outcome, BOOT_BOOTS, BOOT_BOOTLOADER_REJECTS);
        assert_int_not_equal(result.reason[0], '\0');
        assert_int_equal(result.app.length != 0, boot_succeeds(&result));
    }
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup(function, set_up)
    const struct CMUnitTest tests[] = {
        CASE(every_chip_boots),
        CASE(recovery_bootloader_stands_in),
        CASE(rom_hangs_on_segments_that_are_no_ram),
        CASE(a_wrong_entry_point_starts_nothing),
        CASE(misplaced_data_starts_nothing),
        CASE(first_esp32_leaves_the_chip_id_to_the_bootloader),
        CASE(rollback_gives_a_new_app_one_run),
        CASE(no_rollback_no_change),
        CASE(sixteen_slots),
        CASE(a_gap_between_slots_hides_the_last),
        CASE(fallback_order),
        CASE(tables_that_pass_by_mistake),
        CASE(tables_that_do_not_pass),
        CASE(otadata_too_small),
        CASE(segments_that_cannot_be_loaded),
        CASE(segment_over_the_bootloader),
        CASE(app_entry_point_is_not_checked),
        CASE(revisions),
        CASE(digest_is_optional),
        CASE(mcuboot_reverts_unless_confirmed),
        CASE(mcuboot_stops_at_a_primary_without_end),
        CASE(mcuboot_with_another_layout),
        CASE(mcuboot_app_without_load_header),
        CASE(mcuboot_finishes_an_interrupted_swap),
        CASE(mcuboot_loses_the_end_of_an_image_that_reaches_the_trailer),
        CASE(damaged_flash_never_breaks_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
