// SPDX-License-Identifier: Apache-2.0
/** @file
 * Chips that encrypt their flash, or have Secure Boot on: what is blank in a bundle or in an image reads as blank, and
 * what cannot be known to be right is refused before the first erase.
 */
#include "test/support/support_encrypted.h"

#include "bundle/sr_migration_internal.h"

#define DIGEST 0x0u

static uint8_t table[SECTOR];

static uint32_t comparisons_to_failure; /**< The one with this number fails, from 1; 0: none. */

esp_err_t __real_sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right);

esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right)
{
    const bool fails = comparisons_to_failure > 0 && --comparisons_to_failure == 0;
    return fails ? ESP_ERR_TIMEOUT : __real_sr_migration_sector_is_right(migration, address, right);
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

static void what_the_new_table_encrypts_is_written_as_it_says(void **state)
{
    (void)state;
    uint8_t nvs[0x4000];
    bundle_region_t regions[OTHERS];
    reopen((api_options_t){.flash_encryption = true});
    memcpy(nvs, nor_flash_view(chip.flash) + API_NVS, sizeof(nvs));
    write_other_layout(regions, true);
    const esp_self_reflasher_bundle_config_t config = config_of();
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_OK);
    assert_true(is_seen(regions, nvs));
}

static void data_that_stays_keeps_its_flag(void **state)
{
    (void)state;
    bundle_region_t regions[OTHERS];
    reopen((api_options_t){.flash_encryption = true});
    write_other_layout(regions, false);
    expect_refused("the data at 0x340000 is plain today, and would be encrypted");
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
        cmocka_unit_test_setup_teardown(data_that_stays_keeps_its_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_new_table_encrypts_is_written_as_it_says, setup, teardown),
        cmocka_unit_test_setup_teardown(secure_boot_of_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(secure_boot_of_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(bootloaders_and_digests_of_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(images_under_secure_boot_of_version_1, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
