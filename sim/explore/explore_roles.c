// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"

#include "format/sr_partition_table.h"
#include "sim/boot/boot_plain.h"

#include <stdlib.h>
#include <string.h>

/** Sectors that a region touches, as far as the flash goes. */
static void set_all(uint8_t *role, uint32_t size, uint64_t address, uint64_t length, explore_role_t value)
{
    const uint64_t end = address + length < size ? address + length : size;
    for (uint64_t at = address & ~(uint64_t)(SR_SECTOR_SIZE - 1u); at < end; at += SR_SECTOR_SIZE) {
        role[at / SR_SECTOR_SIZE] = (uint8_t)value;
    }
}

/** Even if blank: nothing may be left in front of the partitions or in data partitions. */
static void keep_data(const explore_config_t *config, const uint8_t *flash, uint8_t *role)
{
    sr_partition_table_t table;
    uint32_t offset = 0;
    const bool intact = boot_plain_table(&config->chip, flash, config->size, &offset, &table);
    if (sr_region_fits((sr_region_t){offset, SR_SECTOR_SIZE}, config->size)) {
        set_all(role, config->size, 0, (uint64_t)offset + SR_SECTOR_SIZE, EXPLORE_ROLE_KEPT);
    }
    if (!intact) {
        return;
    }
    for (unsigned i = 0; i < table.count; i++) {
        const sr_partition_table_entry_t *entry = &table.entries[i];
        if (entry->type == SR_PARTITION_TYPE_DATA) {
            set_all(role, config->size, entry->address, entry->size, EXPLORE_ROLE_KEPT);
        }
    }
}

/** What the uncut run changes may hold anything in between. An erase of a blank sector changes nothing. */
static void free_used(const explore_config_t *config, const explore_trace_t *trace, uint8_t *role)
{
    for (uint32_t i = 0; i < trace->count; i++) {
        const nor_op_t *op = &trace->operations[i].op;
        for (uint32_t at = op->address & ~(SR_SECTOR_SIZE - 1u); at < op->address + op->length; at += SR_SECTOR_SIZE) {
            if (op->kind == NOR_OP_PROGRAM || !nor_is_erased(config->flash + at, SR_SECTOR_SIZE)) {
                role[at / SR_SECTOR_SIZE] = EXPLORE_ROLE_FREE;
            }
        }
    }
}

/** Marks the sectors that a partition of this flash's table has. */
static void mark_owned(const explore_config_t *config, const uint8_t *flash, uint8_t *owned)
{
    sr_partition_table_t table;
    uint32_t offset = 0;
    if (boot_plain_table(&config->chip, flash, config->size, &offset, &table)) {
        for (unsigned i = 0; i < table.count; i++) {
            set_all(owned, config->size, table.entries[i].address, table.entries[i].size, 1);
        }
    }
}

uint8_t *explore_owned(const explore_config_t *config, const uint8_t *final)
{
    uint8_t *owned = calloc(config->size / SR_SECTOR_SIZE, 1);
    if (owned != NULL) {
        mark_owned(config, config->flash, owned);
        mark_owned(config, final, owned);
    }
    return owned;
}

/** True if the run erases the block at once as part of its commit. */
static bool commit_erases(const explore_trace_t *trace, uint32_t block)
{
    for (uint32_t i = 0; i < trace->count; i++) {
        const nor_op_t *op = &trace->operations[i].op;
        if (trace->operations[i].in_commit && op->kind == NOR_OP_ERASE_BLOCK && op->address == block) {
            return true;
        }
    }
    return false;
}

/** The commit may erase the whole block of the boot path. What was blank there and is in no partition of either system
 *  may be anything after a cut: an erase that is cut short leaves it torn, and no manifest vouches for it. */
static bool free_neighbours(const explore_config_t *config, const explore_trace_t *trace, const uint8_t *final,
                            uint8_t *role)
{
    uint8_t *owned = explore_owned(config, final);
    if (owned == NULL) {
        return false;
    }
    for (uint32_t block = 0; block < config->size; block += SR_BLOCK_SIZE) {
        const bool erased = commit_erases(trace, block);
        for (uint32_t at = block; erased && at < block + SR_BLOCK_SIZE && at < config->size; at += SR_SECTOR_SIZE) {
            if (owned[at / SR_SECTOR_SIZE] == 0 && nor_is_erased(config->flash + at, SR_SECTOR_SIZE)) {
                role[at / SR_SECTOR_SIZE] = EXPLORE_ROLE_FREE;
            }
        }
    }
    free(owned);
    return true;
}

uint8_t *explore_roles(const explore_config_t *config, const explore_trace_t *trace, const uint8_t *final)
{
    const uint32_t count = config->size / SR_SECTOR_SIZE;
    uint8_t *role = calloc(count, 1);
    if (role == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        const bool blank = nor_is_erased(config->flash + i * SR_SECTOR_SIZE, SR_SECTOR_SIZE);
        role[i] = blank ? EXPLORE_ROLE_FREE : EXPLORE_ROLE_KEPT;
    }
    keep_data(config, config->flash, role);
    keep_data(config, final, role);
    free_used(config, trace, role);
    if (!free_neighbours(config, trace, final, role)) {
        free(role);
        return NULL;
    }
    for (unsigned i = 0; i < config->given_up_count; i++) {
        set_all(role, config->size, config->given_up[i].address, config->given_up[i].size, EXPLORE_ROLE_FREE);
    }
    for (unsigned i = 0; i < config->target_count; i++) {
        const sr_region_t *target = &config->targets[i];
        set_all(role, config->size, target->address, target->size, EXPLORE_ROLE_TARGET);
    }
    return role;
}
