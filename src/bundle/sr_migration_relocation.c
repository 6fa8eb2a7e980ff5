// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "relocate/sr_relocate.h"
#include "relocate/sr_temporary_table.h"
#include "system/sr_partition.h"

#include "esp_log.h"
#include "sdkconfig.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

/* A sector that shall be blank may stay as it is under the app, where no data of the new system and no gap in its app
 * is. What the new system has where can only be told by a table. */
static bool may_stay(const sr_migration_t *migration, uint8_t flags)
{
    return migration->new_data_is_known && (flags & SR_MAP_TARGET) != 0 &&
           (flags & (SR_MAP_CONTENT | SR_MAP_NEW_DATA)) == 0;
}

static bool is_in_the_way(uint8_t flags)
{
    return (flags & SR_MAP_RUNNING_APP) != 0 && (flags & SR_MAP_WRONG) != 0;
}

static bool all_may_stay(const sr_migration_t *migration)
{
    for (uint32_t i = 0; i < migration->map.count; i++) {
        const uint8_t flags = migration->map.flags[i];
        if (is_in_the_way(flags) && !may_stay(migration, flags)) {
            return false;
        }
    }
    return true;
}

static bool holds_bundle(const sr_migration_t *migration, sr_region_t room)
{
    const sr_region_t bundle = {migration->config->embedded.region_address, migration->manifest.bundle.bundle_size};
    return migration->config->http_config == NULL && sr_region_overlaps(room, bundle);
}

/* The copy may go where the target wants nothing: what it overwrites there would be written twice. Nor may it go over
 * the bundle, which is needed after the restart. */
bool sr_migration_leaves_alone(void *context, sr_region_t room)
{
    const sr_migration_t *migration = context;
    for (uint32_t offset = 0; offset < room.size; offset += SR_SECTOR_SIZE) {
        const uint8_t flags = sr_map_at(&migration->map, room.address + offset);
        if (sr_map_closed(&migration->map, room.address + offset) != 0 ||
            (flags & (SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_NEEDED)) != 0) {
            return false;
        }
    }
    return !holds_bundle(migration, room);
}

/* The next best: what it overwrites may stay overwritten. */
static bool gets_no_content(void *context, sr_region_t room)
{
    const sr_migration_t *migration = context;
    for (uint32_t offset = 0; offset < room.size; offset += SR_SECTOR_SIZE) {
        const uint8_t flags = sr_map_at(&migration->map, room.address + offset);
        if (sr_map_closed(&migration->map, room.address + offset) != 0 ||
            (flags & (SR_MAP_CONTENT | SR_MAP_NEEDED)) != 0 ||
            ((flags & SR_MAP_TARGET) != 0 && !may_stay(migration, flags))) {
            return false;
        }
    }
    return !holds_bundle(migration, room);
}

/* Not in a data partition of the new system, blank or not: the copy stays there. */
static sr_temporary_table_room_t classify_room(void *context, uint32_t address)
{
    const sr_migration_t *migration = context;
    const uint8_t flags = sr_map_at(&migration->map, address);
    if (sr_map_closed(&migration->map, address) != 0 ||
        (flags & (SR_MAP_CONTENT | SR_MAP_NEEDED | SR_MAP_NEW_DATA)) != 0 ||
        holds_bundle(migration, (sr_region_t){address, SR_SECTOR_SIZE}) ||
        ((flags & SR_MAP_TARGET) != 0 && !may_stay(migration, flags))) {
        return SR_TEMPORARY_TABLE_ROOM_TAKEN;
    }
    return (flags & (SR_MAP_TARGET | SR_MAP_BLANK)) != 0 ? SR_TEMPORARY_TABLE_ROOM_FREE : SR_TEMPORARY_TABLE_ROOM_OPEN;
}

/* From here on those sectors are none of the bundle's. */
static void leave_out(sr_migration_t *migration)
{
    for (uint32_t i = 0; i < migration->map.count; i++) {
        if (is_in_the_way(migration->map.flags[i])) {
            migration->map.flags[i] &= (uint8_t) ~(SR_MAP_TARGET | SR_MAP_WRONG);
            migration->left_out++;
        }
    }
    migration->plan->sectors_left = migration->left_out;
    ESP_LOGW(TAG, "%" PRIu32 " sectors that shall be blank stay as they are, under the running app",
             migration->left_out);
}

/* Those of the target that will lie under the app. */
static uint32_t count_target(const sr_migration_t *migration, uint32_t address)
{
    uint32_t count = 0;
    for (uint32_t offset = 0; offset < migration->system.boot_path.running_app.size; offset += SR_SECTOR_SIZE) {
        count += (sr_map_at(&migration->map, address + offset) & SR_MAP_TARGET) != 0;
    }
    return count;
}

