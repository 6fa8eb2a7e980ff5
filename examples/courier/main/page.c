// SPDX-License-Identifier: Apache-2.0
#include "page.h"

#include "slots.h"
#include "status.h"

#include "esp_app_format.h"
#include "esp_http_server.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_random.h"
#include "sdkconfig.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_SIZE   4096
#define HEAD_SIZE    (sizeof(esp_image_header_t) + sizeof(esp_image_segment_header_t) + sizeof(esp_app_desc_t))
#define HOST_SIZE    32
#define MAX_TIMEOUTS 6 /* In a row, of `recv_wait_timeout` each. */

static const char *TAG = "courier";

extern const char page_html_start[] __asm__("_binary_page_html_start");
extern const char page_html_end[] __asm__("_binary_page_html_end");
extern const char page_js_start[] __asm__("_binary_page_js_start");
extern const char page_js_end[] __asm__("_binary_page_js_end");

/* New at each start, and known only to who can read from this device. */
static char token[33];

/* Whom a request is for, and from whom it comes. */

static bool is_address_of(const char *host, size_t length, const char *interface)
{
    char address[16];
    esp_netif_ip_info_t info;
    esp_netif_t *netif = esp_netif_get_handle_from_ifkey(interface);
    if (netif == NULL || esp_netif_get_ip_info(netif, &info) != ESP_OK) {
        return false;
    }
    snprintf(address, sizeof(address), IPSTR, IP2STR(&info.ip));
    return strlen(address) == length && memcmp(host, address, length) == 0;
}

/* A name is refused: it may be one that leads to another place for a browser, and here a moment later (DNS rebinding).
 * An address is not. */
static bool get_host(httpd_req_t *request, char host[HOST_SIZE])
{
    if (httpd_req_get_hdr_value_str(request, "Host", host, HOST_SIZE) != ESP_OK) {
        return false;
    }
    const size_t length = strcspn(host, ":");
    return is_address_of(host, length, "WIFI_STA_DEF") || is_address_of(host, length, "WIFI_AP_DEF");
}

/* Pages of others can make a browser send something here, but neither with this header, nor without telling that it was
 * them. */
static bool is_from_own_page(httpd_req_t *request, const char *host)
{
    char sent[sizeof(token)];
    char origin[sizeof("http://") + HOST_SIZE];
    char own[sizeof(origin)];
    snprintf(own, sizeof(own), "http://%s", host);
    const esp_err_t err = httpd_req_get_hdr_value_str(request, "Origin", origin, sizeof(origin));
    return httpd_req_get_hdr_value_str(request, "X-Token", sent, sizeof(sent)) == ESP_OK && strcmp(sent, token) == 0 &&
           (err == ESP_ERR_NOT_FOUND || (err == ESP_OK && strcmp(origin, own) == 0));
}

/* Answers. */

static esp_err_t answer(httpd_req_t *request, const char *http_status, const char *type, const char *bytes, size_t size)
{
    static const struct {
        const char *field, *value;
    } headers[] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; "
                                    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
    };
    httpd_resp_set_status(request, http_status);
    httpd_resp_set_type(request, type);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        httpd_resp_set_hdr(request, headers[i].field, headers[i].value);
    }
    return httpd_resp_send(request, bytes, (ssize_t)size);
}

static esp_err_t say(httpd_req_t *request, const char *http_status, const char *text)
{
    return answer(request, http_status, "text/plain; charset=utf-8", text, strlen(text));
}

static esp_err_t send_file(httpd_req_t *request, const char *type, const char *bytes, size_t size)
{
    char host[HOST_SIZE];
    return get_host(request, host) ? answer(request, "200 OK", type, bytes, size)
                                   : say(request, "421 Misdirected Request", "Open this page by the device's address.");
}

/* Without the zero that the build puts after a text. */
static esp_err_t on_page(httpd_req_t *request)
{
    return send_file(request, "text/html; charset=utf-8", page_html_start,
                     (size_t)(page_html_end - page_html_start) - 1);
}

static esp_err_t on_script(httpd_req_t *request)
{
    return send_file(request, "text/javascript; charset=utf-8", page_js_start,
                     (size_t)(page_js_end - page_js_start) - 1);
}

static esp_err_t on_status(httpd_req_t *request)
{
    static char json[STATUS_JSON_SIZE];
    char host[HOST_SIZE];
    const bool reads = get_host(request, host);
    return send_file(request, "application/json", json, reads ? status_json(json, sizeof(json), token) : 0);
}

static bool may_change(httpd_req_t *request)
{
    char host[HOST_SIZE];
    if (get_host(request, host) && is_from_own_page(request, host)) {
        return true;
    }
    (void)say(request, "403 Forbidden", "This did not come from the device's own page. Load that again.");
    return false;
}

static esp_err_t on_wish(httpd_req_t *request)
{
    const status_wish_t wish = (status_wish_t)(uintptr_t)request->user_ctx;
    if (!may_change(request)) {
        return ESP_OK;
    }
    return status_wish(wish) ? say(request, "200 OK", "It restarts, or begins.")
                             : say(request, "409 Conflict", "Not possible now. Nothing was changed.");
}

/* Uploads. */

/* Fills the block, but for the end of the body. @return bytes; -1: the sender has gone away */
static int receive(httpd_req_t *request, char *block, size_t left)
{
    const size_t wanted = left < BLOCK_SIZE ? left : BLOCK_SIZE;
    size_t done = 0;
    unsigned timeouts = 0;
    while (done < wanted && timeouts < MAX_TIMEOUTS) {
        const int got = httpd_req_recv(request, block + done, wanted - done);
        if (got <= 0 && got != HTTPD_SOCK_ERR_TIMEOUT) {
            return -1;
        }
        timeouts = got > 0 ? 0 : timeouts + 1;
        done += got > 0 ? (size_t)got : 0;
    }
    return done == wanted ? (int)done : -1;
}

