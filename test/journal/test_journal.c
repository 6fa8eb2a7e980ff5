// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "journal/sr_journal.h"

#include "format/sr_digest.h"
#include "sim/chip/sim_state.h"
#include "test/support/support_cipher.h"
#include "test/support/support_failing_hash.h"
#include "test/support/support_small.h"

#define SECTOR SR_SECTOR_SIZE
#define PLACE  0xE0000u
#define END    SMALL_FLASH_SIZE

/** A chip, with a writer and a record on it. */
typedef struct fixture {
    nor_flash_t *nor;
    sr_flash_t flash;
    sr_writer_t writer;
    sr_journal_t journal;
    uint8_t list[SECTOR];
    uint8_t digests[16 * SR_BUNDLE_DIGEST_SIZE];
    uint8_t scratch[SECTOR];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
} fixture_t;

static fixture_t fixture;

/** Stands for a manifest and its signature: of two sectors, the second one not full. */
#define MANIFEST 2u
static uint8_t manifest[SECTOR + 100];

static int setup(void **state)
{
    (void)state;
    fixture = (fixture_t){.nor = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}})};
    small_attach(fixture.nor, SMALL_SLOTS);
    assert_int_equal(sr_flash_open(&fixture.flash), ESP_OK);
    fixture.writer = (sr_writer_t){.flash = &fixture.flash, .readback = fixture.readback, .attempts = 2};
    fixture.journal = (sr_journal_t){.flash = &fixture.flash, .list = fixture.list, .digests = fixture.digests};
    dummy_image_fill(manifest, sizeof(manifest), 77);
    sr_journal_start(&fixture.journal, sizeof(manifest));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(fixture.nor).bad_programs, 0);
    sim_chip_detach();
    nor_flash_delete(fixture.nor);
    return 0;
}

/* What fails. */

static uint32_t dead_first = UINT32_MAX, dead_second = UINT32_MAX, dead_third = UINT32_MAX; /**< To be erased. */
static uint32_t unreadable = UINT32_MAX;

esp_err_t __real_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length)
{
    const bool dead = address == dead_first || address == dead_second || address == dead_third;
    return dead ? ESP_ERR_TIMEOUT : __real_sr_flash_erase(flash, address, length);
}

esp_err_t __real_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    const esp_err_t err = __real_sr_flash_read(flash, address, out, length);
    return address == unreadable ? ESP_ERR_INVALID_RESPONSE : err;
}

/* Content of the data sector with this index. */
static void fill(uint32_t index)
{
    dummy_image_fill(fixture.scratch, SECTOR, 1000 + index);
}

static esp_err_t add(uint32_t address, uint32_t sectors, sr_record_group_t group, bool blank)
{
    const sr_record_entry_t entry = {.address = address, .sectors = sectors, .group = group, .blank = blank};
    return sr_journal_add(&fixture.journal, &entry);
}

/* Writes a record with @p data sectors at @p address, and seals it. */
static void put_record(uint32_t address, uint32_t data)
{
    sr_journal_start(&fixture.journal, sizeof(manifest));
    memset(fixture.journal.header.app_id, 0x5A, sizeof(fixture.journal.header.app_id));
    for (uint32_t i = 0; i < data; i++) {
        assert_int_equal(add(SMALL_NVS + i * SECTOR, 1, SR_RECORD_DATA, false), ESP_OK);
    }
    assert_int_equal(sr_journal_open(&fixture.journal, &fixture.writer, address, fixture.scratch), ESP_OK);
    assert_int_equal(sr_journal_put_manifest(&fixture.journal, &fixture.writer, manifest, fixture.scratch), ESP_OK);
    for (uint32_t i = 0; i < data; i++) {
        uint8_t digest[SR_SHA256_SIZE];
        fill(i);
        assert_true(sr_digest(fixture.scratch, SECTOR, digest));
        memcpy(fixture.digests + i * SR_BUNDLE_DIGEST_SIZE, digest, SR_BUNDLE_DIGEST_SIZE);
        assert_int_equal(sr_journal_put(&fixture.journal, &fixture.writer, i, fixture.scratch), ESP_OK);
    }
    assert_int_equal(sr_journal_seal(&fixture.journal, &fixture.writer), ESP_OK);
}

/* As after a restart: nothing is known but the flash. */
static esp_err_t find_from(uint32_t address)
{
    memset(fixture.list, 0, sizeof(fixture.list));
    fixture.journal =
        (sr_journal_t){.flash = &fixture.flash, .list = fixture.list, .digests = fixture.digests, .address = address};
    return sr_journal_find(&fixture.journal);
}

