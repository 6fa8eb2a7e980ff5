// SPDX-License-Identifier: Apache-2.0
/** @file
 * Proof by trying: runs a migration, then again with a power loss at every flash operation: before it, inside it,
 * after the last one. Each flash that a cut leaves is booted, and if the old system boots, it goes on until it is done.
 *
 * What is allowed inside the commit. Replacing a bootloader takes a moment in which the chip does not boot. Which
 * moment that may be is decided by addresses and order alone, and not by what boots, or any failure would excuse
 * itself:
 *
 * - The boot path, in whole sectors, is what an old boot executes (bootloader and app, at their true length), the
 * partition table and otadata as far as the boot reads them, and also bootloader, table and otadata of the new system.
 * The old boot is the one that started the app which performs the operation. So an app that moved itself to another
 * slot has its boot path there.
 * - The commit is, for each start of the app, the last unbroken run of operations on the boot path. Whoever erases a
 *   bootloader sector and then writes an app has broken the run: that erase is outside.
 *
 * At any other time the chip must boot, the old system must finish, and a new system must have nothing left to do but
 * erase sectors: those in which a staged record stood, where the target wants them blank. At any time the old system,
 * if it boots, must finish. Whatever else happens is a failure. The length of the commit is not classified but measured
 * (boot_window.h), and reported beside the shortest possible one, so that an order which does too much inside it shows.
 * So does a copy over the running app, which is boot path: all of it is commit.
 *
 * Where the chip has a recovery bootloader that can stand in for the one that is written, the bootloader is not boot
 * path in this sense, neither for the commit nor for the shortest window.
 *
 * The shortest window: of the sectors that both bootloaders, table and otadata occupy, those that differ, each erased
 * once unless it is blank (by sectors or blocks, what is quicker, touching nothing but blank targets) and programmed
 * once, as far as the new boot needs the page. Sectors that only the new boot needs can be written before, those that
 * only the old one needs afterwards. The bootloader, the table and each sector of otadata are taken in the best of all
 * orders; one that may be torn in any way without a failed boot does not count.
 */
#pragma once

#include "format/sr_region.h"
#include "sim/boot/boot_model.h"
#include "sim/boot/boot_window.h"
#include "sim/chip/sim_chip.h"
#include "sim/nor/flash_record.h"
#include "sim/nor/nor_flash.h"

#include <stdbool.h>
#include <stdint.h>

#define EXPLORE_MAX_POWER_LOSSES 8u

/** A power loss. */
typedef struct explore_power_loss {
    uint32_t operation; /**< Number of the operation, from 0, in the run that it cuts. */
    nor_power_loss_when_t when;
    uint32_t seed; /**< Inside: which torn state. */
} explore_power_loss_t;

/** What became of a cut. */
typedef enum explore_outcome {
    EXPLORE_OLD_FINISHES,    /**< The old system boots, goes on, and the flash becomes that of the uncut run. */
    EXPLORE_NEW_COMPLETE,    /**< The new system boots, and nothing is left to do. */
    EXPLORE_NEW_LEFT_TO_NEW, /**< The new system boots; something is left, which it finishes if it runs the same app. */
    EXPLORE_NEW_LEFT_TO_NOBODY, /**< The new system boots; something is left, which its app does not finish. */
    EXPLORE_DOES_NOT_BOOT,      /**< Neither of the two systems boots. */
    EXPLORE_OLD_STUCK,          /**< The old system boots and does not finish. */
    EXPLORE_WENT_BACK, /**< The bootloader went back to the app before the one that does the migration, which had
                            not confirmed itself, or was about to, and all but otadata is as it was. */
    EXPLORE_OUTCOMES,
} explore_outcome_t;

#define EXPLORE_NOT_SHARED UINT32_MAX

/** One cut that was tried. */
typedef struct explore_state {
    explore_power_loss_t loss;
    uint32_t same_as; /**< Index of a state with the same flash, which was tried in its place. */
    bool in_commit;   /**< The chip may fail to boot here. */
    explore_outcome_t outcome;
    bool failed;
    uint8_t nested_count; /**< Further power losses, one in each attempt to go on, if they led to the outcome. */
    explore_power_loss_t nested[EXPLORE_MAX_POWER_LOSSES];
    char reason[256]; /**< Of a failure. */
} explore_state_t;

