// SPDX-License-Identifier: Apache-2.0
/** @file
 * Each method of relocation by itself: what room it takes, what it tells if there is none, and that the error of each
 * of its steps is handed up. The copy of the app, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "port/sr_yield.h"
#include "relocate/sr_app_copy.h"
#include "relocate/sr_app_selection.h"
#include "relocate/sr_relocation_methods.h"
#include "test/support/support_failing_search.h"
#include "test/support/support_flash_calls.h"
#include "test/support/support_small.h"

#include "esp_log.h"

#define SECTOR      SR_SECTOR_SIZE
#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define SECTORS     (SMALL_FLASH_SIZE / SECTOR)
#define NOWHERE     UINT32_MAX
#define APP_SECTORS (SMALL_APP_SIZE / SECTOR)

static nor_flash_t *flash;
static uint8_t *before;
static sr_system_t chip;
static unsigned rooms[SECTORS];
static uint32_t classified;
static esp_err_t write_error;
static unsigned writes;
static sr_relocation_request_t request;
static sr_copy_workspace_t workspace;
static char told[512];

/* Steps, of which one fails. */

static char steps[16];
static char failing_step;
static bool is_selected, is_there;

static esp_err_t take_step(char step)
{
    const size_t length = strlen(steps);
    assert_true(length + 1 < sizeof(steps));
    steps[length] = step;
    steps[length + 1] = '\0';
    return step == failing_step ? ESP_ERR_TIMEOUT : ESP_OK;
}

esp_err_t __wrap_sr_app_selection_is(const sr_system_t *system, const esp_partition_t *slot, bool *selected);
esp_err_t __wrap_sr_app_selection_is(const sr_system_t *system, const esp_partition_t *slot, bool *selected)
{
    assert_ptr_equal(system, &chip);
    assert_int_equal(slot->address, SLOT(1));
    *selected = is_selected;
    return take_step('i');
}

esp_err_t __real_sr_app_copy_is_there(const sr_system_t *system, uint32_t address, sr_copy_workspace_t *buffers,
                                      bool *there);
esp_err_t __wrap_sr_app_copy_is_there(const sr_system_t *system, uint32_t address, sr_copy_workspace_t *buffers,
                                      bool *there);
esp_err_t __wrap_sr_app_copy_is_there(const sr_system_t *system, uint32_t address, sr_copy_workspace_t *buffers,
                                      bool *there)
{
    (void)system;
    assert_non_null(buffers);
    assert_int_equal(address, SLOT(1));
    *there = is_there;
    return take_step('t');
}

esp_err_t __wrap_sr_app_selection_keep(const sr_system_t *system, sr_copy_workspace_t *buffers);
esp_err_t __wrap_sr_app_selection_keep(const sr_system_t *system, sr_copy_workspace_t *buffers)
{
    assert_ptr_equal(system, &chip);
    assert_non_null(buffers);
    return take_step('k');
}

esp_err_t __real_sr_app_copy(const sr_system_t *system, uint32_t address, bool program_only,
                             sr_copy_workspace_t *buffers);
esp_err_t __wrap_sr_app_copy(const sr_system_t *system, uint32_t address, bool program_only,
                             sr_copy_workspace_t *buffers);
esp_err_t __wrap_sr_app_copy(const sr_system_t *system, uint32_t address, bool program_only,
                             sr_copy_workspace_t *buffers)
{
    (void)system;
    assert_non_null(buffers);
    assert_false(program_only);
    assert_int_equal(address, SLOT(1));
    return take_step('c');
}

esp_err_t __wrap_sr_app_selection_set(const sr_system_t *system, const esp_partition_t *slot,
                                      sr_copy_workspace_t *buffers);
esp_err_t __wrap_sr_app_selection_set(const sr_system_t *system, const esp_partition_t *slot,
                                      sr_copy_workspace_t *buffers)
{
    (void)system;
    assert_non_null(buffers);
    assert_int_equal(slot->address, SLOT(1));
    return take_step('s');
}

/* What was logged last. */
static char logged[256];

void __wrap_esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...);
void __wrap_esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...)
{
    va_list arguments;
    (void)level;
    (void)tag;
    va_start(arguments, format);
    (void)vsnprintf(logged, sizeof(logged), format, arguments);
    va_end(arguments);
}

