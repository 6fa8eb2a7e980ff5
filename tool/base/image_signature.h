// SPDX-License-Identifier: Apache-2.0
/** @file
 * One signature block of Secure Boot V2 after an image.
 */
#pragma once

#include "format/sr_secure_boot.h"

/**
 * Reads a block, and compares it with the image. Whose key it is by does not matter.
 * @param reader Window that starts with the image, which was parsed.
 * @param number From 0.
 * @return SR_SECURE_BOOT_OK, OTHER_IMAGE, TORN_BLOCK, or NO_BLOCK past the last one; or READ_FAILED or CRYPTO_FAILED.
 */
sr_secure_boot_status_t image_signature_read(const sr_reader_t *reader, const sr_image_t *image, uint32_t number,
                                             sr_secure_boot_block_t *block);
