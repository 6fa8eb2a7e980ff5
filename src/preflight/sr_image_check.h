// SPDX-License-Identifier: Apache-2.0
/** @file
 * Checks of an image before it is copied to its destination: whether it is refused, and the numbers for the message.
 */
#pragma once

#include "format/sr_boot_path.h"
#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "format/sr_secure_boot.h"
#include "format/sr_secure_boot_v1.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum sr_image_check_status {
    SR_IMAGE_CHECK_OK = 0,
    SR_IMAGE_CHECK_READ_FAILED,
    SR_IMAGE_CHECK_CRYPTO_FAILED,
    SR_IMAGE_CHECK_SHA256,         /**< The image's SHA-256 is not the one that the caller gave. */
    SR_IMAGE_CHECK_NOT_BOOTLOADER, /**< The bootloader's place would hold no bootloader, see `image_status`. */
    SR_IMAGE_CHECK_WRONG_CHIP,     /**< It would hold one for another chip, see `chip_id`. */
    SR_IMAGE_CHECK_CHECKSUM,
    SR_IMAGE_CHECK_DIGEST,
    SR_IMAGE_CHECK_NOT_SIGNED, /**< Secure Boot is on and the image is not signed for it, see `signature`. */
    SR_IMAGE_CHECK_KEYED,      /**< Secure Boot V1 is on and the bootloader would not go with its digest, see `v1`. */
} sr_image_check_status_t;

/** What is to be copied where. */
typedef struct sr_image_check {
    const sr_reader_t *flash; /**< The flash as it is, as plaintext. */
    const sr_reader_t *image; /**< The image. */
    sr_region_t destination;
    const sr_chip_t *chip;
    sr_region_t bootloader; /**< Sectors of the bootloader that runs today, from sr_boot_path_find(). */
    sr_image_secure_boot_t secure_boot;
    const sr_secure_boot_keys_t *keys; /**< Of the chip; with version 2 only. */
} sr_image_check_t;

/** The numbers of a refusal. */
typedef struct sr_image_check_detail {
    sr_image_status_t image_status;    /**< For NOT_BOOTLOADER. */
    uint16_t chip_id;                  /**< For WRONG_CHIP: the one in the image. */
    sr_secure_boot_result_t signature; /**< For NOT_SIGNED. */
    sr_secure_boot_v1_status_t v1;     /**< For KEYED. */
} sr_image_check_detail_t;

/**
 * Compares the SHA-256 over the whole image.
 * @return SR_IMAGE_CHECK_OK, SHA256, READ_FAILED or CRYPTO_FAILED.
 */
sr_image_check_status_t sr_image_check_sha256(const sr_reader_t *image, const uint8_t expected[SR_SHA256_SIZE]);

/**
 * Checks what the boot path will be once the image is in place.
 *
 * If the destination touches the bootloader that runs today or the place where the chip looks for one, the flash as it
 * will be must hold an intact bootloader for this chip there. With Secure Boot on, that bootloader or else the image
 * itself must carry a signature, see sr_preflight_signature_check(). With version 1, a bootloader must come with its
 * digest instead, see sr_secure_boot_v1_check().
 *
 * @param[out] detail Filled for a refusal.
 * @return one of sr_image_check_status_t, SHA256 excepted.
 */
sr_image_check_status_t sr_image_check_image(const sr_image_check_t *check, sr_image_check_detail_t *detail);

/**
 * Checks the first bytes of an image, so that a wrong one is refused before it is staged.
 *
 * @param start First bytes of the image; as many as there are.
 * @return SR_IMAGE_CHECK_OK, also if the bytes do not reach the bootloader's place; NOT_BOOTLOADER or WRONG_CHIP.
 */
sr_image_check_status_t sr_image_check_start(const uint8_t *start, uint32_t length, sr_region_t destination,
                                             const sr_chip_t *chip, sr_image_check_detail_t *detail);
