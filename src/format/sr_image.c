// SPDX-License-Identifier: Apache-2.0
#include "format/sr_image.h"

#include "format/sr_bytes.h"
#include "format/sr_region.h"

#include <string.h>

#define SEGMENT_HEADER_SIZE 8u
#define CHECKSUM_ALIGNMENT  16u
#define CHECKSUM_SEED       0xEFu
#define READ_CHUNK          256u

#define APP_DESC_SIZE         256u
#define APP_DESC_VERSION      16u
#define APP_DESC_PROJECT_NAME 48u
#define APP_DESC_TIME         80u
#define APP_DESC_DATE         96u
#define APP_DESC_IDF_VER      112u
#define APP_DESC_ELF_SHA256   144u
#define APP_DESC_USED         176u
#define APP_DESC_SECURE       4u
#define APP_DESC_MIN_BLOCK    176u
#define APP_DESC_MAX_BLOCK    178u
#define LOADER_DESC_MAGIC     0x50u /**< esp_bootloader_desc_t, since v5.2. */
#define LOADER_DESC_SECURE    3u    /**< Since v5.5, 0 before. */

#define SIGNATURE_V1_SIZE      68u
#define SIGNATURE_V2_SIZE      1216u
#define SIGNATURE_V2_MAGIC     0xE7u
#define SIGNATURE_V2_RSA       2u
#define SIGNATURE_V2_ECDSA     3u
#define SIGNATURE_V2_ALIGNMENT SR_SECTOR_SIZE

/** Everything that reads goes through here, so that no parser can ask for bytes past the window. */
static sr_image_status_t read_at(const sr_reader_t *reader, uint32_t offset, void *buffer, uint32_t length)
{
    if (!sr_region_fits((sr_region_t){offset, length}, reader->size)) {
        return SR_IMAGE_TRUNCATED;
    }
    return reader->read(reader->context, offset, buffer, length) == 0 ? SR_IMAGE_OK : SR_IMAGE_READ_FAILED;
}

static void decode_header(const uint8_t *header, sr_image_t *image)
{
    image->spi_mode = header[2];
    image->spi_speed = header[3] & 0x0Fu;
    image->spi_size = header[3] >> 4;
    image->entry = sr_bytes_get_le32(header + 4);
    image->chip_id = sr_bytes_get_le16(header + 12);
    image->min_chip_rev = header[14];
    image->min_chip_rev_full = sr_bytes_get_le16(header + 15);
    image->max_chip_rev_full = sr_bytes_get_le16(header + 17);
    image->hash_appended = header[23] != 0;
}

/** Reads the segment header at @p offset and moves @p offset past the segment's data. */
static sr_image_status_t parse_segment(const sr_reader_t *reader, uint32_t *offset, sr_image_segment_t *segment)
{
    uint8_t header[SEGMENT_HEADER_SIZE];
    sr_image_status_t status = read_at(reader, *offset, header, sizeof(header));
    if (status != SR_IMAGE_OK) {
        return status;
    }
    *segment = (sr_image_segment_t){
        .load_address = sr_bytes_get_le32(header),
        .length = sr_bytes_get_le32(header + 4),
        .data_offset = *offset + SEGMENT_HEADER_SIZE,
    };
    if (!sr_region_is_aligned(segment->length, 4)) {
        return SR_IMAGE_BAD_SEGMENTS;
    }
    if (!sr_region_fits((sr_region_t){segment->data_offset, segment->length}, reader->size)) {
        return SR_IMAGE_TRUNCATED;
    }
    *offset = segment->data_offset + segment->length;
    return SR_IMAGE_OK;
}

static sr_image_status_t locate_footer(const sr_reader_t *reader, uint32_t end_of_segments, sr_image_t *image)
{
    // 64 bits: a window of almost 4 GiB may end less than 16 + 32 bytes past the last segment.
    uint64_t end_of_checksum = (end_of_segments & ~(uint64_t)(CHECKSUM_ALIGNMENT - 1u)) + CHECKSUM_ALIGNMENT;
    uint64_t length = end_of_checksum + (image->hash_appended ? SR_SHA256_SIZE : 0u);
    if (length > reader->size) {
        return SR_IMAGE_TRUNCATED;
    }
    image->checksum_offset = (uint32_t)end_of_checksum - 1u;
    image->length = (uint32_t)length;
    return SR_IMAGE_OK;
}

