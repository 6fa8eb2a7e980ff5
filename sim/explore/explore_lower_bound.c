// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"

#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>

#define GROUPS 4u

typedef struct lower_bound_time {
    uint64_t typical_us, maximum_us;
} lower_bound_time_t;

/** The change, and what of it cannot be done outside a window. */
typedef struct change {
    const explore_config_t *config;
    boot_classifier_t classifier;
    uint8_t *base;        /**< Flash before the commit, with all that only the new boot needs. */
    const uint8_t *final; /**< Flash after it. */
    uint8_t *scratch;
    uint8_t *owned;    /**< As of explore_owned(). */
    uint8_t *group_of; /**< For each sector: the explore_part_t that it is written with; 0: none. */
    uint8_t *prepared; /**< For each sector: 1 if only the new boot needs it, and `base` has it already. */
    const boot_code_t *loader;
    bool recovers; /**< A recovery bootloader can stand in for the one that is written. */
    bool safe_known[1u << GROUPS][GROUPS], is_safe[1u << GROUPS][GROUPS];
    lower_bound_time_t best;
} change_t;

static uint32_t sector_count(const change_t *change)
{
    return change->config->size / SR_SECTOR_SIZE;
}

/** A blank sector is only programmed. The case that this also works for one that is not blank, because bits are only
 * cleared, is left aside. */
static bool needs_erase(const change_t *change, uint32_t address)
{
    return !nor_is_erased(change->base + address, SR_SECTOR_SIZE);
}

/** Past the end of the bootloader, pages can be programmed after the window. */
static bool page_counts(const change_t *change, uint32_t address, uint8_t group)
{
    const boot_code_t *code = change->loader;
    return group != EXPLORE_BOOTLOADER || address < code->address + code->length;
}

/** All of the boot path is encrypted where the chip encrypts: a page takes several programs then. */
static uint32_t programs_needed(const change_t *change, uint32_t sector)
{
    const uint32_t start = sector * SR_SECTOR_SIZE;
    uint32_t pages = 0;
    for (uint32_t at = start; at < start + SR_SECTOR_SIZE; at += SR_PAGE_SIZE) {
        pages += !nor_is_erased(change->final + at, SR_PAGE_SIZE) && page_counts(change, at, change->group_of[sector]);
    }
    return pages * (SR_PAGE_SIZE / boot_plain_unit(&change->config->chip));
}

static bool is_written(const change_t *change, uint32_t sector, uint8_t groups)
{
    return (change->group_of[sector] & groups) != 0;
}

/** True if the migration covers a sector. */
static bool is_target(const change_t *change, uint32_t sector)
{
    for (unsigned i = 0; i < change->config->target_count; i++) {
        if (sr_region_overlaps((sr_region_t){sector * SR_SECTOR_SIZE, SR_SECTOR_SIZE}, change->config->targets[i])) {
            return true;
        }
    }
    return false;
}

/** True if a sector may be erased with others although it is none of them: it changes anyway, also if that could be
 * prepared; or it is blank, and nobody minds what an erase that is cut leaves there, as the migration covers it, so
 * that whoever finishes makes it right, or no partition of either system has it. */
static bool may_be_erased(const change_t *change, uint32_t sector)
{
    const uint8_t *base = change->base + sector * SR_SECTOR_SIZE;
    if (change->prepared[sector] || memcmp(base, change->final + sector * SR_SECTOR_SIZE, SR_SECTOR_SIZE) != 0) {
        return true;
    }
    return nor_is_erased(base, SR_SECTOR_SIZE) && (change->owned[sector] == 0 || is_target(change, sector));
}

/** Adds the erases of one block: of its sectors, or of all of it at once where that loses nothing. What was prepared is
 *  programmed in the window then. */
static void add_erases(const change_t *change, uint32_t first, uint8_t groups, lower_bound_time_t *time)
{
    const nor_timing_t *timing = change->config->timing;
    uint32_t erases = 0;
    uint32_t again = 0;
    bool whole = true;
    for (uint32_t i = first; i < first + SR_SECTORS_PER_BLOCK; i++) {
        if (is_written(change, i, groups)) {
            erases += needs_erase(change, i * SR_SECTOR_SIZE);
        } else {
            whole = whole && may_be_erased(change, i);
            again += change->prepared[i] ? programs_needed(change, i) : 0;
        }
    }
    const lower_bound_time_t one_by_one = {(uint64_t)erases * timing->sector_erase_typical_us,
                                           (uint64_t)erases * timing->sector_erase_maximum_us};
    const lower_bound_time_t at_once = {
        timing->block_erase_typical_us + (uint64_t)again * timing->page_program_typical_us,
        timing->block_erase_maximum_us + (uint64_t)again * timing->page_program_maximum_us};
    const bool quicker = whole && at_once.typical_us < one_by_one.typical_us;
    time->typical_us += quicker ? at_once.typical_us : one_by_one.typical_us;
    time->maximum_us += quicker ? at_once.maximum_us : one_by_one.maximum_us;
}

