// SPDX-License-Identifier: Apache-2.0
/** @file
 * Data that moves: where it ends up, what is refused, and that none of it is lost whenever the power goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "esp_flash.h"
#include "sim/explore/explore.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#include "format/sr_digest.h"
#include "format/sr_moves.h"

#define SECTOR   SR_SECTOR_SIZE
#define SLOT_0   SMALL_SLOTS
#define SLOT_1   (SMALL_SLOTS + SMALL_SLOT_SIZE)
#define NVS_KEPT (SMALL_NVS_SIZE - SECTOR) /**< The last sector of NVS is blank, as it mostly is. */
#define STORAGE  0x60000u
#define FREE     0x80000u /**< Blank up to BUNDLE. */
#define BUNDLE   0xD0000u

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    esp_self_reflasher_bundle_config_t bundle;
    esp_self_reflasher_plan_t plan;
    esp_err_t resumed, applied;
    bool applies_only, writes_while_staging;
    uint32_t fails_at; /**< Number of the allocation that gives no memory; 0: none. */
} job_t;

/** What the bundle of a test changes in the flash. */
typedef struct target {
    uint32_t storage;       /**< Place of a storage partition of 0x10000 bytes; 0: the table has none. */
    uint32_t nvs, nvs_size; /**< In the new table. */
    uint32_t otadata;       /**< In the new table. */
    bool new_bootloader;    /**< Else it is kept. */
    sr_bundle_move_t moves[3];
    unsigned move_count;
    sr_region_t erased; /**< One more region; empty: none. */
    sr_bundle_given_up_t given_up[2];
    unsigned given_up_count;
} target_t;

static job_t *job;
static nor_flash_t *flash;
static uint8_t old_flash[SMALL_FLASH_SIZE];
static uint8_t wanted[SMALL_FLASH_SIZE];
static sr_region_t targets[8];
static unsigned target_count;

static bool may_commit(void *unused)
{
    (void)unused;
    return false;
}

static void write_to_nvs(void *unused, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)unused;
    (void)data;
    if (event == ESP_SELF_REFLASHER_EVENT_STAGE) {
        const uint8_t zero = 0;
        (void)esp_flash_write(NULL, &zero, SMALL_NVS, 1);
        nor_flash_reset_stats(sim_chip()->flash);
    }
}

static void app_main(void)
{
    esp_self_reflasher_bundle_config_t config = job->bundle;
    esp_self_reflasher_plan_t plan = {0}; /* Explorations run the app in several processes at a time. */
    config.event_cb = job->writes_while_staging ? write_to_nvs : NULL;
    job->resumed = ESP_ERR_NOT_FINISHED;
    job->applied = ESP_ERR_NOT_FINISHED;
    sim_heap_fail_at(job->fails_at);
    job->resumed = job->applies_only ? ESP_OK : esp_self_reflasher_resume(&config);
    if (job->resumed == ESP_OK) {
        job->applied = esp_self_reflasher_apply_bundle(&config, &plan);
        job->plan = plan;
    }
}

static void call_app_main(void *unused)
{
    (void)unused;
    app_main();
}

static void fill_storage(uint8_t *bytes)
{
    for (uint32_t i = 0; i < 0x10000; i += SECTOR) {
        dummy_image_fill(bytes + i, SECTOR, 300 + i);
    }
}

/* An app in the first slot, NVS with something in it, and free flash. */
static int open_chip(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    *job = (job_t){0};
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + FREE, 0xFF, BUNDLE - FREE);
    small_app("1", bytes + SLOT_0);
    dummy_image_fill(bytes + SMALL_NVS, NVS_KEPT, 7);
    memset(bytes + SMALL_NVS + NVS_KEPT, 0xFF, SECTOR);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    return 0;
}

/* The bootloader with other data: two bits of one column of the checksum, and the digest that goes with them. */
static void other_bootloader(uint8_t *bytes)
{
    size_t length;
    uint8_t digest[SR_SHA256_SIZE];
    assert_int_equal(dummy_image_bootloader(sr_chip_by_name("esp32"), 0, bytes, 0x7000, &length), IMAGE_WRITE_OK);
    bytes[0x600] ^= 0x10;
    bytes[0x610] ^= 0x10;
    assert_true(sr_digest(bytes, length - sizeof(digest), digest));
    memcpy(bytes + length - sizeof(digest), digest, sizeof(digest));
}

