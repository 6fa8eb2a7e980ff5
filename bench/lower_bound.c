// SPDX-License-Identifier: Apache-2.0
#include "lower_bound.h"

#include "format/sr_boot_path.h"
#include "format/sr_partition_table.h"
#include "tool/base/command.h"
#include "tool/base/image_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS           (SCENARIO_FLASH_SIZE / SR_SECTOR_SIZE)
#define SECTORS_PER_BLOCK (SR_BLOCK_SIZE / SR_SECTOR_SIZE)
#define PAGES_PER_SECTOR  (SR_SECTOR_SIZE / SR_PAGE_SIZE)

/** When a sector is written: first what the chip does not need to boot, then its boot path, then what shares a block
 *  with that and was erased with it. */
typedef enum turn { TURN_FREE, TURN_BOOTLOADER, TURN_TABLE, TURN_OTADATA, TURN_ERASED, TURN_COUNT } turn_t;

typedef struct plan {
    nor_flash_t *flash;
    const nor_timing_t *timing;
    uint8_t *target;
    sr_boot_path_t path;
    turn_t turns[SECTORS];
    bool differs[SECTORS];
    bool to_erase[SECTORS]; /**< It differs, and is not blank. */
    bool whole_block[SECTORS / SECTORS_PER_BLOCK];
} plan_t;

static bool is_blank(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0xFF) {
            return false;
        }
    }
    return true;
}

static turn_t turn_of(const plan_t *plan, uint32_t sector)
{
    const sr_region_t place = {sector * SR_SECTOR_SIZE, SR_SECTOR_SIZE};
    if (sr_region_overlaps(place, plan->path.bootloader)) {
        return TURN_BOOTLOADER;
    }
    if (sr_region_overlaps(place, plan->path.table)) {
        return TURN_TABLE;
    }
    return sr_region_overlaps(place, plan->path.otadata) ? TURN_OTADATA : TURN_FREE;
}

static void compare(plan_t *plan)
{
    const uint8_t *now = nor_flash_view(plan->flash);
    for (uint32_t i = 0; i < SECTORS; i++) {
        const size_t at = (size_t)i * SR_SECTOR_SIZE;
        plan->turns[i] = turn_of(plan, i);
        plan->differs[i] = memcmp(now + at, plan->target + at, SR_SECTOR_SIZE) != 0;
        plan->to_erase[i] = plan->differs[i] && !is_blank(now + at, SR_SECTOR_SIZE);
    }
}

/* True if erasing this block at once hits nothing that must stay, and costs less. */
static bool block_pays(const plan_t *plan, uint32_t first)
{
    uint32_t erases = 0;
    for (uint32_t i = first; i < first + SECTORS_PER_BLOCK; i++) {
        if (!plan->differs[i] && !is_blank(plan->target + (size_t)i * SR_SECTOR_SIZE, SR_SECTOR_SIZE)) {
            return false;
        }
        erases += plan->to_erase[i];
    }
    return plan->timing->block_erase_typical_us < erases * plan->timing->sector_erase_typical_us;
}

static bool has_boot_path(const plan_t *plan, uint32_t first)
{
    for (uint32_t i = first; i < first + SECTORS_PER_BLOCK; i++) {
        if (plan->turns[i] != TURN_FREE && plan->turns[i] != TURN_ERASED) {
            return true;
        }
    }
    return false;
}

static void choose_blocks(plan_t *plan, bool whole_boot_block)
{
    for (uint32_t first = 0; first < SECTORS; first += SECTORS_PER_BLOCK) {
        const bool boot_path = has_boot_path(plan, first);
        const bool whole = block_pays(plan, first) && (whole_boot_block || !boot_path);
        plan->whole_block[first / SECTORS_PER_BLOCK] = whole;
        for (uint32_t i = first; whole && boot_path && i < first + SECTORS_PER_BLOCK; i++) {
            plan->turns[i] = plan->turns[i] == TURN_FREE ? TURN_ERASED : plan->turns[i];
        }
    }
}

/* Erases what has its turn. A block that holds any boot path waits for the first turn that writes boot path. */
static void erase_turn(const plan_t *plan, turn_t turn)
{
    for (uint32_t i = 0; i < SECTORS; i++) {
        const uint32_t first = i - i % SECTORS_PER_BLOCK;
        const turn_t block_turn = has_boot_path(plan, first) ? TURN_BOOTLOADER : TURN_FREE;
        if (!plan->whole_block[i / SECTORS_PER_BLOCK] && plan->turns[i] == turn && plan->to_erase[i]) {
            nor_erase(plan->flash, i * SR_SECTOR_SIZE, SR_SECTOR_SIZE);
        } else if (plan->whole_block[i / SECTORS_PER_BLOCK] && i == first && block_turn == turn) {
            nor_erase(plan->flash, i * SR_SECTOR_SIZE, SR_BLOCK_SIZE);
        }
    }
}

