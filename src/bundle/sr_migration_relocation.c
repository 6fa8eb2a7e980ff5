// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "relocate/sr_app_selection.h"
#include "system/sr_partition.h"

#include "esp_log.h"

#include <inttypes.h>
#include <stdio.h>

static const char *TAG = "self_reflasher";

/* A sector that shall be blank may stay as it is under the app, where no data of the new system and no gap in its app
 * is. What the new system has where can only be told by a table. */
static bool may_stay(const sr_migration_t *migration, sr_map_flags_t flags)
{
    return migration->scan.new_data_is_known && (flags & SR_MAP_TARGET) != 0 &&
           (flags & (SR_MAP_CONTENT | SR_MAP_NEW_USE)) == 0;
}

static bool is_in_the_way(sr_map_flags_t flags)
{
    return (flags & SR_MAP_RUNNING_APP) != 0 && (flags & SR_MAP_WRONG) != 0;
}

static bool all_may_stay(const sr_migration_t *migration)
{
    for (uint32_t i = 0; i < migration->scan.map.count; i++) {
        const sr_map_flags_t flags = migration->scan.map.flags[i];
        if (is_in_the_way(flags) && !may_stay(migration, flags)) {
            return false;
        }
    }
    return true;
}

static bool holds_bundle(const sr_migration_t *migration, sr_region_t room)
{
    const sr_region_t bundle = {migration->config->embedded.region_address,
                                migration->input.manifest.bundle.bundle_size};
    return migration->config->http_config == NULL && sr_region_overlaps(room, bundle);
}

/* The copy may go where the target wants nothing: what it overwrites there would be written twice. The next best: what
 * it overwrites may stay overwritten. Not over the bundle, which is needed after the restart; and a copy that stays
 * there not in a data partition of the new system, blank or not. */
static unsigned classify_room(void *context, uint32_t address)
{
    const sr_migration_t *migration = context;
    const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
    const bool wanted = (flags & SR_MAP_TARGET) != 0;
    if ((flags & (SR_MAP_CLOSED | SR_MAP_CONTENT | SR_MAP_NEEDED)) != 0 ||
        holds_bundle(migration, (sr_region_t){address, SR_SECTOR_SIZE}) || (wanted && !may_stay(migration, flags))) {
        return 0;
    }
    return SR_RELOCATION_ROOM_OVERWRITABLE | (wanted ? 0 : SR_RELOCATION_ROOM_UNWANTED) |
           ((flags & SR_MAP_NEW_USE) == 0 ? SR_RELOCATION_ROOM_LASTING : 0) |
           (wanted || sr_map_is_blank(flags) ? SR_RELOCATION_ROOM_FREE : 0);
}

bool sr_migration_leaves_alone(void *context, sr_region_t room)
{
    for (uint32_t offset = 0; offset < room.size; offset += SR_SECTOR_SIZE) {
        if ((classify_room(context, room.address + offset) & SR_RELOCATION_ROOM_UNWANTED) == 0) {
            return false;
        }
    }
    return true;
}

/* From here on those sectors are none of the bundle's. */
static void leave_out(sr_migration_t *migration)
{
    for (uint32_t i = 0; i < migration->scan.map.count; i++) {
        if (is_in_the_way(migration->scan.map.flags[i])) {
            sr_map_clear(&migration->scan.map, (sr_region_t){i * SR_SECTOR_SIZE, SR_SECTOR_SIZE},
                         SR_MAP_TARGET | SR_MAP_WRONG);
            migration->choice.left_out++;
        }
    }
    migration->plan->sectors_left = migration->choice.left_out;
    ESP_LOGW(TAG, "sectors left as they are under the running app, though to be blank: %" PRIu32,
             migration->choice.left_out);
}

/* Those of the target that will lie under the app. */
static uint32_t count_target(const sr_migration_t *migration, uint32_t address)
{
    uint32_t count = 0;
    for (uint32_t offset = 0; offset < migration->system.boot_path.running_app.size; offset += SR_SECTOR_SIZE) {
        count += (sr_map_at(&migration->scan.map, address + offset) & SR_MAP_TARGET) != 0;
    }
    return count;
}

#define OTADATA_SECTORS 2u /**< In use, however large its partition. */

static sr_region_t used_otadata(const sr_migration_t *migration)
{
    const sr_region_t otadata = migration->system.boot_path.otadata;
    const uint32_t used = OTADATA_SECTORS * SR_SECTOR_SIZE;
    return (sr_region_t){otadata.address, otadata.size < used ? otadata.size : used};
}

