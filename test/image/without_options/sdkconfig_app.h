// SPDX-License-Identifier: Apache-2.0
/** @file What test_api_without_options is about: an app built with as little as there is. */
#pragma once

#undef CONFIG_SELF_REFLASHER_HTTP
#undef CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
#undef CONFIG_SELF_REFLASHER_TEMPORARY_TABLE
/* No option, but the same kind: this chip's ROM knows no recovery bootloader. */
#include "soc/soc_caps.h"
#undef SOC_RECOVERY_BOOTLOADER_SUPPORTED
