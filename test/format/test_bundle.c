// SPDX-License-Identifier: Apache-2.0
// The manifest parser, against docs/bundle-format.md: every rule of its last section one by one, its worked example,
// and a second implementation of the same rules, which may be slow.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bundle.h"
#include "format/sr_bytes.h"
#include "format/sr_moves.h"
#include "make/bundle_signer.h"
#include "test/support/support_bundle.h"
#include "test/support/support_explore.h"

#include <sys/mman.h>
#include <unistd.h>

#define REGIONS       3u
#define CHUNKS        2u
#define DIGESTS       5u
#define MANIFEST_SIZE (64u + 16u * (REGIONS + CHUNKS + DIGESTS))
#define FIRST_LENGTH  100u
#define BUNDLE_SIZE   (MANIFEST_SIZE + 80u + FIRST_LENGTH + 4096u)
#define FLASH_SIZE    0x20000u

// Where the fields of the draft are.
#define REGION(index, field) (64u + 16u * (index) + (field))
#define CHUNK(index, field)  (64u + 16u * (REGIONS + (index)) + (field))
#define DIGEST(index)        (64u + 16u * (REGIONS + CHUNKS + (index)))

// Moves lie after the draft's digests, if it has some.
#define MOVES              3u
#define MOVE(index, field) (MANIFEST_SIZE + 32u * (index) + (field))
#define MOVED_SIZE         (MANIFEST_SIZE + 32u * MOVES)

static uint8_t draft[MOVED_SIZE + 48]; // with room for two rows of what is given up

static void put(uint32_t offset, unsigned width, uint32_t value)
{
    for (unsigned i = 0; i < width; i++) {
        draft[offset + i] = (uint8_t)(value >> (8 * i));
    }
}

static void put_row(uint32_t offset, uint32_t first, uint32_t second, uint32_t third, uint32_t last)
{
    put(offset, 4, first);
    put(offset + 4, 4, second);
    put(offset + 8, 4, third);
    put(offset + 12, 4, last);
}

/** A manifest with one of each, written by hand: digests 1 and 4 are blank. */
static void draft_start(void)
{
    static const uint8_t magic[8] = {0x53, 0x52, 0x42, 0x4e, 0x44, 0x4c, 0x0d, 0x0a};
    static const uint8_t blank[16] = {0xf4, 0x7a, 0x8e, 0xc3, 0xe9, 0xaf, 0xf2, 0x31,
                                      0x8d, 0x89, 0x69, 0x42, 0x28, 0x2a, 0xd4, 0xfe};
    memset(draft, 0, sizeof(draft));
    memcpy(draft, magic, sizeof(magic));
    put(8, 2, 2);
    put(10, 2, 64);
    put(16, 4, MANIFEST_SIZE);
    put(20, 4, BUNDLE_SIZE);
    put(24, 2, 9);
    put(26, 2, 101);
    put(28, 4, FLASH_SIZE);
    put(32, 4, 0x8000);
    put(36, 2, REGIONS);
    put(38, 2, CHUNKS);
    put(40, 4, DIGESTS);
    put(48, 4, 0x89ABCDEF);
    put_row(REGION(0, 0), 0x1000, 0x3000, 0, 0);
    put_row(REGION(1, 0), 0x8000, 0x2000, 0, 1 | 1 << 8);
    put_row(REGION(2, 0), 0x10000, 0x2000, 3, 0);
    put_row(CHUNK(0, 0), MANIFEST_SIZE + 80, FIRST_LENGTH, 0, 3 | 1 << 8);
    put_row(CHUNK(1, 0), MANIFEST_SIZE + 80 + FIRST_LENGTH, 4096, 3, 1);
    for (uint32_t i = 0; i < DIGESTS; i++) {
        memset(draft + DIGEST(i), (int)(0x10 + i), 16);
    }
    memcpy(draft + DIGEST(1), blank, 16);
    memcpy(draft + DIGEST(4), blank, 16);
}

/** The draft with moves: a region up, a partition, and a region over its own start. */
static void draft_start_moved(void)
{
    draft_start();
    const uint32_t bytes = 32 * MOVES;
    put(12, 4, 1);
    put(16, 4, MOVED_SIZE);
    put(20, 4, BUNDLE_SIZE + bytes);
    put(44, 4, MOVES);
    put(CHUNK(0, 0), 4, MOVED_SIZE + 80);
    put(CHUNK(1, 0), 4, MOVED_SIZE + 80 + FIRST_LENGTH);
    put_row(MOVE(0, 16), 0x8000, 0x1000, 0x5000, 0x1000);
    memcpy(draft + MOVE(1, 0), "a label of 16 by", 16);
    put_row(MOVE(1, 16), 0, 0, 0xA000, 0x6000);
    put_row(MOVE(2, 16), 0x13000, 0x3000, 0x14000, 0x4000);
}

static void copy_digest(uint32_t to, uint32_t from)
{
    memcpy(draft + DIGEST(to), draft + DIGEST(from), 16);
}

/** Parses bytes that are followed by memory that cannot be read. */
static sr_bundle_status_t parse_guarded(const uint8_t *bytes, uint32_t length, sr_bundle_t *bundle)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (length + page - 1) / page * page;
    uint8_t *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + room, page, PROT_NONE), 0);
    uint8_t *start = map + room - length;
    memcpy(start, bytes, length);
    const sr_bundle_status_t status = sr_bundle_parse(start, length, bundle);
    assert_int_equal(munmap(map, room + page), 0);
    return status;
}

static sr_bundle_status_t parse_draft(void)
{
    sr_bundle_t bundle;
    const sr_bundle_status_t status = parse_guarded(draft, MANIFEST_SIZE, &bundle);
    if (status != SR_BUNDLE_OK) {
        assert_int_equal(bundle.region_count, 0);
        assert_null(bundle.manifest);
    }
    return status;
}

static void all_fields_of_a_valid_manifest_are_read(void **state)
{
    (void)state;
    draft_start();
    sr_bundle_t bundle;
    assert_int_equal(sr_bundle_parse(draft, MANIFEST_SIZE, &bundle), SR_BUNDLE_OK);
    assert_ptr_equal(bundle.manifest, draft);
    assert_int_equal(bundle.manifest_size, MANIFEST_SIZE);
    assert_int_equal(bundle.bundle_size, BUNDLE_SIZE);
    assert_int_equal(bundle.chip_id, 9);
    assert_int_equal(bundle.min_chip_revision, 101);
    assert_int_equal(bundle.min_flash_size, FLASH_SIZE);
    assert_int_equal(bundle.partition_table_offset, 0x8000);
    assert_int_equal(bundle.region_count, REGIONS);
    assert_int_equal(bundle.chunk_count, CHUNKS);
    assert_int_equal(bundle.digest_count, DIGESTS);
    assert_int_equal(bundle.sequence, 0x89ABCDEF);

    const sr_bundle_region_t region = sr_bundle_region(&bundle, 2);
    assert_int_equal(region.place.address, 0x10000);
    assert_int_equal(region.place.size, 0x2000);
    assert_int_equal(region.first_digest, 3);
    assert_int_equal(region.kind, SR_BUNDLE_WRITTEN);
    assert_false(region.initial);
    assert_int_equal(sr_bundle_region(&bundle, 1).kind, SR_BUNDLE_ERASED);
    assert_true(sr_bundle_region(&bundle, 1).initial);

    const sr_bundle_chunk_t chunk = sr_bundle_chunk(&bundle, 0);
    assert_int_equal(chunk.offset, MANIFEST_SIZE + 80);
    assert_int_equal(chunk.length, FIRST_LENGTH);
    assert_int_equal(chunk.first_digest, 0);
    assert_int_equal(chunk.sector_count, 3);
    assert_int_equal(chunk.encoding, SR_BUNDLE_DEFLATE);
    assert_int_equal(sr_bundle_chunk(&bundle, 1).encoding, SR_BUNDLE_STORED);
    assert_int_equal(sr_bundle_chunk_size(&bundle, 0), 2 * 4096);
    assert_int_equal(sr_bundle_chunk_size(&bundle, 1), 4096);
    assert_ptr_equal(sr_bundle_digest(&bundle, 3), draft + DIGEST(3));
}

static void sectors_are_found_by_address_and_by_digest(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        sr_bundle_want_t want;
        uint32_t digest;
        uint32_t chunk;
    } sectors[] = {
        {0x0, SR_BUNDLE_KEEP, 0, 0},        {0x1000, SR_BUNDLE_CONTENT, 0, 0}, {0x2000, SR_BUNDLE_BLANK, 0, 0},
        {0x3000, SR_BUNDLE_CONTENT, 2, 0},  {0x4000, SR_BUNDLE_KEEP, 0, 0},    {0x7000, SR_BUNDLE_KEEP, 0, 0},
        {0x8000, SR_BUNDLE_BLANK, 0, 0},    {0x9000, SR_BUNDLE_BLANK, 0, 0},   {0xA000, SR_BUNDLE_KEEP, 0, 0},
        {0x10000, SR_BUNDLE_CONTENT, 3, 1}, {0x11000, SR_BUNDLE_BLANK, 0, 0},  {0x12000, SR_BUNDLE_KEEP, 0, 0},
        {0xFFFFF000, SR_BUNDLE_KEEP, 0, 0},
    };
    draft_start();
    sr_bundle_t bundle;
    assert_int_equal(sr_bundle_parse(draft, MANIFEST_SIZE, &bundle), SR_BUNDLE_OK);
    for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
        uint32_t digest = 99;
        assert_int_equal(sr_bundle_want(&bundle, sectors[i].address, NULL), sectors[i].want);
        assert_int_equal(sr_bundle_want(&bundle, sectors[i].address, &digest), sectors[i].want);
        if (sectors[i].want == SR_BUNDLE_CONTENT) {
            assert_int_equal(digest, sectors[i].digest);
            assert_int_equal(sr_bundle_address(&bundle, digest), sectors[i].address);
            assert_int_equal(sr_bundle_chunk_of(&bundle, digest), sectors[i].chunk);
        } else {
            assert_int_equal(digest, 99);
        }
    }
    assert_int_equal(sr_bundle_address(&bundle, 1), 0x2000);
    assert_int_equal(sr_bundle_address(&bundle, 4), 0x11000);
}

