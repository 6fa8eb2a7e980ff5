// SPDX-License-Identifier: Apache-2.0
// The commit window, measured on small rewrites whose window can be told by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "make/dummy_image.h"
#include "sim/boot/boot_window.h"
#include "sim/nor/flash_buffer.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLASH_SIZE     0x400000u
#define BOOTLOADER     0x1000u
#define TABLE          0x8000u
#define OTADATA        0xD000u
#define SLOT_0         0x10000u
#define SLOT_1         0x110000u
#define FREE_FLASH     0x300000u
#define OTADATA_LENGTH 32u

typedef struct fixture {
    nor_flash_t *flash;
    uint8_t *original; /**< Content before anything was done. */
    flash_record_t *record;
    boot_chip_t chip;
    const nor_timing_t *timing;
} fixture_t;

static void put_app(uint8_t *flash, uint32_t address, const char *version)
{
    size_t length = 0;
    dummy_image_app_t app = {
        .chip = sr_chip_by_name("esp32"),
        .spi_size = 2,
        .project_name = "window",
        .version = version,
        .code_size = 0x8000,
    };
    assert_int_equal(dummy_image_app(&app, flash + address, SLOT_1 - SLOT_0, &length), IMAGE_WRITE_OK);
}

/** ESP-IDF's bootloader and two apps, of which the first is selected. */
static void put_system(uint8_t *flash)
{
    static const sr_partition_table_entry_t table[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT_0, 0x100000, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT_1, 0x100000, 0, "ota_1"},
    };
    size_t length = 0;
    assert_int_equal(
        dummy_image_bootloader(sr_chip_by_name("esp32"), 2, flash + BOOTLOADER, TABLE - BOOTLOADER, &length),
        IMAGE_WRITE_OK);
    assert_int_equal(image_write_partition_table(table, 3, flash + TABLE), IMAGE_WRITE_OK);
    image_write_otadata(1, SR_OTA_VALID, flash + OTADATA);
    put_app(flash, SLOT_0, "1.0");
    put_app(flash, SLOT_1, "2.0");
}

static int set_up(void **state)
{
    fixture_t *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->timing = nor_timing_find(NULL);
    fixture->flash = nor_flash_new(FLASH_SIZE, fixture->timing);
    fixture->original = malloc(FLASH_SIZE);
    assert_non_null(fixture->flash);
    assert_non_null(fixture->original);
    fixture->chip.chip = sr_chip_by_name("esp32");
    put_system(nor_flash_bytes(fixture->flash));
    memcpy(fixture->original, nor_flash_view(fixture->flash), FLASH_SIZE);
    fixture->record = flash_record_new(fixture->flash);
    assert_non_null(fixture->record);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *fixture = *state;
    flash_record_delete(fixture->record);
    nor_flash_delete(fixture->flash);
    free(fixture->original);
    free(fixture);
    return 0;
}

static boot_window_t measure(const fixture_t *fixture)
{
    boot_window_t window;
    assert_true(boot_window_measure(fixture->record, &fixture->chip, NULL, &window, NULL));
    return window;
}

static void erase(const fixture_t *fixture, uint32_t address)
{
    assert_int_equal(nor_erase(fixture->flash, address, SR_SECTOR_SIZE), NOR_OK);
}

static void program(const fixture_t *fixture, uint32_t address, const uint8_t *bytes, size_t length)
{
    assert_int_equal(nor_program(fixture->flash, address, bytes, length), NOR_OK);
}

static void assert_window(const fixture_t *fixture, const boot_window_t *window, uint32_t erases, uint32_t pages)
{
    const nor_timing_t *timing = fixture->timing;
    assert_int_equal(window->operations, erases + pages);
    assert_int_equal(window->typical_us,
                     erases * timing->sector_erase_typical_us + pages * timing->page_program_typical_us);
    assert_int_equal(window->maximum_us,
                     erases * timing->sector_erase_maximum_us + pages * timing->page_program_maximum_us);
}

static void nothing_done_has_no_window(void **state)
{
    boot_window_t window = measure(*state);
    assert_window(*state, &window, 0, 0);
    assert_int_equal(window.sectors_programmed, 0);
}

