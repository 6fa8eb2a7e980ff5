// SPDX-License-Identifier: Apache-2.0
#include "sr_hold.h"

#include "esp_heap_caps.h"

#include <string.h>

/* The flash driver reads from and writes to internal RAM only, once it runs without OS. */
#define RAM_FOR_FLASH (MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT)

esp_err_t sr_hold_open(sr_hold_t *hold, uint32_t capacity)
{
    *hold = (sr_hold_t){.capacity = capacity};
    if (capacity > 0) {
        hold->sectors = heap_caps_malloc(capacity * sizeof(hold->sectors[0]), RAM_FOR_FLASH);
    }
    return capacity == 0 || hold->sectors != NULL ? ESP_OK : ESP_ERR_NO_MEM;
}

esp_err_t sr_hold_add(sr_hold_t *hold, sr_hold_group_t group, const sr_sector_t *sector)
{
    if (hold->count == hold->capacity) {
        return ESP_ERR_INVALID_SIZE;
    }
    uint8_t *copy =
        sector->used == 0 && hold->blank != NULL ? hold->blank : heap_caps_malloc(SR_SECTOR_SIZE, RAM_FOR_FLASH);
    if (copy == NULL) {
        return ESP_ERR_NO_MEM;
    }
    memcpy(copy, sector->data, SR_SECTOR_SIZE);
    hold->blank = sector->used == 0 ? copy : hold->blank;
    hold->sectors[hold->count] = *sector;
    hold->sectors[hold->count].data = copy;
    hold->count++;
    for (unsigned i = group; i < SR_HOLD_GROUPS; i++) {
        hold->group_end[i] = hold->count;
    }
    return ESP_OK;
}

static bool is_held(const sr_hold_t *hold, uint32_t address)
{
    for (uint32_t i = 0; i < hold->count; i++) {
        if (hold->sectors[i].address == address) {
            return true;
        }
    }
    return false;
}

/* True if nothing but held sectors and blank ones that are owned lie in the block, and enough need an erase. A chip
 * programs a whole block to zero before it erases it: what is blank for somebody else does not come through a cut. */
static bool worth_a_block(const sr_hold_t *hold, sr_writer_t *writer, uint32_t block)
{
    uint32_t dirty = 0;
    if (!sr_region_fits((sr_region_t){block, SR_BLOCK_SIZE}, writer->flash->size)) {
        return false;
    }
    for (uint32_t address = block; address < block + SR_BLOCK_SIZE; address += SR_SECTOR_SIZE) {
        bool blank = false;
        const bool owned = sr_region_contains(hold->owned, (sr_region_t){address, SR_SECTOR_SIZE});
        if (sr_writer_is_blank(writer, address, &blank) != ESP_OK || (!is_held(hold, address) && (!blank || !owned))) {
            return false;
        }
        dirty += !blank;
    }
    return dirty >= SR_WRITER_WORTH_A_BLOCK;
}

/* The boot path mostly has its block to itself, and one erase of that shortens the time in which a cut bricks. If it
 * fails, each sector is erased by itself. */
static void erase_at_once(const sr_hold_t *hold, const sr_writer_t *writer)
{
    sr_writer_t once = *writer;
    once.attempts = 1;
    for (uint32_t i = 0; i < hold->count; i++) {
        const uint32_t block = hold->sectors[i].address & ~(SR_BLOCK_SIZE - 1u);
        const bool seen =
            i > 0 && hold->sectors[i - 1].address >= block && hold->sectors[i - 1].address - block < SR_BLOCK_SIZE;
        if (!seen && worth_a_block(hold, &once, block)) {
            (void)sr_writer_erase_block(&once, block);
        }
    }
}

esp_err_t sr_hold_put(const sr_hold_t *hold, sr_writer_t *writer)
{
    uint32_t start = 0;
    if (!hold->guarded) {
        erase_at_once(hold, writer);
    }
    for (unsigned i = 0; i < SR_HOLD_GROUPS; i++) {
        const uint32_t end = hold->group_end[i];
        if (end > start) {
            const bool guarded = hold->guarded && i == SR_HOLD_BOOTLOADER;
            const esp_err_t err = guarded ? sr_writer_put_guarded(writer, &hold->sectors[start], end - start)
                                          : sr_writer_put_group(writer, &hold->sectors[start], end - start);
            if (err != ESP_OK) {
                return err;
            }
        }
        start = end;
    }
    return ESP_OK;
}

void sr_hold_close(sr_hold_t *hold)
{
    for (uint32_t i = 0; i < hold->count; i++) {
        if (hold->sectors[i].data != hold->blank) {
            heap_caps_free(hold->sectors[i].data);
        }
    }
    heap_caps_free(hold->blank);
    heap_caps_free(hold->sectors);
    *hold = (sr_hold_t){0};
}
