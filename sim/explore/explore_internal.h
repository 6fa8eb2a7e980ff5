// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the files of explore share. Private to them.
 */
#pragma once

#include "sim/boot/boot_classifier.h"
#include "sim/explore/explore.h"
#include "sim/nor/flash_record.h"

#define EXPLORE_MAX_BOOTS 20u

/** A run that was recorded. */
typedef struct explore_trace {
    flash_record_t *record;
    explore_operation_t *operations; /**< Owned. */
    uint32_t count;
    sim_report_t report;
} explore_trace_t;

/** A position in a trace, from which its states are made one after another. */
typedef struct explore_cursor {
    const explore_trace_t *trace;
    const boot_chip_t *chip;
    flash_replay_t replay;
    flash_step_t step; /**< The next operation; valid if there is one. */
    uint32_t next;     /**< Its number. */
    bool booted;       /**< `flash` has what the boot before the next operation wrote. */
    uint8_t *flash;    /**< Owned. */
    uint32_t size;
    nor_op_t torn;                /**< The operation that `flash` has half of; of length 0: none. */
    uint8_t whole[SR_BLOCK_SIZE]; /**< What was there before it. */
} explore_cursor_t;

/** Flashes that the chip was started with in a run, after its first start. A start from one of these gives the same
 * result again. */
typedef struct explore_starts {
    const nor_flash_t *flash; /**< The one that is compared with them. */
    uint8_t **flashes;        /**< Owned, as each of them is. */
    uint32_t count;
} explore_starts_t;

/** @return false without memory; explore_starts_free() is due in both cases. */
bool explore_find_starts(const explore_trace_t *trace, const boot_chip_t *chip, explore_starts_t *starts);
/** @param size Of each flash. */
void explore_starts_free(explore_starts_t *starts, uint32_t size);

/**
 * Runs the app from the content that @p flash has.
 * @param starts If the chip is started again with one of these, the run stops.
 * @return false without memory or if it does not start
 */
bool explore_run_on(const explore_config_t *config, nor_flash_t *flash, explore_starts_t *starts, sim_report_t *report);

/** Runs an app from the content that @p flash has, and records it.
 *  @param running_app Offset of the one that starts; UINT32_MAX: the one that boots.
 *  @return false without memory or if it does not
 *  start. explore_trace_free() is due in both cases, before the flash is deleted. */
bool explore_trace_run(const explore_config_t *config, nor_flash_t *flash, uint32_t running_app,
                       explore_trace_t *trace);
void explore_trace_free(explore_trace_t *trace);

/**
 * Marks the operations that belong to a commit.
 * @param final Flash of the new system.
 * @param only Number of an operation: those of its boot only; UINT32_MAX: all.
 * @return false without memory.
 */
bool explore_mark_commits(const explore_config_t *config, explore_trace_t *trace, const uint8_t *final, uint32_t only);

/** Starts at the first operation. @return false without memory; explore_cursor_close() is due in both cases. */
bool explore_cursor_open(explore_cursor_t *cursor, const explore_trace_t *trace, const boot_chip_t *chip);
void explore_cursor_close(explore_cursor_t *cursor);
/** The flash that a cut leaves, valid until the next one. Cuts must not go back. */
const uint8_t *explore_cursor_at(explore_cursor_t *cursor, const explore_power_loss_t *loss);
/** A copy of it. */
void explore_cursor_make(explore_cursor_t *cursor, const explore_power_loss_t *loss, uint8_t *flash);

/** Makes the flash that a single cut leaves. @param[out] flash Of the trace's size. @return false without memory. */
bool explore_make_state(const explore_trace_t *trace, const boot_chip_t *chip, const explore_power_loss_t *loss,
                        uint8_t *flash);

/** Where a system's boot code lies, and the data by which it chooses. */
typedef struct explore_boot_path {
    boot_result_t boot;
    uint8_t *sectors; /**< Owned. A set of explore_part_t for each sector. */
} explore_boot_path_t;

typedef enum explore_part {
    EXPLORE_BOOTLOADER = 1,
    EXPLORE_TABLE = 2,
    EXPLORE_OTADATA_0 = 4,
    EXPLORE_OTADATA_1 = 8,
    EXPLORE_APP = 16,
} explore_part_t;

#define EXPLORE_SHORT_PARTS (EXPLORE_BOOTLOADER | EXPLORE_TABLE | EXPLORE_OTADATA_0 | EXPLORE_OTADATA_1)

/**
 * True if a recovery bootloader can keep the chip booting while the bootloader is rewritten: its offset is burnt, its
 * place has room for the bootloader that boots from @p flash, no partition of that system but one for a bootloader lies
 * there, and either no target does or @p final has the new system's bootloader there, which boots @p flash as well.
 * Decided by addresses and by the target, not by what the migration makes of it.
 */
bool explore_has_recovery(const explore_config_t *config, const uint8_t *flash, const boot_code_t *loader,
                          const uint8_t *final, const boot_code_t *new_loader);

/** Boots a copy of a flash and finds the boot path. @return false without memory; free(path->sectors) is due. */
bool explore_boot_path(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, explore_boot_path_t *path);

/** True if the chip may fail to boot after this cut. */
bool explore_power_loss_in_commit(const explore_trace_t *trace, const explore_power_loss_t *loss);

/** For each sector 1 if a partition of the old or of the new system has it, else 0. @return Owned by the caller; NULL
 *  without memory. */
uint8_t *explore_owned(const explore_config_t *config, const uint8_t *final);

/** A sector as the bootloader leaves it when it writes otadata at a start. */
typedef struct explore_boot_write {
    uint32_t address;
    uint8_t bytes[SR_SECTOR_SIZE];
} explore_boot_write_t;

typedef struct explore_boot_writes {
    explore_boot_write_t *list; /**< Owned: explore_boot_writes_free(). */
    uint32_t count;
} explore_boot_writes_t;

/** Adds what the bootloader writes at the starts of a flash that follow one another without an app that writes.
 *  @param[in,out] writes Zero at first. @return false without memory. */
bool explore_find_boot_writes(const explore_config_t *config, const uint8_t *flash, explore_boot_writes_t *writes);
void explore_boot_writes_free(explore_boot_writes_t *writes);

/** True if a sector holds what a start has made of it. */
bool explore_is_boot_write(const explore_boot_writes_t *writes, uint32_t address, const uint8_t *sector);

/** What a sector may hold after a power loss. */
typedef enum explore_role {
    EXPLORE_ROLE_KEPT,   /**< As it was. */
    EXPLORE_ROLE_FREE,   /**< Anything: it was blank and belongs to nobody, or the uncut run used it. */
    EXPLORE_ROLE_TARGET, /**< As the uncut run leaves it. */
} explore_role_t;

/** An explore_role_t for each sector. @return NULL without memory; free() is due. */
uint8_t *explore_roles(const explore_config_t *config, const explore_trace_t *trace, const uint8_t *final);

/** Lists the cuts that are to be tried. @return false without memory. */
bool explore_list_states(const explore_config_t *config, const explore_trace_t *trace, explore_result_t *result);

/** Computes the shortest window. @return false without memory. */
bool explore_lower_bound(const explore_config_t *config, const explore_trace_t *trace, const uint8_t *final,
                         explore_result_t *result);

/** Tries all states of a result, by several processes. @return false without memory. */
bool explore_states(const explore_config_t *config, const explore_trace_t *trace, explore_result_t *result);
