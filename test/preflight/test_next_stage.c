// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the next boot stage will check: for each rule and each side of its limit, the verdict of the component's check
 * and what the boot model does. The two share the parsers and the chip's row, and no code for the rules.
 */
#include "format/sr_bytes.h"
#include "make/dummy_image.h"
#include "preflight/sr_preflight.h"
#include "sim/boot/boot_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/support_reader.h"

#define FLASH_SIZE (32u << 20)
#define TABLE      0x8000u
#define OTADATA    0xE000u
#define APP        0x10000u
#define SIXTEEN    0x1000000u
#define DESC       32u // of the first segment's data, from the start of an image
#define SECURE     4u  // in an app's descriptor
#define MIN_BLOCK  176u
#define MAX_BLOCK  178u

static uint8_t *flash;
static const sr_chip_t *chip;
static uint32_t app_at, otadata_at;
static sr_chip_efuses_t efuses;
static uint16_t revision;
static char text[200];
static boot_result_t booted;

/** By words: for each of thousands of images. @param length A multiple of a word, as that of a segment is. */
static uint8_t xor_of(const uint8_t *bytes, uint32_t length)
{
    uint32_t all = 0;
    for (const uint8_t *at = bytes; at < bytes + length; at += sizeof(all)) {
        uint32_t word;
        memcpy(&word, at, sizeof(word));
        all ^= word;
    }
    return (uint8_t)(all ^ all >> 8 ^ all >> 16 ^ all >> 24);
}

/** Makes checksum and digest right after a change. */
static void renew(uint32_t address)
{
    sr_image_t image;
    memory_t window;
    const sr_reader_t reader = memory_reader(&window, flash + address, FLASH_SIZE - address);
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    uint8_t sum = 0xEF;
    for (unsigned i = 0; i < image.segment_count; i++) {
        sum ^= xor_of(flash + address + image.segments[i].data_offset, image.segments[i].length);
    }
    flash[address + image.checksum_offset] = sum;
    if (image.hash_appended) {
        const uint32_t hashed = image.length - SR_SHA256_SIZE;
        library_digest(PSA_ALG_SHA_256, flash + address, hashed, flash + address + hashed);
    }
}

static void put(uint32_t image, uint32_t offset, const void *bytes, size_t length)
{
    memcpy(flash + image + offset, bytes, length);
    renew(image);
}

static void put16(uint32_t image, uint32_t offset, unsigned value)
{
    const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8)};
    put(image, offset, bytes, sizeof(bytes));
}

static void put_table(uint32_t data_end)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, otadata_at, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, 0x10, app_at, 0x100000, 0, "ota_0"},
        {SR_PARTITION_TYPE_DATA, 0x82, data_end - 0x10000, 0x10000, 0, "files"},
    };
    assert_int_equal(image_write_partition_table(entries, 3, flash + TABLE), IMAGE_WRITE_OK);
}

/** A flash that boots on this chip: one app in ota_0, its otadata, and 2 MB in the bootloader's header. */
static void make(const sr_chip_t *of, uint32_t app, uint32_t otadata)
{
    size_t length;
    const dummy_image_app_t spec = {
        .chip = of, .spi_size = 1, .project_name = "app", .version = "1", .code_size = 0x1000};
    chip = of;
    app_at = app;
    otadata_at = otadata;
    efuses = (sr_chip_efuses_t){0};
    revision = 301;
    memset(flash, 0xFF, APP);
    memset(flash + app, 0xFF, 0x40000);
    memset(flash + otadata, 0xFF, 0x2000);
    assert_int_equal(dummy_image_bootloader(of, 1, flash + of->bootloader_offset, 0x6000, &length), IMAGE_WRITE_OK);
    assert_int_equal(dummy_image_app(&spec, flash + app, 0x100000, &length), IMAGE_WRITE_OK);
    image_write_otadata(1, SR_OTA_VALID, flash + otadata);
    put_table(0x200000);
}

