// SPDX-License-Identifier: Apache-2.0
#include "tool/run/prospect.h"

#include "tool/base/command.h"
#include "tool/pack/pack_given_up.h"
#include "tool/report/contents.h"
#include "tool/run/local_server.h"

#include <string.h>

static int look_ahead(const trial_t *trial, const image_file_t *after, prospect_t *prospect)
{
    const trial_way_t as_it_is = {0};
    esp_err_t error;
    if (!trial_plan(trial, &as_it_is, &prospect->plan, &error)) {
        return STATUS_OK; // this app has no component that could be asked
    }
    if (error == ESP_OK) {
        keep_bootloader_find(trial, &prospect->plan, after->bytes, &prospect->keep);
    }
    if (error != ESP_ERR_SELF_REFLASHER_REFUSED || !room_is_short(&prospect->plan)) {
        return STATUS_OK;
    }
    prospect->room = room_find(trial);
    return prospect->room != NULL ? STATUS_OK : complain(STATUS_BAD_INPUT, "%s: out of memory", trial->flash->path);
}

static int ask_device(const bundle_file_t *bundle, const image_file_t *flash, const image_file_t *after,
                      const boot_chip_t *chip, uint32_t app, prospect_t *prospect)
{
    char url[LOCAL_SERVER_URL_SIZE];
    local_server_t *server = local_server_start(&bundle->file, 1);
    if (server == NULL) {
        return complain(STATUS_BAD_INPUT, "cannot listen on the loopback interface");
    }
    const esp_http_client_config_t http = migration_http(local_server_url(server, 0, url), NULL);
    const esp_self_reflasher_bundle_config_t config = {.http_config = &http,
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    const migration_t migration = {.chip = *chip, .running_app = UINT32_MAX, .bundle = &config};
    const trial_t trial = {.migration = &migration,
                           .flash = flash,
                           .timing = nor_timing_find(NULL),
                           .bundle = &bundle->bundle,
                           .running_app = app};
    const int status = look_ahead(&trial, after, prospect);
    local_server_stop(server);
    return status;
}

int prospect_find(const bundle_file_t *bundle, const boot_chip_t *settled, const prospect_flash_t *flash,
                  prospect_t *prospect)
{
    boot_chip_t chip = *settled;
    const image_file_t *cells = flash->cells;
    *prospect = (prospect_t){0};
    boot_believe(&chip, cells->bytes, cells->size);
    contents_t *contents = contents_of_flash(cells->bytes, cells->size, &chip);
    if (contents == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", cells->path);
    }
    memcpy(chip.old_loader, contents->boot.bootloader.sha256, SR_SHA256_SIZE); // from here on there are two bootloaders
    if (bundle->bundle.partition_table_offset != SR_BUNDLE_NO_TABLE) {
        chip.new_partition_table = bundle->bundle.partition_table_offset;
    }
    pack_given_up_warn(&bundle->bundle, flash->view, chip.partition_table);
    int status = STATUS_OK;
    if (boot_succeeds(&contents->boot)) {
        status = ask_device(bundle, cells, flash->after, &chip, contents->boot.app_offset, prospect);
    }
    contents_free(contents);
    return status;
}

void prospect_free(prospect_t *prospect)
{
    room_free(prospect->room);
}

bool prospect_is_refused(const prospect_t *prospect)
{
    return prospect->room != NULL && (prospect->room->count == 0 || room_way_packs(&prospect->room->ways[0]));
}
