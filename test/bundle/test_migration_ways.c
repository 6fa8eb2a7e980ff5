// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a migration tells those that look for a way out for the running app, for a recovery bootloader, and for what
 * cannot be written; and what it makes of their answers. They have tests of their own, and do nothing here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "esp_flash.h"
#include "test/support/support_migration.h"

#include "relocate/sr_app_selection.h"
#include "relocate/sr_relocation.h"
#include "system/sr_partition.h"

#define SECTOR  SR_SECTOR_SIZE
#define TABLE   SR_PARTITION_TABLE_OFFSET
#define FAILURE 0x7777
#define PLACE   0xA0000u
#define END     (SMALL_FLASH_SIZE - SECTOR)

static steps_t steps;
static sr_migration_t *const migration = &steps.migration;

/* Those who answer. */

static struct {
    unsigned calls;
    sr_relocation_request_t request;
    sr_relocation_t answer;
    const char *text;
    esp_err_t err;
} search;

esp_err_t __wrap_sr_relocation_find(const sr_relocation_request_t *request, sr_relocation_t *relocation, char *text,
                                    size_t size);
esp_err_t __wrap_sr_relocation_find(const sr_relocation_request_t *request, sr_relocation_t *relocation, char *text,
                                    size_t size)
{
    search.calls++;
    search.request = *request;
    *relocation = search.answer;
    (void)snprintf(text, size, "%s", search.text != NULL ? search.text : "");
    return search.err;
}

static unsigned executions, discards;
static esp_err_t execute_err, discard_err;

esp_err_t __wrap_sr_relocation_execute(const sr_relocation_request_t *request, const sr_relocation_t *relocation);
esp_err_t __wrap_sr_relocation_execute(const sr_relocation_request_t *request, const sr_relocation_t *relocation)
{
    executions++;
    assert_ptr_equal(request->context, migration);
    assert_ptr_equal(relocation, &migration->choice.relocation);
    return execute_err;
}

esp_err_t __wrap_sr_migration_discard_records(sr_migration_t *of);
esp_err_t __wrap_sr_migration_discard_records(sr_migration_t *of)
{
    (void)of;
    assert_int_equal(executions, 0);
    discards++;
    return discard_err;
}

esp_err_t __wrap_sr_migration_run(sr_migration_t *of);
esp_err_t __wrap_sr_migration_run(sr_migration_t *of)
{
    assert_ptr_equal(of, migration);
    return FAILURE;
}

static unsigned in_place_plans;

void __wrap_sr_migration_in_place_plan(sr_migration_t *of);
void __wrap_sr_migration_in_place_plan(sr_migration_t *of)
{
    (void)of;
    in_place_plans++;
}

static uint32_t timed_erases, timed_programs;

void __wrap_sr_map_times(const sr_map_t *map, uint32_t erases, uint32_t programs, uint32_t *typical, uint32_t *maximum);
void __wrap_sr_map_times(const sr_map_t *map, uint32_t erases, uint32_t programs, uint32_t *typical, uint32_t *maximum)
{
    assert_ptr_equal(map, &migration->scan.map);
    timed_erases = erases;
    timed_programs = programs;
    *typical = 123;
    *maximum = 456;
}

const char *__wrap_sr_relocation_running_owner(uint32_t address, char name[SR_RELOCATION_OWNER_SIZE]);
const char *__wrap_sr_relocation_running_owner(uint32_t address, char name[SR_RELOCATION_OWNER_SIZE])
{
    (void)snprintf(name, SR_RELOCATION_OWNER_SIZE, "old 0x%x", (unsigned)address);
    return name;
}

static const sr_partition_table_t *table_to_come;

const sr_partition_table_t *__wrap_sr_migration_new_table(sr_migration_t *of);
const sr_partition_table_t *__wrap_sr_migration_new_table(sr_migration_t *of)
{
    (void)of;
    return table_to_come;
}

static sr_map_flags_t flags_when_listed[SMALL_FLASH_SIZE / SECTOR];
static bool list_is_full, data_finds_room;

esp_err_t __wrap_sr_migration_list_entries(sr_migration_t *of, bool *data_is_staged);
esp_err_t __wrap_sr_migration_list_entries(sr_migration_t *of, bool *data_is_staged)
{
    memcpy(flags_when_listed, of->scan.map.flags, sizeof(flags_when_listed));
    *data_is_staged = data_finds_room;
    return list_is_full ? ESP_ERR_INVALID_SIZE : ESP_OK;
}

esp_err_t __wrap_sr_migration_list_groups(sr_migration_t *of, sr_record_group_t first);
esp_err_t __wrap_sr_migration_list_groups(sr_migration_t *of, sr_record_group_t first)
{
    assert_int_equal(first, SR_RECORD_DATA);
    of->run.journal.header.sectors = 7;
    return ESP_OK;
}

static esp_partition_t partitions[2]; /**< Up to the first without a size: those that are visited. */
static bool are_real;
static esp_err_t visit_err;

esp_err_t __real_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context)
{
    if (are_real) {
        return __real_sr_partition_visit(visit, context);
    }
    for (unsigned i = 0; i < 2 && partitions[i].size != 0; i++) {
        visit(context, &partitions[i]);
    }
    return visit_err;
}

static struct {
    unsigned reads;
    sr_app_selection_t answer;
    esp_err_t err;
} selection;

esp_err_t __wrap_sr_app_selection_read(const sr_system_t *system, sr_partition_table_t *table, sr_app_selection_t *out);
esp_err_t __wrap_sr_app_selection_read(const sr_system_t *system, sr_partition_table_t *table, sr_app_selection_t *out)
{
    assert_ptr_equal(system, &migration->system);
    assert_ptr_equal(table, migration->buffers->scratch);
    selection.reads++;
    *out = selection.err == ESP_OK ? selection.answer : *out;
    return selection.err;
}

