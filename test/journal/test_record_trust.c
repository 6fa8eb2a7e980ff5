// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which staged records are believed. Free flash holds what anybody put there, so a record with any kind of lie must
 * leave the flash as it is: nothing is erased or written, and nothing is an error. And what cannot be finished must not
 * lock a device out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flash/sr_flash.h"
#include "test/support/support_trust.h"

/* Embeds the bundle, and makes it the app's. */
static void embed(void)
{
    memcpy(nor_flash_bytes(flash) + BUNDLE, bundle, bundle_size);
    job->config.embedded = (addr_region_t){BUNDLE, bundle_size};
}

static uint32_t unreadable = UINT32_MAX; /**< A read of a whole sector from here on fails. */
static uint32_t reads_to_failure;        /**< The read of a whole sector with this number fails, from 1; 0: none. */

esp_err_t __real_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *data, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *data, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *data, uint32_t length)
{
    const bool is_next = length == SECTOR && reads_to_failure > 0 && --reads_to_failure == 0;
    if (is_next || (address == unreadable && length == SECTOR)) {
        job->failed_first = nor_flash_stats(flash).operations == 0;
        job->failed = true;
        return ESP_ERR_INVALID_RESPONSE;
    }
    return __real_sr_flash_read(handle, address, data, length);
}

static void apply(void *unused)
{
    (void)unused;
    job->err = esp_self_reflasher_apply_bundle(&job->config, NULL);
}

/* Which records are believed. */

static void record_with_the_right_signature_is_finished(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    expect_finished();
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
}

static void moved_data_is_finished_too(void **state)
{
    (void)state;
    make_bundle(&moving_target, own_private);
    make_record(&moving_target);
    memcpy(wanted + MOVED, nor_flash_view(flash) + SMALL_NVS, SMALL_NVS_SIZE);
    put(RECORD);
    expect_finished();
}

static void without_config_or_key_nothing_is_done(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    job->config.public_key = NULL;
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_INVALID_ARG);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_int_equal(esp_self_reflasher_resume(NULL), ESP_ERR_INVALID_ARG);
}

static bool never(void *unused)
{
    (void)unused;
    return false;
}

static void expect_put_off(void)
{
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_SELF_REFLASHER_NOT_NOW);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
}

static void last_step_waits_for_a_steady_supply(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    job->config.may_commit = never;
    expect_put_off();
    job->config.may_commit = NULL;
    after_brownout = true;
    expect_put_off();
    after_brownout = false;
    expect_finished();
}

/* It would undo, at the next start, what the new system writes until then. */
static void record_of_which_nothing_is_left_goes_at_once(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    memcpy(nor_flash_bytes(flash), wanted, RECORD);
    put(RECORD);
    job->config.may_commit = never;
    expect_finished();
}

/* Nobody knows then whose records there are. */
static void app_that_can_not_be_read_is_an_error(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    unreadable = SLOT_0;
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    assert_int_equal(run(resume), SIM_END_RETURNED);
    unreadable = UINT32_MAX;
    assert_int_equal(job->err, ESP_ERR_INVALID_RESPONSE);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    expect_finished();
}

/* As an app that allows unsigned bundles takes them from a server, too. */
static void unsigned_record_needs_to_be_allowed(void **state)
{
    (void)state;
    make_bundle(&system_target, NULL);
    make_record(&system_target);
    expect_ignored(RECORD, "not signed, and there is a key");
    job->config.flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED;
    expect_finished();
}

static void signature_of_somebody_else_is_none(void **state)
{
    (void)state;
    make_bundle(&system_target, other_private);
    make_record(&system_target);
    expect_ignored(RECORD, "signed with another key");
    job->config.flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED;
    expect_ignored(RECORD, "signed with another key, where unsigned ones are allowed");
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    for (uint32_t offset = 0; offset < record.header.manifest_size; offset += 13) {
        bundle[offset] ^= 0x20;
        expect_ignored(RECORD, "a manifest with a bit changed");
        bundle[offset] ^= 0x20;
    }
    job->config.public_key = "no key at all";
    expect_ignored(RECORD, "a key that cannot be read");
    job->config.public_key = own_public;
    put(RECORD);
    expect_finished();
}

static void manifest_has_to_be_for_this_device(void **state)
{
    (void)state;
    target_t target = {.for_c3 = true};
    make_bundle(&target, own_private);
    make_record(&target);
    expect_ignored(RECORD, "for another chip");
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    job->config.min_sequence = 8;
    expect_ignored(RECORD, "older than the app takes");
    job->config.min_sequence = 7;
    record.header.app_id[3] ^= 1;
    expect_ignored(RECORD, "of another app");
    record.header.app_id[3] ^= 1;
    put(RECORD);
    expect_finished();
}

/* A good signature, and the wrong board: the same check as before a bundle is applied. */
static void result_has_to_boot(void **state)
{
    (void)state;
    const target_t target = {.breaks = true};
    make_bundle(&target, own_private);
    make_record(&target);
    expect_ignored(RECORD, "a bootloader that is damaged");
}

/* Where it lies. */

static void record_in_a_file_is_just_data(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    expect_ignored(STORAGE + SECTOR, "in a file system");
    expect_ignored(STORAGE - 2 * SECTOR, "that reaches into a file system");
    make_bundle(&system_target, other_private);
    make_record(&system_target);
    expect_ignored(SLOT_1 + 4 * SECTOR, "in a slot, as an upload leaves it");
    expect_ignored(SMALL_FLASH_SIZE - record_sectors(&record) * SECTOR, "at the end of the flash");
}

