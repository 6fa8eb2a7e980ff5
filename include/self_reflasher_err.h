// SPDX-License-Identifier: Apache-2.0
/** @file
 * The error codes of esp-self-reflasher, beside those of ESP-IDF that it hands up unchanged.
 */
#pragma once

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_SELF_REFLASHER_BASE 0x5F00

/** Region ends past the end of the flash. */
#define ESP_ERR_SELF_REFLASHER_PAST_END (ESP_ERR_SELF_REFLASHER_BASE + 0x01)
/** Region does not start and end on a sector boundary (4 KiB). */
#define ESP_ERR_SELF_REFLASHER_UNALIGNED (ESP_ERR_SELF_REFLASHER_BASE + 0x02)
/** Image is larger than the destination region. */
#define ESP_ERR_SELF_REFLASHER_TOO_LARGE (ESP_ERR_SELF_REFLASHER_BASE + 0x03)
/** Image is larger than the staging partition. */
#define ESP_ERR_SELF_REFLASHER_STAGING_SMALL (ESP_ERR_SELF_REFLASHER_BASE + 0x04)
/** Staging partition and destination region overlap. */
#define ESP_ERR_SELF_REFLASHER_OVERLAP (ESP_ERR_SELF_REFLASHER_BASE + 0x05)
/** The running app lies in the destination or in the staging partition. */
#define ESP_ERR_SELF_REFLASHER_RUNNING_APP (ESP_ERR_SELF_REFLASHER_BASE + 0x06)
/** No OTA partition is free to stage the image in. */
#define ESP_ERR_SELF_REFLASHER_NO_STAGING (ESP_ERR_SELF_REFLASHER_BASE + 0x07)
/** The server answered with a status other than 200. */
#define ESP_ERR_SELF_REFLASHER_HTTP_STATUS (ESP_ERR_SELF_REFLASHER_BASE + 0x08)
/** The body ended before the announced length, or the connection broke. */
#define ESP_ERR_SELF_REFLASHER_SHORT_BODY (ESP_ERR_SELF_REFLASHER_BASE + 0x09)
/** The body is empty. */
#define ESP_ERR_SELF_REFLASHER_EMPTY_BODY (ESP_ERR_SELF_REFLASHER_BASE + 0x0A)
/** The SHA-256 over the image is not the one in the config. */
#define ESP_ERR_SELF_REFLASHER_SHA256 (ESP_ERR_SELF_REFLASHER_BASE + 0x0B)
/** Image for the bootloader's place: no ESP image (magic byte, segments). Or one that would overwrite the recovery
 *  bootloader that started the chip. */
#define ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER (ESP_ERR_SELF_REFLASHER_BASE + 0x0C)
/** Image for the bootloader's place: built for another chip. */
#define ESP_ERR_SELF_REFLASHER_WRONG_CHIP (ESP_ERR_SELF_REFLASHER_BASE + 0x0D)
/** Image for the bootloader's place: checksum wrong. */
#define ESP_ERR_SELF_REFLASHER_CHECKSUM (ESP_ERR_SELF_REFLASHER_BASE + 0x0E)
/** Image for the bootloader's place: appended SHA-256 wrong. */
#define ESP_ERR_SELF_REFLASHER_DIGEST (ESP_ERR_SELF_REFLASHER_BASE + 0x0F)
/** Secure Boot is on, and the image carries no signature block. Or version 1 of it is, and the image is for the place
 * of the bootloader or of its digest: whether the ROM would take that cannot be checked. */
#define ESP_ERR_SELF_REFLASHER_NOT_SIGNED (ESP_ERR_SELF_REFLASHER_BASE + 0x10)
/** A sector does not hold what was written, after all retries; the log names the address. */
#define ESP_ERR_SELF_REFLASHER_VERIFY (ESP_ERR_SELF_REFLASHER_BASE + 0x11)

/** A bundle cannot be applied; the plan says why. */
#define ESP_ERR_SELF_REFLASHER_REFUSED (ESP_ERR_SELF_REFLASHER_BASE + 0x12)
/** A chunk of a bundle does not decode to the sectors that the manifest names. */
#define ESP_ERR_SELF_REFLASHER_CHUNK (ESP_ERR_SELF_REFLASHER_BASE + 0x13)

/** The commit must wait: may_commit() said so, or the last reset was a brownout. Call again later. */
#define ESP_ERR_SELF_REFLASHER_NOT_NOW (ESP_ERR_SELF_REFLASHER_BASE + 0x14)

/** The header of the bootloader says a smaller flash than the partition table needs: it would not boot. */
#define ESP_ERR_SELF_REFLASHER_FLASH_SIZE (ESP_ERR_SELF_REFLASHER_BASE + 0x15)

/** A redirect leads from https to something else. Where that is meant, a flag of the configuration allows http. */
#define ESP_ERR_SELF_REFLASHER_DOWNGRADE (ESP_ERR_SELF_REFLASHER_BASE + 0x1A)
/** The server lets the device wait: it sent neither 4 KiB nor the rest, or no whole headers, within stall_timeout_ms.
 */
#define ESP_ERR_SELF_REFLASHER_TOO_SLOW (ESP_ERR_SELF_REFLASHER_BASE + 0x1B)
/** The bootloader that would be there does not run on this chip: its header asks for another revision, or its secure
 *  version is below the one that an eFuse demands (anti-rollback). */
#define ESP_ERR_SELF_REFLASHER_REVISION (ESP_ERR_SELF_REFLASHER_BASE + 0x20)

/** A partition of the running system that is flagged `readonly` lies where must be written: from ESP-IDF 5.2 on the
 * flash driver refuses that. */
#define ESP_ERR_SELF_REFLASHER_READ_ONLY (ESP_ERR_SELF_REFLASHER_BASE + 0x21)

/**
 * @brief Name of an error code, this component's own ones included.
 * @return A string in flash; never NULL. Codes of others are named as esp_err_to_name() does.
 */
const char *esp_self_reflasher_err_to_name(esp_err_t code);

#ifdef __cplusplus
}
#endif
