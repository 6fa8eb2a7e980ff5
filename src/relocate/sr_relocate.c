// SPDX-License-Identifier: Apache-2.0
#include "relocate/sr_relocate.h"

#include "self_reflasher_err.h"
#include "flash/sr_copy.h"
#include "flash/sr_flash_reader.h"
#include "format/sr_boot_choice.h"
#include "format/sr_otadata.h"
#include "port/sr_yield.h"
#include "system/sr_partition.h"
#include "system/sr_slots.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_ota_ops.h"

#include <inttypes.h>
#include <string.h>

#define ATTEMPTS 4u

static const char *TAG = "self_reflasher";

/* Bootloader and ESP-IDF count slots in different ways where the numbers of a table have a gap: there no sequence
 * number selects the same slot for both. */
static bool have_no_gap(const sr_slots_t *slots)
{
    uint32_t numbered = 0;
    while (numbered < SR_SLOTS_MAX && slots->list[numbered] != NULL) {
        numbered++;
    }
    return numbered == slots->count;
}

static bool takes_app(const sr_system_t *system, const esp_partition_t *slot)
{
    const sr_region_t app = system->boot_path.running_app;
    const sr_region_t room = {slot->address, app.size};
    return slot->size >= app.size && !sr_partition_is_read_only(slot) && sr_system_can_run_at(system, room) &&
           sr_region_fits(room, system->flash.size) && !sr_region_overlaps(room, app) &&
           !sr_region_overlaps(room, system->boot_path.recovery);
}

esp_err_t sr_relocate_find(const sr_system_t *system, sr_relocate_allowed_t allowed, void *context,
                           const esp_partition_t **slot)
{
    sr_slots_t slots;
    const esp_partition_t *closed = NULL;
    const uint32_t size = system->boot_path.running_app.size;
    esp_err_t err = sr_slots_find(&slots);
    if (err == ESP_OK) {
        err = sr_partition_find_read_only(system->boot_path.otadata, &closed);
    }
    *slot = NULL;
    if (err != ESP_OK || closed != NULL || system->boot_path.otadata.size < 2 * SR_SECTOR_SIZE || size == 0 ||
        !have_no_gap(&slots)) {
        return err;
    }
    for (uint32_t i = 0; i < slots.count && *slot == NULL; i++) {
        if (takes_app(system, slots.list[i]) && allowed(context, (sr_region_t){slots.list[i]->address, size})) {
            *slot = slots.list[i];
        }
    }
    return ESP_OK;
}

static esp_err_t copy_app(const sr_system_t *system, uint32_t address, bool program_only,
                          sr_copy_workspace_t *workspace)
{
    const sr_region_t app = system->boot_path.running_app;
    sr_copy_t copy = {.flash = system->flash,
                      .source = app.address,
                      .length = app.size,
                      .destination = {address, app.size},
                      .program_only = program_only,
                      .yield = sr_yield,
                      .workspace = workspace};
    esp_err_t err = sr_copy_prepare(&copy);
    if (err == ESP_OK) {
        err = sr_copy_execute(&copy);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "relocation, sector 0x%" PRIx32 ": %s", copy.failed_address, esp_self_reflasher_err_to_name(err));
    }
    sr_copy_release(&copy);
    return err;
}

static esp_err_t is_copied(const sr_system_t *system, uint32_t address, sr_copy_workspace_t *workspace, bool *copied)
{
    const sr_region_t app = system->boot_path.running_app;
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = 1};
    *copied = true;
    for (uint32_t offset = 0; offset < app.size && *copied; offset += SR_SECTOR_SIZE) {
        sr_writer_comparison_t comparison;
        const sr_writer_sector_t sector = {
            .address = address + offset, .used = SR_SECTOR_SIZE, .data = workspace->data};
        sr_yield(2u * SR_SECTOR_SIZE);
        esp_err_t err = sr_flash_read(&system->flash, app.address + offset, workspace->data, SR_SECTOR_SIZE);
        if (err == ESP_OK) {
            err = sr_writer_compare(&writer, &sector, &comparison);
        }
        if (err != ESP_OK) {
            return err;
        }
        *copied = comparison.right;
    }
    return ESP_OK;
}

static uint32_t slot_index(const esp_partition_t *slot)
{
    return (uint32_t)slot->subtype - ESP_PARTITION_SUBTYPE_APP_OTA_MIN;
}

/* The next sequence number that the bootloader maps to this slot: it takes (sequence - 1) modulo the number of slots.
 * Where the numbers have run out, it is one that counts only without the entry that counts today. */
static uint32_t next_sequence(const sr_otadata_t *otadata, int active, uint32_t index, uint32_t slots)
{
    const uint32_t last = active >= 0 ? otadata->entries[active].sequence : 0;
    if (last >= SR_OTADATA_NO_SEQUENCE - 1u - slots) {
        return index + 1;
    }
    uint32_t sequence = last + 1;
    while ((sequence - 1) % slots != index) {
        sequence++;
    }
    return sequence;
}

