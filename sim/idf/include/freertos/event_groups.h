// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "freertos/FreeRTOS.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sim_event_group *EventGroupHandle_t;
typedef TickType_t EventBits_t; /**< The lower 24 bits are the app's. */

/** NULL without memory. */
EventGroupHandle_t xEventGroupCreate(void);
void vEventGroupDelete(EventGroupHandle_t group);
EventBits_t xEventGroupSetBits(EventGroupHandle_t group, EventBits_t bits);
/** @return The bits before. */
EventBits_t xEventGroupClearBits(EventGroupHandle_t group, EventBits_t bits);
/** @return The bits when the wait ended, before any were cleared; without those that were waited for after a timeout.
 */
EventBits_t xEventGroupWaitBits(EventGroupHandle_t group, EventBits_t bits, BaseType_t clear_on_exit,
                                BaseType_t wait_for_all, TickType_t ticks_to_wait);
#define xEventGroupGetBits(group) xEventGroupClearBits((group), 0)

#ifdef __cplusplus
}
#endif
