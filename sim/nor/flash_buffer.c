// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/flash_buffer.h"

#include "format/sr_region.h"

#include <string.h>
#include <sys/mman.h>

uint8_t *flash_buffer_new(uint32_t size)
{
    // of shared memory fork() copies no page tables, and a write after it copies no page
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void flash_buffer_delete(uint8_t *buffer, uint32_t size)
{
    if (buffer != NULL) {
        munmap(buffer, size);
    }
}

void flash_buffer_copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    for (uint32_t at = 0; at < size; at += SR_SECTOR_SIZE) {
        if (memcmp(to + at, from + at, SR_SECTOR_SIZE) != 0) {
            memcpy(to + at, from + at, SR_SECTOR_SIZE);
        }
    }
}
