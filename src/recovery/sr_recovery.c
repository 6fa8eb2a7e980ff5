// SPDX-License-Identifier: Apache-2.0
#include "recovery/sr_recovery.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_digest.h"
#include "format/sr_image.h"
#include "format/sr_partition_table.h"
#include "format/sr_reader.h"
#include "port/sr_efuse.h"
#include "port/sr_yield.h"
#include "preflight/sr_preflight.h"
#include "system/sr_partition.h"

#include "esp_heap_caps.h"
#include "esp_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMPARE_STEP 128u /**< Bytes read at once; they are on the stack. */

static bool same_bytes(const sr_reader_t *a, uint32_t at_a, const sr_reader_t *b, uint32_t at_b, uint32_t length)
{
    uint8_t from_a[COMPARE_STEP];
    uint8_t from_b[COMPARE_STEP];
    if (!sr_region_fits((sr_region_t){at_a, length}, a->size) ||
        !sr_region_fits((sr_region_t){at_b, length}, b->size)) {
        return false;
    }
    for (uint32_t offset = 0; offset < length; offset += COMPARE_STEP) {
        const uint32_t step = length - offset < COMPARE_STEP ? length - offset : COMPARE_STEP;
        if (a->read(a->context, at_a + offset, from_a, step) != 0 ||
            b->read(b->context, at_b + offset, from_b, step) != 0 || memcmp(from_a, from_b, step) != 0) {
            return false;
        }
    }
    return true;
}

bool sr_recovery_is_unchanged(const sr_system_t *system, const sr_reader_t *after, sr_region_t region)
{
    sr_flash_reader_window_t window;
    const sr_reader_t flash = sr_flash_reader(&window, &system->flash, 0, system->flash.size);
    return same_bytes(&flash, region.address, after, region.address, region.size);
}

#if SR_EFUSE_KNOWS_RECOVERY
static const char *TAG = "self_reflasher";

/** A bootloader for this chip that is intact. */
typedef struct bootloader {
    sr_region_t sectors; /**< Empty: there is none. */
    uint32_t length;     /**< Bytes that count, a signature block included. */
} bootloader_t;

static bootloader_t find_bootloader(const sr_system_t *system, const sr_reader_t *flash, uint32_t address)
{
    const uint32_t room = system->boot_path.table.address - system->chip->bootloader_offset;
    sr_reader_window_t window;
    sr_image_t image;
    const sr_reader_t reader = sr_reader_window(&window, flash, address, room);
    if (sr_image_parse(&reader, &image) != SR_IMAGE_OK || image.chip_id != system->chip->image_chip_id ||
        sr_image_verify(&reader, &image, NULL) != SR_IMAGE_OK) {
        return (bootloader_t){0};
    }
    const sr_region_t sectors = sr_boot_path_image(flash, (sr_region_t){address, room});
    const bool is_signed = sectors.size > sr_region_align_up(image.length, SR_SECTOR_SIZE);
    return (bootloader_t){.sectors = sectors, .length = is_signed ? sectors.size : image.length};
}

/* True if the recovery place will hold what the bootloader's place will hold. By digests: the bytes may come from a
 * bundle, and going back and forth in it would fetch them again each time. */
static bool will_be_new(const sr_system_t *system, const sr_reader_t *after, const bootloader_t *there)
{
    uint8_t recovery[SR_SHA256_SIZE];
    uint8_t primary[SR_SHA256_SIZE];
    return there->length > 0 && sr_digest_range(after, system->recovery, there->length, recovery) == SR_DIGEST_OK &&
           sr_digest_range(after, system->chip->bootloader_offset, there->length, primary) == SR_DIGEST_OK &&
           memcmp(recovery, primary, sizeof(recovery)) == 0;
}

/* True if the bootloader that will be in the recovery place starts the system of today, too: its table is written only
 * later. */
static bool boots_today(const sr_system_t *system, const sr_reader_t *flash, const sr_reader_t *after,
                        const bootloader_t *there)
{
    char text[128];
    sr_reader_window_t window;
    const sr_reader_t loader = sr_reader_window(&window, after, system->recovery, there->sectors.size);
    sr_reader_overlay_t overlay = {
        .flash = flash, .image = &loader, .destination = {system->chip->bootloader_offset, there->sectors.size}};
    const sr_reader_t today = sr_reader_overlay(&overlay);
    const sr_preflight_t result = {.flash = &today,
                                   .chip = system->chip,
                                   .chip_revision = UINT16_MAX,
                                   .table_offset = system->boot_path.table.address,
                                   .app_follows = true,
                                   .skip = ~(SR_PREFLIGHT_FLASH_SIZE | SR_PREFLIGHT_APP)};
    void *workspace = heap_caps_malloc(sr_preflight_workspace_size(), MALLOC_CAP_8BIT);
    const bool boots = workspace != NULL && sr_preflight_check(&result, workspace, text, sizeof(text)) == 0;
    heap_caps_free(workspace);
    return boots;
}

