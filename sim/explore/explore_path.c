// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"

#include "format/sr_partition_table.h"
#include "format/sr_secure_boot_v1.h"
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>

/** Storage of a trace: which sectors a boot read. */
typedef struct sectors_read {
    uint8_t *flags;
    uint32_t count;
} sectors_read_t;

static void mark_sectors(uint8_t *flags, uint32_t count, uint32_t address, uint32_t length, uint8_t flag)
{
    const uint64_t end = (uint64_t)address + length;
    for (uint64_t i = address / SR_SECTOR_SIZE; length > 0 && i * SR_SECTOR_SIZE < end && i < count; i++) {
        flags[i] |= flag;
    }
}

static void trace(void *context, uint32_t address, uint32_t length)
{
    sectors_read_t *read = context;
    mark_sectors(read->flags, read->count, address, length, 1);
}

static void mark_otadata(const sr_partition_table_t *table, const sectors_read_t *read, uint8_t *sectors)
{
    for (unsigned i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *entry = &table->entries[i];
        const uint32_t first = entry->address / SR_SECTOR_SIZE;
        if (entry->type != SR_PARTITION_TYPE_DATA || entry->subtype != SR_PARTITION_DATA_OTA) {
            continue;
        }
        for (uint32_t k = 0; k < 2 && first + k < read->count; k++) {
            const uint8_t part = k == 0 ? EXPLORE_OTADATA_0 : EXPLORE_OTADATA_1;
            sectors[first + k] |= read->flags[first + k] ? part : 0;
        }
    }
}

/** Table and otadata, if the boot read them. */
static void mark_decision(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, const sectors_read_t *read,
                          uint8_t *sectors)
{
    sr_partition_table_t table;
    uint32_t offset = 0;
    const bool intact = boot_plain_table(chip, flash, size, &offset, &table);
    if (!sr_region_fits((sr_region_t){offset, SR_SECTOR_SIZE}, size) || !read->flags[offset / SR_SECTOR_SIZE]) {
        return;
    }
    sectors[offset / SR_SECTOR_SIZE] |= EXPLORE_TABLE;
    if (intact) {
        mark_otadata(&table, read, sectors);
    }
}

static bool lies_in_partition(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, sr_region_t place)
{
    sr_partition_table_t table;
    uint32_t offset = 0;
    if (!boot_plain_table(chip, flash, size, &offset, &table)) {
        return false;
    }
    for (unsigned i = 0; i < table.count; i++) {
        const sr_partition_table_entry_t *entry = &table.entries[i];
        if (entry->type != SR_PARTITION_TYPE_BOOTLOADER &&
            sr_region_overlaps(place, (sr_region_t){entry->address, entry->size})) {
            return true;
        }
    }
    return false;
}

/** True if the flash boots with the new bootloader in place of its own, or if there is no memory to find out. */
static bool boots_with(const explore_config_t *config, const uint8_t *flash, const uint8_t *final,
                       const boot_code_t *new_loader)
{
    boot_result_t boot;
    uint8_t *copy = flash_buffer_new(config->size);
    if (copy == NULL) {
        return true;
    }
    flash_buffer_copy(copy, flash, config->size);
    memcpy(copy + new_loader->address, final + new_loader->address, new_loader->length);
    boot_run(&config->chip, copy, config->size, NULL, NULL, &boot);
    flash_buffer_delete(copy, config->size);
    return boot_succeeds(&boot);
}

/** True if the same bootloader lies at this offset, too. */
static bool holds_copy(const explore_config_t *config, const uint8_t *flash, uint32_t offset, const boot_code_t *loader)
{
    const uint8_t *copy = boot_plain(&config->chip, flash, config->size, offset, loader->length);
    return memcmp(copy, boot_plain(&config->chip, flash, config->size, loader->address, loader->length),
                  loader->length) == 0;
}

bool explore_has_recovery(const explore_config_t *config, const uint8_t *flash, const boot_code_t *loader,
                          const uint8_t *final, const boot_code_t *new_loader)
{
    const uint32_t offset = config->chip.recovery;
    const sr_region_t place = {offset, (uint32_t)sr_region_align_up(loader->length, SR_SECTOR_SIZE)};
    if (offset == 0 || !boot_rom_knows_recovery(&config->chip) || !sr_region_fits(place, config->size) ||
        sr_region_overlaps(place, (sr_region_t){0, SR_PARTITION_TABLE_OFFSET + SR_SECTOR_SIZE}) ||
        lies_in_partition(&config->chip, flash, config->size, place)) {
        return false;
    }
    const bool has_new = sr_region_fits((sr_region_t){offset, new_loader->length}, config->size) &&
                         holds_copy(config, final, offset, new_loader) && boots_with(config, flash, final, new_loader);
    for (unsigned i = 0; i < config->target_count; i++) {
        if (sr_region_overlaps(place, config->targets[i]) && !has_new) {
            return false;
        }
    }
    return true;
}

bool explore_boot_path(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, explore_boot_path_t *path)
{
    const uint32_t count = size / SR_SECTOR_SIZE;
    sectors_read_t read = {.flags = calloc(count, 1), .count = count};
    uint8_t *copy = flash_buffer_new(size);
    *path = (explore_boot_path_t){.sectors = calloc(count, 1)};
    const bool enough = read.flags != NULL && copy != NULL && path->sectors != NULL;
    if (enough) {
        (void)boot_run_aside(chip, flash, copy, size, trace, &read, &path->boot);
    }
    if (enough && boot_succeeds(&path->boot)) {
        const boot_code_t *loader = &path->boot.bootloader;
        const boot_code_t *app = &path->boot.app;
        mark_sectors(path->sectors, count, loader->address, loader->length, EXPLORE_BOOTLOADER);
        if (chip->burnt.secure_boot_v1) { // its digest is of no use without it
            mark_sectors(path->sectors, count, 0, SR_SECURE_BOOT_V1_DIGEST_SIZE, EXPLORE_BOOTLOADER);
        }
        if (path->boot.outcome == BOOT_BOOTS) { // before a boot that swaps it in, the app lies elsewhere
            mark_sectors(path->sectors, count, app->address, app->length, EXPLORE_APP);
        }
        if (path->boot.loader == BOOT_LOADER_IDF) {
            mark_decision(chip, flash, size, &read, path->sectors);
        }
    }
    free(read.flags);
    flash_buffer_delete(copy, size);
    return enough;
}

