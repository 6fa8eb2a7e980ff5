// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a migration finds in the flash before anything is checked: which sector holds what, what the running system
 * needs, what is given up of it, and what moves. What it calls fails on demand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "esp_flash.h"
#include "esp_heap_caps.h"
#include "test/support/support_migration.h"

#include "format/sr_digest.h"
#include "format/sr_nvs.h"
#include "port/sr_yield.h"
#include "system/sr_given_up.h"
#include "system/sr_move_source.h"
#include "system/sr_partition.h"

#define SECTOR  SR_SECTOR_SIZE
#define TABLE   SR_PARTITION_TABLE_OFFSET
#define FAILURE 0x7777
#define PLACE   0xA0000u
#define OLD     0x40000u /**< Where something moves from. */
#define END     (SMALL_FLASH_SIZE - SECTOR)

static steps_t steps;
static sr_migration_t *const migration = &steps.migration;

/* Those that are called. */

static bool is_real;        /**< All of them do what they always do. */
static const char *failing; /**< Which call fails, */
static unsigned after;      /**< after so many of its kind. */
static char trace[1024];

static bool fails(const char *call)
{
    if (strlen(trace) + strlen(call) + 2 < sizeof(trace)) {
        strcat(strcat(trace, call), " ");
    }
    return failing != NULL && strcmp(failing, call) == 0 && after-- == 0;
}

static void let_fail(const char *call, unsigned of_its_kind)
{
    failing = call;
    after = of_its_kind;
    trace[0] = '\0';
}

static bool skips_steps; /**< Of the scan, after the sectors. */

#define STEP(step, name)                                                                                               \
    esp_err_t __real_##step(sr_migration_t *of);                                                                       \
    esp_err_t __wrap_##step(sr_migration_t *of);                                                                       \
    esp_err_t __wrap_##step(sr_migration_t *of)                                                                        \
    {                                                                                                                  \
        assert_ptr_equal(of, migration);                                                                               \
        return !skips_steps ? __real_##step(of) : fails(name) ? FAILURE : ESP_OK;                                      \
    }

STEP(sr_migration_give_up, "give_up")
STEP(sr_migration_find_installed, "find_installed")
STEP(sr_migration_find_moves, "find_moves")
STEP(sr_migration_mark_records, "mark_records")

static esp_partition_t partitions[4]; /**< Up to the first without a label. */

esp_err_t __real_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context)
{
    if (is_real) {
        return __real_sr_partition_visit(visit, context);
    }
    for (unsigned i = 0; i < 4 && partitions[i].label[0] != '\0'; i++) {
        visit(context, &partitions[i]);
    }
    return fails("visit") ? FAILURE : ESP_OK;
}

esp_err_t __real_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);
esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);
esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank)
{
    return !is_real && fails("blank") ? FAILURE : __real_sr_writer_is_blank(writer, address, blank);
}

esp_err_t __real_sr_migration_is_blank(sr_migration_t *of, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_is_blank(sr_migration_t *of, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_is_blank(sr_migration_t *of, uint32_t address, bool *right)
{
    return !is_real && fails("is_blank") ? FAILURE : __real_sr_migration_is_blank(of, address, right);
}

esp_err_t __real_sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector,
                                   sr_writer_comparison_t *comparison);
esp_err_t __wrap_sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector,
                                   sr_writer_comparison_t *comparison);
esp_err_t __wrap_sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector,
                                   sr_writer_comparison_t *comparison)
{
    return !is_real && fails("compare") ? FAILURE : __real_sr_writer_compare(writer, sector, comparison);
}

esp_err_t __real_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    const esp_err_t err = __real_sr_flash_read(flash, address, out, length);
    return !is_real && length == SECTOR && fails("read") ? FAILURE : err; /* Where all has come already, too. */
}

bool __real_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    const bool hashed = __real_sr_digest(bytes, length, digest);
    return hashed && (is_real || !fails("digest"));
}

static uint32_t yields[2]; /**< The first two. */
static unsigned yield_count;

void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    if (yield_count < 2) {
        yields[yield_count] = bytes;
    }
    yield_count++;
}

/* Answers about the running system. */

static sr_region_t given_up[3];

sr_region_t __wrap_sr_given_up_place(const sr_bundle_t *bundle, uint32_t index);
sr_region_t __wrap_sr_given_up_place(const sr_bundle_t *bundle, uint32_t index)
{
    assert_true(index < bundle->given_up_count);
    return given_up[index];
}

