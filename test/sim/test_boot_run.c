// SPDX-License-Identifier: Apache-2.0
/** @file
 * A boot around what the bootloader decides: what the model takes a bootloader for, flash that wraps at its end, what
 * is written and what is only read, and what is told of all that.
 */
#include "format/sr_sha256.h"
#include "make/dummy_image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/support_boot.h"

#define MIB (1u << 20)

static const uint8_t key[32] = {1, 2, 3};

static void sha256_of(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, bytes, length);
    assert_int_equal(sr_sha256_finish(&sha, digest), 0);
}

static void what_the_rom_of_a_chip_knows(void **state)
{
    (void)state;
    const boot_chip_t none = {0};
    assert_false(boot_rom_knows_recovery(&none));
    assert_false(boot_rom_knows_version(&none));
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        const sr_chip_t *which = sr_chip_at(i);
        const boot_chip_t first = {.chip = which, .revision_told = true}, not_told = {.chip = which};
        const boot_chip_t told = {.chip = which, .revision = which->recovery_revision};
        const bool has_rom = which->recovery_revision != 0;
        assert_int_equal(boot_rom_knows_version(&not_told), which->rom_checks_version);
        assert_int_equal(boot_rom_knows_recovery(&not_told), has_rom);
        assert_int_equal(boot_rom_knows_recovery(&told), has_rom);
        assert_false(boot_rom_knows_recovery(&first)); /* v0.0 */
    }
}

// A flash of 1 MiB under a table for more: what lies past its end is its beginning.

typedef struct reads {
    uint8_t seen[MIB];
    bool outside;
} reads_t;

static reads_t all_reads;

static void note_read(void *context, uint32_t address, uint32_t length)
{
    reads_t *reads = context;
    reads->outside = reads->outside || address >= MIB || length > MIB - address || length == 0;
    if (!reads->outside) {
        memset(reads->seen + address, 1, length);
    }
}

static void flash_wraps_at_its_end(void **state)
{
    (void)state;
    for (uint32_t before = 0x10; before < 0x280; before += 0x30) { /* of the image, in front of the end */
        on_chip(&esp32);
        const uint32_t length = put_app(SLOT(0), &good_app), place = MIB - before;
        uint8_t expected[SR_SHA256_SIZE];
        sha256_of(flash + SLOT(0), length, expected);
        const uint32_t there = before < length ? before : length;
        memcpy(flash + place, flash + SLOT(0), there);
        memcpy(flash, flash + SLOT(0) + there, length - there);
        memset(flash + SLOT(0), 0xFF, length);
        put_factory(place, SLOT_SIZE);
        memset(&all_reads, 0, sizeof(all_reads));
        boot_run(&chip, flash, MIB, note_read, &all_reads, &result);
        assert_int_equal(result.outcome, BOOT_BOOTS);
        assert_int_equal(result.app.address, place);
        assert_int_equal(result.app.length, length);
        assert_memory_equal(result.app.sha256, expected, sizeof(expected));
        assert_false(all_reads.outside);
        for (uint32_t i = 0; i < length; i++) { /* the boot depends on all of it, */
            assert_true(all_reads.seen[(place + i) % MIB]);
        }
        assert_false(all_reads.seen[(place + length) % MIB]); /* and on nothing behind it */
        flash[(place + length - 33) % MIB] ^= 1;
        boot_run(&chip, flash, MIB, NULL, NULL, &result);
        assert_int_equal(result.outcome, BOOT_BOOTLOADER_REJECTS);
    }
}

static void sizes_that_are_no_flash(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 0xFFF, 0x1001, 0x1FFF, FLASH_SIZE - 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        boot_run(&chip, flash, sizes[i], NULL, NULL, &result);
        assert_int_equal(result.outcome, BOOT_ROM_REJECTS);
        assert_non_null(strstr(result.reason, "no such chip, or a flash of"));
    }
    boot_run(&chip, flash, 0x1000, NULL, NULL, &result); /* the smallest */
    assert_null(strstr(result.reason, "no such chip"));
    chip.chip = NULL;
    boot_run(&chip, flash, FLASH_SIZE, NULL, NULL, &result);
    assert_non_null(strstr(result.reason, "no such chip"));
}

static unsigned times_read;

