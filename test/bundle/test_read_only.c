// SPDX-License-Identifier: Apache-2.0
/** @file
 * Partitions that are flagged `readonly`: from ESP-IDF 5.2 on the flash driver neither erases nor programs there. Each
 * place that something is written to lies in such a partition once, and nothing is erased before that is noticed.
 */
#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "make/image_writer.h"
#include "self_reflasher_bundle.h"
#include "format/sr_bytes.h"
#include "make/dummy_image.h"
#include "relocate/sr_relocation_methods.h"

#include "esp_flash.h"
#include "esp_flash_internal.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 0x1000u
#define ALL    0x7Fu
/* Of the table, whose last row is that of the data partition. */
#define ROW_LENGTH 32u
#define ROW_SIZE   8u
#define LAST_ROW   (6u * ROW_LENGTH)

static api_chip_t chip;
static api_image_t bundle;
static esp_self_reflasher_plan_t plan;
static uint8_t content[4 * SECTOR];
static uint8_t table[SECTOR];

static int setup(void **state)
{
    (void)state;
    dummy_image_fill(content, sizeof(content), 7);
    content[0] = 1; /* Not an image, and not blank. */
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

/* The driver. */

static void the_driver_obeys_the_flag(void **state)
{
    (void)state;
    const uint8_t zero[32] = {0};
    static const struct {
        uint32_t address, length;
        bool readonly;
    } cases[] = {
        {API_OTA_1, SECTOR, true},
        {API_OTA_1 + API_SLOT_SIZE - SECTOR, SECTOR, true},
        {API_OTA_1 - SECTOR, 2 * SECTOR, true}, /* From the front of it into it. */
        {API_OTA_1 - SECTOR, SECTOR, false},
        {API_OTA_1 + API_SLOT_SIZE, SECTOR, false},
    };
    for (unsigned old = 0; old < 2; old++) {
        reopen((api_options_t){.readonly = API_READONLY_OTA_1, .before_v5_2 = old, .running_app = API_OTA_0});
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const esp_err_t expected = cases[i].readonly && old == 0 ? ESP_ERR_NOT_ALLOWED : ESP_OK;
            assert_int_equal(esp_flash_erase_region(NULL, cases[i].address, cases[i].length), expected);
            assert_int_equal(esp_flash_write(NULL, zero, cases[i].address + cases[i].length - 32, 32), expected);
        }
        assert_int_equal(api_partition("ota_1")->readonly, old == 0);
        assert_int_equal(esp_partition_erase_range(api_partition("ota_1"), 0, SECTOR),
                         old == 0 ? ESP_ERR_NOT_ALLOWED : ESP_OK);
    }
}

static void erase_without_os(void *context)
{
    (void)context;
    (void)esp_flash_app_disable_os_functions(esp_flash_default_chip);
    (void)esp_flash_erase_region(esp_flash_default_chip, API_OTA_1, SECTOR);
    (void)esp_flash_app_enable_os_functions(esp_flash_default_chip);
}

/* The driver without the OS has no table to ask. */
static void the_flag_does_not_count_without_the_os(void **state)
{
    (void)state;
    reopen((api_options_t){.readonly = API_READONLY_OTA_1});
    assert_int_equal(sim_call(erase_without_os, NULL), SIM_END_RETURNED);
    assert_int_equal(nor_flash_view(chip.flash)[API_OTA_1], 0xFF);
}

/* Bundles. */

static void write_bundle(const bundle_region_t *regions, unsigned count)
{
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = API_TABLE,
                                .regions = regions,
                                .region_count = count};
    api_image_free(&bundle);
    assert_int_equal(bundle_write(&spec, &bundle.bytes, &bundle.length), BUNDLE_WRITE_OK);
}

/** From a place in the data partition that no test uses. */
static esp_err_t call(esp_err_t (*function)(const esp_self_reflasher_bundle_config_t *, esp_self_reflasher_plan_t *))
{
    const uint32_t place = API_FLASH_SIZE - 0x40000;
    assert_true(bundle.length < 0x40000);
    api_chip_put(&chip, place, bundle.bytes, bundle.length);
    const esp_self_reflasher_bundle_config_t config = {.embedded = {place, bundle.length},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED |
                                                                ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE,
                                                       .skip_checks = ~0u};
    return function(&config, &plan);
}

