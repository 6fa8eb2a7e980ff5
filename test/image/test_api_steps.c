// SPDX-License-Identifier: Apache-2.0
/** @file
 * Both modes step by step: what is asked of the system, of a download, of the check and of the copy, in which order,
 * what is refused before, and which call may come next after each result. All that does the work is made up.
 */
#include "test/support/api_support.h"
#include "test/support/support_trace.h"

#include "esp_system.h"
#include "flash/sr_flash_size.h"
#include "image/sr_staging.h"
#include "image/sr_transfer.h"
#include "net/sr_download.h"
#include "relocate/sr_relocation.h"
#include "self_reflasher_err.h"
#include "system/sr_slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECTOR       SR_SECTOR_SIZE
#define FLASH_SIZE   0x400000u
#define RUNNING      0x210000u
#define SLOT_SIZE    0x100000u
#define DATA         0x320000u
#define ERROR        ESP_ERR_INVALID_CRC /**< What no step makes of itself. */

static const esp_partition_t first_slot = {.address = 0x10000, .size = SLOT_SIZE, .label = "first"};
static const esp_partition_t second_slot = {.address = 0x110000, .size = SLOT_SIZE, .label = "second"};

static struct {
    sr_system_t system;
    uint32_t extended; /**< Size of the flash that there is. */
    esp_err_t read, find_read_only, slots, open, download, finish, check, copy, changes, find, execute;
    uint32_t read_only; /**< Address of a partition that is; 0: none. */
    bool other_chip, in_the_way, no_method, restarts, unsteady;
    const esp_partition_t *slot; /**< Free for staging. */
    uint32_t received;
} fake;

WRAP(esp_err_t, sr_system_read, sr_system_t *system)
{
    note("system ");
    *system = fake.system;
    return fake.read;
}

WRAP(void, sr_flash_size_extend, sr_flash_t *flash)
{
    note("extend ");
    flash->size = fake.extended;
}

WRAP(void, sr_flash_size_restore, void)
{
    note("restore\n");
}

WRAP(esp_err_t, sr_partition_find_read_only, sr_region_t region, const esp_partition_t **found)
{
    *found = fake.read_only != 0 && region.address == fake.read_only ? &first_slot : NULL;
    return fake.find_read_only;
}

WRAP(bool, sr_partition_is_on_main_chip, const esp_partition_t *partition)
{
    (void)partition;
    return !fake.other_chip;
}

WRAP(esp_err_t, sr_slots_find, sr_slots_t *slots)
{
    note("slots ");
    memset(slots, 0, sizeof(*slots));
    return fake.slots;
}

/** Bit 1 for data, 2 for the second slot. */
WRAP(uint16_t, sr_slots_in, const sr_slots_t *slots, sr_region_t region)
{
    (void)slots;
    return region.address >= DATA ? 2 : region.address >= second_slot.address ? 4 : 0;
}

WRAP(const esp_partition_t *, sr_slots_find_staging, const sr_system_t *system, const sr_slots_t *slots, uint16_t taken,
     uint32_t wanted)
{
    (void)slots;
    assert_int_equal(system->running_partition.address, fake.system.running_partition.address);
    note("find=%u+%x ", (unsigned)taken, (unsigned)wanted);
    return fake.slot;
}

WRAP(esp_err_t, sr_staging_open, sr_staging_t *staging)
{
    note("open=%x+%x ", (unsigned)staging->room.address, (unsigned)staging->room.size);
    staging->received = 0;
    staging->written = 0;
    return fake.open;
}

WRAP(esp_err_t, sr_staging_finish, sr_staging_t *staging)
{
    (void)staging;
    note("finish ");
    return fake.finish;
}

WRAP(void, sr_staging_give_up, sr_staging_t *staging, esp_err_t why)
{
    note("give-up=%x,%s ", (unsigned)staging->written, why == ERROR ? "error" : esp_self_reflasher_err_to_name(why));
}

WRAP(void, sr_staging_close, sr_staging_t *staging)
{
    (void)staging;
    note("close ");
}

WRAP(esp_err_t, sr_download, sr_http_t *http, const sr_download_sink_t *sink)
{
    note("download=%s,%u%s ", http->config->url, (unsigned)http->stall_ms, http->allow_http ? ",http" : "");
    ((sr_staging_t *)sink->context)->received = fake.received;
    return fake.download;
}

static void note_transfer(const char *what, const sr_transfer_t *transfer)
{
    note("%s=%x+%x-%x+%x%s ", what, (unsigned)transfer->source, (unsigned)transfer->length,
         (unsigned)transfer->destination.address, (unsigned)transfer->destination.size,
         transfer->over_app ? ",over" : "");
}

