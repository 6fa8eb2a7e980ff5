// SPDX-License-Identifier: Apache-2.0
/** @file
 * The HTTP(S) client of ESP-IDF v5.5 as a downloading app sees it, on the simulated chip: requests without a body.
 *
 * Two ways to use a handle. Streaming: open, fetch_headers, read until 0, close; redirects and authentication are the
 * caller's (set_redirection() or add_auth(), flush or close, open again). In one go: perform(), which follows both and
 * hands the body to the event handler. A handle has at most one connection, kept open until close() or cleanup().
 */
#pragma once

#include "esp_err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DEFAULT_HTTP_BUF_SIZE (512)

typedef struct esp_http_client *esp_http_client_handle_t;
typedef struct esp_http_client_event *esp_http_client_event_handle_t;

/** What an event handler is told about. */
typedef enum {
    HTTP_EVENT_ERROR = 0,    /**< A call fails. */
    HTTP_EVENT_ON_CONNECTED, /**< A new connection is up; nothing was sent yet. */
    HTTP_EVENT_HEADERS_SENT, /**< The request's headers are out. */
    HTTP_EVENT_HEADER_SENT = HTTP_EVENT_HEADERS_SENT,
    HTTP_EVENT_ON_HEADER,           /**< A header of the response: header_key, header_value. */
    HTTP_EVENT_ON_DATA,             /**< Body bytes: data, data_len, at most buffer_size; read() sends it, too. */
    HTTP_EVENT_ON_FINISH,           /**< perform() has finished a response. */
    HTTP_EVENT_DISCONNECTED,        /**< The connection was closed on this side. */
    HTTP_EVENT_REDIRECT,            /**< perform() met a redirect and disable_auto_redirect leaves it to the handler. */
    HTTP_EVENT_ON_HEADERS_COMPLETE, /**< Of ESP-IDF 6: never sent here, as in ESP-IDF 5. */
    HTTP_EVENT_ON_STATUS_CODE,      /**< Of ESP-IDF 6: never sent here. */
} esp_http_client_event_id_t;

/** What comes with an event; all of it is valid during the call only. */
typedef struct esp_http_client_event {
    esp_http_client_event_id_t event_id;
    esp_http_client_handle_t client;
    void *data;         /**< ON_DATA: the bytes; else NULL. */
    int data_len;       /**< ON_DATA: how many. */
    void *user_data;    /**< From the config or set_user_data(). */
    char *header_key;   /**< ON_HEADER. */
    char *header_value; /**< ON_HEADER. */
} esp_http_client_event_t;

typedef enum {
    HTTP_TRANSPORT_UNKNOWN = 0x0,
    HTTP_TRANSPORT_OVER_TCP, /**< http:// */
    HTTP_TRANSPORT_OVER_SSL, /**< https:// */
} esp_http_client_transport_t;

typedef enum {
    ESP_HTTP_CLIENT_TLS_VER_ANY = 0,
    ESP_HTTP_CLIENT_TLS_VER_TLS_1_2 = 0x1,
    ESP_HTTP_CLIENT_TLS_VER_TLS_1_3 = 0x2,
    ESP_HTTP_CLIENT_TLS_VER_MAX,
} esp_http_client_proto_ver_t;

/** The value that a handler returns is ignored. */
typedef esp_err_t (*http_event_handle_cb)(esp_http_client_event_t *evt);

typedef enum {
    HTTP_METHOD_GET = 0,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_PATCH,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_NOTIFY,
    HTTP_METHOD_SUBSCRIBE,
    HTTP_METHOD_UNSUBSCRIBE,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_COPY,
    HTTP_METHOD_MOVE,
    HTTP_METHOD_LOCK,
    HTTP_METHOD_UNLOCK,
    HTTP_METHOD_PROPFIND,
    HTTP_METHOD_PROPPATCH,
    HTTP_METHOD_MKCOL,
    HTTP_METHOD_REPORT,
    HTTP_METHOD_MAX,
} esp_http_client_method_t;

typedef enum {
    HTTP_AUTH_TYPE_NONE = 0,
    HTTP_AUTH_TYPE_BASIC,  /**< Sent with the first request already. */
    HTTP_AUTH_TYPE_DIGEST, /**< Sent once the server has asked for it and add_auth() took note. */
} esp_http_client_auth_type_t;

typedef enum {
    HTTP_ADDR_TYPE_UNSPEC = AF_UNSPEC,
    HTTP_ADDR_TYPE_INET = AF_INET,
    HTTP_ADDR_TYPE_INET6 = AF_INET6,
} esp_http_client_addr_type_t;

struct ifreq;

