// SPDX-License-Identifier: Apache-2.0
#include "net/sr_manifest.h"

#include "self_reflasher_err.h"
#include "flash/sr_flash_reader.h"
#include "format/sr_digest.h"

#include "esp_heap_caps.h"

#include <string.h>

/* Most manifests are smaller than this, and then one request brings header, tables and signature. */
#define FIRST_REQUEST 8192u

void sr_manifest_free(sr_manifest_t *manifest)
{
    heap_caps_free(manifest->bytes);
    manifest->bytes = NULL;
}

/* In pieces, so that nobody who is not trusted can ask for memory. */
static esp_err_t hash_record(const sr_flash_t *flash, sr_region_t place, uint8_t digest[SR_SHA256_SIZE])
{
    sr_flash_reader_window_t window;
    const sr_reader_t reader = sr_flash_reader(&window, flash, place.address, place.size);
    switch (sr_digest_range(&reader, 0, place.size, digest)) {
    case SR_DIGEST_READ_FAILED:
        return window.err;
    case SR_DIGEST_CRYPTO_FAILED:
        return ESP_FAIL;
    case SR_DIGEST_OK:
        break;
    }
    return ESP_OK;
}

/* Brings what was verified into RAM; it must still be the same bytes. */
static esp_err_t read_record(sr_manifest_t *manifest, const sr_flash_t *flash, sr_region_t place,
                             const uint8_t trusted[SR_SHA256_SIZE])
{
    uint8_t digest[SR_SHA256_SIZE];
    const uint32_t size = place.size - SR_BUNDLE_SIGNATURE_SIZE;
    manifest->bytes = heap_caps_malloc(place.size, MALLOC_CAP_8BIT);
    if (manifest->bytes == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_err_t err = sr_flash_read(flash, place.address, manifest->bytes, place.size);
    if (err != ESP_OK) {
        return err;
    }
    if (!sr_digest(manifest->bytes, size, digest)) {
        return ESP_FAIL;
    }
    manifest->status = memcmp(digest, trusted, sizeof(digest)) == 0
                           ? sr_bundle_parse(manifest->bytes, size, &manifest->bundle)
                           : SR_BUNDLE_BAD_SIGNATURE;
    if (manifest->status == SR_BUNDLE_OK && manifest->bundle.manifest_size != size) {
        manifest->status = SR_BUNDLE_BAD_HEADER;
    }
    return ESP_OK;
}

esp_err_t sr_manifest_load_record(sr_manifest_t *manifest, const sr_flash_t *flash, sr_region_t place,
                                  const char *public_key, bool allow_unsigned)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint8_t block[SR_BUNDLE_SIGNATURE_SIZE];
    const uint32_t size = place.size - SR_BUNDLE_SIGNATURE_SIZE;
    *manifest = (sr_manifest_t){0};
    esp_err_t err = hash_record(flash, (sr_region_t){place.address, size}, digest);
    if (err == ESP_OK) {
        err = sr_flash_read(flash, place.address + size, block, sizeof(block));
    }
    if (err != ESP_OK) {
        return err;
    }
    manifest->status = sr_manifest_trust(digest, block, public_key, allow_unsigned);
    if (manifest->status == SR_BUNDLE_CRYPTO_FAILED) {
        return ESP_FAIL; /* Says nothing about the record, which may be a valuable one. */
    }
    if (manifest->status == SR_BUNDLE_OK) {
        err = read_record(manifest, flash, place, digest);
    }
    return err != ESP_OK || manifest->status == SR_BUNDLE_OK ? err : ESP_ERR_SELF_REFLASHER_REFUSED;
}

/* A range may end past the end of the file, but a read may not: the source asks for what there is. */
static esp_err_t load_bytes(sr_manifest_t *manifest, sr_source_t *source, uint32_t *manifest_size)
{
    uint8_t header[SR_BUNDLE_HEADER_SIZE];
    sr_source_seek(source, 0, source->http != NULL ? FIRST_REQUEST : source->region.size);
    esp_err_t err = sr_source_read(source, header, sizeof(header));
    if (err != ESP_OK) {
        return err;
    }
    manifest->status = sr_bundle_peek(header, manifest_size);
    if (manifest->status != SR_BUNDLE_OK) {
        return ESP_ERR_SELF_REFLASHER_REFUSED;
    }
    const uint32_t total = *manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    manifest->bytes = heap_caps_malloc(total, MALLOC_CAP_8BIT);
    if (manifest->bytes == NULL) {
        return ESP_ERR_NO_MEM;
    }
    memcpy(manifest->bytes, header, sizeof(header));
    sr_source_seek(source, sizeof(header), total > FIRST_REQUEST || source->http == NULL ? total : FIRST_REQUEST);
    return sr_source_read(source, manifest->bytes + sizeof(header), total - (uint32_t)sizeof(header));
}

sr_bundle_status_t sr_manifest_trust(const uint8_t digest[SR_SHA256_SIZE],
                                     const uint8_t block[SR_BUNDLE_SIGNATURE_SIZE], const char *public_key,
                                     bool allow_unsigned)
{
    sr_signature_t signature;
    sr_signature_public_key_t key;
    sr_bundle_status_t status = sr_signature_parse(block, &signature);
    if (status != SR_BUNDLE_OK) {
        return status;
    }
    if (!signature.is_signed || public_key == NULL) {
        return allow_unsigned ? SR_BUNDLE_OK : SR_BUNDLE_NOT_SIGNED;
    }
    status = sr_signature_public_key_read(public_key, &key);
    return status == SR_BUNDLE_OK ? sr_signature_verify(digest, &signature, &key) : status;
}

static sr_bundle_status_t verify(const sr_manifest_t *manifest, const char *public_key, bool allow_unsigned)
{
    const uint32_t size = manifest->bundle.manifest_size;
    uint8_t digest[SR_SHA256_SIZE];
    if (!sr_digest(manifest->bytes, size, digest)) {
        return SR_BUNDLE_CRYPTO_FAILED;
    }
    return sr_manifest_trust(digest, manifest->bytes + size, public_key, allow_unsigned);
}

esp_err_t sr_manifest_load(sr_manifest_t *manifest, sr_source_t *source, const char *public_key, bool allow_unsigned)
{
    uint32_t size = 0;
    *manifest = (sr_manifest_t){0};
    const esp_err_t err = load_bytes(manifest, source, &size);
    if (err == ESP_ERR_INVALID_SIZE) {
        manifest->status = SR_BUNDLE_TRUNCATED;
        return ESP_ERR_SELF_REFLASHER_REFUSED;
    }
    if (err != ESP_OK) {
        return err;
    }
    manifest->status = sr_bundle_parse(manifest->bytes, size, &manifest->bundle);
    if (manifest->status == SR_BUNDLE_OK && source->http == NULL &&
        manifest->bundle.bundle_size > source->region.size) {
        manifest->status = SR_BUNDLE_TRUNCATED; /* Else it would end half-way. */
    }
    if (manifest->status == SR_BUNDLE_OK) {
        manifest->status = verify(manifest, public_key, allow_unsigned);
    }
    return manifest->status == SR_BUNDLE_OK ? ESP_OK : ESP_ERR_SELF_REFLASHER_REFUSED;
}
