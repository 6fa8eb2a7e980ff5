// SPDX-License-Identifier: Apache-2.0
/** @file
 * The task watchdog of ESP-IDF, as far as the calling task has to feed it.
 */
#pragma once

/** Feeds the task watchdog if the calling task is subscribed to it. What the idle tasks need, the flash driver gives
 * them while it waits for an erase. */
void sr_watchdog_feed(void);
