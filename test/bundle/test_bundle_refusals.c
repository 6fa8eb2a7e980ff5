// SPDX-License-Identifier: Apache-2.0
#include "test/support/api_support.h"

#include "make/bundle_signer.h"
#include "make/bundle_writer.h"
#include "make/image_writer.h"
#include "self_reflasher_bundle.h"
#include "format/sr_digest.h"

#include "esp_chip_info.h"
#include "esp_event.h"

#include <stdlib.h>
#include <string.h>

#define BOOTLOADER_ROOM 0x7000u
#define PLACE_IN_FLASH  (API_DATA + 0x10000u)
#define MAX_EVENTS      256u

enum { BOOTLOADER, TABLE, OTADATA, OTA_0, OTA_1, OTA_2, REGIONS };

/** A system that would be fine, until a test breaks it. */
typedef struct target {
    bundle_region_t regions[REGIONS]; /**< Those without data are left out. */
    bundle_spec_t spec;
    api_image_t bootloader, app;
    uint8_t table[SR_SECTOR_SIZE];
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
} target_t;

typedef struct fixture {
    api_chip_t chip;
    api_server_t server;
    target_t target;
    api_image_t bundle;
    esp_http_client_config_t http;
} fixture_t;

static fixture_t fixture;
static char private_key[BUNDLE_PEM_SIZE], public_key[BUNDLE_PEM_SIZE], other_key[BUNDLE_PEM_SIZE];

/* The target. */

static void add_region(unsigned which, uint32_t address, uint32_t size, const uint8_t *data, size_t length)
{
    fixture.target.regions[which] = (bundle_region_t){.place = {address, size}, .data = data, .length = length};
}

static void make_target(void)
{
    target_t *target = &fixture.target;
    *target = (target_t){.bootloader = api_bootloader("esp32"), .app = api_app(0x20000)};
    target->spec = (bundle_spec_t){.min_flash_size = API_FLASH_SIZE, .partition_table_offset = API_TABLE};
    memcpy(target->table, nor_flash_view(fixture.chip.flash) + API_TABLE, sizeof(target->table));
    image_write_otadata(1, UINT32_MAX, target->otadata);
    add_region(BOOTLOADER, API_BOOTLOADER, BOOTLOADER_ROOM, target->bootloader.bytes, target->bootloader.length);
    add_region(OTADATA, API_OTADATA, sizeof(target->otadata), target->otadata, sizeof(target->otadata));
    add_region(OTA_0, API_OTA_0, API_SLOT_SIZE, target->app.bytes, target->app.length);
}

static void write_bundle(void)
{
    bundle_region_t regions[REGIONS];
    target_t *target = &fixture.target;
    target->spec.regions = regions;
    target->spec.region_count = 0;
    for (unsigned i = 0; i < REGIONS; i++) {
        if (target->regions[i].place.size != 0) {
            regions[target->spec.region_count++] = target->regions[i];
        }
    }
    assert_int_equal(bundle_write(&target->spec, &fixture.bundle.bytes, &fixture.bundle.length), BUNDLE_WRITE_OK);
}

/* Header fields are covered by the digest after the image, not by its checksum. */
static void set_header(api_image_t *image, size_t offset, uint8_t value)
{
    image->bytes[offset] = value;
    const size_t hashed = image->length - SR_SHA256_SIZE;
    assert_true(sr_digest(image->bytes, hashed, image->bytes + hashed));
}

static void sign(const char *key)
{
    assert_int_equal(bundle_sign(fixture.bundle.bytes, fixture.bundle.length, key), SR_BUNDLE_OK);
}

/* Calls. */

static int setup(void **state)
{
    (void)state;
    fixture = (fixture_t){0};
    api_chip_open(&fixture.chip, NULL);
    make_target();
    api_server_start(&fixture.server);
    fixture.http = (esp_http_client_config_t){.url = api_server_url(&fixture.server, "/b.srb"), .timeout_ms = 2000};
    return 0;
}

