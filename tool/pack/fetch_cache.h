// SPDX-License-Identifier: Apache-2.0
/** @file
 * Files from web servers, kept in a folder beside the bundle, so that the same command works again without them.
 *
 * The folder's name is that of the bundle with ".cache", and it has a CACHEDIR.TAG, by which backups leave it out, and
 * by which pack knows it as its own. A file's name begins with a digest of its URL: whatever the URL says, the file is
 * in the folder, and no two URLs share one.
 */
#pragma once

#include "format/sr_sha256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What came from a server, now or earlier. */
typedef struct fetched_file {
    char *url;
    char *path; /**< In the cache. */
    uint32_t size;
    uint8_t sha256[SR_SHA256_SIZE];
    bool was_there; /**< Taken from the cache. */
} fetched_file_t;

typedef struct fetch_cache {
    const char *out_path; /**< Of the bundle. */
    const char *ca;       /**< PEM to trust for https; NULL: what this system trusts. */
    bool again;           /**< Fetch also what is there. */
    bool was_used;        /**< A file was in it already, which need not be what the server has now. */
    bool warned;          /**< That plain http is not safe. */
    fetched_file_t *list; /**< In the order of their first use; no URL twice. */
    size_t count;
} fetch_cache_t;

/**
 * Gets a file: from the cache, else from its server.
 * @param url From web_address_resolve().
 * @param[out] path Of the file in the cache. Valid until fetch_cache_free().
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining; then there is no part of the file in the cache.
 */
int fetch_cache_get(fetch_cache_t *cache, const char *url, const char **path);

void fetch_cache_free(fetch_cache_t *cache);
