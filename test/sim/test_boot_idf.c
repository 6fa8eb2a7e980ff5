// SPDX-License-Identifier: Apache-2.0
/** @file
 * The rules by which ESP-IDF's bootloader takes a table, an entry of otadata, and an app, each at its boundary.
 *
 * The rules are those of ESP-IDF's bootloader_support: flash_partitions.c, bootloader_utility.c, esp_image_format.c.
 */
#include "format/sr_md5.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/support_boot.h"

#define ENTRY SR_PARTITION_ENTRY_SIZE
#define REACH 0x1000000u

// The table.

static void put_raw_entry(unsigned index, uint16_t magic, uint8_t type, uint8_t subtype, uint32_t offset, uint32_t size)
{
    uint8_t *entry = flash + TABLE + index * ENTRY;
    memset(entry, 0, ENTRY);
    sr_bytes_put_le32(entry, magic | (uint32_t)type << 16 | (uint32_t)subtype << 24);
    sr_bytes_put_le32(entry + 4, offset);
    sr_bytes_put_le32(entry + 8, size);
}

static void put_md5(unsigned index)
{
    uint8_t *entry = flash + TABLE + index * ENTRY;
    sr_md5_t md5;
    memset(entry, 0xFF, ENTRY);
    sr_bytes_put_le32(entry, 0xFFFFEBEB);
    sr_md5_start(&md5);
    sr_md5_update(&md5, flash + TABLE, (size_t)index * ENTRY);
    assert_int_equal(sr_md5_finish(&md5, entry + 16), 0);
}

static void a_partition_may_end_with_the_flash(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset, size;
        bool fits;
    } cases[] = {{0x3F0000, 0x10000, true},
                 {0x3F0000, 0x10001, false},
                 {FLASH_SIZE, 0, true},
                 {FLASH_SIZE + 1, 0, false},
                 {FLASH_SIZE + 1, 0u - FLASH_SIZE, false}};
    put_app(SLOT(0), &good_app);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_factory(SLOT(0), SLOT_SIZE);
        put_raw_entry(1, 0x50AA, SR_PARTITION_TYPE_DATA, 0x82, cases[i].offset, cases[i].size);
        memset(flash + TABLE + 2 * ENTRY, 0xFF, ENTRY);
        expect_boots(cases[i].fits, SLOT(0), "partition 1 ends at");
    }
}

static void what_ends_a_table(void **state)
{
    (void)state;
    put_app(SLOT(0), &good_app);
    put_factory(SLOT(0), SLOT_SIZE);
    expect_app(SLOT(0));
    for (unsigned byte = 0; byte < 4; byte++) { /* all four of its first bytes are erased */
        memset(flash + TABLE + 2 * ENTRY, 0xFF, ENTRY);
        flash[TABLE + 2 * ENTRY + byte] = 0xFE;
        expect_failure(BOOT_BOOTLOADER_REJECTS, "partition table: entry 2 has the magic");
    }
    memset(flash + TABLE + 2 * ENTRY, 0xFF, ENTRY);
    memset(flash + TABLE + 2 * ENTRY + 4, 0x00, ENTRY - 4); /* and what follows does not matter */
    expect_app(SLOT(0));
    flash[TABLE] = 0;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "partition table: entry 0 has the magic 0x5000");
    memset(flash + TABLE, 0xFF, SR_SECTOR_SIZE);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "no bootable app: the table has none");
}

// As many as there is room for, the last of which must be the end.
static void a_table_holds_95_entries(void **state)
{
    (void)state;
    const unsigned room = SR_PARTITION_TABLE_SIZE / ENTRY;
    put_app(SLOT(0), &good_app);
    for (unsigned count = room - 1; count <= room; count++) {
        for (unsigned i = 0; i < room; i++) {
            put_raw_entry(i, 0x50AA, SR_PARTITION_TYPE_DATA, 0x82, 0, 0);
        }
        put_raw_entry(count - 1, 0x50AA, SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SLOT(0), SLOT_SIZE);
        memset(flash + TABLE + count * ENTRY, 0xFF, ENTRY);
        expect_boots(count < room, SLOT(0), "no end marker");
    }
    put_factory(SLOT(0), SLOT_SIZE);
    flash[TABLE + ENTRY + 31] ^= 1;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "MD5 in entry 1 is wrong");
    put_md5(1);
    put_md5(2);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "MD5 in entry 2 is wrong"); /* right, but the second one */
}

