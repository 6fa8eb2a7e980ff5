// SPDX-License-Identifier: Apache-2.0
/* Signature blocks of Secure Boot V2; bootloader and digest of V1. That the format is the right one,
 * test_secure_boot_external.py asks espsecure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "format/sr_secure_boot.h"
#include "format/sr_secure_boot_v1.h"
#include "make/signature_block.h"
#include "test/support/support_failing_hash.h"
#include "test/support/support_reader.h"

#define CAPACITY 0x8000u
#define CRC      1196u

static uint8_t file[CAPACITY];
static size_t length;
static uint32_t sector; /* Of the blocks. */
static sr_image_t image;
static memory_t memory;

/** An app with blocks. */
static sr_reader_t make(const signature_block_t *blocks, unsigned count)
{
    const image_write_segment_t segment = {.load_address = 0x3FFB0000, .data = file + 0x4000, .length = 0x1100};
    const image_write_esp_t esp = {.entry = 0x3FFB0000,
                                   .append_hash = true,
                                   .segments = &segment,
                                   .segment_count = 1,
                                   .max_chip_rev_full = 0xFFFF};
    memset(file, 0x5A, sizeof(file));
    assert_int_equal(image_write_esp(&esp, file, 0x4000, &length), IMAGE_WRITE_OK);
    sector = (uint32_t)(length + 0xFFF) & ~0xFFFu;
    assert_int_equal(signature_block_append(file, &length, sizeof(file), blocks, count), IMAGE_WRITE_OK);
    const sr_reader_t reader = memory_reader(&memory, file, length);
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    return reader;
}

static void burn(sr_secure_boot_keys_t *keys, unsigned place, uint8_t key, bool revoked)
{
    keys->count = 3;
    keys->digest_size = SR_SHA256_SIZE;
    keys->list[place] = (sr_secure_boot_key_t){.burnt = true, .revoked = revoked};
    assert_true(signature_block_key(&(signature_block_t){.key = key}, keys->list[place].digest));
}

static void put_crc(unsigned number)
{
    uint8_t *block = file + sector + number * SR_SECURE_BOOT_BLOCK_SIZE;
    sr_bytes_put_le32(block + CRC, sr_crc32(0, block, CRC));
}

static void each_scheme_is_read(void **state)
{
    (void)state;
    static const char *const names[] = {"RSA-3072", "ECDSA P-192", "ECDSA P-256", "ECDSA P-384"};
    for (unsigned scheme = 0; scheme < 4; scheme++) {
        const signature_block_t wanted = {.scheme = (sr_secure_boot_scheme_t)scheme, .key = 7};
        uint8_t key[SR_SHA256_SIZE], digest[SR_SECURE_BOOT_MAX_DIGEST];
        const bool wide = scheme == SR_SECURE_BOOT_ECDSA_P384;
        const sr_reader_t reader = make(&wanted, 1);
        sr_secure_boot_block_t block;
        assert_int_equal(sr_secure_boot_read(&reader, &image, 0, &block), SR_SECURE_BOOT_OK);
        assert_int_equal(block.scheme, scheme);
        assert_string_equal(sr_secure_boot_scheme_name(block.scheme), names[scheme]);
        assert_true(signature_block_key(&wanted, key));
        assert_memory_equal(block.key_digest, key, sizeof(key));
        library_digest(wide ? PSA_ALG_SHA_384 : PSA_ALG_SHA_256, file, sector, digest);
        assert_int_equal(block.image_digest_size, wide ? 48 : 32);
        assert_memory_equal(block.image_digest, digest, block.image_digest_size);
        assert_int_equal(sr_secure_boot_compare(&reader, &image, &block), SR_SECURE_BOOT_OK);
        assert_int_equal(sr_secure_boot_read(&reader, &image, 1, &block), SR_SECURE_BOOT_NO_BLOCK);
    }
}