static void take(sr_migration_t *migration, esp_self_reflasher_relocation_t relocation, uint32_t address)
{
    migration->plan->relocation = relocation;
    migration->plan->relocate_to = address;
    migration->plan->sectors_left = count_target(migration, address);
}

static esp_err_t take_slot(sr_migration_t *migration, sr_relocate_allowed_t allowed)
{
    const esp_err_t err = sr_relocate_find(&migration->system, allowed, migration, &migration->slot);
    if (migration->slot != NULL) {
        take(migration, ESP_SELF_REFLASHER_RELOCATION_SLOT, migration->slot->address);
    }
    return err;
}

#define OTADATA_SECTORS 2u /**< In use, however large its partition. */

/* To select the running app, there or here, writes otadata: what is right in it today need not be right then. */
static void change_otadata(sr_migration_t *migration, uint8_t before[OTADATA_SECTORS])
{
    const sr_region_t otadata = migration->system.boot_path.otadata;
    for (uint32_t i = 0; i < OTADATA_SECTORS && i * SR_SECTOR_SIZE < otadata.size; i++) {
        uint8_t *flags = &migration->map.flags[otadata.address / SR_SECTOR_SIZE + i];
        before[i] = *flags;
        *flags |= (*flags & (SR_MAP_TARGET | SR_MAP_CONTENT)) != 0 ? SR_MAP_WRONG : 0;
    }
}

static void restore_otadata(sr_migration_t *migration, const uint8_t before[OTADATA_SECTORS])
{
    const sr_region_t otadata = migration->system.boot_path.otadata;
    for (uint32_t i = 0; i < OTADATA_SECTORS && i * SR_SECTOR_SIZE < otadata.size; i++) {
        migration->map.flags[otadata.address / SR_SECTOR_SIZE + i] = before[i];
    }
}

bool sr_migration_stages_beside(sr_migration_t *migration, uint32_t address)
{
    uint8_t otadata[OTADATA_SECTORS] = {0};
    bool data_is_staged = false;
    sr_map_t *map = &migration->map;
    const uint32_t first = address / SR_SECTOR_SIZE;
    const uint32_t count = address != SR_NO_ADDRESS ? migration->system.boot_path.running_app.size / SR_SECTOR_SIZE : 0;
    sr_map_mark(map, (sr_region_t){address, count * SR_SECTOR_SIZE}, SR_MAP_RUNNING_APP);
    change_otadata(migration, otadata);
    const esp_err_t err = sr_migration_list_entries(migration, &data_is_staged);
    restore_otadata(migration, otadata);
    for (uint32_t i = first; i < first + count; i++) {
        map->flags[i] &= (uint8_t)~SR_MAP_RUNNING_APP;
    }
    return err == ESP_OK && data_is_staged;
}

/* The table tells whether data has moved, so once it has, no other one may come; and what still moves is staged beside
 * the app. */
static bool moves_stay_possible(sr_migration_t *migration, uint32_t address)
{
    if (migration->manifest.bundle.move_count == 0 || address == SR_NO_ADDRESS) {
        return true;
    }
    return migration->moves.count > 0 && sr_migration_stages_beside(migration, address);
}

/** What stands against a way beside the room for it, in words. */
static const char *against_table(sr_migration_t *migration, const sr_temporary_table_place_t *place)
{
    const sr_system_t *system = &migration->system;
    if (system->flash.encryption || system->secure_boot) {
        return ", not with flash encryption or Secure Boot";
    }
    if ((sr_map_at(&migration->map, system->boot_path.table.address) & SR_MAP_TARGET) == 0) {
        return ", not without a new table";
    }
    if ((migration->config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE) == 0) {
        return ", not allowed";
    }
    if (place->rejected) {
        return ", not with this bootloader";
    }
    return moves_stay_possible(migration, place->address) ? "" : ", not with data that moves";
}

static const char *against_in_place(const sr_migration_t *migration)
{
#if CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
    if (migration->system.flash.encryption) {
        return ", not with flash encryption";
    }
    if (migration->moves.count > 0) {
        return ", not with data that moves";
    }
    return (migration->config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE) == 0 ? ", not allowed" : "";
#else
    (void)migration;
    return ", CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP is off";
#endif
}

/* There and back. */
static void take_table(sr_migration_t *migration, uint32_t address)
{
    esp_self_reflasher_plan_t *plan = migration->plan;
    const uint8_t flags = sr_map_at(&migration->map, migration->system.boot_path.table.address);
    const uint32_t writes = (flags & SR_MAP_WRONG) != 0 ? 1 : 2; /* The second one counts as commit already, or not. */
    take(migration, ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, address);
    sr_map_times(writes, writes, &plan->relocation_ms_typical, &plan->relocation_ms_maximum);
}

