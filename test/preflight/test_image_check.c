// SPDX-License-Identifier: Apache-2.0
#include "journal/sr_verification.h"
#include "preflight/sr_image_check.h"

#include "make/dummy_image.h"
#include "make/signature_block.h"
#include "preflight/sr_preflight_signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/support_reader.h"

#define FLASH_SIZE (4u << 20)

/* A flash with a bootloader, and an image that is about to be copied to it. */
typedef struct fixture {
    const sr_chip_t *chip;
    uint8_t flash[FLASH_SIZE];
    uint8_t image[0x8000];
    size_t image_length;
    memory_t flash_memory, image_memory;
    sr_reader_t flash_reader, image_reader;
    const sr_secure_boot_keys_t *keys; /**< NULL: none is known. */
} fixture_t;

static fixture_t fixture;
static unsigned fail_image_read; /**< As in memory_t. */

static int setup(void **state)
{
    size_t length = 0;
    fixture.chip = sr_chip_by_name("esp32");
    memset(fixture.flash, 0xFF, FLASH_SIZE);
    memset(fixture.image, 0xFF, sizeof(fixture.image));
    assert_int_equal(dummy_image_bootloader(fixture.chip, 2, fixture.flash + 0x1000, 0x7000, &length), IMAGE_WRITE_OK);
    assert_int_equal(
        dummy_image_bootloader(fixture.chip, 2, fixture.image, sizeof(fixture.image), &fixture.image_length),
        IMAGE_WRITE_OK);
    *state = &fixture;
    return 0;
}

static sr_image_check_status_t check(sr_region_t destination, uint32_t length, bool secure_boot,
                                     sr_image_check_detail_t *detail)
{
    fixture.flash_reader = memory_reader(&fixture.flash_memory, fixture.flash, FLASH_SIZE);
    fixture.image_reader = memory_reader(&fixture.image_memory, fixture.image, length);
    fixture.image_memory.fail_read = fail_image_read;
    static const sr_secure_boot_keys_t unknown = {.count = 1, .digest_size = SR_SHA256_SIZE};
    const sr_image_check_t what = {.flash = &fixture.flash_reader,
                                   .image = &fixture.image_reader,
                                   .destination = destination,
                                   .chip = fixture.chip,
                                   .bootloader = {0x1000, 0x6000},
                                   .secure_boot = secure_boot,
                                   .keys = fixture.keys != NULL ? fixture.keys : &unknown};
    return sr_image_check_image(&what, detail);
}

static sr_image_check_status_t check_bootloader(void)
{
    sr_image_check_detail_t detail;
    return check((sr_region_t){0x1000, 0x7000}, (uint32_t)fixture.image_length, false, &detail);
}

static void an_intact_bootloader_passes(void **state)
{
    (void)state;
    assert_int_equal(check_bootloader(), SR_IMAGE_CHECK_OK);
}

static void what_is_no_bootloader_is_told_by_its_fault(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    const sr_region_t place = {0x1000, 0x7000};

    fixture.image[0] ^= 1;
    assert_int_equal(check(place, (uint32_t)fixture.image_length, false, &detail), SR_IMAGE_CHECK_NOT_BOOTLOADER);
    assert_int_equal(detail.image_status, SR_IMAGE_BAD_MAGIC);
    fixture.image[0] ^= 1;

    fixture.image[12] = 5;
    assert_int_equal(check(place, (uint32_t)fixture.image_length, false, &detail), SR_IMAGE_CHECK_WRONG_CHIP);
    assert_int_equal(detail.chip_id, 5);
    fixture.image[12] = 0;

    fixture.image[0x100] ^= 1;
    assert_int_equal(check_bootloader(), SR_IMAGE_CHECK_CHECKSUM);
    fixture.image[0x101] ^= 1; /* The XOR checksum is right again, the digest is not. */
    assert_int_equal(check_bootloader(), SR_IMAGE_CHECK_DIGEST);
}

static void a_truncated_bootloader_is_refused_at_any_length(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    const sr_region_t place = {0x1000, 0x7000};
    for (uint32_t length = 1; length < fixture.image_length; length += 61) {
        assert_int_not_equal(check(place, length, false, &detail), SR_IMAGE_CHECK_OK);
    }
}

static void a_destination_that_would_erase_the_bootloader_is_refused(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    /* The image ends before 0x1000, the region goes on and would be blank there. */
    assert_int_equal(check((sr_region_t){0, 0x2000}, 0x800, false, &detail), SR_IMAGE_CHECK_NOT_BOOTLOADER);
    /* The region covers only the second half of the bootloader. */
    assert_int_equal(check((sr_region_t){0x4000, 0x1000}, 16, false, &detail), SR_IMAGE_CHECK_CHECKSUM);
}

