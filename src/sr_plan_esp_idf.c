// SPDX-License-Identifier: Apache-2.0
#include "sr_migration_internal.h"

#include "sr_partition_table.h"
#include "sr_result.h"
#include "sr_verdict_esp_idf.h"
#include "sr_window.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_ota_ops.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

/* NOLINTBEGIN(misc-redundant-expression): that both sides are equal is what is asserted. */
_Static_assert(ESP_SELF_REFLASHER_CHECK_BOOTLOADER == SR_RESULT_BOOTLOADER, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_FLASH_SIZE == SR_RESULT_FLASH_SIZE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_FLASH_MODE == SR_RESULT_FLASH_MODE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_REVISION == SR_RESULT_REVISION, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_TABLE == SR_RESULT_TABLE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_APP == SR_RESULT_APP, "names of one check");
/* NOLINTEND(misc-redundant-expression) */

/* Of a record, after mark and list. */
static uint32_t record_sectors(const sr_migration_t *migration, const sr_map_summary_t *summary)
{
    return sr_stage_manifest_sectors(sr_migration_manifest_size(migration)) + summary->staged;
}

static void fill_plan(sr_migration_t *migration)
{
    sr_map_summary_t summary;
    esp_self_reflasher_plan_t *plan = migration->plan;
    sr_map_summarize(&migration->map, &migration->manifest.bundle, &summary);
    plan->sectors_total = summary.total + migration->left_out + migration->settled;
    plan->sectors_right = summary.total - summary.wrong + migration->settled;
    plan->sectors_to_write = summary.wrong;
    plan->sectors_boot_path = summary.boot_path;
    plan->bytes_to_download = migration->config->http_config != NULL ? summary.bytes : 0;
    plan->flash_ms_typical = summary.typical_ms;
    plan->flash_ms_maximum = summary.maximum_ms;
    plan->window_ms_typical = summary.window_typical_ms;
    plan->window_ms_maximum = summary.window_maximum_ms;
    plan->installed = migration->installed || summary.wrong == 0;
    plan->must_relocate = summary.running > 0;
    plan->sectors_moved = summary.moved;
    if (migration->overwrite.size > 0) {
        plan->staging_address = migration->overwrite_from;
    } else {
        uint32_t sectors = record_sectors(migration, &summary);
        plan->staging_address = summary.staged > 0 || migration->moves.count > 0
                                    ? sr_migration_find_place(migration, &sectors)
                                    : SR_NO_ADDRESS;
    }
}

static bool read_table(const sr_reader_t *flash, uint32_t table_offset, sr_table_t *table)
{
    sr_window_t window;
    const sr_reader_t reader = sr_window_reader(&window, flash, table_offset, SR_PARTITION_TABLE_SIZE);
    return sr_table_parse(&reader, 0, table) == SR_TABLE_OK;
}

/** A block, and which of its sectors are somebody's. */
typedef struct owned_block {
    uint32_t address;
    uint16_t owned; /**< Bit N for sector N. */
} owned_block_t;