static bool touches(const uint8_t *sectors, uint8_t parts, const nor_op_t *op)
{
    for (uint32_t i = op->address / SR_SECTOR_SIZE; i * SR_SECTOR_SIZE < op->address + op->length; i++) {
        if ((sectors[i] & parts) != 0) {
            return true;
        }
    }
    return false;
}

/** Where a commit may write: the sectors of both systems, and which of their parts. */
typedef struct commit_path {
    const uint8_t *old_path, *new_path;
    uint8_t parts; /**< Of explore_part_t; the running app is added. */
} commit_path_t;

static bool is_on_path(const commit_path_t *path, const nor_op_t *op)
{
    return touches(path->old_path, path->parts | EXPLORE_APP, op) || touches(path->new_path, path->parts, op);
}

/** The operations of one start of the app: [first, end). */
static void mark_commit(explore_trace_t *trace, uint32_t first, uint32_t end, const commit_path_t *path)
{
    uint32_t last = end;
    bool on_path = false;
    while (last > first && !on_path) {
        last--;
        on_path = is_on_path(path, &trace->operations[last].op);
    }
    for (uint32_t i = last + 1; on_path && i > first; i--) {
        on_path = is_on_path(path, &trace->operations[i - 1].op);
        trace->operations[i - 1].in_commit = on_path;
    }
}

static uint32_t end_of_boot(const explore_trace_t *trace, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < trace->count && !trace->operations[end].first_of_boot) {
        end++;
    }
    return end;
}

/** Without the bootloader where a recovery bootloader can stand in for it: then the chip must always boot. */
static uint8_t parts_of_commit(const explore_config_t *config, const uint8_t *flash, const boot_result_t *old_boot,
                               const uint8_t *final, const boot_result_t *new_boot)
{
    const bool recovers = explore_has_recovery(config, flash, &old_boot->bootloader, final, &new_boot->bootloader);
    return recovers ? EXPLORE_SHORT_PARTS & ~EXPLORE_BOOTLOADER : EXPLORE_SHORT_PARTS;
}

/** The flash that a start of the app finds. With rollback it is the one before, as the bootloader notes the first start
 * of an app in otadata: the next start, which is not this one, would go back to another app. */
static void make_start(const explore_config_t *config, const explore_trace_t *trace, explore_cursor_t *cursor,
                       uint32_t first, uint8_t *flash)
{
    const explore_power_loss_t start = {.operation = first, .when = NOR_POWER_LOSS_BEFORE};
    const explore_power_loss_t before = {.operation = first - 1, .when = NOR_POWER_LOSS_AFTER};
    if (config->chip.rollback && first == 0) {
        flash_buffer_copy(flash, flash_record_before(trace->record), config->size);
    } else {
        explore_cursor_make(cursor, config->chip.rollback ? &before : &start, flash);
    }
}

static bool mark_all(const explore_config_t *config, explore_trace_t *trace, explore_cursor_t *cursor,
                     const uint8_t *final, const explore_boot_path_t *new_path, uint32_t only, uint8_t *flash)
{
    for (uint32_t first = 0; first < trace->count;) {
        const uint32_t end = end_of_boot(trace, first);
        if (only != UINT32_MAX && (only < first || only >= end)) {
            first = end;
            continue;
        }
        explore_boot_path_t old_path;
        make_start(config, trace, cursor, first, flash);
        const bool enough = explore_boot_path(&config->chip, flash, config->size, &old_path);
        if (enough) {
            const uint8_t parts = parts_of_commit(config, flash, &old_path.boot, final, &new_path->boot);
            const commit_path_t path = {.old_path = old_path.sectors, .new_path = new_path->sectors, .parts = parts};
            mark_commit(trace, first, end, &path);
        }
        free(old_path.sectors);
        if (!enough) {
            return false;
        }
        first = end;
    }
    return true;
}

bool explore_mark_commits(const explore_config_t *config, explore_trace_t *trace, const uint8_t *final, uint32_t only)
{
    explore_boot_path_t new_path;
    explore_cursor_t cursor;
    uint8_t *flash = flash_buffer_new(config->size);
    bool enough = explore_boot_path(&config->chip, final, config->size, &new_path);
    enough = explore_cursor_open(&cursor, trace, &config->chip) && enough && flash != NULL;
    if (enough) {
        enough = mark_all(config, trace, &cursor, final, &new_path, only, flash);
    }
    explore_cursor_close(&cursor);
    free(new_path.sectors);
    flash_buffer_delete(flash, config->size);
    return enough;
}

bool explore_power_loss_in_commit(const explore_trace_t *trace, const explore_power_loss_t *loss)
{
    const explore_operation_t *operation = &trace->operations[loss->operation];
    switch (loss->when) {
    case NOR_POWER_LOSS_INSIDE:
        return operation->in_commit;
    case NOR_POWER_LOSS_BEFORE: // the chip boots before the first operation of a commit
        return operation->in_commit && !operation->first_of_boot && operation[-1].in_commit;
    default:
        return false; // those after the last operation of a boot
    }
}
