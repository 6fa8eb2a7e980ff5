// SPDX-License-Identifier: Apache-2.0
/** @file
 * The commit window of a run: the modelled time during which a power loss would leave a chip that boots neither the old
 * system nor the new one.
 *
 * The record of the run is replayed on a copy of the flash, which the boot model boots wherever an operation touched
 * bytes that the boot depends on. A state is safe if it boots, and if the bootloader and the app that execute are those
 * of the system before or after the run, byte for byte: a torn bootloader that the mask ROM starts by luck is not safe.
 */
#pragma once

#include "sim/boot/boot_model.h"
#include "sim/nor/flash_record.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct boot_window {
    uint64_t typical_us, maximum_us; /**< Sum over the operations in the window. */
    uint32_t operations;             /**< How many those are. */
    uint32_t first_operation;        /**< Number of the first of them; valid if there is one. */
    uint32_t states_booted;          /**< States that the boot model booted. */
    uint32_t sectors_programmed;     /**< Of the whole run: sectors in which any page was programmed. */
} boot_window_t;

/**
 * Replays a record.
 *
 * An operation is in the window if it starts or ends in a state that is not safe, if it changes bytes that the boot
 * before or after it executes, or if a torn version of it would not be safe. The magic byte of a bootloader does not
 * count among those bytes if the chip's recovery bootloader runs without it.
 * @param running The app that ran first, if it is not the one that the flash booted; NULL: it is.
 * @param inside A flag for each operation of the record, set for those in the window, the others left alone; may be
 * NULL.
 * @return false if the record cannot be read or there is no memory.
 */
bool boot_window_measure(const flash_record_t *record, const boot_chip_t *chip, const boot_code_t *running,
                         boot_window_t *window, bool *inside);