// Apps are told by type and subtype: sixteen slots, one factory and one test app; nothing else is started.
static void which_partitions_are_started(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, subtype;
        bool started;
    } cases[] = {{0, 0x00, true},  {0, 0x01, false}, {0, 0x0F, false}, {0, 0x10, true},
                 {0, 0x11, false}, {0, 0x20, true},  {0, 0x21, false}, {1, 0x10, false},
                 {1, 0x00, false}, {2, 0x00, false}, {0x40, 0, false}, {0, 0x1F, false}};
    put_app(SLOT(0), &good_app);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_partition_table_entry_t entries[2] = {otadata_partition, app_partition(cases[i].subtype, SLOT(0))};
        entries[1].type = cases[i].type;
        put_table(entries, 2);
        memset(flash + OTADATA, 0xFF, 0x2000);
        if (cases[i].type == 1 && cases[i].subtype == 0) {
            continue; /* otadata once more */
        }
        expect_boots(cases[i].started, SLOT(0), "no bootable app");
    }
    sr_partition_table_entry_t other[2] = {otadata_partition, app_partition(SR_PARTITION_APP_FACTORY, SLOT(0))};
    other[0].subtype = SR_PARTITION_DATA_NVS;
    put_table(other, 2);
    expect_app(SLOT(0));
    assert_non_null(strstr(result.reason, "no otadata partition"));
}

// Entries are counted, whatever their subtypes: seventeen slots, of which two are the same, leave one that is none.
static void a_slot_past_the_last_is_none(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[18] = {otadata_partition};
    for (unsigned i = 0; i < 17; i++) {
        entries[i + 1] = app_partition((uint8_t)(SR_PARTITION_APP_OTA_0 + i % 16), SLOT(i % 16));
    }
    put_table(entries, 18);
    put_app(SLOT(15), &good_app);
    put_app(SLOT(0), &good_app);
    sr_otadata_encode(17, SR_OTA_VALID, flash + OTADATA);
    expect_app(SLOT(15)); /* slot 16 is none, and below it comes 15 */
    assert_string_equal(result.reason, "otadata selects slot 16 (sequence 17); app at 0x100000 verified");
    sr_otadata_encode(18, SR_OTA_VALID, flash + OTADATA);
    expect_app(SLOT(0));
}

// otadata.

typedef struct entry {
    uint32_t sequence, state;
    bool bad_crc;
} entry_t;

static void put_entry(unsigned index, entry_t entry)
{
    uint8_t *at = flash + OTADATA + index * SR_SECTOR_SIZE;
    memset(at, 0xFF, SR_SECTOR_SIZE);
    if (entry.sequence != 0) {
        sr_otadata_encode(entry.sequence, entry.state, at);
        at[28] ^= entry.bad_crc;
    }
}

#define NONE                                                                                                           \
    {                                                                                                                  \
        0, 0, false                                                                                                    \
    }

// What entries select, with a factory app and without; and when the bootloader writes the first sequence number.
static void what_otadata_selects(void **state)
{
    (void)state;
    enum { FACTORY = 20 };
    static const struct {
        entry_t entries[2];
        unsigned with_factory, without;
        bool writes;
    } cases[] = {
        {{NONE, NONE}, FACTORY, 0, true},
        {{{2, SR_OTA_VALID, false}, NONE}, 1, 1, false},
        {{NONE, {2, SR_OTA_VALID, false}}, 1, 1, false},
        {{{2, SR_OTA_UNDEFINED, false}, {1, SR_OTA_VALID, false}}, 1, 1, false},
        {{{2, SR_OTA_NEW, false}, {1, SR_OTA_VALID, false}}, 1, 1, false},
        {{{2, SR_OTA_INVALID, false}, NONE}, FACTORY, 0, false},
        {{NONE, {2, SR_OTA_INVALID, false}}, FACTORY, 0, false},
        {{{2, SR_OTA_ABORTED, false}, NONE}, FACTORY, 0, false},
        {{{2, SR_OTA_INVALID, false}, {1, SR_OTA_ABORTED, false}}, FACTORY, 0, false},
        {{{2, SR_OTA_INVALID, true}, {1, SR_OTA_ABORTED, true}}, FACTORY, 0, true},
        {{{2, SR_OTA_INVALID, true}, {1, SR_OTA_ABORTED, false}}, FACTORY, 0, false},
        {{{3, SR_OTA_INVALID, false}, {2, SR_OTA_VALID, false}}, 1, 1, false},
        {{{2, SR_OTA_VALID, true}, NONE}, FACTORY, 0, false}, /* looks at slots from below the first one */
        {{{2, SR_OTA_VALID, true}, {2, SR_OTA_VALID, false}}, 1, 1, false},
    };
    put_app(SLOT(0), &good_app);
    put_app(SLOT(1), &good_app);
    put_app(SLOT(FACTORY), &good_app);
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        const bool factory = i % 2 != 0;
        put_entry(0, cases[i / 2].entries[0]);
        put_entry(1, cases[i / 2].entries[1]);
        put_slots(factory, 2);
        expect_app(SLOT(factory ? cases[i / 2].with_factory : cases[i / 2].without));
        assert_int_equal(result.flash_changed, !factory && cases[i / 2].writes);
    }
    put_entry(0, (entry_t){1, SR_OTA_VALID, false}); /* of a single slot, and of none */
    put_slots(true, 1);
    expect_app(SLOT(0));
    put_slots(true, 0);
    expect_app(SLOT(FACTORY));
}

