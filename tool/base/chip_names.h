// SPDX-License-Identifier: Apache-2.0
/** @file
 * The names of the supported chips, for messages.
 */
#pragma once

#define CHIP_NAMES_SIZE 160

/** "esp32, esp32s2, ...": all that --chip accepts. @return @p out. */
const char *chip_names(char out[CHIP_NAMES_SIZE]);
