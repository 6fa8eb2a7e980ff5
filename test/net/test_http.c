// SPDX-License-Identifier: Apache-2.0
/** @file
 * HTTP at the border to ESP-IDF's client: what it is asked for, in which order and with which timeouts, what becomes of
 * each of its answers and errors, and what a download makes of them. No server, and no time that passes: client, timer
 * and clock are made up here.
 */
#include "test/support/api_support.h"
#include "test/support/support_trace.h"

#include "net/sr_download.h"
#include "self_reflasher_err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** What a request meets. */
typedef struct answer {
    int status;
    int64_t length; /**< What fetching the headers returns. */
    int64_t us;     /**< So long that takes. */
    const char *leads_to;
    esp_err_t open, redirection;
    bool unnamed; /**< The client cannot tell where it was led to. */
} answer_t;

/** What one read returns. */
typedef struct piece {
    int read;
    int64_t us;
} piece_t;

static struct {
    answer_t answers[16];
    piece_t pieces[16];
    unsigned answer, piece, clients, inits;
    unsigned no_client_from; /**< The number of the first client that cannot be made; 0: all can. */
    const char *url;         /**< NULL: the client cannot tell. */
    int64_t now;
    struct {
        bool running;
        int64_t due;
        esp_timer_create_args_t made;
    } timer;
    bool no_client, no_timer, no_header, incomplete;
} fake;

static struct esp_http_client *const the_client = (void *)&fake.answers;
static struct esp_timer *const the_timer = (void *)&fake.timer;

static void pass(int64_t us)
{
    fake.now += us;
    if (fake.timer.running && fake.now >= fake.timer.due) {
        fake.timer.running = false;
        note("over ");
        fake.timer.made.callback(fake.timer.made.arg);
    }
}

static const answer_t *last_answer(void)
{
    assert_true(fake.answer > 0);
    return &fake.answers[fake.answer - 1];
}

/* ESP-IDF's client, timer and clock. */

WRAP(esp_http_client_handle_t, esp_http_client_init, const esp_http_client_config_t *config)
{
    note("init ");
    fake.url = config->url;
    fake.inits++;
    const bool made = !fake.no_client && (fake.no_client_from == 0 || fake.inits < fake.no_client_from);
    fake.clients += made ? 1u : 0u;
    return made ? the_client : NULL;
}

WRAP(esp_err_t, esp_http_client_cleanup, esp_http_client_handle_t client)
{
    assert_ptr_equal(client, the_client);
    note("cleanup ");
    fake.clients--;
    return ESP_OK;
}

WRAP(esp_err_t, esp_http_client_close, esp_http_client_handle_t client)
{
    assert_ptr_equal(client, the_client);
    note("close ");
    return ESP_OK;
}

WRAP(esp_err_t, esp_http_client_set_timeout_ms, esp_http_client_handle_t client, int timeout_ms)
{
    assert_ptr_equal(client, the_client);
    note("timeout=%d ", timeout_ms);
    return ESP_OK;
}

WRAP(esp_err_t, esp_http_client_set_header, esp_http_client_handle_t client, const char *key, const char *value)
{
    assert_ptr_equal(client, the_client);
    note("%s:%s ", key, value);
    return fake.no_header ? ESP_ERR_NO_MEM : ESP_OK;
}

WRAP(esp_err_t, esp_http_client_get_url, esp_http_client_handle_t client, char *url, const int len)
{
    assert_ptr_equal(client, the_client);
    if (fake.url == NULL) {
        return ESP_FAIL;
    }
    (void)snprintf(url, (size_t)len, "%s", fake.url);
    return ESP_OK;
}

WRAP(esp_err_t, esp_http_client_set_redirection, esp_http_client_handle_t client)
{
    assert_ptr_equal(client, the_client);
    note("redirect ");
    fake.url = last_answer()->unnamed ? NULL : last_answer()->leads_to;
    return last_answer()->redirection;
}

WRAP(esp_err_t, esp_http_client_add_auth, esp_http_client_handle_t client)
{
    assert_ptr_equal(client, the_client);
    note("auth ");
    return ESP_OK;
}

WRAP(esp_err_t, esp_http_client_open, esp_http_client_handle_t client, int write_len)
{
    assert_ptr_equal(client, the_client);
    assert_int_equal(write_len, 0);
    assert_true(fake.answer < COUNT(fake.answers));
    const answer_t *answer = &fake.answers[fake.answer++];
    note("open ");
    if (answer->open != ESP_OK) {
        pass(answer->us);
    }
    return answer->open;
}

WRAP(int64_t, esp_http_client_fetch_headers, esp_http_client_handle_t client)
{
    assert_ptr_equal(client, the_client);
    note("headers ");
    pass(last_answer()->us);
    return last_answer()->length;
}

WRAP(int, esp_http_client_get_status_code, esp_http_client_handle_t client)
{
    assert_ptr_equal(client, the_client);
    return last_answer()->status;
}

