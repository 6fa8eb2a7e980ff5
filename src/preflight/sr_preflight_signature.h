// SPDX-License-Identifier: Apache-2.0
/** @file
 * With Secure Boot on: does an image carry a signature that this chip may take?
 */
#pragma once

#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "format/sr_secure_boot.h"

#include <stdbool.h>
#include <stddef.h>

#define SR_PREFLIGHT_SIGNATURE_TEXT_SIZE 192u

/**
 * Version 2: one of its blocks is intact, of this image, and by a key that is burnt and not revoked. Where no key could
 * be read, and with version 1, it is enough that there is a block. The signature itself is for the ROM and the
 * bootloader to verify.
 * @param whole The image can be read as a whole; if not, it is not compared with the block.
 * @return true if it does, or if Secure Boot is off.
 */
bool sr_preflight_signature_check(const sr_reader_t *reader, const sr_image_t *image,
                                  sr_image_secure_boot_t secure_boot, const sr_secure_boot_keys_t *keys, bool whole,
                                  sr_secure_boot_result_t *result);

/** An image in the flash as it will be. */
typedef struct sr_preflight_signature_part {
    const char *what; /**< For the text: "bootloader". */
    sr_region_t place;
    bool whole; /**< As above. */
} sr_preflight_signature_part_t;

/**
 * Makes that check of a part of the flash.
 * @param flash The whole flash as it will be, as plaintext.
 * @param[out] text If the chip would not take it: which part, why, and the digests.
 * @return true if the chip may take it, or if Secure Boot is off.
 */
bool sr_preflight_signature_check_part(const sr_reader_t *flash, const sr_preflight_signature_part_t *part,
                                       sr_image_secure_boot_t secure_boot, const sr_secure_boot_keys_t *keys,
                                       char *text, size_t text_size);

/** What is wrong, to go on after "the image ", with the first digits of the digests. @return @p out */
const char *sr_preflight_signature_text(const sr_secure_boot_keys_t *keys, const sr_secure_boot_result_t *result,
                                        char out[SR_PREFLIGHT_SIGNATURE_TEXT_SIZE]);