static void free_flash_is_outside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, FREE_FLASH);
    program(fixture, FREE_FLASH + 0xF80, fixture->original + SLOT_0, 0x100);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
    assert_int_equal(window.sectors_programmed, 2); // the program crosses into the next sector
}

static void the_other_slot_is_outside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, SLOT_1);
    program(fixture, SLOT_1, fixture->original + SLOT_1, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
}

static void a_rewritten_bootloader_sector_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, FREE_FLASH);
    erase(fixture, BOOTLOADER);
    program(fixture, BOOTLOADER, fixture->original + BOOTLOADER, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_int_equal(window.first_operation, 1);
    assert_int_equal(window.sectors_programmed, 1);
    // the last pages count as well, since the sector holds nothing that is blank
    assert_window(fixture, &window, 1, SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

static void a_rewritten_table_is_inside_up_to_its_last_entry(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, TABLE);
    program(fixture, TABLE, fixture->original + TABLE, SR_PARTITION_TABLE_SIZE);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, 1);
}

static void otadata_is_switched_without_a_window(void **state)
{
    const fixture_t *fixture = *state;
    uint8_t entry[OTADATA_LENGTH];
    sr_otadata_encode(2, SR_OTA_VALID, entry);
    erase(fixture, OTADATA + SR_SECTOR_SIZE);
    program(fixture, OTADATA + SR_SECTOR_SIZE, entry, sizeof(entry));
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
    assert_true(window.states_booted > 2); // the boot model was run
}

/** The mask ROM's checksum is an XOR: the same bit cleared in two bytes of a column goes unnoticed. */
static void a_corrupt_bootloader_that_starts_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    uint32_t data = BOOTLOADER + SR_IMAGE_HEADER_SIZE + 8 + 0x80; // first segment, after its descriptor
    uint32_t found = 0;
    uint32_t at[2] = {0};
    for (uint32_t i = data; i < BOOTLOADER + SR_SECTOR_SIZE / 2 && found < 2; i++) {
        if (fixture->original[i] & 1) {
            at[found++] = i;
        }
    }
    assert_int_equal(found, 2);
    uint8_t torn[SR_PAGE_SIZE];
    uint32_t length = at[1] - at[0] + 1;
    assert_true(length <= sizeof(torn));
    memcpy(torn, fixture->original + at[0], length);
    torn[0] &= 0xFE;
    torn[length - 1] &= 0xFE;
    program(fixture, at[0], torn, length);
    uint8_t *copy = malloc(FLASH_SIZE);
    boot_result_t result;
    memcpy(copy, nor_flash_view(fixture->flash), FLASH_SIZE);
    boot_run(&fixture->chip, copy, FLASH_SIZE, NULL, NULL, &result);
    free(copy);
    assert_true(boot_succeeds(&result));

    uint32_t pages = nor_flash_stats(fixture->flash).page_programs;
    erase(fixture, FREE_FLASH); // in the window too: the chip must not lose power now
    erase(fixture, BOOTLOADER);
    program(fixture, BOOTLOADER, fixture->original + BOOTLOADER, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_int_equal(window.first_operation, 0);
    assert_window(fixture, &window, 2, pages + SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

static void a_system_that_does_not_boot_at_the_end_stays_inside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, FREE_FLASH);
    erase(fixture, BOOTLOADER);
    erase(fixture, FREE_FLASH);
    boot_window_t window = measure(fixture);
    assert_int_equal(window.first_operation, 1);
    assert_window(fixture, &window, 2, 0);
}

static void the_new_app_counts_as_intended(void **state)
{
    const fixture_t *fixture = *state;
    uint8_t entry[OTADATA_LENGTH];
    sr_otadata_encode(2, SR_OTA_VALID, entry);
    program(fixture, OTADATA + SR_SECTOR_SIZE, entry, sizeof(entry));
    erase(fixture, SLOT_0); // the old app: it does not run any more
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
}

