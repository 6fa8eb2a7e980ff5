// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_admit.h"

#include "esp_chip_info.h"

#include <inttypes.h>
#include <stdio.h>

esp_self_reflasher_refusal_t sr_admit(const sr_bundle_t *bundle, const sr_system_t *system, uint32_t min_sequence,
                                      char *text, size_t size)
{
    const sr_chip_t *chip = system->chip;
    esp_chip_info_t info;
    esp_chip_info(&info);
    if (bundle->chip_id != chip->image_chip_id) {
        (void)snprintf(text, size, "bundle is for chip id %u, this is %s with id %u", (unsigned)bundle->chip_id,
                       chip->name, (unsigned)chip->image_chip_id);
        return ESP_SELF_REFLASHER_REFUSED_CHIP;
    }
    if (bundle->min_chip_revision > info.revision) {
        (void)snprintf(text, size, "bundle is for chip revision v%u.%u or later, this one is v%u.%u",
                       bundle->min_chip_revision / 100u, bundle->min_chip_revision % 100u, info.revision / 100u,
                       info.revision % 100u);
        return ESP_SELF_REFLASHER_REFUSED_CHIP;
    }
    if (bundle->min_flash_size > system->flash.size) {
        (void)snprintf(text, size, "bundle needs %" PRIu32 " bytes of flash, and %" PRIu32 " can be used here",
                       bundle->min_flash_size, system->flash.size);
        return ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE;
    }
    if (bundle->sequence < min_sequence) {
        (void)snprintf(text, size, "bundle has sequence number %" PRIu32 ", this app takes %" PRIu32 " or later",
                       bundle->sequence, min_sequence);
        return ESP_SELF_REFLASHER_REFUSED_SEQUENCE;
    }
    return ESP_SELF_REFLASHER_REFUSED_NOT;
}