WRAP(esp_err_t, sr_transfer_check, const sr_transfer_t *transfer)
{
    note_transfer("check", transfer);
    return fake.check;
}

WRAP(esp_err_t, sr_transfer_copy, const sr_transfer_t *transfer)
{
    note_transfer("copy", transfer);
    return fake.copy;
}

WRAP(esp_err_t, sr_transfer_changes_app, const sr_transfer_t *transfer, bool *changes)
{
    note_transfer("changes", transfer);
    *changes = fake.in_the_way;
    return fake.changes;
}

static sr_relocation_method_t method;

WRAP(esp_err_t, sr_relocation_find, const sr_relocation_request_t *request, sr_relocation_t *relocation, char *text,
     size_t size)
{
    assert_int_equal(request->system->flash.size, FLASH_SIZE);
    assert_true(request->allows_in_place);
    note("find%s%s ", request->allows_temporary_table ? ",table" : "", request->brings_table ? ",brings" : "");
    /* Room is what the copy does not touch. */
    const unsigned room = SR_RELOCATION_ROOM_UNWANTED | SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_LASTING;
    const sr_transfer_t *transfer = request->context;
    assert_int_equal(request->classify(request->context, transfer->destination.address), 0);
    assert_int_equal(request->classify(request->context, transfer->source & ~(SECTOR - 1)), 0);
    assert_int_equal(request->classify(request->context, 0x3F0000), room);
    assert_int_equal(request->may_commit(request->context), !fake.unsteady);
    method.restarts = fake.restarts;
    *relocation = (sr_relocation_t){.method = fake.no_method ? NULL : &method};
    (void)snprintf(text, size, "there is no room");
    return fake.find;
}

WRAP(esp_err_t, sr_relocation_execute, const sr_relocation_request_t *request, const sr_relocation_t *relocation)
{
    assert_ptr_equal(relocation->method, &method);
    note("execute ");
    return fake.execute == ESP_ERR_NOT_FINISHED ? request->write(request->context) : fake.execute;
}

WRAP(bool, sr_system_supply_is_steady, void)
{
    return !fake.unsteady;
}

static jmp_buf reset;

void __wrap_esp_restart(void) __attribute__((noreturn));

void __wrap_esp_restart(void)
{
    longjmp(reset, 1);
}

/* What the tests share. */

static esp_http_client_config_t http;
static esp_self_reflasher_config_t config;
static esp_self_reflasher_handle_t handle;
static uint32_t heap;

static int start(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    clear_trace();
    fake.system = (sr_system_t){.flash = {.size = FLASH_SIZE},
                                .running_partition = {RUNNING, SLOT_SIZE},
                                .recovery = UINT32_MAX,
                                .boot_path = {.bootloader = {0x1000, 0x6000},
                                              .table = {0x8000, SECTOR},
                                              .otadata = {0xD000, 2 * SECTOR},
                                              .running_app = {RUNNING, 0x30000}}};
    fake.extended = 2 * FLASH_SIZE;
    fake.slot = &first_slot;
    fake.received = 0x1234;
    http = (esp_http_client_config_t){.url = "url"};
    config = (esp_self_reflasher_config_t){.http_config = &http, .dest_region = {DATA, 2 * SECTOR}};
    handle = NULL;
    heap = sim_counters()->heap_now;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (handle != NULL) {
        (void)esp_self_reflasher_deinit(handle);
    }
    handle = NULL;
    assert_int_equal(sim_counters()->heap_now, heap);
    return 0;
}

static void restart(void)
{
    (void)stop(NULL);
    (void)start(NULL);
}

static esp_err_t init(void)
{
    return esp_self_reflasher_init(&config, &handle);
}

static esp_err_t next(void)
{
    return esp_self_reflasher_upd_next_config(&config, handle);
}

static esp_err_t fetch(void)
{
    return esp_self_reflasher_download_bin(handle);
}

static esp_err_t copy(void)
{
    return esp_self_reflasher_copy_to_region(handle);
}

static esp_err_t embedded(void)
{
    return esp_self_reflasher_directly_copy_to_region(&config);
}

/** Without its log lines in between those of the tests. */
static esp_err_t quietly(esp_err_t (*call)(void))
{
    api_log_start();
    const esp_err_t err = call();
    free(api_log_stop());
    return err;
}

static void expect(esp_err_t (*call)(void), esp_err_t expected)
{
    assert_int_equal(quietly(call), expected);
}

/** Ready for a download; what led there is not told. */
static void opened(void)
{
    expect(init, ESP_OK);
    clear_trace();
}

