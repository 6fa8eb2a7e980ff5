// SPDX-License-Identifier: Apache-2.0
#include "sr_unfinished_esp_idf.h"

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

esp_err_t sr_unfinished_counts(uint32_t address, bool *counts)
{
    place_t place = {.sector = {address, SR_SECTOR_SIZE}};
    const esp_err_t err = sr_system_visit_partitions(look_at_partition, &place);
    *counts = !place.is_data;
    return err;
}

esp_err_t sr_unfinished_settle(const sr_system_t *system, sr_writer_t *writer, uint8_t *scratch)
{
    sr_unfinished_t mark = {.address = 0};
    esp_err_t err;
    while ((err = sr_unfinished_find(&system->flash, mark.address, scratch, &mark)) == ESP_OK) {
        bool counts = false;
        err = sr_unfinished_counts(mark.address, &counts);
        if (err == ESP_OK && counts) {
            err = sr_unfinished_clear(writer, mark.address, scratch);
        }
        if (err != ESP_OK) {
            return err;
        }
        mark.address += SR_SECTOR_SIZE;
    }
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}