/* From the last page to the first: the page that makes a bootloader or an app valid returns last. */
static void program_turn(const plan_t *plan, turn_t turn)
{
    const uint8_t *now = nor_flash_view(plan->flash);
    for (uint32_t page = SECTORS * PAGES_PER_SECTOR; page-- > 0;) {
        const uint32_t sector = page / PAGES_PER_SECTOR;
        const size_t at = (size_t)page * SR_PAGE_SIZE;
        if (plan->turns[sector] == turn && memcmp(now + at, plan->target + at, SR_PAGE_SIZE) != 0) {
            nor_program(plan->flash, (uint32_t)at, plan->target + at, SR_PAGE_SIZE);
        }
    }
}

static void execute(const plan_t *plan)
{
    for (turn_t turn = TURN_FREE; turn < TURN_COUNT; turn++) {
        erase_turn(plan, turn);
        program_turn(plan, turn);
    }
}

static int read_memory(void *context, uint32_t offset, void *out, size_t length)
{
    memcpy(out, (const uint8_t *)context + offset, length);
    return 0;
}

static void find_boot_path(const scenario_t *scenario, uint8_t *flash, sr_boot_path_t *path)
{
    const sr_reader_t all = {flash, read_memory, SCENARIO_FLASH_SIZE};
    const sr_reader_t sector = {flash + SR_PARTITION_TABLE_OFFSET, read_memory, SR_PARTITION_TABLE_SIZE};
    sr_partition_table_t table;
    sr_region_t otadata = {0};
    if (sr_partition_table_parse(&sector, SCENARIO_FLASH_SIZE, &table) == SR_PARTITION_TABLE_OK) {
        const sr_partition_table_entry_t *entry =
            sr_partition_table_find(&table, SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA);
        otadata = entry != NULL ? (sr_region_t){entry->address, entry->size} : otadata;
    }
    sr_boot_path_find(&all, scenario->chip.chip, SR_PARTITION_TABLE_OFFSET, otadata, (sr_region_t){0}, path);
}

/* Makes the change on a flash of its own. */
static bool run(const scenario_t *scenario, const uint8_t *content, const nor_timing_t *timing, bool whole_boot_block,
                measurement_t *result)
{
    *result = (measurement_t){0};
    plan_t *plan = calloc(1, sizeof(*plan));
    uint8_t *target = malloc(SCENARIO_FLASH_SIZE);
    nor_flash_t *flash = measure_new_flash(content, timing);
    flash_record_t *record = flash == NULL ? NULL : flash_record_new(flash);
    boot_window_t window;
    if (plan != NULL && target != NULL && record != NULL) {
        memcpy(target, content, SCENARIO_FLASH_SIZE);
        scenario_apply(scenario, target);
        *plan = (plan_t){.flash = flash, .timing = timing, .target = target};
        find_boot_path(scenario, nor_flash_bytes(flash), &plan->path);
        compare(plan);
        choose_blocks(plan, whole_boot_block);
        execute(plan);
        measure_flash(flash, timing, result);
        result->done = memcmp(nor_flash_view(flash), target, SCENARIO_FLASH_SIZE) == 0 &&
                       boot_window_measure(record, &scenario->chip, NULL, &window, NULL);
        result->window_typical_us = result->done ? window.typical_us : 0;
        result->window_maximum_us = result->done ? window.maximum_us : 0;
    }
    flash_record_delete(record);
    nor_flash_delete(flash);
    free(target);
    free(plan);
    return result->done;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void lower_bound_measure(const scenario_t *scenario, const nor_timing_t *timing, measurement_t *result)
{
    // the cheapest erases and the shortest window may need different plans: each figure is the best of both
    const uint8_t *before = scenario->flash_relocated != NULL ? scenario->flash_relocated : scenario->flash;
    measurement_t at_once;
    measurement_t by_sector;
    if (!run(scenario, before, timing, true, &at_once) || !run(scenario, before, timing, false, &by_sector) ||
        !run(scenario, scenario->flash, timing, true, result)) {
        result->done = false;
        (void)snprintf(result->why_not, sizeof(result->why_not), "could not be computed");
        return;
    }
    result->window_typical_us = lower(at_once.window_typical_us, by_sector.window_typical_us);
    result->window_maximum_us = lower(at_once.window_maximum_us, by_sector.window_maximum_us);
}
