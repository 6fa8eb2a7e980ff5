// SPDX-License-Identifier: Apache-2.0
#include "format/sr_bundle.h"

#include "format/sr_bytes.h"

#include <string.h>

// Fields of the header.
#define HEADER_VERSION           8u
#define HEADER_HEADER_SIZE       10u
#define HEADER_FEATURES          12u
#define HEADER_MANIFEST_SIZE     16u
#define HEADER_BUNDLE_SIZE       20u
#define HEADER_CHIP_ID           24u
#define HEADER_MIN_CHIP_REVISION 26u
#define HEADER_MIN_FLASH_SIZE    28u
#define HEADER_PARTITION_TABLE   32u
#define HEADER_REGION_COUNT      36u
#define HEADER_CHUNK_COUNT       38u
#define HEADER_DIGEST_COUNT      40u
#define HEADER_MOVE_COUNT        44u
#define HEADER_SEQUENCE          48u
#define HEADER_GIVEN_UP_COUNT    52u
#define HEADER_RESERVED          56u

// Fields of a region's row.
#define REGION_ADDRESS      0u
#define REGION_SIZE         4u
#define REGION_FIRST_DIGEST 8u
#define REGION_KIND         12u
#define REGION_FLAGS        13u
#define REGION_RESERVED     14u

#define REGION_FLAG_INITIAL (1u << 0)

// Fields of a chunk's row.
#define CHUNK_OFFSET       0u
#define CHUNK_LENGTH       4u
#define CHUNK_FIRST_DIGEST 8u
#define CHUNK_SECTOR_COUNT 12u
#define CHUNK_ENCODING     13u
#define CHUNK_RESERVED     14u

// Fields of a move's row, after its label.
#define MOVE_SOURCE      16u
#define MOVE_DESTINATION 24u

// Field of the row of what is given up, after its label.
#define GIVEN_UP_PLACE 16u

const uint8_t sr_bundle_magic[8] = {'S', 'R', 'B', 'N', 'D', 'L', '\r', '\n'};
const uint8_t sr_bundle_blank_digest[SR_BUNDLE_DIGEST_SIZE] = {0xf4, 0x7a, 0x8e, 0xc3, 0xe9, 0xaf, 0xf2, 0x31,
                                                               0x8d, 0x89, 0x69, 0x42, 0x28, 0x2a, 0xd4, 0xfe};

static const uint8_t *region_rows(const sr_bundle_t *bundle)
{
    return bundle->manifest + SR_BUNDLE_HEADER_SIZE;
}

static const uint8_t *chunk_rows(const sr_bundle_t *bundle)
{
    return region_rows(bundle) + SR_BUNDLE_ROW_SIZE * bundle->region_count;
}

static const uint8_t *digest_rows(const sr_bundle_t *bundle)
{
    return chunk_rows(bundle) + SR_BUNDLE_ROW_SIZE * bundle->chunk_count;
}

static const uint8_t *move_rows(const sr_bundle_t *bundle)
{
    return digest_rows(bundle) + SR_BUNDLE_ROW_SIZE * bundle->digest_count;
}

static const uint8_t *given_up_rows(const sr_bundle_t *bundle)
{
    return move_rows(bundle) + SR_BUNDLE_MOVE_SIZE * bundle->move_count;
}

static bool counts_fit(const sr_bundle_t *bundle)
{
    // Within these limits none of the sums below can overflow.
    if (bundle->region_count == 0 || bundle->region_count > SR_BUNDLE_MAX_REGIONS ||
        bundle->chunk_count > SR_BUNDLE_MAX_DIGESTS || bundle->digest_count > SR_BUNDLE_MAX_DIGESTS) {
        return false;
    }
    const uint32_t rows = (uint32_t)bundle->region_count + bundle->chunk_count + bundle->digest_count;
    const uint32_t moves = SR_BUNDLE_MOVE_SIZE * bundle->move_count;
    const uint32_t given_up = SR_BUNDLE_GIVEN_UP_SIZE * bundle->given_up_count;
    return bundle->manifest_size == SR_BUNDLE_HEADER_SIZE + SR_BUNDLE_ROW_SIZE * rows + moves + given_up &&
           bundle->bundle_size >= bundle->manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
}

