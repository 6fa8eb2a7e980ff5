// SPDX-License-Identifier: Apache-2.0
/** @file
 * Checks of a flash as it will be, each limit from both sides: partitions in any place of the table, what a bootloader
 * tells of itself by its text, what eFuses demand, and the numbers in what is told of a refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bytes.h"
#include "format/sr_partition_table.h"
#include "preflight/sr_preflight_internal.h"
#include "test/support/support_preflight.h"

#define SKIP_ALL_BUT(bit) (ALL_CHECKS & ~(uint32_t)(bit))
#define DEMANDS           32u    /**< Of the first segment's data, from the start of an image. */
#define TEXT              0x200u /**< Where a bootloader has the text of a test. */

/** Puts bytes into an image, and makes checksum and digest right again. */
static void put_bytes(uint32_t address, uint32_t offset, const void *bytes, size_t length)
{
    sr_image_t image;
    memory_t window;
    uint8_t sum = 0xEF;
    memcpy(flash + address + offset, bytes, length);
    const sr_reader_t whole = memory_reader(&window, flash + address, FLASH_SIZE - address);
    assert_int_equal(sr_image_parse(&whole, &image), SR_IMAGE_OK);
    for (unsigned i = 0; i < image.segment_count; i++) {
        for (uint32_t k = 0; k < image.segments[i].length; k++) {
            sum ^= flash[address + image.segments[i].data_offset + k];
        }
    }
    flash[address + image.checksum_offset] = sum;
    renew_digest(address);
}

static void put16(uint32_t address, uint32_t offset, uint16_t value)
{
    const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8)};
    put_bytes(address, offset, bytes, sizeof(bytes));
}

static uint32_t loader_length(void)
{
    sr_image_t image;
    memory_t window;
    const sr_reader_t loader = memory_reader(&window, flash + LOADER, 0x7000);
    assert_int_equal(sr_image_parse(&loader, &image), SR_IMAGE_OK);
    return image.length;
}

static int failing_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    const uint32_t *broken = context;
    if (*broken >= offset && *broken - offset < length) {
        return MEMORY_READ_ERROR;
    }
    memcpy(buffer, flash + offset, length);
    return 0;
}

/* What is wrong with a partition is wrong with the first one, too. */
static void the_first_partition_is_one_of_them(void **state)
{
    (void)state;
    static const struct {
        sr_partition_table_entry_t first;
        uint32_t bit;
        const char *words;
    } cases[] = {
        {{1, 0x06, 0x200000, 0x1000, 0, "past"},
         SR_PREFLIGHT_FLASH_SIZE,
         "Bootloader takes the flash for 0x200000 bytes (size code 1 in its header), partition 0 ends at 0x201000"},
        {{1, 0x06, 0x1FF800, 0x800, 0, "odd"},
         SR_PREFLIGHT_TABLE,
         "Partition 0 starts at 0x1ff800, which is no multiple of 0x1000"},
        {{1, 0x06, 0x7000, 0x2000, 0, "table"},
         SR_PREFLIGHT_TABLE,
         "Partition 0 at 0x7000, 0x2000 bytes, overlaps the partition table at 0x8000, 0x1000 bytes"},
        {{1, 0x06, 0x10F000, 0x1000, 0, "app"},
         SR_PREFLIGHT_TABLE,
         "Partition 3 at 0x10000, 0x100000 bytes, overlaps another one at 0x10f000, 0x1000 bytes"},
        {{1, 0x06, 0x1FF000, 0x1000, 0, "good"}, 0, ""},
    };
    put_header(LOADER, SPEED_SIZE, 0x10);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sr_partition_table_entry_t entries[] = {cases[i].first, nvs, otadata, ota_0};
        put_table(entries, 4);
        if (cases[i].bit != 0) {
            expect_only_refusal(cases[i].bit, cases[i].words);
        } else {
            expect_ok();
        }
    }
}

static bool brings_past_the_end(void *context, sr_region_t partition)
{
    (void)context;
    return partition.address == 0x500000;
}

/* An entry after the MD5 takes the last one from the bootloader's sight: here it is past the end, at an odd address,
 * and an app that would be brought. */
