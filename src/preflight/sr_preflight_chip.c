// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_preflight_chip.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_boot_choice.h"
#include "format/sr_bundle.h"
#include "format/sr_reader.h"
#include "format/sr_secure_boot_v1.h"
#include "preflight/sr_preflight.h"
#include "preflight/sr_preflight_signature.h"

#include "esp_chip_info.h"
#include "esp_flash.h"

#include <stdio.h>

/* The bootloader of today; false if it is not intact, as after a power loss in the middle of it. */
static bool read_todays_bootloader(const sr_system_t *system, sr_image_t *image)
{
    const sr_boot_path_t *path = &system->boot_path;
    const sr_region_t place = path->recovery.size > 0 ? path->recovery : path->bootloader;
    sr_flash_reader_window_t window;
    const sr_reader_t reader = sr_flash_reader(&window, &system->flash, place.address, place.size);
    return sr_image_parse(&reader, image) == SR_IMAGE_OK && sr_image_verify(&reader, image, NULL) == SR_IMAGE_OK;
}

esp_err_t sr_preflight_chip_check(const sr_preflight_chip_t *verdict, uint32_t skip, bool app_follows, bool app_alone,
                                  uint32_t *failed, char *text, size_t text_size)
{
    sr_image_t today;
    esp_chip_info_t info;
    uint32_t physical_size = 0;
    if (sr_preflight_workspace_size() > SR_SECTOR_SIZE) {
        return ESP_ERR_NO_MEM;
    }
    if (esp_flash_get_physical_size(esp_flash_default_chip, &physical_size) != ESP_OK) {
        physical_size = verdict->system->flash.size; /* A chip that does not tell has at least what is used. */
    }
    esp_chip_info(&info);
    const sr_preflight_t request = {.flash = &verdict->flash,
                                    .flash_size = physical_size,
                                    .chip = verdict->system->chip,
                                    .chip_revision = info.revision,
                                    .efuses = &verdict->system->efuses,
                                    .table_offset = verdict->table_offset,
                                    .today = read_todays_bootloader(verdict->system, &today) ? &today : NULL,
                                    .is_plain = !verdict->system->flash.encryption,
                                    .app_follows = app_follows,
                                    .app_alone = app_alone,
                                    .skip = skip,
                                    .brings = verdict->brings,
                                    .brings_context = verdict->brings_context,
                                    .start = verdict->start};
    *failed = sr_preflight_check(&request, verdict->workspace, text, text_size);
    return ESP_OK;
}

/* The app that ESP-IDF's bootloader will choose; empty if it cannot be told. */
static sr_region_t chosen_app(const sr_preflight_chip_t *verdict)
{
    sr_boot_choice_t choice;
    if (!sr_boot_choice_make_at(&verdict->flash, verdict->table_offset, (sr_partition_table_t *)verdict->workspace,
                                &choice) ||
        !sr_boot_choice_skip_empty(&verdict->flash, (const sr_partition_table_t *)verdict->workspace, &choice)) {
        return (sr_region_t){0};
    }
    return (sr_region_t){choice.app->address, choice.app->size};
}

static bool check_part(const sr_preflight_chip_t *verdict, const sr_preflight_signature_part_t *part, char *text,
                       size_t text_size)
{
    return sr_preflight_signature_check_part(&verdict->flash, part, verdict->system->secure_boot,
                                             &verdict->system->keys, text, text_size);
}

static bool check_bootloader(const sr_preflight_chip_t *verdict, char *text, size_t text_size)
{
    const sr_system_t *system = verdict->system;
    const sr_preflight_signature_part_t bootloader = {
        "bootloader", {system->chip->bootloader_offset, UINT32_MAX}, true};
    if (system->secure_boot != SR_IMAGE_SECURE_BOOT_V1) {
        return check_part(verdict, &bootloader, text, text_size);
    }
    sr_flash_reader_window_t window;
    const sr_reader_t before = sr_flash_reader(&window, &system->flash, 0, system->flash.size);
    const sr_secure_boot_v1_status_t status = sr_secure_boot_v1_check(&before, &verdict->flash, system->chip);
    if (status != SR_SECURE_BOOT_V1_OK) {
        (void)snprintf(text, text_size, "Secure Boot V1 is on: %s", sr_secure_boot_v1_text(status));
    }
    return status == SR_SECURE_BOOT_V1_OK;
}

bool sr_preflight_chip_check_signatures(const sr_preflight_chip_t *verdict, bool app_follows, bool app_alone,
                                        char *text, size_t text_size)
{
    if (verdict->system->secure_boot == SR_IMAGE_SECURE_BOOT_OFF) {
        return true;
    }
    if (!app_alone && !check_bootloader(verdict, text, text_size)) {
        return false;
    }
    if (verdict->table_offset == SR_BUNDLE_NO_TABLE) {
        return true;
    }
    const sr_preflight_signature_part_t app = {"app", chosen_app(verdict), !app_follows};
    return check_part(verdict, &app, text, text_size);
}
