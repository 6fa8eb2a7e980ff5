// SPDX-License-Identifier: Apache-2.0
/** @file
 * A chip that encrypts its flash, bundles for it, and what becomes of them.
 */
#pragma once

#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "make/dummy_image.h"
#include "make/image_writer.h"
#include "self_reflasher_bundle.h"
#include "sim/boot/boot_plain.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 0x1000u
#define PLACE  (API_FLASH_SIZE - 0x40000u)

static api_chip_t chip;
static api_image_t bundle;
static esp_self_reflasher_plan_t plan;
static uint8_t content[0x10000];

static inline int setup(void **state)
{
    (void)state;
    dummy_image_fill(content, sizeof(content), 7);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    api_image_free(&bundle);
    if (chip.flash != NULL) {
        api_chip_close(&chip);
    }
    return 0;
}

static inline void reopen(api_options_t options)
{
    teardown(NULL);
    api_chip_open(&chip, &options);
}

static inline void write_bundle(const bundle_region_t *regions, unsigned count, uint32_t table_offset)
{
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = table_offset,
                                .regions = regions,
                                .region_count = count};
    api_image_free(&bundle);
    assert_int_equal(bundle_write(&spec, &bundle.bytes, &bundle.length), BUNDLE_WRITE_OK);
    assert_true(bundle.length < API_FLASH_SIZE - PLACE);
    api_chip_put(&chip, PLACE, bundle.bytes, bundle.length);
    /* That partition is not encrypted. */
    memcpy(nor_flash_bytes(chip.flash) + PLACE, bundle.bytes, bundle.length);
    api_chip_snapshot(&chip);
}

static inline esp_self_reflasher_bundle_config_t config_of(void)
{
    return (esp_self_reflasher_bundle_config_t){
        .embedded = {PLACE, bundle.length}, .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED, .skip_checks = ~0u};
}

static inline void expect_refused(const char *words)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    assert_int_equal(esp_self_reflasher_plan_bundle(&config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
    if (plan.refusal != ESP_SELF_REFLASHER_REFUSED_SECURITY || strstr(plan.refusal_text, words) == NULL) {
        fail_msg("not for \"%s\": %d %s", words, plan.refusal, plan.refusal_text);
    }
    api_assert_untouched(&chip);
}

static inline void expect_planned(void)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    const esp_err_t err = esp_self_reflasher_plan_bundle(&config, &plan);
    if (err != ESP_OK) {
        fail_msg("%s: %s", esp_self_reflasher_err_to_name(err), plan.refusal_text);
    }
}

/* Applies it, compares what the chip reads, and applies it once more, which changes nothing. */
static inline void expect_applied(const bundle_region_t *regions, unsigned count)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    const esp_err_t err = esp_self_reflasher_apply_bundle(&config, &plan);
    if (err != ESP_OK) {
        fail_msg("%s: %s", esp_self_reflasher_err_to_name(err), plan.refusal_text);
    }
    uint8_t *plain = api_chip_plain(&chip);
    for (unsigned i = 0; i < count; i++) {
        const bool encrypts = regions[i].place.address < API_NVS || regions[i].place.address >= API_OTADATA;
        const uint8_t *seen = encrypts ? plain : nor_flash_view(chip.flash);
        for (uint32_t k = 0; k < regions[i].length; k++) {
            if (seen[regions[i].place.address + k] != regions[i].data[k]) {
                fail_msg("0x%x reads as something else", regions[i].place.address + k);
            }
        }
    }
    free(plain);
    api_chip_snapshot(&chip);
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_OK);
    assert_int_equal(plan.sectors_to_write, 0);
    api_assert_untouched(&chip);
}

/* A table that encrypts other regions than today's. */

static const sr_region_t to_public = {0x120000, 0x4000};    /**< Plain, in what was a slot. */
static const sr_region_t to_larger = {0x31E000, 0x8000};    /**< In a slot that grows over plain data. */
static const sr_region_t to_flagged = {0x340000, 0x3000};   /**< Of the rest of that data, which is flagged then. */
static const sr_region_t unused_then = {0x380000, 0x40000}; /**< Given up, and in no partition then. */
static const sr_region_t nvs_then = {0x110000, 0x4000};     /**< NVS moves to a flagged partition. */
#define OTHERS 5u

