// SPDX-License-Identifier: Apache-2.0
/** @file
 * What "installed" means: regions that the new system owns are written together with what makes it the new system,
 * whenever the power goes, and never again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "sim/explore/explore.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#include "format/sr_bytes.h"
#include "format/sr_sha256.h"

#include "esp_ota_ops.h"
#include "esp_system.h"

#define SECTOR      SR_SECTOR_SIZE
#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define OLD_APP     SLOT(0)
#define NEW_APP     SLOT(1)
#define FILES       SLOT(2) /**< A file system in the new system's table. */
#define BUNDLE      SMALL_FREE
#define ROOM        0xE0000u /**< Blank, as far as a test says. */
#define STARTS      200u
#define MAX_REGIONS 8u

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    esp_self_reflasher_bundle_config_t bundle;
    esp_self_reflasher_plan_t plan;
    esp_err_t err;
    bool marks_valid;
    bool puts_off;
} job_t;

static job_t *job;
static nor_flash_t *flash;
static bundle_region_t regions[MAX_REGIONS];
static uint32_t region_count;
static uint8_t new_app[SMALL_APP_SIZE];
static uint8_t new_table[SECTOR];
static uint8_t new_otadata[IMAGE_WRITE_OTADATA_SIZE];
static uint8_t new_nvs[2 * SECTOR];
static uint8_t new_files[3 * SECTOR];

static bool may_commit(void *unused)
{
    (void)unused;
    return !job->puts_off;
}

static esp_err_t apply(esp_self_reflasher_plan_t *plan)
{
    const esp_err_t err = esp_self_reflasher_resume(&job->bundle);
    return err == ESP_OK ? esp_self_reflasher_apply_bundle(&job->bundle, plan) : err;
}

static void app_main(void)
{
    if (job->marks_valid && esp_ota_mark_app_valid_cancel_rollback() != ESP_OK) {
        abort();
    }
    job->err = ESP_ERR_NOT_FINISHED;
    job->err = apply(&job->plan);
    if (job->err == ESP_OK && job->plan.sectors_to_write > 0) {
        esp_restart();
    }
}

/* Several processes run at once and share nothing: a failure shows as an app that crashes. */
static void app_in_exploration(void)
{
    esp_self_reflasher_plan_t plan;
    if (apply(&plan) != ESP_OK) {
        abort();
    }
    if (plan.sectors_to_write > 0) {
        esp_restart();
    }
}

static void call_app_main(void *unused)
{
    (void)unused;
    app_main();
}

static sim_end_t start_at(uint32_t running_app)
{
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = running_app, .quiet = true};
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call_app_main, NULL);
    sim_chip_detach();
    return end;
}

/* In ascending order. */
static void want(uint32_t address, uint32_t size, const uint8_t *data, size_t length, bool initial)
{
    regions[region_count++] =
        (bundle_region_t){.place = {address, size}, .data = data, .length = length, .initial = initial};
}

static void pack(void)
{
    const bundle_spec_t spec = {
        .partition_table_offset = SR_PARTITION_TABLE_OFFSET, .regions = regions, .region_count = region_count};
    job->bundle = (esp_self_reflasher_bundle_config_t){
        .embedded = small_put_bundle(flash, (sr_region_t){BUNDLE, ROOM - BUNDLE}, spec),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
        .may_commit = may_commit};
}

static void make_table(void)
{
    sr_partition_table_entry_t entries[8];
    unsigned count = small_table(&(small_layout_t){.slots = 2}, entries);
    entries[count++] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, FILES, SMALL_SLOT_SIZE, 0, "files"};
    memset(new_table, 0xFF, sizeof(new_table));
    assert_int_equal(image_write_partition_table(entries, count, new_table), IMAGE_WRITE_OK);
}

/** Which regions a bundle has beside the app, which is always compared. */
enum { WITH_TABLE = 1, WITH_OTADATA = 2, WITH_NVS = 4, WITH_FILES = 8, WITH_ALL = 15 };

/* The old app in ota_0, and @p blank sectors of blank flash. */
static void open_chip(unsigned with, uint32_t blank)
{
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    uint8_t *bytes = nor_flash_bytes(flash);
    small_app("1", bytes + OLD_APP);
    small_app("2", new_app);
    make_table();
    image_write_otadata(2, SR_OTA_UNDEFINED, new_otadata); /* As Arduino's boot_app0. */
    dummy_image_fill(new_nvs, sizeof(new_nvs), 5);
    dummy_image_fill(new_files, sizeof(new_files), 6);
    memset(bytes + ROOM, 0xFF, blank * SECTOR);
    memset(job, 0, sizeof(*job));
    region_count = 0;
    if ((with & WITH_TABLE) != 0) {
        want(SR_PARTITION_TABLE_OFFSET, SECTOR, new_table, SECTOR, false);
    }
    if ((with & WITH_NVS) != 0) {
        want(SMALL_NVS, SMALL_NVS_SIZE, new_nvs, sizeof(new_nvs), true);
    }
    if ((with & WITH_OTADATA) != 0) {
        want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), true);
    }
    want(NEW_APP, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE, false);
    if ((with & WITH_FILES) != 0) {
        want(FILES, sizeof(new_files), new_files, sizeof(new_files), true);
    }
    pack();
}

static void close_chip(void)
{
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    flash = NULL;
}

