// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_given_up.h"

#include "format/sr_digest.h"
#include "preflight/sr_text.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/pack/flash_layout.h"
#include "tool/pack/moves.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int pack_given_up_read(const char *word, sr_bundle_given_up_t *given_up)
{
    static const sr_partition_table_t no_table; // names are looked up in the old system's table
    *given_up = (sr_bundle_given_up_t){0};
    if (flash_region_is_range(word)) {
        return flash_region_parse(word, &no_table, &given_up->place);
    }
    if (word[0] == '\0' || strlen(word) > SR_BUNDLE_LABEL_SIZE) {
        return complain(STATUS_USAGE, "--give-up '%s': neither ADDR+SIZE nor ADDR..END, nor a partition's name", word);
    }
    memcpy(given_up->label, word, strlen(word));
    return STATUS_OK;
}

static int check_pair(const sr_bundle_given_up_t *first, const sr_bundle_given_up_t *second)
{
    if (first->label[0] != '\0' && strcmp(first->label, second->label) == 0) {
        return complain(STATUS_USAGE, "--give-up %s is there twice", first->label);
    }
    return sr_region_overlaps(first->place, second->place)
               ? complain(STATUS_USAGE, "two --give-up of one place: 0x%06" PRIx32 " and 0x%06" PRIx32,
                          first->place.address, second->place.address)
               : STATUS_OK;
}

