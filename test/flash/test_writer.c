// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_writer.h"

#include "make/dummy_image.h"
#include "sim/chip/sim_chip.h"
#include "sim/nor/nor_flash.h"
#include "test/support/support_cipher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "port/sr_yield.h"
#include "test/support/support_flash_calls.h"

#define FLASH_SIZE (1u << 20)
#define PLACE      0x40000u /**< In the partition "data". */

/* An attached chip with a table and nothing else, and a writer on it. */
typedef struct fixture {
    nor_flash_t *nor;
    sr_flash_t flash;
    uint8_t readback[SR_WRITER_READBACK_SIZE];
    uint8_t data[SR_SECTOR_SIZE];
    sr_writer_t writer;
    sr_writer_sector_t sector;
} fixture_t;

static fixture_t fixture;

static void attach(bool encryption)
{
    static const sr_partition_table_entry_t entries[] = {
        {.type = SR_PARTITION_TYPE_APP, .subtype = SR_PARTITION_APP_OTA_0, .address = 0x10000, .size = 0x20000},
        {.type = SR_PARTITION_TYPE_APP, .subtype = SR_PARTITION_APP_OTA_0 + 1, .address = 0x40000, .size = 0x20000},
    };
    fixture = (fixture_t){.nor = nor_flash_new(FLASH_SIZE, nor_timing_find(NULL))};
    assert_non_null(fixture.nor);
    assert_int_equal(image_write_partition_table(entries, 2, nor_flash_bytes(fixture.nor) + 0x8000), IMAGE_WRITE_OK);
    if (encryption) {
        support_encrypt(nor_flash_bytes(fixture.nor), 0x8000, SR_SECTOR_SIZE);
    }
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32"), .cipher = encryption ? support_cipher() : NULL},
        .flash = fixture.nor,
        .running_app = 0x10000,
        .quiet = true};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_flash_open(&fixture.flash), ESP_OK);
    fixture.writer = (sr_writer_t){.flash = &fixture.flash, .readback = fixture.readback, .attempts = 3};
    fixture.sector = (sr_writer_sector_t){.address = PLACE, .used = SR_SECTOR_SIZE, .data = fixture.data};
    dummy_image_fill(fixture.data, SR_SECTOR_SIZE, 7);
}

static int setup(void **state)
{
    (void)state;
    attach(false);
    return 0;
}

static int setup_encrypted(void **state)
{
    (void)state;
    attach(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_chip_detach();
    nor_flash_delete(fixture.nor);
    return 0;
}

static void use(uint32_t used)
{
    fixture.sector.used = used;
    memset(fixture.data + used, 0xFF, SR_SECTOR_SIZE - used);
}

static const uint8_t *cells(void)
{
    return nor_flash_view(fixture.nor) + PLACE;
}

static uint32_t pages_with_data(void)
{
    uint32_t count = 0;
    for (uint32_t page = 0; page < SR_SECTOR_SIZE; page += SR_PAGE_SIZE) {
        bool blank = true;
        for (uint32_t i = 0; i < SR_PAGE_SIZE; i++) {
            blank = blank && fixture.data[page + i] == 0xFF;
        }
        count += !blank;
    }
    return count;
}

static void a_blank_sector_is_programmed_without_erase_and_without_blank_pages(void **state)
{
    (void)state;
    memset(fixture.data + 0x300, 0xFF, 0x500);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_memory_equal(cells(), fixture.data, SR_SECTOR_SIZE);
    const nor_stats_t stats = nor_flash_stats(fixture.nor);
    assert_int_equal(stats.sector_erases + stats.block_erases, 0);
    assert_int_equal(stats.page_programs, pages_with_data());
    assert_true(stats.page_programs <= 11);
}

static void a_sector_that_is_right_is_left_alone(void **state)
{
    (void)state;
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    nor_flash_reset_stats(fixture.nor);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
}

static void a_dirty_sector_is_erased_once(void **state)
{
    (void)state;
    memset(nor_flash_bytes(fixture.nor) + PLACE - 0x1000, 0x42, 0x3000);
    use(100);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_memory_equal(cells(), fixture.data, SR_SECTOR_SIZE);
    assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 1);
    assert_int_equal(nor_flash_stats(fixture.nor).page_programs, 1);
    assert_int_equal(cells()[-1], 0x42);
    assert_int_equal(cells()[SR_SECTOR_SIZE], 0x42);
}

/* Half of it is there already, as a power loss leaves it. */
static void a_half_programmed_sector_is_programmed_only_where_that_is_wanted(void **state)
{
    (void)state;
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    for (unsigned program_only = 0; program_only < 2; program_only++) {
        memset(place, 0xFF, SR_SECTOR_SIZE);
        memcpy(place + 0x800, fixture.data + 0x800, 0x810);
        place[0x700] = fixture.data[0x700] | 0x81;
        nor_flash_reset_stats(fixture.nor);
        fixture.writer.program_only = program_only != 0;
        assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
        assert_memory_equal(cells(), fixture.data, SR_SECTOR_SIZE);
        assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 1 - program_only);
        assert_int_equal(nor_flash_stats(fixture.nor).bad_programs, 0);
    }
    /* One bit that must be set: only an erase does that. */
    fixture.data[5] |= 1;
    place[5] &= 0xFE;
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 1);
    assert_memory_equal(cells(), fixture.data, SR_SECTOR_SIZE);
}

