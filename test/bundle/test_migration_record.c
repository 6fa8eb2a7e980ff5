// SPDX-License-Identifier: Apache-2.0
/** @file
 * The record of a commit: what is listed in it and in which order, where it may lie, how it is filled, that what moves
 * is still what was copied, and which of what earlier attempts have left may be erased. What writes to flash fails on
 * demand, and else does nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "esp_flash.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "test/support/support_migration.h"
#include "test/support/support_error_log.h"

#include "format/sr_digest.h"
#include "port/sr_yield.h"
#include "system/sr_given_up.h"
#include "system/sr_partition.h"

#define SECTOR  SR_SECTOR_SIZE
#define TABLE   SR_PARTITION_TABLE_OFFSET
#define FAILURE 0x7777
#define PLACE   0xA0000u
#define AWAY    0x40000u /**< From what moves back to its source. */
#define END     (SMALL_FLASH_SIZE - SECTOR)

static steps_t steps;
static sr_migration_t *const migration = &steps.migration;

/* Those that are called. */

static bool is_real;        /**< All of them do what they always do. */
static const char *failing; /**< Which call fails; or several, which then always fail; */
static unsigned after;      /**< one fails after so many of its kind. */
static char trace[4096];

static bool fails(const char *call)
{
    assert_true(strlen(trace) + strlen(call) + 2 < sizeof(trace));
    strcat(strcat(trace, call), " ");
    if (failing == NULL || strstr(failing, call) == NULL) {
        return false;
    }
    return strcmp(failing, call) != 0 || after-- == 0;
}

static void let_fail(const char *call, unsigned of_its_kind)
{
    failing = call;
    after = of_its_kind;
    trace[0] = '\0';
}

static esp_partition_t partitions[3]; /**< Up to the first without a label. */

esp_err_t __real_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context)
{
    if (is_real) {
        return __real_sr_partition_visit(visit, context);
    }
    for (unsigned i = 0; i < 3 && partitions[i].label[0] != '\0'; i++) {
        visit(context, &partitions[i]);
    }
    return fails("visit") ? FAILURE : ESP_OK;
}

static sr_region_t given_up[3];

sr_region_t __wrap_sr_given_up_place(const sr_bundle_t *bundle, uint32_t index);
sr_region_t __wrap_sr_given_up_place(const sr_bundle_t *bundle, uint32_t index)
{
    assert_true(index < bundle->given_up_count);
    return given_up[index];
}

sr_moves_wanted_t __real_sr_migration_wanted(const sr_migration_t *of, uint32_t address);
sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address);
sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address)
{
    if (is_real) {
        return __real_sr_migration_wanted(of, address);
    }
    const bool moved = sr_map_is_moved(sr_map_at(&of->scan.map, address));
    return (sr_moves_wanted_t){.kind = moved ? SR_MOVES_WANTED_MOVED : SR_MOVES_WANTED_CONTENT,
                               .source = address - AWAY,
                               .digest_index = address / SECTOR};
}

/* What the bundle has for a sector: its number, over and over. */
esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data);
esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data)
{
    static uint8_t sector[SECTOR];
    assert_ptr_equal(decoder, &migration->input.decoder);
    assert_int_equal(fetch_end, 0);
    memset(sector, (int)(digest_index & 0xFF), SECTOR);
    if (fails("get")) {
        return FAILURE;
    }
    *data = sector;
    return ESP_OK;
}

esp_err_t __real_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    return !is_real && length == SECTOR && fails("read") ? FAILURE : __real_sr_flash_read(flash, address, out, length);
}

static bool in_digest;

bool __real_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    if (!is_real && fails("digest")) {
        return false;
    }
    in_digest = true;
    const bool hashed = __real_sr_digest(bytes, length, digest);
    in_digest = false;
    return hashed;
}

int __real_sr_sha256_finish(sr_sha256_t *sha, uint8_t digest[SR_SHA256_SIZE]);
int __wrap_sr_sha256_finish(sr_sha256_t *sha, uint8_t digest[SR_SHA256_SIZE]);
int __wrap_sr_sha256_finish(sr_sha256_t *sha, uint8_t digest[SR_SHA256_SIZE])
{
    const int err = __real_sr_sha256_finish(sha, digest);
    return !is_real && !in_digest && fails("finish") ? 1 : err;
}

static uint32_t yielded;

void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    yielded = bytes;
}

static esp_self_reflasher_event_t told_event;

static void on_event(void *unused, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)unused;
    (void)data;
    told_event = event;
}

/* What becomes of a record in flash. */

esp_err_t __wrap_sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t id[SR_SHA256_SIZE]);
esp_err_t __wrap_sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t id[SR_SHA256_SIZE])
{
    assert_ptr_equal(system, &migration->system);
    assert_ptr_equal(scratch, migration->buffers->scratch);
    memset(id, 0xA1, SR_SHA256_SIZE);
    return fails("app_id") ? FAILURE : ESP_OK;
}

esp_err_t __wrap_sr_journal_digest_first_part(const sr_journal_t *journal, uint8_t *scratch,
                                              uint8_t digest[SR_BUNDLE_DIGEST_SIZE]);
esp_err_t __wrap_sr_journal_digest_first_part(const sr_journal_t *journal, uint8_t *scratch,
                                              uint8_t digest[SR_BUNDLE_DIGEST_SIZE])
{
    assert_ptr_equal(scratch, migration->buffers->scratch);
    assert_ptr_equal(digest, journal->header.before);
    return fails("first_part") ? FAILURE : ESP_OK;
}

esp_err_t __wrap_sr_journal_open(sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch);
esp_err_t __wrap_sr_journal_open(sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    (void)scratch;
    assert_ptr_equal(writer, &migration->writer);
    journal->address = address;
    return fails("open") ? FAILURE : ESP_OK;
}

esp_err_t __wrap_sr_journal_clear_fill(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch);
esp_err_t __wrap_sr_journal_clear_fill(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch)
{
    (void)journal;
    (void)writer;
    (void)scratch;
    return fails("clear_fill") ? FAILURE : ESP_OK;
}

esp_err_t __wrap_sr_journal_put_manifest(const sr_journal_t *journal, sr_writer_t *writer, const uint8_t *manifest,
                                         uint8_t *scratch);
