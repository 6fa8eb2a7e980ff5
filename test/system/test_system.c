// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the engine knows of the running system, and how it finds partitions in its table, as ESP-IDF has that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "system/sr_system.h"

#include "esp_chip_info.h"
#include "esp_flash.h"
#include "format/sr_digest.h"
#include "sim/chip/sim_state.h"
#include "system/sr_given_up.h"
#include "system/sr_move_source.h"
#include "system/sr_partition.h"
#include "system/sr_slots.h"
#include "test/support/support_failing_search.h"
#include "test/support/support_failing_hash.h"
#include "test/support/support_small.h"

#define SECTOR SR_SECTOR_SIZE
#define APP    ESP_PARTITION_TYPE_APP
#define DATA   ESP_PARTITION_TYPE_DATA
#define OTA_0  ESP_PARTITION_SUBTYPE_APP_OTA_MIN
#define NVS    ESP_PARTITION_SUBTYPE_DATA_NVS
#define FILES  0x82

static nor_flash_t *flash;
static esp_flash_t other_chip;
static uint8_t scratch[SECTOR];

/* What fails. */

static esp_err_t flash_says;
static esp_err_t read_says;
static int model; /**< Of the chip; 0: as it is. */

esp_err_t __real_sr_flash_open(sr_flash_t *handle);
esp_err_t __wrap_sr_flash_open(sr_flash_t *handle);
esp_err_t __wrap_sr_flash_open(sr_flash_t *handle)
{
    const esp_err_t err = __real_sr_flash_open(handle);
    return flash_says != ESP_OK ? flash_says : err;
}

esp_err_t __real_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *handle, uint32_t address, void *out, uint32_t length)
{
    const esp_err_t err = __real_sr_flash_read(handle, address, out, length);
    return read_says != ESP_OK ? read_says : err;
}

void __real_esp_chip_info(esp_chip_info_t *info);
void __wrap_esp_chip_info(esp_chip_info_t *info);
void __wrap_esp_chip_info(esp_chip_info_t *info)
{
    __real_esp_chip_info(info);
    info->model = model != 0 ? (esp_chip_model_t)model : info->model;
}

static void attach_as(const boot_chip_t *chip)
{
    const sim_config_t config = {.chip = *chip, .flash = flash, .running_app = SMALL_SLOTS, .quiet = true};
    assert_true(sim_chip_attach(&config));
}

static int setup(void **state)
{
    (void)state;
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    small_app("1", nor_flash_bytes(flash) + SMALL_SLOTS);
    attach_as(&(boot_chip_t){.chip = sr_chip_by_name("esp32")});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_chip_detach();
    nor_flash_delete(flash);
    return 0;
}

/* The table of the app that runs. */

static void clear_table(void)
{
    sim_state.partition_count = 0;
}

static esp_partition_t *add(unsigned type, unsigned subtype, uint32_t address, uint32_t size, const char *label)
{
    esp_partition_t *partition = &sim_state.partitions[sim_state.partition_count++];
    *partition = (esp_partition_t){.flash_chip = esp_flash_default_chip,
                                   .type = (esp_partition_type_t)type,
                                   .subtype = (esp_partition_subtype_t)subtype,
                                   .address = address,
                                   .size = size,
                                   .erase_size = SECTOR};
    strncpy(partition->label, label, sizeof(partition->label) - 1);
    return partition;
}

static void assert_region(sr_region_t region, uint32_t address, uint32_t size)
{
    assert_int_equal(region.address, address);
    assert_int_equal(region.size, size);
}

/* Partitions. */

typedef struct visited {
    const esp_partition_t *list[8];
    unsigned count;
} visited_t;

static void note(void *context, const esp_partition_t *partition)
{
    visited_t *visited = context;
    assert_true(visited->count < 8);
    visited->list[visited->count++] = partition;
}

