// SPDX-License-Identifier: Apache-2.0
/** @file
 * Whether a recovery bootloader can stand in, and the copy that makes one: each reason, by itself. What that is good
 * for, test_recovery shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "recovery/sr_recovery.h"

#include "flash/sr_flash_reader.h"
#include "port/sr_yield.h"
#include "sim/chip/sim_state.h"
#include "test/support/support_c5.h"
#include "test/support/support_failing_search.h"
#include "test/support/api_support.h"
#include "test/support/support_small.h"

#define SECTOR   SR_SECTOR_SIZE
#define SIZE     SMALL_FLASH_SIZE
#define LOADER   0x2000u
#define ROOM     (SR_PARTITION_TABLE_OFFSET - LOADER)
#define SLOT     SMALL_SLOTS
#define RECOVERY 0xD0000u
#define SECTORS  3u /**< Of the bootloader that runs. */

static nor_flash_t *flash;
static sr_system_t sys;
static uint8_t future[SIZE]; /**< The flash as it will be. */
static uint8_t loader[ROOM], other_loader[ROOM], old_loader[ROOM];
static uint32_t loader_length;

/* What fails. */

static sr_region_t unreadable;        /**< Of the flash. */
static sr_region_t future_unreadable; /**< Of the flash as it will be. */
static uint32_t dead = UINT32_MAX;    /**< A sector that cannot be erased. */
static uint32_t yielded;

esp_err_t __real_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *out, uint32_t length)
{
    const esp_err_t err = __real_sr_flash_read(handle, address, out, length);
    return sr_region_overlaps(unreadable, (sr_region_t){address, length}) ? ESP_ERR_INVALID_RESPONSE : err;
}

esp_err_t __real_sr_flash_erase(const sr_flash_t *handle, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *handle, uint32_t address, uint32_t length);
esp_err_t __wrap_sr_flash_erase(const sr_flash_t *handle, uint32_t address, uint32_t length)
{
    return address == dead ? ESP_ERR_TIMEOUT : __real_sr_flash_erase(handle, address, length);
}

void __real_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes)
{
    yielded += bytes;
    __real_sr_yield(bytes);
}

static int read_future(void *context, uint32_t offset, void *buffer, size_t length)
{
    (void)context;
    assert_true(length > 0); /* Nobody asks for nothing, which not every source can give at its end. */
    memcpy(buffer, future + offset, length);
    return sr_region_overlaps(future_unreadable, (sr_region_t){offset, (uint32_t)length}) ? ESP_ERR_TIMEOUT : 0;
}

static const sr_reader_t after = {.read = read_future, .size = SIZE};

/* A chip. */

/* @return the length of the image. */
static uint32_t make_loader(uint8_t *out, unsigned sectors, uint32_t seed, uint16_t chip_id)
{
    static uint8_t code[ROOM];
    dummy_image_fill(code, sizeof(code), seed);
    return c5_put_loader(out, ROOM, sectors, chip_id, 0, code);
}

static void attach(bool recovered)
{
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32c5"), .revision = 100, .recovery = RECOVERY},
                                 .flash = flash,
                                 .running_app = SLOT,
                                 .recovered = recovered};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_system_read(&sys), ESP_OK);
    assert_int_equal(sys.recovery, RECOVERY);
}

