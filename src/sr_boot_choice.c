// SPDX-License-Identifier: Apache-2.0
#include "sr_boot_choice.h"

#include "sr_otadata.h"
#include "sr_region.h"
#include "sr_window.h"

#include <stddef.h>

#define FACTORY       (-1) // the index below ota_0
#define MAX_OTA_SLOTS (SR_PARTITION_APP_OTA_LAST - SR_PARTITION_APP_OTA_0 + 1u)

/** The entry that counts for the bootloader where a table has several alike: the last. */
static const sr_partition_t *last_of(const sr_table_t *table, uint8_t type, uint8_t subtype)
{
    const sr_partition_t *last = NULL;
    for (uint8_t i = 0; i < table->count; i++) {
        const sr_partition_t *entry = &table->entries[i];
        last = entry->type == type && entry->subtype == subtype ? entry : last;
    }
    return last;
}

/** An app that the bootloader would try, or NULL: empty partitions are passed over. */
static const sr_partition_t *app_of(const sr_table_t *table, unsigned subtype)
{
    const sr_partition_t *app = last_of(table, SR_PARTITION_TYPE_APP, (uint8_t)subtype);
    return app != NULL && app->size != 0 ? app : NULL;
}

/** First app in the bootloader's order: from the index down to factory, then up to the last slot, then the test app. */
static const sr_partition_t *first_app(const sr_table_t *table, int index)
{
    // Slots are counted, not looked at: where a number is left out, the last ones are out of reach.
    const unsigned counted = sr_table_ota_slots(table);
    const int slots = (int)(counted < MAX_OTA_SLOTS ? counted : MAX_OTA_SLOTS);
    const sr_partition_t *app = NULL;
    for (int i = index < slots ? index : slots - 1; i > FACTORY && app == NULL; i--) {
        app = app_of(table, SR_PARTITION_APP_OTA_0 + (unsigned)i);
    }
    if (app == NULL) {
        app = app_of(table, SR_PARTITION_APP_FACTORY);
    }
    for (int i = index + 1; i < slots && app == NULL; i++) {
        app = app_of(table, SR_PARTITION_APP_OTA_0 + (unsigned)i);
    }
    return app != NULL ? app : app_of(table, SR_PARTITION_APP_TEST);
}

/** What otadata says. Without a valid entry it is as good as none: the order starts at factory. */
static sr_boot_choice_status_t selected_index(const sr_reader_t *flash, const sr_table_t *table,
                                              sr_boot_choice_t *choice, int *index)
{
    const sr_partition_t *partition = choice->otadata;
    if (partition->size < 2 * SR_SECTOR_SIZE) {
        return SR_BOOT_CHOICE_SMALL_OTADATA;
    }
    sr_window_t window;
    const sr_reader_t reader = sr_window_reader(&window, flash, partition->address, partition->size);
    sr_otadata_t otadata;
    if (sr_otadata_read(&reader, &otadata) != 0) {
        return SR_BOOT_CHOICE_READ_FAILED;
    }
    const int active = sr_otadata_active(&otadata);
    const unsigned slots = sr_table_ota_slots(table);
    if (active < 0 || slots == 0) {
        return SR_BOOT_CHOICE_OK;
    }
    choice->sequence = otadata.entries[active].sequence;
    *index = (int)((choice->sequence - 1u) % slots);
    return otadata.entries[active].state == SR_OTA_PENDING_VERIFY ? SR_BOOT_CHOICE_UNCONFIRMED : SR_BOOT_CHOICE_OK;
}

sr_boot_choice_status_t sr_boot_choose(const sr_reader_t *flash, const sr_table_t *table, sr_boot_choice_t *choice)
{
    *choice = (sr_boot_choice_t){
        .otadata = last_of(table, SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA),
        .sequence = UINT32_MAX,
    };
    int index = FACTORY;
    // The bootloader takes an address of 0 for "there is none".
    if (choice->otadata != NULL && choice->otadata->address == 0) {
        choice->otadata = NULL;
    }
    if (choice->otadata != NULL) {
        const sr_boot_choice_status_t status = selected_index(flash, table, choice, &index);
        if (status != SR_BOOT_CHOICE_OK) {
            return status;
        }
    }
    choice->app = first_app(table, index);
    return choice->app != NULL ? SR_BOOT_CHOICE_OK : SR_BOOT_CHOICE_NO_APP;
}

bool sr_boot_choose_at(const sr_reader_t *flash, uint32_t table_offset, sr_table_t *table, sr_boot_choice_t *choice)
{
    sr_window_t window;
    const sr_reader_t reader = sr_window_reader(&window, flash, table_offset, SR_PARTITION_TABLE_SIZE);
    return sr_table_parse(&reader, 0, table) == SR_TABLE_OK &&
           sr_boot_choose(flash, table, choice) == SR_BOOT_CHOICE_OK;
}
