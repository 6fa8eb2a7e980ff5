// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "self_reflasher_err.h"
#include "format/sr_digest.h"
#include "journal/sr_install_mark.h"

#include "esp_log.h"

#include <inttypes.h>
#include <string.h>

static const char *TAG = "self_reflasher";

/** What was found in the regions of the bundle that are always compared. */
typedef struct own {
    uint32_t content, content_wrong, blank_wrong;
} own_t;

static void count_region(const sr_migration_t *migration, sr_region_t place, own_t *own)
{
    for (uint32_t offset = 0; offset < place.size; offset += SR_SECTOR_SIZE) {
        const sr_map_flags_t flags = sr_map_at(&migration->scan.map, place.address + offset);
        const bool wrong = (flags & SR_MAP_WRONG) != 0;
        const bool content = (flags & SR_MAP_CONTENT) != 0;
        own->content += content;
        own->content_wrong += content && wrong;
        own->blank_wrong += !content && wrong;
    }
}

/* Blank sectors do not decide, unless there is nothing else: some may stay as they are under the old app, until the new
 * one erases them, and by then it has data of its own. */
static bool own_regions_are_right(const sr_migration_t *migration)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    own_t own = {0};
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        if (!region.initial) {
            count_region(migration, region.place, &own);
        }
    }
    return own.content_wrong == 0 && (own.content != 0 || own.blank_wrong == 0);
}

/* From here on what lies there is nobody's business but the new system's. */
static void settle(sr_migration_t *migration, sr_region_t place)
{
    for (uint32_t offset = 0; offset < place.size; offset += SR_SECTOR_SIZE) {
        const sr_region_t sector = {place.address + offset, SR_SECTOR_SIZE};
        sr_map_clear(&migration->scan.map, sector, SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG);
        migration->scan.settled++;
    }
}

/* Not where the running system needs the flash, nor where the bundle has content: there is no room for a mark, and what
 * looks like one is something else. */
static esp_err_t counts(const sr_migration_t *migration, uint32_t address, bool *yes)
{
    *yes = false;
    if ((sr_map_at(&migration->scan.map, address) & (SR_MAP_CONTENT | SR_MAP_NEEDED)) != 0) {
        return ESP_OK;
    }
    return sr_install_mark_counts(address, yes);
}

