// SPDX-License-Identifier: Apache-2.0
/** @file
 * The way to the flash chip: what is encrypted, what is read in which pieces, and that each error of the driver is
 * told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flash/sr_flash.h"
#include "flash/sr_flash_reader.h"
#include "flash/sr_flash_size.h"
#include "format/sr_chip.h"
#include "port/sr_yield.h"
#include "test/support/support_cipher.h"
#include "test/support/support_flash_calls.h"
#include "test/support/support_small.h"

#include "esp_partition.h"

#define SECTOR    SR_SECTOR_SIZE
#define ENCRYPTED 0x20000u /**< A partition of two sectors; NVS in front of it and behind it is not encrypted. */
#define FIRST     0x9000u  /**< The first partition. */

static nor_flash_t *nor;
static sr_flash_t flash;
static bool no_memory;
static esp_err_t size_error;
static uint32_t physical_size;
static unsigned open_iterators, fed;

/* An iterator that runs out frees itself. */
esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    esp_partition_iterator_t it = no_memory ? NULL : __real_esp_partition_find(type, subtype, label);
    open_iterators += it != NULL;
    return it;
}

esp_partition_iterator_t __real_esp_partition_next(esp_partition_iterator_t it);
esp_partition_iterator_t __wrap_esp_partition_next(esp_partition_iterator_t it);
esp_partition_iterator_t __wrap_esp_partition_next(esp_partition_iterator_t it)
{
    esp_partition_iterator_t next = __real_esp_partition_next(it);
    open_iterators -= next == NULL;
    return next;
}

void __real_esp_partition_iterator_release(esp_partition_iterator_t it);
void __wrap_esp_partition_iterator_release(esp_partition_iterator_t it);
void __wrap_esp_partition_iterator_release(esp_partition_iterator_t it)
{
    open_iterators -= it != NULL;
    __real_esp_partition_iterator_release(it);
}

esp_err_t __real_esp_flash_get_size(esp_flash_t *chip, uint32_t *size);
esp_err_t __wrap_esp_flash_get_size(esp_flash_t *chip, uint32_t *size);
esp_err_t __wrap_esp_flash_get_size(esp_flash_t *chip, uint32_t *size)
{
    return size_error != ESP_OK ? size_error : __real_esp_flash_get_size(chip, size);
}

esp_err_t __wrap_esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *size);
esp_err_t __wrap_esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *size)
{
    assert_ptr_equal(chip, esp_flash_default_chip);
    *size = physical_size;
    return size_error;
}

static void attach(bool encryption)
{
    static const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, FIRST, SECTOR, 0, "nvs"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, 0x10000, 0x8000, 0, "app"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, ENCRYPTED - SECTOR, SECTOR, 0, "low"},
        {SR_PARTITION_TYPE_DATA, 0x99, ENCRYPTED, 2 * SECTOR, SR_PARTITION_FLAG_ENCRYPTED, "hidden"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, ENCRYPTED + 2 * SECTOR, SECTOR, 0, "high"},
    };
    nor = nor_flash_new(SMALL_FLASH_SIZE, nor_timing_find(NULL));
    assert_non_null(nor);
    dummy_image_fill(nor_flash_bytes(nor), SMALL_FLASH_SIZE, 5);
    small_put_table(nor_flash_bytes(nor), entries, 5);
    if (encryption) {
        support_encrypt(nor_flash_bytes(nor), SR_PARTITION_TABLE_OFFSET, SECTOR);
    }
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32"), .cipher = encryption ? support_cipher() : NULL},
        .flash = nor,
        .running_app = 0x10000,
        .quiet = true};
    assert_true(sim_chip_attach(&config));
    flash = (sr_flash_t){0};
    assert_int_equal(sr_flash_open(&flash), ESP_OK);
    assert_int_equal(flash.size, SMALL_FLASH_SIZE);
    assert_int_equal(flash.encryption, encryption);
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
    assert_int_equal(open_iterators, 0);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(nor);
    return 0;
}