int pack_given_up_check(const sr_bundle_given_up_t *list, unsigned count, const pack_result_t *result)
{
    const bool bootloader = flash_layout_want(result->layout, result->chip->bootloader_offset) != SR_BUNDLE_KEEP;
    const bool table = result->table_offset != SR_BUNDLE_NO_TABLE &&
                       flash_layout_want(result->layout, result->table_offset) != SR_BUNDLE_KEEP;
    if (!bootloader && !table) {
        return complain(STATUS_USAGE,
                        "--give-up makes room for a new bootloader or partition table, and neither is packed");
    }
    for (unsigned i = 0; i < count; i++) {
        if (!sr_region_fits(list[i].place, result->flash_size)) {
            return complain(STATUS_USAGE,
                            "--give-up 0x%06" PRIx32 "+0x%" PRIx32
                            ": past the end of the flash that is packed for, 0x%" PRIx32 " bytes: --flash-size tells "
                            "how much there is",
                            list[i].place.address, list[i].place.size, result->flash_size);
        }
        for (unsigned k = 0; k < i; k++) {
            const int status = check_pair(&list[k], &list[i]);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

/** Where it lies in the old system. @return STATUS_OK, or STATUS_USAGE after complaining. */
static int find_place(const sr_bundle_given_up_t *row, const sr_partition_table_t *table, const char *path,
                      sr_region_t *place)
{
    *place = row->place;
    if (row->label[0] == '\0') {
        return STATUS_OK;
    }
    const sr_partition_table_entry_t *partition = sr_partition_table_find_label(table, row->label);
    if (partition == NULL) {
        char names[TABLE_LABELS_SIZE];
        return complain(STATUS_USAGE, "--give-up %s: %s has no partition of that name (%s)", row->label, path,
                        table_labels(table, names));
    }
    if (!sr_region_is_aligned(partition->address, SR_SECTOR_SIZE)) {
        return complain(STATUS_USAGE, "--give-up %s: at 0x%" PRIx32 " of %s, which is not aligned: the chip keeps it",
                        row->label, partition->address, path);
    }
    *place = (sr_region_t){partition->address, partition->size - partition->size % SR_SECTOR_SIZE};
    return STATUS_OK;
}

static int check_place(sr_region_t place, const sr_partition_table_t *table, const char *path)
{
    for (unsigned i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *partition = &table->entries[i];
        if (sr_partition_table_is_boot_path(partition) &&
            sr_region_overlaps(place, (sr_region_t){partition->address, partition->size})) {
            return complain(STATUS_NO, "--give-up: the chip boots from '%s' at 0x%06" PRIx32 " of %s", partition->label,
                            partition->address, path);
        }
    }
    return STATUS_OK;
}

static int check_row(const sr_bundle_given_up_t *row, const sr_partition_table_t *table, const char *path)
{
    char size[NUMBER_TEXT_SIZE];
    sr_region_t place;
    int status = find_place(row, table, path, &place);
    if (status == STATUS_OK) {
        status = check_place(place, table, path);
    }
    if (status == STATUS_OK && row->label[0] != '\0') {
        complain(STATUS_OK, "%s: %s at 0x%06" PRIx32 " are given up", row->label, number_size(place.size, size),
                 place.address);
    }
    return status;
}

#define NAMES_SIZE 256u

/** Lists a label, as far as there is room. */
static void add_name(sr_text_t *names, const char *label)
{
    sr_text_add(names, "%s%s", names->used == 0 ? "" : ", ", label);
}

static int warn_of_all(const sr_bundle_given_up_t *list, unsigned count)
{
    char list_of_names[NAMES_SIZE];
    sr_text_t names = {.buffer = list_of_names, .size = sizeof(list_of_names)};
    for (unsigned i = 0; i < count; i++) {
        if (list[i].label[0] != '\0') {
            add_name(&names, list[i].label);
        }
    }
    return names.used == 0
               ? STATUS_OK
               : complain(STATUS_OK,
                          "warning: without --old-layout nobody checks that the old system has what is given "
                          "up: %s",
                          names.buffer);
}

int pack_given_up_check_old(const sr_bundle_given_up_t *list, unsigned count, const image_file_t *old)
{
    if (old == NULL) {
        return warn_of_all(list, count);
    }
    sr_partition_table_t table;
    int status = moves_read_table(old, &table);
    for (unsigned i = 0; i < count && status == STATUS_OK; i++) {
        status = check_row(&list[i], &table, old->path);
    }
    return status;
}

static bool is_right(const sr_bundle_t *bundle, const image_file_t *flash, uint32_t address)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint32_t index = 0;
    switch (sr_bundle_want(bundle, address, &index)) {
    case SR_BUNDLE_KEEP:
        return true;
    case SR_BUNDLE_BLANK:
        return nor_is_erased(flash->bytes + address, SR_SECTOR_SIZE);
    case SR_BUNDLE_CONTENT:
        break;
    }
    return sr_digest(flash->bytes + address, SR_SECTOR_SIZE, digest) &&
           memcmp(digest, sr_bundle_digest(bundle, index), SR_BUNDLE_DIGEST_SIZE) == 0;
}

/** True if bootloader and table are the bundle's: then nothing is given up any more. */
static bool is_replaced(const sr_bundle_t *bundle, const image_file_t *flash, uint32_t partition_table)
{
    for (uint32_t at = 0; at <= partition_table && at < flash->size; at += SR_SECTOR_SIZE) {
        if (!is_right(bundle, flash, at)) {
            return false;
        }
    }
    return true;
}

void pack_given_up_warn(const sr_bundle_t *bundle, const image_file_t *flash, uint32_t partition_table)
{
    char list_of_names[NAMES_SIZE];
    sr_text_t names = {.buffer = list_of_names, .size = sizeof(list_of_names)};
    sr_partition_table_t table;
    char has[TABLE_LABELS_SIZE];
    chip_read_table(flash->bytes, flash->size, partition_table, &table);
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        const sr_bundle_given_up_t row = sr_bundle_given_up(bundle, i);
        if (row.label[0] != '\0' && sr_partition_table_find_label(&table, row.label) == NULL) {
            add_name(&names, row.label);
        }
    }
    if (names.used != 0 && !is_replaced(bundle, flash, partition_table)) {
        complain(STATUS_OK, "warning: %s has no partition of that name, which the bundle gives up: %s (%s)",
                 flash->path, names.buffer, table_labels(&table, has));
    }
}