esp_err_t __wrap_sr_journal_put_manifest(const sr_journal_t *journal, sr_writer_t *writer, const uint8_t *manifest,
                                         uint8_t *scratch)
{
    (void)journal;
    (void)writer;
    (void)scratch;
    assert_ptr_equal(manifest, migration->input.manifest.bytes);
    return fails("put_manifest") ? FAILURE : ESP_OK;
}

static uint8_t staged[8][SECTOR];

esp_err_t __wrap_sr_journal_put(const sr_journal_t *journal, sr_writer_t *writer, uint32_t data_index, uint8_t *data);
esp_err_t __wrap_sr_journal_put(const sr_journal_t *journal, sr_writer_t *writer, uint32_t data_index, uint8_t *data)
{
    assert_ptr_equal(journal, &migration->run.journal);
    assert_ptr_equal(writer, &migration->writer);
    assert_true(data_index < 8);
    memcpy(staged[data_index], data, SECTOR);
    return fails("put") ? FAILURE : ESP_OK;
}

/** Marks of old records, by address; sectors after mark and list. Up to the first without an address. */
static struct {
    uint32_t address, sectors;
} marks[3];

esp_err_t __wrap_sr_journal_find(sr_journal_t *journal);
esp_err_t __wrap_sr_journal_find(sr_journal_t *journal)
{
    for (unsigned i = 0; i < 3 && !is_real && marks[i].address != 0; i++) {
        if (marks[i].address >= journal->address) {
            journal->address = marks[i].address;
            journal->header = (sr_record_header_t){.sectors = marks[i].sectors};
            return fails("find") ? FAILURE : ESP_OK;
        }
    }
    return !is_real && fails("find") ? FAILURE : ESP_ERR_NOT_FOUND;
}

static sr_region_t discarded;

esp_err_t __wrap_sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch);
esp_err_t __wrap_sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch)
{
    assert_ptr_equal(writer, &migration->writer);
    assert_ptr_equal(scratch, migration->buffers->scratch);
    discarded = (sr_region_t){journal->address, journal->header.sectors};
    return fails("discard") ? ESP_ERR_TIMEOUT : ESP_OK;
}

static sr_region_t rescanned;

esp_err_t __wrap_sr_migration_rescan(sr_migration_t *of, sr_region_t region);
esp_err_t __wrap_sr_migration_rescan(sr_migration_t *of, sr_region_t region)
{
    assert_ptr_equal(of, migration);
    rescanned = region;
    return fails("rescan") ? FAILURE : ESP_OK;
}

/* Comparisons. */

static uint32_t not_right, not_blank; /**< Sectors. */

esp_err_t __real_sr_migration_sector_is_right(sr_migration_t *of, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *of, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *of, uint32_t address, bool *right)
{
    if (is_real) {
        return __real_sr_migration_sector_is_right(of, address, right);
    }
    assert_true(sr_map_is_moved_body(sr_map_at(&of->scan.map, address)));
    *right = address != not_right;
    return fails("right") ? FAILURE : ESP_OK;
}

esp_err_t __real_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);
esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);
esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank)
{
    if (is_real) {
        return __real_sr_writer_is_blank(writer, address, blank);
    }
    *blank = address != not_blank;
    return fails("blank") ? FAILURE : ESP_OK;
}

static struct {
    uint32_t answer, overhead, sectors;
    bool slots_are_known;
    sr_map_reach_t reach;
} place;

uint32_t __wrap_sr_map_find_record(const sr_map_t *map, const sr_map_reach_t *reach, uint32_t overhead,
                                   bool slots_are_known, uint32_t *data_sectors);
uint32_t __wrap_sr_map_find_record(const sr_map_t *map, const sr_map_reach_t *reach, uint32_t overhead,
                                   bool slots_are_known, uint32_t *data_sectors)
{
    assert_ptr_equal(map, &migration->scan.map);
    place.overhead = overhead;
    place.slots_are_known = slots_are_known;
    place.sectors = *data_sectors;
    place.reach = *reach;
    return place.answer;
}

/* The chip. */

static int open_chip(void **state)
{
    (void)state;
    static uint8_t content[SECTOR];
    failing = NULL;
    trace[0] = '\0';
    is_real = true;
    memset(partitions, 0, sizeof(partitions));
    memset(given_up, 0, sizeof(given_up));
    memset(marks, 0, sizeof(marks));
    memset(&place, 0, sizeof(place));
    not_right = not_blank = UINT32_MAX;
    steps_flash(&steps);
    memset(content, 0x5A, sizeof(content));
    const bundle_region_t regions[] = {{.place = {small_slot(1), SECTOR}, .data = content, .length = SECTOR}};
    steps_open(&steps, (bundle_spec_t){.partition_table_offset = TABLE, .regions = regions, .region_count = 1});
    is_real = false;
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, UINT16_MAX);
    steps.config.event_cb = on_event;
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    is_real = true;
    steps_close(&steps);
    return 0;
}

static void put(uint32_t address, unsigned flags)
{
    sr_map_put(&migration->scan.map, address, (sr_map_flags_t)flags);
}

/* The list. */

#define WANTED (SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG)
#define NONE   SR_RECORD_GROUPS

