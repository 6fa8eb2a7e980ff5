// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_preflight_internal.h"

#include "format/sr_reader.h"

#include <inttypes.h>

#define SIXTEEN_MIB 0x1000000u

bool sr_preflight_refuse_table(sr_preflight_work_t *work)
{
    return sr_preflight_refuse(work, "Partition table at 0x%" PRIx32 ", entry %u: %s", work->request->table_offset,
                               work->table.bad_entry, sr_partition_table_status_text(work->table_status));
}

static bool refuse_partition(sr_preflight_work_t *work, uint8_t index, const char *what, sr_region_t other)
{
    const sr_partition_table_entry_t *entry = &work->table.entries[index];
    return sr_preflight_refuse(
        work, "Partition %u at 0x%" PRIx32 ", 0x%" PRIx32 " bytes, overlaps %s at 0x%" PRIx32 ", 0x%" PRIx32 " bytes",
        index, entry->address, entry->size, what, other.address, other.size);
}

static sr_region_t region_of(const sr_partition_table_entry_t *entry)
{
    return (sr_region_t){entry->address, entry->size};
}

/** The sectors up to the end of the bootloader. On some chips what lies in front of it belongs to the ROM. */
static sr_region_t bootloader_region(const sr_preflight_work_t *work)
{
    const uint32_t length = work->bootloader.image.length; // 0 if there is none to be seen
    const uint32_t start = work->request->chip->bootloader_offset;
    return (sr_region_t){0, start + (uint32_t)sr_region_align_up(length, SR_SECTOR_SIZE)};
}

static bool check_place(sr_preflight_work_t *work, uint8_t index)
{
    const sr_partition_table_entry_t *entry = &work->table.entries[index];
    const uint32_t flash_size = work->request->flash_size;
    const uint32_t alignment = entry->type == SR_PARTITION_TYPE_APP ? SR_BLOCK_SIZE : SR_SECTOR_SIZE;
    if (flash_size != 0 && !sr_region_fits(region_of(entry), flash_size)) {
        return sr_preflight_refuse(work,
                                   "Partition %u at 0x%" PRIx32 ", 0x%" PRIx32
                                   " bytes, extends past the end of flash of 0x%" PRIx32 " bytes",
                                   index, entry->address, entry->size, flash_size);
    }
    if (!sr_region_is_aligned(entry->address, alignment)) {
        return sr_preflight_refuse(work, "Partition %u starts at 0x%" PRIx32 ", which is no multiple of 0x%" PRIx32,
                                   index, entry->address, alignment);
    }
    return true;
}

/** It goes through what it encrypts by sectors, and what follows in the last one would be encrypted, too. */
static bool check_whole_sectors(sr_preflight_work_t *work, uint8_t index)
{
    const sr_partition_table_entry_t *entry = &work->table.entries[index];
    if (!work->request->is_plain || !sr_partition_table_encrypts(entry) ||
        sr_region_is_aligned(entry->size, SR_SECTOR_SIZE)) {
        return true;
    }
    if (!sr_preflight_find_traits(work)) {
        return sr_preflight_refuse_bootloader(work, SR_IMAGE_READ_FAILED);
    }
    return (work->traits & SR_PREFLIGHT_ENCRYPTS) == 0 ||
           sr_preflight_refuse(work,
                               "Partition %u at 0x%" PRIx32 " has 0x%" PRIx32
                               " bytes, no multiple of 0x1000: the bootloader encrypts it at its first start, and what "
                               "follows with it",
                               index, entry->address, entry->size);
}

static bool check_overlaps(sr_preflight_work_t *work, uint8_t index)
{
    const sr_partition_table_entry_t *entries = work->table.entries;
    const sr_region_t region = region_of(&entries[index]);
    const sr_region_t loader = bootloader_region(work);
    const sr_region_t table = {work->request->table_offset, SR_SECTOR_SIZE};
    if (entries[index].type != SR_PARTITION_TYPE_BOOTLOADER && sr_region_overlaps(region, loader)) {
        return refuse_partition(work, index, "the bootloader", loader);
    }
    if (entries[index].type != SR_PARTITION_TYPE_TABLE && sr_region_overlaps(region, table)) {
        return refuse_partition(work, index, "the partition table", table);
    }
    for (uint8_t i = 0; i < index; i++) {
        if (sr_region_overlaps(region, region_of(&entries[i]))) {
            return refuse_partition(work, index, "another one", region_of(&entries[i]));
        }
    }
    return true;
}