/* What is encrypted. */

/** An address, and whether the chip encrypts there. */
typedef struct address_case {
    uint32_t address;
    bool encrypted;
} address_case_t;

static const address_case_t address_cases[] = {
    {0, true},
    {FIRST - 1, true}, /* The table. */
    {FIRST, false},
    {0xFFFF, false}, /* Of no partition. */
    {0x10000, true}, /* An app. */
    {0x17FFF, true},
    {0x18000, false},
    {ENCRYPTED - 1, false},
    {ENCRYPTED, true},
    {ENCRYPTED + 2 * SECTOR - 1, true},
    {ENCRYPTED + 2 * SECTOR, false},
    {SMALL_FLASH_SIZE - 1, false},
};
#define ADDRESS_CASES (sizeof(address_cases) / sizeof(address_cases[0]))

static void table_says_what_is_encrypted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ADDRESS_CASES; i++) {
        assert_int_equal(sr_flash_encrypts(&flash, address_cases[i].address), address_cases[i].encrypted);
        assert_int_equal(open_iterators, 0);
    }
    flash.everywhere = true;
    for (size_t i = 0; i < ADDRESS_CASES; i++) {
        assert_true(sr_flash_encrypts(&flash, address_cases[i].address));
    }
}

static void chip_without_encryption_encrypts_nothing(void **state)
{
    (void)state;
    for (unsigned everywhere = 0; everywhere < 2; everywhere++) {
        flash.everywhere = everywhere != 0;
        for (size_t i = 0; i < ADDRESS_CASES; i++) {
            assert_false(sr_flash_encrypts(&flash, address_cases[i].address));
        }
    }
}

/* What is not known is not taken for plain, and neither read nor written. */
static void without_memory_to_find_out_nothing_is_done(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    no_memory = true;
    assert_true(sr_flash_encrypts(&flash, FIRST));
    flash_calls_count(FLASH_ALL, (sr_region_t){0});
    assert_int_equal(sr_flash_read(&flash, FIRST, bytes, sizeof(bytes)), ESP_ERR_NO_MEM);
    assert_int_equal(sr_flash_write(&flash, FIRST, bytes, sizeof(bytes)), ESP_ERR_NO_MEM);
    assert_int_equal(flash_calls_end(), 0);
    /* The front is known. */
    assert_true(sr_flash_encrypts(&flash, FIRST - 1));
    assert_int_equal(sr_flash_read(&flash, FIRST - 32, bytes, sizeof(bytes)), ESP_OK);
    no_memory = false;
}

/* Another table than that of the running app. */
static void layout_says_what_is_encrypted_instead(void **state)
{
    (void)state;
    static const address_case_t cases[] = {{0, true},       {0x9FFF, true},   {0xA000, false},  {0x2FFFF, false},
                                           {0x30000, true}, {0x30FFF, true},  {0x31000, false}, {0x40000, true},
                                           {0x41FFF, true}, {0x42000, false}, {0x50000, true},  {0x51000, false}};
    sr_partition_table_t table = {.count = 5};
    table.entries[0] = (sr_partition_table_entry_t){.type = SR_PARTITION_TYPE_APP, .address = 0x30000, .size = SECTOR};
    table.entries[1] = (sr_partition_table_entry_t){
        .type = SR_PARTITION_TYPE_DATA, .subtype = SR_PARTITION_DATA_NVS, .address = 0x31000, .size = SECTOR};
    table.entries[2] = (sr_partition_table_entry_t){.type = SR_PARTITION_TYPE_DATA,
                                                    .subtype = 0x99,
                                                    .address = 0x40000,
                                                    .size = 2 * SECTOR,
                                                    .flags = SR_PARTITION_FLAG_ENCRYPTED};
    table.entries[3] = (sr_partition_table_entry_t){
        .type = SR_PARTITION_TYPE_DATA, .subtype = SR_PARTITION_DATA_OTA, .address = 0x50000, .size = SECTOR};
    table.entries[4] = table.entries[1];
    table.entries[5] = (sr_partition_table_entry_t){.type = SR_PARTITION_TYPE_APP, .address = 0x51000, .size = SECTOR};

    sim_heap_fail_at(1);
    assert_null(sr_flash_layout_of(&table, 0xA000));
    sr_flash_layout_free(NULL);
    flash.layout = sr_flash_layout_of(&table, 0xA000);
    assert_non_null(flash.layout);
    assert_int_equal(flash.layout->count, 3);
    assert_true(flash.layout->parts[0].is_app);
    assert_false(flash.layout->parts[1].is_app);
    assert_false(flash.layout->parts[2].is_app);
    no_memory = true; /* It need not be asked. */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sr_flash_encrypts(&flash, cases[i].address), cases[i].encrypted);
    }
    no_memory = false;
    sr_flash_layout_free(flash.layout);
}

