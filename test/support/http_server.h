// SPDX-License-Identifier: Apache-2.0
/** @file Starts and stops http_server.py, whose head tells what it can do. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct http_server {
    pid_t pid;
    int keep_running; /**< Its stdin: the server stops when this is closed, even by a crash of the test. */
    uint16_t port;
    bool tls;
} http_server_t;

/** Serves the files of folder @p root on a free port. With @p cert and @p key (files) over TLS, with NULL plainly. */
bool http_server_start(http_server_t *server, const char *root, const char *cert, const char *key);
void http_server_stop(http_server_t *server);

/** "http://127.0.0.1:PORT" and @p path; overwritten by the fourth call after this one. */
const char *http_server_url(const http_server_t *server, const char *path);

/** The requests so far, for cJSON_Delete(); of a plain server only. @return NULL if it does not answer */
cJSON *http_server_log(const http_server_t *server);
/** From now on the server is as if it had just started; a plain one only. @return false if it does not answer */
bool http_server_forget(const http_server_t *server);
/** How many requests were made, and over how many connections. */
size_t http_server_requests(const http_server_t *server);
size_t http_server_connections(const http_server_t *server);

/**
 * Makes NAME-ca.pem, and NAME.pem with NAME.key signed by it, for host names "localhost" and "other.example" and for
 * 127.0.0.1, in folder @p dir, with the openssl program.
 */
bool http_server_make_certificates(const char *dir, const char *name);