WRAP(int, esp_http_client_read, esp_http_client_handle_t client, char *buffer, int len)
{
    volatile char stack[2048]; /* Who uses what was never set finds this. */
    assert_ptr_equal(client, the_client);
    assert_true(fake.piece < COUNT(fake.pieces));
    const piece_t piece = fake.pieces[fake.piece++];
    note("read=%d ", len);
    assert_true(piece.read <= len);
    memset(buffer, 1, (size_t)len);
    memset(buffer, 'b', piece.read > 0 ? (size_t)piece.read : 0);
    pass(piece.us);
    memset((void *)stack, 1, sizeof(stack));
    return piece.read;
}

WRAP(bool, esp_http_client_is_complete_data_received, esp_http_client_handle_t client)
{
    assert_ptr_equal(client, the_client);
    return !fake.incomplete;
}

WRAP(esp_err_t, esp_timer_create, const esp_timer_create_args_t *create_args, esp_timer_handle_t *out_handle)
{
    note("timer ");
    fake.timer.made = *create_args;
    *out_handle = fake.no_timer ? NULL : the_timer;
    return fake.no_timer ? ESP_ERR_NO_MEM : ESP_OK;
}

WRAP(esp_err_t, esp_timer_delete, esp_timer_handle_t timer)
{
    assert_ptr_equal(timer, the_timer);
    assert_false(fake.timer.running);
    note("delete ");
    return ESP_OK;
}

WRAP(esp_err_t, esp_timer_start_once, esp_timer_handle_t timer, uint64_t timeout_us)
{
    assert_ptr_equal(timer, the_timer);
    assert_false(fake.timer.running);
    note("start=%lld ", (long long)timeout_us);
    fake.timer.running = true;
    fake.timer.due = fake.now + (int64_t)timeout_us;
    return ESP_OK;
}

WRAP(esp_err_t, esp_timer_stop, esp_timer_handle_t timer)
{
    assert_ptr_equal(timer, the_timer);
    note("stop ");
    const esp_err_t err = fake.timer.running ? ESP_OK : ESP_ERR_INVALID_STATE;
    fake.timer.running = false;
    return err;
}

WRAP(int64_t, esp_timer_get_time, void)
{
    return fake.now;
}

WRAP(void, sr_yield, uint32_t bytes)
{
    note("yield=%u ", (unsigned)bytes);
}

/* What the tests share. */

static esp_http_client_config_t config;
static sr_http_t http;
static sr_http_answer_t answer;
static uint8_t buffer[8192];

static int start(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    clear_trace();
    memset(&http, 0x5A, sizeof(http)); /* Nothing but what the caller sets counts. */
    memset(&answer, 0x5A, sizeof(answer));
    fake.now = 123456789;
    config = (esp_http_client_config_t){.url = "https://first.example/", .timeout_ms = 500};
    http.config = &config;
    http.stall_ms = 1000;
    http.allow_http = false;
    return 0;
}

static int restart(void)
{
    return start(NULL);
}

static void open_client(void)
{
    assert_int_equal(sr_http_open(&http), ESP_OK);
    clear_trace();
}

/** Sends a request that is answered with 200 and so many bytes announced. */
static void answered(int64_t length)
{
    fake.answers[fake.answer] = (answer_t){.status = 200, .length = length};
    assert_int_equal(sr_http_request(&http, &answer), ESP_OK);
    clear_trace();
}

static esp_err_t read_piece(piece_t piece, uint32_t length, uint32_t *got)
{
    fake.pieces[fake.piece] = piece;
    return sr_http_read(&http, buffer, length, got);
}

/** All is closed and freed, each thing once. */
static void close_client(void)
{
    sr_http_close(&http);
    assert_int_equal(fake.clients, 0);
    sr_http_close(&http);
    sr_http_disconnect(&http);
    assert_int_equal(fake.clients, 0);
    clear_trace();
}

/* The client. */

static void client_and_timer_are_made_and_freed_once(void **state)
{
    (void)state;
    assert_int_equal(sr_http_open(&http), ESP_OK);
    expect_trace("init timer ");
    assert_ptr_equal(http.client, the_client);
    assert_ptr_equal(http.timer, the_timer);
    assert_int_equal(http.waited_us, 0);
    assert_int_equal(http.progress, 0);
    assert_int_equal(http.early, 0);
    assert_false(http.redirected);
    sr_http_disconnect(&http); /* Nothing has come that could wait. */
    expect_trace("timeout=0 close ");
    sr_http_close(&http);
    expect_trace("delete close cleanup ");
    sr_http_close(&http);
    sr_http_disconnect(&http);
    expect_trace("");
}

static void without_memory_there_is_no_client(void **state)
{
    (void)state;
    fake.no_client = true;
    assert_int_equal(sr_http_open(&http), ESP_ERR_NO_MEM);
    expect_trace("init ");
    sr_http_close(&http);
    expect_trace("");
    fake.no_client = false;
    fake.no_timer = true;
    assert_int_equal(sr_http_open(&http), ESP_ERR_NO_MEM);
    expect_trace("init timer ");
    sr_http_close(&http);
    expect_trace("close cleanup ");
}

static void header_that_cannot_be_set_is_an_error(void **state)
{
    (void)state;
    open_client();
    assert_int_equal(sr_http_set_header(&http, "Range", "bytes=0-1"), ESP_OK);
    expect_trace("Range:bytes=0-1 ");
    fake.no_header = true;
    assert_int_equal(sr_http_set_header(&http, "Range", "bytes=2-3"), ESP_ERR_NO_MEM);
    close_client();
}