static void a_bootloader_in_the_middle_of_a_merged_image_is_found(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    static uint8_t merged[0x9000];
    memset(merged, 0xFF, sizeof(merged));
    memcpy(merged + 0x1000, fixture.image, 0x7000);
    memory_t memory;
    fixture.flash_reader = memory_reader(&fixture.flash_memory, fixture.flash, FLASH_SIZE);
    fixture.image_reader = memory_reader(&memory, merged, sizeof(merged));
    const sr_image_check_t what = {.flash = &fixture.flash_reader,
                                   .image = &fixture.image_reader,
                                   .destination = {0, 0x9000},
                                   .chip = fixture.chip,
                                   .bootloader = {0x1000, 0x6000}};
    assert_int_equal(sr_image_check_image(&what, &detail), SR_IMAGE_CHECK_OK);
    merged[0x1100] ^= 1;
    assert_int_equal(sr_image_check_image(&what, &detail), SR_IMAGE_CHECK_CHECKSUM);
}

static void what_does_not_touch_the_bootloader_may_be_anything(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    memset(fixture.image, 0x55, sizeof(fixture.image));
    assert_int_equal(check((sr_region_t){0x8000, 0x8000}, 0x8000, false, &detail), SR_IMAGE_CHECK_OK);
    assert_int_equal(check((sr_region_t){0x7000, 0x1000}, 0x1000, false, &detail), SR_IMAGE_CHECK_OK);
}

static void secure_boot_wants_a_signature_block(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    const sr_region_t place = {0x1000, 0x7000};
    assert_int_equal(check(place, (uint32_t)fixture.image_length, true, &detail), SR_IMAGE_CHECK_NOT_SIGNED);
    assert_int_equal(check((sr_region_t){0x10000, 0x8000}, 0x100, true, &detail), SR_IMAGE_CHECK_NOT_SIGNED);
}

/* The longest text there is: all that tells the keys from each other. */
static void a_refusal_names_all_keys(void **state)
{
    (void)state;
    char text[SR_PREFLIGHT_SIGNATURE_TEXT_SIZE];
    const sr_secure_boot_key_t key = {.burnt = true, .revoked = true};
    const sr_secure_boot_keys_t keys = {.count = 3, .digest_size = SR_SHA256_SIZE, .list = {key, key, key}};
    const sr_secure_boot_result_t result = {.status = SR_SECURE_BOOT_OTHER_KEY};
    assert_string_equal(sr_preflight_signature_text(&keys, &result, text),
                        "is signed with a key that is not in the eFuses: 0000000000000000; burnt are "
                        "0000000000000000 (revoked), 0000000000000000 (revoked), 0000000000000000 (revoked)");
    assert_true(strlen(text) + sizeof("Secure Boot V2 is on, and the bootloader at 0x12345678 ") <
                sizeof(((sr_verification_t *)0)->reason));
}

/* It may be a block of anybody's, as long as the chip's keys are not known. */
static void secure_boot_wants_a_key_of_the_chip(void **state)
{
    (void)state;
    const signature_block_t blocks[] = {{.key = 1}, {.key = 2}};
    sr_secure_boot_keys_t keys = {
        .count = 3, .digest_size = SR_SHA256_SIZE, .list = {{.burnt = true}, {.burnt = true}}};
    sr_image_check_detail_t detail;
    char text[SR_PREFLIGHT_SIGNATURE_TEXT_SIZE];
    const sr_region_t places[] = {{0x1000, 0x7000}, {0x10000, 0x10000}}; /* As bootloader, and as app. */
    assert_int_equal(signature_block_append(fixture.image, &fixture.image_length, sizeof(fixture.image), blocks, 2),
                     IMAGE_WRITE_OK);
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t length = (uint32_t)fixture.image_length;
        fixture.keys = NULL;
        assert_int_equal(check(places[i], length, true, &detail), SR_IMAGE_CHECK_OK);
        fixture.keys = &keys;
        assert_int_equal(check(places[i], length, false, &detail), SR_IMAGE_CHECK_OK);
        assert_int_equal(check(places[i], length, true, &detail), SR_IMAGE_CHECK_NOT_SIGNED);
        assert_int_equal(detail.signature.status, SR_SECURE_BOOT_OTHER_KEY);
        (void)sr_preflight_signature_text(&keys, &detail.signature, text);
        assert_non_null(strstr(text, "not in the eFuses: "));
        assert_non_null(strstr(text, "; burnt are 0000000000000000, 0000000000000000"));
        assert_true(signature_block_key(&blocks[1], keys.list[1].digest));
        assert_int_equal(check(places[i], length, true, &detail), SR_IMAGE_CHECK_OK);
        const unsigned reads = fixture.image_memory.reads;
        for (unsigned k = reads; k > reads - 40; k--) {
            fail_image_read = k;
            assert_int_equal(check(places[i], length, true, &detail), SR_IMAGE_CHECK_READ_FAILED);
        }
        fail_image_read = 0;
        fixture.image[length - SR_SECTOR_SIZE - 1] ^= 1;
        assert_int_equal(check(places[i], length, true, &detail), SR_IMAGE_CHECK_NOT_SIGNED);
        assert_int_equal(detail.signature.status, SR_SECURE_BOOT_OTHER_IMAGE);
        fixture.image[length - SR_SECTOR_SIZE - 1] ^= 1;
        keys.list[1].revoked = true;
        assert_int_equal(check(places[i], length, true, &detail), SR_IMAGE_CHECK_NOT_SIGNED);
        assert_int_equal(detail.signature.status, SR_SECURE_BOOT_REVOKED_KEY);
        keys.list[1] = (sr_secure_boot_key_t){.burnt = true};
    }
    fixture.keys = NULL;
}

