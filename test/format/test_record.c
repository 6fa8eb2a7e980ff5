// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which lists of a staged record are accepted: each limit from both sides, without a chip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bytes.h"
#include "format/sr_record.h"
#include "format/sr_sha256.h"
#include "make/bundle_writer.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR     SR_SECTOR_SIZE
#define FLASH_SIZE 0x100000u
#define BOOTLOADER 0x1000u
#define TABLE      0x8000u
#define OTADATA    0xD000u /**< From here on content for what is held beside bootloader and table. */
#define BLANK      0x40000u
#define MOVED      0x60000u
#define KEPT       0x80000u /**< In no region. */
#define RECORD     0xC0000u

static uint8_t *manifest;
static sr_bundle_t bundle;
static uint8_t list[SECTOR];
static sr_record_header_t header;
static uint32_t data_sectors;
static sr_record_limits_t limits;

static int make_bundle(void **state)
{
    (void)state;
    static uint8_t content[BLANK - BOOTLOADER];
    size_t size = 0;
    memset(content, 0x5A, sizeof(content));
    const bundle_region_t regions[] = {
        {.place = {0, BOOTLOADER}, .data = content, .length = BOOTLOADER},
        {.place = {BOOTLOADER, BLANK - BOOTLOADER}, .data = content, .length = sizeof(content)},
        {.place = {BLANK, 0x20000}},
    };
    const sr_bundle_move_t move = {.source = {0x90000, 0x2000}, .destination = {MOVED, 0x4000}};
    const bundle_spec_t spec = {.min_flash_size = FLASH_SIZE,
                                .partition_table_offset = TABLE,
                                .regions = regions,
                                .region_count = 3,
                                .moves = &move,
                                .move_count = 1};
    assert_int_equal(bundle_write(&spec, &manifest, &size), BUNDLE_WRITE_OK);
    assert_int_equal(sr_bundle_parse(manifest, (uint32_t)size, &bundle), SR_BUNDLE_OK);
    return 0;
}

static int free_bundle(void **state)
{
    (void)state;
    free(manifest);
    return 0;
}

/** An empty list, on a chip of 1 MiB. */
static int start(void **state)
{
    (void)state;
    memset(list, 0xFF, sizeof(list));
    header = (sr_record_header_t){.manifest_size = bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE};
    data_sectors = 0;
    limits = (sr_record_limits_t){.flash_size = FLASH_SIZE,
                                  .record = {RECORD, 0x20000},
                                  .bootloader = BOOTLOADER,
                                  .table = TABLE,
                                  .can_be_guarded = true};
    return 0;
}

static void add(sr_record_group_t group, uint32_t address, uint32_t sectors, bool blank)
{
    const sr_record_entry_t entry = {
        .address = address, .sectors = sectors, .group = group, .blank = blank, .data_index = data_sectors};
    sr_record_write_entry(list, header.count++, &entry);
    data_sectors += blank ? 0 : sectors;
}

static sr_record_status_t check(void)
{
    header.sectors = sr_record_manifest_sectors(header.manifest_size) + data_sectors;
    return sr_record_check(list, &header, &bundle, &limits);
}

/** A list of one entry. */
static sr_record_status_t check_one(sr_record_group_t group, uint32_t address, uint32_t sectors, bool blank)
{
    start(NULL);
    add(group, address, sectors, blank);
    return check();
}

static void a_system_is_accepted(void **state)
{
    (void)state;
    add(SR_RECORD_DATA, OTADATA + 0x3000, 3, false);
    add(SR_RECORD_DATA, BLANK, 2, true);
    add(SR_RECORD_NEIGHBOURS, BLANK + 0x2000, 1, true);
    add(SR_RECORD_BOOTLOADER, BOOTLOADER, 1, false);
    add(SR_RECORD_BOOTLOADER, BOOTLOADER + SECTOR, 1, false);
    add(SR_RECORD_TABLE, TABLE, 1, false);
    add(SR_RECORD_OTADATA, OTADATA, 1, false);
    assert_int_equal(check(), SR_RECORD_OK);
    start(NULL);
    assert_int_equal(check(), SR_RECORD_OK);
}

