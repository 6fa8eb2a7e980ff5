// SPDX-License-Identifier: Apache-2.0
/** @file Trust in the well-known certificate authorities. */
#pragma once

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

/** To be set as crt_bundle_attach of an esp_http_client_config_t: there its presence selects the machine's CA store. */
esp_err_t esp_crt_bundle_attach(void *conf);

#ifdef __cplusplus
}
#endif
