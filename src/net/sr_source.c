// SPDX-License-Identifier: Apache-2.0
#include "net/sr_source.h"

#include "self_reflasher_err.h"
#include "port/sr_yield.h"

#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <inttypes.h>
#include <stdio.h>

#define DROP_SIZE 256 /**< Bytes read at once of what is not wanted; they are on the stack. */
#define SMALL_GAP 1024u
#define SMALL_REST                                                                                                     \
    SR_BLOCK_SIZE /**< Reading so much, the most that a chunk has, is quicker than another TLS handshake. */
#define FIRST_PAUSE_MS   250u
#define LONGEST_PAUSE_MS 8000u
#define ENOUGH_PROGRESS  4096u

static const char *TAG = "self_reflasher";

esp_err_t sr_source_open(sr_source_t *source)
{
    source->client =
        (sr_http_t){.config = source->http, .stall_ms = source->stall_ms, .allow_http = source->allow_http};
    source->connected = source->led_astray = source->failed = false;
    source->stream = source->position = source->end = 0;
    source->downloaded = source->retries = source->failures = source->progress = 0;
    if (source->http == NULL) {
        return ESP_OK;
    }
    return sr_http_open(&source->client);
}

static void disconnect(sr_source_t *source)
{
    sr_http_disconnect(&source->client);
    source->connected = false;
}

void sr_source_close(sr_source_t *source)
{
    sr_http_close(&source->client);
    source->connected = false;
}

void sr_source_seek(sr_source_t *source, uint32_t offset, uint32_t end)
{
    source->position = offset;
    source->end = end;
}

/* True if the response that is being read gets to the wanted byte: at once, over a gap that costs less than a request,
 * or, where the server sends the whole file in any case, by reading on. */
static bool stream_will_do(const sr_source_t *source)
{
    if (!source->connected || source->stream > source->position || source->position >= source->stream_end) {
        return false;
    }
    return source->whole || source->position - source->stream <= SMALL_GAP;
}

/* One read from the response. No data counts as an error. */
static esp_err_t read_some(sr_source_t *source, void *out, uint32_t length, uint32_t *got)
{
    sr_yield(length);
    const esp_err_t err = sr_http_read(&source->client, out, length, got);
    if (err != ESP_OK || *got == 0) {
        return err != ESP_OK ? err : ESP_ERR_SELF_REFLASHER_SHORT_BODY;
    }
    source->stream += *got;
    source->downloaded += *got;
    source->progress += *got;
    return ESP_OK;
}

static esp_err_t drop_until(sr_source_t *source, uint32_t offset)
{
    char unwanted[DROP_SIZE];
    while (source->stream < offset) {
        const uint32_t left = offset - source->stream;
        uint32_t got;
        const esp_err_t err = read_some(source, unwanted, left < DROP_SIZE ? left : DROP_SIZE, &got);
        if (err != ESP_OK) {
            return err;
        }
    }
    return ESP_OK;
}

/* The rest of the last response is in the way of the next one on this connection. A server that sends whole files is
 * most likely one that closes after each.
 * @return true if there is a connection to go on with */
static bool end_response(sr_source_t *source)
{
    const bool usable = source->connected && !source->whole && source->stream_end - source->stream <= SMALL_REST &&
                        drop_until(source, source->stream_end) == ESP_OK;
    if (source->connected && !usable) {
        disconnect(source);
    }
    source->connected = false;
    return usable;
}

static bool is_broken_connection(esp_err_t err)
{
    return err != ESP_OK && err != ESP_ERR_SELF_REFLASHER_HTTP_STATUS && err != ESP_ERR_HTTP_MAX_REDIRECT &&
           err != ESP_ERR_SELF_REFLASHER_DOWNGRADE && err != ESP_ERR_SELF_REFLASHER_TOO_SLOW && err != ESP_ERR_NO_MEM &&
           err != ESP_ERR_HTTP_EAGAIN;
}

/* A server may close a connection that waits for the next request at any time: that is no failure of it. */
static esp_err_t send_request(sr_source_t *source, bool kept_alive, sr_http_answer_t *answer)
{
    const esp_err_t err = sr_http_request(&source->client, answer);
    if (!kept_alive || !is_broken_connection(err)) {
        return err;
    }
    disconnect(source);
    return sr_http_request(&source->client, answer);
}

