// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a record that is believed was found to be, what is judged of it, and that no error is lost on the way. Which
 * records are believed at all, test_record_trust says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "journal/sr_verification.h"

#include "esp_heap_caps.h"
#include "port/sr_yield.h"
#include "preflight/sr_preflight_chip.h"
#include "psa/crypto.h"
#include "sim/chip/sim_state.h"
#include "test/support/support_cipher.h"
#include "test/support/support_trust.h"

#undef MARK
#define MARK      0xE8000u /**< Behind the longest record here. */
#define VOID_MARK (MARK + SECTOR)

/** A check of the record in flash. */
static struct {
    sr_system_t system;
    sr_journal_t journal;
    sr_writer_t writer;
    sr_verification_t it;
    sr_record_status_t status;
    uint8_t list[SECTOR];
    _Alignas(max_align_t) uint8_t scratch[SECTOR];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
} proof;

/* What fails, and what is counted. */

typedef enum kind { READ, COMPARE, BLANK, HASH, TABLE, KINDS } kind_t;

static const esp_err_t errors[KINDS] = {ESP_ERR_INVALID_RESPONSE, ESP_ERR_TIMEOUT, ESP_ERR_NOT_ALLOWED, ESP_FAIL,
                                        ESP_ERR_NO_MEM};

static struct {
    bool armed;
    kind_t kind;
    uint32_t number; /**< The call with this number fails, from 1; 0: none. */
    bool hit;
    uint32_t work, most_work; /**< Bytes read since the last yield, and the most of them. */
    uint32_t largest_yield;
} calls;

static bool fails(kind_t kind)
{
    const bool hit = calls.armed && calls.kind == kind && calls.number > 0 && --calls.number == 0;
    calls.hit = calls.hit || hit;
    return hit;
}

static void count(uint32_t bytes)
{
    calls.work += bytes;
    calls.most_work = calls.work > calls.most_work ? calls.work : calls.most_work;
}

/* Of the search for marks, which looks at each sector, one is enough. */
esp_err_t __real_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *data, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *data, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *data, uint32_t length)
{
    const bool is_search = length == 24 && address > 0;
    count(is_search ? 0 : length);
    return !is_search && fails(READ) ? errors[READ] : __real_sr_flash_read(handle, address, data, length);
}

esp_err_t __real_sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector,
                                   sr_writer_comparison_t *result);
esp_err_t __wrap_sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector,
                                   sr_writer_comparison_t *result);
esp_err_t __wrap_sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector,
                                   sr_writer_comparison_t *result)
{
    const esp_err_t err = __real_sr_writer_compare(writer, sector, result);
    count(SECTOR);
    return fails(COMPARE) ? errors[COMPARE] : err;
}

esp_err_t __real_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);
esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);
esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank)
{
    const esp_err_t err = __real_sr_writer_is_blank(writer, address, blank);
    return fails(BLANK) ? errors[BLANK] : err;
}

psa_status_t __real_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);
psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length);
psa_status_t __wrap_psa_hash_update(psa_hash_operation_t *operation, const uint8_t *input, size_t length)
{
    const bool is_md5 = length == SR_PARTITION_ENTRY_SIZE; /* Of a table: on a chip it is in the ROM. */
    return !is_md5 && fails(HASH) ? PSA_ERROR_HARDWARE_FAILURE : __real_psa_hash_update(operation, input, length);
}

esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    return fails(TABLE) ? NULL : __real_esp_partition_find(type, subtype, label);
}

void __real_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    calls.work = 0;
    calls.largest_yield = bytes > calls.largest_yield ? bytes : calls.largest_yield;
    __real_sr_yield(bytes);
}

/* The verdict on the flash as it will be. */

static struct {
    void (*look)(const sr_reader_t *flash);
    esp_err_t err;
    uint32_t failed;
    bool bad_signature;
    unsigned asked;
    uint32_t skip;
} verdict;

esp_err_t __wrap_sr_preflight_chip_check(const sr_preflight_chip_t *request, uint32_t skip, bool app_follows,
                                         bool app_alone, uint32_t *failed, char *text, size_t text_size);
esp_err_t __wrap_sr_preflight_chip_check(const sr_preflight_chip_t *request, uint32_t skip, bool app_follows,
                                         bool app_alone, uint32_t *failed, char *text, size_t text_size)
{
    (void)text;
    (void)text_size;
    assert_false(app_follows || app_alone);
    assert_int_equal(request->flash.size, SMALL_FLASH_SIZE);
    verdict.asked++;
    verdict.skip = skip;
    if (verdict.look != NULL) {
        verdict.look(&request->flash);
    }
    if (verdict.err == ESP_OK) {
        *failed = verdict.failed;
    }
    return verdict.err;
}

bool __wrap_sr_preflight_chip_check_signatures(const sr_preflight_chip_t *request, bool app_follows, bool app_alone,
                                               char *text, size_t text_size);
bool __wrap_sr_preflight_chip_check_signatures(const sr_preflight_chip_t *request, bool app_follows, bool app_alone,
                                               char *text, size_t text_size)
{
    (void)request;
    (void)text;
    (void)text_size;
    assert_false(app_follows || app_alone);
    return !verdict.bad_signature;
}

/* Of what is staged, and of what stays. */
static void look_at_little(const sr_reader_t *reader)
{
    uint8_t bytes[64];
    (void)reader->read(reader->context, SMALL_BOOTLOADER, bytes, sizeof(bytes));
    (void)reader->read(reader->context, SLOT_0, bytes, sizeof(bytes));
}

/* A chip. */

