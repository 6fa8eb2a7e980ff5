// SPDX-License-Identifier: Apache-2.0
/** @file
 * When a bundle counts as installed, and what becomes of the mark that it is not: sector by sector. Marks, regions and
 * flash are made up here, and there is no chip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bundle/sr_migration_internal.h"
#include "format/sr_record.h"

#include "esp_log.h"
#include "test/support/support_error_log.h"

#include <stdio.h>
#include <string.h>

#define SECTOR     SR_SECTOR_SIZE
#define COUNT      64u /**< Sectors of the flash; that with this number lies past it. */
#define OWN        16u /**< A region that is always compared, of four sectors. */
#define INITIAL    24u /**< One that the new system owns, of two. */
#define MORE       30u /**< Another one that is always compared, of one. */
#define MOST       6u
#define CONTENT    (SR_MAP_TARGET | SR_MAP_CONTENT)
#define BLANK      (SR_MAP_TARGET)
#define WRONG      SR_MAP_WRONG
#define NONE       SR_NO_ADDRESS
#define AT(sector) ((sector)*SECTOR)

static sr_map_flags_t flags[COUNT + 1], before[COUNT + 1];
static struct sr_migration_buffers buffers;
static esp_self_reflasher_plan_t plan;
static sr_migration_t migration;
static uint8_t manifest_bytes[100];

/** A mark in the flash. */
typedef struct fake_mark {
    uint32_t address;
    uint8_t first, last; /**< Of its id; own_id has 0x55 there. */
    bool counts;
    esp_err_t clear_err;
    bool cleared, asked;
} fake_mark_t;

static struct {
    fake_mark_t marks[MOST];
    uint32_t mark_count;
    sr_bundle_region_t regions[5];
    bool has_initial, no_hash;
    uint32_t finds, find_fails; /**< The one with this number fails, from 1. */
    esp_err_t counts_err, fits_err, put_err, void_err, clear_err;
    bool fits[COUNT + 1], fits_asked[COUNT + 1];
    bool has_room[COUNT]; /**< Beside a mark in this sector the record has a place. */
    uint32_t puts, put_at, voids, void_at, clears, clear_at;
    uint32_t record_sectors;
} fake;

static void add_mark(uint32_t sector, int difference, bool counts)
{
    fake.marks[fake.mark_count++] =
        (fake_mark_t){.address = AT(sector), .first = (uint8_t)(0x55 + difference), .last = 0x55, .counts = counts};
}

static int setup(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    error_line[0] = '\0';
    memset(&plan, 0, sizeof(plan));
    memset(flags, 0, sizeof(flags));
    fake.has_initial = true;
    fake.regions[0] = (sr_bundle_region_t){.place = {AT(OWN), 4 * SECTOR}};
    fake.regions[1] = (sr_bundle_region_t){.place = {AT(INITIAL), 2 * SECTOR}, .initial = true};
    fake.regions[2] = (sr_bundle_region_t){.place = {AT(MORE), SECTOR}};
    fake.regions[3] = (sr_bundle_region_t){.place = {AT(50), SECTOR}};                  /* Past the last one. */
    fake.regions[4] = (sr_bundle_region_t){.place = {AT(51), SECTOR}, .initial = true}; /* Another one. */
    migration = (sr_migration_t){
        .plan = &plan,
        .buffers = &buffers,
        .input = {.manifest = {.bytes = manifest_bytes, .bundle = {.region_count = 3, .manifest_size = 77}}},
        .scan = {.map = {.flags = flags, .count = COUNT, .row = SR_PAGE_SIZE}, .mark_found = NONE},
        .choice = {.mark = {.address = NONE}},
    };
    /* All is right; what lies past regions is content that is not. */
    for (uint32_t i = 0; i < COUNT; i++) {
        flags[i] = i >= 32 ? SR_MAP_CONTENT | WRONG | SR_MAP_NEW_GAP : 0;
    }
    for (uint32_t i = 0; i < 5; i++) {
        flags[OWN + i] = i < 4 ? CONTENT : CONTENT | WRONG;
    }
    flags[INITIAL] = flags[INITIAL + 1] = CONTENT | WRONG | SR_MAP_BLANK;
    flags[INITIAL + 2] = CONTENT | WRONG;
    flags[MORE] = CONTENT;
    flags[MORE + 1] = CONTENT | WRONG;
    flags[COUNT] = SR_MAP_SOURCE;
    return 0;
}

