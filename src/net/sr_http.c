// SPDX-License-Identifier: Apache-2.0
#include "net/sr_http.h"

#include "self_reflasher_err.h"

#include "esp_log.h"
#include "sdkconfig.h"

#include <inttypes.h>
#include <string.h>

#if CONFIG_SELF_REFLASHER_HTTP
#define DEFAULT_MAX_REDIRECTS 10   /**< As in esp_http_client, for a config that says 0. */
#define DEFAULT_MAX_AUTH      2    /**< The second one is for a digest whose nonce has expired. */
#define DEFAULT_TIMEOUT_MS    5000 /**< As in esp_http_client. */
#define SLACK_MS              20   /**< A wait may end a tick early. */
#define SCHEME_SIZE           12   /**< Longer ones are cut off: none of those is https. */
#define DROP_SIZE             64   /**< Bytes read at once of what is not wanted; they are on the stack. */

static const char *TAG = "self_reflasher";

/* Time. One call of esp_http_client waits once for each piece that the network brings, each time for all of its
 * timeout, and its loop over the headers does not end before they do. But it reads the timeout again each time. So when
 * the time is over, a timer sets that to 0, and the next wait for a piece is the last.
 */

static uint32_t stall_ms(const sr_http_t *http)
{
    return http->stall_ms != 0 ? http->stall_ms : SR_HTTP_STALL_MS;
}

static void on_time_over(void *context)
{
    const sr_http_t *http = context;
    (void)esp_http_client_set_timeout_ms(http->client, 0);
}

/* The caller's timeout. If that is longer than all may take, it is made a little longer than that: then the timer ends
 * the wait. */
static int timeout_ms(const sr_http_t *http)
{
    const int wanted = http->config->timeout_ms != 0 ? http->config->timeout_ms : DEFAULT_TIMEOUT_MS;
    const uint32_t most = INT32_MAX - SLACK_MS;
    const uint32_t longest = stall_ms(http) < most ? stall_ms(http) : most;
    return wanted < 0 || (uint32_t)wanted >= longest ? (int)(longest + SLACK_MS) : wanted;
}

static bool is_too_slow(const sr_http_t *http)
{
    return http->waited_us >= (int64_t)stall_ms(http) * 1000;
}

static void start_waiting(sr_http_t *http)
{
    const int64_t left = (int64_t)stall_ms(http) * 1000 - http->waited_us;
    (void)esp_http_client_set_timeout_ms(http->client, timeout_ms(http));
    http->waited_us -= esp_timer_get_time();
    (void)esp_timer_start_once(http->timer, left > 0 ? (uint64_t)left : 1u);
}

static void stop_waiting(sr_http_t *http)
{
    (void)esp_timer_stop(http->timer); /* Fails if it has run out. */
    http->waited_us += esp_timer_get_time();
}

static void note_progress(sr_http_t *http)
{
    http->waited_us = 0;
    http->progress = 0;
}

static esp_err_t tell_too_slow(const sr_http_t *http)
{
    ESP_LOGE(TAG, "server is too slow: %" PRIu32 " bytes in %" PRIu32 " ms", http->progress, stall_ms(http));
    return ESP_ERR_SELF_REFLASHER_TOO_SLOW;
}

/* The client. */

static esp_err_t make_client(sr_http_t *http)
{
    http->redirected = false;
    http->early = 0;
    http->client = esp_http_client_init(http->config);
    return http->client != NULL ? ESP_OK : ESP_ERR_NO_MEM;
}

esp_err_t sr_http_open(sr_http_t *http)
{
    const esp_timer_create_args_t timer = {.callback = on_time_over, .arg = http, .name = "sr_http"};
    http->client = NULL;
    http->timer = NULL;
    note_progress(http);
    const esp_err_t err = make_client(http);
    return err == ESP_OK && esp_timer_create(&timer, &http->timer) != ESP_OK ? ESP_ERR_NO_MEM : err;
}

/* What came of a body together with its headers waits in the client, at most a buffer of it. Closing the connection
 * does not drop it: it would be taken for the start of the next body. It is read first, so nothing waits here for more.
 */
