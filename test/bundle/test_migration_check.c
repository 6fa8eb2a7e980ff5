// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is asked before a bundle is applied, one step at a time: in which order, what each of them is told, and that the
 * error of each of them ends it. The steps that have tests of their own do nothing here, unless they are to fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/support/support_migration.h"

#include "bundle/sr_map.h"
#include "format/sr_bytes.h"
#include "preflight/sr_preflight.h"
#include "preflight/sr_preflight_chip.h"
#include "relocate/sr_relocation_methods.h"
#include "system/sr_partition.h"

#define SECTOR  SR_SECTOR_SIZE
#define TABLE   SR_PARTITION_TABLE_OFFSET
#define FAILURE 0x7777
#define STORAGE 0xA0000u
#define ROW     32u      /**< Of a table. */
#define LAST    0xF0000u /**< An app partition that ends past the end of the flash. */

static steps_t steps;
static sr_migration_t *const migration = &steps.migration;
static bool has_row_after_digest; /**< In the new table: the bootloader, and so everybody else, ignores it. */
static uint8_t new_table[SECTOR], new_otadata[2 * SECTOR], new_app[SMALL_APP_SIZE];

/* Steps that are taken in turn. */

typedef enum turn { TURN_SKIPPED, TURN_REAL, TURN_FAILS } turn_t;

static bool is_real;         /**< Nothing is skipped. */
static const char *failing;  /**< The step that does. */
static char trace[1024];     /**< The steps that were taken. */
static const char *marks_at; /**< The step at which another sector turns out to be wrong. */
static uint32_t marked;      /**< That sector. */
static const char *clears_at;
static uint32_t overwritten; /**< Size of what is overwritten in place, from the search for a way out on. */
static esp_err_t unreadable; /**< What a reader of the result meets. */

static turn_t turn_of(const char *step)
{
    assert_true(strlen(trace) + strlen(step) + 2 < sizeof(trace));
    strcat(strcat(trace, step), " ");
    if (marks_at != NULL && strcmp(step, marks_at) == 0) {
        sr_map_mark(&migration->scan.map, (sr_region_t){marked, SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG);
    }
    if (clears_at != NULL && strcmp(step, clears_at) == 0) {
        sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_WRONG);
    }
    if (failing != NULL && strcmp(step, failing) == 0) {
        return TURN_FAILS;
    }
    return is_real ? TURN_REAL : TURN_SKIPPED;
}

#define STEP(step)                                                                                                     \
    esp_err_t __real_##step(sr_migration_t *of);                                                                       \
    esp_err_t __wrap_##step(sr_migration_t *of);                                                                       \
    esp_err_t __wrap_##step(sr_migration_t *of)                                                                        \
    {                                                                                                                  \
        const turn_t turn = turn_of(#step);                                                                            \
        return turn == TURN_REAL ? __real_##step(of) : turn == TURN_FAILS ? FAILURE : ESP_OK;                          \
    }

STEP(sr_migration_check_encryption)
STEP(sr_migration_keep)
STEP(sr_migration_adopt_layout)
STEP(sr_migration_check_kept)
STEP(sr_migration_check_start)
STEP(sr_migration_check_read_only)
STEP(sr_migration_check_first_encryption)
STEP(sr_migration_find_recovery)
STEP(sr_migration_reserve_mark)

esp_err_t __real_sr_migration_find_relocation(sr_migration_t *of);
esp_err_t __wrap_sr_migration_find_relocation(sr_migration_t *of);
esp_err_t __wrap_sr_migration_find_relocation(sr_migration_t *of)
{
    const turn_t turn = turn_of("sr_migration_find_relocation");
    of->choice.overwrite.size = overwritten;
    return turn == TURN_REAL ? __real_sr_migration_find_relocation(of) : turn == TURN_FAILS ? FAILURE : ESP_OK;
}

/* Real, as the new table is read with it. */
esp_err_t __real_sr_decoder_open(sr_decoder_t *decoder, const sr_bundle_t *bundle, sr_source_t *source);
esp_err_t __wrap_sr_decoder_open(sr_decoder_t *decoder, const sr_bundle_t *bundle, sr_source_t *source);
esp_err_t __wrap_sr_decoder_open(sr_decoder_t *decoder, const sr_bundle_t *bundle, sr_source_t *source)
{
    return turn_of("sr_decoder_open") == TURN_FAILS ? FAILURE : __real_sr_decoder_open(decoder, bundle, source);
}

void __wrap_sr_migration_end_keeping(sr_migration_t *of);
void __wrap_sr_migration_end_keeping(sr_migration_t *of)
{
    (void)of;
    (void)turn_of("sr_migration_end_keeping");
}

/** What the checks of the result were asked, and what they say. */
static struct {
    sr_preflight_chip_t verdict;
    uint32_t skip;
    bool app_follows, app_alone;
    bool signatures_app_follows, signatures_app_alone;
    uint32_t failed; /**< 0: nothing. */
    sr_preflight_start_t start;
} result;

esp_err_t __wrap_sr_preflight_chip_check(const sr_preflight_chip_t *verdict, uint32_t skip, bool app_follows,
                                         bool app_alone, uint32_t *failed, char *text, size_t text_size);
esp_err_t __wrap_sr_preflight_chip_check(const sr_preflight_chip_t *verdict, uint32_t skip, bool app_follows,
                                         bool app_alone, uint32_t *failed, char *text, size_t text_size)
{
    result.verdict = *verdict;
    result.skip = skip;
    result.app_follows = app_follows;
    result.app_alone = app_alone;
    if (result.failed != 0) {
        *failed = result.failed;
        (void)snprintf(text, text_size, "check %u", (unsigned)result.failed);
    }
    *verdict->start = result.start;
    migration->input.target_err = unreadable;
    return turn_of("sr_preflight_chip_check") == TURN_FAILS ? FAILURE : ESP_OK;
}

bool __wrap_sr_preflight_chip_check_signatures(const sr_preflight_chip_t *verdict, bool app_follows, bool app_alone,
                                               char *text, size_t text_size);
bool __wrap_sr_preflight_chip_check_signatures(const sr_preflight_chip_t *verdict, bool app_follows, bool app_alone,
                                               char *text, size_t text_size)
{
    result.signatures_app_follows = app_follows;
    result.signatures_app_alone = app_alone;
    assert_ptr_equal(verdict->system, &migration->system);
    (void)snprintf(text, text_size, "signed by nobody");
    return turn_of("sr_preflight_chip_check_signatures") != TURN_FAILS;
}

static bool stages; /**< What moves finds room. */
static sr_migration_room_t room;

bool __wrap_sr_migration_stages_beside(sr_migration_t *of, uint32_t address, sr_migration_room_t *out);
bool __wrap_sr_migration_stages_beside(sr_migration_t *of, uint32_t address, sr_migration_room_t *out)
{
    (void)turn_of("sr_migration_stages_beside");
    assert_int_equal(address, of->plan->relocate_to);
    *out = room;
    return stages;
}

static uint32_t claim_needs;
static uint16_t claim_owned;

void __wrap_sr_map_claim_block(sr_map_t *map, const sr_map_reach_t *reach, uint32_t record_sectors, uint16_t owned);
void __wrap_sr_map_claim_block(sr_map_t *map, const sr_map_reach_t *reach, uint32_t record_sectors, uint16_t owned)
{
    (void)map;
    assert_non_null(reach->end);
    claim_needs = record_sectors;
    claim_owned = owned;
    (void)turn_of("sr_map_claim_block");
}

static bool visits_fail;

esp_err_t __real_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context)
{
    return visits_fail ? FAILURE : __real_sr_partition_visit(visit, context);
}