bool sr_preflight_check_table(sr_preflight_work_t *work)
{
    if (!sr_preflight_has_table(work)) {
        return true;
    }
    if (work->table_status != SR_PARTITION_TABLE_OK) {
        return sr_preflight_refuse_table(work);
    }
    bool has_app = false;
    for (uint8_t i = 0; i < work->table.count; i++) {
        if (!check_place(work, i) || !check_whole_sectors(work, i) || !check_overlaps(work, i)) {
            return false;
        }
        has_app |= work->table.entries[i].type == SR_PARTITION_TYPE_APP;
    }
    return has_app || sr_preflight_refuse(work, "Partition table at 0x%" PRIx32 ": none of its %u partitions is an app",
                                          work->request->table_offset, work->table.count);
}

bool sr_preflight_refuse_choice(sr_preflight_work_t *work)
{
    const sr_boot_choice_t *choice = &work->choice;
    switch (work->choice_status) {
    case SR_BOOT_CHOICE_UNCONFIRMED:
        return sr_preflight_refuse(work,
                                   "otadata at 0x%" PRIx32 " selects, with sequence %" PRIu32
                                   ", an app that has not been confirmed: after a restart it is not booted again",
                                   choice->otadata->address, choice->sequence);
    case SR_BOOT_CHOICE_SMALL_OTADATA:
        return sr_preflight_refuse(work, "otadata at 0x%" PRIx32 " has 0x%" PRIx32 " bytes: less than two sectors",
                                   choice->otadata->address, choice->otadata->size);
    case SR_BOOT_CHOICE_READ_FAILED:
        return sr_preflight_refuse(work, "otadata at 0x%" PRIx32 " cannot be read", choice->otadata->address);
    case SR_BOOT_CHOICE_NO_APP:
    case SR_BOOT_CHOICE_OK:
        break;
    }
    return sr_preflight_refuse(work, "Partition table at 0x%" PRIx32 ": the bootloader boots none of its %u partitions",
                               work->request->table_offset, work->table.count);
}

/** MCUboot's slots are fixed when it is built, and it boots nothing by the table. */
static bool check_loader_obeys_table(sr_preflight_work_t *work)
{
    if (!sr_preflight_find_traits(work)) {
        return sr_preflight_refuse_bootloader(work, SR_IMAGE_READ_FAILED);
    }
    return (work->traits & SR_PREFLIGHT_IS_MCUBOOT) == 0 ||
           sr_preflight_refuse(work,
                               "Bootloader at 0x%" PRIx32 " is MCUboot, which boots no app of the partition table at "
                               "0x%" PRIx32,
                               work->request->chip->bootloader_offset, work->request->table_offset);
}

/* The end of the image where that is known, else its start. Otadata is read by the bootloader in the same way. */
static bool check_reach(sr_preflight_work_t *work)
{
    const sr_chip_t *chip = work->request->chip;
    const sr_partition_table_entry_t *otadata = work->choice.otadata;
    const uint32_t start = work->choice.app->address;
    const uint32_t length = work->app.status == SR_IMAGE_OK ? work->app.image.length : SR_IMAGE_HEADER_SIZE;
    if (sr_chip_out_of_reach(chip, start, length)) {
        return sr_preflight_refuse(
            work, "App at 0x%" PRIx32 ", 0x%" PRIx32 " bytes, ends past 16 MB: an %s cannot run it there", start,
            length, chip->family);
    }
    return otadata == NULL || !sr_chip_out_of_reach(chip, otadata->address, 2 * SR_SECTOR_SIZE) ||
           sr_preflight_refuse(work,
                               "otadata at 0x%" PRIx32 " lies past 16 MB: the bootloader of an %s cannot read it there",
                               otadata->address, chip->family);
}