// The number is that of the app that was found, in the first entry; the other one stays.
static void the_first_sequence_is_of_the_app_that_starts(void **state)
{
    (void)state;
    put_slots(false, 3);
    put_app(SLOT(2), &good_app);
    put_entry(0, (entry_t)NONE);
    put_entry(1, (entry_t)NONE);
    uint8_t expected[SR_OTADATA_ENTRY_SIZE], blank[SR_SECTOR_SIZE];
    memset(blank, 0xFF, sizeof(blank));
    sr_otadata_encode(3, SR_OTA_VALID, expected);
    flash[OTADATA + 100] = 0; /* the sector is erased first */
    expect_app(SLOT(2));
    assert_true(result.flash_changed);
    assert_memory_equal(flash + OTADATA, expected, sizeof(expected));
    assert_memory_equal(flash + OTADATA + sizeof(expected), blank, SR_SECTOR_SIZE - sizeof(expected));
    assert_memory_equal(flash + OTADATA + SR_SECTOR_SIZE, blank, SR_SECTOR_SIZE);
    expect_app(SLOT(2));
    assert_false(result.flash_changed);
}

static void no_sequence_for_an_app_that_is_no_slot(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_OTA_0, SLOT(0)),
                                                  app_partition(SR_PARTITION_APP_TEST, SLOT(1))};
    put_table(entries, 3);
    put_app(SLOT(1), &good_app);
    expect_app(SLOT(1));
    assert_false(result.flash_changed);
    put_slots(false, 1); /* nor for one of which it is not known whether it starts */
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x40078000 + 0x4000});
    expect_failure(BOOT_NOT_KNOWN, "app at 0x10000");
    assert_false(result.flash_changed);
}

// Both entries, in place, whatever else is in them.
static void unconfirmed_apps_are_aborted_in_place(void **state)
{
    (void)state;
    put_slots(true, 2);
    put_app(SLOT(0), &good_app);
    put_app(SLOT(1), &good_app);
    put_app(SLOT(20), &good_app);
    put_entry(0, (entry_t){1, SR_OTA_PENDING_VERIFY, false});
    put_entry(1, (entry_t){2, SR_OTA_PENDING_VERIFY, false});
    memset(flash + OTADATA + 4, 'x', 20);
    memset(flash + OTADATA + SR_SECTOR_SIZE + 4, 'y', 20);
    static uint8_t expected[2 * SR_SECTOR_SIZE];
    memcpy(expected, flash + OTADATA, sizeof(expected));
    sr_bytes_put_le32(expected + 24, SR_OTA_ABORTED);
    sr_bytes_put_le32(expected + SR_SECTOR_SIZE + 24, SR_OTA_ABORTED);
    chip.rollback = true;
    expect_app(SLOT(20));
    assert_memory_equal(flash + OTADATA, expected, sizeof(expected));
    put_entry(0, (entry_t){3, SR_OTA_NEW, false});
    put_entry(1, (entry_t){2, SR_OTA_NEW, false});
    expect_app(SLOT(0));
    assert_int_equal(flash[OTADATA + 24], SR_OTA_PENDING_VERIFY);
    assert_int_equal(flash[OTADATA + SR_SECTOR_SIZE + 24], SR_OTA_NEW);
}

