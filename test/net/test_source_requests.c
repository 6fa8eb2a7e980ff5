// SPDX-License-Identifier: Apache-2.0
/** @file
 * Bytes by offset at the border to HTTP: which requests a read needs, what is read over instead, which errors are worth
 * another try, how long the pauses in front of it are, and what is told of the rest. The answers are made up, and no
 * time passes.
 */
#include "test/support/api_support.h"
#include "test/support/support_trace.h"

#include "net/sr_source.h"
#include "self_reflasher_err.h"
#include "flash/sr_flash_reader.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GAP          1024u  /**< The most that is read over. */
#define REST         65536u /**< The most of a response that is read so that its connection can be used again. */

/** What a request meets. The default: everything that was asked for. */
typedef struct answer {
    esp_err_t err;
    int status;     /**< 0: 206. */
    int64_t length; /**< 0: what was asked for. */
    bool empty;     /**< A length of 0. */
    bool redirected;
} answer_t;

/** What a read of the body meets. The default: as much as is wanted. */
typedef struct piece {
    esp_err_t err;
    uint32_t most; /**< 0: any. */
    bool end;
} piece_t;

static struct {
    answer_t answers[32];
    piece_t pieces[600];
    unsigned answer, piece;
    uint32_t from, to; /**< As the header says. */
    uint32_t at;       /**< Offset of the next byte of the body. */
    esp_err_t open, header, start_over, flash;
} fake;

static uint8_t byte_at(uint32_t offset)
{
    return (uint8_t)(offset * 7 + offset / 251);
}

/* HTTP, and what takes time. */

static sr_source_t source;

WRAP(esp_err_t, sr_http_open, sr_http_t *http)
{
    assert_ptr_equal(http, &source.client);
    note("open ");
    return fake.open;
}

WRAP(esp_err_t, sr_http_set_header, sr_http_t *http, const char *name, const char *value)
{
    assert_ptr_equal(http, &source.client);
    assert_string_equal(name, "Range");
    assert_int_equal(sscanf(value, "bytes=%u-%u", &fake.from, &fake.to), 2);
    note("%s ", value);
    return fake.header;
}

WRAP(esp_err_t, sr_http_request, sr_http_t *http, sr_http_answer_t *answer)
{
    assert_ptr_equal(http, &source.client);
    assert_true(fake.answer < COUNT(fake.answers));
    const answer_t *is = &fake.answers[fake.answer++];
    note("request ");
    answer->status = is->status != 0 ? is->status : 206;
    answer->length = is->length != 0 ? is->length : is->empty ? 0 : (int64_t)fake.to + 1 - fake.from;
    fake.at = answer->status == 200 ? 0 : fake.from;
    http->redirected = is->redirected;
    return is->err;
}

WRAP(esp_err_t, sr_http_read, sr_http_t *http, void *out, uint32_t length, uint32_t *got)
{
    assert_ptr_equal(http, &source.client);
    assert_true(fake.piece < COUNT(fake.pieces));
    const piece_t *is = &fake.pieces[fake.piece++];
    note("read=%u ", (unsigned)length);
    *got = is->err != ESP_OK || is->end ? 0 : is->most != 0 && is->most < length ? is->most : length;
    for (uint32_t i = 0; i < *got; i++) {
        ((uint8_t *)out)[i] = byte_at(fake.at++);
    }
    return is->err;
}

WRAP(void, sr_http_disconnect, sr_http_t *http)
{
    assert_ptr_equal(http, &source.client);
    note("disconnect ");
}

WRAP(esp_err_t, sr_http_start_over, sr_http_t *http)
{
    assert_ptr_equal(http, &source.client);
    note("start-over ");
    return fake.start_over;
}

WRAP(void, sr_http_close, sr_http_t *http)
{
    assert_ptr_equal(http, &source.client);
    note("close ");
}

static uint32_t yielded;

WRAP(void, sr_yield, uint32_t bytes)
{
    yielded += bytes;
}

WRAP(void, vTaskDelay, TickType_t ticks)
{
    note("pause=%u ", (unsigned)(ticks * portTICK_PERIOD_MS));
}

WRAP(esp_err_t, sr_flash_read, const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    assert_ptr_equal(flash, &source.flash);
    note("flash=0x%x+%u ", (unsigned)address, (unsigned)length);
    memset(out, 'f', length);
    return fake.flash;
}

/* What the tests share. */

static const esp_http_client_config_t config;
static uint8_t buffer[0x20000];
static unsigned retries_told;