static void new_table(const target_t *target, uint8_t *bytes)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, target->nvs, target->nvs_size, 0, "nvs"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, target->otadata, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT_0, SMALL_SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT_1, SMALL_SLOT_SIZE, 0, "ota_1"},
        {SR_PARTITION_TYPE_DATA, 0x82, target->storage, 0x10000, 0, "storage"},
    };
    small_put_table(bytes, entries, target->storage != 0 ? 5 : 4);
}

static void copy_moved(const target_t *target)
{
    for (unsigned i = 0; i < target->move_count; i++) {
        const sr_bundle_move_t *move = &target->moves[i];
        const sr_region_t source =
            strcmp(move->label, "nvs") == 0 ? (sr_region_t){SMALL_NVS, SMALL_NVS_SIZE} : move->source;
        memset(wanted + move->destination.address, 0xFF, move->destination.size);
        memcpy(wanted + move->destination.address, old_flash + source.address, source.size);
        targets[target_count++] = move->destination;
    }
}

static int by_address(const void *a, const void *b)
{
    const uint32_t left = ((const bundle_region_t *)a)->place.address;
    const uint32_t right = ((const bundle_region_t *)b)->place.address;
    return left < right ? -1 : left > right;
}

/* Puts the bundle into the flash, and what the flash must become into `wanted`. */
static void prepare(const target_t *target)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    memcpy(wanted, nor_flash_view(flash), SMALL_FLASH_SIZE);
    new_table(target, wanted);
    small_app("2", wanted + SLOT_1);
    memset(wanted + target->otadata, 0xFF, 2 * SECTOR);
    sr_otadata_encode(2, SR_OTA_VALID, wanted + target->otadata);
    if (target->new_bootloader) {
        other_bootloader(wanted + SMALL_BOOTLOADER);
    }
    memset(wanted + target->erased.address, 0xFF, target->erased.size);
    bundle_region_t regions[] = {
        {.place = {SR_PARTITION_TABLE_OFFSET, SECTOR}, .length = SECTOR},
        {.place = {target->otadata, 2 * SECTOR}, .length = 2 * SECTOR},
        {.place = {SLOT_1, SMALL_APP_SIZE}, .length = SMALL_APP_SIZE},
        {.place = {SMALL_BOOTLOADER, 0x7000}, .length = 0x7000},
        {.place = target->erased},
    };
    unsigned count = target->new_bootloader ? 4 : 3;
    if (target->erased.size != 0) {
        regions[count++] = regions[4];
    }
    for (unsigned i = 0; i < count; i++) {
        regions[i].data = regions[i].length != 0 ? wanted + regions[i].place.address : NULL;
        targets[i] = regions[i].place;
    }
    target_count = count;
    qsort(regions, count, sizeof(regions[0]), by_address);
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = count,
                                .moves = target->moves,
                                .move_count = target->move_count,
                                .given_up = target->given_up,
                                .given_up_count = target->given_up_count};
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    memcpy(nor_flash_bytes(flash) + BUNDLE, bytes, size);
    memcpy(wanted + BUNDLE, bytes, size);
    free(bytes);
    memcpy(old_flash, nor_flash_view(flash), SMALL_FLASH_SIZE);
    copy_moved(target);
    job->bundle = (esp_self_reflasher_bundle_config_t){.embedded = {BUNDLE, size},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
}

static sim_end_t start_at(uint32_t running_app, bool brownout)
{
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32")},
                                 .flash = flash,
                                 .running_app = running_app,
                                 .quiet = getenv("MOVES_LOG") == NULL,
                                 .after_brownout = brownout};
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call_app_main, NULL);
    sim_chip_detach();
    return end;
}

static sim_end_t start_after(bool brownout)
{
    return start_at(SLOT_0, brownout);
}

