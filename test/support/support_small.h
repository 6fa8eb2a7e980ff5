// SPDX-License-Identifier: Apache-2.0
/** @file
 * A simulated ESP32 with 1 MiB of flash and apps of three sectors: small enough to cut its power in every operation.
 * Include after cmocka.h.
 *
 *     0x001000 bootloader    0x009000 nvs        0x010000 factory, if there is one    0x0d0000 of no partition
 *     0x008000 table         0x00d000 otadata    0x020000 ota_0, 0x030000 ota_1, ...
 */
#pragma once

#include "make/bundle_writer.h"
#include "make/dummy_image.h"
#include "make/image_writer.h"
#include "self_reflasher.h"
#include "sim/boot/boot_model.h"
#include "sim/chip/sim_chip.h"
#include "sim/nor/flash_buffer.h"
#include "test/support/support_explore.h"

#include "format/sr_otadata.h"
#include "format/sr_region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL_FLASH_SIZE 0x100000u
#define SMALL_BOOTLOADER 0x1000u
#define SMALL_NVS        0x9000u
#define SMALL_NVS_SIZE   0x4000u
#define SMALL_OTADATA    0xD000u
#define SMALL_FACTORY    0x10000u
#define SMALL_SLOTS      0x20000u
#define SMALL_SLOT_SIZE  0x10000u
#define SMALL_FREE       0xD0000u
#define SMALL_APP_SIZE   (3 * SR_SECTOR_SIZE) /**< Whole sectors; the image ends in the last one. */

static inline uint32_t small_slot(unsigned index)
{
    return SMALL_SLOTS + index * SMALL_SLOT_SIZE;
}

/** An app that differs from others by its version, of SMALL_APP_SIZE bytes with what follows it. */
static inline void small_app(const char *version, uint8_t out[SMALL_APP_SIZE])
{
    uint8_t rodata[0x1F00];
    uint8_t code[0x400];
    size_t length = 0;
    dummy_image_fill(rodata, sizeof(rodata), (uint32_t)version[0]);
    dummy_image_fill(code, sizeof(code), 2);
    assert_int_equal(image_write_app_desc("small", version, "v5.5.1", rodata), IMAGE_WRITE_OK);
    const image_write_segment_t segments[] = {
        {.load_address = 0x3F400020, .data = rodata, .length = sizeof(rodata), .mapped = true},
        {.load_address = 0x40080000, .data = code, .length = sizeof(code)},
    };
    const image_write_esp_t spec = {.spi_mode = 2,
                                    .entry = 0x40080000,
                                    .max_chip_rev_full = 0xFFFF,
                                    .append_hash = true,
                                    .segments = segments,
                                    .segment_count = 2};
    memset(out, 0xFF, SMALL_APP_SIZE);
    assert_int_equal(image_write_esp(&spec, out, SMALL_APP_SIZE, &length), IMAGE_WRITE_OK);
    assert_true(length > SMALL_APP_SIZE - SR_SECTOR_SIZE);
}

/** What is in the flash. */
typedef struct small_layout {
    unsigned slots;
    bool factory;
    bool no_otadata;       /**< The table has none. */
    uint32_t sequences[2]; /**< Of the otadata entries; 0: erased. */
    uint32_t states[2];
} small_layout_t;

static inline unsigned small_table(const small_layout_t *layout, sr_partition_table_entry_t entries[8])
{
    unsigned count = 0;
    entries[count++] = (sr_partition_table_entry_t){
        SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, SMALL_NVS, SMALL_NVS_SIZE, 0, "nvs"};
    if (!layout->no_otadata) {
        entries[count++] = (sr_partition_table_entry_t){
            SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, SMALL_OTADATA, 0x2000, 0, "otadata"};
    }
    if (layout->factory) {
        entries[count++] = (sr_partition_table_entry_t){
            SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, SMALL_FACTORY, SMALL_SLOT_SIZE, 0, "factory"};
    }
    for (unsigned i = 0; i < layout->slots; i++) {
        entries[count] = (sr_partition_table_entry_t){.type = SR_PARTITION_TYPE_APP,
                                                      .subtype = (uint8_t)(SR_PARTITION_APP_OTA_0 + i),
                                                      .address = small_slot(i),
                                                      .size = SMALL_SLOT_SIZE,
                                                      .label = "ota_x"};
        entries[count++].label[4] = (char)('0' + i);
    }
    return count;
}

static inline void small_put_table(uint8_t *flash, const sr_partition_table_entry_t *entries, unsigned count)
{
    memset(flash + SR_PARTITION_TABLE_OFFSET, 0xFF, SR_SECTOR_SIZE);
    assert_int_equal(image_write_partition_table(entries, count, flash + SR_PARTITION_TABLE_OFFSET), IMAGE_WRITE_OK);
}

/** A flash with this layout, and noise wherever nothing else is. Owned by the caller. */
static inline nor_flash_t *small_flash_new(const small_layout_t *layout)
{
    sr_partition_table_entry_t entries[8];
    nor_flash_t *flash = nor_flash_new(SMALL_FLASH_SIZE, nor_timing_find(NULL));
    assert_non_null(flash);
    uint8_t *bytes = nor_flash_bytes(flash);
    size_t length;
    dummy_image_fill(bytes, SMALL_FLASH_SIZE, 99);
    assert_int_equal(dummy_image_bootloader(sr_chip_by_name("esp32"), 0, bytes + SMALL_BOOTLOADER, 0x7000, &length),
                     IMAGE_WRITE_OK);
    small_put_table(bytes, entries, small_table(layout, entries));
    memset(bytes + SMALL_OTADATA, 0xFF, 2 * SR_SECTOR_SIZE);
    for (unsigned i = 0; i < 2; i++) {
        if (layout->sequences[i] != 0) {
            sr_otadata_encode(layout->sequences[i], layout->states[i] != 0 ? layout->states[i] : SR_OTA_UNDEFINED,
                              bytes + SMALL_OTADATA + i * SR_SECTOR_SIZE);
        }
    }
    return flash;
}

