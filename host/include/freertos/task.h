// SPDX-License-Identifier: Apache-2.0
/** @file
 * Tasks as threads of which exactly one runs at a time, and which change places only where FreeRTOS lets a task block:
 * in vTaskDelay(), and when a task ends. Priorities and stack depths are taken and not used.
 */
#pragma once

#include "freertos/FreeRTOS.h"

typedef struct sim_task *TaskHandle_t;
typedef void (*TaskFunction_t)(void *);

BaseType_t xTaskCreate(TaskFunction_t code, const char *name, uint32_t stack_depth, void *parameters,
                       UBaseType_t priority, TaskHandle_t *created_task);
/** Only with NULL: a task ends itself. */
void vTaskDelete(TaskHandle_t task);
/** Lets other tasks run; takes no time of the host. A chip on which all tasks only wait idles: the boot ends. */
void vTaskDelay(TickType_t ticks);
void vTaskSuspendAll(void);
BaseType_t xTaskResumeAll(void);