static uint32_t failing_read; /**< Number of the read that fails; 0: none. */

esp_err_t __real_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    return failing_read > 0 && --failing_read == 0 ? FAILURE : __real_sr_flash_read(flash, address, out, length);
}

/* The chip. */

static const sr_partition_table_entry_t plain_entries[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, STEPS_ROOM, SMALL_NVS_SIZE, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, SMALL_OTADATA, 2 * SECTOR, 0, "otadata"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SMALL_SLOTS, SMALL_SLOT_SIZE, 0, "ota_0"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SMALL_SLOTS + SMALL_SLOT_SIZE, SMALL_SLOT_SIZE, 0, "ota_1"},
};

/* NVS moves, and table, otadata and an app come from the bundle. */
static void open_with(const sr_partition_table_entry_t *entries, unsigned count, uint32_t table_offset)
{
    static const sr_bundle_move_t moves[] = {{.label = "nvs", .destination = {STEPS_ROOM, SMALL_NVS_SIZE}}};
    steps_flash(&steps);
    small_app("2", new_app);
    memset(new_table, 0xFF, sizeof(new_table));
    assert_int_equal(image_write_partition_table(entries, count, new_table), IMAGE_WRITE_OK);
    if (has_row_after_digest) {
        memcpy(new_table + (count + 1) * ROW, new_table, ROW);
        sr_bytes_put_le32(new_table + (count + 1) * ROW + 4, 4 * SECTOR);
    }
    memset(new_otadata, 0xFF, sizeof(new_otadata));
    sr_otadata_encode(2, SR_OTA_VALID, new_otadata);
    const bundle_region_t regions[] = {
        {.place = {TABLE, SECTOR}, .data = new_table, .length = SECTOR},
        {.place = {SMALL_OTADATA, 2 * SECTOR}, .data = new_otadata, .length = 2 * SECTOR},
        {.place = {small_slot(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    const bundle_spec_t spec = {
        .partition_table_offset = table_offset, .regions = regions, .region_count = 3, .moves = moves, .move_count = 1};
    steps_open(&steps, spec);
    assert_int_equal(migration->scan.moves.count, 1);
    steps.plan.relocate_to = UINT32_MAX;
}

static int open_chip(void **state)
{
    (void)state;
    is_real = visits_fail = false;
    failing = marks_at = clears_at = NULL;
    overwritten = failing_read = 0;
    unreadable = ESP_OK;
    stages = true;
    memset(&result, 0, sizeof(result));
    open_with(plain_entries, 4, TABLE);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    steps_close(&steps);
    return 0;
}

static void reopen(const sr_partition_table_entry_t *entries, unsigned count, uint32_t table_offset)
{
    steps_close(&steps);
    open_with(entries, count, table_offset);
}

static esp_err_t check(void)
{
    trace[0] = '\0';
    sr_decoder_close(&migration->input.decoder);
    return sr_migration_check(migration);
}

/* Order and errors. */

/** In their order, all of them. */
static const char *const all[] = {"sr_migration_check_encryption",
                                  "sr_decoder_open",
                                  "sr_migration_keep",
                                  "sr_migration_adopt_layout",
                                  "sr_migration_check_kept",
                                  "sr_migration_find_relocation",
                                  "sr_migration_check_start",
                                  "sr_migration_check_read_only",
                                  "sr_preflight_chip_check",
                                  "sr_migration_check_first_encryption",
                                  "sr_preflight_chip_check_signatures",
                                  "sr_migration_find_recovery",
                                  "sr_migration_reserve_mark",
                                  "sr_map_claim_block",
                                  "sr_migration_stages_beside",
                                  "sr_migration_end_keeping"};
#define STEPS (sizeof(all) / sizeof(all[0]))

/* Up to a step, and then the end, which comes in any case. */
static void expect_trace(const char *last, const char *without)
{
    char expected[sizeof(trace)] = "";
    bool goes_on = true;
    for (size_t i = 0; i < STEPS; i++) {
        if ((goes_on && strstr(without, all[i]) == NULL) || i == STEPS - 1) {
            strcat(strcat(expected, all[i]), " ");
        }
        goes_on = goes_on && strcmp(all[i], last) != 0;
    }
    assert_string_equal(trace, expected);
}

static void each_step_comes_in_its_turn_and_its_error_ends_it(void **state)
{
    (void)state;
    result.start.encrypts = true;
    assert_int_equal(check(), ESP_OK);
    expect_trace("", "");
    for (size_t i = 0; i < 13; i++) {
        failing = all[i];
        if (i == 10) {
            assert_int_equal(check(), ESP_ERR_SELF_REFLASHER_REFUSED);
            assert_int_equal(steps.plan.refusal, ESP_SELF_REFLASHER_REFUSED_SECURITY);
            assert_string_equal(steps.plan.refusal_text, "signed by nobody");
        } else {
            assert_int_equal(check(), FAILURE);
        }
        expect_trace(all[i], "");
    }
    failing = NULL;
    visits_fail = true; /* Then it is not known what lies in the block. */
    assert_int_equal(check(), FAILURE);
    expect_trace("sr_migration_reserve_mark", "");
}

static void steps_that_are_not_due_are_left_out(void **state)
{
    (void)state;
    assert_int_equal(check(), ESP_OK);
    expect_trace("", "sr_migration_check_first_encryption");

    migration->run.journal.header.guarded = true; /* The table must not go with the block. */
    result.start.encrypts = true;
    assert_int_equal(check(), ESP_OK);
    expect_trace("", "sr_map_claim_block");
    migration->run.journal.header.guarded = false;

    for (overwritten = 1; overwritten <= SECTOR; overwritten += SECTOR - 1) {
        assert_int_equal(check(), ESP_OK);
        expect_trace("sr_migration_reserve_mark", "sr_migration_find_recovery");
    }
    overwritten = 0;

    clears_at = "sr_migration_find_relocation"; /* All that is left may stay as it is. */
    assert_int_equal(check(), ESP_OK);
    expect_trace("sr_migration_check_start", "");
    assert_int_equal(steps.plan.sectors_to_write, 0);
    clears_at = NULL;
    assert_int_equal(check(), ESP_OK); /* Nothing is wrong any more. */
    assert_string_equal(trace, "");

    sr_map_mark(&migration->scan.map, (sr_region_t){TABLE, SECTOR}, SR_MAP_WRONG);
    migration->scan.moves.count = 0;
    result.start.encrypts = false;
    assert_int_equal(check(), ESP_OK); /* One sector is enough. */
    expect_trace("", "sr_migration_check_first_encryption sr_migration_stages_beside");
    migration->scan.moves.count = 1;

    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_WRONG);
    sr_map_mark(&migration->scan.map, (sr_region_t){small_slot(1), SECTOR}, SR_MAP_WRONG);
    assert_int_equal(check(), ESP_OK); /* Nothing of the boot path. */
    expect_trace("", "sr_migration_check_first_encryption sr_map_claim_block");
}

/* What does not come from the bundle. */
static void what_steps_find_counts_in_the_plan(void **state)
{
    (void)state;
    assert_int_equal(check(), ESP_OK);
    const uint32_t sectors = steps.plan.sectors_to_write;
    static const char *const finders[] = {"sr_migration_find_relocation", "sr_migration_check_start",
                                          "sr_map_claim_block"};
    for (size_t i = 0; i < sizeof(finders) / sizeof(finders[0]); i++) {
        marks_at = finders[i];
        marked = STORAGE + (uint32_t)i * SECTOR;
        assert_int_equal(check(), ESP_OK);
        assert_int_equal(steps.plan.sectors_to_write, sectors + i + 1);
    }
    marks_at = NULL;
    marked = STORAGE + 8 * SECTOR; /* Also if it is refused right after that. */
    sr_map_mark(&migration->scan.map, (sr_region_t){marked, SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG);
    failing = all[0];
    assert_int_equal(check(), FAILURE);
    assert_int_equal(steps.plan.sectors_to_write, sectors + 4);
}

/* The plan. */

static void plan_tells_what_is_right_and_what_is_not(void **state)
{
    (void)state;
    failing = all[0];
    (void)check();
    const esp_self_reflasher_plan_t all_of_it = steps.plan;
    assert_int_equal(all_of_it.sectors_total, 1 + 2 + 3 + 4);
    assert_int_equal(all_of_it.sectors_to_write, 1 + 1 + 3 + 4); /* The second sector of otadata is blank already. */
    assert_int_equal(all_of_it.sectors_right, 1);
    assert_int_equal(all_of_it.sectors_boot_path, 2);
    assert_int_equal(all_of_it.sectors_moved, 4);
    assert_true(all_of_it.flash_ms_maximum > all_of_it.flash_ms_typical);
    assert_true(all_of_it.flash_ms_typical > all_of_it.window_ms_typical);
    assert_true(all_of_it.window_ms_maximum > all_of_it.window_ms_typical);
    assert_true(all_of_it.window_ms_typical > 0);
    migration->choice.left_out = 3;
    migration->scan.settled = 5;
    (void)check();
    assert_int_equal(steps.plan.sectors_total, 10 + 3 + 5);
    assert_int_equal(steps.plan.sectors_right, 1 + 5);
    assert_int_equal(steps.plan.sectors_to_write, 9);
}

static void installed_is_what_nothing_is_missing_of(void **state)
{
    (void)state;
    failing = all[0];
    (void)check();
    assert_false(steps.plan.installed);
    migration->scan.installed = true;
    (void)check();
    assert_true(steps.plan.installed);
    migration->scan.installed = false;
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_WRONG);
    assert_int_equal(check(), ESP_OK);
    assert_true(steps.plan.installed);
    sr_map_mark(&migration->scan.map, (sr_region_t){TABLE, SECTOR}, SR_MAP_WRONG);
    assert_int_equal(check(), FAILURE);
    assert_false(steps.plan.installed);
}

/* One sector of it in the way is enough. */
static void app_has_to_move_if_a_sector_of_it_is_wrong(void **state)
{
    (void)state;
    failing = all[0];
    (void)check();
    assert_false(steps.plan.must_relocate);
    sr_map_mark(&migration->scan.map, (sr_region_t){small_slot(0) + 2 * SECTOR, SECTOR}, SR_MAP_TARGET | SR_MAP_WRONG);
    (void)check();
    assert_true(steps.plan.must_relocate);
}

static void plan_names_the_place_of_the_last_step(void **state)
{
    (void)state;
    failing = all[0];
    (void)check();
    const uint32_t place = steps.plan.staging_address;
    assert_in_range(place, STEPS_ROOM + SMALL_NVS_SIZE, SMALL_FLASH_SIZE - SECTOR);
    migration->choice.overwrite_from = 0x12000; /* Where an app is overwritten in place, it waits elsewhere. */
    migration->choice.overwrite.size = 1;
    (void)check();
    assert_int_equal(steps.plan.staging_address, 0x12000);
    migration->choice.overwrite.size = 0;
    (void)check();
    assert_int_equal(steps.plan.staging_address, place);

    /* What moves is staged, even if there is nothing left to do. */
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, SR_MAP_WRONG);
    (void)check();
    assert_int_equal(steps.plan.staging_address, place);
    migration->scan.moves.count = 0;
    (void)check();
    assert_int_equal(steps.plan.staging_address, UINT32_MAX);
    sr_map_mark(&migration->scan.map, (sr_region_t){TABLE, SECTOR}, SR_MAP_WRONG); /* One sector with content. */
    (void)check();
    assert_int_equal(steps.plan.staging_address, place);
    migration->scan.moves.count = 1;
}

/* With what was fetched until the app moved, after which all of that is gone. */
static void plan_tells_what_travels(void **state)
{
    (void)state;
    const esp_http_client_config_t http = {.url = "http://nobody"};
    const sr_relocation_method_t stays = {.restarts = false}, restarts = {.restarts = true};
    const uint32_t manifest = migration->input.manifest.bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    uint32_t chunks = 0;
    for (uint32_t i = 0; i < migration->input.manifest.bundle.chunk_count; i++) {
        chunks += sr_bundle_chunk(&migration->input.manifest.bundle, i).length;
    }
    failing = all[0];
    migration->input.source.downloaded = 500;
    migration->input.kept_for_checks = 1000;
    (void)check();
    assert_int_equal(steps.plan.bytes_to_download, 0);
    steps.config.http_config = &http;
    (void)check();
    assert_int_equal(steps.plan.bytes_to_download, manifest + chunks + 1000);
    migration->choice.relocation.method = &stays;
    (void)check();
    assert_int_equal(steps.plan.bytes_to_download, manifest + chunks + 1000);
    migration->choice.relocation.method = &restarts;
    (void)check();
    assert_int_equal(steps.plan.bytes_to_download, manifest + chunks + 1500);
    migration->choice.relocation.method = NULL;
    migration->input.kept_for_checks = 0;
    migration->input.source.downloaded = 0;
}

/* What the record needs, and whose the sectors of the block are: by today's table or by the new one. */
static void block_is_claimed_with_its_owners_and_the_size_of_the_record(void **state)
{
    (void)state;
    const uint32_t manifest = migration->input.manifest.bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    const uint32_t staged = 1 + 1; /* Table and otadata; NVS moves straight to its place. */
    assert_int_equal(check(), ESP_OK);
    assert_int_equal(claim_needs, SR_RECORD_OVERHEAD + sr_record_manifest_sectors(manifest) + staged);
    assert_int_equal(claim_owned, 0x7E00); /* NVS from 0x9000 on, otadata up to 0xF000. */

    sr_partition_table_entry_t entries[6] = {{SR_PARTITION_TYPE_DATA, 0x82, 0, SECTOR, 0, "first"}};
    memcpy(entries + 1, plain_entries, sizeof(plain_entries));
    entries[5] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, 0xF000, 2 * SECTOR, 0, "last"};
    reopen(entries, 6, TABLE);
    assert_int_equal(check(), ESP_OK);
    assert_int_equal(claim_owned, 0xFE01);

    has_row_after_digest = true;
    reopen(entries, 6, TABLE);
    assert_int_equal(check(), ESP_OK);
    assert_int_equal(claim_owned, 0xFE01);
    has_row_after_digest = false;

    reopen(entries, 6, SR_BUNDLE_NO_TABLE); /* What looks like one is none. */
    assert_int_equal(check(), ESP_OK);
    assert_int_equal(claim_owned, 0x7E00);
}

static void data_without_room_to_be_staged_does_not_move(void **state)
{
    (void)state;
    static const struct {
        uint32_t needed, longest, missing;
    } rows[] = {{0x5000, 0x1000, 0x4000}, {0x5001, 0x5000, 1}, {0x5000, 0x5000, 0}, {0x4FFF, 0x5000, 0}};
    stages = false;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        room = (sr_migration_room_t){rows[i].needed, {0x40000, rows[i].longest}};
        steps.plan.bytes_missing = 77;
        assert_int_equal(check(), ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(steps.plan.refusal, ESP_SELF_REFLASHER_REFUSED_MOVE);
        assert_int_equal(steps.plan.bytes_missing, rows[i].missing);
    }
}

/* The embedded bundle. */

static void bundle_is_not_overwritten_where_it_lies(void **state)
{
    (void)state;
    const uint32_t at = STORAGE + 8 * SECTOR;
    const struct {
        uint32_t address;
        size_t size;
        uint32_t wrong;
        bool refused;
    } rows[] = {
        {at, SECTOR, at - SECTOR, false},        {at, SECTOR, at, true},
        {at, SECTOR, at + SECTOR, false},        {at, SECTOR + 1, at + SECTOR, true},
        {at + 0x800, SECTOR, at, true},          {at + 0x800, SECTOR, at + SECTOR, true},
        {at + 0x801, 0x7FF, at + SECTOR, false}, {at + 0x801, 0x800, at + SECTOR, true},
        {at + SECTOR - 1, 2, at, true},          {at + SECTOR - 1, 1, at, true},
        {at + SECTOR, SECTOR, at, false},
    };
    const esp_http_client_config_t http = {.url = "http://nobody"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const sr_region_t sector = {rows[i].wrong, SECTOR};
        steps.config.embedded = (addr_region_t){rows[i].address, rows[i].size};
        sr_map_mark(&migration->scan.map, sector, SR_MAP_TARGET | SR_MAP_WRONG);
        assert_int_equal(check(), rows[i].refused ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK);
        assert_true(!rows[i].refused || steps.plan.refusal == ESP_SELF_REFLASHER_REFUSED_SOURCE);
        steps.config.http_config = &http; /* Then the region means nothing. */
        assert_int_equal(check(), ESP_OK);
        steps.config.http_config = NULL;
        sr_map_mark(&migration->scan.map, sector, SR_MAP_RUNNING_APP); /* It moves with the app. */
        assert_int_equal(check(), ESP_OK);
        sr_map_clear(&migration->scan.map, sector, UINT16_MAX);
        sr_map_mark(&migration->scan.map, sector, SR_MAP_TARGET | SR_MAP_RUNNING_APP);
        assert_int_equal(check(), ESP_OK);
        sr_map_clear(&migration->scan.map, sector, UINT16_MAX);
    }
}

/* Rollback. */

static void put_otadata(uint32_t first, uint32_t first_state, uint32_t second, uint32_t second_state)
{
    uint8_t *otadata = nor_flash_bytes(steps.flash) + SMALL_OTADATA;
    memset(otadata, 0xFF, 2 * SECTOR);
    sr_otadata_encode(first, first_state, otadata);
    if (second != 0) {
        sr_otadata_encode(second, second_state, otadata + SECTOR);
    }
}

/* Only the entry that counts, and only if it is that of the app that runs. */
static void app_that_is_not_confirmed_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t first, first_state, second, second_state;
        bool refused;
    } rows[] = {
        {1, SR_OTA_VALID, 0, 0, false},
        {1, SR_OTA_PENDING_VERIFY, 0, 0, true},
        {2, SR_OTA_PENDING_VERIFY, 0, 0, false}, /* Of the other slot. */
        {1, SR_OTA_PENDING_VERIFY, 3, SR_OTA_VALID, false},
        {1, SR_OTA_VALID, 3, SR_OTA_PENDING_VERIFY, true},
        {1, SR_OTA_PENDING_VERIFY, 2, SR_OTA_VALID, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_otadata(rows[i].first, rows[i].first_state, rows[i].second, rows[i].second_state);
        steps.config.skip_checks = 0;
        assert_int_equal(check(), rows[i].refused ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK);
        assert_true(!rows[i].refused || steps.plan.refusal == ESP_SELF_REFLASHER_REFUSED_ROLLBACK);
        steps.config.skip_checks = ESP_SELF_REFLASHER_CHECK_ROLLBACK;
        assert_int_equal(check(), ESP_OK);
    }
    put_otadata(1, SR_OTA_PENDING_VERIFY, 0, 0);
    for (uint32_t read = 1; read <= 3; read++) { /* Of table and otadata. */
        failing_read = read;
        steps.config.skip_checks = 0;
        assert_int_equal(check(), FAILURE);
    }
    nor_flash_bytes(steps.flash)[TABLE] ^= 0xFF; /* Without a table nothing is rolled back. */
    assert_int_equal(check(), ESP_OK);
}

