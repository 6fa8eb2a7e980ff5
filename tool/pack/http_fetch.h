// SPDX-License-Identifier: Apache-2.0
/** @file
 * One file from a web server, with a bar on a terminal.
 *
 * Certificates are checked. Redirects are followed to http and https only, 10 at most, and never from https to http.
 * A server that stalls, or sends nothing, part of a file or more than the largest flash, is an error.
 */
#pragma once

#include "tool/base/image_file.h"

typedef struct http_fetch {
    const char *url;  /**< From web_address_resolve(). */
    const char *ca;   /**< PEM to trust for https; NULL: what this system trusts. */
    const char *name; /**< For the bar. */
} http_fetch_t;

/**
 * Fetches a file into memory.
 * @param[out] file Its path is the URL; image_file_free() is due.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int http_fetch(const http_fetch_t *fetch, image_file_t *file);