static void expect_refused(const char *label)
{
    assert_int_equal(call(esp_self_reflasher_plan_bundle), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(call(esp_self_reflasher_apply_bundle), ESP_ERR_SELF_REFLASHER_REFUSED);
    if (plan.refusal != ESP_SELF_REFLASHER_REFUSED_READ_ONLY || strstr(plan.refusal_text, label) == NULL) {
        fail_msg("not for '%s': %d %s", label, plan.refusal, plan.refusal_text);
    }
    api_assert_untouched(&chip);
}

/* Each of the partitions, with one sector of content that must go there; and with the flag at all others. */
static void what_must_be_written(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        uint32_t address;
        unsigned flag;
    } cases[] = {
        {"nvs", API_NVS + SECTOR, API_READONLY_NVS},
        {"otadata", API_OTADATA, API_READONLY_OTADATA},
        {"ota_0", API_OTA_0 + 0x40000, API_READONLY_OTA_0},
        {"ota_1", API_OTA_1, API_READONLY_OTA_1},
        {"ota_2", API_OTA_2 + API_SLOT_SIZE - SECTOR, API_READONLY_OTA_2}, /* Past the running app. */
        {"ota_3", API_OTA_3 + 0xF000, API_READONLY_OTA_3},
        {"data", API_DATA, API_READONLY_DATA},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bundle_region_t region = {.place = {cases[i].address, SECTOR}, .data = content, .length = SECTOR};
        const bundle_region_t blank = {.place = {cases[i].address, SECTOR}};
        for (unsigned k = 0; k < 2; k++) {
            reopen((api_options_t){.readonly = cases[i].flag});
            write_bundle(k == 0 ? &region : &blank, 1);
            expect_refused(cases[i].label);
            reopen((api_options_t){.readonly = ALL & ~cases[i].flag & ~(unsigned)API_READONLY_OTADATA});
            write_bundle(k == 0 ? &region : &blank, 1);
            if (call(esp_self_reflasher_plan_bundle) != ESP_OK) {
                fail_msg("%s %u: %s", cases[i].label, k, plan.refusal_text);
            }
            reopen((api_options_t){.readonly = cases[i].flag, .before_v5_2 = true});
            write_bundle(k == 0 ? &region : &blank, 1);
            if (call(esp_self_reflasher_plan_bundle) != ESP_OK) {
                fail_msg("%s %u: %s", cases[i].label, k, plan.refusal_text);
            }
        }
        /* What is right already is not written. */
        reopen((api_options_t){.readonly = cases[i].flag});
        api_chip_put(&chip, cases[i].address, content, SECTOR);
        write_bundle(&region, 1);
        assert_int_equal(call(esp_self_reflasher_apply_bundle), ESP_OK);
        api_assert_untouched(&chip);
    }
}

/* Bootloader and table have no entry of their own in this table, and are written nevertheless. */
static void boot_path_beside_read_only_partitions(void **state)
{
    (void)state;
    api_image_t loader = api_mcuboot();
    reopen((api_options_t){.readonly = ALL & ~(unsigned)(API_READONLY_OTA_0 | API_READONLY_OTADATA)});
    const bundle_region_t regions[] = {
        {.place = {API_BOOTLOADER, 0x7000}, .data = loader.bytes, .length = loader.length},
        {.place = {API_OTA_0, 0x40000}},
    };
    write_bundle(regions, 2);
    assert_int_equal(call(esp_self_reflasher_apply_bundle), ESP_OK);
    api_assert_holds(&chip, (sr_region_t){API_BOOTLOADER, 0x7000}, loader);
    /* The record found its place in the only slot that is open. */
    assert_in_range(plan.staging_address, API_OTA_0, API_OTA_0 + 0x3F000);
    api_image_free(&loader);
}

/* Free flash in a partition that is flagged so today, or by the new table, takes no record. */
static void a_record_goes_to_no_such_place(void **state)
{
    (void)state;
    api_image_t loader = api_mcuboot();
    uint8_t *blank = malloc(API_SLOT_SIZE);
    assert_non_null(blank);
    memset(blank, 0xFF, API_SLOT_SIZE);
    for (unsigned by_new_table = 0; by_new_table < 2; by_new_table++) {
        reopen((api_options_t){.readonly = API_READONLY_OTA_0});
        memcpy(table, nor_flash_view(chip.flash) + API_TABLE, sizeof(table));
        if (by_new_table != 0) {
            reopen((api_options_t){0});
        }
        api_chip_put(&chip, API_OTA_0, blank, API_SLOT_SIZE);
        api_chip_put(&chip, API_OTA_1, blank, 0x40000);
        const bundle_region_t regions[] = {
            {.place = {API_BOOTLOADER, 0x7000}, .data = loader.bytes, .length = loader.length},
            {.place = {API_TABLE, SECTOR}, .data = table, .length = SECTOR},
        };
        write_bundle(regions, 2);
        assert_int_equal(call(esp_self_reflasher_plan_bundle), ESP_OK);
        assert_in_range(plan.staging_address, API_OTA_1, API_OTA_1 + 0x3F000);
        assert_int_equal(call(esp_self_reflasher_apply_bundle), ESP_OK);
        api_assert_holds(&chip, (sr_region_t){API_BOOTLOADER, 0x7000}, loader);
    }
    free(blank);
    api_image_free(&loader);
}

