// SPDX-License-Identifier: Apache-2.0
#include "sr_relocate_esp_idf.h"

#include "self_reflasher_err.h"
#include "sr_boot_choice.h"
#include "sr_copy.h"
#include "sr_otadata.h"
#include "sr_yield_esp_idf.h"

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
    while (numbered < SR_SLOTS && slots->list[numbered] != NULL) {
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
    esp_err_t err = sr_system_find_slots(&slots);
    if (err == ESP_OK) {
        err = sr_system_find_read_only(system->boot_path.otadata, &closed);
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

static esp_err_t copy_app(const sr_system_t *system, uint32_t address, bool tops_up, sr_copy_workspace_t *workspace)
{
    const sr_region_t app = system->boot_path.running_app;
    sr_copy_t copy = {.flash = system->flash,
                      .source = app.address,
                      .length = app.size,
                      .destination = {address, app.size},
                      .tops_up = tops_up,
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
        sr_sector_look_t look;
        const sr_sector_t sector = {.address = address + offset, .used = SR_SECTOR_SIZE, .data = workspace->data};
        sr_yield(2u * SR_SECTOR_SIZE);
        esp_err_t err = sr_flash_read(&system->flash, app.address + offset, workspace->data, SR_SECTOR_SIZE);
        if (err == ESP_OK) {
            err = sr_writer_look(&writer, &sector, &look);
        }
        if (err != ESP_OK) {
            return err;
        }
        *copied = look.right;
    }
    return ESP_OK;
}

static uint32_t slot_index(const esp_partition_t *slot)
{
    return (uint32_t)slot->subtype - ESP_PARTITION_SUBTYPE_APP_OTA_MIN;
}

/* The next sequence number that the bootloader maps to this slot: it takes (sequence - 1) modulo the number of slots.
 */
static uint32_t next_sequence(const sr_otadata_t *otadata, int active, uint32_t index, uint32_t slots)
{
    const uint32_t last = active >= 0 ? otadata->entries[active].sequence : 0;
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
    sr_flash_window_t window;
    const sr_reader_t reader = sr_flash_reader(&window, &system->flash, place.address, place.size);
    const int read = sr_otadata_read(&reader, otadata);
    return read < 0 ? ESP_FAIL : read;
}

/* Into the sector that does not count now. State VALID, because this is the app that runs, and not a new one on
 * probation. */
static esp_err_t select_slot(const sr_system_t *system, const sr_otadata_t *otadata, uint32_t index, uint32_t slots,
                             sr_copy_workspace_t *workspace)
{
    const int active = sr_otadata_active(otadata);
    const uint32_t target = active == 0 ? 1u : 0u;
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = ATTEMPTS};
    const sr_sector_t sector = {.address = system->boot_path.otadata.address + target * SR_SECTOR_SIZE,
                                .used = SR_OTADATA_ENTRY_SIZE,
                                .data = workspace->data};
    memset(workspace->data, 0xFF, SR_SECTOR_SIZE);
    sr_otadata_encode(next_sequence(otadata, active, index, slots), SR_OTA_VALID, workspace->data);
    const esp_err_t err = sr_writer_put(&writer, &sector);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "otadata, sector 0x%" PRIx32 ": %s", sector.address, esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static esp_err_t relocate(const sr_system_t *system, const esp_partition_t *slot, sr_copy_workspace_t *workspace)
{
    sr_otadata_t otadata;
    sr_slots_t slots;
    bool copied = false;
    esp_err_t err = sr_system_find_slots(&slots);
    if (err == ESP_OK) {
        err = read_otadata(system, &otadata);
    }
    if (err == ESP_OK && is_selected(&otadata, slot_index(slot), slots.count)) {
        err = is_copied(system, slot->address, workspace, &copied);
    }
    if (err == ESP_OK && copied) {
        ESP_LOGE(TAG, "the app has moved to 0x%" PRIx32 " already, but the bootloader does not start it there",
                 slot->address);
        return ESP_ERR_INVALID_STATE;
    }
    if (err == ESP_OK) {
        err = copy_app(system, slot->address, false, workspace);
    }
    return err == ESP_OK ? select_slot(system, &otadata, slot_index(slot), slots.count, workspace) : err;
}

/* True unless the bootloader, as far as can be told, tries another app than the running one. */
esp_err_t sr_relocate_is_first_choice(const sr_system_t *system, sr_table_t *table, bool *first)
{
    sr_flash_window_t flash_window;
    sr_boot_choice_t choice;
    const sr_reader_t flash = sr_flash_reader(&flash_window, &system->flash, 0, system->flash.size);
    *first = !sr_boot_choose_at(&flash, system->boot_path.table.address, table, &choice) ||
             choice.app->address == system->running_partition.address;
    return flash_window.err;
}

/* The entry that counts goes last: without it the other one would count. */
static esp_err_t erase_otadata(const sr_system_t *system, const sr_otadata_t *otadata, sr_copy_workspace_t *workspace)
{
    const uint32_t last = sr_otadata_active(otadata) == 1 ? 1u : 0u;
    const uint32_t address = system->boot_path.otadata.address;
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = ATTEMPTS};
    esp_err_t err = sr_writer_clear(&writer, address + (1u - last) * SR_SECTOR_SIZE, 1, workspace->data);
    if (err == ESP_OK) {
        err = sr_writer_clear(&writer, address + last * SR_SECTOR_SIZE, 1, workspace->data);
    }
    return err;
}

static esp_err_t stay(const sr_system_t *system, sr_copy_workspace_t *workspace)
{
    sr_otadata_t otadata;
    const esp_partition_t *running = esp_ota_get_running_partition();
    const bool is_factory = running->subtype == ESP_PARTITION_SUBTYPE_APP_FACTORY;
    sr_slots_t slots;
    esp_err_t err = sr_system_find_slots(&slots);
    if (err != ESP_OK) {
        return err;
    }
    const bool is_slot = sr_slots_in(&slots, system->running_partition) != 0 && have_no_gap(&slots);
    if (system->boot_path.otadata.size < 2 * SR_SECTOR_SIZE || !(is_factory || is_slot)) {
        ESP_LOGE(TAG, "the bootloader tries another app first, and otadata can not select '%s'", running->label);
        return ESP_ERR_INVALID_STATE;
    }
    err = read_otadata(system, &otadata);
    if (err != ESP_OK) {
        return err;
    }
    return is_factory ? erase_otadata(system, &otadata, workspace)
                      : select_slot(system, &otadata, slot_index(running), slots.count, workspace);
}

esp_err_t sr_relocate_stay(const sr_system_t *system, sr_table_t *table, bool *changed)
{
    bool first = true;
    *changed = false;
    const esp_err_t err = sr_relocate_is_first_choice(system, table, &first);
    if (err != ESP_OK || first) {
        return err;
    }
    sr_copy_workspace_t *workspace = heap_caps_malloc(sizeof(*workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    ESP_LOGI(TAG, "selecting the running app, which the bootloader does not try first");
    *changed = true;
    const esp_err_t stayed = stay(system, workspace);
    heap_caps_free(workspace);
    return stayed;
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
