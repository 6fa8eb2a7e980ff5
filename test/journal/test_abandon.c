// SPDX-License-Identifier: Apache-2.0
/** @file
 * Giving up a commit: never while the record has the only copy of anything, and always if the old system is whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "journal/sr_abandon.h"

#include "format/sr_digest.h"
#include "psa/crypto.h"
#include "test/support/api_support.h"
#include "test/support/support_small.h"

#define SECTOR SR_SECTOR_SIZE
#define PLACE  0xE0000u
/** Three sectors of SOURCE move to DEST, which is larger; two of them are in the record, and so is a blank one. */
#define SOURCE  0x40000u
#define DEST    0x60000u
#define DEST_S  5u       /**< Sectors. */
#define EMPTY   0x70000u /**< Two sectors to which nothing moves, after the pages of NVS. */
#define STAYS   0x80000u /**< A sector that moves to where it is. */
#define MOVES   3u
#define IN_DEST 0u /**< Number of the entry that has moved content. */

/** A chip, and a commit from a record that has failed. */
typedef struct fixture {
    nor_flash_t *nor;
    sr_flash_t flash;
    sr_writer_t writer;
    sr_journal_t journal;
    struct sr_move list_of_moves[MOVES + 1];
    sr_moves_t moves;
    sr_abandon_t abandon;
    uint8_t list[SECTOR];
    uint8_t scratch[SECTOR];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
    uint8_t *fresh;
    bool stuck;
    char *log;
} fixture_t;

static fixture_t fixture;

/* What fails. */

static uint32_t unreadable = UINT32_MAX;     /**< As plaintext. */
static uint32_t unreadable_raw = UINT32_MAX; /**< As it lies in the cells. */
static sr_region_t dead;                     /**< Cannot be erased. */
static unsigned hash_fails_at;               /**< The digest of the sector with this number fails, from 1; 0: none. */

esp_err_t __real_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    const esp_err_t err = __real_sr_flash_read(flash, address, out, length);
    return address == unreadable ? ESP_ERR_INVALID_RESPONSE : err;
}

esp_err_t __real_sr_flash_read_raw(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read_raw(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read_raw(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    const esp_err_t err = __real_sr_flash_read_raw(flash, address, out, length);
    return address == unreadable_raw ? ESP_ERR_INVALID_RESPONSE : err;
}

esp_err_t __real_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length)
{
    return sr_region_overlaps(dead, (sr_region_t){address, length}) ? ESP_ERR_TIMEOUT
                                                                    : __real_sr_flash_erase(flash, address, length);
}

psa_status_t __real_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);
psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);
psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length)
{
    const bool fails = hash_fails_at > 0 && length == SECTOR && --hash_fails_at == 0;
    return fails ? PSA_ERROR_HARDWARE_FAILURE : __real_psa_hash_update(operation, input, length);
}

/* The record. */

static void add(uint32_t address, uint32_t sectors, sr_record_group_t group, bool blank)
{
    const sr_record_entry_t entry = {.address = address, .sectors = sectors, .group = group, .blank = blank};
    assert_int_equal(sr_journal_add(&fixture.journal, &entry), ESP_OK);
}

/* As many sectors of the source as the entry with moved content has. */
static void vouch(void)
{
    uint8_t digest[SR_SHA256_SIZE];
    const uint32_t size = sr_journal_entry(&fixture.journal, IN_DEST).sectors * SECTOR;
    assert_true(sr_digest(nor_flash_view(fixture.nor) + SOURCE, size, digest));
    sr_journal_set_digest(&fixture.journal, IN_DEST, digest);
}

static void list_entries(uint32_t moved_sectors)
{
    sr_journal_start(&fixture.journal, 0);
    add(DEST, moved_sectors, SR_RECORD_DATA, false);
    add(SMALL_NVS, 1, SR_RECORD_DATA, false);
    add(DEST - SECTOR, 1, SR_RECORD_DATA, false);
    add(DEST + 4 * SECTOR, 1, SR_RECORD_DATA, true);
    add(DEST + DEST_S * SECTOR, 1, SR_RECORD_DATA, false);
    add(SMALL_BOOTLOADER, 1, SR_RECORD_BOOTLOADER, false);
    add(SR_PARTITION_TABLE_OFFSET, 1, SR_RECORD_TABLE, false);
    vouch();
    /* Not counted. */
    const sr_record_entry_t stale = {.address = DEST, .sectors = 1};
    sr_record_write_entry(fixture.list, fixture.journal.header.count, &stale);
}

