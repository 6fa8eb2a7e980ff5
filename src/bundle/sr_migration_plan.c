// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_migration_internal.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_boot_choice.h"
#include "format/sr_partition_table.h"
#include "format/sr_reader.h"
#include "preflight/sr_preflight.h"
#include "preflight/sr_preflight_chip.h"
#include "system/sr_partition.h"

#include "esp_log.h"

#include <inttypes.h>

_Static_assert(sizeof(sr_partition_table_t) <= SR_SECTOR_SIZE, "a table fits into the buffer of a sector");

static const char *TAG = "self_reflasher";

/* NOLINTBEGIN(misc-redundant-expression): that both sides are equal is what is asserted. */
_Static_assert(ESP_SELF_REFLASHER_CHECK_BOOTLOADER == SR_PREFLIGHT_BOOTLOADER, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_FLASH_SIZE == SR_PREFLIGHT_FLASH_SIZE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_FLASH_MODE == SR_PREFLIGHT_FLASH_MODE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_REVISION == SR_PREFLIGHT_REVISION, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_TABLE == SR_PREFLIGHT_TABLE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_APP == SR_PREFLIGHT_APP, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_SECURE_VERSION == SR_PREFLIGHT_VERSION, "names of one check");
/* NOLINTEND(misc-redundant-expression) */

/* An app that moves starts again from its new place, and then nothing of what was fetched until now is left. */
static uint32_t bytes_to_download(const sr_migration_t *migration, uint32_t chunks)
{
    const sr_relocation_method_t *method = migration->choice.relocation.method;
    const bool restarts = method != NULL && method->restarts;
    const uint32_t manifest = migration->input.manifest.bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    const uint32_t again = migration->input.kept_for_checks + (restarts ? migration->input.source.downloaded : 0);
    return migration->config->http_config != NULL ? manifest + chunks + again : 0;
}

/* Sectors of a record, after mark and list. */
static uint32_t record_sectors(const sr_migration_t *migration, const sr_map_summary_t *summary)
{
    return sr_record_manifest_sectors(sr_migration_manifest_size(migration)) + summary->staged;
}

static void fill_plan(sr_migration_t *migration)
{
    sr_map_summary_t summary;
    esp_self_reflasher_plan_t *plan = migration->plan;
    sr_map_summarize(&migration->scan.map, &migration->input.manifest.bundle, &summary);
    plan->sectors_total = summary.total + migration->choice.left_out + migration->scan.settled;
    plan->sectors_right = summary.total - summary.wrong + migration->scan.settled;
    plan->sectors_to_write = summary.wrong;
    plan->sectors_boot_path = summary.boot_path;
    plan->bytes_to_download = bytes_to_download(migration, summary.bytes);
    plan->flash_ms_typical = summary.typical_ms;
    plan->flash_ms_maximum = summary.maximum_ms;
    plan->window_ms_typical = summary.window_typical_ms;
    plan->window_ms_maximum = summary.window_maximum_ms;
    plan->installed = migration->scan.installed || summary.wrong == 0;
    plan->must_relocate = summary.running > 0;
    plan->sectors_moved = summary.moved;
    if (migration->choice.overwrite.size > 0) {
        plan->staging_address = migration->choice.overwrite_from;
    } else {
        uint32_t sectors = record_sectors(migration, &summary);
        plan->staging_address = summary.staged > 0 || migration->scan.moves.count > 0
                                    ? sr_migration_find_place(migration, &sectors)
                                    : SR_NO_ADDRESS;
    }
}

static bool read_table(const sr_reader_t *flash, uint32_t table_offset, sr_partition_table_t *table)
{
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, flash, table_offset, SR_PARTITION_TABLE_SIZE);
    return sr_partition_table_parse(&reader, 0, table) == SR_PARTITION_TABLE_OK;
}

