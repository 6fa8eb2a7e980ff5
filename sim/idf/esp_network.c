// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_mac.h"
#include "esp_netif.h"
#include "esp_timer.h"
#include "esp_tls.h"
#include "esp_wifi.h"
#include "nvs.h"
#include "protocol_examples_common.h"
#include "sdkconfig.h"

#include <string.h>

#define FAILURE_US 2000000u /* For a station to find out that there is no such network. */

ESP_EVENT_DEFINE_BASE(WIFI_EVENT);
ESP_EVENT_DEFINE_BASE(IP_EVENT);

struct esp_netif_obj {
    bool created;
    const char *key;
    const char *desc;
    const char *hostname;
};

/** RAM of one boot: each boot is a child process, and its parent never changes this. */
static struct {
    esp_netif_t sta, ap;
    esp_timer_handle_t failure;
    bool inited, started, connected;
    wifi_mode_t mode;
    wifi_ps_type_t ps;
    wifi_config_t config;    /**< Of the station. */
    wifi_config_t ap_config; /**< Of the access point. */
} wifi = {.ps = WIFI_PS_MIN_MODEM};

/* Interfaces. */

esp_err_t esp_netif_init(void)
{
    sim_flash_code(__func__);
    sim_state.netif_ready = true;
    return ESP_OK;
}

esp_err_t esp_netif_deinit(void)
{
    sim_flash_code(__func__);
    return ESP_ERR_NOT_SUPPORTED;
}

static esp_netif_t *create(esp_netif_t *netif, const char *key, const char *desc)
{
    sim_flash_code(__func__);
    if (!sim_state.netif_ready) {
        return NULL;
    }
    *netif = (esp_netif_t){.created = true, .key = key, .desc = desc, .hostname = "espressif"};
    return netif;
}

esp_netif_t *esp_netif_create_default_wifi_sta(void)
{
    return create(&wifi.sta, "WIFI_STA_DEF", "sta");
}

esp_netif_t *esp_netif_create_default_wifi_ap(void)
{
    return create(&wifi.ap, "WIFI_AP_DEF", "ap");
}

void esp_netif_destroy(esp_netif_t *esp_netif)
{
    sim_flash_code(__func__);
    if (esp_netif != NULL) {
        esp_netif->created = false;
    }
}

void esp_netif_destroy_default_wifi(void *esp_netif)
{
    esp_netif_destroy(esp_netif);
}

esp_netif_t *esp_netif_get_handle_from_ifkey(const char *if_key)
{
    sim_flash_code(__func__);
    esp_netif_t *netif = strcmp(if_key, "WIFI_AP_DEF") == 0 ? &wifi.ap : &wifi.sta;
    return netif->created && strcmp(if_key, netif->key) == 0 ? netif : NULL;
}

esp_netif_t *esp_netif_get_default_netif(void)
{
    sim_flash_code(__func__);
    return wifi.sta.created && wifi.connected ? &wifi.sta : NULL;
}

const char *esp_netif_get_ifkey(esp_netif_t *esp_netif)
{
    return esp_netif != NULL ? esp_netif->key : NULL;
}

const char *esp_netif_get_desc(esp_netif_t *esp_netif)
{
    return esp_netif != NULL ? esp_netif->desc : NULL;
}

bool esp_netif_is_netif_up(esp_netif_t *esp_netif)
{
    const bool up = esp_netif == &wifi.ap ? wifi.started && wifi.mode == WIFI_MODE_AP : wifi.connected;
    return esp_netif != NULL && esp_netif->created && up;
}

esp_err_t esp_netif_get_ip_info(esp_netif_t *esp_netif, esp_netif_ip_info_t *ip_info)
{
    sim_flash_code(__func__);
    if (esp_netif == NULL || ip_info == NULL) {
        return ESP_ERR_ESP_NETIF_INVALID_PARAMS;
    }
    *ip_info = (esp_netif_ip_info_t){0};
    if (esp_netif_is_netif_up(esp_netif)) {
        ip_info->ip.addr = ip_info->gw.addr = ESP_IP4TOADDR(127, 0, 0, 1);
        ip_info->netmask.addr = ESP_IP4TOADDR(255, 0, 0, 0);
    }
    return ESP_OK;
}

esp_err_t esp_netif_get_netif_impl_name(esp_netif_t *esp_netif, char *name)
{
    if (esp_netif == NULL || name == NULL) {
        return ESP_ERR_ESP_NETIF_INVALID_PARAMS;
    }
    memcpy(name, "lo", sizeof("lo"));
    return ESP_OK;
}

esp_err_t esp_netif_get_mac(esp_netif_t *esp_netif, uint8_t mac[])
{
    return esp_netif == NULL ? ESP_ERR_ESP_NETIF_INVALID_PARAMS
                             : esp_read_mac(mac, esp_netif == &wifi.ap ? ESP_MAC_WIFI_SOFTAP : ESP_MAC_WIFI_STA);
}