static int new_job(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    return 0;
}

static void assert_holds_all(void)
{
    for (uint32_t i = 0; i < region_count; i++) {
        const uint8_t *is = nor_flash_view(flash) + regions[i].place.address;
        assert_memory_equal(is, regions[i].data, regions[i].length);
        for (size_t k = regions[i].length; k < regions[i].place.size; k++) {
            assert_int_equal(is[k], 0xFF);
        }
    }
}

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

/* Every cut, torn in all ways, with further ones while it goes on. */
static void explore_opened(uint32_t blank, unsigned losses)
{
    sr_region_t targets[MAX_REGIONS];
    explore_result_t result;
    for (uint32_t i = 0; i < region_count; i++) {
        targets[i] = regions[i].place;
    }
    const explore_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")},
        .flash = nor_flash_view(flash),
        .size = SMALL_FLASH_SIZE,
        .timing = nor_timing_find(NULL),
        .app_main = app_in_exploration,
        .running_app = UINT32_MAX,
        .targets = targets,
        .target_count = region_count,
        .torn_states = SMALL_TORN,
        .losses = losses,
        .sample = SMALL_SAMPLE(0),
        .workers = 2,
    };
    assert_int_equal(explore_run(&config, &result), EXPLORE_OK);
    for (uint32_t i = 0; i < result.state_count; i++) {
        if (result.states[i].failed) {
            print_message("%u blank: cut %u.%u:%u: %s\n", blank, result.states[i].loss.operation,
                          result.states[i].loss.when, result.states[i].loss.seed, result.states[i].reason);
        }
    }
    assert_int_equal(result.failures, 0);
    assert_true(losses == 1 || result.nested_count > 0);
    explore_result_free(&result);
    close_chip();
}

/* With room for record and mark, for the mark alone, and for sizes in between. */
static void explore(unsigned with, uint32_t blank, unsigned losses)
{
    open_chip(with, blank);
    explore_opened(blank, losses);
}

static void every_cut_of_an_app_and_its_otadata(void **state)
{
    (void)state;
    explore(WITH_OTADATA, 16, 2);
    explore(WITH_OTADATA, 1, 2);
}

static void every_cut_of_data_of_the_new_system(void **state)
{
    (void)state;
    explore(WITH_OTADATA | WITH_NVS | WITH_FILES, 16, 2);
    explore(WITH_OTADATA | WITH_NVS | WITH_FILES, 1, 2);
    explore(WITH_OTADATA | WITH_NVS | WITH_FILES, 3, 2);
}

static void every_cut_of_all_of_it(void **state)
{
    (void)state;
    explore(WITH_ALL, 16, 2);
    explore(WITH_ALL, 6, 2); /* The data goes straight to its place, and is not in the record. */
    explore(WITH_ALL, 1, 2); /* From RAM. */
}

/* The new app goes over the running one, which no slot takes. */
static void open_in_place(uint32_t blank)
{
    open_chip(0, blank);
    uint8_t *bytes = nor_flash_bytes(flash);
    sr_partition_table_entry_t entries[8];
    small_put_table(bytes, entries, small_table(&(small_layout_t){.slots = 1}, entries));
    image_write_otadata(1, SR_OTA_UNDEFINED, new_otadata);
    region_count = 0;
    want(SMALL_NVS, SMALL_NVS_SIZE, new_nvs, sizeof(new_nvs), true);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), true);
    want(OLD_APP, SMALL_APP_SIZE, new_app, SMALL_APP_SIZE, false);
    pack();
    job->bundle.flags |= ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE;
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

static void every_cut_in_place(void **state)
{
    (void)state;
    open_in_place(7); /* One more, because the mark of a record that was cut short takes a sector. */
    explore_opened(7, 1);
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

/* The only free flash is the rest of the new app's slot, which the bundle wants blank. */
static void open_with_mark_in_the_way(void)
{
    open_chip(0, 0);
    memset(nor_flash_bytes(flash) + OLD_APP + SMALL_APP_SIZE, 0x5A, SMALL_SLOT_SIZE - SMALL_APP_SIZE);
    region_count = 0;
    want(SR_PARTITION_TABLE_OFFSET, SECTOR, new_table, SECTOR, false);
    want(SMALL_NVS, SMALL_NVS_SIZE, new_nvs, sizeof(new_nvs), true);
    want(SMALL_OTADATA, sizeof(new_otadata), new_otadata, sizeof(new_otadata), true);
    want(NEW_APP, SMALL_SLOT_SIZE, new_app, SMALL_APP_SIZE, false);
    pack();
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
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = boot.app_offset, .quiet = true};
    assert_true(sim_chip_attach(&config));
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

/* Torn in all ways, and with the source. */
static void every_cut_with_the_mark_in_the_way(void **state)
{
    (void)state;
    open_with_mark_in_the_way();
    explore_opened(0, 2);
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
        cmocka_unit_test_setup(every_cut_with_the_mark_in_the_way, new_job),
        cmocka_unit_test_setup(in_place_the_mark_goes_last, new_job),
        cmocka_unit_test_setup(every_cut_in_place, new_job),
        cmocka_unit_test_setup(every_cut_of_an_app_and_its_otadata, new_job),
        cmocka_unit_test_setup(every_cut_of_data_of_the_new_system, new_job),
        cmocka_unit_test_setup(every_cut_of_all_of_it, new_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