static int setup(void **state)
{
    open_chip(state);
    job->config = (esp_self_reflasher_bundle_config_t){.flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    memset(&calls, 0, sizeof(calls));
    memset(&verdict, 0, sizeof(verdict));
    verdict.look = look_at_little;
    small_attach(flash, SLOT_0);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    sim_chip_detach();
    return close_chip(state);
}

static int make_job(void **state)
{
    (void)state;
    job = small_shared(sizeof(*job));
    return 0;
}

/* What the check believes of the chip. */
static uint32_t recovery = UINT32_MAX;    /**< Burnt. */
static sr_region_t started_by, v1_digest; /**< The recovery bootloader that started it; the sector of Secure Boot V1. */

/* Checks the record in flash. @return what the check returns; its status is in proof. */
static esp_err_t check(void)
{
    assert_int_equal(sr_system_read(&proof.system), ESP_OK);
    proof.system.recovery = recovery;
    proof.system.boot_path.recovery = started_by;
    proof.system.boot_path.digest = v1_digest;
    proof.journal = (sr_journal_t){.flash = &proof.system.flash, .list = proof.list};
    proof.it = (sr_verification_t){.config = &job->config,
                                   .system = &proof.system,
                                   .target = proof.system.flash,
                                   .journal = &proof.journal,
                                   .writer = &proof.writer,
                                   .scratch = proof.scratch};
    proof.writer = (sr_writer_t){.flash = &proof.it.target, .readback = proof.readback, .attempts = 1};
    assert_int_equal(sr_system_app_id(&proof.system, proof.scratch, proof.it.app_id), ESP_OK);
    assert_int_equal(sr_journal_find(&proof.journal), ESP_OK);
    calls.armed = true;
    calls.hit = false;
    calls.work = calls.most_work = calls.largest_yield = 0;
    const esp_err_t err = sr_verification_check(&proof.it, &proof.status);
    calls.armed = false;
    calls.number = 0;
    return err;
}

static void release(void)
{
    sr_verification_release(&proof.it);
    heap_caps_free(proof.journal.digests);
    heap_caps_free(proof.it.moves.list);
    sr_flash_layout_free(proof.it.target.layout);
    assert_int_equal(sim_counters()->heap_now, 0);
}

static void expect_status(sr_record_status_t status, const char *what)
{
    const esp_err_t err = check();
    if (err != ESP_OK || proof.status != status) {
        fail_msg("%s: 0x%x, %s: %s", what, (unsigned)err, sr_record_status_text(proof.status), proof.it.reason);
    }
}

static void expect_reason(sr_record_status_t status, const char *what, const char *reason)
{
    expect_status(status, what);
    if (strstr(proof.it.reason, reason) == NULL) {
        fail_msg("%s: '%s' instead of '%s'", what, proof.it.reason, reason);
    }
    release();
}

static void put_mark(uint32_t address, bool is_void)
{
    uint8_t *at = nor_flash_bytes(flash) + address;
    uint8_t digest[SR_SHA256_SIZE] = {0};
    if (!is_void) {
        assert_true(sr_digest(bundle, record.header.manifest_size - SR_BUNDLE_SIGNATURE_SIZE, digest));
    }
    memset(at, 0xFF, SECTOR);
    memcpy(at, "SRTODO\r\n", 8);
    memcpy(at + 8, digest, SR_BUNDLE_DIGEST_SIZE);
}

/* Records. */

static const target_t all_target = {.moves = true, .files = true};

static void make_all(void)
{
    make_bundle(&all_target, NULL);
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    add_range(SR_RECORD_DATA, SMALL_NVS, SMALL_NVS_SIZE);
    add_range(SR_RECORD_DATA, STORAGE, 2 * SECTOR);
    record_add(&record, SR_RECORD_DATA, MOVED, SMALL_NVS_SIZE / SECTOR, nor_flash_view(flash) + SMALL_NVS);
    record_vouch(&record);
    add_range(SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER, 0x7000);
    add_range(SR_RECORD_TABLE, SR_PARTITION_TABLE_OFFSET, SECTOR);
    add_range(SR_RECORD_OTADATA, SMALL_OTADATA, 2 * SECTOR);
}

/* As a writer may leave it that has dropped an entry: it counts for nothing. */
static void put_with_stale_entry(void)
{
    const sr_record_entry_t stale = {.address = SLOT_0, .sectors = 1, .group = SR_RECORD_DATA};
    sr_record_write_entry(record.list, record.header.count, &stale);
    put(RECORD);
}

/* All that a record can have: data that moves and that the new system will own, with both kinds of marks. */
static void put_all(void)
{
    make_all();
    record.header.sectors += 2; /* They fill up a block. */
    put_with_stale_entry();
    put_mark(MARK, false);
    put_mark(VOID_MARK, true);
}

/* All but otadata is there, of which one sector is listed among the data. */
static void put_otadata_alone(void)
{
    make_bundle(&(target_t){.spreads = true}, NULL);
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    add(SR_RECORD_DATA, 0);
    add_range(SR_RECORD_DATA, SMALL_NVS, SMALL_NVS_SIZE);
    add(SR_RECORD_DATA, SMALL_OTADATA);
    add(SR_RECORD_DATA, MOVED);
    add_range(SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER, SECTOR);
    add_range(SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER + 2 * SECTOR, 0x5000);
    add_range(SR_RECORD_TABLE, SR_PARTITION_TABLE_OFFSET, SECTOR);
    add(SR_RECORD_OTADATA, SMALL_BOOTLOADER + SECTOR); /* Out of turn, but there. */
    add_range(SR_RECORD_OTADATA, SMALL_OTADATA + SECTOR, SECTOR);
    memcpy(nor_flash_bytes(flash), wanted, SMALL_OTADATA);
    memcpy(nor_flash_bytes(flash) + MOVED, wanted + MOVED, SECTOR);
    put_with_stale_entry();
}

/* Nothing is left to do, and there is no mark: what the new system owns is its own by now. */
static void put_left_over(void)
{
    make_bundle(&(target_t){.files = true}, NULL);
    make_record(&system_target);
    memcpy(nor_flash_bytes(flash), wanted, STORAGE);
    put_with_stale_entry();
}

/* The driver would not write, but need not: it is there. */
static void put_closed(void)
{
    make_bundle(&system_target, NULL);
    make_record(&system_target);
    memcpy(nor_flash_bytes(flash) + SMALL_NVS, wanted + SMALL_NVS, SMALL_NVS_SIZE);
    sim_state.partitions[0].readonly = true;
    put_with_stale_entry();
}

/* A sector that is to be blank, and is not. */
static void put_dirty(void)
{
    make_bundle(&(target_t){.erases = true}, NULL);
    make_record(&system_target);
    nor_flash_bytes(flash)[MOVED + 3 * SECTOR] = 0;
    put_with_stale_entry();
}

/* The chip encrypts its flash: what it boots, and the record. */
static void encrypt(void)
{
    uint8_t *bytes = nor_flash_bytes(flash);
    sim_state.config.chip.cipher = support_cipher();
    sim_state.config.chip.burnt.crypt_count = 1;
    support_encrypt(bytes, SMALL_BOOTLOADER, SMALL_NVS - SMALL_BOOTLOADER);
    for (uint32_t i = 1; i < 4; i++) { /* Otadata and slots. */
        esp_partition_t *partition = &sim_state.partitions[i];
        partition->encrypted = true;
        support_encrypt(bytes, partition->address, partition->size);
    }
    const uint32_t used =
        SR_RECORD_OVERHEAD + sr_record_manifest_sectors(record.header.manifest_size) + record.data_count;
    support_encrypt(bytes, RECORD, used * SECTOR);
}

static void put_encrypted(void)
{
    make_bundle(&system_target, NULL);
    make_record(&system_target);
    put_with_stale_entry();
    encrypt();
}

static uint32_t table_offset = SR_BUNDLE_NO_TABLE;

static void make_record_for(const bundle_region_t *regions, unsigned region_count)
{
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = table_offset,
                                .regions = regions,
                                .region_count = region_count};
    free(bundle);
    bundle = NULL;
    bundle = record_bundle(&spec, NULL, &bundle_size);
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
}

