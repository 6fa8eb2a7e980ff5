// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_heap_caps.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* In front of what the caller gets, so that free() knows its size. */
typedef union block {
    size_t size;
    max_align_t align;
} block_t;

static uint32_t calls_to_failure;

void sim_heap_fail_at(uint32_t number)
{
    calls_to_failure = number;
}

static size_t limit(void)
{
    return sim_state.config.heap_limit != 0 ? sim_state.config.heap_limit : SIM_DEFAULT_HEAP_LIMIT;
}

void *heap_caps_malloc(size_t size, uint32_t caps)
{
    sim_flash_code(__func__);
    sim_counters_t *counters = sim_state.counters;
    if (calls_to_failure > 0 && --calls_to_failure == 0) {
        return NULL;
    }
    if (size == 0 || (caps & MALLOC_CAP_SPIRAM) != 0 || size > heap_caps_get_free_size(caps)) {
        return NULL;
    }
    block_t *block = malloc(sizeof(*block) + size);
    if (block == NULL) {
        return NULL;
    }
    block->size = size;
    counters->heap_now += (uint32_t)size;
    if (counters->heap_now > counters->heap_peak) {
        counters->heap_peak = counters->heap_now;
    }
    return block + 1;
}

void *heap_caps_calloc(size_t n, size_t size, uint32_t caps)
{
    size_t total;
    void *memory = __builtin_mul_overflow(n, size, &total) ? NULL : heap_caps_malloc(total, caps);
    for (size_t i = 0; memory != NULL && i < total; i++) {
        ((uint8_t *)memory)[i] = 0;
    }
    return memory;
}

void *heap_caps_realloc(void *ptr, size_t size, uint32_t caps)
{
    void *moved = heap_caps_malloc(size, caps);
    if (moved != NULL && ptr != NULL) {
        const size_t old_size = ((block_t *)ptr - 1)->size;
        memcpy(moved, ptr, old_size < size ? old_size : size);
        heap_caps_free(ptr);
    }
    return moved;
}

void heap_caps_free(void *ptr)
{
    sim_flash_code(__func__);
    if (ptr != NULL) {
        block_t *block = (block_t *)ptr - 1;
        sim_state.counters->heap_now -= (uint32_t)block->size;
        free(block);
    }
}

size_t heap_caps_get_free_size(uint32_t caps)
{
    const size_t used = sim_state.counters->heap_now;
    return (caps & MALLOC_CAP_SPIRAM) != 0 || used > limit() ? 0 : limit() - used;
}

size_t heap_caps_get_total_size(uint32_t caps)
{
    return (caps & MALLOC_CAP_SPIRAM) != 0 ? 0 : limit();
}

size_t heap_caps_get_largest_free_block(uint32_t caps)
{
    return heap_caps_get_free_size(caps);
}

size_t heap_caps_get_minimum_free_size(uint32_t caps)
{
    const size_t peak = sim_state.counters->heap_peak;
    return (caps & MALLOC_CAP_SPIRAM) != 0 || peak > limit() ? 0 : limit() - peak;
}
