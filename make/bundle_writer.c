// SPDX-License-Identifier: Apache-2.0
#include "make/bundle_writer.h"

#include "format/sr_bytes.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/** A growing array of bytes. What comes after memory ran out is dropped, and `failed` is set. */
typedef struct growing {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    bool failed;
} growing_t;

/** The sectors of one chunk, before and after deflating. */
typedef struct chunk_work {
    uint8_t content[SR_BLOCK_SIZE];
    uint8_t deflated[SR_BLOCK_SIZE];
} chunk_work_t;

typedef struct builder {
    growing_t regions;
    growing_t chunks; /**< Offsets of data count from the first chunk's until the manifest's size is known. */
    growing_t digests;
    growing_t moves; /**< And what is given up, which follows. */
    growing_t data;
    chunk_work_t *work;
} builder_t;

static void put_bytes(growing_t *out, const void *bytes, size_t count)
{
    if (out->failed || count == 0) {
        return;
    }
    if (count > out->capacity - out->size) {
        const size_t capacity = 2 * out->capacity + count;
        uint8_t *grown = realloc(out->bytes, capacity);
        if (grown == NULL) {
            out->failed = true;
            return;
        }
        out->bytes = grown;
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->size, bytes, count);
    out->size += count;
}

static void put_u16(growing_t *out, uint16_t value)
{
    const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    put_bytes(out, bytes, sizeof(bytes));
}

static void put_u32(growing_t *out, uint32_t value)
{
    uint8_t bytes[4];
    sr_bytes_put_le32(bytes, value);
    put_bytes(out, bytes, sizeof(bytes));
}

#define REGION_INITIAL 13u // offset in its row

static void put_region_row(builder_t *builder, const bundle_region_t *region)
{
    const bool erased = region->data == NULL;
    put_u32(&builder->regions, region->place.address);
    put_u32(&builder->regions, region->place.size);
    put_u32(&builder->regions, erased ? 0 : (uint32_t)(builder->digests.size / SR_BUNDLE_ROW_SIZE));
    const uint8_t rest[4] = {erased ? SR_BUNDLE_ERASED : SR_BUNDLE_WRITTEN, region->initial};
    put_bytes(&builder->regions, rest, sizeof(rest));
}

static void put_chunk_row(builder_t *builder, const sr_bundle_chunk_t *chunk)
{
    put_u32(&builder->chunks, chunk->offset);
    put_u32(&builder->chunks, chunk->length);
    put_u32(&builder->chunks, chunk->first_digest);
    const uint8_t rest[4] = {chunk->sector_count, (uint8_t)chunk->encoding};
    put_bytes(&builder->chunks, rest, sizeof(rest));
}

static void put_label(growing_t *out, const char *text)
{
    char label[SR_BUNDLE_LABEL_SIZE] = {0};
    memcpy(label, text, strnlen(text, sizeof(label)));
    put_bytes(out, label, sizeof(label));
}

static void put_place(growing_t *out, sr_region_t place)
{
    put_u32(out, place.address);
    put_u32(out, place.size);
}

static void put_move_row(builder_t *builder, const sr_bundle_move_t *move)
{
    put_label(&builder->moves, move->label);
    put_place(&builder->moves, move->source);
    put_place(&builder->moves, move->destination);
}

static void put_given_up_row(builder_t *builder, const sr_bundle_given_up_t *given_up)
{
    put_label(&builder->moves, given_up->label);
    put_place(&builder->moves, given_up->place);
}

/** The bytes of one of a region's sectors, blank where its data has ended. */
static void get_sector(const bundle_region_t *region, uint32_t index, uint8_t *sector)
{
    const size_t start = (size_t)index * SR_SECTOR_SIZE;
    const size_t left = region->length > start ? region->length - start : 0;
    const size_t count = left < SR_SECTOR_SIZE ? left : SR_SECTOR_SIZE;
    memset(sector, 0xFF, SR_SECTOR_SIZE);
    memcpy(sector, region->data + (count != 0 ? start : 0), count);
}

static bool digest_sector(const uint8_t *sector, uint8_t digest[SR_SHA256_SIZE])
{
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, sector, SR_SECTOR_SIZE);
    return sr_sha256_finish(&sha, digest) == 0;
}