static void staged(void)
{
    opened();
    expect(fetch, ESP_OK);
    clear_trace();
}

/* Arguments. */

static void what_is_null_is_refused(void **state)
{
    (void)state;
    esp_self_reflasher_handle_t other = NULL;
    api_log_start();
    const esp_err_t errors[] = {
        esp_self_reflasher_init(NULL, &other), esp_self_reflasher_init(&config, NULL),
        esp_self_reflasher_init(NULL, NULL),   esp_self_reflasher_upd_next_config(&config, NULL),
        esp_self_reflasher_download_bin(NULL), esp_self_reflasher_copy_to_region(NULL),
        esp_self_reflasher_deinit(NULL),       esp_self_reflasher_directly_copy_to_region(NULL)};
    free(api_log_stop());
    for (size_t i = 0; i < COUNT(errors); i++) {
        assert_int_equal(errors[i], ESP_ERR_INVALID_ARG);
    }
    assert_null(other);
    expect_trace("");
    config.http_config = NULL;
    expect(init, ESP_ERR_INVALID_ARG);
    expect_trace("restore\n");
    config.http_config = &http;
    opened();
    api_log_start();
    const esp_err_t err = esp_self_reflasher_upd_next_config(NULL, handle);
    free(api_log_stop());
    assert_int_equal(err, ESP_ERR_INVALID_ARG);
    sim_heap_fail_at(1);
    api_log_start();
    const esp_err_t no_memory = esp_self_reflasher_init(&config, &other);
    free(api_log_stop());
    sim_heap_fail_at(0);
    assert_int_equal(no_memory, ESP_ERR_NO_MEM);
    expect_trace("");
}

static void handle_is_live_until_it_is_given_back(void **state)
{
    (void)state;
    esp_self_reflasher_handle_t handles[4];
    for (unsigned i = 0; i < COUNT(handles); i++) {
        expect(init, ESP_OK);
        handles[i] = handle;
        assert_int_equal((uintptr_t)handle % 2, 1); /* No object has such an address. */
        for (unsigned k = 0; k < i; k++) {
            assert_ptr_not_equal(handles[k], handle);
        }
    }
    static const unsigned order[] = {1, 3, 0, 2};
    for (unsigned i = 0; i < COUNT(order); i++) {
        handle = handles[order[i]];
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
        for (unsigned k = 0; k < COUNT(order); k++) {
            handle = handles[order[k]];
            expect(copy, k <= i ? ESP_ERR_INVALID_ARG : ESP_ERR_INVALID_STATE);
        }
    }
    handle = NULL;
}

static void log_says_which_handle_is_none(void **state)
{
    (void)state;
    opened();
    esp_self_reflasher_handle_t const live = handle;
    for (unsigned i = 0; i < 3; i++) {
        handle = i == 0 ? live : i == 1 ? NULL : (esp_self_reflasher_handle_t)&handle;
        api_log_start();
        (void)copy();
        char *log = api_log_stop();
        assert_int_equal(strstr(log, "refused: handle is NULL") != NULL, i == 1);
        assert_int_equal(strstr(log, "refused: handle is none that") != NULL, i == 2);
        free(log);
    }
    handle = live;
}

/* Regions. */

static void destination_is_whole_sectors_inside_the_flash(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        size_t size;
        uint32_t extended;
        esp_err_t expected;
        bool extends;
    } cases[] = {
        {DATA, SECTOR, FLASH_SIZE, ESP_OK, false},
        {DATA, 0, FLASH_SIZE, ESP_ERR_INVALID_ARG, false},
        {DATA, 1, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_UNALIGNED, false},
        {DATA, SECTOR + 1, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_UNALIGNED, false},
        {DATA + 1, SECTOR, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_UNALIGNED, false},
        {DATA + 1, SECTOR + 1, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_UNALIGNED, false},
        {FLASH_SIZE - SECTOR, SECTOR, FLASH_SIZE, ESP_OK, false},
        {FLASH_SIZE - SECTOR, 2 * SECTOR, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_PAST_END, true},
        {FLASH_SIZE - SECTOR, 2 * SECTOR, 2 * FLASH_SIZE, ESP_OK, true},
        {FLASH_SIZE, SECTOR, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_PAST_END, true},
        {FLASH_SIZE, SECTOR, 2 * FLASH_SIZE, ESP_OK, true},
        /* No longer than a region can say. */
        {DATA, ((size_t)1 << 32) + SECTOR, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_PAST_END, true},
        {UINT32_MAX - SECTOR + 1, SECTOR, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_PAST_END, true},
        {UINT32_MAX - SECTOR + 1, 2 * SECTOR, FLASH_SIZE, ESP_ERR_SELF_REFLASHER_PAST_END, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned mode = 0; mode < 2; mode++) {
            restart();
            config.dest_region = (addr_region_t){cases[i].address, cases[i].size};
            config.src_region = (addr_region_t){0x10000, SECTOR};
            config.src_bin_size = 1;
            fake.extended = cases[i].extended;
            expect(mode == 0 ? init : embedded, cases[i].expected);
            assert_int_equal(strstr(traced, "extend") != NULL, cases[i].extends);
            assert_string_equal(traced + strlen(traced) - 8, "restore\n");
            assert_int_equal(handle != NULL, mode == 0 && cases[i].expected == ESP_OK);
        }
    }
}