static bool is_selected(const sr_otadata_t *otadata, uint32_t index, uint32_t slots)
{
    const int active = sr_otadata_active(otadata);
    return active >= 0 && (otadata->entries[active].sequence - 1) % slots == index;
}

static esp_err_t read_otadata(const sr_system_t *system, sr_otadata_t *otadata)
{
    const sr_region_t place = system->boot_path.otadata;
    sr_flash_reader_window_t window;
    const sr_reader_t reader = sr_flash_reader(&window, &system->flash, place.address, place.size);
    const int read = sr_otadata_read(&reader, otadata);
    return read < 0 ? ESP_FAIL : read;
}

static esp_err_t tell_otadata(uint32_t address, esp_err_t err)
{
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "otadata, sector 0x%" PRIx32 ": %s", address, esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static esp_err_t clear_entry(const sr_system_t *system, uint32_t entry, sr_copy_workspace_t *workspace)
{
    const uint32_t address = system->boot_path.otadata.address + entry * SR_SECTOR_SIZE;
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = ATTEMPTS};
    return tell_otadata(address, sr_writer_clear(&writer, address, 1, workspace->data));
}

/* Into the sector that does not count now. State VALID, because this is the app that runs, and not a new one on
 * probation. */
static esp_err_t write_entry(const sr_system_t *system, const sr_otadata_t *otadata, uint32_t index, uint32_t slots,
                             sr_copy_workspace_t *workspace)
{
    const int active = sr_otadata_active(otadata);
    const uint32_t target = active == 0 ? 1u : 0u;
    const uint32_t sequence = next_sequence(otadata, active, index, slots);
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = ATTEMPTS};
    const sr_writer_sector_t sector = {.address = system->boot_path.otadata.address + target * SR_SECTOR_SIZE,
                                       .used = SR_OTADATA_ENTRY_SIZE,
                                       .data = workspace->data};
    memset(workspace->data, 0xFF, SR_SECTOR_SIZE);
    sr_otadata_encode(sequence, SR_OTA_VALID, workspace->data);
    const esp_err_t err = tell_otadata(sector.address, sr_writer_put(&writer, &sector));
    const bool counts = active < 0 || sequence > otadata->entries[active].sequence;
    return err != ESP_OK || counts ? err : clear_entry(system, 1u - target, workspace);
}

/* An entry on probation counts for a bootloader without rollback, and the other one for one that has it: if that one
 * selects the slot, it stays, and nobody starts anything else meanwhile. */
static esp_err_t select_slot(const sr_system_t *system, const sr_otadata_t *otadata, uint32_t index, uint32_t slots,
                             sr_copy_workspace_t *workspace)
{
    const int active = sr_otadata_active(otadata);
    const sr_otadata_entry_t *other = &otadata->entries[active == 0 ? 1 : 0];
    if (active >= 0 && sr_otadata_on_probation(&otadata->entries[active]) && sr_otadata_entry_valid(other) &&
        !sr_otadata_on_probation(other) && (other->sequence - 1) % slots == index) {
        return clear_entry(system, (uint32_t)active, workspace);
    }
    return write_entry(system, otadata, index, slots, workspace);
}

/* True unless the bootloader, as far as can be told, tries another app than the running one at one of the next starts.
 */
static esp_err_t is_always_tried(const sr_system_t *system, sr_partition_table_t *table, bool *always)
{
    sr_flash_reader_window_t flash_window;
    const sr_reader_t flash = sr_flash_reader(&flash_window, &system->flash, 0, system->flash.size);
    *always =
        sr_boot_choice_always_tries(&flash, system->boot_path.table.address, system->running_partition.address, table);
    return flash_window.err;
}

static bool is_running_factory(void)
{
    return esp_ota_get_running_partition()->subtype == ESP_PARTITION_SUBTYPE_APP_FACTORY;
}

esp_err_t sr_relocate_read_start(const sr_system_t *system, sr_partition_table_t *table, sr_relocate_start_t *start)
{
    bool always = true;
    sr_slots_t slots;
    esp_err_t err = is_always_tried(system, table, &always);
    if (err == ESP_OK) {
        err = sr_slots_find(&slots);
    }
    if (err != ESP_OK) {
        return err;
    }
    if (system->running_partition.size == 0) {
        *start = SR_RELOCATE_STARTS;
        return ESP_OK;
    }
    const bool is_slot = sr_slots_in(&slots, system->running_partition) != 0 && have_no_gap(&slots);
    const bool can_select = system->boot_path.otadata.size >= 2 * SR_SECTOR_SIZE && (is_running_factory() || is_slot);
    *start = always ? SR_RELOCATE_STARTS : can_select ? SR_RELOCATE_CAN_START : SR_RELOCATE_CAN_NOT_START;
    return ESP_OK;
}