static lower_bound_time_t time_of(const change_t *change, uint8_t groups)
{
    const nor_timing_t *timing = change->config->timing;
    lower_bound_time_t time = {0};
    for (uint32_t i = 0; i < sector_count(change); i++) {
        if (i % SR_SECTORS_PER_BLOCK == 0) {
            add_erases(change, i, groups, &time);
        }
        if (is_written(change, i, groups)) {
            const uint32_t programs = programs_needed(change, i);
            time.typical_us += (uint64_t)programs * timing->page_program_typical_us;
            time.maximum_us += (uint64_t)programs * timing->page_program_maximum_us;
        }
    }
    return time;
}

/** Only sectors of a group are ever different from the base. */
static void put_groups(change_t *change, uint8_t groups)
{
    for (uint32_t i = 0; i < sector_count(change); i++) {
        if (change->group_of[i] != 0) {
            const uint32_t at = i * SR_SECTOR_SIZE;
            memcpy(change->scratch + at, (is_written(change, i, groups) ? change->final : change->base) + at,
                   SR_SECTOR_SIZE);
        }
    }
}

/** Tears the erase of all sectors of a group, or their programming. */
static void tear_group(change_t *change, uint8_t group, bool program, uint32_t seed)
{
    uint8_t blank[SR_SECTOR_SIZE];
    memset(blank, 0xFF, sizeof(blank));
    for (uint32_t i = 0; i < sector_count(change); i++) {
        const nor_op_t op = {.number = i,
                             .kind = program ? NOR_OP_PROGRAM : NOR_OP_ERASE_SECTOR,
                             .address = i * SR_SECTOR_SIZE,
                             .length = SR_SECTOR_SIZE};
        uint8_t *bytes = change->scratch + op.address;
        if (is_written(change, i, group)) {
            memcpy(bytes, program ? blank : change->base + op.address, SR_SECTOR_SIZE);
            nor_tear(&op, seed, bytes, program ? change->final + op.address : blank);
        }
    }
}

static bool boots(change_t *change)
{
    return boot_classifier_classify(&change->classifier, change->scratch, NULL) != BOOT_NEITHER;
}

/** Whether a group can be written, after others, without a moment in which the chip does not boot. */
static bool try_group(change_t *change, uint8_t done, uint8_t group)
{
    if (group == EXPLORE_BOOTLOADER) {
        return change->recovers || time_of(change, group).maximum_us == 0; // it executes where it is written
    }
    for (unsigned program = 0; program < 2; program++) {
        for (uint32_t seed = 0; seed < NOR_TORN_STATES; seed++) {
            put_groups(change, done);
            tear_group(change, group, program != 0, seed);
            if (!boots(change)) {
                return false;
            }
        }
    }
    put_groups(change, done);
    const bool before = boots(change);
    put_groups(change, done | group);
    return before && boots(change);
}

static bool group_is_safe(change_t *change, uint8_t done, unsigned index)
{
    if (!change->safe_known[done][index]) {
        change->is_safe[done][index] = try_group(change, done, (uint8_t)(1u << index));
        change->safe_known[done][index] = true;
    }
    return change->is_safe[done][index];
}

/** Goes through all orders of the groups: as deep as there are groups. */
// NOLINTNEXTLINE(misc-no-recursion)
static void try_orders(change_t *change, uint8_t wanted, uint8_t done, uint8_t in_window)
{
    if (done == wanted) {
        const lower_bound_time_t time = time_of(change, in_window);
        if (time.typical_us < change->best.typical_us) {
            change->best = time;
        }
        return;
    }
    for (unsigned i = 0; i < GROUPS; i++) {
        const uint8_t group = (uint8_t)(1u << i);
        if ((wanted & group) != 0 && (done & group) == 0) {
            const bool safe = group_is_safe(change, done, i);
            try_orders(change, wanted, done | group, safe ? in_window : in_window | group);
        }
    }
}

