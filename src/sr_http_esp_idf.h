// SPDX-License-Identifier: Apache-2.0
/** @file
 * One HTTP request with a body that is read as a stream, redirects and authorization included: what
 * esp_http_client_perform() does, for a caller that wants the body in pieces.
 */
#pragma once

#include "esp_err.h"
#include "esp_http_client.h"

#include <stdint.h>

/** An answer whose body waits to be read with esp_http_client_read(). */
typedef struct sr_http_answer {
    int status;     /**< 200 or 206. */
    int64_t length; /**< Announced bytes of the body, or -1. */
} sr_http_answer_t;

/**
 * Sends the request that the client is set up for, follows redirects as its configuration allows, and reads the
 * headers of the answer. A connection that is still open is used again.
 *
 * @return
 *  - ESP_OK: status 200 or 206
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS: another status; it is in @p answer
 *  - ESP_ERR_HTTP_MAX_REDIRECT, ESP_ERR_HTTP_FETCH_HEADER, ESP_ERR_HTTP_EAGAIN (timeout) or another error of
 *    esp_http_client
 */
esp_err_t sr_http_request(esp_http_client_handle_t client, const esp_http_client_config_t *config,
                          sr_http_answer_t *answer);
