// SPDX-License-Identifier: Apache-2.0
/** @file
 * The Wi-Fi driver, as a station or as an access point, which nobody joins. There is an access point of every name, and
 * it takes every password; where the environment variable SIM_WIFI_SSID names one, only that, and with
 * SIM_WIFI_PASSWORD with no other password. Connecting takes no time, and its events come before the call returns; that
 * it fails is told after two seconds. Both at once, and scans, are not simulated.
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
    int nvs_enable; /**< The station's name and password are those that ESP-IDF's driver has kept in NVS. What is
                         configured is not kept over a restart. */
} wifi_init_config_t;

#define WIFI_INIT_CONFIG_DEFAULT() ((wifi_init_config_t){.nvs_enable = 1})

/** @return ESP_ERR_INVALID_ARG without a config; ESP_ERR_NVS_NOT_INITIALIZED with nvs_enable and without NVS */
esp_err_t esp_wifi_init(const wifi_init_config_t *config);
/** @return ESP_ERR_WIFI_NOT_INIT; ESP_ERR_WIFI_NOT_STOPPED */
esp_err_t esp_wifi_deinit(void);
/** @return ESP_ERR_WIFI_NOT_INIT; ESP_ERR_NOT_SUPPORTED but for WIFI_MODE_NULL, WIFI_MODE_STA and WIFI_MODE_AP */
esp_err_t esp_wifi_set_mode(wifi_mode_t mode);
esp_err_t esp_wifi_get_mode(wifi_mode_t *mode);
/** Before esp_wifi_start() or after. @return ESP_ERR_WIFI_NOT_INIT; ESP_ERR_WIFI_IF but for WIFI_IF_STA
 *  and WIFI_IF_AP; ESP_ERR_WIFI_MODE if that is not the mode; ESP_ERR_WIFI_PASSWORD for an access point with one of
 * less than 8 bytes, ESP_ERR_INVALID_ARG */
esp_err_t esp_wifi_set_config(wifi_interface_t interface, wifi_config_t *conf);
esp_err_t esp_wifi_get_config(wifi_interface_t interface, wifi_config_t *conf);
esp_err_t esp_wifi_set_storage(wifi_storage_t storage);
esp_err_t esp_wifi_set_ps(wifi_ps_type_t type);
esp_err_t esp_wifi_get_ps(wifi_ps_type_t *type);
/** Posts WIFI_EVENT_STA_START or WIFI_EVENT_AP_START. */
esp_err_t esp_wifi_start(void);
/** Posts what esp_wifi_disconnect() posts if it is connected, and WIFI_EVENT_STA_STOP or WIFI_EVENT_AP_STOP. */
esp_err_t esp_wifi_stop(void);
/** Posts WIFI_EVENT_STA_CONNECTED and, if the interface was created, IP_EVENT_STA_GOT_IP; or, later,
 *  WIFI_EVENT_STA_DISCONNECTED. @return
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
