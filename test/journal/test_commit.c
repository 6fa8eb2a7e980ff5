// SPDX-License-Identifier: Apache-2.0
/** @file
 * The commit and what waits in RAM for it: order, errors, memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "journal/sr_commit.h"

#include "port/sr_yield.h"
#include "sim/chip/sim_state.h"
#include "test/support/support_cipher.h"
#include "test/support/support_small.h"

#define SECTOR SR_SECTOR_SIZE
#define MAX_OP 65536

/** A chip, a list of entries, and a source that makes content from the address. */
typedef struct fixture {
    nor_flash_t *nor;
    sr_flash_t flash;
    sr_journal_t journal;
    sr_commit_t commit;
    uint32_t failing_fetch; /**< Address whose content cannot be fetched; 0: none. */
    uint32_t fetches;
    uint8_t list[SECTOR];
    uint8_t scratch[SECTOR];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
    nor_op_t ops[MAX_OP];
    uint32_t op_count;
} fixture_t;

static fixture_t fixture;

/* What fails, and what is counted. */

static uint32_t dead = UINT32_MAX; /**< A sector that cannot be erased. */
static uint32_t yields;            /**< Of as much as a sector counts that may have to be written. */

esp_err_t __real_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length)
{
    return address == dead ? ESP_ERR_TIMEOUT : __real_sr_flash_erase(flash, address, length);
}

void __real_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    yields += bytes == SR_YIELD_WRITE;
    __real_sr_yield(bytes);
}

static void content(uint32_t address, uint8_t *data)
{
    dummy_image_fill(data, SECTOR, address);
    data[0] = 0; /* Never blank. */
}

static esp_err_t fetch(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data)
{
    fixture_t *f = context;
    const uint32_t address = entry->address + index * SECTOR;
    assert_false(entry->blank);
    assert_true(index < entry->sectors);
    f->fetches++;
    if (address == f->failing_fetch) {
        return ESP_ERR_NOT_FINISHED;
    }
    content(address, data);
    return ESP_OK;
}

static void note(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    (void)flash;
    fixture_t *f = context;
    assert_true(f->op_count < MAX_OP);
    f->ops[f->op_count++] = *op;
}

static int setup(void **state)
{
    (void)state;
    fixture = (fixture_t){.nor = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}})};
    small_attach(fixture.nor, SMALL_SLOTS);
    assert_int_equal(sr_flash_open(&fixture.flash), ESP_OK);
    fixture.journal = (sr_journal_t){.flash = &fixture.flash, .list = fixture.list};
    fixture.commit = (sr_commit_t){.journal = &fixture.journal,
                                   .flash = &fixture.flash,
                                   .fetch = fetch,
                                   .fetch_context = &fixture,
                                   .scratch = fixture.scratch,
                                   .readback = fixture.readback};
    sr_journal_start(&fixture.journal, 0);
    nor_flash_set_observer(fixture.nor, note, &fixture);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(fixture.nor).bad_programs, 0);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(fixture.nor);
    return 0;
}

static void add(uint32_t address, sr_record_group_t group, uint32_t blank_sectors)
{
    const sr_record_entry_t entry = {.address = address,
                                     .sectors = blank_sectors > 0 ? blank_sectors : 1,
                                     .group = group,
                                     .blank = blank_sectors > 0};
    assert_int_equal(sr_journal_add(&fixture.journal, &entry), ESP_OK);
}

/* Data, some of it blank, and all of the boot path. */
static void add_all(void)
{
    add(SMALL_NVS, SR_RECORD_DATA, 0);
    add(SMALL_NVS + SECTOR, SR_RECORD_DATA, 2);
    add(SMALL_SLOTS + 0x10000, SR_RECORD_DATA, 16);
    add(SMALL_BOOTLOADER, SR_RECORD_BOOTLOADER, 0);
    add(SMALL_BOOTLOADER + SECTOR, SR_RECORD_BOOTLOADER, 0);
    add(SMALL_BOOTLOADER + 2 * SECTOR, SR_RECORD_BOOTLOADER, 1);
    add(SR_PARTITION_TABLE_OFFSET, SR_RECORD_TABLE, 0);
    add(SMALL_OTADATA, SR_RECORD_OTADATA, 0);
    add(SMALL_OTADATA + SECTOR, SR_RECORD_OTADATA, 1);
}