static void on_retry(void *context)
{
    assert_ptr_equal(context, &fake);
    retries_told++;
}

static int restart(uint32_t max_retries)
{
    memset(&fake, 0, sizeof(fake));
    clear_trace();
    memset(&source, 0x5A, sizeof(source)); /* Nothing but what the caller sets counts. */
    source.http = &config;
    source.max_retries = max_retries;
    source.stall_ms = 1234;
    source.allow_http = true;
    source.on_retry = on_retry;
    source.retry_context = &fake;
    retries_told = 0;
    yielded = 0;
    assert_int_equal(sr_source_open(&source), ESP_OK);
    clear_trace();
    return 0;
}

static int start(void **state)
{
    (void)state;
    return restart(0);
}

/** Reads, and compares what comes. */
static esp_err_t read_on(uint32_t length)
{
    const uint32_t from = source.position;
    memset(buffer, 0, sizeof(buffer));
    const esp_err_t err = sr_source_read(&source, buffer, length);
    for (uint32_t i = 0; i < length && err == ESP_OK; i++) {
        if (buffer[i] != byte_at(from + i)) {
            fail_msg("byte at %u is 0x%02x, should be 0x%02x", from + i, buffer[i], byte_at(from + i));
        }
    }
    if (err == ESP_OK) {
        assert_int_equal(source.position, from + length);
    }
    return err;
}

static esp_err_t read_at(uint32_t offset, uint32_t end, uint32_t length)
{
    sr_source_seek(&source, offset, end);
    return read_on(length);
}

/* Opened and closed. */

static void source_begins_with_nothing(void **state)
{
    (void)state;
    assert_ptr_equal(source.client.config, &config);
    assert_int_equal(source.client.stall_ms, 1234);
    assert_true(source.client.allow_http);
    assert_false(source.connected || source.failed || source.led_astray);
    assert_int_equal(source.stream | source.position | source.end, 0);
    assert_int_equal(source.downloaded | source.retries | source.failures | source.progress, 0);
    fake.open = ESP_ERR_NO_MEM;
    assert_int_equal(sr_source_open(&source), ESP_ERR_NO_MEM);
    expect_trace("open ");
    sr_source_close(&source);
    expect_trace("close ");
    source.http = NULL;
    assert_int_equal(sr_source_open(&source), ESP_OK);
    expect_trace("");
}

/* Which requests there are. */

static void reads_that_go_on_are_of_one_response(void **state)
{
    (void)state;
    assert_int_equal(read_at(1000, 5000, 100), ESP_OK);
    expect_trace("bytes=1000-4999 request read=100 ");
    assert_int_equal(read_on(1), ESP_OK);
    expect_trace("read=1 ");
    fake.pieces[2].most = 1; /* As it comes. */
    fake.pieces[3].most = 10;
    assert_int_equal(read_on(20), ESP_OK);
    expect_trace("read=20 read=19 read=9 ");
    assert_int_equal(source.downloaded, 121);
    assert_int_equal(source.progress, 121);
    assert_int_equal(source.stream, 1121);
    assert_int_equal(yielded, 100 + 1 + 20 + 19 + 9);
}

/* Up to the gap, not back, and not past the end of the response. */
static void gap_is_read_over_if_that_is_quicker_than_a_request(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset;
        const char *trace;
    } cases[] = {
        {1100, "read=10 "},
        {1101, "read=1 read=10 "},
        {1100 + GAP - 1, "read=256 read=256 read=256 read=255 read=10 "},
        {1100 + GAP, "read=256 read=256 read=256 read=256 read=10 "},
        {1099, "bytes=1099-8999 request read=10 "},
        {1100 + GAP + 1, "bytes=2125-8999 request read=10 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart(0);
        assert_int_equal(read_at(1000, 9000, 100), ESP_OK);
        clear_trace();
        assert_int_equal(read_at(cases[i].offset, 9000, 10), ESP_OK);
        const char *request = strstr(traced, "bytes=");
        const char *expected = cases[i].trace;
        assert_string_equal(expected[0] == 'b' && request != NULL ? request : traced, expected);
    }
    restart(0);
    assert_int_equal(read_at(1000, 1100, 90), ESP_OK);
    clear_trace();
    assert_int_equal(read_at(1099, 1200, 1), ESP_OK); /* Its last byte. */
    expect_trace("read=9 read=1 ");
    assert_int_equal(read_at(1100, 1200, 1), ESP_OK); /* It has ended, and its connection goes on. */
    expect_trace("bytes=1100-1199 request read=1 ");
}

