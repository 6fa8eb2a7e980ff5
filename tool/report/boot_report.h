// SPDX-License-Identifier: Apache-2.0
/** @file
 * What boots and why, for people and as JSON.
 */
#pragma once

#include "sim/boot/boot_model.h"

#include <cjson/cJSON.h>

/** Prints "boots: NAME at 0x10000" and the reason, each on a line of its own. */
void boot_report_print(const boot_result_t *result, const char *app_name);

/** The boot as JSON: outcome, app_offset (null if nothing boots), reason, loader, app, ... Owned by the caller. */
cJSON *boot_report_json(const boot_chip_t *chip, const boot_result_t *result, const char *app_name);

/** "ESP-IDF", "MCUboot" or "none". */
const char *boot_loader_text(boot_loader_kind_t loader);

/** Prints JSON to stdout, with a newline, and frees it. */
void json_print(cJSON *json);