static unsigned classify(void *context, uint32_t address)
{
    assert_ptr_equal(context, rooms);
    assert_int_equal(address % SECTOR, 0);
    assert_true(address < chip.flash.size);
    classified++;
    return rooms[address / SECTOR];
}

static esp_err_t write_target(void *context)
{
    assert_ptr_equal(context, rooms);
    writes++;
    return write_error;
}

/* An app in the first slot, or in the factory partition; every sector may be taken. */
static void open_table(const sr_partition_table_entry_t *entries, unsigned count, uint32_t running_app)
{
    flash = small_flash_new(&(small_layout_t){.slots = 1, .sequences = {1, 0}});
    small_put_table(nor_flash_bytes(flash), entries, count);
    small_app("1", nor_flash_bytes(flash) + running_app);
    before = small_copy(flash);
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = running_app};
    assert_true(sim_chip_attach(&config));
    assert_int_equal(sr_system_read(&chip), ESP_OK);
    assert_int_equal(chip.boot_path.running_app.size, SMALL_APP_SIZE);
    nor_flash_reset_stats(flash);
    for (uint32_t i = 0; i < SECTORS; i++) {
        rooms[i] = SR_RELOCATION_ROOM_UNWANTED | SR_RELOCATION_ROOM_OVERWRITABLE;
    }
    request = (sr_relocation_request_t){.system = &chip, .context = rooms, .classify = classify, .write = write_target};
    steps[0] = failing_step = '\0';
    is_selected = is_there = false;
    classified = searches = failing_search = writes = 0;
    write_error = ESP_OK;
    memset(told, 0, sizeof(told));
}

static void close_chip(void)
{
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
    nor_flash_delete(flash);
    free(before);
}

static void open_layout(const small_layout_t *layout, uint32_t running_app)
{
    sr_partition_table_entry_t entries[8];
    open_table(entries, small_table(layout, entries), running_app);
}

static void open_slots(void)
{
    open_layout(&(small_layout_t){.slots = 4}, SLOT(0));
}

static esp_err_t propose(const sr_relocation_method_t *method, sr_relocation_t *proposal)
{
    *proposal = (sr_relocation_t){.method = method, .address = NOWHERE};
    return method->propose(method, &request, proposal);
}

/* A slot. */

static void expect_slot(const sr_relocation_method_t *method, uint32_t address)
{
    sr_relocation_t proposal;
    assert_int_equal(propose(method, &proposal), ESP_OK);
    assert_int_equal(proposal.address, address);
    assert_int_equal(proposal.missing, 0);
    assert_int_equal(proposal.slot->address, address);
    assert_true(method->why_not == NULL || method->why_not(&request, &proposal) == NULL);
}

/* What the app needs of the room that there is, in the slot with most of it. */
static void expect_missing(const sr_relocation_method_t *method, uint32_t missing, uint32_t address)
{
    sr_relocation_t proposal;
    assert_int_equal(propose(method, &proposal), ESP_OK);
    assert_int_equal(proposal.address, NOWHERE);
    assert_int_equal(proposal.missing, missing);
    assert_true(missing == NOWHERE || proposal.room.address == address);
    assert_true(missing == NOWHERE || proposal.room.size == SMALL_APP_SIZE - missing);
    if (method->why_not != NULL) {
        const char *against = method->why_not(&request, &proposal);
        assert_int_equal(against != NULL, missing == NOWHERE);
        assert_true(against == NULL || strcmp(against, ": none that could be selected") == 0);
    }
}

static const sr_relocation_method_t *const slot_methods[] = {&sr_relocation_slot, &sr_relocation_slot_over_blanks};