static void one_changed_bit_anywhere_makes_a_sector_wrong(void **state)
{
    (void)state;
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    for (uint32_t i = 0; i < SR_SECTOR_SIZE; i += 37) {
        sr_writer_comparison_t comparison;
        nor_flash_bytes(fixture.nor)[PLACE + i] ^= 0x10;
        assert_int_equal(sr_writer_compare(&fixture.writer, &fixture.sector, &comparison), ESP_OK);
        assert_false(comparison.right);
        nor_flash_bytes(fixture.nor)[PLACE + i] ^= 0x10;
    }
}

static void a_program_that_does_not_stick_is_retried_then_reported(void **state)
{
    (void)state;
    nor_flash_set_faults(
        fixture.nor, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = PLACE, .heal_after = 1});
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_memory_equal(cells(), fixture.data, SR_SECTOR_SIZE);

    fixture.data[0] ^= 0xFF;
    nor_flash_set_faults(fixture.nor, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = PLACE});
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fixture.writer.failed_address, PLACE);
}

static void an_erase_that_times_out_hands_up_its_cause(void **state)
{
    (void)state;
    memset(nor_flash_bytes(fixture.nor) + PLACE, 0, SR_SECTOR_SIZE);
    nor_flash_set_faults(fixture.nor, (nor_faults_t){.erase_per_million = 1000000, .single = true, .address = PLACE});
    const esp_err_t err = sr_writer_put(&fixture.writer, &fixture.sector);
    assert_int_equal(err, ESP_ERR_TIMEOUT);
    assert_int_equal(fixture.writer.failed_address, PLACE);
}

/* Remembers in which order sectors are erased and pages programmed. */
typedef struct order {
    nor_op_t ops[256];
    uint32_t count;
} order_t;

static void remember(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    order_t *order = context;
    (void)flash;
    assert_true(order->count < 256);
    order->ops[order->count++] = *op;
}

static void a_group_loses_its_first_page_first_and_gets_it_last(void **state)
{
    (void)state;
    static uint8_t content[3][SR_SECTOR_SIZE];
    static order_t order;
    sr_writer_sector_t sectors[3];
    for (uint32_t i = 0; i < 3; i++) {
        memset(content[i], (int)(0x10 + i), SR_SECTOR_SIZE);
        sectors[i] = (sr_writer_sector_t){PLACE + i * SR_SECTOR_SIZE, SR_SECTOR_SIZE, content[i]};
    }
    memset(nor_flash_bytes(fixture.nor) + PLACE, 0x77, sizeof(content));
    nor_flash_set_observer(fixture.nor, remember, &order);
    assert_int_equal(sr_writer_put_group(&fixture.writer, sectors, 3), ESP_OK);

    assert_int_equal(order.count, 3 + 48);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(order.ops[i].kind, NOR_OP_ERASE_SECTOR);
        assert_int_equal(order.ops[i].address, PLACE + i * SR_SECTOR_SIZE);
    }
    for (uint32_t i = 0; i < 48; i++) {
        assert_int_equal(order.ops[3 + i].kind, NOR_OP_PROGRAM);
        assert_int_equal(order.ops[3 + i].address, PLACE + (47 - i) * SR_PAGE_SIZE);
    }
    assert_memory_equal(cells(), content, sizeof(content));
}

/* The same place with three sectors of another image, whose magic byte is the same. */
static void prepare_guarded(uint8_t content[3 * SR_SECTOR_SIZE], sr_writer_sector_t sectors[3])
{
    dummy_image_fill(nor_flash_bytes(fixture.nor) + PLACE, 3 * SR_SECTOR_SIZE, 50);
    for (uint32_t i = 0; i < 3; i++) {
        dummy_image_fill(content + i * SR_SECTOR_SIZE, SR_SECTOR_SIZE, 60 + i);
        sectors[i] = (sr_writer_sector_t){
            .address = PLACE + i * SR_SECTOR_SIZE, .used = SR_SECTOR_SIZE, .data = content + i * SR_SECTOR_SIZE};
    }
    content[0] = nor_flash_bytes(fixture.nor)[PLACE] = 0xE9;
    nor_flash_reset_stats(fixture.nor);
}

