// SPDX-License-Identifier: Apache-2.0
/** @file
 * Everything that the API must refuse: the exact error, an error line that names the numbers, not one flash operation,
 * nothing left allocated. And the nearest cases that it must accept.
 */
#include "test/support/api_support.h"

#include "make/image_writer.h"

#include "format/sr_digest.h"
#include "format/sr_sha256.h"

#include "esp_flash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR   SR_SECTOR_SIZE
#define OVERFLOW 0xFFFFF000u
#define MAGIC_AT 0u
#define CHIP_AT  12u

static api_server_t server;
static api_chip_t chip;

/* The checksum is the last byte in front of the 32 of the digest. */
static api_image_t damaged(api_image_t image, size_t at, size_t length)
{
    api_image_t copy = api_copy(image);
    copy.bytes[at] ^= 0x20;
    copy.length = length;
    return copy;
}

static void serve(const char *name, api_image_t image)
{
    api_server_put(&server, name, image);
    api_image_free(&image);
}

static int start_server(void **state)
{
    (void)state;
    api_server_start(&server);
    api_image_t boot = api_mcuboot();
    serve("magic.bin", damaged(boot, MAGIC_AT, boot.length));
    serve("chip.bin", damaged(boot, CHIP_AT, boot.length));
    serve("truncated.bin", damaged(boot, boot.length - 1, boot.length - 0x400));
    /* Damaged code gives a wrong checksum; damage in the digest is seen in the digest only. */
    serve("checksum.bin", damaged(boot, 0x1000, boot.length));
    serve("digest.bin", damaged(boot, boot.length - 1, boot.length));
    serve("boot.bin", boot);
    serve("app.bin", api_app(0x8000));
    serve("sector.bin", api_noise(SECTOR, 1));
    serve("sector+1.bin", api_noise(SECTOR + 1, 2));
    serve("64k.bin", api_noise(0x10000, 3));
    serve("64k+1.bin", api_noise(0x10001, 4));
    serve("empty.bin", (api_image_t){0});
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
    api_chip_open(&chip, &(api_options_t){.logs = true});
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    api_chip_close(&chip);
    return 0;
}

/* A chip other than the one that open_chip() made. */
static void reopen(api_options_t options)
{
    api_chip_close(&chip);
    options.logs = true;
    api_chip_open(&chip, &options);
}

static char *quietly(esp_err_t (*call)(const void *), const void *argument, esp_err_t *err)
{
    api_log_start();
    *err = call(argument);
    return api_log_stop();
}

/* Calls of the API, with one argument each. */

typedef struct with_handle {
    const esp_self_reflasher_config_t *config;
    esp_self_reflasher_handle_t *handle;
} with_handle_t;

static esp_err_t call_init(const void *argument)
{
    const with_handle_t *with = argument;
    return esp_self_reflasher_init(with->config, with->handle);
}

static esp_err_t call_next(const void *argument)
{
    const with_handle_t *with = argument;
    return esp_self_reflasher_upd_next_config(with->config, with->handle != NULL ? *with->handle : NULL);
}

static esp_err_t call_embedded(const void *argument)
{
    return esp_self_reflasher_directly_copy_to_region(argument);
}

static esp_err_t call_download(const void *argument)
{
    return esp_self_reflasher_download_bin((void *)(uintptr_t)argument);
}

static esp_err_t call_copy(const void *argument)
{
    return esp_self_reflasher_copy_to_region((void *)(uintptr_t)argument);
}

static esp_err_t call_deinit(const void *argument)
{
    return esp_self_reflasher_deinit((void *)(uintptr_t)argument);
}

static void expect_error(esp_err_t (*call)(const void *), const void *argument, esp_err_t expected, const char *piece)
{
    esp_err_t err;
    char *log = quietly(call, argument, &err);
    if (err != expected) {
        fail_msg("got %s, wanted %s; log:\n%s", esp_self_reflasher_err_to_name(err),
                 esp_self_reflasher_err_to_name(expected), log);
    }
    api_assert_error_line(log, piece, NULL);
    free(log);
}

static void expect_ok(esp_err_t (*call)(const void *), const void *argument)
{
    esp_err_t err;
    char *log = quietly(call, argument, &err);
    if (err != ESP_OK) {
        fail_msg("got %s; log:\n%s", esp_self_reflasher_err_to_name(err), log);
    }
    free(log);
}

static esp_self_reflasher_handle_t good_handle(void)
{
    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    api_download_to(&download, api_server_url(&server, "/sector.bin"), API_DATA, SECTOR);
    expect_ok(call_init, &(with_handle_t){&download.config, &handle});
    assert_non_null(handle);
    return handle;
}

/* A config that init() and upd_next_config() must refuse; the latter leaves the handle as it was. */
static void expect_refused(const esp_self_reflasher_config_t *config, esp_err_t expected, const char *piece)
{
    char nothing;
    esp_self_reflasher_handle_t handle = &nothing;
    expect_error(call_init, &(with_handle_t){config, &handle}, expected, piece);
    assert_ptr_equal(handle, &nothing);
    api_assert_untouched(&chip);
    api_assert_no_leak(0);

    esp_self_reflasher_handle_t kept = good_handle();
    const uint32_t heap = sim_counters()->heap_now;
    handle = kept;
    expect_error(call_next, &(with_handle_t){config, &handle}, expected, piece);
    assert_ptr_equal(handle, kept);
    api_assert_untouched(&chip);
    api_assert_no_leak(heap);
    expect_error(call_copy, handle, ESP_ERR_INVALID_STATE, "");
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_assert_no_leak(0);
}

static void expect_accepted(const esp_self_reflasher_config_t *config)
{
    esp_self_reflasher_handle_t handle = NULL;
    expect_ok(call_init, &(with_handle_t){config, &handle});
    assert_non_null(handle);
    api_assert_untouched(&chip);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_assert_no_leak(0);
}

static void expect_embedded_refused(const esp_self_reflasher_config_t *config, esp_err_t expected, const char *piece)
{
    expect_error(call_embedded, config, expected, piece);
    api_assert_untouched(&chip);
    api_assert_no_leak(0);
}

