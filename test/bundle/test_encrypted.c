// SPDX-License-Identifier: Apache-2.0
/** @file
 * Chips that encrypt their flash, or have Secure Boot on: what is blank in a bundle or in an image reads as blank, and
 * what cannot be known to be right is refused before the first erase.
 */
#include "test/support/api_support.h"

#include "bundle/sr_migration_internal.h"
#include "make/bundle_writer.h"
#include "sim/boot/boot_plain.h"
#include "make/image_writer.h"
#include "self_reflasher_bundle.h"
#include "make/dummy_image.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 0x1000u
#define PLACE  (API_FLASH_SIZE - 0x40000u)
#define DIGEST 0x0u

static api_chip_t chip;
static api_image_t bundle;
static esp_self_reflasher_plan_t plan;
static uint8_t content[0x10000];
static uint8_t table[SECTOR];

static uint32_t comparisons_to_failure; /**< The one with this number fails, from 1; 0: none. */

esp_err_t __real_sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right);

esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right)
{
    const bool fails = comparisons_to_failure > 0 && --comparisons_to_failure == 0;
    return fails ? ESP_ERR_TIMEOUT : __real_sr_migration_sector_is_right(migration, address, right);
}

static int setup(void **state)
{
    (void)state;
    dummy_image_fill(content, sizeof(content), 7);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    api_image_free(&bundle);
    if (chip.flash != NULL) {
        api_chip_close(&chip);
    }
    return 0;
}

static void reopen(api_options_t options)
{
    teardown(NULL);
    api_chip_open(&chip, &options);
}

static void write_bundle(const bundle_region_t *regions, unsigned count, uint32_t table_offset)
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

static esp_self_reflasher_bundle_config_t config_of(void)
{
    return (esp_self_reflasher_bundle_config_t){
        .embedded = {PLACE, bundle.length}, .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED, .skip_checks = ~0u};
}

static void expect_refused(const char *words)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    assert_int_equal(esp_self_reflasher_plan_bundle(&config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
    if (plan.refusal != ESP_SELF_REFLASHER_REFUSED_SECURITY || strstr(plan.refusal_text, words) == NULL) {
        fail_msg("not for \"%s\": %d %s", words, plan.refusal, plan.refusal_text);
    }
    api_assert_untouched(&chip);
}

static void expect_planned(void)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    const esp_err_t err = esp_self_reflasher_plan_bundle(&config, &plan);
    if (err != ESP_OK) {
        fail_msg("%s: %s", esp_self_reflasher_err_to_name(err), plan.refusal_text);
    }
}

/* Applies it, compares what the chip reads, and applies it once more, which changes nothing. */
static void expect_applied(const bundle_region_t *regions, unsigned count)
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

/* Every sector of an image in turn, and all of them but the last: in the slot, and on the boot path. */
static void blank_sectors_inside_an_image(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        uint8_t image[8 * SECTOR];
        memcpy(image, content, sizeof(image));
        if (way < 3) {
            memset(image + way * 3 * SECTOR, 0xFF, SECTOR);
        } else {
            memset(image, 0xFF, sizeof(image) - SECTOR);
        }
        image[sizeof(image) - 1] = 0x5A;
        reopen((api_options_t){.flash_encryption = true});
        const bundle_region_t slot = {.place = {API_OTA_0, 0x20000}, .data = image, .length = sizeof(image)};
        write_bundle(&slot, 1, API_TABLE);
        expect_applied(&slot, 1);
        reopen((api_options_t){.flash_encryption = true});
        const bundle_region_t loader = {.place = {API_BOOTLOADER, 0x7000}, .data = image, .length = 0x7000};
        write_bundle(&loader, 1, API_TABLE);
        expect_applied(&loader, 1);
    }
}