static void partitions_on_another_flash_chip_are_not_visited(void **state)
{
    (void)state;
    visited_t visited = {.count = 0};
    clear_table();
    add(DATA, FILES, 0, SECTOR, "elsewhere")->flash_chip = &other_chip;
    const esp_partition_t *first = add(DATA, NVS, SECTOR, SECTOR, "first");
    add(APP, OTA_0, SECTOR, SECTOR, "elsewhere")->flash_chip = &other_chip;
    esp_partition_t *second = add(APP, OTA_0, 2 * SECTOR, SECTOR, "second");
    second->flash_chip = NULL; /* The main one, too. */
    assert_int_equal(sr_partition_visit(note, &visited), ESP_OK);
    assert_int_equal(visited.count, 2);
    assert_ptr_equal(visited.list[0], first);
    assert_ptr_equal(visited.list[1], second);
    assert_region(sr_partition_region(first), SECTOR, SECTOR);
    assert_region(sr_partition_region(NULL), 0, 0);
}

static void only_what_is_flagged_and_touched_is_read_only(void **state)
{
    (void)state;
    const esp_partition_t *found;
    clear_table();
    add(DATA, FILES, 2 * SECTOR, 4 * SECTOR, "files");
    esp_partition_t *closed = add(DATA, FILES, 8 * SECTOR, 2 * SECTOR, "closed");
    closed->readonly = true;
    static const struct {
        sr_region_t region;
        bool found;
    } cases[] = {{{2 * SECTOR, 4 * SECTOR}, false}, {{7 * SECTOR, SECTOR}, false},  {{7 * SECTOR, SECTOR + 1}, true},
                 {{10 * SECTOR - 1, SECTOR}, true}, {{10 * SECTOR, SECTOR}, false}, {{8 * SECTOR, 0}, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        found = cases[i].found ? NULL : closed;
        assert_int_equal(sr_partition_find_read_only(cases[i].region, &found), ESP_OK);
        assert_ptr_equal(found, cases[i].found ? closed : NULL);
    }
    failing_search = ALL_SEARCHES;
    const esp_err_t err = sr_partition_find_read_only((sr_region_t){0, SECTOR}, &found);
    failing_search = 0;
    assert_int_equal(err, ESP_ERR_NO_MEM);
}

static void all_but_apps_and_boot_path_is_data(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        const esp_partition_t partition = {.type = (esp_partition_type_t)type};
        assert_int_equal(sr_partition_is_data(&partition), type != 0 && type != 2 && type != 3);
    }
}

/* Slots. */

static void slots_are_the_ota_apps_by_number(void **state)
{
    (void)state;
    sr_slots_t slots;
    clear_table();
    add(APP, OTA_0 + SR_SLOTS_MAX, 0x5000, 0x1000, "test");
    assert_int_equal(sr_slots_find(&slots), ESP_OK);
    assert_int_equal(slots.count, 0);
    add(APP, ESP_PARTITION_SUBTYPE_APP_FACTORY, 0x10000, 0x1000, "factory");
    add(DATA, OTA_0 + 1, 0x20000, 0x1000, "no app");
    const esp_partition_t *third = add(APP, OTA_0 + 3, 0x30000, 0x1000, "ota_3");
    const esp_partition_t *last = add(APP, OTA_0 + SR_SLOTS_MAX - 1, 0x40000, 0x1000, "ota_15");
    const esp_partition_t *first = add(APP, OTA_0, 0x50000, 0x1000, "ota_0");
    add(APP, OTA_0 + 3, 0x60000, 0x1000, "ota_3 again");
    assert_int_equal(sr_slots_find(&slots), ESP_OK);
    assert_int_equal(slots.count, 3);
    for (unsigned i = 0; i < SR_SLOTS_MAX; i++) {
        const esp_partition_t *wanted = i == 0 ? first : i == 3 ? third : i == SR_SLOTS_MAX - 1 ? last : NULL;
        assert_ptr_equal(slots.list[i], wanted);
    }
    assert_int_equal(sr_slots_in(&slots, (sr_region_t){0, 0x70000}), 1u << 0 | 1u << 3 | 1u << 15);
    assert_int_equal(sr_slots_in(&slots, (sr_region_t){0x30FFF, 0xF001}), 1u << 3);
    assert_int_equal(sr_slots_in(&slots, (sr_region_t){0x31000, 0xF000}), 0);
    assert_int_equal(sr_slots_in(&slots, (sr_region_t){0x31000, 0xF001}), 1u << 15);
    assert_int_equal(sr_slots_in(&slots, (sr_region_t){0x50000, 1}), 1u << 0);
    failing_search = ALL_SEARCHES;
    const esp_err_t err = sr_slots_find(&slots);
    failing_search = 0;
    assert_int_equal(err, ESP_ERR_NO_MEM);
}