static void null_is_refused(void **state)
{
    (void)state;
    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    api_download_to(&download, "http://127.0.0.1/", API_OTA_1, SECTOR);
    expect_error(call_init, &(with_handle_t){NULL, &handle}, ESP_ERR_INVALID_ARG, "NULL");
    expect_error(call_init, &(with_handle_t){&download.config, NULL}, ESP_ERR_INVALID_ARG, "NULL");
    expect_error(call_init, &(with_handle_t){NULL, NULL}, ESP_ERR_INVALID_ARG, "NULL");
    expect_error(call_next, &(with_handle_t){&download.config, NULL}, ESP_ERR_INVALID_ARG, "NULL");
    expect_error(call_next, &(with_handle_t){&download.config, &handle}, ESP_ERR_INVALID_ARG, "NULL");
    expect_error(call_download, NULL, ESP_ERR_INVALID_ARG, "NULL");
    expect_error(call_copy, NULL, ESP_ERR_INVALID_ARG, "NULL");
    expect_embedded_refused(NULL, ESP_ERR_INVALID_ARG, "NULL");
    expect_error(call_deinit, NULL, ESP_ERR_INVALID_ARG, "NULL");
    handle = good_handle();
    expect_error(call_next, &(with_handle_t){NULL, &handle}, ESP_ERR_INVALID_ARG, "config is NULL");
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    download.config.http_config = NULL;
    expect_refused(&download.config, ESP_ERR_INVALID_ARG, "NULL");
    api_assert_untouched(&chip);
}

typedef struct region_case {
    uint32_t address;
    size_t size;
    esp_err_t expected;
    const char *piece; /**< In the error line. */
} region_case_t;

static const region_case_t bad_destinations[] = {
    {API_OTA_1, 0, ESP_ERR_INVALID_ARG, "0x110000"},
    {0, 0, ESP_ERR_INVALID_ARG, "0x0"},
    {API_OTA_1 + 1, SECTOR, ESP_ERR_SELF_REFLASHER_UNALIGNED, "0x110001"},
    {API_OTA_1 + 0x800, SECTOR, ESP_ERR_SELF_REFLASHER_UNALIGNED, "0x110800"},
    {API_OTA_1, SECTOR - 1, ESP_ERR_SELF_REFLASHER_UNALIGNED, "0xfff"},
    {API_OTA_1, 1, ESP_ERR_SELF_REFLASHER_UNALIGNED, "0x110000"},
    {API_OTA_1, SIZE_MAX, ESP_ERR_SELF_REFLASHER_UNALIGNED, "0x110000"},
    {API_FLASH_SIZE, SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END, "0x400000"},
    {API_FLASH_SIZE - SECTOR, 2 * SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END, "0x3ff000"},
    {0, API_FLASH_SIZE + SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END, "0x400000"},
    {OVERFLOW, SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END, "0xfffff000"},
    {OVERFLOW, 2 * SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END, "0xfffff000"},
    {API_DATA, OVERFLOW, ESP_ERR_SELF_REFLASHER_PAST_END, "0x320000"},
    {API_DATA, SIZE_MAX - (SECTOR - 1), ESP_ERR_SELF_REFLASHER_PAST_END, "0x320000"},
#if SIZE_MAX > UINT32_MAX
    /* Truncated to 32 bits it would be a good region. */
    {API_DATA, ((size_t)1 << 32) + SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END, "0x320000"},
#endif
};

static void bad_destination_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_destinations) / sizeof(bad_destinations[0]); i++) {
        const region_case_t *bad = &bad_destinations[i];
        api_download_t download;
        api_download_to(&download, api_server_url(&server, "/sector.bin"), bad->address, bad->size);
        expect_refused(&download.config, bad->expected, bad->piece);
        const esp_self_reflasher_config_t embedded = api_embedded(API_OTA_0, 1, bad->address, bad->size);
        expect_embedded_refused(&embedded, bad->expected, bad->piece);
    }
}

static void bad_source_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        size_t size, used;
        esp_err_t expected;
        const char *piece;
    } bad[] = {
        {API_OTA_0, 0, 0, ESP_ERR_INVALID_ARG, "0x10000"},
        {API_OTA_0, 0, 1, ESP_ERR_INVALID_ARG, "0x10000"},
        {API_OTA_0, SECTOR, 0, ESP_ERR_INVALID_ARG, "4096"},
        {API_OTA_0, SECTOR, SECTOR + 1, ESP_ERR_INVALID_ARG, "4097"},
        {API_OTA_0, SECTOR, SIZE_MAX, ESP_ERR_INVALID_ARG, "4096"},
#if SIZE_MAX > UINT32_MAX
        {API_OTA_0, SECTOR, ((size_t)1 << 32) + 1, ESP_ERR_INVALID_ARG, "4096"},
        {API_OTA_0, ((size_t)1 << 32) + SECTOR, 1, ESP_ERR_SELF_REFLASHER_PAST_END, "0x10000"},
#endif
        {API_FLASH_SIZE, 1, 1, ESP_ERR_SELF_REFLASHER_PAST_END, "0x400000"},
        {API_FLASH_SIZE - 1, 2, 1, ESP_ERR_SELF_REFLASHER_PAST_END, "0x3fffff"},
        {0xFFFFFFFFu, 2, 1, ESP_ERR_SELF_REFLASHER_PAST_END, "0xffffffff"},
        {API_OTA_0, SIZE_MAX, 1, ESP_ERR_SELF_REFLASHER_PAST_END, "0x10000"},
        {API_OTA_0, 2 * SECTOR, SECTOR + 1, ESP_ERR_SELF_REFLASHER_TOO_LARGE, "4097"},
        {API_OTA_0, API_SLOT_SIZE, API_SLOT_SIZE, ESP_ERR_SELF_REFLASHER_TOO_LARGE, "1048576"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        esp_self_reflasher_config_t config = api_embedded(bad[i].address, bad[i].size, API_DATA, SECTOR);
        config.src_bin_size = bad[i].used;
        expect_embedded_refused(&config, bad[i].expected, bad[i].piece);
    }
}