static void every_byte_of_a_block_counts(void **state)
{
    (void)state;
    for (unsigned scheme = 0; scheme < 4; scheme++) {
        const signature_block_t wanted = {.scheme = (sr_secure_boot_scheme_t)scheme, .key = 7};
        const sr_reader_t reader = make(&wanted, 1);
        for (uint32_t i = 0; i < CRC + 4; i++) {
            sr_secure_boot_block_t block;
            file[sector + i] ^= 0x10;
            assert_int_equal(sr_secure_boot_read(&reader, &image, 0, &block),
                             i == 0 ? SR_SECURE_BOOT_NO_BLOCK : SR_SECURE_BOOT_TORN_BLOCK);
            file[sector + i] ^= 0x10;
        }
    }
}

static void what_is_not_known_is_no_block(void **state)
{
    (void)state;
    static const struct {
        sr_secure_boot_scheme_t scheme;
        uint32_t at;
        uint8_t is;
    } changes[] = {
        {SR_SECURE_BOOT_RSA_3072, 1, 1},    {SR_SECURE_BOOT_RSA_3072, 1, 4},    {SR_SECURE_BOOT_ECDSA_P256, 2, 2},
        {SR_SECURE_BOOT_ECDSA_P256, 36, 0}, {SR_SECURE_BOOT_ECDSA_P256, 36, 3}, {SR_SECURE_BOOT_ECDSA_P384, 52, 2},
        {SR_SECURE_BOOT_ECDSA_P384, 2, 0},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        const signature_block_t wanted = {.scheme = changes[i].scheme};
        const sr_reader_t reader = make(&wanted, 1);
        sr_secure_boot_block_t block;
        file[sector + changes[i].at] = changes[i].is;
        file[sector + 36] = changes[i].scheme == SR_SECURE_BOOT_ECDSA_P384 ? 9 : file[sector + 36];
        put_crc(0);
        assert_int_equal(sr_secure_boot_read(&reader, &image, 0, &block), SR_SECURE_BOOT_TORN_BLOCK);
    }
}

/* A window that ends anywhere in the sector has the blocks that it has as a whole. */
static void window_ends_anywhere(void **state)
{
    (void)state;
    const signature_block_t wanted[3] = {{.key = 1}, {.key = 2}, {.key = 3}};
    (void)make(wanted, 3);
    for (uint32_t end = sector; end <= sector + 0x1000; end += 8) {
        const sr_reader_t reader = memory_reader(&memory, file, end);
        for (uint32_t i = 0; i < 3; i++) {
            sr_secure_boot_block_t block;
            const bool whole = end >= sector + (i + 1) * SR_SECURE_BOOT_BLOCK_SIZE;
            assert_int_equal(sr_secure_boot_read(&reader, &image, i, &block),
                             whole ? SR_SECURE_BOOT_OK : SR_SECURE_BOOT_NO_BLOCK);
        }
    }
    image.length = UINT32_MAX; /* As a header may promise in a window of almost 4 GiB. */
    sr_secure_boot_block_t block;
    const sr_reader_t reader = memory_reader(&memory, file, length);
    assert_int_equal(sr_secure_boot_read(&reader, &image, 0, &block), SR_SECURE_BOOT_NO_BLOCK);
}

static sr_secure_boot_status_t check(const sr_reader_t *reader, const sr_secure_boot_keys_t *keys, int number,
                                     uint8_t key)
{
    sr_secure_boot_result_t result;
    uint8_t digest[SR_SHA256_SIZE] = {0};
    const sr_secure_boot_status_t status = sr_secure_boot_check(reader, &image, keys, true, &result);
    assert_int_equal(status, result.status);
    assert_int_equal(result.block, number);
    if (key != 0) {
        assert_true(signature_block_key(&(signature_block_t){.key = key}, digest));
    }
    assert_memory_equal(result.key_digest, digest, sizeof(digest));
    return status;
}

