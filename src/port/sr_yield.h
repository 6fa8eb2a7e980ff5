// SPDX-License-Identifier: Apache-2.0
/** @file
 * Lets the idle task run, which feeds the task watchdog.
 *
 * Reading and hashing never block, nor does reading from a server that is quicker than the chip: a loop over megabytes
 * would keep a core busy until the watchdog resets the chip. So every loop over flash, or over data from a server,
 * counts here what it reads or hashes.
 */
#pragma once

#include <stdint.h>

/** Bytes that are read, hashed or decoded between two yields at the most: some 0.1 s of work on the slowest chip, where
 *  the watchdog allows 5 s. A yield costs up to one tick. */
#define SR_YIELD_BYTES (64u * 1024u)

/** What a sector counts if it may have to be erased and programmed: up to 0.45 s by the datasheet of a W25Q32JV. */
#define SR_YIELD_WRITE (SR_YIELD_BYTES / 4u)

/**
 * Counts @p bytes that are about to be read, hashed or decoded, and lets the idle task run first if more than
 * SR_YIELD_BYTES would add up since the last yield, whichever function counted them. Blocks for up to one tick then.
 *
 * Not for what runs while the scheduler is suspended, nor between the sectors of the boot path.
 *
 * @param bytes Up to SR_YIELD_BYTES: for more at once this does not help.
 */
void sr_yield(uint32_t bytes);
