// SPDX-License-Identifier: Apache-2.0
/** @file
 * Copies of a whole flash, made thousands of times by an exploration: only what differs is written, and fork() is as
 * quick as without them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * Memory for a flash, or for a file that may be as large, that no other process writes. Of huge pages where the system
 * has them: to get four megabytes of ordinary pages takes longer than most of what is done with them.
 * @return NULL without memory. Owned by the caller, freed with free().
 */
uint8_t *flash_memory_new(size_t size);

/**
 * Memory for a flash, with anything in it. It is the same memory in all processes that are forked later. What was freed
 * is given out again, because new memory costs a page fault for each of its pages.
 * @return NULL without memory. Owned by the caller, freed with flash_buffer_delete().
 */
uint8_t *flash_buffer_new(uint32_t size);
/** @param buffer May be NULL; of another process, which goes on using it, too.
 *  @param size As it was asked for. */
void flash_buffer_delete(uint8_t *buffer, uint32_t size);

/** Copies @p size bytes, a multiple of a sector, but writes only where they differ. */
void flash_buffer_copy(uint8_t *to, const uint8_t *from, uint32_t size);
