// SPDX-License-Identifier: Apache-2.0
/** @file
 * The first start of a bootloader that encrypts: what it encrypts, in which order, what it refuses, and what each power
 * loss in it leaves, which is counted here once more from a record of the operations.
 *
 * test_first_encryption.py has the same with the program, and compares the cells with espsecure.
 */
#include "format/sr_crc32.h"
#include "sim/boot/boot_plain.h"
#include "sim/boot/first_encryption.h"
#include "sim/nor/flash_buffer.h"
#include "sim/nor/flash_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/support_boot.h"

#define KEYS   0xC000u /* NVS keys */
#define SECRET 0x30000u
#define EXTRA  0x40000u
#define SECTOR SR_SECTOR_SIZE

static const memory_t esp32c5 = {"esp32c5", 0x40848000, 0x40840000, 0x40810000, 0x40800000};

static unsigned buffers_left = UINT32_MAX;
static unsigned buffers;

uint8_t *__real_flash_buffer_new(uint32_t size);
uint8_t *__wrap_flash_buffer_new(uint32_t size);
uint8_t *__wrap_flash_buffer_new(uint32_t size)
{
    if (size != FLASH_SIZE) {
        return __real_flash_buffer_new(size);
    }
    buffers += buffers_left != 0;
    return buffers_left-- == 0 ? NULL : __real_flash_buffer_new(size);
}

void __real_flash_buffer_delete(uint8_t *buffer, uint32_t size);
void __wrap_flash_buffer_delete(uint8_t *buffer, uint32_t size);
void __wrap_flash_buffer_delete(uint8_t *buffer, uint32_t size)
{
    buffers -= size == FLASH_SIZE && buffer != NULL;
    __real_flash_buffer_delete(buffer, size);
}

static flash_cipher_t *cipher;
static first_encryption_plan_t plan;

static sr_partition_table_entry_t entry(uint8_t type, uint8_t subtype, uint32_t address, uint32_t size, bool encrypted)
{
    return (sr_partition_table_entry_t){type, subtype, address, size, encrypted ? SR_PARTITION_FLAG_ENCRYPTED : 0, "x"};
}

/** nvs, NVS keys, otadata, two slots, and one further partition. */
static void put_partitions(const sr_partition_table_entry_t *extra)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, 0x9000, 0x3000, 0, "nvs"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS_KEYS, KEYS, SECTOR, 0, "keys"},
        otadata_partition,
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT(0), SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT(1), SLOT_SIZE, 0, "ota_1"},
        extra != NULL ? *extra : (sr_partition_table_entry_t){0},
    };
    memset(flash + TABLE, 0xFF, SECTOR);
    put_table(entries, extra != NULL ? 6 : 5);
}

static void put_device(const memory_t *which, const char *version)
{
    static const uint8_t key[32] = {1, 2, 3};
    on_chip(which);
    put_loader(version, "", 2);
    put_partitions(NULL);
    put_app(SLOT(0), &good_app);
    flash_cipher_delete(cipher);
    cipher = flash_cipher_new(which == &esp32 ? FLASH_CIPHER_AES_256 : FLASH_CIPHER_XTS_128, key, sizeof(key), 0xF);
    chip.first_encryption = cipher;
}

static int start(void **state)
{
    (void)state;
    put_device(&esp32, "v5.5");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    flash_cipher_delete(cipher);
    cipher = NULL;
    return 0;
}

static void find(void)
{
    first_encryption_find(&chip, flash, FLASH_SIZE, &plan);
}

typedef struct part {
    uint32_t address, size;
    bool encrypted;
    const char *label;
} part_t;

static void expect_parts(const part_t *parts, unsigned count)
{
    find();
    assert_string_equal(plan.fault, "");
    assert_int_equal(plan.count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(plan.parts[i].region.address, parts[i].address);
        assert_int_equal(plan.parts[i].region.size, parts[i].size);
        assert_int_equal(plan.parts[i].encrypted, parts[i].encrypted);
        assert_string_equal(plan.parts[i].label, parts[i].label);
    }
}

