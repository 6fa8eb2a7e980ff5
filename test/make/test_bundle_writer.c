// SPDX-License-Identifier: Apache-2.0
// What the writer writes, read back with zlib: the flash that a bundle describes, and nothing else.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "test/support/support_failing_hash.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SECTOR      4096u
#define FLASH_SIZE  0x200000u
#define MAX_REGIONS 8u

static uint8_t flash[FLASH_SIZE];
static uint8_t result[FLASH_SIZE];

// The program is linked so that these stand in for the libraries' functions.
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
int __real_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory, int strategy,
                         const char *version, int size);
int __wrap_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory, int strategy,
                         const char *version, int size);

/** Allocations that still succeed before one fails; negative if none is to fail. */
static int allocations_left = -1;

static bool may_allocate(void)
{
    return allocations_left < 0 || allocations_left-- > 0;
}

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_realloc(void *block, size_t size)
{
    return may_allocate() ? __real_realloc(block, size) : NULL;
}

int __wrap_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory, int strategy,
                         const char *version, int size)
{
    return may_allocate() ? __real_deflateInit2_(stream, level, method, bits, memory, strategy, version, size)
                          : Z_MEM_ERROR;
}

static uint32_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(random_state >> 8) * limit >> 24);
}

/** Fills a flash with what real ones hold: blank runs, code, text, compressed data, half-filled sectors. */
static void fill_flash(uint32_t seed)
{
    random_state = seed;
    memset(flash, 0xFF, sizeof(flash));
    for (uint32_t at = 0; at < FLASH_SIZE;) {
        const uint32_t kind = random_below(6);
        const uint32_t left = FLASH_SIZE - at;
        uint32_t length = SECTOR / 2 * (1 + random_below(40));
        length = length < left ? length : left;
        for (uint32_t i = at; kind >= 3 && i < at + length; i++) {
            const uint8_t noise = (uint8_t)random_below(256);
            flash[i] = kind == 3 ? noise : kind == 4 ? (uint8_t)(i / 16) : (uint8_t)(noise % 4 + 'a');
        }
        if (kind == 2) {
            memset(flash + at, 0, length);
        }
        at += length;
    }
}

static bundle_spec_t make_spec(const bundle_region_t *regions, unsigned count)
{
    return (bundle_spec_t){
        .chip_id = 9,
        .min_chip_revision = 1,
        .min_flash_size = FLASH_SIZE,
        .partition_table_offset = 0x8000,
        .regions = regions,
        .region_count = count,
        .sequence = 0xFEDCBA98,
    };
}

static uint8_t *write_bundle(const bundle_spec_t *spec, size_t *size, sr_bundle_t *bundle)
{
    uint8_t *bytes = NULL;
    assert_int_equal(bundle_write(spec, &bytes, size), BUNDLE_WRITE_OK);
    assert_int_equal(sr_bundle_parse(bytes, (uint32_t)*size, bundle), SR_BUNDLE_OK);
    assert_int_equal(bundle->bundle_size, *size);
    assert_int_equal(bundle->chip_id, spec->chip_id);
    assert_int_equal(bundle->min_chip_revision, spec->min_chip_revision);
    assert_int_equal(bundle->min_flash_size, spec->min_flash_size);
    assert_int_equal(bundle->partition_table_offset, spec->partition_table_offset);
    assert_int_equal(bundle->region_count, spec->region_count);
    assert_int_equal(bundle->move_count, spec->move_count);
    assert_int_equal(bundle->sequence, spec->sequence);
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        assert_int_equal(sr_bundle_region(bundle, i).initial, spec->regions[i].initial);
    }
    for (uint32_t i = 0; i < SR_BUNDLE_SIGNATURE_SIZE; i++) {
        assert_int_equal(bytes[bundle->manifest_size + i], 0);
    }
    return bytes;
}