/* Reading and writing. */

static void feed(void)
{
    fed++;
}

/** One operation at an address. */
typedef esp_err_t (*operation_t)(uint32_t address, uint8_t *bytes);

static esp_err_t read_plain(uint32_t address, uint8_t *bytes)
{
    return sr_flash_read(&flash, address, bytes, 64);
}

static esp_err_t read_raw(uint32_t address, uint8_t *bytes)
{
    return sr_flash_read_raw(&flash, address, bytes, 64);
}

static esp_err_t write_plain(uint32_t address, uint8_t *bytes)
{
    memset(nor_flash_bytes(nor) + address, 0xFF, 64);
    return sr_flash_write(&flash, address, bytes, 64);
}

static esp_err_t erase(uint32_t address, uint8_t *bytes)
{
    (void)bytes;
    return sr_flash_erase(&flash, address, SECTOR);
}

/* With and without encryption. */
static void each_operation_feeds_the_watchdog_once_and_tells_its_error(void **state)
{
    (void)state;
    static const operation_t operations[] = {read_plain, read_raw, write_plain, erase};
    static const uint32_t addresses[] = {FIRST, ENCRYPTED, ENCRYPTED + SECTOR};
    uint8_t bytes[64] = {0};
    for (size_t i = 0; i < 4 * 3; i++) {
        const operation_t operation = operations[i % 4];
        const uint32_t address = addresses[i / 4];
        for (unsigned fails = 0; fails < 2; fails++) {
            flash.feed = feed;
            fed = 0;
            flash_calls_fail(FLASH_ALL, (sr_region_t){0}, 0, fails);
            assert_int_equal(operation(address, bytes), fails != 0 ? ESP_ERR_TIMEOUT : ESP_OK);
            assert_int_equal(flash_calls_end(), 1);
            assert_int_equal(fed, 1);
            flash.feed = NULL;
            assert_int_equal(operation(address, bytes), ESP_OK);
            assert_int_equal(fed, 1);
        }
    }
}

static void each_operation_on_encrypted_flash_does_so_too(void **state)
{
    each_operation_feeds_the_watchdog_once_and_tells_its_error(state);
}

/* What one expects of a range, each sector by itself. */
static void expect_plain(uint32_t address, uint32_t length, const uint8_t *is)
{
    for (uint32_t i = 0; i < length;) {
        uint8_t sector[SECTOR];
        const uint32_t offset = (address + i) % SECTOR;
        const uint32_t start = address + i - offset;
        const uint32_t here = length - i < SECTOR - offset ? length - i : SECTOR - offset;
        memcpy(sector, nor_flash_view(nor) + start, SECTOR);
        if (sr_flash_encrypts(&flash, start)) {
            flash_cipher_decrypt(support_cipher(), start, sector, SECTOR);
        }
        assert_memory_equal(is + i, sector + offset, here);
        i += here;
    }
}