static void own_id(uint8_t id[SR_SHA256_SIZE])
{
    memset(id, 0x55, SR_SHA256_SIZE);
}

bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
bool __wrap_sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    assert_ptr_equal(bytes, manifest_bytes);
    assert_int_equal(length, 77);
    own_id(digest);
    return !fake.no_hash;
}

bool __wrap_sr_bundle_has_initial(const sr_bundle_t *bundle);
bool __wrap_sr_bundle_has_initial(const sr_bundle_t *bundle)
{
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    return fake.has_initial;
}

sr_bundle_region_t __wrap_sr_bundle_region(const sr_bundle_t *bundle, uint32_t index);
sr_bundle_region_t __wrap_sr_bundle_region(const sr_bundle_t *bundle, uint32_t index)
{
    assert_ptr_equal(bundle, &migration.input.manifest.bundle);
    assert_true(index < 5);
    return fake.regions[index];
}

esp_err_t __wrap_sr_install_mark_find(const sr_flash_t *flash, uint32_t from, uint8_t *scratch,
                                      sr_install_mark_t *mark);
esp_err_t __wrap_sr_install_mark_find(const sr_flash_t *flash, uint32_t from, uint8_t *scratch, sr_install_mark_t *mark)
{
    assert_ptr_equal(flash, &migration.system.flash);
    assert_ptr_equal(scratch, buffers.scratch);
    if (++fake.finds == fake.find_fails) {
        return ESP_ERR_TIMEOUT;
    }
    assert_true(fake.finds < 20);
    for (uint32_t i = 0; i < fake.mark_count; i++) {
        if (fake.marks[i].address >= from) {
            own_id(buffers.scratch);
            mark->address = fake.marks[i].address;
            memset(mark->id, 0x55, sizeof(mark->id));
            mark->id[0] = fake.marks[i].first;
            mark->id[sizeof(mark->id) - 1] = fake.marks[i].last;
            return ESP_OK;
        }
    }
    return ESP_ERR_NOT_FOUND;
}

static fake_mark_t *mark_at(uint32_t address)
{
    for (uint32_t i = 0; i < fake.mark_count; i++) {
        if (fake.marks[i].address == address) {
            return &fake.marks[i];
        }
    }
    return NULL;
}

esp_err_t __wrap_sr_install_mark_counts(uint32_t address, bool *counts);
esp_err_t __wrap_sr_install_mark_counts(uint32_t address, bool *counts)
{
    mark_at(address)->asked = true;
    *counts = mark_at(address)->counts;
    return fake.counts_err;
}

esp_err_t __wrap_sr_install_mark_fits(const sr_flash_t *flash, const sr_install_mark_t *mark, uint8_t *scratch,
                                      bool *fits);
esp_err_t __wrap_sr_install_mark_fits(const sr_flash_t *flash, const sr_install_mark_t *mark, uint8_t *scratch,
                                      bool *fits)
{
    assert_ptr_equal(flash, &migration.system.flash);
    assert_ptr_equal(scratch, buffers.scratch);
    assert_int_equal(mark->id[0], 0x55);
    fake.fits_asked[mark->address / SECTOR] = true;
    *fits = fake.fits[mark->address / SECTOR];
    return fake.fits_err;
}

esp_err_t __wrap_sr_install_mark_put(sr_writer_t *writer, const sr_install_mark_t *mark, uint8_t *scratch);
esp_err_t __wrap_sr_install_mark_put(sr_writer_t *writer, const sr_install_mark_t *mark, uint8_t *scratch)
{
    assert_ptr_equal(writer, &migration.writer);
    assert_ptr_equal(scratch, buffers.scratch);
    assert_memory_equal(mark->id, migration.choice.mark.id, sizeof(mark->id));
    fake.puts++;
    fake.put_at = mark->address;
    return fake.put_err;
}

