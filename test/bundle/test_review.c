// SPDX-License-Identifier: Apache-2.0
/** @file
 * States of a device that are rare in the field and must not cost it: what a migration finds when it starts, and what
 * it leaves when it is put off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "test/support/support_failing_search.h"
#include "test/support/api_support.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_reader.h"
#include "test/support/support_record.h"
#include "test/support/support_small.h"

#include "format/sr_boot_path.h"
#include "relocate/sr_app_selection.h"
#include "system/sr_system.h"

#define SECTOR      SR_SECTOR_SIZE
#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define RECORD      0xE0000u
#define STORAGE     0xB0000u
#define STORAGE_END 0xC0000u

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    esp_self_reflasher_bundle_config_t bundle;
    esp_err_t resumed, applied;
    uint32_t decays; /**< Address of a byte that loses a bit whenever a block was written. */
} job_t;

static job_t *job;
static nor_flash_t *flash;

static void apply(void *unused)
{
    (void)unused;
    job->applied = esp_self_reflasher_apply_bundle(&job->bundle, NULL);
}

static void resume(void *unused)
{
    (void)unused;
    job->resumed = esp_self_reflasher_resume(&job->bundle);
}

static sim_end_t run_at(uint32_t running_app, void (*call)(void *))
{
    small_attach(flash, running_app);
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call, NULL);
    sim_chip_detach();
    return end;
}

static void open_chip(const small_layout_t *layout, uint32_t running_app)
{
    flash = small_flash_new(layout);
    small_app("1", nor_flash_bytes(flash) + running_app);
}

static int new_job(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    *job = (job_t){.applied = ESP_ERR_NOT_FINISHED,
                   .resumed = ESP_ERR_NOT_FINISHED,
                   .bundle = {.flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED}};
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    return 0;
}

/* A bundle for these regions, embedded at this address. @return its size */
static size_t put_bundle(uint32_t address, const bundle_region_t *regions, unsigned count)
{
    const bundle_spec_t spec = {
        .partition_table_offset = SR_PARTITION_TABLE_OFFSET, .regions = regions, .region_count = count};
    job->bundle =
        (esp_self_reflasher_bundle_config_t){.embedded = small_put_bundle(flash, (sr_region_t){address, 0x10000}, spec),
                                             .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    return job->bundle.embedded.region_size;
}

/* Another app for one slot, and otadata that selects it. */
static size_t put_app_bundle(uint32_t address, unsigned slot, uint8_t new_app[SMALL_APP_SIZE])
{
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    small_app("2", new_app);
    image_write_otadata(slot + 1, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT(slot), SMALL_SLOT_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    return put_bundle(address, regions, 2);
}

static bool never(void *unused)
{
    (void)unused;
    return false;
}

/* The app would come up without its credentials, and with no record to go on from. */
static void data_that_cannot_be_staged_is_touched_only_after_the_commit_was_allowed(void **state)
{
    (void)state;
    uint8_t nvs[SMALL_NVS_SIZE];
    uint8_t new_app[SMALL_APP_SIZE];
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    small_app("2", new_app);
    dummy_image_fill(nvs, sizeof(nvs), 4711);
    image_write_otadata(2, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SMALL_NVS, SMALL_NVS_SIZE}, .data = nvs, .length = sizeof(nvs)},
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    (void)put_bundle(SMALL_FREE, regions, 3);
    job->bundle.may_commit = never;
    uint8_t *before = small_copy(flash);
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    assert_memory_equal(nor_flash_view(flash) + SLOT(1), new_app, SMALL_APP_SIZE);
    small_assert_same(nor_flash_view(flash), before, 0, SLOT(1));

    job->bundle.may_commit = NULL;
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    assert_memory_equal(nor_flash_view(flash) + SMALL_NVS, nvs, sizeof(nvs));
    small_assert_boots(flash, false, SLOT(1));
    free(before);
}

/* There is room for the boot path, but not for data: as long as the former is not staged as a whole, the latter is as
 * it was. */
static void data_without_room_waits_until_the_rest_is_staged(void **state)
{
    (void)state;
    uint8_t nvs[SMALL_NVS_SIZE];
    uint8_t new_app[SMALL_APP_SIZE];
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    small_app("2", new_app);
    dummy_image_fill(nvs, sizeof(nvs), 4711);
    image_write_otadata(2, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SMALL_NVS, SMALL_NVS_SIZE}, .data = nvs, .length = sizeof(nvs)},
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    (void)put_bundle(SMALL_FREE, regions, 3);
    memset(nor_flash_bytes(flash) + RECORD, 0xFF, 5 * SECTOR); /* Mark, list, manifest, two sectors of otadata. */
    uint8_t *before = small_copy(flash);
    nor_flash_set_faults(
        flash, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = RECORD + 3 * SECTOR});
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_true(nor_flash_failures(flash, RECORD / SECTOR + 3) > 0);
    small_assert_same(nor_flash_view(flash), before, 0, SLOT(1));
    nor_flash_set_faults(flash, (nor_faults_t){0});
    free(before);
}

