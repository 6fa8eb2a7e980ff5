// SPDX-License-Identifier: Apache-2.0
/** @file
 * ESP-IDF's web server, as far as it answers requests for URIs that an app has registered. No WebSockets, sessions or
 * wildcards.
 *
 * Environment variable SIM_HTTP_SERVER_FD: number of a listening socket that the program has inherited, which is the
 * server's port 80 at every boot. With it the chip runs no faster than the clock of the host, so that a browser can
 * look on. Without it nobody comes.
 *
 * A request is handled once all of it is there; if its sender goes away before, httpd_req_recv() fails after what came.
 */
#pragma once

#include "esp_err.h"
#include "freertos/FreeRTOS.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_HTTPD_BASE           0xb000
#define ESP_ERR_HTTPD_HANDLERS_FULL  (ESP_ERR_HTTPD_BASE + 1)
#define ESP_ERR_HTTPD_HANDLER_EXISTS (ESP_ERR_HTTPD_BASE + 2)
#define ESP_ERR_HTTPD_INVALID_REQ    (ESP_ERR_HTTPD_BASE + 3)
#define ESP_ERR_HTTPD_RESULT_TRUNC   (ESP_ERR_HTTPD_BASE + 4)
#define ESP_ERR_HTTPD_RESP_HDR       (ESP_ERR_HTTPD_BASE + 5)
#define ESP_ERR_HTTPD_RESP_SEND      (ESP_ERR_HTTPD_BASE + 6)
#define ESP_ERR_HTTPD_ALLOC_MEM      (ESP_ERR_HTTPD_BASE + 7)
#define ESP_ERR_HTTPD_TASK           (ESP_ERR_HTTPD_BASE + 8)

#define HTTPD_SOCK_ERR_FAIL    (-1)
#define HTTPD_SOCK_ERR_INVALID (-2)
#define HTTPD_SOCK_ERR_TIMEOUT (-3)

#define HTTPD_RESP_USE_STRLEN (-1)
#define HTTPD_MAX_URI_LEN     512

typedef enum http_method {
    HTTP_DELETE = 0,
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 3,
    HTTP_PUT = 4,
} httpd_method_t;

typedef void *httpd_handle_t;

/** Accepted, but for max_uri_handlers and max_resp_headers, which limit as on the chip. */
typedef struct httpd_config {
    unsigned task_priority;
    size_t stack_size;
    uint16_t server_port;
    uint16_t max_open_sockets;
    uint16_t max_uri_handlers;
    uint16_t max_resp_headers;
    bool lru_purge_enable;
    uint16_t recv_wait_timeout;
    uint16_t send_wait_timeout;
} httpd_config_t;

#define HTTPD_DEFAULT_CONFIG()                                                                                         \
    ((httpd_config_t){.task_priority = 5,                                                                              \
                      .stack_size = 4096,                                                                              \
                      .server_port = 80,                                                                               \
                      .max_open_sockets = 7,                                                                           \
                      .max_uri_handlers = 8,                                                                           \
                      .max_resp_headers = 8,                                                                           \
                      .recv_wait_timeout = 5,                                                                          \
                      .send_wait_timeout = 5})

typedef struct httpd_req {
    httpd_handle_t handle;
    int method;
    const char uri[HTTPD_MAX_URI_LEN + 1];
    size_t content_len;
    void *aux; /**< The simulation's. */
    void *user_ctx;
} httpd_req_t;

typedef struct httpd_uri {
    const char *uri;
    httpd_method_t method;
    esp_err_t (*handler)(httpd_req_t *r);
    void *user_ctx;
} httpd_uri_t;

/** One server. @return ESP_OK; ESP_ERR_INVALID_ARG; ESP_ERR_HTTPD_TASK if there is one, or no task for it */
esp_err_t httpd_start(httpd_handle_t *handle, const httpd_config_t *config);
/** @return ESP_OK; ESP_ERR_INVALID_ARG; ESP_ERR_HTTPD_HANDLERS_FULL; ESP_ERR_HTTPD_HANDLER_EXISTS */
esp_err_t httpd_register_uri_handler(httpd_handle_t handle, const httpd_uri_t *uri_handler);

/** @return bytes received; 0 after the last one; HTTPD_SOCK_ERR_FAIL if the sender has gone away */
int httpd_req_recv(httpd_req_t *r, char *buf, size_t buf_len);
/** @return ESP_OK; ESP_ERR_NOT_FOUND; ESP_ERR_INVALID_ARG; ESP_ERR_HTTPD_RESULT_TRUNC, with as much as fits */
esp_err_t httpd_req_get_hdr_value_str(httpd_req_t *r, const char *field, char *val, size_t val_size);

/** These three only remember what they get: texts must stay until the response is sent.
 *  @return ESP_OK; ESP_ERR_INVALID_ARG; ESP_ERR_HTTPD_RESP_HDR after the last header that is allowed */
esp_err_t httpd_resp_set_status(httpd_req_t *r, const char *status);
esp_err_t httpd_resp_set_type(httpd_req_t *r, const char *type);
esp_err_t httpd_resp_set_hdr(httpd_req_t *r, const char *field, const char *value);
/** @return ESP_OK; ESP_ERR_INVALID_ARG; ESP_ERR_HTTPD_RESP_SEND if the sender has gone away; ESP_ERR_HTTPD_INVALID_REQ
 *  if the request has its response */
esp_err_t httpd_resp_send(httpd_req_t *r, const char *buf, ssize_t buf_len);

static inline esp_err_t httpd_resp_sendstr(httpd_req_t *r, const char *str)
{
    return httpd_resp_send(r, str, str == NULL ? 0 : HTTPD_RESP_USE_STRLEN);
}

#ifdef __cplusplus
}
#endif