/* Across the ends of partitions, which an image may do. */
static void what_is_read_is_decrypted_where_it_is_encrypted(void **state)
{
    (void)state;
    static uint8_t bytes[4 * SECTOR + 1];
    static const uint32_t starts[] = {ENCRYPTED - SECTOR, ENCRYPTED - 1, ENCRYPTED, ENCRYPTED + 5, ENCRYPTED + SECTOR};
    static const uint32_t lengths[] = {0, 1, SECTOR - 5, SECTOR - 1, SECTOR, SECTOR + 1, 2 * SECTOR, 4 * SECTOR};
    for (size_t i = 0; i < 5 * 8; i++) {
        const uint32_t start = starts[i / 8];
        const uint32_t length = lengths[i % 8];
        const uint32_t pieces = length == 0 ? 0 : (start + length - 1) / SECTOR - start / SECTOR + 1;
        memset(bytes, 0xA5, sizeof(bytes));
        flash_calls_count(FLASH_READS, (sr_region_t){0});
        assert_int_equal(sr_flash_read(&flash, start, bytes, length), ESP_OK);
        assert_int_equal(flash_calls_end(), pieces);
        expect_plain(start, length, bytes);
        assert_int_equal(bytes[length], 0xA5);
        /* Each of them may fail, and ends it. */
        for (uint32_t piece = 0; piece < pieces; piece++) {
            flash_calls_fail(FLASH_READS, (sr_region_t){0}, piece, 1);
            assert_int_equal(sr_flash_read(&flash, start, bytes, length), ESP_ERR_TIMEOUT);
            assert_int_equal(flash_calls_end(), piece + 1);
        }
    }
    assert_int_equal(sr_flash_read_raw(&flash, ENCRYPTED - 1, bytes, 4 * SECTOR), ESP_OK);
    assert_memory_equal(bytes, nor_flash_view(nor) + ENCRYPTED - 1, 4 * SECTOR);
}

static void what_is_written_is_encrypted_where_the_chip_decrypts(void **state)
{
    (void)state;
    static const uint32_t places[] = {FIRST, ENCRYPTED - 64, ENCRYPTED, ENCRYPTED + 2 * SECTOR - 64,
                                      ENCRYPTED + 2 * SECTOR};
    uint8_t bytes[64];
    uint8_t read[64];
    dummy_image_fill(bytes, sizeof(bytes), 9);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        assert_int_equal(write_plain(places[i], bytes), ESP_OK);
        assert_int_equal(sr_flash_read(&flash, places[i], read, sizeof(read)), ESP_OK);
        assert_memory_equal(read, bytes, sizeof(bytes));
        const bool plain = memcmp(nor_flash_view(nor) + places[i], bytes, sizeof(bytes)) == 0;
        assert_int_equal(plain, !sr_flash_encrypts(&flash, places[i]));
    }
}

static void flash_that_does_not_tell_its_size_is_told(void **state)
{
    (void)state;
    size_error = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_flash_open(&flash), ESP_ERR_TIMEOUT);
    size_error = ESP_OK;
}

/* The reader. */

static void reader_keeps_the_last_error(void **state)
{
    (void)state;
    sr_flash_reader_window_t window = {.err = ESP_FAIL};
    const sr_reader_t reader = sr_flash_reader(&window, &flash, 0x11000, 2 * SECTOR);
    uint8_t bytes[100];
    assert_int_equal(reader.size, 2 * SECTOR);
    assert_int_equal(window.err, ESP_OK);
    assert_int_equal(reader.read(reader.context, 50, bytes, sizeof(bytes)), 0);
    assert_memory_equal(bytes, nor_flash_view(nor) + 0x11000 + 50, sizeof(bytes));
    assert_int_equal(window.err, ESP_OK);
    flash_calls_fail(FLASH_READS, (sr_region_t){0}, 0, 1);
    assert_int_not_equal(reader.read(reader.context, 50, bytes, sizeof(bytes)), 0);
    assert_int_equal(window.err, ESP_ERR_TIMEOUT);
    assert_int_equal(reader.read(reader.context, 50, bytes, sizeof(bytes)), 0);
    assert_int_equal(flash_calls_end(), 2);
    assert_int_equal(window.err, ESP_ERR_TIMEOUT);
}

