// SPDX-License-Identifier: Apache-2.0
#include "sim_state.h"

#include "esp_heap_caps.h"
#include "esp_timer.h"

#include <time.h>

struct esp_timer {
    struct esp_timer *next;
    esp_timer_create_args_t args;
    bool runs;
    int64_t due_us;
};

static struct esp_timer *timers;

int64_t esp_timer_get_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
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

esp_err_t esp_timer_start_once(esp_timer_handle_t timer, uint64_t timeout_us)
{
    sim_flash_code(__func__);
    if (timer == NULL || timer->runs) {
        return timer == NULL ? ESP_ERR_INVALID_ARG : ESP_ERR_INVALID_STATE;
    }
    timer->runs = true;
    timer->due_us = esp_timer_get_time() + (int64_t)timeout_us;
    return ESP_OK;
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
            timer->runs = false;
            timer->args.callback(timer->args.arg);
        }
    }
}