static int set_up(void **state)
{
    (void)state;
    flash = malloc(FLASH_SIZE);
    assert_non_null(flash);
    memset(flash, 0xFF, FLASH_SIZE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(flash);
    return 0;
}

/** The component's verdict: the bit of the check that refuses, or 0. */
static uint32_t verdict(bool app_follows)
{
    memory_t memory;
    const sr_reader_t reader = memory_reader(&memory, flash, FLASH_SIZE);
    sr_chip_efuses_t read = efuses;
    read.block_revision = chip->image_chip_id == 0 ? UINT16_MAX : efuses.block_revision;
    read.bootloader_version = boot_rom_knows_version(&(boot_chip_t){.chip = chip}) ? efuses.bootloader_version : 0;
    const sr_preflight_t result = {.flash = &reader,
                                   .chip = chip,
                                   .chip_revision = revision,
                                   .efuses = &read,
                                   .table_offset = TABLE,
                                   .app_follows = app_follows};
    void *workspace = malloc(sr_preflight_workspace_size());
    assert_non_null(workspace);
    const uint32_t failed = sr_preflight_check(&result, workspace, text, sizeof(text));
    free(workspace);
    return failed;
}

static bool boots(void)
{
    const boot_chip_t what = {.chip = chip, .revision = revision, .efuses = efuses};
    boot_run(&what, flash, FLASH_SIZE, NULL, NULL, &booted);
    return booted.outcome == BOOT_BOOTS && booted.app_offset == app_at;
}

/** Both say the same; @p bit is the check that refuses, if they say no. */
static void expect(bool good, uint32_t bit)
{
    const uint32_t failed = verdict(false);
    const bool model = boots();
    if (failed != (good ? 0 : bit) || model != good) {
        fail_msg("%s, should be %s: component 0x%x (%s), boot model %s (%s)", chip->name, good ? "good" : "refused",
                 failed, text, boot_outcome_name(booted.outcome), booted.reason);
    }
}

/** Both verdicts, also when only the start of the app is available, as over HTTP before the first erase. */
static void expect_early(bool good, uint32_t bit)
{
    expect(good, bit);
    assert_int_equal(verdict(true), good ? 0 : bit);
}

static void flash_sizes(void **state)
{
    (void)state;
    enum { SILENT, OTHERS, NAMED };
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        for (uint8_t code = 0; code < 16; code++) {
            for (unsigned says = SILENT; says <= NAMED; says++) {
                make(sr_chip_at(i), APP, OTADATA);
                const uint32_t loader = chip->bootloader_offset;
                const uint8_t byte = (uint8_t)((flash[loader + 3] & 0x0F) | code << 4);
                put(loader, 3, &byte, 1);
                if (says != SILENT) {
                    put(loader, 0x200, "16MB", 5);
                }
                if (says == NAMED && code < 8) {
                    put(loader, 0x300, sr_chip_size_name(code), strlen(sr_chip_size_name(code)) + 1);
                }
                // A code that is not known counts as 2 MB. Sizes below that do not hold this table.
                const uint32_t end = code < 8 && code > 1 ? 0x100000u << code : 0x200000u;
                put_table(end);
                const bool large = strcmp(chip->name, "esp32s2") == 0 || strcmp(chip->name, "esp32s3") == 0;
                const bool known = code <= 4 || code > 7 || says == NAMED || (says == SILENT && large);
                expect(known && code != 0, SR_PREFLIGHT_FLASH_SIZE);
            }
        }
    }
}

static void chip_revisions(void **state)
{
    (void)state;
    static const struct {
        uint16_t minimum, maximum;
        bool ignored, good;
    } cases[] = {
        {0, 0, false, true},     {301, 0, false, true},     {302, 0, false, false},  {0, 301, false, true},
        {0, 300, false, false},  {0, 300, true, true},      {302, 400, true, false}, {0, 0xFFFF, false, true},
        {301, 301, false, true}, {0xFFFF, 0, false, false},
    };
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
            make(sr_chip_at(i), APP, OTADATA);
            efuses.ignores_max_revision = cases[k].ignored;
            put16(app_at, 15, cases[k].minimum);
            put16(app_at, 17, cases[k].maximum);
            expect_early(cases[k].good, SR_PREFLIGHT_REVISION);
        }
    }
}

/* The one place where the component asks for more: no stage checks the maximum of a bootloader, but it was not made for
 * this chip. */
static void chip_revisions_of_a_bootloader(void **state)
{
    (void)state;
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        make(sr_chip_at(i), APP, OTADATA);
        put16(chip->bootloader_offset, 15, 301);
        expect_early(true, 0);
        put16(chip->bootloader_offset, 15, 302);
        expect_early(false, SR_PREFLIGHT_REVISION);
        put16(chip->bootloader_offset, 15, 0);
        put16(chip->bootloader_offset, 17, 300);
        assert_int_equal(verdict(false), SR_PREFLIGHT_REVISION);
        assert_true(boots());
        efuses.ignores_max_revision = true;
        expect_early(true, 0);
    }
}

