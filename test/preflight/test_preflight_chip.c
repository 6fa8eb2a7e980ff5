// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is asked of the chip itself before a flash is written: is the bundle meant for it, does it boot the result by
 * what its driver, its bootloader of today and its Secure Boot tell.
 */
#include "format/sr_secure_boot_v1.h"
#include "preflight/sr_admit.h"
#include "preflight/sr_preflight_chip.h"
#include "preflight/sr_preflight_signature.h"
#include "preflight/sr_text.h"

#include "make/dummy_image.h"
#include "make/signature_block.h"
#include "sim/chip/sim_chip.h"

#include "esp_flash.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "test/support/support_reader.h"

#define FLASH_SIZE   (4u << 20)
#define LOADER       0x1000u
#define LOADER_ROOM  0x7000u
#define TABLE        0x8000u
#define OTADATA      0xE000u
#define APP          0x10000u
#define APP_ROOM     0x100000u
#define STANDS_IN    0x300000u /**< A recovery bootloader. */
#define MODE         2u        /**< Offsets in the image header. */
#define SPEED_SIZE   3u
#define MIN_REVISION 15u
#define QIO          0u
#define DIO          2u

static nor_flash_t *flash;
static uint8_t *before; /**< What it holds. */
static uint8_t result[FLASH_SIZE];
static memory_t memory;
static sr_system_t today;
static char text[256];

/** What the flash driver tells of the chip; 0: it fails. */
static uint32_t physical_size;

esp_err_t __wrap_esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *size);
esp_err_t __wrap_esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *size)
{
    (void)chip;
    *size = physical_size;
    return physical_size != 0 ? ESP_OK : ESP_ERR_NOT_SUPPORTED;
}

static sr_image_t parse(const uint8_t *bytes, uint32_t room)
{
    sr_image_t image;
    memory_t window;
    const sr_reader_t reader = memory_reader(&window, bytes, room);
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    return image;
}

/** Changes a byte of the header, and makes the digest right again. */
static void put_header(uint8_t *image, uint32_t offset, uint8_t value)
{
    image[offset] = value;
    const uint32_t hashed = parse(image, LOADER_ROOM).length - SR_SHA256_SIZE;
    library_digest(PSA_ALG_SHA_256, image, hashed, image + hashed);
}

static void put_system(uint8_t *bytes)
{
    const sr_chip_t *chip = sr_chip_by_name("esp32");
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, 0x10, APP, APP_ROOM, 0, "ota_0"},
    };
    const dummy_image_app_t spec = {
        .chip = chip, .spi_size = 2, .project_name = "app", .version = "1", .code_size = 0x1000};
    size_t length;
    memset(bytes, 0xFF, FLASH_SIZE);
    assert_int_equal(dummy_image_bootloader(chip, 2, bytes + LOADER, LOADER_ROOM, &length), IMAGE_WRITE_OK);
    assert_int_equal(image_write_partition_table(entries, 2, bytes + TABLE), IMAGE_WRITE_OK);
    image_write_otadata(1, SR_OTA_VALID, bytes + OTADATA);
    assert_int_equal(dummy_image_app(&spec, bytes + APP, APP_ROOM, &length), IMAGE_WRITE_OK);
}

/** A chip of revision v3.0, and a flash as it will be that is the one that it has. */
static int setup(void **state)
{
    (void)state;
    flash = nor_flash_new(FLASH_SIZE, nor_timing_find(NULL));
    assert_non_null(flash);
    before = nor_flash_bytes(flash);
    put_system(before);
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32"), .revision = 300}, .flash = flash, .running_app = APP, .quiet = true};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_system_read(&today), ESP_OK);
    memcpy(result, before, FLASH_SIZE);
    physical_size = FLASH_SIZE;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_chip_detach();
    nor_flash_delete(flash);
    return 0;
}

static sr_preflight_chip_t make_verdict(uint32_t table)
{
    static alignas(max_align_t) uint8_t workspace[SR_SECTOR_SIZE];
    memset(text, 0, sizeof(text));
    return (sr_preflight_chip_t){.system = &today,
                                 .flash = memory_reader(&memory, result, FLASH_SIZE),
                                 .table_offset = table,
                                 .workspace = workspace};
}

static uint32_t check(void)
{
    uint32_t failed = UINT32_MAX;
    const sr_preflight_chip_t verdict = make_verdict(TABLE);
    assert_int_equal(sr_preflight_chip_check(&verdict, 0, false, false, &failed, text, sizeof(text)), ESP_OK);
    return failed;
}

