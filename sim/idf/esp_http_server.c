// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_http_server.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_BODY    ((size_t)32 << 20)
#define MAX_URIS    16u
#define MAX_HEADERS 16u
#define NO_SOCKET   UINT32_MAX

typedef struct header {
    const char *field;
    const char *value;
} header_t;

/** A request with its body, from the first byte to the response. */
typedef struct exchange {
    struct MHD_Connection *connection;
    uint8_t *body;
    size_t size, taken;
    bool broken; /**< The sender has gone away: there is no more, and nobody to answer to. */
    bool answered;
    const char *status, *type;
    header_t headers[MAX_HEADERS];
    unsigned header_count;
} exchange_t;

static struct {
    bool started;
    httpd_config_t config;
    httpd_uri_t uris[MAX_URIS];
    unsigned uri_count;
    struct MHD_Daemon *daemon;
} server;

/* Requests. */

static int method_number(const char *name)
{
    static const char *const names[] = {
        [HTTP_DELETE] = "DELETE", [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST", [HTTP_PUT] = "PUT"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const exchange_t *exchange,
                               const char *bytes, size_t size)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            exchange != NULL && exchange->type != NULL ? exchange->type : "text/html");
    for (unsigned i = 0; exchange != NULL && i < exchange->header_count; i++) {
        MHD_add_response_header(response, exchange->headers[i].field, exchange->headers[i].value);
    }
    const enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static size_t announced_length(struct MHD_Connection *connection)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return text != NULL ? (size_t)strtoull(text, NULL, 10) : 0;
}

/* As the server does it: a URI is not known, or known for other methods only. */
static enum MHD_Result handle(exchange_t *exchange, const char *uri, int method)
{
    unsigned status = MHD_HTTP_NOT_FOUND;
    for (unsigned i = 0; i < server.uri_count; i++) {
        const httpd_uri_t *known = &server.uris[i];
        if (strcmp(known->uri, uri) != 0) {
            continue;
        }
        status = MHD_HTTP_METHOD_NOT_ALLOWED;
        if ((int)known->method == method) {
            httpd_req_t request = {.handle = &server,
                                   .method = method,
                                   .content_len = announced_length(exchange->connection),
                                   .aux = exchange,
                                   .user_ctx = known->user_ctx};
            snprintf((char *)(uintptr_t)request.uri, sizeof(request.uri), "%s", uri);
            const esp_err_t err = known->handler(&request);
            return err == ESP_OK && exchange->answered ? MHD_YES : MHD_NO;
        }
    }
    return respond(exchange->connection, status, NULL, "", 0);
}

static bool add(exchange_t *exchange, const char *bytes, size_t size)
{
    uint8_t *body = size <= MAX_BODY - exchange->size ? realloc(exchange->body, exchange->size + size) : NULL;
    if (body != NULL) {
        memcpy(body + exchange->size, bytes, size);
        exchange->body = body;
        exchange->size += size;
    }
    return body != NULL;
}

/** What a request is, for when its sender goes away in the middle. */
typedef struct started {
    exchange_t exchange;
    char uri[HTTPD_MAX_URI_LEN + 1];
    int method;
    bool handled;
} started_t;

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **state)
{
    (void)context;
    (void)version;
    started_t *started = *state;
    if (started == NULL) {
        started = calloc(1, sizeof(*started));
        if (started == NULL || strlen(url) > HTTPD_MAX_URI_LEN) {
            free(started);
            return MHD_NO;
        }
        started->exchange.connection = connection;
        started->method = method_number(method);
        memcpy(started->uri, url, strlen(url) + 1);
        *state = started;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        const bool added = add(&started->exchange, upload, *upload_size);
        *upload_size = 0;
        return added ? MHD_YES : MHD_NO;
    }
    started->handled = true;
    return handle(&started->exchange, started->uri, started->method);
}

static void on_end(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    started_t *started = *state;
    if (started == NULL) {
        return;
    }
    if (!started->handled) {
        started->exchange.broken = true;
        (void)handle(&started->exchange, started->uri, started->method);
    }
    free(started->exchange.body);
    free(started);
    *state = NULL;
}

/* The server's task. */

static uint64_t host_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t chip_ms(void)
{
    return (uint64_t)xTaskGetTickCount() * 1000 / configTICK_RATE_HZ;
}

/* While one task runs, no other does: so this one, waiting for requests, lets the chip run no faster than the host's
 * clock. */
static void serve(void *context)
{
    (void)context;
    const uint64_t host_start = host_ms();
    const uint64_t chip_start = chip_ms();
    for (;;) {
        vTaskDelay(1);
        uint64_t host;
        do {
            host = host_ms() - host_start;
            const uint64_t chip = chip_ms() - chip_start;
            (void)MHD_run_wait(server.daemon, chip > host ? (int32_t)(chip - host) : 0);
            host = host_ms() - host_start;
        } while (host < chip_ms() - chip_start);
    }
}