static int make_keys(void **state)
{
    (void)state;
    char unused[BUNDLE_PEM_SIZE];
    assert_int_equal(bundle_keygen(private_key, public_key), SR_BUNDLE_OK);
    assert_int_equal(bundle_keygen(other_key, unused), SR_BUNDLE_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    api_server_stop(&fixture.server);
    api_chip_close(&fixture.chip);
    api_image_free(&fixture.target.bootloader);
    api_image_free(&fixture.target.app);
    api_image_free(&fixture.bundle);
    return 0;
}

/* Any length of flash: what lies past the bundle is not part of it. */
static esp_self_reflasher_bundle_config_t from_flash(void)
{
    api_chip_put(&fixture.chip, PLACE_IN_FLASH, fixture.bundle.bytes, fixture.bundle.length);
    return (esp_self_reflasher_bundle_config_t){
        .embedded = {.region_address = PLACE_IN_FLASH, .region_size = fixture.bundle.length},
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
}

static esp_self_reflasher_bundle_config_t from_server(void)
{
    api_server_put(&fixture.server, "b.srb", fixture.bundle);
    return (esp_self_reflasher_bundle_config_t){.http_config = &fixture.http,
                                                .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
}

static void assert_refused(const esp_self_reflasher_bundle_config_t *config, esp_self_reflasher_refusal_t why)
{
    static esp_err_t (*const calls[])(const esp_self_reflasher_bundle_config_t *, esp_self_reflasher_plan_t *) = {
        esp_self_reflasher_plan_bundle, esp_self_reflasher_apply_bundle};
    for (unsigned i = 0; i < 2; i++) {
        esp_self_reflasher_plan_t plan;
        memset(&plan, 0x5A, sizeof(plan));
        assert_int_equal(calls[i](config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
        if (plan.refusal != why) {
            fail_msg("refused for %d (%s), not for %d", plan.refusal, plan.refusal_text, why);
        }
        assert_true(strnlen(plan.refusal_text, sizeof(plan.refusal_text)) > 10);
        api_assert_untouched(&fixture.chip);
        api_assert_no_leak(0);
    }
}

static void assert_accepted(const esp_self_reflasher_bundle_config_t *config)
{
    esp_self_reflasher_plan_t plan;
    const esp_err_t err = esp_self_reflasher_plan_bundle(config, &plan);
    if (err != ESP_OK) {
        fail_msg("%s: %s", esp_self_reflasher_err_to_name(err), plan.refusal_text);
    }
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_NOT);
    assert_string_equal(plan.refusal_text, "");
    assert_true(plan.sectors_to_write > 0);
    api_assert_untouched(&fixture.chip);
    api_assert_no_leak(0);
}

/* From both sources, and with the check switched off not at all. */
static void assert_refused_unless_skipped(esp_self_reflasher_refusal_t why, uint32_t check)
{
    write_bundle();
    esp_self_reflasher_bundle_config_t configs[] = {from_server(), from_flash()};
    for (unsigned i = 0; i < 2; i++) {
        assert_refused(&configs[i], why);
        configs[i].skip_checks = ~check;
        if (check != 0) {
            assert_refused(&configs[i], why);
            configs[i].skip_checks = check;
            assert_accepted(&configs[i]);
        }
    }
}

/* Only what the running system does not need was written: a slot, and what lies past its bootloader. */
static void assert_boot_path_is_kept(void)
{
    const uint32_t length = (uint32_t)fixture.target.bootloader.length;
    const uint32_t end = API_BOOTLOADER + (uint32_t)sr_region_align_up(length, SR_SECTOR_SIZE);
    const sr_region_t free_places[] = {{end, API_TABLE - end}, {API_OTA_0, API_SLOT_SIZE}};
    api_assert_same_outside(&fixture.chip, free_places, 2);
}

static bool size_is_secret;

esp_err_t __real_esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *size);
esp_err_t __wrap_esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *size);
esp_err_t __wrap_esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *size)
{
    return size_is_secret ? ESP_ERR_NOT_SUPPORTED : __real_esp_flash_get_physical_size(chip, size);
}

/* A chip that does not tell how large it is: what is used today counts. */
static void a_chip_that_does_not_tell_its_size(void **state)
{
    (void)state;
    size_is_secret = true;
    write_bundle();
    esp_self_reflasher_bundle_config_t config = from_flash();
    assert_accepted(&config);
    fixture.target.spec.min_flash_size = 2 * API_FLASH_SIZE;
    api_image_free(&fixture.bundle);
    write_bundle();
    config = from_flash();
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE);
    size_is_secret = false;
}

/* Refusals of the bundle itself. */