static void a_bundle_is_for_this_chip_its_flash_and_this_app(void **state)
{
    (void)state;
    static const struct {
        sr_bundle_t bundle;
        esp_self_reflasher_refusal_t refusal;
        const char *words;
    } cases[] = {
        {{.chip_id = 0, .min_chip_revision = 300, .min_flash_size = FLASH_SIZE, .sequence = 7},
         ESP_SELF_REFLASHER_REFUSED_NOT,
         ""},
        {{.chip_id = 5, .sequence = 7},
         ESP_SELF_REFLASHER_REFUSED_CHIP,
         "bundle is for chip id 5, this is esp32 with id 0"},
        {{.min_chip_revision = 301, .sequence = 7},
         ESP_SELF_REFLASHER_REFUSED_CHIP,
         "bundle is for chip revision v3.1 or later, this one is v3.0"},
        {{.min_flash_size = FLASH_SIZE + 1, .sequence = 7},
         ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE,
         "bundle needs 4194305 bytes of flash, and 4194304 can be used here"},
        {{.sequence = 6},
         ESP_SELF_REFLASHER_REFUSED_SEQUENCE,
         "bundle has sequence number 6, this app takes 7 or later"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(text, 0, sizeof(text));
        assert_int_equal(sr_admit(&cases[i].bundle, &today, 7, text, sizeof(text)), cases[i].refusal);
        assert_string_equal(text, cases[i].words);
    }
}

/* The header of the bootloader says 8 MiB. */
static void the_driver_tells_how_large_the_flash_is(void **state)
{
    (void)state;
    put_header(result + LOADER, SPEED_SIZE, 0x30);
    physical_size = FLASH_SIZE;
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_SIZE);
    physical_size = 2 * FLASH_SIZE;
    assert_int_equal(check(), 0);
    physical_size = 0; /* One that does not tell has at least what is used. */
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_SIZE);
    today.flash.size = 2 * FLASH_SIZE;
    assert_int_equal(check(), 0);
}

/* It is that of today, or the one that stands in for it; one that is not intact tells nothing. */
static void the_bootloader_that_started_the_chip_tells_which_mode_works(void **state)
{
    (void)state;
    put_header(before + LOADER, MODE, DIO);
    put_header(result + LOADER, MODE, QIO);
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_MODE);
    memcpy(before + STANDS_IN, result + LOADER, LOADER_ROOM);
    today.boot_path.recovery = (sr_region_t){STANDS_IN, LOADER_ROOM};
    assert_int_equal(check(), 0);
    put_header(before + STANDS_IN, MODE, DIO);
    put_header(before + LOADER, MODE, QIO);
    assert_int_equal(check(), SR_PREFLIGHT_FLASH_MODE);
    before[STANDS_IN + 0x100] ^= 1;
    assert_int_equal(check(), 0);
    before[STANDS_IN] ^= 1;
    assert_int_equal(check(), 0);
}

static void the_revision_is_that_of_the_chip(void **state)
{
    (void)state;
    put_header(result + LOADER, MIN_REVISION, 300 & 0xFF);
    put_header(result + LOADER, MIN_REVISION + 1, 300 >> 8);
    assert_int_equal(check(), 0);
    put_header(result + LOADER, MIN_REVISION, 301 & 0xFF);
    assert_int_equal(check(), SR_PREFLIGHT_REVISION);
}

/** Appends a block of Secure Boot V2 by key number 1 to an image of the result. */
static void sign(uint32_t address, uint32_t room)
{
    static uint8_t copy[APP_ROOM];
    size_t length = parse(result + address, room).length;
    memcpy(copy, result + address, length);
    assert_int_equal(signature_block_append(copy, &length, room, &(signature_block_t){.key = 1}, 1), IMAGE_WRITE_OK);
    memcpy(result + address, copy, length);
}

static bool check_signatures(bool app_follows, bool app_alone, uint32_t table)
{
    const sr_preflight_chip_t verdict = make_verdict(table);
    return sr_preflight_chip_check_signatures(&verdict, app_follows, app_alone, text, sizeof(text));
}

#define NO_BLOCK " carries no signature block"