static void first_slot_with_room_for_the_app_is_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const sr_relocation_method_t *method = slot_methods[i];
        const unsigned wanted = method->room;
        open_slots();
        expect_slot(method, SLOT(1));
        /* Whatever it is besides, and whatever lies behind it. */
        rooms[SLOT(1) / SECTOR] = wanted | SR_RELOCATION_ROOM_FREE;
        rooms[SLOT(1) / SECTOR + APP_SECTORS] = 0;
        expect_slot(method, SLOT(1));
        for (uint32_t sector = 0; sector < APP_SECTORS; sector++) {
            rooms[SLOT(1) / SECTOR + sector] = ~wanted;
            expect_slot(method, SLOT(2));
            rooms[SLOT(1) / SECTOR + sector] = wanted;
        }
        rooms[SLOT(1) / SECTOR + 1] = 0;
        rooms[SLOT(2) / SECTOR + 2] = 0;
        expect_slot(method, SLOT(3));
        rooms[SLOT(3) / SECTOR + 2] = 0;
        expect_missing(method, SECTOR, SLOT(2)); /* The first one of those with most. */
        rooms[SLOT(2) / SECTOR] = 0;
        expect_missing(method, SECTOR, SLOT(3));
        rooms[SLOT(3) / SECTOR + 1] = 0;
        expect_missing(method, 2 * SECTOR, SLOT(1));
        close_chip();
        open_layout(&(small_layout_t){.slots = 1, .factory = true}, SMALL_FACTORY);
        expect_slot(method, SLOT(0));
        close_chip();
    }
}

/* One of several things that stand against the second slot, and then it is the third. */
static void slot_that_cannot_take_the_app_is_left_out(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[8];
    const unsigned count = small_table(&(small_layout_t){.slots = 3}, entries);
    for (unsigned i = 0; i < 5; i++) {
        entries[3].flags = i == 1 ? SR_PARTITION_FLAG_READ_ONLY : 0;
        entries[3].size = i == 2 ? SMALL_APP_SIZE - SECTOR : SMALL_SLOT_SIZE;
        entries[3].address = i == 3 ? SLOT(4) : SLOT(1);
        open_table(entries, count, SLOT(0));
        if (i == 3) {
            chip.flash.size = SLOT(4) + SMALL_APP_SIZE - 1;
        } else if (i == 4) {
            chip.boot_path.recovery = (sr_region_t){SLOT(1) + SMALL_APP_SIZE - SECTOR, SECTOR};
        }
        expect_slot(&sr_relocation_slot, i == 0 ? SLOT(1) : SLOT(2));
        if (i == 2) {
            rooms[SLOT(2) / SECTOR] = 0;
            expect_missing(&sr_relocation_slot, SECTOR, SLOT(1));
        } else if (i == 3) {
            chip.flash.size++;
            expect_slot(&sr_relocation_slot, SLOT(4));
        } else if (i == 4) {
            chip.boot_path.recovery.address += SECTOR;
            expect_slot(&sr_relocation_slot, SLOT(1));
        }
        close_chip();
    }
}

static void without_otadata_that_selects_there_is_no_slot(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const sr_relocation_method_t *method = slot_methods[i];
        open_slots();
        for (uint32_t size = 0; size <= 3 * SECTOR; size += SECTOR / 2) {
            chip.boot_path.otadata.size = size;
            if (size < 2 * SECTOR) {
                expect_missing(method, NOWHERE, 0);
            } else {
                expect_slot(method, SLOT(1));
            }
        }
        chip.boot_path.running_app.size = 0;
        expect_missing(method, NOWHERE, 0);
        close_chip();
        sr_partition_table_entry_t entries[8];
        const unsigned count = small_table(&(small_layout_t){.slots = 3}, entries);
        entries[count - 1].subtype++; /* A gap in the numbers. */
        open_table(entries, count, SLOT(0));
        expect_missing(method, NOWHERE, 0);
        close_chip();
        entries[count - 1].subtype--;
        entries[1].flags = SR_PARTITION_FLAG_READ_ONLY;
        open_table(entries, count, SLOT(0));
        expect_missing(method, NOWHERE, 0);
        close_chip();
        open_layout(&(small_layout_t){.slots = 1}, SLOT(0));
        expect_missing(method, NOWHERE, 0);
        close_chip();
    }
}

static void table_that_cannot_be_searched_is_told(void **state)
{
    (void)state;
    sr_relocation_t proposal;
    open_slots();
    assert_int_equal(propose(&sr_relocation_slot, &proposal), ESP_OK);
    const uint32_t made = searches;
    assert_int_equal(made, 2);
    for (uint32_t number = 1; number <= made; number++) {
        searches = 0;
        failing_search = number;
        assert_int_equal(propose(&sr_relocation_slot, &proposal), ESP_ERR_NO_MEM);
        assert_int_equal(proposal.address, NOWHERE);
    }
    close_chip();
}