static bool places_fit(const sr_bundle_t *bundle)
{
    const uint32_t table = bundle->partition_table_offset;
    if (!sr_region_is_aligned(bundle->min_flash_size, SR_SECTOR_SIZE)) {
        return false;
    }
    return table == SR_BUNDLE_NO_TABLE ||
           (sr_region_is_aligned(table, SR_SECTOR_SIZE) &&
            sr_region_fits((sr_region_t){table, SR_SECTOR_SIZE}, bundle->min_flash_size));
}

static sr_bundle_status_t read_header(const uint8_t *header, sr_bundle_t *bundle)
{
    if (memcmp(header, sr_bundle_magic, sizeof(sr_bundle_magic)) != 0) {
        return SR_BUNDLE_BAD_MAGIC;
    }
    if (sr_bytes_get_le16(header + HEADER_VERSION) != ESP_SELF_REFLASHER_BUNDLE_VERSION ||
        sr_bytes_get_le16(header + HEADER_HEADER_SIZE) != SR_BUNDLE_HEADER_SIZE) {
        return SR_BUNDLE_BAD_VERSION;
    }
    const uint32_t features = sr_bytes_get_le32(header + HEADER_FEATURES);
    if ((features & ~(SR_BUNDLE_FEATURE_MOVES | SR_BUNDLE_FEATURE_GIVEN_UP)) != 0) {
        return SR_BUNDLE_BAD_FEATURE;
    }
    const uint32_t moves = sr_bytes_get_le32(header + HEADER_MOVE_COUNT);
    const uint32_t given_up = sr_bytes_get_le32(header + HEADER_GIVEN_UP_COUNT);
    if (moves > SR_BUNDLE_MAX_MOVES || (moves != 0) != ((features & SR_BUNDLE_FEATURE_MOVES) != 0) ||
        given_up > SR_BUNDLE_MAX_GIVEN_UP || (given_up != 0) != ((features & SR_BUNDLE_FEATURE_GIVEN_UP) != 0) ||
        !sr_bytes_are_zero(header + HEADER_RESERVED, SR_BUNDLE_HEADER_SIZE - HEADER_RESERVED)) {
        return SR_BUNDLE_BAD_HEADER;
    }
    *bundle = (sr_bundle_t){
        .manifest = header,
        .manifest_size = sr_bytes_get_le32(header + HEADER_MANIFEST_SIZE),
        .bundle_size = sr_bytes_get_le32(header + HEADER_BUNDLE_SIZE),
        .chip_id = sr_bytes_get_le16(header + HEADER_CHIP_ID),
        .min_chip_revision = sr_bytes_get_le16(header + HEADER_MIN_CHIP_REVISION),
        .min_flash_size = sr_bytes_get_le32(header + HEADER_MIN_FLASH_SIZE),
        .partition_table_offset = sr_bytes_get_le32(header + HEADER_PARTITION_TABLE),
        .region_count = sr_bytes_get_le16(header + HEADER_REGION_COUNT),
        .chunk_count = sr_bytes_get_le16(header + HEADER_CHUNK_COUNT),
        .digest_count = sr_bytes_get_le32(header + HEADER_DIGEST_COUNT),
        .move_count = (uint16_t)moves,
        .given_up_count = (uint16_t)given_up,
        .sequence = sr_bytes_get_le32(header + HEADER_SEQUENCE),
    };
    return counts_fit(bundle) && places_fit(bundle) ? SR_BUNDLE_OK : SR_BUNDLE_BAD_HEADER;
}

sr_bundle_status_t sr_bundle_peek(const uint8_t header[SR_BUNDLE_HEADER_SIZE], uint32_t *manifest_size)
{
    sr_bundle_t bundle;
    const sr_bundle_status_t status = read_header(header, &bundle);
    if (status == SR_BUNDLE_OK) {
        *manifest_size = bundle.manifest_size;
    }
    return status;
}

static bool is_whole_sectors(sr_region_t region, uint32_t limit)
{
    return region.size != 0 && sr_region_is_aligned(region.address, SR_SECTOR_SIZE) &&
           sr_region_is_aligned(region.size, SR_SECTOR_SIZE) && sr_region_fits(region, limit);
}

