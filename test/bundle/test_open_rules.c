// SPDX-License-Identifier: Apache-2.0
/** @file
 * How a migration is opened: which arguments are taken, what source, manifest and checks are asked, what is allocated
 * and freed; and what the app is told. All that is asked for it is made up here, and there is no chip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bundle/sr_migration_internal.h"
#include "flash/sr_flash_size.h"
#include "port/sr_yield.h"
#include "preflight/sr_admit.h"
#include "self_reflasher_err.h"

#include "esp_event.h"

#include <stdlib.h>
#include <string.h>

#define FLASH_SIZE 0x400000u
#define SECTORS    (FLASH_SIZE / SR_SECTOR_SIZE)
#define UNSIGNED   ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED
#define REDIRECT   ESP_SELF_REFLASHER_BUNDLE_ALLOW_HTTP_REDIRECT

static esp_self_reflasher_bundle_config_t config;
static esp_self_reflasher_plan_t plan;
static sr_migration_t migration;
static esp_http_client_config_t http;
static sr_flash_layout_t *layout;
static int context;

static struct {
    esp_err_t system_err, source_err, manifest_err, scan_err;
    sr_bundle_status_t status;
    esp_self_reflasher_refusal_t admitted;
    uint32_t min_flash_size;
    bool encryption, steady;
    uint32_t fails_at, allocations, live; /**< On the heap. */
    uint32_t opened, loaded, extended, admissions, scans;
    uint32_t decoders_closed, manifests_freed, sources_closed, layouts_freed;
    uint32_t events, posts, questions;
    esp_self_reflasher_event_t event;
    esp_self_reflasher_event_data_t data;
    bool answer;
} fake;

static int setup(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    memset(&plan, 0, sizeof(plan));
    config = (esp_self_reflasher_bundle_config_t){.embedded = {0x1000, 0x2000}, .flags = UNSIGNED, .min_sequence = 7};
    fake.min_flash_size = FLASH_SIZE;
    return 0;
}

esp_err_t __wrap_sr_system_read(sr_system_t *system);
esp_err_t __wrap_sr_system_read(sr_system_t *system)
{
    *system =
        (sr_system_t){.chip = sr_chip_by_name("esp32"), .flash = {.size = FLASH_SIZE, .encryption = fake.encryption}};
    return fake.system_err;
}

bool __wrap_sr_system_supply_is_steady(void);
bool __wrap_sr_system_supply_is_steady(void)
{
    return fake.steady;
}

esp_err_t __wrap_sr_source_open(sr_source_t *source);
esp_err_t __wrap_sr_source_open(sr_source_t *source)
{
    assert_ptr_equal(source, &migration.input.source);
    fake.opened++;
    return fake.source_err;
}

esp_err_t __wrap_sr_manifest_load(sr_manifest_t *manifest, sr_source_t *source, const char *public_key,
                                  bool allow_unsigned);
esp_err_t __wrap_sr_manifest_load(sr_manifest_t *manifest, sr_source_t *source, const char *public_key,
                                  bool allow_unsigned)
{
    assert_ptr_equal(manifest, &migration.input.manifest);
    assert_ptr_equal(source, &migration.input.source);
    assert_ptr_equal(public_key, config.public_key);
    assert_int_equal(allow_unsigned, (config.flags & UNSIGNED) != 0);
    fake.loaded++;
    manifest->status = fake.status;
    manifest->bundle.sequence = 9;
    manifest->bundle.min_flash_size = fake.min_flash_size;
    return fake.manifest_err;
}

void __wrap_sr_flash_size_extend(sr_flash_t *flash);
void __wrap_sr_flash_size_extend(sr_flash_t *flash)
{
    assert_ptr_equal(flash, &migration.system.flash);
    assert_int_equal(fake.admissions, 0); /* The checks see the larger flash. */
    fake.extended++;
}

esp_self_reflasher_refusal_t __wrap_sr_admit(const sr_bundle_t *bundle, const sr_system_t *system,
                                             uint32_t min_sequence, char *text, size_t size);
esp_self_reflasher_refusal_t __wrap_sr_admit(const sr_bundle_t *bundle, const sr_system_t *system,
                                             uint32_t min_sequence, char *text, size_t size)
{
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    assert_ptr_equal(system, &migration.system);
    assert_int_equal(min_sequence, 7);
    fake.admissions++;
    (void)snprintf(text, size, "100%% of another chip");
    return fake.admitted;
}

esp_err_t __wrap_sr_migration_scan(sr_migration_t *of);
esp_err_t __wrap_sr_migration_scan(sr_migration_t *of)
{
    assert_ptr_equal(of, &migration);
    fake.scans++;
    return fake.scan_err;
}

