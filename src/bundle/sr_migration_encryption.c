// SPDX-License-Identifier: Apache-2.0
/* Bundles for a chip that encrypts its flash: what is erased there does not read as blank. */
#include "bundle/sr_migration_internal.h"

#include "format/sr_partition_table.h"
#include "system/sr_partition.h"

#include <inttypes.h>

/** A search for the partition that a sector lies in. */
typedef struct home {
    uint32_t address;
    sr_region_t region; /**< Empty: none. */
    bool is_app;
} home_t;

static void take_home(void *context, const esp_partition_t *partition)
{
    home_t *home = context;
    const sr_region_t region = sr_partition_region(partition);
    if (sr_region_overlaps(region, (sr_region_t){home->address, 1})) {
        home->region = region;
        home->is_app = partition->type == ESP_PARTITION_TYPE_APP;
    }
}

/* Blank sectors in front of content are part of an app, as far as a manifest can tell. Nobody reads those after it. */
static bool content_follows(const sr_migration_t *migration, const home_t *home)
{
    const uint64_t end = (uint64_t)home->region.address + home->region.size;
    for (uint64_t at = (uint64_t)home->address + SR_SECTOR_SIZE; at < end; at += SR_SECTOR_SIZE) {
        if (sr_migration_wanted(migration, (uint32_t)at).kind == SR_MOVES_WANTED_CONTENT) {
            return true;
        }
    }
    return false;
}

esp_err_t sr_migration_blank_is_read(const sr_migration_t *migration, uint32_t address, bool *is_read)
{
    home_t home = {.address = address};
    const sr_region_t table = migration->system.boot_path.table;
    *is_read = migration->system.flash.encryption && address < table.address + table.size;
    if (!migration->system.flash.encryption || *is_read) {
        return ESP_OK;
    }
    const esp_err_t err = sr_partition_visit(take_home, &home);
    *is_read = err == ESP_OK && home.region.size > 0 && sr_flash_encrypts(&migration->system.flash, address) &&
               (!home.is_app || content_follows(migration, &home));
    return err;
}

static esp_err_t reads_as_blank(sr_migration_t *migration, uint32_t address, bool *blank)
{
    uint8_t *sector = migration->buffers->scratch;
    const esp_err_t err = sr_flash_read(&migration->system.flash, address, sector, SR_SECTOR_SIZE);
    *blank = err == ESP_OK;
    for (uint32_t i = 0; i < SR_SECTOR_SIZE && *blank; i++) {
        *blank = sector[i] == 0xFF;
    }
    return err;
}

/* Where nobody reads it, a sector may also hold what a tool that encrypts wrote there. */
esp_err_t sr_migration_is_blank(sr_migration_t *migration, uint32_t address, bool *right)
{
    bool is_read = false;
    esp_err_t err = sr_migration_blank_is_read(migration, address, &is_read);
    *right = false;
    if (err == ESP_OK && !is_read) {
        err = sr_writer_is_blank(&migration->writer, address, right);
    }
    if (err == ESP_OK && !*right && sr_flash_encrypts(&migration->system.flash, address)) {
        err = reads_as_blank(migration, address, right);
    }
    return err;
}

/* Bootloaders read from the table which regions are encrypted, and so does this code, from today's. Another one
 * might say something else of what the bundle brings, of the record, or of the app that goes on after a cut. */
esp_err_t sr_migration_check_encryption(sr_migration_t *migration)
{
    const uint32_t now = migration->system.boot_path.table.address;
    const uint32_t then = migration->input.manifest.bundle.partition_table_offset;
    if (!migration->system.flash.encryption) {
        return ESP_OK;
    }
    if (then == SR_BUNDLE_NO_TABLE) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                   "flash encryption is on, and the bundle's system has no partition table: it is not "
                                   "known what the chip would decrypt");
    }
    if (then != now) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                   "flash encryption is on: the partition table cannot go from 0x%" PRIx32
                                   " to 0x%" PRIx32 ", where today's system does not encrypt",
                                   now, then);
    }
    if ((sr_map_at(&migration->scan.map, now) & SR_MAP_WRONG) != 0) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                   "flash encryption is on: the partition table at 0x%" PRIx32 " cannot be changed",
                                   now);
    }
    return ESP_OK;
}
