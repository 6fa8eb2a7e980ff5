// SPDX-License-Identifier: Apache-2.0
/** @file
 * Does at each start what the job in flash says, and tells the test about it in lines that start with "test: ".
 */
#include "job.h"
#include "online.h"
#include "self_reflasher_bundle.h"

#include "esp_event.h"
#include "esp_flash.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STACK_SIZE 8192
#define HANGS_AT   64 /* sectors, at which other sectors are written already */

static job_t s_job;

/** Whole sectors of 0xFF inside the image. Where the chip encrypts its flash, erased cells would be something else. */
static const uint8_t s_blank[3 * 4096] = {[0 ... 3 * 4096 - 1] = 0xFF};

static void tell_start(void)
{
    const volatile uint8_t *blank = s_blank;
    assert(blank[sizeof(s_blank) / 2] == 0xFF);
    printf("test: app %s at 0x%" PRIx32 ", reset reason %d\n", CONFIG_TEST_APP_NAME,
           esp_ota_get_running_partition()->address, (int)esp_reset_reason());
}

/** For a watchdog to bite: that of tasks, or that of interrupts. */
static void hang(void)
{
    printf("test: hangs\n");
    if (job_is(&s_job, "hangs", "without interrupts")) {
        portDISABLE_INTERRUPTS();
    }
    for (;;) {
    }
}

static void on_event(void *user_ctx, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    static const char *const names[] = {"check", "prepare", "stage", "commit", "retry", "done", "failed"};
    (void)user_ctx;
    static uint32_t last = UINT32_MAX;
    /* Each line takes time, during which a kill that comes by chance meets no flash operation. */
    const bool boundary = data->sectors_done == 0 || data->sectors_done == data->sectors_total;
    if (boundary || (uint32_t)event != last || data->sectors_done % 64 == 0) {
        printf("test: %s %" PRIu32 "/%" PRIu32 "\n", names[event], data->sectors_done, data->sectors_total);
    }
    last = event;
    if (job_value(&s_job, "hangs") != NULL && event == ESP_SELF_REFLASHER_EVENT_PREPARE &&
        data->sectors_done >= HANGS_AT && job_is_first_time()) {
        hang();
    }
}

static uint32_t allowed(void)
{
    return (job_is(&s_job, "temporary_table", "1") ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE : 0) |
           (job_is(&s_job, "in_place", "1") ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE : 0);
}

/** @param[out] written whether the caller has to restart the chip. */
static esp_err_t apply_bundle(const esp_http_client_config_t *http, bool *written)
{
    const esp_self_reflasher_bundle_config_t config = {
        .http_config = http,
        .embedded = job_region(&s_job, "source"),
        .public_key = job_value(&s_job, "public_key"),
        .event_cb = on_event,
        .flags = allowed(),
    };
    static esp_self_reflasher_plan_t plan;
    const esp_err_t err = esp_self_reflasher_apply_bundle(&config, &plan);
    printf("test: plan to write %" PRIu32 ", right %" PRIu32 ", download %" PRIu32 ", window ms %" PRIu32 " to %" PRIu32
           ", relocation %d\n",
           plan.sectors_to_write, plan.sectors_right, plan.bytes_to_download, plan.window_ms_typical,
           plan.window_ms_maximum, (int)plan.relocation);
    if (err == ESP_ERR_SELF_REFLASHER_REFUSED) {
        printf("test: refused: %s\n", plan.refusal_text);
    }
    *written = err == ESP_OK && plan.sectors_to_write > 0;
    return err;
}

static esp_err_t resume(void)
{
    const esp_self_reflasher_bundle_config_t config = {
        .public_key = job_value(&s_job, "public_key"),
        .flags = allowed(),
    };
    return config.public_key == NULL ? ESP_OK : esp_self_reflasher_resume(&config);
}

static esp_err_t download(const esp_http_client_config_t *http)
{
    const esp_self_reflasher_config_t config = {.http_config = http, .dest_region = job_region(&s_job, "destination")};
    esp_self_reflasher_handle_t handle = NULL;
    esp_err_t err = esp_self_reflasher_init(&config, &handle);
    if (err == ESP_OK) {
        err = esp_self_reflasher_download_bin(handle);
    }
    if (err == ESP_OK) {
        printf("test: commit 0/1\n");
        err = esp_self_reflasher_copy_to_region(handle);
        printf("test: commit 1/1\n");
    }
    if (handle != NULL) {
        esp_self_reflasher_deinit(handle);
    }
    return err;
}

static esp_err_t copy(void)
{
    esp_self_reflasher_config_t config = {
        .src_region = job_region(&s_job, "source"),
        .dest_region = job_region(&s_job, "destination"),
    };
    config.src_bin_size = config.src_region.region_size;
    if (job_is(&s_job, "temporary_table", "1")) {
        config.flags = ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE;
    }
    printf("test: commit 0/1\n");
    const esp_err_t err = esp_self_reflasher_directly_copy_to_region(&config);
    printf("test: commit 1/1\n");
    return err;
}

/** Whether what is written encrypted reads as it was: two rows, since an emulator may drop the second. */
static esp_err_t probe(void)
{
    const uint32_t address = job_region(&s_job, "destination").region_address;
    uint8_t written[2 * 32], found[sizeof(written)] = {0};
    for (size_t i = 0; i < sizeof(written); i++) {
        written[i] = (uint8_t)i;
    }
    ESP_ERROR_CHECK(esp_flash_erase_region(NULL, address, 4096));
    ESP_ERROR_CHECK(esp_flash_write_encrypted(NULL, address, written, sizeof(written)));
    ESP_ERROR_CHECK(esp_flash_read_encrypted(NULL, address, found, sizeof(found)));
    return memcmp(found, written, sizeof(found)) == 0 ? ESP_OK : ESP_FAIL;
}

static esp_err_t do_job(const esp_http_client_config_t *http, bool *written)
{
    if (job_is(&s_job, "call", "bundle")) {
        return apply_bundle(http, written);
    }
    if (job_is(&s_job, "call", "probe")) {
        return probe();
    }
    return job_is(&s_job, "call", "download") ? download(http) : job_is(&s_job, "call", "copy") ? copy() : ESP_OK;
}

static void job_task(void *unused)
{
    (void)unused;
    ESP_ERROR_CHECK_WITHOUT_ABORT(resume());

    const esp_http_client_config_t http = {
        .url = job_value(&s_job, "url"),
        .cert_pem = job_value(&s_job, "certificate"),
        .common_name = job_value(&s_job, "common_name"),
        .keep_alive_enable = true,
        .timeout_ms = 5000,
    };
    if (http.url != NULL) {
        go_online();
    }

    const uint32_t free_before = esp_get_free_heap_size();
    const int64_t begin = esp_timer_get_time();
    bool written = false;
    const esp_err_t err = do_job(http.url != NULL ? &http : NULL, &written);
    printf("test: figures ms %" PRId64 ", heap before %" PRIu32 ", heap least %" PRIu32 ", stack %u\n",
           (esp_timer_get_time() - begin) / 1000, free_before, esp_get_minimum_free_heap_size(),
           STACK_SIZE - (unsigned)uxTaskGetStackHighWaterMark(NULL));
    printf("test: result %s\n", esp_self_reflasher_err_to_name(err));
    if (written) {
        esp_restart();
    }
    vTaskDelete(NULL);
}

void app_main(void)
{
    tell_start();
    ESP_ERROR_CHECK(job_read(&s_job));
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    xTaskCreate(job_task, "job", STACK_SIZE, NULL, 1, NULL);
}
