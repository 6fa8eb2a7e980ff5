// SPDX-License-Identifier: Apache-2.0
/** @file FreeRTOS types and units, as ESP-IDF configures them. */
#pragma once

#include "sdkconfig.h"

#include <stdint.h>

typedef int BaseType_t;
typedef unsigned int UBaseType_t;
typedef uint32_t TickType_t;

#define configTICK_RATE_HZ CONFIG_FREERTOS_HZ
#define portTICK_PERIOD_MS ((TickType_t)(1000 / configTICK_RATE_HZ))
#define portMAX_DELAY      ((TickType_t)0xffffffffu)
#define pdMS_TO_TICKS(ms)  ((TickType_t)(((uint64_t)(ms)*configTICK_RATE_HZ) / 1000u))
#define pdFALSE            ((BaseType_t)0)
#define pdTRUE             ((BaseType_t)1)
#define pdPASS             pdTRUE
#define pdFAIL             pdFALSE