/** Decodes a chunk with zlib, whose window is as small as a reader's may be. @return bytes. */
static uint32_t decode(const uint8_t *file, const sr_bundle_chunk_t *chunk, uint8_t out[16 * SECTOR])
{
    if (chunk->encoding == SR_BUNDLE_STORED) {
        memcpy(out, file + chunk->offset, chunk->length);
        return chunk->length;
    }
    uint8_t *copy = malloc(chunk->length);
    assert_non_null(copy);
    memcpy(copy, file + chunk->offset, chunk->length);
    z_stream stream = {.next_in = copy, .avail_in = chunk->length, .next_out = out};
    assert_int_equal(inflateInit2(&stream, -12), Z_OK);
    int status = Z_OK;
    while (status == Z_OK && stream.total_out < 16 * SECTOR) {
        stream.avail_out = 256; // Small pieces: zlib then really has only its window to refer back to.
        status = inflate(&stream, Z_NO_FLUSH);
    }
    assert_int_equal(status == Z_OK ? inflate(&stream, Z_FINISH) : status, Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    const uint32_t size = (uint32_t)stream.total_out;
    assert_int_equal(inflateEnd(&stream), Z_OK);
    free(copy);
    return size;
}

static void apply_chunk(const uint8_t *file, const sr_bundle_t *bundle, uint32_t index)
{
    uint8_t content[16 * SECTOR];
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(bundle, index);
    const uint32_t size = decode(file, &chunk, content);
    assert_int_equal(size, sr_bundle_chunk_size(bundle, index));

    const uint32_t first = sr_bundle_address(bundle, chunk.first_digest);
    const uint32_t last = sr_bundle_address(bundle, chunk.first_digest + chunk.sector_count - 1u);
    assert_int_equal(first / SR_BLOCK_SIZE, last / SR_BLOCK_SIZE);
    const uint8_t *next = content;
    for (uint32_t i = 0; i < chunk.sector_count; i++) {
        if (!sr_bundle_is_blank(sr_bundle_digest(bundle, chunk.first_digest + i))) {
            memcpy(result + first + SECTOR * i, next, SECTOR);
            next += SECTOR;
        }
    }
    assert_int_equal(next - content, size);
}

/** Makes the result from a bundle: a flash full of 0x5A, brought into the state that the bundle describes. */
static void apply(const uint8_t *file, const sr_bundle_t *bundle)
{
    memset(result, 0x5A, sizeof(result));
    for (uint32_t address = 0; address < FLASH_SIZE; address += SECTOR) {
        if (sr_bundle_want(bundle, address, NULL) == SR_BUNDLE_BLANK) {
            memset(result + address, 0xFF, SECTOR);
        }
    }
    for (uint32_t i = 0; i < bundle->chunk_count; i++) {
        apply_chunk(file, bundle, i);
    }
}

/** Puts what the regions say into an expectation, with code that does not work on sectors. */
static void expect(const bundle_region_t *regions, unsigned count, uint8_t *expected)
{
    memset(expected, 0x5A, FLASH_SIZE);
    for (unsigned i = 0; i < count; i++) {
        memset(expected + regions[i].place.address, 0xFF, regions[i].place.size);
        if (regions[i].data != NULL) {
            memcpy(expected + regions[i].place.address, regions[i].data, regions[i].length);
        }
    }
}

/** Some regions by ascending address, some of which touch, are erased, or hold less than they could. */
static unsigned random_regions(bundle_region_t regions[MAX_REGIONS])
{
    unsigned count = 0;
    uint32_t sector = random_below(40);
    while (count < MAX_REGIONS && sector < FLASH_SIZE / SECTOR) {
        const uint32_t left = FLASH_SIZE / SECTOR - sector;
        const uint32_t sectors = 1 + random_below(left < 150 ? left : 150);
        bundle_region_t *region = &regions[count++];
        *region = (bundle_region_t){.place = {sector * SECTOR, sectors * SECTOR}};
        if (random_below(4) != 0) {
            region->data = flash + region->place.address;
            region->initial = count > 1 && random_below(2) == 0;
            region->length = random_below(3) != 0 ? region->place.size : random_below(region->place.size);
        }
        sector += sectors + (random_below(2) != 0 ? random_below(40) : 0);
    }
    return count;
}

static void any_flash_comes_back(void **state)
{
    (void)state;
    static uint8_t expected[FLASH_SIZE];
    unsigned stored = 0;
    unsigned deflated = 0;
    for (uint32_t seed = 0; seed < 40; seed++) {
        bundle_region_t regions[MAX_REGIONS];
        fill_flash(seed);
        const unsigned count = random_regions(regions);
        const bundle_spec_t spec = make_spec(regions, count);
        size_t size = 0;
        sr_bundle_t bundle;
        uint8_t *file = write_bundle(&spec, &size, &bundle);
        expect(regions, count, expected);
        apply(file, &bundle);
        assert_memory_equal(result, expected, FLASH_SIZE);
        for (uint32_t i = 0; i < bundle.chunk_count; i++) {
            const bool is_stored = sr_bundle_chunk(&bundle, i).encoding == SR_BUNDLE_STORED;
            stored += is_stored;
            deflated += !is_stored;
        }

        size_t again_size = 0;
        uint8_t *again = NULL;
        assert_int_equal(bundle_write(&spec, &again, &again_size), BUNDLE_WRITE_OK);
        assert_int_equal(again_size, size);
        assert_memory_equal(again, file, size);
        free(again);
        free(file);
    }
    assert_true(stored > 0 && deflated > 0);
}

static void blank_sectors_are_not_carried(void **state)
{
    (void)state;
    memset(flash, 0xFF, sizeof(flash));
    flash[0x10000] = 0;
    flash[0x1F000] = 0;
    flash[0x2FFFF] = 0;
    const bundle_region_t region = {.place = {0, FLASH_SIZE}, .data = flash, .length = FLASH_SIZE};
    const bundle_spec_t spec = make_spec(&region, 1);
    size_t size = 0;
    sr_bundle_t bundle;
    uint8_t *file = write_bundle(&spec, &size, &bundle);
    assert_int_equal(bundle.chunk_count, 2);
    assert_int_equal(sr_bundle_chunk(&bundle, 0).first_digest, 0x10);
    assert_int_equal(sr_bundle_chunk(&bundle, 0).sector_count, 16);
    assert_int_equal(sr_bundle_chunk_size(&bundle, 0), 2 * SECTOR);
    assert_int_equal(sr_bundle_chunk(&bundle, 1).first_digest, 0x2F);
    assert_int_equal(sr_bundle_chunk(&bundle, 1).sector_count, 1);
    free(file);
}

static void data_ends_anywhere(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, SECTOR - 1, SECTOR, SECTOR + 1, 2 * SECTOR};
    fill_flash(7);
    memset(flash, 0, 2 * SECTOR);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        // Of exactly this length, so that a sanitizer sees the first byte too much.
        uint8_t *data = malloc(lengths[i] != 0 ? lengths[i] : 1);
        assert_non_null(data);
        memset(data, 0, lengths[i]);
        const bundle_region_t region = {.place = {0x3000, 2 * SECTOR}, .data = data, .length = lengths[i]};
        const bundle_spec_t spec = make_spec(&region, 1);
        size_t size = 0;
        sr_bundle_t bundle;
        uint8_t *file = write_bundle(&spec, &size, &bundle);
        apply(file, &bundle);
        for (size_t k = 0; k < 2 * SECTOR; k++) {
            assert_int_equal(result[0x3000 + k], k < lengths[i] ? 0 : 0xFF);
        }
        assert_int_equal(sr_bundle_region(&bundle, 0).kind, SR_BUNDLE_WRITTEN);
        free(file);
        free(data);
    }
}

