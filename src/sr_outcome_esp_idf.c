// SPDX-License-Identifier: Apache-2.0
#include "sr_migration_internal.h"

#include "sr_yield_esp_idf.h"

#include <string.h>

/* One piece inside one sector of the flash as it will be. */
static esp_err_t read_piece(sr_migration_t *migration, uint32_t address, uint8_t *out, uint32_t length)
{
    const uint32_t offset = address % SR_SECTOR_SIZE;
    const uint32_t sector = address - offset;
    uint8_t *data = NULL;
    if ((sr_map_at(&migration->map, sector) & SR_MAP_WRONG) == 0) {
        return sr_flash_read(&migration->system.flash, address, out, length);
    }
    const sr_wanted_t wanted = sr_migration_wanted(migration, sector);
    if (wanted.kind == SR_WANTED_MOVED) {
        return sr_flash_read(&migration->system.flash, wanted.source + offset, out, length);
    }
    if (wanted.kind == SR_WANTED_BLANK) {
        memset(out, 0xFF, length);
        return ESP_OK;
    }
    const esp_err_t err = sr_decoder_get(&migration->decoder, wanted.digest_index, 0, &data);
    if (err == ESP_OK) {
        memcpy(out, data + offset, length);
    }
    return err;
}

static int result_read(void *context, uint32_t address, void *buffer, size_t length)
{
    sr_migration_t *migration = context;
    uint8_t *out = buffer;
    while (length > 0) {
        const uint32_t room = SR_SECTOR_SIZE - address % SR_SECTOR_SIZE;
        const uint32_t step = length < room ? (uint32_t)length : room;
        sr_yield(step);
        const esp_err_t err = read_piece(migration, address, out, step);
        if (err != ESP_OK) {
            migration->result_err = migration->result_err == ESP_OK ? err : migration->result_err;
            return err;
        }
        out += step;
        address += step;
        length -= step;
    }
    return 0;
}

sr_reader_t sr_migration_result(sr_migration_t *migration)
{
    return (sr_reader_t){.context = migration, .read = result_read, .size = migration->system.flash.size};
}