/* Only what a redirect has changed. */
static void start_over_makes_a_new_client_after_a_redirect(void **state)
{
    (void)state;
    open_client();
    assert_int_equal(sr_http_start_over(&http), ESP_OK);
    expect_trace("");
    http.redirected = true;
    http.early = 10;
    assert_int_equal(sr_http_start_over(&http), ESP_OK);
    expect_trace("close cleanup init ");
    assert_false(http.redirected);
    assert_int_equal(http.early, 0);
    http.redirected = true;
    fake.no_client = true;
    assert_int_equal(sr_http_start_over(&http), ESP_ERR_NO_MEM);
    expect_trace("close cleanup init ");
    assert_null(http.client);
    assert_int_equal(sr_http_start_over(&http), ESP_ERR_NO_MEM);
    expect_trace("init ");
    fake.no_client = false;
    assert_int_equal(sr_http_start_over(&http), ESP_OK);
    expect_trace("init ");
    close_client();
}

/* Time. */

static void timeout_is_the_callers_unless_it_is_longer_than_all_may_take(void **state)
{
    (void)state;
    static const struct {
        int timeout_ms;
        uint32_t stall_ms;
        int expected;
        uint32_t allowed_ms;
    } cases[] = {{0, 0, 5000, 60000},
                 {1, 0, 1, 60000},
                 {-1, 0, 60020, 60000},
                 {INT32_MIN, 0, 60020, 60000},
                 {59999, 0, 59999, 60000},
                 {60000, 0, 60020, 60000},
                 {INT32_MAX, 0, 60020, 60000},
                 {0, 1, 21, 1},
                 {1, 2, 1, 2},
                 {INT32_MAX - 21, INT32_MAX, INT32_MAX - 21, INT32_MAX},
                 {INT32_MAX - 20, INT32_MAX, INT32_MAX, INT32_MAX},
                 {-1, UINT32_MAX, INT32_MAX, UINT32_MAX},
                 {-1, INT32_MAX - 21, INT32_MAX - 1, INT32_MAX - 21}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char expected[128];
        restart();
        config.timeout_ms = cases[i].timeout_ms;
        http.stall_ms = cases[i].stall_ms;
        open_client();
        fake.answers[0] = (answer_t){.status = 200, .length = 10};
        assert_int_equal(sr_http_request(&http, &answer), ESP_OK);
        (void)snprintf(expected, sizeof(expected), "timeout=%d start=%llu open headers stop ", cases[i].expected,
                       cases[i].allowed_ms * 1000ull);
        expect_trace(expected);
    }
}

/* The client waits for each piece as long as its timeout says, so that is taken from it. */
static void when_the_time_is_over_nothing_is_waited_for(void **state)
{
    (void)state;
    uint32_t got;
    open_client();
    fake.answers[0] = (answer_t){.length = -ESP_ERR_HTTP_EAGAIN, .us = 1000000};
    assert_int_equal(sr_http_request(&http, &answer), ESP_ERR_SELF_REFLASHER_TOO_SLOW);
    expect_trace("timeout=500 start=1000000 open headers over timeout=0 stop ");
    answered(100);
    assert_int_equal(read_piece((piece_t){1, 1000000}, 100, &got), ESP_ERR_SELF_REFLASHER_TOO_SLOW);
    expect_trace("timeout=500 start=1000000 read=100 over timeout=0 stop ");
    close_client();
}

/* The headers have their time, each 4 KiB of the body have theirs, and what is left of it goes to the next read. */
static void time_is_counted_from_the_last_progress(void **state)
{
    (void)state;
    uint32_t got;
    open_client();
    fake.answers[0] = (answer_t){.status = 200, .length = 100000, .us = 999999};
    assert_int_equal(sr_http_request(&http, &answer), ESP_OK);
    clear_trace();
    assert_int_equal(read_piece((piece_t){4095, 400000}, 4096, &got), ESP_OK);
    expect_trace("timeout=500 start=1000000 read=4096 stop ");
    fake.now += 5000000; /* What the caller does meanwhile is not the server's time. */
    assert_int_equal(read_piece((piece_t){1, 500000}, 10, &got), ESP_OK);
    expect_trace("timeout=500 start=600000 read=10 stop ");
    assert_int_equal(read_piece((piece_t){4096, 7}, 8192, &got), ESP_OK);
    expect_trace("timeout=500 start=1000000 read=8192 stop ");
    assert_int_equal(read_piece((piece_t){4095, 999998}, 8192, &got), ESP_OK);
    expect_trace("timeout=500 start=1000000 read=8192 stop ");
    assert_int_equal(read_piece((piece_t){1, 5000000}, 1, &got), ESP_OK); /* Late, but enough. */
    expect_trace("timeout=500 start=2 read=1 over timeout=0 stop ");
    assert_int_equal(read_piece((piece_t){1, 300000}, 1, &got), ESP_OK);
    fake.answers[1] = (answer_t){.status = 200};
    clear_trace();
    assert_int_equal(sr_http_request(&http, &answer), ESP_OK);
    expect_trace("timeout=500 start=1000000 open headers stop ");
    assert_int_equal(read_piece((piece_t){-1, 0}, 1, &got), ESP_ERR_SELF_REFLASHER_SHORT_BODY);
    expect_trace("timeout=500 start=1000000 read=1 stop ");
    close_client();
}

