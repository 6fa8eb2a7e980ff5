// SPDX-License-Identifier: Apache-2.0
/** @file
 * The mask ROM in the boot model: which bootloader it loads, which of those can run, and what it reads of them. Each
 * boundary from both sides.
 */
#include "format/sr_bytes.h"
#include "make/image_writer.h"
#include "sim/boot/boot_internal.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FLASH_SIZE 0x10000u
#define PLACE      0x1000u     /* Of the ESP32's bootloader. */
#define DATA       0x3FFF0030u /* Where bootloaders of the ESP32 have data, */
#define CODE       0x40078000u /* and code. */
#define HEADER     24u
#define HASHED     23u /* In the header: a digest is appended. */
#define DIGEST     32u

static uint8_t flash[FLASH_SIZE], data[2048], code[2048];
static boot_t chip;
static boot_result_t result;
static efuse_set_t burnt;
static uint8_t taken[SR_SHA256_SIZE];

/** An ESP32 with blank flash, and code at whose start is an instruction ENTRY. */
static int set_up(void **state)
{
    (void)state;
    memset(flash, 0xFF, sizeof(flash));
    memset(data, 0x11, sizeof(data));
    memset(code, 0x22, sizeof(code));
    memcpy(code, "\x36\x41", 2);
    burnt = (efuse_set_t){0};
    chip = (boot_t){.chip = sr_chip_by_name("esp32"),
                    .memory = boot_memory_of(0),
                    .burnt = &burnt,
                    .taken = taken,
                    .revision = 300,
                    .flash = flash,
                    .writable = flash,
                    .size = FLASH_SIZE,
                    .result = &result};
    return 0;
}

static void set_chip(const char *name)
{
    chip.chip = sr_chip_by_name(name);
    chip.memory = boot_memory_of(chip.chip->image_chip_id);
}

/** A bootloader of data and code. @return its length without a digest. */
static uint32_t put(uint32_t data_address, uint32_t data_length, uint32_t code_address, uint32_t code_length, bool hash)
{
    const image_write_segment_t segments[] = {
        {.load_address = data_address, .data = data, .length = data_length},
        {.load_address = code_address, .data = code, .length = code_length},
    };
    const image_write_esp_t spec = {.chip_id = chip.chip->image_chip_id,
                                    .spi_mode = 0x7F, /* Means nothing to the ROM. */
                                    .entry = code_address,
                                    .append_hash = hash,
                                    .segments = segments,
                                    .segment_count = 2};
    size_t length;
    memset(flash, 0xFF, sizeof(flash));
    assert_int_equal(image_write_esp(&spec, flash + chip.chip->bootloader_offset, 0x8000, &length), IMAGE_WRITE_OK);
    return (uint32_t)length - (hash ? DIGEST : 0);
}

static uint32_t put_small(void)
{
    return put(DATA, 64, CODE, 64, false);
}

static bool starts(void)
{
    boot_t boot = chip;
    result = (boot_result_t){.outcome = BOOT_BOOTS};
    return boot_rom(&boot);
}

static void expect(bool good, boot_outcome_t outcome, const char *reason)
{
    const bool started = starts();
    if (started != good || (!good && (result.outcome != outcome || strstr(result.reason, reason) == NULL))) {
        fail_msg("expected %s \"%s\": %s, %s (%s)", good ? "a start" : boot_outcome_name(outcome), reason,
                 started ? "starts" : "does not", boot_outcome_name(result.outcome), result.reason);
    }
}

static void expect_start(void)
{
    expect(true, BOOT_BOOTS, "");
}

static void segments_are_stored_in_words(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 4; i++) {
        (void)put(DATA - 0x100 + i, 64, CODE, 64, false);
        expect(i % 4 == 0, BOOT_ROM_REJECTS, "bootloader segment 0: 64 bytes to 0x3ffeff3");
    }
}

static uint8_t was_read[FLASH_SIZE];

static void note_read(void *context, uint32_t address, uint32_t length)
{
    (void)context;
    assert_true(address + length <= FLASH_SIZE);
    memset(was_read + address, 1, length);
}