/** What is found of a move, by the label: 'a', 'b', ... */
static struct {
    sr_move_source_status_t status;
    sr_region_t source;
} found[3];

static unsigned finds, missing_from; /**< From this one on nothing is found; 0: all is. */

sr_move_source_status_t __wrap_sr_move_source_find(const sr_bundle_move_t *move, uint32_t flash_size,
                                                   sr_region_t *source);
sr_move_source_status_t __wrap_sr_move_source_find(const sr_bundle_move_t *move, uint32_t flash_size,
                                                   sr_region_t *source)
{
    assert_int_equal(flash_size, SMALL_FLASH_SIZE);
    const unsigned index = (unsigned)(move->label[0] - 'a');
    assert_true(index < 3);
    *source = found[index].source;
    return missing_from != 0 && ++finds >= missing_from ? SR_MOVE_SOURCE_MISSING : found[index].status;
}

static struct {
    sr_nvs_status_t status;
    sr_nvs_pages_t pages;
    unsigned calls;
} nvs;

/* One move of the whole destination, as far as it is not refused. */
sr_nvs_status_t __wrap_sr_nvs_close_up(const sr_reader_t *flash, sr_region_t source, sr_region_t destination,
                                       sr_moves_t *moves, sr_nvs_pages_t *pages);
sr_nvs_status_t __wrap_sr_nvs_close_up(const sr_reader_t *flash, sr_region_t source, sr_region_t destination,
                                       sr_moves_t *moves, sr_nvs_pages_t *pages)
{
    uint8_t bytes[SECTOR];
    nvs.calls++;
    assert_int_equal(flash->size, SMALL_FLASH_SIZE);
    const bool reads = flash->read(flash->context, source.address, bytes, sizeof(bytes)) == 0;
    assert_memory_equal(bytes, nor_flash_view(steps.flash) + source.address, sizeof(bytes));
    assert_ptr_equal(moves, &migration->scan.moves);
    moves->list[moves->count++] =
        (struct sr_move){.source = {source.address, destination.size}, .destination = destination};
    *pages = nvs.pages;
    return reads ? nvs.status : SR_NVS_READ_FAILED;
}

/* The chip. */

static uint8_t content[2 * SECTOR];

/* Content, right and wrong, in a region of four sectors of which two are to be blank, and a region that the new system
 * owns. Three moves, whose sources the tests tell. */
static int open_chip(void **state)
{
    (void)state;
    static const sr_bundle_move_t moves[] = {{.label = "a", .destination = {PLACE + 0x10000, 2 * SECTOR}},
                                             {.label = "b", .destination = {PLACE + 0x14000, 3 * SECTOR}},
                                             {.label = "c", .destination = {PLACE + 0x18000, SECTOR}}};
    failing = NULL;
    trace[0] = '\0';
    is_real = true;
    skips_steps = true;
    finds = missing_from = 0;
    memset(partitions, 0, sizeof(partitions));
    memset(given_up, 0, sizeof(given_up));
    memset(&nvs, 0, sizeof(nvs));
    for (unsigned i = 0; i < 3; i++) {
        found[i].status = SR_MOVE_SOURCE_FITS;
        found[i].source = (sr_region_t){OLD + i * 0x4000, moves[i].destination.size};
    }
    steps_flash(&steps);
    dummy_image_fill(content, sizeof(content), 21);
    const bundle_region_t regions[] = {
        {.place = {PLACE, 4 * SECTOR}, .data = content, .length = sizeof(content)},
        {.place = {PLACE + 0x8000, SECTOR}, .data = content, .length = SECTOR, .initial = true},
    };
    memcpy(nor_flash_bytes(steps.flash) + PLACE, content, SECTOR);
    memset(nor_flash_bytes(steps.flash) + PLACE + 2 * SECTOR, 0xFF, SECTOR);
    memset(nor_flash_bytes(steps.flash) + PLACE + 5 * SECTOR, 0xFF, SECTOR);
    steps_open(
        &steps,
        (bundle_spec_t){
            .partition_table_offset = TABLE, .regions = regions, .region_count = 2, .moves = moves, .move_count = 3});
    is_real = false;
    skips_steps = false;
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

static unsigned at(uint32_t address)
{
    return sr_map_at(&migration->scan.map, address);
}

static void clear_map(void)
{
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, UINT16_MAX);
}

