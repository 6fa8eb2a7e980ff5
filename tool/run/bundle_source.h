// SPDX-License-Identifier: Apache-2.0
/** @file
 * Where a rehearsal gets its bundle from, and what the app that applies it accepts.
 */
#pragma once

#include "tool/base/image_file.h"
#include "tool/run/local_server.h"
#include "self_reflasher_bundle.h"

#include <stdbool.h>
#include <stdint.h>

/** As on the command line. */
typedef struct bundle_options {
    const char *bundle;     /**< A file, "flash:ADDRESS+SIZE", or NULL. */
    const char *url;        /**< Takes precedence over a file; or NULL. */
    const char *public_key; /**< A file, or NULL. */
    uint32_t flags;         /**< ESP_SELF_REFLASHER_BUNDLE_... */
    uint32_t skip_checks;   /**< ESP_SELF_REFLASHER_CHECK_... */
    uint32_t min_sequence;  /**< 0: any. */
} bundle_options_t;

/** A config for the component, and what must live as long as it does. */
typedef struct bundle_source {
    esp_self_reflasher_bundle_config_t config;
    esp_http_client_config_t http;
    image_file_t file;
    local_server_t *server; /**< NULL if nothing is served. */
    char url[LOCAL_SERVER_URL_SIZE];
    char *public_key;
} bundle_source_t;

/** For messages. */
#define BUNDLE_CHECK_NAMES "bootloader, flash-size, flash-mode, revision, table, app, rollback, secure-version"

/** Bit of a check by its name, ESP_SELF_REFLASHER_CHECK_..., or 0. */
uint32_t bundle_check_bit(const char *name);

/**
 * Loads the files and starts to serve the bundle.
 * @param ca PEM to trust for https, or NULL. Must outlive the source.
 * @return STATUS_OK, or STATUS_USAGE or STATUS_BAD_INPUT after complaining; in any case bundle_source_free() is due.
 */
int bundle_source_prepare(const bundle_options_t *options, const char *ca, bundle_source_t *source);
void bundle_source_free(bundle_source_t *source);