static void sectors_belong_to_parts_of_the_commit(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        unsigned flags;
        sr_record_group_t group;
    } rows[] = {
        {PLACE, 0, NONE},
        {PLACE, WANTED, NONE}, /* Written before. */
        {PLACE, WANTED | SR_MAP_DATA, SR_RECORD_DATA},
        {PLACE, WANTED | SR_MAP_SOURCE, SR_RECORD_DATA},
        {PLACE, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_DATA, SR_RECORD_DATA},
        {PLACE, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_DATA, NONE},
        {PLACE, WANTED | SR_MAP_RUNNING_APP, NONE},
        {TABLE, WANTED | SR_MAP_BOOT_PATH, SR_RECORD_TABLE},
        {TABLE, WANTED | SR_MAP_BOOT_PATH | SR_MAP_CLAIMED, SR_RECORD_TABLE},
        {TABLE, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_BOOT_PATH, NONE},
        {TABLE + SECTOR, WANTED | SR_MAP_CLAIMED, SR_RECORD_BOOTLOADER},
        {SMALL_OTADATA, WANTED | SR_MAP_BOOT_PATH, SR_RECORD_OTADATA},
        {SMALL_OTADATA + SECTOR, WANTED | SR_MAP_BOOT_PATH, SR_RECORD_OTADATA},
        {SMALL_OTADATA + 2 * SECTOR, WANTED | SR_MAP_CLAIMED, SR_RECORD_BOOTLOADER},
        {SMALL_OTADATA, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_BOOT_PATH, SR_RECORD_OTADATA},
        /* What moves there is whole before another table is. */
        {SMALL_OTADATA, SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_BOOT_PATH, SR_RECORD_BOOTLOADER},
        {SMALL_BOOTLOADER, WANTED | SR_MAP_BOOT_PATH, SR_RECORD_BOOTLOADER},
        {SMALL_BOOTLOADER, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_BOOT_PATH, SR_RECORD_BOOTLOADER},
        {PLACE, WANTED | SR_MAP_RECOVERY, SR_RECORD_BOOTLOADER},
        {PLACE, WANTED | SR_MAP_CLAIMED, SR_RECORD_BOOTLOADER},
        {PLACE, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_CLAIMED, SR_RECORD_NEIGHBOURS},
        {PLACE, SR_MAP_TARGET | SR_MAP_CLAIMED, SR_RECORD_NEIGHBOURS},
        {PLACE, SR_MAP_CLAIMED, NONE}, /* Blank, and nobody's. */
        {PLACE, SR_MAP_TARGET | SR_MAP_BOOT_PATH, NONE},
        {PLACE, SR_MAP_TARGET | SR_MAP_RECOVERY, NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sr_record_group_t group = NONE;
        put(rows[i].address, rows[i].flags);
        const bool belongs = sr_migration_group_of(migration, rows[i].address, &group);
        assert_int_equal(belongs ? group : NONE, rows[i].group);
        put(rows[i].address, 0);
    }
}

static void expect_entry(uint32_t index, uint32_t address, uint32_t sectors, sr_record_group_t group, bool blank)
{
    const sr_record_entry_t entry = sr_journal_entry(&migration->run.journal, index);
    assert_int_equal(entry.address, address);
    assert_int_equal(entry.sectors, sectors);
    assert_int_equal(entry.group, group);
    assert_int_equal(entry.blank, blank);
}

/* In the order of the groups. What is alike and adjacent is one entry, outside of the boot path. */
static void list_has_entries_in_the_order_of_the_commit(void **state)
{
    (void)state;
    const unsigned data = WANTED | SR_MAP_DATA;
    const sr_journal_t *journal = &migration->run.journal;
    put(0, data);
    put(SECTOR, WANTED | SR_MAP_BOOT_PATH);
    put(TABLE, WANTED | SR_MAP_BOOT_PATH);
    put(SMALL_OTADATA, WANTED | SR_MAP_BOOT_PATH);
    put(SMALL_OTADATA + SECTOR, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_BOOT_PATH);
    put(PLACE, data);
    put(PLACE + SECTOR, data);
    put(PLACE + 2 * SECTOR, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_DATA);
    put(PLACE + 3 * SECTOR, data);
    put(PLACE + 4 * SECTOR, SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_DATA); /* These two move. */
    put(PLACE + 5 * SECTOR, SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_DATA);
    put(PLACE + 6 * SECTOR, data);
    put(PLACE + 7 * SECTOR, WANTED); /* Written before. */
    put(PLACE + 8 * SECTOR, SR_MAP_TARGET | SR_MAP_CLAIMED);
    put(PLACE + 9 * SECTOR, SR_MAP_TARGET | SR_MAP_CLAIMED);
    put(END, data);
    assert_int_equal(sr_migration_list_groups(migration, SR_RECORD_DATA), ESP_OK);
    assert_int_equal(journal->header.count, 12);
    assert_int_equal(journal->data_sectors, 11);
    assert_int_equal(journal->header.manifest_size, sr_migration_manifest_size(migration));
    expect_entry(0, 0, 1, SR_RECORD_DATA, false);
    expect_entry(1, PLACE, 2, SR_RECORD_DATA, false);
    expect_entry(2, PLACE + 2 * SECTOR, 1, SR_RECORD_DATA, true);
    expect_entry(3, PLACE + 3 * SECTOR, 1, SR_RECORD_DATA, false);
    expect_entry(4, PLACE + 4 * SECTOR, 2, SR_RECORD_DATA, false);
    expect_entry(5, PLACE + 6 * SECTOR, 1, SR_RECORD_DATA, false);
    expect_entry(6, END, 1, SR_RECORD_DATA, false);
    expect_entry(7, PLACE + 8 * SECTOR, 2, SR_RECORD_NEIGHBOURS, true);
    expect_entry(8, SECTOR, 1, SR_RECORD_BOOTLOADER, false);
    expect_entry(9, TABLE, 1, SR_RECORD_TABLE, false);
    expect_entry(10, SMALL_OTADATA, 1, SR_RECORD_OTADATA, false);
    expect_entry(11, SMALL_OTADATA + SECTOR, 1, SR_RECORD_OTADATA, true);
    for (unsigned first = SR_RECORD_NEIGHBOURS; first <= SR_RECORD_OTADATA; first++) {
        static const uint32_t counts[] = {12, 5, 4, 3, 2};
        assert_int_equal(sr_migration_list_groups(migration, (sr_record_group_t)first), ESP_OK);
        assert_int_equal(journal->header.count, counts[first]);
    }
    migration->scan.map.count--; /* Past the end of the map. */
    assert_int_equal(sr_migration_list_groups(migration, SR_RECORD_DATA), ESP_OK);
    assert_int_equal(journal->header.count, 11);
    migration->scan.map.count++;
}

/* Every other sector, so that none are alike and adjacent. */
static void fill_list(uint32_t entries, unsigned flags)
{
    for (uint32_t i = 0; i < entries; i++) {
        put((2 * i + 1) * SECTOR, flags);
    }
}