/* The table is in place before otadata is: after a cut in between, the flag would count. */
static void otadata_that_the_new_table_flags(void **state)
{
    (void)state;
    reopen((api_options_t){.readonly = API_READONLY_OTADATA});
    memcpy(table, nor_flash_view(chip.flash) + API_TABLE, sizeof(table));
    reopen((api_options_t){0});
    const bundle_region_t regions[] = {
        {.place = {API_TABLE, SECTOR}, .data = table, .length = SECTOR},
        {.place = {API_OTADATA, SECTOR}, .data = content, .length = SECTOR},
    };
    write_bundle(regions, 2);
    expect_refused("otadata");
    write_bundle(regions, 1); /* As long as it stays as it is. */
    assert_int_equal(call(esp_self_reflasher_plan_bundle), ESP_OK);
}

/* Otadata in front of what is flagged, and after it: what lies around it does not matter, nor what lies past the end of
 * the flash. */
static void other_partitions_that_the_new_table_flags(void **state)
{
    (void)state;
    for (unsigned flag = API_READONLY_NVS; flag <= API_READONLY_DATA; flag <<= 1) {
        if (flag == API_READONLY_OTADATA) {
            continue;
        }
        for (unsigned too_large = 0; too_large < 2; too_large++) {
            reopen((api_options_t){.readonly = flag});
            memcpy(table, nor_flash_view(chip.flash) + API_TABLE, sizeof(table));
            sr_bytes_put_le32(table + LAST_ROW + ROW_SIZE, sr_bytes_get_le32(table + LAST_ROW + ROW_SIZE) << too_large);
            memset(table + LAST_ROW + ROW_LENGTH, 0xFF, SECTOR - LAST_ROW - ROW_LENGTH); /* Without its MD5. */
            reopen((api_options_t){0});
            const bundle_region_t regions[] = {
                {.place = {API_TABLE, SECTOR}, .data = table, .length = SECTOR},
                {.place = {API_OTADATA, SECTOR}, .data = content, .length = SECTOR},
            };
            write_bundle(regions, 2);
            assert_int_equal(call(esp_self_reflasher_plan_bundle), ESP_OK);
        }
    }
}

/* The running app moves to no such slot, and to no slot at all if otadata cannot select it. */
static void the_running_app_goes_to_no_such_place(void **state)
{
    (void)state;
    static const struct {
        unsigned flags;
        uint32_t slot; /**< 0: none. */
    } cases[] = {
        {0, API_OTA_0},
        {API_READONLY_OTA_0, API_OTA_1},
        {API_READONLY_OTA_0 | API_READONLY_OTA_1, 0},
        {API_READONLY_OTADATA, 0},
    };
    const bundle_region_t region = {.place = {API_OTA_2, SECTOR}, .data = content, .length = SECTOR};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reopen((api_options_t){.readonly = cases[i].flags});
        write_bundle(&region, 1);
        const esp_err_t err = call(esp_self_reflasher_plan_bundle);
        assert_int_equal(err, cases[i].slot != 0 ? ESP_OK : ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(plan.relocate_to, cases[i].slot != 0 ? cases[i].slot : UINT32_MAX);
        api_assert_untouched(&chip);
    }
}

/* An app that the bootloader does not try first selects itself before a slot is written, in otadata. */
static void otadata_that_has_to_select_the_running_app(void **state)
{
    (void)state;
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    image_write_otadata(1, SR_OTA_VALID, otadata); /* Slot 0, in which nothing boots. */
    const bundle_region_t region = {.place = {API_OTA_0, SECTOR}, .data = content, .length = SECTOR};
    for (unsigned flag = 0; flag < 2; flag++) {
        reopen((api_options_t){.readonly = flag != 0 ? API_READONLY_OTADATA : 0});
        api_chip_put(&chip, API_OTADATA, otadata, sizeof(otadata));
        write_bundle(&region, 1);
        if (flag != 0) {
            expect_refused("otadata");
        } else {
            assert_int_equal(call(esp_self_reflasher_apply_bundle), ESP_OK);
        }
    }
}

/** Nobody wants anything up to an address. */
static unsigned classify(void *context, uint32_t address)
{
    const uint32_t *end = context;
    return address < *end ? sr_relocation_temporary_table.room | SR_RELOCATION_ROOM_FREE : 0;
}

