// SPDX-License-Identifier: Apache-2.0
/** @file
 * A web server on the loopback, so that a rehearsal downloads local files over real HTTP.
 */
#pragma once

#include "tool/base/image_file.h"

#include <stddef.h>

typedef struct local_server local_server_t;

/** Serves the files as /0, /1, ... at a free port, whole or in ranges.
 *  @param files Must outlive the server; those without bytes are not served. @return NULL if it cannot. */
local_server_t *local_server_start(const image_file_t *files, size_t count);
void local_server_stop(local_server_t *server);

#define LOCAL_SERVER_URL_SIZE 64
/** The URL of file number @p index. @return @p out. */
const char *local_server_url(const local_server_t *server, size_t index, char out[LOCAL_SERVER_URL_SIZE]);