/* A timer cannot run for less than nothing. */
static void who_reads_on_when_the_time_is_over_waits_no_more(void **state)
{
    (void)state;
    static const int64_t late[] = {0, 1, 1000000};
    uint32_t got;
    for (size_t i = 0; i < COUNT(late); i++) {
        restart();
        open_client();
        answered(100);
        assert_int_equal(read_piece((piece_t){0, 1000000 + late[i]}, 10, &got), ESP_OK);
        clear_trace();
        assert_int_equal(read_piece((piece_t){0, 0}, 10, &got), ESP_OK);
        expect_trace("timeout=500 start=1 read=10 stop ");
        close_client();
    }
}

static void each_end_of_a_read_is_told(void **state)
{
    (void)state;
    static const struct {
        piece_t piece;
        esp_err_t expected;
        uint32_t got;
    } cases[] = {
        {{0, 0}, ESP_OK, 0},
        {{1, 0}, ESP_OK, 1},
        {{10, 0}, ESP_OK, 10},
        {{-1, 0}, ESP_ERR_SELF_REFLASHER_SHORT_BODY, 0},
        {{-ESP_ERR_HTTP_EAGAIN, 0}, ESP_ERR_HTTP_EAGAIN, 0},
        {{-ESP_ERR_HTTP_CONNECTION_CLOSED, 0}, ESP_ERR_SELF_REFLASHER_SHORT_BODY, 0},
        {{0, 1000000}, ESP_OK, 0}, /* The end has come, however late. */
        {{1, 999999}, ESP_OK, 1},
        {{1, 1000001}, ESP_ERR_SELF_REFLASHER_TOO_SLOW, 1},
        {{10, 1000001}, ESP_ERR_SELF_REFLASHER_TOO_SLOW, 10},
        {{-1, 1000001}, ESP_ERR_SELF_REFLASHER_TOO_SLOW, 0},
        {{-ESP_ERR_HTTP_EAGAIN, 1000001}, ESP_ERR_SELF_REFLASHER_TOO_SLOW, 0},
        {{-ESP_ERR_HTTP_EAGAIN, 999999}, ESP_ERR_HTTP_EAGAIN, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t got = 77;
        restart();
        open_client();
        answered(100);
        assert_int_equal(read_piece(cases[i].piece, 10, &got), cases[i].expected);
        assert_int_equal(got, cases[i].got);
        close_client();
    }
}

static void log_says_how_slow_the_server_is(void **state)
{
    (void)state;
    uint32_t got;
    open_client();
    answered(100);
    assert_int_equal(read_piece((piece_t){1000, 0}, 1000, &got), ESP_OK);
    api_log_start();
    const esp_err_t err = read_piece((piece_t){5, 2000000}, 10, &got);
    char *log = api_log_stop();
    assert_int_equal(err, ESP_ERR_SELF_REFLASHER_TOO_SLOW);
    api_assert_error_line(log, "server is too slow: 1005 bytes in 1000 ms", NULL);
    free(log);
    close_client();
}

/* Requests. */

static void each_end_of_the_headers_is_told(void **state)
{
    (void)state;
    static const struct {
        answer_t answer;
        esp_err_t expected;
        int64_t length;
    } cases[] = {
        {{.status = 200, .length = 1}, ESP_OK, 1},
        {{.status = 200, .length = 2}, ESP_OK, 2},
        {{.status = 206, .length = INT64_MAX}, ESP_OK, INT64_MAX},
        {{.status = 200, .length = 0}, ESP_OK, -1},
        {{.status = 200, .length = 0, .us = 1000001}, ESP_OK, -1}, /* There they are, however late. */
        {{.status = 206, .length = 5, .us = 1000001}, ESP_OK, 5},
        {{.status = 200, .length = -1}, ESP_ERR_HTTP_FETCH_HEADER, -1},
        {{.status = 200, .length = -ESP_ERR_HTTP_EAGAIN}, ESP_ERR_HTTP_EAGAIN, -1},
        {{.status = 200, .length = -1, .us = 1000001}, ESP_ERR_SELF_REFLASHER_TOO_SLOW, -1},
        {{.status = 200, .length = -ESP_ERR_HTTP_EAGAIN, .us = 1000001}, ESP_ERR_SELF_REFLASHER_TOO_SLOW, -1},
        {{.status = 200, .length = -1, .us = 999999}, ESP_ERR_HTTP_FETCH_HEADER, -1},
        {{.status = 200, .length = 5, .open = ESP_ERR_HTTP_CONNECT}, ESP_ERR_HTTP_CONNECT, -1},
        {{.status = 200, .length = 5, .open = ESP_ERR_HTTP_CONNECT, .us = 1000001}, ESP_ERR_HTTP_CONNECT, -1},
        {{.status = 199, .length = 5}, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 5},
        {{.status = 201, .length = 5}, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 5},
        {{.status = 205, .length = 5}, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 5},
        {{.status = 207, .length = 5}, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 5},
        {{.status = 404, .length = 5}, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 5},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        open_client();
        fake.answers[0] = cases[i].answer;
        assert_int_equal(sr_http_request(&http, &answer), cases[i].expected);
        assert_int_equal(answer.length, cases[i].length);
        assert_int_equal(fake.answer, 1);
        if (cases[i].expected == ESP_OK || cases[i].expected == ESP_ERR_SELF_REFLASHER_HTTP_STATUS) {
            assert_int_equal(answer.status, cases[i].answer.status);
        }
        close_client();
    }
}

/* Of an answer that does not count a part may have come with its headers. It would be the start of the next one. */
static void what_came_with_the_headers_is_read_before_the_next_request(void **state)
{
    (void)state;
    open_client();
    fake.answers[0] = (answer_t){.status = 302, .leads_to = "https://second.example/"};
    fake.answers[1] = (answer_t){.status = 200, .length = 100};
    fake.pieces[0].read = 64;
    fake.pieces[1].read = 1;
    fake.pieces[2].read = 0;
    assert_int_equal(sr_http_request(&http, &answer), ESP_OK);
    expect_trace(
        "timeout=500 start=1000000 open headers stop timeout=0 read=64 read=64 read=64 redirect timeout=0 close "
        "timeout=500 start=1000000 open headers stop ");
    assert_true(http.redirected);
    sr_http_disconnect(&http);
    expect_trace("timeout=0 read=64 close ");
    assert_int_equal(http.early, 0);
    close_client();
}

/* No more than a buffer of them, less what was read since. */
static void no_more_is_dropped_than_can_wait_in_the_client(void **state)
{
    (void)state;
    static const struct {
        int buffer_size;
        uint32_t body;     /* Read of the body before the connection is closed. */
        const char *trace; /* At most the rest of a buffer. */
        int reads[4];
    } cases[] = {
        {0, 511, "timeout=0 read=1 close ", {1}},
        {0, 512, "timeout=0 close ", {0}},
        {0, 513, "timeout=0 close ", {0}},
        {0, 447, "timeout=0 read=64 read=1 close ", {64, 1}},
        {0, 448, "timeout=0 read=64 close ", {64}},
        {0, 449, "timeout=0 read=63 close ", {63}},
        {0, 440, "timeout=0 read=64 read=9 read=8 close ", {63, 1, -1}},
        {0, 440, "timeout=0 read=64 close ", {0, 1}},
        {0, 440, "timeout=0 read=64 close ", {-1, 1}},
        {1, 0, "timeout=0 read=1 close ", {1}},
        {1, 1, "timeout=0 close ", {0}},
        {2, 1, "timeout=0 read=1 close ", {1}},
        {64, 0, "timeout=0 read=64 close ", {64}},
        {65, 0, "timeout=0 read=64 read=1 close ", {64, 1}},
    };
    uint32_t got;
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        config.buffer_size = cases[i].buffer_size;
        open_client();
        answered(100000);
        if (cases[i].body > 0) {
            assert_int_equal(read_piece((piece_t){(int)cases[i].body, 0}, sizeof(buffer), &got), ESP_OK);
        }
        for (unsigned k = 0; k < 4; k++) {
            fake.pieces[fake.piece + k].read = cases[i].reads[k];
        }
        clear_trace();
        sr_http_disconnect(&http);
        expect_trace(cases[i].trace);
        assert_int_equal(http.early, 0);
        close_client();
    }
}

