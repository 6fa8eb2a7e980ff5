// SPDX-License-Identifier: Apache-2.0
#include "sr_download_esp_idf.h"

#include "self_reflasher_err.h"
#include "sr_http_esp_idf.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>

#define PIECE_SIZE 1024

static const char *TAG = "self_reflasher";

/* Why the stream of bytes ended. */
static esp_err_t judge_end(esp_http_client_handle_t client, int read, int64_t received, int64_t length)
{
    if (read == -ESP_ERR_HTTP_EAGAIN) {
        ESP_LOGE(TAG, "timeout after %" PRId64 " bytes", received);
        return ESP_ERR_HTTP_EAGAIN;
    }
    if (received == 0 && read == 0 && length < 0) {
        ESP_LOGE(TAG, "body is empty");
        return ESP_ERR_SELF_REFLASHER_EMPTY_BODY;
    }
    if (read < 0 || !esp_http_client_is_complete_data_received(client)) {
        ESP_LOGE(TAG, "body ended after %" PRId64 " bytes, announced were %" PRId64, received, length);
        return ESP_ERR_SELF_REFLASHER_SHORT_BODY;
    }
    return ESP_OK;
}

static esp_err_t receive(esp_http_client_handle_t client, const sr_download_sink_t *sink, int64_t length, char *piece)
{
    int64_t received = 0;
    esp_err_t err = sink->begin(sink->context, length);
    while (err == ESP_OK) {
        const int read = esp_http_client_read(client, piece, PIECE_SIZE);
        if (read <= 0) {
            return judge_end(client, read, received, length);
        }
        received += read;
        err = sink->data(sink->context, (const uint8_t *)piece, (size_t)read);
    }
    return err;
}

/* Only a whole body will do: nobody asked for a range. */
static esp_err_t fetch(esp_http_client_handle_t client, const esp_http_client_config_t *config,
                       const sr_download_sink_t *sink, char *piece)
{
    sr_http_answer_t answer;
    const esp_err_t err = sr_http_request(client, config, &answer);
    if (err != ESP_OK) {
        return err;
    }
    if (answer.status != 200) {
        ESP_LOGE(TAG, "server answered with status %d", answer.status);
        return ESP_ERR_SELF_REFLASHER_HTTP_STATUS;
    }
    return receive(client, sink, answer.length, piece);
}

esp_err_t sr_download(const esp_http_client_config_t *config, const sr_download_sink_t *sink)
{
    char *piece = heap_caps_malloc(PIECE_SIZE, MALLOC_CAP_8BIT);
    if (piece == NULL) {
        return ESP_ERR_NO_MEM;
    }
    esp_http_client_handle_t client = esp_http_client_init(config);
    esp_err_t err = ESP_ERR_NO_MEM;
    if (client != NULL) {
        err = fetch(client, config, sink, piece);
        (void)esp_http_client_close(client);
        (void)esp_http_client_cleanup(client);
    }
    heap_caps_free(piece);
    return err;
}
