// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "format/sr_digest.h"
#include "port/sr_yield.h"

#include "esp_log.h"
#include "sdkconfig.h"

#include <inttypes.h>
#include <string.h>

#if CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
static const char *TAG = "self_reflasher";

static bool goes_over_app(sr_map_flags_t flags)
{
    return (flags & SR_MAP_RUNNING_APP) != 0 && (flags & SR_MAP_WRONG) != 0;
}

/* Of what lies between sectors that change, only what is to be blank does not wait. */
static bool is_to_be_blank(sr_map_flags_t flags)
{
    return (flags & SR_MAP_TARGET) != 0 && (flags & SR_MAP_CONTENT) == 0;
}

/** What has to change under the running app. */
typedef struct extent {
    uint32_t first, end;  /**< Sectors. */
    uint32_t content_end; /**< After the last one that is not to be blank. */
    uint32_t erases, programs;
} extent_t;

static extent_t measure(const sr_map_t *map)
{
    extent_t extent = {.first = UINT32_MAX};
    for (uint32_t i = 0; i < map->count; i++) {
        const sr_map_flags_t flags = map->flags[i];
        if (!goes_over_app(flags)) {
            continue;
        }
        extent.first = extent.first == UINT32_MAX ? i : extent.first;
        extent.end = i + 1;
        extent.erases += !sr_map_is_blank(flags);
        extent.programs += (flags & SR_MAP_CONTENT) != 0;
    }
    extent.content_end = extent.end;
    while (extent.content_end > extent.first && is_to_be_blank(map->flags[extent.content_end - 1])) {
        extent.content_end--;
    }
    return extent;
}

static uint32_t content_size(const extent_t *extent)
{
    return (extent->content_end - extent->first) * SR_SECTOR_SIZE;
}

/* With the mark that the installation is not done, if it needs one: what is left over is erased as one region. */
static uint32_t record_sectors(const sr_migration_t *migration, uint32_t content)
{
    return SR_RECORD_OVERHEAD + content / SR_SECTOR_SIZE + (sr_migration_needs_mark(migration) ? 1u : 0u);
}

uint32_t sr_migration_in_place_needs(const sr_migration_t *migration)
{
    const extent_t extent = measure(&migration->scan.map);
    return record_sectors(migration, content_size(&extent)) * SR_SECTOR_SIZE;
}

void sr_migration_in_place_plan(sr_migration_t *migration)
{
    esp_self_reflasher_plan_t *plan = migration->plan;
    const extent_t extent = measure(&migration->scan.map);
    const sr_map_reach_t reach = sr_migration_reach(migration);
    migration->choice.overwrite =
        (sr_region_t){extent.first * SR_SECTOR_SIZE, (extent.end - extent.first) * SR_SECTOR_SIZE};
    migration->choice.overwrite_content = content_size(&extent);
    migration->choice.overwrite_from =
        sr_map_find_free(&migration->scan.map, &reach, record_sectors(migration, migration->choice.overwrite_content));
    if (sr_migration_needs_mark(migration)) {
        const uint32_t sectors = record_sectors(migration, migration->choice.overwrite_content);
        migration->choice.mark.address = migration->choice.overwrite_from + (sectors - 1) * SR_SECTOR_SIZE;
    }
    plan->relocation = ESP_SELF_REFLASHER_RELOCATION_IN_PLACE;
    sr_map_times(&migration->scan.map, extent.erases, extent.programs, &plan->relocation_ms_typical,
                 &plan->relocation_ms_maximum);
}

static uint32_t waiting_at(const sr_migration_t *migration, uint32_t address)
{
    return migration->choice.overwrite_from + SR_RECORD_OVERHEAD * SR_SECTOR_SIZE +
           (address - migration->choice.overwrite.address);
}

/* What a sector of the range must hold. One that does not change waits, too, so that the range has no gaps. */
static esp_err_t get_sector(sr_migration_t *migration, uint32_t address, uint8_t **data)
{
    uint32_t index = 0;
    *data = migration->buffers->scratch;
    if (!goes_over_app(sr_map_at(&migration->scan.map, address))) {
        return sr_flash_read(&migration->system.flash, address, *data, SR_SECTOR_SIZE);
    }
    if (sr_bundle_want(&migration->input.manifest.bundle, address, &index) == SR_BUNDLE_CONTENT) {
        return sr_decoder_get(&migration->input.decoder, index, 0, data);
    }
    memset(*data, 0xFF, SR_SECTOR_SIZE);
    return ESP_OK;
}

