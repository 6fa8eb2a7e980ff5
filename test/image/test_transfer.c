// SPDX-License-Identifier: Apache-2.0
/** @file
 * What both modes have in common: which checks an image meets in which order, what becomes of each of their results,
 * and of each step of the copy. Checks and steps are made up.
 */
#include "test/support/api_support.h"
#include "test/support/support_trace.h"

#include "esp_chip_info.h"
#include "flash/sr_copy.h"
#include "flash/sr_flash_reader.h"
#include "format/sr_partition_table.h"
#include "image/sr_transfer.h"
#include "port/sr_yield.h"
#include "preflight/sr_preflight.h"
#include "recovery/sr_recovery.h"
#include "self_reflasher_err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECTOR       SR_SECTOR_SIZE
#define SOURCE       0x100123u
#define LENGTH       0x2345u
#define BOOTLOADER   0x1000u
#define TABLE        0x8000u
#define ELSEWHERE    0x200000u

static const uint8_t digest[SR_SHA256_SIZE];

static struct {
    sr_image_check_status_t sha256, image;
    bool reads_image, reads_flash; /**< The check of the image reads a byte of these. */
    bool no_image, no_flash;       /**< Reads of these fail. */
    uint32_t preflight[2];         /**< What the checks of the result return. */
    unsigned preflights;
    bool recovery_changes, table_changes, bootloader_changes;
    sr_recovery_t recovery;
    esp_err_t recovery_copy, prepare, execute, in_place, changes;
    bool app_changes;
} fake;

static sr_system_t systems;
static esp_self_reflasher_config_t config;
static sr_transfer_t transfer;

WRAP(esp_err_t, sr_flash_read, const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    assert_ptr_equal(flash, &systems.flash);
    assert_true(address == 0 || (address >= SOURCE && address < SOURCE + LENGTH));
    memset(out, 0, length);
    if (address == 0) {
        return fake.no_flash ? 0x1234 : ESP_OK;
    }
    return fake.no_image ? 0x5678 : ESP_OK;
}

WRAP(void, esp_chip_info, esp_chip_info_t *info)
{
    *info = (esp_chip_info_t){.revision = 123};
}

WRAP(sr_image_check_status_t, sr_image_check_sha256, const sr_reader_t *image, const uint8_t expected[SR_SHA256_SIZE])
{
    note("sha256 ");
    assert_ptr_equal(expected, digest);
    assert_int_equal(image->size, LENGTH);
    return fake.sha256;
}

WRAP(sr_image_check_status_t, sr_image_check_image, const sr_image_check_t *check, sr_image_check_detail_t *detail)
{
    uint8_t byte;
    note("image ");
    assert_int_equal(check->image->size, LENGTH);
    assert_int_equal(check->flash->size, systems.flash.size);
    assert_ptr_equal(check->chip, systems.chip);
    assert_ptr_equal(check->keys, &systems.keys);
    assert_int_equal(check->secure_boot, systems.secure_boot);
    assert_int_equal(check->bootloader.address, BOOTLOADER);
    assert_memory_equal(&check->destination, &transfer.destination, sizeof(sr_region_t));
    detail->chip_id = 77;
    if (fake.reads_image) {
        assert_int_equal(check->image->read(check->image->context, 0, &byte, 1) != 0, fake.no_image);
    }
    if (fake.reads_flash) {
        assert_int_equal(check->flash->read(check->flash->context, 0, &byte, 1) != 0, fake.no_flash);
    }
    return fake.image;
}

WRAP(uint32_t, sr_preflight_check, const sr_preflight_t *request, void *workspace, char *text, size_t text_size)
{
    note("preflight ");
    assert_true(fake.preflights < 2);
    assert_int_equal(request->chip_revision, 123);
    assert_ptr_equal(request->chip, systems.chip);
    assert_ptr_equal(request->efuses, &systems.efuses);
    assert_true(request->app_follows);
    assert_int_equal(request->flash->size, systems.flash.size);
    /* First what goes by the table, then what needs none. */
    assert_int_equal(request->table_offset, fake.preflights == 0 ? TABLE : UINT32_MAX);
    assert_int_equal(~request->skip,
                     fake.preflights == 0 ? SR_PREFLIGHT_FLASH_SIZE : (SR_PREFLIGHT_REVISION | SR_PREFLIGHT_VERSION));
    memset(workspace, 0, sr_preflight_workspace_size());
    (void)snprintf(text, text_size, "this is why");
    return fake.preflight[fake.preflights++];
}