/** A field of the draft, and a value that breaks a rule, or keeps all. */
typedef struct field_case {
    const char *what;
    uint32_t offset;
    unsigned width;
    uint32_t value;
    sr_bundle_status_t status;
} field_case_t;

static const field_case_t field_cases[] = {
    {"magic, first byte", 0, 1, 0x54, SR_BUNDLE_BAD_MAGIC},
    {"magic, last byte", 7, 1, 0x0d, SR_BUNDLE_BAD_MAGIC},
    {"version 0", 8, 2, 0, SR_BUNDLE_BAD_VERSION},
    {"version 1", 8, 2, 1, SR_BUNDLE_BAD_VERSION},
    {"version 258", 8, 2, 258, SR_BUNDLE_BAD_VERSION},
    {"header of 63", 10, 2, 63, SR_BUNDLE_BAD_VERSION},
    {"header of 48", 10, 2, 48, SR_BUNDLE_BAD_VERSION},
    {"moves, but none", 12, 4, 1, SR_BUNDLE_BAD_HEADER},
    {"gives up, but nothing", 12, 4, 2, SR_BUNDLE_BAD_HEADER},
    {"feature 2", 12, 4, 4, SR_BUNDLE_BAD_FEATURE},
    {"feature 31", 12, 4, 0x80000000, SR_BUNDLE_BAD_FEATURE},
    {"manifest too small", 16, 4, MANIFEST_SIZE - 16, SR_BUNDLE_BAD_HEADER},
    {"manifest too large", 16, 4, MANIFEST_SIZE + 16, SR_BUNDLE_BAD_HEADER},
    {"manifest of everything", 16, 4, UINT32_MAX, SR_BUNDLE_BAD_HEADER},
    {"bundle smaller than its signature", 20, 4, MANIFEST_SIZE + 79, SR_BUNDLE_BAD_HEADER},
    {"bundle of nothing", 20, 4, 0, SR_BUNDLE_BAD_HEADER},
    {"bundle without data", 20, 4, MANIFEST_SIZE + 80, SR_BUNDLE_BAD_CHUNK},
    {"bundle one byte smaller", 20, 4, BUNDLE_SIZE - 1, SR_BUNDLE_BAD_CHUNK},
    {"bundle one byte larger", 20, 4, BUNDLE_SIZE + 1, SR_BUNDLE_BAD_CHUNK},
    {"bundle of everything", 20, 4, UINT32_MAX, SR_BUNDLE_BAD_CHUNK},
    {"any chip", 24, 2, 0xFFFF, SR_BUNDLE_OK},
    {"any revision", 26, 2, 0xFFFF, SR_BUNDLE_OK},
    {"flash just large enough", 28, 4, 0x12000, SR_BUNDLE_OK},
    {"largest flash", 28, 4, 0xFFFFF000, SR_BUNDLE_OK},
    {"unaligned flash", 28, 4, FLASH_SIZE + 1, SR_BUNDLE_BAD_HEADER},
    {"flash too small for the table", 28, 4, 0x8000, SR_BUNDLE_BAD_HEADER},
    {"flash too small for a region", 28, 4, 0x11000, SR_BUNDLE_BAD_REGION},
    {"no flash", 28, 4, 0, SR_BUNDLE_BAD_HEADER},
    {"no table", 32, 4, UINT32_MAX, SR_BUNDLE_OK},
    {"table in the last sector", 32, 4, FLASH_SIZE - 0x1000, SR_BUNDLE_OK},
    {"table past the end of flash", 32, 4, FLASH_SIZE, SR_BUNDLE_BAD_HEADER},
    {"table at the end of everything", 32, 4, 0xFFFFF000, SR_BUNDLE_BAD_HEADER},
    {"unaligned table", 32, 4, 0x8100, SR_BUNDLE_BAD_HEADER},
    {"no region", 36, 2, 0, SR_BUNDLE_BAD_HEADER},
    {"one region less", 36, 2, REGIONS - 1, SR_BUNDLE_BAD_HEADER},
    {"65 regions", 36, 2, 65, SR_BUNDLE_BAD_HEADER},
    {"one chunk more", 38, 2, CHUNKS + 1, SR_BUNDLE_BAD_HEADER},
    {"8193 chunks", 38, 2, 8193, SR_BUNDLE_BAD_HEADER},
    {"one digest more", 40, 4, DIGESTS + 1, SR_BUNDLE_BAD_HEADER},
    {"8193 digests", 40, 4, 8193, SR_BUNDLE_BAD_HEADER},
    {"digests that overflow", 40, 4, DIGESTS + 0x10000000, SR_BUNDLE_BAD_HEADER},
    {"a move without the feature", 44, 1, 1, SR_BUNDLE_BAD_HEADER},
    {"16777216 moves without the feature", 47, 1, 1, SR_BUNDLE_BAD_HEADER},
    {"sequence 0", 48, 4, 0, SR_BUNDLE_OK},
    {"sequence of everything", 48, 4, UINT32_MAX, SR_BUNDLE_OK},
    {"something given up without the feature", 52, 1, 1, SR_BUNDLE_BAD_HEADER},
    {"reserved in the header", 56, 1, 1, SR_BUNDLE_BAD_HEADER},
    {"reserved in the header, last", 63, 1, 0x80, SR_BUNDLE_BAD_HEADER},

    {"unaligned address", REGION(0, 0), 4, 0x1001, SR_BUNDLE_BAD_REGION},
    {"unaligned size", REGION(0, 4), 4, 0x2FFF, SR_BUNDLE_BAD_REGION},
    {"half a sector more", REGION(0, 4), 4, 0x3800, SR_BUNDLE_BAD_REGION},
    {"empty region", REGION(1, 4), 4, 0, SR_BUNDLE_BAD_REGION},
    {"regions that touch", REGION(1, 0), 4, 0xE000, SR_BUNDLE_OK},
    {"regions that overlap", REGION(1, 0), 4, 0xF000, SR_BUNDLE_BAD_REGION},
    {"region over the one before", REGION(1, 0), 4, 0x3000, SR_BUNDLE_BAD_REGION},
    {"region touches the one before", REGION(1, 0), 4, 0x4000, SR_BUNDLE_OK},
    {"same address twice", REGION(1, 0), 4, 0x1000, SR_BUNDLE_BAD_REGION},
    {"region out of order", REGION(1, 0), 4, 0x12000, SR_BUNDLE_BAD_REGION},
    {"region ends with the flash", REGION(2, 0), 4, 0x1E000, SR_BUNDLE_OK},
    {"region extends past the end of flash", REGION(2, 0), 4, 0x1F000, SR_BUNDLE_BAD_REGION},
    {"region past the end of flash", REGION(2, 0), 4, 0x20000, SR_BUNDLE_BAD_REGION},
    {"region that wraps around", REGION(2, 0), 4, 0xFFFFF000, SR_BUNDLE_BAD_REGION},
    {"size that wraps around", REGION(1, 4), 4, 0xFFFFF000, SR_BUNDLE_BAD_REGION},
    {"first digest is 1", REGION(0, 8), 4, 1, SR_BUNDLE_BAD_REGION},
    {"a gap in the digests", REGION(2, 8), 4, 4, SR_BUNDLE_BAD_REGION},
    {"a digest twice", REGION(2, 8), 4, 2, SR_BUNDLE_BAD_REGION},
    {"digest of everything", REGION(2, 8), 4, UINT32_MAX, SR_BUNDLE_BAD_REGION},
    {"more sectors than digests", REGION(2, 4), 4, 0x3000, SR_BUNDLE_BAD_REGION},
    {"a digest that is not used", REGION(2, 4), 4, 0x1000, SR_BUNDLE_BAD_REGION},
    {"erased with a digest", REGION(1, 8), 4, 3, SR_BUNDLE_BAD_REGION},
    {"erased instead of written", REGION(0, 12), 1, 1, SR_BUNDLE_BAD_REGION},
    {"written instead of erased", REGION(1, 12), 1, 0, SR_BUNDLE_BAD_REGION},
    {"unknown kind", REGION(1, 12), 1, 2, SR_BUNDLE_BAD_REGION},
    {"kind of everything", REGION(0, 12), 1, 0xFF, SR_BUNDLE_BAD_REGION},
    {"initial and written", REGION(0, 13), 1, 1, SR_BUNDLE_OK},
    {"unknown flag", REGION(0, 13), 1, 2, SR_BUNDLE_BAD_REGION},
    {"unknown flag beside initial", REGION(1, 13), 1, 3, SR_BUNDLE_BAD_REGION},
    {"last flag", REGION(1, 13), 1, 0x81, SR_BUNDLE_BAD_REGION},
    {"reserved in a region", REGION(0, 14), 1, 1, SR_BUNDLE_BAD_REGION},
    {"reserved in a region, last", REGION(1, 15), 1, 0x80, SR_BUNDLE_BAD_REGION},

    {"data starts too early", CHUNK(0, 0), 4, MANIFEST_SIZE + 79, SR_BUNDLE_BAD_CHUNK},
    {"data starts too late", CHUNK(0, 0), 4, MANIFEST_SIZE + 81, SR_BUNDLE_BAD_CHUNK},
    {"data overlaps", CHUNK(1, 0), 4, MANIFEST_SIZE + 80, SR_BUNDLE_BAD_CHUNK},
    {"data nowhere", CHUNK(1, 0), 4, UINT32_MAX, SR_BUNDLE_BAD_CHUNK},
    {"no data", CHUNK(0, 4), 4, 0, SR_BUNDLE_BAD_CHUNK},
    {"length that wraps around", CHUNK(0, 4), 4, UINT32_MAX, SR_BUNDLE_BAD_CHUNK},
    {"stored, one byte less", CHUNK(1, 4), 4, 4095, SR_BUNDLE_BAD_CHUNK},
    {"stored, one byte more", CHUNK(1, 4), 4, 4097, SR_BUNDLE_BAD_CHUNK},
    {"stored, but shorter than its sectors", CHUNK(0, 13), 1, 0, SR_BUNDLE_BAD_CHUNK},
    {"deflated, but as long as its sectors", CHUNK(1, 13), 1, 1, SR_BUNDLE_BAD_CHUNK},
    {"unknown encoding", CHUNK(0, 13), 1, 2, SR_BUNDLE_BAD_CHUNK},
    {"encoding of everything", CHUNK(0, 13), 1, 0xFF, SR_BUNDLE_BAD_CHUNK},
    {"first sector is blank", CHUNK(0, 8), 4, 1, SR_BUNDLE_BAD_CHUNK},
    {"first digest of everything", CHUNK(0, 8), 4, UINT32_MAX, SR_BUNDLE_BAD_CHUNK},
    {"first digest past the last", CHUNK(1, 8), 4, DIGESTS, SR_BUNDLE_BAD_CHUNK},
    {"last sector is blank", CHUNK(0, 12), 1, 2, SR_BUNDLE_BAD_CHUNK},
    {"last sector is blank, at the end", CHUNK(1, 12), 1, 2, SR_BUNDLE_BAD_CHUNK},
    {"a sector in no chunk", CHUNK(0, 12), 1, 1, SR_BUNDLE_BAD_CHUNK},
    {"sectors of two regions", CHUNK(0, 12), 1, 4, SR_BUNDLE_BAD_CHUNK},
    {"no sector", CHUNK(1, 12), 1, 0, SR_BUNDLE_BAD_CHUNK},
    {"more sectors than there are", CHUNK(1, 12), 1, 3, SR_BUNDLE_BAD_CHUNK},
    {"255 sectors", CHUNK(0, 12), 1, 255, SR_BUNDLE_BAD_CHUNK},
    {"a sector in two chunks", CHUNK(1, 8), 4, 2, SR_BUNDLE_BAD_CHUNK},
    {"chunks out of order", CHUNK(1, 8), 4, 0, SR_BUNDLE_BAD_CHUNK},
    {"reserved in a chunk", CHUNK(0, 14), 1, 1, SR_BUNDLE_BAD_CHUNK},
    {"reserved in a chunk, last", CHUNK(1, 15), 1, 1, SR_BUNDLE_BAD_CHUNK},
};

