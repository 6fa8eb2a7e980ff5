// SPDX-License-Identifier: Apache-2.0
/** @file
 * A migration is carried out: which sectors are written, with what, in which order, and what is done before the next
 * step. All that it calls is made up here, and there is no chip. test_steps has the steps on a chip, and their errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bundle/sr_migration_internal.h"
#include "journal/sr_abandon.h"
#include "journal/sr_commit.h"
#include "port/sr_yield.h"
#include "relocate/sr_app_selection.h"
#include "self_reflasher_err.h"

#include "esp_log.h"
#include "test/support/support_trace.h"
#include "test/support/support_error_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR    SR_SECTOR_SIZE
#define SIZE      48u /**< Sectors of which something is known; a test says how many of them are the flash. */
#define CHUNKS    4u
#define CONTENT   (SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG)
#define BLANK     (SR_MAP_TARGET | SR_MAP_WRONG)
#define MOVED     (SR_MAP_CONTENT | SR_MAP_WRONG)
#define BOOT_PATH 3u /**< Sectors of the boot path, as the commit tells. */

static sr_map_flags_t flags[SIZE];
static struct sr_migration_buffers buffers;
static esp_self_reflasher_plan_t plan;
static esp_self_reflasher_bundle_config_t config;
static sr_migration_t migration;

static struct {
    bool blank_is_read[SIZE], wrong[SIZE];
    bool has[CHUNKS + 1]; /**< Of a chunk: what is needed. */
    uint32_t fetch_end;   /**< Of the last sector from the bundle. */
    uint32_t yielded;
    bool data_is_staged, has_place, refuses;
    uint32_t entries;
    unsigned no_memory; /**< So many times the commit has none. */
    esp_err_t execute_err;
    uint32_t live;
    uint32_t put_fails; /**< Number of a sector; 0: none. */
    sr_commit_fetch_t fetch;
    void *fetch_context;
} fake;

static int setup(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    error_line[0] = '\0';
    clear_trace();
    memset(&plan, 0, sizeof(plan));
    memset(flags, 0, sizeof(flags));
    fake.data_is_staged = fake.has_place = true;
    fake.entries = 1;
    migration = (sr_migration_t){
        .config = &config,
        .plan = &plan,
        .buffers = &buffers,
        .input = {.manifest = {.bundle = {.chunk_count = CHUNKS}}},
        .scan = {.map = {.flags = flags, .count = 32, .row = SR_PAGE_SIZE}, .mark_found = SR_NO_ADDRESS},
        .choice = {.mark = {.address = SR_NO_ADDRESS}},
        .run = {.journal = {.address = SR_NO_ADDRESS}},
    };
    return 0;
}

