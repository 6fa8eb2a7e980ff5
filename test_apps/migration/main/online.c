// SPDX-License-Identifier: Apache-2.0
#include "online.h"

#include "esp_eth.h"
#include "esp_event.h"
#include "esp_idf_version.h"
#include "esp_netif.h"
#include "freertos/FreeRTOS.h"
#include "freertos/semphr.h"

#if ESP_IDF_VERSION < ESP_IDF_VERSION_VAL(6, 0, 0)
#define esp_eth_phy_new_generic esp_eth_phy_new_dp83848
#endif

static void on_address(void *online, esp_event_base_t base, int32_t id, void *data)
{
    xSemaphoreGive((SemaphoreHandle_t)online);
}

void go_online(void)
{
    SemaphoreHandle_t online = xSemaphoreCreateBinary();
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_handler_register(IP_EVENT, IP_EVENT_ETH_GOT_IP, on_address, online));

    const eth_mac_config_t mac = ETH_MAC_DEFAULT_CONFIG();
    eth_phy_config_t phy = ETH_PHY_DEFAULT_CONFIG();
    phy.autonego_timeout_ms = 100; /* an emulated one does not answer */
    const esp_eth_config_t config = ETH_DEFAULT_CONFIG(esp_eth_mac_new_openeth(&mac), esp_eth_phy_new_generic(&phy));
    esp_eth_handle_t ethernet;
    ESP_ERROR_CHECK(esp_eth_driver_install(&config, &ethernet));

    const esp_netif_config_t netif_config = ESP_NETIF_DEFAULT_ETH();
    ESP_ERROR_CHECK(esp_netif_attach(esp_netif_new(&netif_config), esp_eth_new_netif_glue(ethernet)));
    ESP_ERROR_CHECK(esp_eth_start(ethernet));
    xSemaphoreTake(online, portMAX_DELAY);
}
