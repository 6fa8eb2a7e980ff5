// SPDX-License-Identifier: Apache-2.0
#include "app.h"

#include "esp_flash.h"
#include "esp_heap_caps.h"
#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_ota_ops.h"
#include "esp_partition.h"

#include <inttypes.h>

#define PIECE 1024u

static const char *const TAG = "classic";

/* Where an image is staged; an ordinary update goes to its slot directly. */
static esp_err_t find_staging(const scenario_part_t *part, esp_partition_t *staging)
{
    const esp_partition_t *slot = esp_ota_get_next_update_partition(NULL);
    if (slot == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    *staging = *slot;
    if (!part->ordinary_update && part->staging.size != 0) {
        staging->address = part->staging.address;
        staging->size = part->staging.size;
    }
    const sr_region_t place = {staging->address, staging->size};
    const bool usable =
        part->ordinary_update ? place.address == part->place.address : !sr_region_overlaps(place, part->place);
    if (!usable || staging->size < part->length) {
        ESP_LOGE(TAG, "no free slot in which the image for 0x%" PRIx32 " could be staged", part->place.address);
        return ESP_ERR_NOT_FOUND;
    }
    return ESP_OK;
}

static esp_err_t receive(esp_http_client_handle_t client, const esp_partition_t *staging, char *piece)
{
    esp_err_t error = esp_http_client_open(client, 0);
    if (error == ESP_OK && esp_http_client_fetch_headers(client) < 0) {
        error = ESP_FAIL;
    }
    for (uint32_t at = 0; error == ESP_OK;) {
        const int got = esp_http_client_read(client, piece, (int)PIECE);
        if (got <= 0) {
            return got == 0 && esp_http_client_is_complete_data_received(client) ? ESP_OK : ESP_FAIL;
        }
        error = esp_partition_write(staging, at, piece, (size_t)got);
        at += (uint32_t)got;
    }
    return error;
}

static esp_err_t download(const char *url, const esp_partition_t *staging, char *piece)
{
    const esp_http_client_config_t config = {.url = url, .timeout_ms = 20000};
    esp_http_client_handle_t client = esp_http_client_init(&config);
    if (client == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_err_t error = receive(client, staging, piece);
    esp_http_client_cleanup(client);
    return error;
}

static esp_err_t copy(uint32_t from, uint32_t length, sr_region_t place, char *piece)
{
    esp_err_t error = esp_flash_erase_region(NULL, place.address, place.size);
    for (uint32_t done = 0; error == ESP_OK && done < length; done += PIECE) {
        const uint32_t here = length - done < PIECE ? length - done : PIECE;
        error = esp_flash_read(NULL, piece, from + done, here);
        if (error == ESP_OK) {
            error = esp_flash_write(NULL, piece, place.address + done, here);
        }
    }
    return error;
}

static esp_err_t stage_and_copy(const app_job_t *job, unsigned index, char *piece)
{
    const scenario_part_t *part = &job->scenario->parts[index];
    esp_partition_t staging;
    esp_err_t error = find_staging(part, &staging);
    if (error == ESP_OK) {
        error = esp_partition_erase_range(&staging, 0, staging.size);
    }
    if (error == ESP_OK) {
        error = download(job->part_urls[index], &staging, piece);
    }
    if (error == ESP_OK && staging.address != part->place.address) {
        error = copy(staging.address, part->length, part->place, piece);
    }
    return error;
}

esp_err_t app_classic(const app_job_t *job)
{
    const scenario_t *scenario = job->scenario;
    char *piece = heap_caps_malloc(PIECE, MALLOC_CAP_INTERNAL);
    esp_err_t error = piece == NULL ? ESP_ERR_NO_MEM : ESP_OK;
    if (error == ESP_OK && scenario->embedded) {
        error = copy(scenario->source.address, scenario->source.size, scenario->parts[0].place, piece);
    }
    for (unsigned i = 0; error == ESP_OK && !scenario->embedded && i < scenario->part_count; i++) {
        error = stage_and_copy(job, i, piece);
    }
    heap_caps_free(piece);
    return error;
}