/* No error is lost. */

static void every_error_of_every_step_is_told(void **state)
{
    static void (*const records[])(void) = {put_all,    put_otadata_alone, put_left_over,
                                            put_closed, put_dirty,         put_encrypted};
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        unsigned failures[KINDS] = {0};
        teardown(state);
        setup(state);
        records[i]();
        expect_status(records[i] == put_dirty ? SR_RECORD_INCOMPLETE : SR_RECORD_OK, "without a failure");
        release();
        for (unsigned kind = 0; kind < KINDS; kind++) {
            do {
                calls.kind = (kind_t)kind;
                calls.number = ++failures[kind];
                const esp_err_t err = check();
                release();
                if (calls.hit && err != errors[kind]) {
                    fail_msg("record %zu, failure %u of kind %u: 0x%x", i, failures[kind], kind, (unsigned)err);
                }
            } while (calls.hit);
        }
        assert_true(failures[READ] > 20 && failures[HASH] > 20 && failures[TABLE] > 2);
        assert_true(failures[COMPARE] > 1 && (failures[BLANK] > 1 || (i != 0 && i != 4)));
    }
}

static void every_failing_allocation_is_told(void **state)
{
    static void (*const records[])(void) = {put_all, put_encrypted};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t number = 0;
        esp_err_t err;
        teardown(state);
        setup(state);
        records[i]();
        do {
            sim_heap_fail_at(++number);
            err = check();
            sim_heap_fail_at(0);
            release();
        } while (err == ESP_ERR_NO_MEM);
        assert_int_equal(err, ESP_OK);
        assert_int_equal(number, 3 + 1); /* Manifest, digests, and moves or the table's layout. */
    }
}

/* The first error of a reader counts, whatever becomes of it. */
static void look_twice(const sr_reader_t *reader)
{
    uint8_t bytes[16];
    calls.number = 1;
    calls.kind = READ;
    assert_int_not_equal(reader->read(reader->context, SMALL_BOOTLOADER, bytes, sizeof(bytes)), 0);
    calls.number = 1;
    calls.kind = READ;
    assert_int_not_equal(reader->read(reader->context, SLOT_0, bytes, sizeof(bytes)), 0);
}

static void flash_that_cannot_be_read_is_no_fault_of_the_record(void **state)
{
    (void)state;
    put_all();
    verdict.look = look_twice;
    verdict.failed = 1;
    assert_int_equal(check(), errors[READ]);
    release();
}

/* There is no list to be read. */
static void mark_alone_is_no_record(void **state)
{
    (void)state;
    memset(nor_flash_bytes(flash) + RECORD, 0xFF, SECTOR);
    sr_record_write_mark(nor_flash_bytes(flash) + RECORD, 0);
    calls.kind = READ;
    calls.number = 1;
    expect_status(SR_RECORD_NOT_SEALED, "a mark");
    assert_false(calls.hit);
    release();
}

/* What is found. */

static void marks_and_moves_of_a_record_are_found(void **state)
{
    (void)state;
    put_all();
    expect_status(SR_RECORD_OK, "all");
    assert_int_equal(proof.it.mark.address, MARK);
    assert_int_equal(proof.it.void_mark, VOID_MARK);
    assert_true(proof.it.initial_is_right);
    assert_false(proof.it.is_over);
    assert_false(proof.it.moves_are_over);
    assert_true(proof.it.moves_are_known);
    assert_int_equal(proof.it.moves.count, 1);
    assert_int_equal(proof.it.moves.list[0].source.address, SMALL_NVS);
    assert_int_equal(proof.it.moves.list[0].source.size, SMALL_NVS_SIZE);
    assert_int_equal(proof.it.moves.list[0].destination.address, MOVED);
    assert_int_equal(proof.journal.data_sectors, record.data_count);
    assert_int_equal(proof.journal.header.count, record.header.count);
    for (uint32_t i = 0; i < record.data_count; i++) {
        uint8_t digest[SR_SHA256_SIZE];
        assert_true(sr_digest(record.data[i], SECTOR, digest));
        assert_memory_equal(proof.journal.digests + i * SR_BUNDLE_DIGEST_SIZE, digest, SR_BUNDLE_DIGEST_SIZE);
    }
    /* And no more memory is taken than that. */
    assert_int_equal(sim_counters()->heap_now, record.header.manifest_size +
                                                   (record.data_count + 1) * SR_BUNDLE_DIGEST_SIZE +
                                                   sizeof(struct sr_move));
    release();
}

static void without_marks_and_moves_there_are_none(void **state)
{
    (void)state;
    make_bundle(&system_target, NULL);
    make_record(&system_target);
    put(RECORD);
    expect_status(SR_RECORD_OK, "no more than a system");
    assert_int_equal(proof.it.mark.address, UINT32_MAX);
    assert_int_equal(proof.it.void_mark, UINT32_MAX);
    assert_true(proof.it.moves_are_over);
    assert_false(proof.it.is_over);
    assert_int_equal(proof.it.moves.count, 0);
    assert_null(proof.it.moves.list);
    release();
}

/* Moves are over once bootloader and table are the new ones, all of them: then their entries go, and no others. */
static void what_has_moved_is_dropped_when_the_boot_path_is_there(void **state)
{
    (void)state;
    static const uint32_t last_ones[] = {SMALL_BOOTLOADER, SMALL_BOOTLOADER + 4 * SECTOR, SR_PARTITION_TABLE_OFFSET, 0};
    for (size_t i = 0; i < sizeof(last_ones) / sizeof(last_ones[0]); i++) {
        const bool over = last_ones[i] == 0;
        teardown(state);
        setup(state);
        make_all();
        if (!over) {
            assert_true(differs(last_ones[i]));
        }
        for (uint32_t at = SMALL_BOOTLOADER; at < SMALL_NVS; at += SECTOR) {
            if (at != last_ones[i]) {
                memcpy(nor_flash_bytes(flash) + at, wanted + at, SECTOR);
            }
        }
        put_with_stale_entry();
        expect_status(SR_RECORD_OK, "a record with moves");
        assert_int_equal(proof.it.moves_are_over, over);
        assert_int_equal(proof.it.moves.count, !over);
        assert_int_equal(proof.journal.header.count, record.header.count - over);
        for (uint32_t k = 0, kept = 0; k < record.header.count; k++) {
            const sr_record_entry_t entry = sr_record_read_entry(record.list, k);
            if (entry.address != MOVED || !over) {
                const sr_record_entry_t found = sr_journal_entry(&proof.journal, kept++);
                assert_memory_equal(&found, &entry, sizeof(entry));
            }
        }
        release();
    }
}

