// SPDX-License-Identifier: Apache-2.0
#include "tool/report/table_problem.h"

#include "tool/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool find_shape(const sr_partition_table_entry_t *entry, char out[TABLE_PROBLEM_SIZE])
{
    const uint32_t alignment = entry->type == SR_PARTITION_TYPE_APP ? SR_BLOCK_SIZE : SR_SECTOR_SIZE;
    if (entry->size == 0) {
        (void)snprintf(out, TABLE_PROBLEM_SIZE, "'%s' at 0x%" PRIx32 " has no size", entry->label, entry->address);
        return true;
    }
    if (!sr_region_is_aligned(entry->address, alignment)) {
        (void)snprintf(out, TABLE_PROBLEM_SIZE, "'%s' starts at 0x%" PRIx32 ", which is no multiple of 0x%" PRIx32,
                       entry->label, entry->address, alignment);
        return true;
    }
    return false;
}

static bool find_clash(const sr_partition_table_t *table, unsigned index, char out[TABLE_PROBLEM_SIZE])
{
    const sr_partition_table_entry_t *entry = &table->entries[index];
    for (unsigned i = 0; i < index; i++) {
        const sr_partition_table_entry_t *other = &table->entries[i];
        if (sr_region_overlaps((sr_region_t){entry->address, entry->size},
                               (sr_region_t){other->address, other->size})) {
            (void)snprintf(out, TABLE_PROBLEM_SIZE, "'%s' at 0x%" PRIx32 " overlaps '%s' at 0x%" PRIx32, entry->label,
                           entry->address, other->label, other->address);
            return true;
        }
        if (strcmp(entry->label, other->label) == 0) {
            (void)snprintf(out, TABLE_PROBLEM_SIZE, "two partitions are named '%s', at 0x%" PRIx32 " and 0x%" PRIx32,
                           entry->label, other->address, entry->address);
            return true;
        }
    }
    return false;
}

bool table_problem(const sr_partition_table_t *table, unsigned index, char out[TABLE_PROBLEM_SIZE])
{
    const bool found = find_shape(&table->entries[index], out) || find_clash(table, index, out);
    if (found) {
        utf8_tame(out);
    }
    return found;
}
