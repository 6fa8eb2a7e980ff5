// SPDX-License-Identifier: Apache-2.0
#include "format/sr_boot_path.h"

#include "format/sr_image.h"
#include "format/sr_reader.h"

/* A table may let a partition end inside a sector. */
static sr_region_t whole_sectors(sr_region_t region)
{
    return (sr_region_t){region.address, (uint32_t)sr_region_align_up(region.size, SR_SECTOR_SIZE)};
}

sr_region_t sr_boot_path_image(const sr_reader_t *flash, sr_region_t region)
{
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, flash, region.address, region.size);
    sr_image_t image;
    if (sr_image_parse(&reader, &image) != SR_IMAGE_OK) {
        return whole_sectors(region);
    }
    uint64_t size = sr_region_align_up(image.length, SR_SECTOR_SIZE);
    if (sr_image_has_signature_block(&reader, &image, SR_IMAGE_SECURE_BOOT_OFF)) {
        size += SR_SECTOR_SIZE;
    }
    const sr_region_t room = whole_sectors(region);
    return (sr_region_t){region.address, size < room.size ? (uint32_t)size : room.size};
}

void sr_boot_path_find(const sr_reader_t *flash, const sr_chip_t *chip, uint32_t table_offset, sr_region_t otadata,
                       sr_region_t app_partition, sr_boot_path_t *path)
{
    const sr_region_t bootloader_place = {chip->bootloader_offset, table_offset - chip->bootloader_offset};
    path->bootloader = sr_boot_path_image(flash, bootloader_place);
    path->table = (sr_region_t){table_offset, SR_SECTOR_SIZE};
    path->otadata = whole_sectors(otadata);
    path->digest = (sr_region_t){0};
    path->recovery = (sr_region_t){0};
    path->running_app = app_partition.size > 0 ? sr_boot_path_image(flash, app_partition) : app_partition;
}
