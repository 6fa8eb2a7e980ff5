// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/flash_buffer.h"

#include "format/sr_region.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FREED_COUNT 8u
#define HUGE_PAGE   ((size_t)2 << 20)

/** Behind the bytes. */
typedef struct tail {
    pid_t owner; /**< The process that got it: no other one may give it out again. */
} tail_t;

typedef struct freed {
    uint8_t *bytes; /**< NULL: none. */
    uint32_t size;
} freed_t;

static freed_t all_freed[FREED_COUNT];
static unsigned next_freed;

uint8_t *flash_memory_new(size_t size)
{
    if (size < HUGE_PAGE / 2) {
        return malloc(size);
    }
    uint8_t *memory = aligned_alloc(HUGE_PAGE, (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (memory != NULL) {
        (void)madvise(memory, size, MADV_HUGEPAGE); // without it, it is memory as any other
    }
    return memory;
}

/** Past the bytes, aligned for a tail_t. */
static uint32_t tail_offset(uint32_t size)
{
    return (size + (uint32_t) _Alignof(tail_t) - 1u) / (uint32_t) _Alignof(tail_t) * (uint32_t) _Alignof(tail_t);
}

static tail_t *tail_of(uint8_t *buffer, uint32_t size)
{
    return (tail_t *)(void *)(buffer + tail_offset(size));
}

static bool is_own(uint8_t *buffer, uint32_t size)
{
    return tail_of(buffer, size)->owner == getpid();
}

static uint8_t *take_freed(uint32_t size)
{
    for (freed_t *freed = all_freed; freed < all_freed + FREED_COUNT; freed++) {
        if (freed->bytes != NULL && freed->size == size && is_own(freed->bytes, size)) {
            uint8_t *buffer = freed->bytes;
            freed->bytes = NULL;
            return buffer;
        }
    }
    return NULL;
}

uint8_t *flash_buffer_new(uint32_t size)
{
    uint8_t *buffer = take_freed(size);
    if (buffer != NULL) {
        return buffer;
    }
    // of shared memory fork() copies no page tables, and a write after it copies no page
    void *memory =
        mmap(NULL, tail_offset(size) + sizeof(tail_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    buffer = memory;
    tail_of(buffer, size)->owner = getpid();
    return buffer;
}

static void unmap(uint8_t *buffer, uint32_t size)
{
    munmap(buffer, tail_offset(size) + sizeof(tail_t));
}

void flash_buffer_delete(uint8_t *buffer, uint32_t size)
{
    if (buffer == NULL) {
        return;
    }
    freed_t *freed = &all_freed[next_freed++ % FREED_COUNT];
    if (freed->bytes != NULL) {
        unmap(freed->bytes, freed->size);
    }
    *freed = (freed_t){.bytes = buffer, .size = size};
}

void flash_buffer_copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    for (uint32_t at = 0; at < size; at += SR_SECTOR_SIZE) {
        if (memcmp(to + at, from + at, SR_SECTOR_SIZE) != 0) {
            memcpy(to + at, from + at, SR_SECTOR_SIZE);
        }
    }
}
