// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "flash/sr_flash_size.h"
#include "port/sr_yield.h"
#include "preflight/sr_admit.h"

#include "esp_event.h"
#include "esp_flash.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_ota_ops.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define DEFAULT_RETRIES 8u

static const char *TAG = "self_reflasher";

ESP_EVENT_DEFINE_BASE(ESP_SELF_REFLASHER_EVENT);

void sr_migration_tell(sr_migration_t *migration, esp_self_reflasher_event_t event)
{
    esp_self_reflasher_event_data_t *data = &migration->run.progress;
    data->bytes_downloaded = migration->input.source.downloaded;
    data->retries = migration->input.source.retries;
    if (migration->config->event_cb != NULL) {
        migration->config->event_cb(migration->config->user_ctx, event, data);
    }
    /* Fails if the app has no default event loop; then nobody listens. */
    (void)esp_event_post(ESP_SELF_REFLASHER_EVENT, (int32_t)event, data, sizeof(*data), 0);
}

esp_err_t sr_migration_refuse(sr_migration_t *migration, esp_self_reflasher_refusal_t refusal, const char *format, ...)
{
    esp_self_reflasher_plan_t *plan = migration->plan;
    va_list arguments;
    plan->refusal = refusal;
    va_start(arguments, format);
    (void)vsnprintf(plan->refusal_text, sizeof(plan->refusal_text), format, arguments);
    va_end(arguments);
    ESP_LOGE(TAG, "refused: %s", plan->refusal_text);
    return ESP_ERR_SELF_REFLASHER_REFUSED;
}

bool sr_migration_may_commit(const sr_migration_t *migration)
{
    const esp_self_reflasher_bundle_config_t *config = migration->config;
    return config->may_commit != NULL ? config->may_commit(config->user_ctx) : sr_system_supply_is_steady();
}

static void on_retry(void *context)
{
    sr_migration_tell(context, ESP_SELF_REFLASHER_EVENT_RETRY);
}

static esp_err_t check_arguments(const esp_self_reflasher_bundle_config_t *config, const sr_system_t *system)
{
    const bool unsigned_ok = (config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED) != 0;
    const sr_region_t embedded = {config->embedded.region_address, (uint32_t)config->embedded.region_size};
    if (config->public_key == NULL && !unsigned_ok) {
        ESP_LOGE(TAG, "refused: neither a public key nor ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED");
        return ESP_ERR_INVALID_ARG;
    }
    if (config->http_config == NULL &&
        (config->embedded.region_size == 0 || config->embedded.region_size > UINT32_MAX ||
         !sr_region_fits(embedded, system->flash.size))) {
        ESP_LOGE(TAG, "refused: bundle at 0x%" PRIx32 " of %zu bytes is not inside the flash of 0x%" PRIx32,
                 embedded.address, config->embedded.region_size, system->flash.size);
        return ESP_ERR_INVALID_ARG;
    }
    return ESP_OK;
}

static esp_err_t open_source(sr_migration_t *migration)
{
    const esp_self_reflasher_bundle_config_t *config = migration->config;
    migration->input.source = (sr_source_t){
        .http = config->http_config,
        .stall_ms = config->stall_timeout_ms,
        .allow_http = (config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_HTTP_REDIRECT) != 0,
        .flash = migration->system.flash,
        .region = {config->embedded.region_address, (uint32_t)config->embedded.region_size},
        .max_retries = config->max_retries != 0 ? config->max_retries : DEFAULT_RETRIES,
        .on_retry = on_retry,
        .retry_context = migration,
    };
    return sr_source_open(&migration->input.source);
}

static esp_self_reflasher_refusal_t refusal_of(sr_bundle_status_t status)
{
    switch (status) {
    case SR_BUNDLE_NOT_SIGNED:
    case SR_BUNDLE_OTHER_KEY:
    case SR_BUNDLE_BAD_SIGNATURE:
    case SR_BUNDLE_BAD_KEY:
    case SR_BUNDLE_CRYPTO_FAILED:
        return ESP_SELF_REFLASHER_REFUSED_SIGNATURE;
    default:
        return ESP_SELF_REFLASHER_REFUSED_FORMAT;
    }
}