/** The first partition that is in the way. */
typedef struct obstacle {
    sr_region_t place;
    bool needs_copy;
    char text[56]; /**< Empty: none. */
} obstacle_t;

static void look_at_partition(void *context, const esp_partition_t *partition)
{
    obstacle_t *obstacle = context;
    if (obstacle->text[0] != '\0' || !sr_region_overlaps(sr_partition_region(partition), obstacle->place)) {
        return;
    }
    if (obstacle->needs_copy && sr_partition_is_read_only(partition)) {
        (void)snprintf(obstacle->text, sizeof(obstacle->text), "partition '%.16s' is flagged readonly",
                       partition->label);
    } else if ((uint32_t)partition->type != SR_PARTITION_TYPE_BOOTLOADER) {
        (void)snprintf(obstacle->text, sizeof(obstacle->text), "it lies in partition '%.16s'", partition->label);
    }
}

static void find_obstacle(const sr_system_t *system, obstacle_t *obstacle)
{
    const sr_region_t boot_path = {0, system->boot_path.table.address + SR_SECTOR_SIZE};
    if (!sr_region_fits(obstacle->place, system->flash.size)) {
        (void)snprintf(obstacle->text, sizeof(obstacle->text), "it extends past the end of flash");
    } else if (sr_region_overlaps(obstacle->place, boot_path)) {
        (void)snprintf(obstacle->text, sizeof(obstacle->text), "it covers bootloader or partition table");
    } else if (sr_partition_visit(look_at_partition, obstacle) != ESP_OK) {
        (void)snprintf(obstacle->text, sizeof(obstacle->text), "no memory to search the partition table");
    }
}

static sr_recovery_t not_used(const sr_system_t *system, const char *reason)
{
    ESP_LOGW(TAG, "recovery bootloader at 0x%" PRIx32 " is not used: %s", system->recovery, reason);
    return (sr_recovery_t){0};
}

static sr_recovery_t find_for_running(const sr_system_t *system, const sr_reader_t *flash, const sr_reader_t *after,
                                      sr_recovery_allowed_t allowed, void *context)
{
    const bootloader_t running = find_bootloader(system, flash, system->chip->bootloader_offset);
    if (running.length == 0) {
        return not_used(system, "the bootloader that runs is not intact");
    }
    const bootloader_t there = find_bootloader(system, after, system->recovery);
    const bool is_old = same_bytes(after, system->recovery, flash, running.sectors.address, running.length);
    const bool is_there = is_old || (will_be_new(system, after, &there) && boots_today(system, flash, after, &there));
    obstacle_t obstacle = {.place = {system->recovery, is_there ? there.sectors.size : running.sectors.size},
                           .needs_copy = !is_there};
    find_obstacle(system, &obstacle);
    if (obstacle.text[0] != '\0') {
        return not_used(system, obstacle.text);
    }
    if (!is_there && !allowed(context, obstacle.place)) {
        return not_used(system, "other content goes there");
    }
    return (sr_recovery_t){.place = obstacle.place, .needs_copy = !is_there};
}

sr_recovery_t sr_recovery_find(const sr_system_t *system, const sr_reader_t *after, sr_recovery_allowed_t allowed,
                               void *context)
{
    sr_flash_reader_window_t window;
    const sr_reader_t flash = sr_flash_reader(&window, &system->flash, 0, system->flash.size);
    if (system->recovery == UINT32_MAX) {
        return (sr_recovery_t){0};
    }
    if (system->flash.encryption) {
        return not_used(system, "flash encryption is on");
    }
    if (system->boot_path.recovery.size > 0) {
        const bootloader_t started = find_bootloader(system, &flash, system->recovery);
        return started.length > 0 ? (sr_recovery_t){.place = started.sectors} : not_used(system, "it is not intact");
    }
    return find_for_running(system, &flash, after, allowed, context);
}

esp_err_t sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                           uint8_t *scratch)
{
    esp_err_t err = ESP_OK;
    const uint32_t size = recovery->needs_copy ? recovery->place.size : 0;
    for (uint32_t offset = 0; offset < size && err == ESP_OK; offset += SR_SECTOR_SIZE) {
        const sr_writer_sector_t sector = {
            .address = recovery->place.address + offset, .used = SR_SECTOR_SIZE, .data = scratch};
        sr_yield(SR_YIELD_WRITE);
        err = sr_flash_read(&system->flash, system->chip->bootloader_offset + offset, scratch, SR_SECTOR_SIZE);
        if (err == ESP_OK) {
            err = sr_writer_put(writer, &sector);
        }
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "copy of the bootloader, sector 0x%" PRIx32 ": %s", writer->failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}
#else
sr_recovery_t sr_recovery_find(const sr_system_t *system, const sr_reader_t *after, sr_recovery_allowed_t allowed,
                               void *context)
{
    (void)system;
    (void)after;
    (void)allowed;
    (void)context;
    return (sr_recovery_t){0};
}

esp_err_t sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                           uint8_t *scratch)
{
    (void)system;
    (void)recovery;
    (void)writer;
    (void)scratch;
    return ESP_OK;
}
#endif
