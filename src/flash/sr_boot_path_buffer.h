// SPDX-License-Identifier: Apache-2.0
/** @file
 * Sectors of the boot path that wait in RAM, until they are written in one go.
 */
#pragma once

#include "flash/sr_writer.h"

#include "esp_err.h"

#include <stdint.h>

/** Attempts for each sector, about a minute: giving up leaves a chip that does not boot, and nothing better to do. */
#define SR_BOOT_PATH_BUFFER_ATTEMPTS 1000u

/** Parts of the boot path, in the order in which they are written: with the bootloader in place before the table, a cut
 *  in between leaves a new bootloader and the old table, which still boot the app that goes on. */
typedef enum sr_boot_path_buffer_group {
    SR_BOOT_PATH_BUFFER_NEIGHBOURS, /**< Sectors that must be blank and share their block with the boot path. They come
                                       first: what a torn erase of the block has left of them is repaired while the old
                                       system boots. */
    SR_BOOT_PATH_BUFFER_BOOTLOADER,
    SR_BOOT_PATH_BUFFER_TABLE,
    SR_BOOT_PATH_BUFFER_OTADATA,
    SR_BOOT_PATH_BUFFER_GROUPS,
} sr_boot_path_buffer_group_t;

typedef struct sr_boot_path_buffer {
    sr_writer_sector_t *sectors; /**< Each has memory of its own, except blank ones, which share `blank`. */
    uint32_t capacity;
    uint32_t count;
    uint32_t group_end[SR_BOOT_PATH_BUFFER_GROUPS]; /**< Index past the last sector of each group. */
    uint8_t *blank;                                 /**< A sector of 0xFF, once a blank sector was added. */
    sr_region_t owned; /**< Blank sectors in here may be torn by an erase of their block that is cut short: the caller
                          writes them again when it starts again. Empty after sr_boot_path_buffer_open(). */
    /** A recovery bootloader stands in for the one that is written, whose first sector is then the first one here. Set
     *  by the caller after sr_boot_path_buffer_open(). */
    bool guarded;
} sr_boot_path_buffer_t;

/**
 * Makes room for the list, not for the sectors themselves.
 * @return ESP_OK or ESP_ERR_NO_MEM; sr_boot_path_buffer_close() is due in both cases.
 */
esp_err_t sr_boot_path_buffer_open(sr_boot_path_buffer_t *buffer, uint32_t capacity);

/**
 * Keeps a copy of a sector. Groups must come in their order, sectors of a group by ascending address.
 * @return ESP_OK; ESP_ERR_NO_MEM; or ESP_ERR_INVALID_SIZE if the list is full.
 */
esp_err_t sr_boot_path_buffer_add(sr_boot_path_buffer_t *buffer, sr_boot_path_buffer_group_t group,
                                  const sr_writer_sector_t *sector);

/**
 * Writes all of them, each group with sr_writer_put_group(), after one erase of a 64 KiB block that holds nothing but
 * them and blank sectors that are owned. If `guarded`, the bootloader is written with sr_writer_put_guarded(), and
 * without that erase, which would leave the chip without a table while the bootloader is written. Uses neither heap nor
 * log: may run from RAM.
 * @return as sr_writer_put()
 */
esp_err_t sr_boot_path_buffer_put(const sr_boot_path_buffer_t *buffer, sr_writer_t *writer);

void sr_boot_path_buffer_close(sr_boot_path_buffer_t *buffer);