WRAP(bool, sr_recovery_is_unchanged, const sr_system_t *of, const sr_reader_t *after, sr_region_t region)
{
    assert_ptr_equal(of, &systems);
    uint8_t byte;
    assert_int_equal(after->size, systems.flash.size);
    (void)after->read(after->context, 0, &byte, 1); /* The first one of the flash. */
    note("same=%x+%x ", (unsigned)region.address, (unsigned)region.size);
    return region.address == BOOTLOADER ? !fake.bootloader_changes
           : region.address == TABLE    ? !fake.table_changes
                                        : !fake.recovery_changes;
}

WRAP(sr_recovery_t, sr_recovery_find, const sr_system_t *of, const sr_reader_t *after, sr_recovery_allowed_t allowed,
     void *context)
{
    assert_ptr_equal(of, &systems);
    assert_int_equal(after->size, systems.flash.size);
    assert_ptr_equal(allowed, sr_transfer_leaves_alone);
    assert_ptr_equal(context, &transfer);
    note("find ");
    return fake.recovery;
}

WRAP(esp_err_t, sr_recovery_copy, const sr_system_t *of, const sr_recovery_t *recovery, sr_writer_t *writer,
     uint8_t *scratch)
{
    assert_ptr_equal(of, &systems);
    assert_int_equal(recovery->place.address, fake.recovery.place.address);
    assert_int_equal(writer->attempts, SR_WRITER_ATTEMPTS);
    memset(scratch, 0, SECTOR);
    memset(writer->readback, 0, SR_WRITER_READBACK_SIZE);
    note("recovery ");
    return fake.recovery_copy;
}

static sr_copy_t copied; /**< What was to be copied. */

WRAP(esp_err_t, sr_copy_prepare, sr_copy_t *copy)
{
    note("prepare ");
    copied = *copy;
    return fake.prepare;
}

WRAP(esp_err_t, sr_copy_execute, sr_copy_t *copy)
{
    note("copy ");
    copy->failed_address = 0x4000;
    copy->progress(copy->progress_context, 3, 7);
    return fake.execute;
}

WRAP(esp_err_t, sr_copy_execute_in_place, sr_copy_t *copy)
{
    (void)copy;
    note("in-place ");
    return fake.in_place;
}

WRAP(esp_err_t, sr_copy_changes, const sr_copy_t *copy, sr_region_t region, bool *changes)
{
    note("changes=%x ", (unsigned)region.address);
    copied = *copy;
    *changes = fake.app_changes;
    return fake.changes;
}

WRAP(void, sr_copy_release, sr_copy_t *copy)
{
    (void)copy;
    note("release ");
}

WRAP(uint32_t, sr_copy_boot_path_sectors, const sr_copy_t *copy)
{
    (void)copy;
    return 5;
}

static void on_progress(void *user_ctx, esp_self_reflasher_phase_t phase, size_t done, size_t total)
{
    assert_ptr_equal(user_ctx, &fake);
    note("%s=%zu/%zu ", phase == ESP_SELF_REFLASHER_PHASE_CHECK ? "check" : "copied", done, total);
}

/* What the tests share. */

static void to(uint32_t address, uint32_t size)
{
    memset(&fake, 0, sizeof(fake));
    clear_trace();
    config = (esp_self_reflasher_config_t){.progress_cb = on_progress, .user_ctx = &fake};
    systems = (sr_system_t){.flash = {.size = 0x400000},
                            .chip = sr_chip_by_name("esp32"),
                            .secure_boot = SR_IMAGE_SECURE_BOOT_V2,
                            .recovery = 0x90000,
                            .boot_path = {.bootloader = {BOOTLOADER, 0x6000},
                                          .table = {TABLE, SECTOR},
                                          .otadata = {0xD000, 0x2000},
                                          .recovery = {0x90000, 0x6000},
                                          .running_app = {0x20000, 0x30000}}};
    transfer = (sr_transfer_t){
        .system = &systems, .config = &config, .source = SOURCE, .length = LENGTH, .destination = {address, size}};
}

