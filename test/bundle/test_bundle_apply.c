// SPDX-License-Identifier: Apache-2.0
#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "self_reflasher_bundle.h"
#include "sim/chip/sim_state.h"

#include <stdlib.h>
#include <string.h>

#define BOOTLOADER_ROOM 0x7000u

/* A chip that runs from ota_2, and a server with one bundle: another bootloader, and an app for ota_0. */
typedef struct fixture {
    api_chip_t chip;
    api_server_t server;
    api_image_t bootloader;
    api_image_t app;
    esp_http_client_config_t http;
    esp_self_reflasher_bundle_config_t config;
} fixture_t;

static fixture_t fixture;

static void serve_bundle(const bundle_region_t *regions, unsigned count)
{
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE, /* MCUboot uses none. */
                                .regions = regions,
                                .region_count = count};
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    api_server_put(&fixture.server, "b.srb", (api_image_t){bytes, size});
    free(bytes);
}

static void serve_system(void)
{
    const bundle_region_t regions[] = {
        {.place = {API_BOOTLOADER, BOOTLOADER_ROOM},
         .data = fixture.bootloader.bytes,
         .length = fixture.bootloader.length},
        {.place = {API_OTA_0, API_SLOT_SIZE}, .data = fixture.app.bytes, .length = fixture.app.length},
    };
    serve_bundle(regions, 2);
}

static int setup(void **state)
{
    const api_options_t options = {.logs = getenv("API_LOGS") != NULL};
    (void)state;
    fixture = (fixture_t){.bootloader = api_mcuboot(), .app = api_app(0x20000)};
    api_chip_open(&fixture.chip, &options);
    api_server_start(&fixture.server);
    fixture.http = (esp_http_client_config_t){.url = api_server_url(&fixture.server, "/b.srb"), .timeout_ms = 2000};
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
    api_image_free(&fixture.app);
    return 0;
}

static void a_bundle_is_applied_and_then_costs_only_reads(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t plan;
    serve_system();
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
    const sr_region_t changed[] = {{API_BOOTLOADER, BOOTLOADER_ROOM}, {API_OTA_0, API_SLOT_SIZE}};
    api_assert_holds(&fixture.chip, changed[0], fixture.bootloader);
    api_assert_holds(&fixture.chip, changed[1], fixture.app);
    api_assert_same_outside(&fixture.chip, changed, 2);
    print_message("peak heap %u, downloaded %u, staged at 0x%x\n", (unsigned)sim_counters()->heap_peak,
                  (unsigned)sim_counters()->bytes_downloaded, (unsigned)plan.staging_address);

    api_chip_snapshot(&fixture.chip);
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &plan), ESP_OK);
    assert_int_equal(plan.sectors_to_write, 0);
    assert_true(plan.installed);
    api_assert_untouched(&fixture.chip);
}

/* What a caller can write to while a call goes on: its plan, its config, and what that points to. */
static struct {
    esp_self_reflasher_plan_t plan;
    bool seen_before_writing;
} hostile;

static void poison(void)
{
    hostile.seen_before_writing |= hostile.plan.sectors_to_write > 100;
    memset(&hostile.plan, 0, sizeof(hostile.plan));
    hostile.plan.staging_address = API_OTA_2;
    hostile.plan.relocation = ESP_SELF_REFLASHER_RELOCATION_SLOT;
    hostile.plan.relocate_to = API_BOOTLOADER;
    fixture.config.public_key = "none";
    fixture.config.flags = ~fixture.config.flags;
    fixture.config.skip_checks = UINT32_MAX;
    fixture.config.embedded = (addr_region_t){API_BOOTLOADER, 0x1000};
    fixture.config.http_config = NULL;
    memset(&fixture.http, 0, sizeof(fixture.http));
}

static void poisoning_event(void *user_ctx, esp_self_reflasher_event_t event,
                            const esp_self_reflasher_event_data_t *data)
{
    (void)user_ctx;
    (void)event;
    (void)data;
    poison();
}

static bool poisoning_question(void *user_ctx)
{
    (void)user_ctx;
    poison();
    return true;
}

static void what_callbacks_write_makes_no_difference(void **state)
{
    (void)state;
    memset(&hostile, 0, sizeof(hostile));
    serve_system();
    fixture.config.event_cb = poisoning_event;
    fixture.config.may_commit = poisoning_question;
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, &hostile.plan), ESP_OK);
    const sr_region_t changed[] = {{API_BOOTLOADER, BOOTLOADER_ROOM}, {API_OTA_0, API_SLOT_SIZE}};
    api_assert_holds(&fixture.chip, changed[0], fixture.bootloader);
    api_assert_holds(&fixture.chip, changed[1], fixture.app);
    api_assert_same_outside(&fixture.chip, changed, 2);
    assert_true(hostile.seen_before_writing);
    assert_true(hostile.plan.sectors_to_write > 100);
    assert_int_equal(hostile.plan.relocation, ESP_SELF_REFLASHER_RELOCATION_NONE);
    assert_true(hostile.plan.staging_address != API_OTA_2);
    assert_int_equal(hostile.plan.relocate_to, UINT32_MAX);
}

/* One call at a time: the first one would not know what a second one changes. */
static unsigned refused_calls;

