// SPDX-License-Identifier: Apache-2.0
/** @file
 * How a simulated task blocks, on which queues, event groups and timers are built. Not for apps.
 */
#pragma once

#include "freertos/FreeRTOS.h"

/** What a task waits for. Called while another task runs, so it must only read. */
typedef bool (*sim_condition_t)(void *context);

/**
 * Lets other tasks run until a condition holds, or until so many ticks have passed.
 * @param ticks 0: does not wait; portMAX_DELAY: for ever. If nothing can happen any more, the boot ends.
 * @return what the condition says at the end
 */
bool sim_wait(sim_condition_t condition, void *context, TickType_t ticks);