static void a_guarded_group_loses_its_magic_byte_alone_and_gets_it_alone(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    static order_t order;
    sr_writer_sector_t sectors[3];
    prepare_guarded(content, sectors);
    nor_flash_set_observer(fixture.nor, remember, &order);
    assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_OK);
    nor_flash_set_observer(fixture.nor, NULL, NULL);
    assert_memory_equal(cells(), content, sizeof(content));
    assert_int_equal(content[0], 0xE9);
    assert_int_equal(order.ops[0].kind, NOR_OP_PROGRAM);
    assert_int_equal(order.ops[0].address, PLACE);
    assert_int_equal(order.ops[0].length, 1);
    assert_int_equal(order.ops[1].address, PLACE + 1);
    assert_int_equal(order.ops[1].length, SR_PAGE_SIZE - 1);
    assert_int_equal(order.ops[2].kind, NOR_OP_ERASE_SECTOR);
    assert_int_equal(order.ops[order.count - 1].address, PLACE);
    assert_int_equal(order.ops[order.count - 1].length, 1);
    assert_int_equal(nor_flash_stats(fixture.nor).bad_programs, 0);
    /* And then it is right. */
    nor_flash_reset_stats(fixture.nor);
    assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
    /* If a later sector is wrong, the first one is written, too. */
    nor_flash_bytes(fixture.nor)[PLACE + 2 * SR_SECTOR_SIZE] ^= 1;
    assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 2);
    assert_memory_equal(cells(), content, sizeof(content));
}

static void a_guarded_group_whose_magic_byte_does_not_go_is_left_alone(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    static uint8_t before[3 * SR_SECTOR_SIZE];
    sr_writer_sector_t sectors[3];
    prepare_guarded(content, sectors);
    memcpy(before, cells(), sizeof(before));
    nor_flash_set_faults(fixture.nor, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = PLACE});
    assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fixture.writer.failed_address, PLACE);
    assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 0);
    assert_memory_equal(cells() + 1, before + 1, sizeof(before) - 1);
    /* With one that works at the second attempt. */
    nor_flash_set_faults(
        fixture.nor, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = PLACE, .heal_after = 1});
    assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_OK);
    assert_memory_equal(cells(), content, sizeof(content));
}

static void a_guarded_group_with_a_dead_sector_is_given_up_without_its_magic_byte(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    sr_writer_sector_t sectors[3];
    prepare_guarded(content, sectors);
    nor_flash_set_faults(
        fixture.nor, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = PLACE + SR_SECTOR_SIZE});
    assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fixture.writer.failed_address, PLACE + SR_SECTOR_SIZE);
    assert_in_range(nor_flash_wear(fixture.nor, PLACE / SR_SECTOR_SIZE + 1), 1, fixture.writer.attempts + 1);
    assert_int_not_equal(cells()[0], 0xE9);
}

/* Bits of the magic byte do not get there, as often as this; and how often somebody tried. */
static uint32_t magic_losses, magic_programs;

static void lose_magic(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    (void)context;
    const bool magic = op->kind == NOR_OP_PROGRAM && op->length == 1 && nor_flash_view(flash)[PLACE] == 0xE9;
    magic_programs += magic;
    if (magic && magic_losses > 0) {
        nor_flash_bytes(fixture.nor)[PLACE] = 0xEB;
        magic_losses--;
    }
}

/* With it, the ROM takes what lies there. So it is read back as all the rest is, and all of it is repeated. */
static void a_magic_byte_is_verified_and_repeated(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    sr_writer_sector_t sectors[3];
    for (uint32_t losses = 0; losses <= fixture.writer.attempts; losses++) {
        prepare_guarded(content, sectors);
        magic_losses = losses;
        magic_programs = 0;
        nor_flash_set_observer(fixture.nor, lose_magic, NULL);
        const esp_err_t err = sr_writer_put_guarded(&fixture.writer, sectors, 3);
        nor_flash_set_observer(fixture.nor, NULL, NULL);
        const bool enough = losses < fixture.writer.attempts;
        assert_int_equal(err, enough ? ESP_OK : ESP_ERR_SELF_REFLASHER_VERIFY);
        assert_int_equal(magic_programs, enough ? losses + 1 : losses);
        assert_int_equal(cells()[0] == 0xE9, enough);
        assert_memory_equal(cells() + 1, content + 1, sizeof(content) - 1);
        assert_true(enough || fixture.writer.failed_address == PLACE);
    }
}

/* What follows belongs to somebody else, whatever it is. */
static void a_clear_erases_no_sector_too_many(void **state)
{
    (void)state;
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    for (uint32_t sectors = 0; sectors <= 17; sectors++) {
        for (uint32_t first = 0; first < 2; first++) {
            memset(place, 0x42, 18 * SR_SECTOR_SIZE);
            nor_flash_reset_stats(fixture.nor);
            assert_int_equal(sr_writer_clear(&fixture.writer, PLACE + first * SR_SECTOR_SIZE, sectors, fixture.data),
                             ESP_OK);
            for (uint32_t i = 0; i < 18 * SR_SECTOR_SIZE; i++) {
                const uint32_t sector = i / SR_SECTOR_SIZE;
                assert_int_equal(place[i], sector >= first && sector < first + sectors ? 0xFF : 0x42);
            }
            assert_int_equal(nor_flash_stats(fixture.nor).block_erases, first == 0 && sectors >= 16 ? 1 : 0);
        }
    }
}

