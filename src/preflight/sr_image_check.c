// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_image_check.h"

#include "format/sr_digest.h"
#include "format/sr_mcuboot.h"
#include "format/sr_reader.h"
#include "preflight/sr_preflight_signature.h"

#include <string.h>

sr_image_check_status_t sr_image_check_sha256(const sr_reader_t *image, const uint8_t expected[SR_SHA256_SIZE])
{
    uint8_t digest[SR_SHA256_SIZE];
    switch (sr_digest_range(image, 0, image->size, digest)) {
    case SR_DIGEST_READ_FAILED:
        return SR_IMAGE_CHECK_READ_FAILED;
    case SR_DIGEST_CRYPTO_FAILED:
        return SR_IMAGE_CHECK_CRYPTO_FAILED;
    case SR_DIGEST_OK:
        break;
    }
    return memcmp(digest, expected, SR_SHA256_SIZE) == 0 ? SR_IMAGE_CHECK_OK : SR_IMAGE_CHECK_SHA256;
}

static sr_image_check_status_t from_image_status(sr_image_status_t status)
{
    switch (status) {
    case SR_IMAGE_OK:
        return SR_IMAGE_CHECK_OK;
    case SR_IMAGE_READ_FAILED:
        return SR_IMAGE_CHECK_READ_FAILED;
    case SR_IMAGE_CRYPTO_FAILED:
        return SR_IMAGE_CHECK_CRYPTO_FAILED;
    case SR_IMAGE_BAD_CHECKSUM:
        return SR_IMAGE_CHECK_CHECKSUM;
    case SR_IMAGE_BAD_DIGEST:
        return SR_IMAGE_CHECK_DIGEST;
    case SR_IMAGE_BAD_MAGIC:
    case SR_IMAGE_BAD_SEGMENTS:
    case SR_IMAGE_TRUNCATED:
        break;
    }
    return SR_IMAGE_CHECK_NOT_BOOTLOADER;
}

static bool touches_bootloader(const sr_image_check_t *check)
{
    const sr_region_t place = {check->chip->bootloader_offset, SR_SECTOR_SIZE};
    const sr_region_t digest = {0, check->secure_boot == SR_IMAGE_SECURE_BOOT_V1 ? SR_SECTOR_SIZE : 0};
    return sr_region_overlaps(check->destination, check->bootloader) || sr_region_overlaps(check->destination, place) ||
           sr_region_overlaps(check->destination, digest);
}

/* A block past the end of the image does not count: it signs the bootloader that runs today. Only where the image
 * brings no more than the start of the bootloader does the rest of it stay, with its block. */
static bool is_signed(const sr_image_check_t *check, const sr_reader_t *result, const sr_image_t *image,
                      sr_secure_boot_result_t *signature)
{
    const uint32_t offset = check->chip->bootloader_offset;
    const uint64_t image_end = (uint64_t)check->destination.address + check->image->size;
    const bool whole = image_end >= (uint64_t)offset + image->length;
    sr_reader_window_t window;
    const sr_reader_t reader =
        sr_reader_window(&window, result, offset, whole ? (uint32_t)(image_end - offset) : UINT32_MAX);
    return sr_preflight_signature_check(&reader, image, check->secure_boot, check->keys, true, signature);
}

/* What cannot be read or hashed says nothing about the image. */
static sr_image_check_status_t not_signed(const sr_image_check_detail_t *detail)
{
    switch (detail->signature.status) {
    case SR_SECURE_BOOT_READ_FAILED:
        return SR_IMAGE_CHECK_READ_FAILED;
    case SR_SECURE_BOOT_CRYPTO_FAILED:
        return SR_IMAGE_CHECK_CRYPTO_FAILED;
    default:
        return SR_IMAGE_CHECK_NOT_SIGNED;
    }
}

