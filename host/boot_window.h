// SPDX-License-Identifier: Apache-2.0
/** @file
 * The commit window of a run: the modelled time during which a power cut would leave a chip that boots neither the old
 * system nor the new one.
 *
 * Every flash operation of the run is recorded, in whichever process does it, and replayed afterwards on a copy of the
 * flash, which is put to the boot model wherever an operation touched bytes that the boot depends on. A state is safe
 * if it boots, and if bootloader and app that execute are those of the system before or after the run, byte for byte:
 * a torn bootloader that the mask ROM starts by luck is not safe.
 */
#pragma once

#include "boot_model.h"
#include "nor_flash.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct boot_window {
    uint64_t typical_us, maximum_us; /**< Sum over the operations in the window. */
    uint32_t operations;             /**< How many those are. */
    uint32_t first_operation;        /**< Number of the first of them; valid if there is one. */
    uint32_t states_booted;          /**< States that were put to the boot model. */
    uint32_t sectors_programmed;     /**< Of the whole run: sectors in which any page was programmed. */
} boot_window_t;

/** A record of flash operations. */
typedef struct boot_window_record boot_window_record_t;

/**
 * Starts to record: keeps a copy of the flash and becomes its observer.
 * @return NULL without memory. Owned by the caller; freed with boot_window_record_delete() before the flash is.
 */
boot_window_record_t *boot_window_record_new(nor_flash_t *flash);
void boot_window_record_delete(boot_window_record_t *record);

/**
 * Replays the record.
 *
 * An operation is in the window if it starts or ends in a state that is not safe, if it changes bytes that the boot
 * before or after it executes, or if a torn version of it would not be safe.
 * @return false if the record is incomplete or there is no memory.
 */
bool boot_window_measure(const boot_window_record_t *record, const boot_chip_t *chip, boot_window_t *window);
