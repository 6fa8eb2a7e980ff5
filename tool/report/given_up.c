// SPDX-License-Identifier: Apache-2.0
#include "tool/report/given_up.h"

void given_up_find(const sr_bundle_t *bundle, const sr_partition_table_t *table, given_up_t *given_up)
{
    given_up->count = 0;
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        const sr_bundle_given_up_t row = sr_bundle_given_up(bundle, i);
        const sr_partition_table_entry_t *entry = sr_partition_table_find_label(table, row.label);
        if (row.label[0] == '\0') {
            given_up->regions[given_up->count++] = row.place;
        } else if (entry != NULL) {
            given_up->regions[given_up->count++] = (sr_region_t){entry->address, entry->size};
        }
    }
}

bool given_up_touches(const given_up_t *given_up, sr_region_t region)
{
    for (unsigned i = 0; i < given_up->count; i++) {
        if (sr_region_overlaps(given_up->regions[i], region)) {
            return true;
        }
    }
    return false;
}