/* An app for MCUboot, of which it is known only that its list of TLVs has this type besides the digest. */
static uint32_t put_mcuboot_app(uint16_t type)
{
    static const uint8_t magic[] = {0x3D, 0xB8, 0xF3, 0x96};
    static const uint8_t info[] = {0x07, 0x69};
    const uint32_t payload = 0x200;
    uint8_t *tlvs = fixture.image + 32 + payload;
    memset(fixture.image, 0, sizeof(fixture.image));
    memcpy(fixture.image, magic, sizeof(magic));
    fixture.image[8] = 32;
    fixture.image[13] = (uint8_t)(payload >> 8);
    memcpy(tlvs, info, sizeof(info));
    tlvs[2] = 4 + 36 + 12; /* With both headers. */
    tlvs[4] = 0x10;
    tlvs[6] = 32;
    tlvs[40] = (uint8_t)type;
    tlvs[42] = 8;
    return 32 + payload + tlvs[2];
}

/* MCUboot verifies its app itself, but what carries no signature at all would be refused by it: a brick. */
static void secure_boot_wants_mcuboot_apps_to_be_signed(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    const sr_region_t place = {0x10000, 0x8000};
    for (uint16_t type = 0x11; type < 0x30; type++) {
        const bool is_signed = type >= 0x20 && type <= 0x24;
        const uint32_t length = put_mcuboot_app(type);
        assert_int_equal(check(place, length, true, &detail),
                         is_signed ? SR_IMAGE_CHECK_OK : SR_IMAGE_CHECK_NOT_SIGNED);
        assert_int_equal(check(place, length, false, &detail), SR_IMAGE_CHECK_OK);
    }
}

static void the_digest_of_the_image_must_be_the_named_one(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    library_digest(PSA_ALG_SHA_256, fixture.image, 1000, digest);
    const sr_reader_t reader = memory_reader(&fixture.image_memory, fixture.image, 1000);
    assert_int_equal(sr_image_check_sha256(&reader, digest), SR_IMAGE_CHECK_OK);
    digest[31] ^= 1;
    assert_int_equal(sr_image_check_sha256(&reader, digest), SR_IMAGE_CHECK_SHA256);
    fixture.image_memory.fail_read = fixture.image_memory.reads + 2;
    assert_int_equal(sr_image_check_sha256(&reader, digest), SR_IMAGE_CHECK_READ_FAILED);
}

static void the_first_bytes_already_tell_another_chip(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    const sr_region_t place = {0x1000, 0x7000};
    assert_int_equal(sr_image_check_start(fixture.image, 4096, place, fixture.chip, &detail), SR_IMAGE_CHECK_OK);
    assert_int_equal(sr_image_check_start(fixture.image, 10, place, fixture.chip, &detail), SR_IMAGE_CHECK_OK);
    fixture.image[12] = 9;
    assert_int_equal(sr_image_check_start(fixture.image, 4096, place, fixture.chip, &detail),
                     SR_IMAGE_CHECK_WRONG_CHIP);
    assert_int_equal(sr_image_check_start(fixture.image, 4096, (sr_region_t){0x2000, 0x6000}, fixture.chip, &detail),
                     SR_IMAGE_CHECK_OK);
    fixture.image[0] = 0;
    assert_int_equal(sr_image_check_start(fixture.image, 4096, place, fixture.chip, &detail),
                     SR_IMAGE_CHECK_NOT_BOOTLOADER);
}