#define STEP(name)                                                                                                     \
    esp_err_t __wrap_sr_migration_##name(sr_migration_t *of);                                                          \
    esp_err_t __wrap_sr_migration_##name(sr_migration_t *of)                                                           \
    {                                                                                                                  \
        assert_ptr_equal(of, &migration);                                                                              \
        note(#name " ");                                                                                               \
        return ESP_OK;                                                                                                 \
    }

STEP(discard_records)
STEP(put_mark)
STEP(check_app)
STEP(stage_data)
STEP(check_moved)
STEP(void_mark)
STEP(clear_mark)
STEP(in_place_stage)

esp_err_t __wrap_sr_migration_rescan(sr_migration_t *of, sr_region_t region);
esp_err_t __wrap_sr_migration_rescan(sr_migration_t *of, sr_region_t region)
{
    assert_ptr_equal(of, &migration);
    note("rescan:%x ", region.address);
    return ESP_OK;
}

esp_err_t __wrap_sr_app_selection_keep(const sr_system_t *system, sr_copy_workspace_t *workspace);
esp_err_t __wrap_sr_app_selection_keep(const sr_system_t *system, sr_copy_workspace_t *workspace)
{
    assert_ptr_equal(system, &migration.system);
    assert_null(workspace);
    note("keep ");
    return ESP_OK;
}

esp_err_t __wrap_sr_migration_list_entries(sr_migration_t *of, bool *data_is_staged);
esp_err_t __wrap_sr_migration_list_entries(sr_migration_t *of, bool *data_is_staged)
{
    of->run.journal.header.count = fake.entries;
    *data_is_staged = fake.data_is_staged;
    note("list ");
    return ESP_OK;
}

esp_err_t __wrap_sr_migration_list_groups(sr_migration_t *of, sr_record_group_t first);
esp_err_t __wrap_sr_migration_list_groups(sr_migration_t *of, sr_record_group_t first)
{
    assert_ptr_equal(of, &migration);
    assert_int_equal(first, SR_RECORD_NEIGHBOURS);
    note("list_groups ");
    return ESP_OK;
}

uint32_t __wrap_sr_migration_find_place(const sr_migration_t *of, uint32_t *sectors);
uint32_t __wrap_sr_migration_find_place(const sr_migration_t *of, uint32_t *sectors)
{
    assert_ptr_equal(sectors, &of->run.journal.header.sectors);
    if (fake.has_place) {
        migration.run.journal.address = 0x20000;
    }
    return fake.has_place ? 0x20000 : SR_NO_ADDRESS;
}

bool __wrap_sr_migration_may_commit(const sr_migration_t *of);
bool __wrap_sr_migration_may_commit(const sr_migration_t *of)
{
    assert_ptr_equal(of, &migration);
    note("ask ");
    return !fake.refuses;
}

esp_err_t __wrap_sr_migration_tell_record(const sr_migration_t *of, esp_err_t err);
esp_err_t __wrap_sr_migration_tell_record(const sr_migration_t *of, esp_err_t err)
{
    assert_ptr_equal(of, &migration);
    return err;
}

esp_err_t __wrap_sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                                  uint8_t *scratch);
esp_err_t __wrap_sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                                  uint8_t *scratch)
{
    assert_ptr_equal(system, &migration.system);
    assert_ptr_equal(recovery, &migration.choice.recovery);
    assert_ptr_equal(writer, &migration.writer);
    assert_ptr_equal(scratch, buffers.scratch);
    note("recovery ");
    return ESP_OK;
}

/* Sectors. */

sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address);
sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address)
{
    const uint32_t sector = address / SECTOR;
    assert_int_equal(address % SECTOR, 0);
    assert_ptr_equal(of, &migration);
    const sr_map_flags_t kind = flags[sector] & (SR_MAP_TARGET | SR_MAP_CONTENT);
    return (sr_moves_wanted_t){.kind = kind == SR_MAP_TARGET    ? SR_MOVES_WANTED_BLANK
                                       : kind == SR_MAP_CONTENT ? SR_MOVES_WANTED_MOVED
                                                                : SR_MOVES_WANTED_CONTENT,
                               .digest_index = sector,
                               .source = (100 + sector) * SECTOR};
}

bool __wrap_sr_migration_group_of(const sr_migration_t *of, uint32_t address, sr_record_group_t *group);
bool __wrap_sr_migration_group_of(const sr_migration_t *of, uint32_t address, sr_record_group_t *group)
{
    assert_ptr_equal(of, &migration);
    *group = SR_RECORD_TABLE;
    return (flags[address / SECTOR] & (SR_MAP_BOOT_PATH | SR_MAP_OLD_DATA)) != 0;
}

esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *of, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *of, uint32_t address, bool *right)
{
    assert_ptr_equal(of, &migration);
    note("v%u ", address / SECTOR);
    *right = !fake.wrong[address / SECTOR];
    return ESP_OK;
}

esp_err_t __wrap_sr_migration_blank_is_read(const sr_migration_t *of, uint32_t address, bool *is_read);
esp_err_t __wrap_sr_migration_blank_is_read(const sr_migration_t *of, uint32_t address, bool *is_read)
{
    assert_ptr_equal(of, &migration);
    *is_read = fake.blank_is_read[address / SECTOR];
    return ESP_OK;
}

esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data);
esp_err_t __wrap_sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data)
{
    static uint8_t sector[SECTOR];
    assert_ptr_equal(decoder, &migration.input.decoder);
    memset(sector, (int)digest_index, sizeof(sector));
    *data = sector;
    fake.fetch_end = fetch_end;
    return ESP_OK;
}

esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    assert_ptr_equal(flash, &migration.system.flash);
    assert_int_equal(length, SECTOR);
    memset(out, (int)(address / SECTOR), length);
    return ESP_OK;
}

/* Number, what it holds, and how much of it is used. */
esp_err_t __wrap_sr_writer_put(sr_writer_t *writer, const sr_writer_sector_t *sector);
esp_err_t __wrap_sr_writer_put(sr_writer_t *writer, const sr_writer_sector_t *sector)
{
    assert_ptr_equal(writer, &migration.writer);
    assert_true(sector->used == 0 || sector->used == SECTOR);
    assert_int_equal(sector->data[0], sector->data[SECTOR - 1]);
    note("%u=%u%s ", sector->address / SECTOR, sector->data[0], sector->used == 0 ? "-" : "");
    writer->failed_address = sector->address;
    return sector->address / SECTOR == fake.put_fails && fake.put_fails != 0 ? ESP_ERR_TIMEOUT : ESP_OK;
}

esp_err_t __wrap_sr_writer_erase_block(sr_writer_t *writer, uint32_t address);
esp_err_t __wrap_sr_writer_erase_block(sr_writer_t *writer, uint32_t address)
{
    assert_ptr_equal(writer, &migration.writer);
    note("block%u ", address / SR_BLOCK_SIZE);
    return ESP_OK;
}

uint32_t __wrap_sr_bundle_chunk_of(const sr_bundle_t *bundle, uint32_t digest_index);
uint32_t __wrap_sr_bundle_chunk_of(const sr_bundle_t *bundle, uint32_t digest_index)
{
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    return digest_index % CHUNKS;
}

sr_bundle_chunk_t __wrap_sr_bundle_chunk(const sr_bundle_t *bundle, uint32_t index);
sr_bundle_chunk_t __wrap_sr_bundle_chunk(const sr_bundle_t *bundle, uint32_t index)
{
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    return (sr_bundle_chunk_t){.offset = 100 * index, .length = 50};
}

bool __wrap_sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, sr_map_flags_t want,
                             sr_map_flags_t without);
bool __wrap_sr_map_chunk_has(const sr_map_t *map, const sr_bundle_t *bundle, uint32_t chunk, sr_map_flags_t want,
                             sr_map_flags_t without)
{
    assert_ptr_equal(map, &migration.scan.map);
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    assert_int_equal(want, SR_MAP_WRONG);
    assert_int_equal(without, SR_MAP_NEEDED);
    assert_true(chunk < CHUNKS);
    return fake.has[chunk];
}

void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    fake.yielded += bytes;
}

void __wrap_sr_migration_tell(sr_migration_t *of, esp_self_reflasher_event_t event);
void __wrap_sr_migration_tell(sr_migration_t *of, esp_self_reflasher_event_t event)
{
    const char *const name = event == ESP_SELF_REFLASHER_EVENT_PREPARE ? "PREPARE" : "COMMIT";
    note("%s:%u/%u ", name, of->run.progress.sectors_done, of->run.progress.sectors_total);
}

/* The commit. */

esp_err_t __wrap_sr_journal_seal(sr_journal_t *journal, sr_writer_t *writer);
esp_err_t __wrap_sr_journal_seal(sr_journal_t *journal, sr_writer_t *writer)
{
    assert_ptr_equal(journal, &migration.run.journal);
    assert_ptr_equal(writer, &migration.writer);
    note("seal ");
    return ESP_OK;
}

esp_err_t __wrap_sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch);
esp_err_t __wrap_sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch)
{
    assert_ptr_equal(journal, &migration.run.journal);
    assert_ptr_equal(writer, &migration.writer);
    assert_ptr_equal(scratch, buffers.scratch);
    note("discard ");
    return ESP_OK;
}