static void expect_flags(sr_region_t region, unsigned expected)
{
    for (uint32_t sector = region.address; sector < region.address + region.size; sector += SECTOR) {
        if (at(sector) != expected) {
            fail_msg("0x%x has 0x%x, should have 0x%x", (unsigned)sector, at(sector), expected);
        }
    }
}

static esp_partition_t partition(esp_partition_type_t type, uint32_t address, bool readonly)
{
    return (esp_partition_t){.flash_chip = esp_flash_default_chip,
                             .type = type,
                             .address = address,
                             .size = 2 * SECTOR,
                             .readonly = readonly,
                             .label = "part"};
}

/* The scan. */

static void map_tells_what_each_sector_is(void **state)
{
    (void)state;
    sr_boot_path_t *path = &migration->system.boot_path;
    clear_map();
    skips_steps = true;
    path->bootloader = (sr_region_t){0x1000, 2 * SECTOR};
    path->digest = (sr_region_t){0x0, SECTOR};
    path->table = (sr_region_t){0x8000, SECTOR};
    path->otadata = (sr_region_t){0xD000, 2 * SECTOR};
    path->recovery = (sr_region_t){0x18000, 2 * SECTOR};
    path->running_app = (sr_region_t){0x20000, 3 * SECTOR};
    partitions[0] = partition(ESP_PARTITION_TYPE_DATA, 0x70000, false);
    partitions[1] = partition(ESP_PARTITION_TYPE_APP, 0x74000, true);
    partitions[2] = partition((esp_partition_type_t)0x40, 0x78000, true);
    partitions[3] = partition(ESP_PARTITION_TYPE_APP, 0x7C000, false);
    assert_int_equal(sr_migration_scan(migration), ESP_OK);
    expect_flags((sr_region_t){0, 3 * SECTOR}, SR_MAP_BOOT_PATH);
    expect_flags((sr_region_t){0x3000, 5 * SECTOR}, 0);
    expect_flags(path->table, SR_MAP_BOOT_PATH);
    expect_flags((sr_region_t){0x9000, 4 * SECTOR}, 0);
    expect_flags((sr_region_t){0xD000, SECTOR}, SR_MAP_BOOT_PATH);
    expect_flags((sr_region_t){0xE000, SECTOR}, SR_MAP_BOOT_PATH | SR_MAP_BLANK);
    expect_flags((sr_region_t){0xF000, 9 * SECTOR}, 0);
    expect_flags(path->recovery, SR_MAP_BOOT_PATH);
    expect_flags((sr_region_t){0x1A000, 6 * SECTOR}, 0);
    expect_flags(path->running_app, SR_MAP_RUNNING_APP);
    expect_flags((sr_region_t){0x23000, 0x70000 - 0x23000}, 0);
    expect_flags((sr_region_t){0x70000, 2 * SECTOR}, SR_MAP_DATA);
    expect_flags((sr_region_t){0x72000, 2 * SECTOR}, 0);
    expect_flags((sr_region_t){0x74000, 2 * SECTOR}, SR_MAP_CLOSED_NOW);
    expect_flags((sr_region_t){0x76000, 2 * SECTOR}, 0);
    expect_flags((sr_region_t){0x78000, 2 * SECTOR}, SR_MAP_DATA | SR_MAP_CLOSED_NOW);
    expect_flags((sr_region_t){0x7A000, PLACE - 0x7A000}, 0);
    expect_flags((sr_region_t){PLACE, SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT);
    expect_flags((sr_region_t){PLACE + SECTOR, SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG);
    expect_flags((sr_region_t){PLACE + 2 * SECTOR, SECTOR}, SR_MAP_TARGET | SR_MAP_BLANK);
    expect_flags((sr_region_t){PLACE + 3 * SECTOR, SECTOR}, SR_MAP_TARGET | SR_MAP_WRONG);
    expect_flags((sr_region_t){PLACE + 4 * SECTOR, SECTOR}, 0);
    expect_flags((sr_region_t){PLACE + 5 * SECTOR, SECTOR}, SR_MAP_BLANK);
    expect_flags((sr_region_t){PLACE + 6 * SECTOR, 2 * SECTOR}, 0);
    expect_flags((sr_region_t){PLACE + 8 * SECTOR, SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG);
    expect_flags((sr_region_t){STEPS_ROOM, SMALL_FLASH_SIZE - STEPS_ROOM}, SR_MAP_BLANK);
}

static uint32_t told_done[20];
static unsigned told_count;

static void on_event(void *unused, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)unused;
    assert_int_equal(event, ESP_SELF_REFLASHER_EVENT_CHECK);
    assert_int_equal(data->sectors_total, SMALL_FLASH_SIZE / SECTOR);
    assert_true(told_count < 20);
    told_done[told_count++] = data->sectors_done;
}

static void progress_of_the_scan_is_told_for_each_block(void **state)
{
    (void)state;
    told_count = 0;
    skips_steps = true;
    steps.config.event_cb = on_event;
    assert_int_equal(sr_migration_scan(migration), ESP_OK);
    assert_int_equal(told_count, SMALL_FLASH_SIZE / SR_BLOCK_SIZE);
    for (unsigned i = 0; i < told_count; i++) {
        assert_int_equal(told_done[i], i * SR_SECTORS_PER_BLOCK);
    }
}

static void error_of_each_part_ends_the_scan(void **state)
{
    (void)state;
    static const char *const parts[] = {"visit", "give_up", "find_installed", "find_moves", "mark_records"};
    char expected[64] = "";
    skips_steps = true;
    for (unsigned i = 0; i < 5; i++) {
        let_fail(parts[i], 0);
        migration->scan.map.count = 0;
        assert_int_equal(sr_migration_scan(migration), FAILURE);
        strcat(strcat(expected, parts[i]), " ");
        assert_string_equal(trace, expected);
    }
    migration->scan.map.count = SMALL_FLASH_SIZE / SECTOR;
    for (unsigned i = 0; i < 3; i++) {
        let_fail("blank", i);
        assert_int_equal(sr_migration_scan(migration), FAILURE);
        assert_int_equal(strlen(trace), (i + 1) * strlen("blank "));
    }
    let_fail("read", 0); /* Of the first sector with content. */
    assert_int_equal(sr_migration_scan(migration), FAILURE);
    assert_null(strstr(trace, "visit"));
}

static void only_the_region_is_scanned_again(void **state)
{
    (void)state;
    const sr_region_t region = {PLACE + SECTOR, 2 * SECTOR};
    clear_map();
    for (uint32_t i = 0; i < 4; i++) {
        put(PLACE + i * SECTOR, SR_MAP_RELEASED | SR_MAP_DATA | SR_MAP_BLANK);
    }
    yield_count = 0;
    assert_int_equal(sr_migration_rescan(migration, region), ESP_OK);
    assert_int_equal(yields[0], SECTOR);
    assert_int_equal(yields[1], 2 * SECTOR); /* What moves is read in two places. */
    assert_int_equal(at(PLACE), SR_MAP_RELEASED | SR_MAP_DATA | SR_MAP_BLANK);
    assert_int_equal(at(PLACE + SECTOR), SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG | SR_MAP_DATA);
    assert_int_equal(at(PLACE + 2 * SECTOR), SR_MAP_TARGET | SR_MAP_BLANK | SR_MAP_DATA);
    assert_int_equal(at(PLACE + 3 * SECTOR), SR_MAP_RELEASED | SR_MAP_DATA | SR_MAP_BLANK);
    for (unsigned i = 0; i < 2; i++) {
        let_fail("blank", i);
        assert_int_equal(sr_migration_rescan(migration, region), FAILURE);
    }
    let_fail("is_blank", 0);
    assert_int_equal(sr_migration_rescan(migration, region), FAILURE);
}

/* A sector. */

static void what_the_new_system_owns_is_wanted_until_it_is_installed(void **state)
{
    (void)state;
    for (unsigned installed = 0; installed < 2; installed++) {
        migration->scan.installed = installed != 0;
        assert_int_equal(sr_migration_wanted(migration, PLACE).kind, SR_MOVES_WANTED_CONTENT);
        assert_int_equal(sr_migration_wanted(migration, PLACE + 0x8000).kind,
                         installed != 0 ? SR_MOVES_WANTED_AS_IT_IS : SR_MOVES_WANTED_CONTENT);
        assert_int_equal(sr_migration_wanted(migration, PLACE + 0x9000).kind, SR_MOVES_WANTED_AS_IT_IS);
    }
    migration->scan.installed = false;
}

static void expect_right(uint32_t address, bool expected)
{
    bool right = !expected;
    trace[0] = '\0';
    assert_int_equal(sr_migration_sector_is_right(migration, address, &right), ESP_OK);
    assert_int_equal(right, expected);
}

static void expect_failure(uint32_t address, const char *call)
{
    bool right = true;
    let_fail(call, 0);
    assert_int_equal(sr_migration_sector_is_right(migration, address, &right), FAILURE);
    failing = NULL;
}

static void sector_is_right_if_it_holds_what_is_wanted(void **state)
{
    (void)state;
    static struct sr_move move = {.source = {OLD, SECTOR}, .destination = {PLACE + 0x10000, 2 * SECTOR}};
    migration->scan.moves = (sr_moves_t){.list = &move, .count = 1};
    uint8_t *moved = nor_flash_bytes(steps.flash) + move.destination.address;
    expect_right(PLACE, true);
    expect_right(PLACE + SECTOR, false);
    expect_right(PLACE + 2 * SECTOR, true);
    expect_right(PLACE + 3 * SECTOR, false);
    expect_right(PLACE + 4 * SECTOR, true); /* As it is. */
    assert_string_equal(trace, "");
    memcpy(moved, nor_flash_view(steps.flash) + OLD, SECTOR);
    expect_right(move.destination.address, true);
    moved[SECTOR - 1] ^= 1;
    expect_right(move.destination.address, false);
    moved[SECTOR - 1] ^= 1;
    expect_failure(PLACE, "read");
    expect_failure(PLACE + 2 * SECTOR, "is_blank");
    expect_failure(move.destination.address, "read");
    expect_failure(move.destination.address, "compare");
    let_fail("digest", 0); /* What cannot be hashed is not right. */
    bool right = true;
    assert_int_equal(sr_migration_sector_is_right(migration, PLACE, &right), ESP_OK);
    assert_false(right);
    right = true;
    let_fail("read", 0);
    assert_int_equal(sr_migration_sector_is_right(migration, PLACE, &right), FAILURE);
    assert_false(right);
    migration->scan.moves = (sr_moves_t){0};
}

/* What is given up. */

static const sr_region_t loader = {0x1000, 3 * SECTOR};

/* As long as bootloader or table is the old one. */
static void only_of_an_old_boot_path_anything_is_given_up(void **state)
{
    (void)state;
    static const struct {
        uint32_t wrong;
        bool is_old;
    } rows[] = {{0x0000, false}, {0x1000, true}, {0x2000, true},  {0x3000, true},         {0x4000, false},
                {TABLE, true},   {PLACE, false}, {0xD000, false}, {TABLE + SECTOR, false}};
    migration->system.boot_path.bootloader = loader;
    given_up[0] = (sr_region_t){OLD, 2 * SECTOR};
    given_up[1] = (sr_region_t){OLD + 0x4000, SECTOR};
    given_up[2] = (sr_region_t){OLD + 0x8000, SECTOR};
    migration->input.manifest.bundle.given_up_count = 2; /* The last one is not counted. */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        clear_map();
        put(rows[i].wrong, SR_MAP_TARGET | SR_MAP_WRONG);
        steps.plan.sectors_given_up = 0;
        assert_int_equal(sr_migration_give_up(migration), ESP_OK);
        assert_int_equal(steps.plan.sectors_given_up, rows[i].is_old ? 3 : 0);
        const unsigned expected = rows[i].is_old ? SR_MAP_RELEASED : 0;
        expect_flags((sr_region_t){OLD - SECTOR, SECTOR}, 0);
        expect_flags(given_up[0], expected);
        expect_flags((sr_region_t){OLD + 2 * SECTOR, 2 * SECTOR}, 0);
        expect_flags(given_up[1], expected);
        expect_flags((sr_region_t){OLD + 5 * SECTOR, 4 * SECTOR}, 0);
    }
    clear_map();
    put(TABLE, SR_MAP_TARGET | SR_MAP_CONTENT); /* It is right. */
    assert_int_equal(sr_migration_give_up(migration), ESP_OK);
    expect_flags(given_up[0], 0);
    migration->input.manifest.bundle.given_up_count = 0;
}

static void boot_path_is_never_given_up(void **state)
{
    (void)state;
    sr_boot_path_t *path = &migration->system.boot_path;
    sr_region_t *const regions[] = {&path->bootloader, &path->digest, &path->table, &path->otadata, &path->recovery};
    migration->input.manifest.bundle.given_up_count = 1;
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 5; k++) {
            *regions[k] = (sr_region_t){0};
        }
        path->table = (sr_region_t){TABLE, SECTOR};
        *regions[i] = (sr_region_t){OLD, 2 * SECTOR};
        for (uint32_t sector = 0; sector < 4; sector++) {
            const bool refused = sector == 1 || sector == 2;
            clear_map();
            put(path->table.address, SR_MAP_TARGET | SR_MAP_WRONG);
            given_up[0] = (sr_region_t){OLD - SECTOR + sector * SECTOR, SECTOR};
            put(given_up[0].address, at(given_up[0].address) | SR_MAP_DATA);
            steps.plan.refusal = ESP_SELF_REFLASHER_REFUSED_NOT;
            assert_int_equal(sr_migration_give_up(migration), refused ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK);
            assert_true(!refused || steps.plan.refusal == ESP_SELF_REFLASHER_REFUSED_NO_ROOM);
            assert_int_equal(at(given_up[0].address) & SR_MAP_DATA, refused ? SR_MAP_DATA : 0);
        }
    }
    migration->input.manifest.bundle.given_up_count = 0;
}