static void list_that_is_full_has_no_room_for_data(void **state)
{
    (void)state;
    bool is_staged = false;
    place.answer = PLACE;
    fill_list(SR_RECORD_MAX_ENTRIES, WANTED | SR_MAP_DATA);
    assert_int_equal(sr_migration_list_groups(migration, SR_RECORD_DATA), ESP_OK);
    assert_int_equal(sr_migration_list_entries(migration, &is_staged), ESP_OK);
    assert_true(is_staged);
    assert_int_equal(place.sectors,
                     sr_record_manifest_sectors(sr_migration_manifest_size(migration)) + SR_RECORD_MAX_ENTRIES);
    place.answer = UINT32_MAX; /* No free flash. */
    assert_int_equal(sr_migration_list_entries(migration, &is_staged), ESP_OK);
    assert_false(is_staged);
    assert_int_equal(migration->run.journal.header.count, 0);
    place.answer = PLACE;
    put(END, WANTED | SR_MAP_DATA);
    assert_int_equal(sr_migration_list_groups(migration, SR_RECORD_DATA), ESP_ERR_INVALID_SIZE);
    assert_int_equal(sr_migration_list_entries(migration, &is_staged), ESP_OK);
    assert_false(is_staged);
    assert_int_equal(migration->run.journal.header.count, 0); /* Data goes straight to its place. */
    fill_list(SR_RECORD_MAX_ENTRIES, WANTED | SR_MAP_CLAIMED);
    put(END, WANTED | SR_MAP_CLAIMED);
    assert_int_equal(sr_migration_list_entries(migration, &is_staged), ESP_ERR_INVALID_SIZE);
    assert_false(is_staged);
}

/* The place. */

static void slots_are_known_by_the_new_table(void **state)
{
    (void)state;
    uint32_t sectors = 17;
    sr_bundle_t *bundle = &migration->input.manifest.bundle;
    place.answer = PLACE;
    assert_int_equal(sr_migration_find_place(migration, &sectors), PLACE);
    assert_true(place.slots_are_known);
    assert_int_equal(place.overhead, SR_RECORD_OVERHEAD);
    assert_int_equal(place.sectors, 17);
    assert_ptr_equal(place.reach.context, migration);
    bundle->partition_table_offset = SR_BUNDLE_NO_TABLE;
    assert_int_equal(sr_migration_find_place(migration, &sectors), PLACE);
    assert_false(place.slots_are_known);
}

static esp_partition_t partition(esp_partition_type_t type, uint32_t address, uint32_t size)
{
    return (esp_partition_t){
        .flash_chip = esp_flash_default_chip, .type = type, .address = address, .size = size, .label = "part"};
}

static uint32_t reach_of(uint32_t address)
{
    const sr_map_reach_t reach = sr_migration_reach(migration);
    return reach.end(reach.context, address);
}

/* Whoever can write to a partition can put a mark there: it says nothing about what lies past that. */
static void mark_counts_to_the_end_of_its_partition(void **state)
{
    (void)state;
    static const struct {
        uint32_t address, size, mark, end;
    } rows[] = {
        {PLACE, 4 * SECTOR, PLACE - SECTOR, PLACE},
        {PLACE, 4 * SECTOR, PLACE, PLACE + 4 * SECTOR},
        {PLACE, 4 * SECTOR, PLACE + 3 * SECTOR, PLACE + 4 * SECTOR},
        {PLACE, 4 * SECTOR, PLACE + 4 * SECTOR, SMALL_FLASH_SIZE},
        {PLACE, 0, PLACE - SECTOR, SMALL_FLASH_SIZE}, /* Nobody's. */
        {PLACE, 1, PLACE - SECTOR, PLACE},
        {PLACE, 4 * SECTOR + 0x800, PLACE, PLACE + 4 * SECTOR}, /* Whole sectors. */
        {PLACE, 4 * SECTOR + 0x801, PLACE, PLACE + 4 * SECTOR},
        {PLACE, 5 * SECTOR, PLACE, PLACE + 5 * SECTOR},
        {PLACE, SMALL_FLASH_SIZE, PLACE, SMALL_FLASH_SIZE},
        {END, SECTOR, PLACE, END},
        {END, SECTOR, END, SMALL_FLASH_SIZE},
        {SMALL_FLASH_SIZE, SECTOR, PLACE, SMALL_FLASH_SIZE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        partitions[0] = partition(ESP_PARTITION_TYPE_DATA, rows[i].address, rows[i].size);
        assert_int_equal(reach_of(rows[i].mark), rows[i].end);
    }
    partitions[0] = partition(ESP_PARTITION_TYPE_DATA, PLACE + 4 * SECTOR, SECTOR);
    partitions[1] = partition(ESP_PARTITION_TYPE_DATA, PLACE, SECTOR);
    partitions[2] = partition(ESP_PARTITION_TYPE_DATA, PLACE + 2 * SECTOR, SECTOR);
    assert_int_equal(reach_of(PLACE + SECTOR), PLACE + 2 * SECTOR); /* The next one, in whatever order. */
    let_fail("visit", 0);                                           /* Without memory it is as if there were none. */
    assert_int_equal(reach_of(PLACE + SECTOR), SMALL_FLASH_SIZE);
}

static void what_is_given_up_needs_no_mark(void **state)
{
    (void)state;
    static const struct {
        sr_region_t given_up[3];
        uint32_t end;
    } rows[] = {
        {{{0}}, PLACE + 4 * SECTOR},
        {{{PLACE + 4 * SECTOR, 2 * SECTOR}}, PLACE + 6 * SECTOR},
        {{{PLACE + 5 * SECTOR, 2 * SECTOR}}, PLACE + 4 * SECTOR}, /* Not right after it. */
        {{{PLACE + 3 * SECTOR, SECTOR}}, PLACE + 4 * SECTOR},     /* Up to there only. */
        {{{PLACE + 2 * SECTOR, 4 * SECTOR}}, PLACE + 6 * SECTOR},
        {{{0}, {0}, {PLACE + 4 * SECTOR, SECTOR}}, PLACE + 5 * SECTOR},
        {{{PLACE + 6 * SECTOR, SECTOR}, {PLACE + 5 * SECTOR, SECTOR}, {PLACE + 4 * SECTOR, SECTOR}},
         PLACE + 7 * SECTOR},
        {{{PLACE + 4 * SECTOR, SECTOR}, {PLACE + 6 * SECTOR, SECTOR}}, PLACE + 5 * SECTOR},
    };
    partitions[0] = partition(ESP_PARTITION_TYPE_DATA, PLACE, 4 * SECTOR);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(given_up, rows[i].given_up, sizeof(given_up));
        migration->input.manifest.bundle.given_up_count = 3;
        assert_int_equal(reach_of(PLACE), rows[i].end);
    }
    migration->input.manifest.bundle.given_up_count = 0;
}