// A word is the least that is programmed, or what the chip encrypts at once.
static void an_entry_is_programmed_where_flash_can_be(void **state)
{
    (void)state;
    const uint8_t key[32] = {1, 2, 3};
    flash_cipher_t *cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    static const struct {
        uint32_t offset;
        bool encrypts, written;
    } cases[] = {{OTADATA, false, true},      {OTADATA + 2, false, false}, {OTADATA + 4, false, true},
                 {OTADATA + 1, false, false}, {OTADATA, true, true},       {OTADATA + 16, true, false},
                 {OTADATA + 32, true, true},  {OTADATA + 4, true, false}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        on_chip(&esp32);
        sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_OTA_0, SLOT(0))};
        entries[0].address = cases[c].offset;
        put_table(entries, 2);
        put_app(SLOT(0), &good_app);
        if (cases[c].encrypts) {
            chip.cipher = cipher;
            flash_cipher_encrypt(cipher, 0, flash, SLOT(1));
        }
        expect_app(SLOT(0));
        uint8_t is[SR_OTADATA_ENTRY_SIZE], should[SR_OTADATA_ENTRY_SIZE];
        memcpy(is, flash + cases[c].offset, sizeof(is));
        memset(should, 0xFF, sizeof(should));
        if (cases[c].written) {
            sr_otadata_encode(1, SR_OTA_VALID, should);
        }
        if (cases[c].encrypts && cases[c].written) {
            flash_cipher_decrypt(cipher, cases[c].offset, is, sizeof(is));
        }
        assert_memory_equal(is, should, sizeof(is));
        for (uint32_t i = sizeof(is); i < SR_SECTOR_SIZE / 2; i++) {
            assert_int_equal(flash[cases[c].offset + i], 0xFF); /* and nothing behind it */
        }
    }
    flash_cipher_delete(cipher);
}

static void otadata_is_two_sectors_within_reach(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset, size;
        const char *fault;
    } cases[] = {{OTADATA, 0x2000, NULL},
                 {OTADATA, 0x1FFF, "smaller than two sectors"},
                 {REACH - 0x2000, 0x2000, NULL},
                 {REACH - 0x1FFC, 0x2000, "otadata lies past 16 MB"},
                 {REACH - 0x1000, 0x2000, "otadata lies past 16 MB"},
                 {0, 0x1000, NULL}}; /* at 0 there is none */
    put_loader("v5.5", "32MB", 5);
    put_app(SLOT(0), &good_app);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_FACTORY, SLOT(0))};
        entries[0].address = cases[i].offset;
        entries[0].size = cases[i].size;
        put_table(entries, 2);
        expect_boots(cases[i].fault == NULL, SLOT(0), cases[i].fault);
    }
}

// A factory app at 0 is none to the bootloader, as that is where it looks whether there is one.
static void a_factory_app_at_0_is_not_selected(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_FACTORY, 0),
                                            app_partition(SR_PARTITION_APP_OTA_0, SLOT(0))};
    put_table(entries, 3);
    put_app(SLOT(0), &good_app);
    expect_app(SLOT(0));
    assert_non_null(strstr(result.reason, "no factory: slot 0"));
}

// What is said of the way to the app: what is wrong with one says more than that there is none.
static void the_reason_is_of_what_is_broken(void **state)
{
    (void)state;
    put_slots(true, 3);
    put_app(SLOT(20), &good_app);
    put_app(SLOT(2), &good_app);
    put_entry(0, (entry_t){3, SR_OTA_VALID, false});
    expect_app(SLOT(2));
    assert_string_equal(result.reason, "otadata selects slot 2 (sequence 3); app at 0x30000 verified");
    flash[SLOT(2) + 40] ^= 1;
    expect_app(SLOT(20));
    assert_string_equal(result.reason, "otadata selects slot 2 (sequence 3); app at 0x30000: checksum does not match; "
                                       "app at 0x150000 verified");
    flash[SLOT(2)] = 0xFF;
    put_app(SLOT(1), &good_app);
    flash[SLOT(1) + 40] ^= 1;
    expect_app(SLOT(20));
    assert_non_null(strstr(result.reason, "app at 0x20000: checksum does not match; app at"));
    flash[SLOT(1)] = 0xFF;
    expect_app(SLOT(20));
    assert_non_null(strstr(result.reason, "app at 0x30000: invalid magic byte; app at")); /* the first of them */
    put_entry(0, (entry_t){2, SR_OTA_VALID, false}); /* no app is tried twice: here the last one is that of slot 0 */
    put_slots(false, 3);
    put_app(SLOT(0), &good_app);
    put_app(SLOT(1), &good_app);
    put_app(SLOT(2), &good_app);
    flash[SLOT(0) + 1] = 17;
    flash[SLOT(1) + 40] ^= 1;
    expect_app(SLOT(2));
    assert_non_null(strstr(result.reason, "app at 0x10000: too many segments; app at"));
}

