// SPDX-License-Identifier: Apache-2.0
#include "image/sr_transfer.h"

#include "flash/sr_copy.h"
#include "flash/sr_flash_reader.h"
#include "format/sr_partition_table.h"
#include "format/sr_reader.h"
#include "port/sr_yield.h"
#include "preflight/sr_preflight_signature.h"
#include "preflight/sr_preflight.h"
#include "recovery/sr_recovery.h"

#include "esp_chip_info.h"
#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

void sr_transfer_progress(const esp_self_reflasher_config_t *config, esp_self_reflasher_phase_t phase, size_t done,
                          size_t total)
{
    if (config->progress_cb != NULL) {
        config->progress_cb(config->user_ctx, phase, done, total);
    }
}

esp_err_t sr_transfer_refusal(sr_image_check_status_t status, const sr_image_check_detail_t *detail,
                              const sr_system_t *system)
{
    const sr_chip_t *chip = system->chip;
    char why[SR_PREFLIGHT_SIGNATURE_TEXT_SIZE];
    switch (status) {
    case SR_IMAGE_CHECK_OK:
        return ESP_OK;
    case SR_IMAGE_CHECK_SHA256:
        ESP_LOGE(TAG, "refused: SHA-256 of the image is not the expected one");
        return ESP_ERR_SELF_REFLASHER_SHA256;
    case SR_IMAGE_CHECK_NOT_BOOTLOADER:
        ESP_LOGE(TAG, "refused: no bootloader would be left at 0x%" PRIx32 ": %s", chip->bootloader_offset,
                 sr_image_status_text(detail->image_status));
        return ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER;
    case SR_IMAGE_CHECK_WRONG_CHIP:
        ESP_LOGE(TAG, "refused: bootloader is for chip id %u, this is %s with id %u", (unsigned)detail->chip_id,
                 chip->name, (unsigned)chip->image_chip_id);
        return ESP_ERR_SELF_REFLASHER_WRONG_CHIP;
    case SR_IMAGE_CHECK_CHECKSUM:
        ESP_LOGE(TAG, "refused: bootloader for 0x%" PRIx32 " has a wrong checksum", chip->bootloader_offset);
        return ESP_ERR_SELF_REFLASHER_CHECKSUM;
    case SR_IMAGE_CHECK_DIGEST:
        ESP_LOGE(TAG, "refused: bootloader for 0x%" PRIx32 " has a wrong SHA-256", chip->bootloader_offset);
        return ESP_ERR_SELF_REFLASHER_DIGEST;
    case SR_IMAGE_CHECK_NOT_SIGNED:
        ESP_LOGE(TAG, "refused: Secure Boot is on, and the image %s",
                 sr_preflight_signature_text(&system->keys, &detail->signature, why));
        return ESP_ERR_SELF_REFLASHER_NOT_SIGNED;
    case SR_IMAGE_CHECK_KEYED:
        ESP_LOGE(TAG, "refused: Secure Boot V1 is on: %s", sr_secure_boot_v1_text(detail->v1));
        return ESP_ERR_SELF_REFLASHER_NOT_SIGNED;
    case SR_IMAGE_CHECK_READ_FAILED:
    case SR_IMAGE_CHECK_CRYPTO_FAILED:
        break;
    }
    ESP_LOGE(TAG, "image cannot be read or hashed");
    return ESP_FAIL;
}

static bool checks_image(const sr_transfer_t *transfer)
{
    return (transfer->config->flags & ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK) == 0;
}

/* Bootloader and table may be right each for itself, and the one refuse the other: this bricks real boards. Which app
 * will boot is not known here, so that of revisions and secure versions only the bootloader's count. */
