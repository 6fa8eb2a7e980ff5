// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"
#include "sim/chip/sim_task.h"

#include "freertos/event_groups.h"
#include "freertos/semphr.h"

#include <stdlib.h>
#include <string.h>

/* Event groups. */

struct sim_event_group {
    EventBits_t bits;
};

typedef struct wanted {
    const struct sim_event_group *group;
    EventBits_t bits;
    bool all;
} wanted_t;

EventGroupHandle_t xEventGroupCreate(void)
{
    sim_flash_code(__func__);
    return calloc(1, sizeof(struct sim_event_group));
}

void vEventGroupDelete(EventGroupHandle_t group)
{
    sim_flash_code(__func__);
    free(group);
}

EventBits_t xEventGroupSetBits(EventGroupHandle_t group, EventBits_t bits)
{
    sim_flash_code(__func__);
    group->bits |= bits;
    return group->bits;
}

EventBits_t xEventGroupClearBits(EventGroupHandle_t group, EventBits_t bits)
{
    sim_flash_code(__func__);
    const EventBits_t before = group->bits;
    group->bits &= ~bits;
    return before;
}

static bool has_bits(void *context)
{
    const wanted_t *wanted = context;
    const EventBits_t set = wanted->group->bits & wanted->bits;
    return wanted->all ? set == wanted->bits : set != 0;
}

EventBits_t xEventGroupWaitBits(EventGroupHandle_t group, EventBits_t bits, BaseType_t clear_on_exit,
                                BaseType_t wait_for_all, TickType_t ticks_to_wait)
{
    sim_flash_code(__func__);
    wanted_t wanted = {group, bits, wait_for_all != pdFALSE};
    const bool came = sim_wait(has_bits, &wanted, ticks_to_wait);
    const EventBits_t result = group->bits;
    if (came && clear_on_exit != pdFALSE) {
        group->bits &= ~bits;
    }
    return result;
}

/* Queues. A semaphore is a queue whose items have no bytes. */

struct sim_queue {
    UBaseType_t length, item_size, count;
    UBaseType_t first; /* The items, in a ring. */
    uint8_t items[];
};

QueueHandle_t xQueueCreate(UBaseType_t length, UBaseType_t item_size)
{
    sim_flash_code(__func__);
    struct sim_queue *queue = calloc(1, sizeof(*queue) + (size_t)length * item_size);
    if (queue != NULL) {
        queue->length = length;
        queue->item_size = item_size;
    }
    return queue;
}

void vQueueDelete(QueueHandle_t queue)
{
    sim_flash_code(__func__);
    free(queue);
}

static uint8_t *item_at(QueueHandle_t queue, UBaseType_t index)
{
    return queue->items + (size_t)((queue->first + index) % queue->length) * queue->item_size;
}

static bool has_space(void *context)
{
    const struct sim_queue *queue = context;
    return queue->count < queue->length;
}

static bool has_item(void *context)
{
    const struct sim_queue *queue = context;
    return queue->count > 0;
}

static void put(uint8_t *to, const void *item, UBaseType_t size)
{
    if (size > 0) {
        memcpy(to, item, size);
    }
}

BaseType_t xQueueSendToBack(QueueHandle_t queue, const void *item, TickType_t ticks_to_wait)
{
    sim_flash_code(__func__);
    if (!sim_wait(has_space, queue, ticks_to_wait)) {
        return errQUEUE_FULL;
    }
    put(item_at(queue, queue->count++), item, queue->item_size);
    return pdTRUE;
}

BaseType_t xQueueSendToFront(QueueHandle_t queue, const void *item, TickType_t ticks_to_wait)
{
    sim_flash_code(__func__);
    if (!sim_wait(has_space, queue, ticks_to_wait)) {
        return errQUEUE_FULL;
    }
    queue->first = (queue->first + queue->length - 1) % queue->length;
    queue->count++;
    put(item_at(queue, 0), item, queue->item_size);
    return pdTRUE;
}

BaseType_t xQueueOverwrite(QueueHandle_t queue, const void *item)
{
    sim_flash_code(__func__);
    queue->count = 1;
    put(item_at(queue, 0), item, queue->item_size);
    return pdTRUE;
}

BaseType_t xQueuePeek(QueueHandle_t queue, void *item, TickType_t ticks_to_wait)
{
    sim_flash_code(__func__);
    if (!sim_wait(has_item, queue, ticks_to_wait)) {
        return errQUEUE_EMPTY;
    }
    if (queue->item_size > 0) {
        memcpy(item, item_at(queue, 0), queue->item_size);
    }
    return pdTRUE;
}

BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t ticks_to_wait)
{
    const BaseType_t came = xQueuePeek(queue, item, ticks_to_wait);
    if (came == pdTRUE) {
        queue->first = (queue->first + 1) % queue->length;
        queue->count--;
    }
    return came;
}

BaseType_t xQueueReset(QueueHandle_t queue)
{
    sim_flash_code(__func__);
    queue->count = queue->first = 0;
    return pdPASS;
}

UBaseType_t uxQueueMessagesWaiting(QueueHandle_t queue)
{
    sim_flash_code(__func__);
    return queue->count;
}

UBaseType_t uxQueueSpacesAvailable(QueueHandle_t queue)
{
    sim_flash_code(__func__);
    return queue->length - queue->count;
}

SemaphoreHandle_t xSemaphoreCreateCounting(UBaseType_t max_count, UBaseType_t initial_count)
{
    const SemaphoreHandle_t semaphore = xQueueCreate(max_count, 0);
    if (semaphore != NULL) {
        semaphore->count = initial_count;
    }
    return semaphore;
}