/* What is left to write is found, sector by sector. */
static void record_is_done_when_each_of_its_sectors_is_there(void **state)
{
    (void)state;
    bool done = true;
    make_bundle(&system_target, NULL);
    make_record(&system_target);
    put_with_stale_entry();
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    expect_status(SR_RECORD_OK, "nothing is there");
    assert_int_equal(sr_verification_is_done(&proof.it, &done), ESP_OK);
    assert_false(done);
    memcpy(nor_flash_bytes(flash), wanted, STORAGE);
    assert_int_equal(sr_verification_is_done(&proof.it, &done), ESP_OK);
    assert_true(done);
    for (uint32_t i = 0; i < record.header.count; i++) {
        uint8_t *at = nor_flash_bytes(flash) + sr_record_read_entry(record.list, i).address;
        at[SECTOR - 1] ^= 1;
        assert_int_equal(sr_verification_is_done(&proof.it, &done), ESP_OK);
        assert_false(done);
        at[SECTOR - 1] ^= 1;
    }
    calls.armed = true;
    calls.kind = READ;
    calls.number = 1;
    assert_int_equal(sr_verification_is_done(&proof.it, &done), errors[READ]);
    calls.armed = false;
    release();
}

/* What is judged. */

static uint8_t expected[SMALL_FLASH_SIZE];

/* In pieces that begin and end anywhere. */
static void look_at_all(const sr_reader_t *reader)
{
    static uint8_t piece[6001];
    for (uint32_t size = 1; size < sizeof(piece); size += size == 1 ? 3000 : 1499) {
        for (uint32_t at = 0; at < SMALL_FLASH_SIZE; at += size == 1 ? 0x7FF : size) {
            const uint32_t length = SMALL_FLASH_SIZE - at < size ? SMALL_FLASH_SIZE - at : size;
            memset(piece, 0x33, sizeof(piece));
            assert_int_equal(reader->read(reader->context, at, piece, length), 0);
            assert_memory_equal(piece, expected + at, length);
            assert_int_equal(piece[length < sizeof(piece) ? length : 0], length < sizeof(piece) ? 0x33 : piece[0]);
        }
    }
}

/* What the record brings, what is to be blank and waits for that, what moves, and all else as it is. */
static void flash_as_it_will_be_is_judged(void **state)
{
    (void)state;
    put_all();
    uint8_t *bytes = nor_flash_bytes(flash);
    memcpy(expected, bytes, SMALL_FLASH_SIZE);
    memcpy(expected + MOVED, bytes + SMALL_NVS, SMALL_NVS_SIZE);
    memcpy(expected, wanted, MOVED);
    job->config.skip_checks = 0x5;
    verdict.look = look_at_all;
    expect_status(SR_RECORD_OK, "all of it");
    release();
    assert_int_equal(verdict.asked, 1);
    assert_int_equal(verdict.skip, 0x5);
}

/* What is to be blank under the app that runs, and what a move does not fill. */
static void what_is_to_be_blank_is_judged_as_blank(void **state)
{
    (void)state;
    const uint8_t *bytes = nor_flash_view(flash);
    const sr_bundle_move_t move = {.source = {STORAGE, 2 * SECTOR}, .destination = {MOVED, 3 * SECTOR}};
    const bundle_region_t regions[] = {
        {.place = {SMALL_BOOTLOADER, SECTOR}, .data = wanted + SMALL_BOOTLOADER, .length = SECTOR},
        {.place = {SLOT_0, SMALL_APP_SIZE}}};
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = 2,
                                .moves = &move,
                                .move_count = 1};
    dummy_image_fill(wanted + SMALL_BOOTLOADER, SECTOR, 4);
    bundle = record_bundle(&spec, NULL, &bundle_size);
    record_start(&record, bundle, bundle_size, bytes + SLOT_0);
    record_add(&record, SR_RECORD_DATA, MOVED, 2, bytes + STORAGE);
    record_vouch(&record);
    record_add(&record, SR_RECORD_DATA, MOVED + 2 * SECTOR, 1, NULL);
    record_add(&record, SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER, 1, wanted + SMALL_BOOTLOADER);
    memset(nor_flash_bytes(flash) + MOVED, 0, 3 * SECTOR);
    put(RECORD);
    memcpy(expected, bytes, SMALL_FLASH_SIZE);
    memcpy(expected + SMALL_BOOTLOADER, wanted + SMALL_BOOTLOADER, SECTOR);
    memset(expected + SLOT_0, 0xFF, SMALL_APP_SIZE);
    memcpy(expected + MOVED, bytes + STORAGE, 2 * SECTOR);
    memset(expected + MOVED + 2 * SECTOR, 0xFF, SECTOR);
    verdict.look = look_at_all;
    put_mark(MARK, false);
    memcpy(expected + MARK, bytes + MARK, SECTOR);
    expect_reason(SR_RECORD_OK, "", "");
}

static void verdict_counts(void **state)
{
    (void)state;
    put_all();
    for (uint32_t failed = 1; failed <= 4; failed *= 2) {
        verdict.failed = failed;
        expect_reason(SR_RECORD_REFUSED, "a check that failed", "");
    }
    verdict.failed = 0;
    verdict.bad_signature = true;
    expect_reason(SR_RECORD_REFUSED, "a signature", "");
    verdict.bad_signature = false;
    verdict.err = ESP_ERR_NO_MEM;
    assert_int_equal(check(), ESP_ERR_NO_MEM);
    release();
}

/* Where the driver writes nothing. */
static void first_read_only_partition_that_would_be_written_is_named(void **state)
{
    (void)state;
    static const struct {
        unsigned closed; /* Bit 0: NVS, bit 4: the file system. */
        bool nvs_is_there;
        const char *name; /* NULL: the record is believed. */
    } cases[] = {{1u << 0, false, "'nvs'"},       {1u << 4, false, "'storage'"}, {1u << 0 | 1u << 4, false, "'nvs'"},
                 {1u << 0, true, NULL},           {1u << 4, true, "'storage'"},  {1u << 0 | 1u << 4, true, "'storage'"},
                 {1u << 2 | 1u << 3, false, NULL}};
    make_bundle(&(target_t){.files = true}, NULL);
    make_record(&(target_t){.files = true});
    put(RECORD);
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned k = 0; k < 5; k++) {
            sim_state.partitions[k].readonly = (cases[i].closed >> k & 1u) != 0;
        }
        memcpy(nor_flash_bytes(flash) + SMALL_NVS, (cases[i].nvs_is_there ? wanted : before) + SMALL_NVS,
               SMALL_NVS_SIZE);
        expect_reason(cases[i].name != NULL ? SR_RECORD_REFUSED : SR_RECORD_OK, "a read-only partition",
                      cases[i].name != NULL ? cases[i].name : "");
    }
}

