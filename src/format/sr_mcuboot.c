// SPDX-License-Identifier: Apache-2.0
#include "format/sr_mcuboot.h"

#include "format/sr_bytes.h"
#include "format/sr_region.h"

#include <string.h>

#define HEADER_SIZE      32u
#define TLV_HEADER_SIZE  4u
#define TLV_MAGIC        0x6907u
#define TLV_MAGIC_PROT   0x6908u
#define TLV_SHA256       0x10u
#define TLV_SIGNATURE    0x20u /**< First of the signature types: RSA-2048. */
#define TLV_SIGNATURE_ED 0x24u /**< Last of them: Ed25519. */
#define READ_CHUNK       256u

const uint8_t sr_mcuboot_trailer_magic[SR_MCUBOOT_TRAILER_MAGIC_SIZE] = {
    0x77, 0xc2, 0x95, 0xf3, 0x60, 0xd2, 0xef, 0x7f, 0x35, 0x52, 0x50, 0x0f, 0x2c, 0xb6, 0x79, 0x80,
};

/** What a walk over the TLVs looks for. */
typedef struct tlv_search {
    const uint8_t *expected_digest; /**< Compared with each SHA-256 TLV if not NULL. */
    bool has_digest;
    bool has_signature;
    bool digest_differs;
} tlv_search_t;

/** Everything that reads goes through here; 64 bits, so that sums of header fields cannot wrap. */
static sr_mcuboot_status_t read_at(const sr_reader_t *reader, uint64_t offset, void *buffer, uint32_t length)
{
    if (offset > reader->size || length > reader->size - offset) {
        return SR_MCUBOOT_TRUNCATED;
    }
    int error = reader->read(reader->context, (uint32_t)offset, buffer, length);
    return error == 0 ? SR_MCUBOOT_OK : SR_MCUBOOT_READ_FAILED;
}

static sr_mcuboot_status_t visit_tlv(const sr_reader_t *reader, uint64_t value, uint16_t type, uint16_t length,
                                     tlv_search_t *search)
{
    if (type >= TLV_SIGNATURE && type <= TLV_SIGNATURE_ED) {
        search->has_signature = true;
    }
    if (type != TLV_SHA256) {
        return SR_MCUBOOT_OK;
    }
    uint8_t digest[SR_SHA256_SIZE];
    if (length != sizeof(digest)) {
        return SR_MCUBOOT_BAD_TLV;
    }
    sr_mcuboot_status_t status = read_at(reader, value, digest, sizeof(digest));
    if (status != SR_MCUBOOT_OK) {
        return status;
    }
    search->has_digest = true;
    if (search->expected_digest != NULL && memcmp(digest, search->expected_digest, sizeof(digest)) != 0) {
        search->digest_differs = true;
    }
    return SR_MCUBOOT_OK;
}

/** Walks the TLVs between @p offset and @p end, which lies inside the window. */
static sr_mcuboot_status_t walk_tlvs(const sr_reader_t *reader, uint64_t offset, uint64_t end, tlv_search_t *search)
{
    while (offset < end) {
        uint8_t header[TLV_HEADER_SIZE];
        if (end - offset < sizeof(header)) {
            return SR_MCUBOOT_BAD_TLV;
        }
        sr_mcuboot_status_t status = read_at(reader, offset, header, sizeof(header));
        if (status != SR_MCUBOOT_OK) {
            return status;
        }
        uint16_t length = sr_bytes_get_le16(header + 2);
        offset += sizeof(header);
        if (length > end - offset) {
            return SR_MCUBOOT_BAD_TLV;
        }
        status = visit_tlv(reader, offset, sr_bytes_get_le16(header), length, search);
        if (status != SR_MCUBOOT_OK) {
            return status;
        }
        offset += length;
    }
    return SR_MCUBOOT_OK;
}

/** Walks one TLV area at @p start, and tells its size, info header included. */
static sr_mcuboot_status_t walk_area(const sr_reader_t *reader, uint64_t start, uint16_t magic, uint16_t *size,
                                     tlv_search_t *search)
{
    uint8_t info[TLV_HEADER_SIZE];
    sr_mcuboot_status_t status = read_at(reader, start, info, sizeof(info));
    if (status != SR_MCUBOOT_OK) {
        return status;
    }
    *size = sr_bytes_get_le16(info + 2);
    if (sr_bytes_get_le16(info) != magic || *size < sizeof(info)) {
        return SR_MCUBOOT_BAD_TLV;
    }
    if (start + *size > reader->size) {
        return SR_MCUBOOT_TRUNCATED;
    }
    return walk_tlvs(reader, start + sizeof(info), start + *size, search);
}