esp_err_t __wrap_sr_install_mark_void(sr_writer_t *writer, uint32_t address, uint8_t *scratch);
esp_err_t __wrap_sr_install_mark_void(sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    assert_ptr_equal(writer, &migration.writer);
    assert_ptr_equal(scratch, buffers.scratch);
    fake.voids++;
    fake.void_at = address;
    return fake.void_err;
}

esp_err_t __wrap_sr_install_mark_clear(sr_writer_t *writer, uint32_t address, uint8_t *scratch);
esp_err_t __wrap_sr_install_mark_clear(sr_writer_t *writer, uint32_t address, uint8_t *scratch)
{
    assert_ptr_equal(writer, &migration.writer);
    assert_ptr_equal(scratch, buffers.scratch);
    fake.clears++;
    fake.clear_at = address;
    fake_mark_t *mark = mark_at(address);
    if (mark == NULL) {
        return fake.clear_err;
    }
    mark->cleared = true;
    return mark->clear_err;
}

uint32_t __wrap_sr_migration_manifest_size(const sr_migration_t *of);
uint32_t __wrap_sr_migration_manifest_size(const sr_migration_t *of)
{
    assert_ptr_equal(of, &migration);
    return SECTOR + 1;
}

uint32_t __wrap_sr_migration_find_place(const sr_migration_t *of, uint32_t *sectors);
uint32_t __wrap_sr_migration_find_place(const sr_migration_t *of, uint32_t *sectors)
{
    assert_ptr_equal(of, &migration);
    fake.record_sectors = *sectors;
    for (uint32_t i = 0; i < COUNT; i++) {
        if ((flags[i] & SR_MAP_MARK) != 0) {
            return fake.has_room[i] ? 0 : NONE;
        }
    }
    fail_msg("a place beside the mark, before the mark has one");
    return NONE;
}

/* Installed or not. */

static void keep_flags(void)
{
    memcpy(before, flags, sizeof(flags));
}

/* All but these sectors are as they were. */
static void assert_same_but(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i <= COUNT; i++) {
        if (i < first || i >= first + count) {
            assert_int_equal(flags[i], before[i]);
        }
    }
}

static void expect_installed(bool installed)
{
    keep_flags();
    assert_int_equal(sr_migration_find_installed(&migration), ESP_OK);
    assert_int_equal(migration.scan.installed, installed);
    assert_true(migration.scan.has_initial);
    assert_int_equal(sr_migration_needs_mark(&migration), !installed);
    assert_int_equal(migration.scan.settled, installed ? 2 : 0);
    assert_same_but(INITIAL, installed ? 2 : 0);
    for (uint32_t i = 0; i < 2 && installed; i++) { /* The new system's own. */
        assert_int_equal(flags[INITIAL + i], SR_MAP_BLANK);
    }
}

static void content_of_own_regions_decides(void **state)
{
    (void)state;
    static const uint32_t own[] = {OWN, OWN + 1, OWN + 3, MORE};
    expect_installed(true);
    for (unsigned i = 1; i < 16; i++) {
        setup(NULL);
        for (unsigned k = 0; k < 4; k++) {
            flags[own[k]] |= (i >> k & 1) != 0 ? WRONG : 0;
        }
        expect_installed(false);
    }
}

/* Wherever they stand in the bundle: also the first and the last of its regions. */
static void initial_regions_are_the_new_systems(void **state)
{
    (void)state;
    for (unsigned last = 0; last < 2; last++) {
        setup(NULL);
        const sr_bundle_region_t initial = fake.regions[1];
        fake.regions[1] = fake.regions[last * 2];
        fake.regions[last * 2] = initial;
        expect_installed(true);
        setup(NULL);
        fake.regions[3].initial = true; /* Past the last one. */
        expect_installed(true);
    }
}