static int setup(void **state)
{
    (void)state;
    fixture = (fixture_t){.nor = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}})};
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = fixture.nor, .running_app = SMALL_SLOTS};
    uint8_t *bytes = nor_flash_bytes(fixture.nor);
    memset(bytes + PLACE, 0xFF, SMALL_FLASH_SIZE - PLACE);
    memset(bytes + EMPTY, 0xFF, 2 * SECTOR);
    memcpy(bytes + DEST + 2 * SECTOR, bytes + SOURCE + 2 * SECTOR, SECTOR);
    fixture.fresh = small_copy(fixture.nor);
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_flash_open(&fixture.flash), ESP_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_chip_detach();
    nor_flash_delete(fixture.nor);
    free(fixture.fresh);
    free(fixture.log);
    return 0;
}

/* A record that need not be kept: the boot path is as it was, and all that moves is still where it was. */
static void prepare(void)
{
    memcpy(nor_flash_bytes(fixture.nor), fixture.fresh, SMALL_FLASH_SIZE);
    fixture.writer = (sr_writer_t){.flash = &fixture.flash, .readback = fixture.readback, .attempts = 1};
    fixture.journal = (sr_journal_t){.flash = &fixture.flash, .list = fixture.list};
    fixture.list_of_moves[0] = (struct sr_move){.source = {SOURCE, 3 * SECTOR}, .destination = {DEST, DEST_S * SECTOR}};
    fixture.list_of_moves[1] = (struct sr_move){.destination = {EMPTY, 2 * SECTOR}};
    fixture.list_of_moves[2] = (struct sr_move){.source = {STAYS, SECTOR}, .destination = {STAYS, SECTOR}};
    /* Not counted. */
    fixture.list_of_moves[MOVES] =
        (struct sr_move){.source = {STAYS, 2 * SECTOR}, .destination = {SMALL_NVS, 2 * SECTOR}};
    fixture.moves = (sr_moves_t){.count = MOVES, .list = fixture.list_of_moves};
    fixture.abandon = (sr_abandon_t){.journal = &fixture.journal,
                                     .writer = &fixture.writer,
                                     .scratch = fixture.scratch,
                                     .moves = &fixture.moves,
                                     .moves_are_known = true,
                                     .cause = ESP_ERR_TIMEOUT,
                                     .failed_address = 0x12000};
    list_entries(2);
    assert_int_equal(sr_journal_digest_first_part(&fixture.journal, fixture.scratch, fixture.journal.header.before),
                     ESP_OK);
    assert_int_equal(sr_journal_open(&fixture.journal, &fixture.writer, PLACE, fixture.scratch), ESP_OK);
    assert_int_equal(sr_journal_seal(&fixture.journal, &fixture.writer), ESP_OK);
}

/* What is logged meanwhile is kept. */
static void call(void)
{
    fixture.stuck = true;
    free(fixture.log);
    api_log_start();
    const esp_err_t err = sr_abandon(&fixture.abandon, &fixture.stuck);
    fixture.log = api_log_stop();
    assert_int_equal(err, fixture.abandon.cause);
}

static bool says(const char *text)
{
    return strstr(fixture.log, text) != NULL;
}

static void expect(const char *what, bool is_kept)
{
    uint8_t *before = small_copy(fixture.nor);
    const uint32_t size = sr_journal_place(&fixture.journal).size;
    call();
    unreadable = unreadable_raw = UINT32_MAX;
    hash_fails_at = 0;
    const bool same = memcmp(nor_flash_view(fixture.nor), before, SMALL_FLASH_SIZE) == 0;
    if (same != is_kept || says("it is kept and tried again") != is_kept || says("it is given up") == is_kept) {
        fail_msg("%s: %s", what, fixture.log);
    }
    assert_true(says("sector 0x12000"));
    assert_false(fixture.stuck);
    assert_false(says("cannot be erased"));
    if (!is_kept) {
        memset(before + PLACE, 0xFF, size);
        small_assert_same(nor_flash_view(fixture.nor), before, 0, SMALL_FLASH_SIZE);
    }
    free(before);
}