static void what_will_start_is_signed(void **state)
{
    static const struct {
        bool loader, app; /* Which of them is. */
        bool app_alone, no_table;
        const char *words; /* NULL: it passes. */
    } cases[] = {
        {true, true, false, false, NULL},
        {false, true, false, false, "Secure Boot V2 is on, and the bootloader at 0x1000" NO_BLOCK},
        {true, false, false, false, "Secure Boot V2 is on, and the app at 0x10000" NO_BLOCK},
        {false, true, true, false, NULL},
        {false, false, true, false, "Secure Boot V2 is on, and the app at 0x10000" NO_BLOCK},
        {true, false, false, true, NULL},
        {false, false, false, true, "Secure Boot V2 is on, and the bootloader at 0x1000" NO_BLOCK},
        {false, false, true, true, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t table = cases[i].no_table ? UINT32_MAX : TABLE;
        put_system(result);
        if (cases[i].loader) {
            sign(LOADER, LOADER_ROOM);
        }
        if (cases[i].app) {
            sign(APP, APP_ROOM);
        }
        today.secure_boot = SR_IMAGE_SECURE_BOOT_V2;
        assert_int_equal(check_signatures(false, cases[i].app_alone, table), cases[i].words == NULL);
        assert_string_equal(text, cases[i].words != NULL ? cases[i].words : "");
        today.secure_boot = SR_IMAGE_SECURE_BOOT_OFF;
        assert_true(check_signatures(false, cases[i].app_alone, table));
    }
    (void)state;
}

/* An app that is not there yet is not compared with its block. */
static void the_signature_is_by_a_key_of_the_chip(void **state)
{
    (void)state;
    sign(LOADER, LOADER_ROOM);
    sign(APP, APP_ROOM);
    today.secure_boot = SR_IMAGE_SECURE_BOOT_V2;
    today.keys = (sr_secure_boot_keys_t){.count = 1, .digest_size = SR_SHA256_SIZE, .list = {{.burnt = true}}};
    assert_false(check_signatures(false, false, TABLE));
    assert_non_null(strstr(text, "the bootloader at 0x1000 is signed with a key that is not in the eFuses"));
    assert_true(signature_block_key(&(signature_block_t){.key = 1}, today.keys.list[0].digest));
    assert_true(check_signatures(false, false, TABLE));
    result[APP + 0x200] ^= 1;
    assert_true(check_signatures(true, false, TABLE));
    assert_false(check_signatures(false, false, TABLE));
    assert_non_null(strstr(text, "the app at 0x10000 carries the signature block of another image"));
}

/* Not even one that fails while it is looked for which app will start. */
static void no_read_of_what_is_signed_may_fail(void **state)
{
    (void)state;
    sign(LOADER, LOADER_ROOM);
    sign(APP, APP_ROOM);
    today.secure_boot = SR_IMAGE_SECURE_BOOT_V2;
    assert_true(check_signatures(false, false, TABLE));
    const unsigned reads = memory.reads;
    assert_in_range(reads, 10, 200);
    for (unsigned i = 1; i <= reads; i++) {
        const sr_preflight_chip_t verdict = make_verdict(TABLE);
        memory.fail_read = i;
        assert_false(sr_preflight_chip_check_signatures(&verdict, false, false, text, sizeof(text)));
    }
    result[TABLE] ^= 1; /* And nobody knows which app that is. */
    assert_false(check_signatures(false, false, TABLE));
}

static void with_version_1_bootloader_and_digest_go_together(void **state)
{
    (void)state;
    today.secure_boot = SR_IMAGE_SECURE_BOOT_V1;
    memset(before, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    before[0] = 0x12;
    memcpy(result, before, FLASH_SIZE);
    assert_true(check_signatures(false, false, UINT32_MAX));
    assert_string_equal(text, "");
    put_header(result + LOADER, MODE, QIO + 1);
    assert_false(check_signatures(false, false, UINT32_MAX));
    assert_string_equal(text, "Secure Boot V1 is on: the bootloader would change without its digest at 0x0: bring that "
                              "of this chip's key, or leave both");
    assert_true(check_signatures(false, true, UINT32_MAX));
    result[1] ^= 1;
    assert_true(check_signatures(false, false, UINT32_MAX));
    assert_false(check_signatures(false, false, TABLE));
    assert_string_equal(text, "Secure Boot V1 is on, and the app at 0x10000" NO_BLOCK);
    const uint32_t end = APP + parse(result + APP, APP_ROOM).length;
    memset(result + end, 0, 68);
    result[end + 67] = 1;
    assert_true(check_signatures(false, false, TABLE));
}

/* Keys that cannot be read, and versions that know none, take any block; what is not an image has none. */
static void a_part_is_signed_or_nobody_asks(void **state)
{
    (void)state;
    const sr_reader_t reader = memory_reader(&memory, result, FLASH_SIZE);
    const sr_preflight_signature_part_t app = {"app", {APP, APP_ROOM}, true};
    const sr_secure_boot_keys_t past_the_count = {
        .count = 1, .digest_size = SR_SHA256_SIZE, .list = {{.burnt = false}, {.burnt = true}}};
    const sr_secure_boot_keys_t burnt = {.count = 1, .digest_size = SR_SHA256_SIZE, .list = {{.burnt = true}}};
    sr_secure_boot_result_t told;
    sr_image_t image = parse(result + APP, APP_ROOM);
    assert_true(sr_preflight_signature_check(&reader, &image, SR_IMAGE_SECURE_BOOT_OFF, &burnt, true, &told));
    memset(result + APP + image.length, 1, 68); /* Of version 1. */
    memset(result + APP + image.length, 0, 4);
    assert_true(sr_preflight_signature_check_part(&reader, &app, SR_IMAGE_SECURE_BOOT_V1, &burnt, text, sizeof(text)));
    put_system(result);
    sign(APP, APP_ROOM);
    assert_true(
        sr_preflight_signature_check_part(&reader, &app, SR_IMAGE_SECURE_BOOT_V2, &past_the_count, text, sizeof(text)));
    assert_false(sr_preflight_signature_check_part(&reader, &app, SR_IMAGE_SECURE_BOOT_V2, &burnt, text, sizeof(text)));
    image = parse(result + APP, APP_ROOM);
    const uint32_t block = APP + ((image.length + 0xFFFu) & ~0xFFFu);
    memmove(result + APP, result + block, SR_SECTOR_SIZE); /* A block where an image should begin. */
    assert_false(
        sr_preflight_signature_check_part(&reader, &app, SR_IMAGE_SECURE_BOOT_V2, &past_the_count, text, sizeof(text)));
    assert_string_equal(text, "Secure Boot V2 is on, and the app at 0x10000" NO_BLOCK);
    assert_true(sr_preflight_signature_check_part(&reader, &app, SR_IMAGE_SECURE_BOOT_OFF, &burnt, text, sizeof(text)));
}

/* As many digits as it takes to tell keys from each other, where a key is what is wrong. */
static void keys_are_told_by_their_first_digits(void **state)
{
    (void)state;
    static const struct {
        sr_secure_boot_status_t status;
        const char *words;
    } cases[] = {
        {SR_SECURE_BOOT_NO_BLOCK, "carries no signature block"},
        {SR_SECURE_BOOT_OTHER_IMAGE, "carries the signature block of another image"},
        {SR_SECURE_BOOT_REVOKED_KEY, "is signed with a key that is revoked: 0102030405060708"},
        {SR_SECURE_BOOT_OTHER_KEY, "is signed with a key that is not in the eFuses: 0102030405060708; burnt are "
                                   "1112131415161718, 2122232425262728 (revoked)"},
    };
    sr_secure_boot_keys_t keys = {.count = 2,
                                  .list = {{.burnt = true}, {.burnt = true, .revoked = true}, {.burnt = true}}};
    sr_secure_boot_result_t told = {0};
    for (uint8_t i = 0; i < SR_SHA256_SIZE; i++) {
        told.key_digest[i] = (uint8_t)(i + 1);
        keys.list[0].digest[i] = (uint8_t)(0x11 + i);
        keys.list[1].digest[i] = (uint8_t)(0x21 + i);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char words[SR_PREFLIGHT_SIGNATURE_TEXT_SIZE];
        told.status = cases[i].status;
        assert_ptr_equal(sr_preflight_signature_text(&keys, &told, words), words);
        assert_string_equal(words, cases[i].words);
    }
    keys.list[0].burnt = false;
    assert_string_equal(sr_preflight_signature_text(&keys, &told, text),
                        "is signed with a key that is not in the eFuses: 0102030405060708; burnt are 2122232425262728 "
                        "(revoked)");
}

/* Whatever the room, also for what cannot be formatted. */
static void a_text_grows_up_to_its_room(void **state)
{
    (void)state;
    static const char whole[] = "abc-12345";
    for (size_t size = 1; size < 14; size++) {
        char buffer[16];
        memset(buffer, 'x', sizeof(buffer));
        sr_text_t grown = {.buffer = buffer, .size = size};
        buffer[0] = '\0';
        sr_text_add(&grown, "%s", "abc");
        sr_text_add(&grown, "%s", "");
        sr_text_add(&grown, "-%u", 12345u);
        const size_t fits = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
        assert_int_equal(grown.used, fits);
        assert_memory_equal(buffer, whole, fits);
        assert_int_equal(buffer[fits], '\0');
        assert_int_equal(buffer[size], 'x');
        sr_text_add(&grown, "%lc", (wint_t)0x7FFFFFFF);
        assert_int_equal(grown.used, fits);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bundle_is_for_this_chip_its_flash_and_this_app),
        TEST(the_driver_tells_how_large_the_flash_is),
        TEST(the_bootloader_that_started_the_chip_tells_which_mode_works),
        TEST(the_revision_is_that_of_the_chip),
        TEST(what_will_start_is_signed),
        TEST(the_signature_is_by_a_key_of_the_chip),
        TEST(no_read_of_what_is_signed_may_fail),
        TEST(with_version_1_bootloader_and_digest_go_together),
        TEST(a_part_is_signed_or_nobody_asks),
        cmocka_unit_test(keys_are_told_by_their_first_digits),
        cmocka_unit_test(a_text_grows_up_to_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
