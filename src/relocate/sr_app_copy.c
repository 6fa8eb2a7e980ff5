// SPDX-License-Identifier: Apache-2.0
#include "relocate/sr_app_copy.h"

#include "self_reflasher_err.h"
#include "port/sr_yield.h"

#include "esp_log.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

esp_err_t sr_app_copy(const sr_system_t *system, uint32_t address, bool program_only, sr_copy_workspace_t *workspace)
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

esp_err_t sr_app_copy_is_there(const sr_system_t *system, uint32_t address, sr_copy_workspace_t *workspace, bool *there)
{
    const sr_region_t app = system->boot_path.running_app;
    sr_writer_t writer = {.flash = &system->flash, .readback = workspace->readback, .attempts = 1};
    *there = true;
    for (uint32_t offset = 0; offset < app.size && *there; offset += SR_SECTOR_SIZE) {
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
        *there = comparison.right;
    }
    return ESP_OK;
}