/* 0: data, then 1 to 3 in the order of the boot path. */
static int part_of(uint32_t address)
{
    return address < SR_PARTITION_TABLE_OFFSET                                ? 1
           : address < SMALL_NVS                                              ? 2
           : address >= SMALL_OTADATA && address < SMALL_OTADATA + 2 * SECTOR ? 3
                                                                              : 0;
}

static void assert_in_place(void)
{
    const uint8_t *now = nor_flash_view(fixture.nor);
    for (uint32_t i = 0; i < fixture.journal.header.count; i++) {
        const sr_record_entry_t entry = sr_journal_entry(&fixture.journal, i);
        uint8_t expected[SECTOR];
        memset(expected, 0xFF, SECTOR);
        if (!entry.blank) {
            content(entry.address, expected);
        }
        for (uint32_t k = 0; k < entry.sectors; k++) {
            assert_memory_equal(now + entry.address + k * SECTOR, expected, SECTOR);
        }
    }
}

static void all_entries_are_written_data_first_then_the_boot_path_in_its_order(void **state)
{
    (void)state;
    uint8_t *before = small_copy(fixture.nor);
    const sr_record_entry_t stale = {.address = SMALL_SLOTS, .sectors = 1, .group = SR_RECORD_DATA};
    add_all();
    sr_record_write_entry(fixture.list, fixture.journal.header.count, &stale); /* Not counted. */
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(fixture.op_count, 0);
    assert_int_equal(sr_commit_boot_path_sectors(&fixture.commit), 6);
    assert_int_equal(fixture.fetches, 4);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_in_place();
    /* The boot path came from RAM. */
    assert_int_equal(fixture.fetches, 5);
    int part = 0;
    for (uint32_t i = 0; i < fixture.op_count; i++) {
        const int now = part_of(fixture.ops[i].address);
        assert_true(now >= part);
        part = now;
    }
    assert_int_equal(part, 3);
    small_assert_same(nor_flash_view(fixture.nor), before, SMALL_NVS + 3 * SECTOR, SECTOR);
    small_assert_same(nor_flash_view(fixture.nor), before, SMALL_SLOTS, SMALL_SLOT_SIZE);
    sr_commit_release(&fixture.commit);
    free(before);
}

static void bootloader_loses_its_first_page_first_and_gets_it_back_last(void **state)
{
    (void)state;
    add_all();
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    const nor_op_t *first = NULL;
    const nor_op_t *last = NULL;
    for (uint32_t i = 0; i < fixture.op_count; i++) {
        if (part_of(fixture.ops[i].address) == 1) {
            first = first != NULL ? first : &fixture.ops[i];
            last = &fixture.ops[i];
        }
    }
    assert_non_null(first);
    assert_int_equal(first->address, SMALL_BOOTLOADER);
    assert_int_equal(first->kind, NOR_OP_ERASE_SECTOR);
    assert_int_equal(last->address, SMALL_BOOTLOADER);
    assert_int_equal(last->kind, NOR_OP_PROGRAM);
    sr_commit_release(&fixture.commit);
}

static void blank_data_is_erased_in_blocks(void **state)
{
    (void)state;
    add(SMALL_SLOTS + 0x10000, SR_RECORD_DATA, 16);
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_int_equal(fixture.op_count, 1);
    assert_int_equal(fixture.ops[0].kind, NOR_OP_ERASE_BLOCK);
    sr_commit_release(&fixture.commit);
}

static void second_commit_changes_nothing(void **state)
{
    (void)state;
    add_all();
    for (unsigned i = 0; i < 2; i++) {
        fixture.op_count = 0;
        assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
        assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
        sr_commit_release(&fixture.commit);
        assert_true((fixture.op_count > 0) == (i == 0));
    }
}

static void empty_list_is_no_work(void **state)
{
    (void)state;
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_boot_path_sectors(&fixture.commit), 0);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_int_equal(fixture.op_count, 0);
    sr_commit_release(&fixture.commit);
}

static void boot_path_that_cannot_be_fetched_stops_it_before_anything_changes(void **state)
{
    (void)state;
    add_all();
    fixture.failing_fetch = SR_PARTITION_TABLE_OFFSET;
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_ERR_NOT_FINISHED);
    assert_int_equal(fixture.op_count, 0);
    sr_commit_release(&fixture.commit);
}

static void data_that_cannot_be_fetched_leaves_the_boot_path_alone(void **state)
{
    (void)state;
    add_all();
    fixture.failing_fetch = SMALL_NVS;
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_ERR_NOT_FINISHED);
    assert_int_equal(fixture.commit.failed_address, SMALL_NVS);
    for (uint32_t i = 0; i < fixture.op_count; i++) {
        assert_int_equal(part_of(fixture.ops[i].address), 0);
    }
    sr_commit_release(&fixture.commit);
}