static void decay(void *unused, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)unused;
    if (event == ESP_SELF_REFLASHER_EVENT_PREPARE && data->sectors_done == data->sectors_total) {
        nor_flash_bytes(flash)[job->decays] ^= 1;
    }
}

/* Read back when it was written, and right then: but by the time of the commit all of it has to be right, whatever was
 * done to it in between. */
static void what_decays_before_the_commit_is_noticed(void **state)
{
    (void)state;
    static const uint32_t places[] = {SLOT(1), SLOT(1) + SMALL_APP_SIZE - 1, STORAGE, STORAGE + 2 * SECTOR - 1,
                                      STORAGE + 3 * SECTOR};
    uint8_t new_app[SMALL_APP_SIZE];
    uint8_t storage[2 * SECTOR];
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    small_app("2", new_app);
    dummy_image_fill(storage, sizeof(storage), 5);
    image_write_otadata(2, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
        {.place = {STORAGE, 4 * SECTOR}, .data = storage, .length = sizeof(storage)},
    };
    (void)put_bundle(SMALL_FREE, regions, 3);
    uint8_t *before = small_copy(flash);
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        job->decays = places[i];
        job->bundle.event_cb = decay;
        assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_VERIFY);
        small_assert_same(nor_flash_view(flash), before, 0, SLOT(1));
        small_assert_boots(flash, false, SLOT(0));

        job->bundle.event_cb = NULL;
        assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_OK);
        small_assert_boots(flash, false, SLOT(1));
    }
    free(before);
}

static void app_does_not_move_over_the_embedded_bundle(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 3, .sequences = {1, 0}}, SLOT(0));
    (void)put_app_bundle(SLOT(1), 0, new_app);
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RESTART);
    small_assert_boots(flash, false, SLOT(2));
    assert_int_equal(run_at(SLOT(2), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_assert_boots(flash, false, SLOT(0));
}

/* What is missing is no part of bootloader or app, which are read before anything is written in any case. */
static void bundle_longer_than_its_region_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    uint8_t storage[SECTOR];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    small_app("2", new_app);
    dummy_image_fill(storage, sizeof(storage), 5);
    const bundle_region_t regions[] = {
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
        {.place = {STORAGE, SECTOR}, .data = storage, .length = SECTOR},
    };
    job->bundle.embedded.region_size = put_bundle(SMALL_FREE, regions, 2) - 1;
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

/* otadata selects a slot without an app, and the bootloader fell back to the one that runs. As soon as the bundle's app
 * is in that slot, it would be started, by the old bootloader and with the old table. */
static void app_that_runs_as_a_fallback_is_started_until_the_commit(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {2, 0}}, SLOT(0));
    (void)put_app_bundle(SMALL_FREE, 1, new_app);
    job->bundle.may_commit = never;
    small_assert_boots(flash, false, SLOT(0));
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    assert_memory_equal(nor_flash_view(flash) + SLOT(1), new_app, SMALL_APP_SIZE);
    small_assert_boots(flash, false, SLOT(0));

    job->bundle.may_commit = NULL;
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_assert_boots(flash, false, SLOT(1));
}

