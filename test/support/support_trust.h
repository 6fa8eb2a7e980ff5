// SPDX-License-Identifier: Apache-2.0
/** @file
 * A small chip, a signed bundle for it, and the record that its app would stage: right, or with any kind of lie.
 * Include after cmocka.h.
 */
#pragma once

#include "self_reflasher_bundle.h"
#include "self_reflasher_err.h"
#include "test/support/support_record.h"
#include "test/support/support_small.h"

#define SECTOR  SR_SECTOR_SIZE
#define SLOT_0  SMALL_SLOTS
#define SLOT_1  (SMALL_SLOTS + SMALL_SLOT_SIZE)
#define STORAGE 0xA0000u /**< A file system of the running system. */
#define MOVED   0xB0000u /**< Where NVS may move to. */
#define RECORD  0xD0000u
#define TWIN    (RECORD + 3 * SECTOR) /**< First data sector of a record there. */
#define MARK    0xE0000u
#define BUNDLE  0xF0000u

/** What the app does, and the results; shared with the processes that run it. */
typedef struct job {
    esp_self_reflasher_bundle_config_t config;
    esp_err_t err;
    bool failed;       /**< A read that is to fail was made. */
    bool failed_first; /**< Before anything was written. */
} job_t;

static job_t *job;
static nor_flash_t *flash;
static uint8_t wanted[SMALL_FLASH_SIZE];
static uint8_t before[SMALL_FLASH_SIZE];
static char own_private[BUNDLE_PEM_SIZE], own_public[BUNDLE_PEM_SIZE];
static char other_private[BUNDLE_PEM_SIZE], other_public[BUNDLE_PEM_SIZE];
static uint8_t *bundle;
static size_t bundle_size;
static record_t record;

/** What the bundle describes. */
typedef struct target {
    bool no_bootloader; /**< It is kept, and so is the table. */
    bool moves;         /**< NVS moves to MOVED. */
    bool over_app;      /**< Something else must lie where the app runs. */
    bool for_c3;
    bool breaks;          /**< The bootloader that it brings is damaged. */
    bool erases;          /**< 20 sectors at MOVED. */
    bool files;           /**< The file system gets other content. */
    bool longer;          /**< The bootloader's place is in use up to the table. */
    const char *gives_up; /**< A partition of the running system. */
    bool twin;            /**< TWIN gets the same content as the first sector of NVS. */
    bool spreads;         /**< Something lies in front of the bootloader, right after the table, and at MOVED. */
} target_t;

/* The bootloader with other data: two bits of one column of the checksum, and the digest that goes with them. */
static inline void other_bootloader(uint8_t *bytes, bool damaged)
{
    size_t length;
    uint8_t digest[SR_SHA256_SIZE];
    assert_int_equal(dummy_image_bootloader(sr_chip_by_name("esp32"), 0, bytes, 0x7000, &length), IMAGE_WRITE_OK);
    bytes[0x600] ^= 0x10;
    bytes[0x4810] ^= 0x10;
    assert_true(sr_digest(bytes, length - sizeof(digest), digest));
    memcpy(bytes + length - sizeof(digest), digest, sizeof(digest));
    bytes[0x601] ^= damaged ? 1 : 0;
}

static uint32_t storage_flags; /**< Of its partition in all tables. */

static inline void put_table(uint8_t *bytes, uint32_t nvs, bool old)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, nvs, SMALL_NVS_SIZE, 0, "nvs"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, SMALL_OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT_0, SMALL_SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT_1, SMALL_SLOT_SIZE, 0, "ota_1"},
        {SR_PARTITION_TYPE_DATA, old ? 0x82 : 0x81, STORAGE, 0x10000, storage_flags, "storage"},
    };
    small_put_table(bytes, entries, 5);
}

/* An app in the first slot, a file system, and free flash; another one in the second. */
static inline int open_chip(void **state)
{
    (void)state;
    *job = (job_t){.config = {.public_key = own_public}, .err = ESP_ERR_NOT_FINISHED};
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    uint8_t *bytes = nor_flash_bytes(flash);
    put_table(bytes, SMALL_NVS, true);
    small_app("1", bytes + SLOT_0);
    small_app("2", bytes + SLOT_1);
    memset(bytes + MOVED, 0xFF, BUNDLE - MOVED);
    bundle = NULL;
    return 0;
}