static void source_is_any_bytes_inside_the_flash(void **state)
{
    (void)state;
    static const struct {
        uint32_t address;
        size_t region, size;
        uint32_t destination;
        esp_err_t expected;
    } cases[] = {
        {1, 1, 1, SECTOR, ESP_OK},
        {0, FLASH_SIZE, 1, SECTOR, ESP_OK},
        {1, FLASH_SIZE, 1, SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END},
        {0, FLASH_SIZE + 1u, 1, SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END},
        {0, ((size_t)1 << 32) + 1, 1, SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END},
        {0, 0, 0, SECTOR, ESP_ERR_INVALID_ARG},
        {0, 10, 0, SECTOR, ESP_ERR_INVALID_ARG},
        {0, 10, 1, SECTOR, ESP_OK},
        {0, 10, 9, SECTOR, ESP_OK},
        {0, 10, 10, SECTOR, ESP_OK},
        {0, 10, 11, SECTOR, ESP_ERR_INVALID_ARG},
        {0, 2 * SECTOR, SECTOR - 1, SECTOR, ESP_OK},
        {0, 2 * SECTOR, SECTOR, SECTOR, ESP_OK},
        {0, 2 * SECTOR, SECTOR + 1, SECTOR, ESP_ERR_SELF_REFLASHER_TOO_LARGE},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        config.src_region = (addr_region_t){cases[i].address, cases[i].region};
        config.src_bin_size = cases[i].size;
        config.dest_region = (addr_region_t){DATA, cases[i].destination};
        expect(embedded, cases[i].expected);
        assert_int_equal(strstr(traced, "copy") != NULL, cases[i].expected == ESP_OK);
    }
}

static void read_only_partition_is_refused(void **state)
{
    (void)state;
    config.src_region = (addr_region_t){0x10000, SECTOR};
    config.src_bin_size = 1;
    fake.read_only = DATA;
    expect(init, ESP_ERR_SELF_REFLASHER_READ_ONLY);
    expect(embedded, ESP_ERR_SELF_REFLASHER_READ_ONLY);
    fake.read_only = 0;
    fake.find_read_only = ERROR;
    expect(init, ERROR);
    expect(embedded, ERROR);
    expect_trace("system restore\nsystem restore\nsystem restore\nsystem restore\n");
}

static void partition_of_the_running_app_is_no_destination_of_a_download(void **state)
{
    (void)state;
    static const struct {
        uint32_t address, size;
        bool refused;
    } cases[] = {{RUNNING - SECTOR, SECTOR, false},
                 {RUNNING - SECTOR, 2 * SECTOR, true},
                 {RUNNING + SLOT_SIZE - SECTOR, SECTOR, true},
                 {RUNNING + SLOT_SIZE, SECTOR, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        config.dest_region = (addr_region_t){cases[i].address, cases[i].size};
        expect(init, cases[i].refused ? ESP_ERR_SELF_REFLASHER_RUNNING_APP : ESP_OK);
    }
}

static void system_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    fake.read = ERROR;
    expect(init, ERROR);
    expect_trace("system restore\n");
    expect(embedded, ERROR);
    expect_trace("system restore\n");
    fake.read = ESP_OK;
    staged();
    fake.read = ERROR;
    expect(next, ERROR);
    expect_trace("system restore\n");
    expect(copy, ERROR);
    expect_trace("system restore\n");
    restart();
    opened();
    fake.read = ERROR;
    expect(fetch, ERROR);
    expect_trace("system restore\n");
}

/* Staging. */