/* Where that cannot be had, as otadata does not take it, the other slot stays as it is. */
static void fallback_that_cannot_be_selected_is_not_put_at_risk(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    unsigned failures = 0;
    for (uint32_t sector = SMALL_OTADATA; sector < SMALL_OTADATA + 2 * SECTOR; sector += SECTOR) {
        if (sector > SMALL_OTADATA) {
            nor_flash_delete(flash);
        }
        open_chip(&(small_layout_t){.slots = 2, .sequences = {2, 0}}, SLOT(0));
        (void)put_app_bundle(SMALL_FREE, 1, new_app);
        nor_flash_set_faults(flash, (nor_faults_t){.program_per_million = 1, .single = true, .address = sector});
        uint8_t *before = small_copy(flash);
        job->bundle.may_commit = never;
        assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
        if (job->applied != ESP_ERR_SELF_REFLASHER_NOT_NOW) {
            failures++;
            assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_VERIFY);
            small_assert_same(nor_flash_view(flash), before, SLOT(1), SMALL_SLOT_SIZE);
        }
        small_assert_boots(flash, false, SLOT(0));
        free(before);
    }
    assert_int_equal(failures, 1);
}

/* The same with a factory app, which no sequence number selects, and with a bundle that wants otadata as it is. */
static void factory_app_that_runs_as_a_fallback_is_started_until_the_commit(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .factory = true, .sequences = {2, 0}, .states = {SR_OTA_VALID, 0}},
              SMALL_FACTORY);
    (void)put_app_bundle(SMALL_FREE, 1, new_app);
    job->bundle.may_commit = never;
    small_assert_boots(flash, false, SMALL_FACTORY);
    assert_int_equal(run_at(SMALL_FACTORY, apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    small_assert_boots(flash, false, SMALL_FACTORY);

    job->bundle.may_commit = NULL;
    assert_int_equal(run_at(SMALL_FACTORY, apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_assert_boots(flash, false, SLOT(1));
}

static void keep(void *unused)
{
    (void)unused;
    sr_system_t system;
    job->applied = sr_system_read(&system);
    if (job->applied == ESP_OK) {
        job->applied = sr_app_selection_keep(&system, NULL);
    }
}

/* The entry that counts selects a slot without an app, the other one a slot with one. Were the one that counts erased
 * first, the other one would count, and an app would be started that finishes nothing. */
static void otadata_selects_nothing_else_while_it_is_erased(void **state)
{
    (void)state;
    for (unsigned active = 0; active < 2; active++) {
        const small_layout_t layout = {
            .slots = 2, .factory = true, .sequences = {active == 0 ? 3 : 2, 3 - (active == 0)}};
        if (active > 0) { /* The last one is deleted by close_chip(). */
            nor_flash_delete(flash);
        }
        open_chip(&layout, SMALL_FACTORY);
        small_app("2", nor_flash_bytes(flash) + SLOT(1));
        uint8_t *before = small_copy(flash);
        small_assert_boots(flash, false, SMALL_FACTORY);
        assert_int_equal(run_at(SMALL_FACTORY, keep), SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_OK);
        const uint32_t operations = nor_flash_stats(flash).operations;
        assert_int_equal(operations, 2);
        small_assert_boots(flash, false, SMALL_FACTORY);
        for (uint32_t i = 0; i < operations * SMALL_CUTS; i++) {
            memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
            nor_flash_set_power_loss(flash, small_cut(i / SMALL_CUTS, i % SMALL_CUTS));
            assert_int_equal(run_at(SMALL_FACTORY, keep), SIM_END_POWER_LOSS);
            nor_flash_power_on(flash);
            small_assert_boots(flash, false, SMALL_FACTORY);
        }
        free(before);
    }
}

/* A record as the running app would stage it, of one entry: NVS becomes blank. */
static void put_record(uint32_t address, uint32_t running_app)
{
    static record_t record;
    size_t size = 0;
    const bundle_region_t regions[] = {{.place = {SMALL_NVS, SMALL_NVS_SIZE}}};
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = 1};
    uint8_t *bundle = record_bundle(&spec, NULL, &size);
    record_start(&record, bundle, size, nor_flash_view(flash) + running_app);
    record_add(&record, SR_RECORD_DATA, SMALL_NVS, SMALL_NVS_SIZE / SECTOR, NULL);
    record_put(&record, nor_flash_bytes(flash), address, true);
    free(bundle);
}

/* The copy may go where that record's system has its app: finishing it then would start an app that is gone. */
static void record_of_another_bundle_is_finished_before_the_app_moves(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    (void)put_app_bundle(SMALL_FREE, 0, new_app);
    put_record(RECORD, SLOT(0));
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RESTART);
    small_assert_boots(flash, false, SLOT(0));
    assert_int_equal(nor_flash_view(flash)[SMALL_NVS], 0xFF);
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RESTART);
    small_assert_boots(flash, false, SLOT(1));
    uint8_t *before = small_copy(flash);
    assert_int_equal(run_at(SLOT(1), resume), SIM_END_RETURNED);
    assert_int_equal(job->resumed, ESP_OK);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    free(before);
}

