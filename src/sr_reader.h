// SPDX-License-Identifier: Apache-2.0
/** @file
 * The one way in which parsers see bytes: a window of `size` bytes and a function that reads from it.
 *
 * Parsers are pure: they own no buffer larger than a few hundred bytes of stack, allocate nothing and know neither
 * files nor flash. On the chip a reader stands for a region of flash, on the host also for a file in memory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct sr_reader {
    void *context; /**< Handed to read(), owned by whoever made the reader. */
    /**
     * Reads exactly @p length bytes at @p offset. Callers ask only for ranges inside `size`.
     * @return 0 on success; any other value is the cause and is handed up unchanged.
     */
    int (*read)(void *context, uint32_t offset, void *buffer, size_t length);
    uint32_t size; /**< Bytes in the window. */
} sr_reader_t;