static void count_reads(void *context, uint32_t address, uint32_t length)
{
    const uint32_t *place = context;
    times_read += *place - address < length ? 1 : 0;
}

// A boot depends on all that it looked at, of an app that it refused, too; and on nothing behind an image.
static void a_boot_depends_on_what_it_read(void **state)
{
    (void)state;
    put_factory(SLOT(0), SLOT_SIZE);
    const uint32_t length = put_app(SLOT(0), &(app_spec_t){.hash = false}), end = SLOT(0) + length;
    for (unsigned broken = 0; broken < 2; broken++) {
        uint32_t place = SLOT(0) + length - 64; /* in its code */
        flash[place] ^= (uint8_t)broken;
        times_read = 0;
        boot_run(&chip, flash, FLASH_SIZE, count_reads, &place, &result);
        assert_int_equal(boot_succeeds(&result), broken == 0);
        assert_true(times_read > 0);
        times_read = 0;
        place = end;
        boot_run(&chip, flash, FLASH_SIZE, count_reads, &place, &result);
        assert_int_equal(times_read, 0);
    }
}

// What a boot writes is in the copy alone; without that, there is none.
static void a_boot_aside_leaves_the_flash_as_it_is(void **state)
{
    (void)state;
    uint8_t *aside = calloc(1, FLASH_SIZE), *before = malloc(FLASH_SIZE);
    put_slots(false, 1);
    put_app(SLOT(0), &good_app);
    memcpy(before, flash, FLASH_SIZE);
    assert_ptr_equal(boot_run_aside(&chip, flash, aside, FLASH_SIZE, NULL, NULL, &result), aside);
    assert_true(result.flash_changed);
    assert_memory_equal(flash, before, FLASH_SIZE);
    sr_otadata_encode(1, SR_OTA_VALID, before + OTADATA);
    assert_memory_equal(aside, before, FLASH_SIZE);
    memset(aside, 0, FLASH_SIZE);
    memcpy(flash, before, FLASH_SIZE);
    assert_ptr_equal(boot_run_aside(&chip, flash, aside, FLASH_SIZE, NULL, NULL, &result), flash);
    assert_false(result.flash_changed);
    assert_int_equal(aside[OTADATA], 0);
    free(aside);
    free(before);
}

// An entry that is there already is written once more, but nothing changes; erasing what is not erased does.
static void what_counts_as_a_change(void **state)
{
    (void)state;
    put_slots(false, 1);
    put_app(SLOT(0), &good_app);
    sr_otadata_encode(1, SR_OTA_VALID, flash + OTADATA);
    flash[OTADATA + 28] ^= 1; /* selects nothing, and is not the last word: no sequence is written */
    put_slots(false, 1);
    boot();
    assert_false(result.flash_changed);
    memset(flash + OTADATA, 0xFF, 0x2000);
    boot();
    assert_true(result.flash_changed); /* programmed, where all was erased */
    memset(flash + OTADATA, 0xFF, 0x2000);
    sr_partition_table_entry_t entries[] = {otadata_partition, app_partition(SR_PARTITION_APP_OTA_0, SLOT(0))};
    entries[0].address = OTADATA + 2; /* where nothing can be programmed */
    put_table(entries, 2);
    boot();
    assert_false(result.flash_changed);
    flash[OTADATA + SR_SECTOR_SIZE - 1] = 0; /* in the sector that is erased */
    flash[OTADATA + SR_SECTOR_SIZE] = 0;     /* and in the next one */
    boot();
    assert_true(result.flash_changed);
    assert_int_equal(flash[OTADATA + SR_SECTOR_SIZE - 1], 0xFF);
    assert_int_equal(flash[OTADATA + SR_SECTOR_SIZE], 0);
    entries[0].address = SLOT(3) + SR_SECTOR_SIZE - 1; /* in the last byte of one */
    put_table(entries, 2);
    flash[SLOT(3)] = flash[SLOT(3) + SR_SECTOR_SIZE + 100] = 0;
    boot();
    assert_int_equal(flash[SLOT(3)], 0xFF);
    assert_int_equal(flash[SLOT(3) + SR_SECTOR_SIZE + 100], 0);
}

// Which revision a bootloader compares: what it tells of its generation, by words or by a descriptor.

typedef enum generation { OLD, FULL } generation_t;

