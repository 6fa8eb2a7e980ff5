// SPDX-License-Identifier: Apache-2.0
/** @file
 * The flash as it will be, and what of a bundle is kept in RAM for those who read it: chunks that are read more than
 * once travel once, as long as there is memory for them. The decoder has tests of its own, and does nothing here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/support/support_migration.h"

#include "port/sr_yield.h"

#define SECTOR     SR_SECTOR_SIZE
#define TABLE      SR_PARTITION_TABLE_OFFSET
#define FAILURE    0x7777
#define PLACE      0xA0000u
#define MOVED_FROM 0x41000u
#define BEGINNING  3072u /**< Of an app: as much of it is kept. */
#define MAX_CHUNKS 6u
#define MAX_CALLS  8u

static steps_t steps;
static sr_migration_t *const migration = &steps.migration;
static const esp_http_client_config_t http = {.url = "http://nobody"};

/* Those that are called. */

static bool is_real; /**< They do what they always do. */

/** The chunks of a bundle; a chunk's number is also that of its digest. */
static struct {
    sr_bundle_chunk_t row;
    uint32_t address;   /**< Where its first sector goes. */
    sr_map_flags_t has; /**< Flags of one of its sectors. */
} chunks[MAX_CHUNKS];

sr_bundle_chunk_t __real_sr_bundle_chunk(const sr_bundle_t *bundle, uint32_t index);
sr_bundle_chunk_t __wrap_sr_bundle_chunk(const sr_bundle_t *bundle, uint32_t index);
sr_bundle_chunk_t __wrap_sr_bundle_chunk(const sr_bundle_t *bundle, uint32_t index)
{
    if (is_real) {
        return __real_sr_bundle_chunk(bundle, index);
    }
    assert_true(index < bundle->chunk_count);
    return chunks[index].row;
}

uint32_t __real_sr_bundle_address(const sr_bundle_t *bundle, uint32_t digest_index);
uint32_t __wrap_sr_bundle_address(const sr_bundle_t *bundle, uint32_t digest_index);
uint32_t __wrap_sr_bundle_address(const sr_bundle_t *bundle, uint32_t digest_index)
{
    return is_real ? __real_sr_bundle_address(bundle, digest_index) : chunks[digest_index].address;
}

uint32_t __wrap_sr_bundle_chunk_of(const sr_bundle_t *bundle, uint32_t digest_index);
uint32_t __wrap_sr_bundle_chunk_of(const sr_bundle_t *bundle, uint32_t digest_index)
{
    (void)bundle;
    return digest_index;
}

bool __real_sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, sr_map_flags_t want,
                             sr_map_flags_t without);
bool __wrap_sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, sr_map_flags_t want,
                             sr_map_flags_t without);
bool __wrap_sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, sr_map_flags_t want,
                             sr_map_flags_t without)
{
    if (is_real) {
        return __real_sr_map_chunk_has(map, bundle, chunk, want, without);
    }
    assert_ptr_equal(map, &migration->scan.map);
    return (chunks[chunk].has & want) == want && (chunks[chunk].has & without) == 0;
}

/** What the decoder was asked to keep. */
static struct {
    unsigned count;
    struct {
        uint32_t chunk, most, fetch_end;
        bool lent;
    } calls[MAX_CALLS];
    uint32_t short_by; /**< So much less than a whole chunk is kept. */
    esp_err_t err;
} kept;

esp_err_t __wrap_sr_decoder_keep(sr_decoder_t *decoder, uint32_t chunk_index, uint32_t most, uint32_t fetch_end,
                                 uint8_t *lent, uint32_t *length);
esp_err_t __wrap_sr_decoder_keep(sr_decoder_t *decoder, uint32_t chunk_index, uint32_t most, uint32_t fetch_end,
                                 uint8_t *lent, uint32_t *length)
{
    assert_ptr_equal(decoder, &migration->input.decoder);
    assert_true(lent == NULL || lent == migration->buffers->list);
    assert_true(kept.count < MAX_CALLS);
    kept.calls[kept.count].chunk = chunk_index;
    kept.calls[kept.count].most = most;
    kept.calls[kept.count].fetch_end = fetch_end;
    kept.calls[kept.count++].lent = lent != NULL;
    *length = most - kept.short_by;
    return kept.err;
}

static unsigned given_back;

