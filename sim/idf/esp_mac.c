// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_mac.h"
#include "esp_random.h"
#include "esp_rom_crc.h"

#include <string.h>
#include <sys/random.h>

#define MAC_SIZE 6u

static const uint8_t factory[MAC_SIZE] = {0x24, 0x0A, 0xC4, 0x00, 0x00, 0x10};
static uint8_t base[MAC_SIZE] = {0x24, 0x0A, 0xC4, 0x00, 0x00, 0x10};

static esp_err_t give(uint8_t *mac, const uint8_t from[MAC_SIZE], uint8_t add)
{
    sim_flash_code(__func__);
    if (mac == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    memcpy(mac, from, MAC_SIZE);
    mac[MAC_SIZE - 1] = (uint8_t)(mac[MAC_SIZE - 1] + add);
    return ESP_OK;
}

esp_err_t esp_read_mac(uint8_t *mac, esp_mac_type_t type)
{
    switch (type) {
    case ESP_MAC_WIFI_STA:
    case ESP_MAC_BASE:
        return give(mac, base, 0);
    case ESP_MAC_WIFI_SOFTAP:
        return give(mac, base, 1);
    case ESP_MAC_BT:
        return give(mac, base, 2);
    case ESP_MAC_ETH:
        return give(mac, base, 3);
    case ESP_MAC_EFUSE_FACTORY:
        return give(mac, factory, 0);
    default:
        return ESP_ERR_NOT_SUPPORTED;
    }
}

esp_err_t esp_efuse_mac_get_default(uint8_t *mac)
{
    return give(mac, factory, 0);
}

esp_err_t esp_efuse_mac_get_custom(uint8_t *mac)
{
    return mac == NULL ? ESP_ERR_INVALID_ARG : ESP_ERR_INVALID_VERSION;
}

esp_err_t esp_base_mac_addr_get(uint8_t *mac)
{
    return give(mac, base, 0);
}

esp_err_t esp_base_mac_addr_set(const uint8_t *mac)
{
    sim_flash_code(__func__);
    if (mac == NULL || (mac[0] & 1) != 0) {
        return ESP_ERR_INVALID_ARG;
    }
    memcpy(base, mac, MAC_SIZE);
    return ESP_OK;
}

void esp_fill_random(void *buf, size_t len)
{
    sim_flash_code(__func__);
    uint8_t *bytes = buf;
    for (size_t done = 0; done < len;) {
        const ssize_t got = getrandom(bytes + done, len - done, 0);
        done += got > 0 ? (size_t)got : 0;
    }
}

uint32_t esp_random(void)
{
    uint32_t number;
    esp_fill_random(&number, sizeof(number));
    return number;
}

static uint32_t crc_le(uint32_t crc, uint32_t polynomial, uint8_t const *buf, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        crc ^= buf[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? crc >> 1 ^ polynomial : crc >> 1;
        }
    }
    return crc;
}

uint32_t esp_rom_crc32_le(uint32_t crc, uint8_t const *buf, uint32_t len)
{
    return ~crc_le(~crc, 0xEDB88320u, buf, len);
}

uint16_t esp_rom_crc16_le(uint16_t crc, uint8_t const *buf, uint32_t len)
{
    return (uint16_t)~crc_le((uint16_t)~crc, 0x8408u, buf, len);
}

uint8_t esp_rom_crc8_le(uint8_t crc, uint8_t const *buf, uint32_t len)
{
    return (uint8_t)~crc_le((uint8_t)~crc, 0xE0u, buf, len);
}