/* The flash as it will be is what counts: an image may bring the bootloader in its middle, or only a part of it. */
static sr_image_check_status_t check_bootloader(const sr_image_check_t *check, sr_image_check_detail_t *detail)
{
    sr_reader_overlay_t overlay = {.flash = check->flash, .image = check->image, .destination = check->destination};
    const sr_reader_t result = sr_reader_overlay(&overlay);
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, &result, check->chip->bootloader_offset, UINT32_MAX);
    sr_image_t image;

    detail->image_status = sr_image_parse(&reader, &image);
    if (detail->image_status != SR_IMAGE_BAD_MAGIC && detail->image_status != SR_IMAGE_READ_FAILED &&
        image.chip_id != check->chip->image_chip_id) {
        detail->chip_id = image.chip_id;
        return SR_IMAGE_CHECK_WRONG_CHIP;
    }
    if (detail->image_status == SR_IMAGE_OK) {
        detail->image_status = sr_image_verify(&reader, &image, NULL);
    }
    if (detail->image_status == SR_IMAGE_OK && check->secure_boot == SR_IMAGE_SECURE_BOOT_V1) {
        detail->v1 = sr_secure_boot_v1_check(check->flash, &result, check->chip);
        return detail->v1 == SR_SECURE_BOOT_V1_OK            ? SR_IMAGE_CHECK_OK
               : detail->v1 == SR_SECURE_BOOT_V1_READ_FAILED ? SR_IMAGE_CHECK_READ_FAILED
                                                             : SR_IMAGE_CHECK_KEYED;
    }
    if (detail->image_status == SR_IMAGE_OK && !is_signed(check, &result, &image, &detail->signature)) {
        return not_signed(detail);
    }
    return from_image_status(detail->image_status);
}

/* With Secure Boot on, an image that is not a bootloader must at least be a signed app of one of the two formats. */
static sr_image_check_status_t check_signed(const sr_image_check_t *check, sr_image_check_detail_t *detail)
{
    sr_image_t image;
    detail->signature = (sr_secure_boot_result_t){.status = SR_SECURE_BOOT_NO_BLOCK};
    if (sr_image_parse(check->image, &image) == SR_IMAGE_OK &&
        sr_preflight_signature_check(check->image, &image, check->secure_boot, check->keys, true, &detail->signature)) {
        return SR_IMAGE_CHECK_OK;
    }
    sr_mcuboot_image_t mcuboot;
    if (sr_mcuboot_parse(check->image, &mcuboot) == SR_MCUBOOT_OK && mcuboot.has_signature) {
        return SR_IMAGE_CHECK_OK;
    }
    return not_signed(detail);
}

sr_image_check_status_t sr_image_check_image(const sr_image_check_t *check, sr_image_check_detail_t *detail)
{
    *detail = (sr_image_check_detail_t){0};
    if (touches_bootloader(check)) {
        return check_bootloader(check, detail);
    }
    return check->secure_boot ? check_signed(check, detail) : SR_IMAGE_CHECK_OK;
}

sr_image_check_status_t sr_image_check_start(const uint8_t *start, uint32_t length, sr_region_t destination,
                                             const sr_chip_t *chip, sr_image_check_detail_t *detail)
{
    *detail = (sr_image_check_detail_t){0};
    const sr_region_t place = {chip->bootloader_offset, SR_IMAGE_HEADER_SIZE};
    const sr_region_t known = {destination.address, length};
    if (!sr_region_contains(known, place)) {
        return SR_IMAGE_CHECK_OK;
    }
    const sr_reader_t memory = sr_reader_memory(start, length);
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, &memory, place.address - destination.address, UINT32_MAX);
    sr_image_t image;

    detail->image_status = sr_image_parse(&reader, &image);
    if (detail->image_status == SR_IMAGE_BAD_MAGIC) {
        return SR_IMAGE_CHECK_NOT_BOOTLOADER;
    }
    detail->chip_id = image.chip_id;
    return image.chip_id == chip->image_chip_id ? SR_IMAGE_CHECK_OK : SR_IMAGE_CHECK_WRONG_CHIP;
}