/* With both numbers, before a chunk is fetched, whether signed or not. */
static void assert_sequence(uint32_t sequence, uint32_t least)
{
    char numbers[64];
    esp_self_reflasher_bundle_config_t configs[] = {from_server(), from_flash()};
    (void)snprintf(numbers, sizeof(numbers), "%u, this app takes %u", (unsigned)sequence, (unsigned)least);
    for (unsigned i = 0; i < 2; i++) {
        esp_self_reflasher_plan_t plan;
        configs[i].min_sequence = least;
        configs[i].public_key = public_key;
        if (sequence >= least) {
            assert_accepted(&configs[i]);
        } else {
            assert_refused(&configs[i], ESP_SELF_REFLASHER_REFUSED_SEQUENCE);
        }
        (void)esp_self_reflasher_plan_bundle(&configs[i], &plan);
        assert_int_equal(plan.sequence, sequence);
        assert_int_equal(strstr(plan.refusal_text, numbers) != NULL, sequence < least);
        assert_true(sequence >= least || plan.sectors_total == 0);
    }
}

static void an_old_one_is_refused(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {0, 1, 2, 41, 42, 0x7FFFFFFF, 0x80000000, UINT32_MAX};
    for (unsigned i = 0; i < 8; i++) {
        fixture.target.spec.sequence = numbers[i];
        write_bundle();
        if (numbers[i] % 2 != 0) {
            sign(private_key);
        }
        for (unsigned k = 0; k < 8; k++) {
            assert_sequence(numbers[i], numbers[k]);
        }
        api_image_free(&fixture.bundle);
    }
    fixture.target.spec.sequence = 0;
    write_bundle();
}

static void an_old_one_with_a_changed_number_is_refused(void **state)
{
    (void)state;
    fixture.target.spec.sequence = 3;
    write_bundle();
    sign(private_key);
    fixture.bundle.bytes[48] = 4;
    esp_self_reflasher_bundle_config_t config = from_server();
    config.public_key = public_key;
    config.min_sequence = 4;
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_SIGNATURE);
}

static void a_good_one_is_accepted(void **state)
{
    (void)state;
    write_bundle();
    esp_self_reflasher_bundle_config_t config = from_server();
    assert_accepted(&config);
    config = from_flash();
    assert_accepted(&config);
    sign(private_key);
    config = from_server();
    config.flags = 0;
    config.public_key = public_key;
    assert_accepted(&config);
}

static void damaged_headers(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint8_t mask;
    } damages[] = {{0, 1},  {8, 1},  {10, 1}, {12, 1}, {15, 0x80}, {16, 16},
                   {20, 1}, {36, 1}, {38, 1}, {40, 1}, {44, 1},    {52, 1}};
    write_bundle();
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        fixture.bundle.bytes[damages[i].offset] ^= damages[i].mask;
        const esp_self_reflasher_bundle_config_t configs[] = {from_server(), from_flash()};
        assert_refused(&configs[0], ESP_SELF_REFLASHER_REFUSED_FORMAT);
        assert_refused(&configs[1], ESP_SELF_REFLASHER_REFUSED_FORMAT);
        fixture.bundle.bytes[damages[i].offset] ^= damages[i].mask;
    }
}

static void no_whole_manifest(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 63, 64, 100, 200};
    write_bundle();
    const size_t whole = fixture.bundle.length;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        fixture.bundle.length = lengths[i];
        const esp_self_reflasher_bundle_config_t configs[] = {from_server(), from_flash()};
        assert_refused(&configs[0], ESP_SELF_REFLASHER_REFUSED_FORMAT);
        assert_refused(&configs[1], ESP_SELF_REFLASHER_REFUSED_FORMAT);
    }
    fixture.bundle.length = whole;
}

static void signatures(void **state)
{
    (void)state;
    write_bundle();
    esp_self_reflasher_bundle_config_t config = from_server();
    config.flags = 0;
    config.public_key = public_key;
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_SIGNATURE); /* None. */
    sign(other_key);
    config = from_server();
    config.public_key = public_key;
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_SIGNATURE); /* Another key, though unsigned ones are allowed. */
    sign(private_key);
    config = from_server();
    config.public_key = public_key;
    assert_accepted(&config);
    config.public_key = "-----BEGIN PUBLIC KEY-----\nbm8ga2V5\n-----END PUBLIC KEY-----\n";
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_SIGNATURE);
    fixture.bundle.bytes[26] ^= 1; /* min_chip_revision: a manifest that is valid, and not the one that was signed. */
    config = from_server();
    config.public_key = public_key;
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_SIGNATURE);
}