static void flash_that_fails_is_told_with_its_address(void **state)
{
    (void)state;
    add_all();
    nor_flash_set_faults(fixture.nor,
                         (nor_faults_t){.program_per_million = 1000000, .single = true, .address = SMALL_NVS});
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fixture.commit.failed_address, SMALL_NVS);
    for (uint32_t i = 0; i < fixture.op_count; i++) {
        assert_int_equal(part_of(fixture.ops[i].address), 0);
    }
    nor_flash_set_faults(
        fixture.nor,
        (nor_faults_t){.program_per_million = 1000000, .single = true, .address = SR_PARTITION_TABLE_OFFSET});
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fixture.commit.failed_address, SR_PARTITION_TABLE_OFFSET);
    nor_flash_set_faults(fixture.nor, (nor_faults_t){0});
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_in_place();
    sr_commit_release(&fixture.commit);
}

/* Giving up there leaves a chip that does not boot, so there are more attempts than elsewhere. */
static void boot_path_is_tried_more_often_than_data(void **state)
{
    (void)state;
    const nor_faults_t faults = {.program_per_million = 1000000, .heal_after = 100, .single = true};
    nor_faults_t at = faults;
    add(SMALL_NVS, SR_RECORD_DATA, 0);
    at.address = SMALL_NVS;
    nor_flash_set_faults(fixture.nor, at);
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_ERR_SELF_REFLASHER_VERIFY);
    sr_commit_release(&fixture.commit);

    sr_journal_start(&fixture.journal, 0);
    add(SMALL_OTADATA, SR_RECORD_OTADATA, 0);
    at.address = SMALL_OTADATA;
    nor_flash_set_faults(fixture.nor, at);
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    sr_commit_release(&fixture.commit);
    nor_flash_set_faults(fixture.nor, (nor_faults_t){0});
    assert_in_place();
}

/* As often as the writer says, and no more: a dead sector of data must not hold up the rest for a minute. */
static void data_is_tried_as_often_as_all_that_is_no_boot_path(void **state)
{
    (void)state;
    for (uint32_t failures = 0; failures <= SR_WRITER_ATTEMPTS; failures++) {
        sr_journal_start(&fixture.journal, 0);
        add(SMALL_NVS, SR_RECORD_DATA, 0);
        memset(nor_flash_bytes(fixture.nor) + SMALL_NVS, 0, SECTOR);
        nor_flash_reset_stats(fixture.nor);
        nor_flash_set_faults(fixture.nor, (nor_faults_t){.erase_per_million = failures > 0 ? 1000000 : 0,
                                                         .heal_after = failures,
                                                         .single = true,
                                                         .address = SMALL_NVS});
        assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
        const esp_err_t err = sr_commit_execute(&fixture.commit);
        assert_int_equal(err, failures < SR_WRITER_ATTEMPTS ? ESP_OK : ESP_ERR_TIMEOUT);
        sr_commit_release(&fixture.commit);
    }
    nor_flash_set_faults(fixture.nor, (nor_faults_t){0});
}

static void every_failing_allocation_is_told_and_changes_nothing(void **state)
{
    (void)state;
    add_all();
    uint32_t failures = 0;
    for (;; failures++) {
        sim_heap_fail_at(failures + 1);
        const esp_err_t err = sr_commit_prepare(&fixture.commit);
        sim_heap_fail_at(0);
        sr_commit_release(&fixture.commit);
        assert_int_equal(sim_counters()->heap_now, 0);
        if (err == ESP_OK) {
            break;
        }
        assert_int_equal(err, ESP_ERR_NO_MEM);
    }
    assert_int_equal(failures, 1 + 4 + 1); /* The list, each sector with content, and one for all that are blank. */
    assert_int_equal(fixture.op_count, 0);
}

static void blank_data_that_cannot_be_erased_is_told(void **state)
{
    (void)state;
    add(SMALL_NVS, SR_RECORD_DATA, 2);
    add(SMALL_OTADATA, SR_RECORD_OTADATA, 0);
    uint8_t *before = small_copy(fixture.nor);
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    dead = SMALL_NVS + SECTOR;
    const esp_err_t err = sr_commit_execute(&fixture.commit);
    dead = UINT32_MAX;
    assert_int_equal(err, ESP_ERR_TIMEOUT);
    assert_int_equal(fixture.commit.failed_address, SMALL_NVS + SECTOR);
    small_assert_same(nor_flash_view(fixture.nor), before, SMALL_OTADATA, 2 * SECTOR);
    sr_commit_release(&fixture.commit);
    free(before);
}