/** Deflates @p length bytes of content. @return bytes of the result, or 0 if it is not smaller. */
static size_t deflate_content(chunk_work_t *work, size_t length, bool *no_memory)
{
    z_stream stream = {
        .next_in = work->content,
        .avail_in = (uInt)length,
        .next_out = work->deflated,
        .avail_out = (uInt)length - 1,
    };
    // A negative number of bits asks for raw deflate. Every argument is valid, so that only memory can fail.
    *no_memory = deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -SR_BUNDLE_WINDOW_BITS, MAX_MEM_LEVEL,
                              Z_DEFAULT_STRATEGY) != Z_OK;
    if (*no_memory) {
        return 0;
    }
    const bool smaller = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    const size_t deflated = stream.total_out;
    (void)deflateEnd(&stream);
    return smaller ? deflated : 0;
}

/** Puts data and row of the chunk whose content is collected. */
static bundle_write_status_t put_chunk(builder_t *builder, sr_bundle_chunk_t chunk, size_t length)
{
    bool no_memory = false;
    const size_t deflated = deflate_content(builder->work, length, &no_memory);
    if (no_memory) {
        return BUNDLE_WRITE_NO_MEMORY;
    }
    chunk.encoding = deflated != 0 ? SR_BUNDLE_DEFLATE : SR_BUNDLE_STORED;
    chunk.length = (uint32_t)(deflated != 0 ? deflated : length);
    chunk.offset = (uint32_t)builder->data.size;
    put_bytes(&builder->data, deflated != 0 ? builder->work->deflated : builder->work->content, chunk.length);
    put_chunk_row(builder, &chunk);
    return BUNDLE_WRITE_OK;
}

/** Puts the digests of some sectors of a region, none in two blocks, and the chunk that carries them, if any. */
static bundle_write_status_t put_sectors(builder_t *builder, const bundle_region_t *region, uint32_t first,
                                         uint32_t end)
{
    sr_bundle_chunk_t chunk = {0};
    size_t length = 0;
    for (uint32_t i = first; i < end; i++) {
        uint8_t *sector = builder->work->content + length;
        uint8_t digest[SR_SHA256_SIZE];
        get_sector(region, i, sector);
        if (!digest_sector(sector, digest)) {
            return BUNDLE_WRITE_CRYPTO_FAILED;
        }
        const uint32_t index = (uint32_t)(builder->digests.size / SR_BUNDLE_ROW_SIZE);
        put_bytes(&builder->digests, digest, SR_BUNDLE_DIGEST_SIZE);
        if (sr_bundle_is_blank(digest)) {
            continue; // and its place in the content is taken by the next one
        }
        if (length == 0) {
            chunk.first_digest = index;
        }
        chunk.sector_count = (uint8_t)(index - chunk.first_digest + 1);
        length += SR_SECTOR_SIZE;
    }
    return length != 0 ? put_chunk(builder, chunk, length) : BUNDLE_WRITE_OK;
}

static bundle_write_status_t put_region(builder_t *builder, const bundle_region_t *region)
{
    const uint32_t sectors = region->place.size / SR_SECTOR_SIZE;
    const uint32_t first_in_block = region->place.address / SR_SECTOR_SIZE % SR_SECTORS_PER_BLOCK;
    put_region_row(builder, region);
    if (region->data == NULL) {
        return BUNDLE_WRITE_OK;
    }
    // This much is needed to stay inside of data and memory; all other rules are checked on the result.
    if (region->length > region->place.size ||
        sectors > SR_BUNDLE_MAX_DIGESTS - builder->digests.size / SR_BUNDLE_ROW_SIZE) {
        return BUNDLE_WRITE_BAD_ARGUMENT;
    }
    bundle_write_status_t status = BUNDLE_WRITE_OK;
    for (uint32_t first = 0; first < sectors && status == BUNDLE_WRITE_OK;) {
        const uint32_t room = SR_SECTORS_PER_BLOCK - (first_in_block + first) % SR_SECTORS_PER_BLOCK;
        const uint32_t end = sectors - first < room ? sectors : first + room;
        status = put_sectors(builder, region, first, end);
        first = end;
    }
    return status;
}

static uint32_t rows(const growing_t *table)
{
    return (uint32_t)(table->size / SR_BUNDLE_ROW_SIZE);
}

