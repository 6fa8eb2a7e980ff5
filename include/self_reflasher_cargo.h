// SPDX-License-Identifier: Apache-2.0
/** @file
 * The cargo of the running app: settings and a bundle that `self-reflasher courier` has put into its image, so that one
 * uploaded file replaces the whole system (docs/courier.md).
 *
 * esp_self_reflasher_find_cargo() only reads. Call it at each start, before esp_self_reflasher_resume(): the running
 * app may have moved since, and its cargo with it.
 */
#pragma once

#include "self_reflasher_bundle.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @defgroup self_reflasher_cargo Cargo
 * @brief What the running app carries.
 * @{
 */

/** Bytes that all settings of a cargo take at most. */
#define ESP_SELF_REFLASHER_CARGO_SETTINGS_SIZE 2048

/** @name Names of settings
 * For esp_self_reflasher_cargo_setting().
 * @{ */

/** The key that the bundle is signed with, for `public_key` of esp_self_reflasher_bundle_config_t. The app's own image
 *  vouches for it. */
#define ESP_SELF_REFLASHER_CARGO_PUBLIC_KEY "public_key"
/** "1": ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE is wanted. */
#define ESP_SELF_REFLASHER_CARGO_ALLOW_TEMPORARY_TABLE "allow_temporary_table"
/** "1": ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE is wanted. */
#define ESP_SELF_REFLASHER_CARGO_ALLOW_IN_PLACE "allow_in_place"
/** Where the bundle is, http:// or https://, if the cargo has none itself. */
#define ESP_SELF_REFLASHER_CARGO_URL "url"
/** Least sequence number of a bundle, in decimal digits, for `min_sequence` of esp_self_reflasher_bundle_config_t. */
#define ESP_SELF_REFLASHER_CARGO_MIN_SEQUENCE "min_sequence"
/** "button": begin when somebody asks for it; not there: at once. */
#define ESP_SELF_REFLASHER_CARGO_WHEN "when"
/** Password of an access point that the device may open, 8 to 63 bytes; not there: it must not open one. */
#define ESP_SELF_REFLASHER_CARGO_AP_PASSWORD "ap_password"
/** Name of the Wi-Fi access, 1 to 32 bytes. */
#define ESP_SELF_REFLASHER_CARGO_WIFI_SSID "wifi_ssid"
/** Password of the Wi-Fi access, at most 64 bytes; not there: it has none. */
#define ESP_SELF_REFLASHER_CARGO_WIFI_PASSWORD "wifi_password"

/** @} */

/** A cargo. 2 KiB: better static than on the stack of a task. */
typedef struct {
    addr_region_t bundle;   /**< Where in flash the bundle lies at this start, for `embedded` of
                                 esp_self_reflasher_bundle_config_t; empty: there is none. */
    uint32_t settings_size; /**< Bytes used of the next field. */
    char settings[ESP_SELF_REFLASHER_CARGO_SETTINGS_SIZE]; /**< For esp_self_reflasher_cargo_setting(). */
} esp_self_reflasher_cargo_t;

/**
 * @brief Find the cargo of the running app, wherever in flash that runs from. Changes no flash.
 *
 * All of the app's image is read and compared with its SHA-256 first, which takes some 0.1 s for each MB: that is what
 * vouches for the cargo. Whether the bundle in it is good is for esp_self_reflasher_plan_bundle() to tell.
 *
 * @param[out] cargo The caller's; all zero after an error. Its texts stay valid as long as it does.
 * @return
 *  - ESP_OK
 *  - ESP_ERR_NOT_FOUND: the running app has no cargo, or is not in a partition
 *  - ESP_ERR_SELF_REFLASHER_CARGO: it has one that cannot be used, or its image is not intact or has no SHA-256; the
 *    log says which
 *  - ESP_ERR_INVALID_ARG: cargo is NULL
 *  - ESP_ERR_NOT_SUPPORTED: this component does not know the chip
 *  - ESP_ERR_NO_MEM: the partition table could not be searched
 *  - ESP_FAIL: something could not be hashed
 *  - an error of esp_flash, unchanged
 */
esp_err_t esp_self_reflasher_find_cargo(esp_self_reflasher_cargo_t *cargo);

/**
 * @brief Value of a setting by its name.
 *
 * @param[in] cargo From esp_self_reflasher_find_cargo().
 * @param[in] name For example ESP_SELF_REFLASHER_CARGO_PUBLIC_KEY.
 * @return Text in the cargo, valid as long as that; NULL if it has no such setting, or if cargo or name is NULL.
 */
const char *esp_self_reflasher_cargo_setting(const esp_self_reflasher_cargo_t *cargo, const char *name);

/** @} */

#ifdef __cplusplus
}
#endif