void __wrap_sr_decoder_give_back(sr_decoder_t *decoder);
void __wrap_sr_decoder_give_back(sr_decoder_t *decoder)
{
    assert_ptr_equal(decoder, &migration->input.decoder);
    given_back++;
}

static struct {
    unsigned count;
    uint32_t digest_index, fetch_end;
    esp_err_t err;
} gets;

static uint8_t sector_of_bundle[SECTOR];

esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data);
esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data)
{
    assert_ptr_equal(decoder, &migration->input.decoder);
    gets.count++;
    gets.digest_index = digest_index;
    gets.fetch_end = fetch_end;
    *data = gets.err == ESP_OK ? sector_of_bundle : NULL;
    return gets.err;
}

static sr_moves_wanted_kind_t wanted_kind;

sr_moves_wanted_t __real_sr_migration_wanted(const sr_migration_t *of, uint32_t address);
sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address);
sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address)
{
    if (is_real) {
        return __real_sr_migration_wanted(of, address);
    }
    assert_int_equal(address % SECTOR, 0);
    return (sr_moves_wanted_t){.kind = wanted_kind, .digest_index = 0, .source = MOVED_FROM - PLACE + address};
}

static esp_err_t read_err;

esp_err_t __real_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    return read_err != ESP_OK ? read_err : __real_sr_flash_read(flash, address, out, length);
}

static uint32_t yielded;

void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    yielded += bytes;
}

/* The chip. */

static int open_chip(void **state)
{
    (void)state;
    is_real = true;
    read_err = ESP_OK;
    given_back = 0;
    memset(chunks, 0, sizeof(chunks));
    memset(&kept, 0, sizeof(kept));
    memset(&gets, 0, sizeof(gets));
    steps_flash(&steps);
    dummy_image_fill(sector_of_bundle, SECTOR, 77);
    const bundle_region_t regions[] = {{.place = {PLACE, SECTOR}, .data = sector_of_bundle, .length = SECTOR}};
    steps_open(&steps, (bundle_spec_t){.partition_table_offset = TABLE, .regions = regions, .region_count = 1});
    steps.config.http_config = &http;
    is_real = false;
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    is_real = true;
    steps_close(&steps);
    return 0;
}

/* Chunks that follow each other in the file, each of one sector on the boot path. */
static void put_chunks(unsigned count, uint32_t length)
{
    migration->input.manifest.bundle.chunk_count = (uint16_t)count;
    for (uint32_t i = 0; i < count; i++) {
        chunks[i].row =
            (sr_bundle_chunk_t){.offset = 1000 + i * length, .length = length, .first_digest = i, .sector_count = 1};
        chunks[i].address = PLACE + i * SECTOR;
        chunks[i].has = SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_BOOT_PATH;
    }
}

static esp_err_t keep(void)
{
    kept.count = 0;
    migration->input.kept_for_checks = 0;
    return sr_migration_keep(migration);
}

/* Memory. */

/* 48 KiB for all that a migration takes, and a little of it for others. */
static uint32_t heap_left(void)
{
    return 48 * 1024 - 272 -
           (uint32_t)(sizeof(sr_migration_t) + sizeof(esp_self_reflasher_plan_t) + sizeof(struct sr_migration_buffers) +
                      SMALL_FLASH_SIZE / SECTOR * sizeof(sr_map_flags_t) + SR_DECODER_MAX_HEAP) -
           migration->input.manifest.bundle.manifest_size - SR_BUNDLE_SIGNATURE_SIZE;
}

static void chunks_take_what_is_left_of_the_heap(void **state)
{
    (void)state;
    put_chunks(0, 0);
    const uint32_t left = heap_left();
    assert_true(left > 0x1000 && left < 48 * 1024);
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(migration->input.keep_room, left);
    for (uint32_t more = 0; more < 2; more++) { /* All of it is the manifest's, or not even that is enough. */
        migration->input.manifest.bundle.manifest_size += more == 0 ? left : 1;
        assert_int_equal(keep(), ESP_OK);
        assert_int_equal(migration->input.keep_room, 0);
    }
    migration->input.manifest.bundle.manifest_size -= left + 1;
}

/* What is read more than once. */

