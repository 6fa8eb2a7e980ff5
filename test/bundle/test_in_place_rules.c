// SPDX-License-Identifier: Apache-2.0
/** @file
 * What goes over the running app in place: what is measured, what waits in free flash and is confirmed there, and what
 * the copy is told. All that is asked for it is made up here, and there is no chip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bundle/sr_migration_internal.h"
#include "format/sr_digest.h"
#include "self_reflasher_err.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR   SR_SECTOR_SIZE
#define COUNT    64u /**< Sectors of the flash. */
#define APP      16u
#define OVERHEAD 2u /**< Mark and list of a record. */
#define FREE     40u
#define MOST     16u /**< Sectors that wait. */
#define WRONG    (SR_MAP_RUNNING_APP | SR_MAP_TARGET | SR_MAP_WRONG)
#define CONTENT  (WRONG | SR_MAP_CONTENT)
#define RIGHT    (SR_MAP_RUNNING_APP | SR_MAP_TARGET | SR_MAP_CONTENT)
#define OUTSIDE  SR_MAP_RUNNING_APP /**< Of the app, but not of the bundle. */

static sr_map_flags_t flags[COUNT + 1]; /**< The last one lies past the flash. */
static struct sr_migration_buffers buffers;
static esp_self_reflasher_plan_t plan;
static sr_migration_t migration;

/** What the fakes do and have seen. */
static struct {
    bool needs_mark;
    uint32_t opened_at, puts;
    uint8_t waiting[MOST][SECTOR];
    uint32_t read_fails_at; /**< Address; 0: none does. */
    uint32_t damaged;       /**< Number of the waiting sector that reads as something else, from 1. */
    uint32_t get_fails_at;  /**< Number of a digest, from 1. */
    uint32_t put_fails_at;  /**< From 1. */
    esp_err_t open_err;
    bool no_hash;
    uint32_t confirmed;
    uint32_t told, told_done, told_total;
    uint32_t yielded;
    sr_copy_t copy;
} fake;

static int setup(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    memset(&plan, 0, sizeof(plan));
    memset(flags, 0, sizeof(flags));
    flags[COUNT] = CONTENT;
    migration = (sr_migration_t){
        .plan = &plan,
        .buffers = &buffers,
        .scan = {.map = {.flags = flags, .count = COUNT, .row = SR_PAGE_SIZE}, .mark_found = SR_NO_ADDRESS},
        .choice = {.mark = {.address = SR_NO_ADDRESS}},
    };
    return 0;
}

/* Digest N is that of the sector with this address, filled with a byte of its own. */
static uint8_t content_of(uint32_t sector)
{
    return (uint8_t)(0x80 + sector);
}

static uint8_t today(uint32_t sector)
{
    return (uint8_t)(0x40 + sector);
}

bool __wrap_sr_migration_needs_mark(const sr_migration_t *of);
bool __wrap_sr_migration_needs_mark(const sr_migration_t *of)
{
    assert_ptr_equal(of, &migration);
    return fake.needs_mark;
}

static uint32_t to_the_end(void *context, uint32_t address)
{
    (void)context;
    (void)address;
    return COUNT * SECTOR;
}

sr_map_reach_t __wrap_sr_migration_reach(const sr_migration_t *of);
sr_map_reach_t __wrap_sr_migration_reach(const sr_migration_t *of)
{
    assert_ptr_equal(of, &migration);
    return (sr_map_reach_t){.end = to_the_end};
}

sr_bundle_want_t __wrap_sr_bundle_want(const sr_bundle_t *bundle, uint32_t address, uint32_t *digest_index);
sr_bundle_want_t __wrap_sr_bundle_want(const sr_bundle_t *bundle, uint32_t address, uint32_t *digest_index)
{
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    assert_int_equal(address % SECTOR, 0);
    if ((flags[address / SECTOR] & SR_MAP_CONTENT) != 0) {
        *digest_index = address / SECTOR;
        return SR_BUNDLE_CONTENT;
    }
    return SR_BUNDLE_BLANK;
}

const uint8_t *__wrap_sr_bundle_digest(const sr_bundle_t *bundle, uint32_t index);
const uint8_t *__wrap_sr_bundle_digest(const sr_bundle_t *bundle, uint32_t index)
{
    static uint8_t digest[SR_SHA256_SIZE];
    uint8_t sector[SECTOR];
    const bool no_hash = fake.no_hash;
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    memset(sector, content_of(index), sizeof(sector));
    fake.no_hash = false;
    assert_true(sr_digest(sector, sizeof(sector), digest));
    fake.no_hash = no_hash;
    return digest;
}