/* To select the running app, there or here, writes otadata: what is right in it today need not be right then. */
static void change_otadata(sr_migration_t *migration)
{
    const sr_region_t otadata = used_otadata(migration);
    for (uint32_t offset = 0; offset < otadata.size; offset += SR_SECTOR_SIZE) {
        const sr_region_t sector = {otadata.address + offset, SR_SECTOR_SIZE};
        if ((sr_map_at(&migration->scan.map, sector.address) & (SR_MAP_TARGET | SR_MAP_CONTENT)) != 0) {
            sr_map_mark(&migration->scan.map, sector, SR_MAP_WRONG);
        }
    }
}

static sr_migration_room_t measure_room(sr_migration_t *migration)
{
    const sr_map_reach_t reach = sr_migration_reach(migration);
    (void)sr_migration_list_groups(migration, SR_RECORD_DATA);
    return (sr_migration_room_t){(SR_RECORD_OVERHEAD + migration->run.journal.header.sectors) * SR_SECTOR_SIZE,
                                 sr_map_longest_free(&migration->scan.map, &reach)};
}

bool sr_migration_stages_beside(sr_migration_t *migration, uint32_t address, sr_migration_room_t *room)
{
    sr_map_flags_t otadata[OTADATA_SECTORS] = {0};
    bool data_is_staged = false;
    sr_map_t *map = &migration->scan.map;
    const sr_region_t used = used_otadata(migration);
    const sr_region_t app = {address, address != SR_NO_ADDRESS ? migration->system.boot_path.running_app.size : 0};
    for (uint32_t i = 0; i < used.size / SR_SECTOR_SIZE; i++) {
        otadata[i] = sr_map_at(map, used.address + i * SR_SECTOR_SIZE);
    }
    sr_map_mark(map, app, SR_MAP_RUNNING_APP);
    change_otadata(migration);
    const bool fits = sr_migration_list_entries(migration, &data_is_staged) == ESP_OK && data_is_staged;
    if (!fits && room != NULL) {
        *room = measure_room(migration);
    }
    for (uint32_t i = 0; i < used.size / SR_SECTOR_SIZE; i++) {
        sr_map_put(map, used.address + i * SR_SECTOR_SIZE, otadata[i]);
    }
    sr_map_clear(map, app, SR_MAP_RUNNING_APP);
    return fits;
}

/* The table tells whether data has moved, so once it has, no other one may come; and what still moves is staged beside
 * the app. */
static bool moves_stay_possible(sr_migration_t *migration, uint32_t address)
{
    if (migration->input.manifest.bundle.move_count == 0 || address == SR_NO_ADDRESS) {
        return true;
    }
    return migration->scan.moves.count > 0 && sr_migration_stages_beside(migration, address, NULL);
}

static const char *object(void *context, const sr_relocation_method_t *method, uint32_t address)
{
    sr_migration_t *migration = context;
    const bool fits =
        (method->kind != ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE || moves_stay_possible(migration, address)) &&
        (method->kind != ESP_SELF_REFLASHER_RELOCATION_IN_PLACE || migration->scan.moves.count == 0);
    return fits ? NULL : ", not with data that moves";
}

static bool may_commit(void *context)
{
    return sr_migration_may_commit(context);
}

static void on_commit(void *context, bool written)
{
    sr_migration_t *migration = context;
    migration->run.progress.sectors_done = written;
    migration->run.progress.sectors_total = 1;
    sr_migration_tell(migration, ESP_SELF_REFLASHER_EVENT_COMMIT);
}

static esp_err_t write_target(void *context)
{
    return sr_migration_run(context);
}

static const char *name_new(const sr_partition_table_t *table, uint32_t address, char name[SR_RELOCATION_OWNER_SIZE])
{
    (void)snprintf(name, SR_RELOCATION_OWNER_SIZE, "new content");
    for (uint8_t i = 0; table != NULL && i < table->count; i++) {
        const sr_region_t place = {table->entries[i].address, table->entries[i].size};
        if (sr_region_overlaps(place, (sr_region_t){address, SR_SECTOR_SIZE})) {
            (void)snprintf(name, SR_RELOCATION_OWNER_SIZE, "new %s", table->entries[i].label);
        }
    }
    return name;
}

/* Content of the bundle comes first: to give up what lies there today would not help. */
static const char *owner(void *context, uint32_t address, char name[SR_RELOCATION_OWNER_SIZE])
{
    sr_migration_t *migration = context;
    const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
    const bool needed = (flags & SR_MAP_NEEDED) != 0 && (flags & SR_MAP_CONTENT) == 0;
    const bool is_new = !needed && (flags & (SR_MAP_CONTENT | SR_MAP_TARGET | SR_MAP_NEW_USE)) != 0;
    return is_new ? name_new(sr_migration_new_table(migration), address, name)
                  : sr_relocation_running_owner(address, name);
}