const sr_partition_table_t *sr_migration_new_table(sr_migration_t *migration)
{
    const uint32_t table_offset = migration->input.manifest.bundle.partition_table_offset;
    sr_partition_table_t *table = (sr_partition_table_t *)migration->buffers->scratch;
    const sr_reader_t flash = sr_migration_target(migration);
    return table_offset != SR_BUNDLE_NO_TABLE && read_table(&flash, table_offset, table) ? table : NULL;
}

/** A block, and which of its sectors belong to a partition. */
typedef struct owned_block {
    uint32_t address;
    uint16_t owned; /**< Bit N for sector N. */
} owned_block_t;

static void own(owned_block_t *block, sr_region_t region)
{
    for (uint32_t i = 0; i < SR_SECTORS_PER_BLOCK; i++) {
        const sr_region_t sector = {block->address + i * SR_SECTOR_SIZE, SR_SECTOR_SIZE};
        block->owned = (uint16_t)(block->owned | (sr_region_overlaps(region, sector) ? 1u << i : 0));
    }
}

static void own_partition(void *context, const esp_partition_t *partition)
{
    own(context, sr_partition_region(partition));
}

/* What lies in a partition of the running or of the new system. */
static esp_err_t find_owners(sr_migration_t *migration, owned_block_t *block)
{
    const esp_err_t err = sr_partition_visit(own_partition, block);
    const sr_partition_table_t *table = err == ESP_OK ? sr_migration_new_table(migration) : NULL;
    if (table == NULL) {
        return err;
    }
    for (uint8_t i = 0; i < table->count; i++) {
        own(block, (sr_region_t){table->entries[i].address, table->entries[i].size});
    }
    return ESP_OK;
}

/* The commit erases the block of the boot path at once, if nothing else lies in it and its record finds a place
 * elsewhere.
 */
static esp_err_t claim_block(sr_migration_t *migration)
{
    sr_map_summary_t summary;
    owned_block_t block = {.address = sr_map_boot_block(&migration->scan.map)};
    if (migration->run.journal.header.guarded || block.address == SR_NO_ADDRESS) {
        return ESP_OK; /* A recovery bootloader stands in, but the table would be gone while the bootloader is written.
                        */
    }
    const esp_err_t err = find_owners(migration, &block);
    if (err == ESP_OK) {
        sr_map_summarize(&migration->scan.map, &migration->input.manifest.bundle, &summary);
        const sr_map_reach_t reach = sr_migration_reach(migration);
        sr_map_claim_block(&migration->scan.map, &reach, SR_RECORD_OVERHEAD + record_sectors(migration, &summary),
                           block.owned);
    }
    return err;
}

/* The commit may overwrite where data comes from. A run after a power loss must not need that data any more, nor take
 * what is there by then for it. That must also hold once the app has moved. */
static esp_err_t check_moves(sr_migration_t *migration)
{
    sr_migration_room_t room;
    if (migration->scan.moves.count == 0 ||
        sr_migration_stages_beside(migration, migration->plan->relocate_to, &room)) {
        return ESP_OK;
    }
    migration->plan->bytes_missing = room.needed > room.longest.size ? room.needed - room.longest.size : 0;
    return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                               "data is to be moved, and no free flash takes the %" PRIu32
                               " bytes that have to be staged for it: the longest piece has %" PRIu32
                               " bytes, at 0x%" PRIx32,
                               room.needed, room.longest.size, room.longest.address);
}

/* A bundle that is linked into the app moves with it; one that lies elsewhere must not overwrite itself. */
static esp_err_t check_embedded_bundle(sr_migration_t *migration)
{
    const addr_region_t source = migration->config->embedded;
    if (migration->config->http_config != NULL) {
        return ESP_OK;
    }
    const uint32_t end = source.region_address + (uint32_t)source.region_size;
    for (uint32_t address = source.region_address & ~(SR_SECTOR_SIZE - 1u); address < end; address += SR_SECTOR_SIZE) {
        const sr_map_flags_t flags = sr_map_at(&migration->scan.map, address);
        if ((flags & SR_MAP_WRONG) != 0 && (flags & SR_MAP_RUNNING_APP) == 0) {
            return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SOURCE,
                                       "the bundle itself lies at 0x%" PRIx32 ", where other content must go", address);
        }
    }
    return ESP_OK;
}