static esp_err_t check_result(const sr_transfer_t *transfer, sr_reader_overlay_t *overlay)
{
    char text[160];
    esp_chip_info_t info;
    esp_chip_info(&info);
    const sr_system_t *system = transfer->system;
    const sr_reader_t after = sr_reader_overlay(overlay);
    sr_preflight_t result = {.flash = &after,
                             .chip = system->chip,
                             .chip_revision = info.revision,
                             .efuses = &system->efuses,
                             .table_offset = system->boot_path.table.address,
                             .app_follows = true,
                             .skip = ~SR_PREFLIGHT_FLASH_SIZE};
    void *workspace = heap_caps_malloc(sr_preflight_workspace_size(), MALLOC_CAP_8BIT);
    if (workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    uint32_t failed = sr_preflight_check(&result, workspace, text, sizeof(text));
    if (failed == 0) {
        result.table_offset = UINT32_MAX;
        result.skip = ~(SR_PREFLIGHT_REVISION | SR_PREFLIGHT_VERSION);
        failed = sr_preflight_check(&result, workspace, text, sizeof(text));
    }
    heap_caps_free(workspace);
    if (failed == 0) {
        return ESP_OK;
    }
    ESP_LOGE(TAG, "refused: %s", text);
    return failed == SR_PREFLIGHT_FLASH_SIZE ? ESP_ERR_SELF_REFLASHER_FLASH_SIZE : ESP_ERR_SELF_REFLASHER_REVISION;
}

/* With Secure Boot V1 the digest in front of the bootloader is written with it. */
static sr_region_t bootloader_with_digest(const sr_boot_path_t *path)
{
    const uint32_t start = path->digest.size > 0 ? path->digest.address : path->bootloader.address;
    return (sr_region_t){start, path->bootloader.address + path->bootloader.size - start};
}

static bool touches_bootloader_or_table(const sr_transfer_t *transfer)
{
    const sr_boot_path_t *path = &transfer->system->boot_path;
    return sr_region_overlaps(transfer->destination, path->bootloader) ||
           sr_region_overlaps(transfer->destination, path->table);
}

/* What must stay as it is. */
static esp_err_t check_unchanged(const sr_system_t *system, const sr_reader_t *after)
{
    if (!sr_recovery_is_unchanged(system, after, system->boot_path.recovery)) {
        ESP_LOGE(TAG,
                 "refused: the recovery bootloader at 0x%" PRIx32
                 " started the chip, and other content would go there: restore 0x%" PRIx32 " first",
                 system->recovery, system->chip->bootloader_offset);
        return ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER;
    }
    /* Cells after the table may be erased, which decrypt to something else than the 0xFF of an image. */
    const sr_region_t table = {system->boot_path.table.address, SR_PARTITION_TABLE_SIZE};
    if (system->flash.encryption && !sr_recovery_is_unchanged(system, after, table)) {
        ESP_LOGE(TAG, "refused: flash encryption is on, and the partition table, which says what is encrypted, would "
                      "change");
        return ESP_ERR_NOT_SUPPORTED;
    }
    return ESP_OK;
}

esp_err_t sr_transfer_check(const sr_transfer_t *transfer)
{
    const sr_system_t *system = transfer->system;
    sr_flash_reader_window_t image_window;
    sr_flash_reader_window_t flash_window;
    const sr_reader_t image = sr_flash_reader(&image_window, &system->flash, transfer->source, transfer->length);
    const sr_reader_t flash = sr_flash_reader(&flash_window, &system->flash, 0, system->flash.size);
    const sr_image_check_t check = {.flash = &flash,
                                    .image = &image,
                                    .destination = transfer->destination,
                                    .chip = system->chip,
                                    .bootloader = system->boot_path.bootloader,
                                    .secure_boot = system->secure_boot,
                                    .keys = &system->keys};
    sr_image_check_detail_t detail = {0};
    sr_image_check_status_t status = SR_IMAGE_CHECK_OK;

    sr_transfer_progress(transfer->config, ESP_SELF_REFLASHER_PHASE_CHECK, 0, transfer->length);
    if (transfer->config->sha256 != NULL) {
        status = sr_image_check_sha256(&image, transfer->config->sha256);
    }
    if (status == SR_IMAGE_CHECK_OK && checks_image(transfer)) {
        status = sr_image_check_image(&check, &detail);
    }
    if (status == SR_IMAGE_CHECK_READ_FAILED) {
        const esp_err_t err = image_window.err != ESP_OK ? image_window.err : flash_window.err;
        ESP_LOGE(TAG, "image cannot be read: %s", esp_err_to_name(err));
        return err;
    }
    sr_transfer_progress(transfer->config, ESP_SELF_REFLASHER_PHASE_CHECK, transfer->length, transfer->length);
    if (status != SR_IMAGE_CHECK_OK) {
        return sr_transfer_refusal(status, &detail, system);
    }
    sr_reader_overlay_t overlay = {.flash = &flash, .image = &image, .destination = transfer->destination};
    const sr_reader_t after = sr_reader_overlay(&overlay);
    esp_err_t err = check_unchanged(system, &after);
    if (err == ESP_OK && checks_image(transfer) && touches_bootloader_or_table(transfer)) {
        err = check_result(transfer, &overlay);
    }
    const esp_err_t read = image_window.err != ESP_OK ? image_window.err : flash_window.err;
    return err != ESP_OK && read != ESP_OK ? read : err; /* What cannot be read is no fault of the image. */
}

bool sr_transfer_leaves_alone(void *context, sr_region_t room)
{
    const sr_transfer_t *transfer = context;
    return !sr_region_overlaps(room, transfer->destination) &&
           !sr_region_overlaps(room, (sr_region_t){transfer->source, transfer->length});
}

/* Only if the image brings the bootloader's first sector, which takes part in any change of it. */
static sr_recovery_t find_recovery(const sr_transfer_t *transfer)
{
    const sr_system_t *system = transfer->system;
    const sr_region_t first = {system->chip->bootloader_offset, SR_SECTOR_SIZE};
    if (!sr_region_contains(transfer->destination, first)) {
        return (sr_recovery_t){0};
    }
    sr_flash_reader_window_t image_window;
    sr_flash_reader_window_t flash_window;
    const sr_reader_t image = sr_flash_reader(&image_window, &system->flash, transfer->source, transfer->length);
    const sr_reader_t flash = sr_flash_reader(&flash_window, &system->flash, 0, system->flash.size);
    sr_reader_overlay_t overlay = {.flash = &flash, .image = &image, .destination = transfer->destination};
    const sr_reader_t after = sr_reader_overlay(&overlay);
    if (sr_recovery_is_unchanged(system, &after, system->boot_path.bootloader)) {
        return (sr_recovery_t){0};
    }
    return sr_recovery_find(system, &after, sr_transfer_leaves_alone, (void *)(uintptr_t)transfer);
}

static void copy_progress(void *context, uint32_t done, uint32_t total)
{
    const sr_transfer_t *transfer = context;
    sr_transfer_progress(transfer->config, ESP_SELF_REFLASHER_PHASE_COPY, done, total);
}

/* What runs from RAM cannot use the encrypted calls: they read through the cache, which is off. */
static esp_err_t copy_in_place(sr_copy_t *copy)
{
    if (copy->flash.encryption) {
        ESP_LOGE(TAG, "refused: with flash encryption the running app cannot be overwritten");
        return ESP_ERR_NOT_SUPPORTED;
    }
    ESP_LOGW(TAG, "overwriting the running app from RAM; ends in a reset");
    return sr_copy_execute_in_place(copy);
}

static esp_err_t copy_bootloader(const sr_transfer_t *transfer, const sr_recovery_t *recovery, sr_copy_t *copy)
{
    sr_writer_t writer = {.flash = &copy->flash, .readback = copy->workspace->readback, .attempts = SR_WRITER_ATTEMPTS};
    if (!copy->guarded) {
        return ESP_OK;
    }
    ESP_LOGI(TAG, "recovery bootloader at 0x%" PRIx32 " stands in while the bootloader is written",
             recovery->place.address);
    return sr_recovery_copy(transfer->system, recovery, &writer, copy->workspace->data);
}

/* Nothing of the flash changes before all that the boot path needs is in RAM. */
static esp_err_t run_copy(const sr_transfer_t *transfer, const sr_recovery_t *recovery, sr_copy_t *copy)
{
    esp_err_t err = sr_copy_prepare(copy);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "boot path sectors cannot be held in RAM: %s", esp_err_to_name(err));
        return err;
    }
    err = copy_bootloader(transfer, recovery, copy);
    if (err != ESP_OK) {
        return err;
    }
    ESP_LOGI(TAG,
             "copying %" PRIu32 " bytes from 0x%" PRIx32 " to 0x%" PRIx32 "..0x%" PRIx32
             ", sectors of the boot path last: %" PRIu32,
             transfer->length, transfer->source, transfer->destination.address,
             transfer->destination.address + transfer->destination.size, sr_copy_boot_path_sectors(copy));
    if (transfer->over_app) {
        return copy_in_place(copy);
    }
    err = sr_copy_execute(copy);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "sector 0x%" PRIx32 ": %s", copy->failed_address, esp_self_reflasher_err_to_name(err));
    }
    return err;
}

