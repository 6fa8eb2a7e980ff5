// SPDX-License-Identifier: Apache-2.0
/** @file
 * Which app the bootloader starts next, and what is told if that cannot be read: a chip that does not know whether its
 * app will be started again must not go on as if it would be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relocate/sr_app_selection.h"
#include "test/support/support_small.h"
#include "test/support/support_error_log.h"

#include "esp_flash.h"
#include "esp_log.h"
#include "esp_ota_ops.h"

#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define NEVER       UINT32_MAX

static nor_flash_t *flash;
static uint8_t *before;
static sr_copy_workspace_t workspace;

/** Calls of one kind, of which one fails. */
typedef struct calls {
    uint32_t made, failing_at;
    bool is_final; /**< No other attempt is made. */
} calls_t;

static calls_t reads = {.failing_at = NEVER}, searches = {.failing_at = NEVER};

static bool fails(calls_t *calls)
{
    return ++calls->made == calls->failing_at;
}

esp_err_t __real_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    if (!fails(&reads)) {
        return __real_esp_flash_read(chip, buffer, address, length);
    }
    reads.is_final = length != SR_WRITER_READBACK_SIZE; /* As a writer does that compares. */
    return ESP_ERR_TIMEOUT;
}

esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);

esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    searches.is_final = true;
    return fails(&searches) ? NULL : __real_esp_partition_find(type, subtype, label);
}

static void attach(uint32_t running_app, sr_system_t *system)
{
    small_attach(flash, running_app);
    assert_int_equal(sr_system_read(system), ESP_OK);
    nor_flash_reset_stats(flash);
}

/* The app in the first slot runs, and otadata selects the second one, in which there is none. */
static int open_chip(void **state)
{
    (void)state;
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {2, 1}});
    small_app("1", nor_flash_bytes(flash) + SLOT(0));
    before = small_copy(flash);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    free(before);
    return 0;
}

static esp_err_t read_selection(const sr_system_t *system)
{
    sr_app_selection_t selection = SR_APP_SELECTION_STARTS;
    const esp_err_t err = sr_app_selection_read(system, (sr_partition_table_t *)workspace.data, &selection);
    assert_true(err != ESP_OK || selection == SR_APP_SELECTION_CAN_START);
    return err;
}

static esp_err_t expect_selected(esp_err_t err)
{
    if (err == ESP_OK) {
        assert_true(nor_flash_stats(flash).operations > 0);
        small_assert_boots(flash, false, SLOT(0));
    } else {
        small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
    }
    return err;
}

static esp_err_t keep(const sr_system_t *system)
{
    return expect_selected(sr_app_selection_keep(system, &workspace));
}

static const esp_partition_t *first_slot(void)
{
    return esp_ota_get_running_partition();
}

static esp_err_t ask_for_slot(const sr_system_t *system)
{
    bool selected = true;
    const esp_err_t err = sr_app_selection_is(system, first_slot(), &selected);
    assert_false(selected);
    return err;
}

static esp_err_t set_slot(const sr_system_t *system)
{
    return expect_selected(sr_app_selection_set(system, first_slot(), &workspace));
}

/* One after the other: of an entry that is read back another attempt may be made. @return how many are told */
static uint32_t each_fails(esp_err_t (*call)(const sr_system_t *), calls_t *calls, esp_err_t expected)
{
    bool failed = true;
    uint32_t number = 0, told = 0;
    while (failed) {
        sr_system_t system;
        memcpy(nor_flash_bytes(flash), before, SMALL_FLASH_SIZE);
        attach(SLOT(0), &system);
        *calls = (calls_t){.failing_at = ++number};
        const esp_err_t err = call(&system);
        failed = calls->made >= number;
        const bool is_final = calls->is_final;
        *calls = (calls_t){.failing_at = NEVER};
        told += err == expected;
        assert_true(err == (failed ? expected : ESP_OK) || (err == ESP_OK && !is_final));
        sim_chip_detach();
    }
    return told;
}

static void what_cannot_be_read_is_no_answer(void **state)
{
    (void)state;
    esp_err_t (*const each[])(const sr_system_t *) = {read_selection, keep, ask_for_slot, set_slot};
    static const uint32_t needed[] = {1, 2, 1, 1}; /* Searches for the slots. */
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        assert_true(each_fails(each[i], &reads, ESP_ERR_TIMEOUT) > 0);
        assert_int_equal(each_fails(each[i], &searches, ESP_ERR_NO_MEM), needed[i]);
    }
}

/** Otadata, and what of it has to be written to select the first slot, or the factory app. */
typedef struct otadata_case {
    bool factory;
    uint32_t sequences[2], states[2];
    bool needed[2]; /**< Each sector. */
} otadata_case_t;

#define LAST_SEQUENCE 0xFFFFFFFEu

