// SPDX-License-Identifier: Apache-2.0
#include "journal/sr_install_mark.h"

#include "system/sr_partition.h"

#include <string.h>

#define MARK_ID   8u
#define MARK_SIZE (MARK_ID + SR_BUNDLE_DIGEST_SIZE)

static const uint8_t magic[MARK_ID] = {'S', 'R', 'T', 'O', 'D', 'O', '\r', '\n'};

/* An app may have the magic among its constants, but not a sector with nothing else in it. */
static bool rest_is_blank(const uint8_t *sector)
{
    for (uint32_t i = MARK_SIZE; i < SR_SECTOR_SIZE; i++) {
        if (sector[i] != 0xFF) {
            return false;
        }
    }
    return true;
}

esp_err_t sr_install_mark_find(const sr_flash_t *flash, uint32_t from, uint8_t *scratch, sr_install_mark_t *mark)
{
    for (uint32_t address = from; address < flash->size; address += SR_SECTOR_SIZE) {
        esp_err_t err = sr_flash_read(flash, address, scratch, MARK_SIZE);
        const bool starts = err == ESP_OK && memcmp(scratch, magic, sizeof(magic)) == 0;
        if (starts) {
            err = sr_flash_read(flash, address, scratch, SR_SECTOR_SIZE);
        }
        if (err != ESP_OK) {
            return err;
        }
        if (starts && rest_is_blank(scratch)) {
            mark->address = address;
            memcpy(mark->id, scratch + MARK_ID, sizeof(mark->id));
            return ESP_OK;
        }
    }
    return ESP_ERR_NOT_FOUND;
}

esp_err_t sr_install_mark_fits(const sr_flash_t *flash, const sr_install_mark_t *mark, uint8_t *scratch, bool *fits)
{
    esp_err_t err = sr_flash_read(flash, mark->address, scratch, MARK_SIZE);
    *fits = err == ESP_OK;
    for (uint32_t i = 0; i < MARK_SIZE && *fits; i++) {
        const uint8_t wanted = i < MARK_ID ? magic[i] : mark->id[i - MARK_ID];
        *fits = (scratch[i] & wanted) == wanted;
    }
    if (*fits) {
        err = sr_flash_read(flash, mark->address, scratch, SR_SECTOR_SIZE);
        *fits = err == ESP_OK && rest_is_blank(scratch);
    }
    return err;
}

static esp_err_t put(sr_writer_t *writer, uint32_t address, const uint8_t *id, uint8_t *scratch)
{
    const sr_writer_sector_t sector = {.address = address, .used = MARK_SIZE, .data = scratch};
    sr_writer_t topping_up = *writer; /* To void a mark takes no erase. */
    topping_up.program_only = true;
    memset(scratch, 0xFF, SR_SECTOR_SIZE);
    memcpy(scratch, magic, sizeof(magic));
    memcpy(scratch + MARK_ID, id, SR_BUNDLE_DIGEST_SIZE);
    const esp_err_t err = sr_writer_put(&topping_up, &sector);
    writer->failed_address = topping_up.failed_address;
    return err;
}

esp_err_t sr_install_mark_put(sr_writer_t *writer, const sr_install_mark_t *mark, uint8_t *scratch)
{
    return put(writer, mark->address, mark->id, scratch);
}

esp_err_t sr_install_mark_void(sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    static const uint8_t nobody[SR_BUNDLE_DIGEST_SIZE] = {0};
    return put(writer, address, nobody, scratch);
}

esp_err_t sr_install_mark_clear(sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    const esp_err_t err = sr_install_mark_void(writer, address, scratch);
    return err == ESP_OK ? sr_writer_clear(writer, address, 1, scratch) : err;
}

/** A sector, and whether it is in a data partition. */
typedef struct place {
    sr_region_t sector;
    bool is_data;
} place_t;

static void look_at_partition(void *context, const esp_partition_t *partition)
{
    place_t *place = context;
    place->is_data |=
        sr_partition_is_data(partition) && sr_region_overlaps(sr_partition_region(partition), place->sector);
}

esp_err_t sr_install_mark_counts(uint32_t address, bool *counts)
{
    place_t place = {.sector = {address, SR_SECTOR_SIZE}};
    const esp_err_t err = sr_partition_visit(look_at_partition, &place);
    *counts = !place.is_data;
    return err;
}

esp_err_t sr_install_mark_find_own(const sr_system_t *system, sr_install_mark_t *mark, uint8_t *scratch)
{
    sr_install_mark_t found = {.address = mark->address};
    esp_err_t err;
    while ((err = sr_install_mark_find(&system->flash, found.address, scratch, &found)) == ESP_OK) {
        bool counts = false;
        if (memcmp(found.id, mark->id, sizeof(found.id)) == 0) {
            err = sr_install_mark_counts(found.address, &counts);
        }
        if (err != ESP_OK || counts) {
            mark->address = found.address;
            return err;
        }
        found.address += SR_SECTOR_SIZE;
    }
    return err;
}

esp_err_t sr_install_mark_remove(const sr_system_t *system, sr_writer_t *writer, const uint8_t *id, uint8_t *scratch)
{
    sr_install_mark_t mark = {.address = 0};
    esp_err_t err;
    memcpy(mark.id, id, sizeof(mark.id));
    while ((err = sr_install_mark_find_own(system, &mark, scratch)) == ESP_OK) {
        err = sr_install_mark_clear(writer, mark.address, scratch);
        if (err != ESP_OK) {
            return err;
        }
        mark.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}
