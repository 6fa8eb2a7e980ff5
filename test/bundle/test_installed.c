// SPDX-License-Identifier: Apache-2.0
/** @file
 * What "installed" means: regions that the new system owns are written together with what makes it the new system,
 * and never again. test_installed_cuts lets the power go meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/support/support_installed.h"

#include "format/sr_bytes.h"
#include "format/sr_sha256.h"

#define STARTS 200u

static void install(unsigned with)
{
    open_chip(with, 16);
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_at(OLD_APP), SIM_END_RESTART);
    assert_int_equal(job->err, ESP_OK);
    assert_false(job->plan.installed);
    assert_holds_all();
    small_assert_same(nor_flash_view(flash), before, BUNDLE, SMALL_FLASH_SIZE - BUNDLE); /* No mark is left. */
    free(before);
}

/* Reads only, and the plan says so. */
static void assert_installed(uint32_t app)
{
    assert_int_equal(start_at(app), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_true(job->plan.installed);
    assert_int_equal(job->plan.sectors_to_write, 0);
    assert_int_equal(job->plan.sectors_right, job->plan.sectors_total);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

static void an_app_that_marks_itself_valid_is_left_alone(void **state)
{
    (void)state;
    install(WITH_ALL);
    small_assert_boots(flash, false, NEW_APP);
    job->marks_valid = true;
    assert_int_equal(start_at(NEW_APP), SIM_END_RETURNED);
    assert_int_equal(nor_flash_stats(flash).sector_erases, 1); /* Its own, of otadata. */
    for (unsigned i = 1; i < STARTS; i++) {
        assert_installed(NEW_APP);
    }
    close_chip();
}

static void what_the_new_system_writes_is_its_own(void **state)
{
    (void)state;
    static const uint32_t places[] = {SMALL_NVS, SMALL_NVS + 3 * SECTOR, FILES, FILES + 2 * SECTOR, SMALL_OTADATA};
    install(WITH_ALL);
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        memset(nor_flash_bytes(flash) + places[i], (int)i, SECTOR);
        assert_installed(NEW_APP);
    }
    close_chip();
}

static void an_update_into_the_other_slot_is_not_undone(void **state)
{
    (void)state;
    install(WITH_ALL);
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + OLD_APP, 0xFF, SMALL_SLOT_SIZE);
    small_app("3", bytes + OLD_APP);
    sr_otadata_encode(3, SR_OTA_VALID, bytes + SMALL_OTADATA);
    small_assert_boots(flash, false, OLD_APP);
    for (unsigned i = 0; i < 3; i++) {
        assert_installed(OLD_APP);
    }
    small_assert_boots(flash, false, OLD_APP);
    close_chip();
}

/* Each sector that is always compared, damaged: then all is written as the first time. */
static void damage_to_its_own_regions_is_mended_with_the_rest(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        install(WITH_ALL);
        uint8_t *bytes = nor_flash_bytes(flash);
        bytes[SMALL_NVS] ^= 1;
        bytes[FILES] ^= 1;
        small_app("4", bytes + OLD_APP);
        sr_otadata_encode(3, SR_OTA_VALID, bytes + SMALL_OTADATA);
        if (i < 3) {
            bytes[NEW_APP + i * SECTOR + 0x100] ^= 1;
        } else {
            small_put_table(bytes, (sr_partition_table_entry_t[8]){{0}}, 0);
            sr_partition_table_entry_t entries[8];
            small_put_table(bytes, entries, small_table(&(small_layout_t){.slots = 2}, entries));
        }
        assert_int_equal(start_at(OLD_APP), SIM_END_RESTART);
        assert_int_equal(job->err, ESP_OK);
        assert_false(job->plan.installed);
        assert_holds_all();
        assert_installed(NEW_APP);
        close_chip();
    }
}

static void a_commit_that_is_put_off_is_done_later(void **state)
{
    (void)state;
    for (unsigned blank = 1; blank <= 16; blank += 15) {
        open_chip(WITH_OTADATA | WITH_NVS | WITH_FILES, blank);
        job->puts_off = true;
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(start_at(OLD_APP), SIM_END_RETURNED);
            assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_NOT_NOW);
            assert_false(job->plan.installed);
            small_assert_boots(flash, false, OLD_APP);
        }
        job->puts_off = false;
        assert_int_equal(start_at(OLD_APP), SIM_END_RESTART);
        assert_holds_all();
        small_assert_boots(flash, false, NEW_APP);
        assert_installed(NEW_APP);
        close_chip();
    }
}

