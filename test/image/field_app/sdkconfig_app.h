// SPDX-License-Identifier: Apache-2.0
/** @file
 * Options of the apps in this folder: from the environment.
 */
#pragma once

#define CONFIG_EXAMPLE_UPGRADE_URL            sim_config_string("FIELD_APP_URL", "")
#define CONFIG_EXAMPLE_DEST_ADDRESS           0x10000
#define CONFIG_EXAMPLE_DEST_MAX_SIZE          0x100000
#define CONFIG_EXAMPLE_BOOT_UPGRADE_URL       sim_config_string("FIELD_BOOT_URL", "")
#define CONFIG_EXAMPLE_BOOT_DEST_ADDRESS      0x1000
#define CONFIG_EXAMPLE_BOOT_DEST_MAX_SIZE     0x7000
#define CONFIG_EXAMPLE_EMBEDDED_DEST_ADDRESS  0x1000
#define CONFIG_EXAMPLE_EMBEDDED_DEST_MAX_SIZE 0x10f000
#define CONFIG_ESP_WIFI_SSID                  "field"
#define CONFIG_ESP_WIFI_PASSWORD              "secret"