/* Reads it once more, when all of it is in flash: from here on nothing else vouches for it. */
static esp_err_t confirm(sr_migration_t *migration)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint8_t *scratch = migration->buffers->scratch;
    esp_err_t err = ESP_OK;
    for (uint32_t offset = 0; offset < migration->choice.overwrite_content && err == ESP_OK; offset += SR_SECTOR_SIZE) {
        uint32_t index = 0;
        const uint32_t address = migration->choice.overwrite.address + offset;
        if (!goes_over_app(sr_map_at(&migration->scan.map, address)) ||
            sr_bundle_want(&migration->input.manifest.bundle, address, &index) != SR_BUNDLE_CONTENT) {
            continue;
        }
        sr_yield(SR_SECTOR_SIZE);
        err = sr_flash_read(&migration->system.flash, waiting_at(migration, address), scratch, SR_SECTOR_SIZE);
        if (err == ESP_OK &&
            (!sr_digest(scratch, SR_SECTOR_SIZE, digest) ||
             memcmp(digest, sr_bundle_digest(&migration->input.manifest.bundle, index), SR_BUNDLE_DIGEST_SIZE) != 0)) {
            ESP_LOGE(TAG, "sector 0x%" PRIx32 " does not hold what was staged", waiting_at(migration, address));
            err = ESP_ERR_SELF_REFLASHER_VERIFY;
        }
    }
    return err;
}

esp_err_t sr_migration_in_place_stage(sr_migration_t *migration)
{
    /* Its mark lets the next start clean up after a cut; without a seal it is never taken for the last step. */
    sr_journal_t record = {.flash = &migration->system.flash,
                           .header = {.sectors = migration->choice.overwrite_content / SR_SECTOR_SIZE}};
    const uint32_t sectors = record_sectors(migration, migration->choice.overwrite_content);
    if (migration->choice.mark.address == SR_NO_ADDRESS) { /* Else it lies where it was planned, with the mark. */
        const sr_map_reach_t reach = sr_migration_reach(migration);
        migration->choice.overwrite_from = sr_map_find_free(&migration->scan.map, &reach, sectors);
    }
    if (migration->choice.overwrite_from == SR_NO_ADDRESS) {
        return ESP_ERR_INVALID_STATE;
    }
    esp_err_t err = sr_migration_tell_record(
        migration,
        sr_journal_open(&record, &migration->writer, migration->choice.overwrite_from, migration->buffers->scratch));
    migration->plan->staging_address = migration->choice.overwrite_from;
    migration->run.progress.sectors_done = 0;
    migration->run.progress.sectors_total = record.header.sectors;
    for (uint32_t i = 0; i < record.header.sectors && err == ESP_OK; i++) {
        uint8_t *data;
        sr_yield(SR_YIELD_WRITE);
        err = get_sector(migration, migration->choice.overwrite.address + i * SR_SECTOR_SIZE, &data);
        if (err == ESP_OK) {
            err = sr_migration_tell_record(migration, sr_journal_put(&record, &migration->writer, i, data));
        }
        migration->run.progress.sectors_done++;
    }
    sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_STAGE);
    return err == ESP_OK ? confirm(migration) : err;
}

esp_err_t sr_migration_in_place_execute(sr_migration_t *migration, const sr_boot_path_buffer_t *buffer,
                                        sr_copy_workspace_t *workspace)
{
    sr_copy_t copy = {.flash = migration->system.flash,
                      .source = waiting_at(migration, migration->choice.overwrite.address),
                      .length = migration->choice.overwrite_content,
                      .destination = migration->choice.overwrite,
                      .leftover = {migration->choice.overwrite_from,
                                   record_sectors(migration, migration->choice.overwrite_content) * SR_SECTOR_SIZE},
                      .buffer = *buffer,
                      .workspace = workspace};
    ESP_LOGW(TAG, "overwriting %" PRIu32 " bytes of the running app from RAM; ends in a reset",
             migration->choice.overwrite.size);
    return sr_copy_execute_in_place(&copy);
}
#else
uint32_t sr_migration_in_place_needs(const sr_migration_t *migration)
{
    (void)migration;
    return 0;
}

void sr_migration_in_place_plan(sr_migration_t *migration)
{
    (void)migration;
}

esp_err_t sr_migration_in_place_stage(sr_migration_t *migration)
{
    (void)migration;
    return ESP_ERR_NOT_SUPPORTED;
}

esp_err_t sr_migration_in_place_execute(sr_migration_t *migration, const sr_boot_path_buffer_t *buffer,
                                        sr_copy_workspace_t *workspace)
{
    (void)migration;
    (void)buffer;
    (void)workspace;
    return ESP_ERR_NOT_SUPPORTED;
}
#endif