/** Checks one region; @p end and @p next_digest are where the regions before it ended. */
static bool region_is_valid(const sr_bundle_t *bundle, uint32_t index, uint32_t *end, uint32_t *next_digest)
{
    const uint8_t *row = region_rows(bundle) + SR_BUNDLE_ROW_SIZE * index;
    const sr_bundle_region_t region = sr_bundle_region(bundle, index);
    const sr_region_t place = region.place;
    if ((row[REGION_FLAGS] & ~REGION_FLAG_INITIAL) != 0 ||
        !sr_bytes_are_zero(row + REGION_RESERVED, SR_BUNDLE_ROW_SIZE - REGION_RESERVED) ||
        !is_whole_sectors(place, bundle->min_flash_size) || place.address < *end) {
        return false;
    }
    *end = place.address + place.size;
    if (row[REGION_KIND] == SR_BUNDLE_ERASED) {
        return region.first_digest == 0;
    }
    const uint32_t sectors = place.size / SR_SECTOR_SIZE;
    if (row[REGION_KIND] != SR_BUNDLE_WRITTEN || region.first_digest != *next_digest ||
        sectors > bundle->digest_count - *next_digest) {
        return false;
    }
    *next_digest += sectors;
    return true;
}

static bool regions_are_valid(const sr_bundle_t *bundle)
{
    uint32_t end = 0;
    uint32_t next_digest = 0;
    bool all_initial = true;
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        if (!region_is_valid(bundle, i, &end, &next_digest)) {
            return false;
        }
        all_initial = all_initial && sr_bundle_region(bundle, i).initial;
    }
    // With initial regions only, nobody could tell whether they were written.
    return next_digest == bundle->digest_count && !all_initial;
}

/** How far the check of the chunk table has come, so that no sector and no region is looked at twice. */
typedef struct chunk_check {
    const sr_bundle_t *bundle;
    uint32_t next_offset; /**< Where the data of the next chunk must start. */
    uint32_t next_digest; /**< First sector that is in no chunk yet. */
    uint32_t next_region;
    uint32_t region_end; /**< Index past the last digest of the written region before next_region. */
} chunk_check_t;

static uint32_t count_content(const sr_bundle_t *bundle, uint32_t first_digest, uint32_t end)
{
    uint32_t count = 0;
    for (uint32_t i = first_digest; i < end; i++) {
        count += !sr_bundle_is_blank(sr_bundle_digest(bundle, i));
    }
    return count;
}

/** Checks which sectors a chunk spans: all of them in the table, the first and the last with content, all of one
 * region, none left out. */
static bool chunk_spans_well(chunk_check_t *check, const sr_bundle_chunk_t *chunk)
{
    const sr_bundle_t *bundle = check->bundle;
    const uint32_t first = chunk->first_digest;
    if (chunk->sector_count == 0 || chunk->sector_count > SR_BUNDLE_CHUNK_SECTORS || first < check->next_digest ||
        first >= bundle->digest_count || chunk->sector_count > bundle->digest_count - first) {
        return false;
    }
    const uint32_t end = first + chunk->sector_count;
    if (sr_bundle_is_blank(sr_bundle_digest(bundle, first)) || sr_bundle_is_blank(sr_bundle_digest(bundle, end - 1)) ||
        count_content(bundle, check->next_digest, first) != 0) {
        return false;
    }
    // The written regions use all digests, so one of them extends past this one.
    while (check->region_end <= first) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, check->next_region++);
        if (region.kind == SR_BUNDLE_WRITTEN) {
            check->region_end = region.first_digest + region.place.size / SR_SECTOR_SIZE;
        }
    }
    check->next_digest = end;
    return end <= check->region_end;
}

static bool chunk_is_valid(chunk_check_t *check, uint32_t index)
{
    const sr_bundle_t *bundle = check->bundle;
    const uint8_t *row = chunk_rows(bundle) + SR_BUNDLE_ROW_SIZE * index;
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, index);
    if (!sr_bytes_are_zero(row + CHUNK_RESERVED, SR_BUNDLE_ROW_SIZE - CHUNK_RESERVED) ||
        chunk.offset != check->next_offset || chunk.length == 0 || chunk.length > bundle->bundle_size - chunk.offset ||
        !chunk_spans_well(check, &chunk)) {
        return false;
    }
    check->next_offset += chunk.length;
    const uint32_t size = sr_bundle_chunk_size(bundle, index);
    switch (row[CHUNK_ENCODING]) {
    case SR_BUNDLE_STORED:
        return chunk.length == size;
    case SR_BUNDLE_DEFLATE:
        return chunk.length < size;
    default:
        return false;
    }
}

