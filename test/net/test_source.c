// SPDX-License-Identifier: Apache-2.0
/** @file
 * Bytes by offset, from flash and from servers of every kind: that they are the right ones, and how many requests,
 * connections and retries they cost.
 */
#include "test/support/api_support.h"

#include "net/sr_source.h"

#include <stdlib.h>
#include <string.h>

#define FILE_SIZE 300000u

static api_server_t server;
static api_chip_t chip;
static api_image_t file;
static esp_http_client_config_t http;
static sr_source_t source;
static unsigned retries_told;

static int start_server(void **state)
{
    (void)state;
    api_server_start(&server);
    file = api_noise(FILE_SIZE, 31);
    api_server_put(&server, "f.bin", file);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    api_server_stop(&server);
    api_image_free(&file);
    return 0;
}

static int open_chip(void **state)
{
    (void)state;
    api_chip_open(&chip, NULL);
    retries_told = 0;
    return 0;
}

/* A test that has failed leaves no connection to the next one either. */
static int close_chip(void **state)
{
    (void)state;
    sr_source_close(&source);
    api_chip_close(&chip);
    return 0;
}

static void on_retry(void *context)
{
    assert_ptr_equal(context, &source);
    retries_told++;
}

static void open_url(const char *path, uint32_t max_retries)
{
    http =
        (esp_http_client_config_t){.url = api_server_url(&server, path), .timeout_ms = 5000, .keep_alive_enable = true};
    source = (sr_source_t){.http = &http, .max_retries = max_retries, .on_retry = on_retry, .retry_context = &source};
    assert_int_equal(sr_source_open(&source), ESP_OK);
}

/* Reads [offset, offset + length) in pieces, and compares. */
static esp_err_t read_on(uint32_t offset, uint32_t length, uint32_t piece)
{
    static uint8_t buffer[FILE_SIZE];
    for (uint32_t done = 0; done < length;) {
        const uint32_t step = length - done < piece ? length - done : piece;
        memset(buffer, 0, step);
        const esp_err_t err = sr_source_read(&source, buffer, step);
        if (err != ESP_OK) {
            return err;
        }
        assert_memory_equal(buffer, file.bytes + offset + done, step);
        done += step;
    }
    return ESP_OK;
}

static esp_err_t read_at(uint32_t offset, uint32_t length, uint32_t piece)
{
    sr_source_seek(&source, offset, offset + length);
    return read_on(offset, length, piece);
}

/* Flash. */

static void open_flash(uint32_t address)
{
    api_chip_put(&chip, address, file.bytes, file.length);
    source = (sr_source_t){.flash = {.size = API_FLASH_SIZE}, .region = {address, FILE_SIZE}};
    assert_int_equal(sr_source_open(&source), ESP_OK);
}

static void region_of_flash_is_read_at_any_offset(void **state)
{
    (void)state;
    open_flash(API_DATA + 0x123);
    assert_int_equal(read_at(0, FILE_SIZE, 4096), ESP_OK);
    assert_int_equal(read_at(77, 1000, 33), ESP_OK);
    assert_int_equal(read_at(FILE_SIZE - 1, 1, 1), ESP_OK);
    assert_int_equal(source.downloaded, 0);
    api_assert_untouched(&chip);
}

static void nothing_past_the_end_is_read(void **state)
{
    (void)state;
    uint8_t byte;
    open_flash(API_DATA);
    assert_int_equal(read_at(FILE_SIZE, 1, 1), ESP_ERR_INVALID_SIZE);
    assert_int_equal(read_at(FILE_SIZE - 10, 11, 11), ESP_ERR_INVALID_SIZE);
    sr_source_seek(&source, 10, 20);
    assert_int_equal(read_on(10, 10, 10), ESP_OK);
    assert_int_equal(sr_source_read(&source, &byte, 1), ESP_ERR_INVALID_SIZE);
    sr_source_seek(&source, UINT32_MAX, UINT32_MAX);
    assert_int_equal(sr_source_read(&source, &byte, 1), ESP_ERR_INVALID_SIZE);
}