static int start(void **state)
{
    (void)state;
    to(ELSEWHERE, 3 * SECTOR);
    return 0;
}

/** Runs a step with its log, and without a byte of heap left. */
static esp_err_t logged(esp_err_t (*step)(const sr_transfer_t *), char **log)
{
    const uint32_t heap = sim_counters()->heap_now;
    fake.preflights = 0;
    api_log_start();
    const esp_err_t err = step(&transfer);
    *log = api_log_stop();
    assert_int_equal(sim_counters()->heap_now, heap);
    return err;
}

static esp_err_t quietly(esp_err_t (*step)(const sr_transfer_t *))
{
    char *log;
    const esp_err_t err = logged(step, &log);
    free(log);
    return err;
}

static void expect_logged(esp_err_t (*step)(const sr_transfer_t *), esp_err_t expected, const char *says)
{
    char *log;
    assert_int_equal(logged(step, &log), expected);
    api_assert_error_line(log, says, NULL);
    free(log);
}

#define UNCHANGED "same=90000+6000 "

/* Checks. */

static void each_refusal_has_an_error_and_says_why(void **state)
{
    (void)state;
    static const struct {
        sr_image_check_status_t status;
        esp_err_t expected;
        const char *says;
    } cases[] = {
        {SR_IMAGE_CHECK_SHA256, ESP_ERR_SELF_REFLASHER_SHA256, "SHA-256 of the image"},
        {SR_IMAGE_CHECK_NOT_BOOTLOADER, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "no bootloader would be left at 0x1000"},
        {SR_IMAGE_CHECK_WRONG_CHIP, ESP_ERR_SELF_REFLASHER_WRONG_CHIP, "for chip id 77, this is esp32 with id 0"},
        {SR_IMAGE_CHECK_CHECKSUM, ESP_ERR_SELF_REFLASHER_CHECKSUM, "0x1000 has a wrong checksum"},
        {SR_IMAGE_CHECK_DIGEST, ESP_ERR_SELF_REFLASHER_DIGEST, "0x1000 has a wrong SHA-256"},
        {SR_IMAGE_CHECK_NOT_SIGNED, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot is on, and the image"},
        {SR_IMAGE_CHECK_KEYED, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot V1 is on"},
        {SR_IMAGE_CHECK_CRYPTO_FAILED, ESP_FAIL, "cannot be read or hashed"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        to(ELSEWHERE, 3 * SECTOR);
        fake.image = cases[i].status;
        expect_logged(sr_transfer_check, cases[i].expected, cases[i].says);
        expect_trace("check=0/9029 image check=9029/9029 ");
    }
}

static void sha256_is_checked_if_there_is_one_and_the_image_unless_it_shall_not(void **state)
{
    (void)state;
    assert_int_equal(quietly(sr_transfer_check), ESP_OK);
    expect_trace("check=0/9029 image check=9029/9029 " UNCHANGED);
    config.sha256 = digest;
    assert_int_equal(quietly(sr_transfer_check), ESP_OK);
    expect_trace("check=0/9029 sha256 image check=9029/9029 " UNCHANGED);
    config.flags = ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
    assert_int_equal(quietly(sr_transfer_check), ESP_OK);
    expect_trace("check=0/9029 sha256 check=9029/9029 " UNCHANGED);
    config.flags = ~(uint32_t)ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
    fake.sha256 = SR_IMAGE_CHECK_SHA256;
    assert_int_equal(quietly(sr_transfer_check), ESP_ERR_SELF_REFLASHER_SHA256);
    expect_trace("check=0/9029 sha256 check=9029/9029 ");
    config.sha256 = NULL;
    config.progress_cb = NULL; /* Nobody needs to be told. */
    assert_int_equal(quietly(sr_transfer_check), ESP_OK);
    expect_trace("image " UNCHANGED);
}

/* What cannot be read is no fault of the image, whichever of the two it is, and whoever finds out. */
static void read_that_fails_is_told_as_the_error_of_the_flash(void **state)
{
    (void)state;
    for (unsigned image = 0; image < 2; image++) {
        to(ELSEWHERE, 3 * SECTOR);
        fake.reads_image = fake.reads_flash = true;
        *(image != 0 ? &fake.no_image : &fake.no_flash) = true;
        fake.image = SR_IMAGE_CHECK_READ_FAILED;
        expect_logged(sr_transfer_check, image != 0 ? 0x5678 : 0x1234, "image cannot be read");
        expect_trace("check=0/9029 image ");
        fake.image = SR_IMAGE_CHECK_OK;
        fake.recovery_changes = true;
        assert_int_equal(quietly(sr_transfer_check), image != 0 ? 0x5678 : 0x1234);
    }
}

static void recovery_bootloader_that_started_the_chip_must_stay(void **state)
{
    (void)state;
    fake.recovery_changes = true;
    expect_logged(sr_transfer_check, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "recovery bootloader at 0x90000");
    config.flags = ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
    assert_int_equal(quietly(sr_transfer_check), ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER);
    to(BOOTLOADER, SECTOR);
    fake.recovery_changes = true;
    assert_int_equal(quietly(sr_transfer_check), ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER);
    expect_trace("check=0/9029 image check=9029/9029 " UNCHANGED);
}

/* Only the table itself: what follows it in its sector may be erased. */
static void table_must_stay_on_a_chip_that_encrypts(void **state)
{
    (void)state;
    fake.table_changes = true;
    assert_int_equal(quietly(sr_transfer_check), ESP_OK);
    expect_trace("check=0/9029 image check=9029/9029 " UNCHANGED);
    systems.flash.encryption = true;
    expect_logged(sr_transfer_check, ESP_ERR_NOT_SUPPORTED, "flash encryption is on");
    expect_trace("check=0/9029 image check=9029/9029 " UNCHANGED "same=8000+c00 ");
    fake.table_changes = false;
    assert_int_equal(quietly(sr_transfer_check), ESP_OK);
}

static void result_is_checked_if_bootloader_or_table_change(void **state)
{
    (void)state;
    static const struct {
        uint32_t address, size;
        bool checked;
    } cases[] = {{ELSEWHERE, SECTOR, false},    {0, SECTOR, false},
                 {0, 2 * SECTOR, true},         {0x6000, SECTOR, true},
                 {0x7000, SECTOR, false},       {0x7000, 2 * SECTOR, true},
                 {TABLE, SECTOR, true},         {TABLE + SECTOR, SECTOR, false},
                 {BOOTLOADER, 8 * SECTOR, true}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned skipped = 0; skipped < 2; skipped++) {
            to(cases[i].address, cases[i].size);
            config.flags = skipped != 0 ? ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK : 0;
            assert_int_equal(quietly(sr_transfer_check), ESP_OK);
            assert_int_equal(fake.preflights, cases[i].checked && skipped == 0 ? 2 : 0);
        }
    }
}

static void result_that_would_not_boot_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t first, second;
        esp_err_t expected;
        unsigned checks;
    } cases[] = {{0, 0, ESP_OK, 2},
                 {SR_PREFLIGHT_FLASH_SIZE, 0, ESP_ERR_SELF_REFLASHER_FLASH_SIZE, 1},
                 {0, SR_PREFLIGHT_REVISION, ESP_ERR_SELF_REFLASHER_REVISION, 2},
                 {0, SR_PREFLIGHT_VERSION, ESP_ERR_SELF_REFLASHER_REVISION, 2},
                 {1, 0, ESP_ERR_SELF_REFLASHER_REVISION, 1},
                 {0, 1, ESP_ERR_SELF_REFLASHER_REVISION, 2}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *log;
        to(BOOTLOADER, 8 * SECTOR);
        fake.preflight[0] = cases[i].first;
        fake.preflight[1] = cases[i].second;
        assert_int_equal(logged(sr_transfer_check, &log), cases[i].expected);
        assert_int_equal(fake.preflights, cases[i].checks);
        assert_int_equal(strstr(log, "refused: this is why") != NULL, cases[i].expected != ESP_OK);
        free(log);
    }
    sim_heap_fail_at(1);
    assert_int_equal(quietly(sr_transfer_check), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    assert_int_equal(fake.preflights, 0);
}

static void room_is_clear_of_the_image_and_of_where_it_goes(void **state)
{
    (void)state;
    static const struct {
        sr_region_t room;
        bool clear;
    } cases[] = {{{ELSEWHERE - SECTOR, SECTOR}, true},
                 {{ELSEWHERE - SECTOR, SECTOR + 1}, false},
                 {{ELSEWHERE + 2 * SECTOR, SECTOR}, false},
                 {{ELSEWHERE + 3 * SECTOR, SECTOR}, true},
                 {{SOURCE - 0x123 - SECTOR, SECTOR}, true},
                 {{SOURCE - 0x123, SECTOR}, false},
                 {{SOURCE + LENGTH - 1, 1}, false},
                 {{SOURCE + LENGTH, SECTOR}, true},
                 {{0, 0x400000}, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(sr_transfer_leaves_alone(&transfer, cases[i].room), cases[i].clear);
    }
}

/* The copy. */

static void assert_copied(void)
{
    assert_int_equal(copied.source, SOURCE);
    assert_int_equal(copied.length, LENGTH);
    assert_memory_equal(&copied.destination, &transfer.destination, sizeof(sr_region_t));
    assert_ptr_equal(copied.yield, sr_yield);
}

static void change_of_the_app_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t heap = sim_counters()->heap_now;
        bool changes = i == 0;
        fake.app_changes = i != 0;
        assert_int_equal(sr_transfer_changes_app(&transfer, &changes), ESP_OK);
        assert_int_equal(changes, i);
        expect_trace("changes=20000 ");
        assert_copied();
        assert_non_null(copied.workspace);
        fake.changes = ESP_ERR_INVALID_CRC;
        assert_int_equal(sr_transfer_changes_app(&transfer, &changes), ESP_ERR_INVALID_CRC);
        fake.changes = ESP_OK;
        clear_trace();
        assert_int_equal(sim_counters()->heap_now, heap);
        sim_heap_fail_at(1);
        assert_int_equal(sr_transfer_changes_app(&transfer, &changes), ESP_ERR_NO_MEM);
        sim_heap_fail_at(0);
        expect_trace("");
    }
}

