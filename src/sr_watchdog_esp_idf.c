// SPDX-License-Identifier: Apache-2.0
#include "sr_watchdog_esp_idf.h"

#include "sdkconfig.h"

#if CONFIG_ESP_TASK_WDT_INIT
#include "esp_task_wdt.h"

/* Asked first, because to feed without being subscribed is an error that ESP-IDF logs. */
void sr_watchdog_feed(void)
{
    if (esp_task_wdt_status(NULL) == ESP_OK) {
        (void)esp_task_wdt_reset();
    }
}
#else
void sr_watchdog_feed(void)
{
}
#endif
