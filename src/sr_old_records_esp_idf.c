// SPDX-License-Identifier: Apache-2.0
#include "sr_migration_internal.h"

#include "self_reflasher_err.h"
#include "sr_image.h"

#include "esp_log.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

esp_err_t sr_migration_tell_record(const sr_migration_t *migration, esp_err_t err)
{
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "staging, sector 0x%" PRIx32 ": %s", migration->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static bool nobody_needs(const sr_migration_t *migration, sr_region_t region)
{
    for (uint32_t offset = 0; offset < region.size; offset += SR_SECTOR_SIZE) {
        const sr_region_t sector = {region.address + offset, SR_SECTOR_SIZE};
        const uint8_t flags = sr_map_at(&migration->map, sector.address);
        const bool right = (flags & (SR_MAP_TARGET | SR_MAP_CONTENT)) != 0 && (flags & SR_MAP_WRONG) == 0;
        const bool replaced = migration->recovery.needs_copy && sr_region_overlaps(migration->recovery.place, sector);
        const bool closed = (sr_map_closed(&migration->map, sector.address) & SR_MAP_CLOSED_NOW) != 0;
        if (closed || (right && (flags & SR_MAP_BLANK) == 0) || ((flags & SR_MAP_NEEDED) != 0 && !replaced)) {
            return false;
        }
    }
    return true;
}

/** What lies in the sectors that a record claims. */
typedef struct cover {
    const sr_flash_t *flash;
    sr_region_t record;
    bool has_app;
} cover_t;

static void look_at_app(void *context, const esp_partition_t *partition)
{
    cover_t *cover = context;
    sr_flash_window_t window;
    sr_image_t image;
    sr_app_desc_t desc;
    if (partition->type != ESP_PARTITION_TYPE_APP ||
        !sr_region_overlaps(cover->record, (sr_region_t){partition->address, SR_SECTOR_SIZE})) {
        return;
    }
    const sr_reader_t reader = sr_flash_reader(&window, cover->flash, partition->address, partition->size);
    cover->has_app |= sr_image_parse(&reader, &image) == SR_IMAGE_OK && sr_image_app_desc(&reader, &image, &desc) &&
                      sr_image_verify(&reader, &image, NULL) == SR_IMAGE_OK;
}

/* A mark that was left behind claims what has been written there since, too: a slot may have got an app meanwhile,
 * which is in no record that is worth anything. */
static esp_err_t may_erase(const sr_migration_t *migration, sr_region_t region, bool *may)
{
    cover_t cover = {.flash = &migration->system.flash, .record = region};
    *may = nobody_needs(migration, region);
    const esp_err_t err = *may ? sr_system_visit_partitions(look_at_app, &cover) : ESP_OK;
    *may = *may && !cover.has_app;
    return err;
}

/* Goes on to the next record that may be erased, from old->address on. */
static esp_err_t find(const sr_migration_t *migration, sr_stage_t *old, sr_region_t *place)
{
    esp_err_t err;
    bool may = false;
    while ((err = sr_stage_find(old)) == ESP_OK) {
        *place = (sr_region_t){old->address, (SR_STAGE_OVERHEAD + old->data_sectors) * SR_SECTOR_SIZE};
        err = may_erase(migration, *place, &may);
        if (err != ESP_OK || may) {
            break;
        }
        old->address += SR_SECTOR_SIZE;
    }
    return err;
}

esp_err_t sr_migration_mark_records(sr_migration_t *migration)
{
    sr_stage_t old = {.flash = &migration->system.flash};
    sr_region_t place;
    esp_err_t err;
    while ((err = find(migration, &old, &place)) == ESP_OK) {
        sr_map_mark(&migration->map, place, SR_MAP_BLANK);
        old.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}

esp_err_t sr_migration_discard_records(sr_migration_t *migration)
{
    sr_stage_t old = {.flash = &migration->system.flash};
    sr_region_t place;
    esp_err_t err;
    while ((err = find(migration, &old, &place)) == ESP_OK) {
        err = sr_migration_tell_record(migration,
                                       sr_stage_discard(&old, &migration->writer, migration->buffers->scratch));
        if (err != ESP_OK) {
            break;
        }
        old.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}