/** One operation of the uncut run. */
typedef struct explore_operation {
    nor_op_t op;
    bool first_of_boot;
    bool in_commit;
    bool in_window; /**< A cut would leave a chip that does not boot. */
} explore_operation_t;

/**
 * Lists the operations of a record; which are in a commit or in the window is left open.
 * @param[out] operations free() is due. @return false without memory.
 */
bool explore_operations(const flash_record_t *record, explore_operation_t **operations, uint32_t *count);

/** Measures the window and marks the operations in it. @param running As in boot_window_measure(). @return false if the
 * record cannot be read, or without memory.
 */
bool explore_mark_window(const flash_record_t *record, const boot_chip_t *chip, const boot_code_t *running,
                         explore_operation_t *operations, uint32_t count, boot_window_t *window);

typedef struct explore_config {
    boot_chip_t chip;
    const uint8_t *flash; /**< Content at the start; must boot. */
    uint32_t size;
    uint32_t running_app; /**< Offset of the app that does the migration, until a reset or cut; what boots then goes on,
                               as app_main() again. UINT32_MAX: the one that boots from the start. */
    const nor_timing_t *timing;
    /** The app. Returns when nothing is left to do, and must not restart the chip then; starts from scratch each time.
     */
    void (*app_main)(void);
    const sr_region_t *targets; /**< What the migration replaces. All of it counts for "complete"; of the rest of the
                                     flash only what the uncut run writes or what is blank may change, and what is blank
                                     only outside of data partitions and past the partition table. */
    unsigned target_count;
    const sr_region_t *given_up; /**< What may hold anything from the first operation on, if it is no target. */
    unsigned given_up_count;
    uint32_t
        torn_states;  /**< For each operation; NOR_TORN_KINDS show all ways, NOR_TORN_STATES each way in each phase. */
    unsigned losses;  /**< 1: one cut; N: up to N, each in the attempt to go on after the previous one. */
    uint32_t sample;  /**< Operations outside the commit that are tried, evenly spread; 0: all. */
    unsigned workers; /**< Processes. */
    /** May be NULL. Called from time to time by the process that called explore_run(). */
    void (*progress)(void *context, uint32_t done, uint32_t total);
    void *progress_context;
} explore_config_t;

typedef struct explore_result {
    sim_report_t run;  /**< Of the uncut run. */
    nor_stats_t stats; /**< Flash operations of the uncut run. */
    uint8_t *flash;    /**< What it left. */
    uint32_t size;     /**< Of the flash. */
    explore_operation_t *operations;
    uint32_t operation_count;
    explore_state_t *states; /**< By operation; those inside it by seed. */
    uint32_t state_count;
    uint32_t nested_count; /**< Further power losses that were tried. */
    uint32_t outcomes[EXPLORE_OUTCOMES];
    uint32_t failures;
    uint64_t window_typical_us, window_maximum_us;
    uint64_t lower_bound_typical_us, lower_bound_maximum_us;
} explore_result_t;

typedef enum explore_status {
    EXPLORE_OK,
    EXPLORE_NO_START,   /**< No app starts from the flash; result->run.before tells why. */
    EXPLORE_UNFINISHED, /**< The uncut run crashes, never ends, or what it leaves does not boot; see result->run. */
    EXPLORE_NO_MEMORY,
} explore_status_t;

/**
 * Explores a migration. Starts processes, which end before it returns.
 * @param[out] result explore_result_free() is due in any case.
 */
explore_status_t explore_run(const explore_config_t *config, explore_result_t *result);
void explore_result_free(explore_result_t *result);

/**
 * Runs an app with a power loss, once for each of them, each in the attempt to go on after the one before.
 * @param[in,out] flash Content at the start; afterwards as the last cut left it.
 * @param running_app The app that runs first; UINT32_MAX: what boots.
 * @param[out] made Cuts that happened.
 * @return false if not all of them did: nothing boots, or the app ended before.
 */
bool explore_power_loss_run(const boot_chip_t *chip, nor_flash_t *flash, uint32_t running_app, void (*app_main)(void),
                            const explore_power_loss_t *losses, unsigned count, unsigned *made);

/** "old_finishes", ... */
const char *explore_outcome_name(explore_outcome_t outcome);
