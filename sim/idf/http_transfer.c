// SPDX-License-Identifier: Apache-2.0
#include "sim/idf/http_transfer.h"

#include "sim/chip/sim_state.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

/* An idle connection stays usable until the server closes it: a chip has no age limit. */
#define MAX_IDLE_SECONDS (24L * 3600L)

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* The value of header @p key if @p line is that header, else NULL. */
static const char *value_of(const char *line, const char *key)
{
    size_t len = strlen(key);
    if (strncasecmp(line, key, len) != 0 || line[len] != ':') {
        return NULL;
    }
    return line + len + 1 + strspn(line + len + 1, " \t");
}

static void begin_response(http_transfer_t *transfer, const char *line)
{
    const char *status = strchr(line, ' ');
    transfer->status = status != NULL ? (int)strtol(status, NULL, 10) : 0;
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    transfer->content_length = -1;
    transfer->chunked = false;
    transfer->keep_alive = strncmp(line, "HTTP/1.0", strlen("HTTP/1.0")) != 0;
    transfer->challenged = false;
}

static void end_headers(http_transfer_t *transfer)
{
    if (transfer->status < 200) {
        return;
    }
    if (transfer->status == HttpStatus_Unauthorized && transfer->answers_challenges) {
        transfer->challenged = true;
        return;
    }
    if (transfer->chunked) {
        transfer->content_length = -1;
    }
    if (!transfer->chunked && transfer->content_length < 0 && transfer->status != 204 && transfer->status != 304) {
        transfer->keep_alive = false; /* Only closing can end such a body. */
    }
    transfer->headers_complete = true;
}

static bool add_header(http_transfer_t *transfer, const char *line)
{
    const char *value;
    if ((value = value_of(line, "Content-Length")) != NULL) {
        transfer->content_length = strtoll(value, NULL, 10);
    } else if ((value = value_of(line, "Transfer-Encoding")) != NULL) {
        transfer->chunked = strcasestr(value, "chunked") != NULL;
    } else if ((value = value_of(line, "Connection")) != NULL) {
        if (strcasestr(value, "close") != NULL) {
            transfer->keep_alive = false;
        } else if (strcasestr(value, "keep-alive") != NULL) {
            transfer->keep_alive = true;
        }
    }
    struct curl_slist *headers = curl_slist_append(transfer->headers, line);
    if (headers == NULL) {
        return false;
    }
    transfer->headers = headers;
    return true;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    http_transfer_t *transfer = context;
    size_t len = size * count;
    transfer->received += len;
    if (transfer->headers_complete) {
        return len; /* The trailer of a chunked body. */
    }
    while (len > 0 && (data[len - 1] == '\r' || data[len - 1] == '\n' || data[len - 1] == ' ')) {
        len--;
    }
    char *line = strndup(data, len);
    bool good = line != NULL;
    if (good && strncmp(line, "HTTP/", strlen("HTTP/")) == 0) {
        begin_response(transfer, line);
    } else if (good && len == 0) {
        end_headers(transfer);
    } else if (good) {
        good = add_header(transfer, line);
    }
    free(line);
    return good ? size * count : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    http_transfer_t *transfer = context;
    size_t len = size * count;
    if (transfer->body_end != 0) {
        transfer->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    assert(len <= sizeof(transfer->body));
    transfer->headers_complete = true; /* libcurl hands out no body of a 401 that it answers. */
    transfer->received += len;
    memcpy(transfer->body, data, len);
    transfer->body_end = len;
    return len;
}

static int on_connected(void *context, char *peer, char *own, int peer_port, int own_port)
{
    (void)peer;
    (void)own;
    (void)peer_port;
    (void)own_port;
    http_transfer_t *transfer = context;
    transfer->connected = true;
    transfer->sent = true; /* libcurl sends in the same step; if that fails, the transfer ends with it. */
    sim_counters()->http_requests++;
    return CURL_PREREQFUNC_OK;
}

static void set_tcp_keep_alive(const http_transfer_t *transfer, int sock)
{
    int on = 1;
    setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &transfer->keep_alive_idle, sizeof(int));
    setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &transfer->keep_alive_interval, sizeof(int));
    setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &transfer->keep_alive_count, sizeof(int));
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    http_transfer_t *transfer = context;
    if (transfer->reuse && transfer->received == 0) {
        transfer->reuse_failed = true;
        return CURL_SOCKET_BAD;
    }
    int sock = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (sock < 0) {
        return CURL_SOCKET_BAD;
    }
    if (transfer->keep_alive_idle != 0) {
        set_tcp_keep_alive(transfer, sock);
    }
    transfer->new_connection = true;
    return sock;
}

