// SPDX-License-Identifier: Apache-2.0
// Any bytes as a partition table, and as otadata.
#include "fuzz_input.h"
#include "format/sr_otadata.h"
#include "format/sr_partition_table.h"
#include "format/sr_region.h"

#define FLASH_SIZE 0x400000u

static void fuzz_table(const sr_reader_t *reader, uint32_t flash_size)
{
    static sr_partition_table_t table;
    const sr_partition_table_status_t status = sr_partition_table_parse(reader, flash_size, &table);
    CHECK(table.count <= SR_PARTITION_MAX_ENTRIES);
    CHECK(status == SR_PARTITION_TABLE_READ_FAILED || reader->size >= SR_PARTITION_TABLE_SIZE);
    for (uint8_t i = 0; i < table.count; i++) {
        const sr_partition_table_entry_t *entry = &table.entries[i];
        CHECK(strnlen(entry->label, sizeof(entry->label)) < sizeof(entry->label));
        CHECK(flash_size == 0 || sr_region_fits((sr_region_t){entry->address, entry->size}, flash_size));
        CHECK(sr_partition_table_find(&table, entry->type, entry->subtype) != NULL);
        CHECK(sr_partition_table_find_label(&table, entry->label) != NULL);
    }
    CHECK(sr_partition_table_ota_slots(&table) <= table.count);
}

static void fuzz_otadata(const sr_reader_t *reader)
{
    sr_otadata_t otadata;
    if (sr_otadata_read(reader, &otadata) == 0) {
        const int active = sr_otadata_active(&otadata);
        CHECK(active >= -1 && active <= 1);
        CHECK(active == -1 || sr_otadata_entry_valid(&otadata.entries[active]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input_t input = {data, size};
    const sr_reader_t reader = fuzz_reader(&input);
    fuzz_table(&reader, FLASH_SIZE);
    fuzz_table(&reader, 0);
    fuzz_otadata(&reader);
    return 0;
}