static void every_rule_about_one_field_is_kept(void **state)
{
    (void)state;
    draft_start();
    assert_int_equal(parse_draft(), SR_BUNDLE_OK);
    for (size_t i = 0; i < sizeof(field_cases) / sizeof(field_cases[0]); i++) {
        const field_case_t *test = &field_cases[i];
        draft_start();
        put(test->offset, test->width, test->value);
        const sr_bundle_status_t status = parse_draft();
        if (status != test->status) {
            fail_msg("%s: %s", test->what, sr_bundle_status_text(status));
        }
    }
}

static void all_fields_of_moves_are_read(void **state)
{
    (void)state;
    draft_start_moved();
    sr_bundle_t bundle;
    assert_int_equal(sr_bundle_parse(draft, MOVED_SIZE, &bundle), SR_BUNDLE_OK);
    assert_int_equal(bundle.move_count, MOVES);
    assert_int_equal(bundle.manifest_size, MOVED_SIZE);
    sr_bundle_move_t move = sr_bundle_move(&bundle, 0);
    assert_string_equal(move.label, "");
    assert_int_equal(move.source.address, 0x8000);
    assert_int_equal(move.source.size, 0x1000);
    assert_int_equal(move.destination.address, 0x5000);
    assert_int_equal(move.destination.size, 0x1000);
    move = sr_bundle_move(&bundle, 1);
    assert_string_equal(move.label, "a label of 16 by");
    assert_int_equal(move.source.address, 0);
    assert_int_equal(move.source.size, 0);
    assert_int_equal(move.destination.address, 0xA000);
    assert_int_equal(move.destination.size, 0x6000);
    assert_int_equal(sr_bundle_move(&bundle, 2).source.address, 0x13000);
    assert_int_equal(sr_bundle_want(&bundle, 0x5000, NULL), SR_BUNDLE_KEEP);
    assert_int_equal(sr_bundle_chunk(&bundle, 0).offset, MOVED_SIZE + 80);
    assert_ptr_equal(sr_bundle_digest(&bundle, DIGESTS), draft + MANIFEST_SIZE);
}

static const field_case_t move_cases[] = {
    {"gives up, but nothing", 12, 4, 3, SR_BUNDLE_BAD_HEADER},
    {"gives up instead", 12, 4, 2, SR_BUNDLE_BAD_HEADER},
    {"feature 2, too", 12, 4, 5, SR_BUNDLE_BAD_FEATURE},
    {"moves without the feature", 12, 4, 0, SR_BUNDLE_BAD_HEADER},
    {"no moves", 44, 4, 0, SR_BUNDLE_BAD_HEADER},
    {"one move less", 44, 4, MOVES - 1, SR_BUNDLE_BAD_HEADER},
    {"one move more", 44, 4, MOVES + 1, SR_BUNDLE_BAD_HEADER},
    {"65536 moves more", 44, 4, MOVES + 0x10000, SR_BUNDLE_BAD_HEADER},
    {"moves that overflow", 44, 4, MOVES + 0x08000000, SR_BUNDLE_BAD_HEADER},
    {"manifest without its moves", 16, 4, MANIFEST_SIZE, SR_BUNDLE_BAD_HEADER},

    {"flash just large enough", 28, 4, 0x18000, SR_BUNDLE_OK},
    {"flash too small for a destination", 28, 4, 0x17000, SR_BUNDLE_BAD_MOVE},
    {"unaligned destination", MOVE(0, 24), 4, 0x5001, SR_BUNDLE_BAD_MOVE},
    {"empty destination", MOVE(1, 28), 4, 0, SR_BUNDLE_BAD_MOVE},
    {"half a sector more", MOVE(1, 28), 4, 0x5800, SR_BUNDLE_BAD_MOVE},
    {"destination smaller than its source", MOVE(2, 28), 4, 0x2000, SR_BUNDLE_BAD_MOVE},
    {"destination as large as its source", MOVE(2, 28), 4, 0x3000, SR_BUNDLE_OK},
    {"destination ends with the flash", MOVE(2, 28), 4, 0xC000, SR_BUNDLE_OK},
    {"destination extends past the end of flash", MOVE(2, 28), 4, 0xD000, SR_BUNDLE_BAD_MOVE},
    {"destination size that wraps around", MOVE(2, 28), 4, 0xFFFFF000, SR_BUNDLE_BAD_MOVE},
    {"destination past the end of flash", MOVE(2, 24), 4, 0x20000, SR_BUNDLE_BAD_MOVE},
    {"destination over a region's end", MOVE(0, 24), 4, 0x3000, SR_BUNDLE_BAD_MOVE},
    {"destination touches a region", MOVE(0, 24), 4, 0x4000, SR_BUNDLE_OK},
    {"destination touches the next region", MOVE(0, 24), 4, 0x7000, SR_BUNDLE_OK},
    {"destination over a region's start", MOVE(0, 28), 4, 0x4000, SR_BUNDLE_BAD_MOVE},
    {"destination over an erased region", MOVE(1, 24), 4, 0x9000, SR_BUNDLE_BAD_MOVE},
    {"destination around a region", MOVE(1, 28), 4, 0x9000, SR_BUNDLE_BAD_MOVE},
    {"same destination twice", MOVE(1, 24), 4, 0x5000, SR_BUNDLE_BAD_MOVE},
    {"destination out of order", MOVE(0, 24), 4, 0x1A000, SR_BUNDLE_BAD_MOVE},

    {"label as long as it may be, but one", MOVE(1, 15), 1, 0, SR_BUNDLE_OK},
    {"label of one byte", MOVE(1, 1), 1, 0, SR_BUNDLE_BAD_MOVE}, // and then more
    {"byte past the end of a label", MOVE(1, 14), 1, 0, SR_BUNDLE_BAD_MOVE},
    {"last byte of an empty label", MOVE(0, 15), 1, 1, SR_BUNDLE_BAD_MOVE},
    {"label without a partition's source", MOVE(1, 0), 1, 0, SR_BUNDLE_BAD_MOVE},
    {"label and a source's address", MOVE(1, 16), 4, 0x1000, SR_BUNDLE_BAD_MOVE},
    {"label and a source's size", MOVE(1, 20), 4, 0x1000, SR_BUNDLE_BAD_MOVE},
    {"label where there is a region", MOVE(0, 0), 1, 'a', SR_BUNDLE_BAD_MOVE},
    {"unaligned source", MOVE(0, 16), 4, 0x8001, SR_BUNDLE_BAD_MOVE},
    {"unaligned source size", MOVE(0, 20), 4, 0xFFF, SR_BUNDLE_BAD_MOVE},
    {"empty source", MOVE(0, 20), 4, 0, SR_BUNDLE_BAD_MOVE},
    {"source larger than its destination", MOVE(0, 20), 4, 0x2000, SR_BUNDLE_BAD_MOVE},
    {"source is the destination", MOVE(0, 16), 4, 0x5000, SR_BUNDLE_BAD_MOVE},
    {"source at the destination's address", MOVE(2, 16), 4, 0x14000, SR_BUNDLE_BAD_MOVE},
    {"source at address 0", MOVE(0, 16), 4, 0, SR_BUNDLE_OK},
    {"source ends with the flash", MOVE(0, 16), 4, 0x1F000, SR_BUNDLE_OK},
    {"source past the end of flash", MOVE(0, 16), 4, 0x20000, SR_BUNDLE_BAD_MOVE},
    {"source that wraps around", MOVE(0, 16), 4, 0xFFFFF000, SR_BUNDLE_BAD_MOVE},
    {"sources that touch", MOVE(2, 16), 4, 0x9000, SR_BUNDLE_OK},
    {"sources that overlap", MOVE(2, 16), 4, 0x6000, SR_BUNDLE_BAD_MOVE},
    {"source over a region", MOVE(0, 16), 4, 0x1000, SR_BUNDLE_OK},
    {"source over another destination", MOVE(0, 16), 4, 0xB000, SR_BUNDLE_OK},
};

