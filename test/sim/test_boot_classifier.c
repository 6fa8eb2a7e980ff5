// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which of two systems a flash boots: by the code that executes, and with as few boots as possible.
 */
#include "sim/boot/boot_classifier.h"

#include "sim/nor/flash_buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/support_boot.h"

#define RECOVERY 0x3F0000u

/* Memory that is not there, and what was given back. */
static unsigned mallocs_left = UINT32_MAX, buffers_left = UINT32_MAX;
static const void *given_back[64];
static unsigned given_back_count;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return mallocs_left-- == 0 ? NULL : __real_malloc(size);
}

static void note(const void *memory)
{
    given_back[given_back_count++ % 64] = memory;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    note(memory);
    __real_free(memory);
}

uint8_t *__real_flash_buffer_new(uint32_t size);
uint8_t *__wrap_flash_buffer_new(uint32_t size);
uint8_t *__wrap_flash_buffer_new(uint32_t size)
{
    return size == FLASH_SIZE && buffers_left-- == 0 ? NULL : __real_flash_buffer_new(size);
}

void __real_flash_buffer_delete(uint8_t *buffer, uint32_t size);
void __wrap_flash_buffer_delete(uint8_t *buffer, uint32_t size);
void __wrap_flash_buffer_delete(uint8_t *buffer, uint32_t size)
{
    note(buffer);
    __real_flash_buffer_delete(buffer, size);
}

static uint8_t before[FLASH_SIZE], after[FLASH_SIZE];
static boot_classifier_t classifier;

/* Apps are told apart by a number in them. */
static uint32_t put_version(uint32_t address, uint32_t version)
{
    return put_app(address, &(app_spec_t){.secure_version = version, .hash = true});
}

static void select_slot(unsigned entry, uint32_t sequence, uint32_t state)
{
    memset(flash + OTADATA + entry * SR_SECTOR_SIZE, 0xFF, SR_SECTOR_SIZE);
    sr_otadata_encode(sequence, state, flash + OTADATA + entry * SR_SECTOR_SIZE);
}

/* Before: app 1 in slot 0, app 2 in slot 1. After: another bootloader, app 3 in slot 2. */
static void put_systems(const memory_t *which)
{
    on_chip(which);
    put_slots(false, 4);
    put_version(SLOT(0), 1);
    put_version(SLOT(1), 2);
    select_slot(0, 1, SR_OTA_VALID);
    memcpy(before, flash, FLASH_SIZE);
    put_loader("v5.5", "new", 2);
    put_version(SLOT(2), 3);
    select_slot(0, 3, SR_OTA_VALID);
    memcpy(after, flash, FLASH_SIZE);
    memcpy(flash, before, FLASH_SIZE);
}

static void open_classifier(void)
{
    assert_true(boot_classifier_open(&classifier, &chip, FLASH_SIZE, before, after));
}

static int start(void **state)
{
    (void)state;
    put_systems(&esp32);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mallocs_left = buffers_left = UINT32_MAX;
    boot_classifier_close(&classifier);
    return 0;
}

/** @param boots How many boots that may take. */
static void expect_verdict(boot_verdict_t verdict, unsigned boots)
{
    const unsigned known = classifier.boots;
    assert_int_equal(boot_classifier_classify(&classifier, flash, &result), verdict);
    assert_int_equal(classifier.boots - known, boots);
}

static void copy(uint32_t address, const uint8_t *from, uint32_t length)
{
    memcpy(flash + address, from + address, length);
}

static void code_counts_wherever_it_lies(void **state)
{
    (void)state;
    open_classifier();
    assert_int_equal(classifier.boots, 2);
    expect_verdict(BOOT_OLD, 1);
    assert_int_equal(result.app_offset, SLOT(0));
    memcpy(flash, after, FLASH_SIZE);
    expect_verdict(BOOT_NEW, 1);
    copy(0x1000, before, 0x7000); /* the old bootloader with the new app */
    expect_verdict(BOOT_NEW, 1);
    copy(0x1000, after, 0x7000);
    select_slot(0, 1, SR_OTA_VALID); /* and the other way round */
    expect_verdict(BOOT_OLD, 1);
    put_version(SLOT(3), 1);
    select_slot(0, 4, SR_OTA_VALID); /* the old app, elsewhere */
    expect_verdict(BOOT_OLD, 1);
    put_version(SLOT(3), 4); /* one that is of neither system, */
    expect_verdict(BOOT_NEITHER, 1);
    put_version(SLOT(3), 3);
    expect_verdict(BOOT_NEW, 1);
    put_loader("v5.5", "other", 2); /* and a bootloader that is not */
    expect_verdict(BOOT_NEITHER, 0);
    put_loader("v5.5", "new", 2);
    flash[TABLE] = 0; /* and nothing at all */
    expect_verdict(BOOT_NEITHER, 1);
    assert_int_equal(boot_classifier_classify(&classifier, before, NULL), BOOT_OLD);
}

