// SPDX-License-Identifier: Apache-2.0
#include "sim_state.h"

#include "esp_netif.h"
#include "protocol_examples_common.h"

esp_err_t esp_netif_init(void)
{
    sim_flash_code(__func__);
    sim_state.netif_ready = true;
    return ESP_OK;
}

esp_err_t example_connect(void)
{
    sim_flash_code(__func__);
    return sim_state.netif_ready && sim_state.event_loop_ready ? ESP_OK : ESP_ERR_INVALID_STATE;
}

esp_err_t example_disconnect(void)
{
    return example_connect();
}