/* Otadata is read as a whole, its second sector, too; so is what lies between bootloader and table. */
static void blank_sectors_that_are_read(void **state)
{
    (void)state;
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    image_write_otadata(3, SR_OTA_VALID, otadata);
    for (unsigned blank = 0; blank < 2; blank++) {
        reopen((api_options_t){.flash_encryption = true});
        api_chip_put(&chip, API_OTADATA, content, 2 * SECTOR);
        if (blank != 0) {
            memset(otadata, 0xFF, sizeof(otadata));
        }
        const bundle_region_t regions[] = {
            {.place = {API_BOOTLOADER, 0x7000}, .data = content, .length = 3 * SECTOR},
            {.place = {API_OTADATA, 2 * SECTOR}, .data = otadata, .length = sizeof(otadata)},
        };
        write_bundle(regions, 2, API_TABLE);
        expect_applied(regions, 2);
        uint8_t *plain = api_chip_plain(&chip);
        for (uint32_t i = API_BOOTLOADER + 3 * SECTOR; i < API_TABLE; i++) {
            assert_int_equal(plain[i], 0xFF);
        }
        free(plain);
    }
}

/* What nobody reads is erased, as always: a slot after the end of its image, and partitions that are not encrypted. */
static void blank_sectors_that_nobody_reads(void **state)
{
    (void)state;
    reopen((api_options_t){.flash_encryption = true});
    const bundle_region_t regions[] = {
        {.place = {API_NVS, 2 * SECTOR}},
        {.place = {API_OTA_0, 0x20000}, .data = content, .length = SECTOR},
        {.place = {API_OTA_1, 0x20000}},
    };
    write_bundle(regions, 3, API_TABLE);
    expect_applied(regions, 3);
    const uint8_t *cells = nor_flash_view(chip.flash);
    for (unsigned i = 0; i < 3; i++) {
        const sr_region_t place = {regions[i].place.address, regions[i].place.size};
        for (uint32_t k = (uint32_t)regions[i].length; k < place.size; k++) {
            assert_int_equal(cells[place.address + k], 0xFF);
        }
    }
}

static void images_with_blank_sectors(void **state)
{
    (void)state;
    uint8_t image[4 * SECTOR];
    memcpy(image, content, sizeof(image));
    memset(image + SECTOR, 0xFF, 2 * SECTOR);
    reopen((api_options_t){.flash_encryption = true});
    api_chip_put(&chip, API_OTA_0, image, sizeof(image));
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, sizeof(image), API_OTA_1, sizeof(image));
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    uint8_t *plain = api_chip_plain(&chip);
    assert_memory_equal(plain + API_OTA_1, image, sizeof(image));
    free(plain);
}

/* The table says what is encrypted. */
static void other_tables(void **state)
{
    (void)state;
    reopen((api_options_t){.readonly = API_READONLY_OTA_3}); /* Another table in any way. */
    memcpy(table, nor_flash_view(chip.flash) + API_TABLE, sizeof(table));
    const bundle_region_t there = {.place = {API_NVS, SECTOR}, .data = table, .length = SECTOR};
    const bundle_region_t here = {.place = {API_TABLE, SECTOR}, .data = table, .length = SECTOR};
    reopen((api_options_t){.flash_encryption = true});
    write_bundle(&there, 1, API_NVS);
    expect_refused("cannot go from 0x8000 to 0x9000");
    write_bundle(&there, 1, SR_BUNDLE_NO_TABLE);
    expect_refused("no partition table");
    write_bundle(&here, 1, API_TABLE);
    expect_planned(); /* It encrypts what today's does. */
    const bundle_region_t none = {.place = {API_TABLE, SECTOR}, .data = content, .length = SECTOR};
    write_bundle(&none, 1, API_TABLE);
    expect_refused("the new partition table at 0x8000 cannot be read");
    reopen((api_options_t){0});
    write_bundle(&there, 1, API_NVS);
    expect_planned();

    reopen((api_options_t){.flash_encryption = true});
    api_chip_put(&chip, API_OTA_0, table, SECTOR);
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0, SECTOR, API_TABLE, SECTOR);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_ERR_NOT_SUPPORTED);
    api_assert_untouched(&chip);
    reopen((api_options_t){0});
    api_chip_put(&chip, API_OTA_0, table, SECTOR);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
}