/* Erased cells read as something else there. */
static void blank_data_is_written_where_flash_is_encrypted(void **state)
{
    (void)state;
    sim_state.config.chip.cipher = support_cipher();
    fixture.flash.encryption = fixture.flash.everywhere = true;
    add(SMALL_NVS, SR_RECORD_DATA, 0);
    add(SMALL_NVS + SECTOR, SR_RECORD_DATA, 2);
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    for (uint32_t at = SMALL_NVS + SECTOR; at < SMALL_NVS + 3 * SECTOR; at += SECTOR) {
        assert_int_equal(sr_flash_read(&fixture.flash, at, fixture.scratch, SECTOR), ESP_OK);
        for (uint32_t i = 0; i < SECTOR; i++) {
            assert_int_equal(fixture.scratch[i], 0xFF);
        }
    }
    sr_commit_release(&fixture.commit);
}

/* Between sectors of data it may run, but not within the boot path. */
static void idle_task_runs_between_sectors_of_data(void **state)
{
    (void)state;
    add(SMALL_BOOTLOADER, SR_RECORD_BOOTLOADER, 0);
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    yields = 0;
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_int_equal(yields, 0);
    sr_commit_release(&fixture.commit);
    sr_journal_start(&fixture.journal, 0);
    for (uint32_t i = 0; i < 4; i++) {
        add(SMALL_NVS + i * SECTOR, SR_RECORD_DATA, 0);
    }
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_int_equal(yields, 4);
    sr_commit_release(&fixture.commit);
}

/* As much as the sectors of the boot path take, whatever data there is. */
static void no_more_memory_is_taken_than_the_boot_path_needs(void **state)
{
    (void)state;
    sr_boot_path_buffer_t buffer;
    const sr_writer_sector_t sector = {.address = SMALL_BOOTLOADER, .used = SECTOR, .data = fixture.scratch};
    memset(fixture.scratch, 0, SECTOR);
    assert_int_equal(sr_boot_path_buffer_open(&buffer, 2), ESP_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(sr_boot_path_buffer_add(&buffer, SR_BOOT_PATH_BUFFER_BOOTLOADER, &sector), ESP_OK);
    }
    const uint32_t needed = sim_counters()->heap_now;
    sr_boot_path_buffer_close(&buffer);
    for (uint32_t data = 0; data < 3; data++) {
        sr_journal_start(&fixture.journal, 0);
        for (uint32_t i = 0; i < data; i++) {
            add(SMALL_NVS + i * SECTOR, SR_RECORD_DATA, 0);
        }
        add(SMALL_BOOTLOADER, SR_RECORD_BOOTLOADER, 0);
        add(SR_PARTITION_TABLE_OFFSET, SR_RECORD_TABLE, 0);
        assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
        assert_int_equal(sim_counters()->heap_now, needed);
        sr_commit_release(&fixture.commit);
    }
}

/* What waits in RAM, by itself. */

static void full_hold_takes_no_more(void **state)
{
    (void)state;
    sr_boot_path_buffer_t buffer;
    const sr_writer_sector_t sector = {.address = SMALL_NVS, .used = SECTOR, .data = fixture.scratch};
    assert_int_equal(sr_boot_path_buffer_open(&buffer, 1), ESP_OK);
    assert_int_equal(sr_boot_path_buffer_add(&buffer, SR_BOOT_PATH_BUFFER_TABLE, &sector), ESP_OK);
    assert_int_equal(sr_boot_path_buffer_add(&buffer, SR_BOOT_PATH_BUFFER_TABLE, &sector), ESP_ERR_INVALID_SIZE);
    assert_int_equal(buffer.count, 1);
    sr_boot_path_buffer_close(&buffer);
    assert_int_equal(sr_boot_path_buffer_open(&buffer, 0), ESP_OK);
    assert_int_equal(sr_boot_path_buffer_add(&buffer, SR_BOOT_PATH_BUFFER_TABLE, &sector), ESP_ERR_INVALID_SIZE);
    sr_boot_path_buffer_close(&buffer);
}