static void boot_path_is_written_last(void **state)
{
    (void)state;
    assert_int_equal(quietly(sr_transfer_copy), ESP_OK);
    expect_trace("prepare copy copied=3/7 release ");
    assert_copied();
    assert_false(copied.guarded);
    const sr_region_t last[SR_BOOT_PATH_BUFFER_GROUPS] = {
        {0, 0}, {BOOTLOADER, 0x6000}, {TABLE, SECTOR}, {0xD000, 0x2000}};
    assert_memory_equal(copied.last, last, sizeof(last));
    /* With Secure Boot V1 from the digest on, which lies before the bootloader. */
    for (uint32_t size = 1; size <= SECTOR; size += SECTOR - 1) {
        systems.boot_path.digest = (sr_region_t){0, size};
        assert_int_equal(quietly(sr_transfer_copy), ESP_OK);
        assert_int_equal(copied.last[SR_BOOT_PATH_BUFFER_BOOTLOADER].address, 0);
        assert_int_equal(copied.last[SR_BOOT_PATH_BUFFER_BOOTLOADER].size, 0x7000);
    }
}

/* Only where the image brings another bootloader, first sector included. */
static void recovery_bootloader_stands_in_where_there_is_one(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        bool changes;
        uint32_t size;
        const char *trace;
    } cases[] = {
        {ELSEWHERE, true, SECTOR, "prepare copy copied=3/7 release "},
        {BOOTLOADER + SECTOR, true, SECTOR, "prepare copy copied=3/7 release "},
        {BOOTLOADER, false, SECTOR, "same=1000+6000 prepare copy copied=3/7 release "},
        {BOOTLOADER, true, 0, "same=1000+6000 find prepare copy copied=3/7 release "},
        {BOOTLOADER, true, 1, "same=1000+6000 find prepare recovery copy copied=3/7 release "},
        {BOOTLOADER, true, SECTOR, "same=1000+6000 find prepare recovery copy copied=3/7 release "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        to(cases[i].address, 3 * SECTOR);
        fake.bootloader_changes = cases[i].changes;
        fake.recovery = (sr_recovery_t){.place = {0x90000, cases[i].size}};
        assert_int_equal(quietly(sr_transfer_copy), ESP_OK);
        const bool guarded = strstr(cases[i].trace, "recovery") != NULL;
        expect_trace(cases[i].trace);
        assert_int_equal(copied.guarded, guarded);
    }
}

