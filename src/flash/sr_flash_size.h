// SPDX-License-Identifier: Apache-2.0
/** @file
 * Flash that the old system does not use: docs/flash-size.md. Apart from sr_flash.h, whose code may have to run from
 * RAM.
 */
#pragma once

#include "flash/sr_flash.h"

/**
 * Gives access to all of the chip's flash, where the driver uses less: it goes by the size that today's bootloader has
 * in its header. Only up to 16 MiB, past which a driver that was set up for less does not address; and not with flash
 * encryption, where the driver goes by that size when it decrypts. Then, or if the chip does not tell its size,
 * everything stays as it is.
 * @param[in,out] flash Its size may grow. Other handles keep theirs.
 */
void sr_flash_size_extend(sr_flash_t *flash);

/** Takes that back: from here on the driver goes by the size of today's bootloader again. To be called before the app
 *  goes on. */
void sr_flash_size_restore(void);