static void noise_is_stored(void **state)
{
    (void)state;
    random_state = 3;
    for (uint32_t i = 0; i < SR_BLOCK_SIZE; i++) {
        flash[i] = (uint8_t)random_below(256);
    }
    const bundle_region_t region = {.place = {0, SR_BLOCK_SIZE}, .data = flash, .length = SR_BLOCK_SIZE};
    const bundle_spec_t spec = make_spec(&region, 1);
    size_t size = 0;
    sr_bundle_t bundle;
    uint8_t *file = write_bundle(&spec, &size, &bundle);
    assert_int_equal(bundle.chunk_count, 1);
    assert_int_equal(sr_bundle_chunk(&bundle, 0).encoding, SR_BUNDLE_STORED);
    assert_int_equal(size, bundle.manifest_size + 80 + SR_BLOCK_SIZE);
    free(file);
}

/** Tries to write a bundle that must be refused. */
static void refused(const bundle_spec_t *spec)
{
    uint8_t *bytes = flash;
    size_t size = 1;
    assert_int_equal(bundle_write(spec, &bytes, &size), BUNDLE_WRITE_BAD_ARGUMENT);
    assert_null(bytes);
    assert_int_equal(size, 0);
}

static void what_the_format_cannot_hold_is_refused(void **state)
{
    (void)state;
    static const bundle_region_t bad[][2] = {
        {{.place = {0x1001, 0x1000}}, {.place = {0x8000, 0x1000}}},
        {{.place = {0x1000, 0x1001}}, {.place = {0x8000, 0x1000}}},
        {{.place = {0x1000, 0}}, {.place = {0x8000, 0x1000}}},
        {{.place = {0x8000, 0x1000}}, {.place = {0x1000, 0x1000}}},
        {{.place = {0x1000, 0x2000}}, {.place = {0x2000, 0x1000}}},
        {{.place = {0x1000, 0x1000}}, {.place = {FLASH_SIZE, 0x1000}}},
        {{.place = {0x1000, 0x1000}}, {.place = {FLASH_SIZE - 0x1000, 0x2000}}},
        {{.place = {0x1000, 0x1000}}, {.place = {0xFFFFF000, 0x1000}}},
        {{.place = {0x1000, 0x1000}}, {.place = {0x2000, 0x1000}, .data = flash, .length = 0x1001}},
        {{.place = {0x1000, 0x1000}}, {.place = {0x2000, 0xFFFFF000}, .data = flash, .length = 1}},
        {{.place = {0x1000, 0x1000}}, {.place = {0x2000, 0x1800}, .data = flash, .length = 0x1800}},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const bundle_spec_t spec = make_spec(bad[i], 2);
        refused(&spec);
    }
    bundle_region_t good[65];
    for (uint32_t i = 0; i < 65; i++) {
        good[i] = (bundle_region_t){.place = {0x1000 * i, 0x1000}};
    }
    bundle_spec_t spec = make_spec(good, 65);
    refused(&spec);
    spec.region_count = 0;
    refused(&spec);
    spec.region_count = 64;
    spec.min_flash_size++;
    refused(&spec);
    spec.min_flash_size--;
    spec.partition_table_offset++;
    refused(&spec);
    spec.partition_table_offset--;
    for (uint32_t i = 0; i < 64; i++) {
        good[i].initial = true;
    }
    refused(&spec);
    good[63].initial = false;
    sr_bundle_t bundle;
    size_t size = 0;
    free(write_bundle(&spec, &size, &bundle));
}