static void every_rule_about_moves_is_kept(void **state)
{
    (void)state;
    sr_bundle_t bundle;
    for (size_t i = 0; i < sizeof(move_cases) / sizeof(move_cases[0]); i++) {
        const field_case_t *test = &move_cases[i];
        draft_start_moved();
        put(test->offset, test->width, test->value);
        const sr_bundle_status_t status = parse_guarded(draft, MOVED_SIZE, &bundle);
        if (status != test->status) {
            fail_msg("%s: %s", test->what, sr_bundle_status_text(status));
        }
    }
}

static void two_moves_may_touch_but_not_share_a_label(void **state)
{
    (void)state;
    sr_bundle_t bundle;
    draft_start_moved();
    put_row(MOVE(2, 16), 0, 0, 0x14000, 0x4000);
    memcpy(draft + MOVE(2, 0), "a label of 16 b", 15);
    assert_int_equal(parse_guarded(draft, MOVED_SIZE, &bundle), SR_BUNDLE_OK);
    draft[MOVE(2, 15)] = 'y';
    assert_int_equal(parse_guarded(draft, MOVED_SIZE, &bundle), SR_BUNDLE_BAD_MOVE);

    draft_start_moved();
    put(MOVE(1, 24), 4, 0x1A000);
    put(MOVE(1, 28), 4, 0x1000);
    put(MOVE(2, 24), 4, 0x1B000);
    assert_int_equal(parse_guarded(draft, MOVED_SIZE, &bundle), SR_BUNDLE_OK);
    put(MOVE(1, 28), 4, 0x2000);
    assert_int_equal(parse_guarded(draft, MOVED_SIZE, &bundle), SR_BUNDLE_BAD_MOVE);
}

static void moves_have_a_limit_even_where_sizes_fit(void **state)
{
    (void)state;
    for (uint32_t count = 15; count <= 17; count++) {
        uint32_t size = 0;
        draft_start_moved();
        put(16, 4, MANIFEST_SIZE + 32 * count);
        put(20, 4, UINT32_MAX);
        put(44, 4, count);
        assert_int_equal(sr_bundle_peek(draft, &size), count <= 16 ? SR_BUNDLE_OK : SR_BUNDLE_BAD_HEADER);
        assert_int_equal(size, count <= 16 ? MANIFEST_SIZE + 32 * count : 0);
    }
}

/** Two rows after the moves: a label, and a region. */
#define GIVEN_UP(index, field) (MOVED_SIZE + 24u * (index) + (field))
#define GIVEN_UP_SIZE          (MOVED_SIZE + 24u * 2u)

static void draft_start_given_up(void)
{
    draft_start_moved();
    put(12, 4, 3);
    put(16, 4, GIVEN_UP_SIZE);
    put(20, 4, BUNDLE_SIZE + 32 * MOVES + 48);
    put(52, 4, 2);
    put(CHUNK(0, 0), 4, GIVEN_UP_SIZE + 80);
    put(CHUNK(1, 0), 4, GIVEN_UP_SIZE + 80 + FIRST_LENGTH);
    memset(draft + MOVED_SIZE, 0, 48);
    memcpy(draft + GIVEN_UP(0, 0), "spiffs", 6);
    put(GIVEN_UP(1, 16), 4, 0x18000);
    put(GIVEN_UP(1, 20), 4, 0x2000);
}

static const field_case_t given_up_cases[] = {
    {"as it is", 12, 4, 3, SR_BUNDLE_OK},
    {"without the feature", 12, 4, 1, SR_BUNDLE_BAD_HEADER},
    {"none", 52, 4, 0, SR_BUNDLE_BAD_HEADER},
    {"one less", 52, 4, 1, SR_BUNDLE_BAD_HEADER},
    {"17", 52, 4, 17, SR_BUNDLE_BAD_HEADER},
    {"count that overflows", 52, 4, 0x10000002, SR_BUNDLE_BAD_HEADER},
    {"byte past the end of a label", GIVEN_UP(0, 15), 1, 1, SR_BUNDLE_BAD_GIVEN_UP},
    {"last byte of an empty label", GIVEN_UP(1, 15), 1, 1, SR_BUNDLE_BAD_GIVEN_UP},
    {"label and address", GIVEN_UP(0, 16), 4, 0x1000, SR_BUNDLE_BAD_GIVEN_UP},
    {"label and size", GIVEN_UP(0, 20), 4, 0x1000, SR_BUNDLE_BAD_GIVEN_UP},
    {"neither label nor region", GIVEN_UP(1, 20), 4, 0, SR_BUNDLE_BAD_GIVEN_UP},
    {"unaligned", GIVEN_UP(1, 16), 4, 0x18001, SR_BUNDLE_BAD_GIVEN_UP},
    {"half a sector", GIVEN_UP(1, 20), 4, 0x1800, SR_BUNDLE_BAD_GIVEN_UP},
    {"ends with the flash", GIVEN_UP(1, 20), 4, 0x8000, SR_BUNDLE_OK},
    {"past the end of flash", GIVEN_UP(1, 20), 4, 0x9000, SR_BUNDLE_BAD_GIVEN_UP},
    {"wraps around", GIVEN_UP(1, 20), 4, 0xFFFFF000, SR_BUNDLE_BAD_GIVEN_UP},
    {"what moves", GIVEN_UP(1, 16), 4, 0x15000, SR_BUNDLE_BAD_GIVEN_UP},
    {"touches what moves", GIVEN_UP(1, 16), 4, 0x16000, SR_BUNDLE_OK},
    {"touches what moves first", GIVEN_UP(1, 16), 4, 0x6000, SR_BUNDLE_OK},
    {"over what moves first", GIVEN_UP(1, 16), 4, 0x7000, SR_BUNDLE_BAD_GIVEN_UP},
    {"what moves first", GIVEN_UP(1, 16), 4, 0x8000, SR_BUNDLE_BAD_GIVEN_UP},
    {"over a region of the bundle", GIVEN_UP(1, 16), 4, 0x10000, SR_BUNDLE_OK},
};

static void every_rule_about_what_is_given_up_is_kept(void **state)
{
    (void)state;
    sr_bundle_t bundle;
    for (size_t i = 0; i < sizeof(given_up_cases) / sizeof(given_up_cases[0]); i++) {
        const field_case_t *test = &given_up_cases[i];
        draft_start_given_up();
        put(test->offset, test->width, test->value);
        const sr_bundle_status_t status = parse_guarded(draft, GIVEN_UP_SIZE, &bundle);
        if (status != test->status) {
            fail_msg("%s: %s", test->what, sr_bundle_status_text(status));
        }
    }
    draft_start_given_up();
    memcpy(draft + GIVEN_UP(0, 0), "a label of 16 by", 16); // which moves
    assert_int_equal(parse_guarded(draft, GIVEN_UP_SIZE, &bundle), SR_BUNDLE_BAD_GIVEN_UP);
    draft_start_given_up();
    memcpy(draft + GIVEN_UP(1, 0), draft + GIVEN_UP(0, 0), 24);
    assert_int_equal(parse_guarded(draft, GIVEN_UP_SIZE, &bundle), SR_BUNDLE_BAD_GIVEN_UP);
}

