// SPDX-License-Identifier: Apache-2.0
/** @file
 * A NOR flash chip in memory: programming only clears bits, erasing sets whole sectors or blocks, every operation is
 * counted and timed, and any operation can be the one during which the power goes, or the one that fails.
 *
 * The state lives in one block of memory that may be shared between processes (MAP_SHARED), so that a simulated reset
 * can be a new process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Times of one chip, in microseconds, from its datasheet. */
typedef struct nor_timing {
    const char *name;   /**< "W25Q32JV" */
    const char *source; /**< Datasheet, revision and table. */
    uint32_t page_program_typical_us, page_program_maximum_us;
    uint32_t sector_erase_typical_us, sector_erase_maximum_us; /**< 4 KiB */
    uint32_t block_erase_typical_us, block_erase_maximum_us;   /**< 64 KiB */
    uint32_t read_us_per_kib; /**< At 40 MHz DIO plus driver overhead: an estimate, reads are not the bottleneck. */
} nor_timing_t;

/** The chip with this name, or NULL. NULL as name: the default, W25Q32JV. */
const nor_timing_t *nor_timing_find(const char *name);
/** The chips one after another: NULL past the last. */
const nor_timing_t *nor_timing_at(unsigned index);

typedef enum nor_status {
    NOR_OK = 0,
    NOR_OUT_OF_BOUNDS,     /**< Range past the end of the flash. */
    NOR_UNALIGNED,         /**< Erase not aligned to its unit. */
    NOR_PROGRAM_SETS_BITS, /**< A program asked for a 1 where the flash holds a 0; nothing was programmed. */
    NOR_TIMEOUT,           /**< Injected: the erase never ended. */
    NOR_POWER_LOST,        /**< The power went during this operation; every later one gives this too. */
} nor_status_t;

typedef enum nor_op_kind { NOR_OP_ERASE_SECTOR, NOR_OP_ERASE_BLOCK, NOR_OP_PROGRAM } nor_op_kind_t;

/** One operation that changes flash, as handed to the observer after it was done. */
typedef struct nor_op {
    uint32_t number; /**< From 0, counting erases and page programs. */
    nor_op_kind_t kind;
    uint32_t address;
    uint32_t length;
    uint64_t start_us; /**< Modelled time at which it began. */
    uint32_t typical_us, maximum_us;
    bool changed; /**< False if the bytes were the same before and after. */
} nor_op_t;

typedef struct nor_stats {
    uint32_t operations; /**< Erases and page programs. */
    uint32_t sector_erases, block_erases, page_programs;
    uint64_t bytes_programmed, bytes_read;
    uint64_t typical_us, maximum_us; /**< Time of all operations, reads included. */
    uint32_t bad_programs;           /**< Programs refused with NOR_PROGRAM_SETS_BITS. */
} nor_stats_t;

/** How far a torn operation got, over its bytes: the first ones done, single bits here and there, each piece by itself,
 * or all done but for some weak bits. */
#define NOR_TORN_KINDS 4u
/** An erase is torn while the chip programs the whole unit to zero, while it then sets all of it to one, or with the
 * old bits beside the new ones. In the first two, bits that were one before may be zero: nothing that was blank needs
 * to be blank after an erase that was cut or timed out. */
#define NOR_TORN_PHASES 3u
/** The seeds below this number show each way in each phase; those below NOR_TORN_KINDS all ways and all phases. */
#define NOR_TORN_STATES (NOR_TORN_KINDS * NOR_TORN_PHASES)

typedef enum nor_power_loss_when {
    NOR_POWER_LOSS_BEFORE,
    NOR_POWER_LOSS_INSIDE,
    NOR_POWER_LOSS_AFTER
} nor_power_loss_when_t;

/** When the power goes. */
typedef struct nor_power_loss {
    bool armed;
    uint32_t operation; /**< Number of the operation. */
    nor_power_loss_when_t when;
    uint32_t seed; /**< Inside: which torn state is left. Modulo NOR_TORN_STATES: in which way, and phase of an erase;
                      all of it: how far, which bits. */
} nor_power_loss_t;