static void more_sectors_than_digests_are_refused(void **state)
{
    (void)state;
    fill_flash(1);
    bundle_region_t regions[2] = {
        {.place = {0, 0x1000000}, .data = flash, .length = FLASH_SIZE},
        {.place = {0x1000000, 0x1000000}, .data = flash, .length = FLASH_SIZE},
    };
    bundle_spec_t spec = make_spec(regions, 2);
    spec.min_flash_size = 0x4000000;
    sr_bundle_t bundle;
    size_t size = 0;
    free(write_bundle(&spec, &size, &bundle));
    assert_int_equal(bundle.digest_count, SR_BUNDLE_MAX_DIGESTS);
    regions[1].place.size += SECTOR;
    refused(&spec);
}

static void moves_are_carried(void **state)
{
    (void)state;
    fill_flash(4);
    const bundle_region_t region = {.place = {0x1000, 0x30000}, .data = flash, .length = 0x30000};
    sr_bundle_move_t moves[SR_BUNDLE_MAX_MOVES] = {
        {.source = {0x100000, 0x2000}, .destination = {0x40000, 0x4000}},
        {.label = "calibration data", .destination = {0x44000, 0x1000}},
    };
    for (uint32_t i = 2; i < SR_BUNDLE_MAX_MOVES; i++) {
        moves[i] = (sr_bundle_move_t){.label = {(char)('a' + i)}, .destination = {0x10000 * (i + 5), 0x10000}};
    }
    for (unsigned count = 1; count <= SR_BUNDLE_MAX_MOVES; count++) {
        bundle_spec_t spec = make_spec(&region, 1);
        spec.moves = moves;
        spec.move_count = count;
        size_t size = 0;
        sr_bundle_t bundle;
        uint8_t *file = write_bundle(&spec, &size, &bundle);
        for (uint32_t i = 0; i < count; i++) {
            const sr_bundle_move_t move = sr_bundle_move(&bundle, i);
            assert_string_equal(move.label, moves[i].label);
            assert_memory_equal(&move.source, &moves[i].source, sizeof(move.source));
            assert_memory_equal(&move.destination, &moves[i].destination, sizeof(move.destination));
        }
        static uint8_t expected[FLASH_SIZE];
        expect(&region, 1, expected);
        apply(file, &bundle);
        assert_memory_equal(result, expected, FLASH_SIZE);
        free(file);
    }
}