static bool chunks_are_valid(const sr_bundle_t *bundle)
{
    chunk_check_t check = {.bundle = bundle, .next_offset = bundle->manifest_size + SR_BUNDLE_SIGNATURE_SIZE};
    for (uint32_t i = 0; i < bundle->chunk_count; i++) {
        if (!chunk_is_valid(&check, i)) {
            return false;
        }
    }
    return check.next_offset == bundle->bundle_size &&
           count_content(bundle, check.next_digest, bundle->digest_count) == 0;
}

static bool source_is_valid(const sr_bundle_t *bundle, const sr_bundle_move_t *move)
{
    if (move->label[0] != '\0') {
        return move->source.address == 0 && move->source.size == 0;
    }
    return is_whole_sectors(move->source, bundle->min_flash_size) && move->source.size <= move->destination.size &&
           move->source.address != move->destination.address;
}

/** True if no earlier move takes any of what @p move takes. A label's place is only known on the chip. */
static bool source_is_new(const sr_bundle_t *bundle, uint32_t index, const sr_bundle_move_t *move)
{
    for (uint32_t i = 0; i < index; i++) {
        const sr_bundle_move_t earlier = sr_bundle_move(bundle, i);
        const bool same_label = move->label[0] != '\0' && strcmp(move->label, earlier.label) == 0;
        if (same_label || sr_region_overlaps(move->source, earlier.source)) {
            return false;
        }
    }
    return true;
}

static bool overlaps_regions(const sr_bundle_t *bundle, sr_region_t place)
{
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        if (sr_region_overlaps(place, sr_bundle_region(bundle, i).place)) {
            return true;
        }
    }
    return false;
}

/** Checks one move; @p end is where the destination of the one before ended. */
static bool move_is_valid(const sr_bundle_t *bundle, uint32_t index, uint32_t *end)
{
    const uint8_t *label = move_rows(bundle) + SR_BUNDLE_MOVE_SIZE * index;
    const sr_bundle_move_t move = sr_bundle_move(bundle, index);
    const sr_region_t place = move.destination;
    const size_t length = strlen(move.label);
    if (!sr_bytes_are_zero(label + length, SR_BUNDLE_LABEL_SIZE - length) ||
        !is_whole_sectors(place, bundle->min_flash_size) || place.address < *end || overlaps_regions(bundle, place)) {
        return false;
    }
    *end = place.address + place.size;
    return source_is_valid(bundle, &move) && source_is_new(bundle, index, &move);
}

static bool moves_are_valid(const sr_bundle_t *bundle)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        if (!move_is_valid(bundle, i, &end)) {
            return false;
        }
    }
    return true;
}

/** True if nothing that moves, and nothing that is given up by an earlier row, is given up here. */
static bool given_up_is_new(const sr_bundle_t *bundle, uint32_t index, const sr_bundle_given_up_t *row)
{
    bool is_new = true;
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        const sr_bundle_move_t move = sr_bundle_move(bundle, i);
        is_new = is_new && !sr_region_overlaps(row->place, move.source) &&
                 (row->label[0] == '\0' || strcmp(row->label, move.label) != 0);
    }
    for (uint32_t i = 0; i < index; i++) {
        const sr_bundle_given_up_t earlier = sr_bundle_given_up(bundle, i);
        is_new = is_new && !sr_region_overlaps(row->place, earlier.place) &&
                 (row->label[0] == '\0' || strcmp(row->label, earlier.label) != 0);
    }
    return is_new;
}

static bool given_up_is_valid(const sr_bundle_t *bundle)
{
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        const uint8_t *label = given_up_rows(bundle) + SR_BUNDLE_GIVEN_UP_SIZE * i;
        const sr_bundle_given_up_t row = sr_bundle_given_up(bundle, i);
        const size_t length = strlen(row.label);
        const bool fits = length != 0 ? row.place.address == 0 && row.place.size == 0
                                      : is_whole_sectors(row.place, bundle->min_flash_size);
        if (!fits || !sr_bytes_are_zero(label + length, SR_BUNDLE_LABEL_SIZE - length) ||
            !given_up_is_new(bundle, i, &row)) {
            return false;
        }
    }
    return true;
}