static struct {
    bool changed; /**< What started the chip will not be the same. */
    unsigned searches;
    sr_recovery_t answer;
} recovery;

bool __wrap_sr_recovery_is_unchanged(const sr_system_t *system, const sr_reader_t *after, sr_region_t region);
bool __wrap_sr_recovery_is_unchanged(const sr_system_t *system, const sr_reader_t *after, sr_region_t region)
{
    assert_ptr_equal(system, &migration->system);
    assert_ptr_equal(after->context, migration);
    assert_int_equal(region.address, system->boot_path.recovery.address);
    return !recovery.changed;
}

sr_recovery_t __wrap_sr_recovery_find(const sr_system_t *system, const sr_reader_t *after,
                                      sr_recovery_allowed_t allowed, void *context);
sr_recovery_t __wrap_sr_recovery_find(const sr_system_t *system, const sr_reader_t *after,
                                      sr_recovery_allowed_t allowed, void *context)
{
    assert_ptr_equal(system, &migration->system);
    assert_ptr_equal(after->context, migration);
    assert_true(allowed(context, (sr_region_t){PLACE, 0}));
    recovery.searches++;
    return recovery.answer;
}

static uint32_t otadata_at; /**< The sector that the commit writes as otadata; UINT32_MAX: none. */
static uint32_t table_at;   /**< As table. */

bool __wrap_sr_migration_group_of(const sr_migration_t *of, uint32_t address, sr_record_group_t *group);
bool __wrap_sr_migration_group_of(const sr_migration_t *of, uint32_t address, sr_record_group_t *group)
{
    (void)of;
    *group = address == table_at ? SR_RECORD_TABLE : SR_RECORD_OTADATA;
    return address == otadata_at || address == table_at;
}

/* The chip. */

static uint8_t content[SECTOR];

static int open_chip(void **state)
{
    (void)state;
    memset(&search, 0, sizeof(search));
    memset(&selection, 0, sizeof(selection));
    memset(&recovery, 0, sizeof(recovery));
    memset(partitions, 0, sizeof(partitions));
    executions = discards = in_place_plans = 0;
    execute_err = discard_err = visit_err = ESP_OK;
    list_is_full = false;
    data_finds_room = true;
    table_to_come = NULL;
    otadata_at = table_at = UINT32_MAX;
    are_real = true;
    steps_flash(&steps);
    memset(content, 0x5A, sizeof(content));
    const bundle_region_t regions[] = {{.place = {small_slot(1), SECTOR}, .data = content, .length = SECTOR}};
    steps_open(&steps, (bundle_spec_t){.partition_table_offset = TABLE, .regions = regions, .region_count = 1});
    are_real = false;
    steps.plan.must_relocate = true;
    migration->scan.new_data_is_known = true;
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    steps_close(&steps);
    return 0;
}

static void put(uint32_t address, sr_map_flags_t flags)
{
    sr_map_put(&migration->scan.map, address, flags);
}

static sr_map_flags_t at(uint32_t address)
{
    return sr_map_at(&migration->scan.map, address);
}

/* As if nobody had or wanted anything. */
static void clear_map(void)
{
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, UINT16_MAX);
}

/* Asks for a way out. */
static esp_err_t find(esp_self_reflasher_relocation_t kind, uint32_t address)
{
    static sr_relocation_method_t method;
    method = (sr_relocation_method_t){.kind = kind};
    search.answer = (sr_relocation_t){.method = &method, .address = address};
    return sr_migration_find_relocation(migration);
}

/* Where the app may go. */

#define ANY (SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_UNWANTED | SR_RELOCATION_ROOM_LASTING)

static void copy_goes_where_nobody_needs_the_flash(void **state)
{
    (void)state;
    static const struct {
        unsigned flags, known, unknown; /**< With and without a table that tells what the new system has where. */
    } rows[] = {
        {0, ANY, ANY},
        {SR_MAP_BLANK, ANY | SR_RELOCATION_ROOM_FREE, ANY | SR_RELOCATION_ROOM_FREE},
        {SR_MAP_RELEASED, ANY | SR_RELOCATION_ROOM_FREE, ANY | SR_RELOCATION_ROOM_FREE},
        {SR_MAP_TARGET, SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_LASTING | SR_RELOCATION_ROOM_FREE, 0},
        {SR_MAP_TARGET | SR_MAP_WRONG,
         SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_LASTING | SR_RELOCATION_ROOM_FREE, 0},
        {SR_MAP_TARGET | SR_MAP_NEW_DATA, 0, 0},
        {SR_MAP_TARGET | SR_MAP_NEW_GAP, 0, 0},
        {SR_MAP_NEW_DATA, SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_UNWANTED,
         SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_UNWANTED},
        {SR_MAP_NEW_GAP | SR_MAP_BLANK,
         SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_UNWANTED | SR_RELOCATION_ROOM_FREE,
         SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_UNWANTED | SR_RELOCATION_ROOM_FREE},
        {SR_MAP_CONTENT, 0, 0},
        {SR_MAP_TARGET | SR_MAP_CONTENT, 0, 0},
        {SR_MAP_BOOT_PATH, 0, 0},
        {SR_MAP_RUNNING_APP, 0, 0},
        {SR_MAP_DATA, 0, 0},
        {SR_MAP_SOURCE, 0, 0},
        {SR_MAP_CLOSED_NOW, 0, 0},
        {SR_MAP_CLAIMED, 0, 0},
        {SR_MAP_RECOVERY, 0, 0},
        {SR_MAP_MARK, 0, 0},
        {SR_MAP_CLOSED_THEN, 0, 0},
    };
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned known = 0; known < 2; known++) {
            migration->scan.new_data_is_known = known != 0;
            put(PLACE, (sr_map_flags_t)rows[i].flags);
            const unsigned expected = known != 0 ? rows[i].known : rows[i].unknown;
            const unsigned is = search.request.classify(search.request.context, PLACE);
            if (is != expected) {
                fail_msg("0x%x (%u) is 0x%x, should be 0x%x", rows[i].flags, known, is, expected);
            }
            const bool alone = (expected & SR_RELOCATION_ROOM_UNWANTED) != 0;
            assert_int_equal(sr_migration_leaves_alone(migration, (sr_region_t){PLACE, SECTOR}), alone);
        }
    }
}

