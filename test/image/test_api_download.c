// SPDX-License-Identifier: Apache-2.0
/** @file
 * Download mode over real connections: good servers of every kind, servers that misbehave, several images on one
 * handle, and how few flash operations that takes.
 */
#include "test/support/api_support.h"

#include "format/sr_sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR SR_SECTOR_SIZE

/* Sizes of the images that are served, none a multiple of a sector or of an encryption unit. */
#define BIG_SIZE   0x45678u
#define SMALL_SIZE 0x2345u

static api_server_t server;
static http_server_t tls_server;
static bool have_tls;
static api_chip_t chip;
static api_image_t big, small, boot;

static int start_server(void **state)
{
    (void)state;
    char path[2][64];
    api_server_start(&server);
    big = api_noise(BIG_SIZE, 1);
    small = api_noise(SMALL_SIZE, 2);
    boot = api_mcuboot();
    api_server_put(&server, "big.bin", big);
    api_server_put(&server, "small.bin", small);
    api_server_put(&server, "boot.bin", boot);
    have_tls =
        http_server_make_certificates(server.folder, "right") && http_server_make_certificates(server.folder, "wrong");
    snprintf(path[0], sizeof(path[0]), "%s/right.pem", server.folder);
    snprintf(path[1], sizeof(path[1]), "%s/right.key", server.folder);
    return have_tls && !http_server_start(&tls_server, server.folder, path[0], path[1]);
}

static int stop_server(void **state)
{
    (void)state;
    if (have_tls) {
        http_server_stop(&tls_server);
    }
    api_server_stop(&server);
    api_image_free(&big);
    api_image_free(&small);
    api_image_free(&boot);
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

static void reopen(api_options_t options)
{
    api_chip_close(&chip);
    api_chip_open(&chip, &options);
}

static const char *url(const char *path)
{
    return api_server_url(&server, path);
}

static void assert_ok(esp_err_t err)
{
    if (err != ESP_OK) {
        fail_msg("%s", esp_self_reflasher_err_to_name(err));
    }
}

static esp_self_reflasher_handle_t init(const api_download_t *download)
{
    esp_self_reflasher_handle_t handle = NULL;
    assert_ok(esp_self_reflasher_init(&download->config, &handle));
    return handle;
}

static void download_and_copy(esp_self_reflasher_handle_t handle)
{
    assert_ok(esp_self_reflasher_download_bin(handle));
    assert_ok(esp_self_reflasher_copy_to_region(handle));
}

static void next(esp_self_reflasher_handle_t handle, const char *path, uint32_t address, size_t size)
{
    api_download_t download;
    api_download_to(&download, url(path), address, size);
    assert_ok(esp_self_reflasher_upd_next_config(&download.config, handle));
}

/* Staging is ota_0, the running app is in ota_2. */
static void assert_big_in_data(void)
{
    const sr_region_t changed[] = {{API_OTA_0, API_SLOT_SIZE}, {API_DATA, 0x50000}};
    api_assert_holds(&chip, changed[1], big);
    api_assert_same_outside(&chip, changed, 2);
    api_assert_no_leak(0);
}

/* Good servers. */

static void every_kind_of_good_answer_is_understood(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/big.bin",
        "/norange/big.bin",
        "/nolength/big.bin",
        "/chunked/big.bin",
        "/chunked/big.bin?n=1",
        "/chunked/big.bin?n=100000",
        "/close/big.bin",
        "/keepalive-close/big.bin",
        "/slow/big.bin?ms=20&n=60000",
        "/redirect?to=/big.bin",
        "/redirect?to=/big.bin&code=301",
        "/redirect?to=/big.bin&code=307",
        "/redirect?to=/big.bin&code=308",
        "/redirect?to=/chunked/big.bin",
        "/redirect?to=/redirect%3Fto%3D/big.bin",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        api_download_t download;
        memset(nor_flash_bytes(chip.flash) + API_OTA_0, 0, API_SLOT_SIZE);
        memset(nor_flash_bytes(chip.flash) + API_DATA, 0, 0x50000);
        api_chip_snapshot(&chip);
        api_download_to(&download, url(paths[i]), API_DATA, 0x50000);
        assert_ok(api_run_download(&download.config));
        assert_big_in_data();
    }
}

