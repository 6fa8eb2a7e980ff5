// SPDX-License-Identifier: Apache-2.0
/** @file
 * Handles as apps of the field hand them in: by value, and now and then wrongly. Each call with each kind of value that
 * is not a live handle: ESP_ERR_INVALID_ARG, an error line, nothing changed, least of all the caller's own memory.
 */
#include "test/support/api_support.h"

#include <stdlib.h>
#include <string.h>

static api_server_t server;
static api_chip_t chip;
static api_download_t first, second;
static api_image_t image;

static int start_server(void **state)
{
    (void)state;
    api_server_start(&server);
    image = api_noise(0x1234, 1);
    api_server_put(&server, "image.bin", image);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    api_server_stop(&server);
    api_image_free(&image);
    return 0;
}

static int open_chip(void **state)
{
    (void)state;
    api_chip_open(&chip, &(api_options_t){.logs = true});
    api_download_to(&first, api_server_url(&server, "/image.bin"), API_DATA, 0x2000);
    api_download_to(&second, api_server_url(&server, "/image.bin"), API_DATA + 0x2000, 0x3000);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    api_chip_close(&chip);
    return 0;
}

/* Every call that takes a handle. */

static esp_err_t next(esp_self_reflasher_handle_t handle)
{
    return esp_self_reflasher_upd_next_config(&second.config, handle);
}

static const struct {
    const char *name;
    esp_err_t (*call)(esp_self_reflasher_handle_t handle);
} calls[] = {
    {"upd_next_config", next},
    {"download_bin", esp_self_reflasher_download_bin},
    {"copy_to_region", esp_self_reflasher_copy_to_region},
    {"deinit", esp_self_reflasher_deinit},
};

static void expect_refused(esp_self_reflasher_handle_t handle, const char *what)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        api_log_start();
        const esp_err_t err = calls[i].call(handle);
        char *log = api_log_stop();
        if (err != ESP_ERR_INVALID_ARG) {
            fail_msg("%s with %s: %s", calls[i].name, what, esp_self_reflasher_err_to_name(err));
        }
        api_assert_error_line(log, "handle", NULL);
        free(log);
        api_assert_untouched(&chip);
    }
}

static esp_self_reflasher_handle_t opened(const api_download_t *download)
{
    esp_self_reflasher_handle_t handle = NULL;
    api_log_start();
    const esp_err_t err = esp_self_reflasher_init(&download->config, &handle);
    free(api_log_stop());
    assert_int_equal(err, ESP_OK);
    return handle;
}

static void expect_works(esp_self_reflasher_handle_t handle)
{
    api_log_start();
    const esp_err_t downloaded = esp_self_reflasher_download_bin(handle);
    const esp_err_t copied = esp_self_reflasher_copy_to_region(handle);
    const esp_err_t changed = next(handle);
    const esp_err_t again = esp_self_reflasher_download_bin(handle);
    const esp_err_t second_copied = esp_self_reflasher_copy_to_region(handle);
    free(api_log_stop());
    assert_int_equal(downloaded, ESP_OK);
    assert_int_equal(copied, ESP_OK);
    assert_int_equal(changed, ESP_OK);
    assert_int_equal(again, ESP_OK);
    assert_int_equal(second_copied, ESP_OK);
    api_assert_holds(&chip, (sr_region_t){API_DATA, 0x2000}, image);
    api_assert_holds(&chip, (sr_region_t){API_DATA + 0x2000, 0x3000}, image);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
}

/* While no handle is live, and while one is, which must not suffer. */
static void expect_refused_always(esp_self_reflasher_handle_t bad, const char *what)
{
    expect_refused(bad, what);
    esp_self_reflasher_handle_t live = opened(&first);
    const uint32_t heap = sim_counters()->heap_now;
    expect_refused(bad, what);
    api_assert_no_leak(heap);
    expect_works(live);
    api_chip_snapshot(&chip);
}