static void what_is_encrypted_in_which_order(void **state)
{
    (void)state;
    const part_t parts[] = {{0x1000, SECTOR, true, "bootloader"}, {TABLE, SECTOR, true, "table"},
                            {KEYS, SECTOR, true, "keys"},         {OTADATA, 2 * SECTOR, true, "o"},
                            {SLOT(0), SECTOR, true, "ota_0"},     {SLOT(1), SLOT_SIZE, false, "ota_1"}};
    expect_parts(parts, 6);
    chip.efuses.secure_version = 1; /* an app that is too old to be started is one all the same */
    expect_parts(parts, 6);
}

// Since v5.3 only an image is encrypted, and not what follows it in its slot.
static void of_apps_images_or_partitions(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        bool images;
    } cases[] = {{"v5.2", false}, {"v5.3", true}, {"v5.4", true}, {"v6.0", true}, {"v9.0", true}, {"v4.4", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_device(&esp32, cases[i].version);
        find();
        assert_int_equal(plan.images_only, cases[i].images);
        assert_int_equal(plan.parts[4].region.size, cases[i].images ? SECTOR : SLOT_SIZE);
        assert_int_equal(plan.parts[5].region.size, SLOT_SIZE);
    }
}

static void put_block(uint32_t address)
{
    uint8_t *block = flash + address;
    memset(block, 0x11, 1216);
    block[0] = 0xE7;
    block[1] = 2;
    sr_bytes_put_le32(block + 1196, sr_crc32(0, block, 1196));
}

// With its signature blocks, which begin with the next sector.
static void a_signature_belongs_to_its_image(void **state)
{
    (void)state;
    put_block(SLOT(0) + SECTOR);
    find();
    assert_int_equal(plan.parts[0].region.size, SECTOR);
    assert_int_equal(plan.parts[4].region.size, 2 * SECTOR);
    put_block(0x2000);
    find();
    assert_int_equal(plan.parts[0].region.size, 2 * SECTOR);
    flash[0x2000 + 100] ^= 1;
    find();
    assert_int_equal(plan.parts[0].region.size, SECTOR);
}

// What a further partition adds.
static void which_partitions_are_encrypted(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, subtype;
        uint32_t address, size;
        bool flag;
        unsigned parts; /* that it adds */
        bool encrypted;
    } cases[] = {
        {SR_PARTITION_TYPE_DATA, 0x82, EXTRA, 0x2000, false, 0, false},
        {SR_PARTITION_TYPE_DATA, 0x82, EXTRA, 0x2000, true, 1, true},
        {0x40, 0, EXTRA, 0x2000, true, 1, true},
        {0x40, 0, EXTRA, 0x2000, false, 0, false},
        {SR_PARTITION_TYPE_BOOTLOADER, 2, EXTRA, 0x2000, false, 1, true},           /* a copy of the bootloader; */
        {SR_PARTITION_TYPE_BOOTLOADER, 2, EXTRA + 0x4000, 0x2000, false, 1, false}, /* none */
        {SR_PARTITION_TYPE_TABLE, 1, EXTRA + 0x8000, SECTOR, false, 1, true},       /* a copy of the table; */
        {SR_PARTITION_TYPE_TABLE, 1, EXTRA + 0x4000, SECTOR, false, 1, false},      /* none, as without entries, */
        {SR_PARTITION_TYPE_TABLE, 1, EXTRA + 0x9000, SECTOR, false, 1, false},      /* damaged */
        {SR_PARTITION_TYPE_TABLE, 1, EXTRA + 0xA000, SECTOR, false, 1, true},       /* with one entry */
        {SR_PARTITION_TYPE_BOOTLOADER, 0, 0x1000, 0x7000, false, 0, false},         /* the primary ones */
        {SR_PARTITION_TYPE_TABLE, 0, TABLE, SECTOR, false, 0, false},
    };
    memcpy(flash + EXTRA, flash + 0x1000, SECTOR);
    memcpy(flash + EXTRA + 0x8000, flash + TABLE, SECTOR);
    memcpy(flash + EXTRA + 0x9000, flash + TABLE, SECTOR);
    flash[EXTRA + 0x9000 + 20] ^= 1;
    put_factory(SLOT(0), SLOT_SIZE);
    memcpy(flash + EXTRA + 0xA000, flash + TABLE, SECTOR);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sr_partition_table_entry_t extra =
            entry(cases[i].type, cases[i].subtype, cases[i].address, cases[i].size, cases[i].flag);
        put_partitions(&extra);
        find();
        assert_string_equal(plan.fault, "");
        assert_int_equal(plan.count, 6 + cases[i].parts);
        if (cases[i].parts != 0) {
            assert_int_equal(plan.parts[6].region.address, cases[i].address);
            assert_int_equal(plan.parts[6].region.size, cases[i].size);
            assert_int_equal(plan.parts[6].encrypted, cases[i].encrypted);
            assert_string_equal(plan.parts[6].label, "x");
        }
    }
}