static esp_err_t load(void)
{
    sr_record_status_t status = SR_RECORD_OK;
    esp_err_t err = find_from(0);
    if (err == ESP_OK) {
        err = sr_journal_load(&fixture.journal, &status);
    }
    return err == ESP_OK && status != SR_RECORD_OK ? ESP_ERR_NOT_FINISHED : err;
}

/* The list. */

static void data_sectors_are_numbered_in_order(void **state)
{
    (void)state;
    assert_int_equal(add(0x1000, 1, SR_RECORD_BOOTLOADER, false), ESP_OK);
    assert_int_equal(add(0x2000, 1, SR_RECORD_BOOTLOADER, true), ESP_OK);
    assert_int_equal(add(0x8000, 1, SR_RECORD_TABLE, false), ESP_OK);
    assert_int_equal(fixture.journal.header.count, 3);
    assert_int_equal(fixture.journal.data_sectors, 2);
    assert_int_equal(sr_journal_entry(&fixture.journal, 0).data_index, 0);
    assert_int_equal(sr_journal_entry(&fixture.journal, 2).data_index, 1);
    const sr_record_entry_t blank = sr_journal_entry(&fixture.journal, 1);
    assert_true(blank.blank);
    assert_int_equal(blank.address, 0x2000);
    assert_int_equal(blank.sectors, 1);
    assert_int_equal(blank.group, SR_RECORD_BOOTLOADER);
    assert_int_equal(fixture.journal.header.sectors, MANIFEST + 2);
    sr_journal_start(&fixture.journal, sizeof(manifest));
    assert_int_equal(fixture.journal.header.count, 0);
    assert_int_equal(fixture.journal.data_sectors, 0);
}

static void list_has_room_for_so_many_entries_and_no_more(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SR_RECORD_MAX_ENTRIES; i++) {
        assert_int_equal(add(i * SECTOR, 1, SR_RECORD_DATA, i % 2 == 0), ESP_OK);
    }
    uint8_t before[SECTOR];
    memcpy(before, fixture.list, SECTOR);
    assert_int_equal(add(0, 1, SR_RECORD_DATA, true), ESP_ERR_INVALID_SIZE);
    assert_int_equal(fixture.journal.header.count, SR_RECORD_MAX_ENTRIES);
    assert_int_equal(fixture.journal.data_sectors, SR_RECORD_MAX_ENTRIES / 2);
    assert_memory_equal(fixture.list, before, SECTOR);
    for (uint32_t i = 0; i < SR_RECORD_MAX_ENTRIES; i++) {
        assert_int_equal(sr_journal_entry(&fixture.journal, i).address, i * SECTOR);
    }
}

static void only_adjacent_sectors_of_one_kind_are_joined(void **state)
{
    (void)state;
    sr_journal_t *journal = &fixture.journal;
    assert_false(sr_journal_extend(journal, SR_RECORD_DATA, 0, true)); /* There is no entry yet. */
    assert_int_equal(add(0x9000, 1, SR_RECORD_DATA, true), ESP_OK);
    assert_false(sr_journal_extend(journal, SR_RECORD_DATA, 0x9000, true));
    assert_false(sr_journal_extend(journal, SR_RECORD_DATA, 0xB000, true));
    assert_false(sr_journal_extend(journal, SR_RECORD_DATA, 0xA000, false));
    assert_false(sr_journal_extend(journal, SR_RECORD_NEIGHBOURS, 0xA000, true));
    assert_true(sr_journal_extend(journal, SR_RECORD_DATA, 0xA000, true));
    assert_true(sr_journal_extend(journal, SR_RECORD_DATA, 0xB000, true));
    assert_int_equal(sr_journal_entry(journal, 0).sectors, 3);
    assert_int_equal(journal->header.count, 1);
    assert_int_equal(journal->data_sectors, 0);
    assert_int_equal(add(0xC000, 1, SR_RECORD_DATA, false), ESP_OK);
    assert_false(sr_journal_extend(journal, SR_RECORD_DATA, 0xD000, true));
    assert_true(sr_journal_extend(journal, SR_RECORD_DATA, 0xD000, false));
    assert_int_equal(sr_journal_entry(journal, 1).sectors, 2);
    assert_int_equal(journal->data_sectors, 2);
    assert_int_equal(add(0x2000, 1, SR_RECORD_NEIGHBOURS, true), ESP_OK);
    assert_true(sr_journal_extend(journal, SR_RECORD_NEIGHBOURS, 0x3000, true));
    assert_int_equal(add(0xE000, 1, SR_RECORD_OTADATA, true), ESP_OK);
    /* On the boot path each sector waits in RAM. */
    assert_false(sr_journal_extend(journal, SR_RECORD_OTADATA, 0xF000, true));
    assert_int_equal(add(0x20000, 1, SR_RECORD_DATA, false), ESP_OK);
    assert_int_equal(sr_journal_entry(journal, 4).data_index, 2);
    assert_int_equal(journal->data_sectors, 3);
}