/* The result. */

static void what_is_wrong_with_the_result_is_told(void **state)
{
    (void)state;
    static const struct {
        uint32_t check;
        esp_self_reflasher_refusal_t refusal;
    } rows[] = {
        {SR_PREFLIGHT_BOOTLOADER, ESP_SELF_REFLASHER_REFUSED_BOOTLOADER},
        {SR_PREFLIGHT_FLASH_SIZE, ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE},
        {SR_PREFLIGHT_FLASH_MODE, ESP_SELF_REFLASHER_REFUSED_FLASH_MODE},
        {SR_PREFLIGHT_REVISION, ESP_SELF_REFLASHER_REFUSED_REVISION},
        {SR_PREFLIGHT_TABLE, ESP_SELF_REFLASHER_REFUSED_TABLE},
        {SR_PREFLIGHT_VERSION, ESP_SELF_REFLASHER_REFUSED_SECURITY},
        {SR_PREFLIGHT_APP, ESP_SELF_REFLASHER_REFUSED_APP},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[16];
        result.failed = rows[i].check;
        (void)snprintf(text, sizeof(text), "check %u", (unsigned)rows[i].check);
        assert_int_equal(check(), ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(steps.plan.refusal, rows[i].refusal);
        assert_string_equal(steps.plan.refusal_text, text);
    }
    failing = "sr_preflight_chip_check"; /* An error is none of the bundle's. */
    assert_int_equal(check(), FAILURE);
}

static void result_that_cannot_be_read_is_no_refusal(void **state)
{
    (void)state;
    unreadable = ESP_ERR_TIMEOUT;
    for (unsigned i = 0; i < 2; i++) {
        result.failed = i == 0 ? SR_PREFLIGHT_APP : 0;
        steps.plan.refusal = ESP_SELF_REFLASHER_REFUSED_APP;
        assert_int_equal(check(), ESP_ERR_TIMEOUT);
        assert_int_equal(steps.plan.refusal, ESP_SELF_REFLASHER_REFUSED_NOT);
        assert_string_equal(steps.plan.refusal_text, "");
    }
    const esp_http_client_config_t http = {.url = "http://nobody"};
    steps.config.http_config = &http;
    assert_int_equal(sr_migration_check_app(migration), ESP_ERR_TIMEOUT);
}

/* From a server the app follows: only what else there is can be looked at before. */
static void app_from_a_server_is_read_as_a_whole_before_the_commit(void **state)
{
    (void)state;
    const esp_http_client_config_t http = {.url = "http://nobody"};
    const uint32_t others = ~(uint32_t)ESP_SELF_REFLASHER_CHECK_APP;
    steps.config.skip_checks = ESP_SELF_REFLASHER_CHECK_REVISION;
    result.start.app = 0x12340000;
    assert_int_equal(check(), ESP_OK);
    assert_int_equal(result.skip, ESP_SELF_REFLASHER_CHECK_REVISION);
    assert_false(result.app_follows || result.app_alone || result.signatures_app_follows);
    assert_int_equal(steps.plan.app_address, 0x12340000);
    trace[0] = '\0';
    assert_int_equal(sr_migration_check_app(migration), ESP_OK);
    assert_string_equal(trace, "");

    steps.config.http_config = &http;
    assert_int_equal(check(), ESP_OK);
    assert_true(result.app_follows && result.signatures_app_follows);
    assert_false(result.app_alone || result.signatures_app_alone);
    assert_int_equal(sr_migration_check_app(migration), ESP_OK);
    assert_true(result.app_alone && result.signatures_app_alone);
    assert_false(result.app_follows || result.signatures_app_follows);
    assert_int_equal(result.skip, others | ESP_SELF_REFLASHER_CHECK_REVISION);

    failing = "sr_preflight_chip_check";
    assert_int_equal(sr_migration_check_app(migration), FAILURE);
    failing = "sr_preflight_chip_check_signatures";
    assert_int_equal(sr_migration_check_app(migration), ESP_ERR_SELF_REFLASHER_REFUSED);
    failing = NULL;
    result.failed = SR_PREFLIGHT_APP;
    trace[0] = '\0';
    assert_int_equal(sr_migration_check_app(migration), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_string_equal(trace, "sr_preflight_chip_check ");
}

/* A sector of content is enough, and what is beside it does not count. */
static void partition_is_brought_with_a_sector_of_content(void **state)
{
    (void)state;
    assert_int_equal(check(), ESP_OK);
    bool (*const brings)(void *, sr_region_t) = result.verdict.brings;
    assert_non_null(brings);
    const struct {
        sr_map_flags_t flags;
        bool brought;
    } rows[] = {{SR_MAP_TARGET | SR_MAP_CONTENT, true},
                {SR_MAP_TARGET, false},
                {SR_MAP_CONTENT, false}, /* It moves there. */
                {SR_MAP_WRONG | SR_MAP_BLANK, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const sr_region_t sector = {STORAGE + SECTOR, SECTOR};
        const uint32_t end = SMALL_FLASH_SIZE - SECTOR;
        sr_map_mark(&migration->scan.map, sector, rows[i].flags);
        sr_map_mark(&migration->scan.map, (sr_region_t){end, SECTOR}, rows[i].flags);
        assert_int_equal(brings(result.verdict.brings_context, sector), rows[i].brought);
        assert_int_equal(brings(result.verdict.brings_context, (sr_region_t){STORAGE, 2 * SECTOR}), rows[i].brought);
        assert_false(brings(result.verdict.brings_context, (sr_region_t){STORAGE, SECTOR}));
        assert_false(brings(result.verdict.brings_context, (sr_region_t){STORAGE + 2 * SECTOR, SECTOR}));
        assert_int_equal(brings(result.verdict.brings_context, (sr_region_t){end, 0x100000}), rows[i].brought);
        assert_false(brings(result.verdict.brings_context, (sr_region_t){SMALL_FLASH_SIZE, 0x1000}));
        migration->system.flash.size = end;
        assert_false(brings(result.verdict.brings_context, (sr_region_t){end - SECTOR, 2 * SECTOR}));
        migration->system.flash.size = SMALL_FLASH_SIZE;
        sr_map_clear(&migration->scan.map, sector, UINT16_MAX);
        sr_map_clear(&migration->scan.map, (sr_region_t){end, SECTOR}, UINT16_MAX);
    }
    migration->scan.installed = true; /* Then otadata is the new system's. */
    assert_int_equal(check(), ESP_OK);
    assert_null(result.verdict.brings);
    migration->scan.installed = false;
}

/* Otadata that has to select the running app meanwhile must be brought, or that app remains selected. */
static void otadata_that_is_changed_meanwhile_has_to_be_brought(void **state)
{
    (void)state;
    static const struct {
        bool must_stay, moves_to_a_slot, is_new;
        uint32_t otadata;
        bool refused;
    } rows[] = {
        {false, false, true, STORAGE, false},
        {true, false, true, STORAGE, true},
        {false, true, true, STORAGE, true},
        {true, true, true, STORAGE, true},
        {true, true, false, STORAGE, false},
        {true, true, true, STORAGE + SECTOR, false}, /* That is another one. */
        {true, true, true, UINT32_MAX, false},
        {true, true, true, TABLE, true}, /* Of two sectors one is brought. */
        {true, true, true, TABLE - SECTOR, true},
        {true, true, true, SMALL_OTADATA, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const bool same = rows[i].otadata != STORAGE + SECTOR && rows[i].otadata != UINT32_MAX;
        migration->choice.must_stay = rows[i].must_stay;
        steps.plan.relocation =
            rows[i].moves_to_a_slot ? ESP_SELF_REFLASHER_RELOCATION_SLOT : ESP_SELF_REFLASHER_RELOCATION_NONE;
        migration->system.boot_path.otadata.address = same ? rows[i].otadata : STORAGE;
        result.start =
            (sr_preflight_start_t){.app = small_slot(1), .otadata = rows[i].otadata, .is_new = rows[i].is_new};
        assert_int_equal(check(), rows[i].refused ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK);
        assert_true(!rows[i].refused || steps.plan.refusal == ESP_SELF_REFLASHER_REFUSED_APP);
    }
}

/* What the new system has where. */

static const sr_partition_table_entry_t rich_entries[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, STEPS_ROOM, SMALL_NVS_SIZE, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, SMALL_OTADATA, 2 * SECTOR, 0, "otadata"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SMALL_SLOTS, SMALL_SLOT_SIZE, 0, "ota_0"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SMALL_SLOTS + SMALL_SLOT_SIZE, SMALL_SLOT_SIZE,
     SR_PARTITION_FLAG_READ_ONLY, "ota_1"},
    {SR_PARTITION_TYPE_DATA, 0x82, STORAGE, 2 * SECTOR, SR_PARTITION_FLAG_READ_ONLY, "storage"},
    {0x40, 0x82, STORAGE + 2 * SECTOR, SECTOR, 0, "own"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 2, LAST, 0x20000, 0, "ota_2"},
};

#define NEW_FLAGS (SR_MAP_NEW_DATA | SR_MAP_NEW_GAP | SR_MAP_CLOSED_THEN)

static void expect_new_flags(sr_region_t region, sr_map_flags_t expected)
{
    for (uint32_t at = region.address; at < region.address + region.size; at += SECTOR) {
        const unsigned flags = sr_map_at(&migration->scan.map, at) & NEW_FLAGS;
        if (flags != expected) {
            fail_msg("0x%x has 0x%x, should have 0x%x", (unsigned)at, flags, (unsigned)expected);
        }
    }
}

static void fill_map(sr_map_flags_t table_flags)
{
    sr_map_clear(&migration->scan.map, (sr_region_t){0, SMALL_FLASH_SIZE}, UINT16_MAX);
    sr_map_mark(&migration->scan.map, (sr_region_t){TABLE, SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT | table_flags);
    const uint32_t wrong = SMALL_OTADATA; /* There is something to do. */
    sr_map_mark(&migration->scan.map, (sr_region_t){wrong, SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG);
    const uint32_t content[] = {small_slot(0),
                                small_slot(0) + 2 * SECTOR,
                                small_slot(0) + 5 * SECTOR,
                                small_slot(1) + SECTOR,
                                small_slot(1) + SMALL_SLOT_SIZE - SECTOR,
                                small_slot(1) + SMALL_SLOT_SIZE, /* Of nobody. */
                                LAST + 2 * SECTOR};
    for (size_t i = 0; i < sizeof(content) / sizeof(content[0]); i++) {
        sr_map_mark(&migration->scan.map, (sr_region_t){content[i], SECTOR}, SR_MAP_TARGET | SR_MAP_CONTENT);
    }
    failing = "sr_migration_check_kept";
    assert_int_equal(check(), FAILURE);
    assert_true(migration->scan.new_data_is_known);
}

/* What a gap in an app has besides, what is flagged as read-only, and what the chip encrypts. */
static void expect_new_system(sr_map_flags_t gap, sr_map_flags_t read_only, sr_map_flags_t encrypted)
{
    const uint32_t app = small_slot(0);
    const uint32_t other = small_slot(1);
    expect_new_flags((sr_region_t){0, SMALL_OTADATA}, 0);
    expect_new_flags((sr_region_t){SMALL_OTADATA, 2 * SECTOR}, SR_MAP_NEW_DATA | encrypted);
    expect_new_flags((sr_region_t){0xF000, app + SECTOR - 0xF000}, 0);
    expect_new_flags((sr_region_t){app + SECTOR, SECTOR}, SR_MAP_NEW_GAP | gap);
    expect_new_flags((sr_region_t){app + 2 * SECTOR, SECTOR}, 0);
    expect_new_flags((sr_region_t){app + 3 * SECTOR, 2 * SECTOR}, SR_MAP_NEW_GAP | gap);
    expect_new_flags((sr_region_t){app + 5 * SECTOR, 11 * SECTOR}, 0); /* After the last content there is no gap. */
    expect_new_flags((sr_region_t){other, SECTOR}, SR_MAP_NEW_GAP | gap | read_only);
    expect_new_flags((sr_region_t){other + SECTOR, SECTOR}, read_only);
    expect_new_flags((sr_region_t){other + 2 * SECTOR, 13 * SECTOR}, SR_MAP_NEW_GAP | gap | read_only);
    expect_new_flags((sr_region_t){other + 15 * SECTOR, SECTOR}, read_only);
    expect_new_flags((sr_region_t){other + 16 * SECTOR, STORAGE - other - 16 * SECTOR}, 0);
    expect_new_flags((sr_region_t){STORAGE, 2 * SECTOR}, SR_MAP_NEW_DATA | read_only);
    expect_new_flags((sr_region_t){STORAGE + 2 * SECTOR, SECTOR}, SR_MAP_NEW_DATA);
    expect_new_flags((sr_region_t){STORAGE + 3 * SECTOR, STEPS_ROOM - STORAGE - 3 * SECTOR}, 0);
    expect_new_flags((sr_region_t){STEPS_ROOM, SMALL_NVS_SIZE}, SR_MAP_NEW_DATA);
    expect_new_flags((sr_region_t){STEPS_ROOM + SMALL_NVS_SIZE, LAST - STEPS_ROOM - SMALL_NVS_SIZE}, 0);
    expect_new_flags((sr_region_t){LAST, 2 * SECTOR}, SR_MAP_NEW_GAP | gap);
    expect_new_flags((sr_region_t){LAST + 2 * SECTOR, SMALL_FLASH_SIZE - LAST - 2 * SECTOR}, 0);
}

static void map_tells_what_the_new_system_has_where(void **state)
{
    (void)state;
    static const sr_partition_table_t encrypted = {
        .entries = {{SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, SMALL_OTADATA, 2 * SECTOR, 0, "otadata"}},
        .count = 1};
    reopen(rich_entries, 7, TABLE);
    steps.config.skip_checks = ESP_SELF_REFLASHER_CHECK_ROLLBACK;
    fill_map(SR_MAP_WRONG);
    expect_new_system(0, SR_MAP_CLOSED_THEN, 0);

    /* What is erased in an app, or in what the chip encrypts, does not read as blank there. */
    migration->system.flash.encryption = true;
    migration->target.encryption = true;
    migration->target.layout = sr_flash_layout_of(&encrypted, 0);
    fill_map(SR_MAP_WRONG);
    expect_new_system(SR_MAP_CLOSED_THEN, SR_MAP_CLOSED_THEN, SR_MAP_CLOSED_THEN);
    migration->system.flash.encryption = false;
    migration->target.encryption = false;

    /* A table that is there already has flags that count today. */
    memcpy(nor_flash_bytes(steps.flash) + TABLE, new_table, SECTOR);
    fill_map(0);
    expect_new_system(0, 0, 0);
}

static void new_data_is_known_by_a_table_only(void **state)
{
    (void)state;
    failing = "sr_migration_check_kept";
    for (unsigned entries = 0; entries < 3; entries++) {
        reopen(plain_entries, entries, TABLE);
        assert_int_equal(check(), FAILURE);
        assert_int_equal(migration->scan.new_data_is_known, entries > 0);
        assert_true(sr_migration_new_table(migration) != NULL);
        reopen(plain_entries, entries, SR_BUNDLE_NO_TABLE);
        assert_int_equal(check(), FAILURE);
        assert_false(migration->scan.new_data_is_known);
        assert_null(sr_migration_new_table(migration));
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_step_comes_in_its_turn_and_its_error_ends_it),
        TEST(steps_that_are_not_due_are_left_out),
        TEST(what_steps_find_counts_in_the_plan),
        TEST(plan_tells_what_is_right_and_what_is_not),
        TEST(installed_is_what_nothing_is_missing_of),
        TEST(app_has_to_move_if_a_sector_of_it_is_wrong),
        TEST(plan_names_the_place_of_the_last_step),
        TEST(plan_tells_what_travels),
        TEST(block_is_claimed_with_its_owners_and_the_size_of_the_record),
        TEST(data_without_room_to_be_staged_does_not_move),
        TEST(bundle_is_not_overwritten_where_it_lies),
        TEST(app_that_is_not_confirmed_is_refused),
        TEST(what_is_wrong_with_the_result_is_told),
        TEST(result_that_cannot_be_read_is_no_refusal),
        TEST(app_from_a_server_is_read_as_a_whole_before_the_commit),
        TEST(partition_is_brought_with_a_sector_of_content),
        TEST(otadata_that_is_changed_meanwhile_has_to_be_brought),
        TEST(map_tells_what_the_new_system_has_where),
        TEST(new_data_is_known_by_a_table_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