/** Operations that fail. A sector is drawn by a seeded hash of its number, so that failures are at fixed places. */
typedef struct nor_faults {
    uint32_t seed;
    uint32_t program_per_million; /**< Share of sectors whose programs do not stick. */
    uint32_t erase_per_million;   /**< Share of sectors and blocks whose erase times out. */
    uint32_t heal_after;          /**< 0: the sector stays bad; N: after N failures it works. */
    bool single;                  /**< Instead of a share: only the sector at `address`. */
    uint32_t address;
} nor_faults_t;

typedef struct nor_flash nor_flash_t;
typedef void (*nor_observer_t)(void *context, const nor_op_t *op, const nor_flash_t *flash);

/**
 * Makes a blank flash (all 0xFF) in memory shared with child processes.
 * @param size Bytes, a power of two, 1 MiB to 32 MiB.
 * @param timing From nor_timing_find().
 * @return NULL if there is no memory. Owned by the caller, freed with nor_flash_delete().
 */
nor_flash_t *nor_flash_new(uint32_t size, const nor_timing_t *timing);
void nor_flash_delete(nor_flash_t *flash);

uint32_t nor_flash_size(const nor_flash_t *flash);
/** The content, to read it or to load an image: writing here is not counted. */
uint8_t *nor_flash_bytes(nor_flash_t *flash);
/** Puts other content there, without operations; only where it differs. @param content Of the whole flash. */
void nor_flash_load(nor_flash_t *flash, const uint8_t *content);
/** True if nor_flash_load() changed a sector, in any process, since the last nor_flash_forget_loaded(). */
bool nor_flash_is_loaded(const nor_flash_t *flash, uint32_t sector);
void nor_flash_forget_loaded(nor_flash_t *flash);
const uint8_t *nor_flash_view(const nor_flash_t *flash);

/** True if there is nothing in these cells. @param length At least 1. */
bool nor_is_erased(const uint8_t *bytes, size_t length);

nor_status_t nor_read(nor_flash_t *flash, uint32_t address, void *out, size_t length);
/** Programs any range; split into pages, each an operation of its own. */
nor_status_t nor_program(nor_flash_t *flash, uint32_t address, const void *data, size_t length);
/** Erases a sector aligned range: 64 KiB operations where aligned, 4 KiB otherwise, as esp_flash_erase_region does. */
nor_status_t nor_erase(nor_flash_t *flash, uint32_t address, size_t length);

/**
 * What a power loss inside an operation leaves.
 * @param seed As that of a nor_power_loss_t.
 * @param bytes The operation's range, as it was before; moved part of the way to @p after.
 * @param after The range after the operation.
 */
void nor_tear(const nor_op_t *op, uint32_t seed, uint8_t *bytes, const uint8_t *after);

nor_stats_t nor_flash_stats(const nor_flash_t *flash);
/** Zeroes the counters, the wear and the clock; content stays. */
void nor_flash_reset_stats(nor_flash_t *flash);
/** Erase cycles that this sector (number = address / 4096) has seen. */
uint32_t nor_flash_wear(const nor_flash_t *flash, uint32_t sector);
/** How often an injected fault (nor_faults_t) hit this sector, or the block that starts with it. */
uint32_t nor_flash_failures(const nor_flash_t *flash, uint32_t sector);
void nor_flash_set_power_loss(nor_flash_t *flash, nor_power_loss_t loss);
/** True once an armed cut has happened. */
bool nor_flash_power_is_lost(const nor_flash_t *flash);
/** Power back on: the cut is disarmed, content and counters stay. */
void nor_flash_power_on(nor_flash_t *flash);
void nor_flash_set_faults(nor_flash_t *flash, nor_faults_t faults);
/** Called after each operation that ended (a cut one included), in the process that did it. NULL: nobody. */
void nor_flash_set_observer(nor_flash_t *flash, nor_observer_t observer, void *context);

const char *nor_status_text(nor_status_t status);