/* With the signature of who gives it up, data is as good as free flash; nothing beside it is. */
static void record_where_data_is_given_up_counts(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        uint32_t address;
        bool good;
    } cases[] = {{"storage", STORAGE + SECTOR, true},
                 {"nvs", STORAGE + SECTOR, false},
                 {"nothing", STORAGE + SECTOR, false},
                 {"storage", STORAGE - 2 * SECTOR, true},
                 {"nvs", STORAGE - 2 * SECTOR, false}};
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    uint8_t *fresh = malloc(SMALL_FLASH_SIZE);
    assert_non_null(fresh);
    memcpy(fresh, before, SMALL_FLASH_SIZE);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const target_t target = {.gives_up = cases[i].label};
        memcpy(nor_flash_bytes(flash), fresh, SMALL_FLASH_SIZE);
        make_bundle(&target, own_private);
        make_record(&target);
        if (!cases[i].good) {
            expect_ignored(cases[i].address, cases[i].label);
            continue;
        }
        put(cases[i].address);
        assert_int_equal(run(resume), SIM_END_RESTART);
        memset(wanted + cases[i].address, 0xFF, record_sectors(&record) * SECTOR);
        small_assert_same(nor_flash_view(flash), wanted, 0, SMALL_FLASH_SIZE);
        memcpy(nor_flash_bytes(flash), fresh, SMALL_FLASH_SIZE);
        make_bundle(&target, other_private); /* Somebody else gives it up. */
        make_record(&target);
        expect_ignored(cases[i].address, "signed by somebody else");
    }
    free(fresh);
}

/* What moves is copied to free flash as it is, and a file of a file system may be anything. */
static void record_inside_of_what_moves_is_just_data(void **state)
{
    (void)state;
    static record_t inner;
    static uint8_t signed_by_other[0x10000];
    make_bundle(&system_target, other_private);
    make_record(&system_target);
    assert_true(bundle_size <= sizeof(signed_by_other));
    memcpy(signed_by_other, bundle, bundle_size);
    inner = record;
    inner.manifest = signed_by_other;
    make_bundle(&moving_target, own_private);
    make_record(&moving_target);
    put(RECORD);
    memcpy(wanted + MOVED, nor_flash_view(flash) + SMALL_NVS, SMALL_NVS_SIZE);
    expect_finished();
    /* NVS lies there now, in the new table's partition; and a region of no partition is as good. */
    record = inner;
    expect_ignored(MOVED, "in NVS, where that has moved to");
    expect_ignored(RECORD, "inside of what was moved");
}

/* What it says. */

static void every_entry_that_is_missing_is_missed(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    const uint32_t count = record.header.count;
    assert_true(count >= 7);
    for (uint32_t missing = 0; missing < count; missing++) {
        static record_t whole;
        make_record(&system_target);
        whole = record;
        record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
        for (uint32_t i = 0; i < count; i++) {
            const sr_record_entry_t entry = sr_record_read_entry(whole.list, i);
            if (i != missing) {
                record_add(&record, entry.group, entry.address, entry.sectors,
                           entry.blank ? NULL : whole.data[entry.data_index]);
            }
        }
        expect_ignored(RECORD, "without an entry");
    }
    /* A sector that was right and is not any more counts as missing, too, also if it is blank. */
    for (uint32_t at = SLOT_1; at < SLOT_1 + SMALL_APP_SIZE; at += SECTOR) {
        uint8_t sector[SECTOR];
        make_record(&system_target);
        memcpy(sector, nor_flash_view(flash) + at, SECTOR);
        memset(nor_flash_bytes(flash) + at, 0xFF, SECTOR);
        expect_ignored(RECORD, "with an app of which a sector was erased");
        memcpy(nor_flash_bytes(flash) + at, sector, SECTOR);
    }
    make_record(&system_target);
    nor_flash_bytes(flash)[SLOT_1 + 100] ^= 1;
    expect_ignored(RECORD, "with another app than it was made for");
}

static void nothing_can_be_added(void **state)
{
    (void)state;
    static const uint32_t places[] = {SLOT_1 + SMALL_APP_SIZE, STORAGE, MOVED, 0, RECORD, RECORD + 2 * SECTOR};
    uint8_t content[SECTOR];
    dummy_image_fill(content, SECTOR, 1);
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    const uint32_t entry_count = record.header.count;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (unsigned group = SR_RECORD_DATA; group <= SR_RECORD_OTADATA; group++) {
            for (unsigned blank = 0; blank < 2; blank++) {
                make_record(&system_target);
                record_add(&record, (sr_record_group_t)group, places[i], 1, blank ? NULL : content);
                expect_ignored(RECORD, "with an entry that nobody has signed");
            }
        }
    }
    for (uint32_t i = 0; i < entry_count; i++) {
        make_record(&system_target);
        const sr_record_entry_t entry = sr_record_read_entry(record.list, i);
        record_add(&record, entry.group, entry.address, 1, entry.blank ? NULL : wanted + entry.address);
        expect_ignored(RECORD, "with an entry twice");
    }
}

static void order_is_that_of_the_writer(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    for (uint32_t i = 1; i < record.header.count; i++) {
        make_record(&system_target);
        const sr_record_entry_t first = sr_record_read_entry(record.list, i - 1);
        const sr_record_entry_t second = sr_record_read_entry(record.list, i);
        sr_record_write_entry(record.list, i - 1, &second);
        sr_record_write_entry(record.list, i, &first);
        expect_ignored(RECORD, "with two entries exchanged");
    }
}

static uint8_t fresh[SMALL_FLASH_SIZE];