/* By any of its bytes: where it runs today, where the ROM looks for it, and with version 1 the sector of its digest.
 * Here the flash holds none, so that whatever touches it is refused. */
static void what_touches_a_place_of_the_bootloader_is_checked(void **state)
{
    (void)state;
    static const struct {
        sr_region_t destination;
        sr_image_secure_boot_t secure_boot;
        sr_image_check_status_t expected;
    } cases[] = {
        {{0, 0x1000}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_OK},
        {{0, 0x1001}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_NOT_BOOTLOADER},
        {{0x1FFF, 1}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_NOT_BOOTLOADER},
        {{0x2000, 0x1000}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_OK},
        {{0x1FF000, 0x1000}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_OK},
        {{0x200000, 1}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_NOT_BOOTLOADER},
        {{0x205FFF, 1}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_NOT_BOOTLOADER},
        {{0x206000, 0x1000}, SR_IMAGE_SECURE_BOOT_OFF, SR_IMAGE_CHECK_OK},
        {{0, 1}, SR_IMAGE_SECURE_BOOT_V1, SR_IMAGE_CHECK_NOT_BOOTLOADER},
        {{0xFFF, 1}, SR_IMAGE_SECURE_BOOT_V1, SR_IMAGE_CHECK_NOT_BOOTLOADER},
        {{0x2000, 1}, SR_IMAGE_SECURE_BOOT_V1, SR_IMAGE_CHECK_NOT_SIGNED},
        {{0, 1}, SR_IMAGE_SECURE_BOOT_V2, SR_IMAGE_CHECK_NOT_SIGNED},
    };
    static const sr_secure_boot_keys_t unknown = {.count = 1, .digest_size = SR_SHA256_SIZE};
    memset(fixture.flash, 0xFF, FLASH_SIZE);
    memset(fixture.image, 0x55, sizeof(fixture.image));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_image_check_detail_t detail;
        fixture.flash_reader = memory_reader(&fixture.flash_memory, fixture.flash, FLASH_SIZE);
        fixture.image_reader = memory_reader(&fixture.image_memory, fixture.image, cases[i].destination.size);
        const sr_image_check_t what = {.flash = &fixture.flash_reader,
                                       .image = &fixture.image_reader,
                                       .destination = cases[i].destination,
                                       .chip = fixture.chip,
                                       .bootloader = {0x200000, 0x6000},
                                       .secure_boot = cases[i].secure_boot,
                                       .keys = &unknown};
        assert_int_equal(sr_image_check_image(&what, &detail), cases[i].expected);
    }
}

/** Checks the image as bootloader of a chip with version 1. @param fail_image, fail_flash As in memory_t. */
static sr_image_check_status_t check_v1(unsigned fail_image, unsigned fail_flash, sr_image_check_detail_t *detail)
{
    fixture.flash_reader = memory_reader(&fixture.flash_memory, fixture.flash, FLASH_SIZE);
    fixture.image_reader = memory_reader(&fixture.image_memory, fixture.image, (uint32_t)fixture.image_length);
    fixture.image_memory.fail_read = fail_image;
    fixture.flash_memory.fail_read = fail_flash;
    const sr_image_check_t what = {.flash = &fixture.flash_reader,
                                   .image = &fixture.image_reader,
                                   .destination = {0x1000, 0x7000},
                                   .chip = fixture.chip,
                                   .bootloader = {0x1000, 0x6000},
                                   .secure_boot = SR_IMAGE_SECURE_BOOT_V1};
    return sr_image_check_image(&what, detail);
}

static void with_version_1_a_bootloader_comes_with_its_digest(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    memset(fixture.flash, 0x11, 0x1000);
    assert_int_equal(check_v1(0, 0, &detail), SR_IMAGE_CHECK_OK);
    const unsigned reads[] = {fixture.image_memory.reads, fixture.flash_memory.reads};
    for (unsigned side = 0; side < 2; side++) {
        assert_true(reads[side] > 2);
        for (unsigned i = 1; i <= reads[side]; i++) {
            assert_int_equal(check_v1(side == 0 ? i : 0, side == 1 ? i : 0, &detail), SR_IMAGE_CHECK_READ_FAILED);
        }
    }
    fixture.flash[0x1100] ^= 1; /* It was another one. */
    assert_int_equal(check_v1(0, 0, &detail), SR_IMAGE_CHECK_KEYED);
    assert_int_equal(detail.v1, SR_SECURE_BOOT_V1_NO_DIGEST);
    fixture.image[0x100] ^= 1; /* Not even an intact one. */
    assert_int_equal(check_v1(0, 0, &detail), SR_IMAGE_CHECK_CHECKSUM);
}

