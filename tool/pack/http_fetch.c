// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/http_fetch.h"

#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/pack/web_address.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_REDIRECTS  10u
#define CONNECT_SECONDS 30L
#define STALL_SECONDS   20L /**< A server that sends less than STALL_BYTES a second for so long is given up. */
#define STALL_BYTES     100L
#define NAME_COLUMNS    24u
#define HTTP_OK         200L

typedef struct transfer {
    CURL *easy;
    const http_fetch_t *fetch;
    char *url; /**< Where the last redirect leads to; at first the fetch's. */
    image_file_t *file;
    size_t room;     /**< Of the file's memory. */
    size_t received; /**< With the text of redirects, which is dropped. */
    size_t drawn;    /**< Eighths of the bar's columns, so that it is drawn only if it changes; SIZE_MAX: not yet. */
    char error[CURL_ERROR_SIZE];
} transfer_t;

static int refuse(const transfer_t *transfer, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int refuse(const transfer_t *transfer, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    const bool redirected = transfer->url != NULL && strcmp(transfer->url, transfer->fetch->url) != 0;
    complain(STATUS_BAD_INPUT, "%s%s%s: not fetched: %s", transfer->fetch->url, redirected ? ", redirected to " : "",
             redirected ? transfer->url : "", length >= 0 ? text : format);
    free(length >= 0 ? text : NULL);
    return STATUS_BAD_INPUT;
}

static long status_of(const transfer_t *transfer)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool make_room(transfer_t *transfer, size_t length)
{
    image_file_t *file = transfer->file;
    if (length <= transfer->room - file->size) {
        return true;
    }
    const size_t room = 2 * transfer->room + length;
    uint8_t *grown = realloc(file->bytes, room);
    if (grown == NULL) {
        return false;
    }
    file->bytes = grown;
    transfer->room = room;
    return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    transfer_t *transfer = context;
    const size_t length = size * count;
    transfer->received += length;
    if (transfer->received > FLASH_LIMIT) {
        return 0; // ends the transfer with CURLE_WRITE_ERROR
    }
    if (status_of(transfer) != HTTP_OK) {
        return length;
    }
    if (!make_room(transfer, length)) {
        return 0;
    }
    memcpy(transfer->file->bytes + transfer->file->size, data, length);
    transfer->file->size += (uint32_t)length;
    return length;
}

static int on_progress(void *context, curl_off_t total, curl_off_t done, curl_off_t up_total, curl_off_t up)
{
    (void)up_total;
    (void)up;
    transfer_t *transfer = context;
    const size_t eighths = total > 0 ? (size_t)(done * 8 * TERMINAL_BAR_CELLS / total) : (size_t)done >> 12;
    if (!terminal_is_live() || eighths == transfer->drawn || status_of(transfer) != HTTP_OK) {
        return 0;
    }
    char done_text[NUMBER_TEXT_SIZE];
    char total_text[NUMBER_TEXT_SIZE];
    transfer->drawn = eighths;
    fputs("\r  ", stdout);
    terminal_clip(transfer->fetch->name, NAME_COLUMNS);
    putchar(' ');
    if (total > 0) {
        terminal_bar(eighths);
        printf(" %s of %s", number_size((uint64_t)done, done_text), number_size((uint64_t)total, total_text));
    } else {
        fputs(number_size((uint64_t)done, done_text), stdout);
    }
    fputs("\x1b[K", stdout); // what is left of a longer line
    fflush(stdout);
    return 0;
}

/** The report tells what was fetched. */
static void clear_line(transfer_t *transfer)
{
    if (transfer->drawn != SIZE_MAX) {
        fputs("\r\x1b[K", stdout);
        fflush(stdout);
        transfer->drawn = SIZE_MAX;
    }
}

static bool set_up(transfer_t *transfer)
{
    CURL *easy = transfer->easy;
    const char *ca = transfer->fetch->ca;
    curl_easy_setopt(easy, CURLOPT_USERAGENT, PROGRAM_NAME "/" PROGRAM_VERSION);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)FLASH_LIMIT);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    if (ca == NULL) {
        return true;
    }
    struct curl_blob blob = {(void *)(uintptr_t)ca, strlen(ca), CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); // the blob replaces the file of the default store only
    return curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK;
}

static const char *way_out_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        return "; without a network, download it in another way, and name the file instead of the URL";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "; for a server of your own, --ca FILE says whom to trust";
    default:
        return "";
    }
}

static int complain_failure(const transfer_t *transfer, CURLcode code)
{
    const long status = status_of(transfer);
    if (code == CURLE_HTTP_RETURNED_ERROR) {
        return refuse(transfer, "the server answers with status %ld%s", status, status == 404 ? " (not found)" : "");
    }
    if (code == CURLE_FILESIZE_EXCEEDED || transfer->received > FLASH_LIMIT) {
        return refuse(transfer, "larger than any flash (32 MiB)");
    }
    return refuse(transfer, "%s%s", transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code),
                  way_out_of(code));
}

/** @return STATUS_OK, with the new URL in the transfer. */
static int follow(transfer_t *transfer, const char *location)
{
    char *url = NULL;
    const char *problem = web_address_resolve(NULL, location, &url);
    if (problem != NULL) {
        return refuse(transfer, "it redirects to %s, which %s", location, problem);
    }
    if (web_address_is_https(transfer->url) && !web_address_is_https(url)) {
        const int status = refuse(transfer, "it redirects from https to plain http (%s)", url);
        free(url);
        return status;
    }
    free(transfer->url);
    transfer->url = url;
    return STATUS_OK;
}

/** One request. @param[out] complete False after a redirect. */
static int request(transfer_t *transfer, bool *complete)
{
    const char *location = NULL;
    *complete = false;
    curl_easy_setopt(transfer->easy, CURLOPT_URL, transfer->url);
    const CURLcode code = curl_easy_perform(transfer->easy);
    clear_line(transfer);
    if (code != CURLE_OK) {
        return complain_failure(transfer, code);
    }
    if (status_of(transfer) == HTTP_OK) {
        *complete = true;
        return transfer->file->size != 0 ? STATUS_OK : refuse(transfer, "the server sends an empty file");
    }
    // followed here and not by libcurl, which keeps to other rules
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &location);
    return location != NULL ? follow(transfer, location)
                            : refuse(transfer, "the server answers with status %ld", status_of(transfer));
}

int http_fetch(const http_fetch_t *fetch, image_file_t *file)
{
    *file = (image_file_t){.path = fetch->url};
    transfer_t transfer = {
        .easy = curl_easy_init(), .fetch = fetch, .url = strdup(fetch->url), .file = file, .drawn = SIZE_MAX};
    bool complete = false;
    int status = transfer.easy != NULL && transfer.url != NULL && set_up(&transfer)
                     ? STATUS_OK
                     : refuse(&transfer, "%s", strerror(ENOMEM));
    for (unsigned redirects = 0; status == STATUS_OK && !complete; redirects++) {
        status = redirects <= MOST_REDIRECTS
                     ? request(&transfer, &complete)
                     : refuse(&transfer, "more than %u redirects, one after the other", MOST_REDIRECTS);
    }
    if (status != STATUS_OK) {
        image_file_free(file);
    }
    curl_easy_cleanup(transfer.easy);
    free(transfer.url);
    return status;
}