static void what_the_bootloader_does_not_see_is_not_checked(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {nvs, otadata, ota_0};
    sr_partition_table_entry_t hidden = {SR_PARTITION_TYPE_APP, 0x12, 0x500000, SLOT_SIZE, 0, "hidden"};
    uint8_t bytes[SR_PARTITION_TABLE_SIZE];
    sr_preflight_start_t start;
    result.start = &start;
    result.brings = brings_past_the_end;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(image_write_partition_table(&hidden, 1, bytes), IMAGE_WRITE_OK);
        put_table(entries, 3);
        memcpy(flash + TABLE + 4 * SR_PARTITION_ENTRY_SIZE, bytes, SR_PARTITION_ENTRY_SIZE);
        expect_ok();
        assert_false(start.is_new);
        hidden.address++; /* That of a data partition. */
        hidden.type = SR_PARTITION_TYPE_DATA;
    }
}

static bool brings_all(void *context, sr_region_t partition)
{
    (void)context;
    (void)partition;
    return true;
}

static bool brings_first_app(void *context, sr_region_t partition)
{
    (void)context;
    return partition.address == SLOT(0);
}

static bool brings_files(void *context, sr_region_t partition)
{
    (void)context;
    return partition.address == files.address;
}

/* Data that is brought makes no app new; and the first app is one in the first place of the table, too. */
static void only_apps_are_new_apps(void **state)
{
    (void)state;
    sr_preflight_start_t start;
    result.start = &start;
    result.brings = brings_files;
    expect_ok();
    assert_false(start.is_new);
    result.brings = brings_all;
    expect_ok();
    assert_true(start.is_new);
    result.brings = brings_first_app;
    const sr_partition_table_entry_t entries[] = {ota_0, ota_1, otadata};
    put_table(entries, 3);
    image_write_otadata(2, SR_OTA_VALID, flash + OTADATA);
    expect_only_refusal(SR_PREFLIGHT_APP,
                        "the new app at 0x10000 would not start: otadata or a factory app selects the one at "
                        "0x110000, which stays; bring otadata that selects the new one");
    put_table(entries, 2);
    expect_ok();
    assert_int_equal(start.otadata, UINT32_MAX);
    assert_true(start.is_new);
}

static void an_app_may_have_16_mib(void **state)
{
    (void)state;
    for (uint32_t more = 0; more <= 0x1000; more += 0x1000) {
        const sr_partition_table_entry_t large[] = {
            nvs, otadata, {SR_PARTITION_TYPE_APP, 0x10, SLOT(0), 0x1000000 + more, 0, "large"}};
        put_table(large, 3);
        result.flash_size = 0;
        result.skip = SR_PREFLIGHT_FLASH_SIZE;
        assert_int_equal(check(), more == 0 ? 0 : SR_PREFLIGHT_APP);
    }
}

/* Its header says how many segments follow: none, or more than there are. */
static void an_app_that_follows_has_a_good_header(void **state)
{
    (void)state;
    result.app_follows = true;
    for (unsigned count = 0; count <= 17; count++) {
        flash[SLOT(0) + 1] = (uint8_t)count;
        assert_int_equal(check(), count > 0 && count <= 16 ? 0 : SR_PREFLIGHT_APP);
    }
}

static void an_app_alone_is_not_asked_for_its_bootloader(void **state)
{
    (void)state;
    size_t length;
    memset(flash + LOADER, 0xFF, 0x7000);
    assert_int_equal(dummy_image_mcuboot(flash + LOADER, 0x7000, &length), IMAGE_WRITE_OK);
    result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_APP);
    assert_int_equal(check(), SR_PREFLIGHT_APP);
    result.app_alone = true;
    expect_ok();
    flash[SLOT(0) + 0x1000] ^= 1;
    assert_int_equal(check(), SR_PREFLIGHT_APP);
}

/* One letter less, and it is another text; what follows does not matter. */
static void a_bootloader_tells_that_it_wants_an_encrypted_chip(void **state)
{
    (void)state;
    static const char says[] = "SECURE_FLASH_REQUIRE_ALREADY_ENABLED is set!";
    result.is_plain = true;
    expect_ok();
    put_bytes(LOADER, TEXT, says, sizeof(says) - 1);
    expect_refusal(SR_PREFLIGHT_BOOTLOADER,
                   "Bootloader at 0x1000 starts apps only on a chip that encrypts its flash already "
                   "(CONFIG_SECURE_FLASH_REQUIRE_ALREADY_ENABLED), and this one does not");
    result.is_plain = false;
    expect_ok();
    result.is_plain = true;
    put_bytes(LOADER, TEXT + sizeof(says) - 3, "T", 1);
    expect_ok();
}

