// SPDX-License-Identifier: Apache-2.0
/* Bundles for a chip that encrypts its flash: what is erased there does not read as blank, and a new table may encrypt
 * other regions than today's. */
#include "bundle/sr_migration_internal.h"

#include "flash/sr_flash_layout.h"
#include "format/sr_partition_table.h"
#include "format/sr_record.h"
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

/* In the new table, if there is another one: then of those that are encrypted. */
static esp_err_t find_home(const sr_migration_t *migration, home_t *home)
{
    if (migration->target.layout == NULL) {
        return sr_partition_visit(take_home, home);
    }
    const sr_flash_layout_part_t *part = sr_flash_layout_part(migration->target.layout, home->address);
    if (part != NULL) {
        home->region = part->region;
        home->is_app = part->is_app;
    }
    return ESP_OK;
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
    const esp_err_t err = find_home(migration, &home);
    *is_read = err == ESP_OK && home.region.size > 0 && sr_flash_encrypts(&migration->target, address) &&
               (!home.is_app || content_follows(migration, &home));
    return err;
}

static esp_err_t reads_as_blank(sr_migration_t *migration, uint32_t address, bool *blank)
{
    uint8_t *sector = migration->buffers->scratch;
    const esp_err_t err = sr_flash_read(&migration->target, address, sector, SR_SECTOR_SIZE);
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
    if (err == ESP_OK && !*right && sr_flash_encrypts(&migration->target, address)) {
        err = reads_as_blank(migration, address, right);
    }
    return err;
}

/* Which regions are encrypted is said by the table. Without one it is not known; and what lies in front of another one
 * would be encrypted by the new system alone. */
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
    return ESP_OK;
}

static bool is_other(const sr_migration_t *migration, uint32_t address)
{
    return sr_flash_encrypts(&migration->system.flash, address) != sr_flash_encrypts(&migration->target, address);
}

/* What was right by today's table need not be so by the new one; never the other way round, so that what was insisted
 * on stays. Nor does anything lie here that is read by both systems, as a record, a mark or a copy of the app. */
static esp_err_t compare_again(sr_migration_t *migration, uint32_t address)
{
    bool right = true;
    const sr_region_t sector = {address, SR_SECTOR_SIZE};
    const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
    const bool other = is_other(migration, address);
    const bool to_be_blank = (flags & (SR_MAP_TARGET | SR_MAP_CONTENT)) == SR_MAP_TARGET;
    esp_err_t err = ESP_OK;
    if (to_be_blank || (other && (flags & SR_MAP_CONTENT) != 0)) {
        err = sr_migration_sector_is_right(migration, address, &right);
    }
    sr_map_mark(&migration->scan.map, sector,
                (sr_map_flags_t)((right ? 0u : SR_MAP_WRONG) | (other ? SR_MAP_CLOSED_THEN : 0u)));
    return err;
}

esp_err_t sr_migration_adopt_layout(sr_migration_t *migration)
{
    const sr_region_t place = migration->system.boot_path.table;
    if (!migration->system.flash.encryption || (sr_map_at(&migration->scan.map, place.address) & SR_MAP_WRONG) == 0) {
        return ESP_OK;
    }
    const sr_partition_table_t *table = sr_migration_new_table(migration);
    if (table == NULL) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                   "flash encryption is on, and the new partition table at 0x%" PRIx32
                                   " cannot be read: it is not known what the chip would decrypt",
                                   place.address);
    }
    migration->target.layout = sr_flash_layout_of(table, place.address + SR_SECTOR_SIZE);
    esp_err_t err = migration->target.layout != NULL ? ESP_OK : ESP_ERR_NO_MEM;
    for (uint32_t i = 0; i < migration->scan.map.count && err == ESP_OK; i++) {
        err = compare_again(migration, i * SR_SECTOR_SIZE);
    }
    return err;
}

/* Data that stays where it is, and would be decrypted from then on, or not any more. */
esp_err_t sr_migration_check_kept(sr_migration_t *migration)
{
    for (uint32_t i = 0; i < migration->scan.map.count && migration->target.layout != NULL; i++) {
        const uint32_t address = i * SR_SECTOR_SIZE;
        const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
        const bool kept = (flags & (SR_MAP_TARGET | SR_MAP_CONTENT)) == 0;
        if (kept && !sr_map_is_blank(flags) && (flags & SR_MAP_DATA) != 0 && (flags & SR_MAP_NEW_DATA) != 0 &&
            is_other(migration, address)) {
            const bool then = sr_flash_encrypts(&migration->target, address);
            return sr_migration_refuse(
                migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                "flash encryption is on: the data at 0x%" PRIx32 " is %s today, and would be %s "
                "with the new partition table, to which it would be noise: bring it, move it, or "
                "keep its flag `encrypted`",
                address, then ? "plain" : "encrypted", then ? "encrypted" : "plain");
        }
    }
    return ESP_OK;
}

/* The first sector that the commit writes of this part of the boot path. */
static uint32_t first_of_group(const sr_migration_t *migration, sr_record_group_t wanted)
{
    for (uint32_t i = 0; i < migration->scan.map.count; i++) {
        sr_record_group_t group;
        if (sr_migration_group_of(migration, i * SR_SECTOR_SIZE, &group) && group == wanted) {
            return i * SR_SECTOR_SIZE;
        }
    }
    return SR_NO_ADDRESS;
}

/* Written after the bootloader are table and otadata; where the running app is in the way, the app, too. */
esp_err_t sr_migration_check_first_encryption(sr_migration_t *migration)
{
    const uint32_t table = first_of_group(migration, SR_RECORD_TABLE);
    const uint32_t later = table != SR_NO_ADDRESS ? table : first_of_group(migration, SR_RECORD_OTADATA);
    if (first_of_group(migration, SR_RECORD_BOOTLOADER) == SR_NO_ADDRESS) {
        return ESP_OK;
    }
    if (migration->plan->relocation != ESP_SELF_REFLASHER_RELOCATION_NONE) {
        return sr_migration_refuse(
            migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
            "the new bootloader encrypts the flash at its first start, and the running app is in "
            "the way of the bundle: bring this bootloader later, in a bundle of its own");
    }
    if (later != SR_NO_ADDRESS) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                   "the new bootloader encrypts the flash at its first start, which a power loss would "
                                   "bring about before 0x%" PRIx32
                                   " is written: bring this bootloader later, in a bundle of its own",
                                   later);
    }
    return ESP_OK;
}