static void digest_of_an_entry_can_be_set_later(void **state)
{
    (void)state;
    static const uint8_t digest[SR_BUNDLE_DIGEST_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const uint8_t none[SR_BUNDLE_DIGEST_SIZE] = {0};
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(add(SMALL_NVS + i * SECTOR, 1, SR_RECORD_DATA, false), ESP_OK);
    }
    sr_journal_set_digest(&fixture.journal, 1, digest);
    for (uint32_t i = 0; i < 3; i++) {
        const sr_record_entry_t entry = sr_journal_entry(&fixture.journal, i);
        assert_memory_equal(entry.digest, i == 1 ? digest : none, sizeof(digest));
        assert_int_equal(entry.address, SMALL_NVS + i * SECTOR);
    }
}

/* In flash. */

static void record_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 9};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        memset(nor_flash_bytes(fixture.nor) + PLACE, 0xA5, 14 * SECTOR);
        fixture.journal.header.guarded = i % 2 != 0;
        put_record(PLACE, counts[i]);
        assert_int_equal(load(), ESP_OK);
        assert_int_equal(fixture.journal.header.guarded, i % 2 != 0);
        assert_int_equal(fixture.journal.address, PLACE);
        assert_int_equal(fixture.journal.header.count, counts[i]);
        assert_int_equal(fixture.journal.header.sectors, MANIFEST + counts[i]);
        assert_int_equal(fixture.journal.header.manifest_size, sizeof(manifest));
        assert_memory_equal(nor_flash_view(fixture.nor) + sr_journal_manifest_address(&fixture.journal), manifest,
                            sizeof(manifest));
        assert_int_equal(nor_flash_view(fixture.nor)[PLACE + 2 * SECTOR + sizeof(manifest)], 0xFF);
        for (size_t k = 0; k < sizeof(fixture.journal.header.app_id); k++) {
            assert_int_equal(fixture.journal.header.app_id[k], 0x5A);
        }
        for (uint32_t k = 0; k < counts[i]; k++) {
            uint8_t data[SECTOR];
            const sr_record_entry_t entry = sr_journal_entry(&fixture.journal, k);
            assert_int_equal(entry.address, SMALL_NVS + k * SECTOR);
            assert_int_equal(sr_journal_read(&fixture.journal, &entry, 0, data), ESP_OK);
            fill(k);
            assert_memory_equal(data, fixture.scratch, SECTOR);
        }
        assert_int_equal(sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
    }
}