/* Goes by the entry that counts. ESP-IDF tells the state of the first one that names the slot, which may be an old one
 * that nobody will confirm any more. */
static esp_err_t is_on_probation(sr_migration_t *migration, bool *on_probation)
{
    sr_flash_reader_window_t window;
    sr_boot_choice_t choice;
    const sr_system_t *system = &migration->system;
    sr_partition_table_t *table = (sr_partition_table_t *)migration->buffers->scratch;
    const sr_reader_t flash = sr_flash_reader(&window, &system->flash, 0, system->flash.size);
    *on_probation = read_table(&flash, system->boot_path.table.address, table) &&
                    sr_boot_choice_make(&flash, table, &choice) == SR_BOOT_CHOICE_UNCONFIRMED && choice.app != NULL &&
                    choice.app->address == system->running_partition.address;
    return window.err;
}

/* An app on probation would be rolled back by the next reset, to a slot that may be partly overwritten by then. */
static esp_err_t check_rollback(sr_migration_t *migration)
{
    bool on_probation = false;
    const bool skip = (migration->config->skip_checks & ESP_SELF_REFLASHER_CHECK_ROLLBACK) != 0;
    const esp_err_t err = skip ? ESP_OK : is_on_probation(migration, &on_probation);
    if (err == ESP_OK && on_probation) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_ROLLBACK,
                                   "the running app has not been confirmed (rollback): mark it valid first");
    }
    return err;
}

static esp_self_reflasher_refusal_t refusal_of(uint32_t check)
{
    switch (check) {
    case SR_PREFLIGHT_BOOTLOADER:
        return ESP_SELF_REFLASHER_REFUSED_BOOTLOADER;
    case SR_PREFLIGHT_FLASH_SIZE:
        return ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE;
    case SR_PREFLIGHT_FLASH_MODE:
        return ESP_SELF_REFLASHER_REFUSED_FLASH_MODE;
    case SR_PREFLIGHT_REVISION:
        return ESP_SELF_REFLASHER_REFUSED_REVISION;
    case SR_PREFLIGHT_TABLE:
        return ESP_SELF_REFLASHER_REFUSED_TABLE;
    case SR_PREFLIGHT_VERSION:
        return ESP_SELF_REFLASHER_REFUSED_SECURITY;
    default:
        return ESP_SELF_REFLASHER_REFUSED_APP;
    }
}

static bool brings(void *context, sr_region_t partition)
{
    const sr_migration_t *migration = context;
    const uint64_t end = (uint64_t)partition.address + partition.size;
    for (uint64_t at = partition.address; at < end && at < migration->system.flash.size; at += SR_SECTOR_SIZE) {
        const sr_map_flags_t flags = sr_map_at(&migration->scan.map, (uint32_t)at);
        if ((flags & SR_MAP_TARGET) != 0 && (flags & SR_MAP_CONTENT) != 0) {
            return true;
        }
    }
    return false;
}

/* Once it is installed, otadata is the new system's, which may have updated itself since. */
static sr_preflight_chip_t verdict_of(sr_migration_t *migration, sr_preflight_start_t *start)
{
    return (sr_preflight_chip_t){.system = &migration->system,
                                 .flash = sr_migration_target(migration),
                                 .table_offset = migration->input.manifest.bundle.partition_table_offset,
                                 .workspace = migration->buffers->scratch,
                                 .brings = migration->scan.installed ? NULL : brings,
                                 .brings_context = migration,
                                 .start = start};
}

static esp_err_t check_result(sr_migration_t *migration, uint32_t skip, bool app_follows, bool app_alone,
                              sr_preflight_start_t *start)
{
    char text[sizeof(migration->plan->refusal_text)];
    uint32_t failed = 0;
    *start = (sr_preflight_start_t){.app = UINT32_MAX, .otadata = UINT32_MAX};
    const sr_preflight_chip_t verdict = verdict_of(migration, start);
    const esp_err_t err = sr_preflight_chip_check(&verdict, skip, app_follows, app_alone, &failed, text, sizeof(text));
    migration->plan->app_address = start->app;
    return err != ESP_OK || failed == 0 ? err : sr_migration_refuse(migration, refusal_of(failed), "%s", text);
}

