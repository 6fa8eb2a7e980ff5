// SPDX-License-Identifier: Apache-2.0
/** @file
 * The cargo of the running app: found wherever that runs from, and refused with any byte of it changed. Nothing here
 * changes flash.
 */
#include "test/support/support_failing_search.h"
#include "test/support/api_support.h"
#include "test/support/support_small.h"

#include "esp_flash.h"
#include "esp_partition.h"

#include "format/sr_partition_table.h"
#include "format/sr_sha256.h"
#include "make/cargo_writer.h"
#include "self_reflasher_cargo.h"
#include "self_reflasher_err.h"

#include <stdlib.h>
#include <string.h>

static api_chip_t chip;
static api_image_t carrier;
static uint32_t start; /**< Of the cargo's segment, its header included, in the carrier. */
static esp_self_reflasher_cargo_t cargo;
static unsigned failing_read; /**< Number of the read that fails, counted down; 0: none. */

static const uint8_t bundle[] = "a bundle, for all that is looked at here";
static const sr_cargo_setting_t settings[] = {{"allow_in_place", "1"}, {"public_key", "the key"}, {"unknown", "x"}};

esp_err_t __real_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length)
{
    if (failing_read > 0 && --failing_read == 0) {
        return ESP_ERR_TIMEOUT;
    }
    return __real_esp_flash_read(flash, buffer, address, length);
}

/* A small app: every bit of its cargo is tried, and each time all of it is hashed. */
static api_image_t make_carrier(uint32_t bundle_size)
{
    uint8_t app[SMALL_APP_SIZE];
    sr_image_t parsed;
    api_image_t image = {0};
    small_app("1", app);
    const sr_reader_t reader = sr_reader_memory(app, sizeof(app));
    assert_int_equal(sr_image_parse(&reader, &parsed), SR_IMAGE_OK);
    const cargo_spec_t spec = {.app = app,
                               .app_size = parsed.length,
                               .settings = settings,
                               .setting_count = 3,
                               .bundle = bundle,
                               .bundle_size = bundle_size};
    assert_int_equal(cargo_write(&spec, &image.bytes, &image.length), IMAGE_WRITE_OK);
    return image;
}

static void open_carrier(const api_options_t *options)
{
    sr_image_t image;
    carrier = make_carrier(sizeof(bundle));
    const sr_reader_t reader = sr_reader_memory(carrier.bytes, (uint32_t)carrier.length);
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    start = image.segments[image.segment_count - 1].data_offset - 8;
    api_chip_open(&chip, options);
    api_chip_put(&chip, chip.config.running_app, carrier.bytes, carrier.length);
}

static int set_up(void **state)
{
    (void)state;
    failing_read = 0;
    failing_search = 0;
    open_carrier(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    api_assert_untouched(&chip);
    api_chip_close(&chip);
    api_image_free(&carrier);
    return 0;
}

static void reopen(const api_options_t *options)
{
    tear_down(NULL);
    open_carrier(options);
}

static void assert_nothing_known(void)
{
    static const esp_self_reflasher_cargo_t none;
    assert_memory_equal(&cargo, &none, sizeof(cargo));
}

/** Checksum and SHA-256 as they are to be with what is in the carrier now: what differs is on purpose. */
static void reseal(void)
{
    sr_image_t image;
    const sr_reader_t reader = sr_reader_memory(carrier.bytes, (uint32_t)carrier.length);
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    uint8_t checksum = 0xEF;
    for (unsigned i = 0; i < image.segment_count; i++) {
        for (uint32_t k = 0; k < image.segments[i].length; k++) {
            checksum ^= carrier.bytes[image.segments[i].data_offset + k];
        }
    }
    carrier.bytes[image.checksum_offset] = checksum;
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, carrier.bytes, image.checksum_offset + 1);
    assert_int_equal(sr_sha256_finish(&sha, carrier.bytes + image.checksum_offset + 1), 0);
}

static void put_carrier(void)
{
    api_chip_put(&chip, chip.config.running_app, carrier.bytes, carrier.length);
}

static void expect_error(esp_err_t expected)
{
    memset(&cargo, 0x55, sizeof(cargo));
    assert_string_equal(esp_self_reflasher_err_to_name(esp_self_reflasher_find_cargo(&cargo)),
                        esp_self_reflasher_err_to_name(expected));
    assert_nothing_known();
    api_assert_untouched(&chip);
}