static void record_takes_its_sectors_and_no_others(void **state)
{
    (void)state;
    uint8_t *before = small_copy(fixture.nor);
    put_record(PLACE, 3);
    const uint8_t *now = nor_flash_view(fixture.nor);
    small_assert_same(now, before, 0, PLACE);
    small_assert_same(now, before, PLACE + 7 * SECTOR, END - PLACE - 7 * SECTOR);
    assert_int_equal(sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
    small_assert_same(now, before, 0, PLACE);
    small_assert_same(now, before, PLACE + 7 * SECTOR, END - PLACE - 7 * SECTOR);
    for (uint32_t i = PLACE; i < PLACE + 7 * SECTOR; i++) {
        assert_int_equal(now[i], 0xFF);
    }
    free(before);
}

/* As docs/record-format.md has it, and so that a page without entries need not be programmed. */
static void rest_of_the_list_stays_erased(void **state)
{
    (void)state;
    put_record(PLACE, 2);
    const uint8_t *list = nor_flash_view(fixture.nor) + PLACE + SECTOR;
    const uint32_t entries = SR_PAGE_SIZE + 2 * 32;
    const uint32_t seal = SECTOR - SR_PAGE_SIZE;
    for (uint32_t i = entries; i < SECTOR; i++) {
        assert_true(list[i] == 0xFF || (i >= seal && i < seal + SR_SHA256_SIZE));
    }
}

static void only_the_seal_makes_it_valid(void **state)
{
    (void)state;
    assert_int_equal(add(SMALL_NVS, 1, SR_RECORD_DATA, false), ESP_OK);
    assert_int_equal(load(), ESP_ERR_NOT_FOUND);
    sr_journal_start(&fixture.journal, sizeof(manifest));
    assert_int_equal(add(SMALL_NVS, 1, SR_RECORD_DATA, false), ESP_OK);
    assert_int_equal(sr_journal_open(&fixture.journal, &fixture.writer, PLACE, fixture.scratch), ESP_OK);
    assert_int_equal(load(), ESP_ERR_NOT_FINISHED);
    assert_int_equal(fixture.journal.header.sectors, MANIFEST + 1); /* So much is known, to clean it up. */
}

static void damage_is_noticed_wherever_it_is(void **state)
{
    (void)state;
    put_record(PLACE, 2);
    uint8_t *bytes = nor_flash_bytes(fixture.nor);
    for (uint32_t offset = SECTOR; offset < 2 * SECTOR; offset += 37) {
        const bool behind_the_seal = offset >= 2 * SECTOR - SR_PAGE_SIZE + SR_SHA256_SIZE;
        bytes[PLACE + offset] ^= 0x10;
        const esp_err_t err = load();
        bytes[PLACE + offset] ^= 0x10;
        if (err != (behind_the_seal ? ESP_OK : ESP_ERR_NOT_FINISHED)) {
            fail_msg("damage at offset 0x%x: 0x%x", offset, err);
        }
    }
    assert_int_equal(load(), ESP_OK);
    for (uint32_t k = 0; k < 2; k++) {
        const sr_record_entry_t entry = sr_journal_entry(&fixture.journal, k);
        for (uint32_t offset = k; offset < SECTOR; offset += 37) {
            uint8_t *byte = bytes + sr_journal_data_address(&fixture.journal, k) + offset;
            *byte ^= 0x10;
            assert_int_equal(sr_journal_read(&fixture.journal, &entry, 0, fixture.scratch), ESP_ERR_NOT_FINISHED);
            *byte ^= 0x10;
        }
        assert_int_equal(sr_journal_read(&fixture.journal, &entry, 0, fixture.scratch), ESP_OK);
    }
    assert_int_equal(load(), ESP_OK);
    for (uint32_t offset = 0; offset < 12; offset++) {
        bytes[PLACE + offset] ^= 0x10;
        assert_int_equal(load(), ESP_ERR_NOT_FOUND);
        bytes[PLACE + offset] ^= 0x10;
    }
    /* A mark that has another number of sectors belongs to no list. */
    bytes[PLACE + 12] ^= 0x03;
    assert_int_equal(load(), ESP_ERR_NOT_FINISHED);
}

static void search_starts_where_it_is_told_to(void **state)
{
    (void)state;
    put_record(PLACE, 1);
    put_record(PLACE + 0x8000, 1);
    assert_int_equal(find_from(0), ESP_OK);
    assert_int_equal(fixture.journal.address, PLACE);
    assert_int_equal(find_from(PLACE), ESP_OK);
    assert_int_equal(fixture.journal.address, PLACE);
    assert_int_equal(find_from(PLACE + SECTOR), ESP_OK);
    assert_int_equal(fixture.journal.address, PLACE + 0x8000);
    assert_int_equal(find_from(PLACE + 0x9000), ESP_ERR_NOT_FOUND);
    assert_int_equal(find_from(END), ESP_ERR_NOT_FOUND);
}

static void record_may_end_with_the_flash_and_not_past_it(void **state)
{
    (void)state;
    put_record(END - 6 * SECTOR, 2);
    assert_int_equal(load(), ESP_OK);
    uint8_t *bytes = nor_flash_bytes(fixture.nor);
    memmove(bytes + END - 5 * SECTOR, bytes + END - 6 * SECTOR, 5 * SECTOR);
    memset(bytes + END - 6 * SECTOR, 0xFF, SECTOR);
    assert_int_equal(load(), ESP_ERR_NOT_FOUND);
    static const uint32_t sectors[] = {UINT32_MAX, UINT32_MAX - 1, 0x7FFFFFFF,   0x40000000, 0x15555556,
                                       0x00100000, 0x000FFFFE,     END / SECTOR, 4};
    for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
        sr_record_write_mark(bytes + END - 5 * SECTOR, sectors[i]);
        assert_int_equal(load(), ESP_ERR_NOT_FOUND);
    }
}