/* Left over, or unfinished without a mark. */

static void record_without_mark_is_over_or_has_everything(void **state)
{
    (void)state;
    put_left_over();
    expect_status(SR_RECORD_OK, "all of it is there but what the new system owns");
    assert_true(proof.it.is_over);
    assert_false(proof.it.initial_is_right);
    release();
    for (uint32_t i = 0; i < record.header.count; i++) {
        uint8_t *at = nor_flash_bytes(flash) + sr_record_read_entry(record.list, i).address;
        at[0] ^= 1;
        expect_reason(SR_RECORD_INCOMPLETE, "one sector is not there", "no mark");
        put_mark(MARK, false);
        expect_status(SR_RECORD_OK, "with a mark");
        assert_false(proof.it.is_over);
        assert_false(proof.it.initial_is_right);
        release();
        memset(nor_flash_bytes(flash) + MARK, 0xFF, SECTOR);
        at[0] ^= 1;
    }
    memcpy(nor_flash_bytes(flash) + STORAGE, wanted + STORAGE, 2 * SECTOR);
    nor_flash_bytes(flash)[SMALL_NVS] ^= 1;
    expect_status(SR_RECORD_OK, "what the new system owns is there");
    assert_false(proof.it.is_over);
    assert_true(proof.it.initial_is_right);
    release();
}

/* What the new system owns is not asked about, nor what no region has. */
static void record_is_over_when_all_that_stays_the_same_is_there(void **state)
{
    (void)state;
    memcpy(wanted, nor_flash_view(flash), SMALL_FLASH_SIZE);
    for (uint32_t i = 0, noise = 1; i < SECTOR; i++) { /* So that it is stored as it is. */
        noise = noise * 1664525u + 1013904223u;
        wanted[i] = (uint8_t)(noise >> 24);
    }
    const bundle_region_t regions[] = {{.place = {0, SECTOR}, .data = wanted, .length = SECTOR, .initial = true},
                                       {.place = {SLOT_1, SECTOR}, .data = wanted + SLOT_1, .length = SECTOR}};
    make_record_for(regions, 2);
    record_add(&record, SR_RECORD_DATA, 0, 1, wanted);
    put(RECORD);
    expect_status(SR_RECORD_OK, "an initial region alone");
    assert_true(proof.it.is_over);
    assert_true(proof.it.initial_is_right);
    release();
}

/* Before that, the old system has it all still. */
static void moves_that_are_pending_make_it_unfinished(void **state)
{
    (void)state;
    make_bundle(&all_target, NULL);
    make_record(&moving_target);
    put(RECORD);
    expect_reason(SR_RECORD_INCOMPLETE, "without what the new system owns", "no mark");
}

/* What the list does not have. */

/* A region of four sectors, of which the list has the third one, and one that is right. */
static void put_region(uint32_t address, bool initial)
{
    const uint32_t right = address < SLOT_1 ? SLOT_1 : 0;
    memcpy(wanted + right, nor_flash_view(flash) + right, SECTOR);
    bundle_region_t regions[2] = {{.place = {right, SECTOR}}, {.place = {right, SECTOR}}};
    regions[right == 0] = (bundle_region_t){.place = {address, 4 * SECTOR}, .initial = initial};
    for (unsigned i = 0; i < 2; i++) {
        regions[i].data = wanted + regions[i].place.address;
        regions[i].length = regions[i].place.size;
    }
    dummy_image_fill(wanted + address + 2 * SECTOR, SECTOR, 5);
    make_record_for(regions, 2);
    record_add(&record, SR_RECORD_DATA, address + 2 * SECTOR, 1, wanted + address + 2 * SECTOR);
    put(RECORD);
}

static void sector_that_is_not_listed_has_to_be_right_or_to_become_blank(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(wanted + MOVED, 0xFF, 4 * SECTOR);
    bytes[MOVED - 1] = bytes[MOVED + 4 * SECTOR] = 0;
    put_region(MOVED, false);
    expect_reason(SR_RECORD_OK, "blank", "");
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t at = 0; at < SECTOR; at += SECTOR - 1) {
            bytes[MOVED + i * SECTOR + at] = 0xFE;
            expect_reason(i == 2 ? SR_RECORD_OK : SR_RECORD_INCOMPLETE, "not blank",
                          i == 0   ? "sector 0xb0000"
                          : i == 1 ? "sector 0xb1000"
                          : i == 3 ? "sector 0xb3000"
                                   : "");
            bytes[MOVED + i * SECTOR + at] = 0xFF;
        }
    }
    /* Marks go. */
    put_mark(MOVED, true);
    put_mark(MOVED + SECTOR, false);
    expect_reason(SR_RECORD_OK, "marks where it is to be blank", "");
    memcpy(wanted + MOVED, bytes + MOVED, SECTOR);
    memset(bytes + MOVED + SECTOR, 0xFF, SECTOR);
    put_region(MOVED, false);
    expect_reason(SR_RECORD_INCOMPLETE, "what the bundle has there will go", "sector 0xb0000");
    put_mark(MARK, true);
    memcpy(bytes + MOVED + 5 * SECTOR, bytes + MARK, SECTOR);
    expect_reason(SR_RECORD_INCOMPLETE, "another one like it", "sector 0xb0000");
}

static void what_is_to_be_blank_waits_under_the_app_that_runs_and_under_the_record(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(flash);
    const bundle_region_t regions[] = {{.place = {SLOT_0, SMALL_APP_SIZE + SECTOR}}, {.place = {RECORD, 2 * SECTOR}}};
    memset(bytes + SLOT_0 + SMALL_APP_SIZE, 0xFF, SECTOR);
    memset(wanted + MOVED, 0, SECTOR);
    make_record_for(regions, 2);
    record_add(&record, SR_RECORD_NEIGHBOURS, SLOT_0 + SMALL_APP_SIZE, 1, NULL);
    put(RECORD);
    expect_reason(SR_RECORD_OK, "under the app", "");
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    record_add(&record, SR_RECORD_NEIGHBOURS, SLOT_0 + SMALL_APP_SIZE, 1, NULL);
    put(RECORD + 4 * SECTOR);
    memset(bytes + RECORD, 0xFF, 4 * SECTOR);
    expect_reason(SR_RECORD_OK, "not under the record", "");
    bytes[RECORD] = 0;
    expect_reason(SR_RECORD_INCOMPLETE, "something else", "sector 0xd0000");
}