/* What has to be compared once more, as the new table says what is encrypted: each comparison in turn. */
static void comparison_that_fails_is_told(void **state)
{
    (void)state;
    reopen((api_options_t){.readonly = API_READONLY_OTA_3}); /* Another table in any way. */
    memcpy(table, nor_flash_view(chip.flash) + API_TABLE, sizeof(table));
    const bundle_region_t regions[] = {
        {.place = {API_TABLE, SECTOR}, .data = table, .length = SECTOR},
        {.place = {API_NVS, 3 * SECTOR}}, /* To be blank. */
    };
    reopen((api_options_t){.flash_encryption = true});
    write_bundle(regions, 2, API_TABLE);
    const esp_self_reflasher_bundle_config_t config = config_of();
    uint32_t number = 0;
    esp_err_t err;
    do {
        comparisons_to_failure = ++number;
        err = esp_self_reflasher_plan_bundle(&config, &plan);
        assert_true(err == ESP_ERR_TIMEOUT || comparisons_to_failure > 0);
        comparisons_to_failure = 0;
    } while (err == ESP_ERR_TIMEOUT);
    assert_int_equal(err, ESP_OK);
    assert_true(number > 3);
}

/* Whoever flashed the table over a cable has left the rest of its sector erased. */
static void same_table_with_another_rest(void **state)
{
    (void)state;
    reopen((api_options_t){0});
    memcpy(table, nor_flash_view(chip.flash) + API_TABLE, sizeof(table));
    memset(table + SR_PARTITION_TABLE_SIZE, 0xFF, SECTOR - SR_PARTITION_TABLE_SIZE);
    reopen((api_options_t){.flash_encryption = true});
    memset(nor_flash_bytes(chip.flash) + API_TABLE + SR_PARTITION_TABLE_SIZE, 0xFF, SECTOR - SR_PARTITION_TABLE_SIZE);
    api_chip_put(&chip, API_OTA_0, table, SECTOR);
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, SECTOR, API_TABLE, SECTOR);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    uint8_t *plain = api_chip_plain(&chip);
    assert_memory_equal(plain + API_TABLE, table, SECTOR);
    free(plain);
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
static void write_other_layout(bundle_region_t regions[OTHERS], bool bring_data)
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
static bool is_seen(const bundle_region_t *regions, const uint8_t *nvs)
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

static void data_that_stays_keeps_its_flag(void **state)
{
    (void)state;
    bundle_region_t regions[OTHERS];
    reopen((api_options_t){.flash_encryption = true});
    write_other_layout(regions, false);
    expect_refused("the data at 0x340000 is plain today, and would be encrypted");
}

/* Power losses. */

static const sr_region_t free_plain = {API_DATA, 0x40000}; /**< Not encrypted, and given up by the bundle. */

static uint8_t new_otadata[IMAGE_WRITE_OTADATA_SIZE];

/* Bootloader, both sectors of otadata, of which one is blank, and an app with a gap. Noise is all that is left beside
 * what the bundle gives up, so that the record can lie nowhere else. */
static void write_staged_bundle(bundle_region_t regions[4])
{
    static uint8_t app[4 * SECTOR];
    memcpy(app, content, sizeof(app));
    memset(app + SECTOR, 0xFF, SECTOR);
    image_write_otadata(1, SR_OTA_VALID, new_otadata);
    regions[0] = (bundle_region_t){.place = {API_BOOTLOADER, 3 * SECTOR}, .data = content + 0x7000, .length = SECTOR};
    regions[1] = (bundle_region_t){.place = {API_NVS, SECTOR}, .data = content + 0x8000, .length = SECTOR};
    regions[2] =
        (bundle_region_t){.place = {API_OTADATA, 2 * SECTOR}, .data = new_otadata, .length = sizeof(new_otadata)};
    regions[3] = (bundle_region_t){.place = {API_OTA_0, 4 * SECTOR}, .data = app, .length = sizeof(app)};
    const sr_bundle_given_up_t given_up = {.place = free_plain};
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = API_TABLE,
                                .regions = regions,
                                .region_count = 4,
                                .given_up = &given_up,
                                .given_up_count = 1};
    api_image_free(&bundle);
    assert_int_equal(bundle_write(&spec, &bundle.bytes, &bundle.length), BUNDLE_WRITE_OK);
    memcpy(nor_flash_bytes(chip.flash) + PLACE, bundle.bytes, bundle.length);
    api_chip_snapshot(&chip);
}

static void call_apply(void *context)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    *(esp_err_t *)context = esp_self_reflasher_apply_bundle(&config, NULL);
}

static void call_resume(void *context)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    *(esp_err_t *)context = esp_self_reflasher_resume(&config);
}