/** What follows the image does not matter to the ROM, nor the padding before its checksum. */
static void it_reads_the_image_and_no_more(void **state)
{
    (void)state;
    const uint32_t end = HEADER + 8 + 64 + 8 + 64;
    const uint32_t length = put_small();
    assert_int_equal(length, (end + 16) / 16 * 16);
    chip.trace = note_read;
    memset(was_read, 0, sizeof(was_read));
    boot_t boot = chip;
    /* That it can run, and which bootloader this was, is asked afterwards. */
    boot.result->bootloader.length = 0;
    assert_true(boot_rom(&boot));
    assert_int_equal(result.bootloader.address, PLACE);
    assert_int_equal(result.bootloader.length, length);
    for (uint32_t at = 0; at < FLASH_SIZE; at++) {
        const bool part = at >= PLACE && at < PLACE + length;
        if (was_read[at] != part) {
            fail_msg("0x%x is %s", (unsigned)at, part ? "not read" : "read");
        }
    }
    /* An image with a wrong checksum is not digested: then it is the checksum's own reads. */
    memset(was_read, 0, sizeof(was_read));
    flash[PLACE + HEADER + 10] ^= 1;
    expect(false, BOOT_ROM_REJECTS, "bootloader checksum 0x");
    for (uint32_t at = 0; at < FLASH_SIZE; at++) {
        const bool part = (at >= PLACE && at < PLACE + end) || at == PLACE + length - 1;
        if (was_read[at] != part) {
            fail_msg("without a digest, 0x%x is %s", (unsigned)at, part ? "not read" : "read");
        }
    }
}

static void a_wrong_checksum_is_told_with_its_place(void **state)
{
    (void)state;
    const uint32_t length = put_small();
    char text[64];
    flash[PLACE + length - 1] ^= 0x40;
    (void)snprintf(text, sizeof(text), ", stored 0x%02x at 0x%" PRIx32, flash[PLACE + length - 1], PLACE + length - 1);
    expect(false, BOOT_ROM_REJECTS, text);
}

/** The checksum is the last byte of 16, and may follow the last segment at once. */
static void a_checksum_directly_after_a_segment(void **state)
{
    (void)state;
    const uint32_t end = HEADER + 8 + 64 + 8 + 55;
    uint8_t checksum = 0xEF;
    (void)put_small();
    sr_bytes_put_le32(flash + PLACE + HEADER + 8 + 64 + 4, 55);
    for (uint32_t i = 0; i < 64; i++) {
        checksum ^= (uint8_t)(data[i] ^ (i < 55 ? code[i] : 0));
    }
    assert_int_equal(end % 16, 15);
    flash[PLACE + end] = checksum;
    flash[PLACE + end + 16] = (uint8_t)~checksum;
    expect_start();
}

/** A digest is part of the image, whatever the ROM thinks of it. */
static void a_digest_belongs_to_the_image(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const uint32_t length = put(DATA, 64, CODE, 64, i != 0);
        flash[PLACE + HASHED] = (uint8_t)i;
        expect_start();
        assert_int_equal(result.bootloader.length, length + (i != 0 ? DIGEST : 0));
    }
}

/** Up to 32 segments; those without content are not looked at. */
static void how_many_segments(void **state)
{
    (void)state;
    for (uint8_t count = 31; count <= 33; count++) {
        const uint32_t end = HEADER + 8 + 64 + 8 + 64;
        (void)put_small();
        const uint8_t checksum = flash[PLACE + (end + 16) / 16 * 16 - 1];
        const uint32_t longer = end + (count - 2u) * 8;
        memset(flash + PLACE + end, 0, 0x200);
        flash[PLACE + 1] = count;
        flash[PLACE + (longer + 16) / 16 * 16 - 1] = checksum;
        expect(count <= 32, BOOT_ROM_REJECTS, "invalid bootloader header");
    }
}

static void an_old_rom_knows_no_chip_ids(void **state)
{
    (void)state;
    for (uint16_t revision = 299; revision <= 301; revision++) {
        (void)put_small();
        flash[PLACE + 12] = 5;
        chip.revision = revision;
        expect(revision < 300, BOOT_ROM_REJECTS, "bootloader is for chip id 0x0005, this chip is 0x0000");
    }
    set_chip("esp32c3"); /* All of its ROMs do. */
    chip.revision = 0;
    (void)put(0x3FCA0000, 64, 0x40390000, 64, false);
    flash[chip.chip->bootloader_offset + 12] = 9;
    expect(false, BOOT_ROM_REJECTS, "bootloader is for chip id 0x0009");
}