esp_err_t esp_netif_set_hostname(esp_netif_t *esp_netif, const char *hostname)
{
    static char name[33];
    if (esp_netif == NULL || hostname == NULL || strlen(hostname) >= sizeof(name)) {
        return ESP_ERR_ESP_NETIF_INVALID_PARAMS;
    }
    memcpy(name, hostname, strlen(hostname) + 1);
    esp_netif->hostname = name;
    return ESP_OK;
}

esp_err_t esp_netif_get_hostname(esp_netif_t *esp_netif, const char **hostname)
{
    if (esp_netif == NULL || hostname == NULL) {
        return ESP_ERR_ESP_NETIF_INVALID_PARAMS;
    }
    *hostname = esp_netif->hostname;
    return ESP_OK;
}

esp_err_t esp_netif_dhcpc_stop(esp_netif_t *esp_netif)
{
    (void)esp_netif;
    return ESP_ERR_NOT_SUPPORTED;
}

esp_err_t esp_netif_set_ip_info(esp_netif_t *esp_netif, const esp_netif_ip_info_t *ip_info)
{
    (void)esp_netif, (void)ip_info;
    return ESP_ERR_NOT_SUPPORTED;
}

esp_err_t esp_netif_set_dns_info(esp_netif_t *esp_netif, esp_netif_dns_type_t type, esp_netif_dns_info_t *dns)
{
    (void)esp_netif, (void)type, (void)dns;
    return ESP_ERR_NOT_SUPPORTED;
}

/* Wi-Fi. */

static esp_err_t unless(bool fault, esp_err_t err)
{
    sim_flash_code(__func__);
    return !wifi.inited ? ESP_ERR_WIFI_NOT_INIT : fault ? err : ESP_OK;
}

/* A blob of the driver's that is as long as it must be, without what stands before its text. */
static void load_text(nvs_handle_t nvs, const char *key, size_t prefix, uint8_t *field, size_t size)
{
    uint8_t blob[80];
    size_t length = sizeof(blob);
    if (nvs_get_blob(nvs, key, blob, &length) == ESP_OK && length >= prefix + size) {
        memcpy(field, blob + prefix, size);
    }
}

/* What an app has had the driver keep: a name after its length, and a password with a zero after it. */
static esp_err_t load_config(void)
{
    nvs_handle_t nvs;
    const esp_err_t err = nvs_open("nvs.net80211", NVS_READONLY, &nvs);
    if (err != ESP_OK) {
        return err == ESP_ERR_NVS_NOT_FOUND ? ESP_OK : err;
    }
    load_text(nvs, "sta.ssid", 4, wifi.config.sta.ssid, sizeof(wifi.config.sta.ssid));
    load_text(nvs, "sta.pswd", 0, wifi.config.sta.password, sizeof(wifi.config.sta.password));
    nvs_close(nvs);
    return ESP_OK;
}