static int setup(void **state)
{
    (void)state;
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    uint8_t *bytes = nor_flash_bytes(flash);
    loader_length = make_loader(old_loader, SECTORS, 10, 23);
    make_loader(loader, SECTORS + 1, 20, 23);
    make_loader(other_loader, SECTORS, 30, 23);
    memcpy(bytes + LOADER, old_loader, ROOM);
    c5_put_app(bytes + SLOT, "1");
    memset(bytes + RECOVERY, 0xFF, 2 * ROOM);
    memcpy(future, bytes, SIZE);
    memcpy(future + LOADER, loader, ROOM);
    attach(false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(flash);
    return 0;
}

/* Is the place found, and what is told if not? */

typedef struct allowed {
    bool yes;
    unsigned asked;
    sr_region_t room;
} allowed_t;

static allowed_t allowed;

static bool allow(void *context, sr_region_t room)
{
    allowed_t *answer = context;
    answer->asked++;
    answer->room = room;
    return answer->yes;
}

static sr_recovery_t find(char **log)
{
    allowed.asked = 0;
    api_log_start();
    const sr_recovery_t found = sr_recovery_find(&sys, &after, allow, &allowed);
    *log = api_log_stop();
    return found;
}

/* @param sectors Of the place. */
static void expect_found(uint32_t sectors, bool needs_copy)
{
    char *log;
    allowed.yes = true;
    const sr_recovery_t found = find(&log);
    if (found.place.address != RECOVERY || found.place.size != sectors * SECTOR || found.needs_copy != needs_copy) {
        fail_msg("%u sectors, copy: %d: %s", (unsigned)(found.place.size / SECTOR), (int)found.needs_copy, log);
    }
    assert_int_equal(allowed.asked, needs_copy);
    if (needs_copy) {
        assert_int_equal(allowed.room.address, RECOVERY);
        assert_int_equal(allowed.room.size, sectors * SECTOR);
    }
    assert_string_equal(log, "");
    free(log);
}

static void expect_not_used(const char *reason)
{
    char *log;
    const sr_recovery_t found = find(&log);
    if (found.place.size != 0 || found.needs_copy || strstr(log, reason) == NULL) {
        fail_msg("'%s' instead of '%s'", log, reason);
    }
    assert_true(reason[0] != '\0' || log[0] == '\0');
    free(log);
}

static void copy_of_the_bootloader_that_runs_is_made_where_it_may_be(void **state)
{
    (void)state;
    expect_found(SECTORS, true);
    allowed.yes = false;
    expect_not_used("other content goes there");
    assert_int_equal(allowed.asked, 1);
    sys.recovery = UINT32_MAX;
    expect_not_used("");
    assert_int_equal(allowed.asked, 0);
    sys.recovery = RECOVERY;
    sys.flash.encryption = true;
    expect_not_used("flash encryption is on");
    sys.flash.encryption = false;
}

static void bootloader_that_is_not_intact_is_not_copied(void **state)
{
    (void)state;
    uint8_t *at = nor_flash_bytes(flash) + LOADER;
    at[0x1800] ^= 1;
    expect_not_used("the bootloader that runs is not intact");
    at[0x1800] ^= 1;
    at[0] = 0;
    expect_not_used("the bootloader that runs is not intact");
    make_loader(at, SECTORS, 10, 13); /* For another chip. */
    expect_not_used("the bootloader that runs is not intact");
    memcpy(at, old_loader, ROOM);
    expect_found(SECTORS, true);
}

/* What lies behind the image in its last sector counts only if it is a signature. */
static void copy_of_all_that_counts_is_left_alone(void **state)
{
    (void)state;
    for (unsigned is_signed = 0; is_signed < 2; is_signed++) {
        const uint32_t sectors = SECTORS + is_signed;
        const uint32_t counts = is_signed ? sectors * SECTOR : loader_length;
        uint8_t *bytes = nor_flash_bytes(flash);
        if (is_signed) {
            memset(bytes + LOADER + SECTORS * SECTOR, 0x5A, SECTOR);
            bytes[LOADER + SECTORS * SECTOR] = 0xE7;
            bytes[LOADER + SECTORS * SECTOR + 1] = 2;
        }
        memcpy(future + RECOVERY, bytes + LOADER, ROOM);
        expect_found(sectors, false);
        const uint32_t places[] = {0x1000, loader_length - 1, loader_length, sectors * SECTOR - 1, sectors * SECTOR};
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            future[RECOVERY + places[i]] ^= 1;
            expect_found(sectors, places[i] < counts);
            future[RECOVERY + places[i]] ^= 1;
        }
    }
}

static void new_bootloader_stands_in_if_it_is_in_both_places_and_boots_today(void **state)
{
    (void)state;
    memcpy(future + RECOVERY, loader, ROOM);
    expect_found(SECTORS + 1, false);
    /* Its table is none of today's matters. */
    future[SR_PARTITION_TABLE_OFFSET] ^= 1;
    expect_found(SECTORS + 1, false);
    memcpy(future + RECOVERY, other_loader, ROOM);
    expect_found(SECTORS, true);
    memcpy(future + RECOVERY, loader, ROOM);
    future[RECOVERY + 0x1800] ^= 1; /* Nor if both are damaged. */
    future[LOADER + 0x1800] ^= 1;
    expect_found(SECTORS, true);
    future[RECOVERY + 0x1800] ^= 1;
    expect_found(SECTORS, true);
    future[LOADER + 0x1800] ^= 1;
    expect_found(SECTORS + 1, false);
    for (unsigned i = 0; i < 3; i++) {
        future_unreadable = i == 0   ? (sr_region_t){LOADER, ROOM}
                            : i == 1 ? (sr_region_t){RECOVERY, ROOM}
                                     : (sr_region_t){LOADER, SIZE - LOADER};
        char *log;
        const sr_recovery_t found = find(&log);
        free(log);
        future_unreadable = (sr_region_t){0};
        assert_true(found.needs_copy);
        assert_int_equal(found.place.size, SECTORS * SECTOR);
    }
    sim_heap_fail_at(1); /* For the check whether it boots. */
    const sr_recovery_t found = sr_recovery_find(&sys, &after, allow, &allowed);
    sim_heap_fail_at(0);
    assert_true(found.needs_copy);
    /* Nor if today's system goes past the flash that it knows of. */
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT, SMALL_SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_DATA, 0x82, SIZE, SECTOR, 0, "files"},
    };
    small_put_table(nor_flash_bytes(flash), entries, 2);
    expect_found(SECTORS, true);
}