/* Slots of 1, 2, 4, 3 and 4 sectors, and numbers that are not in use between them. */
static void image_is_staged_in_the_first_free_slot_that_holds_it_or_the_largest(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 4, 3, 4};
    static const unsigned numbers[] = {0, 1, 3, 4, 15};
    static const struct {
        uint32_t wanted, running; /* Sectors; number of the slot that runs. */
        uint16_t taken, read_only;
        int expected; /* Number of the slot; -1: none. */
    } cases[] = {{1, 15, 0, 0, 0},
                 {2, 15, 0, 0, 1},
                 {3, 15, 0, 0, 3},
                 {4, 15, 0, 0, 3},
                 {5, 15, 0, 0, 3},
                 {5, 0, 0, 0, 3}, /* The first one of the largest. */
                 {5, 3, 0, 0, 15},
                 {5, 3, 1u << 15, 0, 4},
                 {1, 0, 0, 0, 1},
                 {1, 0, 1u << 1, 0, 3},
                 {1, 0, 1u << 1, 1u << 3, 4},
                 {3, 0, 1u << 3, 1u << 4, 15},
                 {5, 0, 1u << 3 | 1u << 15, 0, 4},
                 {1, 0, 1u << 1 | 1u << 3 | 1u << 4 | 1u << 15, 0, -1},
                 {1, 15, 0xFFFE, 0, 0},
                 {1, 15, 0, 0xFFFF, -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_slots_t slots;
        sr_system_t system = {.running_partition = {0}};
        clear_table();
        for (unsigned k = 0; k < 5; k++) {
            esp_partition_t *slot = add(APP, OTA_0 + numbers[k], (k + 1) * 0x10000, sizes[k] * SECTOR, "slot");
            slot->readonly = (cases[i].read_only >> numbers[k] & 1) != 0;
            system.running_partition =
                numbers[k] == cases[i].running ? sr_partition_region(slot) : system.running_partition;
        }
        assert_int_equal(sr_slots_find(&slots), ESP_OK);
        const esp_partition_t *found = sr_slots_find_staging(&system, &slots, cases[i].taken, cases[i].wanted * SECTOR);
        assert_ptr_equal(found, cases[i].expected >= 0 ? slots.list[cases[i].expected] : NULL);
    }
}

static void slot_with_a_recovery_bootloader_is_not_free(void **state)
{
    (void)state;
    sr_slots_t slots;
    const sr_system_t system = {.boot_path = {.recovery = {SMALL_SLOTS + SECTOR, SECTOR}}};
    assert_int_equal(sr_slots_find(&slots), ESP_OK);
    assert_ptr_equal(sr_slots_find_staging(&system, &slots, 0, SECTOR), slots.list[1]);
}

/* What a bundle gives up, and moves. */

static sr_bundle_t bundle_giving_up(const sr_bundle_given_up_t *rows, unsigned count, uint8_t **bytes)
{
    static const uint8_t content[SECTOR];
    size_t size = 0;
    sr_bundle_t bundle;
    const bundle_region_t region = {.place = {0xF0000, SECTOR}, .data = content, .length = SECTOR};
    const bundle_spec_t spec = {.min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = &region,
                                .region_count = 1,
                                .given_up = rows,
                                .given_up_count = count};
    assert_int_equal(bundle_write(&spec, bytes, &size), BUNDLE_WRITE_OK);
    assert_int_equal(sr_bundle_parse(*bytes, (uint32_t)size, &bundle), SR_BUNDLE_OK);
    return bundle;
}