/* What waits in RAM is limited; bootloader and table have their own room there. */
static void held_sectors_are_limited(void **state)
{
    (void)state;
    for (uint32_t extra = 0; extra < 2; extra++) {
        start(NULL);
        add(SR_RECORD_BOOTLOADER, BOOTLOADER, 1, false);
        add(SR_RECORD_BOOTLOADER, TABLE - SECTOR, 1, false);
        add(SR_RECORD_TABLE, TABLE, 1, false);
        add(SR_RECORD_OTADATA, 0, 1, false); /* In front of the bootloader. */
        for (uint32_t i = 0; i < SR_RECORD_MAX_HELD - 1 + extra; i++) {
            add(SR_RECORD_OTADATA, TABLE + (i + 1) * SECTOR, 1, false);
        }
        add(SR_RECORD_OTADATA, BLANK, 1, true); /* Blank ones need none. */
        assert_int_equal(check(), extra == 0 ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
    }
    for (uint32_t extra = 0; extra < 2; extra++) {
        start(NULL);
        add(SR_RECORD_NEIGHBOURS, BLANK, SR_SECTORS_PER_BLOCK - 2, true);
        add(SR_RECORD_NEIGHBOURS, BLANK + 0x10000, 1 + extra, true);
        assert_int_equal(check(), extra == 0 ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
    }
    assert_int_equal(check_one(SR_RECORD_NEIGHBOURS, OTADATA, 1, false), SR_RECORD_BAD_ENTRY);
}

static void what_starts_the_chip_has_its_group(void **state)
{
    (void)state;
    for (unsigned group = 0; group < SR_RECORD_GROUPS; group++) {
        const bool at_once = group != SR_RECORD_NEIGHBOURS; /* Those are blank. */
        const sr_record_status_t own = at_once ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY;
        assert_int_equal(check_one(group, BOOTLOADER, 1, false),
                         group == SR_RECORD_BOOTLOADER ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
        assert_int_equal(check_one(group, TABLE, 1, false),
                         group == SR_RECORD_TABLE ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
        assert_int_equal(check_one(group, OTADATA, 1, false), group == SR_RECORD_TABLE ? SR_RECORD_BAD_ENTRY : own);
        for (uint32_t at = BOOTLOADER; at <= TABLE; at += TABLE - BOOTLOADER) {
            start(NULL); /* It begins in front of it, or ends after it. */
            add((sr_record_group_t)group, at == TABLE ? TABLE - SECTOR : 0, 2, false);
            assert_int_equal(check(), SR_RECORD_BAD_ENTRY);
        }
    }
    assert_int_equal(check_one(SR_RECORD_GROUPS, OTADATA, 1, false), SR_RECORD_BAD_ENTRY);
}

static void only_what_the_manifest_wants(void **state)
{
    (void)state;
    assert_int_equal(check_one(SR_RECORD_DATA, BLANK, 1, true), SR_RECORD_OK);
    assert_int_equal(check_one(SR_RECORD_DATA, BLANK, 1, false), SR_RECORD_NOT_WANTED);
    assert_int_equal(check_one(SR_RECORD_DATA, OTADATA, 1, true), SR_RECORD_NOT_WANTED);
    assert_int_equal(check_one(SR_RECORD_DATA, BLANK - SECTOR, 2, true), SR_RECORD_NOT_WANTED);
    assert_int_equal(check_one(SR_RECORD_DATA, BLANK - SECTOR, 2, false), SR_RECORD_NOT_WANTED);
    assert_int_equal(check_one(SR_RECORD_DATA, KEPT, 1, false), SR_RECORD_NOT_WANTED);
    assert_int_equal(check_one(SR_RECORD_DATA, KEPT, 1, true), SR_RECORD_NOT_WANTED);
    /* Where something moves, either may lie, but content is of one kind. */
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED, 4, false), SR_RECORD_OK);
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED + 0x3000, 1, true), SR_RECORD_OK);
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED - SECTOR, 2, true), SR_RECORD_OK);
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED, 5, false), SR_RECORD_NOT_WANTED);
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED - SECTOR, 2, false), SR_RECORD_NOT_WANTED);
    /* A digest vouches for what moves, and for nothing else. */
    start(NULL);
    const sr_record_entry_t entry = {.address = OTADATA, .sectors = 1, .group = SR_RECORD_DATA, .digest = {[15] = 1}};
    sr_record_write_entry(list, header.count++, &entry);
    data_sectors = 1;
    assert_int_equal(check(), SR_RECORD_NOT_WANTED);
}