/* What cleans up believes what the mark says. */
static void half_a_mark_tells_nothing_of_what_follows(void **state)
{
    (void)state;
    uint8_t whole[SR_PAGE_SIZE];
    uint8_t *mark = nor_flash_bytes(fixture.nor) + PLACE;
    const nor_op_t op = {.kind = NOR_OP_PROGRAM, .address = PLACE, .length = sizeof(whole)};
    unsigned found = 0;
    put_record(PLACE, 3);
    memcpy(whole, mark, sizeof(whole));
    for (uint32_t seed = 0; seed < 2000; seed++) {
        memset(mark, 0xFF, sizeof(whole));
        nor_tear(&op, seed, mark, whole);
        const esp_err_t err = find_from(0);
        assert_true(err == ESP_ERR_NOT_FOUND || fixture.journal.header.sectors == 0 ||
                    fixture.journal.header.sectors == MANIFEST + 3);
        found += err == ESP_OK && fixture.journal.header.sectors == 0;
    }
    assert_true(found > 0);
}

/* The seal goes first, so that half a record never counts; the mark goes last, so that half a record is found. */

typedef struct order {
    uint32_t addresses[64];
    uint32_t count;
} order_t;

static void note(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    (void)flash;
    order_t *order = context;
    const uint32_t sector = op->address & ~(SECTOR - 1);
    if (order->count == 0 || order->addresses[order->count - 1] != sector) {
        assert_true(order->count < 64);
        order->addresses[order->count++] = sector;
    }
}

static void mark_comes_first_and_goes_last_and_the_seal_the_other_way_round(void **state)
{
    (void)state;
    static const uint32_t written[] = {
        PLACE, PLACE + 2 * SECTOR, PLACE + 3 * SECTOR, PLACE + 4 * SECTOR, PLACE + 5 * SECTOR, PLACE + SECTOR};
    static const uint32_t erased[] = {PLACE + SECTOR,     PLACE + 2 * SECTOR, PLACE + 3 * SECTOR,
                                      PLACE + 4 * SECTOR, PLACE + 5 * SECTOR, PLACE};
    order_t order = {.count = 0};
    nor_flash_set_observer(fixture.nor, note, &order);
    put_record(PLACE, 2);
    assert_int_equal(order.count, 6);
    assert_memory_equal(order.addresses, written, sizeof(written));
    order.count = 0;
    assert_int_equal(sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
    nor_flash_set_observer(fixture.nor, NULL, NULL);
    assert_int_equal(order.count, 6);
    assert_memory_equal(order.addresses, erased, sizeof(erased));
}

/* Whichever of them can still be changed. */
static void record_that_cannot_be_erased_is_made_none(void **state)
{
    (void)state;
    for (uint32_t dead = 1; dead <= 3; dead++) {
        put_record(PLACE, 1);
        uint8_t *bytes = nor_flash_bytes(fixture.nor);
        uint8_t kept[3][SECTOR];
        const uint32_t sectors[] = {PLACE + SECTOR, PLACE, PLACE + 2 * SECTOR};
        for (uint32_t i = 0; i < 3; i++) {
            memcpy(kept[i], bytes + sectors[i], SECTOR);
        }
        fixture.journal.header.sectors = MANIFEST + 1;
        dead_first = sectors[0];
        dead_second = dead > 1 ? sectors[1] : UINT32_MAX;
        dead_third = dead > 2 ? sectors[2] : UINT32_MAX;
        const esp_err_t err = sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch);
        dead_first = dead_second = dead_third = UINT32_MAX;
        assert_int_equal(err, dead == 3 ? ESP_ERR_TIMEOUT : ESP_OK);
        const bool changed =
            memcmp(bytes + PLACE, kept[1], SECTOR) != 0 || memcmp(bytes + PLACE + 2 * SECTOR, kept[2], SECTOR) != 0;
        assert_int_equal(changed, dead < 3);
        /* And no more than that is done. */
        assert_int_equal(memcmp(bytes + PLACE + 2 * SECTOR, kept[2], SECTOR) == 0, dead != 2);
    }
}