/* The chip's size counts, and not what today's bootloader says in its header; but no decryption goes past that, and no
 * 24 bits address more than 16 MiB. */
static void flash_is_as_large_as_the_chip(void **state)
{
    (void)state;
    static const struct {
        uint32_t flash_size, last;
        bool encryption;
    } cases[] = {
        {2 * API_FLASH_SIZE, 2 * API_FLASH_SIZE, false},
        {4 * API_FLASH_SIZE, 4 * API_FLASH_SIZE, false},
        {8 * API_FLASH_SIZE, 4 * API_FLASH_SIZE, false},
        {2 * API_FLASH_SIZE, API_FLASH_SIZE, true},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        reopen((api_options_t){.flash_size = cases[i].flash_size, .flash_encryption = cases[i].encryption});
        api_download_to(&download, api_server_url(&server, "/sector.bin"), cases[i].last - SECTOR, SECTOR);
        expect_accepted(&download.config);
        api_download_to(&download, api_server_url(&server, "/sector.bin"), cases[i].last, SECTOR);
        expect_refused(&download.config, ESP_ERR_SELF_REFLASHER_PAST_END, "past the end of flash");
        uint32_t size = 0;
        assert_int_equal(esp_flash_get_size(esp_flash_default_chip, &size), ESP_OK);
        assert_int_equal(size, API_FLASH_SIZE); /* What the app finds is what it knew before. */
    }
}

static void last_and_first_sector_are_accepted(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, api_server_url(&server, "/sector.bin"), API_FLASH_SIZE - SECTOR, SECTOR);
    expect_accepted(&download.config);
    api_download_to(&download, api_server_url(&server, "/sector.bin"), 0, SECTOR);
    expect_accepted(&download.config);
    api_download_to(&download, api_server_url(&server, "/sector.bin"), API_DATA, API_FLASH_SIZE - API_DATA);
    expect_accepted(&download.config);
}