static inline int close_chip(void **state)
{
    (void)state;
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    nor_flash_delete(flash);
    free(bundle);
    return 0;
}

static inline int make_keys(void **state)
{
    (void)state;
    job = small_shared(sizeof(*job));
    assert_int_equal(bundle_keygen(own_private, own_public), SR_BUNDLE_OK);
    assert_int_equal(bundle_keygen(other_private, other_public), SR_BUNDLE_OK);
    return 0;
}

/* Signs what the flash must hold. */
static inline void make_bundle(const target_t *target, const char *private_pem)
{
    const sr_bundle_move_t move = {.label = "nvs", .destination = {MOVED, SMALL_NVS_SIZE}};
    sr_bundle_given_up_t given_up = {.label = ""};
    if (target->gives_up != NULL) {
        strncpy(given_up.label, target->gives_up, sizeof(given_up.label) - 1);
    }
    memcpy(wanted, nor_flash_view(flash), SMALL_FLASH_SIZE);
    other_bootloader(wanted + SMALL_BOOTLOADER, target->breaks);
    put_table(wanted, target->moves ? MOVED : SMALL_NVS, target->no_bootloader);
    dummy_image_fill(wanted + SMALL_NVS, SECTOR, 4711);
    memset(wanted + SMALL_NVS + SECTOR, 0xFF, SMALL_NVS_SIZE - SECTOR);
    image_write_otadata(2, SR_OTA_VALID, wanted + SMALL_OTADATA);
    if (target->longer) {
        dummy_image_fill(wanted + SR_PARTITION_TABLE_OFFSET - SECTOR, SECTOR, 17);
    }
    bundle_region_t regions[8];
    unsigned count = 0;
    if (target->spreads) {
        dummy_image_fill(wanted, SECTOR, 18);
        dummy_image_fill(wanted + MOVED, SECTOR, 19);
        regions[count++] = (bundle_region_t){.place = {0, SECTOR}};
    }
    if (!target->no_bootloader) {
        regions[count++] = (bundle_region_t){.place = {SMALL_BOOTLOADER, 0x7000}};
        regions[count++] = (bundle_region_t){.place = {SR_PARTITION_TABLE_OFFSET, SECTOR}};
    }
    regions[count++] = (bundle_region_t){.place = {SMALL_NVS, SMALL_NVS_SIZE}};
    regions[count++] = (bundle_region_t){.place = {SMALL_OTADATA, 2 * SECTOR}};
    if (target->over_app) {
        small_app("3", wanted + SLOT_0);
        regions[count++] = (bundle_region_t){.place = {SLOT_0, SMALL_APP_SIZE}};
    }
    regions[count++] = (bundle_region_t){.place = {SLOT_1, SMALL_APP_SIZE}};
    if (target->files) {
        dummy_image_fill(wanted + STORAGE, 2 * SECTOR, 815);
        regions[count++] = (bundle_region_t){.place = {STORAGE, 2 * SECTOR}, .initial = true};
    }
    if (target->twin) {
        memcpy(wanted + TWIN, wanted + SMALL_NVS, SECTOR);
        regions[count++] = (bundle_region_t){.place = {TWIN, SECTOR}};
    }
    if (target->spreads) {
        regions[count++] = (bundle_region_t){.place = {MOVED, SECTOR}};
    }
    if (target->erases) {
        memset(wanted + MOVED, 0xFF, 20 * SECTOR);
        regions[count++] = (bundle_region_t){.place = {MOVED, 20 * SECTOR}};
    }
    for (unsigned i = 0; i < count; i++) {
        regions[i].data = wanted + regions[i].place.address;
        regions[i].length = regions[i].place.size;
    }
    const bundle_spec_t spec = {.chip_id = target->for_c3 ? 5 : 0,
                                .min_flash_size = SMALL_FLASH_SIZE,
                                .partition_table_offset = SR_PARTITION_TABLE_OFFSET,
                                .regions = regions,
                                .region_count = count,
                                .moves = &move,
                                .move_count = target->moves ? 1 : 0,
                                .given_up = &given_up,
                                .given_up_count = target->gives_up != NULL ? 1 : 0,
                                .sequence = 7};
    free(bundle);
    bundle = record_bundle(&spec, private_pem, &bundle_size);
}