/* Else a parser would keep the core busy until the watchdog bites. */
static void what_a_reader_reads_lets_the_idle_task_run(void **state)
{
    (void)state;
    static uint8_t bytes[SECTOR];
    sr_flash_reader_window_t window;
    const sr_reader_t reader = sr_flash_reader(&window, &flash, 0, SMALL_FLASH_SIZE);
    for (uint32_t offset = 0; offset < SMALL_FLASH_SIZE; offset += SECTOR) {
        assert_int_equal(reader.read(reader.context, offset, bytes, SECTOR), 0);
    }
    assert_in_range(sim_counters()->longest_work, SR_YIELD_BYTES / 2, SR_YIELD_BYTES);
}

/* Flash that the driver does not use. */

/** What the driver uses and what there is, and what is used then. */
typedef struct size_case {
    uint32_t used, physical;
    bool encryption;
    esp_err_t err;
    uint32_t expected;
} size_case_t;

#define MIB(count) ((count) << 20)

static const size_case_t size_cases[] = {
    {MIB(1u), MIB(4u), false, ESP_OK, MIB(4u)},        {MIB(4u), MIB(4u), false, ESP_OK, MIB(4u)},
    {MIB(4u), MIB(2u), false, ESP_OK, MIB(4u)},        {MIB(8u), MIB(16u), false, ESP_OK, MIB(16u)},
    {MIB(8u), MIB(32u), false, ESP_OK, MIB(16u)},      {MIB(16u), MIB(32u), false, ESP_OK, MIB(16u)},
    {MIB(32u), MIB(64u), false, ESP_OK, MIB(32u)},     {MIB(4u), MIB(8u), true, ESP_OK, MIB(4u)},
    {MIB(4u), MIB(8u), false, ESP_FAIL, MIB(4u)},      {MIB(4u), 0, false, ESP_OK, MIB(4u)},
    {MIB(16u) - 1, MIB(16u), false, ESP_OK, MIB(16u)},
};

static void all_flash_that_there_is_can_be_used_up_to_16_mib(void **state)
{
    (void)state;
    const uint32_t own = esp_flash_default_chip->size;
    for (size_t i = 0; i < sizeof(size_cases) / sizeof(size_cases[0]); i++) {
        const size_case_t *test = &size_cases[i];
        esp_flash_default_chip->size = test->used;
        flash.size = test->used;
        flash.encryption = test->encryption;
        physical_size = test->physical;
        size_error = test->err;
        sr_flash_size_extend(&flash);
        assert_int_equal(flash.size, test->expected);
        assert_int_equal(esp_flash_default_chip->size, test->expected);
        /* Once, and then it is the driver's own matter again. */
        sr_flash_size_restore();
        assert_int_equal(esp_flash_default_chip->size, test->used);
        esp_flash_default_chip->size = MIB(2u);
        sr_flash_size_restore();
        assert_int_equal(esp_flash_default_chip->size, MIB(2u));
    }
    size_error = ESP_OK;
    esp_flash_default_chip->size = own;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(table_says_what_is_encrypted, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(chip_without_encryption_encrypts_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_to_find_out_nothing_is_done, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(layout_says_what_is_encrypted_instead, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(each_operation_feeds_the_watchdog_once_and_tells_its_error, setup, teardown),
        cmocka_unit_test_setup_teardown(each_operation_on_encrypted_flash_does_so_too, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(what_is_read_is_decrypted_where_it_is_encrypted, setup_encrypted, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_encrypted_where_the_chip_decrypts, setup_encrypted,
                                        teardown),
        cmocka_unit_test_setup_teardown(flash_that_does_not_tell_its_size_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(reader_keeps_the_last_error, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_reader_reads_lets_the_idle_task_run, setup, teardown),
        cmocka_unit_test_setup_teardown(all_flash_that_there_is_can_be_used_up_to_16_mib, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
