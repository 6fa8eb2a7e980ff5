// SPDX-License-Identifier: Apache-2.0
/** @file
 * Settings of a cargo, from a JSON file and the command line.
 */
#pragma once

#include "format/sr_cargo.h"

#include <cjson/cJSON.h>

#define CARGO_SETTINGS_MAX     9u
#define CARGO_SETTINGS_MAX_URL 512u /**< Bytes. */

/** By ascending name, as a cargo has them. */
typedef struct cargo_settings {
    sr_cargo_setting_t list[CARGO_SETTINGS_MAX];
    unsigned count;
    cJSON *json;     /**< What some values point into. */
    char number[11]; /**< And one. */
} cargo_settings_t;

/** What does not come from the file. Texts must outlive the settings. */
typedef struct cargo_given {
    const char *public_key;  /**< PEM. */
    const char *url;         /**< Of the bundle; NULL: that is in the cargo. */
    const char *ap_password; /**< If the file has none; NULL: there is none. */
} cargo_given_t;

/**
 * Reads the settings.
 * @param path A JSON object; NULL: none of those that it could have.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining; in any case cargo_settings_free() is due.
 */
int cargo_settings_read(const char *path, const cargo_given_t *given, cargo_settings_t *settings);
void cargo_settings_free(cargo_settings_t *settings);

/** Value of a setting by its name; NULL: it is not there. */
const char *cargo_settings_get(const cargo_settings_t *settings, const char *name);
