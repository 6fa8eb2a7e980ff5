// SPDX-License-Identifier: Apache-2.0
/** @file
 * Where redirects may lead, for both APIs: not away from https, and back to the first URL once they have expired.
 */
#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "self_reflasher_bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FILE_SIZE 0x28000u

static api_chip_t chip;
static api_server_t server;
static http_server_t tls;
static char *certificate;
static size_t file_size;

static char *read_certificate(void)
{
    char path[64];
    char *text = calloc(1, 8192);
    snprintf(path, sizeof(path), "%s/right-ca.pem", server.folder);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, 8191, file) > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* One file serves as both: a bundle, and an image whose bytes are not checked. */
static int start_servers(void **state)
{
    char cert[64];
    char key[64];
    (void)state;
    api_image_t content = api_noise(FILE_SIZE, 8);
    const bundle_region_t region = {.place = {API_DATA, FILE_SIZE}, .data = content.bytes, .length = content.length};
    const bundle_spec_t spec = {
        .min_flash_size = API_FLASH_SIZE, .partition_table_offset = API_TABLE, .regions = &region, .region_count = 1};
    uint8_t *bundle = NULL;
    api_server_start(&server);
    assert_int_equal(bundle_write(&spec, &bundle, &file_size), BUNDLE_WRITE_OK);
    api_server_put(&server, "f.srb", (api_image_t){bundle, file_size});
    free(bundle);
    api_image_free(&content);
    assert_true(http_server_make_certificates(server.folder, "right"));
    snprintf(cert, sizeof(cert), "%s/right.pem", server.folder);
    snprintf(key, sizeof(key), "%s/right.key", server.folder);
    assert_true(http_server_start(&tls, server.folder, cert, key));
    certificate = read_certificate();
    return 0;
}

static int stop_servers(void **state)
{
    (void)state;
    http_server_stop(&tls);
    api_server_stop(&server);
    free(certificate);
    return 0;
}

static int open_chip(void **state)
{
    const api_options_t options = {.logs = true};
    (void)state;
    api_chip_open(&chip, &options);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    api_chip_close(&chip);
    return 0;
}

/* The two ways to fetch something. */

static esp_err_t fetch_bundle(const esp_http_client_config_t *http, bool allow_http)
{
    esp_self_reflasher_plan_t plan;
    const esp_self_reflasher_bundle_config_t config = {
        .http_config = http,
        .flags =
            ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED | (allow_http ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_HTTP_REDIRECT : 0),
        .max_retries = 2};
    return esp_self_reflasher_plan_bundle(&config, &plan);
}

static esp_err_t apply_bundle(const esp_http_client_config_t *http, bool allow_http)
{
    esp_self_reflasher_plan_t plan;
    const esp_self_reflasher_bundle_config_t config = {
        .http_config = http,
        .flags =
            ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED | (allow_http ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_HTTP_REDIRECT : 0),
        .max_retries = 2};
    return esp_self_reflasher_apply_bundle(&config, &plan);
}

static esp_err_t fetch_image(const esp_http_client_config_t *http, bool allow_http)
{
    api_download_t download;
    esp_self_reflasher_handle_t handle;
    api_download_to(&download, http->url, API_DATA, FILE_SIZE + 0x8000u);
    download.http = *http;
    download.config.flags = allow_http ? ESP_SELF_REFLASHER_FLAG_ALLOW_HTTP_REDIRECT : 0;
    esp_err_t err = esp_self_reflasher_init(&download.config, &handle);
    if (err == ESP_OK) {
        err = esp_self_reflasher_download_bin(handle);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    }
    return err;
}

typedef esp_err_t (*fetch_t)(const esp_http_client_config_t *http, bool allow_http);

static const fetch_t fetches[] = {fetch_bundle, apply_bundle, fetch_image};
#define FETCHES (sizeof(fetches) / sizeof(fetches[0]))

/* "%P" and "%S" stand for the plain server and the one with TLS, "%p" and "%s" for their ports. */
static char *expand(const char *pattern, char *out, size_t size)
{
    size_t length = 0;
    for (const char *from = pattern; *from != '\0'; from++) {
        const http_server_t *which = strchr("Pp", from[1]) != NULL ? &server.http : &tls;
        if (*from != '%') {
            length += (size_t)snprintf(out + length, size - length, "%c", *from);
            continue;
        }
        from++;
        length += (size_t)(*from == 'P' || *from == 'S'
                               ? snprintf(out + length, size - length, "%s", http_server_url(which, ""))
                               : snprintf(out + length, size - length, "127.0.0.1:%u", which->port));
    }
    return out;
}

static esp_err_t fetch_from(fetch_t fetch, const char *pattern, bool allow_http)
{
    char url[512];
    const esp_http_client_config_t http = {
        .url = expand(pattern, url, sizeof(url)), .timeout_ms = 5000, .cert_pem = certificate};
    return fetch(&http, allow_http);
}

/* Schemes. */

