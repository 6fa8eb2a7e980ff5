// SPDX-License-Identifier: Apache-2.0
/** @file
 * Turns the chunks of a bundle into sectors, one at a time, each confirmed by its digest.
 *
 * Sectors come cheapest in ascending order: the decoder goes on in the stream where it is. Going back starts the chunk
 * again, from the source or from what is kept of it.
 */
#pragma once

#include "format/sr_bundle.h"
#include "net/sr_source.h"

#include "esp_err.h"

#include <stdint.h>

/** Bytes of heap that a decoder needs at the most, on the chip. */
#define SR_DECODER_MAX_HEAP (15u * 1024u + 320u)

typedef struct sr_decoder {
    const sr_bundle_t *bundle;
    sr_source_t *source;
    struct sr_decoder_state *state; /**< Set by sr_decoder_open(). */
} sr_decoder_t;

/**
 * Allocates what decoding needs.
 * @param bundle Must outlive the decoder.
 * @param source Open; must outlive the decoder.
 * @return ESP_OK or ESP_ERR_NO_MEM.
 */
esp_err_t sr_decoder_open(sr_decoder_t *decoder, const sr_bundle_t *bundle, sr_source_t *source);

/**
 * Gets one sector that is not blank.
 * @param digest_index Its number in the manifest.
 * @param fetch_end Offset past the last byte of the source that will be wanted without going back; a hint that lets
 *        adjacent chunks travel in one request, or no more than the beginning of one. 0: this chunk.
 * @param[out] data SR_SECTOR_SIZE bytes that hash to the digest; valid until the next call.
 * @return ESP_OK; ESP_ERR_SELF_REFLASHER_CHUNK if the chunk does not decode or the digest differs, also when fetched
 *         again; or an error of the source
 */
esp_err_t sr_decoder_get(sr_decoder_t *decoder, uint32_t digest_index, uint32_t fetch_end, uint8_t **data);

/**
 * Fetches a chunk's encoded bytes, or as many of the first ones as fit, into RAM, so that they need not be fetched
 * again. Without memory for that nothing happens.
 * @param most Bytes to keep at the most.
 * @param fetch_end Offset past the last byte of the source that will be wanted right after; a hint, as for
 * sr_decoder_get().
 * @param lent SR_SECTOR_SIZE bytes of the caller's that take the first ones until sr_decoder_give_back(); NULL: none.
 * @param[out] length Bytes that are kept now and were not before.
 * @return ESP_OK or an error of the source
 */
esp_err_t sr_decoder_keep(sr_decoder_t *decoder, uint32_t chunk_index, uint32_t most, uint32_t fetch_end, uint8_t *lent,
                          uint32_t *length);

/** Gives back memory that was lent: forgets the chunk that was kept in it. */
void sr_decoder_give_back(sr_decoder_t *decoder);

/** Forgets all that is kept, and frees it. */
void sr_decoder_drop(sr_decoder_t *decoder);

/** Frees what sr_decoder_open() allocated, and what is kept. */
void sr_decoder_close(sr_decoder_t *decoder);
