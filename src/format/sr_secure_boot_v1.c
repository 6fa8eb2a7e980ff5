// SPDX-License-Identifier: Apache-2.0
#include "format/sr_secure_boot_v1.h"

#include "format/sr_region.h"
#include "format/sr_sha256.h"

#include <string.h>

#define PIECE 64u

typedef enum comparison { SAME, OTHER, NOT_READ } comparison_t;

uint32_t sr_secure_boot_v1_length(const sr_image_t *image)
{
    const uint32_t hashed = image->length - (image->hash_appended ? SR_SHA256_SIZE : 0);
    return (uint32_t)sr_region_align_up(hashed, SR_SECURE_BOOT_V1_IV_SIZE);
}

static bool read_at(const sr_reader_t *reader, uint32_t offset, void *out, uint32_t length)
{
    return sr_region_fits((sr_region_t){offset, length}, reader->size) &&
           reader->read(reader->context, offset, out, length) == 0;
}

/** @param length A multiple of PIECE. */
static comparison_t compare(const sr_reader_t *before, const sr_reader_t *after, uint32_t offset, uint32_t length)
{
    for (uint32_t done = 0; done < length; done += PIECE) {
        uint8_t old_bytes[PIECE];
        uint8_t new_bytes[PIECE];
        if (!read_at(before, offset + done, old_bytes, PIECE) || !read_at(after, offset + done, new_bytes, PIECE)) {
            return NOT_READ;
        }
        if (memcmp(old_bytes, new_bytes, PIECE) != 0) {
            return OTHER;
        }
    }
    return SAME;
}

/** @return SAME if there is nothing but 0xFF. */
static comparison_t compare_with_blank(const sr_reader_t *flash)
{
    for (uint32_t done = 0; done < SR_SECURE_BOOT_V1_DIGEST_SIZE; done += PIECE) {
        uint8_t bytes[PIECE];
        if (!read_at(flash, done, bytes, PIECE)) {
            return NOT_READ;
        }
        for (uint32_t i = 0; i < PIECE; i++) {
            if (bytes[i] != 0xFF) {
                return OTHER;
            }
        }
    }
    return SAME;
}

/* What cannot be read as an image is not the same as any: the bootloader that runs is one. */
static comparison_t compare_bootloaders(const sr_reader_t *before, const sr_reader_t *after, uint32_t place)
{
    sr_reader_window_t old_window;
    sr_reader_window_t new_window;
    sr_image_t old_image;
    sr_image_t new_image;
    const sr_reader_t old_reader = sr_reader_window(&old_window, before, place, UINT32_MAX);
    const sr_reader_t new_reader = sr_reader_window(&new_window, after, place, UINT32_MAX);
    const sr_image_status_t old_status = sr_image_parse(&old_reader, &old_image);
    const sr_image_status_t new_status = sr_image_parse(&new_reader, &new_image);
    if (old_status == SR_IMAGE_READ_FAILED || new_status == SR_IMAGE_READ_FAILED) {
        return NOT_READ;
    }
    if (old_status != SR_IMAGE_OK || new_status != SR_IMAGE_OK || old_image.length != new_image.length) {
        return OTHER;
    }
    return compare(&old_reader, &new_reader, 0, sr_secure_boot_v1_length(&old_image));
}

sr_secure_boot_v1_status_t sr_secure_boot_v1_check(const sr_reader_t *before, const sr_reader_t *after,
                                                   const sr_chip_t *chip)
{
    const comparison_t digest = compare(before, after, 0, SR_SECURE_BOOT_V1_DIGEST_SIZE);
    const comparison_t blank = compare_with_blank(after);
    const comparison_t bootloader = compare_bootloaders(before, after, chip->bootloader_offset);
    if (digest == NOT_READ || blank == NOT_READ || bootloader == NOT_READ) {
        return SR_SECURE_BOOT_V1_READ_FAILED;
    }
    if (digest == SAME) {
        return bootloader == SAME ? SR_SECURE_BOOT_V1_OK : SR_SECURE_BOOT_V1_NO_DIGEST;
    }
    if (blank == SAME) {
        return SR_SECURE_BOOT_V1_ERASED;
    }
    return bootloader == SAME ? SR_SECURE_BOOT_V1_ALONE : SR_SECURE_BOOT_V1_OK;
}

const char *sr_secure_boot_v1_text(sr_secure_boot_v1_status_t status)
{
    switch (status) {
    case SR_SECURE_BOOT_V1_OK:
        return "bootloader and digest go together";
    case SR_SECURE_BOOT_V1_NO_DIGEST:
        return "the bootloader would change without its digest at 0x0: bring that of this chip's key, or leave both";
    case SR_SECURE_BOOT_V1_ERASED:
        return "the bootloader's digest at 0x0 would be erased: bring that of this chip's key, or leave both";
    case SR_SECURE_BOOT_V1_ALONE:
        return "the digest at 0x0 would change, and the bootloader it is right for would not: leave both";
    case SR_SECURE_BOOT_V1_READ_FAILED:
        return "bootloader or digest cannot be read";
    }
    return "in an unknown state";
}
