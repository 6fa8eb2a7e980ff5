// SPDX-License-Identifier: Apache-2.0
/** @file
 * Where a temporary table may lead to, asked of the method alone, and what is told if the flash cannot be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flash/sr_boot_path_buffer.h"
#include "port/sr_yield.h"
#include "relocate/sr_relocation_methods.h"
#include "test/support/support_failing_search.h"
#include "test/support/support_small.h"

#include "esp_flash.h"
#include "esp_heap_caps.h"
#include "esp_log.h"

#define SECTOR  SR_SECTOR_SIZE
#define SECTORS (SMALL_FLASH_SIZE / SECTOR)
#define PLACE   0x40000u /**< The only room. */
#define NOWHERE UINT32_MAX
#define GUARD   16u /**< Bytes behind each piece of memory. */

static nor_flash_t *flash;
static uint32_t reads, failing_read; /**< Number of the read that fails, from 1; 0: none. */
static uint32_t reads_behind;        /**< In the sector behind the place. */
static uint32_t erases_fail;

/* Memory that is written past its end is noticed when it is freed. */
static size_t sizes[8];
static uint8_t *pieces[8];

void *__real_heap_caps_malloc(size_t size, uint32_t caps);
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps);
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps)
{
    uint8_t *piece = __real_heap_caps_malloc(size + GUARD, caps);
    for (unsigned i = 0; i < 8 && piece != NULL; i++) {
        if (pieces[i] == NULL) {
            pieces[i] = piece;
            sizes[i] = size;
            memset(piece, 0xA5, size + GUARD);
            break;
        }
    }
    return piece;
}

void __real_heap_caps_free(void *piece);
void __wrap_heap_caps_free(void *piece);
void __wrap_heap_caps_free(void *piece)
{
    for (unsigned i = 0; i < 8 && piece != NULL; i++) {
        if (pieces[i] == piece) {
            for (size_t byte = sizes[i]; byte < sizes[i] + GUARD; byte++) {
                assert_int_equal(pieces[i][byte], 0xA5);
            }
            pieces[i] = NULL;
        }
    }
    __real_heap_caps_free(piece);
}

/* In the sector of the table, so often. */
esp_err_t __real_esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t length);
esp_err_t __wrap_esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t length);
esp_err_t __wrap_esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t length)
{
    if (start == SR_PARTITION_TABLE_OFFSET && erases_fail > 0) {
        erases_fail--;
        return ESP_ERR_TIMEOUT;
    }
    return __real_esp_flash_erase_region(chip, start, length);
}

esp_err_t __real_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    reads_behind += address / SECTOR == (PLACE + SMALL_APP_SIZE) / SECTOR;
    return ++reads == failing_read ? ESP_ERR_TIMEOUT : __real_esp_flash_read(chip, buffer, address, length);
}

/* A factory app, and another app partition with something in it. */
static void open_chip(uint8_t subtype, uint8_t type, sr_system_t *system)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, SMALL_NVS, SMALL_NVS_SIZE, 0, "nvs"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SMALL_FACTORY, SMALL_SLOT_SIZE, 0, "factory"},
        {type, subtype, PLACE, SMALL_SLOT_SIZE, 0, "other"},
    };
    flash = small_flash_new(&(small_layout_t){.factory = true, .no_otadata = true});
    small_put_table(nor_flash_bytes(flash), entries, 3);
    small_app("1", nor_flash_bytes(flash) + SMALL_FACTORY);
    small_attach(flash, SMALL_FACTORY);
    assert_int_equal(sr_system_read(system), ESP_OK);
}

static void close_chip(void)
{
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(flash);
}

/* Nobody wants it, but it holds something. */
static unsigned classify(void *context, uint32_t address)
{
    (void)context;
    return address >= PLACE && address < PLACE + SMALL_SLOT_SIZE ? sr_relocation_temporary_table.room : 0;
}

static esp_err_t propose(const sr_system_t *system, sr_relocation_t *place)
{
    const sr_relocation_request_t request = {.system = system, .classify = classify};
    const sr_relocation_method_t *method = &sr_relocation_temporary_table;
    *place = (sr_relocation_t){.method = method, .address = UINT32_MAX};
    reads = 0;
    return method->propose(method, &request, place);
}