/* Nothing of what is staged can be read in the cells, beside the bundle itself, which lies there as it came. */
static void assert_not_in_the_clear(const bundle_region_t *regions)
{
    const uint8_t *cells = nor_flash_view(chip.flash);
    assert_true(regions[0].data[1] != 0xFF && regions[1].data[1] != 0xFF);
    assert_null(memmem(cells, PLACE, bundle.bytes, 64));
    assert_null(memmem(cells, PLACE, regions[0].data, 64));
    for (uint32_t at = free_plain.address; at < free_plain.address + free_plain.size; at += SECTOR) {
        assert_int_not_equal(memcmp(cells + at, regions[1].data, 64), 0);
        assert_int_not_equal(memcmp(cells + at, new_otadata, 32), 0);
    }
}

static uint32_t applied_with_power_loss(uint32_t operation, bundle_region_t *regions, esp_err_t *result)
{
    reopen((api_options_t){.flash_encryption = true});
    write_staged_bundle(regions);
    const nor_power_loss_t loss = {
        .armed = true, .operation = operation, .when = NOR_POWER_LOSS_INSIDE, .seed = operation};
    nor_flash_set_power_loss(chip.flash, loss);
    (void)sim_call(call_apply, result);
    const uint32_t operations = nor_flash_stats(chip.flash).operations;
    nor_flash_power_on(chip.flash);
    assert_true(sim_chip_attach(&chip.config));
    return operations;
}

/* From the seal on the record is believed, also by an app that knows only what the cells hold; before it, the next call
 * does all of it. */
static void power_loss_while_a_record_counts(void **state)
{
    (void)state;
    esp_err_t *result = api_shared(sizeof(*result));
    bundle_region_t regions[4];
    const uint32_t operations = applied_with_power_loss(UINT32_MAX, regions, result);
    assert_int_equal(*result, ESP_OK);
    bool sealed = false, done = false;
    unsigned resumed = 0;
    for (uint32_t cut = 0; cut < operations; cut += operations / 100 + 1) {
        (void)applied_with_power_loss(cut, regions, result);
        assert_not_in_the_clear(regions);
        nor_flash_reset_stats(chip.flash);
        const sim_end_t end = sim_call(call_resume, result);
        const bool finishes = end == SIM_END_RESTART;
        done = done || (sealed && !finishes);
        if (done && nor_flash_stats(chip.flash).operations > 0) {
            fail_msg("cut at %u: resumed once more", cut);
        }
        sealed = sealed || finishes;
        resumed += finishes;
        assert_true(sim_chip_attach(&chip.config));
        expect_planned();
        assert_true(!sealed || plan.sectors_to_write == 0);
        expect_applied(regions, 4);
    }
    print_message("%u operations, %u power losses with a record that counts\n", operations, resumed);
    assert_true(resumed > 5);
    api_shared_free(result, sizeof(*result));
}

/* The table is written in one page with its MD5: torn, it may leave the app without partitions. That is the window. */
static bool attach_again(void)
{
    sim_chip_detach();
    return sim_chip_attach(&chip.config);
}

static void power_loss_while_other_regions_become_encrypted(void **state)
{
    (void)state;
    static uint8_t nvs[0x4000];
    esp_err_t *result = api_shared(sizeof(*result));
    bundle_region_t regions[OTHERS];
    uint32_t operations = 1, step = 1;
    unsigned tried = 0, resumed = 0, in_window = 0;
    for (uint32_t cut = UINT32_MAX; cut == UINT32_MAX || cut < operations; cut = cut == UINT32_MAX ? 0 : cut + step) {
        reopen((api_options_t){.flash_encryption = true});
        memcpy(nvs, nor_flash_view(chip.flash) + API_NVS, sizeof(nvs));
        write_other_layout(regions, true);
        if (cut == UINT32_MAX) {
            expect_planned();
        }
        const nor_power_loss_t loss = {.armed = true, .operation = cut, .when = NOR_POWER_LOSS_INSIDE, .seed = cut};
        nor_flash_set_power_loss(chip.flash, loss);
        const sim_end_t end = sim_call(call_apply, result);
        if (cut == UINT32_MAX) {
            operations = nor_flash_stats(chip.flash).operations;
            step = operations / 60 + 1;
        }
        nor_flash_power_on(chip.flash);
        if (!attach_again()) {
            in_window++;
            nor_flash_delete(chip.flash);
            free(chip.before);
            chip = (api_chip_t){0};
            continue;
        }
        tried++;
        if (end == SIM_END_POWER_LOSS) {
            resumed += sim_call(call_resume, result) == SIM_END_RESTART;
            assert_true(attach_again());
            (void)sim_call(call_apply, result);
        }
        if (*result != ESP_OK || !is_seen(regions, nvs)) {
            fail_msg("cut at %u: %s", cut, esp_self_reflasher_err_to_name(*result));
        }
        assert_true(attach_again());
    }
    print_message("%u operations: %u power losses, %u resumed, %u in the window\n", operations, tried, resumed,
                  in_window);
    assert_true(resumed > 5);
    api_shared_free(result, sizeof(*result));
}

