// SPDX-License-Identifier: Apache-2.0
/** @file
 * A cargo: what an app carries in one more segment of its image, settings and a bundle.
 *
 * Format: docs/cargo-format.md. The segment is the image's last one and has load address 0, so bootloaders verify it
 * with the rest of the image and load it nowhere. The cargo has no digest of its own: the image's vouches for it, and
 * who reads a cargo verifies the image first.
 */
#pragma once

#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"

#include <stdint.h>

#define SR_CARGO_VERSION      1u
#define SR_CARGO_HEADER_SIZE  32u
#define SR_CARGO_LOAD_ADDRESS 0u
#define SR_CARGO_ALIGNMENT    4u        /**< Of the bundle in the cargo, and of the cargo's size. */
#define SR_CARGO_MAX_SETTINGS 2048u     /**< Bytes. */
#define SR_CARGO_MAX_NAME     31u       /**< Characters of a setting's name. */
#define SR_CARGO_MAX_SIZE     0x310000u /**< Of the whole cargo: bootloaders before v3.2.3 map it in one piece. */

/** First in a cargo. Also in each app that has this parser, whose code compares with it: an app without these bytes
 *  would carry a cargo and never look at it. */
#define SR_CARGO_MAGIC      "SRCRGO\r\n"
#define SR_CARGO_MAGIC_SIZE 8u

typedef enum sr_cargo_status {
    SR_CARGO_OK = 0,
    SR_CARGO_NONE,         /**< The image has none. */
    SR_CARGO_READ_FAILED,  /**< The reader failed. */
    SR_CARGO_BAD_VERSION,  /**< Of a version or with a feature that is not known here. */
    SR_CARGO_BAD_HEADER,   /**< A reserved byte is not zero, or the sizes do not add up to the segment's. */
    SR_CARGO_BAD_SETTINGS, /**< Not pairs of texts with names in order. */
} sr_cargo_status_t;

/** Where what is in a cargo lies, in bytes from the start of the image. */
typedef struct sr_cargo {
    sr_region_t settings;
    sr_region_t bundle; /**< Empty: there is none. */
} sr_cargo_t;

/**
 * Finds the cargo of an image, and reads its header. Settings and bundle are not looked at.
 * @param image As sr_image_parse() gave it for this reader. That it is intact is not looked at either.
 * @param[out] cargo Defined after SR_CARGO_OK only.
 * @return All but SR_CARGO_BAD_SETTINGS.
 */
sr_cargo_status_t sr_cargo_find(const sr_reader_t *reader, const sr_image_t *image, sr_cargo_t *cargo);

/**
 * Checks settings, so that sr_cargo_setting() and sr_cargo_next_setting() can be called with them.
 * @return SR_CARGO_OK or SR_CARGO_BAD_SETTINGS.
 */
sr_cargo_status_t sr_cargo_check_settings(const char *settings, uint32_t size);

/** One setting. Both texts end with a zero, and point into the settings. */
typedef struct sr_cargo_setting {
    const char *name;
    const char *value;
} sr_cargo_setting_t;

/**
 * Goes through settings that were checked.
 * @param[in,out] offset Of the next setting; 0 at first.
 * @return false after the last one.
 */
bool sr_cargo_next_setting(const char *settings, uint32_t size, uint32_t *offset, sr_cargo_setting_t *setting);

/** Value of the setting with this name, of settings that were checked. @return NULL if there is none. */
const char *sr_cargo_setting(const char *settings, uint32_t size, const char *name);

/** In words, for people. */
const char *sr_cargo_status_text(sr_cargo_status_t status);