/* An update writes over those as well; another app is not given up for it. */
static void slots_are_open_and_other_partitions_are_not(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, subtype;
        bool open;
    } cases[] = {{SR_PARTITION_TYPE_APP, 0x10, true},   {SR_PARTITION_TYPE_APP, 0x11, true},
                 {SR_PARTITION_TYPE_APP, 0x1F, true},   {SR_PARTITION_TYPE_APP, 0x20, false},
                 {SR_PARTITION_TYPE_DATA, 0x82, false}, {SR_PARTITION_TYPE_DATA, 0x10, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_system_t system;
        sr_relocation_t place;
        open_chip(cases[i].subtype, cases[i].type, &system);
        assert_int_equal(propose(&system, &place), ESP_OK);
        assert_int_equal(place.missing, cases[i].open ? 0 : SMALL_APP_SIZE);
        close_chip();
    }
}

/* Each read in turn: a place that nobody could look at is none, and why is told. */
static void what_cannot_be_read_is_told(void **state)
{
    (void)state;
    sr_system_t system;
    sr_relocation_t place;
    open_chip(0x11, SR_PARTITION_TYPE_APP, &system);
    assert_int_equal(propose(&system, &place), ESP_OK);
    assert_int_equal(place.address, PLACE);
    assert_false(place.rejected);
    const uint32_t made = reads;
    assert_true(made > 10);
    for (uint32_t number = 1; number <= made; number++) {
        failing_read = number;
        const esp_err_t err = propose(&system, &place);
        failing_read = 0;
        assert_int_equal(err, ESP_ERR_TIMEOUT);
        assert_int_equal(place.address, UINT32_MAX);
    }
    close_chip();
}

/* Which sectors are room. */

static sr_system_t chip;
static unsigned rooms[SECTORS];

static unsigned classify_each(void *context, uint32_t address)
{
    assert_ptr_equal(context, rooms);
    assert_true(address < chip.flash.size);
    return rooms[address / SECTOR];
}

#define ROOM SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_LASTING
#define FREE ROOM | SR_RELOCATION_ROOM_FREE

static void give_room(uint32_t place, unsigned room)
{
    for (uint32_t i = 0; i < SMALL_APP_SIZE / SECTOR; i++) {
        rooms[place / SECTOR + i] = room;
    }
}

/* A factory app at 0x10000 in a partition of two blocks, and one other partition. No room anywhere. */
static void open_with(sr_partition_table_entry_t other)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, SMALL_NVS, SMALL_NVS_SIZE, 0, "nvs"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SMALL_FACTORY, 2 * SMALL_SLOT_SIZE, 0, "factory"},
        other,
    };
    flash = small_flash_new(&(small_layout_t){.factory = true, .no_otadata = true});
    small_put_table(nor_flash_bytes(flash), entries, other.size != 0 ? 3 : 2);
    small_app("1", nor_flash_bytes(flash) + SMALL_FACTORY);
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = SMALL_FACTORY};
    assert_true(sim_chip_attach(&config));
    esp_log_level_set("*", ESP_LOG_NONE);
    assert_int_equal(sr_system_read(&chip), ESP_OK);
    memset(rooms, 0, sizeof(rooms));
    searches = failing_search = 0;
}

static esp_err_t propose_each(sr_relocation_t *place)
{
    const sr_relocation_request_t request = {.system = &chip, .context = rooms, .classify = classify_each};
    const sr_relocation_method_t *method = &sr_relocation_temporary_table;
    *place = (sr_relocation_t){.method = method, .address = 77};
    reads = 0;
    return method->propose(method, &request, place);
}

/* So many sectors from there on. */
static void expect_room(uint32_t address, uint32_t sectors)
{
    sr_relocation_t place;
    assert_int_equal(propose_each(&place), ESP_OK);
    assert_int_equal(place.missing, SMALL_APP_SIZE - sectors * SECTOR);
    if (sectors < SMALL_APP_SIZE / SECTOR) {
        assert_int_equal(place.address, NOWHERE);
        assert_false(place.rejected);
    }
    if (sectors > 0) {
        assert_int_equal(place.room.address, address);
        assert_int_equal(place.room.size, sectors * SECTOR);
    }
}

static const sr_partition_table_entry_t no_partition;

