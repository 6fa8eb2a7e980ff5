// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "esp_log.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

static bool is_written(const sr_map_t *map, sr_region_t region)
{
    bool wrong = false;
    for (uint32_t offset = 0; offset < region.size; offset += SR_SECTOR_SIZE) {
        wrong |= (sr_map_at(map, region.address + offset) & SR_MAP_WRONG) != 0;
    }
    return wrong;
}

/* From here on the recovery place is needed as much as the bootloader: nothing may be staged in its blank sectors. What
 * the bundle itself brings there is written like any other content, before the commit. */
static void keep_place(sr_map_t *map, sr_region_t place)
{
    for (uint32_t offset = 0; offset < place.size; offset += SR_SECTOR_SIZE) {
        if ((sr_map_at(map, place.address + offset) & SR_MAP_CONTENT) == 0) {
            sr_map_mark(map, (sr_region_t){place.address + offset, SR_SECTOR_SIZE}, SR_MAP_RECOVERY);
        }
    }
}

esp_err_t sr_migration_find_recovery(sr_migration_t *migration)
{
    const sr_boot_path_t *path = &migration->system.boot_path;
    sr_map_t *map = &migration->scan.map;
    const sr_reader_t after = sr_migration_target(migration);
    const uint32_t magic_at = migration->system.chip->bootloader_offset;
    if (!sr_recovery_is_unchanged(&migration->system, &after, path->recovery)) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_BOOTLOADER,
                                   "recovery bootloader at 0x%" PRIx32
                                   " started the chip, and other content must go there: restore 0x%" PRIx32 " first",
                                   path->recovery.address, magic_at);
    }
    /* Its first sector takes part in any change of the bootloader, so the bundle must have it. Where the app is
     * overwritten, nothing boots, with or without a recovery bootloader. */
    if (migration->choice.overwrite.size > 0 || !is_written(map, path->bootloader) ||
        (sr_map_at(map, magic_at) & SR_MAP_CONTENT) == 0) {
        return ESP_OK;
    }
    migration->choice.recovery = sr_recovery_find(&migration->system, &after, sr_migration_leaves_alone, migration);
    if (migration->choice.recovery.place.size == 0) {
        return ESP_OK;
    }
    ESP_LOGI(TAG, "recovery bootloader at 0x%" PRIx32 " stands in while the bootloader is written",
             migration->choice.recovery.place.address);
    keep_place(map, migration->choice.recovery.place);
    sr_map_mark(map, (sr_region_t){magic_at, SR_SECTOR_SIZE}, SR_MAP_WRONG);
    map->guarded = path->bootloader;
    migration->run.journal.header.guarded = true;
    migration->plan->recovery_address = migration->choice.recovery.place.address;
    return ESP_OK;
}
