// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_err.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** True if the simulated chip was configured with Secure Boot. */
bool esp_secure_boot_enabled(void);

#ifdef __cplusplus
}
#endif
