// SPDX-License-Identifier: Apache-2.0
#include "bundle/sr_decoder.h"

#include "self_reflasher_err.h"
#include "format/sr_digest.h"
#include "port/sr_yield.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "miniz.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define INPUT_SIZE 128u
#define NO_CHUNK   UINT32_MAX
#define NO_DIGEST  UINT32_MAX
#define KEPT       4u /**< Chunks at once: bootloader, table, otadata, the beginning of an app. */
#define TRIES      2u /**< A chunk that was damaged in transit is fetched once more. */

static const char *TAG = "self_reflasher";

/** Encoded bytes of a chunk, from its first one on. */
typedef struct kept {
    uint16_t chunk;
    uint16_t lent;   /**< Bytes of it, the first ones, in memory that the caller has lent. */
    uint32_t length; /**< 0: none. */
    uint8_t *in_lent;
    uint8_t *bytes; /**< The others, on the heap. */
} kept_t;

struct sr_decoder_state {
    tinfl_decompressor inflator; /**< In the ROM of every chip; needs no heap of its own. */
    uint32_t chunk;              /**< Number of the chunk that is being decoded, or NO_CHUNK. */
    uint32_t next;               /**< Digest of the next sector that comes out of it. */
    uint32_t held;               /**< Digest of the one in `sector`, or NO_DIGEST. */
    uint32_t left;               /**< Encoded bytes not read yet. */
    uint32_t fetch_end;          /**< Offset in the source up to which a request may go. */
    uint32_t input_at;           /**< Next byte of `input`. */
    uint32_t input_end;          /**< End of the bytes in it. */
    kept_t kept[KEPT];
    uint8_t input[INPUT_SIZE];
    uint8_t sector[SR_SECTOR_SIZE]; /**< Output, and the window that later sectors refer to; must not be changed. */
};

_Static_assert(1u << SR_BUNDLE_WINDOW_BITS == SR_SECTOR_SIZE, "one sector of output is the whole window");
_Static_assert(sizeof(struct sr_decoder_state) <= SR_DECODER_MAX_HEAP || sizeof(void *) > 4, "RAM on the chip");