/* As a writer may leave it that has dropped an entry: whatever it says, for whichever step. */
static void what_follows_the_last_entry_counts_for_nothing(void **state)
{
    (void)state;
    static const uint32_t places[] = {SLOT_0, SLOT_1,        STORAGE, SMALL_BOOTLOADER, SR_PARTITION_TABLE_OFFSET,
                                      RECORD, SMALL_OTADATA, MOVED,   SMALL_NVS};
    memcpy(fresh, nor_flash_view(flash), SMALL_FLASH_SIZE);
    for (unsigned i = 0; i < 2 * sizeof(places) / sizeof(places[0]); i++) {
        const target_t *target = i % 2 != 0 ? &moving_target : &system_target;
        memcpy(nor_flash_bytes(flash), fresh, SMALL_FLASH_SIZE);
        make_bundle(target, own_private);
        make_record(target);
        if (target->moves) {
            memcpy(wanted + MOVED, nor_flash_view(flash) + SMALL_NVS, SMALL_NVS_SIZE);
        }
        const sr_record_entry_t more = {.address = places[i / 2],
                                        .sectors = 1,
                                        .group = places[i / 2] == SR_PARTITION_TABLE_OFFSET ? SR_RECORD_TABLE
                                                                                            : SR_RECORD_BOOTLOADER,
                                        .data_index = record.data_count - 1};
        sr_record_write_entry(record.list, record.header.count, &more);
        record_note_boot_path(&record, nor_flash_view(flash));
        put(RECORD);
        expect_finished();
        if (!target->moves && places[i / 2] != RECORD) { /* There is nothing left to do, nor to be asked about. */
            put(RECORD);
            job->config.may_commit = never;
            expect_finished();
            job->config.may_commit = NULL;
        }
    }
}

/* Lists what the bundle of `spreading_target` brings, one sector of it as otadata. */
static void add_spread(uint32_t as_otadata)
{
    static const struct {
        sr_record_group_t group;
        sr_region_t place;
    } parts[] = {{SR_RECORD_DATA, {0, SECTOR}},
                 {SR_RECORD_DATA, {SMALL_NVS, SMALL_NVS_SIZE}},
                 {SR_RECORD_DATA, {MOVED, SECTOR}},
                 {SR_RECORD_BOOTLOADER, {SMALL_BOOTLOADER, 0x7000}},
                 {SR_RECORD_TABLE, {SR_PARTITION_TABLE_OFFSET, SECTOR}},
                 {SR_RECORD_OTADATA, {0, MOVED + SECTOR}}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (uint32_t at = parts[i].place.address; at < parts[i].place.address + parts[i].place.size; at += SECTOR) {
            const bool is_otadata = at == as_otadata || (at >= SMALL_OTADATA && at < SMALL_OTADATA + 2 * SECTOR);
            if (differs(at) && is_otadata == (parts[i].group == SR_RECORD_OTADATA)) {
                add(parts[i].group, at);
            }
        }
    }
}

static const target_t spreading_target = {.longer = true, .spreads = true};

/* What the record calls otadata is written last: it need not lie where today's is, but what starts the chip comes
 * before it. */
static void otadata_may_lie_anywhere_but_among_what_starts_the_chip(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        bool finished;
    } cases[] = {{0, true},
                 {SMALL_BOOTLOADER + 4 * SECTOR, false},
                 {SR_PARTITION_TABLE_OFFSET - SECTOR, false},
                 {SMALL_NVS, true}, /* The sector after the table. */
                 {MOVED, true}};
    memcpy(fresh, nor_flash_view(flash), SMALL_FLASH_SIZE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(nor_flash_bytes(flash), fresh, SMALL_FLASH_SIZE);
        make_bundle(&spreading_target, own_private);
        record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
        assert_true(differs(cases[i].address));
        add_spread(cases[i].address);
        record_note_boot_path(&record, nor_flash_view(flash));
        if (cases[i].finished) {
            put(RECORD);
            expect_finished();
        } else {
            expect_ignored(RECORD, "with part of the bootloader as otadata");
        }
    }
}

/* Each sector of the record, and of what it is compared with: nothing is known of it then, and nothing is done. */
static void what_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    unsigned failures = 0;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    const uint32_t manifest_sectors = sr_record_manifest_sectors(record.header.manifest_size);
    const uint32_t data = RECORD + (SR_RECORD_OVERHEAD + manifest_sectors) * SECTOR;
    for (uint32_t at = SMALL_BOOTLOADER; at < RECORD + record_sectors(&record) * SECTOR; at += SECTOR) {
        const bool must_fail = at == RECORD + SECTOR || at >= data;
        if (at >= SMALL_OTADATA + 2 * SECTOR && at < RECORD && at != SLOT_0 && at != SLOT_1) {
            continue;
        }
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        unreadable = at;
        const sim_end_t end = run(resume);
        unreadable = UINT32_MAX;
        if (end != SIM_END_RESTART || must_fail) {
            assert_int_equal(end, SIM_END_RETURNED);
            assert_int_equal(job->err, ESP_ERR_INVALID_RESPONSE);
            assert_int_equal(nor_flash_stats(flash).operations, 0);
            failures++;
        }
    }
    assert_true(failures > record.data_count);
    memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
    expect_finished();
}

/* Each read of a whole sector in turn, once: the error is told, and if the step is given up for it, nothing but the
 * record is erased. */
static void what_cannot_be_read_once_is_an_error_too(void **state)
{
    (void)state;
    make_bundle(&moving_target, own_private);
    make_record(&moving_target);
    memcpy(wanted + MOVED, nor_flash_view(flash) + SMALL_NVS, SMALL_NVS_SIZE);
    put(RECORD);
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    unsigned failures = 0;
    do {
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        job->failed = job->failed_first = false;
        reads_to_failure = failures + 1;
        const sim_end_t end = run(resume);
        reads_to_failure = 0;
        if (job->failed_first) {
            assert_int_equal(end, SIM_END_RETURNED);
            assert_int_equal(job->err, ESP_ERR_INVALID_RESPONSE);
            small_assert_same(nor_flash_view(flash), before, 0, RECORD);
        }
        failures++;
    } while (job->failed_first);
    assert_true(failures > record.data_count);
    memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
    expect_finished();
}