static void the_running_app_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    // without the other app, which the bootloader would fall back to
    memset(nor_flash_bytes(fixture->flash) + SLOT_1, 0xFF, SR_SECTOR_SIZE);
    flash_record_delete(fixture->record);
    ((fixture_t *)*state)->record = flash_record_new(fixture->flash);
    erase(fixture, SLOT_0);
    program(fixture, SLOT_0, fixture->original + SLOT_0, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

static void operations_of_other_processes_are_recorded(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, BOOTLOADER);
    pid_t child = fork();
    if (child == 0) {
        // what a bootloader writes is no operation, but later boots see it
        uint8_t *booted = flash_memory_new(nor_flash_size(fixture->flash));
        memcpy(booted, nor_flash_view(fixture->flash), nor_flash_size(fixture->flash));
        sr_otadata_encode(2, SR_OTA_VALID, booted + OTADATA + SR_SECTOR_SIZE);
        nor_flash_load(fixture->flash, booted);
        free(booted);
        _exit((int)nor_program(fixture->flash, BOOTLOADER, fixture->original + BOOTLOADER, SR_SECTOR_SIZE));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    erase(fixture, SLOT_0); // not in the window: by now the other app boots
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, SR_SECTOR_SIZE / SR_PAGE_SIZE);
}

/** The flash as it is now is the old one. */
static void begin_anew(fixture_t *fixture)
{
    flash_record_delete(fixture->record);
    nor_flash_reset_stats(fixture->flash);
    memcpy(fixture->original, nor_flash_view(fixture->flash), FLASH_SIZE);
    fixture->record = flash_record_new(fixture->flash);
    assert_non_null(fixture->record);
}

static void select_app(uint8_t *flash, unsigned entry, uint32_t sequence)
{
    memset(flash + OTADATA + entry * SR_SECTOR_SIZE, 0xFF, SR_SECTOR_SIZE);
    sr_otadata_encode(sequence, SR_OTA_VALID, flash + OTADATA + entry * SR_SECTOR_SIZE);
}

static void an_app_that_runs_counts_as_old(void **state)
{
    const fixture_t *fixture = *state;
    uint8_t entry[OTADATA_LENGTH];
    boot_chip_t chip = fixture->chip;
    boot_result_t second;
    boot_window_t window;
    uint8_t *copy = malloc(FLASH_SIZE);
    memcpy(copy, fixture->original, FLASH_SIZE);
    select_app(copy, 1, 2);
    boot_run(&chip, copy, FLASH_SIZE, NULL, NULL, &second);
    free(copy);
    sr_otadata_encode(2, SR_OTA_VALID, entry);
    program(fixture, OTADATA + SR_SECTOR_SIZE, entry, sizeof(entry)); // selects the second app,
    erase(fixture, OTADATA + SR_SECTOR_SIZE);                         // and the first one again
    window = measure(fixture);
    assert_window(fixture, &window, 1, 1);
    assert_true(boot_window_measure(fixture->record, &chip, &second.app, &window, NULL));
    assert_window(fixture, &window, 0, 0);
}

static void each_operation_is_told_whether_it_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    boot_window_t window;
    bool inside[20] = {false};
    program(fixture, 0, fixture->original + BOOTLOADER, 16); // the first sector of the flash is one, too
    erase(fixture, BOOTLOADER);
    program(fixture, BOOTLOADER, fixture->original + BOOTLOADER, SR_SECTOR_SIZE);
    erase(fixture, FREE_FLASH);
    assert_true(boot_window_measure(fixture->record, &fixture->chip, NULL, &window, inside));
    for (unsigned i = 0; i < 19; i++) {
        assert_int_equal(inside[i], i >= 1 && i <= 17);
    }
    assert_int_equal(window.first_operation, 1);
    assert_int_equal(window.sectors_programmed, 2);
}

/** Both ends are safe, and all between them, but code is not to change where it runs. */
static void code_that_changes_in_place_is_inside(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, SLOT_0); // from then on the other slot's app starts
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, 0);
}

/** As is code that only the start after it runs. */
static void code_that_becomes_an_app_is_inside(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *bytes = nor_flash_bytes(fixture->flash);
    const uint8_t first = bytes[SLOT_0];
    bytes[SLOT_0] = 0xFF;
    begin_anew(fixture);
    program(fixture, SLOT_0, &first, 1);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 1);
}

