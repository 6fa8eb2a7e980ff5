// SPDX-License-Identifier: Apache-2.0
/** @file
 * Apps of the field, as the published description tells them, on the simulated chip: their source as it would be built
 * for a chip, to the end, and once with each call of this component failing.
 */
#include "test/support/api_support.h"

#include "make/dummy_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void download_task_app_main(void);
void download_check_app_main(void);
void embedded_app_main(void);

static api_server_t server;
static api_chip_t chip;
static api_image_t app, boot;
static unsigned *failing; /**< Number of the call that fails, counted down; shared with the app's process. */
static unsigned *calls;

/* Each call of the API, made to fail on demand. */

static bool fails(void)
{
    ++*calls;
    return *failing > 0 && --*failing == 0;
}

#define WRAP(name, parameters, arguments)                                                                              \
    esp_err_t __real_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters;                                                                                \
    esp_err_t __wrap_##name parameters                                                                                 \
    {                                                                                                                  \
        return fails() ? ESP_FAIL : __real_##name arguments;                                                           \
    }

WRAP(esp_self_reflasher_init, (const esp_self_reflasher_config_t *config, esp_self_reflasher_handle_t *handle),
     (config, handle))
WRAP(esp_self_reflasher_download_bin, (esp_self_reflasher_handle_t handle), (handle))
WRAP(esp_self_reflasher_copy_to_region, (esp_self_reflasher_handle_t handle), (handle))
WRAP(esp_self_reflasher_upd_next_config,
     (const esp_self_reflasher_config_t *config, esp_self_reflasher_handle_t handle), (config, handle))
WRAP(esp_self_reflasher_directly_copy_to_region, (const esp_self_reflasher_config_t *config), (config))

/* An app for MCUboot without what fills the slot up. */
static api_image_t mcuboot_app(void)
{
    api_image_t image = {.bytes = malloc(DUMMY_IMAGE_SLOT_SIZE), .length = DUMMY_IMAGE_SLOT_SIZE};
    assert_non_null(image.bytes);
    assert_int_equal(dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_NONE, image.bytes, image.length), IMAGE_WRITE_OK);
    while (image.bytes[image.length - 1] == 0xFF) {
        image.length--;
    }
    return image;
}

static int set_up(void **state)
{
    (void)state;
    failing = api_shared(sizeof(*failing));
    calls = api_shared(sizeof(*calls));
    app = mcuboot_app();
    boot = api_mcuboot();
    api_server_start(&server);
    api_server_put(&server, "app.bin", app);
    api_server_put(&server, "boot.bin", boot);
    setenv("FIELD_APP_URL", api_server_url(&server, "/app.bin"), 1);
    setenv("FIELD_BOOT_URL", api_server_url(&server, "/boot.bin"), 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    api_server_stop(&server);
    api_image_free(&app);
    api_image_free(&boot);
    api_shared_free(failing, sizeof(*failing));
    api_shared_free(calls, sizeof(*calls));
    return 0;
}

static sim_report_t run(void (*app_main)(void), unsigned failing_call)
{
    sim_report_t report;
    sim_config_t config = chip.config;
    config.running_app = UINT32_MAX;
    *failing = failing_call;
    *calls = 0;
    assert_true(sim_run(&config, app_main, 4, &report));
    return report;
}

/* One of the two apps whose images come over the network. */
typedef struct download_app {
    void (*app_main)(void);
    sr_region_t staging;
    sim_end_t end_if_it_fails;
    bool ignores_init;
} download_app_t;

static const download_app_t apps[] = {
    {download_task_app_main, {API_DATA, API_FLASH_SIZE - API_DATA}, SIM_END_RETURNED, false},
    {download_check_app_main, {API_OTA_1, API_SLOT_SIZE}, SIM_END_PANIC, true},
};
#define CALLS 6u /**< init, download, copy, update, download, copy. */

static void download_apps_run_to_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(apps) / sizeof(apps[0]); i++) {
        api_chip_open(&chip, NULL);
        const sim_report_t report = run(apps[i].app_main, 0);
        assert_int_equal(*calls, CALLS);
        assert_int_equal(report.last_end, SIM_END_RESTART);
        assert_int_equal(report.after.outcome, BOOT_BOOTS);
        assert_int_equal(report.after.app_offset, DUMMY_IMAGE_PRIMARY);
        api_assert_holds(&chip, (sr_region_t){API_OTA_0, API_SLOT_SIZE}, app);
        api_assert_holds(&chip, (sr_region_t){API_BOOTLOADER, 0x7000}, boot);
        api_assert_holds(&chip, (sr_region_t){API_NVS, 0x4000}, (api_image_t){0});
        const sr_region_t changed[] = {
            {API_OTA_0, API_SLOT_SIZE}, {API_BOOTLOADER, 0x7000}, {API_NVS, 0x4000}, apps[i].staging};
        api_assert_same_outside(&chip, changed, 4);
        api_chip_close(&chip);
    }
}