static void redirects_are_those_that_ask_for_another_url(void **state)
{
    (void)state;
    for (int status = 299; status <= 310; status++) {
        const bool follows = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        for (unsigned off = 0; off < 2; off++) {
            restart();
            config.disable_auto_redirect = off != 0;
            open_client();
            fake.answers[0] = (answer_t){.status = status, .leads_to = "https://second.example/"};
            fake.answers[1] = (answer_t){.status = 200};
            assert_int_equal(sr_http_request(&http, &answer),
                             follows && off == 0 ? ESP_OK : ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
            assert_int_equal(fake.answer, follows && off == 0 ? 2 : 1);
            assert_int_equal(answer.status, follows && off == 0 ? 200 : status);
            assert_int_equal(http.redirected, follows && off == 0);
            close_client();
        }
    }
}

/* As many as the configuration says, and for 0 as many as ESP-IDF's client follows. */
static void redirects_and_authorizations_are_bounded(void **state)
{
    (void)state;
    static const struct {
        int status, configured;
        unsigned allowed;
        esp_err_t expected;
    } cases[] = {{302, 0, 10, ESP_ERR_HTTP_MAX_REDIRECT},         {302, 1, 1, ESP_ERR_HTTP_MAX_REDIRECT},
                 {302, 2, 2, ESP_ERR_HTTP_MAX_REDIRECT},          {302, -1, 0, ESP_ERR_HTTP_MAX_REDIRECT},
                 {401, 0, 2, ESP_ERR_SELF_REFLASHER_HTTP_STATUS}, {401, 1, 1, ESP_ERR_SELF_REFLASHER_HTTP_STATUS},
                 {401, 3, 3, ESP_ERR_SELF_REFLASHER_HTTP_STATUS}, {401, -1, 0, ESP_ERR_SELF_REFLASHER_HTTP_STATUS},
                 {400, 3, 0, ESP_ERR_SELF_REFLASHER_HTTP_STATUS}, {402, 3, 0, ESP_ERR_SELF_REFLASHER_HTTP_STATUS}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned good = 0; good < 2; good++) {
            restart();
            config.max_redirection_count = cases[i].status == 302 ? cases[i].configured : 0;
            config.max_authorization_retries = cases[i].status == 302 ? 0 : cases[i].configured;
            open_client();
            for (unsigned k = 0; k < COUNT(fake.answers); k++) {
                fake.answers[k] = (answer_t){.status = cases[i].status, .leads_to = "https://second.example/"};
            }
            fake.answers[cases[i].allowed].status = good != 0 ? 200 : cases[i].status;
            assert_int_equal(sr_http_request(&http, &answer), good != 0 ? ESP_OK : cases[i].expected);
            assert_int_equal(fake.answer, cases[i].allowed + 1);
            const bool authorizes = strstr(traced, "auth ") != NULL;
            assert_int_equal(authorizes, cases[i].status == 401 && cases[i].allowed > 0);
            close_client();
        }
    }
}