/* Asks for [position, end). A server that does not support ranges answers 200 and starts from the first byte. */
static esp_err_t request_range(sr_source_t *source)
{
    char range[40];
    sr_http_answer_t answer = {0};
    const bool kept_alive = end_response(source);
    (void)snprintf(range, sizeof(range), "bytes=%" PRIu32 "-%" PRIu32, source->position, source->end - 1u);
    esp_err_t err = source->failed ? sr_http_start_over(&source->client) : ESP_OK;
    source->failed = err != ESP_OK;
    if (err == ESP_OK) {
        err = sr_http_set_header(&source->client, "Range", range);
    }
    if (err == ESP_OK) {
        err = send_request(source, kept_alive, &answer);
    }
    source->led_astray = err == ESP_ERR_SELF_REFLASHER_HTTP_STATUS && source->client.redirected &&
                         answer.status >= 400 && answer.status <= 499;
    if (err == ESP_ERR_SELF_REFLASHER_HTTP_STATUS && answer.status == 416) {
        return ESP_ERR_INVALID_SIZE; /* The file ends before the wanted byte. */
    }
    if (err == ESP_ERR_SELF_REFLASHER_HTTP_STATUS && (answer.status >= 500 || answer.status == 429)) {
        return ESP_ERR_HTTP_EAGAIN; /* The server is overloaded, and may not be in a moment. */
    }
    if (err != ESP_OK) {
        return err;
    }
    source->connected = true;
    source->whole = answer.status == 200;
    source->stream = source->whole ? 0 : source->position;
    source->stream_end = UINT32_MAX;
    if (answer.length >= 0 && answer.length < UINT32_MAX - source->stream) {
        source->stream_end = source->stream + (uint32_t)answer.length;
    }
    return source->position < source->stream_end ? ESP_OK : ESP_ERR_INVALID_SIZE;
}

static esp_err_t read_piece(sr_source_t *source, uint8_t *out, uint32_t length, uint32_t *got)
{
    esp_err_t err = stream_will_do(source) ? ESP_OK : request_range(source);
    if (err == ESP_OK) {
        err = drop_until(source, source->position);
    }
    if (err == ESP_OK) {
        err = read_some(source, out, length, got);
    }
    return err;
}

static bool is_worth_a_retry(const sr_source_t *source, esp_err_t err)
{
    switch (err) {
    case ESP_ERR_SELF_REFLASHER_HTTP_STATUS:
    case ESP_ERR_INVALID_SIZE:
        return source->led_astray && source->failures < source->max_retries;
    case ESP_ERR_SELF_REFLASHER_DOWNGRADE:
    case ESP_ERR_HTTP_MAX_REDIRECT:
    case ESP_ERR_NO_MEM:
        return false;
    default:
        return source->failures < source->max_retries;
    }
}

static void pause_before_retry(sr_source_t *source, esp_err_t err)
{
    const uint32_t shift = source->failures < 5u ? source->failures : 5u;
    const uint32_t pause = FIRST_PAUSE_MS << shift;
    ESP_LOGW(TAG, "%s at offset %" PRIu32 ", trying again", esp_self_reflasher_err_to_name(err), source->position);
    source->failures++;
    source->retries++;
    source->progress = 0;
    if (source->on_retry != NULL) {
        source->on_retry(source->retry_context);
    }
    vTaskDelay(pdMS_TO_TICKS(pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS));
}

static esp_err_t read_http(sr_source_t *source, uint8_t *out, uint32_t length)
{
    while (length > 0) {
        uint32_t got = 0;
        const esp_err_t err = read_piece(source, out, length, &got);
        if (err != ESP_OK) {
            disconnect(source);
            source->failed = true;
            if (!is_worth_a_retry(source, err)) {
                ESP_LOGE(TAG, "%s at offset %" PRIu32 ", given up", esp_self_reflasher_err_to_name(err),
                         source->position);
                return err;
            }
            pause_before_retry(source, err);
            continue;
        }
        if (source->progress >= ENOUGH_PROGRESS) {
            source->failures = 0;
        }
        source->position += got;
        out += got;
        length -= got;
    }
    return ESP_OK;
}

esp_err_t sr_source_read(sr_source_t *source, void *out, uint32_t length)
{
    if (length > source->end || source->position > source->end - length) {
        return ESP_ERR_INVALID_SIZE;
    }
    if (source->http != NULL) {
        return read_http(source, out, length);
    }
    if (source->end > source->region.size) {
        return ESP_ERR_INVALID_SIZE;
    }
    sr_yield(length);
    const esp_err_t err = sr_flash_read(&source->flash, source->region.address + source->position, out, length);
    source->position += length;
    return err;
}
