// SPDX-License-Identifier: Apache-2.0
/** @file
 * The error codes of esp-self-reflasher, beside those of ESP-IDF that it hands up unchanged.
 */
#pragma once

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @defgroup self_reflasher_errors Error codes
 * @brief Each refusal has a code of its own, and a line in the log with the numbers that it is about.
 * @{
 */

/** The codes of this component start here. */
#define ESP_ERR_SELF_REFLASHER_BASE 0x5F00

/** @name Regions, partitions and the running app
 * @{ */

/** A region or partition extends past the end of the flash. */
#define ESP_ERR_SELF_REFLASHER_PAST_END (ESP_ERR_SELF_REFLASHER_BASE + 0x01)
/** A region does not start and end on a sector boundary (4 KiB), or a partition does not start on one. */
#define ESP_ERR_SELF_REFLASHER_UNALIGNED (ESP_ERR_SELF_REFLASHER_BASE + 0x02)
/** The staging partition overlaps the destination region, or what the running system boots by. */
#define ESP_ERR_SELF_REFLASHER_OVERLAP (ESP_ERR_SELF_REFLASHER_BASE + 0x05)
/** The running app lies in the destination or in the staging partition, and cannot get out of the way. */
#define ESP_ERR_SELF_REFLASHER_RUNNING_APP (ESP_ERR_SELF_REFLASHER_BASE + 0x06)
/** No OTA app partition is free to stage the image in. */
#define ESP_ERR_SELF_REFLASHER_NO_STAGING (ESP_ERR_SELF_REFLASHER_BASE + 0x07)
/** A partition of the running system that is flagged `readonly` lies where something must be written. From ESP-IDF 5.2
 *  on the flash driver refuses that; with earlier versions this code is not used. */
#define ESP_ERR_SELF_REFLASHER_READ_ONLY (ESP_ERR_SELF_REFLASHER_BASE + 0x21)

/** @}
 *
 * @name The server
 * @{ */

/** The server answered with a status that is no success, or, for a single image, with another one than 200. */
#define ESP_ERR_SELF_REFLASHER_HTTP_STATUS (ESP_ERR_SELF_REFLASHER_BASE + 0x08)
/** The body ended before the announced length, or the connection broke. */
#define ESP_ERR_SELF_REFLASHER_SHORT_BODY (ESP_ERR_SELF_REFLASHER_BASE + 0x09)
/** The body is empty. */
#define ESP_ERR_SELF_REFLASHER_EMPTY_BODY (ESP_ERR_SELF_REFLASHER_BASE + 0x0A)
/** A redirect leads from https to something else. Where that is meant, a flag of the configuration allows http. */
#define ESP_ERR_SELF_REFLASHER_DOWNGRADE (ESP_ERR_SELF_REFLASHER_BASE + 0x1A)
/** The server is too slow: within `stall_timeout_ms` it sent neither the whole headers of an answer nor, of a body, the
 *  next 4 KiB or the rest. */
#define ESP_ERR_SELF_REFLASHER_TOO_SLOW (ESP_ERR_SELF_REFLASHER_BASE + 0x1B)

/** @}
 *
 * @name The image, and the bootloader that the flash would hold with it
 * @{ */

/** The image is larger than the destination region. */
#define ESP_ERR_SELF_REFLASHER_TOO_LARGE (ESP_ERR_SELF_REFLASHER_BASE + 0x03)
/** The image is larger than the room for it in the staging partition. */
#define ESP_ERR_SELF_REFLASHER_STAGING_SMALL (ESP_ERR_SELF_REFLASHER_BASE + 0x04)
/** The SHA-256 over the image is not the one in the configuration. */
#define ESP_ERR_SELF_REFLASHER_SHA256 (ESP_ERR_SELF_REFLASHER_BASE + 0x0B)
/** The bootloader's place would hold no ESP image: wrong magic byte, or segments that make no sense. Or the image would
 *  overwrite the recovery bootloader that started the chip. */
#define ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER (ESP_ERR_SELF_REFLASHER_BASE + 0x0C)
/** The bootloader is built for another chip. */
#define ESP_ERR_SELF_REFLASHER_WRONG_CHIP (ESP_ERR_SELF_REFLASHER_BASE + 0x0D)
/** The checksum of the bootloader is wrong. */
#define ESP_ERR_SELF_REFLASHER_CHECKSUM (ESP_ERR_SELF_REFLASHER_BASE + 0x0E)
/** The SHA-256 that is appended to the bootloader is wrong. */
#define ESP_ERR_SELF_REFLASHER_DIGEST (ESP_ERR_SELF_REFLASHER_BASE + 0x0F)
/** Secure Boot is on, and the image carries no signature block, or with version 2 none for this image by a key of this
 *  chip. Or version 1 is on, and the image brings a bootloader without its digest for 0x0, or the other way round. */
#define ESP_ERR_SELF_REFLASHER_NOT_SIGNED (ESP_ERR_SELF_REFLASHER_BASE + 0x10)
/** The header of the bootloader says a smaller flash than the partition table needs: the chip would not boot. */
#define ESP_ERR_SELF_REFLASHER_FLASH_SIZE (ESP_ERR_SELF_REFLASHER_BASE + 0x15)
/** The bootloader does not run on this chip: its header asks for another revision, or its secure version is below the
 *  one that an eFuse demands (anti-rollback). */
#define ESP_ERR_SELF_REFLASHER_REVISION (ESP_ERR_SELF_REFLASHER_BASE + 0x20)

/** @}
 *
 * @name The bundle, and the cargo that has one
 * @{ */

/** The bundle cannot be applied; `refusal` and `refusal_text` of the plan say why. */
#define ESP_ERR_SELF_REFLASHER_REFUSED (ESP_ERR_SELF_REFLASHER_BASE + 0x12)
/** A chunk of the bundle does not decode to the sectors that the manifest describes. */
#define ESP_ERR_SELF_REFLASHER_CHUNK (ESP_ERR_SELF_REFLASHER_BASE + 0x13)

/** The running app has a cargo that cannot be used, or its image, which vouches for the cargo, is not intact or has no
 *  SHA-256. */
#define ESP_ERR_SELF_REFLASHER_CARGO (ESP_ERR_SELF_REFLASHER_BASE + 0x22)

/** @}
 *
 * @name Writing
 * @{ */

/** A sector does not hold what was written, after all retries; the log names its address. */
#define ESP_ERR_SELF_REFLASHER_VERIFY (ESP_ERR_SELF_REFLASHER_BASE + 0x11)
/** A write during which a power loss leaves a chip that does not boot was put off: may_commit() returned false, or the
 *  last reset was a brownout. Call again later. */
#define ESP_ERR_SELF_REFLASHER_NOT_NOW (ESP_ERR_SELF_REFLASHER_BASE + 0x14)

/** @} */

/**
 * @brief Name of an error code: of this component, or of ESP-IDF as esp_err_to_name() tells it.
 *
 * @param[in] code Any error code.
 * @return A string in flash that is never freed; never NULL.
 */
const char *esp_self_reflasher_err_to_name(esp_err_t code);

/** @} */

#ifdef __cplusplus
}
#endif
