// SPDX-License-Identifier: Apache-2.0
/** @file
 * The part of ESP-IDF that field apps use beside this component, on the simulated chip: what a chip would do, or an
 * error that says that it is not simulated.
 */
#include "test/support/support_chip.h"

#include "driver/gpio.h"
#include "esp_event.h"
#include "esp_https_ota.h"
#include "esp_mac.h"
#include "esp_netif.h"
#include "esp_ota_ops.h"
#include "esp_rom_crc.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "esp_tls.h"
#include "esp_wifi.h"
#include "freertos/event_groups.h"
#include "freertos/queue.h"
#include "freertos/semphr.h"
#include "freertos/task.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static nor_flash_t *flash;
static sim_config_t config;
static uint32_t app_length;

static int set_up(void **state)
{
    (void)state;
    flash = chip_flash_new();
    app_length = chip_put_app(flash, CHIP_SLOT_0, "1.0", NULL, 0);
    memset(nor_flash_bytes(flash) + CHIP_NVS, 0xFF, 0x5000);
    config = (sim_config_t){
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = CHIP_SLOT_0, .quiet = true};
    return sim_chip_attach(&config) ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    sim_chip_detach();
    nor_flash_delete(flash);
    return 0;
}

/* NVS. */

static void values_are_kept_in_flash(void **state)
{
    (void)state;
    nvs_handle_t handle;
    assert_int_equal(nvs_open("wifi", NVS_READONLY, &handle), ESP_ERR_NVS_NOT_INITIALIZED);
    assert_int_equal(nvs_flash_init(), ESP_OK);
    assert_int_equal(nvs_open("wifi", NVS_READONLY, &handle), ESP_ERR_NVS_NOT_FOUND);
    assert_int_equal(nvs_open("wifi", NVS_READWRITE, &handle), ESP_OK);
    uint8_t blob[300];
    for (size_t i = 0; i < sizeof(blob); i++) {
        blob[i] = (uint8_t)i;
    }
    for (uint8_t round = 0; round < 3; round++) {
        assert_int_equal(nvs_set_i8(handle, "i8", (int8_t)(-round)), ESP_OK);
        assert_int_equal(nvs_set_u64(handle, "u64", UINT64_MAX - round), ESP_OK);
        assert_int_equal(nvs_set_str(handle, "ssid", round == 2 ? "field" : "another name, a longer one than that"),
                         ESP_OK);
        blob[0] = (uint8_t)round;
        assert_int_equal(nvs_set_blob(handle, "blob", blob, sizeof(blob) - round), ESP_OK);
    }
    assert_int_equal(nvs_commit(handle), ESP_OK);
    nvs_close(handle);
    assert_int_equal(nvs_commit(handle), ESP_ERR_NVS_INVALID_HANDLE);

    /* After a restart. */
    assert_int_equal(nvs_flash_deinit(), ESP_OK);
    assert_int_equal(nvs_flash_init(), ESP_OK);
    assert_int_equal(nvs_open("wifi", NVS_READONLY, &handle), ESP_OK);
    int8_t i8;
    uint64_t u64;
    char text[16];
    uint8_t back[300];
    size_t length = sizeof(text);
    assert_int_equal(nvs_get_i8(handle, "i8", &i8), ESP_OK);
    assert_int_equal(i8, -2);
    assert_int_equal(nvs_get_u64(handle, "u64", &u64), ESP_OK);
    assert_true(u64 == UINT64_MAX - 2);
    assert_int_equal(nvs_get_str(handle, "ssid", text, &length), ESP_OK);
    assert_string_equal(text, "field");
    assert_int_equal(length, 6);
    length = 5;
    assert_int_equal(nvs_get_str(handle, "ssid", text, &length), ESP_ERR_NVS_INVALID_LENGTH);
    assert_int_equal(nvs_get_blob(handle, "blob", NULL, &length), ESP_OK);
    assert_int_equal(length, 298);
    assert_int_equal(nvs_get_blob(handle, "blob", back, &length), ESP_OK);
    assert_memory_equal(back, blob, 298);
    assert_int_equal(nvs_get_i8(handle, "u64", &i8), ESP_ERR_NVS_TYPE_MISMATCH);
    assert_int_equal(nvs_get_i8(handle, "none", &i8), ESP_ERR_NVS_NOT_FOUND);
    assert_int_equal(nvs_set_i8(handle, "i8", 1), ESP_ERR_NVS_READ_ONLY);
    nvs_close(handle);
}