static const otadata_case_t otadata_cases[] = {
    {false, {2, 1}, {0, 0}, {false, true}},
    {false, {1, 2}, {0, 0}, {true, false}},
    {false, {LAST_SEQUENCE, 1}, {0, 0}, {true, true}}, /* The numbers have run out. */
    {false, {1, LAST_SEQUENCE}, {0, 0}, {true, true}},
    {false, {2, 1}, {SR_OTA_PENDING_VERIFY, SR_OTA_VALID}, {true, false}}, /* Without it the other one counts. */
    {false, {1, 2}, {SR_OTA_VALID, SR_OTA_PENDING_VERIFY}, {false, true}},
    {true, {2, 1}, {0, 0}, {true, true}},
    {true, {1, 2}, {0, 0}, {true, true}},
};
#define OTADATA_CASES (sizeof(otadata_cases) / sizeof(otadata_cases[0]))

static void open_case(const otadata_case_t *test)
{
    close_chip(NULL);
    flash = small_flash_new(&(small_layout_t){.slots = 2,
                                              .factory = test->factory,
                                              .sequences = {test->sequences[0], test->sequences[1]},
                                              .states = {test->states[0], test->states[1]}});
    small_app("1", nor_flash_bytes(flash) + (test->factory ? SMALL_FACTORY : SLOT(0)));
    before = small_copy(flash);
}

static void sector_of_otadata_that_fails_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * 2 * OTADATA_CASES; i++) {
        sr_system_t system;
        const otadata_case_t *test = &otadata_cases[i / 4];
        const bool keeps = test->factory || i % 4 / 2 == 0;
        const uint32_t dead = SMALL_OTADATA + i % 2 * SR_SECTOR_SIZE;
        open_case(test);
        attach(test->factory ? SMALL_FACTORY : SLOT(0), &system);
        nor_flash_set_faults(
            flash, (nor_faults_t){
                       .program_per_million = 1000000, .erase_per_million = 1000000, .single = true, .address = dead});
        error_line[0] = '\0';
        const esp_err_t err = keeps ? sr_app_selection_keep(&system, &workspace)
                                    : sr_app_selection_set(&system, first_slot(), &workspace);
        assert_int_equal(nor_flash_failures(flash, dead / SR_SECTOR_SIZE) > 0, test->needed[i % 2]);
        nor_flash_set_faults(flash, (nor_faults_t){0});
        assert_int_equal(err != ESP_OK, test->needed[i % 2]);
        char sector[32];
        (void)snprintf(sector, sizeof(sector), "otadata, sector 0x%x: ", dead);
        assert_int_equal(strstr(error_line, sector) != NULL, test->needed[i % 2]);
        assert_true(test->needed[i % 2] || error_line[0] == '\0');
        sim_chip_detach();
    }
}

static void keep_running_app(void *system)
{
    (void)sr_app_selection_keep(system, &workspace);
}

/* In the other slots are other apps that boot: until the new entry counts the one that was selected starts, then never
 * again, and a third one at no time. */
static void power_loss_leaves_one_of_the_two(void **state)
{
    (void)state;
    for (size_t i = 0; i < OTADATA_CASES; i++) {
        bool cut = true;
        for (uint32_t operation = 0; cut; operation++) {
            sr_system_t system;
            const uint32_t running_app = otadata_cases[i].factory ? SMALL_FACTORY : SLOT(0);
            open_case(&otadata_cases[i]);
            attach(running_app, &system);
            small_app("2", nor_flash_bytes(flash) + SLOT(1));
            small_app(otadata_cases[i].factory ? "3" : "1", nor_flash_bytes(flash) + SLOT(0));
            nor_flash_set_power_loss(
                flash, (nor_power_loss_t){.armed = true, .operation = operation, .when = NOR_POWER_LOSS_BEFORE});
            cut = sim_call(keep_running_app, &system) == SIM_END_POWER_LOSS;
            sim_chip_detach();
            nor_flash_power_on(flash);
            const boot_result_t result = small_boot(flash, false);
            assert_int_equal(result.outcome, BOOT_BOOTS);
            assert_true(result.app_offset == running_app || (cut && result.app_offset == SLOT(1)));
        }
    }
}

/* An app in each. */
static void open_slots(uint32_t slots)
{
    close_chip(NULL);
    flash = small_flash_new(&(small_layout_t){.slots = slots});
    for (uint32_t i = 0; i < slots; i++) {
        small_app("1", nor_flash_bytes(flash) + SLOT(i));
    }
    before = small_copy(flash);
}

static void put_otadata(const uint32_t sequences[2], const uint32_t states[2])
{
    uint8_t *otadata = nor_flash_bytes(flash) + SMALL_OTADATA;
    memset(otadata, 0xFF, 2 * SR_SECTOR_SIZE);
    for (unsigned i = 0; i < 2; i++) {
        if (sequences[i] != 0) {
            sr_otadata_encode(sequences[i], states[i], otadata + i * SR_SECTOR_SIZE);
        }
    }
}