static const sr_partition_table_entry_t other_layout[] = {
    {.type = 1, .subtype = SR_PARTITION_DATA_OTA, .address = API_OTADATA, .size = 0x2000, .label = "otadata"},
    {.type = 0, .subtype = 0x10, .address = API_OTA_0, .size = API_SLOT_SIZE, .label = "ota_0"},
    {.type = 1, .subtype = 0x40, .address = API_OTA_1, .size = 0x10000, .flags = 1, .label = "secrets"},
    {.type = 1, .subtype = 0x40, .address = 0x120000, .size = 0x10000, .label = "public"},
    {.type = 0, .subtype = 0x11, .address = API_OTA_2, .size = API_SLOT_SIZE, .label = "ota_1"},
    {.type = 0, .subtype = 0x12, .address = API_OTA_3, .size = 0x30000, .label = "ota_2"},
    {.type = 1, .subtype = 0x40, .address = 0x340000, .size = 0x3000, .flags = 1, .label = "data"},
};

static uint8_t other_table[SECTOR];
static uint8_t larger_app[5 * SECTOR];

/* Something of each kind: encrypted as today, plain that gets encrypted, with and without a blank sector, encrypted
 * that gets plain, and what moves. */
static inline void write_other_layout(bundle_region_t regions[OTHERS], bool bring_data)
{
    const unsigned count = sizeof(other_layout) / sizeof(other_layout[0]);
    memset(other_table, 0xFF, sizeof(other_table));
    assert_int_equal(image_write_partition_table(other_layout, count, other_table), IMAGE_WRITE_OK);
    dummy_image_fill(larger_app, sizeof(larger_app), 11);
    memset(larger_app + 3 * SECTOR, 0xFF, SECTOR);
    larger_app[sizeof(larger_app) - 1] = 0x5A;
    regions[0] = (bundle_region_t){.place = {API_TABLE, SECTOR}, .data = other_table, .length = SECTOR};
    regions[1] = (bundle_region_t){.place = {API_OTA_0, 2 * SECTOR}, .data = content, .length = 2 * SECTOR};
    regions[2] = (bundle_region_t){.place = to_public, .data = content + 0x3000, .length = 2 * SECTOR};
    regions[3] = (bundle_region_t){.place = to_larger, .data = larger_app, .length = sizeof(larger_app)};
    regions[4] = (bundle_region_t){.place = to_flagged, .data = content + 0x5000, .length = SECTOR};
    const sr_bundle_given_up_t given_up = {.place = unused_then};
    const sr_bundle_move_t move = {.source = {API_NVS, 0x4000}, .destination = nvs_then};
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = API_TABLE,
                                .regions = regions,
                                .region_count = bring_data ? OTHERS : OTHERS - 1,
                                .moves = &move,
                                .move_count = 1,
                                .given_up = &given_up,
                                .given_up_count = 1};
    api_image_free(&bundle);
    assert_int_equal(bundle_write(&spec, &bundle.bytes, &bundle.length), BUNDLE_WRITE_OK);
    assert_true(bundle.length < API_FLASH_SIZE - PLACE);
    memcpy(nor_flash_bytes(chip.flash) + PLACE, bundle.bytes, bundle.length);
    api_chip_snapshot(&chip);
}

/* What the new system sees of it, by its own table. */
static inline bool is_seen(const bundle_region_t *regions, const uint8_t *nvs)
{
    uint8_t *seen = malloc(API_FLASH_SIZE);
    assert_non_null(seen);
    boot_plain_view(&chip.config.chip, nor_flash_view(chip.flash), API_FLASH_SIZE, seen);
    bool right = memcmp(seen + nvs_then.address, nvs, nvs_then.size) == 0;
    for (unsigned i = 0; i < OTHERS; i++) {
        const sr_region_t place = regions[i].place;
        right = right && memcmp(seen + place.address, regions[i].data, regions[i].length) == 0;
        for (uint32_t k = (uint32_t)regions[i].length; k < place.size && right; k++) {
            right = seen[place.address + k] == 0xFF;
        }
    }
    /* The blank sector in the app, and those of the flagged partition, are read as such by the hardware, too. */
    const uint8_t *cells = nor_flash_view(chip.flash);
    right = right && memcmp(cells + to_larger.address + 3 * SECTOR, seen + to_larger.address + 3 * SECTOR, SECTOR) != 0;
    right = right && memcmp(cells + to_flagged.address + SECTOR, seen + to_flagged.address + SECTOR, SECTOR) != 0;
    free(seen);
    return right;
}