/* Each byte counts. */

static const uint32_t positions[] = {0, 1, 31, 32, 255, 256, 257, 2000, SR_SECTOR_SIZE - 256, SR_SECTOR_SIZE - 1};
#define POSITIONS (sizeof(positions) / sizeof(positions[0]))

static void expect_comparison(bool right, bool blank, bool fits)
{
    sr_writer_comparison_t comparison;
    bool is_blank = !blank;
    assert_int_equal(sr_writer_compare(&fixture.writer, &fixture.sector, &comparison), ESP_OK);
    assert_int_equal(comparison.right, right);
    assert_int_equal(comparison.fits, fits);
    assert_int_equal(sr_writer_is_blank(&fixture.writer, PLACE, &is_blank), ESP_OK);
    assert_int_equal(is_blank, blank);
    /* Where nothing is left to be found out, this may not be known. */
    assert_true(comparison.blank == blank || (!right && !fits && !blank));
}

/* Whatever lies around it. */
static void one_bit_anywhere_makes_a_sector_another_one(void **state)
{
    (void)state;
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    memset(place - SR_SECTOR_SIZE, 0x42, 3 * SR_SECTOR_SIZE);
    memset(fixture.data, 0x0F, SR_SECTOR_SIZE);
    for (size_t i = 0; i < POSITIONS; i++) {
        memset(place, 0xFF, SR_SECTOR_SIZE);
        expect_comparison(false, true, true);
        place[positions[i]] = 0xFE;
        expect_comparison(false, false, false);
        place[positions[i]] = 0x7F;
        expect_comparison(false, false, true);
        memset(place, 0x0F, SR_SECTOR_SIZE);
        expect_comparison(true, false, true);
        place[positions[i]] = 0x1F;
        expect_comparison(false, false, true);
        place[positions[i]] = 0x0E;
        expect_comparison(false, false, false);
    }
}

static void dirty_sectors_are_counted(void **state)
{
    (void)state;
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    uint32_t dirty = 99;
    for (uint32_t first = 0; first < 4; first++) {
        for (uint32_t sectors = 0; sectors <= 4; sectors++) {
            memset(place - SR_SECTOR_SIZE, 0x42, 8 * SR_SECTOR_SIZE);
            memset(place + SR_SECTOR_SIZE, 0xFF, SR_SECTOR_SIZE); /* Of the four one is blank. */
            assert_int_equal(sr_writer_count_dirty(&fixture.writer, PLACE + first * SR_SECTOR_SIZE, sectors, &dirty),
                             ESP_OK);
            assert_int_equal(dirty, sectors - (first <= 1 && first + sectors > 1));
        }
    }
    for (uint32_t read = 0; read < 3 + 16; read++) {
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(sr_writer_count_dirty(&fixture.writer, PLACE, 4, &dirty), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), read + 1);
        const uint32_t sector = read == 0 ? 0 : read <= 16 ? 1 : read - 15;
        assert_int_equal(fixture.writer.failed_address, PLACE + sector * SR_SECTOR_SIZE);
    }
}

/* As often as was said, and not once more. */

#define READS_OF_SECTOR (SR_SECTOR_SIZE / SR_WRITER_READBACK_SIZE)

static void a_sector_is_tried_as_often_as_was_said(void **state)
{
    (void)state;
    static const unsigned kinds[] = {FLASH_READS, FLASH_WRITES, FLASH_ERASES};
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    for (unsigned i = 0; i < 3 * 3; i++) {
        const uint32_t attempts = 1 + i / 3;
        fixture.writer.attempts = attempts;
        for (uint32_t failures = 0; failures <= attempts; failures++) {
            memset(place, i % 3 == 2 ? 0 : 0xFF, SR_SECTOR_SIZE);
            nor_flash_reset_stats(fixture.nor);
            flash_calls_fail(kinds[i % 3], (sr_region_t){0}, 0, failures == attempts ? FLASH_FOR_EVER : failures);
            fixture.writer.failed_address = 0;
            assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector),
                             failures < attempts ? ESP_OK : ESP_ERR_TIMEOUT);
            const uint32_t made = flash_calls_end();
            if (failures < attempts) {
                assert_memory_equal(place, fixture.data, SR_SECTOR_SIZE);
            } else {
                assert_int_equal(made, attempts);
                assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
                assert_int_equal(fixture.writer.failed_address, PLACE);
            }
        }
    }
    /* What is right is read once. */
    memcpy(place, fixture.data, SR_SECTOR_SIZE);
    flash_calls_count(FLASH_READS, (sr_region_t){0});
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_int_equal(flash_calls_end(), READS_OF_SECTOR);
}

