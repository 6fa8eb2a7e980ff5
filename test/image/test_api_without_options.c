// SPDX-License-Identifier: Apache-2.0
/** @file
 * The API built without its options: the running app is refused as a destination, unless there is another slot that it
 * can move to, and so is a server.
 */
#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "net/sr_http.h"
#include "self_reflasher_bundle.h"

#include "flash/sr_copy.h"
#include "relocate/sr_relocation_methods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void running_app_is_refused_untouched(void **state)
{
    (void)state;
    api_chip_t chip;
    api_chip_open(&chip, &(api_options_t){.logs = true, .lone_slot = true});
    api_image_t app = api_app(0x30000);
    const uint32_t last = API_OTA_2 + ((uint32_t)app.length - 1) / SR_SECTOR_SIZE * SR_SECTOR_SIZE;
    const sr_region_t refused[] = {
        {API_OTA_2, API_SLOT_SIZE},
        {API_OTA_2 - SR_SECTOR_SIZE, 2 * SR_SECTOR_SIZE},
        {last, SR_SECTOR_SIZE},
    };
    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, 1, refused[i].address, refused[i].size);
        api_log_start();
        const esp_err_t err = esp_self_reflasher_directly_copy_to_region(&config);
        char *log = api_log_stop();
        assert_int_equal(err, ESP_ERR_SELF_REFLASHER_RUNNING_APP);
        char address[16];
        snprintf(address, sizeof(address), "0x%x", refused[i].address);
        api_assert_error_line(log, "CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP is off", address, NULL);
        api_assert_error_line(log, "CONFIG_SELF_REFLASHER_TEMPORARY_TABLE is off", address, NULL);
        free(log);
        api_assert_untouched(&chip);
        api_assert_no_leak(0);
    }
    api_image_free(&app);
    api_chip_close(&chip);
}

static void bundle_is_refused_even_if_it_may(void **state)
{
    (void)state;
    api_chip_t chip;
    api_chip_open(&chip, &(api_options_t){.lone_slot = true});
    api_image_t app = api_app(0x20000);
    uint8_t *bytes = NULL;
    size_t size = 0;
    const bundle_region_t region = {.place = {API_OTA_2, API_SLOT_SIZE}, .data = app.bytes, .length = app.length};
    const bundle_spec_t spec = {
        .min_flash_size = API_FLASH_SIZE, .partition_table_offset = API_TABLE, .regions = &region, .region_count = 1};
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    api_chip_put(&chip, API_DATA, bytes, size);
    memset(nor_flash_bytes(chip.flash) + API_OTA_2 + 0x80000, 0xFF, 0x40000);
    api_chip_snapshot(&chip);
    const esp_self_reflasher_bundle_config_t config = {.embedded = {API_DATA, size},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED |
                                                                ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE |
                                                                ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE};
    esp_self_reflasher_plan_t plan;
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, &plan), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP);
    assert_non_null(strstr(plan.refusal_text, "CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP is off"));
    assert_non_null(strstr(plan.refusal_text, "CONFIG_SELF_REFLASHER_TEMPORARY_TABLE is off"));
    api_assert_untouched(&chip);
    api_assert_no_leak(0);
    free(bytes);
    api_image_free(&app);
    api_chip_close(&chip);
}