static void hold_keeps_a_copy(void **state)
{
    (void)state;
    sr_boot_path_buffer_t buffer;
    uint8_t expected[SECTOR];
    sr_writer_t writer = {.flash = &fixture.flash, .readback = fixture.readback, .attempts = 1};
    const sr_writer_sector_t sector = {.address = SMALL_OTADATA, .used = SECTOR, .data = fixture.scratch};
    content(1, fixture.scratch);
    content(1, expected);
    assert_int_equal(sr_boot_path_buffer_open(&buffer, 4), ESP_OK);
    assert_int_equal(sr_boot_path_buffer_add(&buffer, SR_BOOT_PATH_BUFFER_OTADATA, &sector), ESP_OK);
    memset(fixture.scratch, 0, SECTOR);
    assert_int_equal(sr_boot_path_buffer_put(&buffer, &writer), ESP_OK);
    assert_memory_equal(nor_flash_view(fixture.nor) + SMALL_OTADATA, expected, SECTOR);
    sr_boot_path_buffer_close(&buffer);
}

/* The block of the boot path. */

#define BLOCK_SECTORS 16u

/* All of the first block: blank, then bootloader, table and otadata with content, the rest to be blank. */
static void add_block(void)
{
    memset(nor_flash_bytes(fixture.nor), 0xFF, SECTOR);
    add(0, SR_RECORD_NEIGHBOURS, 1);
    add(0x4000, SR_RECORD_NEIGHBOURS, 4);
    add(SMALL_NVS, SR_RECORD_NEIGHBOURS, 4);
    add(0xF000, SR_RECORD_NEIGHBOURS, 1);
    for (uint32_t address = SMALL_BOOTLOADER; address < 0x4000; address += SECTOR) {
        add(address, SR_RECORD_BOOTLOADER, 0);
    }
    add(SR_PARTITION_TABLE_OFFSET, SR_RECORD_TABLE, 0);
    add(SMALL_OTADATA, SR_RECORD_OTADATA, 0);
    add(SMALL_OTADATA + SECTOR, SR_RECORD_OTADATA, 1);
}

static void boot_path_with_a_block_to_itself_is_erased_at_once(void **state)
{
    (void)state;
    add_block();
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_boot_path_sectors(&fixture.commit), BLOCK_SECTORS);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_int_equal(fixture.ops[0].kind, NOR_OP_ERASE_BLOCK);
    assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 0);
    assert_in_place();
    sr_commit_release(&fixture.commit);
}

/* What a chip does to it when the power goes in the middle of the erase: whoever goes on repairs it first. */
static void torn_neighbour_is_mended_before_the_bootloader_is_touched(void **state)
{
    (void)state;
    add_block();
    for (uint32_t i = 1; i < BLOCK_SECTORS; i++) {
        content(i * SECTOR, nor_flash_bytes(fixture.nor) + i * SECTOR); /* Most of it is right already. */
    }
    memset(nor_flash_bytes(fixture.nor) + 0x4000, 0xFF, 4 * SECTOR);
    memset(nor_flash_bytes(fixture.nor) + SMALL_NVS, 0xFF, 4 * SECTOR);
    memset(nor_flash_bytes(fixture.nor) + SMALL_OTADATA + SECTOR, 0xFF, 2 * SECTOR);
    nor_flash_bytes(fixture.nor)[0x10] = 0;
    nor_flash_bytes(fixture.nor)[SMALL_BOOTLOADER + 0x100] = 0;
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_in_place();
    sr_commit_release(&fixture.commit);
    nor_flash_set_observer(fixture.nor, NULL, NULL);

    /* Once more with too few sectors to erase for a block erase. */
    for (uint32_t address = 0x2000; address < 0x4000; address += SECTOR) {
        memset(nor_flash_bytes(fixture.nor) + address, 0xFF, SECTOR);
    }
    memset(nor_flash_bytes(fixture.nor) + SR_PARTITION_TABLE_OFFSET, 0xFF, SECTOR);
    memset(nor_flash_bytes(fixture.nor) + SMALL_OTADATA, 0xFF, SECTOR);
    memset(nor_flash_bytes(fixture.nor) + SMALL_BOOTLOADER, 0x55, SECTOR);
    memset(nor_flash_bytes(fixture.nor), 0, SECTOR);
    fixture.op_count = 0;
    nor_flash_set_observer(fixture.nor, note, &fixture);
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_int_equal(fixture.ops[0].kind, NOR_OP_ERASE_SECTOR);
    assert_int_equal(fixture.ops[0].address, 0);
    assert_in_place();
    sr_commit_release(&fixture.commit);
}