static void entry_points(void **state)
{
    (void)state;
    static const struct {
        uint32_t entry;
        bool windowed, other;
    } rows[] = {
        {CODE, true, true},         {CODE + 4, false, true},    {CODE + 60, false, true}, {CODE + 63, false, true},
        {CODE + 64, false, false},  {CODE - 1, false, false},   {DATA + 8, true, true},   {DATA - 4, false, false},
        {CODE + 0x20, false, true}, {CODE + 0x24, false, true},
    };
    memcpy(data + 8, "\x36\xF1", 2);
    memcpy(code + 0x20, "\x36\x42", 2); /* Not the stack pointer. */
    memcpy(code + 0x24, "\x37\x41", 2); /* Not ENTRY. */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];
        set_chip("esp32");
        (void)put_small();
        (void)snprintf(text, sizeof(text), "entry point 0x%" PRIx32 " is not the start of code", rows[i].entry);
        sr_bytes_put_le32(flash + PLACE + 4, rows[i].entry);
        expect(rows[i].windowed, BOOT_BOOTLOADER_REJECTS, text);
        set_chip("esp32c3");
        const uint32_t place = chip.chip->bootloader_offset;
        (void)put(0x3FCA0000, 64, 0x40390000, 64, false);
        const uint32_t entry =
            rows[i].entry < CODE - 4 ? rows[i].entry - DATA + 0x3FCA0000 : rows[i].entry - CODE + 0x40390000;
        sr_bytes_put_le32(flash + place + 4, entry);
        expect(rows[i].other, BOOT_BOOTLOADER_REJECTS, "is not the start of code");
    }
}

/** Words in the code that are addresses of data memory: `inside` of them in the data segment. */
static void put_references(unsigned count, unsigned inside)
{
    memset(code + 64, 0x22, sizeof(code) - 64);
    for (unsigned i = 0; i < count; i++) {
        sr_bytes_put_le32(code + 64 + 4 * i, i < inside ? DATA + 4 : DATA + 0x8000);
    }
}

#define MISPLACED "code does not expect its data at 0x3fff0030"

static void data_that_nothing_refers_to_is_misplaced(void **state)
{
    (void)state;
    /* The segment's own header is the 32nd reference to data memory, and the first into the segment. */
    static const struct {
        unsigned references, inside;
        uint32_t length;
        bool good;
    } rows[] = {
        {31, 0, 1024, false}, {30, 0, 1024, true}, {32, 0, 1024, false},
        {31, 1, 1024, true},  {31, 0, 1020, true}, {31, 0, 1028, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_references(rows[i].references, rows[i].inside);
        (void)put(DATA, rows[i].length, CODE, 1024, false);
        expect(rows[i].good, BOOT_BOOTLOADER_REJECTS, MISPLACED);
        /* With its digest it is as it was built. */
        const uint32_t length = put(DATA, rows[i].length, CODE, 1024, true);
        expect_start();
        flash[PLACE + length + DIGEST - 1] ^= 1;
        expect(rows[i].good, BOOT_BOOTLOADER_REJECTS, MISPLACED);
    }
    /* Without register windows addresses are not words beside the code. */
    set_chip("esp32c3");
    put_references(40, 0);
    for (unsigned i = 0; i < 40; i++) {
        sr_bytes_put_le32(code + 64 + 4 * i, 0x3FCB0000);
    }
    (void)put(0x3FCA0000, 1024, 0x40390000, 1024, false);
    expect_start();
}

/** The last word of the image is one, too, if it is all padding and checksum. */
static void the_last_word_is_a_reference(void **state)
{
    (void)state;
    put_references(30, 0);
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t length = put(DATA, 1024, CODE, 1024, false);
        uint8_t *last = flash + PLACE + length - 4;
        uint8_t *balance = flash + PLACE + HEADER + 8 + 1024 + 8 + 1020;
        *balance = (uint8_t)(*balance ^ last[3] ^ 0x3F);
        sr_bytes_put_le32(last, i == 0 ? 0x3FFB0000 : 0x3F400000);
        expect(i != 0, BOOT_BOOTLOADER_REJECTS, MISPLACED);
    }
}