/* The entry that counts goes last: without it the other one would count. */
static esp_err_t erase_otadata(const sr_system_t *system, const sr_otadata_t *otadata, sr_copy_workspace_t *workspace)
{
    const uint32_t last = sr_otadata_active(otadata) == 1 ? 1u : 0u;
    const esp_err_t err = clear_entry(system, 1u - last, workspace);
    return err == ESP_OK ? clear_entry(system, last, workspace) : err;
}

static esp_err_t stay(const sr_system_t *system, sr_copy_workspace_t *workspace)
{
    sr_otadata_t otadata;
    sr_slots_t slots;
    const esp_partition_t *running = esp_ota_get_running_partition();
    esp_err_t err = sr_slots_find(&slots);
    if (err == ESP_OK) {
        err = read_otadata(system, &otadata);
    }
    if (err != ESP_OK) {
        return err;
    }
    ESP_LOGI(TAG, "selecting the running app, which the bootloader does not try first");
    return is_running_factory() ? erase_otadata(system, &otadata, workspace)
                                : select_slot(system, &otadata, slot_index(running), slots.count, workspace);
}

_Static_assert(sizeof(sr_partition_table_t) <= sizeof(((sr_copy_workspace_t *)NULL)->data),
               "the workspace has room for a table");

static esp_err_t stay_if_needed(const sr_system_t *system, sr_copy_workspace_t *workspace)
{
    sr_relocate_start_t start = SR_RELOCATE_STARTS;
    const esp_err_t err = sr_relocate_read_start(system, (sr_partition_table_t *)workspace->data, &start);
    if (err != ESP_OK || start == SR_RELOCATE_STARTS) {
        return err;
    }
    if (start == SR_RELOCATE_CAN_NOT_START) {
        ESP_LOGE(TAG, "the bootloader tries another app first, and otadata cannot select '%s'",
                 esp_ota_get_running_partition()->label);
        return ESP_ERR_INVALID_STATE;
    }
    return stay(system, workspace);
}

/* True if that was done before, and the chip did not start there. */
static esp_err_t was_in_vain(const sr_system_t *system, const esp_partition_t *slot, uint32_t slots,
                             sr_copy_workspace_t *workspace, bool *in_vain)
{
    sr_otadata_t otadata;
    *in_vain = false;
    const esp_err_t err = read_otadata(system, &otadata);
    if (err != ESP_OK || !is_selected(&otadata, slot_index(slot), slots)) {
        return err;
    }
    return is_copied(system, slot->address, workspace, in_vain);
}

static esp_err_t relocate(const sr_system_t *system, const esp_partition_t *slot, sr_copy_workspace_t *workspace)
{
    sr_otadata_t otadata;
    sr_slots_t slots;
    bool in_vain = false;
    esp_err_t err = sr_slots_find(&slots);
    if (err == ESP_OK) {
        err = was_in_vain(system, slot, slots.count, workspace, &in_vain);
    }
    if (err == ESP_OK && in_vain) {
        ESP_LOGE(TAG, "the app is at 0x%" PRIx32 " already and selected, but the bootloader did not start it there",
                 slot->address);
        return ESP_ERR_INVALID_STATE;
    }
    if (err == ESP_OK) {
        err = stay_if_needed(system, workspace);
    }
    if (err == ESP_OK) {
        err = copy_app(system, slot->address, false, workspace);
    }
    if (err == ESP_OK) {
        err = read_otadata(system, &otadata);
    }
    return err == ESP_OK ? select_slot(system, &otadata, slot_index(slot), slots.count, workspace) : err;
}

esp_err_t sr_relocate_stay(const sr_system_t *system)
{
    sr_copy_workspace_t *workspace = heap_caps_malloc(sizeof(*workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_err_t err = stay_if_needed(system, workspace);
    heap_caps_free(workspace);
    return err;
}

esp_err_t sr_relocate_copy(const sr_system_t *system, uint32_t address)
{
    sr_copy_workspace_t *workspace = heap_caps_malloc(sizeof(*workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    ESP_LOGI(TAG, "copying the running app from 0x%" PRIx32 " to free flash at 0x%" PRIx32,
             system->boot_path.running_app.address, address);
    /* What has become of a blank sector must be told from what somebody keeps there, if the power goes. */
    const esp_err_t err = copy_app(system, address, true, workspace);
    heap_caps_free(workspace);
    return err;
}

esp_err_t sr_relocate(const sr_system_t *system, const esp_partition_t *slot)
{
    sr_copy_workspace_t *workspace = heap_caps_malloc(sizeof(*workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    ESP_LOGI(TAG, "moving the running app from 0x%" PRIx32 " to '%s' at 0x%" PRIx32,
             system->boot_path.running_app.address, slot->label, slot->address);
    const esp_err_t err = relocate(system, slot, workspace);
    heap_caps_free(workspace);
    return err;
}
