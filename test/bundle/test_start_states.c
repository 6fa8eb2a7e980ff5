// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whatever otadata says when a bundle arrives: until the commit the bootloader starts the app that runs, with or
 * without rollback, also while the new app is complete in the slot that it tries first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "self_reflasher.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#define SLOT(index)   (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define TEST_APP      0xB0000u
#define TEST_SUBTYPE  0x20u
#define NONSENSE      0x55u
#define BOOTS         4u /**< After which no state of otadata changes any more. */
#define LAST_SEQUENCE 0xFFFFFFFEu

static const uint32_t states[] = {SR_OTA_UNDEFINED, SR_OTA_NEW, SR_OTA_PENDING_VERIFY, SR_OTA_VALID, SR_OTA_INVALID,
                                  SR_OTA_ABORTED,   NONSENSE};
#define STATES (sizeof(states) / sizeof(states[0]))

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    esp_self_reflasher_bundle_config_t bundle;
    esp_self_reflasher_plan_t plan;
    esp_err_t planned, applied;
} job_t;

static job_t *job;
static nor_flash_t *flash;
static uint8_t new_app[SMALL_APP_SIZE];

static int new_job(void **state)
{
    (void)state;
    if (job == NULL) {
        job = small_shared(sizeof(*job));
    }
    small_app("2", new_app);
    return 0;
}

static bool never(void *unused)
{
    (void)unused;
    return false;
}

static void plan_and_apply(void *unused)
{
    (void)unused;
    job->planned = esp_self_reflasher_plan_bundle(&job->bundle, &job->plan);
    job->applied = esp_self_reflasher_apply_bundle(&job->bundle, &job->plan);
}

static void run_at(uint32_t running_app)
{
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = running_app, .quiet = true};
    job->planned = job->applied = ESP_ERR_NOT_FINISHED;
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    assert_int_equal(sim_call(plan_and_apply, NULL), SIM_END_RETURNED);
    sim_chip_detach();
}

/* The commit is put off. */
static void pack_regions(const bundle_region_t *regions, unsigned count)
{
    const bundle_spec_t spec = {
        .partition_table_offset = SR_PARTITION_TABLE_OFFSET, .regions = regions, .region_count = count};
    job->bundle = (esp_self_reflasher_bundle_config_t){
        .embedded = small_put_bundle(flash, (sr_region_t){SMALL_FREE, SMALL_FLASH_SIZE - SMALL_FREE}, spec),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
        .may_commit = never};
}