static void expect_found(uint32_t app)
{
    memset(&cargo, 0x55, sizeof(cargo));
    assert_int_equal(esp_self_reflasher_find_cargo(&cargo), ESP_OK);
    assert_int_equal(cargo.bundle.region_size, sizeof(bundle));
    assert_in_range(cargo.bundle.region_address, app, app + carrier.length - sizeof(bundle));
    uint8_t *plain = api_chip_plain(&chip);
    assert_memory_equal(plain + cargo.bundle.region_address, bundle, sizeof(bundle));
    free(plain);
    assert_string_equal(esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_PUBLIC_KEY), "the key");
    assert_string_equal(esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_ALLOW_IN_PLACE), "1");
    assert_null(esp_self_reflasher_cargo_setting(&cargo, ESP_SELF_REFLASHER_CARGO_ALLOW_TEMPORARY_TABLE));
    assert_string_equal(esp_self_reflasher_cargo_setting(&cargo, "unknown"), "x");
}

static void found_where_the_app_runs(void **state)
{
    (void)state;
    static const uint32_t places[] = {API_OTA_0, API_OTA_1, API_OTA_2};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        reopen(&(api_options_t){.running_app = places[i]});
        expect_found(places[i]);
    }
}

static void found_in_encrypted_flash(void **state)
{
    (void)state;
    reopen(&(api_options_t){.flash_encryption = true});
    expect_found(API_OTA_2);
}

/** As a temporary partition table has it. */
static void found_in_a_partition_as_small_as_the_app(void **state)
{
    (void)state;
    const sr_region_t place = {API_OTA_1 + 0x20000, (uint32_t)sr_region_align_up((uint32_t)carrier.length, 0x1000)};
    uint8_t *bytes = nor_flash_bytes(chip.flash);
    assert_true(sr_partition_table_move_app(bytes + API_TABLE, API_OTA_2, place));
    memcpy(bytes + place.address, carrier.bytes, carrier.length);
    memset(bytes + API_OTA_2, 0xFF, carrier.length);
    sim_chip_detach();
    chip.config.running_app = place.address;
    assert_true(sim_chip_attach(&chip.config));
    api_chip_snapshot(&chip);
    expect_found(place.address);
}

static void cargo_without_bundle(void **state)
{
    (void)state;
    api_image_free(&carrier);
    carrier = make_carrier(0);
    put_carrier();
    memset(&cargo, 0x55, sizeof(cargo));
    assert_int_equal(esp_self_reflasher_find_cargo(&cargo), ESP_OK);
    assert_int_equal(cargo.bundle.region_address, 0);
    assert_int_equal(cargo.bundle.region_size, 0);
    assert_string_equal(esp_self_reflasher_cargo_setting(&cargo, "public_key"), "the key");
}

static void smallest_bundle(void **state)
{
    (void)state;
    api_image_free(&carrier);
    carrier = make_carrier(1);
    put_carrier();
    assert_int_equal(esp_self_reflasher_find_cargo(&cargo), ESP_OK);
    assert_int_equal(cargo.bundle.region_size, 1);
    assert_int_equal(nor_flash_view(chip.flash)[cargo.bundle.region_address], bundle[0]);
}

static void app_without_cargo(void **state)
{
    (void)state;
    api_image_t app = api_app(0x1000);
    api_chip_put(&chip, API_OTA_2, app.bytes, app.length);
    expect_error(ESP_ERR_NOT_FOUND);
    api_image_free(&app);
}

static void assert_refused_with(uint32_t at, unsigned bit)
{
    uint8_t *byte = nor_flash_bytes(chip.flash) + API_OTA_2 + at;
    *byte ^= (uint8_t)(1u << bit);
    memset(&cargo, 0x55, sizeof(cargo));
    const esp_err_t err = esp_self_reflasher_find_cargo(&cargo);
    /* Of a segment that is none of a cargo's any more nobody takes anything. */
    const bool header = at < start + 8 + SR_CARGO_MAGIC_SIZE;
    assert_true(err == ESP_ERR_SELF_REFLASHER_CARGO || (header && err == ESP_ERR_NOT_FOUND));
    assert_nothing_known();
    assert_int_equal(nor_flash_stats(chip.flash).operations, 0);
    *byte ^= (uint8_t)(1u << bit); /* All of the flash is compared in the end. */
}

/** Of the cargo, its segment's header, the checksum, the digest. */
static void every_changed_bit_is_refused(void **state)
{
    (void)state;
    for (uint32_t at = start; at < carrier.length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            assert_refused_with(at, bit);
        }
    }
    expect_found(API_OTA_2);
}

