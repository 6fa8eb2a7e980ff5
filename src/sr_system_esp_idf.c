// SPDX-License-Identifier: Apache-2.0
#include "sr_system_esp_idf.h"

#include "sr_digest.h"
#include "sr_partition_table.h"
#include "sr_recovery_esp_idf.h"
#include "sr_yield_esp_idf.h"

#include "esp_chip_info.h"
#include "esp_flash.h"
#include "esp_ota_ops.h"
#include "esp_secure_boot.h"
#include "esp_system.h"
#include "sdkconfig.h"

static int flash_window_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    sr_flash_window_t *window = context;
    sr_yield((uint32_t)length);
    const esp_err_t err = sr_flash_read(window->flash, window->address + offset, buffer, (uint32_t)length);
    window->err = err != ESP_OK ? err : window->err;
    return err;
}

sr_reader_t sr_flash_reader(sr_flash_window_t *window, const sr_flash_t *flash, uint32_t address, uint32_t size)
{
    *window = (sr_flash_window_t){.flash = flash, .address = address};
    return (sr_reader_t){.context = window, .read = flash_window_read, .size = size};
}

sr_region_t sr_partition_region(const esp_partition_t *partition)
{
    return partition != NULL ? (sr_region_t){partition->address, partition->size} : (sr_region_t){0};
}

bool sr_partition_is_on_main_chip(const esp_partition_t *partition)
{
    return partition->flash_chip == NULL || partition->flash_chip == esp_flash_default_chip;
}

/* To search the table, ESP-IDF allocates. A table has an entry at least, so that nothing found means no memory. */
esp_err_t sr_system_visit_partitions(sr_system_visit_t visit, void *context)
{
    esp_partition_iterator_t it = esp_partition_find(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, NULL);
    if (it == NULL) {
        return ESP_ERR_NO_MEM;
    }
    for (; it != NULL; it = esp_partition_next(it)) {
        if (sr_partition_is_on_main_chip(esp_partition_get(it))) {
            visit(context, esp_partition_get(it));
        }
    }
    return ESP_OK;
}

bool sr_partition_is_data(const esp_partition_t *partition)
{
    const uint32_t type = (uint32_t)partition->type;
    return type != SR_PARTITION_TYPE_APP && type != SR_PARTITION_TYPE_BOOTLOADER && type != SR_PARTITION_TYPE_TABLE;
}

static void take_otadata(void *context, const esp_partition_t *partition)
{
    sr_region_t *otadata = context;
    if (otadata->size == 0 && partition->type == ESP_PARTITION_TYPE_DATA &&
        partition->subtype == ESP_PARTITION_SUBTYPE_DATA_OTA) {
        *otadata = sr_partition_region(partition);
    }
}

/* The chip model is the image chip id, but for the first one: esp_chip_model_t counts ESP32 as 1, esp_chip_id_t as 0.
 */
static const sr_chip_t *running_chip(void)
{
    esp_chip_info_t info;
    esp_chip_info(&info);
    return sr_chip_by_id(info.model == CHIP_ESP32 ? 0 : (uint16_t)info.model);
}

esp_err_t sr_system_look(sr_system_t *system)
{
    *system = (sr_system_t){.chip = running_chip(), .secure_boot = esp_secure_boot_enabled()};
    if (system->chip == NULL) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    sr_region_t otadata = {0};
    esp_err_t err = sr_flash_open(&system->flash);
    if (err == ESP_OK) {
        err = sr_system_visit_partitions(take_otadata, &otadata);
    }
    if (err != ESP_OK) {
        return err;
    }
    system->running_partition = sr_partition_region(esp_ota_get_running_partition());

    sr_flash_window_t window;
    const sr_reader_t flash = sr_flash_reader(&window, &system->flash, 0, system->flash.size);
    sr_boot_path_find(&flash, system->chip, CONFIG_PARTITION_TABLE_OFFSET, otadata, system->running_partition,
                      &system->boot_path);
    system->recovery = sr_recovery_offset();
    if (sr_recovery_started(system->recovery)) {
        const sr_region_t place = {system->recovery, CONFIG_PARTITION_TABLE_OFFSET - system->chip->bootloader_offset};
        system->boot_path.recovery = sr_boot_path_image(&flash, place);
    }
    return ESP_OK;
}

/* True if the candidate serves better: the first one that is large enough, else the largest. */
static bool is_better(const esp_partition_t *candidate, const esp_partition_t *best, uint32_t wanted)
{
    return best == NULL || (best->size < wanted && candidate->size > best->size);
}

static void take_slot(void *context, const esp_partition_t *partition)
{
    sr_slots_t *slots = context;
    const uint32_t number = (uint32_t)partition->subtype - ESP_PARTITION_SUBTYPE_APP_OTA_MIN;
    if (partition->type == ESP_PARTITION_TYPE_APP && number < SR_SLOTS && slots->list[number] == NULL) {
        slots->list[number] = partition;
        slots->count++;
    }
}

esp_err_t sr_system_find_slots(sr_slots_t *slots)
{
    *slots = (sr_slots_t){0};
    return sr_system_visit_partitions(take_slot, slots);
}

uint16_t sr_slots_in(const sr_slots_t *slots, sr_region_t region)
{
    uint16_t found = 0;
    for (unsigned i = 0; i < SR_SLOTS; i++) {
        found = (uint16_t)(found | sr_region_overlaps(sr_partition_region(slots->list[i]), region) << i);
    }
    return found;
}

const esp_partition_t *sr_system_find_staging(const sr_system_t *system, const sr_slots_t *slots, uint16_t taken,
                                              uint32_t wanted)
{
    const esp_partition_t *best = NULL;
    const uint16_t not_free =
        taken | sr_slots_in(slots, system->running_partition) | sr_slots_in(slots, system->boot_path.recovery);
    for (unsigned i = 0; i < SR_SLOTS; i++) {
        const esp_partition_t *slot = slots->list[i];
        if (slot != NULL && (not_free >> i & 1) == 0 && is_better(slot, best, wanted)) {
            best = slot;
        }
    }
    return best;
}

esp_err_t sr_system_app_id(const sr_system_t *system, uint8_t *scratch, uint8_t id[SR_SHA256_SIZE])
{
    const esp_err_t err = sr_flash_read(&system->flash, system->running_partition.address, scratch, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    return sr_digest(scratch, SR_SECTOR_SIZE, id) ? ESP_OK : ESP_FAIL;
}

bool sr_system_supply_is_steady(void)
{
    return esp_reset_reason() != ESP_RST_BROWNOUT;
}