static void authorization_is_sent_over_a_new_connection(void **state)
{
    (void)state;
    open_client();
    fake.answers[0] = (answer_t){.status = 401};
    fake.answers[1] = (answer_t){.status = 206, .length = 3};
    assert_int_equal(sr_http_request(&http, &answer), ESP_OK);
    expect_trace("timeout=500 start=1000000 open headers stop timeout=0 read=64 auth timeout=0 close "
                 "timeout=500 start=1000000 open headers stop ");
    assert_false(http.redirected);
    close_client();
}

/* Only away from https, and to http only if it may. Schemes are the same in capital letters. */
static void redirect_leads_away_from_https_only_if_it_may(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool allowed, allowed_with_http;
    } cases[] = {
        {"https://a/", "https://b/", true, true},
        {"HTTPS://a/", "hTTpS://b/", true, true},
        {"https://a/", "http://b/", false, true},
        {"HTTPS://a/", "HTTP://b/", false, true},
        {"https://a/", "xttps://b/", false, false},
        {"https://a/", "httpx://b/", false, false},
        {"https://a/", "httqs://b/", false, false},
        {"https://a/", "httpss://b/", false, false},
        {"https://a/", "htt://b/", false, false},
        {"https://a/", "ftp://b/", false, false},
        {"https://a/", "://b/", false, false},
        {"https://a/", "https+averylongone://b/", false, false},
        {"https://a/", NULL, false, false},
        {"http://a/", "http://b/", true, true},
        {"http://a/", "https://b/", true, true},
        {"http://a/", "ftp://b/", true, true}, /* Which the client does not open. */
        {"http://a/", NULL, true, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned with_http = 0; with_http < 2; with_http++) {
            const bool allowed = with_http != 0 ? cases[i].allowed_with_http : cases[i].allowed;
            restart();
            http.allow_http = with_http != 0;
            config.url = cases[i].from;
            open_client();
            /* The first one stays where it is: nothing of it is left for the second. */
            fake.answers[0] = (answer_t){.status = 302, .leads_to = cases[i].from};
            fake.answers[1] = (answer_t){.status = 302, .leads_to = cases[i].to, .unnamed = cases[i].to == NULL};
            fake.answers[2] = (answer_t){.status = 200};
            api_log_start();
            const esp_err_t err = sr_http_request(&http, &answer);
            char *log = api_log_stop();
            assert_int_equal(err, allowed ? ESP_OK : ESP_ERR_SELF_REFLASHER_DOWNGRADE);
            assert_int_equal(fake.answer, allowed ? 3 : 2);
            if (!allowed) {
                char expected[64];
                const char *to = cases[i].to != NULL ? cases[i].to : "";
                const size_t length = strcspn(to, ":");
                (void)snprintf(expected, sizeof(expected), "redirect leads from %.5s to %.*s", cases[i].from,
                               length < 11 ? (int)length : 11, to);
                api_assert_error_line(log, expected, NULL);
                assert_null(strchr(log, '\1'));
            }
            free(log);
            close_client();
        }
    }
}

/* Without a Location there is nothing to follow. */
static void redirect_that_leads_nowhere_is_a_status(void **state)
{
    (void)state;
    open_client();
    fake.answers[0] = (answer_t){.status = 307, .redirection = ESP_ERR_INVALID_ARG};
    assert_int_equal(sr_http_request(&http, &answer), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
    assert_int_equal(answer.status, 307);
    assert_true(http.redirected); /* Who knows where it is now. */
    close_client();
}

/* Downloads. */

static struct {
    int64_t length;
    uint32_t begun, received;
    esp_err_t begin, data; /**< What they return. */
} sink_told;

static esp_err_t on_begin(void *context, int64_t length)
{
    assert_ptr_equal(context, &sink_told);
    sink_told.length = length;
    sink_told.begun++;
    return sink_told.begin;
}

static esp_err_t on_data(void *context, const uint8_t *bytes, size_t length)
{
    assert_ptr_equal(context, &sink_told);
    assert_int_equal(sink_told.begun, 1);
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(bytes[i], 'b');
    }
    sink_told.received += (uint32_t)length;
    return sink_told.data;
}

