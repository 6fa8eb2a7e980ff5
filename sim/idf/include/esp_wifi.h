// SPDX-License-Identifier: Apache-2.0
/** @file
 * The Wi-Fi driver, as a station: there is an access point of every name, and it takes every password. Connecting takes
 * no time, and its events come before the call returns. Access points and scans are not simulated.
 */
#pragma once

#include "esp_err.h"
#include "esp_event.h"
#include "esp_netif.h"
#include "esp_wifi_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_WIFI_NOT_INIT    (ESP_ERR_WIFI_BASE + 1)
#define ESP_ERR_WIFI_NOT_STARTED (ESP_ERR_WIFI_BASE + 2)
#define ESP_ERR_WIFI_NOT_STOPPED (ESP_ERR_WIFI_BASE + 3)
#define ESP_ERR_WIFI_IF          (ESP_ERR_WIFI_BASE + 4)
#define ESP_ERR_WIFI_MODE        (ESP_ERR_WIFI_BASE + 5)
#define ESP_ERR_WIFI_STATE       (ESP_ERR_WIFI_BASE + 6)
#define ESP_ERR_WIFI_CONN        (ESP_ERR_WIFI_BASE + 7)
#define ESP_ERR_WIFI_SSID        (ESP_ERR_WIFI_BASE + 10)
#define ESP_ERR_WIFI_PASSWORD    (ESP_ERR_WIFI_BASE + 11)
#define ESP_ERR_WIFI_TIMEOUT     (ESP_ERR_WIFI_BASE + 12)
#define ESP_ERR_WIFI_NOT_CONNECT (ESP_ERR_WIFI_BASE + 15)

typedef struct {
    int nvs_enable; /**< Accepted: what is configured is not kept over a restart. */
} wifi_init_config_t;

#define WIFI_INIT_CONFIG_DEFAULT() ((wifi_init_config_t){.nvs_enable = 1})

/** @return ESP_ERR_INVALID_ARG without a config */
esp_err_t esp_wifi_init(const wifi_init_config_t *config);
/** @return ESP_ERR_WIFI_NOT_INIT; ESP_ERR_WIFI_NOT_STOPPED */
esp_err_t esp_wifi_deinit(void);
/** @return ESP_ERR_WIFI_NOT_INIT; ESP_ERR_NOT_SUPPORTED but for WIFI_MODE_NULL and WIFI_MODE_STA */
esp_err_t esp_wifi_set_mode(wifi_mode_t mode);
esp_err_t esp_wifi_get_mode(wifi_mode_t *mode);
/** Before esp_wifi_start() or after. @return ESP_ERR_WIFI_NOT_INIT; ESP_ERR_WIFI_IF but for WIFI_IF_STA;
 *  ESP_ERR_WIFI_MODE if that is not the mode; ESP_ERR_INVALID_ARG */
esp_err_t esp_wifi_set_config(wifi_interface_t interface, wifi_config_t *conf);
esp_err_t esp_wifi_get_config(wifi_interface_t interface, wifi_config_t *conf);
esp_err_t esp_wifi_set_storage(wifi_storage_t storage);
esp_err_t esp_wifi_set_ps(wifi_ps_type_t type);
esp_err_t esp_wifi_get_ps(wifi_ps_type_t *type);
/** Posts WIFI_EVENT_STA_START. */
esp_err_t esp_wifi_start(void);
/** Posts what esp_wifi_disconnect() posts if it is connected, and WIFI_EVENT_STA_STOP. */
esp_err_t esp_wifi_stop(void);
/** Posts WIFI_EVENT_STA_CONNECTED and, if the interface was created, IP_EVENT_STA_GOT_IP. @return
 *  ESP_ERR_WIFI_NOT_INIT; ESP_ERR_WIFI_NOT_STARTED; ESP_ERR_WIFI_MODE; ESP_ERR_WIFI_SSID without a name */
esp_err_t esp_wifi_connect(void);
/** Posts WIFI_EVENT_STA_DISCONNECTED. */
esp_err_t esp_wifi_disconnect(void);
/** @return ESP_ERR_WIFI_NOT_CONNECT */
esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *ap_info);
esp_err_t esp_wifi_get_mac(wifi_interface_t ifx, uint8_t mac[6]);
esp_err_t esp_wifi_set_max_tx_power(int8_t power);

#ifdef __cplusplus
}
#endif
