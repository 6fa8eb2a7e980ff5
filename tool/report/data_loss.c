// SPDX-License-Identifier: Apache-2.0
#include "tool/report/data_loss.h"

#include "format/sr_region.h"
#include "tool/base/image_file.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool has_at(const data_loss_side_t *fresh, uint32_t address, const uint8_t *sector)
{
    return sr_region_fits((sr_region_t){address, SR_SECTOR_SIZE}, fresh->size) &&
           memcmp(sector, fresh->flash + address, SR_SECTOR_SIZE) == 0;
}

/** True if the new system has this sector of a partition, there or where its own partition of that name lies; of NVS,
 *  anywhere in it. */
static bool is_kept(const data_loss_side_t *old, const data_loss_side_t *fresh,
                    const sr_partition_table_entry_t *partition, uint32_t offset)
{
    const bool is_nvs = partition->type == SR_PARTITION_TYPE_DATA && partition->subtype == SR_PARTITION_DATA_NVS;
    const uint8_t *sector = old->flash + partition->address + offset;
    const sr_partition_table_entry_t *own = sr_partition_table_find_label(fresh->table, partition->label);
    bool kept = has_at(fresh, partition->address + offset, sector);
    for (uint32_t at = 0; own != NULL && at < own->size && !kept; at += SR_SECTOR_SIZE) {
        kept = (at == offset || is_nvs) && has_at(fresh, own->address + at, sector);
    }
    return kept;
}

static data_loss_t compare(const data_loss_side_t *old, const data_loss_side_t *fresh,
                           const sr_partition_table_entry_t *partition)
{
    data_loss_t loss = {.partition = partition};
    const uint32_t size = old->size < fresh->size ? old->size : fresh->size;
    for (uint32_t offset = 0;
         offset < partition->size && sr_region_fits((sr_region_t){partition->address + offset, SR_SECTOR_SIZE}, size);
         offset += SR_SECTOR_SIZE) {
        if (!image_sector_is_blank(old->flash + partition->address + offset)) {
            loss.used++;
            loss.lost += !is_kept(old, fresh, partition, offset);
        }
    }
    return loss;
}

void data_losses_find(const data_loss_side_t *old, const data_loss_side_t *fresh, data_losses_t *losses)
{
    losses->count = 0;
    for (unsigned i = 0; i < old->table->count; i++) {
        const sr_partition_table_entry_t *partition = &old->table->entries[i];
        if (partition->type == SR_PARTITION_TYPE_APP || partition->type == SR_PARTITION_TYPE_BOOTLOADER ||
            partition->type == SR_PARTITION_TYPE_TABLE ||
            (partition->type == SR_PARTITION_TYPE_DATA && partition->subtype == SR_PARTITION_DATA_OTA)) {
            continue;
        }
        const data_loss_t loss = compare(old, fresh, partition);
        if (loss.lost > 0) {
            losses->list[losses->count++] = loss;
        }
    }
}

void data_losses_print(const data_losses_t *losses)
{
    for (unsigned i = 0; i < losses->count; i++) {
        const data_loss_t *loss = &losses->list[i];
        char used[NUMBER_COUNT_SIZE];
        char text[160];
        terminal_key("data lost");
        snprintf(text, sizeof(text),
                 "%s: %" PRIu32 " of %s in use; pack --keep %s keeps it, pack --move %s takes it to another place",
                 loss->partition->label, loss->lost, number_count(loss->used, "sector", used), loss->partition->label,
                 loss->partition->label);
        terminal_wrap(text, 15, 15);
    }
}

cJSON *data_losses_json(const data_losses_t *losses)
{
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < losses->count; i++) {
        const data_loss_t *loss = &losses->list[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "label", loss->partition->label);
        cJSON_AddNumberToObject(item, "offset", loss->partition->address);
        cJSON_AddNumberToObject(item, "sectors_used", loss->used);
        cJSON_AddNumberToObject(item, "sectors_lost", loss->lost);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}