static void every_read_of_a_bootloader_counts(void **state)
{
    (void)state;
    assert_int_equal(check_bootloader(), SR_IMAGE_CHECK_OK);
    const unsigned reads = fixture.image_memory.reads;
    for (unsigned i = 1; i <= reads; i++) {
        fail_image_read = i;
        assert_int_equal(check_bootloader(), SR_IMAGE_CHECK_READ_FAILED);
    }
    fail_image_read = 0;
}

/** A bootloader of two sectors to the byte, and then a block. */
static void put_whole_sectors(uint8_t *out, size_t capacity)
{
    static const uint8_t code[0x2000 - 32 - 16 - SR_SHA256_SIZE] = {0x36, 0x41};
    const signature_block_t block = {.key = 1};
    const image_write_segment_t segment = {.load_address = 0x3FFB0000, .data = code, .length = sizeof(code)};
    const image_write_esp_t esp = {.entry = 0x3FFB0000,
                                   .append_hash = true,
                                   .segments = &segment,
                                   .segment_count = 1,
                                   .max_chip_rev_full = 0xFFFF};
    size_t length = 0;
    assert_int_equal(image_write_esp(&esp, out, capacity, &length), IMAGE_WRITE_OK);
    assert_int_equal(length, 0x2000);
    assert_int_equal(signature_block_append(out, &length, capacity, &block, 1), IMAGE_WRITE_OK);
    assert_int_equal(length, 0x3000);
}

/* The block of today's bootloader counts only for an image that leaves a part of that bootloader. */
static void a_bootloader_brings_its_own_signature_block(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    put_whole_sectors(fixture.image, sizeof(fixture.image));
    memcpy(fixture.flash + 0x1000, fixture.image, 0x3000);
    for (uint32_t sectors = 1; sectors <= 3; sectors++) {
        assert_int_equal(check((sr_region_t){0x1000, sectors * 0x1000}, sectors * 0x1000, true, &detail),
                         sectors == 2 ? SR_IMAGE_CHECK_NOT_SIGNED : SR_IMAGE_CHECK_OK);
        assert_int_equal(detail.signature.status, sectors == 2 ? SR_SECURE_BOOT_NO_BLOCK : SR_SECURE_BOOT_OK);
    }
}

static void a_signature_block_alone_signs_nothing(void **state)
{
    (void)state;
    sr_image_check_detail_t detail;
    put_whole_sectors(fixture.image, sizeof(fixture.image));
    memmove(fixture.image, fixture.image + 0x2000, 0x1000);
    assert_int_equal(check((sr_region_t){0x10000, 0x1000}, 0x1000, true, &detail), SR_IMAGE_CHECK_NOT_SIGNED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_names_all_keys),
        cmocka_unit_test_setup(an_intact_bootloader_passes, setup),
        cmocka_unit_test_setup(what_is_no_bootloader_is_told_by_its_fault, setup),
        cmocka_unit_test_setup(a_truncated_bootloader_is_refused_at_any_length, setup),
        cmocka_unit_test_setup(a_destination_that_would_erase_the_bootloader_is_refused, setup),
        cmocka_unit_test_setup(a_bootloader_in_the_middle_of_a_merged_image_is_found, setup),
        cmocka_unit_test_setup(what_does_not_touch_the_bootloader_may_be_anything, setup),
        cmocka_unit_test_setup(secure_boot_wants_a_signature_block, setup),
        cmocka_unit_test_setup(secure_boot_wants_a_key_of_the_chip, setup),
        cmocka_unit_test_setup(secure_boot_wants_mcuboot_apps_to_be_signed, setup),
        cmocka_unit_test_setup(what_touches_a_place_of_the_bootloader_is_checked, setup),
        cmocka_unit_test_setup(with_version_1_a_bootloader_comes_with_its_digest, setup),
        cmocka_unit_test_setup(every_read_of_a_bootloader_counts, setup),
        cmocka_unit_test_setup(a_bootloader_brings_its_own_signature_block, setup),
        cmocka_unit_test_setup(a_signature_block_alone_signs_nothing, setup),
        cmocka_unit_test_setup(the_digest_of_the_image_must_be_the_named_one, setup),
        cmocka_unit_test_setup(the_first_bytes_already_tell_another_chip, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
