// SPDX-License-Identifier: Apache-2.0
#include "esp_http_client.h"

#include "esp_crt_bundle.h"
#include "esp_log.h"
#include "sim/chip/sim_chip.h"
#include "sim/idf/http_transfer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const TAG = "HTTP_CLIENT";

static const char *const METHODS[HTTP_METHOD_MAX] = {
    [HTTP_METHOD_GET] = "GET",
    [HTTP_METHOD_POST] = "POST",
    [HTTP_METHOD_PUT] = "PUT",
    [HTTP_METHOD_PATCH] = "PATCH",
    [HTTP_METHOD_DELETE] = "DELETE",
    [HTTP_METHOD_HEAD] = "HEAD",
    [HTTP_METHOD_NOTIFY] = "NOTIFY",
    [HTTP_METHOD_SUBSCRIBE] = "SUBSCRIBE",
    [HTTP_METHOD_UNSUBSCRIBE] = "UNSUBSCRIBE",
    [HTTP_METHOD_OPTIONS] = "OPTIONS",
    [HTTP_METHOD_COPY] = "COPY",
    [HTTP_METHOD_MOVE] = "MOVE",
    [HTTP_METHOD_LOCK] = "LOCK",
    [HTTP_METHOD_UNLOCK] = "UNLOCK",
    [HTTP_METHOD_PROPFIND] = "PROPFIND",
    [HTTP_METHOD_PROPPATCH] = "PROPPATCH",
    [HTTP_METHOD_MKCOL] = "MKCOL",
    [HTTP_METHOD_REPORT] = "REPORT",
};

typedef struct header {
    struct header *next;
    char *key;
    char *value;
} header_t;

/* How far the request on the connection is. */
typedef enum phase {
    PHASE_IDLE,
    PHASE_SENT,
    PHASE_BODY,
} phase_t;

struct esp_http_client {
    http_transfer_t *transfer;
    CURLU *url;
    header_t *headers;
    char *username;
    char *password;
    char *common_name; /* NULL: the host's */
    esp_http_client_auth_type_t auth_type;
    bool digest_challenge; /* add_auth() has seen one. */
    bool has_trust;        /* There is something to check a server's certificate against. */
    esp_http_client_method_t method;
    int timeout_ms;
    int buffer_size;
    int buffer_size_tx;
    http_event_handle_cb event_handler;
    void *user_data;
    bool disable_auto_redirect;
    int max_redirection_count;
    int max_authorization_retries;
    int redirect_counter;
    bool process_again; /* perform(): the response asks for another request. */

    phase_t phase;
    int status;
    int64_t content_length;
    bool chunked;
    int64_t body_bytes; /* Taken of the present response. */
    char *early; /* What came of the body together with the headers: read first. A closed connection leaves it. */
    size_t early_length;
    char *location;  /* NULL: the response had none. */
    char *challenge; /* Its WWW-Authenticate. */
};

static void dispatch(esp_http_client_handle_t client, esp_http_client_event_t event)
{
    if (client->event_handler != NULL) {
        event.client = client;
        event.user_data = client->user_data;
        client->event_handler(&event);
    }
}

static void dispatch_plain(esp_http_client_handle_t client, esp_http_client_event_id_t id)
{
    dispatch(client, (esp_http_client_event_t){.event_id = id});
}

static bool replace_string(char **target, const char *value)
{
    char *copy = value != NULL ? strdup(value) : NULL;
    if (value != NULL && copy == NULL) {
        return false;
    }
    free(*target);
    *target = copy;
    return true;
}

/* Request headers. */

