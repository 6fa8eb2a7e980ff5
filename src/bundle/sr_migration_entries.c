// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

static bool in_region(sr_region_t region, uint32_t address)
{
    return sr_region_overlaps(region, (sr_region_t){address, SR_SECTOR_SIZE});
}

/* Part of the commit that a wrong sector of the boot path belongs to. What moves to the place of the old otadata is
 * written with the bootloader: as soon as the new table is there, another app may run, and that would not finish
 * anything. Content that only shares the block, such as the end of a bootloader that is longer than the old one, is
 * written with the bootloader, too. */
static sr_record_group_t boot_group_of(const sr_migration_t *migration, uint32_t address)
{
    const sr_boot_path_t *path = &migration->system.boot_path;
    const sr_map_flags_t flags = sr_map_at(&migration->map, address);
    if (in_region(path->table, address)) {
        return SR_RECORD_TABLE;
    }
    if (in_region(path->otadata, address) && !sr_map_is_moved(flags)) {
        return SR_RECORD_OTADATA;
    }
    const bool with_bootloader = in_region(path->bootloader, address) || (flags & SR_MAP_CONTENT) != 0;
    return with_bootloader ? SR_RECORD_BOOTLOADER : SR_RECORD_NEIGHBOURS;
}

bool sr_migration_group_of(const sr_migration_t *migration, uint32_t address, sr_record_group_t *group)
{
    const sr_map_flags_t flags = sr_map_at(&migration->map, address);
    const bool wrong = (flags & SR_MAP_WRONG) != 0;
    if ((flags & SR_MAP_COMMITTED) != 0) {
        /* Of those that are right in a claimed block, the commit holds what the bundle wants: to be blank. What else is
         * blank there is nobody's, and so no record vouches for it. */
        *group = wrong ? boot_group_of(migration, address) : SR_RECORD_NEIGHBOURS;
        return wrong || ((flags & SR_MAP_CLAIMED) != 0 && (flags & SR_MAP_TARGET) != 0);
    }
    *group = SR_RECORD_DATA;
    return wrong && (flags & SR_MAP_OLD_DATA) != 0;
}

static esp_err_t list_sector(sr_migration_t *migration, uint32_t address, sr_record_group_t group)
{
    const sr_map_flags_t flags = sr_map_at(&migration->map, address);
    const bool blank = (flags & SR_MAP_CONTENT) == 0;
    const sr_record_entry_t entry = {.address = address, .sectors = 1, .group = group, .blank = blank};
    /* An entry is of one kind, so that what moves can be compared with its source. */
    const bool like_the_last =
        address > 0 && sr_map_is_moved(flags) == sr_map_is_moved(sr_map_at(&migration->map, address - SR_SECTOR_SIZE));
    return like_the_last && sr_journal_extend(&migration->journal, group, address, blank)
               ? ESP_OK
               : sr_journal_add(&migration->journal, &entry);
}

esp_err_t sr_migration_list_groups(sr_migration_t *migration, sr_record_group_t first)
{
    sr_journal_start(&migration->journal, sr_migration_manifest_size(migration));
    for (unsigned group = first; group <= SR_RECORD_OTADATA; group++) {
        for (uint32_t i = 0; i < migration->map.count; i++) {
            sr_record_group_t mine;
            if (!sr_migration_group_of(migration, i * SR_SECTOR_SIZE, &mine) || mine != group) {
                continue;
            }
            const esp_err_t err = list_sector(migration, i * SR_SECTOR_SIZE, mine);
            if (err != ESP_OK) {
                return err;
            }
        }
    }
    return ESP_OK;
}

uint32_t sr_migration_manifest_size(const sr_migration_t *migration)
{
    return migration->manifest.bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
}

uint32_t sr_migration_find_place(const sr_migration_t *migration, uint32_t *sectors)
{
    const bool slots_are_known = migration->manifest.bundle.partition_table_offset != SR_BUNDLE_NO_TABLE;
    return sr_map_find_record(&migration->map, SR_RECORD_OVERHEAD, slots_are_known, sectors);
}

esp_err_t sr_migration_list_entries(sr_migration_t *migration, bool *data_is_staged)
{
    uint32_t sectors;
    *data_is_staged = sr_migration_list_groups(migration, SR_RECORD_DATA) == ESP_OK;
    sectors = migration->journal.header.sectors;
    *data_is_staged = *data_is_staged && sr_migration_find_place(migration, &sectors) != SR_NO_ADDRESS;
    return *data_is_staged ? ESP_OK : sr_migration_list_groups(migration, SR_RECORD_NEIGHBOURS);
}