static void copy_does_not_go_over_the_bundle(void **state)
{
    (void)state;
    const uint32_t size = migration->input.manifest.bundle.bundle_size;
    const esp_http_client_config_t http = {.url = "http://nobody"};
    assert_true(size < SECTOR);
    clear_map();
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    for (uint32_t offset = 0; offset < 3; offset++) {
        steps.config.embedded.region_address = PLACE + SECTOR - size + offset; /* The last one goes one byte further. */
        assert_int_equal(search.request.classify(migration, PLACE), 0);
        assert_int_equal(search.request.classify(migration, PLACE + SECTOR), offset == 0 ? ANY : 0);
        assert_int_equal(search.request.classify(migration, PLACE - SECTOR), ANY);
    }
    steps.config.http_config = &http;
    assert_int_equal(search.request.classify(migration, PLACE), ANY);
}

static void each_sector_of_a_place_counts(void **state)
{
    (void)state;
    clear_map();
    for (uint32_t i = 0; i < 5; i++) {
        put(PLACE + i * SECTOR, SR_MAP_CLOSED_NOW);
        const bool alone = sr_migration_leaves_alone(migration, (sr_region_t){PLACE + SECTOR, 3 * SECTOR});
        assert_int_equal(alone, i == 0 || i == 4);
        put(PLACE + i * SECTOR, 0);
    }
    put(PLACE + SECTOR, SR_MAP_CLOSED_NOW); /* One that begins is enough. */
    assert_false(sr_migration_leaves_alone(migration, (sr_region_t){PLACE, SECTOR + 1}));
}

/* What is in the way. */

static void only_what_is_wrong_under_the_app_is_in_the_way(void **state)
{
    (void)state;
    static const struct {
        unsigned flags;
        bool in_the_way, may_stay;
    } rows[] = {
        {SR_MAP_RUNNING_APP | SR_MAP_WRONG | SR_MAP_TARGET, true, true},
        {SR_MAP_RUNNING_APP | SR_MAP_WRONG | SR_MAP_TARGET | SR_MAP_CONTENT, true, false},
        {SR_MAP_RUNNING_APP | SR_MAP_WRONG | SR_MAP_TARGET | SR_MAP_NEW_DATA, true, false},
        {SR_MAP_RUNNING_APP | SR_MAP_WRONG | SR_MAP_TARGET | SR_MAP_NEW_GAP, true, false},
        {SR_MAP_RUNNING_APP | SR_MAP_WRONG, true, false},
        {SR_MAP_RUNNING_APP | SR_MAP_TARGET | SR_MAP_CONTENT, false, false},
        {SR_MAP_WRONG | SR_MAP_TARGET | SR_MAP_CONTENT, false, false},
    };
    static const uint32_t places[] = {0, SECTOR, PLACE, END};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < 4; k++) {
            clear_map();
            put(places[k], (sr_map_flags_t)rows[i].flags);
            migration->choice.left_out = 0;
            assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_NONE, UINT32_MAX), ESP_OK);
            assert_int_equal(search.request.blanks_only, !rows[i].in_the_way || rows[i].may_stay);
            assert_int_equal(steps.plan.sectors_left, rows[i].in_the_way);
            const unsigned left =
                rows[i].in_the_way ? rows[i].flags & ~(unsigned)(SR_MAP_TARGET | SR_MAP_WRONG) : rows[i].flags;
            assert_int_equal(at(places[k]), left);
        }
    }
    clear_map(); /* Without a table it is not known what may stay. */
    put(PLACE, (sr_map_flags_t)rows[0].flags);
    migration->scan.new_data_is_known = false;
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    assert_false(search.request.blanks_only);
    put(PLACE, 0);
    put(END, (sr_map_flags_t)rows[1].flags); /* Past the end of the map. */
    migration->scan.map.count--;
    migration->choice.left_out = 0;
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_NONE, PLACE), ESP_OK);
    assert_true(search.request.blanks_only);
    assert_int_equal(steps.plan.sectors_left, 0);
    assert_int_equal(at(END), rows[1].flags);
    migration->scan.map.count++;
}

/* The plan. */

static void plan_follows_the_way_that_was_found(void **state)
{
    (void)state;
    const uint32_t unset = 0x1234;
    clear_map();
    migration->system.boot_path.running_app.size = 3 * SECTOR;
    static const uint32_t targets[] = {0, 1, 3, 4, 5}; /* Of five sectors the copy takes the first, second, third. */
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        put(PLACE - SECTOR + targets[i] * SECTOR, SR_MAP_TARGET);
    }
    steps.plan.relocate_to = unset;
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    assert_int_equal(steps.plan.relocation, ESP_SELF_REFLASHER_RELOCATION_SLOT);
    assert_int_equal(steps.plan.relocate_to, PLACE);
    assert_int_equal(steps.plan.sectors_left, 2);
    assert_int_equal(steps.plan.relocation_ms_typical, 0);

    static const struct {
        unsigned table;
        uint32_t writes;
    } rows[] = {{0, 2}, {SR_MAP_TARGET | SR_MAP_CONTENT, 2}, {SR_MAP_TARGET | SR_MAP_WRONG, 1}};
    for (size_t i = 0; i < 3; i++) {
        put(TABLE, (sr_map_flags_t)rows[i].table);
        steps.plan.relocation_ms_typical = 0;
        assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, PLACE + SECTOR), ESP_OK);
        assert_int_equal(timed_erases, rows[i].writes);
        assert_int_equal(timed_programs, rows[i].writes);
        assert_int_equal(steps.plan.relocation_ms_typical, 123);
        assert_int_equal(steps.plan.relocation_ms_maximum, 456);
        assert_int_equal(steps.plan.relocate_to, PLACE + SECTOR);
        assert_int_equal(steps.plan.sectors_left, 2);
    }

    steps.plan.relocate_to = unset;
    assert_int_equal(in_place_plans, 0);
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_IN_PLACE, PLACE), ESP_OK);
    assert_int_equal(in_place_plans, 1);
    assert_int_equal(steps.plan.relocate_to, unset);
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_NONE, PLACE), ESP_OK);
    assert_int_equal(steps.plan.relocate_to, unset);
}