static void block_revisions(void **state)
{
    (void)state;
    static const struct {
        uint16_t minimum, maximum;
        bool ignored, good;
    } cases[] = {
        {0, 0, false, true},           {103, 0, false, true},   {104, 0, false, false},
        {0xFFFF, 0xFFFF, false, true}, {0, 103, false, true},   {0, 102, false, false},
        {0, 102, true, true},          {104, 110, true, false}, {100, 199, false, true},
    };
    enum { DESCRIPTOR, NONE, NONE_BUT_CHECKED, VARIANTS };
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]) * VARIANTS; k++) {
            const unsigned variant = k % VARIANTS;
            make(sr_chip_at(i), APP, OTADATA);
            efuses.block_revision = 103;
            efuses.ignores_max_block = cases[k / VARIANTS].ignored;
            put16(app_at, DESC + MIN_BLOCK, cases[k / VARIANTS].minimum);
            put16(app_at, DESC + MAX_BLOCK, cases[k / VARIANTS].maximum);
            if (variant != DESCRIPTOR) {
                put16(app_at, DESC, 0);
            }
            if (variant == NONE_BUT_CHECKED) {
                static const char message[] = "Image requires efuse blk rev >= v%";
                put(chip->bootloader_offset, 0x200, message, sizeof(message));
            }
            // The ESP32 has no such field; and a bootloader that does not check it takes an app without descriptor.
            const bool good = cases[k / VARIANTS].good || chip->image_chip_id == 0 || variant == NONE;
            expect_early(good, SR_PREFLIGHT_REVISION);
        }
    }
}

static void secure_versions_of_apps(void **state)
{
    (void)state;
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        for (uint8_t burnt = 0; burnt < 4; burnt++) {
            for (uint8_t version = 0; version < 4; version++) {
                make(sr_chip_at(i), APP, OTADATA);
                efuses.secure_version = burnt;
                put(app_at, DESC + SECURE, &version, 1);
                expect_early(version >= burnt, SR_PREFLIGHT_VERSION);
            }
            put16(app_at, DESC, 0); // no descriptor, no version
            expect_early(burnt == 0, SR_PREFLIGHT_VERSION);
        }
    }
}

static void secure_versions_of_bootloaders(void **state)
{
    (void)state;
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        for (uint8_t burnt = 0; burnt < 5; burnt++) {
            for (uint8_t version = 0; version < 5; version++) {
                make(sr_chip_at(i), APP, OTADATA);
                const bool looks = strcmp(chip->name, "esp32c5") == 0 || strcmp(chip->name, "esp32c61") == 0;
                efuses.bootloader_version = burnt;
                put(chip->bootloader_offset, DESC + 3, &version, 1);
                expect_early(version >= burnt || !looks, SR_PREFLIGHT_VERSION);
                put16(chip->bootloader_offset, DESC, 0); // of a bootloader before v5.2
                expect_early(burnt == 0 || !looks, SR_PREFLIGHT_VERSION);
            }
        }
    }
}

static void apps_past_16_mib(void **state)
{
    (void)state;
    static const struct {
        uint32_t app, otadata;
        bool past;
    } cases[] = {
        {APP, OTADATA, false},
        {SIXTEEN - 0x100000, OTADATA, false},
        {SIXTEEN - 0x10000, OTADATA, true}, // ends past it
        {SIXTEEN, OTADATA, true},
        {SIXTEEN + 0x10000, OTADATA, true},
        {APP, SIXTEEN - 0x2000, false},
        {APP, SIXTEEN - 0x1000, true},
        {APP, SIXTEEN, true},
    };
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
            make(sr_chip_at(i), cases[k].app, cases[k].otadata);
            const uint8_t byte = (uint8_t)((flash[chip->bootloader_offset + 3] & 0x0F) | 5 << 4);
            put(chip->bootloader_offset, 3, &byte, 1);
            put(chip->bootloader_offset, 0x200, "32MB", 5);
            put_table(0x1800000);
            // SOC_SPI_MEM_SUPPORT_CACHE_32BIT_ADDR_MAP
            static const char *const able[] = {"esp32s3", "esp32p4", "esp32c5", "esp32c61"};
            bool maps = false;
            for (unsigned n = 0; n < 4; n++) {
                maps |= strcmp(chip->name, able[n]) == 0;
            }
            expect(!cases[k].past || maps, SR_PREFLIGHT_APP);
        }
    }
}