static void add_storage(const small_layout_t *layout, uint8_t *bytes)
{
    sr_partition_table_entry_t entries[8];
    const unsigned count = small_table(layout, entries);
    entries[count] =
        (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x82, STORAGE, STORAGE_END - STORAGE, 0, "storage"};
    small_put_table(bytes, entries, count + 1);
}

/* Otherwise whoever can store a file there could write the bootloader. */
static void record_inside_a_data_partition_is_just_data(void **state)
{
    (void)state;
    const small_layout_t layout = {.slots = 2, .sequences = {1, 0}};
    open_chip(&layout, SLOT(0));
    add_storage(&layout, nor_flash_bytes(flash));
    put_record(STORAGE + SECTOR, SLOT(0));
    uint8_t *before = small_copy(flash);
    assert_int_equal(run_at(SLOT(0), resume), SIM_END_RETURNED);
    assert_int_equal(job->resumed, ESP_OK);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);

    put_record(RECORD, SLOT(0));
    assert_int_equal(run_at(SLOT(0), resume), SIM_END_RESTART);
    for (uint32_t i = 0; i < SMALL_NVS_SIZE; i++) {
        assert_int_equal(nor_flash_view(flash)[SMALL_NVS + i], 0xFF);
    }
    assert_memory_equal(nor_flash_view(flash) + STORAGE, before + STORAGE, STORAGE_END - STORAGE);
    free(before);
}

/* Twenty bytes are a mark, whoever wrote them: what an old record is said to take is erased only where nobody needs it,
 * and where no content of the bundle is right already. */
static void old_mark_erases_nothing_that_is_needed(void **state)
{
    (void)state;
    static const uint32_t places[] = {
        SMALL_NVS, SMALL_NVS + 2 * SECTOR, STORAGE, STORAGE + 5 * SECTOR, SMALL_OTADATA + SECTOR,
        SLOT(2),   SLOT(2) + SECTOR};
    const small_layout_t layout = {.slots = 3, .sequences = {1, 0}};
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint8_t new_app[SMALL_APP_SIZE];
        uint8_t files[2 * SECTOR];
        if (i > 0) { /* The last one is deleted by close_chip(). */
            nor_flash_delete(flash);
        }
        open_chip(&layout, SLOT(0));
        add_storage(&layout, nor_flash_bytes(flash));
        memset(nor_flash_bytes(flash) + places[i], 0xFF, SECTOR);
        sr_record_write_mark(nor_flash_bytes(flash) + places[i], 3);
        memcpy(files, nor_flash_view(flash) + SLOT(2),
               sizeof(files)); /* Right, and one of them may look like a mark. */
        small_app("2", new_app);
        const bundle_region_t regions[] = {
            {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
            {.place = {SLOT(2), sizeof(files)}, .data = files, .length = sizeof(files)},
        };
        (void)put_bundle(SMALL_FREE, regions, 2);
        job->bundle.skip_checks = ESP_SELF_REFLASHER_CHECK_APP;
        uint8_t *before = small_copy(flash);
        assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
        assert_int_equal(job->applied, ESP_OK);
        small_assert_same(nor_flash_view(flash), before, 0, SLOT(1));
        small_assert_same(nor_flash_view(flash), before, SLOT(2), SMALL_FLASH_SIZE - SLOT(2));
        assert_int_equal(nor_flash_wear(flash, places[i] / SECTOR), 0);
        free(before);
    }
}

/* There the next start would take it for data, once the new table is in place. */
static void record_is_not_staged_in_a_data_partition_of_the_new_table(void **state)
{
    (void)state;
    uint8_t table[2 * SECTOR];
    esp_self_reflasher_plan_t plan;
    const small_layout_t layout = {.slots = 2, .sequences = {1, 0}};
    open_chip(&layout, SLOT(0));
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + STORAGE, 0xFF, STORAGE_END - STORAGE);
    memset(bytes + RECORD, 0xFF, 0x10000);
    uint8_t *copy = small_copy(flash);
    add_storage(&layout, copy);
    memcpy(table, copy + SR_PARTITION_TABLE_OFFSET, SECTOR);
    free(copy);
    const bundle_region_t regions[] = {{.place = {SR_PARTITION_TABLE_OFFSET, SECTOR}, .data = table, .length = SECTOR}};
    (void)put_bundle(SMALL_FREE, regions, 1);
    small_attach(flash, SLOT(0));
    assert_int_equal(esp_self_reflasher_plan_bundle(&job->bundle, &plan), ESP_OK);
    sim_chip_detach();
    assert_true(plan.staging_address < STORAGE || plan.staging_address >= STORAGE_END);
    assert_true(plan.staging_address != UINT32_MAX);
}

