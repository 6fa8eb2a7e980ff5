// SPDX-License-Identifier: Apache-2.0
/** @file
 * The steps of esp_self_reflasher_resume(), each of which is the test's here: their order, what each error leads to,
 * and that all memory is given back. What they do together, test_resume shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "journal/sr_resume.h"

#include "esp_heap_caps.h"
#include "esp_system.h"
#include "flash/sr_flash_size.h"
#include "journal/sr_abandon.h"
#include "journal/sr_commit.h"
#include "journal/sr_verification.h"
#include "test/support/api_support.h"
#include "test/support/support_small.h"

#define SECTOR SR_SECTOR_SIZE
#define FIRST  0x40000u
#define SECOND (FIRST + SECTOR)

/** What the steps say. A letter for each of them: see the functions. */
static struct {
    char trace[64];
    char fails;          /**< This step says ESP_ERR_TIMEOUT, */
    unsigned number;     /**< at this call of it, from 1. */
    uint32_t records[2]; /**< Addresses; 0: none. */
    sr_record_status_t statuses[2];
    bool done, is_over, initial_is_right, stuck, may;
    bool refetches; /**< The commit fetches a sector, and tells what comes of it. */
    jmp_buf restarted;
} steps;

static nor_flash_t *flash;
static esp_self_reflasher_bundle_config_t config;

static esp_err_t step(char letter)
{
    const size_t length = strlen(steps.trace);
    assert_true(length + 1 < sizeof(steps.trace));
    steps.trace[length] = letter;
    return letter == steps.fails && --steps.number == 0 ? ESP_ERR_TIMEOUT : ESP_OK;
}

esp_err_t __wrap_sr_system_read(sr_system_t *system);
esp_err_t __wrap_sr_system_read(sr_system_t *system)
{
    *system = (sr_system_t){.flash = {.size = SMALL_FLASH_SIZE}};
    return step('S');
}

void __wrap_sr_flash_size_extend(sr_flash_t *handle);
void __wrap_sr_flash_size_extend(sr_flash_t *handle)
{
    handle->size *= 2;
    (void)step('X');
}

void __wrap_sr_flash_size_restore(void);
void __wrap_sr_flash_size_restore(void)
{
    (void)step('Z');
}

esp_err_t __wrap_sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t *id);
esp_err_t __wrap_sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t *id)
{
    (void)scratch;
    assert_int_equal(system->flash.size, 2 * SMALL_FLASH_SIZE);
    memset(id, 0x77, SR_SHA256_SIZE);
    return step('A');
}

esp_err_t __wrap_sr_journal_find(sr_journal_t *journal);
esp_err_t __wrap_sr_journal_find(sr_journal_t *journal)
{
    const esp_err_t err = step('F');
    for (unsigned i = 0; i < 2 && err == ESP_OK; i++) {
        if (steps.records[i] != 0 && steps.records[i] >= journal->address) {
            journal->address = steps.records[i];
            return ESP_OK;
        }
    }
    return err != ESP_OK ? err : ESP_ERR_NOT_FOUND;
}

/* Takes memory, as the check does. */
esp_err_t __wrap_sr_verification_check(sr_verification_t *verification, sr_record_status_t *status);
esp_err_t __wrap_sr_verification_check(sr_verification_t *verification, sr_record_status_t *status)
{
    const esp_err_t err = step('V');
    assert_ptr_equal(verification->config, &config);
    assert_int_equal(verification->app_id[0], 0x77);
    verification->journal->digests = heap_caps_malloc(16, MALLOC_CAP_8BIT);
    verification->moves.list = heap_caps_malloc(16, MALLOC_CAP_8BIT);
    verification->target.layout = heap_caps_malloc(16, MALLOC_CAP_8BIT);
    verification->is_over = steps.is_over;
    verification->initial_is_right = steps.initial_is_right;
    verification->moves_are_known = true;
    verification->reason[0] = '\0';
    memset(verification->mark.id, 0x55, sizeof(verification->mark.id));
    *status = steps.statuses[verification->journal->address == SECOND];
    return err;
}

