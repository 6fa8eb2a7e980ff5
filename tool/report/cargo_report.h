// SPDX-License-Identifier: Apache-2.0
/** @file
 * What an app carries, for people and as JSON. What may be a password is not shown.
 */
#pragma once

#include "format/sr_cargo.h"
#include "tool/pack/bundle_file.h"

#include <cjson/cJSON.h>

/** The cargo of an app. */
typedef struct cargo_info {
    sr_cargo_status_t status; /**< OK, or what is wrong; NONE: there is none. */
    sr_cargo_t cargo;         /**< Valid if the status is OK, like all below. */
    const char *settings;     /**< Points into the app. */
    const uint8_t *bundle;    /**< Points into the app; NULL: there is none. */
    sr_bundle_status_t trust; /**< Of the bundle, by the key in the settings. */
} cargo_info_t;

#define CARGO_VALUE_SIZE (SR_CARGO_MAX_SETTINGS + 16u)

/**
 * What is shown of a setting: a key by its id, a URL without its password, and of what is secret by its name nothing.
 * @return @p out, with bytes as they are in the setting.
 */
const char *cargo_value_text(const sr_cargo_setting_t *setting, char out[CARGO_VALUE_SIZE]);

/** Looks for the cargo of an app. @param app Its first byte. @param image As it was parsed there, from @p room bytes.
 */
cargo_info_t cargo_info(const uint8_t *app, uint32_t room, const sr_image_t *image);

/** Prints lines for the section of the app; nothing if there is no cargo. */
void cargo_report_print(const cargo_info_t *info);

/** As JSON; null if there is no cargo. */
cJSON *cargo_report_json(const cargo_info_t *info);

/**
 * Prints the bundle in the cargo, as inspect shows one in a file.
 * @param path Of the app.
 * @return STATUS_OK, also without a bundle; STATUS_BAD_INPUT after complaining.
 */
int cargo_report_print_bundle(const cargo_info_t *info, const char *path);