static esp_err_t admit(sr_migration_t *migration)
{
    char text[sizeof(migration->plan->refusal_text)];
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    migration->plan->sequence = bundle->sequence;
    if (bundle->min_flash_size > migration->system.flash.size) { /* Otherwise there is no need for a larger map. */
        sr_flash_size_extend(&migration->system.flash);
    }
    const esp_self_reflasher_refusal_t refusal =
        sr_admit(bundle, &migration->system, migration->config->min_sequence, text, sizeof(text));
    return refusal == ESP_SELF_REFLASHER_REFUSED_NOT ? ESP_OK : sr_migration_refuse(migration, refusal, "%s", text);
}

static esp_err_t allocate(sr_migration_t *migration)
{
    const uint32_t sectors = migration->system.flash.size / SR_SECTOR_SIZE;
    migration->buffers = heap_caps_malloc(sizeof(*migration->buffers), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    migration->scan.map =
        (sr_map_t){.flags = heap_caps_calloc(sectors, sizeof(sr_map_flags_t), MALLOC_CAP_8BIT),
                   .count = sectors,
                   .row = migration->system.flash.encryption ? migration->system.chip->encryption_row : SR_PAGE_SIZE};
    if (migration->buffers == NULL || migration->scan.map.flags == NULL) {
        return ESP_ERR_NO_MEM;
    }
    migration->run.journal =
        (sr_journal_t){.flash = &migration->system.flash, .address = SR_NO_ADDRESS, .list = migration->buffers->list};
    migration->target = migration->system.flash;
    migration->writer = (sr_writer_t){.flash = &migration->target,
                                      .readback = migration->buffers->readback,
                                      .attempts = SR_WRITER_ATTEMPTS,
                                      .yield = sr_yield};
    return ESP_OK;
}

static esp_err_t load_manifest(sr_migration_t *migration)
{
    const esp_self_reflasher_bundle_config_t *config = migration->config;
    const bool unsigned_ok = (config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED) != 0;
    const esp_err_t err =
        sr_manifest_load(&migration->input.manifest, &migration->input.source, config->public_key, unsigned_ok);
    if (err == ESP_ERR_SELF_REFLASHER_REFUSED) {
        const sr_bundle_status_t status = migration->input.manifest.status;
        return sr_migration_refuse(migration, refusal_of(status), "%s", sr_bundle_status_text(status));
    }
    return err == ESP_OK ? admit(migration) : err;
}

esp_err_t sr_migration_open(sr_migration_t *migration, const esp_self_reflasher_bundle_config_t *config,
                            esp_self_reflasher_plan_t *plan)
{
    *migration = (sr_migration_t){
        .config = config, .plan = plan, .scan.mark_found = SR_NO_ADDRESS, .choice.mark.address = SR_NO_ADDRESS};
    esp_err_t err = sr_system_read(&migration->system);
    if (err == ESP_OK) {
        err = check_arguments(config, &migration->system);
    }
    if (err == ESP_OK) {
        err = open_source(migration);
    }
    if (err == ESP_OK) {
        err = load_manifest(migration);
    }
    if (err == ESP_OK) {
        err = allocate(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_scan(migration);
    }
    return err;
}

void sr_migration_close(sr_migration_t *migration)
{
    sr_decoder_close(&migration->input.decoder);
    sr_manifest_free(&migration->input.manifest);
    sr_source_close(&migration->input.source);
    heap_caps_free(migration->run.journal.digests);
    heap_caps_free(migration->scan.moves.list);
    heap_caps_free(migration->scan.map.flags);
    heap_caps_free(migration->buffers);
    sr_flash_layout_free(migration->target.layout);
    migration->target.layout = NULL;
    migration->run.journal.digests = NULL;
    migration->scan.moves = (sr_moves_t){0};
    migration->scan.map.flags = NULL;
    migration->buffers = NULL;
}