/** Steps of a move, and what comes of it. */
typedef struct move_case {
    char failing_step;
    bool selected, there;
    const char *steps;
    esp_err_t err;
} move_case_t;

static const move_case_t move_cases[] = {
    {0, false, false, "ikcs", ESP_OK},
    {0, false, true, "ikcs", ESP_OK},
    {0, true, false, "itkcs", ESP_OK},
    {0, true, true, "it", ESP_ERR_INVALID_STATE},
    {'i', false, false, "i", ESP_ERR_TIMEOUT},
    {'i', true, true, "i", ESP_ERR_TIMEOUT},
    {'t', true, false, "it", ESP_ERR_TIMEOUT},
    {'t', true, true, "it", ESP_ERR_TIMEOUT},
    {'k', false, false, "ik", ESP_ERR_TIMEOUT},
    {'c', false, false, "ikc", ESP_ERR_TIMEOUT},
    {'s', false, false, "ikcs", ESP_ERR_TIMEOUT},
};

/* Nothing selects the copy before it is there; and that it was done in vain before is told. */
static void steps_of_a_move_end_with_the_first_error(void **state)
{
    (void)state;
    open_slots();
    for (size_t i = 0; i < sizeof(move_cases) / sizeof(move_cases[0]); i++) {
        const move_case_t *test = &move_cases[i];
        sr_relocation_t proposal;
        assert_int_equal(propose(&sr_relocation_slot, &proposal), ESP_OK);
        steps[0] = logged[0] = '\0';
        failing_step = test->failing_step;
        is_selected = test->selected;
        is_there = test->there;
        assert_int_equal(sr_relocation_execute(&request, &proposal), test->err);
        assert_string_equal(steps, test->steps);
        assert_int_equal(strstr(logged, "already and selected") != NULL, test->err == ESP_ERR_INVALID_STATE);
        assert_int_equal(sim_counters()->heap_now, 0);
        sim_heap_fail_at(1);
        steps[0] = '\0';
        assert_int_equal(sr_relocation_execute(&request, &proposal), ESP_ERR_NO_MEM);
        assert_string_equal(steps, "");
    }
    close_chip();
}

/* Where nothing moves. */

static void writing_where_the_app_is_hands_up_its_result(void **state)
{
    (void)state;
    static const sr_relocation_method_t *const methods[] = {&sr_relocation_stay, &sr_relocation_in_place};
    open_slots();
    for (unsigned i = 0; i < 4; i++) {
        const sr_relocation_t proposal = {.method = methods[i % 2]};
        write_error = i < 2 ? ESP_OK : ESP_ERR_TIMEOUT;
        assert_int_equal(sr_relocation_execute(&request, &proposal), write_error);
        assert_int_equal(writes, i + 1);
    }
    close_chip();
}

static void in_place_takes_one_piece_of_free_flash(void **state)
{
    (void)state;
    static const uint32_t cases[][3] = {{0, 0, 0}, {0, 7, 0}, {7, 0, 7}, {7, 6, 1}, {7, 7, 0}, {7, 8, 0}};
    open_slots();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_relocation_t proposal;
        request.in_place_needs = cases[i][0];
        request.longest_free = (sr_region_t){0x1000, cases[i][1]};
        assert_int_equal(propose(&sr_relocation_in_place, &proposal), ESP_OK);
        assert_int_equal(proposal.missing, cases[i][2]);
        assert_int_equal(proposal.needs, cases[i][0]);
        assert_int_equal(proposal.room.size, cases[i][1]);
        for (unsigned allowed = 0; allowed < 4; allowed++) {
            request.allows_in_place = allowed % 2 != 0;
            chip.flash.encryption = allowed >= 2;
            const char *against = sr_relocation_in_place.why_not(&request, &proposal);
            assert_true(allowed != 0 || strcmp(against, ", not allowed") == 0);
            assert_true(allowed != 1 || against == NULL);
            assert_true(allowed < 2 || strcmp(against, ", not with flash encryption") == 0);
        }
    }
    close_chip();
}