static void staging_that_overlaps_the_destination_is_refused(void **state)
{
    (void)state;
    static const region_case_t cases[] = {
        {API_OTA_1, API_SLOT_SIZE, ESP_ERR_SELF_REFLASHER_OVERLAP, "0x110000"},
        {API_OTA_1 - SECTOR, 2 * SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP, "0x10f000"},
        {API_OTA_2 - SECTOR, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP, "0x20f000"},
        {API_OTA_1 + 0x8000, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP, "0x118000"},
        {0, API_OTA_1 + SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP, "0x111000"},
        /* Half open: what ends where the slot begins, or begins where it ends, does not touch it. */
        {API_OTA_1 - SECTOR, SECTOR, ESP_OK, NULL},
        {0, API_OTA_1, ESP_OK, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        api_download_to(&download, api_server_url(&server, "/sector.bin"), cases[i].address, cases[i].size);
        download.config.target_partition = api_partition("ota_1");
        if (cases[i].expected == ESP_OK) {
            expect_accepted(&download.config);
        } else {
            expect_refused(&download.config, cases[i].expected, cases[i].piece);
        }
    }
    api_download_t after;
    api_download_to(&after, api_server_url(&server, "/sector.bin"), API_DATA, SECTOR);
    after.config.target_partition = api_partition("ota_3");
    expect_accepted(&after.config);
}

static void running_app_is_refused_as_destination(void **state)
{
    (void)state;
    static const region_case_t cases[] = {
        {API_OTA_2, API_SLOT_SIZE, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x210000"},
        {API_OTA_2 - SECTOR, 2 * SECTOR, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x20f000"},
        {API_OTA_3 - SECTOR, SECTOR, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x30f000"},
        {0, API_FLASH_SIZE, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x400000"},
        {API_OTA_2 - SECTOR, SECTOR, ESP_OK, NULL},
        {API_OTA_3, SECTOR, ESP_OK, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        api_download_to(&download, api_server_url(&server, "/sector.bin"), cases[i].address, cases[i].size);
        if (cases[i].expected == ESP_OK) {
            expect_accepted(&download.config);
        } else {
            expect_refused(&download.config, cases[i].expected, cases[i].piece);
        }
    }
}

static esp_partition_t made_up(uint32_t address, uint32_t size)
{
    return (esp_partition_t){.flash_chip = esp_flash_default_chip,
                             .type = ESP_PARTITION_TYPE_DATA,
                             .address = address,
                             .size = size,
                             .erase_size = SECTOR,
                             .label = "made_up"};
}

static void bad_staging_partition_is_refused(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, api_server_url(&server, "/sector.bin"), API_DATA, SECTOR);
    download.config.target_partition = api_partition("ota_2");
    expect_refused(&download.config, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x210000");

    const struct {
        esp_partition_t partition;
        esp_err_t expected;
    } cases[] = {
        {made_up(API_OTA_2 - SECTOR, 2 * SECTOR), ESP_ERR_SELF_REFLASHER_RUNNING_APP},
        {made_up(API_OTA_3 - SECTOR, 2 * SECTOR), ESP_ERR_SELF_REFLASHER_RUNNING_APP},
        {made_up(API_OTA_1 + 0x100, 2 * SECTOR), ESP_ERR_SELF_REFLASHER_UNALIGNED},
        {made_up(API_OTA_1, SECTOR - 1), ESP_ERR_SELF_REFLASHER_UNALIGNED},
        {made_up(API_OTA_1, 0), ESP_ERR_SELF_REFLASHER_UNALIGNED},
        {made_up(API_FLASH_SIZE - SECTOR, 2 * SECTOR), ESP_ERR_SELF_REFLASHER_PAST_END},
        {made_up(OVERFLOW, 2 * SECTOR), ESP_ERR_SELF_REFLASHER_PAST_END},
        {made_up(API_BOOTLOADER, 0x7000), ESP_ERR_SELF_REFLASHER_OVERLAP},
        {made_up(API_TABLE, SECTOR), ESP_ERR_SELF_REFLASHER_OVERLAP},
        {*api_partition("otadata"), ESP_ERR_SELF_REFLASHER_OVERLAP},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        download.config.target_partition = &cases[i].partition;
        expect_refused(&download.config, cases[i].expected, "");
    }
    esp_flash_t other_chip = *esp_flash_default_chip;
    esp_partition_t elsewhere = made_up(API_OTA_1, SECTOR);
    elsewhere.flash_chip = &other_chip;
    download.config.target_partition = &elsewhere;
    expect_refused(&download.config, ESP_ERR_INVALID_ARG, "made_up");
}

static void no_partition_left_for_staging_is_refused(void **state)
{
    (void)state;
    api_download_t download;
    reopen((api_options_t){.running_app = API_OTA_0});
    api_download_to(&download, api_server_url(&server, "/sector.bin"), API_OTA_1, API_DATA - API_OTA_1);
    expect_refused(&download.config, ESP_ERR_SELF_REFLASHER_NO_STAGING, "0x110000");
    /* One sector less still touches the last slot, one slot less leaves it free. */
    api_download_to(&download, api_server_url(&server, "/sector.bin"), API_OTA_1, API_DATA - API_OTA_1 - SECTOR);
    expect_refused(&download.config, ESP_ERR_SELF_REFLASHER_NO_STAGING, "0x31f000");
    api_download_to(&download, api_server_url(&server, "/sector.bin"), API_OTA_1, API_OTA_3 - API_OTA_1);
    expect_accepted(&download.config);
}

/* What goes wrong on the wire. Destination: the sector in front of the end of the flash; staging: ota_0. */

typedef struct wire_case {
    const char *path;
    esp_err_t expected;
    const char *piece;
} wire_case_t;

static esp_self_reflasher_handle_t download_handle(api_download_t *download, const char *path, uint32_t address,
                                                   size_t size)
{
    esp_self_reflasher_handle_t handle = NULL;
    api_download_to(download, api_server_url(&server, path), address, size);
    expect_ok(call_init, &(with_handle_t){&download->config, &handle});
    return handle;
}

/* The download fails, the handle is as it was, and copy_to_region() has nothing to copy. */
static void expect_download_error(api_download_t *download, esp_err_t expected, const char *piece)
{
    esp_self_reflasher_handle_t handle = NULL;
    expect_ok(call_init, &(with_handle_t){&download->config, &handle});
    const uint32_t heap = sim_counters()->heap_now;
    expect_error(call_download, handle, expected, piece);
    api_assert_no_leak(heap);
    expect_error(call_copy, handle, ESP_ERR_INVALID_STATE, "");
    expect_error(call_download, handle, expected, piece);
    api_assert_no_leak(heap);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_assert_no_leak(0);
}

static void bad_answer_changes_no_flash(void **state)
{
    (void)state;
    static const wire_case_t cases[] = {
        {"/404", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "404"},
        {"/missing.bin", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "404"},
        {"/status?code=500", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "500"},
        {"/status?code=403", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "403"},
        {"/status?code=206", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "206"},
        {"/status?code=201", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "201"},
        {"/status?code=300", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "300"},
        {"/auth/sector.bin", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "401"},
        {"/digest/sector.bin", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "401"},
        {"/redirect-loop", ESP_ERR_HTTP_MAX_REDIRECT, "redirect"},
        {"/redirect?to=nonsense", ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "302"},
        {"/empty", ESP_ERR_SELF_REFLASHER_EMPTY_BODY, "empty"},
        {"/nolength/empty.bin", ESP_ERR_SELF_REFLASHER_EMPTY_BODY, "empty"},
        {"/chunked/empty.bin", ESP_ERR_SELF_REFLASHER_EMPTY_BODY, "empty"},
        {"/short/sector.bin?n=0", ESP_ERR_SELF_REFLASHER_SHORT_BODY, "4096"},
        {"/short/sector.bin?n=4095", ESP_ERR_SELF_REFLASHER_SHORT_BODY, "4095"},
        {"/drop/sector.bin?after=1000", ESP_ERR_SELF_REFLASHER_SHORT_BODY, "4096"},
        {"/chunked-short/empty.bin", ESP_ERR_SELF_REFLASHER_SHORT_BODY, ""},
        {"/hangup", ESP_ERR_HTTP_FETCH_HEADER, ""},
        {"/garbage", ESP_ERR_HTTP_FETCH_HEADER, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        api_download_to(&download, api_server_url(&server, cases[i].path), API_FLASH_SIZE - SECTOR, SECTOR);
        expect_download_error(&download, cases[i].expected, cases[i].piece);
        api_assert_untouched(&chip);
    }
}

static void unreachable_or_silent_server_changes_no_flash(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, "http://127.0.0.1:1/x.bin", API_FLASH_SIZE - SECTOR, SECTOR);
    expect_download_error(&download, ESP_ERR_HTTP_CONNECT, "");
    api_download_to(&download, api_server_url(&server, "/silent"), API_FLASH_SIZE - SECTOR, SECTOR);
    download.http.timeout_ms = 100;
    expect_download_error(&download, ESP_ERR_HTTP_EAGAIN, "");
    api_download_to(&download, api_server_url(&server, "/stall/sector.bin?after=500"), API_FLASH_SIZE - SECTOR, SECTOR);
    download.http.timeout_ms = 700;
    expect_download_error(&download, ESP_ERR_HTTP_EAGAIN, "500");
    api_download_to(&download, api_server_url(&server, "/redirect?to=/sector.bin"), API_FLASH_SIZE - SECTOR, SECTOR);
    download.http.disable_auto_redirect = true;
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, "302");
    api_assert_untouched(&chip);
}

static void announced_length_that_does_not_fit_is_refused_untouched(void **state)
{
    (void)state;
    api_download_t download;
    api_download_to(&download, api_server_url(&server, "/sector+1.bin"), API_FLASH_SIZE - SECTOR, SECTOR);
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_TOO_LARGE, "4097");
    /* Staging is ota_3 with 64 KiB. */
    api_download_to(&download, api_server_url(&server, "/64k+1.bin"), API_DATA, 0x20000);
    download.config.target_partition = api_partition("ota_3");
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_STAGING_SMALL, "65537");
    api_assert_untouched(&chip);
}

static void body_that_does_not_fit_stays_in_staging(void **state)
{
    (void)state;
    static const wire_case_t cases[] = {
        {"/nolength/64k+1.bin", ESP_ERR_SELF_REFLASHER_STAGING_SMALL, "65536"},
        {"/chunked/64k+1.bin", ESP_ERR_SELF_REFLASHER_STAGING_SMALL, "65536"},
        {"/chunked/64k+1.bin?n=100000", ESP_ERR_SELF_REFLASHER_STAGING_SMALL, "65536"},
        {"/nolength/app.bin", ESP_ERR_SELF_REFLASHER_STAGING_SMALL, "65536"},
    };
    const sr_region_t staging = {API_OTA_3, 0x10000};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        api_download_to(&download, api_server_url(&server, cases[i].path), API_DATA, 0x80000);
        download.config.target_partition = api_partition("ota_3");
        expect_download_error(&download, cases[i].expected, cases[i].piece);
        api_assert_same_outside(&chip, &staging, 1);
    }
    const sr_region_t slot = {API_OTA_0, API_SLOT_SIZE};
    api_download_t download;
    api_chip_snapshot(&chip);
    api_download_to(&download, api_server_url(&server, "/nolength/sector+1.bin"), API_FLASH_SIZE - SECTOR, SECTOR);
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_TOO_LARGE, "4096");
    api_download_to(&download, api_server_url(&server, "/chunked/64k+1.bin"), API_DATA, 0x10000);
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_TOO_LARGE, "65536");
    api_assert_same_outside(&chip, &slot, 1);
}

