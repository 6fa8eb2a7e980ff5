// SPDX-License-Identifier: Apache-2.0
/** @file
 * Options of boot_swap_download_example on the simulated chip: from the environment.
 */
#pragma once

#define CONFIG_EXAMPLE_APP_URL        sim_config_string("EXAMPLE_APP_URL", "http://127.0.0.1:8070/app_upd.bin")
#define CONFIG_EXAMPLE_APP_ADDRESS    sim_config_number("EXAMPLE_APP_ADDRESS", 0x110000)
#define CONFIG_EXAMPLE_APP_SIZE       sim_config_number("EXAMPLE_APP_SIZE", 0x100000)
#define CONFIG_EXAMPLE_BOOTLOADER_URL sim_config_string("EXAMPLE_BOOTLOADER_URL", "http://127.0.0.1:8070/mcuboot.bin")
#define CONFIG_EXAMPLE_BOOTLOADER_ADDRESS                                                                              \
    sim_config_number("EXAMPLE_BOOTLOADER_ADDRESS", CONFIG_BOOTLOADER_OFFSET_IN_FLASH)
#define CONFIG_EXAMPLE_BOOTLOADER_SIZE                                                                                 \
    sim_config_number("EXAMPLE_BOOTLOADER_SIZE", CONFIG_PARTITION_TABLE_OFFSET - CONFIG_BOOTLOADER_OFFSET_IN_FLASH)