esp_err_t __wrap_sr_journal_read(const sr_journal_t *journal, const sr_record_entry_t *entry, uint32_t index,
                                 uint8_t *data);
esp_err_t __wrap_sr_journal_read(const sr_journal_t *journal, const sr_record_entry_t *entry, uint32_t index,
                                 uint8_t *data)
{
    assert_ptr_equal(journal, &migration.run.journal);
    note("record:%u:%u ", entry->address, index);
    *data = 77;
    return ESP_ERR_INVALID_CRC;
}

esp_err_t __wrap_sr_migration_fetch(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data);
esp_err_t __wrap_sr_migration_fetch(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data)
{
    assert_ptr_equal(context, &migration);
    note("fetch:%u:%u ", entry->address, index);
    *data = 78;
    return ESP_ERR_INVALID_CRC;
}

esp_err_t __wrap_sr_commit_prepare(sr_commit_t *commit);
esp_err_t __wrap_sr_commit_prepare(sr_commit_t *commit)
{
    assert_ptr_equal(commit->journal, &migration.run.journal);
    assert_ptr_equal(commit->flash, &migration.target);
    assert_ptr_equal(commit->scratch, buffers.scratch);
    assert_ptr_equal(commit->readback, buffers.readback);
    fake.fetch = commit->fetch;
    fake.fetch_context = commit->fetch_context;
    note("prepare ");
    return fake.no_memory > 0 && fake.no_memory-- > 0 ? ESP_ERR_NO_MEM : ESP_OK;
}

uint32_t __wrap_sr_commit_boot_path_sectors(const sr_commit_t *commit);
uint32_t __wrap_sr_commit_boot_path_sectors(const sr_commit_t *commit)
{
    (void)commit;
    return BOOT_PATH;
}

esp_err_t __wrap_sr_commit_execute(sr_commit_t *commit);
esp_err_t __wrap_sr_commit_execute(sr_commit_t *commit)
{
    commit->failed_address = 0x9000;
    note("execute ");
    return fake.execute_err;
}

void __wrap_sr_commit_release(sr_commit_t *commit);
void __wrap_sr_commit_release(sr_commit_t *commit)
{
    (void)commit;
    note("release ");
}

esp_err_t __wrap_sr_abandon(const sr_abandon_t *abandon, bool *stuck);
esp_err_t __wrap_sr_abandon(const sr_abandon_t *abandon, bool *stuck)
{
    assert_ptr_equal(abandon->journal, &migration.run.journal);
    assert_ptr_equal(abandon->moves, &migration.scan.moves);
    assert_ptr_equal(abandon->writer, &migration.writer);
    assert_true(abandon->moves_are_known);
    note("abandon:%x ", abandon->failed_address);
    *stuck = false;
    return abandon->cause;
}

esp_err_t __wrap_sr_migration_in_place_execute(sr_migration_t *of, const sr_boot_path_buffer_t *buffer,
                                               sr_copy_workspace_t *workspace);
esp_err_t __wrap_sr_migration_in_place_execute(sr_migration_t *of, const sr_boot_path_buffer_t *buffer,
                                               sr_copy_workspace_t *workspace)
{
    assert_ptr_equal(of, &migration);
    assert_non_null(buffer);
    memset(workspace, 0, sizeof(*workspace));
    note("in_place ");
    return ESP_ERR_NOT_SUPPORTED;
}

/* Memory. */

void __wrap_sr_decoder_drop(sr_decoder_t *decoder);
void __wrap_sr_decoder_drop(sr_decoder_t *decoder)
{
    assert_ptr_equal(decoder, &migration.input.decoder);
    note("drop ");
}

void __wrap_sr_decoder_close(sr_decoder_t *decoder);
void __wrap_sr_decoder_close(sr_decoder_t *decoder)
{
    assert_ptr_equal(decoder, &migration.input.decoder);
    note("close ");
}