/** Anti-rollback: the version in the descriptor with which the first segment starts. */
static void versions_of_bootloaders(void **state)
{
    (void)state;
    static const struct {
        const char *chip;
        uint8_t demanded, magic, version, segments;
        bool good;
    } rows[] = {
        {"esp32c61", 0, 0x50, 0, 2, true},  {"esp32c61", 1, 0x50, 0, 2, false}, {"esp32c61", 1, 0x50, 1, 2, true},
        {"esp32c61", 1, 0x50, 2, 2, true},  {"esp32c61", 2, 0x50, 1, 2, false}, {"esp32c61", 1, 0x51, 9, 2, false},
        {"esp32c61", 1, 0x50, 1, 1, true},  {"esp32c61", 1, 0x50, 1, 0, false}, {"esp32c61", 1, 0x51, 0, 2, false},
        {"esp32c61", 9, 0x50, 8, 2, false}, {"esp32c61", 9, 0x50, 9, 2, true},  {"esp32c6", 1, 0x50, 0, 2, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_chip(rows[i].chip);
        const uint32_t place = chip.chip->bootloader_offset;
        memset(data, 0, sizeof(data));
        data[0] = rows[i].magic;
        data[3] = rows[i].version;
        (void)put(0x40820000, 64, 0x40810000, 64, false);
        chip.efuses.bootloader_version = rows[i].demanded;
        if (rows[i].segments < 2) {
            const uint32_t end = HEADER + rows[i].segments * 72u;
            flash[place + 1] = rows[i].segments;
            sr_bytes_put_le32(flash + place + 4, 0x40820000);
            uint8_t checksum = 0xEF;
            for (uint32_t k = 0; k < 64 && rows[i].segments != 0; k++) {
                checksum ^= data[k];
            }
            flash[place + (end + 16) / 16 * 16 - 1] = checksum;
        }
        char text[96];
        (void)snprintf(text, sizeof(text), "has the secure version %u, the eFuse demands %u",
                       rows[i].magic == 0x50 && rows[i].segments != 0 ? rows[i].version : 0, rows[i].demanded);
        expect(rows[i].good, BOOT_ROM_REJECTS, text);
    }
}

static void what_is_not_signed_is_told(void **state)
{
    (void)state;
    set_chip("esp32c3");
    (void)put(0x3FCA0000, 64, 0x40390000, 64, false);
    burnt.secure_boot_v2 = true;
    burnt.keys[0] = (efuse_key_t){.purpose = EFUSE_PURPOSE_DIGEST_0, .readable = true, .length = EFUSE_KEY_SIZE};
    expect(false, BOOT_ROM_REJECTS, "Secure Boot V2: the bootloader at 0x0 carries no signature block");
}

static void what_an_encrypting_chip_reads(void **state)
{
    (void)state;
    uint8_t key[32] = {1, 2, 3};
    const uint32_t length = put_small();
    flash_cipher_t *cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    assert_non_null(cipher);
    chip.cipher = cipher;
    expect(false, BOOT_ROM_REJECTS, "the bootloader at 0x1000 is not encrypted");
    flash_cipher_encrypt(cipher, PLACE, flash + PLACE, (length + 31) / 32 * 32);
    expect_start();
    flash[PLACE] = 0xFF;
    expect(false, BOOT_ROM_REJECTS, "the bootloader at 0x1000 is erased, and the chip decrypts that");
    flash_cipher_delete(cipher);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup(function, set_up)
    const struct CMUnitTest tests[] = {
        CASE(segments_are_stored_in_words),
        CASE(it_reads_the_image_and_no_more),
        CASE(a_wrong_checksum_is_told_with_its_place),
        CASE(a_checksum_directly_after_a_segment),
        CASE(a_digest_belongs_to_the_image),
        CASE(how_many_segments),
        CASE(an_old_rom_knows_no_chip_ids),
        CASE(entry_points),
        CASE(data_that_nothing_refers_to_is_misplaced),
        CASE(the_last_word_is_a_reference),
        CASE(versions_of_bootloaders),
        CASE(what_is_not_signed_is_told),
        CASE(what_an_encrypting_chip_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
