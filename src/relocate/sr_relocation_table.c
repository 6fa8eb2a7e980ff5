// SPDX-License-Identifier: Apache-2.0
/* A copy of the app in free flash, and a partition table in which its entry lies there, until the one that is wanted
 * replaces it. Only the app's own entry changes its place, so that otadata goes on selecting it, and an app without
 * otadata moves, too.
 *
 * The place has the app's length, starts at a multiple of 64 KiB, is needed by nobody, and a table that names it would
 * be accepted by the bootloader, which would start the app from there. What belongs to no partition, or to an app that
 * is no OTA slot, is taken if it is blank, or holds what a copy that was cut short left there.
 *
 * Rewriting the table's sector is a window: a power loss in it leaves a chip that does not boot. */
#include "relocate/sr_relocation_methods.h"

#include "flash/sr_boot_path_buffer.h"
#include "flash/sr_flash_reader.h"
#include "flash/sr_writer.h"
#include "format/sr_boot_choice.h"
#include "format/sr_partition_table.h"
#include "format/sr_reader.h"
#include "port/sr_yield.h"
#include "preflight/sr_preflight.h"
#include "relocate/sr_app_copy.h"
#include "system/sr_partition.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "sdkconfig.h"

#include <inttypes.h>
#include <string.h>

#if CONFIG_SELF_REFLASHER_TEMPORARY_TABLE
#define NOWHERE UINT32_MAX

static const char *TAG = "self_reflasher";

/** What a sector is to the running system. */
typedef enum use {
    USE_NEEDED, /**< By what runs. */
    USE_KEPT,   /**< Data: only if the caller says that nobody wants it. */
    USE_NONE,   /**< Of no partition, or of another app that is no OTA slot: only where nothing is lost. */
    USE_FREE,
} use_t;

/** A search for room, in internal RAM. */
typedef struct search {
    const sr_system_t *system;
    uint8_t *uses; /**< A use_t for each sector. */
    uint32_t count;
    esp_err_t err; /**< Of a read. */
    uint8_t app[SR_SECTOR_SIZE];
    uint8_t piece[SR_WRITER_READBACK_SIZE];
} search_t;

static void mark(search_t *search, sr_region_t region, use_t use)
{
    const uint64_t end = (uint64_t)region.address + region.size;
    for (uint64_t i = region.address / SR_SECTOR_SIZE; region.size > 0 && i * SR_SECTOR_SIZE < end && i < search->count;
         i++) {
        search->uses[i] = (uint8_t)(use < search->uses[i] ? use : search->uses[i]);
    }
}

static bool is_open(const sr_system_t *system, const esp_partition_t *partition)
{
    const uint32_t subtype = (uint32_t)partition->subtype;
    return partition->type == ESP_PARTITION_TYPE_APP && !sr_partition_is_read_only(partition) &&
           (partition->address == system->running_partition.address ||
            (subtype >= ESP_PARTITION_SUBTYPE_APP_OTA_MIN && subtype < ESP_PARTITION_SUBTYPE_APP_OTA_MAX));
}

static void mark_partition(void *context, const esp_partition_t *partition)
{
    search_t *search = context;
    if (!is_open(search->system, partition)) {
        const use_t use = partition->type == ESP_PARTITION_TYPE_APP ? USE_NONE : USE_KEPT;
        mark(search, sr_partition_region(partition), sr_partition_is_read_only(partition) ? USE_NEEDED : use);
    }
}

static void open_slot(void *context, const esp_partition_t *partition)
{
    search_t *search = context;
    const sr_region_t region = sr_partition_region(partition);
    if (is_open(search->system, partition) && sr_region_fits(region, search->system->flash.size)) {
        memset(search->uses + region.address / SR_SECTOR_SIZE, USE_FREE, region.size / SR_SECTOR_SIZE);
    }
}