void __wrap_sr_manifest_free(sr_manifest_t *manifest);
void __wrap_sr_manifest_free(sr_manifest_t *manifest)
{
    assert_ptr_equal(manifest, &migration.input.manifest);
    note("free ");
}

void __wrap_sr_source_close(sr_source_t *source);
void __wrap_sr_source_close(sr_source_t *source)
{
    assert_ptr_equal(source, &migration.input.source);
    note("hang_up ");
}

void *__wrap_heap_caps_malloc(size_t size, uint32_t caps);
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps)
{
    (void)caps;
    fake.live++;
    return fake.no_memory > 0 ? NULL : malloc(size);
}

void __wrap_heap_caps_free(void *memory);
void __wrap_heap_caps_free(void *memory)
{
    fake.live--;
    free(memory);
}

static void expect(esp_err_t err, const char *trace)
{
    assert_int_equal(sr_migration_run(&migration), err);
    if (strcmp(traced, trace) != 0) {
        fail_msg("is\n%s\nshould be\n%s", traced, trace);
    }
    assert_int_equal(fake.live, 0);
    assert_true(err != ESP_OK || error_line[0] == '\0');
}

static void expect_logged(const char *words)
{
    if (strstr(error_line, words) == NULL) {
        fail_msg("'%s' should have '%s'", error_line, words);
    }
}

#define BEGIN      "discard_records put_mark "
#define MIDDLE     "list check_app ask recovery "
#define WITH_SEAL  "stage_data check_moved seal close free hang_up "
#define COMMITTED  "prepare COMMIT:0/3 execute void_mark COMMIT:3/3 release "
#define WITHOUT_IT "check_moved " COMMITTED "clear_mark "

static void each_sector_in_its_turn(void **state)
{
    (void)state;
    flags[0] = flags[31] = CONTENT;
    flags[1] = flags[2] = BLANK;
    fake.blank_is_read[1] = true;
    flags[3] = MOVED;
    flags[4] = CONTENT | SR_MAP_DATA;
    flags[5] = CONTENT | SR_MAP_BOOT_PATH;
    flags[6] = SR_MAP_TARGET | SR_MAP_CONTENT;
    flags[7] = BLANK | SR_MAP_DATA | SR_MAP_BOOT_PATH; /* Otadata. */
    flags[8] = SR_MAP_DATA;
    flags[32] = CONTENT; /* Past the end of the flash. */
    migration.scan.moves.count = 1;
    expect(ESP_OK, BEGIN "0=0 1=255 2=255- PREPARE:3/4 31=31 PREPARE:4/4 list v0 v1 v2 v6 v31 check_app ask recovery "
                         "3=103 PREPARE:1/1 " WITH_SEAL COMMITTED "discard clear_mark ");
    assert_int_equal(plan.staging_address, 0x20000);
    for (uint32_t i = 0; i < 32; i++) { /* What is right now is not wrong any more. */
        const bool wrong = i == 3 || i == 4 || i == 5 || i == 7;
        assert_int_equal((flags[i] & SR_MAP_WRONG) != 0, wrong);
    }
}

/* Data goes to its place before the boot path, and after all that can fail without harm. */
static void data_without_room_goes_straight_to_its_place(void **state)
{
    (void)state;
    for (unsigned place = 0; place < 2; place++) {
        setup(NULL);
        flags[4] = CONTENT | SR_MAP_DATA;
        flags[30] = BLANK | SR_MAP_SOURCE;
        flags[32] = CONTENT | SR_MAP_DATA;
        fake.data_is_staged = false;
        fake.has_place = place != 0;
        expect(ESP_OK, place != 0 ? BEGIN MIDDLE
                           "stage_data 4=4 PREPARE:1/2 30=255- PREPARE:2/2 check_moved seal close free "
                           "hang_up " COMMITTED "discard clear_mark "
                                  : BEGIN MIDDLE "4=4 PREPARE:1/2 30=255- PREPARE:2/2 " WITHOUT_IT);
    }
}