static const esp_partition_t *slot_of(uint32_t index)
{
    return esp_partition_find_first(ESP_PARTITION_TYPE_APP,
                                    (esp_partition_subtype_t)(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + index), NULL);
}

/* The entry that counts, for a bootloader without rollback; 0: none. */
static uint32_t sequence_that_counts(void)
{
    sr_otadata_t otadata;
    const sr_reader_t reader = sr_reader_memory(nor_flash_bytes(flash) + SMALL_OTADATA, 2 * SR_SECTOR_SIZE);
    assert_int_equal(sr_otadata_read(&reader, &otadata), 0);
    const int active = sr_otadata_active(&otadata);
    return active >= 0 ? otadata.entries[active].sequence : 0;
}

/* The next one of this slot, without a gap that a later update would have to jump over; or the entry that is there. */
static void expect_next_sequence(uint32_t last, uint32_t index, uint32_t slots)
{
    const uint32_t is = sequence_that_counts();
    assert_int_equal((is - 1) % slots, index);
    assert_true(is <= slots || is < last || (is > last && is - last <= slots));
}

static void set_and_start(uint32_t index, bool counts, uint32_t slots)
{
    sr_system_t system;
    bool selected;
    const uint32_t last = sequence_that_counts();
    attach(SLOT(0), &system);
    const boot_result_t today = small_boot(flash, false);
    assert_int_equal(sr_app_selection_is(&system, slot_of(index), &selected), ESP_OK);
    assert_int_equal(selected, counts && today.app_offset == SLOT(index));
    memset(&workspace, 0, sizeof(workspace));
    assert_int_equal(sr_app_selection_set(&system, slot_of(index), &workspace), ESP_OK);
    small_assert_boots(flash, false, SLOT(index));
    small_assert_boots(flash, true, SLOT(index));
    expect_next_sequence(last, index, slots);
    for (uint32_t i = SR_OTADATA_ENTRY_SIZE; i < SR_SECTOR_SIZE; i++) {
        assert_int_equal(nor_flash_view(flash)[SMALL_OTADATA + i], 0xFF);
        assert_int_equal(nor_flash_view(flash)[SMALL_OTADATA + SR_SECTOR_SIZE + i], 0xFF);
    }
    small_assert_same(nor_flash_view(flash), before, SMALL_NVS, SMALL_NVS_SIZE);
    small_assert_same(nor_flash_view(flash), before, SMALL_OTADATA + 2 * SR_SECTOR_SIZE, SR_SECTOR_SIZE);
    sim_chip_detach();
}

/* Whatever otadata says: both kinds of bootloader start that slot then, and nothing beside otadata is written. */
static void slot_that_is_set_is_the_one_that_starts(void **state)
{
    (void)state;
    static const uint32_t sequences[] = {0, 1, 2, 3, LAST_SEQUENCE - 3, LAST_SEQUENCE - 2, LAST_SEQUENCE};
    static const uint32_t states[][2] = {{SR_OTA_UNDEFINED, SR_OTA_UNDEFINED},
                                         {SR_OTA_PENDING_VERIFY, SR_OTA_VALID},
                                         {SR_OTA_VALID, SR_OTA_PENDING_VERIFY},
                                         {SR_OTA_ABORTED, SR_OTA_VALID}};
    for (uint32_t slots = 2; slots <= 3; slots++) {
        open_slots(slots);
        for (unsigned i = 0; i < 7 * 7 * 4; i++) {
            const uint32_t *is = states[i % 4];
            const uint32_t entries[2] = {sequences[i / 4 % 7], sequences[i / 4 / 7]};
            const bool counts = (entries[0] != 0 && is[0] != SR_OTA_ABORTED) || entries[1] != 0;
            const bool same = entries[0] == entries[1] && entries[0] != 0;
            for (uint32_t index = i % 2; !same && index < slots; index += 2) {
                put_otadata(entries, is);
                set_and_start(index, counts, slots);
            }
        }
    }
}

/* An app that lies in no partition is started by something that does not ask otadata. */
static void app_in_no_partition_is_left_alone(void **state)
{
    (void)state;
    sr_system_t system;
    sr_app_selection_t selection = SR_APP_SELECTION_CANNOT_START;
    attach(SLOT(0), &system);
    system.running_partition = (sr_region_t){0};
    assert_int_equal(sr_app_selection_read(&system, (sr_partition_table_t *)workspace.data, &selection), ESP_OK);
    assert_int_equal(selection, SR_APP_SELECTION_STARTS);
    assert_int_equal(sr_app_selection_keep(&system, &workspace), ESP_OK);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    sim_chip_detach();
}