static void absolute_redirect_to_another_server_is_followed(void **state)
{
    (void)state;
    http_server_t other;
    char path[128];
    api_download_t download;
    assert_true(http_server_start(&other, server.folder, NULL, NULL));
    snprintf(path, sizeof(path), "/redirect?to=%s", http_server_url(&other, "/big.bin"));
    api_download_to(&download, url(path), API_DATA, 0x50000);
    assert_ok(api_run_download(&download.config));
    assert_big_in_data();
    assert_int_equal(http_server_requests(&other), 1);
    http_server_stop(&other);
}

static void redirects_end_where_the_config_says(void **state)
{
    (void)state;
    api_download_t download;
    const size_t before = http_server_requests(&server.http);
    api_download_to(&download, url("/redirect-loop"), API_DATA, 0x50000);
    download.http.max_redirection_count = 3;
    assert_int_equal(api_run_download(&download.config), ESP_ERR_HTTP_MAX_REDIRECT);
    assert_int_equal(http_server_requests(&server.http) - before, 4);
    api_assert_untouched(&chip);
    api_assert_no_leak(0);
}

static void basic_and_digest_authentication_work(void **state)
{
    (void)state;
    static const char *const paths[] = {"/auth/big.bin", "/digest/big.bin"};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned announced = 0; announced < 2; announced++) {
            const esp_http_client_auth_type_t type = i == 0 ? HTTP_AUTH_TYPE_BASIC : HTTP_AUTH_TYPE_DIGEST;
            api_download_t download;
            api_download_to(&download, url(paths[i]), API_DATA, 0x50000);
            download.http.username = "user";
            download.http.password = "secret";
            download.http.auth_type = announced ? type : HTTP_AUTH_TYPE_NONE;
            memset(nor_flash_bytes(chip.flash) + API_DATA, 0, 0x50000);
            api_chip_snapshot(&chip);
            assert_ok(api_run_download(&download.config));
            assert_big_in_data();
            download.http.password = "wrong";
            api_chip_snapshot(&chip);
            assert_int_equal(api_run_download(&download.config), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
            api_assert_untouched(&chip);
            api_assert_no_leak(0);
        }
    }
}

static api_image_t read_text(const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%s", server.folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    api_image_t text = {.bytes = calloc(1, 0x10000), .length = 0};
    assert_non_null(text.bytes);
    text.length = fread(text.bytes, 1, 0xFFFF, file);
    fclose(file);
    return text;
}

static void tls_server_must_have_a_certificate_of_the_right_authority(void **state)
{
    (void)state;
    if (!have_tls) {
        print_message("skipped: no certificates could be made: is there an openssl?\n");
        skip();
    }
    api_image_t right = read_text("right-ca.pem");
    api_image_t wrong = read_text("wrong-ca.pem");
    api_download_t download;
    api_download_to(&download, http_server_url(&tls_server, "/big.bin"), API_DATA, 0x50000);
    download.http.cert_pem = (const char *)wrong.bytes;
    assert_int_equal(api_run_download(&download.config), ESP_ERR_HTTP_CONNECT);
    download.http.cert_pem = NULL;
    assert_int_not_equal(api_run_download(&download.config), ESP_OK);
    download.http.cert_pem = (const char *)right.bytes;
    download.http.common_name = "nobody.example";
    assert_int_equal(api_run_download(&download.config), ESP_ERR_HTTP_CONNECT);
    api_assert_untouched(&chip);
    download.http.common_name = NULL;
    assert_ok(api_run_download(&download.config));
    assert_big_in_data();
    api_image_free(&right);
    api_image_free(&wrong);
}

/* The caller's configuration is used as it is. */

typedef struct heard {
    size_t bytes;
    size_t longest;
    unsigned connected, disconnected, headers;
} heard_t;

static esp_err_t on_event(esp_http_client_event_t *event)
{
    heard_t *heard = event->user_data;
    heard->connected += event->event_id == HTTP_EVENT_ON_CONNECTED;
    heard->disconnected += event->event_id == HTTP_EVENT_DISCONNECTED;
    heard->headers += event->event_id == HTTP_EVENT_ON_HEADER;
    if (event->event_id == HTTP_EVENT_ON_DATA) {
        heard->bytes += (size_t)event->data_len;
        heard->longest = heard->longest > (size_t)event->data_len ? heard->longest : (size_t)event->data_len;
    }
    return ESP_OK;
}