/** Sorts the sectors that differ. @return the groups that have any. */
static uint8_t sort_sectors(change_t *change, const uint8_t *old_path, const uint8_t *new_path)
{
    uint8_t groups = 0;
    for (uint32_t i = 0; i < sector_count(change); i++) {
        const uint8_t before = old_path[i] & EXPLORE_SHORT_PARTS;
        const uint8_t after = new_path[i] & EXPLORE_SHORT_PARTS;
        uint8_t *base = change->base + i * SR_SECTOR_SIZE;
        const uint8_t *final = change->final + i * SR_SECTOR_SIZE;
        if (after == 0 || memcmp(base, final, SR_SECTOR_SIZE) == 0) {
            continue;
        }
        if (before == 0 && (old_path[i] & EXPLORE_APP) == 0) {
            memcpy(base, final, SR_SECTOR_SIZE);
            change->prepared[i] = 1;
            continue;
        }
        const uint8_t parts = before | after;
        change->group_of[i] = parts & (uint8_t)-parts; // the first of them, if there is more than one
        groups |= change->group_of[i];
    }
    return groups;
}

static bool find_best(change_t *change)
{
    explore_boot_path_t old_path;
    explore_boot_path_t new_path;
    bool enough = explore_boot_path(&change->config->chip, change->base, change->config->size, &old_path);
    enough = explore_boot_path(&change->config->chip, change->final, change->config->size, &new_path) && enough;
    if (enough) {
        change->loader = &new_path.boot.bootloader;
        change->recovers = explore_has_recovery(change->config, change->base, &old_path.boot.bootloader, change->final,
                                                &new_path.boot.bootloader);
        const uint8_t groups = sort_sectors(change, old_path.sectors, new_path.sectors);
        memcpy(change->scratch, change->base, change->config->size);
        change->best = (lower_bound_time_t){UINT64_MAX, UINT64_MAX};
        try_orders(change, groups, 0, 0);
    }
    free(old_path.sectors);
    free(new_path.sectors);
    return enough;
}

/** The last commit is that of the change; whatever a run did before it only prepared it. */
static bool find_commit(const explore_trace_t *trace, uint32_t *first)
{
    uint32_t last = trace->count;
    while (last > 0 && !trace->operations[last - 1].in_commit) {
        last--;
    }
    if (last == 0) {
        return false;
    }
    *first = last - 1;
    while (*first > 0 && trace->operations[*first - 1].in_commit && !trace->operations[*first].first_of_boot) {
        (*first)--;
    }
    return true;
}

bool explore_lower_bound(const explore_config_t *config, const explore_trace_t *trace, const uint8_t *final,
                         explore_result_t *result)
{
    explore_power_loss_t start = {.when = NOR_POWER_LOSS_BEFORE};
    if (!find_commit(trace, &start.operation)) {
        return true;
    }
    explore_cursor_t cursor;
    change_t *change = calloc(1, sizeof(*change));
    bool enough = explore_cursor_open(&cursor, trace, &config->chip) && change != NULL;
    if (enough) {
        change->config = config;
        change->final = final;
        change->base = flash_buffer_new(config->size);
        change->scratch = flash_buffer_new(config->size);
        change->owned = explore_owned(config, final);
        change->group_of = calloc(config->size / SR_SECTOR_SIZE, 1);
        change->prepared = calloc(config->size / SR_SECTOR_SIZE, 1);
        enough = boot_classifier_open(&change->classifier, &config->chip, config->size, config->flash, final) &&
                 change->base != NULL && change->scratch != NULL && change->owned != NULL && change->group_of != NULL &&
                 change->prepared != NULL;
    }
    if (enough) {
        boot_classifier_accept(&change->classifier, &trace->report.app);
        explore_cursor_make(&cursor, &start, change->base);
        enough = find_best(change);
        result->lower_bound_typical_us = change->best.typical_us;
        result->lower_bound_maximum_us = change->best.maximum_us;
    }
    if (change != NULL) {
        boot_classifier_close(&change->classifier);
        flash_buffer_delete(change->base, config->size);
        flash_buffer_delete(change->scratch, config->size);
        free(change->owned);
        free(change->group_of);
        free(change->prepared);
        free(change);
    }
    explore_cursor_close(&cursor);
    return enough;
}