/* Where the bundle has nothing, and nobody else needs it. */
static void what_is_given_up_is_free(void **state)
{
    (void)state;
    static const struct {
        unsigned before, after;
    } rows[] = {
        {0, SR_MAP_RELEASED},
        {SR_MAP_DATA, SR_MAP_RELEASED},
        {SR_MAP_DATA | SR_MAP_CLOSED_NOW, SR_MAP_RELEASED | SR_MAP_CLOSED_NOW},
        {SR_MAP_DATA | SR_MAP_TARGET | SR_MAP_WRONG, SR_MAP_TARGET | SR_MAP_WRONG},
        {SR_MAP_DATA | SR_MAP_CONTENT, SR_MAP_CONTENT},
        {SR_MAP_DATA | SR_MAP_RUNNING_APP, SR_MAP_RUNNING_APP},
        {SR_MAP_DATA | SR_MAP_SOURCE, SR_MAP_SOURCE},
        {SR_MAP_DATA | SR_MAP_BLANK, SR_MAP_RELEASED | SR_MAP_BLANK},
    };
    migration->input.manifest.bundle.given_up_count = 1;
    given_up[0] = (sr_region_t){END, 4 * SECTOR}; /* A table may promise more flash than there is. */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        clear_map();
        put(TABLE, SR_MAP_TARGET | SR_MAP_WRONG);
        put(END, rows[i].before);
        put(END - SECTOR, rows[i].before);
        steps.plan.sectors_given_up = 0;
        assert_int_equal(sr_migration_give_up(migration), ESP_OK);
        assert_int_equal(at(END), rows[i].after);
        assert_int_equal(at(END - SECTOR), rows[i].before);
        assert_int_equal(steps.plan.sectors_given_up, 1);
    }
    migration->input.manifest.bundle.given_up_count = 0;
}

