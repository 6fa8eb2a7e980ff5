// SPDX-License-Identifier: Apache-2.0
/** @file
 * An app of the field in the style of ESP-IDF's OTA examples: Wi-Fi with an event group, the work in a task of its
 * own, errors end in a task that waits for ever. Two images on one handle, staged in a data partition.
 */
#include <string.h>
#include <sys/socket.h>

#include "freertos/FreeRTOS.h"
#include "freertos/event_groups.h"
#include "freertos/task.h"

#include "esp_app_desc.h"
#include "esp_event.h"
#include "esp_flash.h"
#include "esp_http_client.h"
#include "esp_https_ota.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_netif.h"
#include "esp_ota_ops.h"
#include "esp_partition.h"
#include "esp_system.h"
#include "esp_wifi.h"
#include "nvs.h"
#include "nvs_flash.h"

#include "self_reflasher.h"

#define BUFFER_SIZE        2048
#define WIFI_CONNECTED_BIT BIT0
#define WIFI_FAIL_BIT      BIT1
#define MAX_RETRY          5

static const char *TAG = "field_download";
static EventGroupHandle_t s_wifi_event_group;
static int s_retry_num = 0;

static void __attribute__((noreturn)) task_fatal_error(void)
{
    ESP_LOGE(TAG, "Exiting task due to fatal error...");
    (void)vTaskDelete(NULL);
    while (1) {
        ;
    }
}

static esp_err_t _http_event_handler(esp_http_client_event_t *evt)
{
    switch (evt->event_id) {
    case HTTP_EVENT_ON_CONNECTED:
        ESP_LOGD(TAG, "HTTP_EVENT_ON_CONNECTED");
        break;
    case HTTP_EVENT_ON_HEADER:
        ESP_LOGD(TAG, "HTTP_EVENT_ON_HEADER, key=%s, value=%s", evt->header_key, evt->header_value);
        break;
    default:
        break;
    }
    return ESP_OK;
}

static void event_handler(void *arg, esp_event_base_t event_base, int32_t event_id, void *event_data)
{
    (void)arg;
    if (event_base == WIFI_EVENT && event_id == WIFI_EVENT_STA_START) {
        esp_wifi_connect();
    } else if (event_base == WIFI_EVENT && event_id == WIFI_EVENT_STA_DISCONNECTED) {
        if (s_retry_num < MAX_RETRY) {
            esp_wifi_connect();
            s_retry_num++;
        } else {
            xEventGroupSetBits(s_wifi_event_group, WIFI_FAIL_BIT);
        }
    } else if (event_base == IP_EVENT && event_id == IP_EVENT_STA_GOT_IP) {
        ip_event_got_ip_t *event = (ip_event_got_ip_t *)event_data;
        ESP_LOGI(TAG, "got ip:" IPSTR, IP2STR(&event->ip_info.ip));
        s_retry_num = 0;
        xEventGroupSetBits(s_wifi_event_group, WIFI_CONNECTED_BIT);
    }
}

static void wifi_init_sta(void)
{
    s_wifi_event_group = xEventGroupCreate();

    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    esp_netif_create_default_wifi_sta();

    wifi_init_config_t cfg = WIFI_INIT_CONFIG_DEFAULT();
    ESP_ERROR_CHECK(esp_wifi_init(&cfg));

    esp_event_handler_instance_t instance_any_id;
    esp_event_handler_instance_t instance_got_ip;
    ESP_ERROR_CHECK(
        esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, &event_handler, NULL, &instance_any_id));
    ESP_ERROR_CHECK(
        esp_event_handler_instance_register(IP_EVENT, IP_EVENT_STA_GOT_IP, &event_handler, NULL, &instance_got_ip));

    wifi_config_t wifi_config = {
        .sta =
            {
                .ssid = CONFIG_ESP_WIFI_SSID,
                .password = CONFIG_ESP_WIFI_PASSWORD,
                .threshold.authmode = WIFI_AUTH_WPA2_PSK,
            },
    };
    ESP_ERROR_CHECK(esp_wifi_set_mode(WIFI_MODE_STA));
    ESP_ERROR_CHECK(esp_wifi_set_config(WIFI_IF_STA, &wifi_config));
    ESP_ERROR_CHECK(esp_wifi_start());

    EventBits_t bits =
        xEventGroupWaitBits(s_wifi_event_group, WIFI_CONNECTED_BIT | WIFI_FAIL_BIT, pdFALSE, pdFALSE, portMAX_DELAY);
    if (!(bits & WIFI_CONNECTED_BIT)) {
        ESP_LOGE(TAG, "failed to connect");
        task_fatal_error();
    }
    ESP_ERROR_CHECK(esp_wifi_set_ps(WIFI_PS_NONE));
}

