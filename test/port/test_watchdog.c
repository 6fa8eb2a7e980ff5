// SPDX-License-Identifier: Apache-2.0
/** @file
 * The task watchdog of an app that subscribed to it: never a reason for a reset, least of all in the window.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "esp_flash.h"
#include "esp_task_wdt.h"
#include "port/sr_watchdog.h"
#include "self_reflasher.h"
#include "test/support/support_small.h"

#define SLOT_0 SMALL_SLOTS
#define SOURCE SMALL_FREE
/** As often as a sector fails before it holds what was written: some 8 s. */
#define FAILURES 150u

static nor_flash_t *flash;
static esp_err_t *copied; /**< Shared with the process that copies. */
static unsigned *asked;   /**< Shared, too: calls of esp_task_wdt_status(). */

esp_err_t __real_esp_task_wdt_status(TaskHandle_t task_handle);
esp_err_t __wrap_esp_task_wdt_status(TaskHandle_t task_handle);

esp_err_t __wrap_esp_task_wdt_status(TaskHandle_t task_handle)
{
    ++*asked;
    return __real_esp_task_wdt_status(task_handle);
}

static int open_chip(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    small_app("1", nor_flash_bytes(flash) + SLOT_0);
    memset(nor_flash_bytes(flash) + SOURCE, 0xFF, SR_SECTOR_SIZE);
    const unsigned count = small_table(&(small_layout_t){.slots = 3}, entries);
    assert_int_equal(image_write_partition_table(entries, count, nor_flash_bytes(flash) + SOURCE), IMAGE_WRITE_OK);
    copied = small_shared(sizeof(*copied));
    *copied = ESP_ERR_NOT_FINISHED;
    asked = small_shared(sizeof(*asked));
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    nor_flash_delete(flash);
    return 0;
}

static sim_end_t run(void (*body)(void *))
{
    small_attach(flash, SLOT_0);
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(body, NULL);
    sim_chip_detach();
    return end;
}

static void copy_table(void *unused)
{
    (void)unused;
    const esp_self_reflasher_config_t config = {.src_region = {SOURCE, SR_SECTOR_SIZE},
                                                .src_bin_size = SR_SECTOR_SIZE,
                                                .dest_region = {SR_PARTITION_TABLE_OFFSET, SR_SECTOR_SIZE}};
    *copied = esp_self_reflasher_directly_copy_to_region(&config);
}

static void copy_table_watched(void *unused)
{
    (void)esp_task_wdt_add(NULL);
    copy_table(unused);
}

static void sector_that_needs_many_attempts_is_no_reason_for_a_reset(void **state)
{
    (void)state;
    nor_flash_set_faults(flash, (nor_faults_t){.program_per_million = 1000000,
                                               .heal_after = FAILURES,
                                               .single = true,
                                               .address = SR_PARTITION_TABLE_OFFSET});
    assert_int_equal(run(copy_table_watched), SIM_END_RETURNED);
    assert_int_equal(*copied, ESP_OK);
    assert_memory_equal(nor_flash_view(flash) + SR_PARTITION_TABLE_OFFSET, nor_flash_view(flash) + SOURCE,
                        SR_SECTOR_SIZE);
    assert_true(nor_flash_stats(flash).typical_us > 5000000);
}

/* ESP-IDF logs an error for each such question, if the app has switched the watchdog off: that takes longer than the
 * operations. */
static void watchdog_is_not_asked_for_by_each_operation(void **state)
{
    (void)state;
    assert_int_equal(run(copy_table), SIM_END_RETURNED);
    assert_int_equal(*copied, ESP_OK);
    assert_int_equal(*asked, 1);
}

static void erase_for_a_while(void *unused)
{
    (void)unused;
    (void)esp_task_wdt_add(NULL);
    for (unsigned i = 0; i < FAILURES; i++) {
        (void)esp_flash_erase_region(NULL, SOURCE, SR_SECTOR_SIZE);
    }
}

/* Otherwise the test above could not fail. */
static void who_does_not_feed_it_is_reset(void **state)
{
    (void)state;
    assert_int_equal(run(erase_for_a_while), SIM_END_PANIC);
}

static void ask_before_and_after(void *unused)
{
    (void)unused;
    *copied = sr_watchdog_is_on() ? ESP_FAIL : ESP_OK;
    (void)esp_task_wdt_add(NULL);
    *copied = *copied == ESP_OK && sr_watchdog_is_on() ? ESP_OK : ESP_FAIL;
}

static void watchdog_is_on_for_a_task_that_has_subscribed(void **state)
{
    (void)state;
    assert_int_equal(run(ask_before_and_after), SIM_END_RETURNED);
    assert_int_equal(*copied, ESP_OK);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sector_that_needs_many_attempts_is_no_reason_for_a_reset),
        TEST(watchdog_is_not_asked_for_by_each_operation),
        TEST(who_does_not_feed_it_is_reset),
        TEST(watchdog_is_on_for_a_task_that_has_subscribed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