void __wrap_sr_verification_release(sr_verification_t *verification);
void __wrap_sr_verification_release(sr_verification_t *verification)
{
    (void)verification;
    (void)step('R');
}

void __wrap_sr_flash_layout_free(sr_flash_layout_t *layout);
void __wrap_sr_flash_layout_free(sr_flash_layout_t *layout)
{
    heap_caps_free(layout);
}

esp_err_t __wrap_sr_verification_is_done(sr_verification_t *verification, bool *done);
esp_err_t __wrap_sr_verification_is_done(sr_verification_t *verification, bool *done)
{
    assert_non_null(verification->journal->digests);
    *done = steps.done;
    return step('D');
}

static bool may_commit(void *context)
{
    assert_ptr_equal(context, &steps);
    (void)step('Q');
    return steps.may;
}

bool __wrap_sr_system_supply_is_steady(void);
bool __wrap_sr_system_supply_is_steady(void)
{
    (void)step('U');
    return steps.may;
}

esp_err_t __wrap_sr_journal_read(const sr_journal_t *journal, const sr_record_entry_t *entry, uint32_t index,
                                 uint8_t *data);
esp_err_t __wrap_sr_journal_read(const sr_journal_t *journal, const sr_record_entry_t *entry, uint32_t index,
                                 uint8_t *data)
{
    (void)data;
    assert_int_equal(journal->address, FIRST);
    assert_int_equal(entry->address, 4711);
    assert_int_equal(index, 5);
    return step('J');
}

esp_err_t __wrap_sr_commit_prepare(sr_commit_t *commit);
esp_err_t __wrap_sr_commit_prepare(sr_commit_t *commit)
{
    assert_non_null(commit->journal->digests);
    assert_int_equal(commit->flash->size, 2 * SMALL_FLASH_SIZE);
    return step('P');
}

esp_err_t __wrap_sr_commit_execute(sr_commit_t *commit);
esp_err_t __wrap_sr_commit_execute(sr_commit_t *commit)
{
    const sr_record_entry_t entry = {.address = 4711};
    const esp_err_t err = step('E');
    commit->failed_address = 0x9000;
    return steps.refetches ? commit->fetch(commit->fetch_context, &entry, 5, commit->scratch) : err;
}

void __wrap_sr_commit_release(sr_commit_t *commit);
void __wrap_sr_commit_release(sr_commit_t *commit)
{
    (void)commit;
    (void)step('L');
}

esp_err_t __wrap_sr_abandon(const sr_abandon_t *abandon, bool *stuck);
esp_err_t __wrap_sr_abandon(const sr_abandon_t *abandon, bool *stuck)
{
    (void)step('B');
    assert_non_null(abandon->moves->list);
    assert_true(abandon->moves_are_known);
    *stuck = steps.stuck;
    return abandon->cause;
}

/* 'n': void marks, 'm': those of the manifest. */
esp_err_t __wrap_sr_install_mark_remove(const sr_system_t *system, sr_writer_t *writer, const uint8_t *id,
                                        uint8_t *scratch);
esp_err_t __wrap_sr_install_mark_remove(const sr_system_t *system, sr_writer_t *writer, const uint8_t *id,
                                        uint8_t *scratch)
{
    (void)system;
    (void)scratch;
    writer->failed_address = 0xA000;
    assert_true(id[0] == 0 || id[0] == 0x55);
    return step(id[0] == 0 ? 'n' : 'm');
}

esp_err_t __wrap_sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch);
esp_err_t __wrap_sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch)
{
    (void)journal;
    (void)scratch;
    writer->failed_address = 0xB000;
    return step('W');
}

void __wrap_esp_restart(void);
void __wrap_esp_restart(void)
{
    (void)step('!');
    longjmp(steps.restarted, 1);
}