static void expect_wanted(void)
{
    small_assert_same(nor_flash_view(flash), wanted, 0, SMALL_FLASH_SIZE);
    small_assert_boots(flash, false, SLOT_1);
}

/* Applies it, and once more when the old places hold something else: then nothing moves any more. */
static void expect_applied(void)
{
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    expect_wanted();
    for (unsigned i = 0; i < target_count; i++) {
        assert_true(targets[i].address + targets[i].size <= SMALL_FLASH_SIZE);
    }
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    assert_int_equal(job->plan.sectors_moved, 0);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

static void expect_refused(const char *text)
{
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_MOVE);
    if (strstr(job->plan.refusal_text, text) == NULL) {
        fail_msg("refused with '%s', should be '%s'", job->plan.refusal_text, text);
    }
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    small_assert_same(nor_flash_view(flash), old_flash, 0, SMALL_FLASH_SIZE);
}

/* Cuts the power in every operation, and then up to @p losses - 1 times more in the attempts to go on. */
static void explore_all(unsigned losses, bool window_is_short)
{
    explore_result_t result;
    const explore_config_t config = {.chip = {.chip = sr_chip_by_name("esp32")},
                                     .flash = old_flash,
                                     .size = SMALL_FLASH_SIZE,
                                     .timing = nor_timing_find(NULL),
                                     .running_app = UINT32_MAX,
                                     .app_main = app_main,
                                     .targets = targets,
                                     .target_count = target_count,
                                     .torn_states = SMALL_TORN,
                                     .losses = losses,
                                     .sample = SMALL_SAMPLE(0),
                                     .workers = 2};
    assert_int_equal(explore_and_tell(&config, &result), EXPLORE_OK);
    for (uint32_t i = 0; i < result.state_count; i++) {
        if (result.states[i].failed) {
            print_message("cut %u, seed %u: %s\n", result.states[i].loss.operation, result.states[i].loss.seed,
                          result.states[i].reason);
        }
    }
    assert_int_equal(result.failures, 0);
    assert_true(result.outcomes[EXPLORE_OLD_FINISHES] > 0);
    assert_true(losses == 1 || result.nested_count > 0);
    small_assert_same(result.flash, wanted, 0, SMALL_FLASH_SIZE);
    assert_true(!window_is_short || result.window_typical_us * 100 <= result.lower_bound_typical_us * 105);
    explore_result_free(&result);
}

/* What is given up. */

static const target_t keeps_nvs = {
    .nvs = SMALL_NVS, .nvs_size = SMALL_NVS_SIZE, .otadata = SMALL_OTADATA, .new_bootloader = true};

static void what_moves_is_not_given_up(void **state)
{
    (void)state;
    target_t target = {.nvs = FREE,
                       .nvs_size = SMALL_NVS_SIZE,
                       .otadata = SMALL_OTADATA,
                       .moves = {{.label = "nvs", .destination = {FREE, SMALL_NVS_SIZE}}},
                       .move_count = 1,
                       .given_up = {{.place = {SMALL_NVS + SECTOR, SECTOR}}},
                       .given_up_count = 1};
    prepare(&target);
    expect_refused("gives up what it moves");
}

static void what_the_chip_boots_from_is_not_given_up(void **state)
{
    (void)state;
    const uint32_t places[] = {SMALL_BOOTLOADER, SR_PARTITION_TABLE_OFFSET, SMALL_OTADATA, SMALL_OTADATA + SECTOR};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        target_t target = keeps_nvs;
        target.given_up[0].place = (sr_region_t){places[i], SECTOR};
        target.given_up_count = 1;
        prepare(&target);
        assert_int_equal(start_after(false), SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_NO_ROOM);
        assert_int_equal(nor_flash_stats(flash).operations, 0);
    }
}

/* A fleet has mixed layouts: where the partition is not there, there is nothing to give up. */
static void a_label_that_is_not_there_is_ignored(void **state)
{
    (void)state;
    target_t target = keeps_nvs;
    target.given_up[0] = (sr_bundle_given_up_t){.label = "spiffs"};
    target.given_up_count = 1;
    prepare(&target);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    assert_int_equal(job->plan.sectors_given_up, 0);
    expect_wanted();
}