static void an_app_of_both_systems_is_old(void **state)
{
    (void)state;
    memcpy(after + SLOT(2), before + SLOT(0), SLOT_SIZE);
    open_classifier();
    memcpy(flash, after, FLASH_SIZE);
    expect_verdict(BOOT_OLD, 1);
}

static void a_system_that_does_not_boot_is_none(void **state)
{
    (void)state;
    for (unsigned old = 0; old < 2; old++) {
        put_systems(&esp32);
        memset((old != 0 ? before : after) + TABLE, 0, 32);
        open_classifier();
        memcpy(flash, old != 0 ? after : before, FLASH_SIZE);
        expect_verdict(old != 0 ? BOOT_NEW : BOOT_OLD, 1);
        memcpy(flash, old != 0 ? before : after, FLASH_SIZE); /* its bootloader is none to look for */
        expect_verdict(BOOT_NEITHER, 0);
        copy(TABLE, old != 0 ? after : before, SR_SECTOR_SIZE); /* although it would start */
        expect_verdict(BOOT_NEITHER, 0);
        boot_classifier_close(&classifier);
    }
}

static void an_app_may_be_accepted_as_old(void **state)
{
    (void)state;
    open_classifier();
    select_slot(0, 2, SR_OTA_VALID);
    expect_verdict(BOOT_NEITHER, 1);
    const boot_code_t second = result.app;
    boot_classifier_accept(&classifier, &second);
    flash[OTADATA + 4] ^= 1; /* of no effect, but looked at */
    expect_verdict(BOOT_OLD, 1);
    put_version(SLOT(1), 4);
    expect_verdict(BOOT_NEITHER, 1);
    put_version(SLOT(1), 2);
    boot_classifier_accept(&classifier, NULL);
    expect_verdict(BOOT_NEITHER, 1);
}

static void what_was_not_read_needs_no_boot(void **state)
{
    (void)state;
    open_classifier();
    assert_true(boot_classifier_depends_on(&classifier, SLOT(3), 1)); /* nothing is known yet */
    assert_true(boot_classifier_depends_on(&classifier, 0, 0));
    expect_verdict(BOOT_OLD, 1);
    expect_verdict(BOOT_OLD, 0);
    flash[SLOT(1)] ^= 1;
    flash[FLASH_SIZE - 1] ^= 1;
    expect_verdict(BOOT_OLD, 0);
    flash[SLOT(0) + result.app.length - 1] ^= 1; /* the app's digest; then slot 1 is none, either */
    expect_verdict(BOOT_NEITHER, 1);
    expect_verdict(BOOT_NEITHER, 0);
    flash[SLOT(0) + result.app.length - 1] ^= 1;
    copy(SLOT(0), before, SLOT_SIZE);
    expect_verdict(BOOT_OLD, 1);
    flash[0x1000] = 0; /* without a bootloader all that is known is forgotten */
    expect_verdict(BOOT_NEITHER, 0);
    assert_true(boot_classifier_depends_on(&classifier, SLOT(3), 1));
    flash[0x1000] = 0xE9;
    expect_verdict(BOOT_OLD, 1);
}

