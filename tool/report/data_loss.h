// SPDX-License-Identifier: Apache-2.0
/** @file
 * What of the old system's data a migration overwrites: NVS with its Wi-Fi access, calibration, file systems.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "tool/pack/bundle_file.h"
#include "tool/report/given_up.h"

#include <cjson/cJSON.h>
#include <stdint.h>

/** A data partition of the old system that loses something. */
typedef struct data_loss {
    sr_partition_table_entry_t partition; /**< Of the old system's table. */
    uint32_t used;                        /**< Sectors that were not blank. */
    uint32_t lost;                        /**< Those of them that hold something else afterwards. */
    bool given_up;                        /**< All may be overwritten on the way, whatever is there afterwards. */
} data_loss_t;

typedef struct data_losses {
    data_loss_t list[SR_PARTITION_MAX_ENTRIES];
    unsigned count;
} data_losses_t;

/** A flash, and the table that the system in it goes by. */
typedef struct data_loss_side {
    const uint8_t *flash;
    uint32_t size; /**< Bytes; of both sides the smaller one counts. */
    const sr_partition_table_t *table;
} data_loss_side_t;

/**
 * Compares both sides. What the new system has in a partition of the same label, wherever that lies, is not lost; nor
 * is otadata, which the new system needs for itself.
 * @param given_up What may be overwritten besides.
 */
void data_losses_find(const data_loss_side_t *old, const data_loss_side_t *fresh, const given_up_t *given_up,
                      data_losses_t *losses);

/**
 * The same for what a bundle makes of a flash.
 * @param after That flash with the bundle in it.
 */
void data_losses_of_bundle(const sr_bundle_t *bundle, const image_file_t *before, const image_file_t *after,
                           data_losses_t *losses);

/**
 * Warns of each, on stderr.
 * @param old Dump of the old system's flash; a table alone, or one too small, tells nothing.
 */
void data_losses_warn(const bundle_file_t *bundle, const image_file_t *old);

#define DATA_LOSS_TEXT_SIZE 200

/** What is lost of one, and the option of pack that keeps it, in a sentence without its period. @return @p out. */
const char *data_loss_text(const data_loss_t *loss, char out[DATA_LOSS_TEXT_SIZE]);

/** Prints a line for each, with the option of pack that keeps it. */
void data_losses_print(const data_losses_t *losses);

/** [{"label", "offset", "sectors_used", "sectors_lost", "given_up"}, ...]. Owned by the caller. */
cJSON *data_losses_json(const data_losses_t *losses);
