// SPDX-License-Identifier: Apache-2.0
#include "port/sr_yield.h"

#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

/* The one variable of the component that outlives a call: all pieces of work add up, whichever function does them. If
 * two tasks race for it, one of them yields a little later. */
static uint32_t bytes_since;

void sr_yield(uint32_t bytes)
{
    if (bytes > SR_YIELD_BYTES - bytes_since) {
        vTaskDelay(1); /* The shortest delay that lets tasks of lower priority run. */
        bytes_since = 0;
    }
    bytes_since += bytes < SR_YIELD_BYTES ? bytes : SR_YIELD_BYTES;
}
