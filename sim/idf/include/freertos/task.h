// SPDX-License-Identifier: Apache-2.0
/** @file
 * Tasks as threads of which exactly one runs at a time, and which are switched only where FreeRTOS lets a task block:
 * in delays, waits for events, queues and notifications, and when a task ends. Priorities, cores and stack depths are
 * accepted and ignored. Time passes when all tasks wait, and then jumps to when the first of them is due.
 */
#pragma once

#include "freertos/FreeRTOS.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sim_task *TaskHandle_t;
typedef void (*TaskFunction_t)(void *);

typedef enum { eRunning, eReady, eBlocked, eSuspended, eDeleted, eInvalid } eTaskState;
typedef enum { eNoAction, eSetBits, eIncrement, eSetValueWithOverwrite, eSetValueWithoutOverwrite } eNotifyAction;

#define tskIDLE_PRIORITY ((UBaseType_t)0)
#define tskNO_AFFINITY   ((BaseType_t)0x7FFFFFFF)

/** Up to 16 at once. @return pdFAIL if there are as many already. */
BaseType_t xTaskCreate(TaskFunction_t code, const char *name, uint32_t stack_depth, void *parameters,
                       UBaseType_t priority, TaskHandle_t *created_task);
BaseType_t xTaskCreatePinnedToCore(TaskFunction_t code, const char *name, uint32_t stack_depth, void *parameters,
                                   UBaseType_t priority, TaskHandle_t *created_task, BaseType_t core_id);
/** NULL: the calling task. Another one never runs again. */
void vTaskDelete(TaskHandle_t task);
/** Lets other tasks run; takes no time of the host. A chip on which all tasks only wait idles: the boot ends. */
void vTaskDelay(TickType_t ticks);
BaseType_t xTaskDelayUntil(TickType_t *previous_wake_time, TickType_t time_increment);
#define vTaskDelayUntil(previous_wake_time, time_increment)                                                            \
    ((void)xTaskDelayUntil((previous_wake_time), (time_increment)))
/** A delay of one tick: without it, a task that yields for ever would stop the time. */
#define taskYIELD() vTaskDelay(1)
/** Ticks that were waited, and the modelled time of the flash. */
TickType_t xTaskGetTickCount(void);
TaskHandle_t xTaskGetCurrentTaskHandle(void);
#define xTaskGetCurrentTaskHandleForCore(core) xTaskGetCurrentTaskHandle()
/** NULL: the calling task. Cut to 15 characters. */
char *pcTaskGetName(TaskHandle_t task);
/** Stacks are not modelled: the depth that the task was created with, as if nothing of it had been used. */
UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task);
UBaseType_t uxTaskPriorityGet(TaskHandle_t task);
eTaskState eTaskGetState(TaskHandle_t task);
void vTaskSuspend(TaskHandle_t task);
void vTaskResume(TaskHandle_t task);
void vTaskSuspendAll(void);
BaseType_t xTaskResumeAll(void);

BaseType_t xTaskNotify(TaskHandle_t task, uint32_t value, eNotifyAction action);
#define xTaskNotifyGive(task) xTaskNotify((task), 0, eIncrement)
uint32_t ulTaskNotifyTake(BaseType_t clear_count_on_exit, TickType_t ticks_to_wait);
BaseType_t xTaskNotifyWait(uint32_t clear_on_entry, uint32_t clear_on_exit, uint32_t *value, TickType_t ticks_to_wait);

#ifdef __cplusplus
}
#endif