/* What decides on the app is no matter of who owns it. */
static void otadata_is_right_or_listed_even_if_the_new_system_owns_it(void **state)
{
    (void)state;
    memcpy(wanted, nor_flash_view(flash), SMALL_FLASH_SIZE);
    const uint32_t files = STORAGE + 8 * SECTOR;
    for (unsigned in_otadata = 0; in_otadata < 2; in_otadata++) {
        const uint32_t address = in_otadata ? SMALL_OTADATA - 2 * SECTOR : files;
        put_region(address, true);
        put_mark(MARK, false);
        expect_reason(SR_RECORD_OK, "all of it", "");
        nor_flash_bytes(flash)[address + 3 * SECTOR] ^= 1;
        if (in_otadata) {
            expect_reason(SR_RECORD_INCOMPLETE, "otadata is another one", "sector 0xe000");
        } else {
            expect_status(SR_RECORD_OK, "a file is another one");
            assert_false(proof.it.initial_is_right);
            release();
        }
    }
}

/* Moves whose sources are not all known. */

static void moves_are_known_if_the_running_system_has_all_sources(void **state)
{
    (void)state;
    static const struct {
        const char *labels[2];
        uint32_t sectors[2];
        bool known;
        uint32_t found, room; /* Moves, and those that there is memory for. */
    } cases[] = {{{"nvs", "storage"}, {4, 16}, true, 2, 2},   {{"none", "storage"}, {4, 16}, false, 0, 2},
                 {{"storage", "none"}, {16, 4}, false, 0, 2}, {{"nvs", "storage"}, {4, 15}, false, 0, 2},
                 {{"storage", "nvs"}, {15, 4}, false, 0, 2},  {{"nvs", "storage"}, {3, 16}, true, 2, 4},
                 {{"storage", "nvs"}, {16, 3}, true, 2, 4},   {{"storage", "nvs"}, {16, 2}, false, 1, 3}};
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + SMALL_NVS, 0xFF, SMALL_NVS_SIZE);
    memset(bytes + STORAGE, 0xFF, 0x10000);
    memcpy(wanted, bytes, SMALL_FLASH_SIZE);
    dummy_image_fill(wanted + SMALL_BOOTLOADER, SECTOR, 9);
    const bundle_region_t region = {
        .place = {SMALL_BOOTLOADER, SECTOR}, .data = wanted + SMALL_BOOTLOADER, .length = SECTOR};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_bundle_move_t moves[2] = {{.destination = {0x50000, cases[i].sectors[0] * SECTOR}},
                                     {.destination = {0x70000, cases[i].sectors[1] * SECTOR}}};
        for (unsigned k = 0; k < 2; k++) {
            strcpy(moves[k].label, cases[i].labels[k]);
        }
        const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                    .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                    .regions = &region,
                                    .region_count = 1,
                                    .moves = moves,
                                    .move_count = 2};
        free(bundle);
        bundle = record_bundle(&spec, NULL, &bundle_size);
        record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
        record_add(&record, SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER, 1, wanted + SMALL_BOOTLOADER);
        put(RECORD);
        expect_status(SR_RECORD_OK, "moves");
        assert_int_equal(proof.it.moves_are_known, cases[i].known);
        assert_false(proof.it.moves_are_over);
        assert_int_equal(proof.it.moves.count, cases[i].found);
        assert_int_equal(sim_counters()->heap_now, record.header.manifest_size + 2 * SR_BUNDLE_DIGEST_SIZE +
                                                       cases[i].room * sizeof(struct sr_move));
        release();
    }
}

/* Where flash is encrypted. */

static void table_of_an_encrypted_chip_stays_at_its_place_and_says_what_is_encrypted(void **state)
{
    put_encrypted();
    expect_status(SR_RECORD_OK, "a record that is encrypted");
    assert_non_null(proof.it.target.layout);
    release();
    teardown(state);
    setup(state);
    make_bundle(&(target_t){.no_bootloader = true}, NULL);
    make_record(&(target_t){.no_bootloader = true});
    put(RECORD);
    encrypt();
    expect_status(SR_RECORD_OK, "without a table");
    assert_null(proof.it.target.layout);
    release();
    teardown(state);
    setup(state);
    memcpy(wanted, nor_flash_view(flash), SMALL_FLASH_SIZE);
    put_region(STORAGE, false);
    memcpy(nor_flash_bytes(flash) + STORAGE + 3 * SECTOR, wanted + STORAGE + 3 * SECTOR, SECTOR);
    expect_reason(SR_RECORD_OK, "without ESP-IDF's table", "");
    encrypt();
    expect_reason(SR_RECORD_REFUSED, "without ESP-IDF's table, where flash is encrypted", "flash encryption is on");
}

static void table_that_is_none_is_refused_where_flash_is_encrypted(void **state)
{
    (void)state;
    const bundle_region_t region = {
        .place = {SR_PARTITION_TABLE_OFFSET, SECTOR}, .data = wanted + SR_PARTITION_TABLE_OFFSET, .length = SECTOR};
    dummy_image_fill(wanted + SR_PARTITION_TABLE_OFFSET, SECTOR, 8);
    table_offset = SR_PARTITION_TABLE_OFFSET;
    make_record_for(&region, 1);
    table_offset = SR_BUNDLE_NO_TABLE;
    record_add(&record, SR_RECORD_TABLE, SR_PARTITION_TABLE_OFFSET, 1, wanted + SR_PARTITION_TABLE_OFFSET);
    put(RECORD);
    expect_reason(SR_RECORD_OK, "the verdict is not asked here", "");
    encrypt();
    expect_reason(SR_RECORD_REFUSED, "noise for a table", "");
    assert_int_equal(verdict.asked, 1);
}