static void whole_sectors_of_a_partition_are_given_up(void **state)
{
    (void)state;
    static const sr_bundle_given_up_t by_label = {.label = "x"};
    static const sr_bundle_given_up_t by_place = {.place = {0xA0000, 3 * SECTOR}};
    uint8_t *bytes;
    clear_table();
    sr_bundle_t bundle = bundle_giving_up(&by_label, 1, &bytes);
    assert_region(sr_given_up_place(&bundle, 0), 0, 0); /* There is none. */
    esp_partition_t *partition = add(DATA, FILES, 0x40000, 3 * SECTOR, "x");
    static const struct {
        uint32_t address, size, given_up;
        bool elsewhere;
    } cases[] = {{0x40000, 3 * SECTOR, 3 * SECTOR, false},
                 {0x40000, 3 * SECTOR + 1, 3 * SECTOR, false},
                 {0x40000, 4 * SECTOR - 1, 3 * SECTOR, false},
                 {0x40000, SECTOR - 1, 0, false},
                 {0x40001, 3 * SECTOR, 0, false},
                 {0x40800, 3 * SECTOR, 0, false},
                 {0x40000, 3 * SECTOR, 0, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        partition->address = cases[i].address;
        partition->size = cases[i].size;
        partition->flash_chip = cases[i].elsewhere ? &other_chip : esp_flash_default_chip;
        assert_int_equal(sr_given_up_place(&bundle, 0).size, cases[i].given_up);
        assert_int_equal(sr_given_up_place(&bundle, 0).address,
                         cases[i].given_up > 0 ? 0x40000 : sr_given_up_place(&bundle, 0).address);
    }
    free(bytes);
    bundle = bundle_giving_up(&by_place, 1, &bytes);
    assert_region(sr_given_up_place(&bundle, 0), 0xA0000, 3 * SECTOR);
    free(bytes);
}

/* A region, and the part of it that somebody has: covered if each sector of both is given up. */
static void sector_that_one_row_gives_up_is_covered(void **state)
{
    (void)state;
    static const sr_bundle_given_up_t rows[] = {{.place = {0x40000, 2 * SECTOR}}, {.place = {0x42000, 2 * SECTOR}}};
    static const struct {
        sr_region_t region, part;
        bool covered;
    } cases[] = {{{0x40000, 4 * SECTOR}, {0x40000, 4 * SECTOR}, true},
                 {{0x40000, 4 * SECTOR}, {0x3F000, 6 * SECTOR}, true},
                 {{0x3F000, 6 * SECTOR}, {0x40000, 4 * SECTOR}, true},
                 {{0x3F000, 6 * SECTOR}, {0x3FFFF, 4 * SECTOR}, false},
                 {{0x3F000, 6 * SECTOR}, {0x40000, 4 * SECTOR + 1}, false},
                 {{0x3F000, SECTOR}, {0x3E000, SECTOR + 1}, false}, /* Its first byte only. */
                 {{0x44000, SECTOR}, {0x43000, SECTOR + 1}, false},
                 {{0x44000, SECTOR}, {0x43000, SECTOR}, true}, /* None of it. */
                 {{0x41000, 2 * SECTOR}, {0, 0x80000}, true},
                 {{0x50000, 4 * SECTOR}, {0x50000, SECTOR}, false}};
    uint8_t *bytes;
    clear_table();
    add(DATA, NVS, 0x50000, 4 * SECTOR, "nvs");
    sr_bundle_t bundle = bundle_giving_up(rows, 2, &bytes);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sr_given_up_covers(&bundle, cases[i].region, cases[i].part), cases[i].covered);
    }
    bundle.given_up_count = 1;
    assert_true(sr_given_up_covers(&bundle, rows[0].place, rows[0].place));
    assert_false(sr_given_up_covers(&bundle, rows[1].place, rows[1].place));
    free(bytes);
}