static void calling_event(void *user_ctx, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    (void)user_ctx;
    (void)event;
    (void)data;
    esp_self_reflasher_plan_t plan;
    assert_int_equal(esp_self_reflasher_plan_bundle(&fixture.config, &plan), ESP_ERR_INVALID_STATE);
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, NULL), ESP_ERR_INVALID_STATE);
    assert_int_equal(esp_self_reflasher_resume(&fixture.config), ESP_ERR_INVALID_STATE);
    refused_calls++;
}

static void calls_from_callbacks_are_refused(void **state)
{
    (void)state;
    esp_self_reflasher_plan_t plan;
    serve_system();
    refused_calls = 0;
    fixture.config.event_cb = calling_event;
    assert_int_equal(esp_self_reflasher_plan_bundle(&fixture.config, &plan), ESP_OK);
    assert_int_equal(esp_self_reflasher_apply_bundle(&fixture.config, NULL), ESP_OK);
    assert_true(refused_calls > 4);
    const sr_region_t changed[] = {{API_BOOTLOADER, BOOTLOADER_ROOM}, {API_OTA_0, API_SLOT_SIZE}};
    api_assert_holds(&fixture.chip, changed[0], fixture.bootloader);
    api_assert_same_outside(&fixture.chip, changed, 2);
    fixture.config.event_cb = NULL;
    assert_int_equal(esp_self_reflasher_resume(&fixture.config), ESP_OK);
}

static void assert_nothing_known(const esp_self_reflasher_plan_t *plan)
{
    esp_self_reflasher_plan_t nothing;
    memset(&nothing, 0, sizeof(nothing));
    assert_int_equal(plan->refusal, ESP_SELF_REFLASHER_REFUSED_NOT);
    assert_string_equal(plan->refusal_text, "");
    assert_int_equal(plan->sectors_total, 0);
    assert_int_equal(plan->sectors_to_write, 0);
    assert_int_equal(plan->relocation, ESP_SELF_REFLASHER_RELOCATION_NONE);
    assert_int_equal(plan->relocate_to, UINT32_MAX);
    assert_int_equal(plan->staging_address, UINT32_MAX);
    assert_int_equal(plan->recovery_address, UINT32_MAX);
    assert_int_equal(plan->sectors_left, 0);
    assert_int_equal(plan->sequence, 0);
    assert_false(plan->installed);
}

static void a_plan_is_defined_after_every_error(void **state)
{
    (void)state;
    static esp_err_t (*const calls[])(const esp_self_reflasher_bundle_config_t *, esp_self_reflasher_plan_t *) = {
        esp_self_reflasher_plan_bundle, esp_self_reflasher_apply_bundle};
    serve_system();
    esp_self_reflasher_bundle_config_t no_key = fixture.config;
    esp_self_reflasher_bundle_config_t no_source = fixture.config;
    esp_self_reflasher_bundle_config_t no_server = fixture.config;
    esp_http_client_config_t nowhere = {.url = api_server_url(&fixture.server, "/no.srb"), .timeout_ms = 2000};
    no_key.flags = 0;
    no_source.http_config = NULL;
    no_server.http_config = &nowhere;
    no_server.max_retries = 1;
    const struct {
        const esp_self_reflasher_bundle_config_t *config;
        esp_err_t error;
    } cases[] = {{NULL, ESP_ERR_INVALID_ARG},
                 {&no_key, ESP_ERR_INVALID_ARG},
                 {&no_source, ESP_ERR_INVALID_ARG},
                 {&no_server, ESP_ERR_SELF_REFLASHER_HTTP_STATUS}};
    for (unsigned call = 0; call < 2; call++) {
        for (unsigned i = 0; i < 4; i++) {
            esp_self_reflasher_plan_t plan;
            memset(&plan, 0x5A, sizeof(plan));
            assert_int_equal(calls[call](cases[i].config, &plan), cases[i].error);
            assert_nothing_known(&plan);
        }
    }
    assert_int_equal(esp_self_reflasher_plan_bundle(&fixture.config, NULL), ESP_ERR_INVALID_ARG);
    api_assert_untouched(&fixture.chip);
}

/* Memory that runs out at the first allocation, the second, ... */
static void a_plan_is_defined_without_memory(void **state)
{
    (void)state;
    serve_system();
    for (uint32_t limit = 0; limit < 64 * 1024; limit += 1024) {
        esp_self_reflasher_plan_t plan;
        memset(&plan, 0x5A, sizeof(plan));
        fixture.chip.config.heap_limit = limit != 0 ? limit : 1;
        sim_state.config.heap_limit = fixture.chip.config.heap_limit;
        const esp_err_t err = esp_self_reflasher_plan_bundle(&fixture.config, &plan);
        assert_true(plan.sectors_total <= API_FLASH_SIZE / SR_SECTOR_SIZE);
        if (err == ESP_OK) {
            return;
        }
        assert_true(plan.refusal == ESP_SELF_REFLASHER_REFUSED_NOT && plan.relocate_to == UINT32_MAX);
        api_assert_no_leak(0);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_callbacks_write_makes_no_difference, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_from_callbacks_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_is_defined_after_every_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_is_defined_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bundle_is_applied_and_then_costs_only_reads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