/* Some may stay as they are under the old app. */
static void blank_sectors_decide_only_where_there_is_no_content(void **state)
{
    (void)state;
    static const uint32_t own[] = {OWN, OWN + 1, OWN + 2, OWN + 3, MORE};
    for (unsigned content = 0; content < 4; content++) {
        for (unsigned wrong = 0; wrong < 4; wrong++) {
            setup(NULL);
            for (unsigned i = 0; i < 5; i++) {
                flags[own[i]] =
                    (sr_map_flags_t)((i < content ? CONTENT : BLANK) | (i >= content && 4 - i < wrong ? WRONG : 0u));
            }
            expect_installed(content > 0 || wrong == 0);
        }
    }
}

static void bundle_without_initial_regions_needs_no_mark(void **state)
{
    (void)state;
    fake.has_initial = false;
    fake.no_hash = true;
    add_mark(2, 0, true);
    assert_int_equal(sr_migration_find_installed(&migration), ESP_OK);
    assert_false(migration.scan.has_initial);
    assert_false(migration.scan.installed);
    assert_false(sr_migration_needs_mark(&migration));
    assert_int_equal(fake.finds, 0);
}

static void manifest_that_cannot_be_hashed_is_told(void **state)
{
    (void)state;
    fake.no_hash = true;
    assert_int_equal(sr_migration_find_installed(&migration), ESP_FAIL);
    assert_int_equal(fake.finds, 0);
    assert_false(migration.scan.installed);
}

/* The mark of an attempt. */

static void own_mark_says_that_it_is_not_installed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        const bool right = (i & 1) != 0, target = (i & 2) != 0;
        const sr_map_flags_t was = target ? BLANK | WRONG : 0;
        setup(NULL);
        flags[0] = was | SR_MAP_NEW_DATA;
        flags[OWN] |= right ? 0 : WRONG;
        add_mark(0, 0, true);
        keep_flags();
        assert_int_equal(sr_migration_find_installed(&migration), ESP_OK);
        assert_false(migration.scan.installed);
        assert_same_but(0, 1);
        assert_int_equal(migration.scan.mark_found, right ? 0 : NONE);
        assert_int_equal(flags[0], SR_MAP_NEW_DATA | (right ? SR_MAP_MARK : was | SR_MAP_RELEASED));
        assert_int_equal(migration.scan.settled, right && target);
    }
}

static void mark_counts_for_its_own_bundle_and_where_nobody_else_writes(void **state)
{
    (void)state;
    static const sr_map_flags_t taken[] = {SR_MAP_CONTENT, SR_MAP_BOOT_PATH, SR_MAP_CLAIMED, SR_MAP_RECOVERY,
                                           SR_MAP_DATA,    SR_MAP_SOURCE,    SR_MAP_MARK,    SR_MAP_RUNNING_APP};
    for (unsigned i = 0; i < 11; i++) {
        setup(NULL);
        flags[3] = i < 8 ? taken[i] : 0;
        add_mark(3, i == 8 ? 1 : i == 9 ? -1 : 0, i != 10);
        expect_installed(true);
        assert_int_equal(migration.scan.mark_found, NONE);
        setup(NULL);
        flags[3] = i < 8 ? taken[i] : 0;
        add_mark(3, i == 8 ? 1 : i == 9 ? -1 : 0, i != 10);
        add_mark(4, 0, true); /* The search goes on. */
        assert_int_equal(sr_migration_find_installed(&migration), ESP_OK);
        assert_false(migration.scan.installed);
        assert_int_equal(migration.scan.mark_found, AT(4));
    }
}

static void first_of_several_marks_counts(void **state)
{
    (void)state;
    add_mark(3, 0, true);
    add_mark(4, 0, true);
    assert_int_equal(sr_migration_find_installed(&migration), ESP_OK);
    assert_int_equal(migration.scan.mark_found, AT(3));
    assert_int_equal(fake.finds, 1);
}

static void search_for_marks_that_fails_is_told(void **state)
{
    (void)state;
    fake.find_fails = 1;
    assert_int_equal(sr_migration_find_installed(&migration), ESP_ERR_TIMEOUT);
    assert_false(migration.scan.installed);
    setup(NULL);
    add_mark(3, 1, true);
    fake.find_fails = 2;
    assert_int_equal(sr_migration_find_installed(&migration), ESP_ERR_TIMEOUT);
    setup(NULL);
    add_mark(3, 0, false);
    fake.counts_err = ESP_ERR_NO_MEM;
    assert_int_equal(sr_migration_find_installed(&migration), ESP_ERR_NO_MEM);
    assert_int_equal(fake.finds, 1);
}

