// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/bundle_file.h"

#include "format/sr_digest.h"
#include "make/bundle_signer.h"
#include "make/bundle_writer.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"
#include "tool/base/way_out.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#define LARGEST_HEADER_SIZE (128u << 20) // that an image header can state

bool bundle_file_has_magic(const image_file_t *file)
{
    return file->size >= sizeof(sr_bundle_magic) && memcmp(file->bytes, sr_bundle_magic, sizeof(sr_bundle_magic)) == 0;
}

int bundle_file_complain_kind(const image_file_t *file)
{
    const char *mistaken = file_kind_mistaken(file);
    return mistaken != NULL
               ? complain(STATUS_BAD_INPUT, "%s %s; a bundle is needed here", file->path, mistaken)
               : complain(STATUS_BAD_INPUT, "%s: no bundle: pack makes one; inspect tells what this is", file->path);
}

int bundle_file_open(const image_file_t *file, bundle_file_t *bundle)
{
    *bundle = (bundle_file_t){.file = *file};
    sr_bundle_status_t status = bundle_verify(file->bytes, file->size, NULL);
    if (status == SR_BUNDLE_OK) {
        status = sr_bundle_parse(file->bytes, file->size, &bundle->bundle);
    }
    if (status == SR_BUNDLE_OK) {
        status = sr_signature_parse(file->bytes + bundle->bundle.manifest_size, &bundle->signature);
    }
    if (status != SR_BUNDLE_OK && !bundle_file_has_magic(file)) {
        return bundle_file_complain_kind(file);
    }
    if (status != SR_BUNDLE_OK) {
        return complain(STATUS_BAD_INPUT, "%s: %s", file->path, sr_bundle_status_text(status));
    }
    if (bundle->bundle.min_flash_size > LARGEST_HEADER_SIZE) {
        return complain(STATUS_BAD_INPUT, "%s: for a flash that is larger than any (128 MiB)", file->path);
    }
    return STATUS_OK;
}

int bundle_file_load(const char *path, bundle_file_t *bundle)
{
    image_file_t file;
    *bundle = (bundle_file_t){0};
    const int status = image_file_load(path, &file);
    return status == STATUS_OK ? bundle_file_open(&file, bundle) : status;
}

void bundle_file_free(bundle_file_t *bundle)
{
    image_file_free(&bundle->file);
}

sr_bundle_status_t bundle_file_trust(const uint8_t *bytes, uint32_t size, const char *public_pem)
{
    sr_signature_public_key_t key;
    const sr_bundle_status_t status =
        public_pem != NULL ? sr_signature_public_key_read(public_pem, &key) : SR_BUNDLE_BAD_KEY;
    return status == SR_BUNDLE_OK ? bundle_verify(bytes, size, &key) : status;
}

/** @return true if the chunk's data gives exactly @p size bytes. */
static bool decode(const bundle_file_t *bundle, const sr_bundle_chunk_t *chunk, uint8_t *out, uint32_t size)
{
    uint8_t *data = bundle->file.bytes + chunk->offset;
    if (chunk->encoding == SR_BUNDLE_STORED) {
        memcpy(out, data, size); // the manifest's check has compared the lengths
        return true;
    }
    z_stream stream = {.next_in = data, .avail_in = chunk->length, .next_out = out, .avail_out = size};
    if (inflateInit2(&stream, -SR_BUNDLE_WINDOW_BITS) != Z_OK) {
        return false;
    }
    const int result = inflate(&stream, Z_FINISH);
    (void)inflateEnd(&stream);
    return result == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0;
}

static int apply_chunk(const bundle_file_t *bundle, uint32_t index, uint8_t *flash)
{
    uint8_t content[SR_BUNDLE_CHUNK_SECTORS * SR_SECTOR_SIZE];
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(&bundle->bundle, index);
    if (!decode(bundle, &chunk, content, sr_bundle_chunk_size(&bundle->bundle, index))) {
        return complain(STATUS_BAD_INPUT, "%s: chunk %" PRIu32 " at offset 0x%" PRIx32 " does not decode",
                        bundle->file.path, index, chunk.offset);
    }
    const uint8_t *next = content;
    for (uint32_t i = chunk.first_digest; i < chunk.first_digest + chunk.sector_count; i++) {
        const uint8_t *wanted = sr_bundle_digest(&bundle->bundle, i);
        const uint32_t address = sr_bundle_address(&bundle->bundle, i);
        uint8_t digest[SR_SHA256_SIZE];
        if (sr_bundle_is_blank(wanted)) {
            continue;
        }
        if (!sr_digest(next, SR_SECTOR_SIZE, digest) || memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) != 0) {
            return complain(STATUS_BAD_INPUT,
                            "%s: chunk %" PRIu32 ": the sector for 0x%06" PRIx32 " does not match its digest",
                            bundle->file.path, index, address);
        }
        memcpy(flash + address, next, SR_SECTOR_SIZE);
        next += SR_SECTOR_SIZE;
    }
    return STATUS_OK;
}

bool bundle_file_rewrite(const sr_bundle_t *bundle, const bundle_change_t *change, image_file_t *file)
{
    size_t size = 0;
    *file = (image_file_t){0};
    const bundle_write_status_t status =
        bundle_rewrite(bundle->manifest, bundle->bundle_size, change, &file->bytes, &size);
    file->size = (uint32_t)size;
    return status == BUNDLE_WRITE_OK;
}

int bundle_file_check_size(const sr_bundle_t *bundle, const image_file_t *flash)
{
    if (flash->size >= bundle->min_flash_size) {
        return STATUS_OK;
    }
    return complain(STATUS_NO, "%s: a flash of %" PRIu32 " bytes, where the bundle needs %" PRIu32 "; %s", flash->path,
                    flash->size, bundle->min_flash_size, way_out_of_refusal(ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE));
}

int bundle_file_apply(const bundle_file_t *bundle, uint8_t *flash)
{
    for (uint32_t i = 0; i < bundle->bundle.region_count; i++) {
        const sr_region_t place = sr_bundle_region(&bundle->bundle, i).place;
        memset(flash + place.address, 0xFF, place.size); // what no chunk carries is blank
    }
    for (uint32_t i = 0; i < bundle->bundle.chunk_count; i++) {
        const int status = apply_chunk(bundle, i, flash);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}