// Apps.

static void what_an_app_demands_of_the_efuses(void **state)
{
    (void)state;
    static const struct {
        bool esp32, undescribed, loader_checks;
        uint16_t minimum, maximum, block;
        bool ignores_maximum, starts;
    } cases[] = {
        {.minimum = 2, .block = 0, .starts = true}, /* not known */
        {.minimum = 2, .block = 1, .starts = false},
        {.minimum = 2, .block = 2, .starts = true},
        {.minimum = 2, .block = 3, .starts = true},
        {.minimum = 0xFFFF, .block = 1, .starts = true},
        {.minimum = 0xFFFE, .block = 1, .starts = false},
        {.minimum = 0xFFFE, .block = 0xFFFE, .starts = true},
        {.minimum = 0, .block = 1, .starts = true},
        {.maximum = 3, .block = 3, .starts = true},
        {.maximum = 3, .block = 4, .starts = false},
        {.maximum = 3, .block = 4, .ignores_maximum = true, .starts = true},
        {.maximum = 1, .block = 2, .starts = false},
        {.maximum = 0, .block = 2, .starts = true},
        {.maximum = 0xFFFF, .block = 2, .starts = true},
        {.maximum = 0xFFFE, .block = 0xFFFF, .starts = false},
        {.minimum = 2, .maximum = 1, .block = 3, .ignores_maximum = true, .starts = true},
        {.minimum = 4, .maximum = 0, .block = 3, .ignores_maximum = true, .starts = false},
        {.undescribed = true, .minimum = 2, .block = 1, .starts = true},
        {.undescribed = true, .loader_checks = true, .minimum = 2, .block = 1, .starts = false},
        {.loader_checks = true, .minimum = 2, .block = 1, .starts = false},
        {.esp32 = true, .minimum = 2, .block = 1, .starts = true}, /* which has no such revision */
        {.esp32 = true, .loader_checks = true, .minimum = 2, .block = 1, .starts = true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        on_chip(cases[i].esp32 ? &esp32 : &esp32c3);
        put_loader("v5.5", cases[i].loader_checks ? "efuse blk rev" : "", 2);
        put_factory(SLOT(0), SLOT_SIZE);
        put_app(SLOT(0), &(app_spec_t){.descriptor = !cases[i].undescribed,
                                       .min_block = cases[i].minimum,
                                       .max_block = cases[i].maximum});
        chip.efuses =
            (sr_chip_efuses_t){.block_revision = cases[i].block, .ignores_max_block = cases[i].ignores_maximum};
        expect_boots(cases[i].starts, SLOT(0), "another revision of the eFuse block");
    }
}

static void an_app_may_not_be_older_than_the_efuses_say(void **state)
{
    (void)state;
    static const struct {
        bool descriptor;
        uint32_t version;
        uint8_t demanded;
        bool starts;
    } cases[] = {{true, 3, 3, true},  {true, 3, 4, false},  {true, 4, 3, true},  {true, 0, 0, true},
                 {true, 0, 1, false}, {false, 3, 1, false}, {false, 3, 0, true}, {true, 256, 255, true}};
    put_factory(SLOT(0), SLOT_SIZE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_app(SLOT(0), &(app_spec_t){.descriptor = cases[i].descriptor, .secure_version = cases[i].version});
        chip.efuses.secure_version = cases[i].demanded;
        expect_boots(cases[i].starts, SLOT(0), "secure version is below");
    }
}

// Of 8 to 64 KiB, as the descriptor says; else of 64 KiB. A mapped segment starts at the same place of a page in both.
static void the_pages_of_the_mmu(void **state)
{
    (void)state;
    for (unsigned chips = 0; chips < 2; chips++) {
        on_chip(chips == 0 ? &esp32c6 : &esp32c3);
        put_factory(SLOT(0), SLOT_SIZE);
        for (unsigned log2_size = 11; log2_size <= 18; log2_size++) {
            for (unsigned bit = 12; bit <= 17; bit++) {
                const bool counts = chips == 0 && log2_size >= 13 && log2_size <= 16;
                put_app(SLOT(0), &(app_spec_t){.data_address = 0x42010020u ^ 1u << bit,
                                               .descriptor = true,
                                               .page_size = (uint8_t)log2_size});
                expect_boots(bit >= (counts ? log2_size : 16), SLOT(0), "does not match its place in flash");
            }
        }
        put_app(SLOT(0), &(app_spec_t){.data_address = 0x42012020u, .page_size = 13}); /* no descriptor */
        expect_failure(BOOT_BOOTLOADER_REJECTS, "does not match its place in flash");
    }
}

static void segments_of_an_app(void **state)
{
    (void)state;
    put_factory(SLOT(0), SLOT_SIZE);
    static const struct {
        uint32_t length;
        const char *fault;
    } cases[] = {{258, "invalid segment length"},
                 {257, "invalid segment length"},
                 {REACH, "invalid segment length"},
                 {REACH - 4, "image is longer than its partition"},
                 {SLOT_SIZE - 32 + 4, "image is longer than its partition"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_app(SLOT(0), &good_app);
        sr_bytes_put_le32(flash + SLOT(0) + 28, cases[i].length);
        expect_failure(BOOT_BOOTLOADER_REJECTS, cases[i].fault);
    }
    for (uint32_t length = 253; length <= 256; length++) { /* whole words; here of an image with one segment */
        put_app(SLOT(0), &good_app);
        flash[SLOT(0) + 1] = 1;
        sr_bytes_put_le32(flash + SLOT(0) + 28, length);
        expect_failure(BOOT_BOOTLOADER_REJECTS, length < 256 ? "invalid segment length" : "checksum does not match");
    }
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x3F410021}); /* mapped, but not where it lies */
    expect_failure(BOOT_BOOTLOADER_REJECTS, "does not match its place in flash");
    put_app(SLOT(0), &good_app); /* what no checksum sees */
    flash[SLOT(0) + 2] ^= 1;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "SHA-256 does not match");
    put_app(SLOT(0), &good_app);
    flash[SLOT(0) + 1] = 17;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "too many segments");
    /* As many as there may be: what is read past the two has length 0, and is none. */
    put_app(SLOT(0), &good_app);
    flash[SLOT(0) + 1] = 16;
    boot();
    assert_null(strstr(result.reason, "too many segments"));
    put_app(SLOT(0), &good_app);
    flash[SLOT(0) + 12] = 5;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "built for another chip");
}