esp_err_t sr_transfer_changes_app(const sr_transfer_t *transfer, bool *changes)
{
    const sr_copy_t copy = {.flash = transfer->system->flash,
                            .source = transfer->source,
                            .length = transfer->length,
                            .destination = transfer->destination,
                            .yield = sr_yield,
                            .workspace =
                                heap_caps_malloc(sizeof(*copy.workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT)};
    if (copy.workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_err_t err = sr_copy_changes(&copy, transfer->system->boot_path.running_app, changes);
    heap_caps_free(copy.workspace);
    return err;
}

esp_err_t sr_transfer_copy(const sr_transfer_t *transfer)
{
    const sr_boot_path_t *boot_path = &transfer->system->boot_path;
    const sr_recovery_t recovery = find_recovery(transfer);
    sr_copy_t copy = {.flash = transfer->system->flash,
                      .source = transfer->source,
                      .length = transfer->length,
                      .destination = transfer->destination,
                      .last = {[SR_BOOT_PATH_BUFFER_BOOTLOADER] = bootloader_with_digest(boot_path),
                               [SR_BOOT_PATH_BUFFER_TABLE] = boot_path->table,
                               [SR_BOOT_PATH_BUFFER_OTADATA] = boot_path->otadata},
                      .guarded = recovery.place.size > 0,
                      .progress = copy_progress,
                      .yield = sr_yield,
                      .progress_context = (void *)(uintptr_t)transfer,
                      .workspace = heap_caps_malloc(sizeof(*copy.workspace), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT)};
    if (copy.workspace == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_err_t err = run_copy(transfer, &recovery, &copy);
    sr_copy_release(&copy);
    heap_caps_free(copy.workspace);
    return err;
}