static header_t **find_header(esp_http_client_handle_t client, const char *key)
{
    header_t **at = &client->headers;
    while (*at != NULL && strcasecmp((*at)->key, key) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static bool remove_header(esp_http_client_handle_t client, const char *key)
{
    header_t **at = find_header(client, key);
    header_t *header = *at;
    if (header == NULL) {
        return false;
    }
    *at = header->next;
    free(header->key);
    free(header->value);
    free(header);
    return true;
}

static esp_err_t put_header(esp_http_client_handle_t client, const char *key, const char *value)
{
    header_t **at = find_header(client, key);
    if (*at != NULL) {
        return replace_string(&(*at)->value, value) ? ESP_OK : ESP_ERR_NO_MEM;
    }
    header_t *header = calloc(1, sizeof(*header));
    if (header == NULL || !replace_string(&header->key, key) || !replace_string(&header->value, value)) {
        if (header != NULL) {
            free(header->key);
            free(header);
        }
        return ESP_ERR_NO_MEM;
    }
    *at = header;
    return ESP_OK;
}

esp_err_t esp_http_client_set_header(esp_http_client_handle_t client, const char *key, const char *value)
{
    sim_flash_code(__func__);
    if (client == NULL || key == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (value == NULL) {
        return remove_header(client, key) ? ESP_OK : ESP_ERR_NOT_FOUND;
    }
    return put_header(client, key, value);
}

esp_err_t esp_http_client_get_header(esp_http_client_handle_t client, const char *key, char **value)
{
    sim_flash_code(__func__);
    if (client == NULL || key == NULL || value == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    header_t *header = *find_header(client, key);
    *value = header != NULL ? header->value : NULL;
    return ESP_OK;
}

esp_err_t esp_http_client_delete_header(esp_http_client_handle_t client, const char *key)
{
    sim_flash_code(__func__);
    if (client == NULL || key == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    return remove_header(client, key) ? ESP_OK : ESP_ERR_NOT_FOUND;
}

/* URLs. */

/* A part of the URL for curl_free(); NULL if it has none. */
static char *url_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) == CURLUE_OK ? text : NULL;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *text_a = url_part(a, part);
    char *text_b = url_part(b, part);
    bool same = text_a != NULL && text_b != NULL && strcasecmp(text_a, text_b) == 0;
    curl_free(text_a);
    curl_free(text_b);
    return same;
}

static bool is_scheme(CURLU *url, const char *scheme)
{
    char *text = url_part(url, CURLUPART_SCHEME);
    bool same = text != NULL && strcasecmp(text, scheme) == 0;
    curl_free(text);
    return same;
}

/* Another path and query on the same server. */
static bool set_path_and_query(CURLU *url, const char *path_and_query)
{
    size_t path_len = strcspn(path_and_query, "?#");
    const char *rest = path_and_query + path_len;
    size_t query_len = *rest == '?' ? strcspn(rest + 1, "#") : 0;
    char *path = strndup(path_and_query, path_len);
    char *query = query_len != 0 ? strndup(rest + 1, query_len) : NULL;
    bool good = path != NULL && curl_url_set(url, CURLUPART_PATH, path, 0) == CURLUE_OK &&
                (query_len == 0 || query != NULL) && curl_url_set(url, CURLUPART_QUERY, query, 0) == CURLUE_OK;
    free(path);
    free(query);
    return good;
}

/* As on the chip, a URL needs a scheme or a path that starts with '/'; "x.bin" and "../x.bin" are none. */
static CURLU *parse_url(CURLU *base, const char *text)
{
    bool on_same_server = text[0] == '/' && base != NULL;
    CURLU *url = on_same_server ? curl_url_dup(base) : curl_url();
    if (url == NULL) {
        return NULL;
    }
    bool good = on_same_server
                    ? set_path_and_query(url, text)
                    : curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) == CURLUE_OK;
    if (!good) {
        curl_url_cleanup(url);
        return NULL;
    }
    return url;
}

/* Moves user and password from the URL into the client, where the authentication type decides how they are used. */
static bool take_user_info(esp_http_client_handle_t client, CURLU *url)
{
    char *username = url_part(url, CURLUPART_USER);
    char *password = url_part(url, CURLUPART_PASSWORD);
    bool good = (username == NULL || replace_string(&client->username, username)) &&
                (password == NULL || replace_string(&client->password, password));
    curl_free(username);
    curl_free(password);
    return good && curl_url_set(url, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
           curl_url_set(url, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK;
}

static void close_connection(esp_http_client_handle_t client)
{
    bool was_connected = client->transfer->connected;
    http_transfer_disconnect(client->transfer);
    client->phase = PHASE_IDLE;
    if (was_connected) {
        dispatch_plain(client, HTTP_EVENT_DISCONNECTED);
    }
}

static void drop_early_bytes(esp_http_client_handle_t client)
{
    free(client->early);
    client->early = NULL;
    client->early_length = 0;
}

static esp_err_t change_url(esp_http_client_handle_t client, const char *text)
{
    CURLU *url = parse_url(client->url, text);
    if (url == NULL) {
        ESP_LOGE(TAG, "Not a URL: %s", text);
        return ESP_ERR_INVALID_ARG;
    }
    if (!take_user_info(client, url)) {
        curl_url_cleanup(url);
        return ESP_ERR_NO_MEM;
    }
    CURLU *previous = client->url;
    client->url = url;
    if (previous != NULL) {
        bool same_host = same_part(previous, url, CURLUPART_HOST);
        if (!same_host) {
            remove_header(client, "Host");
        }
        if (!same_host || !same_part(previous, url, CURLUPART_PORT)) {
            drop_early_bytes(client);
            close_connection(client);
        }
        curl_url_cleanup(previous);
    }
    return ESP_OK;
}

esp_err_t esp_http_client_set_url(esp_http_client_handle_t client, const char *url)
{
    sim_flash_code(__func__);
    if (client == NULL || url == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    return change_url(client, url);
}

esp_err_t esp_http_client_get_url(esp_http_client_handle_t client, char *url, const int len)
{
    sim_flash_code(__func__);
    if (client == NULL || url == NULL || len <= 0) {
        return ESP_ERR_INVALID_ARG;
    }
    char *scheme = url_part(client->url, CURLUPART_SCHEME);
    char *host = url_part(client->url, CURLUPART_HOST);
    char *port = url_part(client->url, CURLUPART_PORT);
    char *path = url_part(client->url, CURLUPART_PATH);
    bool good = scheme != NULL && host != NULL && port != NULL && path != NULL;
    if (good) {
        snprintf(url, (size_t)len, "%s://%s:%s%s", scheme, host, port, path);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    return good ? ESP_OK : ESP_FAIL;
}

/* Making a client. */

esp_err_t esp_crt_bundle_attach(void *conf)
{
    (void)conf;
    return ESP_OK;
}

static bool set_host_and_path(CURLU *url, const esp_http_client_config_t *config)
{
    bool bare_ipv6 = strchr(config->host, ':') != NULL && config->host[0] != '[';
    char host[256];
    int len = snprintf(host, sizeof(host), bare_ipv6 ? "[%s]" : "%s", config->host);
    char port[16];
    snprintf(port, sizeof(port), "%d", config->port);
    const char *scheme = config->transport_type == HTTP_TRANSPORT_OVER_SSL ? "https" : "http";
    return len < (int)sizeof(host) && curl_url_set(url, CURLUPART_SCHEME, scheme, 0) == CURLUE_OK &&
           curl_url_set(url, CURLUPART_HOST, host, 0) == CURLUE_OK &&
           (config->port == 0 || curl_url_set(url, CURLUPART_PORT, port, 0) == CURLUE_OK) &&
           curl_url_set(url, CURLUPART_PATH, config->path, 0) == CURLUE_OK &&
           (config->query == NULL || curl_url_set(url, CURLUPART_QUERY, config->query, 0) == CURLUE_OK);
}

static bool set_target(esp_http_client_handle_t client, const esp_http_client_config_t *config)
{
    if (config->host != NULL && config->path != NULL) {
        client->url = curl_url();
        return client->url != NULL && set_host_and_path(client->url, config);
    }
    return config->url != NULL && change_url(client, config->url) == ESP_OK;
}

static bool copy_strings(esp_http_client_handle_t client, const esp_http_client_config_t *config)
{
    const char *user_agent = config->user_agent != NULL ? config->user_agent : "ESP32 HTTP Client/1.0";
    return put_header(client, "User-Agent", user_agent) == ESP_OK &&
           replace_string(&client->username, config->username) && replace_string(&client->password, config->password) &&
           replace_string(&client->common_name, config->common_name);
}

static void copy_numbers(esp_http_client_handle_t client, const esp_http_client_config_t *config)
{
    client->auth_type = config->auth_type;
    client->has_trust = config->cert_pem != NULL || config->crt_bundle_attach != NULL || config->use_global_ca_store;
    client->method = config->method;
    client->timeout_ms = config->timeout_ms != 0 ? config->timeout_ms : 5000;
    client->buffer_size = config->buffer_size != 0 ? config->buffer_size : DEFAULT_HTTP_BUF_SIZE;
    client->buffer_size_tx = config->buffer_size_tx != 0 ? config->buffer_size_tx : DEFAULT_HTTP_BUF_SIZE;
    client->event_handler = config->event_handler;
    client->user_data = config->user_data;
    client->disable_auto_redirect = config->disable_auto_redirect;
    client->max_redirection_count = config->max_redirection_count != 0 ? config->max_redirection_count : 10;
    client->max_authorization_retries = config->max_authorization_retries == 0    ? 10
                                        : config->max_authorization_retries == -1 ? 0
                                                                                  : config->max_authorization_retries;
}

esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config)
{
    sim_flash_code(__func__);
    if (config->buffer_size < 0 || config->buffer_size_tx < 0 || (unsigned)config->method >= HTTP_METHOD_MAX) {
        ESP_LOGE(TAG, "Buffer size or method out of range");
        return NULL;
    }
    esp_http_client_handle_t client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return NULL;
    }
    sim_counters()->open_clients++;
    copy_numbers(client, config);
    client->transfer = http_transfer_new(config);
    if (client->transfer == NULL || !copy_strings(client, config) || !set_target(client, config)) {
        ESP_LOGE(TAG, "No memory, or certificates, URL or host and path that cannot be used");
        esp_http_client_cleanup(client);
        return NULL;
    }
    return client;
}

esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    if (client == NULL) {
        return ESP_FAIL;
    }
    if (client->transfer != NULL) {
        close_connection(client);
    }
    http_transfer_free(client->transfer);
    curl_url_cleanup(client->url);
    while (client->headers != NULL) {
        remove_header(client, client->headers->key);
    }
    drop_early_bytes(client);
    free(client->username);
    free(client->password);
    free(client->common_name);
    free(client->location);
    free(client->challenge);
    free(client);
    sim_counters()->open_clients--;
    return ESP_OK;
}

esp_err_t esp_http_client_get_user_data(esp_http_client_handle_t client, void **data)
{
    sim_flash_code(__func__);
    if (client == NULL || data == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    *data = client->user_data;
    return ESP_OK;
}

esp_err_t esp_http_client_set_user_data(esp_http_client_handle_t client, void *data)
{
    sim_flash_code(__func__);
    if (client == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    client->user_data = data;
    return ESP_OK;
}

esp_err_t esp_http_client_set_method(esp_http_client_handle_t client, esp_http_client_method_t method)
{
    sim_flash_code(__func__);
    if (client == NULL || (unsigned)method >= HTTP_METHOD_MAX) {
        return ESP_ERR_INVALID_ARG;
    }
    client->method = method;
    return ESP_OK;
}

esp_err_t esp_http_client_set_timeout_ms(esp_http_client_handle_t client, int timeout_ms)
{
    sim_flash_code(__func__);
    if (client == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    client->timeout_ms = timeout_ms;
    return ESP_OK;
}

/* The request. */

__attribute__((format(printf, 2, 3))) static bool append(struct curl_slist **list, const char *format, ...)
{
    char *line;
    va_list arguments;
    va_start(arguments, format);
    int len = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (len < 0) {
        return false;
    }
    struct curl_slist *longer = curl_slist_append(*list, line);
    free(line);
    if (longer == NULL) {
        return false;
    }
    *list = longer;
    return true;
}

static bool list_headers(esp_http_client_handle_t client, struct curl_slist **list)
{
    bool good = true;
    for (const header_t *header = client->headers; good && header != NULL; header = header->next) {
        /* "key;" is libcurl's way to send a header without a value, "key:" to suppress one of its own. */
        good = header->value[0] != '\0' ? append(list, "%s: %s", header->key, header->value)
                                        : append(list, "%s;", header->key);
    }
    if (good && *find_header(client, "Accept") == NULL) {
        good = append(list, "Accept:");
    }
    bool may_have_body =
        client->method != HTTP_METHOD_GET && client->method != HTTP_METHOD_HEAD && client->method != HTTP_METHOD_DELETE;
    return good && (!may_have_body || append(list, "Content-Length: 0"));
}

/* libcurl expects the URL's host in the certificate: ask for the other name, and say how to reach it. */
static bool use_common_name(esp_http_client_handle_t client, CURLU *url, http_request_t *request)
{
    char *host = url_part(url, CURLUPART_HOST);
    char *port = url_part(url, CURLUPART_PORT);
    bool good = host != NULL && port != NULL && append(&request->connect_to, "::%s:%s", host, port) &&
                (*find_header(client, "Host") != NULL || append(&request->headers, "Host: %s:%s", host, port)) &&
                curl_url_set(url, CURLUPART_HOST, client->common_name, 0) == CURLUE_OK;
    curl_free(host);
    curl_free(port);
    return good;
}

/* Fills in the URL, for curl_free(), and the lists. */
static bool address(esp_http_client_handle_t client, http_request_t *request, char **text)
{
    CURLU *url = curl_url_dup(client->url);
    if (url == NULL) {
        return false;
    }
    bool detour = client->common_name != NULL && is_scheme(url, "https");
    bool good = list_headers(client, &request->headers) && (!detour || use_common_name(client, url, request)) &&
                (*text = url_part(url, CURLUPART_URL)) != NULL;
    request->url = *text;
    curl_url_cleanup(url);
    return good;
}

static bool request_line_fits(esp_http_client_handle_t client)
{
    char *path = url_part(client->url, CURLUPART_PATH);
    char *query = url_part(client->url, CURLUPART_QUERY);
    size_t len = strlen(METHODS[client->method]) + strlen("  HTTP/1.1\r\n") + (path != NULL ? strlen(path) : 0) +
                 (query != NULL ? 1 + strlen(query) : 0);
    curl_free(path);
    curl_free(query);
    return len < (size_t)client->buffer_size_tx;
}

/* What the chip finds out before it sends anything. */
static esp_err_t check_request(esp_http_client_handle_t client)
{
    bool tls = is_scheme(client->url, "https");
    if (!tls && !is_scheme(client->url, "http")) {
        ESP_LOGE(TAG, "No transport for this URL: neither http nor https");
        return ESP_ERR_HTTP_INVALID_TRANSPORT;
    }
    if (tls && !client->has_trust) {
        ESP_LOGE(TAG, "https without cert_pem, crt_bundle_attach or use_global_ca_store: nothing to verify against");
        return ESP_ERR_HTTP_CONNECT;
    }
    if (!request_line_fits(client)) {
        ESP_LOGE(TAG, "The request line does not fit into buffer_size_tx (%d)", client->buffer_size_tx);
        return ESP_FAIL;
    }
    return ESP_OK;
}

static long authentication(esp_http_client_handle_t client)
{
    if (client->username == NULL || client->auth_type == HTTP_AUTH_TYPE_NONE) {
        return (long)CURLAUTH_NONE;
    }
    if (client->auth_type == HTTP_AUTH_TYPE_BASIC) {
        return (long)CURLAUTH_BASIC;
    }
    return client->digest_challenge ? (long)CURLAUTH_DIGEST : (long)CURLAUTH_NONE;
}

static void forget_response(esp_http_client_handle_t client)
{
    client->status = -1;
    client->content_length = 0;
    client->chunked = false;
    client->body_bytes = 0;
    client->process_again = false;
    replace_string(&client->location, NULL);
    replace_string(&client->challenge, NULL);
}

static const int FOR_EVER = -1;

static bool request_is_out(const http_transfer_t *transfer)
{
    return transfer->sent;
}

static esp_err_t start_transfer(esp_http_client_handle_t client)
{
    http_request_t request = {
        .method = METHODS[client->method],
        .username = client->username,
        .password = client->password,
        .auth = authentication(client),
        .timeout_ms = client->timeout_ms,
    };
    char *url = NULL;
    bool good = address(client, &request, &url);
    if (!good) {
        curl_slist_free_all(request.headers);
        curl_slist_free_all(request.connect_to);
    }
    good = good && http_transfer_start(client->transfer, &request);
    curl_free(url);
    return good ? ESP_OK : ESP_ERR_NO_MEM;
}

static esp_err_t send_request(esp_http_client_handle_t client)
{
    http_transfer_t *transfer = client->transfer;
    esp_err_t err = check_request(client);
    if (err == ESP_OK) {
        err = start_transfer(client);
    }
    if (err != ESP_OK) {
        return err;
    }
    client->phase = PHASE_IDLE;
    forget_response(client);
    http_transfer_run(transfer, request_is_out, &FOR_EVER); /* libcurl limits the time to connect. */
    if (transfer->outcome == HTTP_NOT_CONNECTED) {
        ESP_LOGE(TAG, "Connection failed: %s", transfer->error);
        return ESP_ERR_HTTP_CONNECT;
    }
    if (transfer->new_connection) {
        dispatch_plain(client, HTTP_EVENT_ON_CONNECTED);
    }
    if (transfer->outcome == HTTP_NOT_SENT) {
        ESP_LOGE(TAG, "Error writing the request: %s", transfer->error);
        close_connection(client);
        return ESP_ERR_HTTP_WRITE_DATA;
    }
    client->phase = PHASE_SENT;
    dispatch_plain(client, HTTP_EVENT_HEADERS_SENT);
    return ESP_OK;
}

esp_err_t esp_http_client_open(esp_http_client_handle_t client, int write_len)
{
    sim_flash_code(__func__);
    if (write_len != 0) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    esp_err_t err = send_request(client);
    if (err != ESP_OK) {
        dispatch_plain(client, HTTP_EVENT_ERROR);
    }
    return err;
}

/* The response. */

/* "key: value" as an event, and what later calls need of it. */
static bool tell_header(esp_http_client_handle_t client, const char *line)
{
    char *key = strdup(line);
    char *colon = key != NULL ? strchr(key, ':') : NULL;
    if (colon == NULL) {
        free(key);
        return key != NULL;
    }
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    bool good = true;
    if (strcasecmp(key, "Location") == 0) {
        good = replace_string(&client->location, value);
    } else if (strcasecmp(key, "WWW-Authenticate") == 0) {
        good = replace_string(&client->challenge, value);
    }
    dispatch(client,
             (esp_http_client_event_t){.event_id = HTTP_EVENT_ON_HEADER, .header_key = key, .header_value = value});
    free(key);
    return good;
}

static bool body_is_there(const http_transfer_t *transfer)
{
    return transfer->body_end != 0;
}

static bool headers_are_there(const http_transfer_t *transfer)
{
    return transfer->headers_complete;
}

/* Body bytes that are there already, behind what an earlier response has left. */
static bool keep_early_bytes(esp_http_client_handle_t client)
{
    if (!body_is_there(client->transfer)) {
        return true;
    }
    char *early = realloc(client->early, client->early_length + (size_t)client->buffer_size);
    if (early == NULL) {
        return false;
    }
    const size_t got = http_transfer_take(client->transfer, early + client->early_length, (size_t)client->buffer_size);
    client->early = early;
    client->body_bytes += (int64_t)got;
    sim_counters()->bytes_downloaded -= got; /* They count when they are read. */
    dispatch(client, (esp_http_client_event_t){
                         .event_id = HTTP_EVENT_ON_DATA, .data = early + client->early_length, .data_len = (int)got});
    client->early_length += got;
    return true;
}

static int64_t fetch_headers(esp_http_client_handle_t client)
{
    http_transfer_t *transfer = client->transfer;
    if (client->phase == PHASE_IDLE) {
        return ESP_FAIL;
    }
    client->status = -1;
    if (!http_transfer_run(transfer, headers_are_there, &client->timeout_ms)) {
        ESP_LOGW(TAG, "No response within %d ms", client->timeout_ms);
        return -ESP_ERR_HTTP_EAGAIN;
    }
    if (!transfer->headers_complete) {
        ESP_LOGE(TAG, "No response: %s", transfer->error);
        return ESP_FAIL;
    }
    client->phase = PHASE_BODY;
    client->status = transfer->status;
    client->content_length = transfer->content_length;
    client->chunked = transfer->chunked || transfer->content_length <= 0;
    for (const struct curl_slist *line = transfer->headers; line != NULL; line = line->next) {
        if (!tell_header(client, line->data)) {
            return ESP_FAIL;
        }
    }
    if (!keep_early_bytes(client)) {
        return ESP_FAIL;
    }
    return client->content_length > 0 ? client->content_length : 0;
}

int64_t esp_http_client_fetch_headers(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return fetch_headers(client);
}

int esp_http_client_get_status_code(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return client->status;
}

int64_t esp_http_client_get_content_length(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return client->content_length;
}

bool esp_http_client_is_chunked_response(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return client->chunked;
}

static bool is_complete(esp_http_client_handle_t client)
{
    if (!client->chunked) {
        return client->body_bytes == client->content_length;
    }
    return client->transfer->outcome == HTTP_COMPLETE && client->transfer->body_end == 0;
}

bool esp_http_client_is_complete_data_received(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return is_complete(client);
}

/* Body bytes as one read from the socket would give them; 0 if there are no more. @return false after a timeout */
static bool read_some(esp_http_client_handle_t client, char *buffer, size_t len, size_t *got)
{
    http_transfer_t *transfer = client->transfer;
    *got = 0;
    if (!body_is_there(transfer) && !http_transfer_run(transfer, body_is_there, &client->timeout_ms)) {
        return false;
    }
    if (len > (size_t)client->buffer_size) {
        len = (size_t)client->buffer_size;
    }
    *got = http_transfer_take(transfer, buffer, len);
    client->body_bytes += (int64_t)*got;
    if (*got != 0) {
        dispatch(client,
                 (esp_http_client_event_t){.event_id = HTTP_EVENT_ON_DATA, .data = buffer, .data_len = (int)*got});
    }
    return true;
}

static int take_early_bytes(esp_http_client_handle_t client, char *buffer, int len)
{
    const size_t taken = client->early_length < (size_t)len ? client->early_length : (size_t)len;
    if (taken != 0) {
        memcpy(buffer, client->early, taken);
        sim_counters()->bytes_downloaded += taken;
        client->early_length -= taken;
        memmove(client->early, client->early + taken, client->early_length);
    }
    return (int)taken;
}

static int read_body(esp_http_client_handle_t client, char *buffer, int len)
{
    int total = take_early_bytes(client, buffer, len);
    while (total < len && client->phase == PHASE_BODY && !is_complete(client)) {
        size_t got;
        if (!read_some(client, buffer + total, (size_t)(len - total), &got)) {
            return total != 0 ? total : -ESP_ERR_HTTP_EAGAIN;
        }
        if (got == 0) {
            break;
        }
        total += (int)got;
    }
    if (total == 0 && len > 0 && !is_complete(client)) {
        ESP_LOGE(TAG, "Connection lost in the body: %s", client->transfer->error);
        dispatch_plain(client, HTTP_EVENT_ERROR);
        return ESP_FAIL;
    }
    return total;
}

int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int len)
{
    sim_flash_code(__func__);
    return read_body(client, buffer, len);
}

int esp_http_client_read_response(esp_http_client_handle_t client, char *buffer, int len)
{
    sim_flash_code(__func__);
    int total = 0;
    while (total < len) {
        int got = read_body(client, buffer + total, len - total);
        if (got <= 0) {
            break;
        }
        total += got;
    }
    return total;
}

/* Reads the rest of the body for the event handler only. @return how many bytes */
static int drain(esp_http_client_handle_t client)
{
    char buffer[DEFAULT_HTTP_BUF_SIZE];
    int total = 0;
    size_t got = 1;
    while (got != 0 && client->phase == PHASE_BODY && !is_complete(client)) {
        if (!read_some(client, buffer, sizeof(buffer), &got)) {
            break;
        }
        total += (int)got;
    }
    return total;
}

esp_err_t esp_http_client_flush_response(esp_http_client_handle_t client, int *len)
{
    sim_flash_code(__func__);
    if (client == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    int drained = drain(client);
    if (!is_complete(client)) {
        return ESP_FAIL;
    }
    if (len != NULL) {
        *len = drained;
    }
    return ESP_OK;
}

int esp_http_client_get_errno(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return client != NULL ? client->transfer->socket_errno : -1;
}

esp_err_t esp_http_client_close(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    close_connection(client);
    return ESP_OK;
}

/* What a response asks for. */

static esp_err_t follow(esp_http_client_handle_t client)
{
    if (client->location == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    esp_err_t err = change_url(client, client->location);
    if (err == ESP_OK) {
        client->redirect_counter++;
        client->process_again = true;
    }
    return err;
}

esp_err_t esp_http_client_set_redirection(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return client != NULL ? follow(client) : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_http_client_reset_redirect_counter(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    if (client == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    client->redirect_counter = 0;
    return ESP_OK;
}

static esp_err_t add_auth(esp_http_client_handle_t client)
{
    if (client->phase != PHASE_BODY) {
        return ESP_OK;
    }
    if (client->redirect_counter >= client->max_authorization_retries) {
        ESP_LOGE(TAG, "Reached max_authorization_retries (%d)", client->max_authorization_retries);
        return ESP_FAIL;
    }
    const char *challenge = client->challenge != NULL ? client->challenge : "";
    if (strncmp(challenge, "Digest", strlen("Digest")) == 0) {
        client->auth_type = HTTP_AUTH_TYPE_DIGEST;
        client->digest_challenge = true;
    } else if (strncmp(challenge, "Basic", strlen("Basic")) == 0) {
        client->auth_type = HTTP_AUTH_TYPE_BASIC;
    } else {
        client->auth_type = HTTP_AUTH_TYPE_NONE;
        ESP_LOGE(TAG, "Authentication \"%s\" is not supported", challenge);
        return ESP_ERR_NOT_SUPPORTED;
    }
    client->redirect_counter++;
    client->process_again = true;
    return ESP_OK;
}

esp_err_t esp_http_client_add_auth(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    return client != NULL ? add_auth(client) : ESP_ERR_INVALID_ARG;
}

static esp_err_t check_response(esp_http_client_handle_t client)
{
    if (client->status >= HttpStatus_Ok && client->status < HttpStatus_MultipleChoices) {
        client->redirect_counter = 0;
        return ESP_OK;
    }
    if (client->redirect_counter >= client->max_redirection_count) {
        ESP_LOGE(TAG, "Reached max_redirection_count (%d)", client->max_redirection_count);
        return ESP_ERR_HTTP_MAX_REDIRECT;
    }
    switch (client->status) {
    case HttpStatus_MovedPermanently:
    case HttpStatus_Found:
    case HttpStatus_SeeOther:
    case HttpStatus_TemporaryRedirect:
    case HttpStatus_PermanentRedirect:
        if (client->disable_auto_redirect) {
            dispatch_plain(client, HTTP_EVENT_REDIRECT);
            return ESP_OK;
        }
        return follow(client) == ESP_OK ? ESP_OK : ESP_FAIL;
    case HttpStatus_Unauthorized:
        return add_auth(client);
    default:
        return ESP_OK;
    }
}

/* perform() once, from where an earlier call was left by a timeout. */
static esp_err_t perform_one(esp_http_client_handle_t client)
{
    esp_err_t err = client->phase == PHASE_IDLE ? send_request(client) : ESP_OK;
    if (err != ESP_OK) {
        return err;
    }
    if (client->phase == PHASE_SENT) {
        int64_t length = fetch_headers(client);
        if (length == -ESP_ERR_HTTP_EAGAIN) {
            return ESP_ERR_HTTP_EAGAIN;
        }
        if (length < 0 && client->transfer->outcome == HTTP_CLOSED) {
            close_connection(client);
            return ESP_ERR_HTTP_CONNECTION_CLOSED;
        }
        if (length < 0) {
            return ESP_ERR_HTTP_FETCH_HEADER;
        }
    }
    err = check_response(client);
    if (err != ESP_OK) {
        return err;
    }
    drain(client);
    drop_early_bytes(client);
    dispatch_plain(client, HTTP_EVENT_ON_FINISH);
    if (!client->transfer->keep_alive) {
        close_connection(client);
    }
    client->phase = PHASE_IDLE;
    return ESP_OK;
}

esp_err_t esp_http_client_perform(esp_http_client_handle_t client)
{
    sim_flash_code(__func__);
    esp_err_t err;
    do {
        client->process_again = false;
        err = perform_one(client);
    } while (err == ESP_OK && client->process_again);
    if (err != ESP_OK && err != ESP_ERR_HTTP_EAGAIN) {
        dispatch_plain(client, HTTP_EVENT_ERROR);
    }
    return err;
}