static void moves_that_break_a_rule_are_refused(void **state)
{
    (void)state;
    static const sr_bundle_move_t bad[][2] = {
        {{.label = "a", .destination = {0x4000, 0x1000}}, {.label = "b", .destination = {0x3000, 0x1000}}},
        {{.label = "a", .destination = {0x3000, 0x2000}}, {.label = "b", .destination = {0x4000, 0x1000}}},
        {{.label = "a", .destination = {0x3000, 0x1000}}, {.label = "a", .destination = {0x4000, 0x1000}}},
        {{.label = "a", .destination = {0x1000, 0x1000}}, {.label = "b", .destination = {0x4000, 0x1000}}},
        {{.label = "a", .source = {0, 0x1000}, .destination = {0x3000, 0x1000}},
         {.label = "b", .destination = {0x4000, 0x1000}}},
        {{.source = {0x8000, 0x2000}, .destination = {0x3000, 0x1000}},
         {.label = "b", .destination = {0x4000, 0x1000}}},
    };
    const bundle_region_t region = {.place = {0x1000, 0x1000}, .data = flash, .length = 1};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bundle_spec_t spec = make_spec(&region, 1);
        spec.moves = bad[i];
        spec.move_count = 2;
        refused(&spec);
    }
    sr_bundle_move_t many[SR_BUNDLE_MAX_MOVES + 1];
    for (uint32_t i = 0; i <= SR_BUNDLE_MAX_MOVES; i++) {
        many[i] = (sr_bundle_move_t){.label = {(char)('a' + i)}, .destination = {0x10000 * (i + 1), 0x1000}};
    }
    bundle_spec_t spec = make_spec(&region, 1);
    spec.moves = many;
    spec.move_count = SR_BUNDLE_MAX_MOVES + 1;
    refused(&spec);
}

static bundle_write_status_t give_up(const uint8_t *file, size_t size, const sr_bundle_given_up_t *more, unsigned count,
                                     uint8_t **out, size_t *out_size)
{
    const bundle_change_t change = {.given_up = more, .given_up_count = count};
    return bundle_rewrite(file, size, &change, out, out_size);
}