static void a_key_of_the_chip_is_enough(void **state)
{
    (void)state;
    sr_secure_boot_keys_t keys = {.count = 3, .digest_size = SR_SHA256_SIZE};
    const signature_block_t wanted[3] = {{.key = 1}, {.key = 2}, {.key = 3, .torn = true}};
    const sr_reader_t reader = make(wanted, 3);
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_KEY); /* None is burnt. */
    burn(&keys, 2, 3, false);
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_KEY); /* Its block is torn. */
    burn(&keys, 0, 2, true);
    assert_int_equal(check(&reader, &keys, 1, 2), SR_SECURE_BOOT_REVOKED_KEY);
    burn(&keys, 1, 2, false); /* The same once more, in another place. */
    assert_int_equal(check(&reader, &keys, 1, 2), SR_SECURE_BOOT_OK);
    burn(&keys, 2, 1, false);
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OK);
    burn(&keys, 2, 1, true);
    keys.count = 1; /* As an ESP32, that looks at one block, and has one key. */
    burn(&keys, 0, 2, false);
    keys.count = 1;
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_KEY);
    burn(&keys, 1, 1, false);
    keys.count = 1; /* It does not look past that. */
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_KEY);
}

/* By the eFuses of the chips, as ESP-IDF's soc component has them. */
static void chips_hold_so_many_keys(void **state)
{
    (void)state;
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        const sr_chip_t *chip = sr_chip_at(i);
        const bool half = strcmp(chip->name, "esp32c2") == 0;
        const sr_secure_boot_keys_t keys = sr_secure_boot_no_keys(chip);
        assert_int_equal(keys.count, half || strcmp(chip->name, "esp32") == 0 ? 1 : 3);
        assert_int_equal(keys.digest_size, half ? 16 : 32);
        for (unsigned k = 0; k < SR_SECURE_BOOT_MAX_BLOCKS; k++) {
            assert_false(keys.list[k].burnt);
        }
    }
}

static void half_a_digest_is_compared_where_there_is_half(void **state)
{
    (void)state;
    sr_secure_boot_keys_t keys = {0};
    const signature_block_t wanted = {.key = 1};
    const sr_reader_t reader = make(&wanted, 1);
    burn(&keys, 0, 1, false);
    keys.list[0].digest[16] ^= 1;
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_KEY);
    keys.digest_size = 16;
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OK);
    keys.list[0].digest[15] ^= 1;
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_KEY);
}

static void blocks_are_of_this_image(void **state)
{
    (void)state;
    sr_secure_boot_keys_t keys = {0};
    sr_secure_boot_result_t result;
    const signature_block_t wanted[2] = {{.key = 1, .other_image = true}, {.key = 2}};
    sr_reader_t reader = make(wanted, 2);
    burn(&keys, 0, 1, false);
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_IMAGE);
    assert_int_equal(sr_secure_boot_check(&reader, &image, &keys, false, &result), SR_SECURE_BOOT_OK);
    burn(&keys, 1, 2, false);
    assert_int_equal(check(&reader, &keys, 1, 2), SR_SECURE_BOOT_OK);
    file[sector - 1] ^= 1; /* Padding is part of what is signed. */
    assert_int_equal(check(&reader, &keys, 0, 1), SR_SECURE_BOOT_OTHER_IMAGE);
    reader = make(wanted, 0);
    assert_int_equal(check(&reader, &keys, 0, 0), SR_SECURE_BOOT_NO_BLOCK);
}

static void reads_and_hashes_may_fail(void **state)
{
    (void)state;
    sr_secure_boot_keys_t keys = {0};
    sr_secure_boot_result_t result;
    const signature_block_t wanted = {.key = 1};
    const sr_reader_t reader = make(&wanted, 1);
    burn(&keys, 0, 1, false);
    memory.reads = 0;
    assert_int_equal(sr_secure_boot_check(&reader, &image, &keys, true, &result), SR_SECURE_BOOT_OK);
    const unsigned reads = memory.reads;
    for (unsigned i = 1; i <= reads; i++) {
        memory.reads = 0;
        memory.fail_read = i;
        assert_int_equal(sr_secure_boot_check(&reader, &image, &keys, true, &result), SR_SECURE_BOOT_READ_FAILED);
    }
    memory.fail_read = 0;
    hash_fails = true;
    assert_int_equal(sr_secure_boot_check(&reader, &image, &keys, true, &result), SR_SECURE_BOOT_CRYPTO_FAILED);
    sr_secure_boot_block_t block = {.image_digest_size = SR_SHA256_SIZE};
    assert_int_equal(sr_secure_boot_compare(&reader, &image, &block), SR_SECURE_BOOT_CRYPTO_FAILED);
    hash_fails = false;
}