/* Which method, and what is told if there is none. */

static const char *name_owner(void *context, uint32_t address, char name[SR_RELOCATION_OWNER_SIZE])
{
    assert_ptr_equal(context, rooms);
    (void)snprintf(name, SR_RELOCATION_OWNER_SIZE, "owner of %x", address);
    return name;
}

/* Only what moves to this slot has no objection. */
static uint32_t only_address;

static const char *object_to_others(void *context, const sr_relocation_method_t *method, uint32_t address)
{
    assert_ptr_equal(context, rooms);
    assert_non_null(method);
    return address == only_address ? NULL : ", nobody wants that";
}

static void expect_text(const char *text, uint32_t missing)
{
    sr_relocation_t relocation = {.method = &sr_relocation_stay};
    memset(told, 0, sizeof(told));
    assert_int_equal(sr_relocation_find(&request, &relocation, told, sizeof(told)), ESP_OK);
    assert_null(relocation.method);
    assert_int_equal(relocation.address, NOWHERE);
    assert_int_equal(relocation.missing, missing);
    if (text != NULL) {
        assert_string_equal(told, text);
    }
}

static const char *const factory_text = "running app at 0x10000 is in the way: 12288 bytes; "
                                        "in an OTA slot: none that could be selected; with a temporary table";

/* In the flash with a lone factory app, of the method in place. */
static void expect_in_place_text(uint32_t needs, sr_region_t room, const char *text)
{
    request.in_place_needs = needs;
    request.longest_free = room;
    expect_text(NULL,
                needs > room.size ? (needs - room.size < SMALL_APP_SIZE ? needs - room.size : SMALL_APP_SIZE) : 0);
    assert_memory_equal(told, factory_text, strlen(factory_text));
    const char *in_place = strstr(told, "; in place");
    assert_non_null(in_place);
    assert_string_equal(in_place, text);
}

/* A factory app, and partitions with long, short and empty labels. No sector may be taken. */
static void open_factory(void)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, SMALL_NVS, SMALL_NVS_SIZE, 0, "nvs"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SMALL_FACTORY, SMALL_SLOT_SIZE, 0, "factory"},
        {SR_PARTITION_TYPE_DATA, 0x82, 0x40000, SECTOR, 0, "s"},
        {SR_PARTITION_TYPE_DATA, 0x82, 0x41000, SECTOR, 0, ""},
        {SR_PARTITION_TYPE_DATA, 0x82, 0xF0000, SECTOR, 0, "sixteen letters"},
    };
    open_table(entries, 5, SMALL_FACTORY);
    memset(rooms, 0, sizeof(rooms));
}

/* Each room ends somewhere: there its owner is named; or in front of it, if that is the end of the flash. */
static void what_ends_the_room_is_named(void **state)
{
    (void)state;
    const uint32_t size = SMALL_FLASH_SIZE;
    open_factory();
    expect_in_place_text(0, (sr_region_t){0, 0}, "; in place: 0 bytes missing, not allowed");
    expect_in_place_text(1, (sr_region_t){0, 0}, "; in place: 1 bytes missing of 1, not allowed");
    expect_in_place_text(0x3000, (sr_region_t){0x3F000, 0x1000},
                         "; in place: 8192 bytes missing of 12288 before s, not allowed");
    expect_in_place_text(0x1001, (sr_region_t){0x3E000, 0x1000},
                         "; in place: 1 bytes missing of 4097 before 0x3f000, not allowed");
    expect_in_place_text(0x3000, (sr_region_t){0x40000, 0x1000},
                         "; in place: 8192 bytes missing of 12288 before 0x41000, not allowed");
    expect_in_place_text(0x3000, (sr_region_t){0, 0x1000},
                         "; in place: 8192 bytes missing of 12288 before 0x1000, not allowed");
    expect_in_place_text(0x3000, (sr_region_t){0x40000, 0},
                         "; in place: 12288 bytes missing of 12288 before s, not allowed");
    expect_in_place_text(0x20000, (sr_region_t){0xF1000, 0xF000},
                         "; in place: 69632 bytes missing of 131072 after sixteen letters, not allowed");
    expect_in_place_text(0x20000, (sr_region_t){0xF2000, 0xE000},
                         "; in place: 73728 bytes missing of 131072 after 0xf2000, not allowed");
    expect_in_place_text(2 * size, (sr_region_t){0, size}, "; in place: 1048576 bytes missing of 2097152, not allowed");
    request.owner = name_owner;
    expect_in_place_text(0x3000, (sr_region_t){0x3F000, 0x1000},
                         "; in place: 8192 bytes missing of 12288 before owner of 40000, not allowed");
    expect_in_place_text(0x20000, (sr_region_t){0xF1000, 0xF000},
                         "; in place: 69632 bytes missing of 131072 after owner of f0000, not allowed");
    close_chip();
}