/** A zeroed field means the default. Strings are copied by init(). */
typedef struct {
    const char *url;  /**< http:// or https://; ignored if both host and path are given. */
    const char *host; /**< Name or address. */
    int port;         /**< With host and path; 0: 80 or 443. */
    const char *username;
    const char *password;
    esp_http_client_auth_type_t auth_type;
    const char *path;  /**< With host. */
    const char *query; /**< With host and path, without the question mark. */
    union {
        const char *cert_pem; /**< CA certificates that the server's must lead to. */
        const char *cert_der; /**< Not simulated: init() refuses it. */
    };
    size_t cert_len; /**< Bytes with the terminating NUL, or 0. */
    union {
        const char *client_cert_pem;
        const char *client_cert_der;
    };
    size_t client_cert_len; /**< As cert_len; DER: the bytes. */
    const char *client_key_pem;
    size_t client_key_len; /**< As client_cert_len. */
    const char *client_key_password;
    size_t client_key_password_len;
    esp_http_client_proto_ver_t tls_version;
    const char *user_agent; /**< Default "ESP32 HTTP Client/1.0". */
    esp_http_client_method_t method;
    int timeout_ms; /**< For connecting, and for each wait for bytes; default 5000, negative: for ever. */
    bool disable_auto_redirect;
    int max_redirection_count;     /**< perform(); default 10. */
    int max_authorization_retries; /**< Default 10; -1: none. */
    http_event_handle_cb event_handler;
    esp_http_client_transport_t transport_type; /**< With host and path. */
    int buffer_size;                            /**< Most bytes of one ON_DATA; default DEFAULT_HTTP_BUF_SIZE. */
    int buffer_size_tx;                         /**< The request line must fit; default DEFAULT_HTTP_BUF_SIZE. */
    void *user_data;
    bool is_async;            /**< Accepted; every call blocks nevertheless. */
    bool use_global_ca_store; /**< The machine's CA store. */
    bool skip_cert_common_name_check;
    const char *common_name; /**< The name that the server's certificate must have, if not the host's. */
    esp_err_t (*crt_bundle_attach)(void *conf); /**< If set: the machine's CA store. */
    bool keep_alive_enable;                     /**< TCP keep-alive. */
    int keep_alive_idle;                        /**< Seconds, default 5. */
    int keep_alive_interval;                    /**< Seconds, default 5. */
    int keep_alive_count;                       /**< Default 3. */
    struct ifreq *if_name;                      /**< Network interface to use. */
    esp_http_client_addr_type_t addr_type;
} esp_http_client_config_t;

typedef enum {
    HttpStatus_Ok = 200,
    HttpStatus_MultipleChoices = 300,
    HttpStatus_MovedPermanently = 301,
    HttpStatus_Found = 302,
    HttpStatus_SeeOther = 303,
    HttpStatus_NotModified = 304,
    HttpStatus_TemporaryRedirect = 307,
    HttpStatus_PermanentRedirect = 308,
    HttpStatus_BadRequest = 400,
    HttpStatus_Unauthorized = 401,
    HttpStatus_Forbidden = 403,
    HttpStatus_NotFound = 404,
    HttpStatus_RangeNotSatisfiable = 416,
    HttpStatus_InternalError = 500
} HttpStatus_Code;

#define ESP_ERR_HTTP_BASE                  (0x7000)
#define ESP_ERR_HTTP_MAX_REDIRECT          (ESP_ERR_HTTP_BASE + 1)
#define ESP_ERR_HTTP_CONNECT               (ESP_ERR_HTTP_BASE + 2)
#define ESP_ERR_HTTP_WRITE_DATA            (ESP_ERR_HTTP_BASE + 3)
#define ESP_ERR_HTTP_FETCH_HEADER          (ESP_ERR_HTTP_BASE + 4)
#define ESP_ERR_HTTP_INVALID_TRANSPORT     (ESP_ERR_HTTP_BASE + 5)
#define ESP_ERR_HTTP_CONNECTING            (ESP_ERR_HTTP_BASE + 6)
#define ESP_ERR_HTTP_EAGAIN                (ESP_ERR_HTTP_BASE + 7)
#define ESP_ERR_HTTP_CONNECTION_CLOSED     (ESP_ERR_HTTP_BASE + 8)
#define ESP_ERR_HTTP_NOT_MODIFIED          (ESP_ERR_HTTP_BASE + 9)
#define ESP_ERR_HTTP_RANGE_NOT_SATISFIABLE (ESP_ERR_HTTP_BASE + 10)

/** Makes a handle; nothing is sent yet. @return NULL if memory is out or the configuration makes no sense. */
esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config);

/**
 * Sends the request, follows redirects and answers a demand for authentication, and hands the body to the handler.
 *
 * A body that ends early is no error here: see esp_http_client_is_complete_data_received().
 * @return
 *   - ESP_OK: there was a response, of whatever status
 *   - ESP_ERR_HTTP_INVALID_TRANSPORT, ESP_ERR_HTTP_CONNECT, ESP_ERR_HTTP_WRITE_DATA: as esp_http_client_open()
 *   - ESP_ERR_HTTP_CONNECTION_CLOSED: the server closed the connection instead of answering
 *   - ESP_ERR_HTTP_EAGAIN: the headers did not come in time; another call waits on
 *   - ESP_ERR_HTTP_FETCH_HEADER: no headers that make sense
 *   - ESP_ERR_HTTP_MAX_REDIRECT: more redirects and refused authentications than max_redirection_count
 *   - ESP_ERR_NOT_SUPPORTED, ESP_FAIL: the demanded authentication is unknown, or refused more than
 * max_authorization_retries times
 */