static void source_of_a_move_is_found_and_measured(void **state)
{
    (void)state;
    static const struct {
        unsigned type, subtype;
        uint32_t address, size, destination_size;
        sr_move_source_status_t expected;
        uint32_t source_size;
    } cases[] = {
        {DATA, NVS, 0x40000, 4 * SECTOR, 4 * SECTOR, SR_MOVE_SOURCE_FITS, 4 * SECTOR},
        {DATA, NVS, 0x40000, 4 * SECTOR, 5 * SECTOR, SR_MOVE_SOURCE_FITS, 4 * SECTOR},
        {DATA, NVS, 0x40000, 4 * SECTOR, 3 * SECTOR, SR_MOVE_SOURCE_IS_NVS, 4 * SECTOR},
        {DATA, NVS, 0x40000, 4 * SECTOR + 1, 4 * SECTOR, SR_MOVE_SOURCE_IS_NVS, 5 * SECTOR},
        {DATA, FILES, 0x40000, 4 * SECTOR, 3 * SECTOR, SR_MOVE_SOURCE_TOO_LARGE, 4 * SECTOR},
        {APP, NVS, 0x40000, 4 * SECTOR, 3 * SECTOR, SR_MOVE_SOURCE_TOO_LARGE, 4 * SECTOR},
        {0x40, NVS, 0x40000, 4 * SECTOR, 3 * SECTOR, SR_MOVE_SOURCE_TOO_LARGE, 4 * SECTOR},
        {DATA, FILES, 0x40000, 3 * SECTOR + 1, 4 * SECTOR, SR_MOVE_SOURCE_FITS, 4 * SECTOR},
        {DATA, FILES, 0x40001, SECTOR, 4 * SECTOR, SR_MOVE_SOURCE_UNALIGNED, SECTOR},
        {DATA, FILES, SMALL_FLASH_SIZE - SECTOR, SECTOR, SECTOR, SR_MOVE_SOURCE_FITS, SECTOR},
        {DATA, FILES, SMALL_FLASH_SIZE - SECTOR, 2 * SECTOR, 2 * SECTOR, SR_MOVE_SOURCE_TOO_LARGE, 2 * SECTOR},
        {DATA, NVS, SMALL_FLASH_SIZE - SECTOR, 2 * SECTOR, SECTOR, SR_MOVE_SOURCE_TOO_LARGE, 2 * SECTOR},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sr_region_t source = {1, 1};
        const sr_bundle_move_t move = {.label = "x", .destination = {0x80000, cases[i].destination_size}};
        clear_table();
        add(DATA, FILES, 0x90000, SECTOR, "xx");
        esp_partition_t *partition = add(cases[i].type, cases[i].subtype, cases[i].address, cases[i].size, "x");
        assert_int_equal(sr_move_source_find(&move, SMALL_FLASH_SIZE, &source), cases[i].expected);
        assert_region(source, cases[i].address, cases[i].source_size);
        partition->flash_chip = &other_chip;
        assert_int_equal(sr_move_source_find(&move, SMALL_FLASH_SIZE, &source), SR_MOVE_SOURCE_MISSING);
        partition->label[0] = 'y';
        assert_int_equal(sr_move_source_find(&move, SMALL_FLASH_SIZE, &source), SR_MOVE_SOURCE_MISSING);
        assert_region(source, 0, 0);
    }
    sr_region_t source;
    sr_bundle_move_t move = {.source = {0x40000, 2 * SECTOR}, .destination = {0x80000, 2 * SECTOR}};
    assert_int_equal(sr_move_source_find(&move, SMALL_FLASH_SIZE, &source), SR_MOVE_SOURCE_FITS);
    assert_region(source, 0x40000, 2 * SECTOR);
    move.destination.size = SECTOR;
    assert_int_equal(sr_move_source_find(&move, SMALL_FLASH_SIZE, &source), SR_MOVE_SOURCE_TOO_LARGE);
}