// The partition ends with the image, or one byte before it; with its last segment, and where there is no room for one.
static void an_image_may_fill_its_partition(void **state)
{
    (void)state;
    for (unsigned hash = 0; hash < 2; hash++) {
        const uint32_t length = put_app(SLOT(0), &(app_spec_t){.hash = hash != 0});
        put_factory(SLOT(0), length);
        expect_app(SLOT(0));
        assert_int_equal(result.app.length, length);
        put_factory(SLOT(0), length - 1);
        expect_failure(BOOT_BOOTLOADER_REJECTS, "image is longer than its partition");
    }
    const uint32_t segments = 24 + 8 + 256 + 8 + 256;
    put_app(SLOT(0), &(app_spec_t){.hash = false});
    flash[SLOT(0) + 40] ^= 1;
    put_factory(SLOT(0), segments);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "checksum does not match"); /* the segments fit */
    put_factory(SLOT(0), segments - 4);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "image is longer than its partition");
    flash[SLOT(0) + 1] = 1;
    sr_bytes_put_le32(flash + SLOT(0) + 28, 0);
    put_factory(SLOT(0), 32);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "checksum does not match");
    put_factory(SLOT(0), 31);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "image is longer than its partition");
}

static void an_app_lies_within_reach_at_a_whole_word(void **state)
{
    (void)state;
    put_loader("v5.5", "32MB", 5);
    const uint32_t length = put_app(SLOT(0), &good_app);
    static const struct {
        uint32_t from_end;
        const char *fault;
    } cases[] = {{0, NULL}, {4, "ends past 16 MB"}, {2, "whole word"}, {1, "whole word"}, {0x1000, "ends past 16 MB"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t address = REACH - length + cases[i].from_end;
        memset(flash + FLASH_SIZE - 0x1000, 0xFF, 0x1000);
        put_factory(address, 0x2000);
        const uint32_t inside = address < REACH ? REACH - address : 0, there = inside < length ? inside : length;
        memcpy(flash + FLASH_SIZE - inside, flash + SLOT(0), there);
        memcpy(flash, flash + SLOT(0) + there, length - there); /* where a flash of 4 MiB goes on */
        expect_boots(cases[i].fault == NULL, address, cases[i].fault);
    }
    put_app(SLOT(0), &good_app);
    put_factory(SLOT(0), REACH);
    expect_app(SLOT(0));
    put_factory(SLOT(0), REACH + 4);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "larger than 16 MB");
}