/** Fails unless what is given up one by one gives the bundle that is written with all of it. */
static void giving_up_more_is_like_writing_it_so(void **state)
{
    (void)state;
    fill_flash(6);
    const bundle_region_t regions[] = {
        {.place = {0x1000, 0x20000}, .data = flash, .length = 0x20000},
        {.place = {0x30000, 0x1000}},
    };
    const sr_bundle_move_t move = {.label = "nvs", .destination = {0x50000, 0x1000}};
    static const sr_bundle_given_up_t all[] = {
        {.label = "spiffs"}, {.place = {0x60000, 0x2000}}, {.label = "coredump"}};
    bundle_spec_t spec = make_spec(regions, 2);
    spec.moves = &move;
    spec.move_count = 1;
    spec.given_up = all;
    uint8_t *file = NULL;
    size_t file_size = 0;
    for (unsigned count = 0; count <= 3; count++) {
        size_t size = 0;
        sr_bundle_t bundle;
        spec.given_up_count = count;
        uint8_t *wanted = write_bundle(&spec, &size, &bundle);
        if (count > 0) {
            uint8_t *more = NULL;
            size_t more_size = 0;
            assert_int_equal(give_up(file, file_size, &all[count - 1], 1, &more, &more_size), BUNDLE_WRITE_OK);
            assert_int_equal(more_size, size);
            assert_memory_equal(more, wanted, size);
            free(more);
        }
        free(file);
        file = wanted;
        file_size = size;
    }
    free(file);
}

/** Fails unless a bundle that gets no initial regions any more is the one that is written without them. */
static void comparing_all_is_like_writing_it_so(void **state)
{
    (void)state;
    fill_flash(8);
    static const bundle_change_t change = {.compare_all = true};
    bundle_region_t regions[] = {
        {.place = {0x1000, 0x20000}, .data = flash, .length = 0x20000},
        {.place = {0x30000, 0x1000}, .initial = true},
        {.place = {0x31000, 0x2000}, .data = flash + 0x100, .length = 0x2000, .initial = true},
    };
    bundle_spec_t spec = make_spec(regions, 3);
    size_t size[2];
    sr_bundle_t bundle;
    uint8_t *with_initial = write_bundle(&spec, &size[0], &bundle);
    assert_true(sr_bundle_has_initial(&bundle));
    regions[1].initial = regions[2].initial = false;
    uint8_t *wanted = write_bundle(&spec, &size[1], &bundle);
    uint8_t *rewritten = NULL;
    size_t rewritten_size = 0;
    assert_int_equal(bundle_rewrite(with_initial, size[0], &change, &rewritten, &rewritten_size), BUNDLE_WRITE_OK);
    assert_int_equal(rewritten_size, size[1]);
    assert_memory_equal(rewritten, wanted, size[1]);
    free(rewritten);
    free(wanted);
    free(with_initial);
}