bool __real_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    return __real_sr_digest(bytes, length, digest) && !fake.no_hash;
}

esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data);
esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data)
{
    static uint8_t sector[SECTOR];
    assert_ptr_equal(decoder, &migration.input.decoder);
    assert_int_equal(fetch_end, 0);
    memset(sector, content_of(digest_index), sizeof(sector));
    *data = sector;
    return digest_index + 1 == fake.get_fails_at ? ESP_ERR_SELF_REFLASHER_CHUNK : ESP_OK;
}

static uint32_t waiting_from(void)
{
    return migration.choice.overwrite_from + OVERHEAD * SECTOR;
}

esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    assert_ptr_equal(flash, &migration.system.flash);
    assert_int_equal(address % SECTOR, 0);
    assert_int_equal(length, SECTOR);
    memset(out, today(address / SECTOR), SECTOR);
    if (address >= FREE * SECTOR) {
        const uint32_t index = (address - waiting_from()) / SECTOR;
        assert_true(index < fake.puts);
        memcpy(out, fake.waiting[index], SECTOR);
        ((uint8_t *)out)[SECTOR - 1] ^= index + 1 == fake.damaged;
        fake.confirmed++;
    }
    return fake.read_fails_at == address && address != 0 ? ESP_ERR_TIMEOUT : ESP_OK;
}

esp_err_t __wrap_sr_journal_open(sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch);
esp_err_t __wrap_sr_journal_open(sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    assert_ptr_equal(journal->flash, &migration.system.flash);
    assert_ptr_equal(writer, &migration.writer);
    assert_ptr_equal(scratch, buffers.scratch);
    assert_int_equal(journal->header.sectors, migration.choice.overwrite_content / SECTOR);
    fake.opened_at = address;
    journal->address = address;
    return fake.open_err;
}

esp_err_t __wrap_sr_journal_put(const sr_journal_t *journal, sr_writer_t *writer, uint32_t data_index, uint8_t *data);
esp_err_t __wrap_sr_journal_put(const sr_journal_t *journal, sr_writer_t *writer, uint32_t data_index, uint8_t *data)
{
    assert_int_equal(journal->address, migration.choice.overwrite_from);
    assert_ptr_equal(writer, &migration.writer);
    assert_int_equal(data_index, fake.puts);
    assert_true(fake.puts < MOST);
    memcpy(fake.waiting[fake.puts++], data, SECTOR);
    return fake.puts == fake.put_fails_at ? ESP_ERR_SELF_REFLASHER_VERIFY : ESP_OK;
}

void __wrap_sr_migration_tell(sr_migration_t *of, esp_self_reflasher_event_t event);
void __wrap_sr_migration_tell(sr_migration_t *of, esp_self_reflasher_event_t event)
{
    assert_ptr_equal(of, &migration);
    assert_int_equal(event, ESP_SELF_REFLASHER_EVENT_STAGE);
    fake.told++;
    fake.told_done = of->run.progress.sectors_done;
    fake.told_total = of->run.progress.sectors_total;
}

void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    fake.yielded += bytes > 0;
}

esp_err_t __wrap_sr_copy_execute_in_place(sr_copy_t *copy);
esp_err_t __wrap_sr_copy_execute_in_place(sr_copy_t *copy)
{
    fake.copy = *copy;
    return ESP_ERR_NOT_SUPPORTED; /* It only returns if it cannot start. */
}

/* What is measured. */

/** Sectors from `first` on, up to the first that is 0. */
typedef struct app {
    sr_map_flags_t flags[10];
    uint32_t before, length, content; /**< Sectors in front of what changes, of that, and of its content. */
    uint32_t erases, programs;
} app_t;

static const app_t apps[] = {
    {{CONTENT}, 0, 1, 1, 1, 1},
    {{WRONG}, 0, 1, 0, 1, 0}, /* To be blank: nothing waits. */
    {{WRONG | SR_MAP_BLANK | SR_MAP_CONTENT}, 0, 1, 1, 0, 1},
    {{RIGHT, CONTENT, RIGHT}, 1, 1, 1, 1, 1},
    {{CONTENT, RIGHT, CONTENT}, 0, 3, 3, 2, 2},
    {{CONTENT, OUTSIDE, CONTENT}, 0, 3, 3, 2, 2},
    {{WRONG, CONTENT, WRONG, WRONG}, 0, 4, 2, 4, 1},
    {{RIGHT, WRONG, WRONG, RIGHT}, 1, 2, 0, 2, 0},
    {{CONTENT, RIGHT, WRONG}, 0, 3, 2, 2, 1},
    {{CONTENT, SR_MAP_RUNNING_APP | SR_MAP_TARGET, WRONG}, 0, 3, 1, 2, 1}, /* The second one is blank already. */
    {{CONTENT, OUTSIDE, WRONG}, 0, 3, 2, 2, 1},
    {{WRONG, SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_CONTENT, WRONG}, 0, 3, 2, 2, 0}, /* Not of the app that runs. */
};
#define APPS (sizeof(apps) / sizeof(apps[0]))

