// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "freertos/FreeRTOS.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sim_queue *QueueHandle_t;

/** NULL without memory. */
QueueHandle_t xQueueCreate(UBaseType_t length, UBaseType_t item_size);
void vQueueDelete(QueueHandle_t queue);
/** @return pdTRUE, or errQUEUE_FULL after the wait. */
BaseType_t xQueueSendToBack(QueueHandle_t queue, const void *item, TickType_t ticks_to_wait);
BaseType_t xQueueSendToFront(QueueHandle_t queue, const void *item, TickType_t ticks_to_wait);
/** For queues of one item: replaces it. */
BaseType_t xQueueOverwrite(QueueHandle_t queue, const void *item);
/** @return pdTRUE, or errQUEUE_EMPTY after the wait. */
BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t ticks_to_wait);
BaseType_t xQueuePeek(QueueHandle_t queue, void *item, TickType_t ticks_to_wait);
BaseType_t xQueueReset(QueueHandle_t queue);
UBaseType_t uxQueueMessagesWaiting(QueueHandle_t queue);
UBaseType_t uxQueueSpacesAvailable(QueueHandle_t queue);
#define xQueueSend(queue, item, ticks_to_wait) xQueueSendToBack((queue), (item), (ticks_to_wait))

#ifdef __cplusplus
}
#endif
