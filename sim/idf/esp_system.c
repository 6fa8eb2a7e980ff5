// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_chip_info.h"
#include "esp_heap_caps.h"
#include "esp_rom_sys.h"
#include "esp_system.h"

#include <stdarg.h>
#include <stdio.h>

#define REVISION_NOT_KNOWN UINT16_MAX
#define MAX_HANDLERS       5u

static shutdown_handler_t handlers[MAX_HANDLERS];

esp_err_t esp_register_shutdown_handler(shutdown_handler_t handler)
{
    sim_flash_code(__func__);
    for (unsigned i = 0; i < MAX_HANDLERS; i++) {
        if (handlers[i] == handler) {
            return ESP_ERR_INVALID_STATE;
        }
        if (handlers[i] == NULL) {
            handlers[i] = handler;
            return ESP_OK;
        }
    }
    return ESP_ERR_NO_MEM;
}

esp_err_t esp_unregister_shutdown_handler(shutdown_handler_t handler)
{
    sim_flash_code(__func__);
    for (unsigned i = 0; i < MAX_HANDLERS; i++) {
        if (handlers[i] == handler) {
            handlers[i] = NULL;
            return ESP_OK;
        }
    }
    return ESP_ERR_INVALID_STATE;
}

void esp_restart(void)
{
    sim_flash_code(__func__);
    for (unsigned i = MAX_HANDLERS; i > 0; i--) {
        if (handlers[i - 1] != NULL) {
            handlers[i - 1]();
        }
    }
    sim_end_boot(SIM_END_RESTART);
}

void esp_system_abort(const char *details)
{
    sim_panic("%s", details);
}

void esp_rom_software_reset_system(void)
{
    sim_end_boot(SIM_END_RESTART);
}

uint32_t esp_rom_get_bootloader_offset(void)
{
    return sim_bootloader_offset();
}

/* Modelled time passes with flash operations only. */
void esp_rom_delay_us(uint32_t us)
{
    (void)us;
}

int esp_rom_printf(const char *fmt, ...)
{
    va_list arguments;
    va_start(arguments, fmt);
    const int printed = sim_state.config.quiet ? 0 : vfprintf(stderr, fmt, arguments);
    va_end(arguments);
    return printed;
}

esp_reset_reason_t esp_reset_reason(void)
{
    sim_flash_code(__func__);
    const esp_reset_reason_t first = sim_state.config.after_brownout ? ESP_RST_BROWNOUT : ESP_RST_POWERON;
    return sim_state.counters->restarts == 0 ? first : ESP_RST_SW;
}

uint32_t esp_get_free_heap_size(void)
{
    return (uint32_t)heap_caps_get_free_size(MALLOC_CAP_DEFAULT);
}

uint32_t esp_get_free_internal_heap_size(void)
{
    return (uint32_t)heap_caps_get_free_size(MALLOC_CAP_INTERNAL);
}

uint32_t esp_get_minimum_free_heap_size(void)
{
    return (uint32_t)heap_caps_get_minimum_free_size(MALLOC_CAP_DEFAULT);
}

/* The model is the chip id in image headers, except for the ESP32, whose id is 0. A revision that is not known is one
 * that no chip has, which the component takes for what it is: it refuses no image. */
void esp_chip_info(esp_chip_info_t *out_info)
{
    sim_flash_code(__func__);
    const boot_chip_t *chip = &sim_state.config.chip;
    const uint16_t id = chip->chip != NULL ? chip->chip->image_chip_id : 0;
    const bool is_esp32 = id == 0;
    *out_info = (esp_chip_info_t){
        .features = CHIP_FEATURE_WIFI_BGN,
        .model = is_esp32 ? CHIP_ESP32 : (esp_chip_model_t)id,
        .revision = chip->revision != 0 || chip->revision_told ? chip->revision
                    : is_esp32                                 ? 300
                                                               : REVISION_NOT_KNOWN,
        .cores = 1,
    };
}
