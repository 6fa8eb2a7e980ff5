// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_task_wdt.h"

static uint64_t timeout_us = 5000000u; /* ESP-IDF's default. */
static bool panics = true;

static uint64_t now(void)
{
    return nor_flash_stats(sim_state.config.flash).typical_us;
}

esp_err_t esp_task_wdt_init(const esp_task_wdt_config_t *config)
{
    sim_flash_code(__func__);
    return config == NULL ? ESP_ERR_INVALID_ARG : ESP_ERR_INVALID_STATE;
}

esp_err_t esp_task_wdt_reconfigure(const esp_task_wdt_config_t *config)
{
    sim_flash_code(__func__);
    if (config == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    timeout_us = (uint64_t)config->timeout_ms * 1000u;
    panics = config->trigger_panic;
    return ESP_OK;
}

esp_err_t esp_task_wdt_deinit(void)
{
    sim_flash_code(__func__);
    return sim_state.watched ? ESP_ERR_INVALID_STATE : ESP_OK;
}

esp_err_t esp_task_wdt_delete(TaskHandle_t task_handle)
{
    sim_flash_code(__func__);
    if (task_handle != NULL || !sim_state.watched) {
        return ESP_ERR_INVALID_ARG;
    }
    sim_state.watched = false;
    return ESP_OK;
}

esp_err_t esp_task_wdt_add(TaskHandle_t task_handle)
{
    sim_flash_code(__func__);
    if (task_handle != NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    sim_state.watched = true;
    sim_state.fed_us = now();
    return ESP_OK;
}

esp_err_t esp_task_wdt_reset(void)
{
    sim_flash_code(__func__);
    sim_state.fed_us = now();
    return sim_state.watched ? ESP_OK : ESP_ERR_NOT_FOUND;
}

esp_err_t esp_task_wdt_status(TaskHandle_t task_handle)
{
    sim_flash_code(__func__);
    return task_handle == NULL && sim_state.watched ? ESP_OK : ESP_ERR_NOT_FOUND;
}

void sim_watch(void)
{
    if (sim_state.watched && panics && now() - sim_state.fed_us > timeout_us) {
        sim_panic("Task watchdog got triggered: main did not reset it in time");
    }
}