/* Another app for one slot, and otadata that selects it. */
static void pack(unsigned slot)
{
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    image_write_otadata(slot + 1, SR_OTA_VALID, otadata);
    const bundle_region_t regions[] = {
        {.place = {SMALL_OTADATA, sizeof(otadata)}, .data = otadata, .length = sizeof(otadata)},
        {.place = {SLOT(slot), SMALL_SLOT_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    pack_regions(regions, 2);
}

/* The app of the last of some boots, one after the other, of a copy. */
static uint32_t app_after_boots(bool rollback)
{
    const boot_chip_t chip = {.chip = sr_chip_by_name("esp32"), .rollback = rollback};
    boot_result_t result = {0};
    uint8_t *copy = small_copy(flash);
    for (unsigned i = 0; i < BOOTS; i++) {
        boot_run(&chip, copy, SMALL_FLASH_SIZE, NULL, NULL, &result);
        assert_int_equal(result.outcome, BOOT_BOOTS);
    }
    free(copy);
    return result.app_offset;
}

static void assert_stays(uint32_t running_app, const small_layout_t *layout)
{
    run_at(running_app);
    const bool stays = job->planned == ESP_OK && job->applied == ESP_ERR_SELF_REFLASHER_NOT_NOW &&
                       memcmp(nor_flash_view(flash) + SLOT(1), new_app, SMALL_APP_SIZE) == 0 &&
                       app_after_boots(false) == running_app && app_after_boots(true) == running_app;
    if (!stays) {
        fail_msg("otadata %u (state 0x%x), %u (state 0x%x): %s, %s; boots 0x%x, with rollback 0x%x",
                 layout->sequences[0], layout->states[0], layout->sequences[1], layout->states[1],
                 esp_self_reflasher_err_to_name(job->planned), esp_self_reflasher_err_to_name(job->applied),
                 app_after_boots(false), app_after_boots(true));
    }
}

/* Otadata of one device: the app that runs is in the first slot or in factory, and the second slot has none. */
static void try_otadata(bool factory, const uint32_t sequences[2], const uint32_t entry_states[2])
{
    const small_layout_t layout = {.slots = 2,
                                   .factory = factory,
                                   .sequences = {sequences[0], sequences[1]},
                                   .states = {entry_states[0], entry_states[1]}};
    const uint32_t running_app = factory ? SMALL_FACTORY : SLOT(0);
    flash = small_flash_new(&layout);
    for (unsigned i = 0; i < 2; i++) {
        if (sequences[i] != 0) { /* small_flash_new() takes a state of 0 for none. */
            sr_otadata_encode(sequences[i], entry_states[i],
                              nor_flash_bytes(flash) + SMALL_OTADATA + i * SR_SECTOR_SIZE);
        }
    }
    small_app("1", nor_flash_bytes(flash) + running_app);
    pack(1);
    assert_stays(running_app, &layout);
    nor_flash_delete(flash);
}

/* Otadata is right today, but has to select the running app until the commit: both of its sectors count as work. What
 * lies beside it does not. */
static void otadata_that_has_to_select_the_running_app_is_work(void **state)
{
    (void)state;
    const small_layout_t layout = {.slots = 2};
    flash = small_flash_new(&layout);
    uint8_t *bytes = nor_flash_bytes(flash);
    small_app("1", bytes + SLOT(0));
    image_write_otadata(2, SR_OTA_VALID, bytes + SMALL_OTADATA);
    const uint32_t after = SMALL_OTADATA + 2 * SR_SECTOR_SIZE;
    const bundle_region_t regions[] = {
        {.place = {SMALL_OTADATA - SR_SECTOR_SIZE, 4 * SR_SECTOR_SIZE},
         .data = bytes + SMALL_OTADATA - SR_SECTOR_SIZE,
         .length = 4 * SR_SECTOR_SIZE},
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = SMALL_APP_SIZE},
    };
    pack_regions(regions, 2);
    assert_stays(SLOT(0), &layout);
    job->planned = ESP_ERR_NOT_FINISHED;
    assert_int_equal(job->plan.sectors_to_write, SMALL_APP_SIZE / SR_SECTOR_SIZE + 2);
    assert_int_equal(job->plan.sectors_boot_path, 2);
    assert_int_equal(nor_flash_wear(flash, after / SR_SECTOR_SIZE), 0);
    nor_flash_delete(flash);
}

/* Each state of an entry that selects the second slot, alone or beside one that selects the first, in both sectors. */
static void app_that_runs_as_a_fallback_stays_whatever_otadata_says(void **state)
{
    (void)state;
    static const uint32_t others[] = {0, 1, 3, LAST_SEQUENCE - 1};
    static const uint32_t selecting[] = {2, LAST_SEQUENCE};
    for (unsigned i = 0; i < STATES * 2 * 4 * 2; i++) {
        const uint32_t sequence = selecting[i / 2 / 4 / STATES];
        const uint32_t other = others[i / 2 % 4];
        const uint32_t value = states[i / 2 / 4 % STATES];
        const unsigned at = i % 2;
        const uint32_t sequences[2] = {at == 0 ? sequence : other, at == 0 ? other : sequence};
        const uint32_t entry_states[2] = {at == 0 ? value : SR_OTA_VALID, at == 0 ? SR_OTA_VALID : value};
        try_otadata(false, sequences, entry_states);
        try_otadata(true, (const uint32_t[2]){at == 0 ? sequence : 0, at == 0 ? 0 : sequence}, entry_states);
    }
}

/* An update was installed and selected, and the app that runs has not restarted yet. */
static void app_stays_that_was_to_be_replaced_at_the_next_start(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STATES; i++) {
        const small_layout_t layout = {.slots = 2, .sequences = {1, 2}, .states = {SR_OTA_VALID, states[i]}};
        flash = small_flash_new(&layout);
        sr_otadata_encode(2, states[i], nor_flash_bytes(flash) + SMALL_OTADATA + SR_SECTOR_SIZE);
        small_app("1", nor_flash_bytes(flash) + SLOT(0));
        small_app("0", nor_flash_bytes(flash) + SLOT(1));
        pack(1);
        assert_stays(SLOT(0), &layout);
        nor_flash_delete(flash);
    }
}

/* A bootloader without rollback leaves it there, and to mark the app valid touches only the entry that counts. */
static void old_entry_on_probation_locks_nobody_out(void **state)
{
    (void)state;
    const small_layout_t layout = {.slots = 2, .sequences = {1, 3}, .states = {SR_OTA_PENDING_VERIFY, SR_OTA_VALID}};
    flash = small_flash_new(&layout);
    small_app("1", nor_flash_bytes(flash) + SLOT(0));
    pack(1);
    assert_stays(SLOT(0), &layout);
    nor_flash_delete(flash);
}

/* The entry that counts says so, whatever an older one of the same slot says. */
static void app_on_probation_is_refused_by_the_entry_that_counts(void **state)
{
    (void)state;
    const small_layout_t layout = {.slots = 2, .sequences = {1, 3}, .states = {SR_OTA_VALID, SR_OTA_PENDING_VERIFY}};
    flash = small_flash_new(&layout);
    small_app("1", nor_flash_bytes(flash) + SLOT(0));
    pack(1);
    run_at(SLOT(0));
    assert_int_equal(job->planned, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_ROLLBACK);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    nor_flash_delete(flash);
}

/* Started by a pin that somebody holds: nobody knows which app starts after a power loss, and otadata cannot select it.
 */
static void test_app_that_does_not_start_by_itself_is_refused(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    const small_layout_t layout = {.slots = 2, .sequences = {1, 0}};
    for (unsigned slot = 0; slot < 2; slot++) {
        flash = small_flash_new(&layout);
        unsigned count = small_table(&layout, entries);
        entries[count++] =
            (sr_partition_table_entry_t){SR_PARTITION_TYPE_APP, TEST_SUBTYPE, TEST_APP, SMALL_SLOT_SIZE, 0, "test"};
        small_put_table(nor_flash_bytes(flash), entries, count);
        small_app("0", nor_flash_bytes(flash) + SLOT(0));
        small_app("1", nor_flash_bytes(flash) + TEST_APP);
        pack(slot);
        run_at(TEST_APP);
        assert_int_equal(job->planned, ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(job->applied, ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(job->plan.refusal, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP);
        assert_non_null(strstr(job->plan.refusal_text, "by itself"));
        assert_int_equal(nor_flash_stats(flash).operations, 0);
        nor_flash_delete(flash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(app_that_runs_as_a_fallback_stays_whatever_otadata_says),
        cmocka_unit_test(app_stays_that_was_to_be_replaced_at_the_next_start),
        cmocka_unit_test(otadata_that_has_to_select_the_running_app_is_work),
        cmocka_unit_test(old_entry_on_probation_locks_nobody_out),
        cmocka_unit_test(app_on_probation_is_refused_by_the_entry_that_counts),
        cmocka_unit_test(test_app_that_does_not_start_by_itself_is_refused),
    };
    return cmocka_run_group_tests(tests, new_job, NULL);
}
