// SPDX-License-Identifier: Apache-2.0
#include "tool/report/dump_extent.h"

#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/base/utf8.h"
#include "tool/report/boot_report.h"

#include <inttypes.h>
#include <stdio.h>

#define READ_ALL        "esptool read-flash 0 ALL reads all of it"
#define KNOWN_SIZES     8u /**< 1 MiB to 128 MiB in a header. */
#define SMALLEST_HEADER 0x100000u

/** What the bootloader's header says, or 0. */
static uint32_t header_size(const contents_t *contents)
{
    const bootloader_info_t *bootloader = &contents->bootloader;
    return bootloader->present && bootloader->esp.checksum != CHECK_UNKNOWN &&
                   bootloader->esp.image.spi_size < KNOWN_SIZES
               ? SMALLEST_HEADER << bootloader->esp.image.spi_size
               : 0;
}

/** The partition that ends last. @return NULL if there is none. */
static const sr_partition_table_entry_t *last_partition(const contents_t *contents, uint64_t *end)
{
    const sr_partition_table_entry_t *last = NULL;
    *end = 0;
    for (unsigned i = 0; i < contents->table.count; i++) {
        const sr_partition_table_entry_t *entry = &contents->table.entries[i];
        if ((uint64_t)entry->address + entry->size > *end) {
            *end = (uint64_t)entry->address + entry->size;
            last = entry;
        }
    }
    return last;
}

void dump_extent_find(const contents_t *contents, dump_extent_t *extent)
{
    const uint32_t size = contents->present.size;
    const uint32_t header = header_size(contents);
    uint64_t end = 0;
    const sr_partition_table_entry_t *last = last_partition(contents, &end);
    char have[NUMBER_TEXT_SIZE];
    char told[NUMBER_TEXT_SIZE];
    number_size(size, have);
    number_size(header, told);
    if (last != NULL && end > size) {
        extent->complete = DUMP_NOT_COMPLETE;
        snprintf(extent->text, sizeof(extent->text),
                 "not complete: %s, and partition '%s' ends at 0x%" PRIx64 "; " READ_ALL, have, last->label, end);
        utf8_tame(extent->text);
    } else if (header > size) {
        extent->complete = DUMP_NOT_COMPLETE;
        snprintf(extent->text, sizeof(extent->text), "not complete: %s, and its bootloader says %s; " READ_ALL, have,
                 told);
    } else if (header != 0) {
        extent->complete = DUMP_COMPLETE;
        snprintf(extent->text, sizeof(extent->text), "complete: %s, %s its bootloader says%s%s", have,
                 header == size ? "as" : "more than", header == size ? "" : ": ", header == size ? "" : told);
    } else {
        extent->complete = DUMP_NOT_KNOWN;
        snprintf(extent->text, sizeof(extent->text), "complete or not: %s, and no bootloader says how large it was",
                 have);
    }
}

cJSON *dump_boot_json(const contents_t *contents)
{
    dump_extent_t extent;
    dump_extent_find(contents, &extent);
    cJSON *json = boot_report_json(&contents->chip, &contents->boot, contents->boot_app_name);
    cJSON *dump = cJSON_AddObjectToObject(json, "dump");
    cJSON_AddItemToObject(dump, "complete",
                          extent.complete == DUMP_NOT_KNOWN ? cJSON_CreateNull()
                                                            : cJSON_CreateBool(extent.complete == DUMP_COMPLETE));
    cJSON_AddStringToObject(dump, "text", extent.text);
    return json;
}

void dump_extent_print(const dump_extent_t *extent)
{
    fputs("  dump ", stdout);
    terminal_wrap(extent->text, 7, 2);
}