/* Nothing is written after a step that failed. */
static void each_step_of_a_copy_may_fail(void **state)
{
    (void)state;
    static const struct {
        esp_err_t prepare, recovery, execute;
        const char *trace, *says;
    } cases[] = {
        {ESP_ERR_NO_MEM, 0, 0, "prepare release ", "boot path sectors cannot be held in RAM: ESP_ERR_NO_MEM"},
        {0, ESP_ERR_NO_MEM, 0, "prepare recovery release ", NULL},
        {0, 0, ESP_ERR_NO_MEM, "prepare recovery copy copied=3/7 release ", "sector 0x4000: ESP_ERR_NO_MEM"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *log;
        to(BOOTLOADER, 3 * SECTOR);
        fake.bootloader_changes = true;
        fake.recovery = (sr_recovery_t){.place = {0x90000, SECTOR}};
        fake.prepare = cases[i].prepare;
        fake.recovery_copy = cases[i].recovery;
        fake.execute = cases[i].execute;
        assert_int_equal(logged(sr_transfer_copy, &log), ESP_ERR_NO_MEM);
        assert_string_equal(strstr(traced, "prepare"), cases[i].trace);
        if (cases[i].says != NULL) {
            api_assert_error_line(log, cases[i].says, NULL);
        }
        free(log);
    }
    to(ELSEWHERE, 3 * SECTOR);
    char *log;
    assert_int_equal(logged(sr_transfer_copy, &log), ESP_OK);
    assert_null(strstr(log, "sector 0x4000"));
    free(log);
    clear_trace();
    sim_heap_fail_at(1);
    assert_int_equal(quietly(sr_transfer_copy), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    expect_trace("");
}

static void copy_over_the_app_runs_from_ram(void **state)
{
    (void)state;
    transfer.over_app = true;
    fake.in_place = ESP_ERR_INVALID_STATE;
    assert_int_equal(quietly(sr_transfer_copy), ESP_ERR_INVALID_STATE);
    expect_trace("prepare in-place release ");
    systems.flash.encryption = true;
    expect_logged(sr_transfer_copy, ESP_ERR_NOT_SUPPORTED, "with flash encryption the running app");
    expect_trace("prepare release ");
}

#define TEST(test) cmocka_unit_test_setup(test, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_refusal_has_an_error_and_says_why),
        TEST(sha256_is_checked_if_there_is_one_and_the_image_unless_it_shall_not),
        TEST(read_that_fails_is_told_as_the_error_of_the_flash),
        TEST(recovery_bootloader_that_started_the_chip_must_stay),
        TEST(table_must_stay_on_a_chip_that_encrypts),
        TEST(result_is_checked_if_bootloader_or_table_change),
        TEST(result_that_would_not_boot_is_refused),
        TEST(room_is_clear_of_the_image_and_of_where_it_goes),
        TEST(change_of_the_app_is_told),
        TEST(boot_path_is_written_last),
        TEST(recovery_bootloader_stands_in_where_there_is_one),
        TEST(each_step_of_a_copy_may_fail),
        TEST(copy_over_the_app_runs_from_ram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