static void drop_early_bytes(sr_http_t *http)
{
    char unwanted[DROP_SIZE];
    int read = 1;
    (void)esp_http_client_set_timeout_ms(http->client, 0);
    while (http->early > 0 && read > 0) {
        read = esp_http_client_read(http->client, unwanted, http->early < DROP_SIZE ? (int)http->early : DROP_SIZE);
        http->early -= read > 0 ? (uint32_t)read : 0;
    }
    http->early = 0;
}

void sr_http_disconnect(sr_http_t *http)
{
    if (http->client != NULL) {
        drop_early_bytes(http);
        (void)esp_http_client_close(http->client);
    }
}

static void free_client(sr_http_t *http)
{
    if (http->client != NULL) {
        (void)esp_http_client_close(http->client);
        (void)esp_http_client_cleanup(http->client);
    }
    http->client = NULL;
}

/* A new client, because the old one keeps more of a redirect than the URL: the user name and password in it. */
esp_err_t sr_http_start_over(sr_http_t *http)
{
    if (http->client != NULL && !http->redirected) {
        return ESP_OK;
    }
    free_client(http);
    return make_client(http);
}

void sr_http_close(sr_http_t *http)
{
    if (http->timer != NULL) {
        (void)esp_timer_delete(http->timer);
    }
    http->timer = NULL;
    free_client(http);
}

esp_err_t sr_http_set_header(sr_http_t *http, const char *name, const char *value)
{
    return esp_http_client_set_header(http->client, name, value);
}

/* Requests. */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int limit(int configured, int fallback)
{
    return configured == 0 ? fallback : configured;
}

static void get_scheme(const sr_http_t *http, char scheme[SCHEME_SIZE])
{
    memset(scheme, 0, SCHEME_SIZE);
    if (esp_http_client_get_url(http->client, scheme, SCHEME_SIZE) == ESP_OK) {
        scheme[strcspn(scheme, ":")] = '\0';
    }
}

/* @p name in small letters. */
static bool is_scheme(const char *scheme, const char *name)
{
    size_t i = 0;
    while (name[i] != '\0' && (scheme[i] | 0x20) == name[i]) {
        i++;
    }
    return name[i] == '\0' && scheme[i] == '\0';
}

/* Compares the client's own URL before and after: only the client's reading of a Location counts. */
static esp_err_t follow_redirect(sr_http_t *http)
{
    char from[SCHEME_SIZE];
    char to[SCHEME_SIZE];
    get_scheme(http, from);
    http->redirected = true;
    const esp_err_t err = esp_http_client_set_redirection(http->client);
#ifdef ESP_ERR_HTTP_REDIRECT_DOWNGRADE
    if (err == ESP_ERR_HTTP_REDIRECT_DOWNGRADE) {
        ESP_LOGE(TAG, "refused: ESP-IDF does not follow the redirect from %s to another scheme than https", from);
        return ESP_ERR_SELF_REFLASHER_DOWNGRADE;
    }
#endif
    if (err != ESP_OK) {
        return err;
    }
    get_scheme(http, to);
    const bool allowed = is_scheme(to, "https") || (http->allow_http && is_scheme(to, "http"));
    if (is_scheme(from, "https") && !allowed) {
        ESP_LOGE(TAG, "refused: a redirect leads from %s to %s", from, to);
        return ESP_ERR_SELF_REFLASHER_DOWNGRADE;
    }
    return ESP_OK;
}

static esp_err_t wait_for_headers(sr_http_t *http, int64_t *announced)
{
    note_progress(http);
    start_waiting(http);
    const esp_err_t err = esp_http_client_open(http->client, 0);
    *announced = err == ESP_OK ? esp_http_client_fetch_headers(http->client) : 0;
    stop_waiting(http);
    return err;
}

static esp_err_t request_once(sr_http_t *http, sr_http_answer_t *answer)
{
    int64_t announced;
    const esp_err_t err = wait_for_headers(http, &announced);
    if (err != ESP_OK) {
        return err;
    }
    if (announced < 0 && is_too_slow(http)) {
        return tell_too_slow(http);
    }
    if (announced == -ESP_ERR_HTTP_EAGAIN) {
        return ESP_ERR_HTTP_EAGAIN;
    }
    if (announced < 0) {
        return ESP_ERR_HTTP_FETCH_HEADER;
    }
    note_progress(http);
    http->early = (uint32_t)limit(http->config->buffer_size, DEFAULT_HTTP_BUF_SIZE);
    /* 0 stands for a chunked body and for one without a length. An empty body is noticed when it has been read. */
    answer->length = announced > 0 ? announced : -1;
    answer->status = esp_http_client_get_status_code(http->client);
    return ESP_OK;
}