/* Sectors of nobody in which something lies. */
static void torn_marks_are_looked_for_where_one_can_be(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        setup(NULL);
        static const sr_map_flags_t others[] = {SR_MAP_TARGET,    SR_MAP_CONTENT, SR_MAP_BLANK,
                                                SR_MAP_BOOT_PATH, SR_MAP_DATA,    SR_MAP_RELEASED};
        memset(flags, 0, sizeof(flags));
        for (uint32_t k = 0; k < 6; k++) {
            flags[1 + k] = others[k];
        }
        flags[OWN] = CONTENT | WRONG;
        flags[COUNT - 1] = SR_MAP_NEW_DATA;
        memset(fake.fits, i != 0, sizeof(fake.fits));
        keep_flags();
        assert_int_equal(sr_migration_find_installed(&migration), ESP_OK);
        for (uint32_t k = 0; k < COUNT; k++) {
            const bool asked = (k < 1 || k > 6) && k != OWN;
            assert_int_equal(fake.fits_asked[k], asked);
            assert_int_equal(flags[k], before[k] | (asked && i != 0 ? SR_MAP_RELEASED : 0));
        }
        assert_int_equal(flags[COUNT], before[COUNT]);
        assert_false(fake.fits_asked[COUNT]);
    }
    setup(NULL);
    flags[OWN] |= WRONG;
    fake.fits_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_find_installed(&migration), ESP_ERR_TIMEOUT);
    assert_true(fake.fits_asked[0]);
    assert_false(fake.fits_asked[1]);
    setup(NULL);
    fake.fits_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_find_installed(&migration), ESP_OK); /* It is installed, and needs none. */
    assert_false(fake.fits_asked[0]);
}

/* Its place. */

static void needs_a_mark(void)
{
    migration.scan.has_initial = true;
    memset(flags, 0, sizeof(flags));
    for (uint32_t i = 0; i < 3; i++) { /* What the record will hold. */
        flags[60 + i] = CONTENT | WRONG | SR_MAP_DATA;
    }
}

static void highest_place_that_leaves_room_for_the_record_is_reserved(void **state)
{
    (void)state;
    static const uint32_t places[] = {5, 20, 37};
    for (unsigned room = 0; room < 8; room++) {
        setup(NULL);
        needs_a_mark();
        uint32_t expected = 37; /* The mark takes precedence. */
        for (unsigned i = 0; i < 3; i++) {
            flags[places[i]] = SR_MAP_BLANK | (places[i] == 5 ? SR_MAP_TARGET : 0);
            fake.has_room[places[i]] = (room >> i & 1) != 0;
            expected = fake.has_room[places[i]] ? places[i] : expected;
        }
        keep_flags();
        assert_int_equal(sr_migration_reserve_mark(&migration), ESP_OK);
        assert_int_equal(migration.choice.mark.address, AT(expected));
        assert_int_equal(fake.record_sectors, 2 + 3); /* The manifest, and what is staged. */
        assert_same_but(expected, 1);
        assert_int_equal(flags[expected], SR_MAP_MARK);
        assert_int_equal(migration.scan.settled, expected == 5);
    }
}

static void expect_no_room(void)
{
    assert_int_equal(sr_migration_reserve_mark(&migration), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_NO_ROOM);
    assert_int_equal(plan.bytes_missing, SECTOR);
    assert_same_but(0, 0);
}

static void without_a_place_for_the_mark_it_is_refused(void **state)
{
    (void)state;
    needs_a_mark();
    keep_flags();
    expect_no_room();
}