/* Obstacles. */

static esp_partition_t *put_partition(unsigned type, uint32_t address, uint32_t size, const char *label)
{
    esp_partition_t *partition = &sim_state.partitions[sim_state.partition_count++];
    *partition = (esp_partition_t){.flash_chip = esp_flash_default_chip,
                                   .type = (esp_partition_type_t)type,
                                   .subtype = (esp_partition_subtype_t)2,
                                   .address = address,
                                   .size = size};
    strncpy(partition->label, label, sizeof(partition->label) - 1);
    return partition;
}

static void place_ends_with_the_flash_and_begins_after_the_table(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        const char *reason; /* NULL: it can be used. */
    } cases[] = {{SIZE - SECTORS * SECTOR, NULL},
                 {SIZE - (SECTORS - 1) * SECTOR, "extends past the end of flash"},
                 {0xFFE000, "extends past the end of flash"},
                 {0, "covers bootloader or partition table"},
                 {LOADER, "covers bootloader or partition table"},
                 {SR_PARTITION_TABLE_OFFSET, "covers bootloader or partition table"}};
    allowed.yes = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *log;
        sys.recovery = cases[i].address;
        if (cases[i].reason != NULL) {
            expect_not_used(cases[i].reason);
        } else {
            const sr_recovery_t found = find(&log);
            free(log);
            assert_int_equal(found.place.address, cases[i].address);
            assert_int_equal(found.place.size, SECTORS * SECTOR);
        }
    }
    sys.recovery = SR_PARTITION_TABLE_OFFSET + SECTOR; /* Where NVS is. */
    expect_not_used("lies in partition 'nvs'");
}

static void first_partition_in_the_way_is_named_and_one_for_bootloaders_is_none(void **state)
{
    (void)state;
    allowed.yes = true;
    const uint32_t count = sim_state.partition_count;
    put_partition(0x40, RECOVERY - SECTOR, SECTOR, "before");
    put_partition(0x40, RECOVERY + SECTORS * SECTOR, SECTOR, "behind");
    esp_partition_t *own = put_partition(SR_PARTITION_TYPE_BOOTLOADER, RECOVERY, ROOM, "recovery");
    expect_found(SECTORS, true);
    own->readonly = true; /* The driver would not write the copy. */
    expect_not_used("partition 'recovery' is flagged readonly");
    memcpy(future + RECOVERY, old_loader, ROOM);
    expect_found(SECTORS, false);
    memset(future + RECOVERY, 0xFF, ROOM);
    own->readonly = false;
    put_partition(0x40, RECOVERY + SECTORS * SECTOR - 1, SECTOR, "first");
    put_partition(0x40, RECOVERY, 1, "second");
    put_partition(0x40, 0xF0000, SECTOR, "elsewhere");
    expect_not_used("lies in partition 'first'");
    sim_state.partition_count = count;
    failing_search = ALL_SEARCHES;
    char *log;
    const sr_recovery_t found = find(&log);
    failing_search = 0;
    assert_int_equal(found.place.size, 0);
    assert_non_null(strstr(log, "no memory to search the partition table"));
    free(log);
}

/* Started from there. */

static void one_that_started_the_chip_stands_in_if_it_is_intact(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(flash);
    memcpy(bytes + RECOVERY, other_loader, ROOM);
    memset(bytes + LOADER, 0, SECTOR);
    attach(true);
    expect_found(SECTORS, false);
    bytes[RECOVERY + 0x1800] ^= 1;
    expect_not_used("it is not intact");
}

/* The same bytes. */