static void only_what_is_read_more_than_once_is_kept(void **state)
{
    (void)state;
    static const struct {
        unsigned has;
        uint32_t address, sectors, table;
        bool is_kept;
    } rows[] = {
        {SR_MAP_WRONG | SR_MAP_BOOT_PATH, PLACE, 1, TABLE, true},
        {SR_MAP_WRONG | SR_MAP_CLAIMED, PLACE, 1, TABLE, true},
        {SR_MAP_WRONG, PLACE, 1, TABLE, false},
        {SR_MAP_BOOT_PATH | SR_MAP_CLAIMED, PLACE, 1, TABLE, false}, /* Right already. */
        {0, TABLE, 1, TABLE, false},
        /* In front of the table that is there, or that table. */
        {SR_MAP_WRONG, 0, 1, PLACE + 0x8000, true},
        {SR_MAP_WRONG, TABLE, 1, PLACE + 0x8000, true},
        {SR_MAP_WRONG, TABLE + SECTOR, 1, PLACE + 0x8000, false},
        {SR_MAP_WRONG, TABLE + SECTOR, 1, SR_BUNDLE_NO_TABLE, false},
        /* The table to come. */
        {SR_MAP_WRONG, PLACE, 1, PLACE, true},
        {SR_MAP_WRONG, PLACE, 1, PLACE + SECTOR, false},
        {SR_MAP_WRONG, PLACE, 2, PLACE + SECTOR, true},
        {SR_MAP_WRONG, PLACE + SECTOR, 1, PLACE, false},
        {SR_MAP_WRONG, PLACE, 1, SR_BUNDLE_NO_TABLE, false},
        {SR_MAP_WRONG, UINT32_MAX & ~(SECTOR - 1u), 1, SR_BUNDLE_NO_TABLE, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_chunks(1, 100);
        chunks[0].has = (sr_map_flags_t)(SR_MAP_TARGET | rows[i].has);
        chunks[0].address = rows[i].address;
        chunks[0].row.sector_count = (uint8_t)rows[i].sectors;
        migration->input.manifest.bundle.partition_table_offset = rows[i].table;
        assert_int_equal(keep(), ESP_OK);
        if (kept.count != rows[i].is_kept) {
            fail_msg("row %zu: %s", i, kept.count > 0 ? "kept" : "not kept");
        }
    }
    steps.config.http_config = NULL; /* In flash it need not travel. */
    put_chunks(1, 100);
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(kept.count, 0);
}

/* Where they lie one after the other, and there is room. */
static void adjacent_chunks_travel_in_one_request(void **state)
{
    (void)state;
    const uint32_t left = heap_left();
    const uint32_t each = left / 4;
    put_chunks(4, each);
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(kept.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(kept.calls[i].chunk, i);
        assert_int_equal(kept.calls[i].most, each);
        assert_int_equal(kept.calls[i].fetch_end, 1000 + 4 * each);
        assert_false(kept.calls[i].lent);
    }
    assert_int_equal(migration->input.keep_room, left - 4 * each);
    assert_int_equal(migration->input.kept_for_checks, 0);

    chunks[2].row.offset += 1; /* A gap. */
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(kept.calls[0].fetch_end, 1000 + 2 * each);
    assert_int_equal(kept.calls[1].fetch_end, 1000 + 2 * each);
    assert_int_equal(kept.calls[2].fetch_end, 1000 + 3 * each + 1);

    put_chunks(4, each);
    chunks[1].has = SR_MAP_TARGET | SR_MAP_WRONG; /* One that is not kept ends the run. */
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(kept.count, 3);
    assert_int_equal(kept.calls[0].fetch_end, 1000 + each);
    assert_int_equal(kept.calls[1].fetch_end, 1000 + 4 * each);

    kept.err = FAILURE;
    assert_int_equal(keep(), FAILURE);
    assert_int_equal(kept.count, 1);
    kept.err = ESP_OK;
}

/* To the byte. */
static void run_ends_where_the_room_does(void **state)
{
    (void)state;
    const uint32_t left = heap_left();
    for (uint32_t more = 0; more < 2; more++) {
        put_chunks(2, left / 2);
        chunks[1].row.length = left - left / 2 + more;
        migration->scan.moves.count = 1; /* The list is in use: nothing is lent. */
        assert_int_equal(keep(), ESP_OK);
        assert_int_equal(kept.count, 2 - more);
        assert_int_equal(kept.calls[0].fetch_end, 1000 + (more == 0 ? left : left / 2));
        assert_int_equal(migration->input.keep_room, more == 0 ? 0 : left - left / 2);
    }
    migration->scan.moves.count = 0;
}

/* The list of the commit is not in use yet, unless something moves. */
static void list_takes_the_beginning_of_a_chunk(void **state)
{
    (void)state;
    const uint32_t left = heap_left();
    static const struct {
        uint32_t more; /**< Than what is left. */
        uint32_t moves;
        bool is_kept, lent;
    } rows[] = {
        {0, 0, true, false},  {1, 0, true, true},      {1, 1, false, false},
        {1, 2, false, false}, {SECTOR, 0, true, true}, {SECTOR + 1, 0, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_chunks(1, left + rows[i].more);
        migration->scan.moves.count = rows[i].moves;
        assert_int_equal(keep(), ESP_OK);
        assert_int_equal(kept.count, rows[i].is_kept);
        assert_true(kept.count == 0 || kept.calls[0].lent == rows[i].lent);
        assert_int_equal(migration->input.kept_for_checks, rows[i].lent ? left + rows[i].more : 0);
        const uint32_t room = left + (rows[i].lent ? SECTOR : 0) - left - rows[i].more;
        assert_int_equal(migration->input.keep_room, rows[i].is_kept ? room : left);
        given_back = 0;
        sr_migration_end_keeping(migration);
        assert_int_equal(given_back, rows[i].lent);
    }
    migration->scan.moves.count = 0;
    migration->input.kept_for_checks = 1;
    sr_migration_end_keeping(migration);
    assert_int_equal(given_back, 1);

    put_chunks(2, left + 1); /* It is lent once. */
    chunks[1].row.length = SECTOR;
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(kept.count, 1);
    kept.short_by = left; /* One byte was kept: that is lent, too. */
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(migration->input.kept_for_checks, 1);
    assert_int_equal(kept.count, 2);
    assert_false(kept.calls[1].lent);
    put_chunks(2, left + SECTOR + 1); /* Not for one that is too long even so. */
    chunks[1].row.length = 10;
    assert_int_equal(keep(), ESP_OK);
    assert_int_equal(kept.count, 1);
    assert_int_equal(kept.calls[0].chunk, 1);
    kept.short_by = 0;
}

/* The reader. */

static uint8_t out[4 * SECTOR];

static int read_target(uint32_t address, size_t length)
{
    const sr_reader_t reader = sr_migration_target(migration);
    assert_int_equal(reader.size, SMALL_FLASH_SIZE);
    memset(out, 0x11, sizeof(out));
    yielded = 0;
    const int err = reader.read(reader.context, address, out, length);
    assert_int_equal(out[length], 0x11);
    return err;
}

static void mark_wrong(uint32_t address)
{
    sr_map_mark(&migration->scan.map, (sr_region_t){address, SECTOR}, SR_MAP_WRONG);
}

static void what_is_right_is_read_from_flash_and_the_rest_as_it_will_be(void **state)
{
    (void)state;
    const uint8_t *flash = nor_flash_view(steps.flash);
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_WRONG);
    put_chunks(1, 100);
    assert_int_equal(read_target(PLACE + 5, 3 * SECTOR - 10), 0);
    assert_memory_equal(out, flash + PLACE + 5, 3 * SECTOR - 10);
    assert_int_equal(yielded, 3 * SECTOR - 10);
    mark_wrong(PLACE + SECTOR);
    static const struct {
        uint32_t offset;
        size_t length;
    } pieces[] = {{0, 3 * SECTOR}, {1, 3 * SECTOR - 2}, {SECTOR, SECTOR}, {SECTOR - 1, 2}, {2 * SECTOR - 1, 2},
                  {SECTOR + 7, 1}, {SECTOR - 1, 1},     {2 * SECTOR, 1},  {SECTOR, 0}};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]) * 3; i++) {
        static const sr_moves_wanted_kind_t kinds[] = {SR_MOVES_WANTED_BLANK, SR_MOVES_WANTED_CONTENT,
                                                       SR_MOVES_WANTED_MOVED};
        static uint8_t expected[3 * SECTOR];
        wanted_kind = kinds[i % 3];
        memcpy(expected, flash + PLACE, sizeof(expected));
        if (wanted_kind == SR_MOVES_WANTED_BLANK) {
            memset(expected + SECTOR, 0xFF, SECTOR);
        } else {
            memcpy(expected + SECTOR,
                   wanted_kind == SR_MOVES_WANTED_CONTENT ? sector_of_bundle : flash + MOVED_FROM + SECTOR, SECTOR);
        }
        assert_int_equal(read_target(PLACE + pieces[i / 3].offset, pieces[i / 3].length), 0);
        assert_memory_equal(out, expected + pieces[i / 3].offset, pieces[i / 3].length);
        assert_int_equal(yielded, pieces[i / 3].length);
    }
    assert_int_equal(migration->input.target_err, ESP_OK);
}

