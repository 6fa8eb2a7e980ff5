// SPDX-License-Identifier: Apache-2.0
/** @file MAC addresses, made of one that all simulated chips have. */
#pragma once

#include "esp_err.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MACSTR     "%02x:%02x:%02x:%02x:%02x:%02x"
#define MAC2STR(a) (a)[0], (a)[1], (a)[2], (a)[3], (a)[4], (a)[5]

typedef enum {
    ESP_MAC_WIFI_STA,
    ESP_MAC_WIFI_SOFTAP,
    ESP_MAC_BT,
    ESP_MAC_ETH,
    ESP_MAC_IEEE802154,
    ESP_MAC_BASE,
    ESP_MAC_EFUSE_FACTORY,
    ESP_MAC_EFUSE_CUSTOM,
    ESP_MAC_EFUSE_EXT,
} esp_mac_type_t;

/** For the types that are derived from the base address, and for that itself; else ESP_ERR_NOT_SUPPORTED. */
esp_err_t esp_read_mac(uint8_t *mac, esp_mac_type_t type);
esp_err_t esp_efuse_mac_get_default(uint8_t *mac);
/** ESP_ERR_INVALID_VERSION: none was burnt. */
esp_err_t esp_efuse_mac_get_custom(uint8_t *mac);
esp_err_t esp_base_mac_addr_get(uint8_t *mac);
/** ESP_ERR_INVALID_ARG for NULL or a group address. */
esp_err_t esp_base_mac_addr_set(const uint8_t *mac);

#ifdef __cplusplus
}
#endif