static sr_relocation_request_t request_of(sr_migration_t *migration)
{
    const uint32_t flags = migration->config->flags;
    const uint32_t table = migration->system.boot_path.table.address;
    const sr_map_reach_t reach = sr_migration_reach(migration);
    return (sr_relocation_request_t){
        .system = &migration->system,
        .context = migration,
        .classify = classify_room,
        .blanks_only = all_may_stay(migration),
        .brings_table = (sr_map_at(&migration->scan.map, table) & SR_MAP_TARGET) != 0,
        .allows_temporary_table = (flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE) != 0,
        .allows_in_place = (flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE) != 0,
        .in_place_needs = sr_migration_in_place_needs(migration),
        .longest_free = sr_map_longest_free(&migration->scan.map, &reach),
        .owner = owner,
        .object = object,
        .may_commit = may_commit,
        .on_commit = on_commit,
        .write = write_target,
    };
}

/* The temporary table and the wanted one that replaces it are a window each. */
static void plan_temporary_table(sr_migration_t *migration)
{
    esp_self_reflasher_plan_t *plan = migration->plan;
    const sr_map_flags_t flags = sr_map_at(&migration->scan.map, migration->system.boot_path.table.address);
    const uint32_t writes = (flags & SR_MAP_WRONG) != 0 ? 1 : 2; /* The second one counts as commit already, or not. */
    sr_map_times(&migration->scan.map, writes, writes, &plan->relocation_ms_typical, &plan->relocation_ms_maximum);
}

static void fill_plan(sr_migration_t *migration)
{
    const sr_relocation_t *relocation = &migration->choice.relocation;
    esp_self_reflasher_plan_t *plan = migration->plan;
    plan->relocation = relocation->method->kind;
    switch (plan->relocation) {
    case ESP_SELF_REFLASHER_RELOCATION_NONE:
        leave_out(migration);
        return;
    case ESP_SELF_REFLASHER_RELOCATION_IN_PLACE:
        sr_migration_in_place_plan(migration);
        return;
    case ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE:
        plan_temporary_table(migration);
        break;
    case ESP_SELF_REFLASHER_RELOCATION_SLOT:
        break;
    }
    plan->relocate_to = relocation->address;
    plan->sectors_left = count_target(migration, relocation->address);
}

esp_err_t sr_migration_find_relocation(sr_migration_t *migration)
{
    char text[sizeof(migration->plan->refusal_text)];
    if (!migration->plan->must_relocate) {
        return ESP_OK;
    }
    const sr_relocation_request_t request = request_of(migration);
    const esp_err_t err = sr_relocation_find(&request, &migration->choice.relocation, text, sizeof(text));
    if (err != ESP_OK) {
        return err;
    }
    if (migration->choice.relocation.method == NULL) {
        const uint32_t missing = migration->choice.relocation.missing;
        migration->plan->bytes_missing = missing != UINT32_MAX ? missing : 0;
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP, "%s", text);
    }
    fill_plan(migration);
    return ESP_OK;
}

static void find_new_app(void *context, const esp_partition_t *partition)
{
    sr_migration_t *migration = context;
    const sr_region_t region = sr_partition_region(partition);
    for (uint32_t offset = 0; partition->type == ESP_PARTITION_TYPE_APP && offset < region.size &&
                              sr_region_fits(region, migration->system.flash.size);
         offset += SR_SECTOR_SIZE) {
        migration->choice.writes_app_partition |=
            sr_map_is_body(sr_map_at(&migration->scan.map, region.address + offset));
    }
}

esp_err_t sr_migration_check_start(sr_migration_t *migration)
{
    sr_app_selection_t selection = SR_APP_SELECTION_STARTS;
    const bool to_slot = migration->plan->relocation == ESP_SELF_REFLASHER_RELOCATION_SLOT;
    esp_err_t err = sr_partition_visit(find_new_app, migration);
    if (err == ESP_OK && (migration->choice.writes_app_partition || to_slot)) {
        err =
            sr_app_selection_read(&migration->system, (sr_partition_table_t *)migration->buffers->scratch, &selection);
    }
    if (err == ESP_OK && selection == SR_APP_SELECTION_CANNOT_START) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP,
                                   "the bootloader does not start the running app at 0x%" PRIx32
                                   " by itself, but another one, and otadata cannot select it: update from an app that "
                                   "it starts by itself",
                                   migration->system.running_partition.address);
    }
    migration->choice.must_stay = selection == SR_APP_SELECTION_CAN_START;
    if (migration->choice.must_stay) {
        change_otadata(migration);
    }
    return err;
}

esp_err_t sr_migration_relocate(sr_migration_t *migration)
{
    const sr_relocation_request_t request = request_of(migration);
    const sr_relocation_t *relocation = &migration->choice.relocation;
    /* Where the app stays, sr_migration_run() begins with that itself. */
    const esp_err_t err = relocation->method->restarts ? sr_migration_discard_records(migration) : ESP_OK;
    return err == ESP_OK ? sr_relocation_execute(&request, relocation) : err;
}