static void event_handler_hears_all_of_it(void **state)
{
    (void)state;
    heard_t heard = {0};
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    download.http.event_handler = on_event;
    download.http.user_data = &heard;
    download.http.buffer_size = 300;
    assert_ok(api_run_download(&download.config));
    assert_int_equal(heard.bytes, BIG_SIZE);
    assert_true(heard.longest <= 300);
    assert_int_equal(heard.connected, 1);
    assert_int_equal(heard.disconnected, 1);
    assert_true(heard.headers > 0);
    assert_int_equal(sim_counters()->bytes_downloaded, BIG_SIZE);
    assert_big_in_data();
}

static void config_may_be_gone_after_init(void **state)
{
    (void)state;
    api_download_t *download = malloc(sizeof(*download));
    assert_non_null(download);
    api_download_to(download, url("/big.bin"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(download);
    memset(download, 0xA5, sizeof(*download));
    free(download);
    download_and_copy(handle);
    assert_ok(esp_self_reflasher_deinit(handle));
    assert_big_in_data();
}

static void init_asks_no_server(void **state)
{
    (void)state;
    api_download_t download;
    const size_t before = http_server_requests(&server.http);
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    assert_int_equal(http_server_requests(&server.http), before);
    api_assert_untouched(&chip);
    download_and_copy(handle);
    assert_int_equal(http_server_requests(&server.http), before + 1);
    assert_ok(esp_self_reflasher_deinit(handle));
}

typedef struct progress {
    size_t done[3], total[3];
    unsigned calls[3], total_changed;
    bool went_back, went_over;
} progress_t;

static void on_progress(void *user_ctx, esp_self_reflasher_phase_t phase, size_t done, size_t total)
{
    progress_t *progress = user_ctx;
    progress->went_back = progress->went_back || done < progress->done[phase];
    progress->went_over = progress->went_over || (total != 0 && done > total);
    progress->total_changed += progress->calls[phase] > 0 && progress->total[phase] != total;
    progress->done[phase] = done;
    progress->total[phase] = total;
    progress->calls[phase]++;
}

static void progress_grows_to_the_total(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool announced;
    } cases[] = {{"/big.bin", true}, {"/nolength/big.bin", false}, {"/chunked/big.bin", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        progress_t progress = {0};
        api_download_t download;
        api_download_to(&download, url(cases[i].path), API_DATA, 0x50000);
        download.config.progress_cb = on_progress;
        download.config.user_ctx = &progress;
        esp_self_reflasher_handle_t handle = init(&download);
        assert_ok(esp_self_reflasher_download_bin(handle));
        assert_int_equal(progress.done[ESP_SELF_REFLASHER_PHASE_DOWNLOAD], BIG_SIZE);
        assert_int_equal(progress.total[ESP_SELF_REFLASHER_PHASE_DOWNLOAD], BIG_SIZE);
        assert_true(progress.calls[ESP_SELF_REFLASHER_PHASE_DOWNLOAD] >= BIG_SIZE / SECTOR);
        assert_int_equal(progress.done[ESP_SELF_REFLASHER_PHASE_CHECK], BIG_SIZE);
        assert_int_equal(progress.total[ESP_SELF_REFLASHER_PHASE_CHECK], BIG_SIZE);
        assert_int_equal(progress.calls[ESP_SELF_REFLASHER_PHASE_COPY], 0);
        assert_false(progress.went_back);
        progress.done[ESP_SELF_REFLASHER_PHASE_CHECK] = 0; /* The copy checks the image once more. */
        assert_ok(esp_self_reflasher_copy_to_region(handle));
        assert_int_equal(progress.done[ESP_SELF_REFLASHER_PHASE_COPY], 0x50000);
        assert_int_equal(progress.total[ESP_SELF_REFLASHER_PHASE_COPY], 0x50000);
        assert_false(progress.went_back);
        assert_false(progress.went_over);
        /* What is not announced is 0 until the last byte tells it. */
        assert_int_equal(progress.total_changed, cases[i].announced ? 0 : 1);
        assert_ok(esp_self_reflasher_deinit(handle));
    }
}

static void digest_of_the_image_is_accepted(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    api_download_t download;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, big.bytes, big.length);
    assert_int_equal(sr_sha256_finish(&sha, digest), 0);
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    download.config.sha256 = digest;
    assert_ok(api_run_download(&download.config));
    assert_big_in_data();
}

/* Servers that misbehave in the middle: staging may hold anything, the rest of the flash what it held. */

static const sr_region_t staging = {API_OTA_0, API_SLOT_SIZE};

static void body_that_breaks_off_stays_in_staging(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        esp_err_t expected;
    } cases[] = {
        {"/short/big.bin?n=100000", ESP_ERR_SELF_REFLASHER_SHORT_BODY},
        {"/drop/big.bin?after=100000", ESP_ERR_SELF_REFLASHER_SHORT_BODY},
        {"/chunked-short/big.bin", ESP_ERR_SELF_REFLASHER_SHORT_BODY},
        {"/chunked-short/big.bin?n=10000", ESP_ERR_SELF_REFLASHER_SHORT_BODY},
        {"/stall/big.bin?after=100000", ESP_ERR_HTTP_EAGAIN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        api_download_to(&download, url(cases[i].path), API_DATA, 0x50000);
        if (cases[i].expected == ESP_ERR_HTTP_EAGAIN) {
            download.http.timeout_ms = 200;
        }
        esp_self_reflasher_handle_t handle = init(&download);
        assert_int_equal(esp_self_reflasher_download_bin(handle), cases[i].expected);
        assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_ERR_INVALID_STATE);
        api_assert_same_outside(&chip, &staging, 1);
        assert_int_equal(sim_counters()->open_clients, 0);
        /* What came before the end is a start that another try does not have to write again. */
        next(handle, "/big.bin", API_DATA, 0x50000);
        download_and_copy(handle);
        assert_ok(esp_self_reflasher_deinit(handle));
        assert_big_in_data();
        memset(nor_flash_bytes(chip.flash) + API_DATA, 0, 0x50000);
        api_chip_snapshot(&chip);
    }
}