/** Boots, and leaves the flash as it is. */
static inline boot_result_t small_boot(const nor_flash_t *flash, bool rollback)
{
    const boot_chip_t chip = {.chip = sr_chip_by_name("esp32"), .rollback = rollback};
    boot_result_t result;
    uint8_t *aside = flash_buffer_new(SMALL_FLASH_SIZE);
    assert_non_null(aside);
    boot_run_aside(&chip, nor_flash_view(flash), aside, SMALL_FLASH_SIZE, NULL, NULL, &result);
    flash_buffer_delete(aside, SMALL_FLASH_SIZE);
    return result;
}

static inline void small_assert_boots(const nor_flash_t *flash, bool rollback, uint32_t app)
{
    const boot_result_t result = small_boot(flash, rollback);
    if (result.outcome != BOOT_BOOTS || result.app_offset != app) {
        fail_msg("%s at 0x%x, should boot 0x%x: %s", boot_outcome_name(result.outcome), result.app_offset, app,
                 result.reason);
    }
}

/** Fails with the address of the first byte that differs. */
static inline void small_assert_same(const uint8_t *is, const uint8_t *should, uint32_t address, size_t length)
{
    if (memcmp(is + address, should + address, length) != 0) {
        size_t i = address;
        while (is[i] == should[i]) {
            i++;
        }
        fail_msg("flash at 0x%zx is 0x%02x, should be 0x%02x", i, is[i], should[i]);
    }
}

/** Makes a bundle for such a chip, and puts it where there is room for it. @return where it lies, for a configuration
 */
static inline addr_region_t small_put_bundle(nor_flash_t *flash, sr_region_t room, bundle_spec_t spec)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    spec.min_flash_size = SMALL_FLASH_SIZE;
    assert_int_equal(bundle_write(&spec, &bytes, &size), BUNDLE_WRITE_OK);
    assert_true(size <= room.size);
    memcpy(nor_flash_bytes(flash) + room.address, bytes, size);
    free(bytes);
    return (addr_region_t){room.address, size};
}

/** Starts the chip with this flash; ends with sim_chip_detach(). */
static inline void small_attach(nor_flash_t *flash, uint32_t running_app)
{
    const sim_config_t config = {
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = running_app, .quiet = true};
    assert_true(sim_chip_attach(&config));
}

/** A copy of the whole content, for free(). */
static inline uint8_t *small_copy(const nor_flash_t *flash)
{
    uint8_t *copy = malloc(SMALL_FLASH_SIZE);
    assert_non_null(copy);
    memcpy(copy, nor_flash_view(flash), SMALL_FLASH_SIZE);
    return copy;
}

/** Memory that child processes share. */
static inline void *small_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

#define SMALL_SAMPLE(operations) explore_sample(operations) /**< Operations outside the commit; 0: all. */
#define SMALL_SAMPLE_OF_ALIKE    explore_sample_of_alike(0) /**< Where another exploration goes nearly the same way. */
#define SMALL_TORN               explore_torn()

/** Lets the power go in each operation, torn in all ways: nothing may fail.
 * @param config Flash, app, targets, losses and sample; the rest is that of a small chip.
 * @param[out] result For explore_result_free(). */
static inline void small_explore(explore_config_t config, explore_result_t *result)
{
    config.chip.chip = sr_chip_by_name("esp32");
    config.size = SMALL_FLASH_SIZE;
    config.timing = nor_timing_find(NULL);
    config.running_app = UINT32_MAX;
    config.torn_states = SMALL_TORN;
    config.workers = 2;
    assert_int_equal(explore_and_tell(&config, result), EXPLORE_OK);
    for (uint32_t i = 0; i < result->state_count; i++) {
        const explore_state_t *state = &result->states[i];
        if (state->failed) {
            print_message("cut %u.%u:%u: %s\n", state->loss.operation, state->loss.when, state->loss.seed,
                          state->reason);
        }
    }
    assert_int_equal(result->failures, 0);
}

/** Every way in which the power can go during one operation. */
#define SMALL_CUTS 6u

/** Of how many ways one is tried, in turn from one operation to the next. @param step Where they are complete; 1: all.
 */
static inline unsigned small_cut_step(unsigned step)
{
    return explore_samples() ? SMALL_CUTS : step;
}

static inline nor_power_loss_t small_cut(uint32_t operation, unsigned way)
{
    static const nor_power_loss_when_t when[SMALL_CUTS] = {NOR_POWER_LOSS_BEFORE, NOR_POWER_LOSS_INSIDE,
                                                           NOR_POWER_LOSS_INSIDE, NOR_POWER_LOSS_INSIDE,
                                                           NOR_POWER_LOSS_INSIDE, NOR_POWER_LOSS_AFTER};
    return (nor_power_loss_t){.armed = true, .operation = operation, .when = when[way], .seed = operation * 8 + way};
}