/* Old tools let a partition end inside a sector: an app that fills it needs that sector, too. */
static void app_in_a_partition_of_no_whole_sectors_is_taken_in_whole_sectors(void **state)
{
    (void)state;
    memory_t memory;
    sr_boot_path_t path;
    const uint32_t unaligned = SMALL_APP_SIZE - 16;
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    const sr_reader_t reader = memory_reader(&memory, nor_flash_view(flash), SMALL_FLASH_SIZE);
    sr_boot_path_find(&reader, sr_chip_by_name("esp32"), SR_PARTITION_TABLE_OFFSET,
                      (sr_region_t){SMALL_OTADATA, 0x2010}, (sr_region_t){SLOT(0), unaligned}, &path);
    assert_int_equal(path.running_app.size, SMALL_APP_SIZE);
    assert_int_equal(path.otadata.size, 0x3000);
}

/* Without memory it is not known what is data. */
static void without_memory_nothing_is_changed(void **state)
{
    (void)state;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    small_app("2", new_app);
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    image_write_otadata(2, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SMALL_NVS, SMALL_NVS_SIZE}},
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    (void)put_bundle(SMALL_FREE, regions, 3);
    job->bundle.may_commit = never;
    uint8_t *before = small_copy(flash);
    job->applied = ESP_ERR_NO_MEM;
    uint32_t failures = 0;
    while (job->applied == ESP_ERR_NO_MEM) {
        searches = 0;
        failing_search = ++failures;
        assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
        small_assert_same(nor_flash_view(flash), before, SMALL_NVS, SMALL_NVS_SIZE);
    }
    failing_search = 0;
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    assert_true(failures > 3);
    free(before);
}

/* What is not asked for is not read. */
static void embedded_region_beside_a_url_is_ignored(void **state)
{
    (void)state;
    api_server_t server;
    uint8_t new_app[SMALL_APP_SIZE];
    open_chip(&(small_layout_t){.slots = 2, .sequences = {1, 0}}, SLOT(0));
    const size_t size = put_app_bundle(SMALL_FREE, 1, new_app);
    api_server_start(&server);
    api_server_put(&server, "b.srb", (api_image_t){nor_flash_bytes(flash) + SMALL_FREE, size});
    const esp_http_client_config_t http = {.url = api_server_url(&server, "/b.srb"), .timeout_ms = 2000};
    job->bundle.http_config = &http;
    job->bundle.embedded = (addr_region_t){0x7FFFF000, 0x40000000};
    assert_int_equal(run_at(SLOT(0), apply), SIM_END_RETURNED);
    assert_int_equal(job->applied, ESP_OK);
    small_assert_boots(flash, false, SLOT(1));
    api_server_stop(&server);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, new_job, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_that_cannot_be_staged_is_touched_only_after_the_commit_was_allowed),
        TEST(data_without_room_waits_until_the_rest_is_staged),
        TEST(what_decays_before_the_commit_is_noticed),
        TEST(app_does_not_move_over_the_embedded_bundle),
        TEST(bundle_longer_than_its_region_is_refused_before_anything_is_written),
        TEST(app_that_runs_as_a_fallback_is_started_until_the_commit),
        TEST(fallback_that_cannot_be_selected_is_not_put_at_risk),
        TEST(factory_app_that_runs_as_a_fallback_is_started_until_the_commit),
        TEST(otadata_selects_nothing_else_while_it_is_erased),
        TEST(record_of_another_bundle_is_finished_before_the_app_moves),
        TEST(record_inside_a_data_partition_is_just_data),
        TEST(old_mark_erases_nothing_that_is_needed),
        TEST(record_is_not_staged_in_a_data_partition_of_the_new_table),
        TEST(app_in_a_partition_of_no_whole_sectors_is_taken_in_whole_sectors),
        TEST(without_memory_nothing_is_changed),
        TEST(embedded_region_beside_a_url_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
