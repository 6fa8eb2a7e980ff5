// SPDX-License-Identifier: Apache-2.0
#include "sr_decoder_esp_idf.h"

#include "self_reflasher_err.h"
#include "sr_digest.h"
#include "sr_yield_esp_idf.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "miniz.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define INPUT_SIZE 512u
#define NO_CHUNK   UINT32_MAX
#define NO_DIGEST  UINT32_MAX
#define TRIES      2u /**< A chunk that is damaged on the way is fetched once more. */

static const char *TAG = "self_reflasher";

struct sr_decoder_state {
    tinfl_decompressor inflator; /**< In the ROM of every chip; needs no heap of its own. */
    uint32_t chunk;              /**< Number of the chunk that is being decoded, or NO_CHUNK. */
    uint32_t next;               /**< Digest of the next sector that comes out of it. */
    uint32_t held;               /**< Digest of the one in `sector`, or NO_DIGEST. */
    uint32_t left;               /**< Encoded bytes not read from the source yet. */
    uint32_t input_at;           /**< Next byte of `input`. */
    uint32_t input_end;          /**< Behind its last byte. */
    uint8_t input[INPUT_SIZE];
    uint8_t sector[SR_SECTOR_SIZE]; /**< Output, and the window that later sectors refer to: must not be changed. */
};

_Static_assert(1u << SR_BUNDLE_WINDOW_BITS == SR_SECTOR_SIZE, "one sector of output is the whole window");
_Static_assert(sizeof(struct sr_decoder_state) <= SR_DECODER_MAX_HEAP || sizeof(void *) > 4, "RAM on the chip");