static void which_revision_a_bootloader_reads(void **state)
{
    (void)state;
    static const struct {
        const memory_t *memory;
        const char *version, *words;
        generation_t generation;
    } cases[] = {
        {&esp32, "v5.5", "", FULL},
        {&esp32, NULL, "", FULL},
        {&esp32, NULL, "chip rev >= v%", FULL},
        {&esp32, NULL, "chip revision check failed. Required", FULL},
        {&esp32, NULL, "load_end > load_addr", FULL},
        {&esp32, NULL, "on lower chip revision", OLD},
        {&esp32, NULL, "configured for minimum revision", OLD},
        {&esp32, NULL, "sp < &_bss_start", OLD},
        {&esp32, NULL, "sp < &_bss_start, load_end > load_addr", FULL},
        {&esp32, NULL, "on lower chip revision, chip rev >= v%", FULL},
        {&esp32, "v5.5", "on lower chip revision", FULL},
        {&esp32, "v4.4", "on lower chip revision", OLD},
        {&esp32c3, NULL, "on lower chip revision", OLD},
        {&esp32c3, NULL, "", FULL},
        {&esp32c6, NULL, "on lower chip revision", FULL}, /* which came with v5 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        on_chip(cases[i].memory);
        put_loader(cases[i].version, cases[i].words, 2);
        put_factory(SLOT(0), SLOT_SIZE);
        put_app(SLOT(0), &(app_spec_t){.min_revision = 2}); /* by the full field alone */
        chip.revision = 1;
        boot();
        assert_int_equal(result.outcome, cases[i].generation == OLD ? BOOT_BOOTS : BOOT_BOOTLOADER_REJECTS);
    }
}

/** Patches the revisions that an app without digest asks for. */
static void ask_for(uint8_t old, uint16_t minimum, uint16_t maximum)
{
    put_app(SLOT(0), &(app_spec_t){.hash = false});
    flash[SLOT(0) + 14] = old;
    flash[SLOT(0) + 15] = (uint8_t)minimum;
    flash[SLOT(0) + 16] = (uint8_t)(minimum >> 8);
    flash[SLOT(0) + 17] = (uint8_t)maximum;
    flash[SLOT(0) + 18] = (uint8_t)(maximum >> 8);
}

static void revisions_at_their_boundaries(void **state)
{
    (void)state;
    static const struct {
        const memory_t *memory;
        const char *words;
        uint16_t revision, minimum, maximum;
        uint8_t old;
        bool ignores_maximum, starts;
    } cases[] = {
        {&esp32, "", 299, 300, 0xFFFF, 0, false, false},
        {&esp32, "", 300, 300, 0xFFFF, 0, false, true},
        {&esp32, "", 301, 300, 0xFFFF, 0, false, true},
        {&esp32, "", 299, 0, 299, 0, false, true},
        {&esp32, "", 300, 0, 299, 0, false, false},
        {&esp32, "", 300, 0, 299, 0, true, true},
        {&esp32, "", 300, 301, 299, 0, true, false},
        {&esp32, "", 300, 0, 0, 0, false, true},
        {&esp32, "", 300, 0, 1, 0, false, false},
        {&esp32, "", 300, 0, 0xFFFE, 0, false, true},
        {&esp32, "", 0xFFFF, 0, 0xFFFE, 0, false, false},
        {&esp32, "", 0xFFFF, 0, 0xFFFF, 0, false, true},
        {&esp32, "", 300, 0x0200, 0, 0, false, false},
        {&esp32, "", 300, 0, 0x0100, 0, false, false},
        {&esp32, "", 300, 0, 0, 9, false, true},
        {&esp32, "sp < &_bss_start", 299, 0, 0, 3, false, false},
        {&esp32, "sp < &_bss_start", 300, 0, 0, 3, false, true},
        {&esp32, "sp < &_bss_start", 399, 400, 1, 3, false, true},
        {&esp32c3, "on lower chip revision", 2, 0, 0, 3, false, false},
        {&esp32c3, "on lower chip revision", 3, 0, 0, 3, false, true},
        {&esp32c3, "on lower chip revision", 102, 0, 0, 3, false, false},
        {&esp32c3, "on lower chip revision", 103, 0, 0, 3, false, true},
        {&esp32c3, "on lower chip revision", 199, 0, 0, 99, false, true},
        {&esp32c3, "", 0, 300, 1, 0, false, true}, /* not known */
        {&esp32, "", 0, 300, 300, 0, false, true}, /* that of the oracle */
        {&esp32, "", 0, 301, 0, 0, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        on_chip(cases[i].memory);
        put_loader(NULL, cases[i].words, 2);
        put_factory(SLOT(0), SLOT_SIZE);
        ask_for(cases[i].old, cases[i].minimum, cases[i].maximum);
        chip.revision = cases[i].revision;
        chip.efuses.ignores_max_revision = cases[i].ignores_maximum;
        expect_boots(cases[i].starts, SLOT(0), "built for another revision of the chip");
    }
    on_chip(&esp32c3); /* v0.0 is a revision, if that is told */
    put_factory(SLOT(0), SLOT_SIZE);
    ask_for(0, 1, 0);
    expect_app(SLOT(0));
    chip.revision_told = true;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "built for another revision of the chip");
}