static void same_handle_works_once_the_server_does(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/flaky/big.bin?fail=3"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_not_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
        api_assert_untouched(&chip);
    }
    download_and_copy(handle);
    assert_ok(esp_self_reflasher_deinit(handle));
    assert_big_in_data();
}

static void slow_server_is_waited_for(void **state)
{
    (void)state;
    api_download_t download;
    /* Longer in total than the timeout, which is for each wait. */
    api_download_to(&download, url("/slow/small.bin?ms=40&n=200"), API_DATA, 0x50000);
    download.http.timeout_ms = 1500;
    assert_ok(api_run_download(&download.config));
    api_assert_holds(&chip, (sr_region_t){API_DATA, 0x50000}, small);
}

static void encoding_that_was_not_asked_for_is_not_decoded(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/encoded/big.bin"), API_DATA, 0x50000);
    assert_ok(api_run_download(&download.config));
    assert_big_in_data();
}

/* No more flash operations than needed. */

static void same_again_changes_nothing(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    assert_ok(api_run_download(&download.config));
    api_chip_snapshot(&chip);
    assert_ok(api_run_download(&download.config));
    api_assert_untouched(&chip);
    /* Not by another URL either. */
    api_download_to(&download, url("/chunked/big.bin"), API_DATA, 0x50000);
    assert_ok(api_run_download(&download.config));
    api_assert_untouched(&chip);
}

