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
#include "test/support/support_cipher.h"
#include "test/support/support_nvs.h"
#include "test/support/support_record.h"
#include "test/support/support_small.h"

#include "format/sr_digest.h"
#include "format/sr_moves.h"
#include "format/sr_record.h"

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
    bool applies_only;
    uint32_t writes_while_staging; /**< Address; 0: it does not. */
    uint32_t fails_at;             /**< Number of the allocation that gives no memory; 0: none. */
    uint32_t commits;              /**< Sectors of the boot path, as the commit tells. */
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

static void on_event(void *unused, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)unused;
    if (event == ESP_SELF_REFLASHER_EVENT_COMMIT) {
        job->commits = data->sectors_total;
    }
    if (event == ESP_SELF_REFLASHER_EVENT_STAGE && job->writes_while_staging != 0) {
        const uint8_t zero = 0;
        (void)esp_flash_write(NULL, &zero, job->writes_while_staging, 1);
        nor_flash_reset_stats(sim_chip()->flash);
    }
}

static void app_main(void)
{
    esp_self_reflasher_bundle_config_t config = job->bundle;
    esp_self_reflasher_plan_t plan = {0}; /* Explorations run the app in several processes at a time. */
    config.event_cb = on_event;
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

/* Pages of NVS that are not blank, without those that are. */
static void copy_pages(sr_region_t source, uint32_t destination)
{
    uint8_t blank[SECTOR];
    memset(blank, 0xFF, sizeof(blank));
    for (uint32_t page = source.address; page < source.address + source.size; page += SECTOR) {
        if (memcmp(old_flash + page, blank, SECTOR) != 0) {
            memcpy(wanted + destination, old_flash + page, SECTOR);
            destination += SECTOR;
        }
    }
}

static void copy_moved(const target_t *target)
{
    for (unsigned i = 0; i < target->move_count; i++) {
        const sr_bundle_move_t *move = &target->moves[i];
        const sr_region_t source =
            strcmp(move->label, "nvs") == 0 ? (sr_region_t){SMALL_NVS, SMALL_NVS_SIZE} : move->source;
        memset(wanted + move->destination.address, 0xFF, move->destination.size);
        if (source.size > move->destination.size) {
            copy_pages(source, move->destination.address);
        } else {
            memcpy(wanted + move->destination.address, old_flash + source.address, source.size);
        }
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
    const bundle_spec_t spec = {.partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = count,
                                .moves = target->moves,
                                .move_count = target->move_count,
                                .given_up = target->given_up,
                                .given_up_count = target->given_up_count};
    const addr_region_t place = small_put_bundle(flash, (sr_region_t){BUNDLE, SMALL_FLASH_SIZE - BUNDLE}, spec);
    memcpy(wanted + BUNDLE, nor_flash_view(flash) + BUNDLE, place.region_size);
    memcpy(old_flash, nor_flash_view(flash), SMALL_FLASH_SIZE);
    copy_moved(target);
    job->bundle =
        (esp_self_reflasher_bundle_config_t){.embedded = place, .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
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

static uint32_t sectors_to_change(void)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < SMALL_FLASH_SIZE; at += SECTOR) {
        count += memcmp(old_flash + at, wanted + at, SECTOR) != 0;
    }
    return count;
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
static void explore_sample_of(unsigned losses, bool window_is_short, uint32_t sample)
{
    explore_result_t result;
    small_explore((explore_config_t){.flash = old_flash,
                                     .app_main = app_main,
                                     .targets = targets,
                                     .target_count = target_count,
                                     .losses = losses,
                                     .sample = sample},
                  &result);
    assert_true(result.outcomes[EXPLORE_OLD_FINISHES] > 0);
    assert_true(losses == 1 || result.nested_count > 0);
    small_assert_same(result.flash, wanted, 0, SMALL_FLASH_SIZE);
    assert_true(!window_is_short || result.window_typical_us * 100 <= result.lower_bound_typical_us * 105);
    explore_result_free(&result);
}

static void explore_all(unsigned losses, bool window_is_short)
{
    explore_sample_of(losses, window_is_short, SMALL_SAMPLE(0));
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

/* At the end of a partition, or of the flash that is in none, the mark of a record ends, unless what is given up begins
 * right there. Neither of the two pieces takes the record alone. */
static void record_goes_on_in_what_is_given_up(void **state)
{
    (void)state;
    const uint32_t border = SLOT_1 + SMALL_SLOT_SIZE;
    for (unsigned gap = 0; gap < 2; gap++) {
        sr_partition_table_entry_t entries[8];
        uint8_t *bytes = nor_flash_bytes(flash);
        target_t target = keeps_nvs;
        unsigned count = small_table(&(small_layout_t){.slots = 2}, entries);
        entries[count++] =
            (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, border + gap * SECTOR, 3 * SECTOR, 0, "gone"};
        small_put_table(bytes, entries, count);
        memset(bytes + FREE, 0x55, BUNDLE - FREE);
        memset(bytes + border - 3 * SECTOR, 0xFF, (3 + gap) * SECTOR);
        target.new_bootloader = false;
        target.given_up[0] = (sr_bundle_given_up_t){.label = "gone"};
        target.given_up_count = 1;
        prepare(&target);
        assert_int_equal(start_after(false), SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_OK);
        assert_int_equal(job->plan.staging_address, gap == 0 ? border - 3 * SECTOR : UINT32_MAX);
        memcpy(nor_flash_bytes(flash), old_flash, SMALL_FLASH_SIZE);
    }
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

static const target_t nvs_to_free_flash = {.nvs = FREE,
                                           .nvs_size = SMALL_NVS_SIZE,
                                           .otadata = SMALL_OTADATA,
                                           .moves = {{.label = "nvs", .destination = {FREE, SMALL_NVS_SIZE}}},
                                           .move_count = 1};

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

/* The entry of the running app is in the second sector, and what the first one holds is what the bundle brings. That it
 * will not be so any more, if the running app has to be selected, is no reason to write it. */
static void plan_counts_what_is_written(void **state)
{
    (void)state;
    sr_otadata_encode(2, SR_OTA_VALID, nor_flash_bytes(flash) + SMALL_OTADATA);
    sr_otadata_encode(3, SR_OTA_VALID, nor_flash_bytes(flash) + SMALL_OTADATA + SECTOR);
    prepare(&nvs_to_free_flash);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    expect_wanted();
    assert_int_equal(job->plan.sectors_to_write, sectors_to_change());
    assert_int_equal(job->plan.sectors_boot_path, 2); /* The table and the second entry. */
    assert_int_equal(job->commits, 2);
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
    explore_sample_of(3, false, SMALL_SAMPLE_OF_ALIKE); /* As of two regions that change places, with fewer pages. */
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

/* NVS that gets smaller. */

#define NVS_PAGES (SMALL_NVS_SIZE / SECTOR)

/* Its last page is where the new otadata goes. */
static const target_t in_its_place = {.nvs = SMALL_NVS,
                                      .nvs_size = 3 * SECTOR,
                                      .otadata = SMALL_NVS + 3 * SECTOR,
                                      .new_bootloader = true,
                                      .moves = {{.label = "nvs", .destination = {SMALL_NVS, 3 * SECTOR}}},
                                      .move_count = 1};

/* A page comes to lie where another one was. */
static const target_t one_page_up = {.nvs = SMALL_NVS + SECTOR,
                                     .nvs_size = 3 * SECTOR,
                                     .otadata = SMALL_OTADATA,
                                     .moves = {{.label = "nvs", .destination = {SMALL_NVS + SECTOR, 3 * SECTOR}}},
                                     .move_count = 1};

static const target_t to_free_flash = {.nvs = FREE,
                                       .nvs_size = 3 * SECTOR,
                                       .otadata = SMALL_NVS + 3 * SECTOR,
                                       .moves = {{.label = "nvs", .destination = {FREE, 3 * SECTOR}}},
                                       .move_count = 1};

/* Bit N: page N is in use. */
static void fill_nvs(unsigned pattern)
{
    uint8_t *nvs = nor_flash_bytes(flash) + SMALL_NVS;
    memset(nvs, 0xFF, SMALL_NVS_SIZE);
    for (unsigned i = 0; i < NVS_PAGES; i++) {
        if ((pattern >> i & 1) != 0) {
            nvs_page_in_use(nvs + i * SECTOR, 20 - i);
        }
    }
}

/* A flash as it was before anything was tried. */
static void start_over(const uint8_t *fresh, unsigned pattern)
{
    memcpy(nor_flash_bytes(flash), fresh, SMALL_FLASH_SIZE);
    fill_nvs(pattern);
}

static void nvs_closes_up_whichever_pages_are_in_use(void **state)
{
    (void)state;
    const target_t *const places[] = {&in_its_place, &one_page_up, &to_free_flash};
    uint8_t *fresh = small_copy(flash);
    for (unsigned i = 0; i < 3 * (1u << NVS_PAGES); i++) {
        const unsigned pattern = i / 3;
        const int used = __builtin_popcount(pattern);
        char text[96];
        start_over(fresh, pattern);
        prepare(places[i % 3]);
        if (used > 2) {
            (void)snprintf(text, sizeof(text), "'nvs' uses %d pages of 4 KiB, its new place", used);
            expect_refused(text);
            (void)snprintf(text, sizeof(text), "has 3, and one has to stay free: %d missing; give it %d bytes in the ",
                           used - 2, (used + 1) * 4096);
            expect_refused(text);
        } else {
            expect_applied();
        }
    }
    free(fresh);
}

/* What NVS holds for corrupt, and half of a page that was being freed when the power went. */
static void pages_of_every_kind_move(void **state)
{
    (void)state;
    uint8_t *nvs = nor_flash_bytes(flash) + SMALL_NVS;
    fill_nvs(0);
    nvs[2 * SECTOR + 4000] = 0;
    nvs_page(nvs + 3 * SECTOR, NVS_FREEING, 7);
    nvs_item(nvs + 3 * SECTOR, 0, 1);
    prepare(&in_its_place);
    expect_applied();
}

static void page_that_the_commit_writes_over_moves(void **state)
{
    (void)state;
    fill_nvs(0x9);
    prepare(&in_its_place);
    explore_all(3, false);
    expect_applied();
}

static void pages_move_up_over_each_other(void **state)
{
    (void)state;
    fill_nvs(0xA);
    prepare(&one_page_up);
    explore_all(2, false);
    expect_applied();
}

static void pages_move_to_free_flash(void **state)
{
    (void)state;
    fill_nvs(0xC);
    prepare(&to_free_flash);
    explore_all(2, false);
    expect_applied();
}

/* Pages that stay where they are are staged with the others, but not written. */
static void nvs_that_has_its_end_free_is_not_written(void **state)
{
    (void)state;
    fill_nvs(0x3);
    prepare(&in_its_place);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    assert_int_equal(job->plan.sectors_moved, 2);
    for (uint32_t at = SMALL_NVS; at < SMALL_NVS + 3 * SECTOR; at += SECTOR) {
        assert_int_equal(nor_flash_wear(flash, at / SECTOR), 0);
    }
    expect_wanted();
}

static void smallest_nvs_has_three_pages(void **state)
{
    (void)state;
    target_t target = to_free_flash;
    target.moves[0].destination.size = 2 * SECTOR;
    fill_nvs(0x1);
    prepare(&target);
    expect_refused("'nvs' uses 1 pages of 4 KiB, its new place at 0x80000 has 2, and NVS wants 3 at least: 1 missing; "
                   "give it 12288 bytes in the new table");
}

/* What is encrypted is so for its offset in the partition. */
static void encrypted_pages_keep_their_offset(void **state)
{
    (void)state;
    uint8_t *nvs = nor_flash_bytes(flash) + SMALL_NVS;
    uint8_t *fresh = small_copy(flash);
    fill_nvs(0x9);
    for (unsigned i = 0; i < 8; i++) {
        nvs_encrypt(nvs + 3 * SECTOR, i, 3 * SECTOR);
    }
    prepare(&to_free_flash);
    expect_refused("'nvs' moves to a smaller place, where its page at 0xc000 would lie at another offset, and that may "
                   "be encrypted for this one: give it 16384 bytes in the new table, as it has today");
    start_over(fresh, 0x3);
    for (unsigned i = 0; i < 8; i++) {
        nvs_encrypt(nvs, i, 0);
        nvs_encrypt(nvs + SECTOR, i, SECTOR);
    }
    prepare(&to_free_flash);
    expect_applied();
    free(fresh);
}

/* To a page that is taken along, or to one that was blank and is not. */
static void app_writes_to_nvs_meanwhile(void **state)
{
    (void)state;
    const uint32_t places[] = {SMALL_NVS + 3 * SECTOR + 4000, SMALL_NVS + 2 * SECTOR, SMALL_NVS + SECTOR + 4095};
    const target_t *const targets_of_nvs[] = {&in_its_place, &to_free_flash};
    uint8_t *fresh = small_copy(flash);
    for (unsigned i = 0; i < 6; i++) {
        const target_t *target = targets_of_nvs[i % 2];
        start_over(fresh, 0x8);
        prepare(target);
        job->writes_while_staging = places[i / 2];
        assert_int_equal(start_after(false), SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_ERR_INVALID_STATE);
        small_assert_boots(flash, false, SLOT_0);
        old_flash[places[i / 2]] = 0;
        small_assert_same(nor_flash_view(flash), old_flash, 0, SMALL_NVS + SMALL_NVS_SIZE);
        assert_int_equal(nor_flash_stats(flash).operations, 0); /* Nothing more, once it was written to. */

        job->writes_while_staging = 0;
        wanted[places[i / 2]] = places[i / 2] < target->otadata ? 0 : 0xFF;
        copy_moved(target);
        expect_applied();
    }
    free(fresh);
}

/* One page would be too many by then: the old system stays. */
static void page_that_nvs_takes_meanwhile_may_be_one_too_many(void **state)
{
    (void)state;
    fill_nvs(0x9);
    prepare(&in_its_place);
    job->writes_while_staging = SMALL_NVS + SECTOR;
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_INVALID_STATE);
    job->writes_while_staging = 0;
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_MOVE);
    small_assert_boots(flash, false, SLOT_0);
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

/* Only NVS can get smaller: here it is called something else. */
static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    const unsigned count = small_table(&(small_layout_t){.slots = 2}, entries);
    entries[0].subtype = 0x82;
    small_put_table(nor_flash_bytes(flash), entries, count);
    prepare(&to_free_flash);
    expect_refused("'nvs', 16384 bytes at 0x9000, does not fit its new place: 12288 bytes at 0x80000; only NVS can get "
                   "smaller: keep the size of this, or save what it holds and leave the move out");
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
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + FREE, 0x55, BUNDLE - FREE);
    small_app("1", bytes + SLOT_1);
    memset(bytes + SLOT_0, 0xFF, 7 * SECTOR);
    memset(bytes + SMALL_OTADATA, 0xFF, 2 * SECTOR);
    sr_otadata_encode(2, SR_OTA_UNDEFINED, bytes + SMALL_OTADATA);
    prepare(&nvs_to_free_flash);
    assert_int_equal(start_at(SLOT_1, false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_MOVE);
    assert_int_equal(nor_flash_stats(flash).operations, 0);

    memset(bytes + SLOT_0, 0xFF, 8 * SECTOR);
    prepare(&nvs_to_free_flash);
    assert_int_equal(start_at(SLOT_1, false), SIM_END_RESTART);
    assert_int_equal(start_at(SLOT_0, false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_app("1", wanted + SLOT_0);
    expect_wanted();
}

/* It claims more than the copy of the app writes over, and what would be left of it is in nobody's record. */
static void old_record_goes_before_the_app_takes_its_place(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + FREE, 0x55, BUNDLE - FREE);
    small_app("1", bytes + SLOT_1);
    memset(bytes + SLOT_0, 0xFF, 8 * SECTOR);
    memset(bytes + SLOT_0 + SECTOR, 0x55, 5 * SECTOR);
    sr_record_write_mark(bytes + SLOT_0, 6 - SR_RECORD_OVERHEAD);
    memset(bytes + SMALL_OTADATA, 0xFF, 2 * SECTOR);
    sr_otadata_encode(2, SR_OTA_UNDEFINED, bytes + SMALL_OTADATA);
    prepare(&nvs_to_free_flash);
    assert_int_equal(start_at(SLOT_1, false), SIM_END_RESTART);
    assert_int_equal(start_at(SLOT_0, false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_app("1", wanted + SLOT_0);
    memset(wanted + SLOT_0 + SMALL_APP_SIZE, 0xFF, 8 * SECTOR - SMALL_APP_SIZE);
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

/* NVS is plain at both places, and otadata, with which it changes places, is encrypted at both. */
static void encrypted_flash(void **state)
{
    (void)state;
    prepare(&exchange);
    uint8_t *bytes = nor_flash_bytes(flash);
    uint8_t *old = small_copy(flash);
    support_encrypt(bytes, 0, SMALL_NVS);
    support_encrypt(bytes, SMALL_OTADATA, FREE - SMALL_OTADATA);
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32"), .cipher = support_cipher()},
                                 .flash = flash,
                                 .running_app = SLOT_0,
                                 .quiet = true};
    assert_true(sim_chip_attach(&config));
    (void)sim_call(call_app_main, NULL);
    sim_chip_detach();
    assert_int_equal(job->applied, ESP_OK);
    assert_memory_equal(bytes + exchange.nvs, old + SMALL_NVS, SMALL_NVS_SIZE);
    boot_result_t result;
    boot_run(&config.chip, bytes, SMALL_FLASH_SIZE, NULL, NULL, &result);
    assert_true(boot_succeeds(&result));
    free(old);
}

/* Up to the operation with this number. In the window, when there is no table, the app does not start. */
static sim_end_t start_encrypted(uint32_t cut)
{
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32"), .cipher = support_cipher()},
                                 .flash = flash,
                                 .running_app = SLOT_0,
                                 .quiet = true};
    if (!sim_chip_attach(&config)) {
        return SIM_END_PANIC;
    }
    nor_flash_reset_stats(flash);
    if (cut != UINT32_MAX) {
        nor_flash_set_power_loss(flash,
                                 (nor_power_loss_t){.armed = true, .operation = cut, .when = NOR_POWER_LOSS_BEFORE});
    }
    const sim_end_t end = sim_call(call_app_main, NULL);
    sim_chip_detach();
    return end;
}

/* The table is where the running system has it: what was interrupted is finished there as elsewhere. */
static void encrypted_flash_goes_on_after_a_power_loss(void **state)
{
    (void)state;
    prepare(&exchange);
    uint8_t *bytes = nor_flash_bytes(flash);
    support_encrypt(bytes, 0, SMALL_NVS);
    support_encrypt(bytes, SMALL_OTADATA, FREE - SMALL_OTADATA);
    uint8_t *old = small_copy(flash);
    assert_int_equal(start_encrypted(UINT32_MAX), SIM_END_RETURNED);
    const uint32_t operations = nor_flash_stats(flash).operations;
    uint8_t *done = small_copy(flash);
    unsigned finished = 0;
    for (uint32_t cut = operations / 2; cut < operations; cut += operations / 20 + 1) {
        memcpy(nor_flash_bytes(flash), old, SMALL_FLASH_SIZE);
        assert_int_equal(start_encrypted(cut), SIM_END_POWER_LOSS);
        nor_flash_power_on(flash);
        if (start_encrypted(UINT32_MAX) == SIM_END_RESTART) { /* resume() has done it. */
            small_assert_same(nor_flash_view(flash), done, 0, SMALL_FLASH_SIZE);
            finished++;
        }
    }
    assert_true(finished > 0);
    free(old);
    free(done);
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
    job->writes_while_staging = SMALL_NVS;
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_INVALID_STATE);
    small_assert_boots(flash, false, SLOT_0);
    small_assert_same(nor_flash_view(flash), old_flash, 0, SMALL_NVS);
    assert_int_equal(nor_flash_stats(flash).operations, 0); /* Nothing more, once it was written to. */

    job->writes_while_staging = 0;
    wanted[SMALL_NVS] = 0;
    wanted[FREE] = 0;
    expect_applied();
}

static void what_is_written_to_meanwhile_does_not_move(void **state)
{
    (void)state;
    prepare(&exchange);
    job->writes_while_staging = SMALL_NVS;
    nor_flash_bytes(flash)[SMALL_NVS] = 0xFF;
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_INVALID_STATE);
    small_assert_boots(flash, false, SLOT_0);
    assert_int_equal(nor_flash_view(flash)[SMALL_NVS], 0);
    assert_memory_equal(nor_flash_view(flash) + SMALL_NVS + 1, old_flash + SMALL_NVS + 1, NVS_KEPT - 1);

    job->writes_while_staging = 0;
    wanted[exchange.nvs] = 0;
    expect_applied();
}

static bool source_is_gone(void)
{
    return memcmp(nor_flash_view(flash) + SMALL_NVS, old_flash + SMALL_NVS, SECTOR) != 0;
}

static bool has_record(void)
{
    return record_is_somewhere(nor_flash_view(flash), SMALL_FLASH_SIZE);
}

/** The first operation with which something becomes true; shared with the process that writes. */
typedef struct moment {
    bool (*is_true)(void);
    bool is_over;
    uint32_t operation;
} moment_t;

static void note_moment(void *context, const nor_op_t *op, const nor_flash_t *unused)
{
    (void)unused;
    moment_t *moment = context;
    if (!moment->is_over && moment->is_true()) {
        moment->is_over = true;
        moment->operation = op->number;
    }
}

/* Cuts the power after that operation. */
static void cut_when(bool (*is_true)(void))
{
    moment_t *moment = small_shared(sizeof(*moment));
    *moment = (moment_t){.is_true = is_true};
    nor_flash_set_observer(flash, note_moment, moment);
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    nor_flash_set_observer(flash, NULL, NULL);
    assert_true(moment->is_over);
    memcpy(nor_flash_bytes(flash), old_flash, SMALL_FLASH_SIZE);
    small_attach(flash, SLOT_0);
    nor_flash_reset_stats(flash);
    nor_flash_set_power_loss(
        flash, (nor_power_loss_t){.armed = true, .operation = moment->operation, .when = NOR_POWER_LOSS_AFTER});
    assert_int_equal(sim_call(call_app_main, NULL), SIM_END_POWER_LOSS);
    sim_chip_detach();
    nor_flash_power_on(flash);
    assert_true(is_true());
    munmap(moment, sizeof(*moment));
}

/* In the first operation that destroys the source. */
static void cut_after_the_seal(void)
{
    cut_when(source_is_gone);
}

static bool last_page_is_gone(void)
{
    const uint32_t page = SMALL_NVS + 3 * SECTOR;
    return memcmp(nor_flash_view(flash) + page, old_flash + page, SECTOR) != 0;
}

/* Cut after the seal, and then a sector is dead: all pages are at their old places, so that the step is given up. */
static void pages_that_are_all_there_need_no_record(void **state)
{
    (void)state;
    fill_nvs(0x9);
    prepare(&in_its_place);
    cut_when(has_record);
    assert_false(last_page_is_gone());
    nor_flash_set_faults(flash,
                         (nor_faults_t){.program_per_million = 1000000, .single = true, .address = SMALL_NVS + SECTOR});
    assert_int_equal(start_after(false), SIM_END_RETURNED);
    assert_int_equal(job->resumed, ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_false(has_record());
    small_assert_boots(flash, false, SLOT_0);
    small_assert_same(nor_flash_view(flash) + SMALL_NVS + 3 * SECTOR, old_flash + SMALL_NVS + 3 * SECTOR, 0, SECTOR);
    nor_flash_set_faults(flash, (nor_faults_t){0});
}

/* Every page is in a record that will be finished, or where the old system's NVS finds it. */
static void expect_no_page_lost(void)
{
    for (uint32_t page = SMALL_NVS; page < SMALL_NVS + SMALL_NVS_SIZE && !has_record(); page += SECTOR) {
        bool found = old_flash[page] == 0xFF;
        for (uint32_t at = SMALL_NVS; at < SMALL_NVS + SMALL_NVS_SIZE; at += SECTOR) {
            found |= memcmp(nor_flash_view(flash) + at, old_flash + page, SECTOR) == 0;
        }
        assert_true(found);
    }
}

/* Once it is sealed, the old system may still run for a while, and write to NVS: to pages that stay, to those that
 * move, to those that are blank. What counts is how it was, all of it, with a free page. */
static void nvs_is_as_it_was_at_one_moment(void **state)
{
    (void)state;
    const target_t *const places[] = {&in_its_place, &one_page_up, &to_free_flash};
    const unsigned patterns[] = {0x9, 0x3, 0x6, 0x1, 0x0};
    uint8_t *fresh = small_copy(flash);
    for (unsigned i = 0; i < 3 * 5; i++) {
        uint8_t *nvs = nor_flash_bytes(flash) + SMALL_NVS;
        start_over(fresh, patterns[i / 3]);
        prepare(places[i % 3]);
        cut_when(has_record);
        for (unsigned page = 0; page < NVS_PAGES; page++) {
            memset(nvs + page * SECTOR + 1000, 0, 10);
        }
        assert_int_equal(start_after(false), SIM_END_RESTART);
        if (places[i % 3] == &to_free_flash) { /* All but the last page is nobody's then. */
            memcpy(nvs, wanted + SMALL_NVS, 3 * SECTOR);
        } else if (places[i % 3] == &one_page_up) {
            memcpy(nvs, wanted + SMALL_NVS, SECTOR);
        }
        expect_wanted();
    }
    free(fresh);
}

/* Up to here all went well, but the last page's old place takes nothing any more, or the copy goes bad as well. With
 * that page gone, the others would be put elsewhere: what counts is the record, and what is in its place. */
static void only_copy_of_a_page_is_kept(void **state)
{
    (void)state;
    const struct {
        const target_t *target;
        unsigned pattern;
        uint32_t copy; /* Of the last page. */
    } rows[] = {{&in_its_place, 0x8, SMALL_NVS},
                {&in_its_place, 0x9, SMALL_NVS + SECTOR},
                {&to_free_flash, 0x8, FREE},
                {&to_free_flash, 0x9, FREE + SECTOR},
                {&to_free_flash, 0xC, FREE + SECTOR}};
    uint8_t *fresh = small_copy(flash);
    for (unsigned i = 0; i < 10; i++) {
        const unsigned row = i / 2;
        const bool copy_is_bad = i % 2 != 0 && rows[row].target == &in_its_place;
        start_over(fresh, rows[row].pattern);
        prepare(rows[row].target);
        cut_when(last_page_is_gone);
        assert_memory_equal(nor_flash_view(flash) + rows[row].copy, old_flash + SMALL_NVS + 3 * SECTOR, SECTOR);
        nor_flash_bytes(flash)[rows[row].copy + 100] ^= copy_is_bad ? 1 : 0;
        nor_flash_set_faults(flash, (nor_faults_t){.program_per_million = 1000000,
                                                   .single = true,
                                                   .address = copy_is_bad ? rows[row].copy : SMALL_NVS + 3 * SECTOR});
        assert_int_equal(start_after(false), SIM_END_RETURNED);
        assert_int_equal(job->resumed, ESP_ERR_SELF_REFLASHER_VERIFY);
        small_assert_boots(flash, false, SLOT_0);
        expect_no_page_lost();
        assert_true(has_record() || rows[row].target == &in_its_place);
        assert_true(has_record() || !copy_is_bad);
        nor_flash_set_faults(flash, (nor_faults_t){0});
        if (has_record()) {
            assert_int_equal(start_after(false), SIM_END_RESTART);
            expect_wanted();
        }
    }
    free(fresh);
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
static void run_out_of_memory(const target_t *target)
{
    bool failed = true;
    prepare(target);
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

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    uint8_t *fresh = small_copy(flash);
    run_out_of_memory(&exchange);
    start_over(fresh, 0x9);
    run_out_of_memory(&in_its_place);
    free(fresh);
}

/* Also where what was interrupted is finished. */
static void memory_may_run_out_after_a_power_loss(void **state)
{
    (void)state;
    sim_end_t end = SIM_END_RETURNED;
    fill_nvs(0x9);
    prepare(&in_its_place);
    cut_when(has_record);
    uint8_t *sealed = small_copy(flash);
    for (uint32_t number = 1; end != SIM_END_RESTART || number < 30; number++) {
        memcpy(nor_flash_bytes(flash), sealed, SMALL_FLASH_SIZE);
        job->fails_at = number;
        end = start_after(false);
        job->fails_at = 0;
        if (end != SIM_END_RESTART) {
            assert_int_equal(job->resumed, ESP_ERR_NO_MEM);
            assert_true(has_record());
            assert_int_equal(start_after(false), SIM_END_RESTART);
        }
        expect_wanted();
    }
    free(sealed);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_moves_is_not_given_up),
        TEST(what_the_chip_boots_from_is_not_given_up),
        TEST(a_label_that_is_not_there_is_ignored),
        TEST(only_the_old_system_is_given_up),
        TEST(record_goes_on_in_what_is_given_up),
        TEST(nvs_moves_to_free_flash),
        TEST(nvs_changes_places_with_otadata),
        TEST(blank_place_after_it_grows),
        TEST(regions_change_places),
        TEST(old_place_is_erased),
        TEST(plan_counts_what_is_written),
        TEST(app_moves_by_a_temporary_table_before_data_does),
        TEST(nvs_closes_up_whichever_pages_are_in_use),
        TEST(pages_of_every_kind_move),
        TEST(page_that_the_commit_writes_over_moves),
        TEST(pages_move_up_over_each_other),
        TEST(pages_move_to_free_flash),
        TEST(nvs_that_has_its_end_free_is_not_written),
        TEST(smallest_nvs_has_three_pages),
        TEST(encrypted_pages_keep_their_offset),
        TEST(app_writes_to_nvs_meanwhile),
        TEST(page_that_nvs_takes_meanwhile_may_be_one_too_many),
        TEST(pages_that_are_all_there_need_no_record),
        TEST(nvs_is_as_it_was_at_one_moment),
        TEST(only_copy_of_a_page_is_kept),
        TEST(partition_that_is_not_there_is_refused),
        TEST(what_does_not_fit_is_refused),
        TEST(no_flash_to_stage_in_is_refused),
        TEST(room_that_the_app_takes_is_none_to_stage_in),
        TEST(old_record_goes_before_the_app_takes_its_place),
        TEST(room_that_otadata_takes_is_none_to_stage_in),
        TEST(encrypted_flash),
        TEST(encrypted_flash_goes_on_after_a_power_loss),
        TEST(what_moves_to_the_place_of_otadata_comes_before_the_table),
        TEST(what_is_written_to_meanwhile_does_not_move),
        TEST(what_is_written_to_meanwhile_does_not_move_to_free_flash),
        TEST(record_with_the_only_copy_is_never_discarded),
        TEST(memory_may_run_out_anywhere),
        TEST(memory_may_run_out_after_a_power_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
