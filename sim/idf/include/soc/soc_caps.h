// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the hardware can do. The simulated chip is asked at run time, so everything that any of the chips has is
 * defined.
 */
#pragma once

#define SOC_RECOVERY_BOOTLOADER_SUPPORTED      1
#define SOC_BOOTLOADER_ANTI_ROLLBACK_SUPPORTED 1
#define SOC_SECURE_BOOT_V1                     1
#define SOC_SUPPORT_SECURE_BOOT_REVOKE_KEY     1
