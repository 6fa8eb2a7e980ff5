// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whole migrations with the real firmware of the fixtures: from ESP-IDF's bootloader to MCUboot, in both modes, and
 * from ESPHome to WLED. What was written is compared with what esptool would have written, the rest with what was
 * there, and the result is booted.
 */
#include "test/support/api_support.h"

#include "make/dummy_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR SR_SECTOR_SIZE

#define IDF_BOOTLOADER "idf/bootloader_esp32_v5_2.bin"
#define MCUBOOT        "mcuboot-nuttx/mcuboot-esp32.bin"
#define NUTTX          "mcuboot-nuttx/app_upd.bin"
#define NUTTX_MERGED   "mcuboot-nuttx/app_upd.merged.bin"
#define WLED_SYSTEM    "wled/binaries/esp32_bootloader_v4.bin"
#define WLED_APP       "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin"
#define ESPHOME        "esphome/esp32.bin"

static api_server_t server;
static api_chip_t chip;

static int start_server(void **state)
{
    (void)state;
    api_server_start(&server);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    api_server_stop(&server);
    return 0;
}

static int nothing(void **state)
{
    (void)state;
    chip = (api_chip_t){0};
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    if (chip.flash != NULL) {
        api_chip_close(&chip);
    }
    return 0;
}

/* The old systems. */

static nor_flash_t *blank_flash(void)
{
    nor_flash_t *flash = nor_flash_new(API_FLASH_SIZE, nor_timing_find(NULL));
    assert_non_null(flash);
    /* Not blank, so that a stray erase is noticed. */
    dummy_image_fill(nor_flash_bytes(flash), API_FLASH_SIZE, 77);
    return flash;
}

static size_t put_fixture(nor_flash_t *flash, uint32_t address, const char *name, size_t from)
{
    api_image_t file = api_fixture(name);
    const size_t length = file.length - from;
    assert_true(address + length <= API_FLASH_SIZE);
    memcpy(nor_flash_bytes(flash) + address, file.bytes + from, length);
    api_image_free(&file);
    return length;
}

/* ESP-IDF v5.2 as published is for 2 MB; 4 MB is patched into its header, and the digest that esptool then writes. */
static void put_idf_bootloader(nor_flash_t *flash)
{
    static const uint8_t size_4mb[] = {0x02, 0x20};
    static const uint8_t digest[] = {0x55, 0xEA, 0x62, 0xB8, 0xF5, 0xC9, 0xB1, 0x03, 0x2F, 0x38, 0xAE,
                                     0xB0, 0x03, 0x31, 0x09, 0xCF, 0x4C, 0x69, 0x83, 0xC0, 0xCC, 0x17,
                                     0x03, 0xD7, 0x5B, 0x29, 0x5E, 0xDB, 0x09, 0x87, 0xF0, 0x00};
    const size_t length = put_fixture(flash, API_BOOTLOADER, IDF_BOOTLOADER, 0);
    memcpy(nor_flash_bytes(flash) + API_BOOTLOADER + 2, size_4mb, sizeof(size_4mb));
    memcpy(nor_flash_bytes(flash) + API_BOOTLOADER + length - sizeof(digest), digest, sizeof(digest));
}

/* ESP-IDF's bootloader with two slots, the second one selected unless @p slot is 0. */
static nor_flash_t *idf_system(sr_region_t slot_0, sr_region_t slot_1, unsigned slot)
{
    const sr_partition_table_entry_t entries[] = {
        {.type = 1, .subtype = SR_PARTITION_DATA_NVS, .address = API_NVS, .size = 0x4000, .label = "nvs"},
        {.type = 1, .subtype = SR_PARTITION_DATA_OTA, .address = API_OTADATA, .size = 0x2000, .label = "otadata"},
        {.type = 0, .subtype = 0x10, .address = slot_0.address, .size = slot_0.size, .label = "ota_0"},
        {.type = 0, .subtype = 0x11, .address = slot_1.address, .size = slot_1.size, .label = "ota_1"},
    };
    nor_flash_t *flash = blank_flash();
    put_idf_bootloader(flash);
    uint8_t *table = nor_flash_bytes(flash) + API_TABLE;
    memset(table, 0xFF, SECTOR);
    assert_int_equal(image_write_partition_table(entries, 4, table), IMAGE_WRITE_OK);
    image_write_otadata(slot + 1, UINT32_MAX, nor_flash_bytes(flash) + API_OTADATA);
    return flash;
}