static esp_err_t download(char **log)
{
    const sr_download_sink_t sink = {.context = &sink_told, .begin = on_begin, .data = on_data};
    const uint32_t heap = sim_counters()->heap_now;
    api_log_start();
    const esp_err_t err = sr_download(&http, &sink);
    *log = api_log_stop();
    assert_int_equal(sim_counters()->heap_now, heap);
    assert_int_equal(fake.clients, 0);
    return err;
}

static void each_end_of_a_body_is_told(void **state)
{
    (void)state;
    static const char timeout[] = "timeout after";
    static const char ended[] = "body ended after";
    static const char empty[] = "body is empty";
    static const char *const lines[] = {timeout, ended, empty};
    static const struct {
        int64_t length;
        piece_t pieces[3];
        bool incomplete;
        esp_err_t expected;
        uint32_t received;
        const char *line;
        const char *says;
    } cases[] = {
        {10, {{10, 0}}, false, ESP_OK, 10, NULL, NULL},
        {1, {{1, 0}}, false, ESP_OK, 1, NULL, NULL},
        {0, {{1, 0}}, false, ESP_OK, 1, NULL, NULL},
        {0, {{1024, 0}, {1, 0}}, false, ESP_OK, 1025, NULL, NULL},
        {0, {{0, 0}}, false, ESP_ERR_SELF_REFLASHER_EMPTY_BODY, 0, empty, empty},
        {0, {{0, 0}}, true, ESP_ERR_SELF_REFLASHER_EMPTY_BODY, 0, empty, empty},
        {10,
         {{0, 0}},
         true,
         ESP_ERR_SELF_REFLASHER_SHORT_BODY,
         0,
         ended,
         "body ended after 0 bytes, 10 were announced"},
        {10,
         {{9, 0}},
         true,
         ESP_ERR_SELF_REFLASHER_SHORT_BODY,
         9,
         ended,
         "body ended after 9 bytes, 10 were announced"},
        {0, {{9, 0}}, true, ESP_ERR_SELF_REFLASHER_SHORT_BODY, 9, ended, "body ended after 9 bytes, -1 were announced"},
        {10,
         {{2, 0}, {-1, 0}},
         false,
         ESP_ERR_SELF_REFLASHER_SHORT_BODY,
         2,
         ended,
         "body ended after 2 bytes, 10 were announced"},
        {10, {{3, 0}, {-ESP_ERR_HTTP_EAGAIN, 0}}, false, ESP_ERR_HTTP_EAGAIN, 3, timeout, "timeout after 3 bytes"},
        {10, {{-ESP_ERR_HTTP_EAGAIN, 0}}, false, ESP_ERR_HTTP_EAGAIN, 0, timeout, "timeout after 0 bytes"},
        {10, {{4, 2000000}}, false, ESP_ERR_SELF_REFLASHER_TOO_SLOW, 0, NULL, "server is too slow"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *log;
        restart();
        memset(&sink_told, 0, sizeof(sink_told));
        fake.answers[0] = (answer_t){.status = 200, .length = cases[i].length};
        memcpy(fake.pieces, cases[i].pieces, sizeof(cases[i].pieces));
        fake.incomplete = cases[i].incomplete;
        assert_int_equal(download(&log), cases[i].expected);
        assert_int_equal(sink_told.begun, 1);
        assert_int_equal(sink_told.length, cases[i].length > 0 ? cases[i].length : -1);
        assert_int_equal(sink_told.received, cases[i].received);
        if (cases[i].says != NULL) {
            api_assert_error_line(log, cases[i].says, NULL);
        }
        for (size_t k = 0; k < COUNT(lines); k++) {
            assert_int_equal(strstr(log, lines[k]) != NULL, cases[i].line == lines[k]);
        }
        free(log);
    }
}

static void each_piece_of_a_download_is_work(void **state)
{
    (void)state;
    char *log;
    memset(&sink_told, 0, sizeof(sink_told));
    fake.answers[0] = (answer_t){.status = 200, .length = 10};
    fake.pieces[0].read = 10;
    assert_int_equal(download(&log), ESP_OK);
    expect_trace("init timer timeout=500 start=1000000 open headers stop "
                 "yield=1024 timeout=500 start=1000000 read=1024 stop "
                 "yield=1024 timeout=500 start=1000000 read=1024 stop delete close cleanup ");
    free(log);
}

static void error_of_a_sink_ends_the_download(void **state)
{
    (void)state;
    for (unsigned in_data = 0; in_data < 2; in_data++) {
        char *log;
        restart();
        memset(&sink_told, 0, sizeof(sink_told));
        *(in_data != 0 ? &sink_told.data : &sink_told.begin) = ESP_ERR_INVALID_CRC;
        fake.answers[0] = (answer_t){.status = 200, .length = 20};
        fake.pieces[0].read = 10;
        fake.pieces[1].read = 10;
        assert_int_equal(download(&log), ESP_ERR_INVALID_CRC);
        assert_int_equal(fake.piece, in_data);
        assert_int_equal(sink_told.received, in_data * 10);
        free(log);
    }
}

/* A redirect may be old: once more from the first URL, if the client is to blame for what the target says. */
static void target_of_a_redirect_that_refuses_is_asked_for_twice(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool twice;
    } cases[] = {{399, false}, {400, true}, {401, true},  {404, true},
                 {498, true},  {499, true}, {500, false}, {503, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned redirected = 0; redirected < 2; redirected++) {
            for (unsigned good = 0; good < 2; good++) {
                const bool twice = cases[i].twice && redirected != 0;
                char *log;
                restart();
                memset(&sink_told, 0, sizeof(sink_told));
                config.max_authorization_retries = -1;
                unsigned count = 0;
                for (unsigned try = 0; try < 4; try++) {
                    if (redirected != 0) {
                        fake.answers[count++] = (answer_t){.status = 302, .leads_to = "https://second.example/"};
                    }
                    fake.answers[count++] =
                        (answer_t){.status = try == 1 && good != 0 ? 200 : cases[i].status, .length = 3};
                }
                fake.pieces[3].read = twice && good != 0 ? 3 : 0; /* One read for each answer that does not count. */
                assert_int_equal(download(&log), twice && good != 0 ? ESP_OK : ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
                assert_int_equal(fake.answer, (redirected + 1) * (twice ? 2 : 1));
                assert_int_equal(sink_told.begun, twice && good != 0);
                assert_int_equal(fake.inits, twice ? 2 : 1);
                free(log);
            }
        }
    }
}

static void first_url_cannot_be_asked_without_a_client(void **state)
{
    (void)state;
    char *log;
    memset(&sink_told, 0, sizeof(sink_told));
    fake.answers[0] = (answer_t){.status = 302, .leads_to = "https://second.example/"};
    fake.answers[1] = (answer_t){.status = 404};
    fake.no_client_from = 2;
    assert_int_equal(download(&log), ESP_ERR_NO_MEM);
    assert_int_equal(fake.answer, 2);
    free(log);
}

/* No range was asked for. */
static void part_of_a_body_is_no_body(void **state)
{
    (void)state;
    char *log;
    memset(&sink_told, 0, sizeof(sink_told));
    fake.answers[0] = (answer_t){.status = 206, .length = 10};
    assert_int_equal(download(&log), ESP_ERR_SELF_REFLASHER_HTTP_STATUS);
    api_assert_error_line(log, "status 206", NULL);
    assert_int_equal(sink_told.begun, 0);
    free(log);
}

static void what_fails_before_the_body_is_told(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 5; what++) {
        char *log;
        restart();
        memset(&sink_told, 0, sizeof(sink_told));
        fake.answers[0] = (answer_t){.status = 200, .length = 10, .open = what == 0 ? ESP_ERR_HTTP_CONNECT : ESP_OK};
        fake.no_client = what == 1;
        fake.no_timer = what == 2;
        if (what == 3) {
            sim_heap_fail_at(1);
        } else if (what == 4) {
            fake.answers[0] = (answer_t){.status = 302, .leads_to = "http://second.example/"};
        }
        assert_int_equal(download(&log), what == 0   ? ESP_ERR_HTTP_CONNECT
                                         : what == 4 ? ESP_ERR_SELF_REFLASHER_DOWNGRADE
                                                     : ESP_ERR_NO_MEM);
        sim_heap_fail_at(0);
        assert_int_equal(sink_told.begun, 0);
        assert_int_equal(fake.answer, what == 0 || what == 4);
        free(log);
    }
}