/* No slot takes the app. */
static esp_err_t leave_the_slots(sr_migration_t *migration)
{
    sr_temporary_table_place_t place;
    const sr_region_t app = migration->system.boot_path.running_app;
    const esp_err_t err = sr_temporary_table_find(&migration->system, classify_room, migration, &place);
    if (err != ESP_OK) {
        return err;
    }
    const char *no_table = against_table(migration, &place);
    const char *no_overwriting = against_in_place(migration);
    const uint32_t in_place_missing = sr_migration_in_place_missing(migration);
    if (no_table[0] == '\0' && place.address != SR_NO_ADDRESS) {
        take_table(migration, place.address);
        return ESP_OK;
    }
    if (no_overwriting[0] == '\0' && in_place_missing == 0) {
        sr_migration_in_place_plan(migration);
        return ESP_OK;
    }
    return sr_migration_refuse(
        migration, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP,
        "running app at 0x%" PRIx32 " is in the way: no OTA slot takes its %" PRIu32
        " bytes; with a temporary table: %" PRIu32 " bytes missing%s; in place: %" PRIu32 " bytes missing%s",
        app.address, app.size, app.size - place.largest, no_table, in_place_missing, no_overwriting);
}

esp_err_t sr_migration_find_relocation(sr_migration_t *migration)
{
    esp_err_t err = migration->plan->must_relocate ? take_slot(migration, sr_migration_leaves_alone) : ESP_OK;
    if (err != ESP_OK || !migration->plan->must_relocate || migration->slot != NULL) {
        return err;
    }
    if (all_may_stay(migration)) {
        leave_out(migration);
        return ESP_OK;
    }
    err = take_slot(migration, gets_no_content);
    return err != ESP_OK || migration->slot != NULL ? err : leave_the_slots(migration);
}

static void find_new_app(void *context, const esp_partition_t *partition)
{
    sr_migration_t *migration = context;
    const sr_region_t region = sr_partition_region(partition);
    for (uint32_t offset = 0; partition->type == ESP_PARTITION_TYPE_APP && offset < region.size &&
                              sr_region_fits(region, migration->system.flash.size);
         offset += SR_SECTOR_SIZE) {
        migration->writes_app_partition |= sr_map_is_body(sr_map_at(&migration->map, region.address + offset));
    }
}

esp_err_t sr_migration_check_start(sr_migration_t *migration)
{
    uint8_t before[OTADATA_SECTORS];
    sr_relocate_start_t start = SR_RELOCATE_STARTS;
    const bool to_slot = migration->plan->relocation == ESP_SELF_REFLASHER_RELOCATION_SLOT;
    esp_err_t err = sr_partition_visit(find_new_app, migration);
    if (err == ESP_OK && (migration->writes_app_partition || to_slot)) {
        err = sr_relocate_read_start(&migration->system, (sr_partition_table_t *)migration->buffers->scratch, &start);
    }
    if (err == ESP_OK && start == SR_RELOCATE_CAN_NOT_START) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP,
                                   "the bootloader does not start the running app at 0x%" PRIx32
                                   " by itself, but another one, and otadata cannot select it: update from an app that "
                                   "it starts by itself",
                                   migration->system.running_partition.address);
    }
    migration->must_stay = start == SR_RELOCATE_CAN_START;
    if (migration->must_stay) {
        change_otadata(migration, before);
    }
    return err;
}

static esp_err_t switch_table(sr_migration_t *migration)
{
    const uint32_t address = migration->plan->relocate_to;
    esp_err_t err = sr_relocate_copy(&migration->system, address);
    if (err == ESP_OK && !sr_migration_may_commit(migration)) {
        ESP_LOGW(TAG, "the temporary partition table is put off");
        return ESP_ERR_SELF_REFLASHER_NOT_NOW;
    }
    if (err == ESP_OK) {
        migration->progress.sectors_done = 0;
        migration->progress.sectors_total = 1;
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
        err = sr_temporary_table_write(&migration->system, address);
        migration->progress.sectors_done = err == ESP_OK;
        sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
    }
    return err;
}

esp_err_t sr_migration_relocate(sr_migration_t *migration)
{
    const esp_err_t err = sr_migration_discard_records(migration);
    if (err != ESP_OK) {
        return err;
    }
    return migration->plan->relocation == ESP_SELF_REFLASHER_RELOCATION_SLOT
               ? sr_relocate(&migration->system, migration->slot)
               : switch_table(migration);
}
