// SPDX-License-Identifier: Apache-2.0
/* A copy of the app in another OTA slot, selected for the next start. A power loss at any moment leaves the app
 * bootable where it is now: the copy is selected only once it is complete. */
#include "relocate/sr_relocation_methods.h"

#include "relocate/sr_app_copy.h"
#include "relocate/sr_app_selection.h"
#include "system/sr_partition.h"
#include "system/sr_slots.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

/* However large it is. */
static bool may_take_app(const sr_system_t *system, const esp_partition_t *slot)
{
    const sr_region_t app = system->boot_path.running_app;
    const sr_region_t room = {slot->address, app.size};
    return !sr_partition_is_read_only(slot) && sr_system_can_run_at(system, room) &&
           sr_region_fits(room, system->flash.size) && !sr_region_overlaps(room, app) &&
           !sr_region_overlaps(room, system->boot_path.recovery);
}

/* Bytes from the start of a slot that the copy could take. */
static uint32_t room_in(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                        const esp_partition_t *slot)
{
    const uint32_t wanted = request->system->boot_path.running_app.size;
    const uint32_t end = wanted < slot->size ? wanted : slot->size;
    for (uint32_t offset = 0; offset < end; offset += SR_SECTOR_SIZE) {
        if ((request->classify(request->context, slot->address + offset) & method->room) != method->room) {
            return offset;
        }
    }
    return end;
}

/* Takes the slot, or notes what is missing in it, if that is less than in those before. */
static void try_slot(const sr_relocation_request_t *request, const esp_partition_t *slot, uint32_t room,
                     sr_relocation_t *proposal)
{
    const uint32_t missing = request->system->boot_path.running_app.size - room;
    if (missing == 0) {
        proposal->slot = slot;
        proposal->address = slot->address;
        proposal->missing = 0;
    } else if (missing < proposal->missing) {
        proposal->room = (sr_region_t){slot->address, room};
        proposal->missing = missing;
    }
}

/* Not where the running system selects its app by other means than otadata. */
static esp_err_t propose(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                         sr_relocation_t *proposal)
{
    sr_slots_t slots;
    const sr_boot_path_t *path = &request->system->boot_path;
    const esp_partition_t *closed = NULL;
    esp_err_t err = sr_slots_find(&slots);
    if (err == ESP_OK) {
        err = sr_partition_find_read_only(path->otadata, &closed);
    }
    proposal->missing = UINT32_MAX;
    if (err != ESP_OK || closed != NULL || path->otadata.size < 2 * SR_SECTOR_SIZE || path->running_app.size == 0 ||
        !sr_app_selection_is_possible(&slots)) {
        return err;
    }
    for (uint32_t i = 0; i < slots.count && proposal->missing != 0; i++) {
        if (may_take_app(request->system, slots.list[i])) {
            try_slot(request, slots.list[i], room_in(method, request, slots.list[i]), proposal);
        }
    }
    return ESP_OK;
}

static const char *why_not(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    (void)request;
    return proposal->missing == UINT32_MAX ? ": none that could be selected" : NULL;
}

/* That it is copied and selected, and runs here all the same, means that the bootloader did not start it there, and
 * would not at any further start. */
static esp_err_t was_in_vain(const sr_system_t *system, const esp_partition_t *slot, sr_copy_workspace_t *workspace,
                             bool *in_vain)
{
    esp_err_t err = sr_app_selection_is(system, slot, in_vain);
    if (err == ESP_OK && *in_vain) {
        err = sr_app_copy_is_there(system, slot->address, workspace, in_vain);
    }
    if (err == ESP_OK && *in_vain) {
        ESP_LOGE(TAG, "the app is at 0x%" PRIx32 " already and selected, but the bootloader did not start it there",
                 slot->address);
    }
    return err;
}

static esp_err_t move(const sr_system_t *system, const esp_partition_t *slot, sr_copy_workspace_t *workspace)
{
    bool in_vain = false;
    esp_err_t err = was_in_vain(system, slot, workspace, &in_vain);
    if (err == ESP_OK && in_vain) {
        return ESP_ERR_INVALID_STATE;
    }
    if (err == ESP_OK) {
        err = sr_app_selection_keep(system, workspace);
    }
    if (err == ESP_OK) {
        err = sr_app_copy(system, slot->address, false, workspace);
    }
    return err == ESP_OK ? sr_app_selection_set(system, slot, workspace) : err;
}

static esp_err_t execute(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    sr_copy_workspace_t *workspace = heap_caps_malloc(sizeof(*workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    ESP_LOGI(TAG, "moving the running app from 0x%" PRIx32 " to '%s' at 0x%" PRIx32,
             request->system->boot_path.running_app.address, proposal->slot->label, proposal->slot->address);
    const esp_err_t err = move(request->system, proposal->slot, workspace);
    heap_caps_free(workspace);
    return err;
}

const sr_relocation_method_t sr_relocation_slot = {
    .kind = ESP_SELF_REFLASHER_RELOCATION_SLOT,
    .room = SR_RELOCATION_ROOM_UNWANTED,
    .restarts = true,
    .propose = propose,
    .execute = execute,
};

const sr_relocation_method_t sr_relocation_slot_over_blanks = {
    .name = "in an OTA slot",
    .kind = ESP_SELF_REFLASHER_RELOCATION_SLOT,
    .room = SR_RELOCATION_ROOM_OVERWRITABLE,
    .restarts = true,
    .propose = propose,
    .why_not = why_not,
    .execute = execute,
};