/* From the list on; while there is anything left of it, it can be found. */
static void record_goes_sector_by_sector_and_what_fails_is_told(void **state)
{
    (void)state;
    const uint32_t sectors = SR_RECORD_OVERHEAD + MANIFEST + 1;
    for (uint32_t at = 0; at < sectors; at++) {
        put_record(PLACE, 1);
        dead_first = at != 1 ? PLACE + at * SECTOR : UINT32_MAX;
        const esp_err_t err = sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch);
        dead_first = UINT32_MAX;
        assert_int_equal(err, at != 1 ? ESP_ERR_TIMEOUT : ESP_OK);
        assert_int_equal(find_from(0), at != 1 ? ESP_OK : ESP_ERR_NOT_FOUND);
    }
    /* A manifest of one sector alone, and a mark alone, with something else behind it. */
    for (uint32_t size = 0; size < 2; size++) {
        uint8_t *before = small_copy(fixture.nor);
        const uint32_t end = PLACE + (size > 0 ? 3 : 1) * SECTOR;
        memset(before + PLACE, 0x5A, 8 * SECTOR);
        memcpy(nor_flash_bytes(fixture.nor), before, SMALL_FLASH_SIZE);
        sr_journal_start(&fixture.journal, size);
        assert_int_equal(sr_journal_open(&fixture.journal, &fixture.writer, PLACE, fixture.scratch), ESP_OK);
        dead_first = PLACE;
        const esp_err_t err = sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch);
        dead_first = UINT32_MAX;
        assert_int_equal(err, ESP_ERR_TIMEOUT);
        assert_int_equal(sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
        memset(before + PLACE, 0xFF, end - PLACE);
        small_assert_same(nor_flash_view(fixture.nor), before, 0, SMALL_FLASH_SIZE);
        free(before);
    }
}