static void another_chip(void **state)
{
    (void)state;
    fixture.target.spec.chip_id = 9;
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_CHIP, 0);
}

static void a_later_revision(void **state)
{
    (void)state;
    fixture.target.spec.min_chip_revision = 9999;
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_CHIP, 0);
    api_image_free(&fixture.bundle);

    /* It is for this revision and later ones, not for later ones only. */
    esp_chip_info_t info;
    esp_chip_info(&info);
    for (uint16_t more = 0; more < 2; more++) {
        fixture.target.spec.min_chip_revision = (uint16_t)(info.revision + more);
        write_bundle();
        const esp_self_reflasher_bundle_config_t config = from_flash();
        api_chip_snapshot(&fixture.chip);
        if (more == 0) {
            assert_accepted(&config);
        } else {
            assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_CHIP);
        }
        api_image_free(&fixture.bundle);
    }
}

static void a_larger_flash(void **state)
{
    (void)state;
    fixture.target.spec.min_flash_size = 2 * API_FLASH_SIZE;
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE, 0);
}

/* Refusals of its result. */

static void a_damaged_bootloader(void **state)
{
    (void)state;
    fixture.target.bootloader.bytes[0x100] ^= 1;
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_BOOTLOADER, ESP_SELF_REFLASHER_CHECK_BOOTLOADER);
}

static void a_bootloader_for_another_chip(void **state)
{
    (void)state;
    set_header(&fixture.target.bootloader, 12, 9);
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_BOOTLOADER, ESP_SELF_REFLASHER_CHECK_BOOTLOADER);
}

static void a_bootloader_for_a_smaller_flash(void **state)
{
    (void)state;
    set_header(&fixture.target.bootloader, 3, (uint8_t)((fixture.target.bootloader.bytes[3] & 0x0F) | 1 << 4));
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE, ESP_SELF_REFLASHER_CHECK_FLASH_SIZE);
}

static void a_bootloader_for_a_larger_flash(void **state)
{
    (void)state;
    set_header(&fixture.target.bootloader, 3, (uint8_t)((fixture.target.bootloader.bytes[3] & 0x0F) | 3 << 4));
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE, ESP_SELF_REFLASHER_CHECK_FLASH_SIZE);
}

static void a_more_demanding_flash_mode(void **state)
{
    (void)state;
    assert_true(fixture.target.bootloader.bytes[2] != 0);
    set_header(&fixture.target.bootloader, 2, 0);
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_FLASH_MODE, ESP_SELF_REFLASHER_CHECK_FLASH_MODE);
}

/* After a power loss in the middle of a bootloader, its header does not say what works. */
static void a_flash_mode_that_nobody_vouches_for(void **state)
{
    (void)state;
    static const uint32_t damaged[] = {0, 0x18, 0x800};
    uint8_t *today = nor_flash_bytes(fixture.chip.flash) + API_BOOTLOADER;
    set_header(&fixture.target.bootloader, 2, 0);
    write_bundle();
    const esp_self_reflasher_bundle_config_t config = from_flash();
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_FLASH_MODE);
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        today[damaged[i]] ^= 1;
        api_chip_snapshot(&fixture.chip);
        assert_accepted(&config);
        today[damaged[i]] ^= 1;
    }
}

static void a_faster_flash_clock(void **state)
{
    (void)state;
    assert_true((fixture.target.bootloader.bytes[3] & 0x0F) != 0x0F);
    set_header(&fixture.target.bootloader, 3, fixture.target.bootloader.bytes[3] | 0x0F);
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_FLASH_MODE, ESP_SELF_REFLASHER_CHECK_FLASH_MODE);
}

static void a_bootloader_for_a_later_revision(void **state)
{
    (void)state;
    set_header(&fixture.target.bootloader, 16, 0x7F);
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_REVISION, ESP_SELF_REFLASHER_CHECK_REVISION);
}

static void a_table_with_a_wrong_digest(void **state)
{
    (void)state;
    fixture.target.table[12] ^= 1;
    add_region(TABLE, API_TABLE, SR_SECTOR_SIZE, fixture.target.table, SR_SECTOR_SIZE);
    /* Then it is not known either which app will boot. */
    write_bundle();
    esp_self_reflasher_bundle_config_t config = from_server();
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_TABLE);
    config.skip_checks = ESP_SELF_REFLASHER_CHECK_TABLE;
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_APP);
    config.skip_checks |= ESP_SELF_REFLASHER_CHECK_APP;
    assert_accepted(&config);
}