static void staging_partition_must_be_free(void **state)
{
    (void)state;
    static const struct {
        uint32_t address, size;
        esp_err_t expected;
    } cases[] = {
        {0x10000, SLOT_SIZE, ESP_OK},
        {0x10000, SECTOR - 1, ESP_ERR_SELF_REFLASHER_UNALIGNED},
        {0x10000, SECTOR, ESP_OK},
        {0x10000, SECTOR + 1, ESP_OK},
        {0x10001, SLOT_SIZE, ESP_ERR_SELF_REFLASHER_UNALIGNED},
        {0x10001, SECTOR - 1, ESP_ERR_SELF_REFLASHER_UNALIGNED},
        {FLASH_SIZE - SECTOR, SECTOR, ESP_OK},
        {FLASH_SIZE - SECTOR, SECTOR + 1, ESP_ERR_SELF_REFLASHER_PAST_END},
        {FLASH_SIZE, SECTOR, ESP_ERR_SELF_REFLASHER_PAST_END},
        {DATA - SECTOR, SECTOR, ESP_OK},
        {DATA - SECTOR, SECTOR + 1, ESP_ERR_SELF_REFLASHER_OVERLAP},
        {DATA + SECTOR, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP},
        {DATA + 2 * SECTOR, SECTOR, ESP_OK},
        {0, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP}, /* The digest of Secure Boot V1. */
        {0x6000, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP},
        {0x7000, SECTOR, ESP_OK},
        {0x8000, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP},
        {0x9000, SECTOR, ESP_OK},
        {0xE000, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP},
        {0xF000, SECTOR, ESP_OK},
        {0x8F000, SECTOR, ESP_OK},
        {0x90000, SECTOR, ESP_ERR_SELF_REFLASHER_OVERLAP}, /* The recovery bootloader that started the chip. */
        {RUNNING - SECTOR, SECTOR, ESP_OK},
        {RUNNING - SECTOR, 2 * SECTOR, ESP_ERR_SELF_REFLASHER_RUNNING_APP},
        {RUNNING, SLOT_SIZE, ESP_ERR_SELF_REFLASHER_RUNNING_APP},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char expected[64];
        restart();
        const esp_partition_t partition = {.address = cases[i].address, .size = cases[i].size, .label = "mine"};
        config.target_partition = &partition;
        fake.system.boot_path.digest = (sr_region_t){0, SECTOR};
        if (cases[i].size != SLOT_SIZE) {
            fake.system.boot_path.recovery = (sr_region_t){0x90000, 0x6000};
        }
        expect(init, cases[i].expected);
        if (cases[i].expected == ESP_OK) {
            clear_trace();
            expect(fetch, ESP_OK);
            (void)snprintf(expected, sizeof(expected), "system open=%x+%x ", cases[i].address,
                           cases[i].size / SECTOR * SECTOR);
            assert_int_equal(strncmp(traced, expected, strlen(expected)), 0);
        }
        restart(); /* Before the partition is gone. */
    }
}

static void staging_partition_may_be_on_another_chip_or_read_only(void **state)
{
    (void)state;
    config.target_partition = &first_slot;
    fake.other_chip = true;
    expect(init, ESP_ERR_INVALID_ARG);
    fake.other_chip = false;
    fake.read_only = first_slot.address;
    expect(init, ESP_ERR_SELF_REFLASHER_READ_ONLY);
    fake.read_only = 0;
    clear_trace();
    expect(init, ESP_OK);
    expect_trace("system restore\n"); /* No slot is looked for. */
}

static void slot_is_looked_for_if_none_is_named(void **state)
{
    (void)state;
    expect(init, ESP_OK);
    expect_trace("system slots find=2+2000 restore\n");
    expect(fetch, ESP_OK);
    expect_trace("system open=10000+100000 download=url,0 finish check=10000+1234-320000+2000 close restore\n");
    restart();
    fake.slots = ERROR;
    expect(init, ERROR);
    expect_trace("system slots restore\n");
    fake.slots = ESP_OK;
    fake.slot = NULL;
    expect(init, ESP_ERR_SELF_REFLASHER_NO_STAGING);
}

