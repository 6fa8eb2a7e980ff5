// SPDX-License-Identifier: Apache-2.0
/** @file
 * The sectors without which the running system does not boot: the boot path, which is bootloader, partition table and
 * otadata, and the running app.
 *
 * Images count at their true length: what lies past the end of a bootloader or an app is not boot path.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"

#include <stdint.h>

typedef struct sr_boot_path {
    sr_region_t bootloader;  /**< Whole sectors, Secure Boot signature block included. */
    sr_region_t table;       /**< One sector. */
    sr_region_t otadata;     /**< Whole sectors, of which two are in use; empty: none. */
    sr_region_t running_app; /**< Whole sectors. */
    sr_region_t digest;      /**< With Secure Boot V1: the sector with the bootloader's digest; else empty. */
    sr_region_t recovery;    /**< The recovery bootloader, if the chip was started by it; whole sectors, else empty. */
} sr_boot_path_t;

/** The image that starts with a region, in whole sectors, Secure Boot signature block included; all of the region if
 * there is none that can be read. */
sr_region_t sr_boot_path_image(const sr_reader_t *flash, sr_region_t region);

/**
 * Looks at a flash and finds its boot path; `digest` and `recovery`, which the flash does not tell, are left empty.
 *
 * What cannot be read as an image is taken at its largest: a bootloader up to the table, an app to the end of
 * @p app_partition.
 *
 * @param flash Window over the whole flash, as plaintext.
 * @param table_offset Offset of the partition table.
 * @param otadata Region of the otadata partition; empty: none.
 * @param app_partition Partition of the running app; empty: none.
 */
void sr_boot_path_find(const sr_reader_t *flash, const sr_chip_t *chip, uint32_t table_offset, sr_region_t otadata,
                       sr_region_t app_partition, sr_boot_path_t *path);