/* Servers. */

static void reads_that_go_on_need_one_request(void **state)
{
    (void)state;
    open_url("/f.bin", 0);
    const size_t requests = http_server_requests(&server.http);
    assert_int_equal(read_at(1000, 200000, 777), ESP_OK);
    assert_int_equal(http_server_requests(&server.http) - requests, 1);
    assert_int_equal(source.downloaded, 200000);
}

static void seeks_share_a_connection(void **state)
{
    (void)state;
    static const uint32_t offsets[] = {0, 250000, 100000, 299999 - 4096, 50000};
    open_url("/f.bin", 0);
    const size_t requests = http_server_requests(&server.http);
    const size_t connections = http_server_connections(&server.http);
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        assert_int_equal(read_at(offsets[i], 4096, 512), ESP_OK);
    }
    assert_int_equal(http_server_requests(&server.http) - requests, 5);
    /* Asking for the numbers takes a connection, too. */
    assert_true(http_server_connections(&server.http) - connections <= 1 + 2);
    assert_int_equal(source.downloaded, 5 * 4096);
    assert_int_equal(source.retries, 0);
}

static void small_gap_is_read_over_and_a_large_one_is_not(void **state)
{
    (void)state;
    open_url("/f.bin", 0);
    const size_t requests = http_server_requests(&server.http);
    sr_source_seek(&source, 0, 100000);
    assert_int_equal(read_on(0, 1000, 500), ESP_OK);
    sr_source_seek(&source, 2000, 100000);
    assert_int_equal(read_on(2000, 1000, 500), ESP_OK);
    assert_int_equal(http_server_requests(&server.http) - requests, 1);
    assert_int_equal(source.downloaded, 3000);
    sr_source_seek(&source, 50000, 100000);
    assert_int_equal(read_on(50000, 1000, 500), ESP_OK);
    assert_int_equal(http_server_requests(&server.http) - requests, 2);
    /* Going back is another request in any case. */
    sr_source_seek(&source, 50000, 100000);
    assert_int_equal(read_on(50000, 1000, 500), ESP_OK);
    assert_int_equal(http_server_requests(&server.http) - requests, 3);
}

static void server_that_ignores_ranges_will_do(void **state)
{
    (void)state;
    open_url("/norange/f.bin", 0);
    const size_t requests = http_server_requests(&server.http);
    assert_int_equal(read_at(1000, 3000, 512), ESP_OK);
    assert_int_equal(read_at(200000, 3000, 512), ESP_OK);
    assert_int_equal(http_server_requests(&server.http) - requests, 1);
    assert_int_equal(source.downloaded, 203000);
    assert_int_equal(read_at(0, 3000, 512), ESP_OK);
    assert_int_equal(http_server_requests(&server.http) - requests, 2);
}

static void every_kind_of_body_will_do(void **state)
{
    (void)state;
    static const char *const paths[] = {"/nolength/f.bin", "/chunked/f.bin",         "/chunked/f.bin?n=1",
                                        "/close/f.bin",    "/keepalive-close/f.bin", "/redirect?to=/f.bin"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        open_url(paths[i], 0);
        assert_int_equal(read_at(100, 5000, 512), ESP_OK);
        assert_int_equal(read_at(20000, 5000, 512), ESP_OK);
        assert_int_equal(read_at(3, 5000, 4096), ESP_OK);
        assert_int_equal(source.retries, 0);
        sr_source_close(&source);
    }
}

/* Failures. */

static void broken_connection_goes_on_where_it_broke(void **state)
{
    (void)state;
    open_url("/cut/f.bin?every=50000", 1);
    assert_int_equal(read_at(1000, 290000, 1000), ESP_OK);
    assert_int_equal(source.retries, 5);
    assert_int_equal(retries_told, 5);
    assert_int_equal(source.downloaded, 290000);
}