static void put_app(const app_t *app, uint32_t first)
{
    for (uint32_t i = 0; i < 10 && app->flags[i] != 0; i++) {
        flags[first + i] = app->flags[i];
    }
}

static uint32_t length_of(const app_t *app)
{
    uint32_t length = 0;
    while (length < 10 && app->flags[length] != 0) {
        length++;
    }
    return length;
}

static void set_free(uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        flags[i] = SR_MAP_BLANK;
    }
}

static void expect_plan(const app_t *app, uint32_t first)
{
    const uint32_t sectors = OVERHEAD + app->content + (fake.needs_mark ? 1u : 0u);
    const sr_region_t place = {(first + app->before) * SECTOR, app->length * SECTOR};
    assert_int_equal(sr_migration_in_place_needs(&migration), sectors * SECTOR);
    set_free(FREE - 1 - sectors, sectors - 1); /* Not quite enough. */
    set_free(FREE, sectors);
    sr_migration_in_place_plan(&migration);
    assert_int_equal(migration.choice.overwrite.address, place.address);
    assert_int_equal(migration.choice.overwrite.size, place.size);
    assert_int_equal(migration.choice.overwrite_content, app->content * SECTOR);
    assert_int_equal(migration.choice.overwrite_from, FREE * SECTOR);
    assert_int_equal(migration.choice.mark.address,
                     fake.needs_mark ? (FREE + sectors - 1) * SECTOR : SR_NO_ADDRESS); /* The last of them. */
    assert_int_equal(plan.relocation, ESP_SELF_REFLASHER_RELOCATION_IN_PLACE);
    assert_int_equal(plan.relocation_ms_typical, (app->erases * 450 + app->programs * 64 + 9) / 10);
    assert_int_equal(plan.relocation_ms_maximum, app->erases * 400 + app->programs * 48);
}

static void what_changes_is_measured(void **state)
{
    (void)state;
    for (unsigned i = 0; i < APPS; i++) {
        const uint32_t firsts[] = {0, APP, COUNT - length_of(&apps[i])};
        for (unsigned k = 0; k < 6; k++) {
            setup(NULL);
            fake.needs_mark = k >= 3;
            put_app(&apps[i], firsts[k % 3]);
            if (firsts[k % 3] == APP) {
                flags[APP - 1] = SR_MAP_TARGET | SR_MAP_WRONG; /* Of another partition. */
            }
            expect_plan(&apps[i], firsts[k % 3]);
        }
    }
}

/* What waits. */

static void plan_app(const app_t *app)
{
    put_app(app, APP);
    set_free(FREE, OVERHEAD + app->content + (fake.needs_mark ? 1u : 0u));
    sr_migration_in_place_plan(&migration);
}

static uint8_t wanted(uint32_t sector)
{
    const bool changes = (flags[sector] & SR_MAP_RUNNING_APP) != 0 && (flags[sector] & SR_MAP_WRONG) != 0;
    const bool content = (flags[sector] & SR_MAP_CONTENT) != 0;
    return changes ? content ? content_of(sector) : 0xFF : today(sector);
}

static uint32_t count_content(const app_t *app)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < length_of(app); i++) {
        count += (app->flags[i] & CONTENT) == CONTENT;
    }
    return count;
}

/* All of it, without gaps: also what does not change. What came from the bundle is confirmed. */
static void range_waits_as_it_will_be(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * APPS; i++) {
        const app_t *app = &apps[i / 2];
        setup(NULL);
        fake.needs_mark = i % 2 != 0;
        plan_app(app);
        if (!fake.needs_mark) {
            migration.choice.overwrite_from = 1; /* It is looked for once more. */
        }
        assert_int_equal(sr_migration_in_place_stage(&migration), ESP_OK);
        assert_int_equal(fake.opened_at, FREE * SECTOR);
        assert_int_equal(plan.staging_address, FREE * SECTOR);
        assert_int_equal(fake.puts, app->content);
        for (uint32_t k = 0; k < app->content; k++) {
            assert_int_equal(fake.waiting[k][0], wanted(APP + app->before + k));
            assert_int_equal(fake.waiting[k][SECTOR - 1], wanted(APP + app->before + k));
        }
        assert_int_equal(fake.confirmed, count_content(app));
        assert_int_equal(fake.yielded, app->content + fake.confirmed);
        assert_int_equal(fake.told, 1);
        assert_int_equal(fake.told_done, app->content);
        assert_int_equal(fake.told_total, app->content);
    }
}