static void rest_of_a_broken_download_is_all_that_is_staged(void **state)
{
    (void)state;
    api_download_t download;
    memset(nor_flash_bytes(chip.flash) + API_OTA_0, 0xFF, API_SLOT_SIZE);
    api_chip_snapshot(&chip);
    api_download_to(&download, url("/short/big.bin?n=200000"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_ERR_SELF_REFLASHER_SHORT_BODY);
    const uint32_t first = nor_flash_stats(chip.flash).page_programs;
    next(handle, "/big.bin", API_DATA, 0x50000);
    assert_ok(esp_self_reflasher_download_bin(handle));
    const uint32_t second = nor_flash_stats(chip.flash).page_programs - first;
    assert_true(first >= 200000 / SR_PAGE_SIZE / 2);
    assert_true(second <= (BIG_SIZE - 200000) / SR_PAGE_SIZE + 2 * SECTOR / SR_PAGE_SIZE);
    /* One erase, of the first sector, so that what has arrived is unusable. */
    assert_int_equal(nor_flash_stats(chip.flash).sector_erases, 1);
    assert_ok(esp_self_reflasher_deinit(handle));
}

static uint32_t used_pages(api_image_t image)
{
    uint32_t used = 0;
    for (size_t page = 0; page < image.length; page += SR_PAGE_SIZE) {
        bool blank = true;
        for (size_t i = page; i < page + SR_PAGE_SIZE && i < image.length; i++) {
            blank = blank && image.bytes[i] == 0xFF;
        }
        used += !blank;
    }
    return used;
}

static void blocks_are_erased_at_once_and_blank_pages_not_programmed(void **state)
{
    (void)state;
    api_download_t download;
    assert_true(used_pages(big) < big.length / SR_PAGE_SIZE);
    memset(nor_flash_bytes(chip.flash) + API_DATA, 0, 0x50000);
    memset(nor_flash_bytes(chip.flash) + API_OTA_0, 0, API_SLOT_SIZE);
    api_chip_snapshot(&chip);
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    assert_ok(esp_self_reflasher_download_bin(handle));
    nor_stats_t stats = nor_flash_stats(chip.flash);
    assert_int_equal(stats.page_programs, used_pages(big));
    assert_int_equal(stats.block_erases, 5);
    assert_int_equal(stats.sector_erases, 0);
    api_chip_snapshot(&chip);
    assert_ok(esp_self_reflasher_copy_to_region(handle));
    stats = nor_flash_stats(chip.flash);
    assert_int_equal(stats.page_programs, used_pages(big));
    assert_int_equal(stats.block_erases, 5);
    assert_int_equal(stats.sector_erases, 0);
    assert_ok(esp_self_reflasher_deinit(handle));
}

static void blank_staging_and_destination_are_not_erased(void **state)
{
    (void)state;
    api_download_t download;
    memset(nor_flash_bytes(chip.flash) + API_DATA, 0xFF, 0x50000);
    memset(nor_flash_bytes(chip.flash) + API_OTA_0, 0xFF, API_SLOT_SIZE);
    api_chip_snapshot(&chip);
    api_download_to(&download, url("/chunked/big.bin"), API_DATA, 0x50000);
    assert_ok(api_run_download(&download.config));
    assert_int_equal(nor_flash_stats(chip.flash).block_erases, 0);
    assert_int_equal(nor_flash_stats(chip.flash).sector_erases, 0);
    assert_big_in_data();
}

/* Several images on one handle. */

static bool region_has(uint32_t address, api_image_t image)
{
    return memcmp(nor_flash_view(chip.flash) + address, image.bytes, image.length) == 0;
}

static void next_image_is_staged_after_the_previous_one(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    download_and_copy(handle);
    next(handle, "/small.bin", API_DATA + 0x50000, 0x3000);
    download_and_copy(handle);
    next(handle, "/boot.bin", API_BOOTLOADER, 0x7000);
    download_and_copy(handle);
    assert_ok(esp_self_reflasher_deinit(handle));

    assert_true(region_has(API_OTA_0, big));
    assert_true(region_has(API_OTA_0 + 0x46000, small));
    assert_true(region_has(API_OTA_0 + 0x46000 + 0x3000, boot));
    api_assert_holds(&chip, (sr_region_t){API_DATA, 0x50000}, big);
    api_assert_holds(&chip, (sr_region_t){API_DATA + 0x50000, 0x3000}, small);
    api_assert_holds(&chip, (sr_region_t){API_BOOTLOADER, 0x7000}, boot);
    const sr_region_t changed[] = {staging, {API_DATA, 0x53000}, {API_BOOTLOADER, 0x7000}};
    api_assert_same_outside(&chip, changed, 3);
    api_assert_no_leak(0);
}

static void staging_starts_again_where_the_next_image_does_not_fit_after(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/small.bin"), API_DATA, 0x10000);
    download.config.target_partition = api_partition("ota_3"); /* 64 KiB. */
    esp_self_reflasher_handle_t handle = init(&download);
    download_and_copy(handle);
    next(handle, "/boot.bin", API_DATA + 0x10000, 0xD000);
    download_and_copy(handle);
    assert_true(region_has(API_OTA_3 + 0x3000, boot));
    next(handle, "/small.bin", API_DATA + 0x20000, 0x8000);
    download_and_copy(handle);
    assert_true(region_has(API_OTA_3, small));
    assert_ok(esp_self_reflasher_deinit(handle));
    const sr_region_t changed[] = {{API_OTA_3, 0x10000}, {API_DATA, 0x28000}};
    api_assert_same_outside(&chip, changed, 2);
}

static void staging_moves_where_the_next_destination_overlaps_it(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    download_and_copy(handle);
    next(handle, "/small.bin", API_OTA_0 + 0x80000, 0x3000);
    download_and_copy(handle);
    assert_true(region_has(API_OTA_1, small));
    api_assert_holds(&chip, (sr_region_t){API_OTA_0 + 0x80000, 0x3000}, small);
    assert_true(region_has(API_OTA_0, big));
    /* Too large for ota_3 with its 64 KiB, so from there back to a larger one, by the caller's wish. */
    download.config.target_partition = api_partition("ota_3");
    download.config.dest_region = (addr_region_t){API_DATA + 0x60000, 0x10000};
    download.http.url = url("/small.bin");
    assert_ok(esp_self_reflasher_upd_next_config(&download.config, handle));
    download_and_copy(handle);
    assert_true(region_has(API_OTA_3, small));
    assert_ok(esp_self_reflasher_deinit(handle));
}

/* The place of the first image must not be taken for a free slot to stage the second one in. */
static void destination_of_an_earlier_image_is_never_staging(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_OTA_1, API_SLOT_SIZE);
    esp_self_reflasher_handle_t handle = init(&download);
    download_and_copy(handle);
    api_download_to(&download, url("/small.bin"), API_OTA_0, SECTOR * 3);
    const esp_err_t err = esp_self_reflasher_upd_next_config(&download.config, handle);
    if (err == ESP_OK) {
        download_and_copy(handle);
        api_assert_holds(&chip, (sr_region_t){API_OTA_0, 3 * SECTOR}, small);
    } else {
        assert_int_equal(err, ESP_ERR_SELF_REFLASHER_NO_STAGING);
    }
    api_assert_holds(&chip, (sr_region_t){API_OTA_1, API_SLOT_SIZE}, big);
    assert_ok(esp_self_reflasher_deinit(handle));
}

