// SPDX-License-Identifier: Apache-2.0
#include "sr_verdict_esp_idf.h"

#include "sr_boot_choice.h"
#include "sr_bundle.h"
#include "sr_result.h"
#include "sr_window.h"

#include "esp_chip_info.h"
#include "esp_flash.h"
#include "esp_heap_caps.h"

/* The bootloader that works today; false if none is intact, as after a cut in the middle of it. */
static bool read_todays_bootloader(const sr_system_t *system, sr_image_t *image)
{
    const sr_boot_path_t *path = &system->boot_path;
    const sr_region_t place = path->recovery.size > 0 ? path->recovery : path->bootloader;
    sr_flash_window_t window;
    const sr_reader_t reader = sr_flash_reader(&window, &system->flash, place.address, place.size);
    return sr_image_parse(&reader, image) == SR_IMAGE_OK && sr_image_verify(&reader, image, NULL) == SR_IMAGE_OK;
}

esp_err_t sr_verdict_check(const sr_verdict_t *verdict, uint32_t skip, bool app_follows, uint32_t *failed, char *text,
                           size_t text_size)
{
    sr_image_t today;
    esp_chip_info_t info;
    uint32_t physical_size = 0;
    void *workspace = heap_caps_malloc(sr_result_workspace_size(), MALLOC_CAP_8BIT);
    const esp_err_t err =
        workspace != NULL ? esp_flash_get_physical_size(esp_flash_default_chip, &physical_size) : ESP_ERR_NO_MEM;
    if (err == ESP_OK) {
        esp_chip_info(&info);
        const sr_result_t result = {.flash = &verdict->flash,
                                    .flash_size = physical_size,
                                    .chip = verdict->system->chip,
                                    .chip_revision = info.revision,
                                    .table_offset = verdict->table_offset,
                                    .today = read_todays_bootloader(verdict->system, &today) ? &today : NULL,
                                    .app_follows = app_follows,
                                    .skip = skip};
        *failed = sr_result_check(&result, workspace, text, text_size);
    }
    heap_caps_free(workspace);
    return err;
}

/* Whose signature it is, the ROM and the bootloader will tell. */
static bool is_signed(const sr_reader_t *flash, sr_region_t place)
{
    sr_image_t image;
    sr_window_t window;
    const sr_reader_t reader = sr_window_reader(&window, flash, place.address, place.size);
    return sr_image_parse(&reader, &image) == SR_IMAGE_OK && sr_image_has_signature_block(&reader, &image);
}

/* The app that ESP-IDF's bootloader will choose; empty if it can not be told. */
static sr_region_t chosen_app(const sr_reader_t *flash, uint32_t table_offset, sr_table_t *table)
{
    sr_boot_choice_t choice;
    if (!sr_boot_choose_at(flash, table_offset, table, &choice)) {
        return (sr_region_t){0};
    }
    return (sr_region_t){choice.app->address, choice.app->size};
}

esp_err_t sr_verdict_is_signed(const sr_verdict_t *verdict, bool *passed)
{
    const sr_system_t *system = verdict->system;
    *passed =
        !system->secure_boot || is_signed(&verdict->flash, (sr_region_t){system->chip->bootloader_offset, UINT32_MAX});
    if (system->secure_boot && *passed && verdict->table_offset != SR_BUNDLE_NO_TABLE) {
        sr_table_t *table = heap_caps_malloc(sizeof(*table), MALLOC_CAP_8BIT);
        if (table == NULL) {
            return ESP_ERR_NO_MEM;
        }
        *passed = is_signed(&verdict->flash, chosen_app(&verdict->flash, verdict->table_offset, table));
        heap_caps_free(table);
    }
    return ESP_OK;
}