/* After the image before it, from the start of the same partition, or in another one. */
static void next_image_is_staged_where_the_last_one_leaves_room(void **state)
{
    (void)state;
    static const struct {
        uint32_t received, size;
        uint32_t address; /* Of the destination. */
        uint32_t running; /* 0: as before. */
        const esp_partition_t *wanted;
        const char *trace;
    } cases[] = {
        {0x1234, 2 * SECTOR, DATA, 0, NULL, "open=12000+fe000 "},
        {0x1000, 2 * SECTOR, DATA, 0, NULL, "open=11000+ff000 "},
        {0x1001, 2 * SECTOR, DATA, 0, NULL, "open=12000+fe000 "},
        {0x1234, 2 * SECTOR, DATA, 0, &first_slot, "open=12000+fe000 "},
        {0x1234, 2 * SECTOR, DATA, 0, &second_slot, "open=110000+100000 "},
        {0x80000, 0x7F000, DATA, 0, NULL, "open=90000+80000 "},
        {0x80000, 0x80000, DATA, 0, NULL, "open=90000+80000 "},
        {0x80000, 0x81000, DATA, 0, NULL, "open=10000+100000 "},
        {0x1234, 2 * SECTOR, 0x10F000, 0, NULL, "open=110000+100000 "},
        {0x1234, 2 * SECTOR, DATA, 0x10000, NULL, "open=110000+100000 "},
        {0x1234, SLOT_SIZE, 0x310000, 0, NULL, "open=10000+100000 "},
        {0x1234, SLOT_SIZE + SECTOR, 0x310000, 0, NULL, "open=110000+100000 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        fake.system.flash.size = 2 * FLASH_SIZE;
        fake.received = cases[i].received;
        staged();
        fake.slot = &second_slot;
        if (cases[i].running != 0) {
            fake.system.running_partition.address = cases[i].running;
        }
        config.dest_region = (addr_region_t){cases[i].address, cases[i].size};
        config.target_partition = cases[i].wanted;
        expect(next, ESP_OK);
        clear_trace();
        expect(fetch, ESP_OK);
        const char *open = strstr(traced, "open=");
        assert_non_null(open);
        assert_int_equal(strncmp(open, cases[i].trace, strlen(cases[i].trace)), 0);
    }
}

/* What an image was copied to is no place for the next one. */
static void slots_that_were_filled_are_taken(void **state)
{
    (void)state;
    config.dest_region = (addr_region_t){second_slot.address, SECTOR};
    staged();
    expect(copy, ESP_OK);
    expect_trace(
        "system open=10000+100000 check=10000+1234-110000+1000 close slots copy=10000+1234-110000+1000 restore\n");
    config.dest_region = (addr_region_t){0x10000, SECTOR}; /* Not from the same partition, then. */
    fake.slot = &second_slot;
    expect(next, ESP_OK);
    expect_trace("system slots find=4+1000 restore\n");
    expect(fetch, ESP_OK);
    clear_trace();
    config.dest_region = (addr_region_t){second_slot.address, SECTOR};
    expect(next, ESP_OK);
    expect_trace("system slots find=4+1000 restore\n");
}

/* Downloads. */

static void download_is_as_the_configuration_says(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags;
        const char *trace;
    } cases[] = {{0, "download=url,77 "},
                 {ESP_SELF_REFLASHER_FLAG_ALLOW_HTTP_REDIRECT, "download=url,77,http "},
                 {~(uint32_t)ESP_SELF_REFLASHER_FLAG_ALLOW_HTTP_REDIRECT, "download=url,77 "}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        config.flags = cases[i].flags;
        config.stall_timeout_ms = 77;
        opened();
        http.url = "another"; /* The caller's may be gone. */
        expect(fetch, ESP_OK);
        assert_non_null(strstr(traced, cases[i].trace));
    }
}