static int setup(void **state)
{
    (void)state;
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    const sim_config_t chip = {.chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = SMALL_SLOTS};
    assert_true(sim_chip_attach(&chip));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_chip_detach();
    nor_flash_delete(flash);
    return 0;
}

/* One record, all of which is believed and left to do. */
static void prepare(void)
{
    memset(&steps, 0, sizeof(steps));
    steps.records[0] = FIRST;
    steps.initial_is_right = true;
    steps.may = true;
    config = (esp_self_reflasher_bundle_config_t){.may_commit = may_commit, .user_ctx = &steps};
}

static void expect(const char *trace, esp_err_t expected, const char *log_has)
{
    static bool stuck; /* It outlives the jump, as does this: */
    volatile esp_err_t err = ESP_OK;
    stuck = !steps.stuck;
    api_log_start();
    if (setjmp(steps.restarted) == 0) {
        err = sr_resume(&config, &stuck);
    }
    char *log = api_log_stop();
    if (strcmp(steps.trace, trace) != 0 || err != expected) {
        fail_msg("%s: 0x%x instead of %s: 0x%x", steps.trace, (unsigned)err, trace, (unsigned)expected);
    }
    if (strstr(log, log_has != NULL ? log_has : "E (") != NULL ? log_has == NULL : log_has != NULL) {
        fail_msg("%s: %s", log_has, log);
    }
    assert_int_equal(strstr(log, "is not believed") != NULL, steps.statuses[0] != SR_RECORD_OK && err == ESP_OK);
    assert_int_equal(stuck, steps.stuck);
    assert_int_equal(sim_counters()->heap_now, 0);
    free(log);
}

static void record_is_finished_and_then_the_chip_restarts(void **state)
{
    (void)state;
    prepare();
    steps.records[0] = 0;
    expect("SXAFZ", ESP_OK, NULL);
    prepare();
    expect("SXAFVRDQPELnmWZ!", ESP_OK, NULL);
    prepare();
    config.may_commit = NULL;
    expect("SXAFVRDUPELnmWZ!", ESP_OK, NULL);
    prepare();
    steps.initial_is_right = false; /* The mark will bring it. */
    expect("SXAFVRDQPELnWZ!", ESP_OK, NULL);
}

/* Nobody is asked about it. */
static void record_of_which_nothing_is_left_is_only_discarded(void **state)
{
    (void)state;
    prepare();
    steps.done = true;
    steps.may = false;
    expect("SXAFVRDnmWZ!", ESP_OK, NULL);
    prepare();
    steps.is_over = true;
    steps.may = false;
    expect("SXAFVRnmWZ!", ESP_OK, NULL);
    prepare();
    steps.done = true;
    steps.fails = 'W';
    steps.number = 1;
    expect("SXAFVRDnmWAFZ", ESP_OK, "staging, sector 0xb000"); /* No reason to restart, and there may be more. */
}

static void record_waits_for_a_steady_supply(void **state)
{
    (void)state;
    prepare();
    steps.may = false;
    expect("SXAFVRDQZ", ESP_ERR_SELF_REFLASHER_NOT_NOW, NULL);
    prepare();
    steps.may = false;
    config.may_commit = NULL;
    expect("SXAFVRDUZ", ESP_ERR_SELF_REFLASHER_NOT_NOW, NULL);
}

static void record_that_is_not_believed_hides_no_other_one(void **state)
{
    (void)state;
    prepare();
    steps.statuses[0] = SR_RECORD_BAD_DATA;
    expect("SXAFVRFZ", ESP_OK, "is not believed: it ");
    prepare();
    steps.statuses[0] = SR_RECORD_BAD_DATA;
    steps.records[1] = SECOND;
    expect("SXAFVRFVRDQPELnmWZ!", ESP_OK, "record at 0x40000 is not believed");
    prepare();
    steps.records[1] = SECOND;
    steps.done = true;
    steps.fails = 'W';
    steps.number = 1;
    expect("SXAFVRDnmWAFVRDnmWZ!", ESP_OK, "staging");
}

