// SPDX-License-Identifier: Apache-2.0
/** @file
 * How a simulated task blocks: what queues, event groups and timers are made of. Not for apps.
 */
#pragma once

#include "freertos/FreeRTOS.h"

/** What a task waits for. Asked while other tasks have the turn, so that it must only look. */
typedef bool (*sim_condition_t)(void *context);

/**
 * Lets other tasks run until a condition holds, or so many ticks have passed.
 * @param ticks 0: does not wait; portMAX_DELAY: for ever. If nothing can happen any more, the boot ends.
 * @return what the condition says at the end
 */
bool sim_wait(sim_condition_t condition, void *context, TickType_t ticks);