static void an_app_for_another_chip(void **state)
{
    (void)state;
    set_header(&fixture.target.app, 12, 9);
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_APP, ESP_SELF_REFLASHER_CHECK_APP);
}

static void reopen(api_options_t options)
{
    api_chip_close(&fixture.chip);
    api_chip_open(&fixture.chip, &options);
}

/* Whether its bootloader checks that is not known, but somebody has burnt the eFuse. Such a bootloader would not boot
 * today's app either: a caller that has another kind must say so. */
static void an_app_below_the_secure_version(void **state)
{
    (void)state;
    reopen((api_options_t){.efuses = {.secure_version = 1}});
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_SECURITY, ESP_SELF_REFLASHER_CHECK_SECURE_VERSION);
}

static void an_app_for_another_revision(void **state)
{
    (void)state;
    set_header(&fixture.target.app, 16, 0x7F);
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_REVISION, ESP_SELF_REFLASHER_CHECK_REVISION);
}

static void no_app(void **state)
{
    (void)state;
    memset(fixture.target.app.bytes, 0xFF, SR_SECTOR_SIZE);
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_APP, ESP_SELF_REFLASHER_CHECK_APP);
}

/* The old app would go on for ever, and all would look done. */
static void an_app_that_nobody_starts(void **state)
{
    (void)state;
    fixture.target.regions[OTADATA] = (bundle_region_t){0};
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_APP, ESP_SELF_REFLASHER_CHECK_APP);
}

/* From a server its end is not known before it is in flash. */
static void a_damaged_app(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t plan;
    fixture.target.app.bytes[fixture.target.app.length - 100] ^= 1;
    write_bundle();
    esp_self_reflasher_bundle_config_t config = from_flash();
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_APP);
    config = from_server();
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_APP);
    assert_boot_path_is_kept();
    api_assert_no_leak(0);
}

/* Refusals because of the running system. */

static void a_rollback_that_is_pending(void **state)
{
    (void)state;
    uint8_t otadata[IMAGE_WRITE_OTADATA_SIZE];
    image_write_otadata(3, SR_OTA_PENDING_VERIFY, otadata);
    api_chip_put(&fixture.chip, API_OTADATA, otadata, sizeof(otadata));
    assert_refused_unless_skipped(ESP_SELF_REFLASHER_REFUSED_ROLLBACK, ESP_SELF_REFLASHER_CHECK_ROLLBACK);
}

static void a_running_app_in_the_way_that_can_go_nowhere(void **state)
{
    (void)state;
    add_region(OTA_1, API_OTA_1, API_SLOT_SIZE, fixture.target.app.bytes, fixture.target.app.length);
    add_region(OTA_2, API_OTA_2, API_SLOT_SIZE, fixture.target.app.bytes, fixture.target.app.length);
    write_bundle();
    const esp_self_reflasher_bundle_config_t config = from_server();
    esp_self_reflasher_plan_t plan;
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP);
    assert_int_equal(esp_self_reflasher_plan_bundle(&config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_true(plan.must_relocate);
    assert_int_equal(plan.relocate_to, UINT32_MAX);
}

static void another_table_under_encryption(void **state)
{
    (void)state;
    fixture.target.table[0x800] ^= 0xFF; /* Past its end: it encrypts what today's does. */
    add_region(TABLE, API_TABLE, SR_SECTOR_SIZE, fixture.target.table, SR_SECTOR_SIZE);
    write_bundle();
    reopen((api_options_t){.flash_encryption = true});
    esp_self_reflasher_bundle_config_t config = from_server();
    assert_accepted(&config);
    fixture.target.table[0] ^= 0xFF;
    free(fixture.bundle.bytes);
    write_bundle();
    config = from_server();
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_SECURITY);
}

