// SPDX-License-Identifier: Apache-2.0
/** @file
 * Servers that never stop sending and never finish: every call returns. A test that fails does not end.
 */
#include "test/support/api_support.h"

#include "self_reflasher_bundle.h"

#include <stdlib.h>

#define STALL_MS 300u

static api_chip_t chip;
static api_server_t server;

static int start_server(void **state)
{
    (void)state;
    api_server_start(&server);
    api_image_t file = api_noise(0x20000, 3);
    api_server_put(&server, "f.bin", file);
    api_image_free(&file);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    api_server_stop(&server);
    return 0;
}

static int open_chip(void **state)
{
    (void)state;
    api_chip_open(&chip, NULL);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    api_chip_close(&chip);
    return 0;
}

static esp_err_t fetch_bundle(const esp_http_client_config_t *http)
{
    esp_self_reflasher_plan_t plan;
    const esp_self_reflasher_bundle_config_t config = {.http_config = http,
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
                                                       .max_retries = 1,
                                                       .stall_timeout_ms = STALL_MS};
    return esp_self_reflasher_plan_bundle(&config, &plan);
}

static esp_err_t fetch_image(const esp_http_client_config_t *http)
{
    api_download_t download;
    api_download_to(&download, http->url, API_DATA, 0x20000);
    download.http = *http;
    download.config.stall_timeout_ms = STALL_MS;
    return api_run_download(&download.config);
}

/* Bytes come more often than either limit on a single wait. */
static void server_that_drips_does_not_hold_a_call(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/drip-headers?ms=20",
        "/drip/f.bin?ms=20",
        "/redirect?to=/drip-headers?ms=20",
        "/redirect?to=/drip/f.bin?ms=20",
    };
    static const int timeouts[] = {5000, 0, -1, 100};
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        for (unsigned k = 0; k < sizeof(timeouts) / sizeof(timeouts[0]); k++) {
            const esp_http_client_config_t http = {.url = api_server_url(&server, paths[i]), .timeout_ms = timeouts[k]};
            assert_int_equal(fetch_bundle(&http), ESP_ERR_SELF_REFLASHER_TOO_SLOW);
            assert_int_equal(fetch_image(&http), ESP_ERR_SELF_REFLASHER_TOO_SLOW);
            api_assert_no_leak(0);
        }
    }
    api_assert_same_outside(&chip, (sr_region_t[]){{API_OTA_0, API_SLOT_SIZE}}, 1);
}

/* What came quickly is no credit for what comes later, a little past SR_HTTP_PROGRESS or far. */
static void server_that_begins_to_drip_does_not_hold_a_call(void **state)
{
    (void)state;
    static const char *const paths[] = {"/drip/f.bin?ms=20&after=4000", "/drip/f.bin?ms=20&after=4100",
                                        "/drip/f.bin?ms=20&after=50000"};
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const esp_http_client_config_t http = {.url = api_server_url(&server, paths[i]), .timeout_ms = 5000};
        assert_int_equal(fetch_image(&http), ESP_ERR_SELF_REFLASHER_TOO_SLOW);
    }
}

/* A server that sends nothing does not either, to a client which would wait for ever. */
static void silent_server_does_not_hold_a_call(void **state)
{
    (void)state;
    static const char *const paths[] = {"/silent", "/stall/f.bin?after=10"};
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const esp_http_client_config_t http = {.url = api_server_url(&server, paths[i]), .timeout_ms = -1};
        assert_int_equal(fetch_bundle(&http), ESP_ERR_SELF_REFLASHER_TOO_SLOW);
        assert_int_equal(fetch_image(&http), ESP_ERR_SELF_REFLASHER_TOO_SLOW);
    }
}

/* All of it takes several times as long as 4 KiB may take. */
static void slow_server_that_gets_somewhere_will_do(void **state)
{
    (void)state;
    const esp_http_client_config_t http = {.url = api_server_url(&server, "/slow/f.bin?ms=50&n=4096"),
                                           .timeout_ms = 5000};
    assert_int_equal(fetch_image(&http), ESP_OK);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_that_drips_does_not_hold_a_call),
        TEST(server_that_begins_to_drip_does_not_hold_a_call),
        TEST(silent_server_does_not_hold_a_call),
        TEST(slow_server_that_gets_somewhere_will_do),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