static void without_a_way_it_is_refused(void **state)
{
    (void)state;
    steps.plan.must_relocate = false;
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    assert_int_equal(search.calls, 0);
    steps.plan.must_relocate = true;
    search.err = FAILURE;
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), FAILURE);
    search.err = ESP_OK;
    static const struct {
        uint32_t missing, told;
    } rows[] = {{0x3000, 0x3000}, {0, 0}, {1, 1}, {UINT32_MAX, 0}, {UINT32_MAX - 1, UINT32_MAX - 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        search.answer = (sr_relocation_t){.address = UINT32_MAX, .missing = rows[i].missing};
        search.text = "there is no way";
        steps.plan.bytes_missing = 99;
        assert_int_equal(sr_migration_find_relocation(migration), ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(steps.plan.bytes_missing, rows[i].told);
        assert_int_equal(steps.plan.refusal, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP);
        assert_string_equal(steps.plan.refusal_text, "there is no way");
    }
}

/* What is told. */

static esp_self_reflasher_event_data_t told;
static esp_self_reflasher_event_t told_event;
static bool may;

static void on_event(void *unused, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)unused;
    told_event = event;
    told = *data;
}

static bool may_commit(void *unused)
{
    (void)unused;
    return may;
}

static void request_carries_what_the_app_allows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        steps.config.flags = (i & 1 ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE : 0u) |
                             (i & 2 ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE : 0u);
        put(TABLE, i & 4 ? SR_MAP_TARGET | SR_MAP_CONTENT : SR_MAP_CONTENT);
        assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
        assert_int_equal(search.request.allows_temporary_table, (i & 1) != 0);
        assert_int_equal(search.request.allows_in_place, (i & 2) != 0);
        assert_int_equal(search.request.brings_table, (i & 4) != 0);
    }
    assert_ptr_equal(search.request.system, &migration->system);
    assert_int_equal(search.request.in_place_needs, sr_migration_in_place_needs(migration));
    assert_int_equal(search.request.longest_free.address, STEPS_ROOM);
    assert_int_equal(search.request.longest_free.size, SMALL_FLASH_SIZE - STEPS_ROOM);
    assert_int_equal(search.request.write(search.request.context), FAILURE);
}

static void commit_of_the_way_is_asked_for_and_told(void **state)
{
    (void)state;
    steps.config.may_commit = may_commit;
    steps.config.event_cb = on_event;
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    for (unsigned i = 0; i < 2; i++) {
        may = i != 0;
        assert_int_equal(search.request.may_commit(search.request.context), may);
        told_event = ESP_SELF_REFLASHER_EVENT_CHECK;
        search.request.on_commit(search.request.context, i != 0);
        assert_int_equal(told_event, ESP_SELF_REFLASHER_EVENT_COMMIT);
        assert_int_equal(told.sectors_done, i);
        assert_int_equal(told.sectors_total, 1);
    }
}

/* A temporary table may come only as long as what moves has not moved, and is staged beside the app; overwritten in
 * place, nothing is staged. */
static void ways_that_would_lose_what_moves_are_objected_to(void **state)
{
    (void)state;
    static const struct {
        esp_self_reflasher_relocation_t kind;
        uint16_t rows;  /**< Moves in the bundle. */
        uint32_t moves; /**< Left to do. */
        uint32_t address;
        bool room, objected;
    } rows[] = {
        {ESP_SELF_REFLASHER_RELOCATION_SLOT, 1, 1, PLACE, false, false},
        {ESP_SELF_REFLASHER_RELOCATION_SLOT, 1, 0, PLACE, false, false},
        {ESP_SELF_REFLASHER_RELOCATION_NONE, 1, 1, PLACE, false, false},
        {ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, 0, 0, PLACE, false, false},
        {ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, 1, 0, PLACE, true, true},
        {ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, 1, 0, UINT32_MAX, true, false},
        {ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, 1, 1, UINT32_MAX, false, false},
        {ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, 1, 1, PLACE, true, false},
        {ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, 1, 1, PLACE, false, true},
        {ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, 2, 2, PLACE, true, false},
        {ESP_SELF_REFLASHER_RELOCATION_IN_PLACE, 0, 0, PLACE, true, false},
        {ESP_SELF_REFLASHER_RELOCATION_IN_PLACE, 1, 0, PLACE, false, false},
        {ESP_SELF_REFLASHER_RELOCATION_IN_PLACE, 1, 1, PLACE, true, true},
        {ESP_SELF_REFLASHER_RELOCATION_IN_PLACE, 1, 2, PLACE, true, true},
    };
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const sr_relocation_method_t method = {.kind = rows[i].kind};
        migration->input.manifest.bundle.move_count = rows[i].rows;
        migration->scan.moves.count = rows[i].moves;
        data_finds_room = rows[i].room;
        const char *why = search.request.object(search.request.context, &method, rows[i].address);
        if ((why != NULL) != rows[i].objected) {
            fail_msg("row %zu: %s", i, why != NULL ? why : "no objection");
        }
    }
    migration->scan.moves.count = 0;
}