// In whole pages.
static void on_which_bytes_a_verdict_depends(void **state)
{
    (void)state;
    open_classifier();
    expect_verdict(BOOT_OLD, 1);
    const uint32_t end = SLOT(0) + result.app.length, last = (end - 1) / SR_PAGE_SIZE * SR_PAGE_SIZE;
    const struct {
        uint32_t address, length;
        bool depends;
    } cases[] = {
        {SLOT(0), 1, true},
        {SLOT(0), 0, false},
        {SLOT(0) - SR_PAGE_SIZE, SR_PAGE_SIZE, false},
        {SLOT(0) - SR_PAGE_SIZE, SR_PAGE_SIZE + 1, true},
        {SLOT(0) - 1, 1, false},
        {last, 1, true},
        {last + SR_PAGE_SIZE - 1, 1, true},
        {last + SR_PAGE_SIZE, 1, false},
        {last + SR_PAGE_SIZE - 1, 2, true},
        {TABLE, SR_SECTOR_SIZE, true},
        {TABLE + SR_PARTITION_TABLE_SIZE - 1, 1, true},
        {TABLE + SR_PARTITION_TABLE_SIZE, SR_SECTOR_SIZE - SR_PARTITION_TABLE_SIZE,
         false}, /* read up to a page's end */
        {SLOT(1), SLOT_SIZE, false},
        {FLASH_SIZE - SR_SECTOR_SIZE, SR_SECTOR_SIZE, false},
        {0, 0x1000, false},
        {0, 0x1001, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(boot_classifier_depends_on(&classifier, cases[i].address, cases[i].length), cases[i].depends);
    }
    memcpy(flash, after, FLASH_SIZE); /* what an earlier boot read does not count */
    expect_verdict(BOOT_NEW, 1);
    assert_true(boot_classifier_depends_on(&classifier, SLOT(2), 1));
    assert_false(boot_classifier_depends_on(&classifier, SLOT(0), 1));
}

// The first page of the flash counts, too: there lies the digest of Secure Boot V1.
static void a_verdict_may_depend_on_the_first_page(void **state)
{
    (void)state;
    chip.burnt.secure_boot_v1 = true;
    memset(before, 0x55, 192);
    memset(after, 0x55, 192);
    memcpy(flash, before, FLASH_SIZE);
    boot_believe(&chip, before, FLASH_SIZE);
    open_classifier();
    expect_verdict(BOOT_OLD, 1);
    flash[10] ^= 1;
    expect_verdict(BOOT_NEITHER, 1);
    expect_verdict(BOOT_NEITHER, 0);
    flash[10] ^= 1;
    expect_verdict(BOOT_OLD, 1);
}

static const memory_t esp32c5 = {"esp32c5", 0x40848000, 0x40840000, 0x40810000, 0x40800000};

static void a_bootloader_may_be_the_recovery_one(void **state)
{
    (void)state;
    put_systems(&esp32c5);
    const uint32_t place = chip.chip->bootloader_offset;
    chip.recovery = RECOVERY;
    open_classifier();
    memcpy(flash + RECOVERY, before + place, 0x2000);
    expect_verdict(BOOT_OLD, 1);
    flash[place] = 0;
    expect_verdict(BOOT_OLD, 1);
    assert_true(result.recovered);
    put_loader("v5.5", "other", 2); /* one of neither system, which starts first */
    expect_verdict(BOOT_NEITHER, 1);
    flash[place] = 0;
    expect_verdict(BOOT_OLD, 1);
    flash[RECOVERY] = 0;
    expect_verdict(BOOT_NEITHER, 0);
    boot_classifier_close(&classifier);
    chip.recovery = FLASH_SIZE - 0x1000; /* where the flash ends before a bootloader would */
    put_loader("v5.5", "", 2);
    open_classifier();
    memcpy(flash, before, FLASH_SIZE);
    flash[place] = 0;
    memcpy(flash + FLASH_SIZE - 0x100, before + place, 0x100);
    chip.recovery = FLASH_SIZE - 0x100;
    expect_verdict(BOOT_NEITHER, 0);
}

static void without_a_recovery_bootloader_none_is_looked_for(void **state)
{
    (void)state;
    open_classifier();
    memcpy(flash, before + 0x1000, 0x1000); /* at address 0, which no eFuse means */
    flash[0x1000] = 0;
    expect_verdict(BOOT_NEITHER, 0);
}

// Where the old bootloader goes back to.

static void expect_back(uint32_t app)
{
    open_classifier();
    memcpy(flash, before, FLASH_SIZE);
    memset(flash + OTADATA, 0xFF, 0x2000);
    select_slot(0, 2, SR_OTA_VALID); /* app 2 runs */
    assert_int_equal(boot_classifier_classify(&classifier, flash, &result), app == 2 ? BOOT_BACK : BOOT_NEITHER);
    assert_int_equal(boot_classifier_is_back(&classifier, &result), app == 2);
    select_slot(0, 1, SR_OTA_VALID);
    assert_int_equal(boot_classifier_classify(&classifier, flash, &result), BOOT_OLD);
    assert_false(boot_classifier_is_back(&classifier, &result));
    boot_classifier_close(&classifier);
}

static void an_app_on_probation_goes_back(void **state)
{
    (void)state;
    static const struct {
        uint32_t state;
        bool rollback, confirms;
        unsigned other; /* Entry of the other app. */
        uint32_t back;
    } cases[] = {
        {SR_OTA_NEW, true, false, 1, 2},   {SR_OTA_NEW, true, true, 1, 2},    {SR_OTA_VALID, true, false, 1, 0},
        {SR_OTA_NEW, false, false, 1, 0},  {SR_OTA_NEW, true, false, 0, 2},   {SR_OTA_VALID, true, true, 1, 0},
        {SR_OTA_VALID, false, true, 1, 2}, {SR_OTA_VALID, false, true, 0, 2}, {SR_OTA_VALID, false, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_systems(&esp32);
        select_slot(1 - cases[i].other, 5, cases[i].state); /* slot 0 */
        select_slot(cases[i].other, 2, SR_OTA_VALID);       /* slot 1 */
        memcpy(before, flash, FLASH_SIZE);
        chip.rollback = cases[i].rollback;
        chip.confirms = cases[i].confirms;
        expect_back(cases[i].back);
    }
}

// Without another entry the first slot starts, which may be the app itself; and without otadata nothing selects.
static void not_every_app_has_one_to_go_back_to(void **state)
{
    (void)state;
    chip.confirms = true;
    memset(flash + OTADATA, 0xFF, 0x2000);
    select_slot(0, 1, SR_OTA_VALID);
    memcpy(before, flash, FLASH_SIZE);
    expect_back(0);
    sr_partition_table_entry_t entries[] = {app_partition(SR_PARTITION_APP_FACTORY, SLOT(0)),
                                            app_partition(SR_PARTITION_APP_OTA_0, SLOT(1))};
    put_table(entries, 2);
    memcpy(before, flash, FLASH_SIZE);
    open_classifier();
    assert_int_equal(classifier.back_app.length, 0);
    const boot_result_t none = {0};
    assert_false(boot_classifier_is_back(&classifier, &none));
    boot_classifier_close(&classifier);
    memset(before + TABLE, 0, 32); /* nor has a system that does not boot */
    open_classifier();
    assert_int_equal(classifier.back_app.length, 0);
    assert_int_equal(classifier.boots, 2);
}

static bool was_given_back(const void *memory)
{
    for (unsigned i = 0; i < 64; i++) {
        if (given_back[i] == memory) {
            return true;
        }
    }
    return false;
}

static void all_memory_is_given_back(void **state)
{
    (void)state;
    open_classifier();
    const void *const all[] = {classifier.scratch, classifier.looked_at, classifier.old_loader, classifier.new_loader,
                               classifier.read};
    memset(given_back, 0, sizeof(given_back));
    boot_classifier_close(&classifier);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_true(was_given_back(all[i]));
    }
    boot_classifier_close(&classifier);
}

static void without_memory_there_is_no_verdict(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (unsigned kind = 0; kind < 2; kind++) {
        bool opened = false;
        for (unsigned left = 0; !opened; left++) {
            *(kind == 0 ? &mallocs_left : &buffers_left) = left;
            opened = boot_classifier_open(&classifier, &chip, FLASH_SIZE, before, after);
            mallocs_left = buffers_left = UINT32_MAX;
            boot_classifier_close(&classifier);
            failed += !opened;
            assert_true(left < 100);
        }
    }
    assert_int_equal(failed, 3 + 2);
}

static void the_same_code_is_as_long_and_the_same(void **state)
{
    (void)state;
    const boot_code_t one = {.address = 1, .length = 2, .sha256 = {3}};
    boot_code_t other = {.address = 2, .length = 2, .sha256 = {3}};
    assert_true(boot_same_code(&one, &other));
    other.length = 3;
    assert_false(boot_same_code(&one, &other));
    other.length = 2;
    other.sha256[31] = 1;
    assert_false(boot_same_code(&one, &other));
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(code_counts_wherever_it_lies),
        CASE(an_app_of_both_systems_is_old),
        CASE(a_system_that_does_not_boot_is_none),
        CASE(an_app_may_be_accepted_as_old),
        CASE(what_was_not_read_needs_no_boot),
        CASE(on_which_bytes_a_verdict_depends),
        CASE(a_verdict_may_depend_on_the_first_page),
        CASE(a_bootloader_may_be_the_recovery_one),
        CASE(without_a_recovery_bootloader_none_is_looked_for),
        CASE(an_app_on_probation_goes_back),
        CASE(not_every_app_has_one_to_go_back_to),
        CASE(all_memory_is_given_back),
        CASE(without_memory_there_is_no_verdict),
        CASE(the_same_code_is_as_long_and_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
