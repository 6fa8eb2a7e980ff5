// SPDX-License-Identifier: Apache-2.0
/** @file
 * The bundle manifest: what regions of the flash must hold, as one digest per sector, where the bytes are, and what
 * data of the old system moves to another place.
 *
 * Format: docs/bundle-format.md. The parser is shared by chip and host, works on the manifest's bytes where they lie,
 * allocates nothing, and gives access to a table only after the whole manifest was checked.
 */
#pragma once

#include "self_reflasher_version.h"
#include "format/sr_region.h"
#include "format/sr_sha256.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_BUNDLE_HEADER_SIZE      64u
#define SR_BUNDLE_ROW_SIZE         16u /**< Bytes of a row of every table but that of moves. */
#define SR_BUNDLE_DIGEST_SIZE      16u /**< First half of a SHA-256. */
#define SR_BUNDLE_SIGNATURE_SIZE   80u
#define SR_BUNDLE_MAX_REGIONS      64u
#define SR_BUNDLE_MAX_DIGESTS      8192u
#define SR_BUNDLE_MAX_MOVES        16u
#define SR_BUNDLE_MOVE_SIZE        32u /**< Bytes of a row of the table of moves. */
#define SR_BUNDLE_LABEL_SIZE       16u /**< Of a partition's label. */
#define SR_BUNDLE_FEATURE_MOVES    (1u << 0)
#define SR_BUNDLE_FEATURE_GIVEN_UP (1u << 1)
#define SR_BUNDLE_MAX_GIVEN_UP     16u
#define SR_BUNDLE_GIVEN_UP_SIZE    24u /**< Bytes of a row of the table of what is given up. */
#define SR_BUNDLE_MAX_MANIFEST                                                                                         \
    (SR_BUNDLE_HEADER_SIZE + SR_BUNDLE_ROW_SIZE * (SR_BUNDLE_MAX_REGIONS + 2u * SR_BUNDLE_MAX_DIGESTS) +               \
     SR_BUNDLE_MOVE_SIZE * SR_BUNDLE_MAX_MOVES + SR_BUNDLE_GIVEN_UP_SIZE * SR_BUNDLE_MAX_GIVEN_UP)
#define SR_BUNDLE_CHUNK_SECTORS 16u        /**< Most sectors that one chunk spans. */
#define SR_BUNDLE_NO_TABLE      UINT32_MAX /**< partition_table_offset of a result without ESP-IDF partition table. */
#define SR_BUNDLE_WINDOW_BITS   12         /**< Of the deflate streams: 4 KiB. */

typedef enum sr_bundle_status {
    SR_BUNDLE_OK = 0,
    SR_BUNDLE_TRUNCATED, /**< Fewer bytes than the header, or than the manifest says it has. */
    SR_BUNDLE_BAD_MAGIC,
    SR_BUNDLE_BAD_VERSION, /**< Version or header size of another format. */
    SR_BUNDLE_BAD_FEATURE, /**< Needs a feature that this reader does not know. */
    SR_BUNDLE_BAD_HEADER,  /**< Sizes and counts do not fit together, or a reserved byte is set. */
    SR_BUNDLE_BAD_REGION,
    SR_BUNDLE_BAD_CHUNK,
    SR_BUNDLE_BAD_MOVE,
    SR_BUNDLE_BAD_GIVEN_UP,
    SR_BUNDLE_NOT_SIGNED,    /**< No signature, where one is required. */
    SR_BUNDLE_OTHER_KEY,     /**< Signed with another key. */
    SR_BUNDLE_BAD_SIGNATURE, /**< Signature or signature block is wrong. */
    SR_BUNDLE_BAD_KEY,       /**< The public key itself cannot be read, or is not on P-256. */
    SR_BUNDLE_CRYPTO_FAILED,
} sr_bundle_status_t;

typedef enum sr_bundle_kind { SR_BUNDLE_WRITTEN = 0, SR_BUNDLE_ERASED = 1 } sr_bundle_kind_t;
typedef enum sr_bundle_encoding { SR_BUNDLE_STORED = 0, SR_BUNDLE_DEFLATE = 1 } sr_bundle_encoding_t;

typedef struct sr_bundle_region {
    sr_region_t place;
    uint32_t first_digest;
    sr_bundle_kind_t kind;
    bool initial; /**< The new system owns it once installed: docs/bundle-format.md, "What installed means". */
} sr_bundle_region_t;

typedef struct sr_bundle_chunk {
    uint32_t offset; /**< Offset of its data in the file. */
    uint32_t length; /**< Bytes of its data. */
    uint32_t first_digest;
    uint8_t sector_count; /**< Sectors that it spans, blank ones included. */
    sr_bundle_encoding_t encoding;
} sr_bundle_chunk_t;

/** Data of the old system that is at another place in the new one. Past its end the destination is blank. */
typedef struct sr_bundle_move {
    char label[SR_BUNDLE_LABEL_SIZE + 1]; /**< Of its partition in the old system's table; "": it is in a region. */
    sr_region_t source;                   /**< The region; {0, 0} with a label. */
    sr_region_t destination;
} sr_bundle_move_t;