/* A parser only tells that it could not read: the first error is kept for those who want to know why. */
static void error_of_a_reader_is_kept(void **state)
{
    (void)state;
    put_chunks(1, 100);
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_WRONG);
    mark_wrong(PLACE + SECTOR);
    static const struct {
        sr_moves_wanted_kind_t kind;
        uint32_t offset;
        bool reads_flash;
    } rows[] = {{SR_MOVES_WANTED_CONTENT, 0, true},
                {SR_MOVES_WANTED_MOVED, SECTOR, true},
                {SR_MOVES_WANTED_CONTENT, SECTOR, false},
                {SR_MOVES_WANTED_CONTENT, SECTOR - 1, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        wanted_kind = rows[i].kind;
        migration->input.target_err = ESP_OK;
        read_err = rows[i].reads_flash ? FAILURE : ESP_OK;
        gets.err = rows[i].reads_flash ? ESP_OK : FAILURE;
        assert_int_equal(read_target(PLACE + rows[i].offset, 3), FAILURE);
        assert_int_equal(migration->input.target_err, FAILURE);
        read_err = rows[i].reads_flash ? ESP_ERR_TIMEOUT : ESP_OK;
        gets.err = rows[i].reads_flash ? ESP_OK : ESP_ERR_TIMEOUT;
        assert_int_equal(read_target(PLACE + rows[i].offset, 3), ESP_ERR_TIMEOUT);
        assert_int_equal(migration->input.target_err, FAILURE);
        read_err = gets.err = ESP_OK;
        assert_int_equal(read_target(PLACE, 3), 0);
        assert_int_equal(migration->input.target_err, FAILURE);
    }
    migration->input.target_err = ESP_OK;
}