sr_image_status_t sr_image_parse(const sr_reader_t *reader, sr_image_t *image)
{
    memset(image, 0, sizeof(*image));

    uint8_t header[SR_IMAGE_HEADER_SIZE];
    sr_image_status_t status = read_at(reader, 0, header, sizeof(header));
    if (status != SR_IMAGE_OK) {
        return status;
    }
    if (header[0] != SR_IMAGE_MAGIC) {
        return SR_IMAGE_BAD_MAGIC;
    }
    decode_header(header, image);
    uint8_t segment_count = header[1];
    if (segment_count == 0 || segment_count > SR_IMAGE_MAX_SEGMENTS) {
        return SR_IMAGE_BAD_SEGMENTS;
    }

    uint32_t offset = SR_IMAGE_HEADER_SIZE;
    for (uint8_t i = 0; i < segment_count; i++) {
        status = parse_segment(reader, &offset, &image->segments[i]);
        if (status != SR_IMAGE_OK) {
            return status;
        }
        image->segment_count++;
    }
    return locate_footer(reader, offset, image);
}

/** One walk over an image from its first byte on. */
typedef struct image_walk {
    const sr_reader_t *reader;
    uint32_t offset;
    uint8_t checksum;
    sr_sha256_t sha;
} image_walk_t;

/** Digests everything up to @p end, and adds it to the checksum if it is segment data. */
static sr_image_status_t walk_to(image_walk_t *walk, uint32_t end, bool is_data)
{
    uint8_t chunk[READ_CHUNK];
    while (walk->offset < end) {
        uint32_t length = end - walk->offset < READ_CHUNK ? end - walk->offset : READ_CHUNK;
        sr_image_status_t status = read_at(walk->reader, walk->offset, chunk, length);
        if (status != SR_IMAGE_OK) {
            return status;
        }
        sr_sha256_update(&walk->sha, chunk, length);
        for (uint32_t i = 0; is_data && i < length; i++) {
            walk->checksum ^= chunk[i];
        }
        walk->offset += length;
    }
    return SR_IMAGE_OK;
}

static sr_image_status_t walk_image(image_walk_t *walk, const sr_image_t *image)
{
    for (uint8_t i = 0; i < image->segment_count; i++) {
        const sr_image_segment_t *segment = &image->segments[i];
        sr_image_status_t status = walk_to(walk, segment->data_offset, false);
        if (status == SR_IMAGE_OK) {
            status = walk_to(walk, segment->data_offset + segment->length, true);
        }
        if (status != SR_IMAGE_OK) {
            return status;
        }
    }
    return walk_to(walk, image->checksum_offset + 1u, false);
}

sr_image_status_t sr_image_verify(const sr_reader_t *reader, const sr_image_t *image, uint8_t digest[SR_SHA256_SIZE])
{
    image_walk_t walk = {.reader = reader, .checksum = CHECKSUM_SEED};
    uint8_t computed[SR_SHA256_SIZE];
    sr_sha256_start(&walk.sha);
    sr_image_status_t status = walk_image(&walk, image);
    int crypto_error = sr_sha256_finish(&walk.sha, computed);
    if (digest != NULL) {
        memcpy(digest, computed, SR_SHA256_SIZE);
    }
    if (status != SR_IMAGE_OK) {
        return status;
    }

    uint8_t stored[1u + SR_SHA256_SIZE] = {0};
    status = read_at(reader, image->checksum_offset, stored, image->hash_appended ? sizeof(stored) : 1u);
    if (status != SR_IMAGE_OK) {
        return status;
    }
    if (stored[0] != walk.checksum) {
        return SR_IMAGE_BAD_CHECKSUM;
    }
    if (crypto_error != 0) {
        return SR_IMAGE_CRYPTO_FAILED;
    }
    bool digest_matches = !image->hash_appended || memcmp(stored + 1, computed, SR_SHA256_SIZE) == 0;
    return digest_matches ? SR_IMAGE_OK : SR_IMAGE_BAD_DIGEST;
}

/** Copies a field that need not be terminated; @p text has one byte more than the field. */
static void copy_text(char *text, const uint8_t *field, size_t length)
{
    memcpy(text, field, length);
    text[length] = '\0';
}