/* Unless the caller says that nobody wants it. */
static void flash_of_no_partition_is_room_if_nothing_is_lost(void **state)
{
    (void)state;
    static const uint32_t offsets[] = {0, 1, 255, 256, SECTOR - 1, SECTOR, 2 * SECTOR, SMALL_APP_SIZE - 1};
    open_with(no_partition);
    uint8_t *place = nor_flash_bytes(flash) + PLACE;
    const uint8_t *app = nor_flash_view(flash) + SMALL_FACTORY;
    give_room(PLACE, ROOM);
    expect_room(PLACE, 0);
    give_room(PLACE, FREE);
    expect_room(PLACE, 3);
    give_room(PLACE, ROOM);
    memset(place, 0xFF, SMALL_APP_SIZE);
    expect_room(PLACE, 3);
    memcpy(place, app, SMALL_APP_SIZE); /* A copy that was complete. */
    expect_room(PLACE, 3);
    memset(place, 0xFF, SECTOR + 100); /* And one that was cut short, downwards. */
    expect_room(PLACE, 3);
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        memset(place, 0xFF, SMALL_APP_SIZE);
        place[offsets[i]] = (uint8_t)~app[offsets[i]];
        if (app[offsets[i]] == 0) { /* There, no bit can be lost. */
            nor_flash_bytes(flash)[SMALL_FACTORY + offsets[i]] = 0x81;
            place[offsets[i]] = 0x7E;
        }
        expect_room(PLACE, offsets[i] / SECTOR);
    }
    close_chip();
}

/** Another partition, and how much room is left at PLACE, where the flash is blank. */
typedef struct partition_case {
    sr_partition_table_entry_t entry;
    uint32_t sectors; /**< Of room. */
    uint32_t free;    /**< If the caller says that nobody wants what is there; then it is not blank. */
} partition_case_t;

#define DATA(address, size, flags)                                                                                     \
    {                                                                                                                  \
        SR_PARTITION_TYPE_DATA, 0x99, address, size, flags, "other"                                                    \
    }
#define APP(subtype, flags)                                                                                            \
    {                                                                                                                  \
        SR_PARTITION_TYPE_APP, subtype, PLACE, SMALL_SLOT_SIZE, flags, "other"                                         \
    }
#define LOCKED SR_PARTITION_FLAG_READ_ONLY

static const partition_case_t partition_cases[] = {
    {DATA(PLACE, SMALL_SLOT_SIZE, 0), 0, 3},
    {DATA(PLACE, SMALL_SLOT_SIZE, LOCKED), 0, 0},
    {DATA(PLACE, SECTOR, 0), 0, 3},
    {DATA(PLACE + SECTOR, SECTOR, 0), 1, 3},
    {DATA(PLACE + 2 * SECTOR, 9 * SECTOR, 0), 2, 3},
    {DATA(PLACE + 2 * SECTOR, SECTOR, LOCKED), 2, 2},
    {DATA(PLACE + 3 * SECTOR, SECTOR, LOCKED), 3, 3},
    {DATA(PLACE - SECTOR, SECTOR, LOCKED), 3, 3},
    {DATA(PLACE - SECTOR, 2 * SECTOR, LOCKED), 0, 0},
    {APP(SR_PARTITION_APP_OTA_0, 0), 3, 3},
    {APP(SR_PARTITION_APP_OTA_0, LOCKED), 0, 0},
    {APP(SR_PARTITION_APP_TEST, 0), 3, 3},
    {APP(SR_PARTITION_APP_TEST, LOCKED), 0, 0},
};

static void what_belongs_to_a_partition_is_kept_or_closed(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(partition_cases) / sizeof(partition_cases[0]); i++) {
        const partition_case_t *test = &partition_cases[i / 2];
        const bool is_free = i % 2 != 0;
        open_with(test->entry);
        if (!is_free) {
            memset(nor_flash_bytes(flash) + PLACE, 0xFF, SMALL_APP_SIZE);
        }
        give_room(PLACE, is_free ? FREE : ROOM);
        expect_room(PLACE, is_free ? test->free : test->sectors);
        close_chip();
    }
}

/* Behind the app, in its own partition. */
static void rest_of_the_running_partition_is_room(void **state)
{
    (void)state;
    open_with(no_partition);
    give_room(SMALL_FACTORY, FREE); /* The app itself is not. */
    expect_room(SMALL_FACTORY, 0);
    give_room(SMALL_FACTORY + SMALL_SLOT_SIZE, ROOM);
    expect_room(SMALL_FACTORY + SMALL_SLOT_SIZE, 3);
    give_room(SMALL_FACTORY + 2 * SMALL_SLOT_SIZE, ROOM); /* Of no partition. */
    give_room(SMALL_FACTORY + SMALL_SLOT_SIZE, 0);
    expect_room(0, 0);
    close_chip();
}

