// SPDX-License-Identifier: Apache-2.0
/** @file FreeRTOS types and units, as ESP-IDF configures them. */
#pragma once

#include "esp_attr.h"
#include "esp_bit_defs.h"
#include "esp_system.h"
#include "sdkconfig.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int BaseType_t;
typedef unsigned int UBaseType_t;
typedef uint32_t TickType_t;
typedef uint8_t StackType_t; /**< Depths are in bytes. */

#define configTICK_RATE_HZ       CONFIG_FREERTOS_HZ
#define configMAX_PRIORITIES     25
#define configMINIMAL_STACK_SIZE 768
#define configNUM_CORES          1
#define configNUMBER_OF_CORES    1
#define portNUM_PROCESSORS       1
#define portTICK_PERIOD_MS       ((TickType_t)(1000 / configTICK_RATE_HZ))
#define portTICK_RATE_MS         portTICK_PERIOD_MS
#define portMAX_DELAY            ((TickType_t)0xffffffffu)
#define pdMS_TO_TICKS(ms)        ((TickType_t)(((uint64_t)(ms)*configTICK_RATE_HZ) / 1000u))
#define pdTICKS_TO_MS(ticks)     ((TickType_t)(((uint64_t)(ticks)*1000u) / configTICK_RATE_HZ))
#define pdFALSE                  ((BaseType_t)0)
#define pdTRUE                   ((BaseType_t)1)
#define pdPASS                   pdTRUE
#define pdFAIL                   pdFALSE
#define errQUEUE_EMPTY           ((BaseType_t)0)
#define errQUEUE_FULL            ((BaseType_t)0)
#define configASSERT(condition)  assert(condition)

/** One task runs at a time, and only a call changes that: so there is nothing to lock. */
typedef struct {
    int owner;
} portMUX_TYPE;

#define portMUX_INITIALIZER_UNLOCKED                                                                                   \
    {                                                                                                                  \
        0                                                                                                              \
    }
#define portMUX_INITIALIZE(mux)     ((void)(mux))
#define portENTER_CRITICAL(mux)     ((void)(mux))
#define portEXIT_CRITICAL(mux)      ((void)(mux))
#define portENTER_CRITICAL_ISR(mux) ((void)(mux))
#define portEXIT_CRITICAL_ISR(mux)  ((void)(mux))
#define taskENTER_CRITICAL(mux)     ((void)(mux))
#define taskEXIT_CRITICAL(mux)      ((void)(mux))
#define portYIELD_FROM_ISR(...)     ((void)0)
#define xPortGetCoreID()            ((BaseType_t)0)
#define xPortGetFreeHeapSize()      ((size_t)esp_get_free_heap_size())

#ifdef __cplusplus
}
#endif