/* The options of a blob; a length of 0 and one that counts the terminating NUL both mean text. */
static bool set_blob(CURL *easy, CURLoption blob_option, CURLoption type_option, const char *data, size_t len)
{
    bool text = len == 0 || data[len - 1] == '\0';
    struct curl_blob blob = {(void *)(uintptr_t)data, text ? strlen(data) : len, CURL_BLOB_COPY};
    if (type_option != CURLOPT_LASTENTRY) {
        curl_easy_setopt(easy, type_option, text ? "PEM" : "DER");
    } else if (!text) {
        return false;
    }
    return curl_easy_setopt(easy, blob_option, &blob) == CURLE_OK;
}

static bool set_certificates(CURL *easy, const esp_http_client_config_t *config)
{
    bool good = true;
    if (config->crt_bundle_attach == NULL && !config->use_global_ca_store && config->cert_pem != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* The blob replaces the file of the default store only. */
        good = set_blob(easy, CURLOPT_CAINFO_BLOB, CURLOPT_LASTENTRY, config->cert_pem, config->cert_len);
    }
    if (good && config->client_cert_pem != NULL) {
        good =
            set_blob(easy, CURLOPT_SSLCERT_BLOB, CURLOPT_SSLCERTTYPE, config->client_cert_pem, config->client_cert_len);
    }
    if (good && config->client_key_pem != NULL) {
        good = set_blob(easy, CURLOPT_SSLKEY_BLOB, CURLOPT_SSLKEYTYPE, config->client_key_pem, config->client_key_len);
    }
    if (good && config->client_key_password != NULL && config->client_key_password_len > 0) {
        char *password = strndup(config->client_key_password, config->client_key_password_len);
        good = password != NULL && curl_easy_setopt(easy, CURLOPT_KEYPASSWD, password) == CURLE_OK;
        free(password);
    }
    return good;
}

static bool set_tls(CURL *easy, const esp_http_client_config_t *config)
{
    static const long VERSIONS[ESP_HTTP_CLIENT_TLS_VER_MAX] = {
        [ESP_HTTP_CLIENT_TLS_VER_ANY] = CURL_SSLVERSION_TLSv1_2,
        [ESP_HTTP_CLIENT_TLS_VER_TLS_1_2] = CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2,
        [ESP_HTTP_CLIENT_TLS_VER_TLS_1_3] = CURL_SSLVERSION_TLSv1_3,
    };
    if ((unsigned)config->tls_version >= ESP_HTTP_CLIENT_TLS_VER_MAX) {
        return false;
    }
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, VERSIONS[config->tls_version]);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, config->skip_cert_common_name_check ? 0L : 2L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    return set_certificates(easy, config);
}

static void set_callbacks(http_transfer_t *transfer)
{
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
}