/** An app of which a whole sector is blank: an erase there changes nothing, unless it is cut. */
static void an_erase_of_what_is_blank_may_be_inside(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *bytes = nor_flash_bytes(fixture->flash), *blank = malloc(3 * SR_SECTOR_SIZE);
    memset(blank, 0xFF, 3 * SR_SECTOR_SIZE);
    const dummy_image_app_t app = {.chip = sr_chip_by_name("esp32"),
                                   .spi_size = 2,
                                   .project_name = "blank",
                                   .version = "1.0",
                                   .code_size = 0x8000,
                                   .embedded = blank,
                                   .embedded_size = 3 * SR_SECTOR_SIZE};
    size_t length = 0;
    memset(bytes + SLOT_0, 0xFF, SLOT_1 - SLOT_0);
    memset(bytes + SLOT_1, 0xFF, SR_SECTOR_SIZE);
    assert_int_equal(dummy_image_app(&app, bytes + SLOT_0, SLOT_1 - SLOT_0, &length), IMAGE_WRITE_OK);
    const uint32_t in_app = SLOT_0 + (dummy_image_embedded_offset() + SR_SECTOR_SIZE) / SR_SECTOR_SIZE * SR_SECTOR_SIZE;
    assert_true(nor_is_erased(bytes + in_app, SR_SECTOR_SIZE));
    begin_anew(fixture);
    erase(fixture, in_app);
    erase(fixture, SLOT_1 - SR_SECTOR_SIZE); // of the slot, but not of the app
    program(fixture, in_app, blank, SR_SECTOR_SIZE);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 1, 0);
    free(blank);
}

/** A further entry of a table without MD5: half of it is no table. */
static void what_is_unsafe_only_half_way_is_inside(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *bytes = nor_flash_bytes(fixture->flash), entry[32];
    memcpy(entry, bytes + TABLE, sizeof(entry));
    entry[3] = 0x77;
    memset(bytes + TABLE + 3 * sizeof(entry), 0xFF, sizeof(entry));
    begin_anew(fixture);
    program(fixture, TABLE + 3 * sizeof(entry), entry, sizeof(entry));
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 1);
}

#define ENTRY_FROM 3u // the part of a table's entry that becomes another one: from its subtype,
#define ENTRY_PART 4u // to the third byte of its address

/** A table without MD5 whose last entry, a test app, becomes a factory app at another place, where the old app is once
 * more. In between, only the first byte new and the last one as before is unsafe: another app starts. */
static void put_turning_entry(fixture_t *fixture)
{
    uint8_t *bytes = nor_flash_bytes(fixture->flash), *entry = bytes + TABLE + 3 * 32;
    memcpy(bytes, fixture->original, FLASH_SIZE);
    memset(bytes + OTADATA, 0xFF, 2 * SR_SECTOR_SIZE); // selects nothing
    memset(bytes + SLOT_1, 0xFF, SLOT_1 - SLOT_0);
    put_app(bytes, SLOT_0, "1.0");
    put_app(bytes, 0x300000, "1.0");
    put_app(bytes, 0x370000, "3.0");
    memcpy(entry, bytes + TABLE + 32, 32);
    entry[ENTRY_FROM] = SR_PARTITION_APP_TEST;
    memcpy(entry + 4, "\x00\x00\x37\x00\x00\x00\x08\x00", 8);
    begin_anew(fixture);
}

/** Whether a power loss in this operation, torn by this seed, leaves that. */
static bool leaves_another_app(const nor_op_t *op, uint32_t seed)
{
    uint8_t part[ENTRY_PART] = {SR_PARTITION_APP_TEST, 0, 0, 0x37};
    const uint8_t after[ENTRY_PART] = {SR_PARTITION_APP_FACTORY, 0, 0, 0x30};
    nor_tear(op, seed, part, after);
    return part[0] == after[0] && part[ENTRY_PART - 1] == 0x37;
}

/** A number of an operation with which that is left by one seed, of those that are tried and the next. */
static uint32_t find_operation(uint32_t seed)
{
    for (uint32_t number = 0;; number++) {
        const nor_op_t op = {.number = number, .kind = NOR_OP_PROGRAM, .length = ENTRY_PART};
        bool only = leaves_another_app(&op, seed);
        for (uint32_t other = 0; other <= NOR_TORN_STATES; other++) {
            only = only && (other == seed || !leaves_another_app(&op, other));
        }
        if (only) {
            return number;
        }
        assert_true(number < 10000);
    }
}