static void image_may_be_downloaded_and_never_copied(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    assert_ok(esp_self_reflasher_download_bin(handle));
    next(handle, "/small.bin", API_DATA, 0x3000);
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_ERR_INVALID_STATE);
    download_and_copy(handle);
    assert_ok(esp_self_reflasher_deinit(handle));
    const sr_region_t changed[] = {staging, {API_DATA, 0x3000}};
    api_assert_holds(&chip, changed[1], small);
    api_assert_same_outside(&chip, changed, 2);
}

static void many_images_on_one_handle_leak_nothing(void **state)
{
    (void)state;
    static const char *const paths[] = {"/small.bin", "/boot.bin", "/404", "/chunked/small.bin"};
    api_download_t download;
    api_download_to(&download, url("/small.bin"), API_DATA, 0x10000);
    esp_self_reflasher_handle_t handle = init(&download);
    const uint32_t heap = sim_counters()->heap_now;
    for (unsigned i = 0; i < 60; i++) {
        next(handle, paths[i % 4], API_DATA + i % 7 * 0x10000, 0x10000);
        const esp_err_t err = esp_self_reflasher_download_bin(handle);
        assert_int_equal(err, i % 4 == 2 ? ESP_ERR_SELF_REFLASHER_HTTP_STATUS : ESP_OK);
        if (err == ESP_OK) {
            assert_ok(esp_self_reflasher_copy_to_region(handle));
            api_assert_holds(&chip, (sr_region_t){API_DATA + i % 7 * 0x10000, 0x10000}, i % 4 == 1 ? boot : small);
        }
        api_assert_no_leak(heap);
    }
    assert_ok(esp_self_reflasher_deinit(handle));
    const sr_region_t changed[] = {staging, {API_DATA, 0x70000}};
    api_assert_same_outside(&chip, changed, 2);
}