/* Memory is taken only for what is trusted: otherwise anyone could make resume fail for want of it, for ever. */
static void stranger_gets_no_memory(void **state)
{
    (void)state;
    make_bundle(&system_target, other_private);
    make_record(&system_target);
    record.header.sectors = 40;
    record.header.manifest_size = 30 * SECTOR;
    static uint8_t large[30 * SECTOR];
    memcpy(large, bundle, bundle_size);
    record.manifest = large;
    record.data_count = 0;
    record_put(&record, nor_flash_bytes(flash), MOVED, true);
    small_attach(flash, SLOT_0);
    assert_int_equal(sim_call(resume, NULL), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_true(sim_counters()->heap_peak < 16384);
    sim_chip_detach();
}

/* Nor for a manifest of ours that is for devices with more flash: on this one it might be too much for ever. */
static void manifest_for_more_flash_gets_no_memory(void **state)
{
    (void)state;
    const uint32_t size = 0x300000;
    uint8_t *content = malloc(size);
    assert_non_null(content);
    memset(content, 0xFF, size);
    content[size - 1] = 0;
    const bundle_region_t region = {.place = {SMALL_FLASH_SIZE, size}, .data = content, .length = size};
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE + size,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = &region,
                                .region_count = 1,
                                .sequence = 7};
    bundle = record_bundle(&spec, own_private, &bundle_size);
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    record_put(&record, nor_flash_bytes(flash), MOVED, true);
    small_attach(flash, SLOT_0);
    assert_int_equal(sim_call(resume, NULL), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_true(sim_counters()->heap_peak < 16384);
    sim_chip_detach();
    free(content);
}

/* What waits in RAM is no more than a boot path and a block. */
static void list_can_not_ask_for_all_memory(void **state)
{
    (void)state;
    const target_t target = {.erases = true};
    make_bundle(&target, own_private);
    for (uint32_t sectors = 20; sectors >= 15; sectors--) {
        record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
        add_range(SR_RECORD_DATA, SMALL_NVS, SMALL_NVS_SIZE);
        record_add(&record, SR_RECORD_NEIGHBOURS, MOVED, sectors, NULL);
        add_range(SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER, 0x7000);
        add_range(SR_RECORD_TABLE, SR_PARTITION_TABLE_OFFSET, SECTOR);
        add_range(SR_RECORD_OTADATA, SMALL_OTADATA, 2 * SECTOR);
        if (sectors > 15) {
            expect_ignored(RECORD, "with more than a block beside the boot path");
        }
    }
    put(RECORD);
    expect_finished();
}

static void running_app_is_not_written_over(void **state)
{
    (void)state;
    const target_t target = {.over_app = true};
    make_bundle(&target, own_private);
    start_record(&target);
    /* Among the data, and, as the order wants it, after that. */
    for (uint32_t i = 0; i < SMALL_APP_SIZE; i += SECTOR) {
        record_add(&record, SR_RECORD_OTADATA, SLOT_0 + i, 1, wanted + SLOT_0 + i);
    }
    expect_ignored(RECORD, "over the running app");
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    add_range(SR_RECORD_DATA, SMALL_NVS, SMALL_NVS_SIZE);
    add_range(SR_RECORD_DATA, SLOT_0, SMALL_APP_SIZE);
    add_range(SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER, 0x7000);
    add_range(SR_RECORD_TABLE, SR_PARTITION_TABLE_OFFSET, SECTOR);
    add_range(SR_RECORD_OTADATA, SMALL_OTADATA, 2 * SECTOR);
    expect_ignored(RECORD, "over the running app, as data");
}

/** A sector that a record brings, and the group that a writer puts it into. */
typedef struct brought {
    uint32_t address;
    sr_record_group_t group;
} brought_t;

/* All that the bundle changes, in ascending order. */
static unsigned list_brought(brought_t *brought)
{
    unsigned count = 0;
    for (uint32_t i = SMALL_BOOTLOADER; i < SMALL_OTADATA + 2 * SECTOR; i += SECTOR) {
        const sr_record_group_t group = i < SR_PARTITION_TABLE_OFFSET    ? SR_RECORD_BOOTLOADER
                                        : i == SR_PARTITION_TABLE_OFFSET ? SR_RECORD_TABLE
                                        : i < SMALL_OTADATA              ? SR_RECORD_DATA
                                                                         : SR_RECORD_OTADATA;
        if (differs(i)) {
            brought[count++] = (brought_t){i, group};
        }
    }
    return count;
}

static void make_record_of(const brought_t *brought, unsigned count)
{
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    for (unsigned group = SR_RECORD_DATA; group < SR_RECORD_GROUPS; group++) {
        for (unsigned i = 0; i < count; i++) {
            if (brought[i].group == group) {
                add((sr_record_group_t)group, brought[i].address);
            }
        }
    }
    record_note_boot_path(&record, nor_flash_view(flash));
}

/* Each choice of what starts the chip, in each group that is not its own: the data comes first, takes long, and is
 * given up if it fails; otadata comes last, when all that it leads to is there. */
static void what_starts_the_chip_comes_in_its_turn(void **state)
{
    (void)state;
    brought_t own[16];
    make_bundle(&system_target, own_private);
    const unsigned count = list_brought(own);
    for (unsigned group = SR_RECORD_DATA; group < SR_RECORD_GROUPS; group++) {
        for (unsigned choice = 1; choice < 1u << count; choice++) {
            brought_t brought[16];
            bool moved = true;
            memcpy(brought, own, sizeof(own));
            for (unsigned i = 0; i < count && moved; i++) {
                if ((choice >> i & 1) != 0) {
                    moved = own[i].group != SR_RECORD_DATA && own[i].group != group;
                    brought[i].group = (sr_record_group_t)group;
                }
            }
            if (moved) {
                make_record_of(brought, count);
                expect_ignored(RECORD, "with what starts the chip out of its turn");
            }
        }
    }
    make_record_of(own, count);
    put(RECORD);
    expect_finished();
}

/* The end of a bootloader that is longer than the one of today: any time before the table. */
static void end_of_a_longer_bootloader_comes_before_the_table(void **state)
{
    (void)state;
    const uint32_t end = SR_PARTITION_TABLE_OFFSET - SECTOR;
    for (unsigned group = SR_RECORD_DATA; group <= SR_RECORD_OTADATA; group += 2) {
        close_chip(NULL);
        open_chip(NULL);
        brought_t brought[16];
        make_bundle(&(target_t){.longer = true}, own_private);
        const unsigned count = list_brought(brought);
        for (unsigned i = 0; i < count; i++) {
            brought[i].group = brought[i].address == end ? (sr_record_group_t)group : brought[i].group;
        }
        make_record_of(brought, count);
        if (group == SR_RECORD_OTADATA) {
            expect_ignored(RECORD, "with the end of the bootloader after the table");
        } else {
            put(RECORD);
            expect_finished();
        }
    }
}

/* Once all else is there, the new bootloader has run, and may have written to an otadata that came with the data. */
static void otadata_that_the_new_bootloader_changed_is_no_obstacle(void **state)
{
    (void)state;
    brought_t brought[16];
    make_bundle(&system_target, own_private);
    const unsigned count = list_brought(brought);
    for (unsigned i = 0; i < count; i++) {
        brought[i].group = brought[i].address == SMALL_OTADATA ? SR_RECORD_DATA : brought[i].group;
    }
    make_record_of(brought, count);
    for (unsigned i = 0; i < count; i++) {
        if (brought[i].address < SMALL_OTADATA) {
            expect_ignored(RECORD, "with otadata among the data, and not all else there");
            memcpy(nor_flash_bytes(flash) + brought[i].address, wanted + brought[i].address, SECTOR);
        }
    }
    put(RECORD);
    expect_finished();
}

/* What has the right content because it is part of the record is erased with it. */
static void what_is_right_by_the_record_alone_is_missed(void **state)
{
    (void)state;
    make_bundle(&(target_t){.twin = true}, own_private);
    make_record(&system_target);
    const uint32_t data = SR_RECORD_OVERHEAD + sr_record_manifest_sectors(record.header.manifest_size);
    assert_int_equal(RECORD + data * SECTOR, TWIN);
    put(RECORD);
    assert_false(differs(TWIN));
    expect_ignored(RECORD, "over what the bundle has content for");
}

/* A step that the driver stops half-way would keep all others out, if the record says that the boot path is half
 * written. */
static void what_the_driver_refuses_is_not_begun(void **state)
{
    (void)state;
    const target_t target = {.files = true};
    storage_flags = SR_PARTITION_FLAG_READ_ONLY;
    put_table(nor_flash_bytes(flash), SMALL_NVS, true);
    storage_flags = 0;
    make_bundle(&target, own_private);
    start_record(&target);
    add_range(SR_RECORD_OTADATA, SMALL_OTADATA, 2 * SECTOR);
    memset(record.header.before, 0x5A, sizeof(record.header.before));
    expect_ignored(RECORD, "into a partition that is read-only");
    make_bundle(&(target_t){.no_bootloader = true}, own_private);
    embed();
    assert_int_equal(run(apply), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
}

/* The mark that the installation of the bundle is not done. */
static void put_mark(uint32_t address, const uint8_t *manifest, size_t size)
{
    uint8_t *at = nor_flash_bytes(flash) + address;
    uint8_t digest[SR_SHA256_SIZE];
    assert_true(sr_digest(manifest, size, digest));
    memset(at, 0xFF, SECTOR);
    memcpy(at, "SRTODO\r\n", 8);
    memcpy(at + 8, digest, SR_BUNDLE_DIGEST_SIZE);
}

static size_t manifest_size(void)
{
    return record.header.manifest_size - SR_BUNDLE_SIGNATURE_SIZE;
}

/* What the new system owns is written once, by whoever makes it the new system. A record without it would leave it to
 * nobody; with a mark it comes with the next apply. */
static void half_of_a_system_is_not_taken(void **state)
{
    (void)state;
    const target_t target = {.files = true};
    make_bundle(&target, own_private);
    make_record(&(target_t){.files = false});
    expect_ignored(RECORD, "without what the new system owns");
    put_mark(MARK, bundle, manifest_size());
    assert_int_equal(run(resume), SIM_END_RESTART);
    small_assert_same(nor_flash_view(flash), wanted, 0, STORAGE);
    assert_true(differs(STORAGE));
    assert_memory_equal(nor_flash_view(flash) + MARK, "SRTODO", 6);
    embed();
    assert_int_equal(run(apply), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    small_assert_same(nor_flash_view(flash), wanted, 0, BUNDLE);
}

static void all_of_a_system_needs_no_mark(void **state)
{
    (void)state;
    const target_t target = {.files = true};
    make_bundle(&target, own_private);
    make_record(&target);
    put(RECORD);
    expect_finished();
}

/* That one bundle is done says nothing about another. */
static void marks_of_others_stay(void **state)
{
    (void)state;
    make_bundle(&(target_t){.files = true}, own_private);
    make_record(&(target_t){.files = true});
    put(RECORD);
    put_mark(MARK, bundle, manifest_size());
    put_mark(MARK + SECTOR, bundle, manifest_size() - 1);
    memcpy(wanted + MARK + SECTOR, nor_flash_view(flash) + MARK + SECTOR, SECTOR);
    expect_finished();
}

static void guard_needs_somebody_who_stands_in(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    record.header.guarded = true;
    expect_ignored(RECORD, "with a recovery bootloader, on a chip that has none");
}

/* What fills up a block was blank. What is there by now belongs to something else. */
static void record_erases_nothing_beside_it(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    record.header.sectors += 3;
    put(RECORD);
    nor_flash_bytes(flash)[RECORD + (record_sectors(&record) - 1) * SECTOR] = 0;
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    make_record(&system_target);
    record.header.sectors += 16;
    expect_ignored(RECORD, "with more to fill up than a block has");
}

static void moved_data_goes_where_something_moves_and_nowhere_else(void **state)
{
    (void)state;
    uint8_t evil[SECTOR];
    dummy_image_fill(evil, SECTOR, 13);
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    record_add(&record, SR_RECORD_DATA, MOVED, 1, evil);
    record_vouch(&record);
    expect_ignored(RECORD, "moved data, where nothing moves");
    make_bundle(&moving_target, own_private);
    start_record(&moving_target);
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    record_add(&record, SR_RECORD_DATA, SMALL_NVS, 1, evil);
    record_vouch(&record);
    expect_ignored(RECORD, "moved data, where it moves from");
}

/* From then on it belongs to the new system. */
static void what_has_moved_is_not_put_back(void **state)
{
    (void)state;
    make_bundle(&moving_target, own_private);
    make_record(&moving_target);
    put(RECORD);
    /* All of it was written, only the record is still there; and the new system has gone on. */
    uint8_t *bytes = nor_flash_bytes(flash);
    uint8_t kept[SECTOR];
    memcpy(wanted + RECORD, bytes + RECORD, BUNDLE - RECORD);
    dummy_image_fill(wanted + MOVED, SMALL_NVS_SIZE, 99);
    memcpy(kept, wanted + MOVED, SECTOR);
    memcpy(bytes, wanted, SMALL_FLASH_SIZE);
    expect_finished();
    assert_memory_equal(nor_flash_view(flash) + MOVED, kept, SECTOR);
}

/* A mark alone. */

/* Whoever can write 20 bytes into a slot may claim what comes after it, and it costs nothing outside of the slot. */
static void mark_counts_inside_its_own_partition(void **state)
{
    (void)state;
    static const uint32_t marks[] = {SLOT_1 + 8 * SECTOR, SLOT_1 + 15 * SECTOR, SMALL_SLOTS + 2 * SMALL_SLOT_SIZE,
                                     STORAGE - SECTOR};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        uint8_t *bytes = nor_flash_bytes(flash);
        memset(bytes + SLOT_1 + 8 * SECTOR, 0xFF, 8 * SECTOR);
        dummy_image_fill(bytes + SLOT_1 + SMALL_SLOT_SIZE, STORAGE - SLOT_1 - SMALL_SLOT_SIZE, 3);
        memset(bytes + marks[i], 0xFF, SECTOR);
        sr_record_write_mark(bytes + marks[i], 70);
        make_bundle(&(target_t){.no_bootloader = true}, own_private);
        memcpy(bytes + BUNDLE, bundle, bundle_size);
        job->config.embedded = (addr_region_t){BUNDLE, bundle_size};
        memcpy(before, bytes, SMALL_FLASH_SIZE);
        assert_int_equal(run(apply), SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_OK);
        const uint32_t slot_end = SLOT_1 + SMALL_SLOT_SIZE;
        if (marks[i] < slot_end) {
            small_assert_same(nor_flash_view(flash), before, slot_end, BUNDLE - slot_end);
            assert_int_equal(nor_flash_view(flash)[marks[i]], 0xFF);
        }
        small_assert_same(nor_flash_view(flash), before, STORAGE, BUNDLE - STORAGE);
        small_assert_same(nor_flash_view(flash), before, SLOT_1, SMALL_APP_SIZE);
        memcpy(nor_flash_bytes(flash) + SMALL_OTADATA, before + SMALL_OTADATA, 2 * SECTOR);
        memcpy(nor_flash_bytes(flash) + SMALL_NVS, before + SMALL_NVS, SMALL_NVS_SIZE);
    }
}

/* No dead ends. */

#define MAX_DEAD 4u
static uint32_t dead[MAX_DEAD]; /**< Sectors that can be neither erased nor programmed; 0: none. */
static esp_err_t dead_says;

static bool is_dead(uint32_t address, uint32_t length)
{
    for (unsigned i = 0; i < MAX_DEAD; i++) {
        if (dead[i] != 0 && sr_region_overlaps((sr_region_t){dead[i], SECTOR}, (sr_region_t){address, length})) {
            return true;
        }
    }
    return false;
}

esp_err_t __real_sr_flash_erase(const sr_flash_t *handle, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *handle, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *handle, uint32_t address, uint32_t length)
{
    return is_dead(address, length) ? dead_says : __real_sr_flash_erase(handle, address, length);
}

esp_err_t __real_sr_flash_write(const sr_flash_t *handle, uint32_t address, const void *data, uint32_t length);
esp_err_t __wrap_sr_flash_write(const sr_flash_t *handle, uint32_t address, const void *data, uint32_t length);
esp_err_t __wrap_sr_flash_write(const sr_flash_t *handle, uint32_t address, const void *data, uint32_t length)
{
    return is_dead(address, length) ? dead_says : __real_sr_flash_write(handle, address, data, length);
}

static void kill(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    dead[0] = a;
    dead[1] = b;
    dead[2] = c;
    dead[3] = d;
}

static bool has_record(void)
{
    return record_is_somewhere(nor_flash_view(flash), SMALL_FLASH_SIZE);
}

/* A sector of data that is dead, or forbidden, or one of the bootloader that is: as long as the old boot path is whole,
 * the step is given up, and the next bundle has its chance. */
static void expect_given_up(uint32_t sector, esp_err_t error, bool by_apply)
{
    memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    embed();
    if (!by_apply) {
        put(RECORD);
    }
    dead_says = error;
    kill(sector, 0, 0, 0);
    assert_int_equal(run(by_apply ? apply : resume), SIM_END_RETURNED);
    assert_int_equal(job->err, error);
    assert_false(has_record());
    small_assert_boots(flash, false, SLOT_0);
    small_assert_same(nor_flash_view(flash), before, SMALL_BOOTLOADER, 0x8000);
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    if (sector == SMALL_BOOTLOADER) { /* One that does without that sector. */
        make_bundle(&(target_t){.no_bootloader = true}, own_private);
        embed();
        assert_int_equal(run(apply), SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_OK);
    }
    kill(0, 0, 0, 0);
    make_bundle(&system_target, own_private);
    embed();
    assert_int_equal(run(apply), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    small_assert_same(nor_flash_view(flash), wanted, 0, STORAGE);
}

static void step_that_can_not_be_done_is_given_up(void **state)
{
    (void)state;
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    for (unsigned by_apply = 0; by_apply < 2; by_apply++) {
        expect_given_up(SMALL_NVS, ESP_ERR_NOT_ALLOWED, by_apply != 0);
        expect_given_up(SMALL_NVS, ESP_ERR_TIMEOUT, by_apply != 0);
        expect_given_up(SMALL_NVS + SECTOR, ESP_ERR_NOT_ALLOWED, by_apply != 0);
        expect_given_up(SMALL_NVS + SECTOR, ESP_ERR_TIMEOUT, by_apply != 0);
        expect_given_up(SMALL_BOOTLOADER, ESP_ERR_NOT_ALLOWED, by_apply != 0);
    }
}

/* The boot path is half written: there is nothing better than to try again. */
static void step_that_has_begun_to_change_the_boot_path_is_kept(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    memcpy(nor_flash_bytes(flash) + SMALL_BOOTLOADER, wanted + SMALL_BOOTLOADER, 0x7000);
    dead_says = ESP_ERR_TIMEOUT;
    kill(SMALL_NVS, 0, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(run(i == 1 ? apply : resume), SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_ERR_TIMEOUT);
        assert_true(has_record());
    }
    kill(0, 0, 0, 0);
    expect_finished();
}

/* Neither list, nor mark, nor manifest can be changed: then the app may still do something else. */
static void record_that_stays_does_not_keep_other_bundles_out(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    dead_says = ESP_ERR_NOT_ALLOWED;
    kill(SMALL_BOOTLOADER, RECORD, RECORD + SECTOR, RECORD + 2 * SECTOR);
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_ERR_NOT_ALLOWED);
    assert_true(has_record());
    make_bundle(&(target_t){.no_bootloader = true}, own_private);
    embed();
    assert_int_equal(run(apply), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    small_assert_boots(flash, false, SLOT_1);
    kill(0, 0, 0, 0);
}

/* Their sectors were taken for ones that will be free, until the erase of them failed: what is staged goes elsewhere.
 */
static void record_that_stays_is_not_written_over(void **state)
{
    (void)state;
    static const uint32_t marks[] = {MOVED + 9 * SECTOR, MOVED + 18 * SECTOR, MOVED + 27 * SECTOR};
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + MOVED + 36 * SECTOR, 0x5A, 10 * SECTOR); /* What is free after that takes a record. */
    make_bundle(&system_target, own_private);
    for (unsigned i = 0; i < 3; i++) {
        sr_record_write_mark(bytes + marks[i], 0);
    }
    memcpy(before, bytes, SMALL_FLASH_SIZE);
    embed();
    dead_says = ESP_ERR_TIMEOUT;
    kill(marks[0], marks[1], marks[2], 0);
    assert_int_equal(run(apply), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    small_assert_same(nor_flash_view(flash), before, MOVED, BUNDLE - MOVED);
    small_assert_boots(flash, false, SLOT_1);
    kill(0, 0, 0, 0);
}

/* Finished, but cannot be erased: that is reported once, and is no reason to restart for ever. */
static void record_that_stays_after_it_was_finished_is_no_loop(void **state)
{
    (void)state;
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    dead_says = ESP_ERR_TIMEOUT;
    kill(RECORD, RECORD + SECTOR, RECORD + 2 * SECTOR, 0);
    assert_int_equal(run(resume), SIM_END_RESTART);
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    kill(0, 0, 0, 0);
}

/* Nor does it hide another one, whose step may have begun. */
static void record_that_stays_hides_no_other_one(void **state)
{
    (void)state;
    static uint8_t stays[0x8000];
    make_bundle(&(target_t){.no_bootloader = true}, own_private);
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    memcpy(nor_flash_bytes(flash) + SMALL_OTADATA, wanted + SMALL_OTADATA, 2 * SECTOR);
    memcpy(nor_flash_bytes(flash) + SMALL_NVS, wanted + SMALL_NVS, SMALL_NVS_SIZE);
    put(MOVED);
    const uint32_t size = record_sectors(&record) * SECTOR;
    memcpy(stays, nor_flash_view(flash) + MOVED, size);
    make_bundle(&system_target, own_private);
    make_record(&system_target);
    put(RECORD);
    memcpy(wanted + MOVED, stays, size);
    dead_says = ESP_ERR_TIMEOUT;
    kill(MOVED, MOVED + SECTOR, MOVED + 2 * SECTOR, 0);
    expect_finished();
    kill(0, 0, 0, 0);
}

/* A mark that can be neither voided nor erased: not its own bundle's business alone, but no other's either. */
static void mark_that_stays_does_not_keep_other_bundles_out(void **state)
{
    (void)state;
    const target_t target = {.files = true};
    make_bundle(&target, own_private);
    make_record(&target);
    put(RECORD);
    put_mark(MARK, bundle, manifest_size());
    memcpy(wanted + MARK, nor_flash_view(flash) + MARK, SECTOR);
    dead_says = ESP_ERR_TIMEOUT;
    kill(MARK, 0, 0, 0);
    expect_finished();
    assert_int_equal(run(resume), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    nor_flash_bytes(flash)[SMALL_NVS] ^= 1;
    make_bundle(&(target_t){.no_bootloader = true}, own_private);
    embed();
    assert_int_equal(run(apply), SIM_END_RETURNED);
    assert_int_equal(job->err, ESP_OK);
    kill(0, 0, 0, 0);
}

/* What moves: as long as its source is whole, nothing is lost; after that, the record has the only copy. */
static void only_copy_of_moved_data_is_kept(void **state)
{
    (void)state;
    for (unsigned source_is_gone = 0; source_is_gone < 2; source_is_gone++) {
        memcpy(nor_flash_bytes(flash), source_is_gone ? before : nor_flash_view(flash), SMALL_FLASH_SIZE);
        memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
        make_bundle(&moving_target, own_private);
        make_record(&moving_target);
        put(RECORD);
        dead_says = ESP_ERR_TIMEOUT;
        kill(source_is_gone ? MOVED : SMALL_NVS, 0, 0, 0);
        assert_int_equal(run(resume), SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_ERR_TIMEOUT);
        assert_int_equal(has_record(), source_is_gone);
        kill(0, 0, 0, 0);
    }
    memcpy(wanted + MOVED, before + SMALL_NVS, SMALL_NVS_SIZE);
    expect_finished();
}

/* What went straight to its new place is not in the record. With the old place written over, a new start would move
 * what is there by then. */
static void moved_data_at_its_place_is_not_moved_again(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(flash);
    memcpy(bytes + MOVED, bytes + SMALL_NVS, SMALL_NVS_SIZE);
    memcpy(before, bytes, SMALL_FLASH_SIZE);
    for (unsigned written = 0; written < 2; written++) {
        memcpy(bytes, before, SMALL_FLASH_SIZE);
        make_bundle(&moving_target, own_private);
        start_record(&system_target);
        add_range(SR_RECORD_OTADATA, SMALL_OTADATA, 2 * SECTOR);
        record_note_boot_path(&record, nor_flash_view(flash));
        put(RECORD);
        dead_says = ESP_ERR_TIMEOUT;
        kill(SMALL_NVS + written * SECTOR, 0, 0, 0);
        assert_int_equal(run(resume), SIM_END_RETURNED);
        assert_int_equal(job->err, ESP_ERR_TIMEOUT);
        assert_int_equal(has_record(), written);
        kill(0, 0, 0, 0);
        free(bundle);
        bundle = NULL;
    }
}

static void reasons_are_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= SR_RECORD_REFUSED; i++) {
        const char *text = sr_record_status_text((sr_record_status_t)i);
        assert_true(strlen(text) > 5);
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(text, sr_record_status_text((sr_record_status_t)k));
        }
    }
    assert_string_equal(sr_record_status_text((sr_record_status_t)99), "has an unknown status");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(record_with_the_right_signature_is_finished),
        TEST(moved_data_is_finished_too),
        TEST(without_config_or_key_nothing_is_done),
        TEST(last_step_waits_for_a_steady_supply),
        TEST(record_of_which_nothing_is_left_goes_at_once),
        TEST(app_that_can_not_be_read_is_an_error),
        TEST(unsigned_record_needs_to_be_allowed),
        TEST(signature_of_somebody_else_is_none),
        TEST(manifest_has_to_be_for_this_device),
        TEST(result_has_to_boot),
        TEST(record_in_a_file_is_just_data),
        TEST(record_where_data_is_given_up_counts),
        TEST(record_inside_of_what_moves_is_just_data),
        TEST(every_entry_that_is_missing_is_missed),
        TEST(nothing_can_be_added),
        TEST(order_is_that_of_the_writer),
        TEST(what_follows_the_last_entry_counts_for_nothing),
        TEST(otadata_may_lie_anywhere_but_among_what_starts_the_chip),
        TEST(what_cannot_be_read_is_an_error),
        TEST(what_cannot_be_read_once_is_an_error_too),
        TEST(stranger_gets_no_memory),
        TEST(manifest_for_more_flash_gets_no_memory),
        TEST(list_can_not_ask_for_all_memory),
        TEST(running_app_is_not_written_over),
        TEST(what_starts_the_chip_comes_in_its_turn),
        TEST(end_of_a_longer_bootloader_comes_before_the_table),
        TEST(otadata_that_the_new_bootloader_changed_is_no_obstacle),
        TEST(what_is_right_by_the_record_alone_is_missed),
        TEST(what_the_driver_refuses_is_not_begun),
        TEST(half_of_a_system_is_not_taken),
        TEST(all_of_a_system_needs_no_mark),
        TEST(marks_of_others_stay),
        TEST(guard_needs_somebody_who_stands_in),
        TEST(record_erases_nothing_beside_it),
        TEST(moved_data_goes_where_something_moves_and_nowhere_else),
        TEST(what_has_moved_is_not_put_back),
        TEST(mark_counts_inside_its_own_partition),
        TEST(step_that_can_not_be_done_is_given_up),
        TEST(step_that_has_begun_to_change_the_boot_path_is_kept),
        TEST(record_that_stays_does_not_keep_other_bundles_out),
        TEST(record_that_stays_is_not_written_over),
        TEST(record_that_stays_after_it_was_finished_is_no_loop),
        TEST(record_that_stays_hides_no_other_one),
        TEST(mark_that_stays_does_not_keep_other_bundles_out),
        TEST(only_copy_of_moved_data_is_kept),
        TEST(moved_data_at_its_place_is_not_moved_again),
        TEST(reasons_are_told),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