/* What the table says, what the boot path is, and then what the caller knows better. */
static esp_err_t mark_uses(search_t *search, const sr_relocation_request_t *request, unsigned wanted)
{
    const sr_boot_path_t *path = &search->system->boot_path;
    memset(search->uses, USE_NONE, search->count);
    esp_err_t err = sr_partition_visit(open_slot, search);
    if (err == ESP_OK) {
        err = sr_partition_visit(mark_partition, search);
    }
    mark(search, (sr_region_t){0, path->table.address + path->table.size}, USE_NEEDED);
    mark(search, path->bootloader, USE_NEEDED);
    mark(search, path->recovery, USE_NEEDED);
    mark(search, path->otadata, USE_NEEDED);
    mark(search, path->running_app, USE_NEEDED);
    for (uint32_t i = 0; i < search->count; i++) {
        const unsigned room = request->classify(request->context, i * SR_SECTOR_SIZE);
        const sr_region_t sector = {i * SR_SECTOR_SIZE, SR_SECTOR_SIZE};
        if ((room & wanted) != wanted || !sr_system_can_run_at(search->system, sector)) {
            search->uses[i] = USE_NEEDED;
        } else if ((room & SR_RELOCATION_ROOM_FREE) != 0 && search->uses[i] != USE_NEEDED) {
            search->uses[i] = USE_FREE;
        }
    }
    return err;
}

/* True if a sector can become the copy of the app's without an erase: it is blank, or was on its way to that when the
 * power went, since the copy erases none of these. So whatever else lies there, stays. */
static bool nothing_is_lost(search_t *search, uint32_t place, uint32_t offset)
{
    const sr_flash_t *flash = &search->system->flash;
    const uint32_t source = search->system->boot_path.running_app.address + offset;
    sr_yield(2u * SR_SECTOR_SIZE);
    esp_err_t err = sr_flash_read(flash, source, search->app, SR_SECTOR_SIZE);
    for (uint32_t at = 0; err == ESP_OK && at < SR_SECTOR_SIZE; at += SR_WRITER_READBACK_SIZE) {
        err = sr_flash_read(flash, place + offset + at, search->piece, SR_WRITER_READBACK_SIZE);
        for (uint32_t i = 0; i < SR_WRITER_READBACK_SIZE && err == ESP_OK; i++) {
            if ((search->piece[i] & search->app[at + i]) != search->app[at + i]) {
                return false;
            }
        }
    }
    search->err = err;
    return err == ESP_OK;
}

/* Bytes from a place on that the copy could take. The flash is read only if all of it may do. */
static uint32_t room_at(search_t *search, uint32_t place)
{
    const uint32_t wanted = search->system->boot_path.running_app.size;
    const uint8_t *uses = search->uses + place / SR_SECTOR_SIZE;
    const uint32_t left = search->count - place / SR_SECTOR_SIZE;
    uint32_t size = 0;
    while (size < wanted && size / SR_SECTOR_SIZE < left && uses[size / SR_SECTOR_SIZE] >= USE_NONE) {
        size += SR_SECTOR_SIZE;
    }
    for (uint32_t offset = 0; size == wanted && offset < wanted && search->err == ESP_OK; offset += SR_SECTOR_SIZE) {
        if (uses[offset / SR_SECTOR_SIZE] == USE_NONE && !nothing_is_lost(search, place, offset)) {
            return offset;
        }
    }
    return size;
}

/** The flash with the app at its new place, and with the table that says so. */
typedef struct outlook {
    sr_flash_reader_window_t flash_window, app_window;
    sr_reader_t flash, app, moved, table;
    sr_reader_overlay_t with_app, with_table;
} outlook_t;

static sr_reader_t look_ahead(outlook_t *outlook, const sr_system_t *system, uint32_t address, uint8_t *table)
{
    const sr_region_t app = system->boot_path.running_app;
    outlook->flash = sr_flash_reader(&outlook->flash_window, &system->flash, 0, system->flash.size);
    outlook->app = sr_flash_reader(&outlook->app_window, &system->flash, app.address, app.size);
    outlook->with_app =
        (sr_reader_overlay_t){.flash = &outlook->flash, .image = &outlook->app, .destination = {address, app.size}};
    outlook->moved = sr_reader_overlay(&outlook->with_app);
    outlook->table = sr_reader_memory(table, SR_SECTOR_SIZE);
    outlook->with_table = (sr_reader_overlay_t){
        .flash = &outlook->moved, .image = &outlook->table, .destination = system->boot_path.table};
    return sr_reader_overlay(&outlook->with_table);
}

static bool is_first_choice(const sr_reader_t *flash, uint32_t table_address, uint32_t app_address,
                            sr_partition_table_t *table)
{
    sr_boot_choice_t choice;
    return sr_boot_choice_make_at(flash, table_address, table, &choice) && choice.app->address == app_address;
}

/* True if the bootloader of today accepts this table and starts the app from its new place: it is none that ignores the
 * table, its idea of the flash size covers the place, and no other app comes first. */