static void region_is_unchanged_if_each_byte_is(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 127, 128, 129, 256, 300};
    memcpy(future, nor_flash_view(flash), SIZE);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned at_end = 0; at_end < 2; at_end++) {
            const sr_region_t region = {at_end ? SIZE - sizes[i] : 0x5001, sizes[i]};
            const uint32_t places[] = {region.address - 1, region.address, region.address + sizes[i] / 2,
                                       region.address + sizes[i] - 1, region.address + sizes[i]};
            assert_true(sr_recovery_is_unchanged(&sys, &after, region));
            for (unsigned k = 0; k < 5 - at_end; k++) {
                const bool is_in = k > 0 && k < 4;
                future[places[k]] ^= 0x80;
                assert_int_equal(sr_recovery_is_unchanged(&sys, &after, region), !is_in);
                future[places[k]] ^= 0x80;
                unreadable = (sr_region_t){places[k], 1};
                assert_int_equal(sr_recovery_is_unchanged(&sys, &after, region), !is_in);
                unreadable = (sr_region_t){0};
                future_unreadable = (sr_region_t){places[k], 1};
                assert_int_equal(sr_recovery_is_unchanged(&sys, &after, region), !is_in);
                future_unreadable = (sr_region_t){0};
            }
        }
    }
    const sr_reader_t shorter = {.read = read_future, .size = SIZE - SECTOR};
    assert_true(sr_recovery_is_unchanged(&sys, &shorter, (sr_region_t){SIZE - 2 * SECTOR, SECTOR}));
    assert_false(sr_recovery_is_unchanged(&sys, &shorter, (sr_region_t){SIZE - 2 * SECTOR, SECTOR + 1}));
    sys.flash.size = SIZE - SECTOR;
    assert_false(sr_recovery_is_unchanged(&sys, &after, (sr_region_t){SIZE - 2 * SECTOR, SECTOR + 1}));
    sys.flash.size = SIZE;
    assert_false(sr_recovery_is_unchanged(&sys, &after, (sr_region_t){SIZE - 1, 2}));
}

/* The copy. */

static void copy_is_the_bootloader_and_no_more(void **state)
{
    (void)state;
    static uint8_t scratch[SECTOR];
    static uint8_t readback[SR_WRITER_READBACK_SIZE];
    sr_writer_t writer = {.flash = &sys.flash, .readback = readback, .attempts = 1};
    sr_recovery_t recovery = {.place = {RECOVERY, SECTORS * SECTOR}};
    uint8_t *bytes = nor_flash_bytes(flash);
    memset(bytes + RECOVERY, 0x5A, ROOM);
    uint8_t *before = small_copy(flash);
    assert_int_equal(sr_recovery_copy(&sys, &recovery, &writer, scratch), ESP_OK);
    small_assert_same(nor_flash_view(flash), before, 0, SIZE);
    recovery.needs_copy = true;
    for (uint32_t sector = 0; sector < SECTORS; sector++) {
        for (unsigned reading = 0; reading < 2; reading++) {
            memcpy(bytes, before, SIZE);
            unreadable = reading ? (sr_region_t){LOADER + sector * SECTOR, SECTOR} : unreadable;
            dead = reading ? dead : RECOVERY + sector * SECTOR;
            api_log_start();
            const esp_err_t err = sr_recovery_copy(&sys, &recovery, &writer, scratch);
            char *log = api_log_stop();
            unreadable = (sr_region_t){0};
            dead = UINT32_MAX;
            assert_int_equal(err, reading ? ESP_ERR_INVALID_RESPONSE : ESP_ERR_TIMEOUT);
            api_assert_error_line(log, "copy of the bootloader", NULL);
            free(log);
            small_assert_same(nor_flash_view(flash), before, RECOVERY + sector * SECTOR, SECTOR);
            assert_int_equal(bytes[RECOVERY + SECTORS * SECTOR - 1], 0x5A);
        }
    }
    yielded = 0;
    api_log_start();
    assert_int_equal(sr_recovery_copy(&sys, &recovery, &writer, scratch), ESP_OK);
    char *log = api_log_stop();
    assert_string_equal(log, "");
    free(log);
    memcpy(before + RECOVERY, old_loader, SECTORS * SECTOR);
    small_assert_same(nor_flash_view(flash), before, 0, SIZE);
    assert_int_equal(yielded, SECTORS * SR_YIELD_WRITE);
    free(before);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(copy_of_the_bootloader_that_runs_is_made_where_it_may_be),
        TEST(bootloader_that_is_not_intact_is_not_copied),
        TEST(copy_of_all_that_counts_is_left_alone),
        TEST(new_bootloader_stands_in_if_it_is_in_both_places_and_boots_today),
        TEST(place_ends_with_the_flash_and_begins_after_the_table),
        TEST(first_partition_in_the_way_is_named_and_one_for_bootloaders_is_none),
        TEST(one_that_started_the_chip_stands_in_if_it_is_intact),
        TEST(region_is_unchanged_if_each_byte_is),
        TEST(copy_is_the_bootloader_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