static void *allocate(size_t n, size_t size)
{
    if (++fake.allocations == fake.fails_at) {
        return NULL;
    }
    fake.live++;
    return calloc(n, size);
}

void *__wrap_heap_caps_malloc(size_t size, uint32_t caps);
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps)
{
    (void)caps;
    return allocate(1, size);
}

void *__wrap_heap_caps_calloc(size_t n, size_t size, uint32_t caps);
void *__wrap_heap_caps_calloc(size_t n, size_t size, uint32_t caps)
{
    (void)caps;
    return allocate(n, size);
}

void __wrap_heap_caps_free(void *memory);
void __wrap_heap_caps_free(void *memory)
{
    fake.live -= memory != NULL;
    free(memory);
}

void __wrap_sr_decoder_close(sr_decoder_t *decoder);
void __wrap_sr_decoder_close(sr_decoder_t *decoder)
{
    assert_ptr_equal(decoder, &migration.input.decoder);
    fake.decoders_closed++;
}

void __wrap_sr_manifest_free(sr_manifest_t *manifest);
void __wrap_sr_manifest_free(sr_manifest_t *manifest)
{
    assert_ptr_equal(manifest, &migration.input.manifest);
    fake.manifests_freed++;
}

void __wrap_sr_source_close(sr_source_t *source);
void __wrap_sr_source_close(sr_source_t *source)
{
    assert_ptr_equal(source, &migration.input.source);
    fake.sources_closed++;
}

void __wrap_sr_flash_layout_free(const sr_flash_layout_t *of);
void __wrap_sr_flash_layout_free(const sr_flash_layout_t *of)
{
    fake.layouts_freed += of != NULL && of == layout;
}

esp_err_t __wrap_esp_event_post(esp_event_base_t base, int32_t id, const void *data, size_t size, TickType_t ticks);
esp_err_t __wrap_esp_event_post(esp_event_base_t base, int32_t id, const void *data, size_t size, TickType_t ticks)
{
    assert_ptr_equal(base, ESP_SELF_REFLASHER_EVENT);
    assert_int_equal(id, ESP_SELF_REFLASHER_EVENT_RETRY);
    assert_int_equal(size, sizeof(fake.data));
    assert_int_equal(((const esp_self_reflasher_event_data_t *)data)->retries, 3);
    assert_int_equal(ticks, 0); /* Nobody waits for a queue that is full. */
    fake.posts++;
    return ESP_ERR_INVALID_STATE; /* Nobody listens. */
}

static void on_event(void *user_ctx, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    assert_ptr_equal(user_ctx, &context);
    fake.events++;
    fake.event = event;
    fake.data = *data;
}

static bool may_commit(void *user_ctx)
{
    assert_ptr_equal(user_ctx, &context);
    fake.questions++;
    return fake.answer;
}

/* Opens and closes, and nothing is left. */
static esp_err_t open_migration(void)
{
    fake.allocations = 0;
    fake.opened = fake.loaded = fake.admissions = fake.scans = fake.extended = 0;
    memset(&plan, 0, sizeof(plan));
    const esp_err_t err = sr_migration_open(&migration, &config, &plan);
    assert_true(fake.scans == 0 || fake.allocations == 2);
    assert_true(err != ESP_OK || fake.scans == 1);
    sr_migration_close(&migration);
    assert_int_equal(fake.live, 0);
    return err;
}

/* Arguments. */

static void bundle_is_signed_or_said_to_be_not(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        const bool key = (i & 1) != 0, allowed = (i & 2) != 0;
        config.public_key = key ? "a key" : NULL;
        config.flags = (allowed ? UNSIGNED : 0) | ((i & 4) != 0 ? ~UNSIGNED : 0);
        assert_int_equal(open_migration(), key || allowed ? ESP_OK : ESP_ERR_INVALID_ARG);
        assert_int_equal(fake.opened, key || allowed);
    }
}

static void embedded_bundle_lies_inside_the_flash(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        size_t size;
        bool taken;
    } cases[] = {
        {0, 0, false},
        {0, 1, true},
        {0, FLASH_SIZE, true},
        {0, FLASH_SIZE + 1, false},
        {0x1000, FLASH_SIZE - 0x1000, true},
        {0x1000, FLASH_SIZE - 0xFFF, false},
        {FLASH_SIZE - 1, 1, true},
        {FLASH_SIZE, 1, false},
        {0x1000, UINT32_MAX, false},
        {0x1000, (size_t)UINT32_MAX + 1 + 0x1000, false}, /* Its low 32 bits are inside. */
    };
    for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        config.embedded = (addr_region_t){cases[i / 2].address, cases[i / 2].size};
        config.http_config = i % 2 != 0 ? &http : NULL; /* Then it is not looked at. */
        const bool taken = cases[i / 2].taken || config.http_config != NULL;
        assert_int_equal(open_migration(), taken ? ESP_OK : ESP_ERR_INVALID_ARG);
        assert_int_equal(fake.opened, taken);
    }
}