// The bootloader's own demand: the minimum alone, and its chip.
static void what_a_bootloader_asks_of_the_chip(void **state)
{
    (void)state;
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &good_app);
    flash[0x1000 + 15] = (uint8_t)301;
    flash[0x1000 + 16] = (uint8_t)(301 >> 8);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "asks for a newer chip than revision v3.0");
    chip.revision = 199;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "asks for a newer chip than revision v1.99");
    chip.revision = 301;
    expect_app(SLOT(0));
    flash[0x1000 + 17] = 1; /* its maximum is not looked at */
    flash[0x1000 + 18] = 0;
    expect_app(SLOT(0));
    chip.revision = 299;
    flash[0x1000 + 12] = 1;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "the bootloader's header names another chip");
}

// Since v3.0 of the ESP32-P4 the stack of its ROM is elsewhere.
static void the_stack_of_the_rom_may_depend_on_the_revision(void **state)
{
    (void)state;
    static const memory_t esp32p4 = {"esp32p4", 0x4FF20020, 0x4FF18000, 0x4FF0A000, 0x4FF08000};
    on_chip(&esp32p4);
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &(app_spec_t){.data_address = 0x4FFBCF00 - 0x100});
    for (uint16_t revision = 299; revision <= 301; revision++) {
        chip.revision = revision;
        expect_boots(revision < 300, SLOT(0), "overlaps the bootloader");
    }
}

// A chip without one that its ROM knows looks for no recovery bootloader.
static void nothing_is_said_of_a_recovery_bootloader_that_none_knows(void **state)
{
    (void)state;
    chip.recovery = 0x100000;
    flash[0x1000] = 0;
    expect_failure(BOOT_ROM_REJECTS, "invalid bootloader header");
    assert_null(strstr(result.reason, "recovery"));
}

// With a descriptor it is of v5.2 or later, and loads a segment to where older ones on this chip may not.
static void which_bootloaders_have_a_descriptor(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        uint32_t length;
        bool other_magic, described;
    } cases[] = {{"v5.2", 256, false, true},  {"v5.2", 256, true, false},  {"v9.9", 256, false, true},
                 {"v6.0", 256, false, true},  {"v4.9", 256, false, false}, {"v:.0", 256, false, false},
                 {"x5.2", 256, false, false}, {"v5.2", 12, false, false},  {"v5.2", 16, false, true}};
    put_factory(SLOT(0), SLOT_SIZE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t data[256] = {0};
        assert_int_equal(image_write_bootloader_desc(cases[i].version, 0, data), IMAGE_WRITE_OK);
        data[0] ^= cases[i].other_magic;
        put_loader_with(data, cases[i].length, 2);
        put_app(SLOT(0), &(app_spec_t){.data_address = 0x400A4000});
        boot();
        assert_int_equal(result.outcome, cases[i].described ? BOOT_BOOTS : BOOT_NOT_KNOWN);
    }
}