/* Holds what add_block() has with content, and nothing else. */
static void hold_content(sr_boot_path_buffer_t *buffer, sr_region_t owned)
{
    static const uint32_t addresses[] = {0x1000, 0x2000, 0x3000, 0x8000, 0xD000};
    assert_int_equal(sr_boot_path_buffer_open(buffer, 5), ESP_OK);
    buffer->owned = owned;
    for (size_t i = 0; i < 5; i++) {
        const sr_writer_sector_t sector = {.address = addresses[i], .used = SECTOR, .data = fixture.scratch};
        content(addresses[i], fixture.scratch);
        assert_int_equal(sr_boot_path_buffer_add(buffer, SR_BOOT_PATH_BUFFER_BOOTLOADER, &sector), ESP_OK);
    }
}

static uint32_t block_erases_with(sr_region_t owned)
{
    sr_boot_path_buffer_t buffer;
    sr_writer_t writer = {.flash = &fixture.flash, .readback = fixture.readback, .attempts = 1};
    uint8_t *bytes = nor_flash_bytes(fixture.nor);
    memset(bytes, 0xFF, BLOCK_SECTORS * SECTOR);
    hold_content(&buffer, owned);
    for (uint32_t i = 0; i < buffer.count; i++) {
        memset(bytes + buffer.sectors[i].address, 0x5A, SECTOR);
    }
    nor_flash_reset_stats(fixture.nor);
    assert_int_equal(sr_boot_path_buffer_put(&buffer, &writer), ESP_OK);
    sr_boot_path_buffer_close(&buffer);
    return nor_flash_stats(fixture.nor).block_erases;
}

static void blank_sectors_of_others_are_not_erased_with_the_block(void **state)
{
    (void)state;
    assert_int_equal(block_erases_with((sr_region_t){0}), 0);
    assert_int_equal(block_erases_with((sr_region_t){SECTOR, BLOCK_SECTORS * SECTOR}), 0); /* All but the first. */
    assert_int_equal(block_erases_with((sr_region_t){0, (BLOCK_SECTORS - 1) * SECTOR}), 0);
    assert_int_equal(block_erases_with((sr_region_t){0, BLOCK_SECTORS * SECTOR}), 1);
}

/* A recovery bootloader stands in for a torn bootloader, but not for a missing table; and what clears the magic byte
 * comes before any erase. */
static void block_is_not_erased_at_once_while_a_recovery_bootloader_stands_in(void **state)
{
    (void)state;
    add_block();
    for (uint32_t i = 1; i < BLOCK_SECTORS; i++) {
        memset(nor_flash_bytes(fixture.nor) + i * SECTOR, 0x5A, SECTOR);
    }
    fixture.journal.header.guarded = true;
    assert_int_equal(sr_commit_prepare(&fixture.commit), ESP_OK);
    assert_int_equal(sr_commit_execute(&fixture.commit), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).block_erases, 0);
    assert_in_place();
    sr_commit_release(&fixture.commit);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_entries_are_written_data_first_then_the_boot_path_in_its_order),
        TEST(bootloader_loses_its_first_page_first_and_gets_it_back_last),
        TEST(blank_data_is_erased_in_blocks),
        TEST(second_commit_changes_nothing),
        TEST(empty_list_is_no_work),
        TEST(boot_path_that_cannot_be_fetched_stops_it_before_anything_changes),
        TEST(data_that_cannot_be_fetched_leaves_the_boot_path_alone),
        TEST(flash_that_fails_is_told_with_its_address),
        TEST(boot_path_is_tried_more_often_than_data),
        TEST(data_is_tried_as_often_as_all_that_is_no_boot_path),
        TEST(every_failing_allocation_is_told_and_changes_nothing),
        TEST(blank_data_that_cannot_be_erased_is_told),
        TEST(blank_data_is_written_where_flash_is_encrypted),
        TEST(idle_task_runs_between_sectors_of_data),
        TEST(no_more_memory_is_taken_than_the_boot_path_needs),
        TEST(full_hold_takes_no_more),
        TEST(hold_keeps_a_copy),
        TEST(boot_path_with_a_block_to_itself_is_erased_at_once),
        TEST(torn_neighbour_is_mended_before_the_bootloader_is_touched),
        TEST(blank_sectors_of_others_are_not_erased_with_the_block),
        TEST(block_is_not_erased_at_once_while_a_recovery_bootloader_stands_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
