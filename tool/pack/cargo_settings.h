// SPDX-License-Identifier: Apache-2.0
/** @file
 * Settings of a cargo, from a JSON file and the key.
 */
#pragma once

#include "format/sr_cargo.h"

#define CARGO_SETTINGS_MAX 3u

/** By ascending name, as a cargo has them. */
typedef struct cargo_settings {
    sr_cargo_setting_t list[CARGO_SETTINGS_MAX]; /**< Names and values are constants, but for the key's. */
    unsigned count;
} cargo_settings_t;

/**
 * Reads the settings.
 * @param path A JSON object; NULL: none of those that it could have.
 * @param public_key PEM; must outlive the settings.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int cargo_settings_read(const char *path, const char *public_key, cargo_settings_t *settings);