/* The system. */

/* An app with the number of otadata's subtype, NVS, a table of the app's own, and a second otadata. */
static void first_otadata_of_the_table_counts(void **state)
{
    (void)state;
    sr_system_t system;
    clear_table();
    add(APP, ESP_PARTITION_SUBTYPE_DATA_OTA, SMALL_FACTORY, SECTOR, "factory");
    add(DATA, NVS, SMALL_NVS, SMALL_NVS_SIZE, "nvs");
    assert_int_equal(sr_system_read(&system), ESP_OK);
    assert_region(system.boot_path.otadata, 0, 0);
    add(DATA, ESP_PARTITION_SUBTYPE_DATA_OTA, SMALL_OTADATA, 2 * SECTOR, "otadata");
    add(DATA, ESP_PARTITION_SUBTYPE_DATA_OTA, 0xA0000, 2 * SECTOR, "otadata 2");
    add(DATA, NVS, 0xB0000, SMALL_NVS_SIZE, "nvs 2");
    add(APP, OTA_0, SMALL_SLOTS, SMALL_SLOT_SIZE, "ota_0");
    add(APP, ESP_PARTITION_SUBTYPE_DATA_OTA, 0xC0000, SECTOR, "factory 2");
    assert_int_equal(sr_system_read(&system), ESP_OK);
    assert_region(system.boot_path.otadata, SMALL_OTADATA, 2 * SECTOR);
    assert_region(system.running_partition, SMALL_SLOTS, SMALL_SLOT_SIZE);
    assert_region(system.boot_path.running_app, SMALL_SLOTS, SMALL_APP_SIZE);
    assert_region(system.boot_path.table, SR_PARTITION_TABLE_OFFSET, SECTOR);
    assert_int_equal(system.boot_path.bootloader.address, SMALL_BOOTLOADER);
    assert_in_range(system.boot_path.bootloader.size, SECTOR, 0x6000); /* Not all of the room. */
    assert_region(system.boot_path.digest, 0, 0);
    assert_region(system.boot_path.recovery, 0, 0);
    assert_int_equal(system.recovery, UINT32_MAX);
    assert_int_equal(system.flash.size, SMALL_FLASH_SIZE);
}

static void chip_is_told_by_its_model(void **state)
{
    (void)state;
    sr_system_t system;
    static const char *const names[] = {"esp32", "esp32s3", "esp32c5", "esp32"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        attach_as(&(boot_chip_t){.chip = sr_chip_by_name(names[i])});
        assert_int_equal(sr_system_read(&system), ESP_OK);
        assert_ptr_equal(system.chip, sr_chip_by_name(names[i]));
    }
    model = 999;
    const esp_err_t err = sr_system_read(&system);
    model = 0;
    assert_int_equal(err, ESP_ERR_NOT_SUPPORTED);
}

static void system_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    sr_system_t system;
    flash_says = ESP_ERR_INVALID_RESPONSE;
    const esp_err_t no_flash = sr_system_read(&system);
    flash_says = ESP_OK;
    failing_search = ALL_SEARCHES;
    const esp_err_t no_memory = sr_system_read(&system);
    failing_search = 0;
    assert_int_equal(no_flash, ESP_ERR_INVALID_RESPONSE);
    assert_int_equal(no_memory, ESP_ERR_NO_MEM);
}

/* Its keys are asked of chips with the second version, the sector of its digest is that of the first. */
static void secure_boot_says_what_there_is_to_know(void **state)
{
    (void)state;
    sr_system_t system;
    for (unsigned version = 0; version <= 2; version++) {
        boot_chip_t chip = {.chip = sr_chip_by_name("esp32"),
                            .burnt = {.secure_boot_v1 = version == 1, .secure_boot_v2 = version == 2}};
        chip.burnt.keys[0] =
            (efuse_key_t){.purpose = EFUSE_PURPOSE_DIGEST_0, .readable = true, .length = EFUSE_KEY_SIZE, .bytes = {1}};
        attach_as(&chip);
        assert_int_equal(sr_system_read(&system), ESP_OK);
        assert_region(system.boot_path.digest, 0, version == 1 ? SECTOR : 0);
        assert_int_equal(system.keys.list[0].burnt, version == 2);
    }
}

