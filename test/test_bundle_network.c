// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a bundle costs on its way: each byte travels once, no server holds a call for ever, none leads it away from
 * https, and the idle task runs often enough meanwhile.
 */
#include "api_support.h"

#include "bundle_writer.h"
#include "image_writer.h"
#include "self_reflasher_bundle.h"
#include "sr_yield_esp_idf.h"

#include <stdlib.h>
#include <string.h>

#define BOOTLOADER_ROOM 0x7000u
#define MAX_REGIONS     4u

typedef struct fixture {
    api_chip_t chip;
    api_server_t server;
    api_image_t bootloader, mcuboot, app, noise;
    uint8_t table[SR_SECTOR_SIZE];
    bundle_region_t regions[MAX_REGIONS];
    unsigned region_count;
    bundle_spec_t spec;
    size_t bundle_size;
    esp_http_client_config_t http;
    esp_self_reflasher_bundle_config_t config;
} fixture_t;

static fixture_t fixture;

/* The table that is there, with another label: the same system, and one sector that differs. */
static void make_table(void)
{
    sr_partition_t entries[8] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, API_NVS, 0x4000, 0, "other"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, API_OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, API_OTA_0, API_SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, API_OTA_1, API_SLOT_SIZE, 0, "ota_1"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 2, API_OTA_2, API_SLOT_SIZE, 0, "ota_2"},
    };
    memset(fixture.table, 0xFF, sizeof(fixture.table));
    assert_int_equal(image_write_partition_table(entries, 5, fixture.table), IMAGE_WRITE_OK);
}

static int setup(void **state)
{
    const api_options_t options = {.logs = getenv("API_LOGS") != NULL};
    (void)state;
    fixture = (fixture_t){.bootloader = api_bootloader("esp32"),
                          .mcuboot = api_mcuboot(),
                          .app = api_app(0x20000),
                          .noise = api_noise(0xA0000, 5)};
    api_chip_open(&fixture.chip, &options);
    make_table();
    api_server_start(&fixture.server);
    fixture.spec = (bundle_spec_t){.min_flash_size = API_FLASH_SIZE, .partition_table_offset = API_TABLE};
    fixture.http = (esp_http_client_config_t){.url = api_server_url(&fixture.server, "/b.srb"), .timeout_ms = 5000};
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
    api_image_free(&fixture.mcuboot);
    api_image_free(&fixture.app);
    api_image_free(&fixture.noise);
    return 0;
}

static void add(uint32_t address, uint32_t size, const uint8_t *data, size_t length)
{
    assert_true(fixture.region_count < MAX_REGIONS);
    fixture.regions[fixture.region_count++] =
        (bundle_region_t){.place = {address, size}, .data = data, .length = length};
}

static void serve(void)
{
    uint8_t *bytes = NULL;
    fixture.spec.regions = fixture.regions;
    fixture.spec.region_count = fixture.region_count;
    assert_int_equal(bundle_write(&fixture.spec, &bytes, &fixture.bundle_size), BUNDLE_WRITE_OK);
    api_server_put(&fixture.server, "b.srb", (api_image_t){bytes, fixture.bundle_size});
    free(bytes);
}

/* Other bytes where nothing that counts for the header or a segment's place is: the digest behind them tells. */
static void add_bootloader(void)
{
    add(API_BOOTLOADER, BOOTLOADER_ROOM, fixture.bootloader.bytes, fixture.bootloader.length);
    uint8_t *there = nor_flash_bytes(fixture.chip.flash) + API_BOOTLOADER;
    for (uint32_t offset = 0x40; offset < fixture.bootloader.length; offset += 0x100) {
        there[offset] ^= 0x10; /* The one that runs is another one than that of the bundle. */
    }
    api_chip_snapshot(&fixture.chip);
}

static void add_table(void)
{
    add(API_TABLE, SR_SECTOR_SIZE, fixture.table, sizeof(fixture.table));
}

static void add_app(void)
{
    add(API_OTA_0, API_SLOT_SIZE, fixture.app.bytes, fixture.app.length);
}

static void add_data(void)
{
    add(API_DATA, (uint32_t)fixture.noise.length, fixture.noise.bytes, fixture.noise.length);
}

static void add_mcuboot(void)
{
    add(API_BOOTLOADER, BOOTLOADER_ROOM, fixture.mcuboot.bytes, fixture.mcuboot.length);
    fixture.spec.partition_table_offset = SR_BUNDLE_NO_TABLE;
}

static void add_system(void)
{
    add_bootloader();
    add_table();
    add_app();
    add_data();
}

static void add_mcuboot_system(void)
{
    add_mcuboot();
    add_app();
    add_data();
}

/* Yields. */

static void idle_task_runs_often_enough(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t plan;
    add_system();
    serve();
    assert_int_equal(esp_self_reflasher_plan_bundle(&fixture.config, &plan), ESP_OK);
    assert_in_range(sim_counters()->longest_work, 1, SR_YIELD_BYTES + 4 * SR_SECTOR_SIZE);
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
    assert_in_range(sim_counters()->longest_work, 1, SR_YIELD_BYTES + 4 * SR_SECTOR_SIZE);
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
    assert_int_equal(plan.sectors_to_write, 0);
    assert_in_range(sim_counters()->longest_work, 1, SR_YIELD_BYTES + 4 * SR_SECTOR_SIZE);
}

/* Budgets. */

static void each_byte_travels_once(void **state)
{
    (void)state;
    static void (*const targets[])(void) = {add_bootloader, add_table,  add_app,           add_data,
                                            add_mcuboot,    add_system, add_mcuboot_system};
    static const char *const names[] = {"bootloader", "table", "app", "data", "mcuboot", "system", "mcuboot system"};
    for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        esp_self_reflasher_plan_t plan;
        fixture.region_count = 0;
        targets[i]();
        serve();
        const uint64_t before = sim_counters()->bytes_downloaded;
        assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
        const uint64_t took = sim_counters()->bytes_downloaded - before;
        print_message("%s: planned %u, downloaded %u\n", names[i], (unsigned)plan.bytes_to_download, (unsigned)took);
        assert_true(plan.sectors_to_write > 0);
        assert_true(took * 100 <= (uint64_t)plan.bytes_to_download * 102);
        assert_int_equal(teardown(NULL), 0);
        assert_int_equal(setup(NULL), 0);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(idle_task_runs_often_enough),
        TEST(each_byte_travels_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