static void image_that_just_fits_is_accepted(void **state)
{
    (void)state;
    static const char *const paths[] = {"/64k.bin", "/nolength/64k.bin", "/chunked/64k.bin"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        api_download_t download;
        esp_self_reflasher_handle_t handle = NULL;
        api_download_to(&download, api_server_url(&server, paths[i]), API_DATA, 0x10000);
        download.config.target_partition = api_partition("ota_3");
        expect_ok(call_init, &(with_handle_t){&download.config, &handle});
        expect_ok(call_download, handle);
        expect_ok(call_copy, handle);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    }
    const sr_region_t changed[] = {{API_OTA_3, 0x10000}, {API_DATA, 0x10000}};
    api_assert_same_outside(&chip, changed, 2);
}

/* Images for the bootloader's place. */

static void wrong_start_is_refused_untouched(void **state)
{
    (void)state;
    static const wire_case_t cases[] = {
        {"/magic.bin", ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "0x1000"},
        {"/chunked/magic.bin", ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "0x1000"},
        {"/sector.bin", ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "0x1000"},
        {"/chip.bin", ESP_ERR_SELF_REFLASHER_WRONG_CHIP, "32"},
        {"/nolength/chip.bin", ESP_ERR_SELF_REFLASHER_WRONG_CHIP, "32"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        api_download_to(&download, api_server_url(&server, cases[i].path), API_BOOTLOADER, 0x7000);
        expect_download_error(&download, cases[i].expected, cases[i].piece);
        api_assert_untouched(&chip);
    }
}

static void damaged_bootloader_is_refused_before_the_destination_is_touched(void **state)
{
    (void)state;
    static const wire_case_t cases[] = {
        {"/checksum.bin", ESP_ERR_SELF_REFLASHER_CHECKSUM, "checksum"},
        {"/digest.bin", ESP_ERR_SELF_REFLASHER_DIGEST, "SHA-256"},
        {"/chunked/digest.bin", ESP_ERR_SELF_REFLASHER_DIGEST, "0x1000"},
    };
    const sr_region_t staging = {API_OTA_0, API_SLOT_SIZE};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_download_t download;
        api_download_to(&download, api_server_url(&server, cases[i].path), API_BOOTLOADER, 0x7000);
        expect_download_error(&download, cases[i].expected, cases[i].piece);
        api_assert_same_outside(&chip, &staging, 1);
    }
    /* Blank sectors past its end are what the image will be read together with. */
    api_download_t download;
    esp_err_t err;
    esp_self_reflasher_handle_t handle = download_handle(&download, "/truncated.bin", API_BOOTLOADER, 0x7000);
    char *log = quietly(call_download, handle, &err);
    free(log);
    assert_true(err == ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER || err == ESP_ERR_SELF_REFLASHER_CHECKSUM);
    expect_error(call_copy, handle, ESP_ERR_INVALID_STATE, "");
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_assert_same_outside(&chip, &staging, 1);
}