/* The data. */

static void sectors_come_from_the_bundle_or_from_where_they_are(void **state)
{
    (void)state;
    static uint8_t data[SECTOR];
    const sr_record_entry_t entry = {.address = PLACE};
    for (unsigned kind = 0; kind < 2; kind++) {
        put(PLACE + SECTOR, kind == 0 ? SR_MAP_CONTENT : SR_MAP_CONTENT | SR_MAP_TARGET);
        memset(data, 0, sizeof(data));
        yielded = 0;
        assert_int_equal(sr_migration_fetch(migration, &entry, 1, data), ESP_OK);
        assert_int_equal(yielded, SR_YIELD_WRITE);
        if (kind == 0) {
            assert_memory_equal(data, nor_flash_view(steps.flash) + PLACE + SECTOR - AWAY, SECTOR);
        } else {
            assert_int_equal(data[0], PLACE / SECTOR + 1);
            assert_int_equal(data[SECTOR - 1], PLACE / SECTOR + 1);
        }
        let_fail(kind == 0 ? "read" : "get", 0);
        assert_int_equal(sr_migration_fetch(migration, &entry, 1, data), FAILURE);
    }
}

/* Two sectors from the bundle, one that is blank, two that move, one of otadata. */
static void make_list(void)
{
    const sr_record_entry_t entries[] = {
        {.address = PLACE, .sectors = 2, .group = SR_RECORD_DATA},
        {.address = PLACE + 2 * SECTOR, .sectors = 1, .group = SR_RECORD_DATA, .blank = true},
        {.address = PLACE + 3 * SECTOR, .sectors = 2, .group = SR_RECORD_DATA},
        {.address = SMALL_OTADATA, .sectors = 1, .group = SR_RECORD_OTADATA},
        {.address = SMALL_OTADATA + SECTOR, .sectors = 1, .group = SR_RECORD_OTADATA}, /* Not counted. */
    };
    sr_journal_start(&migration->run.journal, sr_migration_manifest_size(migration));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(sr_journal_add(&migration->run.journal, &entries[i]), ESP_OK);
    }
    migration->run.journal.header.count--;
    migration->run.journal.data_sectors--;
    put(PLACE, WANTED);
    put(PLACE + SECTOR, WANTED);
    put(PLACE + 3 * SECTOR, SR_MAP_CONTENT | SR_MAP_WRONG);
    put(PLACE + 4 * SECTOR, SR_MAP_CONTENT | SR_MAP_WRONG);
    put(SMALL_OTADATA, WANTED);
}

static esp_err_t stage(void)
{
    heap_caps_free(migration->run.journal.digests);
    migration->run.journal.digests = NULL;
    trace[0] = '\0';
    return sr_migration_stage_data(migration);
}

#define BEGINNING         "app_id first_part open clear_fill put_manifest "
#define SECTOR_OF_BUNDLE  "get digest put "
#define SECTOR_THAT_MOVES "read digest put "

static void record_gets_all_data_and_a_digest_of_each_sector(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    const sr_journal_t *journal = &migration->run.journal;
    const uint8_t *flash = nor_flash_view(steps.flash);
    make_list();
    steps.plan.staging_address = 0x54000;
    told_event = ESP_SELF_REFLASHER_EVENT_CHECK;
    migration->run.progress.sectors_done = 99;
    assert_int_equal(stage(), ESP_OK);
    assert_string_equal(trace, BEGINNING SECTOR_OF_BUNDLE SECTOR_OF_BUNDLE "finish " SECTOR_THAT_MOVES SECTOR_THAT_MOVES
                                                                           "finish " SECTOR_OF_BUNDLE "finish ");
    assert_int_equal(journal->address, 0x54000);
    assert_int_equal(journal->header.app_id[SR_BUNDLE_DIGEST_SIZE - 1], 0xA1);
    assert_int_equal(told_event, ESP_SELF_REFLASHER_EVENT_STAGE);
    assert_int_equal(migration->run.progress.sectors_done, 5);
    assert_int_equal(migration->run.progress.sectors_total, 5);
    assert_int_equal(staged[0][17], PLACE / SECTOR);
    assert_int_equal(staged[1][17], PLACE / SECTOR + 1);
    assert_memory_equal(staged[2], flash + PLACE + 3 * SECTOR - AWAY, SECTOR);
    assert_memory_equal(staged[3], flash + PLACE + 4 * SECTOR - AWAY, SECTOR);
    assert_int_equal(staged[4][17], SMALL_OTADATA / SECTOR);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(__real_sr_digest(staged[i], SECTOR, digest));
        assert_memory_equal(journal->digests + i * SR_BUNDLE_DIGEST_SIZE, digest, SR_BUNDLE_DIGEST_SIZE);
    }
    /* Of what the manifest has no digest for, the list has one. */
    assert_true(__real_sr_digest(flash + PLACE + 3 * SECTOR - AWAY, 2 * SECTOR, digest));
    assert_memory_equal(sr_journal_entry(journal, 2).digest, digest, SR_BUNDLE_DIGEST_SIZE);
    static const uint8_t none[SR_BUNDLE_DIGEST_SIZE];
    assert_memory_equal(sr_journal_entry(journal, 0).digest, none, sizeof(none));
    assert_memory_equal(sr_journal_entry(journal, 3).digest, none, sizeof(none));
}