static void own(owned_block_t *block, sr_region_t region)
{
    for (uint32_t i = 0; i < SR_BLOCK_SIZE / SR_SECTOR_SIZE; i++) {
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
    const sr_reader_t flash = sr_migration_result(migration);
    const uint32_t table_offset = migration->manifest.bundle.partition_table_offset;
    const esp_err_t err = sr_system_visit_partitions(own_partition, block);
    if (err != ESP_OK || table_offset == SR_BUNDLE_NO_TABLE) {
        return err;
    }
    sr_table_t *table = heap_caps_malloc(sizeof(*table), MALLOC_CAP_8BIT);
    if (table == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const uint8_t count = read_table(&flash, table_offset, table) ? table->count : 0;
    for (uint8_t i = 0; i < count; i++) {
        own(block, (sr_region_t){table->entries[i].address, table->entries[i].size});
    }
    heap_caps_free(table);
    return ESP_OK;
}

/* The commit erases the block of the boot path at once, if it has it to itself and its record finds a place elsewhere.
 */
static esp_err_t claim_block(sr_migration_t *migration)
{
    sr_map_summary_t summary;
    owned_block_t block = {.address = sr_map_boot_block(&migration->map)};
    if (migration->stage.header.guarded || block.address == SR_NO_ADDRESS) {
        return ESP_OK; /* Guarded: the table would be gone for as long as the bootloader takes. */
    }
    const esp_err_t err = find_owners(migration, &block);
    if (err == ESP_OK) {
        sr_map_summarize(&migration->map, &migration->manifest.bundle, &summary);
        sr_map_claim_block(&migration->map, SR_STAGE_OVERHEAD + record_sectors(migration, &summary), block.owned);
    }
    return err;
}

/* The commit may overwrite where data comes from. What goes on after a cut must not need it any more, nor take what is
 * there by then for it. That must hold where the app has moved to, too. */
static esp_err_t check_moves(sr_migration_t *migration)
{
    if (migration->moves.count == 0 || sr_migration_stages_beside(migration, migration->plan->relocate_to)) {
        return ESP_OK;
    }
    sr_map_summary_t summary;
    sr_map_summarize(&migration->map, &migration->manifest.bundle, &summary);
    return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_MOVE,
                               "data is to be moved, and no free flash takes the %" PRIu32
                               " bytes that have to be staged for it",
                               (SR_STAGE_OVERHEAD + record_sectors(migration, &summary)) * SR_SECTOR_SIZE);
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
        const uint8_t flags = sr_map_at(&migration->map, address);
        if ((flags & SR_MAP_WRONG) != 0 && (flags & SR_MAP_RUNNING_APP) == 0) {
            return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SOURCE,
                                       "the bundle itself lies at 0x%" PRIx32 ", where other content must go", address);
        }
    }
    return ESP_OK;
}

/* An app on probation would be rolled back by the next reset, to a slot that may be half overwritten by then. */
static esp_err_t check_rollback(sr_migration_t *migration)
{
    esp_ota_img_states_t state;
    if ((migration->config->skip_checks & ESP_SELF_REFLASHER_CHECK_ROLLBACK) == 0 &&
        esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK &&
        state == ESP_OTA_IMG_PENDING_VERIFY) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_ROLLBACK,
                                   "running app waits for a rollback verdict: mark it valid first");
    }
    return ESP_OK;
}

/* Which regions are encrypted, the bootloader reads from the table, and so does this code, from today's. */
static esp_err_t check_encryption(sr_migration_t *migration)
{
    const uint32_t table = migration->system.boot_path.table.address;
    if (migration->system.flash.encryption && (sr_map_at(&migration->map, table) & SR_MAP_WRONG) != 0) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                   "flash encryption is on: the partition table at 0x%" PRIx32 " can not be changed",
                                   table);
    }
    return ESP_OK;
}

static esp_self_reflasher_refusal_t refusal_of(uint32_t check)
{
    switch (check) {
    case SR_RESULT_BOOTLOADER:
        return ESP_SELF_REFLASHER_REFUSED_BOOTLOADER;
    case SR_RESULT_FLASH_SIZE:
        return ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE;
    case SR_RESULT_FLASH_MODE:
        return ESP_SELF_REFLASHER_REFUSED_FLASH_MODE;
    case SR_RESULT_REVISION:
        return ESP_SELF_REFLASHER_REFUSED_REVISION;
    case SR_RESULT_TABLE:
        return ESP_SELF_REFLASHER_REFUSED_TABLE;
    default:
        return ESP_SELF_REFLASHER_REFUSED_APP;
    }
}

static sr_verdict_t verdict_of(sr_migration_t *migration)
{
    return (sr_verdict_t){.system = &migration->system,
                          .flash = sr_migration_result(migration),
                          .table_offset = migration->manifest.bundle.partition_table_offset};
}

static esp_err_t check_result(sr_migration_t *migration, uint32_t skip, bool app_follows)
{
    char text[sizeof(migration->plan->refusal_text)];
    uint32_t failed = 0;
    const sr_verdict_t verdict = verdict_of(migration);
    const esp_err_t err = sr_verdict_check(&verdict, skip, app_follows, &failed, text, sizeof(text));
    return err != ESP_OK || failed == 0 ? err : sr_migration_refuse(migration, refusal_of(failed), "%s", text);
}

static esp_err_t check_signatures(sr_migration_t *migration)
{
    bool passed = false;
    const sr_verdict_t verdict = verdict_of(migration);
    const esp_err_t err = sr_verdict_is_signed(&verdict, &passed);
    return err != ESP_OK || passed ? err
                                   : sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_SECURITY,
                                                         "Secure Boot is on: bootloader and app need signature blocks");
}

