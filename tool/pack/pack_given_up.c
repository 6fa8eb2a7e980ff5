// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_given_up.h"

#include "tool/base/command.h"
#include "tool/pack/flash_layout.h"

#include <inttypes.h>
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