// The first partition of a table counts as any other.
static void the_first_partition_of_a_table_counts(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {app_partition(SR_PARTITION_APP_FACTORY, SLOT(0)),
                                                  entry(SR_PARTITION_TYPE_DATA, 0x82, SLOT(0) + 0x800, 0x100, false)};
    put_table(entries, 1);
    find();
    assert_int_equal(plan.count, 3);
    assert_string_equal(plan.fault, "");
    put_table(entries, 2);
    find();
    assert_non_null(strstr(plan.fault, "partition 'app' is encrypted in whole sectors"));
    const sr_partition_table_entry_t turned[] = {entries[1], entries[0]};
    put_table(turned, 2);
    find();
    assert_non_null(strstr(plan.fault, "partition 'app' is encrypted in whole sectors, and with it the start of 'x'"));
}

static void what_it_would_destroy(void **state)
{
    (void)state;
    static const struct {
        uint32_t address, size;
        bool flag;
        const char *fault;
    } cases[] = {
        {EXTRA + 0x800, 0x800, true, "partition 'x' starts at 0x40800, which is no multiple of 0x1000"},
        {EXTRA + 0x800, 0x800, false, NULL},
        {EXTRA, 0x800, true, NULL},
        {0x1800, 0x100, false, "partition 'bootloader' is encrypted in whole sectors, and with it the start of 'x'"},
        {TABLE + 0xC00, 0x100, false, "partition 'table' is encrypted in whole sectors, and with it the start of 'x'"},
        {KEYS + 0x800, 0x100, false, "partition 'keys' is encrypted in whole sectors, and with it the start of 'x'"},
        {KEYS + SECTOR, 0x100, false, NULL},
        {SLOT(1) + SECTOR, SECTOR, false, NULL}, /* in a slot that is not encrypted */
        {0x1000000 - SECTOR, SECTOR, true, NULL},
        {0x1000000, SECTOR, true, "partition 'x' at 0x1000000 ends past 16 MB"},
        {0x1000000, SECTOR, false, NULL},
        {0x1000000 - SECTOR, 2 * SECTOR, true, "partition 'x' at 0xfff000 ends past 16 MB"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_loader("v5.5", "32MB", 5);
        const sr_partition_table_entry_t extra =
            entry(SR_PARTITION_TYPE_DATA, 0x82, cases[i].address, cases[i].size, cases[i].flag);
        put_partitions(&extra);
        find();
        if (cases[i].fault == NULL) {
            assert_string_equal(plan.fault, "");
        } else {
            assert_non_null(strstr(plan.fault, cases[i].fault));
        }
    }
}

static void what_the_efuses_forbid(void **state)
{
    (void)state;
    static const efuse_purpose_t keys[] = {EFUSE_PURPOSE_AES_256, EFUSE_PURPOSE_XTS_128, EFUSE_PURPOSE_XTS_128_SHORT,
                                           EFUSE_PURPOSE_XTS_256_1, EFUSE_PURPOSE_XTS_256_2};
    find();
    assert_string_equal(plan.fault, "");
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        chip.burnt = (efuse_set_t){.keys = {{.purpose = keys[i], .length = 32}}};
        find();
        assert_string_equal(plan.fault, "");
        chip.burnt.keys[0].readable = true;
        find();
        assert_non_null(strstr(plan.fault, "the key of Flash Encryption that is burnt can be read"));
        chip.burnt.crypt_count = 3; /* switched on and off before, with it */
        find();
        assert_string_equal(plan.fault, "");
        chip.burnt.crypt_count = 1;
        find();
        assert_string_equal(plan.fault, "");
        chip.burnt.crypt_count = 0;
        chip.burnt.keys[0].purpose = EFUSE_PURPOSE_DIGEST_0;
        find();
        assert_string_equal(plan.fault, "");
    }
    chip.burnt = (efuse_set_t){.crypt_count_locked = true};
    chip.burnt.keys[0] = (efuse_key_t){.purpose = EFUSE_PURPOSE_AES_256, .readable = true, .length = 32};
    find();
    assert_non_null(strstr(plan.fault, "the eFuse that counts is write-protected")); /* the first fault */
    flash[0x1000] = 0;
    find();
    assert_string_equal(plan.fault, "the mask ROM starts no bootloader");
    assert_int_equal(plan.count, 0);
}