/* One character is a label like any other, and none is no label. */
static void what_is_given_up_has_a_label_that_nothing_else_has(void **state)
{
    (void)state;
    static const struct {
        const char *moved[2]; /**< Labels of the second and the third move; NULL: as they are. */
        const char *given_up[2];
        sr_bundle_status_t status;
    } cases[] = {
        {{"a", NULL}, {"b", "c"}, SR_BUNDLE_OK},           {{"a", NULL}, {"a", "c"}, SR_BUNDLE_BAD_GIVEN_UP},
        {{"a", NULL}, {"b", "a"}, SR_BUNDLE_BAD_GIVEN_UP}, {{"a", "b"}, {"c", "b"}, SR_BUNDLE_BAD_GIVEN_UP},
        {{"a", "b"}, {"c", "c"}, SR_BUNDLE_BAD_GIVEN_UP},  {{"a", "b"}, {"ab", "bb"}, SR_BUNDLE_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_bundle_t bundle;
        draft_start_given_up();
        for (uint32_t k = 0; k < 2; k++) {
            memset(draft + GIVEN_UP(k, 0), 0, 24);
            memcpy(draft + GIVEN_UP(k, 0), cases[i].given_up[k], strlen(cases[i].given_up[k]));
            if (cases[i].moved[k] != NULL) {
                memset(draft + MOVE(1 + k, 0), 0, 24);
                memcpy(draft + MOVE(1 + k, 0), cases[i].moved[k], strlen(cases[i].moved[k]));
            }
        }
        assert_int_equal(parse_guarded(draft, GIVEN_UP_SIZE, &bundle), cases[i].status);
    }
}

static void a_chunk_has_data_even_where_all_else_fits(void **state)
{
    (void)state;
    for (uint32_t length = 0; length <= 1; length++) {
        draft_start();
        put(20, 4, MANIFEST_SIZE + 80 + length + 4096);
        put(CHUNK(0, 4), 4, length);
        put(CHUNK(1, 0), 4, MANIFEST_SIZE + 80 + length);
        assert_int_equal(parse_draft(), length > 0 ? SR_BUNDLE_OK : SR_BUNDLE_BAD_CHUNK);
    }
}

static void a_header_that_is_all_there_is_judged(void **state)
{
    (void)state;
    sr_bundle_t bundle;
    draft_start();
    draft[0] ^= 1;
    assert_int_equal(parse_guarded(draft, 63, &bundle), SR_BUNDLE_TRUNCATED);
    assert_int_equal(parse_guarded(draft, 64, &bundle), SR_BUNDLE_BAD_MAGIC);
}

static void initial_regions_are_told(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags + 1 < 1u << REGIONS; flags++) {
        sr_bundle_t bundle;
        draft_start();
        for (uint32_t i = 0; i < REGIONS; i++) {
            put(REGION(i, 13), 1, flags >> i & 1);
        }
        assert_int_equal(sr_bundle_parse(draft, MANIFEST_SIZE, &bundle), SR_BUNDLE_OK);
        assert_int_equal(sr_bundle_has_initial(&bundle), flags != 0);
        for (uint32_t sector = 0; sector < FLASH_SIZE / 0x1000; sector++) {
            const unsigned region = sector >= 1 && sector < 4     ? 1u << 0
                                    : sector >= 8 && sector < 10  ? 1u << 1
                                    : sector >= 16 && sector < 18 ? 1u << 2
                                                                  : 0;
            assert_int_equal(sr_bundle_is_initial(&bundle, 0x1000 * sector), (flags & region) != 0);
        }
    }
}

static void blank_sectors_decide_what_a_chunk_may_be(void **state)
{
    (void)state;
    draft_start();
    copy_digest(4, 0); // content in no chunk, after the last chunk
    assert_int_equal(parse_draft(), SR_BUNDLE_BAD_CHUNK);

    draft_start();
    copy_digest(0, 1); // content only in the last of the three sectors
    assert_int_equal(parse_draft(), SR_BUNDLE_BAD_CHUNK);
    put_row(CHUNK(0, 0), MANIFEST_SIZE + 80, FIRST_LENGTH, 2, 1 | 1 << 8);
    assert_int_equal(parse_draft(), SR_BUNDLE_OK);

    draft_start();
    copy_digest(1, 0); // three sectors of content in one chunk
    assert_int_equal(parse_draft(), SR_BUNDLE_OK);
    put_row(CHUNK(0, 0), MANIFEST_SIZE + 80, FIRST_LENGTH, 1, 2 | 1 << 8); // and the first of them in none
    assert_int_equal(parse_draft(), SR_BUNDLE_BAD_CHUNK);
}

static void deflated_data_is_shorter_than_its_sectors(void **state)
{
    (void)state;
    for (uint32_t length = 8191; length <= 8192; length++) {
        draft_start();
        put(20, 4, MANIFEST_SIZE + 80 + length + 4096);
        put(CHUNK(0, 4), 4, length);
        put(CHUNK(1, 0), 4, MANIFEST_SIZE + 80 + length);
        assert_int_equal(parse_draft(), length < 8192 ? SR_BUNDLE_OK : SR_BUNDLE_BAD_CHUNK);
    }
    put(CHUNK(0, 13), 1, 0);
    assert_int_equal(parse_draft(), SR_BUNDLE_OK);
}

static void header_alone_tells_the_size_of_the_manifest(void **state)
{
    (void)state;
    uint32_t size = 1;
    draft_start();
    assert_int_equal(sr_bundle_peek(draft, &size), SR_BUNDLE_OK);
    assert_int_equal(size, MANIFEST_SIZE);

    size = 1;
    for (size_t i = 0; i < sizeof(field_cases) / sizeof(field_cases[0]); i++) {
        const field_case_t *test = &field_cases[i];
        if (test->offset < 64 && test->status <= SR_BUNDLE_BAD_HEADER && test->status != SR_BUNDLE_OK) {
            draft_start();
            put(test->offset, test->width, test->value);
            assert_int_equal(sr_bundle_peek(draft, &size), test->status);
            assert_int_equal(size, 1);
        }
    }
}

static void counts_have_limits_even_where_sizes_fit(void **state)
{
    (void)state;
    static const struct {
        uint32_t regions;
        uint32_t chunks;
        uint32_t digests;
        sr_bundle_status_t status;
    } cases[] = {
        {64, 8192, 8192, SR_BUNDLE_OK},          {1, 0, 0, SR_BUNDLE_OK},
        {65, 1, 1, SR_BUNDLE_BAD_HEADER},        {1, 8193, 8192, SR_BUNDLE_BAD_HEADER},
        {1, 8192, 8193, SR_BUNDLE_BAD_HEADER},   {0, 1, 1, SR_BUNDLE_BAD_HEADER},
        {1, 0, 0xFFFFFF0, SR_BUNDLE_BAD_HEADER}, {0xFFFF, 0xFFFF, 1, SR_BUNDLE_BAD_HEADER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t size = 0;
        const uint32_t fitting = 64 + 16 * (cases[i].regions + cases[i].chunks + cases[i].digests);
        draft_start();
        put(16, 4, fitting);
        put(20, 4, UINT32_MAX);
        put(36, 2, cases[i].regions);
        put(38, 2, cases[i].chunks);
        put(40, 4, cases[i].digests);
        assert_int_equal(sr_bundle_peek(draft, &size), cases[i].status);
        assert_int_equal(size, cases[i].status == SR_BUNDLE_OK ? fitting : 0);
    }
}

static void a_bundle_may_have_no_chunk(void **state)
{
    (void)state;
    draft_start();
    put(16, 4, 64 + 16);
    put(20, 4, 64 + 16 + 80);
    put(36, 2, 1);
    put(38, 2, 0);
    put(40, 4, 0);
    put_row(64, 0x1000, 0x1000, 0, 1);
    sr_bundle_t bundle;
    assert_int_equal(sr_bundle_parse(draft, 80, &bundle), SR_BUNDLE_OK);
    assert_int_equal(sr_bundle_want(&bundle, 0x1000, NULL), SR_BUNDLE_BLANK);
    put(20, 4, 64 + 16 + 80 + 1);
    assert_int_equal(sr_bundle_parse(draft, 80, &bundle), SR_BUNDLE_BAD_CHUNK);
}

static void a_bundle_is_not_of_initial_regions_alone(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 1u << REGIONS; flags++) {
        draft_start();
        for (uint32_t i = 0; i < REGIONS; i++) {
            put(REGION(i, 13), 1, flags >> i & 1);
        }
        assert_int_equal(parse_draft(), flags + 1 < 1u << REGIONS ? SR_BUNDLE_OK : SR_BUNDLE_BAD_REGION);
    }
}