/** The app that was chosen. */
static bool check_chosen_app(sr_preflight_work_t *work)
{
    const sr_partition_table_entry_t *place = work->choice.app;
    const sr_preflight_image_t *app = &work->app;
    const sr_chip_t *chip = work->request->chip;
    if (place->size > SIXTEEN_MIB) {
        return sr_preflight_refuse(
            work, "Partition of the app at 0x%" PRIx32 " has 0x%" PRIx32 " bytes: bootloaders refuse more than 16 MB",
            place->address, place->size);
    }
    if (app->has_header && app->image.chip_id != chip->image_chip_id) {
        return sr_preflight_refuse(work, "App at 0x%" PRIx32 " is for chip id 0x%04x, this %s has 0x%04x",
                                   place->address, app->image.chip_id, chip->name, chip->image_chip_id);
    }
    if (!check_reach(work)) {
        return false;
    }
    if (work->request->app_follows && app->has_header && app->status == SR_IMAGE_TRUNCATED) {
        return true; // Only the header could be read.
    }
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, work->request->flash, place->address, place->size);
    const sr_image_status_t status =
        app->status == SR_IMAGE_OK ? sr_image_verify(&reader, &app->image, NULL) : app->status;
    return status == SR_IMAGE_OK ||
           sr_preflight_refuse(work, "App that will boot, at 0x%" PRIx32 " in 0x%" PRIx32 " bytes: %s", place->address,
                               place->size, sr_image_status_text(status));
}

/** The first app that is brought, in the order of the table; NULL: none is. */
static const sr_partition_table_entry_t *brought_app(const sr_preflight_work_t *work)
{
    const sr_preflight_t *request = work->request;
    for (uint8_t i = 0; i < work->table.count && request->brings != NULL; i++) {
        const sr_partition_table_entry_t *entry = &work->table.entries[i];
        if (entry->type == SR_PARTITION_TYPE_APP && request->brings(request->brings_context, region_of(entry))) {
            return entry;
        }
    }
    return NULL;
}

static bool encrypts_first(const sr_preflight_work_t *work)
{
    return work->request->is_plain && (work->traits & SR_PREFLIGHT_ENCRYPTS) != 0;
}

/** What brings an app is meant to start it. Otherwise the old one would go on for ever, and all would look done. */
static bool check_new_app_starts(sr_preflight_work_t *work)
{
    const sr_preflight_t *request = work->request;
    const sr_partition_table_entry_t *chosen = work->choice.app;
    const sr_partition_table_entry_t *brought = brought_app(work);
    const bool is_new = brought != NULL && request->brings(request->brings_context, region_of(chosen));
    if (request->start != NULL) {
        *request->start = (sr_preflight_start_t){
            .app = chosen->address,
            .otadata = work->choice.otadata != NULL ? work->choice.otadata->address : UINT32_MAX,
            .is_new = is_new,
            .encrypts = encrypts_first(work),
        };
    }
    return brought == NULL || is_new ||
           sr_preflight_refuse(work,
                               "the new app at 0x%" PRIx32 " would not start: otadata or a factory app selects the one "
                               "at 0x%" PRIx32 ", which stays; bring otadata that selects the new one",
                               brought->address, chosen->address);
}

bool sr_preflight_check_app(sr_preflight_work_t *work)
{
    if (work->request->start != NULL) {
        *work->request->start = (sr_preflight_start_t){.app = UINT32_MAX, .otadata = UINT32_MAX};
    }
    if (!sr_preflight_has_table(work)) {
        return true;
    }
    if (work->table_status != SR_PARTITION_TABLE_OK) {
        return sr_preflight_refuse_table(work);
    }
    if (!work->request->app_alone && !check_loader_obeys_table(work)) {
        return false;
    }
    return work->choice_status == SR_BOOT_CHOICE_OK ? check_chosen_app(work) && check_new_app_starts(work)
                                                    : sr_preflight_refuse_choice(work);
}
