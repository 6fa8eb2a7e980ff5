// SPDX-License-Identifier: Apache-2.0
/** @file
 * The copy of an image that lies in flash to its destination: which sectors, in which order.
 *
 * In two steps. sr_copy_prepare() reads, allocates and decides, and changes nothing. sr_copy_execute() does it, without
 * heap, log or OS, so that it can run from RAM while the app that called it is being overwritten.
 *
 * Order: first all sectors that are not boot path, in the direction in which an overlapping source survives, in 64 KiB
 * erases where that is safe; then the boot path from RAM, each of its regions as one group without pause.
 */
#pragma once

#include "flash/sr_boot_path_buffer.h"
#include "flash/sr_flash.h"
#include "flash/sr_writer.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Called between flash operations, never while the boot path is being written. */
typedef void (*sr_copy_progress_t)(void *context, uint32_t done, uint32_t total);

/** Buffers of a copy, in internal RAM. */
typedef struct sr_copy_workspace {
    uint8_t data[SR_SECTOR_SIZE]; /**< Content of the sector being written. */
    uint8_t readback[SR_WRITER_READBACK_SIZE];
} sr_copy_workspace_t;

/** A copy to be made. */
typedef struct sr_copy {
    sr_flash_t flash;
    uint32_t source;                              /**< Flash address of the image, any alignment. */
    uint32_t length;                              /**< Bytes of the image, at most the destination's. */
    sr_region_t destination;                      /**< Whole sectors. */
    sr_region_t last[SR_BOOT_PATH_BUFFER_GROUPS]; /**< Boot path: what is written last, in this order. Whole sectors. */
    bool guarded;                                 /**< A recovery bootloader stands in for the one that is written. */
    sr_copy_progress_t progress;                  /**< NULL: none; not called if the copy runs from RAM. */
    void *progress_context;
    /** Lets the idle task run, now and then: called before each sector with what it counts. NULL: not at all; not
     * called if the copy runs from RAM, nor while the boot path is being written. */
    void (*yield)(uint32_t bytes);
    sr_copy_workspace_t *workspace; /**< Owned by the caller. */
    bool program_only;    /**< As in sr_writer_t, for all that is not boot path. No 64 KiB blocks are erased then. */
    sr_region_t leftover; /**< Made blank after a copy in place, its first sector last. Whole sectors. */

    sr_boot_path_buffer_t buffer; /**< Set by sr_copy_prepare(), or by the caller, who frees it then. */
    bool in_place;                /**< Set by sr_copy_execute_in_place(): there is nothing to return to. */
    uint32_t failed_address;      /**< Set by sr_copy_execute(): address of the sector at which it gave up. */
} sr_copy_t;

/**
 * Reads those sectors of the boot path that must change into RAM. Changes no flash.
 * @return ESP_OK; ESP_ERR_NO_MEM if they do not fit; or an error of the flash. Free with sr_copy_release() after
 * ESP_OK.
 */
esp_err_t sr_copy_prepare(sr_copy_t *copy);

/** Tells whether a sector of a region would change. @return ESP_OK or an error of the flash. */
esp_err_t sr_copy_changes(const sr_copy_t *copy, sr_region_t region, bool *changes);

/** Sectors of the boot path that will be written. Valid after sr_copy_prepare(). */
uint32_t sr_copy_boot_path_sectors(const sr_copy_t *copy);

/**
 * Makes the destination hold the image, blank past its end.
 * @return ESP_OK; ESP_ERR_SELF_REFLASHER_VERIFY if a sector cannot be made right; or the error of the flash
 */
esp_err_t sr_copy_execute(sr_copy_t *copy);

/**
 * Makes the same copy from RAM, while the running app is being overwritten: stops everything else on the chip, copies
 * until all is right, and resets the chip. Returns only if it cannot start; then nothing was changed.
 * @return ESP_ERR_NOT_SUPPORTED or ESP_ERR_INVALID_STATE, from sr_in_place_enter()
 */
esp_err_t sr_copy_execute_in_place(sr_copy_t *copy);

/** Frees what sr_copy_prepare() allocated. */
void sr_copy_release(sr_copy_t *copy);
