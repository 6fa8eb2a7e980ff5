// SPDX-License-Identifier: Apache-2.0
/** @file
 * Options of boot_swap_embedded_example on the simulated chip: from the environment.
 */
#pragma once

#define CONFIG_EXAMPLE_IMAGE_ADDRESS sim_config_number("EXAMPLE_IMAGE_ADDRESS", CONFIG_BOOTLOADER_OFFSET_IN_FLASH)
#define CONFIG_EXAMPLE_IMAGE_SIZE    sim_config_number("EXAMPLE_IMAGE_SIZE", 0x110000 - CONFIG_BOOTLOADER_OFFSET_IN_FLASH)