/* To be relocated, or to stay the one that starts until the end, the running app has to be selected in today's otadata.
 * Where that is the new system's, too, and stays as it is, it would remain selected for ever. */
static esp_err_t check_otadata(sr_migration_t *migration, const sr_preflight_start_t *start)
{
    const sr_bundle_t *bundle = &migration->input.manifest.bundle;
    const uint32_t otadata = start->otadata;
    const bool selects =
        migration->choice.must_stay || migration->plan->relocation == ESP_SELF_REFLASHER_RELOCATION_SLOT;
    if (!selects || !start->is_new || otadata != migration->system.boot_path.otadata.address ||
        (sr_bundle_want(bundle, otadata, NULL) != SR_BUNDLE_KEEP &&
         sr_bundle_want(bundle, otadata + SR_SECTOR_SIZE, NULL) != SR_BUNDLE_KEEP)) {
        return ESP_OK;
    }
    return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_APP,
                               "the new app at 0x%" PRIx32 " would not start: otadata at 0x%" PRIx32
                               " has to select the running app meanwhile, and the bundle does not bring it",
                               migration->plan->app_address, otadata);
}

static esp_err_t check_signatures(sr_migration_t *migration, bool app_follows, bool app_alone)
{
    char text[sizeof(migration->plan->refusal_text)];
    const sr_preflight_chip_t verdict = verdict_of(migration, NULL);
    return sr_preflight_chip_check_signatures(&verdict, app_follows, app_alone, text, sizeof(text))
               ? ESP_OK
               : sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY, "%s", text);
}

/* Blank sectors in front of content are part of the app. */
static void mark_gaps(sr_map_t *map, sr_region_t app, bool encryption)
{
    bool content_follows = false;
    const uint64_t end = ((uint64_t)app.address + app.size) / SR_SECTOR_SIZE;
    for (uint64_t i = end < map->count ? end : map->count; i > app.address / SR_SECTOR_SIZE; i--) {
        const sr_region_t sector = {(uint32_t)(i - 1) * SR_SECTOR_SIZE, SR_SECTOR_SIZE};
        const bool content = (sr_map_at(map, sector.address) & SR_MAP_CONTENT) != 0;
        content_follows |= content;
        if (content_follows && !content) { /* With encryption, what is erased there would not read as blank. */
            sr_map_mark(map, sector, encryption ? SR_MAP_NEW_GAP | SR_MAP_CLOSED_THEN : SR_MAP_NEW_GAP);
        }
    }
}

/* Tells the map where the new system will have its data. Without a table it has none, or none that can be known. */
static void mark_new_data(sr_migration_t *migration)
{
    const sr_partition_table_t *table = sr_migration_new_table(migration);
    const bool encryption = migration->system.flash.encryption;
    const uint32_t table_flags = sr_map_at(&migration->scan.map, migration->system.boot_path.table.address);
    const bool new_table = SR_PARTITION_READ_ONLY_COUNTS && (table_flags & SR_MAP_WRONG) != 0;
    const uint8_t count = table != NULL ? table->count : 0;
    for (uint8_t i = 0; i < count; i++) {
        const sr_region_t region = {table->entries[i].address, table->entries[i].size};
        if (new_table && (table->entries[i].flags & SR_PARTITION_FLAG_READ_ONLY) != 0) {
            sr_map_mark(&migration->scan.map, region, SR_MAP_CLOSED_THEN);
        }
        if (table->entries[i].type != SR_PARTITION_TYPE_APP) {
            sr_map_mark(&migration->scan.map, region, SR_MAP_NEW_DATA);
            if (encryption && sr_flash_encrypts(&migration->target, region.address)) {
                sr_map_mark(&migration->scan.map, region, SR_MAP_CLOSED_THEN);
            }
        } else {
            mark_gaps(&migration->scan.map, region, encryption);
        }
    }
    migration->scan.new_data_is_known = count > 0;
}