/* Whatever it is for: a caller that names it gives up its content. */
static void data_partition_takes_the_staged_image(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        const char *path;
        uint32_t address;
        bool encrypted;
    } cases[] = {
        {"data", "/big.bin", API_DATA, false},
        {"nvs", "/small.bin", API_NVS, false},
        {"data", "/big.bin", API_DATA, true},
        {"nvs", "/small.bin", API_NVS, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reopen((api_options_t){.flash_encryption = cases[i].encrypted});
        api_download_t download;
        const esp_partition_t *partition = api_partition(cases[i].label);
        api_download_to(&download, url(cases[i].path), API_OTA_1, API_SLOT_SIZE);
        download.config.target_partition = partition;
        assert_ok(api_run_download(&download.config));
        const api_image_t image = cases[i].address == API_NVS ? small : big;
        uint8_t *plain = api_chip_plain(&chip);
        assert_memory_equal(plain + API_OTA_1, image.bytes, image.length);
        free(plain);
        const sr_region_t changed[] = {{cases[i].address, partition->size}, {API_OTA_1, API_SLOT_SIZE}};
        api_assert_same_outside(&chip, changed, 2);
    }
}

/* Memory. */

static void peak_of_heap_is_small(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    assert_ok(api_run_download(&download.config));
    print_message("peak heap, image elsewhere: %u bytes\n", sim_counters()->heap_peak);
    assert_true(sim_counters()->heap_peak <= 16 * 1024);
    api_download_to(&download, url("/boot.bin"), API_BOOTLOADER, 0x7000);
    assert_ok(api_run_download(&download.config));
    print_message("peak heap, image for the bootloader's place: %u bytes\n", sim_counters()->heap_peak);
    assert_true(sim_counters()->heap_peak <= 48 * 1024);
}

static void every_failing_allocation_is_told(void **state)
{
    (void)state;
    const sr_region_t changed[] = {staging, {API_BOOTLOADER, 0x7000}};
    uint32_t failures = 0;
    for (;; failures++) {
        api_download_t download;
        api_download_to(&download, url("/boot.bin"), API_BOOTLOADER, 0x7000);
        sim_heap_fail_at(failures + 1);
        const esp_err_t err = api_run_download(&download.config);
        sim_heap_fail_at(0);
        if (err == ESP_OK) {
            break;
        }
        assert_int_equal(err, ESP_ERR_NO_MEM);
        api_assert_same_outside(&chip, changed, 1);
        api_assert_no_leak(0);
    }
    assert_true(failures > 3);
    api_assert_holds(&chip, changed[1], boot);
    api_assert_same_outside(&chip, changed, 2);
}

/* A copy that failed for want of memory can be repeated without another download. */
static void copy_is_repeated_once_there_is_memory(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/boot.bin"), API_BOOTLOADER, 0x7000);
    esp_self_reflasher_handle_t handle = init(&download);
    assert_ok(esp_self_reflasher_download_bin(handle));
    api_chip_snapshot(&chip);
    sim_heap_fail_at(2);
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    api_assert_untouched(&chip);
    assert_ok(esp_self_reflasher_copy_to_region(handle));
    api_assert_holds(&chip, (sr_region_t){API_BOOTLOADER, 0x7000}, boot);
    assert_ok(esp_self_reflasher_deinit(handle));
}

/* Flash that fails, and flash that is encrypted. */

static void failing_flash_never_passes_for_success(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (uint32_t seed = 0; seed < 30; seed++) {
        memset(nor_flash_bytes(chip.flash) + API_DATA, 0, 0x50000);
        memset(nor_flash_bytes(chip.flash) + API_OTA_0, 0, 0x50000);
        api_chip_snapshot(&chip);
        nor_flash_set_faults(chip.flash, (nor_faults_t){.seed = seed,
                                                        .program_per_million = 10000,
                                                        .erase_per_million = seed % 2 == 0 ? 0 : 20000,
                                                        .heal_after = seed % 3 == 0 ? 2 : 0});
        api_download_t download;
        api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
        const esp_err_t err = api_run_download(&download.config);
        nor_flash_set_faults(chip.flash, (nor_faults_t){0});
        if (err == ESP_OK) {
            assert_big_in_data();
        } else {
            assert_true(seed % 3 != 0);
            assert_true(err == ESP_ERR_SELF_REFLASHER_VERIFY || err == ESP_ERR_TIMEOUT);
            failed++;
        }
        const sr_region_t changed[] = {staging, {API_DATA, 0x50000}};
        api_assert_same_outside(&chip, changed, 2);
    }
    assert_true(failed > 0 && failed < 20);
}

