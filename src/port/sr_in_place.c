// SPDX-License-Identifier: Apache-2.0
#include "port/sr_in_place.h"

#include "esp_flash.h"
#include "esp_idf_version.h"
#include "esp_rom_sys.h"
#include "sdkconfig.h"

#if ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(6, 0, 0)
#include "esp_private/esp_flash_internal.h"
#else
#include "esp_flash_internal.h"
#endif

#ifdef ESP_PLATFORM
#include "esp_cpu.h"
#include "esp_ipc.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "hal/wdt_hal.h"
#endif

#if !CONFIG_SPI_FLASH_DANGEROUS_WRITE_ALLOWED
#error "The self reflasher needs CONFIG_SPI_FLASH_DANGEROUS_WRITE_ALLOWED=y (SPI Flash driver, dangerous regions)"
#endif

#if CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
#ifdef ESP_PLATFORM
#if CONFIG_FREERTOS_UNICORE
static esp_err_t park_other_core(void)
{
    return ESP_OK;
}
#else
static volatile bool s_parked;

static void park(void *unused)
{
    (void)unused;
    esp_cpu_intr_disable(UINT32_MAX);
    s_parked = true;
    while (true) {
    }
}

/* The other core is parked by a task, not interrupted at a random point: so it holds no spinlock, and no flash
 * operation is under way. Should this task change cores meanwhile, its old core parks, and it goes on where it is then.
 */
static esp_err_t park_other_core(void)
{
    const UBaseType_t priority = uxTaskPriorityGet(NULL);
    /* Else a task of this core could get in between and wait for the parked one. */
    vTaskPrioritySet(NULL, configMAX_PRIORITIES - 1);
    const esp_err_t err = esp_ipc_call(esp_cpu_get_core_id() == 0 ? 1 : 0, park, NULL);
    if (err != ESP_OK) {
        vTaskPrioritySet(NULL, priority);
        return err;
    }
    while (!s_parked) {
    }
    return ESP_OK;
}
#endif

/* wdt_hal_init() leaves a watchdog off. A watchdog could do nothing better than trying on: a reset half-way finds no
 * app to start. */
static void stop_watchdogs(void)
{
    wdt_hal_context_t watchdog;
    wdt_hal_init(&watchdog, WDT_MWDT0, 1, false);
#if !CONFIG_IDF_TARGET_ESP32C2 /* The only target with a single timer group. */
    wdt_hal_init(&watchdog, WDT_MWDT1, 1, false);
#endif
    wdt_hal_init(&watchdog, WDT_RWDT, 0, false);
}

static esp_err_t stop_everything_else(void)
{
    const esp_err_t err = park_other_core();
    if (err == ESP_OK) {
        esp_cpu_intr_disable(UINT32_MAX);
        stop_watchdogs();
    }
    return err;
}
#else
/* The simulated chip has one core and runs one task at a time. */
static esp_err_t stop_everything_else(void)
{
    return ESP_OK;
}
#endif

esp_err_t sr_in_place_enter(void)
{
    const esp_err_t err = stop_everything_else();
    return err == ESP_OK ? esp_flash_app_disable_os_functions(esp_flash_default_chip) : err;
}
#else
esp_err_t sr_in_place_enter(void)
{
    return ESP_ERR_NOT_SUPPORTED;
}
#endif

void sr_in_place_restart(void)
{
    esp_rom_software_reset_system();
    while (1) {
    }
}