static void in_place_the_mark_goes_last(void **state)
{
    (void)state;
    open_in_place(6); /* Mark and list of the record, three sectors of the app, and the mark. */
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_at(OLD_APP), SIM_END_RESTART);
    assert_holds_all();
    small_assert_same(nor_flash_view(flash), before, BUNDLE, SMALL_FLASH_SIZE - BUNDLE);
    free(before);
    assert_installed(OLD_APP);
    close_chip();

    open_in_place(5);
    assert_int_equal(start_at(OLD_APP), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_non_null(strstr(job->plan.refusal_text, "in place: 4096 bytes missing"));
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    close_chip();
}

static void without_a_sector_for_the_mark_nothing_is_touched(void **state)
{
    (void)state;
    open_chip(WITH_TABLE | WITH_OTADATA, 0);
    memset(nor_flash_bytes(flash) + OLD_APP + SMALL_APP_SIZE, 0x5A, SMALL_SLOT_SIZE - SMALL_APP_SIZE);
    memset(nor_flash_bytes(flash) + SMALL_OTADATA + SECTOR, 0x5A, SECTOR);
    assert_int_equal(start_at(OLD_APP), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_NO_ROOM);
    assert_non_null(strstr(job->plan.refusal_text, "--always"));
    assert_non_null(strstr(job->plan.refusal_text, "(4096 bytes)"));
    assert_int_equal(job->plan.bytes_missing, SECTOR);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    close_chip();
}

static void call_resume(void *unused)
{
    (void)unused;
    job->err = esp_self_reflasher_resume(&job->bundle);
}

static bool holds(uint32_t region)
{
    const bundle_region_t *is = &regions[region];
    return memcmp(nor_flash_view(flash) + is->place.address, is->data, is->length) == 0;
}

/* Without the source: what has begun is finished by resume() alone, and what has not, it does not touch. */
static void assert_resume_finishes_what_has_begun(const uint8_t *before)
{
    const boot_result_t boot = small_boot(flash, false);
    const bool begun = memcmp(nor_flash_view(flash), before, SMALL_SLOTS) != 0;
    if (!boot_succeeds(&boot)) {
        assert_true(begun && !holds(0)); /* The window: the table is on its way. */
        return;
    }
    const bool complete = holds(0) && holds(1) && holds(2);
    small_attach(flash, boot.app_offset);
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call_resume, NULL);
    sim_chip_detach();
    if (end == SIM_END_RESTART) {
        assert_holds_all();
        return;
    }
    assert_int_equal(end, SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_true(complete || !begun);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    (void)start_at(boot.app_offset);
    assert_int_equal(job->err, ESP_OK);
    assert_holds_all();
}

static void resume_finishes_with_the_mark_in_the_way(void **state)
{
    (void)state;
    open_with_mark_in_the_way();
    assert_int_equal(start_at(OLD_APP), SIM_END_RESTART);
    const uint32_t operations = nor_flash_stats(flash).operations;
    assert_holds_all();
    close_chip();
    for (uint32_t i = 0; i < operations; i++) {
        open_with_mark_in_the_way();
        uint8_t *before = small_copy(flash);
        nor_flash_set_power_loss(flash,
                                 (nor_power_loss_t){.armed = true, .operation = i, .when = NOR_POWER_LOSS_BEFORE});
        assert_int_equal(start_at(OLD_APP), SIM_END_POWER_LOSS);
        nor_flash_power_on(flash);
        assert_resume_finishes_what_has_begun(before);
        free(before);
        close_chip();
    }
}

/* As an installation leaves it that is not done. */
static void put_mark(uint32_t address)
{
    uint8_t *bytes = nor_flash_bytes(flash);
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, bytes + BUNDLE, sr_bytes_get_le32(bytes + BUNDLE + 16));
    assert_int_equal(sr_sha256_finish(&sha, digest), 0);
    memset(bytes + address, 0xFF, SECTOR);
    memcpy(bytes + address, "SRTODO\r\n", 8);
    memcpy(bytes + address + 8, digest, 16);
}

