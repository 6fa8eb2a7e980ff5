// SPDX-License-Identifier: Apache-2.0
#include "net/sr_download.h"

#include "self_reflasher_err.h"
#include "port/sr_yield.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>

#define PIECE_SIZE 1024
#define TRIES      2u /**< From the first URL, if what a redirect led to is refused. */

static const char *TAG = "self_reflasher";

static esp_err_t tell_failure(esp_err_t err, int64_t received, int64_t length)
{
    if (err == ESP_ERR_HTTP_EAGAIN) {
        ESP_LOGE(TAG, "timeout after %" PRId64 " bytes", received);
    } else if (err == ESP_ERR_SELF_REFLASHER_SHORT_BODY) {
        ESP_LOGE(TAG, "body ended after %" PRId64 " bytes, %" PRId64 " were announced", received, length);
    }
    return err;
}

/* The stream of bytes has ended. */
static esp_err_t classify_end(const sr_http_t *http, int64_t received, int64_t length)
{
    if (received == 0 && length < 0) {
        ESP_LOGE(TAG, "body is empty");
        return ESP_ERR_SELF_REFLASHER_EMPTY_BODY;
    }
    return sr_http_is_complete(http) ? ESP_OK : tell_failure(ESP_ERR_SELF_REFLASHER_SHORT_BODY, received, length);
}

static esp_err_t receive(sr_http_t *http, const sr_download_sink_t *sink, int64_t length, char *piece)
{
    int64_t received = 0;
    esp_err_t err = sink->begin(sink->context, length);
    while (err == ESP_OK) {
        uint32_t got;
        sr_yield(PIECE_SIZE);
        err = sr_http_read(http, piece, PIECE_SIZE, &got);
        if (err != ESP_OK) {
            return tell_failure(err, received, length);
        }
        if (got == 0) {
            return classify_end(http, received, length);
        }
        received += got;
        err = sink->data(sink->context, (const uint8_t *)piece, got);
    }
    return err;
}

/* A redirect may come from a cache and be old, and its target may have expired since. */
static esp_err_t request(sr_http_t *http, sr_http_answer_t *answer)
{
    esp_err_t err = ESP_OK;
    for (unsigned i = 0; i < TRIES; i++) {
        err = sr_http_start_over(http);
        if (err == ESP_OK) {
            err = sr_http_request(http, answer);
        }
        if (err != ESP_ERR_SELF_REFLASHER_HTTP_STATUS || !http->redirected || answer->status < 400 ||
            answer->status > 499) {
            return err;
        }
    }
    return err;
}

/* Only a whole body is accepted: no range was asked for. */
static esp_err_t fetch(sr_http_t *http, const sr_download_sink_t *sink, char *piece)
{
    sr_http_answer_t answer = {0};
    const esp_err_t err = request(http, &answer);
    if (err != ESP_OK) {
        return err;
    }
    if (answer.status != 200) {
        ESP_LOGE(TAG, "server answered with status %d", answer.status);
        return ESP_ERR_SELF_REFLASHER_HTTP_STATUS;
    }
    return receive(http, sink, answer.length, piece);
}

esp_err_t sr_download(sr_http_t *http, const sr_download_sink_t *sink)
{
    char *piece = heap_caps_malloc(PIECE_SIZE, MALLOC_CAP_8BIT);
    if (piece == NULL) {
        return ESP_ERR_NO_MEM;
    }
    esp_err_t err = sr_http_open(http);
    if (err == ESP_OK) {
        err = fetch(http, sink, piece);
    }
    sr_http_close(http);
    heap_caps_free(piece);
    return err;
}