// A bootloader goes by the size in its header if it knows that: all know up to 16 MB, of the others what it names.
static void the_flash_size_a_bootloader_knows(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        char words[24];
        uint32_t size;
    } cases[] = {
        {0, "", MIB},
        {1, "", 2 * MIB},
        {4, "", 16 * MIB},
        {4, "2MB", 16 * MIB},
        {5, "32MB", 32 * MIB},
        {5, "32MBx", 2 * MIB},
        {5, "16MB", 2 * MIB},
        {6,
         "16MB\0"
         "64MB",
         64 * MIB},
        {8, "16MB", 2 * MIB},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t data[256] = {0};
        assert_int_equal(image_write_bootloader_desc("v5.5", 0, data), IMAGE_WRITE_OK);
        memset(data + 100, 'x', sizeof(data) - 100);
        memcpy(data + 128, cases[i].words, sizeof(cases[i].words));
        memcpy(data + 160, "16MB", 5); /* names others */
        put_loader_with(data, sizeof(data), cases[i].code);
        put_app(SLOT(0), &good_app);
        sr_partition_table_entry_t entries[] = {app_partition(SR_PARTITION_APP_FACTORY, SLOT(0)),
                                                {SR_PARTITION_TYPE_DATA, 0x82, cases[i].size, 0, 0, "d"}};
        put_table(entries, 2);
        expect_app(SLOT(0));
        entries[1].address++;
        put_table(entries, 2);
        char text[40];
        (void)snprintf(text, sizeof(text), "past the %u MB", (unsigned)(cases[i].size >> 20));
        expect_failure(BOOT_BOOTLOADER_REJECTS, text);
    }
}

// The old bootloader looks for its table in one place, any other one in another.
static void which_table_a_bootloader_reads(void **state)
{
    (void)state;
    put_app(SLOT(0), &good_app);
    boot();
    assert_int_equal(boot_table_offset(&chip, flash, FLASH_SIZE), TABLE);
    memcpy(chip.old_loader, result.bootloader.sha256, sizeof(chip.old_loader));
    const uint8_t other = chip.old_loader[31] ^ 1;
    static const struct {
        uint32_t table, new_table;
        bool is_old;
        uint32_t expected;
    } cases[] = {{0, 0, true, TABLE},
                 {0, 0, false, TABLE},
                 {0x9000, 0, false, 0x9000},
                 {0x9000, 0xB000, true, 0x9000},
                 {0x9000, 0xB000, false, 0xB000},
                 {0, 0xB000, true, TABLE},
                 {0, 0xB000, false, 0xB000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        boot_chip_t which = chip;
        which.partition_table = cases[i].table;
        which.new_partition_table = cases[i].new_table;
        which.old_loader[31] = cases[i].is_old ? which.old_loader[31] : other;
        assert_int_equal(boot_table_offset(&which, flash, FLASH_SIZE), cases[i].expected);
        memset(flash + 0x8000, 0, 0x4000);
        put_factory(SLOT(0), SLOT_SIZE);
        memmove(flash + cases[i].expected, flash + TABLE, SR_PARTITION_TABLE_SIZE);
        if (cases[i].expected != TABLE) {
            memset(flash + TABLE, 0, SR_PARTITION_TABLE_SIZE);
        }
        boot_run(&which, flash, FLASH_SIZE, NULL, NULL, &result);
        assert_int_equal(result.outcome, BOOT_BOOTS);
    }
}

// Without a bootloader that can be read, the table is where the old one has it.
static void where_no_bootloader_is_the_old_table_counts(void **state)
{
    (void)state;
    chip.partition_table = 0x9000;
    chip.new_partition_table = 0xB000;
    assert_int_equal(boot_table_offset(&chip, flash, FLASH_SIZE), 0xB000);
    assert_int_equal(boot_table_offset(&chip, flash, 0x800), 0x9000); /* a flash that ends before it, */
    assert_int_equal(boot_table_offset(&chip, flash, 0x1000), 0x9000);
    assert_int_equal(boot_table_offset(&chip, flash, 0x1100), 0x9000); /* or in it */
    flash[0x1000] = 0;
    assert_int_equal(boot_table_offset(&chip, flash, FLASH_SIZE), 0x9000);
    put_loader("v5.5", "", 2); /* larger than any chip has RAM for */
    sr_bytes_put_le32(flash + 0x1000 + 28, 0x200000);
    assert_int_equal(boot_table_offset(&chip, flash, FLASH_SIZE), 0x9000);
}

static void an_encrypting_chip_reads_its_bootloader_decrypted(void **state)
{
    (void)state;
    flash_cipher_t *cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    chip.cipher = cipher;
    chip.partition_table = 0x9000;
    chip.new_partition_table = 0xB000;
    assert_int_equal(boot_table_offset(&chip, flash, FLASH_SIZE), 0x9000);
    flash_cipher_encrypt(cipher, 0x1000, flash + 0x1000, 0x7000);
    assert_int_equal(boot_table_offset(&chip, flash, FLASH_SIZE), 0xB000);
    flash_cipher_delete(cipher);
}

// One that was built with Flash Encryption encrypts before it starts the app; the old one was not, nor is MCUboot.
static void which_bootloader_encrypts_first(void **state)
{
    (void)state;
    flash_cipher_t *cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &good_app);
    expect_app(SLOT(0));
    assert_false(result.encrypts);
    chip.first_encryption = cipher;
    expect_app(SLOT(0));
    assert_true(result.encrypts);
    memcpy(chip.old_loader, result.bootloader.sha256, sizeof(chip.old_loader));
    expect_app(SLOT(0));
    assert_false(result.encrypts);
    chip.old_loader[31] ^= 1;
    flash[SLOT(0)] = 0;
    expect_failure(BOOT_BOOTLOADER_REJECTS, "no bootable app");
    assert_false(result.encrypts);
    flash_cipher_delete(cipher);
}