/* Of an app only the beginning is read for now; over HTTP it is kept, if there is room. */
static void beginning_of_an_app_is_fetched_and_kept(void **state)
{
    (void)state;
    static const struct {
        bool download;
        uint32_t length, room;
        bool is_kept;
        uint32_t fetch_end;
    } rows[] = {
        {true, 100, BEGINNING, true, 1100},
        {true, 100, BEGINNING - 1, false, 1100},
        {true, 100, BEGINNING + 1, true, 1100},
        {false, 100, BEGINNING, false, 1100},
        {false, SECTOR - 1, 0, false, 1000 + SECTOR - 1},
        {false, SECTOR, 0, false, 1000 + SECTOR},
        {true, SECTOR + 1, 0, false, 1000 + SECTOR},
        {true, 0x20000, 0x8000, true, 1000 + SECTOR},
    };
    wanted_kind = SR_MOVES_WANTED_CONTENT;
    mark_wrong(PLACE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_chunks(1, rows[i].length);
        kept.count = 0;
        kept.short_by = 72;
        steps.config.http_config = rows[i].download ? &http : NULL;
        migration->input.keep_room = rows[i].room;
        assert_int_equal(read_target(PLACE, 24), 0);
        assert_int_equal(kept.count, rows[i].is_kept);
        assert_int_equal(migration->input.keep_room, rows[i].room - (rows[i].is_kept ? BEGINNING - 72 : 0));
        assert_int_equal(gets.fetch_end, rows[i].fetch_end);
        if (rows[i].is_kept) {
            assert_int_equal(kept.calls[0].chunk, 0);
            assert_int_equal(kept.calls[0].most, BEGINNING);
            assert_int_equal(kept.calls[0].fetch_end, 0);
            assert_false(kept.calls[0].lent);
        }
    }
    kept.err = FAILURE;
    gets.count = 0;
    migration->input.keep_room = BEGINNING;
    assert_int_equal(read_target(PLACE, 24), FAILURE);
    assert_int_equal(gets.count, 0);
    migration->input.target_err = ESP_OK;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chunks_take_what_is_left_of_the_heap),
        TEST(only_what_is_read_more_than_once_is_kept),
        TEST(adjacent_chunks_travel_in_one_request),
        TEST(run_ends_where_the_room_does),
        TEST(list_takes_the_beginning_of_a_chunk),
        TEST(what_is_right_is_read_from_flash_and_the_rest_as_it_will_be),
        TEST(error_of_a_reader_is_kept),
        TEST(beginning_of_an_app_is_fetched_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