static void owner_is_who_would_have_to_go(void **state)
{
    (void)state;
    static sr_partition_table_t table = {
        .entries = {{SR_PARTITION_TYPE_DATA, 0x82, PLACE, 2 * SECTOR, 0, "first"},
                    {SR_PARTITION_TYPE_DATA, 0x82, PLACE + 2 * SECTOR, SECTOR, 0, "last"},
                    {SR_PARTITION_TYPE_DATA, 0x82, PLACE + 3 * SECTOR, SECTOR, 0, "none"}}, /* Not counted. */
        .count = 2};
    static const struct {
        unsigned flags;
        bool is_new;
    } rows[] = {
        {0, false},
        {SR_MAP_BLANK, false},
        {SR_MAP_DATA, false},
        {SR_MAP_DATA | SR_MAP_TARGET, false}, /* Given up, it would be free. */
        {SR_MAP_DATA | SR_MAP_NEW_DATA, false},
        {SR_MAP_DATA | SR_MAP_CONTENT, true},
        {SR_MAP_CONTENT, true},
        {SR_MAP_TARGET, true},
        {SR_MAP_NEW_DATA, true},
        {SR_MAP_NEW_GAP, true},
    };
    static const char *const names[] = {"new content", "new first", "new first", "new last", "new content"};
    char name[SR_RELOCATION_OWNER_SIZE];
    assert_int_equal(find(ESP_SELF_REFLASHER_RELOCATION_SLOT, PLACE), ESP_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned k = 0; k < 5; k++) {
            char expected[SR_RELOCATION_OWNER_SIZE];
            const uint32_t address = PLACE - SECTOR + k * SECTOR;
            put(address, (sr_map_flags_t)rows[i].flags);
            for (unsigned has_table = 0; has_table < 2; has_table++) {
                table_to_come = has_table != 0 ? &table : NULL;
                (void)snprintf(expected, sizeof(expected), "old 0x%x", (unsigned)address);
                const char *is_new = has_table != 0 ? names[k] : "new content";
                assert_string_equal(search.request.owner(search.request.context, address, name),
                                    rows[i].is_new ? is_new : expected);
            }
        }
    }
}

/* Room for what is staged. */

static void room_is_looked_for_as_it_will_be(void **state)
{
    (void)state;
    static const struct {
        uint32_t otadata; /**< Bytes of it. */
        uint32_t used;    /**< Sectors. */
    } rows[] = {{0, 0}, {SECTOR, 1}, {2 * SECTOR, 2}, {3 * SECTOR, 2}};
    static const unsigned kinds[] = {0, SR_MAP_TARGET, SR_MAP_CONTENT, SR_MAP_TARGET | SR_MAP_CONTENT};
    sr_map_flags_t before[SMALL_FLASH_SIZE / SECTOR];
    for (size_t i = 0; i < 4 * 4 * 2; i++) {
        const unsigned kind = kinds[i / 4 % 4];
        const uint32_t to = i < 16 ? PLACE : UINT32_MAX;
        const bool has_otadata = rows[i % 4].otadata != 0; /* Without one its address means nothing. */
        const sr_region_t otadata = {has_otadata ? SMALL_OTADATA : UINT32_MAX - SECTOR + 1, rows[i % 4].otadata};
        migration->system.boot_path.otadata = otadata;
        for (uint32_t k = 0; k < 4; k++) {
            put(SMALL_OTADATA - SECTOR + k * SECTOR, (sr_map_flags_t)(kind | SR_MAP_BOOT_PATH));
        }
        memcpy(before, migration->scan.map.flags, sizeof(before));
        assert_true(sr_migration_stages_beside(migration, to, NULL));
        assert_memory_equal(migration->scan.map.flags, before, sizeof(before));
        for (uint32_t k = 0; k < SMALL_FLASH_SIZE / SECTOR; k++) {
            const bool in_otadata =
                k >= SMALL_OTADATA / SECTOR && k < SMALL_OTADATA / SECTOR + rows[i % 4].used && kind != 0;
            const bool in_copy = to == PLACE && k >= PLACE / SECTOR && k < PLACE / SECTOR + 3;
            assert_int_equal(flags_when_listed[k],
                             before[k] | (in_otadata ? SR_MAP_WRONG : 0u) | (in_copy ? SR_MAP_RUNNING_APP : 0u));
        }
    }
}

static void room_that_is_missing_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        sr_migration_room_t room = {0};
        list_is_full = (i & 1) != 0;
        data_finds_room = (i & 2) != 0;
        const bool fits = sr_migration_stages_beside(migration, PLACE, &room);
        assert_int_equal(sr_migration_stages_beside(migration, PLACE, NULL), fits);
        assert_int_equal(fits, i == 2);
        assert_int_equal(room.needed, fits ? 0 : (SR_RECORD_OVERHEAD + 7) * SECTOR);
        assert_int_equal(room.longest.address, fits ? 0 : STEPS_ROOM);
    }
}

/* Who starts. */

static esp_partition_t partition(esp_partition_type_t type, uint32_t address, uint32_t size)
{
    return (esp_partition_t){.flash_chip = esp_flash_default_chip,
                             .type = type,
                             .subtype = type == ESP_PARTITION_TYPE_APP ? ESP_PARTITION_SUBTYPE_APP_OTA_0
                                                                       : ESP_PARTITION_SUBTYPE_DATA_OTA,
                             .address = address,
                             .size = size,
                             .label = "part"};
}

