// SPDX-License-Identifier: Apache-2.0
/** @file
 * Bytes by offset: from an HTTP(S) server, or from a region of flash.
 *
 * Over HTTP one kept-alive connection serves all reads. Each seek is one Range request, reads that go on where the last
 * one ended need none. A server that ignores Range and sends the whole file works too: what is not wanted is read and
 * dropped. A connection that breaks is made again, and the read goes on where it stopped: with growing pauses, a
 * bounded number of times, and from the first URL. A redirect is kept until then, but its target may have expired.
 */
#pragma once

#include "flash/sr_flash.h"
#include "format/sr_region.h"
#include "net/sr_http.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** Called before a broken connection is made again. */
typedef void (*sr_source_retry_t)(void *context);

typedef struct sr_source {
    const esp_http_client_config_t *http; /**< NULL: flash. */
    sr_flash_t flash;                     /**< For a region of flash. */
    sr_region_t region;                   /**< The region of flash. */
    uint32_t max_retries;                 /**< Consecutive ones, with less than 4 KiB in between. */
    uint32_t stall_ms;                    /**< As in sr_http_t. */
    bool allow_http;                      /**< A redirect may lead from https to http. */
    sr_source_retry_t on_retry;           /**< May be NULL. */
    void *retry_context;

    sr_http_t client;    /**< Set by sr_source_open(), like all below. Must not be moved in memory. */
    bool connected;      /**< A response is being read. */
    bool failed;         /**< The last read failed; the next one starts from the first URL. */
    bool led_astray;     /**< The last request was refused at the target of a redirect. */
    uint32_t stream;     /**< Offset of the next byte of the response. */
    uint32_t stream_end; /**< Offset past the last byte of the response; UINT32_MAX: not known. */
    bool whole;          /**< The response is the whole file: the server ignores Range. */
    uint32_t position;   /**< Offset of the next byte that is wanted. */
    uint32_t end;        /**< Offset past the last byte that will be wanted from here. */
    uint32_t downloaded; /**< Body bytes received. */
    uint32_t retries;    /**< Times that the connection was made again. */
    uint32_t failures;   /**< Consecutive failures, since the last 4 KiB that came through. */
    uint32_t progress;   /**< Bytes since the last failure. */
} sr_source_t;

/**
 * Opens a source whose configuration fields are set.
 * @return ESP_OK, or ESP_ERR_NO_MEM.
 */
esp_err_t sr_source_open(sr_source_t *source);

/**
 * Says which bytes will be read next.
 * @param end Offset past the last one of them; a request asks for no more.
 */
void sr_source_seek(sr_source_t *source, uint32_t offset, uint32_t end);

/**
 * Reads exactly @p length bytes on from the current position.
 * @return ESP_OK; ESP_ERR_INVALID_SIZE if they lie past the end given to sr_source_seek(), past the end of the region
 * or of the file; ESP_ERR_SELF_REFLASHER_HTTP_STATUS, ESP_ERR_SELF_REFLASHER_SHORT_BODY or an error of esp_http_client
 * after all retries; or an error of esp_flash
 */
esp_err_t sr_source_read(sr_source_t *source, void *out, uint32_t length);

/** Closes the connection and frees what sr_source_open() allocated. */
void sr_source_close(sr_source_t *source);
