// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_otadata.h"

#include "format/sr_boot_choice.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "make/image_writer.h"

#include <string.h>

#define USED (2u * SR_SECTOR_SIZE) /**< Bytes of otadata, however large its partition. */

sr_region_t pack_otadata_place(const pack_result_t *result)
{
    const sr_partition_table_entry_t *entry = sr_boot_choice_otadata(&result->table);
    const bool usable = entry != NULL && entry->size >= USED && entry->address <= FLASH_LIMIT - USED;
    return usable ? (sr_region_t){entry->address, USED} : (sr_region_t){0};
}

static bool is_packed(const flash_layout_t *layout, const sr_partition_table_entry_t *app)
{
    return flash_layout_want(layout, app->address) == SR_BUNDLE_CONTENT &&
           layout->bytes[app->address] == SR_IMAGE_MAGIC;
}

/** True if an image may be there: one is packed, or what the device has there stays. */
static bool may_start(const flash_layout_t *layout, const sr_partition_table_entry_t *app)
{
    return is_packed(layout, app) || flash_layout_want(layout, app->address) == SR_BUNDLE_KEEP;
}

/** The first app in the bootloader's order that may start, by an otadata of these bytes. NULL: there is none. */
static const sr_partition_table_entry_t *first_app(const pack_result_t *result, const flash_layout_t *layout,
                                                   const uint8_t otadata[USED])
{
    sr_boot_choice_t choice;
    const sr_reader_t reader = sr_reader_memory(layout->bytes, FLASH_LIMIT);
    sr_reader_overlay_t overlay = {.flash = &reader, .destination = pack_otadata_place(result)};
    const sr_reader_t image = sr_reader_memory(otadata, USED);
    overlay.image = &image;
    const sr_reader_t flash = sr_reader_overlay(&overlay);
    if (sr_boot_choice_make(&flash, &result->table, &choice) != SR_BOOT_CHOICE_OK) {
        return NULL; // the checks tell why
    }
    const sr_partition_table_entry_t *app = choice.app;
    for (unsigned skipped = 1; app != NULL && !may_start(layout, app); skipped++) {
        app = sr_boot_choice_tried(&result->table, &choice, skipped);
    }
    return app;
}

/** The first OTA slot in which an app is packed. @param[out] sequence Selects it. */
static const sr_partition_table_entry_t *packed_slot(const pack_result_t *result, const flash_layout_t *layout,
                                                     uint32_t *sequence)
{
    for (unsigned slot = 0; slot < sr_partition_table_ota_slots(&result->table); slot++) {
        for (unsigned i = 0; i < result->table.count; i++) {
            const sr_partition_table_entry_t *entry = &result->table.entries[i];
            if (entry->type == SR_PARTITION_TYPE_APP && entry->subtype == SR_PARTITION_APP_OTA_0 + slot &&
                is_packed(layout, entry)) {
                *sequence = slot + 1;
                return entry;
            }
        }
    }
    return NULL;
}

static bool packs_app(const pack_result_t *result, const flash_layout_t *layout)
{
    for (unsigned i = 0; i < result->table.count; i++) {
        if (result->table.entries[i].type == SR_PARTITION_TYPE_APP && is_packed(layout, &result->table.entries[i])) {
            return true;
        }
    }
    return false;
}

static void name_app(pack_otadata_t *done, const sr_partition_table_entry_t *app)
{
    memcpy(done->label, app->label, sizeof(app->label));
}

static void bring(const pack_result_t *result, flash_layout_t *layout, pack_otadata_t *done)
{
    uint8_t otadata[USED];
    uint32_t sequence = 0;
    memset(otadata, 0xFF, sizeof(otadata));
    const sr_partition_table_entry_t *app = first_app(result, layout, otadata);
    done->kind = PACK_OTADATA_ERASED;
    if (app == NULL || !is_packed(layout, app)) {
        app = packed_slot(result, layout, &sequence);
        if (app == NULL) {
            done->kind = PACK_OTADATA_LEFT; // a test app, which the bootloader starts in its own way
            return;
        }
        done->kind = PACK_OTADATA_WRITTEN;
        image_write_otadata(sequence, SR_OTA_UNDEFINED, otadata);
    }
    name_app(done, app);
    flash_layout_set(layout, done->place, SR_BUNDLE_BLANK);
    if (done->kind == PACK_OTADATA_WRITTEN) {
        flash_layout_set(layout, (sr_region_t){done->place.address, SR_SECTOR_SIZE}, SR_BUNDLE_CONTENT);
        memcpy(layout->bytes + done->place.address, otadata, SR_SECTOR_SIZE);
    }
}

pack_otadata_t pack_otadata_settle(const pack_result_t *result, flash_layout_t *layout, bool is_reserved)
{
    pack_otadata_t done = {.kind = PACK_OTADATA_LEFT, .place = pack_otadata_place(result)};
    if (done.place.size == 0 || !packs_app(result, layout)) {
        return done;
    }
    const bool is_brought = flash_layout_want(layout, done.place.address) != SR_BUNDLE_KEEP &&
                            flash_layout_want(layout, done.place.address + SR_SECTOR_SIZE) != SR_BUNDLE_KEEP;
    if (!is_brought && is_reserved) {
        done.kind = PACK_OTADATA_OTHER; // it may select anything
        return done;
    }
    if (!is_brought) {
        bring(result, layout, &done);
        return done;
    }
    const sr_partition_table_entry_t *app = first_app(result, layout, layout->bytes + done.place.address);
    if (app != NULL && !is_packed(layout, app)) {
        done.kind = PACK_OTADATA_OTHER;
        name_app(&done, app);
    }
    return done;
}