static void app_partition_that_is_written_may_be_started(void **state)
{
    (void)state;
    static const struct {
        esp_partition_type_t type;
        uint32_t size, written;
        unsigned flags;
        bool counts;
    } rows[] = {
        {ESP_PARTITION_TYPE_APP, 2 * SECTOR, PLACE, SR_MAP_WRONG | SR_MAP_TARGET, true},
        {ESP_PARTITION_TYPE_APP, 2 * SECTOR, PLACE + SECTOR, SR_MAP_WRONG | SR_MAP_TARGET, true},
        {ESP_PARTITION_TYPE_APP, 2 * SECTOR, PLACE + 2 * SECTOR, SR_MAP_WRONG | SR_MAP_TARGET, false},
        {ESP_PARTITION_TYPE_APP, 2 * SECTOR, PLACE - SECTOR, SR_MAP_WRONG | SR_MAP_TARGET, false},
        {ESP_PARTITION_TYPE_APP, 2 * SECTOR + 1, PLACE + 2 * SECTOR, SR_MAP_WRONG | SR_MAP_TARGET, true},
        {ESP_PARTITION_TYPE_DATA, 2 * SECTOR, PLACE, SR_MAP_WRONG | SR_MAP_TARGET, false},
        {ESP_PARTITION_TYPE_APP, 2 * SECTOR, PLACE, SR_MAP_TARGET | SR_MAP_CONTENT, false},
        {ESP_PARTITION_TYPE_APP, 2 * SECTOR, PLACE, SR_MAP_WRONG | SR_MAP_RUNNING_APP, false},
        {ESP_PARTITION_TYPE_APP, SMALL_FLASH_SIZE, PLACE, SR_MAP_WRONG | SR_MAP_TARGET, false}, /* Past the flash. */
        {ESP_PARTITION_TYPE_APP, SMALL_FLASH_SIZE - PLACE, END, SR_MAP_WRONG | SR_MAP_TARGET, true},
    };
    selection.answer = SR_APP_SELECTION_CANNOT_START;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        clear_map();
        put(rows[i].written, (sr_map_flags_t)rows[i].flags);
        partitions[0] = partition(rows[i].type, PLACE, rows[i].size);
        partitions[1] = partition(ESP_PARTITION_TYPE_APP, small_slot(3), SECTOR);
        migration->choice.writes_app_partition = false;
        steps.plan.relocation = ESP_SELF_REFLASHER_RELOCATION_NONE;
        selection.reads = 0;
        assert_int_equal(sr_migration_check_start(migration), rows[i].counts ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK);
        assert_int_equal(selection.reads, rows[i].counts);
        assert_int_equal(migration->choice.writes_app_partition, rows[i].counts);
        assert_true(!rows[i].counts || steps.plan.refusal == ESP_SELF_REFLASHER_REFUSED_RUNNING_APP);
    }
    steps.plan.relocation = ESP_SELF_REFLASHER_RELOCATION_SLOT; /* Then otadata selects the copy. */
    clear_map();
    migration->choice.writes_app_partition = false;
    assert_int_equal(sr_migration_check_start(migration), ESP_ERR_SELF_REFLASHER_REFUSED);
    selection.err = FAILURE;
    assert_int_equal(sr_migration_check_start(migration), FAILURE);
    selection.reads = 0;
    visit_err = ESP_ERR_NO_MEM;
    assert_int_equal(sr_migration_check_start(migration), ESP_ERR_NO_MEM);
    assert_int_equal(selection.reads, 0);
    visit_err = ESP_OK;
}

static void otadata_counts_as_wrong_where_it_has_to_select_the_app(void **state)
{
    (void)state;
    static const struct {
        sr_app_selection_t selection;
        bool stays;
    } rows[] = {{SR_APP_SELECTION_STARTS, false}, {SR_APP_SELECTION_CAN_START, true}};
    for (size_t i = 0; i < 2; i++) {
        clear_map();
        put(SMALL_OTADATA, SR_MAP_TARGET | SR_MAP_CONTENT);
        steps.plan.relocation = ESP_SELF_REFLASHER_RELOCATION_SLOT;
        selection.answer = rows[i].selection;
        assert_int_equal(sr_migration_check_start(migration), ESP_OK);
        assert_int_equal(migration->choice.must_stay, rows[i].stays);
        assert_int_equal((at(SMALL_OTADATA) & SR_MAP_WRONG) != 0, rows[i].stays);
        assert_int_equal(at(SMALL_OTADATA + SECTOR), 0); /* Nobody wants anything there. */
    }
    migration->choice.must_stay = false;
}

static void old_records_go_before_the_app_does(void **state)
{
    (void)state;
    sr_relocation_method_t method = {.restarts = true};
    migration->choice.relocation.method = &method;
    assert_int_equal(sr_migration_relocate(migration), ESP_OK);
    assert_int_equal(discards, 1);
    assert_int_equal(executions, 1);
    executions = 0;
    execute_err = FAILURE;
    assert_int_equal(sr_migration_relocate(migration), FAILURE);
    executions = 0;
    discard_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_relocate(migration), ESP_ERR_TIMEOUT);
    assert_int_equal(executions, 0);
    method.restarts = false; /* Where it stays, the migration begins with that itself. */
    discards = 0;
    assert_int_equal(sr_migration_relocate(migration), FAILURE);
    assert_int_equal(discards, 0);
    assert_int_equal(executions, 1);
}

/* A recovery bootloader. */

static const sr_map_flags_t brought = SR_MAP_TARGET | SR_MAP_CONTENT;

/* The sector of the bootloader's magic number is brought; this one is wrong. @return whether it was looked for */
static bool looks_for_recovery(uint32_t wrong, sr_map_flags_t first)
{
    clear_map();
    recovery.searches = 0;
    steps.plan.recovery_address = UINT32_MAX;
    migration->scan.map.guarded = (sr_region_t){0};
    migration->run.journal.header.guarded = false;
    put(SMALL_BOOTLOADER, first);
    if (wrong != UINT32_MAX) {
        put(wrong, (sr_map_flags_t)(at(wrong) | SR_MAP_WRONG));
    }
    assert_int_equal(sr_migration_find_recovery(migration), ESP_OK);
    return recovery.searches > 0;
}

