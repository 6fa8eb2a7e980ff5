// SPDX-License-Identifier: Apache-2.0
#include "online.h"

#include "esp_bit_defs.h"
#include "esp_check.h"
#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/event_groups.h"

#include <string.h>

#define GOT_ADDRESS BIT0
#define PATIENCE_MS 60000

static const char *TAG = "courier";

/* Connects again each time that it fails or breaks: whoever waits gives up, the driver does not. */
static void on_event(void *group, esp_event_base_t base, int32_t id, void *data)
{
    (void)data;
    if (base == WIFI_EVENT && (id == WIFI_EVENT_STA_START || id == WIFI_EVENT_STA_DISCONNECTED)) {
        (void)esp_wifi_connect();
    } else if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
        xEventGroupSetBits(group, GOT_ADDRESS);
    }
}

/* A text that fills its field has no zero at the end there. */
static void set_text(uint8_t *field, size_t size, const char *text)
{
    memcpy(field, text, strnlen(text, size));
}

static esp_err_t start_driver(const char *ssid, const char *password)
{
    wifi_init_config_t driver = WIFI_INIT_CONFIG_DEFAULT();
    wifi_config_t access = {0};
    driver.nvs_enable = 0;
    set_text(access.sta.ssid, sizeof(access.sta.ssid), ssid);
    if (password != NULL) {
        set_text(access.sta.password, sizeof(access.sta.password), password);
    }
    ESP_RETURN_ON_ERROR(esp_wifi_init(&driver), TAG, "Wi-Fi driver");
    ESP_RETURN_ON_ERROR(esp_wifi_set_mode(WIFI_MODE_STA), TAG, "mode");
    ESP_RETURN_ON_ERROR(esp_wifi_set_config(WIFI_IF_STA, &access), TAG, "name and password");
    return esp_wifi_start();
}

static esp_err_t start(EventGroupHandle_t group, const char *ssid, const char *password)
{
    ESP_RETURN_ON_ERROR(esp_netif_init(), TAG, "network");
    ESP_RETURN_ON_ERROR(esp_event_loop_create_default(), TAG, "event loop");
    ESP_RETURN_ON_FALSE(esp_netif_create_default_wifi_sta() != NULL, ESP_ERR_NO_MEM, TAG, "network interface");
    ESP_RETURN_ON_ERROR(esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, group, NULL), TAG,
                        "events");
    ESP_RETURN_ON_ERROR(esp_event_handler_instance_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, group, NULL), TAG,
                        "events");
    return start_driver(ssid, password);
}

bool online_start(const char *ssid, const char *password)
{
    EventGroupHandle_t group = xEventGroupCreate();
    const esp_err_t err = group != NULL ? start(group, ssid, password) : ESP_ERR_NO_MEM;
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "no Wi-Fi: %s", esp_err_to_name(err));
        return false;
    }
    const EventBits_t bits = xEventGroupWaitBits(group, GOT_ADDRESS, pdFALSE, pdTRUE, pdMS_TO_TICKS(PATIENCE_MS));
    if ((bits & GOT_ADDRESS) == 0) {
        ESP_LOGE(TAG, "no connection to '%s' within a minute", ssid);
        return false;
    }
    ESP_LOGI(TAG, "connected to '%s'", ssid);
    return true;
}