/* One bit of the flash is another one. */
static void record_is_given_up_unless_something_would_be_lost(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint32_t address;
        bool is_kept;
    } cases[] = {
        {"the bootloader", SMALL_BOOTLOADER + SECTOR - 1, true},
        {"the table", SR_PARTITION_TABLE_OFFSET, true},
        {"data that is written anew", SMALL_NVS, false},
        {"the first sector that moves", SOURCE, true},
        {"the last one in the record", SOURCE + 2 * SECTOR - 1, true},
        {"the last one", SOURCE + 3 * SECTOR - 1, true},
        {"what does not move any more", SOURCE + 3 * SECTOR, false},
        {"a place that the record has content for", DEST, false},
        {"the next one", DEST + 2 * SECTOR - 1, false},
        {"a place that it has none for", DEST + 2 * SECTOR, true},
        {"the end of that", DEST + 3 * SECTOR - 1, true},
        {"where no source is", DEST + 3 * SECTOR, false},
        {"what the record makes blank", DEST + 4 * SECTOR, false},
        {"where nothing moves to", EMPTY, true},
        {"the end of that", EMPTY + 2 * SECTOR - 1, true},
        {"what is beside that", EMPTY + 2 * SECTOR, false},
        {"what stays", STAYS, false},
    };
    prepare();
    expect("nothing", false);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        prepare();
        nor_flash_bytes(fixture.nor)[cases[i].address] ^= 4;
        expect(cases[i].what, cases[i].is_kept);
    }
}

/* Nobody knows then. */
static void what_cannot_be_read_may_be_lost(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        bool raw;
        bool is_kept;
    } cases[] = {{SMALL_BOOTLOADER, false, true},
                 {SR_PARTITION_TABLE_OFFSET, false, true},
                 {SOURCE, false, true},
                 {SOURCE + SECTOR, false, true},
                 {SOURCE + 2 * SECTOR, false, true},
                 {DEST + 2 * SECTOR, true, true},
                 {EMPTY, true, true},
                 {EMPTY + SECTOR, true, true},
                 {STAYS, false, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        prepare();
        *(cases[i].raw ? &unreadable_raw : &unreadable) = cases[i].address;
        expect("what cannot be read", cases[i].is_kept);
    }
}

/* A digest that fails is all zero, as is one that nobody has set. */
static void what_cannot_be_hashed_may_be_lost(void **state)
{
    (void)state;
    static const uint8_t nothing[SR_BUNDLE_DIGEST_SIZE] = {0};
    prepare();
    memset(fixture.journal.header.before, 0, sizeof(fixture.journal.header.before));
    hash_fails_at = 1;
    expect("the boot path", true);
    for (unsigned sector = 1; sector <= 2; sector++) {
        prepare();
        sr_journal_set_digest(&fixture.journal, IN_DEST, nothing);
        hash_fails_at = 2 + sector; /* After bootloader and table. */
        expect("what moves", true);
    }
}

static void without_memory_or_knowledge_of_what_moves_it_is_kept(void **state)
{
    (void)state;
    prepare();
    fixture.abandon.cause = ESP_ERR_NO_MEM;
    expect("no memory", true);
    assert_true(says("memory may be there next time"));
    prepare();
    fixture.abandon.moves_are_known = false;
    expect("it is not known what moves", true);
    assert_true(says("only copy of data that moves"));
    prepare();
    fixture.moves.count = 0;
    expect("nothing moves", false);
    prepare();
    fixture.journal.header.before[SR_BUNDLE_DIGEST_SIZE - 1] ^= 1;
    expect("another boot path", true);
    assert_true(says("boot path is half written"));
}

/* Content that comes from past the end of the source, or goes past that of the place, has no source. */
static void entry_that_has_more_than_moves_is_the_only_copy(void **state)
{
    (void)state;
    for (uint32_t sectors = 1; sectors <= DEST_S + 1; sectors++) {
        prepare();
        memcpy(nor_flash_bytes(fixture.nor) + DEST + SECTOR, nor_flash_view(fixture.nor) + SOURCE + SECTOR, SECTOR);
        list_entries(sectors);
        expect("sectors of a source of three", sectors > 3);
    }
    for (uint32_t sectors = DEST_S; sectors <= DEST_S + 1; sectors++) {
        prepare();
        fixture.list_of_moves[0].source.size = sectors * SECTOR;
        list_entries(sectors);
        expect("sectors of a place of five", sectors > DEST_S);
    }
}

/* Whoever calls may then do something else. */
static void record_that_cannot_be_erased_is_stuck(void **state)
{
    (void)state;
    prepare();
    dead = (sr_region_t){PLACE, 4 * SECTOR};
    call();
    dead = (sr_region_t){0};
    assert_true(fixture.stuck);
    assert_true(says("it is given up"));
    assert_true(says("record at 0xe0000 cannot be erased: sector 0xe0000"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(record_is_given_up_unless_something_would_be_lost),
        TEST(what_cannot_be_read_may_be_lost),
        TEST(what_cannot_be_hashed_may_be_lost),
        TEST(without_memory_or_knowledge_of_what_moves_it_is_kept),
        TEST(entry_that_has_more_than_moves_is_the_only_copy),
        TEST(record_that_cannot_be_erased_is_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