static void recovery_is_looked_for_where_the_bootloader_is_written(void **state)
{
    (void)state;
    const sr_region_t loader = {SMALL_BOOTLOADER, 3 * SECTOR};
    migration->system.boot_path.bootloader = loader;
    assert_false(looks_for_recovery(UINT32_MAX, brought));
    assert_false(looks_for_recovery(loader.address - SECTOR, brought));
    assert_true(looks_for_recovery(loader.address, brought));
    assert_true(looks_for_recovery(loader.address + SECTOR, brought));
    assert_true(looks_for_recovery(loader.address + 2 * SECTOR, brought));
    assert_false(looks_for_recovery(loader.address + 3 * SECTOR, brought));
    assert_false(looks_for_recovery(loader.address + SECTOR, 0)); /* Its first sector has to come with it. */
    assert_false(looks_for_recovery(loader.address + SECTOR, SR_MAP_TARGET));
    for (uint32_t size = 1; size <= SECTOR; size += SECTOR - 1) {
        migration->choice.overwrite.size = size; /* Nothing boots then. */
        assert_false(looks_for_recovery(loader.address, brought));
    }
    migration->choice.overwrite.size = 0;
    recovery.changed = true;
    assert_int_equal(sr_migration_find_recovery(migration), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(steps.plan.refusal, ESP_SELF_REFLASHER_REFUSED_BOOTLOADER);
}

/* Nothing is staged there, and a power loss in the bootloader does no harm. */
static void recovery_that_stands_in_is_kept_from_use(void **state)
{
    (void)state;
    const sr_region_t loader = {SMALL_BOOTLOADER, 3 * SECTOR};
    migration->system.boot_path.bootloader = loader;
    assert_true(looks_for_recovery(loader.address + SECTOR, brought));
    assert_int_equal(at(SMALL_BOOTLOADER), brought); /* None was found. */
    assert_int_equal(migration->scan.map.guarded.size, 0);
    assert_false(migration->run.journal.header.guarded);
    assert_int_equal(steps.plan.recovery_address, UINT32_MAX);

    recovery.answer = (sr_recovery_t){.place = {PLACE, 2 * SECTOR}, .needs_copy = true};
    assert_true(looks_for_recovery(loader.address + SECTOR, brought));
    assert_int_equal(at(SMALL_BOOTLOADER), brought | SR_MAP_WRONG); /* It takes part. */
    assert_int_equal(at(PLACE - SECTOR), 0);
    assert_int_equal(at(PLACE), SR_MAP_RECOVERY);
    assert_int_equal(at(PLACE + SECTOR), SR_MAP_RECOVERY);
    assert_int_equal(at(PLACE + 2 * SECTOR), 0);
    assert_int_equal(migration->scan.map.guarded.address, loader.address);
    assert_int_equal(migration->scan.map.guarded.size, loader.size);
    assert_true(migration->run.journal.header.guarded);
    assert_int_equal(steps.plan.recovery_address, PLACE);
    assert_true(migration->choice.recovery.needs_copy);

    recovery.answer.place =
        (sr_region_t){SMALL_BOOTLOADER, 2 * SECTOR}; /* What is brought there is written like all. */
    assert_true(looks_for_recovery(loader.address + SECTOR, brought));
    assert_int_equal(at(SMALL_BOOTLOADER), brought | SR_MAP_WRONG);
    assert_int_equal(at(SMALL_BOOTLOADER + SECTOR), SR_MAP_WRONG | SR_MAP_RECOVERY);
    recovery.answer.place = (sr_region_t){PLACE, 1}; /* One byte is a place. */
    assert_true(looks_for_recovery(loader.address, brought));
    assert_int_equal(at(PLACE), SR_MAP_RECOVERY);
    assert_true(migration->run.journal.header.guarded);
}

/* What cannot be written. */

static void expect_read_only(esp_partition_t closed, uint32_t wrong, bool refused)
{
    clear_map();
    if (wrong != UINT32_MAX) {
        put(wrong, SR_MAP_WRONG);
    }
    partitions[0] = closed;
    partitions[1] = partition(ESP_PARTITION_TYPE_APP, PLACE, 8 * SECTOR); /* It may be written. */
    const esp_err_t err = sr_migration_check_read_only(migration);
    if (err != (refused ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK)) {
        fail_msg("0x%x, 0x%x bytes, 0x%x wrong: %s", (unsigned)closed.address, (unsigned)closed.size, (unsigned)wrong,
                 esp_self_reflasher_err_to_name(err));
    }
    assert_true(!refused || steps.plan.refusal == ESP_SELF_REFLASHER_REFUSED_READ_ONLY);
}

static void sector_of_a_closed_partition_is_not_to_be_written(void **state)
{
    (void)state;
    for (unsigned closed = 0; closed < 2; closed++) {
        esp_partition_t of = partition(ESP_PARTITION_TYPE_APP, PLACE + SECTOR, 2 * SECTOR);
        of.readonly = closed != 0;
        for (uint32_t i = 0; i < 5; i++) {
            expect_read_only(of, PLACE + i * SECTOR, closed != 0 && (i == 1 || i == 2));
        }
        of.size = SECTOR + 1;
        expect_read_only(of, PLACE + 2 * SECTOR, closed != 0);
        of.size = SMALL_FLASH_SIZE;
        expect_read_only(of, END, closed != 0);
        expect_read_only(of, UINT32_MAX, false);
    }
    visit_err = ESP_ERR_NO_MEM;
    assert_int_equal(sr_migration_check_read_only(migration), ESP_ERR_NO_MEM);
    visit_err = ESP_OK;
    clear_map();
    put(END, SR_MAP_WRONG); /* Past the end of the map. */
    migration->scan.map.count--;
    partitions[0].readonly = true;
    assert_int_equal(sr_migration_check_read_only(migration), ESP_OK);
    migration->scan.map.count++;
}

/* The first one, and the first sector of it. */
static void what_is_closed_is_named(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        partitions[i] = partition(ESP_PARTITION_TYPE_APP, PLACE + i * 4 * SECTOR, 4 * SECTOR);
        partitions[i].readonly = true;
        partitions[i].label[0] = i == 0 ? 'a' : 'b';
    }
    clear_map();
    put(PLACE + 2 * SECTOR, SR_MAP_WRONG);
    put(PLACE + 3 * SECTOR, SR_MAP_WRONG);
    put(PLACE + 4 * SECTOR, SR_MAP_WRONG);
    assert_int_equal(sr_migration_check_read_only(migration), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_non_null(strstr(steps.plan.refusal_text, "'aart' at 0xa0000 is flagged readonly, and 0xa2000 in it"));
}

/* All of otadata, if it has to select the running app. */
static void otadata_that_has_to_be_written_must_not_be_closed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        esp_partition_t of = partition(ESP_PARTITION_TYPE_DATA, PLACE, 2 * SECTOR);
        of.readonly = (i & 1) != 0;
        of.subtype = (i & 2) != 0 ? ESP_PARTITION_SUBTYPE_DATA_OTA : ESP_PARTITION_SUBTYPE_DATA_NVS;
        of.type = (i & 4) != 0 ? ESP_PARTITION_TYPE_DATA : ESP_PARTITION_TYPE_APP;
        migration->choice.must_stay = (i & 8) != 0;
        expect_read_only(of, UINT32_MAX, i == 15);
    }
    migration->choice.must_stay = false;
}