static void flash_may_end_inside_a_block(void **state)
{
    (void)state;
    migration.scan.map.count = 30;
    flags[29] = flags[30] = flags[31] = CONTENT;
    fake.has_place = false;
    expect(ESP_OK, BEGIN "29=29 PREPARE:1/1 list v29 check_app ask recovery " WITHOUT_IT);
}

static void sector_that_cannot_be_written_is_logged(void **state)
{
    (void)state;
    flags[3] = flags[20] = flags[21] = CONTENT;
    fake.put_fails = 20;
    expect(ESP_ERR_TIMEOUT, BEGIN "3=3 PREPARE:1/3 20=20 PREPARE:2/3 ");
    expect_logged("sector 0x14000: ESP_ERR_TIMEOUT");
}

static void whole_block_is_erased_at_once(void **state)
{
    (void)state;
    for (uint32_t i = 16; i < 32; i++) {
        flags[i] = BLANK;
    }
    fake.has_place = false;
    assert_int_equal(sr_migration_run(&migration), ESP_OK);
    assert_ptr_equal(strstr(traced, "block1 16=255- 17=255- "), traced + strlen(BEGIN));
    assert_null(strstr(strstr(traced, "block") + 1, "block"));
    assert_int_equal(fake.yielded, SR_YIELD_BYTES + 16 * SR_YIELD_WRITE); /* The idle task has its turn. */
}

static void chunks_that_are_needed_travel_together(void **state)
{
    (void)state;
    static const struct {
        uint32_t sector;
        bool has[CHUNKS];
        uint32_t end;
    } cases[] = {
        {0, {true, false, true, true}, 50},   {0, {false, true, false, true}, 150},
        {0, {false, true, true, false}, 250}, {0, {false, true, true, true}, 350},
        {1, {true, true, true, false}, 250},  {2, {true, true, true, false}, 250},
        {2, {false, false, true, true}, 350}, {3, {true, true, true, true}, 350},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup(NULL);
        memcpy(fake.has, cases[i].has, sizeof(cases[i].has));
        flags[cases[i].sector] = CONTENT;
        assert_int_equal(sr_migration_run(&migration), ESP_OK);
        assert_int_equal(fake.fetch_end, cases[i].end);
    }
}

/* All but the commit's own sectors, and those that are overwritten in place. */
static void nothing_goes_on_with_a_sector_that_is_wrong(void **state)
{
    (void)state;
    static const uint32_t sectors[] = {0, 5, 31};
    for (unsigned i = 0; i < 3; i++) {
        setup(NULL);
        flags[sectors[i]] = SR_MAP_TARGET;
        flags[32] = SR_MAP_TARGET;
        fake.wrong[sectors[i]] = fake.wrong[32] = true;
        assert_int_equal(sr_migration_run(&migration), ESP_ERR_SELF_REFLASHER_VERIFY);
        assert_null(strstr(traced, "check_app"));
        setup(NULL);
        flags[sectors[i]] = flags[32] = SR_MAP_TARGET;
        fake.wrong[32] = true;
        assert_int_equal(sr_migration_run(&migration), ESP_OK);
    }
}

static void app_that_was_not_selected_is_kept(void **state)
{
    (void)state;
    migration.choice.must_stay = true;
    migration.system.boot_path.otadata = (sr_region_t){0xD000, 0x2000};
    flags[0] = CONTENT;
    fake.has_place = false;
    expect(ESP_OK, BEGIN "keep rescan:d000 0=0 PREPARE:1/1 list v0 check_app ask recovery " WITHOUT_IT);
}

static void data_that_moves_is_never_without_a_record(void **state)
{
    (void)state;
    fake.has_place = false;
    for (migration.scan.moves.count = 1; migration.scan.moves.count < 3; migration.scan.moves.count++) {
        memset(traced, 0, sizeof(traced));
        expect(ESP_ERR_INVALID_STATE, BEGIN MIDDLE);
    }
}

