// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "esp_err.h"

#include <stdbool.h>

/** True if the simulated chip was configured with Secure Boot. */
bool esp_secure_boot_enabled(void);