/* A server that sends whole files begins with the first byte, and is read on, however far. */
static void whole_file_is_read_up_to_what_is_wanted(void **state)
{
    (void)state;
    fake.answers[0] = (answer_t){.status = 200, .length = 100000};
    assert_int_equal(read_at(300, 400, 10), ESP_OK);
    expect_trace("bytes=300-399 request read=256 read=44 read=10 ");
    assert_true(source.whole);
    assert_int_equal(read_at(310 + 2 * GAP, 9000, 10), ESP_OK);
    expect_trace("read=256 read=256 read=256 read=256 read=256 read=256 read=256 read=256 read=10 ");
    /* Going back is another request, over another connection: such a server most likely closes it. */
    fake.answers[1] = (answer_t){.status = 206, .length = 100};
    assert_int_equal(read_at(5, 105, 10), ESP_OK);
    expect_trace("disconnect bytes=5-104 request read=10 ");
    assert_false(source.whole);
}

static void drip_is_dropped_as_it_comes(void **state)
{
    (void)state;
    fake.answers[0] = (answer_t){.status = 200, .length = 100000};
    fake.pieces[0].most = 100;
    fake.pieces[1].most = 1;
    assert_int_equal(read_at(300, 400, 10), ESP_OK);
    expect_trace("bytes=300-399 request read=256 read=200 read=199 read=10 ");
}

/* Reading a rest is quicker than another handshake. */
static void rest_of_a_response_is_read_if_it_is_small(void **state)
{
    (void)state;
    static const struct {
        int64_t length;
        unsigned reads;
        bool disconnects;
    } cases[] = {
        {10, 0, false},          {11, 1, false},           {10 + 256, 1, false}, {10 + 257, 2, false},
        {10 + REST, 256, false}, {10 + REST + 1, 0, true}, {-1, 0, true},        {(int64_t)UINT32_MAX + 5, 0, true}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart(0);
        fake.answers[0].length = cases[i].length;
        assert_int_equal(read_at(50, 60, 10), ESP_OK);
        const unsigned before = fake.piece;
        clear_trace();
        assert_int_equal(read_at(20, 30, 10), ESP_OK);
        assert_int_equal(fake.piece - before, cases[i].reads + 1);
        assert_int_equal(strstr(traced, "disconnect ") != NULL, cases[i].disconnects);
    }
}

static void rest_that_does_not_come_costs_the_connection(void **state)
{
    (void)state;
    for (unsigned ends = 0; ends < 2; ends++) {
        restart(0);
        assert_int_equal(read_at(50, 600, 10), ESP_OK);
        fake.pieces[2] = ends != 0 ? (piece_t){.end = true} : (piece_t){.err = ESP_ERR_HTTP_EAGAIN};
        clear_trace();
        assert_int_equal(read_at(20, 30, 10), ESP_OK);
        expect_trace("read=256 read=256 disconnect bytes=20-29 request read=10 ");
    }
}

/* A length that fits no offset is none. */
static void length_that_is_not_announced_is_no_end(void **state)
{
    (void)state;
    static const struct {
        int64_t length;
        bool empty;
        uint32_t end;
    } cases[] = {{-1, false, UINT32_MAX},
                 {1, false, 101},
                 {2, false, 102},
                 {UINT32_MAX - 101, false, UINT32_MAX - 1},
                 {UINT32_MAX - 100, false, UINT32_MAX},
                 {UINT32_MAX - 99, false, UINT32_MAX},
                 {UINT32_MAX, false, UINT32_MAX},
                 {INT64_MAX, false, UINT32_MAX}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart(0);
        fake.answers[0] = (answer_t){.length = cases[i].length, .empty = cases[i].empty};
        assert_int_equal(read_at(100, 200, 1), ESP_OK);
        assert_int_equal(source.stream_end, cases[i].end);
    }
}

/* The file ends before the wanted byte. */
static void nothing_is_read_past_the_end_of_the_file(void **state)
{
    (void)state;
    static const answer_t answers[] = {{.empty = true},
                                       {.status = 200, .empty = true},
                                       {.status = 200, .length = 100},
                                       {.status = 416, .err = ESP_ERR_SELF_REFLASHER_HTTP_STATUS}};
    for (size_t i = 0; i < COUNT(answers); i++) {
        restart(3);
        fake.answers[0] = answers[i];
        assert_int_equal(read_at(100, 200, 1), ESP_ERR_INVALID_SIZE);
        assert_int_equal(fake.piece, 0);
        assert_int_equal(retries_told, 0);
    }
    restart(3);
    fake.answers[0] = (answer_t){.status = 200, .length = 101};
    assert_int_equal(read_at(100, 200, 1), ESP_OK);
}

