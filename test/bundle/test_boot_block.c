// SPDX-License-Identifier: Apache-2.0
/** @file
 * The block of the boot path, which the commit erases at once if nothing else lies in it: whatever is somebody's, in
 * the table of today or in the one that comes, keeps its sector.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_writer.h"
#include "self_reflasher.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_small.h"

#include "format/sr_digest.h"

#define SECTOR      SR_SECTOR_SIZE
#define SLOT(index) (SMALL_SLOTS + (index)*SMALL_SLOT_SIZE)
#define HIGH_BLOCK  0xB0000u
#define BUNDLE      SMALL_FREE
#define ROOM        0xE0000u
#define NOBODY      UINT32_MAX

/** What the app does, and the results; shared with the process that runs it. */
typedef struct job {
    esp_self_reflasher_bundle_config_t bundle;
    esp_self_reflasher_plan_t plan;
    esp_err_t err;
} job_t;

static job_t *job;
static nor_flash_t *flash;
static uint8_t new_loader[0x7000], new_table[SECTOR], new_otadata[4 * SECTOR], new_app[SMALL_APP_SIZE];

static int new_job(void **state)
{
    (void)state;
    job = small_shared(sizeof(*job));
    small_app("2", new_app);
    memset(new_otadata, 0xFF, sizeof(new_otadata));
    sr_otadata_encode(2, SR_OTA_VALID, new_otadata);
    return 0;
}

static void apply(void *unused)
{
    (void)unused;
    job->err = esp_self_reflasher_apply_bundle(&job->bundle, &job->plan);
}

/* Two slots, otadata, and one sector with an owner: a partition that holds nothing yet. */
static void make_table(sr_region_t otadata, uint32_t owned, uint8_t owners_type, uint8_t table[SECTOR])
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, otadata.address, otadata.size, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, SLOT(0), SMALL_SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, SLOT(1), SMALL_SLOT_SIZE, 0, "ota_1"},
        {owners_type, owners_type == SR_PARTITION_TYPE_APP ? 0x20 : 0x06, owned, SECTOR, 0, "owner"},
    };
    memset(table, 0xFF, SECTOR);
    assert_int_equal(image_write_partition_table(entries, owned != NOBODY ? 4 : 3, table), IMAGE_WRITE_OK);
}

/* The app runs in the first slot; nothing but it and the boot path is where the latter is. */
static void open_chip(sr_region_t otadata, uint32_t owned)
{
    flash = small_flash_new(&(small_layout_t){.slots = 2});
    uint8_t *bytes = nor_flash_bytes(flash);
    make_table(otadata, owned, SR_PARTITION_TYPE_APP, bytes + SR_PARTITION_TABLE_OFFSET);
    small_app("1", bytes + SLOT(0));
    memset(bytes + ROOM, 0xFF, SR_BLOCK_SIZE);
}

static void put_bundle(const bundle_region_t *regions, unsigned count)
{
    const bundle_spec_t spec = {
        .partition_table_offset = SR_PARTITION_TABLE_OFFSET, .regions = regions, .region_count = count};
    job->bundle = (esp_self_reflasher_bundle_config_t){
        .embedded = small_put_bundle(flash, (sr_region_t){BUNDLE, ROOM - BUNDLE}, spec),
        .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
        .skip_checks = ESP_SELF_REFLASHER_CHECK_TABLE};
}

static void expect_block_erases(uint32_t expected)
{
    small_attach(flash, SLOT(0));
    nor_flash_reset_stats(flash);
    assert_int_equal(sim_call(apply, NULL), SIM_END_RETURNED);
    sim_chip_detach();
    if (job->err != ESP_OK || nor_flash_stats(flash).block_erases != expected) {
        fail_msg("%s %s, %u erases of blocks, should be %u", esp_self_reflasher_err_to_name(job->err),
                 job->plan.refusal_text, (unsigned)nor_flash_stats(flash).block_erases, (unsigned)expected);
    }
    assert_int_equal(nor_flash_stats(flash).bad_programs, 0);
    small_assert_boots(flash, false, SLOT(1));
    nor_flash_delete(flash);
}

