// SPDX-License-Identifier: Apache-2.0
/** @file
 * The first start of a bootloader that was built with Flash Encryption, on a chip that does not encrypt yet. It burns a
 * key, encrypts the flash in place, one sector after another, and burns the counter that switches encryption on.
 *
 * As ESP-IDF v5.1.6, v5.5.1 and v6.0.2 do it (bootloader_support, flash_encrypt.c, bootloader_utility.c), with a key in
 * the eFuses:
 *
 * - The order is bootloader, the table's sector, then the partitions as the table lists them: those that are flagged
 *   `encrypted`, otadata, NVS keys, and app partitions with an intact image. Others stay as they are.
 * - Of an app partition all is encrypted, or only the image, which is the default since v5.3.
 * - What it writes to otadata at a start is written before that, and the start after it is a second one: with rollback,
 *   an app on probation is aborted there.
 * - Nothing is remembered: as long as the counter is not burnt, the ROM reads the flash as it is. A bootloader of which
 *   a sector was erased or encrypted is none to it.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "format/sr_region.h"
#include "sim/boot/boot_model.h"
#include "sim/nor/nor_flash.h"

#include <stdbool.h>
#include <stdint.h>

#define FIRST_ENCRYPTION_LABEL_SIZE 20u

typedef struct first_encryption_part {
    sr_region_t region; /**< Whole sectors. */
    bool encrypted;     /**< Else it is passed over: as a rule an app partition without an intact image. */
    char label[FIRST_ENCRYPTION_LABEL_SIZE]; /**< Of the partition; "bootloader" and "table" for the first two. */
} first_encryption_part_t;

/** What a bootloader does at its first start, in its order. */
typedef struct first_encryption_plan {
    first_encryption_part_t parts[SR_PARTITION_MAX_ENTRIES + 2u];
    unsigned count;
    bool images_only; /**< Of apps. Else: their whole partitions. */
    char fault[200];  /**< Why it cannot be done, or what it would destroy; empty: neither. */
} first_encryption_plan_t;

/**
 * Finds out what the bootloader in this flash does at its first start.
 * @param chip With `first_encryption`.
 * @param flash One that boots.
 */
void first_encryption_find(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, first_encryption_plan_t *plan);

/** The chip once that is done, in development mode. */
boot_chip_t first_encryption_chip(const boot_chip_t *chip);

/** Which power losses are tried. */
typedef struct first_encryption_losses {
    unsigned torn_states; /**< For each operation; 0: no power loss is tried at all. */
    uint32_t sample;      /**< Operations behind the bootloader that are tried, evenly spread; 0: all. */
} first_encryption_losses_t;

typedef struct first_encryption_result {
    nor_stats_t stats;      /**< Its time is all window: from the first erase until the counter is burnt. */
    uint32_t states;        /**< That power losses left, and of these, those from which */
    uint32_t starts_over;   /**< the bootloader starts over, */
    uint32_t recovers;      /**< a recovery bootloader starts the app, */
    uint32_t does_not_boot; /**< nothing boots. */
} first_encryption_result_t;

/**
 * Encrypts a flash as the bootloader does, and tells what each power loss would have left.
 * @param plan Without a fault.
 * @param[in,out] flash Its counters start at zero.
 * @return false without memory.
 */
bool first_encryption_run(const boot_chip_t *chip, const first_encryption_plan_t *plan,
                          const first_encryption_losses_t *losses, nor_flash_t *flash,
                          first_encryption_result_t *result);