static void embedded_bootloader_is_checked_untouched(void **state)
{
    (void)state;
    api_image_t boot = api_mcuboot();
    const struct {
        size_t at;
        esp_err_t expected;
        const char *piece;
    } cases[] = {
        {MAGIC_AT, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "0x1000"},
        {1, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "segment"},
        {CHIP_AT, ESP_ERR_SELF_REFLASHER_WRONG_CHIP, "32"},
        {CHIP_AT + 1, ESP_ERR_SELF_REFLASHER_WRONG_CHIP, "8192"},
        {0x1000, ESP_ERR_SELF_REFLASHER_CHECKSUM, "checksum"},
        {boot.length - 33, ESP_ERR_SELF_REFLASHER_CHECKSUM, "checksum"},
        {boot.length - 32, ESP_ERR_SELF_REFLASHER_DIGEST, "SHA-256"},
        {boot.length - 1, ESP_ERR_SELF_REFLASHER_DIGEST, "SHA-256"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_image_t bad = damaged(boot, cases[i].at, boot.length);
        api_chip_put(&chip, API_OTA_0 + 0x123, bad.bytes, bad.length);
        const esp_self_reflasher_config_t config = api_embedded(API_OTA_0 + 0x123, bad.length, API_BOOTLOADER, 0x7000);
        expect_embedded_refused(&config, cases[i].expected, cases[i].piece);
        api_image_free(&bad);
    }
    api_image_free(&boot);
}

/* Each leaves a bootloader that is neither the old nor a new one. */
static void tearing_the_bootloader_is_refused(void **state)
{
    (void)state;
    api_image_t noise = api_noise(0x20000, 7);
    api_chip_put(&chip, API_OTA_0, noise.bytes, noise.length);
    static const sr_region_t destinations[] = {
        {0x2000, 0x1000}, /* Its middle. */
        {0x6000, 0x1000}, /* Its last sector. */
        {0x5000, 0x3000}, /* Its end, up to the table. */
        {0x0000, 0x2000}, /* Its start, and what lies in front of it. */
        {0x0000, 0x8000}, /* All of it. */
    };
    for (size_t i = 0; i < sizeof(destinations) / sizeof(destinations[0]); i++) {
        const sr_region_t to = destinations[i];
        esp_err_t err;
        const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, to.size, to.address, to.size);
        free(quietly(call_embedded, &config, &err));
        assert_true(err == ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER || err == ESP_ERR_SELF_REFLASHER_CHECKSUM);
        api_assert_untouched(&chip);
    }
    /* An image that is too short to reach it: what lies past the image would be erased. */
    const esp_self_reflasher_config_t blank = api_embedded(API_OTA_0, 16, 0, 0x2000);
    expect_embedded_refused(&blank, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, "0x1000");
    /* Right past its last sector there is no bootloader. */
    const esp_self_reflasher_config_t after = api_embedded(API_OTA_0, 0x1000, 0x7000, 0x1000);
    expect_ok(call_embedded, &after);
    api_image_free(&noise);
}

static void image_check_can_be_switched_off(void **state)
{
    (void)state;
    static const char *const paths[] = {"/magic.bin", "/chip.bin", "/checksum.bin", "/digest.bin", "/sector.bin"};
    const sr_region_t changed[] = {{API_OTA_0, API_SLOT_SIZE}, {API_BOOTLOADER, 0x7000}};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        api_download_t download;
        esp_self_reflasher_handle_t handle = NULL;
        api_download_to(&download, api_server_url(&server, paths[i]), API_BOOTLOADER, 0x7000);
        download.config.flags = ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
        expect_ok(call_init, &(with_handle_t){&download.config, &handle});
        expect_ok(call_download, handle);
        expect_ok(call_copy, handle);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
        api_assert_same_outside(&chip, changed, 2);
    }
    api_image_t noise = api_noise(SECTOR, 1); /* sector.bin, the last of the above. */
    api_assert_holds(&chip, changed[1], noise);
    api_image_free(&noise);
}

/* SHA-256 from the config. */

static void sha256_of(api_image_t image, uint8_t digest[SR_SHA256_SIZE])
{
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, image.bytes, image.length);
    assert_int_equal(sr_sha256_finish(&sha, digest), 0);
}

static void wrong_sha256_is_refused_before_the_destination_is_touched(void **state)
{
    (void)state;
    const sr_region_t staging = {API_OTA_0, API_SLOT_SIZE};
    api_image_t image = api_noise(0x10000, 3); /* As 64k.bin. */
    uint8_t digest[SR_SHA256_SIZE];
    sha256_of(image, digest);
    api_chip_put(&chip, API_OTA_1 + 0x321, image.bytes, image.length);
    esp_self_reflasher_config_t embedded = api_embedded(API_OTA_1 + 0x321, image.length, API_DATA, 0x10000);
    embedded.sha256 = digest;
    api_download_t download;
    api_download_to(&download, api_server_url(&server, "/64k.bin"), API_DATA, 0x10000);
    download.config.sha256 = digest;
    for (size_t i = 0; i < SR_SHA256_SIZE; i += SR_SHA256_SIZE - 1) {
        digest[i] ^= 1;
        expect_embedded_refused(&embedded, ESP_ERR_SELF_REFLASHER_SHA256, "SHA-256");
        digest[i] ^= 1;
    }
    digest[0] ^= 1;
    /* The flag is about bootloaders: a digest that is given is always checked. */
    download.config.flags = ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_SHA256, "SHA-256");
    api_assert_same_outside(&chip, &staging, 1);
    digest[0] ^= 1;
    api_log_start();
    const esp_err_t err = api_run_download(&download.config);
    free(api_log_stop());
    assert_int_equal(err, ESP_OK);
    api_assert_holds(&chip, (sr_region_t){API_DATA, 0x10000}, image);
    api_image_free(&image);
}

static void staging_that_changes_before_the_copy_is_refused(void **state)
{
    (void)state;
    api_image_t boot = api_mcuboot();
    uint8_t digest[SR_SHA256_SIZE];
    sha256_of(boot, digest);
    for (unsigned i = 0; i < 2; i++) {
        api_download_t download;
        esp_self_reflasher_handle_t handle = NULL;
        api_download_to(&download, api_server_url(&server, "/boot.bin"), API_BOOTLOADER, 0x7000);
        download.config.sha256 = i == 0 ? digest : NULL;
        expect_ok(call_init, &(with_handle_t){&download.config, &handle});
        expect_ok(call_download, handle);
        nor_flash_bytes(chip.flash)[API_OTA_0 + boot.length - 1] ^= 1;
        api_chip_snapshot(&chip);
        expect_error(call_copy, handle, i == 0 ? ESP_ERR_SELF_REFLASHER_SHA256 : ESP_ERR_SELF_REFLASHER_DIGEST, "");
        const sr_region_t staged = {API_OTA_0, (uint32_t)sr_region_align_up((uint32_t)boot.length, SECTOR)};
        api_assert_same_outside(&chip, &staged, 1);
        api_assert_holds(&chip, staged, (api_image_t){0});
        expect_error(call_copy, handle, ESP_ERR_INVALID_STATE, "");
        /* Another download makes it good. */
        expect_ok(call_download, handle);
        expect_ok(call_copy, handle);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
        api_assert_holds(&chip, (sr_region_t){API_BOOTLOADER, 0x7000}, boot);
    }
    api_image_free(&boot);
}