/* What is not known refuses nothing. */
static void nothing_known(void **state)
{
    (void)state;
    make(sr_chip_by_name("esp32c3"), APP, OTADATA);
    put16(app_at, 15, 999);
    put16(app_at, DESC + MIN_BLOCK, 999);
    efuses = (sr_chip_efuses_t){0};
    revision = 0;
    assert_true(boots());
    memory_t memory;
    const sr_reader_t reader = memory_reader(&memory, flash, FLASH_SIZE);
    const sr_preflight_t result = {.flash = &reader, .chip = chip, .chip_revision = UINT16_MAX, .table_offset = TABLE};
    void *workspace = malloc(sr_preflight_workspace_size());
    assert_non_null(workspace);
    assert_int_equal(sr_preflight_check(&result, workspace, text, sizeof(text)), 0);
    free(workspace);
}

/* Of revision and eFuses each may be known without the other. */
static void what_is_known_counts(void **state)
{
    (void)state;
    static const struct {
        bool knows_revision, knows_efuses, high_revision, high_block;
        uint32_t expected;
    } cases[] = {
        {true, true, false, false, 0},
        {true, true, true, false, SR_PREFLIGHT_REVISION},
        {true, true, false, true, SR_PREFLIGHT_REVISION},
        {true, false, true, false, SR_PREFLIGHT_REVISION},
        {true, false, false, true, 0},
        {false, true, true, false, 0},
        {false, true, false, true, SR_PREFLIGHT_REVISION},
        {false, false, true, true, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make(sr_chip_by_name("esp32c3"), APP, OTADATA);
        put16(app_at, 15, cases[i].high_revision ? 999 : 0);
        put16(app_at, DESC + MIN_BLOCK, cases[i].high_block ? 999 : 0);
        memory_t memory;
        const sr_chip_efuses_t known = {.block_revision = 3};
        const sr_reader_t reader = memory_reader(&memory, flash, FLASH_SIZE);
        const sr_preflight_t result = {.flash = &reader,
                                       .chip = chip,
                                       .chip_revision = cases[i].knows_revision ? 3 : UINT16_MAX,
                                       .efuses = cases[i].knows_efuses ? &known : NULL,
                                       .table_offset = TABLE};
        void *workspace = malloc(sr_preflight_workspace_size());
        assert_non_null(workspace);
        assert_int_equal(sr_preflight_check(&result, workspace, text, sizeof(text)), cases[i].expected);
        free(workspace);
    }
}

/* A demand that cannot be read does not count as met. */
static void every_read_that_fails(void **state)
{
    (void)state;
    make(sr_chip_by_name("esp32c61"), APP, OTADATA);
    efuses.secure_version = 1;
    efuses.bootloader_version = 1;
    put(app_at, DESC + SECURE, "\1", 1);
    put(chip->bootloader_offset, DESC + 3, "\1", 1);
    assert_int_equal(verdict(false), 0);
    memory_t memory;
    const sr_reader_t reader = memory_reader(&memory, flash, FLASH_SIZE);
    const sr_preflight_t result = {.flash = &reader,
                                   .chip = chip,
                                   .chip_revision = revision,
                                   .efuses = &efuses,
                                   .table_offset = TABLE,
                                   .skip = ~(uint32_t)(SR_PREFLIGHT_REVISION | SR_PREFLIGHT_VERSION)};
    void *workspace = malloc(sr_preflight_workspace_size());
    assert_non_null(workspace);
    assert_int_equal(sr_preflight_check(&result, workspace, text, sizeof(text)), 0);
    const unsigned reads = memory.reads;
    for (unsigned i = 1; i <= reads; i++) {
        memory.reads = 0;
        memory.fail_read = i;
        assert_int_not_equal(sr_preflight_check(&result, workspace, text, sizeof(text)), 0);
        assert_true(strlen(text) > 20);
    }
    free(workspace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flash_sizes),
        cmocka_unit_test(chip_revisions),
        cmocka_unit_test(chip_revisions_of_a_bootloader),
        cmocka_unit_test(block_revisions),
        cmocka_unit_test(secure_versions_of_apps),
        cmocka_unit_test(secure_versions_of_bootloaders),
        cmocka_unit_test(apps_past_16_mib),
        cmocka_unit_test(nothing_known),
        cmocka_unit_test(what_is_known_counts),
        cmocka_unit_test(every_read_that_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