esp_err_t sr_decoder_open(sr_decoder_t *decoder, const sr_bundle_t *bundle, sr_source_t *source)
{
    decoder->bundle = bundle;
    decoder->source = source;
    /* Before anything is changed, so that a lack of memory can not stop a migration half-way. */
    decoder->state = heap_caps_malloc(sizeof(*decoder->state), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (decoder->state == NULL) {
        return ESP_ERR_NO_MEM;
    }
    decoder->state->chunk = NO_CHUNK;
    decoder->state->held = NO_DIGEST;
    return ESP_OK;
}

void sr_decoder_close(sr_decoder_t *decoder)
{
    heap_caps_free(decoder->state);
    decoder->state = NULL;
}

static uint32_t skip_blank(const sr_bundle_t *bundle, uint32_t digest_index, uint32_t end)
{
    while (digest_index < end && sr_bundle_is_blank(sr_bundle_digest(bundle, digest_index))) {
        digest_index++;
    }
    return digest_index;
}

static void start_chunk(sr_decoder_t *decoder, uint32_t index, uint32_t fetch_end)
{
    struct sr_decoder_state *state = decoder->state;
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(decoder->bundle, index);
    const uint32_t chunk_end = chunk.offset + chunk.length;
    state->chunk = index;
    state->next = chunk.first_digest;
    state->left = chunk.length;
    state->input_at = state->input_end = 0;
    tinfl_init(&state->inflator);
    sr_source_seek(decoder->source, chunk.offset, fetch_end > chunk_end ? fetch_end : chunk_end);
}

static esp_err_t refill(sr_decoder_t *decoder)
{
    struct sr_decoder_state *state = decoder->state;
    const uint32_t length = state->left < INPUT_SIZE ? state->left : INPUT_SIZE;
    if (state->input_at < state->input_end || length == 0) {
        return ESP_OK;
    }
    state->left -= length;
    state->input_at = 0;
    state->input_end = length;
    return sr_source_read(decoder->source, state->input, length);
}

/* One call of the decompressor: output goes on at @p filled of the sector. */
static esp_err_t inflate_some(sr_decoder_t *decoder, uint32_t *filled, tinfl_status *status)
{
    struct sr_decoder_state *state = decoder->state;
    const esp_err_t err = refill(decoder);
    if (err != ESP_OK) {
        return err;
    }
    size_t in = state->input_end - state->input_at;
    size_t out = SR_SECTOR_SIZE - *filled;
    *status = tinfl_decompress(&state->inflator, state->input + state->input_at, &in, state->sector,
                               state->sector + *filled, &out, state->left > 0 ? TINFL_FLAG_HAS_MORE_INPUT : 0);
    state->input_at += (uint32_t)in;
    *filled += (uint32_t)out;
    return *status >= TINFL_STATUS_DONE ? ESP_OK : ESP_ERR_SELF_REFLASHER_CHUNK;
}

static esp_err_t inflate_sector(sr_decoder_t *decoder)
{
    uint32_t filled = 0;
    while (filled < SR_SECTOR_SIZE) {
        tinfl_status status;
        const esp_err_t err = inflate_some(decoder, &filled, &status);
        if (err != ESP_OK) {
            return err;
        }
        if (status == TINFL_STATUS_DONE && filled < SR_SECTOR_SIZE) {
            return ESP_ERR_SELF_REFLASHER_CHUNK;
        }
    }
    return ESP_OK;
}

static esp_err_t copy_sector(sr_decoder_t *decoder)
{
    struct sr_decoder_state *state = decoder->state;
    if (state->left < SR_SECTOR_SIZE) {
        return ESP_ERR_SELF_REFLASHER_CHUNK;
    }
    state->left -= SR_SECTOR_SIZE;
    return sr_source_read(decoder->source, state->sector, SR_SECTOR_SIZE);
}

static bool digest_matches(const uint8_t *sector, const uint8_t *expected)
{
    uint8_t digest[SR_SHA256_SIZE];
    return sr_digest(sector, SR_SECTOR_SIZE, digest) && memcmp(digest, expected, SR_BUNDLE_DIGEST_SIZE) == 0;
}

/* A chunk must end where its last sector ends: neither more output nor more input. */
static esp_err_t finish_chunk(sr_decoder_t *decoder, sr_bundle_encoding_t encoding)
{
    struct sr_decoder_state *state = decoder->state;
    uint32_t surplus = 0;
    tinfl_status status = encoding == SR_BUNDLE_DEFLATE ? TINFL_STATUS_NEEDS_MORE_INPUT : TINFL_STATUS_DONE;
    while (status != TINFL_STATUS_DONE && surplus == 0) {
        const esp_err_t err = inflate_some(decoder, &surplus, &status);
        if (err != ESP_OK) {
            return err;
        }
    }
    const bool all_used = state->left == 0 && state->input_at == state->input_end;
    return surplus == 0 && all_used ? ESP_OK : ESP_ERR_SELF_REFLASHER_CHUNK;
}

/* The next sector of the open chunk. */
static esp_err_t decode_sector(sr_decoder_t *decoder)
{
    struct sr_decoder_state *state = decoder->state;
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(decoder->bundle, state->chunk);
    state->held = NO_DIGEST;
    sr_yield(SR_SECTOR_SIZE);
    const esp_err_t err = chunk.encoding == SR_BUNDLE_DEFLATE ? inflate_sector(decoder) : copy_sector(decoder);
    if (err != ESP_OK) {
        return err;
    }
    if (!digest_matches(state->sector, sr_bundle_digest(decoder->bundle, state->next))) {
        return ESP_ERR_SELF_REFLASHER_CHUNK;
    }
    const uint32_t end = chunk.first_digest + chunk.sector_count;
    state->held = state->next;
    state->next = skip_blank(decoder->bundle, state->next + 1u, end);
    return state->next == end ? finish_chunk(decoder, chunk.encoding) : ESP_OK;
}

/* True if the wanted sector is still ahead in the chunk that is open. */
static bool is_ahead(const sr_decoder_t *decoder, uint32_t chunk, uint32_t digest_index)
{
    return decoder->state->chunk == chunk && decoder->state->next <= digest_index;
}

static esp_err_t try_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end)
{
    struct sr_decoder_state *state = decoder->state;
    const uint32_t chunk = sr_bundle_chunk_of(decoder->bundle, digest_index);
    if (state->held == digest_index) {
        return ESP_OK; /* Checks read a sector in small pieces. */
    }
    if (!is_ahead(decoder, chunk, digest_index)) {
        start_chunk(decoder, chunk, fetch_end);
    }
    esp_err_t err;
    bool reached;
    do {
        reached = state->next == digest_index;
        err = decode_sector(decoder);
    } while (err == ESP_OK && !reached);
    if (err != ESP_OK) {
        state->chunk = NO_CHUNK; /* Whoever asks again starts again. */
        state->held = NO_DIGEST;
    }
    return err;
}

esp_err_t sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data)
{
    esp_err_t err = ESP_ERR_SELF_REFLASHER_CHUNK;
    for (unsigned i = 0; i < TRIES && err == ESP_ERR_SELF_REFLASHER_CHUNK; i++) {
        err = try_get(decoder, digest_index, fetch_end);
    }
    if (err == ESP_ERR_SELF_REFLASHER_CHUNK) {
        ESP_LOGE(TAG, "sector for 0x%" PRIx32 " does not match the manifest",
                 sr_bundle_address(decoder->bundle, digest_index));
    }
    *data = decoder->state->sector;
    return err;
}