static void failed_copy_is_repeated_on_the_same_handle(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_DATA, 0x50000);
    esp_self_reflasher_handle_t handle = init(&download);
    assert_ok(esp_self_reflasher_download_bin(handle));
    nor_flash_set_faults(chip.flash,
                         (nor_faults_t){.program_per_million = 1000000, .single = true, .address = API_DATA + 0x12345});
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_ERR_SELF_REFLASHER_VERIFY);
    nor_flash_set_faults(chip.flash, (nor_faults_t){0});
    assert_ok(esp_self_reflasher_copy_to_region(handle));
    assert_ok(esp_self_reflasher_deinit(handle));
    assert_big_in_data();
}

static void encrypted_flash_is_written_through_the_encrypted_calls(void **state)
{
    (void)state;
    reopen((api_options_t){.flash_encryption = true});
    api_download_t download;
    api_download_to(&download, url("/big.bin"), API_OTA_1, 0x50000);
    assert_ok(api_run_download(&download.config));
    api_download_to(&download, url("/boot.bin"), API_BOOTLOADER, 0x7000);
    assert_ok(api_run_download(&download.config));
    api_download_to(&download, url("/small.bin"), API_DATA, 0x3000);
    assert_ok(api_run_download(&download.config));
    uint8_t *plain = api_chip_plain(&chip);
    assert_memory_equal(plain + API_OTA_1, big.bytes, big.length);
    assert_memory_equal(plain + API_BOOTLOADER, boot.bytes, boot.length);
    free(plain);
    const uint8_t *raw = nor_flash_view(chip.flash);
    assert_memory_not_equal(raw + API_OTA_1, big.bytes, 16);
    assert_memory_not_equal(raw + API_BOOTLOADER, boot.bytes, 16);
    api_assert_holds(&chip, (sr_region_t){API_DATA, 0x3000}, small);
    for (uint32_t i = API_OTA_1 + BIG_SIZE + 32; i < API_OTA_1 + 0x50000; i++) {
        assert_int_equal(raw[i], 0xFF);
    }
    const sr_region_t changed[] = {staging, {API_OTA_1, 0x50000}, {API_BOOTLOADER, 0x7000}, {API_DATA, 0x3000}};
    api_assert_same_outside(&chip, changed, 4);
    api_chip_snapshot(&chip);
    api_download_to(&download, url("/small.bin"), API_DATA, 0x3000);
    assert_ok(api_run_download(&download.config));
    api_assert_untouched(&chip);
}

#define ON_CHIP(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CHIP(every_kind_of_good_answer_is_understood),
        ON_CHIP(absolute_redirect_to_another_server_is_followed),
        ON_CHIP(redirects_end_where_the_config_says),
        ON_CHIP(basic_and_digest_authentication_work),
        ON_CHIP(tls_server_must_have_a_certificate_of_the_right_authority),
        ON_CHIP(event_handler_hears_all_of_it),
        ON_CHIP(config_may_be_gone_after_init),
        ON_CHIP(init_asks_no_server),
        ON_CHIP(progress_grows_to_the_total),
        ON_CHIP(digest_of_the_image_is_accepted),
        ON_CHIP(body_that_breaks_off_stays_in_staging),
        ON_CHIP(same_handle_works_once_the_server_does),
        ON_CHIP(slow_server_is_waited_for),
        ON_CHIP(encoding_that_was_not_asked_for_is_not_decoded),
        ON_CHIP(same_again_changes_nothing),
        ON_CHIP(rest_of_a_broken_download_is_all_that_is_staged),
        ON_CHIP(blocks_are_erased_at_once_and_blank_pages_not_programmed),
        ON_CHIP(blank_staging_and_destination_are_not_erased),
        ON_CHIP(next_image_is_staged_after_the_previous_one),
        ON_CHIP(staging_starts_again_where_the_next_image_does_not_fit_after),
        ON_CHIP(staging_moves_where_the_next_destination_overlaps_it),
        ON_CHIP(destination_of_an_earlier_image_is_never_staging),
        ON_CHIP(image_may_be_downloaded_and_never_copied),
        ON_CHIP(many_images_on_one_handle_leak_nothing),
        ON_CHIP(data_partition_takes_the_staged_image),
        ON_CHIP(peak_of_heap_is_small),
        ON_CHIP(every_failing_allocation_is_told),
        ON_CHIP(copy_is_repeated_once_there_is_memory),
        ON_CHIP(failing_flash_never_passes_for_success),
        ON_CHIP(failed_copy_is_repeated_on_the_same_handle),
        ON_CHIP(encrypted_flash_is_written_through_the_encrypted_calls),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