static void source_is_as_the_config_says(void **state)
{
    (void)state;
    static const uint32_t retries[] = {0, 1, 2, 8, UINT32_MAX};
    for (unsigned i = 0; i < 10; i++) {
        config.http_config = i % 2 != 0 ? &http : NULL;
        config.flags = UNSIGNED | (i % 2 != 0 ? REDIRECT : 0);
        config.max_retries = retries[i / 2];
        config.stall_timeout_ms = 1000 + i;
        assert_int_equal(open_migration(), ESP_OK);
        const sr_source_t *source = &migration.input.source;
        assert_ptr_equal(source->http, config.http_config);
        assert_int_equal(source->allow_http, i % 2 != 0);
        assert_int_equal(source->max_retries, retries[i / 2] != 0 ? retries[i / 2] : 8);
        assert_int_equal(source->stall_ms, 1000 + i);
        assert_int_equal(source->flash.size, FLASH_SIZE);
        assert_int_equal(source->region.address, 0x1000);
        assert_int_equal(source->region.size, 0x2000);
    }
    config.flags = UNSIGNED | ~REDIRECT;
    assert_int_equal(open_migration(), ESP_OK);
    assert_false(migration.input.source.allow_http);
}

/* Each step in turn. */
static void each_error_ends_it(void **state)
{
    (void)state;
    fake.system_err = ESP_ERR_TIMEOUT;
    assert_int_equal(open_migration(), ESP_ERR_TIMEOUT);
    assert_int_equal(fake.opened, 0);
    fake.system_err = ESP_OK;
    fake.source_err = ESP_ERR_NO_MEM;
    assert_int_equal(open_migration(), ESP_ERR_NO_MEM);
    assert_int_equal(fake.loaded, 0);
    fake.source_err = ESP_OK;
    fake.manifest_err = ESP_ERR_INVALID_SIZE;
    assert_int_equal(open_migration(), ESP_ERR_INVALID_SIZE);
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_NOT);
    assert_int_equal(fake.admissions, 0);
    assert_int_equal(fake.allocations, 0);
    fake.manifest_err = ESP_OK;
    for (fake.fails_at = 1; fake.fails_at <= 2; fake.fails_at++) {
        assert_int_equal(open_migration(), ESP_ERR_NO_MEM);
        assert_int_equal(fake.scans, 0);
    }
    fake.fails_at = 0;
    fake.scan_err = ESP_ERR_TIMEOUT;
    assert_int_equal(open_migration(), ESP_ERR_TIMEOUT);
    fake.scan_err = ESP_OK;
    assert_int_equal(open_migration(), ESP_OK);
    assert_int_equal(plan.sequence, 9);
}

/* Refusals. */

static void manifest_is_refused_for_its_signature_or_its_format(void **state)
{
    (void)state;
    fake.manifest_err = ESP_ERR_SELF_REFLASHER_REFUSED;
    for (sr_bundle_status_t status = SR_BUNDLE_OK + 1; status <= SR_BUNDLE_CRYPTO_FAILED; status++) {
        const bool signature = status == SR_BUNDLE_NOT_SIGNED || status == SR_BUNDLE_OTHER_KEY ||
                               status == SR_BUNDLE_BAD_SIGNATURE || status == SR_BUNDLE_BAD_KEY ||
                               status == SR_BUNDLE_CRYPTO_FAILED;
        fake.status = status;
        assert_int_equal(open_migration(), ESP_ERR_SELF_REFLASHER_REFUSED);
        assert_int_equal(plan.refusal,
                         signature ? ESP_SELF_REFLASHER_REFUSED_SIGNATURE : ESP_SELF_REFLASHER_REFUSED_FORMAT);
        assert_string_equal(plan.refusal_text, sr_bundle_status_text(status));
        assert_int_equal(fake.admissions, 0);
    }
}

static void bundle_of_another_chip_is_refused(void **state)
{
    (void)state;
    fake.admitted = ESP_SELF_REFLASHER_REFUSED_CHIP;
    assert_int_equal(open_migration(), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_CHIP);
    assert_string_equal(plan.refusal_text, "100% of another chip");
    assert_int_equal(plan.sequence, 9);
    assert_int_equal(fake.allocations, 0);
}

static void limit_of_the_driver_is_raised_only_for_a_larger_flash(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        fake.min_flash_size = FLASH_SIZE - 1 + i;
        assert_int_equal(open_migration(), ESP_OK);
        assert_int_equal(fake.extended, i == 2);
    }
}

