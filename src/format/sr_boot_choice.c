// SPDX-License-Identifier: Apache-2.0
#include "format/sr_boot_choice.h"

#include "format/sr_image.h"
#include "format/sr_otadata.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"

#include <stddef.h>

#define FACTORY       (-1) // the index below ota_0
#define MAX_OTA_SLOTS (SR_PARTITION_APP_OTA_LAST - SR_PARTITION_APP_OTA_0 + 1u)

/** The entry that counts for the bootloader where a table has several alike: the last. */
static const sr_partition_table_entry_t *last_of(const sr_partition_table_t *table, uint8_t type, uint8_t subtype)
{
    const sr_partition_table_entry_t *last = NULL;
    for (uint8_t i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *entry = &table->entries[i];
        last = entry->type == type && entry->subtype == subtype ? entry : last;
    }
    return last;
}

/** An app that the bootloader would try, or NULL: empty partitions are skipped. */
static const sr_partition_table_entry_t *app_of(const sr_partition_table_t *table, unsigned subtype)
{
    const sr_partition_table_entry_t *app = last_of(table, SR_PARTITION_TYPE_APP, (uint8_t)subtype);
    return app != NULL && app->size != 0 ? app : NULL;
}

/**
 * The app that the bootloader tries after @p skipped others: from the index down to factory, then up to the last slot,
 * then the test app.
 * @return NULL if there are no more.
 */
static const sr_partition_table_entry_t *tried_app(const sr_partition_table_t *table, int index, unsigned skipped)
{
    // Slots are counted, not listed: where a number is left out, the last ones are out of reach.
    const unsigned counted = sr_partition_table_ota_slots(table);
    const int slots = (int)(counted < MAX_OTA_SLOTS ? counted : MAX_OTA_SLOTS);
    const int first = index < slots ? index : slots - 1;
    for (int step = 0; step <= slots; step++) {
        const int i = step <= first + 1 ? first - step : step - 1;
        const sr_partition_table_entry_t *app =
            app_of(table, i == FACTORY ? SR_PARTITION_APP_FACTORY : SR_PARTITION_APP_OTA_0 + (unsigned)i);
        if (app != NULL && skipped-- == 0) {
            return app;
        }
    }
    return skipped == 0 ? app_of(table, SR_PARTITION_APP_TEST) : NULL;
}

static const sr_partition_table_entry_t *first_app(const sr_partition_table_t *table, int index)
{
    return tried_app(table, index, 0);
}

static sr_boot_choice_status_t read_otadata(const sr_reader_t *flash, const sr_partition_table_entry_t *partition,
                                            sr_otadata_t *otadata)
{
    if (partition->size < 2 * SR_SECTOR_SIZE) {
        return SR_BOOT_CHOICE_SMALL_OTADATA;
    }
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, flash, partition->address, partition->size);
    return sr_otadata_read(&reader, otadata) == 0 ? SR_BOOT_CHOICE_OK : SR_BOOT_CHOICE_READ_FAILED;
}

/** What otadata says. Without a valid entry it is like no otadata: the order starts at factory. */
static int selected_index(const sr_otadata_t *otadata, const sr_partition_table_t *table)
{
    const int active = sr_otadata_active(otadata);
    const unsigned slots = sr_partition_table_ota_slots(table);
    return active >= 0 && slots > 0 ? (int)((otadata->entries[active].sequence - 1u) % slots) : FACTORY;
}

const sr_partition_table_entry_t *sr_boot_choice_otadata(const sr_partition_table_t *table)
{
    const sr_partition_table_entry_t *otadata = last_of(table, SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA);
    return otadata != NULL && otadata->address != 0 ? otadata : NULL;
}

sr_boot_choice_status_t sr_boot_choice_make(const sr_reader_t *flash, const sr_partition_table_t *table,
                                            sr_boot_choice_t *choice)
{
    *choice = (sr_boot_choice_t){.otadata = sr_boot_choice_otadata(table), .sequence = UINT32_MAX, .index = FACTORY};
    int index = FACTORY;
    bool unconfirmed = false;
    if (choice->otadata != NULL) {
        sr_otadata_t otadata;
        const sr_boot_choice_status_t status = read_otadata(flash, choice->otadata, &otadata);
        if (status != SR_BOOT_CHOICE_OK) {
            return status;
        }
        index = selected_index(&otadata, table);
        if (index != FACTORY) {
            const sr_otadata_entry_t *entry = &otadata.entries[sr_otadata_active(&otadata)];
            choice->sequence = entry->sequence;
            unconfirmed = entry->state == SR_OTA_PENDING_VERIFY;
        }
    }
    choice->index = index;
    choice->app = first_app(table, index);
    if (unconfirmed) {
        return SR_BOOT_CHOICE_UNCONFIRMED;
    }
    return choice->app != NULL ? SR_BOOT_CHOICE_OK : SR_BOOT_CHOICE_NO_APP;
}

const sr_partition_table_entry_t *sr_boot_choice_tried(const sr_partition_table_t *table,
                                                       const sr_boot_choice_t *choice, unsigned skipped)
{
    return tried_app(table, choice->index, skipped);
}

bool sr_boot_choice_skip_empty(const sr_reader_t *flash, const sr_partition_table_t *table, sr_boot_choice_t *choice)
{
    const sr_partition_table_entry_t *app = choice->app;
    for (unsigned skipped = 1; app != NULL; skipped++) {
        uint8_t first = 0;
        if (app->address < flash->size && flash->read(flash->context, app->address, &first, 1) != 0) {
            return false;
        }
        if (first == SR_IMAGE_MAGIC) {
            choice->app = app;
            return true;
        }
        app = tried_app(table, choice->index, skipped);
    }
    return true;
}

bool sr_boot_choice_make_at(const sr_reader_t *flash, uint32_t table_offset, sr_partition_table_t *table,
                            sr_boot_choice_t *choice)
{
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, flash, table_offset, SR_PARTITION_TABLE_SIZE);
    return sr_partition_table_parse(&reader, 0, table) == SR_PARTITION_TABLE_OK &&
           sr_boot_choice_make(flash, table, choice) == SR_BOOT_CHOICE_OK;
}

/** What a bootloader with rollback makes of otadata in a boot or two: apps that do not confirm themselves are skipped.
 */
static void abort_unconfirmed(sr_otadata_t *otadata)
{
    for (unsigned i = 0; i < 2; i++) {
        sr_otadata_entry_t *entry = &otadata->entries[i];
        entry->state = sr_otadata_on_probation(entry) ? SR_OTA_ABORTED : entry->state;
    }
}

static bool is_at(const sr_partition_table_entry_t *app, uint32_t address)
{
    return app != NULL && app->address == address;
}

bool sr_boot_choice_always_tries(const sr_reader_t *flash, uint32_t table_offset, uint32_t app,
                                 sr_partition_table_t *table)
{
    sr_otadata_t otadata;
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, flash, table_offset, SR_PARTITION_TABLE_SIZE);
    if (sr_partition_table_parse(&reader, 0, table) != SR_PARTITION_TABLE_OK) {
        return true;
    }
    const sr_partition_table_entry_t *partition = sr_boot_choice_otadata(table);
    if (partition == NULL) {
        return is_at(first_app(table, FACTORY), app);
    }
    if (read_otadata(flash, partition, &otadata) != SR_BOOT_CHOICE_OK) {
        return true;
    }
    const bool without_rollback = is_at(first_app(table, selected_index(&otadata, table)), app);
    abort_unconfirmed(&otadata);
    return without_rollback && is_at(first_app(table, selected_index(&otadata, table)), app);
}