static void a_bootloader_that_encrypts_goes_by_whole_sectors(void **state)
{
    (void)state;
    static const char says[] = "esp_flash_encrypt_region bad src_addr!";
    static const char words[] =
        "Partition 4 at 0x210000 has 0x1001 bytes, no multiple of 0x1000: the bootloader encrypts it at its first "
        "start, and what follows with it";
    sr_preflight_start_t start;
    sr_partition_table_entry_t last = files;
    result.start = &start;
    for (unsigned which = 0; which < 16; which++) {
        const bool plain = (which & 1) != 0, encrypts = (which & 2) != 0;
        last.size = (which & 4) != 0 ? 0x1001 : 0x1000;
        last.flags = (which & 8) != 0 ? SR_PARTITION_FLAG_ENCRYPTED : 0;
        put_table_with(last);
        put_bytes(LOADER, TEXT, says, sizeof(says) - 1);
        put_bytes(LOADER, TEXT + sizeof(says) - 3, encrypts ? "r" : "R", 1);
        result.is_plain = plain;
        if (which == 15) {
            expect_only_refusal(SR_PREFLIGHT_TABLE, words);
        } else {
            expect_ok();
            assert_int_equal(start.encrypts, plain && encrypts);
        }
    }
    result.is_plain = true;
    result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_TABLE);
    uint32_t broken = LOADER + TEXT; /* Then it is not known. */
    reader = (sr_reader_t){.context = &broken, .read = failing_read, .size = FLASH_SIZE};
    expect_refusal(SR_PREFLIGHT_TABLE, "Bootloader at 0x1000: image cannot be read");
}

/* Beside the name of the size there are its letters, and what the last read left behind the end of the bootloader. */
static void a_size_is_named_by_a_whole_text(void **state)
{
    (void)state;
    const uint32_t length = loader_length();
    result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_FLASH_SIZE);
    result.flash_size = 32u << 20;
    put_header(LOADER, SPEED_SIZE, 0x50);
    assert_int_not_equal(length % 128, 0);
    memcpy(flash + LOADER + length - 4, "32MB", 4);
    flash[LOADER + length - 128] = '\0';
    flash[LOADER + length] = '\0';
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_SIZE);
    memcpy(flash + LOADER + length - 5, "32MB", 5);
    expect_ok();
}

/* The last size that all bootloaders know is named by those that name sizes: what they do not name, they do not know.
 */
static void a_bootloader_that_names_others_knows_no_more(void **state)
{
    (void)state;
    static const struct {
        char text[6];
        bool knows;
    } cases[] = {{"16MB!", true}, {"16MB", false}, {"16M\0B", true}, {"32MB", true}, {"32MB!", true}};
    uint8_t loader[0x7000];
    put_header(LOADER, SPEED_SIZE, 0x50);
    memcpy(loader, flash + LOADER, sizeof(loader));
    result.chip = sr_chip_by_name("esp32s3");
    result.flash_size = 32u << 20;
    result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_FLASH_SIZE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(flash, 0xFF, TABLE);
        memcpy(flash + result.chip->bootloader_offset, loader, sizeof(loader));
        memcpy(flash + result.chip->bootloader_offset + TEXT, cases[i].text, sizeof(cases[i].text));
        assert_int_equal(check(), cases[i].knows ? 0 : SR_PREFLIGHT_FLASH_SIZE);
    }
}

/* Nothing of the bootloader but its header is read then. */
static void sizes_that_all_bootloaders_know_need_no_name(void **state)
{
    (void)state;
    uint32_t broken = LOADER + TEXT;
    result.flash_size = 0;
    result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_FLASH_SIZE);
    for (uint8_t code = 2; code <= 5; code++) {
        put_header(LOADER, SPEED_SIZE, (uint8_t)(code << 4));
        const sr_reader_t whole = reader;
        reader = (sr_reader_t){.context = &broken, .read = failing_read, .size = FLASH_SIZE};
        assert_int_equal(check(), code <= 4 ? 0 : SR_PREFLIGHT_FLASH_SIZE);
        reader = whole;
    }
}