static void the_chip_afterwards(void **state)
{
    (void)state;
    static const uint8_t counts[][2] = {{0, 1}, {1, 3}, {3, 7}, {7, 15}, {0x7F, 0xFF}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        chip.burnt.crypt_count = counts[i][0];
        const boot_chip_t then = first_encryption_chip(&chip);
        assert_int_equal(then.burnt.crypt_count, counts[i][1]);
        assert_int_equal(then.burnt.crypt_config, 0xF);
        assert_ptr_equal(then.cipher, cipher);
        assert_null(then.first_encryption);
    }
}

// The work itself.

static nor_flash_t *new_flash(void)
{
    nor_flash_t *nor = nor_flash_new(FLASH_SIZE, nor_timing_find(NULL));
    memcpy(nor_flash_bytes(nor), flash, FLASH_SIZE);
    return nor;
}

static first_encryption_result_t run(nor_flash_t *nor, unsigned torn_states, uint32_t sample)
{
    const first_encryption_losses_t losses = {.torn_states = torn_states, .sample = sample};
    first_encryption_result_t told;
    memset(&told, 0xFF, sizeof(told));
    nor_flash_reset_stats(nor);
    buffers = 0;
    assert_true(first_encryption_run(&chip, &plan, &losses, nor, &told));
    assert_int_equal(buffers, 0);
    return told;
}

/** How many sectors of the plan are encrypted. */
static uint32_t count_sectors(void)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < plan.count; i++) {
        count += plan.parts[i].encrypted ? plan.parts[i].region.size / SECTOR : 0;
    }
    return count;
}

static void the_parts_are_encrypted_and_nothing_else(void **state)
{
    (void)state;
    for (unsigned chips = 0; chips < 2; chips++) {
        put_device(chips == 0 ? &esp32 : &esp32c5, "v5.5");
        const uint32_t row = chips == 0 ? 32 : 64;
        find();
        nor_flash_t *nor = new_flash();
        const first_encryption_result_t told = run(nor, 0, 0);
        boot();
        assert_true(result.flash_changed); /* the first sequence number, which is written before that */
        for (unsigned i = 0; i < plan.count; i++) {
            if (plan.parts[i].encrypted) {
                flash_cipher_encrypt(cipher, plan.parts[i].region.address, flash + plan.parts[i].region.address,
                                     plan.parts[i].region.size);
            }
        }
        assert_memory_equal(nor_flash_view(nor), flash, FLASH_SIZE);
        assert_int_equal(count_sectors(), 6);
        assert_int_equal(told.stats.sector_erases, 6);
        assert_int_equal(told.stats.page_programs, 6 * SECTOR / row);
        assert_int_equal(told.stats.bytes_programmed, 6 * SECTOR);
        assert_int_equal(told.states, 0);
        assert_int_equal(told.starts_over + told.recovers + told.does_not_boot, 0);
        chip = first_encryption_chip(&chip);
        memcpy(flash, nor_flash_view(nor), FLASH_SIZE);
        expect_app(SLOT(0));
        nor_flash_delete(nor);
    }
}

typedef struct tally {
    uint32_t states, starts_over, recovers, does_not_boot;
} tally_t;

/** What boots of a state, told anew. */
static void count_state(const uint8_t *state, uint8_t *aside, tally_t *tally)
{
    boot_result_t what;
    (void)boot_run_aside(&chip, state, aside, FLASH_SIZE, NULL, NULL, &what);
    tally->states++;
    if (!boot_succeeds(&what) || (what.encrypts && what.recovered)) {
        tally->does_not_boot++;
    } else if (what.encrypts) {
        tally->starts_over++;
    } else {
        tally->recovers++;
    }
}