static void nothing_is_read_past_what_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset, end, length;
        bool fits;
    } cases[] = {{0, 10, 10, true},         {0, 10, 11, false}, {1, 10, 9, true},
                 {1, 10, 10, false},        {9, 10, 1, true},   {10, 10, 1, false},
                 {11, 10, 1, false},        {0, 10, 20, false}, {UINT32_MAX, UINT32_MAX, 1, false},
                 {5, 10, UINT32_MAX, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart(0);
        sr_source_seek(&source, cases[i].offset, cases[i].end);
        assert_int_equal(sr_source_read(&source, buffer, cases[i].length),
                         cases[i].fits ? ESP_OK : ESP_ERR_INVALID_SIZE);
        assert_int_equal(fake.answer, cases[i].fits);
    }
}

/* Errors. */

/* A server may close a connection between two requests. */
static void request_over_a_kept_connection_that_broke_is_sent_again(void **state)
{
    (void)state;
    static const struct {
        esp_err_t err;
        bool again;
    } cases[] = {{ESP_ERR_HTTP_CONNECT, true},
                 {ESP_ERR_HTTP_WRITE_DATA, true},
                 {ESP_ERR_HTTP_FETCH_HEADER, true},
                 {ESP_ERR_HTTP_CONNECTION_CLOSED, true},
                 {ESP_FAIL, true},
                 {ESP_OK, false},
                 {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false},
                 {ESP_ERR_HTTP_MAX_REDIRECT, false},
                 {ESP_ERR_SELF_REFLASHER_DOWNGRADE, false},
                 {ESP_ERR_SELF_REFLASHER_TOO_SLOW, false},
                 {ESP_ERR_NO_MEM, false},
                 {ESP_ERR_HTTP_EAGAIN, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned kept = 0; kept < 2; kept++) {
            restart(0);
            if (kept != 0) {
                assert_int_equal(read_at(50, 60, 10), ESP_OK);
            }
            clear_trace();
            fake.answers[kept] = (answer_t){.err = cases[i].err, .status = 404};
            if (cases[i].err == ESP_OK) {
                fake.answers[kept].status = 206;
            }
            const bool again = kept != 0 && cases[i].again;
            assert_int_equal(read_at(20, 30, 10), again ? ESP_OK : cases[i].err);
            expect_trace(again                    ? "bytes=20-29 request disconnect request read=10 "
                         : cases[i].err == ESP_OK ? "bytes=20-29 request read=10 "
                                                  : "bytes=20-29 request disconnect ");
            assert_int_equal(source.retries, 0);
        }
    }
    /* Once: what breaks then is an error. */
    restart(0);
    assert_int_equal(read_at(50, 60, 10), ESP_OK);
    fake.answers[1].err = ESP_ERR_HTTP_FETCH_HEADER;
    fake.answers[2].err = ESP_ERR_HTTP_CONNECT;
    assert_int_equal(read_at(20, 30, 10), ESP_ERR_HTTP_CONNECT);
}

/* What is a server's answer, and no accident, is told at once: unless it came from where a redirect led, which may be
 * another place the next time, or the server says that it is busy. */