static void what_the_caller_needs_is_no_room(void **state)
{
    (void)state;
    static const unsigned others[] = {0, SR_RELOCATION_ROOM_OVERWRITABLE, SR_RELOCATION_ROOM_LASTING,
                                      SR_RELOCATION_ROOM_UNWANTED | SR_RELOCATION_ROOM_FREE};
    open_with(no_partition);
    for (uint32_t sector = 0; sector < 3; sector++) {
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            give_room(PLACE, FREE);
            rooms[PLACE / SECTOR + sector] = others[i];
            expect_room(PLACE, sector);
        }
    }
    close_chip();
}

/* Even if the caller says that nobody wants it. */
static void boot_path_is_no_room(void **state)
{
    (void)state;
    open_with(no_partition);
    const sr_boot_path_t path = chip.boot_path;
    sr_region_t *const parts[] = {&chip.boot_path.bootloader, &chip.boot_path.recovery, &chip.boot_path.otadata};
    memset(nor_flash_bytes(flash), 0xFF, SECTOR);
    give_room(0, FREE); /* In front of the bootloader. */
    expect_room(0, 0);
    give_room(0, 0);
    give_room(PLACE, FREE);
    for (uint32_t i = 0; i < 3 * 3; i++) {
        chip.boot_path = path;
        *parts[i / 3] = (sr_region_t){PLACE + i % 3 * SECTOR, SECTOR};
        expect_room(PLACE, i % 3);
    }
    for (uint32_t i = 0; i < 3; i++) {
        chip.boot_path = path;
        chip.boot_path.otadata = (sr_region_t){PLACE + 5, i};
        expect_room(PLACE, i == 0 ? 3 : 0);
    }
    chip.boot_path = path;
    chip.boot_path.table = (sr_region_t){PLACE - SECTOR, SECTOR};
    expect_room(PLACE, 3);
    chip.boot_path.table.address += SECTOR;
    expect_room(PLACE, 0);
    close_chip();
}

/* Whatever partition reaches past it. */
static void room_ends_with_the_flash(void **state)
{
    (void)state;
    static const sr_partition_table_entry_t others[] = {
        {0}, DATA(0xE0000, 0x20000, LOCKED), {SR_PARTITION_TYPE_APP, 0x10, 0xF0000, 0x10000, 0, "other"}};
    for (unsigned i = 0; i < 3; i++) {
        open_with(others[i]);
        memset(nor_flash_bytes(flash) + 0xF0000, 0xFF, 0x10000);
        for (uint32_t sectors = 4; sectors > 0; sectors--) {
            chip.flash.size = 0xF0000 + sectors * SECTOR;
            give_room(0xF0000, ROOM);
            expect_room(0xF0000, i == 1 ? 0 : sectors < 3 ? sectors : 3);
        }
        close_chip();
    }
}

/* From the first block on; of those with too little, the first one with most of it. */
static void first_place_with_room_is_taken(void **state)
{
    (void)state;
    sr_relocation_t place;
    open_with(no_partition);
    give_room(0xF0000, FREE);
    expect_room(0xF0000, 3);
    rooms[0xF0] = 0;
    rooms[0xE0] = rooms[0xB0] = FREE;
    expect_room(0xB0000, 1);
    rooms[0xC0] = rooms[0xC1] = rooms[0xD0] = rooms[0xD1] = FREE;
    expect_room(0xC0000, 2);
    give_room(0xA8000, FREE); /* Not at the beginning of a block. */
    expect_room(0xC0000, 2);
    give_room(0x90000, FREE);
    give_room(0x80000, FREE);
    expect_room(0x80000, 3);
    assert_int_equal(propose_each(&place), ESP_OK);
    assert_int_equal(place.address, 0x80000);
    assert_false(place.rejected);
    close_chip();
}

/* The table. */

static void expect_rejected(bool rejected)
{
    sr_relocation_t place;
    assert_int_equal(propose_each(&place), ESP_OK);
    assert_int_equal(place.missing, 0);
    assert_int_equal(place.rejected, rejected);
    assert_int_equal(place.address, rejected ? NOWHERE : PLACE);
}

