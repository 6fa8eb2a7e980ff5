// SPDX-License-Identifier: Apache-2.0
/** @file
 * The recovery bootloader of chips whose ROM supports one: if the primary bootloader does not load, the ROM takes the
 * one at the sector that is burnt into an eFuse. Nothing is burnt here.
 *
 * While the primary bootloader is rewritten, the recovery place holds a copy of the one that runs, and a power loss
 * leaves a chip that boots.
 */
#pragma once

#include "flash/sr_writer.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "system/sr_system.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** A recovery bootloader that stands in for the bootloader that is to be written. */
typedef struct sr_recovery {
    sr_region_t place; /**< Whole sectors; empty: there is none, and a power loss in the bootloader bricks. */
    bool needs_copy;   /**< sr_recovery_copy() is due. */
} sr_recovery_t;

/** Tells whether the copy may go to this region: false if other content is there or will be. */
typedef bool (*sr_recovery_allowed_t)(void *context, sr_region_t room);

/**
 * Looks for a recovery bootloader that can stand in. Changes nothing. Logs why a place that is burnt is not used.
 *
 * It is the one that started the chip; or one that is, or will be before the commit, the bootloader that runs or, if it
 * boots the system of today as well, the one that will be in the primary place, byte for byte; or there is room for a
 * copy of the one that runs. Not used with flash encryption, which does not let single bytes be programmed; if no
 * intact bootloader runs from the primary place; past the end of the flash; over bootloader or table; in a partition
 * that is not for a bootloader; or where @p allowed says no.
 *
 * @param after The whole flash as it will be, as plaintext.
 */
sr_recovery_t sr_recovery_find(const sr_system_t *system, const sr_reader_t *after, sr_recovery_allowed_t allowed,
                               void *context);

/** True if the flash as it will be has the same bytes as today in a region; false also if it cannot be read. */
bool sr_recovery_is_unchanged(const sr_system_t *system, const sr_reader_t *after, sr_region_t region);

/**
 * Copies the bootloader to the recovery place, if it is not there yet. Comes before the first change to the original.
 * @param scratch SR_SECTOR_SIZE bytes of internal RAM.
 * @return ESP_OK, also if there is nothing to do; or as sr_writer_put()
 */
esp_err_t sr_recovery_copy(const sr_system_t *system, const sr_recovery_t *recovery, sr_writer_t *writer,
                           uint8_t *scratch);