/* Blank sectors in front of content are part of the app. */
static void mark_gaps(sr_map_t *map, sr_region_t app)
{
    bool content_follows = false;
    const uint64_t end = ((uint64_t)app.address + app.size) / SR_SECTOR_SIZE;
    for (uint64_t i = end < map->count ? end : map->count; i > app.address / SR_SECTOR_SIZE; i--) {
        uint8_t *flags = &map->flags[i - 1];
        content_follows |= (*flags & SR_MAP_CONTENT) != 0;
        if (content_follows && (*flags & SR_MAP_CONTENT) == 0) {
            *flags |= SR_MAP_NEW_DATA;
        }
    }
}

/* Tells the map where the new system will have its data. Without a table it has none, or none that can be told. */
static esp_err_t mark_new_data(sr_migration_t *migration)
{
    const sr_reader_t flash = sr_migration_result(migration);
    const uint32_t table_offset = migration->manifest.bundle.partition_table_offset;
    if (table_offset == SR_BUNDLE_NO_TABLE) {
        return ESP_OK;
    }
    sr_table_t *table = heap_caps_malloc(sizeof(*table), MALLOC_CAP_8BIT);
    if (table == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const uint8_t count = read_table(&flash, table_offset, table) ? table->count : 0;
    for (uint8_t i = 0; i < count; i++) {
        const sr_region_t region = {table->entries[i].address, table->entries[i].size};
        if (table->entries[i].type != SR_PARTITION_TYPE_APP) {
            sr_map_mark(&migration->map, region, SR_MAP_NEW_DATA);
        } else {
            mark_gaps(&migration->map, region);
        }
    }
    migration->new_data_is_known = count > 0;
    heap_caps_free(table);
    return ESP_OK;
}

/* Over HTTP the app would have to be fetched twice to be read as a whole before anything is changed. Its header is
 * enough at first: the rest, for which the signed digests vouch, is read from flash before the commit. */
static bool app_follows(const sr_migration_t *migration)
{
    return migration->config->http_config != NULL;
}

/* What can not be read is no fault of the bundle. */
static esp_err_t unless_unreadable(sr_migration_t *migration, esp_err_t err)
{
    if (migration->result_err == ESP_OK) {
        return err;
    }
    migration->plan->refusal = ESP_SELF_REFLASHER_REFUSED_NOT;
    migration->plan->refusal_text[0] = '\0';
    ESP_LOGE(TAG, "the result can not be read: %s", esp_self_reflasher_err_to_name(migration->result_err));
    return migration->result_err;
}

esp_err_t sr_migration_check_app(sr_migration_t *migration)
{
    const uint32_t others = ~(uint32_t)ESP_SELF_REFLASHER_CHECK_APP;
    if (!app_follows(migration)) {
        return ESP_OK;
    }
    return unless_unreadable(migration, check_result(migration, migration->config->skip_checks | others, false));
}

/* What is left to do, and what comes of it. */
static esp_err_t check_work(sr_migration_t *migration)
{
    esp_err_t err = check_result(migration, migration->config->skip_checks, app_follows(migration));
    if (err == ESP_OK) {
        err = check_signatures(migration);
    }
    if (err == ESP_OK && migration->overwrite.size == 0) {
        err = sr_migration_find_recovery(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_reserve_mark(migration);
    }
    if (err != ESP_OK || migration->overwrite.size > 0) {
        return err; /* In place nothing stands in, nothing moves, and no record lists what else is erased. */
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
        err = check_encryption(migration);
    }
    if (err == ESP_OK) {
        err = check_embedded_bundle(migration);
    }
    if (err == ESP_OK) {
        err = sr_decoder_open(&migration->decoder, &migration->manifest.bundle, &migration->source);
    }
    if (err == ESP_OK) {
        err = mark_new_data(migration);
    }
    if (err == ESP_OK) {
        err = sr_migration_find_way(migration);
        fill_plan(migration); /* By now it is known what stays as it is. */
    }
    return err == ESP_OK && migration->plan->sectors_to_write > 0 ? check_work(migration) : err;
}

esp_err_t sr_migration_check(sr_migration_t *migration)
{
    fill_plan(migration);
    return migration->plan->sectors_to_write > 0 ? unless_unreadable(migration, check_all(migration)) : ESP_OK;
}