/* The comparison after the last attempt, which is the only one here. */
static void a_sector_that_cannot_be_read_back_is_not_taken_for_right(void **state)
{
    (void)state;
    fixture.writer.attempts = 1;
    for (uint32_t read = 0; read < READS_OF_SECTOR; read++) {
        memset(nor_flash_bytes(fixture.nor) + PLACE, 0xFF, SR_SECTOR_SIZE);
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, READS_OF_SECTOR + read, 1);
        assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), READS_OF_SECTOR + read + 1);
    }
    /* That it was wrong before makes no other error of it. */
    memset(nor_flash_bytes(fixture.nor) + PLACE, 0xFF, SR_SECTOR_SIZE);
    nor_flash_set_faults(fixture.nor, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = PLACE});
    memset(fixture.data, 0, SR_SECTOR_SIZE);
    flash_calls_fail(FLASH_READS, (sr_region_t){0}, READS_OF_SECTOR + 1, 1);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_ERR_TIMEOUT);
    (void)flash_calls_end();
}

static void a_block_is_erased_as_often_as_was_said(void **state)
{
    (void)state;
    for (uint32_t attempts = 1; attempts <= 3; attempts++) {
        fixture.writer.attempts = attempts;
        for (uint32_t failures = 0; failures <= attempts; failures++) {
            flash_calls_fail(FLASH_ERASES, (sr_region_t){PLACE, 1}, 0, failures);
            assert_int_equal(sr_writer_erase_block(&fixture.writer, PLACE),
                             failures < attempts ? ESP_OK : ESP_ERR_TIMEOUT);
            assert_int_equal(flash_calls_end(), failures < attempts ? failures + 1 : attempts);
            assert_int_equal(fixture.writer.failed_address, PLACE);
        }
    }
}

/* Clearing. */

static uint32_t yields[32], yield_count;

static void count_yield(uint32_t bytes)
{
    assert_true(yield_count < 32);
    yields[yield_count++] = bytes;
}

static esp_err_t clear_20(void)
{
    yield_count = 0;
    nor_flash_reset_stats(fixture.nor);
    fixture.writer.yield = count_yield;
    return sr_writer_clear(&fixture.writer, PLACE - 2 * SR_SECTOR_SIZE, 20, fixture.data);
}

/* From four sectors that need an erase on; before each of both the idle task may run. */
static void a_clear_erases_a_block_where_that_is_quicker(void **state)
{
    (void)state;
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    for (uint32_t dirty = 0; dirty <= 16; dirty++) {
        memset(place - 2 * SR_SECTOR_SIZE, 0xFF, 20 * SR_SECTOR_SIZE);
        memset(place - SR_SECTOR_SIZE, 0, (1 + dirty) * SR_SECTOR_SIZE);
        place[16 * SR_SECTOR_SIZE] = 0;
        assert_int_equal(clear_20(), ESP_OK);
        for (uint32_t i = 0; i < 18 * SR_SECTOR_SIZE; i++) {
            assert_int_equal(place[i], 0xFF);
        }
        assert_int_equal(nor_flash_stats(fixture.nor).block_erases, dirty >= 4 ? 1 : 0);
        assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 2 + (dirty >= 4 ? 0 : dirty));
        assert_int_equal(yield_count, 20);
        for (uint32_t i = 0; i < yield_count; i++) {
            assert_int_equal(yields[i], i == 2 && dirty >= 4 ? SR_YIELD_BYTES : SR_YIELD_WRITE);
        }
    }
}

static void a_clear_ends_with_the_first_error(void **state)
{
    (void)state;
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    memset(place - 2 * SR_SECTOR_SIZE, 0, 20 * SR_SECTOR_SIZE);
    flash_calls_fail(FLASH_ERASES, (sr_region_t){PLACE, 1}, 0, 3);
    assert_int_equal(clear_20(), ESP_ERR_TIMEOUT); /* The block. */
    assert_int_equal(flash_calls_end(), 3);
    assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 2);
    assert_int_equal(fixture.writer.failed_address, PLACE);
    memset(place - 2 * SR_SECTOR_SIZE, 0, 20 * SR_SECTOR_SIZE);
    flash_calls_fail(FLASH_ERASES, (sr_region_t){PLACE - SR_SECTOR_SIZE, 1}, 0, 3);
    assert_int_equal(clear_20(), ESP_ERR_TIMEOUT); /* A sector. */
    assert_int_equal(flash_calls_end(), 3);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 1);
    assert_int_equal(fixture.writer.failed_address, PLACE - SR_SECTOR_SIZE);
    for (uint32_t sector = 0; sector < 16; sector++) { /* What is to be counted. */
        memset(place - 2 * SR_SECTOR_SIZE, 0xFF, 2 * SR_SECTOR_SIZE);
        memset(place, 0, 18 * SR_SECTOR_SIZE);
        flash_calls_fail(FLASH_READS, (sr_region_t){PLACE + sector * SR_SECTOR_SIZE, 1}, 0, 1);
        assert_int_equal(clear_20(), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), 1);
        assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
    }
}