/** Walks both TLV areas; @p length becomes that of the whole image. */
static sr_mcuboot_status_t walk_areas(const sr_reader_t *reader, const sr_mcuboot_image_t *image, tlv_search_t *search,
                                      uint32_t *length)
{
    uint64_t offset = (uint64_t)image->header_size + image->payload_size;
    uint16_t size;
    if (image->protected_tlv_size != 0) {
        sr_mcuboot_status_t status = walk_area(reader, offset, TLV_MAGIC_PROT, &size, search);
        if (status != SR_MCUBOOT_OK) {
            return status;
        }
        if (size != image->protected_tlv_size) {
            return SR_MCUBOOT_BAD_TLV;
        }
        offset += size;
    }
    sr_mcuboot_status_t status = walk_area(reader, offset, TLV_MAGIC, &size, search);
    if (status != SR_MCUBOOT_OK) {
        return status;
    }
    *length = (uint32_t)(offset + size);
    return search->has_digest ? SR_MCUBOOT_OK : SR_MCUBOOT_BAD_TLV;
}

sr_mcuboot_status_t sr_mcuboot_parse(const sr_reader_t *reader, sr_mcuboot_image_t *image)
{
    memset(image, 0, sizeof(*image));

    uint8_t header[HEADER_SIZE];
    sr_mcuboot_status_t status = read_at(reader, 0, header, sizeof(header));
    if (status != SR_MCUBOOT_OK) {
        return status;
    }
    if (sr_bytes_get_le32(header) != SR_MCUBOOT_IMAGE_MAGIC || sr_bytes_get_le16(header + 8) < HEADER_SIZE) {
        return SR_MCUBOOT_BAD_MAGIC;
    }
    *image = (sr_mcuboot_image_t){
        .load_address = sr_bytes_get_le32(header + 4),
        .header_size = sr_bytes_get_le16(header + 8),
        .protected_tlv_size = sr_bytes_get_le16(header + 10),
        .payload_size = sr_bytes_get_le32(header + 12),
        .flags = sr_bytes_get_le32(header + 16),
        .version_major = header[20],
        .version_minor = header[21],
        .version_revision = sr_bytes_get_le16(header + 22),
        .version_build = sr_bytes_get_le32(header + 24),
    };

    tlv_search_t search = {.expected_digest = NULL};
    status = walk_areas(reader, image, &search, &image->length);
    image->has_signature = search.has_signature;
    return status;
}

/** Digests the first @p length bytes of the image. */
static sr_mcuboot_status_t digest_image(const sr_reader_t *reader, uint64_t length, uint8_t digest[SR_SHA256_SIZE])
{
    sr_mcuboot_status_t status = SR_MCUBOOT_OK;
    uint8_t chunk[READ_CHUNK];
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    for (uint64_t offset = 0; offset < length && status == SR_MCUBOOT_OK;) {
        uint32_t part = length - offset < READ_CHUNK ? (uint32_t)(length - offset) : READ_CHUNK;
        status = read_at(reader, offset, chunk, part);
        if (status == SR_MCUBOOT_OK) {
            sr_sha256_update(&sha, chunk, part);
        }
        offset += part;
    }
    int crypto_error = sr_sha256_finish(&sha, digest);
    return status == SR_MCUBOOT_OK && crypto_error != 0 ? SR_MCUBOOT_CRYPTO_FAILED : status;
}

sr_mcuboot_status_t sr_mcuboot_verify(const sr_reader_t *reader, const sr_mcuboot_image_t *image)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint64_t digested = (uint64_t)image->header_size + image->payload_size + image->protected_tlv_size;
    sr_mcuboot_status_t status = digest_image(reader, digested, digest);
    if (status != SR_MCUBOOT_OK) {
        return status;
    }
    tlv_search_t search = {.expected_digest = digest};
    uint32_t length;
    status = walk_areas(reader, image, &search, &length);
    return status == SR_MCUBOOT_OK && search.digest_differs ? SR_MCUBOOT_BAD_DIGEST : status;
}

const char *sr_mcuboot_status_text(sr_mcuboot_status_t status)
{
    switch (status) {
    case SR_MCUBOOT_OK:
        return "MCUboot image is intact";
    case SR_MCUBOOT_READ_FAILED:
        return "MCUboot image cannot be read";
    case SR_MCUBOOT_BAD_MAGIC:
        return "not an MCUboot image: bad header";
    case SR_MCUBOOT_TRUNCATED:
        return "MCUboot image is longer than its slot";
    case SR_MCUBOOT_BAD_TLV:
        return "MCUboot TLV area is malformed or has no SHA-256";
    case SR_MCUBOOT_BAD_DIGEST:
        return "MCUboot image SHA-256 differs";
    case SR_MCUBOOT_CRYPTO_FAILED:
        return "crypto library failed";
    }
    return "unknown MCUboot image status";
}
