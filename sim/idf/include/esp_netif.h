// SPDX-License-Identifier: Apache-2.0
/** @file
 * Network interfaces: the host's network under the names of ESP-IDF. The station has the address 127.0.0.1 once it is
 * connected, and the access point while it runs; addresses and names that an app sets do not change the host.
 */
#pragma once

#include "esp_netif_types.h"

#ifdef __cplusplus
extern "C" {
#endif

esp_err_t esp_netif_init(void);
/** ESP_ERR_NOT_SUPPORTED, as on the chip. */
esp_err_t esp_netif_deinit(void);

/** The station's interface; NULL before esp_netif_init(). A second call gives the same one. */
esp_netif_t *esp_netif_create_default_wifi_sta(void);
/** The access point's interface; as above. */
esp_netif_t *esp_netif_create_default_wifi_ap(void);
void esp_netif_destroy_default_wifi(void *esp_netif);
void esp_netif_destroy(esp_netif_t *esp_netif);

/** "WIFI_STA_DEF" or "WIFI_AP_DEF" once it was created, else NULL. */
esp_netif_t *esp_netif_get_handle_from_ifkey(const char *if_key);
esp_netif_t *esp_netif_get_default_netif(void);
const char *esp_netif_get_ifkey(esp_netif_t *esp_netif);
const char *esp_netif_get_desc(esp_netif_t *esp_netif);
bool esp_netif_is_netif_up(esp_netif_t *esp_netif);
/** Zeros while it is down. */
esp_err_t esp_netif_get_ip_info(esp_netif_t *esp_netif, esp_netif_ip_info_t *ip_info);
/** The name of the host's loopback interface. @param name 6 bytes. */
esp_err_t esp_netif_get_netif_impl_name(esp_netif_t *esp_netif, char *name);
esp_err_t esp_netif_get_mac(esp_netif_t *esp_netif, uint8_t mac[]);
esp_err_t esp_netif_set_hostname(esp_netif_t *esp_netif, const char *hostname);
esp_err_t esp_netif_get_hostname(esp_netif_t *esp_netif, const char **hostname);

/** The host manages addresses and name servers. All three: ESP_ERR_NOT_SUPPORTED. */
esp_err_t esp_netif_dhcpc_stop(esp_netif_t *esp_netif);
esp_err_t esp_netif_set_ip_info(esp_netif_t *esp_netif, const esp_netif_ip_info_t *ip_info);
esp_err_t esp_netif_set_dns_info(esp_netif_t *esp_netif, esp_netif_dns_type_t type, esp_netif_dns_info_t *dns);

#ifdef __cplusplus
}
#endif
