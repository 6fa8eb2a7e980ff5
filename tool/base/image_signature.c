// SPDX-License-Identifier: Apache-2.0
#include "tool/base/image_signature.h"

sr_secure_boot_status_t image_signature_read(const sr_reader_t *reader, const sr_image_t *image, uint32_t number,
                                             sr_secure_boot_block_t *block)
{
    const sr_secure_boot_status_t status = sr_secure_boot_read(reader, image, number, block);
    return status == SR_SECURE_BOOT_OK ? sr_secure_boot_compare(reader, image, block) : status;
}
