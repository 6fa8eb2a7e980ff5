// SPDX-License-Identifier: Apache-2.0
#include "sim_state.h"

#include "nvs_flash.h"

static const esp_partition_t *nvs_partition(void)
{
    return esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_DATA_NVS, "nvs");
}

/* A page starts with its state, of which all bits are set until it is used first. NVS wants one such page in reserve.
 */
esp_err_t nvs_flash_init(void)
{
    const esp_partition_t *nvs = nvs_partition();
    if (nvs == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    for (uint32_t page = 0; page < nvs->size; page += nvs->erase_size) {
        uint32_t page_state = 0;
        const esp_err_t err = esp_partition_read_raw(nvs, page, &page_state, sizeof(page_state));
        if (err != ESP_OK || page_state == UINT32_MAX) {
            return err;
        }
    }
    return ESP_ERR_NVS_NO_FREE_PAGES;
}

esp_err_t nvs_flash_erase(void)
{
    const esp_partition_t *nvs = nvs_partition();
    return nvs == NULL ? ESP_ERR_NOT_FOUND : esp_partition_erase_range(nvs, 0, nvs->size);
}