/* In a sector that the bundle wants blank: it is erased when all is done, and is no sector that has to be written. */
static void mark_is_nothing_that_the_bundle_has_to_write(void **state)
{
    (void)state;
    const uint32_t mark = NEW_APP + SMALL_SLOT_SIZE - SECTOR;
    for (uint32_t wrong = 0; wrong < 2; wrong++) {
        open_with_mark_in_the_way();
        assert_int_equal(start_at(OLD_APP), SIM_END_RESTART);
        assert_installed(NEW_APP);
        const uint32_t total = job->plan.sectors_total;
        put_mark(mark);
        nor_flash_bytes(flash)[SMALL_NVS] ^= (uint8_t)wrong;
        assert_int_equal(start_at(NEW_APP), wrong > 0 ? SIM_END_RESTART : SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_OK);
        assert_int_equal(job->plan.installed, wrong == 0);
        assert_int_equal(job->plan.sectors_to_write, wrong);
        assert_int_equal(job->plan.sectors_total, total);
        assert_int_equal(job->plan.sectors_right, total - wrong);
        assert_holds_all(); /* Without the mark. */
        close_chip();
    }
}

/* Those of other bundles are erased with the first step, but not where anyone can store a file. */
static void what_looks_like_a_mark_in_data_is_not_erased(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    const uint32_t storage = SLOT(4);
    open_chip(WITH_OTADATA | WITH_NVS, 16);
    uint8_t *bytes = nor_flash_bytes(flash);
    unsigned count = small_table(&(small_layout_t){.slots = 2}, entries);
    entries[count++] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, storage, SMALL_SLOT_SIZE, 0, "data"};
    small_put_table(bytes, entries, count);
    put_mark(storage);
    put_mark(storage + SECTOR);
    put_mark(ROOM + 8 * SECTOR);
    bytes[storage + 8] ^= 1;
    bytes[ROOM + 8 * SECTOR + 8] ^= 1;
    uint8_t *before = small_copy(flash);
    assert_int_equal(start_at(OLD_APP), SIM_END_RESTART);
    assert_int_equal(job->err, ESP_OK);
    small_assert_same(nor_flash_view(flash), before, storage, SMALL_SLOT_SIZE);
    for (uint32_t i = 0; i < 16 * SECTOR; i++) {
        assert_int_equal(nor_flash_view(flash)[ROOM + i], 0xFF);
    }
    free(before);
    close_chip();
}

/* Not where anyone can store a file, not with another manifest's digest, not in a sector with more in it. */
static void what_only_looks_like_a_mark_counts_for_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        install(WITH_ALL);
        uint8_t *bytes = nor_flash_bytes(flash);
        const uint32_t place = i == 0 ? FILES + 3 * SECTOR : ROOM;
        put_mark(place);
        bytes[place + 8] ^= i == 1;
        bytes[place + SECTOR - 1] = i == 2 ? 0 : 0xFF;
        bytes[SMALL_NVS] ^= 1;
        assert_installed(NEW_APP);
        put_mark(ROOM); /* What it takes to count as a mark. */
        assert_int_equal(start_at(NEW_APP), SIM_END_RESTART);
        assert_false(job->plan.installed);
        assert_holds_all();
        assert_installed(NEW_APP);
        close_chip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_app_that_marks_itself_valid_is_left_alone, new_job),
        cmocka_unit_test_setup(what_the_new_system_writes_is_its_own, new_job),
        cmocka_unit_test_setup(an_update_into_the_other_slot_is_not_undone, new_job),
        cmocka_unit_test_setup(damage_to_its_own_regions_is_mended_with_the_rest, new_job),
        cmocka_unit_test_setup(a_commit_that_is_put_off_is_done_later, new_job),
        cmocka_unit_test_setup(without_a_sector_for_the_mark_nothing_is_touched, new_job),
        cmocka_unit_test_setup(mark_is_nothing_that_the_bundle_has_to_write, new_job),
        cmocka_unit_test_setup(what_looks_like_a_mark_in_data_is_not_erased, new_job),
        cmocka_unit_test_setup(what_only_looks_like_a_mark_counts_for_nothing, new_job),
        cmocka_unit_test_setup(resume_finishes_with_the_mark_in_the_way, new_job),
        cmocka_unit_test_setup(in_place_the_mark_goes_last, new_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
