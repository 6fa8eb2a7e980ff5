// SPDX-License-Identifier: Apache-2.0
#include "app.h"

#include "esp_partition.h"
#include "self_reflasher.h"
#include "self_reflasher_bundle.h"

#define TIMEOUT_MS 20000

static addr_region_t region_of(sr_region_t region)
{
    return (addr_region_t){.region_address = region.address, .region_size = region.size};
}

static esp_err_t copy_embedded(const scenario_t *scenario)
{
    const esp_self_reflasher_config_t config = {
        .src_region = region_of(scenario->source),
        .dest_region = region_of(scenario->parts[0].place),
        .src_bin_size = scenario->source.size,
    };
    return esp_self_reflasher_directly_copy_to_region(&config);
}

/* Room that is in no partition. */
static const esp_partition_t *staging_of(const scenario_part_t *part, esp_partition_t *partition)
{
    const esp_partition_t *any = esp_partition_find_first(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, NULL);
    if (part->staging.size == 0 || any == NULL) {
        return NULL;
    }
    *partition = *any;
    partition->address = part->staging.address;
    partition->size = part->staging.size;
    return partition;
}

static esp_err_t download_part(const app_job_t *job, unsigned index, esp_partition_t *staging,
                               esp_self_reflasher_handle_t *handle)
{
    const scenario_part_t *part = &job->scenario->parts[index];
    const esp_http_client_config_t http = {
        .url = job->part_urls[index], .timeout_ms = TIMEOUT_MS, .keep_alive_enable = true};
    const esp_self_reflasher_config_t config = {
        .http_config = &http,
        .target_partition = staging_of(part, staging),
        .dest_region = region_of(part->place),
    };
    esp_err_t error = *handle == NULL ? esp_self_reflasher_init(&config, handle)
                                      : esp_self_reflasher_upd_next_config(&config, *handle);
    if (error == ESP_OK) {
        error = esp_self_reflasher_download_bin(*handle);
    }
    if (error == ESP_OK) {
        error = esp_self_reflasher_copy_to_region(*handle);
    }
    return error;
}

esp_err_t app_images(const app_job_t *job)
{
    if (job->scenario->embedded) {
        return copy_embedded(job->scenario);
    }
    esp_partition_t staging[SCENARIO_MAX_PARTS];
    esp_self_reflasher_handle_t handle = NULL;
    esp_err_t error = ESP_OK;
    for (unsigned i = 0; error == ESP_OK && i < job->scenario->part_count; i++) {
        error = download_part(job, i, &staging[i], &handle);
    }
    if (handle != NULL) {
        esp_self_reflasher_deinit(handle);
    }
    return error;
}

esp_err_t app_bundle(const app_job_t *job)
{
    const esp_http_client_config_t http = {.url = job->bundle_url, .timeout_ms = TIMEOUT_MS, .keep_alive_enable = true};
    const esp_self_reflasher_bundle_config_t config = {
        .http_config = job->scenario->embedded ? NULL : &http,
        .embedded = region_of(job->scenario->bundle_source),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
    };
    esp_err_t error = esp_self_reflasher_resume(&config);
    return error != ESP_OK ? error : esp_self_reflasher_apply_bundle(&config, NULL);
}