static void busy_server_is_asked_again(void **state)
{
    (void)state;
    open_url("/busy/f.bin?every=2", 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(read_at(i * 50000, 5000, 1000), ESP_OK);
    }
    assert_true(source.retries >= 3);
}

/* Only failures without progress in between count against the limit. */
static void retries_are_bounded(void **state)
{
    (void)state;
    open_url("/cut/f.bin?every=1000", 2); /* Less than what counts as progress. */
    assert_int_equal(read_at(0, 20000, 500), ESP_ERR_SELF_REFLASHER_SHORT_BODY);
    assert_int_equal(source.retries, 2);
    assert_int_equal(retries_told, 2);
    sr_source_close(&source);
    open_url("/cut/f.bin?every=1000", 0);
    assert_int_equal(read_at(0, 20000, 500), ESP_ERR_SELF_REFLASHER_SHORT_BODY);
    assert_int_equal(source.retries, 0);
    sr_source_close(&source);
    open_url("/hangup", 1);
    assert_int_not_equal(read_at(0, 100, 100), ESP_OK);
    assert_int_equal(source.retries, 1);
}

static void what_another_try_does_not_cure_is_told_at_once(void **state)
{
    (void)state;
    open_url("/missing.bin", 5);
    assert_int_equal(read_at(0, 100, 100), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
    sr_source_close(&source);
    open_url("/redirect-loop", 5);
    assert_int_equal(read_at(0, 100, 100), ESP_ERR_HTTP_MAX_REDIRECT);
    sr_source_close(&source);
    open_url("/f.bin", 5);
    assert_int_equal(read_at(FILE_SIZE, 100, 100), ESP_ERR_INVALID_SIZE);
    sr_source_close(&source);
    open_url("/norange/f.bin", 5);
    assert_int_equal(read_at(FILE_SIZE, 100, 100), ESP_ERR_INVALID_SIZE);
    assert_int_equal(retries_told, 0);
}

/* After an error the same source can be used again. */
static void source_can_be_used_after_an_error(void **state)
{
    (void)state;
    open_url("/flaky/f.bin?fail=1", 0);
    assert_int_not_equal(read_at(0, 100, 100), ESP_OK);
    assert_int_equal(read_at(0, 100000, 1000), ESP_OK);
}

static void random_reads_are_right_from_every_server(void **state)
{
    (void)state;
    static const char *const paths[] = {"/f.bin", "/norange/f.bin", "/cut/f.bin?every=30000", "/close/f.bin"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        uint64_t random = 100 + i;
        open_url(paths[i], 3);
        for (unsigned k = 0; k < 20; k++) {
            const uint32_t offset = (uint32_t)(api_random(&random) % FILE_SIZE);
            const uint32_t length = 1 + (uint32_t)(api_random(&random) % (FILE_SIZE - offset)) / 4;
            assert_int_equal(read_at(offset, length, 1 + (uint32_t)(api_random(&random) % 5000)), ESP_OK);
        }
        sr_source_close(&source);
    }
}

static void without_memory_for_a_client_it_does_not_open(void **state)
{
    (void)state;
    http = (esp_http_client_config_t){.url = NULL};
    source = (sr_source_t){.http = &http};
    assert_int_equal(sr_source_open(&source), ESP_ERR_NO_MEM);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(region_of_flash_is_read_at_any_offset),
        TEST(nothing_past_the_end_is_read),
        TEST(reads_that_go_on_need_one_request),
        TEST(seeks_share_a_connection),
        TEST(small_gap_is_read_over_and_a_large_one_is_not),
        TEST(server_that_ignores_ranges_will_do),
        TEST(every_kind_of_body_will_do),
        TEST(broken_connection_goes_on_where_it_broke),
        TEST(busy_server_is_asked_again),
        TEST(retries_are_bounded),
        TEST(what_another_try_does_not_cure_is_told_at_once),
        TEST(source_can_be_used_after_an_error),
        TEST(random_reads_are_right_from_every_server),
        TEST(without_memory_for_a_client_it_does_not_open),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