static tally_t count_all(const flash_record_t *record, unsigned torn_states, uint32_t step)
{
    tally_t tally = {0};
    flash_replay_t replay;
    flash_step_t next;
    uint8_t *copy = malloc(FLASH_SIZE), *aside = malloc(FLASH_SIZE), *torn = malloc(SECTOR);
    (void)boot_run_aside(&chip, flash, copy, FLASH_SIZE, NULL, NULL, &result);
    assert_true(result.flash_changed);
    count_state(copy, aside, &tally);
    assert_true(flash_replay_open(record, &replay));
    for (uint32_t i = 0; flash_replay_next(&replay, &next); i++) {
        const sr_region_t range = {next.op.address, next.op.length};
        const bool tried = i % step == 0 || sr_region_overlaps(range, plan.parts[0].region);
        memcpy(torn, copy + range.address, range.size);
        for (unsigned seed = 0; tried && seed < torn_states; seed++) {
            nor_tear(&next.op, seed, copy + range.address, next.after);
            count_state(copy, aside, &tally);
            memcpy(copy + range.address, torn, range.size);
        }
        flash_step_apply(&next, copy);
        if (tried) {
            count_state(copy, aside, &tally);
        }
    }
    flash_replay_close(&replay);
    free(copy);
    free(aside);
    free(torn);
    return tally;
}

/** The same from a record and from the run. */
static void compare(unsigned torn_states, uint32_t sample)
{
    find();
    const uint32_t operations = count_sectors() * (1 + SECTOR / (map == &esp32 ? 32 : 64));
    const uint32_t step = sample == 0 ? 1 : (operations + sample - 1) / sample;
    nor_flash_t *nor = new_flash();
    flash_record_t *record = flash_record_new(nor);
    const first_encryption_result_t silent = run(nor, 0, 0);
    assert_int_equal(silent.stats.operations, operations);
    const tally_t expected = count_all(record, torn_states, step);
    flash_record_delete(record);
    nor_flash_delete(nor);
    nor = new_flash();
    const first_encryption_result_t told = run(nor, torn_states, sample);
    nor_flash_delete(nor);
    assert_int_equal(told.states, expected.states);
    assert_int_equal(told.starts_over, expected.starts_over);
    assert_int_equal(told.recovers, expected.recovers);
    assert_int_equal(told.does_not_boot, expected.does_not_boot);
    assert_int_equal(told.stats.operations, operations);
}

static void each_power_loss_is_counted(void **state)
{
    (void)state;
    compare(1, 0);
    compare(3, 0);
}

static void some_power_losses_behind_the_bootloader_are_tried(void **state)
{
    (void)state;
    static const uint32_t samples[] = {1, 2, 7, 129, 773, 774, 775};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        compare(1, samples[i]);
    }
}

/** A seed, not the first one, that leaves a bootloader of 80 bytes as it is in the erase of its sector. */
static uint32_t find_harmless(void)
{
    const uint32_t start_of_it = chip.chip->bootloader_offset;
    const nor_op_t op = {.kind = NOR_OP_ERASE_SECTOR, .address = start_of_it, .length = SECTOR};
    uint8_t blank[SECTOR], torn[SECTOR];
    memset(blank, 0xFF, sizeof(blank));
    for (uint32_t seed = 1; seed < 200; seed++) {
        memcpy(torn, flash + start_of_it, sizeof(torn));
        nor_tear(&op, seed, torn, blank);
        if (memcmp(torn, flash + start_of_it, 80) == 0) {
            return seed;
        }
    }
    fail();
    return 0;
}

// Each torn state is one of the flash as it was before the operation: here a later one leaves the bootloader whole.
static void torn_states_do_not_add_up(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = {1, 2, 3};
    put_device(&esp32c5, "v5.5");
    const image_write_segment_t segments[] = {
        {.load_address = map->loader_data, .data = bytes, .length = sizeof(bytes)},
        {.load_address = map->loader_code, .data = bytes, .length = sizeof(bytes)},
    };
    const image_write_esp_t spec = {.chip_id = chip.chip->image_chip_id,
                                    .spi_size = 2,
                                    .entry = map->loader_code,
                                    .max_chip_rev_full = 0xFFFF,
                                    .segments = segments,
                                    .segment_count = 2};
    size_t length;
    memset(flash + chip.chip->bootloader_offset, 0xFF, SECTOR);
    assert_int_equal(image_write_esp(&spec, flash + chip.chip->bootloader_offset, SECTOR, &length), IMAGE_WRITE_OK);
    assert_int_equal(length, 80);
    compare(find_harmless() + 1, 1);
}