/* It takes one sector, and no list is expected after it. */
static void mark_alone_is_one_sector(void **state)
{
    (void)state;
    uint8_t *before = small_copy(fixture.nor);
    sr_journal_start(&fixture.journal, 0);
    assert_int_equal(sr_journal_open(&fixture.journal, &fixture.writer, END - SECTOR, fixture.scratch), ESP_OK);
    assert_int_equal(find_from(0), ESP_OK);
    assert_int_equal(fixture.journal.address, END - SECTOR);
    assert_int_equal(sr_journal_place(&fixture.journal).size, SECTOR);
    assert_int_equal(sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
    assert_int_equal(find_from(0), ESP_ERR_NOT_FOUND);
    small_assert_same(nor_flash_view(fixture.nor), before, 0, END - SECTOR);
    free(before);
}

static void flash_that_fails_is_told(void **state)
{
    (void)state;
    put_record(PLACE, 1);
    nor_flash_set_faults(fixture.nor, (nor_faults_t){.program_per_million = 1000000});
    assert_int_equal(sr_journal_open(&fixture.journal, &fixture.writer, PLACE + 0x8000, fixture.scratch),
                     ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fixture.writer.failed_address, PLACE + 0x8000);
    assert_int_equal(sr_journal_put(&fixture.journal, &fixture.writer, 0, fixture.scratch),
                     ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(sr_journal_seal(&fixture.journal, &fixture.writer), ESP_ERR_SELF_REFLASHER_VERIFY);
    nor_flash_set_faults(fixture.nor, (nor_faults_t){0});
}

/* As much as there is, and not a sector more; what was in the RAM that it uses is not seen. */
static void manifest_takes_its_sectors_and_is_followed_by_blank_flash(void **state)
{
    (void)state;
    static uint8_t bytes[3 * SECTOR];
    static const uint32_t sizes[] = {1, SECTOR - 1, SECTOR, SECTOR + 1, 2 * SECTOR, 2 * SECTOR + 1, 3 * SECTOR};
    dummy_image_fill(bytes, sizeof(bytes), 3);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const uint32_t size = sizes[i];
        const uint8_t *at = nor_flash_view(fixture.nor) + PLACE;
        memset(nor_flash_bytes(fixture.nor) + PLACE, 0x5A, 8 * SECTOR);
        memset(fixture.scratch, 0, SECTOR);
        sr_journal_start(&fixture.journal, size);
        assert_int_equal(sr_journal_open(&fixture.journal, &fixture.writer, PLACE, fixture.scratch), ESP_OK);
        memset(fixture.scratch, 0, SECTOR);
        assert_int_equal(sr_journal_put_manifest(&fixture.journal, &fixture.writer, bytes, fixture.scratch), ESP_OK);
        for (uint32_t k = SR_RECORD_MARK_SIZE; k < SECTOR; k++) {
            assert_int_equal(at[k], 0xFF);
        }
        assert_int_equal(at[SECTOR], 0x5A);
        assert_memory_equal(at + 2 * SECTOR, bytes, size);
        const uint32_t end = (size + SECTOR - 1) / SECTOR * SECTOR;
        for (uint32_t k = size; k < end; k++) {
            assert_int_equal(at[2 * SECTOR + k], 0xFF);
        }
        assert_int_equal(at[2 * SECTOR + end], 0x5A);
    }
    memset(nor_flash_bytes(fixture.nor) + PLACE, 0x5A, 8 * SECTOR);
    dead_first = PLACE + 3 * SECTOR;
    const esp_err_t err = sr_journal_put_manifest(&fixture.journal, &fixture.writer, bytes, fixture.scratch);
    dead_first = UINT32_MAX;
    assert_int_equal(err, ESP_ERR_TIMEOUT);
    assert_int_equal(nor_flash_view(fixture.nor)[PLACE + 4 * SECTOR], 0x5A);
}

static void fill_of_a_block_is_erased_and_nothing_beside_it(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(fixture.nor);
    uint8_t *before;
    put_record(PLACE, 2);
    fixture.journal.header.sectors += 3;
    const uint32_t fill = PLACE + (SR_RECORD_OVERHEAD + MANIFEST + 2) * SECTOR;
    memset(bytes + fill, 0x5A, 4 * SECTOR);
    before = small_copy(fixture.nor);
    memset(fixture.scratch, 0, SECTOR);
    dead_first = fill + SECTOR;
    const esp_err_t err = sr_journal_clear_fill(&fixture.journal, &fixture.writer, fixture.scratch);
    dead_first = UINT32_MAX;
    assert_int_equal(err, ESP_ERR_TIMEOUT);
    memset(before + fill, 0xFF, SECTOR);
    small_assert_same(nor_flash_view(fixture.nor), before, 0, SMALL_FLASH_SIZE);
    assert_int_equal(sr_journal_clear_fill(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
    memset(before + fill, 0xFF, 3 * SECTOR);
    small_assert_same(nor_flash_view(fixture.nor), before, 0, SMALL_FLASH_SIZE);
    /* Where the chip encrypts, too: cells that are erased are no plaintext of 0xFF. */
    sim_state.config.chip.cipher = support_cipher();
    fixture.flash.encryption = true;
    memset(bytes + fill, 0x5A, 3 * SECTOR);
    assert_int_equal(sr_journal_clear_fill(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
    small_assert_same(nor_flash_view(fixture.nor), before, 0, SMALL_FLASH_SIZE);
    memset(before + PLACE, 0xFF, (SR_RECORD_OVERHEAD + MANIFEST + 2) * SECTOR);
    fixture.journal.header.sectors = MANIFEST + 2;
    assert_int_equal(sr_journal_discard(&fixture.journal, &fixture.writer, fixture.scratch), ESP_OK);
    small_assert_same(nor_flash_view(fixture.nor), before, 0, SMALL_FLASH_SIZE);
    free(before);
}

static void what_cannot_be_read_is_told(void **state)
{
    (void)state;
    sr_record_status_t status;
    put_record(PLACE, 2);
    for (uint32_t sector = 0; sector < SR_RECORD_OVERHEAD + MANIFEST + 2; sector++) {
        unreadable = PLACE + sector * SECTOR;
        const esp_err_t found = find_from(0);
        fixture.journal.address = PLACE;
        fixture.journal.header.sectors = MANIFEST + 2;
        const esp_err_t loaded = sr_journal_load(&fixture.journal, &status);
        fixture.journal.header.manifest_size = sizeof(manifest);
        const sr_record_entry_t entry = {.sectors = 2};
        const esp_err_t first = sr_journal_read(&fixture.journal, &entry, 0, fixture.scratch);
        const esp_err_t second = sr_journal_read(&fixture.journal, &entry, 1, fixture.scratch);
        unreadable = UINT32_MAX;
        assert_int_equal(found, sector == 0 ? ESP_ERR_INVALID_RESPONSE : ESP_OK);
        assert_int_equal(loaded, sector == 1 ? ESP_ERR_INVALID_RESPONSE : ESP_OK);
        assert_int_equal(first, sector == 4 ? ESP_ERR_INVALID_RESPONSE : ESP_OK);
        assert_int_equal(second, sector == 5 ? ESP_ERR_INVALID_RESPONSE : ESP_OK);
    }
}

static void what_cannot_be_hashed_is_told(void **state)
{
    (void)state;
    uint8_t digest[SR_BUNDLE_DIGEST_SIZE];
    put_record(PLACE, 1);
    assert_int_equal(add(SMALL_BOOTLOADER, 1, SR_RECORD_BOOTLOADER, false), ESP_OK);
    const sr_record_entry_t entry = sr_journal_entry(&fixture.journal, 0);
    sr_record_status_t status = SR_RECORD_OK;
    hash_fails = true;
    const esp_err_t got = sr_journal_read(&fixture.journal, &entry, 0, fixture.scratch);
    const esp_err_t hashed = sr_journal_digest_first_part(&fixture.journal, fixture.scratch, digest);
    const esp_err_t sealed = sr_journal_seal(&fixture.journal, &fixture.writer);
    const esp_err_t loaded = sr_journal_load(&fixture.journal, &status);
    hash_fails = false;
    assert_int_equal(loaded, ESP_FAIL);
    assert_int_equal(status, SR_RECORD_NOT_HASHED);
    assert_int_equal(got, ESP_FAIL);
    assert_int_equal(hashed, ESP_FAIL);
    assert_int_equal(sealed, ESP_FAIL);
}

/* Bootloader and table, or otadata if neither is in the list; as they are in the flash, in the order of the list. */
static void first_part_of_the_boot_path_is_digested(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        sr_record_group_t group;
        bool first; /* Of a list with a bootloader. */
    } entries[] = {
        {SMALL_BOOTLOADER, SR_RECORD_BOOTLOADER, true}, {SMALL_NVS, SR_RECORD_DATA, false},
        {0x4000, SR_RECORD_NEIGHBOURS, false},          {SMALL_BOOTLOADER + SECTOR, SR_RECORD_BOOTLOADER, true},
        {SMALL_OTADATA, SR_RECORD_OTADATA, false},      {SR_PARTITION_TABLE_OFFSET, SR_RECORD_TABLE, true}};
    for (unsigned with = 0; with < 2; with++) {
        sr_sha256_t sha;
        uint8_t digest[SR_BUNDLE_DIGEST_SIZE], expected[SR_SHA256_SIZE];
        uint32_t last = 0;
        sr_journal_start(&fixture.journal, sizeof(manifest));
        sr_sha256_start(&sha);
        for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
            const bool counts = with ? entries[i].first : entries[i].group == SR_RECORD_OTADATA;
            if (with || !entries[i].first) {
                assert_int_equal(add(entries[i].address, 1, entries[i].group, false), ESP_OK);
            }
            if (counts) {
                sr_sha256_update(&sha, nor_flash_view(fixture.nor) + entries[i].address, SECTOR);
                last = entries[i].address;
            }
        }
        assert_int_equal(sr_sha256_finish(&sha, expected), 0);
        const sr_record_entry_t stale = {
            .address = SMALL_OTADATA, .sectors = 1, .group = with ? SR_RECORD_TABLE : SR_RECORD_OTADATA};
        sr_record_write_entry(fixture.list, fixture.journal.header.count, &stale);
        assert_int_equal(sr_journal_digest_first_part(&fixture.journal, fixture.scratch, digest), ESP_OK);
        assert_memory_equal(digest, expected, sizeof(digest));
        static const uint32_t addresses[] = {SMALL_BOOTLOADER, SMALL_BOOTLOADER + SECTOR, 0};
        for (unsigned i = 0; i < 3; i++) {
            unreadable = addresses[i] != 0 ? addresses[i] : last;
            const esp_err_t err = sr_journal_digest_first_part(&fixture.journal, fixture.scratch, digest);
            unreadable = UINT32_MAX;
            assert_int_equal(err, with || addresses[i] == 0 ? ESP_ERR_INVALID_RESPONSE : ESP_OK);
        }
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_sectors_are_numbered_in_order),
        TEST(list_has_room_for_so_many_entries_and_no_more),
        TEST(only_adjacent_sectors_of_one_kind_are_joined),
        TEST(record_is_read_back_as_it_was_written),
        TEST(record_takes_its_sectors_and_no_others),
        TEST(rest_of_the_list_stays_erased),
        TEST(only_the_seal_makes_it_valid),
        TEST(damage_is_noticed_wherever_it_is),
        TEST(search_starts_where_it_is_told_to),
        TEST(record_may_end_with_the_flash_and_not_past_it),
        TEST(half_a_mark_tells_nothing_of_what_follows),
        TEST(mark_comes_first_and_goes_last_and_the_seal_the_other_way_round),
        TEST(record_that_cannot_be_erased_is_made_none),
        TEST(record_goes_sector_by_sector_and_what_fails_is_told),
        TEST(mark_alone_is_one_sector),
        TEST(flash_that_fails_is_told),
        TEST(digest_of_an_entry_can_be_set_later),
        TEST(manifest_takes_its_sectors_and_is_followed_by_blank_flash),
        TEST(fill_of_a_block_is_erased_and_nothing_beside_it),
        TEST(what_cannot_be_read_is_told),
        TEST(what_cannot_be_hashed_is_told),
        TEST(first_part_of_the_boot_path_is_digested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