/* Whatever call fails, the app ends as it was written to, and the old system boots: the bootloader is replaced
 * by the last call, or not at all. */
static void download_apps_survive_each_failing_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(apps) / sizeof(apps[0]); i++) {
        for (unsigned call = 1; call <= CALLS; call++) {
            api_chip_open(&chip, NULL);
            const sim_report_t report = run(apps[i].app_main, call);
            assert_int_equal(report.last_end, apps[i].end_if_it_fails);
            /* An app that ignores that init failed has no handle, and the next call fails. */
            assert_int_equal(*calls, call == 1 && apps[i].ignores_init ? 2 : call);
            assert_int_equal(report.after.outcome, BOOT_BOOTS);
            assert_int_equal(report.after.app_offset, API_OTA_2);
            assert_memory_equal(nor_flash_view(chip.flash) + API_BOOTLOADER, chip.before + API_BOOTLOADER, 0x7000);
            api_chip_close(&chip);
        }
    }
}

static void load_embedded_flash(void)
{
    nor_flash_t *flash = nor_flash_new(API_FLASH_SIZE, nor_timing_find(NULL));
    FILE *file = fopen(TEST_BINARY_DIR "/examples/host/images/embedded-flash.bin", "rb");
    assert_non_null(flash);
    assert_non_null(file);
    assert_int_equal(fread(nor_flash_bytes(flash), 1, API_FLASH_SIZE, file), API_FLASH_SIZE);
    fclose(file);
    api_chip_attach(&chip, flash, API_OTA_0);
}

static void embedded_app_runs_to_the_end(void **state)
{
    (void)state;
    load_embedded_flash();
    const sim_report_t report = run(embedded_app_main, 0);
    /* The app first moves out of the way. */
    assert_int_equal(*calls, 2);
    assert_int_equal(report.last_end, SIM_END_RESTART);
    assert_true(boot_succeeds(&report.after));
    assert_int_equal(report.after.app_offset, DUMMY_IMAGE_PRIMARY);
    assert_true(report.other_app);
    api_chip_close(&chip);
}

static void embedded_app_survives_a_failing_call(void **state)
{
    (void)state;
    for (unsigned call = 1; call <= 2; call++) {
        load_embedded_flash();
        const sim_report_t report = run(embedded_app_main, call);
        assert_int_equal(*calls, call);
        assert_int_equal(report.last_end, SIM_END_RETURNED);
        assert_true(boot_succeeds(&report.after));
        assert_false(report.other_app);
        assert_memory_equal(nor_flash_view(chip.flash) + API_BOOTLOADER, chip.before + API_BOOTLOADER, 0x8000);
        api_chip_close(&chip);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(download_apps_run_to_the_end),
        cmocka_unit_test(download_apps_survive_each_failing_call),
        cmocka_unit_test(embedded_app_runs_to_the_end),
        cmocka_unit_test(embedded_app_survives_a_failing_call),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
