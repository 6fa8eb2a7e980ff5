// SPDX-License-Identifier: Apache-2.0
// Any bytes as the start of a bundle, and as a public key. Of a manifest that is accepted, all lookups must agree.
#include "fuzz_input.h"
#include "format/sr_bundle.h"
#include "format/sr_signature.h"

static void check_digests(const sr_bundle_t *bundle)
{
    for (uint32_t i = 0; i < bundle->digest_count; i++) {
        const bool blank = sr_bundle_is_blank(sr_bundle_digest(bundle, i));
        const uint32_t address = sr_bundle_address(bundle, i);
        uint32_t found = UINT32_MAX;
        const sr_bundle_want_t want = sr_bundle_want(bundle, address, &found);
        CHECK(address % SR_SECTOR_SIZE == 0 && address <= bundle->min_flash_size - SR_SECTOR_SIZE);
        CHECK(want == (blank ? SR_BUNDLE_BLANK : SR_BUNDLE_CONTENT));
        if (!blank) {
            const uint32_t index = sr_bundle_chunk_of(bundle, i);
            CHECK(found == i && index < bundle->chunk_count);
            const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, index);
            CHECK(i >= chunk.first_digest && i - chunk.first_digest < chunk.sector_count);
        }
    }
}

static void check_chunks(const sr_bundle_t *bundle)
{
    uint64_t offset = (uint64_t)bundle->manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    for (uint32_t i = 0; i < bundle->chunk_count; i++) {
        const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, i);
        const uint32_t size = sr_bundle_chunk_size(bundle, i);
        CHECK(chunk.offset == offset && chunk.length >= 1 && chunk.length <= size);
        CHECK(size >= SR_SECTOR_SIZE && size <= SR_BUNDLE_CHUNK_SECTORS * SR_SECTOR_SIZE);
        CHECK(sr_bundle_chunk_of(bundle, chunk.first_digest) == i);
        offset += chunk.length;
    }
    CHECK(offset == bundle->bundle_size);
}

static void check_regions(const sr_bundle_t *bundle)
{
    uint64_t end = 0;
    uint32_t initial = 0;
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        const sr_region_t place = sr_bundle_region(bundle, i).place;
        initial += sr_bundle_region(bundle, i).initial;
        CHECK(place.size != 0 && place.address >= end && sr_region_fits(place, bundle->min_flash_size));
        CHECK(sr_bundle_want(bundle, place.address, NULL) != SR_BUNDLE_KEEP);
        CHECK(place.address == end || sr_bundle_want(bundle, place.address - SR_SECTOR_SIZE, NULL) == SR_BUNDLE_KEEP);
        end = (uint64_t)place.address + place.size;
    }
    CHECK(initial < bundle->region_count);
}

static void check_moves(const sr_bundle_t *bundle)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        const sr_bundle_move_t move = sr_bundle_move(bundle, i);
        const sr_region_t place = move.destination;
        CHECK(place.size != 0 && place.address >= end && sr_region_fits(place, bundle->min_flash_size));
        for (uint32_t k = 0; k < bundle->region_count; k++) {
            CHECK(!sr_region_overlaps(place, sr_bundle_region(bundle, k).place));
        }
        CHECK(strlen(move.label) <= SR_BUNDLE_LABEL_SIZE && (move.label[0] != '\0') == (move.source.size == 0));
        CHECK(move.source.size <= place.size && sr_region_fits(move.source, bundle->min_flash_size));
        end = (uint64_t)place.address + place.size;
    }
}

static void fuzz_manifest(const uint8_t *data, size_t size)
{
    uint32_t manifest_size = 0;
    const sr_bundle_status_t peeked =
        size >= SR_BUNDLE_HEADER_SIZE ? sr_bundle_peek(data, &manifest_size) : SR_BUNDLE_TRUNCATED;
    sr_bundle_t bundle;
    const sr_bundle_status_t parsed = sr_bundle_parse(data, (uint32_t)size, &bundle);
    CHECK(peeked == SR_BUNDLE_OK ? (parsed == SR_BUNDLE_TRUNCATED) == (manifest_size > size) : parsed == peeked);
    if (parsed != SR_BUNDLE_OK) {
        return;
    }
    CHECK(bundle.manifest_size == manifest_size);
    check_regions(&bundle);
    check_chunks(&bundle);
    check_digests(&bundle);
    check_moves(&bundle);
    sr_signature_t signature;
    if (size - manifest_size >= SR_BUNDLE_SIGNATURE_SIZE) {
        (void)sr_signature_parse(data + manifest_size, &signature);
    }
}

static void fuzz_public_key(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    sr_signature_public_key_t key;
    if (sr_signature_public_key_read(text, &key) == SR_BUNDLE_OK) {
        CHECK(key.point[0] == 0x04);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size != 0) {
        fuzz_manifest(data, size);
    }
    fuzz_public_key(data, size);
    return 0;
}