static void whatever_fails_ends_the_staging(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        unsigned number;
        esp_err_t err;
        const char *until;
    } rows[] = {
        {"app_id", 0, FAILURE, "app_id "},
        {"first_part", 0, FAILURE, "app_id first_part "},
        {"open", 0, FAILURE, "app_id first_part open "},
        {"clear_fill", 0, FAILURE, "app_id first_part open clear_fill "},
        {"put_manifest", 0, FAILURE, BEGINNING},
        {"get", 0, FAILURE, BEGINNING "get finish "},
        {"digest", 0, ESP_FAIL, BEGINNING "get digest finish "},
        {"put", 0, FAILURE, BEGINNING SECTOR_OF_BUNDLE "finish "},
        {"get", 1, FAILURE, BEGINNING SECTOR_OF_BUNDLE "get finish "},
        {"put", 1, FAILURE, BEGINNING SECTOR_OF_BUNDLE SECTOR_OF_BUNDLE "finish "},
        {"finish", 0, ESP_FAIL, BEGINNING SECTOR_OF_BUNDLE SECTOR_OF_BUNDLE "finish "},
        {"read", 0, FAILURE, BEGINNING SECTOR_OF_BUNDLE SECTOR_OF_BUNDLE "finish read finish "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        make_list();
        let_fail(rows[i].call, rows[i].number);
        assert_int_equal(stage(), rows[i].err);
        assert_string_equal(trace, rows[i].until);
    }
    failing = NULL;
    make_list();
    sim_heap_fail_at(1);
    assert_int_equal(stage(), ESP_ERR_NO_MEM);
    assert_string_equal(trace, "");
    sim_heap_fail_at(0);

    const sr_record_entry_t blank = {.address = PLACE, .sectors = 1, .group = SR_RECORD_DATA, .blank = true};
    const sr_record_entry_t one = {.address = PLACE, .sectors = 1, .group = SR_RECORD_DATA};
    for (unsigned i = 0; i < 2; i++) { /* Without data there is nothing to allocate. */
        sr_journal_start(&migration->run.journal, sr_migration_manifest_size(migration));
        assert_int_equal(sr_journal_add(&migration->run.journal, i == 0 ? &blank : &one), ESP_OK);
        sim_heap_fail_at(1);
        assert_int_equal(stage(), i == 0 ? ESP_OK : ESP_ERR_NO_MEM);
        sim_heap_fail_at(0);
        assert_int_equal(stage(), ESP_OK);
    }
}

/* What moves. */

static void add_entry(uint32_t address, uint32_t sectors, bool digest_is_right)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_record_entry_t entry = {.address = address, .sectors = sectors, .group = SR_RECORD_DATA};
    assert_true(__real_sr_digest(nor_flash_view(steps.flash) + address - AWAY, sectors * SECTOR, digest));
    memcpy(entry.digest, digest, sizeof(entry.digest));
    entry.digest[SR_BUNDLE_DIGEST_SIZE - 1] ^= digest_is_right ? 0 : 1;
    assert_int_equal(sr_journal_add(&migration->run.journal, &entry), ESP_OK);
}

/* Entries that move at PLACE and at PLACE + 4 sectors, one that does not in between. */
static void make_moves(bool first, bool between, bool last)
{
    static const unsigned moved = SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_DATA;
    sr_journal_start(&migration->run.journal, 100);
    for (unsigned i = 0; i < 6; i++) {
        put(PLACE + i * SECTOR, i == 3 ? WANTED : moved);
    }
    add_entry(PLACE, 2, first);
    add_entry(PLACE + 3 * SECTOR, 1, between);
    add_entry(PLACE + 4 * SECTOR, 1, last);
    add_entry(PLACE + 5 * SECTOR, 1, false); /* Not counted. */
    migration->run.journal.header.count--;
}

static esp_err_t check_moved(void)
{
    trace[0] = '\0';
    return sr_migration_check_moved(migration);
}

static void what_moves_in_the_list_must_be_as_it_was(void **state)
{
    (void)state;
    make_moves(true, true, true);
    assert_int_equal(check_moved(), ESP_OK);
    assert_string_equal(trace, "read read finish read finish ");
    make_moves(true, false, true); /* The manifest vouches for that one. */
    assert_int_equal(check_moved(), ESP_OK);
    make_moves(false, true, true);
    assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE);
    assert_string_equal(trace, "read read finish ");
    make_moves(true, true, false);
    assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE);
    make_moves(true, true, true);
    for (uint32_t i = 0; i < 2; i++) { /* A bit in the first or in the last byte of the first entry. */
        const uint32_t byte = PLACE - AWAY + i * (2 * SECTOR - 1);
        nor_flash_bytes(steps.flash)[byte] ^= 1;
        assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE);
        nor_flash_bytes(steps.flash)[byte] ^= 1;
    }
    static const char *const until[] = {"read finish ", "read read finish ", "read read finish read finish "};
    for (unsigned i = 0; i < 3; i++) {
        let_fail("read", i);
        assert_int_equal(check_moved(), FAILURE);
        assert_string_equal(trace, until[i]);
    }
    let_fail("finish", 0);
    assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE);
}

/* Where it went straight to its place. */
static void what_has_moved_must_be_as_its_source(void **state)
{
    (void)state;
    static const unsigned body = SR_MAP_CONTENT | SR_MAP_WRONG;
    static const uint32_t places[] = {0, PLACE, END};
    make_moves(true, true, true);
    for (size_t i = 0; i < 3; i++) {
        put(places[i], body);
    }
    migration->run.journal.header.count = 0;
    put(PLACE + SECTOR, SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_DATA); /* In the list. */
    put(PLACE + 2 * SECTOR, SR_MAP_CONTENT);                          /* Right before. */
    put(PLACE + 4 * SECTOR, 0);
    put(PLACE + 5 * SECTOR, WANTED);
    assert_int_equal(check_moved(), ESP_OK);
    assert_string_equal(trace, "right right right ");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const until[] = {"right ", "right right ", "right right right "};
        not_right = places[i];
        assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE);
        assert_string_equal(trace, until[i]);
        not_right = UINT32_MAX;
        let_fail("right", i);
        assert_int_equal(check_moved(), FAILURE);
        assert_string_equal(trace, until[i]);
        failing = NULL;
    }
    migration->scan.map.count--; /* Past the end of the map. */
    not_right = END;
    assert_int_equal(check_moved(), ESP_OK);
    migration->scan.map.count++;
    make_moves(false, true, true);
    assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE); /* Nothing else is looked at then. */
    assert_string_equal(trace, "read read finish ");
    make_moves(true, true, true);
    let_fail("read", 0);
    assert_int_equal(check_moved(), FAILURE);
    assert_string_equal(trace, "read finish ");
}

