// SPDX-License-Identifier: Apache-2.0
#include "port/sr_watchdog.h"

#include "sdkconfig.h"

#if CONFIG_ESP_TASK_WDT_EN
#include "esp_task_wdt.h"

bool sr_watchdog_is_on(void)
{
    return esp_task_wdt_status(NULL) == ESP_OK;
}

void sr_watchdog_feed(void)
{
    (void)esp_task_wdt_reset();
}
#else
bool sr_watchdog_is_on(void)
{
    return false;
}

void sr_watchdog_feed(void)
{
}
#endif
