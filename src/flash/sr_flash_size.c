// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_flash_size.h"

#include "format/sr_chip.h"

#include "esp_flash.h"
#include "esp_idf_version.h"

#if ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(6, 0, 0)
#include "esp_flash_chips/esp_flash_types.h" /* Where the fields of esp_flash_t are from then on. */
#endif

/* What the driver uses without our doing; 0: that was not changed. */
static uint32_t own_size;

void sr_flash_size_extend(sr_flash_t *flash)
{
    uint32_t physical = 0;
    if (flash->encryption || flash->size >= SR_FLASH_24_BIT ||
        esp_flash_get_physical_size(esp_flash_default_chip, &physical) != ESP_OK) {
        return;
    }
    physical = physical < SR_FLASH_24_BIT ? physical : SR_FLASH_24_BIT;
    if (physical > flash->size) {
        own_size = flash->size;
        flash->size = esp_flash_default_chip->size = physical;
    }
}

void sr_flash_size_restore(void)
{
    if (own_size != 0) {
        esp_flash_default_chip->size = own_size;
        own_size = 0;
    }
}
