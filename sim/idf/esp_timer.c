// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_heap_caps.h"
#include "esp_timer.h"
#include "sdkconfig.h"

#include <time.h>

struct esp_timer {
    struct esp_timer *next;
    esp_timer_create_args_t args;
    bool runs;
    int64_t due_us;
    int64_t period_us; /* 0: one shot. */
};

static struct esp_timer *timers;

int64_t esp_timer_get_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + (int64_t)sim_waited_us();
}

esp_err_t esp_timer_create(const esp_timer_create_args_t *create_args, esp_timer_handle_t *out_handle)
{
    sim_flash_code(__func__);
    if (create_args == NULL || create_args->callback == NULL || out_handle == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    struct esp_timer *timer = heap_caps_malloc(sizeof(*timer), MALLOC_CAP_8BIT);
    if (timer == NULL) {
        return ESP_ERR_NO_MEM;
    }
    *timer = (struct esp_timer){.next = timers, .args = *create_args};
    timers = timer;
    *out_handle = timer;
    return ESP_OK;
}

static esp_err_t start(esp_timer_handle_t timer, uint64_t timeout_us, uint64_t period_us)
{
    sim_flash_code(__func__);
    if (timer == NULL || timer->runs) {
        return timer == NULL ? ESP_ERR_INVALID_ARG : ESP_ERR_INVALID_STATE;
    }
    timer->runs = true;
    timer->due_us = esp_timer_get_time() + (int64_t)timeout_us;
    timer->period_us = (int64_t)period_us;
    return ESP_OK;
}

esp_err_t esp_timer_start_once(esp_timer_handle_t timer, uint64_t timeout_us)
{
    return start(timer, timeout_us, 0);
}

esp_err_t esp_timer_start_periodic(esp_timer_handle_t timer, uint64_t period)
{
    return period == 0 ? ESP_ERR_INVALID_ARG : start(timer, period, period);
}

bool esp_timer_is_active(esp_timer_handle_t timer)
{
    sim_flash_code(__func__);
    return timer != NULL && timer->runs;
}

esp_err_t esp_timer_stop(esp_timer_handle_t timer)
{
    sim_flash_code(__func__);
    if (timer == NULL || !timer->runs) {
        return timer == NULL ? ESP_ERR_INVALID_ARG : ESP_ERR_INVALID_STATE;
    }
    timer->runs = false;
    return ESP_OK;
}

esp_err_t esp_timer_delete(esp_timer_handle_t timer)
{
    sim_flash_code(__func__);
    if (timer == NULL || timer->runs) {
        return timer == NULL ? ESP_ERR_INVALID_ARG : ESP_ERR_INVALID_STATE;
    }
    struct esp_timer **link = &timers;
    while (*link != timer) {
        link = &(*link)->next;
    }
    *link = timer->next;
    heap_caps_free(timer);
    return ESP_OK;
}

void sim_timers(void)
{
    for (struct esp_timer *timer = timers; timer != NULL; timer = timer->next) {
        if (timer->runs && esp_timer_get_time() >= timer->due_us) {
            timer->runs = timer->period_us > 0;
            timer->due_us = esp_timer_get_time() + timer->period_us;
            timer->args.callback(timer->args.arg);
        }
    }
}

uint64_t sim_next_timer(void)
{
    const int64_t tick_us = 1000000 / CONFIG_FREERTOS_HZ;
    const int64_t now = esp_timer_get_time();
    uint64_t next = UINT64_MAX;
    for (const struct esp_timer *timer = timers; timer != NULL; timer = timer->next) {
        const uint64_t left = timer->due_us > now ? (uint64_t)((timer->due_us - now + tick_us - 1) / tick_us) : 0;
        next = timer->runs && left < next ? left : next;
    }
    return next;
}