/* Erased cells are as good as a plaintext of 0xFF where nobody reads them, and no content. */
static void erased_cells_are_blank_where_flash_is_encrypted(void **state)
{
    (void)state;
    const bundle_region_t regions[] = {
        {.place = {SLOT_1, 4 * SECTOR}, .data = wanted + SLOT_1, .length = SMALL_APP_SIZE},
        {.place = {STORAGE, SECTOR}, .data = wanted + STORAGE, .length = SECTOR}};
    uint8_t *bytes = nor_flash_bytes(flash);
    memcpy(wanted, bytes, SMALL_FLASH_SIZE);
    dummy_image_fill(wanted + STORAGE, SECTOR, 8);
    table_offset = SR_PARTITION_TABLE_OFFSET;
    make_record_for(regions, 2);
    table_offset = SR_BUNDLE_NO_TABLE;
    record_add(&record, SR_RECORD_DATA, STORAGE, 1, wanted + STORAGE);
    put(RECORD);
    encrypt();
    expect_reason(SR_RECORD_INCOMPLETE, "something else", "sector 0x33000");
    memset(bytes + SLOT_1 + 3 * SECTOR, 0xFF, SECTOR);
    expect_reason(SR_RECORD_OK, "erased cells", "");
    support_encrypt(bytes, SLOT_1 + 3 * SECTOR, SECTOR);
    expect_reason(SR_RECORD_OK, "0xFF", "");
    memset(bytes + SLOT_1 + 2 * SECTOR, 0xFF, SECTOR);
    expect_reason(SR_RECORD_INCOMPLETE, "an app that is erased", "sector 0x32000");
}

/* What the record holds. */

static void each_byte_of_its_data_is_vouched_for(void **state)
{
    (void)state;
    put_all();
    const uint32_t manifest_sectors = sr_record_manifest_sectors(record.header.manifest_size);
    const uint32_t data = RECORD + (SR_RECORD_OVERHEAD + manifest_sectors) * SECTOR;
    const uint32_t fill = data + record.data_count * SECTOR;
    uint8_t *bytes = nor_flash_bytes(flash);
    bytes[fill + 2 * SECTOR] = 0; /* Behind what fills up a block. */
    for (uint32_t i = 0; i < record.data_count + 2; i++) {
        for (uint32_t at = 0; at < SECTOR; at += SECTOR - 1) {
            bytes[data + i * SECTOR + at] ^= 0x10;
            expect_reason(SR_RECORD_BAD_DATA, "another byte", "");
            bytes[data + i * SECTOR + at] ^= 0x10;
        }
    }
    expect_reason(SR_RECORD_OK, "the right ones", "");
}

/* When what starts the chip may be written. */

#define OTHER (SLOT_1 + 8 * SECTOR) /**< Data that is left to do, too. */

static void add_other(void)
{
    record_add(&record, SR_RECORD_DATA, OTHER, 1, wanted + OTHER);
}

/* @return whether a record is believed that has this sector in this group. */
static bool may_come(uint32_t address, sr_record_group_t group)
{
    bundle_region_t regions[2];
    const bool is_first = group == SR_RECORD_DATA && address < OTHER;
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t at = (i == 0) == (address < OTHER) ? address : OTHER;
        regions[i] = (bundle_region_t){.place = {at, SECTOR}, .data = wanted + at, .length = SECTOR};
    }
    table_offset = SR_PARTITION_TABLE_OFFSET;
    make_record_for(regions, 2);
    table_offset = SR_BUNDLE_NO_TABLE;
    if (!is_first) {
        add_other();
    }
    record_add(&record, group, address, 1, wanted + address);
    if (is_first) {
        add_other();
    }
    put(RECORD);
    assert_int_equal(check(), ESP_OK);
    release();
    memset(nor_flash_bytes(flash) + RECORD, 0xFF, 8 * SECTOR);
    assert_true(proof.status == SR_RECORD_OK || proof.status == SR_RECORD_FORBIDDEN ||
                proof.status == SR_RECORD_BAD_ENTRY);
    return proof.status == SR_RECORD_OK;
}

static void what_starts_the_chip_is_written_in_its_turn_only(void **state)
{
    (void)state;
    enum {
        D = 1u << SR_RECORD_DATA,
        B = 1u << SR_RECORD_BOOTLOADER,
        T = 1u << SR_RECORD_TABLE,
        O = 1u << SR_RECORD_OTADATA
    };
    static const struct {
        uint32_t address;
        unsigned normally, with_digest, recovered; /* Groups in which it may come. */
    } cases[] = {{0, D | B | O, B, D | B | O},
                 {SMALL_BOOTLOADER, B, B, B},
                 {SMALL_BOOTLOADER + 5 * SECTOR, B, B, D | B},
                 {SMALL_BOOTLOADER + 6 * SECTOR, D | B, D | B, D | B}, /* Behind it. */
                 {SR_PARTITION_TABLE_OFFSET - SECTOR, D | B, D | B, D | B},
                 {SR_PARTITION_TABLE_OFFSET, T, T, T},
                 {SMALL_NVS, D | B | O, D | B | O, D | B | O},
                 {SMALL_OTADATA - SECTOR, D | B | O, D | B | O, D | B | O},
                 {SMALL_OTADATA, O, O, O},
                 {SMALL_OTADATA + SECTOR, O, O, O},
                 {SMALL_OTADATA + 2 * SECTOR, D | B | O, D | B | O, D | B | O},
                 {SLOT_0, 0, 0, 0},
                 {SLOT_0 + SMALL_APP_SIZE - SECTOR, 0, 0, 0},
                 {SLOT_0 + SMALL_APP_SIZE, D | B | O, D | B | O, D | B | O},
                 {MOVED, D | B | O, D | B | O, D | B | O}};
    static const sr_record_group_t groups[] = {SR_RECORD_DATA, SR_RECORD_BOOTLOADER, SR_RECORD_TABLE,
                                               SR_RECORD_OTADATA};
    dummy_image_fill(wanted, SMALL_FLASH_SIZE, 6);
    for (unsigned way = 0; way < 3; way++) {
        v1_digest = way == 1 ? (sr_region_t){0, SECTOR} : (sr_region_t){0};
        started_by = way == 2 ? (sr_region_t){0xC0000, 3 * SECTOR} : (sr_region_t){0};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const unsigned may = way == 0 ? cases[i].normally : way == 1 ? cases[i].with_digest : cases[i].recovered;
            for (size_t k = 0; k < sizeof(groups) / sizeof(groups[0]); k++) {
                if (may_come(cases[i].address, groups[k]) != ((may >> groups[k] & 1) != 0)) {
                    fail_msg("way %u, 0x%x as %u", way, (unsigned)cases[i].address, (unsigned)groups[k]);
                }
            }
        }
    }
    v1_digest = started_by = (sr_region_t){0};
}

/* The new bootloader may have written to it by then. */
static void otadata_among_the_data_waits_for_all_else(void **state)
{
    (void)state;
    put_otadata_alone();
    for (uint32_t i = 0; i < record.header.count; i++) {
        const sr_record_entry_t entry = sr_record_read_entry(record.list, i);
        const bool is_otadata =
            sr_region_overlaps((sr_region_t){SMALL_OTADATA, 2 * SECTOR}, (sr_region_t){entry.address, 1});
        nor_flash_bytes(flash)[entry.address] ^= 1;
        expect_reason(is_otadata ? SR_RECORD_OK : SR_RECORD_FORBIDDEN, "all but one sector", "");
        nor_flash_bytes(flash)[entry.address] ^= 1;
    }
}

