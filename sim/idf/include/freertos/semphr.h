// SPDX-License-Identifier: Apache-2.0
/** @file Semaphores and mutexes: queues of items without content. Who holds a mutex is not remembered. */
#pragma once

#include "freertos/queue.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef QueueHandle_t SemaphoreHandle_t;

SemaphoreHandle_t xSemaphoreCreateCounting(UBaseType_t max_count, UBaseType_t initial_count);
#define xSemaphoreCreateBinary()         xSemaphoreCreateCounting(1, 0)
#define xSemaphoreCreateMutex()          xSemaphoreCreateCounting(1, 1)
#define xSemaphoreTake(semaphore, ticks) xQueueReceive((semaphore), NULL, (ticks))
#define xSemaphoreGive(semaphore)        xQueueSendToBack((semaphore), NULL, 0)
#define uxSemaphoreGetCount(semaphore)   uxQueueMessagesWaiting(semaphore)
#define vSemaphoreDelete(semaphore)      vQueueDelete(semaphore)

#ifdef __cplusplus
}
#endif