static void what_is_tried_again_depends_on_the_error(void **state)
{
    (void)state;
    static const struct {
        esp_err_t err;
        int status;
        esp_err_t told;
        bool retried, retried_if_redirected;
    } cases[] = {
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 399, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, false},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 400, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 401, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 415, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 416, ESP_ERR_INVALID_SIZE, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 417, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 428, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 429, ESP_ERR_HTTP_EAGAIN, true, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 430, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 498, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 499, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 500, ESP_ERR_HTTP_EAGAIN, true, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 501, ESP_ERR_HTTP_EAGAIN, true, true},
        {ESP_ERR_SELF_REFLASHER_HTTP_STATUS, 302, ESP_ERR_SELF_REFLASHER_HTTP_STATUS, false, false},
        /* The status is one of an answer before. */
        {ESP_ERR_HTTP_CONNECT, 416, ESP_ERR_HTTP_CONNECT, true, true},
        {ESP_ERR_SELF_REFLASHER_DOWNGRADE, 404, ESP_ERR_SELF_REFLASHER_DOWNGRADE, false, false},
        {ESP_ERR_SELF_REFLASHER_DOWNGRADE, 500, ESP_ERR_SELF_REFLASHER_DOWNGRADE, false, false},
        {ESP_ERR_HTTP_MAX_REDIRECT, 302, ESP_ERR_HTTP_MAX_REDIRECT, false, false},
        {ESP_ERR_HTTP_MAX_REDIRECT, 429, ESP_ERR_HTTP_MAX_REDIRECT, false, false},
        {ESP_ERR_NO_MEM, 206, ESP_ERR_NO_MEM, false, false},
        {ESP_ERR_HTTP_EAGAIN, 206, ESP_ERR_HTTP_EAGAIN, true, true},
        {ESP_ERR_SELF_REFLASHER_TOO_SLOW, 206, ESP_ERR_SELF_REFLASHER_TOO_SLOW, true, true},
        {ESP_ERR_HTTP_FETCH_HEADER, 206, ESP_ERR_HTTP_FETCH_HEADER, true, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned redirected = 0; redirected < 2; redirected++) {
            for (uint32_t max_retries = 0; max_retries < 3; max_retries++) {
                const bool retried = redirected != 0 ? cases[i].retried_if_redirected : cases[i].retried;
                restart(max_retries);
                for (unsigned k = 0; k < 4; k++) {
                    fake.answers[k] =
                        (answer_t){.err = cases[i].err, .status = cases[i].status, .redirected = redirected != 0};
                }
                assert_int_equal(read_at(100, 200, 10), cases[i].told);
                assert_int_equal(fake.answer, 1 + (retried ? max_retries : 0));
                assert_int_equal(source.retries, retried ? max_retries : 0);
                assert_int_equal(retries_told, retried ? max_retries : 0);
                /* The next read begins anew, and is as good as a first one. */
                fake.answers[fake.answer] = (answer_t){0};
                clear_trace();
                assert_int_equal(read_at(100, 200, 10), ESP_OK);
                expect_trace("start-over bytes=100-199 request read=10 ");
            }
        }
    }
}

static void pauses_grow_up_to_a_limit(void **state)
{
    (void)state;
    restart(9);
    for (unsigned i = 0; i < 9; i++) {
        fake.answers[i].err = ESP_ERR_HTTP_CONNECT;
    }
    assert_int_equal(read_at(100, 200, 10), ESP_OK);
    expect_trace("bytes=100-199 request disconnect pause=250 start-over bytes=100-199 request disconnect pause=500 "
                 "start-over bytes=100-199 request disconnect pause=1000 "
                 "start-over bytes=100-199 request disconnect pause=2000 "
                 "start-over bytes=100-199 request disconnect pause=4000 "
                 "start-over bytes=100-199 request disconnect pause=8000 "
                 "start-over bytes=100-199 request disconnect pause=8000 "
                 "start-over bytes=100-199 request disconnect pause=8000 "
                 "start-over bytes=100-199 request disconnect pause=8000 start-over bytes=100-199 request read=10 ");
    assert_int_equal(source.retries, 9);
    assert_int_equal(retries_told, 9);
}

/* Consecutive failures are those with less than 4 KiB in between. */
static void progress_forgives_failures(void **state)
{
    (void)state;
    for (uint32_t bytes = 4095; bytes <= 4097; bytes++) {
        restart(1);
        fake.answers[0].err = ESP_ERR_HTTP_CONNECT;
        fake.pieces[0].most = bytes;
        fake.pieces[1].err = ESP_ERR_HTTP_EAGAIN;
        fake.pieces[2].most = 4096;
        fake.pieces[3].end = true;
        assert_int_equal(read_at(0, 20000, 20000), bytes < 4096 ? ESP_ERR_HTTP_EAGAIN : ESP_OK);
        assert_int_equal(source.retries, bytes < 4096 ? 1 : 3);
        /* It goes on where it broke. */
        assert_int_equal(source.position, bytes < 4096 ? bytes : 20000);
        assert_int_equal(source.downloaded, source.position);
    }
}

static void body_that_ends_early_is_an_error(void **state)
{
    (void)state;
    fake.pieces[1].end = true;
    fake.pieces[0].most = 1;
    assert_int_equal(read_at(100, 200, 10), ESP_ERR_SELF_REFLASHER_SHORT_BODY);
    expect_trace("bytes=100-199 request read=10 read=9 disconnect ");
    assert_int_equal(source.downloaded, 1);
    assert_int_equal(source.position, 101);
    restart(0);
    fake.answers[0] = (answer_t){.status = 200, .length = 1000};
    fake.pieces[0].end = true; /* In what is not wanted. */
    assert_int_equal(read_at(100, 200, 10), ESP_ERR_SELF_REFLASHER_SHORT_BODY);
    expect_trace("bytes=100-199 request read=100 disconnect ");
}

