// SPDX-License-Identifier: Apache-2.0
#include "system/sr_partition.h"

#include "format/sr_partition_table.h"

#include "esp_flash.h"

sr_region_t sr_partition_region(const esp_partition_t *partition)
{
    return partition != NULL ? (sr_region_t){partition->address, partition->size} : (sr_region_t){0};
}

bool sr_partition_is_on_main_chip(const esp_partition_t *partition)
{
    return partition->flash_chip == NULL || partition->flash_chip == esp_flash_default_chip;
}

#if SR_PARTITION_READ_ONLY_COUNTS
bool sr_partition_is_read_only(const esp_partition_t *partition)
{
    return partition->readonly;
}
#else
bool sr_partition_is_read_only(const esp_partition_t *partition)
{
    (void)partition;
    return false;
}
#endif

/* To search the table, ESP-IDF allocates. A table has at least one entry, so nothing found means no memory. */
esp_err_t sr_partition_visit(sr_partition_visit_t visit, void *context)
{
    esp_partition_iterator_t it = esp_partition_find(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, NULL);
    if (it == NULL) {
        return ESP_ERR_NO_MEM;
    }
    for (; it != NULL; it = esp_partition_next(it)) {
        if (sr_partition_is_on_main_chip(esp_partition_get(it))) {
            visit(context, esp_partition_get(it));
        }
    }
    return ESP_OK;
}

bool sr_partition_is_data(const esp_partition_t *partition)
{
    const uint32_t type = (uint32_t)partition->type;
    return type != SR_PARTITION_TYPE_APP && type != SR_PARTITION_TYPE_BOOTLOADER && type != SR_PARTITION_TYPE_TABLE;
}

/** A search. */
typedef struct read_only {
    sr_region_t region;
    const esp_partition_t *found;
} read_only_t;

static void take_read_only(void *context, const esp_partition_t *partition)
{
    read_only_t *search = context;
    if (sr_partition_is_read_only(partition) && sr_region_overlaps(sr_partition_region(partition), search->region)) {
        search->found = partition;
    }
}

esp_err_t sr_partition_find_read_only(sr_region_t region, const esp_partition_t **found)
{
    read_only_t search = {.region = region};
    const esp_err_t err = sr_partition_visit(take_read_only, &search);
    *found = search.found;
    return err;
}