bool sr_image_app_desc(const sr_reader_t *reader, const sr_image_t *image, sr_image_app_desc_t *desc)
{
    uint8_t raw[APP_DESC_USED];
    if (image->segment_count == 0 || image->segments[0].length < APP_DESC_SIZE ||
        read_at(reader, image->segments[0].data_offset, raw, sizeof(raw)) != SR_IMAGE_OK ||
        sr_bytes_get_le32(raw) != SR_APP_DESC_MAGIC) {
        return false;
    }
    copy_text(desc->version, raw + APP_DESC_VERSION, sizeof(desc->version) - 1);
    copy_text(desc->project_name, raw + APP_DESC_PROJECT_NAME, sizeof(desc->project_name) - 1);
    copy_text(desc->time, raw + APP_DESC_TIME, sizeof(desc->time) - 1);
    copy_text(desc->date, raw + APP_DESC_DATE, sizeof(desc->date) - 1);
    copy_text(desc->idf_ver, raw + APP_DESC_IDF_VER, sizeof(desc->idf_ver) - 1);
    memcpy(desc->elf_sha256, raw + APP_DESC_ELF_SHA256, sizeof(desc->elf_sha256));
    return true;
}

bool sr_image_read_demands(const sr_reader_t *reader, sr_image_demands_t *demands)
{
    uint8_t raw[SR_IMAGE_DEMANDS_END - SR_IMAGE_HEADER_SIZE - SEGMENT_HEADER_SIZE];
    *demands = (sr_image_demands_t){0};
    if (read_at(reader, SR_IMAGE_HEADER_SIZE + SEGMENT_HEADER_SIZE, raw, sizeof(raw)) != SR_IMAGE_OK) {
        return false;
    }
    demands->has_descriptor = sr_bytes_get_le32(raw) == SR_APP_DESC_MAGIC;
    demands->secure_version = demands->has_descriptor ? sr_bytes_get_le32(raw + APP_DESC_SECURE) : 0;
    demands->min_block = sr_bytes_get_le16(raw + APP_DESC_MIN_BLOCK);
    demands->max_block = sr_bytes_get_le16(raw + APP_DESC_MAX_BLOCK);
    demands->bootloader_version = raw[0] == LOADER_DESC_MAGIC ? raw[LOADER_DESC_SECURE] : 0;
    return true;
}

static bool has_signature_v1(const sr_reader_t *reader, uint32_t offset)
{
    uint8_t block[SIGNATURE_V1_SIZE];
    if (read_at(reader, offset, block, sizeof(block)) != SR_IMAGE_OK || sr_bytes_get_le32(block) != 0) {
        return false;
    }
    // The version of such a block is 0, so zero padding would pass for one; a signature is never zero.
    for (size_t i = 4; i < sizeof(block); i++) {
        if (block[i] != 0) {
            return true;
        }
    }
    return false;
}

static bool has_signature_v2(const sr_reader_t *reader, uint64_t offset)
{
    uint8_t start[2];
    if (offset + SIGNATURE_V2_SIZE > reader->size ||
        read_at(reader, (uint32_t)offset, start, sizeof(start)) != SR_IMAGE_OK) {
        return false;
    }
    return start[0] == SIGNATURE_V2_MAGIC && (start[1] == SIGNATURE_V2_RSA || start[1] == SIGNATURE_V2_ECDSA);
}

bool sr_image_has_signature_block(const sr_reader_t *reader, const sr_image_t *image,
                                  sr_image_secure_boot_t secure_boot)
{
    return (secure_boot != SR_IMAGE_SECURE_BOOT_V2 && has_signature_v1(reader, image->length)) ||
           (secure_boot != SR_IMAGE_SECURE_BOOT_V1 &&
            has_signature_v2(reader, sr_region_align_up(image->length, SIGNATURE_V2_ALIGNMENT)));
}

const char *sr_image_status_text(sr_image_status_t status)
{
    switch (status) {
    case SR_IMAGE_OK:
        return "image is intact";
    case SR_IMAGE_READ_FAILED:
        return "image cannot be read";
    case SR_IMAGE_BAD_MAGIC:
        return "not an image: first byte is not 0xE9";
    case SR_IMAGE_BAD_SEGMENTS:
        return "bad segment count or length";
    case SR_IMAGE_TRUNCATED:
        return "image is longer than its room";
    case SR_IMAGE_BAD_CHECKSUM:
        return "image checksum differs";
    case SR_IMAGE_BAD_DIGEST:
        return "image SHA-256 differs";
    case SR_IMAGE_CRYPTO_FAILED:
        return "crypto library failed";
    }
    return "unknown image status";
}
