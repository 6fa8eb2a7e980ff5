// SPDX-License-Identifier: Apache-2.0
/** @file
 * Puts a cargo (docs/cargo-format.md) into an app: one more segment of its image, with checksum and SHA-256 renewed.
 */
#pragma once

#include "format/sr_cargo.h"
#include "make/image_writer.h"

#include <stddef.h>
#include <stdint.h>

typedef struct cargo_spec {
    const uint8_t *app;                 /**< Starts with the image of an app that has no cargo. */
    uint32_t app_size;                  /**< What follows after the image, as a signature does, is left out. */
    const sr_cargo_setting_t *settings; /**< By ascending name. */
    unsigned setting_count;
    const uint8_t *bundle; /**< NULL: none. */
    uint32_t bundle_size;
} cargo_spec_t;

/**
 * Writes the app with its cargo. The result has a SHA-256 appended, whether the app had one or not.
 * @param[out] image To be freed by the caller; NULL on error.
 * @param[out] size Its bytes.
 * @return OK; BAD_ARGUMENT if this is no image, has 16 segments, or if settings or bundle do not fit the format;
 *         NO_MEMORY or CRYPTO_FAILED.
 */
image_write_status_t cargo_write(const cargo_spec_t *spec, uint8_t **image, size_t *size);