/* Before the table that makes it otadata, with the bootloader. */
static void what_moves_to_otadata_comes_with_the_bootloader(void **state)
{
    (void)state;
    static const sr_record_group_t groups[] = {SR_RECORD_DATA, SR_RECORD_BOOTLOADER, SR_RECORD_OTADATA};
    const sr_bundle_move_t move = {.source = {STORAGE, 2 * SECTOR}, .destination = {SMALL_OTADATA, 2 * SECTOR}};
    const bundle_region_t region = {.place = {OTHER, SECTOR}, .data = wanted + OTHER, .length = SECTOR};
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = &region,
                                .region_count = 1,
                                .moves = &move,
                                .move_count = 1};
    dummy_image_fill(wanted + OTHER, SECTOR, 6);
    for (unsigned i = 0; i < 3; i++) {
        free(bundle);
        bundle = NULL;
        bundle = record_bundle(&spec, NULL, &bundle_size);
        record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
        if (i > 0) {
            add_other();
        }
        for (uint32_t k = 0; k < 2; k++) {
            record_add(&record, groups[i], SMALL_OTADATA + k * SECTOR, 1, nor_flash_view(flash) + STORAGE + k * SECTOR);
            record_vouch(&record);
        }
        if (i == 0) {
            add_other();
        }
        put(RECORD);
        expect_reason(i == 0 ? SR_RECORD_FORBIDDEN : SR_RECORD_OK, "what moves to otadata", "");
    }
}

/* Where a record may lie, and what it may count on. */

static void record_may_lie_in_what_is_free_of_a_slot(void **state)
{
    (void)state;
    make_bundle(&system_target, NULL);
    make_record(&system_target);
    assert_true(record_sectors(&record) * SECTOR <= SMALL_SLOT_SIZE - SMALL_APP_SIZE);
    put(SLOT_1 + SMALL_APP_SIZE);
    expect_reason(SR_RECORD_OK, "behind an app", "");
}

static void guard_needs_a_place_that_is_burnt(void **state)
{
    (void)state;
    make_bundle(&system_target, NULL);
    make_record(&system_target);
    record.header.guarded = true;
    put(RECORD);
    expect_reason(SR_RECORD_BAD_RECOVERY, "nothing is burnt", "");
    recovery = STORAGE;
    const esp_err_t err = check();
    recovery = UINT32_MAX;
    assert_int_equal(err, ESP_OK);
    assert_int_equal(proof.status, SR_RECORD_OK);
    release();
}

/* A row for each region that there can be, and two for each sector of the flash; the largest of all that may follow. */
static void manifest_has_at_most_as_many_rows_as_the_flash_has_sectors_for(void **state)
{
    (void)state;
    static uint8_t bytes[4 * SECTOR];
    const uint32_t largest = 64 + 16 * (64 + 2 * (SMALL_FLASH_SIZE / SECTOR)) + 16 * 32 + 16 * 24 + 80;
    make_bundle(&system_target, NULL);
    memcpy(bytes, bundle, bundle_size < sizeof(bytes) ? bundle_size : sizeof(bytes));
    for (uint32_t more = 0; more < 2; more++) {
        make_record(&system_target);
        record.manifest = bytes;
        record.header.sectors -= sr_record_manifest_sectors(record.header.manifest_size);
        record.header.manifest_size = largest + more;
        record.header.sectors += sr_record_manifest_sectors(largest + more);
        put(RECORD);
        expect_status(SR_RECORD_BAD_MANIFEST, "a manifest with other bytes behind it");
        assert_int_equal(strstr(proof.it.reason, "more than this flash has sectors for") != NULL, more);
        release();
    }
}

/* The idle task. */

static void idle_task_runs_while_a_record_is_checked(void **state)
{
    (void)state;
    make_bundle(&(target_t){.erases = true}, NULL);
    make_record(&system_target);
    put(RECORD);
    verdict.look = look_at_all;
    memcpy(expected, nor_flash_view(flash), SMALL_FLASH_SIZE);
    memcpy(expected, wanted, SMALL_SLOTS);
    expect_status(SR_RECORD_OK, "");
    release();
    assert_true(calls.most_work <= 2 * SECTOR);
    assert_int_equal(calls.largest_yield, SR_YIELD_BYTES); /* A signature counts as much as all that. */
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_error_of_every_step_is_told),
        TEST(every_failing_allocation_is_told),
        TEST(flash_that_cannot_be_read_is_no_fault_of_the_record),
        TEST(marks_and_moves_of_a_record_are_found),
        TEST(without_marks_and_moves_there_are_none),
        TEST(what_has_moved_is_dropped_when_the_boot_path_is_there),
        TEST(record_is_done_when_each_of_its_sectors_is_there),
        TEST(flash_as_it_will_be_is_judged),
        TEST(what_is_to_be_blank_is_judged_as_blank),
        TEST(mark_alone_is_no_record),
        TEST(record_is_over_when_all_that_stays_the_same_is_there),
        TEST(verdict_counts),
        TEST(first_read_only_partition_that_would_be_written_is_named),
        TEST(record_without_mark_is_over_or_has_everything),
        TEST(moves_that_are_pending_make_it_unfinished),
        TEST(sector_that_is_not_listed_has_to_be_right_or_to_become_blank),
        TEST(what_is_to_be_blank_waits_under_the_app_that_runs_and_under_the_record),
        TEST(otadata_is_right_or_listed_even_if_the_new_system_owns_it),
        TEST(moves_are_known_if_the_running_system_has_all_sources),
        TEST(table_of_an_encrypted_chip_stays_at_its_place_and_says_what_is_encrypted),
        TEST(table_that_is_none_is_refused_where_flash_is_encrypted),
        TEST(erased_cells_are_blank_where_flash_is_encrypted),
        TEST(each_byte_of_its_data_is_vouched_for),
        TEST(what_starts_the_chip_is_written_in_its_turn_only),
        TEST(otadata_among_the_data_waits_for_all_else),
        TEST(what_moves_to_otadata_comes_with_the_bootloader),
        TEST(record_may_lie_in_what_is_free_of_a_slot),
        TEST(guard_needs_a_place_that_is_burnt),
        TEST(manifest_has_at_most_as_many_rows_as_the_flash_has_sectors_for),
        TEST(idle_task_runs_while_a_record_is_checked),
    };
    return cmocka_run_group_tests(tests, make_job, NULL);
}