static void upload_that_was_cut_short_is_refused(void **state)
{
    (void)state;
    for (uint32_t length = start; length < carrier.length; length++) {
        memset(nor_flash_bytes(chip.flash) + API_OTA_2, 0xFF, API_SLOT_SIZE);
        api_chip_put(&chip, API_OTA_2, carrier.bytes, length);
        memset(&cargo, 0x55, sizeof(cargo));
        const esp_err_t err = esp_self_reflasher_find_cargo(&cargo);
        assert_true(err == ESP_ERR_SELF_REFLASHER_CARGO || err == ESP_ERR_NOT_FOUND);
        assert_nothing_known();
        api_assert_untouched(&chip);
    }
}

static void image_that_nothing_vouches_for_is_refused(void **state)
{
    (void)state;
    carrier.bytes[23] = 0; // no SHA-256 is appended
    put_carrier();
    expect_error(ESP_ERR_SELF_REFLASHER_CARGO);
}

static void image_without_end_is_refused(void **state)
{
    (void)state;
    carrier.bytes[start + 7] = 0x7F; // of the segment's length
    put_carrier();
    expect_error(ESP_ERR_SELF_REFLASHER_CARGO);
}

static void bad_cargo_in_a_good_image_is_refused(void **state)
{
    (void)state;
    /* Version, sizes, a reserved byte, and the first character of a setting's name. */
    static const uint32_t bad[] = {8, 10, 12, 16, 20, 24, SR_CARGO_HEADER_SIZE};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t *byte = carrier.bytes + start + 8 + bad[i];
        const uint8_t good = *byte;
        *byte ^= 0x40;
        reseal();
        put_carrier();
        expect_error(ESP_ERR_SELF_REFLASHER_CARGO);
        *byte = good;
    }
    reseal();
    put_carrier();
    expect_found(API_OTA_2);
}

static void read_errors_are_handed_up(void **state)
{
    (void)state;
    unsigned reads = 0;
    for (unsigned i = 1; failing_read == 0; i += i < 40 ? 1 : 97) {
        failing_read = i;
        memset(&cargo, 0x55, sizeof(cargo));
        const esp_err_t err = esp_self_reflasher_find_cargo(&cargo);
        const bool all_read = failing_read > 0; // there were fewer reads than that
        assert_true(err == ESP_OK || (err == ESP_ERR_TIMEOUT && !all_read));
        if (err != ESP_OK) {
            assert_nothing_known();
            reads++;
        }
    }
    failing_read = 0;
    assert_true(reads > 10);
}

static void no_memory_for_the_search(void **state)
{
    (void)state;
    failing_search = ALL_SEARCHES;
    expect_error(ESP_ERR_NO_MEM);
    failing_search = 0;
}

static void app_outside_of_partitions_has_none(void **state)
{
    (void)state;
    sim_chip_detach();
    chip.config.running_app = 0x3F0000;
    memcpy(nor_flash_bytes(chip.flash) + 0x3F0000, carrier.bytes, 0x1000);
    assert_true(sim_chip_attach(&chip.config));
    api_chip_snapshot(&chip);
    expect_error(ESP_ERR_NOT_FOUND);
}

static void null_is_refused(void **state)
{
    (void)state;
    assert_int_equal(esp_self_reflasher_find_cargo(NULL), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_self_reflasher_find_cargo(&cargo), ESP_OK);
    assert_null(esp_self_reflasher_cargo_setting(&cargo, NULL));
    assert_null(esp_self_reflasher_cargo_setting(NULL, "public_key"));
}

#define ON_CHIP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CHIP(found_where_the_app_runs),
        ON_CHIP(found_in_encrypted_flash),
        ON_CHIP(found_in_a_partition_as_small_as_the_app),
        ON_CHIP(cargo_without_bundle),
        ON_CHIP(smallest_bundle),
        ON_CHIP(app_without_cargo),
        ON_CHIP(every_changed_bit_is_refused),
        ON_CHIP(upload_that_was_cut_short_is_refused),
        ON_CHIP(image_that_nothing_vouches_for_is_refused),
        ON_CHIP(image_without_end_is_refused),
        ON_CHIP(bad_cargo_in_a_good_image_is_refused),
        ON_CHIP(read_errors_are_handed_up),
        ON_CHIP(no_memory_for_the_search),
        ON_CHIP(app_outside_of_partitions_has_none),
        ON_CHIP(null_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
