// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which app ESP-IDF's bootloader tries first: its rules for otadata, factory, OTA slots and test app.
 *
 * Rules: bootloader_utility.c of ESP-IDF's bootloader_support. Whether an app is intact is not looked at.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "format/sr_reader.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum sr_boot_choice_status {
    SR_BOOT_CHOICE_OK = 0,
    SR_BOOT_CHOICE_READ_FAILED,
    SR_BOOT_CHOICE_SMALL_OTADATA, /**< The otadata partition is smaller than two sectors: the bootloader gives up. */
    SR_BOOT_CHOICE_UNCONFIRMED,   /**< The app has not been confirmed (PENDING_VERIFY): with rollback it is skipped. */
    SR_BOOT_CHOICE_NO_APP,        /**< The table has no app that the bootloader would try. */
} sr_boot_choice_status_t;

typedef struct sr_boot_choice {
    const sr_partition_table_entry_t *app; /**< Entry of the table, if the status is OK or UNCONFIRMED; else NULL. */
    const sr_partition_table_entry_t *otadata; /**< Entry of the table; NULL: it has none. */
    int index;         /**< What otadata selects: the number of an OTA slot, or -1 for the factory app. */
    uint32_t sequence; /**< Of the otadata entry that decided; valid for OK and UNCONFIRMED. UINT32_MAX: none did. */
} sr_boot_choice_t;

/**
 * Makes the bootloader's choice.
 *
 * @param flash The whole flash, as plaintext.
 * @param table Parsed and valid; must outlive the choice.
 */
sr_boot_choice_status_t sr_boot_choice_make(const sr_reader_t *flash, const sr_partition_table_t *table,
                                            sr_boot_choice_t *choice);

/**
 * The partition in which the bootloader looks for otadata: where a table has several, the last.
 * @return Entry of the table; NULL: there is none, for which the bootloader also takes an address of 0.
 */
const sr_partition_table_entry_t *sr_boot_choice_otadata(const sr_partition_table_t *table);

/**
 * The app that the bootloader tries after @p skipped others; the choice's own one after none.
 * @param choice Of a table that was parsed as @p table.
 * @return Entry of the table; NULL: there are no more.
 */
const sr_partition_table_entry_t *sr_boot_choice_tried(const sr_partition_table_t *table,
                                                       const sr_boot_choice_t *choice, unsigned skipped);

/**
 * Goes on from partitions in which no image starts to the first one in which one does, as the bootloader does: it boots
 * the factory app while otadata selects a slot that is empty. If there is none, the choice stays as it is.
 * @return false if the flash cannot be read.
 */
bool sr_boot_choice_skip_empty(const sr_reader_t *flash, const sr_partition_table_t *table, sr_boot_choice_t *choice);

/**
 * Makes the bootloader's choice by the table that lies at @p table_offset.
 * @param[out] table Storage for that table; must outlive the choice.
 * @return false if it cannot be told: the table is not valid, or the status would not be OK.
 */
bool sr_boot_choice_make_at(const sr_reader_t *flash, uint32_t table_offset, sr_partition_table_t *table,
                            sr_boot_choice_t *choice);

/**
 * Tells whether the bootloader tries one app before any other at each start from now on. Whether it was built with
 * rollback cannot be told from outside, and it makes a difference: one with rollback skips the apps that do not confirm
 * themselves, one without it takes no notice of these states. So the answer holds for both.
 *
 * @param app Address of its partition.
 * @param[out] table Storage for the table that lies at @p table_offset.
 * @return true also if that cannot be told: table or otadata cannot be read.
 */
bool sr_boot_choice_always_tries(const sr_reader_t *flash, uint32_t table_offset, uint32_t app,
                                 sr_partition_table_t *table);
