// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "self_reflasher_err.h"
#include "flash/sr_flash_reader.h"
#include "format/sr_image.h"
#include "system/sr_partition.h"

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
        const sr_map_flags_t flags = sr_map_at(&migration->map, sector.address);
        const bool right = (flags & (SR_MAP_TARGET | SR_MAP_CONTENT)) != 0 && (flags & SR_MAP_WRONG) == 0;
        const bool replaced = migration->recovery.needs_copy && sr_region_overlaps(migration->recovery.place, sector);
        const bool closed = (flags & SR_MAP_CLOSED_NOW) != 0;
        if (closed || (right && !sr_map_is_blank(flags)) || ((flags & SR_MAP_NEEDED) != 0 && !replaced)) {
            return false;
        }
    }
    return true;
}

/** What lies around the mark of a record, and in the sectors that it claims. */
typedef struct cover {
    const sr_flash_t *flash;
    sr_region_t record; /**< Only gets smaller. */
    bool has_app;
} cover_t;

/* A mark proves nothing: whoever can write 20 bytes somewhere could claim all that follows. So it counts only to the
 * end of its own partition, or up to the next one if it lies in none: its writer could have written there as well. */
static void stay_in_partition(void *context, const esp_partition_t *partition)
{
    cover_t *cover = context;
    const sr_region_t place = sr_partition_region(partition);
    const uint64_t end = (uint64_t)place.address + place.size;
    const uint32_t mark = cover->record.address;
    const uint64_t limit = mark < place.address ? place.address : mark < end ? end : UINT64_MAX;
    const uint64_t claimed_end = (uint64_t)mark + cover->record.size;
    if (place.size > 0 && limit < claimed_end) {
        cover->record.size = (uint32_t)(limit - mark) & ~(SR_SECTOR_SIZE - 1u);
    }
}

static void look_at_app(void *context, const esp_partition_t *partition)
{
    cover_t *cover = context;
    sr_flash_reader_window_t window;
    sr_image_t image;
    sr_image_app_desc_t desc;
    if (partition->type != ESP_PARTITION_TYPE_APP ||
        !sr_region_overlaps(cover->record, sr_partition_region(partition))) {
        return;
    }
    const sr_reader_t reader = sr_flash_reader(&window, cover->flash, partition->address, partition->size);
    cover->has_app |= sr_image_parse(&reader, &image) == SR_IMAGE_OK &&
                      sr_region_overlaps(cover->record, (sr_region_t){partition->address, image.length}) &&
                      sr_image_app_desc(&reader, &image, &desc) &&
                      sr_image_verify(&reader, &image, NULL) == SR_IMAGE_OK;
}

/* A mark that was left over also claims what has been written there since: a slot may hold an app by now, which no
 * record worth anything contains. */
static esp_err_t may_erase(const sr_migration_t *migration, sr_region_t *region, bool *may)
{
    cover_t cover = {.flash = &migration->system.flash, .record = *region};
    esp_err_t err = sr_partition_visit(stay_in_partition, &cover);
    *may = err == ESP_OK && nobody_needs(migration, cover.record);
    if (*may) {
        err = sr_partition_visit(look_at_app, &cover);
    }
    *may = *may && !cover.has_app;
    *region = cover.record;
    return err;
}

/* Goes on to the next record that may be erased, from old->address on. */
static esp_err_t find(const sr_migration_t *migration, sr_journal_t *old)
{
    esp_err_t err;
    bool may = false;
    while ((err = sr_journal_find(old)) == ESP_OK) {
        sr_region_t place = sr_journal_place(old);
        err = may_erase(migration, &place, &may);
        if (err != ESP_OK || may) {
            const uint32_t sectors = place.size / SR_SECTOR_SIZE;
            old->header.sectors = sectors > SR_RECORD_OVERHEAD ? sectors - SR_RECORD_OVERHEAD : 0;
            break;
        }
        old->address += SR_SECTOR_SIZE;
    }
    return err;
}

esp_err_t sr_migration_mark_records(sr_migration_t *migration)
{
    sr_journal_t old = {.flash = &migration->system.flash};
    esp_err_t err;
    while ((err = find(migration, &old)) == ESP_OK) {
        sr_map_mark(&migration->map, sr_journal_place(&old), SR_MAP_RELEASED);
        old.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}

/* One that cannot be erased, because its flash has failed or must not be written, is no reason to stop: at worst it
 * writes what a signed manifest says, and only if all else is as that manifest says, too. But its place is not free. */
static esp_err_t discard(sr_migration_t *migration, const sr_journal_t *old)
{
    const esp_err_t err = sr_journal_discard(old, &migration->writer, migration->buffers->scratch);
    if (err == ESP_OK) {
        return ESP_OK;
    }
    (void)sr_migration_tell_record(migration, err);
    ESP_LOGW(TAG, "an old record at 0x%" PRIx32 " cannot be erased, and stays", old->address);
    return sr_migration_rescan(migration, sr_journal_place(old));
}

esp_err_t sr_migration_discard_records(sr_migration_t *migration)
{
    sr_journal_t old = {.flash = &migration->system.flash};
    esp_err_t err;
    while ((err = find(migration, &old)) == ESP_OK) {
        err = discard(migration, &old);
        if (err != ESP_OK) {
            break;
        }
        old.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}