static void mcuboot_is_told_by_its_magic(void **state)
{
    (void)state;
    size_t length;
    flash_cipher_t *cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    assert_int_equal(dummy_image_mcuboot(flash + 0x1000, 0xF000, &length), IMAGE_WRITE_OK);
    assert_int_equal(
        dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_NONE, flash + DUMMY_IMAGE_PRIMARY, DUMMY_IMAGE_SLOT_SIZE),
        IMAGE_WRITE_OK);
    chip.first_encryption = cipher;
    boot();
    assert_int_equal(result.outcome, BOOT_BOOTS);
    assert_int_equal(result.loader, BOOT_LOADER_MCUBOOT);
    assert_false(result.encrypts);
    chip.cipher = cipher;
    flash_cipher_encrypt(cipher, 0, flash, FLASH_SIZE);
    expect_failure(BOOT_NOT_KNOWN, "MCUboot on a chip that encrypts");
    on_chip(&esp32);
    put_factory(SLOT(0), SLOT_SIZE);
    boot();
    assert_int_equal(result.loader, BOOT_LOADER_IDF);
    flash_cipher_delete(cipher);
}

static jmp_buf power_cut;
static unsigned reads_left;

static void cut_power(void *context, uint32_t address, uint32_t length)
{
    (void)context;
    (void)address;
    (void)length;
    if (--reads_left == 0) {
        longjmp(power_cut, 1);
    }
}

/** @return how many reads are left of this number. */
static unsigned boot_for_reads(unsigned number)
{
    reads_left = number;
    if (setjmp(power_cut) == 0) {
        boot_run(&chip, flash, FLASH_SIZE, cut_power, NULL, &result);
    }
    return reads_left;
}

// The last that MCUboot does in a swap is to program single bytes: these, too, are a change, and nothing else is.
static void single_bytes_count_as_a_change(void **state)
{
    (void)state;
    static uint8_t before[FLASH_SIZE], cut[FLASH_SIZE];
    size_t length;
    assert_int_equal(dummy_image_mcuboot(flash + 0x1000, 0xF000, &length), IMAGE_WRITE_OK);
    const uint32_t slots[] = {DUMMY_IMAGE_PRIMARY, DUMMY_IMAGE_SECONDARY};
    for (unsigned i = 0; i < 2; i++) {
        const image_write_trailer_t trailer = i == 0 ? IMAGE_WRITE_TRAILER_NONE : IMAGE_WRITE_TRAILER_CONFIRMED;
        assert_int_equal(dummy_image_mcuboot_app(trailer, flash + slots[i], DUMMY_IMAGE_SLOT_SIZE), IMAGE_WRITE_OK);
    }
    memcpy(before, flash, FLASH_SIZE);
    const unsigned all = UINT32_MAX - boot_for_reads(UINT32_MAX);
    unsigned changed = 0, unchanged = 0;
    for (unsigned number = all; number > all - 30; number--) {
        memcpy(flash, before, FLASH_SIZE);
        assert_int_equal(boot_for_reads(number), 0);
        memcpy(cut, flash, FLASH_SIZE);
        boot();
        assert_true(boot_succeeds(&result));
        assert_int_equal(result.flash_changed, memcmp(cut, flash, FLASH_SIZE) != 0);
        *(result.flash_changed ? &changed : &unchanged) += 1;
    }
    assert_true(changed > 0 && unchanged > 0);
}

