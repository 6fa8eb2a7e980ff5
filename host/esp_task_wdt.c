// SPDX-License-Identifier: Apache-2.0
#include "sim_state.h"

#include "esp_task_wdt.h"

#define TIMEOUT_US 5000000u /* ESP-IDF's default. */

static uint64_t now(void)
{
    return nor_flash_stats(sim_state.config.flash).typical_us;
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
    if (sim_state.watched && now() - sim_state.fed_us > TIMEOUT_US) {
        sim_panic("Task watchdog got triggered: main did not reset it in time");
    }
}