/* Secure Boot. */

/** The image, which is freed, and after it 68 bytes of a signature of version 1, or a block of version 2. */
static api_image_t sign(api_image_t app, unsigned version)
{
    const size_t end = version == 1 ? app.length : (app.length + SECTOR - 1) / SECTOR * SECTOR;
    api_image_t with = {.bytes = malloc(end + SECTOR), .length = end + (version == 1 ? 68 : 1216)};
    assert_non_null(with.bytes);
    memset(with.bytes, 0xFF, end + SECTOR);
    memcpy(with.bytes, app.bytes, app.length);
    memset(with.bytes + end, 0x5A, with.length - end);
    if (version == 1) {
        memset(with.bytes + end, 0, 4);
    } else {
        with.bytes[end] = 0xE7;
        with.bytes[end + 1] = 0x02;
    }
    api_image_free(&app);
    return with;
}

static api_image_t signed_app(unsigned version)
{
    return sign(api_app(0x8000), version);
}

/* The ROM wants a block after the bootloader, the bootloader one after the app. */
static void secure_boot_of_version_2(void **state)
{
    (void)state;
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    image_write_otadata(1, SR_OTA_VALID, otadata);
    for (unsigned signed_ones = 0; signed_ones < 4; signed_ones++) {
        api_image_t loader = (signed_ones & 1) != 0 ? sign(api_mcuboot(), 2) : api_mcuboot();
        api_image_t app = (signed_ones & 2) != 0 ? signed_app(2) : api_app(0x8000);
        const bundle_region_t regions[] = {
            {.place = {API_BOOTLOADER, 0x7000}, .data = loader.bytes, .length = loader.length},
            {.place = {API_OTADATA, 2 * SECTOR}, .data = otadata, .length = sizeof(otadata)},
            {.place = {API_OTA_0, API_SLOT_SIZE}, .data = app.bytes, .length = app.length},
        };
        reopen((api_options_t){.secure_boot = true});
        write_bundle(regions, 3, API_TABLE);
        if (signed_ones == 3) {
            expect_planned();
        } else {
            expect_refused("carries no signature block");
        }
        write_bundle(regions, 1, SR_BUNDLE_NO_TABLE); /* Whatever the app is then, the bootloader knows. */
        if ((signed_ones & 1) != 0) {
            expect_planned();
        } else {
            expect_refused("carries no signature block");
        }
        api_image_free(&loader);
        api_image_free(&app);
    }
}

/* Of version 1 a bootloader never has a block: it goes with its digest, or both stay. */
static void secure_boot_of_version_1(void **state)
{
    (void)state;
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    image_write_otadata(1, SR_OTA_VALID, otadata);
    for (unsigned version = 0; version < 3; version++) {
        api_image_t app = version == 0 ? api_app(0x8000) : signed_app(version);
        const bundle_region_t regions[] = {
            {.place = {DIGEST, SECTOR}, .data = content, .length = 0xC0},
            {.place = {API_OTADATA, 2 * SECTOR}, .data = otadata, .length = sizeof(otadata)},
            {.place = {API_OTA_0, API_SLOT_SIZE}, .data = app.bytes, .length = app.length},
        };
        reopen((api_options_t){.secure_boot_v1 = true});
        write_bundle(regions + 1, 2, API_TABLE);
        if (version == 1) {
            expect_planned();
            write_bundle(regions, 3, API_TABLE);
            expect_refused("the digest at 0x0 would change, and the bootloader it is right for would not");
        } else {
            expect_refused("Secure Boot V1 is on, and the app at 0x10000 carries no signature block");
        }
        api_image_free(&app);
    }
}