static void places_are_inside_the_flash(void **state)
{
    (void)state;
    limits.flash_size = MOVED + 0x4000;
    add(SR_RECORD_DATA, MOVED, 4, false);
    assert_int_equal(check(), SR_RECORD_OK);
    limits.flash_size -= SECTOR;
    assert_int_equal(check(), SR_RECORD_BAD_ENTRY);
    limits.flash_size = MOVED;
    assert_int_equal(check(), SR_RECORD_BAD_ENTRY);
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED, 0, true), SR_RECORD_BAD_ENTRY);
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED, UINT32_MAX, true), SR_RECORD_BAD_ENTRY);
    assert_int_equal(check_one(SR_RECORD_DATA, MOVED + 1, 1, true), SR_RECORD_BAD_ENTRY);
    assert_int_equal(check_one(SR_RECORD_OTADATA, OTADATA, 2, false), SR_RECORD_BAD_ENTRY);
}

static void order_and_overlap(void **state)
{
    (void)state;
    static const struct {
        sr_record_group_t groups[2];
        uint32_t addresses[2];
        bool good;
    } cases[] = {
        {{SR_RECORD_DATA, SR_RECORD_DATA}, {BLANK, BLANK + 2 * SECTOR}, true},
        {{SR_RECORD_DATA, SR_RECORD_DATA}, {BLANK, BLANK + SECTOR}, false},
        {{SR_RECORD_DATA, SR_RECORD_DATA}, {BLANK, BLANK}, false},
        {{SR_RECORD_DATA, SR_RECORD_DATA}, {BLANK + 2 * SECTOR, BLANK}, false},
        {{SR_RECORD_DATA, SR_RECORD_NEIGHBOURS}, {BLANK + 2 * SECTOR, BLANK}, true},
        {{SR_RECORD_NEIGHBOURS, SR_RECORD_DATA}, {BLANK, BLANK + 2 * SECTOR}, false},
        {{SR_RECORD_DATA, SR_RECORD_NEIGHBOURS}, {BLANK, BLANK + SECTOR}, false},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(NULL);
        add(cases[i].groups[0], cases[i].addresses[0], 2, true);
        add(cases[i].groups[1], cases[i].addresses[1], 2, true);
        assert_int_equal(check(), cases[i].good ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
    }
}

static void data_is_numbered_without_gaps(void **state)
{
    (void)state;
    add(SR_RECORD_DATA, OTADATA, 2, false);
    add(SR_RECORD_DATA, OTADATA + 2 * SECTOR, 1, false);
    assert_int_equal(check(), SR_RECORD_OK);
    for (uint32_t index = 0; index < 4; index++) {
        sr_record_entry_t entry = sr_record_read_entry(list, 1);
        entry.data_index = index;
        sr_record_write_entry(list, 1, &entry);
        assert_int_equal(check(), index == 2 ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
    }
}

static void sectors_are_those_of_the_entries_and_up_to_a_block_more(void **state)
{
    (void)state;
    const uint32_t manifest_sectors = sr_record_manifest_sectors(header.manifest_size);
    add(SR_RECORD_DATA, OTADATA, 2, false);
    for (uint32_t sectors = 0; sectors <= SR_RECORD_MAX_FILL + 3; sectors++) {
        header.sectors = manifest_sectors + sectors;
        const bool good = sectors >= 2 && sectors - 2 <= SR_RECORD_MAX_FILL;
        assert_int_equal(sr_record_check(list, &header, &bundle, &limits), good ? SR_RECORD_OK : SR_RECORD_BAD_HEADER);
    }
}

static void nothing_over_the_record_or_what_stands_in(void **state)
{
    (void)state;
    static const struct {
        sr_region_t place;
        bool forbidden;
    } cases[] = {
        {{OTADATA, SECTOR}, true},
        {{OTADATA + SECTOR, SECTOR}, true},
        {{OTADATA - SECTOR, SECTOR}, false},
        {{OTADATA + 2 * SECTOR, 1}, false},
        {{OTADATA, 0}, false},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sr_record_status_t status = cases[i].forbidden ? SR_RECORD_FORBIDDEN : SR_RECORD_OK;
        start(NULL);
        add(SR_RECORD_DATA, OTADATA, 2, false);
        limits.record = cases[i].place;
        assert_int_equal(check(), status);
        limits.record = (sr_region_t){RECORD, 0x20000};
        limits.recovery = cases[i].place;
        assert_int_equal(check(), status);
    }
}

static void guarded_records_begin_with_the_magic_byte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        start(NULL);
        header.guarded = true;
        limits.can_be_guarded = i != 1;
        limits.bootloader = i == 2 ? BOOTLOADER + SECTOR : BOOTLOADER;
        if (i != 3) {
            add(SR_RECORD_BOOTLOADER, BOOTLOADER, 1, false);
        } else {
            limits.bootloader = BLANK; /* The first sector is to be blank: there is no byte to begin with. */
            limits.table = BLANK + 0x7000;
            add(SR_RECORD_BOOTLOADER, BLANK, 1, true);
        }
        assert_int_equal(check(), i == 0 ? SR_RECORD_OK : SR_RECORD_BAD_RECOVERY);
    }
    start(NULL); /* Without a bootloader there is nothing to guard. */
    header.guarded = true;
    limits.can_be_guarded = false;
    add(SR_RECORD_OTADATA, OTADATA, 1, false);
    assert_int_equal(check(), SR_RECORD_OK);
}

