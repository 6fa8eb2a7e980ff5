// SPDX-License-Identifier: Apache-2.0
/** @file
 * How long the calls of the image API keep a core busy: the idle task must run before the task watchdog, which waits 5
 * s, resets the chip. Measured on the flash's clock, as if each operation took as long as the datasheet allows, and by
 * the bytes that are read, hashed and received.
 */
#include "make/bundle_writer.h"
#include "self_reflasher_bundle.h"
#include "port/sr_yield.h"
#include "relocate/sr_app_copy.h"
#include "test/support/api_support.h"

#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_US     2500000u /**< Half of what the watchdog waits. */
#define BOOT_PATH_US 4500000u /**< Between its sectors nobody yields. */
#define LIMIT_BYTES  0x60000u /**< Some 0.6 s of reading and hashing on the slowest chip. */

static api_server_t server;
static api_chip_t chip;
static api_image_t big, boot;

/** Since the idle task ran last, and the longest such time. */
static struct {
    uint64_t us, bytes;
    uint64_t longest_us, most_bytes;
    uint32_t yields;
    bool measures;
} work;

void __real_vTaskDelay(TickType_t ticks);
void __wrap_vTaskDelay(TickType_t ticks);

static void look(void)
{
    const nor_stats_t stats = nor_flash_stats(chip.flash);
    const uint64_t us = stats.maximum_us - work.us;
    const uint64_t bytes = stats.bytes_read - work.bytes;
    work.longest_us = us > work.longest_us ? us : work.longest_us;
    work.most_bytes = bytes > work.most_bytes ? bytes : work.most_bytes;
    work.us = stats.maximum_us;
    work.bytes = stats.bytes_read;
}

void __wrap_vTaskDelay(TickType_t ticks)
{
    if (work.measures && ticks > 0) {
        work.yields++;
        look();
    }
    __real_vTaskDelay(ticks);
}

static void start(void)
{
    api_chip_snapshot(&chip);
    memset(&work, 0, sizeof(work));
    work.measures = true;
}

static void expect_below(const char *what, uint64_t limit_us)
{
    look();
    work.measures = false;
    print_message("%s: at most %u ms and %u KiB between two yields\n", what, (unsigned)(work.longest_us / 1000),
                  (unsigned)(work.most_bytes / 1024));
    assert_true(work.longest_us < limit_us);
    assert_true(work.most_bytes <= LIMIT_BYTES);
}

static int set_up(void **state)
{
    (void)state;
    api_server_start(&server);
    big = api_noise(0xE0000 - 0x123, 1);
    boot = api_mcuboot();
    api_server_put(&server, "big.bin", big);
    api_server_put(&server, "boot.bin", boot);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    api_server_stop(&server);
    api_image_free(&big);
    api_image_free(&boot);
    return 0;
}

static int open_chip(void **state)
{
    (void)state;
    api_chip_open(&chip, NULL);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    api_chip_close(&chip);
    return 0;
}

static esp_self_reflasher_handle_t opened(const char *path, sr_region_t destination, const uint8_t *sha256)
{
    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    api_download_to(&download, api_server_url(&server, path), destination.address, destination.size);
    download.config.sha256 = sha256;
    assert_int_equal(esp_self_reflasher_init(&download.config, &handle), ESP_OK);
    return handle;
}

/* Flash in which each sector is wrong, or right, or in which blocks cannot be erased at once: every second one is
 * right. */
static void fill(uint32_t address, unsigned kind)
{
    uint8_t *bytes = nor_flash_bytes(chip.flash) + address;
    memset(bytes, 0, 0xE0000);
    for (uint32_t sector = 0; kind > 0 && sector < 0xE0000; sector += kind == 1 ? SR_SECTOR_SIZE : 2 * SR_SECTOR_SIZE) {
        const size_t left = big.length - sector;
        memset(bytes + sector, 0xFF, SR_SECTOR_SIZE);
        memcpy(bytes + sector, big.bytes + sector, left < SR_SECTOR_SIZE ? left : SR_SECTOR_SIZE);
    }
}

static void download_and_copy_yield(void **state)
{
    (void)state;
    static const char *const kinds[] = {"wrong flash", "right flash", "flash that is right by half"};
    for (unsigned kind = 0; kind < 3; kind++) {
        esp_self_reflasher_handle_t handle = opened("/big.bin", (sr_region_t){API_DATA, 0xE0000}, NULL);
        fill(API_OTA_0, kind);
        fill(API_DATA, kind);
        print_message("%s:\n", kinds[kind]);
        start();
        assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
        expect_below("download", LIMIT_US);
        start();
        assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_OK);
        expect_below("copy", LIMIT_US);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    }
}

static void refusal_yields(void **state)
{
    (void)state;
    static const uint8_t wrong[32];
    for (unsigned kind = 0; kind < 3; kind++) {
        esp_self_reflasher_handle_t handle = opened("/big.bin", (sr_region_t){API_DATA, 0xE0000}, wrong);
        fill(API_OTA_0, kind);
        start();
        assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_ERR_SELF_REFLASHER_SHA256);
        expect_below("hashed, refused and erased", LIMIT_US);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    }
}

static void bootloader_yields_but_in_the_window(void **state)
{
    (void)state;
    esp_self_reflasher_handle_t handle = opened("/boot.bin", (sr_region_t){API_BOOTLOADER, 0x7000}, NULL);
    start();
    assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
    expect_below("download of a bootloader", LIMIT_US);
    start();
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_OK);
    expect_below("copy of a bootloader", BOOT_PATH_US);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
}