static void a_chunk_stays_in_its_region(void **state)
{
    (void)state;
    for (uint32_t first = 3; first <= 4; first++) {
        draft_start();
        copy_digest(1, 0);
        copy_digest(4, 0);
        put(CHUNK(0, 12), 1, first); // up to the region's end, and one sector beyond
        put(CHUNK(1, 8), 4, first);
        put(CHUNK(1, 12), 1, DIGESTS - first);
        put(CHUNK(1, 13), 1, 1);
        put(CHUNK(1, 4), 4, 4000);
        put(20, 4, BUNDLE_SIZE - 96);
        assert_int_equal(parse_draft(), first == 3 ? SR_BUNDLE_OK : SR_BUNDLE_BAD_CHUNK);
    }
}

static void a_chunk_spans_at_most_16_sectors(void **state)
{
    (void)state;
    for (uint32_t sectors = 1; sectors <= 20; sectors++) {
        uint8_t manifest[64 + 16 * (2 + 20)] = {0};
        const uint32_t size = 64 + 16 * (2 + sectors);
        draft_start();
        put(16, 4, size);
        put(20, 4, size + 80 + 1);
        put(36, 2, 1);
        put(38, 2, 1);
        put(40, 4, sectors);
        put_row(64, 0x1000, 0x1000 * sectors, 0, 0);
        put_row(80, size + 80, 1, 0, sectors | 1 << 8);
        memcpy(manifest, draft, 96); // and digests of zeros
        sr_bundle_t bundle;
        assert_int_equal(sr_bundle_parse(manifest, size, &bundle), sectors <= 16 ? SR_BUNDLE_OK : SR_BUNDLE_BAD_CHUNK);
    }
}

static void every_truncation_of_a_manifest_is_refused(void **state)
{
    (void)state;
    draft_start();
    for (uint32_t length = 0; length < MANIFEST_SIZE; length++) {
        sr_bundle_t bundle;
        assert_int_equal(parse_guarded(draft, length, &bundle), SR_BUNDLE_TRUNCATED);
    }
    draft_start_moved();
    for (uint32_t length = MANIFEST_SIZE; length < MOVED_SIZE; length++) {
        sr_bundle_t bundle;
        assert_int_equal(parse_guarded(draft, length, &bundle), SR_BUNDLE_TRUNCATED);
    }
}

/** Fills in a manifest of the largest size: 64 regions of 128 sectors, one chunk for each sector, 16 moves. */
static uint8_t *largest_manifest(void)
{
    uint8_t *manifest = calloc(1, SR_BUNDLE_MAX_MANIFEST);
    assert_non_null(manifest);
    draft_start();
    memcpy(manifest, draft, 64);
    const uint32_t count = SR_BUNDLE_MAX_DIGESTS;
    sr_bytes_put_le32(manifest + 16, SR_BUNDLE_MAX_MANIFEST);
    sr_bytes_put_le32(manifest + 20, SR_BUNDLE_MAX_MANIFEST + 80 + count);
    sr_bytes_put_le32(manifest + 28, 0x4000000);
    sr_bytes_put_le32(manifest + 36, SR_BUNDLE_MAX_REGIONS | count << 16);
    sr_bytes_put_le32(manifest + 40, count);
    uint8_t *row = manifest + 64;
    for (uint32_t i = 0; i < SR_BUNDLE_MAX_REGIONS; i++, row += 16) {
        sr_bytes_put_le32(row, 0x100000 * i + 0x1000);
        sr_bytes_put_le32(row + 4, 0x80000);
        sr_bytes_put_le32(row + 8, 128 * i);
    }
    for (uint32_t i = 0; i < count; i++, row += 16) {
        sr_bytes_put_le32(row, SR_BUNDLE_MAX_MANIFEST + 80 + i);
        sr_bytes_put_le32(row + 4, 1);
        sr_bytes_put_le32(row + 8, i);
        sr_bytes_put_le32(row + 12, 1 | 1 << 8);
    }
    sr_bytes_put_le32(manifest + 12, 3);
    sr_bytes_put_le32(manifest + 52, SR_BUNDLE_MAX_GIVEN_UP);
    sr_bytes_put_le32(manifest + 44, SR_BUNDLE_MAX_MOVES);
    row += 16 * count;
    for (uint32_t i = 0; i < SR_BUNDLE_MAX_MOVES; i++, row += 32) {
        row[0] = (uint8_t)('a' + i);
        sr_bytes_put_le32(row + 24, 0x100000 * i + 0x81000);
        sr_bytes_put_le32(row + 28, 0x80000);
    }
    for (uint32_t i = 0; i < SR_BUNDLE_MAX_GIVEN_UP; i++, row += SR_BUNDLE_GIVEN_UP_SIZE) {
        row[0] = (uint8_t)('A' + i);
    }
    return manifest;
}

static void largest_manifest_is_read(void **state)
{
    (void)state;
    uint8_t *manifest = largest_manifest();
    sr_bundle_t bundle;
    assert_int_equal(parse_guarded(manifest, SR_BUNDLE_MAX_MANIFEST, &bundle), SR_BUNDLE_OK);
    assert_int_equal(sr_bundle_parse(manifest, SR_BUNDLE_MAX_MANIFEST, &bundle), SR_BUNDLE_OK);
    for (uint32_t i = 0; i < SR_BUNDLE_MAX_DIGESTS; i++) {
        const uint32_t address = 0x100000 * (i / 128) + 0x1000 + 0x1000 * (i % 128);
        uint32_t digest = 0;
        assert_int_equal(sr_bundle_address(&bundle, i), address);
        assert_int_equal(sr_bundle_want(&bundle, address, &digest), SR_BUNDLE_CONTENT);
        assert_int_equal(digest, i);
        assert_int_equal(sr_bundle_chunk_of(&bundle, i), i);
    }
    const sr_bundle_move_t last = sr_bundle_move(&bundle, SR_BUNDLE_MAX_MOVES - 1);
    assert_string_equal(last.label, "p");
    assert_int_equal(last.destination.address, 0xF81000);
    free(manifest);
}

/* Three moves over a bundle: one up, of less than its room; one that stays, and is not copied; one that stays with what
 * does not. Then no moves, and no list. */
static void what_moves_to_a_sector_goes_before_the_bundle(void **state)
{
    (void)state;
    struct sr_move list[] = {
        {.source = {0x14000, 0x2000}, .destination = {0x1000, 0x3000}},
        {.source = {0x5000, 0x1000}, .destination = {0x5000, 0x2000}},
        {.source = {0x8000, 0x1000}, .destination = {0x8000, 0x1000}, .is_copied = true},
        {.source = {0, 0}, .destination = {0x13000, 0x1000}},
        {.source = {0x5000, 0x1000}, .destination = {0x17000, 0x1000}, .is_copied = true},
    };
    static const struct {
        uint32_t address;
        sr_moves_wanted_kind_t kind;
        uint32_t value; /**< Source, or number of the digest. */
    } sectors[] = {
        {0x0, SR_MOVES_WANTED_AS_IT_IS, 0},       {0x1000, SR_MOVES_WANTED_MOVED, 0x14000},
        {0x2000, SR_MOVES_WANTED_MOVED, 0x15000}, {0x3000, SR_MOVES_WANTED_BLANK, 0},
        {0x4000, SR_MOVES_WANTED_AS_IT_IS, 0},    {0x5000, SR_MOVES_WANTED_AS_IT_IS, 0},
        {0x6000, SR_MOVES_WANTED_BLANK, 0},       {0x7000, SR_MOVES_WANTED_AS_IT_IS, 0},
        {0x8000, SR_MOVES_WANTED_MOVED, 0x8000},  {0x9000, SR_MOVES_WANTED_BLANK, 0}, // erased by the bundle
        {0x10000, SR_MOVES_WANTED_CONTENT, 3},    {0x11000, SR_MOVES_WANTED_BLANK, 0},
        {0x12000, SR_MOVES_WANTED_AS_IT_IS, 0},   {0x13000, SR_MOVES_WANTED_BLANK, 0},
        {0x14000, SR_MOVES_WANTED_AS_IT_IS, 0},   {0x16000, SR_MOVES_WANTED_AS_IT_IS, 0},
        {0x17000, SR_MOVES_WANTED_MOVED, 0x5000}, {0x18000, SR_MOVES_WANTED_AS_IT_IS, 0},
    };
    sr_moves_t moves = {.count = sizeof(list) / sizeof(list[0]), .list = list};
    sr_bundle_t bundle;
    draft_start();
    assert_int_equal(sr_bundle_parse(draft, MANIFEST_SIZE, &bundle), SR_BUNDLE_OK);
    for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
        const sr_moves_wanted_t wanted = sr_moves_wanted(&moves, &bundle, sectors[i].address);
        assert_int_equal(wanted.kind, sectors[i].kind);
        assert_int_equal(wanted.kind == SR_MOVES_WANTED_MOVED     ? wanted.source
                         : wanted.kind == SR_MOVES_WANTED_CONTENT ? wanted.digest_index
                                                                  : 0,
                         sectors[i].value);
    }
    moves = (sr_moves_t){.count = 0};
    assert_int_equal(sr_moves_wanted(&moves, &bundle, 0x1000).kind, SR_MOVES_WANTED_CONTENT);
    assert_int_equal(sr_moves_wanted(&moves, &bundle, 0x3000).digest_index, 2);
}

