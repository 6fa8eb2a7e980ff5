// SPDX-License-Identifier: Apache-2.0
/** @file
 * A record of flash operations, in whichever process they happen, to be replayed on a copy of the flash.
 */
#pragma once

#include "sim/nor/nor_flash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct flash_record flash_record_t;

/**
 * Starts to record: keeps a copy of the flash and becomes its observer.
 * @return NULL without memory. Owned by the caller; freed with flash_record_delete() before the flash is.
 */
flash_record_t *flash_record_new(nor_flash_t *flash);
void flash_record_delete(flash_record_t *record);

uint32_t flash_record_size(const flash_record_t *record);
/** The flash when the record began. */
const uint8_t *flash_record_before(const flash_record_t *record);

/** One operation of a record. */
typedef struct flash_step {
    nor_op_t op;
    const uint8_t *after;   /**< What its range of the flash holds after it. */
    bool first_of_boot;     /**< The first one of another process, before which the bootloader may have written, too. */
    uint32_t changed;       /**< Sectors that it found changed; of none but the first one of a boot. */
    const uint8_t *changes; /**< Those sectors as they are after it: index, content, index, ... */
} flash_step_t;

/** A place in a record. */
typedef struct flash_replay {
    const uint8_t *log, *at, *end;
} flash_replay_t;

/** Starts at the first operation recorded by now. @return false if the record cannot be read. */
bool flash_replay_open(const flash_record_t *record, flash_replay_t *replay);
void flash_replay_close(flash_replay_t *replay);
/** Takes the next operation. @return false past the last one. */
bool flash_replay_next(flash_replay_t *replay, flash_step_t *step);

/** Brings a copy of the flash from before a step to after it. */
void flash_step_apply(const flash_step_t *step, uint8_t *flash);