// One that encrypts, too, wants the primary one to be whole; the old one starts the app.
static void a_recovery_bootloader_may_help(void **state)
{
    (void)state;
    for (unsigned encrypts = 0; encrypts < 2; encrypts++) {
        put_device(&esp32c5, "v5.5");
        memcpy(flash + 0x3F0000, flash + chip.chip->bootloader_offset, SECTOR);
        chip.recovery = 0x3F0000;
        if (encrypts == 0) {
            boot_chip_t old = chip;
            boot_run(&old, flash, FLASH_SIZE, NULL, NULL, &result);
            memcpy(chip.old_loader, result.bootloader.sha256, sizeof(chip.old_loader));
            put_loader("v5.5", "new", 2);
            memset(flash + OTADATA, 0xFF, 2 * SECTOR);
        }
        compare(2, 50);
    }
}

static void an_erase_that_fails_ends_it(void **state)
{
    (void)state;
    find();
    nor_flash_t *nor = new_flash();
    const first_encryption_losses_t none = {0};
    first_encryption_result_t told;
    buffers = 0;
    nor_flash_set_faults(nor, (nor_faults_t){.erase_per_million = 1, .single = true, .address = KEYS});
    assert_false(first_encryption_run(&chip, &plan, &none, nor, &told));
    assert_int_equal(nor_flash_stats(nor).sector_erases, 3);
    assert_int_equal(nor_flash_stats(nor).page_programs, 2 * SECTOR / 32);
    assert_int_equal(buffers, 0);
    nor_flash_set_power_loss(nor, (nor_power_loss_t){.armed = true, .operation = nor_flash_stats(nor).operations + 5});
    nor_flash_set_faults(nor, (nor_faults_t){0});
    assert_false(first_encryption_run(&chip, &plan, &none, nor, &told)); /* in a program, */
    assert_false(first_encryption_run(&chip, &plan, &none, nor, &told)); /* and in a read */
    assert_int_equal(told.stats.page_programs, 2 * SECTOR / 32 + 4);
    nor_flash_delete(nor);
}

static void without_memory_nothing_is_encrypted(void **state)
{
    (void)state;
    find();
    nor_flash_t *nor = new_flash();
    const first_encryption_losses_t losses = {.torn_states = 1, .sample = 1};
    first_encryption_result_t told;
    for (unsigned left = 0; left < 2; left++) {
        buffers = 0;
        buffers_left = left;
        assert_false(first_encryption_run(&chip, &plan, &losses, nor, &told));
        buffers_left = UINT32_MAX;
        assert_int_equal(buffers, 0);
        assert_int_equal(nor_flash_stats(nor).operations, 0);
        assert_memory_equal(nor_flash_view(nor), flash, FLASH_SIZE);
    }
    (void)run(nor, 1, 1);
    assert_int_equal(nor_erase(nor, EXTRA, SECTOR), NOR_OK); /* an observer that is left would use what is gone */
    nor_flash_delete(nor);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(what_is_encrypted_in_which_order),
        CASE(of_apps_images_or_partitions),
        CASE(a_signature_belongs_to_its_image),
        CASE(which_partitions_are_encrypted),
        CASE(the_first_partition_of_a_table_counts),
        CASE(what_it_would_destroy),
        CASE(what_the_efuses_forbid),
        CASE(the_chip_afterwards),
        CASE(the_parts_are_encrypted_and_nothing_else),
        CASE(each_power_loss_is_counted),
        CASE(some_power_losses_behind_the_bootloader_are_tried),
        CASE(torn_states_do_not_add_up),
        CASE(a_recovery_bootloader_may_help),
        CASE(an_erase_that_fails_ends_it),
        CASE(without_memory_nothing_is_encrypted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
