// SPDX-License-Identifier: Apache-2.0
/** @file
 * HTTP requests whose bodies are read as a stream, redirects and authorization included: what esp_http_client_perform()
 * does, for a caller that wants the body in pieces, and that no server may stall for ever or redirect away from https.
 *
 * Redirects: esp_http_client of ESP-IDF 5.1 to 6.0 follows them to any scheme, keeps the new URL for later requests,
 * and sends the user name, the password and the headers of its configuration to wherever they lead. The first two are
 * corrected here. (From ESP-IDF 6.1 on it refuses by itself what leads from https to anything that does not start with
 * `https://`, a path on the same server included, and nothing can allow it.)
 */
#pragma once

#include "esp_err.h"
#include "esp_http_client.h"
#include "esp_timer.h"

#include <stdbool.h>
#include <stdint.h>

/** Milliseconds that the headers of an answer, and every SR_HTTP_PROGRESS bytes of its body, may take. */
#define SR_HTTP_STALL_MS 60000u

/** Bytes of a body that count as progress: a server that sends less than this in the time above is too slow. */
#define SR_HTTP_PROGRESS 4096u

/** A client, one request at a time. */
typedef struct sr_http {
    const esp_http_client_config_t *config; /**< Must live until sr_http_close(). */
    uint32_t stall_ms;                      /**< 0: SR_HTTP_STALL_MS. */
    bool allow_http;                        /**< A redirect may lead from https to http. */

    esp_http_client_handle_t client; /**< Set by sr_http_open(), like all below. */
    esp_timer_handle_t timer;
    bool redirected;   /**< The client's URL is not the first one any more. */
    int64_t waited_us; /**< Time spent waiting for the server since the last progress. */
    uint32_t progress; /**< Bytes of the body since then. */
    uint32_t early;    /**< At most so many bytes of the body may wait in the client since the headers came. */
} sr_http_t;

/** An answer whose body waits to be read with sr_http_read(). */
typedef struct sr_http_answer {
    int status;     /**< 200 or 206. */
    int64_t length; /**< Announced bytes of the body, or -1. */
} sr_http_answer_t;

/**
 * Makes a client. Connects to nothing.
 * @return ESP_OK; ESP_ERR_NO_MEM; or ESP_ERR_NOT_SUPPORTED without CONFIG_SELF_REFLASHER_HTTP, which leaves ESP-IDF's
 * client and the network out of the app. sr_http_close() is due in all cases.
 */
esp_err_t sr_http_open(sr_http_t *http);

/** Sets a header of the requests to come. @return ESP_OK or ESP_ERR_NO_MEM. */
esp_err_t sr_http_set_header(sr_http_t *http, const char *name, const char *value);

/**
 * Sends the request that the client is set up for, follows redirects as its configuration allows, and reads the
 * headers of the answer. A connection that is still open is used again.
 *
 * @return
 *  - ESP_OK: status 200 or 206
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS: another status; it is in @p answer
 *  - ESP_ERR_SELF_REFLASHER_DOWNGRADE: a redirect leads away from https
 *  - ESP_ERR_SELF_REFLASHER_TOO_SLOW: no whole headers in time
 *  - ESP_ERR_HTTP_MAX_REDIRECT, ESP_ERR_HTTP_FETCH_HEADER, ESP_ERR_HTTP_EAGAIN (timeout) or another error of
 *    esp_http_client
 */
esp_err_t sr_http_request(sr_http_t *http, sr_http_answer_t *answer);

/**
 * Reads up to @p length bytes of the body.
 * @param[out] got How many; 0 at the end of the body.
 * @return ESP_OK; ESP_ERR_HTTP_EAGAIN if nothing came before the timeout; ESP_ERR_SELF_REFLASHER_TOO_SLOW if less than
 *         SR_HTTP_PROGRESS bytes came in time; ESP_ERR_SELF_REFLASHER_SHORT_BODY if the connection broke
 */
esp_err_t sr_http_read(sr_http_t *http, void *out, uint32_t length, uint32_t *got);

/** True if all of the body was read that was announced. */
bool sr_http_is_complete(const sr_http_t *http);

/** Closes the connection; the client stays. */
void sr_http_disconnect(sr_http_t *http);

/**
 * Goes back to the first URL if a redirect led away from it: the new URL, for example a signed one, may have expired.
 * What was set with sr_http_set_header() is lost then.
 * @return ESP_OK or ESP_ERR_NO_MEM.
 */
esp_err_t sr_http_start_over(sr_http_t *http);

/** Closes the connection and frees everything. */
void sr_http_close(sr_http_t *http);