// Any place of a segment that is loaded; what is not loaded there ends in nothing.
static void where_an_entry_point_may_be(void **state)
{
    (void)state;
    put_factory(SLOT(0), SLOT_SIZE);
    static const struct {
        uint32_t entry;
        bool starts;
    } cases[] = {{0x40080000, true}, {0x400800FF, true}, {0x40080100, false}, {0x4007FFFF, false},
                 {0x3FFB0000, true}, {0x3FFB00FF, true}, {0x3FFB0100, false}, {0x3FFAFFFF, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_app(SLOT(0), &(app_spec_t){.entry = cases[i].entry});
        expect_boots(cases[i].starts, SLOT(0), "its entry point is not in the image");
    }
}

// Below 0x10000000 a segment is padding; from there on it is refused where nothing is.
static void where_memory_begins(void **state)
{
    (void)state;
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x0FFFFFFC});
    expect_app(SLOT(0));
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x10000000});
    expect_failure(BOOT_BOOTLOADER_REJECTS, "load address is not in RAM");
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x10000000, .data_length = 256});
    sr_bytes_put_le32(flash + SLOT(0) + 28, 0); /* of no bytes anywhere */
    boot();
    assert_null(strstr(result.reason, "not in RAM"));
}

// An old bootloader keeps 32 KiB below its stack's start, and uses some of what is below that.
static void the_stack_of_an_old_bootloader(void **state)
{
    (void)state;
    const uint32_t stack = 0x3FFE3F20, kept = stack - 0x8000, used = kept - 0x2000;
    static const char *const old[] = {"sp < &_bss_start"};
    put_loader(NULL, old[0], 2);
    put_factory(SLOT(0), SLOT_SIZE);
    static const struct {
        uint32_t offset; /* of the segment's end, from what is used */
        boot_outcome_t outcome;
    } cases[] = {{0, BOOT_BOOTS}, {4, BOOT_NOT_KNOWN}, {0x2000, BOOT_NOT_KNOWN}, {0x2004, BOOT_BOOTLOADER_REJECTS}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_app(SLOT(0), &(app_spec_t){.data_address = used + cases[i].offset - 256});
        boot();
        assert_int_equal(result.outcome, cases[i].outcome);
    }
}

/** A bootloader with a further segment, of no bytes. */
static void put_loader_with_empty(uint32_t data_address, uint32_t code_address, uint32_t empty_address)
{
    static const uint8_t code[256] = {0x36, 0x41, 0x00};
    uint8_t data[256] = {0};
    assert_int_equal(image_write_bootloader_desc("v5.5", 0, data), IMAGE_WRITE_OK);
    const image_write_segment_t segments[] = {
        {.load_address = data_address, .data = data, .length = sizeof(data)},
        {.load_address = code_address, .data = code, .length = sizeof(code)},
        {.load_address = empty_address, .data = code, .length = 0},
    };
    const image_write_esp_t spec = {.chip_id = chip.chip->image_chip_id,
                                    .spi_size = 2,
                                    .entry = code_address,
                                    .max_chip_rev_full = 0xFFFF,
                                    .segments = segments,
                                    .segment_count = 3};
    size_t written;
    assert_int_equal(image_write_esp(&spec, flash + chip.chip->bootloader_offset, 0x4000, &written), IMAGE_WRITE_OK);
}