/* Secure Boot. */

/* The image, blank up to the next sector, and what starts as a signature block does. */
static api_image_t signed_image(api_image_t image)
{
    const size_t start = (size_t)sr_region_align_up((uint32_t)image.length, SECTOR);
    api_image_t with = {.bytes = malloc(start + SECTOR), .length = start + SECTOR};
    assert_non_null(with.bytes);
    memset(with.bytes, 0xFF, with.length);
    memcpy(with.bytes, image.bytes, image.length);
    with.bytes[start] = 0xE7;
    with.bytes[start + 1] = 0x02;
    memset(with.bytes + start + 2, 0x5A, 1214);
    return with;
}

static void secure_boot_refuses_what_is_not_signed(void **state)
{
    (void)state;
    reopen((api_options_t){.secure_boot = true});
    api_image_t boot = api_mcuboot();
    api_image_t app = api_app(0x8000);
    api_image_t signed_boot = signed_image(boot);
    api_image_t signed_app = signed_image(app);
    api_chip_put(&chip, API_OTA_0, boot.bytes, boot.length);
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0, boot.length, API_BOOTLOADER, 0x7000);
    expect_embedded_refused(&config, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot");
    config.dest_region.region_address = API_DATA;
    expect_embedded_refused(&config, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot");
    api_chip_put(&chip, API_OTA_0, app.bytes, app.length);
    config = api_embedded(API_OTA_0, app.length, API_OTA_1, 0x80000);
    expect_embedded_refused(&config, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot");

    api_download_t download;
    const sr_region_t staging = {API_OTA_0, API_SLOT_SIZE};
    api_download_to(&download, api_server_url(&server, "/app.bin"), API_OTA_1, 0x80000);
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot");
    api_download_to(&download, api_server_url(&server, "/boot.bin"), API_BOOTLOADER, 0x7000);
    expect_download_error(&download, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot");
    api_assert_same_outside(&chip, &staging, 1);

    api_chip_put(&chip, API_OTA_0, signed_boot.bytes, signed_boot.length);
    config = api_embedded(API_OTA_0, signed_boot.length, API_BOOTLOADER,
                          (size_t)sr_region_align_up((uint32_t)signed_boot.length, SECTOR));
    expect_ok(call_embedded, &config);
    api_chip_put(&chip, API_OTA_0, signed_app.bytes, signed_app.length);
    config = api_embedded(API_OTA_0, signed_app.length, API_OTA_1, 0x80000);
    expect_ok(call_embedded, &config);
    api_image_free(&boot);
    api_image_free(&app);
    api_image_free(&signed_boot);
    api_image_free(&signed_app);
}

/* The signature block of the bootloader that runs today lies past the end of the destination. It signs another image,
 * and the chip would refuse the pair. */
static void signature_of_the_old_bootloader_does_not_count(void **state)
{
    (void)state;
    reopen((api_options_t){.secure_boot = true});
    api_image_t old = api_bootloader("esp32");
    api_image_t old_signed = signed_image(old);
    api_image_t boot = api_mcuboot();
    const uint32_t sectors = (uint32_t)sr_region_align_up((uint32_t)boot.length, SECTOR);
    assert_int_equal(sectors, sr_region_align_up((uint32_t)old.length, SECTOR));
    api_chip_put(&chip, API_BOOTLOADER, old_signed.bytes, old_signed.length);
    api_chip_put(&chip, API_OTA_0, boot.bytes, boot.length);
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, boot.length, API_BOOTLOADER, sectors);
    expect_embedded_refused(&config, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot");
    api_image_free(&old);
    api_image_free(&old_signed);
    api_image_free(&boot);
}

static void secure_boot_refusal_can_be_switched_off(void **state)
{
    (void)state;
    reopen((api_options_t){.secure_boot = true});
    esp_self_reflasher_config_t config = api_embedded(API_OTA_2, 0x10000, API_OTA_1, 0x10000);
    expect_embedded_refused(&config, ESP_ERR_SELF_REFLASHER_NOT_SIGNED, "Secure Boot");
    config.flags = ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
    expect_ok(call_embedded, &config);
}

/* What the new bootloader would report about itself. */
static void bootloader_for_a_later_revision_is_refused(void **state)
{
    (void)state;
    api_image_t boot = api_mcuboot();
    boot.bytes[16] = 0x7F;
    const size_t hashed = boot.length - SR_SHA256_SIZE;
    assert_true(sr_digest(boot.bytes, hashed, boot.bytes + hashed));
    api_chip_put(&chip, API_OTA_0, boot.bytes, boot.length);
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0, boot.length, API_BOOTLOADER, 0x7000);
    expect_embedded_refused(&config, ESP_ERR_SELF_REFLASHER_REVISION, "needs at least revision");
    config.flags = ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
    expect_ok(call_embedded, &config);
    api_image_free(&boot);
}

/* The bootloader stays as it is, and its header says 4 MB: a table for more bricks as surely as a bootloader for less.
 */
static void table_for_more_flash_than_the_bootloader_knows_is_refused(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[] = {
        {.type = 0, .subtype = 0x12, .address = API_OTA_2, .size = API_SLOT_SIZE, .label = "ota_2"},
        {.type = 1, .subtype = 0x82, .address = API_DATA, .size = API_FLASH_SIZE - API_DATA, .label = "data"},
    };
    api_image_t table = api_noise(SECTOR, 1);
    for (unsigned more = 0; more < 2; more++) {
        entries[1].size += more * SECTOR;
        memset(table.bytes, 0xFF, SECTOR);
        assert_int_equal(image_write_partition_table(entries, 2, table.bytes), IMAGE_WRITE_OK);
        api_chip_put(&chip, API_OTA_0, table.bytes, SECTOR);
        api_chip_snapshot(&chip);
        const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, SECTOR, API_TABLE, SECTOR);
        if (more == 0) {
            expect_ok(call_embedded, &config);
        } else {
            expect_embedded_refused(&config, ESP_ERR_SELF_REFLASHER_FLASH_SIZE, "0x400000 bytes");
        }
    }
    api_image_free(&table);
}

static void encrypted_running_app_cannot_be_overwritten(void **state)
{
    (void)state;
    reopen((api_options_t){.flash_encryption = true, .lone_slot = true});
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, SECTOR, API_OTA_2, SECTOR);
    expect_embedded_refused(&config, ESP_ERR_NOT_SUPPORTED, "encryption");
}

