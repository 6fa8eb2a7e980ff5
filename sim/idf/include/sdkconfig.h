// SPDX-License-Identifier: Apache-2.0
/** @file
 * Build options, which menuconfig would write into this file.
 *
 * What depends on the simulated chip is asked of it at run time, so these options cannot stand in an `#if`. Options of
 * an app come from a file of its own, sdkconfig_app.h, in a folder that only this app includes.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Environment variable @p name, or @p fallback: for options that are strings. The result must not be freed. */
const char *sim_config_string(const char *name, const char *fallback);
/** Environment variable @p name as a number (decimal, or hex with 0x), or @p fallback. */
uint32_t sim_config_number(const char *name, uint32_t fallback);

const char *sim_config_target(void);
uint16_t sim_config_chip_id(void);
uint32_t sim_config_bootloader_offset(void);
uint32_t sim_config_partition_table_offset(void);

#ifdef __cplusplus
}
#endif

#define CONFIG_IDF_TARGET                 sim_config_target()
#define CONFIG_IDF_FIRMWARE_CHIP_ID       sim_config_chip_id()
#define CONFIG_BOOTLOADER_OFFSET_IN_FLASH sim_config_bootloader_offset()
#define CONFIG_PARTITION_TABLE_OFFSET     sim_config_partition_table_offset()

#define CONFIG_ESP_HTTPS_OTA_ALLOW_HTTP             1
#define CONFIG_EXAMPLE_CONNECT_WIFI                 1
#define CONFIG_ESP_TASK_WDT_EN                      1
#define CONFIG_FREERTOS_HZ                          100
#define CONFIG_LOG_DEFAULT_LEVEL                    3
#define CONFIG_LOG_MAXIMUM_LEVEL                    3
#define CONFIG_MMU_PAGE_SIZE                        0x10000
#define CONFIG_SPI_FLASH_DANGEROUS_WRITE_ALLOWED    1
#define CONFIG_SELF_REFLASHER_HTTP                  1
#define CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP 1
#define CONFIG_SELF_REFLASHER_TEMPORARY_TABLE       1

#if __has_include("sdkconfig_app.h")
#include "sdkconfig_app.h"
#endif
