// SPDX-License-Identifier: Apache-2.0
// Any bytes as the chunks of a bundle whose manifest is right, and any bytes as a bundle with its chunks. What the
// decoder hands out must be what the manifest asks for, and it must not work on a chunk longer than its size allows.
#include "fuzz_chunk_content.h"
#include "fuzz_input.h"
#include "bundle/sr_decoder.h"
#include "format/sr_digest.h"
#include "port/sr_yield.h"
#include "sim/chip/sim_state.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "miniz.h"
#include "self_reflasher_err.h"

#define TRIES 2u

/** What the decoder reads from, on the heap at its exact size, and what one call of it has done so far. */
static struct {
    uint8_t *bytes;
    uint32_t size;
    uint32_t at, end; /**< As the decoder has asked for. */
    uint32_t bytes_read;
    uint32_t inflations;
    unsigned allocations; /**< That were not freed. */
} source;

static uint8_t content[FUZZ_CHUNK_SECTORS * SR_SECTOR_SIZE];
static uint8_t *good; /**< The bundle with this content. */
static size_t good_size;

tinfl_status __real_tinfl_decompress(tinfl_decompressor *r, const mz_uint8 *in, size_t *in_size, mz_uint8 *start,
                                     mz_uint8 *next, size_t *out_size, mz_uint32 flags);
tinfl_status __wrap_tinfl_decompress(tinfl_decompressor *r, const mz_uint8 *in, size_t *in_size, mz_uint8 *start,
                                     mz_uint8 *next, size_t *out_size, mz_uint32 flags);

void sr_source_seek(sr_source_t *from, uint32_t offset, uint32_t end)
{
    (void)from;
    CHECK(offset <= end);
    source.at = offset;
    source.end = end;
}

esp_err_t sr_source_read(sr_source_t *from, void *out, uint32_t length)
{
    (void)from;
    const uint32_t end = source.end < source.size ? source.end : source.size;
    if (source.at > end || length > end - source.at) {
        return ESP_ERR_INVALID_SIZE;
    }
    memcpy(out, source.bytes + source.at, length);
    source.at += length;
    source.bytes_read += length;
    return ESP_OK;
}

void *heap_caps_malloc(size_t size, uint32_t caps)
{
    (void)caps;
    source.allocations++;
    return malloc(size);
}

void heap_caps_free(void *ptr)
{
    source.allocations -= ptr != NULL;
    free(ptr);
}

void sr_yield(uint32_t bytes)
{
    (void)bytes;
}

/** Thousands of lines a second are of no use. */
void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
{
    (void)level, (void)tag, (void)format;
}

uint32_t esp_log_timestamp(void)
{
    return 0;
}

/* The decompressor tells the simulated chip how long it takes, and where its code lies. */
void sim_work(size_t bytes)
{
    (void)bytes;
}

void sim_flash_code(const char *function)
{
    (void)function;
}

tinfl_status __wrap_tinfl_decompress(tinfl_decompressor *r, const mz_uint8 *in, size_t *in_size, mz_uint8 *start,
                                     mz_uint8 *next, size_t *out_size, mz_uint32 flags)
{
    source.inflations++;
    return __real_tinfl_decompress(r, in, in_size, start, next, out_size, flags);
}

/** Gets one sector. Each try reads no byte of the chunk twice; the decompressor stops for input, of which it gets 512
 *  bytes at a time, and for room, of which it gets a sector at a time. */
static esp_err_t get(sr_decoder_t *decoder, uint32_t digest, uint8_t **sector)
{
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(decoder->bundle, sr_bundle_chunk_of(decoder->bundle, digest));
    source.bytes_read = source.inflations = 0;
    const esp_err_t err = sr_decoder_get(decoder, digest, 0, sector);
    CHECK(err == ESP_OK || err == ESP_ERR_SELF_REFLASHER_CHUNK || err == ESP_ERR_INVALID_SIZE);
    CHECK(source.bytes_read <= TRIES * chunk.length);
    CHECK(source.inflations <= TRIES * (chunk.length / 512u + chunk.sector_count + 3u));
    return err;
}

static void check_sector(const sr_bundle_t *bundle, uint32_t digest, const uint8_t *sector)
{
    uint8_t is[SR_SHA256_SIZE];
    CHECK(sr_digest(sector, SR_SECTOR_SIZE, is));
    CHECK(memcmp(is, sr_bundle_digest(bundle, digest), SR_BUNDLE_DIGEST_SIZE) == 0);
    CHECK(bundle->manifest != good || memcmp(sector, content + digest * SR_SECTOR_SIZE, SR_SECTOR_SIZE) == 0);
}

/** Gets one sector, and checks it. @return true if it came, or there is nothing to get. */
static bool get_checked(sr_decoder_t *decoder, uint32_t digest)
{
    uint8_t *sector = NULL;
    if (sr_bundle_is_blank(sr_bundle_digest(decoder->bundle, digest))) {
        return true;
    }
    if (get(decoder, digest, &sector) != ESP_OK) {
        return false;
    }
    check_sector(decoder->bundle, digest, sector);
    return true;
}

/** All sectors in order, then some further back. @return true if all came. */
static bool decode(const sr_bundle_t *bundle)
{
    sr_source_t opened = {.region = {0, source.size}};
    sr_decoder_t decoder;
    bool all = true;
    CHECK(sr_decoder_open(&decoder, bundle, &opened) == ESP_OK);
    for (uint32_t i = 0; i < bundle->digest_count; i++) {
        all &= get_checked(&decoder, i);
    }
    for (uint32_t i = bundle->digest_count / 2; i > 0; i /= 2) {
        all &= get_checked(&decoder, i);
    }
    sr_decoder_close(&decoder);
    CHECK(source.allocations == 0);
    return all;
}

static void open_source(size_t size)
{
    source.bytes = malloc(size);
    source.size = (uint32_t)size;
    CHECK(source.bytes != NULL);
}

static void fuzz_data(const uint8_t *data, size_t size)
{
    sr_bundle_t bundle;
    CHECK(sr_bundle_parse(good, (uint32_t)good_size, &bundle) == SR_BUNDLE_OK);
    const size_t start = bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    open_source(start + size);
    memcpy(source.bytes, good, start);
    memcpy(source.bytes + start, data, size);
    const bool right = source.size >= good_size && memcmp(source.bytes, good, good_size) == 0;
    const bool all = decode(&bundle);
    CHECK(all || !right);
    free(source.bytes);
}

static void fuzz_bundle(const uint8_t *data, size_t size)
{
    sr_bundle_t bundle;
    open_source(size);
    memcpy(source.bytes, data, size);
    if (sr_bundle_parse(source.bytes, source.size, &bundle) == SR_BUNDLE_OK) {
        (void)decode(&bundle);
    }
    free(source.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (good == NULL) {
        fuzz_chunk_content(content);
        CHECK(fuzz_chunk_bundle(content, &good, &good_size) == BUNDLE_WRITE_OK);
    }
    if (size > 1 && data[0] == FUZZ_CHUNK_DATA) {
        fuzz_data(data + 1, size - 1);
    } else if (size > 1) {
        fuzz_bundle(data + 1, size - 1);
    }
    return 0;
}