static void https_is_not_left(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "%S/redirect?to=%P/f.srb",
        "%S/redirect?code=301&to=%P/f.srb",
        "%S/redirect?code=303&to=%P/f.srb",
        "%S/redirect?code=307&to=%P/f.srb",
        "%S/redirect?code=308&to=%P/f.srb",
        "%S/redirect?to=HTTP://%p/f.srb",
        "%S/redirect?to=hTtP://user:secret@%p/f.srb",
        "%S/redirect?to=http://https:https@%p/https://f.srb",
        "%S/redirect?to=http://%s/f.srb",
        "%S/redirect?to=ftp://%p/f.srb",
        "%S/redirect?to=%S/redirect?to=%P/f.srb",
        "%S/redirect?to=/redirect?to=%P/f.srb",
        "%S/redirect?to=%P/redirect?to=%S/f.srb",
        "%P/redirect?to=%S/redirect?to=%P/f.srb",
        "HTTPS://%s/redirect?to=%P/f.srb",
    };
    for (unsigned i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        for (unsigned k = 0; k < FETCHES; k++) {
            const size_t before = http_server_requests(&server.http);
            api_log_start();
            const esp_err_t err = fetch_from(fetches[k], urls[i], false);
            char *log = api_log_stop();
            if (err != ESP_ERR_SELF_REFLASHER_DOWNGRADE) {
                fail_msg("%s, way %u: %s\n%s", urls[i], k, esp_self_reflasher_err_to_name(err), log);
            }
            api_assert_error_line(log, "redirect leads from https to ", NULL);
            free(log);
            assert_int_equal(http_server_requests(&server.http) - before, urls[i][1] == 'P');
            api_assert_untouched(&chip);
        }
    }
}

static void other_redirects_are_followed(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "%S/redirect?to=%S/f.srb",
        "%S/redirect?to=/f.srb",
        "%S/redirect?to=//%p/f.srb",
        "%S/redirect?to=HTTPS://%s/f.srb",
        "%P/redirect?to=%S/f.srb",
        "%P/redirect?to=%P/f.srb",
        "%P/redirect?to=%P/redirect?to=%S/redirect?to=/f.srb",
    };
    for (unsigned i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        for (unsigned k = 0; k < FETCHES; k += 2) {
            const esp_err_t err = fetch_from(fetches[k], urls[i], false);
            if (err != ESP_OK) {
                fail_msg("%s, way %u: %s", urls[i], k, esp_self_reflasher_err_to_name(err));
            }
        }
    }
}

/* Only http: no other scheme comes with it. */
static void config_can_allow_http(void **state)
{
    (void)state;
    for (unsigned k = 0; k < FETCHES; k++) {
        assert_int_equal(fetch_from(fetches[k], "%S/redirect?to=ftp://%p/f.srb", true),
                         ESP_ERR_SELF_REFLASHER_DOWNGRADE);
        assert_int_equal(fetch_from(fetches[k], "%S/redirect?to=%P/f.srb", true), ESP_OK);
        assert_int_equal(fetch_from(fetches[k], "%P/redirect?to=%S/redirect?to=HTTP://%p/f.srb", true), ESP_OK);
    }
}

/* Redirects that expire. */

/* Each URL that a redirect leads to is good for two requests; a bundle takes more. */
static void redirect_that_has_run_out_is_asked_for_again(void **state)
{
    (void)state;
    static const int codes[] = {400, 401, 403, 404, 410, 416, 451};
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char url[128];
        snprintf(url, sizeof(url), "%%P/signed/f.srb?for=1&code=%d", codes[i]);
        memset(nor_flash_bytes(chip.flash) + API_DATA, 0, FILE_SIZE);
        assert_int_equal(fetch_from(apply_bundle, url, false), ESP_OK);
    }
}

static void redirect_that_never_works_ends(void **state)
{
    (void)state;
    const size_t before = http_server_requests(&server.http);
    assert_int_equal(fetch_from(fetch_bundle, "%P/redirect?to=/status?code=403", false),
                     ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
    assert_int_equal(http_server_requests(&server.http) - before, 2 * (1 + 2));
    const size_t between = http_server_requests(&server.http);
    assert_int_equal(fetch_from(fetch_image, "%P/redirect?to=/404", false), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
    assert_int_equal(http_server_requests(&server.http) - between, 2 * 2);
    api_assert_untouched(&chip);
}

/* The first redirect leads to what has expired, the second one to what has not. */
static void image_is_asked_for_once_more(void **state)
{
    (void)state;
    static const int codes[] = {403, 404, 410};
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char url[128];
        snprintf(url, sizeof(url), "%%P/stale/f.srb?code=%d", codes[i]);
        assert_int_equal(fetch_from(fetch_image, url, false), ESP_OK);
        snprintf(url, sizeof(url), "%%P/stale/f.srb?way=bundle&code=%d", codes[i]);
        assert_int_equal(fetch_from(fetch_bundle, url, false), ESP_OK);
    }
}

/* What a server says of itself is no matter of the URL that the redirect gave. */
static void image_is_asked_for_once_more_after_each_error_of_a_client(void **state)
{
    (void)state;
    static const struct {
        int code;
        size_t requests;
    } cases[] = {{400, 2 * 2}, {402, 2 * 2}, {498, 2 * 2}, {499, 2 * 2}, {500, 2}, {501, 2}, {599, 2}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char url[128];
        snprintf(url, sizeof(url), "%%P/redirect?to=/status?code=%d", cases[i].code);
        const size_t before = http_server_requests(&server.http);
        assert_int_equal(fetch_from(fetch_image, url, false), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
        assert_int_equal(http_server_requests(&server.http) - before, cases[i].requests);
    }
    api_assert_untouched(&chip);
}

static void refusal_without_redirect_is_final(void **state)
{
    (void)state;
    for (unsigned k = 0; k < FETCHES; k++) {
        const size_t before = http_server_requests(&server.http);
        assert_int_equal(fetch_from(fetches[k], "%P/status?code=403", false), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
        assert_int_equal(http_server_requests(&server.http) - before, 1);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(https_is_not_left),
        TEST(other_redirects_are_followed),
        TEST(config_can_allow_http),
        TEST(redirect_that_has_run_out_is_asked_for_again),
        TEST(redirect_that_never_works_ends),
        TEST(image_is_asked_for_once_more),
        TEST(image_is_asked_for_once_more_after_each_error_of_a_client),
        TEST(refusal_without_redirect_is_final),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
