// SPDX-License-Identifier: Apache-2.0
#include "online.h"

#include "esp_bit_defs.h"
#include "esp_check.h"
#include "esp_event.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_netif.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/event_groups.h"
#include "nvs_flash.h"

#include <stdio.h>
#include <string.h>

#define GOT_ADDRESS     BIT0
#define PATIENCE_MS     60000
#define MAX_STATIONS    4
#define PASSWORD_LENGTH 8 /* Of WPA2, at least. */

static const char *TAG = "courier";

static struct {
    EventGroupHandle_t events;
    bool driver;       /* It is there. */
    bool access_point; /* And this device is one. */
    wifi_config_t access;
    char name[33]; /* Of the network. */
} online;

/* Connects again each time that it fails or breaks: whoever waits gives up, the driver does not. */
static void on_event(void *context, esp_event_base_t base, int32_t id, void *data)
{
    (void)context;
    (void)data;
    if (online.access_point) {
        return;
    }
    if (base == WIFI_EVENT && (id == WIFI_EVENT_STA_START || id == WIFI_EVENT_STA_DISCONNECTED)) {
        xEventGroupClearBits(online.events, GOT_ADDRESS);
        (void)esp_wifi_connect();
    } else if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
        xEventGroupSetBits(online.events, GOT_ADDRESS);
    }
}

/* A text that fills its field has no zero at the end there. */
static void set_text(uint8_t *field, size_t size, const char *text)
{
    memcpy(field, text, strnlen(text, size));
}

/* NVS is opened for this moment only, and the driver without it afterwards: what it writes there would be written into
 * the old system's settings. */
static esp_err_t load_access(void)
{
    wifi_init_config_t driver = WIFI_INIT_CONFIG_DEFAULT();
    driver.nvs_enable = 1;
    esp_err_t err = nvs_flash_init();
    if (err != ESP_OK) {
        return err;
    }
    err = esp_wifi_init(&driver);
    if (err == ESP_OK) {
        err = esp_wifi_set_mode(WIFI_MODE_STA);
        if (err == ESP_OK) {
            err = esp_wifi_get_config(WIFI_IF_STA, &online.access);
        }
        (void)esp_wifi_deinit();
    }
    (void)nvs_flash_deinit();
    return err == ESP_OK && online.access.sta.ssid[0] == 0 ? ESP_ERR_NOT_FOUND : err;
}

static esp_err_t find_access(const char *ssid, const char *password)
{
    if (ssid == NULL) {
        return load_access();
    }
    set_text(online.access.sta.ssid, sizeof(online.access.sta.ssid), ssid);
    if (password != NULL) {
        set_text(online.access.sta.password, sizeof(online.access.sta.password), password);
    }
    return ESP_OK;
}

static esp_err_t start_driver(void)
{
    wifi_init_config_t driver = WIFI_INIT_CONFIG_DEFAULT();
    driver.nvs_enable = 0;
    ESP_RETURN_ON_ERROR(esp_wifi_init(&driver), TAG, "Wi-Fi driver");
    online.driver = true;
    return esp_wifi_set_storage(WIFI_STORAGE_RAM);
}

static esp_err_t start_network(void)
{
    online.events = xEventGroupCreate();
    ESP_RETURN_ON_FALSE(online.events != NULL, ESP_ERR_NO_MEM, TAG, "events");
    ESP_RETURN_ON_ERROR(esp_netif_init(), TAG, "network");
    ESP_RETURN_ON_ERROR(esp_event_loop_create_default(), TAG, "event loop");
    ESP_RETURN_ON_FALSE(esp_netif_create_default_wifi_sta() != NULL, ESP_ERR_NO_MEM, TAG, "network interface");
    ESP_RETURN_ON_ERROR(esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL), TAG,
                        "events");
    return esp_event_handler_instance_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, NULL, NULL);
}

static esp_err_t start(const char *ssid, const char *password)
{
    ESP_RETURN_ON_ERROR(start_network(), TAG, "network");
    const esp_err_t found = find_access(ssid, password);
    ESP_RETURN_ON_ERROR(start_driver(), TAG, "Wi-Fi driver");
    ESP_RETURN_ON_ERROR(found, TAG, "the cargo names no Wi-Fi access, and NVS has none");
    ESP_RETURN_ON_ERROR(esp_wifi_set_mode(WIFI_MODE_STA), TAG, "mode");
    ESP_RETURN_ON_ERROR(esp_wifi_set_config(WIFI_IF_STA, &online.access), TAG, "name and password");
    memcpy(online.name, online.access.sta.ssid, sizeof(online.access.sta.ssid));
    return esp_wifi_start();
}

bool online_start(const char *ssid, const char *password)
{
    const esp_err_t err = start(ssid, password);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "no Wi-Fi: %s", esp_err_to_name(err));
        online.name[0] = '\0';
    }
    return err == ESP_OK;
}

bool online_wait(void)
{
    if (online.name[0] == '\0') {
        return false;
    }
    const EventBits_t bits =
        xEventGroupWaitBits(online.events, GOT_ADDRESS, pdFALSE, pdTRUE, pdMS_TO_TICKS(PATIENCE_MS));
    if ((bits & GOT_ADDRESS) == 0) {
        ESP_LOGE(TAG, "no connection to '%s' within a minute", online.name);
        return false;
    }
    ESP_LOGI(TAG, "connected to '%s'", online.name);
    return true;
}

static esp_err_t open_access_point(const char *password)
{
    uint8_t mac[6] = {0};
    wifi_config_t access = {.ap = {.max_connection = MAX_STATIONS, .authmode = WIFI_AUTH_WPA2_PSK}};
    ESP_RETURN_ON_ERROR(esp_read_mac(mac, ESP_MAC_WIFI_SOFTAP), TAG, "address");
    snprintf(online.name, sizeof(online.name), "courier-%02X%02X%02X", mac[3], mac[4], mac[5]);
    set_text(access.ap.ssid, sizeof(access.ap.ssid), online.name);
    access.ap.ssid_len = (uint8_t)strlen(online.name);
    set_text(access.ap.password, sizeof(access.ap.password), password);
    online.access_point = true;
    (void)esp_wifi_stop(); /* A station that goes on searching would keep changing the channel. */
    ESP_RETURN_ON_FALSE(esp_netif_create_default_wifi_ap() != NULL, ESP_ERR_NO_MEM, TAG, "network interface");
    ESP_RETURN_ON_ERROR(esp_wifi_set_mode(WIFI_MODE_AP), TAG, "mode");
    ESP_RETURN_ON_ERROR(esp_wifi_set_config(WIFI_IF_AP, &access), TAG, "name and password");
    return esp_wifi_start();
}

bool online_open_access_point(const char *password)
{
    esp_err_t err = ESP_ERR_WIFI_PASSWORD;
    if (online.driver && password != NULL && strlen(password) >= PASSWORD_LENGTH) {
        err = open_access_point(password);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "no access point: %s",
                 password == NULL ? "the cargo has no password for one" : esp_err_to_name(err));
        online.name[0] = '\0';
        return false;
    }
    ESP_LOGW(TAG, "access point '%s' is open: http://192.168.4.1/", online.name);
    return true;
}

const char *online_name(void)
{
    return online.name;
}
