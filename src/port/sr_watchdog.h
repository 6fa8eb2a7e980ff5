// SPDX-License-Identifier: Apache-2.0
/** @file
 * The task watchdog of ESP-IDF, as far as the calling task has to feed it.
 */
#pragma once

#include <stdbool.h>

/** True if the calling task is subscribed to the task watchdog. To be asked once and not for each operation: ESP-IDF
 * logs an error each time if the app has not initialized the watchdog, or not any more. */
bool sr_watchdog_is_on(void);

/** Feeds the task watchdog, for a task that is subscribed to it. The flash driver lets the idle tasks run while it
 * waits for an erase. */
void sr_watchdog_feed(void);