#define TEST(test) cmocka_unit_test_setup(test, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(client_and_timer_are_made_and_freed_once),
        TEST(without_memory_there_is_no_client),
        TEST(header_that_cannot_be_set_is_an_error),
        TEST(start_over_makes_a_new_client_after_a_redirect),
        TEST(timeout_is_the_callers_unless_it_is_longer_than_all_may_take),
        TEST(when_the_time_is_over_nothing_is_waited_for),
        TEST(time_is_counted_from_the_last_progress),
        TEST(who_reads_on_when_the_time_is_over_waits_no_more),
        TEST(each_end_of_a_read_is_told),
        TEST(log_says_how_slow_the_server_is),
        TEST(each_end_of_the_headers_is_told),
        TEST(what_came_with_the_headers_is_read_before_the_next_request),
        TEST(no_more_is_dropped_than_can_wait_in_the_client),
        TEST(redirects_are_those_that_ask_for_another_url),
        TEST(redirects_and_authorizations_are_bounded),
        TEST(authorization_is_sent_over_a_new_connection),
        TEST(redirect_leads_away_from_https_only_if_it_may),
        TEST(redirect_that_leads_nowhere_is_a_status),
        TEST(each_end_of_a_body_is_told),
        TEST(each_piece_of_a_download_is_work),
        TEST(error_of_a_sink_ends_the_download),
        TEST(target_of_a_redirect_that_refuses_is_asked_for_twice),
        TEST(first_url_cannot_be_asked_without_a_client),
        TEST(part_of_a_body_is_no_body),
        TEST(what_fails_before_the_body_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