static void each_status_has_words(void **state)
{
    (void)state;
    for (int i = SR_SECURE_BOOT_OK; i <= SR_SECURE_BOOT_CRYPTO_FAILED + 1; i++) {
        for (int k = SR_SECURE_BOOT_OK; k < i; k++) {
            assert_string_not_equal(sr_secure_boot_status_text((sr_secure_boot_status_t)i),
                                    sr_secure_boot_status_text((sr_secure_boot_status_t)k));
        }
    }
    assert_string_equal(sr_secure_boot_scheme_name((sr_secure_boot_scheme_t)4), "unknown scheme");
}

/* Version 1: a flash with a digest, and a bootloader at 0x1000. */

#define FLASH        0x8000u
#define PAST_THE_END 8u
static uint8_t old_flash[FLASH], new_flash[FLASH];

static void put_loader(uint8_t *flash, uint32_t data_length, bool append_hash)
{
    const image_write_segment_t segment = {.load_address = 0x3FFB0000, .data = file, .length = data_length};
    const image_write_esp_t esp = {.entry = 0x3FFB0000,
                                   .append_hash = append_hash,
                                   .segments = &segment,
                                   .segment_count = 1,
                                   .max_chip_rev_full = 0xFFFF};
    memset(flash + 0x1000, 0xFF, FLASH - 0x1000);
    assert_int_equal(image_write_esp(&esp, flash + 0x1000, FLASH - 0x1000, &length), IMAGE_WRITE_OK);
}

static sr_secure_boot_v1_status_t check_v1(memory_t *before, memory_t *after)
{
    const sr_reader_t old_reader = memory_reader(before, old_flash, FLASH);
    const sr_reader_t new_reader = memory_reader(after, new_flash, FLASH);
    return sr_secure_boot_v1_check(&old_reader, &new_reader, sr_chip_by_name("esp32"));
}

static void expect_v1(sr_secure_boot_v1_status_t expected)
{
    memory_t before;
    memory_t after;
    assert_int_equal(check_v1(&before, &after), expected);
}

static void hardware_takes_whole_units(void **state)
{
    (void)state;
    for (uint32_t more = 0; more < 0x100; more += 4) {
        memory_t loader;
        sr_image_t parsed;
        put_loader(old_flash, 0x1000 + more, more % 8 == 0);
        const sr_reader_t reader = memory_reader(&loader, old_flash + 0x1000, FLASH - 0x1000);
        assert_int_equal(sr_image_parse(&reader, &parsed), SR_IMAGE_OK);
        const uint32_t end = 24 + 8 + 0x1000 + more + 1; /* Of the checksum, if nothing were filled up. */
        assert_int_equal(sr_secure_boot_v1_length(&parsed), (end + 127) / 128 * 128);
    }
}

