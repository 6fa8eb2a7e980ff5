// SPDX-License-Identifier: Apache-2.0
/** @file
 * One HTTP download as a stream, over the caller's esp_http_client configuration.
 */
#pragma once

#include "net/sr_http.h"

#include "esp_err.h"

#include <stddef.h>
#include <stdint.h>

/** Where the body goes. */
typedef struct sr_download_sink {
    void *context;
    /** Called once, before any byte. @param length Announced length, or -1. An error ends the download. */
    esp_err_t (*begin)(void *context, int64_t length);
    /** Called with the next bytes. An error ends the download. */
    esp_err_t (*data)(void *context, const uint8_t *bytes, size_t length);
} sr_download_sink_t;

/**
 * Downloads the body of one URL into a sink. The client is closed and freed on every path.
 *
 * @param http With its configuration set; not open.
 * @return
 *  - ESP_OK: the body is complete, and not empty
 *  - ESP_ERR_NO_MEM: no buffer, or no client
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS: the final answer is not 200; what a redirect led to was asked for twice
 *  - ESP_ERR_SELF_REFLASHER_DOWNGRADE: a redirect leads away from https
 *  - ESP_ERR_SELF_REFLASHER_TOO_SLOW: see sr_http_read()
 *  - ESP_ERR_SELF_REFLASHER_EMPTY_BODY, ESP_ERR_SELF_REFLASHER_SHORT_BODY
 *  - ESP_ERR_HTTP_MAX_REDIRECT: more redirects than the configuration allows
 *  - ESP_ERR_HTTP_FETCH_HEADER or another error of esp_http_client
 *  - an error of the sink, handed up unchanged
 */
esp_err_t sr_download(sr_http_t *http, const sr_download_sink_t *sink);