static void the_source_in_the_way(void **state)
{
    (void)state;
    write_bundle();
    api_chip_put(&fixture.chip, API_OTA_0 + 0x80000, fixture.bundle.bytes, fixture.bundle.length);
    const esp_self_reflasher_bundle_config_t config = {
        .embedded = {.region_address = API_OTA_0 + 0x80000, .region_size = fixture.bundle.length},
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    assert_refused(&config, ESP_SELF_REFLASHER_REFUSED_SOURCE);
}

/* What the bundle wants blank lies right in front of the bundle, or right after it. */
static void expect_source(uint32_t address, sr_region_t erased, bool accepted)
{
    esp_self_reflasher_plan_t plan;
    api_image_free(&fixture.bundle);
    add_region(OTA_1, erased.address, erased.size, NULL, 0);
    write_bundle();
    api_chip_put(&fixture.chip, address, fixture.bundle.bytes, fixture.bundle.length);
    const esp_self_reflasher_bundle_config_t config = {
        .embedded = {.region_address = address, .region_size = fixture.bundle.length},
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    const esp_err_t err = esp_self_reflasher_plan_bundle(&config, &plan);
    if (err != (accepted ? ESP_OK : ESP_ERR_SELF_REFLASHER_REFUSED)) {
        fail_msg("bundle of %zu bytes at 0x%x: %s", fixture.bundle.length, (unsigned)address,
                 esp_self_reflasher_err_to_name(err));
    }
    assert_int_equal(plan.refusal, accepted ? ESP_SELF_REFLASHER_REFUSED_NOT : ESP_SELF_REFLASHER_REFUSED_SOURCE);
}

static void the_source_beside_what_is_written(void **state)
{
    (void)state;
    add_region(OTA_1, API_OTA_1, SR_SECTOR_SIZE, NULL, 0);
    write_bundle();
    const uint32_t length = (uint32_t)fixture.bundle.length;
    assert_true(length > SR_SECTOR_SIZE && length < 0x60000);
    for (uint32_t sector = 0; sector < 2; sector++) { /* An even and an odd one. */
        const sr_region_t erased = {API_OTA_1 + (0x80u + sector) * SR_SECTOR_SIZE, SR_SECTOR_SIZE};
        const uint32_t end = erased.address + erased.size;
        expect_source(end, erased, true);
        expect_source(end - 1, erased, false);
        expect_source(end - SR_SECTOR_SIZE, erased, false);
        expect_source(erased.address - length, erased, true);
        expect_source(erased.address - length + 1, erased, false);
        expect_source(erased.address - length + SR_SECTOR_SIZE, erased, false);
        expect_source(erased.address - SR_SECTOR_SIZE, erased, false); /* In the middle of it. */
    }
}

/* Mistakes of the caller. */

static void assert_invalid(const esp_self_reflasher_bundle_config_t *config)
{
    esp_self_reflasher_plan_t plan;
    assert_int_equal(esp_self_reflasher_plan_bundle(config, &plan), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_self_reflasher_apply_bundle(config, &plan), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_self_reflasher_apply_bundle(config, NULL), ESP_ERR_INVALID_ARG);
    api_assert_untouched(&fixture.chip);
    api_assert_no_leak(0);
}

static void arguments(void **state)
{
    (void)state;
    write_bundle();
    esp_self_reflasher_bundle_config_t config = from_server();
    assert_int_equal(esp_self_reflasher_plan_bundle(&config, NULL), ESP_ERR_INVALID_ARG);
    assert_invalid(NULL);
    config.flags = 0;
    assert_invalid(&config);
    config = from_flash();
    config.embedded.region_size = 0;
    assert_invalid(&config);
    config.embedded.region_size = API_FLASH_SIZE - PLACE_IN_FLASH + 1;
    assert_invalid(&config);
    config.embedded.region_address = API_FLASH_SIZE;
    config.embedded.region_size = 1;
    assert_invalid(&config);
    config.embedded.region_size = (size_t)UINT32_MAX + 2;
    config.embedded.region_address = 0;
    assert_invalid(&config);
}

/* Memory. */

static void restore_flash(const uint8_t *content)
{
    memcpy(nor_flash_bytes(fixture.chip.flash), content, API_FLASH_SIZE);
    api_chip_snapshot(&fixture.chip);
}

static void assert_applied(void)
{
    const sr_region_t changed[] = {
        {API_BOOTLOADER, BOOTLOADER_ROOM}, {API_OTA_0, API_SLOT_SIZE}, {API_OTADATA, sizeof(fixture.target.otadata)}};
    api_assert_holds(&fixture.chip, changed[0], fixture.target.bootloader);
    api_assert_holds(&fixture.chip, changed[1], fixture.target.app);
    api_assert_holds(&fixture.chip, changed[2], (api_image_t){fixture.target.otadata, sizeof(fixture.target.otadata)});
    api_assert_same_outside(&fixture.chip, changed, 3);
}

static void apply_again(void *context)
{
    assert_int_equal(esp_self_reflasher_apply_bundle(context, NULL), ESP_OK);
}

/* If memory ran out once the record was sealed, the next call finishes the record, and restarts. */
static void call_until_it_is_done(const esp_self_reflasher_bundle_config_t *config)
{
    esp_self_reflasher_bundle_config_t copy = *config;
    if (sim_call(apply_again, &copy) == SIM_END_RESTART) {
        assert_int_equal(sim_call(apply_again, &copy), SIM_END_RETURNED);
    }
}

static void fail_each_allocation_of(const esp_self_reflasher_bundle_config_t *config)
{
    uint8_t *before = malloc(API_FLASH_SIZE);
    assert_non_null(before);
    memcpy(before, nor_flash_view(fixture.chip.flash), API_FLASH_SIZE);
    uint32_t number = 0;
    esp_err_t err;
    do {
        restore_flash(before);
        sim_heap_fail_at(++number);
        err = esp_self_reflasher_apply_bundle(config, NULL);
        sim_heap_fail_at(0);
        api_assert_no_leak(0);
        if (err != ESP_OK) {
            assert_int_equal(err, ESP_ERR_NO_MEM);
            assert_boot_path_is_kept();
            memcpy(fixture.chip.before, before, API_FLASH_SIZE);
            call_until_it_is_done(config);
        }
        assert_applied();
    } while (err != ESP_OK);
    print_message("%u allocations\n", (unsigned)number - 1);
    assert_true(number > 5);
    free(before);
}

static void memory_runs_out(void **state)
{
    (void)state;
    set_header(&fixture.target.bootloader, 9, 0x5A);
    write_bundle();
    const esp_self_reflasher_bundle_config_t configs[] = {from_server(), from_flash()};
    fail_each_allocation_of(&configs[0]);
    restore_flash(fixture.chip.before);
    print_message("peak heap: %u bytes\n", (unsigned)sim_counters()->heap_peak);
}

/* Events. */

typedef struct record {
    esp_self_reflasher_event_t ids[MAX_EVENTS];
    esp_self_reflasher_event_data_t data[MAX_EVENTS];
    unsigned count;
} record_t;

static record_t called, posted;

static void note(record_t *record, esp_self_reflasher_event_t id, const esp_self_reflasher_event_data_t *data)
{
    assert_true(record->count < MAX_EVENTS);
    record->ids[record->count] = id;
    record->data[record->count] = *data;
    record->count++;
}

static void on_call(void *user_ctx, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    assert_ptr_equal(user_ctx, &fixture);
    note(&called, event, data);
}

static void on_post(void *arg, esp_event_base_t base, int32_t id, void *data)
{
    assert_ptr_equal(arg, &posted);
    assert_ptr_equal(base, ESP_SELF_REFLASHER_EVENT);
    note(&posted, (esp_self_reflasher_event_t)id, data);
}

/* Event loop and callback tell the same; numbers of a phase do not go back. @return the number of events with this id.
 */
static unsigned assert_in_order(esp_self_reflasher_event_t wanted)
{
    unsigned found = 0;
    assert_int_equal(called.count, posted.count);
    for (unsigned i = 0; i < called.count; i++) {
        const esp_self_reflasher_event_data_t *data = &called.data[i];
        assert_int_equal(called.ids[i], posted.ids[i]);
        assert_memory_equal(data, &posted.data[i], sizeof(*data));
        assert_true(data->sectors_done <= data->sectors_total);
        found += called.ids[i] == wanted;
        if (i > 0) {
            assert_true(data->bytes_downloaded >= called.data[i - 1].bytes_downloaded);
            assert_true(data->retries >= called.data[i - 1].retries);
            assert_true(called.ids[i] != called.ids[i - 1] || data->sectors_done >= called.data[i - 1].sectors_done);
        }
    }
    return found;
}

static void start_record(esp_self_reflasher_bundle_config_t *config)
{
    called = posted = (record_t){0};
    config->event_cb = on_call;
    config->user_ctx = &fixture;
}

static void events_come_in_order(void **state)
{
    (void)state;
    set_header(&fixture.target.bootloader, 9, 0x5A);
    write_bundle();
    esp_self_reflasher_bundle_config_t config = from_server();
    assert_int_equal(esp_event_loop_create_default(), ESP_OK);
    assert_int_equal(esp_event_handler_register(ESP_SELF_REFLASHER_EVENT, ESP_EVENT_ANY_ID, on_post, &posted), ESP_OK);

    fixture.http.url = api_server_url(&fixture.server, "/flaky/b.srb?fail=2");
    start_record(&config);
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, NULL), ESP_OK);
    assert_int_equal(assert_in_order(ESP_SELF_REFLASHER_EVENT_RETRY), 2);
    assert_true(assert_in_order(ESP_SELF_REFLASHER_EVENT_CHECK) > 0);
    assert_true(assert_in_order(ESP_SELF_REFLASHER_EVENT_PREPARE) > 0);
    assert_int_equal(assert_in_order(ESP_SELF_REFLASHER_EVENT_COMMIT), 2);
    assert_int_equal(assert_in_order(ESP_SELF_REFLASHER_EVENT_FAILED), 0);
    const unsigned last = called.count - 1;
    assert_int_equal(called.ids[last], ESP_SELF_REFLASHER_EVENT_DONE);
    assert_int_equal(called.ids[last - 1], ESP_SELF_REFLASHER_EVENT_COMMIT);
    assert_int_equal(called.data[last - 1].sectors_done, called.data[last - 1].sectors_total);
    assert_int_equal(called.ids[last - 2], ESP_SELF_REFLASHER_EVENT_COMMIT);
    assert_int_equal(called.data[last - 2].sectors_done, 0);
    /* Phases in their order. */
    for (unsigned i = 1; i < called.count; i++) {
        if (called.ids[i] != ESP_SELF_REFLASHER_EVENT_RETRY && called.ids[i - 1] != ESP_SELF_REFLASHER_EVENT_RETRY) {
            assert_true(called.ids[i] >= called.ids[i - 1]);
        }
    }

    start_record(&config);
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, NULL), ESP_OK);
    assert_true(assert_in_order(ESP_SELF_REFLASHER_EVENT_CHECK) + 1 == called.count);
    assert_int_equal(called.ids[called.count - 1], ESP_SELF_REFLASHER_EVENT_DONE);

    fixture.http.url = api_server_url(&fixture.server, "/404");
    start_record(&config);
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, NULL), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
    assert_int_equal(assert_in_order(ESP_SELF_REFLASHER_EVENT_FAILED), 1);
    assert_int_equal(called.data[called.count - 1].error, ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
}

