// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"
#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>

#define STARTS 3u /**< From NEW by PENDING_VERIFY to ABORTED; after that nothing changes any more. */

/** Adds the sectors in which @p after differs from @p before. @return false without memory. */
static bool add_changed(explore_boot_writes_t *writes, const uint8_t *before, const uint8_t *after, uint32_t size)
{
    for (uint32_t at = 0; at < size; at += SR_SECTOR_SIZE) {
        if (memcmp(before + at, after + at, SR_SECTOR_SIZE) == 0) {
            continue;
        }
        explore_boot_write_t *more = realloc(writes->list, (writes->count + 1) * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        writes->list = more;
        more[writes->count].address = at;
        memcpy(more[writes->count].bytes, after + at, SR_SECTOR_SIZE);
        writes->count++;
    }
    return true;
}

bool explore_find_boot_writes(const explore_config_t *config, const uint8_t *flash, explore_boot_writes_t *writes)
{
    uint8_t *before = flash_buffer_new(config->size);
    uint8_t *after = flash_buffer_new(config->size);
    bool enough = before != NULL && after != NULL;
    if (enough) {
        memcpy(after, flash, config->size);
    }
    for (unsigned i = 0; i < STARTS && enough; i++) {
        boot_result_t boot;
        memcpy(before, after, config->size);
        boot_run(&config->chip, after, config->size, NULL, NULL, &boot);
        enough = add_changed(writes, before, after, config->size);
    }
    flash_buffer_delete(before, config->size);
    flash_buffer_delete(after, config->size);
    return enough;
}

bool explore_is_boot_write(const explore_boot_writes_t *writes, uint32_t address, const uint8_t *sector)
{
    for (uint32_t i = 0; i < writes->count; i++) {
        if (writes->list[i].address == address && memcmp(writes->list[i].bytes, sector, SR_SECTOR_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

void explore_boot_writes_free(explore_boot_writes_t *writes)
{
    free(writes->list);
    *writes = (explore_boot_writes_t){0};
}