static void without_free_flash_nothing_is_opened(void **state)
{
    (void)state;
    plan_app(&apps[4]);
    flags[FREE] = 0;
    assert_int_equal(sr_migration_in_place_stage(&migration), ESP_ERR_INVALID_STATE);
    assert_int_equal(fake.opened_at, 0);
    assert_int_equal(fake.puts, 0);
}

static const app_t mixed = {{CONTENT, RIGHT, WRONG, CONTENT}, 0, 4, 4, 3, 2};

static esp_err_t stage_mixed(void (*prepare)(void))
{
    setup(NULL);
    plan_app(&mixed);
    prepare();
    return sr_migration_in_place_stage(&migration);
}

static void opening_fails(void)
{
    fake.open_err = ESP_ERR_TIMEOUT;
}

static void getting_fails(void)
{
    fake.get_fails_at = APP + 3 + 1;
}

static void reading_fails(void)
{
    fake.read_fails_at = (APP + 1) * SECTOR;
}

static void putting_fails(void)
{
    fake.put_fails_at = 2;
}

static void confirming_fails(void)
{
    fake.read_fails_at = (FREE + OVERHEAD + 3) * SECTOR;
}

static void no_hash(void)
{
    fake.no_hash = true;
}

static void each_error_ends_it(void **state)
{
    (void)state;
    assert_int_equal(stage_mixed(opening_fails), ESP_ERR_TIMEOUT);
    assert_int_equal(fake.puts, 0);
    assert_int_equal(stage_mixed(getting_fails), ESP_ERR_SELF_REFLASHER_CHUNK);
    assert_int_equal(fake.puts, 3);
    assert_int_equal(fake.confirmed, 0);
    assert_int_equal(stage_mixed(reading_fails), ESP_ERR_TIMEOUT);
    assert_int_equal(fake.puts, 1);
    assert_int_equal(stage_mixed(putting_fails), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fake.puts, 2);
    assert_int_equal(fake.confirmed, 0);
    assert_int_equal(stage_mixed(confirming_fails), ESP_ERR_TIMEOUT);
    assert_int_equal(fake.puts, 4);
    assert_int_equal(stage_mixed(no_hash), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fake.confirmed, 1);
}

static void what_differs_when_all_of_it_waits_is_not_used(void **state)
{
    (void)state;
    static const uint32_t damaged[] = {1, 4};
    for (unsigned i = 0; i < 2; i++) {
        setup(NULL);
        plan_app(&mixed);
        fake.damaged = damaged[i];
        assert_int_equal(sr_migration_in_place_stage(&migration), ESP_ERR_SELF_REFLASHER_VERIFY);
        assert_int_equal(fake.confirmed, i + 1);
    }
}

/* What the copy is told. */
static void copy_goes_from_there_over_the_app_and_cleans_up(void **state)
{
    (void)state;
    const app_t *app = &apps[6]; /* Its end is to be blank. */
    static sr_copy_workspace_t workspace;
    const sr_boot_path_buffer_t buffer = {0};
    for (unsigned mark = 0; mark < 2; mark++) {
        setup(NULL);
        fake.needs_mark = mark != 0;
        migration.system.flash.size = COUNT * SECTOR;
        plan_app(app);
        assert_int_equal(sr_migration_in_place_execute(&migration, &buffer, &workspace), ESP_ERR_NOT_SUPPORTED);
        assert_int_equal(fake.copy.flash.size, COUNT * SECTOR);
        assert_int_equal(fake.copy.source, (FREE + OVERHEAD) * SECTOR);
        assert_int_equal(fake.copy.length, 2 * SECTOR);
        assert_int_equal(fake.copy.destination.address, APP * SECTOR);
        assert_int_equal(fake.copy.destination.size, 4 * SECTOR);
        assert_int_equal(fake.copy.leftover.address, FREE * SECTOR);
        assert_int_equal(fake.copy.leftover.size, (OVERHEAD + 2 + mark) * SECTOR);
        assert_ptr_equal(fake.copy.workspace, &workspace);
    }
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_changes_is_measured),
        TEST(range_waits_as_it_will_be),
        TEST(without_free_flash_nothing_is_opened),
        TEST(each_error_ends_it),
        TEST(what_differs_when_all_of_it_waits_is_not_used),
        TEST(copy_goes_from_there_over_the_app_and_cleans_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
