// SPDX-License-Identifier: Apache-2.0
#include "sr_migration_internal.h"

#include "sr_result.h"

#include "esp_chip_info.h"
#include "esp_flash.h"
#include "esp_heap_caps.h"
#include "esp_ota_ops.h"

#include <inttypes.h>

_Static_assert(ESP_SELF_REFLASHER_CHECK_BOOTLOADER == SR_RESULT_BOOTLOADER, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_FLASH_SIZE == SR_RESULT_FLASH_SIZE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_FLASH_MODE == SR_RESULT_FLASH_MODE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_REVISION == SR_RESULT_REVISION, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_TABLE == SR_RESULT_TABLE, "names of one check");
_Static_assert(ESP_SELF_REFLASHER_CHECK_APP == SR_RESULT_APP, "names of one check");

static void fill_plan(sr_migration_t *migration)
{
    sr_map_summary_t summary;
    esp_self_reflasher_plan_t *plan = migration->plan;
    sr_map_summarize(&migration->map, &migration->manifest.bundle, &summary);
    plan->sectors_total = summary.total;
    plan->sectors_right = summary.total - summary.wrong;
    plan->sectors_to_write = summary.wrong;
    plan->sectors_boot_path = summary.boot_path;
    plan->bytes_to_download = migration->config->http_config != NULL ? summary.bytes : 0;
    plan->flash_ms_typical = summary.typical_ms;
    plan->flash_ms_maximum = summary.maximum_ms;
    plan->window_ms_typical = summary.window_typical_ms;
    plan->window_ms_maximum = summary.window_maximum_ms;
    plan->must_relocate = summary.running > 0;
}

/* A slot takes the running app if the target leaves the part of it alone that the app would fill. */
static bool takes_running_app(const sr_migration_t *migration, const esp_partition_t *slot)
{
    const sr_region_t app = migration->system.boot_path.running_app;
    const sr_region_t room = {slot->address, app.size};
    if (slot->size < app.size || sr_region_overlaps(room, app)) {
        return false;
    }
    for (uint32_t offset = 0; offset < room.size; offset += SR_SECTOR_SIZE) {
        if ((sr_map_at(&migration->map, room.address + offset) & SR_MAP_TARGET) != 0) {
            return false;
        }
    }
    return true;
}

static uint32_t find_slot_for_app(const sr_migration_t *migration)
{
    for (unsigned i = 0; i < 16; i++) {
        const esp_partition_t *slot =
            esp_partition_find_first(ESP_PARTITION_TYPE_APP, ESP_PARTITION_SUBTYPE_OTA(i), NULL);
        if (slot != NULL && takes_running_app(migration, slot)) {
            return slot->address;
        }
    }
    return SR_NO_ADDRESS;
}

static esp_err_t check_running_app(sr_migration_t *migration)
{
    const sr_region_t app = migration->system.boot_path.running_app;
    if (!migration->plan->must_relocate) {
        return ESP_OK;
    }
    migration->plan->relocate_to = find_slot_for_app(migration);
    if (migration->plan->relocate_to == SR_NO_ADDRESS) {
        return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP,
                                   "running app at 0x%" PRIx32 " is in the way, and no slot takes its %" PRIu32
                                   " bytes",
                                   app.address, app.size);
    }
    return sr_migration_refuse(migration, ESP_SELF_REFLASHER_REFUSED_RUNNING_APP,
                               "running app at 0x%" PRIx32 " is in the way: it must run from the slot at 0x%" PRIx32,
                               app.address, migration->plan->relocate_to);
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

/* Header of the bootloader that works today; false if it can not be read. */
static bool read_todays_bootloader(const sr_migration_t *migration, sr_image_t *image)
{
    const sr_region_t place = migration->system.boot_path.bootloader;
    sr_flash_window_t window;
    const sr_reader_t reader = sr_flash_reader(&window, &migration->system.flash, place.address, place.size);
    return sr_image_parse(&reader, image) == SR_IMAGE_OK;
}

static esp_err_t check_result(sr_migration_t *migration, uint32_t skip, bool app_follows)
{
    sr_image_t today;
    esp_chip_info_t info;
    uint32_t physical_size = 0;
    char text[sizeof(migration->plan->refusal_text)];
    const sr_reader_t reader = sr_migration_result(migration);
    void *workspace = heap_caps_malloc(sr_result_workspace_size(), MALLOC_CAP_8BIT);
    esp_err_t err =
        workspace != NULL ? esp_flash_get_physical_size(esp_flash_default_chip, &physical_size) : ESP_ERR_NO_MEM;
    if (err == ESP_OK) {
        esp_chip_info(&info);
        const sr_result_t result = {.flash = &reader,
                                    .flash_size = physical_size,
                                    .chip = migration->system.chip,
                                    .chip_revision = info.revision,
                                    .table_offset = migration->manifest.bundle.partition_table_offset,
                                    .today = read_todays_bootloader(migration, &today) ? &today : NULL,
                                    .app_follows = app_follows,
                                    .skip = skip};
        const uint32_t failed = sr_result_check(&result, workspace, text, sizeof(text));
        err = failed == 0 ? ESP_OK : sr_migration_refuse(migration, refusal_of(failed), "%s", text);
    }
    heap_caps_free(workspace);
    return err;
}

/* Over HTTP the app would have to be fetched twice to be read as a whole before anything is changed. Its header is
 * enough at first: the rest, for which the signed digests vouch, is read from flash before the commit. */
static bool app_follows(const sr_migration_t *migration)
{
    return migration->config->http_config != NULL;
}

esp_err_t sr_migration_check_app(sr_migration_t *migration)
{
    const uint32_t others = ~(uint32_t)ESP_SELF_REFLASHER_CHECK_APP;
    return app_follows(migration) ? check_result(migration, migration->config->skip_checks | others, false) : ESP_OK;
}

esp_err_t sr_migration_check(sr_migration_t *migration)
{
    fill_plan(migration);
    if (migration->plan->sectors_to_write == 0) {
        return ESP_OK;
    }
    esp_err_t err = check_rollback(migration);
    if (err == ESP_OK) {
        err = check_encryption(migration);
    }
    if (err == ESP_OK) {
        err = check_running_app(migration);
    }
    if (err == ESP_OK) {
        err = sr_decoder_open(&migration->decoder, &migration->manifest.bundle, &migration->source);
    }
    if (err == ESP_OK) {
        err = check_result(migration, migration->config->skip_checks, app_follows(migration));
    }
    return err;
}