static void bootloaders_and_digests_of_version_1(void **state)
{
    (void)state;
    api_image_t loader = api_mcuboot();
    const bundle_region_t digest = {.place = {DIGEST, SECTOR}, .data = content, .length = 0xC0};
    const bundle_region_t erased = {.place = {DIGEST, SECTOR}};
    const bundle_region_t other = {.place = {API_BOOTLOADER, 0x7000}, .data = loader.bytes, .length = loader.length};
    reopen((api_options_t){.secure_boot_v1 = true});
    api_chip_put(&chip, DIGEST, content + 0x100, 0xC0);
    write_bundle(&other, 1, SR_BUNDLE_NO_TABLE);
    expect_refused("Secure Boot V1 is on: the bootloader would change without its digest at 0x0");
    write_bundle((bundle_region_t[]){erased, other}, 2, SR_BUNDLE_NO_TABLE);
    expect_refused("Secure Boot V1 is on: the bootloader's digest at 0x0 would be erased");
    write_bundle(&erased, 1, SR_BUNDLE_NO_TABLE);
    expect_refused("Secure Boot V1 is on: the bootloader's digest at 0x0 would be erased");
    write_bundle((bundle_region_t[]){digest, other}, 2, SR_BUNDLE_NO_TABLE);
    expect_planned();
    reopen((api_options_t){0}); /* Where it is off, nobody asks. */
    write_bundle(&other, 1, SR_BUNDLE_NO_TABLE);
    expect_planned();
    api_image_free(&loader);
}

static esp_err_t copy_image(const uint8_t *bytes, size_t length, sr_region_t destination)
{
    api_chip_put(&chip, API_OTA_0, bytes, length);
    api_chip_snapshot(&chip);
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, length, destination.address, destination.size);
    return esp_self_reflasher_directly_copy_to_region(&config);
}

static void images_under_secure_boot_of_version_1(void **state)
{
    (void)state;
    reopen((api_options_t){.secure_boot_v1 = true});
    for (unsigned version = 0; version < 3; version++) {
        api_image_t app = version == 0 ? api_app(0x8000) : signed_app(version);
        assert_int_equal(copy_image(app.bytes, app.length, (sr_region_t){API_OTA_1, API_SLOT_SIZE}),
                         version == 1 ? ESP_OK : ESP_ERR_SELF_REFLASHER_NOT_SIGNED);
        api_image_free(&app);
    }
    api_image_t loader = api_mcuboot();
    api_image_t both = api_noise(SECTOR + loader.length, 1);
    memset(both.bytes, 0xFF, SECTOR);
    memcpy(both.bytes + SECTOR, loader.bytes, loader.length);
    const sr_region_t front = {DIGEST, API_TABLE};
    api_chip_put(&chip, DIGEST, content, 0xC0);
    assert_int_equal(copy_image(loader.bytes, loader.length, (sr_region_t){API_BOOTLOADER, 0x7000}),
                     ESP_ERR_SELF_REFLASHER_NOT_SIGNED);
    api_assert_untouched(&chip);
    assert_int_equal(copy_image(content + 0x100, 0xC0, (sr_region_t){DIGEST, SECTOR}),
                     ESP_ERR_SELF_REFLASHER_NOT_SIGNED);
    api_assert_untouched(&chip);
    assert_int_equal(copy_image(both.bytes, both.length, front), ESP_ERR_SELF_REFLASHER_NOT_SIGNED);
    api_assert_untouched(&chip);
    memcpy(both.bytes, content + 0x100, 0xC0);
    assert_int_equal(copy_image(both.bytes, both.length, front), ESP_OK);
    api_assert_holds(&chip, front, both);
    api_image_free(&loader);
    api_image_free(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blank_sectors_inside_an_image, setup, teardown),
        cmocka_unit_test_setup_teardown(blank_sectors_that_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(blank_sectors_that_nobody_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(images_with_blank_sectors, setup, teardown),
        cmocka_unit_test_setup_teardown(other_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(comparison_that_fails_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(same_table_with_another_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(power_loss_while_a_record_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(data_that_stays_keeps_its_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(power_loss_while_other_regions_become_encrypted, setup, teardown),
        cmocka_unit_test_setup_teardown(secure_boot_of_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(secure_boot_of_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(bootloaders_and_digests_of_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(images_under_secure_boot_of_version_1, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