/* The longest name there is fits. */
static void partition_of_the_running_system_is_named(void **state)
{
    (void)state;
    char name[SR_RELOCATION_OWNER_SIZE] = "x";
    open_factory();
    assert_string_equal(sr_relocation_running_owner(0xF0000, name), "sixteen letters");
    assert_ptr_equal(sr_relocation_running_owner(0xF1000, name), name);
    assert_string_equal(name, "");
    assert_string_equal(sr_relocation_running_owner(SMALL_NVS + SMALL_NVS_SIZE - SECTOR, name), "nvs");
    failing_search = searches + 1;
    assert_string_equal(sr_relocation_running_owner(SMALL_NVS, name), "");
    close_chip();
}

static void what_stands_against_each_method_is_told(void **state)
{
    (void)state;
    open_slots();
    memset(rooms, 0, sizeof(rooms));
    rooms[SLOT(2) / SECTOR] = SR_RELOCATION_ROOM_OVERWRITABLE;
    request.in_place_needs = 5 * SECTOR;
    request.allows_temporary_table = true;
    expect_text("running app at 0x20000 is in the way: 12288 bytes; in an OTA slot: 8192 bytes missing before ota_2; "
                "with a temporary table: 12288 bytes missing, not without a new table; "
                "in place: 20480 bytes missing of 20480, not allowed",
                2 * SECTOR);
    request.brings_table = true;
    request.allows_in_place = true;
    expect_text("running app at 0x20000 is in the way: 12288 bytes; in an OTA slot: 8192 bytes missing before ota_2; "
                "with a temporary table: 12288 bytes missing; in place: 20480 bytes missing of 20480",
                2 * SECTOR);
    /* A slot that the target wants nothing of has no words of its own, but it may be the nearest. */
    rooms[SLOT(1) / SECTOR] = rooms[SLOT(1) / SECTOR + 1] = SR_RELOCATION_ROOM_UNWANTED;
    expect_text(NULL, SECTOR);
    only_address = SLOT(1);
    request.object = object_to_others;
    rooms[SLOT(2) / SECTOR + 1] = rooms[SLOT(2) / SECTOR + 2] = SR_RELOCATION_ROOM_OVERWRITABLE;
    expect_text("running app at 0x20000 is in the way: 12288 bytes; "
                "in an OTA slot: 0 bytes missing, nobody wants that; "
                "with a temporary table: 12288 bytes missing, nobody wants that; "
                "in place: 20480 bytes missing of 20480, nobody wants that",
                0);
    /* The text is cut off where there is no room for it. */
    sr_relocation_t relocation;
    memset(told, 'x', sizeof(told));
    assert_int_equal(sr_relocation_find(&request, &relocation, told, 21), ESP_OK);
    assert_true(memchr(told, '\0', 21) != NULL);
    assert_int_equal(told[21], 'x');
    close_chip();
}

static void expect_found(const sr_relocation_method_t *method, uint32_t address)
{
    sr_relocation_t relocation = {0};
    assert_int_equal(sr_relocation_find(&request, &relocation, told, sizeof(told)), ESP_OK);
    assert_ptr_equal(relocation.method, method);
    assert_int_equal(relocation.address, address);
    assert_int_equal(relocation.missing, 0);
}