/* Groups. */

/* A driver that protects what it was told to refuses the first erase: nothing of the group is lost yet. Later on there
 * is no way back. */
static void a_group_that_is_not_allowed_stays_as_it_is(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    sr_writer_sector_t sectors[3];
    for (uint32_t refused = 0; refused < 3; refused++) {
        prepare_guarded(content, sectors);
        flash_calls_fail(FLASH_ERASES, (sr_region_t){0}, refused, 1);
        flash_calls.err = ESP_ERR_NOT_ALLOWED;
        fixture.writer.failed_address = 0;
        assert_int_equal(sr_writer_put_group(&fixture.writer, sectors, 3), refused == 0 ? ESP_ERR_NOT_ALLOWED : ESP_OK);
        assert_int_equal(flash_calls_end(), refused == 0 ? 1 : 4);
        assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, refused == 0 ? 0 : 3);
        assert_true(refused != 0 || fixture.writer.failed_address == PLACE);
        assert_true(refused == 0 || memcmp(cells(), content, sizeof(content)) == 0);
    }
    /* Another error is another matter. */
    prepare_guarded(content, sectors);
    flash_calls_fail(FLASH_ERASES, (sr_region_t){0}, 0, 1);
    assert_int_equal(sr_writer_put_group(&fixture.writer, sectors, 3), ESP_OK);
    assert_int_equal(flash_calls_end(), 4);
}

/* It is compared again before it is programmed, when the others are there. */
static void a_sector_of_a_group_that_cannot_be_read_is_not_erased_with_the_others(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    static order_t order;
    sr_writer_sector_t sectors[3];
    prepare_guarded(content, sectors);
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    memset(content, 0x0F, SR_SECTOR_SIZE);
    memset(place, 0x1F, SR_SECTOR_SIZE); /* Wrong, and read to its end. */
    flash_calls_fail(FLASH_READS, (sr_region_t){PLACE, SR_SECTOR_SIZE}, 1, 1);
    nor_flash_set_observer(fixture.nor, remember, &order);
    assert_int_equal(sr_writer_put_group(&fixture.writer, sectors, 3), ESP_OK);
    nor_flash_set_observer(fixture.nor, NULL, NULL);
    (void)flash_calls_end();
    assert_memory_equal(cells(), content, sizeof(content));
    assert_int_equal(order.ops[0].address, PLACE + SR_SECTOR_SIZE);
    assert_int_equal(order.ops[order.count - 17].kind, NOR_OP_ERASE_SECTOR);
    assert_int_equal(order.ops[order.count - 17].address, PLACE);
}

/* The calls at the magic byte: the comparison, then its reads and writes while it is cleared, and so on. */
static void each_step_at_the_magic_byte_is_told(void **state)
{
    (void)state;
    static const struct {
        unsigned kind;
        uint32_t offset, from;
        bool erased; /**< By then there is no way back. */
    } steps[] = {{FLASH_READS, 0, 1, false},  {FLASH_WRITES, 0, 0, false}, {FLASH_READS, 0, 2, false},
                 {FLASH_WRITES, 1, 0, false}, {FLASH_WRITES, 0, 2, true},  {FLASH_READS, 0, 6, true}};
    static uint8_t content[3 * SR_SECTOR_SIZE];
    static uint8_t wanted[3 * SR_SECTOR_SIZE];
    sr_writer_sector_t sectors[3];
    for (size_t i = 0; i < 6 * 2; i++) {
        const uint32_t attempts = 1 + 2 * (uint32_t)(i % 2);
        const bool erased = steps[i / 2].erased;
        for (unsigned forever = 0; forever < 2; forever++) {
            const bool fails = forever != 0 || attempts == 1;
            prepare_guarded(content, sectors);
            memcpy(wanted, content, sizeof(wanted));
            fixture.writer.attempts = attempts;
            flash_calls_fail(steps[i / 2].kind, (sr_region_t){PLACE + steps[i / 2].offset, 1}, steps[i / 2].from,
                             forever != 0 ? FLASH_FOR_EVER : 1);
            assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), fails ? ESP_ERR_TIMEOUT : ESP_OK);
            const uint32_t made = flash_calls_end();
            assert_memory_equal(content, wanted, sizeof(content));
            assert_true(fails || memcmp(cells(), wanted, sizeof(wanted)) == 0);
            assert_int_equal(nor_flash_stats(fixture.nor).sector_erases != 0, erased || !fails);
            assert_true(!fails || fixture.writer.failed_address == PLACE);
            if (fails && !erased && steps[i / 2].from < 2) {
                assert_int_equal(made, steps[i / 2].from + attempts);
            }
        }
    }
}

