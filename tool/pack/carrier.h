// SPDX-License-Identifier: Apache-2.0
/** @file
 * An app that is to carry a cargo.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "tool/base/image_file.h"

#include <stdbool.h>

typedef struct carrier {
    image_file_t file;
    sr_image_t image;
    sr_image_app_desc_t desc;
    const sr_chip_t *chip;
    bool was_signed; /**< A signature of Secure Boot follows the image; it will not be right any more. */
} carrier_t;

/**
 * Loads an app and checks all that it has to be: intact, for a known chip, with room for one more segment, without
 * cargo, and with the code that looks for one.
 * @return STATUS_OK, or STATUS_BAD_INPUT or STATUS_NO after complaining; in any case carrier_free() is due.
 */
int carrier_load(const char *path, carrier_t *carrier);

/** True if the app asks for the setting with this name: the name is somewhere in it. */
bool carrier_knows_setting(const carrier_t *carrier, const char *name);

void carrier_free(carrier_t *carrier);