/* What it works with. */

static void map_writer_and_record_are_those_of_the_chip(void **state)
{
    (void)state;
    for (unsigned encryption = 0; encryption < 2; encryption++) {
        fake.encryption = encryption != 0;
        assert_int_equal(sr_migration_open(&migration, &config, &plan), ESP_OK);
        assert_ptr_equal(migration.config, &config);
        assert_ptr_equal(migration.plan, &plan);
        assert_int_equal(migration.scan.map.count, SECTORS);
        assert_int_equal(migration.scan.map.row,
                         encryption != 0 ? migration.system.chip->encryption_row : SR_PAGE_SIZE);
        for (uint32_t i = 0; i < SECTORS; i++) {
            assert_int_equal(migration.scan.map.flags[i], 0);
        }
        assert_int_equal(migration.scan.mark_found, SR_NO_ADDRESS);
        assert_int_equal(migration.choice.mark.address, SR_NO_ADDRESS);
        assert_int_equal(migration.run.journal.address, SR_NO_ADDRESS);
        assert_ptr_equal(migration.run.journal.list, migration.buffers->list);
        assert_ptr_equal(migration.run.journal.flash, &migration.system.flash);
        assert_int_equal(migration.target.size, FLASH_SIZE);
        assert_int_equal(migration.target.encryption, encryption != 0);
        assert_ptr_equal(migration.writer.flash, &migration.target);
        assert_ptr_equal(migration.writer.readback, migration.buffers->readback);
        assert_int_equal(migration.writer.attempts, SR_WRITER_ATTEMPTS);
        assert_true(migration.writer.yield == sr_yield);
        sr_migration_close(&migration);
    }
}

static void all_of_it_is_freed(void **state)
{
    (void)state;
    static sr_flash_layout_t some;
    assert_int_equal(sr_migration_open(&migration, &config, &plan), ESP_OK);
    migration.run.journal.digests = allocate(1, 1);
    migration.scan.moves.list = allocate(1, 1);
    migration.scan.moves.count = 1;
    layout = &some;
    migration.target.layout = layout;
    assert_int_equal(fake.live, 4);
    for (unsigned i = 0; i < 2; i++) { /* Once more does no harm. */
        sr_migration_close(&migration);
        assert_int_equal(fake.live, 0);
        assert_int_equal(fake.layouts_freed, 1);
        assert_int_equal(fake.decoders_closed, i + 1);
        assert_int_equal(fake.manifests_freed, i + 1);
        assert_int_equal(fake.sources_closed, i + 1);
    }
    assert_int_equal(migration.scan.moves.count, 0);
}

/* What the app is told and asked. */

static void app_is_told_of_retries(void **state)
{
    (void)state;
    for (unsigned callback = 0; callback < 2; callback++) {
        config.user_ctx = &context;
        config.event_cb = callback != 0 ? on_event : NULL;
        assert_int_equal(open_migration(), ESP_OK);
        fake.events = fake.posts = 0;
        migration.input.source.downloaded = 1234;
        migration.input.source.retries = 3;
        migration.input.source.on_retry(migration.input.source.retry_context);
        assert_int_equal(fake.posts, 1);
        assert_int_equal(fake.events, callback);
    }
    assert_int_equal(fake.event, ESP_SELF_REFLASHER_EVENT_RETRY);
    assert_int_equal(fake.data.bytes_downloaded, 1234);
    assert_int_equal(fake.data.retries, 3);
}

static void app_is_asked_or_the_supply_looked_at(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        const bool asks = (i & 1) != 0;
        config.user_ctx = &context;
        config.may_commit = asks ? may_commit : NULL;
        fake.questions = 0;
        fake.answer = (i & 2) != 0;
        fake.steady = (i & 4) != 0;
        assert_int_equal(open_migration(), ESP_OK);
        assert_int_equal(sr_migration_may_commit(&migration), asks ? fake.answer : fake.steady);
        assert_int_equal(fake.questions, asks);
    }
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bundle_is_signed_or_said_to_be_not),
        TEST(embedded_bundle_lies_inside_the_flash),
        TEST(source_is_as_the_config_says),
        TEST(each_error_ends_it),
        TEST(manifest_is_refused_for_its_signature_or_its_format),
        TEST(bundle_of_another_chip_is_refused),
        TEST(limit_of_the_driver_is_raised_only_for_a_larger_flash),
        TEST(map_writer_and_record_are_those_of_the_chip),
        TEST(all_of_it_is_freed),
        TEST(app_is_told_of_retries),
        TEST(app_is_asked_or_the_supply_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