/* What boots, of a copy: a swap must not change what is compared later. */
static void assert_boots(boot_outcome_t outcome, uint32_t app)
{
    const boot_chip_t esp32 = {.chip = sr_chip_by_name("esp32")};
    boot_result_t result;
    uint8_t *copy = malloc(API_FLASH_SIZE);
    assert_non_null(copy);
    memcpy(copy, nor_flash_view(chip.flash), API_FLASH_SIZE);
    boot_run(&esp32, copy, API_FLASH_SIZE, NULL, NULL, &result);
    free(copy);
    if (result.outcome != outcome || result.app_offset != app) {
        fail_msg("%s:0x%x, should be %s:0x%x: %s", boot_outcome_name(result.outcome), result.app_offset,
                 boot_outcome_name(outcome), app, result.reason);
    }
}

static void start_chip(nor_flash_t *flash, uint32_t running_app)
{
    api_chip_attach(&chip, flash, running_app);
    assert_boots(BOOT_BOOTS, running_app);
}

static void serve_fixture(const char *name, const char *as)
{
    api_image_t file = api_fixture(name);
    api_server_put(&server, as, file);
    api_image_free(&file);
}

/* What esptool makes of the images. */

/* Where the esptool is that the project's requirements name; skips the test if there is none. */
static void find_esptool(char *path, size_t size)
{
    const char *venv = getenv("SELF_REFLASHER_VENV");
    snprintf(path, size, "%s/bin/esptool", venv != NULL ? venv : "");
    if (venv != NULL && access(path, X_OK) == 0) {
        return;
    }
    FILE *found = popen("command -v esptool", "r");
    assert_non_null(found);
    const bool any = fgets(path, (int)size, found) != NULL;
    pclose(found);
    if (!any) {
        print_message("skipped: no esptool in SELF_REFLASHER_VENV or PATH\n");
        skip();
    }
    path[strcspn(path, "\n")] = '\0';
}

/* The image for @p base of up to two files that the server has. */
static api_image_t merged(uint32_t base, uint32_t address_1, const char *file_1, uint32_t address_2, const char *file_2)
{
    char esptool[512];
    char command[2048];
    char line[512];
    find_esptool(esptool, sizeof(esptool));
    int length =
        snprintf(command, sizeof(command), "cd '%s' && '%s' --chip esp32 merge-bin -o merged.bin -t 0x%x 0x%x '%s'",
                 server.folder, esptool, base, address_1, file_1);
    if (file_2 != NULL) {
        length += snprintf(command + length, sizeof(command) - (size_t)length, " 0x%x '%s'", address_2, file_2);
    }
    snprintf(command + length, sizeof(command) - (size_t)length, " 2>&1");
    FILE *output = popen(command, "r");
    assert_non_null(output);
    char text[4096] = "";
    while (fgets(line, sizeof(line), output) != NULL) {
        strncat(text, line, sizeof(text) - strlen(text) - 1);
    }
    if (pclose(output) != 0) {
        fail_msg("esptool:\n%s", text);
    }
    snprintf(line, sizeof(line), "%s/merged.bin", server.folder);
    FILE *file = fopen(line, "rb");
    assert_non_null(file);
    api_image_t image = {.bytes = malloc(API_FLASH_SIZE)};
    assert_non_null(image.bytes);
    image.length = fread(image.bytes, 1, API_FLASH_SIZE, file);
    fclose(file);
    assert_true(image.length > 0);
    return image;
}

/* From ESP-IDF to MCUboot. */