static void embedded_copy_yields(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        esp_self_reflasher_config_t config = api_embedded(API_OTA_0 + 0x123, big.length, API_DATA, 0xE0000);
        memcpy(nor_flash_bytes(chip.flash) + API_OTA_0 + 0x123, big.bytes, big.length);
        fill(API_DATA, kind);
        start();
        assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
        expect_below("embedded copy", LIMIT_US);
    }
}

/** What the app's process measured, shared with it. */
static uint64_t *measured;

static void move_away(void *unused)
{
    (void)unused;
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, 0xE0000, API_OTA_2, 0xE0000);
    measured[2] = (uint64_t)esp_self_reflasher_directly_copy_to_region(&config);
}

void __real_esp_restart(void);
void __wrap_esp_restart(void);

void __wrap_esp_restart(void)
{
    look();
    measured[0] = work.longest_us;
    measured[1] = work.most_bytes;
    __real_esp_restart();
}

/* The running app lies in the destination, and moves to another slot first. */
static void relocation_yields(void **state)
{
    (void)state;
    measured = api_shared(3 * sizeof(*measured));
    memset(nor_flash_bytes(chip.flash) + API_OTA_1, 0, API_SLOT_SIZE);
    start();
    assert_int_equal(sim_call(move_away, NULL), SIM_END_RESTART);
    print_message("relocation: at most %u ms and %u KiB between two yields\n", (unsigned)(measured[0] / 1000),
                  (unsigned)(measured[1] / 1024));
    assert_true(measured[0] > 0 && measured[0] < LIMIT_US);
    assert_true(measured[1] <= LIMIT_BYTES);
    api_shared_free(measured, 3 * sizeof(*measured));
}

/* No less often than the limits say, but no more often either: each yield costs a tick. */
static void as_much_is_counted_as_is_read(void **state)
{
    (void)state;
    sr_system_t system;
    bool there = false;
    sr_copy_workspace_t *workspace = malloc(sizeof(*workspace));
    assert_non_null(workspace);
    assert_int_equal(sr_system_read(&system), ESP_OK);
    const sr_region_t app = system.boot_path.running_app;
    memcpy(nor_flash_bytes(chip.flash) + API_OTA_1, nor_flash_view(chip.flash) + app.address, app.size);
    start();
    assert_int_equal(sr_app_copy_is_there(&system, API_OTA_1, workspace, &there), ESP_OK);
    assert_true(there);
    const uint64_t read = nor_flash_stats(chip.flash).bytes_read;
    assert_int_equal(read, 2 * app.size);
    assert_in_range(work.yields, read / SR_YIELD_BYTES, read / SR_YIELD_BYTES + 1);
    expect_below("comparison of a copy", LIMIT_US);
    free(workspace);
}

/* A bundle of what goes straight to its place, and of data that the running system uses, which is staged first; the
 * boot path stays as it is. It lies in ota_0, and is planned and applied in one process. */
static size_t put_bundle(const uint8_t *data, uint32_t data_size)
{
    uint8_t *bundle = NULL;
    size_t size = 0;
    api_image_t app = api_app(0x60000);
    const bundle_region_t regions[] = {
        {.place = {API_OTA_1, API_SLOT_SIZE}, .data = app.bytes, .length = app.length},
        {.place = {API_DATA, 0x60000}, .data = data, .length = data_size},
    };
    const bundle_spec_t spec = {
        .min_flash_size = API_FLASH_SIZE, .partition_table_offset = API_TABLE, .regions = regions, .region_count = 2};
    assert_int_equal(bundle_write(&spec, &bundle, &size), BUNDLE_WRITE_OK);
    assert_true(size <= API_SLOT_SIZE);
    memcpy(nor_flash_bytes(chip.flash) + API_OTA_0, bundle, size);
    free(bundle);
    api_image_free(&app);
    return size;
}

static void expect_bundle_yields(const char *what, const uint8_t *data, uint32_t data_size)
{
    esp_self_reflasher_plan_t plan;
    const esp_self_reflasher_bundle_config_t config = {.embedded = {API_OTA_0, put_bundle(data, data_size)},
                                                       .skip_checks =
                                                           ESP_SELF_REFLASHER_CHECK_APP, /* Nothing selects it. */
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    print_message("%s:\n", what);
    start();
    assert_int_equal(esp_self_reflasher_plan_bundle(&config, &plan), ESP_OK);
    expect_below("plan", LIMIT_US);
    start();
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_OK);
    expect_below("apply", LIMIT_US);
    assert_true(plan.sectors_to_write > 0);
    start();
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_OK);
    expect_below("apply once more", LIMIT_US);
}

static void bundle_yields(void **state)
{
    (void)state;
    fill(API_OTA_1, 0);
    fill(API_DATA, 0);
    expect_bundle_yields("bundle", big.bytes, 0x60000);
    fill(API_DATA, 0);
    expect_bundle_yields("bundle that wants blank data", NULL, 0);
    for (uint32_t sector = 0; sector < 0x60000; sector += 2 * SR_SECTOR_SIZE) {
        memset(nor_flash_bytes(chip.flash) + API_OTA_1 + sector, 0, SR_SECTOR_SIZE);
    }
    expect_bundle_yields("bundle of which each second sector is right", NULL, 0);
}

#define ON_CHIP(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CHIP(download_and_copy_yield),
        ON_CHIP(refusal_yields),
        ON_CHIP(bootloader_yields_but_in_the_window),
        ON_CHIP(embedded_copy_yields),
        ON_CHIP(relocation_yields),
        ON_CHIP(bundle_yields),
        ON_CHIP(as_much_is_counted_as_is_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