esp_err_t sr_decoder_open(sr_decoder_t *decoder, const sr_bundle_t *bundle, sr_source_t *source)
{
    decoder->bundle = bundle;
    decoder->source = source;
    /* Before anything is changed, so that a lack of memory cannot stop a migration half-way. */
    decoder->state = heap_caps_malloc(sizeof(*decoder->state), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (decoder->state == NULL) {
        return ESP_ERR_NO_MEM;
    }
    decoder->state->chunk = NO_CHUNK;
    decoder->state->held = NO_DIGEST;
    memset(decoder->state->kept, 0, sizeof(decoder->state->kept));
    return ESP_OK;
}

static void drop(kept_t *kept)
{
    heap_caps_free(kept->bytes);
    *kept = (kept_t){0};
}

void sr_decoder_drop(sr_decoder_t *decoder)
{
    for (unsigned i = 0; decoder->state != NULL && i < KEPT; i++) {
        drop(&decoder->state->kept[i]);
    }
}

void sr_decoder_give_back(sr_decoder_t *decoder)
{
    for (unsigned i = 0; decoder->state != NULL && i < KEPT; i++) {
        if (decoder->state->kept[i].lent > 0) {
            drop(&decoder->state->kept[i]);
        }
    }
}

static kept_t *find_kept(const sr_decoder_t *decoder, uint32_t chunk)
{
    for (unsigned i = 0; i < KEPT; i++) {
        kept_t *kept = &decoder->state->kept[i];
        if (kept->length > 0 && kept->chunk == chunk) {
            return kept;
        }
    }
    return NULL;
}

static kept_t *find_room(const sr_decoder_t *decoder)
{
    for (unsigned i = 0; i < KEPT; i++) {
        if (decoder->state->kept[i].length == 0) {
            return &decoder->state->kept[i];
        }
    }
    return NULL;
}

/* Copies bytes from the source to where the chunk is kept. */
static esp_err_t fill(sr_decoder_t *decoder, kept_t *kept)
{
    esp_err_t err = ESP_OK;
    if (kept->lent > 0) {
        err = sr_source_read(decoder->source, kept->in_lent, kept->lent);
    }
    if (err == ESP_OK && kept->length > kept->lent) {
        err = sr_source_read(decoder->source, kept->bytes, kept->length - kept->lent);
    }
    return err;
}

/* What cannot be kept is fetched again: no reason to fail. */
esp_err_t sr_decoder_keep(sr_decoder_t *decoder, uint32_t chunk_index, uint32_t most, uint32_t fetch_end, uint8_t *lent,
                          uint32_t *length)
{
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(decoder->bundle, chunk_index);
    kept_t *kept = find_kept(decoder, chunk_index) == NULL ? find_room(decoder) : NULL;
    const uint32_t wanted = chunk.length < most ? chunk.length : most;
    const uint32_t in_lent = lent == NULL ? 0 : wanted < SR_SECTOR_SIZE ? wanted : SR_SECTOR_SIZE;
    const uint32_t end = chunk.offset + wanted;
    *length = 0;
    if (kept == NULL || wanted == 0) {
        return ESP_OK;
    }
    *kept = (kept_t){.chunk = (uint16_t)chunk_index, .length = wanted, .lent = (uint16_t)in_lent, .in_lent = lent};
    if (wanted > in_lent) {
        kept->bytes = heap_caps_malloc(wanted - in_lent, MALLOC_CAP_8BIT);
        if (kept->bytes == NULL) {
            drop(kept);
            return ESP_OK;
        }
    }
    sr_source_seek(decoder->source, chunk.offset, fetch_end > end ? fetch_end : end);
    const esp_err_t err = fill(decoder, kept);
    if (err != ESP_OK) {
        drop(kept);
        return err;
    }
    *length = wanted;
    return ESP_OK;
}

void sr_decoder_close(sr_decoder_t *decoder)
{
    sr_decoder_drop(decoder);
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
    state->chunk = index;
    state->next = chunk.first_digest;
    state->left = chunk.length;
    state->input_at = state->input_end = 0;
    tinfl_init(&state->inflator);
    state->fetch_end = fetch_end != 0 ? fetch_end : chunk.offset + chunk.length;
}

/* The next encoded bytes: the kept ones first, then those of the source. */
static esp_err_t read_encoded(sr_decoder_t *decoder, uint8_t *out, uint32_t length)
{
    const struct sr_decoder_state *state = decoder->state;
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(decoder->bundle, state->chunk);
    const kept_t *kept = find_kept(decoder, state->chunk);
    const uint32_t at = chunk.length - state->left;
    const uint32_t end = chunk.offset + at + length;
    uint32_t done = 0;
    for (; kept != NULL && done < length && at + done < kept->length; done++) {
        const uint32_t i = at + done;
        out[done] = i < kept->lent ? kept->in_lent[i] : kept->bytes[i - kept->lent];
    }
    decoder->state->left -= length;
    if (done == length) {
        return ESP_OK;
    }
    sr_source_seek(decoder->source, chunk.offset + at + done,
                   state->fetch_end >= end ? state->fetch_end : chunk.offset + chunk.length);
    return sr_source_read(decoder->source, out + done, length - done);
}

static esp_err_t refill(sr_decoder_t *decoder)
{
    struct sr_decoder_state *state = decoder->state;
    const uint32_t length = state->left < INPUT_SIZE ? state->left : INPUT_SIZE;
    if (state->input_at < state->input_end || length == 0) {
        return ESP_OK;
    }
    state->input_at = 0;
    state->input_end = length;
    return read_encoded(decoder, state->input, length);
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
    return read_encoded(decoder, state->sector, SR_SECTOR_SIZE);
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
        kept_t *kept = find_kept(decoder, chunk);
        if (kept != NULL) {
            drop(kept); /* It may have been damaged in transit. */
        }
        state->chunk = NO_CHUNK; /* The next call starts the chunk again. */
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