/* Handles. */

static void calls_out_of_order_are_refused(void **state)
{
    (void)state;
    esp_self_reflasher_handle_t handle = good_handle();
    expect_error(call_copy, handle, ESP_ERR_INVALID_STATE, "");
    api_assert_untouched(&chip);

    expect_ok(call_download, handle);
    api_chip_snapshot(&chip);
    const size_t requests = http_server_requests(&server.http);
    expect_error(call_download, handle, ESP_ERR_INVALID_STATE, "");
    assert_int_equal(http_server_requests(&server.http), requests);
    api_assert_untouched(&chip);

    expect_ok(call_copy, handle);
    api_chip_snapshot(&chip);
    expect_error(call_copy, handle, ESP_ERR_INVALID_STATE, "");
    expect_error(call_download, handle, ESP_ERR_INVALID_STATE, "");
    assert_int_equal(http_server_requests(&server.http), requests);
    api_assert_untouched(&chip);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
}

/* In each of the three states of a handle. */
static void failed_update_leaves_the_handle_usable(void **state)
{
    (void)state;
    api_download_t bad;
    api_download_t second;
    api_download_to(&bad, api_server_url(&server, "/sector.bin"), API_OTA_2, SECTOR);
    esp_self_reflasher_handle_t handle = good_handle();
    const with_handle_t update = {&bad.config, &handle};

    expect_error(call_next, &update, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x210000");
    expect_ok(call_download, handle);
    expect_error(call_next, &update, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x210000");
    expect_ok(call_copy, handle);
    expect_error(call_next, &update, ESP_ERR_SELF_REFLASHER_RUNNING_APP, "0x210000");
    expect_error(call_copy, handle, ESP_ERR_INVALID_STATE, "");

    api_image_t first_image = api_noise(SECTOR, 1);
    api_assert_holds(&chip, (sr_region_t){API_DATA, SECTOR}, first_image);
    api_image_free(&first_image);

    api_download_to(&second, api_server_url(&server, "/sector+1.bin"), API_DATA + SECTOR, 2 * SECTOR);
    expect_ok(call_next, &(with_handle_t){&second.config, &handle});
    expect_ok(call_download, handle);
    expect_ok(call_copy, handle);
    api_image_t second_image = api_noise(SECTOR + 1, 2);
    api_assert_holds(&chip, (sr_region_t){API_DATA + SECTOR, 2 * SECTOR}, second_image);
    api_image_free(&second_image);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
}

static void every_error_has_a_name(void **state)
{
    (void)state;
    for (esp_err_t i = ESP_ERR_SELF_REFLASHER_PAST_END; i <= ESP_ERR_SELF_REFLASHER_VERIFY; i++) {
        assert_int_equal(strncmp(esp_self_reflasher_err_to_name(i), "ESP_ERR_SELF_REFLASHER_", 23), 0);
        for (esp_err_t j = ESP_ERR_SELF_REFLASHER_PAST_END; j < i; j++) {
            assert_string_not_equal(esp_self_reflasher_err_to_name(i), esp_self_reflasher_err_to_name(j));
        }
    }
    assert_string_equal(esp_self_reflasher_err_to_name(ESP_OK), "ESP_OK");
    assert_string_equal(esp_self_reflasher_err_to_name(ESP_ERR_NO_MEM), "ESP_ERR_NO_MEM");
    assert_non_null(esp_self_reflasher_err_to_name(-12345));
}

#define ON_CHIP(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CHIP(null_is_refused),
        ON_CHIP(bad_destination_is_refused),
        ON_CHIP(bad_source_is_refused),
        ON_CHIP(flash_is_as_large_as_the_chip),
        ON_CHIP(last_and_first_sector_are_accepted),
        ON_CHIP(staging_that_overlaps_the_destination_is_refused),
        ON_CHIP(running_app_is_refused_as_destination),
        ON_CHIP(bad_staging_partition_is_refused),
        ON_CHIP(no_partition_left_for_staging_is_refused),
        ON_CHIP(bad_answer_changes_no_flash),
        ON_CHIP(unreachable_or_silent_server_changes_no_flash),
        ON_CHIP(announced_length_that_does_not_fit_is_refused_untouched),
        ON_CHIP(body_that_does_not_fit_stays_in_staging),
        ON_CHIP(image_that_just_fits_is_accepted),
        ON_CHIP(wrong_start_is_refused_untouched),
        ON_CHIP(damaged_bootloader_is_refused_before_the_destination_is_touched),
        ON_CHIP(embedded_bootloader_is_checked_untouched),
        ON_CHIP(tearing_the_bootloader_is_refused),
        ON_CHIP(image_check_can_be_switched_off),
        ON_CHIP(wrong_sha256_is_refused_before_the_destination_is_touched),
        ON_CHIP(staging_that_changes_before_the_copy_is_refused),
        ON_CHIP(secure_boot_refuses_what_is_not_signed),
        ON_CHIP(signature_of_the_old_bootloader_does_not_count),
        ON_CHIP(secure_boot_refusal_can_be_switched_off),
        ON_CHIP(bootloader_for_a_later_revision_is_refused),
        ON_CHIP(table_for_more_flash_than_the_bootloader_knows_is_refused),
        ON_CHIP(encrypted_running_app_cannot_be_overwritten),
        ON_CHIP(calls_out_of_order_are_refused),
        ON_CHIP(failed_update_leaves_the_handle_usable),
        cmocka_unit_test(every_error_has_a_name),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