static void what_a_server_has_is_refused_untouched(void **state)
{
    (void)state;
    api_chip_t chip;
    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    esp_self_reflasher_plan_t plan;
    api_chip_open(&chip, &(api_options_t){.logs = true});
    api_download_to(&download, "http://127.0.0.1/", API_OTA_1, SR_SECTOR_SIZE);
    const esp_self_reflasher_bundle_config_t config = {.http_config = &download.http,
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    api_log_start();
    const esp_err_t planned = esp_self_reflasher_plan_bundle(&config, &plan);
    const esp_err_t applied = esp_self_reflasher_apply_bundle(&config, &plan);
    const esp_err_t opened = esp_self_reflasher_init(&download.config, &handle);
    const esp_err_t downloaded = esp_self_reflasher_download_bin(handle);
    char *log = api_log_stop();
    assert_int_equal(planned, ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(applied, ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(opened, ESP_OK);
    assert_int_equal(downloaded, ESP_ERR_NOT_SUPPORTED);
    api_assert_error_line(log, "CONFIG_SELF_REFLASHER_HTTP is off", NULL);
    free(log);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_assert_untouched(&chip);
    api_chip_close(&chip);
}

/* Whoever asks for it all the same. */
static void what_is_left_out_is_not_supported(void **state)
{
    (void)state;
    api_chip_t chip;
    api_chip_open(&chip, &(api_options_t){.lone_slot = true});
    const sr_relocation_request_t request = {0};
    sr_relocation_t proposal = {.method = &sr_relocation_temporary_table, .address = UINT32_MAX};
    sr_copy_t copy = {0};
    assert_int_equal(sr_copy_execute_in_place(&copy), ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(sr_relocation_execute(&request, &proposal), ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(proposal.method->propose(proposal.method, &request, &proposal), ESP_OK);
    assert_int_equal(proposal.missing, UINT32_MAX);
    api_assert_untouched(&chip);
    api_chip_close(&chip);
}

/* Nobody who asks in spite of that takes what was in memory for an answer. */
static void without_http_nothing_comes_from_a_server(void **state)
{
    (void)state;
    sr_http_t http;
    sr_http_answer_t answer;
    uint8_t bytes[4];
    uint32_t got = 4;
    memset(&http, 0x5A, sizeof(http));
    memset(&answer, 0x5A, sizeof(answer));
    assert_int_equal(sr_http_open(&http), ESP_ERR_NOT_SUPPORTED);
    assert_null(http.client);
    assert_null(http.timer);
    assert_int_equal(sr_http_start_over(&http), ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(sr_http_set_header(&http, "Range", "bytes=0-1"), ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(sr_http_request(&http, &answer), ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(answer.status, 0);
    assert_int_equal(answer.length, -1);
    assert_int_equal(sr_http_read(&http, bytes, sizeof(bytes), &got), ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(got, 0);
    assert_false(sr_http_is_complete(&http));
    sr_http_disconnect(&http);
    sr_http_close(&http);
}

static void copy_in_child(void *config)
{
    (void)esp_self_reflasher_directly_copy_to_region(config);
}

static void with_a_free_slot_it_moves_out_of_the_way(void **state)
{
    (void)state;
    api_chip_t chip;
    api_chip_open(&chip, NULL);
    api_image_t app = api_app(0x30000);
    esp_self_reflasher_config_t config = api_embedded(API_OTA_1, SR_SECTOR_SIZE, API_OTA_2, SR_SECTOR_SIZE);
    assert_int_equal(sim_call(copy_in_child, &config), SIM_END_RESTART);
    sim_counters()->heap_now = 0; /* It is gone with the child process. */
    const uint32_t size = (uint32_t)sr_region_align_up((uint32_t)app.length, SR_SECTOR_SIZE);
    const sr_region_t changed[] = {{API_OTA_0, size}, {API_OTADATA, 2 * SR_SECTOR_SIZE}};
    api_assert_same_outside(&chip, changed, 2);
    assert_memory_equal(nor_flash_view(chip.flash) + API_OTA_0, chip.before + API_OTA_2, size);
    api_image_free(&app);
    api_chip_close(&chip);
}

static void its_neighbours_are_accepted(void **state)
{
    (void)state;
    api_chip_t chip;
    api_chip_open(&chip, NULL);
    api_image_t app = api_app(0x30000);
    const uint32_t after = API_OTA_2 + (uint32_t)sr_region_align_up((uint32_t)app.length, SR_SECTOR_SIZE);
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0, 1, after, SR_SECTOR_SIZE);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    config.dest_region.region_address = API_OTA_2 - SR_SECTOR_SIZE;
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    api_image_free(&app);
    api_chip_close(&chip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_app_is_refused_untouched),
        cmocka_unit_test(bundle_is_refused_even_if_it_may),
        cmocka_unit_test(what_a_server_has_is_refused_untouched),
        cmocka_unit_test(without_http_nothing_comes_from_a_server),
        cmocka_unit_test(what_is_left_out_is_not_supported),
        cmocka_unit_test(with_a_free_slot_it_moves_out_of_the_way),
        cmocka_unit_test(its_neighbours_are_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