static inline bool differs(uint32_t address)
{
    return memcmp(nor_flash_view(flash) + address, wanted + address, SECTOR) != 0;
}

static inline bool is_blank(const uint8_t *sector)
{
    for (uint32_t i = 0; i < SECTOR; i++) {
        if (sector[i] != 0xFF) {
            return false;
        }
    }
    return true;
}

static inline void add(sr_record_group_t group, uint32_t address)
{
    const bool blank = is_blank(wanted + address);
    record_add(&record, group, address, 1, blank ? NULL : wanted + address);
}

static inline void add_range(sr_record_group_t group, uint32_t address, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += SECTOR) {
        if (differs(address + i)) {
            add(group, address + i);
        }
    }
}

/* The record that the running app would stage for the bundle, up to what is of otadata. */
static inline void start_record(const target_t *target)
{
    record_start(&record, bundle, bundle_size, nor_flash_view(flash) + SLOT_0);
    add_range(SR_RECORD_DATA, SMALL_NVS, SMALL_NVS_SIZE);
    if (target->moves) {
        record_add(&record, SR_RECORD_DATA, MOVED, SMALL_NVS_SIZE / SECTOR, nor_flash_view(flash) + SMALL_NVS);
        record_vouch(&record);
    }
    if (target->files) {
        add_range(SR_RECORD_DATA, STORAGE, 2 * SECTOR);
    }
    if (!target->no_bootloader) {
        add_range(SR_RECORD_BOOTLOADER, SMALL_BOOTLOADER, 0x7000);
        add_range(SR_RECORD_TABLE, SR_PARTITION_TABLE_OFFSET, SECTOR);
    }
}

static inline void make_record(const target_t *target)
{
    start_record(target);
    add_range(SR_RECORD_OTADATA, SMALL_OTADATA, 2 * SECTOR);
    record_note_boot_path(&record, nor_flash_view(flash));
}

static inline void put(uint32_t address)
{
    record_put(&record, nor_flash_bytes(flash), address, true);
}

static inline void resume(void *unused)
{
    (void)unused;
    job->err = esp_self_reflasher_resume(&job->config);
}

static bool after_brownout;
static inline sim_end_t run(void (*call)(void *))
{
    const sim_config_t config = {.chip = {.chip = sr_chip_by_name("esp32")},
                                 .flash = flash,
                                 .running_app = SLOT_0,
                                 .after_brownout = after_brownout,
                                 .quiet = getenv("TRUST_LOG") == NULL};
    assert_true(sim_chip_attach(&config));
    nor_flash_reset_stats(flash);
    const sim_end_t end = sim_call(call, NULL);
    sim_chip_detach();
    return end;
}

/* Puts the record at @p address and starts the app. */
static inline void expect_ignored(uint32_t address, const char *what)
{
    put(address);
    memcpy(before, nor_flash_view(flash), SMALL_FLASH_SIZE);
    const sim_end_t end = run(resume);
    if (end != SIM_END_RETURNED || job->err != ESP_OK || nor_flash_stats(flash).operations != 0) {
        fail_msg("%s: ended %d, 0x%x, %u operations", what, end, (unsigned)job->err,
                 (unsigned)nor_flash_stats(flash).operations);
    }
    small_assert_same(nor_flash_view(flash), before, 0, SMALL_FLASH_SIZE);
}

static inline void expect_finished(void)
{
    assert_int_equal(run(resume), SIM_END_RESTART);
    memset(wanted + RECORD, 0xFF, record_sectors(&record) * SECTOR);
    small_assert_same(nor_flash_view(flash), wanted, 0, SMALL_FLASH_SIZE);
}

static const target_t system_target = {.no_bootloader = false};
static const target_t moving_target = {.moves = true};