/* It does not go to free flash in such a partition either. */
static void a_temporary_table_leads_to_no_such_place(void **state)
{
    (void)state;
    sr_system_t today;
    const unsigned others = API_READONLY_OTA_0 | API_READONLY_OTA_1 | API_READONLY_OTA_3;
    static const struct {
        unsigned flags;
        uint32_t end; /**< Of what nobody wants. */
        uint32_t address;
    } cases[] = {
        {0, API_DATA, API_OTA_0},
        {API_READONLY_OTA_0, API_DATA, API_OTA_1},
        {others & ~(unsigned)API_READONLY_OTA_1, API_DATA, API_OTA_1},
        {others, API_DATA, API_OTA_2 + 0x70000}, /* What is left of its own slot. */
        {others | API_READONLY_OTA_2, API_DATA, UINT32_MAX},
        {others | API_READONLY_OTA_2, UINT32_MAX, API_DATA}, /* Data that is given up. */
        {others | API_READONLY_OTA_2 | API_READONLY_DATA, UINT32_MAX, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reopen((api_options_t){.readonly = cases[i].flags});
        assert_int_equal(sr_system_read(&today), ESP_OK);
        const sr_relocation_method_t *way = &sr_relocation_temporary_table;
        uint32_t end = cases[i].end;
        const sr_relocation_request_t request = {.system = &today, .classify = classify, .context = &end};
        sr_relocation_t place = {.address = UINT32_MAX};
        assert_int_equal(way->propose(way, &request, &place), ESP_OK);
        assert_int_equal(place.address, cases[i].address);
    }
}

/* Single images. */

static void destinations_and_staging_of_images(void **state)
{
    (void)state;
    static const struct {
        uint32_t address, size;
        esp_err_t err;
    } cases[] = {
        {API_OTA_1, SECTOR, ESP_ERR_SELF_REFLASHER_READ_ONLY},
        {API_OTA_1 + API_SLOT_SIZE - SECTOR, SECTOR, ESP_ERR_SELF_REFLASHER_READ_ONLY},
        {API_OTA_1 - SECTOR, 2 * SECTOR, ESP_ERR_SELF_REFLASHER_READ_ONLY},
        {API_OTA_1 - SECTOR, SECTOR, ESP_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reopen((api_options_t){.readonly = API_READONLY_OTA_1});
        api_chip_put(&chip, API_DATA, content, sizeof(content));
        api_download_t download;
        esp_self_reflasher_handle_t handle = NULL;
        api_download_to(&download, "http://127.0.0.1/", cases[i].address, cases[i].size);
        assert_int_equal(esp_self_reflasher_init(&download.config, &handle), cases[i].err);
        if (handle != NULL) {
            assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
        }
        api_assert_untouched(&chip);
        const esp_self_reflasher_config_t embedded =
            api_embedded(API_DATA, cases[i].size, cases[i].address, cases[i].size);
        assert_int_equal(esp_self_reflasher_directly_copy_to_region(&embedded), cases[i].err);
    }
    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    reopen((api_options_t){.readonly = API_READONLY_OTA_0 | API_READONLY_OTA_1 | API_READONLY_OTA_3});
    api_download_to(&download, "http://127.0.0.1/", API_DATA, SECTOR);
    assert_int_equal(esp_self_reflasher_init(&download.config, &handle), ESP_ERR_SELF_REFLASHER_NO_STAGING);
    download.config.target_partition = api_partition("ota_1");
    assert_int_equal(esp_self_reflasher_init(&download.config, &handle), ESP_ERR_SELF_REFLASHER_READ_ONLY);
    reopen((api_options_t){.readonly = API_READONLY_OTA_0});
    download.config.target_partition = NULL;
    assert_int_equal(esp_self_reflasher_init(&download.config, &handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_driver_obeys_the_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(the_flag_does_not_count_without_the_os, setup, teardown),
        cmocka_unit_test_setup_teardown(what_must_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(boot_path_beside_read_only_partitions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_goes_to_no_such_place, setup, teardown),
        cmocka_unit_test_setup_teardown(otadata_that_the_new_table_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(other_partitions_that_the_new_table_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(the_running_app_goes_to_no_such_place, setup, teardown),
        cmocka_unit_test_setup_teardown(otadata_that_has_to_select_the_running_app, setup, teardown),
        cmocka_unit_test_setup_teardown(a_temporary_table_leads_to_no_such_place, setup, teardown),
        cmocka_unit_test_setup_teardown(destinations_and_staging_of_images, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