static void each_torn_state_counts_and_no_other(void **state)
{
    fixture_t *fixture = *state;
    for (uint32_t seed = 0; seed <= NOR_TORN_STATES; seed += NOR_TORN_STATES) {
        static const uint8_t after[ENTRY_PART] = {SR_PARTITION_APP_FACTORY, 0, 0, 0x30};
        put_turning_entry(fixture);
        for (uint32_t i = find_operation(seed); i > 0; i--) {
            program(fixture, 0, after, 1); // any other operations
        }
        program(fixture, TABLE + 3 * 32 + ENTRY_FROM, after, sizeof(after));
        boot_window_t window = measure(fixture);
        assert_window(fixture, &window, 0, seed == NOR_TORN_STATES ? 0 : 1);
    }
}

/** A torn operation is one of the state that was reached by then: here there is another entry already. */
static void what_is_torn_is_the_state_so_far(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *bytes = nor_flash_bytes(fixture->flash), entry[OTADATA_LENGTH];
    select_app(bytes, 0, 2); // without it, the first slot's app starts, which is of neither system
    begin_anew(fixture);
    sr_otadata_encode(4, SR_OTA_VALID, entry);
    program(fixture, OTADATA + SR_SECTOR_SIZE, entry, sizeof(entry));
    erase(fixture, OTADATA);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
}

/** The first operation of a boot is always looked at; if it changes nothing, it is outside. */
static void a_boot_that_changes_nothing_is_outside(void **state)
{
    const fixture_t *fixture = *state;
    static const uint32_t places[] = {BOOTLOADER, SLOT_0, FREE_FLASH};
    for (unsigned i = 0; i < 3; i++) {
        const pid_t child = fork();
        if (child == 0) {
            _exit((int)nor_program(fixture->flash, places[i], fixture->original + places[i], 64));
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
}

// A chip with a recovery bootloader.

#define C5_BOOTLOADER 0x2000u
#define C5_RECOVERY   0x3F0000u

/** A bootloader of 80 bytes, twice; its app is in slot 0. */
static void put_c5(fixture_t *fixture)
{
    const sr_chip_t *c5 = sr_chip_by_name("esp32c5");
    uint8_t *bytes = nor_flash_bytes(fixture->flash);
    static const uint8_t data[16] = {1, 2, 3};
    const image_write_segment_t segments[] = {
        {.load_address = 0x40848000, .data = data, .length = sizeof(data)},
        {.load_address = 0x40840000, .data = data, .length = sizeof(data)},
    };
    const image_write_esp_t spec = {.chip_id = c5->image_chip_id,
                                    .spi_size = 2,
                                    .entry = 0x40840000,
                                    .max_chip_rev_full = 0xFFFF,
                                    .segments = segments,
                                    .segment_count = 2};
    const dummy_image_app_t app = {.chip = c5, .spi_size = 2, .project_name = "c5", .version = "1", .code_size = 0x100};
    size_t length = 0;
    memset(bytes + BOOTLOADER, 0xFF, TABLE - BOOTLOADER);
    assert_int_equal(image_write_esp(&spec, bytes + C5_BOOTLOADER, 256, &length), IMAGE_WRITE_OK);
    assert_int_equal(length, 80);
    memcpy(bytes + C5_RECOVERY, bytes + C5_BOOTLOADER, 256);
    assert_int_equal(dummy_image_app(&app, bytes + SLOT_0, SLOT_1 - SLOT_0, &length), IMAGE_WRITE_OK);
    memset(bytes + SLOT_1, 0xFF, SR_SECTOR_SIZE);
    fixture->chip.chip = c5;
    fixture->chip.recovery = C5_RECOVERY;
    begin_anew(fixture);
}

/** The magic byte does not count, as without it the recovery bootloader runs; any other byte of it does. */
static void a_bootloader_may_lose_its_magic_byte_where_another_stands_in(void **state)
{
    fixture_t *fixture = *state;
    static const struct {
        uint32_t at, also; // what becomes zero
        bool no_recovery, in_recovery, inside;
    } cases[] = {
        {0, 0, false, false, false},   {0, 0, true, false, true},   {1, 1, false, false, true},
        {0, 1, false, false, true},    {0, 79, false, false, true}, {0, 80, false, false, false},
        {80, 80, false, false, false}, {0, 0, false, true, true}, // the recovery one, while it runs
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t page[SR_PAGE_SIZE];
        put_c5(fixture);
        if (cases[i].in_recovery) {
            nor_flash_bytes(fixture->flash)[C5_BOOTLOADER] = 0;
            begin_anew(fixture);
        }
        fixture->chip.recovery = cases[i].no_recovery ? 0 : C5_RECOVERY;
        memcpy(page, fixture->original + C5_RECOVERY, sizeof(page));
        page[cases[i].at] = page[cases[i].also] = 0;
        program(fixture, cases[i].in_recovery ? C5_RECOVERY : C5_BOOTLOADER, page, sizeof(page));
        boot_window_t window = measure(fixture);
        assert_window(fixture, &window, 0, cases[i].inside ? 1 : 0);
    }
}

/** As a commit does it: all but the magic byte, which comes last. */
static void a_bootloader_that_gets_its_magic_byte_last_is_outside(void **state)
{
    fixture_t *fixture = *state;
    put_c5(fixture);
    nor_flash_bytes(fixture->flash)[C5_BOOTLOADER] = 0xFF;
    begin_anew(fixture);
    const uint8_t *loader = fixture->original + C5_RECOVERY;
    erase(fixture, C5_BOOTLOADER);
    program(fixture, C5_BOOTLOADER + 1, loader + 1, 79);
    program(fixture, C5_BOOTLOADER, loader, 1);
    boot_window_t window = measure(fixture);
    assert_window(fixture, &window, 0, 0);
}

/** Where the system maps the log of a record. */
static unsigned count_mapped_logs(void)
{
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        count += strstr(line, "flash-operations") != NULL;
    }
    (void)fclose(maps);
    return count;
}

static void a_measurement_leaves_no_memory(void **state)
{
    const fixture_t *fixture = *state;
    erase(fixture, FREE_FLASH);
    (void)measure(fixture); // what is kept to be used again
    const struct mallinfo2 before = mallinfo2();
    (void)measure(fixture);
    const struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.uordblks, before.uordblks);
    assert_int_equal(after.hblkhd, before.hblkhd);
    assert_int_equal(count_mapped_logs(), 0);
}