/* Otadata comes after the table, and a run after a power loss goes by that. */
static void otadata_must_not_be_closed_by_the_new_table(void **state)
{
    (void)state;
    static sr_partition_table_t table;
    static const struct {
        uint32_t flags; /**< Of the entry that has it. */
        sr_map_flags_t table;
        uint32_t otadata;
        bool refused;
    } rows[] = {
        {SR_PARTITION_FLAG_READ_ONLY, SR_MAP_WRONG, PLACE, true},
        {SR_PARTITION_FLAG_READ_ONLY | SR_PARTITION_FLAG_ENCRYPTED, SR_MAP_WRONG, PLACE + SECTOR, true},
        {SR_PARTITION_FLAG_READ_ONLY, SR_MAP_WRONG, PLACE + 2 * SECTOR, false},
        {SR_PARTITION_FLAG_READ_ONLY, SR_MAP_WRONG, PLACE - SECTOR, false},
        {SR_PARTITION_FLAG_READ_ONLY, SR_MAP_WRONG, UINT32_MAX, false},
        {SR_PARTITION_FLAG_READ_ONLY, SR_MAP_CONTENT, PLACE, false}, /* It is there already. */
        {SR_PARTITION_FLAG_ENCRYPTED, SR_MAP_WRONG, PLACE, false},
        {0, SR_MAP_WRONG, PLACE, false},
    };
    table_to_come = &table;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned where = 0; where < 3; where++) { /* The last one is not counted. */
            table = (sr_partition_table_t){.count = 2};
            table.entries[where] =
                (sr_partition_table_entry_t){.address = PLACE, .size = 2 * SECTOR, .flags = rows[i].flags};
            clear_map();
            put(TABLE, rows[i].table);
            otadata_at = rows[i].otadata;
            table_at = otadata_at == PLACE ? UINT32_MAX : PLACE; /* What else is written does not matter. */
            const bool refused = rows[i].refused && where < 2;
            assert_int_equal(sr_migration_check_read_only(migration),
                             refused ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK);
            assert_true(!refused || steps.plan.refusal == ESP_SELF_REFLASHER_REFUSED_READ_ONLY);
        }
    }
    table.entries[0] =
        (sr_partition_table_entry_t){.address = END - SECTOR, .size = 4 * SECTOR, .flags = SR_PARTITION_FLAG_READ_ONLY};
    put(TABLE, SR_MAP_WRONG);
    otadata_at = END;
    assert_int_equal(sr_migration_check_read_only(migration), ESP_ERR_SELF_REFLASHER_REFUSED);
    otadata_at = SMALL_FLASH_SIZE; /* Past the end of it. */
    assert_int_equal(sr_migration_check_read_only(migration), ESP_OK);
    table_to_come = NULL; /* None that can be read. */
    assert_int_equal(sr_migration_check_read_only(migration), ESP_OK);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(copy_goes_where_nobody_needs_the_flash),
        TEST(copy_does_not_go_over_the_bundle),
        TEST(each_sector_of_a_place_counts),
        TEST(only_what_is_wrong_under_the_app_is_in_the_way),
        TEST(plan_follows_the_way_that_was_found),
        TEST(without_a_way_it_is_refused),
        TEST(request_carries_what_the_app_allows),
        TEST(commit_of_the_way_is_asked_for_and_told),
        TEST(ways_that_would_lose_what_moves_are_objected_to),
        TEST(owner_is_who_would_have_to_go),
        TEST(room_is_looked_for_as_it_will_be),
        TEST(room_that_is_missing_is_told),
        TEST(app_partition_that_is_written_may_be_started),
        TEST(otadata_counts_as_wrong_where_it_has_to_select_the_app),
        TEST(old_records_go_before_the_app_does),
        TEST(recovery_is_looked_for_where_the_bootloader_is_written),
        TEST(recovery_that_stands_in_is_kept_from_use),
        TEST(sector_of_a_closed_partition_is_not_to_be_written),
        TEST(what_is_closed_is_named),
        TEST(otadata_that_has_to_be_written_must_not_be_closed),
        TEST(otadata_must_not_be_closed_by_the_new_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