static void modes_past_the_last_one_are_not_known(void **state)
{
    (void)state;
    for (unsigned mode = 6; mode <= UINT8_MAX; mode++) {
        char words[120];
        put_header(LOADER, MODE, (uint8_t)mode);
        today.spi_mode = 5;
        (void)snprintf(words, sizeof(words),
                       "Bootloader's flash mode %u (unknown) may not work here: 5 (slow read) works today", mode);
        expect_only_refusal(SR_PREFLIGHT_FLASH_MODE, words);
        put_header(LOADER, MODE, 5);
        today.spi_mode = (uint8_t)mode;
        assert_int_equal(check(), SR_PREFLIGHT_FLASH_MODE);
    }
}

/* Major and minor number of what is, and of what is wanted. */
static void revisions_are_told_by_two_numbers(void **state)
{
    (void)state;
    static const struct {
        uint16_t is, minimum, maximum;
        const char *words;
    } cases[] = {
        {199, 299, 0, "Bootloader needs at least revision v2.99 of the chip, this one is v1.99"},
        {200, 201, 0, "Bootloader needs at least revision v2.1 of the chip, this one is v2.0"},
        {299, 0, 199, "Bootloader runs up to revision v1.99 of the chip, this one is v2.99"},
        {301, 0, 300, "Bootloader runs up to revision v3.0 of the chip, this one is v3.1"},
        {199, 199, 199, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        result.chip_revision = cases[i].is;
        put_revision(LOADER, MIN_REVISION, cases[i].minimum);
        put_revision(LOADER, MAX_REVISION, cases[i].maximum);
        if (cases[i].words != NULL) {
            expect_only_refusal(SR_PREFLIGHT_REVISION, cases[i].words);
        } else {
            expect_ok();
        }
    }
    uint32_t broken = LOADER;
    result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_REVISION);
    reader = (sr_reader_t){.context = &broken, .read = failing_read, .size = FLASH_SIZE};
    expect_refusal(SR_PREFLIGHT_REVISION, "Bootloader's demand on the revision v1.99 of the chip cannot be read");
    result.chip_revision = 201;
    expect_refusal(SR_PREFLIGHT_REVISION, "Bootloader's demand on the revision v2.1 of the chip cannot be read");
}

/* What is no image at all is told by the other checks; of what is one, each demand has to be read. */
static void demands_of_what_is_no_image_are_none(void **state)
{
    (void)state;
    static const uint32_t images[] = {LOADER, SLOT(0)};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t broken = UINT32_MAX;
        const sr_chip_efuses_t efuses = {.bootloader_version = i == 0, .secure_version = i == 1};
        set_up(state);
        result.efuses = &efuses;
        result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_VERSION);
        reader = (sr_reader_t){.context = &broken, .read = failing_read, .size = FLASH_SIZE};
        assert_int_equal(check(), SR_PREFLIGHT_VERSION); /* Of versions 0. */
        broken = images[i] + DEMANDS + 1;
        expect_refusal(SR_PREFLIGHT_VERSION, i == 0 ? "Bootloader's demands on the eFuses cannot be read"
                                                    : "App's demands on the eFuses cannot be read");
        flash[images[i] + 1] = 0; /* No segments. */
        expect_ok();
        broken = UINT32_MAX;
        memset(flash + SLOT(1), 0xFF, 0x1000);
        flash[images[i]] = 0;
        expect_ok();
        set_up(state);
        result.efuses = &efuses;
        result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_VERSION);
        flash[TABLE + 32 + 12] ^= 1; /* Without a good table nobody knows the app. */
        assert_int_equal(check(), i == 0 ? SR_PREFLIGHT_VERSION : 0);
    }
}