static void mark_beside_an_app_in_place_is_none_of_the_new_systems_data(void **state)
{
    (void)state;
    static const sr_map_flags_t used[] = {SR_MAP_NEW_DATA, SR_MAP_NEW_GAP};
    for (unsigned i = 0; i < 3; i++) {
        setup(NULL);
        needs_a_mark();
        migration.choice.overwrite.size = 3 * SECTOR;
        migration.choice.mark.address = AT(9);
        flags[9] = SR_MAP_BLANK | (i < 2 ? used[i] : 0);
        flags[37] = SR_MAP_BLANK;
        keep_flags();
        if (i < 2) {
            expect_no_room();
        } else {
            assert_int_equal(sr_migration_reserve_mark(&migration), ESP_OK);
            assert_same_but(0, 0); /* The record lies around it. */
        }
        assert_int_equal(migration.choice.mark.address, AT(9));
    }
}

static void mark_that_is_there_stays(void **state)
{
    (void)state;
    needs_a_mark();
    flags[37] = SR_MAP_BLANK;
    migration.scan.mark_found = AT(9);
    keep_flags();
    assert_int_equal(sr_migration_reserve_mark(&migration), ESP_OK);
    assert_int_equal(migration.choice.mark.address, AT(9));
    assert_same_but(0, 0);
    setup(NULL);
    needs_a_mark();
    flags[37] = SR_MAP_BLANK;
    migration.scan.installed = true; /* None is needed. */
    keep_flags();
    assert_int_equal(sr_migration_reserve_mark(&migration), ESP_OK);
    assert_int_equal(migration.choice.mark.address, NONE);
    assert_same_but(0, 0);
}

/* Written, voided, erased. */

static void choose_mark(uint32_t sector)
{
    memset(migration.choice.mark.id, 0x55, sizeof(migration.choice.mark.id));
    migration.choice.mark.address = AT(sector);
    flags[sector] = SR_MAP_TARGET | SR_MAP_WRONG | SR_MAP_BLANK | SR_MAP_RELEASED | SR_MAP_NEW_DATA;
}

static void mark_is_put_and_kept_from_use(void **state)
{
    (void)state;
    choose_mark(9);
    keep_flags();
    assert_int_equal(sr_migration_put_mark(&migration), ESP_OK);
    assert_int_equal(fake.puts, 1);
    assert_int_equal(fake.put_at, AT(9));
    assert_int_equal(flags[9], SR_MAP_MARK | SR_MAP_NEW_DATA);
    assert_same_but(9, 1);
    setup(NULL);
    keep_flags();
    add_mark(3, 1, true); /* None is needed, but others are erased. */
    assert_int_equal(sr_migration_put_mark(&migration), ESP_OK);
    assert_int_equal(fake.puts, 0);
    assert_true(fake.marks[0].cleared);
    assert_same_but(0, 0);
    setup(NULL);
    choose_mark(9);
    add_mark(3, 1, true);
    fake.put_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_put_mark(&migration), ESP_ERR_TIMEOUT);
    assert_false(fake.marks[0].cleared);
}

static void marks_of_other_attempts_are_erased(void **state)
{
    (void)state;
    choose_mark(9);
    add_mark(0, 1, true);
    add_mark(1, 1, false); /* Somebody's file. */
    add_mark(2, -1, true);
    add_mark(3, 0, true); /* An earlier one of its own. */
    add_mark(9, 0, true);
    add_mark(10, 1, true);
    flags[2] = SR_MAP_DATA; /* Not erased, whatever lies there. */
    migration.scan.mark_found = AT(10);
    fake.marks[0].clear_err = ESP_ERR_TIMEOUT; /* That says nothing about this bundle. */
    fake.marks[5].counts = false;              /* It did as it was found. */
    assert_int_equal(sr_migration_put_mark(&migration), ESP_OK);
    static const bool cleared[] = {true, false, false, true, false, true};
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(fake.marks[i].cleared, cleared[i]);
    }
    assert_false(fake.marks[5].asked);
}

