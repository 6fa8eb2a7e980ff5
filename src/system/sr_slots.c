// SPDX-License-Identifier: Apache-2.0
#include "system/sr_slots.h"

#include "system/sr_partition.h"

/* True if the candidate serves better: the first one that is large enough, else the largest. */
static bool is_better(const esp_partition_t *candidate, const esp_partition_t *best, uint32_t wanted)
{
    return best == NULL || (best->size < wanted && candidate->size > best->size);
}

static void take_slot(void *context, const esp_partition_t *partition)
{
    sr_slots_t *slots = context;
    const uint32_t number = (uint32_t)partition->subtype - ESP_PARTITION_SUBTYPE_APP_OTA_MIN;
    if (partition->type == ESP_PARTITION_TYPE_APP && number < SR_SLOTS_MAX && slots->list[number] == NULL) {
        slots->list[number] = partition;
        slots->count++;
    }
}

esp_err_t sr_slots_find(sr_slots_t *slots)
{
    *slots = (sr_slots_t){0};
    return sr_partition_visit(take_slot, slots);
}

uint16_t sr_slots_in(const sr_slots_t *slots, sr_region_t region)
{
    uint16_t found = 0;
    for (unsigned i = 0; i < SR_SLOTS_MAX; i++) {
        found = (uint16_t)(found | sr_region_overlaps(sr_partition_region(slots->list[i]), region) << i);
    }
    return found;
}

const esp_partition_t *sr_slots_find_staging(const sr_system_t *system, const sr_slots_t *slots, uint16_t taken,
                                             uint32_t wanted)
{
    const esp_partition_t *best = NULL;
    const uint16_t not_free =
        taken | sr_slots_in(slots, system->running_partition) | sr_slots_in(slots, system->boot_path.recovery);
    for (unsigned i = 0; i < SR_SLOTS_MAX; i++) {
        const esp_partition_t *slot = slots->list[i];
        if (slot != NULL && (not_free >> i & 1) == 0 && !sr_partition_is_read_only(slot) &&
            is_better(slot, best, wanted)) {
            best = slot;
        }
    }
    return best;
}
