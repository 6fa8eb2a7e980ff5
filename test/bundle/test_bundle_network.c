// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a download of a bundle costs: each byte travels once, no server stalls a call for ever or redirects it away from
 * https, and the idle task runs often enough meanwhile.
 */
#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "make/image_writer.h"
#include "self_reflasher_bundle.h"
#include "port/sr_yield.h"
#include "sim/chip/sim_state.h"

#include <stdlib.h>
#include <string.h>

#define BOOTLOADER_ROOM 0x7000u
#define MAX_REGIONS     8u

typedef struct fixture {
    api_chip_t chip;
    api_server_t server;
    api_image_t bootloader, mcuboot, app, noise;
    uint8_t table[SR_SECTOR_SIZE];
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
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
    sr_partition_table_entry_t entries[8] = {
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
                          .noise = api_noise(0xE0000, 5)};
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

/* Other bytes, but not in the header or a segment's header: the digest after them differs. */
static void add_bootloader(void)
{
    add(API_BOOTLOADER, BOOTLOADER_ROOM, fixture.bootloader.bytes, fixture.bootloader.length);
    uint8_t *there = nor_flash_bytes(fixture.chip.flash) + API_BOOTLOADER;
    for (uint32_t offset = 0x40; offset < fixture.bootloader.length; offset += 0x100) {
        there[offset] ^= 0x10; /* The running one is not that of the bundle. */
    }
    api_chip_snapshot(&fixture.chip);
}

static void add_table(void)
{
    add(API_TABLE, SR_SECTOR_SIZE, fixture.table, sizeof(fixture.table));
}

/* And what selects it. */
static void add_app(void)
{
    if (fixture.spec.partition_table_offset != SR_BUNDLE_NO_TABLE) {
        image_write_otadata(1, SR_OTA_VALID, fixture.otadata);
        add(API_OTADATA, sizeof(fixture.otadata), fixture.otadata, sizeof(fixture.otadata));
    }
    const uint32_t room = (uint32_t)sr_region_align_up((uint32_t)fixture.app.length, SR_SECTOR_SIZE);
    add(API_OTA_0, room, fixture.app.bytes, fixture.app.length);
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
    /* In hundredths. Bootloaders that do not compress find no room to be kept beside a long manifest. */
    static const unsigned most[] = {102, 102, 102, 102, 102, 106, 102};
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
        assert_true(took * 100 <= (uint64_t)plan.bytes_to_download * most[i]);
        assert_int_equal(teardown(NULL), 0);
        assert_int_equal(setup(NULL), 0);
    }
}

/* Also if the server does not support ranges, or connections break. */
static void each_byte_travels_once_from_other_servers(void **state)
{
    (void)state;
    static const char *const paths[] = {"/norange/b.srb", "/chunked/b.srb", "/close/b.srb", "/cut/b.srb?every=100000",
                                        "/busy/b.srb?every=2"};
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        esp_self_reflasher_plan_t plan;
        add_mcuboot();
        add_app();
        serve();
        fixture.http.url = api_server_url(&fixture.server, paths[i]);
        const uint64_t before = sim_counters()->bytes_downloaded;
        assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
        const uint64_t took = sim_counters()->bytes_downloaded - before;
        print_message("%s: planned %u, downloaded %u\n", paths[i], (unsigned)plan.bytes_to_download, (unsigned)took);
        assert_true(took * 100 <= (uint64_t)plan.bytes_to_download * 102);
        assert_int_equal(teardown(NULL), 0);
        assert_int_equal(setup(NULL), 0);
    }
}

/* What is kept so that it need not be fetched again is given up where the commit needs the memory. */
static void rather_fetched_again_than_given_up(void **state)
{
    (void)state;
    bool again = false;
    for (uint32_t limit = 80; limit > 30; limit--) {
        esp_self_reflasher_plan_t plan;
        add_bootloader();
        serve();
        fixture.chip.config.heap_limit = limit * 1024u;
        sim_state.config.heap_limit = limit * 1024u;
        const uint64_t before = sim_counters()->bytes_downloaded;
        const esp_err_t err = esp_self_reflasher_apply_bundle(&fixture.config, &plan);
        const uint64_t took = sim_counters()->bytes_downloaded - before;
        again = again || (err == ESP_OK && took > plan.bytes_to_download + fixture.bootloader.length / 2);
        if (err != ESP_OK) {
            assert_int_equal(err, ESP_ERR_NO_MEM);
            assert_memory_equal(nor_flash_view(fixture.chip.flash) + API_BOOTLOADER,
                                fixture.chip.before + API_BOOTLOADER, fixture.bootloader.length);
        }
        assert_int_equal(teardown(NULL), 0);
        assert_int_equal(setup(NULL), 0);
        if (err != ESP_OK) {
            break;
        }
    }
    assert_true(again);
}