static void digest_of_the_app_is_that_of_its_first_sector(void **state)
{
    (void)state;
    sr_system_t system;
    uint8_t id[SR_SHA256_SIZE], expected[SR_SHA256_SIZE];
    assert_true(sr_digest(nor_flash_view(flash) + SMALL_SLOTS, SECTOR, expected));
    assert_int_equal(sr_system_read(&system), ESP_OK);
    assert_int_equal(sr_system_app_id(&system, scratch, id), ESP_OK);
    assert_memory_equal(id, expected, sizeof(id));
    read_says = ESP_ERR_INVALID_RESPONSE;
    const esp_err_t unread = sr_system_app_id(&system, scratch, id);
    read_says = ESP_OK;
    hash_fails = true;
    const esp_err_t not_hashed = sr_system_app_id(&system, scratch, id);
    hash_fails = false;
    assert_int_equal(unread, ESP_ERR_INVALID_RESPONSE);
    assert_int_equal(not_hashed, ESP_FAIL);
}

static void app_runs_past_16_mib_only_where_one_does_today(void **state)
{
    (void)state;
    static const struct {
        const char *chip;
        sr_region_t today, place;
        bool can;
    } cases[] = {{"esp32", {0x10000, SECTOR}, {0xFFF000, SECTOR}, true},
                 {"esp32", {0x10000, SECTOR}, {0xFFF000, SECTOR + 1}, false},
                 {"esp32", {0x1000000, SECTOR}, {0x1000000, SECTOR}, false},
                 {"esp32s3", {0x10000, SECTOR}, {0xFFF000, SECTOR + 1}, false},
                 {"esp32s3", {0xFFF000, SECTOR}, {0x1000000, SECTOR}, false},
                 {"esp32s3", {0xFFF000, SECTOR + 1}, {0x1000000, SECTOR}, true},
                 {"esp32s3", {0x10000, SECTOR}, {0xFFFFF000, SECTOR}, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sr_system_t system = {.chip = sr_chip_by_name(cases[i].chip),
                                    .boot_path = {.running_app = cases[i].today}};
        assert_int_equal(sr_system_can_run_at(&system, cases[i].place), cases[i].can);
    }
}

static void supply_is_steady_but_after_a_brownout(void **state)
{
    (void)state;
    assert_true(sr_system_supply_is_steady());
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32")},
                                 .flash = flash,
                                 .running_app = SMALL_SLOTS,
                                 .after_brownout = true,
                                 .quiet = true};
    assert_true(sim_chip_attach(&config));
    assert_false(sr_system_supply_is_steady());
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(partitions_on_another_flash_chip_are_not_visited),
        TEST(only_what_is_flagged_and_touched_is_read_only),
        TEST(all_but_apps_and_boot_path_is_data),
        TEST(slots_are_the_ota_apps_by_number),
        TEST(image_is_staged_in_the_first_free_slot_that_holds_it_or_the_largest),
        TEST(slot_with_a_recovery_bootloader_is_not_free),
        TEST(whole_sectors_of_a_partition_are_given_up),
        TEST(sector_that_one_row_gives_up_is_covered),
        TEST(source_of_a_move_is_found_and_measured),
        TEST(first_otadata_of_the_table_counts),
        TEST(chip_is_told_by_its_model),
        TEST(system_that_cannot_be_read_is_an_error),
        TEST(secure_boot_says_what_there_is_to_know),
        TEST(digest_of_the_app_is_that_of_its_first_sector),
        TEST(app_runs_past_16_mib_only_where_one_does_today),
        TEST(supply_is_steady_but_after_a_brownout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