static void without_entries_there_is_no_record(void **state)
{
    (void)state;
    fake.entries = 0;
    fake.refuses = true; /* And nobody is asked. */
    expect(ESP_OK, BEGIN "list check_app recovery " WITHOUT_IT);
    assert_int_equal(plan.staging_address, SR_NO_ADDRESS);
}

/* The commit. */

static void what_is_kept_goes_if_the_commit_has_no_memory(void **state)
{
    (void)state;
    fake.has_place = false;
    fake.no_memory = 1;
    expect(ESP_OK, BEGIN MIDDLE "check_moved prepare release drop " COMMITTED "clear_mark ");
    setup(NULL);
    fake.has_place = false;
    fake.no_memory = 2;
    expect(ESP_ERR_NO_MEM, BEGIN MIDDLE "check_moved prepare release drop prepare release ");
}

static void commit_that_fails_is_given_up(void **state)
{
    (void)state;
    fake.execute_err = ESP_ERR_TIMEOUT;
    expect(ESP_ERR_TIMEOUT, BEGIN MIDDLE WITH_SEAL "prepare COMMIT:0/3 execute COMMIT:0/3 release abandon:9000 ");
    setup(NULL);
    fake.has_place = false;
    fake.execute_err = ESP_ERR_TIMEOUT;
    expect(ESP_ERR_TIMEOUT, BEGIN MIDDLE "check_moved prepare COMMIT:0/3 execute COMMIT:0/3 release ");
    expect_logged("sector 0x9000: ESP_ERR_TIMEOUT");
}

/* From the record, if there is one. */
static void commit_takes_its_data_from_where_it_is(void **state)
{
    (void)state;
    const sr_record_entry_t entry = {.address = 5};
    for (unsigned place = 0; place < 2; place++) {
        uint8_t data = 0;
        setup(NULL);
        fake.has_place = place != 0;
        assert_int_equal(sr_migration_run(&migration), ESP_OK);
        memset(traced, 0, sizeof(traced));
        fake.yielded = 0;
        assert_int_equal(fake.fetch(fake.fetch_context, &entry, 6, &data), ESP_ERR_INVALID_CRC);
        assert_string_equal(traced, place != 0 ? "record:5:6 " : "fetch:5:6 ");
        assert_int_equal(data, place != 0 ? 77 : 78);
        assert_int_equal(fake.yielded, place != 0 ? SECTOR : 0);
    }
}

/* In place. */

static void overwritten_app_comes_last(void **state)
{
    (void)state;
    migration.choice.overwrite = (sr_region_t){16 * SECTOR, 2 * SECTOR};
    flags[4] = CONTENT | SR_MAP_DATA;
    flags[16] = flags[17] = CONTENT | SR_MAP_RUNNING_APP;
    flags[18] = SR_MAP_TARGET | SR_MAP_CONTENT;
    expect(ESP_ERR_NOT_SUPPORTED, BEGIN "list v18 check_app ask in_place_stage list_groups prepare 4=4 PREPARE:1/1 "
                                        "COMMIT:0/5 close free hang_up in_place release ");
    setup(NULL);
    migration.choice.overwrite = (sr_region_t){16 * SECTOR, SECTOR};
    fake.entries = 0;
    fake.refuses = true; /* It is asked for this, too. */
    expect(ESP_ERR_SELF_REFLASHER_NOT_NOW, BEGIN "list check_app ask ");
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_sector_in_its_turn),
        TEST(data_without_room_goes_straight_to_its_place),
        TEST(flash_may_end_inside_a_block),
        TEST(sector_that_cannot_be_written_is_logged),
        TEST(whole_block_is_erased_at_once),
        TEST(chunks_that_are_needed_travel_together),
        TEST(nothing_goes_on_with_a_sector_that_is_wrong),
        TEST(app_that_was_not_selected_is_kept),
        TEST(data_that_moves_is_never_without_a_record),
        TEST(without_entries_there_is_no_record),
        TEST(what_is_kept_goes_if_the_commit_has_no_memory),
        TEST(commit_that_fails_is_given_up),
        TEST(commit_takes_its_data_from_where_it_is),
        TEST(overwritten_app_comes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
