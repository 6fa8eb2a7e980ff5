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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