static void keys_are_erased_and_space_ends(void **state)
{
    (void)state;
    nvs_handle_t handle;
    uint32_t number;
    assert_int_equal(nvs_flash_init(), ESP_OK);
    assert_int_equal(nvs_open("a", NVS_READWRITE, &handle), ESP_OK);
    assert_int_equal(nvs_set_u32(handle, "one", 1), ESP_OK);
    assert_int_equal(nvs_set_u32(handle, "two", 2), ESP_OK);
    assert_int_equal(nvs_erase_key(handle, "one"), ESP_OK);
    assert_int_equal(nvs_erase_key(handle, "one"), ESP_ERR_NVS_NOT_FOUND);
    assert_int_equal(nvs_get_u32(handle, "one", &number), ESP_ERR_NVS_NOT_FOUND);
    assert_int_equal(nvs_get_u32(handle, "two", &number), ESP_OK);
    assert_int_equal(nvs_erase_all(handle), ESP_OK);
    assert_int_equal(nvs_find_key(handle, "two", NULL), ESP_ERR_NVS_NOT_FOUND);
    assert_int_equal(nvs_set_u32(handle, "a key that is too long", 1), ESP_ERR_NVS_KEY_TOO_LONG);
    uint32_t count = 0;
    while (nvs_set_u32(handle, "count", count) == ESP_OK) {
        count++;
    }
    assert_true(count > 4 * 126 - 10 && count < 4 * 126);
    assert_int_equal(nvs_set_u32(handle, "count", count), ESP_ERR_NVS_NOT_ENOUGH_SPACE);
    assert_int_equal(nvs_get_u32(handle, "count", &number), ESP_OK);
    assert_int_equal(number, count - 1);
    assert_int_equal(nvs_flash_erase(), ESP_OK);
    assert_int_equal(nvs_get_u32(handle, "count", &number), ESP_ERR_NVS_INVALID_HANDLE);
}

/* Wi-Fi and events. */

static EventGroupHandle_t group;
static char heard[128];

static void on_event(void *arg, esp_event_base_t base, int32_t id, void *data)
{
    (void)arg, (void)data;
    char text[24];
    snprintf(text, sizeof(text), "%s%d ", base == IP_EVENT ? "ip" : "wifi", (int)id);
    strcat(heard, text);
    if (base == WIFI_EVENT && id == WIFI_EVENT_STA_START) {
        esp_wifi_connect();
    }
    if (base == IP_EVENT) {
        xEventGroupSetBits(group, BIT0);
    }
}

static void station_connects(void **state)
{
    (void)state;
    wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
    wifi_config_t sta = {.sta = {.ssid = "field"}};
    esp_event_handler_instance_t instance;
    wifi_ap_record_t ap;
    group = xEventGroupCreate();
    heard[0] = '\0';
    assert_int_equal(esp_wifi_start(), ESP_ERR_WIFI_NOT_INIT);
    assert_null(esp_netif_create_default_wifi_sta());
    assert_int_equal(esp_netif_init(), ESP_OK);
    assert_int_equal(esp_event_loop_create_default(), ESP_OK);
    esp_netif_t *netif = esp_netif_create_default_wifi_sta();
    assert_non_null(netif);
    assert_int_equal(esp_wifi_init(&init), ESP_ERR_NVS_NOT_INITIALIZED); /* Where the driver keeps its access. */
    init.nvs_enable = 0;
    assert_int_equal(esp_wifi_init(&init), ESP_OK);
    assert_int_equal(esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, &instance),
                     ESP_OK);
    assert_int_equal(esp_event_handler_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, NULL), ESP_OK);
    assert_int_equal(esp_wifi_set_mode(WIFI_MODE_STA), ESP_OK);
    assert_int_equal(esp_wifi_connect(), ESP_ERR_WIFI_NOT_STARTED);
    assert_int_equal(esp_wifi_set_config(WIFI_IF_AP, &sta), ESP_ERR_WIFI_MODE);
    assert_int_equal(esp_wifi_set_config(WIFI_IF_STA, &sta), ESP_OK);
    assert_int_equal(esp_wifi_sta_get_ap_info(&ap), ESP_ERR_WIFI_NOT_CONNECT);
    assert_int_equal(esp_wifi_start(), ESP_OK);
    assert_int_equal(xEventGroupWaitBits(group, BIT0, pdTRUE, pdTRUE, portMAX_DELAY), BIT0);
    assert_int_equal(xEventGroupGetBits(group), 0);
    assert_string_equal(heard, "wifi2 wifi4 ip0 ");
    esp_netif_ip_info_t ip;
    assert_int_equal(esp_netif_get_ip_info(netif, &ip), ESP_OK);
    assert_int_equal(ip.ip.addr, ESP_IP4TOADDR(127, 0, 0, 1));
    assert_int_equal(esp_wifi_sta_get_ap_info(&ap), ESP_OK);
    assert_string_equal((const char *)ap.ssid, "field");
    assert_int_equal(esp_wifi_stop(), ESP_OK);
    assert_string_equal(heard, "wifi2 wifi4 ip0 wifi5 wifi3 ");
    assert_int_equal(esp_event_handler_instance_unregister(WIFI_EVENT, ESP_EVENT_ANY_ID, instance), ESP_OK);
    assert_int_equal(esp_wifi_start(), ESP_OK);
    assert_string_equal(heard, "wifi2 wifi4 ip0 wifi5 wifi3 ");
    assert_int_equal(esp_wifi_stop(), ESP_OK);
    assert_int_equal(esp_wifi_deinit(), ESP_OK);
    assert_int_equal(esp_netif_set_ip_info(netif, &ip), ESP_ERR_NOT_SUPPORTED);
    vEventGroupDelete(group);
}