/* The next attempt begins where this one began, and so does the next image. */
static void download_that_fails_leaves_the_handle_ready(void **state)
{
    (void)state;
    static const struct {
        esp_err_t open, download, finish, check;
        const char *trace;
    } cases[] = {
        {ERROR, 0, 0, 0, "system open=10000+100000 restore\n"},
        {0, ERROR, 0, 0, "system open=10000+100000 download=url,0 give-up=0,error close restore\n"},
        {0, 0, ERROR, 0, "system open=10000+100000 download=url,0 finish give-up=0,error close restore\n"},
        {0, 0, 0, ERROR,
         "system open=10000+100000 download=url,0 finish check=10000+1234-320000+2000 give-up=0,error close restore\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        opened();
        fake.open = cases[i].open;
        fake.download = cases[i].download;
        fake.finish = cases[i].finish;
        fake.check = cases[i].check;
        expect(fetch, ERROR);
        expect_trace(cases[i].trace);
        expect(copy, ESP_ERR_INVALID_STATE);
        expect(next, ESP_OK);
        fake.open = fake.download = fake.finish = fake.check = ESP_OK;
        clear_trace();
        expect(fetch, ESP_OK);
        expect_trace("system open=10000+100000 download=url,0 finish check=10000+1234-320000+2000 close restore\n");
    }
}

static void calls_come_in_their_order(void **state)
{
    (void)state;
    opened();
    expect(copy, ESP_ERR_INVALID_STATE);
    expect_trace("restore\n");
    expect(fetch, ESP_OK);
    clear_trace();
    expect(fetch, ESP_ERR_INVALID_STATE);
    expect_trace("");
    expect(copy, ESP_OK);
    clear_trace();
    expect(copy, ESP_ERR_INVALID_STATE);
    expect(fetch, ESP_ERR_INVALID_STATE);
    expect_trace("restore\n");
    expect(next, ESP_OK);
    expect(copy, ESP_ERR_INVALID_STATE);
    expect(fetch, ESP_OK);
    expect(copy, ESP_OK);
}

/* An update that is refused leaves what is staged. */
static void update_that_is_refused_changes_nothing(void **state)
{
    (void)state;
    staged();
    config.dest_region = (addr_region_t){DATA + 1, SECTOR};
    expect(next, ESP_ERR_SELF_REFLASHER_UNALIGNED);
    clear_trace();
    expect(copy, ESP_OK);
    expect_trace(
        "system open=10000+100000 check=10000+1234-320000+2000 close slots copy=10000+1234-320000+2000 restore\n");
}

/* Only another download helps an image that is refused; with any other error what is staged stays. */
static void copy_that_fails_can_be_tried_again(void **state)
{
    (void)state;
    static const struct {
        esp_err_t open, check, slots, copy;
        const char *trace;
    } cases[] = {
        {ERROR, 0, 0, 0, "system open=10000+100000 restore\n"},
        {0, ERROR, 0, 0, "system open=10000+100000 check=10000+1234-320000+2000 close restore\n"},
        {0, 0, ERROR, 0, "system open=10000+100000 check=10000+1234-320000+2000 close slots restore\n"},
        {0, 0, 0, ERROR,
         "system open=10000+100000 check=10000+1234-320000+2000 close slots copy=10000+1234-320000+2000 restore\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        staged();
        fake.open = cases[i].open;
        fake.check = cases[i].check;
        fake.slots = cases[i].slots;
        fake.copy = cases[i].copy;
        expect(copy, ERROR);
        expect_trace(cases[i].trace);
        fake.open = fake.check = fake.slots = fake.copy = ESP_OK;
        expect(fetch, ESP_ERR_INVALID_STATE);
        expect(copy, ESP_OK);
    }
    restart();
    staged();
    fake.check = ESP_ERR_SELF_REFLASHER_SHA256;
    expect(copy, ESP_ERR_SELF_REFLASHER_SHA256);
    expect_trace("system open=10000+100000 check=10000+1234-320000+2000 "
                 "give-up=2000,ESP_ERR_SELF_REFLASHER_SHA256 close restore\n");
    fake.check = ESP_OK;
    expect(copy, ESP_ERR_INVALID_STATE);
    expect(next, ESP_OK);
    clear_trace();
    expect(fetch, ESP_OK);
    expect_trace("system open=10000+100000 download=url,0 finish check=10000+1234-320000+2000 close restore\n");
    restart();
    staged();
    fake.check = ESP_ERR_SELF_REFLASHER_SHA256;
    expect(copy, ESP_ERR_SELF_REFLASHER_SHA256);
    fake.check = ESP_OK;
    expect(fetch, ESP_OK);
    expect(copy, ESP_OK);
}

/* Embedded images. */

static void embed(uint32_t source, uint32_t length, uint32_t address, uint32_t size)
{
    config.src_region = (addr_region_t){source, length};
    config.src_bin_size = length;
    config.dest_region = (addr_region_t){address, size};
}

#define CHECKED  "system check=10001+1234-320000+2000 "
#define ASKED    CHECKED "changes=10001+1234-320000+2000 "
#define RESTORED "restore\n"

static void embedded_image_is_checked_and_copied(void **state)
{
    (void)state;
    static const struct {
        esp_err_t check, changes, copy;
        const char *trace;
    } cases[] = {{0, 0, 0, ASKED "copy=10001+1234-320000+2000 " RESTORED},
                 {ERROR, 0, 0, CHECKED RESTORED},
                 {0, ERROR, 0, ASKED RESTORED},
                 {0, 0, ERROR, ASKED "copy=10001+1234-320000+2000 " RESTORED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        embed(0x10001, 0x1234, DATA, 2 * SECTOR);
        fake.check = cases[i].check;
        fake.changes = cases[i].changes;
        fake.copy = cases[i].copy;
        expect(embedded, i == 0 ? ESP_OK : ERROR);
        expect_trace(cases[i].trace);
    }
}

static void app_that_is_in_the_way_moves_or_is_overwritten(void **state)
{
    (void)state;
    static const struct {
        esp_err_t find, execute, copy;
        bool no_method, encryption;
        esp_err_t expected;
        const char *trace;
    } cases[] = {
        {0, 0, 0, false, false, ESP_OK, ASKED "find execute " RESTORED},
        {0, ESP_ERR_NOT_FINISHED, 0, false, false, ESP_OK,
         ASKED "find execute copy=10001+1234-320000+2000,over " RESTORED},
        {0, ESP_ERR_NOT_FINISHED, ERROR, false, false, ERROR,
         ASKED "find execute copy=10001+1234-320000+2000,over " RESTORED},
        {ERROR, 0, 0, false, false, ERROR, ASKED "find " RESTORED},
        {ERROR, 0, 0, true, false, ERROR, ASKED "find " RESTORED},
        {0, ERROR, 0, false, false, ERROR, ASKED "find execute " RESTORED},
        {0, 0, 0, true, false, ESP_ERR_SELF_REFLASHER_RUNNING_APP, ASKED "find " RESTORED},
        {0, 0, 0, true, true, ESP_ERR_NOT_SUPPORTED, ASKED "find " RESTORED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        embed(0x10001, 0x1234, DATA, 2 * SECTOR);
        fake.in_the_way = true;
        fake.find = cases[i].find;
        fake.execute = cases[i].execute;
        fake.copy = cases[i].copy;
        fake.no_method = cases[i].no_method;
        fake.unsteady = i % 2 != 0;
        fake.system.flash.encryption = cases[i].encryption;
        api_log_start();
        const esp_err_t err = embedded();
        char *log = api_log_stop();
        assert_int_equal(err, cases[i].expected);
        expect_trace(cases[i].trace);
        assert_int_equal(strstr(log, "there is no room") != NULL, cases[i].no_method && cases[i].find == ESP_OK);
        free(log);
    }
}

static esp_err_t returned;

static bool restarts_the_chip(void)
{
    if (setjmp(reset) == 0) {
        returned = embedded();
        return false;
    }
    return true;
}

static void app_that_has_moved_starts_from_there(void **state)
{
    (void)state;
    static const struct {
        esp_err_t execute;
        bool restarts;
    } cases[] = {{ESP_OK, true}, {ESP_OK, false}, {ERROR, true}, {ERROR, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        embed(0x10001, 0x1234, DATA, 2 * SECTOR);
        fake.in_the_way = true;
        fake.restarts = cases[i].restarts;
        fake.execute = cases[i].execute;
        const bool restarts = cases[i].execute == ESP_OK && cases[i].restarts;
        assert_int_equal(restarts_the_chip(), restarts);
        if (!restarts) {
            assert_int_equal(returned, cases[i].execute);
        }
    }
}

/* Which the app allows; and which it needs not, if it brings one. */
static void temporary_table_is_allowed_by_a_flag(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags, address, size;
        const char *trace;
    } cases[] = {
        {0, DATA, SECTOR, "find execute "},
        {ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE, DATA, SECTOR, "find,table execute "},
        {~(uint32_t)ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE, DATA, SECTOR, "find execute "},
        {0, 0x8000, SECTOR, "find,brings execute "},
        {0, 0x7000, SECTOR, "find execute "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        restart();
        embed(0x10001, SECTOR, cases[i].address, cases[i].size);
        config.flags = cases[i].flags;
        fake.in_the_way = true;
        expect(embedded, ESP_OK);
        assert_non_null(strstr(traced, cases[i].trace));
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_null_is_refused),
        TEST(handle_is_live_until_it_is_given_back),
        TEST(log_says_which_handle_is_none),
        TEST(destination_is_whole_sectors_inside_the_flash),
        TEST(source_is_any_bytes_inside_the_flash),
        TEST(read_only_partition_is_refused),
        TEST(partition_of_the_running_app_is_no_destination_of_a_download),
        TEST(system_that_cannot_be_read_is_told),
        TEST(staging_partition_must_be_free),
        TEST(staging_partition_may_be_on_another_chip_or_read_only),
        TEST(slot_is_looked_for_if_none_is_named),
        TEST(next_image_is_staged_where_the_last_one_leaves_room),
        TEST(slots_that_were_filled_are_taken),
        TEST(download_is_as_the_configuration_says),
        TEST(download_that_fails_leaves_the_handle_ready),
        TEST(calls_come_in_their_order),
        TEST(update_that_is_refused_changes_nothing),
        TEST(copy_that_fails_can_be_tried_again),
        TEST(embedded_image_is_checked_and_copied),
        TEST(app_that_is_in_the_way_moves_or_is_overwritten),
        TEST(app_that_has_moved_starts_from_there),
        TEST(temporary_table_is_allowed_by_a_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
