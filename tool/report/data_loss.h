// SPDX-License-Identifier: Apache-2.0
/** @file
 * What of the old system's data a migration overwrites: NVS with its Wi-Fi access, calibration, file systems.
 */
#pragma once

#include "format/sr_partition_table.h"

#include <cjson/cJSON.h>
#include <stdint.h>

/** A data partition of the old system that loses something. */
typedef struct data_loss {
    const sr_partition_table_entry_t *partition; /**< Of the old system's table. */
    uint32_t used;                               /**< Sectors that were not blank. */
    uint32_t lost;                               /**< Those of them that hold something else afterwards. */
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
 * @param[out] losses Points into the old side's table.
 */
void data_losses_find(const data_loss_side_t *old, const data_loss_side_t *fresh, data_losses_t *losses);

/** Prints a line for each, with the option of pack that keeps it. */
void data_losses_print(const data_losses_t *losses);

/** [{"label", "offset", "sectors_used", "sectors_lost"}, ...]. Owned by the caller. */
cJSON *data_losses_json(const data_losses_t *losses);