static void count_retry(void *count, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)data;
    *(uint32_t *)count += event == ESP_SELF_REFLASHER_EVENT_RETRY;
}

static void server_is_asked_again_as_often_as_the_config_says(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t plan;
    fixture.http.url = api_server_url(&fixture.server, "/busy/b.srb?every=1");
    add_data();
    serve();
    for (uint32_t most = 1; most < 4; most++) {
        uint32_t count = 0;
        fixture.config.max_retries = most;
        fixture.config.event_cb = count_retry;
        fixture.config.user_ctx = &count;
        assert_int_equal(esp_self_reflasher_plan_bundle(&fixture.config, &plan), ESP_ERR_HTTP_EAGAIN);
        assert_int_equal(count, most);
        api_assert_untouched(&fixture.chip);
    }
}

/* What a server says of ranges and lengths is not believed: the digests decide. */

static void assert_old_or_new(void)
{
    const uint8_t *now = nor_flash_view(fixture.chip.flash);
    for (uint32_t at = 0; at < API_FLASH_SIZE; at += SR_SECTOR_SIZE) {
        const bool is_new = at >= API_DATA && at - API_DATA < fixture.noise.length &&
                            memcmp(now + at, fixture.noise.bytes + (at - API_DATA), SR_SECTOR_SIZE) == 0;
        if (!is_new && memcmp(now + at, fixture.chip.before + at, SR_SECTOR_SIZE) != 0) {
            fail_msg("sector 0x%x holds neither what it did nor what it should", (unsigned)at);
        }
    }
}

static esp_err_t apply_from(const char *path)
{
    esp_self_reflasher_plan_t plan;
    fixture.http.url = api_server_url(&fixture.server, path);
    fixture.config.max_retries = 1;
    return esp_self_reflasher_apply_bundle(&fixture.config, &plan);
}

static void serve_two_versions(void)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    api_image_t other = api_noise(fixture.noise.length, 6);
    const bundle_region_t region = {
        .place = {API_DATA, (uint32_t)other.length}, .data = other.bytes, .length = other.length};
    fixture.spec.regions = &region;
    fixture.spec.region_count = 1;
    assert_int_equal(bundle_write(&fixture.spec, &bytes, &size), BUNDLE_WRITE_OK);
    api_server_put(&fixture.server, "b.srb.other", (api_image_t){bytes, size});
    free(bytes);
    api_image_free(&other);
    serve();
}

static void server_that_lies_about_ranges_writes_nothing_wrong(void **state)
{
    (void)state;
    static const char *const paths[] = {"/lying-range/b.srb", "/lying-range/b.srb?by=4096", "/lying-length/b.srb?by=1",
                                        "/lying-length/b.srb?by=4096", "/swap/b.srb?after=2"};
    add_data();
    serve_two_versions();
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        memset(nor_flash_bytes(fixture.chip.flash) + API_DATA, 0, fixture.noise.length);
        api_chip_snapshot(&fixture.chip);
        const esp_err_t err = apply_from(paths[i]);
        assert_int_equal(err, strncmp(paths[i], "/lying-length", 13) == 0 ? ESP_OK : ESP_ERR_SELF_REFLASHER_CHUNK);
        assert_old_or_new();
        api_assert_no_leak(0);
    }
}

/* A file that was replaced while it was fetched is noticed, before anything of the boot path is touched. */
static void bundle_that_changes_on_the_way_is_noticed(void **state)
{
    (void)state;
    add_data();
    serve_two_versions();
    assert_int_equal(apply_from("/swap/b.srb?after=2"), ESP_ERR_SELF_REFLASHER_CHUNK);
    assert_old_or_new();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(idle_task_runs_often_enough),
        TEST(each_byte_travels_once),
        TEST(each_byte_travels_once_from_other_servers),
        TEST(rather_fetched_again_than_given_up),
        TEST(server_is_asked_again_as_often_as_the_config_says),
        TEST(server_that_lies_about_ranges_writes_nothing_wrong),
        TEST(bundle_that_changes_on_the_way_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