static void put_header(growing_t *out, const bundle_spec_t *spec, const builder_t *builder, uint32_t manifest_size)
{
    put_bytes(out, sr_bundle_magic, sizeof(sr_bundle_magic));
    put_u16(out, ESP_SELF_REFLASHER_BUNDLE_VERSION);
    put_u16(out, SR_BUNDLE_HEADER_SIZE);
    put_u32(out, (spec->move_count != 0 ? SR_BUNDLE_FEATURE_MOVES : 0) |
                     (spec->given_up_count != 0 ? SR_BUNDLE_FEATURE_GIVEN_UP : 0));
    put_u32(out, manifest_size);
    put_u32(out, manifest_size + SR_BUNDLE_SIGNATURE_SIZE + (uint32_t)builder->data.size);
    put_u16(out, spec->chip_id);
    put_u16(out, spec->min_chip_revision);
    put_u32(out, spec->min_flash_size);
    put_u32(out, spec->partition_table_offset);
    put_u16(out, (uint16_t)rows(&builder->regions));
    put_u16(out, (uint16_t)rows(&builder->chunks));
    put_u32(out, rows(&builder->digests));
    put_u32(out, spec->move_count);
    put_u32(out, spec->sequence);
    put_u32(out, spec->given_up_count);
    const uint8_t reserved[8] = {0};
    put_bytes(out, reserved, sizeof(reserved));
}

/** Puts the parts together. */
static void put_file(growing_t *out, const bundle_spec_t *spec, builder_t *builder)
{
    static const uint8_t unsigned_block[SR_BUNDLE_SIGNATURE_SIZE];
    const uint32_t tables = rows(&builder->regions) + rows(&builder->chunks) + rows(&builder->digests);
    const uint32_t manifest_size = SR_BUNDLE_HEADER_SIZE + SR_BUNDLE_ROW_SIZE * tables + (uint32_t)builder->moves.size;
    for (uint32_t i = 0; i < rows(&builder->chunks); i++) {
        uint8_t *offset = builder->chunks.bytes + SR_BUNDLE_ROW_SIZE * i;
        sr_bytes_put_le32(offset, sr_bytes_get_le32(offset) + manifest_size + SR_BUNDLE_SIGNATURE_SIZE);
    }
    put_header(out, spec, builder, manifest_size);
    put_bytes(out, builder->regions.bytes, builder->regions.size);
    put_bytes(out, builder->chunks.bytes, builder->chunks.size);
    put_bytes(out, builder->digests.bytes, builder->digests.size);
    put_bytes(out, builder->moves.bytes, builder->moves.size);
    put_bytes(out, unsigned_block, sizeof(unsigned_block));
    put_bytes(out, builder->data.bytes, builder->data.size);
}

static bundle_write_status_t finish(builder_t *builder, const bundle_spec_t *spec, growing_t *out)
{
    if (builder->regions.failed || builder->chunks.failed || builder->digests.failed || builder->moves.failed ||
        builder->data.failed) {
        return BUNDLE_WRITE_NO_MEMORY;
    }
    put_file(out, spec, builder);
    if (out->failed) {
        return BUNDLE_WRITE_NO_MEMORY;
    }
    // No bundle is returned that its reader would refuse.
    sr_bundle_t parsed;
    const bool valid = sr_bundle_parse(out->bytes, (uint32_t)out->size, &parsed) == SR_BUNDLE_OK;
    return valid ? BUNDLE_WRITE_OK : BUNDLE_WRITE_BAD_ARGUMENT;
}

static bundle_write_status_t build(builder_t *builder, const bundle_spec_t *spec, growing_t *out)
{
    builder->work = malloc(sizeof(*builder->work));
    if (builder->work == NULL) {
        return BUNDLE_WRITE_NO_MEMORY;
    }
    for (unsigned i = 0; i < spec->region_count; i++) {
        const bundle_write_status_t status = put_region(builder, &spec->regions[i]);
        if (status != BUNDLE_WRITE_OK) {
            return status;
        }
    }
    for (unsigned i = 0; i < spec->move_count; i++) {
        put_move_row(builder, &spec->moves[i]);
    }
    for (unsigned i = 0; i < spec->given_up_count; i++) {
        put_given_up_row(builder, &spec->given_up[i]);
    }
    return finish(builder, spec, out);
}