/* Otadata of four sectors that have to be erased, which one erase of the block does sooner. */
static void expect_otadata_with_its_block(uint32_t owned, uint32_t expected)
{
    const sr_region_t otadata = {HIGH_BLOCK + SECTOR, sizeof(new_otadata)};
    const bundle_region_t regions[] = {
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = sizeof(new_app)},
        {.place = otadata, .data = new_otadata, .length = sizeof(new_otadata)},
    };
    open_chip(otadata, owned);
    memset(nor_flash_bytes(flash) + HIGH_BLOCK, 0xFF, SR_BLOCK_SIZE);
    memset(nor_flash_bytes(flash) + otadata.address, 0x5A, otadata.size);
    put_bundle(regions, 2);
    expect_block_erases(expected);
}

/* Each sector of it, the first and the last one included; what lies beside the block is of no account. */
static void sector_of_a_partition_of_today_is_not_erased_with_its_neighbours(void **state)
{
    (void)state;
    expect_otadata_with_its_block(NOBODY, 1);
    for (uint32_t owned = HIGH_BLOCK - SECTOR; owned <= HIGH_BLOCK + SR_BLOCK_SIZE; owned += SECTOR) {
        const bool in_otadata = owned > HIGH_BLOCK && owned <= HIGH_BLOCK + sizeof(new_otadata);
        const bool in_block = owned >= HIGH_BLOCK && owned < HIGH_BLOCK + SR_BLOCK_SIZE;
        if (!in_otadata) {
            expect_otadata_with_its_block(owned, in_block ? 0 : 1);
        }
    }
}

/* Another bootloader, each sector of which differs: two bits of one column of the checksum, and the digest of them. */
static void make_loader(void)
{
    size_t length = 0;
    memset(new_loader, 0xFF, sizeof(new_loader));
    assert_int_equal(dummy_image_bootloader(sr_chip_by_name("esp32"), 0, new_loader, sizeof(new_loader), &length),
                     IMAGE_WRITE_OK);
    for (size_t at = 0x600; at + 0x100 < length; at += SECTOR) {
        new_loader[at] ^= 0x10;
        new_loader[at + 0x10] ^= 0x10;
    }
    assert_true(sr_digest(new_loader, length - SR_SHA256_SIZE, new_loader + length - SR_SHA256_SIZE));
}

/* The bootloader, a table and otadata, after which nothing lies up to the end of the block today. */
static void expect_system_with_its_block(uint32_t owned, uint32_t expected)
{
    const sr_region_t otadata = {SR_PARTITION_TABLE_OFFSET + SECTOR, 2 * SECTOR};
    const bundle_region_t regions[] = {
        {.place = {SMALL_BOOTLOADER, sizeof(new_loader)}, .data = new_loader, .length = sizeof(new_loader)},
        {.place = {SR_PARTITION_TABLE_OFFSET, SECTOR}, .data = new_table, .length = SECTOR},
        {.place = otadata, .data = new_otadata, .length = otadata.size},
        {.place = {SLOT(1), SMALL_APP_SIZE}, .data = new_app, .length = sizeof(new_app)},
    };
    open_chip(otadata, NOBODY);
    make_table(otadata, owned, SR_PARTITION_TYPE_DATA, new_table);
    memset(nor_flash_bytes(flash), 0xFF, SMALL_BOOTLOADER);
    memset(nor_flash_bytes(flash) + otadata.address, 0x5A, otadata.size);
    memset(nor_flash_bytes(flash) + otadata.address + otadata.size, 0xFF,
           SR_BLOCK_SIZE - otadata.address - otadata.size);
    put_bundle(regions, 4);
    expect_block_erases(expected);
}

static void sector_of_a_partition_to_come_is_not_erased_with_its_neighbours(void **state)
{
    (void)state;
    make_loader();
    for (uint32_t owned = SR_PARTITION_TABLE_OFFSET + 3 * SECTOR; owned <= SR_BLOCK_SIZE; owned += SECTOR) {
        expect_system_with_its_block(owned, owned < SR_BLOCK_SIZE ? 0 : 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sector_of_a_partition_of_today_is_not_erased_with_its_neighbours),
        cmocka_unit_test(sector_of_a_partition_to_come_is_not_erased_with_its_neighbours),
    };
    return cmocka_run_group_tests(tests, new_job, NULL);
}
