// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_boot_path_buffer.h"

#include "esp_heap_caps.h"

#include <string.h>

/* The flash driver reads from and writes to internal RAM only, once it runs without the OS. */
#define RAM_FOR_FLASH (MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT)

esp_err_t sr_boot_path_buffer_open(sr_boot_path_buffer_t *buffer, uint32_t capacity)
{
    *buffer = (sr_boot_path_buffer_t){.capacity = capacity};
    if (capacity > 0) {
        buffer->sectors = heap_caps_malloc(capacity * sizeof(buffer->sectors[0]), RAM_FOR_FLASH);
    }
    return capacity == 0 || buffer->sectors != NULL ? ESP_OK : ESP_ERR_NO_MEM;
}

esp_err_t sr_boot_path_buffer_add(sr_boot_path_buffer_t *buffer, sr_boot_path_buffer_group_t group,
                                  const sr_writer_sector_t *sector)
{
    if (buffer->count == buffer->capacity) {
        return ESP_ERR_INVALID_SIZE;
    }
    uint8_t *copy =
        sector->used == 0 && buffer->blank != NULL ? buffer->blank : heap_caps_malloc(SR_SECTOR_SIZE, RAM_FOR_FLASH);
    if (copy == NULL) {
        return ESP_ERR_NO_MEM;
    }
    memcpy(copy, sector->data, SR_SECTOR_SIZE);
    buffer->blank = sector->used == 0 ? copy : buffer->blank;
    buffer->sectors[buffer->count] = *sector;
    buffer->sectors[buffer->count].data = copy;
    buffer->count++;
    for (unsigned i = group; i < SR_BOOT_PATH_BUFFER_GROUPS; i++) {
        buffer->group_end[i] = buffer->count;
    }
    return ESP_OK;
}

static bool is_held(const sr_boot_path_buffer_t *buffer, uint32_t address)
{
    for (uint32_t i = 0; i < buffer->count; i++) {
        if (buffer->sectors[i].address == address) {
            return true;
        }
    }
    return false;
}

/* True if nothing but buffered sectors and blank ones that are owned lie in the block, and enough of them need an
 * erase. A chip programs a whole block to zero before it erases it: a blank sector that belongs to somebody else would
 * not survive a power loss. */
static bool worth_a_block(const sr_boot_path_buffer_t *buffer, sr_writer_t *writer, uint32_t block)
{
    uint32_t dirty = 0;
    if (!sr_region_fits((sr_region_t){block, SR_BLOCK_SIZE}, writer->flash->size)) {
        return false;
    }
    for (uint32_t address = block; address < block + SR_BLOCK_SIZE; address += SR_SECTOR_SIZE) {
        bool blank = false;
        const bool owned = sr_region_contains(buffer->owned, (sr_region_t){address, SR_SECTOR_SIZE});
        if (sr_writer_is_blank(writer, address, &blank) != ESP_OK ||
            (!is_held(buffer, address) && (!blank || !owned))) {
            return false;
        }
        dirty += !blank;
    }
    return dirty >= SR_WRITER_WORTH_A_BLOCK;
}

/* Mostly nothing else lies in the block of the boot path, and one erase of it shortens the time in which a power loss
 * bricks. If it fails, each sector is erased by itself. */
static void erase_at_once(const sr_boot_path_buffer_t *buffer, const sr_writer_t *writer)
{
    sr_writer_t once = *writer;
    once.attempts = 1;
    for (uint32_t i = 0; i < buffer->count; i++) {
        const uint32_t block = buffer->sectors[i].address & ~(SR_BLOCK_SIZE - 1u);
        const bool seen =
            i > 0 && buffer->sectors[i - 1].address >= block && buffer->sectors[i - 1].address - block < SR_BLOCK_SIZE;
        if (!seen && worth_a_block(buffer, &once, block)) {
            (void)sr_writer_erase_block(&once, block);
        }
    }
}

esp_err_t sr_boot_path_buffer_put(const sr_boot_path_buffer_t *buffer, sr_writer_t *writer)
{
    uint32_t start = 0;
    if (!buffer->guarded) {
        erase_at_once(buffer, writer);
    }
    for (unsigned i = 0; i < SR_BOOT_PATH_BUFFER_GROUPS; i++) {
        const uint32_t end = buffer->group_end[i];
        if (end > start) {
            const bool guarded = buffer->guarded && i == SR_BOOT_PATH_BUFFER_BOOTLOADER;
            const esp_err_t err = guarded ? sr_writer_put_guarded(writer, &buffer->sectors[start], end - start)
                                          : sr_writer_put_group(writer, &buffer->sectors[start], end - start);
            if (err != ESP_OK) {
                return err;
            }
        }
        start = end;
    }
    return ESP_OK;
}

void sr_boot_path_buffer_close(sr_boot_path_buffer_t *buffer)
{
    for (uint32_t i = 0; i < buffer->count; i++) {
        if (buffer->sectors[i].data != buffer->blank) {
            heap_caps_free(buffer->sectors[i].data);
        }
    }
    heap_caps_free(buffer->blank);
    heap_caps_free(buffer->sectors);
    *buffer = (sr_boot_path_buffer_t){0};
}