esp_err_t httpd_start(httpd_handle_t *handle_out, const httpd_config_t *config)
{
    sim_flash_code(__func__);
    if (handle_out == NULL || config == NULL || config->max_uri_handlers > MAX_URIS ||
        config->max_resp_headers > MAX_HEADERS) {
        return ESP_ERR_INVALID_ARG;
    }
    const uint32_t socket = sim_config_number("SIM_HTTP_SERVER_FD", NO_SOCKET);
    if (server.started) {
        return ESP_ERR_HTTPD_TASK;
    }
    if (socket != NO_SOCKET) {
        server.daemon = MHD_start_daemon(MHD_NO_FLAG, 0, NULL, NULL, on_request, NULL, MHD_OPTION_LISTEN_SOCKET,
                                         (MHD_socket)socket, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
        if (server.daemon == NULL ||
            xTaskCreate(serve, "httpd", (uint32_t)config->stack_size, NULL, config->task_priority, NULL) != pdPASS) {
            return ESP_ERR_HTTPD_TASK;
        }
    }
    server.started = true;
    server.config = *config;
    *handle_out = &server;
    return ESP_OK;
}

esp_err_t httpd_register_uri_handler(httpd_handle_t handle_in, const httpd_uri_t *uri_handler)
{
    sim_flash_code(__func__);
    if (handle_in != &server || uri_handler == NULL || uri_handler->uri == NULL || uri_handler->handler == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    for (unsigned i = 0; i < server.uri_count; i++) {
        if (strcmp(server.uris[i].uri, uri_handler->uri) == 0 && server.uris[i].method == uri_handler->method) {
            return ESP_ERR_HTTPD_HANDLER_EXISTS;
        }
    }
    if (server.uri_count == server.config.max_uri_handlers) {
        return ESP_ERR_HTTPD_HANDLERS_FULL;
    }
    server.uris[server.uri_count++] = *uri_handler;
    return ESP_OK;
}

/* What handlers call. */

int httpd_req_recv(httpd_req_t *r, char *buf, size_t buf_len)
{
    sim_flash_code(__func__);
    exchange_t *exchange = r->aux;
    const size_t left = exchange->size - exchange->taken;
    if (left == 0) {
        return exchange->broken ? HTTPD_SOCK_ERR_FAIL : 0;
    }
    const size_t size = left < buf_len ? left : buf_len;
    memcpy(buf, exchange->body + exchange->taken, size);
    exchange->taken += size;
    return (int)size;
}

esp_err_t httpd_req_get_hdr_value_str(httpd_req_t *r, const char *field, char *val, size_t val_size)
{
    sim_flash_code(__func__);
    if (r == NULL || field == NULL || val == NULL || val_size == 0) {
        return ESP_ERR_INVALID_ARG;
    }
    const exchange_t *exchange = r->aux;
    const char *value = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, field);
    if (value == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    return (size_t)snprintf(val, val_size, "%s", value) < val_size ? ESP_OK : ESP_ERR_HTTPD_RESULT_TRUNC;
}

esp_err_t httpd_resp_set_status(httpd_req_t *r, const char *status)
{
    sim_flash_code(__func__);
    if (r == NULL || status == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    exchange_t *exchange = r->aux;
    exchange->status = status;
    return ESP_OK;
}

esp_err_t httpd_resp_set_type(httpd_req_t *r, const char *type)
{
    sim_flash_code(__func__);
    if (r == NULL || type == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    exchange_t *exchange = r->aux;
    exchange->type = type;
    return ESP_OK;
}

esp_err_t httpd_resp_set_hdr(httpd_req_t *r, const char *field, const char *value)
{
    sim_flash_code(__func__);
    if (r == NULL || field == NULL || value == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    exchange_t *exchange = r->aux;
    if (exchange->header_count == server.config.max_resp_headers) {
        return ESP_ERR_HTTPD_RESP_HDR;
    }
    exchange->headers[exchange->header_count++] = (header_t){field, value};
    return ESP_OK;
}

esp_err_t httpd_resp_send(httpd_req_t *r, const char *buf, ssize_t buf_len)
{
    sim_flash_code(__func__);
    if (r == NULL || (buf == NULL && buf_len != 0)) {
        return ESP_ERR_INVALID_ARG;
    }
    exchange_t *exchange = r->aux;
    if (exchange->answered) {
        return ESP_ERR_HTTPD_INVALID_REQ;
    }
    exchange->answered = true;
    const unsigned status = exchange->status != NULL ? (unsigned)strtoul(exchange->status, NULL, 10) : MHD_HTTP_OK;
    const size_t size = buf_len == HTTPD_RESP_USE_STRLEN ? strlen(buf) : (size_t)buf_len;
    return !exchange->broken && respond(exchange->connection, status, exchange, buf, size) == MHD_YES
               ? ESP_OK
               : ESP_ERR_HTTPD_RESP_SEND;
}
