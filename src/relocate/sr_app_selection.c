// SPDX-License-Identifier: Apache-2.0
#include "relocate/sr_app_selection.h"

#include "self_reflasher_err.h"
#include "flash/sr_flash_reader.h"
#include "format/sr_boot_choice.h"
#include "format/sr_otadata.h"
#include "system/sr_partition.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_ota_ops.h"

#include <inttypes.h>
#include <string.h>

static const char *TAG = "self_reflasher";

bool sr_app_selection_is_possible(const sr_slots_t *slots)
{
    uint32_t numbered = 0;
    while (numbered < SR_SLOTS_MAX && slots->list[numbered] != NULL) {
        numbered++;
    }
    return numbered == slots->count;
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
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = SR_WRITER_ATTEMPTS};
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
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = SR_WRITER_ATTEMPTS};
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

esp_err_t sr_app_selection_read(const sr_system_t *system, sr_partition_table_t *table, sr_app_selection_t *selection)
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
        *selection = SR_APP_SELECTION_STARTS;
        return ESP_OK;
    }
    const bool is_slot = sr_slots_in(&slots, system->running_partition) != 0 && sr_app_selection_is_possible(&slots);
    const bool can_select = system->boot_path.otadata.size >= 2 * SR_SECTOR_SIZE && (is_running_factory() || is_slot);
    *selection = always       ? SR_APP_SELECTION_STARTS
                 : can_select ? SR_APP_SELECTION_CAN_START
                              : SR_APP_SELECTION_CANNOT_START;
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
    sr_app_selection_t selection = SR_APP_SELECTION_STARTS;
    const esp_err_t err = sr_app_selection_read(system, (sr_partition_table_t *)workspace->data, &selection);
    if (err != ESP_OK || selection == SR_APP_SELECTION_STARTS) {
        return err;
    }
    if (selection == SR_APP_SELECTION_CANNOT_START) {
        ESP_LOGE(TAG, "the bootloader tries another app first, and otadata cannot select '%s'",
                 esp_ota_get_running_partition()->label);
        return ESP_ERR_INVALID_STATE;
    }
    return stay(system, workspace);
}

esp_err_t sr_app_selection_keep(const sr_system_t *system, sr_copy_workspace_t *workspace)
{
    sr_copy_workspace_t *own =
        workspace == NULL ? heap_caps_malloc(sizeof(*own), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT) : NULL;
    if (workspace == NULL && own == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_err_t err = stay_if_needed(system, workspace != NULL ? workspace : own);
    heap_caps_free(own);
    return err;
}

esp_err_t sr_app_selection_is(const sr_system_t *system, const esp_partition_t *slot, bool *selected)
{
    sr_otadata_t otadata;
    sr_slots_t slots;
    *selected = false;
    esp_err_t err = sr_slots_find(&slots);
    if (err == ESP_OK) {
        err = read_otadata(system, &otadata);
    }
    if (err == ESP_OK) {
        *selected = is_selected(&otadata, slot_index(slot), slots.count);
    }
    return err;
}

esp_err_t sr_app_selection_set(const sr_system_t *system, const esp_partition_t *slot, sr_copy_workspace_t *workspace)
{
    sr_otadata_t otadata;
    sr_slots_t slots;
    esp_err_t err = sr_slots_find(&slots);
    if (err == ESP_OK) {
        err = read_otadata(system, &otadata);
    }
    return err == ESP_OK ? select_slot(system, &otadata, slot_index(slot), slots.count, workspace) : err;
}