static void own_mark_that_stays_elsewhere_is_an_error(void **state)
{
    (void)state;
    choose_mark(9);
    add_mark(3, 0, true);
    add_mark(4, 1, true);
    fake.marks[0].clear_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_put_mark(&migration), ESP_ERR_TIMEOUT);
    assert_false(fake.marks[1].cleared);
    setup(NULL);
    add_mark(3, -0x55, true); /* Without a mark of its own it has no id, and nothing is its own. */
    fake.marks[0].last = 0;
    memset(migration.choice.mark.id, 0x55, sizeof(migration.choice.mark.id));
    migration.choice.mark.id[0] = 0;
    migration.choice.mark.id[sizeof(migration.choice.mark.id) - 1] = 0;
    fake.marks[0].clear_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_put_mark(&migration), ESP_OK);
    assert_true(fake.marks[0].cleared);
    setup(NULL);
    choose_mark(9);
    add_mark(3, 1, true); /* Of an id that is another one, in either direction. */
    add_mark(4, -1, true);
    fake.marks[0].clear_err = fake.marks[1].clear_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_put_mark(&migration), ESP_OK);
}

static void search_for_others_that_fails_is_told(void **state)
{
    (void)state;
    choose_mark(9);
    fake.find_fails = 1;
    assert_int_equal(sr_migration_put_mark(&migration), ESP_ERR_TIMEOUT);
    setup(NULL);
    add_mark(3, 1, true);
    fake.counts_err = ESP_ERR_NO_MEM;
    assert_int_equal(sr_migration_put_mark(&migration), ESP_ERR_NO_MEM);
    assert_false(fake.marks[0].cleared);
    setup(NULL);
    add_mark(3, 1, true);
    fake.find_fails = 2;
    assert_int_equal(sr_migration_put_mark(&migration), ESP_ERR_TIMEOUT);
}

static void mark_is_voided_and_erased(void **state)
{
    (void)state;
    assert_int_equal(sr_migration_void_mark(&migration), ESP_OK);
    assert_int_equal(sr_migration_clear_mark(&migration), ESP_OK);
    assert_int_equal(fake.voids + fake.clears, 0); /* There is none. */
    migration.scan.mark_found = AT(7);
    assert_int_equal(sr_migration_void_mark(&migration), ESP_OK);
    assert_int_equal(fake.voids, 0);
    assert_int_equal(sr_migration_clear_mark(&migration), ESP_OK);
    assert_int_equal(fake.clear_at, AT(7));
    choose_mark(9);
    assert_int_equal(sr_migration_void_mark(&migration), ESP_OK);
    assert_int_equal(fake.void_at, AT(9));
    assert_int_equal(sr_migration_clear_mark(&migration), ESP_OK);
    assert_int_equal(fake.clear_at, AT(9));
    assert_int_equal(fake.voids, 1);
    assert_int_equal(fake.clears, 2);
    assert_string_equal(error_line, "");
    migration.writer.failed_address = AT(9);
    fake.void_err = ESP_ERR_TIMEOUT;
    fake.clear_err = ESP_ERR_INVALID_SIZE;
    assert_int_equal(sr_migration_void_mark(&migration), ESP_ERR_TIMEOUT);
    assert_non_null(strstr(error_line, "0x9000: ESP_ERR_TIMEOUT"));
    assert_int_equal(sr_migration_clear_mark(&migration), ESP_ERR_INVALID_SIZE);
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(content_of_own_regions_decides),
        TEST(initial_regions_are_the_new_systems),
        TEST(blank_sectors_decide_only_where_there_is_no_content),
        TEST(bundle_without_initial_regions_needs_no_mark),
        TEST(manifest_that_cannot_be_hashed_is_told),
        TEST(own_mark_says_that_it_is_not_installed),
        TEST(mark_counts_for_its_own_bundle_and_where_nobody_else_writes),
        TEST(first_of_several_marks_counts),
        TEST(search_for_marks_that_fails_is_told),
        TEST(torn_marks_are_looked_for_where_one_can_be),
        TEST(highest_place_that_leaves_room_for_the_record_is_reserved),
        TEST(without_a_place_for_the_mark_it_is_refused),
        TEST(mark_beside_an_app_in_place_is_none_of_the_new_systems_data),
        TEST(mark_that_is_there_stays),
        TEST(mark_is_put_and_kept_from_use),
        TEST(marks_of_other_attempts_are_erased),
        TEST(own_mark_that_stays_elsewhere_is_an_error),
        TEST(search_for_others_that_fails_is_told),
        TEST(mark_is_voided_and_erased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