esp_err_t esp_http_client_perform(esp_http_client_handle_t client);

/** The next request goes to @p url: a whole one, or a path with optional query on the same server. Another server
 *  closes the connection. @return ESP_ERR_INVALID_ARG if it is no URL. */
esp_err_t esp_http_client_set_url(esp_http_client_handle_t client, const char *url);

/** Adds or replaces a header of all further requests, e.g. Range; a value of NULL removes it. */
esp_err_t esp_http_client_set_header(esp_http_client_handle_t client, const char *key, const char *value);
/** @p value: the client's own copy, or NULL if the header is not set. */
esp_err_t esp_http_client_get_header(esp_http_client_handle_t client, const char *key, char **value);
/** @return ESP_ERR_NOT_FOUND if the header is not set. */
esp_err_t esp_http_client_delete_header(esp_http_client_handle_t client, const char *key);

esp_err_t esp_http_client_get_user_data(esp_http_client_handle_t client, void **data);
esp_err_t esp_http_client_set_user_data(esp_http_client_handle_t client, void *data);

/** The socket's last errno; ENOTCONN if the server closed the connection; -1 without a client. */
int esp_http_client_get_errno(esp_http_client_handle_t client);

esp_err_t esp_http_client_set_method(esp_http_client_handle_t client, esp_http_client_method_t method);
esp_err_t esp_http_client_set_timeout_ms(esp_http_client_handle_t client, int timeout_ms);

/**
 * Connects, unless the handle still is connected, and sends the request.
 *
 * A kept connection that the server has closed meanwhile is not noticed here but by esp_http_client_fetch_headers(), as
 * on the chip; nor is one with an unread rest of the previous response on it.
 * @param write_len  0; sending a body is not simulated.
 * @return
 *   - ESP_ERR_HTTP_INVALID_TRANSPORT: neither http nor https
 *   - ESP_ERR_HTTP_CONNECT: no connection, or the server's certificate is not good
 *   - ESP_ERR_HTTP_WRITE_DATA: the request could not be sent
 *   - ESP_ERR_NOT_SUPPORTED: @p write_len is not 0
 */
esp_err_t esp_http_client_open(esp_http_client_handle_t client, int write_len);

/**
 * Waits for the response's headers.
 * @return the announced length; 0 if there is none, or the body is chunked; -ESP_ERR_HTTP_EAGAIN if nothing came in
 *         time (another call waits on); ESP_FAIL
 */
int64_t esp_http_client_fetch_headers(esp_http_client_handle_t client);

/** True for chunked bodies, and after fetch_headers() for all without an announced length above 0. */
bool esp_http_client_is_chunked_response(esp_http_client_handle_t client);

/**
 * Reads body bytes until @p len are there, the body ends, or none come for timeout_ms.
 * @return how many; 0 at the end; if there are none because of a timeout -ESP_ERR_HTTP_EAGAIN (another call waits on);
 *         ESP_FAIL if there are none because the connection broke before the end
 */
int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int len);

/** Status of the last response; -1 while waiting for one. */
int esp_http_client_get_status_code(esp_http_client_handle_t client);
/** Announced length of the last response, -1 if none or chunked. */
int64_t esp_http_client_get_content_length(esp_http_client_handle_t client);

/** Closes the connection, whatever is left on it; the handle stays valid. */
esp_err_t esp_http_client_close(esp_http_client_handle_t client);
/** Closes and frees. @return ESP_FAIL without a client. */
esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client);

/** The URL becomes the last response's Location. @return ESP_ERR_INVALID_ARG if there was none or it is no URL. */
esp_err_t esp_http_client_set_redirection(esp_http_client_handle_t client);
esp_err_t esp_http_client_reset_redirect_counter(esp_http_client_handle_t client);

/** Takes note of how the last response, a 401, wants the next request to authenticate.
 *  @return ESP_ERR_NOT_SUPPORTED if neither basic nor digest; ESP_FAIL after max_authorization_retries */
esp_err_t esp_http_client_add_auth(esp_http_client_handle_t client);

/** Whether the whole body of the last response was read. */
bool esp_http_client_is_complete_data_received(esp_http_client_handle_t client);

/** esp_http_client_read() until @p len bytes are there or a call gives none. @return how many, never negative */
int esp_http_client_read_response(esp_http_client_handle_t client, char *buffer, int len);

/** Reads and discards the rest of the body; @p len, if not NULL: how many bytes. @return ESP_FAIL if it does not come
 */
esp_err_t esp_http_client_flush_response(esp_http_client_handle_t client, int *len);

/** The URL with port and without query, cut to @p len bytes. */
esp_err_t esp_http_client_get_url(esp_http_client_handle_t client, char *url, const int len);

#ifdef __cplusplus
}
#endif
