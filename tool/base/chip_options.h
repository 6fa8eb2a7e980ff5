// SPDX-License-Identifier: Apache-2.0
/** @file
 * The options that say which chip is meant, the same for all subcommands; and guessing the chip from a flash.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "sim/boot/boot_model.h"

#include <argp.h>
#include <stdint.h>

/** Options --chip, --revision, --partition-table, --rollback, --recovery-bootloader and --efuse, as an argp child whose
 * input is a boot_chip_t. */
extern const struct argp chip_options_argp;

/** Reads the place of a partition table; ends the program with a complaint if it is none. */
uint32_t chip_parse_table_place(const char *argument, struct argp_state *state);

/**
 * Decides which chip is meant, with chip_detect() if no option says so.
 * @return STATUS_OK, or STATUS_USAGE after complaining that this chip's ROM supports no recovery bootloader, or checks
 * no bootloader's version.
 */
int chip_settle(boot_chip_t *chip, const uint8_t *flash, uint32_t size);

/**
 * Where the partition table of a flash is: at 0x8000, or, if there is none, at the only place from there to 0x40000
 * with an intact one that has an app. The bootloader was built with that offset, and no file tells it for certain.
 */
uint32_t chip_find_table(const uint8_t *flash, uint32_t size);

/**
 * What can be read of the partition table, even of a damaged one; empty if there is nothing.
 * @param partition_table Its offset; 0: the default.
 */
void chip_read_table(const uint8_t *flash, uint32_t size, uint32_t partition_table, sr_partition_table_t *table);

/**
 * The chip that a flash was made for, by the headers of the bootloader and of the apps in the partition table.
 *
 * A header counts as a vote for its chip if a bootloader stands where that chip's ROM looks for one. A draw goes to
 * the chip that comes first in sr_chip_at(): one damaged byte in one header must not turn the chip into another one.
 * @return Never NULL: esp32 if no header tells.
 */
const sr_chip_t *chip_detect(const uint8_t *flash, uint32_t size, uint32_t partition_table);