/* Before anything is written, all are compared. */
static void a_guarded_group_that_cannot_be_read_stays_as_it_is(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    sr_writer_sector_t sectors[3];
    for (uint32_t read = 0; read < 3 * READS_OF_SECTOR; read++) {
        prepare_guarded(content, sectors);
        memcpy(nor_flash_bytes(fixture.nor) + PLACE, content, sizeof(content));
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), read + 1);
        assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
    }
}

/* Without a magic byte to clear, the first operation is an erase; whatever the byte behind it is, and whatever was read
 * last. */
static void a_magic_byte_is_cleared_unless_it_is_erased(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    static uint8_t wanted[3 * SR_SECTOR_SIZE];
    static const uint8_t magics[] = {0xE9, 0xFE, 0x00, 0xFF};
    for (unsigned i = 0; i < 4 * 2; i++) {
        order_t order = {.count = 0};
        sr_writer_sector_t sectors[3];
        prepare_guarded(content, sectors);
        uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
        memcpy(wanted, content, sizeof(wanted));
        memcpy(place, content, SR_SECTOR_SIZE); /* So what was read last lies in the second one. */
        place[0] = magics[i / 2];
        place[1] = i % 2 != 0 ? 0xFF : 0x00;
        content[1] = wanted[1] = i % 4 == 0 ? place[1] : content[1];
        memset(place + SR_SECTOR_SIZE, magics[i / 2] == 0xFF ? 0xE9 : 0xFF, SR_SECTOR_SIZE);
        nor_flash_set_observer(fixture.nor, remember, &order);
        assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_OK);
        nor_flash_set_observer(fixture.nor, NULL, NULL);
        assert_memory_equal(cells(), wanted, sizeof(wanted));
        assert_memory_equal(content, wanted, sizeof(wanted));
        const bool cleared = magics[i / 2] != 0xFF;
        assert_int_equal(order.ops[0].kind, cleared ? NOR_OP_PROGRAM : NOR_OP_ERASE_SECTOR);
        assert_true(!cleared || (order.ops[0].address == PLACE && order.ops[0].length == 1));
    }
}

/* That a header could be read in between is what it is for. */
static void no_magic(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    uint32_t *seen = context;
    (void)op;
    *seen += nor_flash_view(flash)[PLACE] == 0xE9;
}

/* Also if only the first sector of all is wrong. */
static void a_guarded_group_has_its_magic_byte_only_at_the_end(void **state)
{
    (void)state;
    static uint8_t content[3 * SR_SECTOR_SIZE];
    static uint8_t wanted[3 * SR_SECTOR_SIZE];
    sr_writer_sector_t sectors[3];
    for (uint32_t wrong = 0; wrong < 3; wrong++) {
        uint32_t seen = 0;
        prepare_guarded(content, sectors);
        memcpy(wanted, content, sizeof(wanted));
        memcpy(nor_flash_bytes(fixture.nor) + PLACE, content, sizeof(content));
        nor_flash_bytes(fixture.nor)[PLACE + wrong * SR_SECTOR_SIZE + 77] ^= 0xFF;
        nor_flash_set_observer(fixture.nor, no_magic, &seen);
        assert_int_equal(sr_writer_put_guarded(&fixture.writer, sectors, 3), ESP_OK);
        nor_flash_set_observer(fixture.nor, NULL, NULL);
        assert_int_equal(seen, 1);
        assert_memory_equal(cells(), wanted, sizeof(wanted));
    }
}

/* They have no entry in the table; the sector after the table is the first that may have one. */
static void bootloader_and_table_are_encrypted(void **state)
{
    (void)state;
    static const uint32_t encrypted[] = {0, 0x1000, 0x7FFF, 0x8000, 0x8FFF, 0x10000, PLACE};
    for (size_t i = 0; i < sizeof(encrypted) / sizeof(encrypted[0]); i++) {
        assert_true(sr_flash_encrypts(&fixture.flash, encrypted[i]));
    }
    assert_false(sr_flash_encrypts(&fixture.flash, 0x9000));
    assert_false(sr_flash_encrypts(&fixture.flash, 0xF000));
}

static void an_encrypted_sector_reads_back_as_plaintext(void **state)
{
    (void)state;
    use(0x333);
    assert_true(sr_flash_encrypts(&fixture.flash, PLACE));
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_memory_not_equal(cells(), fixture.data, 0x333);

    uint8_t plain[SR_SECTOR_SIZE];
    assert_int_equal(sr_flash_read(&fixture.flash, PLACE, plain, 0x340), ESP_OK);
    assert_memory_equal(plain, fixture.data, 0x340);
    for (uint32_t i = 0x340; i < SR_SECTOR_SIZE; i++) {
        assert_int_equal(cells()[i], 0xFF);
    }
    nor_flash_reset_stats(fixture.nor);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).operations, 0);
}