/* What costs least. */
static void first_method_that_is_possible_is_taken(void **state)
{
    (void)state;
    open_slots();
    request.blanks_only = request.allows_in_place = true;
    expect_found(&sr_relocation_slot, SLOT(1));
    for (uint32_t i = 0; i < SECTORS; i++) {
        rooms[i] = SR_RELOCATION_ROOM_OVERWRITABLE;
    }
    expect_found(&sr_relocation_stay, NOWHERE);
    request.blanks_only = false;
    expect_found(&sr_relocation_slot_over_blanks, SLOT(1));
    rooms[SLOT(1) / SECTOR] = 0;
    expect_found(&sr_relocation_slot_over_blanks, SLOT(2));
    memset(rooms, 0, sizeof(rooms));
    expect_found(&sr_relocation_in_place, NOWHERE);
    close_chip();
}

/* One that the caller objects to is not asked for room. */
static void nothing_is_looked_for_where_something_else_stands_against_it(void **state)
{
    (void)state;
    open_slots();
    request.object = object_to_others;
    only_address = NOWHERE; /* No objection before there is a proposal, and one to each place. */
    request.allows_in_place = true;
    expect_found(&sr_relocation_in_place, NOWHERE);
    assert_true(classified > 0);
    classified = 0;
    request.allows_in_place = false;
    memset(rooms, 0, sizeof(rooms));
    sr_relocation_t relocation;
    only_address = 0; /* To all of them: only the text asks. */
    assert_int_equal(sr_relocation_find(&request, &relocation, told, sizeof(told)), ESP_OK);
    const uint32_t all = classified;
    classified = 0;
    only_address = NOWHERE;
    assert_int_equal(sr_relocation_find(&request, &relocation, told, sizeof(told)), ESP_OK);
    assert_true(classified > all);
    close_chip();
}

static void search_that_fails_is_told(void **state)
{
    (void)state;
    sr_relocation_t relocation;
    open_slots();
    memset(rooms, 0, sizeof(rooms));
    assert_int_equal(sr_relocation_find(&request, &relocation, told, sizeof(told)), ESP_OK);
    const uint32_t made = searches;
    assert_true(made > 8);
    uint32_t failures = 0;
    for (uint32_t number = 1; number <= made; number++) {
        searches = 0;
        failing_search = number;
        const esp_err_t err = sr_relocation_find(&request, &relocation, told, sizeof(told));
        assert_true(err == ESP_ERR_NO_MEM || err == ESP_OK);
        failures += err == ESP_ERR_NO_MEM;
        assert_int_equal(sim_counters()->heap_now, 0);
    }
    /* Only the one for the name of an owner may go without an answer. */
    assert_int_equal(failures, made - 1);
    close_chip();
}

/* The copy. */

static esp_err_t compare_copy(bool *there)
{
    return __real_sr_app_copy_is_there(&chip, SLOT(2), &workspace, there);
}

static void copy_is_that_of_the_app_and_nothing_else(void **state)
{
    (void)state;
    for (unsigned program_only = 0; program_only < 2; program_only++) {
        open_slots();
        bool there = true;
        uint8_t *place = nor_flash_bytes(flash) + SLOT(2);
        memcpy(place, before + SLOT(0), SMALL_APP_SIZE);
        place[5] = 0xFF; /* No bit must be set. */
        memcpy(before + SLOT(2), place, SMALL_APP_SIZE);
        assert_int_equal(compare_copy(&there), ESP_OK);
        assert_false(there);
        assert_int_equal(__real_sr_app_copy(&chip, SLOT(2), program_only != 0, &workspace), ESP_OK);
        assert_int_equal(nor_flash_stats(flash).sector_erases, 1 - program_only);
        assert_int_equal(compare_copy(&there), ESP_OK);
        assert_true(there);
        memcpy(before + SLOT(2), before + SLOT(0), SMALL_APP_SIZE);
        small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
        close_chip();
    }
}