/* Pages that were left out, as they were blank. */
static void what_was_left_out_must_be_blank_still(void **state)
{
    (void)state;
    static struct sr_move moves[3] = {{.source = {PLACE, SECTOR}},
                                      {.source = {PLACE + 2 * SECTOR, SECTOR}},
                                      {.source = {PLACE + 4 * SECTOR, SECTOR}}}; /* The last one is not counted. */
    static const uint32_t places[] = {0, PLACE + SECTOR, PLACE + 4 * SECTOR, END};
    sr_journal_start(&migration->run.journal, 100);
    migration->scan.moves = (sr_moves_t){.list = moves, .count = 2};
    put(0, SR_MAP_SOURCE);
    put(END, SR_MAP_SOURCE);
    for (unsigned i = 0; i < 5; i++) { /* All but the fourth are sources; the first and the third move. */
        put(PLACE + i * SECTOR, i == 3 ? SR_MAP_DATA : SR_MAP_SOURCE);
    }
    assert_int_equal(check_moved(), ESP_OK);
    assert_string_equal(trace, "blank blank blank blank ");
    for (unsigned i = 0; i < 4; i++) {
        static const char *const until[] = {"blank ", "blank blank ", "blank blank blank ", "blank blank blank blank "};
        not_blank = places[i];
        assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE);
        assert_string_equal(trace, until[i]);
        not_blank = UINT32_MAX;
        let_fail("blank", i);
        assert_int_equal(check_moved(), FAILURE);
        assert_string_equal(trace, until[i]);
        failing = NULL;
    }
    for (unsigned i = 0; i < 4; i++) {
        not_blank = PLACE + (i == 0 ? 0 : i == 1 ? 2 : 3) * SECTOR;
        assert_int_equal(check_moved(), ESP_OK);
    }
    not_blank = END; /* Past the end of the map. */
    migration->scan.map.count--;
    assert_int_equal(check_moved(), ESP_OK);
    migration->scan.map.count++;
    put(PLACE, SR_MAP_CONTENT | SR_MAP_WRONG); /* Not before all else is right. */
    not_right = PLACE;
    assert_int_equal(check_moved(), ESP_ERR_INVALID_STATE);
    assert_string_equal(trace, "right ");
    not_right = UINT32_MAX;
    let_fail("right", 0);
    assert_int_equal(check_moved(), FAILURE);
    assert_string_equal(trace, "right ");
    migration->scan.moves = (sr_moves_t){0};
}

/* Old records. */

/* What of the flash is free because of what is left of records. */
static void expect_released(sr_region_t released)
{
    for (uint32_t at = 0; at < SMALL_FLASH_SIZE; at += SECTOR) {
        const bool is = (sr_map_at(&migration->scan.map, at) & SR_MAP_RELEASED) != 0;
        if (is != sr_region_overlaps(released, (sr_region_t){at, SECTOR})) {
            fail_msg("0x%x is %s", (unsigned)at, is ? "free" : "not free");
        }
    }
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_RELEASED);
}

static esp_err_t mark_records(void)
{
    trace[0] = '\0';
    return sr_migration_mark_records(migration);
}

static const sr_region_t nothing = {0, 0};

static void old_record_is_erased_where_nobody_needs_it(void **state)
{
    (void)state;
    const struct {
        unsigned flags;
        sr_region_t replaced; /**< By the copy of a recovery bootloader. */
        bool may;
    } rows[] = {
        {0, nothing, true},
        {SR_MAP_BLANK, nothing, true},
        {SR_MAP_CLOSED_THEN, nothing, true},
        {SR_MAP_CLOSED_NOW, nothing, false},
        {SR_MAP_TARGET | SR_MAP_CONTENT, nothing, false}, /* Right already. */
        {SR_MAP_CONTENT, nothing, false},
        {SR_MAP_TARGET, nothing, false},
        {SR_MAP_TARGET | SR_MAP_BLANK, nothing, true},
        {SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG, nothing, true},
        {SR_MAP_TARGET | SR_MAP_WRONG, nothing, true},
        {SR_MAP_BOOT_PATH, nothing, false},
        {SR_MAP_RUNNING_APP, nothing, false},
        {SR_MAP_DATA, nothing, false},
        {SR_MAP_SOURCE, nothing, false},
        {SR_MAP_CLAIMED, nothing, false},
        {SR_MAP_MARK, nothing, false},
        {SR_MAP_RECOVERY, nothing, false},
        {SR_MAP_RECOVERY, {PLACE + SECTOR, 3 * SECTOR}, true},
        {SR_MAP_RECOVERY, {PLACE + 4 * SECTOR, SECTOR}, false},
        {SR_MAP_RECOVERY | SR_MAP_CLOSED_NOW, {PLACE, 8 * SECTOR}, false},
        {SR_MAP_TARGET | SR_MAP_CONTENT, {PLACE, 8 * SECTOR}, false},
    };
    marks[0].address = PLACE + SECTOR;
    marks[0].sectors = 1; /* With mark and list three. */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint32_t k = 0; k < 5; k++) {
            put(PLACE + k * SECTOR, rows[i].flags);
            const bool outside = k == 0 || k == 4;
            const bool may = outside || rows[i].may;
            for (unsigned needs_copy = 0; needs_copy < 2; needs_copy++) {
                migration->choice.recovery = (sr_recovery_t){rows[i].replaced, needs_copy != 0};
                const bool replaced = needs_copy != 0 || rows[i].replaced.size == 0 || outside || !rows[i].may;
                assert_int_equal(mark_records(), ESP_OK);
                expect_released(may && replaced ? (sr_region_t){PLACE + SECTOR, 3 * SECTOR} : nothing);
            }
            put(PLACE + k * SECTOR, 0);
        }
    }
    migration->choice.recovery = (sr_recovery_t){0};
}

/* Up to the end of its partition, whatever it says. */
static void old_record_counts_in_its_partition_only(void **state)
{
    (void)state;
    static const struct {
        uint32_t sectors;  /**< As its mark says. */
        uint32_t room;     /**< Sectors up to the next partition. */
        uint32_t released; /**< Of them. */
        uint32_t rest;     /**< As it is discarded: after mark and list. */
    } rows[] = {{3, 8, 5, 3}, {3, 5, 5, 3}, {3, 4, 4, 2}, {3, 3, 3, 1}, {3, 2, 1, 0}, {3, 1, 1, 0}, {0, 8, 1, 0}};
    marks[0].address = PLACE;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        marks[0].sectors = rows[i].sectors;
        partitions[0] = partition(ESP_PARTITION_TYPE_DATA, PLACE + rows[i].room * SECTOR, SECTOR);
        assert_int_equal(mark_records(), ESP_OK);
        expect_released((sr_region_t){PLACE, rows[i].released * SECTOR});
        assert_int_equal(sr_migration_discard_records(migration), ESP_OK);
        assert_int_equal(discarded.address, PLACE);
        assert_int_equal(discarded.size, rows[i].rest);
    }
}