static void reflash_task(void *pvParameter)
{
    (void)pvParameter;
    esp_http_client_config_t http_config = {
        .url = CONFIG_EXAMPLE_UPGRADE_URL,
        .event_handler = _http_event_handler,
        .buffer_size = BUFFER_SIZE,
        .buffer_size_tx = BUFFER_SIZE,
        .keep_alive_enable = true,
    };
    addr_region_t app_region = {
        .region_address = CONFIG_EXAMPLE_DEST_ADDRESS,
        .region_size = CONFIG_EXAMPLE_DEST_MAX_SIZE,
    };
    esp_self_reflasher_config_t self_reflasher_config = {
        .http_config = &http_config,
        .target_partition = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "data"),
        .dest_region = app_region,
    };
    esp_self_reflasher_handle_t self_reflasher_handle = NULL;

    esp_err_t err = esp_self_reflasher_init(&self_reflasher_config, &self_reflasher_handle);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "esp_self_reflasher_init failed (%s)", esp_err_to_name(err));
        task_fatal_error();
    }
    err = esp_self_reflasher_download_bin(self_reflasher_handle);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "esp_self_reflasher_download_bin failed (%s)", esp_err_to_name(err));
        task_fatal_error();
    }
    err = esp_self_reflasher_copy_to_region(self_reflasher_handle);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "esp_self_reflasher_copy_to_region failed (%s)", esp_err_to_name(err));
        task_fatal_error();
    }

    /* The configs are used again. */
    http_config.url = CONFIG_EXAMPLE_BOOT_UPGRADE_URL;
    self_reflasher_config.dest_region.region_address = CONFIG_EXAMPLE_BOOT_DEST_ADDRESS;
    self_reflasher_config.dest_region.region_size = CONFIG_EXAMPLE_BOOT_DEST_MAX_SIZE;
    err = esp_self_reflasher_upd_next_config(&self_reflasher_config, self_reflasher_handle);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "esp_self_reflasher_upd_next_config failed (%s)", esp_err_to_name(err));
        task_fatal_error();
    }
    err = esp_self_reflasher_download_bin(self_reflasher_handle);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "esp_self_reflasher_download_bin failed (%s)", esp_err_to_name(err));
        task_fatal_error();
    }
    err = esp_self_reflasher_copy_to_region(self_reflasher_handle);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "esp_self_reflasher_copy_to_region failed (%s)", esp_err_to_name(err));
        task_fatal_error();
    }
    ESP_LOGI(TAG, "Prepare to restart system!");
    esp_restart();
}

void app_main(void)
{
    static RTC_DATA_ATTR int starts;
    starts++;

    esp_err_t err = nvs_flash_init();
    if (err == ESP_ERR_NVS_NO_FREE_PAGES || err == ESP_ERR_NVS_NEW_VERSION_FOUND) {
        ESP_ERROR_CHECK(nvs_flash_erase());
        err = nvs_flash_init();
    }
    ESP_ERROR_CHECK(err);

    uint8_t mac[6];
    uint32_t flash_size;
    ESP_ERROR_CHECK(esp_read_mac(mac, ESP_MAC_WIFI_STA));
    ESP_ERROR_CHECK(esp_flash_get_size(NULL, &flash_size));
    ESP_LOGI(TAG, "%s " MACSTR ", %s, flash of %u bytes, runs in %s", CONFIG_IDF_TARGET, MAC2STR(mac),
             esp_app_get_description()->version, (unsigned)flash_size, esp_ota_get_running_partition()->label);
    wifi_init_sta();
    xTaskCreate(&reflash_task, "reflash_task", 8192, NULL, 5, NULL);
}
