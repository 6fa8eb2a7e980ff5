// SPDX-License-Identifier: Apache-2.0
/** @file The connection helper of ESP-IDF's examples: the host is connected already. */
#pragma once

#include "esp_err.h"
#include "esp_netif.h"
#include "sdkconfig.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EXAMPLE_NETIF_DESC_STA "example_netif_sta"
#define EXAMPLE_INTERFACE      get_example_netif()
#define get_example_netif()    get_example_netif_from_desc(EXAMPLE_NETIF_DESC_STA)

/** ESP_ERR_INVALID_STATE unless esp_netif_init() and esp_event_loop_create_default() were called before. Connects the
 * station through esp_wifi.h. */
esp_err_t example_connect(void);
esp_err_t example_disconnect(void);
/** NULL unless connected, or for another description. */
esp_netif_t *get_example_netif_from_desc(const char *desc);
/** Nothing to do: the host's stdin and stdout are there. */
esp_err_t example_configure_stdin_stdout(void);

#ifdef __cplusplus
}
#endif