static bool set_network(http_transfer_t *transfer, const esp_http_client_config_t *config)
{
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* Not even one from the environment. */
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, MAX_IDLE_SECONDS);
    long resolve = config->addr_type == HTTP_ADDR_TYPE_INET    ? CURL_IPRESOLVE_V4
                   : config->addr_type == HTTP_ADDR_TYPE_INET6 ? CURL_IPRESOLVE_V6
                                                               : CURL_IPRESOLVE_WHATEVER;
    curl_easy_setopt(easy, CURLOPT_IPRESOLVE, resolve);
    if (config->keep_alive_enable) {
        transfer->keep_alive_idle = config->keep_alive_idle != 0 ? config->keep_alive_idle : 5;
        transfer->keep_alive_interval = config->keep_alive_interval != 0 ? config->keep_alive_interval : 5;
        transfer->keep_alive_count = config->keep_alive_count != 0 ? config->keep_alive_count : 3;
    }
    if (config->if_name != NULL) {
        char interface[sizeof("if!") + IFNAMSIZ];
        snprintf(interface, sizeof(interface), "if!%.*s", IFNAMSIZ, config->if_name->ifr_name);
        return curl_easy_setopt(easy, CURLOPT_INTERFACE, interface) == CURLE_OK;
    }
    return true;
}

http_transfer_t *http_transfer_new(const esp_http_client_config_t *config)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    http_transfer_t *transfer = calloc(1, sizeof(*transfer));
    if (transfer == NULL) {
        return NULL;
    }
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL || !set_network(transfer, config) || !set_tls(transfer->easy, config)) {
        http_transfer_free(transfer);
        return NULL;
    }
    set_callbacks(transfer);
    return transfer;
}

void http_transfer_free(http_transfer_t *transfer)
{
    if (transfer == NULL) {
        return;
    }
    http_transfer_disconnect(transfer);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->request_headers);
    curl_slist_free_all(transfer->connect_to);
    curl_easy_cleanup(transfer->easy);
    free(transfer);
}

static void end_transfer(http_transfer_t *transfer, CURLcode code)
{
    long os_errno = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_errno);
    transfer->socket_errno = (int)os_errno;
    if (transfer->challenged) {
        transfer->headers_complete = true;
    }
    if (transfer->reuse_failed) {
        transfer->sent = true; /* Into a connection whose other end is gone: TCP takes it. */
        transfer->outcome = HTTP_CLOSED;
    } else if (code == CURLE_OK) {
        transfer->outcome = transfer->headers_complete ? HTTP_COMPLETE : HTTP_CLOSED;
    } else if (!transfer->connected) {
        transfer->outcome = HTTP_NOT_CONNECTED;
    } else if (code == CURLE_SEND_ERROR) {
        transfer->outcome = HTTP_NOT_SENT;
    } else {
        transfer->outcome = code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE ? HTTP_CLOSED : HTTP_BROKEN;
    }
    if (transfer->outcome == HTTP_CLOSED) {
        transfer->socket_errno = ENOTCONN;
    }
    curl_multi_remove_handle(transfer->multi, transfer->easy);
}

/* One step that does not wait. */
static void step(http_transfer_t *transfer)
{
    int running;
    int left;
    if (curl_multi_perform(transfer->multi, &running) != CURLM_OK) {
        end_transfer(transfer, CURLE_OUT_OF_MEMORY);
        return;
    }
    const CURLMsg *message = curl_multi_info_read(transfer->multi, &left);
    if (message != NULL && message->msg == CURLMSG_DONE) {
        end_transfer(transfer, message->data.result);
    }
}

static void set_request(CURL *easy, const http_request_t *request)
{
    bool head = strcmp(request->method, "HEAD") == 0;
    bool get = strcmp(request->method, "GET") == 0;
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_NOBODY, head ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, head || get ? NULL : request->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, request->connect_to);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->timeout_ms < 0 ? 0L : (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, request->auth);
}

static bool set_request_strings(CURL *easy, const http_request_t *request)
{
    bool with_auth = request->auth != (long)CURLAUTH_NONE;
    return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERNAME, with_auth ? request->username : NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PASSWORD, with_auth ? request->password : NULL) == CURLE_OK;
}

/* Whether nothing of the previous response is left on the connection. */
static bool previous_is_through(http_transfer_t *transfer)
{
    if (transfer->outcome == HTTP_UNDER_WAY && transfer->body_end == 0) {
        step(transfer); /* The end of the last chunk may not have been read yet. */
    }
    return transfer->outcome == HTTP_COMPLETE && transfer->body_end == 0;
}