/* What the first bytes are: an app for this chip. A bootloader is an intact image, too, and so is the start of a file
 * for all of the flash: started as an app, either would be the end. @return NULL if it is one */
static const char *object_to(const char *block, size_t size)
{
    esp_image_header_t header;
    esp_app_desc_t app;
    if (size < HEAD_SIZE) {
        return "This is no app: it is too small.";
    }
    memcpy(&header, block, sizeof(header));
    memcpy(&app, block + HEAD_SIZE - sizeof(app), sizeof(app));
    if (header.magic != ESP_IMAGE_HEADER_MAGIC) {
        return "This is no app: the first byte is not 0xe9. A file for all of the flash goes there by cable only.";
    }
    if (header.chip_id != CONFIG_IDF_FIRMWARE_CHIP_ID) {
        return "This is for another chip.";
    }
    return app.magic_word != ESP_APP_DESC_MAGIC_WORD ? "This is no app of ESP-IDF, or it is a bootloader." : NULL;
}

/* Erases as it goes, so that what was there before is lost with the first block. */
static const char *write_app(httpd_req_t *request, esp_ota_handle_t handle, char *block, int size)
{
    for (size_t left = request->content_len;;) {
        if (size < 0) {
            return "The upload broke off. Upload it again.";
        }
        if (esp_ota_write(handle, block, (size_t)size) != ESP_OK) {
            return "The flash could not be written.";
        }
        left -= (size_t)size;
        if (left == 0) {
            return NULL;
        }
        size = receive(request, block, left);
    }
}

/* This app stays the selected one until the other is whole, also with a bootloader that would go back to the old one:
 * that is overwritten. */
static const char *store(httpd_req_t *request, const esp_partition_t *slot)
{
    static char block[BLOCK_SIZE];
    esp_ota_handle_t handle;
    const int size = receive(request, block, request->content_len);
    const char *objection = size < 0 ? "The upload broke off. Nothing was changed." : object_to(block, (size_t)size);
    if (objection != NULL) {
        return objection;
    }
    if (slots_is_in_state(ESP_OTA_IMG_PENDING_VERIFY) && esp_ota_mark_app_valid_cancel_rollback() != ESP_OK) {
        return "This app could not be confirmed. Nothing was changed.";
    }
    status_lose(slot);
    if (esp_ota_begin(slot, OTA_WITH_SEQUENTIAL_WRITES, &handle) != ESP_OK) {
        return "The other slot cannot be written.";
    }
    const char *failure = write_app(request, handle, block, size);
    if (failure != NULL) {
        (void)esp_ota_abort(handle);
        return failure;
    }
    if (esp_ota_end(handle) != ESP_OK || esp_ota_set_boot_partition(slot) != ESP_OK) {
        return "The app is not whole, or not signed as this device demands.";
    }
    return NULL;
}

static esp_err_t take_upload(httpd_req_t *request, const esp_partition_t *slot)
{
    ESP_LOGI(TAG, "upload of %zu bytes to '%s'", request->content_len, slot->label);
    const char *failure = store(request, slot);
    if (failure != NULL) {
        ESP_LOGE(TAG, "%s", failure);
    }
    const esp_err_t err = failure == NULL ? say(request, "200 OK", "It restarts into the app that was uploaded.")
                                          : say(request, "400 Bad Request", failure);
    status_end_upload(failure == NULL);
    return err;
}

static esp_err_t on_upload(httpd_req_t *request)
{
    const esp_partition_t *slot = esp_ota_get_next_update_partition(NULL);
    if (!may_change(request)) {
        return ESP_OK;
    }
    if (slot == NULL || slot == esp_ota_get_running_partition()) {
        return say(request, "409 Conflict", "There is no other slot.");
    }
    if (request->content_len > slot->size) {
        return say(request, "413 Content Too Large", "This does not fit into the slot. Nothing was changed.");
    }
    return status_begin_upload() ? take_upload(request, slot)
                                 : say(request, "409 Conflict", "Not possible now. Nothing was changed.");
}

static void make_token(void)
{
    uint8_t random[16];
    esp_fill_random(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++) {
        snprintf(token + 2 * i, 3, "%02x", random[i]);
    }
}

bool page_start(void)
{
    static const httpd_uri_t uris[] = {
        {.uri = "/", .method = HTTP_GET, .handler = on_page},
        {.uri = "/page.js", .method = HTTP_GET, .handler = on_script},
        {.uri = "/status", .method = HTTP_GET, .handler = on_status},
        {.uri = "/begin", .method = HTTP_POST, .handler = on_wish, .user_ctx = (void *)STATUS_BEGIN},
        {.uri = "/back", .method = HTTP_POST, .handler = on_wish, .user_ctx = (void *)STATUS_GO_BACK},
        {.uri = "/again", .method = HTTP_POST, .handler = on_wish, .user_ctx = (void *)STATUS_RESTART},
        {.uri = "/upload", .method = HTTP_POST, .handler = on_upload},
    };
    httpd_handle_t server;
    httpd_config_t config = HTTPD_DEFAULT_CONFIG();
    config.lru_purge_enable = true; /* A browser keeps more connections than it needs. */
    config.stack_size = 6144;
    make_token();
    esp_err_t err = httpd_start(&server, &config);
    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]) && err == ESP_OK; i++) {
        err = httpd_register_uri_handler(server, &uris[i]);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "no status page: %s", esp_err_to_name(err));
    }
    return err == ESP_OK;
}