/* Not known, not there, or any: none of them refuses an app. */
static void revisions_of_the_block_count_where_there_are_such(void **state)
{
    (void)state;
    static const struct {
        const char *chip;
        uint16_t is, minimum, maximum;
        bool good;
    } cases[] = {
        {"esp32c3", 103, 104, 0, false},      {"esp32c3", 103, 103, 0, true},
        {"esp32c3", 103, 0, 102, false},      {"esp32c3", 103, 0, 103, true},
        {"esp32c3", UINT16_MAX, 0, 10, true}, {"esp32c3", UINT16_MAX, 104, 0, true},
        {"esp32c3", 0, UINT16_MAX, 0, true},  {"esp32", 103, 104, 0, true},
        {"esp32", 103, 0, 102, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sr_chip_efuses_t efuses = {.block_revision = cases[i].is};
        set_up(state);
        memset(flash, 0xFF, TABLE);
        result.chip = sr_chip_by_name(cases[i].chip);
        result.efuses = &efuses;
        result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_REVISION);
        put_app(SLOT(0));
        put16(SLOT(0), DEMANDS + 176, cases[i].minimum);
        put16(SLOT(0), DEMANDS + 178, cases[i].maximum);
        assert_int_equal(check(), cases[i].good ? 0 : SR_PREFLIGHT_REVISION);
    }
}

/* An app without descriptor is taken by bootloaders that do not look for one: they have not the text of those that do.
 */
static void a_bootloader_tells_that_it_compares_the_block(void **state)
{
    (void)state;
    static const char *const says[] = {"efuse blk rev", "efuse blk rev >=", "efuse blk reV", "fuse blk rev"};
    const sr_chip_efuses_t efuses = {.block_revision = 103};
    size_t length;
    memset(flash, 0xFF, TABLE);
    result.chip = sr_chip_by_name("esp32c3");
    result.efuses = &efuses;
    result.skip = SKIP_ALL_BUT(SR_PREFLIGHT_REVISION);
    put_app(SLOT(0));
    put16(SLOT(0), DEMANDS, 0);
    put16(SLOT(0), DEMANDS + 176, 104);
    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        assert_int_equal(dummy_image_bootloader(result.chip, 2, flash, 0x7000, &length), IMAGE_WRITE_OK);
        memcpy(flash + TEXT, says[i], strlen(says[i]));
        assert_int_equal(check(), i < 2 ? SR_PREFLIGHT_REVISION : 0);
    }
}

/** Leaves a text wherever a buffer that is not filled may lie next. */
static void write_over_the_stack(void)
{
    static const char says[] = "efuse blk rev";
    volatile char bytes[4096];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = says[i % strlen(says)];
    }
}

static void only_its_own_bytes_tell_of_a_bootloader(void **state)
{
    (void)state;
    static sr_preflight_work_t work;
    work = (sr_preflight_work_t){.request = &result, .bootloader = {.image = {.length = loader_length()}}};
    write_over_the_stack();
    assert_true(sr_preflight_find_traits(&work));
    assert_int_equal(work.traits, 0);
}

/* With all that can be asked of a bootloader. */
static void no_read_of_a_plain_chip_may_fail(void **state)
{
    (void)state;
    static const char says[] = "esp_flash_encrypt_region bad src_addr";
    put_bytes(LOADER, TEXT, says, sizeof(says));
    result.is_plain = true;
    for (uint32_t skip = 0; skip <= SR_PREFLIGHT_BOOTLOADER; skip++) {
        result.skip = skip;
        memory.fail_read = 0;
        memory.reads = 0;
        expect_ok();
        const unsigned reads = memory.reads;
        for (unsigned number = 1; number <= reads; number += number < 60 || number + 60 > reads ? 1 : 7) {
            memory.reads = 0;
            memory.fail_read = number;
            assert_int_not_equal(check(), 0);
        }
    }
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_partition_is_one_of_them),
        TEST(what_the_bootloader_does_not_see_is_not_checked),
        TEST(only_apps_are_new_apps),
        TEST(an_app_may_have_16_mib),
        TEST(an_app_that_follows_has_a_good_header),
        TEST(an_app_alone_is_not_asked_for_its_bootloader),
        TEST(a_bootloader_tells_that_it_wants_an_encrypted_chip),
        TEST(a_bootloader_that_encrypts_goes_by_whole_sectors),
        TEST(a_size_is_named_by_a_whole_text),
        TEST(a_bootloader_that_names_others_knows_no_more),
        TEST(sizes_that_all_bootloaders_know_need_no_name),
        TEST(modes_past_the_last_one_are_not_known),
        TEST(revisions_are_told_by_two_numbers),
        TEST(demands_of_what_is_no_image_are_none),
        TEST(revisions_of_the_block_count_where_there_are_such),
        TEST(a_bootloader_tells_that_it_compares_the_block),
        TEST(only_its_own_bytes_tell_of_a_bootloader),
        TEST(no_read_of_a_plain_chip_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