/* Something else decides what boots, or nobody can tell. */
static void table_that_is_not_the_apps_to_change_stays(void **state)
{
    (void)state;
    open_with(no_partition);
    give_room(PLACE, FREE);
    expect_rejected(false);
    const uint32_t made = searches;
    chip.flash.encryption = true;
    expect_rejected(true);
    chip.flash.encryption = false;
    chip.secure_boot = SR_IMAGE_SECURE_BOOT_V2;
    expect_rejected(true);
    chip.secure_boot = SR_IMAGE_SECURE_BOOT_OFF;
    chip.boot_path.recovery = (sr_region_t){0xF0000, 1};
    expect_rejected(true);
    chip.boot_path.recovery.size = 0;
    expect_rejected(false);
    for (uint32_t number = 1; number <= made; number++) {
        sr_relocation_t place;
        searches = 0;
        failing_search = number;
        if (number < made) {
            assert_int_equal(propose_each(&place), ESP_ERR_NO_MEM);
        } else {
            expect_rejected(true);
        }
    }
    close_chip();
    open_with((sr_partition_table_entry_t)DATA(SR_PARTITION_TABLE_OFFSET, SECTOR, LOCKED));
    give_room(PLACE, FREE);
    expect_rejected(true);
    close_chip();
}

/* Each read of a place in turn, which has to be blank; what lies behind it is nobody's business. */
static void place_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    sr_relocation_t place;
    open_with(no_partition);
    give_room(PLACE, ROOM);
    memset(nor_flash_bytes(flash) + PLACE, 0xFF, SMALL_APP_SIZE + SECTOR);
    reads_behind = 0;
    rooms[(PLACE + SMALL_APP_SIZE) / SECTOR] = ROOM;
    expect_rejected(false);
    assert_int_equal(reads_behind, 0);
    const uint32_t made = reads;
    assert_true(made > SMALL_APP_SIZE / SECTOR * (1 + SECTOR / SR_WRITER_READBACK_SIZE));
    for (uint32_t number = 1; number <= made; number++) {
        failing_read = number;
        const esp_err_t err = propose_each(&place);
        failing_read = 0;
        assert_int_equal(err, ESP_ERR_TIMEOUT);
        assert_int_equal(place.address, NOWHERE);
    }
    close_chip();
}

/* With otadata, of which the first entry may select a slot. */
static void app_that_does_not_come_first_has_no_place(void **state)
{
    (void)state;
    for (uint32_t sequence = 0; sequence < 2; sequence++) {
        flash = small_flash_new(&(small_layout_t){.factory = true, .slots = 1, .sequences = {sequence, 0}});
        small_app("1", nor_flash_bytes(flash) + SMALL_FACTORY);
        small_app("2", nor_flash_bytes(flash) + SMALL_SLOTS);
        const sim_config_t config = {
            .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = SMALL_FACTORY, .quiet = true};
        assert_true(sim_chip_attach(&config));
        assert_int_equal(sr_system_read(&chip), ESP_OK);
        memset(rooms, 0, sizeof(rooms));
        give_room(PLACE, FREE);
        expect_rejected(sequence != 0);
        close_chip();
    }
}

static void app_without_a_size_has_no_place(void **state)
{
    (void)state;
    sr_relocation_t place;
    open_with(no_partition);
    give_room(PLACE, FREE);
    chip.boot_path.running_app.size = 0;
    assert_int_equal(propose_each(&place), ESP_OK);
    assert_int_equal(place.missing, UINT32_MAX);
    close_chip();
}

static void search_without_memory_is_told(void **state)
{
    (void)state;
    sr_relocation_t place;
    open_with(no_partition);
    give_room(PLACE, FREE);
    for (uint32_t number = 1; number <= 5; number++) {
        sim_heap_fail_at(number);
        assert_int_equal(propose_each(&place), number <= 4 ? ESP_ERR_NO_MEM : ESP_OK);
        sim_heap_fail_at(0);
        assert_int_equal(sim_counters()->heap_now, 0);
    }
    close_chip();
}

/* Of an app of 448 KiB. */
static void looking_lets_the_idle_task_run(void **state)
{
    (void)state;
    sr_relocation_t place;
    open_with(no_partition);
    memset(nor_flash_bytes(flash) + 0x80000, 0xFF, 0x70000);
    for (uint32_t i = 0x80; i < 0xF0; i++) {
        rooms[i] = ROOM;
    }
    chip.boot_path.running_app.size = 0x70000;
    chip.secure_boot = SR_IMAGE_SECURE_BOOT_V2; /* The table is not looked at. */
    sim_counters()->longest_work = 0;
    assert_int_equal(propose_each(&place), ESP_OK);
    assert_int_equal(place.missing, 0);
    assert_in_range(sim_counters()->longest_work, SR_YIELD_BYTES - 2 * SECTOR, SR_YIELD_BYTES);
    close_chip();
}

