// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_flash.h"

#include "format/sr_region.h"
#include "port/sr_watchdog.h"

#include "esp_flash.h"
#include "esp_idf_version.h"
#include "esp_partition.h"
#include "sdkconfig.h"

#if ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(6, 0, 1)
#include "esp_efuse.h"
#define flash_is_encrypted esp_efuse_is_flash_encryption_enabled
#else
#include "esp_flash_encrypt.h"
#define flash_is_encrypted esp_flash_encryption_enabled
#endif

esp_err_t sr_flash_open(sr_flash_t *flash)
{
    flash->encryption = flash_is_encrypted();
    flash->feed = sr_watchdog_is_on() ? sr_watchdog_feed : NULL;
    return esp_flash_get_size(esp_flash_default_chip, &flash->size);
}

/* Writing a whole flash takes longer than the task watchdog waits; and a sector on the boot path that is tried again
 * and again is no reason for a reset. */
static void feed(const sr_flash_t *flash)
{
    if (flash->feed != NULL) {
        flash->feed();
    }
}

/* The bootloader and the table have no entry in the table, and are always encrypted. */
static bool lies_before_partitions(uint32_t address)
{
    return address < CONFIG_PARTITION_TABLE_OFFSET + SR_SECTOR_SIZE;
}

/* To search the table, ESP-IDF allocates. A table has at least one entry, so nothing found means no memory. */
static esp_err_t in_encrypted_partition(uint32_t address, bool *encrypted)
{
    *encrypted = false;
    esp_partition_iterator_t it = esp_partition_find(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, NULL);
    if (it == NULL) {
        return ESP_ERR_NO_MEM;
    }
    for (; it != NULL && !*encrypted; it = esp_partition_next(it)) {
        const esp_partition_t *partition = esp_partition_get(it);
        const sr_region_t region = {partition->address, partition->size};
        *encrypted = partition->encrypted && sr_region_overlaps(region, (sr_region_t){address, 1});
    }
    esp_partition_iterator_release(it);
    return ESP_OK;
}

static esp_err_t find_out(const sr_flash_t *flash, uint32_t address, bool *encrypted)
{
    *encrypted = flash->encryption && flash->everywhere;
    if (!flash->encryption || flash->everywhere) {
        return ESP_OK;
    }
    if (flash->layout != NULL) {
        *encrypted = sr_flash_layout_encrypts(flash->layout, address);
        return ESP_OK;
    }
    *encrypted = lies_before_partitions(address);
    return *encrypted ? ESP_OK : in_encrypted_partition(address, encrypted);
}

bool sr_flash_encrypts(const sr_flash_t *flash, uint32_t address)
{
    bool encrypted;
    return find_out(flash, address, &encrypted) != ESP_OK || encrypted;
}

/* Pieces end with their sector, because an image may lie across the end of a partition. */
static esp_err_t read_piece(const sr_flash_t *flash, uint32_t address, uint8_t *out, uint32_t length)
{
    bool encrypted;
    const esp_err_t err = find_out(flash, address, &encrypted);
    if (err != ESP_OK) {
        return err;
    }
    return encrypted ? esp_flash_read_encrypted(esp_flash_default_chip, address, out, length)
                     : esp_flash_read(esp_flash_default_chip, out, address, length);
}

esp_err_t sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    feed(flash);
    if (!flash->encryption) {
        return esp_flash_read(esp_flash_default_chip, out, address, length);
    }
    esp_err_t err = ESP_OK;
    for (uint32_t done = 0; done < length && err == ESP_OK;) {
        const uint32_t room = SR_SECTOR_SIZE - (address + done) % SR_SECTOR_SIZE;
        const uint32_t piece = length - done < room ? length - done : room;
        err = read_piece(flash, address + done, (uint8_t *)out + done, piece);
        done += piece;
    }
    return err;
}

esp_err_t sr_flash_read_raw(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    feed(flash);
    return esp_flash_read(esp_flash_default_chip, out, address, length);
}

esp_err_t sr_flash_write(const sr_flash_t *flash, uint32_t address, const void *data, uint32_t length)
{
    bool encrypted;
    feed(flash);
    const esp_err_t err = find_out(flash, address, &encrypted);
    if (err != ESP_OK) {
        return err;
    }
    return encrypted ? esp_flash_write_encrypted(esp_flash_default_chip, address, data, length)
                     : esp_flash_write(esp_flash_default_chip, data, address, length);
}

esp_err_t sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length)
{
    feed(flash);
    return esp_flash_erase_region(esp_flash_default_chip, address, length);
}