/* A sector past the last move, which lies in memory like one more. */
static void moves_end_with_their_count(void **state)
{
    (void)state;
    struct sr_move list[] = {{.source = {0x14000, 0x1000}, .destination = {0x5000, 0x1000}},
                             {.source = {0x15000, 0x1000}, .destination = {0x6000, 0x1000}}};
    const sr_moves_t moves = {.count = 1, .list = list};
    sr_bundle_t bundle;
    draft_start();
    assert_int_equal(sr_bundle_parse(draft, MANIFEST_SIZE, &bundle), SR_BUNDLE_OK);
    assert_int_equal(sr_moves_wanted(&moves, &bundle, 0x6000).kind, SR_MOVES_WANTED_AS_IT_IS);
    assert_int_equal(sr_moves_wanted(&moves, &bundle, 0x5000).kind, SR_MOVES_WANTED_MOVED);
}

/** The draft's regions, by the second implementation: -1 if they break a rule, or else the region of each digest. */
static int reread_regions(const uint8_t *raw, uint64_t flash, uint32_t regions, uint32_t digests, int *region_of)
{
    uint64_t used = 0;
    uint64_t last_end = 0;
    bool compared = false;
    for (uint32_t i = 0; i < regions; i++) {
        const uint8_t *row = raw + 64 + 16 * i;
        const uint64_t start = sr_bytes_get_le32(row);
        const uint64_t end = start + sr_bytes_get_le32(row + 4);
        if (start % 4096 != 0 || end % 4096 != 0 || end == start || start < last_end || end > flash || row[12] > 1 ||
            row[13] > 1 || row[14] != 0 || row[15] != 0) {
            return -1;
        }
        last_end = end;
        compared = compared || row[13] == 0;
        if (sr_bytes_get_le32(row + 8) != (row[12] == 0 ? used : 0)) {
            return -1;
        }
        for (uint64_t at = start; row[12] == 0 && at < end; at += 4096) {
            if (used == digests) {
                return -1;
            }
            region_of[used++] = (int)i;
        }
    }
    return used == digests && compared ? 0 : -1;
}

/** A digest's chunk, for all digests of a chunk's row; -1 if one of them has one already or the row breaks a rule. */
static int reread_chunk(const uint8_t *row, uint32_t index, const uint8_t *table, uint64_t digests,
                        const int *region_of, int *chunk_of)
{
    const uint64_t first = sr_bytes_get_le32(row + 8);
    const uint64_t last = first + row[12] - 1;
    uint64_t size = 0;
    if (row[12] < 1 || row[12] > 16 || last >= digests || row[13] > 1 || row[14] != 0 || row[15] != 0) {
        return -1;
    }
    if (sr_bundle_is_blank(table + 16 * first) || sr_bundle_is_blank(table + 16 * last)) {
        return -1;
    }
    for (uint64_t i = first; i <= last; i++) {
        if (chunk_of[i] != -1 || region_of[i] != region_of[first]) {
            return -1;
        }
        chunk_of[i] = (int)index;
        size += sr_bundle_is_blank(table + 16 * i) ? 0 : 4096;
    }
    const uint64_t length = sr_bytes_get_le32(row + 4);
    return row[13] == 0 ? (length == size ? 0 : -1) : (length >= 1 && length < size ? 0 : -1);
}

/** The rules for regions and chunks of the format's page, implemented a second time, for a manifest whose header is
 * right. */
static bool reread_tables(const uint8_t *raw)
{
    int region_of[DIGESTS];
    int chunk_of[DIGESTS];
    memset(chunk_of, 0xFF, sizeof(chunk_of));
    if (reread_regions(raw, FLASH_SIZE, REGIONS, DIGESTS, region_of) != 0) {
        return false;
    }
    const uint8_t *table = raw + DIGEST(0);
    uint64_t offset = MANIFEST_SIZE + 80;
    uint64_t last_first = 0;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        const uint8_t *row = raw + CHUNK(i, 0);
        const uint64_t first = sr_bytes_get_le32(row + 8);
        if (sr_bytes_get_le32(row) != offset || (i > 0 && first <= last_first) ||
            reread_chunk(row, i, table, DIGESTS, region_of, chunk_of) != 0) {
            return false;
        }
        offset += sr_bytes_get_le32(row + 4);
        last_first = first;
    }
    for (uint32_t i = 0; i < DIGESTS; i++) {
        if (chunk_of[i] == -1 && !sr_bundle_is_blank(table + 16 * i)) {
            return false;
        }
    }
    return offset == sr_bytes_get_le32(raw + 20);
}

static uint32_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

/** Changes a field of a row in a way that may be valid. */
static void mutate_row(void)
{
    static const uint32_t values[] = {0,    1,    2,      3,      4,      5,       16,         17,     99,        100,
                                      4096, 8192, 0x1000, 0x2000, 0x3000, 0x10000, 0xFFFFF000, 0xE000, UINT32_MAX};
    const uint32_t row = random_below(REGIONS + CHUNKS + DIGESTS);
    const uint32_t offset = 64 + 16 * row;
    if (row >= REGIONS + CHUNKS) {
        copy_digest(row - REGIONS - CHUNKS, random_below(DIGESTS));
    } else if (random_below(3) == 0) {
        put(offset + 12 + random_below(2), 1, values[random_below(random_below(2) == 0 ? 8 : 2)]);
    } else {
        const uint32_t field = offset + 4 * random_below(3);
        const uint32_t step = random_below(5) - 2;
        const bool replace = random_below(2) == 0;
        put(field, 4,
            replace ? values[random_below(sizeof(values) / sizeof(values[0]))]
                    : sr_bytes_get_le32(draft + field) + step * (row < REGIONS ? 0x1000 : 1));
    }
}

static void second_reading_of_the_rules_agrees(void **state)
{
    (void)state;
    unsigned accepted = 0;
    random_state = 1;
    for (unsigned i = 0; i < 300000; i++) {
        draft_start();
        for (uint32_t changes = 1 + random_below(4); changes > 0; changes--) {
            mutate_row();
        }
        // Most changes to lengths are only about where the data ends: let those be right every other time.
        if (random_below(2) == 0) {
            const uint32_t end = MANIFEST_SIZE + 80 + sr_bytes_get_le32(draft + CHUNK(0, 4));
            put(CHUNK(1, 0), 4, end);
            put(20, 4, end + sr_bytes_get_le32(draft + CHUNK(1, 4)));
        }
        sr_bundle_t bundle;
        const bool valid = sr_bundle_parse(draft, MANIFEST_SIZE, &bundle) == SR_BUNDLE_OK;
        if (valid != reread_tables(draft)) {
            fail_msg("manifest %u is %s", i, valid ? "accepted" : "refused");
        }
        accepted += valid;
    }
    assert_in_range(accepted, 3000, 297000); // both answers were compared, and often
}

/** Owner of each sector of the flash, plus one; false if there is no such sector or it has an owner. */
static bool reread_claim(uint8_t *owners, uint64_t start, uint64_t size, uint8_t owner)
{
    if (start % 4096 != 0 || size % 4096 != 0 || size == 0 || start + size > FLASH_SIZE) {
        return false;
    }
    for (uint64_t sector = start / 4096; sector < (start + size) / 4096; sector++) {
        if (owners[sector] != 0) {
            return false;
        }
        owners[sector] = owner;
    }
    return true;
}

/** The rules for moves of the format's page, implemented a second time, for a manifest whose other tables are right. */
static bool reread_moves(const uint8_t *raw)
{
    uint8_t targets[FLASH_SIZE / 4096] = {0};
    uint8_t sources[FLASH_SIZE / 4096] = {0};
    uint64_t last = 0;
    for (uint32_t i = 0; i < REGIONS; i++) {
        (void)reread_claim(targets, sr_bytes_get_le32(raw + REGION(i, 0)), sr_bytes_get_le32(raw + REGION(i, 4)), 0xFF);
    }
    for (uint32_t i = 0; i < MOVES; i++) {
        const uint8_t *row = raw + MOVE(i, 0);
        const uint32_t from = sr_bytes_get_le32(row + 16);
        const uint32_t from_size = sr_bytes_get_le32(row + 20);
        const uint32_t to = sr_bytes_get_le32(row + 24);
        const uint32_t to_size = sr_bytes_get_le32(row + 28);
        if (!reread_claim(targets, to, to_size, 1) || to < last) {
            return false;
        }
        last = to;
        if (row[0] == 0 && (from == to || from_size > to_size || !reread_claim(sources, from, from_size, 1))) {
            return false;
        }
        for (uint32_t k = 1; k < 16; k++) {
            if (row[k] != 0 && row[k - 1] == 0) {
                return false;
            }
        }
        for (uint32_t k = 0; row[0] != 0 && k < i; k++) {
            if (memcmp(row, raw + MOVE(k, 0), 16) == 0) {
                return false;
            }
        }
        if (row[0] != 0 && (from != 0 || from_size != 0)) {
            return false;
        }
    }
    return true;
}