static esp_err_t find_mark(sr_migration_t *migration)
{
    sr_install_mark_t mark = {.address = 0};
    const sr_flash_t *flash = &migration->system.flash;
    esp_err_t err;
    while ((err = sr_install_mark_find(flash, mark.address, migration->buffers->scratch, &mark)) == ESP_OK) {
        bool yes = false;
        err = memcmp(mark.id, migration->choice.mark.id, sizeof(mark.id)) == 0 ? counts(migration, mark.address, &yes)
                                                                               : ESP_OK;
        if (yes) {
            migration->scan.mark_found = mark.address;
        }
        if (err != ESP_OK || yes) {
            return err;
        }
        mark.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}

/* A mark that was cut short is none, and may have taken the only sector: that sector can still be made one. Not where
 * flash is encrypted: there it looks like any other data. */
static esp_err_t find_torn_marks(sr_migration_t *migration)
{
    esp_err_t err = ESP_OK;
    sr_install_mark_t mark = migration->choice.mark;
    for (uint32_t i = 0; i < migration->scan.map.count && err == ESP_OK; i++) {
        bool fits = false;
        mark.address = i * SR_SECTOR_SIZE;
        const sr_map_flags_t flags = sr_map_at(&migration->scan.map, mark.address);
        if ((flags & (SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_NEEDED)) == 0 && !sr_map_is_blank(flags)) {
            err = sr_install_mark_fits(&migration->system.flash, &mark, migration->buffers->scratch, &fits);
        }
        sr_map_mark(&migration->scan.map, (sr_region_t){mark.address, SR_SECTOR_SIZE}, fits ? SR_MAP_RELEASED : 0);
    }
    return err;
}

/* Like data of the running system: nothing is written there, nothing moves there, and no record claims it. */
static void keep_from_use(sr_migration_t *migration, uint32_t address)
{
    const sr_region_t sector = {address, SR_SECTOR_SIZE};
    migration->scan.settled += (sr_map_at(&migration->scan.map, address) & SR_MAP_TARGET) != 0;
    sr_map_clear(&migration->scan.map, sector, SR_MAP_SCANNED);
    sr_map_mark(&migration->scan.map, sector, SR_MAP_MARK);
}

static esp_err_t identify(sr_migration_t *migration)
{
    uint8_t digest[SR_SHA256_SIZE];
    if (!sr_digest(migration->input.manifest.bytes, migration->input.manifest.bundle.manifest_size, digest)) {
        return ESP_FAIL;
    }
    memcpy(migration->choice.mark.id, digest, sizeof(migration->choice.mark.id));
    return ESP_OK;
}

esp_err_t sr_migration_find_installed(sr_migration_t *migration)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    migration->scan.has_initial = sr_bundle_has_initial(bundle);
    if (!migration->scan.has_initial) {
        return ESP_OK; /* Then it is installed as soon as nothing is wrong. */
    }
    esp_err_t err = identify(migration);
    if (err == ESP_OK) {
        err = find_mark(migration);
    }
    if (err != ESP_OK) {
        return err;
    }
    const bool right = own_regions_are_right(migration);
    if (migration->scan.mark_found != SR_NO_ADDRESS && right) {
        keep_from_use(migration, migration->scan.mark_found);
    } else if (migration->scan.mark_found != SR_NO_ADDRESS) {
        /* Nothing depends on it yet: its sector is as free as it was, and takes the new one. */
        sr_map_mark(&migration->scan.map, (sr_region_t){migration->scan.mark_found, SR_SECTOR_SIZE}, SR_MAP_RELEASED);
        migration->scan.mark_found = SR_NO_ADDRESS;
    }
    migration->scan.installed = right && migration->scan.mark_found == SR_NO_ADDRESS;
    for (uint32_t i = 0; migration->scan.installed && i < bundle->region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        if (region.initial) {
            settle(migration, region.place);
        }
    }
    return migration->scan.installed ? ESP_OK : find_torn_marks(migration);
}

bool sr_migration_needs_mark(const sr_migration_t *migration)
{
    return migration->scan.has_initial && !migration->scan.installed;
}

/* True if the record finds a place beside a mark at @p address. */
static bool record_fits_beside(sr_migration_t *migration, uint32_t address, uint32_t sectors)
{
    const sr_map_flags_t before = sr_map_at(&migration->scan.map, address);
    sr_map_mark(&migration->scan.map, (sr_region_t){address, SR_SECTOR_SIZE}, SR_MAP_MARK);
    const bool fits = sr_migration_find_place(migration, &sectors) != SR_NO_ADDRESS;
    sr_map_put(&migration->scan.map, address, before);
    return fits;
}

/* The highest place that leaves room for the record; if there is none, the mark takes precedence: a commit from RAM
 * needs it even more. */
static uint32_t find_place_for_mark(sr_migration_t *migration)
{
    sr_map_summary_t summary;
    sr_map_summarize(&migration->scan.map, &migration->input.manifest.bundle, &summary);
    const uint32_t best = sr_map_find_mark(&migration->scan.map, UINT32_MAX);
    const uint32_t sectors = sr_record_manifest_sectors(sr_migration_manifest_size(migration)) + summary.staged;
    uint32_t place = best;
    while (place != SR_NO_ADDRESS && !record_fits_beside(migration, place, sectors)) {
        place = sr_map_find_mark(&migration->scan.map, place);
    }
    return place != SR_NO_ADDRESS ? place : best;
}

