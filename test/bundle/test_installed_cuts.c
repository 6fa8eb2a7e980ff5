// SPDX-License-Identifier: Apache-2.0
/** @file
 * What "installed" means, whenever the power goes: regions that the new system owns are written together with what
 * makes it the new system.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/explore/explore.h"
#include "test/support/support_installed.h"

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

/* Every cut, torn in all ways, with further ones while it goes on. */
static void explore_opened(unsigned losses, uint32_t sample)
{
    sr_region_t targets[MAX_REGIONS];
    explore_result_t result;
    for (uint32_t i = 0; i < region_count; i++) {
        targets[i] = regions[i].place;
    }
    small_explore((explore_config_t){.flash = nor_flash_view(flash),
                                     .app_main = app_in_exploration,
                                     .targets = targets,
                                     .target_count = region_count,
                                     .losses = losses,
                                     .sample = sample},
                  &result);
    assert_true(losses == 1 || result.nested_count > 0);
    explore_result_free(&result);
    close_chip();
}

/* With room for record and mark, for the mark alone, and for sizes in between. */
static void explore(unsigned with, uint32_t blank, unsigned losses)
{
    open_chip(with, blank);
    explore_opened(losses, SMALL_SAMPLE(0));
}

/* Of which another one writes the same in the same places, or most of it. */
static void explore_alike(unsigned with, uint32_t blank)
{
    open_chip(with, blank);
    explore_opened(2, SMALL_SAMPLE_OF_ALIKE);
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
    explore_alike(WITH_OTADATA | WITH_NVS | WITH_FILES, 1); /* As with an app, from RAM. */
    explore_alike(WITH_OTADATA | WITH_NVS | WITH_FILES, 3);
}

static void every_cut_of_all_of_it(void **state)
{
    (void)state;
    explore(WITH_ALL, 16, 2);
    explore(WITH_ALL, 6, 2); /* The data goes straight to its place, and is not in the record. */
    explore(WITH_ALL, 1, 2); /* From RAM. */
}

static void every_cut_in_place(void **state)
{
    (void)state;
    open_in_place(7); /* One more, because the mark of a record that was cut short takes a sector. */
    explore_opened(1, SMALL_SAMPLE(0));
}

/* Torn in all ways, and with the source. */
static void every_cut_with_the_mark_in_the_way(void **state)
{
    (void)state;
    open_with_mark_in_the_way();
    explore_opened(2, SMALL_SAMPLE(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_cut_with_the_mark_in_the_way, new_job),
        cmocka_unit_test_setup(every_cut_in_place, new_job),
        cmocka_unit_test_setup(every_cut_of_an_app_and_its_otadata, new_job),
        cmocka_unit_test_setup(every_cut_of_data_of_the_new_system, new_job),
        cmocka_unit_test_setup(every_cut_of_all_of_it, new_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
