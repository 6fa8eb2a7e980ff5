// SPDX-License-Identifier: Apache-2.0
#include "esp_event.h"

#include "sim/chip/sim_state.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HANDLERS 16u

typedef struct handler {
    esp_event_base_t base;
    int32_t id;
    esp_event_handler_t function; /* NULL: free. */
    void *arg;
} handler_t;

static handler_t handlers[MAX_HANDLERS];

esp_err_t esp_event_loop_create_default(void)
{
    sim_flash_code(__func__);
    if (sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    sim_state.event_loop_ready = true;
    memset(handlers, 0, sizeof(handlers));
    return ESP_OK;
}

esp_err_t esp_event_loop_delete_default(void)
{
    sim_flash_code(__func__);
    const bool ready = sim_state.event_loop_ready;
    sim_state.event_loop_ready = false;
    return ready ? ESP_OK : ESP_ERR_INVALID_STATE;
}

esp_err_t esp_event_handler_instance_register(esp_event_base_t event_base, int32_t event_id,
                                              esp_event_handler_t event_handler, void *event_handler_arg,
                                              esp_event_handler_instance_t *instance)
{
    sim_flash_code(__func__);
    if (!sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    if (event_handler == NULL || (event_base == ESP_EVENT_ANY_BASE && event_id != ESP_EVENT_ANY_ID)) {
        return ESP_ERR_INVALID_ARG;
    }
    for (unsigned i = 0; i < MAX_HANDLERS; i++) {
        if (handlers[i].function == NULL) {
            handlers[i] = (handler_t){event_base, event_id, event_handler, event_handler_arg};
            if (instance != NULL) {
                *instance = &handlers[i];
            }
            return ESP_OK;
        }
    }
    return ESP_ERR_NO_MEM;
}

static bool is_same(const handler_t *handler, esp_event_base_t base, int32_t id, esp_event_handler_t function)
{
    return handler->base == base && handler->id == id && handler->function == function;
}

/* A handler is registered once for an event, because there are no instances: registered again, it gets the new
 * argument. */
esp_err_t esp_event_handler_register(esp_event_base_t event_base, int32_t event_id, esp_event_handler_t event_handler,
                                     void *event_handler_arg)
{
    for (unsigned i = 0; i < MAX_HANDLERS && sim_state.event_loop_ready && event_handler != NULL; i++) {
        if (is_same(&handlers[i], event_base, event_id, event_handler)) {
            handlers[i].arg = event_handler_arg;
            return ESP_OK;
        }
    }
    return esp_event_handler_instance_register(event_base, event_id, event_handler, event_handler_arg, NULL);
}

esp_err_t esp_event_handler_unregister(esp_event_base_t event_base, int32_t event_id, esp_event_handler_t event_handler)
{
    sim_flash_code(__func__);
    if (!sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    for (unsigned i = 0; i < MAX_HANDLERS && event_handler != NULL; i++) {
        if (is_same(&handlers[i], event_base, event_id, event_handler)) {
            handlers[i].function = NULL;
            break;
        }
    }
    return ESP_OK;
}

esp_err_t esp_event_handler_instance_unregister(esp_event_base_t event_base, int32_t event_id,
                                                esp_event_handler_instance_t instance)
{
    sim_flash_code(__func__);
    if (!sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    if (instance == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    for (unsigned i = 0; i < MAX_HANDLERS; i++) {
        if (&handlers[i] == instance && handlers[i].base == event_base && handlers[i].id == event_id) {
            handlers[i].function = NULL;
        }
    }
    return ESP_OK;
}

static bool wants(const handler_t *handler, esp_event_base_t base, int32_t id)
{
    return handler->function != NULL && (handler->base == ESP_EVENT_ANY_BASE || handler->base == base) &&
           (handler->id == ESP_EVENT_ANY_ID || handler->id == id);
}

esp_err_t esp_event_post(esp_event_base_t event_base, int32_t event_id, const void *event_data, size_t event_data_size,
                         TickType_t ticks_to_wait)
{
    (void)ticks_to_wait;
    sim_flash_code(__func__);
    if (!sim_state.event_loop_ready) {
        return ESP_ERR_INVALID_STATE;
    }
    void *copy = event_data != NULL && event_data_size > 0 ? malloc(event_data_size) : NULL;
    if (copy != NULL) {
        memcpy(copy, event_data, event_data_size);
    }
    for (unsigned i = 0; i < MAX_HANDLERS; i++) {
        if (wants(&handlers[i], event_base, event_id)) {
            handlers[i].function(handlers[i].arg, event_base, event_id, copy);
        }
    }
    free(copy);
    return ESP_OK;
}
