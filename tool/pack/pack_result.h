// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a flash will boot once it holds what is packed, as far as this can be known without the chip.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_reader.h"
#include "sim/boot/boot_model.h"
#include "tool/pack/flash_layout.h"

#include <stdbool.h>
#include <stdint.h>

/** Chips of which the eFuses are known. */
typedef struct pack_device {
    const char *path; /**< Of their summary. */
    boot_chip_t chip;
} pack_device_t;

typedef struct pack_result {
    const sr_chip_t *chip;
    const flash_layout_t *layout;
    const flash_parts_t *parts;  /**< What the layout was made of. */
    const pack_device_t *device; /**< The chips that it is for; NULL: not known. */
    uint32_t table_offset;       /**< SR_BUNDLE_NO_TABLE: none. */
    sr_partition_table_t table;  /**< Empty if it is kept. */
    uint32_t flash_size;         /**< Least size of the flash. */
    uint16_t min_revision;       /**< Lowest revision that bootloader and apps ask for. */
    uint32_t moved_end;          /**< End of the last place that data moves from or to; 0: none does. */
} pack_result_t;

/**
 * True if the packed bootloader is MCUboot, which uses no partition table.
 * @param table_offset Where the table would be.
 */
bool pack_result_is_mcuboot(const flash_layout_t *layout, const sr_chip_t *chip, uint32_t table_offset);

/** Reads the table, if it is packed. */
void pack_result_read_table(pack_result_t *result);

/** True if a boot of what is packed reads in this region. */
bool pack_result_boot_reads(const pack_result_t *result, sr_region_t region);

/** Address of the app that boots from what is packed. @return false if none boots from that alone. */
bool pack_result_app(const pack_result_t *result, uint32_t *address);

/** Finds flash_size and min_revision. @param flash_size As given by the user; 0: not given. */
void pack_result_find_demands(pack_result_t *result, uint32_t flash_size);

/** The flash as it will be, for the checks. */
typedef struct pack_future {
    const flash_layout_t *layout;
    bool kept_is_blank; /**< Otherwise kept flash cannot be read, since its content is not known here. */
} pack_future_t;

/** A reader of that flash, of so many bytes. */
sr_reader_t pack_result_reader(pack_future_t *future, uint32_t size);

/** For messages. */
#define PACK_CHECK_NAMES "bootloader, flash-size, flash-mode, revision, table, app, secure-version"

/** Bit of a check by its name, SR_PREFLIGHT_..., or 0. */
uint32_t pack_check_bit(const char *name);

/**
 * Runs all checks that the chip will run, as far as it is known, and boots a model of it. What cannot be known without
 * the kept part of the flash is a warning.
 * @param skip SR_PREFLIGHT_... that are switched off.
 * @return STATUS_OK, or STATUS_NO after complaining.
 */
int pack_result_check(const pack_result_t *result, uint32_t skip);