static void what_stands_against_it_is_told(void **state)
{
    (void)state;
    static const struct {
        bool encryption, secure_boot, brings_table, allowed, rejected;
        const char *text;
    } cases[] = {
        {false, false, true, true, false, NULL},
        {false, false, true, true, true, ", not with this bootloader"},
        {false, false, true, false, true, ", not allowed"},
        {false, false, false, true, false, ", not without a new table"},
        {true, false, true, true, false, ", not with flash encryption or Secure Boot"},
        {false, true, true, true, false, ", not with flash encryption or Secure Boot"},
        {true, true, false, false, true, ", not with flash encryption or Secure Boot"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sr_system_t system = {.flash.encryption = cases[i].encryption,
                                    .secure_boot =
                                        cases[i].secure_boot ? SR_IMAGE_SECURE_BOOT_V2 : SR_IMAGE_SECURE_BOOT_OFF};
        const sr_relocation_request_t request = {
            .system = &system, .brings_table = cases[i].brings_table, .allows_temporary_table = cases[i].allowed};
        const sr_relocation_t place = {.rejected = cases[i].rejected};
        const char *text = sr_relocation_temporary_table.why_not(&request, &place);
        assert_int_equal(text == NULL, cases[i].text == NULL);
        assert_true(text == NULL || strcmp(text, cases[i].text) == 0);
    }
}

/* Moving. */

static char events[16];
static bool may_commit_now;

static void note(char event)
{
    const size_t length = strlen(events);
    assert_true(length + 1 < sizeof(events));
    events[length] = event;
    events[length + 1] = '\0';
}

static bool may_commit(void *context)
{
    assert_ptr_equal(context, rooms);
    note('?');
    return may_commit_now;
}

static void on_commit(void *context, bool written)
{
    assert_ptr_equal(context, rooms);
    note(written ? 'w' : 'b');
}

static esp_err_t move_app(bool tells)
{
    const sr_relocation_request_t request = {.system = &chip,
                                             .context = rooms,
                                             .classify = classify_each,
                                             .may_commit = may_commit,
                                             .on_commit = tells ? on_commit : NULL};
    const sr_relocation_t place = {.method = &sr_relocation_temporary_table, .address = PLACE};
    events[0] = '\0';
    reads = 0;
    const esp_err_t err = sr_relocation_execute(&request, &place);
    assert_int_equal(sim_counters()->heap_now, 0);
    return err;
}

static void open_to_move(void)
{
    open_with(no_partition);
    memset(nor_flash_bytes(flash) + PLACE, 0xFF, SMALL_APP_SIZE);
    nor_flash_reset_stats(flash);
    may_commit_now = true;
}

static void close_moved(uint32_t app)
{
    small_assert_boots(flash, false, app);
    assert_memory_equal(nor_flash_view(flash) + app, nor_flash_view(flash) + SMALL_FACTORY, SMALL_APP_SIZE);
    nor_flash_reset_stats(flash);
    close_chip();
}

static void app_moves_and_its_table_follows(void **state)
{
    (void)state;
    for (unsigned tells = 0; tells < 2; tells++) {
        open_to_move();
        assert_int_equal(move_app(tells != 0), ESP_OK);
        assert_string_equal(events, tells != 0 ? "?bw" : "?");
        assert_int_equal(nor_flash_stats(flash).sector_erases, 1); /* The table; what is blank stays without. */
        close_moved(PLACE);
    }
    open_to_move();
    may_commit_now = false;
    assert_int_equal(move_app(true), ESP_ERR_SELF_REFLASHER_NOT_NOW);
    assert_string_equal(events, "?");
    assert_int_equal(nor_flash_stats(flash).sector_erases, 0);
    assert_memory_equal(nor_flash_view(flash) + PLACE, nor_flash_view(flash) + SMALL_FACTORY, SMALL_APP_SIZE);
    close_moved(SMALL_FACTORY);
}

static void step_that_fails_is_told_and_the_old_table_stays(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= 5; number++) { /* Workspace, buffer, and what two checks of the table need. */
        open_to_move();
        sim_heap_fail_at(number);
        assert_int_equal(move_app(true), number <= 4 ? ESP_ERR_NO_MEM : ESP_OK);
        sim_heap_fail_at(0);
        assert_string_equal(events, number == 1 ? "" : number <= 4 ? "?bb" : "?bw");
        close_moved(number <= 4 ? SMALL_FACTORY : PLACE);
    }
    open_to_move(); /* The copy. */
    nor_flash_set_faults(flash, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = PLACE});
    assert_int_equal(move_app(true), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_string_equal(events, "");
    nor_flash_set_faults(flash, (nor_faults_t){0});
    close_moved(SMALL_FACTORY);
    open_to_move(); /* The sector of the table. */
    erases_fail = SR_BOOT_PATH_BUFFER_ATTEMPTS;
    assert_int_equal(move_app(true), ESP_ERR_TIMEOUT);
    assert_int_equal(erases_fail, 0);
    assert_string_equal(events, "?bb");
    assert_int_equal(nor_flash_stats(flash).sector_erases, 0);
    close_moved(SMALL_FACTORY);
    open_to_move();
    erases_fail = SR_BOOT_PATH_BUFFER_ATTEMPTS - 1;
    assert_int_equal(move_app(true), ESP_OK);
    close_moved(PLACE);
}