static void copy_differs_by_each_of_its_bytes(void **state)
{
    (void)state;
    static const uint32_t offsets[] = {0, 1, SECTOR - 1, SECTOR, 2 * SECTOR, SMALL_APP_SIZE - 1};
    open_slots();
    uint8_t *place = nor_flash_bytes(flash) + SLOT(2);
    memcpy(place, before + SLOT(0), SMALL_APP_SIZE);
    memset(place + SMALL_APP_SIZE, 0, SECTOR);
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        bool there = false;
        assert_int_equal(compare_copy(&there), ESP_OK);
        assert_true(there);
        place[offsets[i]] ^= 1;
        flash_calls_count(FLASH_READS, (sr_region_t){SLOT(0), SMALL_APP_SIZE});
        assert_int_equal(compare_copy(&there), ESP_OK);
        assert_false(there);
        assert_int_equal(flash_calls_end(), offsets[i] / SECTOR + 1);
        place[offsets[i]] ^= 1;
    }
    flash_calls_count(FLASH_READS, (sr_region_t){0});
    bool there;
    assert_int_equal(compare_copy(&there), ESP_OK);
    const uint32_t reads = flash_calls_end();
    assert_int_equal(reads, APP_SECTORS * (1 + SECTOR / SR_WRITER_READBACK_SIZE));
    for (uint32_t read = 0; read < reads; read++) {
        flash_calls_fail(FLASH_READS, (sr_region_t){0}, read, 1);
        assert_int_equal(compare_copy(&there), ESP_ERR_TIMEOUT);
        assert_int_equal(flash_calls_end(), read + 1);
    }
    close_chip();
}

/* Of a large app. */
static void comparing_lets_the_idle_task_run(void **state)
{
    (void)state;
    open_slots();
    bool there;
    chip.boot_path.running_app = (sr_region_t){0, SMALL_FLASH_SIZE / 2};
    memcpy(nor_flash_bytes(flash) + SMALL_FLASH_SIZE / 2, nor_flash_view(flash), SMALL_FLASH_SIZE / 2);
    sim_counters()->longest_work = 0;
    assert_int_equal(__real_sr_app_copy_is_there(&chip, SMALL_FLASH_SIZE / 2, &workspace, &there), ESP_OK);
    assert_true(there);
    assert_in_range(sim_counters()->longest_work, SR_YIELD_BYTES - 2 * SECTOR, SR_YIELD_BYTES);
    close_chip();
}

/* Which sector is told. */
static void copy_that_fails_is_told(void **state)
{
    (void)state;
    for (uint32_t sector = 0; sector <= APP_SECTORS; sector++) {
        open_slots();
        const bool fails = sector < APP_SECTORS;
        flash_calls_fail(FLASH_ERASES, (sr_region_t){SLOT(2) + sector * SECTOR, SECTOR}, 0, FLASH_FOR_EVER);
        logged[0] = '\0';
        assert_int_equal(__real_sr_app_copy(&chip, SLOT(2), false, &workspace), fails ? ESP_ERR_TIMEOUT : ESP_OK);
        (void)flash_calls_end();
        char address[16];
        (void)snprintf(address, sizeof(address), "0x%x: ", SLOT(2) + sector * SECTOR);
        assert_int_equal(strstr(logged, address) != NULL, fails);
        assert_int_equal(strstr(logged, "relocation, sector") != NULL, fails);
        close_chip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_slot_with_room_for_the_app_is_taken),
        cmocka_unit_test(slot_that_cannot_take_the_app_is_left_out),
        cmocka_unit_test(without_otadata_that_selects_there_is_no_slot),
        cmocka_unit_test(table_that_cannot_be_searched_is_told),
        cmocka_unit_test(steps_of_a_move_end_with_the_first_error),
        cmocka_unit_test(writing_where_the_app_is_hands_up_its_result),
        cmocka_unit_test(in_place_takes_one_piece_of_free_flash),
        cmocka_unit_test(what_ends_the_room_is_named),
        cmocka_unit_test(partition_of_the_running_system_is_named),
        cmocka_unit_test(what_stands_against_each_method_is_told),
        cmocka_unit_test(first_method_that_is_possible_is_taken),
        cmocka_unit_test(nothing_is_looked_for_where_something_else_stands_against_it),
        cmocka_unit_test(search_that_fails_is_told),
        cmocka_unit_test(copy_is_that_of_the_app_and_nothing_else),
        cmocka_unit_test(copy_differs_by_each_of_its_bytes),
        cmocka_unit_test(comparing_lets_the_idle_task_run),
        cmocka_unit_test(copy_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