static void marks(void **state)
{
    (void)state;
    uint8_t mark[SR_RECORD_MARK_SIZE];
    uint32_t sectors = 99;
    sr_record_write_mark(mark, 14);
    assert_true(sr_record_read_mark(mark, FLASH_SIZE - 16 * SECTOR, FLASH_SIZE, &sectors));
    assert_int_equal(sectors, 14);
    assert_false(sr_record_read_mark(mark, FLASH_SIZE - 15 * SECTOR, FLASH_SIZE, &sectors));
    sr_record_write_mark(mark, UINT32_MAX);
    assert_false(sr_record_read_mark(mark, 0, FLASH_SIZE, &sectors));
    assert_int_equal(sr_record_sectors(0), 1);
    assert_int_equal(sr_record_sectors(14), 16);
    assert_int_equal(sr_record_manifest_sectors(SECTOR), 1);
    assert_int_equal(sr_record_manifest_sectors(SECTOR + 1), 2);
}

/* As docs/record-format.md has them; and one of which a bit is not programmed yet is half of one. */
static void marks_are_whole_or_torn(void **state)
{
    (void)state;
    static const uint8_t expected[SR_RECORD_MARK_SIZE] = {0x53, 0x52, 0x53, 0x54, 0x41, 0x47, 0x45, 0x1A, 3,    0,
                                                          0,    0,    0x0E, 0,    0,    0,    0xF1, 0xFF, 0xFF, 0xFF};
    uint8_t mark[SR_RECORD_MARK_SIZE];
    sr_record_write_mark(mark, 14);
    assert_memory_equal(mark, expected, sizeof(mark));
    for (uint32_t bit = 0; bit < 8 * SR_RECORD_MARK_SIZE; bit++) {
        uint32_t sectors = 99;
        mark[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sr_record_read_mark(mark, 0, FLASH_SIZE, &sectors), bit / 8 >= 12);
        assert_int_equal(sectors, bit / 8 >= 12 ? 0 : 14);
        mark[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(sr_record_sectors(1), 3);
}

static void each_status_has_words(void **state)
{
    (void)state;
    for (int i = SR_RECORD_OK; i <= SR_RECORD_REFUSED + 1; i++) {
        assert_non_null(sr_record_status_text((sr_record_status_t)i));
        for (int k = SR_RECORD_OK; k < i; k++) {
            assert_string_not_equal(sr_record_status_text((sr_record_status_t)i),
                                    sr_record_status_text((sr_record_status_t)k));
        }
    }
    assert_string_equal(sr_record_status_text(SR_RECORD_OK), "is valid");
    assert_string_equal(sr_record_status_text((sr_record_status_t)(SR_RECORD_REFUSED + 1)), "has an unknown status");
}

/** Writes the header, and reads it with so many sectors in the mark. */
static sr_record_status_t read_back(uint32_t marked)
{
    sr_record_header_t read;
    assert_true(sr_record_write_header(list, &header));
    return sr_record_read_header(list, marked, &read);
}

static void headers(void **state)
{
    (void)state;
    const uint32_t smallest = SR_BUNDLE_HEADER_SIZE + SR_BUNDLE_SIGNATURE_SIZE;
    header = (sr_record_header_t){.count = SR_RECORD_MAX_ENTRIES, .sectors = 1, .manifest_size = smallest + 1};
    assert_int_equal(read_back(1), SR_RECORD_OK);
    assert_int_equal(read_back(2), SR_RECORD_BAD_HEADER);
    header.count++;
    assert_int_equal(read_back(1), SR_RECORD_BAD_HEADER);
    header.count--;
    header.manifest_size = smallest;
    assert_int_equal(read_back(1), SR_RECORD_BAD_HEADER);
    header.manifest_size = SECTOR;
    assert_int_equal(read_back(1), SR_RECORD_OK);
    header.manifest_size = SECTOR + 1;
    assert_int_equal(read_back(1), SR_RECORD_BAD_HEADER);
    header.manifest_size = SR_BUNDLE_MAX_MANIFEST + SR_BUNDLE_SIGNATURE_SIZE;
    header.sectors = sr_record_manifest_sectors(header.manifest_size) + 1;
    assert_int_equal(read_back(header.sectors), SR_RECORD_OK);
    header.manifest_size++;
    assert_int_equal(read_back(header.sectors), SR_RECORD_BAD_HEADER);
    for (uint32_t i = 0; i < SECTOR - SR_PAGE_SIZE + SR_SHA256_SIZE; i++) { /* Up to the end of the seal. */
        sr_record_header_t read;
        header.manifest_size = SECTOR;
        assert_true(sr_record_write_header(list, &header));
        list[i] ^= 0x10;
        assert_int_equal(sr_record_read_header(list, header.sectors, &read), SR_RECORD_NOT_SEALED);
        list[i] ^= 0x10;
    }
}

static void headers_are_read_as_they_were_written(void **state)
{
    (void)state;
    for (unsigned guarded = 0; guarded < 2; guarded++) {
        sr_record_header_t read;
        memset(list, 0x77, sizeof(list));
        header = (sr_record_header_t){.count = 9, .sectors = 12, .manifest_size = SECTOR, .guarded = guarded != 0};
        memset(header.app_id, 0xA1, sizeof(header.app_id));
        memset(header.before, 0xB2, sizeof(header.before));
        assert_true(sr_record_write_header(list, &header));
        assert_int_equal(sr_bytes_get_le32(list + 8), guarded != 0 ? 0 : UINT32_MAX);
        assert_int_equal(sr_record_read_header(list, 12, &read), SR_RECORD_OK);
        assert_int_equal(read.count, 9);
        assert_int_equal(read.sectors, 12);
        assert_int_equal(read.manifest_size, SECTOR);
        assert_int_equal(read.guarded, guarded);
        assert_memory_equal(read.app_id, header.app_id, sizeof(read.app_id));
        assert_memory_equal(read.before, header.before, sizeof(read.before));
    }
}

/* What no writer puts there: a third kind of content, or something in a reserved byte. */
static void each_byte_of_an_entry_has_its_values(void **state)
{
    (void)state;
    add(SR_RECORD_DATA, BLANK, 1, true);
    uint8_t *row = list + SR_PAGE_SIZE;
    for (unsigned value = 0; value <= UINT8_MAX; value++) {
        row[9] = (uint8_t)value;
        assert_int_equal(check() == SR_RECORD_OK, value == 1);
        row[9] = 1;
        row[10] = (uint8_t)value;
        assert_int_equal(check(), value == 0 ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
        row[10] = 0;
        row[11] = (uint8_t)value;
        assert_int_equal(check(), value == 0 ? SR_RECORD_OK : SR_RECORD_BAD_ENTRY);
        row[11] = 0;
    }
}

static void rows_past_the_last_one_are_none(void **state)
{
    (void)state;
    header.guarded = true;
    limits.can_be_guarded = false;
    add(SR_RECORD_OTADATA, OTADATA, 1, false);
    add(SR_RECORD_BOOTLOADER, BOOTLOADER, 1, false);
    header.count--;
    data_sectors--;
    assert_int_equal(check(), SR_RECORD_OK); /* Else it would need a recovery bootloader. */
    assert_int_equal(sr_record_entry_at(list, 1, OTADATA), 0);
    assert_int_equal(sr_record_entry_at(list, 1, BOOTLOADER), SR_RECORD_MAX_ENTRIES);
    assert_int_equal(sr_record_entry_at(list, 0, OTADATA), SR_RECORD_MAX_ENTRIES);
    const sr_record_entry_t otadata = sr_record_read_entry(list, 0);
    assert_true(sr_record_is_first_part(list, 1, &otadata));
    assert_false(sr_record_is_first_part(list, 2, &otadata));
}

/* The same for the manifest: what follows the last move is not another one. */
static void what_follows_the_moves_is_none(void **state)
{
    (void)state;
    uint8_t *next = manifest + bundle.manifest_size; /* The signature: two rows and a half. */
    assert_false(sr_record_moves_to(&bundle, KEPT));
    assert_true(sr_record_moves_to(&bundle, MOVED));
    for (unsigned at = 0; at < 32; at += 8) {
        sr_bytes_put_le32(next + at, KEPT);
        sr_bytes_put_le32(next + at + 4, SECTOR);
    }
    assert_false(sr_record_moves_to(&bundle, KEPT));
    memset(next, 0, 32);
}

static void an_entry_has_all_of_its_sectors(void **state)
{
    (void)state;
    add(SR_RECORD_DATA, BLANK, 3, true);
    add(SR_RECORD_DATA, BLANK + 4 * SECTOR, 1, true);
    static const struct {
        uint32_t address, entry;
    } cases[] = {
        {0, SR_RECORD_MAX_ENTRIES},
        {BLANK - 1, SR_RECORD_MAX_ENTRIES},
        {BLANK, 0},
        {BLANK + 2 * SECTOR, 0},
        {BLANK + 3 * SECTOR - 1, 0},
        {BLANK + 3 * SECTOR, SR_RECORD_MAX_ENTRIES},
        {BLANK + 4 * SECTOR, 1},
        {BLANK + 5 * SECTOR, SR_RECORD_MAX_ENTRIES},
        {UINT32_MAX, SR_RECORD_MAX_ENTRIES},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sr_record_entry_at(list, header.count, cases[i].address), cases[i].entry);
    }
}

/* Bit N: the list has an entry of group N. */
static void what_the_commit_changes_first(void **state)
{
    (void)state;
    for (unsigned groups = 0; groups < 1u << SR_RECORD_GROUPS; groups++) {
        const bool has_image = (groups & (1u << SR_RECORD_BOOTLOADER | 1u << SR_RECORD_TABLE)) != 0;
        start(NULL);
        for (unsigned group = 0; group < SR_RECORD_GROUPS; group++) {
            if ((groups >> group & 1u) != 0) {
                add((sr_record_group_t)group, group * SECTOR, 1, false);
            }
        }
        for (unsigned group = 0; group < SR_RECORD_GROUPS; group++) {
            const sr_record_entry_t entry = {.group = (sr_record_group_t)group};
            const bool is_image = group == SR_RECORD_BOOTLOADER || group == SR_RECORD_TABLE;
            assert_int_equal(sr_record_is_first_part(list, header.count, &entry),
                             has_image ? is_image : group == SR_RECORD_OTADATA);
        }
    }
}

#define TEST(test) cmocka_unit_test_setup(test, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_system_is_accepted),
        TEST(held_sectors_are_limited),
        TEST(what_starts_the_chip_has_its_group),
        TEST(only_what_the_manifest_wants),
        TEST(places_are_inside_the_flash),
        TEST(order_and_overlap),
        TEST(data_is_numbered_without_gaps),
        TEST(sectors_are_those_of_the_entries_and_up_to_a_block_more),
        TEST(nothing_over_the_record_or_what_stands_in),
        TEST(guarded_records_begin_with_the_magic_byte),
        TEST(marks),
        TEST(marks_are_whole_or_torn),
        TEST(each_status_has_words),
        TEST(headers),
        TEST(headers_are_read_as_they_were_written),
        TEST(each_byte_of_an_entry_has_its_values),
        TEST(rows_past_the_last_one_are_none),
        TEST(what_follows_the_moves_is_none),
        TEST(an_entry_has_all_of_its_sectors),
        TEST(what_the_commit_changes_first),
    };
    return cmocka_run_group_tests(tests, make_bundle, free_bundle);
}