/* The table is damaged by now, which a new MD5 would hide, or the app has no entry in it. */
static void app_that_would_not_start_there_stays(void **state)
{
    (void)state;
    static const uint32_t damaged[] = {0, 5, SR_PARTITION_ENTRY_SIZE + 20, 2 * SR_PARTITION_ENTRY_SIZE + 16};
    for (size_t i = 0; i < 5; i++) {
        open_to_move();
        if (i < 4) {
            nor_flash_bytes(flash)[SR_PARTITION_TABLE_OFFSET + damaged[i]] ^= 1;
        } else {
            chip.running_partition.address += SECTOR;
        }
        uint8_t *before = small_copy(flash);
        assert_int_equal(move_app(true), ESP_ERR_INVALID_STATE);
        assert_string_equal(events, "?bb");
        small_assert_same(nor_flash_view(flash), before, SR_PARTITION_TABLE_OFFSET, SECTOR);
        free(before);
        nor_flash_reset_stats(flash);
        close_chip();
    }
}

/* Each read in turn. Of what is copied, or read back, another attempt is made: then all is as without it. */
static void table_is_written_only_as_a_whole_and_as_it_was_checked(void **state)
{
    (void)state;
    uint32_t told = 0;
    open_to_move();
    assert_int_equal(move_app(true), ESP_OK);
    const uint32_t made = reads;
    close_moved(PLACE);
    for (uint32_t number = 1; number <= made; number++) {
        open_to_move();
        failing_read = number;
        const esp_err_t err = move_app(true);
        failing_read = 0;
        assert_true(err == ESP_OK || err == ESP_ERR_TIMEOUT);
        told += err != ESP_OK;
        close_moved(err == ESP_OK ? PLACE : SMALL_FACTORY);
    }
    assert_true(told > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_open_and_other_partitions_are_not),
        cmocka_unit_test(what_cannot_be_read_is_told),
        cmocka_unit_test(flash_of_no_partition_is_room_if_nothing_is_lost),
        cmocka_unit_test(what_belongs_to_a_partition_is_kept_or_closed),
        cmocka_unit_test(rest_of_the_running_partition_is_room),
        cmocka_unit_test(what_the_caller_needs_is_no_room),
        cmocka_unit_test(boot_path_is_no_room),
        cmocka_unit_test(room_ends_with_the_flash),
        cmocka_unit_test(first_place_with_room_is_taken),
        cmocka_unit_test(table_that_is_not_the_apps_to_change_stays),
        cmocka_unit_test(place_that_cannot_be_read_is_told),
        cmocka_unit_test(app_that_does_not_come_first_has_no_place),
        cmocka_unit_test(app_without_a_size_has_no_place),
        cmocka_unit_test(search_without_memory_is_told),
        cmocka_unit_test(looking_lets_the_idle_task_run),
        cmocka_unit_test(what_stands_against_it_is_told),
        cmocka_unit_test(app_moves_and_its_table_follows),
        cmocka_unit_test(step_that_fails_is_told_and_the_old_table_stays),
        cmocka_unit_test(app_that_would_not_start_there_stays),
        cmocka_unit_test(table_is_written_only_as_a_whole_and_as_it_was_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
