// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_app_format.h"
#include "esp_event.h"
#include "esp_https_ota.h"
#include "esp_ota_ops.h"

#include <stdlib.h>
#include <string.h>

#define PIECE       4096u
#define MAX_ANSWERS 10u /* Redirects and demands for authentication. */

ESP_EVENT_DEFINE_BASE(ESP_HTTPS_OTA_EVENT);

typedef struct ota {
    esp_http_client_handle_t client;
    const esp_partition_t *slot;
    esp_ota_handle_t update;
    bool bulk_erase;
    bool begun;       /* The update. */
    uint32_t pending; /* Bytes read and not written yet. */
    uint32_t read;
    char piece[PIECE];
} ota_t;

static void post(esp_https_ota_event_t event)
{
    (void)esp_event_post(ESP_HTTPS_OTA_EVENT, (int32_t)event, NULL, 0, portMAX_DELAY);
}

static void release(ota_t *ota)
{
    (void)esp_http_client_close(ota->client);
    (void)esp_http_client_cleanup(ota->client);
    if (ota->begun) {
        (void)esp_ota_abort(ota->update);
    }
    free(ota);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static esp_err_t connect_to_server(ota_t *ota)
{
    for (unsigned answer = 0; answer < MAX_ANSWERS; answer++) {
        esp_err_t err = esp_http_client_open(ota->client, 0);
        if (err != ESP_OK) {
            return err;
        }
        if (esp_http_client_fetch_headers(ota->client) < 0) {
            return ESP_FAIL;
        }
        const int status = esp_http_client_get_status_code(ota->client);
        if (status == HttpStatus_Ok) {
            return ESP_OK;
        }
        if (!is_redirect(status) && status != HttpStatus_Unauthorized) {
            return ESP_FAIL;
        }
        err =
            is_redirect(status) ? esp_http_client_set_redirection(ota->client) : esp_http_client_add_auth(ota->client);
        if (err != ESP_OK) {
            return err;
        }
        (void)esp_http_client_close(ota->client);
    }
    return ESP_ERR_HTTP_MAX_REDIRECT;
}

esp_err_t esp_https_ota_begin(const esp_https_ota_config_t *ota_config, esp_https_ota_handle_t *handle)
{
    sim_flash_code(__func__);
    if (handle == NULL || ota_config == NULL || ota_config->http_config == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    *handle = NULL;
    ota_t *ota = calloc(1, sizeof(*ota));
    if (ota == NULL) {
        return ESP_ERR_NO_MEM;
    }
    ota->bulk_erase = ota_config->bulk_flash_erase;
    ota->client = esp_http_client_init(ota_config->http_config);
    if (ota->client == NULL) {
        free(ota);
        return ESP_FAIL;
    }
    post(ESP_HTTPS_OTA_START);
    esp_err_t err = ota_config->http_client_init_cb != NULL ? ota_config->http_client_init_cb(ota->client) : ESP_OK;
    if (err == ESP_OK) {
        err = connect_to_server(ota);
    }
    ota->slot = esp_ota_get_next_update_partition(NULL);
    if (err != ESP_OK || ota->slot == NULL) {
        release(ota);
        return err != ESP_OK ? err : ESP_FAIL;
    }
    post(ESP_HTTPS_OTA_CONNECTED);
    *handle = ota;
    return ESP_OK;
}

/* More of the body, up to a piece. */
static esp_err_t read_more(ota_t *ota)
{
    const int got = esp_http_client_read(ota->client, ota->piece + ota->pending, (int)(PIECE - ota->pending));
    if (got < 0) {
        return ESP_FAIL;
    }
    ota->pending += (uint32_t)got;
    ota->read += (uint32_t)got;
    return ESP_OK;
}

static esp_err_t begin_update(ota_t *ota)
{
    esp_image_header_t header;
    if (ota->pending < sizeof(header)) {
        return ESP_FAIL;
    }
    memcpy(&header, ota->piece, sizeof(header));
    if (header.chip_id != CONFIG_IDF_FIRMWARE_CHIP_ID) {
        return ESP_ERR_INVALID_VERSION;
    }
    const esp_err_t err =
        esp_ota_begin(ota->slot, ota->bulk_erase ? OTA_SIZE_UNKNOWN : OTA_WITH_SEQUENTIAL_WRITES, &ota->update);
    ota->begun = err == ESP_OK;
    return err;
}

esp_err_t esp_https_ota_perform(esp_https_ota_handle_t https_ota_handle)
{
    ota_t *ota = https_ota_handle;
    sim_flash_code(__func__);
    if (ota == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    esp_err_t err = ota->pending < PIECE ? read_more(ota) : ESP_OK;
    if (err == ESP_OK && ota->pending == 0) {
        return esp_http_client_is_complete_data_received(ota->client) && ota->begun ? ESP_OK : ESP_FAIL;
    }
    if (err == ESP_OK && !ota->begun) {
        err = begin_update(ota);
    }
    if (err == ESP_OK) {
        err = esp_ota_write(ota->update, ota->piece, ota->pending);
        ota->pending = 0;
    }
    return err == ESP_OK ? ESP_ERR_HTTPS_OTA_IN_PROGRESS : err;
}

bool esp_https_ota_is_complete_data_received(esp_https_ota_handle_t https_ota_handle)
{
    const ota_t *ota = https_ota_handle;
    return ota != NULL && esp_http_client_is_complete_data_received(ota->client);
}

esp_err_t esp_https_ota_finish(esp_https_ota_handle_t https_ota_handle)
{
    ota_t *ota = https_ota_handle;
    sim_flash_code(__func__);
    if (ota == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    esp_err_t err = ota->begun ? esp_ota_end(ota->update) : ESP_FAIL;
    ota->begun = false;
    if (err == ESP_OK) {
        err = esp_ota_set_boot_partition(ota->slot);
    }
    release(ota);
    post(ESP_HTTPS_OTA_FINISH);
    return err;
}

esp_err_t esp_https_ota_abort(esp_https_ota_handle_t https_ota_handle)
{
    sim_flash_code(__func__);
    if (https_ota_handle == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    release(https_ota_handle);
    post(ESP_HTTPS_OTA_ABORT);
    return ESP_OK;
}

esp_err_t esp_https_ota(const esp_https_ota_config_t *ota_config)
{
    esp_https_ota_handle_t handle;
    esp_err_t err = esp_https_ota_begin(ota_config, &handle);
    if (err != ESP_OK) {
        return err;
    }
    do {
        err = esp_https_ota_perform(handle);
    } while (err == ESP_ERR_HTTPS_OTA_IN_PROGRESS);
    if (err != ESP_OK) {
        (void)esp_https_ota_abort(handle);
        return err;
    }
    return esp_https_ota_finish(handle);
}

esp_err_t esp_https_ota_get_img_desc(esp_https_ota_handle_t https_ota_handle, esp_app_desc_t *new_app_info)
{
    ota_t *ota = https_ota_handle;
    const size_t offset = sizeof(esp_image_header_t) + sizeof(esp_image_segment_header_t);
    if (ota == NULL || new_app_info == NULL || ota->begun) {
        return ESP_ERR_INVALID_ARG;
    }
    esp_err_t err = ota->pending < PIECE ? read_more(ota) : ESP_OK;
    if (err != ESP_OK || ota->pending < offset + sizeof(*new_app_info)) {
        return ESP_FAIL;
    }
    memcpy(new_app_info, ota->piece + offset, sizeof(*new_app_info));
    return new_app_info->magic_word == ESP_APP_DESC_MAGIC_WORD ? ESP_OK : ESP_FAIL;
}

int esp_https_ota_get_image_len_read(esp_https_ota_handle_t https_ota_handle)
{
    const ota_t *ota = https_ota_handle;
    return ota != NULL ? (int)ota->read : -1;
}

int esp_https_ota_get_status_code(esp_https_ota_handle_t https_ota_handle)
{
    const ota_t *ota = https_ota_handle;
    return ota != NULL ? esp_http_client_get_status_code(ota->client) : -1;
}

int esp_https_ota_get_image_size(esp_https_ota_handle_t https_ota_handle)
{
    const ota_t *ota = https_ota_handle;
    return ota != NULL ? (int)esp_http_client_get_content_length(ota->client) : -1;
}