static void download_app_then_bootloader(size_t bootloader_size)
{
    const sr_region_t slot_0 = {0x10000, 0x100000};
    const sr_region_t slot_1 = {0x210000, 0x150000};
    nor_flash_t *flash = idf_system(slot_0, slot_1, 1);
    put_fixture(flash, slot_1.address, WLED_APP, 0);
    start_chip(flash, slot_1.address);
    serve_fixture(NUTTX, "app_upd.bin");
    serve_fixture(MCUBOOT, "mcuboot.bin");

    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    api_download_to(&download, api_server_url(&server, "/app_upd.bin"), 0x110000, 0x100000);
    assert_int_equal(esp_self_reflasher_init(&download.config, &handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_OK);
    /* So far the old system boots. */
    assert_boots(BOOT_BOOTS, slot_1.address);
    api_download_to(&download, api_server_url(&server, "/mcuboot.bin"), API_BOOTLOADER, bootloader_size);
    assert_int_equal(esp_self_reflasher_upd_next_config(&download.config, handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);

    const sr_region_t changed[] = {slot_0, {API_BOOTLOADER, (uint32_t)bootloader_size}, {0x110000, 0x100000}};
    api_assert_same_outside(&chip, changed, 3);
    assert_boots(BOOT_SWAPS_THEN_BOOTS, 0x10000);
    api_image_t all = merged(API_BOOTLOADER, API_BOOTLOADER, "mcuboot.bin", 0x110000, "app_upd.bin");
    const size_t app_at = 0x110000 - API_BOOTLOADER;
    assert_int_equal(all.length, app_at + 0x100000);
    api_assert_holds(&chip, changed[1], (api_image_t){all.bytes, bootloader_size});
    api_assert_holds(&chip, changed[2], (api_image_t){all.bytes + app_at, all.length - app_at});
    api_image_free(&all);

    const nor_stats_t stats = nor_flash_stats(chip.flash);
    print_message("app and bootloader by download: %u programs, %u + %u erases, %.1f s, peak heap %u\n",
                  stats.page_programs, stats.block_erases, stats.sector_erases, (double)stats.typical_us / 1e6,
                  sim_counters()->heap_peak);
}

static void to_mcuboot_by_download(void **state)
{
    (void)state;
    download_app_then_bootloader(0x7000);
}

/* The region that MCUboot's own layout gives to the bootloader: table and otadata end up blank. */
static void to_mcuboot_by_download_with_the_whole_region(void **state)
{
    (void)state;
    download_app_then_bootloader(0xF000);
}

static const sr_region_t mcuboot_and_primary = {API_BOOTLOADER, 0x10F000};

static void assert_merged_image_is_in_place(const sr_region_t *changed, unsigned count)
{
    serve_fixture(NUTTX_MERGED, "app_upd.merged.bin");
    api_image_t all = merged(API_BOOTLOADER, API_BOOTLOADER, "app_upd.merged.bin", 0, NULL);
    api_assert_holds(&chip, mcuboot_and_primary, all);
    api_assert_same_outside(&chip, changed, count);
    api_image_free(&all);
    assert_boots(BOOT_BOOTS, 0x10000);
}

static void to_mcuboot_from_a_free_slot(void **state)
{
    (void)state;
    const sr_region_t slot_0 = {0x10000, 0x100000};
    const sr_region_t slot_1 = {0x110000, 0x150000};
    const uint32_t source = 0x260123;
    nor_flash_t *flash = idf_system(slot_0, slot_1, 1);
    put_fixture(flash, slot_1.address, WLED_APP, 0);
    const size_t length = put_fixture(flash, source, NUTTX_MERGED, 0);
    start_chip(flash, slot_1.address);

    const esp_self_reflasher_config_t config =
        api_embedded(source, length, mcuboot_and_primary.address, mcuboot_and_primary.size);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    assert_merged_image_is_in_place(&mcuboot_and_primary, 1);
}

static void copy_in_child(void *config)
{
    (void)esp_self_reflasher_directly_copy_to_region(config);
}

/* The image is part of the app that runs, and overwrites it: the app is relocated first, and the rest is done from
 * there. */
static void to_mcuboot_from_inside_the_running_app(void **state)
{
    (void)state;
    const sr_region_t slot_0 = {0x10000, 0x1F0000};
    const sr_region_t slot_1 = {0x200000, 0x1F0000};
    nor_flash_t *flash = idf_system(slot_0, slot_1, 0);
    api_image_t image = api_fixture(NUTTX_MERGED);
    const dummy_image_app_t app = {.chip = sr_chip_by_name("esp32"),
                                   .spi_size = 2,
                                   .project_name = "reflasher",
                                   .version = "1.0",
                                   .code_size = 0x20000,
                                   .embedded = image.bytes,
                                   .embedded_size = (uint32_t)image.length};
    size_t app_length;
    assert_int_equal(dummy_image_app(&app, nor_flash_bytes(flash) + slot_0.address, slot_0.size, &app_length),
                     IMAGE_WRITE_OK);
    start_chip(flash, slot_0.address);

    esp_self_reflasher_config_t config = api_embedded(slot_0.address + dummy_image_embedded_offset(), image.length,
                                                      mcuboot_and_primary.address, mcuboot_and_primary.size);
    assert_int_equal(sim_call(copy_in_child, &config), SIM_END_RESTART);
    assert_boots(BOOT_BOOTS, slot_1.address); /* It has moved out of the way. */

    sim_chip_detach();
    chip.config.running_app = slot_1.address;
    assert_true(sim_chip_attach(&chip.config));
    config.src_region.region_address = slot_1.address + dummy_image_embedded_offset();
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);

    const sr_region_t changed[] = {
        mcuboot_and_primary, {slot_1.address, (uint32_t)sr_region_align_up((uint32_t)app_length, SR_SECTOR_SIZE)}};
    api_image_free(&image);
    assert_merged_image_is_in_place(changed, 2);
}

/* From ESPHome to WLED: two files and their addresses, as their manifest has them. */

/* ESPHome runs in the first slot, as right after its installation; WLED has come to the second one like any update of
 * ESPHome. */
static void from_esphome_to_wled(void **state)
{
    (void)state;
    const sr_region_t slot_1 = {0x1D0000, 0x1C0000};
    nor_flash_t *flash = blank_flash();
    put_fixture(flash, 0, ESPHOME, 0);
    start_chip(flash, 0x10000);
    serve_fixture(WLED_SYSTEM, "system.bin");
    serve_fixture(WLED_APP, "wled.bin");

    api_download_t download;
    api_download_to(&download, api_server_url(&server, "/system.bin"), 0, 0x10000);
    assert_int_equal(api_run_download(&download.config), ESP_OK);
    /* WLED's bootloader, table and otadata start ESPHome just as well. */
    assert_boots(BOOT_BOOTS, 0x10000);

    const size_t length = put_fixture(flash, slot_1.address, WLED_APP, 0);
    esp_self_reflasher_config_t config = api_embedded(slot_1.address, length, 0x10000, 0x180000);
    assert_int_equal(sim_call(copy_in_child, &config), SIM_END_RESTART);
    sim_counters()->heap_now = 0;

    const sr_region_t changed[] = {{0, 0x190000}, slot_1};
    api_assert_same_outside(&chip, changed, 2);
    assert_boots(BOOT_BOOTS, 0x10000);
    api_image_t all = merged(0, 0, "system.bin", 0x10000, "wled.bin");
    api_assert_holds(&chip, changed[0], all);
    api_image_free(&all);
}

/* ESPHome runs in the second slot, and gets WLED next to itself, tables last. */
static void from_esphome_to_wled_by_download(void **state)
{
    (void)state;
    const uint32_t running = 0x1D0000;
    nor_flash_t *flash = blank_flash();
    put_fixture(flash, 0, ESPHOME, 0);
    put_fixture(flash, running, ESPHOME, 0x10000);
    image_write_otadata(2, UINT32_MAX, nor_flash_bytes(flash) + 0xE000);
    start_chip(flash, running);
    serve_fixture(WLED_SYSTEM, "system.bin");
    serve_fixture(WLED_APP, "wled.bin");

    /* The flash is too small for a third app, so WLED is staged where it stays. */
    const size_t length = put_fixture(flash, 0x10000, WLED_APP, 0);
    api_chip_snapshot(&chip);
    const esp_self_reflasher_config_t app = api_embedded(0x10000, length, 0x10000, 0x180000);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&app), ESP_OK);
    assert_true(nor_flash_stats(chip.flash).page_programs <= SECTOR / SR_PAGE_SIZE);
    assert_boots(BOOT_BOOTS, running);

    /* Past the last partition there is room that is in no partition. */
    const esp_partition_t *any = api_partition("spiffs");
    esp_partition_t free_room = *any;
    free_room.address = 0x3A0000;
    free_room.size = 0x10000;
    api_download_t download;
    api_download_to(&download, api_server_url(&server, "/system.bin"), 0, 0x10000);
    download.config.target_partition = &free_room;
    assert_int_equal(api_run_download(&download.config), ESP_OK);

    const sr_region_t changed[] = {{0, 0x190000}, {free_room.address, free_room.size}};
    api_assert_same_outside(&chip, changed, 2);
    assert_boots(BOOT_BOOTS, 0x10000);
    api_image_t all = merged(0, 0, "system.bin", 0x10000, "wled.bin");
    api_assert_holds(&chip, changed[0], all);
    api_image_free(&all);
}

#define SCENARIO(test) cmocka_unit_test_setup_teardown(test, nothing, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENARIO(to_mcuboot_by_download),      SCENARIO(to_mcuboot_by_download_with_the_whole_region),
        SCENARIO(to_mcuboot_from_a_free_slot), SCENARIO(to_mcuboot_from_inside_the_running_app),
        SCENARIO(from_esphome_to_wled),        SCENARIO(from_esphome_to_wled_by_download),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
