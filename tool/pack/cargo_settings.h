// SPDX-License-Identifier: Apache-2.0
/** @file
 * Settings of a cargo, from a JSON file and the command line.
 */
#pragma once

#include "format/sr_cargo.h"

#include <cjson/cJSON.h>

#define CARGO_SETTINGS_MAX     6u
#define CARGO_SETTINGS_MAX_URL 512u /**< Bytes. */

/** By ascending name, as a cargo has them. */
typedef struct cargo_settings {
    sr_cargo_setting_t list[CARGO_SETTINGS_MAX];
    unsigned count;
    cJSON *json; /**< What some values point into. */
} cargo_settings_t;

/**
 * Reads the settings.
 * @param path A JSON object; NULL: none of those that it could have.
 * @param public_key PEM; must outlive the settings.
 * @param url Of the bundle, if that is not in the cargo; else NULL. Must outlive the settings.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining; in any case cargo_settings_free() is due.
 */
int cargo_settings_read(const char *path, const char *public_key, const char *url, cargo_settings_t *settings);
void cargo_settings_free(cargo_settings_t *settings);

/** Value of a setting by its name; NULL: it is not there. */
const char *cargo_settings_get(const cargo_settings_t *settings, const char *name);