/* An app that has come there since is worth more than what a mark says. */
static void old_record_is_not_erased_over_an_app(void **state)
{
    (void)state;
    const uint32_t slot = small_slot(1);
    static const struct {
        esp_partition_type_t type;
        uint32_t size;
        uint32_t mark; /**< Sectors after the slot's beginning. */
        uint32_t damaged;
        bool may;
    } rows[] = {
        {ESP_PARTITION_TYPE_APP, SMALL_SLOT_SIZE, 0, 0, false},
        {ESP_PARTITION_TYPE_APP, SMALL_SLOT_SIZE, 2, 0, false},
        {ESP_PARTITION_TYPE_APP, SMALL_SLOT_SIZE, 3, 0, true}, /* After its end. */
        {ESP_PARTITION_TYPE_DATA, SMALL_SLOT_SIZE, 0, 0, true},
        {ESP_PARTITION_TYPE_APP, SMALL_SLOT_SIZE, 0, 1, true}, /* No header of an image. */
        {ESP_PARTITION_TYPE_APP, SMALL_SLOT_SIZE, 0, 0x21, true},
        {ESP_PARTITION_TYPE_APP, SMALL_SLOT_SIZE, 0, 0x801, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        small_app("2", nor_flash_bytes(steps.flash) + slot);
        if (rows[i].damaged != 0) {
            nor_flash_bytes(steps.flash)[slot + rows[i].damaged - 1] ^= 0xFF;
        }
        marks[0].address = slot + rows[i].mark * SECTOR;
        marks[0].sectors = 2;
        partitions[0] = partition(rows[i].type, slot, rows[i].size);
        partitions[1] = partition(ESP_PARTITION_TYPE_APP, small_slot(0), SMALL_SLOT_SIZE); /* Another one. */
        assert_int_equal(mark_records(), ESP_OK);
        expect_released(rows[i].may ? (sr_region_t){marks[0].address, 4 * SECTOR} : nothing);
    }
}

static void what_fails_in_the_search_for_old_records_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        unsigned number;
    } rows[] = {{"find", 0}, {"visit", 0}, {"visit", 1}, {"find", 1}, {"find", 2}};
    marks[0].address = PLACE;
    marks[0].sectors = 1;
    marks[1].address = PLACE + 8 * SECTOR;
    marks[1].sectors = 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        let_fail(rows[i].call, rows[i].number);
        assert_int_equal(mark_records(), FAILURE);
        let_fail(rows[i].call, rows[i].number);
        assert_int_equal(sr_migration_discard_records(migration), FAILURE);
    }
    failing = NULL;
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_RELEASED);
    trace[0] = '\0';
    assert_int_equal(sr_migration_discard_records(migration), ESP_OK);
    assert_string_equal(trace, "find visit visit discard find visit visit discard find ");
    put(PLACE, SR_MAP_DATA); /* That one is somebody's; the search goes on after it. */
    trace[0] = '\0';
    assert_int_equal(sr_migration_discard_records(migration), ESP_OK);
    assert_string_equal(trace, "find visit find visit visit discard find ");
    assert_int_equal(discarded.address, PLACE + 8 * SECTOR);
}

/* But its place is not free then. */
static void old_record_that_cannot_be_erased_stays(void **state)
{
    (void)state;
    marks[0].address = PLACE;
    marks[0].sectors = 3;
    let_fail("discard", 0);
    rescanned = nothing;
    assert_int_equal(sr_migration_discard_records(migration), ESP_OK);
    assert_string_equal(trace, "find visit visit discard rescan find ");
    assert_int_equal(rescanned.address, PLACE);
    assert_int_equal(rescanned.size, 5 * SECTOR);
    marks[1].address = PLACE + 8 * SECTOR;
    marks[1].sectors = 1;
    let_fail("discard rescan", 0); /* Then it is not known what is free. */
    assert_int_equal(sr_migration_discard_records(migration), FAILURE);
    assert_string_equal(trace, "find visit visit discard rescan ");
}

static void sector_that_fails_is_told(void **state)
{
    (void)state;
    migration->writer.failed_address = 0x54000;
    error_line[0] = '\0';
    assert_int_equal(sr_migration_tell_record(migration, ESP_OK), ESP_OK);
    assert_string_equal(error_line, "");
    assert_int_equal(sr_migration_tell_record(migration, FAILURE), FAILURE);
    assert_non_null(strstr(error_line, "staging, sector 0x54000: "));
    error_line[0] = '\0'; /* Also where the migration goes on. */
    marks[0].address = PLACE;
    let_fail("discard", 0);
    assert_int_equal(sr_migration_discard_records(migration), ESP_OK);
    assert_non_null(strstr(error_line, "staging, sector 0x54000: "));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sectors_belong_to_parts_of_the_commit),
        TEST(list_has_entries_in_the_order_of_the_commit),
        TEST(list_that_is_full_has_no_room_for_data),
        TEST(slots_are_known_by_the_new_table),
        TEST(mark_counts_to_the_end_of_its_partition),
        TEST(what_is_given_up_needs_no_mark),
        TEST(sectors_come_from_the_bundle_or_from_where_they_are),
        TEST(record_gets_all_data_and_a_digest_of_each_sector),
        TEST(whatever_fails_ends_the_staging),
        TEST(what_moves_in_the_list_must_be_as_it_was),
        TEST(what_has_moved_must_be_as_its_source),
        TEST(what_was_left_out_must_be_blank_still),
        TEST(old_record_is_erased_where_nobody_needs_it),
        TEST(old_record_counts_in_its_partition_only),
        TEST(old_record_is_not_erased_over_an_app),
        TEST(what_fails_in_the_search_for_old_records_is_told),
        TEST(old_record_that_cannot_be_erased_stays),
        TEST(sector_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