/* FreeRTOS. Results are left in shared memory, because the boot ends with its tasks. */

static volatile int *results;

static QueueHandle_t queue;

static void producer(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 5; i++) {
        vTaskDelay(pdMS_TO_TICKS(100));
        xQueueSend(queue, &i, portMAX_DELAY);
    }
    xTaskNotifyGive((TaskHandle_t)arg);
    vTaskDelete(NULL);
}

static void tasks_wait_for_each_other(void *unused)
{
    (void)unused;
    int item = 0;
    queue = xQueueCreate(2, sizeof(int));
    xTaskCreate(producer, "producer", 4096, xTaskGetCurrentTaskHandle(), 5, NULL);
    results[0] = xQueueReceive(queue, &item, pdMS_TO_TICKS(50)); /* Too early. */
    for (int i = 0; i < 5; i++) {
        results[1] += xQueueReceive(queue, &item, portMAX_DELAY);
        results[2] = results[2] * 10 + item;
    }
    results[3] = (int)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
    results[4] = (int)xTaskGetTickCount();
    SemaphoreHandle_t mutex = xSemaphoreCreateMutex();
    results[5] = xSemaphoreTake(mutex, 0) == pdTRUE && xSemaphoreTake(mutex, 10) == pdFALSE &&
                 xSemaphoreGive(mutex) == pdTRUE && xSemaphoreTake(mutex, 0) == pdTRUE;
}

static void queue_and_notification_let_tasks_wait(void **state)
{
    (void)state;
    results = shared_memory(8 * sizeof(int));
    assert_int_equal(sim_call(tasks_wait_for_each_other, NULL), SIM_END_RETURNED);
    assert_int_equal(results[0], errQUEUE_EMPTY);
    assert_int_equal(results[1], 5);
    assert_int_equal(results[2], 12345);
    assert_int_equal(results[3], 1);
    assert_true(results[4] >= 50 && results[4] < 60);
    assert_true(results[5]);
}

static void waits_for_ever(void *unused)
{
    (void)unused;
    xEventGroupWaitBits(xEventGroupCreate(), BIT0, pdFALSE, pdFALSE, portMAX_DELAY);
    results[0] = 1;
}

static void on_timer(void *arg)
{
    (void)arg;
    results[1]++;
}

static void waits_for_timers(void *unused)
{
    (void)unused;
    const esp_timer_create_args_t args = {.callback = on_timer, .name = "test"};
    esp_timer_handle_t timer;
    results[2] = esp_timer_create(&args, &timer) == ESP_OK && esp_timer_start_periodic(timer, 100000) == ESP_OK;
    vTaskDelay(pdMS_TO_TICKS(1050));
    results[3] = results[1];
    results[4] = esp_timer_stop(timer) == ESP_OK && esp_timer_delete(timer) == ESP_OK;
}

