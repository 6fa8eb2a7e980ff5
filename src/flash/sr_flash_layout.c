// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_flash_layout.h"

#include "esp_heap_caps.h"

const sr_flash_layout_t *sr_flash_layout_of(const sr_partition_table_t *table, uint32_t front)
{
    sr_flash_layout_t *layout =
        heap_caps_malloc(sizeof(*layout) + table->count * sizeof(layout->parts[0]), MALLOC_CAP_8BIT);
    if (layout == NULL) {
        return NULL;
    }
    *layout = (sr_flash_layout_t){.front = front};
    for (uint8_t i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *entry = &table->entries[i];
        if (sr_partition_table_encrypts(entry)) {
            layout->parts[layout->count++] = (sr_flash_layout_part_t){.region = {entry->address, entry->size},
                                                                      .is_app = entry->type == SR_PARTITION_TYPE_APP};
        }
    }
    return layout;
}

void sr_flash_layout_free(const sr_flash_layout_t *layout)
{
    heap_caps_free((void *)layout);
}