#define WINDOW_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WINDOW_TEST(nothing_done_has_no_window),
        WINDOW_TEST(free_flash_is_outside),
        WINDOW_TEST(the_other_slot_is_outside),
        WINDOW_TEST(a_rewritten_bootloader_sector_is_inside),
        WINDOW_TEST(a_rewritten_table_is_inside_up_to_its_last_entry),
        WINDOW_TEST(otadata_is_switched_without_a_window),
        WINDOW_TEST(a_corrupt_bootloader_that_starts_is_inside),
        WINDOW_TEST(a_system_that_does_not_boot_at_the_end_stays_inside),
        WINDOW_TEST(the_new_app_counts_as_intended),
        WINDOW_TEST(the_running_app_is_inside),
        WINDOW_TEST(operations_of_other_processes_are_recorded),
        WINDOW_TEST(an_app_that_runs_counts_as_old),
        WINDOW_TEST(each_operation_is_told_whether_it_is_inside),
        WINDOW_TEST(code_that_changes_in_place_is_inside),
        WINDOW_TEST(code_that_becomes_an_app_is_inside),
        WINDOW_TEST(an_erase_of_what_is_blank_may_be_inside),
        WINDOW_TEST(what_is_unsafe_only_half_way_is_inside),
        WINDOW_TEST(each_torn_state_counts_and_no_other),
        WINDOW_TEST(what_is_torn_is_the_state_so_far),
        WINDOW_TEST(a_boot_that_changes_nothing_is_outside),
        WINDOW_TEST(a_bootloader_may_lose_its_magic_byte_where_another_stands_in),
        WINDOW_TEST(a_bootloader_that_gets_its_magic_byte_last_is_outside),
        WINDOW_TEST(a_measurement_leaves_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