// It is no code or data, and has no variables below it.
static void a_segment_of_no_bytes_needs_no_memory(void **state)
{
    (void)state;
    put_factory(SLOT(0), SLOT_SIZE);
    put_loader_with_empty(esp32.loader_data, esp32.loader_code, 0x3FFF8800);
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x3FFF8100});
    expect_app(SLOT(0));
    on_chip(&esp32c6); /* where the last segment is the data, */
    put_factory(SLOT(0), SLOT_SIZE);
    put_loader_with_empty(0x40820000, 0x40818000, 0x40830000);
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x40820000});
    expect_failure(BOOT_BOOTLOADER_REJECTS, "overlaps the bootloader");
    on_chip(&esp32c3); /* and below code there are no variables */
    put_factory(SLOT(0), SLOT_SIZE);
    put_loader_with_empty(0x3FCA0020, 0x40398700, 0x3FCA8000);
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x40398000});
    expect_app(SLOT(0));
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x40398604});
    expect_failure(BOOT_BOOTLOADER_REJECTS, "overlaps the bootloader");
}

// A bootloader that was built for chips that encrypt already.
static void some_bootloaders_start_apps_on_encrypting_chips_only(void **state)
{
    (void)state;
    const uint8_t key[32] = {1, 2, 3};
    flash_cipher_t *cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    put_loader("v5.5", SR_CHIP_SAYS_ONLY_ENCRYPTED, 2);
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &good_app);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "only on a chip that encrypts");
    chip.may_encrypt = true;
    expect_app(SLOT(0));
    chip.may_encrypt = false;
    chip.cipher = cipher;
    flash_cipher_encrypt(cipher, 0, flash, SLOT(1));
    expect_app(SLOT(0));
    flash_cipher_delete(cipher);
}

// What is said of a table that an encrypting chip cannot read.
static void a_table_that_decrypts_to_nonsense(void **state)
{
    (void)state;
    const uint8_t key[32] = {1, 2, 3};
    flash_cipher_t *cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &good_app);
    chip.cipher = cipher;
    flash_cipher_encrypt(cipher, 0, flash, TABLE);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "the partition table at 0x8000 is not encrypted, and");
    memset(flash + TABLE, 0xFF, ENTRY);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "the partition table at 0x8000 is erased, and");
    memset(flash + TABLE, 0x00, ENTRY);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "the partition table at 0x8000 decrypts to nonsense");
    put_factory(SLOT(0), SLOT_SIZE);
    flash_cipher_encrypt(cipher, TABLE, flash + TABLE, SR_SECTOR_SIZE);
    memset(flash + TABLE + ENTRY, 0x00, ENTRY);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "partition table: entry 1 has the magic");
    flash_cipher_delete(cipher);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup(function, set_up)
    const struct CMUnitTest tests[] = {
        CASE(a_partition_may_end_with_the_flash),
        CASE(what_ends_a_table),
        CASE(a_table_holds_95_entries),
        CASE(which_partitions_are_started),
        CASE(a_slot_past_the_last_is_none),
        CASE(what_otadata_selects),
        CASE(the_first_sequence_is_of_the_app_that_starts),
        CASE(no_sequence_for_an_app_that_is_no_slot),
        CASE(unconfirmed_apps_are_aborted_in_place),
        CASE(an_entry_is_programmed_where_flash_can_be),
        CASE(otadata_is_two_sectors_within_reach),
        CASE(a_factory_app_at_0_is_not_selected),
        CASE(the_reason_is_of_what_is_broken),
        CASE(what_an_app_demands_of_the_efuses),
        CASE(an_app_may_not_be_older_than_the_efuses_say),
        CASE(the_pages_of_the_mmu),
        CASE(segments_of_an_app),
        CASE(an_image_may_fill_its_partition),
        CASE(an_app_lies_within_reach_at_a_whole_word),
        CASE(where_an_entry_point_may_be),
        CASE(where_memory_begins),
        CASE(the_stack_of_an_old_bootloader),
        CASE(a_segment_of_no_bytes_needs_no_memory),
        CASE(some_bootloaders_start_apps_on_encrypting_chips_only),
        CASE(a_table_that_decrypts_to_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