static void what_never_was_a_handle_is_refused(void **state)
{
    (void)state;
    static int in_data;
    int on_stack = 0;
    int *on_heap = malloc(256);
    assert_non_null(on_heap);
    memset(on_heap, 0x5A, 256);
    expect_refused_always(NULL, "NULL");
    expect_refused_always(&in_data, "the address of a variable");
    expect_refused_always(&on_stack, "an address on the stack");
    expect_refused_always(on_heap, "an address on the heap");
    expect_refused_always((void *)(uintptr_t)&expect_works, "the address of a function");
    expect_refused_always((void *)(uintptr_t)API_OTA_0, "a flash address");
    expect_refused_always((void *)(uintptr_t)ESP_ERR_NO_MEM, "an error code");
    expect_refused_always((void *)UINTPTR_MAX, "all bits set");
    for (uintptr_t bit = 0; bit < sizeof(void *) * 8; bit++) {
        expect_refused((void *)((uintptr_t)1 << bit), "one bit");
        expect_refused((void *)(UINTPTR_MAX >> bit), "some bits");
    }
    for (int i = 0; i < 256 / (int)sizeof(int); i++) {
        assert_int_equal(on_heap[i], 0x5A5A5A5A);
    }
    free(on_heap);
}

/* All of these are values that an app has while it calls. */
static void what_belongs_to_a_handle_is_none(void **state)
{
    (void)state;
    const api_download_t first_before = first;
    const api_download_t second_before = second;
    esp_self_reflasher_handle_t handle = opened(&first);
    esp_self_reflasher_handle_t *pointer = &handle;
    const esp_self_reflasher_handle_t before = handle;
    expect_refused(&handle, "the address of the handle");
    expect_refused(&pointer, "the address of that");
    expect_refused(&first.config, "its config");
    expect_refused(&first.http, "its HTTP config");
    for (int offset = -64; offset <= 64; offset++) {
        if (offset != 0) {
            expect_refused((void *)((uintptr_t)handle + (uintptr_t)(intptr_t)offset), "a neighbour of it");
        }
    }
    assert_ptr_equal(handle, before);
    assert_memory_equal(&first, &first_before, sizeof(first));
    assert_memory_equal(&second, &second_before, sizeof(second));
    expect_works(handle);
}

/* Freed memory is allocated again: an old handle must not be taken for the new one. */
static void handle_that_was_given_back_stays_refused(void **state)
{
    (void)state;
    esp_self_reflasher_handle_t old[8];
    for (unsigned i = 0; i < 8; i++) {
        old[i] = opened(&first);
        assert_int_equal(esp_self_reflasher_deinit(old[i]), ESP_OK);
    }
    for (unsigned i = 0; i < 8; i++) {
        expect_refused_always(old[i], "a handle that was given back");
    }
}

static void handles_live_side_by_side(void **state)
{
    (void)state;
    esp_self_reflasher_handle_t handles[3];
    for (unsigned i = 0; i < 3; i++) {
        handles[i] = opened(&first);
    }
    /* The middle one, the newest, the oldest. */
    static const unsigned order[] = {1, 2, 0};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(esp_self_reflasher_deinit(handles[order[i]]), ESP_OK);
        expect_refused(handles[order[i]], "one of several");
        for (unsigned j = i + 1; j < 3; j++) {
            api_log_start();
            const esp_err_t err = next(handles[order[j]]);
            free(api_log_stop());
            assert_int_equal(err, ESP_OK);
        }
    }
    api_assert_no_leak(0);
}

/* In each state of a handle each call fails once, of want of memory or because it is not its turn. */
static void handle_outlives_every_failure(void **state)
{
    (void)state;
    esp_self_reflasher_handle_t handle = opened(&first);
    const uint32_t heap = sim_counters()->heap_now;
    for (unsigned step = 0; step < 3; step++) {
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) - 1; i++) {
            api_download_t refused = second;
            refused.config.dest_region.region_address = 1;
            api_log_start();
            sim_heap_fail_at(calls[i].call == next ? 0 : 1);
            const esp_err_t err = calls[i].call == next ? esp_self_reflasher_upd_next_config(&refused.config, handle)
                                                        : calls[i].call(handle);
            sim_heap_fail_at(0);
            free(api_log_stop());
            assert_int_not_equal(err, ESP_OK);
            assert_int_not_equal(err, ESP_ERR_INVALID_ARG);
            api_assert_no_leak(heap);
        }
        api_log_start();
        const esp_err_t err = step == 0   ? esp_self_reflasher_download_bin(handle)
                              : step == 1 ? esp_self_reflasher_copy_to_region(handle)
                                          : next(handle);
        free(api_log_stop());
        assert_int_equal(err, ESP_OK);
    }
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
}

#define ON_CHIP(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CHIP(what_never_was_a_handle_is_refused),
        ON_CHIP(what_belongs_to_a_handle_is_none),
        ON_CHIP(handle_that_was_given_back_stays_refused),
        ON_CHIP(handles_live_side_by_side),
        ON_CHIP(handle_outlives_every_failure),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