sr_bundle_status_t sr_bundle_parse(const uint8_t *manifest, uint32_t length, sr_bundle_t *bundle)
{
    memset(bundle, 0, sizeof(*bundle));
    if (length < SR_BUNDLE_HEADER_SIZE) {
        return SR_BUNDLE_TRUNCATED;
    }
    sr_bundle_t parsed;
    const sr_bundle_status_t status = read_header(manifest, &parsed);
    if (status != SR_BUNDLE_OK) {
        return status;
    }
    if (parsed.manifest_size > length) {
        return SR_BUNDLE_TRUNCATED;
    }
    if (!regions_are_valid(&parsed)) {
        return SR_BUNDLE_BAD_REGION;
    }
    if (!chunks_are_valid(&parsed)) {
        return SR_BUNDLE_BAD_CHUNK;
    }
    if (!moves_are_valid(&parsed)) {
        return SR_BUNDLE_BAD_MOVE;
    }
    if (!given_up_is_valid(&parsed)) {
        return SR_BUNDLE_BAD_GIVEN_UP;
    }
    *bundle = parsed;
    return SR_BUNDLE_OK;
}

sr_bundle_region_t sr_bundle_region(const sr_bundle_t *bundle, uint32_t index)
{
    const uint8_t *row = region_rows(bundle) + SR_BUNDLE_ROW_SIZE * index;
    return (sr_bundle_region_t){
        .place = {sr_bytes_get_le32(row + REGION_ADDRESS), sr_bytes_get_le32(row + REGION_SIZE)},
        .first_digest = sr_bytes_get_le32(row + REGION_FIRST_DIGEST),
        .kind = row[REGION_KIND] == SR_BUNDLE_ERASED ? SR_BUNDLE_ERASED : SR_BUNDLE_WRITTEN,
        .initial = row[REGION_FLAGS] == REGION_FLAG_INITIAL,
    };
}

sr_bundle_chunk_t sr_bundle_chunk(const sr_bundle_t *bundle, uint32_t index)
{
    const uint8_t *row = chunk_rows(bundle) + SR_BUNDLE_ROW_SIZE * index;
    return (sr_bundle_chunk_t){
        .offset = sr_bytes_get_le32(row + CHUNK_OFFSET),
        .length = sr_bytes_get_le32(row + CHUNK_LENGTH),
        .first_digest = sr_bytes_get_le32(row + CHUNK_FIRST_DIGEST),
        .sector_count = row[CHUNK_SECTOR_COUNT],
        .encoding = row[CHUNK_ENCODING] == SR_BUNDLE_STORED ? SR_BUNDLE_STORED : SR_BUNDLE_DEFLATE,
    };
}

const uint8_t *sr_bundle_digest(const sr_bundle_t *bundle, uint32_t index)
{
    return digest_rows(bundle) + SR_BUNDLE_ROW_SIZE * index;
}

sr_bundle_move_t sr_bundle_move(const sr_bundle_t *bundle, uint32_t index)
{
    const uint8_t *row = move_rows(bundle) + SR_BUNDLE_MOVE_SIZE * index;
    sr_bundle_move_t move = {
        .source = {sr_bytes_get_le32(row + MOVE_SOURCE), sr_bytes_get_le32(row + MOVE_SOURCE + 4)},
        .destination = {sr_bytes_get_le32(row + MOVE_DESTINATION), sr_bytes_get_le32(row + MOVE_DESTINATION + 4)},
    };
    memcpy(move.label, row, SR_BUNDLE_LABEL_SIZE);
    return move;
}

sr_bundle_given_up_t sr_bundle_given_up(const sr_bundle_t *bundle, uint32_t index)
{
    const uint8_t *row = given_up_rows(bundle) + SR_BUNDLE_GIVEN_UP_SIZE * index;
    sr_bundle_given_up_t given_up = {
        .place = {sr_bytes_get_le32(row + GIVEN_UP_PLACE), sr_bytes_get_le32(row + GIVEN_UP_PLACE + 4)}};
    memcpy(given_up.label, row, SR_BUNDLE_LABEL_SIZE);
    return given_up;
}

bool sr_bundle_is_blank(const uint8_t digest[SR_BUNDLE_DIGEST_SIZE])
{
    return memcmp(digest, sr_bundle_blank_digest, SR_BUNDLE_DIGEST_SIZE) == 0;
}