static esp_err_t would_boot(const sr_system_t *system, uint32_t address, uint8_t *table_bytes, bool *boots)
{
    char text[128];
    outlook_t outlook;
    const uint32_t table_address = system->boot_path.table.address;
    const sr_reader_t flash = look_ahead(&outlook, system, address, table_bytes);
    const sr_preflight_t result = {.flash = &flash,
                                   .chip = system->chip,
                                   .chip_revision = UINT16_MAX,
                                   .table_offset = table_address,
                                   .skip = ~(SR_PREFLIGHT_FLASH_SIZE | SR_PREFLIGHT_APP)};
    const size_t size = sr_preflight_workspace_size();
    void *workspace =
        heap_caps_malloc(size > sizeof(sr_partition_table_t) ? size : sizeof(sr_partition_table_t), MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    *boots = sr_preflight_check(&result, workspace, text, sizeof(text)) == 0 &&
             is_first_choice(&flash, table_address, address, workspace);
    heap_caps_free(workspace);
    return outlook.flash_window.err != ESP_OK ? outlook.flash_window.err : outlook.app_window.err;
}

/* Whatever is wrong with it by now, or was read wrong, would get a valid MD5 with the new place of the app. */
static esp_err_t is_intact(const uint8_t *bytes, bool *intact)
{
    sr_partition_table_t *table = heap_caps_malloc(sizeof(*table), MALLOC_CAP_8BIT);
    if (table == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const sr_reader_t reader = sr_reader_memory(bytes, SR_SECTOR_SIZE);
    *intact = sr_partition_table_parse(&reader, 0, table) == SR_PARTITION_TABLE_OK;
    heap_caps_free(table);
    return ESP_OK;
}

/* Today's table, with the app at another place. */
static esp_err_t make_table(const sr_system_t *system, uint32_t address, uint8_t *bytes, bool *good)
{
    const sr_region_t place = {address, system->boot_path.running_app.size};
    bool intact = false;
    esp_err_t err = sr_flash_read(&system->flash, system->boot_path.table.address, bytes, SR_SECTOR_SIZE);
    *good = false;
    if (err == ESP_OK) {
        err = is_intact(bytes, &intact);
    }
    if (!intact || !sr_partition_table_move_app(bytes, system->running_partition.address, place)) {
        return err;
    }
    return would_boot(system, address, bytes, good);
}

/* What would boot is asked of the bootloader in its place, so that one must be the one that runs. */
static bool may_change_table(const sr_system_t *system)
{
    const esp_partition_t *closed = NULL;
    const bool open = sr_partition_find_read_only(system->boot_path.table, &closed) == ESP_OK && closed == NULL;
    return open && !system->flash.encryption && !system->secure_boot && system->boot_path.recovery.size == 0;
}

/* Upwards. So a place that the bootloader rejects is the last one: it may lie past the end of flash that its header
 * knows, as those above do, or the reason is not the place. */
static esp_err_t search_all(search_t *search, sr_relocation_t *proposal)
{
    const uint32_t wanted = search->system->boot_path.running_app.size;
    bool found = false;
    for (uint32_t at = 0; at < search->count * SR_SECTOR_SIZE && !found && search->err == ESP_OK; at += SR_BLOCK_SIZE) {
        const uint32_t size = room_at(search, at);
        found = size == wanted;
        if (wanted - size < proposal->missing) {
            proposal->missing = wanted - size;
            proposal->room = (sr_region_t){at, size};
        }
        proposal->address = found ? at : NOWHERE;
    }
    bool good = false;
    if (found && search->err == ESP_OK && may_change_table(search->system)) {
        search->err = make_table(search->system, proposal->address, search->app, &good);
    }
    proposal->rejected = found && !good;
    proposal->address = good ? proposal->address : NOWHERE;
    return search->err;
}

static esp_err_t propose(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                         sr_relocation_t *proposal)
{
    proposal->missing = request->system->boot_path.running_app.size;
    if (proposal->missing == 0) {
        proposal->missing = UINT32_MAX;
        return ESP_OK;
    }
    search_t *search = heap_caps_malloc(sizeof(*search), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (search == NULL) {
        return ESP_ERR_NO_MEM;
    }
    search->system = request->system;
    search->count = request->system->flash.size / SR_SECTOR_SIZE;
    search->err = ESP_OK;
    search->uses = heap_caps_malloc(search->count, MALLOC_CAP_8BIT);
    esp_err_t err = search->uses != NULL ? mark_uses(search, request, method->room) : ESP_ERR_NO_MEM;
    if (err == ESP_OK) {
        err = search_all(search, proposal);
    }
    heap_caps_free(search->uses);
    heap_caps_free(search);
    return err;
}

/* With flash encryption the table says what is encrypted, and with Secure Boot a bootloader may verify a signature over
 * it. */
static const char *why_not(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    const sr_system_t *system = request->system;
    if (system->flash.encryption || system->secure_boot) {
        return ", not with flash encryption or Secure Boot";
    }
    if (!request->brings_table) {
        return ", not without a new table";
    }
    if (!request->allows_temporary_table) {
        return ", not allowed";
    }
    return proposal->rejected ? ", not with this bootloader" : NULL;
}

static esp_err_t write_table(const sr_system_t *system, uint32_t address, uint8_t *bytes, uint8_t *readback)
{
    bool good = false;
    const esp_err_t err = make_table(system, address, bytes, &good);
    if (err != ESP_OK || !good) {
        ESP_LOGE(TAG, "the bootloader would not start the app from 0x%" PRIx32, address);
        return err != ESP_OK ? err : ESP_ERR_INVALID_STATE;
    }
    sr_writer_t writer = {.flash = &system->flash, .readback = readback, .attempts = SR_BOOT_PATH_BUFFER_ATTEMPTS};
    const sr_writer_sector_t sector = {
        .address = system->boot_path.table.address, .used = SR_SECTOR_SIZE, .data = bytes};
    return sr_writer_put(&writer, &sector);
}

/* Nothing was changed if the error is another one than ESP_ERR_SELF_REFLASHER_VERIFY, or that of a sector that could
 * not be made right in about a minute. */
static esp_err_t put_table(const sr_system_t *system, uint32_t address)
{
    uint8_t *buffer = heap_caps_malloc(SR_SECTOR_SIZE + SR_WRITER_READBACK_SIZE, MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (buffer == NULL) {
        return ESP_ERR_NO_MEM;
    }
    ESP_LOGW(TAG, "writing a temporary partition table: the running app lies at 0x%" PRIx32 " then", address);
    const esp_err_t err = write_table(system, address, buffer, buffer + SR_SECTOR_SIZE);
    heap_caps_free(buffer);
    return err;
}

/* What has become of a blank sector must be told from what somebody keeps there, if the power goes: so the copy
 * programs without an erase. */
static esp_err_t copy_app(const sr_system_t *system, uint32_t address)
{
    sr_copy_workspace_t *workspace = heap_caps_malloc(sizeof(*workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    ESP_LOGI(TAG, "copying the running app from 0x%" PRIx32 " to free flash at 0x%" PRIx32,
             system->boot_path.running_app.address, address);
    const esp_err_t err = sr_app_copy(system, address, true, workspace);
    heap_caps_free(workspace);
    return err;
}

static void tell(const sr_relocation_request_t *request, bool written)
{
    if (request->on_commit != NULL) {
        request->on_commit(request->context, written);
    }
}

static esp_err_t execute(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    esp_err_t err = copy_app(request->system, proposal->address);
    if (err == ESP_OK && !request->may_commit(request->context)) {
        ESP_LOGW(TAG, "the temporary partition table is put off");
        return ESP_ERR_SELF_REFLASHER_NOT_NOW;
    }
    if (err == ESP_OK) {
        tell(request, false);
        err = put_table(request->system, proposal->address);
        tell(request, err == ESP_OK);
    }
    return err;
}
#else
static esp_err_t propose(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                         sr_relocation_t *proposal)
{
    (void)method;
    (void)request;
    proposal->missing = UINT32_MAX;
    return ESP_OK;
}

static const char *why_not(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    (void)request;
    (void)proposal;
    return ": CONFIG_SELF_REFLASHER_TEMPORARY_TABLE is off";
}

static esp_err_t execute(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    (void)request;
    (void)proposal;
    return ESP_ERR_NOT_SUPPORTED;
}
#endif

const sr_relocation_method_t sr_relocation_temporary_table = {
    .name = "with a temporary table",
    .kind = ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE,
    .room = SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_LASTING,
    .restarts = true,
    .propose = propose,
    .why_not = why_not,
    .execute = execute,
};