esp_err_t esp_wifi_init(const wifi_init_config_t *config)
{
    sim_flash_code(__func__);
    if (config == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (!wifi.inited) {
        wifi.config = wifi.ap_config = (wifi_config_t){0};
    }
    const esp_err_t err = !wifi.inited && config->nvs_enable != 0 ? load_config() : ESP_OK;
    if (err != ESP_OK) {
        return err;
    }
    wifi.mode = wifi.inited ? wifi.mode : WIFI_MODE_STA;
    wifi.inited = true;
    return ESP_OK;
}

esp_err_t esp_wifi_deinit(void)
{
    const esp_err_t err = unless(wifi.started, ESP_ERR_WIFI_NOT_STOPPED);
    wifi.inited = wifi.inited && err != ESP_OK;
    return err;
}

esp_err_t esp_wifi_set_mode(wifi_mode_t mode)
{
    const esp_err_t err = unless(mode > WIFI_MODE_AP, ESP_ERR_NOT_SUPPORTED);
    wifi.mode = err == ESP_OK ? mode : wifi.mode;
    return err;
}

esp_err_t esp_wifi_get_mode(wifi_mode_t *mode)
{
    const esp_err_t err = unless(mode == NULL, ESP_ERR_INVALID_ARG);
    if (err == ESP_OK) {
        *mode = wifi.mode;
    }
    return err;
}

static esp_err_t check_config(wifi_interface_t interface, const wifi_config_t *conf)
{
    const esp_err_t err = unless(conf == NULL, ESP_ERR_INVALID_ARG);
    if (err != ESP_OK || interface > WIFI_IF_AP) {
        return err != ESP_OK ? err : ESP_ERR_WIFI_IF;
    }
    return wifi.mode == (interface == WIFI_IF_AP ? WIFI_MODE_AP : WIFI_MODE_STA) ? ESP_OK : ESP_ERR_WIFI_MODE;
}

static bool has_bad_password(const wifi_ap_config_t *ap)
{
    return ap->authmode != WIFI_AUTH_OPEN && strnlen((const char *)ap->password, sizeof(ap->password)) < 8;
}

esp_err_t esp_wifi_set_config(wifi_interface_t interface, wifi_config_t *conf)
{
    const esp_err_t err = check_config(interface, conf);
    if (err != ESP_OK || (interface == WIFI_IF_AP && has_bad_password(&conf->ap))) {
        return err != ESP_OK ? err : ESP_ERR_WIFI_PASSWORD;
    }
    *(interface == WIFI_IF_AP ? &wifi.ap_config : &wifi.config) = *conf;
    return ESP_OK;
}

esp_err_t esp_wifi_get_config(wifi_interface_t interface, wifi_config_t *conf)
{
    const esp_err_t err = check_config(interface, conf);
    if (err == ESP_OK) {
        *conf = interface == WIFI_IF_AP ? wifi.ap_config : wifi.config;
    }
    return err;
}

esp_err_t esp_wifi_set_storage(wifi_storage_t storage)
{
    return unless(storage != WIFI_STORAGE_FLASH && storage != WIFI_STORAGE_RAM, ESP_ERR_INVALID_ARG);
}

esp_err_t esp_wifi_set_ps(wifi_ps_type_t type)
{
    wifi.ps = type;
    return unless(false, ESP_OK);
}

esp_err_t esp_wifi_get_ps(wifi_ps_type_t *type)
{
    *type = wifi.ps;
    return unless(false, ESP_OK);
}

esp_err_t esp_wifi_set_max_tx_power(int8_t power)
{
    (void)power;
    return unless(!wifi.started, ESP_ERR_WIFI_NOT_STARTED);
}

/* Without an event loop nobody is told. */
static void post(esp_event_base_t base, int32_t id, const void *data, size_t size)
{
    (void)esp_event_post(base, id, data, size, portMAX_DELAY);
}

esp_err_t esp_wifi_start(void)
{
    const esp_err_t err = unless(false, ESP_OK);
    if (err == ESP_OK && !wifi.started) {
        wifi.started = true;
        if (wifi.mode != WIFI_MODE_NULL) {
            post(WIFI_EVENT, wifi.mode == WIFI_MODE_AP ? WIFI_EVENT_AP_START : WIFI_EVENT_STA_START, NULL, 0);
        }
    }
    return err;
}

static uint8_t ssid_length(void)
{
    return (uint8_t)strnlen((const char *)wifi.config.sta.ssid, sizeof(wifi.config.sta.ssid));
}

static const uint8_t access_point[6] = {0x02, 0x00, 0x00, 0x00, 0x00, 0x01};

static bool is_text(const uint8_t *field, size_t size, const char *name)
{
    const char *only = sim_config_string(name, NULL);
    return only == NULL || (strlen(only) <= size && strncmp((const char *)field, only, size) == 0);
}

static void tell_failure(uint8_t reason)
{
    wifi_event_sta_disconnected_t disconnected = {.ssid_len = ssid_length(), .reason = reason};
    memcpy(disconnected.ssid, wifi.config.sta.ssid, sizeof(disconnected.ssid));
    memcpy(disconnected.bssid, access_point, sizeof(access_point));
    post(WIFI_EVENT, WIFI_EVENT_STA_DISCONNECTED, &disconnected, sizeof(disconnected));
}

static void on_failure(void *context)
{
    (void)context;
    if (wifi.started && wifi.mode == WIFI_MODE_STA) {
        tell_failure(WIFI_REASON_NO_AP_FOUND);
    }
}

static esp_err_t fail_later(void)
{
    const esp_timer_create_args_t timer = {.callback = on_failure, .name = "wifi"};
    esp_err_t err = wifi.failure == NULL ? esp_timer_create(&timer, &wifi.failure) : ESP_OK;
    if (err == ESP_OK && !esp_timer_is_active(wifi.failure)) {
        err = esp_timer_start_once(wifi.failure, FAILURE_US);
    }
    return err;
}

esp_err_t esp_wifi_connect(void)
{
    const esp_err_t err = unless(!wifi.started, ESP_ERR_WIFI_NOT_STARTED);
    if (err != ESP_OK || wifi.mode != WIFI_MODE_STA || ssid_length() == 0) {
        return err != ESP_OK ? err : wifi.mode != WIFI_MODE_STA ? ESP_ERR_WIFI_MODE : ESP_ERR_WIFI_SSID;
    }
    if (wifi.connected) {
        return ESP_OK;
    }
    if (!is_text(wifi.config.sta.ssid, sizeof(wifi.config.sta.ssid), "SIM_WIFI_SSID") ||
        !is_text(wifi.config.sta.password, sizeof(wifi.config.sta.password), "SIM_WIFI_PASSWORD")) {
        return fail_later();
    }
    wifi.connected = true;
    wifi_event_sta_connected_t connected = {.ssid_len = ssid_length(), .channel = 1, .authmode = WIFI_AUTH_WPA2_PSK};
    memcpy(connected.ssid, wifi.config.sta.ssid, sizeof(connected.ssid));
    memcpy(connected.bssid, access_point, sizeof(access_point));
    post(WIFI_EVENT, WIFI_EVENT_STA_CONNECTED, &connected, sizeof(connected));
    if (wifi.sta.created) {
        ip_event_got_ip_t got = {.esp_netif = &wifi.sta, .ip_changed = true};
        (void)esp_netif_get_ip_info(&wifi.sta, &got.ip_info);
        post(IP_EVENT, IP_EVENT_STA_GOT_IP, &got, sizeof(got));
    }
    return ESP_OK;
}

static void disconnect(void)
{
    wifi.connected = false;
    tell_failure(WIFI_REASON_ASSOC_LEAVE);
}

esp_err_t esp_wifi_disconnect(void)
{
    const esp_err_t err = unless(!wifi.started, ESP_ERR_WIFI_NOT_STARTED);
    if (err == ESP_OK && wifi.connected) {
        disconnect();
    }
    return err;
}

esp_err_t esp_wifi_stop(void)
{
    const esp_err_t err = unless(false, ESP_OK);
    if (err == ESP_OK && wifi.started) {
        wifi.started = false; /* So that a handler cannot connect again. */
        if (wifi.connected) {
            disconnect();
        }
        post(WIFI_EVENT, wifi.mode == WIFI_MODE_AP ? WIFI_EVENT_AP_STOP : WIFI_EVENT_STA_STOP, NULL, 0);
    }
    return err;
}

esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *ap_info)
{
    const esp_err_t err = unless(!wifi.connected, ESP_ERR_WIFI_NOT_CONNECT);
    if (err == ESP_OK) {
        *ap_info = (wifi_ap_record_t){.primary = 1, .rssi = -50, .authmode = WIFI_AUTH_WPA2_PSK};
        memcpy(ap_info->ssid, wifi.config.sta.ssid, sizeof(wifi.config.sta.ssid));
        memcpy(ap_info->bssid, access_point, sizeof(access_point));
    }
    return err;
}