#define BUNDLE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUNDLE_TEST(an_old_one_is_refused),
        BUNDLE_TEST(an_old_one_with_a_changed_number_is_refused),
        BUNDLE_TEST(a_good_one_is_accepted),
        BUNDLE_TEST(damaged_headers),
        BUNDLE_TEST(no_whole_manifest),
        BUNDLE_TEST(signatures),
        BUNDLE_TEST(another_chip),
        BUNDLE_TEST(a_later_revision),
        BUNDLE_TEST(a_larger_flash),
        BUNDLE_TEST(a_damaged_bootloader),
        BUNDLE_TEST(a_bootloader_for_another_chip),
        BUNDLE_TEST(a_bootloader_for_a_smaller_flash),
        BUNDLE_TEST(a_bootloader_for_a_larger_flash),
        BUNDLE_TEST(a_more_demanding_flash_mode),
        BUNDLE_TEST(a_flash_mode_that_nobody_vouches_for),
        BUNDLE_TEST(a_faster_flash_clock),
        BUNDLE_TEST(a_bootloader_for_a_later_revision),
        BUNDLE_TEST(a_table_with_a_wrong_digest),
        BUNDLE_TEST(an_app_for_another_chip),
        BUNDLE_TEST(an_app_below_the_secure_version),
        BUNDLE_TEST(an_app_for_another_revision),
        BUNDLE_TEST(no_app),
        BUNDLE_TEST(a_chip_that_does_not_tell_its_size),
        BUNDLE_TEST(an_app_that_nobody_starts),
        BUNDLE_TEST(a_damaged_app),
        BUNDLE_TEST(a_rollback_that_is_pending),
        BUNDLE_TEST(a_running_app_in_the_way_that_can_go_nowhere),
        BUNDLE_TEST(another_table_under_encryption),
        BUNDLE_TEST(the_source_in_the_way),
        BUNDLE_TEST(the_source_beside_what_is_written),
        BUNDLE_TEST(arguments),
        BUNDLE_TEST(memory_runs_out),
        BUNDLE_TEST(events_come_in_order),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