// With Secure Boot V1 and a key that nobody can read.
static void a_boot_that_the_digest_may_stop_is_not_known(void **state)
{
    (void)state;
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &good_app);
    memset(flash, 0x55, 192);
    chip.burnt.secure_boot_v1 = true;
    expect_failure(BOOT_NOT_KNOWN, "Secure Boot V1: without its key");
    boot_believe(&chip, flash, FLASH_SIZE);
    expect_app(SLOT(0)); /* the one that runs is taken */
    memset(chip.taken, 0, sizeof(chip.taken));
    flash[SLOT(0)] = 0; /* one that fails for another reason fails */
    expect_failure(BOOT_BOOTLOADER_REJECTS, "no bootable app");
}

// A bootloader that has a key, here the curve's base point, starts signed apps only.
static void an_app_without_signature_is_refused_where_a_key_is(void **state)
{
    (void)state;
    static const uint8_t point[64] = {0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63,
                                      0xA4, 0x40, 0xF2, 0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1,
                                      0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96, 0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A, 0x7F,
                                      0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE, 0x33, 0x57,
                                      0x6B, 0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5};
    uint8_t data[256] = {0};
    assert_int_equal(image_write_bootloader_desc("v5.5", 0, data), IMAGE_WRITE_OK);
    memcpy(data + 128, point, sizeof(point));
    put_loader_with(data, sizeof(data), 2);
    put_factory(SLOT(0), SLOT_SIZE);
    put_app(SLOT(0), &good_app);
    expect_app(SLOT(0)); /* without Secure Boot nobody looks */
    memset(flash, 0x55, 192);
    chip.burnt.secure_boot_v1 = true;
    boot_believe(&chip, flash, FLASH_SIZE);
    expect_failure(BOOT_BOOTLOADER_REJECTS, "carries no signature of Secure Boot V1");
    flash[SLOT(0) + 40] ^= 1; /* of a broken one, what is broken is said */
    expect_failure(BOOT_BOOTLOADER_REJECTS, "checksum does not match");
}

static void outcomes_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"boots", "swaps_then_boots", "rom_rejects", "bootloader_rejects", "not_known"};
    for (boot_outcome_t outcome = BOOT_BOOTS; outcome <= BOOT_NOT_KNOWN; outcome++) {
        assert_string_equal(boot_outcome_name(outcome), names[outcome]);
    }
    assert_string_equal(boot_outcome_name((boot_outcome_t)(BOOT_NOT_KNOWN + 1)), "?");
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup(function, set_up)
    const struct CMUnitTest tests[] = {
        CASE(what_the_rom_of_a_chip_knows),
        CASE(flash_wraps_at_its_end),
        CASE(a_boot_depends_on_what_it_read),
        CASE(sizes_that_are_no_flash),
        CASE(a_boot_aside_leaves_the_flash_as_it_is),
        CASE(what_counts_as_a_change),
        CASE(which_revision_a_bootloader_reads),
        CASE(revisions_at_their_boundaries),
        CASE(what_a_bootloader_asks_of_the_chip),
        CASE(the_stack_of_the_rom_may_depend_on_the_revision),
        CASE(nothing_is_said_of_a_recovery_bootloader_that_none_knows),
        CASE(which_bootloaders_have_a_descriptor),
        CASE(the_flash_size_a_bootloader_knows),
        CASE(which_table_a_bootloader_reads),
        CASE(where_no_bootloader_is_the_old_table_counts),
        CASE(an_encrypting_chip_reads_its_bootloader_decrypted),
        CASE(which_bootloader_encrypts_first),
        CASE(mcuboot_is_told_by_its_magic),
        CASE(single_bytes_count_as_a_change),
        CASE(a_boot_that_the_digest_may_stop_is_not_known),
        CASE(an_app_without_signature_is_refused_where_a_key_is),
        CASE(outcomes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