static void blank_image_bytes_are_encrypted_too(void **state)
{
    (void)state;
    memset(fixture.data, 0xFF, SR_SECTOR_SIZE);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).page_programs, SR_SECTOR_SIZE / 32); /* A row at a time. */
    use(0);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).sector_erases, 1);
    assert_int_equal(cells()[0], 0xFF);
}

/* With every length of the image: it reads back up to the end of its row, and what follows is blank cells. */
static void an_encrypted_sector_is_right_only_as_a_whole(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 1, 31, 32, 33, 255, 256, 257, 288, 289, 4064, 4065, 4096};
    uint8_t *place = nor_flash_bytes(fixture.nor) + PLACE;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t programmed = (lengths[i] + 31) / 32 * 32;
        memset(place, 0xFF, SR_SECTOR_SIZE);
        dummy_image_fill(fixture.data, SR_SECTOR_SIZE, 7);
        use(lengths[i]);
        expect_comparison(lengths[i] == 0, true, false);
        nor_flash_reset_stats(fixture.nor);
        assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
        assert_int_equal(nor_flash_stats(fixture.nor).bytes_programmed, programmed);
        expect_comparison(true, lengths[i] == 0, false);
        for (size_t at = 0; at < POSITIONS; at++) {
            place[positions[at]] ^= 0x20;
            expect_comparison(false, false, false);
            place[positions[at]] ^= 0x20;
        }
        for (uint32_t end = programmed; end < programmed + 2 && end < SR_SECTOR_SIZE; end++) {
            place[end] = 0x7F;
            expect_comparison(false, false, false);
            place[end] = 0xFF;
        }
    }
}

static void an_encrypted_sector_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    sr_writer_comparison_t comparison;
    use(0x333);
    assert_int_equal(sr_writer_put(&fixture.writer, &fixture.sector), ESP_OK);
    flash_calls_count(FLASH_READS, (sr_region_t){0});
    assert_int_equal(sr_writer_compare(&fixture.writer, &fixture.sector, &comparison), ESP_OK);
    assert_true(comparison.right);
    const uint32_t reads = flash_calls_end();
    assert_int_equal(reads, READS_OF_SECTOR + 4);
    for (uint32_t read = 0; read < reads; read++) {
        fixture.writer.failed_address = 0;
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(sr_writer_compare(&fixture.writer, &fixture.sector, &comparison), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), read + 1);
        assert_int_equal(fixture.writer.failed_address, PLACE);
    }
}

/* Nothing is programmed there: what is blank is blank cells. */
static void a_clear_leaves_erased_cells_on_an_encrypted_chip(void **state)
{
    (void)state;
    memset(nor_flash_bytes(fixture.nor) + PLACE, 0, 2 * SR_SECTOR_SIZE);
    assert_int_equal(sr_writer_clear(&fixture.writer, PLACE, 2, fixture.data), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture.nor).page_programs, 0);
    for (uint32_t i = 0; i < 2 * SR_SECTOR_SIZE; i++) {
        assert_int_equal(cells()[i], 0xFF);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_blank_sector_is_programmed_without_erase_and_without_blank_pages, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_sector_that_is_right_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dirty_sector_is_erased_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_half_programmed_sector_is_programmed_only_where_that_is_wanted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_changed_bit_anywhere_makes_a_sector_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(a_program_that_does_not_stick_is_retried_then_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(an_erase_that_times_out_hands_up_its_cause, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_loses_its_first_page_first_and_gets_it_last, setup, teardown),
        cmocka_unit_test_setup_teardown(a_guarded_group_loses_its_magic_byte_alone_and_gets_it_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_guarded_group_whose_magic_byte_does_not_go_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_guarded_group_with_a_dead_sector_is_given_up_without_its_magic_byte, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_magic_byte_is_verified_and_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clear_erases_no_sector_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(bootloader_and_table_are_encrypted, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(an_encrypted_sector_reads_back_as_plaintext, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(blank_image_bytes_are_encrypted_too, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(one_bit_anywhere_makes_a_sector_another_one, setup, teardown),
        cmocka_unit_test_setup_teardown(dirty_sectors_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sector_is_tried_as_often_as_was_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sector_that_cannot_be_read_back_is_not_taken_for_right, setup, teardown),
        cmocka_unit_test_setup_teardown(a_block_is_erased_as_often_as_was_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clear_erases_a_block_where_that_is_quicker, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clear_ends_with_the_first_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_that_is_not_allowed_stays_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sector_of_a_group_that_cannot_be_read_is_not_erased_with_the_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_step_at_the_magic_byte_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_guarded_group_that_cannot_be_read_stays_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_magic_byte_is_cleared_unless_it_is_erased, setup, teardown),
        cmocka_unit_test_setup_teardown(a_guarded_group_has_its_magic_byte_only_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(an_encrypted_sector_is_right_only_as_a_whole, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(an_encrypted_sector_that_cannot_be_read_is_told, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(a_clear_leaves_erased_cells_on_an_encrypted_chip, setup_encrypted, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