static void bootloader_and_digest_go_together(void **state)
{
    (void)state;
    memset(old_flash, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    put_loader(old_flash, 0x1000, true);
    memcpy(new_flash, old_flash, FLASH);
    expect_v1(SR_SECURE_BOOT_V1_OK);
    new_flash[SR_SECURE_BOOT_V1_DIGEST_SIZE - 1] ^= 1;
    expect_v1(SR_SECURE_BOOT_V1_ALONE);
    put_loader(new_flash, 0x1004, true);
    expect_v1(SR_SECURE_BOOT_V1_OK);
    memset(new_flash, 0xFF, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    expect_v1(SR_SECURE_BOOT_V1_ERASED);
    memset(new_flash, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    expect_v1(SR_SECURE_BOOT_V1_NO_DIGEST);
    memcpy(new_flash, old_flash, FLASH);
    new_flash[SR_SECURE_BOOT_V1_DIGEST_SIZE] ^= 1; /* Past the digest. */
    new_flash[FLASH - 1] ^= 1;                     /* Past the bootloader. */
    expect_v1(SR_SECURE_BOOT_V1_OK);
    new_flash[0x1FFF] ^= 1;
    expect_v1(SR_SECURE_BOOT_V1_NO_DIGEST);
    memset(new_flash + 0x1000, 0xFF, 0x1000);
    expect_v1(SR_SECURE_BOOT_V1_NO_DIGEST);
}

static void flash_of_version_1_may_be_unreadable(void **state)
{
    (void)state;
    memory_t before;
    memory_t after;
    memory_t *const memories[] = {&before, &after};
    memset(old_flash, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    put_loader(old_flash, 0x1000, true);
    memcpy(new_flash, old_flash, FLASH);
    assert_int_equal(check_v1(&before, &after), SR_SECURE_BOOT_V1_OK);
    const unsigned reads[] = {before.reads, after.reads};
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 1; i <= reads[side]; i++) {
            const sr_reader_t old_reader = memory_reader(&before, old_flash, FLASH);
            const sr_reader_t new_reader = memory_reader(&after, new_flash, FLASH);
            memories[side]->fail_read = i;
            assert_int_equal(sr_secure_boot_v1_check(&old_reader, &new_reader, sr_chip_by_name("esp32")),
                             SR_SECURE_BOOT_V1_READ_FAILED);
        }
    }
    for (int i = SR_SECURE_BOOT_V1_OK; i <= SR_SECURE_BOOT_V1_READ_FAILED + 1; i++) {
        for (int k = SR_SECURE_BOOT_V1_OK; k < i; k++) {
            assert_string_not_equal(sr_secure_boot_v1_text((sr_secure_boot_v1_status_t)i),
                                    sr_secure_boot_v1_text((sr_secure_boot_v1_status_t)k));
        }
    }
}

/** How the new flash differs from the old one. */
typedef enum change { STAYS, CHANGES, IS_BLANK } change_t;

static void change_flash(change_t digest, change_t loader)
{
    memcpy(new_flash, old_flash, FLASH);
    if (digest == CHANGES) {
        new_flash[0] ^= 1;
    } else if (digest == IS_BLANK) {
        memset(new_flash, 0xFF, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    }
    if (loader == CHANGES) {
        new_flash[0x1020] ^= 1;
    } else if (loader == IS_BLANK) {
        memset(new_flash + 0x1000, 0xFF, FLASH - 0x1000);
    }
}

static void every_way_in_which_the_two_change(void **state)
{
    (void)state;
    static const sr_secure_boot_v1_status_t expected[3][3] = {
        [STAYS] = {SR_SECURE_BOOT_V1_OK, SR_SECURE_BOOT_V1_NO_DIGEST, SR_SECURE_BOOT_V1_NO_DIGEST},
        [CHANGES] = {SR_SECURE_BOOT_V1_ALONE, SR_SECURE_BOOT_V1_OK, SR_SECURE_BOOT_V1_OK},
        [IS_BLANK] = {SR_SECURE_BOOT_V1_ERASED, SR_SECURE_BOOT_V1_ERASED, SR_SECURE_BOOT_V1_ERASED},
    };
    memset(old_flash, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    put_loader(old_flash, 0x1000, true);
    for (change_t digest = STAYS; digest <= IS_BLANK; digest++) {
        for (change_t loader = STAYS; loader <= IS_BLANK; loader++) {
            change_flash(digest, loader);
            expect_v1(expected[digest][loader]);
        }
    }
    /* Where there has never been a digest, none is missed. */
    memset(old_flash, 0xFF, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    for (change_t digest = STAYS; digest <= CHANGES; digest++) {
        for (change_t loader = STAYS; loader <= IS_BLANK; loader++) {
            change_flash(digest, loader);
            expect_v1(expected[digest][loader]);
        }
    }
    /* A place without an image is the same as no other, also where there is none either before or after. */
    memset(old_flash, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    for (unsigned i = 0; i < 2; i++) {
        change_flash(STAYS, STAYS);
        memset(old_flash + 0x1000, 0xFF, FLASH - 0x1000);
        expect_v1(SR_SECURE_BOOT_V1_NO_DIGEST);
        new_flash[0] ^= 1;
        expect_v1(SR_SECURE_BOOT_V1_OK);
    }
}

/* Of the digest, and of the bootloader as far as the hardware takes it; of a longer one also where both are the same.
 */
static void every_byte_of_the_two_counts(void **state)
{
    (void)state;
    memory_t loader;
    sr_image_t parsed;
    memset(old_flash, 0xFF, FLASH);
    put_loader(old_flash, 0x7C, true); /* What is hashed ends 95 bytes before a unit does. */
    const sr_reader_t reader = memory_reader(&loader, old_flash + 0x1000, FLASH - 0x1000);
    assert_int_equal(sr_image_parse(&reader, &parsed), SR_IMAGE_OK);
    const uint32_t end = 0x1000 + sr_secure_boot_v1_length(&parsed);
    for (uint32_t i = 0; i < SR_SECURE_BOOT_V1_DIGEST_SIZE; i++) { /* All but one byte is blank. */
        change_flash(STAYS, STAYS);
        new_flash[i] = 0xFE;
        expect_v1(SR_SECURE_BOOT_V1_ALONE);
    }
    memset(old_flash, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    for (uint32_t i = 0; i < SR_SECURE_BOOT_V1_DIGEST_SIZE; i++) {
        change_flash(STAYS, CHANGES);
        new_flash[i] ^= 0x80;
        expect_v1(SR_SECURE_BOOT_V1_OK);
    }
    for (uint32_t i = 0x1000; i < end + PAST_THE_END; i++) {
        change_flash(STAYS, STAYS);
        new_flash[i] ^= 0x80;
        expect_v1(i < end ? SR_SECURE_BOOT_V1_NO_DIGEST : SR_SECURE_BOOT_V1_OK);
    }
    put_loader(new_flash, 0x7C + 4, true);
    memcpy(new_flash, old_flash, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    expect_v1(SR_SECURE_BOOT_V1_NO_DIGEST);
}

/* The digest, or the last unit of the bootloader, past the end of a flash: nothing is known of it. */
static void flash_may_end_anywhere(void **state)
{
    (void)state;
    memory_t before, after;
    memset(old_flash, 0x11, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    put_loader(old_flash, 0x7C, true);
    memcpy(new_flash, old_flash, FLASH);
    const sr_reader_t whole = memory_reader(&before, old_flash, FLASH);
    const uint32_t end = 0x1000 + 0x100;
    for (uint32_t size = 0; size <= end; size += size == 0x100 ? 0xF00 : 1) {
        const sr_reader_t cut = memory_reader(&after, new_flash, size);
        const bool reads = size >= end;
        const sr_secure_boot_v1_status_t status = sr_secure_boot_v1_check(&whole, &cut, sr_chip_by_name("esp32"));
        assert_true(reads ? status == SR_SECURE_BOOT_V1_OK : status != SR_SECURE_BOOT_V1_OK);
        assert_true(size >= SR_SECURE_BOOT_V1_DIGEST_SIZE || status == SR_SECURE_BOOT_V1_READ_FAILED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scheme_is_read),
        cmocka_unit_test(every_byte_of_a_block_counts),
        cmocka_unit_test(what_is_not_known_is_no_block),
        cmocka_unit_test(window_ends_anywhere),
        cmocka_unit_test(a_key_of_the_chip_is_enough),
        cmocka_unit_test(chips_hold_so_many_keys),
        cmocka_unit_test(half_a_digest_is_compared_where_there_is_half),
        cmocka_unit_test(blocks_are_of_this_image),
        cmocka_unit_test(reads_and_hashes_may_fail),
        cmocka_unit_test(each_status_has_words),
        cmocka_unit_test(hardware_takes_whole_units),
        cmocka_unit_test(bootloader_and_digest_go_together),
        cmocka_unit_test(every_way_in_which_the_two_change),
        cmocka_unit_test(every_byte_of_the_two_counts),
        cmocka_unit_test(flash_may_end_anywhere),
        cmocka_unit_test(flash_of_version_1_may_be_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