/** Data of the old system that may be overwritten from the first moment on. */
typedef struct sr_bundle_given_up {
    char label[SR_BUNDLE_LABEL_SIZE + 1]; /**< Of its partition in the old system's table; "": it is a region. */
    sr_region_t place;                    /**< The region; {0, 0} with a label. */
} sr_bundle_given_up_t;

/** A manifest that was checked. Points into the caller's bytes, which must outlive it. */
typedef struct sr_bundle {
    const uint8_t *manifest;
    uint32_t manifest_size;
    uint32_t bundle_size;
    uint16_t chip_id;
    uint16_t min_chip_revision;
    uint32_t min_flash_size;
    uint32_t partition_table_offset;
    uint16_t region_count;
    uint16_t chunk_count;
    uint32_t digest_count;
    uint16_t move_count;
    uint16_t given_up_count;
    uint32_t sequence; /**< Of two bundles of one product, the newer one has the larger number. */
} sr_bundle_t;

extern const uint8_t sr_bundle_magic[8];
/** Digest of a sector of 0xFF. */
extern const uint8_t sr_bundle_blank_digest[SR_BUNDLE_DIGEST_SIZE];

/**
 * Checks the fixed header alone and tells how many bytes of manifest there are, so that a reader can make room.
 * @param header SR_BUNDLE_HEADER_SIZE bytes.
 * @param[out] manifest_size Set for SR_BUNDLE_OK; at most SR_BUNDLE_MAX_MANIFEST.
 * @return OK, BAD_MAGIC, BAD_VERSION, BAD_FEATURE or BAD_HEADER.
 */
sr_bundle_status_t sr_bundle_peek(const uint8_t header[SR_BUNDLE_HEADER_SIZE], uint32_t *manifest_size);

/**
 * Checks a whole manifest.
 * @param manifest @p length bytes; what follows the manifest may be included and is not looked at.
 * @param[out] bundle All zero unless the manifest is valid.
 * @return OK; TRUNCATED, BAD_MAGIC, BAD_VERSION, BAD_FEATURE, BAD_HEADER, BAD_REGION, BAD_CHUNK, BAD_MOVE or
 * BAD_GIVEN_UP.
 */
sr_bundle_status_t sr_bundle_parse(const uint8_t *manifest, uint32_t length, sr_bundle_t *bundle);

/** Region number @p index, below region_count. */
sr_bundle_region_t sr_bundle_region(const sr_bundle_t *bundle, uint32_t index);

/** Chunk number @p index, below chunk_count. */
sr_bundle_chunk_t sr_bundle_chunk(const sr_bundle_t *bundle, uint32_t index);

/** Digest number @p index, below digest_count. */
const uint8_t *sr_bundle_digest(const sr_bundle_t *bundle, uint32_t index);

/** Move number @p index, below move_count. They ascend by destination. */
sr_bundle_move_t sr_bundle_move(const sr_bundle_t *bundle, uint32_t index);

/** What is given up, number @p index, below given_up_count. */
sr_bundle_given_up_t sr_bundle_given_up(const sr_bundle_t *bundle, uint32_t index);

/** True if this digest is that of a blank sector. */
bool sr_bundle_is_blank(const uint8_t digest[SR_BUNDLE_DIGEST_SIZE]);

/** What one sector of the flash must hold, according to a bundle. */
typedef enum sr_bundle_want {
    SR_BUNDLE_KEEP,    /**< In no region: stays as it is. */
    SR_BUNDLE_BLANK,   /**< 0xFF. */
    SR_BUNDLE_CONTENT, /**< What the digest says. */
} sr_bundle_want_t;

/**
 * Tells what a sector must hold. Moves are not looked at: their destinations are in no region.
 * @param address Of the sector.
 * @param[out] digest_index Its digest; set for SR_BUNDLE_CONTENT only. May be NULL.
 */
sr_bundle_want_t sr_bundle_want(const sr_bundle_t *bundle, uint32_t address, uint32_t *digest_index);

/** True for a sector in an initial region. */
bool sr_bundle_is_initial(const sr_bundle_t *bundle, uint32_t address);

/** True if any of the regions is initial. */
bool sr_bundle_has_initial(const sr_bundle_t *bundle);

/** Flash address of the sector with this digest, below digest_count. */
uint32_t sr_bundle_address(const sr_bundle_t *bundle, uint32_t digest_index);

/** Number of the chunk that carries the sector with this digest; it must not be blank. */
uint32_t sr_bundle_chunk_of(const sr_bundle_t *bundle, uint32_t digest_index);

/** Bytes that a chunk decodes to: 4096 for each of its sectors that is not blank. */
uint32_t sr_bundle_chunk_size(const sr_bundle_t *bundle, uint32_t chunk_index);

const char *sr_bundle_status_text(sr_bundle_status_t status);