/** What is no bundle, what is given up already, what moves, and running out of memory. */
static void giving_up_more_than_the_format_holds_is_refused(void **state)
{
    (void)state;
    fill_flash(7);
    const bundle_region_t region = {.place = {0x1000, 0x20000}, .data = flash, .length = 0x20000};
    const sr_bundle_move_t move = {.label = "nvs", .destination = {0x50000, 0x1000}};
    static const sr_bundle_given_up_t bad[] = {{.label = "nvs"}, {.place = {0x800, 0x1000}}, {.label = "a"}};
    sr_bundle_given_up_t many[SR_BUNDLE_MAX_GIVEN_UP] = {{.label = "b"}};
    bundle_spec_t spec = make_spec(&region, 1);
    spec.moves = &move;
    spec.move_count = 1;
    spec.given_up = &bad[2];
    spec.given_up_count = 1;
    size_t size = 0;
    size_t out_size = 1;
    sr_bundle_t bundle;
    uint8_t *out = flash;
    uint8_t *file = write_bundle(&spec, &size, &bundle);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(give_up(file, size, &bad[i], 1, &out, &out_size), BUNDLE_WRITE_BAD_ARGUMENT);
        assert_true(out == NULL && out_size == 0);
    }
    for (uint32_t i = 1; i < SR_BUNDLE_MAX_GIVEN_UP; i++) {
        many[i] = (sr_bundle_given_up_t){.label = {(char)('b' + i)}};
    }
    assert_int_equal(give_up(file, size, many, SR_BUNDLE_MAX_GIVEN_UP, &out, &out_size), BUNDLE_WRITE_BAD_ARGUMENT);
    assert_int_equal(give_up(file, size - 1, many, 1, &out, &out_size), BUNDLE_WRITE_BAD_ARGUMENT);
    int count = 0;
    bundle_write_status_t status = BUNDLE_WRITE_NO_MEMORY;
    for (; status != BUNDLE_WRITE_OK; count++) {
        allocations_left = count;
        status = give_up(file, size, many, SR_BUNDLE_MAX_GIVEN_UP - 1, &out, &out_size);
        allocations_left = -1;
        assert_true(status == BUNDLE_WRITE_NO_MEMORY ? out == NULL && out_size == 0 : status == BUNDLE_WRITE_OK);
        free(out);
    }
    assert_true(count > 5);
    free(file);
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    fill_flash(5);
    const bundle_region_t regions[] = {
        {.place = {0, 0x40000}, .data = flash, .length = 0x40000},
        {.place = {0x40000, 0x1000}},
    };
    const sr_bundle_move_t move = {.label = "nvs", .destination = {0x50000, 0x1000}};
    bundle_spec_t spec = make_spec(regions, 2);
    spec.moves = &move;
    spec.move_count = 1;
    int count = 0;
    bundle_write_status_t status = BUNDLE_WRITE_NO_MEMORY;
    for (; status != BUNDLE_WRITE_OK; count++) {
        uint8_t *bytes = flash;
        size_t size = 1;
        allocations_left = count;
        status = bundle_write(&spec, &bytes, &size);
        allocations_left = -1;
        assert_true(status == BUNDLE_WRITE_NO_MEMORY ? bytes == NULL && size == 0 : status == BUNDLE_WRITE_OK);
        free(bytes);
    }
    assert_true(count > 10);
}

static void failing_crypto_library_is_reported(void **state)
{
    (void)state;
    const bundle_region_t region = {.place = {0, 0x1000}, .data = flash, .length = 1};
    const bundle_spec_t spec = make_spec(&region, 1);
    uint8_t *bytes = flash;
    size_t size = 1;
    hash_fails = true;
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_CRYPTO_FAILED);
    hash_fails = false;
    assert_null(bytes);
}

static void every_status_has_its_own_words(void **state)
{
    (void)state;
    for (int i = BUNDLE_WRITE_OK; i <= BUNDLE_WRITE_CRYPTO_FAILED; i++) {
        for (int other = BUNDLE_WRITE_OK; other < i; other++) {
            assert_string_not_equal(bundle_write_status_text((bundle_write_status_t)i),
                                    bundle_write_status_text((bundle_write_status_t)other));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_flash_comes_back),
        cmocka_unit_test(blank_sectors_are_not_carried),
        cmocka_unit_test(data_ends_anywhere),
        cmocka_unit_test(noise_is_stored),
        cmocka_unit_test(what_the_format_cannot_hold_is_refused),
        cmocka_unit_test(more_sectors_than_digests_are_refused),
        cmocka_unit_test(moves_are_carried),
        cmocka_unit_test(moves_that_break_a_rule_are_refused),
        cmocka_unit_test(giving_up_more_is_like_writing_it_so),
        cmocka_unit_test(comparing_all_is_like_writing_it_so),
        cmocka_unit_test(giving_up_more_than_the_format_holds_is_refused),
        cmocka_unit_test(running_out_of_memory_is_reported),
        cmocka_unit_test(failing_crypto_library_is_reported),
        cmocka_unit_test(every_status_has_its_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
