// SPDX-License-Identifier: Apache-2.0
/** @file
 * A small chip, a bundle for it with regions that the new system owns, and an app that applies it. Include after
 * cmocka.h.
 */
#pragma once

#include "make/bundle_writer.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#include "esp_ota_ops.h"
#include "esp_system.h"

#define SECTOR      SR_SECTOR_SIZE
#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define OLD_APP     SLOT(0)
#define NEW_APP     SLOT(1)
#define FILES       SLOT(2) /**< A file system in the new system's table. */
#define BUNDLE      SMALL_FREE
#define ROOM        0xE0000u /**< Blank, as far as a test says. */
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

static inline bool may_commit(void *unused)
{
    (void)unused;
    return !job->puts_off;
}

static inline esp_err_t apply(esp_self_reflasher_plan_t *plan)
{
    const esp_err_t err = esp_self_reflasher_resume(&job->bundle);
    return err == ESP_OK ? esp_self_reflasher_apply_bundle(&job->bundle, plan) : err;
}

static inline void app_main(void)
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

static inline void call_app_main(void *unused)
{
    (void)unused;
    app_main();
}

static inline sim_end_t start_at(uint32_t running_app)
{
    small_attach(flash, running_app);
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call_app_main, NULL);
    sim_chip_detach();
    return end;
}

/* In ascending order. */
static inline void want(uint32_t address, uint32_t size, const uint8_t *data, size_t length, bool initial)
{
    regions[region_count++] =
        (bundle_region_t){.place = {address, size}, .data = data, .length = length, .initial = initial};
}

static inline void pack(void)
{
    const bundle_spec_t spec = {
        .partition_table_offset = SR_PARTITION_TABLE_OFFSET, .regions = regions, .region_count = region_count};
    job->bundle = (esp_self_reflasher_bundle_config_t){
        .embedded = small_put_bundle(flash, (sr_region_t){BUNDLE, ROOM - BUNDLE}, spec),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
        .may_commit = may_commit};
}

static inline void make_table(void)
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
static inline void open_chip(unsigned with, uint32_t blank)
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

static inline void close_chip(void)
{
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    flash = NULL;
}

static inline int new_job(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    return 0;
}

static inline void assert_holds_all(void)
{
    for (uint32_t i = 0; i < region_count; i++) {
        const uint8_t *is = nor_flash_view(flash) + regions[i].place.address;
        assert_memory_equal(is, regions[i].data, regions[i].length);
        for (size_t k = regions[i].length; k < regions[i].place.size; k++) {
            assert_int_equal(is[k], 0xFF);
        }
    }
}

/* The new app goes over the running one, which no slot takes. */
static inline void open_in_place(uint32_t blank)
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

/* The only free flash is the rest of the new app's slot, which the bundle wants blank. */
static inline void open_with_mark_in_the_way(void)
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