/** Number of rows whose number at @p field, by which the table is sorted, is at most @p value. */
static uint32_t rows_up_to(const uint8_t *rows, uint32_t count, uint32_t field, uint32_t value)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (sr_bytes_get_le32(rows + SR_BUNDLE_ROW_SIZE * middle + field) <= value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/** Finds the region that a sector is in. */
static bool find_region(const sr_bundle_t *bundle, uint32_t address, sr_bundle_region_t *region)
{
    const uint32_t regions = rows_up_to(region_rows(bundle), bundle->region_count, REGION_ADDRESS, address);
    if (regions == 0) {
        return false;
    }
    *region = sr_bundle_region(bundle, regions - 1);
    return address - region->place.address < region->place.size;
}

sr_bundle_want_t sr_bundle_want(const sr_bundle_t *bundle, uint32_t address, uint32_t *digest_index)
{
    sr_bundle_region_t region;
    if (!find_region(bundle, address, &region)) {
        return SR_BUNDLE_KEEP;
    }
    if (region.kind == SR_BUNDLE_ERASED) {
        return SR_BUNDLE_BLANK;
    }
    const uint32_t index = region.first_digest + (address - region.place.address) / SR_SECTOR_SIZE;
    if (sr_bundle_is_blank(sr_bundle_digest(bundle, index))) {
        return SR_BUNDLE_BLANK;
    }
    if (digest_index != NULL) {
        *digest_index = index;
    }
    return SR_BUNDLE_CONTENT;
}

bool sr_bundle_is_initial(const sr_bundle_t *bundle, uint32_t address)
{
    sr_bundle_region_t region;
    return find_region(bundle, address, &region) && region.initial;
}

bool sr_bundle_has_initial(const sr_bundle_t *bundle)
{
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        if (sr_bundle_region(bundle, i).initial) {
            return true;
        }
    }
    return false;
}

uint32_t sr_bundle_address(const sr_bundle_t *bundle, uint32_t digest_index)
{
    // Erased regions have no digests, so that the table is not sorted by them. It is short.
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        const uint32_t distance = digest_index - region.first_digest;
        if (region.kind == SR_BUNDLE_WRITTEN && distance < region.place.size / SR_SECTOR_SIZE) {
            return region.place.address + distance * SR_SECTOR_SIZE;
        }
    }
    return UINT32_MAX; // Not reached: the written regions use all digests.
}

uint32_t sr_bundle_chunk_of(const sr_bundle_t *bundle, uint32_t digest_index)
{
    return rows_up_to(chunk_rows(bundle), bundle->chunk_count, CHUNK_FIRST_DIGEST, digest_index) - 1u;
}

uint32_t sr_bundle_chunk_size(const sr_bundle_t *bundle, uint32_t chunk_index)
{
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, chunk_index);
    return SR_SECTOR_SIZE * count_content(bundle, chunk.first_digest, chunk.first_digest + chunk.sector_count);
}

const char *sr_bundle_status_text(sr_bundle_status_t status)
{
    switch (status) {
    case SR_BUNDLE_OK:
        return "bundle is valid";
    case SR_BUNDLE_TRUNCATED:
        return "bundle is truncated";
    case SR_BUNDLE_BAD_MAGIC:
        return "not a bundle";
    case SR_BUNDLE_BAD_VERSION:
        return "bundle has a format version that is not supported";
    case SR_BUNDLE_BAD_FEATURE:
        return "bundle needs a feature that is not supported";
    case SR_BUNDLE_BAD_HEADER:
        return "bundle header contradicts itself";
    case SR_BUNDLE_BAD_REGION:
        return "bundle has an invalid region";
    case SR_BUNDLE_BAD_CHUNK:
        return "bundle has an invalid chunk";
    case SR_BUNDLE_BAD_MOVE:
        return "bundle has an invalid move";
    case SR_BUNDLE_BAD_GIVEN_UP:
        return "bundle gives up an invalid region, or one that moves";
    case SR_BUNDLE_NOT_SIGNED:
        return "bundle is not signed";
    case SR_BUNDLE_OTHER_KEY:
        return "bundle is signed with another key";
    case SR_BUNDLE_BAD_SIGNATURE:
        return "bundle signature is wrong";
    case SR_BUNDLE_BAD_KEY:
        return "not a key for P-256 in PEM";
    case SR_BUNDLE_CRYPTO_FAILED:
        return "crypto library failed";
    }
    return "unknown bundle status";
}