/* Over HTTP the app would have to be fetched twice to be read as a whole before anything is changed. Its header is
 * enough at first: the rest, for which the signed digests vouch, is read from flash before the commit. */
static bool app_follows(const sr_migration_t *migration)
{
    return migration->config->http_config != NULL;
}

/* A read error is no fault of the bundle. */
static esp_err_t unless_unreadable(sr_migration_t *migration, esp_err_t err)
{
    if (migration->input.target_err == ESP_OK) {
        return err;
    }
    migration->plan->refusal = ESP_SELF_REFLASHER_REFUSED_NOT;
    migration->plan->refusal_text[0] = '\0';
    ESP_LOGE(TAG, "the result cannot be read: %s", esp_self_reflasher_err_to_name(migration->input.target_err));
    return migration->input.target_err;
}

esp_err_t sr_migration_check_app(sr_migration_t *migration)
{
    const uint32_t others = ~(uint32_t)ESP_SELF_REFLASHER_CHECK_APP;
    if (!app_follows(migration)) {
        return ESP_OK;
    }
    sr_preflight_start_t start;
    esp_err_t err = check_result(migration, migration->config->skip_checks | others, false, true, &start);
    if (err == ESP_OK) {
        err = check_signatures(migration, false, true);
    }
    return unless_unreadable(migration, err);
}

/* What is left to do, and what the result would be. */
static esp_err_t check_work(sr_migration_t *migration)
{
    sr_preflight_start_t start;
    esp_err_t err = check_result(migration, migration->config->skip_checks, app_follows(migration), false, &start);
    if (err == ESP_OK) {
        err = check_otadata(migration, &start);
    }
    if (err == ESP_OK && start.encrypts) {
        err = sr_migration_check_first_encryption(migration);
    }
    if (err == ESP_OK) {
        err = check_signatures(migration, app_follows(migration), false);
    }
    if (err == ESP_OK && migration->choice.overwrite.size == 0) {
        err = sr_migration_find_recovery(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_reserve_mark(migration);
    }
    if (err != ESP_OK || migration->choice.overwrite.size > 0) {
        return err; /* When the app is overwritten in place, no recovery bootloader stands in, nothing moves, and no
                       record lists what else is erased. */
    }
    err = claim_block(migration);
    if (err == ESP_OK) {
        fill_plan(migration); /* Where the last step is staged depends on it. */
    }
    return err == ESP_OK ? check_moves(migration) : err;
}

static esp_err_t check_all(sr_migration_t *migration)
{
    esp_err_t err = check_rollback(migration);
    if (err == ESP_OK) {
        err = sr_migration_check_encryption(migration);
    }
    if (err == ESP_OK) {
        err = check_embedded_bundle(migration);
    }
    if (err == ESP_OK) {
        err = sr_decoder_open(&migration->input.decoder, &migration->input.manifest.bundle, &migration->input.source);
    }
    if (err == ESP_OK) {
        err = sr_migration_keep(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_adopt_layout(migration);
    }
    if (err == ESP_OK) {
        mark_new_data(migration);
        err = sr_migration_check_kept(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_find_relocation(migration);
        err = err == ESP_OK ? sr_migration_check_start(migration) : err;
        fill_plan(migration); /* By now it is known which sectors stay as they are. */
    }
    if (err == ESP_OK && migration->plan->sectors_to_write > 0) {
        err = sr_migration_check_read_only(migration);
    }
    return err == ESP_OK && migration->plan->sectors_to_write > 0 ? check_work(migration) : err;
}

esp_err_t sr_migration_check(sr_migration_t *migration)
{
    fill_plan(migration);
    if (migration->plan->sectors_to_write == 0) {
        return ESP_OK;
    }
    const esp_err_t err = unless_unreadable(migration, check_all(migration));
    sr_migration_end_keeping(migration);
    return err;
}