static bundle_write_status_t hand_over(builder_t *builder, bundle_write_status_t status, const growing_t *out,
                                       uint8_t **bundle, size_t *size)
{
    free(builder->regions.bytes);
    free(builder->chunks.bytes);
    free(builder->digests.bytes);
    free(builder->moves.bytes);
    free(builder->data.bytes);
    free(builder->work);
    if (status != BUNDLE_WRITE_OK) {
        free(out->bytes);
        return status;
    }
    *bundle = out->bytes;
    *size = out->size;
    return BUNDLE_WRITE_OK;
}

bundle_write_status_t bundle_write(const bundle_spec_t *spec, uint8_t **bundle, size_t *size)
{
    *bundle = NULL;
    *size = 0;
    if (spec->region_count == 0 || spec->region_count > SR_BUNDLE_MAX_REGIONS ||
        spec->move_count > SR_BUNDLE_MAX_MOVES || spec->given_up_count > SR_BUNDLE_MAX_GIVEN_UP) {
        return BUNDLE_WRITE_BAD_ARGUMENT;
    }
    builder_t builder = {0};
    growing_t out = {0};
    const bundle_write_status_t status = build(&builder, spec, &out);
    return hand_over(&builder, status, &out, bundle, size);
}

/** The tables of a bundle and its data, as they are. */
static void take_apart(builder_t *builder, const sr_bundle_t *bundle)
{
    const uint8_t *at = bundle->manifest + SR_BUNDLE_HEADER_SIZE;
    const uint32_t data = bundle->manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    put_bytes(&builder->regions, at, SR_BUNDLE_ROW_SIZE * bundle->region_count);
    at += SR_BUNDLE_ROW_SIZE * bundle->region_count;
    for (uint32_t i = 0; i < bundle->chunk_count; i++) {
        sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, i);
        chunk.offset -= data;
        put_chunk_row(builder, &chunk);
    }
    at += SR_BUNDLE_ROW_SIZE * bundle->chunk_count;
    put_bytes(&builder->digests, at, SR_BUNDLE_ROW_SIZE * bundle->digest_count);
    at += SR_BUNDLE_ROW_SIZE * bundle->digest_count;
    put_bytes(&builder->moves, at, (size_t)(bundle->manifest + bundle->manifest_size - at));
    put_bytes(&builder->data, bundle->manifest + data, bundle->bundle_size - data);
}

static void apply_change(builder_t *builder, const bundle_change_t *change)
{
    for (unsigned i = 0; i < change->given_up_count; i++) {
        put_given_up_row(builder, &change->given_up[i]);
    }
    for (uint32_t i = 0; change->compare_all && i < rows(&builder->regions); i++) {
        builder->regions.bytes[SR_BUNDLE_ROW_SIZE * i + REGION_INITIAL] = false;
    }
}

bundle_write_status_t bundle_rewrite(const uint8_t *bundle, size_t size, const bundle_change_t *change, uint8_t **out,
                                     size_t *out_size)
{
    sr_bundle_t parsed;
    *out = NULL;
    *out_size = 0;
    if (size > UINT32_MAX || sr_bundle_parse(bundle, (uint32_t)size, &parsed) != SR_BUNDLE_OK ||
        parsed.bundle_size != size) {
        return BUNDLE_WRITE_BAD_ARGUMENT;
    }
    builder_t builder = {0};
    growing_t file = {0};
    const bundle_spec_t spec = {
        .chip_id = parsed.chip_id,
        .min_chip_revision = parsed.min_chip_revision,
        .min_flash_size = parsed.min_flash_size,
        .partition_table_offset = parsed.partition_table_offset,
        .move_count = parsed.move_count,
        .given_up_count = parsed.given_up_count + change->given_up_count,
        .sequence = parsed.sequence,
    };
    take_apart(&builder, &parsed);
    apply_change(&builder, change);
    return hand_over(&builder, finish(&builder, &spec, &file), &file, out, out_size);
}

const char *bundle_write_status_text(bundle_write_status_t status)
{
    switch (status) {
    case BUNDLE_WRITE_OK:
        return "written";
    case BUNDLE_WRITE_BAD_ARGUMENT:
        return "a bundle cannot hold it";
    case BUNDLE_WRITE_NO_MEMORY:
        return "out of memory";
    case BUNDLE_WRITE_CRYPTO_FAILED:
        return "the crypto library failed";
    }
    return "unknown status";
}
