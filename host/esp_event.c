// SPDX-License-Identifier: Apache-2.0
#include "esp_event.h"

#include "sim_state.h"

#define MAX_HANDLERS 8u

typedef struct handler {
    esp_event_base_t base;
    int32_t id;
    esp_event_handler_t function;
    void *arg;
} handler_t;

static handler_t handlers[MAX_HANDLERS];
static unsigned handler_count;

esp_err_t esp_event_loop_create_default(void)
{
    sim_flash_code(__func__);
    if (sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    sim_state.event_loop_ready = true;
    handler_count = 0;
    return ESP_OK;
}

esp_err_t esp_event_handler_register(esp_event_base_t event_base, int32_t event_id, esp_event_handler_t event_handler,
                                     void *event_handler_arg)
{
    sim_flash_code(__func__);
    if (!sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    if (handler_count == MAX_HANDLERS) {
        return ESP_ERR_NO_MEM;
    }
    handlers[handler_count++] = (handler_t){event_base, event_id, event_handler, event_handler_arg};
    return ESP_OK;
}

static bool wants(const handler_t *handler, esp_event_base_t base, int32_t id)
{
    return (handler->base == ESP_EVENT_ANY_BASE || handler->base == base) &&
           (handler->id == ESP_EVENT_ANY_ID || handler->id == id);
}

esp_err_t esp_event_post(esp_event_base_t event_base, int32_t event_id, const void *event_data, size_t event_data_size,
                         TickType_t ticks_to_wait)
{
    (void)event_data_size, (void)ticks_to_wait;
    sim_flash_code(__func__);
    if (!sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    for (unsigned i = 0; i < handler_count; i++) {
        if (wants(&handlers[i], event_base, event_id)) {
            /* A handler may write to its copy on the chip, so the const is only ours. */
            handlers[i].function(handlers[i].arg, event_base, event_id, (void *)(uintptr_t)event_data);
        }
    }
    return ESP_OK;
}