/* Nobody needs to be told. */
static void retry_needs_no_callback(void **state)
{
    (void)state;
    restart(1);
    source.on_retry = NULL;
    fake.answers[0].err = ESP_ERR_HTTP_CONNECT;
    assert_int_equal(read_at(100, 200, 10), ESP_OK);
    assert_int_equal(retries_told, 0);
    assert_int_equal(source.retries, 1);
}

/* Nothing is sent with a header that is not there; a client that cannot be made is asked for again. */
static void request_that_cannot_be_made_is_not_sent(void **state)
{
    (void)state;
    fake.header = ESP_ERR_NO_MEM;
    assert_int_equal(read_at(100, 200, 10), ESP_ERR_NO_MEM);
    expect_trace("bytes=100-199 disconnect ");
    fake.header = ESP_OK;
    fake.start_over = ESP_ERR_NO_MEM;
    assert_int_equal(read_at(100, 200, 10), ESP_ERR_NO_MEM);
    expect_trace("start-over disconnect ");
    assert_int_equal(read_at(100, 200, 10), ESP_ERR_NO_MEM);
    expect_trace("start-over disconnect ");
    fake.start_over = ESP_OK;
    assert_int_equal(read_at(100, 200, 10), ESP_OK);
    expect_trace("start-over bytes=100-199 request read=10 ");
    assert_int_equal(read_at(50, 60, 10), ESP_OK);
    expect_trace("read=90 bytes=50-59 request read=10 ");
}

/* Flash. */

static void region_of_flash_is_read_up_to_its_end(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset, end, length;
        bool fits;
    } cases[] = {{0, 100, 100, true}, {0, 99, 99, true},   {99, 100, 1, true},   {50, 100, 10, true},
                 {0, 101, 1, false},  {99, 101, 2, false}, {0, 100, 101, false}, {100, 100, 1, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char expected[64] = "";
        restart(0);
        source.http = NULL;
        source.region = (sr_region_t){0x10000, 100};
        sr_source_seek(&source, cases[i].offset, cases[i].end);
        assert_int_equal(sr_source_read(&source, buffer, cases[i].length),
                         cases[i].fits ? ESP_OK : ESP_ERR_INVALID_SIZE);
        if (cases[i].fits) {
            (void)snprintf(expected, sizeof(expected), "flash=0x%x+%u ", 0x10000 + cases[i].offset, cases[i].length);
            assert_int_equal(source.position, cases[i].offset + cases[i].length);
        }
        expect_trace(expected);
        assert_int_equal(yielded, cases[i].fits ? cases[i].length : 0);
    }
}

static void flash_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    source.http = NULL;
    source.region = (sr_region_t){0x10000, 100};
    fake.flash = ESP_ERR_NOT_FOUND;
    sr_source_seek(&source, 0, 10);
    assert_int_equal(sr_source_read(&source, buffer, 10), ESP_ERR_NOT_FOUND);
}

#define TEST(test) cmocka_unit_test_setup(test, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(source_begins_with_nothing),
        TEST(reads_that_go_on_are_of_one_response),
        TEST(gap_is_read_over_if_that_is_quicker_than_a_request),
        TEST(whole_file_is_read_up_to_what_is_wanted),
        TEST(drip_is_dropped_as_it_comes),
        TEST(rest_of_a_response_is_read_if_it_is_small),
        TEST(rest_that_does_not_come_costs_the_connection),
        TEST(length_that_is_not_announced_is_no_end),
        TEST(nothing_is_read_past_the_end_of_the_file),
        TEST(nothing_is_read_past_what_was_asked_for),
        TEST(request_over_a_kept_connection_that_broke_is_sent_again),
        TEST(what_is_tried_again_depends_on_the_error),
        TEST(pauses_grow_up_to_a_limit),
        TEST(progress_forgives_failures),
        TEST(body_that_ends_early_is_an_error),
        TEST(retry_needs_no_callback),
        TEST(request_that_cannot_be_made_is_not_sent),
        TEST(region_of_flash_is_read_up_to_its_end),
        TEST(flash_that_cannot_be_read_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
