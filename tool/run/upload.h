// SPDX-License-Identifier: Apache-2.0
/** @file
 * What becomes of an app that is uploaded to a system that runs: it goes to a slot, and otadata selects it.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "sim/boot/boot_model.h"
#include "tool/base/image_file.h"

/** Where an upload goes. */
typedef struct upload_slot {
    sr_partition_table_entry_t entry;
    uint32_t otadata; /**< Address of its two sectors. */
    uint32_t slots;   /**< How many OTA slots there are. */
} upload_slot_t;

/**
 * Finds the slot that an update goes to, as ESP-IDF chooses it: the one after that of the running app, or the first one
 * if that runs from none.
 * @param partition_table Its place.
 * @param running Address of the app that takes the upload.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int upload_find_slot(const image_file_t *flash, uint32_t partition_table, uint32_t running, upload_slot_t *slot);

/**
 * Stores an upload as the system that runs would, and selects it for the next start.
 * @param chip How it encrypts, and whether the bootloader wants an app to confirm itself.
 * @param[in,out] flash A whole one, as its cells hold it.
 * @return STATUS_OK, or STATUS_NO after complaining that it does not fit.
 */
int upload_store(const image_file_t *upload, const upload_slot_t *slot, const boot_chip_t *chip, image_file_t *flash);