/* Where a step fails, what it said is told, and nothing that comes after it is done. */
static void error_of_a_step_ends_it(void **state)
{
    (void)state;
    static const struct {
        char step;
        unsigned number;
        sr_record_status_t status;
        const char *trace;
    } cases[] = {{'S', 1, SR_RECORD_OK, "SZ"},           {'A', 1, SR_RECORD_OK, "SXAZ"},
                 {'F', 1, SR_RECORD_OK, "SXAFZ"},        {'F', 2, SR_RECORD_BAD_DATA, "SXAFVRFZ"},
                 {'V', 1, SR_RECORD_OK, "SXAFVRZ"},      {'V', 1, SR_RECORD_BAD_DATA, "SXAFVRZ"},
                 {'D', 1, SR_RECORD_OK, "SXAFVRDZ"},     {'P', 1, SR_RECORD_OK, "SXAFVRDQPLBZ"},
                 {'E', 1, SR_RECORD_OK, "SXAFVRDQPELBZ"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned stuck = 0; stuck < 2; stuck++) {
            prepare();
            steps.stuck = stuck != 0 && strchr(cases[i].trace, 'B') != NULL;
            steps.fails = cases[i].step;
            steps.number = cases[i].number;
            steps.statuses[0] = cases[i].status;
            const bool told = cases[i].step == 'F' && cases[i].number == 2; /* By then one was not believed. */
            if (told) {
                steps.records[1] = SECOND;
            }
            bool is_stuck = true;
            api_log_start();
            const esp_err_t err = sr_resume(&config, &is_stuck);
            char *log = api_log_stop();
            assert_string_equal(steps.trace, cases[i].trace);
            assert_int_equal(err, ESP_ERR_TIMEOUT);
            assert_int_equal(is_stuck, steps.stuck);
            assert_int_equal(strstr(log, "is not believed") != NULL, told);
            assert_int_equal(sim_counters()->heap_now, 0);
            free(log);
        }
    }
}

/* It was finished all the same. */
static void what_cannot_be_erased_after_that_is_only_told(void **state)
{
    (void)state;
    static const char letters[] = {'n', 'm', 'W'};
    for (unsigned i = 0; i < 3; i++) {
        prepare();
        steps.fails = letters[i];
        steps.number = 1;
        expect("SXAFVRDQPELnmWZ!", ESP_OK,
               letters[i] == 'W' ? "staging, sector 0xb000" : "mark of the installation, sector 0xa000");
    }
}

static void commit_fetches_from_the_record(void **state)
{
    (void)state;
    prepare();
    steps.refetches = true;
    expect("SXAFVRDQPEJLnmWZ!", ESP_OK, NULL);
    prepare();
    steps.refetches = true;
    steps.fails = 'J';
    steps.number = 1;
    expect("SXAFVRDQPEJLBZ", ESP_ERR_TIMEOUT, NULL);
}

static void without_memory_nothing_is_begun(void **state)
{
    (void)state;
    bool stuck = true;
    prepare();
    sim_heap_fail_at(1);
    const esp_err_t err = sr_resume(&config, &stuck);
    sim_heap_fail_at(0);
    assert_int_equal(err, ESP_ERR_NO_MEM);
    assert_false(stuck);
    assert_string_equal(steps.trace, "");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(record_is_finished_and_then_the_chip_restarts),
        TEST(record_of_which_nothing_is_left_is_only_discarded),
        TEST(record_waits_for_a_steady_supply),
        TEST(record_that_is_not_believed_hides_no_other_one),
        TEST(error_of_a_step_ends_it),
        TEST(what_cannot_be_erased_after_that_is_only_told),
        TEST(commit_fetches_from_the_record),
        TEST(without_memory_nothing_is_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