/* Handles an answer whose body does not count: a redirect or a request for authorization. @return ESP_OK if another
 * request is to be sent */
static esp_err_t go_on(sr_http_t *http, int status, int *redirects, int *authorizations)
{
    if (is_redirect(status) && !http->config->disable_auto_redirect) {
        if ((*redirects)-- <= 0) {
            ESP_LOGE(TAG, "too many redirects");
            return ESP_ERR_HTTP_MAX_REDIRECT;
        }
        const esp_err_t err = follow_redirect(http);
        if (err == ESP_OK || err == ESP_ERR_SELF_REFLASHER_DOWNGRADE) {
            return err;
        }
    } else if (status == 401 && (*authorizations)-- > 0) {
        esp_http_client_add_auth(http->client);
        return ESP_OK;
    }
    ESP_LOGE(TAG, "server answered with status %d", status);
    return ESP_ERR_SELF_REFLASHER_HTTP_STATUS;
}

esp_err_t sr_http_request(sr_http_t *http, sr_http_answer_t *answer)
{
    int redirects = limit(http->config->max_redirection_count, DEFAULT_MAX_REDIRECTS);
    int authorizations = limit(http->config->max_authorization_retries, DEFAULT_MAX_AUTH);
    *answer = (sr_http_answer_t){.length = -1};
    for (;;) {
        esp_err_t err = request_once(http, answer);
        if (err != ESP_OK || answer->status == 200 || answer->status == 206) {
            return err;
        }
        drop_early_bytes(http);
        err = go_on(http, answer->status, &redirects, &authorizations);
        if (err != ESP_OK) {
            return err;
        }
        sr_http_disconnect(http);
    }
}

esp_err_t sr_http_read(sr_http_t *http, void *out, uint32_t length, uint32_t *got)
{
    start_waiting(http);
    const int read = esp_http_client_read(http->client, out, (int)length);
    stop_waiting(http);
    *got = read > 0 ? (uint32_t)read : 0;
    http->early -= *got < http->early ? *got : http->early;
    http->progress += *got;
    if (http->progress >= SR_HTTP_PROGRESS) {
        note_progress(http);
    } else if (read != 0 && is_too_slow(http)) {
        return tell_too_slow(http);
    }
    if (read >= 0) {
        return ESP_OK;
    }
    return read == -ESP_ERR_HTTP_EAGAIN ? ESP_ERR_HTTP_EAGAIN : ESP_ERR_SELF_REFLASHER_SHORT_BODY;
}

bool sr_http_is_complete(const sr_http_t *http)
{
    return esp_http_client_is_complete_data_received(http->client);
}
#else
static const char *TAG = "self_reflasher";

esp_err_t sr_http_open(sr_http_t *http)
{
    http->client = NULL;
    http->timer = NULL;
    ESP_LOGE(TAG, "refused: CONFIG_SELF_REFLASHER_HTTP is off");
    return ESP_ERR_NOT_SUPPORTED;
}

esp_err_t sr_http_set_header(sr_http_t *http, const char *name, const char *value)
{
    (void)http;
    (void)name;
    (void)value;
    return ESP_ERR_NOT_SUPPORTED;
}

esp_err_t sr_http_request(sr_http_t *http, sr_http_answer_t *answer)
{
    (void)http;
    *answer = (sr_http_answer_t){.length = -1};
    return ESP_ERR_NOT_SUPPORTED;
}

esp_err_t sr_http_read(sr_http_t *http, void *out, uint32_t length, uint32_t *got)
{
    (void)http;
    (void)out;
    (void)length;
    *got = 0;
    return ESP_ERR_NOT_SUPPORTED;
}

bool sr_http_is_complete(const sr_http_t *http)
{
    (void)http;
    return false;
}

void sr_http_disconnect(sr_http_t *http)
{
    (void)http;
}

esp_err_t sr_http_start_over(sr_http_t *http)
{
    (void)http;
    return ESP_ERR_NOT_SUPPORTED;
}

void sr_http_close(sr_http_t *http)
{
    (void)http;
}
#endif