/* What moves. */

static void forget_moves(void)
{
    heap_caps_free(migration->scan.moves.list);
    migration->scan.moves = (sr_moves_t){0};
}

static esp_err_t find_moves(void)
{
    forget_moves();
    clear_map();
    finds = 0;
    trace[0] = '\0';
    put(TABLE, SR_MAP_TARGET | SR_MAP_WRONG);
    return sr_migration_find_moves(migration);
}

static void everything_moves_from_where_it_is(void **state)
{
    (void)state;
    const uint32_t heap = sim_counters()->heap_now;
    assert_int_equal(find_moves(), ESP_OK);
    const sr_moves_t *moves = &migration->scan.moves;
    assert_int_equal(moves->count, 3);
    assert_int_equal(sim_counters()->heap_now - heap, 3 * sizeof(moves->list[0]));
    for (uint32_t i = 0; i < 3; i++) {
        const sr_bundle_move_t row = sr_bundle_move(&migration->input.manifest.bundle, i);
        assert_int_equal(moves->list[i].source.address, found[i].source.address);
        assert_int_equal(moves->list[i].source.size, found[i].source.size);
        assert_int_equal(moves->list[i].destination.address, row.destination.address);
        assert_int_equal(moves->list[i].destination.size, row.destination.size);
        expect_flags(found[i].source, SR_MAP_SOURCE);
        expect_flags(row.destination, SR_MAP_CONTENT | SR_MAP_WRONG);
        expect_flags((sr_region_t){row.destination.address + row.destination.size, SECTOR}, 0);
    }
    forget_moves();
}

