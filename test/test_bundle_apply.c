// SPDX-License-Identifier: Apache-2.0
#include "api_support.h"

#include "bundle_writer.h"
#include "self_reflasher_bundle.h"

#include <stdlib.h>
#include <string.h>

#define BOOTLOADER_ROOM 0x7000u

/* A chip that runs from ota_2, and a server with one bundle: another bootloader, and an app for ota_0. */
typedef struct fixture {
    api_chip_t chip;
    api_server_t server;
    api_image_t bootloader;
    api_image_t app;
    esp_http_client_config_t http;
    esp_self_reflasher_bundle_config_t config;
} fixture_t;

static fixture_t fixture;

static void serve_bundle(const bundle_region_t *regions, unsigned count)
{
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE, /* MCUboot knows none. */
                                .regions = regions,
                                .region_count = count};
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    api_server_put(&fixture.server, "b.srb", (api_image_t){bytes, size});
    free(bytes);
}

static void serve_system(void)
{
    const bundle_region_t regions[] = {
        {.place = {API_BOOTLOADER, BOOTLOADER_ROOM},
         .data = fixture.bootloader.bytes,
         .length = fixture.bootloader.length},
        {.place = {API_OTA_0, API_SLOT_SIZE}, .data = fixture.app.bytes, .length = fixture.app.length},
    };
    serve_bundle(regions, 2);
}

static int setup(void **state)
{
    const api_options_t options = {.logs = getenv("API_LOGS") != NULL};
    (void)state;
    fixture = (fixture_t){.bootloader = api_mcuboot(), .app = api_app(0x20000)};
    api_chip_open(&fixture.chip, &options);
    api_server_start(&fixture.server);
    fixture.http = (esp_http_client_config_t){.url = api_server_url(&fixture.server, "/b.srb"), .timeout_ms = 2000};
    fixture.config = (esp_self_reflasher_bundle_config_t){.http_config = &fixture.http,
                                                          .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    api_server_stop(&fixture.server);
    api_chip_close(&fixture.chip);
    api_image_free(&fixture.bootloader);
    api_image_free(&fixture.app);
    return 0;
}

static void a_bundle_is_applied_and_then_costs_only_reads(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t plan;
    serve_system();
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
    const sr_region_t changed[] = {{API_BOOTLOADER, BOOTLOADER_ROOM}, {API_OTA_0, API_SLOT_SIZE}};
    api_assert_holds(&fixture.chip, changed[0], fixture.bootloader);
    api_assert_holds(&fixture.chip, changed[1], fixture.app);
    api_assert_same_outside(&fixture.chip, changed, 2);
    print_message("peak heap %u, downloaded %u, staged at 0x%x\n", (unsigned)sim_counters()->heap_peak,
                  (unsigned)sim_counters()->bytes_downloaded, (unsigned)plan.staging_address);

    api_chip_snapshot(&fixture.chip);
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
    assert_int_equal(plan.sectors_to_write, 0);
    api_assert_untouched(&fixture.chip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bundle_is_applied_and_then_costs_only_reads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