/* What it is given up for is the old system: the next run finds nothing to give up. */
static void only_the_old_system_is_given_up(void **state)
{
    (void)state;
    target_t target = keeps_nvs;
    target.given_up[0] = (sr_bundle_given_up_t){.label = "nvs"};
    target.given_up_count = 1;
    prepare(&target);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    assert_int_equal(job->plan.sectors_given_up, SMALL_NVS_SIZE / SECTOR);
    small_assert_boots(flash, false, SLOT_1);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    assert_int_equal(job->plan.sectors_given_up, 0);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

/* Where it moves. */

static void nvs_moves_to_free_flash(void **state)
{
    (void)state;
    const target_t target = {.nvs = FREE,
                             .nvs_size = SMALL_NVS_SIZE + 2 * SECTOR,
                             .otadata = SMALL_OTADATA,
                             .moves = {{.label = "nvs", .destination = {FREE, SMALL_NVS_SIZE + 2 * SECTOR}}},
                             .move_count = 1};
    prepare(&target);
    explore_all(1, true);
    expect_applied();
    assert_int_equal(memcmp(nor_flash_view(flash) + SMALL_NVS, old_flash + SMALL_NVS, SMALL_NVS_SIZE), 0);
}

/* Both ways at once: the new otadata goes where NVS is, and NVS goes where the old otadata is. */
static const target_t exchange = {.nvs = SMALL_NVS + 2 * SECTOR,
                                  .nvs_size = SMALL_NVS_SIZE,
                                  .otadata = SMALL_NVS,
                                  .new_bootloader = true,
                                  .moves = {{.label = "nvs", .destination = {SMALL_NVS + 2 * SECTOR, SMALL_NVS_SIZE}}},
                                  .move_count = 1};

static void nvs_changes_places_with_otadata(void **state)
{
    (void)state;
    prepare(&exchange);
    explore_all(3, false);
    expect_applied();
}

static void blank_place_after_it_grows(void **state)
{
    (void)state;
    const target_t target = {.nvs = SMALL_NVS,
                             .nvs_size = SMALL_NVS_SIZE + 2 * SECTOR,
                             .otadata = FREE,
                             .moves = {{.label = "nvs", .destination = {SMALL_NVS, SMALL_NVS_SIZE + 2 * SECTOR}}},
                             .move_count = 1};
    prepare(&target);
    explore_all(1, false);
    expect_applied();
}

/* One entry of the record takes a run of sectors. */
static void regions_change_places(void **state)
{
    (void)state;
    const target_t target = {.nvs = SMALL_NVS,
                             .nvs_size = SMALL_NVS_SIZE,
                             .otadata = SMALL_OTADATA,
                             .storage = FREE,
                             .moves = {{.source = {FREE, 0x10000}, .destination = {STORAGE, 0x10000}},
                                       {.source = {STORAGE, 0x10000}, .destination = {FREE, 0x10000}}},
                             .move_count = 2};
    fill_storage(nor_flash_bytes(flash) + STORAGE);
    memcpy(nor_flash_bytes(flash) + FREE, "calibration", 11);
    prepare(&target);
    explore_all(1, false);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->plan.sectors_moved, 32);
    expect_wanted();
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

/* What lies at the old place is erased by the same bundle. */
static void old_place_is_erased(void **state)
{
    (void)state;
    target_t target = {.nvs = FREE,
                       .nvs_size = SMALL_NVS_SIZE,
                       .otadata = SMALL_OTADATA,
                       .moves = {{.label = "nvs", .destination = {FREE, SMALL_NVS_SIZE}}},
                       .move_count = 1,
                       .erased = {SMALL_NVS, SMALL_NVS_SIZE}};
    prepare(&target);
    explore_all(1, true);
    expect_applied();
}

/* The app, in the only app partition, is relocated with a temporary table, which has the old places, too. */
static void app_moves_by_a_temporary_table_before_data_does(void **state)
{
    (void)state;
    static const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, SMALL_NVS, SMALL_NVS_SIZE, 0, "nvs"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, SMALL_OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SLOT_1, SMALL_SLOT_SIZE, 0, "factory"},
    };
    uint8_t *bytes = nor_flash_bytes(flash);
    small_put_table(bytes, entries, 3);
    memset(bytes + SMALL_OTADATA, 0xFF, 2 * SECTOR);
    small_app("1", bytes + SLOT_1);
    memset(bytes + SLOT_0, 0x55, SECTOR);
    prepare(&exchange);
    job->bundle.flags |= ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE;
    assert_int_equal(start_at(SLOT_1, false), SIM_END_RESTART);
    assert_int_equal(start_at(FREE, false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_app("1", wanted + FREE);
    expect_wanted();
    memcpy(nor_flash_bytes(flash), old_flash, SMALL_FLASH_SIZE);
    explore_all(2, false);
}

/* Refusals. */

static void partition_that_is_not_there_is_refused(void **state)
{
    (void)state;
    target_t target = exchange;
    prepare(&target);
    strcpy(target.moves[0].label, "nvs_2");
    target.moves[0].source = (sr_region_t){0};
    prepare(&target);
    expect_refused("'nvs_2'");
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    const target_t target = {.nvs = FREE,
                             .nvs_size = SMALL_NVS_SIZE - SECTOR,
                             .otadata = SMALL_OTADATA,
                             .moves = {{.label = "nvs", .destination = {FREE, SMALL_NVS_SIZE - SECTOR}}},
                             .move_count = 1};
    prepare(&target);
    expect_refused("'nvs', 16384 bytes at 0x9000, does not fit its new place: 12288 bytes at 0x80000");
}

static void no_flash_to_stage_in_is_refused(void **state)
{
    (void)state;
    memset(nor_flash_bytes(flash) + FREE, 0x55, BUNDLE - FREE);
    memset(nor_flash_bytes(flash) + FREE, 0xFF, 10 * SECTOR); /* One less than it takes. */
    prepare(&exchange);
    expect_refused("no free flash takes the 45056 bytes that have to be staged for it: the longest piece has 40960 "
                   "bytes, at 0x80000");
    assert_int_equal(job->plan.bytes_missing, SECTOR);
    memset(nor_flash_bytes(flash) + FREE, 0xFF, 11 * SECTOR);
    prepare(&exchange);
    expect_applied();
}

/* The only free flash is in the slot that the app moves to: a record of five sectors, after an app of three. */
static void room_that_the_app_takes_is_none_to_stage_in(void **state)
{
    (void)state;
    const target_t target = {.nvs = FREE,
                             .nvs_size = SMALL_NVS_SIZE,
                             .otadata = SMALL_OTADATA,
                             .moves = {{.label = "nvs", .destination = {FREE, SMALL_NVS_SIZE}}},
                             .move_count = 1};
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + FREE, 0x55, BUNDLE - FREE);
    small_app("1", bytes + SLOT_1);
    memset(bytes + SLOT_0, 0xFF, 7 * SECTOR);
    memset(bytes + SMALL_OTADATA, 0xFF, 2 * SECTOR);
    sr_otadata_encode(2, SR_OTA_UNDEFINED, bytes + SMALL_OTADATA);
    prepare(&target);
    assert_int_equal(start_at(SLOT_1, false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_MOVE);
    assert_int_equal(nor_flash_stats(flash).operations, 0);

    memset(bytes + SLOT_0, 0xFF, 8 * SECTOR);
    prepare(&target);
    assert_int_equal(start_at(SLOT_1, false), SIM_END_RESTART);
    assert_int_equal(start_at(SLOT_0, false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_app("1", wanted + SLOT_0);
    expect_wanted();
}

/* Otadata is right, but selects no app that is intact, so that the running one has to be selected before a new one is
 * written: then otadata is one sector more that has to be staged. */
static void room_that_otadata_takes_is_none_to_stage_in(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    const target_t target = {
        .nvs = SMALL_NVS + SECTOR,
        .nvs_size = 2 * SECTOR,
        .otadata = SMALL_OTADATA,
        .moves = {{.source = {SMALL_NVS, 2 * SECTOR}, .destination = {SMALL_NVS + SECTOR, 2 * SECTOR}}},
        .move_count = 1};
    uint8_t *bytes = nor_flash_bytes(flash);
    small_put_table(bytes, entries, small_table(&(small_layout_t){.slots = 2, .factory = true}, entries));
    memset(bytes + FREE, 0x55, BUNDLE - FREE);
    memset(bytes + FREE, 0xFF, 6 * SECTOR);
    small_app("1", bytes + SMALL_FACTORY);
    bytes[SLOT_0] = 0;
    memset(bytes + SMALL_OTADATA, 0xFF, 2 * SECTOR);
    sr_otadata_encode(2, SR_OTA_VALID, bytes + SMALL_OTADATA);
    prepare(&target);
    small_assert_boots(flash, false, SMALL_FACTORY);
    assert_int_equal(start_at(SMALL_FACTORY, false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_MOVE);
    assert_int_equal(nor_flash_stats(flash).operations, 0);

    memset(bytes + FREE, 0xFF, 8 * SECTOR); /* A mark that is torn costs one. */
    prepare(&target);
    explore_all(1, false);
}

static void encrypted_flash_is_refused(void **state)
{
    (void)state;
    prepare(&exchange);
    sim_scramble(0, nor_flash_bytes(flash), BUNDLE);
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32")},
                                 .flash = flash,
                                 .running_app = SLOT_0,
                                 .quiet = true,
                                 .flash_encryption = true};
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    assert_int_equal(sim_call(call_app_main, NULL), SIM_END_RETURNED);
    sim_chip_detach();
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_SECURITY);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

/* The order. */

/** First and last program in old otadata's place and in the table; shared with the process that writes. */
typedef struct order {
    uint32_t count, moved_last, table_first;
} order_t;

static void note_order(void *context, const nor_op_t *op, const nor_flash_t *unused)
{
    (void)unused;
    order_t *order = context;
    order->count++;
    if (op->kind == NOR_OP_PROGRAM && op->address >= SMALL_OTADATA && op->address < SMALL_OTADATA + SECTOR) {
        order->moved_last = order->count;
    }
    if (op->kind == NOR_OP_PROGRAM && op->address / SECTOR == SR_PARTITION_TABLE_OFFSET / SECTOR &&
        order->table_first == 0) {
        order->table_first = order->count;
    }
}

/* From the new table on, another app may run, and that would not finish anything: what moved must be whole by then. */
static void what_moves_to_the_place_of_otadata_comes_before_the_table(void **state)
{
    (void)state;
    order_t *order = small_shared(sizeof(*order));
    prepare(&exchange);
    nor_flash_set_observer(flash, note_order, order);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    nor_flash_set_observer(flash, NULL, NULL);
    assert_int_equal(job->applied, ESP_OK);
    assert_true(order->moved_last > 0);
    assert_true(order->table_first > 0);
    assert_true(order->moved_last < order->table_first);
    expect_wanted();
    munmap(order, sizeof(*order));
}

/* What must not be lost. */

/* Staged for the commit, and straight to its place in free flash, which is no less half of one state and half of
 * another. */
static void what_is_written_to_meanwhile_does_not_move_to_free_flash(void **state)
{
    (void)state;
    const target_t target = {.nvs = FREE,
                             .nvs_size = SMALL_NVS_SIZE,
                             .otadata = SMALL_OTADATA,
                             .moves = {{.label = "nvs", .destination = {FREE, SMALL_NVS_SIZE}}},
                             .move_count = 1};
    nor_flash_bytes(flash)[SMALL_NVS] = 0xFF;
    prepare(&target);
    job->writes_while_staging = true;
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_INVALID_STATE);
    small_assert_boots(flash, false, SLOT_0);
    small_assert_same(nor_flash_view(flash), old_flash, 0, SMALL_NVS);
    assert_int_equal(nor_flash_stats(flash).operations, 0); /* Nothing more, once it was written to. */

    job->writes_while_staging = false;
    wanted[SMALL_NVS] = 0;
    wanted[FREE] = 0;
    expect_applied();
}

static void what_is_written_to_meanwhile_does_not_move(void **state)
{
    (void)state;
    prepare(&exchange);
    job->writes_while_staging = true;
    nor_flash_bytes(flash)[SMALL_NVS] = 0xFF;
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_INVALID_STATE);
    small_assert_boots(flash, false, SLOT_0);
    assert_int_equal(nor_flash_view(flash)[SMALL_NVS], 0);
    assert_memory_equal(nor_flash_view(flash) + SMALL_NVS + 1, old_flash + SMALL_NVS + 1, NVS_KEPT - 1);

    job->writes_while_staging = false;
    wanted[exchange.nvs] = 0;
    expect_applied();
}

static bool source_is_gone(void)
{
    return memcmp(nor_flash_view(flash) + SMALL_NVS, old_flash + SMALL_NVS, SECTOR) != 0;
}

/* Cuts the power in the first operation that destroys the source. */
static void cut_after_the_seal(void)
{
    for (uint32_t operation = 0; !source_is_gone(); operation++) {
        memcpy(nor_flash_bytes(flash), old_flash, SMALL_FLASH_SIZE);
        const sim_config_t config = {
            .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = SLOT_0, .quiet = true};
        assert_true(sim_chip_attach(&config));
        nor_flash_reset_stats(flash);
        nor_flash_set_power_loss(
            flash, (nor_power_loss_t){.armed = true, .operation = operation, .when = NOR_POWER_LOSS_AFTER});
        assert_int_equal(sim_call(call_app_main, NULL), SIM_END_POWER_LOSS);
        sim_chip_detach();
        nor_flash_power_on(flash);
    }
}

/* The record has the only copy by then. An app that is not allowed to finish it must not start afresh, either. */
static void record_with_the_only_copy_is_never_discarded(void **state)
{
    (void)state;
    prepare(&exchange);
    cut_after_the_seal();
    small_assert_boots(flash, false, SLOT_0);
    uint8_t *before = small_copy(flash);
    job->bundle.may_commit = may_commit;
    job->applies_only = true;
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    job->bundle.may_commit = NULL;
    assert_int_equal(start_after(true), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    free(before);
    assert_int_equal(start_after(false), SIM_END_RESTART);
    expect_wanted();
}

/* Wherever memory runs out: nothing is lost, and the next start finishes. */
static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    bool failed = true;
    prepare(&exchange);
    for (uint32_t number = 1; failed; number++) {
        memcpy(nor_flash_bytes(flash), old_flash, SMALL_FLASH_SIZE);
        job->fails_at = number;
        assert_int_equal(start_after(false), SIM_END_RETURNED);
        failed = job->resumed == ESP_ERR_NO_MEM || job->applied == ESP_ERR_NO_MEM;
        if (job->applied == ESP_OK) {
            expect_wanted();
        }
        job->fails_at = 0;
        sim_end_t end = start_after(false);
        if (end == SIM_END_RESTART) {
            end = start_after(false);
        }
        assert_int_equal(end, SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_OK);
        expect_wanted();
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_moves_is_not_given_up),
        TEST(what_the_chip_boots_from_is_not_given_up),
        TEST(a_label_that_is_not_there_is_ignored),
        TEST(only_the_old_system_is_given_up),
        TEST(nvs_moves_to_free_flash),
        TEST(nvs_changes_places_with_otadata),
        TEST(blank_place_after_it_grows),
        TEST(regions_change_places),
        TEST(old_place_is_erased),
        TEST(app_moves_by_a_temporary_table_before_data_does),
        TEST(partition_that_is_not_there_is_refused),
        TEST(what_does_not_fit_is_refused),
        TEST(no_flash_to_stage_in_is_refused),
        TEST(room_that_the_app_takes_is_none_to_stage_in),
        TEST(room_that_otadata_takes_is_none_to_stage_in),
        TEST(encrypted_flash_is_refused),
        TEST(what_moves_to_the_place_of_otadata_comes_before_the_table),
        TEST(what_is_written_to_meanwhile_does_not_move),
        TEST(what_is_written_to_meanwhile_does_not_move_to_free_flash),
        TEST(record_with_the_only_copy_is_never_discarded),
        TEST(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