static void nothing_moves_once_it_is_installed(void **state)
{
    (void)state;
    clear_map();
    assert_int_equal(sr_migration_find_moves(migration), ESP_OK); /* The boot path is the new one. */
    assert_null(migration->scan.moves.list);
    put(TABLE, SR_MAP_TARGET | SR_MAP_WRONG);
    migration->scan.installed = true;
    assert_int_equal(sr_migration_find_moves(migration), ESP_OK);
    assert_null(migration->scan.moves.list);
    migration->scan.installed = false;
    migration->input.manifest.bundle.move_count = 0;
    assert_int_equal(sr_migration_find_moves(migration), ESP_OK);
    assert_null(migration->scan.moves.list);
    migration->input.manifest.bundle.move_count = 1;
    assert_int_equal(sr_migration_find_moves(migration), ESP_OK);
    assert_int_equal(migration->scan.moves.count, 1);
    forget_moves();
}

static void what_cannot_move_is_refused(void **state)
{
    (void)state;
    static const struct {
        sr_move_source_status_t status;
        const char *text;
    } rows[] = {{SR_MOVE_SOURCE_MISSING, "the bundle moves partition '%c', and this system has none"},
                {SR_MOVE_SOURCE_UNALIGNED, "partition '%c' at 0x4"},
                {SR_MOVE_SOURCE_TOO_LARGE, "'%c', "}};
    for (size_t i = 0; i < 3; i++) {
        for (unsigned which = 0; which < 3; which++) {
            char text[80];
            found[which].status = rows[i].status;
            assert_int_equal(find_moves(), ESP_ERR_SELF_REFLASHER_REFUSED);
            assert_int_equal(steps.plan.refusal, ESP_SELF_REFLASHER_REFUSED_MOVE);
            (void)snprintf(text, sizeof(text), rows[i].text, 'a' + (int)which);
            assert_true(strncmp(steps.plan.refusal_text, text, strlen(text)) == 0);
            assert_null(migration->scan.moves.list);
            found[which].status = SR_MOVE_SOURCE_FITS;
        }
    }
    for (unsigned i = 1; i <= 9; i++) { /* Counted, added, and looked at once more. */
        missing_from = i;
        assert_int_equal(find_moves(), ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(finds, i);
    }
    missing_from = 10;
    assert_int_equal(find_moves(), ESP_OK);
    forget_moves();
}

static void errors_end_the_search_for_what_moves(void **state)
{
    (void)state;
    sim_heap_fail_at(1);
    assert_int_equal(find_moves(), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    for (unsigned i = 0; i < 6; i++) { /* The destinations have six sectors. */
        let_fail("blank", i);
        assert_int_equal(find_moves(), FAILURE);
        failing = NULL;
    }
    forget_moves();
}

static void what_moves_must_not_be_given_up(void **state)
{
    (void)state;
    const uint32_t end = found[1].source.address + found[1].source.size;
    static const sr_region_t none = {0};
    const struct {
        sr_region_t given_up[3];
        bool refused;
    } rows[] = {{{none, none, none}, false},
                {{{found[1].source.address, SECTOR}, none, none}, true},
                {{none, {end - SECTOR, SECTOR}, none}, true},
                {{none, {end, SECTOR}, none}, false},
                {{none, {found[1].source.address - SECTOR, SECTOR}, none}, false},
                {{none, none, {found[1].source.address, SECTOR}}, false}}; /* Not counted. */
    migration->input.manifest.bundle.given_up_count = 2;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(given_up, rows[i].given_up, sizeof(given_up));
        assert_int_equal(find_moves(), rows[i].refused ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK);
        assert_true(!rows[i].refused || strstr(steps.plan.refusal_text, "gives up what it moves") != NULL);
    }
    forget_moves();
    migration->input.manifest.bundle.given_up_count = 0;
}

/* NVS. */

static void nvs_closes_up_or_is_refused(void **state)
{
    (void)state;
    static const struct {
        sr_nvs_status_t status;
        sr_nvs_pages_t pages;
        const char *text; /**< NULL: it fits. */
    } rows[] = {
        {SR_NVS_FITS, {2, 3, 0}, NULL},
        {SR_NVS_TOO_MANY_PAGES, {2, 4, 0}, ", and NVS wants 3 at least: 1 missing; give it 16384 bytes"},
        {SR_NVS_TOO_MANY_PAGES, {3, 4, 0}, ", and one has to stay free: 1 missing; give it 16384 bytes"},
        {SR_NVS_TOO_MANY_PAGES, {4, 5, 0}, "'b' uses 4 pages of 4 KiB, its new place at 0xb4000 has 3, "},
        {SR_NVS_BOUND_TO_ITS_PLACE, {2, 3, 0x45000}, "where its page at 0x45000 would lie at another offset"},
    };
    found[1].status = SR_MOVE_SOURCE_IS_NVS;
    found[1].source.size = 4 * SECTOR;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        nvs.status = rows[i].status;
        nvs.pages = rows[i].pages;
        nvs.calls = 0;
        assert_int_equal(find_moves(), rows[i].text == NULL ? ESP_OK : ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(nvs.calls, 1);
        assert_true(rows[i].text == NULL || strstr(steps.plan.refusal_text, rows[i].text) != NULL);
        assert_int_equal(migration->scan.moves.count, rows[i].text == NULL ? 3 : 2);
        expect_flags(found[1].source, SR_MAP_SOURCE);
    }
    let_fail("read", 0);
    nvs.status = SR_NVS_FITS;
    assert_int_equal(find_moves(), FAILURE);
    failing = NULL;
    const uint32_t heap = sim_counters()->heap_now - (uint32_t)(5 * sizeof(struct sr_move));
    assert_int_equal(find_moves(), ESP_OK); /* A move for each page, and one for each of the others. */
    assert_int_equal(sim_counters()->heap_now, heap + 5 * sizeof(struct sr_move));
    forget_moves();
    assert_int_equal(sim_counters()->heap_now, heap);
}

/* Where old and new place have a sector in common, it is written even if it is right. */
static void nvs_that_closes_up_is_put_as_a_whole(void **state)
{
    (void)state;
    const sr_bundle_move_t row = sr_bundle_move(&migration->input.manifest.bundle, 1);
    const uint32_t place = row.destination.address;
    static const struct {
        uint32_t source; /**< Sectors from the destination on. */
        unsigned wrong;  /**< Bit N: sector N of the destination. */
    } rows[] = {{0, 7}, {1, 6}, {2, 4}, {3, 0}};
    for (unsigned is_nvs = 0; is_nvs < 2; is_nvs++) {
        for (size_t i = 0; i < 4; i++) {
            found[1].status = is_nvs != 0 ? SR_MOVE_SOURCE_IS_NVS : SR_MOVE_SOURCE_FITS;
            found[1].source = (sr_region_t){place + rows[i].source * SECTOR, (is_nvs != 0 ? 4 : 3) * SECTOR};
            memset(nor_flash_bytes(steps.flash) + place, 0x33, 8 * SECTOR); /* All of it is right. */
            assert_int_equal(find_moves(), ESP_OK);
            for (uint32_t k = 0; k < 4; k++) {
                const bool wrong = is_nvs != 0 && (rows[i].wrong >> k & 1) != 0;
                assert_int_equal((at(place + k * SECTOR) & SR_MAP_WRONG) != 0, wrong);
            }
        }
    }
    forget_moves();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(map_tells_what_each_sector_is),
        TEST(progress_of_the_scan_is_told_for_each_block),
        TEST(error_of_each_part_ends_the_scan),
        TEST(only_the_region_is_scanned_again),
        TEST(what_the_new_system_owns_is_wanted_until_it_is_installed),
        TEST(sector_is_right_if_it_holds_what_is_wanted),
        TEST(only_of_an_old_boot_path_anything_is_given_up),
        TEST(boot_path_is_never_given_up),
        TEST(what_is_given_up_is_free),
        TEST(everything_moves_from_where_it_is),
        TEST(nothing_moves_once_it_is_installed),
        TEST(what_cannot_move_is_refused),
        TEST(errors_end_the_search_for_what_moves),
        TEST(what_moves_must_not_be_given_up),
        TEST(nvs_closes_up_or_is_refused),
        TEST(nvs_that_closes_up_is_put_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
