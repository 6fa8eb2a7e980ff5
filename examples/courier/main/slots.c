// SPDX-License-Identifier: Apache-2.0
#include "slots.h"

#include "esp_app_desc.h"
#include "esp_image_format.h"
#include "esp_log.h"
#include "esp_system.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_SLOTS 16

static const char *TAG = "courier";

/* The image of this app lies twice in flash once it was moved. */
static bool is_this_app(const esp_partition_t *partition)
{
    esp_app_desc_t other;
    const esp_app_desc_t *own = esp_app_get_description();
    return esp_ota_get_partition_description(partition, &other) == ESP_OK &&
           memcmp(other.app_elf_sha256, own->app_elf_sha256, sizeof(own->app_elf_sha256)) == 0;
}

static const esp_partition_t *find_whole(esp_partition_subtype_t subtype)
{
    static esp_image_metadata_t image;
    const esp_partition_t *partition = esp_partition_find_first(ESP_PARTITION_TYPE_APP, subtype, NULL);
    if (partition == NULL || partition == esp_ota_get_running_partition() || is_this_app(partition)) {
        return NULL;
    }
    const esp_partition_pos_t place = {.offset = partition->address, .size = partition->size};
    return esp_image_verify(ESP_IMAGE_VERIFY_SILENT, &place, &image) == ESP_OK ? partition : NULL;
}

/* An update goes to the slot after that of the app that takes it, so the old app is in the one before. */
const esp_partition_t *slots_find_old_app(void)
{
    const esp_partition_t *running = esp_ota_get_running_partition();
    const int own = running != NULL ? (int)running->subtype - ESP_PARTITION_SUBTYPE_APP_OTA_MIN : 0;
    for (int i = 1; i <= MAX_SLOTS; i++) {
        const int number = (own - i + 2 * MAX_SLOTS) % MAX_SLOTS;
        const esp_partition_t *found =
            find_whole((esp_partition_subtype_t)(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + number));
        if (found != NULL) {
            return found;
        }
    }
    return find_whole(ESP_PARTITION_SUBTYPE_APP_FACTORY);
}

void slots_name(const esp_partition_t *partition, char *name, size_t size)
{
    esp_app_desc_t app;
    if (esp_ota_get_partition_description(partition, &app) == ESP_OK) {
        snprintf(name, size, "%.32s %.32s", app.project_name, app.version);
    } else {
        snprintf(name, size, "the app in '%.16s'", partition->label);
    }
}

bool slots_is_in_state(esp_ota_img_states_t expected)
{
    esp_ota_img_states_t state;
    return esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK && state == expected;
}

void slots_start(const esp_partition_t *partition)
{
    if (esp_ota_set_boot_partition(partition) == ESP_OK) {
        ESP_LOGW(TAG, "starting the app in '%s' at 0x%" PRIx32 " again", partition->label, partition->address);
        esp_restart();
    }
}
