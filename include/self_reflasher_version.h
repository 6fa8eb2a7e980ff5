// SPDX-License-Identifier: Apache-2.0
/** @file
 * The version of esp-self-reflasher, and of the bundle format that it reads.
 */
#pragma once

/**
 * @defgroup self_reflasher_version Versions
 * @brief Numbers for the preprocessor and for logs. They follow Semantic Versioning.
 * @{
 */

/** Major version: a change of it can break apps that compiled before. */
#define ESP_SELF_REFLASHER_VERSION_MAJOR 0
/** Minor version: a change of it adds something; with major version 0 it can also break apps. */
#define ESP_SELF_REFLASHER_VERSION_MINOR 1
/** Patch version: a change of it only mends. */
#define ESP_SELF_REFLASHER_VERSION_PATCH 0

/**
 * @brief One number for a version, to compare with ESP_SELF_REFLASHER_VERSION in `#if`.
 * @param major,minor,patch 0 to 255 each.
 */
#define ESP_SELF_REFLASHER_VERSION_VAL(major, minor, patch) (((major) << 16) | ((minor) << 8) | (patch))

/** The version of this component, as ESP_SELF_REFLASHER_VERSION_VAL() makes it. */
#define ESP_SELF_REFLASHER_VERSION                                                                                     \
    ESP_SELF_REFLASHER_VERSION_VAL(ESP_SELF_REFLASHER_VERSION_MAJOR, ESP_SELF_REFLASHER_VERSION_MINOR,                 \
                                   ESP_SELF_REFLASHER_VERSION_PATCH)

/** The version of the bundle format, as the header of a bundle holds it. A bundle of any other version is refused, with
 *  ESP_SELF_REFLASHER_REFUSED_FORMAT. */
#define ESP_SELF_REFLASHER_BUNDLE_VERSION 2

/** @} */