esp_err_t esp_wifi_get_mac(wifi_interface_t ifx, uint8_t mac[6])
{
    const esp_err_t err = unless(ifx > WIFI_IF_AP, ESP_ERR_WIFI_IF);
    return err == ESP_OK ? esp_read_mac(mac, ifx == WIFI_IF_AP ? ESP_MAC_WIFI_SOFTAP : ESP_MAC_WIFI_STA) : err;
}

/* ESP-IDF's examples. */

esp_err_t example_connect(void)
{
    sim_flash_code(__func__);
    if (!sim_state.netif_ready || !sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    const wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
    wifi_config_t config = {.sta = {.ssid = "host"}};
    esp_netif_create_default_wifi_sta()->desc = EXAMPLE_NETIF_DESC_STA;
    esp_err_t err = esp_wifi_init(&init);
    if (err == ESP_OK) {
        err = esp_wifi_set_config(WIFI_IF_STA, &config);
    }
    if (err == ESP_OK) {
        err = esp_wifi_start();
    }
    return err == ESP_OK ? esp_wifi_connect() : err;
}

esp_err_t example_disconnect(void)
{
    sim_flash_code(__func__);
    if (!wifi.connected) {
        return ESP_ERR_INVALID_STATE;
    }
    const esp_err_t err = esp_wifi_stop();
    return err == ESP_OK ? esp_wifi_deinit() : err;
}

esp_netif_t *get_example_netif_from_desc(const char *desc)
{
    sim_flash_code(__func__);
    return wifi.connected && wifi.sta.created && strcmp(desc, wifi.sta.desc) == 0 ? &wifi.sta : NULL;
}

esp_err_t example_configure_stdin_stdout(void)
{
    return ESP_OK;
}

/* TLS. */

esp_err_t esp_tls_get_and_clear_last_error(esp_tls_error_handle_t h, int *esp_tls_code, int *esp_tls_flags)
{
    (void)h;
    if (esp_tls_code != NULL) {
        *esp_tls_code = 0;
    }
    if (esp_tls_flags != NULL) {
        *esp_tls_flags = 0;
    }
    return ESP_ERR_INVALID_STATE;
}
