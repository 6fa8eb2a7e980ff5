// SPDX-License-Identifier: Apache-2.0
/** @file
 * One HTTP connection at a time and one request at a time on it, on libcurl, at the pace of the reader.
 *
 * Used by esp_http_client.c. What libcurl does and a chip does not (replace a kept connection that has died, use
 * proxies, decode, follow redirects) is switched off.
 */
#pragma once

#include "esp_http_client.h"

#include <curl/curl.h>

/** How a request ended. */
typedef enum http_outcome {
    HTTP_NOT_STARTED,
    HTTP_UNDER_WAY,
    HTTP_COMPLETE,      /**< The whole response came; its body may still be waiting to be taken. */
    HTTP_NOT_CONNECTED, /**< No connection, or TLS refused it. */
    HTTP_NOT_SENT,
    HTTP_CLOSED, /**< The server closed the connection before the response was complete. */
    HTTP_BROKEN, /**< Anything else that ends a response early. */
} http_outcome_t;

/** What http_transfer_start() sends. */
typedef struct http_request {
    const char *url;
    const char *method;
    struct curl_slist *headers;    /**< Ownership passes to the transfer. */
    struct curl_slist *connect_to; /**< As CURLOPT_CONNECT_TO, or NULL; passes to the transfer. */
    const char *username;
    const char *password;
    long auth;      /**< CURLAUTH_NONE, CURLAUTH_BASIC or CURLAUTH_DIGEST. */
    int timeout_ms; /**< For connecting; negative: libcurl's own. */
} http_request_t;

/** To be read by the owner and changed by the functions below only. */
typedef struct http_transfer {
    CURL *easy;
    CURLM *multi; /**< Holds the connection; NULL: there is none. */
    struct curl_slist *request_headers;
    struct curl_slist *connect_to;
    http_outcome_t outcome;
    bool connected;        /**< From the handshake until disconnect(), even if the server hangs up. */
    bool new_connection;   /**< The request under way needed one. */
    bool reuse;            /**< It must not have one: the chip believes that it is connected. */
    bool reuse_failed;     /**< It would have needed one. */
    bool sent;             /**< The request is out. */
    bool headers_complete; /**< The fields from here on are valid. */
    int status;
    int64_t content_length;     /**< -1: not announced. */
    bool chunked;               /**< Transfer-Encoding is. */
    bool keep_alive;            /**< The server leaves the connection open. */
    struct curl_slist *headers; /**< The response's, as "key: value" lines. */
    bool answers_challenges;    /**< libcurl answers a 401 itself, if it can. */
    bool challenged;            /**< The last response was one. */
    uint64_t received;          /**< Grows with all that comes in, to tell a slow server from a silent one. */
    bool paused;                /**< libcurl holds back body bytes until the ones below are taken. */
    size_t body_start;
    size_t body_end;
    char body[CURL_MAX_WRITE_SIZE];
    char error[CURL_ERROR_SIZE]; /**< Why it failed. */
    int socket_errno;
    int keep_alive_idle; /**< TCP keep-alive in seconds; 0: off. */
    int keep_alive_interval;
    int keep_alive_count;
} http_transfer_t;

/** A transfer with the TLS and TCP settings of @p config. @return NULL if memory is out or the certificates cannot be
 * parsed */
http_transfer_t *http_transfer_new(const esp_http_client_config_t *config);
void http_transfer_free(http_transfer_t *transfer);

/** Begins a request on the connection that is still there or else on a new one. @return false if memory is out */
bool http_transfer_start(http_transfer_t *transfer, const http_request_t *request);

/**
 * Lets the transfer go on until it has ended, or @p ready says so, or for @p timeout_ms nothing came in.
 * @param timeout_ms  negative: wait for ever. Read again when something has come in: a timer may have changed it.
 * @return false after the timeout
 */
bool http_transfer_run(http_transfer_t *transfer, bool (*ready)(const http_transfer_t *), const int *timeout_ms);

/** Takes up to @p len body bytes that are there; does not wait. @return how many */
size_t http_transfer_take(http_transfer_t *transfer, char *buffer, size_t len);

/** Closes the connection and drops what was not taken yet. */
void http_transfer_disconnect(http_transfer_t *transfer);