static void mutate_move(void)
{
    static const uint32_t places[] = {0, 0x4000, 0x5000, 0xA000, 0x12000, 0x1E000, 0x20000, 0x5800, 0xFFFFF000};
    const uint32_t row = MOVE(random_below(MOVES), 0);
    switch (random_below(5)) {
    case 0:
        put(row + random_below(16), 1, random_below(2) * 'a');
        break;
    case 1: // from a region to a label, or back
        memset(draft + row, 0, 24);
        draft[row] = (uint8_t)(random_below(3) * 'b');
        put(row + 16, 4, draft[row] == 0 ? 0x1000 * random_below(0x20) : 0);
        put(row + 20, 4, draft[row] == 0 ? 0x1000 * random_below(4) : 0);
        break;
    case 2:
        put(row + 16 + 8 * random_below(2), 4, places[random_below(sizeof(places) / sizeof(places[0]))]);
        break;
    default:
        put(row + 20 + 8 * random_below(2), 4, 0x800 * random_below(0x10));
        break;
    }
}

static void second_reading_of_the_rules_for_moves_agrees(void **state)
{
    (void)state;
    unsigned accepted = 0;
    random_state = 2;
    for (unsigned i = 0; i < 100000; i++) {
        draft_start_moved();
        for (uint32_t changes = 1 + random_below(3); changes > 0; changes--) {
            mutate_move();
        }
        sr_bundle_t bundle;
        const bool valid = sr_bundle_parse(draft, MOVED_SIZE, &bundle) == SR_BUNDLE_OK;
        if (valid != reread_moves(draft)) {
            fail_msg("manifest %u is %s", i, valid ? "accepted" : "refused");
        }
        accepted += valid;
    }
    assert_in_range(accepted, 1000, 99000); // both answers were compared, and often
}

static void worked_example_is_what_the_writer_writes(void **state)
{
    (void)state;
    char *page = load_format_page();
    uint8_t example[EXAMPLE_MAX_SIZE];
    const size_t example_size = read_example(page, example);
    char *private_pem = cut_pem(page, "EC PRIVATE KEY");

    size_t size = 0;
    uint8_t *bundle = build_example(&size);
    assert_int_equal(bundle_sign(bundle, size, private_pem), SR_BUNDLE_OK);
    assert_int_equal(size, example_size);
    assert_memory_equal(bundle, example, size);
    free(bundle);
    free(private_pem);
    free(page);
}

static void worked_example_is_accepted(void **state)
{
    (void)state;
    char *page = load_format_page();
    uint8_t example[EXAMPLE_MAX_SIZE];
    const size_t size = read_example(page, example);
    char *public_pem = cut_pem(page, "PUBLIC KEY");
    sr_signature_public_key_t key;
    assert_int_equal(sr_signature_public_key_read(public_pem, &key), SR_BUNDLE_OK);
    assert_int_equal(bundle_verify(example, size, &key), SR_BUNDLE_OK);

    sr_bundle_t bundle;
    assert_int_equal(parse_guarded(example, 208, &bundle), SR_BUNDLE_OK);
    assert_int_equal(sr_bundle_parse(example, (uint32_t)size, &bundle), SR_BUNDLE_OK);
    assert_int_equal(bundle.bundle_size, size);
    assert_int_equal(bundle.sequence, 7);
    assert_int_equal(sr_bundle_want(&bundle, 0xD000, NULL), SR_BUNDLE_BLANK);
    assert_int_equal(sr_bundle_want(&bundle, 0x11000, NULL), SR_BUNDLE_BLANK);
    assert_int_equal(sr_bundle_want(&bundle, 0x12000, NULL), SR_BUNDLE_CONTENT);
    free(public_pem);
    free(page);
}

static void every_flipped_bit_of_manifest_and_signature_is_refused(void **state)
{
    (void)state;
    char *page = load_format_page();
    uint8_t example[EXAMPLE_MAX_SIZE];
    const size_t size = read_example(page, example);
    char *public_pem = cut_pem(page, "PUBLIC KEY");
    sr_signature_public_key_t key;
    assert_int_equal(sr_signature_public_key_read(public_pem, &key), SR_BUNDLE_OK);
    const uint32_t step = explore_samples() ? 5 : 1; /* A sample has each byte, and each bit of some. */
    for (uint32_t bit = 0; bit < 8 * (208 + SR_BUNDLE_SIGNATURE_SIZE); bit += step) {
        example[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const sr_bundle_status_t status = bundle_verify(example, size, &key);
        example[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (status == SR_BUNDLE_OK || status == SR_BUNDLE_CRYPTO_FAILED || status == SR_BUNDLE_BAD_KEY) {
            fail_msg("bit %u: %s", bit, sr_bundle_status_text(status));
        }
    }
    assert_int_equal(bundle_verify(example, size, &key), SR_BUNDLE_OK);
    free(public_pem);
    free(page);
}

static void every_truncation_of_a_bundle_is_refused(void **state)
{
    (void)state;
    char *page = load_format_page();
    uint8_t example[EXAMPLE_MAX_SIZE];
    const size_t size = read_example(page, example);
    for (size_t length = 0; length < size; length++) {
        uint8_t *loss = malloc(length + 1);
        assert_non_null(loss);
        memcpy(loss, example, length);
        assert_int_equal(bundle_verify(loss, length, NULL), SR_BUNDLE_TRUNCATED);
        free(loss);
    }
    free(page);
}

static void signature_blocks_keep_their_rules(void **state)
{
    (void)state;
    uint8_t block[SR_BUNDLE_SIGNATURE_SIZE] = {0};
    sr_signature_t signature;
    assert_int_equal(sr_signature_parse(block, &signature), SR_BUNDLE_OK);
    assert_false(signature.is_signed);
    for (size_t i = 2; i < sizeof(block); i++) {
        block[i] = 1;
        assert_int_equal(sr_signature_parse(block, &signature), SR_BUNDLE_BAD_SIGNATURE);
        assert_false(signature.is_signed);
        block[i] = 0;
    }
    for (uint32_t kind = 2; kind <= 0xFFFF; kind++) {
        block[0] = (uint8_t)kind;
        block[1] = (uint8_t)(kind >> 8);
        assert_int_equal(sr_signature_parse(block, &signature), SR_BUNDLE_BAD_SIGNATURE);
    }
    block[0] = 1;
    block[1] = 0;
    for (size_t i = 8; i < sizeof(block); i++) {
        block[i] = (uint8_t)i;
    }
    assert_int_equal(sr_signature_parse(block, &signature), SR_BUNDLE_OK);
    assert_true(signature.is_signed);
    assert_memory_equal(signature.key_id, block + 8, 8);
    assert_memory_equal(signature.rs, block + 16, 64);
    for (size_t i = 2; i < 8; i++) {
        block[i] = 0x80;
        assert_int_equal(sr_signature_parse(block, &signature), SR_BUNDLE_BAD_SIGNATURE);
        block[i] = 0;
    }
}

static void every_status_has_its_own_words(void **state)
{
    (void)state;
    for (int i = SR_BUNDLE_OK; i <= SR_BUNDLE_CRYPTO_FAILED; i++) {
        for (int other = SR_BUNDLE_OK; other < i; other++) {
            assert_string_not_equal(sr_bundle_status_text((sr_bundle_status_t)i),
                                    sr_bundle_status_text((sr_bundle_status_t)other));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_of_a_valid_manifest_are_read),
        cmocka_unit_test(sectors_are_found_by_address_and_by_digest),
        cmocka_unit_test(every_rule_about_one_field_is_kept),
        cmocka_unit_test(all_fields_of_moves_are_read),
        cmocka_unit_test(every_rule_about_moves_is_kept),
        cmocka_unit_test(every_rule_about_what_is_given_up_is_kept),
        cmocka_unit_test(what_is_given_up_has_a_label_that_nothing_else_has),
        cmocka_unit_test(a_chunk_has_data_even_where_all_else_fits),
        cmocka_unit_test(a_header_that_is_all_there_is_judged),
        cmocka_unit_test(initial_regions_are_told),
        cmocka_unit_test(two_moves_may_touch_but_not_share_a_label),
        cmocka_unit_test(moves_have_a_limit_even_where_sizes_fit),
        cmocka_unit_test(blank_sectors_decide_what_a_chunk_may_be),
        cmocka_unit_test(deflated_data_is_shorter_than_its_sectors),
        cmocka_unit_test(header_alone_tells_the_size_of_the_manifest),
        cmocka_unit_test(counts_have_limits_even_where_sizes_fit),
        cmocka_unit_test(a_bundle_may_have_no_chunk),
        cmocka_unit_test(a_bundle_is_not_of_initial_regions_alone),
        cmocka_unit_test(a_chunk_stays_in_its_region),
        cmocka_unit_test(a_chunk_spans_at_most_16_sectors),
        cmocka_unit_test(every_truncation_of_a_manifest_is_refused),
        cmocka_unit_test(largest_manifest_is_read),
        cmocka_unit_test(what_moves_to_a_sector_goes_before_the_bundle),
        cmocka_unit_test(moves_end_with_their_count),
        cmocka_unit_test(second_reading_of_the_rules_agrees),
        cmocka_unit_test(second_reading_of_the_rules_for_moves_agrees),
        cmocka_unit_test(worked_example_is_what_the_writer_writes),
        cmocka_unit_test(worked_example_is_accepted),
        cmocka_unit_test(every_flipped_bit_of_manifest_and_signature_is_refused),
        cmocka_unit_test(every_truncation_of_a_bundle_is_refused),
        cmocka_unit_test(signature_blocks_keep_their_rules),
        cmocka_unit_test(every_status_has_its_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