static void reset_response(http_transfer_t *transfer)
{
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    transfer->headers_complete = false;
    transfer->challenged = false;
    transfer->new_connection = false;
    transfer->reuse = transfer->connected;
    transfer->reuse_failed = false;
    transfer->sent = false;
    transfer->received = 0;
    transfer->socket_errno = 0;
    transfer->error[0] = '\0';
}

static void replace_lists(http_transfer_t *transfer, const http_request_t *request)
{
    curl_slist_free_all(transfer->request_headers);
    curl_slist_free_all(transfer->connect_to);
    transfer->request_headers = request->headers;
    transfer->connect_to = request->connect_to;
}

bool http_transfer_start(http_transfer_t *transfer, const http_request_t *request)
{
    bool usable = !transfer->connected || previous_is_through(transfer);
    if (!usable && transfer->outcome == HTTP_UNDER_WAY) {
        curl_multi_remove_handle(transfer->multi, transfer->easy);
    }
    reset_response(transfer);
    replace_lists(transfer, request);
    if (!usable) {
        transfer->sent = true; /* The chip sends, and then takes the rest of the body for headers. */
        transfer->outcome = HTTP_BROKEN;
        strcpy(transfer->error, "the previous response was not read to its end");
        return true;
    }
    transfer->body_start = transfer->body_end = 0;
    transfer->paused = false;
    transfer->answers_challenges = request->auth == (long)CURLAUTH_DIGEST;
    transfer->outcome = HTTP_NOT_STARTED;
    if (transfer->multi == NULL && (transfer->multi = curl_multi_init()) == NULL) {
        return false;
    }
    set_request(transfer->easy, request);
    if (!set_request_strings(transfer->easy, request) ||
        curl_multi_add_handle(transfer->multi, transfer->easy) != CURLM_OK) {
        return false;
    }
    transfer->outcome = HTTP_UNDER_WAY;
    return true;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool http_transfer_run(http_transfer_t *transfer, bool (*ready)(const http_transfer_t *), const int *timeout_ms)
{
    int64_t deadline = now_ms() + *timeout_ms;
    int active = 0; /* Sockets on which something came in: libcurl tells of headers only when they are whole. */
    while (transfer->outcome == HTTP_UNDER_WAY && !ready(transfer)) {
        uint64_t received = transfer->received;
        step(transfer);
        sim_timers();
        if (transfer->outcome != HTTP_UNDER_WAY || ready(transfer)) {
            break;
        }
        if (transfer->received != received || active > 0) {
            deadline = now_ms() + *timeout_ms;
        }
        int64_t left = *timeout_ms < 0 ? 1000 : deadline - now_ms();
        if (left <= 0) {
            return false;
        }
        curl_multi_poll(transfer->multi, NULL, 0, (int)left, &active);
    }
    return true;
}

size_t http_transfer_take(http_transfer_t *transfer, char *buffer, size_t len)
{
    size_t there = transfer->body_end - transfer->body_start;
    if (len > there) {
        len = there;
    }
    memcpy(buffer, transfer->body + transfer->body_start, len);
    transfer->body_start += len;
    sim_counters()->bytes_downloaded += len;
    sim_work(len);
    if (transfer->body_start == transfer->body_end) {
        transfer->body_start = transfer->body_end = 0;
        if (transfer->paused) {
            transfer->paused = false;
            curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
        }
    }
    return len;
}

void http_transfer_disconnect(http_transfer_t *transfer)
{
    if (transfer->outcome == HTTP_UNDER_WAY) {
        curl_multi_remove_handle(transfer->multi, transfer->easy);
    }
    if (transfer->outcome == HTTP_UNDER_WAY || transfer->body_end != 0) {
        transfer->outcome = HTTP_BROKEN;
    }
    curl_multi_cleanup(transfer->multi);
    transfer->multi = NULL;
    transfer->connected = false;
    transfer->paused = false;
    transfer->body_start = transfer->body_end = 0;
}
