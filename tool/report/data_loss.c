// SPDX-License-Identifier: Apache-2.0
#include "tool/report/data_loss.h"

#include "format/sr_region.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/pack/moves.h"

#include <inttypes.h>
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
    data_loss_t loss = {.partition = *partition};
    const uint32_t size = old->size < fresh->size ? old->size : fresh->size;
    for (uint32_t offset = 0;
         offset < partition->size && sr_region_fits((sr_region_t){partition->address + offset, SR_SECTOR_SIZE}, size);
         offset += SR_SECTOR_SIZE) {
        if (!nor_is_erased(old->flash + partition->address + offset, SR_SECTOR_SIZE)) {
            loss.used++;
            loss.lost += !is_kept(old, fresh, partition, offset);
        }
    }
    return loss;
}

void data_losses_find(const data_loss_side_t *old, const data_loss_side_t *fresh, const given_up_t *given_up,
                      data_losses_t *losses)
{
    losses->count = 0;
    for (unsigned i = 0; i < old->table->count; i++) {
        const sr_partition_table_entry_t *partition = &old->table->entries[i];
        if (partition->type == SR_PARTITION_TYPE_APP || sr_partition_table_is_boot_path(partition)) {
            continue;
        }
        data_loss_t loss = compare(old, fresh, partition);
        loss.given_up = loss.used > 0 && given_up_touches(given_up, (sr_region_t){partition->address, partition->size});
        if (loss.lost > 0 || loss.given_up) {
            losses->list[losses->count++] = loss;
        }
    }
}

void data_losses_of_bundle(const sr_bundle_t *bundle, const image_file_t *before, const image_file_t *after,
                           data_losses_t *losses)
{
    sr_partition_table_t old = {0};
    sr_partition_table_t fresh = {0};
    given_up_t given_up;
    chip_read_table(before->bytes, before->size, chip_find_table(before->bytes, before->size), &old);
    if (bundle->partition_table_offset != SR_BUNDLE_NO_TABLE) {
        chip_read_table(after->bytes, after->size, bundle->partition_table_offset, &fresh);
    }
    given_up_find(bundle, &old, &given_up);
    const data_loss_side_t old_side = {before->bytes, before->size, &old};
    const data_loss_side_t new_side = {after->bytes, after->size, &fresh};
    data_losses_find(&old_side, &new_side, &given_up, losses);
}

void data_losses_warn(const bundle_file_t *bundle, const image_file_t *old)
{
    image_file_t after;
    moves_t moves;
    data_losses_t losses = {0};
    char text[DATA_LOSS_TEXT_SIZE];
    if (old->size >= bundle->bundle.min_flash_size) {
        if (moves_apply(bundle, old, &after, &moves) == STATUS_OK) {
            data_losses_of_bundle(&bundle->bundle, old, &after, &losses);
        }
        image_file_free(&after);
    }
    for (unsigned i = 0; i < losses.count; i++) {
        complain(STATUS_OK, "warning: data is lost: %s", data_loss_text(&losses.list[i], text));
    }
}

const char *data_loss_text(const data_loss_t *loss, char out[DATA_LOSS_TEXT_SIZE])
{
    char used[NUMBER_COUNT_SIZE];
    const char *label = loss->partition.label;
    number_count(loss->used, "sector", used);
    if (loss->given_up) {
        snprintf(out, DATA_LOSS_TEXT_SIZE, "%s: %s in use, given up: lost from the first moment on", label, used);
    } else {
        snprintf(out, DATA_LOSS_TEXT_SIZE,
                 "%s: %" PRIu32 " of %s in use; pack --keep %s keeps it, pack --move %s takes it to another place",
                 label, loss->lost, used, label, label);
    }
    return out;
}

void data_losses_print(const data_losses_t *losses)
{
    for (unsigned i = 0; i < losses->count; i++) {
        char text[DATA_LOSS_TEXT_SIZE];
        terminal_key("data lost");
        terminal_wrap(data_loss_text(&losses->list[i], text), 15, 15);
    }
}

cJSON *data_losses_json(const data_losses_t *losses)
{
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < losses->count; i++) {
        const data_loss_t *loss = &losses->list[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "label", loss->partition.label);
        cJSON_AddNumberToObject(item, "offset", loss->partition.address);
        cJSON_AddNumberToObject(item, "sectors_used", loss->used);
        cJSON_AddNumberToObject(item, "sectors_lost", loss->lost);
        cJSON_AddBoolToObject(item, "given_up", loss->given_up);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}