esp_err_t sr_migration_reserve_mark(sr_migration_t *migration)
{
    bool place_is_good;
    if (!sr_migration_needs_mark(migration)) {
        return ESP_OK;
    }
    if (migration->choice.overwrite.size > 0) {
        place_is_good = (sr_map_at(&migration->scan.map, migration->choice.mark.address) & SR_MAP_NEW_USE) == 0;
    } else if (migration->scan.mark_found != SR_NO_ADDRESS) {
        migration->choice.mark.address = migration->scan.mark_found;
        return ESP_OK;
    } else {
        migration->choice.mark.address = find_place_for_mark(migration);
        place_is_good = migration->choice.mark.address != SR_NO_ADDRESS;
    }
    if (!place_is_good) {
        migration->plan->bytes_missing = SR_SECTOR_SIZE;
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_NO_ROOM,
                                   "no sector of flash (4096 bytes) is free to note that the installation is not done: "
                                   "a power loss could leave data of the old system for good; a bundle in which all is "
                                   "compared (pack --always) needs no note");
    }
    if (migration->choice.overwrite.size == 0) {
        keep_from_use(migration, migration->choice.mark.address);
    }
    return ESP_OK;
}

static esp_err_t tell(const sr_migration_t *migration, esp_err_t err)
{
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "mark of the installation, sector 0x%" PRIx32 ": %s", migration->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static bool is_own(const sr_migration_t *migration, const sr_install_mark_t *mark)
{
    return migration->choice.mark.address != SR_NO_ADDRESS &&
           memcmp(mark->id, migration->choice.mark.id, sizeof(mark->id)) == 0;
}

/* Of attempts with other bundles, or done with. If they cannot be erased, they say nothing about this bundle. */
static esp_err_t clear_others(sr_migration_t *migration)
{
    sr_install_mark_t mark = {.address = 0};
    uint8_t *scratch = migration->buffers->scratch;
    esp_err_t err;
    while ((err = sr_install_mark_find(&migration->system.flash, mark.address, scratch, &mark)) == ESP_OK) {
        bool yes = mark.address == migration->scan.mark_found;
        if (!yes) {
            err = counts(migration, mark.address, &yes);
        }
        if (err == ESP_OK && yes && mark.address != migration->choice.mark.address) {
            const esp_err_t cleared = tell(migration, sr_install_mark_clear(&migration->writer, mark.address, scratch));
            err = is_own(migration, &mark) ? cleared : ESP_OK;
        }
        if (err != ESP_OK) {
            return err;
        }
        mark.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}

esp_err_t sr_migration_put_mark(sr_migration_t *migration)
{
    esp_err_t err = ESP_OK;
    if (migration->choice.mark.address != SR_NO_ADDRESS) {
        const sr_region_t sector = {migration->choice.mark.address, SR_SECTOR_SIZE};
        sr_map_clear(&migration->scan.map, sector, SR_MAP_SCANNED | SR_MAP_RELEASED);
        sr_map_mark(&migration->scan.map, sector, SR_MAP_MARK);
        err = sr_install_mark_put(&migration->writer, &migration->choice.mark, migration->buffers->scratch);
    }
    return err == ESP_OK ? clear_others(migration) : tell(migration, err);
}

esp_err_t sr_migration_void_mark(sr_migration_t *migration)
{
    if (migration->choice.mark.address == SR_NO_ADDRESS) {
        return ESP_OK;
    }
    return tell(migration,
                sr_install_mark_void(&migration->writer, migration->choice.mark.address, migration->buffers->scratch));
}

esp_err_t sr_migration_clear_mark(sr_migration_t *migration)
{
    const uint32_t address =
        migration->choice.mark.address != SR_NO_ADDRESS ? migration->choice.mark.address : migration->scan.mark_found;
    if (address == SR_NO_ADDRESS) {
        return ESP_OK;
    }
    return tell(migration, sr_install_mark_clear(&migration->writer, address, migration->buffers->scratch));
}