static void slots_that_are_numbered_without_a_gap_can_be_selected(void **state)
{
    (void)state;
    static const esp_partition_t partition;
    for (unsigned set = 0; set < 1u << SR_SLOTS_MAX; set = set < 0x3F ? set + 1 : 2 * set + 1) {
        sr_slots_t slots = {.count = (uint8_t)__builtin_popcount(set)};
        for (unsigned i = 0; i < SR_SLOTS_MAX; i++) {
            slots.list[i] = (set >> i & 1u) != 0 ? &partition : NULL;
        }
        assert_int_equal(sr_app_selection_is_possible(&slots), (set & (set + 1u)) == 0);
    }
}

static void without_memory_nothing_is_selected(void **state)
{
    (void)state;
    sr_system_t system;
    attach(SLOT(0), &system);
    sim_heap_fail_at(1);
    assert_int_equal(sr_app_selection_keep(&system, NULL), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    assert_int_equal(nor_flash_stats(flash).operations, 0);
    assert_int_equal(sr_app_selection_keep(&system, NULL), ESP_OK);
    small_assert_boots(flash, false, SLOT(0));
    assert_int_equal(sim_counters()->heap_now, 0);
    sim_chip_detach();
}

/* It takes both of its sectors: with one of them, a power loss would leave no entry. */
static void otadata_of_less_than_two_sectors_selects_nothing(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        sr_app_selection_t expected;
    } cases[] = {{0, SR_APP_SELECTION_CANNOT_START},
                 {SR_SECTOR_SIZE, SR_APP_SELECTION_CANNOT_START},
                 {2 * SR_SECTOR_SIZE - 1, SR_APP_SELECTION_CANNOT_START},
                 {2 * SR_SECTOR_SIZE, SR_APP_SELECTION_CAN_START},
                 {3 * SR_SECTOR_SIZE, SR_APP_SELECTION_CAN_START}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_system_t system;
        sr_app_selection_t selection = SR_APP_SELECTION_STARTS;
        attach(SLOT(0), &system);
        system.boot_path.otadata.size = cases[i].size;
        assert_int_equal(sr_app_selection_read(&system, (sr_partition_table_t *)workspace.data, &selection), ESP_OK);
        assert_int_equal(selection, cases[i].expected);
        if (selection == SR_APP_SELECTION_CANNOT_START) {
            assert_int_equal(sr_app_selection_keep(&system, &workspace), ESP_ERR_INVALID_STATE);
            assert_int_equal(nor_flash_stats(flash).operations, 0);
        }
        sim_chip_detach();
    }
}

/** A partition that the app runs from while the bootloader would try another one, and whether otadata can change that.
 */
typedef struct running_case {
    uint8_t subtype;
    sr_app_selection_t expected;
} running_case_t;

/* Only a slot whose number bootloader and ESP-IDF count in the same way, or the factory app. */
static void otadata_selects_slots_and_the_factory_app(void **state)
{
    (void)state;
    static const running_case_t cases[] = {
        {SR_PARTITION_APP_OTA_0 + 1, SR_APP_SELECTION_CAN_START},
        {SR_PARTITION_APP_OTA_0 + 2, SR_APP_SELECTION_CANNOT_START},
        {SR_PARTITION_APP_TEST, SR_APP_SELECTION_CANNOT_START},
        {SR_PARTITION_APP_FACTORY, SR_APP_SELECTION_CAN_START},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_system_t system;
        sr_app_selection_t selection = SR_APP_SELECTION_STARTS;
        sr_partition_table_entry_t entries[8];
        const unsigned count = small_table(&(small_layout_t){.slots = 2}, entries);
        entries[count - 1].subtype = cases[i].subtype;
        close_chip(NULL);
        flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
        small_put_table(nor_flash_bytes(flash), entries, count);
        small_app("1", nor_flash_bytes(flash) + SLOT(0));
        small_app("1", nor_flash_bytes(flash) + SLOT(1));
        before = small_copy(flash);
        attach(SLOT(1), &system);
        assert_int_equal(sr_app_selection_read(&system, (sr_partition_table_t *)workspace.data, &selection), ESP_OK);
        assert_int_equal(selection, cases[i].expected);
        sim_chip_detach();
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_read_is_no_answer),          TEST(sector_of_otadata_that_fails_is_told),
        TEST(power_loss_leaves_one_of_the_two),          TEST(slot_that_is_set_is_the_one_that_starts),
        TEST(app_in_no_partition_is_left_alone),         TEST(slots_that_are_numbered_without_a_gap_can_be_selected),
        TEST(without_memory_nothing_is_selected),        TEST(otadata_of_less_than_two_sectors_selects_nothing),
        TEST(otadata_selects_slots_and_the_factory_app),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