static void wait_without_hope_ends_the_boot_and_timers_run(void **state)
{
    (void)state;
    results = shared_memory(8 * sizeof(int));
    assert_int_equal(sim_call(waits_for_ever, NULL), SIM_END_RETURNED);
    assert_int_equal(results[0], 0);
    assert_int_equal(sim_call(waits_for_timers, NULL), SIM_END_RETURNED);
    assert_true(results[2] && results[4]);
    assert_true(results[3] >= 8 && results[3] <= 11);
}

/* OTA. */

static void app_is_updated_piece_by_piece(void **state)
{
    (void)state;
    const esp_partition_t *slot = esp_ota_get_next_update_partition(NULL);
    esp_ota_handle_t update;
    esp_app_desc_t desc;
    assert_int_equal(slot->address, CHIP_SLOT_1);
    assert_int_equal(esp_ota_begin(esp_ota_get_running_partition(), OTA_SIZE_UNKNOWN, &update),
                     ESP_ERR_OTA_PARTITION_CONFLICT);
    for (unsigned sequential = 0; sequential < 2; sequential++) {
        const uint32_t length = app_length;
        uint8_t *image = malloc(length);
        assert_non_null(image);
        memcpy(image, nor_flash_view(flash) + CHIP_SLOT_0, length);
        assert_int_equal(esp_ota_begin(slot, sequential ? OTA_WITH_SEQUENTIAL_WRITES : OTA_SIZE_UNKNOWN, &update),
                         ESP_OK);
        assert_int_equal(esp_ota_write(update, "not an image", 12), ESP_ERR_OTA_VALIDATE_FAILED);
        for (uint32_t done = 0; done < length; done += 1000) {
            const uint32_t piece = length - done < 1000 ? length - done : 1000;
            assert_int_equal(esp_ota_write(update, image + done, piece), ESP_OK);
        }
        assert_int_equal(esp_ota_end(update), ESP_OK);
        assert_int_equal(esp_ota_end(update), ESP_ERR_NOT_FOUND);
        assert_memory_equal(nor_flash_view(flash) + CHIP_SLOT_1, image, length);
        free(image);
    }
    assert_int_equal(esp_ota_get_partition_description(slot, &desc), ESP_OK);
    assert_string_equal(desc.version, "1.0");
    assert_int_equal(esp_ota_set_boot_partition(slot), ESP_OK);
    assert_ptr_equal(esp_ota_get_boot_partition(), slot);
    assert_true(esp_ota_get_last_invalid_partition() == NULL);
}

/* The rest. */

static void small_things_are_as_on_a_chip(void **state)
{
    (void)state;
    uint8_t sta[6];
    uint8_t ap[6];
    char name[32];
    assert_int_equal(esp_read_mac(sta, ESP_MAC_WIFI_STA), ESP_OK);
    assert_int_equal(esp_read_mac(ap, ESP_MAC_WIFI_SOFTAP), ESP_OK);
    assert_int_equal(ap[5], sta[5] + 1);
    assert_int_equal(esp_read_mac(ap, ESP_MAC_IEEE802154), ESP_ERR_NOT_SUPPORTED);
    assert_int_equal(esp_rom_crc32_le(0, (const uint8_t *)"123456789", 9), 0xCBF43926);
    assert_string_equal(esp_err_to_name_r(ESP_ERR_NVS_NOT_FOUND, name, sizeof(name)), "ESP_ERR_NVS_NOT_FOUND");
    const gpio_config_t pin = {.pin_bit_mask = BIT(4), .mode = GPIO_MODE_INPUT, .pull_up_en = GPIO_PULLUP_ENABLE};
    assert_int_equal(gpio_config(&pin), ESP_OK);
    assert_int_equal(gpio_get_level(GPIO_NUM_4), 1);
    assert_int_equal(esp_tls_get_and_clear_last_error(NULL, NULL, NULL), ESP_ERR_INVALID_STATE);
    uint8_t sha256[32];
    assert_int_equal(esp_partition_get_sha256(esp_ota_get_running_partition(), sha256), ESP_OK);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_are_kept_in_flash),
        TEST(keys_are_erased_and_space_ends),
        TEST(station_connects),
        TEST(queue_and_notification_let_tasks_wait),
        TEST(wait_without_hope_ends_the_boot_and_timers_run),
        TEST(app_is_updated_piece_by_piece),
        TEST(small_things_are_as_on_a_chip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
